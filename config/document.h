/** YAML text to a document, within limits, before anything is made of its keys. */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <yaml.h>

enum {
  DOCUMENT_DEPTH_MAX = 8,      /**< mappings and lists within each other */
  DOCUMENT_EVENTS_MAX = 65536, /**< starts, ends and values */
};

/**
 * Reads exactly one document, in UTF-8, without anchors, aliases and tags: what libyaml's documents
 * do not show any more, and what would let a small file become a large one.
 *
 * \param name stands in errors. \param out freed by yaml_document_delete() when 0 is returned; has
 * a root node. \return 0, or -1 with ERROR_USAGE: `NAME:LINE: …`; ERROR_FAILED when there is no
 * memory.
 */
int document_load(const char *name, struct slice bytes, yaml_document_t *out, struct error *e);
