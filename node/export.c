#include "node/export.h"

#include "node/program.h"

enum { ARGUMENTS_MAX = 16 };

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* How the image is called in the storage. NULL without memory. */
static const char *name_of(const struct export_options *o, struct arena *arena) {
  return o->of->name != NULL ? o->of->name
                             : arena_printf(arena, "%s@%s", o->of->repository, o->digest).ptr;
}

/* --- containers-storage: --- */

/* `dir:` takes manifests and configs as they are; of an oci: layout they would be made anew. */
static int by_skopeo(const struct export_options *o, const char *name, struct arena *arena,
                     const char *to, struct error *e) {
  const char *store = o->of->store == NULL ? "" : o->of->store;
  struct slice from = arena_printf(arena, "containers-storage:%s%s", store, name);
  const char *const argv[] = {"skopeo", "copy", "-q", "--dest-compress", from.ptr, to, NULL};
  return from.ptr == NULL ? out_of_memory(e) : program_run(argv, NULL, NULL, o->stop, e);
}

static int by_podman(const struct export_options *o, const char *name, const char *to,
                     struct error *e) {
  const char *const argv[] = {"podman", "push", "-q", "--compress", name, to, NULL};
  return program_run(argv, NULL, NULL, o->stop, e);
}

static int export_storage(const struct export_options *o, const char *name, struct arena *arena,
                          struct image_reference *out, struct error *e) {
  struct slice to = arena_printf(arena, "dir:%s/exported", o->folder);
  if (to.ptr == NULL) {
    return out_of_memory(e);
  }
  *out = (struct image_reference){.transport = IMAGE_DIR, .path = to.ptr + sizeof "dir:" - 1};
  return program_found("skopeo") ? by_skopeo(o, name, arena, to.ptr, e)
                                 : by_podman(o, name, to.ptr, e);
}

/* --- containerd: --- */

static int export_containerd(const struct export_options *o, const char *name, struct arena *arena,
                             struct image_reference *out, struct error *e) {
  struct slice to = arena_printf(arena, "%s/exported", o->folder);
  const char *argv[ARGUMENTS_MAX];
  size_t n = 0;
  if (to.ptr == NULL) {
    return out_of_memory(e);
  }
  *out = (struct image_reference){.transport = IMAGE_OCI_ARCHIVE, .path = to.ptr};
  argv[n++] = "ctr";
  if (o->of->space != NULL) {
    argv[n++] = "--namespace";
    argv[n++] = o->of->space;
  }
  argv[n++] = "images";
  argv[n++] = "export";
  if (o->platform != NULL) {
    argv[n++] = "--platform";
    argv[n++] = o->platform;
  }
  argv[n++] = to.ptr;
  argv[n++] = name;
  argv[n] = NULL;
  return program_run(argv, NULL, NULL, o->stop, e);
}

int export_run(const struct export_options *o, struct arena *arena, struct image_reference *out,
               struct error *e) {
  const char *name = name_of(o, arena);
  if (name == NULL) {
    return out_of_memory(e);
  }
  return o->of->kind == DESTINATION_STORAGE ? export_storage(o, name, arena, out, e)
                                            : export_containerd(o, name, arena, out, e);
}
