// LINKS image base
#include "image/challenge.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What was read is inside what was there: a field ends, and a string is no longer than it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct slice rest = slice_of(data, size);
  struct challenge c;
  size_t left = size;
  while (challenge_next(&rest, &arena, &c)) {
    if (rest.len >= left || c.realm.len > size || c.service.len > size || c.scope.len > size ||
        c.error.len > size) {
      abort();
    }
    left = rest.len;
  }
  arena_free(&arena);
  return 0;
}
