#include "tracker/announce.h"

#include "http/query.h"

static bool read_info_hash(struct announce *a, struct slice value) {
  return parameter_bytes(value, a->info_hash, INFOHASH);
}

static bool read_peer_id(struct announce *a, struct slice value) {
  return parameter_bytes(value, a->peer_id, PEER_ID);
}

/* Whether a low one will do depends on the event, which may come later. */
static bool read_port(struct announce *a, struct slice value) {
  uint64_t port;
  if (!parameter_u64(value, &port) || port > UINT16_MAX) {
    return false;
  }
  a->port = (uint16_t)port;
  return true;
}

static bool read_uploaded(struct announce *a, struct slice value) {
  return parameter_u64(value, &a->uploaded);
}

static bool read_downloaded(struct announce *a, struct slice value) {
  return parameter_u64(value, &a->downloaded);
}

static bool read_left(struct announce *a, struct slice value) {
  return parameter_u64(value, &a->left);
}

static bool read_event(struct announce *a, struct slice value) {
  static const struct slice names[] = {[SWARM_REGULAR] = {NULL, 0},
                                       [SWARM_STARTED] = {"started", 7},
                                       [SWARM_COMPLETED] = {"completed", 9},
                                       [SWARM_STOPPED] = {"stopped", 7},
                                       [SWARM_PAUSED] = {"paused", 6}};
  char text[sizeof "completed"];
  size_t len;
  if (!query_decode(value, text, sizeof text, &len)) {
    return false;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (slice_equal(slice_of(text, len), names[i])) {
      a->event = (enum swarm_event)i;
      return true;
    }
  }
  return false;
}

static bool read_numwant(struct announce *a, struct slice value) {
  uint64_t number;
  if (parameter_u64(value, &number)) {
    a->numwant = number < SWARM_WANT_MAX ? (uint32_t)number : SWARM_WANT_MAX;
    return true;
  }
  return slice_equal(value, SLICE("-1"));
}

/* `0` or `1`. */
static bool read_switch(struct slice value, bool *out) {
  uint64_t number;
  if (!parameter_u64(value, &number) || number > 1) {
    return false;
  }
  *out = number == 1;
  return true;
}

static bool read_compact(struct announce *a, struct slice value) {
  return read_switch(value, &a->compact);
}

static bool read_no_peer_id(struct announce *a, struct slice value) {
  return read_switch(value, &a->no_peer_id);
}

static bool read_key(struct announce *a, struct slice value) {
  (void)a;
  char key[ANNOUNCE_KEY_MAX];
  size_t len;
  return query_decode(value, key, sizeof key, &len);
}

static bool read_trackerid(struct announce *a, struct slice value) {
  parameter_trackerid(&a->bearer, value);
  return true;
}

static bool read_jwt(struct announce *a, struct slice value) {
  parameter_jwt(&a->bearer, value);
  return true;
}

static const struct parameter {
  const char *name;
  size_t len;
  bool (*read)(struct announce *a, struct slice value);
} parameters[] = {
#define PARAMETER(name)                                                                            \
  { #name, sizeof #name - 1, read_##name }
    /* The required ones … */
    PARAMETER(info_hash),
    PARAMETER(peer_id),
    PARAMETER(port),
    PARAMETER(uploaded),
    PARAMETER(downloaded),
    PARAMETER(left),
    /* … and the others. */
    PARAMETER(event),
    PARAMETER(numwant),
    PARAMETER(compact),
    PARAMETER(no_peer_id),
    PARAMETER(key),
    PARAMETER(trackerid),
    PARAMETER(jwt),
#undef PARAMETER
};

enum { PARAMETERS = sizeof parameters / sizeof *parameters, REQUIRED = 6, PORT = 2 };

static size_t find_parameter(struct slice name) {
  size_t i = 0;
  while (i < PARAMETERS && !slice_equal(name, slice_of(parameters[i].name, parameters[i].len))) {
    i++;
  }
  return i;
}

struct parameter_fault announce_parse(struct slice query, struct announce *out) {
  out->port = 0;
  out->event = SWARM_REGULAR;
  out->numwant = ANNOUNCE_NUMWANT_DEFAULT;
  out->compact = true;
  out->no_peer_id = false;
  out->bearer.jwt = out->bearer.trackerid = slice_of(NULL, 0);
  struct parameter_fault fault = {NULL, false};
  unsigned seen = 0;
  struct slice name, value;
  while (query_next(&query, &name, &value)) {
    size_t i = find_parameter(name);
    if (i == PARAMETERS) {
      continue;
    }
    bool doubled = (seen & 1U << i) != 0;
    seen |= 1U << i;
    if ((doubled || !parameters[i].read(out, value)) && fault.name == NULL) {
      fault.name = parameters[i].name;
    }
  }
  for (size_t i = 0; i < REQUIRED && fault.name == NULL; i++) {
    if ((seen & 1U << i) == 0) {
      fault = (struct parameter_fault){parameters[i].name, true};
    }
  }
  if (fault.name == NULL && out->port < ANNOUNCE_PORT_MIN &&
      !(out->port == 0 && out->event == SWARM_STOPPED)) {
    fault.name = parameters[PORT].name;
  }
  return fault;
}
