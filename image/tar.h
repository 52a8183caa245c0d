/**
 * A tar file, plain or compressed, whose regular files are read by name without unpacking it.
 * tar_open() reads all of it once, tar_read() goes to a file again; in the order of `position` that
 * is one pass more, however many files there are. Of a compressed archive, where going back means
 * to unpack all that is before, JSON documents are kept in memory by tar_open().
 */
#pragma once

#include "image/source.h"
#include "image/unpacker.h"

enum {
  TAR_FILES_MAX = 16 * 1024, /**< files and links in one archive */
  TAR_NAME_MAX = 1024,       /**< bytes of a name, and of what a link leads to */
  TAR_LINKS_MAX = 8,         /**< links on the way to a file */
  /** Bytes of all documents that are kept, each of IMAGE_MANIFEST_MAX at most. */
  TAR_KEPT_MAX = 32 * 1024 * 1024,
};

struct tar;

struct tar_file {
  const char *name;   /**< from the archive's root, without `.` and `..` */
  const char *link;   /**< likewise, of a symbolic or hard link; else NULL */
  const char *digest; /**< of its bytes; NULL of links, and where tar_open() has not hashed */
  uint64_t size;
  enum packing packing; /**< how its bytes are compressed; known where they were hashed */
  const char *unpacked; /**< of gzip and zstd: the digest of what they unpack to; NULL when they
                             cannot be unpacked */
  const char *kept;     /**< its bytes where they are kept; else NULL */
  size_t position;      /**< among the archive's entries, from 0 */
};

/**
 * Reads the archive through; without \p hash only what it holds, seeking over the files of one that
 * is not compressed. Formats are ustar, pax and GNU tar, in gzip, bzip2, xz or zstd where
 * compressed. Files with holes, names that come twice and compression of what is compressed are
 * refused.
 *
 * \return 0, or -1: ERROR_NOT_FOUND, ERROR_FAILED.
 */
int tar_open(const char *path, bool hash, struct tar **out, struct error *e);
/** NULL is fine. */
void tar_close(struct tar *tar);

/** The file of that name, links followed; NULL when there is none. */
const struct tar_file *tar_find(const struct tar *tar, const char *name);
/** A file with those bytes; NULL when there is none. */
const struct tar_file *tar_find_digest(const struct tar *tar, const char *digest);

/** Streams a file's bytes, which are those of tar_open() only if their digest is. It is an error if
 * they are not as many as its size. */
int tar_read(struct tar *tar, const struct tar_file *file, image_sink *sink, void *arg,
             struct error *e);
