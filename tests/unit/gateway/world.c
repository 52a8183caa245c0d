#include "world.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hex.h"
#include "http/range.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 16384 };

/** An answer of an upstream under way. */
struct serving {
  struct upstream *u;
  struct http_exchange *x;
  uint64_t at;
  uint64_t end;
};

unsigned char world_byte(uint64_t offset) {
  return (unsigned char)((offset * 2654435761u) >> 11);
}

static void serve_next(void *arg) {
  struct serving *s = arg;
  struct upstream *u = s->u;
  unsigned char chunk[CHUNK];
  uint64_t end = u->cut_at > 0 && u->cut_at < s->end ? u->cut_at : s->end;
  size_t n = end - s->at < CHUNK ? (size_t)(end - s->at) : CHUNK;
  if (n == 0) {
    u->answered++;
    if (end < s->end) {
      http_answer_abort(s->x);
    } else {
      http_answer_end(s->x);
    }
    return;
  }
  for (size_t i = 0; i < n; i++) {
    uint64_t offset = s->at + i;
    unsigned char byte = u->blob.ptr == NULL    ? world_byte(offset)
                         : offset < u->blob.len ? (unsigned char)u->blob.ptr[offset]
                                                : 0;
    chunk[i] = u->wrong_at == offset + 1 ? (unsigned char)~byte : byte;
  }
  s->at += n;
  u->sent += n;
  http_answer_send(s->x, slice_of(chunk, n), serve_next, s);
}

/** A request to an upstream; in its exchange's arena. */
struct asked {
  struct upstream *u;
  struct http_exchange *x;
};

static void release_held(struct upstream *u, const struct http_exchange *x) {
  size_t kept = 0;
  for (size_t i = 0; i < u->held_count; i++) {
    if (u->held[i] != x) {
      u->held[kept++] = u->held[i];
    }
  }
  u->held_count = kept;
}

static void on_abandoned(void *arg) {
  const struct asked *asked = arg;
  asked->u->abandoned = true;
  release_held(asked->u, asked->x);
}

static void record(struct upstream *u, const struct http_exchange *x) {
  assert_true(u->request_count < WORLD_REQUESTS_MAX);
  struct world_request *r = &u->requests[u->request_count++];
  snprintf(r->method, sizeof r->method, "%.*s", SLICE_ARG(http_request_method(x)));
  snprintf(r->path, sizeof r->path, "%.*s", SLICE_ARG(http_request_path(x)));
  snprintf(r->authorization, sizeof r->authorization, "%.*s",
           SLICE_ARG(http_request_field(x, SLICE("Authorization"))));
  snprintf(r->range, sizeof r->range, "%.*s", SLICE_ARG(http_request_field(x, SLICE("Range"))));
}

static void serve_blob(struct upstream *u, struct http_exchange *x) {
  char text[RANGE_CONTENT_MAX];
  struct range range = range_parse(
      u->ignore_range ? slice_of(NULL, 0) : http_request_field(x, SLICE("Range")), u->size);
  struct http_field fields[2];
  size_t count = 0;
  struct slice digest = slice_str(u->say_digest == NULL ? u->digest : u->say_digest);
  if (u->has_all) {
    digest = http_request_path(x);
    digest = slice_from(digest, digest.len - strlen(u->digest));
  }
  if (digest.len > 0) {
    fields[count++] = (struct http_field){SLICE("Docker-Content-Digest"), digest};
  }
  if (range.kind == RANGE_PART) {
    struct slice content = range_content(&range, u->size, text);
    fields[count++] = (struct http_field){SLICE("Content-Range"),
                                          u->say_range == NULL ? content : slice_str(u->say_range)};
  }
  struct serving *s = arena_alloc(http_exchange_arena(x), sizeof *s);
  assert_non_null(s);
  *s = (struct serving){u, x, range.offset, range.offset + range.length};
  s->end = (uint64_t)((int64_t)s->end + u->say_more);
  http_answer_start(x, range.kind == RANGE_PART ? 206 : 200, fields, count, s->end - s->at);
  if (slice_equal(http_request_method(x), SLICE("HEAD"))) {
    u->answered++;
    http_answer_end(x);
  } else {
    serve_next(s);
  }
}

static const struct world_document *find_document(const struct upstream *u, struct slice path) {
  const char *slash = memrchr(path.ptr, '/', path.len);
  struct slice name = slice_from(path, (size_t)(slash - path.ptr) + 1);
  for (size_t i = 0; i < u->document_count; i++) {
    const struct world_document *d = &u->documents[i];
    if (slice_equal(name, slice_str(d->digest)) ||
        (d->tag != NULL && slice_equal(name, slice_str(d->tag)))) {
      return d;
    }
  }
  return NULL;
}

static void serve_document(struct upstream *u, struct http_exchange *x,
                           const struct world_document *d) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), slice_str(d->media_type)},
      {SLICE("Docker-Content-Digest"),
       slice_str(u->say_digest == NULL ? d->digest : u->say_digest)},
  };
  bool nameless = u->say_digest != NULL && u->say_digest[0] == '\0';
  struct slice bytes = d->bytes;
  bytes.len -= u->lies_of_documents ? 1 : 0;
  u->answered++;
  u->sent += slice_equal(http_request_method(x), SLICE("HEAD")) ? 0 : bytes.len;
  http_answer(x, 200, fields, nameless ? 1 : 2, bytes);
}

static void upstream_answer(struct upstream *u, struct http_exchange *x) {
  struct slice path = http_request_path(x);
  struct slice authorization = http_request_field(x, SLICE("Authorization"));
  bool get = slice_equal(http_request_method(x), SLICE("GET"));
  int status = u->basic != NULL && !slice_equal(authorization, slice_str(u->basic)) ? 401
               : u->hides != NULL && slice_ends(path, slice_str(u->hides))          ? 404
               : get && u->get_status != 0                                          ? u->get_status
                                                                                    : u->status;
  const char *redirect = u->redirect_once != NULL ? u->redirect_once : u->redirect;
  u->redirect_once = NULL;
  if (get && status == 0 && u->redirect_get != NULL) {
    redirect = u->redirect_get;
  }
  if (redirect != NULL) {
    const struct http_field to = {SLICE("Location"), arena_printf(http_exchange_arena(x), "%s%.*s",
                                                                  redirect, SLICE_ARG(path))};
    http_answer(x, 307, &to, 1, SLICE(""));
  } else if (status != 0) {
    const struct http_field field = {SLICE("WWW-Authenticate"), slice_str(u->challenge)};
    http_answer(x, status, &field, u->challenge == NULL ? 0 : 1, SLICE("an error of its own"));
  } else if (find_document(u, path) != NULL) {
    serve_document(u, x, find_document(u, path));
  } else {
    serve_blob(u, x);
  }
}

static void upstream_handle(struct http_exchange *x, void *context) {
  struct upstream *u = context;
  struct asked *asked = arena_alloc(http_exchange_arena(x), sizeof *asked);
  assert_non_null(asked);
  *asked = (struct asked){u, x};
  record(u, x);
  http_exchange_on_abandoned(x, on_abandoned, asked);
  if (u->silent) {
    u->held[u->held_count++] = x;
  } else {
    upstream_answer(u, x);
  }
}

void world_answer_held(struct upstream *u) {
  assert_true(u->held_count > 0);
  struct http_exchange *x = u->held[0];
  release_held(u, x);
  upstream_answer(u, x);
}

static void upstream_start(struct world *w, struct upstream *u) {
  struct error e = {0};
  u->routes[0] = (struct http_route){"GET", "/", upstream_handle, u};
  u->routes[1] = (struct http_route){"HEAD", "/", upstream_handle, u};
  const struct http_server_options options = {
      .routes = u->routes, .route_count = 2, .log = &w->log};
  u->server = http_server_new(&w->loop, &options);
  assert_non_null(u->server);
  if (http_listen("127.0.0.1:0", &u->places, &e) != 0 ||
      http_server_listen(u->server, &u->places.items[0], &e) != 0) {
    fail_msg("%s", e.text);
  }
  snprintf(u->url, sizeof u->url, "http://%s", u->places.items[0].name);
}

static void make_key(struct world *w, enum key_algorithm algorithm, struct key *out,
                     struct buf *pem) {
  struct error e = {0};
  char path[96];
  snprintf(path, sizeof path, "%s/key.pem", w->dir);
  if (key_generate(algorithm, pem, &e) != 0 || file_write(path, buf_view(pem), 0600, &e) != 0 ||
      key_load_private(path, out, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

void world_make_key(struct world *w, enum key_algorithm algorithm, struct key *out) {
  struct buf pem = {0};
  make_key(w, algorithm, out, &pem);
  buf_free(&pem);
}

/* All of the same key, which a row's issuer, audience, kinds and registry must be enough for. */
struct keyring_state *world_make_keys(struct world *w) {
  static const struct {
    const char *issuer, *audience, *registry;
    unsigned accept;
  } rows[] = {
      {"swarmgate", "swarmgate-tracker", NULL, TOKEN_WEBSEED | TOKEN_SWARM},
      {"auth.example", "registry", WORLD_REGISTRY, TOKEN_REGISTRY},
      {"auth.example", "second", WORLD_SECOND, TOKEN_REGISTRY},
  };
  enum { ROWS = sizeof rows / sizeof rows[0] };
  struct error e = {0};
  struct buf pem = {0};
  make_key(w, KEY_ES256, &w->key, &pem);
  struct keyring_state *state = keyring_state_new();
  assert_non_null(state);
  struct trust *trust = &state->trust;
  *trust = (struct trust){.rows = calloc(ROWS, sizeof *trust->rows), .leeway = 60};
  assert_non_null(trust->rows);
  for (size_t i = 0; i < ROWS; i++) {
    struct trust_row *row = &trust->rows[trust->count++];
    row->issuer = strdup(rows[i].issuer);
    row->audience = strdup(rows[i].audience);
    row->registry = rows[i].registry == NULL ? NULL : strdup(rows[i].registry);
    row->algorithms = KEY_ALL;
    row->accept = rows[i].accept;
    row->own = i == 0;
    if (keyset_parse(buf_view(&pem), "key.pem", &row->keys, &e) != 0) {
      fail_msg("%s", e.text);
    }
  }
  state->swarm.issuer = strdup(rows[0].issuer);
  state->swarm.audience = strdup(rows[0].audience);
  state->service.issuer = strdup("auth.example");
  state->service.audience = strdup(WORLD_SERVICE);
  if (key_parse_private(buf_view(&pem), "key.pem", &state->swarm.key, &e) != 0 ||
      key_parse_private(buf_view(&pem), "key.pem", &state->service.key, &e) != 0) {
    fail_msg("%s", e.text);
  }
  buf_free(&pem);
  return state;
}

int world_setup(void **state) {
  static char username[] = "gateway";
  static char password[] = "secret";
  struct error e = {0};
  struct world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  *state = w;
  signal(SIGPIPE, SIG_IGN);
  assert_int_equal(uv_loop_init(&w->loop), 0);
  snprintf(w->dir, sizeof w->dir, "/tmp/swarmgate-test-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  if (db_open(w->dir, &w->db, &e) != 0 || audit_open(w->dir, &w->audit, &e) != 0) {
    fail_msg("%s", e.text);
  }
  w->keyring = keyring_new(world_make_keys(w));
  assert_non_null(w->keyring);
  w->log.level = LOG_LEVEL_DEBUG;
  upstream_start(w, &w->registry);
  upstream_start(w, &w->storage);
  w->credentials = (struct image_credentials){.username = username, .password = password};
  w->registries[0] = (struct gateway_registry){
      .name = WORLD_REGISTRY,
      .upstream = {.url = w->registry.url, .credentials = &w->credentials},
  };
  w->registries[1] = (struct gateway_registry){
      .name = WORLD_SECOND,
      .upstream = {.url = w->storage.url},
  };
  w->options = (struct gateway_options){
      .url = "http://gate.example/",
      .announce_url = "http://track.example/announce",
      .registries = w->registries,
      .registry_count = 1,
      .format = TORRENT_V1,
      .keyring = w->keyring,
      .swarm_ttl = 600,
      .webseed_ttl = 3600,
      .session_ttl = 86400,
      .delegate_cache = delegate_cache_new(NULL),
      .revocations = revocations_new(),
      .db = w->db,
      .audit = w->audit,
      .log = &w->log,
  };
  w->client = http_client_new(&w->loop);
  assert_non_null(w->client);
  assert_non_null(w->options.delegate_cache);
  w->revocations = w->options.revocations;
  assert_non_null(w->revocations);
  const struct revocation_watch_options watch = {w->db, w->revocations, w->options.delegate_cache,
                                                 &w->log};
  if (revocation_watch_new(&watch, &w->watch, &e) != 0) {
    fail_msg("%s", e.text);
  }
  w->options.watch = w->watch;
  const struct feed_options feed = {w->keyring, w->revocations, w->db, &w->log};
  w->options.feed = feed_new(&feed);
  assert_non_null(w->options.feed);
  const struct readers_options readers = {.max = 1000};
  w->options.readers = readers_new(&readers);
  assert_non_null(w->options.readers);
  world_put_blob(w, SLICE("a small layer"), 0);
  return 0;
}

static void on_closed(void *arg) {
  (void)arg;
}

void world_stop(struct upstream *u) {
  if (u->server != NULL) {
    http_server_stop(u->server, 0, on_closed, NULL);
    u->server = NULL;
  }
}

void world_start_hashing(struct world *w, unsigned wait_ms) {
  const struct hashing_options options = {
      .registries = w->registries,
      .registry_count = w->options.registry_count,
      .format = w->options.format,
      .swarm_authority = w->options.swarm_authority,
      .db = w->db,
      .log = &w->log,
      .wait_ms = wait_ms == 0 ? 60000 : wait_ms,
  };
  struct error e = {0};
  w->options.hashing = hashing_new(&options, &e);
  if (w->options.hashing == NULL) {
    fail_msg("%s", e.text);
  }
}

void world_start_manifests(struct world *w) {
  const struct manifest_store_options options = {
      .registries = w->registries, .registry_count = w->options.registry_count, .log = &w->log};
  struct error e = {0};
  w->options.manifests = manifest_store_new(&options, &e);
  if (w->options.manifests == NULL) {
    fail_msg("%s", e.text);
  }
}

static int remove_entry(const char *path, const struct stat *s, int flag, struct FTW *walk) {
  (void)s;
  (void)flag;
  (void)walk;
  return remove(path);
}

int world_teardown(void **state) {
  struct world *w = *state;
  gateway_free(w->gateway);
  hashing_free(w->options.hashing);
  manifest_store_free(w->options.manifests);
  world_stop(&w->registry);
  world_stop(&w->storage);
  http_client_stop(w->client, on_closed, NULL);
  db_close(w->db);
  audit_close(w->audit);
  uv_run(&w->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&w->loop), 0);
  feed_free(w->options.feed);
  readers_free(w->options.readers);
  revocation_watch_free(w->watch);
  revocations_free(w->revocations);
  delegate_cache_free(w->options.delegate_cache);
  http_places_free(&w->registry.places);
  http_places_free(&w->storage.places);
  key_free(&w->key);
  keyring_free(w->keyring);
  nftw(w->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
  free(w);
  return 0;
}

static void hash_blob(const struct upstream *u, enum torrent_format format, struct hashes *out) {
  struct error e = {0};
  struct hasher *h = NULL;
  unsigned char chunk[CHUNK];
  const struct hasher_options options = {
      .format = format,
      .size = u->size,
      .piece_length = torrent_piece_length(u->size),
      .threads = 1,
      .digest = true,
  };
  if (hasher_new(&options, &h, &e) != 0) {
    fail_msg("%s", e.text);
  }
  for (uint64_t at = 0; at < u->size;) {
    size_t n = u->size - at < CHUNK ? (size_t)(u->size - at) : CHUNK;
    for (size_t i = 0; i < n; i++) {
      chunk[i] = u->blob.ptr == NULL ? world_byte(at + i) : (unsigned char)u->blob.ptr[at + i];
    }
    assert_int_equal(hasher_feed(h, slice_of(chunk, n), &e), 0);
    at += n;
  }
  assert_int_equal(hasher_finish(h, out, &e), 0);
}

void world_put_blob(struct world *w, struct slice blob, uint64_t size) {
  struct upstream *both[] = {&w->registry, &w->storage};
  struct hashes hashes;
  char hex[65];
  for (size_t i = 0; i < 2; i++) {
    both[i]->blob = blob;
    both[i]->size = blob.ptr == NULL ? size : blob.len;
  }
  hash_blob(&w->registry, TORRENT_V1, &hashes);
  hex_encode(hashes.sha256, sizeof hashes.sha256, hex);
  hashes_free(&hashes);
  for (size_t i = 0; i < 2; i++) {
    snprintf(both[i]->digest, sizeof both[i]->digest, "sha256:%s", hex);
  }
}

struct world_document *world_add(struct world *w, const char *media_type, const char *tag,
                                 struct slice bytes) {
  struct upstream *u = &w->registry;
  unsigned char sha256[EVP_MAX_MD_SIZE];
  char hex[65];
  assert_true(u->document_count < WORLD_DOCUMENTS_MAX);
  struct world_document *d = &u->documents[u->document_count++];
  *d = (struct world_document){.bytes = bytes, .media_type = media_type, .tag = tag};
  assert_int_equal(EVP_Digest(bytes.ptr, bytes.len, sha256, NULL, EVP_sha256(), NULL), 1);
  hex_encode(sha256, 32, hex);
  snprintf(d->digest, sizeof d->digest, "sha256:%s", hex);
  return d;
}

struct registering {
  const struct torrent_record *record;
  const char *repository;
};

static int put_record(struct db_txn *txn, void *arg, struct error *e) {
  const struct registering *r = arg;
  if (torrent_store_put(txn, r->record, e) != 0) {
    return -1;
  }
  return r->repository == NULL
             ? 0
             : torrent_store_allow(txn, r->record->infohash, SLICE(WORLD_REGISTRY),
                                   slice_str(r->repository), e);
}

void world_register(struct world *w, enum torrent_format format, const char *repository) {
  struct error e = {0};
  struct arena arena = {0};
  struct hashes hashes;
  struct metainfo m;
  char name[80];
  hash_blob(&w->registry, format, &hashes);
  snprintf(name, sizeof name, "sha256-%s", w->registry.digest + 7);
  if (metainfo_make(&hashes, slice_str(name), slice_of(NULL, 0), &arena, &m, &e) != 0) {
    fail_msg("%s", e.text);
  }
  struct torrent_record record = {
      .format = (uint8_t)format,
      .digest = slice_str(w->registry.digest),
      .size = w->registry.size,
      .info = m.info,
      .piece_layers = m.piece_layers,
  };
  memcpy(record.infohash, m.infohash, sizeof record.infohash);
  memcpy(record.infohash_v2, m.infohash_v2, sizeof record.infohash_v2);
  struct registering registering = {&record, repository};
  if (db_write_now(w->db, put_record, &registering, &e) != 0) {
    fail_msg("%s", e.text);
  }
  hashes_free(&hashes);
  arena_free(&arena);
}

void world_digest(unsigned number, char out[72]) {
  snprintf(out, 72, "sha256:%064x", number);
}

void world_register_number(struct world *w, unsigned number, const char *repository) {
  struct error e = {0};
  char digest[72];
  world_digest(number, digest);
  struct torrent_record record = {
      .format = (uint8_t)w->options.format,
      .digest = slice_str(digest),
      .size = w->registry.size,
      .info = SLICE("de"),
      .piece_layers = w->options.format == TORRENT_V1 ? SLICE("") : SLICE("de"),
  };
  memcpy(record.infohash, &number, sizeof number);
  memcpy(record.infohash_v2, &number, sizeof number);
  struct registering registering = {&record, repository};
  if (db_write_now(w->db, put_record, &registering, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

struct buf world_audit(struct world *w) {
  char path[96];
  struct error e = {0};
  struct buf bytes = {0};
  snprintf(path, sizeof path, "%s/audit/audit.jsonl", w->dir);
  if (file_read(path, 1 << 20, &bytes, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return bytes;
}

struct asking {
  const struct world *w;
  const char *digest;
  const char *repository;
  bool allowed;
};

static int ask_allowed(struct db_txn *txn, void *arg, struct error *e) {
  struct asking *a = arg;
  struct arena arena = {0};
  struct torrent_record record;
  if (torrent_store_find(txn, slice_str(a->digest), (uint8_t)a->w->options.format, &arena, &record,
                         e) == 0) {
    a->allowed = torrent_store_allowed(txn, record.infohash, SLICE(WORLD_REGISTRY),
                                       slice_str(a->repository));
  }
  arena_free(&arena);
  return 0;
}

bool world_registered_digest(struct world *w, const char *digest, const char *repository) {
  struct asking asking = {w, digest, repository, false};
  db_read(w->db, ask_allowed, &asking, NULL);
  return asking.allowed;
}

bool world_registered(struct world *w, const char *repository) {
  return world_registered_digest(w, w->registry.digest, repository);
}

static int wait_for_unblocking(struct db_txn *txn, void *arg, struct error *e) {
  (void)txn;
  (void)e;
  uv_sem_wait(arg);
  return 0;
}

static void on_unblocked(void *arg, const struct error *e) {
  assert_null(e);
  uv_sem_destroy(arg);
}

void world_block_writes(struct world *w) {
  assert_int_equal(uv_sem_init(&w->writes, 0), 0);
  assert_int_equal(db_write(w->db, &w->loop, wait_for_unblocking, &w->writes, on_unblocked, NULL),
                   0);
}

void world_unblock_writes(struct world *w) {
  uv_sem_post(&w->writes);
}

struct token world_token(const struct world *w) {
  int64_t now = clock_now();
  return (struct token){
      .kind = TOKEN_WEBSEED,
      .issuer = SLICE("swarmgate"),
      .audience = SLICE("swarmgate-tracker"),
      .subject = SLICE("registry.example/alice"),
      .id = SLICE("0123456789abcdef0123456789abcdef"),
      .issued = now,
      .expires = now + 600,
      .registry = SLICE(WORLD_REGISTRY),
      .repository = SLICE(WORLD_REPOSITORY),
      .digest = slice_str(w->registry.digest),
  };
}

struct token world_registry_token(void) {
  static const struct token_access access = {
      .repository = {WORLD_REPOSITORY, sizeof WORLD_REPOSITORY - 1}, .actions = SCOPE_PULL};
  int64_t now = clock_now();
  return (struct token){
      .kind = TOKEN_REGISTRY,
      .issuer = SLICE("auth.example"),
      .audience = SLICE("registry"),
      .subject = SLICE("alice"),
      .issued = now,
      .expires = now + 300,
      .access = &access,
      .access_count = 1,
  };
}

void world_sign(const struct key *key, const struct token *t, char *out) {
  struct error e = {0};
  struct buf text = {0};
  if (token_sign(key, t, &text, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_true(text.len <= TOKEN_MAX);
  memcpy(out, text.ptr, text.len);
  out[text.len] = '\0';
  buf_free(&text);
}

void world_webseed_token(struct world *w, char *out) {
  struct token t = world_token(w);
  world_sign(&w->key, &t, out);
}

struct http_memory *world_send(struct world *w, const char *request) {
  struct error e = {0};
  if (w->gateway == NULL) {
    w->gateway = gateway_new(&w->options, w->client, &e);
    if (w->gateway == NULL) {
      fail_msg("%s", e.text);
    }
    gateway_routes(w->gateway, w->routes);
    w->server = (struct http_server_options){.routes = w->routes,
                                             .route_count = GATEWAY_ROUTES,
                                             .large = gateway_large_bodies(w->gateway),
                                             .log = &w->log};
  }
  struct http_memory *m = http_memory_new(&w->loop, &w->server, NULL);
  assert_non_null(m);
  assert_int_equal(http_memory_feed(m, slice_str(request)), strlen(request));
  return m;
}

struct http_memory *world_read_file(struct world *w, const char *method, const char *file,
                                    const char *fields) {
  char token[TOKEN_MAX + 1];
  char request[TOKEN_MAX + 1024];
  world_webseed_token(w, token);
  snprintf(request, sizeof request, "%s /webseed/%s%s HTTP/1.1\r\nHost: g\r\n%s\r\n", method, token,
           file, fields);
  return world_send(w, request);
}

struct http_memory *world_read_blob(struct world *w, const char *method, const char *fields) {
  char file[80];
  snprintf(file, sizeof file, "/sha256-%s", w->registry.digest + 7);
  return world_read_file(w, method, file, fields);
}

struct slice reply_field(const struct reply *r, const char *name) {
  struct slice rest = r->head;
  while (rest.ptr != NULL) {
    struct slice value = slice_cut(&rest, '\n');
    if (slice_ends(value, SLICE("\r"))) {
      value.len--;
    }
    struct slice key = slice_cut(&value, ':');
    if (value.ptr != NULL && slice_equal_nocase(key, slice_str(name))) {
      return slice_trim(value);
    }
  }
  return slice_of(NULL, 0);
}

struct reply world_reply(struct http_memory *m) {
  struct slice output = http_memory_output(m);
  struct reply r = {0};
  uint64_t status = 0;
  uint64_t length = 0;
  const char *end = output.len == 0 ? NULL : memmem(output.ptr, output.len, "\r\n\r\n", 4);
  if (end == NULL) {
    return r;
  }
  r.head = slice_of(output.ptr, (size_t)(end - output.ptr) + 2);
  r.body = slice_from(output, r.head.len + 2);
  assert_true(slice_starts(r.head, SLICE("HTTP/1.1 ")));
  assert_true(slice_u64(slice_of(r.head.ptr + 9, 3), &status));
  r.status = (int)status;
  r.whole = status == 304 ||
            (slice_u64(reply_field(&r, "Content-Length"), &length) && r.body.len == length);
  return r;
}

void world_await_requests(struct world *w, const struct upstream *u, size_t count) {
  while (u->request_count < count) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
}

void world_idle(struct world *w) {
  for (unsigned i = 0; i < 200; i++) {
    uv_run(&w->loop, UV_RUN_NOWAIT);
  }
}

struct reply world_wait(struct world *w, struct http_memory *m) {
  struct reply r = world_reply(m);
  while (!r.whole && !http_memory_closed(m)) {
    uv_run(&w->loop, UV_RUN_ONCE);
    r = world_reply(m);
  }
  return r;
}

void assert_slice(struct slice s, const char *text) {
  if (!slice_equal(s, slice_str(text))) {
    fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), text);
  }
}

void assert_problem(const struct reply *r, int status, const char *code) {
  char begin[80];
  snprintf(begin, sizeof begin, "{\"errors\":[{\"code\":\"%s\",\"message\":\"", code);
  assert_int_equal(r->status, status);
  assert_slice(reply_field(r, "Content-Type"), "application/json");
  if (!slice_starts(r->body, slice_str(begin)) || !slice_ends(r->body, SLICE("\"}]}"))) {
    fail_msg("'%.*s' has not the code %s", SLICE_ARG(r->body), code);
  }
}
