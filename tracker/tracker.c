#include "tracker/tracker.h"
#include "tracker/siphash.h"

#include "base/address.h"
#include "base/clock.h"
#include "db/torrent_store.h"

#include <netinet/in.h>
#include <stdlib.h>

/* A peer is silent after two and a half intervals: with the longest jitter that is two announces
 * missed, and some time for them to get through. */
enum { SILENCE_NUMERATOR = 5, SILENCE_DENOMINATOR = 2, JITTER_PART = 10 };

struct tracker {
  struct tracker_options options;
  struct token_cache *tokens;
  struct swarm_store *swarms;
};

static int check_options(const struct tracker_options *o, struct error *e) {
  if (o->interval == 0 || o->interval > INT32_MAX / SILENCE_NUMERATOR) {
    return error_set(e, ERROR_USAGE, "interval: %u s is out of range", o->interval);
  }
  if (o->min_interval > o->interval) {
    return error_set(e, ERROR_USAGE, "min_interval: %u s is more than the interval of %u s",
                     o->min_interval, o->interval);
  }
  if (o->numwant_max > SWARM_WANT_MAX || o->numwant_default > o->numwant_max) {
    return error_set(e, ERROR_USAGE,
                     "numwant: default %u and max %u, but default must not exceed max, nor max %d",
                     o->numwant_default, o->numwant_max, SWARM_WANT_MAX);
  }
  return 0;
}

int tracker_new(const struct tracker_options *options, struct tracker **out, struct error *e) {
  if (check_options(options, e) != 0) {
    return -1;
  }
  struct tracker *t = calloc(1, sizeof *t);
  if (t != NULL) {
    t->options = *options;
    t->tokens = token_cache_new(options->keyring, options->revocations, options->max_tokens);
    t->swarms = swarm_store_new(options->max_peers,
                                (options->interval * SILENCE_NUMERATOR + 1) / SILENCE_DENOMINATOR);
  }
  if (t == NULL || t->tokens == NULL || t->swarms == NULL) {
    tracker_free(t);
    return error_set(e, ERROR_FAILED, "tracker: no memory, or no randomness");
  }
  *out = t;
  return 0;
}

void tracker_free(struct tracker *t) {
  if (t != NULL) {
    token_cache_free(t->tokens);
    swarm_store_free(t->swarms);
    free(t);
  }
}

/* --- who asks --- */

static struct swarm_endpoint endpoint_of(const struct sockaddr *peer, uint16_t port) {
  struct swarm_endpoint at = {.address_len = 4, .port = port};
  if (peer->sa_family == AF_INET) {
    memcpy(at.address, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    return at;
  }
  const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(v6)) {
    memcpy(at.address, v6->s6_addr + 12, 4);
  } else {
    at.address_len = 16;
    memcpy(at.address, v6, 16);
  }
  return at;
}

/* `Bearer`, in any case, blanks, and the token (RFC 6750, 2.1); empty for another scheme. */
static struct slice bearer_of(struct slice authorization) {
  struct slice rest = authorization;
  struct slice scheme = slice_cut(&rest, ' ');
  if (rest.ptr == NULL || !slice_equal_nocase(scheme, SLICE("Bearer"))) {
    return slice_of(NULL, 0);
  }
  return slice_trim(rest);
}

/* Whether a registry token covers an infohash is asked of the database, on the loop: a short read
 * of memory that is mapped. */
struct registration {
  struct slice registry, repository;
  const unsigned char *infohash;
  bool found;
};

static int read_registration(struct db_txn *txn, void *arg, struct error *e) {
  (void)e;
  struct registration *r = arg;
  r->found = torrent_store_allowed(txn, r->infohash, r->registry, r->repository);
  return 0;
}

static bool registered(void *arg, struct slice registry, struct slice repository,
                       const unsigned char infohash[INFOHASH]) {
  struct registration r = {registry, repository, infohash, false};
  return arg != NULL && db_read(arg, read_registration, &r, NULL) == 0 && r.found;
}

/* A token that is good, or was until a session took over. */
struct standing {
  bool expired; /* only a session that is proved lets it go on */
  struct token_grant grant;
  struct session session;
};

/* Its bearer is told no more than that it is invalid; the operator who asks for it is told why. */
static enum token_verdict verify(struct tracker *t, const struct tracker_request *r,
                                 struct slice jws, const struct token_question *question,
                                 struct token_grant *grant, bool *covers) {
  const struct log *log = t->options.log;
  if (log == NULL || log->level < LOG_LEVEL_DEBUG) {
    return token_cache_check(t->tokens, jws, question, grant, covers, NULL);
  }
  struct error why = {0};
  enum token_verdict verdict = token_cache_check(t->tokens, jws, question, grant, covers, &why);
  if (verdict == TOKEN_INVALID) {
    char peer[ADDRESS_TEXT_MAX];
    address_print(r->peer, peer);
    log_write(log, LOG_LEVEL_DEBUG, "a token from %s is invalid: %s", peer, why.text);
  }
  return verdict;
}

/* A session goes on for as long as nobody has ended it: while that cannot be told it does not. */
static bool is_session_open(const struct tracker *t, const struct session *session, int64_t now) {
  const struct revocations *revocations = t->options.revocations;
  return now < session->end && (revocations == NULL || revocations_fresh(revocations, now));
}

/* Finds the token and verifies it. \return why not, or NULL: the standing is filled in, and covers
 * for each of the infohashes. */
static const char *check_token(struct tracker *t, const struct tracker_request *r,
                               const struct swarm_endpoint *from, struct slice jwt,
                               const unsigned char *infohashes, size_t count, struct standing *out,
                               bool *covers) {
  struct slice bearer = bearer_of(r->authorization);
  struct slice jws = jwt.len > 0 ? jwt : bearer;
  if (jws.len == 0) {
    return "token required";
  }
  if (r->authorization_count > 1 || (bearer.len > 0 && !slice_equal(jws, bearer))) {
    return "token invalid";
  }
  struct token_question question = {t->options.kinds, r->now,       infohashes, count,
                                    registered,       t->options.db};
  switch (verify(t, r, jws, &question, &out->grant, covers)) {
  case TOKEN_VALID:
    out->expired = false;
    break;
  case TOKEN_EXPIRED:
    out->expired = true;
    break;
  case TOKEN_REVOKED:
    return "token revoked";
  case TOKEN_INVALID:
    return "token invalid";
  }
  out->session = (struct session){t->options.session_key, &out->grant,
                                  session_end(&out->grant, t->options.session_max), from};
  return out->expired && !is_session_open(t, &out->session, r->now) ? "token expired" : NULL;
}

/* --- announce --- */

/* The interval, up to a tenth more or less, so that peers that came together do not come back
 * together. */
static uint32_t jittered(const struct tracker *t, const struct swarm_endpoint *from,
                         uint32_t tick) {
  unsigned char seed[sizeof from->address + sizeof from->port + sizeof tick];
  memcpy(seed, from->address, sizeof from->address);
  memcpy(seed + sizeof from->address, &from->port, sizeof from->port);
  memcpy(seed + sizeof from->address + sizeof from->port, &tick, sizeof tick);
  uint32_t part = t->options.interval / JITTER_PART;
  uint32_t interval =
      t->options.interval - part +
      (uint32_t)(siphash(t->options.session_key, seed, sizeof seed) % (2 * (uint64_t)part + 1));
  return interval < t->options.min_interval ? t->options.min_interval : interval;
}

static unsigned peers_wanted(const struct tracker_options *o, uint32_t numwant) {
  if (numwant == ANNOUNCE_NUMWANT_DEFAULT) {
    return o->numwant_default;
  }
  return numwant < o->numwant_max ? numwant : o->numwant_max;
}

/* Makes the id that is given out: at first, and when the one that came is good but for the address
 * that now announces. Only a token that is not expired gives it. */
static struct slice tracker_id(const struct standing *standing, struct slice sent, bool first,
                               char out[SESSION_ID_SPACE]) {
  if (standing->expired || (!first && !session_lacks_address(&standing->session, sent))) {
    return slice_of(NULL, 0);
  }
  return slice_of(out, session_extend(&standing->session, sent, out));
}

void tracker_announce(struct tracker *t, const struct tracker_request *r,
                      struct bencode_writer *w) {
  struct announce a;
  struct parameter_fault fault = announce_parse(r->query, &a);
  struct swarm_endpoint from = endpoint_of(r->peer, a.port);
  struct standing standing;
  bool covered = false;
  const char *refusal =
      check_token(t, r, &from, a.bearer.jwt, a.info_hash, fault.name == NULL, &standing, &covered);
  if (refusal != NULL) {
    answer_failure(w, refusal);
    return;
  }
  if (fault.name != NULL) {
    answer_fault(w, fault);
    return;
  }
  if (!covered) {
    answer_failure(w,
                   standing.grant.withheld ? "token revoked" : "not authorised for this torrent");
    return;
  }
  struct swarm_announce said = {
      .infohash = a.info_hash,
      .peer_id = a.peer_id,
      .token = standing.grant.fingerprint,
      .at = from,
      .event = a.event,
      /* Some clients go on sending a made-up `left` as they complete. */
      .seed = a.left == 0 || a.event == SWARM_COMPLETED,
      .must_be_known = standing.expired && !session_proved(&standing.session, a.bearer.trackerid),
      .want = peers_wanted(&t->options, a.numwant)};
  struct swarm_answer swarm;
  switch (swarm_store_announce(t->swarms, &said, r->tick, &swarm)) {
  case SWARM_ANNOUNCED:
    break;
  case SWARM_UNKNOWN:
    answer_failure(w, "token expired");
    return;
  case SWARM_FULL:
    answer_full(w, (t->options.interval + 59) / 60);
    return;
  }
  char id[SESSION_ID_SPACE];
  answer_announce(w, &(struct answer_announce){
                         .swarm = &swarm,
                         .from = &from,
                         .interval = jittered(t, &from, r->tick),
                         .min_interval = t->options.min_interval,
                         .compact = a.compact,
                         .no_peer_id = a.no_peer_id,
                         .tracker_id = tracker_id(&standing, a.bearer.trackerid, swarm.first, id)});
}

/* --- scrape --- */

/* A scrape names no peer: any of the address's in the swarms it asks for proves the session. Those
 * outside the token cannot, and are not searched. */
static bool session_known(struct tracker *t, const struct tracker_request *r,
                          const struct scrape *s, const bool *covered,
                          const struct standing *standing) {
  if (session_proved(&standing->session, s->bearer.trackerid)) {
    return true;
  }
  for (size_t i = 0; i < s->count; i++) {
    if (covered[i] && swarm_store_knows(t->swarms, s->info_hash[i], standing->session.from,
                                        standing->grant.fingerprint, r->tick)) {
      return true;
    }
  }
  return false;
}

void tracker_scrape(struct tracker *t, const struct tracker_request *r, struct bencode_writer *w) {
  struct scrape s;
  struct parameter_fault fault = scrape_parse(r->query, &s);
  struct swarm_endpoint from = endpoint_of(r->peer, 0);
  struct standing standing;
  bool covered[SCRAPE_MAX];
  const char *refusal = check_token(t, r, &from, s.bearer.jwt, s.info_hash[0],
                                    fault.name == NULL ? s.count : 0, &standing, covered);
  if (refusal != NULL) {
    answer_failure(w, refusal);
    return;
  }
  if (fault.name != NULL) {
    answer_fault(w, fault);
    return;
  }
  if (standing.expired && !session_known(t, r, &s, covered, &standing)) {
    answer_failure(w, "token expired");
    return;
  }
  struct swarm_counts counts[SCRAPE_MAX];
  for (size_t i = 0; i < s.count; i++) {
    if (covered[i]) {
      counts[i] = swarm_store_scrape(t->swarms, s.info_hash[i]);
    }
  }
  answer_scrape(w, &s, covered, counts);
}

/* --- on the loops --- */

static uint32_t tick_now(void) {
  return (uint32_t)(clock_monotonic_ms() / 1000);
}

static void handle(struct http_exchange *x, struct tracker *t,
                   void (*answer)(struct tracker *, const struct tracker_request *,
                                  struct bencode_writer *)) {
  struct tracker_request r = {.query = http_request_query(x),
                              .authorization = http_request_field(x, SLICE("Authorization")),
                              .authorization_count =
                                  http_request_field_count(x, SLICE("Authorization")),
                              .peer = http_request_peer(x),
                              .now = clock_now(),
                              .tick = tick_now()};
  char bytes[ANSWER_MAX];
  struct bencode_writer w = bencode_writer(bytes, sizeof bytes);
  answer(t, &r, &w);
  const struct http_field type = {SLICE("Content-Type"), SLICE("text/plain")};
  http_answer(x, 200, &type, 1, slice_of(bytes, w.len));
}

void tracker_announce_handle(struct http_exchange *x, void *context) {
  if (http_request_peer(x)->sa_family == AF_UNSPEC) {
    http_answer(x, 400, NULL, 0,
                SLICE("no address for the peers' list: the proxy has to say whom it speaks for, by "
                      "X-Forwarded-For or an address in its PROXY header\n"));
    return;
  }
  handle(x, context, tracker_announce);
}

void tracker_scrape_handle(struct http_exchange *x, void *context) {
  handle(x, context, tracker_scrape);
}

void tracker_expire(struct tracker *t) {
  tracker_expire_at(t, tick_now());
}

void tracker_expire_at(struct tracker *t, uint32_t tick) {
  swarm_store_expire(t->swarms, tick);
}

static bool is_upheld(void *arg, const unsigned char *infohash, const unsigned char *token) {
  return token_cache_upholds(arg, token, infohash);
}

void tracker_drop_revoked(struct tracker *t) {
  swarm_store_drop(t->swarms, is_upheld, t->tokens);
}

size_t tracker_peers(const struct tracker *t) {
  return swarm_store_peers(t->swarms);
}

size_t tracker_swarms(const struct tracker *t) {
  return swarm_store_swarms(t->swarms);
}

size_t tracker_tokens(const struct tracker *t) {
  return token_cache_count(t->tokens);
}
