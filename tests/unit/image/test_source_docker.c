/* `docker://` against a registry of a few canned answers, in a thread of its own as the source
 * blocks. It speaks plain http, so every test goes through the fallback of loopback hosts too. */
#include "image/source.h"

#include "unit/image/fixture.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define TAG           "/v2/team/app/manifests/1"

static const struct slice CONFIG = {"{}", 2};
static const struct slice LAYER = {"the layer's bytes", 17};

/* What is answered to a GET of a path; `head` is the status line and fields. */
struct answer {
  const char *path, *head;
  struct slice body;
};

struct registry_thread {
  pthread_t thread;
  int listener;
  unsigned port;
  struct answer answers[8];
  size_t count;
};

static void send_all(int fd, struct slice bytes) {
  while (bytes.len > 0) {
    ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (n <= 0) {
      return;
    }
    bytes = slice_from(bytes, (size_t)n);
  }
}

/* One request a connection; what is no GET, such as the beginning of TLS, is hung up on. */
static void serve(const struct registry_thread *r, int fd) {
  char head[8192];
  size_t used = 0;
  ssize_t n;
  while ((n = recv(fd, head + used, sizeof head - 1 - used, 0)) > 0) {
    used += (size_t)n;
    head[used] = '\0';
    if (strncmp(head, "GET ", used < 4 ? used : 4) != 0) {
      return;
    }
    if (strstr(head, "\r\n\r\n") != NULL) {
      break;
    }
  }
  for (size_t i = 0; n > 0 && i < r->count; i++) {
    size_t length = strlen(r->answers[i].path);
    if (strncmp(head + 4, r->answers[i].path, length) == 0 && head[4 + length] == ' ') {
      send_all(fd, slice_str(r->answers[i].head));
      send_all(fd, SLICE("Connection: close\r\n\r\n"));
      send_all(fd, r->answers[i].body);
      return;
    }
  }
  send_all(fd, SLICE("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
}

static void *serve_all(void *arg) {
  const struct registry_thread *r = arg;
  int fd;
  while ((fd = accept(r->listener, NULL, NULL)) >= 0) {
    serve(r, fd);
    /* Answers that end with the connection must arrive whole: no reset for what was not read. */
    shutdown(fd, SHUT_WR);
    char rest[256];
    while (recv(fd, rest, sizeof rest, 0) > 0) {
    }
    close(fd);
  }
  return NULL;
}

static void registry_run(struct registry_thread *r) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(r->listener >= 0);
  assert_int_equal(bind(r->listener, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(r->listener, 16), 0);
  assert_int_equal(getsockname(r->listener, (struct sockaddr *)&address, &size), 0);
  r->port = ntohs(address.sin_port);
  assert_int_equal(pthread_create(&r->thread, NULL, serve_all, r), 0);
}

static void registry_end(struct registry_thread *r) {
  shutdown(r->listener, SHUT_RDWR);
  pthread_join(r->thread, NULL);
  close(r->listener);
}

static void add(struct registry_thread *r, const char *path, const char *head, struct slice body) {
  assert_true(path != NULL && head != NULL && r->count < sizeof r->answers / sizeof r->answers[0]);
  r->answers[r->count++] = (struct answer){path, head, body};
}

/* 200 of a type; `more` are fields. */
static const char *ok(struct fixture *f, const char *type, size_t length, const char *more) {
  return arena_printf(&f->arena, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s",
                      type, length, more)
      .ptr;
}

static const char *path_of(struct fixture *f, const char *kind, struct slice bytes) {
  return arena_printf(&f->arena, "/v2/team/app/%s/%s", kind, fixture_digest(f, bytes)).ptr;
}

static void add_blob(struct fixture *f, struct registry_thread *r, struct slice bytes) {
  add(r, path_of(f, "blobs", bytes), ok(f, "application/octet-stream", bytes.len, ""), bytes);
}

static const char *reference(struct fixture *f, const struct registry_thread *r, const char *end) {
  return arena_printf(&f->arena, "docker://127.0.0.1:%u/team/app%s", r->port, end).ptr;
}

static void test_image(void **state) {
  struct fixture *f = *state;
  struct registry_thread r = {0};
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  const char *digest = fixture_digest(f, manifest);
  const char *told = arena_printf(&f->arena, "Docker-Content-Digest: %s\r\n", digest).ptr;
  add(&r, TAG, ok(f, MANIFEST_TYPE, manifest.len, told), manifest);
  add(&r, path_of(f, "manifests", manifest), ok(f, MANIFEST_TYPE, manifest.len, ""), manifest);
  add_blob(f, &r, CONFIG);
  add_blob(f, &r, LAYER);
  registry_run(&r);
  const char *names[] = {":1", arena_printf(&f->arena, "@%s", digest).ptr,
                         arena_printf(&f->arena, ":none@%s", digest).ptr};
  for (size_t i = 0; i < 3; i++) {
    fixture_must_open(f, reference(f, &r, names[i]));
    assert_string_equal(image_source_digest(f->source), digest);
    assert_true(slice_equal(image_source_manifest(f->source), manifest));
    assert_int_equal(fixture_count(f), 2);
    fixture_must_read(f, 0, CONFIG);
    fixture_must_read(f, 1, LAYER);
    fixture_must_read(f, 1, LAYER);
  }
  registry_end(&r);
}

static void test_index(void **state) {
  struct fixture *f = *state;
  struct registry_thread r = {0};
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  struct slice index = fixture_json(
      f, arena_printf(&f->arena,
                      "{'schemaVersion':2,'manifests':[{'mediaType':'" MANIFEST_TYPE
                      "','digest':'%s','size':%zu,'platform':{'os':'linux','architecture':'amd64'}"
                      "}]}",
                      fixture_digest(f, manifest), manifest.len)
             .ptr);
  add(&r, TAG, ok(f, INDEX_TYPE, index.len, ""), index);
  add(&r, path_of(f, "manifests", manifest), ok(f, MANIFEST_TYPE, manifest.len, ""), manifest);
  registry_run(&r);
  fixture_must_open(f, reference(f, &r, ":1"));
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, manifest));
  registry_end(&r);
}

static void test_status(void **state) {
  struct fixture *f = *state;
  static const struct {
    const char *head;
    enum error_kind kind;
    const char *why;
  } rows[] = {
      {"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n",
       ERROR_DENIED, "there is no login for 127.0.0.1"},
      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n", ERROR_NOT_FOUND, "403"},
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", ERROR_NOT_FOUND, "without a login"},
      {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n", ERROR_FAILED, "https://"},
      {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n", ERROR_FAILED, "answered 500"},
      {"HTTP/1.1 204 No Content\r\n", ERROR_FAILED, "answered 204"},
      {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n", ERROR_FAILED,
       "text/html"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", ERROR_FAILED, "manifest"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n", ERROR_FAILED, "cannot read docker://127.0.0.1"},
      {"HTTP/1.1 302 Found\r\nLocation: " TAG "\r\nContent-Length: 0\r\n", ERROR_FAILED,
       "https://"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct registry_thread r = {0};
    add(&r, TAG, rows[i].head, SLICE(""));
    registry_run(&r);
    fixture_must_fail(f, reference(f, &r, ":1"), rows[i].kind, rows[i].why);
    registry_end(&r);
  }
}

/* Who the registry redirects to is not the registry: its refusal says nothing of a login here. */
static void test_status_elsewhere(void **state) {
  struct fixture *f = *state;
  static const struct {
    const char *head;
    enum error_kind kind;
    const char *why;
  } rows[] = {
      {"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n",
       ERROR_FAILED, " redirects to answered 401"},
      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n", ERROR_FAILED,
       " redirects to answered 403"},
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", ERROR_NOT_FOUND,
       " redirects to answered 404"},
      {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n", ERROR_FAILED, " redirects to answered 500"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct registry_thread r = {0};
    struct registry_thread elsewhere = {0};
    add(&elsewhere, "/x", rows[i].head, SLICE(""));
    registry_run(&elsewhere);
    add(&r, TAG,
        arena_printf(
            &f->arena,
            "HTTP/1.1 307 There\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:%u/x\r\n",
            elsewhere.port)
            .ptr,
        SLICE(""));
    registry_run(&r);
    fixture_must_fail(f, reference(f, &r, ":1"), rows[i].kind, rows[i].why);
    registry_end(&r);
    registry_end(&elsewhere);
  }
}

/* Another path of the same host is the registry still. */
static void test_status_behind_a_redirect(void **state) {
  struct fixture *f = *state;
  struct registry_thread r = {0};
  add(&r, TAG, "HTTP/1.1 307 There\r\nContent-Length: 0\r\nLocation: /x\r\n", SLICE(""));
  add(&r, "/x", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n", SLICE(""));
  registry_run(&r);
  fixture_must_fail(f, reference(f, &r, ":1"), ERROR_DENIED, "there is no login");
  registry_end(&r);
}

static void test_manifest_lies(void **state) {
  struct fixture *f = *state;
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  const char *other = fixture_digest(f, LAYER);
  struct registry_thread r = {0};
  add(&r, TAG,
      ok(f, MANIFEST_TYPE, manifest.len,
         arena_printf(&f->arena, "Docker-Content-Digest: %s\r\n", other).ptr),
      manifest);
  add(&r, path_of(f, "manifests", LAYER), ok(f, MANIFEST_TYPE, manifest.len, ""), manifest);
  add(&r, "/v2/team/app/manifests/docker",
      ok(f, "application/vnd.docker.distribution.manifest.v2+json", manifest.len, ""), manifest);
  char *large = calloc(1, IMAGE_MANIFEST_MAX + 1);
  assert_non_null(large);
  add(&r, "/v2/team/app/manifests/large", ok(f, MANIFEST_TYPE, IMAGE_MANIFEST_MAX + 1, ""),
      slice_of(large, IMAGE_MANIFEST_MAX + 1));
  registry_run(&r);
  fixture_must_fail(f, reference(f, &r, ":1"), ERROR_MISMATCH, "is said to be");
  fixture_must_fail(f, reference(f, &r, arena_printf(&f->arena, "@%s", other).ptr), ERROR_MISMATCH,
                    "should be");
  fixture_must_fail(f, reference(f, &r, ":docker"), ERROR_FAILED, "mediaType is missing");
  fixture_must_fail(f, reference(f, &r, ":large"), ERROR_FAILED, "larger");
  fixture_must_fail(f, reference(f, &r, ":none"), ERROR_NOT_FOUND, "404");
  registry_end(&r);
  free(large);
}

static void test_blob_lies(void **state) {
  struct fixture *f = *state;
  static const struct {
    const char *head, *body;
    enum error_kind kind;
    const char *why;
  } rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n", "THE LAYER'S BYTES", ERROR_MISMATCH, "digest"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n", "the layer's byte", ERROR_MISMATCH,
       "the registry says"},
      {"HTTP/1.1 200 OK\r\n", "the layer's byte", ERROR_MISMATCH, "16 bytes"},
      {"HTTP/1.1 200 OK\r\n", "the layer's bytes.", ERROR_MISMATCH, "longer"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n", "the layer's", ERROR_FAILED, "sha256:"},
      {"HTTP/1.1 206 Partial Content\r\nContent-Length: 17\r\n", "the layer's bytes", ERROR_FAILED,
       "answered 206"},
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", "", ERROR_NOT_FOUND, "404"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct registry_thread r = {0};
    struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
    add(&r, TAG, ok(f, MANIFEST_TYPE, manifest.len, ""), manifest);
    add_blob(f, &r, CONFIG);
    add(&r, path_of(f, "blobs", LAYER), rows[i].head, slice_str(rows[i].body));
    registry_run(&r);
    fixture_must_open(f, reference(f, &r, ":1"));
    fixture_must_not_read(f, 1, rows[i].kind, rows[i].why);
    fixture_must_read(f, 0, CONFIG);
    registry_end(&r);
  }
}

static int give_up(void *arg, struct slice bytes, struct error *e) {
  (void)arg, (void)bytes;
  return error_set(e, ERROR_USAGE, "the sink is full");
}

static void test_sink_gives_up(void **state) {
  struct fixture *f = *state;
  struct registry_thread r = {0};
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  add(&r, TAG, ok(f, MANIFEST_TYPE, manifest.len, ""), manifest);
  add_blob(f, &r, LAYER);
  registry_run(&r);
  fixture_must_open(f, reference(f, &r, ":1"));
  assert_int_equal(image_source_read(f->source, fixture_blob(f, 1), give_up, NULL, NULL, &f->e),
                   -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
  assert_string_equal(f->e.text, "the sink is full");
  fixture_must_read(f, 1, LAYER);
  registry_end(&r);
}

static void test_nobody_there(void **state) {
  struct fixture *f = *state;
  struct registry_thread r = {0};
  registry_run(&r);
  registry_end(&r);
  fixture_must_fail(f, reference(f, &r, ":1"), ERROR_FAILED, "https://127.0.0.1");
}

/* What speaks plain http alone fails over https first: both are told, the answer counts. */
static void test_plain_http_says_both(void **state) {
  struct fixture *f = *state;
  static const struct {
    const char *head;
    enum error_kind kind;
    const char *why;
  } rows[] = {
      {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n", ERROR_FAILED, "answered 400"},
      {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n", ERROR_DENIED, "answered 401"},
      {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n", ERROR_NOT_FOUND, "answered 404"},
      {"HTTP/1.1 500 No\r\nContent-Length: 0\r\n", ERROR_FAILED, "answered 500"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct registry_thread r = {0};
    add(&r, TAG, rows[i].head, SLICE(""));
    registry_run(&r);
    fixture_must_fail(f, reference(f, &r, ":1"), rows[i].kind, "GET https://127.0.0.1");
    const char *plain = strstr(f->e.text, "; and over plain http: the registry 127.0.0.1");
    assert_non_null(plain);
    assert_non_null(strstr(plain, rows[i].why));
    registry_end(&r);
  }
}

/* The plain http that a loopback host is asked over next has errors of its own to tell. */
static void test_plain_http_fails_too(void **state) {
  struct fixture *f = *state;
  struct registry_thread r = {0};
  add(&r, TAG, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " TAG "\r\n", SLICE(""));
  add(&r, "/v2/team/app/manifests/locked",
      "HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Bearer realm=\"/token\"\r\n",
      SLICE(""));
  add(&r, "/token?scope=repository%3Ateam%2Fapp%3Apull", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n",
      SLICE(""));
  registry_run(&r);
  fixture_must_fail(f, reference(f, &r, ":1"), ERROR_FAILED, "and over plain http");
  fixture_must_fail(f, reference(f, &r, ":1"), ERROR_FAILED, "redirects: that is more than");
  fixture_must_fail(f, reference(f, &r, ":locked"), ERROR_DENIED, "refuses the login");
  registry_end(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_image),
      TEST(test_index),
      TEST(test_status),
      TEST(test_status_elsewhere),
      TEST(test_status_behind_a_redirect),
      TEST(test_manifest_lies),
      TEST(test_blob_lies),
      TEST(test_sink_gives_up),
      TEST(test_nobody_there),
      TEST(test_plain_http_fails_too),
      TEST(test_plain_http_says_both),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
