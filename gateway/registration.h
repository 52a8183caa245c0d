/**
 * Which torrents belong to a repository: whoever may pull it may join their swarms. What the
 * operator did not register is registered when the registry first says yes.
 */
#pragma once

#include "db/torrent_store.h"
#include "gateway/request.h"

/**
 * Finds a blob's torrent, in the format and under the CA that is handed out, whether or not it is
 * registered.
 *
 * \param arena holds what \p out points to.
 * \param registered set to whether it belongs to the request's repository.
 * \return 0, or -1: ERROR_NOT_FOUND, or ERROR_FAILED.
 */
int registration_find(const struct request *r, struct slice digest, struct arena *arena,
                      struct torrent_record *out, bool *registered, struct error *e);

/** Registrations on their way to the disk. */
struct registration;

/** Told from the loop, once they are there; \p e is NULL unless none of them is. */
typedef void registration_told(void *arg, const struct error *e);

/**
 * Registers the torrents of blobs, in the format that is handed out, to the request's repository,
 * all or none.
 *
 * \param digests copied.
 * \return NULL with \p e when it could not start; nothing is told then.
 */
struct registration *registration_start(const struct request *r, const struct slice *digests,
                                        size_t count, registration_told *told, void *arg,
                                        struct error *e);

/** Nothing is told any more; what is on its way runs out alone. NULL is fine. */
void registration_leave(struct registration *registration);

/** Answers 404 to a caller who may read the blob but cannot have a torrent of it: none was made. */
void registration_missing(const struct request *r, struct slice digest);
