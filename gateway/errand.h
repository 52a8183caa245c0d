/**
 * What the gateway reads from a registry for all who ask: a blob to be hashed, a manifest. Who asks
 * for what is being read joins that errand, so that the registry sends it once; with the gateway's
 * own credentials, on threads off the loops. Nothing of how an errand failed is remembered.
 */
#pragma once

#include "gateway/gateway.h"

/** A size that is not known. */
#define ERRAND_SIZE_UNKNOWN UINT64_MAX

enum { ERRAND_THREADS_MAX = 2 };

/** One thing to be read. What its kind needs is kept in its state; the rest is read-only to it. */
struct errand {
  const char *registry; /**< the name */
  const char *repository;
  const char *digest;
  uint64_t size; /**< bytes, as who asked first knew them, or ERRAND_SIZE_UNKNOWN */
  void *context; /**< of the kind */
  void *state;   /**< zeroed at first */
};

/** A kind of errands. All is called on the thread of the errand, and may block it. */
struct errand_kind {
  const char *verb; /**< for the log: "cannot VERB DIGEST of …" */
  bool manifest;    /**< a manifest is read, not a blob */
  unsigned threads; /**< ERRAND_THREADS_MAX at most */
  unsigned at_once; /**< errands that a thread has under way */
  unsigned most;    /**< errands that wait or are under way; more are refused */
  unsigned wait_ms; /**< how long who asks waits for the end; 0: as long as it takes */
  size_t state_size;
  /** Whether there is nothing to be done, for it was done meanwhile. */
  bool (*is_done)(const struct errand *a);
  /** The registry says 200. \p size set to what it says, or ERRAND_SIZE_UNKNOWN. \return 0, or -1
   *  with \p e to give up. */
  int (*head)(struct errand *a, const struct registry_answer *answer, uint64_t *size,
              struct error *e);
  int (*data)(struct errand *a, struct slice bytes, struct error *e);
  /** All has come. \return 0 when it is done, or -1: ERROR_MISMATCH when the registry sent
   * something else, any other kind when it is the gateway that failed. */
  int (*finish)(struct errand *a, struct error *e);
  void (*clean)(struct errand *a); /**< however it ended, after all others */
};

/** All of it outlives the errands. */
struct errands_options {
  const struct errand_kind *kind;
  void *context;
  const struct gateway_registry *registries;
  size_t registry_count;
  const struct log *log;
  unsigned wait_ms; /**< in place of the kind's, unless 0: for tests */
};

/** The errands of a kind, of all loops. */
struct errands;

/** \return NULL with \p e: ERROR_USAGE for a registry whose URL cannot be read, ERROR_FAILED. */
struct errands *errands_new(const struct errands_options *options, struct error *e);
/** Gives up what is under way. When the loops that used it have ended. NULL is fine. */
void errands_free(struct errands *errands);

/** What is wanted; copied. */
struct errand_question {
  struct slice registry; /**< the name of one of the registries */
  struct slice repository;
  struct slice digest;
  uint64_t size; /**< as of struct errand */
};

enum errand_outcome {
  ERRAND_DONE,
  ERRAND_UNDER_WAY, /**< it takes longer than the wait, and goes on */
  ERRAND_REFUSED,   /**< the registry does not give it: ERROR_NOT_FOUND for a 404, ERROR_DENIED,
                         ERROR_MISMATCH for wrong bytes, ERROR_FAILED */
  ERRAND_FAILED,    /**< the gateway cannot */
};

struct errand_news {
  enum errand_outcome outcome;
  uint64_t done, size;   /**< of ERRAND_UNDER_WAY: bytes; the size may be ERRAND_SIZE_UNKNOWN */
  const struct error *e; /**< of the last two; valid while it is told */
};

/** Told once, from the loop. */
typedef void errand_told(void *arg, const struct errand_news *news);

/** Somebody who waits. */
struct errand_wait;

/**
 * Joins the errand, or starts it. Told from \p loop, never from within.
 *
 * \return the wait, valid until it is told or left; NULL with \p e, and nothing is told, when there
 * is too much to do already or no memory.
 */
struct errand_wait *errand_ask(struct errands *errands, uv_loop_t *loop,
                               const struct errand_question *question, errand_told *told, void *arg,
                               struct error *e);

/** Nothing is told any more; the errand goes on. NULL is fine. */
void errand_leave(struct errand_wait *wait);
