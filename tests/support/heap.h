/**
 * Allocations that fail when a test wants them to. A test that links `heap` has the linker put it
 * before malloc(), aligned_alloc(), calloc(), realloc(), free(), strdup() and strndup() of all that
 * is linked statically: the code under test, not the libraries it uses.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * Has OpenSSL's allocations counted, and failed by heap_exhaust_openssl(), too; to be called in
 * main(), before anything uses it. They are no part of heap_live(), for it keeps some for later.
 */
void heap_watch_openssl(void);

/** Which allocations fail from now on. */
enum heap_failure {
  HEAP_NONE,
  HEAP_ONE,  /**< the nth, counted from 0 */
  HEAP_REST, /**< it and all that follow */
};
void heap_fail(enum heap_failure failure, size_t nth);

size_t heap_allocations(void); /**< tried since the last heap_fail() */
bool heap_failed(void);        /**< whether any has failed since then */
size_t heap_live(void);        /**< blocks that are not freed */

/**
 * Runs an operation again and again, with each of its allocations failing in turn, alone and with
 * all that follow it, until none fails any more. Asserts that it says why it fails, or passes in
 * spite of it, and never leaves a block behind. The error is ERROR_FAILED.
 *
 * \param run returns 0, having checked the outcome, or -1.
 */
void heap_exhaust(int (*run)(void *arg, struct error *e), void *arg);

/** The same with OpenSSL's allocations alone, of any kind of error: it does not always tell. */
void heap_exhaust_openssl(int (*run)(void *arg, struct error *e), void *arg);
