/** The server as a whole: what a configuration names, loaded, run, reloaded and ended. */
#pragma once

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>

struct server;

/**
 * Reads the configuration and every file that it names, without running anything: what
 * --check-config does. Nothing is asked over the network, nor are keys fetched.
 *
 * \return freed by server_free(); NULL with \p e: ERROR_USAGE for what is wrong with a file,
 * ERROR_FAILED for no memory.
 */
struct server *server_load(const char *path, struct error *e);

/** Takes the addresses and starts the loops. \return 0, or -1 with \p e; to be stopped even then.
 */
int server_start(struct server *server, struct error *e);

/** Takes over certificates and keys when the whole file, and all that it names, is good; else
 *  nothing. The log says which. */
void server_reload(struct server *server, const char *path);

/** Lets nobody in any more and has the loops end, once the answers under way have finished. */
void server_stop(struct server *server);

/** Waits for the loops' end. NULL is fine. */
void server_free(struct server *server);

const struct log *server_log(const struct server *server);
/** How many loops run. */
size_t server_loops(const struct server *server);
