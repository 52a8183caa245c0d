#include "torrent/merkle.h"

#include "unit/cmocka_all.h"

enum { COUNT_MAX = 70 };

static void sha256(const void *data, size_t len, unsigned char out[MERKLE_HASH]) {
  assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, data, len, out, NULL), 1);
}

/* The definition, taken literally: the root over `width` leaves that all exist. */
static void naive(const unsigned char (*leaves)[MERKLE_HASH], size_t width,
                  unsigned char out[MERKLE_HASH]) {
  unsigned char both[2 * MERKLE_HASH];
  if (width == 1) {
    memcpy(out, leaves, MERKLE_HASH);
    return;
  }
  naive(leaves, width / 2, both);
  naive(leaves + width / 2, width / 2, both + MERKLE_HASH);
  sha256(both, sizeof both, out);
}

static void test_roots(void **state) {
  (void)state;
  static unsigned char leaves[256][MERKLE_HASH];
  struct merkle m;
  unsigned char pad[MERKLE_HASH];
  unsigned char want[MERKLE_HASH];
  unsigned char got[MERKLE_HASH];
  memset(pad, 0xa5, sizeof pad);
  assert_true(merkle_init(&m));
  for (size_t count = 0; count <= COUNT_MAX; count++) {
    for (size_t width = merkle_width(count); width <= 256; width *= 2) {
      for (int padded = 0; padded < 2; padded++) {
        merkle_reset(&m);
        for (size_t i = 0; i < 256; i++) {
          sha256(&i, sizeof i, leaves[i]);
          if (i < count) {
            assert_true(merkle_add(&m, leaves[i]));
          } else {
            memset(leaves[i], padded ? 0xa5 : 0, MERKLE_HASH);
          }
        }
        naive(leaves, width, want);
        assert_true(merkle_root(&m, width, padded ? pad : NULL, got));
        assert_memory_equal(got, want, MERKLE_HASH);
      }
    }
  }
  merkle_free(&m);
}

static void test_block(void **state) {
  (void)state;
  static unsigned char block[MERKLE_BLOCK];
  unsigned char want[MERKLE_HASH];
  unsigned char got[MERKLE_HASH];
  struct merkle m;
  memset(block, 'x', sizeof block);
  assert_true(merkle_init(&m));
  for (size_t len = 1; len <= sizeof block; len = len * 2 + 1) {
    merkle_reset(&m);
    assert_true(merkle_add_block(&m, block, len));
    assert_true(merkle_root(&m, 1, NULL, got));
    sha256(block, len, want);
    assert_memory_equal(got, want, MERKLE_HASH);
  }
  merkle_free(&m);
}

/* A layer's root is that of all its blocks, the last piece and missing pieces filled with zeros. */
static void test_layer(void **state) {
  (void)state;
  enum { PIECE_BLOCKS = 4, PIECES = 5 };
  static unsigned char leaves[8 * PIECE_BLOCKS][MERKLE_HASH];
  unsigned char layer[PIECES * MERKLE_HASH];
  unsigned char want[MERKLE_HASH];
  unsigned char got[MERKLE_HASH];
  for (size_t i = 0; i < PIECES * PIECE_BLOCKS - 1; i++) {
    sha256(&i, sizeof i, leaves[i]);
  }
  for (size_t i = 0; i < PIECES; i++) {
    naive(leaves + i * PIECE_BLOCKS, PIECE_BLOCKS, layer + i * MERKLE_HASH);
  }
  naive(leaves, sizeof leaves / MERKLE_HASH, want);
  assert_true(merkle_layer_root(slice_of(layer, sizeof layer), PIECE_BLOCKS * MERKLE_BLOCK, got));
  assert_memory_equal(got, want, MERKLE_HASH);
}

static void test_width(void **state) {
  (void)state;
  static const struct {
    uint64_t count, width;
  } cases[] = {{1, 1}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1024, 1024}, {1025, 2048}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(merkle_width(cases[i].count), cases[i].width);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_roots),
      cmocka_unit_test(test_block),
      cmocka_unit_test(test_layer),
      cmocka_unit_test(test_width),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
