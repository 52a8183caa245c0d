/** The query of an announce (BEP 3, 7, 21, 23), read strictly. Pure. */
#pragma once

#include "tracker/parameter.h"

enum {
  ANNOUNCE_PORT_MIN = 1024, /**< lower ports are those of services, not of peers */
  ANNOUNCE_KEY_MAX = 64,    /**< bytes of `key` */
};

/** `numwant` when none is named. */
#define ANNOUNCE_NUMWANT_DEFAULT UINT32_MAX

/** What a client says. `key` is checked for its form alone: nothing depends on it. */
struct announce {
  unsigned char info_hash[INFOHASH];
  unsigned char peer_id[PEER_ID];
  uint64_t uploaded, downloaded, left; /**< bytes */
  uint32_t numwant;                    /**< up to SWARM_WANT_MAX, or ANNOUNCE_NUMWANT_DEFAULT */
  uint16_t port;                       /**< 0: only with SWARM_STOPPED */
  enum swarm_event event;
  bool compact;    /**< true unless `compact=0` */
  bool no_peer_id; /**< peer ids are not wanted in answers that are not compact */
  struct parameter_bearer bearer;
};

/**
 * Reads an announce. Required are info_hash, peer_id, port, uploaded, downloaded and left. Numbers
 * are decimal and fit 64 bits; `numwant=-1`, by which some clients say "as you like", is the
 * default. A parameter that is known comes once at most. `ip`, `ipv4`, `ipv6` and all unknown ones
 * are passed over, whatever they are.
 *
 * \param out its `bearer` is right even when there is a fault elsewhere.
 * \return the first parameter that is invalid, in the query's order; else the first one missing.
 */
struct parameter_fault announce_parse(struct slice query, struct announce *out);
