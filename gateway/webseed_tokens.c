#include "gateway/webseed_tokens.h"

#include <openssl/sha.h>
#include <stdlib.h>

/* A token that was verified; hash and claims of one that is none are zero. */
struct known {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  uint64_t generation; /* of the keyring */
  int64_t until;       /* from then on it is verified anew, which knows the leeway */
  struct webseed_grant grant;
  char *text; /* of the grant */
};

struct webseed_tokens {
  struct known known[WEBSEED_TOKENS_MAX];
};

struct webseed_tokens *webseed_tokens_new(void) {
  return calloc(1, sizeof(struct webseed_tokens));
}

void webseed_tokens_free(struct webseed_tokens *tokens) {
  if (tokens != NULL) {
    for (size_t i = 0; i < WEBSEED_TOKENS_MAX; i++) {
      free(tokens->known[i].text);
    }
    free(tokens);
  }
}

static struct slice put(char **at, struct slice s) {
  char *text = *at;
  memcpy(text, s.ptr, s.len);
  text[s.len] = '\0';
  *at += s.len + 1;
  return slice_of(text, s.len);
}

/* Without memory it is not remembered, which is no harm. */
static void keep(struct known *known, const unsigned char *hash, uint64_t generation,
                 const struct token *token, const struct webseed_grant *grant) {
  char *text = malloc(grant->registry.len + grant->repository.len + grant->digest.len + 3);
  free(known->text);
  *known = (struct known){.text = text};
  if (text != NULL) {
    memcpy(known->hash, hash, sizeof known->hash);
    known->generation = generation;
    known->until = token->key_expires != 0 && token->key_expires < token->expires
                       ? token->key_expires
                       : token->expires;
    known->grant = *grant;
    known->grant.registry = put(&text, grant->registry);
    known->grant.repository = put(&text, grant->repository);
    known->grant.digest = put(&text, grant->digest);
  }
}

static bool lend(const struct webseed_grant *grant, struct arena *arena, struct webseed_grant *out,
                 struct error *why) {
  char *repository = arena_copy(arena, grant->repository);
  char *digest = arena_copy(arena, grant->digest);
  char *registry = arena_copy(arena, grant->registry);
  if (repository == NULL || digest == NULL || registry == NULL) {
    error_set(why, ERROR_FAILED, "out of memory");
    return false;
  }
  *out = *grant;
  out->registry.ptr = registry;
  out->repository.ptr = repository;
  out->digest.ptr = digest;
  return true;
}

bool webseed_tokens_check(struct webseed_tokens *tokens, struct keyring *keyring, struct slice jws,
                          int64_t now, struct arena *arena, struct webseed_grant *out,
                          struct error *why) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256((const unsigned char *)jws.ptr, jws.len, hash);
  struct known *known = &tokens->known[hash[0] % WEBSEED_TOKENS_MAX];
  /* Read before it is verified: keys that are replaced meanwhile have it verified once more. */
  uint64_t generation = keyring_generation(keyring);
  if (known->generation == generation && now < known->until &&
      memcmp(known->hash, hash, sizeof hash) == 0) {
    return lend(&known->grant, arena, out, why);
  }
  struct token token;
  if (keyring_verify(keyring, jws, TOKEN_WEBSEED, now, arena, &token, why) != TOKEN_VALID) {
    return false;
  }
  struct webseed_grant grant = {.registry = token.registry,
                                .repository = token.repository,
                                .digest = token.digest,
                                .issued = token.issued};
  revocation_names_of(&token, token.key_id, token.header_kid, &grant.names);
  grant.name = grant.names.jti;
  if (grant.name == 0) {
    memcpy(&grant.name, hash, sizeof grant.name);
  }
  keep(known, hash, generation, &token, &grant);
  return lend(&grant, arena, out, why);
}
