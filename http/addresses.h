/**
 * How many connections each address has: a hash table that grows with the addresses in it. An IPv6
 * address stands for its network of 64 bits, a mapped one for that of IPv4; all that are of another
 * family count as one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addresses_entry;

/** Embedded by its owner; zeroed it is empty, but for the seed. */
struct addresses {
  struct addresses_entry *entries; /**< open addressing, linear probing */
  size_t capacity;                 /**< a power of two, or 0 */
  size_t used;
  uint64_t seed; /**< random, so that nobody can choose addresses that collide */
};

void addresses_init(struct addresses *a);

/** Counts one more. \return false when the address has \p max already or there is no memory. */
bool addresses_add(struct addresses *a, const struct sockaddr *address, unsigned max);

/** Takes one off that was added. */
void addresses_remove(struct addresses *a, const struct sockaddr *address);

void addresses_free(struct addresses *a);
