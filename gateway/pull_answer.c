/* The JSON of a pull. All torrents of a group have its swarm token inside. */
#include "base/base64.h"
#include "base/hex.h"
#include "gateway/pull_internal.h"

#include <stdlib.h>

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* A string of the bytes in base64; NULL when there is no memory. */
static json_t *base64(struct slice bytes) {
  char *text = malloc(BASE64_SPACE(bytes.len));
  if (text == NULL) {
    return NULL;
  }
  size_t len = base64_encode(BASE64_STANDARD, bytes.ptr, bytes.len, text);
  json_t *json = json_stringn_nocheck(text, len);
  free(text);
  return json;
}

/* --- a torrent --- */

static void add_infohashes(json_t *json, const struct torrent_record *record) {
  char hex[65];
  if (record->format != TORRENT_V2) {
    hex_encode(record->infohash, sizeof record->infohash, hex);
    json_object_set_new(json, "infohash", json_string(hex));
  }
  if (record->format != TORRENT_V1) {
    hex_encode(record->infohash_v2, sizeof record->infohash_v2, hex);
    json_object_set_new(json, "infohash_v2", json_string(hex));
  }
}

static int add_torrent(struct pull *p, struct pull_blob *b, struct slice swarm, struct error *e) {
  const struct gateway_options *o = p->request->gateway->options;
  struct arena *arena = http_exchange_arena(p->request->x);
  const struct issue_grant grant = request_grant(p->request);
  struct slice webseed;
  struct buf file = {0};
  if (issue_webseed(o, &grant, b->digest, p->now, arena, &p->issued, &webseed, e) != 0) {
    return -1;
  }
  int result = issue_file(o, &b->record, swarm, webseed, arena, &file, e);
  if (result == 0) {
    add_infohashes(b->json, &b->record);
    if (json_object_set_new(b->json, "torrent", base64(buf_view(&file))) != 0) {
      result = out_of_memory(e);
    }
  }
  buf_free(&file);
  return result;
}

/* Signs one swarm token for as many of the blobs as there is room for, of which \p count are
 * tried, and puts it into their torrents. \p count set to their number. */
static int sign_group(struct pull *p, struct pull_blob *const *blobs, size_t *count,
                      struct slice *swarm, struct error *e) {
  const struct gateway_options *o = p->request->gateway->options;
  struct arena *arena = http_exchange_arena(p->request->x);
  const struct issue_grant grant = request_grant(p->request);
  struct torrent_record records[TOKEN_INFOHASHES_MAX];
  for (size_t i = 0; i < *count; i++) {
    records[i] = blobs[i]->record;
  }
  while (issue_swarm(o, &grant, records, *count, p->now, arena, &p->issued, swarm, e) != 0) {
    if (e->kind != ERROR_USAGE || *count == 1) {
      return -1;
    }
    --*count; /* with names as long it would be longer than a token may be */
  }
  for (size_t i = 0; i < *count; i++) {
    if (add_torrent(p, blobs[i], *swarm, e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* \param tokens the swarm tokens, as strings. */
static int sign_all(struct pull *p, json_t *tokens, struct error *e) {
  size_t most = issue_swarm_max(p->request->gateway->options->format);
  struct pull_blob **blobs =
      arena_alloc(http_exchange_arena(p->request->x), (p->count + 1) * sizeof(struct pull_blob *));
  size_t count = 0;
  if (blobs == NULL) {
    return out_of_memory(e);
  }
  for (size_t i = 0; i < p->count; i++) {
    if (p->blobs[i].found) {
      blobs[count++] = &p->blobs[i];
    }
  }
  for (size_t at = 0; at < count;) {
    struct slice swarm;
    size_t group = count - at < most ? count - at : most;
    if (sign_group(p, blobs + at, &group, &swarm, e) != 0) {
      return -1;
    }
    if (json_array_append_new(tokens, json_stringn(swarm.ptr, swarm.len)) != 0) {
      return out_of_memory(e);
    }
    at += group;
    most = group; /* what did not fit once will not fit */
  }
  return 0;
}

/* --- the whole --- */

static json_t *json_of(const struct image_descriptor *d) {
  return json_pack("{s:s, s:I}", "digest", d->digest, "size", (json_int_t)d->size);
}

/* A descriptor with its torrent, if it has one: a foreign layer has none. */
static json_t *describe(const struct pull *p, const struct image_descriptor *d) {
  const struct pull_blob *b = NULL;
  for (size_t i = 0; i < p->count && !d->foreign && b == NULL; i++) {
    if (slice_equal(p->blobs[i].digest, slice_str(d->digest))) {
      b = &p->blobs[i];
    }
  }
  json_t *json = b == NULL ? json_of(d) : json_copy(b->json);
  if (json_object_set_new(json, "mediaType", json_string(d->media_type)) != 0) {
    json_decref(json);
    return NULL;
  }
  return json;
}

static json_t *describe_layers(const struct pull *p) {
  const struct image_manifest *image = &p->manifest->image;
  json_t *layers = json_array();
  for (size_t i = 0; i < image->layer_count; i++) {
    if (json_array_append_new(layers, describe(p, &image->layers[i])) != 0) {
      json_decref(layers);
      return NULL;
    }
  }
  return layers;
}

/* The member `token` is the first; further ones are there for images of very many blobs. */
static int add_tokens(const struct pull *p, json_t *json, json_t *tokens) {
  const struct gateway_options *o = p->request->gateway->options;
  size_t count = json_array_size(tokens);
  int failed = 0;
  if (count > 0) {
    failed |= json_object_set(json, "token", json_array_get(tokens, 0));
    failed |= json_object_set_new(json, "expires_in", json_integer(o->swarm_ttl));
    failed |= json_object_set_new(json, "session", json_integer(p->now + o->session_ttl));
  }
  if (count > 1) {
    failed |= json_object_set(json, "tokens", tokens);
  }
  return failed;
}

/* Who asked for an index may want to hand it on as it is. */
static int add_index(const struct pull_index *index, json_t *json) {
  return index->bytes.ptr == NULL
             ? 0
             : json_object_set_new(json, "index",
                                   json_pack("{s:s%, s:s, s:o}", "digest", index->digest.ptr,
                                             index->digest.len, "mediaType", index->media_type,
                                             "manifest", base64(index->bytes)));
}

static int render(struct pull *p, json_t *tokens, struct error *e) {
  const struct pull_manifest *m = p->manifest;
  json_t *json = json_pack("{s:s%, s:s, s:o, s:o, s:o}", "digest", m->digest.ptr, m->digest.len,
                           "mediaType", m->image.media_type, "manifest", base64(m->bytes), "config",
                           describe(p, &m->image.config), "layers", describe_layers(p));
  if (json != NULL && add_tokens(p, json, tokens) == 0 && add_index(&m->index, json) == 0) {
    p->answer = json_dumps(json, JSON_COMPACT);
  }
  json_decref(json);
  return p->answer == NULL ? out_of_memory(e) : 0;
}

int pull_answer_make(struct pull *p, struct error *e) {
  json_t *tokens = json_array();
  int result = tokens == NULL ? out_of_memory(e) : 0;
  for (size_t i = 0; i < p->count && result == 0; i++) {
    struct pull_blob *b = &p->blobs[i];
    b->json = json_pack("{s:s%, s:I}", "digest", b->digest.ptr, b->digest.len, "size",
                        (json_int_t)b->size);
    result = b->json == NULL ? out_of_memory(e) : 0;
  }
  if (result == 0) {
    result = sign_all(p, tokens, e) == 0 ? render(p, tokens, e) : -1;
  }
  for (size_t i = 0; i < p->count; i++) {
    json_decref(p->blobs[i].json);
    p->blobs[i].json = NULL;
  }
  json_decref(tokens);
  return result;
}
