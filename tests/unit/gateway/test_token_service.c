/* What is given to whom, and what is not. */
#include "base/base64.h"
#include "base/clock.h"
#include "db/refresh_store.h"
#include "db/revocation_store.h"
#include "db/table.h"

#include "token_rig.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int damage_user(struct db_txn *txn, void *arg, struct error *e) {
  return table_put(txn, TABLE_USERS, slice_str(arg), SLICE("x"), e);
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

/* Nothing is recorded until it is closed. */
static int hold_audit(const struct rig *r) {
  char path[96];
  snprintf(path, sizeof path, "%s/audit", r->w->dir);
  int held = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(held >= 0 && flock(held, LOCK_EX) == 0);
  return held;
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
  struct given g = take(r, token_rig_get(r, "offline_token=true&client_id=tests", fields));
  const char *token = json_string_value(json_object_get(g.body, "refresh_token"));
  assert_non_null(token);
  char *copy = strdup(token);
  give_back(&g);
  return copy;
}

static struct http_memory *refresh(struct rig *r, const char *token, const char *more) {
  char form[512];
  snprintf(form, sizeof form, "grant_type=refresh_token&refresh_token=%s%s", token, more);
  return token_rig_post(r, form);
}

#define ENTRY(name, actions)                                                                       \
  "{\"type\":\"repository\",\"name\":\"" name "\",\"actions\":[" actions "]}"

/* --- what is given --- */

static void gives_what_is_granted(void **state) {
  struct rig *r = *state;
  assert_access(r, token_rig_get(r, "scope=" APP "pull,push", ALICE),
                "[" ENTRY("team/app", "\"pull\",\"push\"") "]");
  /* Less than was asked for is no error. */
  assert_access(r, token_rig_get(r, "scope=" APP "push,pull&scope=repository:secret/box:pull", BOB),
                "[" ENTRY("team/app", "\"pull\"") "]");
  assert_access(r, token_rig_get(r, "scope=repository:secret/box:pull", BOB), "[]");
  assert_access(r, token_rig_get(r, "scope=" APP "delete,*&scope=registry:catalog:*", ALICE), "[]");
  assert_access(r, token_rig_get(r, "", ALICE), "[]");
  /* One entry a repository; what is public is so for users too. */
  assert_access(
      r,
      token_rig_get(r, "scope=" APP "pull+repository:public/tool:pull,push&scope=" APP "push",
                    ALICE),
      "[" ENTRY("team/app", "\"pull\",\"push\"") "," ENTRY("public/tool", "\"pull\"") "]");
}

static void says_who_and_until_when(void **state) {
  struct rig *r = *state;
  struct given g = take(r, token_rig_get(r, "service=registry%20%221%22&scope=" APP "pull", ALICE));
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
  struct given g =
      take(r, token_rig_get(r, "scope=repository:public/tool:pull,push&offline_token=true", ""));
  assert_null(json_object_get(g.claims, "sub"));
  assert_null(json_object_get(g.body, "refresh_token"));
  give_back(&g);
  assert_access(r, token_rig_get(r, "scope=repository:public/tool:pull,push&scope=" APP "pull", ""),
                "[" ENTRY("public/tool", "\"pull\"") "]");
  static const char app[] = "scope=" APP "pull";
  static const char *const queries[] = {"", app, "scope=repository:public/tool:push",
                                        "scope=registry:catalog:*", "offline_token=true"};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
    struct http_memory *m = token_rig_get(r, queries[i], "");
    struct reply reply = world_wait(r->w, m);
    assert_problem(&reply, 401, "UNAUTHORIZED");
    assert_slice(reply_field(&reply, "WWW-Authenticate"), "Basic realm=\"registry \\\"1\\\"\"");
    http_memory_free(m);
  }
  assert_int_equal(r->looks, 0);
}

static struct http_memory *get_as_nobody(struct rig *r, const char *peer) {
  return token_rig_send(r, peer,
                        "GET /token?scope=repository:public/tool:pull HTTP/1.1\r\nHost: g\r\n\r\n");
}

/* Each is a line of the audit log, which keeps so many bytes. */
static void nobody_gets_so_many_and_no_more(void **state) {
  struct rig *r = *state;
  enum { AT_ONCE = 100 };
  struct http_memory *m[AT_ONCE];
  for (unsigned i = 0; i < TOKEN_SERVICE_ANONYMOUS_MAX; i += AT_ONCE) {
    for (unsigned k = 0; k < AT_ONCE; k++) {
      m[k] = get_as_nobody(r, "192.0.2.1");
    }
    for (unsigned k = 0; k < AT_ONCE; k++) {
      assert_int_equal(token_rig_status(r, m[k]), 200);
    }
  }
  m[0] = get_as_nobody(r, "192.0.2.1");
  struct reply reply = world_wait(r->w, m[0]);
  assert_problem(&reply, 429, "TOOMANYREQUESTS");
  assert_slice(reply_field(&reply, "Retry-After"), "60");
  http_memory_free(m[0]);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "scope=" APP "pull", ALICE)), 200);
  assert_int_equal(token_rig_status(r, get_as_nobody(r, "192.0.2.2")), 200);
  r->now_ms += TOKEN_SERVICE_ANONYMOUS_MS;
  assert_int_equal(token_rig_status(r, get_as_nobody(r, "192.0.2.1")), 200);
}

static void forms_are_as_good(void **state) {
  struct rig *r = *state;
  struct given g = take(
      r,
      token_rig_post(r, "grant_type=password&username=bob&password=bob's%3Asecret&scope=" APP
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
    struct http_memory *m = token_rig_get(r, queries[i], ALICE);
    struct reply reply = world_wait(r->w, m);
    assert_problem(&reply, 400, "UNSUPPORTED");
    http_memory_free(m);
  }
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE ALICE)), 400);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", "Authorization: Bearer abc\r\n")), 400);
  assert_int_equal(token_rig_status(r, token_rig_post(r, "grant_type=code")), 400);
  assert_int_equal(r->looks, 0);
}

/* --- refresh tokens --- */

static void refresh_tokens_are_as_good(void **state) {
  struct rig *r = *state;
  char *token = refresh_token(r, ALICE);
  assert_int_equal(strlen(token), 43);
  r->looks = 0;
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
  assert_int_equal(r->looks, 0);
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
  token_rig_change(r, token_rig_set_password, &changed);
  assert_int_equal(token_rig_status(r, refresh(r, alice, "")), 401);
  assert_int_equal(token_rig_status(r, refresh(r, bob, "")), 200);
  token_rig_change(r, token_rig_remove_user, name);
  assert_int_equal(token_rig_status(r, refresh(r, bob, "")), 401);
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
    token_rig_change(r, put_token, &rows[i]);
    assert_int_equal(token_rig_status(r, refresh(r, rows[i].text, "")), i == 0 ? 200 : 401);
  }
}

/* By what the server does once a second. */
static void refresh_tokens_that_ended_are_dropped(void **state) {
  struct rig *r = *state;
  int64_t now = clock_now();
  struct put rows[] = {{"right", SERVICE, now - 1, now + 600},
                       {"late", SERVICE, now - 60, now - 1}};
  token_rig_change(r, put_token, &rows[0]);
  token_rig_change(r, put_token, &rows[1]);
  unsigned before = r->writes;
  revocation_watch_poll(r->w->watch, &r->w->loop);
  revocation_watch_poll(r->w->watch, &r->w->loop);
  assert_int_equal(r->writes, before + 1); /* not all the time */
  while (stored_tokens(r) == 2) {
    uv_run(&r->w->loop, UV_RUN_ONCE);
  }
  assert_int_equal(stored_tokens(r), 1);
  assert_int_equal(token_rig_status(r, refresh(r, "right", "")), 200);
}

/* The password is another by the time that the token is stored. */
static void no_refresh_token_of_an_old_password(void **state) {
  struct rig *r = *state;
  struct user_change changed = {"alice", "another", NULL, 0};
  r->waits = true;
  struct http_memory *m = token_rig_get(r, "offline_token=true", ALICE);
  token_rig_wait_for_looks(r, 1);
  r->waits = false; /* the change is hashed too */
  token_rig_change(r, token_rig_set_password, &changed);
  token_rig_let_go(r, 1);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 401, "UNAUTHORIZED");
  assert_int_equal(stored_tokens(r), 0);
  http_memory_free(m);
}

static int put_stored(struct db_txn *txn, void *arg, struct error *e) {
  return revocation_store_put(txn, arg, e);
}

/* `swarmgate revoke` comes between the decision and the store. */
static void no_refresh_token_of_who_was_revoked_meanwhile(void **state) {
  struct rig *r = *state;
  struct revocation_record revocation = {.kind = REVOCATION_SUB,
                                         .value = SLICE(REGISTRY "/alice"),
                                         .at = clock_now() + 60,
                                         .expires = clock_now() + 86400};
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  int held = hold_audit(r);
  struct http_memory *m = token_rig_get(r, "offline_token=true", ALICE);
  token_rig_change(r, put_stored, &revocation);
  close(held);
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
  struct http_memory *m = token_rig_get(r, "scope=" APP "pull", ALICE);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 403, "DENIED");
  http_memory_free(m);
  assert_int_equal(token_rig_status(r, refresh(r, token, "")), 403);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "scope=" APP "pull", BOB)), 200);
  put_revocation(r, REVOCATION_SUB, "other.example/alice", clock_now(), REVOCATION_BAN);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "scope=" APP "pull", ALICE)), 200);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/", clock_now(), REVOCATION_BAN);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "scope=repository:public/tool:pull", "")),
                   403);
  free(token);
}

static void refresh_tokens_older_than_a_revocation_are_worthless(void **state) {
  struct rig *r = *state;
  char *token = refresh_token(r, ALICE);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/alice", clock_now() + 5, 0);
  assert_int_equal(token_rig_status(r, refresh(r, token, "")), 401);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  put_revocation(r, REVOCATION_SUB, REGISTRY "/alice", clock_now() - 3600, 0);
  assert_int_equal(token_rig_status(r, refresh(r, token, "")), 200);
  free(token);
}

static void revoked_repositories_are_left_out(void **state) {
  struct rig *r = *state;
  put_revocation(r, REVOCATION_REPOSITORY, REGISTRY "/team/app", clock_now(), REVOCATION_BAN);
  assert_access(r, token_rig_get(r, "scope=" APP "pull&scope=repository:team/base:pull", ALICE),
                "[" ENTRY("team/base", "\"pull\"") "]");
}

/* --- what fails --- */

static void records_before_it_answers(void **state) {
  struct rig *r = *state;
  int held = hold_audit(r);
  struct http_memory *m = token_rig_get(r, "scope=" APP "pull&offline_token=true", ALICE);
  struct http_memory *leaves = token_rig_get(r, "scope=repository:public/tool:pull", "");
  token_rig_wait_for_looks(r, 1);
  world_idle(r->w);
  assert_int_equal(http_memory_output(m).len, 0);
  assert_int_equal(stored_tokens(r), 0);
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
  struct http_memory *m = token_rig_get(r, "scope=" APP "pull&offline_token=true", ALICE);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 503, "UNAVAILABLE");
  assert_non_null(reply_field(&reply, "Retry-After").ptr);
  assert_null(memmem(reply.body.ptr, reply.body.len, "eyJ", 3));
  http_memory_free(m);
  assert_int_equal(stored_tokens(r), 0);
  assert_int_equal(rmdir(path), 0);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "scope=" APP "pull", ALICE)), 200);
}

static void says_when_the_database_fails(void **state) {
  struct rig *r = *state;
  char name[] = "bob";
  r->db_fails = true;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "offline_token=true", ALICE)), 500);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  r->db_fails = false;
  token_rig_change(r, damage_user, name);
  struct http_memory *m = token_rig_get(r, "", BOB);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 500, "UNKNOWN");
  http_memory_free(m);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
}

static void survives_a_caller_who_leaves_while_it_stores(void **state) {
  struct rig *r = *state;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  world_block_writes(r->w);
  unsigned before = r->writes;
  struct http_memory *m = token_rig_get(r, "offline_token=true", ALICE);
  while (r->writes == before) {
    uv_run(&r->w->loop, UV_RUN_ONCE);
  }
  http_memory_free(m);
  world_unblock_writes(r->w);
  while (stored_tokens(r) == 0) {
    uv_run(&r->w->loop, UV_RUN_NOWAIT);
  }
  world_idle(r->w);
}

/* As after a reload of a configuration without `token_service`. */
static void there_is_none_without_its_key(void **state) {
  struct rig *r = *state;
  struct keyring_state *none = keyring_state_new();
  assert_non_null(none);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  keyring_replace(r->w->keyring, none, clock_now());
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 404);
  struct http_memory *m = token_rig_post(r, "grant_type=refresh_token&service=s&refresh_token=x");
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 404, "UNSUPPORTED");
  http_memory_free(m);
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
  struct http_memory *m = token_rig_send(r, "192.0.2.1", request);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, token_rig_setup, token_rig_teardown)
  const struct CMUnitTest tests[] = {
      TEST(gives_what_is_granted),
      TEST(says_who_and_until_when),
      TEST(nobody_gets_what_is_public),
      TEST(nobody_gets_so_many_and_no_more),
      TEST(forms_are_as_good),
      TEST(malformed_is_refused),
      TEST(refresh_tokens_are_as_good),
      TEST(refresh_tokens_end),
      TEST(refresh_tokens_are_for_one_service_and_time),
      TEST(refresh_tokens_that_ended_are_dropped),
      TEST(no_refresh_token_of_an_old_password),
      TEST(no_refresh_token_of_who_was_revoked_meanwhile),
      TEST(nothing_is_issued_to_the_revoked),
      TEST(refresh_tokens_older_than_a_revocation_are_worthless),
      TEST(revoked_repositories_are_left_out),
      TEST(records_before_it_answers),
      TEST(hands_out_nothing_that_it_cannot_record),
      TEST(says_when_the_database_fails),
      TEST(survives_a_caller_who_leaves_while_it_stores),
      TEST(there_is_none_without_its_key),
      TEST(says_when_a_token_would_be_too_long),
      TEST(refuses_a_service_of_no_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
