/** Options of a command, by getopt_long, into variables of the command's. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARGS_LIST_MAX = 64 };

/** Values of an option that may be given several times; they point into argv. */
struct args_list {
  const char *items[ARGS_LIST_MAX];
  size_t count;
};

/** An option `--name`; exactly one of the four says where it goes and whether it takes a value. */
struct args_option {
  const char *name;
  const char **value;     /**< a value, at most once */
  struct args_list *list; /**< a value, any number of times */
  bool *flag;             /**< no value */
  bool *truth;            /**< `--name=true` or `=false`; bare it means true, as skopeo takes it */
};

/**
 * Reads options and operands, in any order. `--` ends the options.
 *
 * \param operands set to what is left of \p argv, at least \p min and at most \p max.
 * \return 0, or -1 with ERROR_USAGE.
 */
int args_read(int argc, char **argv, const struct args_option *options, size_t option_count,
              int min, int max, char ***operands, int *operand_count, struct error *e);

/**
 * Reads a duration such as `10m`, rounded up to seconds.
 *
 * \param text the value of the option \p name; NULL gives \p fallback.
 * \return 0, or -1 with ERROR_USAGE, also for none at all.
 */
int args_seconds(const char *name, const char *text, int64_t fallback, int64_t *out,
                 struct error *e);

/**
 * Whether all values of an option are URLs, `SCHEME://HOST…`: a shell's variable that is not set
 * would else make torrents that lead nowhere.
 *
 * \return 0, or -1 with ERROR_USAGE.
 */
int args_check_urls(const char *name, const struct args_list *urls, struct error *e);
