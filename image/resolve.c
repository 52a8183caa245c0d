/* From the manifest that a reference names, through indexes, to an image's blobs. */
#include "base/cleanup.h"
#include "image/transport.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <search.h>
#include <stdlib.h>

/* A manifest or index, read and checked. */
struct document {
  struct buf text;
  const char *digest; /* in the source's arena */
  struct arena arena; /* of the manifest */
  struct image_manifest manifest;
};

struct resolution {
  struct image_source *source;
  const struct image_source_options *options;
  const char *read[IMAGE_MANIFESTS_MAX]; /* digests */
  size_t read_count;
  const struct image_manifest *index; /* whose next manifest must be of an image; else NULL */
  struct image_descriptor *blobs;     /* IMAGE_BLOBS_MAX, which stay where they are */
  size_t blob_count;
  void *tree; /* of blobs, by digest */
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

static void document_free(struct document *d) {
  buf_free(&d->text);
  arena_free(&d->arena);
}

static int document_read(struct image_source *s, const struct image_descriptor *from,
                         struct document *out, struct error *e) {
  unsigned char sha256[SHA256_DIGEST_LENGTH];
  struct image_served served = {NULL, NULL};
  out->text.limit = IMAGE_MANIFEST_MAX;
  if (s->transport->manifest(s, from, &out->text, &served, e) != 0) {
    return -1;
  }
  /* The digest of schema 1 leaves its signatures out: it must not be taken for a wrong one. */
  if (image_manifest_check_type(served.media_type, e) != 0) {
    return -1;
  }
  SHA256((const unsigned char *)out->text.ptr, out->text.len, sha256);
  out->digest = image_transport_digest(sha256, &s->arena);
  if (out->digest == NULL) {
    return out_of_memory(e);
  }
  if (from->digest != NULL && strcmp(from->digest, out->digest) != 0) {
    return error_set(e, ERROR_MISMATCH, "the manifest's digest should be %s, but is %s",
                     from->digest, out->digest);
  }
  if (served.digest != NULL && strcmp(served.digest, out->digest) != 0) {
    return error_set(e, ERROR_MISMATCH, "the manifest is said to be %s, but is %s", served.digest,
                     out->digest);
  }
  if (from->size != IMAGE_SIZE_UNKNOWN && from->size != out->text.len) {
    return error_set(e, ERROR_MISMATCH,
                     "the manifest %s should have %" PRIu64 " bytes, but has %zu", from->digest,
                     from->size, out->text.len);
  }
  return image_manifest_parse(buf_view(&out->text),
                              served.media_type != NULL ? served.media_type : from->media_type,
                              &out->arena, &out->manifest, e);
}

static int by_digest(const void *a, const void *b) {
  return strcmp(((const struct image_descriptor *)a)->digest,
                ((const struct image_descriptor *)b)->digest);
}

static int keep_blob(struct resolution *r, const struct image_descriptor *blob, struct error *e) {
  struct arena *arena = &r->source->arena;
  struct image_descriptor *const *found = tfind(blob, &r->tree, by_digest);
  if (found != NULL) {
    return (*found)->size == blob->size
               ? 0
               : error_set(e, ERROR_FAILED, "its manifests give %s two sizes", blob->digest);
  }
  if (r->blob_count == IMAGE_BLOBS_MAX) {
    return error_set(e, ERROR_FAILED, "it has more than %d blobs", IMAGE_BLOBS_MAX);
  }
  struct image_descriptor *kept = &r->blobs[r->blob_count++];
  *kept = (struct image_descriptor){.media_type = arena_copy(arena, slice_str(blob->media_type)),
                                    .digest = arena_copy(arena, slice_str(blob->digest)),
                                    .size = blob->size};
  return kept->media_type != NULL && kept->digest != NULL &&
                 tsearch(kept, &r->tree, by_digest) != NULL
             ? 0
             : out_of_memory(e);
}

static int keep_blobs(struct resolution *r, struct document *d, struct error *e) {
  size_t count;
  const struct image_descriptor *blobs = image_manifest_blobs(&d->manifest, &d->arena, &count, e);
  if (blobs == NULL) {
    return -1;
  }
  for (size_t i = 0; i < d->manifest.layer_count; i++) {
    r->source->foreign_count += d->manifest.layers[i].foreign;
  }
  for (size_t i = 0; i < count; i++) {
    if (keep_blob(r, &blobs[i], e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* Quadratic in the number of manifests, which is bounded. */
static bool was_read(const struct resolution *r, const char *digest) {
  for (size_t i = 0; i < r->read_count; i++) {
    if (strcmp(r->read[i], digest) == 0) {
      return true;
    }
  }
  return false;
}

static int resolve(struct resolution *r, const struct image_descriptor *from, int indexes,
                   struct error *e);

static int resolve_index(struct resolution *r, const struct image_manifest *index, int indexes,
                         struct error *e) {
  if (indexes == IMAGE_INDEX_DEPTH_MAX) {
    return error_set(e, ERROR_FAILED, "its indexes are nested more than %d deep",
                     IMAGE_INDEX_DEPTH_MAX);
  }
  if (!r->options->all) {
    const struct image_descriptor *entry = image_index_select(index, r->options->platform, e);
    if (entry == NULL) {
      return -1;
    }
    /* It may be for every platform; where the others name theirs it may be a signature as well. */
    bool unnamed = entry->platform.os == NULL && image_index_has_platforms(index);
    r->index = unnamed ? index : NULL;
    return resolve(r, entry, indexes + 1, e);
  }
  for (size_t i = 0; i < index->layer_count; i++) {
    const struct image_descriptor *entry = &index->layers[i];
    if (image_index_entry_known(entry) && !was_read(r, entry->digest) &&
        resolve(r, entry, indexes + 1, e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* Reads what \p from describes, behind so many indexes, and what it leads to. */
static int resolve(struct resolution *r, const struct image_descriptor *from, int indexes,
                   struct error *e) {
  CLEANUP(document_free) struct document d = {0};
  struct image_source *s = r->source;
  if (r->read_count == IMAGE_MANIFESTS_MAX) {
    return error_set(e, ERROR_FAILED, "it has more than %d manifests", IMAGE_MANIFESTS_MAX);
  }
  if ((from->digest != NULL && image_descriptor_check(from, e) != 0) ||
      document_read(s, from, &d, e) != 0) {
    return -1;
  }
  if (r->index != NULL && d.manifest.is_artifact) {
    return image_index_refuse(r->index, r->options->platform, e);
  }
  r->read[r->read_count++] = d.digest;
  if (indexes == 0 || !r->options->all) {
    /* The last one that is chosen, or the first of all. */
    buf_free(&s->manifest);
    s->manifest = d.text;
    s->digest = d.digest;
    d.text = (struct buf){0};
  }
  return d.manifest.is_index ? resolve_index(r, &d.manifest, indexes, e) : keep_blobs(r, &d, e);
}

static int hand_over(struct resolution *r, struct error *e) {
  struct image_source *s = r->source;
  s->blobs = arena_alloc(&s->arena, r->blob_count * sizeof *s->blobs);
  if (s->blobs == NULL) {
    return out_of_memory(e);
  }
  memcpy(s->blobs, r->blobs, r->blob_count * sizeof *s->blobs);
  s->blob_count = r->blob_count;
  return 0;
}

static void keep(void *blob) {
  (void)blob; /* the tree does not own it */
}

int image_transport_resolve(struct image_source *s, const struct image_descriptor *top,
                            const struct image_source_options *o, struct error *e) {
  struct resolution *r = calloc(1, sizeof *r);
  if (r == NULL || (r->blobs = calloc(IMAGE_BLOBS_MAX, sizeof *r->blobs)) == NULL) {
    free(r);
    return out_of_memory(e);
  }
  r->source = s;
  r->options = o;
  int result = resolve(r, top, 0, e) == 0 ? hand_over(r, e) : -1;
  tdestroy(r->tree, keep);
  free(r->blobs);
  free(r);
  return result;
}
