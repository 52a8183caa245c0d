#include "db/writer.h"
#include "unit/db/fixture.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void folder_is_made_and_private(void **state) {
  struct stat s;
  char path[512];
  snprintf(path, sizeof path, "%s/deep/er", (char *)*state);
  db_close(must_open(path));
  snprintf(path, sizeof path, "%s/deep/er/db", (char *)*state);
  assert_int_equal(stat(path, &s), 0);
  assert_int_equal(s.st_mode & 0777, 0700);
  snprintf(path, sizeof path, "%s/deep/er/db/data.mdb", (char *)*state);
  assert_int_equal(stat(path, &s), 0);
  assert_int_equal(s.st_mode & 0777, 0600);
}

static void what_root_makes_belongs_to_the_folders_owner(void **state) {
  const struct passwd *nobody = getpwnam("nobody");
  if (geteuid() != 0 || nobody == NULL || chown(*state, nobody->pw_uid, nobody->pw_gid) != 0) {
    skip();
    return;
  }
  db_close(must_open(*state));
  static const char *const names[] = {"db", "db/data.mdb", "db/lock.mdb"};
  for (size_t i = 0; i < 3; i++) {
    struct stat s;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_uid, nobody->pw_uid);
    assert_int_equal(s.st_gid, nobody->pw_gid);
  }
}

static void open_says_why_not(void **state) {
  struct error e = {0};
  struct db *db = NULL;
  char path[512];
  snprintf(path, sizeof path, "%s/file", (char *)*state);
  fclose(fopen(path, "w"));
  assert_int_equal(db_open(path, &db, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, path));
  assert_null(db);
}

static void what_is_written_is_there_after_reopening(void **state) {
  struct numbered n = {.number = 7, .size = 100};
  struct db *db = must_open(*state);
  assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
  assert_true(has_number(db, 7));
  assert_false(has_number(db, 8));
  db_close(db);
  db = must_open(*state);
  struct numbered back = {.number = 7};
  assert_int_equal(db_read(db, get_numbered, &back, NULL), 0);
  assert_true(back.found);
  assert_int_equal(back.size, 100);
  db_close(db);
}

static int write_schema(struct db_txn *txn, void *arg, struct error *e) {
  return table_put(txn, TABLE_META, SLICE("schema"), slice_of(arg, 4), e);
}

static void newer_schema_is_refused(void **state) {
  struct error e = {0};
  struct db *db = must_open(*state);
  unsigned char newer[4] = {DB_SCHEMA + 1};
  assert_int_equal(db_write_now(db, write_schema, newer, NULL), 0);
  db_close(db);
  assert_int_equal(db_open(*state, &db, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "newer version"));
  assert_non_null(strstr(e.text, *state));
}

static void older_schema_is_taken_up(void **state) {
  struct db *db = must_open(*state);
  struct db_stats stats;
  for (uint32_t schema = 1; schema < DB_SCHEMA; schema++) {
    unsigned char older[4] = {(unsigned char)schema};
    struct numbered n = {.number = schema, .size = 100};
    assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
    assert_int_equal(db_write_now(db, write_schema, older, NULL), 0);
    db_close(db);
    db = must_open(*state);
    assert_int_equal(db_stats(db, &stats, NULL), 0);
    assert_int_equal(stats.schema, DB_SCHEMA);
    assert_true(has_number(db, schema));
    assert_int_equal(stats.readable, schema);
  }
  db_close(db);
}

static void broken_schema_is_refused(void **state) {
  struct error e = {0};
  struct db *db = must_open(*state);
  unsigned char none[4] = {0};
  assert_int_equal(db_write_now(db, write_schema, none, NULL), 0);
  db_close(db);
  assert_int_equal(db_open(*state, &db, &e), -1);
  assert_non_null(strstr(e.text, "damaged"));
}

static int make_as_schema_1(struct db_txn *txn, void *arg, struct error *e) {
  unsigned char schema[4] = {1};
  assert_int_equal(mdb_drop(txn->txn, txn->db->tables[TABLE_REVOCATIONS], 1), 0);
  (void)arg;
  return write_schema(txn, schema, e);
}

static void an_older_schema_is_brought_up_to_date(void **state) {
  struct db *db = must_open(*state);
  struct numbered n = {.number = 7, .size = 100};
  struct db_stats stats;
  assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
  assert_int_equal(db_write_now(db, make_as_schema_1, NULL, NULL), 0);
  db_close(db);
  for (int again = 0; again < 2; again++) {
    db = must_open(*state);
    assert_true(has_number(db, 7));
    assert_int_equal(db_stats(db, &stats, NULL), 0);
    assert_int_equal(stats.schema, DB_SCHEMA);
    assert_int_equal(stats.revocations, 0);
    db_close(db);
  }
}

/* Many writes queued on a loop; those that fail must fail alone. */
struct outcomes {
  int done, failed;
};
struct queued {
  struct numbered numbered;
  struct outcomes *outcomes;
};

static void count_outcome(void *arg, const struct error *e) {
  const struct queued *q = arg;
  q->outcomes->done++;
  if (e != NULL) {
    assert_true(q->numbered.fail);
    assert_int_equal(e->kind, ERROR_DENIED);
    assert_string_equal(e->text, "told to fail");
    q->outcomes->failed++;
  } else {
    assert_false(q->numbered.fail);
  }
}

static void a_write_that_fails_is_undone_alone(void **state) {
  enum { COUNT = 1000 };
  static struct queued queue[COUNT];
  struct outcomes outcomes = {0};
  uv_loop_t loop;
  uv_loop_init(&loop);
  struct db *db = must_open(*state);
  for (uint64_t i = 0; i < COUNT; i++) {
    queue[i] = (struct queued){{.number = i, .size = 10, .fail = i % 7 == 3}, &outcomes};
    assert_int_equal(db_write(db, &loop, put_numbered, &queue[i], count_outcome, NULL), 0);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(outcomes.done, COUNT);
  assert_int_equal(outcomes.failed, 143); /* 3, 10, … 997 */
  for (uint64_t i = 0; i < COUNT; i++) {
    assert_int_equal(has_number(db, i), i % 7 != 3);
  }
  db_close(db);
  assert_int_equal(uv_loop_close(&loop), 0);
}

static int swallow_an_error(struct db_txn *txn, void *arg, struct error *e) {
  struct slice value;
  (void)e;
  static const char long_key[TABLE_KEY_MAX + 1];
  assert_int_equal(table_put(txn, TABLE_META, slice_of(arg, 1), SLICE("kept?"), NULL), 0);
  assert_int_equal(table_put(txn, TABLE_META, slice_of(long_key, sizeof long_key), SLICE(""), NULL),
                   -1);
  txn->error = (struct error){.kind = ERROR_FAILED, .text = "as if LMDB had failed"};
  assert_int_equal(table_get(txn, TABLE_META, SLICE("schema"), &value, NULL), -1);
  assert_int_equal(table_put(txn, TABLE_META, SLICE("b"), SLICE("x"), NULL), -1);
  assert_int_equal(table_remove(txn, TABLE_META, SLICE("b"), NULL), -1);
  return 0;
}

static int remove_each_way(struct db_txn *txn, void *arg, struct error *e) {
  (void)arg;
  static const char *const keys[] = {"a", "ab", "abc", "b"};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(table_put(txn, TABLE_READABLE, slice_str(keys[i]), SLICE("x"), e), 0);
  }
  assert_int_equal(table_remove_one(txn, TABLE_READABLE, SLICE("ab"), e), 0);
  assert_true(table_has(txn, TABLE_READABLE, SLICE("abc")));
  assert_false(table_has(txn, TABLE_READABLE, SLICE("ab")));
  assert_int_equal(table_remove_one(txn, TABLE_READABLE, SLICE("ab"), e), 0);
  assert_int_equal(table_remove(txn, TABLE_READABLE, SLICE("a"), e), 0);
  assert_false(table_has(txn, TABLE_READABLE, SLICE("a")));
  assert_false(table_has(txn, TABLE_READABLE, SLICE("abc")));
  assert_true(table_has(txn, TABLE_READABLE, SLICE("b")));
  txn->error = (struct error){.kind = ERROR_FAILED, .text = "as if LMDB had failed"};
  assert_int_equal(table_remove_one(txn, TABLE_READABLE, SLICE("b"), NULL), -1);
  return 0;
}

static void a_record_is_removed_alone_or_with_those_below(void **state) {
  struct db *db = must_open(*state);
  struct error e = {0};
  assert_int_equal(db_write_now(db, remove_each_way, NULL, &e), -1);
  assert_string_equal(e.text, "as if LMDB had failed");
  db_close(db);
}

static int look_for_a(struct db_txn *txn, void *arg, struct error *e) {
  (void)e;
  *(bool *)arg = table_has(txn, TABLE_META, SLICE("a"));
  return 0;
}

static void the_first_error_sticks(void **state) {
  struct error e = {0};
  struct db *db = must_open(*state);
  char a = 'a';
  bool found = true;
  assert_int_equal(db_write_now(db, swallow_an_error, &a, &e), -1);
  assert_string_equal(e.text, "as if LMDB had failed");
  assert_int_equal(db_read(db, look_for_a, &found, NULL), 0);
  assert_false(found);
  db_close(db);
}

static void the_map_grows(void **state) {
  struct db *db = NULL;
  struct db_stats before, after;
  assert_int_equal(db_open_sized(*state, 64 * kib, &db, NULL), 0);
  assert_int_equal(db_stats(db, &before, NULL), 0);
  for (uint64_t i = 0; i < 400; i++) { /* many small, so that it fills at a commit at times */
    struct numbered n = {.number = i, .size = 700};
    struct error e = {0};
    if (db_write_now(db, put_numbered, &n, &e) != 0) {
      fail_msg("%s", e.text);
    }
  }
  struct numbered large = {.number = 1000, .size = 5 * mib};
  assert_int_equal(db_write_now(db, put_numbered, &large, NULL), 0);
  assert_int_equal(db_stats(db, &after, NULL), 0);
  assert_true(before.map_size <= 64 * kib);
  assert_true(after.map_size >= 5 * mib);
  assert_true(after.used_bytes >= 5 * mib);
  assert_int_equal(after.readable, 401);
  for (uint64_t i = 0; i < 400; i++) {
    assert_true(has_number(db, i));
  }
  db_close(db);
}

static int crowd(struct db_txn *txn, void *arg, struct error *e) {
  static const char bytes[1000];
  for (uint64_t *i = arg, end = *i + 100; *i < end; ++*i) {
    if (table_put(txn, TABLE_READABLE, slice_of(i, sizeof *i), slice_of(bytes, sizeof bytes), e) !=
        0) {
      *i = end - 100; /* it is run again from the start */
      return -1;
    }
  }
  return 0;
}

static void the_map_grows_in_the_middle_of_a_batch(void **state) {
  struct db *db = NULL;
  struct db_stats stats;
  uint64_t next = 0;
  assert_int_equal(db_open_sized(*state, 64 * kib, &db, NULL), 0);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(db_write_now(db, crowd, &next, NULL), 0);
  }
  assert_int_equal(db_stats(db, &stats, NULL), 0);
  assert_int_equal(stats.readable, 2000);
  db_close(db);
}

/* Runs `work` in a process of its own that does not have the parent's environment open. */
static pid_t in_a_child(int (*work)(const char *folder, int in, int out), const char *folder,
                        int to[2], int from[2]) {
  assert_int_equal(pipe(to), 0);
  assert_int_equal(pipe(from), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(to[1]);
    close(from[0]);
    _exit(work(folder, to[0], from[1]));
  }
  close(to[0]);
  close(from[1]);
  return pid;
}

static void finish(pid_t pid, const int to[2], const int from[2]) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  close(to[1]);
  close(from[0]);
}

static int let_it_grow(const char *folder, int in, int out) {
  char go;
  struct db *db = NULL;
  struct numbered n = {.number = 1, .size = 3 * mib};
  int bad = read(in, &go, 1) != 1 || db_open_sized(folder, 64 * kib, &db, NULL) != 0 ||
            db_write_now(db, put_numbered, &n, NULL) != 0 || write(out, &go, 1) != 1;
  db_close(db);
  return bad;
}

static void another_process_lets_it_grow(void **state) {
  int to[2], from[2];
  char go = 'g';
  struct db *db = NULL;
  pid_t pid = in_a_child(let_it_grow, *state, to, from);
  assert_int_equal(db_open_sized(*state, 64 * kib, &db, NULL), 0);
  assert_int_equal(write(to[1], &go, 1), 1);
  assert_int_equal(read(from[0], &go, 1), 1);
  assert_true(has_number(db, 1)); /* a reader maps it anew */
  struct numbered n = {.number = 2, .size = 1000};
  assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
  finish(pid, to, from);
  db_close(db);
}

static int hold(struct db_txn *txn, void *arg, struct error *e) {
  (void)txn;
  (void)e;
  uv_sem_post(arg);
  while (pause() != 0) {
  }
  return 0;
}

static void never_told(void *arg, const struct error *e) {
  (void)arg;
  (void)e;
}

/* Ends with all of them undone, which takes no time. */
static int fill_the_queue(const char *folder, int in, int out) {
  (void)in, (void)out;
  static struct numbered n = {.number = 1, .size = 10};
  struct db *db = NULL;
  struct error e = {0};
  uv_loop_t loop;
  uv_sem_t held;
  uv_loop_init(&loop);
  uv_sem_init(&held, 0);
  if (db_open(folder, &db, &e) != 0 || db_write(db, &loop, hold, &held, never_told, &e) != 0) {
    return 1;
  }
  uv_sem_wait(&held); /* the writer has taken it, and no other */
  for (size_t i = 0; i < WRITER_QUEUE_MAX; i++) {
    if (db_write(db, &loop, put_numbered, &n, never_told, &e) != 0) {
      return 2;
    }
  }
  return db_write(db, &loop, put_numbered, &n, never_told, &e) == 0 ? 3
         : strstr(e.text, "writes wait already") == NULL            ? 4
                                                                    : 0;
}

static void the_queue_of_writes_has_an_end(void **state) {
  int to[2], from[2];
  finish(in_a_child(fill_the_queue, *state, to, from), to, from);
}

static int write_many(const char *folder, int in, int out) {
  (void)in, (void)out;
  for (uint64_t round = 0; round < 10; round++) {
    struct db *db = NULL;
    struct error e = {0};
    if (db_open_sized(folder, 64 * kib, &db, &e) != 0) {
      fprintf(stderr, "child: %s\n", e.text);
      return 1;
    }
    for (uint64_t i = 0; i < 10; i++) {
      struct numbered n = {.number = 1000 + round * 10 + i, .size = 2000};
      if (db_write_now(db, put_numbered, &n, &e) != 0) {
        fprintf(stderr, "child: %s\n", e.text);
        return 1;
      }
    }
    db_close(db);
  }
  return 0;
}

static void two_processes_write_open_and_close(void **state) {
  int to[2], from[2];
  pid_t pid = in_a_child(write_many, *state, to, from);
  struct db *db = NULL;
  for (uint64_t i = 0; i < 100; i++) {
    if (i % 10 == 0) {
      db_close(db);
      assert_int_equal(db_open_sized(*state, 64 * kib, &db, NULL), 0);
    }
    struct numbered n = {.number = i, .size = 2000};
    assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
  }
  finish(pid, to, from);
  for (uint64_t i = 0; i < 100; i++) {
    assert_true(has_number(db, i));
    assert_true(has_number(db, 1000 + i));
  }
  db_close(db);
}

static int fill_the_disk(const char *folder, int in, int out) {
  (void)in, (void)out;
  struct db *db = NULL;
  struct error e = {0};
  struct numbered small = {.number = 1, .size = 10}, large = {.number = 2, .size = 1 << 20};
  if (db_open(folder, &db, &e) != 0 || db_write_now(db, put_numbered, &small, &e) != 0) {
    return 1;
  }
  struct rlimit room = {512 * kib, RLIM_INFINITY};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &room);
  if (db_write_now(db, put_numbered, &large, &e) == 0 || strstr(e.text, folder) == NULL ||
      strstr(e.text, "disk is full") == NULL) {
    return 2;
  }
  room.rlim_cur = RLIM_INFINITY;
  setrlimit(RLIMIT_FSIZE, &room);
  uint64_t records, faults;
  int bad = !has_number(db, 1) || has_number(db, 2) ? 3
            : db_write_now(db, put_numbered, &large, &e) != 0
                ? 4 /* once there is room it goes on */
            : !has_number(db, 2) ? 5
                                 : 0;
  db_check(db, &records, &faults, NULL);
  db_close(db);
  return bad != 0 ? bad : records != 3;
}

static void a_full_disk_is_told_and_survived(void **state) {
  int to[2], from[2];
  finish(in_a_child(fill_the_disk, *state, to, from), to, from);
}

struct side {
  struct db *db;
  uint64_t first;
  int failures;
};

static void write_side(void *arg) {
  struct side *s = arg;
  for (uint64_t i = 0; i < 100; i++) {
    struct numbered n = {.number = s->first + i, .size = 1500};
    s->failures += db_write_now(s->db, put_numbered, &n, NULL) != 0;
  }
}

static void read_side(void *arg) {
  struct side *s = arg;
  for (uint64_t i = 0; i < 3000; i++) {
    struct numbered n = {.number = s->first + i % 100};
    s->failures += db_read(s->db, get_numbered, &n, NULL) != 0 || (n.found && n.size != 1500);
  }
}

static void threads_read_and_write_while_the_map_grows(void **state) {
  enum { SIDES = 6 };
  uv_thread_t threads[SIDES];
  struct side sides[SIDES];
  struct db *db = NULL;
  assert_int_equal(db_open_sized(*state, 64 * kib, &db, NULL), 0);
  for (size_t i = 0; i < SIDES; i++) {
    sides[i] = (struct side){.db = db, .first = 100 * (i / 2)};
    assert_int_equal(uv_thread_create(&threads[i], i % 2 == 0 ? write_side : read_side, &sides[i]),
                     0);
  }
  for (size_t i = 0; i < SIDES; i++) {
    uv_thread_join(&threads[i]);
    assert_int_equal(sides[i].failures, 0);
  }
  for (uint64_t i = 0; i < 300; i++) {
    assert_true(has_number(db, i));
  }
  db_close(db);
}

static void stats_count(void **state) {
  struct db *db = must_open(*state);
  struct db_stats stats;
  struct numbered n = {.number = 1};
  assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
  assert_int_equal(db_stats(db, &stats, NULL), 0);
  assert_int_equal(stats.schema, DB_SCHEMA);
  assert_int_equal(stats.map_size, 64 * mib);
  assert_true(stats.used_bytes > 0 && stats.used_bytes < 1024 * kib);
  assert_int_equal(stats.readable, 1);
  assert_int_equal(stats.torrents, 0);
  assert_int_equal(stats.readers_now, 0);
  db_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(another_process_lets_it_grow),
      TEST(two_processes_write_open_and_close),
      TEST(a_full_disk_is_told_and_survived),
      TEST(folder_is_made_and_private),
      TEST(what_root_makes_belongs_to_the_folders_owner),
      TEST(open_says_why_not),
      TEST(what_is_written_is_there_after_reopening),
      TEST(newer_schema_is_refused),
      TEST(older_schema_is_taken_up),
      TEST(broken_schema_is_refused),
      TEST(an_older_schema_is_brought_up_to_date),
      TEST(a_write_that_fails_is_undone_alone),
      TEST(the_queue_of_writes_has_an_end),
      TEST(a_record_is_removed_alone_or_with_those_below),
      TEST(the_first_error_sticks),
      TEST(the_map_grows),
      TEST(the_map_grows_in_the_middle_of_a_batch),
      TEST(threads_read_and_write_while_the_map_grows),
      TEST(stats_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
