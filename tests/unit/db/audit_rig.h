/** A disk that fails when a test wants it to, and what the log of a test's folder holds. */
#pragma once

#include "unit/db/fixture.h"

#include "db/audit.h"
#include "db/audit_file.h"
#include "db/audit_reader.h"

/**
 * The linker puts these before fdatasync(), write(), ftruncate() and flock() of db/. Set them while
 * nothing is being written.
 */
struct audit_disk {
  int sync_errno;     /**< fdatasync fails */
  int truncate_errno; /**< ftruncate fails */
  int write_errno;    /**< write fails once write_room is used up */
  size_t write_room;  /**< bytes that still fit, when write_errno is set */
  uv_sem_t *entered;  /**< posted by each fdatasync … */
  uv_sem_t *leave;    /**< … which then waits for this */
  unsigned syncs;     /**< counts them */
  unsigned unlocked;  /**< counts those without the lock; a test with any fails */
  int lock;           /**< the last operation of flock */
  unsigned reads;     /**< counts the times that LOCK_SH was got */
};
extern struct audit_disk audit_disk;

/** cmocka set-up and tear-down: a folder, and a disk that works. */
int audit_setup(void **state);
int audit_teardown(void **state);

#define AUDIT_TEST(f) cmocka_unit_test_setup_teardown(f, audit_setup, audit_teardown)

struct audit *must_open_audit(const char *folder);

/** An event whose `jti` is the number. */
struct numbered_event {
  char text[32];
  struct audit_event event;
};
const struct audit_event *numbered_event(struct numbered_event *n, uint64_t number);

/** Records it, and fails the test when that fails. */
void must_write(struct audit *audit, uint64_t number);

/** The numbers that the log holds, in their order; \p torn may be NULL. \return how many. */
size_t read_numbers(const char *folder, uint64_t *numbers, size_t max, uint64_t *torn);

/** Fails the test unless the log holds exactly these, with that many torn lines. */
void assert_numbers(const char *folder, const uint64_t *numbers, size_t count, uint64_t torn);

/** Appends bytes to a file of the log, as no writer would. */
void append_raw(const char *folder, const char *name, struct slice bytes);
