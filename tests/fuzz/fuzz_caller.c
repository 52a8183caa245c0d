// LINKS gateway auth db image torrent http base PkgConfig::UV PkgConfig::JANSSON
/* An Authorization field of anybody: the name that it gives is one line of UTF-8 within its bound,
 * and what is passed on to the registry is the very field or nothing. */
#include "gateway/caller.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice field = slice_of(data, size);
  struct arena arena = {0};
  struct caller caller;
  check(caller_read(field, SLICE("r.example"), &arena, &caller, NULL) == 0);
  check(caller.authorization.ptr != NULL);
  check(caller.authorization.len == 0 || slice_equal(caller.authorization, field));
  check(slice_starts(caller.subject, SLICE("r.example/")));
  struct slice name = slice_from(caller.subject, sizeof "r.example/" - 1);
  check(name.len <= CALLER_NAME_MAX && (name.len == 0 || caller.authorization.len > 0));
  for (struct slice rest = name; rest.len > 0; rest = slice_from(rest, 1)) {
    check(slice_control(rest) == 0);
  }
  json_t *text = json_stringn(name.len == 0 ? "" : name.ptr, name.len);
  check(text != NULL);
  json_decref(text);
  arena_free(&arena);
  return 0;
}
