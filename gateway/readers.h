/**
 * Who reads of the webseed at once: how many, and how fast all of them together and those with one
 * token may. Whoever wants to send asks for a turn, which is a slice of bytes; who has to wait for
 * one stands in a queue, behind all who asked before him, whichever loop they are of. So readers
 * who compete have equal shares, whatever they ask for and however fast they are. Shared by the
 * loops.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

/** When who was one too many may come again, seconds. */
enum { READERS_RETRY_S = 2 };

struct readers_options {
  uint64_t rate; /**< bytes a second of all together; 0: no bound; else RATE_MIN or more */
  uint64_t rate_per_token; /**< the same of those with one token */
  unsigned max;            /**< at once */
};

struct readers;
/** \return NULL when there is no memory. */
struct readers *readers_new(const struct readers_options *options);
/** When the loops that used it have ended. NULL is fine. */
void readers_free(struct readers *readers);

/** The readers of one loop. */
struct readers_loop;
/** \return NULL when it cannot be made. */
struct readers_loop *readers_loop_new(struct readers *readers, uv_loop_t *uv);
/** When none of its readers is left; freed from the loop. NULL is fine. */
void readers_loop_close(struct readers_loop *loop);

/** One answer under way, on its loop. */
struct reader;

/**
 * Counts one more.
 *
 * \param token names what the rate of a token is counted by.
 * \return NULL when there are as many as may be, or no memory.
 */
struct reader *reader_enter(struct readers_loop *loop, uint64_t token);
/** It has ended: nothing is called any more. NULL is fine. */
void reader_leave(struct reader *reader);

/** It is the reader's turn to send \p bytes. */
typedef void reader_called(void *arg, uint64_t bytes);

/**
 * Asks for a turn to send up to \p want bytes, more than 0; what is given counts as sent. Asked
 * again only after it was given.
 *
 * \param called unless it is given at once: called once from the loop, never from within.
 * \return how many bytes may be sent now; 0: \p called says it later.
 */
uint64_t reader_turn(struct reader *reader, uint64_t want, reader_called *called, void *arg);
