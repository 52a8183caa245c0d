#include "torrent/hasher.h"

#include "unit/cmocka_all.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define KIB   ((size_t)1024)
#define MIB   (1024 * KIB)
#define BLOCK (16 * KIB)

enum { LEAVES_MAX = 4096 };

static void digest(const char *name, const void *data, size_t len, unsigned char *out) {
  assert_int_equal(EVP_Q_digest(NULL, name, NULL, data, len, out, NULL), 1);
}

/* Bytes that repeat neither with blocks nor with pieces. */
static unsigned char *blob(size_t size) {
  unsigned char *p = malloc(size);
  assert_non_null(p);
  uint32_t x = 2463534242U;
  for (size_t i = 0; i < size; i++) {
    x = x * 1664525U + 1013904223U;
    p[i] = (unsigned char)(x >> 24);
  }
  return p;
}

/* BEP 52 taken literally: all leaves of the tree, those that are missing zero, level by level.
 * Leaves in `node` what the level of `stop` nodes holds. */
static void naive_level(unsigned char (*node)[32], size_t width, size_t stop) {
  for (; width > stop; width /= 2) {
    for (size_t i = 0; i < width / 2; i++) {
      unsigned char out[32];
      digest("SHA256", node[2 * i], 64, out);
      memcpy(node[i], out, sizeof out);
    }
  }
}

static size_t power_of_two(size_t count) {
  size_t width = 1;
  while (width < count) {
    width *= 2;
  }
  return width;
}

static void check_v2(const unsigned char *bytes, size_t size, size_t piece,
                     const struct hashes *got) {
  static unsigned char node[LEAVES_MAX][32];
  size_t blocks = (size + BLOCK - 1) / BLOCK;
  size_t pieces = (size + piece - 1) / piece;
  size_t width = pieces == 1 ? power_of_two(blocks) : power_of_two(pieces) * (piece / BLOCK);
  assert_true(width <= LEAVES_MAX);
  memset(node, 0, sizeof node);
  for (size_t i = 0; i < blocks; i++) {
    size_t len = size - i * BLOCK < BLOCK ? size - i * BLOCK : BLOCK;
    digest("SHA256", bytes + i * BLOCK, len, node[i]);
  }
  if (pieces > 1) {
    naive_level(node, width, power_of_two(pieces));
    assert_int_equal(got->piece_layer.len, pieces * 32);
    assert_memory_equal(got->piece_layer.ptr, node, pieces * 32);
    width = power_of_two(pieces);
  } else {
    assert_int_equal(got->piece_layer.len, 0);
  }
  naive_level(node, width, 1);
  assert_memory_equal(got->pieces_root, node[0], 32);
}

static void check_v1(const unsigned char *bytes, size_t size, size_t piece,
                     const struct hashes *got) {
  size_t pieces = (size + piece - 1) / piece;
  assert_int_equal(got->pieces.len, pieces * 20);
  for (size_t i = 0; i < pieces; i++) {
    unsigned char want[20];
    digest("SHA1", bytes + i * piece, size - i * piece < piece ? size - i * piece : piece, want);
    assert_memory_equal(got->pieces.ptr + i * 20, want, 20);
  }
}

/* Feeds `bytes` by `step` and compares with what is computed naively. */
static void check(const unsigned char *bytes, struct hasher_options o, size_t step) {
  struct hasher *h;
  struct hashes got;
  struct error e = {0};
  size_t size = (size_t)o.size;
  assert_int_equal(hasher_new(&o, &h, &e), 0);
  for (size_t at = 0; at < size; at += step) {
    size_t len = size - at < step ? size - at : step;
    assert_int_equal(hasher_feed(h, slice_of(bytes + at, len), &e), 0);
  }
  assert_int_equal(hasher_finish(h, &got, &e), 0);
  assert_int_equal(got.format, o.format);
  assert_int_equal(got.size, o.size);
  assert_int_equal(got.piece_length, o.piece_length);
  if ((o.format & TORRENT_V1) != 0) {
    check_v1(bytes, size, o.piece_length, &got);
  }
  if ((o.format & TORRENT_V2) != 0) {
    check_v2(bytes, size, o.piece_length, &got);
  }
  unsigned char want[32] = {0};
  if (o.digest) {
    digest("SHA256", bytes, size, want);
  }
  assert_memory_equal(got.sha256, want, sizeof want);
  hashes_free(&got);
}

/* Sizes around a block, a piece and two, in all formats and parts of several lengths. */
static void test_sizes(void **state) {
  (void)state;
  static const size_t steps[] = {4093, BLOCK, 100003, SIZE_MAX / 2};
  unsigned char *bytes = blob(2 * MIB);
  for (size_t piece = BLOCK; piece <= 256 * KIB; piece *= 4) {
    const size_t sizes[] = {
        1,         100,           BLOCK - 1, BLOCK,         BLOCK + 1, piece - 1,      piece,
        piece + 1, 2 * piece - 1, 2 * piece, 2 * piece + 1, 3 * piece, 5 * piece + 777};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
        check(bytes,
              (struct hasher_options){.format = (enum torrent_format)format,
                                      .size = sizes[i],
                                      .piece_length = (uint32_t)piece,
                                      .threads = 2,
                                      .digest = i % 2 == 0},
              steps[i % (sizeof steps / sizeof *steps)]);
      }
    }
  }
  for (size_t step = 1; step <= 3; step++) {
    check(bytes, (struct hasher_options){TORRENT_HYBRID, 2 * BLOCK + 5, BLOCK, 3, true}, step);
  }
  free(bytes);
}

/* Sizes around a unit, which is what is hashed in one go, of pieces that are of several or of one.
 */
static void test_sizes_around_units(void **state) {
  (void)state;
  static const size_t unit = 256 * KIB;
  static const size_t steps[] = {100003, 256 * KIB, SIZE_MAX / 2};
  unsigned char *bytes = blob(8 * MIB);
  for (size_t piece = unit / 2; piece <= 2 * MIB; piece *= 2) {
    const size_t sizes[] = {unit - 1,      unit,          unit + 1,      unit + BLOCK,
                            2 * unit,      2 * unit + 1,  3 * unit - 1,  piece + unit,
                            2 * piece - 1, 2 * piece + 1, 3 * piece - 1, 3 * piece + unit + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      const struct hasher_options o = {(enum torrent_format)(1 + i % 3), sizes[i], (uint32_t)piece,
                                       (unsigned)(1 + i % 4), i % 2 == 0};
      check(bytes, o, steps[i % (sizeof steps / sizeof *steps)]);
    }
    check(bytes, (struct hasher_options){TORRENT_HYBRID, 8 * MIB, (uint32_t)piece, 2, true}, unit);
    check(bytes, (struct hasher_options){TORRENT_HYBRID, 8 * MIB, (uint32_t)piece, 2, false}, unit);
  }
  free(bytes);
}

/* More than the ring holds, so that the feeding thread waits or helps; all counts of threads come
 * to the same. */
static void test_more_than_the_ring(void **state) {
  (void)state;
  const size_t size = 21 * MIB + 12345;
  unsigned char *bytes = blob(size);
  for (unsigned threads = 0; threads <= 5; threads++) {
    check(bytes, (struct hasher_options){TORRENT_HYBRID, size, 64 * KIB, threads, true}, 700001);
  }
  check(bytes, (struct hasher_options){TORRENT_HYBRID, size, 2 * MIB, 2, true}, MIB);
  check(bytes, (struct hasher_options){TORRENT_V1, size, TORRENT_PIECE_MAX, 2, false}, MIB);
  for (unsigned threads = 1; threads <= 5; threads++) {
    check(bytes, (struct hasher_options){TORRENT_HYBRID, size, MIB, threads, false}, 700001);
  }
  check(bytes, (struct hasher_options){TORRENT_V2, size, TORRENT_PIECE_MAX, 4000, true}, MIB);
  free(bytes);
}

static void test_reserve(void **state) {
  (void)state;
  const struct hasher_options o = {TORRENT_V1, 3, BLOCK, 1, true};
  struct hasher *h;
  struct hashes got;
  struct error e = {0};
  size_t room;
  assert_int_equal(hasher_new(&o, &h, &e), 0);
  char *at = hasher_reserve(h, &room, &e);
  assert_non_null(at);
  assert_int_equal(room, 3);
  at[0] = 'a';
  hasher_commit(h, 1);
  hasher_commit(h, 0);
  at = hasher_reserve(h, &room, &e);
  assert_int_equal(room, 2);
  at[0] = 'b';
  at[1] = 'c';
  hasher_commit(h, 2);
  assert_int_equal(e.kind, ERROR_NONE);
  assert_null(hasher_reserve(h, &room, &e));
  assert_int_equal(e.kind, ERROR_MISMATCH);
  assert_int_equal(hasher_finish(h, &got, &e), 0);
  unsigned char want[20];
  digest("SHA1", "abc", 3, want);
  assert_memory_equal(got.pieces.ptr, want, 20);
  hashes_free(&got);
}

static void test_wrong_size(void **state) {
  (void)state;
  static const char bytes[BLOCK + 1];
  const struct hasher_options o = {TORRENT_HYBRID, BLOCK, BLOCK, 2, true};
  struct hasher *h;
  struct hashes got;
  struct error e = {0};
  assert_int_equal(hasher_new(&o, &h, &e), 0);
  assert_int_equal(hasher_feed(h, slice_of(bytes, BLOCK + 1), &e), -1);
  assert_int_equal(e.kind, ERROR_MISMATCH);
  hasher_cancel(h);

  e = (struct error){0};
  assert_int_equal(hasher_new(&o, &h, &e), 0);
  assert_int_equal(hasher_feed(h, slice_of(bytes, BLOCK - 1), &e), 0);
  assert_int_equal(hasher_finish(h, &got, &e), -1);
  assert_int_equal(e.kind, ERROR_MISMATCH);
}

static void test_cancel(void **state) {
  (void)state;
  static const char bytes[MIB];
  const struct hasher_options o = {TORRENT_HYBRID, 1000ULL * MIB, MIB, 2, true};
  struct hasher *h;
  struct error e = {0};
  for (int parts = 0; parts < 8; parts++) {
    assert_int_equal(hasher_new(&o, &h, &e), 0);
    for (int i = 0; i < parts; i++) {
      assert_int_equal(hasher_feed(h, slice_of(bytes, sizeof bytes - 1), &e), 0);
    }
    hasher_cancel(h);
  }
  hasher_cancel(NULL);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    uint64_t size, piece_length;
  } cases[] = {
      {0, BLOCK},
      {1, 0},
      {1, BLOCK - 1},
      {1, BLOCK / 2},
      {1, BLOCK + 1},
      {1, 3 * BLOCK},
      {1, 32 * MIB},
      {1, 1U << 31},
      {UINT64_MAX, BLOCK},
      {UINT64_MAX, TORRENT_PIECE_MAX},
      {(uint64_t)TORRENT_PIECES_MAX * BLOCK + 1, BLOCK},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct hasher *h;
    struct error e = {0};
    const struct hasher_options o = {TORRENT_V1, cases[i].size, (uint32_t)cases[i].piece_length, 1,
                                     false};
    assert_int_equal(hasher_new(&o, &h, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
  assert_int_equal(torrent_check_sizes((uint64_t)TORRENT_PIECES_MAX * BLOCK, BLOCK, NULL), 0);
}

static void test_piece_length(void **state) {
  (void)state;
  static const struct {
    uint64_t size, piece_length;
  } cases[] = {
      {1, 256 * KIB},
      {512ULL * MIB, 256 * KIB},
      {512ULL * MIB + 1, 512 * KIB},
      {1024ULL * MIB, 512 * KIB},
      {1024ULL * MIB + 1, MIB},
      {16 * 1024ULL * MIB, 8 * MIB},
      {16 * 1024ULL * MIB + 1, 16 * MIB},
      {1024 * 1024ULL * MIB, 16 * MIB},
      {UINT64_MAX, 16 * MIB},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(torrent_piece_length(cases[i].size), cases[i].piece_length);
  }
  assert_int_equal(torrent_piece_count(1, BLOCK), 1);
  assert_int_equal(torrent_piece_count(BLOCK, BLOCK), 1);
  assert_int_equal(torrent_piece_count(BLOCK + 1, BLOCK), 2);
  assert_true(torrent_piece_count(UINT64_MAX, 2) == 1ULL << 63);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_sizes_around_units),
      cmocka_unit_test(test_more_than_the_ring),
      cmocka_unit_test(test_reserve),
      cmocka_unit_test(test_wrong_size),
      cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_piece_length),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
