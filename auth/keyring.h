/**
 * What a running server trusts and signs with. Threads hold the state in force while they verify or
 * sign by it; it is replaced whole, and the old one is freed when its last holder lets go of it.
 */
#pragma once

#include "auth/token.h"

#include <stdatomic.h>

/** A key that signs, and as whom. */
struct keyring_signer {
  struct key key; /**< no `pkey`: nothing is signed here */
  char *issuer;   /**< `iss` of what it signs */
  char *audience; /**< `aud` of the same */
};

/** All of it at one time. Made by keyring_state_new(), filled in, and then given to a keyring: from
 *  there on immutable. */
struct keyring_state {
  struct trust trust;            /**< every issuer; the rows of our own keys say so */
  struct keyring_signer swarm;   /**< swarm and webseed tokens */
  struct keyring_signer service; /**< registry tokens of the token service */
  uint64_t generation;           /**< from 1; grows with each replacement */
  atomic_uint holders;
};

struct keyring;

/** An empty state, or NULL when there is no memory. */
struct keyring_state *keyring_state_new(void);
/** Of one that no keyring has taken over. NULL is fine. */
void keyring_state_free(struct keyring_state *state);

/** Takes \p state over. \return NULL when there is no memory, and \p state is the caller's still.
 */
struct keyring *keyring_new(struct keyring_state *state);
/** When nobody holds its state any more. NULL is fine. */
void keyring_free(struct keyring *keyring);

/**
 * Puts \p fresh in force, and takes it over. One of our own keys that was in force here until now
 * counts as retired now, however long ago it was rotated: what this process has signed with it
 * meanwhile stays good.
 *
 * \param now NumericDate.
 */
void keyring_replace(struct keyring *keyring, struct keyring_state *fresh, int64_t now);

/**
 * keyring_replace() by a state that was read anew: its rows whose keys are fetched get those that
 * are in force by then of the same URL.
 *
 * \return 0, or -1 with ERROR_FAILED when there is no memory: \p fresh is the caller's still.
 */
int keyring_reload(struct keyring *keyring, struct keyring_state *fresh, int64_t now,
                   struct error *e);

/**
 * Puts keys in force that were fetched from \p url, in every row of that source; all else stays as
 * it is. Where they are those that are in force nothing changes.
 *
 * \param keys copied.
 * \param now NumericDate.
 * \param changed set to whether they are others, unless it fails.
 * \return 0, or -1 with ERROR_FAILED when there is no memory.
 */
int keyring_replace_fetched(struct keyring *keyring, const char *url, const struct keyset *keys,
                            int64_t now, bool *changed, struct error *e);

/** The state in force, to be read only, and held for as long as a token is verified or signed, then
 *  released. */
struct keyring_state *keyring_hold(struct keyring *keyring);
void keyring_release(struct keyring_state *state);

/** Of the state in force; takes no lock. */
uint64_t keyring_generation(const struct keyring *keyring);

/** token_verify() by the state in force; all of \p out lives in \p arena. */
enum token_verdict keyring_verify(struct keyring *keyring, struct slice jws, unsigned kinds,
                                  int64_t now, struct arena *arena, struct token *out,
                                  struct error *why);

/** Whether there is a key for tokens of that kind. */
bool keyring_signs(struct keyring *keyring, enum token_kind kind);

/**
 * token_sign() by the key for its kind, which gives `iss` and `aud` too: those of \p t are not
 * looked at.
 *
 * \return 0, or -1 as token_sign(); ERROR_FAILED when there is no key for its kind.
 */
int keyring_sign(struct keyring *keyring, const struct token *t, struct buf *out, struct error *e);

/**
 * Writes the public JWKS (RFC 7517) of our own keys: those that sign, those that will, and those
 * that have signed until their `exp`. Each has the `kid` that tokens name it by.
 *
 * \param now NumericDate.
 * \return 0, or -1 with ERROR_FAILED when there is no memory.
 */
int keyring_jwks(struct keyring *keyring, int64_t now, struct buf *out, struct error *e);

/** Among the keys of rows that are our own, the one that is this; NULL: none. */
const struct key *keyring_find_own(const struct trust *trust, const struct key *key);

/** Where \p keys repeat one of our own that has retired, it is so there too. */
void keyring_retire_own(const struct trust *trust, struct keyset *keys);
