#include "tracker/session.h"
#include "tracker/siphash.h"

#include <endian.h>

/* An id's tags; the first is over no address. None: it is not an id of this token and end. */
struct tags {
  unsigned char bytes[1 + SESSION_ADDRESSES_MAX][SESSION_TAG];
  size_t count;
};

int64_t session_end(const struct token_grant *grant, int64_t max) {
  if (grant->kind != TOKEN_SWARM || grant->session == 0 || grant->issued == 0) {
    return 0;
  }
  int64_t latest = grant->issued + max;
  return grant->session < latest ? grant->session : latest;
}

static void make_tag(const struct session *s, bool with_address, unsigned char out[SESSION_TAG]) {
  unsigned char text[sizeof s->grant->fingerprint + sizeof(uint64_t) + sizeof s->from->address];
  uint64_t end = htobe64((uint64_t)s->end);
  size_t len = sizeof s->grant->fingerprint;
  memcpy(text, s->grant->fingerprint, len);
  memcpy(text + len, &end, sizeof end);
  len += sizeof end;
  if (with_address) {
    memcpy(text + len, s->from->address, s->from->address_len);
    len += s->from->address_len;
  }
  uint64_t tag = htole64(siphash(s->key + (with_address ? SIPHASH_KEY : 0), text, len));
  memcpy(out, &tag, SESSION_TAG);
}

/* In the same time wherever the difference is. */
static bool tag_equal(const unsigned char *a, const unsigned char *b) {
  unsigned char difference = 0;
  for (size_t i = 0; i < SESSION_TAG; i++) {
    difference |= a[i] ^ b[i];
  }
  return difference == 0;
}

static struct tags read_id(const struct session *s, struct slice id) {
  struct tags none = {.count = 0}, tags = none;
  unsigned char own[SESSION_TAG];
  /* The decoder wants room for whole groups and two bytes more. */
  unsigned char bytes[sizeof tags.bytes + 2];
  size_t len = 0;
  if (id.len == 0 || id.len >= SESSION_ID_SPACE || !base64_decode(BASE64_URL, id, bytes, &len) ||
      len > sizeof tags.bytes || len % SESSION_TAG != 0) {
    return none;
  }
  memcpy(tags.bytes, bytes, len);
  tags.count = len / SESSION_TAG;
  make_tag(s, false, own);
  return tag_equal(tags.bytes[0], own) ? tags : none;
}

static bool holds_tag(const struct tags *tags, const unsigned char *tag) {
  bool found = false;
  for (size_t i = 1; i < tags->count; i++) {
    found |= tag_equal(tags->bytes[i], tag);
  }
  return found;
}

static bool holds_address(const struct session *s, const struct tags *tags) {
  unsigned char own[SESSION_TAG];
  make_tag(s, true, own);
  return holds_tag(tags, own);
}

bool session_proved(const struct session *s, struct slice id) {
  struct tags tags = read_id(s, id);
  return holds_address(s, &tags);
}

bool session_lacks_address(const struct session *s, struct slice id) {
  struct tags tags = read_id(s, id);
  return tags.count > 0 && !holds_address(s, &tags);
}

size_t session_extend(const struct session *s, struct slice id, char out[SESSION_ID_SPACE]) {
  struct tags tags = read_id(s, id);
  if (tags.count == 0) {
    make_tag(s, false, tags.bytes[0]);
    tags.count = 1;
  }
  unsigned char own[SESSION_TAG];
  make_tag(s, true, own);
  if (!holds_tag(&tags, own)) {
    if (tags.count == 1 + SESSION_ADDRESSES_MAX) {
      memmove(tags.bytes[1], tags.bytes[2], sizeof tags.bytes - 2 * sizeof *tags.bytes);
      tags.count--;
    }
    memcpy(tags.bytes[tags.count++], own, SESSION_TAG);
  }
  return base64_encode(BASE64_URL, tags.bytes, tags.count * SESSION_TAG, out);
}
