// LINKS gateway auth db image torrent http base PkgConfig::UV
/* A request to the gateway and, behind separators, what its registry answers meanwhile. `@TOKEN@`
 * in the request stands for a webseed token of the blob. What is answered begins as HTTP, and
 * torrents and tokens are handed out only after the registry has said 200. */
#include "answers.h"
#include "base/clock.h"
#include "db/torrent_store.h"
#include "gateway/delegate_cache.h"
#include "gateway/gateway.h"
#include "http/memory.h"

#include <signal.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

static struct world {
  uv_loop_t loop;
  char url[64];
  struct key key;
  struct trust_row row;
  struct trust trust;
  struct gateway_registry registry;
  struct log log;
  struct gateway_options options;
  struct gateway *gateway;
  struct http_route routes[GATEWAY_ROUTES];
  struct buf token;
} w;

static int put_torrent(struct db_txn *txn, void *arg, struct error *e) {
  struct torrent_record record = {.format = TORRENT_V1,
                                  .infohash = "20 bytes of infohash",
                                  .digest = SLICE(DIGEST),
                                  .size = 2,
                                  .info = SLICE("d6:lengthi2ee")};
  (void)arg;
  return torrent_store_put(txn, &record, e);
}

/* What is open stays when its files are gone. */
static struct db *open_nameless(void) {
  char folder[] = "/tmp/swarmgate-fuzz.XXXXXX", path[64];
  struct db *db = NULL;
  check(mkdtemp(folder) != NULL && db_open(folder, &db, NULL) == 0);
  static const char *const names[] = {"/db/data.mdb", "/db/lock.mdb", "/db", ""};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s%s", folder, names[i]);
    remove(path);
  }
  check(db_write_now(db, put_torrent, NULL, NULL) == 0);
  return db;
}

static void set_up(void) {
  static char issuer[] = "swarmgate", audience[] = "tracker";
  struct buf pem = {0};
  check(uv_loop_init(&w.loop) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  answers_listen(&w.loop, w.url);
  check(key_generate(KEY_EDDSA, &pem, NULL) == 0 &&
        key_parse_private(buf_view(&pem), "key", &w.key, NULL) == 0);
  w.row = (struct trust_row){
      .issuer = issuer, .audience = audience, .algorithms = KEY_ALL, .accept = TOKEN_WEBSEED};
  check(keyset_parse(buf_view(&pem), "key", &w.row.keys, NULL) == 0);
  buf_free(&pem);
  w.trust = (struct trust){&w.row, 1, 60};
  w.registry = (struct gateway_registry){"r.example", {.url = w.url}};
  w.options = (struct gateway_options){.url = "http://gate.example/",
                                       .announce_url = "http://track.example/announce",
                                       .registries = &w.registry,
                                       .registry_count = 1,
                                       .format = TORRENT_V1,
                                       .signing_key = &w.key,
                                       .issuer = issuer,
                                       .audience = audience,
                                       .swarm_ttl = 600,
                                       .webseed_ttl = 3600,
                                       .session_ttl = 86400,
                                       .trust = &w.trust,
                                       .delegate_cache = delegate_cache_new(NULL),
                                       .db = open_nameless(),
                                       .log = &w.log};
  check(w.options.delegate_cache != NULL);
  w.gateway = gateway_new(&w.options, http_client_new(&w.loop), NULL);
  check(w.gateway != NULL);
  gateway_routes(w.gateway, w.routes);
  const struct token claims = {.kind = TOKEN_WEBSEED,
                               .issuer = slice_str(issuer),
                               .audience = slice_str(audience),
                               .expires = clock_now() + 86400,
                               .registry = SLICE("r.example"),
                               .repository = SLICE("team/app"),
                               .digest = SLICE(DIGEST)};
  check(token_sign(&w.key, &claims, &w.token, NULL) == 0);
}

static bool holds(struct slice bytes, struct slice what) {
  return bytes.len > 0 && memmem(bytes.ptr, bytes.len, what.ptr, what.len) != NULL;
}

static void feed(struct http_memory *m, struct slice request) {
  static const struct slice mark = {"@TOKEN@", 7};
  const char *at = request.len == 0 ? NULL : memmem(request.ptr, request.len, mark.ptr, mark.len);
  struct buf bytes = {0};
  if (at != NULL) {
    size_t before = (size_t)(at - request.ptr);
    buf_append(&bytes, request.ptr, before);
    buf_slice(&bytes, buf_view(&w.token));
    request = slice_from(request, before + mark.len);
  }
  if (request.len > 0) {
    buf_slice(&bytes, request);
  }
  if (bytes.len > 0) {
    http_memory_feed(m, buf_view(&bytes));
  }
  buf_free(&bytes);
  http_memory_feed_end(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (w.gateway == NULL) {
    set_up();
  }
  delegate_cache_flush(w.options.delegate_cache); /* what others were told is not this one's */
  answers = slice_of(data, size);
  struct slice request = answers_next();
  struct slice input = slice_of(data, size);
  bool yes = holds(answers, SLICE(" 200"));
  /* What was said may be told back. */
  bool told = holds(input, SLICE("bittorrent")) || holds(input, SLICE("webseeds"));
  const struct http_server_options options = {
      .routes = w.routes, .route_count = GATEWAY_ROUTES, .log = &w.log};
  struct http_memory *m = http_memory_new(&w.loop, &options, NULL);
  check(m != NULL);
  feed(m, request);
  while (!http_memory_closed(m) && !http_memory_released(m)) {
    uv_run(&w.loop, UV_RUN_ONCE);
  }
  struct slice output = http_memory_output(m);
  check(output.len == 0 || slice_starts(output, SLICE("HTTP/1.1 ")));
  check(yes || told ||
        (!holds(output, SLICE("application/x-bittorrent")) && !holds(output, SLICE("webseeds"))));
  http_memory_free(m);
  return 0;
}
