// LINKS torrent base bencode PkgConfig::CRYPTO
/* A blob that is made of the input, hashed in cuts of any size: the torrent of it is read back,
 * fits the blob, and does not fit it when one byte of it differs. The merkle tree is that of a
 * plain recursion. */
#include "torrent/merkle.h"
#include "torrent/verify.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 6, BLOB_MAX = 256 * 1024 };

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

/* The root over `width` blocks from the one at `at` on (BEP 52). */
static void tree(struct slice blob, size_t at, size_t width, unsigned char root[MERKLE_HASH]) {
  unsigned char pair[2 * MERKLE_HASH];
  struct slice block = slice_from(blob, at * MERKLE_BLOCK);
  if (width > 1) {
    tree(blob, at, width / 2, pair);
    tree(blob, at + width / 2, width / 2, pair + MERKLE_HASH);
    SHA256(pair, sizeof pair, root);
  } else if (block.len == 0) {
    memset(root, 0, MERKLE_HASH);
  } else {
    SHA256((const unsigned char *)block.ptr, block.len < MERKLE_BLOCK ? block.len : MERKLE_BLOCK,
           root);
  }
}

static void verify(const struct metainfo *m, struct slice blob, int error) {
  char path[32];
  struct error e = {0};
  int fd = memfd_create("blob", 0);
  check(fd >= 0 && write(fd, blob.ptr, blob.len) == (ssize_t)blob.len);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  verify_file(m, path, NULL, NULL, &e);
  check((int)e.kind == error);
  close(fd);
}

/* Bytes 0 and 1: format and piece length; 2 to 4: how large; 5: the cuts. The rest is repeated. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size <= HEAD) {
    return 0;
  }
  static char bytes[BLOB_MAX];
  size_t len = 1 + (data[2] | (size_t)data[3] << 8 | (size_t)data[4] << 16) % BLOB_MAX;
  for (size_t i = 0; i < len; i++) {
    bytes[i] = (char)(data[HEAD + i % (size - HEAD)] + i / (size - HEAD));
  }
  struct slice blob = slice_of(bytes, len);
  const struct hasher_options options = {.format = (enum torrent_format)(1 + data[0] % 3),
                                         .size = len,
                                         .piece_length = (uint32_t)TORRENT_PIECE_MIN << data[1] % 4,
                                         .threads = 1 + data[1] % 2,
                                         .digest = true};
  struct hasher *hasher = NULL;
  struct hashes hashes;
  check(hasher_new(&options, &hasher, NULL) == 0);
  for (struct slice rest = blob; rest.len > 0;) {
    size_t cut = 1 + (size_t)data[5] * 331;
    cut = cut < rest.len ? cut : rest.len;
    check(hasher_feed(hasher, slice_of(rest.ptr, cut), NULL) == 0);
    rest = slice_from(rest, cut);
  }
  check(hasher_finish(hasher, &hashes, NULL) == 0);
  unsigned char root[MERKLE_HASH];
  SHA256((const unsigned char *)bytes, len, root);
  check(memcmp(root, hashes.sha256, sizeof root) == 0);
  if ((options.format & TORRENT_V2) != 0) {
    tree(blob, 0, merkle_width((len + MERKLE_BLOCK - 1) / MERKLE_BLOCK), root);
    check(memcmp(root, hashes.pieces_root, sizeof root) == 0);
  }
  struct arena arena = {0};
  struct buf file = {0};
  struct metainfo made, read;
  check(metainfo_make(&hashes, SLICE("blob"), slice_of(NULL, 0), &arena, &made, NULL) == 0);
  check(metainfo_write(&made, &file, NULL) == 0);
  check(metainfo_read(buf_view(&file), &arena, &read, NULL) == 0);
  check(memcmp(read.infohash, made.infohash, sizeof read.infohash) == 0);
  verify(&read, blob, ERROR_NONE);
  bytes[data[HEAD] * (size_t)997 % len] ^= 1;
  verify(&read, blob, ERROR_MISMATCH);
  buf_free(&file);
  hashes_free(&hashes);
  arena_free(&arena);
  return 0;
}
