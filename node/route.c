#include "node/route.h"

#include "http/query.h"
#include "image/reference.h"

static struct route none(void) {
  return (struct route){.kind = ROUTE_NONE};
}

/* Decoded into the arena; a NULL pointer when it cannot be, or holds a NUL. */
static struct slice decode(struct slice text, struct arena *arena) {
  size_t len = 0;
  char *out = arena_alloc(arena, text.len + 1);
  return out != NULL && query_decode(text, out, text.len, &len) && memchr(out, '\0', len) == NULL
             ? slice_of(out, len)
             : slice_of(NULL, 0);
}

/* The value of `ns`; a NULL pointer when there is none. \return false when it is doubled or wrongly
 * escaped. */
static bool read_ns(struct slice query, struct arena *arena, struct slice *out) {
  struct slice name;
  struct slice value;
  *out = slice_of(NULL, 0);
  while (query_next(&query, &name, &value)) {
    if (slice_equal(name, SLICE("ns"))) {
      if (out->ptr != NULL || value.ptr == NULL) {
        return false;
      }
      *out = decode(value, arena);
      if (out->ptr == NULL) {
        return false;
      }
    }
  }
  return true;
}

const char *route_component(const char *host, struct arena *arena) {
  char *name = arena_copy(arena, slice_str(host));
  for (char *c = name; c != NULL && *c != '\0'; c++) {
    *c = *c == ':' ? '_' : *c;
  }
  return name;
}

static const struct route_host *find_host(struct slice name, const struct route_host *hosts,
                                          size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (slice_equal(name, slice_str(hosts[i].name))) {
      return &hosts[i];
    }
  }
  return NULL;
}

/* The registry that the first component of a name names, which is taken off then. */
static const struct route_host *cut_host(struct slice *name, const struct route_host *hosts,
                                         size_t count, struct arena *arena) {
  struct slice rest = *name;
  struct slice first = slice_cut(&rest, '/');
  for (size_t i = 0; i < count && rest.ptr != NULL; i++) {
    const char *component = route_component(hosts[i].name, arena);
    if (slice_equal(first, slice_str(hosts[i].name)) || slice_equal(first, slice_str(component))) {
      *name = rest;
      return &hosts[i];
    }
  }
  return NULL;
}

/* Cuts `/what/reference` off the end of a path. */
static bool cut_end(struct slice *path, struct slice what, struct slice *reference) {
  const char *slash = path->len == 0 ? NULL : memrchr(path->ptr, '/', path->len);
  if (slash == NULL) {
    return false;
  }
  struct slice before = slice_of(path->ptr, (size_t)(slash - path->ptr));
  if (!slice_ends(before, what)) {
    return false;
  }
  *reference = slice_from(*path, before.len + 1);
  path->len = before.len - what.len;
  return true;
}

static enum route_kind read_kind(struct slice *path, struct slice *reference) {
  if (cut_end(path, SLICE("/manifests"), reference)) {
    return image_digest_valid(*reference) || image_tag_valid(*reference) ? ROUTE_MANIFEST
                                                                         : ROUTE_NONE;
  }
  return cut_end(path, SLICE("/blobs"), reference) && image_digest_valid(*reference) ? ROUTE_BLOB
                                                                                     : ROUTE_NONE;
}

struct route route_read(struct slice path, struct slice query, const struct route_host *hosts,
                        size_t count, struct arena *arena) {
  struct route r = {0};
  struct slice reference;
  struct slice ns;
  if (slice_equal(path, SLICE("/v2/"))) {
    r.kind = ROUTE_BASE;
    return r;
  }
  struct slice name = decode(path, arena);
  if (!slice_starts(name, SLICE("/v2/")) || !read_ns(query, arena, &ns)) {
    return none();
  }
  name = slice_from(name, sizeof "/v2/" - 1);
  r.kind = read_kind(&name, &reference);
  if (r.kind == ROUTE_NONE) {
    return none();
  }
  if (ns.ptr != NULL) {
    r.host = find_host(ns, hosts, count);
  } else {
    r.host = cut_host(&name, hosts, count, arena);
    r.host = r.host == NULL && count == 1 ? &hosts[0] : r.host;
  }
  r.repository = arena_copy(arena, name);
  r.reference = arena_copy(arena, reference);
  return image_name_valid(name) && r.repository != NULL && r.reference != NULL ? r : none();
}
