#include "node/feeders.h"

#include <stdlib.h>

struct line {
  struct line *next;
  char *server; /* scheme, host and port */
  struct feeder *feeder;
};

struct feeders {
  struct feeder_options options;
  struct line *lines;
};

struct feeders *feeders_new(const struct feeder_options *options) {
  struct feeders *f = calloc(1, sizeof *f);
  if (f != NULL) {
    f->options = *options;
  }
  return f;
}

static void free_line(struct line *line) {
  feeder_free(line->feeder);
  free(line->server);
  free(line);
}

void feeders_free(struct feeders *f) {
  struct line *line;
  if (f == NULL) {
    return;
  }
  while ((line = f->lines) != NULL) {
    f->lines = line->next;
    free_line(line);
  }
  free(f);
}

static struct slice server_of(const char *url) {
  const char *host = strstr(url, "://");
  const char *end = host == NULL ? NULL : strchr(host + 3, '/');
  return end == NULL ? slice_str(url) : slice_of(url, (size_t)(end - url));
}

static struct line *add(struct feeders *f, struct slice server) {
  struct line *line = calloc(1, sizeof *line);
  if (line == NULL) {
    return NULL;
  }
  line->server = strndup(server.ptr, server.len);
  line->feeder = feeder_new(&f->options);
  if (line->server == NULL || line->feeder == NULL) {
    free_line(line);
    return NULL;
  }
  line->next = f->lines;
  f->lines = line;
  return line;
}

struct feeder *feeders_find(struct feeders *f, const char *url, struct error *e) {
  struct slice server = server_of(url);
  struct line *line = f->lines;
  while (line != NULL && !slice_equal(slice_str(line->server), server)) {
    line = line->next;
  }
  line = line != NULL ? line : add(f, server);
  if (line == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  return line->feeder;
}
