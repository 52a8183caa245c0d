/* `dir:DIR`: what `skopeo copy … dir:DIR` writes: manifest.json, or an index there and its images'
 * manifests beside it; blobs; all files by the hex of their digests. */
#include "base/cleanup.h"
#include "image/transport.h"

#include <stdlib.h>

#define VERSION "Directory Transport Version: 1."

enum { VERSION_FILE_MAX = 256 }; /* bytes of `version` */

struct dir_source {
  struct image_source base;
  const char *path;
};

static const char *hex(const struct image_descriptor *d) {
  return d->digest + sizeof "sha256:" - 1;
}

static int dir_read(struct image_source *base, const struct image_descriptor *blob,
                    image_sink *sink, void *arg, struct error *e) {
  const struct dir_source *s = (const struct dir_source *)base;
  return image_transport_read_in(s->path, hex(blob), sink, arg, e);
}

static int dir_manifest(struct image_source *base, const struct image_descriptor *d,
                        struct buf *out, struct image_served *served, struct error *e) {
  const struct dir_source *s = (const struct dir_source *)base;
  char name[64 + sizeof ".manifest.json"] = "manifest.json";
  (void)served;
  if (d->digest != NULL) {
    snprintf(name, sizeof name, "%s.manifest.json", hex(d));
  }
  return image_transport_read_in(s->path, name, image_transport_collect, out, e) == 0
             ? 0
             : error_context(e, "the manifest");
}

static void dir_close(struct image_source *base) {
  free(base);
}

/* As skopeo, which reads folders that have no version. */
static int check_version(const struct dir_source *s, struct error *e) {
  CLEANUP(buf_free) struct buf text = {.limit = VERSION_FILE_MAX};
  struct error why = {0};
  if (image_transport_read_in(s->path, "version", image_transport_collect, &text, &why) != 0) {
    if (why.kind == ERROR_NOT_FOUND) {
      return 0;
    }
  } else if (slice_starts(buf_view(&text), SLICE(VERSION))) {
    return 0;
  }
  return error_set(e, ERROR_FAILED, "%s/version is not that of a folder which is supported, %s1",
                   s->path, VERSION);
}

int image_dir_open(const struct image_reference *r, const struct image_source_options *o,
                   struct image_source **out, struct error *e) {
  static const struct transport transport = {
      .manifest = dir_manifest, .read = dir_read, .close = dir_close};
  const struct image_descriptor top = {.size = IMAGE_SIZE_UNKNOWN};
  struct dir_source *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->base.transport = &transport;
  *out = &s->base;
  s->path = arena_copy(&s->base.arena, slice_str(r->path));
  if (s->path == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  return check_version(s, e) != 0 ? -1 : image_transport_resolve(&s->base, &top, o, e);
}
