/** What a client asks a token service for (Docker token specification, Token Scope), and what of it
 *  a grant gives. Pure. */
#pragma once

#include "base/error.h"
#include "base/slice.h"

/** What may be done to a repository; a bit each, for sets. */
enum scope_action {
  SCOPE_PULL = 1,
  SCOPE_PUSH = 2,
  SCOPE_OTHER = 4, /**< any other, such as `delete` and `*`: asked for, but never given */
};

enum {
  SCOPE_VALUE_MAX = 8192, /**< bytes of one value of the parameter `scope` */
  SCOPES_MAX = 64,        /**< different resources of all its values together */
  SCOPE_TYPE_MAX = 64,    /**< bytes of a type, and of a class */
};

/** One resource; slices point into the text that it was read from. */
struct scope {
  struct slice type; /**< `repository`, `registry` or another; a class behind it is left out */
  struct slice name; /**< repository_hosted_name_valid() */
  unsigned actions;  /**< set of scope_action; may be empty */
};

struct scope_list {
  struct scope items[SCOPES_MAX];
  size_t count;
};

/**
 * Adds what one value of the parameter asks for: scopes with blanks between them, each
 * `type:name:action,action`, such as `repository:team/app:pull,push`,
 * `repository(plugin):localhost:5000/team/app:pull` or `registry:catalog:*`. The name begins behind
 * the first colon and ends before the last. Of a resource that is there already the actions are
 * added. An empty value asks for nothing.
 *
 * \return 0, or -1 with ERROR_USAGE; \p list is of no use then.
 */
int scope_list_add(struct scope_list *list, struct slice value, struct error *e);

/**
 * Reads a list of actions with commas between them; those that are empty are passed over.
 *
 * \return false when one holds anything but lowercase letters and `*`.
 */
bool scope_actions(struct slice text, unsigned *out);

/**
 * What one grant gives of \p wanted: of a repository whose name \p pattern matches, those of \p
 * actions that are wanted; else nothing. What several give is their sum (`|`), and a pattern of
 * anonymous_pull is a grant of SCOPE_PULL to everybody.
 *
 * \param pattern as repository_pattern_check() has it: `team/app` is that very repository, a star
 *        behind `team/` whatever lies below `team` at any depth but not `team` itself, and `*`
 *        alone every repository.
 * \param actions set of SCOPE_PULL and SCOPE_PUSH.
 */
unsigned scope_granted(const struct scope *wanted, struct slice pattern, unsigned actions);
