/**
 * What people name images by: transports as skopeo and podman spell them
 * (containers-transports(5)), and references as the OCI distribution specification and Docker spell
 * them. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum {
  IMAGE_REFERENCE_MAX = 4096, /**< bytes of a reference, transport included */
  IMAGE_NAME_MAX = 255,       /**< bytes of a repository's name, and of a host without its port */
  IMAGE_TAG_MAX = 128,
};

enum image_transport {
  IMAGE_DOCKER,         /**< `docker://[host[:port]/]name[:tag][@digest]` */
  IMAGE_OCI,            /**< `oci:DIR[:name]`; DIR ends at the first colon */
  IMAGE_OCI_ARCHIVE,    /**< `oci-archive:FILE[:name]`; FILE likewise */
  IMAGE_DOCKER_ARCHIVE, /**< `docker-archive:FILE[:[host[:port]/]name[:tag]]`; FILE likewise */
  IMAGE_DIR,            /**< `dir:DIR`; DIR may hold colons */
  IMAGE_BLOB,           /**< `blob:FILE`; likewise */
};

/** Strings are NUL-terminated, in the arena; NULL where absent. */
struct image_reference {
  enum image_transport transport;
  /** docker: as written, `[::1]:5000` too; `docker.io` where none was given. docker-archive: the
   *  same of the image's name within, NULL where none was given. */
  const char *host;
  const char *repository; /**< likewise; `library/` is put before single names of docker.io */
  /** docker, docker-archive: `latest` where neither tag nor digest was given; oci, oci-archive: the
   *  whole name within (`org.opencontainers.image.ref.name`), NULL where none was given. */
  const char *tag;
  const char *digest; /**< docker: `sha256:<64 hex>`; wins over the tag */
  const char *path;   /**< of all but docker */
};

/** \return 0, or -1 with ERROR_USAGE that says what is wrong with \p text. */
int image_reference_parse(const char *text, struct arena *arena, struct image_reference *out,
                          struct error *e);

/**
 * Reads `[host[:port]/]name[:tag][@digest]` alone, with the defaults of `docker://`, into host,
 * repository, tag and digest.
 *
 * \return 0, or -1 with ERROR_USAGE.
 */
int image_reference_parse_docker(struct slice text, struct arena *arena,
                                 struct image_reference *out, struct error *e);

/** Writes a reference with all defaults spelt out; it parses to the same. NULL without memory. */
const char *image_reference_print(const struct image_reference *reference, struct arena *arena);

/** A repository's name as the distribution specification has it, at most IMAGE_NAME_MAX bytes. */
bool image_name_valid(struct slice name);
/** A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`. */
bool image_tag_valid(struct slice tag);
/** `sha256:` and 64 lowercase hex digits; no other algorithm is served. */
bool image_digest_valid(struct slice digest);

/** Whether a host with or without its port, and maybe a path behind it, is 127.0.0.0/8, ::1 or
 *  localhost. */
bool image_host_is_loopback(const char *host);
