// LINKS bencode base
/* Canonical bencode has one encoding a value: what the reader takes, the writer gives back to the
 * byte. And to skip a value is to read all its tokens. */
#include "bencode/reader.h"
#include "bencode/writer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_token(struct bencode_writer *w, struct bencode_token t) {
  switch (t.type) {
  case BENCODE_INTEGER:
    bencode_write_integer(w, t.integer);
    break;
  case BENCODE_STRING:
    bencode_write_string(w, t.string);
    break;
  case BENCODE_LIST:
    bencode_write_list(w);
    break;
  case BENCODE_DICT:
    bencode_write_dict(w);
    break;
  case BENCODE_END:
    bencode_write_end(w);
    break;
  default:
    break;
  }
}

static void check(bool good) {
  if (!good) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice input = slice_of(data, size);
  char *out = malloc(size + 1);
  check(out != NULL);
  struct bencode_writer w = bencode_writer(out, size);
  struct bencode_reader r = bencode_reader(input);
  struct bencode_token t;
  do {
    check(r.fault == NULL && r.depth <= BENCODE_DEPTH_MAX && r.at <= size);
    t = bencode_next(&r);
    write_token(&w, t);
  } while (t.type != BENCODE_DONE && t.type != BENCODE_ERROR);
  check(!w.full && memcmp(out, data, w.len) == 0);
  check(t.type == BENCODE_ERROR || w.len == size);

  struct bencode_reader skip = bencode_reader(input);
  struct slice raw = {NULL, 0};
  bool skipped = bencode_skip(&skip, &raw);
  check(skipped == r.done && (!skipped || raw.len == w.len));
  check((bencode_next(&skip).type == BENCODE_DONE) == (t.type == BENCODE_DONE));
  free(out);
  return 0;
}
