/*
 * `dir:` (containers-transports(5)): version, manifest.json, and each blob by the hex digits of its
 * digest. manifest.json alone says which image it is; it comes last, over the one that was there.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "node/delivery.h"
#include "node/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { FILE_MODE = 0644, HEX_SIZE = 64 };

static const char VERSION[] = "Directory Transport Version: 1.1\n";

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

static int sync_folder(const char *path, struct error *e) {
  CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd >= 0 && fsync(fd) == 0 ? 0 : error_errno(e, errno, "cannot write %s to disk", path);
}

static int write_file(struct delivery *d, const char *folder, const char *name, struct slice bytes,
                      struct error *e) {
  struct slice path = arena_printf(&d->arena, "%s/%s", folder, name);
  return path.ptr == NULL ? out_of_memory(e) : file_write(path.ptr, bytes, FILE_MODE, e);
}

/* One that is there already is of this digest, but who knows what has become of it. */
static int replace(const char *from, const char *to, const char *making, struct error *e) {
  if (link(from, making) != 0 || rename(making, to) != 0) {
    return error_errno(e, errno, "cannot give %s the name %s", from, to);
  }
  unlink(making); /* rename(2) leaves it where both are the same file */
  return 0;
}

static int link_blob(struct delivery *d, const char *folder, const char *digest, struct error *e) {
  const char *making = d->options->making;
  CLEANUP_FREE char *from = layout_path(d->layout, digest);
  struct slice to = arena_printf(&d->arena, "%s/%s", folder, digest + sizeof "sha256:" - 1);
  if (from == NULL || to.ptr == NULL) {
    return out_of_memory(e);
  }
  if (link(from, to.ptr) == 0) {
    return 0;
  }
  return errno == EEXIST && folder != making
             ? replace(from, to.ptr, making, e)
             : error_errno(e, errno, "cannot give %s the name %s", from, to.ptr);
}

static int fill(struct delivery *d, const char *folder, struct error *e) {
  if (write_file(d, folder, "version", slice_str(VERSION), e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < d->blob_count; i++) {
    if (stop_check(d->options->stop, e) != 0 || link_blob(d, folder, d->blobs[i].digest, e) != 0) {
      return -1;
    }
  }
  return sync_folder(folder, e) == 0 ? write_file(d, folder, "manifest.json", d->bytes, e) : -1;
}

/* Whether it is a file of some image's, and not of this. */
static bool is_stale(const struct delivery *d, const char *name) {
  struct slice s = slice_str(name);
  for (size_t i = 0; i < d->blob_count; i++) {
    if (strcmp(d->blobs[i].digest + sizeof "sha256:" - 1, name) == 0) {
      return false;
    }
  }
  return slice_starts(s, SLICE("signature-")) || slice_ends(s, SLICE(".manifest.json")) ||
         (s.len == HEX_SIZE && strspn(name, "0123456789abcdef") == HEX_SIZE);
}

/* What was there before. It is no error if some of that cannot be removed: nothing names it. */
static void remove_stale(const struct delivery *d, const char *folder) {
  DIR *dir = opendir(folder);
  for (const struct dirent *f; dir != NULL && (f = readdir(dir)) != NULL;) {
    if (is_stale(d, f->d_name)) {
      unlinkat(dirfd(dir), f->d_name, 0);
    }
  }
  if (dir != NULL) {
    closedir(dir);
  }
}

int deliver_dir(struct delivery *d, struct error *e) {
  const char *path = d->options->to->path;
  const char *making = d->options->making;
  struct stat s;
  if (stat(path, &s) == 0) {
    if (fill(d, path, e) != 0) {
      return -1;
    }
    remove_stale(d, path);
    return 0;
  }
  if (mkdir(making, 0777) != 0) {
    return error_errno(e, errno, "cannot make folder %s", making);
  }
  if (fill(d, making, e) != 0) {
    return -1;
  }
  if (rename(making, path) != 0) {
    return error_errno(e, errno, "cannot write %s", path);
  }
  CLEANUP_FREE char *above = file_join(path, "..");
  return above == NULL ? out_of_memory(e) : sync_folder(above, e);
}
