/** An image straight from its registry into a layout: for when there is no gateway, or it has no
 *  swarm. Blocking. */
#pragma once

#include "image/source.h"

struct direct_options {
  const struct image_reference *image;     /**< of a registry */
  const struct image_source_options *from; /**< credentials, trust and platform */
  const char *folder;                      /**< the layout */
  const char *unfinished;                  /**< a folder on the same file system; made when missing,
                                                removed when it is empty in the end */
  const char *name;                        /**< of the image in the layout; NULL: none */
  int stop;                                /**< ends it once it is readable (node/stop.h) */
  /** Told as bytes come; may be NULL. \p done and \p size are of the whole image, \p kept of
   *  what was there already. */
  void (*progress)(void *arg, uint64_t done, uint64_t kept, uint64_t size);
  void *arg;
};

struct direct_result {
  char digest[sizeof "sha256:" + 64]; /**< of the manifest */
  uint64_t size, fetched;             /**< bytes of all blobs, and of those that were not there */
  size_t blobs, kept;                 /**< how many there are, and were there already */
};

/** \return 0, or -1 as image_source_open() and image_source_read(). */
int direct_pull(const struct direct_options *options, struct direct_result *out, struct error *e);
