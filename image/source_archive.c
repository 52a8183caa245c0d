/* `docker-archive:FILE[:name]`: what `docker save` and `skopeo copy` write, a tar that holds
 * manifest.json (a list of `Config`, `RepoTags`, `Layers`), configs and layers. */
#include "base/cleanup.h"
#include "image/json.h"
#include "image/tar.h"
#include "image/transport.h"

#include <stdio.h>
#include <stdlib.h>

#define CONFIG_TYPE "application/vnd.docker.container.image.v1+json"
#define LAYER_TYPE  "application/vnd.docker.image.rootfs.diff.tar"

struct archive_source {
  struct image_source base;
  struct tar *tar;
};

static int archive_read_blob(struct image_source *base, const struct image_descriptor *blob,
                             image_sink *sink, void *arg, struct error *e) {
  const struct archive_source *s = (const struct archive_source *)base;
  return tar_read(s->tar, tar_find_digest(s->tar, blob->digest), sink, arg, e);
}

static uint64_t archive_position(const struct image_source *base,
                                 const struct image_descriptor *blob) {
  const struct archive_source *s = (const struct archive_source *)base;
  return tar_find_digest(s->tar, blob->digest)->position;
}

static void archive_source_close(struct image_source *base) {
  struct archive_source *s = (struct archive_source *)base;
  tar_close(s->tar);
  free(s);
}

static const struct tar_file *find_file(const struct tar *tar, const char *name, struct error *e) {
  const struct tar_file *file = name == NULL ? NULL : tar_find(tar, name);
  if (file == NULL) {
    error_set(e, ERROR_FAILED, "there is no %.256s in the archive", name == NULL ? "file" : name);
  }
  return file;
}

static json_t *read_json(struct tar *tar, const struct tar_file *file, struct error *e) {
  CLEANUP(buf_free) struct buf text = {.limit = IMAGE_MANIFEST_MAX};
  json_t *json = NULL;
  if (tar_read(tar, file, image_transport_collect, &text, e) == 0) {
    json = image_json_read(buf_view(&text), e);
  }
  if (json == NULL) {
    error_context(e, "%.256s", file->name);
  }
  return json;
}

/* Tags are compared with their defaults spelt out: `app` is `docker.io/library/app:latest`. */
static bool has_tag(const json_t *image, const struct image_reference *want) {
  const json_t *tags = json_object_get(image, "RepoTags");
  bool found = false;
  for (size_t i = 0; i < json_array_size(tags) && !found; i++) {
    struct arena arena = {0};
    struct image_reference tag;
    struct slice text = slice_str(json_string_value(json_array_get(tags, i)));
    found = image_reference_parse_docker(text, &arena, &tag, NULL) == 0 && tag.tag != NULL &&
            strcmp(tag.host, want->host) == 0 && strcmp(tag.repository, want->repository) == 0 &&
            strcmp(tag.tag, want->tag) == 0;
    arena_free(&arena);
  }
  return found;
}

static void list_tags(const json_t *images, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; i < json_array_size(images); i++) {
    const json_t *tags = json_object_get(json_array_get(images, i), "RepoTags");
    for (size_t k = 0; k < json_array_size(tags); k++) {
      const char *tag = json_string_value(json_array_get(tags, k));
      int n =
          snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ", tag == NULL ? "?" : tag);
      if (n < 0 || (size_t)n >= size - used) {
        return;
      }
      used += (size_t)n;
    }
  }
}

static const json_t *choose(const json_t *images, const struct image_reference *r,
                            struct error *e) {
  char tags[512];
  size_t count = json_array_size(images);
  if (!json_is_array(images)) {
    error_set(e, ERROR_FAILED, "manifest.json is not a list");
    return NULL;
  }
  if (r->host == NULL && count == 1) {
    return json_array_get(images, 0);
  }
  for (size_t i = 0; r->host != NULL && i < count; i++) {
    if (has_tag(json_array_get(images, i), r)) {
      return json_array_get(images, i);
    }
  }
  list_tags(images, tags, sizeof tags);
  if (r->host == NULL && count > 1) {
    error_set(e, ERROR_USAGE, "it holds %zu images; name one, as docker-archive:FILE:NAME: %s",
              count, tags);
  } else {
    error_set(e, ERROR_NOT_FOUND, "it holds no such image; there is: %s",
              tags[0] == '\0' ? "none with a name" : tags);
  }
  return NULL;
}

/* Settles the media type of a layer by how it is compressed. The config names layers by the digest
 * of what they unpack to. */
static int check_layer(const struct tar_file *file, const char *name, const char *diff_id,
                       const char **type, struct error *e) {
  *type = LAYER_TYPE;
  if (strcmp(diff_id, file->digest) == 0) {
    return 0;
  }
  if (file->packing == PACKING_NONE) {
    return error_set(e, ERROR_MISMATCH, "the layer %.256s has the digest %s, but should have %.80s",
                     name, file->digest, diff_id);
  }
  *type = file->packing == PACKING_ZSTD ? LAYER_TYPE ".zstd" : LAYER_TYPE ".gzip";
  if (file->packing != PACKING_GZIP && file->packing != PACKING_ZSTD) {
    return error_set(e, ERROR_FAILED,
                     "the layer %.256s is compressed by %s; only gzip and zstd are supported", name,
                     packing_name(file->packing));
  }
  if (file->unpacked == NULL) {
    return error_set(e, ERROR_MISMATCH,
                     "the layer %.256s cannot be unpacked to %.80s: it is damaged", name, diff_id);
  }
  return strcmp(diff_id, file->unpacked) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH,
                         "the layer %.256s unpacks to the digest %s, but should to %.80s", name,
                         file->unpacked, diff_id);
}

static int take_layer(const struct tar *tar, const char *name, const char *diff_id,
                      struct image_descriptor *out, struct error *e) {
  const struct tar_file *file = find_file(tar, name, e);
  const char *type;
  if (file == NULL || check_layer(file, name, diff_id == NULL ? "one" : diff_id, &type, e) != 0) {
    return -1;
  }
  *out = (struct image_descriptor){.media_type = type, .digest = file->digest, .size = file->size};
  return 0;
}

static int take_layers(const struct archive_source *s, const json_t *names, const json_t *config,
                       struct image_manifest *out, struct arena *arena, struct error *e) {
  const json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
  out->layer_count = json_array_size(names);
  if (out->layer_count > IMAGE_LAYERS_MAX) {
    return error_set(e, ERROR_FAILED, "it has %zu layers, more than %d", out->layer_count,
                     IMAGE_LAYERS_MAX);
  }
  if (json_array_size(ids) != out->layer_count) {
    return error_set(e, ERROR_FAILED, "it has %zu layers, but its config speaks of %zu",
                     out->layer_count, json_array_size(ids));
  }
  out->layers = arena_alloc(arena, out->layer_count * sizeof *out->layers);
  if (out->layers == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  for (size_t i = 0; i < out->layer_count; i++) {
    if (take_layer(s->tar, json_string_value(json_array_get(names, i)),
                   json_string_value(json_array_get(ids, i)), &out->layers[i], e) != 0) {
      return -1;
    }
  }
  return 0;
}

static int take_image(struct archive_source *s, const json_t *image, struct error *e) {
  struct image_manifest manifest = {0};
  const struct tar_file *file =
      find_file(s->tar, json_string_value(json_object_get(image, "Config")), e);
  if (file == NULL) {
    return error_context(e, "the image's config");
  }
  CLEANUP(image_json_release) json_t *config = read_json(s->tar, file, e);
  if (config == NULL) {
    return -1;
  }
  manifest.config = (struct image_descriptor){
      .media_type = CONFIG_TYPE, .digest = file->digest, .size = file->size};
  if (take_layers(s, json_object_get(image, "Layers"), config, &manifest, &s->base.arena, e) != 0) {
    return -1;
  }
  s->base.blobs = image_manifest_blobs(&manifest, &s->base.arena, &s->base.blob_count, e);
  return s->base.blobs == NULL ? -1 : 0;
}

int image_archive_open(const struct image_reference *r, const struct image_source_options *o,
                       struct image_source **out, struct error *e) {
  static const struct transport transport = {
      .read = archive_read_blob, .position = archive_position, .close = archive_source_close};
  (void)o;
  struct archive_source *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->base.transport = &transport;
  *out = &s->base;
  if (tar_open(r->path, true, &s->tar, e) != 0) {
    return -1;
  }
  const struct tar_file *file = find_file(s->tar, "manifest.json", e);
  if (file == NULL) {
    return error_context(e, "it is no docker-archive");
  }
  CLEANUP(image_json_release) json_t *images = read_json(s->tar, file, e);
  const json_t *image = images == NULL ? NULL : choose(images, r, e);
  return image == NULL ? -1 : take_image(s, image, e);
}
