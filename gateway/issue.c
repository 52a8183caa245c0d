#include "gateway/issue.h"

#include "base/hex.h"

struct slice issue_name(struct slice digest, struct arena *arena) {
  return arena_printf(arena, "sha256-%.*s", SLICE_ARG(slice_from(digest, strlen("sha256:"))));
}

/* Signs into the arena. */
static int sign(const struct gateway_options *o, const struct token *t, struct arena *arena,
                struct slice *out, struct error *e) {
  struct buf text = {0};
  int result = token_sign(o->signing_key, t, &text, e);
  if (result == 0) {
    const char *copy = arena_copy(arena, buf_view(&text));
    *out = slice_of(copy, text.len);
    result = copy == NULL ? error_set(e, ERROR_FAILED, "cannot issue a token: out of memory") : 0;
  }
  buf_free(&text);
  return result;
}

/* Infohashes as a token holds them. */
struct infohashes {
  struct token_infohash bytes[TOKEN_INFOHASHES_MAX];
  struct slice texts[TOKEN_INFOHASHES_MAX];
  char hex[TOKEN_INFOHASHES_MAX][65];
  size_t count;
};

static void add_infohash(struct infohashes *list, const unsigned char *infohash, size_t len) {
  size_t i = list->count++;
  hex_encode(infohash, len, list->hex[i]);
  memcpy(list->bytes[i].bytes, infohash, sizeof list->bytes[i].bytes);
  list->texts[i] = slice_str(list->hex[i]);
}

size_t issue_swarm_max(enum torrent_format format) {
  return format == TORRENT_HYBRID ? TOKEN_INFOHASHES_MAX / 2 : TOKEN_INFOHASHES_MAX;
}

int issue_swarm(const struct gateway_options *o, const struct issue_grant *grant,
                const struct torrent_record *records, size_t count, int64_t now,
                struct arena *arena, char id[33], struct slice *out, struct error *e) {
  struct infohashes list = {.count = 0};
  for (size_t i = 0; i < count; i++) {
    if (records[i].format != TORRENT_V2) {
      add_infohash(&list, records[i].infohash, sizeof records[i].infohash);
    }
    if (records[i].format != TORRENT_V1) {
      add_infohash(&list, records[i].infohash_v2, sizeof records[i].infohash_v2);
    }
  }
  const struct token t = {
      .kind = TOKEN_SWARM,
      .issuer = slice_str(o->issuer),
      .audience = slice_str(o->audience),
      .subject = grant->subject,
      .id = slice_of(id, 32),
      .not_before = now,
      .issued = now,
      .expires = now + o->swarm_ttl,
      .session = now + o->session_ttl,
      .registry = grant->registry,
      .repository = grant->repository,
      .infohashes = list.bytes,
      .infohash_texts = list.texts,
      .infohash_count = list.count,
  };
  return token_new_id(id, e) != 0 ? -1 : sign(o, &t, arena, out, e);
}

int issue_webseed(const struct gateway_options *o, const struct issue_grant *grant,
                  struct slice digest, int64_t now, struct arena *arena, char id[33],
                  struct slice *out, struct error *e) {
  const struct token t = {
      .kind = TOKEN_WEBSEED,
      .issuer = slice_str(o->issuer),
      .audience = slice_str(o->audience),
      .subject = grant->subject,
      .id = slice_of(id, 32),
      .issued = now,
      .expires = now + o->webseed_ttl,
      .registry = grant->registry,
      .repository = grant->repository,
      .digest = digest,
  };
  struct slice token;
  struct slice url = slice_str(o->url);
  if (token_new_id(id, e) != 0 || sign(o, &t, arena, &token, e) != 0) {
    return -1;
  }
  url.len -= slice_ends(url, SLICE("/")) ? 1 : 0;
  *out = arena_printf(arena, "%.*s/webseed/%.*s/", SLICE_ARG(url), SLICE_ARG(token));
  return out->ptr == NULL ? error_set(e, ERROR_FAILED, "cannot issue a token: out of memory") : 0;
}

int issue_torrent(const struct gateway_options *o, const struct issue_grant *grant,
                  const struct torrent_record *record, int64_t now, struct arena *arena,
                  struct buf *out, struct issue_ids *ids, struct error *e) {
  struct slice swarm;
  struct slice webseed;
  if (issue_swarm(o, grant, record, 1, now, arena, ids->swarm, &swarm, e) != 0 ||
      issue_webseed(o, grant, record->digest, now, arena, ids->webseed, &webseed, e) != 0) {
    return -1;
  }
  struct slice announce =
      arena_printf(arena, "%s%cjwt=%.*s", o->announce_url,
                   strchr(o->announce_url, '?') == NULL ? '?' : '&', SLICE_ARG(swarm));
  struct metainfo file = {
      .format = (enum torrent_format)record->format,
      .name = issue_name(record->digest, arena),
      .size = record->size,
      .is_private = true,
      .info = record->info,
      .piece_layers = record->piece_layers,
      .announce = &announce,
      .announce_count = 1,
      .webseeds = &webseed,
      .webseed_count = 1,
  };
  memcpy(file.infohash, record->infohash, sizeof file.infohash);
  memcpy(file.infohash_v2, record->infohash_v2, sizeof file.infohash_v2);
  if (announce.ptr == NULL || file.name.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "cannot make a torrent: out of memory");
  }
  return metainfo_write(&file, out, e);
}

void issue_log(const struct gateway_options *o, const struct issue_grant *grant,
               struct slice digest, const struct issue_ids *ids) {
  log_write(o->log, LOG_LEVEL_INFO, "handed out %.*s of %.*s/%.*s to %.*s, tokens %s and %s",
            SLICE_ARG(digest), SLICE_ARG(grant->registry), SLICE_ARG(grant->repository),
            SLICE_ARG(grant->subject), ids->swarm, ids->webseed);
}
