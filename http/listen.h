/** Where a server listens: addresses turned into sockets, once for all loops. */
#pragma once

#include "base/address.h"
#include "base/error.h"

#include <sys/types.h>

/** A place to listen at that has been found free, or a socket that listens there already. */
struct http_place {
  char *name;            /**< as it was asked for, with the port really taken */
  union address address; /**< each server binds a socket of its own to it; AF_UNSPEC with fd */
  int fd;                /**< a socket that all servers accept from, owned; -1 with an address */
  ino_t inode;           /**< of a Unix socket that is ours to remove, else 0 */
};

/** Grows as http_listen() adds to it; zeroed it is empty. */
struct http_places {
  struct http_place *items;
  size_t count;
};

/**
 * Adds the place, or places, that \p address names:
 *
 * - `host:port`, `[v6]:port` with a literal address; port 0 takes a free one. IPv6 sockets are v6
 *   only. An address that a socket listens on already is refused, though SO_REUSEPORT would share
 *   it.
 * - `unix:/path`: who may open it is who may connect: mode 0660. What a server that is gone has
 * left there is replaced, anything else is refused. While that is found out there is a file beside
 * it, with `.lock` behind its name.
 * - `fd:NAME`: all sockets of that name that the program was started with (sd_listen_fds(3)). A
 * Unix socket is refused when everybody may write to its file, or it has none.
 *
 * \return 0, or -1: ERROR_USAGE for an address that cannot be read, ERROR_FAILED otherwise.
 */
int http_listen(const char *address, struct http_places *places, struct error *e);

/** Closes the Unix sockets that http_listen() has made, and removes their names where nobody else
 * has taken them since; when the servers begin to stop, for else whoever connects would wait for as
 *  long as they take. Sockets that were passed stay, for the next server. */
void http_places_close(struct http_places *places);

/** The same, and closes and frees the rest; when the servers have stopped. */
void http_places_free(struct http_places *places);
