/** Reads a document by the table of keys. */
#pragma once

#include "base/error.h"
#include "config/settings.h"

#include <yaml.h>

/**
 * Reads \p document into the struct at \p base, which is zeroed before; defaults are filled in.
 * What was read is freed by reader_free(), after a failure as well.
 *
 * \param file stands in errors; paths are made relative to it.
 * \return 0, or -1 with ERROR_USAGE: `FILE:LINE: KEY.PATH: …`.
 */
int reader_read(const char *file, yaml_document_t *document, const struct setting *keys,
                size_t count, void *base, struct error *e);

void reader_free(const struct setting *keys, size_t count, void *base);
