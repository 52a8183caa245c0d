#include "command.h"

#include "auth/key.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

int command_key_generate(int argc, char **argv, struct error *e) {
  const char *use = NULL;
  const char *alg = NULL;
  const char *out = NULL;
  const struct args_option options[] = {{.name = "use", .value = &use},
                                        {.name = "alg", .value = &alg},
                                        {.name = "out", .value = &out}};
  char **operands;
  int count;
  if (args_read(argc, argv, options, 3, 0, 0, &operands, &count, e) != 0) {
    return -1;
  }
  if (use == NULL || (strcmp(use, "announce") != 0 && strcmp(use, "registry") != 0)) {
    return error_set(e, ERROR_USAGE, "--use: announce or registry is wanted");
  }
  if (out == NULL) {
    return error_set(e, ERROR_USAGE, "--out FILE is missing");
  }
  enum key_algorithm algorithm = key_algorithm_of(slice_str(alg == NULL ? "ES256" : alg));
  if (algorithm == 0) {
    return error_set(e, ERROR_USAGE, "--alg %s: ES256, RS256 or EdDSA is wanted", alg);
  }
  if (algorithm == KEY_EDDSA && strcmp(use, "registry") == 0) {
    return error_set(e, ERROR_USAGE, "--alg EdDSA: registries take ES256 and RS256 only");
  }
  struct buf pem = {0};
  if (key_generate(algorithm, &pem, e) != 0) {
    return -1;
  }
  int result = file_create(out, buf_view(&pem), 0600, e);
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
