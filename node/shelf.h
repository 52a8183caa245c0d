/**
 * Which blobs lie in the agent's store, and which of them goes when room is wanted: the one whose
 * last use is the longest ago, and never one that is in use. Sizes are added up here; the files
 * are in an OCI layout (node/layout.h), and beside it what is unfinished.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shelf;

/** A blob that is there, or for which room is kept. */
struct shelf_blob {
  struct shelf_blob *older, *newer;
  char digest[sizeof "sha256:" + 64];
  uint64_t size; /**< bytes */
  unsigned uses; /**< while it is not 0 the blob stays: shelf_use(), shelf_release() */
  bool there;    /**< whole and right, in the layout */
  void *owner;   /**< whatever its owner likes to find again; NULL at first */
};

struct shelf_options {
  const char *folder;     /**< of the layout */
  const char *unfinished; /**< of what is not whole yet */
  uint64_t max_size;      /**< bytes of all blobs together */
  /** A blob is about to be removed, the file after it; it is in nobody's use. */
  void (*removes)(void *arg, struct shelf_blob *blob);
  void *arg;
};

/**
 * Makes the folder of a shelf, for its owner alone, with those above it; one that is there stays as
 * it is.
 *
 * \param alone refuses one that all of the machine may look into.
 * \return 0, or -1 with ERROR_FAILED.
 */
int shelf_make_folder(const char *folder, bool alone, struct error *e);

/** Looks through the folder, where what was used last is known from the files' times of access;
 * what an earlier run has left unfinished is removed. \return 0, or -1 with ERROR_FAILED. */
int shelf_open(const struct shelf_options *options, struct shelf **out, struct error *e);
/** The files stay. NULL is fine. */
void shelf_close(struct shelf *shelf);

/** \return NULL when there is no such blob. */
struct shelf_blob *shelf_find(const struct shelf *shelf, const char *digest);

/** Makes room for a blob that is not there, removing others; it is in use once.
 *
 * \return NULL with ERROR_FAILED when there is none, for what is in use takes too much, or it is
 * larger than the shelf, or than what is free on the disk.
 */
struct shelf_blob *shelf_add(struct shelf *shelf, const char *digest, uint64_t size,
                             struct error *e);

/** It is the one that was used last, and stays. */
void shelf_use(struct shelf *shelf, struct shelf_blob *blob);
/** One use less. One that is not there, and that nobody uses any more, is forgotten. */
void shelf_release(struct shelf *shelf, struct shelf_blob *blob);
/** It has landed in the layout. */
void shelf_landed(struct shelf_blob *blob);

/** Walks all blobs, from the one used last on: NULL begins, NULL ends. */
struct shelf_blob *shelf_next(const struct shelf *shelf, const struct shelf_blob *after);

/** Bytes of all blobs, and what they may be. */
uint64_t shelf_size(const struct shelf *shelf);
uint64_t shelf_max(const struct shelf *shelf);
