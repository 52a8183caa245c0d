#include "descriptors.h"

#include "http/server.h"

#include <stdint.h>
#include <sys/resource.h>

enum {
  /* Of the process: the database, files that are read again, host names. */
  RESERVED = 64 + DESCRIPTORS_ADMIN,
  RESERVED_LOOP = 8,    /* of a loop itself, and of its client */
  WANTED = 256,         /* connections: with fewer, one node may be too much */
  CONNECTIONS_MIN = 16, /* however few there are: when none is left, listeners rest */
};

static rlim_t raise_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return RLIM_INFINITY;
  }
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

unsigned descriptors_divide(unsigned loops, size_t places, unsigned shares, unsigned others,
                            const struct log *log) {
  const rlim_t limit = raise_limit();
  const rlim_t reserved = RESERVED + others + loops * (RESERVED_LOOP + places);
  const rlim_t each = limit > reserved ? (limit - reserved) / loops / shares : 0;
  const unsigned connections = each > HTTP_CONNECTIONS_MAX ? HTTP_CONNECTIONS_MAX
                               : each < CONNECTIONS_MIN    ? CONNECTIONS_MIN
                                                           : (unsigned)each;
  log_write(log, LOG_LEVEL_INFO, "up to %u connections a role and loop, of %ju open files",
            connections, (uintmax_t)limit);
  if (connections < WANTED) {
    log_write(log, LOG_LEVEL_WARN,
              "there are few open files: raise LimitNOFILE= of the systemd unit, or `ulimit -n`, "
              "to %ju",
              (uintmax_t)(reserved + (rlim_t)WANTED * loops * shares));
  }
  return connections;
}
