// LINKS tracker auth bencode db http base
/* Queries, a line each, put to one tracker by holders of a right token, now and after its exp:
 * every answer is one bencoded dictionary that ascends, and a refusal tells nothing. The first
 * byte of a line says from which address, what is asked, whether time goes on before, and whether
 * the last tracker id is sent along. */
#include "bencode/reader.h"
#include "tracker/tracker.h"

#include <netinet/in.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1800000000, TTL = 600, ADDRESSES = 3, SCRAPE = 4, LATER = 8, WITH_ID = 16 };

static void check(bool good) {
  if (!good) {
    abort();
  }
}

/* A keyring of one key, and a token signed by it; made once, for both are only read. */
static struct keyring *keyring_with_token(struct buf *token) {
  static struct key key;
  static struct trust_row row = {.accept = TOKEN_SWARM, .algorithms = KEY_EDDSA};
  static const struct slice hashes[] = {{"7468652d686173682d6f662d32302d6279746573", 40},
                                        {"6161616161616161616161616161616161616161", 40}};
  static char issuer[] = "issuer", audience[] = "tracker";
  struct buf pem = {0};
  row.issuer = issuer;
  row.audience = audience;
  check(key_generate(KEY_EDDSA, &pem, NULL) == 0 &&
        key_parse_private(buf_view(&pem), "key", &key, NULL) == 0 &&
        keyset_parse(buf_view(&pem), "key", &row.keys, NULL) == 0);
  buf_free(&pem);
  struct token claims = {.kind = TOKEN_SWARM,
                         .issuer = slice_str(issuer),
                         .audience = slice_str(audience),
                         .subject = SLICE("fuzz"),
                         .issued = NOW,
                         .expires = NOW + TTL,
                         .session = NOW + 10 * TTL,
                         .infohash_texts = hashes,
                         .infohash_count = 2};
  buf_str(token, "Bearer ");
  check(token_sign(&key, &claims, token, NULL) == 0);
  struct keyring_state *state = keyring_state_new();
  check(state != NULL);
  state->trust = (struct trust){.rows = &row, .count = 1, .leeway = 60};
  return keyring_new(state);
}

static struct sockaddr_storage source_of(unsigned number) {
  struct sockaddr_storage address = {.ss_family = number == 0 ? AF_INET6 : AF_INET};
  unsigned char bytes[16] = {10, 0, 0, (unsigned char)number};
  memcpy(number == 0 ? (void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                     : (void *)&((struct sockaddr_in *)&address)->sin_addr,
         bytes, number == 0 ? 16 : 4);
  return address;
}

/* \return the answer's tracker id, or an empty slice. */
static struct slice check_answer(struct slice answer) {
  struct slice id = {NULL, 0}, value;
  struct bencode_reader r = bencode_reader(answer);
  check(bencode_next(&r).type == BENCODE_DICT);
  bool refused = false, told = false;
  struct bencode_token key;
  while ((key = bencode_next(&r)).type == BENCODE_STRING) {
    refused |= slice_equal(key.string, SLICE("failure reason"));
    told |= slice_equal(key.string, SLICE("peers")) || slice_equal(key.string, SLICE("files"));
    check(bencode_skip(&r, &value));
    if (slice_equal(key.string, SLICE("tracker id"))) {
      slice_cut(&value, ':');
      id = value;
    }
  }
  check(key.type == BENCODE_END && bencode_next(&r).type == BENCODE_DONE && refused != told);
  return id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct buf token;
  static struct keyring *keyring;
  if (keyring == NULL) {
    keyring = keyring_with_token(&token);
  }
  struct tracker_options options = {.interval = 900,
                                    .min_interval = 30,
                                    .numwant_default = 50,
                                    .numwant_max = 200,
                                    .session_max = 86400,
                                    .max_peers = 8,
                                    .keyring = keyring,
                                    .max_tokens = 1,
                                    .kinds = TOKEN_SWARM};
  struct tracker *tracker = NULL;
  check(tracker_new(&options, &tracker, NULL) == 0);
  struct tracker_request r = {.authorization_count = 1, .now = NOW, .tick = 1};
  r.authorization = buf_view(&token);
  struct slice rest = slice_of(data, size);
  char id[SESSION_ID_SPACE] = "";
  struct buf with_id = {0};
  while (rest.ptr != NULL) {
    struct slice line = slice_cut(&rest, '\n');
    unsigned how = line.len > 0 ? (unsigned char)line.ptr[0] : 0;
    struct sockaddr_storage from = source_of((how & 3) % ADDRESSES);
    r.peer = (struct sockaddr *)&from;
    r.query = slice_from(line, 1);
    if ((how & WITH_ID) != 0) {
      buf_consume(&with_id, with_id.len);
      buf_slice(&with_id, r.query);
      buf_printf(&with_id, "&trackerid=%s", id);
      r.query = buf_view(&with_id);
    }
    if ((how & LATER) != 0) {
      r.now += TTL;
      r.tick += TTL;
      tracker_expire_at(tracker, r.tick);
    }
    char bytes[ANSWER_MAX];
    struct bencode_writer w = bencode_writer(bytes, sizeof bytes);
    ((how & SCRAPE) != 0 ? tracker_scrape : tracker_announce)(tracker, &r, &w);
    check(!w.full && tracker_peers(tracker) <= options.max_peers);
    struct slice told = check_answer(slice_of(bytes, w.len));
    if (told.len > 0) {
      check(told.len < sizeof id);
      memcpy(id, told.ptr, told.len);
      id[told.len] = '\0';
    }
  }
  buf_free(&with_id);
  tracker_free(tracker);
  return 0;
}
