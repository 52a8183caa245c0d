#include "node/layout.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hex.h"
#include "image/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  FILE_MODE = 0644,
  SHA256_SIZE = 32,
  READ_SIZE = 256 * 1024,
  INDEX_MAX = 4 * 1024 * 1024, /* bytes of an index.json */
};

static const char mark[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

struct layout {
  char *folder;
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- opening --- */

static int make_layout(const struct layout *layout, struct error *e) {
  CLEANUP_FREE char *blobs = file_join(layout->folder, "blobs/sha256");
  CLEANUP_FREE char *file = file_join(layout->folder, "oci-layout");
  CLEANUP(buf_free) struct buf found = {0};
  struct error why = {0};
  if (blobs == NULL || file == NULL) {
    return out_of_memory(e);
  }
  if (file_make_folders(blobs, e) != 0) {
    return -1;
  }
  if (file_read(file, INDEX_MAX, &found, &why) == 0) {
    return 0;
  }
  return file_write(file, SLICE(mark), FILE_MODE, e);
}

int layout_open(const char *folder, struct layout **out, struct error *e) {
  struct layout *layout = calloc(1, sizeof *layout);
  if (layout == NULL || (layout->folder = strdup(folder)) == NULL) {
    free(layout);
    return out_of_memory(e);
  }
  if (make_layout(layout, e) != 0) {
    layout_close(layout);
    return -1;
  }
  *out = layout;
  return 0;
}

void layout_close(struct layout *layout) {
  if (layout != NULL) {
    free(layout->folder);
    free(layout);
  }
}

/* --- blobs --- */

char *layout_path(const struct layout *layout, const char *digest) {
  struct buf path = {0};
  buf_printf(&path, "%s/blobs/sha256/%s", layout->folder, digest + sizeof "sha256:" - 1);
  return path.ptr;
}

static int hash_file(int fd, const char *path, EVP_MD_CTX *sha256, struct error *e) {
  CLEANUP_FREE char *bytes = malloc(READ_SIZE);
  ssize_t n = -1;
  if (bytes == NULL || EVP_DigestInit_ex(sha256, EVP_sha256(), NULL) != 1) {
    return out_of_memory(e);
  }
  while ((n = read(fd, bytes, READ_SIZE)) != 0) {
    if (n < 0 && errno != EINTR) {
      return error_errno(e, errno, "cannot read %s", path);
    }
    if (n > 0 && EVP_DigestUpdate(sha256, bytes, (size_t)n) != 1) {
      return error_set(e, ERROR_FAILED, "cannot hash %s", path);
    }
  }
  return 0;
}

int layout_check(const char *path, const char *digest, uint64_t size, struct error *e) {
  CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  unsigned char hash[SHA256_SIZE];
  char hex[2 * SHA256_SIZE + 1];
  struct stat s;
  if (fd < 0 || fstat(fd, &s) != 0) {
    int result = error_errno(e, errno, "%s", path);
    if (e != NULL && errno == ENOENT) {
      e->kind = ERROR_NOT_FOUND;
    }
    return result;
  }
  if ((uint64_t)s.st_size != size) {
    return error_set(e, ERROR_MISMATCH, "%s has %ju bytes, but should have %" PRIu64, path,
                     (uintmax_t)s.st_size, size);
  }
  EVP_MD_CTX *sha256 = EVP_MD_CTX_new();
  int result = sha256 == NULL ? out_of_memory(e) : hash_file(fd, path, sha256, e);
  if (result == 0 && EVP_DigestFinal_ex(sha256, hash, NULL) != 1) {
    result = error_set(e, ERROR_FAILED, "cannot hash %s", path);
  }
  EVP_MD_CTX_free(sha256);
  if (result != 0) {
    return -1;
  }
  hex_encode(hash, sizeof hash, hex);
  return strcmp(hex, digest + sizeof "sha256:" - 1) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH, "%s is sha256:%s, but should be %s", path, hex, digest);
}

static int sync_path(const char *path, int flags, struct error *e) {
  CLEANUP_FD int fd = open(path, flags | O_CLOEXEC);
  return fd >= 0 && fsync(fd) == 0 ? 0 : error_errno(e, errno, "cannot write %s to disk", path);
}

int layout_link(const struct layout *layout, const char *from, const char *digest,
                struct error *e) {
  CLEANUP_FREE char *to = layout_path(layout, digest);
  CLEANUP_FREE char *blobs = file_join(layout->folder, "blobs/sha256");
  if (to == NULL || blobs == NULL) {
    return out_of_memory(e);
  }
  if (sync_path(from, O_RDONLY, e) != 0) {
    return -1;
  }
  if (unlink(to) != 0 && errno != ENOENT) { /* what was there was not right */
    return error_errno(e, errno, "cannot replace %s", to);
  }
  if (link(from, to) != 0) {
    return error_errno(e, errno, "cannot give %s the name %s", from, to);
  }
  return sync_path(blobs, O_RDONLY | O_DIRECTORY, e);
}

int layout_write(const struct layout *layout, const char *digest, struct slice bytes,
                 struct error *e) {
  CLEANUP_FREE char *path = layout_path(layout, digest);
  return path == NULL ? out_of_memory(e) : file_write(path, bytes, FILE_MODE, e);
}

/* --- index.json --- */

static const char *name_of(const json_t *manifest) {
  return json_string_value(json_object_get(json_object_get(manifest, "annotations"),
                                           "org.opencontainers.image.ref.name"));
}

static bool is_replaced(const json_t *manifest, const struct layout_entry *entry) {
  const char *name = name_of(manifest);
  const char *digest = json_string_value(json_object_get(manifest, "digest"));
  if (entry->name != NULL || name != NULL) {
    return entry->name != NULL && name != NULL && strcmp(name, entry->name) == 0;
  }
  return digest != NULL && strcmp(digest, entry->digest) == 0;
}

static json_t *read_index(const char *path, struct error *e) {
  CLEANUP(buf_free) struct buf bytes = {0};
  struct error why = {0};
  json_error_t where;
  if (file_read(path, INDEX_MAX, &bytes, &why) != 0) {
    if (why.kind != ERROR_NOT_FOUND) {
      error_set(e, why.kind, "%s", why.text);
      return NULL;
    }
    json_t *fresh = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType",
                              "application/vnd.oci.image.index.v1+json", "manifests");
    if (fresh == NULL) {
      out_of_memory(e);
    }
    return fresh;
  }
  json_t *index = json_loadb(bytes.ptr, bytes.len, 0, &where);
  if (!json_is_array(json_object_get(index, "manifests"))) {
    json_decref(index);
    error_set(e, ERROR_FAILED, "%s is no index of an OCI layout", path);
    return NULL;
  }
  return index;
}

static int add_entry(json_t *index, const struct layout_entry *entry) {
  json_t *manifests = json_object_get(index, "manifests");
  for (size_t i = json_array_size(manifests); i-- > 0;) {
    if (is_replaced(json_array_get(manifests, i), entry)) {
      json_array_remove(manifests, i);
    }
  }
  return json_array_append_new(
      manifests,
      json_pack(entry->name == NULL ? "{s:s, s:s, s:I}" : "{s:s, s:s, s:I, s:{s:s}}", "mediaType",
                entry->media_type, "digest", entry->digest, "size", (json_int_t)entry->size,
                "annotations", "org.opencontainers.image.ref.name", entry->name));
}

int layout_enter(const struct layout *layout, const struct layout_entry *entry, struct error *e) {
  CLEANUP_FREE char *path = file_join(layout->folder, "index.json");
  CLEANUP(buf_free) struct buf text = {0};
  if (path == NULL) {
    return out_of_memory(e);
  }
  CLEANUP(image_json_release) json_t *index = read_index(path, e);
  if (index == NULL) {
    return -1;
  }
  if (add_entry(index, entry) != 0) {
    return out_of_memory(e);
  }
  return image_json_write(index, JSON_INDENT(2), &text, e) == 0
             ? file_write(path, buf_view(&text), FILE_MODE, e)
             : -1;
}
