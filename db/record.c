#include "db/record.h"

uint32_t record_crc(uint32_t crc, struct slice bytes) {
  /* The polynomial 0x82f63b78 by halves of a byte. */
  static const uint32_t table[16] = {
      0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
      0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
      0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
  };
  crc = ~crc;
  for (size_t i = 0; i < bytes.len; i++) {
    crc ^= (unsigned char)bytes.ptr[i];
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return ~crc;
}

void record_checksum(struct slice key, struct slice value,
                     unsigned char out[RECORD_CHECKSUM_SIZE]) {
  uint32_t crc = record_crc(record_crc(0, key), value);
  for (size_t i = 0; i < RECORD_CHECKSUM_SIZE; i++) {
    out[i] = (unsigned char)(crc >> (8 * i));
  }
}

void record_add_int(struct buf *b, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; i++) {
    buf_append(b, &(char){(char)(value >> (8 * i))}, 1);
  }
}

void record_add_bytes(struct buf *b, struct slice bytes) {
  record_add_int(b, bytes.len, 4);
  buf_slice(b, bytes);
}

static struct slice take(struct record_reader *r, size_t size) {
  if (r->failed || r->rest.len < size) {
    r->failed = true;
    return (struct slice){0};
  }
  struct slice taken = slice_of(r->rest.ptr, size);
  r->rest = slice_from(r->rest, size);
  return taken;
}

uint64_t record_int(struct record_reader *r, size_t size) {
  struct slice bytes = take(r, size);
  uint64_t value = 0;
  for (size_t i = bytes.len; i > 0; i--) {
    value = value << 8 | (unsigned char)bytes.ptr[i - 1];
  }
  return value;
}

void record_copy(struct record_reader *r, void *out, size_t size) {
  struct slice bytes = take(r, size);
  memset(out, 0, size);
  if (bytes.len > 0) {
    memcpy(out, bytes.ptr, bytes.len);
  }
}

struct slice record_bytes(struct record_reader *r) {
  return take(r, (size_t)record_int(r, 4));
}

bool record_ended(const struct record_reader *r) {
  return !r->failed && r->rest.len == 0;
}
