// LINKS auth base
/* Any bytes as a file of keys: what is taken has an algorithm and names, and comes back out of the
 * public JWKS that is written of it. */
#include "auth/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void check_key(const struct key *key) {
  char *thumbprint = key_thumbprint(key), *libtrust = key_libtrust_id(key);
  check(key_algorithm_of(slice_str(key_algorithm_name(key->algorithm))) == key->algorithm);
  check(strlen(thumbprint) == 43 && strlen(libtrust) == 59);
  free(thumbprint);
  free(libtrust);
}

/* Through a file without a name. */
static void check_jwks(const struct keyset *set, const uint8_t *data, size_t size) {
  char path[32];
  const char *const paths[] = {path};
  struct buf text = {0};
  struct keyset again;
  int fd = memfd_create("keys", 0);
  check(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, data, size) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  check(key_jwks(paths, 1, &text, NULL) == 0);
  check(keyset_parse(buf_view(&text), "again", &again, NULL) == 0);
  check(again.named && again.count == set->count);
  for (size_t i = 0; i < set->count; i++) {
    char *a = key_thumbprint(&set->keys[i]), *b = key_thumbprint(&again.keys[i]);
    check(strcmp(a, b) == 0);
    check(set->keys[i].expires == again.keys[i].expires && set->keys[i].expires >= 0);
    check(set->keys[i].retired == again.keys[i].retired && set->keys[i].retired >= 0);
    free(a);
    free(b);
  }
  keyset_free(&again);
  buf_free(&text);
  close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice bytes = slice_of(data, size);
  struct keyset set;
  struct key key;
  struct error e = {0};
  check((keyset_parse(bytes, "keys", &set, &e) == 0) == (e.kind == ERROR_NONE));
  check((set.count > 0) == (e.kind == ERROR_NONE) && set.count <= KEYSET_MAX);
  /* OpenSSL finds a modulus that is not of two large primes by chance, or does not. */
  bool certain = set.count > 0;
  for (size_t i = 0; i < set.count; i++) {
    check_key(&set.keys[i]);
    certain = certain && set.keys[i].algorithm != KEY_RS256;
  }
  if (certain) {
    check_jwks(&set, data, size);
  }
  keyset_free(&set);
  if (key_parse_private(bytes, "key", &key, NULL) == 0) {
    check(key.has_private);
    check_key(&key);
    key_free(&key);
  }
  return 0;
}
