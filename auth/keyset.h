/** Sets of keys as values: copied and compared, without a look at where they came from. */
#pragma once

#include "auth/key.h"

/** A copy of \p key, its private half with it, which shares what never changes; freed by
 *  key_free(). \return 0, or -1 with ERROR_FAILED when there is no memory. */
int key_copy(const struct key *key, struct key *out, struct error *e);

/** The same of a set; freed by keyset_free(). */
int keyset_copy(const struct keyset *set, struct keyset *out, struct error *e);

/** Whether both hold the same keys in the same order, with the same names and times. */
bool keyset_equal(const struct keyset *a, const struct keyset *b);
