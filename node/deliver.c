#include "node/deliver.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/units.h"
#include "node/alone.h"
#include "node/delivery.h"
#include "node/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- what the ways have in common --- */

int delivery_open(const struct delivery *d, const char *digest, struct error *e) {
  CLEANUP_FREE char *path = layout_path(d->layout, digest);
  if (path == NULL) {
    return out_of_memory(e);
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? error_errno(e, errno, "cannot read %s", path) : fd;
}

ssize_t delivery_read(struct delivery *d, int fd, char *buffer, size_t len, struct error *e) {
  const struct deliver_options *o = d->options;
  ssize_t n;
  if (stop_check(o->stop, e) != 0) {
    return -1;
  }
  do {
    n = read(fd, buffer, len);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    return error_errno(e, errno, "cannot read %s", o->layout);
  }
  d->done += (uint64_t)n;
  if (o->progress != NULL) {
    o->progress(o->arg, d->done, d->size);
  }
  return n;
}

const char *delivery_name(struct delivery *d) {
  const struct destination *to = d->options->to;
  return to->name != NULL
             ? to->name
             : arena_printf(&d->arena, "%s@%s", to->repository, d->options->digest).ptr;
}

int delivery_check_room(const char *path, uint64_t size, struct error *e) {
  struct statvfs s;
  char wanted[UNITS_TEXT_MAX];
  char there[UNITS_TEXT_MAX];
  CLEANUP_FREE char *copy = strdup(path);
  if (copy == NULL) {
    return out_of_memory(e);
  }
  const char *folder = dirname(copy);
  if (statvfs(folder, &s) != 0) {
    return error_errno(e, errno, "cannot look at %s", folder);
  }
  uint64_t room = (uint64_t)s.f_bavail * s.f_frsize;
  units_print_size(size, wanted);
  units_print_size(room, there);
  return room >= size ? 0
                      : error_set(e, ERROR_FAILED, "no room in %s: %s are wanted, %s are free",
                                  folder, wanted, there);
}

/* --- archives: the file takes its place when it is whole --- */

static int sync_folder_of(const char *path, struct error *e) {
  CLEANUP_FREE char *copy = strdup(path);
  if (copy == NULL) {
    return out_of_memory(e);
  }
  CLEANUP_FD int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd >= 0 && fsync(fd) == 0 ? 0 : error_errno(e, errno, "cannot write %s to disk", path);
}

static int to_file(struct delivery *d, delivery_way *write_archive, struct error *e) {
  const char *path = d->options->to->path;
  const char *making = d->options->making;
  CLEANUP_FD int fd = open(making, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) {
    return error_errno(e, errno, "cannot write %s", making);
  }
  d->output = fd;
  d->name = path;
  if (write_archive(d, e) != 0) {
    unlink(making);
    return -1;
  }
  if (fsync(fd) != 0 || rename(making, path) != 0) {
    error_errno(e, errno, "cannot write %s", path);
    unlink(making);
    return -1;
  }
  return sync_folder_of(path, e);
}

/* A pipe is opened anew, for what we make of it shall be nobody else's: it must not block us. */
static int to_output(struct delivery *d, struct error *e) {
  struct stat s;
  bool pipe = fstat(STDOUT_FILENO, &s) == 0 && S_ISFIFO(s.st_mode);
  CLEANUP_FD int own = pipe ? open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
  d->output = own < 0 ? STDOUT_FILENO : own;
  d->name = "to standard output";
  return deliver_docker_archive(d, e);
}

/* --- all of it --- */

static int read_image(struct delivery *d, struct error *e) {
  CLEANUP(buf_free) struct buf bytes = {0};
  CLEANUP_FREE char *path = layout_path(d->layout, d->options->digest);
  if (path == NULL) {
    return out_of_memory(e);
  }
  if (file_read(path, IMAGE_MANIFEST_MAX, &bytes, e) != 0) {
    return -1;
  }
  d->bytes.ptr = arena_copy(&d->arena, buf_view(&bytes));
  d->bytes.len = bytes.len;
  if (d->bytes.ptr == NULL) {
    return out_of_memory(e);
  }
  if (image_manifest_parse(d->bytes, NULL, &d->arena, &d->manifest, e) != 0) {
    return -1;
  }
  d->blobs = image_manifest_blobs(&d->manifest, &d->arena, &d->blob_count, e);
  for (size_t i = 0; d->blobs != NULL && i < d->blob_count; i++) {
    d->size += d->blobs[i].size;
  }
  return d->blobs == NULL ? -1 : 0;
}

static int go(struct delivery *d, struct error *e) {
  switch (d->options->to->kind) {
  case DESTINATION_OCI_ARCHIVE:
    return to_file(d, deliver_oci_archive, e);
  case DESTINATION_DOCKER_ARCHIVE:
    return to_file(d, deliver_docker_archive, e);
  case DESTINATION_OUTPUT:
    return to_output(d, e);
  case DESTINATION_DIR:
    return deliver_dir(d, e);
  case DESTINATION_STORAGE:
    return deliver_storage(d, e);
  case DESTINATION_CONTAINERD:
    return deliver_containerd(d, e);
  case DESTINATION_OCI:
    break;
  }
  return 0;
}

int deliver(const struct deliver_options *options, struct error *e) {
  struct delivery d = {.options = options, .output = -1};
  int result = layout_open(options->layout, &d.layout, e);
  if (result == 0 && (result = read_image(&d, e)) == 0) {
    result = go(&d, e);
  }
  layout_close(d.layout);
  arena_free(&d.arena);
  return result;
}

static int deliver_until(void *arg, int stop, struct error *e) {
  struct deliver_options *options = arg;
  options->stop = stop;
  return deliver(options, e);
}

int deliver_alone(const struct deliver_options *options, struct error *e) {
  struct deliver_options own = *options;
  return alone_run(deliver_until, &own, e);
}
