/* Revocations at the gateway: nothing is issued to the revoked, and no blob goes on to them. */
#include "world.h"

#include "auth/revocation_feed.h"
#include "base/clock.h"
#include "base/hex.h"
#include "db/revocation_store.h"
#include "db/table.h"

#include <stdio.h>
#include <stdlib.h>

#define ALICE WORLD_REGISTRY "/alice"
#define APP   WORLD_REGISTRY "/" WORLD_REPOSITORY
/** alice */
#define BASIC "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"
#define JTI   "0123456789abcdef0123456789abcdef"

enum { LARGE = 48 * 1024 * 1024 };

struct change {
  struct revocation_record record;
  bool remove;
};

static int write_change(struct db_txn *txn, void *arg, struct error *e) {
  const struct change *c = arg;
  return c->remove ? revocation_store_remove(txn, c->record.kind, c->record.value, e)
                   : revocation_store_put(txn, &c->record, e);
}

static void change(struct world *w, struct change c) {
  struct error e = {0};
  if (db_write_now(w->db, write_change, &c, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

/* As of now; nothing is issued for \p bar seconds. */
static void put_revocation(struct world *w, enum revocation_kind kind, const char *value,
                           int64_t bar) {
  int64_t now = clock_now();
  struct revocation_record record = {.kind = (uint8_t)kind,
                                     .value = slice_str(value),
                                     .at = now,
                                     .until = bar == 0 ? 0 : now + bar,
                                     .expires = now + 86400};
  change(w, (struct change){record, false});
}

static void forgive(struct world *w, enum revocation_kind kind, const char *value) {
  change(w, (struct change){{.kind = (uint8_t)kind, .value = slice_str(value)}, true});
}

/* What the server's timer does, and what comes of it. */
static void second(struct world *w) {
  uint64_t before = revocations_generation(w->revocations);
  /* The poll before may have done its work and not have said so yet: then this one is none. */
  while (revocations_generation(w->revocations) == before) {
    revocation_watch_poll(w->watch, &w->loop);
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  gateway_tick(w->gateway);
}

static struct http_memory *ask(struct world *w, bool several, const char *fields) {
  char request[TOKEN_REGISTRY_MAX + 1024];
  char body[128];
  int len = snprintf(body, sizeof body, "{\"digests\":[\"%s\"]}", w->registry.digest);
  if (several) {
    snprintf(request, sizeof request,
             "POST /v1/" WORLD_REPOSITORY
             "/tokens HTTP/1.1\r\nHost: g\r\n%sContent-Length: %d\r\n\r\n%s",
             fields, len, body);
  } else {
    snprintf(request, sizeof request,
             "GET /v1/" WORLD_REPOSITORY "/blobs/%s HTTP/1.1\r\nHost: g\r\n%s\r\n",
             w->registry.digest, fields);
  }
  return world_send(w, request);
}

static void assert_answers(struct world *w, bool several, const char *fields, int status) {
  struct http_memory *m = ask(w, several, fields);
  struct reply r = world_wait(w, m);
  if (status == 404) {
    assert_problem(&r, 404, "BLOB_UNKNOWN");
  }
  if (r.status != status) {
    fail_msg("%d, not %d: %.*s", r.status, status, SLICE_ARG(r.body));
  }
  http_memory_free(m);
}

static void assert_routes(struct world *w, const char *fields, int status) {
  assert_answers(w, false, fields, status);
  assert_answers(w, true, fields, status);
}

/* The first request after the write sees it: nobody has polled. */
static void gives_nothing_to_who_is_barred(void **state) {
  static const struct {
    const char *value;
    enum revocation_kind kind;
    int status;
  } rows[] = {
      {ALICE, REVOCATION_SUB, 404},      {WORLD_REGISTRY "/bob", REVOCATION_SUB, 200},
      {APP, REVOCATION_REPOSITORY, 404}, {WORLD_REGISTRY "/team/app2", REVOCATION_REPOSITORY, 200},
      {ALICE, REVOCATION_JTI, 200},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_routes(w, BASIC, 200);
    put_revocation(w, rows[i].kind, rows[i].value, 600);
    assert_answers(w, i % 2 == 0, BASIC, rows[i].status);
    assert_routes(w, BASIC, rows[i].status);
    forgive(w, rows[i].kind, rows[i].value);
    second(w);
  }
  put_revocation(w, REVOCATION_SUB, ALICE, 0); /* the password proves who asks anew each time */
  assert_routes(w, BASIC, 200);
}

static void on_known(void *arg, const struct error *e) {
  *(bool *)arg = e == NULL;
}

static struct revocation_wait *ask_what_is_known(struct world *w, bool *told) {
  struct error e = {0};
  struct revocation_wait *wait = revocation_wait_start(w->watch, &w->loop, on_known, told, &e);
  assert_int_equal(e.kind, ERROR_NONE);
  return wait;
}

/* Users, torrents and refresh tokens come all the time. */
static void only_a_revocation_is_waited_for(void **state) {
  struct world *w = *state;
  bool told = false;
  for (int i = 0; i < 2; i++) {
    assert_null(ask_what_is_known(w, &told));
    world_register(w, TORRENT_V1, WORLD_REPOSITORY);
    assert_null(ask_what_is_known(w, &told));
    put_revocation(w, REVOCATION_SUB, ALICE, 600);
    assert_non_null(ask_what_is_known(w, &told));
    while (!told) {
      uv_run(&w->loop, UV_RUN_ONCE);
    }
    told = false;
  }
}

static int put_damaged(struct db_txn *txn, void *arg, struct error *e) {
  (void)arg;
  return table_put(txn, TABLE_REVOCATIONS, SLICE("\1a"), SLICE("no times"), e);
}

/* They might be about whoever asks. */
static void gives_nothing_while_revocations_cannot_be_read(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  assert_routes(w, BASIC, 200);
  assert_int_equal(db_write_now(w->db, put_damaged, NULL, NULL), 0);
  put_revocation(w, REVOCATION_SUB, WORLD_REGISTRY "/bob", 600);
  for (int several = 0; several < 2; several++) {
    struct http_memory *m = ask(w, several != 0, BASIC);
    struct reply r = world_wait(w, m);
    assert_problem(&r, 503, "UNAVAILABLE");
    http_memory_free(m);
  }
}

static void reads_the_list_for_whoever_waits(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, NULL);
  put_revocation(w, REVOCATION_SUB, WORLD_REGISTRY "/bob", 600);
  struct http_memory *ms[4];
  for (size_t i = 0; i < 4; i++) {
    ms[i] = ask(w, i % 2 == 1, BASIC);
  }
  struct http_memory *gone = ask(w, false, BASIC);
  world_await_requests(w, &w->registry, 4);
  http_memory_free(gone);
  for (size_t i = 0; i < 4; i++) {
    struct reply r = world_wait(w, ms[i]);
    assert_int_equal(r.status, 200);
    http_memory_free(ms[i]);
  }
}

static const char *bearer(struct world *w, const struct token *t, char *out) {
  char jws[TOKEN_MAX + 1];
  world_sign(&w->key, t, jws);
  snprintf(out, TOKEN_REGISTRY_MAX, "Authorization: Bearer %s\r\n", jws);
  return out;
}

/* Also when nothing is barred any more; where the registry is asked, and where it is not. */
static void a_token_from_before_a_revocation_gives_nothing(void **state) {
  static const struct {
    enum revocation_kind kind;
    const char *value;
  } rows[] = {{REVOCATION_SUB, ALICE}, {REVOCATION_REPOSITORY, APP}, {REVOCATION_JTI, JTI}};
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
    enum revocation_kind kind = rows[i / 2].kind;
    const char *value = rows[i / 2].value;
    struct token t = world_registry_token();
    t.id = SLICE(JTI);
    w->registries[0].authorise = i % 2 == 0 ? GATEWAY_TOKEN : GATEWAY_DELEGATE;
    gateway_free(w->gateway);
    w->gateway = NULL;
    assert_routes(w, bearer(w, &t, field), 200);
    put_revocation(w, kind, value, 0);
    assert_routes(w, field, 404);
    t.issued += 30; /* within the leeway */
    assert_routes(w, bearer(w, &t, field), 200);
    t.issued = 0;
    assert_routes(w, bearer(w, &t, field), 404);
    forgive(w, kind, value);
    second(w);
    assert_routes(w, field, 200);
  }
}

/* By what the token calls it, and, where it is verified here, by what the key is called. */
static void a_token_of_a_revoked_key_gives_nothing(void **state) {
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  char *names[] = {key_libtrust_id(&w->key), key_thumbprint(&w->key)};
  const struct token t = world_registry_token();
  w->registries[0].authorise = GATEWAY_TOKEN;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < 2; i++) {
    assert_routes(w, bearer(w, &t, field), 200);
    put_revocation(w, REVOCATION_KID, names[i], 0);
    assert_routes(w, field, 404);
    forgive(w, REVOCATION_KID, names[i]);
    second(w);
    free(names[i]);
  }
}

static void forgets_what_registries_said(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  assert_routes(w, BASIC, 200);
  assert_int_equal(w->registry.request_count, 1);
  put_revocation(w, REVOCATION_JTI, "another", 0);
  second(w);
  assert_routes(w, BASIC, 200);
  assert_int_equal(w->registry.request_count, 2);
}

/* Names the torrent's infohash. */
static int find_infohash(struct db_txn *txn, void *arg, struct error *e) {
  struct world *w = ((void **)arg)[0];
  struct arena arena = {0};
  struct torrent_record record;
  int result =
      torrent_store_find(txn, slice_str(w->registry.digest), TORRENT_HYBRID, &arena, &record, e);
  hex_encode(record.infohash, 20, ((char **)arg)[1]);
  hex_encode(record.infohash_v2, 32, ((char **)arg)[2]);
  arena_free(&arena);
  return result;
}

static void assert_webseed(struct world *w, int status) {
  struct http_memory *m = world_read_blob(w, "GET", "");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, status);
  if (status == 403) {
    assert_problem(&r, 403, "DENIED");
  }
  http_memory_free(m);
}

static void a_webseed_token_is_refused_by_each_of_its_names(void **state) {
  struct world *w = *state;
  char v1[41], v2[65];
  world_register(w, TORRENT_HYBRID, WORLD_REPOSITORY);
  void *find[] = {w, v1, v2};
  assert_int_equal(db_read(w->db, find_infohash, find, NULL), 0);
  const struct {
    const char *value;
    enum revocation_kind kind;
    int status;
  } rows[] = {
      {JTI, REVOCATION_JTI, 403},
      {ALICE, REVOCATION_SUB, 403},
      {APP, REVOCATION_REPOSITORY, 403},
      {v1, REVOCATION_INFOHASH, 403},
      {v2, REVOCATION_INFOHASH, 403},
      {"0102030405060708090a0b0c0d0e0f1011121314", REVOCATION_INFOHASH, 200},
      {WORLD_REGISTRY "/bob", REVOCATION_SUB, 200},
  };
  assert_webseed(w, 200);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    put_revocation(w, rows[i].kind, rows[i].value, 0);
    second(w);
    assert_webseed(w, rows[i].status);
    forgive(w, rows[i].kind, rows[i].value);
    second(w);
    assert_webseed(w, 200);
  }
}

static void cuts_what_is_under_way(void **state) {
  struct world *w = *state;
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  struct http_memory *silent[2], *running = world_read_blob(w, "GET", "");
  http_memory_take(running, 65536);
  while (http_memory_output(running).len < 65536) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  w->registry.silent = true;
  for (size_t i = 0; i < 2; i++) {
    size_t asked = w->registry.request_count;
    silent[i] = world_read_blob(w, "GET", "Range: bytes=0-9\r\n");
    world_await_requests(w, &w->registry, asked + 1);
  }
  http_memory_free(silent[1]);
  put_revocation(w, REVOCATION_JTI, "another", 0);
  second(w);
  world_idle(w);
  assert_false(http_memory_closed(running));
  assert_int_equal(world_reply(silent[0]).status, 0);
  put_revocation(w, REVOCATION_JTI, JTI, 0);
  second(w);
  struct reply r = world_wait(w, running);
  assert_int_equal(r.status, 200);
  assert_false(r.whole);
  assert_true(http_memory_closed(running));
  r = world_wait(w, silent[0]);
  assert_problem(&r, 403, "DENIED");
  http_memory_free(silent[0]);
  http_memory_free(running);
}

/* The list, as a tracker elsewhere reads it. */
static void read_feed(struct world *w, struct revocation_list *list, struct buf *text) {
  struct http_memory *m = world_send(w, "GET /v1/revocations HTTP/1.1\r\nHost: g\r\n\r\n");
  struct reply r = world_wait(w, m);
  struct keyring_state *keys = keyring_hold(w->keyring);
  struct error e = {0};
  int64_t issued;
  assert_int_equal(r.status, 200);
  assert_slice(reply_field(&r, "Content-Type"), "application/jwt");
  if (revocation_feed_read(&keys->trust, r.body, 0, clock_now(), list, &issued, &e) != 0) {
    fail_msg("%s", e.text);
  }
  keyring_release(keys);
  text->len = 0;
  buf_append(text, r.body.ptr, r.body.len);
  http_memory_free(m);
}

static void tells_trackers_elsewhere(void **state) {
  struct world *w = *state;
  struct revocation_list list = {0};
  struct buf first = {0}, again = {0};
  struct http_memory *gone = world_send(w, "GET /v1/revocations HTTP/1.1\r\nHost: g\r\n\r\n");
  http_memory_free(gone);
  read_feed(w, &list, &first);
  assert_int_equal(list.count, 0);
  read_feed(w, &list, &again); /* kept: ES256 signs no text twice the same */
  assert_true(slice_equal(buf_view(&first), buf_view(&again)));
  put_revocation(w, REVOCATION_SUB, ALICE, 600);
  second(w);
  read_feed(w, &list, &again);
  assert_int_equal(list.count, 1);
  assert_int_equal(list.items[0].kind, REVOCATION_SUB);
  uint64_t name = revocation_name(SLICE(ALICE));
  assert_memory_equal(list.items[0].hash, &name, sizeof name);
  revocation_list_free(&list);
  buf_free(&first);
  buf_free(&again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(gives_nothing_to_who_is_barred),
      TEST(only_a_revocation_is_waited_for),
      TEST(gives_nothing_while_revocations_cannot_be_read),
      TEST(reads_the_list_for_whoever_waits),
      TEST(a_token_from_before_a_revocation_gives_nothing),
      TEST(a_token_of_a_revoked_key_gives_nothing),
      TEST(forgets_what_registries_said),
      TEST(a_webseed_token_is_refused_by_each_of_its_names),
      TEST(cuts_what_is_under_way),
      TEST(tells_trackers_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
