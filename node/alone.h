/** Work that blocks, where no loop runs yet that looks out for signals. */
#pragma once

#include "base/error.h"

/** Does it, on another thread; gives up once \p stop is readable (node/stop.h). \return 0, or -1.
 */
typedef int alone_work(void *arg, int stop, struct error *e);

/** Has \p work done, and waits for it; SIGINT and SIGTERM end it. \return what it returns, or -1
 *  with ERROR_FAILED. */
int alone_run(alone_work *work, void *arg, struct error *e);
