/** A header field of a request or an answer (RFC 9110, section 5). */
#pragma once

#include "base/slice.h"

struct http_field {
  struct slice name;
  struct slice value; /**< without white space around */
};
