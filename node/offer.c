#include "node/offer.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "image/json.h"
#include "image/reference.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum { SHA256_SIZE = 32 };
static const int64_t TIME_MAX = INT64_C(1) << 40;

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* Seconds, from 0 on, and so few that nobody's sums of them run over. */
static int64_t time_of(const json_t *object, const char *key) {
  json_int_t seconds = json_integer_value(json_object_get(object, key));
  return seconds < 0 ? 0 : seconds > TIME_MAX ? TIME_MAX : (int64_t)seconds;
}

static const char *text_of(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

/* A member in base64, decoded into the arena. */
static int bytes_of(const json_t *object, const char *key, struct arena *arena, struct slice *out,
                    struct error *e) {
  const json_t *value = json_object_get(object, key);
  struct slice text = slice_of(json_string_value(value), json_string_length(value));
  size_t len;
  if (text.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "%s is missing", key);
  }
  char *bytes = arena_alloc(arena, text.len / 4 * 3 + 2);
  if (bytes == NULL) {
    return out_of_memory(e);
  }
  if (!base64_decode(BASE64_STANDARD, text, bytes, &len)) {
    return error_set(e, ERROR_FAILED, "%s is not base64", key);
  }
  *out = slice_of(bytes, len);
  return 0;
}

static int check_digest(struct slice bytes, const char *digest, struct error *e) {
  unsigned char sha256[SHA256_SIZE];
  char text[sizeof "sha256:" + sizeof sha256 * 2] = "sha256:";
  if (EVP_Digest(bytes.ptr, bytes.len, sha256, NULL, EVP_sha256(), NULL) != 1) {
    return error_set(e, ERROR_FAILED, "cannot hash the manifest");
  }
  hex_encode(sha256, sizeof sha256, text + sizeof "sha256:" - 1);
  return strcmp(text, digest) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH, "the manifest is %s, but it should be %.80s", text,
                         digest);
}

/* Digest and bytes, which are its. */
static int read_bytes(const json_t *object, struct arena *arena, const char **digest,
                      struct slice *bytes, struct error *e) {
  struct slice text = slice_str(text_of(object, "digest"));
  if (!image_digest_valid(text)) {
    return error_set(e, ERROR_FAILED, "digest is missing or no digest");
  }
  *digest = arena_copy(arena, text);
  if (*digest == NULL) {
    return out_of_memory(e);
  }
  return bytes_of(object, "manifest", arena, bytes, e) != 0 ? -1 : check_digest(*bytes, *digest, e);
}

static bool names(const struct image_manifest *index, const char *digest) {
  for (size_t i = 0; i < index->layer_count; i++) {
    if (strcmp(index->layers[i].digest, digest) == 0) {
      return true;
    }
  }
  return false;
}

/* An index has to be one, and of this image. */
static int read_index(const json_t *answer, struct offer *o, struct error *e) {
  const json_t *object = json_object_get(answer, "index");
  struct image_manifest index;
  if (object == NULL) {
    return 0;
  }
  if (read_bytes(object, &o->arena, &o->index.digest, &o->index.manifest, e) != 0 ||
      image_manifest_parse(o->index.manifest, text_of(object, "mediaType"), &o->arena, &index, e) !=
          0) {
    return error_context(e, "index");
  }
  o->index.media_type = index.media_type;
  return !index.is_index ? error_set(e, ERROR_FAILED, "index is none")
         : !names(&index, o->digest)
             ? error_set(e, ERROR_FAILED, "index does not name the manifest")
             : 0;
}

static int read_manifest(const json_t *answer, struct offer *o, struct image_manifest *manifest,
                         struct error *e) {
  if (read_bytes(answer, &o->arena, &o->digest, &o->manifest, e) != 0 ||
      image_manifest_parse(o->manifest, text_of(answer, "mediaType"), &o->arena, manifest, e) !=
          0) {
    return -1;
  }
  if (manifest->is_index) {
    return error_set(e, ERROR_FAILED, "an image's manifest is wanted, and this is an index");
  }
  o->media_type = manifest->media_type;
  return read_index(answer, o, e);
}

/* What the answer says of a blob: its config, or one of its layers. */
static const json_t *find_entry(const json_t *answer, const char *digest) {
  const json_t *layers = json_object_get(answer, "layers");
  const json_t *config = json_object_get(answer, "config");
  const char *of_config = text_of(config, "digest");
  if (of_config != NULL && strcmp(of_config, digest) == 0) {
    return config;
  }
  for (size_t i = 0; i < json_array_size(layers); i++) {
    const json_t *layer = json_array_get(layers, i);
    const char *of_layer = text_of(layer, "digest");
    if (of_layer != NULL && strcmp(of_layer, digest) == 0) {
      return layer;
    }
  }
  return NULL;
}

static int check_torrent(const struct offer_blob *blob, struct error *e) {
  const struct metainfo *m = &blob->metainfo;
  struct slice name = m->name;
  if (!m->is_private || m->size != blob->size || !slice_starts(name, SLICE("sha256-")) ||
      !slice_equal(slice_from(name, sizeof "sha256-" - 1),
                   slice_str(blob->digest + sizeof "sha256:" - 1))) {
    return error_set(e, ERROR_FAILED, "its torrent is not private, or of something else");
  }
  if (m->webseed_count == 0 || !slice_ends(m->webseeds[0], SLICE("/"))) {
    return error_set(e, ERROR_FAILED, "its torrent has no webseed that ends in a slash");
  }
  return 0;
}

static int read_torrent(const json_t *answer, struct offer *o, struct offer_blob *blob,
                        struct error *e) {
  const json_t *entry = find_entry(answer, blob->digest);
  if (entry == NULL || json_object_get(entry, "torrent") == NULL) {
    return error_set(e, ERROR_FAILED, "the answer has no torrent of it");
  }
  if (bytes_of(entry, "torrent", &o->arena, &blob->torrent, e) != 0 ||
      metainfo_read(blob->torrent, &o->arena, &blob->metainfo, e) != 0 ||
      check_torrent(blob, e) != 0) {
    return -1;
  }
  struct slice url = arena_printf(&o->arena, "%.*s%.*s", SLICE_ARG(blob->metainfo.webseeds[0]),
                                  SLICE_ARG(blob->metainfo.name));
  blob->webseed = url.ptr;
  return url.ptr == NULL ? out_of_memory(e) : 0;
}

static int read_blobs(const json_t *answer, const struct image_manifest *manifest, struct offer *o,
                      struct error *e) {
  const struct image_descriptor *blobs =
      image_manifest_blobs(manifest, &o->arena, &o->blob_count, e);
  if (blobs == NULL) {
    return -1;
  }
  o->blobs = arena_alloc(&o->arena, (o->blob_count + 1) * sizeof *o->blobs);
  if (o->blobs == NULL) {
    return out_of_memory(e);
  }
  for (size_t i = 0; i < o->blob_count; i++) {
    struct offer_blob *blob = &o->blobs[i];
    *blob = (struct offer_blob){
        .digest = blobs[i].digest, .media_type = blobs[i].media_type, .size = blobs[i].size};
    o->size += blob->size;
    if (blob->size > 0 && read_torrent(answer, o, blob, e) != 0) {
      return error_context(e, "%s", blob->digest);
    }
  }
  return 0;
}

int offer_parse(struct slice json, struct offer *out, struct error *e) {
  struct image_manifest manifest;
  *out = (struct offer){0};
  CLEANUP(image_json_release) json_t *answer = image_json_read_long(json, OFFER_MAX, e);
  if (answer == NULL) {
    return error_context(e, "the gateway's answer, if it is a swarmgate gateway");
  }
  out->lifetime = time_of(answer, "expires_in");
  out->session = time_of(answer, "session");
  int result = read_manifest(answer, out, &manifest, e);
  if (result == 0) {
    result = read_blobs(answer, &manifest, out, e);
  }
  if (result != 0) {
    offer_free(out);
    return error_context(e, "the gateway's answer");
  }
  return 0;
}

bool offer_answers(const struct offer *offer, const char *reference) {
  return strchr(reference, ':') == NULL || strcmp(reference, offer->digest) == 0 ||
         (offer->index.digest != NULL && strcmp(reference, offer->index.digest) == 0);
}

void offer_free(struct offer *offer) {
  arena_free(&offer->arena);
  *offer = (struct offer){0};
}
