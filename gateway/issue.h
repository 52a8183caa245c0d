/** The tokens that are handed out, and the torrents they are put into. */
#pragma once

#include "db/audit_event.h"
#include "db/torrent_store.h"
#include "gateway/gateway.h"

/** To whom, and for what; strings as the tokens carry them. */
struct issue_grant {
  struct slice subject;
  struct slice registry;
  struct slice repository;
  struct slice from; /**< the address that asked, for the audit log */
};

/** The tokens signed for one answer, for the logs: identifiers, not the tokens. Zeroed there are
 *  none. The events, and what they point to, live as long as the grant, and the arena that they
 * were signed into. */
struct issued {
  struct audit_event *events;
  size_t count, room;
};

/** How many torrents one swarm token has room for, at most: it names infohashes, and a hybrid has
 *  two of them. */
size_t issue_swarm_max(enum torrent_format format);

/**
 * Signs a swarm token for all of \p records, of which only the infohashes are looked at.
 *
 * \param count 1 to issue_swarm_max() of their format.
 * \param now NumericDate.
 * \param issued has it added, unless it failed.
 * \param out in \p arena.
 * \return 0, or -1: ERROR_USAGE when it would be longer than TOKEN_MAX, ERROR_FAILED.
 */
int issue_swarm(const struct gateway_options *o, const struct issue_grant *grant,
                const struct torrent_record *records, size_t count, int64_t now,
                struct arena *arena, struct issued *issued, struct slice *out, struct error *e);

/**
 * Makes a blob's webseed URL, which ends in `/`, with a fresh webseed token in its path.
 *
 * \param digest `sha256:<hex>`.
 * \param issued, out, e and the value returned: as of issue_swarm().
 */
int issue_webseed(const struct gateway_options *o, const struct issue_grant *grant,
                  struct slice digest, int64_t now, struct arena *arena, struct issued *issued,
                  struct slice *out, struct error *e);

/**
 * Makes the `.torrent` of \p record with these tokens.
 *
 * \param swarm the swarm token, \p webseed the URL of issue_webseed().
 * \param out the file; freed by the caller, also after a failure.
 * \return 0, or -1 with ERROR_FAILED.
 */
int issue_file(const struct gateway_options *o, const struct torrent_record *record,
               struct slice swarm, struct slice webseed, struct arena *arena, struct buf *out,
               struct error *e);

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
                  struct issued *issued, struct buf *out, struct error *e);

/** The torrent's name of a blob: `sha256-<hex>`, in \p arena; a NULL pointer without memory. */
struct slice issue_name(struct slice digest, struct arena *arena);

/** Logs whom the tokens went to, a line each. */
void issue_log(const struct gateway_options *o, const struct issued *issued);
