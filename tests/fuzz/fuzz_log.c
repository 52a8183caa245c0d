// LINKS base PkgConfig::JANSSON
/* Bytes of others in a log: always one line, as JSON an object in UTF-8, as text without control
 * characters; and in an error likewise. */
#include "base/error.h"
#include "base/log.h"
#include "base/slice.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

/* What is written to standard error meanwhile goes to a file without a name. */
static struct slice logged(bool json, const char *text, char *line, size_t room) {
  static int file = -1, standard;
  if (file < 0) {
    file = memfd_create("log", 0);
    standard = dup(STDERR_FILENO);
    check(file >= 0 && standard >= 0);
  }
  const struct log log = {LOG_LEVEL_INFO, json};
  check(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
  dup2(file, STDERR_FILENO);
  log_write(&log, LOG_LEVEL_WARN, "%s", text);
  dup2(standard, STDERR_FILENO);
  ssize_t len = pread(file, line, room, 0);
  check(len > 0 && line[len - 1] == '\n');
  return slice_of(line, (size_t)len - 1);
}

static void check_line(struct slice line) {
  for (struct slice rest = line; rest.len > 0; rest = slice_from(rest, 1)) {
    check(slice_control(rest) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char line[16 * 1024]; /* a byte of 2 KiB may take six */
  char *text = strndup((const char *)data, size);
  struct slice json = logged(true, text, line, sizeof line);
  json_t *object = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
  check(json_string_value(json_object_get(object, "message")) != NULL);
  json_decref(object);
  check(memchr(json.ptr, '\n', json.len) == NULL);
  check_line(logged(false, text, line, sizeof line));
  struct error e = {0};
  error_set(&e, ERROR_FAILED, "%s", text);
  error_context(&e, "%s", text);
  check_line(slice_str(e.text));
  free(text);
  return 0;
}
