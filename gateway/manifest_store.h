/**
 * Manifests by their digests, read from the registries with the gateway's own credentials and
 * remembered within bounds, so that a pull by many nodes costs the registry one. What is remembered
 * of one repository is not known to be in another. Who may have it is asked before.
 */
#pragma once

#include "gateway/errand.h"

enum {
  MANIFEST_STORE_MAX = 1024, /**< manifests remembered; the one longest not used goes */
  MANIFEST_STORE_BYTES = 32 * 1024 * 1024, /**< of all of them */
  MANIFEST_STORE_AT_ONCE = 16,             /**< read at once */
  MANIFEST_STORE_MOST = 1024,              /**< that wait or are read; more are refused */
};

/** All of it outlives the store. */
struct manifest_store_options {
  const struct gateway_registry *registries;
  size_t registry_count;
  const struct log *log;
};

/** Shared by the loops. */
struct manifest_store;

/** \return NULL with \p e, as errands_new(). */
struct manifest_store *manifest_store_new(const struct manifest_store_options *options,
                                          struct error *e);
/** As errands_free(). */
void manifest_store_free(struct manifest_store *store);

/** A manifest as it came. */
struct manifest_text {
  struct slice bytes;
  const char *media_type; /**< its Content-Type, or NULL */
};

/** Looks for one that is remembered. \return whether it is, copied into \p arena. */
bool manifest_store_find(struct manifest_store *store, struct slice registry,
                         struct slice repository, struct slice digest, struct arena *arena,
                         struct manifest_text *out);

/** Reads one: as errand_ask(), until it ends. After ERRAND_DONE manifest_store_find() has it,
 * unless others have driven it out. */
struct errand_wait *manifest_store_ask(struct manifest_store *store, uv_loop_t *loop,
                                       const struct errand_question *question, errand_told *told,
                                       void *arg, struct error *e);
