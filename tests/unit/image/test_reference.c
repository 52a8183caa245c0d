#include "image/reference.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

static const struct {
  const char *text;
  enum image_transport transport;
  const char *host, *repository, *tag, *digest, *path;
} GOOD[] = {
    {"docker://alpine", IMAGE_DOCKER, "docker.io", "library/alpine", "latest", NULL, NULL},
    {"docker://alpine:3.18", IMAGE_DOCKER, "docker.io", "library/alpine", "3.18", NULL, NULL},
    {"docker://user/app", IMAGE_DOCKER, "docker.io", "user/app", "latest", NULL, NULL},
    {"docker://docker.io/alpine", IMAGE_DOCKER, "docker.io", "library/alpine", "latest", NULL,
     NULL},
    {"docker://index.docker.io/alpine", IMAGE_DOCKER, "docker.io", "library/alpine", "latest", NULL,
     NULL},
    {"docker://localhost/app", IMAGE_DOCKER, "localhost", "app", "latest", NULL, NULL},
    {"docker://localhost:5000", IMAGE_DOCKER, "docker.io", "library/localhost", "5000", NULL, NULL},
    {"docker://localhost:5000/app:1", IMAGE_DOCKER, "localhost:5000", "app", "1", NULL, NULL},
    {"docker://registry:5000/a/b/c", IMAGE_DOCKER, "registry:5000", "a/b/c", "latest", NULL, NULL},
    {"docker://Registry.Example/app", IMAGE_DOCKER, "Registry.Example", "app", "latest", NULL,
     NULL},
    {"docker://127.0.0.1:5000/app:a.b-c_D", IMAGE_DOCKER, "127.0.0.1:5000", "app", "a.b-c_D", NULL,
     NULL},
    {"docker://[::1]:5000/app", IMAGE_DOCKER, "[::1]:5000", "app", "latest", NULL, NULL},
    {"docker://[::1]:5000/a/b:1@" DIGEST, IMAGE_DOCKER, "[::1]:5000", "a/b", "1", DIGEST, NULL},
    {"docker://[2001:db8::1]/app:x", IMAGE_DOCKER, "[2001:db8::1]", "app", "x", NULL, NULL},
    {"docker://r.example/a__b/c.d/e---f:_", IMAGE_DOCKER, "r.example", "a__b/c.d/e---f", "_", NULL,
     NULL},
    {"docker://r.example/app@" DIGEST, IMAGE_DOCKER, "r.example", "app", NULL, DIGEST, NULL},
    {"docker://r.example/app:1@" DIGEST, IMAGE_DOCKER, "r.example", "app", "1", DIGEST, NULL},
    {"oci:dir", IMAGE_OCI, NULL, NULL, NULL, NULL, "dir"},
    {"oci:dir:", IMAGE_OCI, NULL, NULL, NULL, NULL, "dir"},
    {"oci-archive:x.tar:", IMAGE_OCI_ARCHIVE, NULL, NULL, NULL, NULL, "x.tar"},
    {"oci:/var/images/x:1.0", IMAGE_OCI, NULL, NULL, "1.0", NULL, "/var/images/x"},
    {"oci:dir:r.example:5000/a--b+c/D:1@x", IMAGE_OCI, NULL, NULL, "r.example:5000/a--b+c/D:1@x",
     NULL, "dir"},
    {"oci-archive:x.tar", IMAGE_OCI_ARCHIVE, NULL, NULL, NULL, NULL, "x.tar"},
    {"oci-archive:/a b/x.tar:r.example:5000/a:1", IMAGE_OCI_ARCHIVE, NULL, NULL,
     "r.example:5000/a:1", NULL, "/a b/x.tar"},
    {"dir:x", IMAGE_DIR, NULL, NULL, NULL, NULL, "x"},
    {"dir:/a:b@c d", IMAGE_DIR, NULL, NULL, NULL, NULL, "/a:b@c d"},
    {"docker-archive:x.tar", IMAGE_DOCKER_ARCHIVE, NULL, NULL, NULL, NULL, "x.tar"},
    {"docker-archive:x.tar:app", IMAGE_DOCKER_ARCHIVE, "docker.io", "library/app", "latest", NULL,
     "x.tar"},
    {"docker-archive:/a b/x.tar.gz:r.example:5000/app:2", IMAGE_DOCKER_ARCHIVE, "r.example:5000",
     "app", "2", NULL, "/a b/x.tar.gz"},
    {"blob:file", IMAGE_BLOB, NULL, NULL, NULL, NULL, "file"},
    {"blob:/a:b@c d", IMAGE_BLOB, NULL, NULL, NULL, NULL, "/a:b@c d"},
};

static const struct {
  const char *text, *why;
} BAD[] = {
    {"", "transport"},
    {"alpine", "transport"},
    {"alpine:3", "not known"},
    {"/etc/passwd", "transport"},
    {":x", "not known"},
    {"ostree:x", "not known"},
    {"dir", "transport"},
    {"dir:", "path"},
    {"oci-archive:", "path"},
    {"oci-archive::1", "path"},
    {"oci-archive:x:a b", "name"},
    {"DOCKER://x", "not known"},
    {"docker:alpine", "docker://"},
    {"docker:/alpine", "docker://"},
    {"docker://", "missing"},
    {"docker:///alpine", "repository"},
    {"docker://Alpine", "repository"},
    {"docker://r.example/App", "repository"},
    {"docker://Upper/app", "repository"},
    {"docker://r.example/", "repository"},
    {"docker://r.example/a//b", "repository"},
    {"docker://r.example/a/", "repository"},
    {"docker://r.example/.a", "repository"},
    {"docker://r.example/a..b", "repository"},
    {"docker://r.example/a___b", "repository"},
    {"docker://r.example/a._b", "repository"},
    {"docker://r.example/a-", "repository"},
    {"docker://r.example/../etc", "repository"},
    {"docker://r.example/a b", "repository"},
    {"docker://r.example/a%2fb", "repository"},
    {"docker://r.example/a?b=c", "repository"},
    {"docker://r.example/a\r\nHost: x", "tag"},
    {"docker://r.example/a\n", "repository"},
    {"docker://r.example/\xc3\xa4", "repository"},
    {"docker://alpine:", "tag"},
    {"docker://alpine:.x", "tag"},
    {"docker://alpine:-x", "tag"},
    {"docker://alpine:a/b", "registry"},
    {"docker://alpine:a b", "tag"},
    {"docker://-r.example/a", "registry"},
    {"docker://r..example/a", "registry"},
    {"docker://.example/a", "registry"},
    {"docker://r_1.example/a", "registry"},
    {"docker://r.example:/a", "registry"},
    {"docker://r.example:0/a", "registry"},
    {"docker://r.example:65536/a", "registry"},
    {"docker://r.example:99999999999999999999/a", "registry"},
    {"docker://r.example:5000:5000/a", "registry"},
    {"docker://::1/a", "registry"},
    {"docker://[::1/a", "registry"},
    {"docker://[::g]/a", "registry"},
    {"docker://[::1]5000/a", "registry"},
    {"docker://[::1]:/a", "registry"},
    {"docker://[1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111]/a", "registry"},
    {"docker://@" DIGEST, "repository"},
    {"docker://alpine@", "digest"},
    {"docker://alpine@sha256:" HEX "0", "digest"},
    {"docker://alpine@sha256:0123", "digest"},
    {"docker://alpine@SHA256:" HEX, "digest"},
    {"docker://alpine@sha512:" HEX HEX, "digest"},
    {"docker://alpine@" DIGEST "@" DIGEST, "digest"},
    {"oci:", "path"},
    {"oci::tag", "path"},
    {"oci:dir::", "name"},
    {"oci:dir:a b", "name"},
    {"oci:dir:/a", "name"},
    {"oci:dir:a---b", "name"},
    {"docker-archive:", "path"},
    {"docker-archive:x:", "missing"},
    {"docker-archive:x:@0", "counted"},
    {"docker-archive:x:App", "repository"},
    {"docker-archive:x:app@" DIGEST, "digest"},
    {"blob:", "path"},
};

static void assert_text(const char *got, const char *want) {
  if (want == NULL) {
    assert_null(got);
  } else {
    assert_non_null(got);
    assert_string_equal(got, want);
  }
}

static void test_reads_what_it_prints(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
    struct arena arena = {0};
    struct image_reference r;
    struct error e = {0};
    const char *text = GOOD[i].text;
    for (int again = 0; again < 2; again++) {
      if (image_reference_parse(text, &arena, &r, &e) != 0) {
        fail_msg("%s: %s", text, e.text);
      }
      assert_int_equal(r.transport, GOOD[i].transport);
      assert_text(r.host, GOOD[i].host);
      assert_text(r.repository, GOOD[i].repository);
      assert_text(r.tag, GOOD[i].tag);
      assert_text(r.digest, GOOD[i].digest);
      assert_text(r.path, GOOD[i].path);
      text = image_reference_print(&r, &arena);
      assert_non_null(text);
    }
    arena_free(&arena);
  }
}

static void test_refuses_and_says_why(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
    struct arena arena = {0};
    struct image_reference r;
    struct error e = {0};
    if (image_reference_parse(BAD[i].text, &arena, &r, &e) == 0) {
      fail_msg("%s was taken", BAD[i].text);
    }
    assert_int_equal(e.kind, ERROR_USAGE);
    if (strstr(e.text, BAD[i].why) == NULL) {
      fail_msg("%s: %s", BAD[i].text, e.text);
    }
    arena_free(&arena);
  }
}

/* A tag, a name, a host and a whole reference of \p length, at the bound and beyond it. */
static int parse_long(const char *before, size_t length, const char *after) {
  struct arena arena = {0};
  struct image_reference r;
  struct slice fill = arena_printf(&arena, "%0*d", (int)length, 0);
  struct slice text = arena_printf(&arena, "%s%s%s", before, fill.ptr, after);
  struct error e = {0};
  int result = image_reference_parse(text.ptr, &arena, &r, &e);
  assert_true(result == 0 || e.kind == ERROR_USAGE);
  arena_free(&arena);
  return result;
}

static void test_bounds(void **state) {
  (void)state;
  assert_int_equal(parse_long("docker://alpine:", 128, ""), 0);
  assert_int_equal(parse_long("docker://alpine:", 129, ""), -1);
  assert_int_equal(parse_long("docker://r.example/", 255, ""), 0);
  assert_int_equal(parse_long("docker://r.example/", 256, ""), -1);
  assert_int_equal(parse_long("docker://library/", 247, ""), 0);
  assert_int_equal(parse_long("docker://library/", 248, ""), -1);
  assert_int_equal(parse_long("docker://", 253, ".a/app"), 0);
  assert_int_equal(parse_long("docker://", 254, ".a/app"), -1);
  assert_int_equal(parse_long("blob:", IMAGE_REFERENCE_MAX - 5, ""), 0);
  assert_int_equal(parse_long("blob:", IMAGE_REFERENCE_MAX - 4, ""), -1);
  assert_int_equal(parse_long("docker://", 1000000, ""), -1);
}

static void test_keeps_passwords_out_of_errors(void **state) {
  (void)state;
  static const struct {
    const char *text, *shown;
  } rows[] = {
      {"docker://u:hunter2@r.example/a", "--creds"},
      {"docker://u:hunter2@r.example/a@" DIGEST, "--creds"},
      {"https://u:hunter2@r.example/a", "***@r.example/a: the transport"},
      {"https://u:hunter2@r.example/a@" DIGEST, "***@r.example/a@sha256:"},
      {"https://u:hun@ter2:hunter2@r.example/a", "***@r.example/a: the transport"},
      {"https://u:hunter2/@r.example/a", "***@r.example/a: the transport"},
      {"docker:u:hunter2@r.example/a", "***@r.example/a: the transport docker:"},
      {"u:hunter2@r.example/a", "***@r.example/a: the transport"},
      {"oci:x:https://u:hunter2@r.example/a", "***@r.example/a: what follows"},
      {"docker-archive:x:u:hunter2@r.example/a", "--creds"},
      {"docker://r.example/A@" DIGEST, "r.example/A@sha256:"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct arena arena = {0};
    struct image_reference r;
    struct error e = {0};
    assert_int_equal(image_reference_parse(rows[i].text, &arena, &r, &e), -1);
    if (strstr(e.text, "hunter2") != NULL || strstr(e.text, rows[i].shown) == NULL) {
      fail_msg("%s: %s", rows[i].text, e.text);
    }
    arena_free(&arena);
  }
}

static void test_validity(void **state) {
  (void)state;
  assert_true(image_digest_valid(SLICE(DIGEST)));
  assert_false(image_digest_valid(SLICE("")));
  assert_false(image_digest_valid(SLICE("sha256:")));
  assert_false(image_digest_valid(SLICE(HEX)));
  assert_false(image_digest_valid(slice_of(DIGEST, sizeof DIGEST)));
  assert_false(image_name_valid((struct slice){NULL, 0}));
  assert_false(image_tag_valid((struct slice){NULL, 0}));
  assert_false(image_name_valid(slice_of("a\0b", 3)));
  assert_false(image_tag_valid(slice_of("a\0b", 3)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads_what_it_prints),
      cmocka_unit_test(test_refuses_and_says_why),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_keeps_passwords_out_of_errors),
      cmocka_unit_test(test_validity),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
