/** The DEST of a pull, `--to`: transports as skopeo and podman spell them
 *  (containers-transports(5)), `containerd:` and `-`. */
#pragma once

#include "image/reference.h"

enum destination_kind {
  DESTINATION_OCI,            /**< `oci:DIR[:NAME]` */
  DESTINATION_OCI_ARCHIVE,    /**< `oci-archive:FILE[:NAME]` */
  DESTINATION_DOCKER_ARCHIVE, /**< `docker-archive:FILE[:REF]` */
  DESTINATION_OUTPUT,         /**< `-`: a docker-archive on standard output */
  DESTINATION_DIR,            /**< `dir:DIR` */
  DESTINATION_STORAGE,        /**< `containers-storage:[[STORE]REF]`, STORE in brackets itself */
  DESTINATION_CONTAINERD,     /**< `containerd:[NAMESPACE]` */
};

/** Strings are in the arena that it was read with, or static. */
struct destination {
  enum destination_kind kind;
  const char *path; /**< of the first three and `dir:`; else NULL */
  /** oci, oci-archive: `org.opencontainers.image.ref.name`; others: `host/name:tag`. NULL: none,
   *  where the image was named by its digest alone. */
  const char *name;
  const char *repository; /**< `host/name` that it has there, for where \ref name is NULL */
  const char *store;      /**< `[…]` as containers-storage(5) has it; NULL: the usual one */
  const char *space;      /**< containerd's namespace; NULL: what ctr takes by itself */
};

/**
 * Reads `--to`, with names of \p image where none is given. NULL stands for `containers-storage:`
 * where podman is installed, and is refused elsewhere. Pure but for that.
 *
 * \return 0, or -1: ERROR_USAGE, ERROR_FAILED without memory.
 */
int destination_parse(const char *text, const struct image_reference *image, struct arena *arena,
                      struct destination *out, struct error *e);

/** Whether \p text begins as storage of a runtime does: `containers-storage:` or `containerd:`. */
bool destination_is_runtime(const char *text);

/** Reads such a text, also of what an image comes from: destination_is_runtime(). \return as
 *  destination_parse(). */
int destination_parse_runtime(const char *text, const struct image_reference *image,
                              struct arena *arena, struct destination *out, struct error *e);

/**
 * What can be seen before anything is fetched: the path is not something else, no archive goes to a
 * terminal, and the runtime's program is there. A path that exists is resolved, for what a link
 * leads to is what is replaced.
 *
 * \return 0, or -1: ERROR_USAGE, or ERROR_FAILED, which names a program that is missing.
 */
int destination_check(struct destination *d, struct arena *arena, struct error *e);
