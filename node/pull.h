/**
 * An image out of its swarms into an OCI layout: one question to the gateway, all blobs at once,
 * each checked against its digest before it has a name. What is there already is not fetched again,
 * and after a kill what was fetched is found.
 */
#pragma once

#include "image/source.h"
#include "node/bittorrent.h"

enum pull_phase {
  PULL_ASKING,   /**< the gateway is hashing: done and size are of that blob */
  PULL_FETCHING, /**< done and size are of the whole image */
  PULL_SEEDING,
};

/** How far a blob of the image is. */
struct pull_blob {
  const char *digest;
  uint64_t done, size; /**< bytes */
};

struct pull_progress {
  enum pull_phase phase;
  uint64_t done, size;    /**< bytes; size is 0 while it is not known */
  uint64_t from_gateway;  /**< bytes fetched of the gateway */
  uint64_t from_registry; /**< bytes fetched of the registry itself: node/direct.h */
  uint64_t from_peers;    /**< bytes that peers sent */
  uint64_t uploaded;      /**< bytes sent to peers */
  uint32_t peers;         /**< connected now, of the blob that has the most */
  /** Each, in the order of the manifest, once they are known; valid while it is told. */
  const struct pull_blob *blobs;
  size_t blob_count;
};

struct pull_result;

struct pull_options {
  const char *gateway; /**< its URL */
  bool insecure;       /**< credentials may go to a gateway on plain http that is not on loopback */
  const struct image_reference *image;     /**< of a registry: IMAGE_DOCKER */
  const struct image_source_options *from; /**< credentials, trust, and the platform of an index */
  const char *platform;                    /**< that platform as written; NULL: this machine's */
  const char *folder;                      /**< the layout */
  const char *unfinished; /**< a folder for unfinished data, on the same file system; removed when
                               all is there */
  const char *name;       /**< of the image in the layout; NULL: none */
  bool skip_webseed;      /**< take pieces of peers alone */
  uint64_t seed_ms;       /**< how long to go on seeding once all is there; UINT64_MAX: until a
                               signal or the registry ends it */
  bool there; /**< all blobs are in the layout already: what is not there is an error, and neither
                   manifest nor name is entered */
  struct bittorrent_options bittorrent; /**< ports and rates; wake and arg are the pull's own */

  /**
   * What is done with the layout before the seeding, once all is in it: on another thread, and
   * nothing is told of progress meanwhile. \p stop becomes readable when it is to be given up
   * (node/stop.h). \return 0, or -1, which ends the pull. May be NULL.
   */
  int (*deliver)(void *arg, const struct pull_result *so_far, int stop, struct error *e);

  /** Told now and then, and at the end; may be NULL. */
  void (*progress)(void *arg, const struct pull_progress *p);
  void *arg;
};

/** What came of it. */
struct pull_result {
  char digest[sizeof "sha256:" + 64]; /**< of the manifest */
  struct pull_progress progress;
  size_t blobs, kept; /**< blobs of the image, and how many of them were there already */
  bool no_index;      /**< the gateway was asked, and it is of one platform alone */
  bool interrupted;   /**< by a signal */
  bool here;          /**< it failed for want of something on this machine, such as disk */
};

/**
 * Pulls, and returns when all is in the layout and the seeding, if any, is over; SIGINT and SIGTERM
 * end it in order.
 *
 * \return 0, or -1: ERROR_NOT_FOUND when the gateway knows no such image or hides it, ERROR_DENIED,
 * ERROR_USAGE for credentials that must not go to that gateway, ERROR_MISMATCH, ERROR_FAILED.
 */
int pull_run(const struct pull_options *options, struct pull_result *out, struct error *e);
