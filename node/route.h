/** What a container runtime asks a mirror for, read off path and query (OCI distribution
 *  specification, Pull; containerd's `?ns=`). Pure. */
#pragma once

#include "base/arena.h"

/** A registry whose images are mirrored. */
struct route_host {
  const char *name; /**< as references name it, with its port */
  const char *gateway;
};

enum route_kind {
  ROUTE_NONE,     /**< nothing that is served, or no name, tag or digest */
  ROUTE_BASE,     /**< `/v2/` */
  ROUTE_MANIFEST, /**< `/v2/<name>/manifests/<reference>` */
  ROUTE_BLOB,     /**< `/v2/<name>/blobs/<digest>` */
};

/** Of all but ROUTE_MANIFEST and ROUTE_BLOB only the kind is set. */
struct route {
  enum route_kind kind;
  const struct route_host *host; /**< NULL: of a registry that is none of them */
  const char *repository;        /**< valid by image_name_valid(); these are in the arena */
  const char *reference;         /**< a tag or a digest; a digest of a blob */
};

/**
 * Reads a request. Its registry is that of `ns`, as containerd says it; else the first component of
 * the name when that is a registry's, `:` in it written `_`, as what install.h writes for podman
 * has it; else the only one there is.
 *
 * \param hosts one at least.
 */
struct route route_read(struct slice path, struct slice query, const struct route_host *hosts,
                        size_t count, struct arena *arena);

/** A registry's host as a component of a name: `registry.example_5000`. In the arena; NULL without
 *  memory. */
const char *route_component(const char *host, struct arena *arena);
