/* Torrents of what was pushed, made before anybody asks; and the notifications that tell of it. */
#include "world.h"

#include "base/clock.h"
#include "db/wanted_store.h"
#include "gateway/notification.h"
#include "gateway/preparing.h"

#include <stdio.h>

#define MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define INDEX    "application/vnd.oci.image.index.v1+json"
#define CONFIG   "application/vnd.oci.image.config.v1+json"
#define LAYER    "application/vnd.oci.image.layer.v1.tar+gzip"
#define EMPTY    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define NOWHERE  "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define SECRET   "the secret"

static struct preparing *preparing;

static int setup(void **state) {
  world_setup(state);
  struct world *w = *state;
  world_start_hashing(w, 0);
  world_start_manifests(w);
  const struct preparing_options options = {.registries = w->registries,
                                            .registry_count = w->options.registry_count,
                                            .format = w->options.format,
                                            .hashing = w->options.hashing,
                                            .manifests = w->options.manifests,
                                            .db = w->db,
                                            .log = &w->log};
  preparing = preparing_new(&options);
  assert_non_null(preparing);
  w->options.preparing = preparing;
  w->registries[0].notification_secret = SECRET;
  return 0;
}

/* What is on its way to the disk comes there first. */
static int teardown(void **state) {
  preparing_stop(preparing);
  world_teardown(state);
  preparing_free(preparing);
  return 0;
}

static void start(struct world *w) {
  struct error e = {0};
  if (preparing_start(preparing, &w->loop, w->client, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

/* --- what is wanted --- */

static int put(struct db_txn *txn, void *arg, struct error *e) {
  return wanted_store_put(txn, arg, e);
}

static void want(struct world *w, const char *repository, const char *digest, int64_t due,
                 uint8_t tries) {
  struct wanted_record record = {.registry = SLICE(WORLD_REGISTRY),
                                 .repository = slice_str(repository),
                                 .digest = slice_str(digest),
                                 .due = due,
                                 .tries = tries};
  assert_int_equal(db_write_now(w->db, put, &record, NULL), 0);
  preparing_wake(preparing);
}

struct wanted {
  size_t count;
  int64_t due; /* of the last */
  unsigned tries;
};

static bool add(void *arg, const struct wanted_record *record) {
  struct wanted *s = arg;
  s->count++;
  s->due = record->due;
  s->tries = record->tries;
  return true;
}

static int each(struct db_txn *txn, void *arg, struct error *e) {
  return wanted_store_each(txn, add, arg, e);
}

static struct wanted wanted(struct world *w) {
  struct wanted s = {0};
  assert_int_equal(db_read(w->db, each, &s, NULL), 0);
  return s;
}

/* Until nothing is wanted any more. */
static void await_none(struct world *w) {
  while (wanted(w).count > 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
}

static void await_tries(struct world *w, unsigned tries) {
  while (wanted(w).tries != tries) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
}

/* --- images --- */

static const struct slice config_bytes = {"{\"os\":\"linux\"}", 14};
static char texts[4][2048];

/* An image of a config and the registry's blob, and an empty layer. */
static struct world_document *add_image(struct world *w, size_t number) {
  const struct world_document *config = world_add(w, CONFIG, NULL, config_bytes);
  int len = snprintf(texts[number], sizeof texts[number],
                     "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST "\","
                     "\"config\":{\"mediaType\":\"" CONFIG "\",\"digest\":\"%s\",\"size\":%zu},"
                     "\"layers\":[{\"mediaType\":\"" LAYER "\",\"digest\":\"%s\",\"size\":%zu},"
                     "{\"mediaType\":\"" LAYER "\",\"digest\":\"" EMPTY "\",\"size\":0}],"
                     "\"annotations\":{\"number\":\"%zu\"}}",
                     config->digest, config_bytes.len, w->registry.digest, (size_t)w->registry.size,
                     number);
  return world_add(w, MANIFEST, NULL, slice_of(texts[number], (size_t)len));
}

static const char *config_digest(const struct world *w) {
  return w->registry.documents[0].digest;
}

static void assert_prepared(struct world *w, const char *repository) {
  assert_true(world_registered(w, repository));
  assert_true(world_registered_digest(w, config_digest(w), repository));
}

static size_t count(const struct world *w, const char *method, const char *what) {
  size_t n = 0;
  for (size_t i = 0; i < w->registry.request_count; i++) {
    n += strcmp(w->registry.requests[i].method, method) == 0 &&
         strstr(w->registry.requests[i].path, what) != NULL;
  }
  return n;
}

/* --- tests --- */

static void makes_the_torrents_of_an_image(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0); /* before it is started */
  start(w);
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
  assert_int_equal(w->registry.request_count, 3); /* the manifest, and each blob once */
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  await_none(w);
  assert_int_equal(w->registry.request_count, 3);
}

static void makes_those_of_all_of_an_index(void **state) {
  static char text[4096];
  struct world *w = *state;
  const struct world_document *first = add_image(w, 0), *second = add_image(w, 1);
  int len = snprintf(text, sizeof text,
                     "{\"schemaVersion\":2,\"mediaType\":\"" INDEX "\",\"manifests\":["
                     "{\"mediaType\":\"" MANIFEST "\",\"digest\":\"" NOWHERE "\",\"size\":5},"
                     "{\"mediaType\":\"" MANIFEST "\",\"digest\":\"%s\",\"size\":%zu},"
                     "{\"mediaType\":\"text/html\",\"digest\":\"" NOWHERE "\",\"size\":5},"
                     "{\"mediaType\":\"" MANIFEST "\",\"digest\":\"%s\",\"size\":%zu},"
                     "{\"mediaType\":\"" MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}]}",
                     first->digest, first->bytes.len, second->digest, second->bytes.len,
                     first->digest, first->bytes.len);
  const struct world_document *index = world_add(w, INDEX, NULL, slice_of(text, (size_t)len));
  start(w);
  w->registry.hides = NOWHERE;
  want(w, WORLD_REPOSITORY, index->digest, clock_now(), 0);
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
  assert_int_equal(count(w, "GET", "/manifests/"), 4);
  assert_int_equal(count(w, "GET", NOWHERE), 1);
  assert_int_equal(count(w, "GET", second->digest), 1);
  assert_int_equal(count(w, "GET", "/blobs/"), 2);
}

static void registers_what_another_repository_had_first(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  want(w, "team/other", image->digest, clock_now(), 0);
  await_none(w);
  assert_prepared(w, "team/other");
  assert_false(world_registered(w, WORLD_REPOSITORY));
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
  assert_int_equal(count(w, "HEAD", "/v2/" WORLD_REPOSITORY "/blobs/"), 2);
  assert_int_equal(count(w, "GET", "/blobs/"), 2);
}

static void registers_nothing_that_is_not_there(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  want(w, "team/other", image->digest, clock_now(), 0);
  await_none(w);
  w->registry.hides = w->registry.digest;
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  await_none(w);
  assert_true(world_registered_digest(w, config_digest(w), WORLD_REPOSITORY));
  assert_false(world_registered(w, WORLD_REPOSITORY));
  w->registry.hides = NULL;
  w->registry.say_more = 1; /* another length */
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  await_none(w);
  assert_false(world_registered(w, WORLD_REPOSITORY));
}

static void what_is_gone_or_no_manifest_is_wanted_no_more(void **state) {
  static const char schema1[] = "{\"schemaVersion\":1}";
  struct world *w = *state;
  const struct world_document *none = world_add(w, MANIFEST, NULL, SLICE(schema1));
  start(w);
  w->registry.hides = NOWHERE;
  want(w, WORLD_REPOSITORY, NOWHERE, clock_now(), 0);
  await_none(w);
  want(w, WORLD_REPOSITORY, none->digest, clock_now(), 0);
  await_none(w);
  assert_int_equal(w->registry.request_count, 2);
}

static void a_blob_that_is_gone_is_passed_over(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  w->registry.hides = w->registry.digest;
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  await_none(w);
  assert_true(world_registered_digest(w, config_digest(w), WORLD_REPOSITORY));
  assert_false(world_registered(w, WORLD_REPOSITORY));
}

static void what_fails_is_put_off(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  w->registry.wrong_at = 1; /* of the blob */
  int64_t now = clock_now();
  want(w, WORLD_REPOSITORY, image->digest, now, 8);
  await_tries(w, 9);
  assert_true(wanted(w).due >= now + 256 && wanted(w).due <= clock_now() + 256);
  size_t asked = w->registry.request_count;
  preparing_wake(preparing);
  world_idle(w);
  assert_int_equal(w->registry.request_count, asked);
  w->registry.wrong_at = 0;
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0); /* it is pushed anew */
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
}

static void the_pause_is_bounded(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  w->registry.status = 500;
  int64_t now = clock_now();
  want(w, WORLD_REPOSITORY, image->digest, now, 40);
  await_tries(w, 41);
  assert_true(wanted(w).due >= now + PREPARING_PAUSE_MAX_S);
  assert_true(wanted(w).due <= clock_now() + PREPARING_PAUSE_MAX_S);
}

static void it_is_tried_again_by_itself(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  w->registry.status = 500;
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  await_tries(w, 1);
  w->registry.status = 0;
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
}

static void gives_up_at_last(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  w->registry.status = 500;
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), PREPARING_TRIES_MAX - 1);
  await_none(w);
  assert_int_equal(w->registry.request_count, 1);
  assert_false(world_registered(w, WORLD_REPOSITORY));
}

static void nothing_is_tried_before_its_time(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  want(w, WORLD_REPOSITORY, image->digest, clock_now() + 200, 1);
  world_idle(w);
  assert_int_equal(w->registry.request_count, 0);
  /* No pause is that long: the clock was wrong then. */
  want(w, WORLD_REPOSITORY, image->digest, clock_now() + INT64_C(10) * PREPARING_PAUSE_MAX_S, 1);
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
}

static void takes_some_at_once(void **state) {
  struct world *w = *state;
  char digest[72];
  w->registry.silent = true;
  start(w);
  for (unsigned i = 0; i < PREPARING_AT_ONCE + 3; i++) {
    world_digest(i, digest);
    want(w, WORLD_REPOSITORY, digest, clock_now(), 0);
  }
  world_await_requests(w, &w->registry, PREPARING_AT_ONCE);
  preparing_wake(preparing);
  world_idle(w);
  assert_int_equal(w->registry.request_count, PREPARING_AT_ONCE);
  /* What is under way when it ends is wanted still. */
  preparing_stop(preparing);
  assert_int_equal(wanted(w).count, PREPARING_AT_ONCE + 3);
  preparing_wake(preparing); /* by a loop that ends later */
}

static void ends_while_it_asks_and_writes(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  want(w, "team/other", image->digest, clock_now(), 0);
  await_none(w);
  w->registry.silent = true;
  want(w, WORLD_REPOSITORY, image->digest, clock_now(), 0);
  size_t asked = w->registry.request_count;
  world_await_requests(w, &w->registry, asked + 1);
  world_answer_held(&w->registry); /* the manifest; then it asks for a blob */
  world_await_requests(w, &w->registry, asked + 2);
  world_block_writes(w);
  world_answer_held(&w->registry);
  world_idle(w);
  preparing_stop(preparing);
  world_unblock_writes(w);
  assert_int_equal(wanted(w).count, 1);
}

/* --- what is said to be gone --- */

static void prepare(struct world *w, const char *repository) {
  const struct world_document *image = add_image(w, 0);
  start(w);
  want(w, repository, image->digest, clock_now(), 0);
  await_none(w);
  assert_prepared(w, repository);
}

static void a_blob_that_is_gone_loses_its_registration(void **state) {
  struct world *w = *state;
  prepare(w, WORLD_REPOSITORY);
  want(w, "team/other", w->registry.documents[1].digest, clock_now(), 0);
  await_none(w);
  assert_prepared(w, "team/other");
  w->registry.hides = w->registry.digest;
  size_t asked = w->registry.request_count;
  want(w, WORLD_REPOSITORY, w->registry.digest, clock_now(), 0);
  await_none(w);
  assert_int_equal(w->registry.request_count, asked + 1);
  assert_string_equal(w->registry.requests[asked].method, "HEAD");
  assert_non_null(strstr(w->registry.requests[asked].path, "/v2/" WORLD_REPOSITORY "/blobs/"));
  assert_false(world_registered(w, WORLD_REPOSITORY));
  assert_true(world_registered(w, "team/other"));
  assert_true(world_registered_digest(w, config_digest(w), WORLD_REPOSITORY));
}

static void what_is_there_after_all_stays(void **state) {
  struct world *w = *state;
  prepare(w, WORLD_REPOSITORY);
  want(w, WORLD_REPOSITORY, w->registry.digest, clock_now(), 0);
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
}

/* Whatever is no 404 of the registry's own is asked again. */
static void no_other_answer_takes_it_back(void **state) {
  static const int others[] = {401, 403, 410, 500, 503};
  struct world *w = *state;
  prepare(w, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    w->registry.status = others[i];
    want(w, WORLD_REPOSITORY, w->registry.digest, clock_now(), 20);
    await_tries(w, 21);
    assert_prepared(w, WORLD_REPOSITORY);
  }
  w->registry.status = 0;
  w->storage.status = 404;
  w->registry.redirect = w->storage.url;
  want(w, WORLD_REPOSITORY, w->registry.digest, clock_now(), 20);
  await_tries(w, 21);
  assert_prepared(w, WORLD_REPOSITORY);
}

static void ends_while_it_asks_what_is_gone(void **state) {
  struct world *w = *state;
  prepare(w, WORLD_REPOSITORY);
  w->registry.silent = true;
  size_t asked = w->registry.request_count;
  want(w, WORLD_REPOSITORY, w->registry.digest, clock_now(), 0);
  world_await_requests(w, &w->registry, asked + 1);
  preparing_stop(preparing);
  assert_int_equal(wanted(w).count, 1);
  assert_prepared(w, WORLD_REPOSITORY);
}

static int put_stranger(struct db_txn *txn, void *arg, struct error *e) {
  const struct wanted_record record = {.registry = SLICE("elsewhere"),
                                       .repository = SLICE(WORLD_REPOSITORY),
                                       .digest = SLICE(NOWHERE)};
  (void)arg;
  return wanted_store_put(txn, &record, e);
}

static void what_other_registries_said_is_dropped(void **state) {
  struct world *w = *state;
  assert_int_equal(db_write_now(w->db, put_stranger, NULL, NULL), 0);
  want(w, WORLD_REPOSITORY, NOWHERE, clock_now() + 200, 1);
  assert_int_equal(wanted(w).count, 2);
  start(w);
  assert_int_equal(wanted(w).count, 1);
  assert_int_equal(wanted(w).tries, 1);
}

/* --- notifications --- */

static struct http_memory *notify_of(struct world *w, const char *secret, const char *action,
                                     const char *digest) {
  char body[512], request[1024];
  int len = snprintf(body, sizeof body,
                     "{\"events\":[{\"action\":\"%s\",\"target\":{\"mediaType\":\"" MANIFEST
                     "\",\"repository\":\"" WORLD_REPOSITORY "\",\"digest\":\"%s\"}}]}",
                     action, digest);
  snprintf(request, sizeof request,
           "POST /v1/notifications HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\n"
           "Content-Length: %d\r\n\r\n%s",
           secret, len, body);
  return world_send(w, request);
}

static struct http_memory *notify(struct world *w, const char *secret, const char *digest) {
  return notify_of(w, secret, "push", digest);
}

/* Of what was deleted only what has a torrent is written down. */
static void what_was_deleted_is_written_down(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  const char *const digests[] = {image->digest, NOWHERE, w->registry.digest};
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
    struct http_memory *m = notify_of(w, SECRET, "delete", digests[i]);
    assert_int_equal(world_wait(w, m).status, 202);
    assert_int_equal(wanted(w).count, i == 2);
    http_memory_free(m);
  }
  w->registry.hides = w->registry.digest;
  start(w);
  await_none(w);
  assert_false(world_registered(w, WORLD_REPOSITORY));
}

/* \p size bytes, most of which say nothing. */
static struct http_memory *notify_large(struct world *w, const char *secret, const char *digest,
                                        size_t size) {
  struct buf request = {0}, body = {0};
  buf_printf(&body,
             "{\"events\":[{\"action\":\"push\",\"target\":{\"mediaType\":\"" MANIFEST
             "\",\"repository\":\"" WORLD_REPOSITORY "\",\"digest\":\"%s\"}}]}",
             digest);
  buf_printf(&request,
             "POST /v1/notifications HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\n"
             "Content-Length: %zu\r\n\r\n",
             secret, size);
  struct http_memory *m = world_send(w, "");
  memset(buf_reserve(&request, size), ' ', size);
  request.len += size - body.len;
  buf_slice(&request, buf_view(&body));
  http_memory_feed(m, buf_view(&request));
  buf_free(&request);
  buf_free(&body);
  return m;
}

static void a_large_one_is_taken_from_who_knows_the_secret(void **state) {
  struct world *w = *state;
  struct http_memory *m = notify_large(w, SECRET, NOWHERE, NOTIFICATION_BODY_MAX);
  assert_int_equal(world_wait(w, m).status, 202);
  assert_int_equal(wanted(w).count, 1);
  http_memory_free(m);
  m = notify_large(w, "another", NOWHERE, 64 * 1024 + 1);
  assert_int_equal(world_wait(w, m).status, 413);
  http_memory_free(m);
}

/* Refused it would come again for ever. */
static void what_is_too_large_is_passed_over(void **state) {
  struct world *w = *state;
  struct http_memory *m = notify_large(w, SECRET, NOWHERE, NOTIFICATION_BODY_MAX + 1);
  assert_int_equal(world_wait(w, m).status, 202);
  assert_int_equal(wanted(w).count, 0);
  http_memory_free(m);
}

static void is_written_down_before_it_is_answered(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  world_block_writes(w);
  struct http_memory *m = notify(w, SECRET, image->digest);
  world_idle(w);
  assert_int_equal(world_reply(m).status, 0);
  world_unblock_writes(w);
  assert_int_equal(world_wait(w, m).status, 202);
  assert_int_equal(wanted(w).count, 1);
  http_memory_free(m);
  start(w);
  await_none(w);
  assert_prepared(w, WORLD_REPOSITORY);
}

static void is_written_down_when_nobody_waits(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, 0);
  start(w);
  world_block_writes(w);
  struct http_memory *m = notify(w, SECRET, image->digest);
  world_idle(w);
  http_memory_free(m);
  world_unblock_writes(w);
  while (!world_registered(w, WORLD_REPOSITORY)) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  await_none(w);
}

static void a_wrong_secret_is_refused(void **state) {
  static const char *const wrong[] = {"the secre", "the secret.", "The secret", "another"};
  struct world *w = *state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct http_memory *m = notify(w, wrong[i], NOWHERE);
    struct reply r = world_wait(w, m);
    assert_problem(&r, 403, "DENIED");
    http_memory_free(m);
  }
  assert_int_equal(wanted(w).count, 0);
}

static int fill(struct db_txn *txn, void *arg, struct error *e) {
  char digest[72];
  (void)arg;
  for (unsigned i = 0; i < WANTED_STORE_MAX; i++) {
    world_digest(i, digest);
    const struct wanted_record record = {
        .registry = SLICE("elsewhere"), .repository = SLICE("a"), .digest = slice_str(digest)};
    if (wanted_store_put(txn, &record, e) != 0) {
      return -1;
    }
  }
  return 0;
}

static void comes_again_when_there_is_no_room(void **state) {
  struct world *w = *state;
  assert_int_equal(db_write_now(w->db, fill, NULL, NULL), 0);
  struct http_memory *m = notify(w, SECRET, NOWHERE);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 503, "UNAVAILABLE");
  assert_slice(reply_field(&r, "Retry-After"), "30");
  http_memory_free(m);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WORLD_TEST(makes_the_torrents_of_an_image),
      WORLD_TEST(makes_those_of_all_of_an_index),
      WORLD_TEST(registers_what_another_repository_had_first),
      WORLD_TEST(registers_nothing_that_is_not_there),
      WORLD_TEST(what_is_gone_or_no_manifest_is_wanted_no_more),
      WORLD_TEST(a_blob_that_is_gone_is_passed_over),
      WORLD_TEST(what_fails_is_put_off),
      WORLD_TEST(the_pause_is_bounded),
      WORLD_TEST(it_is_tried_again_by_itself),
      WORLD_TEST(gives_up_at_last),
      WORLD_TEST(nothing_is_tried_before_its_time),
      WORLD_TEST(takes_some_at_once),
      WORLD_TEST(ends_while_it_asks_and_writes),
      WORLD_TEST(a_blob_that_is_gone_loses_its_registration),
      WORLD_TEST(what_is_there_after_all_stays),
      WORLD_TEST(no_other_answer_takes_it_back),
      WORLD_TEST(ends_while_it_asks_what_is_gone),
      WORLD_TEST(what_other_registries_said_is_dropped),
      WORLD_TEST(what_was_deleted_is_written_down),
      WORLD_TEST(a_large_one_is_taken_from_who_knows_the_secret),
      WORLD_TEST(what_is_too_large_is_passed_over),
      WORLD_TEST(is_written_down_before_it_is_answered),
      WORLD_TEST(is_written_down_when_nobody_waits),
      WORLD_TEST(a_wrong_secret_is_refused),
      WORLD_TEST(comes_again_when_there_is_no_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
