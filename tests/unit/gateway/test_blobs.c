#include "world.h"

#include "gateway/caller.h"
#include "gateway/refusals.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ALICE     "Basic YWxpY2U6c2VjcmV0"
#define CHALLENGE "Bearer realm=\"https://auth.example/token\",service=\"registry.example\""

/* Asks for the registry's blob; `fields` are whole lines. */
static struct http_memory *ask(struct world *w, const char *query, const char *fields) {
  char request[2048];
  snprintf(request, sizeof request,
           "GET /v1/" WORLD_REPOSITORY "/blobs/%s%s HTTP/1.1\r\nHost: g\r\n%s\r\n",
           w->registry.digest, query, fields);
  return world_send(w, request);
}

static struct metainfo torrent_of(const struct reply *r, struct arena *arena) {
  struct metainfo m;
  struct error e = {0};
  assert_int_equal(r->status, 200);
  if (metainfo_read(r->body, arena, &m, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_int_equal(m.announce_count, 1);
  assert_int_equal(m.webseed_count, 1);
  return m;
}

/* The claims of the swarm token in a torrent's announce URL. */
static void assert_subject(struct world *w, const struct metainfo *m, const char *subject) {
  static const char prefix[] = "http://track.example/announce?jwt=";
  struct arena arena = {0};
  struct token t;
  struct error e = {0};
  assert_true(slice_starts(m->announce[0], SLICE(prefix)));
  if (keyring_verify(w->keyring, slice_from(m->announce[0], strlen(prefix)), TOKEN_SWARM, 1, &arena,
                     &t, &e) == TOKEN_VALID) {
    fail_msg("a token is valid in 1970");
  }
  if (keyring_verify(w->keyring, slice_from(m->announce[0], strlen(prefix)), TOKEN_SWARM,
                     (int64_t)time(NULL), &arena, &t, &e) != TOKEN_VALID) {
    fail_msg("%s", e.text);
  }
  assert_slice(t.subject, subject);
  assert_slice(t.registry, WORLD_REGISTRY);
  assert_slice(t.repository, WORLD_REPOSITORY);
  arena_free(&arena);
}

static void hands_out_a_torrent(void **state) {
  struct world *w = *state;
  struct arena arena = {0};
  char name[128];
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.basic = ALICE;
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  struct metainfo torrent = torrent_of(&r, &arena);
  assert_subject(w, &torrent, WORLD_REGISTRY "/alice");
  assert_true(slice_starts(torrent.webseeds[0], SLICE("http://gate.example/webseed/ey")));
  assert_slice(reply_field(&r, "Content-Type"), "application/x-bittorrent");
  assert_slice(reply_field(&r, "Cache-Control"), "no-store");
  snprintf(name, sizeof name, "attachment; filename=\"sha256-%s.torrent\"", w->registry.digest + 7);
  assert_slice(reply_field(&r, "Content-Disposition"), name);

  assert_int_equal(w->registry.request_count, 1);
  assert_string_equal(w->registry.requests[0].method, "HEAD");
  snprintf(name, sizeof name, "/v2/" WORLD_REPOSITORY "/blobs/%s", w->registry.digest);
  assert_string_equal(w->registry.requests[0].path, name);
  http_memory_free(m);
  arena_free(&arena);
}

static void asks_without_credentials_when_there_are_none(void **state) {
  struct world *w = *state;
  struct arena arena = {0};
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  struct metainfo torrent = torrent_of(&r, &arena);
  assert_subject(w, &torrent, WORLD_REGISTRY "/");
  assert_string_equal(w->registry.requests[0].authorization, "");
  http_memory_free(m);
  arena_free(&arena);
}

static void passes_on_basic_and_bearer_alone(void **state) {
  static const struct {
    const char *sent, *passed_on;
  } rows[] = {
      {ALICE, ALICE},
      {"bearer abc.def-~_+/==", "bearer abc.def-~_+/=="},
      {"Digest username=\"alice\"", ""},
      {"Basic alice:secret", ""},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char field[128];
    snprintf(field, sizeof field, "Authorization: %s\r\n", rows[i].sent);
    w->registry.request_count = 0;
    delegate_cache_flush(w->options.delegate_cache);
    struct http_memory *m = ask(w, "", field);
    assert_int_equal(world_wait(w, m).status, 200);
    assert_string_equal(w->registry.requests[0].authorization, rows[i].passed_on);
    http_memory_free(m);
  }
}

/* The gateway's own credentials would open the registry; the caller's are what counts. */
static void never_asks_with_credentials_of_its_own(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.basic = "Basic Z2F0ZXdheTpzZWNyZXQ=";
  w->registry.challenge = CHALLENGE;
  struct http_memory *m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 401, "UNAUTHORIZED");
  assert_slice(reply_field(&r, "WWW-Authenticate"), CHALLENGE);
  assert_int_equal(w->registry.request_count, 1);
  http_memory_free(m);
  m = ask(w, "", "Authorization: " ALICE "\r\n");
  r = world_wait(w, m);
  assert_problem(&r, 401, "UNAUTHORIZED");
  assert_int_equal(w->registry.request_count, 2);
  assert_string_equal(w->registry.requests[1].authorization, ALICE);
  http_memory_free(m);
}

static void says_where_a_password_is_wanted(void **state) {
  static const struct {
    const char *challenge, *fields, *says;
  } rows[] = {
      {CHALLENGE, "Authorization: " ALICE "\r\n",
       "a bearer token of the realm in WWW-Authenticate is wanted, not a user name and password"},
      {CHALLENGE, "Authorization: Bearer abc\r\n", "the registry wants credentials"},
      {CHALLENGE, "", "the registry wants credentials"},
      {"Basic realm=\"r\"", "Authorization: " ALICE "\r\n", "the registry wants credentials"},
      {CHALLENGE ", Basic realm=\"r\"", "Authorization: " ALICE "\r\n",
       "the registry wants credentials"},
      {"Bearer service=\"s\"", "Authorization: " ALICE "\r\n", "the registry wants credentials"},
  };
  struct world *w = *state;
  w->registry.status = 401;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.challenge = rows[i].challenge;
    w->registry.request_count = 0;
    struct http_memory *m = ask(w, "", rows[i].fields);
    struct reply r = world_wait(w, m);
    assert_problem(&r, 401, "UNAUTHORIZED");
    assert_non_null(memmem(r.body.ptr, r.body.len, rows[i].says, strlen(rows[i].says)));
    http_memory_free(m);
  }
}

static void gives_the_registrys_decision(void **state) {
  static const struct {
    int registry, gateway;
    const char *code;
  } rows[] = {
      {401, 401, "UNAUTHORIZED"}, {403, 404, "BLOB_UNKNOWN"}, {404, 404, "BLOB_UNKNOWN"},
      {400, 502, "UNAVAILABLE"},  {405, 502, "UNAVAILABLE"},  {429, 502, "UNAVAILABLE"},
      {500, 502, "UNAVAILABLE"},  {503, 502, "UNAVAILABLE"},  {204, 502, "UNAVAILABLE"},
      {307, 502, "UNAVAILABLE"}, /* without a Location */
  };
  struct world *w = *state;
  struct slice hidden = {NULL, 0};
  char first[512];
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.challenge = CHALLENGE;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    w->registry.status = rows[i].registry;
    struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
    struct reply r = world_wait(w, m);
    assert_problem(&r, rows[i].gateway, rows[i].code);
    assert_int_equal(reply_field(&r, "WWW-Authenticate").ptr != NULL, rows[i].gateway == 401);
    if (rows[i].gateway == 404 && hidden.ptr == NULL) {
      memcpy(first, r.body.ptr, r.body.len);
      hidden = slice_of(first, r.body.len);
    } else if (rows[i].gateway == 404) {
      assert_true(slice_equal(r.body, hidden)); /* no right and no such thing look the same */
    }
    http_memory_free(m);
  }
}

/* How many lines a file holds that was written to by its descriptor. */
static unsigned lines_of(FILE *file) {
  unsigned lines = 0;
  rewind(file);
  for (int c = getc(file); c != EOF; c = getc(file)) {
    lines += c == '\n';
  }
  return lines;
}

/* Anybody may ask, and nobody may fill the disk with what a registry that is down brings about. */
static void a_registry_that_fails_does_not_flood_the_log(void **state) {
  enum { ASKED = 3 * REFUSALS_PLACE_MAX };
  struct world *w = *state;
  FILE *log = tmpfile();
  int saved = dup(STDERR_FILENO);
  assert_true(log != NULL && saved >= 0);
  w->log.level = LOG_LEVEL_WARN;
  w->registry.status = 500;
  assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
  for (int i = 0; i < ASKED; i++) {
    w->registry.request_count = 0;
    struct http_memory *m = ask(w, "", "");
    world_wait(w, m);
    http_memory_free(m);
  }
  dup2(saved, STDERR_FILENO);
  close(saved);
  unsigned lines = lines_of(log);
  fclose(log);
  /* A minute may end in between. */
  assert_in_range(lines, REFUSALS_PLACE_MAX, 2 * REFUSALS_PLACE_MAX);
}

static void believes_the_digest_or_else_the_size(void **state) {
  static const struct {
    const char *digest;
    int64_t more;
    int status;
  } rows[] = {
      {"sha256:0000000000000000000000000000000000000000000000000000000000000000", 0, 502},
      {"nonsense", 0, 502},
      {"", 0, 200},
      {"", 1, 502},
      {"", -1, 502},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    delegate_cache_flush(w->options.delegate_cache);
    w->registry.say_digest = rows[i].digest;
    w->registry.say_more = rows[i].more;
    struct http_memory *m = ask(w, "", "");
    assert_int_equal(world_wait(w, m).status, rows[i].status);
    http_memory_free(m);
  }
}

static void needs_the_digest_while_no_size_is_known(void **state) {
  struct world *w = *state;
  w->registry.say_digest = "";
  struct http_memory *m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

static void takes_no_credentials_along_a_redirect(void **state) {
  struct world *w = *state;
  const char *targets[] = {w->storage.url, "/elsewhere"};
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->storage.say_digest = "";
  w->registry.redirect = targets[0];
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  assert_int_equal(world_wait(w, m).status, 200);
  assert_string_equal(w->registry.requests[0].authorization, ALICE);
  assert_int_equal(w->storage.request_count, 1);
  assert_string_equal(w->storage.requests[0].method, "HEAD");
  assert_string_equal(w->storage.requests[0].authorization, "");
  http_memory_free(m);

  /* Nor to the registry itself: the upstream answers whatever path it is asked. */
  w->registry.request_count = 0;
  delegate_cache_flush(w->options.delegate_cache);
  w->registry.redirect_once = targets[1];
  w->registry.redirect = NULL;
  m = ask(w, "", "Authorization: " ALICE "\r\n");
  assert_int_equal(world_wait(w, m).status, 200);
  assert_int_equal(w->registry.request_count, 2);
  assert_string_equal(w->registry.requests[1].authorization, "");
  http_memory_free(m);
}

/* The registry's login is none of a stranger's business. */
static void passes_on_no_challenge_of_a_redirect(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.redirect = w->storage.url;
  w->storage.status = 401;
  w->storage.challenge = "Basic realm=\"tell me\"";
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  assert_null(memmem(r.head.ptr, r.head.len, "tell me", 7));
  http_memory_free(m);
}

/* Is answered with 200, after so many requests to the registry in all. */
static void ask_and_count(struct world *w, const char *fields, size_t requests) {
  struct http_memory *m = ask(w, "", fields);
  assert_int_equal(world_wait(w, m).status, 200);
  assert_int_equal(w->registry.request_count, requests);
  http_memory_free(m);
}

static void remembers_the_registrys_yes(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.basic = ALICE;
  ask_and_count(w, "Authorization: " ALICE "\r\n", 1);
  ask_and_count(w, "Authorization: " ALICE "\r\n", 1);

  /* Nobody else gains by it. */
  struct http_memory *m = ask(w, "", "Authorization: Basic Ym9iOnNlY3JldA==\r\n");
  assert_int_equal(world_wait(w, m).status, 401);
  assert_int_equal(w->registry.request_count, 2);
  http_memory_free(m);

  delegate_cache_flush(w->options.delegate_cache);
  ask_and_count(w, "Authorization: " ALICE "\r\n", 3);
}

/* A yes for a size is remembered with it. */
static void remembers_what_a_yes_depends_on(void **state) {
  struct world *w = *state;
  w->registry.say_digest = "";
  for (unsigned i = 0; i < 2; i++) {
    struct http_memory *m = ask(w, "", "");
    struct reply r = world_wait(w, m);
    assert_problem(&r, 502, "UNAVAILABLE"); /* no size is known */
    http_memory_free(m);
  }
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  ask_and_count(w, "", 1);
}

static void gives_up_redirects_in_a_circle(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.redirect = w->storage.url;
  w->storage.redirect = w->registry.url;
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

static void answers_502_without_a_registry(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registries[0].upstream.url = "http://127.0.0.1:1";
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

static void answers_502_when_the_registry_hangs_up(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.silent = true;
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  world_await_requests(w, &w->registry, 1);
  world_stop(&w->registry);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

static void hears_no_answer_when_the_caller_has_gone_away(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, NULL);
  w->registry.silent = true;
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  world_await_requests(w, &w->registry, 1);
  http_memory_free(m);
  world_answer_held(&w->registry);
  world_idle(w);
  assert_false(world_registered(w, WORLD_REPOSITORY));
}

static void registers_to_the_repository_when_it_was_not(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, NULL);
  w->registry.status = 404;
  struct http_memory *m = ask(w, "", "");
  assert_int_equal(world_wait(w, m).status, 404);
  assert_false(world_registered(w, WORLD_REPOSITORY));
  http_memory_free(m);

  w->registry.status = 0;
  m = ask(w, "", "");
  assert_int_equal(world_wait(w, m).status, 200);
  assert_true(world_registered(w, WORLD_REPOSITORY));
  assert_false(world_registered(w, "team/other"));
  http_memory_free(m);
}

/* The write runs out by itself. */
static void survives_a_caller_who_leaves_while_it_registers(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, NULL);
  world_block_writes(w);
  struct http_memory *m = ask(w, "", "");
  while (w->registry.answered == 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  world_idle(w); /* Nothing tells when the gateway waits for the disk. */
  assert_int_equal(http_memory_output(m).len, 0);
  http_memory_free(m);
  world_unblock_writes(w);
  while (!world_registered(w, WORLD_REPOSITORY)) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
}

/* --- the audit log --- */

/* Both tokens of a torrent, as they stand in its URLs. */
static void tokens_of(const struct metainfo *m, struct slice tokens[2]) {
  struct slice seed = m->webseeds[0];
  tokens[0] = slice_from(m->announce[0], strlen("http://track.example/announce?jwt="));
  tokens[1] = slice_from(seed, strlen("http://gate.example/webseed/"));
  tokens[1].len--; /* the slash */
}

static void records_both_tokens(void **state) {
  struct world *w = *state;
  struct arena arena = {0};
  struct error e = {0};
  struct slice tokens[2];
  char want[1024];
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  struct metainfo torrent = torrent_of(&r, &arena);
  tokens_of(&torrent, tokens);
  struct buf log = world_audit(w);
  struct slice lines = buf_view(&log);
  for (size_t i = 0; i < 2; i++) {
    struct token t;
    if (keyring_verify(w->keyring, tokens[i], TOKEN_SWARM | TOKEN_WEBSEED, (int64_t)time(NULL),
                       &arena, &t, &e) != TOKEN_VALID) {
      fail_msg("%s", e.text);
    }
    struct slice line = slice_cut(&lines, '\n');
    struct slice hash = i == 0 ? t.infohash_texts[0] : t.digest;
    int len = snprintf(
        want, sizeof want,
        ",\"event\":\"token\",\"kind\":\"%s\",\"jti\":\"%.*s\",\"sub\":\"" WORLD_REGISTRY
        "/alice\",\"registry\":\"" WORLD_REGISTRY "\",\"repository\":\"" WORLD_REPOSITORY
        "\",\"%s%.*s\"%s,\"exp\":%lld",
        i == 0 ? "swarm" : "webseed", SLICE_ARG(t.id), i == 0 ? "infohashes\":[\"" : "digest\":\"",
        SLICE_ARG(hash), i == 0 ? "]" : "", (long long)t.expires);
    if (memmem(line.ptr, line.len, want, (size_t)len) == NULL) {
      fail_msg("%.*s has not %s", SLICE_ARG(line), want);
    }
    len = snprintf(want, sizeof want, ",\"session\":%lld,", (long long)t.session);
    assert_int_equal(memmem(line.ptr, line.len, want, (size_t)len) != NULL, i == 0);
    len = snprintf(want, sizeof want, "\"from\":\"%s\"}", WORLD_PEER);
    assert_true(slice_ends(line, slice_of(want, (size_t)len)));
    /* Of the token itself, not even a part. */
    struct slice rest = tokens[i];
    while (rest.ptr != NULL) {
      struct slice part = slice_cut(&rest, '.');
      assert_null(memmem(log.ptr, log.len, part.ptr, part.len));
    }
  }
  assert_int_equal(lines.len, 0);
  buf_free(&log);
  http_memory_free(m);
  arena_free(&arena);
}

/* Keeps the writer of the log from writing until the descriptor is closed. */
static int hold_audit(const struct world *w) {
  char path[96];
  snprintf(path, sizeof path, "%s/audit", w->dir);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(flock(fd, LOCK_EX), 0);
  return fd;
}

/* The registry's yes and the revocations are known from a first request, so that the next is on its
 * way into the log at once. */
static struct http_memory *ask_while_held(struct world *w, int *held) {
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *first = ask(w, "", "");
  assert_int_equal(world_wait(w, first).status, 200);
  http_memory_free(first);
  *held = hold_audit(w);
  struct http_memory *m = ask(w, "", "");
  world_idle(w);
  assert_int_equal(http_memory_output(m).len, 0);
  return m;
}

static size_t recorded(struct world *w) {
  struct buf log = world_audit(w);
  size_t len = log.len;
  buf_free(&log);
  return len;
}

static void nothing_leaves_before_it_is_recorded(void **state) {
  struct world *w = *state;
  int held;
  struct http_memory *m = ask_while_held(w, &held);
  close(held);
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

static void survives_a_caller_who_leaves_while_it_records(void **state) {
  struct world *w = *state;
  int held;
  struct http_memory *m = ask_while_held(w, &held);
  size_t before = recorded(w);
  http_memory_free(m);
  close(held);
  while (recorded(w) == before) {
    uv_run(&w->loop, UV_RUN_NOWAIT);
  }
}

static void hands_out_nothing_that_it_cannot_record(void **state) {
  struct world *w = *state;
  char path[96];
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  snprintf(path, sizeof path, "%s/audit/audit.jsonl", w->dir);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkdir(path, 0700), 0);
  for (unsigned i = 0; i < 2; i++) {
    struct http_memory *m = ask(w, "", "");
    struct reply r = world_wait(w, m);
    assert_problem(&r, 503, "UNAVAILABLE");
    assert_null(memmem(r.body.ptr, r.body.len, "eyJ", 3));
    http_memory_free(m);
  }
  assert_int_equal(rmdir(path), 0);
  struct http_memory *m = ask(w, "", "");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

static void says_how_a_torrent_comes_to_be(void **state) {
  struct world *w = *state;
  struct http_memory *m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 404, "BLOB_UNKNOWN");
  assert_non_null(memmem(r.body.ptr, r.body.len, "swarmgate torrent create --register", 35));
  http_memory_free(m);

  /* Nor is a torrent in another format handed out. */
  world_register(w, TORRENT_V2, WORLD_REPOSITORY);
  m = ask(w, "", "");
  r = world_wait(w, m);
  assert_problem(&r, 404, "BLOB_UNKNOWN");
  http_memory_free(m);
}

static void has_no_torrent_of_an_empty_blob(void **state) {
  struct world *w = *state;
  snprintf(w->registry.digest, sizeof w->registry.digest,
           "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  struct http_memory *m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 404, "BLOB_UNKNOWN");
  assert_non_null(memmem(r.body.ptr, r.body.len, "an empty blob has no torrent", 28));
  http_memory_free(m);
}

static void hands_out_the_configured_format(void **state) {
  struct world *w = *state;
  struct arena arena = {0};
  w->options.format = TORRENT_HYBRID;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  world_register(w, TORRENT_HYBRID, WORLD_REPOSITORY);
  struct http_memory *m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  assert_int_equal(torrent_of(&r, &arena).format, TORRENT_HYBRID);
  http_memory_free(m);
  arena_free(&arena);
}

static void refuses_odd_authorization(void **state) {
  struct world *w = *state;
  static char request[CALLER_AUTHORIZATION_MAX + 512];
  struct http_memory *m = ask(w, "", "Authorization: " ALICE "\r\nauthorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 400, "UNSUPPORTED");
  http_memory_free(m);

  int at = snprintf(request, sizeof request,
                    "GET /v1/a/blobs/%s HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ",
                    w->registry.digest);
  memset(request + at, 'a', CALLER_AUTHORIZATION_MAX);
  memcpy(request + at + CALLER_AUTHORIZATION_MAX, "\r\n\r\n", 5);
  m = world_send(w, request);
  r = world_wait(w, m);
  assert_problem(&r, 431, "UNSUPPORTED");
  http_memory_free(m);
  assert_int_equal(w->registry.request_count, 0);
}

static void reads_paths(void **state) {
#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  static const struct {
    const char *path;
    int status;
    const char *code; /* NULL: a question reaches the registry at `asked` */
    const char *asked;
  } rows[] = {
      {"/v1/a/blobs/sha256:" HEX, 502, NULL, "/v2/a/blobs/sha256:" HEX},
      {"/v1/a/blobs/sha256%3A" HEX, 502, NULL, "/v2/a/blobs/sha256:" HEX},
      {"/v1/a/b/c/blobs/sha256:" HEX, 502, NULL, "/v2/a/b/c/blobs/sha256:" HEX},
      {"/v1/blobs/blobs/blobs/sha256:" HEX, 502, NULL, "/v2/blobs/blobs/blobs/sha256:" HEX},
      {"/v1/a/blobs/sha256:" HEX "?other=1", 502, NULL, "/v2/a/blobs/sha256:" HEX},
      {"/v1/", 404, "UNSUPPORTED", NULL},
      {"/v1/_catalog", 404, "UNSUPPORTED", NULL},
      {"/v1/a/tags/list", 404, "UNSUPPORTED", NULL},
      {"/v1/a/manifests/latest", 404, "UNSUPPORTED", NULL},
      {"/v1/a/blobs", 404, "UNSUPPORTED", NULL},
      {"/v1/a/blobs/sha256:" HEX "/x", 404, "UNSUPPORTED", NULL},
      {"/v1/a/blobs%", 404, "UNSUPPORTED", NULL},
      {"/v1/a/blobs/", 400, "DIGEST_INVALID", NULL},
      {"/v1/a/blobs/latest", 400, "DIGEST_INVALID", NULL},
      {"/v1/a/blobs/sha256:" HEX "0", 400, "DIGEST_INVALID", NULL},
      {"/v1/a/blobs/sha256:" HEX "%00", 400, "DIGEST_INVALID", NULL},
      {"/v1/a/blobs/SHA256:" HEX, 400, "DIGEST_INVALID", NULL},
      {"/v1/a/blobs/sha512:" HEX HEX, 400, "DIGEST_INVALID", NULL},
      {"/v1//blobs/sha256:" HEX, 400, "NAME_INVALID", NULL},
      {"/v1/A/blobs/sha256:" HEX, 400, "NAME_INVALID", NULL},
      {"/v1/a/../b/blobs/sha256:" HEX, 400, "NAME_INVALID", NULL},
      {"/v1/a/%2e%2e/b/blobs/sha256:" HEX, 400, "NAME_INVALID", NULL},
      {"/v1/a%00b/blobs/sha256:" HEX, 400, "NAME_INVALID", NULL},
      {"/v1/a?/blobs/sha256:" HEX, 404, "UNSUPPORTED", NULL},
      {"/v1/a/blobs/sha256:" HEX "?ns=" WORLD_REGISTRY, 502, NULL, "/v2/a/blobs/sha256:" HEX},
      {"/v1/a/blobs/sha256:" HEX "?ns=registry%2Eexample", 502, NULL, "/v2/a/blobs/sha256:" HEX},
      {"/v1/a/blobs/sha256:" HEX "?ns=other.example", 404, "NAME_UNKNOWN", NULL},
      {"/v1/a/blobs/sha256:" HEX "?ns", 404, "NAME_UNKNOWN", NULL},
      {"/v1/a/blobs/sha256:" HEX "?ns=%", 400, "NAME_INVALID", NULL},
      {"/v1/a/blobs/sha256:" HEX "?ns=registry.example&ns=registry.example", 400, "NAME_INVALID",
       NULL},
  };
  struct world *w = *state;
  w->registry.status = 500;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char request[1024];
    w->registry.request_count = 0;
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: g\r\n\r\n", rows[i].path);
    struct http_memory *m = world_send(w, request);
    struct reply r = world_wait(w, m);
    if (r.status != rows[i].status) {
      fail_msg("%s: %d", rows[i].path, r.status);
    }
    if (rows[i].asked == NULL) {
      assert_problem(&r, rows[i].status, rows[i].code);
      assert_int_equal(w->registry.request_count, 0);
    } else {
      assert_string_equal(w->registry.requests[0].path, rows[i].asked);
    }
    http_memory_free(m);
  }
}

static void says_which_method_would_do(void **state) {
  struct world *w = *state;
  struct http_memory *m = world_send(w, "PUT /v1/a/blobs/x HTTP/1.1\r\nHost: g\r\n\r\n");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 405);
  assert_slice(reply_field(&r, "Allow"), "GET, POST");
  http_memory_free(m);

  m = world_send(w, "POST /v1/a/blobs/x HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n");
  r = world_wait(w, m);
  assert_problem(&r, 405, "UNSUPPORTED");
  assert_slice(reply_field(&r, "Allow"), "GET");
  http_memory_free(m);
}

static void asks_the_registry_that_is_named(void **state) {
  struct world *w = *state;
  w->options.registry_count = 2;
  w->registry.status = 404;
  w->storage.status = 404;
  struct http_memory *m = ask(w, "?ns=second.example", "");
  assert_int_equal(world_wait(w, m).status, 404);
  assert_int_equal(w->registry.request_count, 0);
  assert_int_equal(w->storage.request_count, 1);
  http_memory_free(m);
  m = ask(w, "", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 400, "NAME_INVALID");
  http_memory_free(m);
}

/* A torrent that is registered for a blob of one registry is not of the other. */
static void keeps_registries_apart(void **state) {
  struct world *w = *state;
  w->options.registry_count = 2;
  world_register(w, TORRENT_V1, NULL);
  struct http_memory *m = ask(w, "?ns=second.example", "");
  assert_int_equal(world_wait(w, m).status, 200);
  assert_false(world_registered(w, WORLD_REPOSITORY));
  http_memory_free(m);
}

static void needs_registries_that_it_can_read(void **state) {
  struct world *w = *state;
  struct error e = {0};
  w->options.registry_count = 2;
  w->registries[1].upstream.url = "ftp://registry.example";
  assert_null(gateway_new(&w->options, w->client, &e));
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, "second.example"));
  w->options.registry_count = 0;
  assert_null(gateway_new(&w->options, w->client, &e));
  assert_int_equal(e.kind, ERROR_USAGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(hands_out_a_torrent),
      TEST(asks_without_credentials_when_there_are_none),
      TEST(passes_on_basic_and_bearer_alone),
      TEST(never_asks_with_credentials_of_its_own),
      TEST(says_where_a_password_is_wanted),
      TEST(gives_the_registrys_decision),
      TEST(a_registry_that_fails_does_not_flood_the_log),
      TEST(believes_the_digest_or_else_the_size),
      TEST(needs_the_digest_while_no_size_is_known),
      TEST(takes_no_credentials_along_a_redirect),
      TEST(passes_on_no_challenge_of_a_redirect),
      TEST(remembers_the_registrys_yes),
      TEST(remembers_what_a_yes_depends_on),
      TEST(gives_up_redirects_in_a_circle),
      TEST(answers_502_without_a_registry),
      TEST(answers_502_when_the_registry_hangs_up),
      TEST(hears_no_answer_when_the_caller_has_gone_away),
      TEST(registers_to_the_repository_when_it_was_not),
      TEST(survives_a_caller_who_leaves_while_it_registers),
      TEST(records_both_tokens),
      TEST(nothing_leaves_before_it_is_recorded),
      TEST(survives_a_caller_who_leaves_while_it_records),
      TEST(hands_out_nothing_that_it_cannot_record),
      TEST(says_how_a_torrent_comes_to_be),
      TEST(has_no_torrent_of_an_empty_blob),
      TEST(hands_out_the_configured_format),
      TEST(refuses_odd_authorization),
      TEST(reads_paths),
      TEST(says_which_method_would_do),
      TEST(asks_the_registry_that_is_named),
      TEST(keeps_registries_apart),
      TEST(needs_registries_that_it_can_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
