/** The agent made known to this machine's container runtimes, and that taken back. */
#pragma once

#include "base/error.h"
#include "node/route.h"

#include <stdio.h>

struct install_options {
  const char *root;               /**< below which the files lie: "" for the machine's own */
  const char *file;               /**< the node's configuration, which the files name */
  const char *listen;             /**< where the agent listens, host and port */
  const struct route_host *hosts; /**< whose images are mirrored */
  size_t host_count;
  FILE *says; /**< is told what was done, and what else there is to do */
};

/**
 * Writes containerd's `/etc/containerd/certs.d/HOST/hosts.toml` for each registry, and
 * `/etc/containers/registries.conf.d/50-swarmgate.conf` for podman, skopeo and buildah. A file that
 * this has not written, by its first line, is never touched, but said.
 *
 * \return 0, or -1 with ERROR_FAILED, also when a file of another's was in the way; whatever else
 * can be done has been done then.
 */
int install_write(const struct install_options *options, struct error *e);

/** Removes what install_write() has written, for registries that are no longer configured too.
 *  \return as install_write(). */
int install_remove(const struct install_options *options, struct error *e);
