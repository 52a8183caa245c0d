/** URLs (RFC 3986) as libcurl reads them, so that what is checked is what is asked. Pure. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum { HTTP_URL_MAX = 16 * 1024 }; /**< bytes of a URL; longer ones are refused */

/**
 * Where a `Location` leads that was found at \p base: resolved (section 5), without its fragment.
 *
 * \param reference absolute or relative; its length may be anything.
 * \return malloc'ed; NULL with ERROR_FAILED when it cannot be read, is too long, holds user info,
 * is neither http nor https, has a host that can be read in two ways, or leads from https to plain
 * http.
 */
char *http_url_redirect(const char *base, struct slice reference, struct error *e);

/** Same scheme, host and port (RFC 6454, section 5); false when one of them cannot be read. */
bool http_url_same_origin(const char *a, const char *b);

/**
 * What of a URL may be shown: scheme, host, port and path; never user info, query or fragment,
 * where secrets are.
 *
 * \return malloc'ed; NULL with ERROR_USAGE when \p url cannot be read, is too long, holds user info
 * or is neither http nor https; ERROR_FAILED when its host can be read in two ways, or there is no
 * memory.
 */
char *http_url_public(const char *url, struct error *e);

/** As http_url_public(), with `/` for the path: of a URL that a server made, whose path may be a
 *  secret too. */
char *http_url_origin(const char *url, struct error *e);

/**
 * Appends `name=value` as application/x-www-form-urlencoded, which a query takes too, with a `&` in
 * front unless \p form is empty or ends in `?`.
 */
void http_form_append(struct buf *form, const char *name, struct slice value);
