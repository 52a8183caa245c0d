/**
 * The revocations that are in force: an immutable set, asked in O(log n) steps, and what holds it
 * for all threads. Whoever remembers what it said remembers the generation too, and asks anew when
 * that has grown.
 */
#pragma once

#include "auth/revocation.h"

struct revocation_set;

/**
 * Makes a set of those of \p list that have not expired at \p now. Of several of one value the
 * latest times count.
 *
 * \return freed by revocation_set_free(), or given to revocations_replace(); NULL when there is no
 * memory.
 */
struct revocation_set *revocation_set_new(const struct revocation_list *list, int64_t now);
void revocation_set_free(struct revocation_set *set);

/** How many it holds. */
size_t revocation_set_count(const struct revocation_set *set);

/**
 * Whether a token of \p names, issued at \p issued, 0 when it does not say so, is refused.
 *
 * \return by what, or 0 when it is not.
 */
enum revocation_kind revocation_set_refuses(const struct revocation_set *set,
                                            const struct revocation_names *names, int64_t issued);

/** The same of one name: of a registry token's repositories, of an infohash. */
bool revocation_set_refuses_name(const struct revocation_set *set, enum revocation_kind kind,
                                 uint64_t name, int64_t issued);

/** Whether any of that kind is revoked. */
bool revocation_set_has(const struct revocation_set *set, enum revocation_kind kind);

/** The same of an infohash as announced. Nothing is hashed while no infohash is revoked. */
bool revocation_set_refuses_infohash(const struct revocation_set *set,
                                     const unsigned char infohash[20], int64_t issued);

/**
 * Whether nothing may be issued at \p now to a subject for a repository, each a revocation_name(),
 * or 0 when there is none.
 *
 * \param until from when it may again, REVOCATION_BAN for never; set when it is refused.
 * \return by which of both, the one that lasts longer; 0 when it may.
 */
enum revocation_kind revocation_set_bars(const struct revocation_set *set, uint64_t sub,
                                         uint64_t repository, int64_t now, int64_t *until);

/** Shared by all threads; holds a set, at first an empty one. */
struct revocations;

/** \return NULL when there is no memory. */
struct revocations *revocations_new(void);
void revocations_free(struct revocations *revocations);

/**
 * Takes \p set over and puts it in force. One that is the same as before changes nothing.
 *
 * \return whether it was another; the generation has grown then.
 */
bool revocations_replace(struct revocations *revocations, struct revocation_set *set);

/** The number of the set in force, from 1. Cheap; another thread may have a newer one at once. */
uint64_t revocations_generation(const struct revocations *revocations);

/**
 * Until when the set in force counts as complete: what is revoked now is in it. At first without
 * end.
 *
 * \param until NumericDate, itself included; INT64_MAX without end.
 */
void revocations_set_fresh(struct revocations *revocations, int64_t until);
/** Whether it counts as complete at \p now, a NumericDate. Cheap. */
bool revocations_fresh(const struct revocations *revocations, int64_t now);

/**
 * The set in force, which stays so until revocations_release(), by the same thread, soon. Not to be
 * called again in between.
 *
 * \param generation set to its number, unless NULL.
 */
const struct revocation_set *revocations_hold(struct revocations *revocations,
                                              uint64_t *generation);
void revocations_release(struct revocations *revocations);
