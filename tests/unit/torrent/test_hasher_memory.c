/* How much memory hashing takes: a program of its own, as it measures all that the process has. */
#include "torrent/hasher.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MIB = 1024 * 1024,
  FED = 256, /* MiB */
  /* KiB; the sanitizers keep three times as much again. */
  DIGEST_MOST = 24 * 1024,
  MOST = 4 * 32 * 1024,
};

/* The most of memory that was resident so far, in KiB. */
static long peak(void) {
  char line[128];
  long kib = -1;
  FILE *f = fopen("/proc/self/status", "r");
  assert_non_null(f);
  while (kib < 0 && fgets(line, sizeof line, f) != NULL) {
    if (strncmp(line, "VmHWM:", 6) == 0) {
      kib = strtol(line + 6, NULL, 10);
    }
  }
  fclose(f);
  assert_true(kib > 0);
  return kib;
}

/* \return by how many KiB the peak grew. */
static long growth(enum torrent_format format, uint64_t mib, unsigned threads, bool digest) {
  static const char zeros[MIB];
  const struct hasher_options o = {format, mib * MIB, TORRENT_PIECE_MAX, threads, digest};
  struct hasher *h;
  struct hashes got;
  struct error e = {0};
  long before = peak();
  assert_int_equal(hasher_new(&o, &h, &e), 0);
  for (uint64_t i = 0; i < mib; i++) {
    assert_int_equal(hasher_feed(h, slice_of(zeros, sizeof zeros), &e), 0);
  }
  assert_int_equal(hasher_finish(h, &got, &e), 0);
  hashes_free(&got);
  return peak() - before;
}

/* Of the largest pieces. The least comes first, for the peak is of all that was. */
static void memory_is_flat(void **state) {
  (void)state;
  for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
    assert_true(growth((enum torrent_format)format, FED, 2, true) < DIGEST_MOST);
  }
  assert_true(growth(TORRENT_HYBRID, FED, 16, true) < DIGEST_MOST);
  assert_true(growth(TORRENT_HYBRID, FED, 16, false) < MOST);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(memory_is_flat)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
