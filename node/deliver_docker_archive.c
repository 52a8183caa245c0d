/*
 * What `docker load` reads, and podman, skopeo and containerd too: manifest.json, the config as
 * HEX.json, and the layers, unpacked, as DIFF_ID.tar. A tar says a file's size before its bytes, so
 * that each layer is unpacked twice: to be measured and checked, and to be written.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hex.h"
#include "image/json.h"
#include "image/unpacker.h"
#include "node/delivery.h"
#include "node/tar_writer.h"

#include <openssl/evp.h>

enum { SHA256_SIZE = 32 };

struct layer {
  const struct image_descriptor *blob;
  const char *diff; /* the digest of what it unpacks to */
  const char *name; /* in the archive */
  uint64_t size;    /* unpacked */
  bool again;       /* one before has the same content */
};

struct archiving {
  struct delivery *delivery;
  struct layer *layers;
  size_t count;
  struct slice config;
  const char *config_name;
  struct tar_writer *tar;
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- a layer, unpacked --- */

struct reading {
  struct delivery *delivery;
  int fd;
  char *buffer;
};

typedef int layer_sink(void *arg, struct slice bytes, struct error *e);

static int read_packed(void *arg, struct slice *bytes, struct error *e) {
  struct reading *r = arg;
  ssize_t n = delivery_read(r->delivery, r->fd, r->buffer, DELIVERY_READ_SIZE, e);
  *bytes = slice_of(r->buffer, n < 0 ? 0 : (size_t)n);
  return n < 0 ? -1 : 0;
}

static int unpack(struct delivery *d, const struct layer *layer, layer_sink *sink, void *arg,
                  struct error *e) {
  CLEANUP_FREE char *buffer = malloc(DELIVERY_READ_SIZE);
  CLEANUP_FD int fd = delivery_open(d, layer->blob->digest, e);
  struct reading r = {d, fd, buffer};
  struct unpacker *u = NULL;
  struct slice bytes = {NULL, 1};
  if (buffer == NULL) {
    return out_of_memory(e);
  }
  if (fd < 0) {
    return -1;
  }
  int result = unpacker_open(read_packed, &r, &u, e);
  while (result == 0 && bytes.len > 0) {
    result = unpacker_next(u, &bytes, e);
    if (result == 0 && bytes.len > 0) {
      result = sink(arg, bytes, e);
    }
  }
  unpacker_close(u);
  return result == 0 ? 0 : error_context(e, "layer %s", layer->blob->digest);
}

struct measuring {
  EVP_MD_CTX *sha256;
  uint64_t size;
};

static int measure_bytes(void *arg, struct slice bytes, struct error *e) {
  struct measuring *m = arg;
  m->size += bytes.len;
  return EVP_DigestUpdate(m->sha256, bytes.ptr, bytes.len) == 1
             ? 0
             : error_set(e, ERROR_FAILED, "cannot compute a digest");
}

static int check_diff(const struct layer *layer, EVP_MD_CTX *sha256, struct error *e) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  char hex[2 * SHA256_SIZE + 1];
  if (EVP_DigestFinal_ex(sha256, hash, NULL) != 1) {
    return out_of_memory(e);
  }
  hex_encode(hash, SHA256_SIZE, hex);
  return strcmp(hex, layer->diff + sizeof "sha256:" - 1) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH,
                         "layer %s unpacks to sha256:%s, but should to %s, says the config",
                         layer->blob->digest, hex, layer->diff);
}

static int measure(struct delivery *d, struct layer *layer, struct error *e) {
  struct measuring m = {.sha256 = EVP_MD_CTX_new()};
  int result = m.sha256 == NULL || EVP_DigestInit_ex(m.sha256, EVP_sha256(), NULL) != 1
                   ? out_of_memory(e)
                   : unpack(d, layer, measure_bytes, &m, e);
  if (result == 0) {
    result = check_diff(layer, m.sha256, e);
  }
  EVP_MD_CTX_free(m.sha256);
  layer->size = m.size;
  return result;
}

/* --- what is in the image --- */

static int read_config(struct archiving *a, struct buf *bytes, struct error *e) {
  struct delivery *d = a->delivery;
  CLEANUP_FREE char *path = layout_path(d->layout, d->manifest.config.digest);
  if (path == NULL) {
    return out_of_memory(e);
  }
  if (file_read(path, IMAGE_MANIFEST_MAX, bytes, e) != 0) {
    return -1;
  }
  a->config = buf_view(bytes);
  a->config_name =
      arena_printf(&d->arena, "%s.json", d->manifest.config.digest + sizeof "sha256:" - 1).ptr;
  return a->config_name == NULL ? out_of_memory(e) : 0;
}

static int add_layer(struct archiving *a, const struct image_descriptor *blob, const char *diff,
                     struct error *e) {
  struct delivery *d = a->delivery;
  struct layer *layer = &a->layers[a->count];
  if (blob->foreign || diff == NULL || !image_digest_valid(slice_str(diff))) {
    return error_set(e, ERROR_FAILED, "it makes no docker-archive: %s",
                     blob->foreign ? "a layer of it is foreign, and not in the registry"
                                   : "its config does not name its layers by sha256");
  }
  layer->blob = blob;
  layer->diff = arena_copy(&d->arena, slice_str(diff));
  layer->name = arena_printf(&d->arena, "%s.tar", diff + sizeof "sha256:" - 1).ptr;
  for (size_t i = 0; i < a->count && layer->diff != NULL; i++) {
    layer->again = layer->again || strcmp(a->layers[i].diff, layer->diff) == 0;
  }
  a->count++;
  return layer->diff == NULL || layer->name == NULL ? out_of_memory(e) : 0;
}

static int list_layers(struct archiving *a, struct error *e) {
  const struct image_manifest *manifest = &a->delivery->manifest;
  CLEANUP(image_json_release) json_t *config = image_json_read(a->config, e);
  const json_t *diffs = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
  a->layers = arena_alloc(&a->delivery->arena, (manifest->layer_count + 1) * sizeof *a->layers);
  if (config == NULL || a->layers == NULL) {
    return config == NULL ? -1 : out_of_memory(e);
  }
  if (json_array_size(diffs) != manifest->layer_count) {
    return error_set(e, ERROR_FAILED,
                     "it makes no docker-archive: it has %zu layers, and its config names %zu",
                     manifest->layer_count, json_array_size(diffs));
  }
  for (size_t i = 0; i < manifest->layer_count; i++) {
    if (add_layer(a, &manifest->layers[i], json_string_value(json_array_get(diffs, i)), e) != 0) {
      return -1;
    }
  }
  return 0;
}

static int measure_all(struct archiving *a, uint64_t *total, struct error *e) {
  struct delivery *d = a->delivery;
  d->size = 0;
  for (size_t i = 0; i < a->count; i++) {
    d->size += a->layers[i].again ? 0 : 2 * a->layers[i].blob->size;
  }
  *total = a->config.len;
  for (size_t i = 0; i < a->count; i++) {
    if (!a->layers[i].again && measure(d, &a->layers[i], e) != 0) {
      return -1;
    }
    *total += a->layers[i].size;
  }
  return 0;
}

/* --- the archive --- */

static int make_manifest(const struct archiving *a, struct buf *out, struct error *e) {
  const char *name = a->delivery->options->to->name;
  json_t *layers = json_array();
  int failed = 0;
  for (size_t i = 0; i < a->count; i++) {
    failed |= json_array_append_new(layers, json_string(a->layers[i].name));
  }
  CLEANUP(image_json_release)
  json_t *manifest =
      json_pack("[{s:s, s:o, s:o}]", "Config", a->config_name, "RepoTags",
                name == NULL ? json_null() : json_pack("[s]", name), "Layers", layers);
  return failed != 0 ? out_of_memory(e) : image_json_write(manifest, JSON_COMPACT, out, e);
}

static int write_bytes(void *arg, struct slice bytes, struct error *e) {
  return tar_writer_bytes(arg, bytes, e);
}

static int write_all(struct archiving *a, struct error *e) {
  CLEANUP(buf_free) struct buf manifest = {0};
  struct tar_writer *tar = a->tar;
  if (make_manifest(a, &manifest, e) != 0 ||
      tar_writer_file(tar, "manifest.json", manifest.len, e) != 0 ||
      tar_writer_bytes(tar, buf_view(&manifest), e) != 0 ||
      tar_writer_file(tar, a->config_name, a->config.len, e) != 0 ||
      tar_writer_bytes(tar, a->config, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < a->count; i++) {
    const struct layer *layer = &a->layers[i];
    if (!layer->again && (tar_writer_file(tar, layer->name, layer->size, e) != 0 ||
                          unpack(a->delivery, layer, write_bytes, tar, e) != 0)) {
      return -1;
    }
  }
  return tar_writer_end(tar, e);
}

int deliver_docker_archive(struct delivery *d, struct error *e) {
  struct archiving a = {.delivery = d};
  CLEANUP(buf_free) struct buf config = {0};
  uint64_t total = 0;
  if (d->manifest.is_artifact) {
    return error_set(e, ERROR_FAILED, "it makes no docker-archive: it is no container image");
  }
  if (read_config(&a, &config, e) != 0 || list_layers(&a, e) != 0 ||
      measure_all(&a, &total, e) != 0 ||
      (d->options->making != NULL && delivery_check_room(d->options->making, total, e) != 0) ||
      tar_writer_new(d->output, d->name, d->options->stop, &a.tar, e) != 0) {
    return -1;
  }
  int result = write_all(&a, e);
  tar_writer_free(a.tar);
  return result;
}
