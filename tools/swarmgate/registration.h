/** What `torrent create --register` tells the server: all of an image's torrents, or none. */
#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "db/torrent_store.h"
#include "image/reference.h"
#include "torrent/metainfo.h"

/** Begins as the options say: NULL where a name is to be found out. */
struct registration {
  const char *registry, *repository;
  struct db *db;
  struct torrent_record *records;
  size_t count, capacity;
};

/**
 * Settles registry and repository by \p reference and the configuration, both of which must
 * outlive it, and opens the database.
 *
 * \return 0, or -1: ERROR_USAGE where a name is missing or not known, ERROR_FAILED.
 */
int registration_open(struct registration *r, const struct config *config,
                      const struct image_reference *reference, struct error *e);

/** Takes one more torrent, whose bytes stay where they are until it is committed, and \p digest.
 * \return 0, or -1. */
int registration_add(struct registration *r, const struct metainfo *m, const char *digest,
                     struct arena *arena, struct error *e);

/** Registers what was added, in one transaction. \return 0, or -1 when nothing was. */
int registration_commit(struct registration *r, struct error *e);

void registration_close(struct registration *r);
