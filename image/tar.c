#include "image/tar.h"

#include "image/tar_digest.h"

#include <stdlib.h>

struct tar {
  bool hash;
  struct tar_reader *reader;
  const char *path;
  struct arena arena;
  struct tar_file *files; /* sorted by name once all are read */
  size_t count;
  uint64_t kept;        /* bytes of the files that are kept */
  struct slice pending; /* of the entry, which pull() gives next */
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

static int refuse_holes(const struct tar *tar, struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot read %s: a file in it has holes", tar->path);
}

/* Streams the entry that the reader is at. */
static int stream(struct tar *tar, uint64_t size, image_sink *sink, void *arg, struct error *e) {
  uint64_t seen = 0;
  for (;;) {
    struct slice bytes;
    if (tar_reader_piece(tar->reader, &bytes, e) != 0) {
      return -1;
    }
    if (bytes.len == 0) {
      return seen == size ? 0 : refuse_holes(tar, e);
    }
    seen += bytes.len;
    if (sink(arg, bytes, e) != 0) {
      return -1;
    }
  }
}

enum { CLEAN_NAME_SIZE = TAR_NAME_MAX + sizeof "/" + TAR_NAME_MAX };

/* Writes a name without `.`, `..` and doubled slashes, as seen from folder \p base, which is clean.
 * \return false when it leads out of the archive. */
static bool clean_name(struct slice base, const char *name, char out[CLEAN_NAME_SIZE]) {
  struct slice rest = slice_str(name);
  size_t used = name[0] == '/' ? 0 : base.len;
  memcpy(out, base.ptr, used);
  while (rest.ptr != NULL) {
    struct slice part = slice_cut(&rest, '/');
    if (slice_equal(part, SLICE(".."))) {
      if (used == 0) {
        return false;
      }
      while (used > 0 && out[--used] != '/') {
      }
    } else if (part.len > 0 && !slice_equal(part, SLICE("."))) {
      if (used > 0) {
        out[used++] = '/';
      }
      memcpy(out + used, part.ptr, part.len);
      used += part.len;
    }
  }
  out[used] = '\0';
  return true;
}

static struct slice folder_of(const char *name) {
  const char *slash = strrchr(name, '/');
  return slice_of(name, slash == NULL ? 0 : (size_t)(slash - name));
}

/* The next bytes of the entry. */
static int pull(void *arg, struct slice *bytes, struct error *e) {
  struct tar *tar = arg;
  *bytes = tar->pending;
  tar->pending = slice_of(NULL, 0);
  return bytes->len > 0 ? 0 : tar_reader_piece(tar->reader, bytes, e);
}

/* Keeps a file of \p size bytes, of which \p first are read, and has pull() give it again. */
static int keep(struct tar *tar, struct slice first, uint64_t size, const char **out,
                struct error *e) {
  char *text = arena_alloc(&tar->arena, size);
  struct slice bytes = first;
  size_t used = 0;
  if (text == NULL) {
    return out_of_memory(e);
  }
  while (bytes.len > 0 && bytes.len <= size - used) {
    memcpy(text + used, bytes.ptr, bytes.len);
    used += bytes.len;
    if (tar_reader_piece(tar->reader, &bytes, e) != 0) {
      return -1;
    }
  }
  if (bytes.len > 0 || used < size) {
    return refuse_holes(tar, e);
  }
  tar->kept += size;
  tar->pending = slice_of(text, used);
  *out = text;
  return 0;
}

/* Documents are few and small, and read in the order in which they lead to each other. */
static int keep_document(struct tar *tar, uint64_t size, const char **out, struct error *e) {
  if (!tar_reader_is_packed(tar->reader) || size > IMAGE_MANIFEST_MAX ||
      size > TAR_KEPT_MAX - tar->kept) {
    return 0;
  }
  struct slice first;
  if (tar_reader_piece(tar->reader, &first, e) != 0) {
    return -1;
  }
  tar->pending = first;
  return slice_starts(first, SLICE("{")) || slice_starts(first, SLICE("["))
             ? keep(tar, first, size, out, e)
             : 0;
}

static int take_bytes(struct tar *tar, uint64_t size, struct tar_file *file, struct error *e) {
  tar->pending = slice_of(NULL, 0);
  if (keep_document(tar, size, &file->kept, e) != 0) {
    return -1;
  }
  if (!tar->hash) {
    file->size = size;
    return 0;
  }
  if (tar_digest_file(tar->reader, pull, tar, &tar->arena, file, e) != 0) {
    return -1;
  }
  return file->size == size ? 0 : refuse_holes(tar, e);
}

/* Fills the next of tar->files from an entry; passed over is what is no file and no link, and what
 * leads out of the archive, of which there may be any number: it costs no memory. */
static int take_entry(struct tar *tar, struct archive_entry *entry, struct error *e) {
  char clean[CLEAN_NAME_SIZE], clean_link[CLEAN_NAME_SIZE];
  const char *name = archive_entry_pathname(entry);
  const char *hard = archive_entry_hardlink(entry);
  const char *soft = archive_entry_symlink(entry);
  const char *link = hard != NULL ? hard : soft;
  if (name == NULL || (link == NULL && archive_entry_filetype(entry) != AE_IFREG)) {
    return 0;
  }
  if (strlen(name) > TAR_NAME_MAX || (link != NULL && strlen(link) > TAR_NAME_MAX)) {
    return error_set(e, ERROR_FAILED, "cannot read %s: it holds a name of more than %d bytes",
                     tar->path, TAR_NAME_MAX);
  }
  if (!clean_name(SLICE(""), name, clean) ||
      (link != NULL &&
       !clean_name(hard != NULL ? SLICE("") : folder_of(clean), link, clean_link))) {
    return 0;
  }
  if (tar->count == TAR_FILES_MAX) {
    return error_set(e, ERROR_FAILED, "cannot read %s: it holds more than %d files", tar->path,
                     TAR_FILES_MAX);
  }
  struct tar_file file = {.name = arena_copy(&tar->arena, slice_str(clean)),
                          .position = tar_reader_position(tar->reader) - 1};
  if (link != NULL) {
    file.link = arena_copy(&tar->arena, slice_str(clean_link));
  }
  if (file.name == NULL || (link != NULL && file.link == NULL)) {
    return out_of_memory(e);
  }
  if (link == NULL && take_bytes(tar, (uint64_t)archive_entry_size(entry), &file, e) != 0) {
    return -1;
  }
  tar->files[tar->count++] = file;
  return 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct tar_file *)a)->name, ((const struct tar_file *)b)->name);
}

static int read_through(struct tar *tar, struct error *e) {
  struct archive_entry *entry;
  int more;
  while ((more = tar_reader_next(tar->reader, &entry, e)) > 0) {
    if (take_entry(tar, entry, e) != 0) {
      return -1;
    }
  }
  if (more < 0) {
    return -1;
  }
  qsort(tar->files, tar->count, sizeof *tar->files, by_name);
  for (size_t i = 1; i < tar->count; i++) {
    if (by_name(&tar->files[i - 1], &tar->files[i]) == 0) {
      return error_set(e, ERROR_FAILED, "cannot read %s: it holds %.256s twice", tar->path,
                       tar->files[i].name);
    }
  }
  return 0;
}

static int open_files(struct tar *tar, const char *path, struct error *e) {
  tar->path = arena_copy(&tar->arena, slice_str(path));
  tar->files = calloc(TAR_FILES_MAX, sizeof *tar->files);
  if (tar->path == NULL || tar->files == NULL) {
    return out_of_memory(e);
  }
  return tar_reader_open(path, &tar->reader, e) == 0 ? read_through(tar, e) : -1;
}

int tar_open(const char *path, bool hash, struct tar **out, struct error *e) {
  struct tar *tar = calloc(1, sizeof *tar);
  if (tar == NULL) {
    return out_of_memory(e);
  }
  tar->hash = hash;
  if (open_files(tar, path, e) != 0) {
    tar_close(tar);
    return -1;
  }
  *out = tar;
  return 0;
}

void tar_close(struct tar *tar) {
  if (tar != NULL) {
    tar_reader_close(tar->reader);
    arena_free(&tar->arena);
    free(tar->files);
    free(tar);
  }
}

const struct tar_file *tar_find(const struct tar *tar, const char *name) {
  struct tar_file key = {.name = name};
  for (int links = 0; links <= TAR_LINKS_MAX; links++) {
    const struct tar_file *file = bsearch(&key, tar->files, tar->count, sizeof key, by_name);
    if (file == NULL || file->link == NULL) {
      return file;
    }
    key.name = file->link;
  }
  return NULL;
}

const struct tar_file *tar_find_digest(const struct tar *tar, const char *digest) {
  for (size_t i = 0; i < tar->count; i++) {
    if (tar->files[i].digest != NULL && strcmp(tar->files[i].digest, digest) == 0) {
      return &tar->files[i];
    }
  }
  return NULL;
}

int tar_read(struct tar *tar, const struct tar_file *file, image_sink *sink, void *arg,
             struct error *e) {
  struct archive_entry *entry = NULL;
  if (file->kept != NULL) {
    return file->size > 0 ? sink(arg, slice_of(file->kept, file->size), e) : 0;
  }
  if (tar_reader_position(tar->reader) > file->position && tar_reader_rewind(tar->reader, e) != 0) {
    return -1;
  }
  while (tar_reader_position(tar->reader) <= file->position) {
    int more = tar_reader_next(tar->reader, &entry, e);
    if (more <= 0) {
      return more < 0 ? -1
                      : error_set(e, ERROR_FAILED, "%s has changed while it was read", tar->path);
    }
  }
  return stream(tar, file->size, sink, arg, e);
}
