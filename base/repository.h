/** Names of repositories, and patterns that rights are given for. Pure. */
#pragma once

#include "base/slice.h"

enum { REPOSITORY_NAME_MAX = 255 }; /**< bytes; of a pattern as well */

/**
 * A name as the distribution specification has it, `team/app`: components of lowercase letters and
 * digits, with `.`, `_`, `__` or dashes between them, and a `/` between components.
 */
bool repository_name_valid(struct slice name);

/** Such a name, or one with a host before it, `Host.example:5000/team/app`, as a scope may have it
 *  (Docker token specification, Resource Scope Grammar: resourcename). */
bool repository_hosted_name_valid(struct slice name);

/**
 * What a pattern may be, and what it matches:
 *
 * - a name, such as `team/app`, hosted or not: the repository of that very name;
 * - a folder, which is a name or a host, then a slash and a star: whatever lies below it, at any
 *   depth. That of `team` matches `team/app` and `team/app/base`, but neither `team` itself nor
 *   `team2/app`;
 * - `*` alone: every repository.
 *
 * A star stands nowhere else.
 *
 * \return NULL, or what is wrong and what would do, a static text.
 */
const char *repository_pattern_check(struct slice pattern);

/** Whether a pattern that repository_pattern_check() takes matches a valid name. Letters must be of
 *  the same case. */
bool repository_pattern_matches(struct slice pattern, struct slice name);
