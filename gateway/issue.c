#include "gateway/issue.h"

#include "base/hex.h"

struct slice issue_name(struct slice digest, struct arena *arena) {
  return arena_printf(arena, "sha256-%.*s", SLICE_ARG(slice_from(digest, strlen("sha256:"))));
}

/* Makes room for another. */
static bool make_room(struct issued *issued, struct arena *arena) {
  size_t room = issued->room == 0 ? 2 : 2 * issued->room;
  if (issued->count < issued->room) {
    return true;
  }
  struct audit_event *events = arena_alloc(arena, room * sizeof *events);
  if (events == NULL) {
    return false;
  }
  if (issued->count > 0) {
    memcpy(events, issued->events, issued->count * sizeof *events);
  }
  issued->events = events;
  issued->room = room;
  return true;
}

static void record(struct issued *issued, const struct token *t, struct slice from) {
  issued->events[issued->count++] = (struct audit_event){
      .event = SLICE("token"),
      .kind = t->kind == TOKEN_SWARM ? SLICE("swarm") : SLICE("webseed"),
      .jti = t->id,
      .sub = t->subject,
      .registry = t->registry,
      .repository = t->repository,
      .digest = t->digest,
      .infohashes = t->infohash_texts,
      .infohash_count = t->infohash_count,
      .exp = t->expires,
      .session = t->session,
      .from = from,
  };
}

/* Signs into the arena, under a fresh `jti` there. */
static int sign(const struct gateway_options *o, struct token *t, struct slice from,
                struct arena *arena, struct issued *issued, struct slice *out, struct error *e) {
  char *id = arena_alloc(arena, 33);
  if (id == NULL || !make_room(issued, arena)) {
    return error_set(e, ERROR_FAILED, "cannot issue a token: out of memory");
  }
  if (token_new_id(id, e) != 0) {
    return -1;
  }
  t->id = slice_str(id);
  struct buf text = {0};
  int result = keyring_sign(o->keyring, t, &text, e);
  if (result == 0) {
    const char *copy = arena_copy(arena, buf_view(&text));
    *out = slice_of(copy, text.len);
    result = copy == NULL ? error_set(e, ERROR_FAILED, "cannot issue a token: out of memory") : 0;
  }
  buf_free(&text);
  if (result == 0) {
    record(issued, t, from);
  }
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
                struct arena *arena, struct issued *issued, struct slice *out, struct error *e) {
  struct infohashes *list = arena_alloc(arena, sizeof *list);
  if (list == NULL) {
    return error_set(e, ERROR_FAILED, "cannot issue a token: out of memory");
  }
  for (size_t i = 0; i < count; i++) {
    if (records[i].format != TORRENT_V2) {
      add_infohash(list, records[i].infohash, sizeof records[i].infohash);
    }
    if (records[i].format != TORRENT_V1) {
      add_infohash(list, records[i].infohash_v2, sizeof records[i].infohash_v2);
    }
  }
  struct token t = {
      .kind = TOKEN_SWARM,
      .subject = grant->subject,
      .not_before = now,
      .issued = now,
      .expires = now + o->swarm_ttl,
      .session = now + o->session_ttl,
      .registry = grant->registry,
      .repository = grant->repository,
      .infohashes = list->bytes,
      .infohash_texts = list->texts,
      .infohash_count = list->count,
  };
  return sign(o, &t, grant->from, arena, issued, out, e);
}

int issue_webseed(const struct gateway_options *o, const struct issue_grant *grant,
                  struct slice digest, int64_t now, struct arena *arena, struct issued *issued,
                  struct slice *out, struct error *e) {
  struct token t = {
      .kind = TOKEN_WEBSEED,
      .subject = grant->subject,
      .issued = now,
      .expires = now + o->webseed_ttl,
      .registry = grant->registry,
      .repository = grant->repository,
      .digest = digest,
  };
  struct slice token = {0};
  struct slice url = slice_str(o->url);
  if (sign(o, &t, grant->from, arena, issued, &token, e) != 0) {
    return -1;
  }
  url.len -= slice_ends(url, SLICE("/")) ? 1 : 0;
  *out = arena_printf(arena, "%.*s/webseed/%.*s/", SLICE_ARG(url), SLICE_ARG(token));
  return out->ptr == NULL ? error_set(e, ERROR_FAILED, "cannot issue a token: out of memory") : 0;
}

int issue_file(const struct gateway_options *o, const struct torrent_record *record,
               struct slice swarm, struct slice webseed, struct arena *arena, struct buf *out,
               struct error *e) {
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

int issue_torrent(const struct gateway_options *o, const struct issue_grant *grant,
                  const struct torrent_record *record, int64_t now, struct arena *arena,
                  struct issued *issued, struct buf *out, struct error *e) {
  struct slice swarm = {0};
  struct slice webseed = {0};
  if (issue_swarm(o, grant, record, 1, now, arena, issued, &swarm, e) != 0 ||
      issue_webseed(o, grant, record->digest, now, arena, issued, &webseed, e) != 0) {
    return -1;
  }
  return issue_file(o, record, swarm, webseed, arena, out, e);
}

void issue_log(const struct gateway_options *o, const struct issued *issued) {
  for (size_t i = 0; i < issued->count; i++) {
    const struct audit_event *t = &issued->events[i];
    log_write(o->log, LOG_LEVEL_INFO, "handed out the %.*s token %.*s for %.*s/%.*s%s%.*s to %.*s",
              SLICE_ARG(t->kind), SLICE_ARG(t->jti), SLICE_ARG(t->registry),
              SLICE_ARG(t->repository), t->digest.len > 0 ? " " : "", SLICE_ARG(t->digest),
              SLICE_ARG(t->sub));
  }
}
