#include "node/destination.h"

#include "base/cleanup.h"
#include "node/program.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

static const char *const WANTED =
    "oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:REF], dir:DIR, "
    "containers-storage:[REF], containerd:[NAMESPACE] or - is wanted";

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- names --- */

/* How docker and its kin call the image. */
static int name_by(const struct image_reference *r, struct arena *arena, struct destination *out,
                   struct error *e) {
  out->repository = arena_printf(arena, "%s/%s", r->host, r->repository).ptr;
  out->name = out->repository == NULL || r->tag == NULL
                  ? NULL
                  : arena_printf(arena, "%s:%s", out->repository, r->tag).ptr;
  return out->repository == NULL || (out->name == NULL && r->tag != NULL) ? out_of_memory(e) : 0;
}

static int parse_storage(struct slice text, const struct image_reference *image,
                         struct arena *arena, struct destination *out, struct error *e) {
  struct image_reference named = *image;
  if (slice_starts(text, SLICE("["))) {
    const char *end = memchr(text.ptr, ']', text.len);
    if (end == NULL) {
      return error_set(e, ERROR_USAGE, "containers-storage: the store's ] is missing");
    }
    size_t len = (size_t)(end - text.ptr) + 1;
    out->store = arena_copy(arena, slice_of(text.ptr, len));
    text = slice_from(text, len);
    if (out->store == NULL) {
      return out_of_memory(e);
    }
  }
  if (text.len > 0 && image_reference_parse_docker(text, arena, &named, e) != 0) {
    return error_context(e, "containers-storage");
  }
  if (text.len > 0 && named.digest != NULL) {
    return error_set(e, ERROR_USAGE,
                     "containers-storage:%.*s: an image there has a name and a tag, no digest",
                     SLICE_ARG(text));
  }
  return name_by(&named, arena, out, e);
}

/* As containerd checks identifiers, but for the places of the separators. */
static bool is_namespace(struct slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alnum && (i == 0 || strchr("._-", c) == NULL)) {
      return false;
    }
  }
  return text.len <= 76;
}

static int parse_containerd(struct slice text, const struct image_reference *image,
                            struct arena *arena, struct destination *out, struct error *e) {
  if (!is_namespace(text)) {
    return error_set(e, ERROR_USAGE, "containerd:%.*s: that is no namespace of containerd",
                     SLICE_ARG(text));
  }
  out->space = text.len == 0 ? NULL : arena_copy(arena, text);
  return text.len > 0 && out->space == NULL ? out_of_memory(e) : name_by(image, arena, out, e);
}

/* --- storage of runtimes --- */

static const struct slice STORAGE = {"containers-storage:", sizeof "containers-storage:" - 1};
static const struct slice CONTAINERD = {"containerd:", sizeof "containerd:" - 1};

bool destination_is_runtime(const char *text) {
  struct slice s = slice_str(text);
  return slice_starts(s, STORAGE) || slice_starts(s, CONTAINERD);
}

int destination_parse_runtime(const char *text, const struct image_reference *image,
                              struct arena *arena, struct destination *out, struct error *e) {
  struct slice s = slice_str(text);
  bool storage = slice_starts(s, STORAGE);
  *out = (struct destination){.kind = storage ? DESTINATION_STORAGE : DESTINATION_CONTAINERD};
  return storage ? parse_storage(slice_from(s, STORAGE.len), image, arena, out, e)
                 : parse_containerd(slice_from(s, CONTAINERD.len), image, arena, out, e);
}

/* --- all of them --- */

/* The transports that an image can come from as well. */
static int parse_transport(const char *text, const struct image_reference *image,
                           struct arena *arena, struct destination *out, struct error *e) {
  struct image_reference to;
  const char *colon = strchr(text, ':');
  if (colon[1] == '\0') {
    return error_set(e, ERROR_USAGE, "--to %.*s: the path behind the colon is missing",
                     (int)(colon - text), text);
  }
  if (image_reference_parse(text, arena, &to, e) != 0) {
    return error_context(e, "--to");
  }
  out->path = to.path;
  switch (to.transport) {
  case IMAGE_OCI:
  case IMAGE_OCI_ARCHIVE:
    out->kind = to.transport == IMAGE_OCI ? DESTINATION_OCI : DESTINATION_OCI_ARCHIVE;
    out->name = to.tag != NULL ? to.tag : image->tag;
    return 0;
  case IMAGE_DOCKER_ARCHIVE:
    out->kind = DESTINATION_DOCKER_ARCHIVE;
    return name_by(to.host != NULL ? &to : image, arena, out, e);
  case IMAGE_DIR:
    out->kind = DESTINATION_DIR;
    return 0;
  case IMAGE_DOCKER:
  case IMAGE_BLOB:
    break;
  }
  return error_set(e, ERROR_USAGE, "--to %s: %s", text, WANTED);
}

int destination_parse(const char *text, const struct image_reference *image, struct arena *arena,
                      struct destination *out, struct error *e) {
  static const struct slice transports[] = {
      {"oci", 3}, {"oci-archive", 11}, {"dir", 3}, {"docker-archive", 14}};
  static const struct {
    const char *name, *written;
  } runtimes[] = {{"containers-storage", "containers-storage:"},
                  {"podman", "containers-storage:"},
                  {"containerd", "containerd:"}};
  *out = (struct destination){.kind = DESTINATION_STORAGE};
  if (text == NULL) {
    return program_found("podman")
               ? name_by(image, arena, out, e)
               : error_set(e, ERROR_USAGE,
                           "--to is missing, and there is no podman to load the image into: %s",
                           WANTED);
  }
  if (strcmp(text, "-") == 0) {
    out->kind = DESTINATION_OUTPUT;
    return name_by(image, arena, out, e);
  }
  struct slice rest = slice_str(text);
  struct slice transport = rest.len == 0 ? rest : slice_cut(&rest, ':');
  if (destination_is_runtime(text)) {
    return destination_parse_runtime(text, image, arena, out, e) == 0 ? 0
                                                                      : error_context(e, "--to");
  }
  for (size_t i = 0; i < sizeof transports / sizeof *transports && rest.ptr != NULL; i++) {
    if (slice_equal(transport, transports[i])) {
      return parse_transport(text, image, arena, out, e);
    }
  }
  if (slice_starts(transport, SLICE("docker"))) { /* docker:, docker-daemon: */
    return error_set(e, ERROR_USAGE,
                     "--to %s: into docker's own storage an image goes by `--to - | docker load`, "
                     "and none is pushed to a registry; else %s",
                     text, WANTED);
  }
  for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
    if (slice_equal(transport, slice_str(runtimes[i].name))) {
      return error_set(e, ERROR_USAGE, "--to %s: write --to %s, with the colon", text,
                       runtimes[i].written);
    }
  }
  return error_set(e, ERROR_USAGE, "--to %s: %s", text, WANTED);
}

/* --- before anything is fetched --- */

static int check_archive(const char *path, const struct stat *s, struct error *e) {
  return S_ISREG(s->st_mode)
             ? 0
             : error_set(e, ERROR_USAGE,
                         "%s is no regular file, and is not replaced; --to - writes a "
                         "docker-archive to standard output",
                         path);
}

/* What is no image's folder is not touched, as skopeo does it. \param mark the file that tells one.
 * \param begun what may be there before the mark is; NULL: nothing. */
static int check_folder(const char *path, const char *mark, const char *begun, struct error *e) {
  size_t files = 0;
  bool image = false;
  DIR *folder = opendir(path);
  if (folder == NULL) {
    return error_errno(e, errno, "cannot open %s", path);
  }
  for (const struct dirent *d; (d = readdir(folder)) != NULL;) {
    image = image || strcmp(d->d_name, mark) == 0;
    files += d->d_name[0] != '.' && (begun == NULL || strcmp(d->d_name, begun) != 0);
  }
  closedir(folder);
  return image || files == 0
             ? 0
             : error_set(e, ERROR_USAGE,
                         "%s holds something else than an image (there is no %s in it), and is "
                         "left as it is: name a folder that is empty, or is not there yet",
                         path, mark);
}

static int check_path(struct destination *d, struct arena *arena, struct error *e) {
  struct stat s;
  CLEANUP_FREE char *resolved = NULL;
  if (stat(d->path, &s) != 0) {
    return errno == ENOENT ? 0 : error_errno(e, errno, "%s", d->path);
  }
  resolved = realpath(d->path, NULL);
  d->path = resolved == NULL ? NULL : arena_copy(arena, slice_str(resolved));
  if (d->path == NULL) {
    return out_of_memory(e);
  }
  if (d->kind == DESTINATION_OCI_ARCHIVE || d->kind == DESTINATION_DOCKER_ARCHIVE) {
    return check_archive(d->path, &s, e);
  }
  /* A pull that was killed at its very beginning has left `blobs`. */
  return d->kind == DESTINATION_DIR ? check_folder(d->path, "version", NULL, e)
                                    : check_folder(d->path, "oci-layout", "blobs", e);
}

static int check_storage(const struct destination *d, struct error *e) {
  if (program_found("skopeo") || (d->store == NULL && program_found("podman"))) {
    return 0;
  }
  return error_set(e, ERROR_FAILED, "containers-storage: is reached by skopeo%s: install it",
                   d->store == NULL ? " or podman, and neither is in $PATH"
                                    : ", which is not in $PATH, where it names a store");
}

int destination_check(struct destination *d, struct arena *arena, struct error *e) {
  switch (d->kind) {
  case DESTINATION_OUTPUT:
    return isatty(STDOUT_FILENO) == 1
               ? error_set(e, ERROR_USAGE,
                           "--to -: an archive is no use on a terminal; pipe it into docker load")
               : 0;
  case DESTINATION_STORAGE:
    return check_storage(d, e);
  case DESTINATION_CONTAINERD:
    return program_found("ctr")
               ? 0
               : error_set(e, ERROR_FAILED,
                           "containerd: is reached by ctr, which is not in $PATH: install it, it "
                           "comes with containerd");
  default:
    return check_path(d, arena, e);
  }
}
