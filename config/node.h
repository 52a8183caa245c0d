/**
 * The configuration of a node (contract, Programs: `swarmgate agent`, and where `pull` and `seed`
 * find their gateway), read as that of swarmgated is: every refusal names file:line and the key's
 * path.
 */
#pragma once

#include "config/config.h"

/** Where it is looked for when nothing else is said. */
#define NODE_CONFIG_FILE "/etc/swarmgate/node.yaml"

/** What a node gives to its peers when nothing else is said, so that its own work has the most of a
 *  link of 1 Gbit/s: bytes a second, and peers at once. */
#define NODE_UPLOAD_RATE  "64MiB"
#define NODE_UPLOAD_SLOTS "8"

/** Durations are seconds, sizes and rates are bytes, and bytes a second. */
struct node_config {
  char *file;                   /**< as it was given */
  struct config_pairs gateways; /**< a registry's host, as references name it, to a gateway's URL
                                     without a final slash; at least one */
  struct config_texts listen;   /**< as a tracker's; default 127.0.0.1:5123 */
  struct config_text store;     /**< path; default /var/lib/swarmgate-node */
  uint64_t store_size;          /**< bytes that blobs may take there */
  struct config_text authfile;  /**< path; NULL when left out, as is: */
  struct config_text cert_dir;
  bool insecure; /**< credentials may go to a gateway on plain http that is not on loopback */
  bool require_credentials; /**< runtimes are challenged, and the registry is asked with theirs */
  struct config_texts addresses;       /**< literal, that peers connect to; none: all */
  uint32_t lower_port, upper_port;     /**< both 0: any that is free */
  uint64_t upload_rate, download_rate; /**< 0: as fast as it goes */
  uint32_t upload_slots;               /**< peers that are sent to at once; 0: any number */
  uint32_t seed_for;
  struct log log;
};

/** As config_load() and config_parse(); ERROR_NOT_FOUND when there is no such file. */
int node_config_load(const char *path, struct node_config *out, struct error *e);
int node_config_parse(const char *name, const char *bytes, size_t len, struct node_config *out,
                      struct error *e);
void node_config_free(struct node_config *config);

/** The URL of a registry's gateway; NULL when there is none for it. */
const char *node_config_gateway(const struct node_config *config, const char *host);
