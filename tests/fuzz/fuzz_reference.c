// LINKS image base
/* A reference of any spelling: what is taken prints as something that is taken and means the same.
 */
#include "image/reference.h"

#include <stdlib.h>

static bool same(const char *a, const char *b) {
  return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static void check(const char *text, struct arena *arena) {
  struct image_reference r;
  struct image_reference again;
  struct error e = {0};
  if (image_reference_parse(text, arena, &r, &e) != 0) {
    return;
  }
  const char *printed = image_reference_print(&r, arena);
  /* The defaults spelt out may exceed the bound that the text just kept. */
  if (printed == NULL || strlen(printed) > IMAGE_REFERENCE_MAX) {
    return;
  }
  if (image_reference_parse(printed, arena, &again, &e) != 0 || r.transport != again.transport ||
      !same(r.host, again.host) || !same(r.repository, again.repository) ||
      !same(r.tag, again.tag) || !same(r.digest, again.digest) || !same(r.path, again.path)) {
    abort();
  }
  if (r.repository != NULL && !image_name_valid(slice_str(r.repository))) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  check(arena_copy(&arena, slice_of(data, size)), &arena);
  arena_free(&arena);
  return 0;
}
