#include "auth/revocation_feed.h"
#include "auth/strict_json.h"
#include "auth/token_cache.h"
#include "support/heap.h"
#include "unit/auth/mangle.h"
#include "unit/cmocka_all.h"

#include <stdlib.h>

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

#define ISS             "\"iss\":\"swarmgate\""
#define AUD             ",\"aud\":\"tracker\""
#define DATES           ",\"iat\":1800000000,\"exp\":1800000300"
#define LISTS(lists)    "{" ISS AUD DATES ",\"revocations\":" lists "}"
#define ENTRY(members)  LISTS("{\"jti\":[" members "]}")
#define GOOD            "{\"sha256\":\"" A64 "\",\"at\":1}"
#define DATED(dates)    "{" ISS AUD dates ",\"revocations\":{\"jti\":[" GOOD "]}}"
#define HEADER(typ)     "{\"alg\":\"ES256\",\"typ\":\"" typ "\",\"kid\":\"$0\"}"
#define FEED_HEADER     HEADER("revocations+jwt")
#define WITH_ALG(value) "{\"alg\":\"" value "\",\"typ\":\"revocations+jwt\",\"kid\":\"$0\"}"
#define MORE(member)    "{\"alg\":\"ES256\",\"typ\":\"revocations+jwt\",\"kid\":\"$0\"," member "}"

enum { ALL_KINDS = TOKEN_SWARM | TOKEN_REGISTRY | TOKEN_WEBSEED };

/* What a row leaves out is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static struct slice write_feed(struct rig *rig, int key, const struct revocation_list *list) {
  struct buf out = {0};
  struct error e = {0};
  if (revocation_feed_write(&rig->keys[key], "swarmgate", "tracker", list, RIG_NOW, &out, &e) !=
      0) {
    fail_msg("%s", e.text);
  }
  struct slice copy = slice_of(arena_copy(&rig->arena, buf_view(&out)), out.len);
  buf_free(&out);
  return copy;
}

/* Whether it is taken; a refusal says why, and leaves nothing behind. */
static bool taken(struct rig *rig, struct slice jws, int64_t last, int64_t now) {
  struct revocation_list list;
  struct error e = {0};
  int64_t issued = -1;
  bool good = revocation_feed_read(&rig->trust, jws, last, now, &list, &issued, &e) == 0;
  if (good) {
    assert_true(issued >= last);
  } else {
    assert_int_equal(issued, -1);
    assert_int_equal(list.count, 0);
    assert_null(list.items);
    assert_int_equal(e.kind, ERROR_DENIED);
    assert_non_null(strstr(e.text, "the list of revocations is refused: "));
  }
  revocation_list_free(&list);
  return good;
}

static void add(struct revocation_list *list, struct revocation like, const char *value) {
  assert_int_equal(revocation_list_add(list, &like, slice_str(value), NULL), 0);
}

static struct revocation_list sample(void) {
  struct revocation_list list = {0};
  add(&list, (struct revocation){REVOCATION_KID, {0}, 5, 0, INT64_MAX}, "key");
  add(&list, (struct revocation){REVOCATION_SUB, {0}, RIG_NOW, RIG_NOW + 600, RIG_NOW + 9}, "r/a");
  add(&list, (struct revocation){REVOCATION_JTI, {0}, RIG_NOW, 0, RIG_NOW + 1}, "id");
  add(&list, (struct revocation){REVOCATION_SUB, {0}, 7, REVOCATION_BAN, INT64_MAX}, "r/b");
  add(&list, (struct revocation){REVOCATION_INFOHASH, {0}, 8, 0, INT64_MAX}, RIG_HEX_V2);
  add(&list, (struct revocation){REVOCATION_REPOSITORY, {0}, 9, 10, INT64_MAX}, "r/app");
  return list;
}

static void a_list_goes_through(void **state) {
  struct rig *rig = *state;
  struct revocation_list list = sample(), got;
  add(&list, (struct revocation){REVOCATION_JTI, {0}, 1, 0, RIG_NOW}, "expired");
  for (int key = RIG_ES256; key <= RIG_EDDSA; key += RIG_EDDSA - RIG_ES256) {
    struct error e = {0};
    int64_t issued = 0;
    assert_int_equal(revocation_feed_read(&rig->trust, write_feed(rig, key, &list), 0, RIG_NOW,
                                          &got, &issued, &e),
                     0);
    assert_int_equal(issued, RIG_NOW);
    assert_int_equal(got.count, list.count - 1);
    size_t found = 0;
    for (size_t i = 0; i < list.count; i++) {
      for (size_t k = 0; k < got.count; k++) {
        const struct revocation *a = &list.items[i], *b = &got.items[k];
        found += a->kind == b->kind && memcmp(a->hash, b->hash, 32) == 0 && a->at == b->at &&
                 a->until == b->until && b->expires == INT64_MAX;
      }
    }
    assert_int_equal(found, got.count);
    revocation_list_free(&got);
  }
  revocation_list_free(&list);
}

static void it_says_what_the_contract_says(void **state) {
  struct rig *rig = *state;
  struct revocation_list list = {0};
  struct slice header, claims;
  add(&list, (struct revocation){REVOCATION_SUB, {0}, 5, REVOCATION_BAN, INT64_MAX}, "r/a");
  add(&list, (struct revocation){REVOCATION_SUB, {0}, 6, 0, INT64_MAX}, "");
  assert_int_equal(
      token_inspect(write_feed(rig, RIG_ES256, &list), &rig->arena, &header, &claims, NULL), 0);
  revocation_list_free(&list);
  CLEANUP_JSON json_t *h = json_loadb(header.ptr, header.len, 0, NULL);
  CLEANUP_JSON json_t *c = json_loadb(claims.ptr, claims.len, 0, NULL);
  CLEANUP_JSON json_t *want_h = json_pack("{s:s, s:s, s:s}", "alg", "ES256", "typ",
                                          "revocations+jwt", "kid", rig->keys[RIG_ES256].kid);
  CLEANUP_JSON json_t *want_c =
      json_pack("{s:s, s:s, s:I, s:I, s:{s:[], s:[{s:s, s:i, s:I}, {s:s, s:i}], s:[], s:[], s:[]}}",
                "iss", "swarmgate", "aud", "tracker", "iat", (json_int_t)RIG_NOW, "exp",
                (json_int_t)(RIG_NOW + 300), "revocations", "jti", "sub", "sha256",
                "69654f1e086647c1338e00a68d69c26e0c3bdf0e8710ba80810b94b2a31c1033", "at", 5,
                "until", (json_int_t)INT64_MAX, "sha256",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "at", 6,
                "repository", "infohash", "kid");
  assert_true(json_equal(h, want_h));
  assert_true(json_equal(c, want_c));
}

struct row {
  const char *name;
  const char *header; /* NULL: FEED_HEADER; $0 stands for the id of the rig's key */
  const char *claims; /* NULL: ENTRY(GOOD) */
  int key;            /* of the rig, that signs */
  mangle *mangle;
};

static const struct row right[] = {
    {"right"},
    {"right by the other key", "{\"alg\":\"EdDSA\",\"typ\":\"revocations+jwt\",\"kid\":\"$2\"}",
     NULL, RIG_EDDSA},
    {"other claims", NULL, "{" ISS AUD DATES ",\"x\":[1],\"jti\":\"j\",\"revocations\":{}}"},
    {"aud a list", NULL,
     "{" ISS ",\"aud\":[\"a\",\"tracker\"]" DATES ",\"revocations\":{\"jti\":[" GOOD "]}}"},
    {"all kinds", NULL,
     LISTS("{\"kid\":[],\"sub\":[" GOOD "],\"repository\":[],\"infohash\":[],\"jti\":[" GOOD
           "," GOOD "]}")},
    {"300 s old at most, and 60", NULL, DATED(",\"iat\":1799999641,\"exp\":1799999941")},
    {"a little ahead", NULL, DATED(",\"iat\":1800000060,\"exp\":1800000360")},
    {"lives shorter", NULL, DATED(",\"iat\":1800000000,\"exp\":1800000000")},
    {"until", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":1,\"until\":9223372036854775807}")},
};

static const struct row wrong[] = {
    /* of another kind, of nobody, of another */
    {"typ of a swarm token", HEADER("swarm+jwt")},
    {"typ of a webseed token", HEADER("webseed+jwt")},
    {"typ of a registry token", HEADER("JWT")},
    {"no typ", "{\"alg\":\"ES256\",\"kid\":\"$0\"}"},
    {"typ in capitals", HEADER("Revocations+jwt")},
    {"typ with application/", HEADER("application/revocations+jwt")},
    {"typ null", "{\"alg\":\"ES256\",\"typ\":null,\"kid\":\"$0\"}"},
    {"stranger's key", NULL, NULL, RIG_STRANGER},
    {"the registry's key", WITH_ALG("RS256"), NULL, RIG_RS256},
    {"the registry's issuer", "{\"alg\":\"RS256\",\"typ\":\"revocations+jwt\"}",
     "{\"iss\":\"auth.example\",\"aud\":\"registry.example\"" DATES ",\"revocations\":{}}",
     RIG_RS256},
    {"alg not pinned", NULL, "{\"iss\":\"narrow\"" AUD DATES ",\"revocations\":{}}"},
    {"iss of nobody", NULL, "{\"iss\":\"other\"" AUD DATES ",\"revocations\":{}}"},
    {"aud of another", NULL, "{" ISS ",\"aud\":\"other\"" DATES ",\"revocations\":{}}"},
    {"no iss", NULL, "{\"aud\":\"tracker\"" DATES ",\"revocations\":{}}"},
    {"no aud", NULL, "{" ISS DATES ",\"revocations\":{}}"},
    {"alg none", WITH_ALG("none"), NULL, 0, mangle_no_signature},
    {"alg HS256", WITH_ALG("HS256"), NULL, 0, mangle_hs256_es_pem},
    {"kid of another", "{\"alg\":\"ES256\",\"typ\":\"revocations+jwt\",\"kid\":\"$2\"}"},
    {"no kid", "{\"alg\":\"ES256\",\"typ\":\"revocations+jwt\"}"},
    {"crit", MORE("\"crit\":[\"exp\"]")},
    {"b64", MORE("\"b64\":true")},
    {"zip", MORE("\"zip\":\"DEF\"")},
    {"doubled in the header", MORE("\"alg\":\"ES256\"")},
    {"header is no JSON", "x"},
    {"signature changed", NULL, NULL, 0, mangle_signature_changed},
    {"payload changed", NULL, NULL, 0, mangle_payload_changed},
    {"signature cut", NULL, NULL, 0, mangle_signature_cut},
    {"padded", NULL, NULL, 0, mangle_padded_payload},
    {"trailing bits", NULL, NULL, 0, mangle_signature_bits},
    {"newline behind", NULL, NULL, 0, mangle_newline_behind},
    {"two parts", NULL, NULL, 0, mangle_two_parts},
    {"four parts", NULL, NULL, 0, mangle_four_parts},
    {"nothing", NULL, NULL, 0, mangle_nothing},
    /* its dates */
    {"expired", NULL, DATED(",\"iat\":1799999640,\"exp\":1799999940")},
    {"further ahead", NULL, DATED(",\"iat\":1800000061,\"exp\":1800000361")},
    {"nbf ahead", NULL, DATED(DATES ",\"nbf\":1800000061")},
    {"lives longer", NULL, DATED(",\"iat\":1800000000,\"exp\":1800000301")},
    {"exp before iat", NULL, DATED(",\"iat\":1800000000,\"exp\":1799999999")},
    {"no iat", NULL, DATED(",\"exp\":1800000300")},
    {"no exp", NULL, DATED(",\"iat\":1800000000")},
    {"iat is text", NULL, DATED(",\"iat\":\"1800000000\",\"exp\":1800000300")},
    /* what it lists */
    {"no revocations", NULL, "{" ISS AUD DATES "}"},
    {"a list of none", NULL, LISTS("[]")},
    {"null", NULL, LISTS("null")},
    {"an unknown kind", NULL, LISTS("{\"jti\":[" GOOD "],\"jtj\":[]}")},
    {"a kind that is no list", NULL, LISTS("{\"jti\":{}}")},
    {"a doubled kind", NULL, LISTS("{\"jti\":[],\"jti\":[]}")},
    {"an entry that is text", NULL, ENTRY("\"" A64 "\"")},
    {"no sha256", NULL, ENTRY("{\"at\":1}")},
    {"sha256 a number", NULL, ENTRY("{\"sha256\":1,\"at\":1}")},
    {"sha256 short", NULL, ENTRY("{\"sha256\":\"aa\",\"at\":1}")},
    {"sha256 long", NULL, ENTRY("{\"sha256\":\"" A64 "00\",\"at\":1}")},
    {"sha256 in capitals", NULL,
     ENTRY("{\"sha256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
           "\"at\":1}")},
    {"sha256 not hex", NULL,
     ENTRY("{\"sha256\":\"gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
           "\"at\":1}")},
    {"no at", NULL, ENTRY("{\"sha256\":\"" A64 "\"}")},
    {"at 0", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":0}")},
    {"at negative", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":-1}")},
    {"at a fraction", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":1.5}")},
    {"at text", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":\"1\"}")},
    {"at null", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":null}")},
    {"at beyond 64 bits", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":9223372036854775808}")},
    {"until negative", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":1,\"until\":-1}")},
    {"until true", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":1,\"until\":true}")},
    {"an unknown member", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":1,\"x\":1}")},
    {"a doubled member", NULL, ENTRY("{\"sha256\":\"" A64 "\",\"at\":1,\"at\":2}")},
    {"the second is wrong", NULL, ENTRY(GOOD ",{}")},
    {"claims are no JSON", NULL, "x"},
    {"claims twice", NULL, ENTRY(GOOD) ENTRY(GOOD)},
};

static struct slice make(struct rig *rig, const struct row *row) {
  struct buf header = {0};
  for (const char *at = row->header == NULL ? FEED_HEADER : row->header; *at != '\0'; at++) {
    if (*at == '$') {
      buf_str(&header, rig->keys[*++at - '0'].kid);
    } else {
      buf_append(&header, at, 1);
    }
  }
  buf_append(&header, "", 1);
  struct slice jws = rig_jws(rig, row->key, header.ptr,
                             slice_str(row->claims == NULL ? ENTRY(GOOD) : row->claims));
  buf_free(&header);
  return row->mangle == NULL ? jws : row->mangle(rig, jws);
}

static void none_of_the_forged_is_taken(void **state) {
  for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
    if (!taken(*state, make(*state, &right[i]), 0, RIG_NOW)) {
      fail_msg("%s: refused", right[i].name);
    }
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (taken(*state, make(*state, &wrong[i]), 0, RIG_NOW)) {
      fail_msg("%s: taken", wrong[i].name);
    }
  }
}

static void an_older_list_never_replaces_a_newer(void **state) {
  struct rig *rig = *state;
  struct slice jws = write_feed(rig, RIG_ES256, &(struct revocation_list){0});
  assert_true(taken(rig, jws, RIG_NOW - 1, RIG_NOW));
  assert_true(taken(rig, jws, RIG_NOW, RIG_NOW));
  assert_false(taken(rig, jws, RIG_NOW + 1, RIG_NOW));
}

static void a_list_ends(void **state) {
  struct rig *rig = *state;
  struct slice jws = write_feed(rig, RIG_ES256, &(struct revocation_list){0});
  assert_true(taken(rig, jws, 0, RIG_NOW - 60));
  assert_false(taken(rig, jws, 0, RIG_NOW - 61));
  assert_true(taken(rig, jws, 0, RIG_NOW + 359));
  assert_false(taken(rig, jws, 0, RIG_NOW + 360));
}

/* Of the same bytes one is a list, the other a token, by nothing but `typ`. */
static void a_list_is_no_token_and_a_token_no_list(void **state) {
  struct rig *rig = *state;
  static const char both[] =
      "{" ISS AUD DATES ",\"infohash\":\"" RIG_HEX_V1 "\",\"registry\":\"r\",\"repository\":\"a\","
      "\"digest\":\"" RIG_DIGEST "\",\"access\":[],\"revocations\":{\"jti\":[" GOOD "]}}";
  static const char *const types[] = {"revocations+jwt", "swarm+jwt", "webseed+jwt", "JWT"};
  /* A registry's row that takes all: nothing but `typ` is wrong with it. */
  rig->trust.rows[0].accept = ALL_KINDS;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 64);
  assert_non_null(cache);
  for (size_t i = 0; i < 4; i++) {
    const char *header =
        arena_printf(&rig->arena, "{\"alg\":\"ES256\",\"typ\":\"%s\",\"kid\":\"%s\"}", types[i],
                     rig->keys[RIG_ES256].kid)
            .ptr;
    struct slice jws = rig_jws(rig, RIG_ES256, header, slice_str(both));
    struct token token;
    struct token_grant grant;
    const struct token_question question = {.kinds = ALL_KINDS, .now = RIG_NOW};
    enum token_verdict want = i == 0 ? TOKEN_INVALID : TOKEN_VALID;
    assert_int_equal(taken(rig, jws, 0, RIG_NOW), i == 0);
    assert_int_equal(token_verify(&rig->trust, jws, ALL_KINDS, RIG_NOW, &rig->arena, &token, NULL),
                     want);
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, NULL, NULL), want);
  }
  token_cache_free(cache);
  rig->trust.rows[0].accept = TOKEN_SWARM | TOKEN_WEBSEED;
}

/* Who may sign webseed tokens alone may not say who is let in. */
static void only_who_lets_peers_in_is_believed(void **state) {
  struct rig *rig = *state;
  struct slice jws = write_feed(rig, RIG_ES256, &(struct revocation_list){0});
  rig->trust.rows[0].accept = TOKEN_WEBSEED | TOKEN_REGISTRY;
  assert_false(taken(rig, jws, 0, RIG_NOW));
  rig->trust.rows[0].accept = TOKEN_SWARM;
  assert_true(taken(rig, jws, 0, RIG_NOW));
  rig->trust.rows[0].accept = TOKEN_SWARM | TOKEN_WEBSEED;
}

static void it_has_its_limits(void **state) {
  struct rig *rig = *state;
  struct revocation_list list = {0}, got;
  struct revocation r = {.kind = REVOCATION_INFOHASH, .at = RIG_NOW, .expires = INT64_MAX};
  struct buf out = {0};
  struct error e = {0};
  int64_t issued;
  for (uint32_t i = 0; i < REVOCATION_FEED_ENTRIES_MAX; i++) {
    memcpy(r.hash, &i, sizeof i);
    assert_int_equal(revocation_list_add_hash(&list, &r, NULL), 0);
  }
  const struct key *key = &rig->keys[RIG_ES256];
  assert_int_equal(revocation_feed_write(key, "swarmgate", "tracker", &list, RIG_NOW, &out, &e), 0);
  assert_true(out.len <= REVOCATION_FEED_MAX);
  assert_int_equal(revocation_feed_read(&rig->trust, buf_view(&out), 0, RIG_NOW, &got, &issued, &e),
                   0);
  assert_int_equal(got.count, REVOCATION_FEED_ENTRIES_MAX);
  assert_memory_equal(&got.items[got.count - 1].hash, r.hash, sizeof r.hash);
  revocation_list_free(&got);
  buf_free(&out);

  assert_int_equal(revocation_list_add_hash(&list, &r, NULL), 0);
  assert_int_equal(revocation_feed_write(key, "swarmgate", "tracker", &list, RIG_NOW, &out, &e),
                   -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "131073"));
  assert_int_equal(out.len, 0);
  list.count--;
  for (size_t i = 0; i < list.count; i++) {
    list.items[i].until = REVOCATION_BAN;
  }
  assert_int_equal(revocation_feed_write(key, "swarmgate", "tracker", &list, RIG_NOW, &out, &e),
                   -1);
  assert_non_null(strstr(e.text, "bytes"));
  assert_int_equal(out.len, 0);
  revocation_list_free(&list);
}

/* One entry too many, values that are none of a list's, and a byte too many, rightly signed. */
static void what_is_too_large_is_refused(void **state) {
  struct rig *rig = *state;
  const char *header = arena_printf(&rig->arena,
                                    "{\"alg\":\"ES256\",\"typ\":\"revocations+jwt\","
                                    "\"kid\":\"%s\"}",
                                    rig->keys[RIG_ES256].kid)
                           .ptr;
  for (int i = 0; i < 2; i++) {
    struct buf claims = {0};
    buf_str(&claims, "{" ISS AUD DATES ",\"revocations\":{\"jti\":[");
    for (int k = 0; k < REVOCATION_FEED_ENTRIES_MAX + i; k++) {
      buf_str(&claims, k == 0 ? GOOD : "," GOOD);
    }
    buf_str(&claims, "]}}");
    assert_int_equal(taken(rig, rig_jws(rig, RIG_ES256, header, buf_view(&claims)), 0, RIG_NOW),
                     i == 0);
    buf_free(&claims);
  }
  for (int i = 0; i < 2; i++) {
    struct buf claims = {0};
    /* Four of the commas are not those of the list. */
    buf_str(&claims, "{" ISS AUD DATES ",\"revocations\":{},\"x\":[0");
    for (int k = 0; k < 3 * REVOCATION_FEED_ENTRIES_MAX + 256 - 5 + i; k++) {
      buf_str(&claims, ",0");
    }
    buf_str(&claims, "]}");
    assert_int_equal(taken(rig, rig_jws(rig, RIG_ES256, header, buf_view(&claims)), 0, RIG_NOW),
                     i == 0);
    buf_free(&claims);
  }
  struct buf claims = {0};
  buf_str(&claims, ENTRY(GOOD));
  struct slice jws = rig_jws(rig, RIG_ES256, header, buf_view(&claims));
  size_t more = (REVOCATION_FEED_MAX - jws.len) / 4 * 3;
  char *blanks = buf_reserve(&claims, more + 3);
  memset(blanks, ' ', more + 3);
  claims.len += more;
  while ((jws = rig_jws(rig, RIG_ES256, header, buf_view(&claims))).len > REVOCATION_FEED_MAX) {
    claims.len--;
  }
  assert_true(taken(rig, jws, 0, RIG_NOW));
  do {
    claims.len++;
    jws = rig_jws(rig, RIG_ES256, header, buf_view(&claims));
  } while (jws.len <= REVOCATION_FEED_MAX);
  assert_false(taken(rig, jws, 0, RIG_NOW));
  buf_free(&claims);
}

static void names_must_be_utf8(void **state) {
  struct rig *rig = *state;
  struct revocation_list none = {0};
  struct buf out = {0};
  struct error e = {0};
  const struct key *key = &rig->keys[RIG_ES256];
  assert_int_equal(revocation_feed_write(key, "\xff", "tracker", &none, RIG_NOW, &out, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(out.len, 0);
}

/* A key without a name is named as key_load_private() would. */
static void a_bare_key_is_named(void **state) {
  struct rig *rig = *state;
  struct key bare = rig->keys[RIG_ES256];
  struct buf out = {0};
  bare.kid = NULL;
  assert_int_equal(revocation_feed_write(&bare, "swarmgate", "tracker",
                                         &(struct revocation_list){0}, RIG_NOW, &out, NULL),
                   0);
  assert_true(taken(rig, buf_view(&out), 0, RIG_NOW));
  buf_free(&out);
}

static int write_and_read(void *arg, struct error *e) {
  struct rig *rig = arg;
  struct revocation_list list = {0}, got;
  const struct revocation like = {.kind = REVOCATION_SUB, .at = 1, .expires = INT64_MAX};
  struct buf out = {0};
  int64_t issued;
  int status = revocation_list_add(&list, &like, SLICE("r/a"), e);
  if (status == 0) {
    struct key bare = rig->keys[RIG_ES256];
    bare.kid = NULL;
    status = revocation_feed_write(&bare, "swarmgate", "tracker", &list, RIG_NOW, &out, e);
  }
  if (status == 0) {
    status = revocation_feed_read(&rig->trust, buf_view(&out), 0, RIG_NOW, &got, &issued, e);
    assert_true(status != 0 || (got.count == 1 && got.items[0].at == 1));
    revocation_list_free(&got);
  }
  revocation_list_free(&list);
  buf_free(&out);
  return status;
}

static void memory_runs_out(void **state) {
  heap_exhaust(write_and_read, *state);
  heap_exhaust_openssl(write_and_read, *state);
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_list_goes_through),
      cmocka_unit_test(it_says_what_the_contract_says),
      cmocka_unit_test(none_of_the_forged_is_taken),
      cmocka_unit_test(an_older_list_never_replaces_a_newer),
      cmocka_unit_test(a_list_ends),
      cmocka_unit_test(a_list_is_no_token_and_a_token_no_list),
      cmocka_unit_test(only_who_lets_peers_in_is_believed),
      cmocka_unit_test(it_has_its_limits),
      cmocka_unit_test(what_is_too_large_is_refused),
      cmocka_unit_test(names_must_be_utf8),
      cmocka_unit_test(a_bare_key_is_named),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
