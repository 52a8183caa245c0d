/** Which texts will do for a key. Pure: each returns NULL, or what is wrong and what would do. */
#pragma once

#include "base/slice.h"

typedef const char *value_check(struct slice text);

/** A literal address and port: `127.0.0.1:6969`, `[::1]:6969`; or `unix:/path`, `fd:NAME`. */
value_check value_listen;
/** A literal address alone: `10.0.0.7`, `2001:db8::7`. */
value_check value_address;
/** `http://` or `https://`, a host, perhaps a port and a path; no user, query or fragment. */
value_check value_url;
/** The same, of the root that a registry's own paths are added to. */
value_check value_registry_url;
/** `10.1.0.0/16`, `2001:db8::/32`, or one address. */
value_check value_range;
/** A registry's name, as `host` or `host:port`. */
value_check value_registry;
/** A pattern of repositories: `team/app`, all below `team`, or `*`. */
value_check value_pattern;
/** The path of a file, or what value_url() takes. */
value_check value_keys;
/** Whether it is meant as a URL: `http://…`, `https://…`. */
bool value_is_url(struct slice text);
/** `memory`; `redis://` is for later. */
value_check value_store;
/** `delegate` or `token`. */
value_check value_authorise;

/** How many letters must be put in, taken out or changed to make one of the other; \p limit or more
 *  is \p limit. */
size_t value_distance(struct slice a, struct slice b, size_t limit);
