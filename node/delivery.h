/** A delivery on its way, and the ways it can go. Private to node/deliver*.c. */
#pragma once

#include "image/manifest.h"
#include "node/deliver.h"
#include "node/layout.h"

#include <sys/types.h>

struct delivery {
  const struct deliver_options *options;
  struct arena arena;
  struct layout *layout;
  struct slice bytes; /* of the manifest */
  struct image_manifest manifest;
  struct image_descriptor *blobs; /* distinct */
  size_t blob_count;
  uint64_t done, size; /* for the progress */
  int output;          /* where an archive goes */
  const char *name;    /* how errors call that */
};

/** Opens a blob of the layout. \return a descriptor, or -1 with ERROR_FAILED. */
int delivery_open(const struct delivery *d, const char *digest, struct error *e);
/**
 * Reads of \p fd, and counts that; gives up when it should.
 *
 * \return how many bytes, 0 at the end, or -1 with ERROR_FAILED.
 */
ssize_t delivery_read(struct delivery *d, int fd, char *buffer, size_t len, struct error *e);
enum { DELIVERY_READ_SIZE = 256 * 1024 };

/** How the image is called: the destination's name, or else `host/name@digest`. NULL without
 * memory. */
const char *delivery_name(struct delivery *d);

/** Whether there is room for so many bytes beside \p path. \return 0, or -1 with ERROR_FAILED. */
int delivery_check_room(const char *path, uint64_t size, struct error *e);

/** Each writes to d->output, or makes and fills what its name says. \return 0, or -1. */
typedef int delivery_way(struct delivery *d, struct error *e);
delivery_way deliver_oci_archive, deliver_docker_archive;
delivery_way deliver_dir, deliver_storage, deliver_containerd;
