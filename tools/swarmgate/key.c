#include "command.h"

#include "auth/certificate.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "tools/issuers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int read_use(const char *text, const char *certificate, enum key_use *out, struct error *e) {
  if (text == NULL || (strcmp(text, "announce") != 0 && strcmp(text, "registry") != 0)) {
    return error_set(e, ERROR_USAGE, "--use: announce or registry is wanted");
  }
  *out = strcmp(text, "registry") == 0 ? KEY_REGISTRY : KEY_ANNOUNCE;
  if (*out == KEY_ANNOUNCE && certificate != NULL) {
    return error_set(e, ERROR_USAGE,
                     "--certificate: goes with --use registry; who checks swarm and webseed tokens "
                     "takes a JWKS: swarmgate key jwks FILE...");
  }
  return 0;
}

/* The bundle of a first key. */
static int create_certificate(const char *path, struct slice pem, struct error *e) {
  struct key key;
  if (key_parse_private(pem, path, &key, e) != 0) {
    return -1;
  }
  struct buf bundle = {0};
  int result = certificate_append(&key, &key, clock_now(), &bundle, e);
  if (result == 0) {
    result = certificate_create(path, buf_view(&bundle), e);
  }
  buf_free(&bundle);
  key_free(&key);
  return result;
}

/* The companion of a key's file that says where its bundle is: a registry that knows keys by
 * certificates has to know the next one by them too. malloc'ed. */
static char *note_path(const char *key, struct error *e) {
  char *path;
  if (asprintf(&path, "%s.certificate", key) < 0) {
    error_set(e, ERROR_FAILED, "cannot name the files beside %s: out of memory", key);
    return NULL;
  }
  return path;
}

/* Of a bundle that is there: whoever rotates may be in another folder. */
static int save_note(const char *key, const char *certificate, struct error *e) {
  CLEANUP(buf_free) struct buf text = {0};
  CLEANUP_FREE char *note = note_path(key, e);
  CLEANUP_FREE char *whole = realpath(certificate, NULL);
  if (note == NULL) {
    return -1;
  }
  buf_printf(&text, "%s\n", whole == NULL ? certificate : whole);
  return text.failed ? error_set(e, ERROR_FAILED, "cannot write %s: out of memory", note)
                     : file_write(note, buf_view(&text), 0644, e);
}

/* A registry that never hears of the key that is to sign refuses whatever it signs. */
static int check_note(const char *key, struct error *e) {
  CLEANUP(buf_free) struct buf text = {0};
  CLEANUP_FREE char *note = note_path(key, e);
  struct error why = {0};
  if (note == NULL) {
    return -1;
  }
  if (file_read(note, PATH_MAX + 1, &text, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  struct slice rest = buf_view(&text);
  struct slice bundle = slice_cut(&rest, '\n');
  return error_set(e, ERROR_USAGE,
                   "--certificate is missing: the registry knows the keys by certificates, and "
                   "would refuse what the next key signs: say --certificate %.*s (or remove %s, if "
                   "no registry reads that file any more)",
                   SLICE_ARG(bundle), note);
}

/* All or none. */
static int create(const char *out, const char *certificate, struct slice pem, struct error *e) {
  if (certificate != NULL && create_certificate(certificate, pem, e) != 0) {
    return -1;
  }
  int result = file_create(out, pem, 0600, e);
  if (result == 0 && certificate != NULL && save_note(out, certificate, e) != 0) {
    result = -1;
    unlink(out);
  }
  if (result != 0 && certificate != NULL) {
    unlink(certificate);
  }
  return result;
}

int command_key_generate(int argc, char **argv, struct error *e) {
  const char *use_text = NULL;
  const char *alg = NULL;
  const char *out = NULL;
  const char *certificate = NULL;
  const struct args_option options[] = {{.name = "use", .value = &use_text},
                                        {.name = "alg", .value = &alg},
                                        {.name = "out", .value = &out},
                                        {.name = "certificate", .value = &certificate}};
  char **operands;
  int count;
  enum key_use use = KEY_ANNOUNCE;
  if (args_read(argc, argv, options, 4, 0, 0, &operands, &count, e) != 0 ||
      read_use(use_text, certificate, &use, e) != 0) {
    return -1;
  }
  if (out == NULL) {
    return error_set(e, ERROR_USAGE, "--out FILE is missing");
  }
  enum key_algorithm algorithm = key_algorithm_of(slice_str(alg == NULL ? "ES256" : alg));
  if (algorithm == 0) {
    return error_set(e, ERROR_USAGE, "--alg %s: ES256, RS256 or EdDSA is wanted", alg);
  }
  if (algorithm == KEY_EDDSA && use == KEY_REGISTRY) {
    return error_set(e, ERROR_USAGE, "--alg EdDSA: registries take ES256 and RS256 only");
  }
  struct buf pem = {0};
  if (key_generate(algorithm, &pem, e) != 0) {
    return -1;
  }
  int result = create(out, certificate, buf_view(&pem), e);
  explicit_bzero(pem.ptr, pem.len);
  buf_free(&pem);
  return result;
}

int command_key_jwks(int argc, char **argv, struct error *e) {
  char **files;
  int count;
  if (args_read(argc, argv, NULL, 0, 1, 1024, &files, &count, e) != 0) {
    return -1;
  }
  struct buf json = {0};
  int result = key_jwks((const char *const *)files, (size_t)count, &json, e);
  if (result == 0) {
    fwrite(json.ptr, 1, json.len, stdout);
  }
  buf_free(&json);
  return result;
}

static void print_rotation(const struct key_file_rotation *done, enum key_use use,
                           const char *certificate) {
  char until[sizeof "2000-01-01T00:00:00Z"];
  struct tm tm;
  time_t at = done->retired_until;
  strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
  printf("%s signs now\n%s is next\n%s is retired, trusted until %s\n", done->signs, done->next,
         done->retired, until);
  if (certificate != NULL) {
    printf("%s has them all: restart the registry before the server reloads\n", certificate);
  } else if (use == KEY_REGISTRY) {
    puts("the registry needs to know a key before it signs: see --certificate");
  }
  if (!done->known) {
    puts("the key that signs now was in no JWKS before: trackers elsewhere need it before the "
         "server reloads");
  }
  puts("the server goes on with the old key until it reloads: systemctl reload swarmgated");
}

/* Before it is done: the key that is to be retired. */
static int record_rotation(const struct config *config, enum key_use use, struct error *e) {
  struct key key;
  if (issuers_signing_key(config, use, &key, e) != 0) {
    return -1;
  }
  const struct audit_event event = {
      .event = SLICE("key"), .action = SLICE("rotate"), .kid = slice_str(key.kid)};
  int result = command_record(config, event, e);
  key_free(&key);
  return result;
}

static int rotate(const struct config *config, enum key_use use, const char *certificate,
                  struct error *e) {
  const struct config_text *file = issuers_key_file(config, use, e);
  if (file == NULL ||
      (use == KEY_REGISTRY && certificate == NULL && check_note(file->text, e) != 0) ||
      record_rotation(config, use, e) != 0) {
    return -1;
  }
  const struct key_file_plan plan = {.use = use,
                                     .now = clock_now(),
                                     .lifetime = issuers_lifetime(config, use),
                                     .certificate = certificate};
  struct key_file_rotation done;
  if (key_file_rotate(file->text, &plan, &done, e) != 0) {
    return e->kind == ERROR_NOT_FOUND ? config_error_at(config, file->line, e) : -1;
  }
  print_rotation(&done, use, certificate);
  key_file_rotation_free(&done);
  return certificate == NULL ? 0 : save_note(file->text, certificate, e);
}

int command_key_rotate(int argc, char **argv, struct error *e) {
  const char *config_path = NULL;
  const char *use_text = NULL;
  const char *certificate = NULL;
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "use", .value = &use_text},
                                        {.name = "certificate", .value = &certificate}};
  char **operands;
  int count;
  enum key_use use = KEY_ANNOUNCE;
  struct config config = {0};
  if (args_read(argc, argv, options, 3, 0, 0, &operands, &count, e) != 0 ||
      read_use(use_text, certificate, &use, e) != 0 ||
      command_config(config_path, &config, e) != 0) {
    return -1;
  }
  int result = rotate(&config, use, certificate, e);
  config_free(&config);
  return result;
}
