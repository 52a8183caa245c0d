#include "token_rig.h"

#include "auth/password.h"

#include <openssl/evp.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

/* The one that what is wrapped belongs to. */
static struct rig *the_rig;
static sem_t may_go;

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
  the_rig->looks++;
  if (the_rig->waits) {
    sem_wait(&may_go);
  }
  return PKCS5_PBKDF2_HMAC(pass, (int)passlen, salt, (int)saltlen, 1, EVP_sha256(), (int)keylen,
                           key);
}

uint64_t __wrap_clock_monotonic_ms(void) {
  return the_rig->now_ms;
}

int __wrap_db_write(struct db *db, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
                    struct error *e) {
  if (the_rig->db_fails) {
    return error_set(e, ERROR_FAILED, "too much waits");
  }
  the_rig->writes++;
  return __real_db_write(db, loop, fn, arg, done, e);
}
/* NOLINTEND(cert-dcl51-cpp) */

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

int token_rig_set_password(struct db_txn *txn, void *arg, struct error *e) {
  const struct user_change *u = arg;
  char hash[PASSWORD_HASH_SPACE];
  return password_hash(slice_str(u->password), hash, e) != 0
             ? -1
             : user_store_set_password(txn, slice_str(u->name), slice_str(hash), 2, e);
}

int token_rig_remove_user(struct db_txn *txn, void *arg, struct error *e) {
  return user_store_remove(txn, slice_str(arg), e);
}

void token_rig_change(const struct rig *r, db_write_fn *fn, void *arg) {
  struct error e = {0};
  if (db_write_now(r->w->db, fn, arg, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

int token_rig_setup(void **state) {
  static struct user_change alice = {"alice", "secret", "team/*", SCOPE_PULL | SCOPE_PUSH};
  static struct user_change bob = {"bob", "bob's:secret", "team/app", SCOPE_PULL};
  struct error e = {0};
  struct rig *r = calloc(1, sizeof *r);
  assert_non_null(r);
  the_rig = r;
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
  token_rig_change(r, add_user, &alice);
  token_rig_change(r, add_user, &bob);
  r->service = token_service_new(&r->options, &e);
  if (r->service == NULL) {
    fail_msg("%s", e.text);
  }
  token_service_routes(r->service, r->routes);
  r->server = (struct http_server_options){
      .routes = r->routes, .route_count = TOKEN_SERVICE_ROUTES, .log = &r->w->log};
  r->now_ms = 1000000;
  r->looks = 0;
  sem_init(&may_go, 0, 0);
  return 0;
}

int token_rig_teardown(void **state) {
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

struct http_memory *token_rig_send(struct rig *r, const char *peer, const char *request) {
  union address address;
  assert_true(address_parse(slice_str(peer), &address));
  struct http_memory *m = http_memory_new(&r->w->loop, &r->server, &address.any);
  assert_non_null(m);
  assert_int_equal(http_memory_feed(m, slice_str(request)), strlen(request));
  return m;
}

struct http_memory *token_rig_get(struct rig *r, const char *query, const char *fields) {
  char request[4096];
  snprintf(request, sizeof request, "GET /token?%s HTTP/1.1\r\nHost: g\r\n%s\r\n", query, fields);
  return token_rig_send(r, "192.0.2.1", request);
}

struct http_memory *token_rig_post(struct rig *r, const char *form) {
  char request[4096];
  snprintf(request, sizeof request,
           "POST /token HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-www-form-urlencoded\r\n"
           "Content-Length: %zu\r\n\r\n%s",
           strlen(form), form);
  return token_rig_send(r, "192.0.2.1", request);
}

int token_rig_status(struct rig *r, struct http_memory *m) {
  int status = world_wait(r->w, m).status;
  http_memory_free(m);
  return status;
}

void token_rig_wait_for_looks(struct rig *r, unsigned count) {
  while (r->looks < count) {
    sched_yield();
  }
}

void token_rig_let_go(struct rig *r, unsigned count) {
  r->waits = false;
  for (unsigned i = 0; i < count; i++) {
    sem_post(&may_go);
  }
}
