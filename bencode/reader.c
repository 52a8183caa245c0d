#include "bencode/reader.h"

struct bencode_reader bencode_reader(struct slice input) {
  return (struct bencode_reader){.input = input};
}

static struct bencode_token fail(struct bencode_reader *r, const char *fault) {
  r->fault = fault;
  return (struct bencode_token){.type = BENCODE_ERROR, .offset = r->at};
}

/* Reads a canonical decimal that `end` follows, and takes both. */
static bool number(struct bencode_reader *r, char end, uint64_t *out) {
  struct slice rest = slice_from(r->input, r->at);
  size_t digits = 0;
  while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9') {
    digits++;
  }
  if (digits == rest.len || rest.ptr[digits] != end || (digits > 1 && rest.ptr[0] == '0') ||
      !slice_u64(slice_of(rest.ptr, digits), out)) {
    return false;
  }
  r->at += digits + 1;
  return true;
}

static bool integer(struct bencode_reader *r, int64_t *out) {
  uint64_t magnitude;
  r->at++;
  bool negative = r->at < r->input.len && r->input.ptr[r->at] == '-';
  r->at += negative;
  if (!number(r, 'e', &magnitude) || magnitude > (uint64_t)INT64_MAX + negative ||
      (negative && magnitude == 0)) {
    return false;
  }
  *out = (int64_t)(negative ? 0 - magnitude : magnitude);
  return true;
}

static bool string(struct bencode_reader *r, struct slice *out) {
  uint64_t len;
  if (!number(r, ':', &len) || len > r->input.len - r->at) {
    return false;
  }
  *out = slice_of(r->input.ptr + r->at, (size_t)len);
  r->at += (size_t)len;
  return true;
}

/* Notes that a value is complete, for what it lies in. */
static void complete(struct bencode_reader *r) {
  if (r->depth == 0) {
    r->done = true;
  } else {
    r->level[r->depth - 1].want_value = false;
  }
}

static struct bencode_token begin(struct bencode_reader *r, struct bencode_token t) {
  if (r->depth == BENCODE_DEPTH_MAX) {
    return fail(r, "nested too deep");
  }
  r->at++;
  r->level[r->depth].dict = t.type == BENCODE_DICT;
  r->level[r->depth].want_value = false;
  r->level[r->depth].key = (struct slice){NULL, 0};
  r->depth++;
  return t;
}

static struct bencode_token end(struct bencode_reader *r, struct bencode_token t) {
  if (r->depth == 0) {
    return fail(r, "an end of nothing");
  }
  if (r->level[r->depth - 1].want_value) {
    return fail(r, "a key without a value");
  }
  r->at++;
  r->depth--;
  complete(r);
  return t;
}

static struct bencode_token key(struct bencode_reader *r, struct bencode_token t) {
  struct slice last = r->level[r->depth - 1].key;
  if (!string(r, &t.string)) {
    return fail(r, "a key that is not a string");
  }
  if (last.ptr != NULL && slice_compare(last, t.string) >= 0) {
    r->at = t.offset;
    return fail(r, "keys that do not ascend");
  }
  r->level[r->depth - 1].key = t.string;
  r->level[r->depth - 1].want_value = true;
  t.type = BENCODE_STRING;
  return t;
}

struct bencode_token bencode_next(struct bencode_reader *r) {
  struct bencode_token t = {.offset = r->at};
  if (r->fault != NULL) {
    return fail(r, r->fault);
  }
  if (r->done) {
    t.type = BENCODE_DONE;
    return r->at == r->input.len ? t : fail(r, "bytes after the end");
  }
  if (r->at == r->input.len) {
    return fail(r, "it ends too early");
  }
  char c = r->input.ptr[r->at];
  if (c == 'e') {
    t.type = BENCODE_END;
    return end(r, t);
  }
  if (r->depth > 0 && r->level[r->depth - 1].dict && !r->level[r->depth - 1].want_value) {
    return key(r, t);
  }
  switch (c) {
  case 'i':
    t.type = BENCODE_INTEGER;
    if (!integer(r, &t.integer)) {
      return fail(r, "an integer that is not canonical or beyond 64 bits");
    }
    complete(r);
    return t;
  case 'l':
    t.type = BENCODE_LIST;
    return begin(r, t);
  case 'd':
    t.type = BENCODE_DICT;
    return begin(r, t);
  default:
    t.type = BENCODE_STRING;
    if (!string(r, &t.string)) {
      return fail(r, "neither an integer, a list, a dictionary nor a string that fits");
    }
    complete(r);
    return t;
  }
}

bool bencode_skip(struct bencode_reader *r, struct slice *raw) {
  size_t begin_at = r->at;
  unsigned depth = r->depth;
  do {
    struct bencode_token t = bencode_next(r);
    if (t.type != BENCODE_ERROR && (t.type == BENCODE_DONE || r->depth < depth)) {
      r->at = t.offset;
      r->fault = "no value here";
    }
    if (r->fault != NULL) {
      return false;
    }
  } while (r->depth > depth);
  if (raw != NULL) {
    *raw = slice_of(r->input.ptr + begin_at, r->at - begin_at);
  }
  return true;
}
