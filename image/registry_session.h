/**
 * A registry asked one question after the other, each to its end, on a loop of its own. Blocking;
 * for tools.
 */
#pragma once

#include "image/registry.h"
#include "image/registry_list.h"
#include "image/source.h"

struct registry_session;

/** \return NULL with \p e, as registry_new(). */
struct registry_session *registry_session_new(const struct registry_options *options,
                                              struct error *e);
/** NULL is fine. */
void registry_session_free(struct registry_session *session);

/** As registry_answered(). */
bool registry_session_answered(const struct registry_session *session);

/** How a question was answered; strings in the arena that was given. */
struct registry_reply {
  int status;
  bool redirected, elsewhere; /**< as of struct registry_answer */
  const char *media_type;     /**< of a 200; NULL where absent */
  const char *digest;         /**< likewise; valid by image_digest_valid() */
  const char *next;           /**< where the next page of a list is, or NULL */
  bool is_error;              /**< the body is an error as registries write them */
};

/**
 * Asks, and waits for the end of the answer.
 *
 * \param size what the answer should have, or IMAGE_SIZE_UNKNOWN.
 * \param sink given the body of a 200; may be NULL for a HEAD.
 * \return 0 when there was an answer, whatever its status, or -1: as registry_start(), and as
 * `done` of struct registry_events; ERROR_MISMATCH when a 200 says it has another size; the sink's
 * own error.
 */
int registry_session_ask(struct registry_session *session, const struct registry_get *get,
                         uint64_t size, image_sink *sink, void *arg, struct arena *arena,
                         struct registry_reply *out, struct error *e);

/**
 * Reads a list to its last page: the repository's tags, or where \p repository is NULL the
 * registry's repositories.
 *
 * \param out added to.
 * \param reply of the last page that was asked for; \p out is whole only when its status is 200.
 * \return 0, or -1 as registry_session_ask(), and ERROR_FAILED for what is no list or too long.
 */
int registry_session_list(struct registry_session *session, const char *repository,
                          struct registry_list *out, struct arena *arena,
                          struct registry_reply *reply, struct error *e);
