#include "command.h"

#include "base/cleanup.h"
#include "db/torrent_store.h"
#include "image/reference.h"
#include "sync.h"
#include "tools/swarm.h"
#include "tools/upstream.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- asking --- */

static int refuse(const struct sync *s, int status, struct error *e) {
  switch (status) {
  case 401:
  case 403:
    return error_set(e, ERROR_DENIED,
                     "the registry %s answered %d: see its `credentials` under `registries`",
                     s->registry, status);
  default:
    return error_set(e, ERROR_FAILED, "the registry %s answered %d", s->registry, status);
  }
}

enum sync_answer sync_judge(const struct sync *s, const struct registry_get *get,
                            const struct registry_reply *reply, struct error *e) {
  if (reply->status == 200) {
    return SYNC_THERE;
  }
  if (reply->elsewhere) {
    error_set(e, ERROR_FAILED, "where the registry %s redirects to answered %d", s->registry,
              reply->status);
    return SYNC_FAILED;
  }
  /* The answer to a HEAD has no body to tell by. */
  if (reply->status == 404 && !reply->redirected &&
      (reply->is_error || strcmp(get->method, "HEAD") == 0)) {
    error_set(e, ERROR_NOT_FOUND, "the registry %s has no such thing, or hides it", s->registry);
    return SYNC_GONE;
  }
  refuse(s, reply->status, e);
  return SYNC_FAILED;
}

void sync_heard(struct sync *s, int result, const struct registry_reply *reply,
                const struct error *e) {
  if (result == 0 || reply->status != 0 || e->kind == ERROR_DENIED) {
    s->silences = 0;
  } else if (e->kind == ERROR_FAILED) { /* and not what cannot be asked */
    s->silences++;
  }
}

enum sync_answer sync_ask(struct sync *s, const struct registry_get *get, uint64_t size,
                          image_sink *sink, void *arg, struct arena *arena,
                          struct registry_reply *reply, struct error *e) {
  int result = registry_session_ask(s->session, get, size, sink, arg, arena, reply, e);
  sync_heard(s, result, reply, e);
  return result == 0 ? sync_judge(s, get, reply, e) : SYNC_FAILED;
}

/* --- saying --- */

void sync_fail(struct sync_repository *r, const struct error *e) {
  struct sync *s = r->sync;
  r->counts.failed++;
  if (s->first.kind == ERROR_NONE) {
    s->first = *e;
  }
  json_array_append_new(r->failed, json_string(e->text));
  fprintf(stderr, "swarmgate: %s\n", e->text);
}

void sync_say(struct sync_repository *r, const char *verb, const struct sync_blob *blob,
              json_t *list, size_t *count) {
  ++*count;
  json_array_append_new(list, json_string(blob->digest));
  if (!r->sync->json) {
    printf("%-10s  %s  %s\n", verb, blob->digest, r->name);
    fflush(stdout);
  }
}

static void print_json(const struct sync *s) {
  const struct sync_counts *t = &s->total;
  json_t *json = json_pack("{s:s, s:O, s:I, s:I, s:I, s:I, s:I}", "registry", s->registry,
                           "repositories", s->repositories, "manifests", (json_int_t)t->manifests,
                           "hashed", (json_int_t)t->hashed, "registered", (json_int_t)t->registered,
                           "removed", (json_int_t)t->removed, "failed", (json_int_t)t->failed);
  json_dumpf(json, stdout, JSON_INDENT(2));
  puts("");
  json_decref(json);
}

static void print_summary(const struct sync *s) {
  const struct sync_counts *t = &s->total;
  size_t repositories = json_array_size(s->repositories);
  printf("%zu %s, %zu %s: %zu hashed, %zu registered, %zu removed, %zu failed\n", repositories,
         repositories == 1 ? "repository" : "repositories", t->manifests,
         t->manifests == 1 ? "manifest" : "manifests", t->hashed, t->registered, t->removed,
         t->failed);
}

/* --- the repositories --- */

struct known {
  const struct sync *sync;
  struct registry_list *names;
  void *tree; /* of the names that were added here */
  bool failed;
};

static int by_text(const void *a, const void *b) {
  return strcmp(a, b);
}

static int add_name(struct known *k, const char *name) {
  struct registry_list *n = k->names;
  if (n->count == n->capacity) {
    size_t capacity = 2 * n->capacity + 64;
    char **grown = reallocarray(n->names, capacity, sizeof *grown);
    if (grown == NULL) {
      return -1;
    }
    n->names = grown;
    n->capacity = capacity;
  }
  char *copy = strdup(name);
  if (copy == NULL || tsearch(copy, &k->tree, by_text) == NULL) {
    free(copy);
    return -1;
  }
  n->names[n->count++] = copy;
  return 0;
}

static bool add_known(void *arg, const unsigned char infohash[20], struct slice registry,
                      struct slice repository) {
  struct known *k = arg;
  char name[TORRENT_STORE_REPOSITORY_MAX + 1];
  (void)infohash;
  if (slice_equal(registry, slice_str(k->sync->registry))) {
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(repository));
    k->failed = tfind(name, &k->tree, by_text) == NULL && add_name(k, name) != 0;
  }
  return !k->failed;
}

static int read_known(struct db_txn *txn, void *arg, struct error *e) {
  struct known *k = arg;
  if (torrent_store_each_right(txn, add_known, k, e) != 0) {
    return -1;
  }
  return k->failed ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void keep(void *node) {
  (void)node; /* the list owns the names */
}

static int read_catalog(struct sync *s, struct registry_list *names, struct error *e) {
  CLEANUP(arena_free) struct arena arena = {0};
  struct registry_reply reply;
  if (registry_session_list(s->session, NULL, names, &arena, &reply, e) != 0) {
    return error_context(e, "the repositories of %s", s->registry);
  }
  if (reply.status != 200) {
    refuse(s, reply.status, e);
    return error_context(e, "no list of all repositories can be had, give the NAME of one");
  }
  return 0;
}

/* Those of the catalog, and those to which something is registered: they may be gone from it. */
static int sync_all(struct sync *s, struct error *e) {
  CLEANUP(registry_list_free) struct registry_list names = {0};
  struct known known = {.sync = s, .names = &names};
  if (read_catalog(s, &names, e) != 0) {
    return -1;
  }
  int result = db_read(s->db, read_known, &known, e);
  tdestroy(known.tree, keep);
  if (result != 0) {
    return -1;
  }
  if (names.count > 0) {
    qsort(names.names, names.count, sizeof *names.names, by_name);
  }
  for (size_t i = 0; i < names.count && s->silences < SYNC_SILENCES_MAX; i++) {
    if (i == 0 || strcmp(names.names[i], names.names[i - 1]) != 0) {
      /* A catalog may list what is empty. */
      sync_repository(s, names.names[i], NULL);
    }
  }
  return 0;
}

/* --- the command --- */

static const struct config_registry *find_registry(const struct config *c, const char *name,
                                                   struct error *e) {
  for (size_t i = 0; i < c->registry_count; i++) {
    if (name == NULL ? c->registry_count == 1 : strcmp(c->registries[i].name.text, name) == 0) {
      return &c->registries[i];
    }
  }
  if (name != NULL) {
    error_set(e, ERROR_USAGE, "--registry %s: %s has no registry of that name", name, c->file);
  } else if (c->registry_count == 0) {
    error_set(e, ERROR_USAGE, "%s has no `registries` to ask", c->file);
  } else {
    error_set(e, ERROR_USAGE, "--registry NAME is missing: which registry of %s is to be asked",
              c->file);
  }
  return NULL;
}

/* How it ended; a failure was said already, when it came. */
static int conclude(const struct sync *s, bool one, struct error *e) {
  size_t failed = s->total.failed;
  if (s->silences >= SYNC_SILENCES_MAX) {
    return error_set(e, ERROR_FAILED,
                     "the registry %s does not answer any more: what is left is for another run",
                     s->registry);
  }
  if (failed == 0) {
    return 0;
  }
  return error_set(e, one && failed == 1 ? s->first.kind : ERROR_FAILED,
                   "%zu %s not be done, as said above; the rest was", failed,
                   failed == 1 ? "thing could" : "things could");
}

static int run(struct sync *s, const char *name, struct error *e) {
  int result = name != NULL ? sync_repository(s, name, e) : sync_all(s, e);
  if (result != 0) {
    return -1;
  }
  if (s->json) {
    print_json(s);
  } else {
    print_summary(s);
  }
  return conclude(s, name != NULL, e);
}

static int open_all(struct sync *s, const struct config *c, const struct config_registry *row,
                    struct error *e) {
  struct image_credentials credentials = {0};
  struct registry_options options;
  s->registry = row->name.text;
  s->format = (enum torrent_format)c->gateway.format;
  s->repositories = json_array();
  int result =
      swarm_load(c, &s->swarm_ca, e) == 0 ? upstream_read(c, row, &credentials, &options, e) : -1;
  if (result == 0) {
    s->session = registry_session_new(&options, e);
    result = s->session == NULL ? -1 : db_open(c->data_dir.text, &s->db, e);
  }
  image_credentials_free(&credentials);
  return result;
}

int command_torrent_sync(int argc, char **argv, struct error *e) {
  const char *config_path = NULL, *registry = NULL;
  struct sync s = {0};
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "registry", .value = &registry},
                                        {.name = "json", .flag = &s.json}};
  char **operands;
  int count;
  struct config config = {0};
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 0, 1, &operands, &count,
                e) != 0) {
    return -1;
  }
  const char *name = count == 1 ? operands[0] : NULL;
  if (name != NULL && !image_name_valid(slice_str(name))) {
    return error_set(e, ERROR_USAGE, "%.255s: not a repository's name", name);
  }
  if (command_config_here(config_path, &config, e) != 0) {
    return -1;
  }
  const struct config_registry *row = find_registry(&config, registry, e);
  int result = row == NULL ? -1 : open_all(&s, &config, row, e);
  if (result == 0) {
    result = run(&s, name, e);
  }
  if (s.db != NULL) {
    db_close(s.db);
  }
  registry_session_free(s.session);
  swarm_ca_release(s.swarm_ca);
  json_decref(s.repositories);
  config_free(&config);
  return result;
}
