/** The bencoded answers of the tracker (BEP 3, 7, 21, 23, 24, 31, 48). Pure. */
#pragma once

#include "bencode/writer.h"
#include "tracker/announce.h"
#include "tracker/scrape.h"

/** Bytes of the longest answer, one of SWARM_WANT_MAX peers in dictionaries: each at most a peer
 * id, an IPv6 address in text and a port. */
enum { ANSWER_MAX = 1024 + SWARM_WANT_MAX * 100 };

/** What an announce is answered besides what the swarm says. */
struct answer_announce {
  const struct swarm_answer *swarm;
  const struct swarm_endpoint *from; /**< the asker: `external ip` */
  uint32_t interval, min_interval;   /**< seconds */
  bool compact, no_peer_id;
  struct slice tracker_id; /**< left out when empty */
};

/* Each writes one dictionary to a writer that has ANSWER_MAX bytes. */

void answer_announce(struct bencode_writer *w, const struct answer_announce *a);

/** One swarm of a scrape: \p counts of those of \p asked that are \p covered. */
void answer_scrape(struct bencode_writer *w, const struct scrape *asked, const bool *covered,
                   const struct swarm_counts *counts);

/** `failure reason`. */
void answer_failure(struct bencode_writer *w, const char *reason);

/** `failure reason` `missing parameter: NAME` or `invalid parameter: NAME`. */
void answer_fault(struct bencode_writer *w, struct parameter_fault fault);

/** `failure reason` `tracker is full`, and `retry in` \p minutes. */
void answer_full(struct bencode_writer *w, uint32_t minutes);
