// LINKS auth base PkgConfig::JANSSON PkgConfig::CRYPTO
/* The first byte says what the rest is: `r` a list of revocations as it comes in; `s` a header and,
 * behind a newline, claims, which are signed by the key that is trusted; `x` the same, signed by a
 * key that nobody trusts. What is taken is what a plain reading takes, is no token, and is the same
 * when it is signed anew. */
#include "auth/jws.h"
#include "auth/revocation_feed.h"
#include "token_oracle.h"

static const int64_t now = INT64_C(1800000000);
enum { ALL_KINDS = TOKEN_SWARM | TOKEN_REGISTRY | TOKEN_WEBSEED, LIFE = 300 };

static struct key trusted, stranger;
static struct trust_row rows[2];
static const struct trust trust = {.rows = rows, .count = 2, .leeway = ORACLE_LEEWAY};

static void must(bool holds) {
  if (!holds) {
    abort();
  }
}

static void make_key(struct key *key) {
  struct buf pem = {0};
  must(key_generate(KEY_EDDSA, &pem, NULL) == 0 &&
       key_parse_private(buf_view(&pem), "key", key, NULL) == 0);
  buf_free(&pem);
}

/* `i` lets peers in, `j` does not; both by that key. */
static void set_up(void) {
  static char i[] = "i", j[] = "j", a[] = "a";
  const struct slice pem =
      SLICE("-----BEGIN PRIVATE KEY-----\n"
            "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
            "-----END PRIVATE KEY-----\n");
  rows[0] = (struct trust_row){
      .issuer = i, .audience = a, .algorithms = KEY_ALL, .accept = (unsigned)ALL_KINDS};
  rows[1] = (struct trust_row){
      .issuer = j, .audience = a, .algorithms = KEY_ALL, .accept = TOKEN_REGISTRY | TOKEN_WEBSEED};
  must(key_parse_private(pem, "key", &trusted, NULL) == 0 &&
       keyset_parse(pem, "key", &rows[0].keys, NULL) == 0 &&
       keyset_parse(pem, "key", &rows[1].keys, NULL) == 0);
  make_key(&stranger);
}

/* --- a plain reading --- */

static bool plain_header(const json_t *header) {
  static const char *const refused[] = {"crit", "b64", "zip", "enc"};
  bool good = oracle_is(json_object_get(header, "alg"), "EdDSA") && oracle_text(header, "kid") &&
              oracle_is(json_object_get(header, "typ"), "revocations+jwt");
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    good = good && json_object_get(header, refused[i]) == NULL;
  }
  return good;
}

static bool plain_entry(json_t *entry) {
  const char *name;
  json_t *value;
  bool good =
      json_is_object(entry) && json_object_get(entry, "at") != NULL &&
      oracle_hex(json_string_value(json_object_get(entry, "sha256")), 64, "0123456789abcdef");
  json_object_foreach(entry, name, value) {
    good =
        good &&
        (strcmp(name, "sha256") == 0 ||
         (strcmp(name, "at") == 0 && json_integer_value(value) > 0) ||
         (strcmp(name, "until") == 0 && json_is_integer(value) && json_integer_value(value) >= 0));
  }
  return good;
}

/* How many it lists; -1 when it is no list. */
static int plain_lists(json_t *lists) {
  static const char *const kinds[] = {"jti", "sub", "repository", "infohash", "kid"};
  const char *name;
  json_t *list;
  int count = json_is_object(lists) ? 0 : -1;
  json_object_foreach(lists, name, list) {
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
      known |= strcmp(name, kinds[i]) == 0;
    }
    bool good = known && json_is_array(list);
    for (size_t i = 0; i < json_array_size(list); i++) {
      good = good && plain_entry(json_array_get(list, i));
    }
    count = good && count >= 0 ? count + (int)json_array_size(list) : -1;
  }
  return count;
}

/* The number of revocations that have to be read of it, or -1 when it has to be refused. */
static int plain_reading(struct slice text, int64_t *issued) {
  struct slice rest = text, parts[3];
  for (size_t i = 0; i < 3; i++) {
    parts[i] = slice_cut(&rest, '.');
  }
  size_t len = 0;
  char *signature = rest.ptr == NULL ? oracle_decode(parts[2], &len) : NULL;
  json_t *header = oracle_json(parts[0]), *claims = oracle_json(parts[1]);
  int64_t iat = oracle_date(claims, "iat"), exp = oracle_date(claims, "exp");
  int64_t nbf = oracle_date(claims, "nbf");
  int count = -1;
  if (signature != NULL && header != NULL && claims != NULL && plain_header(header) &&
      oracle_is(json_object_get(claims, "iss"), "i") &&
      oracle_audience(json_object_get(claims, "aud"), "a") &&
      json_is_number(json_object_get(claims, "exp")) && iat >= 0 && nbf >= 0 && exp >= iat &&
      exp <= iat + LIFE && exp + ORACLE_LEEWAY > now && iat <= now + ORACLE_LEEWAY &&
      nbf <= now + ORACLE_LEEWAY && oracle_text(claims, "sub") && oracle_text(claims, "jti")) {
    count = plain_lists(json_object_get(claims, "revocations"));
  }
  *issued = iat;
  free(signature);
  json_decref(header);
  json_decref(claims);
  return count;
}

/* --- what is taken --- */

static int by_kind(const void *a, const void *b) {
  const struct revocation *x = a, *y = b;
  int kinds = (int)x->kind - (int)y->kind;
  int hashes = memcmp(x->hash, y->hash, sizeof x->hash);
  return kinds != 0             ? kinds
         : hashes != 0          ? hashes
         : x->at != y->at       ? (x->at < y->at ? -1 : 1)
         : x->until == y->until ? 0
                                : (x->until < y->until ? -1 : 1);
}

static void must_be_the_same_anew(struct revocation_list *list) {
  struct buf out = {0};
  struct revocation_list again;
  int64_t issued;
  must(revocation_feed_write(&trusted, "i", "a", list, now, &out, NULL) == 0);
  must(revocation_feed_read(&trust, buf_view(&out), now, now, &again, &issued, NULL) == 0);
  must(issued == now && again.count == list->count);
  if (list->count > 0) {
    qsort(list->items, list->count, sizeof *list->items, by_kind);
    qsort(again.items, again.count, sizeof *again.items, by_kind);
  }
  for (size_t i = 0; i < list->count; i++) {
    must(by_kind(&list->items[i], &again.items[i]) == 0);
  }
  revocation_list_free(&again);
  buf_free(&out);
}

/* \return how many it lists, or -1. */
static int take(struct slice jws, int64_t *issued) {
  struct revocation_list list;
  struct error why = {0};
  *issued = -1;
  bool good = revocation_feed_read(&trust, jws, 0, now, &list, issued, &why) == 0;
  int count = good ? (int)list.count : -1;
  must(good == (why.kind == ERROR_NONE) && good == (*issued >= 0));
  must(good || (why.kind == ERROR_DENIED && list.items == NULL));
  if (good) {
    struct arena arena = {0};
    struct token token;
    int64_t ignored;
    must(token_verify(&trust, jws, ALL_KINDS, now, &arena, &token, NULL) == TOKEN_INVALID);
    must(revocation_feed_read(&trust, jws, *issued + 1, now, &(struct revocation_list){0}, &ignored,
                              NULL) != 0);
    arena_free(&arena);
    must_be_the_same_anew(&list);
  }
  revocation_list_free(&list);
  return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (trusted.pkey == NULL) {
    set_up();
  }
  struct slice rest = slice_from(slice_of(data, size), 1);
  char mode = size == 0 ? 'r' : (char)data[0];
  int64_t issued, want_issued;
  if (mode == 'r') {
    /* Who signed it is not known here: that it verifies is believed. */
    int count = take(rest, &issued);
    must(count < 0 || count == plain_reading(rest, &want_issued));
  } else if (mode == 's' || mode == 'x') {
    struct slice header = slice_cut(&rest, '\n');
    struct buf jws = {0};
    must(jws_write(mode == 's' ? &trusted : &stranger, header, rest, &jws, NULL) == 0);
    int want = plain_reading(buf_view(&jws), &want_issued);
    int count = take(buf_view(&jws), &issued);
    must(count == (mode == 's' ? want : -1) && (count < 0 || issued == want_issued));
    buf_free(&jws);
  }
  return 0;
}
