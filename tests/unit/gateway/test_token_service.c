/* The whole service over connections without a socket; scrypt alone is a cheap one that can wait.
 */
#include "gateway/token_service.h"

#include "auth/password.h"
#include "base/base64.h"
#include "base/clock.h"
#include "db/refresh_store.h"
#include "db/table.h"
#include "db/user_store.h"
#include "gateway/guesses.h"
#include "gateway/login.h"

#include "world.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVICE  WORLD_SERVICE
#define REGISTRY WORLD_REGISTRY
#define ALICE    "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"         /* alice:secret */
#define MALLORY  "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n"         /* alice:wrong */
#define UNKNOWN  "Authorization: Basic bm9ib2R5OnNlY3JldA==\r\n"     /* nobody:secret */
#define BOB      "Authorization: Basic Ym9iOmJvYidzOnNlY3JldA==\r\n" /* bob:bob's:secret */
#define APP      "repository:team/app:"

static atomic_uint looks; /* passwords that were hashed */
static atomic_bool waits; /* they wait for \ref may_go */
static sem_t may_go;
static atomic_bool db_fails; /* to take a write */
static uint64_t now_ms;      /* of the clock that never goes back */

/* What the linker's --wrap has called in their place. */
/* NOLINTBEGIN(cert-dcl51-cpp) */
int __wrap_EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt,
                          size_t saltlen, uint64_t n, uint64_t r, uint64_t p, uint64_t maxmem,
                          unsigned char *key, size_t keylen);
uint64_t __wrap_clock_monotonic_ms(void);
int __real_db_write(struct db *db, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
                    struct error *e);
int __wrap_db_write(struct db *db, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
                    struct error *e);

int __wrap_EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt,
                          size_t saltlen, uint64_t n, uint64_t r, uint64_t p, uint64_t maxmem,
                          unsigned char *key, size_t keylen) {
  (void)n;
  (void)r;
  (void)p;
  (void)maxmem;
  looks++;
  if (waits) {
    sem_wait(&may_go);
  }
  return PKCS5_PBKDF2_HMAC(pass, (int)passlen, salt, (int)saltlen, 1, EVP_sha256(), (int)keylen,
                           key);
}

uint64_t __wrap_clock_monotonic_ms(void) {
  return now_ms;
}

int __wrap_db_write(struct db *db, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
                    struct error *e) {
  return db_fails ? error_set(e, ERROR_FAILED, "too much waits")
                  : __real_db_write(db, loop, fn, arg, done, e);
}
/* NOLINTEND(cert-dcl51-cpp) */

struct rig {
  struct world *w;
  struct slice anonymous[1];
  struct token_service_options options;
  struct token_service *service;
  struct http_route routes[TOKEN_SERVICE_ROUTES];
  struct http_server_options server;
};

/* --- users --- */

struct user_change {
  const char *name, *password, *pattern;
  unsigned actions;
};

static int add_user(struct db_txn *txn, void *arg, struct error *e) {
  const struct user_change *u = arg;
  char hash[PASSWORD_HASH_SPACE];
  return password_hash(slice_str(u->password), hash, e) != 0 ||
                 user_store_add(txn, slice_str(u->name), slice_str(hash), 1, e) != 0 ||
                 user_store_grant(txn, slice_str(u->name), slice_str(u->pattern), u->actions, e) !=
                     0
             ? -1
             : 0;
}

static int set_password(struct db_txn *txn, void *arg, struct error *e) {
  const struct user_change *u = arg;
  char hash[PASSWORD_HASH_SPACE];
  return password_hash(slice_str(u->password), hash, e) != 0
             ? -1
             : user_store_set_password(txn, slice_str(u->name), slice_str(hash), 2, e);
}

static int remove_user(struct db_txn *txn, void *arg, struct error *e) {
  return user_store_remove(txn, slice_str(arg), e);
}

static int damage_user(struct db_txn *txn, void *arg, struct error *e) {
  return table_put(txn, TABLE_USERS, slice_str(arg), SLICE("x"), e);
}

static void change(const struct rig *r, db_write_fn *fn, void *arg) {
  struct error e = {0};
  if (db_write_now(r->w->db, fn, arg, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static bool count_token(void *arg, const struct refresh_hash *token,
                        const struct refresh_record *record) {
  (void)token;
  (void)record;
  ++*(unsigned *)arg;
  return true;
}

static int count_tokens(struct db_txn *txn, void *arg, struct error *e) {
  return refresh_store_each(txn, count_token, arg, e);
}

static unsigned stored_tokens(const struct rig *r) {
  unsigned count = 0;
  assert_int_equal(db_read(r->w->db, count_tokens, &count, NULL), 0);
  return count;
}

static int setup(void **state) {
  static struct user_change alice = {"alice", "secret", "team/*", SCOPE_PULL | SCOPE_PUSH};
  static struct user_change bob = {"bob", "bob's:secret", "team/app", SCOPE_PULL};
  struct error e = {0};
  struct rig *r = calloc(1, sizeof *r);
  assert_non_null(r);
  world_setup((void **)&r->w);
  *state = r;
  r->anonymous[0] = SLICE("public/*");
  r->options = (struct token_service_options){.keyring = r->w->keyring,
                                              .service = SERVICE,
                                              .registry = REGISTRY,
                                              .ttl = 300,
                                              .anonymous = r->anonymous,
                                              .anonymous_count = 1,
                                              .db = r->w->db,
                                              .audit = r->w->audit,
                                              .revocations = revocations_new(),
                                              .log = &r->w->log};
  change(r, add_user, &alice);
  change(r, add_user, &bob);
  r->service = token_service_new(&r->options, &e);
  if (r->service == NULL) {
    fail_msg("%s", e.text);
  }
  token_service_routes(r->service, r->routes);
  r->server = (struct http_server_options){
      .routes = r->routes, .route_count = TOKEN_SERVICE_ROUTES, .log = &r->w->log};
  now_ms = 1000000;
  looks = 0;
  waits = false;
  db_fails = false;
  sem_init(&may_go, 0, 0);
  return 0;
}

static int teardown(void **state) {
  struct rig *r = *state;
  void *world = r->w;
  uv_run(&r->w->loop, UV_RUN_NOWAIT);
  world_teardown(&world);
  token_service_free(r->service);
  revocations_free(r->options.revocations);
  sem_destroy(&may_go);
  free(r);
  return 0;
}

/* --- requests --- */

static struct http_memory *send_from(struct rig *r, const char *peer, const char *request) {
  union address address;
  assert_true(address_parse(slice_str(peer), &address));
  struct http_memory *m = http_memory_new(&r->w->loop, &r->server, &address.any);
  assert_non_null(m);
  assert_int_equal(http_memory_feed(m, slice_str(request)), strlen(request));
  return m;
}

static struct http_memory *get(struct rig *r, const char *query, const char *fields) {
  char request[4096];
  snprintf(request, sizeof request, "GET /token?%s HTTP/1.1\r\nHost: g\r\n%s\r\n", query, fields);
  return send_from(r, "192.0.2.1", request);
}

static struct http_memory *post(struct rig *r, const char *form) {
  char request[4096];
  snprintf(request, sizeof request,
           "POST /token HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-www-form-urlencoded\r\n"
           "Content-Length: %zu\r\n\r\n%s",
           strlen(form), form);
  return send_from(r, "192.0.2.1", request);
}

static int status_of(struct rig *r, struct http_memory *m) {
  int status = world_wait(r->w, m).status;
  http_memory_free(m);
  return status;
}

/* An answer that gives a token, and its claims. */
struct given {
  json_t *body, *claims;
};

static struct given take(struct rig *r, struct http_memory *m) {
  struct reply reply = world_wait(r->w, m);
  struct given g = {0};
  if (reply.status != 200) {
    fail_msg("%d %.*s", reply.status, SLICE_ARG(reply.body));
  }
  assert_slice(reply_field(&reply, "Cache-Control"), "no-store");
  assert_slice(reply_field(&reply, "Content-Type"), "application/json");
  g.body = json_loadb(reply.body.ptr, reply.body.len, JSON_REJECT_DUPLICATES, NULL);
  assert_non_null(g.body);
  const char *token = json_string_value(json_object_get(g.body, "token"));
  assert_non_null(token);
  assert_string_equal(json_string_value(json_object_get(g.body, "access_token")), token);
  assert_int_equal(json_integer_value(json_object_get(g.body, "expires_in")), 300);
  const char *issued_at = json_string_value(json_object_get(g.body, "issued_at"));
  assert_int_equal(strlen(issued_at), strlen("2026-02-03T04:05:06.007Z"));
  struct slice rest = slice_str(token);
  char text[8192];
  size_t len = 0;
  slice_cut(&rest, '.');
  assert_true(base64_decode(BASE64_URL, slice_cut(&rest, '.'), text, &len));
  g.claims = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
  assert_non_null(g.claims);
  assert_string_equal(json_string_value(json_object_get(g.claims, "iss")), "auth.example");
  assert_string_equal(json_string_value(json_object_get(g.claims, "aud")), SERVICE);
  http_memory_free(m);
  return g;
}

static void give_back(struct given *g) {
  json_decref(g->body);
  json_decref(g->claims);
}

static void assert_access(struct rig *r, struct http_memory *m, const char *want) {
  struct given g = take(r, m);
  char *text = json_dumps(json_object_get(g.claims, "access"), JSON_COMPACT);
  assert_string_equal(text, want);
  free(text);
  give_back(&g);
}

static char *refresh_token(struct rig *r, const char *fields) {
  struct given g = take(r, get(r, "offline_token=true&client_id=tests", fields));
  const char *token = json_string_value(json_object_get(g.body, "refresh_token"));
  assert_non_null(token);
  char *copy = strdup(token);
  give_back(&g);
  return copy;
}

static struct http_memory *refresh(struct rig *r, const char *token, const char *more) {
  char form[512];
  snprintf(form, sizeof form, "grant_type=refresh_token&refresh_token=%s%s", token, more);
  return post(r, form);
}

#define ENTRY(name, actions)                                                                       \
  "{\"type\":\"repository\",\"name\":\"" name "\",\"actions\":[" actions "]}"

/* --- what is given --- */

static void gives_what_is_granted(void **state) {
  struct rig *r = *state;
  assert_access(r, get(r, "scope=" APP "pull,push", ALICE),
                "[" ENTRY("team/app", "\"pull\",\"push\"") "]");
  /* Less than was asked for is no error. */
  assert_access(r, get(r, "scope=" APP "push,pull&scope=repository:secret/box:pull", BOB),
                "[" ENTRY("team/app", "\"pull\"") "]");
  assert_access(r, get(r, "scope=repository:secret/box:pull", BOB), "[]");
  assert_access(r, get(r, "scope=" APP "delete,*&scope=registry:catalog:*", ALICE), "[]");
  assert_access(r, get(r, "", ALICE), "[]");
  /* One entry a repository; what is public is so for users too. */
  assert_access(
      r, get(r, "scope=" APP "pull+repository:public/tool:pull,push&scope=" APP "push", ALICE),
      "[" ENTRY("team/app", "\"pull\",\"push\"") "," ENTRY("public/tool", "\"pull\"") "]");
}

static void says_who_and_until_when(void **state) {
  struct rig *r = *state;
  struct given g = take(r, get(r, "service=registry%20%221%22&scope=" APP "pull", ALICE));
  json_int_t iat = json_integer_value(json_object_get(g.claims, "iat"));
  assert_string_equal(json_string_value(json_object_get(g.claims, "sub")), "alice");
  assert_true(iat <= clock_now() && iat > clock_now() - 60);
  assert_int_equal(json_integer_value(json_object_get(g.claims, "exp")), iat + 300);
  assert_int_equal(strlen(json_string_value(json_object_get(g.claims, "jti"))), 32);
  assert_null(json_object_get(g.body, "refresh_token"));
  assert_null(json_object_get(g.body, "scope"));
  give_back(&g);
}

static void nobody_gets_what_is_public(void **state) {
  struct rig *r = *state;
  struct given g = take(r, get(r, "scope=repository:public/tool:pull,push&offline_token=true", ""));
  assert_null(json_object_get(g.claims, "sub"));
  assert_null(json_object_get(g.body, "refresh_token"));
  give_back(&g);
  assert_access(r, get(r, "scope=repository:public/tool:pull,push&scope=" APP "pull", ""),
                "[" ENTRY("public/tool", "\"pull\"") "]");
  static const char *const queries[] = {"", "scope=" APP "pull",
                                        "scope=repository:public/tool:push",
                                        "scope=registry:catalog:*", "offline_token=true"};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
    struct http_memory *m = get(r, queries[i], "");
    struct reply reply = world_wait(r->w, m);
    assert_problem(&reply, 401, "UNAUTHORIZED");
    assert_slice(reply_field(&reply, "WWW-Authenticate"), "Basic realm=\"registry \\\"1\\\"\"");
    http_memory_free(m);
  }
  assert_int_equal(looks, 0);
}

static void forms_are_as_good(void **state) {
  struct rig *r = *state;
  struct given g =
      take(r, post(r, "grant_type=password&username=bob&password=bob's%3Asecret&scope=" APP
                      "pull+repository:public/tool:pull+repository:x:pull&access_type=offline"));
  assert_string_equal(json_string_value(json_object_get(g.body, "scope")),
                      APP "pull repository:public/tool:pull");
  assert_non_null(json_object_get(g.body, "refresh_token"));
  give_back(&g);
}

static void malformed_is_refused(void **state) {
  struct rig *r = *state;
  static const char *const queries[] = {"service=other", "scope=repository", "scope=%ff:a:b",
                                        "service="
                                        "%",
                                        "scope="
                                        "repository:%c3:pull"};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
    struct http_memory *m = get(r, queries[i], ALICE);
    struct reply reply = world_wait(r->w, m);
    assert_problem(&reply, 400, "UNSUPPORTED");
    http_memory_free(m);
  }
  assert_int_equal(status_of(r, get(r, "", ALICE ALICE)), 400);
  assert_int_equal(status_of(r, get(r, "", "Authorization: Bearer abc\r\n")), 400);
  assert_int_equal(status_of(r, post(r, "grant_type=code")), 400);
  assert_int_equal(looks, 0);
}

/* --- passwords --- */

static void tells_wrong_and_unknown_not_apart(void **state) {
  struct rig *r = *state;
  static const char *const fields[] = {MALLORY, UNKNOWN, "Authorization: Basic /zpzZWNyZXQ=\r\n"};
  struct buf first = {0};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    struct http_memory *m = get(r, "scope=repository:public/tool:pull", fields[i]);
    struct reply reply = world_wait(r->w, m);
    assert_problem(&reply, 401, "UNAUTHORIZED");
    assert_int_equal(looks, i + 1);
    if (i == 0) {
      buf_slice(&first, reply.body);
    }
    assert_true(slice_equal(buf_view(&first), reply.body));
    http_memory_free(m);
  }
  buf_free(&first);
}

/* As containerd shows an identity token that was refused. */
static void no_name_is_not_nobody(void **state) {
  struct rig *r = *state;
  assert_int_equal(status_of(r, get(r, "scope=repository:public/tool:pull",
                                    "Authorization: Basic OnRva2Vu\r\n")),
                   401);
  assert_int_equal(looks, 0);
}

static void remembers_what_was_right(void **state) {
  struct rig *r = *state;
  struct user_change changed = {"alice", "another", NULL, 0};
  for (unsigned i = 0; i < 5; i++) {
    assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
    assert_int_equal(looks, 1);
  }
  assert_int_equal(status_of(r, get(r, "", MALLORY)), 401);
  assert_int_equal(status_of(r, get(r, "", MALLORY)), 401);
  assert_int_equal(looks, 3);
  now_ms += LOGIN_REMEMBER_MS - 1;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  assert_int_equal(looks, 3);
  now_ms += 1;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  assert_int_equal(looks, 4);
  change(r, set_password, &changed);
  looks = 0;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 401);
  assert_int_equal(looks, 1);
  char name[] = "alice";
  change(r, remove_user, name);
  assert_int_equal(status_of(r, get(r, "", ALICE)), 401);
}

static void wait_for_looks(unsigned count) {
  while (looks < count) {
    sched_yield();
  }
}

static void looks_at_the_same_once(void **state) {
  struct rig *r = *state;
  struct http_memory *m[20];
  waits = true;
  for (size_t i = 0; i < 20; i++) {
    m[i] = get(r, "scope=" APP "pull", i % 2 == 0 ? ALICE : MALLORY);
  }
  wait_for_looks(2);
  waits = false;
  sem_post(&may_go);
  sem_post(&may_go);
  for (size_t i = 0; i < 20; i++) {
    assert_int_equal(status_of(r, m[i]), i % 2 == 0 ? 200 : 401);
  }
  assert_int_equal(looks, 2);
}

/* One waits on, one has left, and what is wrong counts although nobody waits. */
static void survives_callers_who_leave_while_it_hashes(void **state) {
  struct rig *r = *state;
  waits = true;
  struct http_memory *leaves = get(r, "", ALICE), *stays = get(r, "", ALICE);
  struct http_memory *alone = get(r, "", UNKNOWN);
  wait_for_looks(2);
  http_memory_free(leaves);
  http_memory_free(alone);
  world_idle(r->w);
  assert_int_equal(http_memory_output(stays).len, 0);
  waits = false;
  sem_post(&may_go);
  sem_post(&may_go);
  assert_int_equal(status_of(r, stays), 200);
}

static void guess(struct rig *r, unsigned times, int status) {
  for (unsigned i = 0; i < times; i++) {
    assert_int_equal(status_of(r, get(r, "", MALLORY)), status);
  }
}

static void holds_up_who_guesses(void **state) {
  struct rig *r = *state;
  assert_int_equal(status_of(r, get(r, "", BOB)), 200);
  guess(r, GUESSES_FREE + 1, 401);
  looks = 0;
  struct http_memory *m = get(r, "", MALLORY);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 429, "TOOMANYREQUESTS");
  assert_slice(reply_field(&reply, "Retry-After"), "1");
  http_memory_free(m);
  /* The right one too, for it might be guessed; but nobody else. */
  assert_int_equal(status_of(r, get(r, "", ALICE)), 429);
  assert_int_equal(looks, 0);
  assert_int_equal(status_of(r, get(r, "", BOB)), 200);
  m = send_from(r, "192.0.2.2", "GET /token HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  assert_int_equal(status_of(r, m), 200);
  /* It is remembered now as right, and so not held up where it was. */
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  assert_int_equal(status_of(r, get(r, "", MALLORY)), 429);
}

static void holds_up_for_a_while_only(void **state) {
  struct rig *r = *state;
  guess(r, GUESSES_FREE + 1, 401);
  now_ms += 999;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 429);
  now_ms += 1;
  guess(r, 1, 401);
  now_ms += 1001;
  struct http_memory *m = get(r, "", ALICE);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 429, "TOOMANYREQUESTS");
  assert_slice(reply_field(&reply, "Retry-After"), "1");
  http_memory_free(m);
  now_ms += 999;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  /* The right one makes good for all. */
  guess(r, GUESSES_FREE, 401);
  now_ms += LOGIN_REMEMBER_MS;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
}

/* A guess whose sender does not wait for the answer. */
static void counts_guesses_that_were_left(void **state) {
  struct rig *r = *state;
  for (unsigned i = 0; i <= GUESSES_FREE; i++) {
    http_memory_free(get(r, "", MALLORY));
    while (r->w->loop.active_reqs.count > 0) {
      uv_run(&r->w->loop, UV_RUN_ONCE);
    }
  }
  guess(r, 1, 429);
}

static void few_wait_at_once(void **state) {
  struct rig *r = *state;
  struct http_memory *m[LOGIN_WAITING_PLACE_MAX];
  char request[512], credentials[64], encoded[128];
  waits = true;
  for (size_t i = 0; i < LOGIN_WAITING_PLACE_MAX; i++) {
    int n = snprintf(credentials, sizeof credentials, "user%zu:secret", i);
    base64_encode(BASE64_STANDARD, credentials, (size_t)n, encoded);
    snprintf(request, sizeof request,
             "GET /token HTTP/1.1\r\nHost: g\r\nAuthorization: Basic %s\r\n\r\n", encoded);
    m[i] = send_from(r, "192.0.2.1", request);
  }
  struct http_memory *late = get(r, "", ALICE);
  struct reply reply = world_wait(r->w, late);
  assert_problem(&reply, 503, "UNAVAILABLE");
  assert_slice(reply_field(&reply, "Retry-After"), "1");
  http_memory_free(late);
  struct http_memory *other =
      send_from(r, "192.0.2.2", "GET /token HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  assert_int_equal(http_memory_output(other).len, 0);
  waits = false;
  for (size_t i = 0; i <= LOGIN_WAITING_PLACE_MAX; i++) {
    sem_post(&may_go);
  }
  for (size_t i = 0; i < LOGIN_WAITING_PLACE_MAX; i++) {
    assert_int_equal(status_of(r, m[i]), 401);
  }
  assert_int_equal(status_of(r, other), 200);
}

/* --- refresh tokens --- */

static void refresh_tokens_are_as_good(void **state) {
  struct rig *r = *state;
  char *token = refresh_token(r, ALICE);
  assert_int_equal(strlen(token), 43);
  looks = 0;
  struct given g = take(r, refresh(r, token, "&scope=" APP "pull"));
  assert_string_equal(json_string_value(json_object_get(g.claims, "sub")), "alice");
  assert_string_equal(json_string_value(json_object_get(g.body, "scope")), APP "pull");
  assert_null(json_object_get(g.body, "refresh_token"));
  give_back(&g);
  /* Where one is asked for, it is the same: no further one is given for it. */
  g = take(r, refresh(r, token, "&access_type=offline"));
  assert_string_equal(json_string_value(json_object_get(g.body, "refresh_token")), token);
  give_back(&g);
  assert_int_equal(stored_tokens(r), 1);
  assert_int_equal(looks, 0);
  token[42] = token[42] == 'A' ? 'E' : 'A';
  struct http_memory *m = refresh(r, token, "");
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 401, "UNAUTHORIZED");
  assert_slice(reply_field(&reply, "WWW-Authenticate"), "Basic realm=\"registry \\\"1\\\"\"");
  http_memory_free(m);
  free(token);
}

static void refresh_tokens_end(void **state) {
  struct rig *r = *state;
  struct user_change changed = {"alice", "another", NULL, 0};
  char name[] = "bob";
  char *alice = refresh_token(r, ALICE), *bob = refresh_token(r, BOB);
  change(r, set_password, &changed);
  assert_int_equal(status_of(r, refresh(r, alice, "")), 401);
  assert_int_equal(status_of(r, refresh(r, bob, "")), 200);
  change(r, remove_user, name);
  assert_int_equal(status_of(r, refresh(r, bob, "")), 401);
  free(alice);
  free(bob);
}

struct put {
  const char *text, *service;
  int64_t issued, expires;
};

static int put_token(struct db_txn *txn, void *arg, struct error *e) {
  const struct put *p = arg;
  struct refresh_hash hash;
  struct arena arena = {0};
  struct user_record alice;
  const struct refresh_record record = {.user = SLICE("alice"),
                                        .service = slice_str(p->service),
                                        .issued = p->issued,
                                        .expires = p->expires};
  SHA256((const unsigned char *)p->text, strlen(p->text), hash.bytes);
  int status = user_store_get(txn, SLICE("alice"), &arena, &alice, e);
  status = status != 0 ? status : refresh_store_put(txn, &hash, &record, alice.password, e);
  arena_free(&arena);
  return status;
}

static void refresh_tokens_are_for_one_service_and_time(void **state) {
  struct rig *r = *state;
  int64_t now = clock_now();
  struct put rows[] = {{"right", SERVICE, now - 1, now + 60},
                       {"late", SERVICE, now - 60, now - 1},
                       {"elsewhere", "other", now - 1, now + 60}};
  for (size_t i = 0; i < 3; i++) {
    change(r, put_token, &rows[i]);
    assert_int_equal(status_of(r, refresh(r, rows[i].text, "")), i == 0 ? 200 : 401);
  }
}

/* The password is another by the time that the token is stored. */
static void no_refresh_token_of_an_old_password(void **state) {
  struct rig *r = *state;
  struct user_change changed = {"alice", "another", NULL, 0};
  waits = true;
  struct http_memory *m = get(r, "offline_token=true", ALICE);
  wait_for_looks(1);
  waits = false;
  change(r, set_password, &changed);
  sem_post(&may_go);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 401, "UNAUTHORIZED");
  assert_int_equal(stored_tokens(r), 0);
  http_memory_free(m);
}

/* --- revocations --- */

static void put_revocation(struct rig *r, enum revocation_kind kind, const char *value, int64_t at,
                           int64_t until) {
  struct revocation_list list = {0};
  const struct revocation like = {.kind = kind, .at = at, .until = until, .expires = INT64_MAX};
  assert_int_equal(revocation_list_add(&list, &like, slice_str(value), NULL), 0);
  revocations_replace(r->options.revocations, revocation_set_new(&list, clock_now()));
  revocation_list_free(&list);
}

static void nothing_is_issued_to_the_revoked(void **state) {
  struct rig *r = *state;
  char *token = refresh_token(r, ALICE);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/alice", clock_now() - 100, clock_now() + 600);
  struct http_memory *m = get(r, "scope=" APP "pull", ALICE);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 403, "DENIED");
  http_memory_free(m);
  assert_int_equal(status_of(r, refresh(r, token, "")), 403);
  assert_int_equal(status_of(r, get(r, "scope=" APP "pull", BOB)), 200);
  put_revocation(r, REVOCATION_SUB, "other.example/alice", clock_now(), REVOCATION_BAN);
  assert_int_equal(status_of(r, get(r, "scope=" APP "pull", ALICE)), 200);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/", clock_now(), REVOCATION_BAN);
  assert_int_equal(status_of(r, get(r, "scope=repository:public/tool:pull", "")), 403);
  free(token);
}

static void refresh_tokens_older_than_a_revocation_are_worthless(void **state) {
  struct rig *r = *state;
  char *token = refresh_token(r, ALICE);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/alice", clock_now() + 5, 0);
  assert_int_equal(status_of(r, refresh(r, token, "")), 401);
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/alice", clock_now() - 3600, 0);
  assert_int_equal(status_of(r, refresh(r, token, "")), 200);
  free(token);
}

static void revoked_repositories_are_left_out(void **state) {
  struct rig *r = *state;
  put_revocation(r, REVOCATION_REPOSITORY, REGISTRY "/team/app", clock_now(), REVOCATION_BAN);
  assert_access(r, get(r, "scope=" APP "pull&scope=repository:team/base:pull", ALICE),
                "[" ENTRY("team/base", "\"pull\"") "]");
}

/* --- what fails --- */

static void records_before_it_answers(void **state) {
  struct rig *r = *state;
  char path[96];
  snprintf(path, sizeof path, "%s/audit", r->w->dir);
  int held = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(held >= 0 && flock(held, LOCK_EX) == 0);
  struct http_memory *m = get(r, "scope=" APP "pull&offline_token=true", ALICE);
  struct http_memory *leaves = get(r, "scope=repository:public/tool:pull", "");
  while (looks == 0 || stored_tokens(r) == 0) {
    uv_run(&r->w->loop, UV_RUN_NOWAIT);
  }
  world_idle(r->w);
  assert_int_equal(http_memory_output(m).len, 0);
  http_memory_free(leaves);
  close(held);
  struct given g = take(r, m);
  const char *token = json_string_value(json_object_get(g.body, "token"));
  const char *jti = json_string_value(json_object_get(g.claims, "jti"));
  const char *secret = json_string_value(json_object_get(g.body, "refresh_token"));
  struct buf log = world_audit(r->w);
  buf_append(&log, "", 1);
  const char *line = strstr(log.ptr, jti);
  assert_non_null(line);
  assert_non_null(strstr(line, "\"sub\":\"" REGISTRY "/alice\",\"registry\":\"" REGISTRY
                               "\",\"access\":[\"" APP "pull\"],\"exp\":"));
  assert_non_null(strstr(line, "\"from\":\"192.0.2.1:0\"}"));
  assert_non_null(strstr(line, "\"event\":\"token\",\"kind\":\"refresh\",\"jti\":\""));
  assert_null(strstr(log.ptr, secret));
  assert_null(strstr(log.ptr, strrchr(token, '.')));
  assert_null(strstr(log.ptr, "secret"));
  buf_free(&log);
  give_back(&g);
}

static void hands_out_nothing_that_it_cannot_record(void **state) {
  struct rig *r = *state;
  char path[96];
  snprintf(path, sizeof path, "%s/audit/audit.jsonl", r->w->dir);
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  struct http_memory *m = get(r, "scope=" APP "pull", ALICE);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 503, "UNAVAILABLE");
  assert_non_null(reply_field(&reply, "Retry-After").ptr);
  assert_null(memmem(reply.body.ptr, reply.body.len, "eyJ", 3));
  http_memory_free(m);
  assert_int_equal(rmdir(path), 0);
  assert_int_equal(status_of(r, get(r, "scope=" APP "pull", ALICE)), 200);
}

static void says_when_the_database_fails(void **state) {
  struct rig *r = *state;
  char name[] = "bob";
  db_fails = true;
  assert_int_equal(status_of(r, get(r, "offline_token=true", ALICE)), 500);
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  db_fails = false;
  change(r, damage_user, name);
  struct http_memory *m = get(r, "", BOB);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 500, "UNKNOWN");
  http_memory_free(m);
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
}

static void survives_a_caller_who_leaves_while_it_stores(void **state) {
  struct rig *r = *state;
  assert_int_equal(status_of(r, get(r, "", ALICE)), 200);
  struct http_memory *m = get(r, "offline_token=true", ALICE);
  http_memory_free(m);
  while (stored_tokens(r) == 0) {
    uv_run(&r->w->loop, UV_RUN_NOWAIT);
  }
  world_idle(r->w);
}

static void says_when_a_token_would_be_too_long(void **state) {
  struct rig *r = *state;
  static char request[20000];
  int at = snprintf(request, sizeof request, "GET /token?");
  for (int i = 0; i < 60; i++) {
    at += snprintf(request + at, sizeof request - (size_t)at, "&scope=repository:team/%0*d:pull",
                   200, i);
  }
  snprintf(request + at, sizeof request - (size_t)at, " HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  struct http_memory *m = send_from(r, "192.0.2.1", request);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 400, "UNSUPPORTED");
  assert_non_null(memmem(reply.body.ptr, reply.body.len, "ask for less", 12));
  http_memory_free(m);
}

static void refuses_a_service_of_no_use(void **state) {
  struct rig *r = *state;
  char name[300];
  struct error e = {0};
  struct token_service_options options = r->options;
  options.service = "a\nb";
  assert_null(token_service_new(&options, &e));
  assert_int_equal(e.kind, ERROR_USAGE);
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  options.service = name;
  assert_null(token_service_new(&options, &e));
  assert_int_equal(e.kind, ERROR_USAGE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(gives_what_is_granted),
      TEST(says_who_and_until_when),
      TEST(nobody_gets_what_is_public),
      TEST(forms_are_as_good),
      TEST(malformed_is_refused),
      TEST(tells_wrong_and_unknown_not_apart),
      TEST(no_name_is_not_nobody),
      TEST(remembers_what_was_right),
      TEST(looks_at_the_same_once),
      TEST(survives_callers_who_leave_while_it_hashes),
      TEST(holds_up_who_guesses),
      TEST(holds_up_for_a_while_only),
      TEST(counts_guesses_that_were_left),
      TEST(few_wait_at_once),
      TEST(refresh_tokens_are_as_good),
      TEST(refresh_tokens_end),
      TEST(refresh_tokens_are_for_one_service_and_time),
      TEST(no_refresh_token_of_an_old_password),
      TEST(nothing_is_issued_to_the_revoked),
      TEST(refresh_tokens_older_than_a_revocation_are_worthless),
      TEST(revoked_repositories_are_left_out),
      TEST(records_before_it_answers),
      TEST(hands_out_nothing_that_it_cannot_record),
      TEST(says_when_the_database_fails),
      TEST(survives_a_caller_who_leaves_while_it_stores),
      TEST(says_when_a_token_would_be_too_long),
      TEST(refuses_a_service_of_no_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
