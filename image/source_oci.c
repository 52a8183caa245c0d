/* `oci:DIR[:name]` and `oci-archive:FILE[:name]`: an OCI image layout (OCI image specification,
 * image-layout.md), a folder or a tar of one. */
#include "base/cleanup.h"
#include "image/json.h"
#include "image/tar.h"
#include "image/transport.h"

#include <stdlib.h>

struct oci_source {
  struct image_source base;
  const char *path;
  struct tar *tar; /* NULL: a folder */
};

enum { LAYOUT_MAX = 4096 }; /* bytes of `oci-layout` */

static int read_file(const struct oci_source *s, const char *name, image_sink *sink, void *arg,
                     struct error *e) {
  if (s->tar == NULL) {
    return image_transport_read_in(s->path, name, sink, arg, e);
  }
  const struct tar_file *file = tar_find(s->tar, name);
  return file != NULL ? tar_read(s->tar, file, sink, arg, e)
                      : error_set(e, ERROR_NOT_FOUND, "there is no %s in the archive", name);
}

/* What a blob is called in a layout. */
struct blob_name {
  char text[sizeof "blobs/sha256/" + 64];
};

static struct blob_name name_of(const struct image_descriptor *blob) {
  struct blob_name name;
  snprintf(name.text, sizeof name.text, "blobs/sha256/%s", blob->digest + sizeof "sha256:" - 1);
  return name;
}

static int oci_read(struct image_source *base, const struct image_descriptor *blob,
                    image_sink *sink, void *arg, struct error *e) {
  const struct oci_source *s = (const struct oci_source *)base;
  return read_file(s, name_of(blob).text, sink, arg, e);
}

static uint64_t oci_position(const struct image_source *base, const struct image_descriptor *blob) {
  const struct oci_source *s = (const struct oci_source *)base;
  const struct tar_file *file = s->tar == NULL ? NULL : tar_find(s->tar, name_of(blob).text);
  return file == NULL ? 0 : file->position;
}

static int oci_manifest(struct image_source *base, const struct image_descriptor *d,
                        struct buf *out, struct image_served *served, struct error *e) {
  (void)served;
  return oci_read(base, d, image_transport_collect, out, e);
}

static void oci_close(struct image_source *base) {
  struct oci_source *s = (struct oci_source *)base;
  tar_close(s->tar);
  free(s);
}

static int read_document(const struct oci_source *s, const char *name, size_t limit,
                         struct buf *out, struct error *e) {
  out->limit = limit;
  return read_file(s, name, image_transport_collect, out, e) == 0 ? 0
                                                                  : error_context(e, "%s", name);
}

static int check_layout(const struct oci_source *s, struct error *e) {
  CLEANUP(buf_free) struct buf text = {0};
  if (read_document(s, "oci-layout", LAYOUT_MAX, &text, e) != 0) {
    return error_context(e, "it is no OCI image layout");
  }
  CLEANUP(image_json_release) json_t *layout = image_json_read(buf_view(&text), e);
  if (layout == NULL) {
    return error_context(e, "oci-layout");
  }
  const char *version = json_string_value(json_object_get(layout, "imageLayoutVersion"));
  return version != NULL && strcmp(version, "1.0.0") == 0
             ? 0
             : error_set(e, ERROR_FAILED, "oci-layout: imageLayoutVersion is not 1.0.0");
}

static void list_names(const struct image_manifest *index, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; i < index->layer_count; i++) {
    if (index->layers[i].ref_name != NULL) {
      int n = snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ",
                       index->layers[i].ref_name);
      if (n < 0 || (size_t)n >= size - used) {
        return;
      }
      used += (size_t)n;
    }
  }
}

static const struct image_descriptor *choose(const struct image_manifest *index, const char *name,
                                             struct error *e) {
  char names[512];
  if (name == NULL && index->layer_count == 1) {
    return &index->layers[0];
  }
  for (size_t i = 0; name != NULL && i < index->layer_count; i++) {
    const char *ref_name = index->layers[i].ref_name;
    if (ref_name != NULL && strcmp(ref_name, name) == 0) {
      return &index->layers[i];
    }
  }
  list_names(index, names, sizeof names);
  if (name == NULL && index->layer_count > 1) {
    error_set(e, ERROR_USAGE, "it holds %zu images; name one, as PATH:NAME: %s", index->layer_count,
              names);
  } else {
    error_set(e, ERROR_NOT_FOUND, "it holds no image%s%s; there is: %s",
              name == NULL ? "" : " of the name ", name == NULL ? "" : name,
              names[0] == '\0' ? "none with a name" : names);
  }
  return NULL;
}

int image_oci_open(const struct image_reference *r, const struct image_source_options *o,
                   struct image_source **out, struct error *e) {
  static const struct transport transport = {
      .manifest = oci_manifest, .read = oci_read, .position = oci_position, .close = oci_close};
  CLEANUP(buf_free) struct buf text = {0};
  struct image_manifest index;
  struct oci_source *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->base.transport = &transport;
  *out = &s->base;
  s->path = arena_copy(&s->base.arena, slice_str(r->path));
  if (s->path == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (r->transport == IMAGE_OCI_ARCHIVE && tar_open(r->path, false, &s->tar, e) != 0) {
    return -1;
  }
  if (check_layout(s, e) != 0 ||
      read_document(s, "index.json", IMAGE_MANIFEST_MAX, &text, e) != 0) {
    return -1;
  }
  if (image_manifest_parse(buf_view(&text), "application/vnd.oci.image.index.v1+json",
                           &s->base.arena, &index, e) != 0) {
    return error_context(e, "index.json");
  }
  const struct image_descriptor *top = choose(&index, r->tag, e);
  return top == NULL ? -1 : image_transport_resolve(&s->base, top, o, e);
}
