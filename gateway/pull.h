/** All that a pull of one image takes, in one answer: torrents and tokens of its blobs. */
#pragma once

#include "gateway/request.h"
#include "image/manifest.h"

enum {
  PULL_BLOBS_MAX = 256,   /**< distinct blobs of an image; docker makes 127 layers at most */
  PULL_QUESTIONS_MAX = 4, /**< to the registry at a time, of one request */
};

/** An image's manifest, which the caller may read; in the exchange's arena. */
struct pull_manifest {
  struct slice digest;
  struct slice etag;
  struct slice bytes;
  struct image_manifest image; /**< no index */
  struct pull_index {
    struct slice digest;
    struct slice bytes;
    const char *media_type;
  } index; /**< what was asked for, where that is an index; else empty */
};

/**
 * Answers the request with the manifest, torrents and tokens, as the contract's section Gateway has
 * it, or with 202 while torrents are being made.
 *
 * \param m lives as long as the exchange.
 */
void pull_start(const struct request *r, const struct pull_manifest *m);
