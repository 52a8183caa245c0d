/* Memory that runs out anywhere is an error that says so, never a crash, a leak or a wrong answer.
 */
#include "auth/certificate.h"
#include "auth/key_file.h"
#include "auth/swarm_certificate.h"
#include "auth/token_cache.h"
#include "base/file.h"
#include "support/heap.h"
#include "unit/auth/authority.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

/* Nobody cuts the power here; the linker's --wrap makes the name. NOLINTBEGIN(cert-dcl51-cpp) */
int __wrap_fsync(int fd);

int __wrap_fsync(int fd) {
  (void)fd;
  return 0;
}
/* NOLINTEND(cert-dcl51-cpp) */

enum { MANY = 30 }; /* infohashes, repositories: what is made for them takes a block's good part */

/* A token of each kind, with two of each list, and the key that the rig's trust has for it. */
struct sample {
  struct rig *rig;
  int key;
  struct token token;
  struct slice jws;
  size_t filled; /* bytes of the arena that are taken already */
};

static const struct slice infohashes[] = {{RIG_HEX_V1, sizeof RIG_HEX_V1 - 1},
                                          {RIG_HEX_V2, sizeof RIG_HEX_V2 - 1}};
static const struct token_access repositories[] = {{SLICE("team/app"), SCOPE_PULL},
                                                   {SLICE("team/base"), SCOPE_PULL}};

static struct sample sample(struct rig *rig, enum token_kind kind) {
  struct sample s = {.rig = rig, .key = RIG_ES256, .token = rig_swarm_claims()};
  s.token.kind = kind;
  s.token.infohash_count = 0;
  switch (kind) {
  case TOKEN_SWARM:
    s.token.infohash_texts = infohashes;
    s.token.infohash_count = 2;
    break;
  case TOKEN_REGISTRY:
    s.key = RIG_RS256;
    s.token.issuer = SLICE("auth.example");
    s.token.audience = SLICE("registry.example");
    s.token.access = repositories;
    s.token.access_count = 2;
    break;
  case TOKEN_WEBSEED:
    s.token.registry = SLICE("registry.example");
    s.token.repository = SLICE("team/app");
    s.token.digest = SLICE(RIG_DIGEST);
    break;
  }
  s.jws = rig_sign(rig, s.key, &s.token);
  return s;
}

static const enum token_kind kinds[] = {TOKEN_SWARM, TOKEN_REGISTRY, TOKEN_WEBSEED};

static int verify_sample(const struct sample *s, struct slice jws, struct error *e) {
  struct arena arena = {0};
  struct token got;
  if (s->filled > 0 && arena_alloc(&arena, s->filled) == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  enum token_verdict verdict =
      token_verify(&s->rig->trust, jws, s->token.kind, RIG_NOW, &arena, &got, e);
  if (verdict == TOKEN_VALID) {
    assert_true(slice_equal(got.id, s->token.id));
    assert_int_equal(got.infohash_count, s->token.infohash_count);
    assert_int_equal(got.access_count, s->token.access_count);
    assert_true(slice_equal(got.digest, s->token.digest));
  }
  arena_free(&arena);
  return verdict == TOKEN_VALID ? 0 : -1;
}

static int verify(void *arg, struct error *e) {
  const struct sample *s = arg;
  return verify_sample(s, s->jws, e);
}

static int sign(void *arg, struct error *e) {
  const struct sample *s = arg;
  struct buf out = {0};
  int status = token_sign(&s->rig->keys[s->key], &s->token, &out, e);
  if (status == 0) {
    status = verify_sample(s, buf_view(&out), e);
  }
  buf_free(&out);
  return status;
}

static int inspect(void *arg, struct error *e) {
  const struct sample *s = arg;
  struct arena arena = {0};
  struct slice header;
  struct slice claims;
  int status = token_inspect(s->jws, &arena, &header, &claims, e);
  if (status == 0) {
    assert_true(header.len > 0 && claims.len > 0);
  }
  arena_free(&arena);
  return status;
}

/* Wherever in the token the arena's block comes to its end. */
static void tokens_of_any_length(void **state) {
  static char subject[1088];
  struct slice texts[MANY];
  struct token_access access[MANY];
  memset(subject, 's', sizeof subject);
  for (size_t i = 0; i < MANY; i++) {
    texts[i] = infohashes[0];
    access[i] = repositories[0];
  }
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    for (size_t len = 0; len < sizeof subject; len += 128) {
      struct sample s = sample(*state, kinds[i]);
      s.token.subject = slice_of(subject, len);
      s.token.infohash_texts = texts;
      s.token.infohash_count = kinds[i] == TOKEN_SWARM ? MANY : 0;
      s.token.access = access;
      s.token.access_count = kinds[i] == TOKEN_REGISTRY ? MANY : 0;
      s.jws = rig_sign(s.rig, s.key, &s.token);
      heap_exhaust(verify, &s);
    }
  }
}

/* Wherever the arena is when it is given. */
static void arenas_in_use(void **state) {
  struct sample s = sample(*state, TOKEN_SWARM);
  for (s.filled = 16; s.filled <= 4096; s.filled += 16) {
    heap_exhaust(verify, &s);
  }
}

static void tokens(void **state) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct sample s = sample(*state, kinds[i]);
    heap_exhaust(verify, &s);
    heap_exhaust(inspect, &s);
    heap_exhaust(sign, &s);
  }
}

/* Not with RSA, of which OpenSSL keeps what it could not finish. */
static void tokens_of_openssl(void **state) {
  struct sample s = sample(*state, TOKEN_SWARM);
  heap_exhaust_openssl(verify, &s);
  heap_exhaust_openssl(sign, &s);
  s.key = RIG_EDDSA;
  s.jws = rig_sign(*state, s.key, &s.token);
  heap_exhaust_openssl(verify, &s);
  heap_exhaust_openssl(sign, &s);
}

/* The key's own kid, or the one that docker-registry has for it. */
static void a_libtrust_kid(void **state) {
  struct sample s = sample(*state, TOKEN_REGISTRY);
  struct trust_row *row = &s.rig->trust.rows[1];
  struct keyset bare = row->keys;
  struct error e = {0};
  assert_int_equal(keyset_parse(rig_jwks(s.rig, RIG_RS256, RIG_ES256), "jwks", &row->keys, &e), 0);
  heap_exhaust(verify, &s);
  keyset_free(&row->keys);
  row->keys = bare;
}

struct bytes {
  struct slice bytes;
  size_t keys;
};

static int parse_keyset(void *arg, struct error *e) {
  const struct bytes *in = arg;
  struct keyset set;
  int status = keyset_parse(in->bytes, "keys", &set, e);
  if (status == 0) {
    assert_int_equal(set.count, in->keys);
    keyset_free(&set);
  }
  return status;
}

static int parse_private(void *arg, struct error *e) {
  const struct bytes *in = arg;
  struct key key;
  int status = key_parse_private(in->bytes, "key", &key, e);
  if (status == 0) {
    assert_non_null(key.kid);
    key_free(&key);
  }
  return status;
}

/* Not RSA: to see that it is sound takes its time. */
static const int quick[] = {RIG_ES256, RIG_EDDSA};

static void keys(void **state) {
  struct rig *rig = *state;
  for (size_t q = 0; q < sizeof quick / sizeof *quick; q++) {
    int i = quick[q];
    struct bytes pem = {buf_view(&rig->pem[i]), 1};
    heap_exhaust(parse_keyset, &pem);
    heap_exhaust(parse_private, &pem);
    struct bytes jwks = {rig_jwks(rig, i, RIG_STRANGER), 2};
    heap_exhaust(parse_keyset, &jwks);
  }
}

static int write_jwks(void *arg, struct error *e) {
  const char *const path = arg;
  struct buf out = {0};
  int status = key_jwks(&path, 1, &out, e);
  if (status == 0) {
    struct bytes written = {buf_view(&out), 1};
    status = parse_keyset(&written, e);
  }
  buf_free(&out);
  return status;
}

static int load_private(void *arg, struct error *e) {
  struct key key;
  int status = key_load_private(arg, &key, e);
  if (status == 0) {
    key_free(&key);
  }
  return status;
}

static void files_of_keys(void **state) {
  struct rig *rig = *state;
  for (size_t q = 0; q < sizeof quick / sizeof *quick; q++) {
    int i = quick[q];
    char path[] = "/tmp/swarmgate-memory-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, rig->pem[i].ptr, rig->pem[i].len), rig->pem[i].len);
    close(fd);
    heap_exhaust(write_jwks, path);
    heap_exhaust(load_private, path);
    unlink(path);
  }
}

static int generate(void *arg, struct error *e) {
  const enum key_algorithm *algorithm = arg;
  struct buf out = {0};
  int status = key_generate(*algorithm, &out, e);
  buf_free(&out);
  return status;
}

static void new_keys(void **state) {
  (void)state;
  enum key_algorithm algorithms[] = {KEY_ES256, KEY_EDDSA};
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
    heap_exhaust(generate, &algorithms[i]);
  }
}

static int remember(void *arg, struct error *e) {
  const struct sample *s = arg;
  static const unsigned char infohash[20];
  struct token_question question = {
      .kinds = s->token.kind, .now = RIG_NOW, .infohashes = infohash, .count = 1};
  struct token_grant grant;
  bool covers = true;
  struct token_cache *cache = token_cache_new(s->rig->keyring, NULL, 100);
  if (cache == NULL) {
    token_cache_free(cache);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  enum token_verdict verdict = token_cache_check(cache, s->jws, &question, &grant, &covers, e);
  assert_false(covers);
  assert_int_equal(token_cache_count(cache), verdict == TOKEN_VALID ? 1 : 0);
  token_cache_free(cache);
  return verdict == TOKEN_VALID ? 0 : -1;
}

static void the_cache(void **state) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct sample s = sample(*state, kinds[i]);
    heap_exhaust(remember, &s);
  }
}

/* A key of ours, under a row that says so; it has retired. */
static struct keyring_state *own_state(void) {
  struct keyring_state *state = keyring_state_new();
  struct buf pem = {0};
  assert_non_null(state);
  state->trust =
      (struct trust){.rows = calloc(2, sizeof(struct trust_row)), .count = 2, .leeway = 60};
  for (size_t i = 0; i < 2; i++) {
    struct trust_row *row = &state->trust.rows[i];
    *row = (struct trust_row){.issuer = strdup("i"), .audience = strdup("a"), .own = true};
    row->accept = i == 0 ? TOKEN_SWARM : TOKEN_REGISTRY;
    assert_int_equal(key_generate(KEY_ES256, &pem, NULL), 0);
    assert_int_equal(keyset_parse(buf_view(&pem), "key", &row->keys, NULL), 0);
    row->keys.keys[0].retired = row->keys.keys[0].expires = RIG_NOW;
    buf_free(&pem);
  }
  return state;
}

static int publish(void *arg, struct error *e) {
  struct buf out = {0};
  int status = keyring_jwks(arg, RIG_NOW - 1, &out, e);
  if (status == 0) {
    struct bytes written = {buf_view(&out), 2};
    status = parse_keyset(&written, e);
  }
  buf_free(&out);
  return status;
}

static int verify_by_keyring(void *arg, struct error *e) {
  const struct sample *s = arg;
  struct arena arena = {0};
  struct token got;
  enum token_verdict verdict =
      keyring_verify(s->rig->keyring, s->jws, s->token.kind, RIG_NOW, &arena, &got, e);
  if (verdict == TOKEN_VALID) {
    assert_true(slice_equal(got.audience, s->token.audience));
  }
  arena_free(&arena);
  return verdict == TOKEN_VALID ? 0 : -1;
}

static int make_keyring(void *arg, struct error *e) {
  (void)arg;
  struct keyring_state *state = keyring_state_new();
  struct keyring *keyring = state == NULL ? NULL : keyring_new(state);
  if (keyring == NULL) {
    keyring_state_free(state);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  keyring_free(keyring);
  return 0;
}

static void a_keyring(void **state) {
  struct keyring *keyring = keyring_new(own_state());
  heap_exhaust(publish, keyring);
  keyring_free(keyring);
  heap_exhaust(make_keyring, NULL);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct sample s = sample(*state, kinds[i]);
    heap_exhaust(verify_by_keyring, &s);
  }
}

struct files {
  char key[64], certificate[64];
  const struct key *certified;
  int64_t now;
};

static int load_family(void *arg, struct error *e) {
  const struct files *f = arg;
  struct key_file file;
  int status = key_file_load(f->key, KEY_ANNOUNCE, &file, e);
  if (status == 0) {
    assert_true(file.key.kid != NULL && file.trusted.count == 3);
    key_file_free(&file);
  }
  return status;
}

/* The clock goes on, so that no more than one has retired. */
static int rotate(void *arg, struct error *e) {
  struct files *f = arg;
  const struct key_file_plan plan = {.now = f->now += 10, .lifetime = 10};
  struct key_file_rotation done;
  int status = key_file_rotate(f->key, &plan, &done, e);
  if (status == 0) {
    assert_true(done.signs != NULL && done.next != NULL && done.retired != NULL);
    key_file_rotation_free(&done);
  }
  return status;
}

static int certify(void *arg, struct error *e) {
  const struct files *f = arg;
  struct buf out = {0};
  int status = certificate_append(f->certified, f->certified, RIG_NOW, &out, e);
  if (status == 0) {
    status = certificate_save(f->certificate, buf_view(&out), e);
  }
  buf_free(&out);
  return status;
}

static void a_key_and_its_companions(void **state) {
  struct rig *rig = *state;
  struct files f = {.now = RIG_NOW, .certified = &rig->keys[RIG_ES256]};
  char folder[] = "/tmp/swarmgate-memory-XXXXXX";
  assert_non_null(mkdtemp(folder));
  snprintf(f.key, sizeof f.key, "%s/key", folder);
  snprintf(f.certificate, sizeof f.certificate, "%s/crt", folder);
  assert_int_equal(file_write(f.key, buf_view(&rig->pem[RIG_EDDSA]), 0600, NULL), 0);
  heap_exhaust(rotate, &f);
  heap_exhaust(load_family, &f);
  heap_exhaust(certify, &f);
  static const char *const names[] = {"key", "key.next", "key.retired.json", "crt", ""};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    assert_int_equal(remove(path), 0);
  }
}

struct swarm {
  struct buf certificates, keys, request;
  struct swarm_ca *ca; /* NULL: out of the files */
};

static int read_ca(const struct swarm *s, struct swarm_ca **ca, struct error *e) {
  return swarm_ca_parse(buf_view(&s->certificates), "crt", buf_view(&s->keys), "key", 900, RIG_NOW,
                        ca, e);
}

/* From the files and a request to a certificate. */
static int certify_peer(void *arg, struct error *e) {
  const struct swarm *s = arg;
  static const struct slice name =
      SLICE("sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  struct swarm_ca *ca = s->ca;
  EVP_PKEY *key = NULL;
  struct buf pem = {0};
  struct swarm_certificate made;
  int status = ca != NULL ? 0 : read_ca(s, &ca, e);
  if (status == 0) {
    status = swarm_csr_read(buf_view(&s->request), &key, e);
  }
  if (status == 0) {
    const struct swarm_order order = {ca,     swarm_ca_find(ca, slice_of(NULL, 0)), key, &name, 1,
                                      RIG_NOW};
    status = swarm_certificate_make(&order, &pem, &made, e);
  }
  if (status == 0) {
    assert_int_equal(made.expires, RIG_NOW + 900);
    assert_true(slice_ends(buf_view(&pem), SLICE("-----END CERTIFICATE-----\n")));
  }
  buf_free(&pem);
  EVP_PKEY_free(key);
  if (s->ca == NULL) {
    swarm_ca_release(ca);
  }
  return status;
}

static void a_peers_certificate(void **state) {
  const struct rig *rig = *state;
  struct swarm s = {0};
  EVP_PKEY *key = rig->keys[RIG_EDDSA].pkey;
  authority_make(&(struct authority_plan){.key = key, .now = RIG_NOW}, &s.certificates, &s.keys);
  authority_request(key, NULL, &s.request);
  heap_exhaust(certify_peer, &s);
  assert_int_equal(read_ca(&s, &s.ca, NULL), 0);
  heap_exhaust_openssl(certify_peer, &s); /* the files' would take a minute */
  swarm_ca_release(s.ca);
  buf_free(&s.certificates);
  buf_free(&s.keys);
  buf_free(&s.request);
}

static int put_in_force(void *arg, struct error *e) {
  (void)arg;
  struct swarm_authority *authority = swarm_authority_new(NULL);
  if (authority == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  swarm_authority_free(authority);
  return 0;
}

static void an_authority(void **state) {
  (void)state;
  heap_exhaust(put_in_force, NULL);
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tokens),
      cmocka_unit_test(arenas_in_use),
      cmocka_unit_test(tokens_of_any_length),
      cmocka_unit_test(tokens_of_openssl),
      cmocka_unit_test(a_libtrust_kid),
      cmocka_unit_test(keys),
      cmocka_unit_test(files_of_keys),
      cmocka_unit_test(new_keys),
      cmocka_unit_test(the_cache),
      cmocka_unit_test(a_keyring),
      cmocka_unit_test(a_key_and_its_companions),
      cmocka_unit_test(a_peers_certificate),
      cmocka_unit_test(an_authority),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
