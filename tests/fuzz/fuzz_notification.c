// LINKS gateway image base
/* A registry's notification: what is read of it can be asked for, and is within the bound. */
#include "gateway/notification.h"

#include "base/repository.h"
#include "image/reference.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct error e = {0};
  size_t count = 0;
  const struct notification_event *all =
      notification_read(slice_of(data, size), &arena, &count, &e);
  if (all == NULL ? e.kind != ERROR_FAILED : count > NOTIFICATION_EVENTS_MAX) {
    abort();
  }
  for (size_t i = 0; all != NULL && i < count; i++) {
    if (!repository_name_valid(all[i].repository) || !image_digest_valid(all[i].digest)) {
      abort();
    }
  }
  arena_free(&arena);
  return 0;
}
