/**
 * Delegated authorisation: the registry is asked with the caller's own credentials whether the
 * caller may read this very blob or manifest in this very repository. The registry alone decides
 * (contract, Gateway).
 */
#pragma once

#include "image/registry.h"

enum delegate_verdict {
  DELEGATE_UNCLEAR, /**< no answer, or one that is no decision; what is zeroed is no yes */
  DELEGATE_YES,
  DELEGATE_YES_IF_SIZE, /**< yes, if the blob is known to be of the size that the answer carries */
  DELEGATE_CHALLENGE,   /**< it wants credentials, or others */
  DELEGATE_HIDDEN,      /**< no right, or no such blob: the two are not told apart */
};

struct delegate_answer {
  enum delegate_verdict verdict;
  int status;             /**< the registry's; 0 when it gave none */
  struct slice challenge; /**< its `WWW-Authenticate`, or empty */
  uint64_t size;          /**< of DELEGATE_YES_IF_SIZE */
  bool revoked;           /**< of DELEGATE_HIDDEN: the caller is, and the registry said yes */
  struct slice digest;    /**< of DELEGATE_YES: what it is about, which a tag does not say */
};

/**
 * What the registry's final answer to HEAD for \p reference means, a digest, or a manifest's tag,
 * for which only a digest is a yes. Pure; slices are those of \p a.
 */
struct delegate_answer delegate_judge(const struct registry_answer *a, struct slice reference);

struct delegate;

/** Told once, from the loop. \p answer and \p e are valid during the call; \p e says why it is
 *  DELEGATE_UNCLEAR when no answer came, else it is NULL. */
typedef void delegate_told(void *arg, const struct delegate_answer *answer, const struct error *e);

struct delegate_question {
  const char *repository;
  const char *digest;         /**< of a manifest, a tag as well */
  bool manifest;              /**< it is a manifest's, not a blob's */
  struct slice authorization; /**< the caller's; empty, but its pointer not NULL, to ask without; a
                                   NULL pointer to ask with the gateway's own credentials */
};

/**
 * Asks. \p arena holds the question and must live until it is told or cancelled.
 *
 * \return NULL with \p e when it could not start; nothing is told then.
 */
struct delegate *delegate_ask(struct registry *registry, const struct delegate_question *question,
                              struct arena *arena, delegate_told *told, void *arg, struct error *e);

/** Nothing is told any more. */
void delegate_cancel(struct delegate *delegate);
