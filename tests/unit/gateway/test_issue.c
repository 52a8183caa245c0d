#include "gateway/issue.h"

#include "base/hex.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define NAME   "sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

enum { NOW = 1700000000 };

struct fixture {
  struct keyring *keyring;
  struct gateway_options options;
  struct arena arena;
  struct buf file;
};

static const struct issue_grant grant = {
    .subject = {"registry.example/alice", 22},
    .registry = {"registry.example", 16},
    .repository = {"team/app", 8},
};

static int setup(void **state) {
  struct error e = {0};
  struct fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  struct buf pem = {0};
  *state = f;
  struct keyring_state *keys = keyring_state_new();
  assert_non_null(keys);
  keys->trust =
      (struct trust){.rows = calloc(1, sizeof *keys->trust.rows), .count = 1, .leeway = 60};
  assert_non_null(keys->trust.rows);
  struct trust_row *row = &keys->trust.rows[0];
  row->issuer = strdup("swarmgate");
  row->audience = strdup("swarmgate-tracker");
  row->algorithms = KEY_ALL;
  row->accept = TOKEN_SWARM | TOKEN_WEBSEED;
  keys->swarm.issuer = strdup("swarmgate");
  keys->swarm.audience = strdup("swarmgate-tracker");
  assert_int_equal(key_generate(KEY_EDDSA, &pem, &e), 0);
  assert_int_equal(key_parse_private(buf_view(&pem), "key", &keys->swarm.key, &e), 0);
  assert_int_equal(keyset_parse(buf_view(&pem), "key", &row->keys, &e), 0);
  buf_free(&pem);
  f->keyring = keyring_new(keys);
  assert_non_null(f->keyring);
  f->options = (struct gateway_options){
      .url = "https://gate.example",
      .announce_url = "https://track.example/announce",
      .keyring = f->keyring,
      .swarm_ttl = 600,
      .webseed_ttl = 3600,
      .session_ttl = 86400,
  };
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  keyring_free(f->keyring);
  arena_free(&f->arena);
  buf_free(&f->file);
  free(f);
  return 0;
}

/* A record of three bytes in that format. */
static struct torrent_record make_record(struct fixture *f, enum torrent_format format) {
  struct hasher *h = NULL;
  struct hashes hashes;
  struct metainfo m;
  struct error e = {0};
  const struct hasher_options options = {
      .format = format, .size = 4, .piece_length = TORRENT_PIECE_MIN, .threads = 1};
  assert_int_equal(hasher_new(&options, &h, &e), 0);
  assert_int_equal(hasher_feed(h, SLICE("test"), &e), 0);
  assert_int_equal(hasher_finish(h, &hashes, &e), 0);
  assert_int_equal(metainfo_make(&hashes, SLICE(NAME), slice_of(NULL, 0), &f->arena, &m, &e), 0);
  hashes_free(&hashes);
  struct torrent_record record = {
      .format = (uint8_t)format,
      .digest = SLICE(DIGEST),
      .size = 4,
      .info = m.info,
      .piece_layers = m.piece_layers,
  };
  memcpy(record.infohash, m.infohash, sizeof record.infohash);
  memcpy(record.infohash_v2, m.infohash_v2, sizeof record.infohash_v2);
  return record;
}

static struct metainfo issue(struct fixture *f, const struct torrent_record *record,
                             struct issued *issued) {
  struct metainfo m = {0};
  struct error e = {0};
  buf_free(&f->file);
  if (issue_torrent(&f->options, &grant, record, NOW, &f->arena, issued, &f->file, &e) != 0 ||
      metainfo_read(buf_view(&f->file), &f->arena, &m, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return m;
}

static struct token verify(struct fixture *f, struct slice jws, unsigned kind) {
  struct token t;
  struct error e = {0};
  if (keyring_verify(f->keyring, jws, kind, NOW, &f->arena, &t, &e) != TOKEN_VALID) {
    fail_msg("%s", e.text);
  }
  assert_true(slice_equal(t.issuer, SLICE("swarmgate")));
  assert_true(slice_equal(t.audience, SLICE("swarmgate-tracker")));
  assert_true(slice_equal(t.subject, grant.subject));
  assert_true(slice_equal(t.registry, grant.registry));
  assert_true(slice_equal(t.repository, grant.repository));
  assert_int_equal(t.issued, NOW);
  return t;
}

static struct slice announce_of(const struct metainfo *m) {
  return m->announce_count == 1 ? m->announce[0] : SLICE("");
}

static struct slice webseed_of(const struct metainfo *m) {
  return m->webseed_count == 1 ? m->webseeds[0] : SLICE("");
}

static struct slice swarm_token_of(const struct metainfo *m) {
  static const struct slice prefix = {"https://track.example/announce?jwt=", 35};
  assert_true(slice_starts(announce_of(m), prefix));
  return slice_from(announce_of(m), prefix.len);
}

static struct slice webseed_token_of(const struct metainfo *m) {
  static const struct slice prefix = {"https://gate.example/webseed/", 29};
  assert_true(slice_starts(webseed_of(m), prefix));
  assert_true(slice_ends(webseed_of(m), SLICE("/")));
  struct slice token = slice_from(webseed_of(m), prefix.len);
  token.len--;
  return token;
}

static void puts_both_tokens_into_the_torrent(void **state) {
  struct fixture *f = *state;
  struct torrent_record record = make_record(f, TORRENT_V1);
  struct issued issued = {.count = 0};
  struct metainfo m = issue(f, &record, &issued);
  assert_true(slice_equal(m.info, record.info));
  assert_true(slice_equal(m.name, SLICE(NAME)));
  assert_true(m.is_private);

  struct token swarm = verify(f, swarm_token_of(&m), TOKEN_SWARM);
  assert_int_equal(swarm.expires, NOW + 600);
  assert_int_equal(swarm.session, NOW + 86400);
  assert_true(slice_equal(swarm.id, issued.events[0].jti));

  struct token webseed = verify(f, webseed_token_of(&m), TOKEN_WEBSEED);
  assert_int_equal(webseed.expires, NOW + 3600);
  assert_int_equal(webseed.session, 0);
  assert_true(slice_equal(webseed.digest, SLICE(DIGEST)));
  assert_true(slice_equal(webseed.id, issued.events[1].jti));
  assert_int_equal(issued.count, 2);
  assert_false(slice_equal(issued.events[0].jti, issued.events[1].jti));
}

static void names_the_infohashes_of_the_format(void **state) {
  static const struct {
    enum torrent_format format;
    size_t digits[2];
    size_t count;
  } rows[] = {{TORRENT_V1, {40}, 1}, {TORRENT_V2, {64}, 1}, {TORRENT_HYBRID, {40, 64}, 2}};
  struct fixture *f = *state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct torrent_record record = make_record(f, rows[i].format);
    struct issued issued = {.count = 0};
    char hex[65];
    struct metainfo m = issue(f, &record, &issued);
    struct token t = verify(f, swarm_token_of(&m), TOKEN_SWARM);
    assert_int_equal(m.format, rows[i].format);
    assert_int_equal(t.infohash_count, rows[i].count);
    for (size_t k = 0; k < rows[i].count; k++) {
      assert_int_equal(t.infohash_texts[k].len, rows[i].digits[k]);
      if (rows[i].digits[k] == 40) {
        hex_encode(m.infohash, sizeof m.infohash, hex);
      } else {
        hex_encode(m.infohash_v2, sizeof m.infohash_v2, hex);
      }
      assert_true(slice_equal(t.infohash_texts[k], slice_str(hex)));
    }
  }
}

static void joins_urls(void **state) {
  struct fixture *f = *state;
  struct torrent_record record = make_record(f, TORRENT_V1);
  struct issued issued = {.count = 0};
  f->options.url = "https://gate.example/below/";
  f->options.announce_url = "https://track.example/announce?a=b";
  struct metainfo m = issue(f, &record, &issued);
  assert_true(slice_starts(announce_of(&m), SLICE("https://track.example/announce?a=b&jwt=ey")));
  assert_true(slice_starts(webseed_of(&m), SLICE("https://gate.example/below/webseed/ey")));
}

static void makes_fresh_tokens(void **state) {
  struct fixture *f = *state;
  struct torrent_record record = make_record(f, TORRENT_V1);
  struct issued issued = {.count = 0};
  issue(f, &record, &issued);
  issue(f, &record, &issued);
  assert_int_equal(issued.count, 4);
  for (size_t i = 0; i < issued.count; i++) {
    for (size_t k = 0; k < i; k++) {
      assert_false(slice_equal(issued.events[i].jti, issued.events[k].jti));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(puts_both_tokens_into_the_torrent, setup, teardown),
      cmocka_unit_test_setup_teardown(names_the_infohashes_of_the_format, setup, teardown),
      cmocka_unit_test_setup_teardown(joins_urls, setup, teardown),
      cmocka_unit_test_setup_teardown(makes_fresh_tokens, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
