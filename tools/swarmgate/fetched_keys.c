#include "fetched_keys.h"

#include "http/download.h"

enum { JWKS_TIMEOUT_MS = 10000 };

struct fetching {
  struct http_client *client;
  const char *url;
  struct keyset *keys;
  int result;
  struct error *e;
};

static void on_stopped(void *arg) {
  (void)arg;
}

static int read_keys(const struct fetching *f, struct slice document) {
  struct error why = {0};
  if (keyset_parse(document, f->url, f->keys, &why) != 0) {
    return error_set(f->e, ERROR_FAILED, "%s", why.text); /* no fault of who calls */
  }
  if (!f->keys->named) {
    keyset_free(f->keys);
    return error_set(f->e, ERROR_FAILED, "%s: it is no JWKS", f->url);
  }
  return 0;
}

static void on_told(void *arg, struct buf *document, const struct error *e) {
  struct fetching *f = arg;
  f->result = document == NULL ? error_set(f->e, ERROR_FAILED, "%s", e->text)
                               : read_keys(f, buf_view(document));
  http_client_stop(f->client, on_stopped, NULL);
}

static int fetch(uv_loop_t *loop, const char *url, struct keyset *keys, struct error *e) {
  const struct http_download_options options = {
      .url = url, .max = KEYSET_BYTES_MAX, .timeout_ms = JWKS_TIMEOUT_MS};
  struct fetching f = {.client = http_client_new(loop), .url = url, .keys = keys, .e = e};
  if (f.client == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (http_download_start(f.client, loop, &options, on_told, &f, e) == NULL) {
    f.result = -1;
    http_client_stop(f.client, on_stopped, NULL);
  }
  uv_run(loop, UV_RUN_DEFAULT);
  return f.result;
}

int fetched_keys_load(struct trust *trust, struct error *e) {
  uv_loop_t loop;
  int count = 0;
  if (uv_loop_init(&loop) != 0) {
    return error_set(e, ERROR_FAILED, "cannot make an event loop: out of memory or descriptors");
  }
  for (size_t i = 0; i < trust->count && count >= 0; i++) {
    struct trust_row *row = &trust->rows[i];
    if (row->source != NULL && atomic_exchange(&row->source->missed, false)) {
      keyset_free(&row->keys);
      count = fetch(&loop, row->source->url, &row->keys, e) == 0 ? count + 1 : -1;
    }
  }
  uv_loop_close(&loop);
  return count < 0 ? error_context(e, "cannot fetch the keys of an issuer") : count;
}
