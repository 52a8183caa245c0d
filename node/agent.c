#include "node/agent.h"

#include "image/certificates.h"
#include "image/credentials.h"
#include "image/platform.h"
#include "image/reference.h"
#include "node/mirror.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

enum { GRACE_MS = 5000 }; /* so long answers under way may take when it ends */

struct agent {
  const struct agent_options *options;
  uv_loop_t loop;
  uv_signal_t interrupted, terminated;
  struct arena arena;
  struct image_certificates certificates;
  struct http_client *client;
  struct images *images;
  struct stock *stock;
  struct mirror_options mirror;
  struct http_route routes[MIRROR_ROUTES];
  struct http_places places;
  struct http_server *server;
  bool ending;
};

/* --- the end --- */

static void on_client_stopped(void *arg) {
  (void)arg;
}

/* Nobody is answered any more. In this order: who uses something goes before it. */
static void on_server_stopped(void *arg) {
  struct agent *a = arg;
  stock_stop(a->stock);
  images_free(a->images);
  if (a->client != NULL) {
    http_client_stop(a->client, on_client_stopped, NULL);
  }
  uv_close((uv_handle_t *)&a->interrupted, NULL);
  uv_close((uv_handle_t *)&a->terminated, NULL);
}

static void end(struct agent *a) {
  if (a->ending) {
    return;
  }
  a->ending = true;
  http_places_close(&a->places);
  if (a->server != NULL) {
    http_server_stop(a->server, GRACE_MS, on_server_stopped, a);
  } else {
    on_server_stopped(a);
  }
}

static void on_signal(uv_signal_t *handle, int number) {
  struct agent *a = handle->data;
  log_write(a->options->log, LOG_LEVEL_INFO, "stopping: %s", strsignal(number));
  end(a);
}

/* --- the beginning --- */

static void begin_handles(struct agent *a) {
  uv_signal_init(&a->loop, &a->interrupted);
  uv_signal_init(&a->loop, &a->terminated);
  a->interrupted.data = a->terminated.data = a;
  uv_signal_start(&a->interrupted, on_signal, SIGINT);
  uv_signal_start(&a->terminated, on_signal, SIGTERM);
}

/* Connections of peers and runtimes are open files. */
static void raise_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

static int find_tls(struct agent *a, struct http_client_tls *out, struct error *e) {
  *out = (struct http_client_tls){.given_by = "cert_dir"};
  if (a->options->cert_dir == NULL) {
    return 0;
  }
  if (image_certificates_find(a->options->cert_dir, "", &a->arena, &a->certificates, e) != 0) {
    return -1;
  }
  out->ca_file = a->certificates.ca_file;
  out->cert_file = a->certificates.cert_file;
  out->key_file = a->certificates.key_file;
  return 0;
}

static int open_stock(struct agent *a, struct error *e) {
  const struct agent_options *o = a->options;
  struct http_client_tls tls;
  struct image_platform here;
  image_platform_here(&here);
  struct slice platform =
      arena_printf(&a->arena, "%s/%s%s%s", here.os, here.architecture,
                   here.variant == NULL ? "" : "/", here.variant == NULL ? "" : here.variant);
  a->client = http_client_new(&a->loop);
  if (a->client == NULL || platform.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (find_tls(a, &tls, e) != 0) {
    return -1;
  }
  const struct images_options images = {.loop = &a->loop,
                                        .client = a->client,
                                        .tls = tls,
                                        .authfile = o->authfile,
                                        .platform = platform.ptr,
                                        .insecure = o->insecure};
  a->images = images_new(&images);
  if (a->images == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  const struct stock_options stock = {.loop = &a->loop,
                                      .images = a->images,
                                      .folder = o->folder,
                                      .alone = o->require_credentials,
                                      .max_size = o->max_size,
                                      .seed_ms = o->seed_ms,
                                      .client = a->client,
                                      .tls = tls,
                                      .bittorrent = o->bittorrent,
                                      .log = o->log};
  return stock_new(&stock, &a->stock, e);
}

/* Before anything of the store is touched: another agent that runs has it, and the address. */
static int find_places(struct agent *a, struct error *e) {
  for (size_t i = 0; i < a->options->listen_count; i++) {
    if (http_listen(a->options->listen[i], &a->places, e) != 0) {
      return -1;
    }
  }
  return 0;
}

static int open_server(struct agent *a, struct error *e) {
  const struct agent_options *o = a->options;
  a->mirror = (struct mirror_options){.images = a->images,
                                      .stock = a->stock,
                                      .hosts = o->hosts,
                                      .host_count = o->host_count,
                                      .require_credentials = o->require_credentials,
                                      .log = o->log};
  mirror_routes(&a->mirror, a->routes);
  const struct http_server_options options = {
      .routes = a->routes, .route_count = MIRROR_ROUTES, .log = o->log};
  a->server = http_server_new(&a->loop, &options);
  if (a->server == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  for (size_t i = 0; i < a->places.count; i++) {
    if (http_server_listen(a->server, &a->places.items[i], e) != 0) {
      return -1;
    }
    log_write(o->log, LOG_LEVEL_INFO, "listens on %s", a->places.items[i].name);
  }
  return 0;
}

/* Such a one is asked nothing, which the runtimes do not notice, as they go to the registry. */
static void warn_of_plain_gateways(const struct agent_options *o) {
  for (size_t i = 0; i < o->host_count && !o->insecure; i++) {
    struct slice url = slice_str(o->hosts[i].gateway);
    if (slice_starts(url, SLICE("http://")) &&
        !image_host_is_loopback(url.ptr + sizeof "http://" - 1)) {
      log_write(o->log, LOG_LEVEL_WARN,
                "the gateway %s is on plain http: it gets no credentials, and nothing comes from "
                "it, unless `insecure: true` is set",
                o->hosts[i].gateway);
    }
  }
}

/* The file is read anew for each question, so it may still come. */
static void warn_of_credentials(const struct agent_options *o) {
  struct image_credentials credentials;
  struct error e = {0};
  bool warned = o->require_credentials; /* or they are not looked at */
  for (size_t i = 0; i < o->host_count && !warned; i++) {
    if (image_credentials_find(NULL, o->authfile, o->hosts[i].name, NULL, &credentials, &e) != 0) {
      log_write(o->log, LOG_LEVEL_WARN, "%s; until that is mended images are left to the registry",
                e.text);
      warned = true;
    }
    image_credentials_free(&credentials);
  }
}

int agent_run(const struct agent_options *options, struct error *e) {
  struct agent a = {.options = options, .certificates.bundle = -1};
  if (uv_loop_init(&a.loop) != 0) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  raise_limit();
  begin_handles(&a);
  int result =
      find_places(&a, e) != 0 || open_stock(&a, e) != 0 || open_server(&a, e) != 0 ? -1 : 0;
  if (result == 0) {
    warn_of_plain_gateways(options);
    warn_of_credentials(options);
    log_write(options->log, LOG_LEVEL_INFO, "ready: swarmgate agent %s, %zu registr%s",
              SWARMGATE_VERSION, options->host_count, options->host_count == 1 ? "y" : "ies");
  } else {
    end(&a);
  }
  uv_run(&a.loop, UV_RUN_DEFAULT);
  uv_loop_close(&a.loop);
  stock_free(a.stock);
  http_places_free(&a.places);
  image_certificates_close(&a.certificates);
  arena_free(&a.arena);
  return result;
}
