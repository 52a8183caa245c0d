/* Memory that runs out anywhere is an error that says so: no crash, no leak, no thread that waits
 * for ever, no wrong torrent. */
#include "support/heap.h"
#include "torrent/metainfo.h"
#include "unit/cmocka_all.h"

#include <string.h>

static char blob[3 * 16384 + 5];

struct work {
  enum torrent_format format;
  size_t size;
  struct hashes hashes; /* of this format and size */
};

static int hash_blob(const struct work *w, struct hashes *out, struct error *e) {
  const struct hasher_options o = {w->format, w->size, 16384, 2, true};
  struct hasher *h;
  if (hasher_new(&o, &h, e) != 0) {
    return -1;
  }
  if (hasher_feed(h, slice_of(blob, w->size), e) != 0) {
    hasher_cancel(h);
    return -1;
  }
  return hasher_finish(h, out, e);
}

static int hash(void *arg, struct error *e) {
  const struct work *w = arg;
  struct hashes got;
  int status = hash_blob(w, &got, e);
  if (status == 0) {
    assert_memory_equal(got.sha256, w->hashes.sha256, sizeof got.sha256);
    assert_memory_equal(got.pieces_root, w->hashes.pieces_root, sizeof got.pieces_root);
    assert_true(slice_equal(buf_view(&got.pieces), buf_view(&w->hashes.pieces)));
    assert_true(slice_equal(buf_view(&got.piece_layer), buf_view(&w->hashes.piece_layer)));
    hashes_free(&got);
  }
  return status;
}

/* Made, written and read again. */
static int torrent(void *arg, struct error *e) {
  const struct work *w = arg;
  struct arena arena = {0};
  struct buf file = {0};
  struct metainfo made;
  struct metainfo read;
  int status = metainfo_make(&w->hashes, SLICE("blob"), SLICE("old CA"), &arena, &made, e);
  if (status == 0) {
    status = metainfo_put_under(&made, SLICE("CA"), &arena, e);
  }
  if (status == 0) {
    status = metainfo_write(&made, &file, e);
  }
  if (status == 0) {
    status = metainfo_read(buf_view(&file), &arena, &read, e);
  }
  if (status == 0) {
    assert_memory_equal(read.infohash, made.infohash, sizeof read.infohash);
    assert_true(slice_equal(read.name, SLICE("blob")));
  }
  buf_free(&file);
  arena_free(&arena);
  return status;
}

static void every_format(int (*run)(void *arg, struct error *e)) {
  static const size_t sizes[] = {100, sizeof blob};
  for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      struct work w = {.format = (enum torrent_format)format, .size = sizes[i]};
      assert_int_equal(hash_blob(&w, &w.hashes, NULL), 0);
      heap_exhaust(run, &w);
      heap_exhaust_openssl(run, &w);
      hashes_free(&w.hashes);
    }
  }
}

static void hashing(void **state) {
  (void)state;
  every_format(hash);
}

static void torrents(void **state) {
  (void)state;
  every_format(torrent);
}

/* Nothing is left of what had no room; what comes then has its place. */
static void a_torrent_that_fills_the_arena(void **state) {
  (void)state;
  for (size_t pieces = 1; pieces <= 3; pieces++) {
    static char many[3 * 4096];
    struct work w = {.format = TORRENT_V1, .size = 100};
    assert_int_equal(hash_blob(&w, &w.hashes, NULL), 0);
    buf_free(&w.hashes.pieces);
    w.hashes.size = pieces * 4000 / 20 * 16384;
    buf_append(&w.hashes.pieces, many, pieces * 4000 / 20 * 20);
    heap_exhaust(torrent, &w);
    hashes_free(&w.hashes);
  }
}

int main(void) {
  heap_watch_openssl();
  memset(blob, 'b', sizeof blob);
  const struct CMUnitTest tests[] = {cmocka_unit_test(hashing), cmocka_unit_test(torrents),
                                     cmocka_unit_test(a_torrent_that_fills_the_arena)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
