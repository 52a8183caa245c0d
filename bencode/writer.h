/**
 * A bencode writer (BEP 3) into memory of the caller's. It allocates nothing; running out of room
 * sticks until the end. What is written is canonical when keys are written in ascending order, each
 * before its value; the writer does not check that, bencode_next() does.
 */
#pragma once

#include "base/slice.h"

/** Embedded by its owner; made by bencode_writer(). */
struct bencode_writer {
  char *out;
  size_t cap;
  size_t len; /**< bytes written; when `full`, what would have been needed so far */
  bool full;  /**< it did not fit; nothing beyond cap was touched */
};

/** A writer to \p cap bytes at \p out; with (NULL, 0) it counts what will be needed. */
struct bencode_writer bencode_writer(void *out, size_t cap);

void bencode_write_integer(struct bencode_writer *w, int64_t value);
void bencode_write_string(struct bencode_writer *w, struct slice s);
/** Begins a string of \p len bytes that the caller appends by bencode_write_raw(). */
void bencode_write_string_head(struct bencode_writer *w, size_t len);
/** Bytes as they are: part of a string, or a value that is bencoded already. */
void bencode_write_raw(struct bencode_writer *w, struct slice bytes);
void bencode_write_dict(struct bencode_writer *w);
void bencode_write_list(struct bencode_writer *w);
/** Ends the innermost list or dictionary. */
void bencode_write_end(struct bencode_writer *w);
