/** The tokens that are handed out, and the torrents they are put into. */
#pragma once

#include "db/torrent_store.h"
#include "gateway/gateway.h"

/** To whom, and for what; strings as the tokens carry them. */
struct issue_grant {
  struct slice subject;
  struct slice registry;
  struct slice repository;
};

/** What was issued, for the log: identifiers, not the tokens. */
struct issue_ids {
  char swarm[33];   /**< `jti` of the swarm token */
  char webseed[33]; /**< `jti` of the webseed token */
};

/** How many torrents one swarm token has room for, at most: it names infohashes, and a hybrid has
 *  two of them. */
size_t issue_swarm_max(enum torrent_format format);

/**
 * Signs a swarm token for all of \p records, of which only the infohashes are looked at.
 *
 * \param count 1 to issue_swarm_max() of their format.
 * \param now NumericDate.
 * \param id set to its `jti`.
 * \param out in \p arena.
 * \return 0, or -1: ERROR_USAGE when it would be longer than TOKEN_MAX, ERROR_FAILED.
 */
int issue_swarm(const struct gateway_options *o, const struct issue_grant *grant,
                const struct torrent_record *records, size_t count, int64_t now,
                struct arena *arena, char id[33], struct slice *out, struct error *e);

/**
 * Makes a blob's webseed URL, which ends in `/`, with a fresh webseed token in its path.
 *
 * \param digest `sha256:<hex>`.
 * \param id, out, e and the value returned: as of issue_swarm().
 */
int issue_webseed(const struct gateway_options *o, const struct issue_grant *grant,
                  struct slice digest, int64_t now, struct arena *arena, char id[33],
                  struct slice *out, struct error *e);

/**
 * Makes the `.torrent` of \p record for one caller: announce URL with a swarm token, url-list with
 * a webseed token, both fresh.
 *
 * \param now NumericDate.
 * \param out the file; freed by the caller, also after a failure.
 * \return 0, or -1: ERROR_USAGE when a token would be longer than its kind may be, ERROR_FAILED.
 */
int issue_torrent(const struct gateway_options *o, const struct issue_grant *grant,
                  const struct torrent_record *record, int64_t now, struct arena *arena,
                  struct buf *out, struct issue_ids *ids, struct error *e);

/** The torrent's name of a blob: `sha256-<hex>`, in \p arena; a NULL pointer without memory. */
struct slice issue_name(struct slice digest, struct arena *arena);

/** Logs that the tokens \p ids went to the subject of \p grant. */
void issue_log(const struct gateway_options *o, const struct issue_grant *grant,
               struct slice digest, const struct issue_ids *ids);
