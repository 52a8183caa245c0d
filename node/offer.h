/** What a gateway answers to the one question of a pull: manifest, torrents and tokens (the
 *  contract's `GET /v1/<name>/manifests/<reference>`), read and checked. Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "image/manifest.h"
#include "torrent/metainfo.h"

enum { OFFER_MAX = 96 * 1024 * 1024 }; /**< bytes of an answer; 1,024 torrents of full size fit */

/** A blob of the image. */
struct offer_blob {
  const char *digest; /**< valid by image_digest_valid() */
  const char *media_type;
  uint64_t size;
  struct slice torrent;     /**< its metainfo file, for bittorrent_add(); empty for an empty blob */
  struct metainfo metainfo; /**< the same, read: single file, private, of this name and size */
  const char *webseed;      /**< where the gateway serves it. Secret: there is a token in it. */
};

/** All of it is in the arena; freed by offer_free(). */
struct offer {
  struct arena arena;
  const char *digest; /**< of the manifest */
  const char *media_type;
  struct slice manifest; /**< the exact bytes */
  struct offer_index {
    const char *digest;
    const char *media_type;
    struct slice manifest;
  } index; /**< what was asked for, where that is an index which names the manifest; digest is NULL
                where it is not */
  struct offer_blob *blobs; /**< config first, then layers, each digest once, no foreign layers */
  size_t blob_count;
  uint64_t size;    /**< of all blobs, bytes */
  int64_t lifetime; /**< of the right to join, seconds */
  int64_t session;  /**< when the right to stay ends, seconds since 1970 */
};

/**
 * Reads an answer. Nothing in it is believed that can be checked: the manifest is that of its
 * digest, the blobs are those that it names, and each torrent is private and of one file with the
 * blob's name and size.
 *
 * \return 0, or -1: ERROR_MISMATCH when manifest or index is not that of its digest, else
 * ERROR_FAILED.
 */
int offer_parse(struct slice json, struct offer *out, struct error *e);

/** Whether it is what was asked for: by a tag, which the gateway knows best, or by the digest of
 * its manifest, or of its index. */
bool offer_answers(const struct offer *offer, const char *reference);

/** An offer that was read, or zeroed. */
void offer_free(struct offer *offer);
