/** From the OCI layout that a pull has filled to its destination: an archive, a folder, or a
 *  container runtime's own storage through the runtime's own tool. */
#pragma once

#include "node/destination.h"

#include <stdint.h>

struct deliver_options {
  const struct destination *to; /**< checked; not `oci:`, which is the layout itself */
  const char *layout;           /**< its folder; what is in it was checked */
  const char *digest;           /**< of the image's manifest in it */
  const char *making; /**< where a file or folder is made that then takes its place at to->path, on
                           the same file system; NULL for destinations that have no path */
  const char *platform; /**< of the image, as written; NULL: this machine's */
  int stop;             /**< ends it once it is readable (node/stop.h) */

  /** How many bytes of so many were read; may be NULL. */
  void (*progress)(void *arg, uint64_t done, uint64_t size);
  void *arg;
};

/**
 * Delivers the image, all of it or nothing: a file or folder has its name once it is whole, and in
 * place of one that was there at once. Blocks.
 *
 * \return 0, or -1: ERROR_MISMATCH when a layer does not unpack to what the config names, which a
 * docker-archive's must; else ERROR_FAILED.
 */
int deliver(const struct deliver_options *options, struct error *e);

/** As deliver(), where no loop runs that looks out for signals: SIGINT and SIGTERM end it. */
int deliver_alone(const struct deliver_options *options, struct error *e);
