#include "command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rfc3339.h"
#include "base/units.h"
#include "db/audit_reader.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

/* Who has logged in, whom sudo and su do not hide (pam_loginuid(8)), or whom this runs as. */
static uid_t operator_uid(void) {
  enum { UNSET = UINT32_MAX };
  CLEANUP(buf_free) struct buf text = {0};
  uint64_t uid;
  return file_read("/proc/self/loginuid", 16, &text, NULL) == 0 &&
                 slice_u64(buf_view(&text), &uid) && uid < UNSET
             ? (uid_t)uid
             : getuid();
}

int command_record(const struct config *config, struct audit_event event, struct error *e) {
  char number[32];
  char text[4096];
  struct passwd entry;
  struct passwd *found = NULL;
  struct audit *audit;
  uid_t uid = operator_uid();
  snprintf(number, sizeof number, "%lu", (unsigned long)uid);
  getpwuid_r(uid, &entry, text, sizeof text, &found);
  event.from = SLICE("tool");
  event.who = slice_str(found == NULL ? number : found->pw_name);
  if (audit_open(config->data_dir.text, &audit, e) != 0) {
    return -1;
  }
  int result = audit_write_now(audit, &event, e);
  audit_close(audit);
  return result;
}

static bool print_line(void *arg, struct slice line, json_t *event) {
  (void)arg;
  (void)event;
  fwrite(line.ptr, 1, line.len, stdout);
  putchar('\n');
  return ferror(stdout) == 0;
}

static bool print_for_people(void *arg, struct slice line, json_t *event) {
  struct buf *text = arg;
  (void)line;
  text->len = 0;
  audit_event_print(event, text);
  fwrite(text->ptr, 1, text->len, stdout);
  return !text->failed && ferror(stdout) == 0;
}

/* A time, a day as of its beginning in UTC, or how long ago. */
static int read_since(const char *text, int64_t *ms, struct error *e) {
  char midnight[sizeof "2026-02-03T00:00:00Z"];
  uint64_t ago;
  *ms = INT64_MIN;
  if (text == NULL || rfc3339_parse(slice_str(text), ms)) {
    return 0;
  }
  int len = snprintf(midnight, sizeof midnight, "%sT00:00:00Z", text);
  if ((size_t)len < sizeof midnight && rfc3339_parse(slice_str(midnight), ms)) {
    return 0;
  }
  if (!units_duration(slice_str(text), &ago)) {
    return error_set(
        e, ERROR_USAGE,
        "--since %s: a time such as 2026-02-03T04:05:06Z, a day such as 2026-02-03, or "
        "a duration such as 24h back from now is wanted",
        text);
  }
  *ms = clock_now_ms() - (int64_t)ago;
  return 0;
}

int command_audit(int argc, char **argv, struct error *e) {
  const char *config_path = NULL;
  const char *since = NULL;
  const char *sub = NULL;
  bool json = false;
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "since", .value = &since},
                                        {.name = "sub", .value = &sub},
                                        {.name = "json", .flag = &json}};
  char **operands;
  int count;
  struct config config = {0};
  struct audit_query query = {0};
  struct buf text = {0};
  uint64_t torn;
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 0, 0, &operands, &count,
                e) != 0 ||
      read_since(since, &query.since, e) != 0 || command_config(config_path, &config, e) != 0) {
    return -1;
  }
  query.name = slice_str(sub);
  int result = audit_read(config.data_dir.text, &query, json ? print_line : print_for_people, &text,
                          &torn, e);
  if (result == 0 && text.failed) {
    result = error_set(e, ERROR_FAILED, "cannot print the audit log: out of memory");
  }
  if (result == 0 && torn > 0) {
    fprintf(stderr, "swarmgate: torn or damaged lines that were passed over: %" PRIu64 "\n", torn);
  }
  buf_free(&text);
  config_free(&config);
  return result;
}
