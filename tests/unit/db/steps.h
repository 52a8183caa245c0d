/** Steps of a test of a store, inside a transaction. */
#pragma once

#include "unit/db/fixture.h"

#include "base/arena.h"

/* A test's steps run in one write transaction or read transaction. */
struct steps {
  struct arena arena;
  void (*run)(struct db_txn *txn, struct arena *arena);
};

static inline int run_steps(struct db_txn *txn, void *arg, struct error *e) {
  (void)e;
  struct steps *s = arg;
  s->run(txn, &s->arena);
  return 0;
}

static inline void write_steps(struct db *db,
                               void (*run)(struct db_txn *txn, struct arena *arena)) {
  struct steps s = {.run = run};
  struct error e = {0};
  if (db_write_now(db, run_steps, &s, &e) != 0) {
    fail_msg("%s", e.text);
  }
  arena_free(&s.arena);
}

static inline void read_steps(struct db *db, void (*run)(struct db_txn *txn, struct arena *arena)) {
  struct steps s = {.run = run};
  struct error e = {0};
  if (db_read(db, run_steps, &s, &e) != 0) {
    fail_msg("%s", e.text);
  }
  arena_free(&s.arena);
}

/* That there are so many records, and all are sound. */
static inline void check(struct db *db, uint64_t expected) {
  uint64_t records, faults;
  struct error e = {0};
  if (db_check(db, &records, &faults, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_int_equal(records, expected);
  assert_int_equal(faults, 0);
}
