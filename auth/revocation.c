/* The older interface of OpenSSL, deprecated since 3.0, keeps a hash's context on the stack: it
 * costs no allocation, and cannot fail for want of one. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "auth/revocation.h"

#include "base/hex.h"

#include <openssl/sha.h>
#include <stdlib.h>

enum { V1_DIGITS = 40, V2_DIGITS = 64 };

static const char *const names[] = {[REVOCATION_JTI] = "jti",
                                    [REVOCATION_SUB] = "sub",
                                    [REVOCATION_REPOSITORY] = "repository",
                                    [REVOCATION_INFOHASH] = "infohash",
                                    [REVOCATION_KID] = "kid"};

const char *revocation_kind_name(enum revocation_kind kind) {
  return names[kind];
}

static void hash_parts(const struct slice *parts, size_t count,
                       unsigned char hash[SHA256_DIGEST_LENGTH]) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (size_t i = 0; i < count; i++) {
    SHA256_Update(&context, parts[i].ptr, parts[i].len);
  }
  SHA256_Final(hash, &context);
}

static int reserve(struct revocation_list *list, size_t more, struct error *e) {
  if (list->capacity - list->count >= more) {
    return 0;
  }
  size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
  struct revocation *grown = realloc(list->items, capacity * sizeof *grown);
  if (grown == NULL) {
    return error_set(e, ERROR_FAILED, "cannot list %zu revocations: out of memory",
                     list->count + more);
  }
  list->items = grown;
  list->capacity = capacity;
  return 0;
}

int revocation_list_add_hash(struct revocation_list *list, const struct revocation *revocation,
                             struct error *e) {
  if (reserve(list, 1, e) != 0) {
    return -1;
  }
  list->items[list->count++] = *revocation;
  return 0;
}

static void add_value(struct revocation_list *list, const struct revocation *like,
                      struct slice value) {
  struct revocation *added = &list->items[list->count++];
  *added = *like;
  hash_parts(&value, 1, added->hash);
}

int revocation_list_add(struct revocation_list *list, const struct revocation *like,
                        struct slice value, struct error *e) {
  bool cut = like->kind == REVOCATION_INFOHASH && value.len == V2_DIGITS;
  if (reserve(list, cut ? 2 : 1, e) != 0) {
    return -1;
  }
  add_value(list, like, value);
  if (cut) {
    add_value(list, like, slice_of(value.ptr, V1_DIGITS));
  }
  return 0;
}

void revocation_list_free(struct revocation_list *list) {
  free(list->items);
  *list = (struct revocation_list){0};
}

static uint64_t name_of(const struct slice *parts, size_t count) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  uint64_t name;
  hash_parts(parts, count, hash);
  memcpy(&name, hash, sizeof name);
  return name;
}

uint64_t revocation_name(struct slice value) {
  return name_of(&value, 1);
}

uint64_t revocation_name_in(struct slice registry, struct slice rest) {
  const struct slice parts[] = {registry, SLICE("/"), rest};
  return name_of(parts, sizeof parts / sizeof *parts);
}

uint64_t revocation_name_infohash(const unsigned char infohash[20]) {
  char hex[V1_DIGITS + 1];
  hex_encode(infohash, V1_DIGITS / 2, hex);
  return revocation_name(slice_of(hex, V1_DIGITS));
}

static uint64_t name_unless_empty(struct slice value) {
  return value.len == 0 ? 0 : revocation_name(value);
}

void revocation_names_of(const struct token *token, struct slice kid, struct slice header_kid,
                         struct revocation_names *out) {
  bool foreign = token->kind == TOKEN_REGISTRY && token->registry.len > 0;
  bool placed = token->registry.len > 0 && token->repository.len > 0;
  *out = (struct revocation_names){
      .jti = name_unless_empty(token->id),
      .sub = foreign ? revocation_name_in(token->registry, token->subject)
                     : name_unless_empty(token->subject),
      .repository = placed ? revocation_name_in(token->registry, token->repository) : 0,
      .kid = name_unless_empty(kid),
      .header_kid = name_unless_empty(header_kid)};
}
