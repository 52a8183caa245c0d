/** Reads the audit log back, while others write it. */
#pragma once

#include "db/audit_event.h"

/** Which events. */
struct audit_query {
  int64_t since; /**< milliseconds since 1970; what is older is passed over */
  /** Of these alone whose `sub` it is, with a registry and `/` in front or without, or whose
   * `user`; empty: of all. */
  struct slice name;
};

/** \param line without its newline. \return false to stop. */
typedef bool audit_visit(void *arg, struct slice line, json_t *event);

/**
 * Visits the events of all files below \p data_dir in the order in which they were written, up to
 * those that are there when it begins. Memory does not grow with the log.
 *
 * \param torn how many lines were passed over because they are no events: torn, or damaged.
 * \return 0, or -1: ERROR_NOT_FOUND when there is no audit log, ERROR_FAILED for I/O.
 */
int audit_read(const char *data_dir, const struct audit_query *query, audit_visit *visit, void *arg,
               uint64_t *torn, struct error *e);
