/**
 * A bencode reader (BEP 3) over bytes at hand. It allocates nothing and never recurses: the caller
 * asks for the next token. Strict: it takes canonical bencode alone, in which a value has but one
 * encoding. Integers and lengths have no leading zeros, there is no `-0`, keys of a dictionary
 * ascend and are not doubled, a string's length lies within the input, depth is bounded.
 */
#pragma once

#include "base/slice.h"

enum { BENCODE_DEPTH_MAX = 32 }; /**< lists and dictionaries within each other */

enum bencode_type {
  BENCODE_ERROR, /**< not bencode; every further call says so again */
  BENCODE_INTEGER,
  BENCODE_STRING,
  BENCODE_LIST, /**< a list begins; tokens until its BENCODE_END */
  BENCODE_DICT, /**< a dictionary begins: string keys and values in turn until its BENCODE_END */
  BENCODE_END,
  BENCODE_DONE, /**< the one outermost value is complete, and nothing follows it */
};

struct bencode_token {
  enum bencode_type type;
  int64_t integer;     /**< of BENCODE_INTEGER */
  struct slice string; /**< of BENCODE_STRING; points into the input */
  size_t offset;       /**< where it begins in the input; of BENCODE_ERROR, where the fault is */
};

/** Embedded by its owner; made by bencode_reader(). */
struct bencode_reader {
  struct slice input;
  size_t at;         /**< bytes read */
  unsigned depth;    /**< lists and dictionaries open */
  bool done;         /**< the outermost value is complete */
  const char *fault; /**< after BENCODE_ERROR: what is wrong, a constant text; else NULL */
  struct {
    bool dict;
    bool want_value;  /**< a key was read, its value was not */
    struct slice key; /**< the last key, to see that they ascend; NULL before the first */
  } level[BENCODE_DEPTH_MAX];
};

/** A reader at the beginning of \p input, which must outlive it and what it gives out. */
struct bencode_reader bencode_reader(struct slice input);

struct bencode_token bencode_next(struct bencode_reader *r);

/**
 * Reads one whole value of any kind, and all that is in it, without handing it out.
 *
 * \param raw set to its very bytes, as the hash of an info dictionary needs them; may be NULL.
 * \return false on a fault; that a list, a dictionary or the input ends here is one.
 */
bool bencode_skip(struct bencode_reader *r, struct slice *raw);
