#include "args.h"

#include "base/units.h"

#include <getopt.h>
#include <string.h>

enum { OPTIONS_MAX = 32 };

static int take_truth(const struct args_option *o, const char *value, struct error *e) {
  *o->truth = value == NULL || strcmp(value, "true") == 0;
  return *o->truth || strcmp(value, "false") == 0
             ? 0
             : error_set(e, ERROR_USAGE, "--%s=%s: true or false is wanted", o->name, value);
}

static int take(const struct args_option *o, const char *value, struct error *e) {
  if (o->flag != NULL) {
    *o->flag = true;
  } else if (o->truth != NULL) {
    return take_truth(o, value, e);
  } else if (o->list != NULL) {
    if (o->list->count == ARGS_LIST_MAX) {
      return error_set(e, ERROR_USAGE, "--%s: given more than %d times", o->name, ARGS_LIST_MAX);
    }
    o->list->items[o->list->count++] = value;
  } else {
    if (*o->value != NULL) {
      return error_set(e, ERROR_USAGE, "--%s: given twice", o->name);
    }
    *o->value = value;
  }
  return 0;
}

/* An option that getopt does not take. It is told without its value, which may be a password. */
static int refuse_option(const char *option, const char *command, const struct args_option *options,
                         size_t count, struct error *e) {
  struct slice value = slice_str(option);
  struct slice name = slice_cut(&value, '=');
  for (size_t i = 0; i < count; i++) {
    if (name.len > 2 && slice_equal(slice_from(name, 2), slice_str(options[i].name))) {
      return error_set(e, ERROR_USAGE, "%.*s: takes no value", SLICE_ARG(name));
    }
  }
  return error_set(e, ERROR_USAGE, "%.*s: no such option; see `swarmgate %s --help`",
                   SLICE_ARG(name), command);
}

int args_read(int argc, char **argv, const struct args_option *options, size_t option_count,
              int min, int max, char ***operands, int *operand_count, struct error *e) {
  struct option table[OPTIONS_MAX + 1] = {0};
  for (size_t i = 0; i < option_count; i++) {
    table[i].name = options[i].name;
    table[i].has_arg = options[i].flag != NULL    ? no_argument
                       : options[i].truth != NULL ? optional_argument
                                                  : required_argument;
  }
  optind = 0;
  for (;;) {
    int index = 0;
    /* The leading colon tells a missing value from an unknown option, and keeps getopt silent. */
    int got = getopt_long(argc, argv, ":", table, &index);
    if (got == -1) {
      break;
    }
    if (got == ':') {
      return error_set(e, ERROR_USAGE, "%s: needs a value", argv[optind - 1]);
    }
    if (got != 0 && optopt != 0) {
      return error_set(e, ERROR_USAGE, "-%c: no such option; see `swarmgate %s --help`", optopt,
                       argv[0]);
    }
    if (got != 0) {
      return refuse_option(argv[optind - 1], argv[0], options, option_count, e);
    }
    if (take(&options[index], optarg, e) != 0) {
      return -1;
    }
  }
  *operands = argv + optind;
  *operand_count = argc - optind;
  if (*operand_count < min) {
    return error_set(e, ERROR_USAGE, "an argument is missing; see `swarmgate %s --help`", argv[0]);
  }
  if (*operand_count > max) {
    return error_set(e, ERROR_USAGE, "one argument too many; see `swarmgate %s --help`", argv[0]);
  }
  return 0;
}

int args_seconds(const char *name, const char *text, int64_t fallback, int64_t *out,
                 struct error *e) {
  uint64_t ms;
  if (text == NULL) {
    *out = fallback;
    return 0;
  }
  if (!units_duration(slice_str(text), &ms) || ms == 0) {
    return error_set(e, ERROR_USAGE, "--%s %s: a duration such as 30s, 10m or 24h is wanted", name,
                     text);
  }
  *out = (int64_t)((ms + 999) / 1000);
  return 0;
}

int args_check_urls(const char *name, const struct args_list *urls, struct error *e) {
  for (size_t i = 0; i < urls->count; i++) {
    const char *url = urls->items[i];
    const char *host = strstr(url, "://");
    bool good = host != NULL && host != url && host[3] != '\0' && host[3] != '/';
    for (const char *p = url; good && *p != '\0'; p++) {
      good = *p > ' ' && *p < 0x7f;
    }
    if (!good) {
      /* What is given may hold a token. */
      return error_set(e, ERROR_USAGE, "--%s: a URL is wanted, such as http://host/%s", name, name);
    }
  }
  return 0;
}
