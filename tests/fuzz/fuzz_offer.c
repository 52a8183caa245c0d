// LINKS node image torrent base
/* A gateway's answer to a pull: what is taken keeps what offer_parse() promises. */
#include "image/reference.h"
#include "node/offer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct offer offer;
  if (offer_parse(slice_of(data, size), &offer, NULL) != 0) {
    return 0;
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < offer.blob_count; i++) {
    const struct offer_blob *b = &offer.blobs[i];
    sum += b->size;
    if (!image_digest_valid(slice_str(b->digest)) ||
        (b->size > 0 && (!b->metainfo.is_private || b->metainfo.size != b->size))) {
      abort();
    }
  }
  if (sum != offer.size || !image_digest_valid(slice_str(offer.digest))) {
    abort();
  }
  offer_free(&offer);
  return 0;
}
