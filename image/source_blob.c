/* `blob:FILE`: a file of its own, whose digest is what its bytes turn out to have. */
#include "image/transport.h"

#include <stdlib.h>
#include <unistd.h>

struct blob_source {
  struct image_source base;
  int fd;
  struct stat opened;
  const char *path;
};

static bool same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int blob_read(struct image_source *base, const struct image_descriptor *blob,
                     image_sink *sink, void *arg, struct error *e) {
  struct blob_source *s = (struct blob_source *)base;
  struct stat now;
  if (image_transport_read_file(s->fd, s->path, blob->size, sink, arg, e) != 0) {
    return -1;
  }
  if (fstat(s->fd, &now) != 0 || now.st_size != s->opened.st_size ||
      !same_time(now.st_mtim, s->opened.st_mtim)) {
    return error_set(e, ERROR_FAILED, "%s has changed while it was read", s->path);
  }
  return 0;
}

static void blob_close(struct image_source *base) {
  struct blob_source *s = (struct blob_source *)base;
  if (s->fd >= 0) {
    close(s->fd);
  }
  free(s);
}

int image_blob_open(const struct image_reference *r, const struct image_source_options *o,
                    struct image_source **out, struct error *e) {
  static const struct transport transport = {.read = blob_read, .close = blob_close};
  (void)o;
  struct blob_source *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->base.transport = &transport;
  *out = &s->base;
  if (image_transport_open_file(r->path, &s->fd, &s->opened, e) != 0) {
    return -1;
  }
  s->path = arena_copy(&s->base.arena, slice_str(r->path));
  s->base.blobs = arena_alloc(&s->base.arena, sizeof *s->base.blobs);
  if (s->path == NULL || s->base.blobs == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->base.blob_count = 1;
  s->base.blobs[0] = (struct image_descriptor){.media_type = "application/octet-stream",
                                               .size = (uint64_t)s->opened.st_size};
  return 0;
}
