/* Swarms with a CA: torrents under it, and certificates by which their peers know each other. */
#include "world.h"

#include "auth/swarm_certificate.h"
#include "base/clock.h"
#include "base/hex.h"
#include "db/revocation_store.h"
#include "unit/auth/authority.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define BASIC "Authorization: Basic YWxpY2U6c2VjcmV0\r\n" /* alice */
#define PATH  "/v1/" WORLD_REPOSITORY "/certificates"
#define TTL   900

/* A world whose swarms have a CA, and a node. */
struct rig {
  struct world *world;
  struct buf certificates, keys;
  struct swarm_authority *authority;
  EVP_PKEY *key;
  struct buf csr;
};

/* Puts another CA first; the others stay behind it. */
static struct swarm_ca *add_ca(struct rig *rig) {
  struct buf certificates = {0}, keys = {0};
  struct swarm_ca *ca;
  struct error e = {0};
  authority_make(&(struct authority_plan){.now = clock_now()}, &certificates, &keys);
  buf_slice(&certificates, buf_view(&rig->certificates));
  buf_slice(&keys, buf_view(&rig->keys));
  buf_free(&rig->certificates);
  buf_free(&rig->keys);
  rig->certificates = certificates;
  rig->keys = keys;
  if (swarm_ca_parse(buf_view(&certificates), "crt", buf_view(&keys), "key", TTL, clock_now(), &ca,
                     &e) != 0) {
    fail_msg("%s", e.text);
  }
  return ca;
}

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  void *world = NULL;
  assert_non_null(rig);
  assert_int_equal(world_setup(&world), 0);
  rig->world = world;
  rig->authority = swarm_authority_new(add_ca(rig));
  assert_non_null(rig->authority);
  rig->world->options.swarm_authority = rig->authority;
  rig->key = authority_key("EC", "P-256");
  authority_request(rig->key, NULL, &rig->csr);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  void *world = rig->world;
  world_teardown(&world);
  swarm_authority_free(rig->authority);
  EVP_PKEY_free(rig->key);
  buf_free(&rig->certificates);
  buf_free(&rig->keys);
  buf_free(&rig->csr);
  free(rig);
  return 0;
}

/* The first certificate of a text: today's CA. */
static struct slice first_pem(const struct buf *text) {
  static const char end[] = "-----END CERTIFICATE-----\n";
  const char *at = memmem(text->ptr, text->len, end, strlen(end));
  assert_non_null(at);
  return slice_of(text->ptr, (size_t)(at - text->ptr) + strlen(end));
}

/* --- asking --- */

static struct reply post(struct world *w, const char *fields, const char *body,
                         struct http_memory **m) {
  static char request[65536];
  int len = snprintf(request, sizeof request,
                     "POST " PATH " HTTP/1.1\r\nHost: g\r\nContent-Length: %zu\r\n%s\r\n%s",
                     strlen(body), fields, body);
  assert_true(len > 0 && (size_t)len < sizeof request);
  *m = world_send(w, request);
  return world_wait(w, *m);
}

/* Takes the body over. */
static struct reply ask(struct rig *rig, json_t *body, struct http_memory **m) {
  char *text = json_dumps(body, 0);
  struct reply r = post(rig->world, BASIC, text, m);
  free(text);
  json_decref(body);
  return r;
}

/* For the blobs of `count` numbers from `first` on. */
static json_t *body_of(const struct rig *rig, unsigned first, unsigned count) {
  json_t *digests = json_array();
  char digest[72];
  for (unsigned i = 0; i < count; i++) {
    world_digest(first + i, digest);
    json_array_append_new(digests, json_string(digest));
  }
  return json_pack("{s:s%, s:o}", "csr", rig->csr.ptr, rig->csr.len, "digests", digests);
}

static json_t *json_of(const struct reply *r) {
  assert_int_equal(r->status, 200);
  assert_slice(reply_field(r, "Content-Type"), "application/json");
  assert_slice(reply_field(r, "Cache-Control"), "no-store");
  json_t *json = json_loadb(r->body.ptr, r->body.len, 0, NULL);
  assert_int_equal(json_object_size(json), 3);
  return json;
}

static X509 *read_pem(const char *pem) {
  BIO *bio = BIO_new_mem_buf(pem, -1);
  X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  BIO_free(bio);
  assert_non_null(certificate);
  return certificate;
}

static X509 *certificate_of(const json_t *json) {
  return read_pem(json_string_value(json_object_get(json, "certificate")));
}

static bool is_signed_by(X509 *certificate, struct slice ca_pem) {
  char *text = strndup(ca_pem.ptr, ca_pem.len);
  X509 *ca = read_pem(text);
  bool result = X509_verify(certificate, X509_get0_pubkey(ca)) == 1;
  X509_free(ca);
  free(text);
  return result;
}

static void assert_names(X509 *certificate, const unsigned *numbers, size_t count) {
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  assert_int_equal(sk_GENERAL_NAME_num(names), count);
  for (size_t i = 0; i < count; i++) {
    char want[80];
    snprintf(want, sizeof want, "sha256-%064x", numbers[i]);
    const ASN1_IA5STRING *name =
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, (int)i), NULL);
    assert_slice(slice_of(ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name)), want);
  }
  GENERAL_NAMES_free(names);
}

/* --- certificates --- */

static void signs_for_what_may_be_read(void **state) {
  struct rig *rig = *state;
  struct world *w = rig->world;
  char hidden[72];
  world_digest(3, hidden);
  for (unsigned i = 1; i <= 3; i++) { /* there is no torrent of 4 */
    world_register_number(w, i, WORLD_REPOSITORY);
  }
  w->registry.has_all = true;
  w->registry.hides = hidden;
  struct http_memory *m;
  struct reply r = ask(rig, body_of(rig, 1, 4), &m);
  json_t *json = json_of(&r);
  X509 *certificate = certificate_of(json);
  assert_names(certificate, (const unsigned[]){1, 2}, 2);
  assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), rig->key), 1);
  assert_true(is_signed_by(certificate, first_pem(&rig->certificates)));
  assert_slice(first_pem(&rig->certificates), json_string_value(json_object_get(json, "ca")));
  assert_int_equal(json_integer_value(json_object_get(json, "expires_in")), TTL);
  X509_free(certificate);
  json_decref(json);
  http_memory_free(m);
}

/* The log has it, and the key that signs and the certificate are not in it. */
static void is_recorded(void **state) {
  struct rig *rig = *state;
  world_register_number(rig->world, 1, WORLD_REPOSITORY);
  rig->world->registry.has_all = true;
  struct http_memory *m;
  struct reply r = ask(rig, body_of(rig, 1, 1), &m);
  json_t *json = json_of(&r);
  X509 *certificate = certificate_of(json);
  BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
  char *hex = BN_bn2hex(serial);
  struct buf log = world_audit(rig->world);
  json_t *event = json_loadb(log.ptr, log.len, 0, NULL);
  assert_string_equal(json_string_value(json_object_get(event, "event")), "token");
  assert_string_equal(json_string_value(json_object_get(event, "kind")), "certificate");
  assert_string_equal(json_string_value(json_object_get(event, "sub")), WORLD_REGISTRY "/alice");
  assert_string_equal(json_string_value(json_object_get(event, "repository")), WORLD_REPOSITORY);
  assert_int_equal(strcasecmp(json_string_value(json_object_get(event, "jti")), hex), 0);
  assert_int_equal(json_array_size(json_object_get(event, "names")), 1);
  assert_true(json_integer_value(json_object_get(event, "exp")) > clock_now());
  json_decref(event);
  buf_free(&log);
  OPENSSL_free(hex);
  BN_free(serial);
  X509_free(certificate);
  json_decref(json);
  http_memory_free(m);
}

/* A torrent that is under way keeps the CA that it was made under. */
static void signs_by_the_ca_of_the_torrent(void **state) {
  struct rig *rig = *state;
  world_register_number(rig->world, 1, WORLD_REPOSITORY);
  rig->world->registry.has_all = true;
  char *old = strndup(rig->certificates.ptr, rig->certificates.len);
  swarm_authority_replace(rig->authority, add_ca(rig));
  struct http_memory *m;
  json_t *body = body_of(rig, 1, 1);
  json_object_set_new(body, "ca", json_string(old));
  struct reply r = ask(rig, body, &m);
  json_t *json = json_of(&r);
  X509 *certificate = certificate_of(json);
  assert_true(is_signed_by(certificate, slice_str(old)));
  assert_string_equal(json_string_value(json_object_get(json, "ca")), old);
  X509_free(certificate);
  json_decref(json);
  http_memory_free(m);

  r = ask(rig, body_of(rig, 1, 1), &m);
  json = json_of(&r);
  certificate = certificate_of(json);
  assert_true(is_signed_by(certificate, first_pem(&rig->certificates)));
  assert_false(is_signed_by(certificate, slice_str(old)));
  X509_free(certificate);
  json_decref(json);
  http_memory_free(m);

  body = body_of(rig, 1, 1);
  json_object_set_new(body, "ca", json_string("one that is gone"));
  r = ask(rig, body, &m);
  assert_problem(&r, 400, "UNSUPPORTED");
  http_memory_free(m);
  free(old);
}

static void assert_answers(struct rig *rig, json_t *body, int status, const char *code) {
  struct http_memory *m;
  struct reply r = ask(rig, body, &m);
  assert_problem(&r, status, code);
  http_memory_free(m);
}

static void needs_the_right(void **state) {
  struct rig *rig = *state;
  struct world *w = rig->world;
  world_register_number(w, 1, WORLD_REPOSITORY);
  w->registry.status = 404;
  assert_answers(rig, body_of(rig, 1, 1), 404, "BLOB_UNKNOWN");
  w->registry.status = 401;
  w->registry.challenge = "Basic realm=\"r\"";
  assert_answers(rig, body_of(rig, 1, 1), 401, "UNAUTHORIZED");
  w->registry.status = 0;
  w->registry.has_all = true;
  assert_answers(rig, body_of(rig, 2, 1), 404, "BLOB_UNKNOWN"); /* without a torrent */
}

static int put_revocation(struct db_txn *txn, void *arg, struct error *e) {
  return revocation_store_put(txn, arg, e);
}

static void signs_nothing_for_the_revoked(void **state) {
  struct rig *rig = *state;
  struct error e = {0};
  struct revocation_record record = {.kind = REVOCATION_SUB,
                                     .value = SLICE(WORLD_REGISTRY "/alice"),
                                     .at = clock_now(),
                                     .until = clock_now() + 600,
                                     .expires = clock_now() + 86400};
  world_register_number(rig->world, 1, WORLD_REPOSITORY);
  rig->world->registry.has_all = true;
  if (db_write_now(rig->world->db, put_revocation, &record, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_answers(rig, body_of(rig, 1, 1), 404, "BLOB_UNKNOWN");
}

static void is_not_there_without_a_ca(void **state) {
  struct rig *rig = *state;
  swarm_authority_replace(rig->authority, NULL);
  assert_answers(rig, body_of(rig, 1, 1), 404, "UNSUPPORTED");
  rig->world->options.swarm_authority = NULL;
  assert_answers(rig, body_of(rig, 1, 1), 404, "UNSUPPORTED");
  assert_int_equal(rig->world->registry.request_count, 0);
}

static void reads_bodies(void **state) {
  struct rig *rig = *state;
  static const char *const bad[] = {"",
                                    "[]",
                                    "{}",
                                    "{\"csr\":\"x\"}",
                                    "{\"csr\":\"x\",\"digests\":[]}",
                                    "{\"csr\":\"\",\"digests\":[\"sha256:00\"]}",
                                    "{\"csr\":1,\"digests\":[\"sha256:00\"]}",
                                    "{\"csr\":\"x\",\"digests\":[\"sha256:00\"],\"ca\":1}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct http_memory *m;
    struct reply r = post(rig->world, BASIC, bad[i], &m);
    assert_problem(&r, 400, "UNSUPPORTED");
    http_memory_free(m);
  }
  struct http_memory *m;
  struct reply r = post(rig->world, BASIC, "{\"csr\":\"x\",\"digests\":[\"sha256:00\"]}", &m);
  assert_problem(&r, 400, "DIGEST_INVALID");
  http_memory_free(m);
  assert_answers(rig, body_of(rig, 1, SWARM_CERTIFICATE_NAMES_MAX + 1), 400, "UNSUPPORTED");
  assert_int_equal(rig->world->registry.request_count, 0);
}

/* What is wrong with a request is told to who may have a certificate. */
static void reads_requests(void **state) {
  struct rig *rig = *state;
  EVP_PKEY *other = authority_key("EC", "P-256");
  world_register_number(rig->world, 1, WORLD_REPOSITORY);
  rig->world->registry.has_all = true;
  rig->csr.len = 0;
  authority_request(rig->key, other, &rig->csr);
  assert_answers(rig, body_of(rig, 1, 1), 400, "UNSUPPORTED");
  rig->csr.len = 0;
  buf_str(&rig->csr, "none");
  assert_answers(rig, body_of(rig, 1, 1), 400, "UNSUPPORTED");
  EVP_PKEY_free(other);
}

/* --- torrents --- */

static struct metainfo torrent_of(struct rig *rig, struct arena *arena) {
  struct http_memory *m;
  struct metainfo torrent;
  char request[512];
  snprintf(request, sizeof request,
           "GET /v1/" WORLD_REPOSITORY "/blobs/%s HTTP/1.1\r\nHost: g\r\n\r\n",
           rig->world->registry.digest);
  m = world_send(rig->world, request);
  struct reply r = world_wait(rig->world, m);
  assert_int_equal(r.status, 200);
  struct slice body = slice_of(arena_copy(arena, r.body), r.body.len);
  assert_int_equal(metainfo_read(body, arena, &torrent, NULL), 0);
  http_memory_free(m);
  return torrent;
}

struct looking {
  const unsigned char *infohash;
  bool allowed;
};

static int look(struct db_txn *txn, void *arg, struct error *e) {
  struct looking *l = arg;
  (void)e;
  l->allowed =
      torrent_store_allowed(txn, l->infohash, SLICE(WORLD_REGISTRY), SLICE(WORLD_REPOSITORY));
  return 0;
}

static bool is_registered(struct rig *rig, const struct metainfo *m) {
  struct looking l = {.infohash = m->infohash};
  assert_int_equal(db_read(rig->world->db, look, &l, NULL), 0);
  return l.allowed;
}

/* Made before there was a CA, handed out under it, then under another; all stay registered, and the
 * blob is read by nobody. */
static void puts_torrents_under_the_ca(void **state) {
  struct rig *rig = *state;
  struct arena arena = {0};
  swarm_authority_replace(rig->authority, NULL);
  world_register(rig->world, TORRENT_V1, WORLD_REPOSITORY);
  struct metainfo plain = torrent_of(rig, &arena);
  assert_int_equal(plain.ca.len, 0);
  swarm_authority_replace(rig->authority, add_ca(rig));
  struct metainfo first = torrent_of(rig, &arena);
  assert_true(slice_equal(first.ca, first_pem(&rig->certificates)));
  swarm_authority_replace(rig->authority, add_ca(rig));
  struct metainfo second = torrent_of(rig, &arena);
  assert_true(slice_equal(second.ca, first_pem(&rig->certificates)));
  assert_true(slice_equal(plain.pieces, second.pieces));
  assert_memory_not_equal(plain.infohash, first.infohash, 20);
  assert_memory_not_equal(first.infohash, second.infohash, 20);
  assert_true(is_registered(rig, &plain) && is_registered(rig, &first) &&
              is_registered(rig, &second));
  swarm_authority_replace(rig->authority, NULL);
  struct metainfo again = torrent_of(rig, &arena);
  assert_memory_equal(again.infohash, plain.infohash, 20);
  for (size_t i = 0; i < rig->world->registry.request_count; i++) {
    assert_string_equal(rig->world->registry.requests[i].method, "HEAD");
  }
  arena_free(&arena);
}

static bool count_one(void *arg, const struct torrent_record *record,
                      const struct slice *registries, const struct slice *repositories,
                      size_t count) {
  (void)record, (void)registries, (void)repositories, (void)count;
  ++*(unsigned *)arg;
  return true;
}

static int count_torrents(struct db_txn *txn, void *arg, struct error *e) {
  return torrent_store_each(txn, count_one, arg, e);
}

/* It is stored so at once, and not under none before. */
static void hashes_torrents_under_the_ca(void **state) {
  struct rig *rig = *state;
  struct arena arena = {0};
  world_start_hashing(rig->world, 0);
  struct metainfo m = torrent_of(rig, &arena);
  unsigned torrents = 0;
  assert_true(slice_equal(m.ca, first_pem(&rig->certificates)));
  assert_true(is_registered(rig, &m));
  assert_int_equal(db_read(rig->world->db, count_torrents, &torrents, NULL), 0);
  assert_int_equal(torrents, 1);
  arena_free(&arena);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(signs_for_what_may_be_read),
      TEST(is_recorded),
      TEST(signs_by_the_ca_of_the_torrent),
      TEST(needs_the_right),
      TEST(signs_nothing_for_the_revoked),
      TEST(is_not_there_without_a_ca),
      TEST(reads_bodies),
      TEST(reads_requests),
      TEST(puts_torrents_under_the_ca),
      TEST(hashes_torrents_under_the_ca),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
