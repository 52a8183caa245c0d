/** The head of an answer, taken line by line as libcurl hands it out. Pure. */
#pragma once

#include "base/arena.h"
#include "http/client.h"

/** Embedded; zeroed is empty. */
struct http_fetch_answer {
  int status;
  struct http_field *fields; /**< room for HTTP_ANSWER_FIELDS_MAX, in the arena */
  size_t count;
  size_t bytes; /**< of all lines so far */
  struct arena arena;
};

/**
 * Takes a line with its end: a status line, which forgets those before, a field or the empty line.
 *
 * \return NULL, or why it cannot be taken, which is a string that stays.
 */
const char *fetch_answer_line(struct http_fetch_answer *a, struct slice line);

/** As fetch_answer_line() for what comes behind the body: counted, and left out. */
const char *fetch_answer_trailer(struct http_fetch_answer *a, struct slice line);
