/* What a right token says, after token_sign() and token_verify(). */
#include "auth/jws.h"
#include "auth/token.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <stdlib.h>

static enum token_verdict verify(struct rig *rig, struct slice text, unsigned kinds,
                                 struct token *out) {
  struct error why = {0};
  enum token_verdict verdict =
      token_verify(&rig->trust, text, kinds, RIG_NOW, &rig->arena, out, &why);
  if (verdict == TOKEN_VALID) {
    assert_int_equal(why.kind, ERROR_NONE);
  } else {
    assert_int_equal(why.kind, ERROR_DENIED);
  }
  return verdict;
}

static void assert_slice(struct slice s, const char *text) {
  assert_int_equal(s.len, strlen(text));
  assert_memory_equal(s.ptr, text, s.len);
}

static void swarm_token_round_trips(void **state) {
  struct rig *rig = *state;
  const struct slice texts[] = {SLICE(RIG_HEX_V1), SLICE(RIG_HEX_V2)};
  struct token t = rig_swarm_claims();
  t.infohash_texts = texts;
  t.infohash_count = 2;
  t.not_before = RIG_NOW - 1;
  t.registry = SLICE("registry.example");
  t.repository = SLICE("team/app");
  for (int key = RIG_ES256; key <= RIG_EDDSA; key += RIG_EDDSA - RIG_ES256) {
    struct token got;
    assert_int_equal(verify(rig, rig_sign(rig, key, &t), TOKEN_SWARM, &got), TOKEN_VALID);
    assert_int_equal(got.kind, TOKEN_SWARM);
    assert_slice(got.issuer, "swarmgate");
    assert_slice(got.audience, "tracker");
    assert_slice(got.subject, "registry.example/node");
    assert_slice(got.id, "000102030405060708090a0b0c0d0e0f");
    assert_slice(got.registry, "registry.example");
    assert_slice(got.repository, "team/app");
    assert_int_equal(got.expires, t.expires);
    assert_int_equal(got.not_before, t.not_before);
    assert_int_equal(got.issued, t.issued);
    assert_int_equal(got.session, t.session);
    assert_int_equal(got.infohash_count, 2);
    assert_slice(got.infohash_texts[0], RIG_HEX_V1);
    assert_slice(got.infohash_texts[1], RIG_HEX_V2);
    const unsigned char v1[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    assert_memory_equal(got.infohashes[0].bytes, v1, 20);
    assert_int_equal(got.infohashes[1].bytes[0], 0xa1);
    assert_int_equal(got.infohashes[1].bytes[19], 0xb4);
  }
}

static void registry_token_gives_what_it_lets_pull(void **state) {
  struct rig *rig = *state;
  const char *claims =
      "{\"iss\":\"auth.example\",\"aud\":[\"other\",\"registry.example\"],\"sub\":\"ann\","
      "\"exp\":1800000300,\"access\":["
      "{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"pull\"]},"
      "{\"type\":\"repository\",\"name\":\"b\",\"actions\":[\"push\"]},"
      "{\"type\":\"repository\",\"class\":\"image\",\"name\":\"c/"
      "d\",\"actions\":[\"push\",\"pull\"]},"
      "{\"type\":\"registry\",\"name\":\"catalog\",\"actions\":[\"*\"]},"
      "{\"type\":\"repository\",\"name\":\"e\",\"actions\":[\"*\"]},"
      "{\"type\":\"repository\",\"name\":\"f\",\"actions\":null},"
      "{\"type\":\"repository\",\"name\":\"\",\"actions\":[\"pull\"]},"
      "{\"type\":\"robot\"}]}";
  struct token got;
  /* `typ` absent, and a `kid` that a bare PEM does not look at. */
  struct slice text =
      rig_jws(rig, RIG_RS256, "{\"alg\":\"RS256\",\"kid\":\"any\"}", slice_str(claims));
  assert_int_equal(verify(rig, text, TOKEN_SWARM | TOKEN_REGISTRY, &got), TOKEN_VALID);
  assert_int_equal(got.kind, TOKEN_REGISTRY);
  assert_slice(got.audience, "registry.example");
  assert_slice(got.registry, "registry.example");
  assert_slice(got.subject, "ann");
  assert_int_equal(got.session, 0);
  assert_int_equal(got.access_count, 3);
  assert_slice(got.access[0].repository, "a");
  assert_slice(got.access[1].repository, "c/d");
  assert_slice(got.access[2].repository, "e");
}

/* A name that no registry can hold would only take memory. */
static void registry_token_gives_names_of_255_bytes(void **state) {
  struct rig *rig = *state;
  for (size_t len = 255; len <= 256; len++) {
    struct slice claims =
        arena_printf(&rig->arena,
                     "{\"iss\":\"auth.example\",\"aud\":\"registry.example\",\"exp\":1800000300,"
                     "\"access\":[{\"type\":\"repository\",\"name\":\"%0*d\","
                     "\"actions\":[\"pull\"]}]}",
                     (int)len, 0);
    struct token got;
    assert_int_equal(
        verify(rig, rig_jws(rig, RIG_RS256, "{\"alg\":\"RS256\"}", claims), TOKEN_REGISTRY, &got),
        TOKEN_VALID);
    assert_int_equal(got.access_count, len == 255 ? 1 : 0);
  }
}

static void registry_token_without_access_gives_nothing(void **state) {
  struct rig *rig = *state;
  static const char *const ends[] = {"", ",\"access\":null", ",\"access\":[]"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    struct slice claims = arena_printf(&rig->arena,
                                       "{\"iss\":\"auth.example\",\"aud\":\"registry.example\","
                                       "\"exp\":1800000300%s}",
                                       ends[i]);
    struct token got;
    assert_int_equal(verify(rig,
                            rig_jws(rig, RIG_RS256, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", claims),
                            TOKEN_REGISTRY, &got),
                     TOKEN_VALID);
    assert_int_equal(got.access_count, 0);
  }
}

/* As token_inspect() prints it. */
#define ENTRY(name, actions) "\"name\": \"" name "\",\n      \"actions\": [" actions "\n      ]"
#define PULL                 "\n        \"pull\""
#define PUSH                 "\n        \"push\""

static void our_registry_token_round_trips(void **state) {
  struct rig *rig = *state;
  const struct token_access access[] = {
      {SLICE("team/app"), SCOPE_PULL},
      {SLICE("team/push-only"), SCOPE_PUSH},
      {SLICE("team/base"), SCOPE_PULL | SCOPE_PUSH},
  };
  struct token t = {.kind = TOKEN_REGISTRY,
                    .issuer = SLICE("auth.example"),
                    .audience = SLICE("registry.example"),
                    .expires = RIG_NOW + 300,
                    .access = access,
                    .access_count = 3};
  struct slice text = rig_sign(rig, RIG_RS256, &t);
  struct token got;
  assert_int_equal(verify(rig, text, TOKEN_REGISTRY, &got), TOKEN_VALID);
  assert_int_equal(got.access_count, 2);
  assert_slice(got.access[1].repository, "team/base");
  struct slice header;
  struct slice claims;
  struct error e = {0};
  assert_int_equal(token_inspect(text, &rig->arena, &header, &claims, &e), 0);
  assert_non_null(strstr(claims.ptr, ENTRY("team/app", PULL)));
  assert_non_null(strstr(claims.ptr, ENTRY("team/push-only", PUSH)));
  assert_non_null(strstr(claims.ptr, ENTRY("team/base", PULL "," PUSH)));
  char *kid = key_libtrust_id(&rig->keys[RIG_RS256]);
  assert_non_null(strstr(header.ptr, kid));
  assert_non_null(strstr(header.ptr, "\"typ\": \"JWT\""));
  assert_non_null(strstr(claims.ptr, "\"aud\": \"registry.example\""));
  free(kid);
}

/* In a JWKS a registry token may name its key as docker-registry wants it, another kind may not. */
static void a_libtrust_kid_is_for_registry_tokens(void **state) {
  struct rig *rig = *state;
  static const struct {
    enum token_kind kind;
    const char *typ, *more;
    enum token_verdict verdict;
  } cases[] = {{TOKEN_REGISTRY, "JWT", "", TOKEN_VALID},
               {TOKEN_SWARM, "swarm+jwt", ",\"infohash\":\"" RIG_HEX_V1 "\"", TOKEN_INVALID},
               {TOKEN_WEBSEED, "webseed+jwt",
                ",\"registry\":\"r\",\"repository\":\"a\",\"digest\":\"" RIG_DIGEST "\"",
                TOKEN_INVALID}};
  char *const kids[] = {key_libtrust_id(&rig->keys[RIG_ES256]),
                        key_thumbprint(&rig->keys[RIG_ES256]),
                        key_libtrust_id(&rig->keys[RIG_STRANGER]), strdup("unknown")};
  enum { KIDS = sizeof kids / sizeof *kids };
  rig->trust.rows[0].accept |= TOKEN_REGISTRY;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (size_t k = 0; k < KIDS; k++) {
      enum token_verdict want = k == 0 ? cases[i].verdict : k == 1 ? TOKEN_VALID : TOKEN_INVALID;
      struct slice header = arena_printf(
          &rig->arena, "{\"alg\":\"ES256\",\"typ\":\"%s\",\"kid\":\"%s\"}", cases[i].typ, kids[k]);
      struct slice claims = arena_printf(
          &rig->arena, "{\"iss\":\"swarmgate\",\"aud\":\"tracker\",\"exp\":1800000300%s}",
          cases[i].more);
      struct token got;
      assert_int_equal(
          verify(rig, rig_jws(rig, RIG_ES256, header.ptr, claims), cases[i].kind, &got), want);
    }
  }
  rig->trust.rows[0].accept &= ~(unsigned)TOKEN_REGISTRY;
  for (size_t k = 0; k < KIDS; k++) {
    free(kids[k]);
  }
}

/* An issuer may be as long as a token: the operator's log gets the beginning. */
static void a_long_issuer_is_cut_in_the_reason(void **state) {
  struct rig *rig = *state;
  struct token t = rig_swarm_claims();
  t.issuer = arena_printf(&rig->arena, "%0128dX", 0);
  struct slice text = rig_sign(rig, RIG_ES256, &t);
  struct token got;
  struct error why = {0};
  assert_int_equal(token_verify(&rig->trust, text, TOKEN_SWARM, RIG_NOW, &rig->arena, &got, &why),
                   TOKEN_INVALID);
  assert_non_null(strstr(why.text, "issuer 000"));
  assert_null(strstr(why.text, "X"));
}

static void webseed_token_round_trips(void **state) {
  struct rig *rig = *state;
  struct token t = {.kind = TOKEN_WEBSEED,
                    .issuer = SLICE("swarmgate"),
                    .audience = SLICE("tracker"),
                    .expires = RIG_NOW + 300,
                    .registry = SLICE("registry.example"),
                    .repository = SLICE("team/app"),
                    .digest = SLICE(RIG_DIGEST)};
  struct token got;
  assert_int_equal(verify(rig, rig_sign(rig, RIG_ES256, &t), TOKEN_WEBSEED, &got), TOKEN_VALID);
  assert_slice(got.registry, "registry.example");
  assert_slice(got.repository, "team/app");
  assert_slice(got.digest, RIG_DIGEST);
  assert_int_equal(got.infohash_count, 0);
}

/* One second around every limit; now and leeway are the rig's. */
static void times_have_their_limits(void **state) {
  struct rig *rig = *state;
  static const struct {
    int64_t expires, not_before, issued;
    enum token_verdict verdict;
  } cases[] = {
      {RIG_NOW + 600, 0, 0, TOKEN_VALID},
      {RIG_NOW - 59, 0, 0, TOKEN_VALID},
      {RIG_NOW - 60, 0, 0, TOKEN_EXPIRED},
      {1, 0, 0, TOKEN_EXPIRED},
      {INT64_C(1) << 53, 0, 0, TOKEN_VALID},
      {RIG_NOW + 600, RIG_NOW + 60, 0, TOKEN_VALID},
      {RIG_NOW + 600, RIG_NOW + 61, 0, TOKEN_INVALID},
      {RIG_NOW + 600, 0, RIG_NOW + 60, TOKEN_VALID},
      {RIG_NOW + 600, 0, RIG_NOW + 61, TOKEN_INVALID},
      {RIG_NOW - 100, RIG_NOW + 61, 0, TOKEN_INVALID},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct token t = rig_swarm_claims();
    struct token got;
    t.expires = cases[i].expires;
    t.not_before = cases[i].not_before;
    t.issued = cases[i].issued;
    assert_int_equal(verify(rig, rig_sign(rig, RIG_ES256, &t), TOKEN_SWARM, &got),
                     cases[i].verdict);
    /* A session may go on after `exp`: the claims are there. */
    assert_int_equal(got.session, cases[i].verdict == TOKEN_INVALID ? 0 : t.session);
    assert_int_equal(got.infohash_count, cases[i].verdict == TOKEN_INVALID ? 0 : 1);
  }
}

static void numeric_dates_may_have_fractions(void **state) {
  struct rig *rig = *state;
  static const struct {
    const char *exp;
    int64_t seconds;
  } cases[] = {{"1800000600.75", 1800000600},
               {"1.8000006e9", 1800000600},
               {"9007199254740992.0", INT64_C(1) << 53}};
  const char *header = "{\"alg\":\"RS256\"}";
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct token got;
    struct slice claims = arena_printf(
        &rig->arena, "{\"iss\":\"auth.example\",\"aud\":\"registry.example\",\"exp\":%s}",
        cases[i].exp);
    assert_int_equal(verify(rig, rig_jws(rig, RIG_RS256, header, claims), TOKEN_REGISTRY, &got),
                     TOKEN_VALID);
    assert_int_equal(got.expires, cases[i].seconds);
  }
}

/* Two rows of the same issuer and audience: that of the key that verifies is taken. */
static void rows_are_tried_in_turn(void **state) {
  struct rig *rig = *state;
  char a[] = "a";
  char b[] = "b";
  char first[] = "first";
  char second[] = "second";
  struct trust_row rows[] = {
      {.issuer = a,
       .audience = b,
       .algorithms = KEY_ALL,
       .accept = TOKEN_REGISTRY,
       .keys = rig->trust.rows[2].keys,
       .registry = first},
      {.issuer = a,
       .audience = b,
       .algorithms = KEY_ALL,
       .accept = TOKEN_REGISTRY,
       .keys = rig->trust.rows[1].keys,
       .registry = second},
  };
  struct trust trust = {.rows = rows, .count = 2, .leeway = 60};
  const struct slice claims = SLICE("{\"iss\":\"a\",\"aud\":\"b\",\"exp\":1800000600}");
  static const char *const headers[] = {"{\"alg\":\"ES256\"}", "{\"alg\":\"RS256\"}"};
  for (int key = 0; key < 2; key++) {
    struct token got;
    assert_int_equal(token_verify(&trust, rig_jws(rig, key, headers[key], claims), TOKEN_REGISTRY,
                                  RIG_NOW, &rig->arena, &got, NULL),
                     TOKEN_VALID);
    assert_slice(got.registry, rows[key].registry);
  }
}

/* However many rows fit, no more than TOKEN_TRIES_MAX signatures are checked. */
static void tries_are_bounded(void **state) {
  struct rig *rig = *state;
  char a[] = "a";
  char b[] = "b";
  struct trust_row rows[TOKEN_TRIES_MAX + 1];
  for (size_t i = 0; i <= TOKEN_TRIES_MAX; i++) {
    rows[i] = (struct trust_row){.issuer = a,
                                 .audience = b,
                                 .algorithms = KEY_ALL,
                                 .accept = TOKEN_REGISTRY,
                                 .keys = rig->trust.rows[2].keys};
  }
  struct key stranger = rig->keys[RIG_STRANGER];
  rows[TOKEN_TRIES_MAX].keys = (struct keyset){.keys = &stranger, .count = 1};
  struct trust trust = {.rows = rows, .count = TOKEN_TRIES_MAX + 1};
  struct slice text = rig_jws(rig, RIG_STRANGER, "{\"alg\":\"ES256\"}",
                              SLICE("{\"iss\":\"a\",\"aud\":\"b\",\"exp\":1800000600}"));
  struct token got;
  assert_int_equal(token_verify(&trust, text, TOKEN_REGISTRY, RIG_NOW, &rig->arena, &got, NULL),
                   TOKEN_INVALID);
  trust.rows = rows + 1;
  trust.count = TOKEN_TRIES_MAX;
  assert_int_equal(token_verify(&trust, text, TOKEN_REGISTRY, RIG_NOW, &rig->arena, &got, NULL),
                   TOKEN_VALID);
}

/* Trust in the ES256 key as a bare PEM, and in the stranger's under its name. */
struct own {
  char issuer[16], audience[16];
  struct key keys[2];
  struct trust_row row;
  struct trust trust;
};

static void trust_own(struct rig *rig, struct own *own) {
  *own = (struct own){.issuer = "swarmgate",
                      .audience = "tracker",
                      .keys = {rig->keys[RIG_ES256], rig->keys[RIG_STRANGER]}};
  own->keys[0].kid = NULL;
  own->row = (struct trust_row){.issuer = own->issuer,
                                .audience = own->audience,
                                .keys = {.keys = own->keys, .count = 2},
                                .algorithms = KEY_ALL,
                                .accept = TOKEN_SWARM};
  own->trust = (struct trust){.rows = &own->row, .count = 1, .leeway = 60};
}

static enum token_verdict own_verdict(struct rig *rig, const struct own *own, struct slice text,
                                      int64_t now, const char *why) {
  struct token got;
  struct error e = {0};
  enum token_verdict verdict =
      token_verify(&own->trust, text, TOKEN_SWARM, now, &rig->arena, &got, &e);
  if (why != NULL && strstr(e.text, why) == NULL) {
    fail_msg("\"%s\" does not say \"%s\"", e.text, why);
  }
  if (verdict != TOKEN_INVALID) {
    assert_int_equal(got.key_expires, own->keys[1].expires);
  }
  return verdict;
}

/* What was issued up to the key's retirement, give or take the leeway, is good until the key's end,
 * and not a second longer. */
static void a_retired_key_verifies_what_it_has_signed(void **state) {
  struct rig *rig = *state;
  struct own own;
  trust_own(rig, &own);
  own.keys[1].retired = RIG_NOW;
  own.keys[1].expires = RIG_NOW + 500;
  static const struct {
    int64_t issued, now;
    enum token_verdict verdict;
    const char *why;
  } cases[] = {
      {RIG_NOW - 1000, RIG_NOW, TOKEN_VALID, NULL},
      {RIG_NOW, RIG_NOW + 499, TOKEN_VALID, NULL},
      {RIG_NOW, RIG_NOW + 500, TOKEN_INVALID, "retired"},
      {RIG_NOW + 60, RIG_NOW + 10, TOKEN_VALID, NULL},
      {RIG_NOW + 61, RIG_NOW + 61, TOKEN_INVALID, "retired"},
      {0, RIG_NOW, TOKEN_INVALID, "retired"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct token t = rig_swarm_claims();
    t.issued = cases[i].issued;
    t.expires = RIG_NOW + 5000;
    struct slice text = rig_sign(rig, RIG_STRANGER, &t);
    assert_int_equal(own_verdict(rig, &own, text, cases[i].now, cases[i].why), cases[i].verdict);
  }
  /* The end of a token comes before that of its key, and its session may go on. */
  struct token t = rig_swarm_claims();
  t.expires = RIG_NOW + 100;
  struct slice text = rig_sign(rig, RIG_STRANGER, &t);
  assert_int_equal(own_verdict(rig, &own, text, RIG_NOW + 200, "expired"), TOKEN_EXPIRED);
}

/* What lives on after the record of its revocation is dropped would be good again. */
static void none_is_honoured_for_longer_than_revocations(void **state) {
  struct rig *rig = *state;
  static const struct {
    int64_t issued, expires, now;
    enum token_verdict verdict;
    int64_t ends;
    const char *why;
  } cases[] = {
      {RIG_NOW, RIG_NOW + 1000, RIG_NOW + 1059, TOKEN_VALID, RIG_NOW + 1000, NULL},
      {RIG_NOW, RIG_NOW + 1000, RIG_NOW + 1060, TOKEN_EXPIRED, RIG_NOW + 1000, "60 s ago"},
      {RIG_NOW, RIG_NOW + 100000, RIG_NOW, TOKEN_VALID, RIG_NOW + 1000, NULL},
      {RIG_NOW, RIG_NOW + 100000, RIG_NOW + 1059, TOKEN_VALID, RIG_NOW + 1000, NULL},
      {RIG_NOW, RIG_NOW + 100000, RIG_NOW + 1060, TOKEN_EXPIRED, RIG_NOW + 1000,
       "its exp is later"},
      {RIG_NOW - 2000, RIG_NOW + 10, RIG_NOW, TOKEN_EXPIRED, RIG_NOW - 1000, "its exp is later"},
      {0, RIG_NOW + 100000, RIG_NOW + 50000, TOKEN_VALID, RIG_NOW + 100000, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct trust trust = rig->trust;
    struct token t = rig_swarm_claims();
    struct token got;
    struct error why = {0};
    trust.lifetime = 1000;
    t.issued = cases[i].issued;
    t.expires = cases[i].expires;
    struct slice text = rig_sign(rig, RIG_ES256, &t);
    assert_int_equal(token_verify(&trust, text, TOKEN_SWARM, cases[i].now, &rig->arena, &got, &why),
                     cases[i].verdict);
    assert_int_equal(got.expires, cases[i].ends);
    if (cases[i].why != NULL) {
      assert_non_null(strstr(why.text, cases[i].why));
    }
  }
}

/* By a name that is none of the trust's, only a key without a name is found. */
static void a_name_finds_its_key(void **state) {
  struct rig *rig = *state;
  struct own own;
  trust_own(rig, &own);
  const struct slice claims = SLICE("{\"iss\":\"swarmgate\",\"aud\":\"tracker\",\"exp\":1800000600,"
                                    "\"infohash\":\"" RIG_HEX_V1 "\"}");
  const char *names[] = {rig->keys[RIG_ES256].kid, rig->keys[RIG_STRANGER].kid, "unknown", ""};
  for (size_t i = 0; i < 4; i++) {
    struct slice header = arena_printf(
        &rig->arena, "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\",\"kid\":\"%s\"}", names[i]);
    assert_int_equal(
        own_verdict(rig, &own, rig_jws(rig, RIG_ES256, header.ptr, claims), RIG_NOW, NULL),
        TOKEN_VALID);
    assert_int_equal(own_verdict(rig, &own, rig_jws(rig, RIG_STRANGER, header.ptr, claims), RIG_NOW,
                                 i == 1 ? NULL : "does not verify"),
                     i == 1 ? TOKEN_VALID : TOKEN_INVALID);
  }
  static const int keys[] = {RIG_ES256, RIG_STRANGER};
  for (size_t i = 0; i < 2; i++) {
    struct slice text = rig_jws(rig, keys[i], "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\"}", claims);
    assert_int_equal(own_verdict(rig, &own, text, RIG_NOW, NULL), TOKEN_VALID);
  }
}

static void most_infohashes_fit(void **state) {
  struct rig *rig = *state;
  struct slice texts[TOKEN_INFOHASHES_MAX + 1];
  for (size_t i = 0; i <= TOKEN_INFOHASHES_MAX; i++) {
    texts[i] = SLICE(RIG_HEX_V1);
  }
  struct token t = rig_swarm_claims();
  struct token got;
  t.infohash_texts = texts;
  t.infohash_count = TOKEN_INFOHASHES_MAX;
  assert_int_equal(verify(rig, rig_sign(rig, RIG_ES256, &t), TOKEN_SWARM, &got), TOKEN_VALID);
  assert_int_equal(got.infohash_count, TOKEN_INFOHASHES_MAX);
}

static void refuses_to_sign(struct rig *rig, const struct token *t) {
  struct buf out = {0};
  struct error e = {0};
  assert_int_equal(token_sign(&rig->keys[RIG_ES256], t, &out, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(out.len, 0);
  buf_free(&out);
}

static void what_would_not_verify_is_not_signed(void **state) {
  struct rig *rig = *state;
  struct slice many[TOKEN_INFOHASHES_MAX + 1];
  for (size_t i = 0; i <= TOKEN_INFOHASHES_MAX; i++) {
    many[i] = SLICE(RIG_HEX_V2);
  }
  const struct slice bad[] = {SLICE("xyz")};
  const struct slice no_text[] = {SLICE(RIG_HEX_V1), SLICE("\xff")};
  struct token t = rig_swarm_claims();
  t.issuer = SLICE("");
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.audience = SLICE("");
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.expires = 0;
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.expires = -1;
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.infohash_count = 0;
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.infohash_texts = bad;
  refuses_to_sign(rig, &t);
  t.infohash_texts = no_text;
  t.infohash_count = 2;
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.subject = SLICE("\xff");
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.subject = SLICE("a\0b");
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.infohash_texts = many;
  t.infohash_count = TOKEN_INFOHASHES_MAX + 1;
  refuses_to_sign(rig, &t);
  /* 48 v2 infohashes are allowed by number, and too long. */
  t.infohash_count = TOKEN_INFOHASHES_MAX;
  refuses_to_sign(rig, &t);
  t = rig_swarm_claims();
  t.kind = TOKEN_WEBSEED;
  t.registry = t.repository = SLICE("a");
  t.digest = SLICE("sha256:abc");
  refuses_to_sign(rig, &t);
}

static void inspect_reads_without_verifying(void **state) {
  struct rig *rig = *state;
  struct slice header;
  struct slice claims;
  struct error e = {0};
  struct token t = rig_swarm_claims();
  struct slice text = rig_sign(rig, RIG_STRANGER, &t);
  assert_int_equal(token_inspect(text, &rig->arena, &header, &claims, &e), 0);
  assert_non_null(strstr(header.ptr, "\"alg\": \"ES256\""));
  assert_non_null(strstr(claims.ptr, RIG_HEX_V1));
  static const char *const bad[] = {"", "abc", "a.b.c", "e30.W10.AA", "W10.e30.AA", "e30.e30."};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(token_inspect(slice_str(bad[i]), &rig->arena, &header, &claims, &e), -1);
    assert_int_equal(e.kind, ERROR_DENIED);
  }
  char *large = arena_alloc(&rig->arena, TOKEN_REGISTRY_MAX + 1);
  memset(large, 'a', TOKEN_REGISTRY_MAX + 1);
  assert_int_equal(
      token_inspect(slice_of(large, TOKEN_REGISTRY_MAX + 1), &rig->arena, &header, &claims, &e),
      -1);
}

static void ids_are_fresh(void **state) {
  (void)state;
  char a[33];
  char b[33];
  struct error e = {0};
  assert_int_equal(token_new_id(a, &e), 0);
  assert_int_equal(token_new_id(b, &e), 0);
  assert_int_equal(strlen(a), 32);
  assert_string_not_equal(a, b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(swarm_token_round_trips),
      cmocka_unit_test(registry_token_gives_what_it_lets_pull),
      cmocka_unit_test(registry_token_gives_names_of_255_bytes),
      cmocka_unit_test(registry_token_without_access_gives_nothing),
      cmocka_unit_test(our_registry_token_round_trips),
      cmocka_unit_test(a_libtrust_kid_is_for_registry_tokens),
      cmocka_unit_test(a_long_issuer_is_cut_in_the_reason),
      cmocka_unit_test(webseed_token_round_trips),
      cmocka_unit_test(times_have_their_limits),
      cmocka_unit_test(numeric_dates_may_have_fractions),
      cmocka_unit_test(rows_are_tried_in_turn),
      cmocka_unit_test(tries_are_bounded),
      cmocka_unit_test(a_retired_key_verifies_what_it_has_signed),
      cmocka_unit_test(none_is_honoured_for_longer_than_revocations),
      cmocka_unit_test(a_name_finds_its_key),
      cmocka_unit_test(most_infohashes_fit),
      cmocka_unit_test(what_would_not_verify_is_not_signed),
      cmocka_unit_test(inspect_reads_without_verifying),
      cmocka_unit_test(ids_are_fresh),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
