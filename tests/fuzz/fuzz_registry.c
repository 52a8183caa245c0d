// LINKS image http base PkgConfig::UV
/* A registry that answers with anything: behind a first byte, which says what is asked for, the
 * answers to one connection after the other. Redirects and realms lead nowhere else, for the same
 * socket is the proxy for all. Done is told once, after a head once, and a body of the right
 * length.
 */
#include "answers.h"
#include "image/registry.h"

#include <signal.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 1, BLOB = 2, LOGIN = 4, DELEGATED = 8, RANGED = 16, LIST = 32 };

/* --- what is told --- */

struct told {
  bool head, done, has_length, get;
  int status;
  uint64_t length, bytes;
};

static bool on_head(void *arg, const struct registry_answer *a) {
  struct told *told = arg;
  check(!told->head && !told->done && a->status >= 100);
  check(a->next.ptr == NULL || slice_starts(a->next, SLICE("http://127.0.0.1:")));
  told->head = true;
  told->status = a->status;
  told->has_length = a->has_length;
  told->length = a->length;
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct told *told = arg;
  check(told->head && !told->done && bytes.len > 0);
  told->bytes += bytes.len;
  return true;
}

static void on_done(void *arg, const struct error *e) {
  struct told *told = arg;
  check(!told->done && (e == NULL || e->kind != ERROR_NONE));
  check(e != NULL || told->head);
  check(e != NULL || !told->get || !told->has_length || told->status == 304 ||
        told->status == 204 || told->bytes == told->length);
  told->done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uv_loop_t loop;
  static struct http_client *client;
  static char url[64], user[] = "ann", password[] = "secret";
  if (client == NULL) {
    check(uv_loop_init(&loop) == 0);
    answers_listen(&loop, url);
    client = http_client_new(&loop);
    check(client != NULL && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  }
  unsigned how = size == 0 ? 0 : data[0];
  answers = slice_from(slice_of(data, size), 1);
  const struct image_credentials credentials = {.username = user, .password = password};
  const struct registry_options options = {.url = url,
                                           .credentials = (how & LOGIN) != 0 ? &credentials : NULL};
  struct registry *registry = registry_new(client, &options, NULL);
  const char *digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
  const struct registry_get get = {
      .method = (how & HEAD) != 0 ? "HEAD" : "GET",
      .repository = "team/app",
      .manifest = (how & BLOB) != 0 ? NULL : "latest",
      .blob = digest,
      .list = (how & LIST) != 0,
      .ranged = (how & (RANGED | BLOB | HEAD)) == (RANGED | BLOB),
      .last = 99,
      .authorization = (how & DELEGATED) != 0 ? SLICE("Bearer x") : (struct slice){NULL, 0}};
  static const struct registry_events events = {on_head, on_data, on_done};
  struct told told = {.get = (how & HEAD) == 0};
  check(registry != NULL && registry_start(registry, &get, &events, &told, NULL) != NULL);
  while (!told.done) {
    uv_run(&loop, UV_RUN_ONCE);
  }
  registry_free(registry);
  return 0;
}
