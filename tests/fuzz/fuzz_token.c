// LINKS auth base
//
// The first byte picks what the rest is: `r` a token as it comes in; `s` a header and, behind a
// newline, claims, which are signed well, so that the fuzzer gets behind the signature; `k` keys.
#include "auth/jws.h"
#include "auth/token.h"

#include <stdlib.h>

static const int64_t now = INT64_C(1800000000);
enum { ALL_KINDS = TOKEN_SWARM | TOKEN_REGISTRY | TOKEN_WEBSEED };

static struct key key; /* of RFC 8037, A.1 */
static struct trust_row row;
static const struct trust trust = {.rows = &row, .count = 1, .leeway = 60};

static void must(bool holds) {
  if (!holds) {
    abort();
  }
}

static void set_up(void) {
  static char issuer[] = "i";
  static char audience[] = "a";
  static char registry[] = "r";
  const struct slice pem =
      SLICE("-----BEGIN PRIVATE KEY-----\n"
            "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
            "-----END PRIVATE KEY-----\n");
  must(key_parse_private(pem, "key", &key, NULL) == 0);
  row = (struct trust_row){.issuer = issuer,
                           .audience = audience,
                           .registry = registry,
                           .algorithms = KEY_ALL,
                           .accept = ALL_KINDS};
  must(keyset_parse(pem, "key", &row.keys, NULL) == 0);
}

static void must_be_same(const struct token *a, const struct token *b) {
  must(a->kind == b->kind && a->expires == b->expires && a->not_before == b->not_before &&
       a->issued == b->issued && a->session == b->session);
  must(slice_equal(a->subject, b->subject) && slice_equal(a->id, b->id) &&
       slice_equal(a->registry, b->registry) && slice_equal(a->repository, b->repository) &&
       slice_equal(a->digest, b->digest));
  must(a->infohash_count == b->infohash_count && a->access_count == b->access_count);
  for (size_t i = 0; i < a->infohash_count; i++) {
    must(slice_equal(a->infohash_texts[i], b->infohash_texts[i]));
  }
  for (size_t i = 0; i < a->access_count; i++) {
    must(slice_equal(a->access[i].repository, b->access[i].repository));
  }
}

/* What was accepted is of the kinds asked for, and the same when it is signed anew. */
static void verify(struct slice jws, struct arena *arena) {
  struct error why = {0};
  struct token token;
  struct token again;
  struct slice header;
  struct slice claims;
  enum token_verdict verdict = token_verify(&trust, jws, ALL_KINDS, now, arena, &token, &why);
  must((verdict == TOKEN_VALID) == (why.kind == ERROR_NONE));
  if (verdict == TOKEN_INVALID) {
    token_inspect(jws, arena, &header, &claims, NULL);
    return;
  }
  must(token_inspect(jws, arena, &header, &claims, NULL) == 0);
  must(token_verify(&trust, jws, ALL_KINDS & ~(unsigned)token.kind, now, arena, &again, NULL) ==
       TOKEN_INVALID);
  struct buf out = {0};
  if (token_sign(&key, &token, &out, &why) == 0) {
    must(token_verify(&trust, buf_view(&out), token.kind, now, arena, &again, NULL) == verdict);
    must_be_same(&token, &again);
  } else {
    must(why.kind == ERROR_USAGE); /* longer with our header; `exp` 0 */
  }
  buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (key.pkey == NULL) {
    set_up();
  }
  struct slice input = slice_of(data, size);
  struct arena arena = {0};
  if (slice_starts(input, SLICE("r"))) {
    verify(slice_from(input, 1), &arena);
  } else if (slice_starts(input, SLICE("s"))) {
    struct slice claims = slice_from(input, 1);
    struct slice header = slice_cut(&claims, '\n');
    struct buf jws = {0};
    must(jws_write(&key, header, claims, &jws, NULL) == 0);
    verify(buf_view(&jws), &arena);
    buf_free(&jws);
  } else if (slice_starts(input, SLICE("k"))) {
    struct keyset set;
    struct error e = {0};
    must((keyset_parse(slice_from(input, 1), "keys", &set, &e) == 0) == (set.count > 0));
    must((set.count > 0) == (e.kind == ERROR_NONE));
    keyset_free(&set);
  }
  arena_free(&arena);
  return 0;
}
