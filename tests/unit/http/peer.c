#include "peer.h"

#include <stdlib.h>

enum { LARGE = 40000 };

static void on_abandoned(void *arg) {
  struct peer *p = arg;
  p->abandoned++;
  p->x = NULL;
}

static void on_proceed(void *arg) {
  struct peer *p = arg;
  assert_false(p->within);
  p->proceeds++;
}

static void now(struct http_exchange *x, void *context) {
  (void)context;
  http_answer(x, 200, NULL, 0, SLICE("now"));
}

static void later(struct http_exchange *x, void *context) {
  struct peer *p = context;
  p->x = x;
  p->later++;
  http_exchange_on_abandoned(x, on_abandoned, p);
}

static void large(struct http_exchange *x, void *context) {
  (void)context;
  char *body = calloc(1, LARGE);
  http_answer(x, 200, NULL, 0, slice_of(body, LARGE));
  free(body);
}

void peer_open(struct peer *p, const struct http_limits *limits) {
  static struct http_route routes[] = {
      {"GET", "/now", now, NULL},     {"HEAD", "/now", now, NULL},
      {"GET", "/later", later, NULL}, {"GET", "/dir/", now, NULL},
      {"HEAD", "/dir/", now, NULL},   {"PUT", "/dir/", now, NULL},
      {"GET", "/dir/x", now, NULL},   {"HEAD", "/later", later, NULL},
      {"GET", "/large", large, NULL}};
  *p = (struct peer){0};
  for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
    routes[i].context = p;
  }
  struct http_server_options options = {.routes = routes,
                                        .route_count = sizeof routes / sizeof routes[0]};
  if (limits != NULL) {
    options.limits = *limits;
  }
  p->m = http_memory_new(NULL, &options, NULL);
  assert_non_null(p->m);
}

void peer_close(struct peer *p) {
  http_memory_free(p->m);
}

void peer_feed(struct peer *p, const char *text) {
  assert_int_equal(http_memory_feed(p->m, slice_str(text)), strlen(text));
}

size_t peer_count(struct peer *p, const char *text) {
  struct slice output = http_memory_output(p->m);
  size_t len = strlen(text);
  size_t count = 0;
  for (size_t i = 0; i + len <= output.len; i++) {
    count += memcmp(output.ptr + i, text, len) == 0;
  }
  return count;
}

bool peer_ends(struct peer *p, const char *text) {
  return slice_ends(http_memory_output(p->m), slice_str(text));
}

void peer_send(struct peer *p, size_t len) {
  char *piece = malloc(len + 1);
  memset(piece, 'p', len);
  p->within = true;
  http_answer_send(p->x, slice_of(piece, len), on_proceed, p);
  p->within = false;
  free(piece);
}
