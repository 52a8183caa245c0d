#include "command.h"
#include "fetched_keys.h"

#include "auth/revocation_load.h"
#include "auth/revocation_set.h"
#include "auth/token.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hex.h"
#include "image/reference.h"
#include "tools/issuers.h"
#include "tools/retention.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct issue {
  struct args_list infohashes;
  const char *scope, *sub;
  int64_t ttl, session;
};

static int record(const struct config *config, const struct token *t, const char *scope,
                  struct error *e) {
  const struct slice access = slice_str(scope);
  const struct audit_event event = {
      .event = SLICE("token"),
      .kind = t->kind == TOKEN_SWARM ? SLICE("swarm") : SLICE("registry"),
      .jti = t->id,
      .sub = t->subject,
      .infohashes = t->infohash_texts,
      .infohash_count = t->infohash_count,
      .access = &access,
      .access_count = scope == NULL ? 0 : 1,
      .exp = t->expires,
      .session = t->session,
  };
  return command_record(config, event, e);
}

/* `t` is a copy: what is filled in here lives no longer than this. */
static int print_signed(const struct config *config, const struct issue *what,
                        const struct key *key, struct token t, struct error *e) {
  char id[33];
  struct buf out = {0};
  if (token_new_id(id, e) != 0) {
    return -1;
  }
  t.id = slice_str(id);
  t.issued = clock_now();
  t.not_before = t.kind == TOKEN_SWARM ? t.issued : 0;
  t.expires = t.issued + what->ttl;
  t.session = t.session == 0 ? 0 : t.issued + t.session;
  int result = token_sign(key, &t, &out, e);
  if (result == 0) {
    result = record(config, &t, what->scope, e);
  }
  if (result == 0) {
    printf("%.*s\n", SLICE_ARG(buf_view(&out)));
  }
  buf_free(&out);
  return result;
}

static int issue_swarm(const struct config *config, const struct issue *what, struct error *e) {
  struct slice texts[ARGS_LIST_MAX];
  struct key key;
  unsigned char ignored[32];
  if (what->infohashes.count > TOKEN_INFOHASHES_MAX) {
    return error_set(e, ERROR_USAGE, "--infohash: a token names %d at most", TOKEN_INFOHASHES_MAX);
  }
  for (size_t i = 0; i < what->infohashes.count; i++) {
    texts[i] = slice_str(what->infohashes.items[i]);
    if (!hex_decode(texts[i], ignored, 20) && !hex_decode(texts[i], ignored, 32)) {
      return error_set(e, ERROR_USAGE, "--infohash %s: 40 or 64 hex digits are wanted",
                       what->infohashes.items[i]);
    }
  }
  if (issuers_signing_key(config, KEY_ANNOUNCE, &key, e) != 0) {
    return -1;
  }
  struct token t = {.kind = TOKEN_SWARM,
                    .issuer = slice_str(config->auth.issuer.text),
                    .audience = slice_str(config->auth.audience.text),
                    .subject = slice_str(what->sub),
                    .session = what->session,
                    .infohash_texts = texts,
                    .infohash_count = what->infohashes.count};
  int result = print_signed(config, what, &key, t, e);
  key_free(&key);
  return result;
}

static int issue_registry(const struct config *config, const struct issue *what, struct error *e) {
  const struct config_token_service *service = &config->token_service;
  struct slice name = slice_str(what->scope);
  struct key key;
  if (!slice_starts(name, SLICE("repository:")) || !slice_ends(name, SLICE(":pull"))) {
    return error_set(e, ERROR_USAGE, "--registry-scope %s: repository:NAME:pull is wanted",
                     what->scope);
  }
  name = slice_from(name, sizeof "repository:" - 1);
  name.len = name.len < sizeof ":pull" - 1 ? 0 : name.len - (sizeof ":pull" - 1);
  if (!image_name_valid(name)) {
    return error_set(e, ERROR_USAGE, "--registry-scope %s: no valid repository name", what->scope);
  }
  if (issuers_signing_key(config, KEY_REGISTRY, &key, e) != 0) {
    return -1;
  }
  struct token_access access = {.repository = name, .actions = SCOPE_PULL};
  struct token t = {.kind = TOKEN_REGISTRY,
                    .issuer = slice_str(service->issuer.text),
                    .audience = slice_str(service->service.text),
                    .subject = slice_str(what->sub),
                    .access = &access,
                    .access_count = 1};
  int result = print_signed(config, what, &key, t, e);
  key_free(&key);
  return result;
}

/* What is issued for longer could come back when the record of its revocation has gone. */
static int check_lifetimes(const struct config *config, const struct issue *what, struct error *e) {
  int64_t longest = retention_lifetime(config);
  return what->ttl <= longest && what->session <= longest
             ? 0
             : error_set(e, ERROR_USAGE,
                         "--%s: %" PRId64 " s at most: by this configuration revocations are not "
                         "kept for longer, and neither is a token honoured",
                         what->ttl > longest ? "ttl" : "session", longest);
}

int command_token_issue(int argc, char **argv, struct error *e) {
  struct issue what = {0};
  const char *config_path = NULL;
  const char *ttl = NULL;
  const char *session = NULL;
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "infohash", .list = &what.infohashes},
                                        {.name = "registry-scope", .value = &what.scope},
                                        {.name = "sub", .value = &what.sub},
                                        {.name = "ttl", .value = &ttl},
                                        {.name = "session", .value = &session}};
  char **operands;
  int count;
  struct config config = {0};
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 0, 0, &operands, &count,
                e) != 0) {
    return -1;
  }
  if ((what.infohashes.count > 0) == (what.scope != NULL)) {
    return error_set(e, ERROR_USAGE, "either --infohash or --registry-scope is wanted");
  }
  if (what.sub == NULL || what.sub[0] == '\0') {
    return error_set(e, ERROR_USAGE, "--sub NAME is missing: whom the token is for");
  }
  if (what.scope != NULL && session != NULL) {
    return error_set(e, ERROR_USAGE, "--session: registry tokens have no session");
  }
  if (command_config(config_path, &config, e) != 0) {
    return -1;
  }
  int64_t usual = what.scope == NULL ? config.auth.ttl_swarm : config.token_service.ttl;
  int result = args_seconds("ttl", ttl, usual, &what.ttl, e);
  if (result == 0) {
    result = args_seconds("session", session, what.scope == NULL ? config.auth.ttl_session : 0,
                          &what.session, e);
  }
  if (result == 0) {
    result = check_lifetimes(&config, &what, e);
  }
  if (result == 0) {
    result =
        what.scope == NULL ? issue_swarm(&config, &what, e) : issue_registry(&config, &what, e);
  }
  config_free(&config);
  return result;
}

/* The operand, or standard input for `-`, without the line's end. */
static int read_token(const char *operand, char text[TOKEN_REGISTRY_MAX + 2], struct slice *jws,
                      struct error *e) {
  size_t len = 0;
  if (strcmp(operand, "-") != 0) {
    *jws = slice_str(operand);
    return 0;
  }
  while (len < TOKEN_REGISTRY_MAX + 2) {
    ssize_t n = read(STDIN_FILENO, text + len, TOKEN_REGISTRY_MAX + 2 - len);
    if (n <= 0) {
      break;
    }
    len += (size_t)n;
  }
  if (len == TOKEN_REGISTRY_MAX + 2) {
    return error_set(e, ERROR_DENIED, "the token on standard input is longer than %d bytes",
                     TOKEN_REGISTRY_MAX);
  }
  while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
    len--;
  }
  *jws = slice_of(text, len);
  return 0;
}

static int print_parts(struct slice jws, struct error *e) {
  struct arena arena = {0};
  struct slice header;
  struct slice claims;
  int result = token_inspect(jws, &arena, &header, &claims, e);
  if (result == 0) {
    printf("{\"header\":%.*s,\n \"claims\":%.*s}\n", SLICE_ARG(header), SLICE_ARG(claims));
  }
  arena_free(&arena);
  return result;
}

int command_token_inspect(int argc, char **argv, struct error *e) {
  char **operands;
  int count;
  char text[TOKEN_REGISTRY_MAX + 2];
  struct slice jws = {0};
  if (args_read(argc, argv, NULL, 0, 1, 1, &operands, &count, e) != 0 ||
      read_token(operands[0], text, &jws, e) != 0) {
    return -1;
  }
  return print_parts(jws, e);
}

/* How many of the torrents or repositories that it names are revoked, though it is not itself. */
static size_t count_revoked(const struct revocation_set *set, const struct token *t) {
  size_t count = 0;
  for (size_t i = 0; i < t->infohash_count; i++) {
    count += revocation_set_refuses_infohash(set, t->infohashes[i].bytes, t->issued) ? 1 : 0;
  }
  for (size_t i = 0; i < t->access_count; i++) {
    uint64_t name = revocation_name_in(t->registry, t->access[i].repository);
    count += revocation_set_refuses_name(set, REVOCATION_REPOSITORY, name, t->issued) ? 1 : 0;
  }
  return count;
}

static int check_against(const struct revocation_set *set, const struct token *t, struct error *e) {
  struct revocation_names names;
  revocation_names_of(t, t->key_id, t->header_kid, &names);
  enum revocation_kind by = revocation_set_refuses(set, &names, t->issued);
  size_t named = t->infohash_count + t->access_count, revoked = count_revoked(set, t);
  if (by != 0) {
    return error_set(e, ERROR_DENIED,
                     "the token does not verify: it is revoked, by its %s: see `swarmgate revoke "
                     "list`",
                     revocation_kind_name(by));
  }
  if (revoked > 0 && revoked == named) {
    return error_set(e, ERROR_DENIED,
                     "the token does not verify: all that it is for is revoked: see `swarmgate "
                     "revoke list`");
  }
  if (revoked > 0) {
    fprintf(stderr, "swarmgate: of what the token is for, %zu of %zu are revoked\n", revoked,
            named);
  }
  return 0;
}

/* By the database that the server has, where there is one. */
static int check_revocations(const struct config *config, const struct token *t, struct error *e) {
  struct db *db = NULL;
  struct revocation_list list = {0};
  CLEANUP_FREE char *file = NULL;
  if (asprintf(&file, "%s/db/data.mdb", config->data_dir.text) < 0) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (access(file, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return 0; /* nor is one made for this */
  }
  if (db_open(config->data_dir.text, &db, e) != 0) {
    return error_context(e, "cannot tell whether the token is revoked");
  }
  int result = db_read(db, revocation_load, &list, e);
  struct revocation_set *set = result == 0 ? revocation_set_new(&list, clock_now()) : NULL;
  if (result == 0) {
    result = set == NULL ? error_set(e, ERROR_FAILED, "out of memory") : check_against(set, t, e);
  }
  revocation_set_free(set);
  revocation_list_free(&list);
  db_close(db);
  return result;
}

static int verify_token(struct trust *trust, struct slice jws, struct arena *arena,
                        struct token *token, struct error *e) {
  const unsigned kinds = TOKEN_SWARM | TOKEN_REGISTRY | TOKEN_WEBSEED;
  struct error why = {0};
  int fetched = 0;
  enum token_verdict verdict = token_verify(trust, jws, kinds, clock_now(), arena, token, &why);
  if (verdict == TOKEN_INVALID && (fetched = fetched_keys_load(trust, e)) < 0) {
    return -1;
  }
  if (fetched > 0) {
    verdict = token_verify(trust, jws, kinds, clock_now(), arena, token, &why);
  }
  return verdict == TOKEN_VALID
             ? 0
             : error_set(e, ERROR_DENIED, "the token does not verify: %s", why.text);
}

int command_token_verify(int argc, char **argv, struct error *e) {
  const char *config_path = NULL;
  const struct args_option options[] = {{.name = "config", .value = &config_path}};
  char **operands;
  int count;
  char text[TOKEN_REGISTRY_MAX + 2];
  struct slice jws = {0};
  struct config config = {0};
  struct keyring_state *keys = NULL;
  struct arena arena = {0};
  if (args_read(argc, argv, options, 1, 1, 1, &operands, &count, e) != 0 ||
      read_token(operands[0], text, &jws, e) != 0 || command_config(config_path, &config, e) != 0) {
    return -1;
  }
  int result = issuers_load(&config, &keys, e);
  if (result == 0) {
    struct token token;
    result = verify_token(&keys->trust, jws, &arena, &token, e);
    if (result == 0) {
      result = check_revocations(&config, &token, e);
    }
  }
  if (result == 0) {
    result = print_parts(jws, e);
  }
  arena_free(&arena);
  keyring_state_free(keys);
  config_free(&config);
  return result;
}
