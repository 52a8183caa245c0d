/** Entity tags of what is named by its digest, and so never changes. */
#pragma once

#include "http/server.h"

/** `"DIGEST"`, in \p arena; a NULL pointer when there is no memory. */
struct slice etag_of(struct slice digest, struct arena *arena);

/** Whether `If-None-Match` has it (weak comparison, RFC 9110, 13.1.2), so that 304 is the answer.
 */
bool etag_known(const struct http_exchange *x, struct slice etag);
