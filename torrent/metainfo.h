/**
 * Metainfo files: single file, private (BEP 3, 12, 19, 27, 52). The info dictionary depends on the
 * blob, the format and the swarm CA alone, so every machine makes the same infohash.
 */
#pragma once

#include "base/arena.h"
#include "torrent/hasher.h"

enum {
  METAINFO_MAX = 32 * 1024 * 1024, /**< bytes of a .torrent that is read */
  METAINFO_URLS_MAX = 64,          /**< announce URLs in one that is read; webseeds likewise */
  METAINFO_NAME_MAX = 255,         /**< bytes: what file systems take */
};

/** A metainfo file, read or to be written. Slices point into what was read, or belong to the maker.
 */
struct metainfo {
  enum torrent_format format;
  struct slice name;
  uint64_t size;
  uint32_t piece_length;
  bool is_private;
  struct slice info;         /**< the bencoded info dictionary, to the byte */
  struct slice pieces;       /**< v1: 20 bytes a piece */
  struct slice pieces_root;  /**< v2: 32 bytes */
  struct slice piece_layers; /**< v2: the bencoded `piece layers` dictionary; v1: empty */
  struct slice piece_layer;  /**< v2: this file's layer; empty for one piece or less */
  /** `ssl-cert`, of libtorrent's SSL torrents: the CA, in PEM, whose certificates peers show each
   *  other; empty: they show none */
  struct slice ca;
  unsigned char infohash[20];    /**< v1: SHA-1 of info; v2-only: infohash_v2 cut to 20 bytes */
  unsigned char infohash_v2[32]; /**< v2 and hybrid: SHA-256 of info */
  const struct slice *announce;  /**< announce URLs in order: `announce`, then `announce-list` */
  size_t announce_count;
  const struct slice *webseeds; /**< `url-list` */
  size_t webseed_count;
};

/**
 * Makes the info dictionary, and for v2 the piece layers, of \p hashes under \p name, and with it
 * all members but announce and webseeds. Memory comes from \p arena; all is copied.
 *
 * \param ca goes into the info dictionary; empty: none does.
 * \param name a file name: 1 to METAINFO_NAME_MAX bytes, no `/`, no control characters, not `.` or
 * `..`.
 * \return 0, or -1: ERROR_USAGE for such a name, ERROR_FAILED.
 */
int metainfo_make(const struct hashes *hashes, struct slice name, struct slice ca,
                  struct arena *arena, struct metainfo *out, struct error *e);

/** The CA that the info dictionary \p info has, in PEM, within it; empty: none, or it cannot be
 *  read. */
struct slice metainfo_ca(struct slice info);

/** Whether the info dictionary \p info has that CA, or, when \p ca is empty, none. */
bool metainfo_is_under(struct slice info, struct slice ca);

/**
 * Puts a torrent under another CA: the info dictionary is written anew with \p ca in place of the
 * one that is in it, if any, and the infohashes follow. The pieces stay as they are, so that
 * nothing is hashed but the dictionary.
 *
 * \param m of whose members format and info are looked at; info, ca and the infohashes are set.
 * \param ca as of metainfo_make(); empty: under none.
 * \param arena has the new info dictionary.
 * \return 0, or -1 with ERROR_FAILED: info is no dictionary, or no memory.
 */
int metainfo_put_under(struct metainfo *m, struct slice ca, struct arena *arena, struct error *e);

/**
 * Reads and checks a metainfo file of a single file: the name, sizes, counts of pieces, the v1 part
 * against the v2 part, the piece layer against its root. Unknown keys are ignored; so is `announce`
 * being there again in `announce-list`.
 *
 * \param bytes at most METAINFO_MAX; they must outlive \p out, whose slices point into them.
 * \param arena has the lists of URLs.
 * \return 0, or -1 with ERROR_FAILED that says what is wrong.
 */
int metainfo_read(struct slice bytes, struct arena *arena, struct metainfo *out, struct error *e);

/**
 * Appends the file: announce (and announce-list, a tier a URL, when there are several), info, piece
 * layers, url-list. Of \p m only announce, info, piece_layers and webseeds are looked at. No
 * creation date, no creator: the same input gives the same bytes.
 *
 * \return 0, or -1 with ERROR_FAILED when there is no memory.
 */
int metainfo_write(const struct metainfo *m, struct buf *out, struct error *e);

/** Whether \p name can be a torrent's: see metainfo_make(). */
bool metainfo_name_valid(struct slice name);

/**
 * Sets the infohashes from info and format. For whoever puts a metainfo together from its parts.
 *
 * \return 0, or -1 with ERROR_FAILED when OpenSSL fails.
 */
int metainfo_hash(struct metainfo *m, struct error *e);
