/* What an announce and a scrape are answered: the contract's section Tracker, line by line. */
#include "rig.h"

#include "unit/cmocka_all.h"

#include <stdio.h>
#include <unistd.h>

static int set_up(void **state) {
  *state = rig_new(NULL);
  return 0;
}

static int tear_down(void **state) {
  rig_free(*state);
  return 0;
}

/* An announce of peer number n, from an address of its own. */
static void join(struct rig *rig, unsigned n, const char *more) {
  char address[32], query[512];
  snprintf(address, sizeof address, "10.1.%u.%u", n / 250, n % 250 + 1);
  rig_from(rig, address);
  snprintf(query, sizeof query,
           "info_hash=" RIG_HASH "&peer_id=-XX0001-%012u&port=%u&uploaded=0&downloaded=0%s", n,
           2000 + n, more);
  rig_announce_with(rig, rig->token, "%s", query);
  rig_assert_welcome(rig);
  rig_from(rig, "10.0.0.1");
}

/* --- announce --- */

static void tells_all_the_contract_names(void **state) {
  struct rig *rig = *state;
  join(rig, 1, "&left=0&event=completed");
  join(rig, 2, "&left=5");
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=started");
  assert_int_equal(rig_number(rig, "complete"), 1);
  assert_int_equal(rig_number(rig, "incomplete"), 2);
  assert_int_equal(rig_number(rig, "downloaded"), 1);
  assert_int_equal(rig_number(rig, "min interval"), 30);
  assert_in_range(rig_number(rig, "interval"), RIG_INTERVAL * 9 / 10, RIG_INTERVAL * 11 / 10);
  assert_true(slice_equal(rig_get(rig->answer, "external ip"), SLICE("\x0a\0\0\1")));
  assert_true(rig_get(rig->answer, "tracker id").len > 0);
  assert_int_equal(rig_get(rig->answer, "peers").len, 12);
  assert_null(rig_get(rig->answer, "peers6").ptr);
  assert_null(rig_get(rig->answer, "failure reason").ptr);
}

/* The whole answer by hand, from BEP 3, BEP 23 and BEP 24. */
static void is_written_as_the_beps_say(void **state) {
  struct rig *rig = *state;
  join(rig, 1, "&left=0");
  rig_announce_with(rig, rig->token, RIG_QUERY);
  struct slice id = rig_get(rig->answer, "tracker id");
  struct slice expected = arena_printf(
      &rig->arena,
      "d8:completei1e10:downloadedi0e11:external ip4:%c%c%c%c10:incompletei1e8:intervali%de"
      "12:min intervali30e5:peers6:%c%c%c%c%c%c10:tracker id%zu:%.*se",
      10, 0, 0, 1, (int)rig_number(rig, "interval"), 10, 1, 0, 2, 2001 >> 8, 2001 & 255, id.len,
      SLICE_ARG(id));
  assert_int_equal(rig->answer.len, expected.len);
  assert_memory_equal(rig->answer.ptr, expected.ptr, expected.len);
}

static void lists_peers_in_dictionaries_when_asked(void **state) {
  struct rig *rig = *state;
  join(rig, 1, "&left=0");
  rig_from(rig, "2001:db8::7");
  rig_announce_with(rig, rig->token,
                    "info_hash=" RIG_HASH "&peer_id=-XX0001-v6v6v6v6v6v6&port=51413&uploaded=0"
                    "&downloaded=0&left=9");
  rig_from(rig, "10.0.0.1");
  rig_announce_with(rig, rig->token, RIG_QUERY "&compact=0");
  struct slice peers = rig_get(rig->answer, "peers");
  struct slice expected = SLICE("ld2:ip8:10.1.0.27:peer id20:-XX0001-0000000000014:porti2001ee"
                                "d2:ip11:2001:db8::77:peer id20:-XX0001-v6v6v6v6v6v6"
                                "4:porti51413eee");
  assert_true(slice_equal(peers, expected));
  assert_null(rig_get(rig->answer, "peers6").ptr);
  rig_announce_with(rig, rig->token, RIG_QUERY "&compact=0&no_peer_id=1");
  assert_true(
      slice_equal(rig_get(rig->answer, "peers"),
                  SLICE("ld2:ip8:10.1.0.24:porti2001eed2:ip11:2001:db8::74:porti51413eee")));
  rig_announce_with(rig, rig->token, RIG_QUERY "&compact=0&numwant=0");
  assert_true(slice_equal(rig_get(rig->answer, "peers"), SLICE("le")));
}

/* The client of npm's bittorrent-tracker says left=16384 when it is told nothing else. */
static void believes_completed_over_left(void **state) {
  struct rig *rig = *state;
  join(rig, 1, "&left=0");
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=completed");
  assert_int_equal(rig_number(rig, "complete"), 2);
  assert_int_equal(rig_number(rig, "incomplete"), 0);
  assert_int_equal(rig_number(rig, "downloaded"), 1);
  assert_int_equal(rig_get(rig->answer, "peers").len, 0);
  /* What it lacks from then on, it lacks. */
  rig_announce_with(rig, rig->token, RIG_QUERY);
  assert_int_equal(rig_number(rig, "complete"), 1);
  assert_int_equal(rig_number(rig, "incomplete"), 1);
  assert_int_equal(rig_get(rig->answer, "peers").len, 6);
}

static void speaks_ipv6(void **state) {
  struct rig *rig = *state;
  rig_from(rig, "2001:db8::1");
  rig_announce_with(rig, rig->token, RIG_QUERY);
  struct slice ip = rig_get(rig->answer, "external ip");
  assert_true(slice_equal(ip, slice_of("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16)));
  assert_int_equal(rig_get(rig->answer, "peers").len, 0);
  assert_non_null(rig_get(rig->answer, "peers").ptr);
  assert_null(rig_get(rig->answer, "peers6").ptr);
  rig_from(rig, "2001:db8::2");
  rig_announce_with(rig, rig->token,
                    "info_hash=" RIG_HASH "&peer_id=-XX0001-v6v6v6v6v6v6&port=51413&uploaded=0"
                    "&downloaded=0&left=9");
  assert_true(slice_equal(rig_get(rig->answer, "peers6"),
                          slice_of("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x1a\xe1", 18)));
  /* An IPv4 address in IPv6 clothes is an IPv4 address. */
  rig_from(rig, "::ffff:10.0.0.9");
  rig_announce_with(rig, rig->token, RIG_QUERY "&numwant=0");
  assert_true(slice_equal(rig_get(rig->answer, "external ip"), SLICE("\x0a\0\0\x09")));
}

static void gives_the_number_wanted(void **state) {
  struct rig *rig = *state;
  for (unsigned n = 0; n < 300; n++) {
    join(rig, n, n % 2 == 0 ? "&left=0" : "&left=1");
  }
  static const struct {
    const char *numwant;
    size_t peers;
  } rows[] = {{"", 50},
              {"&numwant=-1", 50},
              {"&numwant=0", 0},
              {"&numwant=1", 1},
              {"&numwant=200", 200},
              {"&numwant=201", 200},
              {"&numwant=18446744073709551615", 200},
              {"&numwant=7&event=stopped", 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rig_announce_with(rig, rig->token, RIG_QUERY "%s", rows[i].numwant);
    assert_int_equal(rig_get(rig->answer, "peers").len, 6 * rows[i].peers);
  }
}

static void the_longest_answer_fits(void **state) {
  (void)state;
  struct rig *rig = rig_new(NULL);
  rig->options.numwant_max = rig->options.numwant_default = SWARM_WANT_MAX;
  tracker_free(rig->tracker);
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  for (unsigned n = 0; n < SWARM_WANT_MAX + 1; n++) {
    char address[64];
    snprintf(address, sizeof address, "2001:1db8:1234:5678:9abc:def0:1234:1%03x", n);
    rig_from(rig, address);
    rig_announce_with(rig, rig->token,
                      "info_hash=" RIG_HASH "&peer_id=-XX0001-%012u&port=%u&uploaded=0"
                      "&downloaded=0&left=9&compact=0",
                      n, 50000 + n);
  }
  assert_int_equal(rig_number(rig, "incomplete"), SWARM_WANT_MAX + 1);
  assert_in_range(rig->answer.len, 90 * SWARM_WANT_MAX, ANSWER_MAX);
  rig_free(rig);
}

static void jitters_the_interval(void **state) {
  struct rig *rig = *state;
  int64_t least = INT64_MAX, most = 0;
  for (unsigned n = 0; n < 200; n++) {
    join(rig, n, "&left=1");
    int64_t interval = rig_number(rig, "interval");
    least = interval < least ? interval : least;
    most = interval > most ? interval : most;
  }
  assert_in_range(least, RIG_INTERVAL * 9 / 10, RIG_INTERVAL - 60);
  assert_in_range(most, RIG_INTERVAL + 60, RIG_INTERVAL * 11 / 10);
}

static void one_interval_only(struct tracker_options *o) {
  o->min_interval = o->interval;
}

static void never_asks_back_before_the_min_interval(void **state) {
  (void)state;
  struct rig *rig = rig_new(one_interval_only);
  for (unsigned n = 0; n < 50; n++) {
    join(rig, n, "&left=1");
    assert_in_range(rig_number(rig, "interval"), RIG_INTERVAL, RIG_INTERVAL * 11 / 10);
  }
  rig_free(rig);
}

static void address_parameters_are_ignored(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY "&ip=9.9.9.9&ipv4=9.9.9.9:99&ipv6=::9");
  join(rig, 1, "&left=1");
  assert_true(slice_equal(rig_get(rig->answer, "peers"), SLICE("\x0a\0\0\1\x1a\xe1")));
}

static void an_answer_to_stopped_and_paused(void **state) {
  struct rig *rig = *state;
  join(rig, 1, "&left=1");
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=paused");
  assert_int_equal(rig_number(rig, "incomplete"), 2);
  assert_int_equal(rig_get(rig->answer, "peers").len, 6);
  rig_announce_with(rig, rig->token,
                    "info_hash=" RIG_HASH "&peer_id=" RIG_PEER
                    "&port=0&uploaded=0&downloaded=0&left=1&event=stopped");
  assert_int_equal(rig_number(rig, "incomplete"), 1);
  assert_int_equal(rig_get(rig->answer, "peers").len, 0);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  assert_int_equal(tracker_peers(rig->tracker), 1);
}

/* --- refusals --- */

static void asks_for_a_token_before_all(void **state) {
  struct rig *rig = *state;
  static const char *const queries[] = {"", RIG_QUERY, "jwt=&" RIG_QUERY, "jwt", "left=x"};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
    rig_announce(rig, queries[i]);
    rig_assert_failure(rig, "token required");
    rig_scrape(rig, queries[i]);
    rig_assert_failure(rig, "token required");
  }
  rig->authorization = "Basic dXNlcjpwYXNz";
  rig_announce(rig, RIG_QUERY);
  rig_assert_failure(rig, "token required");
  rig->authorization = "Bearer";
  rig_announce(rig, RIG_QUERY);
  rig_assert_failure(rig, "token required");
  rig->authorization = "Bearer   ";
  rig_announce(rig, RIG_QUERY);
  rig_assert_failure(rig, "token required");
}

static void refuses_tokens_that_are_not_right(void **state) {
  struct rig *rig = *state;
  struct token wrong = rig_claims();
  wrong.audience = SLICE("another");
  const char *const tokens[] = {"x",
                                "a.b.c",
                                "%zz",
                                rig_sign(rig, &wrong),
                                arena_printf(&rig->arena, "%sA", rig->token).ptr,
                                arena_printf(&rig->arena, "%%20%s", rig->token).ptr};
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
    rig_announce_with(rig, tokens[i], RIG_QUERY);
    rig_assert_failure(rig, "token invalid");
    rig_announce_with(rig, tokens[i], "port=x");
    rig_assert_failure(rig, "token invalid");
    rig_scrape(rig, arena_printf(&rig->arena, "jwt=%s&info_hash=" RIG_HASH, tokens[i]).ptr);
    rig_assert_failure(rig, "token invalid");
  }
  assert_int_equal(tracker_peers(rig->tracker), 0);
}

static void takes_the_token_from_the_field(void **state) {
  struct rig *rig = *state;
  rig->authorization = arena_printf(&rig->arena, "bearer  %s", rig->token).ptr;
  rig_announce(rig, RIG_QUERY);
  rig_assert_welcome(rig);
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  rig_announce_with(rig, "", RIG_QUERY);
  rig_assert_welcome(rig);
  rig_scrape(rig, "info_hash=" RIG_HASH);
  rig_assert_welcome(rig);
  /* Two that differ: there is no telling. */
  struct token other = rig_claims();
  other.subject = SLICE("somebody else");
  rig_announce_with(rig, rig_sign(rig, &other), RIG_QUERY);
  rig_assert_failure(rig, "token invalid");
}

static void takes_an_escaped_token(void **state) {
  struct rig *rig = *state;
  char escaped[TOKEN_MAX];
  size_t len = 0;
  for (const char *c = rig->token; *c != '\0'; c++) {
    if (*c == '.') {
      len += (size_t)snprintf(escaped + len, sizeof escaped - len, "%%2E");
    } else {
      escaped[len++] = *c;
    }
  }
  escaped[len] = '\0';
  rig_announce_with(rig, escaped, RIG_QUERY);
  rig_assert_welcome(rig);
}

static void says_what_is_wrong_to_who_has_a_token(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, "left=0");
  rig_assert_failure(rig, "missing parameter: info_hash");
  rig_announce_with(rig, rig->token, RIG_QUERY "&left=0");
  rig_assert_failure(rig, "invalid parameter: left");
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=sleeping");
  rig_assert_failure(rig, "invalid parameter: event");
  rig_announce_with(rig, rig->token,
                    "info_hash=" RIG_HASH "&peer_id=" RIG_PEER
                    "&port=80&uploaded=0&downloaded=0&left=1");
  rig_assert_failure(rig, "invalid parameter: port");
  rig_announce_with(rig, rig->token, RIG_QUERY "&jwt=%s", rig->token);
  rig_assert_failure(rig, "invalid parameter: jwt");
  rig_scrape(rig, arena_printf(&rig->arena, "jwt=%s", rig->token).ptr);
  rig_assert_failure(rig, "missing parameter: info_hash");
  rig_scrape(rig, arena_printf(&rig->arena, "jwt=%s&info_hash=a", rig->token).ptr);
  rig_assert_failure(rig, "invalid parameter: info_hash");
  assert_int_equal(tracker_peers(rig->tracker), 0);
}

static void a_torrent_outside_the_token_is_like_none(void **state) {
  struct rig *rig = *state;
  static const struct slice other_hash[] = {{"ffffffffffffffffffffffffffffffffffffffff", 40}};
  struct token other = rig_claims();
  other.infohash_texts = other_hash;
  join(rig, 1, "&left=1");
  rig_announce_with(rig, rig_sign(rig, &other), RIG_QUERY);
  rig_assert_failure(rig, "not authorised for this torrent");
  struct slice there = slice_of(arena_copy(&rig->arena, rig->answer), rig->answer.len);
  rig_announce_with(rig, rig->token,
                    "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=" RIG_PEER
                    "&port=6881&uploaded=0&downloaded=0&left=1");
  rig_assert_failure(rig, "not authorised for this torrent");
  assert_true(slice_equal(rig->answer, there));
  assert_int_equal(tracker_swarms(rig->tracker), 1);
}

static void small_tracker(struct tracker_options *o) {
  o->max_peers = 2;
}

static void is_full_but_serves_those_it_knows(void **state) {
  (void)state;
  struct rig *rig = rig_new(small_tracker);
  join(rig, 1, "&left=1");
  join(rig, 2, "&left=1");
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_failure(rig, "tracker is full");
  assert_int_equal(rig_number(rig, "retry in"), 15);
  join(rig, 1, "&left=0");
  assert_int_equal(rig_get(rig->answer, "peers").len, 6);
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=stopped");
  rig_assert_welcome(rig);
  join(rig, 2, "&left=1&event=stopped");
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  rig_free(rig);
}

/* --- scrape --- */

static void scrapes_what_the_token_covers(void **state) {
  struct rig *rig = *state;
  static const struct slice hashes[] = {{RIG_HEX, 40},
                                        {"6161616161616161616161616161616161616161", 40}};
  struct token two = rig_claims();
  two.infohash_texts = hashes;
  two.infohash_count = 2;
  join(rig, 1, "&left=0&event=completed");
  join(rig, 2, "&left=1");
  join(rig, 3, "&left=1&event=paused");
  rig_scrape_with(
      rig, rig_sign(rig, &two),
      "&info_hash=bbbbbbbbbbbbbbbbbbbb&info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=" RIG_HASH
      "&info_hash=aaaaaaaaaaaaaaaaaaaa");
  struct slice expected =
      SLICE("d5:filesd20:aaaaaaaaaaaaaaaaaaaa"
            "d8:completei0e10:downloadedi0e11:downloadersi0e10:incompletei0ee20:" RIG_HASH
            "d8:completei1e10:downloadedi1e11:downloadersi1e10:incompletei2eeee");
  assert_int_equal(rig->answer.len, expected.len);
  assert_memory_equal(rig->answer.ptr, expected.ptr, expected.len);
  /* Nothing of it outside: an empty dictionary. */
  rig_scrape_with(rig, rig->token, "&info_hash=bbbbbbbbbbbbbbbbbbbb");
  assert_true(slice_equal(rig->answer, SLICE("d5:filesdee")));
  assert_int_equal(tracker_swarms(rig->tracker), 1);
}

/* --- the rest --- */

static void refuses_options_that_contradict(void **state) {
  struct rig *rig = *state;
  struct tracker *t = NULL;
  struct error e = {0};
  struct tracker_options o = rig->options;
  o.min_interval = o.interval + 1;
  assert_int_equal(tracker_new(&o, &t, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  o = rig->options;
  o.interval = 0;
  assert_int_equal(tracker_new(&o, &t, &e), -1);
  /* The seconds until a peer is silent would overflow. */
  o.interval = INT32_MAX / 5 + 1;
  assert_int_equal(tracker_new(&o, &t, &e), -1);
  o.interval--;
  assert_int_equal(tracker_new(&o, &t, &e), 0);
  tracker_free(t);
  o = rig->options;
  o.numwant_max = SWARM_WANT_MAX + 1;
  assert_int_equal(tracker_new(&o, &t, &e), -1);
  o = rig->options;
  o.numwant_default = o.numwant_max + 1;
  assert_int_equal(tracker_new(&o, &t, &e), -1);
}

static void at_debug(struct tracker_options *o) {
  static const struct log log = {LOG_LEVEL_DEBUG, false};
  o->log = &log;
}

/* The operator who asks for it is told why a token is invalid, but not the token. */
static void logs_why_a_token_is_invalid(void **state) {
  (void)state;
  struct rig *rig = rig_new(at_debug);
  char line[512] = "";
  FILE *file = tmpfile();
  assert_non_null(file);
  int saved = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_announce_with(rig, "no.token.here", RIG_QUERY);
  dup2(saved, STDERR_FILENO);
  close(saved);
  rewind(file);
  assert_non_null(fgets(line, sizeof line, file));
  assert_non_null(strstr(line, "a token from 10.0.0.1"));
  assert_non_null(strstr(line, "is invalid: the header is not canonical base64url"));
  assert_null(strstr(line, "no.token.here"));
  assert_null(fgets(line, sizeof line, file));
  fclose(file);
  rig_assert_failure(rig, "token invalid");
  rig_free(rig);
}

static void forgets_the_silent(void **state) {
  struct rig *rig = *state;
  join(rig, 1, "&left=1");
  for (int i = 0; i < 40; i++) {
    tracker_expire_at(rig->tracker, RIG_TICK + RIG_INTERVAL * 5 / 2);
  }
  assert_int_equal(tracker_peers(rig->tracker), 1);
  for (int i = 0; i < 40; i++) {
    tracker_expire_at(rig->tracker, RIG_TICK + RIG_INTERVAL * 5 / 2 + 1);
  }
  assert_int_equal(tracker_peers(rig->tracker), 0);
  assert_int_equal(tracker_swarms(rig->tracker), 0);
  assert_int_equal(tracker_tokens(rig->tracker), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(tells_all_the_contract_names),
      TEST(is_written_as_the_beps_say),
      TEST(lists_peers_in_dictionaries_when_asked),
      TEST(believes_completed_over_left),
      TEST(speaks_ipv6),
      TEST(gives_the_number_wanted),
      cmocka_unit_test(the_longest_answer_fits),
      TEST(jitters_the_interval),
      cmocka_unit_test(never_asks_back_before_the_min_interval),
      TEST(address_parameters_are_ignored),
      TEST(an_answer_to_stopped_and_paused),
      TEST(asks_for_a_token_before_all),
      TEST(refuses_tokens_that_are_not_right),
      TEST(takes_the_token_from_the_field),
      TEST(takes_an_escaped_token),
      TEST(says_what_is_wrong_to_who_has_a_token),
      TEST(a_torrent_outside_the_token_is_like_none),
      cmocka_unit_test(is_full_but_serves_those_it_knows),
      TEST(scrapes_what_the_token_covers),
      TEST(refuses_options_that_contradict),
      cmocka_unit_test(logs_why_a_token_is_invalid),
      TEST(forgets_the_silent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
