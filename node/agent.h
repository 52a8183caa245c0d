/** The agent: a mirror of registries on this machine, for its container runtimes, that pulls
 * through swarms. */
#pragma once

#include "base/log.h"
#include "node/bittorrent.h"
#include "node/route.h"

struct agent_options {
  const struct route_host *hosts; /**< whose images are mirrored; one at least */
  size_t host_count;
  const char *const *listen; /**< addresses, as http_listen() takes them */
  size_t listen_count;
  const char *folder;       /**< of the store; made when missing */
  uint64_t max_size;        /**< bytes that its blobs may take */
  uint64_t seed_ms;         /**< how long a blob is seeded once it is there */
  const char *authfile;     /**< as image_credentials_find() takes it */
  const char *cert_dir;     /**< what gateways are trusted by; NULL: the system's authorities */
  bool insecure;            /**< credentials may go to a gateway on plain http not on loopback */
  bool require_credentials; /**< runtimes are challenged, and gateways are asked with theirs */
  struct bittorrent_options bittorrent; /**< ports and rates */
  const struct log *log;
};

/**
 * Runs until SIGINT or SIGTERM, upon which answers under way are finished, for some seconds, and
 * swarms are left in order.
 *
 * \return 0, or -1 when it cannot start: ERROR_USAGE, ERROR_FAILED.
 */
int agent_run(const struct agent_options *options, struct error *e);
