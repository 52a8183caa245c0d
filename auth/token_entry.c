#include "auth/token_entry.h"

#include <stdlib.h>

enum { INFOHASH = 20 };

/* What an entry was found to be by a set of revocations, in the low bits of `standing`; the others
 * are the set's generation. */
enum {
  STANDING_REVOKED = 1,    /* the token is */
  STANDING_REPOSITORY = 2, /* of a registry token's repositories, some are */
  STANDING_INFOHASH = 4,   /* of its infohashes, some are; any are, of a registry token's */
  STANDING_BITS = 3,
};

void token_entry_hold(struct token_entry *entry) {
  atomic_fetch_add(&entry->references, 1);
}

void token_entry_release(struct token_entry *entry) {
  if (atomic_fetch_sub(&entry->references, 1) == 1) {
    free(entry);
  }
}

bool token_entry_expired(const struct token_entry *entry, int64_t now) {
  return entry->expires + entry->leeway <= now;
}

static char *put_text(char *at, struct slice text) {
  if (text.len > 0) {
    memcpy(at, text.ptr, text.len);
  }
  at[text.len] = '\0';
  return at + text.len + 1;
}

struct token_entry *token_entry_new(const struct token *token, const struct keyring_state *by,
                                    const unsigned char hash[TOKEN_ENTRY_HASH]) {
  size_t size = token->infohash_count * INFOHASH + token->registry.len + 1;
  for (size_t i = 0; i < token->access_count; i++) {
    size += token->access[i].repository.len + 1;
  }
  struct token_entry *entry = malloc(sizeof *entry + size);
  if (entry == NULL) {
    return NULL;
  }
  *entry = (struct token_entry){.generation = by->generation,
                                .key_expires = token->key_expires,
                                .leeway = by->trust.leeway,
                                .expires = token->expires,
                                .issued = token->issued,
                                .session = token->session,
                                .references = 1,
                                .kind = (uint16_t)token->kind};
  memcpy(entry->hash, hash, sizeof entry->hash);
  revocation_names_of(token, token->key_id, token->header_kid, &entry->names);
  if (token->kind == TOKEN_REGISTRY) {
    entry->count = (uint16_t)token->access_count;
    char *at = put_text(entry->bytes, token->registry);
    for (size_t i = 0; i < token->access_count; i++) {
      at = put_text(at, token->access[i].repository);
    }
  } else {
    entry->count = (uint16_t)token->infohash_count;
    for (size_t i = 0; i < token->infohash_count; i++) {
      memcpy(entry->bytes + i * INFOHASH, token->infohashes[i].bytes, INFOHASH);
    }
  }
  return entry;
}

/* A registry token's registry, or the repository behind \p before, of which there are `count`. */
static struct slice text_behind(const struct token_entry *entry, struct slice before) {
  return slice_str(before.ptr == NULL ? entry->bytes : before.ptr + before.len + 1);
}

static bool is_repository_revoked(const struct token_entry *entry, const struct revocation_set *set,
                                  struct slice registry, struct slice repository) {
  return revocation_set_refuses_name(set, REVOCATION_REPOSITORY,
                                     revocation_name_in(registry, repository), entry->issued);
}

static bool is_infohash_revoked(const struct token_entry *entry, const struct revocation_set *set,
                                const unsigned char *infohash) {
  return revocation_set_refuses_infohash(set, infohash, entry->issued);
}

static unsigned judge_repositories(const struct token_entry *entry,
                                   const struct revocation_set *set) {
  struct slice registry = text_behind(entry, slice_of(NULL, 0)), at = registry;
  for (size_t i = 0; i < entry->count && revocation_set_has(set, REVOCATION_REPOSITORY); i++) {
    at = text_behind(entry, at);
    if (is_repository_revoked(entry, set, registry, at)) {
      return STANDING_REPOSITORY;
    }
  }
  return 0;
}

static unsigned judge_infohashes(const struct token_entry *entry,
                                 const struct revocation_set *set) {
  if (!revocation_set_has(set, REVOCATION_INFOHASH) || entry->kind == TOKEN_REGISTRY) {
    return revocation_set_has(set, REVOCATION_INFOHASH) ? STANDING_INFOHASH : 0;
  }
  for (size_t i = 0; i < entry->count; i++) {
    if (is_infohash_revoked(entry, set, (const unsigned char *)entry->bytes + i * INFOHASH)) {
      return STANDING_INFOHASH;
    }
  }
  return 0;
}

/* What the entry is by the revocations in force. */
static unsigned standing_of(struct revocations *revocations, struct token_entry *entry) {
  if (revocations == NULL) {
    return 0;
  }
  uint64_t standing = atomic_load_explicit(&entry->standing, memory_order_relaxed);
  if (standing >> STANDING_BITS != revocations_generation(revocations)) {
    uint64_t generation;
    const struct revocation_set *set = revocations_hold(revocations, &generation);
    standing = generation << STANDING_BITS;
    if (revocation_set_refuses(set, &entry->names, entry->issued) != 0) {
      standing |= STANDING_REVOKED;
    }
    standing |= judge_infohashes(entry, set);
    if (entry->kind == TOKEN_REGISTRY) {
      standing |= judge_repositories(entry, set);
    }
    revocations_release(revocations);
    atomic_store_explicit(&entry->standing, standing, memory_order_relaxed);
  }
  return (unsigned)standing & ((1u << STANDING_BITS) - 1);
}

/* For what is seldom: some are revoked, but is it this one? */
static bool is_withheld(struct revocations *revocations, const struct token_entry *entry,
                        const unsigned char *infohash) {
  const struct revocation_set *set = revocations_hold(revocations, NULL);
  bool revoked = is_infohash_revoked(entry, set, infohash);
  revocations_release(revocations);
  return revoked;
}

static bool is_repository_withheld(struct revocations *revocations, const struct token_entry *entry,
                                   struct slice registry, struct slice repository) {
  const struct revocation_set *set = revocations_hold(revocations, NULL);
  bool revoked = is_repository_revoked(entry, set, registry, repository);
  revocations_release(revocations);
  return revoked;
}

static bool registry_covers(struct revocations *revocations, const struct token_entry *entry,
                            unsigned standing, const struct token_question *question,
                            const unsigned char *infohash, bool *withheld) {
  struct slice registry = text_behind(entry, slice_of(NULL, 0)), at = registry;
  for (size_t i = 0; i < entry->count && question->registered != NULL; i++) {
    at = text_behind(entry, at);
    if (question->registered(question->arg, registry, at, infohash)) {
      if ((standing & STANDING_REPOSITORY) == 0 ||
          !is_repository_withheld(revocations, entry, registry, at)) {
        return true;
      }
      *withheld = true;
    }
  }
  return false;
}

static bool covers_infohash(struct revocations *revocations, const struct token_entry *entry,
                            unsigned standing, const struct token_question *question,
                            const unsigned char *infohash, bool *withheld) {
  if (entry->kind == TOKEN_REGISTRY) {
    return registry_covers(revocations, entry, standing, question, infohash, withheld);
  }
  for (size_t i = 0; i < entry->count; i++) {
    if (memcmp(entry->bytes + i * INFOHASH, infohash, INFOHASH) == 0) {
      return true;
    }
  }
  return false;
}

enum token_verdict token_entry_answer(struct token_entry *entry, struct revocations *revocations,
                                      const struct token_question *question,
                                      struct token_grant *grant, bool *covers, struct error *why) {
  unsigned standing = standing_of(revocations, entry);
  if ((entry->kind & question->kinds) == 0) {
    error_set(why, ERROR_DENIED, "a token of this kind will not do here");
    return TOKEN_INVALID;
  }
  if ((standing & STANDING_REVOKED) != 0) {
    error_set(why, ERROR_DENIED, "revoked");
    return TOKEN_REVOKED;
  }
  *grant = (struct token_grant){.kind = (enum token_kind)entry->kind,
                                .expired = token_entry_expired(entry, question->now),
                                .expires = entry->expires,
                                .issued = entry->issued,
                                .session = entry->session};
  memcpy(grant->fingerprint, entry->hash, sizeof grant->fingerprint);
  for (size_t i = 0; i < question->count; i++) {
    const unsigned char *infohash = question->infohashes + i * INFOHASH;
    bool withheld = false;
    covers[i] = covers_infohash(revocations, entry, standing, question, infohash, &withheld);
    if (covers[i] && (standing & STANDING_INFOHASH) != 0 &&
        is_withheld(revocations, entry, infohash)) {
      covers[i] = false;
      withheld = true;
    }
    grant->withheld |= withheld && !covers[i];
  }
  if (grant->expired) {
    error_set(why, ERROR_DENIED, "expired");
  }
  return grant->expired ? TOKEN_EXPIRED : TOKEN_VALID;
}

bool token_entry_upholds(struct token_entry *entry, struct revocations *revocations,
                         const unsigned char infohash[INFOHASH]) {
  unsigned standing = standing_of(revocations, entry);
  return (standing & (STANDING_REVOKED | STANDING_REPOSITORY)) == 0 &&
         ((standing & STANDING_INFOHASH) == 0 || !is_withheld(revocations, entry, infohash));
}
