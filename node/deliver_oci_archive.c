/* An OCI layout as a tar, of this image alone. */
#include "base/cleanup.h"
#include "image/json.h"
#include "node/delivery.h"
#include "node/tar_writer.h"

static const char MARK[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

static int add_bytes(struct tar_writer *tar, const char *name, struct slice bytes,
                     struct error *e) {
  return tar_writer_file(tar, name, bytes.len, e) == 0 ? tar_writer_bytes(tar, bytes, e) : -1;
}

static int add_blob(struct delivery *d, struct tar_writer *tar, const char *digest, uint64_t size,
                    struct error *e) {
  CLEANUP_FREE char *buffer = malloc(DELIVERY_READ_SIZE);
  CLEANUP_FD int fd = delivery_open(d, digest, e);
  struct slice name = arena_printf(&d->arena, "blobs/sha256/%s", digest + sizeof "sha256:" - 1);
  ssize_t n = -1;
  if (buffer == NULL || name.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (fd < 0 || tar_writer_file(tar, name.ptr, size, e) != 0) {
    return -1;
  }
  while ((n = delivery_read(d, fd, buffer, DELIVERY_READ_SIZE, e)) > 0) {
    if (tar_writer_bytes(tar, slice_of(buffer, (size_t)n), e) != 0) {
      return -1;
    }
  }
  return n == 0 ? 0 : -1;
}

/* The runtimes take the whole name out of an annotation of containerd's. */
static int make_index(struct delivery *d, struct buf *out, struct error *e) {
  const struct destination *to = d->options->to;
  bool archive = to->kind == DESTINATION_OCI_ARCHIVE;
  const char *key = archive ? "org.opencontainers.image.ref.name" : "io.containerd.image.name";
  const char *name = archive ? to->name : delivery_name(d);
  if (!archive && name == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  CLEANUP(image_json_release)
  json_t *index = json_pack("{s:i, s:s, s:[{s:s, s:s, s:I, s:{s:s*}}]}", "schemaVersion", 2,
                            "mediaType", "application/vnd.oci.image.index.v1+json", "manifests",
                            "mediaType", d->manifest.media_type, "digest", d->options->digest,
                            "size", (json_int_t)d->bytes.len, "annotations", key, name);
  return image_json_write(index, JSON_COMPACT, out, e);
}

static int fill(struct delivery *d, struct tar_writer *tar, struct error *e) {
  CLEANUP(buf_free) struct buf index = {0};
  if (make_index(d, &index, e) != 0 || add_bytes(tar, "oci-layout", slice_str(MARK), e) != 0 ||
      add_bytes(tar, "index.json", buf_view(&index), e) != 0 ||
      tar_writer_folder(tar, "blobs/", e) != 0 || tar_writer_folder(tar, "blobs/sha256/", e) != 0 ||
      add_blob(d, tar, d->options->digest, d->bytes.len, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < d->blob_count; i++) {
    if (add_blob(d, tar, d->blobs[i].digest, d->blobs[i].size, e) != 0) {
      return -1;
    }
  }
  return tar_writer_end(tar, e);
}

int deliver_oci_archive(struct delivery *d, struct error *e) {
  struct tar_writer *tar;
  if (d->options->making != NULL &&
      delivery_check_room(d->options->making, d->bytes.len + d->size, e) != 0) {
    return -1;
  }
  if (tar_writer_new(d->output, d->name, d->options->stop, &tar, e) != 0) {
    return -1;
  }
  d->size += d->bytes.len;
  int result = fill(d, tar, e);
  tar_writer_free(tar);
  return result;
}
