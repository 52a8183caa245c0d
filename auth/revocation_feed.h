/**
 * The list of revocations for trackers that stand alone: a JWS (RFC 7515) of `typ`
 * `revocations+jwt`, which is no token, and a token is none. Its claims are `iss`, `aud`, `iat`,
 * `exp` and
 *
 *     "revocations": {"sub": [{"sha256": HEX, "at": DATE, "until": DATE}], "jti": …}
 *
 * by kind; `sha256` is that of the full value, a v2 infohash is there a second time, cut to 40
 * digits; `until` is left out when there is none, and INT64_MAX is a ban.
 */
#pragma once

#include "auth/revocation.h"

enum {
  REVOCATION_FEED_MAX = 16 * 1024 * 1024,   /**< bytes of the JWS */
  REVOCATION_FEED_ENTRIES_MAX = 128 * 1024, /**< so many fit into that, but for `until` */
  REVOCATION_FEED_LIFE = 300,               /**< seconds from `iat` to `exp` */
};

/**
 * Signs the list of those of \p list that have not expired at \p now, which becomes `iat`.
 *
 * \return 0, or -1: ERROR_USAGE for names that are not UTF-8; ERROR_FAILED for more than
 * REVOCATION_FEED_ENTRIES_MAX or REVOCATION_FEED_MAX, and when there is no memory.
 */
int revocation_feed_write(const struct key *key, const char *issuer, const char *audience,
                          const struct revocation_list *list, int64_t now, struct buf *out,
                          struct error *e);

/**
 * Reads a list that a row of \p trust which accepts swarm tokens has signed, by the rules for
 * tokens; members that are not known are refused. With the row's leeway, at \p now it has begun and
 * not expired.
 *
 * \param last `iat` of the list that was taken last, 0 when there is none; an older one is refused.
 * \param out what it lists, each with `expires` INT64_MAX; freed by revocation_list_free(). Empty
 * after a failure.
 * \param issued set to its `iat`, unless it is refused.
 * \return 0, or -1: ERROR_DENIED, or ERROR_FAILED when there is no memory.
 */
int revocation_feed_read(const struct trust *trust, struct slice jws, int64_t last, int64_t now,
                         struct revocation_list *out, int64_t *issued, struct error *e);
