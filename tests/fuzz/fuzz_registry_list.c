// LINKS image base
/* A page of a registry's list, a Link, and an error's body: whatever comes, what is read of it is
 * within it. */
#include "image/registry_list.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct registry_list list = {0};
  struct error e = {0};
  struct slice bytes = slice_of(data, size);
  if (registry_list_add(&list, bytes, "tags", &e) != 0 && e.kind != ERROR_FAILED) {
    abort();
  }
  for (size_t i = 0; i < list.count; i++) {
    if (strlen(list.names[i]) > size) {
      abort();
    }
  }
  registry_list_free(&list);
  struct slice target = registry_list_next(bytes);
  const char *begin = (const char *)data;
  if (target.ptr != NULL &&
      (target.ptr <= begin || target.len + 2 > size || target.ptr + target.len >= begin + size ||
       memchr(target.ptr, '>', target.len) != NULL)) {
    abort();
  }
  registry_list_is_error(bytes);
  return 0;
}
