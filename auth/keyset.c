#include "auth/keyset.h"

#include <openssl/evp.h>
#include <stdlib.h>

static bool copy_text(const char *text, char **out) {
  *out = text == NULL ? NULL : strdup(text);
  return text == NULL || *out != NULL;
}

int key_copy(const struct key *key, struct key *out, struct error *e) {
  *out = *key;
  out->kid = out->thumbprint = NULL;
  if (key->pkey != NULL) {
    EVP_PKEY_up_ref(key->pkey);
  }
  if (!copy_text(key->kid, &out->kid) || !copy_text(key->thumbprint, &out->thumbprint)) {
    key_free(out);
    return error_set(e, ERROR_FAILED, "cannot copy a key: out of memory");
  }
  return 0;
}

int keyset_copy(const struct keyset *set, struct keyset *out, struct error *e) {
  *out = (struct keyset){.keys = calloc(set->count + 1, sizeof *out->keys), .named = set->named};
  if (out->keys == NULL) {
    return error_set(e, ERROR_FAILED, "cannot copy keys: out of memory");
  }
  for (; out->count < set->count; out->count++) {
    if (key_copy(&set->keys[out->count], &out->keys[out->count], e) != 0) {
      keyset_free(out);
      return -1;
    }
  }
  return 0;
}

static bool same_text(const char *a, const char *b) {
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_key(const struct key *a, const struct key *b) {
  return a->algorithm == b->algorithm && a->expires == b->expires && a->retired == b->retired &&
         same_text(a->kid, b->kid) && EVP_PKEY_eq(a->pkey, b->pkey) == 1;
}

bool keyset_equal(const struct keyset *a, const struct keyset *b) {
  bool same = a->count == b->count && a->named == b->named;
  for (size_t i = 0; same && i < a->count; i++) {
    same = same_key(&a->keys[i], &b->keys[i]);
  }
  return same;
}
