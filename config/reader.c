/*
 * A mapping is read in two steps: first its keys are matched with the table, so that an unknown or
 * doubled key is told before anything else, then the table's keys are read in the table's order,
 * from the document or from their default.
 */
#include "config/reader.h"

#include "base/file.h"
#include "base/units.h"
#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>

struct reader {
  const char *file;
  yaml_document_t *document;
  struct error *error;
  char path[128]; /* of the key that is read: `auth.trust[3].keys` */
  size_t path_len;
};

/* A value: a node of the document, or a default as it would be written. */
struct value {
  const yaml_node_t *node; /* NULL: a default */
  struct slice text;       /* of a scalar */
  unsigned line;           /* of the node; of a default that of its mapping */
};

static unsigned line_of(const yaml_node_t *node) {
  return (unsigned)node->start_mark.line + 1;
}

__attribute__((format(printf, 3, 4))) static int fail(struct reader *r, unsigned line,
                                                      const char *format, ...) {
  char what[512];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  error_set(r->error, ERROR_USAGE, "%s:%u: %s%s%s", r->file, line, r->path,
            r->path_len == 0 ? "" : ": ", what);
  return -1;
}

/* How much of a value an error shows. */
static int shown(struct slice text) {
  return (int)(text.len < 64 ? text.len : 64);
}

static int no_memory(struct reader *r) {
  error_set(r->error, ERROR_FAILED, "cannot read %s: out of memory", r->file);
  return -1;
}

/* Goes one step down: `.name` or `[index]`. Returns the length to go back to by leave(). The
 * table's names are short, so the path always fits. */
static size_t enter(struct reader *r, const char *name, size_t index) {
  size_t before = r->path_len, room = sizeof r->path - before;
  int n = name == NULL ? snprintf(r->path + before, room, "[%zu]", index)
                       : snprintf(r->path + before, room, "%s%s", before == 0 ? "" : ".", name);
  r->path_len += (size_t)n < room ? (size_t)n : room - 1;
  return before;
}

static void leave(struct reader *r, size_t before) {
  r->path_len = before;
  r->path[before] = '\0';
}

static struct slice scalar_text(const yaml_node_t *node) {
  return slice_of(node->data.scalar.value, node->data.scalar.length);
}

/* What a plain scalar is when it is nothing: YAML's null. */
static bool is_null(const yaml_node_t *node) {
  struct slice text = node->type == YAML_SCALAR_NODE ? scalar_text(node) : (struct slice){0};
  return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
         (text.len == 0 || slice_equal(text, SLICE("~")) ||
          slice_equal_nocase(text, SLICE("null")));
}

static const char *kind_of(const yaml_node_t *node) {
  return is_null(node)                      ? "nothing"
         : node->type == YAML_SCALAR_NODE   ? "a single value"
         : node->type == YAML_SEQUENCE_NODE ? "a list"
                                            : "a mapping";
}

/* Looks at a node that should be a single value. */
static int scalar(struct reader *r, const yaml_node_t *node, struct value *out) {
  unsigned line = line_of(node);
  if (node->type != YAML_SCALAR_NODE || is_null(node)) {
    return fail(r, line, "wants a single value, not %s", kind_of(node));
  }
  *out = (struct value){.node = node, .text = scalar_text(node), .line = line};
  if (out->text.len == 0) {
    return fail(r, line, "is empty");
  }
  if (out->text.len > CONFIG_TEXT_MAX) {
    return fail(r, line, "is longer than %d bytes", CONFIG_TEXT_MAX);
  }
  for (size_t i = 0; i < out->text.len; i++) {
    if ((unsigned char)out->text.ptr[i] < ' ' || out->text.ptr[i] == 0x7f) {
      return fail(r, line, "holds a line break or another control character");
    }
  }
  return 0;
}

static bool is_path(const struct setting *key, struct slice text) {
  return key->kind == SETTING_PATH || key->kind == SETTING_PATHS ||
         (key->kind == SETTING_SOURCE && !value_is_url(text));
}

/* Whether it may hold a password, as a URL does in front of an `@`, however it is misspelt. */
static bool is_secret(struct slice text) {
  return memchr(text.ptr, '@', text.len) != NULL;
}

static int store_text(struct reader *r, const struct setting *key, const struct value *v,
                      struct config_text *to) {
  const char *wrong = key->check == NULL ? NULL : key->check(v->text);
  if (wrong != NULL) {
    return is_secret(v->text) ? fail(r, v->line, "%s", wrong)
                              : fail(r, v->line, "%.*s: %s", shown(v->text), v->text.ptr, wrong);
  }
  char *text = strndup(v->text.ptr, v->text.len);
  if (text != NULL && is_path(key, v->text)) {
    char *beside = file_beside(r->file, text);
    free(text);
    text = beside;
  }
  *to = (struct config_text){text, v->node == NULL ? 0 : v->line};
  return text == NULL ? no_memory(r) : 0;
}

static const struct setting_word *find_word(const struct setting *key, struct slice text) {
  for (const struct setting_word *w = key->words; w->name != NULL; w++) {
    if (slice_equal(text, slice_str(w->name))) {
      return w;
    }
  }
  return NULL;
}

static int wrong_word(struct reader *r, const struct setting *key, const struct value *v) {
  char names[128] = "";
  size_t len = 0;
  for (const struct setting_word *w = key->words; w->name != NULL; w++) {
    len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len == 0 ? "" : ", ", w->name);
  }
  return fail(r, v->line, "%.*s is not one of %s", shown(v->text), v->text.ptr, names);
}

/* Writes a number into a member of 1, 4 or 8 bytes: bool, enum or integer. */
static void store_number(const struct setting *key, char *base, uint64_t number) {
  void *to = base + key->at;
  if (key->size == sizeof(bool)) {
    *(bool *)to = number != 0;
  } else if (key->size == sizeof(uint32_t)) {
    *(uint32_t *)to = (uint32_t)number;
  } else {
    *(uint64_t *)to = number;
  }
}

static uint64_t load_number(const struct setting *key, const char *base) {
  const void *from = base + key->at;
  return key->size == sizeof(uint32_t) ? *(const uint32_t *)from : *(const uint64_t *)from;
}

static int parse_integer(struct reader *r, const struct value *v, uint64_t *out) {
  if (v->node != NULL && v->node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
    return fail(r, v->line, "wants a number, not a text in quotes");
  }
  return slice_u64(v->text, out) ? 0
                                 : fail(r, v->line, "%.*s is not a whole number; digits only",
                                        shown(v->text), v->text.ptr);
}

static int parse_size(struct reader *r, const struct value *v, uint64_t *out) {
  return units_size(v->text, out) ? 0
                                  : fail(r, v->line, "%.*s is not a size, such as 512MiB or 50GiB",
                                         shown(v->text), v->text.ptr);
}

static int parse_duration(struct reader *r, const struct value *v, uint64_t *out) {
  uint64_t ms, number;
  if (units_duration(v->text, &ms)) {
    *out = ms / 1000;
    return ms % 1000 == 0
               ? 0
               : fail(r, v->line, "%.*s is not whole seconds", shown(v->text), v->text.ptr);
  }
  if (slice_u64(v->text, &number)) {
    return number > 0 && number % 60 == 0
               ? fail(r, v->line, "%.*s has no unit; write %llum if it is seconds", shown(v->text),
                      v->text.ptr, (unsigned long long)(number / 60))
               : fail(r, v->line, "%.*s has no unit; write %.*ss if it is seconds", shown(v->text),
                      v->text.ptr, shown(v->text), v->text.ptr);
  }
  return fail(r, v->line, "%.*s is not a duration, such as 30s, 15m or 24h", shown(v->text),
              v->text.ptr);
}

/* A bound as it would be written: `24h`, `200`. */
static void print_bound(const struct setting *key, uint64_t bound, char out[32]) {
  if (key->kind == SETTING_SIZE) {
    const uint64_t kib = 1024, mib = kib * kib;
    uint64_t unit = bound % mib == 0 ? mib : bound % kib == 0 ? kib : 1;
    snprintf(out, 32, "%llu%s", (unsigned long long)(bound / unit),
             unit == mib   ? "MiB"
             : unit == kib ? "KiB"
                           : "");
    return;
  }
  bool time = key->kind == SETTING_DURATION;
  uint64_t unit = !time || bound == 0  ? 1
                  : bound % 86400 == 0 ? 86400
                  : bound % 3600 == 0  ? 3600
                  : bound % 60 == 0    ? 60
                                       : 1;
  snprintf(out, 32, "%llu%s", (unsigned long long)(bound / unit),
           !time           ? ""
           : unit == 86400 ? "d"
           : unit == 3600  ? "h"
           : unit == 60    ? "m"
                           : "s");
}

static const struct setting *find_key(const struct setting *keys, size_t count, struct slice name) {
  for (size_t i = 0; i < count; i++) {
    if (keys[i].name != NULL && slice_equal(name, slice_str(keys[i].name))) {
      return &keys[i];
    }
  }
  return NULL;
}

/* `keys` are those beside it, among them the one that it must not exceed. */
static int read_number(struct reader *r, const struct setting *key, const struct value *v,
                       const struct setting *keys, size_t count, char *base) {
  uint64_t number = 0;
  char low[32], high[32];
  int parsed = key->kind == SETTING_INTEGER ? parse_integer(r, v, &number)
               : key->kind == SETTING_SIZE  ? parse_size(r, v, &number)
                                            : parse_duration(r, v, &number);
  if (parsed != 0) {
    return -1;
  }
  if (number < key->min || number > key->max) {
    print_bound(key, key->min, low);
    print_bound(key, key->max, high);
    if (key->max == INT64_MAX && number < key->min) { /* a bound of the type, which tells nobody */
      return fail(r, v->line, "%.*s is less than %s", SLICE_ARG(v->text), low);
    }
    return fail(r, v->line, "%.*s is not within %s and %s", SLICE_ARG(v->text), low, high);
  }
  if (key->at_most != NULL) {
    uint64_t most = load_number(find_key(keys, count, slice_str(key->at_most)), base);
    if (number > most && v->node != NULL) {
      print_bound(key, most, high);
      return fail(r, v->line, "%.*s is more than %s, which is %s", SLICE_ARG(v->text), key->at_most,
                  high);
    }
    number = number < most ? number : most;
  }
  store_number(key, base, number);
  return 0;
}

static int read_map(struct reader *r, const yaml_node_t *map, const struct setting *keys,
                    size_t count, char *base);

/* Looks at a node that should be a list of at most `max`, and not empty. */
static int sequence(struct reader *r, const yaml_node_t *node, size_t max, const char *like,
                    size_t *count) {
  if (node->type != YAML_SEQUENCE_NODE) {
    return fail(r, line_of(node), "wants a list, such as %s, not %s", like, kind_of(node));
  }
  *count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
  return *count <= max ? 0
                       : fail(r, line_of(node), "has %zu entries; %zu are the most", *count, max);
}

static const yaml_node_t *item(const struct reader *r, const yaml_node_t *node, size_t i) {
  return yaml_document_get_node(r->document, node->data.sequence.items.start[i]);
}

static int read_rows(struct reader *r, const struct setting *key, const yaml_node_t *node,
                     char *base) {
  size_t *count = (void *)(base + key->count_at), rows = 0;
  if (sequence(r, node, CONFIG_ROWS_MAX, "[{…}]", &rows) != 0) {
    return -1;
  }
  char *row = calloc(rows + 1, key->row_size);
  if (row == NULL) {
    return no_memory(r);
  }
  memcpy(base + key->at, &row, sizeof row);
  for (size_t i = 0; i < rows; i++, row += key->row_size) {
    size_t before = enter(r, NULL, i);
    ++*count; /* before it is read, so that what was read of it is freed */
    if (read_map(r, item(r, node, i), key->keys, key->key_count, row) != 0) {
      return -1;
    }
    leave(r, before);
  }
  return 0;
}

static int add_text(struct reader *r, const struct setting *key, const struct value *v,
                    struct config_texts *texts) {
  if (key->words != NULL && find_word(key, v->text) == NULL) {
    return wrong_word(r, key, v);
  }
  struct config_text *to = &texts->items[texts->count];
  if (store_text(r, key, v, to) != 0) {
    return -1;
  }
  texts->count++;
  for (size_t i = 0; i + 1 < texts->count; i++) {
    if (strcmp(texts->items[i].text, to->text) == 0) {
      return fail(r, v->line, "%.200s is there twice", to->text);
    }
  }
  return 0;
}

static int read_texts(struct reader *r, const struct setting *key, const struct value *v,
                      char *base) {
  struct config_texts *texts = (void *)(base + key->at);
  size_t count = 1;
  if (v->node != NULL && sequence(r, v->node, CONFIG_LIST_MAX, "[…]", &count) != 0) {
    return -1;
  }
  if (count == 0 && !key->may_be_empty) {
    return fail(r, v->line, "is an empty list; it wants at least one entry");
  }
  texts->items = calloc(count + 1, sizeof *texts->items);
  if (texts->items == NULL) {
    return no_memory(r);
  }
  if (v->node == NULL) {
    return add_text(r, key, v, texts);
  }
  for (size_t i = 0; i < count; i++) {
    struct value one;
    size_t before = enter(r, NULL, i);
    if (scalar(r, item(r, v->node, i), &one) != 0 || add_text(r, key, &one, texts) != 0) {
      return -1;
    }
    leave(r, before);
  }
  return 0;
}

static int add_pair(struct reader *r, const struct setting *key, const yaml_node_t *name,
                    const yaml_node_t *node, struct config_pairs *pairs) {
  struct setting of_name = *key;
  struct value v;
  of_name.check = key->check_name;
  struct config_pair *to = &pairs->items[pairs->count++]; /* so that what was read of it is freed */
  if (scalar(r, name, &v) != 0 || store_text(r, &of_name, &v, &to->name) != 0) {
    return -1;
  }
  size_t before = enter(r, to->name.text, 0);
  for (size_t i = 0; i + 1 < pairs->count; i++) {
    if (strcmp(pairs->items[i].name.text, to->name.text) == 0) {
      return fail(r, v.line, "is there twice; first in line %u", pairs->items[i].name.line);
    }
  }
  if (scalar(r, node, &v) != 0 || store_text(r, key, &v, &to->value) != 0) {
    return -1;
  }
  leave(r, before);
  return 0;
}

static int read_pairs(struct reader *r, const struct setting *key, const yaml_node_t *map,
                      char *base) {
  struct config_pairs *pairs = (void *)(base + key->at);
  if (map->type != YAML_MAPPING_NODE) {
    return fail(r, line_of(map), "wants a mapping of names to values, not %s", kind_of(map));
  }
  const yaml_node_pair_t *first = map->data.mapping.pairs.start;
  size_t count = (size_t)(map->data.mapping.pairs.top - first);
  if (count > CONFIG_LIST_MAX) {
    return fail(r, line_of(map), "has %zu entries; %d are the most", count, CONFIG_LIST_MAX);
  }
  pairs->items = calloc(count + 1, sizeof *pairs->items);
  if (pairs->items == NULL) {
    return no_memory(r);
  }
  for (size_t i = 0; i < count; i++) {
    if (add_pair(r, key, yaml_document_get_node(r->document, first[i].key),
                 yaml_document_get_node(r->document, first[i].value), pairs) != 0) {
      return -1;
    }
  }
  return 0;
}

static bool is_empty(const yaml_node_t *node) {
  return (node->type == YAML_SEQUENCE_NODE &&
          node->data.sequence.items.start == node->data.sequence.items.top) ||
         (node->type == YAML_MAPPING_NODE &&
          node->data.mapping.pairs.start == node->data.mapping.pairs.top);
}

/* A key whose value is a single one. */
static int read_scalar(struct reader *r, const struct setting *key, const struct value *v,
                       const struct setting *keys, size_t count, char *base) {
  const struct setting_word *word;
  struct config_text checked = {0};
  int rc;
  switch (key->kind) {
  case SETTING_TEXT:
  case SETTING_PATH:
  case SETTING_SOURCE:
    return store_text(r, key, v, (void *)(base + key->at));
  case SETTING_CHECKED:
    rc = store_text(r, key, v, &checked);
    free(checked.text);
    return rc;
  case SETTING_WORD:
    word = find_word(key, v->text);
    if (word == NULL) {
      return wrong_word(r, key, v);
    }
    store_number(key, base, word->value);
    return 0;
  default:
    return read_number(r, key, v, keys, count, base);
  }
}

/* A key that is left out; `map` is NULL when its mapping is. */
static int read_default(struct reader *r, const struct setting *key, const yaml_node_t *map,
                        const struct setting *keys, size_t count, char *base) {
  struct value v = {.text = slice_str(key->preset)};
  if (key->preset == NULL) {
    return key->required && map != NULL ? fail(r, line_of(map), "is missing") : 0;
  }
  return key->kind == SETTING_TEXTS ? read_texts(r, key, &v, base)
                                    : read_scalar(r, key, &v, keys, count, base);
}

static int read_node(struct reader *r, const struct setting *key, const yaml_node_t *node,
                     const struct setting *keys, size_t count, char *base) {
  struct value v = {.node = node, .line = line_of(node)};
  switch (key->kind) {
  case SETTING_EMPTY:
    return is_empty(node) ? 0 : fail(r, v.line, "is not supported yet; leave it out");
  case SETTING_ROWS:
    return read_rows(r, key, node, base);
  case SETTING_PAIRS:
    return read_pairs(r, key, node, base);
  case SETTING_TEXTS:
  case SETTING_PATHS:
    return read_texts(r, key, &v, base);
  default:
    return scalar(r, node, &v) != 0 ? -1 : read_scalar(r, key, &v, keys, count, base);
  }
}

/* `node` is NULL when the key is left out. */
static int read_key(struct reader *r, const struct setting *key, const yaml_node_t *node,
                    const yaml_node_t *map, const struct setting *keys, size_t count, char *base) {
  switch (key->kind) {
  case SETTING_PRESENT:
  case SETTING_LINE:
    store_number(key, base, map != NULL ? line_of(map) : 0);
    return 0;
  case SETTING_MAP:
    return read_map(r, node, key->keys, key->key_count, base);
  default:
    return node == NULL ? read_default(r, key, map, keys, count, base)
                        : read_node(r, key, node, keys, count, base);
  }
}

static int unknown_key(struct reader *r, const yaml_node_t *node, const struct setting *keys,
                       size_t count) {
  struct slice name = scalar_text(node);
  const char *nearest = NULL;
  size_t distance = 3;
  if (slice_equal(name, SLICE("<<"))) {
    return fail(r, line_of(node), "merge keys (<<) are not taken; write the keys out");
  }
  for (size_t i = 0; i < count; i++) {
    size_t d =
        keys[i].name == NULL ? distance : value_distance(name, slice_str(keys[i].name), distance);
    if (d < distance) {
      distance = d;
      nearest = keys[i].name;
    }
  }
  char key[65];
  snprintf(key, sizeof key, "%.*s", shown(name), name.ptr);
  enter(r, key, 0);
  for (size_t i = 0; i < count && nearest == NULL; i++) {
    if (name.len >= 3 && keys[i].name != NULL && slice_starts(slice_str(keys[i].name), name)) {
      nearest = keys[i].name;
    }
  }
  return nearest == NULL ? fail(r, line_of(node), "there is no such key")
                         : fail(r, line_of(node), "there is no such key; is it %s?", nearest);
}

/* Finds the node of each key of the table. */
static int match_keys(struct reader *r, const yaml_node_t *map, const struct setting *keys,
                      size_t count, const yaml_node_t *found[SETTINGS_MAX]) {
  unsigned lines[SETTINGS_MAX] = {0};
  for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
       pair < map->data.mapping.pairs.top; pair++) {
    const yaml_node_t *name = yaml_document_get_node(r->document, pair->key);
    if (name->type != YAML_SCALAR_NODE) {
      return fail(r, line_of(name), "a key is a word, not %s", kind_of(name));
    }
    const struct setting *key = find_key(keys, count, scalar_text(name));
    if (key == NULL) {
      return unknown_key(r, name, keys, count);
    }
    size_t i = (size_t)(key - keys);
    if (found[i] != NULL) {
      enter(r, key->name, 0);
      return fail(r, line_of(name), "is there twice; first in line %u", lines[i]);
    }
    found[i] = yaml_document_get_node(r->document, pair->value);
    lines[i] = line_of(name);
  }
  return 0;
}

/* A key that there must be, or else the first. */
static const char *example_of(const struct setting *keys, size_t count) {
  const char *example = "";
  for (size_t i = count; i-- > 0;) {
    example = keys[i].name != NULL ? keys[i].name : example;
  }
  for (size_t i = count; i-- > 0;) {
    example = keys[i].required ? keys[i].name : example;
  }
  return example;
}

/* With `map` NULL the defaults alone are read. */
static int read_map(struct reader *r, const yaml_node_t *map, const struct setting *keys,
                    size_t count, char *base) {
  const yaml_node_t *found[SETTINGS_MAX] = {0};
  if (map != NULL && map->type != YAML_MAPPING_NODE) {
    return fail(r, line_of(map), "wants a mapping of keys, such as {%s: …}, not %s",
                example_of(keys, count), kind_of(map));
  }
  if (map != NULL && match_keys(r, map, keys, count, found) != 0) {
    return -1;
  }
  for (size_t i = 0; i < count; i++) {
    size_t before = keys[i].name == NULL ? r->path_len : enter(r, keys[i].name, 0);
    if (read_key(r, &keys[i], found[i], map, keys, count, base) != 0) {
      return -1;
    }
    leave(r, before);
  }
  return 0;
}

int reader_read(const char *file, yaml_document_t *document, const struct setting *keys,
                size_t count, void *base, struct error *e) {
  struct reader r = {.file = file, .document = document, .error = e};
  return read_map(&r, yaml_document_get_root_node(document), keys, count, base);
}

static void free_texts(struct config_texts *texts) {
  for (size_t i = 0; i < texts->count; i++) {
    free(texts->items[i].text);
  }
  free(texts->items);
}

static void free_pairs(struct config_pairs *pairs) {
  for (size_t i = 0; i < pairs->count; i++) {
    free(pairs->items[i].name.text);
    free(pairs->items[i].value.text);
  }
  free(pairs->items);
}

static void free_rows(const struct setting *key, const char *base) {
  char *rows;
  const size_t *count = (const void *)(base + key->count_at);
  memcpy(&rows, base + key->at, sizeof rows);
  for (size_t i = 0; i < *count; i++) {
    reader_free(key->keys, key->key_count, rows + i * key->row_size);
  }
  free(rows);
}

void reader_free(const struct setting *keys, size_t count, void *base) {
  for (size_t i = 0; i < count; i++) {
    void *member = (char *)base + keys[i].at;
    switch (keys[i].kind) {
    case SETTING_MAP:
      reader_free(keys[i].keys, keys[i].key_count, base);
      break;
    case SETTING_ROWS:
      free_rows(&keys[i], base);
      break;
    case SETTING_TEXT:
    case SETTING_PATH:
    case SETTING_SOURCE:
      free(((struct config_text *)member)->text);
      break;
    case SETTING_TEXTS:
    case SETTING_PATHS:
      free_texts(member);
      break;
    case SETTING_PAIRS:
      free_pairs(member);
      break;
    default:
      break;
    }
  }
}
