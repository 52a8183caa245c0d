#include "auth/keyring.h"

#include "auth/jwk.h"
#include "auth/keyset.h"
#include "base/cleanup.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

struct keyring {
  pthread_mutex_t writing; /* held from looking at the state until another has its place */
  pthread_mutex_t lock;    /* of the pointer, for as long as it takes to count a holder */
  struct keyring_state *state;
  _Atomic uint64_t generation; /* of the state, to be read without the lock */
};

/* --- a state --- */

struct keyring_state *keyring_state_new(void) {
  struct keyring_state *state = calloc(1, sizeof *state);
  if (state != NULL) {
    state->holders = 1;
    state->generation = 1;
  }
  return state;
}

static void free_signer(struct keyring_signer *signer) {
  key_free(&signer->key);
  free(signer->issuer);
  free(signer->audience);
}

void keyring_state_free(struct keyring_state *state) {
  if (state != NULL) {
    trust_free(&state->trust);
    free_signer(&state->swarm);
    free_signer(&state->service);
    free(state);
  }
}

const struct key *keyring_find_own(const struct trust *trust, const struct key *key) {
  for (size_t i = 0; i < trust->count; i++) {
    const struct trust_row *row = &trust->rows[i];
    const struct key *found = row->own ? keyset_find(&row->keys, key) : NULL;
    if (found != NULL) {
      return found;
    }
  }
  return NULL;
}

void keyring_retire_own(const struct trust *trust, struct keyset *keys) {
  for (size_t k = 0; k < keys->count; k++) {
    struct key *key = &keys->keys[k];
    const struct key *own = keyring_find_own(trust, key);
    if (own != NULL && own->retired != 0) {
      key->expires = own->expires;
      key->retired = own->retired;
    }
  }
}

/* --- the one in force --- */

struct keyring *keyring_new(struct keyring_state *state) {
  struct keyring *keyring = calloc(1, sizeof *keyring);
  if (keyring != NULL) {
    pthread_mutex_init(&keyring->writing, NULL);
    pthread_mutex_init(&keyring->lock, NULL);
    keyring->state = state;
    keyring->generation = state->generation;
  }
  return keyring;
}

void keyring_free(struct keyring *keyring) {
  if (keyring != NULL) {
    keyring_release(keyring->state);
    pthread_mutex_destroy(&keyring->lock);
    pthread_mutex_destroy(&keyring->writing);
    free(keyring);
  }
}

struct keyring_state *keyring_hold(struct keyring *keyring) {
  pthread_mutex_lock(&keyring->lock);
  struct keyring_state *state = keyring->state;
  atomic_fetch_add(&state->holders, 1);
  pthread_mutex_unlock(&keyring->lock);
  return state;
}

void keyring_release(struct keyring_state *state) {
  if (atomic_fetch_sub(&state->holders, 1) == 1) {
    keyring_state_free(state);
  }
}

uint64_t keyring_generation(const struct keyring *keyring) {
  return atomic_load(&keyring->generation);
}

/* A reload may come long after the rotation; until then the old key has signed here, and who is at
 * it this moment may see the clock go on. */
static void prolong(struct trust *fresh, const struct trust *old, int64_t now) {
  for (size_t i = 0; i < fresh->count; i++) {
    struct keyset *keys = &fresh->rows[i].keys;
    for (size_t k = 0; k < keys->count; k++) {
      struct key *key = &keys->keys[k];
      const struct key *was = key->retired == 0 ? NULL : keyring_find_own(old, key);
      int64_t until = was == NULL ? 0 : was->retired == 0 ? now + 1 : was->retired;
      if (until > key->retired) {
        key->expires += key->expires == 0 ? 0 : until - key->retired;
        key->retired = until;
      }
    }
  }
}

/* Under the lock of who writes. */
static void replace(struct keyring *keyring, struct keyring_state *fresh, int64_t now) {
  struct keyring_state *old = keyring_hold(keyring);
  prolong(&fresh->trust, &old->trust, now);
  pthread_mutex_lock(&keyring->lock);
  struct keyring_state *replaced = keyring->state;
  fresh->generation = replaced->generation + 1;
  keyring->state = fresh;
  atomic_store(&keyring->generation, fresh->generation);
  pthread_mutex_unlock(&keyring->lock);
  keyring_release(replaced);
  keyring_release(old);
}

void keyring_replace(struct keyring *keyring, struct keyring_state *fresh, int64_t now) {
  pthread_mutex_lock(&keyring->writing);
  replace(keyring, fresh, now);
  pthread_mutex_unlock(&keyring->writing);
}

/* --- keys that are fetched --- */

static bool is_from(const struct trust_row *row, const char *url) {
  return row->source != NULL && strcmp(row->source->url, url) == 0;
}

static const struct trust_row *find_source(const struct trust *trust, const char *url) {
  for (size_t i = 0; i < trust->count; i++) {
    if (is_from(&trust->rows[i], url)) {
      return &trust->rows[i];
    }
  }
  return NULL;
}

/* Under the lock of who writes: what is fetched meanwhile must not be lost. */
static int keep_fetched(struct keyring *keyring, struct keyring_state *fresh, struct error *e) {
  struct keyring_state *old = keyring_hold(keyring);
  int result = 0;
  for (size_t i = 0; i < fresh->trust.count && result == 0; i++) {
    struct trust_row *row = &fresh->trust.rows[i];
    const struct trust_row *before =
        row->source == NULL ? NULL : find_source(&old->trust, row->source->url);
    if (before != NULL) {
      keyset_free(&row->keys);
      result = keyset_copy(&before->keys, &row->keys, e);
      keyring_retire_own(&fresh->trust, &row->keys);
    }
  }
  keyring_release(old);
  return result;
}

int keyring_reload(struct keyring *keyring, struct keyring_state *fresh, int64_t now,
                   struct error *e) {
  pthread_mutex_lock(&keyring->writing);
  int result = keep_fetched(keyring, fresh, e);
  if (result == 0) {
    replace(keyring, fresh, now);
  }
  pthread_mutex_unlock(&keyring->writing);
  return result;
}

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot take up other keys: out of memory");
}

static int copy_text(const char *text, char **out, struct error *e) {
  *out = text == NULL ? NULL : strdup(text);
  return text != NULL && *out == NULL ? out_of_memory(e) : 0;
}

static int copy_signer(const struct keyring_signer *from, struct keyring_signer *to,
                       struct error *e) {
  return copy_text(from->issuer, &to->issuer, e) != 0 ||
                 copy_text(from->audience, &to->audience, e) != 0
             ? -1
             : key_copy(&from->key, &to->key, e);
}

/* A row with those keys; the row is to be freed even after a failure. */
static int copy_row(const struct trust_row *from, const struct keyset *keys, struct trust_row *to,
                    struct error *e) {
  *to =
      (struct trust_row){.algorithms = from->algorithms, .accept = from->accept, .own = from->own};
  if (from->source != NULL && (to->source = trust_source_new(from->source->url)) == NULL) {
    return out_of_memory(e);
  }
  return copy_text(from->issuer, &to->issuer, e) != 0 ||
                 copy_text(from->audience, &to->audience, e) != 0 ||
                 copy_text(from->registry, &to->registry, e) != 0
             ? -1
             : keyset_copy(keys, &to->keys, e);
}

/* A copy of a state with other keys in the rows of that source. */
static int copy_state(const struct keyring_state *from, const char *url, const struct keyset *keys,
                      struct keyring_state *to, struct error *e) {
  const struct trust *trust = &from->trust;
  to->trust = (struct trust){.rows = calloc(trust->count + 1, sizeof *trust->rows),
                             .leeway = trust->leeway,
                             .lifetime = trust->lifetime};
  if (to->trust.rows == NULL) {
    return out_of_memory(e);
  }
  for (size_t i = 0; i < trust->count; i++) {
    const struct trust_row *row = &trust->rows[i];
    struct trust_row *copy = &to->trust.rows[to->trust.count++];
    if (copy_row(row, is_from(row, url) ? keys : &row->keys, copy, e) != 0) {
      return -1;
    }
  }
  return copy_signer(&from->swarm, &to->swarm, e) != 0
             ? -1
             : copy_signer(&from->service, &to->service, e);
}

/* Under the lock of who writes. */
static int replace_fetched(struct keyring *keyring, const char *url, const struct keyset *keys,
                           int64_t now, struct error *e) {
  struct keyring_state *fresh = keyring_state_new();
  struct keyring_state *old = keyring_hold(keyring);
  int result = fresh == NULL ? out_of_memory(e) : copy_state(old, url, keys, fresh, e);
  keyring_release(old);
  if (result != 0) {
    keyring_state_free(fresh);
    return -1;
  }
  replace(keyring, fresh, now);
  return 0;
}

int keyring_replace_fetched(struct keyring *keyring, const char *url, const struct keyset *keys,
                            int64_t now, bool *changed, struct error *e) {
  struct keyset wanted;
  if (keyset_copy(keys, &wanted, e) != 0) {
    return -1;
  }
  pthread_mutex_lock(&keyring->writing);
  struct keyring_state *old = keyring_hold(keyring);
  const struct trust_row *row = find_source(&old->trust, url);
  keyring_retire_own(&old->trust, &wanted);
  *changed = row != NULL && !keyset_equal(&row->keys, &wanted);
  keyring_release(old);
  int result = *changed ? replace_fetched(keyring, url, &wanted, now, e) : 0;
  pthread_mutex_unlock(&keyring->writing);
  keyset_free(&wanted);
  return result;
}

/* --- what is done with it --- */

static bool keep(struct slice *text, struct arena *arena) {
  *text = slice_of(arena_copy(arena, *text), text->len);
  return text->ptr != NULL;
}

enum token_verdict keyring_verify(struct keyring *keyring, struct slice jws, unsigned kinds,
                                  int64_t now, struct arena *arena, struct token *out,
                                  struct error *why) {
  struct keyring_state *state = keyring_hold(keyring);
  enum token_verdict verdict = token_verify(&state->trust, jws, kinds, now, arena, out, why);
  /* The state may be gone before the token is. */
  if (verdict != TOKEN_INVALID && (!keep(&out->audience, arena) || !keep(&out->key_id, arena) ||
                                   (out->kind == TOKEN_REGISTRY && !keep(&out->registry, arena)))) {
    error_set(why, ERROR_FAILED, "out of memory");
    *out = (struct token){0};
    verdict = TOKEN_INVALID;
  }
  keyring_release(state);
  return verdict;
}

static const struct keyring_signer *signer_of(const struct keyring_state *state,
                                              enum token_kind kind) {
  return kind == TOKEN_REGISTRY ? &state->service : &state->swarm;
}

bool keyring_signs(struct keyring *keyring, enum token_kind kind) {
  struct keyring_state *state = keyring_hold(keyring);
  bool signs = signer_of(state, kind)->key.pkey != NULL;
  keyring_release(state);
  return signs;
}

int keyring_sign(struct keyring *keyring, const struct token *t, struct buf *out, struct error *e) {
  struct keyring_state *state = keyring_hold(keyring);
  const struct keyring_signer *signer = signer_of(state, t->kind);
  struct token signed_here = *t;
  signed_here.issuer = slice_str(signer->issuer);
  signed_here.audience = slice_str(signer->audience);
  int status = signer->key.pkey == NULL
                   ? error_set(e, ERROR_FAILED, "there is no key here to sign such a token with")
                   : token_sign(&signer->key, &signed_here, out, e);
  keyring_release(state);
  return status;
}

/* A copy that owns nothing but its name; false when there is no memory for that. */
static bool name_as_in_tokens(const struct key *key, const struct trust_row *row,
                              struct key *named) {
  *named = *key;
  named->kid = row->accept == TOKEN_REGISTRY ? key_libtrust_id(key) : key_thumbprint(key);
  return named->kid != NULL;
}

int keyring_jwks(struct keyring *keyring, int64_t now, struct buf *out, struct error *e) {
  struct keyring_state *state = keyring_hold(keyring);
  struct key keys[KEYSET_MAX];
  size_t count = 0;
  bool ok = true;
  for (size_t i = 0; i < state->trust.count; i++) {
    const struct trust_row *row = &state->trust.rows[i];
    for (size_t k = 0; row->own && k < row->keys.count && count < KEYSET_MAX && ok; k++) {
      const struct key *key = &row->keys.keys[k];
      if (key->expires == 0 || now < key->expires) {
        ok = name_as_in_tokens(key, row, &keys[count++]);
      }
    }
  }
  int status = ok ? jwks_write(keys, count, out, e)
                  : error_set(e, ERROR_FAILED, "cannot write a JWKS: out of memory");
  for (size_t i = 0; i < count; i++) {
    free(keys[i].kid);
  }
  keyring_release(state);
  return status;
}
