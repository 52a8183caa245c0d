/**
 * Torrents under the CA that swarms have today (docs/peers.md). What was stored without it, or
 * under another, is put under it when it is asked for: its pieces stay as they are.
 */
#pragma once

#include "auth/swarm_ca.h"
#include "db/torrent_store.h"

/**
 * torrent_store_find(), but under the CA in force. It need not be stored as that yet.
 *
 * \return 0, or -1: as torrent_store_find(), and ERROR_FAILED for an info dictionary that is none.
 */
int swarm_torrent_find(struct db_txn *txn, struct swarm_authority *authority, struct slice digest,
                       uint8_t format, struct arena *arena, struct torrent_record *out,
                       struct error *e);

/** Stores what that finds, where it is not there yet, and says torrent_store_allow() of it.
 *  \return 0, or -1 with \p e, of either. */
int swarm_torrent_allow(struct db_txn *txn, struct swarm_authority *authority, struct slice digest,
                        uint8_t format, struct slice registry, struct slice repository,
                        struct error *e);
