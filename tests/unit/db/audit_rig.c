#include "audit_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

struct audit_disk audit_disk;

/* The linker's --wrap makes the names. NOLINTBEGIN(cert-dcl51-cpp) */
int __real_ftruncate(int fd, off_t length);
ssize_t __real_write(int fd, const void *data, size_t len);
int __real_fdatasync(int fd);
int __real_flock(int fd, int operation);
int __wrap_ftruncate(int fd, off_t length);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __wrap_fdatasync(int fd);
int __wrap_flock(int fd, int operation);

static int fails(int number) {
  errno = number;
  return -1;
}

int __wrap_ftruncate(int fd, off_t length) {
  return audit_disk.truncate_errno != 0 ? fails(audit_disk.truncate_errno)
                                        : __real_ftruncate(fd, length);
}

ssize_t __wrap_write(int fd, const void *data, size_t len) {
  if (audit_disk.write_errno == 0) {
    return __real_write(fd, data, len);
  }
  if (audit_disk.write_room == 0) {
    return fails(audit_disk.write_errno);
  }
  len = len < audit_disk.write_room ? len : audit_disk.write_room;
  audit_disk.write_room -= len;
  return __real_write(fd, data, len);
}

int __wrap_flock(int fd, int operation) {
  int result = __real_flock(fd, operation);
  if (result == 0) {
    audit_disk.lock = operation;
    audit_disk.reads += operation == LOCK_SH;
  }
  return result;
}

int __wrap_fdatasync(int fd) {
  audit_disk.unlocked += audit_disk.lock != LOCK_EX;
  audit_disk.syncs++;
  if (audit_disk.entered != NULL) {
    uv_sem_post(audit_disk.entered);
    uv_sem_wait(audit_disk.leave);
  }
  return audit_disk.sync_errno != 0 ? fails(audit_disk.sync_errno) : __real_fdatasync(fd);
}
/* NOLINTEND(cert-dcl51-cpp) */

int audit_setup(void **state) {
  audit_disk = (struct audit_disk){0};
  return folder_setup(state);
}

int audit_teardown(void **state) {
  return folder_teardown(state) != 0 || audit_disk.unlocked > 0 ? -1 : 0;
}

struct audit *must_open_audit(const char *folder) {
  struct error e = {0};
  struct audit *audit = NULL;
  if (audit_open(folder, &audit, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return audit;
}

const struct audit_event *numbered_event(struct numbered_event *n, uint64_t number) {
  snprintf(n->text, sizeof n->text, "%llu", (unsigned long long)number);
  n->event = (struct audit_event){.event = SLICE("token"), .jti = slice_str(n->text)};
  return &n->event;
}

void must_write(struct audit *audit, uint64_t number) {
  struct numbered_event n;
  struct error e = {0};
  if (audit_write_now(audit, numbered_event(&n, number), &e) != 0) {
    fail_msg("%s", e.text);
  }
}

struct numbers {
  uint64_t *items;
  size_t count, max;
};

static bool take_number(void *arg, struct slice line, json_t *event) {
  struct numbers *n = arg;
  assert_true(slice_starts(line, SLICE("{")) && slice_ends(line, SLICE("}")));
  assert_true(n->count < n->max);
  assert_true(
      slice_u64(slice_str(json_string_value(json_object_get(event, "jti"))), &n->items[n->count]));
  n->count++;
  return true;
}

size_t read_numbers(const char *folder, uint64_t *numbers, size_t max, uint64_t *torn) {
  struct numbers n = {numbers, 0, max};
  const struct audit_query all = {0};
  struct error e = {0};
  uint64_t ignored;
  if (audit_read(folder, &all, take_number, &n, torn == NULL ? &ignored : torn, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return n.count;
}

void assert_numbers(const char *folder, const uint64_t *numbers, size_t count, uint64_t torn) {
  static uint64_t got[100000];
  uint64_t got_torn;
  assert_int_equal(read_numbers(folder, got, sizeof got / sizeof *got, &got_torn), count);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(got[i], numbers[i]);
  }
  assert_int_equal(got_torn, torn);
}

void append_raw(const char *folder, const char *name, struct slice bytes) {
  char path[512];
  snprintf(path, sizeof path, "%s/audit/%s", folder, name);
  FILE *f = fopen(path, "a");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, f), bytes.len);
  assert_int_equal(fclose(f), 0);
}
