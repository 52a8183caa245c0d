#include "command.h"

#include "base/clock.h"
#include "db/refresh_store.h"
#include "db/revocation_store.h"
#include "revoke_known.h"
#include "revoke_target.h"
#include "tools/issuers.h"
#include "tools/retention.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BAR_SECONDS = 10 * 60, TIME_TEXT_MAX = 32 };

static const char *time_text(int64_t date, char out[TIME_TEXT_MAX]) {
  struct tm utc;
  time_t time = date;
  gmtime_r(&time, &utc);
  strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return out;
}

/* Behind what is revoked: until when. */
static void print_times(const struct revocation_record *r) {
  char at[TIME_TEXT_MAX], until[TIME_TEXT_MAX], expires[TIME_TEXT_MAX];
  printf(": refused when issued up to %s", time_text(r->at, at));
  if (r->until == REVOCATION_BAN) {
    puts(", nothing is issued until it is removed");
    return;
  }
  if (r->until != 0) {
    printf(", nothing is issued until %s", time_text(r->until, until));
  }
  printf(", kept until %s\n", time_text(r->expires, expires));
}

static void print_target(const struct revoke_target *t) {
  printf("%s", revocation_kind_name(t->kind));
  for (size_t i = 0; i < t->count; i++) {
    printf("%s %.*s", i == 0 ? "" : ",", SLICE_ARG(t->values[i]));
  }
}

/* Recorded before it is done: an event for each value, under the name of its kind. */
static int record(const struct revoke_target *t, const char *event, int64_t until,
                  struct error *e) {
  for (size_t i = 0; i < t->count; i++) {
    struct audit_event record = {.event = slice_str(event), .until = until};
    struct slice *member = t->kind == REVOCATION_JTI          ? &record.jti
                           : t->kind == REVOCATION_SUB        ? &record.sub
                           : t->kind == REVOCATION_REPOSITORY ? &record.repository
                                                              : &record.kid;
    if (t->kind == REVOCATION_INFOHASH) {
      record.infohashes = &t->values[i];
      record.infohash_count = 1;
    } else {
      *member = t->values[i];
    }
    if (command_record(&t->config, record, e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* --- revoke --- */

struct revoking {
  const struct revoke_target *target;
  int64_t bar;                     /* seconds; 0 none, REVOCATION_BAN */
  int64_t now, kept;               /* kept: for how many seconds */
  struct revocation_record stored; /* the latest times of what is there now */
};

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* The refresh tokens of a user of ours outlive any record. */
static int end_refresh_tokens(struct db_txn *txn, const struct revoking *r, struct slice value,
                              struct error *e) {
  const struct config *config = &r->target->config;
  if (r->target->kind != REVOCATION_SUB || !config->token_service.present) {
    return 0;
  }
  struct slice registry = slice_str(config_service_registry(config));
  struct slice user = slice_from(value, registry.len + 1);
  return user.len > 0 && slice_starts(value, registry) && value.ptr[registry.len] == '/'
             ? refresh_store_remove_user(txn, user, e)
             : 0;
}

static int put_one(struct db_txn *txn, struct revoking *r, struct slice value, struct error *e) {
  bool ban = r->bar == REVOCATION_BAN;
  int64_t until = ban ? REVOCATION_BAN : r->bar == 0 ? 0 : r->now + r->bar;
  struct revocation_record record = {.kind = (uint8_t)r->target->kind,
                                     .value = value,
                                     .at = r->now,
                                     .until = until,
                                     .expires = later(until, r->now + r->kept)};
  if (end_refresh_tokens(txn, r, value, e) != 0 || revocation_store_put(txn, &record, e) != 0 ||
      revocation_store_get(txn, record.kind, value, &record, e) != 0) {
    return -1;
  }
  r->stored.at = later(r->stored.at, record.at);
  r->stored.until = later(r->stored.until, record.until);
  r->stored.expires = later(r->stored.expires, record.expires);
  return 0;
}

static int put_all(struct db_txn *txn, void *arg, struct error *e) {
  struct revoking *r = arg;
  r->stored = (struct revocation_record){0};
  if (revocation_store_drop(txn, r->now, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < r->target->count; i++) {
    if (put_one(txn, r, r->target->values[i], e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* What was issued while the first write was on its way to the disk knows nothing of it, and may say
 * that it was issued later: that is told by the second. */
static int write_revocation(struct db *db, struct revoking *r, struct error *e) {
  r->now = clock_now();
  if (db_write_now(db, put_all, r, e) != 0) {
    return -1;
  }
  int64_t now = clock_now();
  if (now == r->now) {
    return 0;
  }
  r->now = now;
  return db_write_now(db, put_all, r, e);
}

static int make_revocation(const struct revoke_target *t, int64_t bar, struct error *e) {
  struct db *db = NULL;
  struct revoking r = {.target = t, .bar = bar, .kept = retention_seconds(&t->config)};
  int64_t until = bar == 0 || bar == REVOCATION_BAN ? 0 : clock_now() + bar;
  if (record(t, bar == REVOCATION_BAN ? "ban" : "revoke", until, e) != 0 ||
      db_open(t->config.data_dir.text, &db, e) != 0) {
    return -1;
  }
  int result = write_revocation(db, &r, e);
  if (result == 0) {
    printf("revoked ");
    print_target(t);
    print_times(&r.stored);
    fflush(stdout);
    revoke_known_note(t, db);
  }
  db_close(db);
  return result;
}

/* For how long nothing is issued anew. */
static int read_bar(enum revocation_kind kind, const char *duration, bool ban, int64_t *out,
                    struct error *e) {
  bool barred = kind == REVOCATION_SUB || kind == REVOCATION_REPOSITORY;
  *out = ban ? REVOCATION_BAN : 0;
  if (!barred && (ban || duration != NULL)) {
    return error_set(e, ERROR_USAGE, "--for and --ban go with --sub and --repository");
  }
  if (ban && duration != NULL) {
    return error_set(e, ERROR_USAGE, "--for and --ban: one of them, or neither");
  }
  return barred && !ban ? args_seconds("for", duration, BAR_SECONDS, out, e) : 0;
}

/* The options that say what is meant; \return how many. */
static size_t add_selection(struct revoke_selection *s, struct args_option *options) {
  size_t count = 0;
  options[count++] = (struct args_option){.name = "config", .value = &s->config};
  options[count++] = (struct args_option){.name = "registry", .value = &s->registry};
  for (int kind = 1; kind <= REVOCATION_KINDS; kind++) {
    options[count++] = (struct args_option){
        .name = revocation_kind_name((enum revocation_kind)kind), .value = &s->values[kind]};
  }
  return count;
}

int command_revoke(int argc, char **argv, struct error *e) {
  struct revoke_selection selection = {0};
  struct revoke_target target = {0};
  const char *duration = NULL;
  bool ban = false;
  int64_t bar;
  char **operands;
  int operand_count;
  struct args_option options[REVOCATION_KINDS + 4];
  size_t count = add_selection(&selection, options);
  options[count++] = (struct args_option){.name = "for", .value = &duration};
  options[count++] = (struct args_option){.name = "ban", .flag = &ban};
  if (args_read(argc, argv, options, count, 0, 0, &operands, &operand_count, e) != 0) {
    return -1;
  }
  int result = revoke_target_find(&selection, &target, e);
  if (result == 0) {
    result = read_bar(target.kind, duration, ban, &bar, e);
  }
  if (result == 0) {
    result = make_revocation(&target, bar, e);
  }
  revoke_target_free(&target);
  return result;
}

/* --- revoke remove --- */

struct removal {
  const struct revoke_target *target;
  int64_t now;
  struct slice bare; /* the name without its registry, which is revoked still; empty: it is not */
};

/* `revoke --sub NAME` revokes the name as it is, too. */
static void find_bare(struct db_txn *txn, struct removal *r) {
  struct slice name = r->target->values[0];
  struct revocation_record record;
  slice_cut(&name, '/');
  if (r->target->kind == REVOCATION_SUB && r->target->count == 1 && name.len > 0 &&
      revocation_store_get(txn, REVOCATION_SUB, name, &record, NULL) == 0) {
    r->bare = name;
  }
}

/* Of several values one will do. */
static int remove_all(struct db_txn *txn, void *arg, struct error *e) {
  struct removal *r = arg;
  size_t removed = 0;
  if (revocation_store_drop(txn, r->now, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < r->target->count; i++) {
    struct error why = {0};
    int result = revocation_store_remove(txn, (uint8_t)r->target->kind, r->target->values[i], &why);
    removed += result == 0;
    if (result != 0 &&
        (why.kind != ERROR_NOT_FOUND || (i + 1 == r->target->count && removed == 0))) {
      return error_set(e, why.kind, "%s %s", revocation_kind_name(r->target->kind), why.text);
    }
  }
  find_bare(txn, r);
  return 0;
}

int command_revoke_remove(int argc, char **argv, struct error *e) {
  struct revoke_selection selection = {0};
  struct revoke_target target = {0};
  struct db *db = NULL;
  char **operands;
  int operand_count;
  struct args_option options[REVOCATION_KINDS + 2];
  size_t count = add_selection(&selection, options);
  if (args_read(argc, argv, options, count, 0, 0, &operands, &operand_count, e) != 0) {
    return -1;
  }
  int result = revoke_target_find(&selection, &target, e);
  if (result == 0) {
    result = record(&target, "unrevoke", 0, e);
  }
  if (result == 0) {
    result = db_open(target.config.data_dir.text, &db, e);
  }
  if (result == 0) {
    struct removal removal = {.target = &target, .now = clock_now()};
    result = db_write_now(db, remove_all, &removal, e);
    db_close(db);
    if (result == 0 && removal.bare.len > 0) {
      fprintf(
          stderr,
          "swarmgate: note: sub %.*s, without a registry in front, is revoked still; `swarmgate "
          "revoke remove --sub` with that name takes it back\n",
          SLICE_ARG(removal.bare));
    }
  }
  revoke_target_free(&target);
  return result;
}

/* --- revoke list --- */

struct listing {
  int64_t now;
  json_t *json; /* NULL: lines */
  bool failed;
};

static bool add_json(json_t *list, const struct revocation_record *r) {
  bool ban = r->until == REVOCATION_BAN;
  json_t *one = json_pack("{s:s, s:s%, s:I, s:b}", "kind",
                          revocation_kind_name((enum revocation_kind)r->kind), "value",
                          r->value.ptr, r->value.len, "at", (json_int_t)r->at, "ban", ban);
  if (!ban && r->until != 0) {
    json_object_set_new(one, "until", json_integer(r->until));
  }
  if (!ban) {
    json_object_set_new(one, "expires", json_integer(r->expires));
  }
  return json_array_append_new(list, one) == 0;
}

static bool list_one(void *arg, const struct revocation_record *r) {
  struct listing *listing = arg;
  if (r->expires <= listing->now) {
    return true;
  }
  if (listing->json != NULL) {
    listing->failed = !add_json(listing->json, r);
    return !listing->failed;
  }
  printf("%s %.*s", revocation_kind_name((enum revocation_kind)r->kind), SLICE_ARG(r->value));
  print_times(r);
  return true;
}

static int list_all(struct db_txn *txn, void *arg, struct error *e) {
  struct listing *listing = arg;
  int result = revocation_store_each(txn, list_one, listing, e);
  return listing->failed ? error_set(e, ERROR_FAILED, "cannot list the revocations: out of memory")
                         : result;
}

int command_revoke_list(int argc, char **argv, struct error *e) {
  const char *config_path = NULL;
  bool json = false;
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "json", .flag = &json}};
  char **operands;
  int count;
  struct config config = {0};
  struct db *db = NULL;
  if (args_read(argc, argv, options, 2, 0, 0, &operands, &count, e) != 0 ||
      command_config_here(config_path, &config, e) != 0) {
    return -1;
  }
  struct listing listing = {.now = clock_now(), .json = json ? json_array() : NULL};
  int result = db_open(config.data_dir.text, &db, e);
  if (result == 0) {
    result = db_read(db, list_all, &listing, e);
    db_close(db);
  }
  if (result == 0 && json) {
    json_dumpf(listing.json, stdout, JSON_INDENT(2));
    puts("");
  }
  json_decref(listing.json);
  config_free(&config);
  return result;
}
