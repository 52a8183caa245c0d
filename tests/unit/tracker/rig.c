#include "rig.h"

#include "bencode/reader.h"
#include "unit/cmocka_all.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct token rig_claims(void) {
  static const struct slice hashes[] = {{RIG_HEX, 40}};
  return (struct token){.kind = TOKEN_SWARM,
                        .issuer = SLICE("issuer"),
                        .audience = SLICE("tracker"),
                        .subject = SLICE("somebody"),
                        .issued = RIG_NOW - 10,
                        .expires = RIG_NOW + 600,
                        .session = RIG_NOW + 86400 - 10,
                        .infohash_texts = hashes,
                        .infohash_count = 1};
}

const char *rig_sign(struct rig *rig, const struct token *claims) {
  struct buf out = {0};
  assert_int_equal(token_sign(&rig->key, claims, &out, NULL), 0);
  const char *text = arena_copy(&rig->arena, buf_view(&out));
  buf_free(&out);
  return text;
}

struct rig *rig_new(void (*change)(struct tracker_options *o)) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  struct buf pem = {0};
  assert_int_equal(key_generate(KEY_EDDSA, &pem, NULL), 0);
  assert_int_equal(key_parse_private(buf_view(&pem), "key", &rig->key, NULL), 0);
  struct keyring_state *state = keyring_state_new();
  assert_non_null(state);
  state->trust =
      (struct trust){.rows = calloc(1, sizeof(struct trust_row)), .count = 1, .leeway = 60};
  rig->keyring = keyring_new(state);
  assert_non_null(rig->keyring);
  struct trust_row *row = state->trust.rows;
  row->issuer = strdup("issuer");
  row->audience = strdup("tracker");
  row->registry = strdup("registry.example");
  row->algorithms = KEY_EDDSA;
  row->accept = TOKEN_SWARM | TOKEN_REGISTRY;
  assert_int_equal(keyset_parse(buf_view(&pem), "key", &row->keys, NULL), 0);
  buf_free(&pem);
  rig->options = (struct tracker_options){.interval = RIG_INTERVAL,
                                          .min_interval = 30,
                                          .numwant_default = 50,
                                          .numwant_max = 200,
                                          .session_max = 86400,
                                          .session_key = "a key of thirty-two bytes, just.",
                                          .max_peers = 1000,
                                          .keyring = rig->keyring,
                                          .max_tokens = 1000,
                                          .kinds = TOKEN_SWARM | TOKEN_REGISTRY};
  if (change != NULL) {
    change(&rig->options);
  }
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  struct token claims = rig_claims();
  rig->token = rig_sign(rig, &claims);
  rig->now = RIG_NOW;
  rig->tick = RIG_TICK;
  rig_from(rig, "10.0.0.1");
  return rig;
}

void rig_free(struct rig *rig) {
  tracker_free(rig->tracker);
  keyring_free(rig->keyring);
  key_free(&rig->key);
  arena_free(&rig->arena);
  free(rig);
}

void rig_from(struct rig *rig, const char *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)&rig->from;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&rig->from;
  if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
  } else {
    assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
  }
}

typedef void answer_fn(struct tracker *, const struct tracker_request *, struct bencode_writer *);

static void put(struct rig *rig, answer_fn *answer, const char *query) {
  struct tracker_request r = {.query = slice_str(query),
                              .authorization = slice_str(rig->authorization),
                              .authorization_count = rig->authorization != NULL,
                              .peer = (struct sockaddr *)&rig->from,
                              .now = rig->now,
                              .tick = rig->tick};
  struct bencode_writer w = bencode_writer(rig->bytes, sizeof rig->bytes);
  answer(rig->tracker, &r, &w);
  assert_false(w.full);
  rig->answer = slice_of(rig->bytes, w.len);
  struct bencode_reader reader = bencode_reader(rig->answer);
  enum bencode_type type;
  do {
    type = bencode_next(&reader).type;
    assert_int_not_equal(type, BENCODE_ERROR);
  } while (type != BENCODE_DONE);
}

void rig_announce(struct rig *rig, const char *query) {
  put(rig, tracker_announce, query);
}

void rig_scrape(struct rig *rig, const char *query) {
  put(rig, tracker_scrape, query);
}

void rig_announce_with(struct rig *rig, const char *token, const char *query, ...) {
  char text[4096];
  va_list args;
  va_start(args, query);
  vsnprintf(text, sizeof text, query, args);
  va_end(args);
  rig_announce(rig, arena_printf(&rig->arena, "jwt=%s&%s", token, text).ptr);
}

void rig_scrape_with(struct rig *rig, const char *token, const char *more) {
  rig_scrape(rig, arena_printf(&rig->arena, "jwt=%s%s", token, more).ptr);
}

struct slice rig_get(struct slice dict, const char *key) {
  struct bencode_reader r = bencode_reader(dict);
  assert_int_equal(bencode_next(&r).type, BENCODE_DICT);
  for (;;) {
    struct bencode_token t = bencode_next(&r);
    if (t.type != BENCODE_STRING) {
      assert_int_equal(t.type, BENCODE_END);
      return slice_of(NULL, 0);
    }
    struct slice raw;
    assert_true(bencode_skip(&r, &raw));
    if (slice_equal(t.string, slice_str(key))) {
      struct bencode_reader value = bencode_reader(raw);
      struct bencode_token v = bencode_next(&value);
      return v.type == BENCODE_STRING ? v.string : raw;
    }
  }
}

int64_t rig_number(const struct rig *rig, const char *key) {
  struct slice raw = rig_get(rig->answer, key);
  assert_non_null(raw.ptr);
  struct bencode_reader r = bencode_reader(raw);
  struct bencode_token t = bencode_next(&r);
  assert_int_equal(t.type, BENCODE_INTEGER);
  return t.integer;
}

void rig_assert_failure(const struct rig *rig, const char *reason) {
  struct slice text = rig_get(rig->answer, "failure reason");
  if (!slice_equal(text, slice_str(reason))) {
    fail_msg("expected `%s`, got %.*s", reason, SLICE_ARG(rig->answer));
  }
  assert_null(rig_get(rig->answer, "peers").ptr);
  assert_null(rig_get(rig->answer, "files").ptr);
  assert_null(rig_get(rig->answer, "complete").ptr);
}

void rig_assert_welcome(const struct rig *rig) {
  if (rig_get(rig->answer, "failure reason").ptr != NULL) {
    fail_msg("refused: %.*s", SLICE_ARG(rig->answer));
  }
}
