/** An OCI image layout that is being filled (OCI image specification, image-layout.md): what has a
 *  name in it is whole and right, after a crash too. */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct layout;

/** Opens the folder, and makes it a layout where it is none yet. \return 0, or -1 with
 * ERROR_FAILED.
 */
int layout_open(const char *folder, struct layout **out, struct error *e);
/** NULL is fine. */
void layout_close(struct layout *layout);

/** Where a blob is, or would be: malloc'ed; NULL without memory. */
char *layout_path(const struct layout *layout, const char *digest);

/**
 * Whether \p path is the blob of that digest and size: reads all of it. Any thread may call it.
 *
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such file, ERROR_MISMATCH, ERROR_FAILED.
 */
int layout_check(const char *path, const char *digest, uint64_t size, struct error *e);

/** Gives the file \p from, on the same file system, the blob's name as well, once it is on disk;
 * its bytes were checked. Any thread may call it. \return 0, or -1 with ERROR_FAILED. */
int layout_link(const struct layout *layout, const char *from, const char *digest, struct error *e);

/** Writes a blob. \return 0, or -1 with ERROR_FAILED. */
int layout_write(const struct layout *layout, const char *digest, struct slice bytes,
                 struct error *e);

/** A manifest in `index.json`. */
struct layout_entry {
  const char *digest, *media_type;
  uint64_t size;
  const char *name; /**< `org.opencontainers.image.ref.name`; NULL: none */
};

/** Puts a manifest into `index.json`, in place of one of the same name, or of the same digest where
 *  neither has a name. The last thing to do. \return 0, or -1 with ERROR_FAILED. */
int layout_enter(const struct layout *layout, const struct layout_entry *entry, struct error *e);
