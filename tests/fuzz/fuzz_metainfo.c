// LINKS torrent base
/* What metainfo_read() takes, metainfo_write() writes so that it is read as the same torrent. */
#include "torrent/metainfo.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
  if (!good) {
    abort();
  }
}

/* It is the same torrent under another CA. */
static void put_under(struct metainfo m, struct arena *arena) {
  struct buf file = {0};
  struct metainfo read;
  check(metainfo_put_under(&m, SLICE("CA"), arena, NULL) == 0);
  check(metainfo_is_under(m.info, SLICE("CA")));
  check(metainfo_write(&m, &file, NULL) == 0);
  check(metainfo_read(buf_view(&file), arena, &read, NULL) == 0);
  check(slice_equal(read.ca, SLICE("CA")) && slice_equal(read.name, m.name));
  check(read.size == m.size && slice_equal(read.pieces, m.pieces));
  check(memcmp(read.infohash, m.infohash, sizeof m.infohash) == 0);
  buf_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct buf file = {0};
  struct metainfo m;
  struct metainfo again;
  if (metainfo_read(slice_of(data, size), &arena, &m, NULL) == 0) {
    check(metainfo_name_valid(m.name));
    check(torrent_check_sizes(m.size, m.piece_length, NULL) == 0);
    check(metainfo_write(&m, &file, NULL) == 0);
    check(metainfo_read(buf_view(&file), &arena, &again, NULL) == 0);
    check(again.format == m.format && again.size == m.size);
    check(memcmp(again.infohash, m.infohash, sizeof m.infohash) == 0);
    check(memcmp(again.infohash_v2, m.infohash_v2, sizeof m.infohash_v2) == 0);
    check(slice_equal(again.piece_layer, m.piece_layer));
    check(again.announce_count == m.announce_count && again.webseed_count == m.webseed_count);
    put_under(again, &arena);
  }
  buf_free(&file);
  arena_free(&arena);
  return 0;
}
