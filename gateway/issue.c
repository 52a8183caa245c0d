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

static int swarm_token(const struct gateway_options *o, const struct issue_grant *grant,
                       const struct torrent_record *record, int64_t now, struct arena *arena,
                       char id[33], struct slice *out, struct error *e) {
  char v1[41];
  char v2[65];
  struct slice texts[2];
  struct token_infohash infohashes[2];
  size_t count = 0;
  if (record->format != TORRENT_V2) {
    hex_encode(record->infohash, sizeof record->infohash, v1);
    memcpy(infohashes[count].bytes, record->infohash, sizeof infohashes[count].bytes);
    texts[count++] = slice_str(v1);
  }
  if (record->format != TORRENT_V1) {
    hex_encode(record->infohash_v2, sizeof record->infohash_v2, v2);
    memcpy(infohashes[count].bytes, record->infohash_v2, sizeof infohashes[count].bytes);
    texts[count++] = slice_str(v2);
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
      .infohashes = infohashes,
      .infohash_texts = texts,
      .infohash_count = count,
  };
  return sign(o, &t, arena, out, e);
}

static int webseed_token(const struct gateway_options *o, const struct issue_grant *grant,
                         const struct torrent_record *record, int64_t now, struct arena *arena,
                         char id[33], struct slice *out, struct error *e) {
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
      .digest = record->digest,
  };
  return sign(o, &t, arena, out, e);
}

int issue_torrent(const struct gateway_options *o, const struct issue_grant *grant,
                  const struct torrent_record *record, int64_t now, struct arena *arena,
                  struct buf *out, struct issue_ids *ids, struct error *e) {
  struct slice swarm;
  struct slice webseed;
  if (token_new_id(ids->swarm, e) != 0 || token_new_id(ids->webseed, e) != 0 ||
      swarm_token(o, grant, record, now, arena, ids->swarm, &swarm, e) != 0 ||
      webseed_token(o, grant, record, now, arena, ids->webseed, &webseed, e) != 0) {
    return -1;
  }
  struct slice url = slice_str(o->url);
  url.len -= slice_ends(url, SLICE("/")) ? 1 : 0;
  struct slice announce =
      arena_printf(arena, "%s%cjwt=%.*s", o->announce_url,
                   strchr(o->announce_url, '?') == NULL ? '?' : '&', SLICE_ARG(swarm));
  struct slice seed = arena_printf(arena, "%.*s/webseed/%.*s/", SLICE_ARG(url), SLICE_ARG(webseed));
  struct metainfo file = {
      .format = (enum torrent_format)record->format,
      .name = issue_name(record->digest, arena),
      .size = record->size,
      .is_private = true,
      .info = record->info,
      .piece_layers = record->piece_layers,
      .announce = &announce,
      .announce_count = 1,
      .webseeds = &seed,
      .webseed_count = 1,
  };
  memcpy(file.infohash, record->infohash, sizeof file.infohash);
  memcpy(file.infohash_v2, record->infohash_v2, sizeof file.infohash_v2);
  if (announce.ptr == NULL || seed.ptr == NULL || file.name.ptr == NULL) {
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
