/** What of a request to the token service is granted: grants, public repositories, revocations.
 *  Pure. */
#pragma once

#include "auth/revocation_set.h"
#include "auth/scope.h"
#include "base/arena.h"
#include "db/user_store.h"

/** What decides. */
struct token_grant_rules {
  const struct slice *anonymous; /**< patterns of repositories that everybody may pull */
  size_t anonymous_count;
  const struct user_grant *grants; /**< of the user */
  size_t grant_count;
  struct slice registry;                    /**< whose repositories they are, for revocations */
  const struct revocation_set *revocations; /**< NULL: none */
};

/** What is granted; lives in the arena, and in the scopes. */
struct token_grant {
  struct token_access *access; /**< an entry a repository */
  struct slice *scopes;        /**< the same as text: `repository:team/app:pull,push` */
  size_t count;
  struct slice scope; /**< all of them with blanks between, or empty */
};

/**
 * Gives of each scope what both is asked for and allowed; a scope of which nothing is left is left
 * out, and so is a repository for which nothing may be issued now.
 *
 * \param now NumericDate.
 * \return 0, or -1 with ERROR_FAILED when there is no memory.
 */
int token_grant_decide(const struct token_grant_rules *rules, const struct scope_list *wanted,
                       int64_t now, struct arena *arena, struct token_grant *out, struct error *e);
