#include "node/direct.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "node/layout.h"
#include "node/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MODE = 0644 };

struct direct {
  const struct direct_options *options;
  struct direct_result *out;
  struct image_source *source;
  struct layout *layout;
  uint64_t done, kept; /* bytes */
  int fd;
};

static void tell(const struct direct *d) {
  if (d->options->progress != NULL) {
    d->options->progress(d->options->arg, d->done, d->kept, d->out->size);
  }
}

static int on_bytes(void *arg, struct slice bytes, struct error *e) {
  struct direct *d = arg;
  d->done += bytes.len;
  while (bytes.len > 0) {
    ssize_t n = write(d->fd, bytes.ptr, bytes.len);
    if (n < 0 && errno != EINTR) {
      return error_errno(e, errno, "cannot write to %s", d->options->unfinished);
    }
    bytes = slice_from(bytes, n < 0 ? 0 : (size_t)n);
  }
  tell(d);
  return stop_check(d->options->stop, e);
}

static int fetch(struct direct *d, const struct image_descriptor *blob, struct error *e) {
  CLEANUP_FREE char *path = NULL;
  if (asprintf(&path, "%s/%s", d->options->unfinished, blob->digest + sizeof "sha256:" - 1) < 0) {
    path = NULL;
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  d->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
  if (d->fd < 0) {
    return error_errno(e, errno, "cannot write %s", path);
  }
  int result = image_source_read(d->source, blob, on_bytes, NULL, d, e);
  if (close(d->fd) != 0 && result == 0) {
    result = error_errno(e, errno, "cannot write %s", path);
  }
  if (result == 0) {
    result = layout_link(d->layout, path, blob->digest, e);
  }
  unlink(path);
  return result;
}

static int take(struct direct *d, const struct image_descriptor *blob, struct error *e) {
  CLEANUP_FREE char *path = layout_path(d->layout, blob->digest);
  struct error ignored = {0};
  if (path != NULL && layout_check(path, blob->digest, blob->size, &ignored) == 0) {
    d->out->kept++;
    d->done += blob->size;
    d->kept += blob->size;
    tell(d);
    return 0;
  }
  d->out->fetched += blob->size;
  return fetch(d, blob, e);
}

static int take_all(struct direct *d, struct error *e) {
  const struct image_descriptor *blobs = image_source_blobs(d->source, &d->out->blobs);
  struct slice manifest = image_source_manifest(d->source);
  CLEANUP(arena_free) struct arena arena = {0};
  struct image_manifest read;
  if (image_manifest_parse(manifest, NULL, &arena, &read, e) != 0) {
    return -1;
  }
  const struct layout_entry entry = {.digest = image_source_digest(d->source),
                                     .media_type = read.media_type,
                                     .size = manifest.len,
                                     .name = d->options->name};
  snprintf(d->out->digest, sizeof d->out->digest, "%s", entry.digest);
  for (size_t i = 0; i < d->out->blobs; i++) {
    d->out->size += blobs[i].size;
  }
  for (size_t i = 0; i < d->out->blobs; i++) {
    if (take(d, &blobs[i], e) != 0) {
      return -1;
    }
  }
  return layout_write(d->layout, entry.digest, manifest, e) == 0
             ? layout_enter(d->layout, &entry, e)
             : -1;
}

int direct_pull(const struct direct_options *options, struct direct_result *out, struct error *e) {
  struct direct d = {.options = options, .out = out};
  *out = (struct direct_result){0};
  int result = image_source_open(options->image, options->from, &d.source, e);
  if (result == 0 && (result = file_make_folders(options->unfinished, e)) == 0 &&
      (result = layout_open(options->folder, &d.layout, e)) == 0) {
    result = take_all(&d, e);
    rmdir(options->unfinished);
  }
  layout_close(d.layout);
  image_source_close(d.source);
  return result;
}
