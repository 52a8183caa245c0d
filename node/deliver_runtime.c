/* Storage that belongs to a runtime: it is filled by the runtime's own tool. */
#include "node/delivery.h"
#include "node/program.h"

enum { ARGUMENTS_MAX = 16 };

/* What podman and ctr read. */
static int feed(void *arg, int fd, struct error *e) {
  struct delivery *d = arg;
  d->output = fd;
  d->name = "to the program";
  return deliver_oci_archive(d, e);
}

/* --- containers-storage: --- */

static int by_skopeo(struct delivery *d, struct error *e) {
  /* A name of its own, for there may be other images in the layout, of pulls that were ended. */
  const struct layout_entry entry = {.digest = d->options->digest,
                                     .media_type = d->manifest.media_type,
                                     .size = d->bytes.len,
                                     .name = "image"};
  const char *store = d->options->to->store;
  const char *name = delivery_name(d);
  struct slice from = arena_printf(&d->arena, "oci:%s:%s", d->options->layout, entry.name);
  struct slice to = arena_printf(&d->arena, "containers-storage:%s%s", store == NULL ? "" : store,
                                 name == NULL ? "" : name);
  if (name == NULL || from.ptr == NULL || to.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  const char *const argv[] = {"skopeo", "copy", "-q", "--preserve-digests", from.ptr, to.ptr, NULL};
  return layout_enter(d->layout, &entry, e) == 0
             ? program_run(argv, NULL, NULL, d->options->stop, e)
             : -1;
}

int deliver_storage(struct delivery *d, struct error *e) {
  static const char *const podman[] = {"podman", "load", "-q", NULL};
  return program_found("skopeo") ? by_skopeo(d, e)
                                 : program_run(podman, feed, d, d->options->stop, e);
}

/* --- containerd: --- */

int deliver_containerd(struct delivery *d, struct error *e) {
  const char *space = d->options->to->space;
  const char *argv[ARGUMENTS_MAX];
  size_t n = 0;
  argv[n++] = "ctr";
  if (space != NULL) {
    argv[n++] = "--namespace";
    argv[n++] = space;
  }
  argv[n++] = "images";
  argv[n++] = "import";
  if (d->options->platform != NULL) {
    argv[n++] = "--platform";
    argv[n++] = d->options->platform;
  }
  argv[n++] = "-";
  argv[n] = NULL;
  return program_run(argv, feed, d, d->options->stop, e);
}
