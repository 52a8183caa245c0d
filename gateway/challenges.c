#include "gateway/challenges.h"

#include "base/buf.h"
#include "image/challenge.h"

#include <stdlib.h>

struct entry {
  char *repository; /* NULL: none */
  char *challenge;
  uint64_t until;
};

struct challenges {
  struct entry entries[CHALLENGES_MAX];
  size_t oldest;
};

struct challenges *challenges_new(void) {
  return calloc(1, sizeof(struct challenges));
}

static void forget(struct entry *entry) {
  free(entry->repository);
  free(entry->challenge);
  *entry = (struct entry){0};
}

void challenges_free(struct challenges *challenges) {
  for (size_t i = 0; challenges != NULL && i < CHALLENGES_MAX; i++) {
    forget(&challenges->entries[i]);
  }
  free(challenges);
}

/* The place of that repository, or CHALLENGES_MAX. */
static size_t find(const struct challenges *challenges, struct slice repository) {
  size_t i = 0;
  while (i < CHALLENGES_MAX &&
         !slice_equal(slice_str(challenges->entries[i].repository), repository)) {
    i++;
  }
  return i;
}

struct slice challenges_find(const struct challenges *challenges, struct slice repository,
                             uint64_t now) {
  size_t i = find(challenges, repository);
  return i < CHALLENGES_MAX && now < challenges->entries[i].until
             ? slice_str(challenges->entries[i].challenge)
             : slice_of(NULL, 0);
}

void challenges_keep(struct challenges *challenges, struct slice repository, struct slice challenge,
                     uint64_t now) {
  size_t i = find(challenges, repository);
  if (challenge.len > CHALLENGES_BYTES_MAX) {
    return;
  }
  if (i == CHALLENGES_MAX) {
    i = challenges->oldest;
    challenges->oldest = (i + 1) % CHALLENGES_MAX;
  }
  struct entry *entry = &challenges->entries[i];
  forget(entry);
  *entry = (struct entry){
      .repository = strndup(repository.ptr, repository.len),
      .challenge = challenge.len == 0 ? strdup("") : strndup(challenge.ptr, challenge.len),
      .until = now + CHALLENGES_KEEP_MS,
  };
  if (entry->repository == NULL || entry->challenge == NULL) {
    forget(entry);
  }
}

/* A parameter with a quoted-string for a value (RFC 9110, 5.6.4). */
static void put_parameter(struct buf *out, const char *name, struct slice value) {
  if (value.ptr == NULL) {
    return;
  }
  buf_printf(out, "%s%s=\"", out->len == 0 ? "Bearer " : ",", name);
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] == '"' || value.ptr[i] == '\\') {
      buf_str(out, "\\");
    }
    buf_append(out, &value.ptr[i], 1);
  }
  buf_str(out, "\"");
}

struct slice challenges_narrow(struct slice challenge, struct slice repository,
                               struct arena *arena) {
  struct challenge c;
  struct slice scope = arena_printf(arena, "repository:%.*s:pull", SLICE_ARG(repository));
  while (challenge_next(&challenge, arena, &c)) {
    if (c.scheme == CHALLENGE_BEARER && c.realm.len > 0 && scope.ptr != NULL) {
      struct buf text = {0};
      put_parameter(&text, "realm", c.realm);
      put_parameter(&text, "service", c.service);
      put_parameter(&text, "scope", scope);
      put_parameter(&text, "error", SLICE("insufficient_scope"));
      const char *copy = text.failed ? NULL : arena_copy(arena, buf_view(&text));
      struct slice result = slice_of(copy, copy == NULL ? 0 : text.len);
      buf_free(&text);
      return result;
    }
  }
  return slice_of(NULL, 0);
}
