#include "image/registry.h"

#include "image/registry_token.h"
#include "support/script.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#define OK     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
#define DENIED "HTTP/1.1 401 No\r\nContent-Length: 5\r\n"
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BASIC  "Authorization: Basic dTpw\r\n" /* u:p */

/* A registry and another host on one loop, and what the one request was told. */
struct rig {
  uv_loop_t loop;
  struct http_client *client;
  struct script *home, *away;
  struct registry *registry;
  struct registry_request *request;
  int status;
  char www_authenticate[512], type[64], digest[128], next[256];
  bool has_digest;
  bool has_length;
  uint64_t length;
  size_t got;
  int heads, dones;
  struct error e;
  bool failed, cancel_head, free_data;
};

static bool on_head(void *arg, const struct registry_answer *a) {
  struct rig *rig = arg;
  rig->heads++;
  rig->status = a->status;
  rig->has_length = a->has_length;
  rig->length = a->length;
  snprintf(rig->www_authenticate, sizeof rig->www_authenticate, "%.*s",
           SLICE_ARG(a->www_authenticate));
  rig->has_digest = a->docker_content_digest.ptr != NULL;
  snprintf(rig->digest, sizeof rig->digest, "%.*s", SLICE_ARG(a->docker_content_digest));
  snprintf(rig->next, sizeof rig->next, "%.*s", SLICE_ARG(a->next));
  snprintf(rig->type, sizeof rig->type, "%.*s", SLICE_ARG(a->content_type));
  if (rig->cancel_head) {
    registry_cancel(rig->request);
  }
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct rig *rig = arg;
  rig->got += bytes.len;
  if (rig->free_data) {
    registry_free(rig->registry);
    rig->registry = NULL;
  }
  return true;
}

static void on_done(void *arg, const struct error *e) {
  struct rig *rig = arg;
  rig->dones++;
  rig->failed = e != NULL;
  if (e != NULL) {
    rig->e = *e;
  }
}

static const struct registry_events events = {on_head, on_data, on_done};

static struct rig *rig_new(void) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  uv_loop_init(&rig->loop);
  rig->client = http_client_new(&rig->loop);
  return rig;
}

static void rig_registry(struct rig *rig, const struct image_credentials *credentials) {
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%u/", script_port(rig->home));
  const struct registry_options options = {.url = url, .credentials = credentials};
  rig->registry = registry_new(rig->client, &options, NULL);
  assert_non_null(rig->registry);
}

#define ANSWERS(...)                                                                               \
  (const struct script_answer[]){__VA_ARGS__},                                                     \
      sizeof((const struct script_answer[]){__VA_ARGS__}) / sizeof(struct script_answer)

static void on_stopped(void *arg) {
  *(bool *)arg = true;
}

static void rig_free(struct rig *rig) {
  bool stopped = false;
  registry_free(rig->registry);
  http_client_stop(rig->client, on_stopped, &stopped);
  script_stop(rig->home);
  if (rig->away != NULL) {
    script_stop(rig->away);
  }
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  assert_true(stopped);
  assert_int_equal(uv_loop_close(&rig->loop), 0);
  free(rig);
}

static void start(struct rig *rig, const struct registry_get *get) {
  struct error e = {0};
  rig->heads = rig->dones = rig->status = 0;
  rig->got = 0;
  rig->request = registry_start(rig->registry, get, &events, rig, &e);
  assert_string_equal(e.text, "");
  assert_non_null(rig->request);
}

static void run(struct rig *rig, const struct registry_get *get) {
  start(rig, get);
  while (rig->dones == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
}

static const struct registry_get blob = {.method = "GET", .repository = "a/b", .blob = DIGEST};
static const struct registry_get manifest = {
    .method = "GET", .repository = "a/b", .manifest = "latest"};
static const struct image_credentials login = {.username = (char[]){"u"},
                                               .password = (char[]){"p"}};

static void answers(struct rig *rig, int status) {
  assert_string_equal(rig->e.text, "");
  assert_false(rig->failed);
  assert_int_equal(rig->heads, 1);
  assert_int_equal(rig->status, status);
}

static void fails(struct rig *rig, enum error_kind kind, const char *why) {
  assert_true(rig->failed);
  assert_int_equal(rig->heads, 0);
  assert_int_equal(rig->e.kind, kind);
  if (strstr(rig->e.text, why) == NULL) {
    fail_msg("`%s` does not say `%s`", rig->e.text, why);
  }
}

static void plain(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop,
      ANSWERS(
          {"GET /v2/a/b/manifests/latest HTTP/1.1\r\n", "application/vnd.oci.image.index.v1+json",
           "HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: 10\r\n\r\n", 10, 0, 0},
          {"GET /v2/a/b/blobs/" DIGEST " HTTP/1.1\r\n", "\r\nRange: bytes=5-6\r\n",
           "HTTP/1.1 206 P\r\nContent-Length: 2\r\nContent-Range: bytes 5-6/9\r\n\r\n", 2, 0, 0},
          {"HEAD /v2/a/b/blobs/" DIGEST " HTTP/1.1\r\n", NULL, OK, 0, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &manifest);
  answers(rig, 200);
  assert_int_equal(rig->got, 10);
  assert_string_equal(rig->type, "x/y");
  assert_true(rig->has_length);
  run(rig, &(struct registry_get){.method = "GET",
                                  .repository = "a/b",
                                  .blob = DIGEST,
                                  .ranged = true,
                                  .first = 5,
                                  .last = 6});
  answers(rig, 206);
  assert_int_equal(rig->got, 2);
  run(rig, &(struct registry_get){.method = "HEAD", .repository = "a/b", .blob = DIGEST});
  answers(rig, 200);
  assert_int_equal(rig->length, 10);
  assert_int_equal(rig->got, 0);
  assert_null(strstr(script_requests(rig->home), "Authorization"));
  rig_free(rig);
}

static const struct registry_get post = {.method = "POST",
                                         .repository = "a/b",
                                         .action = "certificates",
                                         .query = "ns=x",
                                         .body = SLICE("{\"csr\":1}\n")};

/* To a gateway, and once more when it has been challenged. */
static void what_is_sent(void **state) {
  (void)state;
  static const char request[] = "POST /v2/a/b/certificates?ns=x HTTP/1.1\r\n";
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop,
      ANSWERS({request, BASIC, OK, 10, 0, 0},
              {request, NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &post);
  answers(rig, 200);
  assert_int_equal(rig->got, 10);
  assert_int_equal(script_count(rig->home, "POST"), 2);
  const char *second = strstr(strstr(script_requests(rig->home), "{\"csr\":1}") + 1, "POST");
  assert_non_null(strstr(second, "\r\nContent-Type: application/json\r\n"));
  assert_non_null(strstr(second, "\r\n\r\n{\"csr\":1}"));
  rig_free(rig);
}

static void what_is_sent_goes_nowhere_else(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop,
      ANSWERS({NULL, NULL, "HTTP/1.1 307 T\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", 0, 0,
               0}));
  rig_registry(rig, &login);
  run(rig, &post);
  fails(rig, ERROR_FAILED, "redirects what was sent to it");
  assert_int_equal(script_count(rig->home, "POST"), 1);
  rig_free(rig);
}

static void what_cannot_start(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(&rig->loop, ANSWERS({0}));
  rig_registry(rig, NULL);
  const struct registry_get bad[] = {
      {.method = "PUT", .repository = "a", .manifest = "x"},
      {.method = "GET", .repository = "../a", .manifest = "x"},
      {.method = "GET", .repository = "", .manifest = "x"},
      {.method = "GET", .repository = "a", .manifest = "x/../y"},
      {.method = "GET", .repository = "a", .manifest = ""},
      {.method = "GET", .repository = "a", .blob = "latest"},
      {.method = "GET", .repository = "a"},
      {.method = "POST", .repository = "a", .blob = DIGEST},
      {.method = "GET", .repository = "a", .action = "certificates"},
      {.method = "POST", .repository = "../a", .action = "certificates"},
      {.method = "GET", .repository = "a", .manifest = "x", .authorization = SLICE("a\r\nb: c")},
      {.method = "GET", .repository = "a", .manifest = "x", .authorization = SLICE("a\nb")},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct error e = {0};
    assert_null(registry_start(rig->registry, &bad[i], &events, rig, &e));
    assert_int_equal(e.kind, ERROR_USAGE);
  }
  struct error e = {0};
  assert_null(registry_new(rig->client, &(struct registry_options){.url = "reg.example"}, &e));
  assert_int_equal(e.kind, ERROR_USAGE);
  rig_free(rig);
}

/* --- the token round --- */

/** The reply of a registry that wants a token of the realm at \p port. */
static const char *bearer(char out[512], unsigned port, const char *path, const char *more) {
  snprintf(out, 512,
           DENIED "WWW-Authenticate: Basic realm=\"x\"\r\n"
                  "WWW-Authenticate: Negotiate, Bearer realm=\"http://127.0.0.1:%u%s\"%s\r\n\r\n",
           port, path, more);
  return out;
}

static const char *json(char out[512], const char *text) {
  snprintf(out, 512, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
  return out;
}

static void a_token_round(void **state) {
  (void)state;
  char wants[512], gives[512];
  struct rig *rig = rig_new();
  json(gives, "{\"access_token\":\"T1\",\"expires_in\":300}");
  rig->away = script_start(&rig->loop, ANSWERS({"GET /token?", BASIC, gives, 0, 0, 0}));
  bearer(wants, script_port(rig->away), "/token?k=v",
         ",service=\"reg x\",scope=\"repository:a/b:pull repository:c:pull\"");
  rig->home = script_start(&rig->loop, ANSWERS({NULL, "Authorization: Bearer T1\r\n", OK, 10, 0, 0},
                                               {NULL, NULL, wants, 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 200);
  assert_int_equal(rig->got, 10);
  assert_non_null(strstr(script_requests(rig->away),
                         "GET /token?k=v&service=reg%20x&scope=repository%3Aa%2Fb%3Apull&"
                         "scope=repository%3Ac%3Apull&account=u HTTP/1.1\r\n"));
  assert_null(strstr(script_requests(rig->home), "Basic"));
  /* It is remembered for this repository alone. */
  run(rig, &manifest);
  answers(rig, 200);
  assert_int_equal(script_count(rig->away, "GET"), 1);
  assert_int_equal(script_count(rig->home, "GET"), 3);
  run(rig, &(struct registry_get){.method = "GET", .repository = "c", .blob = DIGEST});
  answers(rig, 200);
  assert_int_equal(script_count(rig->away, "GET"), 2);
  rig_free(rig);
}

/** Without credentials the realm is asked without any; without a scope for the repository. */
static void an_anonymous_token(void **state) {
  (void)state;
  char wants[512], gives[512];
  struct rig *rig = rig_new();
  json(gives, "{\"token\":\"T1\"}");
  rig->away = script_start(&rig->loop, ANSWERS({NULL, NULL, gives, 0, 0, 0}));
  bearer(wants, script_port(rig->away), "/token", "");
  rig->home = script_start(
      &rig->loop, ANSWERS({NULL, "Bearer T1\r\n", OK, 10, 0, 0}, {NULL, NULL, wants, 5, 0, 0}));
  rig_registry(rig, NULL);
  run(rig, &blob);
  answers(rig, 200);
  assert_non_null(strstr(script_requests(rig->away),
                         "GET /token?scope=repository%3Aa%2Fb%3Apull HTTP/1.1\r\n"));
  assert_null(strstr(script_requests(rig->away), "Authorization"));
  rig_free(rig);
}

static void an_identity_token(void **state) {
  (void)state;
  char wants[512], gives[512];
  struct rig *rig = rig_new();
  const struct image_credentials identity = {.identity_token = (char[]){"R&1"}};
  json(gives, "{\"access_token\":\"T1\"}");
  rig->away = script_start(&rig->loop, ANSWERS({"POST /token HTTP/1.1\r\n", NULL, gives, 0, 0, 0}));
  bearer(wants, script_port(rig->away), "/token", ",service=s,scope=\"x y\"");
  rig->home = script_start(
      &rig->loop, ANSWERS({NULL, "Bearer T1\r\n", OK, 10, 0, 0}, {NULL, NULL, wants, 5, 0, 0}));
  rig_registry(rig, &identity);
  run(rig, &blob);
  answers(rig, 200);
  assert_non_null(strstr(script_requests(rig->away),
                         "\r\n\r\nservice=s&scope=x%20y&grant_type=refresh_token&"
                         "client_id=swarmgate&refresh_token=R%261"));
  rig_free(rig);
}

/** A remembered token that is refused is replaced once; a fresh one that is refused is the end. */
static void a_refused_token(void **state) {
  (void)state;
  char wants[512], first[512], second[512];
  struct rig *rig = rig_new();
  json(first, "{\"token\":\"T1\"}");
  json(second, "{\"token\":\"T2\"}");
  rig->away = script_start(&rig->loop,
                           ANSWERS({NULL, NULL, first, 0, 0, 1}, {NULL, NULL, second, 0, 0, 0}));
  bearer(wants, script_port(rig->away), "/", ",error=\"insufficient_scope\"");
  rig->home = script_start(&rig->loop, ANSWERS({"GET", "Bearer T1\r\n", OK, 10, 0, 1},
                                               {"GET", "Bearer T2\r\n", OK, 10, 0, 1},
                                               {NULL, NULL, wants, 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 200);
  run(rig, &blob);
  answers(rig, 200);
  assert_int_equal(script_count(rig->away, "GET"), 2);
  run(rig, &blob);
  answers(rig, 401);
  assert_int_equal(rig->got, 5);
  assert_non_null(strstr(rig->www_authenticate, "Basic realm=\"x\", Negotiate, Bearer realm="));
  assert_int_equal(script_count(rig->away, "GET"), 3);
  assert_int_equal(script_count(rig->home, "GET"), 2 + 2 + 2);
  rig_free(rig);
}

static void realms_that_fail(void **state) {
  (void)state;
  static char long_token[REGISTRY_TOKEN_MAX + 64] = "HTTP/1.1 200 OK\r\n\r\n{\"token\":\"";
  const size_t start = strlen(long_token);
  memset(long_token + start, 'a', REGISTRY_TOKEN_MAX + 1);
  memcpy(long_token + start + REGISTRY_TOKEN_MAX + 1, "\"}", 3);
  const struct {
    const char *reply;
    size_t body;
    enum error_kind kind;
    const char *why;
  } cases[] = {
      {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 0, ERROR_DENIED, "check the credentials"},
      {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 0, ERROR_DENIED, "check the credentials"},
      {"HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\n", 9, ERROR_FAILED, "answered 400"},
      {"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n", 9, ERROR_FAILED, "answered 503"},
      {"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 0, ERROR_FAILED, "302"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 0, ERROR_FAILED, "without a token"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, ERROR_FAILED, "without a token"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"token\":\"a\n\"", 0, ERROR_FAILED, ""},
      {"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"token\":\"a\\r\\nb\"}", 0, ERROR_FAILED,
       "without a token"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"token\":1}", 0, ERROR_FAILED,
       "without a token"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 99, ERROR_FAILED, "remaining"},
      {"HTTP/1.1 200 OK\r\n\r\n", REGISTRY_TOKEN_ANSWER_MAX + 1, ERROR_FAILED, "more than"},
      {long_token, 0, ERROR_FAILED, "without a token"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char wants[512];
    struct rig *rig = rig_new();
    rig->away = script_start(&rig->loop,
                             ANSWERS({NULL, NULL, cases[i].reply, cases[i].body, SCRIPT_CLOSE, 0}));
    bearer(wants, script_port(rig->away), "/token?s=secret", "");
    rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, wants, 5, 0, 0}));
    rig_registry(rig, &login);
    run(rig, &blob);
    fails(rig, cases[i].kind, cases[i].why);
    assert_null(strstr(rig->e.text, "secret"));
    rig_free(rig);
  }
}

static void basic(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop, ANSWERS({NULL, BASIC, OK, 10, 0, 0},
                          {NULL, NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 200);
  assert_int_equal(rig->got, 10);
  run(rig, &blob);
  answers(rig, 200);
  assert_int_equal(script_count(rig->home, "GET"), 3); /* known by then */
  rig_free(rig);
}

static void a_wrong_password(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop, ANSWERS({NULL, NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 401);
  assert_string_equal(rig->www_authenticate, "Basic realm=x");
  assert_int_equal(script_count(rig->home, "GET"), 2);
  run(rig, &blob);
  answers(rig, 401);
  assert_int_equal(script_count(rig->home, "GET"), 3);
  rig_free(rig);
}

static void nothing_to_answer_with(void **state) {
  (void)state;
  static const char *const replies[] = {
      DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n",
      DENIED "WWW-Authenticate: Bearer service=x\r\n\r\n",
      DENIED "WWW-Authenticate: Negotiate\r\n\r\n",
      DENIED "WWW-Authenticate: \"\r\n\r\n",
      DENIED "\r\n",
  };
  for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
    struct rig *rig = rig_new();
    rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, replies[i], 5, 0, 0}));
    rig_registry(rig, NULL);
    run(rig, &blob);
    answers(rig, 401);
    assert_int_equal(script_count(rig->home, "GET"), 1);
    rig_free(rig);
  }
}

/* --- redirects --- */

/** The reply that redirects to \p path at \p port. */
static const char *redirect(char out[512], int status, unsigned port, const char *path) {
  snprintf(out, 512,
           "HTTP/1.1 %d Go\r\nLocation: http://127.0.0.1:%u%s\r\nContent-Length: 5\r\n\r\n", status,
           port, path);
  return out;
}

static void redirects_drop_credentials(void **state) {
  (void)state;
  static const int statuses[] = {301, 302, 303, 307, 308};
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
    char to[512];
    struct rig *rig = rig_new();
    rig->away = script_start(
        &rig->loop, ANSWERS({"GET /blob?sig=1 ", "\r\nRange: bytes=0-9\r\n", OK, 10, 0, 0}));
    redirect(to, statuses[i], script_port(rig->away), "/blob?sig=1");
    rig->home = script_start(
        &rig->loop,
        ANSWERS({"GET /v2/a/b/", BASIC,
                 "HTTP/1.1 307 Go\r\nLocation: /same\r\nContent-Length: 0\r\n\r\n", 0, 0, 0},
                {"GET /same", BASIC, to, 5, 0, 0},
                {NULL, NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}));
    rig_registry(rig, &login);
    run(rig, &(struct registry_get){.method = "GET",
                                    .repository = "a/b",
                                    .blob = DIGEST,
                                    .ranged = true,
                                    .first = 0,
                                    .last = 9});
    answers(rig, 200);
    assert_int_equal(rig->got, 10);
    assert_int_equal(script_count(rig->home, "GET /same"), 1); /* with credentials: same origin */
    assert_null(strstr(script_requests(rig->away), "Authorization"));
    rig_free(rig);
  }
}

/** Also credentials do not come back by a detour over another host. */
static void credentials_stay_dropped(void **state) {
  (void)state;
  char to[512], back[512];
  struct rig *rig = rig_new();
  struct script_answer home[] = {
      {"GET /back", NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0},
      {"GET /v2/", BASIC, to, 5, 0, 0},
      {"GET /v2/", NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}};
  rig->away = script_start(&rig->loop, ANSWERS({"GET /to", NULL, back, 5, 0, 0}));
  redirect(to, 302, script_port(rig->away), "/to");
  rig->home = script_start(&rig->loop, home, 3);
  redirect(back, 302, script_port(rig->home), "/back");
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 401);
  const char *detour = strstr(script_requests(rig->home), "GET /back");
  assert_non_null(detour);
  assert_null(strstr(detour, "Authorization"));
  assert_null(strstr(script_requests(rig->away), "Authorization"));
  rig_free(rig);
}

static void challenges_of_other_hosts_are_not_answered(void **state) {
  (void)state;
  char to[512];
  struct rig *rig = rig_new();
  rig->away = script_start(
      &rig->loop, ANSWERS({NULL, NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}));
  redirect(to, 302, script_port(rig->away), "/to");
  rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, to, 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 401);
  assert_int_equal(script_count(rig->away, "GET"), 1);
  rig_free(rig);
}

static void redirects_in_a_circle(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop,
      ANSWERS(
          {NULL, NULL, "HTTP/1.1 302 Go\r\nLocation: ?x\r\nContent-Length: 5\r\n\r\n", 5, 0, 0}));
  rig_registry(rig, NULL);
  run(rig, &blob);
  fails(rig, ERROR_FAILED, "more than 10");
  assert_int_equal(script_count(rig->home, "GET"), 1 + REGISTRY_REDIRECTS_MAX);
  rig_free(rig);
}

static void redirects_nowhere(void **state) {
  (void)state;
  static const char *const locations[] = {"ftp://127.0.0.1/", "http://a:secret@127.0.0.1/",
                                          "http://127.0.0.1:0x/", "http://"};
  for (size_t i = 0; i < sizeof locations / sizeof locations[0]; i++) {
    char to[512];
    snprintf(to, sizeof to, "HTTP/1.1 302 Go\r\nLocation: %s\r\nContent-Length: 5\r\n\r\n",
             locations[i]);
    struct rig *rig = rig_new();
    rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, to, 5, 0, 0}));
    rig_registry(rig, NULL);
    run(rig, &blob);
    fails(rig, ERROR_FAILED, "the redirect of http://127.0.0.1");
    assert_null(strstr(rig->e.text, "secret"));
    rig_free(rig);
  }
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop, ANSWERS({NULL, NULL, "HTTP/1.1 302 Go\r\nContent-Length: 5\r\n\r\n", 5, 0, 0}));
  rig_registry(rig, NULL);
  run(rig, &blob);
  answers(rig, 302);
  rig_free(rig);
}

/** What an answer that only redirects has for a body, however long, is not waited for. */
static void a_redirect_with_a_huge_body(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop,
      ANSWERS({"GET /v2/", NULL, "HTTP/1.1 302 Go\r\nLocation: /x\r\n\r\n", (size_t)1 << 40, 0, 0},
              {"GET /x", NULL, OK, 10, 0, 0}));
  rig_registry(rig, NULL);
  run(rig, &blob);
  answers(rig, 200);
  assert_int_equal(rig->got, 10);
  rig_free(rig);
}

/* Whoever reads the first of several digests could be told another than who reads the last. */
static void digests_that_disagree(void **state) {
  (void)state;
  static const struct {
    const char *fields, *digest;
  } rows[] = {{"", NULL},
              {"Docker-Content-Digest:\r\n", ""},
              {"Docker-Content-Digest: x\r\n", "x"},
              {"Docker-Content-Digest: x\r\nDocker-Content-Digest: x\r\n", "x"},
              {"Docker-Content-Digest: x\r\ndocker-content-digest: y\r\n", ""},
              {"Docker-Content-Digest: x\r\nDocker-Content-Digest:\r\n", ""}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n%s\r\n", rows[i].fields);
    struct rig *rig = rig_new();
    rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, head, 5, 0, 0}));
    rig_registry(rig, NULL);
    run(rig, &blob);
    answers(rig, 200);
    assert_int_equal(rig->has_digest, rows[i].digest != NULL);
    assert_string_equal(rig->digest, rows[i].digest == NULL ? "" : rows[i].digest);
    rig_free(rig);
  }
}

/* --- the caller's own header --- */

static void a_caller_s_header_goes_no_further(void **state) {
  (void)state;
  char to[512];
  for (int same = 0; same <= 1; same++) {
    struct rig *rig = rig_new();
    rig->away = script_start(&rig->loop, ANSWERS({"GET /x", NULL, OK, 10, 0, 0}));
    redirect(to, 307, script_port(rig->away), "/x");
    rig->home = script_start(
        &rig->loop,
        ANSWERS({"GET /v2/", "Authorization: Bearer caller\r\n",
                 same ? "HTTP/1.1 307 Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n" : to,
                 same ? 0 : 5, 0, 0},
                {"GET /x", NULL, OK, 10, 0, 0}));
    rig_registry(rig, &login);
    struct registry_get get = blob;
    get.authorization = SLICE("Bearer caller");
    run(rig, &get);
    answers(rig, 200);
    assert_non_null(strstr(script_requests(rig->home), "Bearer caller"));
    const char *redirected = strstr(script_requests(same ? rig->home : rig->away), "GET /x");
    assert_non_null(redirected);
    assert_null(strstr(redirected, "Authorization"));
    rig_free(rig);
  }
}

/** Neither our password nor a token of ours is used for a caller, with a header or without. */
static void a_caller_s_401_is_handed_through(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(
      &rig->loop, ANSWERS({NULL, BASIC, OK, 10, 0, 0},
                          {NULL, NULL, DENIED "WWW-Authenticate: Basic realm=x\r\n\r\n", 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &blob);
  answers(rig, 200);
  struct registry_get get = blob;
  get.authorization = SLICE("Basic d3Jvbmc=");
  run(rig, &get);
  answers(rig, 401);
  assert_string_equal(rig->www_authenticate, "Basic realm=x");
  get.authorization = SLICE("");
  run(rig, &get);
  answers(rig, 401);
  assert_int_equal(script_count(rig->home, "GET"), 4);
  rig_free(rig);
}

/* --- ends --- */

static void cut_and_cancelled(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home = script_start(&rig->loop,
                           ANSWERS({NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
                                    50000, SCRIPT_CLOSE, 1},
                                   {NULL, NULL, OK, 10, 0, 0}));
  rig_registry(rig, NULL);
  run(rig, &blob);
  assert_int_equal(rig->heads, 1);
  assert_true(rig->failed);
  assert_int_equal(rig->e.kind, ERROR_FAILED);
  rig->cancel_head = true;
  start(rig, &blob);
  while (rig->heads == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  rig->cancel_head = false;
  rig->free_data = true;
  start(rig, &blob);
  while (rig->got == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  for (int i = 0; i < 50; i++) {
    uv_run(&rig->loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(rig->dones, 0);
  rig_free(rig);
}

static void cancelled_in_the_token_round(void **state) {
  (void)state;
  char wants[512];
  struct rig *rig = rig_new();
  rig->away = script_start(&rig->loop, ANSWERS({NULL, NULL, "", 0, SCRIPT_HOLD, 0}));
  bearer(wants, script_port(rig->away), "/", "");
  rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, wants, 5, 0, 0}));
  rig_registry(rig, NULL);
  start(rig, &blob);
  while (script_requests(rig->away)[0] == '\0') {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  registry_cancel(rig->request);
  rig_free(rig);
}

/* --- tokens that are kept --- */

static void tokens_expire(void **state) {
  (void)state;
  struct registry_tokens tokens = {0};
  assert_null(registry_tokens_find(&tokens, "a", 0));
  registry_tokens_keep(&tokens, "a", "T1", 60, 1000);
  assert_string_equal(registry_tokens_find(&tokens, "a", 1000), "T1");
  assert_string_equal(registry_tokens_find(&tokens, "a", 50999), "T1");
  assert_null(registry_tokens_find(&tokens, "a", 51000));
  registry_tokens_keep(&tokens, "a", "T2", 4, 60000);
  assert_string_equal(registry_tokens_find(&tokens, "a", 61999), "T2");
  assert_null(registry_tokens_find(&tokens, "a", 62000));
  registry_tokens_free(&tokens);
}

static void tokens_are_bounded(void **state) {
  (void)state;
  struct registry_tokens tokens = {0};
  char name[16];
  for (unsigned i = 0; i <= REGISTRY_TOKENS_MAX; i++) {
    snprintf(name, sizeof name, "r%u", i);
    registry_tokens_keep(&tokens, name, name, i == 5 ? 30 : 60 + i, 0);
  }
  assert_null(registry_tokens_find(&tokens, "r5", 0)); /* the first to expire made room */
  assert_string_equal(registry_tokens_find(&tokens, "r0", 0), "r0");
  assert_string_equal(registry_tokens_find(&tokens, name, 0), name);
  registry_tokens_free(&tokens);
}

/* --- lists --- */

#define LINKED "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nLink: "

/* The catalog has a scope of its own, and its token is good for its next page. */
static void a_catalog_by_pages(void **state) {
  (void)state;
  char wants[512], gives[512], expected[128];
  struct rig *rig = rig_new();
  json(gives, "{\"token\":\"T1\",\"expires_in\":300}");
  rig->away = script_start(&rig->loop, ANSWERS({"GET /token?", BASIC, gives, 0, 0, 0}));
  bearer(wants, script_port(rig->away), "/token", "");
  rig->home = script_start(
      &rig->loop, ANSWERS({"GET /v2/_catalog?n=100 ", "Authorization: Bearer T1\r\n",
                           LINKED "</v2/_catalog?last=b&n=2>; rel=\"next\"\r\n\r\n", 10, 0, 0},
                          {"GET /v2/_catalog?last=b&n=2 ", "Authorization: Bearer T1\r\n",
                           LINKED "</v2/_catalog>; rel=\"prev\"\r\n\r\n", 10, 0, 0},
                          {NULL, NULL, wants, 5, 0, 0}));
  rig_registry(rig, &login);
  run(rig, &(struct registry_get){.method = "GET", .list = true});
  answers(rig, 200);
  assert_non_null(
      strstr(script_requests(rig->away), "GET /token?scope=registry%3Acatalog%3A%2A&account=u "));
  snprintf(expected, sizeof expected, "http://127.0.0.1:%u/v2/_catalog?last=b&n=2",
           script_port(rig->home));
  assert_string_equal(rig->next, expected);
  run(rig, &(struct registry_get){.method = "GET", .list = true, .page = expected});
  answers(rig, 200);
  assert_string_equal(rig->next, "");
  assert_int_equal(script_count(rig->away, "GET"), 1);
  rig_free(rig);
}

static void tags(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->home =
      script_start(&rig->loop, ANSWERS({"GET /v2/a/b/tags/list?n=100 ", NULL, OK, 10, 0, 0}));
  rig_registry(rig, NULL);
  run(rig, &(struct registry_get){.method = "GET", .repository = "a/b", .list = true});
  answers(rig, 200);
  assert_int_equal(rig->got, 10);
  rig_free(rig);
}

/* Nobody can lead our credentials away by a Link. */
static void a_list_that_goes_on_elsewhere(void **state) {
  (void)state;
  static const char *const targets[] = {"http://127.0.0.1:1/v2/_catalog?last=b", "//elsewhere/",
                                        "https://127.0.0.1/", "http://u:p@127.0.0.1/", "ftp://x/"};
  for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
    char reply[256];
    struct rig *rig = rig_new();
    snprintf(reply, sizeof reply, LINKED "<%s>; rel=next\r\n\r\n", targets[i]);
    rig->home = script_start(&rig->loop, ANSWERS({NULL, NULL, reply, 10, 0, 0}));
    rig_registry(rig, &login);
    run(rig, &(struct registry_get){.method = "GET", .list = true});
    fails(rig, ERROR_FAILED, "list");
    rig_free(rig);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_catalog_by_pages),
      cmocka_unit_test(tags),
      cmocka_unit_test(a_list_that_goes_on_elsewhere),
      cmocka_unit_test(plain),
      cmocka_unit_test(what_cannot_start),
      cmocka_unit_test(what_is_sent),
      cmocka_unit_test(what_is_sent_goes_nowhere_else),
      cmocka_unit_test(a_token_round),
      cmocka_unit_test(an_anonymous_token),
      cmocka_unit_test(an_identity_token),
      cmocka_unit_test(a_refused_token),
      cmocka_unit_test(realms_that_fail),
      cmocka_unit_test(basic),
      cmocka_unit_test(a_wrong_password),
      cmocka_unit_test(nothing_to_answer_with),
      cmocka_unit_test(redirects_drop_credentials),
      cmocka_unit_test(credentials_stay_dropped),
      cmocka_unit_test(challenges_of_other_hosts_are_not_answered),
      cmocka_unit_test(redirects_in_a_circle),
      cmocka_unit_test(redirects_nowhere),
      cmocka_unit_test(a_redirect_with_a_huge_body),
      cmocka_unit_test(digests_that_disagree),
      cmocka_unit_test(a_caller_s_header_goes_no_further),
      cmocka_unit_test(a_caller_s_401_is_handed_through),
      cmocka_unit_test(cut_and_cancelled),
      cmocka_unit_test(cancelled_in_the_token_round),
      cmocka_unit_test(tokens_expire),
      cmocka_unit_test(tokens_are_bounded),
  };
  setenv("no_proxy", "*", 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
