/** Images made on the spot: a folder for a test's files, digests, a sink that keeps what it gets.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/hex.h"
#include "image/source.h"
#include "unit/cmocka_all.h"

#include <ftw.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
  char dir[64];
  struct arena arena;
  struct error e;
  struct image_source *source;
  bool all; /* as the option of that name */
};

/* Credentials and certificates of who runs the tests must not count. */
static inline int fixture_setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  snprintf(f->dir, sizeof f->dir, "/tmp/swarmgate-image-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  setenv("HOME", f->dir, 1);
  static const char *const others[] = {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE",
                                       "DOCKER_CONFIG",   "http_proxy",      "https_proxy",
                                       "HTTPS_PROXY",     "all_proxy",       "ALL_PROXY"};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    unsetenv(others[i]);
  }
  *state = f;
  return 0;
}

static inline int fixture_remove(const char *path, const struct stat *s, int type,
                                 struct FTW *ftw) {
  (void)s, (void)type, (void)ftw;
  return remove(path);
}

static inline int fixture_teardown(void **state) {
  struct fixture *f = *state;
  image_source_close(f->source);
  nftw(f->dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
  arena_free(&f->arena);
  free(f);
  return 0;
}

static inline const char *fixture_path(struct fixture *f, const char *name) {
  const char *path = arena_printf(&f->arena, "%s/%s", f->dir, name).ptr;
  assert_non_null(path);
  return path;
}

static inline void fixture_write(struct fixture *f, const char *name, struct slice bytes) {
  FILE *file = fopen(fixture_path(f, name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
  assert_int_equal(fclose(file), 0);
}

static inline void fixture_folder(struct fixture *f, const char *name) {
  assert_int_equal(mkdir(fixture_path(f, name), 0755), 0);
}

/* JSON is written with single quotes in the tests, for legibility. */
static inline struct slice fixture_json(struct fixture *f, const char *text) {
  char *json = arena_copy(&f->arena, slice_str(text));
  assert_non_null(json);
  for (char *p = json; *p != '\0'; p++) {
    *p = (char)(*p == '\'' ? '"' : *p);
  }
  return slice_str(json);
}

static inline const char *fixture_digest(struct fixture *f, struct slice bytes) {
  unsigned char sha256[SHA256_DIGEST_LENGTH];
  char hex[2 * SHA256_DIGEST_LENGTH + 1];
  SHA256((const unsigned char *)bytes.ptr, bytes.len, sha256);
  hex_encode(sha256, sizeof sha256, hex);
  return arena_printf(&f->arena, "sha256:%s", hex).ptr;
}

/* A descriptor of \p bytes in JSON. */
static inline const char *fixture_descriptor(struct fixture *f, const char *type,
                                             struct slice bytes) {
  return arena_printf(&f->arena, "{'mediaType':'%s','digest':'%s','size':%zu}", type,
                      fixture_digest(f, bytes), bytes.len)
      .ptr;
}

/* An OCI manifest of a config and one layer. */
static inline struct slice fixture_manifest(struct fixture *f, struct slice config,
                                            struct slice layer) {
  return fixture_json(
      f, arena_printf(&f->arena, "{'schemaVersion':2,'config':%s,'layers':[%s]}",
                      fixture_descriptor(f, "application/vnd.oci.image.config.v1+json", config),
                      fixture_descriptor(f, "application/vnd.oci.image.layer.v1.tar", layer))
             .ptr);
}

static const struct image_platform FIXTURE_PLATFORM = {"linux", "amd64", NULL};

static inline int fixture_open(struct fixture *f, const char *text) {
  const struct image_source_options options = {
      .tls_verify = true, .platform = &FIXTURE_PLATFORM, .all = f->all};
  struct image_reference reference;
  f->e = (struct error){0};
  image_source_close(f->source);
  f->source = NULL;
  assert_int_equal(image_reference_parse(text, &f->arena, &reference, &f->e), 0);
  return image_source_open(&reference, &options, &f->source, &f->e);
}

static inline void fixture_must_open(struct fixture *f, const char *text) {
  if (fixture_open(f, text) != 0) {
    fail_msg("%s", f->e.text);
  }
}

static inline void fixture_must_fail(struct fixture *f, const char *text, enum error_kind kind,
                                     const char *why) {
  assert_int_equal(fixture_open(f, text), -1);
  if (f->e.kind != kind || strstr(f->e.text, why) == NULL) {
    fail_msg("%d: %s", (int)f->e.kind, f->e.text);
  }
  assert_null(f->source);
}

static inline int fixture_keep(void *arg, struct slice bytes, struct error *e) {
  (void)e;
  buf_slice(arg, bytes);
  return 0;
}

static inline const struct image_descriptor *fixture_blob(struct fixture *f, size_t index) {
  size_t count = 0;
  const struct image_descriptor *blobs = image_source_blobs(f->source, &count);
  assert_true(index < count);
  return &blobs[index];
}

static inline size_t fixture_count(struct fixture *f) {
  size_t count = 0;
  image_source_blobs(f->source, &count);
  return count;
}

/* Reads a blob and sees that it is \p want. */
static inline void fixture_must_read(struct fixture *f, size_t index, struct slice want) {
  struct buf got = {0};
  if (image_source_read(f->source, fixture_blob(f, index), fixture_keep, NULL, &got, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  assert_true(slice_equal(buf_view(&got), want));
  assert_string_equal(fixture_blob(f, index)->digest, fixture_digest(f, want));
  buf_free(&got);
}

static inline void fixture_must_not_read(struct fixture *f, size_t index, enum error_kind kind,
                                         const char *why) {
  struct buf got = {0};
  f->e = (struct error){0};
  assert_int_equal(
      image_source_read(f->source, fixture_blob(f, index), fixture_keep, NULL, &got, &f->e), -1);
  if (f->e.kind != kind || strstr(f->e.text, why) == NULL) {
    fail_msg("%d: %s", (int)f->e.kind, f->e.text);
  }
  assert_true(got.len <= fixture_blob(f, index)->size);
  buf_free(&got);
}
