/** What the commands of a node have in common: which image, which gateway, whose credentials, and
 * how much of the network. */
#pragma once

#include "args.h"
#include "image/source.h"
#include "node/pull.h"

/** `struct node_args a = {.from.tls_verify = true};`, then its options in a table of args_read(),
 *  then node_args_check(). */
struct node_args {
  const char *gateway, *platform_text;
  const char *address, *lower_port, *upper_port, *upload_rate, *download_rate, *upload_slots;
  bool insecure;
  struct image_source_options from;

  struct arena arena; /**< of what follows; freed by the owner */
  struct image_reference reference;
  struct image_platform platform;
  struct bittorrent_options bittorrent;
};

/** The options, for a table. */
#define NODE_ARGS_OPTIONS(a)                                                                       \
  {.name = "gateway", .value = &(a)->gateway}, {.name = "insecure", .flag = &(a)->insecure},       \
      {.name = "platform", .value = &(a)->platform_text},                                          \
      {.name = "address", .value = &(a)->address},                                                 \
      {.name = "lower-port", .value = &(a)->lower_port},                                           \
      {.name = "upper-port", .value = &(a)->upper_port},                                           \
      {.name = "upload-slots", .value = &(a)->upload_slots},                                       \
      {.name = "upload-rate", .value = &(a)->upload_rate},                                         \
      {.name = "download-rate", .value = &(a)->download_rate},                                     \
      {.name = "authfile", .value = &(a)->from.authfile},                                          \
      {.name = "creds", .value = &(a)->from.creds},                                                \
      {.name = "cert-dir", .value = &(a)->from.cert_dir}, {                                        \
    .name = "tls-verify", .truth = &(a)->from.tls_verify                                           \
  }

/**
 * Reads what was given, and \p image, `HOST/NAME[:TAG][@DIGEST]` with or without `docker://`. The
 * gateway is that of the option, or else of `$SWARMGATE_GATEWAY`, or of the node's configuration.
 *
 * \return 0, or -1 with ERROR_USAGE.
 */
int node_args_check(struct node_args *a, const char *image, struct error *e);

/** Fills in what pull_run() is to know of it; \p a outlives \p out. */
void node_args_fill(const struct node_args *a, struct pull_options *out);
