/* A process that writes from several threads is killed at no matter what instruction: all it was
 * told to be on disk is there, and nothing is damaged. */
#include "unit/db/fixture.h"

#include <signal.h>
#include <sys/wait.h>

enum { THREADS = 4, ROUNDS = 12, ACKNOWLEDGED = 150 };

struct side {
  struct db *db;
  uint64_t next;
  int out;
};

/* Writes numbers without end, and says so of each once it is told to be on disk. */
static void write_for_ever(void *arg) {
  struct side *s = arg;
  for (;; s->next += THREADS) {
    struct numbered n = {.number = s->next, .size = 500};
    if (db_write_now(s->db, put_numbered, &n, NULL) != 0 ||
        write(s->out, &n.number, sizeof n.number) != sizeof n.number) {
      _exit(1);
    }
  }
}

static void child(const char *folder, uint64_t first, int out) {
  struct side sides[THREADS];
  uv_thread_t threads[THREADS];
  struct db *db = NULL;
  if (db_open_sized(folder, 64 * kib, &db, NULL) != 0) {
    _exit(1);
  }
  for (uint64_t i = 0; i < THREADS; i++) {
    sides[i] = (struct side){db, first + i, out};
    if (uv_thread_create(&threads[i], write_for_ever, &sides[i]) != 0) {
      _exit(1);
    }
  }
  for (size_t i = 0; i < THREADS; i++) {
    uv_thread_join(&threads[i]);
  }
}

static bool count_record(void *arg, struct slice key, struct slice value) {
  ++*(uint64_t *)arg;
  return key.len == sizeof(uint64_t) && value.len == 500;
}

/* Stops with an error at a record whose checksum is wrong. */
static int count_records(struct db_txn *txn, void *arg, struct error *e) {
  *(uint64_t *)arg = 0;
  return table_each(txn, TABLE_READABLE, (struct slice){0}, count_record, arg, e);
}

static void what_was_acknowledged_survives_a_kill(void **state) {
  static uint64_t told[ROUNDS * 100000];
  size_t count = 0;
  for (int round = 0; round < ROUNDS; round++) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    uint64_t first = (uint64_t)round * 1000000;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
      close(pipes[0]);
      child(*state, first, pipes[1]);
      _exit(1);
    }
    close(pipes[1]);
    size_t until = count + ACKNOWLEDGED + (size_t)round * 7;
    while (count < until && read(pipes[0], &told[count], 8) == 8) {
      count++;
    }
    assert_int_equal(count, until);
    kill(pid, SIGKILL);
    while (count < sizeof told / sizeof *told && read(pipes[0], &told[count], 8) == 8) {
      count++;
    }
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
  }
  struct db *db = must_open(*state);
  uint64_t records;
  struct error e = {0};
  assert_int_equal(db_read(db, count_records, &records, &e), 0);
  assert_true(records >= count);
  for (size_t i = 0; i < count; i++) {
    assert_true(has_number(db, told[i]));
  }
  struct db_stats stats;
  assert_int_equal(db_stats(db, &stats, NULL), 0);
  assert_int_equal(stats.readers_now, 0);
  db_close(db);
}

/* The lock of a writer that was killed, most likely in the middle of a transaction, is taken over
 * by a process that has the environment open. */
static void a_killed_writer_does_not_stop_another_process(void **state) {
  for (uint64_t round = 0; round < 8; round++) {
    int pipes[2];
    uint64_t told = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
      close(pipes[0]);
      child(*state, (round + 1) * 1000000, pipes[1]);
      _exit(1);
    }
    close(pipes[1]);
    struct db *db = must_open(*state);
    for (int i = 0; i < 30; i++) {
      assert_int_equal(read(pipes[0], &told, sizeof told), sizeof told);
    }
    kill(pid, SIGKILL);
    struct numbered n = {.number = round, .size = 500};
    struct error e = {0};
    if (db_write_now(db, put_numbered, &n, &e) != 0) {
      fail_msg("%s", e.text);
    }
    assert_true(has_number(db, told));
    assert_true(has_number(db, round));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    db_close(db);
    close(pipes[0]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_was_acknowledged_survives_a_kill),
      TEST(a_killed_writer_does_not_stop_another_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
