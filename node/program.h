/** Programs of others that are run to their end, without a shell: skopeo, podman, ctr. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/** Whether there is such a program in $PATH. */
bool program_found(const char *name);

/** Writes what a program is to read to \p fd, which blocks never: it is to be polled. \return 0, or
 * -1. */
typedef int program_feed(void *arg, int fd, struct error *e);

/**
 * Runs a program of $PATH with the arguments \p argv, NULL at the end. It has our environment, no
 * descriptors of ours, and a process group of its own; what it prints goes into the error when it
 * fails, the last line of it. Blocks; it is ended, and waited for, once \p stop is readable
 * (node/stop.h).
 *
 * \param feed what it reads on standard input; NULL: nothing.
 * \return 0 when it ended well and was fed all, or -1 with ERROR_FAILED.
 */
int program_run(const char *const *argv, program_feed *feed, void *arg, int stop, struct error *e);
