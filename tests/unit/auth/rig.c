#include "unit/auth/rig.h"

#include "auth/jws.h"
#include "unit/cmocka_all.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <unistd.h>

static char *text_of(const char *s) {
  char *copy = strdup(s);
  assert_non_null(copy);
  return copy;
}

struct slice rig_public_pem(struct rig *rig, EVP_PKEY *pkey) {
  BIO *bio = BIO_new(BIO_s_mem());
  char *text = NULL;
  assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
  size_t len = (size_t)BIO_get_mem_data(bio, &text);
  struct slice pem = slice_of(arena_copy(&rig->arena, slice_of(text, len)), len);
  BIO_free(bio);
  return pem;
}

struct slice rig_jwks(struct rig *rig, int first, int second) {
  const int which[2] = {first, second};
  char paths[2][32];
  const char *names[2];
  struct buf out = {0};
  for (size_t i = 0; i < 2; i++) {
    strcpy(paths[i], "/tmp/swarmgate-rig-XXXXXX");
    int fd = mkstemp(paths[i]);
    assert_true(fd >= 0);
    const struct buf *pem = &rig->pem[which[i]];
    assert_int_equal(write(fd, pem->ptr, pem->len), pem->len);
    close(fd);
    names[i] = paths[i];
  }
  struct error e = {0};
  assert_int_equal(key_jwks(names, 2, &out, &e), 0);
  unlink(paths[0]);
  unlink(paths[1]);
  struct slice copy = slice_of(arena_copy(&rig->arena, buf_view(&out)), out.len);
  buf_free(&out);
  return copy;
}

int rig_set_up(void **state) {
  static const enum key_algorithm algorithms[RIG_KEYS] = {KEY_ES256, KEY_RS256, KEY_EDDSA,
                                                          KEY_ES256};
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  struct error e = {0};
  for (size_t i = 0; i < RIG_KEYS; i++) {
    assert_int_equal(key_generate(algorithms[i], &rig->pem[i], &e), 0);
    assert_int_equal(key_parse_private(buf_view(&rig->pem[i]), "rig", &rig->keys[i], &e), 0);
  }
  rig->trust.leeway = 60;
  rig->trust.count = 3;
  rig->trust.rows = calloc(rig->trust.count, sizeof *rig->trust.rows);
  assert_non_null(rig->trust.rows);
  rig->trust.rows[0] = (struct trust_row){.issuer = text_of("swarmgate"),
                                          .audience = text_of("tracker"),
                                          .algorithms = KEY_ES256 | KEY_EDDSA,
                                          .accept = TOKEN_SWARM | TOKEN_WEBSEED};
  rig->trust.rows[1] = (struct trust_row){.issuer = text_of("auth.example"),
                                          .audience = text_of("registry.example"),
                                          .algorithms = KEY_ES256 | KEY_RS256,
                                          .accept = TOKEN_REGISTRY,
                                          .registry = text_of("registry.example")};
  rig->trust.rows[2] = (struct trust_row){.issuer = text_of("narrow"),
                                          .audience = text_of("tracker"),
                                          .algorithms = KEY_RS256,
                                          .accept = TOKEN_SWARM};
  assert_int_equal(
      keyset_parse(rig_jwks(rig, RIG_ES256, RIG_EDDSA), "jwks", &rig->trust.rows[0].keys, &e), 0);
  assert_int_equal(
      keyset_parse(buf_view(&rig->pem[RIG_RS256]), "pem", &rig->trust.rows[1].keys, &e), 0);
  assert_int_equal(
      keyset_parse(buf_view(&rig->pem[RIG_ES256]), "pem", &rig->trust.rows[2].keys, &e), 0);
  struct keyring_state *held = keyring_state_new();
  assert_non_null(held);
  held->trust = rig->trust;
  rig->keyring = keyring_new(held);
  assert_non_null(rig->keyring);
  *state = rig;
  return 0;
}

int rig_tear_down(void **state) {
  struct rig *rig = *state;
  keyring_free(rig->keyring);
  for (size_t i = 0; i < RIG_KEYS; i++) {
    key_free(&rig->keys[i]);
    buf_free(&rig->pem[i]);
  }
  arena_free(&rig->arena);
  free(rig);
  return 0;
}

struct slice rig_jws(struct rig *rig, int key, const char *header, struct slice payload) {
  struct buf out = {0};
  struct error e = {0};
  assert_int_equal(jws_write(&rig->keys[key], slice_str(header), payload, &out, &e), 0);
  struct slice copy = slice_of(arena_copy(&rig->arena, buf_view(&out)), out.len);
  buf_free(&out);
  return copy;
}

struct token rig_swarm_claims(void) {
  static const struct slice texts[1] = {{RIG_HEX_V1, sizeof RIG_HEX_V1 - 1}};
  return (struct token){.kind = TOKEN_SWARM,
                        .issuer = SLICE("swarmgate"),
                        .audience = SLICE("tracker"),
                        .subject = SLICE("registry.example/node"),
                        .id = SLICE("000102030405060708090a0b0c0d0e0f"),
                        .expires = RIG_NOW + 600,
                        .issued = RIG_NOW,
                        .session = RIG_NOW + 3600,
                        .infohash_texts = texts,
                        .infohash_count = 1};
}

struct slice rig_sign(struct rig *rig, int key, const struct token *token) {
  struct buf out = {0};
  struct error e = {0};
  assert_int_equal(token_sign(&rig->keys[key], token, &out, &e), 0);
  struct slice copy = slice_of(arena_copy(&rig->arena, buf_view(&out)), out.len);
  buf_free(&out);
  return copy;
}
