// LINKS gateway auth db image torrent http base PkgConfig::UV
/* A request to the gateway and, behind separators, what its registry answers meanwhile. `@TOKEN@`
 * in the request stands for a webseed token of the blob; `@BEARER@` for a registry token, and has a
 * gateway answer that verifies these itself. What is answered begins as HTTP, and torrents and
 * tokens are handed out only after the registry has said 200, or to a registry token. */
#include "answers.h"
#include "base/clock.h"
#include "db/audit_file.h"
#include "db/torrent_store.h"
#include "gateway/delegate_cache.h"
#include "gateway/gateway.h"
#include "gateway/readers.h"
#include "http/memory.h"

#include <ftw.h>
#include <signal.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

static struct world {
  uv_loop_t loop;
  char url[64];
  struct key key;
  struct trust_row rows[2];
  struct delegate_cache *cache;
  struct keyring *keyring;
  struct revocations *revocations;
  struct revocation_watch *watch;
  struct feed *feed;
  struct readers *readers;
  struct log log;
  struct door {
    struct gateway_registry registry;
    struct gateway_options options;
    struct gateway *gateway;
    struct http_route routes[GATEWAY_ROUTES];
  } doors[2]; /* by enum gateway_authorise */
  struct buf token, bearer;
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

static char issuer[] = "swarmgate", audience[] = "tracker", name[] = "r.example";

/* Small, in a folder that is there as long as this runs. */
static char audit_folder[] = "/tmp/swarmgate-fuzz.XXXXXX";

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at) {
  (void)s, (void)type, (void)at;
  return remove(path);
}

static void remove_audit(void) {
  nftw(audit_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct audit *open_audit(void) {
  struct audit *audit = NULL;
  check(mkdtemp(audit_folder) != NULL && atexit(remove_audit) == 0 &&
        audit_open_sized(audit_folder, 1 << 20, 1, &audit, NULL) == 0);
  return audit;
}

static void set_up_keys(void) {
  struct buf pem = {0};
  check(key_generate(KEY_EDDSA, &pem, NULL) == 0 &&
        key_parse_private(buf_view(&pem), "key", &w.key, NULL) == 0);
  for (size_t i = 0; i < 2; i++) {
    w.rows[i] = (struct trust_row){.issuer = issuer,
                                   .audience = audience,
                                   .algorithms = KEY_ALL,
                                   .accept = i == 0 ? TOKEN_WEBSEED : TOKEN_REGISTRY,
                                   .registry = i == 0 ? NULL : name,
                                   .own = i == 0};
    check(keyset_parse(buf_view(&pem), "key", &w.rows[i].keys, NULL) == 0);
  }
  struct keyring_state *state = keyring_state_new();
  check(state != NULL && key_parse_private(buf_view(&pem), "key", &state->swarm.key, NULL) == 0);
  buf_free(&pem);
  state->trust = (struct trust){.rows = w.rows, .count = 2, .leeway = 60};
  state->swarm.issuer = issuer;
  state->swarm.audience = audience;
  w.keyring = keyring_new(state);
  check(w.keyring != NULL);
}

static void set_up_tokens(void) {
  const struct token_access access = {.repository = SLICE("team/app"), .actions = SCOPE_PULL};
  struct token claims = {.kind = TOKEN_WEBSEED,
                         .issuer = slice_str(issuer),
                         .audience = slice_str(audience),
                         .expires = clock_now() + 86400,
                         .registry = SLICE("r.example"),
                         .repository = SLICE("team/app"),
                         .digest = SLICE(DIGEST)};
  check(token_sign(&w.key, &claims, &w.token, NULL) == 0);
  claims.kind = TOKEN_REGISTRY;
  claims.access = &access;
  claims.access_count = 1;
  check(token_sign(&w.key, &claims, &w.bearer, NULL) == 0);
}

static void open_door(struct door *door, struct http_client *client, struct db *db,
                      struct audit *audit) {
  door->registry = (struct gateway_registry){
      .name = name,
      .authorise = door == &w.doors[GATEWAY_TOKEN] ? GATEWAY_TOKEN : GATEWAY_DELEGATE,
      .upstream = {.url = w.url}};
  door->options = (struct gateway_options){.url = "http://gate.example/",
                                           .announce_url = "http://track.example/announce",
                                           .registries = &door->registry,
                                           .registry_count = 1,
                                           .format = TORRENT_V1,
                                           .keyring = w.keyring,
                                           .swarm_ttl = 600,
                                           .webseed_ttl = 3600,
                                           .session_ttl = 86400,
                                           .delegate_cache = w.cache,
                                           .revocations = w.revocations,
                                           .watch = w.watch,
                                           .feed = w.feed,
                                           .readers = w.readers,
                                           .db = db,
                                           .audit = audit,
                                           .log = &w.log};
  door->gateway = gateway_new(&door->options, client, NULL);
  check(door->gateway != NULL);
  gateway_routes(door->gateway, door->routes);
}

static void set_up(void) {
  check(uv_loop_init(&w.loop) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  answers_listen(&w.loop, w.url);
  set_up_keys();
  set_up_tokens();
  w.cache = delegate_cache_new(NULL);
  w.readers = readers_new(&(struct readers_options){.max = 16});
  w.revocations = revocations_new();
  struct http_client *client = http_client_new(&w.loop);
  struct db *db = open_nameless();
  const struct revocation_watch_options watch = {db, w.revocations, w.cache, &w.log};
  struct audit *audit = open_audit();
  const struct feed_options feed = {w.keyring, w.revocations, db, &w.log};
  w.feed = feed_new(&feed);
  check(w.feed != NULL && w.cache != NULL && client != NULL && w.revocations != NULL &&
        revocation_watch_new(&watch, &w.watch, NULL) == 0);
  for (size_t i = 0; i < 2; i++) {
    open_door(&w.doors[i], client, db, audit);
  }
}

static bool holds(struct slice bytes, struct slice what) {
  return bytes.len > 0 && memmem(bytes.ptr, bytes.len, what.ptr, what.len) != NULL;
}

/* Appends the request with the first mark, if there is one, replaced. */
static void put(struct buf *out, struct slice request, struct slice mark, struct slice token) {
  const char *at = request.len == 0 ? NULL : memmem(request.ptr, request.len, mark.ptr, mark.len);
  if (at != NULL) {
    size_t before = (size_t)(at - request.ptr);
    buf_append(out, request.ptr, before);
    buf_slice(out, token);
    request = slice_from(request, before + mark.len);
  }
  if (request.len > 0) {
    buf_slice(out, request);
  }
}

static void feed(struct http_memory *m, struct slice request) {
  struct buf half = {0}, whole = {0};
  put(&half, request, SLICE("@TOKEN@"), buf_view(&w.token));
  put(&whole, buf_view(&half), SLICE("@BEARER@"), buf_view(&w.bearer));
  if (whole.len > 0) {
    http_memory_feed(m, buf_view(&whole));
  }
  buf_free(&half);
  buf_free(&whole);
  http_memory_feed_end(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (w.cache == NULL) {
    set_up();
  }
  delegate_cache_flush(w.cache); /* what others were told is not this one's */
  answers = slice_of(data, size);
  struct slice input = answers;
  struct slice request = answers_next();
  bool bearer = holds(request, SLICE("@BEARER@"));
  bool yes = bearer || holds(answers, SLICE(" 200"));
  /* What was said may be told back. */
  bool told = holds(input, SLICE("bittorrent")) || holds(input, SLICE("webseeds"));
  const struct http_server_options options = {
      .routes = w.doors[bearer ? GATEWAY_TOKEN : GATEWAY_DELEGATE].routes,
      .route_count = GATEWAY_ROUTES,
      .log = &w.log};
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
