// LINKS auth base PkgConfig::CRYPTO
/* Any bytes as a certificate signing request, and as the files of a CA: what is taken is a key of a
 * kind that is allowed, and a CA that knows its own certificate again. */
#include "auth/swarm_certificate.h"

#include <openssl/evp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

/* What a CA signs for the key is for it. */
static void sign(const struct swarm_ca *ca, EVP_PKEY *key) {
  static const struct slice name =
      SLICE("sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const struct swarm_order order = {.ca = ca,
                                    .pair = swarm_ca_find(ca, slice_of(NULL, 0)),
                                    .key = key,
                                    .names = &name,
                                    .count = 1,
                                    .now = INT64_C(1800000000)};
  struct swarm_certificate made;
  struct buf pem = {0};
  if (swarm_certificate_make(&order, &pem, &made, NULL) == 0) {
    check(made.expires > order.now && made.expires <= order.now + swarm_ca_ttl(ca));
  }
  buf_free(&pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice bytes = slice_of(data, size);
  EVP_PKEY *key = NULL;
  struct swarm_ca *ca = NULL;
  if (swarm_csr_read(bytes, &key, NULL) == 0) {
    check(swarm_ca_takes_key(key));
  }
  if (swarm_ca_parse(bytes, "certificates", bytes, "keys", 900, INT64_C(1800000000), &ca, NULL) ==
      0) {
    const struct swarm_ca_pair *first = swarm_ca_find(ca, swarm_ca_certificate(ca));
    check(first != NULL && first == swarm_ca_find(ca, slice_of(NULL, 0)));
    check(swarm_ca_takes_key(first->key));
    if (key != NULL) {
      sign(ca, key);
    }
  }
  EVP_PKEY_free(key);
  swarm_ca_release(ca);
  return 0;
}
