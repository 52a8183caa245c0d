#include "tracker/session.h"
#include "unit/cmocka_all.h"

static const unsigned char key[SESSION_KEY] = "0123456789abcdef0123456789abcde";
static const unsigned char other_key[SESSION_KEY] = "0123456789abcdef0123456789abcdx";
static const struct token_grant grant = {.kind = TOKEN_SWARM, .fingerprint = "a token"};
static const struct token_grant other_grant = {.kind = TOKEN_SWARM, .fingerprint = "b token"};
static const struct swarm_endpoint from[] = {
    {4, {10, 0, 0, 1}, 0}, {4, {10, 0, 0, 2}, 0},  {16, {10, 0, 0, 1}, 0},
    {16, {32, 1, 1}, 0},   {16, {32, 1, 2}, 6881},
};
enum { END = 1000 };

static struct session session_of(int address) {
  return (struct session){key, &grant, END, &from[address]};
}

static void ends_at_the_claim_or_the_bound(void **state) {
  (void)state;
  struct token_grant g = {.kind = TOKEN_SWARM, .issued = 100, .expires = 200, .session = 500};
  assert_int_equal(session_end(&g, 1000), 500);
  assert_int_equal(session_end(&g, 300), 400);
  g.issued = 0;
  assert_int_equal(session_end(&g, 1000), 0);
  g = (struct token_grant){.kind = TOKEN_SWARM, .issued = 100, .expires = 200};
  assert_int_equal(session_end(&g, 1000), 0);
  g = (struct token_grant){.kind = TOKEN_REGISTRY, .issued = 100, .session = 500};
  assert_int_equal(session_end(&g, 1000), 0);
  g = (struct token_grant){.kind = TOKEN_SWARM, .issued = 100, .session = INT64_MAX};
  assert_int_equal(session_end(&g, 1000), 1100);
}

static void proves_token_address_end_and_key(void **state) {
  (void)state;
  char id[SESSION_ID_SPACE];
  struct session s = session_of(0);
  struct slice text = slice_of(id, session_extend(&s, SLICE(""), id));
  assert_int_equal(strlen(id), text.len);
  assert_true(session_proved(&s, text));
  for (size_t i = 1; i < sizeof from / sizeof *from; i++) {
    s = session_of((int)i);
    assert_false(session_proved(&s, text));
    assert_true(session_lacks_address(&s, text));
  }
  s = session_of(0);
  s.end++;
  assert_false(session_proved(&s, text));
  s = session_of(0);
  s.grant = &other_grant;
  assert_false(session_proved(&s, text));
  assert_false(session_lacks_address(&s, text));
  s = session_of(0);
  s.key = other_key;
  assert_false(session_proved(&s, text));
  /* The port is nothing to it. */
  struct swarm_endpoint port = from[0];
  port.port = 9999;
  s = session_of(0);
  s.from = &port;
  assert_true(session_proved(&s, text));
}

static void every_bit_counts(void **state) {
  (void)state;
  char id[SESSION_ID_SPACE], bent[SESSION_ID_SPACE];
  struct session s = session_of(3);
  size_t len = session_extend(&s, SLICE(""), id);
  for (size_t i = 0; i < len; i++) {
    for (int bit = 0; bit < 8; bit++) {
      memcpy(bent, id, sizeof id);
      bent[i] = (char)(bent[i] ^ 1 << bit);
      assert_false(session_proved(&s, slice_of(bent, len)));
    }
    assert_false(session_proved(&s, slice_of(id, i)));
  }
}

static void holds_four_addresses_and_drops_the_oldest(void **state) {
  (void)state;
  char id[SESSION_ID_SPACE] = "";
  for (int i = 0; i < 5; i++) {
    struct session s = session_of(i);
    session_extend(&s, slice_str(id), id);
    for (int j = 0; j < 5; j++) {
      s = session_of(j);
      assert_int_equal(session_proved(&s, slice_str(id)), j <= i && j > i - 4);
    }
  }
  /* One that it holds already changes nothing. */
  char again[SESSION_ID_SPACE];
  struct session s = session_of(2);
  session_extend(&s, slice_str(id), again);
  assert_string_equal(id, again);
}

static void passes_over_what_is_foreign(void **state) {
  (void)state;
  char fresh[SESSION_ID_SPACE], foreign[SESSION_ID_SPACE], id[SESSION_ID_SPACE];
  struct session s = session_of(0), other = session_of(0);
  session_extend(&s, SLICE(""), fresh);
  other.grant = &other_grant;
  session_extend(&other, SLICE(""), foreign);
  char longest[SESSION_ID_SPACE];
  memset(longest, 'A', sizeof longest);
  const struct slice ids[] = {slice_str(foreign),    SLICE("x"),
                              SLICE("AAAAAAAAAAA"),  SLICE("AAAAAAAAAAAAAAAAAAAAA"),
                              SLICE("!!!!!!!!"),     SLICE("AAAA===="),
                              slice_of(longest, 54), slice_of(longest, 53),
                              slice_of(longest, 56), slice_of(longest, 57)};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    assert_false(session_proved(&s, ids[i]));
    assert_false(session_lacks_address(&s, ids[i]));
    session_extend(&s, ids[i], id);
    assert_string_equal(id, fresh);
  }
}

static void takes_no_part_of_a_tag(void **state) {
  (void)state;
  char id[SESSION_ID_SPACE];
  unsigned char bytes[BASE64_SPACE(SESSION_TAG * 3)] = {0};
  struct session s = session_of(0);
  size_t len = 0;
  session_extend(&s, SLICE(""), id);
  assert_true(base64_decode(BASE64_URL, slice_str(id), bytes, &len));
  for (size_t more = 0; more <= SESSION_TAG; more++) {
    bytes[len + more] = 0;
    base64_encode(BASE64_URL, bytes, len + more, id);
    assert_int_equal(session_proved(&s, slice_str(id)), more % SESSION_TAG == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ends_at_the_claim_or_the_bound),
      cmocka_unit_test(proves_token_address_end_and_key),
      cmocka_unit_test(every_bit_counts),
      cmocka_unit_test(holds_four_addresses_and_drops_the_oldest),
      cmocka_unit_test(passes_over_what_is_foreign),
      cmocka_unit_test(takes_no_part_of_a_tag),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
