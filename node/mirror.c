#include "node/mirror.h"

#include "base/address.h"
#include "node/answer.h"

#include <jansson.h>
#include <stdlib.h>

enum {
  SAME_MS = 60 * 1000,           /* so long a digest's manifest is not asked for anew */
  BLOBS_MS = 60 * 60 * 1000,     /* so long after its manifest a blob is served */
  AUTHORIZATION_MAX = 16 * 1024, /* bytes */
  HOST_SHOWN_MAX = 256,          /* bytes, in the log */
};

/* A request; in the exchange's arena. */
struct asking {
  const struct mirror_options *options;
  struct http_exchange *x;
  struct route route;
  struct images_key key;
  struct images_wait *wait;
};

/* --- who asks --- */

/* `name`, `name:port`, an IPv6 address in brackets (RFC 3986, section 3.2.2). */
static struct slice name_of(struct slice host) {
  if (slice_starts(host, SLICE("["))) {
    host = slice_from(host, 1);
    return slice_cut(&host, ']');
  }
  return slice_cut(&host, ':');
}

/* A page of the web may have its own name lead to this machine, and then reads what is answered to
 * that name (DNS rebinding). An address it cannot have, nor can it open a Unix socket. */
static bool is_meant(const struct http_exchange *x) {
  union address address;
  struct slice name = name_of(http_request_field(x, SLICE("Host")));
  return name.len == 0 || slice_equal_nocase(name, SLICE("localhost")) ||
         address_parse(name, &address) || http_request_peer(x)->sa_family == AF_UNSPEC;
}

/* \return false when it was answered. */
static bool check_host(struct http_exchange *x, const struct mirror_options *o) {
  struct slice host = http_request_field(x, SLICE("Host"));
  bool meant = o->require_credentials || is_meant(x); /* which it has none of */
  if (!meant) {
    log_write(o->log, LOG_LEVEL_INFO,
              "refused what was asked of the host %.*s: ask by an address or `localhost`",
              (int)(host.len < HOST_SHOWN_MAX ? host.len : HOST_SHOWN_MAX), host.ptr);
    answer_problem(x, 403, "DENIED");
  }
  return meant;
}

/* --- manifests --- */

static void refuse_at(const struct asking *a, enum log_level level, const char *why) {
  log_write(a->options->log, level, "%s/%s %s: left to the registry: %s",
            a->key.host == NULL ? "" : a->key.host->name, a->key.repository, a->key.reference, why);
  answer_problem(a->x, 404, a->route.kind == ROUTE_BLOB ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN");
}

static void refuse(const struct asking *a, const char *why) {
  refuse_at(a, LOG_LEVEL_INFO, why);
}

/* The node's own login is for its operator to mend, a runtime's is not. */
static void refuse_for(const struct asking *a, const struct error *e) {
  bool is_ours = a->key.authorization == NULL && e->kind == ERROR_DENIED;
  refuse_at(a, is_ours ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, e->text);
}

static void send_manifest(const struct asking *a, const char *digest, const char *media_type,
                          struct slice bytes) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), slice_str(media_type)},
      {SLICE("Docker-Content-Digest"), slice_str(digest)},
  };
  http_answer(a->x, 200, fields, 2, bytes);
}

/* Of an index a gateway offers the image that fits us, and the index: who asked for it chooses. */
static void answer_manifest(const struct asking *a, const struct image *image) {
  const struct offer *o = &image->offer;
  const char *reference = a->key.reference;
  bool is_tag = strchr(reference, ':') == NULL;
  if (!stock_could_hold(a->options->stock, image)) {
    refuse(a, "a blob of it is larger than the store may be");
  } else if (o->index.digest != NULL && (is_tag || strcmp(reference, o->index.digest) == 0)) {
    send_manifest(a, o->index.digest, o->index.media_type, o->index.manifest);
  } else if (is_tag || strcmp(reference, o->digest) == 0) {
    send_manifest(a, o->digest, o->media_type, o->manifest);
  } else {
    refuse(a, "the gateway offers another manifest");
  }
}

static void on_told(void *arg, struct image *image, const struct error *e) {
  struct asking *a = arg;
  a->wait = NULL;
  if (image != NULL) {
    answer_manifest(a, image);
  } else {
    refuse_for(a, e);
  }
}

static void on_abandoned(void *arg) {
  struct asking *a = arg;
  if (a->wait != NULL) {
    images_cancel(a->wait);
  }
}

static void handle_manifest(struct asking *a) {
  struct error e = {0};
  bool is_digest = strchr(a->key.reference, ':') != NULL;
  const struct image *known = is_digest ? images_find(a->options->images, &a->key, SAME_MS) : NULL;
  if (known != NULL) {
    answer_manifest(a, known);
    return;
  }
  http_exchange_on_abandoned(a->x, on_abandoned, a);
  a->wait = images_ask(a->options->images, &a->key, on_told, a, &e);
  if (a->wait == NULL) {
    refuse(a, e.text);
  }
}

/* --- blobs --- */

static void handle_blob(struct asking *a) {
  const struct offer_blob *blob = NULL;
  struct image *image =
      images_find_blob(a->options->images, &a->key, a->key.reference, BLOBS_MS, &blob);
  if (image == NULL) {
    refuse(a, "no manifest with it was asked for here in the last hour");
  } else {
    answer_blob(a->x, a->options->stock, image, blob, a->options->log);
  }
}

/* --- all of /v2/ --- */

/* \return false when it was answered. */
static bool read_caller(struct asking *a) {
  struct slice field = http_request_field(a->x, SLICE("Authorization"));
  if (!a->options->require_credentials) {
    return true;
  }
  if (field.len == 0 || field.len > AUTHORIZATION_MAX) {
    answer_challenge(a->x);
    return false;
  }
  a->key.authorization = arena_copy(http_exchange_arena(a->x), field);
  if (a->key.authorization == NULL) {
    http_answer_abort(a->x);
  }
  return a->key.authorization != NULL;
}

static void handle(struct http_exchange *x, void *context) {
  const struct mirror_options *options = context;
  struct arena *arena = http_exchange_arena(x);
  struct asking *a = arena_alloc(arena, sizeof *a);
  if (a == NULL) {
    http_answer_abort(x);
    return;
  }
  if (!check_host(x, options)) {
    return;
  }
  *a = (struct asking){.options = options, .x = x};
  a->route = route_read(http_request_path(x), http_request_query(x), options->hosts,
                        options->host_count, arena);
  a->key = (struct images_key){
      .host = a->route.host, .repository = a->route.repository, .reference = a->route.reference};
  if (a->route.kind == ROUTE_NONE) {
    answer_problem(x, 404, "UNSUPPORTED");
  } else if (!read_caller(a)) {
    return;
  } else if (a->route.kind == ROUTE_BASE) {
    http_answer(x, 200, NULL, 0, SLICE("{}"));
  } else if (a->route.host == NULL) {
    refuse(a, "its registry is not among `gateways`");
  } else if (a->route.kind == ROUTE_MANIFEST) {
    handle_manifest(a);
  } else {
    handle_blob(a);
  }
}

/* --- status --- */

/* Which blobs there are is for nobody to know who has not shown that he may read them. */
static json_t *list_swarms(const struct stock *stock, bool secret) {
  json_t *list = json_array();
  struct stock_swarm swarm;
  for (size_t i = 0; !secret && stock_next_swarm(stock, i, &swarm); i++) {
    const struct download_progress *p = &swarm.progress;
    json_array_append_new(
        list, json_pack("{s:s, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I}", "digest", swarm.digest,
                        "size", (json_int_t)swarm.size, "done", (json_int_t)p->done, "there",
                        swarm.there, "from_gateway", (json_int_t)p->from_gateway, "from_peers",
                        (json_int_t)p->from_peers, "from_registry", (json_int_t)p->from_origin,
                        "uploaded", (json_int_t)p->uploaded, "peers", (json_int_t)p->peers));
  }
  return list;
}

static void handle_status(struct http_exchange *x, void *context) {
  const struct mirror_options *options = context;
  const struct http_field type = {SLICE("Content-Type"), SLICE("application/json")};
  struct stock_status s;
  if (!check_host(x, options)) {
    return;
  }
  stock_status_of(options->stock, &s);
  json_t *json = json_pack(
      "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "version", SWARMGATE_VERSION,
      "blobs", (json_int_t)s.blobs, "size", (json_int_t)s.size, "max_size", (json_int_t)s.max_size,
      "fetching", (json_int_t)s.fetching, "seeding", (json_int_t)s.seeding, "from_gateway",
      (json_int_t)s.from_gateway, "from_peers", (json_int_t)s.from_peers, "from_registry",
      (json_int_t)s.from_registry, "uploaded", (json_int_t)s.uploaded, "peers", (json_int_t)s.peers,
      "swarms", list_swarms(options->stock, options->require_credentials));
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  if (text == NULL) {
    http_answer_abort(x);
  } else {
    http_answer(x, 200, &type, 1, slice_str(text));
  }
  free(text);
}

void mirror_routes(struct mirror_options *options, struct http_route out[MIRROR_ROUTES]) {
  out[0] = (struct http_route){"GET", "/v2/", handle, options};
  out[1] = (struct http_route){"HEAD", "/v2/", handle, options};
  out[2] = (struct http_route){"GET", "/v1/status", handle_status, options};
}
