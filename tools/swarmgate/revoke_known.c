#include "revoke_known.h"

#include "base/clock.h"
#include "base/hex.h"
#include "db/audit_reader.h"
#include "db/torrent_store.h"
#include "db/user_store.h"
#include "tools/issuers.h"
#include "tools/retention.h"

#include <stdio.h>

struct look {
  const struct revoke_target *target;
  bool known;
};

/* --- a user --- */

static bool is_user(struct db_txn *txn, const struct config *c, struct slice value,
                    struct arena *arena) {
  struct slice registry = slice_str(config_service_registry(c));
  struct slice name = slice_from(value, registry.len + 1);
  struct user_record user;
  return slice_starts(value, registry) && name.len > 0 && value.ptr[registry.len] == '/' &&
         user_store_get(txn, name, arena, &user, NULL) == 0;
}

static int find_user(struct db_txn *txn, void *arg, struct error *e) {
  struct look *look = arg;
  const struct revoke_target *t = look->target;
  struct arena arena = {0};
  (void)e;
  for (size_t i = 0; i < t->count && t->config.token_service.present; i++) {
    look->known |= is_user(txn, &t->config, t->values[i], &arena);
  }
  arena_free(&arena);
  return 0;
}

/* What a revocation alone says of a name does not make it known. */
static bool is_told(void *arg, struct slice line, json_t *event) {
  struct look *look = arg;
  const char *what = json_string_value(json_object_get(event, "event"));
  (void)line;
  look->known |= what != NULL && strcmp(what, "revoke") != 0 && strcmp(what, "ban") != 0 &&
                 strcmp(what, "unrevoke") != 0;
  return !look->known;
}

static bool is_known_user(const struct revoke_target *t, struct db *db) {
  struct look look = {.target = t};
  uint64_t torn;
  if (db_read(db, find_user, &look, NULL) != 0) {
    return true;
  }
  int64_t since = clock_now() - retention_seconds(&t->config);
  for (size_t i = 0; i < t->count && !look.known; i++) {
    const struct audit_query query = {.since = since * 1000, .name = t->values[i]};
    look.known |= audit_read(t->config.data_dir.text, &query, is_told, &look, &torn, NULL) != 0;
  }
  return look.known;
}

/* --- a torrent --- */

static int find_torrent(struct db_txn *txn, void *arg, struct error *e) {
  struct look *look = arg;
  struct slice hex = look->target->values[0];
  unsigned char infohash[20];
  struct torrent_record record;
  struct arena arena = {0};
  struct error why = {0};
  (void)e;
  hex_decode(slice_of(hex.ptr, 2 * sizeof infohash), infohash, sizeof infohash);
  look->known =
      torrent_store_get(txn, infohash, &arena, &record, &why) == 0 || why.kind != ERROR_NOT_FOUND;
  arena_free(&arena);
  return 0;
}

static bool is_known_torrent(const struct revoke_target *t, struct db *db) {
  struct look look = {.target = t};
  return db_read(db, find_torrent, &look, NULL) != 0 || look.known;
}

/* --- a key --- */

/* A key of somebody else without a `kid` is called by its tokens what they like. */
static bool may_be_called(const struct trust_row *row, struct slice kid) {
  bool may = row->source != NULL;
  for (size_t i = 0; i < row->keys.count && !may && !row->own; i++) {
    const char *known = row->keys.keys[i].kid;
    may = known == NULL || slice_equal(slice_str(known), kid);
  }
  return may;
}

/* By the JWKS that says what our own keys are called. */
static bool is_our_key(struct keyring *keyring, struct slice kid) {
  struct buf text = {0};
  size_t i;
  json_t *one;
  bool found = keyring_jwks(keyring, clock_now(), &text, NULL) != 0;
  json_t *jwks = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len, 0, NULL);
  json_array_foreach(json_object_get(jwks, "keys"), i, one) {
    const char *own = json_string_value(json_object_get(one, "kid"));
    found |= own != NULL && slice_equal(slice_str(own), kid);
  }
  json_decref(jwks);
  buf_free(&text);
  return found;
}

static bool is_known_key(const struct revoke_target *t) {
  struct keyring_state *keys = NULL;
  if (issuers_load(&t->config, &keys, NULL) != 0) {
    return true;
  }
  bool known = false;
  for (size_t i = 0; i < keys->trust.count && !known; i++) {
    known = may_be_called(&keys->trust.rows[i], t->values[0]);
  }
  struct keyring *keyring = keyring_new(keys);
  if (keyring == NULL) {
    keyring_state_free(keys);
    return true;
  }
  known = known || is_our_key(keyring, t->values[0]);
  keyring_free(keyring);
  return known;
}

void revoke_known_note(const struct revoke_target *t, struct db *db) {
  const char *what = NULL;
  if (t->kind == REVOCATION_SUB && !is_known_user(t, db)) {
    what = "nobody of that name is known here: there is no such user, and no token that may still "
           "be good was issued to one; is it misspelt?";
  } else if (t->kind == REVOCATION_INFOHASH && !is_known_torrent(t, db)) {
    what = "no torrent of that infohash is registered here; is it misspelt?";
  } else if (t->kind == REVOCATION_KID && !is_known_key(t)) {
    what = "no key of that id is trusted here; is it misspelt?";
  }
  if (what != NULL) {
    fprintf(stderr, "swarmgate: note: %s\n", what);
  }
}
