#include "output.h"

#include "base/file.h"

#include <errno.h>
#include <unistd.h>

#define INDEX "index.json"

struct output_file {
  const char *path;
  struct output_file *next;
};

static int out_of_memory(const char *name, struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot write %s: out of memory", name);
}

static int write_file(struct output *o, const char *name, struct slice bytes, struct error *e) {
  struct output_file *file = arena_alloc(&o->arena, sizeof *file);
  struct slice path = arena_printf(&o->arena, "%s/%s", o->folder, name);
  if (file == NULL || path.ptr == NULL) {
    return out_of_memory(name, e);
  }
  if (file_write(path.ptr, bytes, 0644, e) != 0) {
    return -1;
  }
  *file = (struct output_file){path.ptr, o->written};
  o->written = file;
  return 0;
}

static int remove_index(struct output *o, struct error *e) {
  struct slice path = arena_printf(&o->arena, "%s/" INDEX, o->folder);
  if (path.ptr == NULL) {
    return out_of_memory(INDEX, e);
  }
  return unlink(path.ptr) == 0 || errno == ENOENT
             ? 0
             : error_errno(e, errno, "cannot remove the old %s", path.ptr);
}

int output_torrent(struct output *o, const char *name, struct slice bytes, struct error *e) {
  if (!o->begun && remove_index(o, e) != 0) {
    return -1;
  }
  o->begun = true;
  return write_file(o, name, bytes, e);
}

int output_index(struct output *o, struct slice bytes, struct error *e) {
  return write_file(o, INDEX, bytes, e);
}

void output_discard(struct output *o) {
  for (; o->written != NULL; o->written = o->written->next) {
    unlink(o->written->path);
  }
}

void output_close(struct output *o) {
  arena_free(&o->arena);
}
