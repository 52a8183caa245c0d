#include "torrent/metainfo.h"

#include "base/hex.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

/* What the refused torrents below are made of. */
#define PIECE            "12:piece lengthi16384e"
#define V1               "6:lengthi1e4:name1:a" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"
#define ROOT             "11:pieces root32:RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR"
#define FILE_OF(members) "d0:d" members "ee"
#define TREE(members)    "9:file treed1:a" FILE_OF(members) "e"
#define V2               TREE("6:lengthi1e" ROOT) "12:meta versioni2e4:name1:a" PIECE
#define HYBRID                                                                                     \
  TREE("6:lengthi1e" ROOT)                                                                         \
  "6:lengthi1e12:meta versioni2e4:name1:a" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"
#define TORRENT(info)   "d4:infod" info "ee"
#define TORRENT_2(info) "d4:infod" info "e12:piece layersdee"

static struct hashes hashes_of(enum torrent_format format, size_t size) {
  struct hasher *h;
  struct hashes out;
  const struct hasher_options o = {format, size, 16384, 2, true};
  char *bytes = malloc(size);
  assert_non_null(bytes);
  for (size_t i = 0; i < size; i++) {
    bytes[i] = (char)(i % 251);
  }
  assert_int_equal(hasher_new(&o, &h, NULL), 0);
  assert_int_equal(hasher_feed(h, slice_of(bytes, size), NULL), 0);
  assert_int_equal(hasher_finish(h, &out, NULL), 0);
  free(bytes);
  return out;
}

static struct metainfo made_under(struct slice ca, enum torrent_format format, size_t size,
                                  struct arena *arena) {
  struct hashes hashes = hashes_of(format, size);
  struct metainfo m;
  assert_int_equal(metainfo_make(&hashes, SLICE("sha256-vector"), ca, arena, &m, NULL), 0);
  hashes_free(&hashes);
  return m;
}

static struct metainfo made(enum torrent_format format, size_t size, struct arena *arena) {
  return made_under(slice_of(NULL, 0), format, size, arena);
}

static void assert_hex(const void *bytes, size_t len, const char *want) {
  char hex[65];
  hex_encode(bytes, len, hex);
  assert_string_equal(hex, want);
}

/* What libtorrent 2.0.8 makes of the same 40,000 bytes, name, piece length and private flag. */
static void test_infohash(void **state) {
  (void)state;
  struct arena arena = {0};
  struct metainfo m = made(TORRENT_V1, 40000, &arena);
  assert_hex(m.infohash, 20, "5b761139357d5546b05d728e90e909f15b3cd45d");
  m = made(TORRENT_V2, 40000, &arena);
  assert_hex(m.infohash_v2, 32, "cf0a98459cd934ef1f8d97f00eb0af029ed6fa0e473095dcc049ca50c5831da6");
  assert_hex(m.infohash, 20, "cf0a98459cd934ef1f8d97f00eb0af029ed6fa0e");
  m = made(TORRENT_HYBRID, 40000, &arena);
  assert_hex(m.infohash, 20, "c28c4a2c4d7de335dabbd6bc99549131a2504e83");
  assert_hex(m.infohash_v2, 32, "e27d63d1ea454a57c7e603557f08637fcda5183ccc7e53be9cbdc948734e446c");
  arena_free(&arena);
}

static void assert_same(struct slice a, struct slice b) {
  assert_int_equal(a.len, b.len);
  assert_true(slice_equal(a, b));
}

/* All formats, below, at and above one piece: what is made, written and read is the same. */
static void test_round(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 16384, 16385, 100000};
  static const struct slice announce[] = {{"http://a/announce", 17}, {"http://b/announce", 17}};
  static const struct slice webseeds[] = {{"http://w/1/", 11}, {"http://w/2/", 11}};
  for (size_t i = 0; i < 4; i++) {
    for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
      struct arena arena = {0};
      struct buf file = {0};
      struct buf again = {0};
      struct metainfo r;
      struct error e = {0};
      struct metainfo m = made((enum torrent_format)format, sizes[i], &arena);
      m.announce = announce;
      m.announce_count = i % 3;
      m.webseeds = webseeds;
      m.webseed_count = i % 3;
      assert_int_equal(metainfo_write(&m, &file, &e), 0);
      assert_int_equal(metainfo_read(buf_view(&file), &arena, &r, &e), 0);
      assert_int_equal(r.format, m.format);
      assert_int_equal(r.size, m.size);
      assert_int_equal(r.piece_length, 16384);
      assert_true(r.is_private);
      assert_same(r.name, SLICE("sha256-vector"));
      assert_same(r.info, m.info);
      assert_same(r.pieces, m.pieces);
      assert_same(r.pieces_root, m.pieces_root);
      assert_same(r.piece_layers, m.piece_layers);
      assert_same(r.piece_layer, m.piece_layer);
      assert_memory_equal(r.infohash, m.infohash, 20);
      assert_memory_equal(r.infohash_v2, m.infohash_v2, 32);
      assert_int_equal(r.announce_count, i % 3);
      assert_int_equal(r.webseed_count, i % 3);
      assert_int_equal(metainfo_write(&r, &again, &e), 0);
      assert_same(buf_view(&again), buf_view(&file));
      buf_free(&file);
      buf_free(&again);
      arena_free(&arena);
    }
  }
}

/* To the byte, as any client may parse it. */
static void test_written(void **state) {
  (void)state;
  static const struct slice urls[] = {{"http://a/", 9}, {"http://b/", 9}};
  struct buf file = {0};
  struct metainfo m = {.info = SLICE("d4:name1:ae"), .announce = urls, .webseeds = urls};
  assert_int_equal(metainfo_write(&m, &file, NULL), 0);
  assert_same(buf_view(&file), SLICE("d4:infod4:name1:aee"));
  buf_free(&file);

  m.announce_count = 1;
  m.webseed_count = 1;
  assert_int_equal(metainfo_write(&m, &file, NULL), 0);
  assert_same(buf_view(&file),
              SLICE("d8:announce9:http://a/4:infod4:name1:ae8:url-list9:http://a/e"));
  buf_free(&file);

  m.announce_count = 2;
  m.webseed_count = 2;
  m.piece_layers = SLICE("de");
  assert_int_equal(metainfo_write(&m, &file, NULL), 0);
  assert_same(buf_view(&file),
              SLICE("d8:announce9:http://a/13:announce-listll9:http://a/el9:http://b/ee"
                    "4:infod4:name1:ae12:piece layersde8:url-listl9:http://a/9:http://b/ee"));
  buf_free(&file);
}

/* What others write: unknown keys, trackers in tiers and doubled, empty URLs, not private. */
static void test_foreign(void **state) {
  (void)state;
  struct arena arena = {0};
  struct metainfo m;
  assert_int_equal(
      metainfo_read(SLICE("d8:announce8:http://a13:announce-listll8:http://bel8:http://a0:"
                          "8:http://cee10:created by1:x4:infod" V1 "6:source1:xe8:url-list0:e"),
                    &arena, &m, NULL),
      0);
  assert_int_equal(m.format, TORRENT_V1);
  assert_false(m.is_private);
  assert_int_equal(m.announce_count, 3);
  assert_same(m.announce[0], SLICE("http://a"));
  assert_same(m.announce[1], SLICE("http://b"));
  assert_same(m.announce[2], SLICE("http://c"));
  assert_int_equal(m.webseed_count, 0);
  assert_int_equal(metainfo_read(SLICE(TORRENT(V1)), &arena, &m, NULL), 0);
  assert_int_equal(metainfo_read(SLICE(TORRENT_2(V2)), &arena, &m, NULL), 0);
  assert_int_equal(m.format, TORRENT_V2);
  /* What else stands with a file, and the layers of others, are none of ours. */
  assert_int_equal(
      metainfo_read(
          SLICE("d4:infod" TREE("4:attr1:x6:lengthi1e" ROOT) "12:meta versioni2e4:name1:a" PIECE
                                                             "e12:piece layersd1:x1:yee"),
          &arena, &m, NULL),
      0);
  assert_int_equal(m.piece_layer.len, 0);
  assert_int_equal(metainfo_read(SLICE(TORRENT_2(HYBRID)), &arena, &m, NULL), 0);
  assert_int_equal(m.format, TORRENT_HYBRID);
  arena_free(&arena);
}

static void assert_refused(struct slice bytes, const char *why) {
  struct arena arena = {0};
  struct metainfo m;
  struct error e = {0};
  if (metainfo_read(bytes, &arena, &m, &e) == 0) {
    fail_msg("taken, though %s: %.*s", why, SLICE_ARG(bytes));
  }
  assert_int_equal(e.kind, ERROR_FAILED);
  if (strstr(e.text, why) == NULL) {
    fail_msg("\"%s\" does not say \"%s\"", e.text, why);
  }
  arena_free(&arena);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *torrent, *why;
  } cases[] = {
      {"", "not bencode"},
      {"<!DOCTYPE html>", "not bencode"},
      {"i1e", "wrong type"},
      {"de", "info is missing"},
      {"d4:info", "not bencode"},
      {"d4:infoi1ee", "wrong type"},
      {TORRENT(V1) "x", "bytes after the end"},
      {"d4:infod" V1 "e4:infod" V1 "ee", "keys that do not ascend"},
      {"d8:announcei1e4:infod" V1 "ee", "announce has a value of the wrong type"},
      {"d8:announcele4:infod" V1 "ee", "announce has a value of the wrong type"},
      {"d13:announce-listlllee4:infod" V1 "ee", "announce-list has a value of the wrong type"},
      {"d4:infod" V1 "e8:url-listllee", "url-list has a value of the wrong type"},
      {TORRENT(""), "neither pieces nor meta version"},
      {TORRENT("5:filesle4:name1:a" PIECE "6:pieces0:"), "several files"},
      {TORRENT("6:lengthi1e4:name1:a" PIECE), "neither pieces nor meta version"},
      {TORRENT("4:name1:a" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "must come together"},
      {TORRENT("6:length1:14:name1:a"), "length has a value of the wrong type"},
      {TORRENT("6:lengthi0e4:name1:a" PIECE "6:pieces0:"), "empty"},
      {TORRENT("6:lengthi-1e4:name1:a" PIECE "6:pieces0:"), "out of range"},
      {TORRENT("6:lengthi9223372036854775807e4:name1:a" PIECE "6:pieces0:"), "pieces"},
      {TORRENT("6:lengthi16385e4:name1:a" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"),
       "number of pieces"},
      {TORRENT("6:lengthi1e4:name1:a" PIECE "6:pieces21:AAAAAAAAAAAAAAAAAAAAA"),
       "number of pieces"},
      {TORRENT("6:lengthi1e4:name1:a6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "piece length"},
      {TORRENT("6:lengthi1e4:name1:a12:piece lengthi-1e6:pieces20:AAAAAAAAAAAAAAAAAAAA"),
       "out of range"},
      {TORRENT("6:lengthi1e4:name1:a12:piece lengthi16385e6:pieces20:AAAAAAAAAAAAAAAAAAAA"),
       "power of two"},
      {TORRENT("6:lengthi1e4:name1:a12:piece lengthi4294983680e6:pieces20:AAAAAAAAAAAAAAAAAAAA"),
       "out of range"},
      {TORRENT("6:lengthi1e" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "name"},
      {TORRENT("6:lengthi1e4:name0:" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "name"},
      {TORRENT("6:lengthi1e4:name2:.." PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "name"},
      {TORRENT("6:lengthi1e4:name3:a/b" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "name"},
      {TORRENT("6:lengthi1e4:name3:a\nb" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"), "name"},
      {TORRENT(V1 "7:privatei2e"), "private"},
      {TORRENT("6:lengthi1e12:meta versioni3e4:name1:a" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAA"),
       "meta version"},
      /* v2 */
      {TORRENT(V2), "piece layers is missing"},
      {"d4:infod" V2 "e12:piece layersi1ee", "wrong type"},
      {"d4:infod" V2 "e12:piece layersd32:RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRi1eee", "wrong type"},
      {"d4:infod" V2 "e12:piece layersd32:RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR1:xee", "piece layer"},
      {TORRENT_2("12:meta versioni2e4:name1:a" PIECE), "file tree is missing"},
      {TORRENT_2("9:file treei1e"), "wrong type"},
      {TORRENT_2("9:file treede12:meta versioni2e4:name1:a" PIECE), "no file"},
      {TORRENT_2("9:file treed1:ai1ee"), "wrong type"},
      {TORRENT_2("9:file treed1:adee"), "several"},
      {TORRENT_2("9:file treed1:ad1:b" FILE_OF("6:lengthi1e") "ee"), "several"},
      {TORRENT_2("9:file treed1:ad0:d6:lengthi1ee1:bdeee"), "several"},
      {TORRENT_2("9:file treed1:a" FILE_OF("6:lengthi1e") "1:b" FILE_OF("6:lengthi1e") "e"),
       "several"},
      {TORRENT_2("9:file treed1:ad0:i1eee"), "wrong type"},
      {TORRENT_2(TREE("6:length1:1")), "length has a value of the wrong type"},
      {TORRENT_2(TREE("6:lengthi1e") "12:meta versioni2e4:name1:a" PIECE), "pieces root"},
      {TORRENT_2(TREE("6:lengthi1e11:pieces root1:x") "12:meta versioni2e4:name1:a" PIECE),
       "pieces root"},
      {TORRENT_2(TREE(ROOT) "12:meta versioni2e4:name1:a" PIECE), "empty"},
      {TORRENT_2(TREE("6:lengthi1e" ROOT) "12:meta versioni2e4:name1:b" PIECE), "differ in name"},
      {TORRENT_2(TREE("6:lengthi16385e" ROOT) "12:meta versioni2e4:name1:a" PIECE),
       "piece layer is missing"},
      {TORRENT_2(TREE("6:lengthi2e" ROOT) "6:lengthi1e12:meta versioni2e4:name1:a" PIECE
                                          "6:pieces20:AAAAAAAAAAAAAAAAAAAA"),
       "differ in name or length"},
      {"d4:infod" TREE(
           "6:lengthi16385e" ROOT) "12:meta versioni2e4:name1:a" PIECE
                                   "e12:piece layersd32:RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR"
                                   "64:"
                                   "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL"
                                   "Lee",
       "does not lead to pieces root"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_refused(slice_str(cases[i].torrent), cases[i].why);
  }
  assert_refused(SLICE("d4:infod6:lengthi1e4:name3:a\0b" PIECE "6:pieces20:AAAAAAAAAAAAAAAAAAAAee"),
                 "name");
}

/* Every cut of a good torrent is refused, and nothing beyond it is read. */
static void test_cuts(void **state) {
  (void)state;
  struct arena arena = {0};
  struct buf file = {0};
  struct metainfo m = made(TORRENT_HYBRID, 40000, &arena);
  assert_int_equal(metainfo_write(&m, &file, NULL), 0);
  for (size_t len = 0; len < file.len; len++) {
    char *cut = malloc(len + 1);
    assert_non_null(cut);
    memcpy(cut, file.ptr, len);
    assert_refused(slice_of(cut, len), "");
    free(cut);
  }
  buf_free(&file);
  arena_free(&arena);
}

static void test_bounds(void **state) {
  (void)state;
  struct buf file = {0};
  for (int count = METAINFO_URLS_MAX; count <= METAINFO_URLS_MAX + 1; count++) {
    buf_str(&file, "d4:infod" V1 "e8:url-listl");
    for (int i = 0; i < count; i++) {
      buf_printf(&file, "4:u%03d", i);
    }
    buf_str(&file, "ee");
    if (count == METAINFO_URLS_MAX) {
      struct arena arena = {0};
      struct metainfo m;
      assert_int_equal(metainfo_read(buf_view(&file), &arena, &m, NULL), 0);
      assert_int_equal(m.webseed_count, METAINFO_URLS_MAX);
      arena_free(&arena);
    } else {
      assert_refused(buf_view(&file), "too many URLs");
    }
    buf_free(&file);
  }
  assert_refused(slice_of("", (size_t)METAINFO_MAX + 1), "larger than");
}

static void test_names(void **state) {
  (void)state;
  char longest[METAINFO_NAME_MAX + 1];
  memset(longest, 'n', sizeof longest);
  assert_true(metainfo_name_valid(SLICE("a")));
  assert_true(metainfo_name_valid(SLICE("...")));
  assert_true(metainfo_name_valid(SLICE("d\xc3\xa9j\xc3\xa0 vu")));
  assert_true(metainfo_name_valid(slice_of(longest, METAINFO_NAME_MAX)));
  assert_false(metainfo_name_valid(slice_of(longest, METAINFO_NAME_MAX + 1)));
  assert_false(metainfo_name_valid(SLICE("")));
  assert_false(metainfo_name_valid(SLICE(".")));
  assert_false(metainfo_name_valid(SLICE("a\x7f")));
  assert_false(metainfo_name_valid(SLICE("a\xc2\x9b"
                                         "2J")));

  struct arena arena = {0};
  struct error e = {0};
  struct metainfo m;
  struct hashes hashes = hashes_of(TORRENT_V1, 1);
  assert_int_equal(metainfo_make(&hashes, SLICE("a/b"), slice_of(NULL, 0), &arena, &m, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  hashes_free(&hashes);
  arena_free(&arena);
}

/* What libtorrent 2.0.8 makes of the same with this root certificate, which it does not look at. */
static const struct slice ca = SLICE("not read here");

static void test_ca(void **state) {
  (void)state;
  struct arena arena = {0};
  struct buf file = {0};
  struct metainfo read;
  struct metainfo m = made_under(ca, TORRENT_V1, 40000, &arena);
  assert_hex(m.infohash, 20, "bbfcda6a1aa2bb281accef07f4a2b3d2d6e0ae59");
  assert_int_equal(metainfo_write(&m, &file, NULL), 0);
  assert_int_equal(metainfo_read(buf_view(&file), &arena, &read, NULL), 0);
  assert_true(slice_equal(read.ca, ca));
  m = made_under(ca, TORRENT_V2, 40000, &arena);
  assert_hex(m.infohash_v2, 32, "5f814d85e533ba45c84f745beadde00e978920f256a8a8d7bc1a72a42f14a846");
  m = made_under(ca, TORRENT_HYBRID, 40000, &arena);
  assert_hex(m.infohash, 20, "1ab3435c797ed30b5396714ab313a847afabe020");
  buf_free(&file);
  arena_free(&arena);
}

static void put(struct metainfo *m, struct slice under, struct arena *arena) {
  assert_int_equal(metainfo_put_under(m, under, arena, NULL), 0);
  assert_true(slice_equal(m->ca, under));
}

/* From none to one, to another and back: as if it had been made so. */
static void test_put_under(void **state) {
  (void)state;
  static const struct slice none = {NULL, 0}, other = SLICE("another");
  for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
    struct arena arena = {0};
    struct metainfo plain = made((enum torrent_format)format, 40000, &arena);
    struct metainfo under = made_under(ca, (enum torrent_format)format, 40000, &arena);
    struct metainfo m = {.format = plain.format, .info = plain.info};
    assert_true(metainfo_is_under(plain.info, none));
    assert_false(metainfo_is_under(plain.info, ca));
    assert_true(metainfo_is_under(under.info, ca));
    assert_false(metainfo_is_under(under.info, none));
    assert_true(slice_equal(metainfo_ca(plain.info), none));
    assert_true(slice_equal(metainfo_ca(under.info), ca));
    put(&m, other, &arena);
    assert_false(metainfo_is_under(m.info, ca));
    put(&m, ca, &arena);
    assert_true(slice_equal(m.info, under.info));
    assert_memory_equal(m.infohash, under.infohash, sizeof m.infohash);
    assert_memory_equal(m.infohash_v2, under.infohash_v2, sizeof m.infohash_v2);
    put(&m, none, &arena);
    assert_true(slice_equal(m.info, plain.info));
    assert_memory_equal(m.infohash, plain.infohash, sizeof m.infohash);
    arena_free(&arena);
  }
}

/* Keys that others have put in stay, and in their order. */
static void test_put_under_other_keys(void **state) {
  (void)state;
  struct arena arena = {0};
  struct metainfo m = {.format = TORRENT_V1, .info = SLICE("d4:name1:a6:source1:s1:zi1ee")};
  put(&m, ca, &arena);
  assert_true(slice_equal(m.info, SLICE("d4:name1:a6:source1:s8:ssl-cert13:not read here1:zi1ee")));
  m.info = SLICE("d8:ssl-certi1e1:zi1ee");
  assert_false(metainfo_is_under(m.info, ca));
  put(&m, ca, &arena);
  assert_true(slice_equal(m.info, SLICE("d8:ssl-cert13:not read here1:zi1ee")));
  arena_free(&arena);
}

static void test_put_under_no_dictionary(void **state) {
  (void)state;
  static const char *const bad[] = {"", "le", "d4:name", "d4:name1:a", "d1:a1:bi1e1:c"};
  struct arena arena = {0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e = {0};
    struct metainfo m = {.format = TORRENT_V1, .info = slice_str(bad[i])};
    assert_int_equal(metainfo_put_under(&m, ca, &arena, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_false(metainfo_is_under(m.info, ca));
    assert_int_equal(metainfo_ca(m.info).len, 0);
  }
  arena_free(&arena);
}

/* The buffer's failure becomes an error. */
static void test_no_room(void **state) {
  (void)state;
  struct buf file = {.limit = 8};
  struct error e = {0};
  struct metainfo m = {.info = SLICE("d4:name1:ae")};
  assert_int_equal(metainfo_write(&m, &file, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  buf_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_infohash),
      cmocka_unit_test(test_round),
      cmocka_unit_test(test_written),
      cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_cuts),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_ca),
      cmocka_unit_test(test_put_under),
      cmocka_unit_test(test_put_under_other_keys),
      cmocka_unit_test(test_put_under_no_dictionary),
      cmocka_unit_test(test_no_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
