/* `docker-archive:`, the archives made here by libarchive as docker and skopeo make them. */
#include "base/file.h"
#include "image/source.h"
#include "image/tar.h"

#include "support/heap.h"
#include "unit/image/maker.h"

/* Two layers: any bytes will do, nothing unpacks them. */
static const struct slice ONE = {"the first layer", 15};
static const struct slice TWO = {"the second layer", 16};

static struct slice config_of(struct fixture *f, struct slice one, struct slice two) {
  return fixture_json(f,
                      arena_printf(&f->arena, "{'rootfs':{'type':'layers','diff_ids':['%s','%s']}}",
                                   fixture_digest(f, one), fixture_digest(f, two))
                          .ptr);
}

static const char *archive(struct fixture *f, const char *name) {
  return arena_printf(&f->arena, "docker-archive:%s/a.tar%s", f->dir, name).ptr;
}

static void must_be_the_image(struct fixture *f, struct slice config) {
  assert_null(image_source_digest(f->source));
  assert_int_equal(fixture_count(f), 3);
  assert_true(image_source_position(f->source, fixture_blob(f, 2)) !=
              image_source_position(f->source, fixture_blob(f, 1)));
  fixture_must_read(f, 0, config);
  fixture_must_read(f, 1, ONE);
  fixture_must_read(f, 2, TWO);
  fixture_must_read(f, 1, ONE);
}

static void put_image(struct fixture *f, int filter, const char *manifest, struct slice config) {
  struct maker m = maker_start(f, filter);
  maker_add_file(&m, "two.tar", TWO);
  maker_add_file(&m, "one.tar", ONE);
  maker_add_file(&m, "config.json", config);
  maker_add_file(&m, "manifest.json", fixture_json(f, manifest));
  maker_end(&m);
}

#define LAYERS "'Layers':['one.tar','two.tar']"

static void test_image(void **state) {
  struct fixture *f = *state;
  static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD,
                                ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_BZIP2};
  struct slice config = config_of(f, ONE, TWO);
  for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
    put_image(f, filters[i],
              "[{'Config':'config.json','RepoTags':['r.example/app:1'],'Layers':['one.tar',"
              "'two.tar']}]",
              config);
    fixture_must_open(f, archive(f, ""));
    must_be_the_image(f, config);
    fixture_must_open(f, archive(f, ":r.example/app:1"));
    must_be_the_image(f, config);
    fixture_must_fail(f, archive(f, ":r.example/app:2"), ERROR_NOT_FOUND, "r.example/app:1");
  }
}

static void test_links(void **state) {
  struct fixture *f = *state;
  struct slice config = config_of(f, ONE, TWO);
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, "./layers/one.tar", ONE);
  maker_add(&m, "a/layer.tar", "../layers//./one.tar", NULL, SLICE(""));
  maker_add_file(&m, "two.tar", TWO);
  maker_add(&m, "b/hard.tar", NULL, "two.tar", SLICE(""));
  maker_add(&m, "b/layer.tar", "hard.tar", NULL, SLICE(""));
  maker_add(&m, "out", "../../etc/passwd", NULL, SLICE(""));
  maker_add(&m, "loop", "./loop", NULL, SLICE(""));
  maker_add_file(&m, "config.json", config);
  maker_add_file(
      &m, "manifest.json",
      fixture_json(f, "[{'Config':'config.json','RepoTags':null,'Layers':['a/layer.tar',"
                      "'b/layer.tar']},"
                      "{'Config':'config.json','RepoTags':['out'],'Layers':['out','two.tar']},"
                      "{'Config':'config.json','RepoTags':['loop:1','app:1'],'Layers':['loop',"
                      "'two.tar']},{'RepoTags':[1,'UPPER'],'Config':7}]"));
  maker_end(&m);
  fixture_must_fail(f, archive(f, ""), ERROR_USAGE, "out, loop:1, app:1");
  fixture_must_fail(f, archive(f, ":out"), ERROR_FAILED, "no out in");
  fixture_must_fail(f, archive(f, ":docker.io/library/app:1"), ERROR_FAILED, "no loop in");
}

static void test_follows_links(void **state) {
  struct fixture *f = *state;
  struct slice config = config_of(f, ONE, TWO);
  struct maker m = maker_start(f, ARCHIVE_FILTER_GZIP);
  maker_add(&m, "a/layer.tar", "../layers//./one.tar", NULL, SLICE(""));
  maker_add_file(&m, "./layers/one.tar", ONE);
  maker_add_file(&m, "two.tar", TWO);
  maker_add(&m, "b/hard.tar", NULL, "two.tar", SLICE(""));
  maker_add(&m, "b/layer.tar", "hard.tar", NULL, SLICE(""));
  maker_add_file(&m, "config.json", config);
  maker_add_file(
      &m, "manifest.json",
      fixture_json(f, "[{'Config':'config.json','Layers':['a/layer.tar','b/layer.tar']}]"));
  maker_end(&m);
  fixture_must_open(f, archive(f, ""));
  must_be_the_image(f, config);
}

static struct slice packed(struct fixture *f, int filter, struct slice bytes, int times) {
  struct buf text = {0};
  maker_pack(f, filter, bytes, times);
  assert_int_equal(file_read(fixture_path(f, "a.tar"), 1 << 20, &text, &f->e), 0);
  const char *copy = arena_copy(&f->arena, buf_view(&text));
  struct slice result = slice_of(copy, text.len);
  assert_non_null(copy);
  buf_free(&text);
  return result;
}

/* An image of \p one and TWO, whose config says what ONE and TWO are. */
static void put_layer(struct fixture *f, int filter, struct slice one) {
  struct maker m = maker_start(f, filter);
  maker_add_file(&m, "one.tar", one);
  maker_add_file(&m, "two.tar", TWO);
  maker_add_file(&m, "config.json", config_of(f, ONE, TWO));
  maker_add_file(&m, "manifest.json", fixture_json(f, "[{'Config':'config.json'," LAYERS "}]"));
  maker_end(&m);
}

#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar"

static void test_compressed_layers(void **state) {
  struct fixture *f = *state;
  static const struct {
    int filter, around;
    const char *type;
  } rows[] = {{ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_NONE, LAYER_TYPE},
              {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_NONE, LAYER_TYPE ".gzip"},
              {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ, LAYER_TYPE ".gzip"},
              {ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_NONE, LAYER_TYPE ".zstd"},
              {ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_GZIP, LAYER_TYPE ".zstd"}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct slice layer = packed(f, rows[i].filter, ONE, 1);
    put_layer(f, rows[i].around, layer);
    fixture_must_open(f, archive(f, ""));
    fixture_must_read(f, 1, layer);
    assert_string_equal(fixture_blob(f, 1)->media_type, rows[i].type);
    assert_string_equal(fixture_blob(f, 2)->media_type, LAYER_TYPE);
  }
}

/* The config's digests are of what the layers unpack to: other bytes compress as well. */
static void test_compressed_layers_that_lie(void **state) {
  struct fixture *f = *state;
  static const char zeros[300000];
  static const struct {
    int filter;
    enum error_kind kind;
    const char *why;
  } rows[] = {
      {ARCHIVE_FILTER_GZIP, ERROR_MISMATCH, "one.tar unpacks to the digest sha256:"},
      {ARCHIVE_FILTER_ZSTD, ERROR_MISMATCH, "one.tar unpacks to the digest sha256:"},
      {ARCHIVE_FILTER_XZ, ERROR_FAILED, "one.tar is compressed by xz"},
      {ARCHIVE_FILTER_BZIP2, ERROR_FAILED, "one.tar is compressed by bzip2"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    put_layer(f, ARCHIVE_FILTER_NONE, packed(f, rows[i].filter, slice_of(zeros, sizeof zeros), 1));
    fixture_must_fail(f, archive(f, ""), rows[i].kind, rows[i].why);
  }
  for (int filter = ARCHIVE_FILTER_GZIP; filter <= ARCHIVE_FILTER_ZSTD;
       filter += ARCHIVE_FILTER_ZSTD - ARCHIVE_FILTER_GZIP) {
    struct slice layer = packed(f, filter, slice_of(zeros, sizeof zeros), 1);
    put_layer(f, ARCHIVE_FILTER_NONE, slice_of(layer.ptr, layer.len - 5));
    fixture_must_fail(f, archive(f, ""), ERROR_MISMATCH, "one.tar cannot be unpacked");
  }
  struct slice once = packed(f, ARCHIVE_FILTER_GZIP, ONE, 1);
  put_layer(f, ARCHIVE_FILTER_NONE, packed(f, ARCHIVE_FILTER_GZIP, once, 1));
  fixture_must_fail(f, archive(f, ""), ERROR_MISMATCH, "one.tar");
  put_layer(f, ARCHIVE_FILTER_NONE, SLICE("\x1f\x8b\x08gzip or so"));
  fixture_must_fail(f, archive(f, ""), ERROR_MISMATCH, "one.tar");
}

/* What is no layer may look as if it were compressed, and need not be. */
static void test_files_that_look_compressed(void **state) {
  struct fixture *f = *state;
  struct slice config = config_of(f, ONE, TWO);
  struct slice layer = packed(f, ARCHIVE_FILTER_GZIP, ONE, 1);
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, "cut", slice_of(layer.ptr, layer.len - 5));
  maker_add_file(&m, "zstd", SLICE("\x28\xb5\x2f\xfd nothing"));
  maker_add_file(&m, "one.tar", ONE);
  maker_add_file(&m, "two.tar", TWO);
  maker_add_file(&m, "config.json", config);
  maker_add_file(&m, "manifest.json", fixture_json(f, "[{'Config':'config.json'," LAYERS "}]"));
  maker_end(&m);
  fixture_must_open(f, archive(f, ""));
  must_be_the_image(f, config);
}

static void test_broken(void **state) {
  struct fixture *f = *state;
  struct slice config = config_of(f, ONE, TWO);
  static const struct {
    const char *manifest;
    enum error_kind kind;
    const char *why;
  } rows[] = {
      {"{}", ERROR_FAILED, "not a list"},
      {"[]", ERROR_NOT_FOUND, "no such image"},
      {"[", ERROR_FAILED, "manifest.json: line"},
      {"[1]", ERROR_FAILED, "config"},
      {"[{}]", ERROR_FAILED, "config"},
      {"[{'Config':'none'," LAYERS "}]", ERROR_FAILED, "no none in"},
      {"[{'Config':'config.json'}]", ERROR_FAILED, "0 layers"},
      {"[{'Config':'one.tar'," LAYERS "}]", ERROR_FAILED, "one.tar: line"},
      {"[{'Config':'config.json','Layers':['one.tar']}]", ERROR_FAILED, "speaks of 2"},
      {"[{'Config':'config.json','Layers':['one.tar',2]}]", ERROR_FAILED, "no file in"},
      {"[{'Config':'config.json','Layers':['two.tar','one.tar']}]", ERROR_MISMATCH, "two.tar"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    put_image(f, ARCHIVE_FILTER_NONE, rows[i].manifest, config);
    fixture_must_fail(f, archive(f, ""), rows[i].kind, rows[i].why);
  }
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, "one.tar", ONE);
  maker_end(&m);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "no docker-archive");
  m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, "manifest.json", ONE);
  maker_add_file(&m, "./manifest.json", TWO);
  maker_end(&m);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "twice");
  fixture_write(f, "a.tar", SLICE("no tar at all, but long enough"));
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "cannot read");
  fixture_write(f, "a.tar", SLICE(""));
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "docker-archive");
  remove(fixture_path(f, "a.tar"));
  fixture_must_fail(f, archive(f, ""), ERROR_NOT_FOUND, "No such file");
}

static void test_cut(void **state) {
  struct fixture *f = *state;
  char bytes[100000] = {0};
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, "one.tar", slice_of(bytes, sizeof bytes));
  maker_end(&m);
  assert_int_equal(truncate(fixture_path(f, "a.tar"), 50000), 0);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "runcated");
}

static void test_holes_and_layers_of_compression(void **state) {
  struct fixture *f = *state;
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  struct archive_entry *entry = archive_entry_new();
  static const char bytes[200000];
  archive_entry_set_pathname(entry, "holes");
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, sizeof bytes);
  archive_entry_sparse_add_entry(entry, 100000, 5);
  assert_int_equal(archive_write_header(m.archive, entry), ARCHIVE_OK);
  assert_int_equal(archive_write_data(m.archive, bytes, sizeof bytes), sizeof bytes);
  archive_entry_free(entry);
  maker_end(&m);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "has holes");
  struct maker twice = {archive_write_new()};
  archive_write_set_format_ustar(twice.archive);
  archive_write_add_filter(twice.archive, ARCHIVE_FILTER_GZIP);
  archive_write_add_filter(twice.archive, ARCHIVE_FILTER_GZIP);
  assert_int_equal(archive_write_open_filename(twice.archive, fixture_path(f, "a.tar")),
                   ARCHIVE_OK);
  maker_add_file(&twice, "manifest.json", ONE);
  maker_end(&twice);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "more than once");
}

/* Appends the header of a file as ustar has it, by hand: no writer makes what follows. */
static void append_header(struct buf *tar, const char *name, char type, size_t size) {
  unsigned char header[512] = {0};
  unsigned sum = 8 * ' ';
  snprintf((char *)header, 100, "%s", name);
  snprintf((char *)header + 124, 12, "%011zo", size);
  header[156] = (unsigned char)type;
  snprintf((char *)header + 257, 6, "ustar");
  header[263] = header[264] = '0';
  for (size_t i = 0; i < sizeof header; i++) {
    sum += header[i];
  }
  snprintf((char *)header + 148, 8, "%06o", sum);
  buf_append(tar, header, sizeof header);
}

static void append_padding(struct buf *tar, size_t size) {
  static const char zeros[512];
  buf_append(tar, zeros, (512 - size % 512) % 512);
}

/* A file whose map of holes (GNU tar, sparse format 1.0) lists so many pieces of no bytes. */
static void append_holes(struct buf *tar, size_t pieces) {
  static const char *const pax = "22 GNU.sparse.major=1\n"
                                 "22 GNU.sparse.minor=0\n"
                                 "21 GNU.sparse.name=x\n"
                                 "27 GNU.sparse.realsize=1000\n";
  struct buf map = {0};
  append_header(tar, "pax", 'x', strlen(pax));
  buf_str(tar, pax);
  append_padding(tar, strlen(pax));
  buf_printf(&map, "%zu\n", pieces);
  for (size_t i = 0; i < pieces; i++) {
    buf_str(&map, "0\n0\n");
  }
  append_padding(&map, map.len);
  append_header(tar, "x", '0', map.len);
  buf_slice(tar, buf_view(&map));
  buf_free(&map);
}

/* libarchive reads the map before anybody can look at the entry, and takes 50 times its bytes. */
static void test_bound_of_a_header(void **state) {
  struct fixture *f = *state;
  static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP};
  static const struct {
    size_t pieces;
    const char *why;
  } rows[] = {{100000, "has holes"}, {1000000, "a header in it has more than 2097152 bytes"}};
  for (size_t i = 0; i < 4; i++) {
    static const char end[1024];
    struct buf tar = {0};
    append_holes(&tar, rows[i % 2].pieces);
    buf_append(&tar, end, sizeof end);
    assert_false(tar.failed);
    maker_pack(f, filters[i / 2], buf_view(&tar), 1);
    fixture_must_fail(f, archive(f, ""), ERROR_FAILED, rows[i % 2].why);
    buf_free(&tar);
  }
}

/* A compressed layer is unpacked too, and counts. */
static void test_bound_of_what_layers_unpack_to(void **state) {
  struct fixture *f = *state;
  static const char zeros[1024 * 1024];
  struct slice layer = packed(f, ARCHIVE_FILTER_ZSTD, slice_of(zeros, sizeof zeros), 1025);
  put_layer(f, ARCHIVE_FILTER_NONE, layer);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "gives more than 1024 times its size");
}

/* What is passed over counts too, and a file of 1 GiB and more fits in some KiB. */
static void test_bound_of_what_is_unpacked(void **state) {
  struct fixture *f = *state;
  struct maker m = maker_start(f, ARCHIVE_FILTER_ZSTD);
  maker_add_zeros(&m, "large", 1025);
  maker_end(&m);
  fixture_must_fail(f, arena_printf(&f->arena, "oci-archive:%s/a.tar", f->dir).ptr, ERROR_FAILED,
                    "gives more than 1024 times its size");
}

/* A file that is unpacked three times goes beyond what may be unpacked: there are two readings. */
static void test_is_unpacked_twice(void **state) {
  struct fixture *f = *state;
  struct slice config = config_of(f, ONE, TWO);
  struct maker m = maker_start(f, ARCHIVE_FILTER_ZSTD);
  maker_add_zeros(&m, "large", 400);
  maker_add_file(&m, "two.tar", TWO);
  maker_add_file(&m, "one.tar", ONE);
  maker_add_file(&m, "config.json", config);
  maker_add_file(&m, "manifest.json", fixture_json(f, "[{'Config':'config.json'," LAYERS "}]"));
  maker_end(&m);
  fixture_must_open(f, archive(f, ""));
  fixture_must_read(f, 0, config);
  fixture_must_read(f, 2, TWO);
  fixture_must_read(f, 1, ONE);
}

static void test_bounds(void **state) {
  struct fixture *f = *state;
  char name[TAR_NAME_MAX + 2];
  struct maker m = maker_start(f, ARCHIVE_FILTER_GZIP);
  for (int i = 0; i <= TAR_FILES_MAX; i++) {
    snprintf(name, sizeof name, "%d", i);
    maker_add_file(&m, name, SLICE(""));
  }
  maker_end(&m);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "more than 16384 files");
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, name, SLICE(""));
  maker_end(&m);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "more than 1024 bytes");
}

/* Any number of names may be passed over; none is kept. */
static void test_names_that_lead_out(void **state) {
  struct fixture *f = *state;
  static const struct {
    const char *name, *link;
  } rows[] = {{"../out", NULL}, {"a/../../out", NULL}, {"link", "../out"}};
  size_t allocations[2];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int many = 0; many < 2; many++) {
      struct maker m = maker_start(f, ARCHIVE_FILTER_GZIP);
      for (int k = 0; k < (many ? 2 * TAR_FILES_MAX : 1); k++) {
        maker_add(&m, rows[i].name, rows[i].link, NULL, SLICE(""));
      }
      maker_end(&m);
      heap_fail(HEAP_NONE, 0);
      fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "no manifest.json");
      allocations[many] = heap_allocations();
    }
    assert_int_equal(allocations[0], allocations[1]);
  }
}

/* A header whose checksum is wrong: what it was of is not passed over in silence. */
static void test_damaged(void **state) {
  struct fixture *f = *state;
  struct slice config = config_of(f, ONE, TWO);
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, "one.tar", ONE);
  maker_add_file(&m, "unused", TWO);
  maker_add_file(&m, "two.tar", TWO);
  maker_add_file(&m, "config.json", config);
  maker_add_file(&m, "manifest.json", fixture_json(f, "[{'Config':'config.json'," LAYERS "}]"));
  maker_end(&m);
  fixture_must_open(f, archive(f, ""));
  FILE *file = fopen(fixture_path(f, "a.tar"), "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, 1024, SEEK_SET), 0); /* behind a header and a block of bytes */
  assert_int_equal(fputc('U', file), 'U');
  assert_int_equal(fclose(file), 0);
  fixture_must_fail(f, archive(f, ""), ERROR_FAILED, "amaged");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_image),
      TEST(test_links),
      TEST(test_follows_links),
      TEST(test_compressed_layers),
      TEST(test_compressed_layers_that_lie),
      TEST(test_files_that_look_compressed),
      TEST(test_broken),
      TEST(test_cut),
      TEST(test_holes_and_layers_of_compression),
      TEST(test_bound_of_a_header),
      TEST(test_bound_of_what_is_unpacked),
      TEST(test_bound_of_what_layers_unpack_to),
      TEST(test_is_unpacked_twice),
      TEST(test_bounds),
      TEST(test_names_that_lead_out),
      TEST(test_damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
