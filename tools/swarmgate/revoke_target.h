/** What `revoke` and `revoke remove` are told by their options, as it stands in tokens. */
#pragma once

#include "auth/revocation.h"
#include "config/config.h"

/** What the command line names. */
struct revoke_selection {
  const char *config, *registry;
  const char *values[REVOCATION_KINDS + 1]; /**< by kind */
};

/** One thing to be revoked; several values where a name may be one of several registries. */
struct revoke_target {
  struct config config;
  enum revocation_kind kind;
  struct slice *values; /**< at least one; in the arena */
  size_t count;
  struct arena arena;
};

/**
 * Loads the configuration and finds out what is meant. A subject without the name of a registry in
 * front is one of each that the configuration has, and the name as it is, for `token issue --sub`
 * takes any.
 *
 * \param out freed by revoke_target_free(), after a failure as well.
 * \return 0, or -1 with ERROR_USAGE.
 */
int revoke_target_find(const struct revoke_selection *selection, struct revoke_target *out,
                       struct error *e);
void revoke_target_free(struct revoke_target *target);
