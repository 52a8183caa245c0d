#include "tracker/announce.h"
#include "tracker/scrape.h"
#include "unit/cmocka_all.h"

#include <stdio.h>

#define HASH "info_hash=%01%02%03%04%05%06%07%08%09%0A%0b%0c%0d%0e%0f%10%11%12%13%14"
#define BASE HASH "&peer_id=-XX0001-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=3"

static struct announce a;

static void reads_what_clients_send(void **state) {
  (void)state;
  struct parameter_fault fault = announce_parse(
      SLICE("jwt=a.b%2Ec&" HASH "&peer_id=-qB4250-%7e%20%25+12345678&port=51413&uploaded=0"
            "&downloaded=18446744073709551615&left=4294967296&corrupt=0&key=71A2C5D6&event=started"
            "&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0&trackerid=abc%2d"),
      &a);
  assert_null(fault.name);
  assert_memory_equal(a.info_hash,
                      "\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14", 20);
  assert_memory_equal(a.peer_id, "-qB4250-~ %+12345678", 20);
  assert_int_equal(a.port, 51413);
  assert_true(a.uploaded == 0);
  assert_true(a.downloaded == UINT64_MAX);
  assert_true(a.left == UINT64_C(4294967296));
  assert_int_equal(a.event, SWARM_STARTED);
  assert_int_equal(a.numwant, 200);
  assert_true(a.compact);
  assert_true(a.no_peer_id);
  assert_true(slice_equal(a.bearer.jwt, SLICE("a.b.c")));
  assert_true(slice_equal(a.bearer.trackerid, SLICE("abc-")));
}

static void what_is_left_out_has_a_default(void **state) {
  (void)state;
  assert_null(announce_parse(SLICE(BASE), &a).name);
  assert_int_equal(a.event, SWARM_REGULAR);
  assert_true(a.numwant == ANNOUNCE_NUMWANT_DEFAULT);
  assert_true(a.compact);
  assert_false(a.no_peer_id);
  assert_int_equal(a.bearer.jwt.len, 0);
  assert_int_equal(a.bearer.trackerid.len, 0);
}

/* A whole query and the parameter that is wrong with it; `-` in front: missing. */
static void says_which_parameter_is_wrong(void **state) {
  (void)state;
  static const struct {
    const char *query;
    const char *fault; /* NULL: none */
  } rows[] = {
      {"", "-info_hash"},
      {"&&&", "-info_hash"},
      {"=&=1&%", "-info_hash"},
      {HASH, "-peer_id"},
      {HASH "&peer_id=-XX0001-abcdefghijkl", "-port"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=1024", "-uploaded"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=1024&uploaded=0", "-downloaded"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=1024&uploaded=0&downloaded=0", "-left"},
      {"peer_id=-XX0001-abcdefghijkl&port=1024&uploaded=0&downloaded=0&left=0", "-info_hash"},
      {"info%5Fhash=aaaaaaaaaaaaaaaaaaaa", "-info_hash"},
      {"Info_Hash=aaaaaaaaaaaaaaaaaaaa", "-info_hash"},
      /* empty, cut, too long, wrongly escaped, doubled */
      {"info_hash=&" BASE, "info_hash"},
      {"info_hash&" BASE, "info_hash"},
      {"info_hash=aaaaaaaaaaaaaaaaaaa", "info_hash"},
      {"info_hash=aaaaaaaaaaaaaaaaaaaaa", "info_hash"},
      {"info_hash=0102030405060708090a0b0c0d0e0f1011121314", "info_hash"},
      {"info_hash=aaaaaaaaaaaaaaaaaaa%", "info_hash"},
      {"info_hash=aaaaaaaaaaaaaaaaaaa%1", "info_hash"},
      {"info_hash=aaaaaaaaaaaaaaaaaaa%1g", "info_hash"},
      {"info_hash=aaaaaaaaaaaaaaaaaaa%%31", "info_hash"},
      {BASE "&" HASH, "info_hash"},
      {"peer_id=", "peer_id"},
      {"peer_id=abc", "peer_id"},
      {"peer_id=aaaaaaaaaaaaaaaaaaaaa", "peer_id"},
      {BASE "&peer_id=aaaaaaaaaaaaaaaaaaaa", "peer_id"},
      {"port=", "port"},
      {"port=0", "-info_hash"},
      {"port=65536", "port"},
      {"port=-1", "port"},
      {"port=+6881", "port"},
      {"port=6881%20", "port"},
      {"port=0x1ae1", "port"},
      {"port=6881.0", "port"},
      {"port=18446744073709558497", "port"},
      {BASE "&port=6881", "port"},
      {"uploaded=", "uploaded"},
      {"uploaded=-1", "uploaded"},
      {"uploaded=1e3", "uploaded"},
      {"uploaded=18446744073709551616", "uploaded"},
      {"downloaded=99999999999999999999", "downloaded"},
      {"downloaded=000000000000000000001", "downloaded"},
      {"left=-1", "left"},
      {"left=", "left"},
      {"left=18446744073709551616", "left"},
      {BASE "&left=3", "left"},
      {BASE "&event=", NULL},
      {BASE "&event", NULL},
      {BASE "&event=completed", NULL},
      {BASE "&event=comp%6ceted", NULL},
      {BASE "&event=Started", "event"},
      {BASE "&event=started%00", "event"},
      {BASE "&event=completedcompletedcompleted", "event"},
      {BASE "&event=&event=", "event"},
      {BASE "&event=%", "event"},
      {BASE "&numwant=0", NULL},
      {BASE "&numwant=-1", NULL},
      {BASE "&numwant=18446744073709551615", NULL},
      {BASE "&numwant=18446744073709551616", "numwant"},
      {BASE "&numwant=-2", "numwant"},
      {BASE "&numwant=", "numwant"},
      {BASE "&numwant=5&numwant=5", "numwant"},
      {BASE "&compact=0", NULL},
      {BASE "&compact=", "compact"},
      {BASE "&compact=2", "compact"},
      {BASE "&compact=yes", "compact"},
      {BASE "&compact=1&compact=1", "compact"},
      {BASE "&no_peer_id=-1", "no_peer_id"},
      {BASE "&key=", NULL},
      {BASE "&key=-12345678", NULL},
      {BASE "&key=%zz", "key"},
      {BASE "&key=1&key=1", "key"},
      {BASE "&key=0123456789012345678901234567890123456789012345678901234567890123", NULL},
      {BASE "&key=01234567890123456789012345678901234567890123456789012345678901234", "key"},
      {BASE "&trackerid=", NULL},
      {BASE "&trackerid=%zz", NULL},
      {BASE "&trackerid=a&trackerid=a", "trackerid"},
      {BASE "&jwt=a&jwt=a", "jwt"},
      {BASE "&ip=1.2.3.4&ip=%zz&ipv4=x&ipv6=&ipv6=", NULL},
      {BASE "&unknown=%zz&unknown", NULL},
      {"numwant=-2&" HASH "&left=-1", "numwant"},
      /* low ports */
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=1023&uploaded=0&downloaded=0&left=0", "port"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=0&uploaded=0&downloaded=0&left=0", "port"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=0&uploaded=0&downloaded=0&left=0&event=stopped",
       NULL},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0&event=stopped",
       "port"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=0&uploaded=0&downloaded=0&left=0&event=started",
       "port"},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=65535&uploaded=0&downloaded=0&left=0", NULL},
      {HASH "&peer_id=-XX0001-abcdefghijkl&port=1024&uploaded=0&downloaded=0&left=0", NULL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct parameter_fault fault = announce_parse(slice_str(rows[i].query), &a);
    char text[32] = "";
    if (fault.name != NULL) {
      snprintf(text, sizeof text, "%s%s", fault.missing ? "-" : "", fault.name);
    }
    if (strcmp(text, rows[i].fault == NULL ? "" : rows[i].fault) != 0) {
      fail_msg("%s: expected %s, got %s", rows[i].query, rows[i].fault, text);
    }
  }
}

static void numwant_beyond_all_bounds_is_the_bound(void **state) {
  (void)state;
  announce_parse(SLICE(BASE "&numwant=18446744073709551615"), &a);
  assert_int_equal(a.numwant, SWARM_WANT_MAX);
  announce_parse(SLICE(BASE "&numwant=-1"), &a);
  assert_true(a.numwant == ANNOUNCE_NUMWANT_DEFAULT);
}

static void the_token_is_found_whatever_else_is_wrong(void **state) {
  (void)state;
  announce_parse(SLICE("left=x&jwt=a.b.c&port=-1"), &a);
  assert_true(slice_equal(a.bearer.jwt, SLICE("a.b.c")));
  announce_parse(SLICE("jwt=a.b.c&jwt=d.e.f"), &a);
  assert_true(slice_equal(a.bearer.jwt, SLICE("a.b.c")));
  announce_parse(SLICE("jwt=a.b%zz"), &a);
  assert_true(slice_equal(a.bearer.jwt, SLICE("a.b%zz")));
  announce_parse(SLICE("jwt="), &a);
  assert_int_equal(a.bearer.jwt.len, 0);
  /* Escaped, it has a bound. */
  char query[4 + 3 * (TOKEN_REGISTRY_MAX + 1) + 1] = "jwt=";
  for (size_t i = 0; i < TOKEN_REGISTRY_MAX + 1; i++) {
    snprintf(query + 4 + 3 * i, 4, "%%61");
  }
  announce_parse(slice_of(query, sizeof query - 1), &a);
  assert_int_equal(a.bearer.jwt.len, sizeof query - 5);
  announce_parse(slice_of(query, sizeof query - 4), &a);
  assert_int_equal(a.bearer.jwt.len, TOKEN_REGISTRY_MAX);
}

static struct scrape s;

static void a_scrape_is_sorted_and_bounded(void **state) {
  (void)state;
  char query[SCRAPE_MAX * 31 + 64] = "";
  size_t len = 0;
  for (int i = SCRAPE_MAX; i > 0; i--) {
    len += (size_t)snprintf(query + len, sizeof query - len, "info_hash=%020d&", i);
  }
  assert_null(scrape_parse(slice_of(query, len), &s).name);
  assert_int_equal(s.count, SCRAPE_MAX);
  for (size_t i = 1; i < s.count; i++) {
    assert_true(memcmp(s.info_hash[i - 1], s.info_hash[i], INFOHASH) < 0);
  }
  snprintf(query + len, sizeof query - len, "info_hash=%020d", 5);
  assert_string_equal(scrape_parse(slice_str(query), &s).name, "info_hash");
  assert_null(scrape_parse(SLICE("info_hash=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaaa"
                                 "&jwt=a.b.c&info_hash=bbbbbbbbbbbbbbbbbbbb&trackerid=x&left=z"),
                           &s)
                  .name);
  assert_int_equal(s.count, 2);
  assert_memory_equal(s.info_hash[0], "aaaaaaaaaaaaaaaaaaaa", INFOHASH);
  assert_true(slice_equal(s.bearer.jwt, SLICE("a.b.c")));
  assert_true(slice_equal(s.bearer.trackerid, SLICE("x")));
}

static void a_scrape_says_what_is_wrong(void **state) {
  (void)state;
  static const struct {
    const char *query;
    const char *name;
    bool missing;
  } rows[] = {
      {"", "info_hash", true},
      {"jwt=a", "info_hash", true},
      {"info_hash=", "info_hash", false},
      {"info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=a", "info_hash", false},
      {"info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=aaaaaaaaaaaaaaaaaaa%g1", "info_hash", false},
      {"info_hash=aaaaaaaaaaaaaaaaaaaa&jwt=a&jwt=a", "jwt", false},
      {"info_hash=aaaaaaaaaaaaaaaaaaaa&trackerid=&trackerid=", "trackerid", false},
      {"info_hash=&jwt=&jwt=", "info_hash", false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct parameter_fault fault = scrape_parse(slice_str(rows[i].query), &s);
    assert_string_equal(fault.name, rows[i].name);
    assert_int_equal(fault.missing, rows[i].missing);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_what_clients_send),
      cmocka_unit_test(what_is_left_out_has_a_default),
      cmocka_unit_test(says_which_parameter_is_wrong),
      cmocka_unit_test(numwant_beyond_all_bounds_is_the_bound),
      cmocka_unit_test(the_token_is_found_whatever_else_is_wrong),
      cmocka_unit_test(a_scrape_is_sorted_and_bounded),
      cmocka_unit_test(a_scrape_says_what_is_wrong),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
