/** The one error type: what failed, on what, why, and what to do where that is known. */
#pragma once

/** What kind of failure it is. The values are the exit codes of the programs (contract, Programs).
 */
enum error_kind {
  ERROR_NONE = 0,
  ERROR_FAILED = 1,    /**< it did not work: I/O, network, memory, a foreign bug */
  ERROR_USAGE = 2,     /**< wrong arguments or configuration */
  ERROR_DENIED = 3,    /**< not authorised: a 401, a token that does not verify */
  ERROR_NOT_FOUND = 4, /**< it does not exist, or is hidden from the caller */
  ERROR_MISMATCH = 5,  /**< data did not match its digest */
};

enum { ERROR_TEXT_MAX = 1024 };

/**
 * Lives where the caller puts it, usually on the stack, and owns nothing. `struct error e = {0};`
 * is "no error". Every function that takes one also takes NULL, and writes to it only when it
 * fails.
 */
struct error {
  enum error_kind kind;
  char text[ERROR_TEXT_MAX]; /**< one line, UTF-8, cut at the end when it does not fit */
};

/**
 * Sets kind and message. Control characters in what the format makes, which may come from outside,
 * become `?`, so that an error stays one line. Secrets and tokens must not be passed in.
 *
 * \return always -1, so that a function can `return error_set(…)`.
 */
int error_set(struct error *e, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** As error_set() of ERROR_FAILED, followed by `: ` and the text of the errno value \p number. */
int error_errno(struct error *e, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Puts context in front of an error on its way up: `context: text`. The kind stays.
 *
 * \return always -1.
 */
int error_context(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
