/* Memory that runs out while the audit log is written or read. */
#include "audit_rig.h"

#include "support/heap.h"

struct fixture {
  struct audit *audit;
  const char *folder;
  uv_loop_t loop;
};

static void note_outcome(void *arg, const struct error *e) {
  assert_null(e);
  *(bool *)arg = true;
}

static int write_now(void *arg, struct error *e) {
  const struct fixture *f = arg;
  struct numbered_event n;
  return audit_write_now(f->audit, numbered_event(&n, 1), e);
}

static int write_on_a_loop(void *arg, struct error *e) {
  struct fixture *f = arg;
  struct numbered_event n;
  bool done = false;
  int result = audit_write(f->audit, &f->loop, numbered_event(&n, 2), 1, note_outcome, &done, e);
  uv_run(&f->loop, UV_RUN_DEFAULT);
  assert_int_equal(done, result == 0);
  return result;
}

static bool pass(void *arg, struct slice line, json_t *event) {
  (void)line;
  (void)event;
  ++*(size_t *)arg;
  return true;
}

static int read_all(void *arg, struct error *e) {
  const struct fixture *f = arg;
  const struct audit_query all = {0};
  uint64_t torn;
  size_t count = 0;
  int result = audit_read(f->folder, &all, pass, &count, &torn, e);
  assert_true(result != 0 || (count >= 2 && torn == 0));
  return result;
}

static void says_that_there_is_no_memory(void **state) {
  struct fixture f = {.folder = *state};
  assert_int_equal(audit_open_sized(*state, 500, 1000, &f.audit, NULL), 0);
  uv_loop_init(&f.loop);
  heap_exhaust(write_now, &f);
  heap_exhaust(write_on_a_loop, &f);
  heap_exhaust(read_all, &f);
  audit_close(f.audit);
  assert_int_equal(uv_loop_close(&f.loop), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {AUDIT_TEST(says_that_there_is_no_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
