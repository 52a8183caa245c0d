/** The one question of a pull, put to a gateway: asked again while a blob of the image is still
 *  being hashed there. */
#pragma once

#include "image/registry.h"
#include "node/offer.h"

struct ask;

struct ask_options {
  uv_loop_t *loop;
  struct registry *gateway;  /**< made with the api "v1"; outlives the question */
  const char *repository;    /**< these are copied */
  const char *reference;     /**< a tag or a digest */
  const char *host;          /**< the registry's name, where the gateway has several */
  const char *platform;      /**< `os/arch[/variant]`, of an index; NULL: none is named */
  const char *authorization; /**< sent as it is, in place of our own credentials; NULL: those */
};

/** Told each time the gateway says that it is still hashing. \p size is 0 when it does not say of
 *  how many bytes. */
typedef void ask_waits(void *arg, uint64_t done, uint64_t size);

/**
 * Told once; the question is gone then.
 *
 * \param offer the receiver's, who frees it; NULL with \p e: ERROR_DENIED for a 401,
 * ERROR_NOT_FOUND for a 404, which is what somebody without a right sees as well; ERROR_MISMATCH
 * and ERROR_FAILED, also for whatever is answered by something that is no gateway.
 */
typedef void ask_done(void *arg, struct offer *offer, const struct error *e);

/** \return valid until \p done; NULL with \p e, and nothing is told then. */
struct ask *ask_start(const struct ask_options *options, ask_waits *waits, ask_done *done,
                      void *arg, struct error *e);
/** Nothing more is told. */
void ask_cancel(struct ask *ask);
