/** A registry's blobs, read where it keeps them: the filesystem storage of Docker's registry. */
#pragma once

#include "base/slice.h"

/**
 * Opens a blob that the repository has.
 *
 * \param root the registry's `rootdirectory`.
 * \param repository a valid name.
 * \param digest `sha256:<hex>`, valid.
 * \param size set to its bytes.
 * \return a descriptor for the caller to close; -1 when it is not there, or may not be read.
 */
int storage_open(const char *root, const char *repository, const char *digest, uint64_t *size);
