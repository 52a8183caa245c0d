#include "image/manifest.h"

#include "base/cleanup.h"
#include "image/json.h"
#include "image/reference.h"

#include <stdio.h>

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker.distribution.manifest."

/* The config of an artifact that has none (OCI image specification 1.1, manifest.md). */
#define EMPTY_TYPE "application/vnd.oci.empty.v1+json"

static const char *const OCI_MANIFEST = OCI "manifest.v1+json";
static const char *const OCI_INDEX = OCI "index.v1+json";
static const char *const DOCKER_MANIFEST = DOCKER "v2+json";
static const char *const DOCKER_LIST = DOCKER "list.v2+json";

static bool is_index_type(const char *type) {
  return strcmp(type, OCI_INDEX) == 0 || strcmp(type, DOCKER_LIST) == 0;
}

static bool is_manifest_type(const char *type) {
  return strcmp(type, OCI_MANIFEST) == 0 || strcmp(type, DOCKER_MANIFEST) == 0;
}

static bool is_schema1_type(const char *type) {
  return strcmp(type, DOCKER "v1+json") == 0 || strcmp(type, DOCKER "v1+prettyjws") == 0;
}

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot read a manifest: out of memory");
}

static int refuse_schema1(struct error *e) {
  return error_set(e, ERROR_FAILED,
                   "it is a schema 1 manifest, which is not supported: push the image again with "
                   "a tool that writes schema 2 or OCI");
}

/* The Content-Type without its parameters, in lower case; NULL in \p out when it says nothing. */
static int served_type(const char *field, struct arena *arena, const char **out, struct error *e) {
  struct slice rest = slice_str(field);
  struct slice type = field == NULL ? rest : slice_trim(slice_cut(&rest, ';'));
  char *copy = arena_copy(arena, type);
  *out = NULL;
  if (copy == NULL) {
    return out_of_memory(e);
  }
  for (char *p = copy; *p != '\0'; p++) {
    *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
  }
  if (*copy == '\0' || strcmp(copy, "text/plain") == 0 || strcmp(copy, "application/json") == 0 ||
      strcmp(copy, "application/octet-stream") == 0) {
    return 0;
  }
  if (is_schema1_type(copy)) {
    return refuse_schema1(e);
  }
  if (!is_index_type(copy) && !is_manifest_type(copy)) {
    return error_set(e, ERROR_FAILED, "it was served as %.*s, which is no manifest of an image",
                     IMAGE_MEDIA_TYPE_MAX, copy);
  }
  *out = copy;
  return 0;
}

/* NULL when it is absent, which null is as well: Go writes it for what is empty. */
static const json_t *member_of(const json_t *object, const char *member) {
  const json_t *value = json_object_get(object, member);
  return json_is_null(value) ? NULL : value;
}

/* A string member, copied; \p out is NULL when it is absent. */
static int copy_string(const json_t *object, const char *member, struct arena *arena,
                       const char **out, struct error *e) {
  const json_t *value = member_of(object, member);
  *out = NULL;
  if (value == NULL) {
    return 0;
  }
  if (!json_is_string(value)) {
    return error_set(e, ERROR_FAILED, "%s is not a string", member);
  }
  *out = arena_copy(arena, slice_str(json_string_value(value)));
  return *out == NULL ? out_of_memory(e) : 0;
}

/* type "/" subtype of RFC 6838, section 4.2, and maybe parameters (RFC 9110, section 8.3.1), of
 * which no more is asked than that they can be printed. */
static bool media_type_valid(const char *type) {
  const char *slash = strchr(type, '/');
  size_t length =
      strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+/");
  if (slash == NULL || slash == type || slash + 1 >= type + length ||
      memchr(slash + 1, '/', (size_t)(type + length - slash) - 1) != NULL) {
    return false;
  }
  const char *rest = type + length + strspn(type + length, " ");
  if (*rest != '\0' && *rest != ';') {
    return false;
  }
  while (*rest >= ' ' && *rest <= '~') {
    rest++;
  }
  return *rest == '\0' && rest - type <= IMAGE_MEDIA_TYPE_MAX;
}

static bool is_foreign(const json_t *descriptor, const char *media_type) {
  return json_array_size(json_object_get(descriptor, "urls")) > 0 ||
         strstr(media_type, ".nondistributable.") != NULL ||
         strstr(media_type, ".foreign.") != NULL;
}

int image_descriptor_check(const struct image_descriptor *d, struct error *e) {
  return image_digest_valid(slice_str(d->digest))
             ? 0
             : error_set(e, ERROR_FAILED,
                         "digest %.80s: only sha256 and 64 hex digits are supported", d->digest);
}

/* Of any digest. */
static int parse_descriptor(const json_t *json, struct arena *arena, struct image_descriptor *out,
                            struct error *e) {
  const json_t *size = json_object_get(json, "size");
  if (!json_is_object(json)) {
    return error_set(e, ERROR_FAILED, "it is not an object");
  }
  if (copy_string(json, "mediaType", arena, &out->media_type, e) != 0 ||
      copy_string(json, "digest", arena, &out->digest, e) != 0) {
    return -1;
  }
  if (out->media_type == NULL || !media_type_valid(out->media_type)) {
    return error_set(e, ERROR_FAILED, "mediaType is %s",
                     out->media_type == NULL ? "missing" : "no media type");
  }
  if (out->digest == NULL) {
    return error_set(e, ERROR_FAILED, "digest is missing");
  }
  if (!json_is_integer(size) || json_integer_value(size) < 0 ||
      (uint64_t)json_integer_value(size) > IMAGE_BLOB_MAX) {
    return error_set(e, ERROR_FAILED, "size is not an integer from 0 to 2^53 - 1");
  }
  out->size = (uint64_t)json_integer_value(size);
  return 0;
}

static int parse_blob(const json_t *json, struct arena *arena, struct image_descriptor *out,
                      struct error *e) {
  return parse_descriptor(json, arena, out, e) == 0 ? image_descriptor_check(out, e) : -1;
}

static int parse_layer(const json_t *json, struct arena *arena, struct image_descriptor *out,
                       struct error *e) {
  if (parse_blob(json, arena, out, e) != 0) {
    return -1;
  }
  out->foreign = is_foreign(json, out->media_type);
  return 0;
}

static bool has_artifact_type(const json_t *json) {
  return json_string_length(json_object_get(json, "artifactType")) > 0;
}

static int parse_entry(const json_t *json, struct arena *arena, struct image_descriptor *out,
                       struct error *e) {
  if (parse_descriptor(json, arena, out, e) != 0) {
    return -1;
  }
  const json_t *platform = member_of(json, "platform");
  if (platform != NULL && !json_is_object(platform)) {
    return error_set(e, ERROR_FAILED, "platform is not an object");
  }
  const json_t *annotations = json_object_get(json, "annotations");
  out->artifact = has_artifact_type(json);
  return copy_string(platform, "os", arena, &out->platform.os, e) == 0 &&
                 copy_string(platform, "architecture", arena, &out->platform.architecture, e) ==
                     0 &&
                 copy_string(platform, "variant", arena, &out->platform.variant, e) == 0 &&
                 copy_string(annotations, "org.opencontainers.image.ref.name", arena,
                             &out->ref_name, e) == 0
             ? 0
             : -1;
}

/* The layers, or the entries of an index. */
static int parse_list(const json_t *document, const char *member, size_t most,
                      int (*parse)(const json_t *json, struct arena *arena,
                                   struct image_descriptor *out, struct error *e),
                      struct arena *arena, struct image_manifest *out, struct error *e) {
  const json_t *list = json_object_get(document, member);
  if (!json_is_array(list) && !json_is_null(list)) {
    return error_set(e, ERROR_FAILED, "%s is %s", member, list == NULL ? "missing" : "not a list");
  }
  out->layer_count = json_array_size(list);
  if (out->layer_count > most) {
    return error_set(e, ERROR_FAILED, "%s holds %zu entries, more than %zu", member,
                     out->layer_count, most);
  }
  out->layers = arena_alloc(arena, out->layer_count * sizeof *out->layers);
  if (out->layers == NULL) {
    return out_of_memory(e);
  }
  for (size_t i = 0; i < out->layer_count; i++) {
    if (parse(json_array_get(list, i), arena, &out->layers[i], e) != 0) {
      return error_context(e, "%s[%zu]", member, i);
    }
  }
  return 0;
}

static bool has(const json_t *object, const char *member) {
  return member_of(object, member) != NULL;
}

/* What a document is: what it says, what it was served as and what it holds must agree, or two
 * readers could take it for two images (CVE-2021-41190). */
static int decide_type(const json_t *document, const char *served, struct arena *arena,
                       struct image_manifest *out, struct error *e) {
  const char *said = NULL;
  const json_t *version = json_object_get(document, "schemaVersion");
  if (copy_string(document, "mediaType", arena, &said, e) != 0) {
    return -1;
  }
  if ((said != NULL && is_schema1_type(said)) || has(document, "fsLayers") ||
      json_integer_value(version) == 1) {
    return refuse_schema1(e);
  }
  if (!json_is_integer(version) || json_integer_value(version) != 2) {
    return error_set(e, ERROR_FAILED, "schemaVersion is not 2");
  }
  if (said != NULL && served != NULL && strcmp(said, served) != 0) {
    return error_set(e, ERROR_FAILED, "it says it is %.*s, but was served as %s",
                     IMAGE_MEDIA_TYPE_MAX, said, served);
  }
  bool entries = has(document, "manifests");
  if (entries && (has(document, "layers") || has(document, "config"))) {
    return error_set(e, ERROR_FAILED, "it is an index and a manifest at once");
  }
  out->media_type = said != NULL ? said : served;
  if (out->media_type == NULL) {
    out->media_type = entries ? OCI_INDEX : OCI_MANIFEST;
  }
  if (said == NULL && strncmp(out->media_type, DOCKER, sizeof DOCKER - 1) == 0) {
    return error_set(e, ERROR_FAILED, "mediaType is missing, which Docker manifests must have");
  }
  out->is_index = is_index_type(out->media_type);
  if (!out->is_index && !is_manifest_type(out->media_type)) {
    return error_set(e, ERROR_FAILED, "its type %.*s is no manifest of an image",
                     IMAGE_MEDIA_TYPE_MAX, out->media_type);
  }
  return 0;
}

int image_manifest_check_type(const char *media_type, struct error *e) {
  CLEANUP(arena_free) struct arena arena = {0};
  const char *type;
  return served_type(media_type, &arena, &type, e);
}

static int parse_document(struct slice text, const char *media_type, struct arena *arena,
                          struct image_manifest *out, struct error *e) {
  const char *served = NULL;
  if (served_type(media_type, arena, &served, e) != 0) {
    return -1;
  }
  CLEANUP(image_json_release) json_t *document = image_json_read(text, e);
  if (document == NULL) {
    return -1;
  }
  if (!json_is_object(document)) {
    return error_set(e, ERROR_FAILED, "it is not a JSON object");
  }
  if (decide_type(document, served, arena, out, e) != 0) {
    return -1;
  }
  out->is_artifact = has_artifact_type(document);
  if (out->is_index) {
    return parse_list(document, "manifests", IMAGE_INDEX_MAX, parse_entry, arena, out, e);
  }
  if (parse_blob(json_object_get(document, "config"), arena, &out->config, e) != 0) {
    return error_context(e, "config");
  }
  out->is_artifact =
      out->is_artifact || slice_equal(slice_str(out->config.media_type), SLICE(EMPTY_TYPE));
  return parse_list(document, "layers", IMAGE_LAYERS_MAX, parse_layer, arena, out, e);
}

int image_manifest_parse(struct slice json, const char *media_type, struct arena *arena,
                         struct image_manifest *out, struct error *e) {
  *out = (struct image_manifest){0};
  return parse_document(json, media_type, arena, out, e) == 0
             ? 0
             : error_context(e, "cannot read the manifest");
}

/* Quadratic in the number of layers, which is bounded by IMAGE_LAYERS_MAX. */
struct image_descriptor *image_manifest_blobs(const struct image_manifest *manifest,
                                              struct arena *arena, size_t *count, struct error *e) {
  struct image_descriptor *blobs = arena_alloc(arena, (manifest->layer_count + 1) * sizeof *blobs);
  if (blobs == NULL) {
    out_of_memory(e);
    return NULL;
  }
  *count = 0;
  for (size_t i = 0; i <= manifest->layer_count; i++) {
    const struct image_descriptor *blob = i == 0 ? &manifest->config : &manifest->layers[i - 1];
    size_t same = 0;
    while (same < *count && strcmp(blobs[same].digest, blob->digest) != 0) {
      same++;
    }
    if (same < *count && blobs[same].size != blob->size) {
      error_set(e, ERROR_FAILED, "the manifest gives %s two sizes", blob->digest);
      return NULL;
    }
    if (same == *count && !blob->foreign) {
      blobs[(*count)++] = *blob;
    }
  }
  return blobs;
}

bool image_index_entry_known(const struct image_descriptor *entry) {
  return is_manifest_type(entry->media_type) || is_index_type(entry->media_type) ||
         is_schema1_type(entry->media_type);
}

static bool is_attestation(const struct image_descriptor *entry) {
  return entry->platform.os != NULL && strcmp(entry->platform.os, "unknown") == 0;
}

static bool names_platform(const struct image_descriptor *entry) {
  return entry->platform.os != NULL && entry->platform.architecture != NULL &&
         !is_attestation(entry) && !entry->artifact;
}

bool image_index_has_platforms(const struct image_manifest *index) {
  size_t i = 0;
  while (i < index->layer_count && !names_platform(&index->layers[i])) {
    i++;
  }
  return i < index->layer_count;
}

static void list_platforms(const struct image_manifest *index, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; i < index->layer_count; i++) {
    const struct image_platform *p = &index->layers[i].platform;
    if (!names_platform(&index->layers[i])) {
      continue;
    }
    bool variant = p->variant != NULL && p->variant[0] != '\0';
    int n = snprintf(out + used, size - used, "%s%s/%s%s%s", used == 0 ? "" : ", ", p->os,
                     p->architecture, variant ? "/" : "", variant ? p->variant : "");
    if (n < 0 || (size_t)n >= size - used) {
      return;
    }
    used += (size_t)n;
  }
}

int image_index_refuse(const struct image_manifest *index, const struct image_platform *platform,
                       struct error *e) {
  char list[512];
  list_platforms(index, list, sizeof list);
  return error_set(e, ERROR_NOT_FOUND, "the image is not there for %s/%s%s%s; there is: %s",
                   platform->os, platform->architecture, platform->variant == NULL ? "" : "/",
                   platform->variant == NULL ? "" : platform->variant,
                   list[0] == '\0' ? "none" : list);
}

const struct image_descriptor *image_index_select(const struct image_manifest *index,
                                                  const struct image_platform *platform,
                                                  struct error *e) {
  const struct image_descriptor *best = NULL;
  const struct image_descriptor *any = NULL;
  uint64_t least = UINT64_MAX;
  for (size_t i = 0; i < index->layer_count; i++) {
    const struct image_descriptor *entry = &index->layers[i];
    if (!image_index_entry_known(entry) || entry->artifact) {
      continue;
    }
    uint64_t d = image_platform_distance(&entry->platform, platform);
    if (d < least && !is_attestation(entry)) {
      least = d;
      best = entry;
    }
    if (any == NULL && entry->platform.os == NULL && entry->platform.architecture == NULL) {
      any = entry;
    }
  }
  if (best != NULL || any != NULL) {
    return best != NULL ? best : any;
  }
  image_index_refuse(index, platform, e);
  return NULL;
}
