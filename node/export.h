/** An image out of storage that belongs to a container runtime, by the runtime's own tool. */
#pragma once

#include "node/destination.h"

struct export_options {
  const struct destination *of; /**< of destination_parse_runtime(), and checked */
  const char *digest;           /**< of the image, where it has no tag; else NULL */
  const char *platform;         /**< of an index, as written; NULL: this machine's */
  const char *folder;           /**< where it is put; there is nothing in it called `exported` */
  int stop;                     /**< ends it once it is readable (node/stop.h) */
};

/**
 * Has the image put into the folder. Blocks.
 *
 * containerd has the registry's own blobs, but for those that it was told to discard
 * (`discard_unpacked_layers`). podman's storage keeps layers unpacked: what comes out of it is
 * packed anew by skopeo or podman, in gzip, and is what the registry has only where the very same
 * packing made that.
 *
 * \param out what to read it from, by image_source_open(); strings are in the arena.
 * \return 0, or -1 with ERROR_FAILED, also when there is no such image.
 */
int export_run(const struct export_options *options, struct arena *arena,
               struct image_reference *out, struct error *e);
