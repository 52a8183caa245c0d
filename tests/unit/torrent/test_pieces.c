/* Pieces against the hasher, which mktorrent, transmission and libtorrent agree with. */
#include "torrent/pieces.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

#define PIECE 32768U

static const enum torrent_format formats[] = {TORRENT_V1, TORRENT_V2, TORRENT_HYBRID};
/* One byte, a block and around it, a piece and around it, many, a last one of every kind. */
static const size_t sizes[] = {1,         16384,         16385,         PIECE - 1,        PIECE,
                               PIECE + 1, 2 * PIECE - 1, 3 * PIECE + 1, 5 * PIECE + 16384};

struct blob {
  unsigned char *bytes;
  struct pieces pieces;
};

static struct blob blob_of(size_t size, enum torrent_format format) {
  struct blob b = {.bytes = malloc(size)};
  struct hasher_options o = {.format = format, .size = size, .piece_length = PIECE};
  struct hasher *h;
  struct hashes hashes = {0};
  struct metainfo m;
  struct arena arena = {0};
  for (size_t i = 0; i < size; i++) {
    b.bytes[i] = (unsigned char)(i * 131 + i / 251);
  }
  assert_int_equal(hasher_new(&o, &h, NULL), 0);
  assert_int_equal(hasher_feed(h, slice_of(b.bytes, size), NULL), 0);
  assert_int_equal(hasher_finish(h, &hashes, NULL), 0);
  assert_int_equal(metainfo_make(&hashes, SLICE("a"), slice_of(NULL, 0), &arena, &m, NULL), 0);
  assert_int_equal(pieces_of(&m, &b.pieces, NULL), 0);
  hashes_free(&hashes);
  arena_free(&arena);
  return b;
}

static void free_blob(struct blob *b) {
  pieces_free(&b->pieces);
  free(b->bytes);
}

/* Whether len bytes from there on are piece i. */
static bool is_piece(struct piece_check *check, const struct blob *b, uint32_t i,
                     const unsigned char *at, size_t len, size_t cut) {
  for (size_t done = 0; done < len; done += cut) {
    piece_check_add(check, slice_of(at + done, cut < len - done ? cut : len - done));
  }
  return piece_check_end(check, &b->pieces, i);
}

static void check_blob(const struct blob *b, size_t cut) {
  const struct pieces *p = &b->pieces;
  struct piece_check *check = piece_check_new(p->v2);
  assert_non_null(check);
  for (uint32_t i = p->count; i-- > 0;) {
    unsigned char *at = b->bytes + (size_t)i * PIECE;
    uint32_t len = pieces_length(p, i);
    assert_true(is_piece(check, b, i, at, len, cut));
    at[len / 2] ^= 1;
    assert_false(is_piece(check, b, i, at, len, cut));
    at[len / 2] ^= 1;
    assert_false(is_piece(check, b, i, at, len - 1, cut));
    if (i > 0) {
      assert_false(is_piece(check, b, i, at - 1, len + 1, cut));
      assert_false(is_piece(check, b, i - 1, at, len, cut));
    }
    assert_true(is_piece(check, b, i, at, len, cut));
  }
  piece_check_free(check);
}

static void each_piece_is_told_from_all_else(void **state) {
  (void)state;
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      struct blob b = blob_of(sizes[s], formats[f]);
      assert_int_equal(b.pieces.count, (sizes[s] + PIECE - 1) / PIECE);
      assert_int_equal(b.pieces.v2, formats[f] == TORRENT_V2);
      check_blob(&b, 1000);
      check_blob(&b, 16384);
      check_blob(&b, PIECE);
      free_blob(&b);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_piece_is_told_from_all_else)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
