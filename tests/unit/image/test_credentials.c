#include "image/credentials.h"

#include "base/file.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A folder that HOME and the others point into. */
static char folder[] = "/tmp/credentials-XXXXXX";

static const char *in_folder(const char *name) {
  static char path[2][256];
  static int turn;
  turn = !turn;
  snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
  return path[turn];
}

static void put(const char *name, const char *text) {
  assert_int_equal(file_write(in_folder(name), slice_str(text), 0600, NULL), 0);
}

static void no_files(void) {
  static const char *const names[] = {"named.json", "run/containers/auth.json",
                                      ".config/containers/auth.json", ".docker/config.json"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    unlink(in_folder(names[i]));
  }
  unsetenv("REGISTRY_AUTH_FILE");
}

static int setup(void **state) {
  (void)state;
  assert_non_null(mkdtemp(folder));
  assert_int_equal(file_make_folders(in_folder("run/containers"), NULL), 0);
  assert_int_equal(file_make_folders(in_folder(".config/containers"), NULL), 0);
  assert_int_equal(file_make_folders(in_folder(".docker"), NULL), 0);
  setenv("HOME", folder, 1);
  setenv("XDG_RUNTIME_DIR", in_folder("run"), 1);
  unsetenv("XDG_CONFIG_HOME");
  unsetenv("DOCKER_CONFIG");
  no_files();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  static const char *const folders[] = {"run/containers", "run",     ".config/containers",
                                        ".config",        ".docker", ""};
  no_files();
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
    rmdir(in_folder(folders[i]));
  }
  return 0;
}

/** \p username NULL: there must be none. */
static void finds(const char *host, const char *repository, const char *username,
                  const char *password) {
  struct image_credentials c;
  struct error e = {0};
  assert_int_equal(image_credentials_find(NULL, NULL, host, repository, &c, &e), 0);
  assert_string_equal(e.text, "");
  assert_null(c.identity_token);
  if (username == NULL) {
    assert_null(c.username);
  } else {
    assert_non_null(c.username);
    assert_string_equal(c.username, username);
    assert_string_equal(c.password, password);
  }
  image_credentials_free(&c);
  assert_null(c.username);
}

static void fails(const char *creds, const char *authfile, enum error_kind kind, const char *why) {
  struct image_credentials c;
  struct error e = {0};
  assert_int_equal(image_credentials_find(creds, authfile, "reg.example", NULL, &c, &e), -1);
  assert_int_equal(e.kind, kind);
  assert_non_null(strstr(e.text, why));
  assert_null(c.username);
  image_credentials_free(&c);
}

static void from_the_command_line(void **state) {
  (void)state;
  struct image_credentials c;
  assert_int_equal(image_credentials_find("a:b:c", NULL, "h", NULL, &c, NULL), 0);
  assert_string_equal(c.username, "a");
  assert_string_equal(c.password, "b:c");
  char *basic = image_credentials_basic(&c);
  assert_string_equal(basic, "Basic YTpiOmM=");
  image_secret_free(basic);
  image_credentials_free(&c);
  assert_int_equal(image_credentials_find("a:", NULL, "h", NULL, &c, NULL), 0);
  assert_string_equal(c.password, "");
  image_credentials_free(&c);
  fails("a", NULL, ERROR_USAGE, "--creds");
  fails("", NULL, ERROR_USAGE, "--creds");
  fails(":x", NULL, ERROR_USAGE, "--creds");
}

static void none(void **state) {
  (void)state;
  no_files();
  finds("reg.example", "a/b", NULL, NULL);
  put(".docker/config.json", "{}");
  finds("reg.example", "a/b", NULL, NULL);
  put(".docker/config.json", "{\"auths\":{\"other.example\":{\"auth\":\"YTpi\"}}}");
  finds("reg.example", "a/b", NULL, NULL);
}

/* YTpi is a:b, YzpkOmU= is c:d:e, ZTpm is e:f, ZzpoOg== is g:h: */
static void the_most_specific_key(void **state) {
  (void)state;
  no_files();
  put("run/containers/auth.json",
      "{\"auths\":{\"reg.example\":{\"auth\":\"YTpi\"},\"reg.example/one/two\":{\"auth\":"
      "\"YzpkOmU=\"},\"reg.example/one\":{\"auth\":\"ZTpm\"},\"reg.example:5000\":{\"auth\":"
      "\"ZzpoOg==\"}}}");
  finds("reg.example", NULL, "a", "b");
  finds("reg.example", "other", "a", "b");
  finds("reg.example", "onetwo", "a", "b");
  finds("reg.example", "one", "e", "f");
  finds("reg.example", "one/twofold", "e", "f");
  finds("reg.example", "one/two", "c", "d:e");
  finds("reg.example", "one/two/three", "c", "d:e");
  finds("reg.example:5000", "one/two", "g", "h:");
  finds("reg.example:5001", "one/two", NULL, NULL);
  finds("example", "one", NULL, NULL);
}

static void docker_s_keys(void **state) {
  (void)state;
  no_files();
  put(".docker/config.json", "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"},"
                             "\"https://reg.example/v2/\":{\"username\":\"u\",\"password\":\"p\"},"
                             "\"http://localhost:5000\":{\"auth\":\"ZTpm\"}}}");
  finds("docker.io", "library/busybox", "a", "b");
  finds("index.docker.io", NULL, "a", "b");
  finds("registry-1.docker.io", NULL, "a", "b");
  finds("reg.example", "v2/x", "u", "p");
  finds("localhost:5000", "x", "e", "f");
  finds("localhost", "x", NULL, NULL);
  put(".docker/config.json", "{\"auths\":{\"https://reg.example/\":{\"auth\":\"YTpi\"},"
                             "\"reg.example\":{\"auth\":\"ZTpm\"}}}");
  finds("reg.example", "x", "e", "f");
}

static void the_order_of_files(void **state) {
  (void)state;
  no_files();
  put(".docker/config.json", "{\"auths\":{\"reg.example\":{\"auth\":\"YTpi\"}}}");
  finds("reg.example", NULL, "a", "b");
  put(".config/containers/auth.json", "{\"auths\":{\"reg.example\":{}}}");
  finds("reg.example", NULL, "a", "b");
  put(".config/containers/auth.json", "{\"auths\":{\"reg.example\":{\"auth\":\"ZTpm\"}}}");
  finds("reg.example", NULL, "e", "f");
  put("run/containers/auth.json", "{\"auths\":{\"reg.example\":{\"auth\":\"YzpkOmU=\"}}}");
  finds("reg.example", NULL, "c", "d:e");
  put("named.json", "{\"auths\":{\"reg.example\":{\"auth\":\"ZzpoOg==\"}}}");
  setenv("REGISTRY_AUTH_FILE", in_folder("named.json"), 1);
  finds("reg.example", NULL, "g", "h:");
  struct image_credentials c;
  assert_int_equal(image_credentials_find(NULL, in_folder("run/containers/auth.json"),
                                          "reg.example", NULL, &c, NULL),
                   0);
  assert_string_equal(c.username, "c");
  image_credentials_free(&c);
  put("named.json", "{}");
  finds("reg.example", NULL, NULL, NULL);
}

static void identity_tokens(void **state) {
  (void)state;
  no_files();
  put("named.json", "{\"auths\":{\"reg.example\":{\"auth\":\"YTpi\",\"identitytoken\":\"t\"}}}");
  struct image_credentials c, copy;
  assert_int_equal(
      image_credentials_find(NULL, in_folder("named.json"), "reg.example", NULL, &c, NULL), 0);
  assert_null(c.username);
  assert_null(c.password);
  assert_string_equal(c.identity_token, "t");
  assert_int_equal(image_credentials_copy(&c, &copy, NULL), 0);
  image_credentials_free(&c);
  assert_string_equal(copy.identity_token, "t");
  image_credentials_free(&copy);
}

static void advised(const char *creds, const char *authfile, const char *text) {
  struct image_credentials c;
  assert_int_equal(image_credentials_find(creds, authfile, "reg.example", NULL, &c, NULL), 0);
  char *advice = image_credentials_advice(&c, authfile, "reg.example", "--creds");
  assert_non_null(advice);
  assert_non_null(strstr(advice, text));
  assert_null(strstr(advice, "secret"));
  free(advice);
  image_credentials_free(&c);
}

static void advice(void **state) {
  (void)state;
  no_files();
  advised(NULL, NULL, "there is no login for reg.example in podman's auth.json");
  advised("a:secret", NULL,
          "the login in --creds is not taken: log in anew by `podman login reg.example`");
  put(".docker/config.json", "{\"auths\":{\"reg.example\":{\"auth\":\"YTpi\"}}}");
  advised(NULL, NULL, in_folder(".docker/config.json"));
  put("named.json", "{\"auths\":{}}");
  advised(NULL, in_folder("named.json"), "there is no login for reg.example in");
  advised(NULL, in_folder("named.json"), "`podman login --authfile");
  put("named.json", "{\"auths\":{\"reg.example\":{\"identitytoken\":\"secret\"}}}");
  advised(NULL, in_folder("named.json"),
          "named.json is not taken: log in anew by `podman login --authfile ");
}

static void helpers(void **state) {
  (void)state;
  no_files();
  put(".docker/config.json", "{\"credHelpers\":{\"reg.example\":\"pass\"}}");
  fails(NULL, NULL, ERROR_USAGE, "docker-credential-pass");
  finds("other.example", NULL, NULL, NULL);
  put(".docker/config.json", "{\"credsStore\":\"desktop\",\"auths\":{\"reg.example\":{}}}");
  fails(NULL, NULL, ERROR_USAGE, "docker-credential-desktop");
  fails(NULL, NULL, ERROR_USAGE, "--authfile");
  finds("other.example", NULL, NULL, NULL);
  put(".docker/config.json",
      "{\"credsStore\":\"desktop\",\"auths\":{\"reg.example\":{\"auth\":\"YTpi\"}}}");
  finds("reg.example", NULL, "a", "b");
}

static void broken_files(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",
      "{\"auths\":{\"reg.example\":{\"auth\":\"secret",
      "[]",
      "{\"auths\":[]}",
      "{\"auths\":{\"reg.example\":\"secret\"}}",
      "{\"auths\":{\"reg.example\":{\"auth\":1}}}",
      "{\"auths\":{\"reg.example\":{\"auth\":\"c2VjcmV0\"}}}",
      "{\"auths\":{\"reg.example\":{\"auth\":\"YTpi*secret\"}}}",
      "{\"auths\":{\"reg.example\":{\"auth\":\"YTpiAA==\"}}}",
      "{\"auths\":{\"reg.example\":{\"auth\":\"YTpi\",\"identitytoken\":[]}}}",
      "{\"auths\":{\"reg.example\":{\"username\":\"a:b\",\"password\":\"secret\"}}}",
      "{\"auths\":{},\"auths\":{}}",
  };
  no_files();
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    put("named.json", texts[i]);
    fails(NULL, in_folder("named.json"), ERROR_USAGE, "named.json");
    struct error e = {0};
    struct image_credentials c;
    image_credentials_find(NULL, in_folder("named.json"), "reg.example", NULL, &c, &e);
    assert_null(strstr(e.text, "secret"));
  }
  fails(NULL, in_folder("missing.json"), ERROR_USAGE, "missing.json");
  fails(NULL, folder, ERROR_FAILED, folder);
  setenv("REGISTRY_AUTH_FILE", in_folder("missing.json"), 1);
  fails(NULL, NULL, ERROR_USAGE, "missing.json");
}

static void large_files(void **state) {
  (void)state;
  no_files();
  char *text = malloc(IMAGE_CREDENTIALS_FILE_MAX + 2);
  assert_non_null(text);
  memset(text, ' ', IMAGE_CREDENTIALS_FILE_MAX + 1);
  memcpy(text, "{}", 2);
  text[IMAGE_CREDENTIALS_FILE_MAX + 1] = '\0';
  put("named.json", text);
  fails(NULL, in_folder("named.json"), ERROR_FAILED, "named.json");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(from_the_command_line),
      cmocka_unit_test(none),
      cmocka_unit_test(the_most_specific_key),
      cmocka_unit_test(docker_s_keys),
      cmocka_unit_test(the_order_of_files),
      cmocka_unit_test(identity_tokens),
      cmocka_unit_test(advice),
      cmocka_unit_test(helpers),
      cmocka_unit_test(broken_files),
      cmocka_unit_test(large_files),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
