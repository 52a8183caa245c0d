/**
 * The lists of a registry: its repositories, and a repository's tags (OCI distribution
 * specification 1.1, Listing Tags; docker-registry's specification, Catalog), which come page by
 * page. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum {
  REGISTRY_LIST_PAGE = 100,           /**< names a page that are asked for */
  REGISTRY_LIST_MAX = 256 * 1024,     /**< names of a list; more are refused */
  REGISTRY_LIST_PAGES_MAX = 64 * 1024 /**< pages of one */
};

/** Names of a list, of all its pages so far. Zeroed it is empty; freed by registry_list_free(). */
struct registry_list {
  char **names;
  size_t count, capacity;
};
void registry_list_free(struct registry_list *list);

/**
 * Adds the names of a page. What they are is not looked at: registry_start() refuses what is none.
 *
 * \param member where they are: `repositories` or `tags`; null counts for no names.
 * \return 0, or -1 with ERROR_FAILED: it is no such page, the list has become too long, or there is
 * no memory.
 */
int registry_list_add(struct registry_list *list, struct slice page, const char *member,
                      struct error *e);

/**
 * Finds where the next page is in a `Link` field (RFC 8288): the target of the first link whose
 * `rel` is or holds `next`.
 *
 * \return what stands between `<` and `>`; a NULL pointer when there is none.
 */
struct slice registry_list_next(struct slice link);

/**
 * Whether the body of an error is a registry's own (distribution specification, Error Codes): a
 * server that is none, as one finds behind a wrong URL, says 404 too.
 */
bool registry_list_is_error(struct slice body);
