#include "command.h"

#include "auth/password.h"
#include "auth/scope.h"
#include "base/clock.h"
#include "db/user_store.h"
#include "prompt.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

_Static_assert((int)SCOPE_PULL == (int)USER_STORE_PULL && (int)SCOPE_PUSH == (int)USER_STORE_PUSH,
               "the store keeps what scope_granted() is asked with");

/* What a command is about. */
struct request {
  struct config config;
  char **operands;
  int count;
  bool json;
  struct slice name, pattern;
  unsigned actions;
  struct slice allowed; /* the actions, for the audit log */
  char hash[PASSWORD_HASH_SPACE];
  bool known; /* there is such a user */
};

static int read_name(struct request *r, struct error *e) {
  r->name = slice_str(r->operands[0]);
  const char *wrong = user_store_name_check(r->name);
  return wrong == NULL ? 0 : error_set(e, ERROR_USAGE, "%s", wrong);
}

/* Reads the arguments, the first of which is a name where there are any, and the configuration. */
static int begin(int argc, char **argv, int min, int max, struct request *r, struct error *e) {
  const char *config_path = NULL;
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "json", .flag = &r->json}};
  if (args_read(argc, argv, options, max == 0 ? 2 : 1, min, INT_MAX, &r->operands, &r->count, e) !=
      0) {
    return -1;
  }
  if (r->count > max) { /* which may be a password: it is not shown */
    return error_set(e, ERROR_USAGE, "too many arguments; see `swarmgate %s --help`", argv[0]);
  }
  return max > 0 && read_name(r, e) != 0 ? -1 : command_config_here(config_path, &r->config, e);
}

static int in_db(struct request *r,
                 int (*run)(struct db *db, db_read_fn *fn, void *arg, struct error *e),
                 db_read_fn *work, void *arg, struct error *e) {
  struct db *db;
  if (db_open(r->config.data_dir.text, &db, e) != 0) {
    return -1;
  }
  int rc = run(db, work, arg, e);
  db_close(db);
  return rc;
}

/* Not refused: the token service may be added later. */
static void note_no_service(const struct request *r) {
  if (!r->config.token_service.present) {
    fprintf(stderr,
            "swarmgate: note: %s has no token_service, which is what users and their grants are "
            "for\n",
            r->config.file);
  }
}

/* The last that a command does: it records the change, then makes it. What fails after it was
 * recorded is in the log all the same. */
static int finish(struct request *r, const char *event, const char *action, db_write_fn *work,
                  struct error *e) {
  const struct audit_event record = {.event = slice_str(event),
                                     .action = slice_str(action),
                                     .user = r->name,
                                     .pattern = r->pattern,
                                     .access = &r->allowed,
                                     .access_count = r->allowed.len > 0 ? 1 : 0};
  int rc = command_record(&r->config, record, e);
  if (rc == 0) {
    rc = in_db(r, db_write_now, work, r, e);
  }
  if (rc == 0 && strcmp(action, "add") == 0) {
    note_no_service(r);
  }
  config_free(&r->config);
  return rc;
}

static int add(struct db_txn *txn, void *arg, struct error *e) {
  const struct request *r = arg;
  return user_store_add(txn, r->name, slice_str(r->hash), clock_now(), e);
}

static int set_password(struct db_txn *txn, void *arg, struct error *e) {
  const struct request *r = arg;
  return user_store_set_password(txn, r->name, slice_str(r->hash), clock_now(), e);
}

static int look_up(struct db_txn *txn, void *arg, struct error *e) {
  struct request *r = arg;
  struct arena arena = {0};
  struct user_record user;
  struct error why = {0};
  int rc = user_store_get(txn, r->name, &arena, &user, &why);
  arena_free(&arena);
  r->known = rc == 0;
  return rc == 0 || why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
}

static int hash_input(struct request *r, struct error *e) {
  char text[PROMPT_SPACE];
  int len = prompt_password(text, e);
  int rc = len < 0 ? -1 : password_hash(slice_of(text, (size_t)len), r->hash, e);
  explicit_bzero(text, sizeof text);
  return rc;
}

/* Nobody types a password for nothing: whether the user is there is looked up first, and once more
 * when it is set. In between the database is closed, for its thread would take signals while the
 * terminal does not show what is typed. */
static int with_password(int argc, char **argv, bool known, const char *action, db_write_fn *work,
                         struct error *e) {
  struct request r = {0};
  if (begin(argc, argv, 1, 1, &r, e) != 0) {
    return -1;
  }
  int rc = in_db(&r, db_read, look_up, &r, e);
  if (rc == 0 && r.known == known) {
    rc = hash_input(&r, e);
  }
  if (rc != 0) {
    config_free(&r.config);
    return -1;
  }
  return finish(&r, "user", action, work, e);
}

int command_user_add(int argc, char **argv, struct error *e) {
  return with_password(argc, argv, false, "add", add, e);
}

int command_user_passwd(int argc, char **argv, struct error *e) {
  return with_password(argc, argv, true, "passwd", set_password, e);
}

static int remove_user(struct db_txn *txn, void *arg, struct error *e) {
  const struct request *r = arg;
  return user_store_remove(txn, r->name, e);
}

int command_user_remove(int argc, char **argv, struct error *e) {
  struct request r = {0};
  return begin(argc, argv, 1, 1, &r, e) != 0 ? -1 : finish(&r, "user", "remove", remove_user, e);
}

static int grant(struct db_txn *txn, void *arg, struct error *e) {
  const struct request *r = arg;
  return user_store_grant(txn, r->name, r->pattern, r->actions, e);
}

static int ungrant(struct db_txn *txn, void *arg, struct error *e) {
  const struct request *r = arg;
  return user_store_ungrant(txn, r->name, r->pattern, r->actions, e);
}

/* A token service takes `pull,` for `pull` and passes over what it does not know; who types a grant
 * means something by each of them. */
static bool read_actions(const char *text, bool alone, unsigned *out) {
  *out = strcmp(text, "pull") == 0            ? SCOPE_PULL
         : strcmp(text, "pull,push") == 0     ? SCOPE_PULL | SCOPE_PUSH
         : strcmp(text, "push,pull") == 0     ? SCOPE_PULL | SCOPE_PUSH
         : alone && strcmp(text, "push") == 0 ? SCOPE_PUSH
                                              : 0;
  return *out != 0;
}

/* \param fewest arguments: without the last all actions are meant. */
static int change_grant(int argc, char **argv, int fewest, const char *action, db_write_fn *work,
                        struct error *e) {
  struct request r = {0};
  if (begin(argc, argv, fewest, 3, &r, e) != 0) {
    return -1;
  }
  const char *actions = r.count < 3 ? "pull,push" : r.operands[2];
  r.pattern = slice_str(r.operands[1]);
  bool may_omit = fewest < 3;
  if (!read_actions(actions, may_omit, &r.actions)) {
    config_free(&r.config);
    return error_set(e, ERROR_USAGE, "%s: %s", actions,
                     may_omit ? "pull, push or pull,push is wanted"
                              : "a grant is of pull, or of pull,push");
  }
  r.allowed = (r.actions & SCOPE_PUSH) == 0   ? SLICE("pull")
              : (r.actions & SCOPE_PULL) == 0 ? SLICE("push")
                                              : SLICE("pull,push");
  return finish(&r, "grant", action, work, e);
}

int command_user_grant(int argc, char **argv, struct error *e) {
  return change_grant(argc, argv, 3, "add", grant, e);
}

int command_user_ungrant(int argc, char **argv, struct error *e) {
  return change_grant(argc, argv, 2, "remove", ungrant, e);
}

/* RFC 3339 in UTC; `?` of a time that has no such form. */
static void print_time(int64_t when, char out[32]) {
  const time_t seconds = (time_t)when;
  struct tm utc;
  if (gmtime_r(&seconds, &utc) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
    snprintf(out, 32, "?");
  }
}

static bool print_user(void *arg, const struct user_record *user) {
  char changed[32];
  (void)arg;
  print_time(user->changed, changed);
  printf("%.*s  %s\n", SLICE_ARG(user->name), changed);
  for (size_t i = 0; i < user->grant_count; i++) {
    printf("  %.*s  %s\n", SLICE_ARG(user->grants[i].pattern),
           (user->grants[i].actions & USER_STORE_PUSH) != 0 ? "pull,push" : "pull");
  }
  return true;
}

/* A list that ran out of memory becomes NULL. */
static bool add_to_json(void *arg, const struct user_record *user) {
  json_t **list = arg, *grants = json_array();
  char changed[32];
  print_time(user->changed, changed);
  for (size_t i = 0; i < user->grant_count; i++) {
    const struct user_grant *g = &user->grants[i];
    json_t *actions = (g->actions & USER_STORE_PUSH) != 0 ? json_pack("[s, s]", "pull", "push")
                                                          : json_pack("[s]", "pull");
    json_t *one =
        json_pack("{s:s%, s:o}", "pattern", g->pattern.ptr, g->pattern.len, "actions", actions);
    if (json_array_append_new(grants, one) != 0) {
      json_decref(grants);
      grants = NULL;
    }
  }
  json_t *one = json_pack("{s:s%, s:s, s:o}", "name", user->name.ptr, user->name.len,
                          "password_changed", changed, "grants", grants);
  if (json_array_append_new(*list, one) != 0) {
    json_decref(*list);
    *list = NULL;
  }
  return *list != NULL;
}

static int list_lines(struct db_txn *txn, void *arg, struct error *e) {
  return user_store_each(txn, print_user, arg, e);
}

static int list_json(struct db_txn *txn, void *arg, struct error *e) {
  return user_store_each(txn, add_to_json, arg, e);
}

int command_user_list(int argc, char **argv, struct error *e) {
  struct request r = {0};
  if (begin(argc, argv, 0, 0, &r, e) != 0) {
    return -1;
  }
  json_t *list = r.json ? json_array() : NULL;
  int rc = in_db(&r, db_read, r.json ? list_json : list_lines, &list, e);
  config_free(&r.config);
  if (rc == 0 && r.json && list == NULL) {
    rc = error_set(e, ERROR_FAILED, "cannot list the users: out of memory");
  } else if (rc == 0 && r.json) {
    json_dumpf(list, stdout, JSON_INDENT(2));
    puts("");
  }
  json_decref(list);
  return rc;
}
