#include "base/repository.h"

static const struct slice below = {"/*", 2};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_alnum(char c) {
  return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* The length of the separator that `s` begins with: `.`, `_`, `__` or any number of `-`; or 0. */
static size_t separator(struct slice s) {
  size_t dashes = 0;
  if (slice_starts(s, SLICE("__"))) {
    return 2;
  }
  while (dashes < s.len && s.ptr[dashes] == '-') {
    dashes++;
  }
  return s.ptr[0] == '.' || s.ptr[0] == '_' ? 1 : dashes;
}

static bool is_component(struct slice s) {
  for (;;) {
    size_t run = 0;
    while (run < s.len && is_lower_alnum(s.ptr[run])) {
      run++;
    }
    if (run == 0 || run == s.len) {
      return run > 0;
    }
    s = slice_from(s, run);
    size_t gap = separator(s);
    if (gap == 0) {
      return false;
    }
    s = slice_from(s, gap);
  }
}

bool repository_name_valid(struct slice name) {
  if (name.len == 0 || name.len > REPOSITORY_NAME_MAX) {
    return false;
  }
  while (name.ptr != NULL) {
    if (!is_component(slice_cut(&name, '/'))) {
      return false;
    }
  }
  return true;
}

static bool is_label(struct slice s) {
  for (size_t i = 0; i < s.len; i++) {
    bool edge = i == 0 || i + 1 == s.len;
    if (!is_alnum(s.ptr[i]) && (edge || s.ptr[i] != '-')) {
      return false;
    }
  }
  return s.len > 0;
}

/* `host`, `host.example:5000`. */
static bool is_host(struct slice port) {
  struct slice name = slice_cut(&port, ':');
  while (name.ptr != NULL) {
    if (!is_label(slice_cut(&name, '.'))) {
      return false;
    }
  }
  for (size_t i = 0; i < port.len; i++) {
    if (!is_digit(port.ptr[i])) {
      return false;
    }
  }
  return port.ptr == NULL || port.len > 0;
}

bool repository_hosted_name_valid(struct slice name) {
  struct slice path = name;
  struct slice host = slice_cut(&path, '/');
  return repository_name_valid(name) ||
         (name.len <= REPOSITORY_NAME_MAX && is_host(host) && repository_name_valid(path));
}

const char *repository_pattern_check(struct slice pattern) {
  struct slice folder =
      slice_of(pattern.ptr, pattern.len < below.len ? 0 : pattern.len - below.len);
  if (pattern.len > REPOSITORY_NAME_MAX) {
    return "is longer than 255 bytes";
  }
  if (slice_equal(pattern, SLICE("*")) || repository_hosted_name_valid(pattern) ||
      (slice_ends(pattern, below) && (is_host(folder) || repository_hosted_name_valid(folder)))) {
    return NULL;
  }
  return "is no pattern of repositories; write a name such as team/app, team/* for all below team, "
         "or * for all";
}

bool repository_pattern_matches(struct slice pattern, struct slice name) {
  if (slice_ends(pattern, below)) {
    struct slice folder = slice_of(pattern.ptr, pattern.len - 1);
    return name.len > folder.len && slice_starts(name, folder);
  }
  return slice_equal(pattern, SLICE("*")) || slice_equal(pattern, name);
}
