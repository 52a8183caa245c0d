/* From a layout to archives and folders, which the readers of image/ read again. */
#include "node/deliver.h"

#include "base/file.h"
#include "support/heap.h"
#include "unit/image/layout.h"

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>
#include <sys/eventfd.h>

#define DOCKER_ARCHIVE "docker-archive:image.tar"
#define LAYER_TYPE     "application/vnd.oci.image.layer.v1.tar"
#define CONFIG_TYPE    "application/vnd.oci.image.config.v1+json"

static const struct slice PLAIN = {"a layer that is not compressed", 30};
static const struct slice PACKED = {"a layer that was compressed", 27};

struct image {
  struct slice config, manifest;
  const char *digest; /* of the manifest */
};

static struct slice pack(struct fixture *f, int filter, struct slice bytes) {
  static char out[4096];
  size_t used = 0;
  struct archive *archive = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
  assert_int_equal(archive_write_add_filter(archive, filter), ARCHIVE_OK);
  archive_write_set_bytes_in_last_block(archive, 1);
  assert_int_equal(archive_write_open_memory(archive, out, sizeof out, &used), ARCHIVE_OK);
  archive_entry_set_filetype(entry, AE_IFREG);
  assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
  assert_int_equal(archive_write_data(archive, bytes.ptr, bytes.len), bytes.len);
  archive_entry_free(entry);
  assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
  archive_write_free(archive);
  return slice_of(arena_copy(&f->arena, slice_of(out, used)), used);
}

/* Puts an image into the layout at the fixture's folder; \p diffs and \p layers are JSON. */
static struct image put_image(struct fixture *f, const char *diffs, const char *layers) {
  struct image i;
  i.config = fixture_json(f, arena_printf(&f->arena,
                                          "{'os':'linux','architecture':'amd64','rootfs':{'type':"
                                          "'layers','diff_ids':[%s]}}",
                                          diffs)
                                 .ptr);
  i.manifest = fixture_json(f, arena_printf(&f->arena,
                                            "{'schemaVersion':2,'mediaType':'" MANIFEST_TYPE
                                            "','config':%s,'layers':[%s]}",
                                            fixture_descriptor(f, CONFIG_TYPE, i.config), layers)
                                   .ptr);
  i.digest = fixture_digest(f, i.manifest);
  layout_put_blob(f, i.config);
  layout_put_blob(f, i.manifest);
  return i;
}

static void put_folders(struct fixture *f) {
  fixture_folder(f, "blobs");
  fixture_folder(f, "blobs/sha256");
}

/* One plain layer, one of each packing, and the first once more. */
static struct image put_usual(struct fixture *f) {
  struct slice gzip = pack(f, ARCHIVE_FILTER_GZIP, PACKED);
  struct slice zstd = pack(f, ARCHIVE_FILTER_ZSTD, SLICE("zstd"));
  put_folders(f);
  layout_put_blob(f, PLAIN);
  layout_put_blob(f, gzip);
  layout_put_blob(f, zstd);
  return put_image(f,
                   arena_printf(&f->arena, "'%s','%s','%s','%s'", fixture_digest(f, PLAIN),
                                fixture_digest(f, PACKED), fixture_digest(f, SLICE("zstd")),
                                fixture_digest(f, PLAIN))
                       .ptr,
                   arena_printf(&f->arena, "%s,%s,%s,%s", fixture_descriptor(f, LAYER_TYPE, PLAIN),
                                fixture_descriptor(f, LAYER_TYPE "+gzip", gzip),
                                fixture_descriptor(f, LAYER_TYPE "+zstd", zstd),
                                fixture_descriptor(f, LAYER_TYPE, PLAIN))
                       .ptr);
}

/* `TRANSPORT:FILE` with the fixture's folder before FILE. */
static const char *there(struct fixture *f, const char *text) {
  struct slice rest = slice_str(text);
  struct slice transport = slice_cut(&rest, ':');
  return arena_printf(&f->arena, "%.*s:%s/%.*s", SLICE_ARG(transport), f->dir, SLICE_ARG(rest)).ptr;
}

static int deliver_to(struct fixture *f, const struct image *i, const char *to, int stop) {
  const struct image_reference image = {
      .host = "registry.example", .repository = "team/app", .tag = "1"};
  struct destination destination;
  if (destination_parse(there(f, to), &image, &f->arena, &destination, &f->e) != 0 ||
      destination_check(&destination, &f->arena, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  const struct deliver_options options = {.to = &destination,
                                          .layout = f->dir,
                                          .digest = i->digest,
                                          .making = fixture_path(f, "making"),
                                          .stop = stop};
  f->e = (struct error){0};
  return deliver(&options, &f->e);
}

static void must_deliver(struct fixture *f, const struct image *i, const char *to) {
  if (deliver_to(f, i, to, -1) != 0) {
    fail_msg("%s: %s", to, f->e.text);
  }
  assert_int_not_equal(access(fixture_path(f, "making"), F_OK), 0);
}

static void must_refuse(struct fixture *f, const struct image *i, const char *to, int stop,
                        enum error_kind kind, const char *why) {
  fixture_write(f, "image.tar", SLICE("old"));
  assert_int_equal(deliver_to(f, i, to, stop), -1);
  if (f->e.kind != kind || strstr(f->e.text, why) == NULL) {
    fail_msg("%d: %s", (int)f->e.kind, f->e.text);
  }
  assert_int_not_equal(access(fixture_path(f, "making"), F_OK), 0);
  struct buf left = {0};
  assert_int_equal(file_read(fixture_path(f, "image.tar"), 3, &left, NULL), 0);
  buf_free(&left);
}

/* That a blob of the source is there and right. */
static int pass_over(void *arg, struct slice bytes, struct error *e) {
  (void)arg, (void)bytes, (void)e;
  return 0;
}

static void must_read(struct fixture *f, const char *from, size_t blobs) {
  size_t count;
  fixture_must_open(f, there(f, from));
  const struct image_descriptor *all = image_source_blobs(f->source, &count);
  assert_int_equal(count, blobs);
  for (size_t i = 0; i < count; i++) {
    if (image_source_read(f->source, &all[i], pass_over, NULL, NULL, &f->e) != 0) {
      fail_msg("%s", f->e.text);
    }
  }
}

static void an_oci_archive(void **state) {
  struct fixture *f = *state;
  struct image i = put_usual(f);
  must_deliver(f, &i, "oci-archive:image.tar");
  must_read(f, "oci-archive:image.tar:1", 4);
  assert_string_equal(image_source_digest(f->source), i.digest);
  must_deliver(f, &i, "oci-archive:image.tar:other");
  must_read(f, "oci-archive:image.tar:other", 4);
}

static void a_docker_archive(void **state) {
  struct fixture *f = *state;
  struct image i = put_usual(f);
  must_deliver(f, &i, DOCKER_ARCHIVE);
  must_read(f, DOCKER_ARCHIVE ":registry.example/team/app:1", 4);
  size_t count;
  const struct image_descriptor *blobs = image_source_blobs(f->source, &count);
  assert_string_equal(blobs[0].digest, fixture_digest(f, i.config));
  assert_string_equal(blobs[1].digest, fixture_digest(f, PLAIN));
  assert_string_equal(blobs[2].digest, fixture_digest(f, PACKED));
  assert_string_equal(blobs[3].digest, fixture_digest(f, SLICE("zstd")));
}

static void a_docker_archive_of_an_image_without_a_tag(void **state) {
  struct fixture *f = *state;
  struct image i = put_usual(f);
  const struct destination to = {.kind = DESTINATION_DOCKER_ARCHIVE,
                                 .path = fixture_path(f, "image.tar")};
  const struct deliver_options options = {.to = &to,
                                          .layout = f->dir,
                                          .digest = i.digest,
                                          .making = fixture_path(f, "making"),
                                          .stop = -1};
  assert_int_equal(deliver(&options, &f->e), 0);
  must_read(f, DOCKER_ARCHIVE, 4);
}

static void a_dir(void **state) {
  struct fixture *f = *state;
  struct image i = put_usual(f);
  must_deliver(f, &i, "dir:image");
  must_read(f, "dir:image", 4);
  assert_string_equal(image_source_digest(f->source), i.digest);
  /* One of its blobs is damaged; another's lie beside them. */
  const char *name = arena_printf(&f->arena, "image/%s", fixture_digest(f, PLAIN) + 7).ptr;
  assert_int_equal(unlink(fixture_path(f, name)), 0);
  fixture_write(f, name, SLICE("damaged"));
  const char *stale = arena_printf(&f->arena, "image/%064d", 7).ptr;
  fixture_write(f, stale, SLICE("of another"));
  fixture_write(f, "image/signature-1", SLICE("of another"));
  fixture_write(f, "image/mine", SLICE("of nobody"));
  must_deliver(f, &i, "dir:image");
  must_read(f, "dir:image", 4);
  assert_int_not_equal(access(fixture_path(f, stale), F_OK), 0);
  assert_int_not_equal(access(fixture_path(f, "image/signature-1"), F_OK), 0);
  assert_int_equal(access(fixture_path(f, "image/mine"), F_OK), 0);
}

static void an_image_with_nothing_in_it(void **state) {
  struct fixture *f = *state;
  put_folders(f);
  struct image i = put_image(f, "", "");
  must_deliver(f, &i, "oci-archive:image.tar");
  must_read(f, "oci-archive:image.tar:1", 1);
  must_deliver(f, &i, DOCKER_ARCHIVE);
  must_read(f, DOCKER_ARCHIVE, 1);
  must_deliver(f, &i, "dir:image");
  must_read(f, "dir:image", 1);
}

static void a_layer_that_is_not_what_the_config_says(void **state) {
  struct fixture *f = *state;
  put_folders(f);
  layout_put_blob(f, PLAIN);
  struct image i = put_image(f, arena_printf(&f->arena, "'%s'", fixture_digest(f, PACKED)).ptr,
                             fixture_descriptor(f, LAYER_TYPE, PLAIN));
  must_refuse(f, &i, DOCKER_ARCHIVE, -1, ERROR_MISMATCH, "says the config");
  i = put_image(f, "", fixture_descriptor(f, LAYER_TYPE, PLAIN));
  must_refuse(f, &i, DOCKER_ARCHIVE, -1, ERROR_FAILED, "it has 1 layers, and its config names 0");
  i = put_image(f, "'sha512:1'", fixture_descriptor(f, LAYER_TYPE, PLAIN));
  must_refuse(f, &i, DOCKER_ARCHIVE, -1, ERROR_FAILED, "does not name its layers by sha256");
}

static void what_makes_no_docker_archive(void **state) {
  struct fixture *f = *state;
  put_folders(f);
  layout_put_blob(f, PLAIN);
  struct image i = put_image(
      f, arena_printf(&f->arena, "'%s'", fixture_digest(f, PLAIN)).ptr,
      fixture_descriptor(f, "application/vnd.oci.image.layer.nondistributable.v1.tar", PLAIN));
  must_refuse(f, &i, DOCKER_ARCHIVE, -1, ERROR_FAILED, "foreign");
  i.manifest = fixture_json(
      f, arena_printf(&f->arena,
                      "{'schemaVersion':2,'mediaType':'" MANIFEST_TYPE
                      "','artifactType':'a/b','config':%s,'layers':[]}",
                      fixture_descriptor(f, "application/vnd.oci.empty.v1+json", SLICE("{}")))
             .ptr);
  i.digest = fixture_digest(f, i.manifest);
  layout_put_blob(f, i.manifest);
  layout_put_blob(f, SLICE("{}"));
  must_refuse(f, &i, DOCKER_ARCHIVE, -1, ERROR_FAILED, "no container image");
  must_deliver(f, &i, "dir:artifact"); /* it is no image, but blobs it has */
}

static void a_blob_that_is_missing(void **state) {
  struct fixture *f = *state;
  put_folders(f);
  struct image i = put_image(f, arena_printf(&f->arena, "'%s'", fixture_digest(f, PLAIN)).ptr,
                             fixture_descriptor(f, LAYER_TYPE, PLAIN));
  must_refuse(f, &i, DOCKER_ARCHIVE, -1, ERROR_FAILED, "cannot read");
  must_refuse(f, &i, "oci-archive:image.tar", -1, ERROR_FAILED, "cannot read");
  i.digest = fixture_digest(f, PACKED);
  must_refuse(f, &i, "oci-archive:image.tar", -1, ERROR_NOT_FOUND, "cannot read");
}

static void it_is_given_up(void **state) {
  struct fixture *f = *state;
  struct image i = put_usual(f);
  int stop = eventfd(1, EFD_CLOEXEC);
  must_refuse(f, &i, DOCKER_ARCHIVE, stop, ERROR_FAILED, "interrupted");
  must_refuse(f, &i, "oci-archive:image.tar", stop, ERROR_FAILED, "interrupted");
  close(stop);
}

struct work {
  struct fixture *f;
  struct image image;
  struct destination to;
};

static int deliver_again(void *arg, struct error *e) {
  struct work *w = arg;
  char making[200];
  snprintf(making, sizeof making, "%s/making", w->f->dir);
  rmdir(making);
  const struct deliver_options options = {
      .to = &w->to, .layout = w->f->dir, .digest = w->image.digest, .making = making, .stop = -1};
  return deliver(&options, e);
}

static void memory_that_runs_out_is_said(void **state) {
  struct fixture *f = *state;
  struct work w = {.f = f, .image = put_usual(f)};
  static const enum destination_kind kinds[] = {DESTINATION_OCI_ARCHIVE, DESTINATION_DOCKER_ARCHIVE,
                                                DESTINATION_DIR};
  fixture_folder(f, "image");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    w.to = (struct destination){
        .kind = kinds[i],
        .path = fixture_path(f, kinds[i] == DESTINATION_DIR ? "image" : "image.tar"),
        .name = "registry.example/team/app:1"};
    heap_exhaust(deliver_again, &w);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  json_set_alloc_funcs(malloc, free);
  const struct CMUnitTest tests[] = {
      TEST(an_oci_archive),
      TEST(a_docker_archive),
      TEST(a_docker_archive_of_an_image_without_a_tag),
      TEST(a_dir),
      TEST(an_image_with_nothing_in_it),
      TEST(a_layer_that_is_not_what_the_config_says),
      TEST(what_makes_no_docker_archive),
      TEST(a_blob_that_is_missing),
      TEST(it_is_given_up),
      TEST(memory_that_runs_out_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
