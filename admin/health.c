#include "admin/health.h"

#include "base/clock.h"

static void answer(struct http_exchange *x, int status, struct slice text) {
  const struct http_field fields[] = {{SLICE("Content-Type"), SLICE("text/plain")},
                                      {SLICE("Cache-Control"), SLICE("no-store")}};
  http_answer(x, status, fields, sizeof fields / sizeof fields[0], text);
}

static void on_livez(struct http_exchange *x, void *context) {
  (void)context;
  answer(x, 200, SLICE("live\n"));
}

static void on_readyz(struct http_exchange *x, void *context) {
  const struct health *health = context;
  struct buf text = {0};
  bool ready = true;
  for (size_t i = 0; i < health->count; i++) {
    const struct health_check *check = &health->checks[i];
    struct buf why = {0};
    if (!check->ready(check->arg, clock_now(), &why)) {
      buf_printf(&text, "%s: %.*s\n", check->name, SLICE_ARG(buf_view(&why)));
      ready = false;
    }
    buf_free(&why);
  }
  answer(x, ready ? 200 : 503, ready ? SLICE("ready\n") : buf_view(&text));
  buf_free(&text);
}

void health_routes(struct health *health, struct http_route routes[HEALTH_ROUTES]) {
  routes[0] = (struct http_route){"GET", "/livez", on_livez, health};
  routes[1] = (struct http_route){"GET", "/readyz", on_readyz, health};
}
