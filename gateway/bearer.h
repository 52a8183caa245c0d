/**
 * A caller's bearer token where the gateway itself verifies those of the registry (`authorise:
 * token`; contract, Configuration). Pure.
 */
#pragma once

#include "auth/keyring.h"

/** What the credentials are worth. */
enum bearer_right {
  BEARER_UNREAD,  /**< they are for the registry to judge, or there are none */
  BEARER_INVALID, /**< no registry token of this registry that verifies and is in time */
  BEARER_NARROW,  /**< a right one that may not pull the repository */
  BEARER_PULL,    /**< a right one that may */
};

/**
 * Verifies the registry token in the value of an Authorization field.
 *
 * \param now NumericDate.
 * \param arena holds what is read of the token.
 * \param key_id set to that of the key that verified it, unless it is BEARER_INVALID.
 * \param why says to the operator why it is BEARER_INVALID; ERROR_DENIED unless it is about memory.
 * \return anything but BEARER_UNREAD.
 */
enum bearer_right bearer_judge(struct keyring *keyring, struct slice authorization,
                               struct slice registry, struct slice repository, int64_t now,
                               struct arena *arena, struct slice *key_id, struct error *why);
