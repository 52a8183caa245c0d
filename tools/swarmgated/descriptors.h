/** Open files, of which every connection is one: how many there may be, and who has how many. */
#pragma once

#include "base/log.h"

#include <stddef.h>

/** How many open files a connection of a role comes to, at most. */
enum {
  DESCRIPTORS_TRACKER = 1,
  DESCRIPTORS_GATEWAY = 2, /**< with one to the registry */
};

/** Connections of the admin listener, in all; they are set apart whether there is one or not. */
enum { DESCRIPTORS_ADMIN = 16 };

/** Of the threads that read from registries for the gateway, beside the loops. */
enum { DESCRIPTORS_READERS = 48 };

/**
 * Raises the limit of open files as far as it may be raised, and divides them, but for those that
 * are needed for something else; the log says how, and warns when there are too few.
 *
 * \param loops at least 1.
 * \param places that each loop listens at.
 * \param shares DESCRIPTORS_TRACKER, DESCRIPTORS_GATEWAY or their sum: of the roles that run.
 * \param others open files that are needed besides, such as DESCRIPTORS_READERS.
 * \return how many connections a role may have on each loop; never 0.
 */
unsigned descriptors_divide(unsigned loops, size_t places, unsigned shares, unsigned others,
                            const struct log *log);
