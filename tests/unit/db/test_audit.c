/* The writer of the audit log: what is told to be recorded is on disk and whole, whatever the disk,
 * other threads and other processes do. */
#include "audit_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void path_of(const char *folder, const char *name, char out[512]) {
  snprintf(out, 512, "%s/audit%s%s", folder, name[0] == '\0' ? "" : "/", name);
}

static struct stat status_of(const char *folder, const char *name) {
  struct stat s;
  char path[512];
  path_of(folder, name, path);
  assert_int_equal(lstat(path, &s), 0);
  return s;
}

/* Names in the log's folder. */
static size_t count_files(const char *folder) {
  char path[512];
  size_t count = 0;
  path_of(folder, "", path);
  DIR *dir = opendir(path);
  assert_non_null(dir);
  for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
    count += d->d_name[0] != '.';
  }
  closedir(dir);
  return count;
}

static void is_made_and_private(void **state) {
  audit_close(must_open_audit(*state));
  assert_int_equal(status_of(*state, "").st_mode & 0777, 0700);
  assert_int_equal(status_of(*state, "audit.jsonl").st_mode & 0777, 0600);
  assert_int_equal(count_files(*state), 1);
}

static void says_why_it_cannot_be_opened(void **state) {
  struct error e = {0};
  struct audit *audit = NULL;
  char path[512];
  snprintf(path, sizeof path, "%s/file", (char *)*state);
  fclose(fopen(path, "w"));
  assert_int_equal(audit_open(path, &audit, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, path));
  assert_null(audit);

  audit_close(must_open_audit(*state));
  path_of(*state, "audit.jsonl", path);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(symlink("/dev/null", path), 0);
  assert_int_equal(audit_open(*state, &audit, &e), -1);
  assert_non_null(strstr(e.text, "symbolic links"));
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(audit_open(*state, &audit, &e), -1);
  assert_non_null(strstr(e.text, "no regular file"));
}

static void what_root_makes_belongs_to_the_folders_owner(void **state) {
  const struct passwd *nobody = getpwnam("nobody");
  struct audit *audit = NULL;
  struct error e = {0};
  char path[512], other[512];
  if (geteuid() != 0 || nobody == NULL || chown(*state, nobody->pw_uid, nobody->pw_gid) != 0) {
    skip();
    return;
  }
  assert_int_equal(audit_open_sized(*state, 1, 3, &audit, NULL), 0);
  must_write(audit, 1);
  must_write(audit, 2); /* in a new file */
  audit_close(audit);
  assert_int_equal(count_files(*state), 2);
  assert_int_equal(status_of(*state, "").st_uid, nobody->pw_uid);
  struct stat s = status_of(*state, "audit.jsonl");
  assert_int_equal(s.st_uid, nobody->pw_uid);
  assert_int_equal(s.st_gid, nobody->pw_gid);

  /* Nothing of root's is given away by another name that the owner has put there. */
  path_of(*state, "audit.jsonl", path);
  snprintf(other, sizeof other, "%s/precious", (char *)*state);
  fclose(fopen(other, "w"));
  assert_int_equal(unlink(path), 0);
  assert_int_equal(link(other, path), 0);
  assert_int_equal(audit_open(*state, &audit, &e), -1);
  assert_int_equal(status_of(*state, "audit.jsonl").st_uid, 0);
  assert_int_equal(unlink(path), 0);
  path_of(*state, "", path);
  snprintf(other, sizeof other, "%s/moved", (char *)*state);
  assert_int_equal(rename(path, other), 0);
  assert_int_equal(symlink(other, path), 0);
  assert_int_equal(audit_open(*state, &audit, &e), -1);
}

static void what_is_recorded_is_there(void **state) {
  static const uint64_t numbers[] = {7, 8, 9};
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 7);
  assert_int_equal(audit_disk.syncs, 1);
  must_write(audit, 8);
  assert_numbers(*state, numbers, 2, 0); /* while it is open */
  audit_close(audit);
  audit = must_open_audit(*state);
  must_write(audit, 9);
  audit_close(audit);
  assert_numbers(*state, numbers, 3, 0);
}

/* --- loops --- */

struct outcome {
  unsigned done, failed;
};

static void count_outcome(void *arg, const struct error *e) {
  struct outcome *o = arg;
  o->done++;
  o->failed += e != NULL;
}

static int write_on(struct audit *audit, uv_loop_t *loop, uint64_t number, struct outcome *o,
                    struct error *e) {
  struct numbered_event n;
  return audit_write(audit, loop, numbered_event(&n, number), 1, count_outcome, o, e);
}

static void must_write_on(struct audit *audit, uv_loop_t *loop, uint64_t number,
                          struct outcome *o) {
  struct error e = {0};
  if (write_on(audit, loop, number, o, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

/* A loop of its own thread, as one of the server's. */
struct side {
  struct audit *audit;
  uint64_t first;
  uv_barrier_t *queued;
  struct outcome outcome;
};

enum { SIDES = 6, EACH = 50 };

static void write_side(void *arg) {
  struct side *s = arg;
  uv_loop_t loop;
  uv_loop_init(&loop);
  for (uint64_t i = 0; i < EACH; i++) {
    must_write_on(s->audit, &loop, s->first + i, &s->outcome);
  }
  uv_barrier_wait(s->queued);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
}

/* While the disk is busy with one, all others gather. */
static void many_loops_share_a_sync(void **state) {
  static uint64_t numbers[SIDES * EACH + 1];
  uv_thread_t threads[SIDES];
  struct side sides[SIDES];
  uv_barrier_t queued;
  uv_sem_t entered, leave;
  uv_loop_t loop;
  struct outcome first = {0};
  uv_loop_init(&loop);
  uv_sem_init(&entered, 0);
  uv_sem_init(&leave, 0);
  uv_barrier_init(&queued, SIDES + 1);
  audit_disk.entered = &entered;
  audit_disk.leave = &leave;
  struct audit *audit = must_open_audit(*state);
  must_write_on(audit, &loop, 0, &first);
  uv_sem_wait(&entered);
  for (size_t i = 0; i < SIDES; i++) {
    sides[i] = (struct side){audit, 1 + i * EACH, &queued, {0}};
    assert_int_equal(uv_thread_create(&threads[i], write_side, &sides[i]), 0);
  }
  uv_barrier_wait(&queued);
  assert_int_equal(audit_disk.syncs, 1);
  uv_run(&loop, UV_RUN_NOWAIT);
  assert_int_equal(first.done, 0); /* nobody is told before it is on disk */
  uv_sem_post(&leave);
  uv_sem_post(&leave);
  uv_run(&loop, UV_RUN_DEFAULT);
  for (size_t i = 0; i < SIDES; i++) {
    uv_thread_join(&threads[i]);
    assert_int_equal(sides[i].outcome.done, EACH);
    assert_int_equal(sides[i].outcome.failed, 0);
  }
  assert_int_equal(first.done, 1);
  assert_int_equal(audit_disk.syncs, 2);
  audit_close(audit);
  uv_sem_destroy(&entered);
  uv_sem_destroy(&leave);
  uv_barrier_destroy(&queued);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_int_equal(read_numbers(*state, numbers, SIDES * EACH + 1, NULL), SIDES * EACH + 1);
  uint64_t next[SIDES] = {0};
  for (size_t i = 1; i < SIDES * EACH + 1; i++) {
    uint64_t side = (numbers[i] - 1) / EACH;
    assert_int_equal((numbers[i] - 1) % EACH, next[side]++); /* each side's are in their order */
  }
}

static void events_of_one_write_stay_together(void **state) {
  static const uint64_t numbers[] = {1, 2, 3, 4};
  struct numbered_event n[3];
  struct audit_event events[3];
  struct outcome outcome = {0};
  uv_loop_t loop;
  uv_loop_init(&loop);
  struct audit *audit = must_open_audit(*state);
  for (size_t i = 0; i < 3; i++) {
    events[i] = *numbered_event(&n[i], i + 1);
  }
  assert_int_equal(audit_write(audit, &loop, events, 3, count_outcome, &outcome, NULL), 0);
  memset(n, 'x', sizeof n); /* they were copied */
  must_write_on(audit, &loop, 4, &outcome);
  audit_close(audit); /* writes what is queued; who waits is told by the loop */
  assert_int_equal(outcome.done, 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(outcome.done, 2);
  assert_int_equal(outcome.failed, 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_numbers(*state, numbers, 4, 0);
}

static void an_event_that_cannot_be_written_is_refused_alone(void **state) {
  static const uint64_t numbers[] = {1};
  struct numbered_event n;
  struct audit_event events[2];
  struct outcome outcome = {0};
  struct error e = {0};
  uv_loop_t loop;
  uv_loop_init(&loop);
  struct audit *audit = must_open_audit(*state);
  events[0] = *numbered_event(&n, 2);
  events[1] = (struct audit_event){.event = SLICE("token"), .sub = SLICE("\xff")};
  assert_int_equal(audit_write(audit, &loop, events, 2, count_outcome, &outcome, &e), -1);
  assert_non_null(strstr(e.text, "UTF-8"));
  assert_int_equal(audit_write_now(audit, &events[1], &e), -1);
  must_write_on(audit, &loop, 1, &outcome);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(outcome.done, 1);
  audit_close(audit);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_numbers(*state, numbers, 1, 0);
}

static void the_queue_has_an_end(void **state) {
  static char text[AUDIT_LINE_MAX - 200];
  struct audit_event large = {.event = SLICE("token"), .jti = SLICE("1"), .sub = {text, 0}};
  struct outcome outcome = {0};
  struct error e = {0};
  uv_sem_t entered, leave;
  uv_loop_t loop;
  uv_loop_init(&loop);
  uv_sem_init(&entered, 0);
  uv_sem_init(&leave, 0);
  memset(text, 'a', sizeof text);
  large.sub.len = sizeof text;
  audit_disk.entered = &entered;
  audit_disk.leave = &leave;
  struct audit *audit = must_open_audit(*state);
  must_write_on(audit, &loop, 0, &outcome);
  uv_sem_wait(&entered);
  unsigned queued = 0;
  while (audit_write(audit, &loop, &large, 1, count_outcome, &outcome, &e) == 0) {
    queued++;
  }
  assert_non_null(strstr(e.text, "bytes wait already"));
  assert_true(queued > AUDIT_QUEUE_MAX / AUDIT_LINE_MAX - 1 &&
              queued <= AUDIT_QUEUE_MAX / sizeof text);
  assert_int_equal(outcome.done, 0);
  uv_sem_post(&leave);
  uv_sem_post(&leave);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(outcome.done, queued + 1);
  assert_int_equal(outcome.failed, 0);
  audit_disk.entered = NULL;
  must_write(audit, 2); /* and it goes on */
  audit_close(audit);
  uv_sem_destroy(&entered);
  uv_sem_destroy(&leave);
  assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- a disk that fails --- */

static void assert_write_fails(struct audit *audit, uint64_t number, const char *says) {
  struct outcome outcome = {0};
  struct numbered_event n;
  struct error e = {0};
  uv_loop_t loop;
  uv_loop_init(&loop);
  size_t room = audit_disk.write_room;
  assert_int_equal(audit_write_now(audit, numbered_event(&n, number), &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  if (strstr(e.text, says) == NULL) {
    fail_msg("%s", e.text);
  }
  audit_disk.write_room = room;
  must_write_on(audit, &loop, number, &outcome);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(outcome.done, 1);
  assert_int_equal(outcome.failed, 1);
  assert_int_equal(uv_loop_close(&loop), 0);
}

static void what_is_not_synced_is_cut_off_again(void **state) {
  static const uint64_t numbers[] = {1, 3};
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 1);
  off_t size = status_of(*state, "audit.jsonl").st_size;
  audit_disk.sync_errno = EIO;
  assert_write_fails(audit, 2, "Input/output error");
  assert_int_equal(status_of(*state, "audit.jsonl").st_size, size);
  audit_disk.sync_errno = 0;
  must_write(audit, 3);
  audit_close(audit);
  assert_numbers(*state, numbers, 2, 0);
}

static void a_full_disk_leaves_no_half_line(void **state) {
  static const uint64_t numbers[] = {1, 3};
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 1);
  audit_disk.write_errno = ENOSPC;
  for (size_t room = 0; room < 60; room += 20) {
    audit_disk.write_room = room;
    assert_write_fails(audit, 2, "make room on the disk");
  }
  audit_disk.write_errno = 0;
  must_write(audit, 3);
  audit_close(audit);
  assert_numbers(*state, numbers, 2, 0);
}

/* Two writes were torn, for each failure is tried twice; the newline ends but one of them. */
static void a_half_line_that_stays_does_not_go_on(void **state) {
  static const uint64_t numbers[] = {1, 3};
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 1);
  audit_disk.write_errno = ENOSPC;
  audit_disk.write_room = 30;
  audit_disk.truncate_errno = EIO;
  assert_write_fails(audit, 2, "make room on the disk");
  audit_disk.write_errno = audit_disk.truncate_errno = 0;
  must_write(audit, 3);
  audit_close(audit);
  assert_numbers(*state, numbers, 2, 2);
}

static int fill_the_disk(const char *folder) {
  struct audit *audit = NULL;
  struct error e = {0};
  struct numbered_event n;
  if (audit_open(folder, &audit, &e) != 0 ||
      audit_write_now(audit, numbered_event(&n, 1), &e) != 0) {
    return 1;
  }
  struct rlimit room = {100, RLIM_INFINITY}; /* within the second line */
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &room);
  if (audit_write_now(audit, numbered_event(&n, 2), &e) == 0 || strstr(e.text, folder) == NULL ||
      strstr(e.text, "make room") == NULL) {
    return 2;
  }
  room.rlim_cur = RLIM_INFINITY;
  setrlimit(RLIMIT_FSIZE, &room);
  int bad = audit_write_now(audit, numbered_event(&n, 3), &e) != 0 ? 3 : 0;
  audit_close(audit);
  return bad;
}

/* A file that the system lets grow no further. */
static void a_full_disk_is_told_and_survived(void **state) {
  static const uint64_t numbers[] = {1, 3};
  int status;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    _exit(fill_the_disk(*state));
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_numbers(*state, numbers, 2, 0);
}

/* --- others --- */

static void a_line_that_another_left_torn_is_not_continued(void **state) {
  static const uint64_t numbers[] = {1, 2};
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 1);
  append_raw(*state, "audit.jsonl",
             SLICE("{\"time\":\"2024-01-01T00:00:00.000Z\",\"event\":\"tok"));
  assert_numbers(*state, numbers, 1, 1);
  must_write(audit, 2);
  audit_close(audit);
  assert_numbers(*state, numbers, 2, 1);
}

static void a_file_that_is_taken_away_is_made_anew(void **state) {
  static const uint64_t numbers[] = {2, 3, 4};
  char path[512], other[512];
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 1);
  path_of(*state, "audit.jsonl", path);
  assert_int_equal(unlink(path), 0);
  must_write(audit, 2);
  assert_numbers(*state, numbers, 1, 0);
  path_of(*state, "audit-20240101T000000.000Z.jsonl", other);
  assert_int_equal(rename(path, other), 0);
  must_write(audit, 3);
  must_write(audit, 4);
  audit_close(audit);
  assert_numbers(*state, numbers, 3, 0);
}

static void a_folder_that_is_taken_away_is_an_error(void **state) {
  char path[512], other[512];
  struct audit *audit = must_open_audit(*state);
  path_of(*state, "", path);
  snprintf(other, sizeof other, "%s/elsewhere", (char *)*state);
  assert_int_equal(rename(path, other), 0);
  must_write(audit, 1); /* it is the same folder still */
  snprintf(path, sizeof path, "%s/elsewhere/audit.jsonl", (char *)*state);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(other), 0);
  assert_write_fails(audit, 2, "No such file");
  audit_close(audit);
}

/* --- rotation --- */

static void is_rotated_by_size(void **state) {
  static uint64_t numbers[1000];
  struct audit *audit = NULL;
  struct stat s;
  char path[512];
  assert_int_equal(audit_open_sized(*state, 1000, 4, &audit, NULL), 0);
  static const char *const others[] = {"audit-20000101T000000.000Z.jsonl.gz", "notes",
                                       "audit-20001301T000000.000Z.jsonl",
                                       "audit-2000-01-01T00:00:00.000Z"};
  for (size_t i = 0; i < 4; i++) {
    append_raw(*state, others[i], SLICE("keep"));
  }
  for (uint64_t i = 0; i < 300; i++) {
    must_write(audit, i);
    assert_true(status_of(*state, "audit.jsonl").st_size <= 1000);
  }
  audit_close(audit);
  assert_int_equal(count_files(*state), 4 + 4);
  size_t count = read_numbers(*state, numbers, 1000, NULL);
  assert_true(count > 3 * 1000 / 80 && count < 4 * 1000 / 50);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(numbers[i], 300 - count + i); /* the last of them, in their order */
  }
  for (size_t i = 0; i < 4; i++) {
    path_of(*state, others[i], path);
    assert_int_equal(stat(path, &s), 0);
  }
}

static void names_go_on_when_the_clock_has_gone_back(void **state) {
  static const uint64_t numbers[] = {1, 2, 3};
  struct audit *audit = NULL;
  char path[512], old[512];
  assert_int_equal(audit_open_sized(*state, 1, 10, &audit, NULL), 0);
  must_write(audit, 1);
  path_of(*state, "audit.jsonl", old);
  path_of(*state, "audit-29991231T235959.999Z.jsonl", path);
  assert_int_equal(rename(old, path), 0);
  must_write(audit, 2);
  must_write(audit, 3);
  audit_close(audit);
  status_of(*state, "audit-30000101T000000.000Z.jsonl");
  assert_numbers(*state, numbers, 3, 0);
}

static int write_many(const char *folder, uint64_t first, uint64_t count) {
  struct audit *audit = NULL;
  struct error e = {0};
  struct numbered_event n;
  if (audit_open_sized(folder, 2000, 1000, &audit, &e) != 0) {
    fprintf(stderr, "child: %s\n", e.text);
    return 1;
  }
  for (uint64_t i = first; i < first + count; i++) {
    if (audit_write_now(audit, numbered_event(&n, i), &e) != 0) {
      fprintf(stderr, "child: %s\n", e.text);
      return 1;
    }
  }
  audit_close(audit);
  return 0;
}

enum { PROCESSES = 3, LINES = 400, ALL_LINES = PROCESSES * LINES };

/* Whoever reads finds whole lines, and of each process all up to the last: none is missing. */
static size_t assert_all_so_far(const char *folder) {
  static uint64_t numbers[ALL_LINES];
  uint64_t next[PROCESSES] = {0};
  uint64_t torn;
  size_t count = read_numbers(folder, numbers, ALL_LINES, &torn);
  assert_int_equal(torn, 0);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(numbers[i] % LINES, next[numbers[i] / LINES]++);
  }
  return count;
}

/* Each takes the file away from the others again and again, while it is read. */
static void processes_rotate_in_turn(void **state) {
  size_t running = PROCESSES;
  audit_close(must_open_audit(*state));
  for (uint64_t i = 0; i < PROCESSES; i++) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
      _exit(write_many(*state, i * LINES, LINES));
    }
  }
  while (running > 0) {
    int status;
    assert_all_so_far(*state);
    pid_t pid = waitpid(-1, &status, WNOHANG);
    assert_true(pid >= 0);
    if (pid > 0) {
      assert_true(WIFEXITED(status));
      assert_int_equal(WEXITSTATUS(status), 0);
      running--;
    }
  }
  assert_int_equal(assert_all_so_far(*state), ALL_LINES);
  assert_true(count_files(*state) > ALL_LINES * 50 / 2000);
}

/* --- kill -9 --- */

struct writer_side {
  struct audit *audit;
  uint64_t next;
  int out;
};

enum { THREADS = 4 };

/* Records numbers without end, and says so of each once it is told to be on disk. */
static void write_for_ever(void *arg) {
  struct writer_side *s = arg;
  for (;; s->next += THREADS) {
    struct numbered_event n;
    if (audit_write_now(s->audit, numbered_event(&n, s->next), NULL) != 0 ||
        write(s->out, &s->next, sizeof s->next) != sizeof s->next) {
      _exit(1);
    }
  }
}

static void write_until_killed(const char *folder, uint64_t first, int out) {
  struct writer_side sides[THREADS];
  uv_thread_t threads[THREADS];
  struct audit *audit = NULL;
  if (audit_open_sized(folder, 5000, 1000, &audit, NULL) != 0) {
    _exit(1);
  }
  for (uint64_t i = 0; i < THREADS; i++) {
    sides[i] = (struct writer_side){audit, first + i, out};
    if (uv_thread_create(&threads[i], write_for_ever, &sides[i]) != 0) {
      _exit(1);
    }
  }
  for (size_t i = 0; i < THREADS; i++) {
    uv_thread_join(&threads[i]);
  }
  _exit(1);
}

static int compare_numbers(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void what_was_acknowledged_survives_a_kill(void **state) {
  enum { ROUNDS = 20, ACKNOWLEDGED = 50, MAX = 200000 };
  static uint64_t told[MAX], found[MAX];
  size_t count = 0;
  for (unsigned round = 0; round < ROUNDS; round++) {
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
      close(pipes[0]);
      write_until_killed(*state, (uint64_t)round * 1000000, pipes[1]);
    }
    close(pipes[1]);
    size_t until = count + ACKNOWLEDGED + (size_t)round * 7;
    while (count < until && read(pipes[0], &told[count], 8) == 8) {
      count++;
    }
    assert_int_equal(count, until);
    kill(pid, SIGKILL);
    while (count < MAX && read(pipes[0], &told[count], 8) == 8) {
      count++;
    }
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
  }
  uint64_t torn;
  size_t there = read_numbers(*state, found, MAX, &torn);
  assert_true(torn <= ROUNDS);
  qsort(found, there, sizeof *found, compare_numbers);
  for (size_t i = 0; i < count; i++) {
    assert_non_null(bsearch(&told[i], found, there, sizeof *found, compare_numbers));
  }
  for (size_t i = 1; i < there; i++) {
    assert_true(found[i - 1] < found[i]); /* and none twice */
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      AUDIT_TEST(is_made_and_private),
      AUDIT_TEST(says_why_it_cannot_be_opened),
      AUDIT_TEST(what_root_makes_belongs_to_the_folders_owner),
      AUDIT_TEST(what_is_recorded_is_there),
      AUDIT_TEST(many_loops_share_a_sync),
      AUDIT_TEST(events_of_one_write_stay_together),
      AUDIT_TEST(an_event_that_cannot_be_written_is_refused_alone),
      AUDIT_TEST(the_queue_has_an_end),
      AUDIT_TEST(what_is_not_synced_is_cut_off_again),
      AUDIT_TEST(a_full_disk_leaves_no_half_line),
      AUDIT_TEST(a_half_line_that_stays_does_not_go_on),
      AUDIT_TEST(a_full_disk_is_told_and_survived),
      AUDIT_TEST(a_line_that_another_left_torn_is_not_continued),
      AUDIT_TEST(a_file_that_is_taken_away_is_made_anew),
      AUDIT_TEST(a_folder_that_is_taken_away_is_an_error),
      AUDIT_TEST(is_rotated_by_size),
      AUDIT_TEST(names_go_on_when_the_clock_has_gone_back),
      AUDIT_TEST(processes_rotate_in_turn),
      AUDIT_TEST(what_was_acknowledged_survives_a_kill),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
