/** A loopback HTTP server that says byte for byte what it is told, also what no server should. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

enum script_then {
  SCRIPT_KEEP,  /**< the next request is read from the same connection */
  SCRIPT_CLOSE, /**< the connection is closed */
  SCRIPT_HOLD,  /**< nothing more ever comes */
};

/** One answer. Strings outlive the server. */
struct script_answer {
  const char *request; /**< what a request begins with; NULL: any */
  const char *with;    /**< what it must hold as well; NULL: anything */
  const char *reply;   /**< sent as it is */
  size_t body;         /**< followed by so many bytes, the i-th being `i % 251` */
  enum script_then then;
  unsigned times; /**< how often it may be given; 0: always */
};

struct script;

/** Listens on a free port of 127.0.0.1. The first answer that fits is given; without one the
 * connection is closed. \p answers is copied. */
struct script *script_start(uv_loop_t *loop, const struct script_answer *answers, size_t count);

unsigned script_port(const struct script *script);
/** All requests so far, one after the other, heads and bodies. */
const char *script_requests(const struct script *script);
/** How many requests began with \p request. */
unsigned script_count(const struct script *script, const char *request);
/** Bytes of bodies that the kernel has taken. */
size_t script_sent(const struct script *script);

/** Closes everything; the server is freed once the loop has run. */
void script_stop(struct script *script);
