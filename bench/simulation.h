/**
 * Nodes that start one image at once, of which more than a machine can run: each chooses its pieces
 * with node/plan.h and fetches them as node/feeder.h does, over links that are reckoned and not
 * there. One event after the other, in the order of a clock of its own; the same options give the
 * same result.
 *
 * What is reckoned: the gateway's link, shared evenly by the requests that are under way; each
 * node's link, either way; a latency for each message; the tracker, which tells a node who came
 * before it; connections, up to so many a node; upload slots as libtorrent has them, each piece the
 * rarest that the asker sees. What is not: TCP, CPUs, disks, and more than one torrent.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct simulation_options {
  uint32_t nodes;
  uint32_t pieces;
  uint32_t piece_size;  /**< bytes */
  double gateway_rate;  /**< bytes a second that leave it */
  double node_rate;     /**< bytes a second that a node sends, and that it takes */
  double latency;       /**< seconds that a message is under way */
  double starts_within; /**< seconds, within which all nodes start */
  uint32_t connections; /**< peers that a node keeps at most */
  uint32_t want;        /**< peers that the tracker tells a node of at most */
  uint32_t slots;       /**< peers that a node sends to at once */
  uint32_t seed;        /**< of the dice; any number but 0 */
};

struct simulation_result {
  uint32_t requests;          /**< that the gateway had */
  double copies;              /**< pieces that it sent, by those that there are */
  double ideal;               /**< seconds that a node alone would take */
  double first, median, last; /**< seconds until a node had all of it */
  uint32_t peers_least;       /**< connections of the node that has the fewest */
  double peers_mean;
};

/** Those of docs/performance.md, but for nodes, connections and want, which are 0: an image of
 *  613 pieces of 256 KiB, a gateway with 100 Mbit/s, nodes with 200, 1 ms. */
struct simulation_options simulation_options_usual(void);

/** \return 0, or -1 with ERROR_FAILED when there is no memory, or when the nodes do not come to an
 *  end. */
int simulate(const struct simulation_options *options, struct simulation_result *out,
             struct error *e);
