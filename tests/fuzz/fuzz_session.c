// LINKS tracker auth base PkgConfig::UV
/* Tracker ids: of bytes that nobody signed none proves anything; and along a chain of addresses, a
 * byte each, an id is good for the last four of them and no others, and for its own token and end
 * alone. */
#include "tracker/session.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHAIN_MAX = 64 };

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static struct swarm_endpoint endpoint(uint8_t number) {
  struct swarm_endpoint at = {.address_len = number % 2 == 0 ? 4 : 16};
  at.address[3] = number / 2;
  return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const unsigned char key[SESSION_KEY] = "32 bytes of a key, as they come";
  struct token_grant grant = {.kind = TOKEN_SWARM}, other = grant;
  other.fingerprint[15] = 1;
  struct swarm_endpoint from = endpoint(0);
  struct session s = {.key = key, .grant = &grant, .end = 1800000000, .from = &from};
  struct slice foreign = slice_of(data, size);
  check(!session_proved(&s, foreign) && !session_lacks_address(&s, foreign));

  char id[SESSION_ID_SPACE] = "", next[SESSION_ID_SPACE];
  size_t len = session_extend(&s, foreign, id);
  uint8_t kept[SESSION_ADDRESSES_MAX] = {0};
  size_t count = 1;
  for (size_t i = 0; i < size && i < CHAIN_MAX; i++) {
    bool known = memchr(kept, data[i] / 2 * 2 + data[i] % 2, count) != NULL;
    from = endpoint(data[i]);
    check(session_proved(&s, slice_of(id, len)) == known);
    check(session_lacks_address(&s, slice_of(id, len)) == !known);
    len = session_extend(&s, slice_of(id, len), next);
    check(len < SESSION_ID_SPACE && strlen(next) == len);
    memcpy(id, next, sizeof id);
    check(session_proved(&s, slice_of(id, len)));
    if (!known && count == SESSION_ADDRESSES_MAX) {
      memmove(kept, kept + 1, --count);
    }
    if (!known) {
      kept[count++] = data[i];
    }
    struct session wrong = s;
    wrong.grant = &other;
    check(!session_proved(&wrong, slice_of(id, len)));
    wrong = s;
    wrong.end++;
    check(!session_proved(&wrong, slice_of(id, len)));
  }
  return 0;
}
