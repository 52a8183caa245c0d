#include "image/certificates.h"

#include "base/file.h"
#include "unit/image/fixture.h"

static const char *folder(struct fixture *f) {
  fixture_folder(f, "certs");
  return fixture_path(f, "certs");
}

static void test_nothing(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  assert_int_equal(image_certificates_find(NULL, "r.example", &f->arena, &c, &f->e), 0);
  assert_null(c.ca_file);
  assert_null(c.cert_file);
  assert_int_equal(image_certificates_find(folder(f), "r.example", &f->arena, &c, &f->e), 0);
  assert_null(c.ca_file);
  assert_int_equal(
      image_certificates_find(fixture_path(f, "none"), "r.example", &f->arena, &c, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
}

static void test_by_host(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  fixture_folder(f, ".config");
  fixture_folder(f, ".config/containers");
  fixture_folder(f, ".config/containers/certs.d");
  fixture_folder(f, ".config/containers/certs.d/r.example:5000");
  fixture_write(f, ".config/containers/certs.d/r.example:5000/ca.crt", SLICE("one"));
  assert_int_equal(image_certificates_find(NULL, "r.example:5000", &f->arena, &c, &f->e), 0);
  assert_non_null(strstr(c.ca_file, "r.example:5000/ca.crt"));
  assert_int_equal(image_certificates_find(NULL, "r.example", &f->arena, &c, &f->e), 0);
  assert_null(c.ca_file);
}

static void test_pairs(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  const char *dir = folder(f);
  fixture_write(f, "certs/b.cert", SLICE("b"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
  assert_non_null(strstr(f->e.text, "b.key is missing"));
  fixture_write(f, "certs/b.key", SLICE("b"));
  fixture_write(f, "certs/README", SLICE("x"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), 0);
  assert_string_equal(c.cert_file, fixture_path(f, "certs/b.cert"));
  assert_string_equal(c.key_file, fixture_path(f, "certs/b.key"));
  fixture_write(f, "certs/a.key", SLICE("a"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), -1);
  fixture_write(f, "certs/a.cert", SLICE("a"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), 0);
  assert_string_equal(c.cert_file, fixture_path(f, "certs/a.cert"));
}

static void test_several_authorities(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  struct buf text = {0};
  const char *dir = folder(f);
  fixture_write(f, "certs/a.crt", SLICE("one"));
  fixture_write(f, "certs/b.crt", SLICE("two\n"));
  fixture_write(f, "certs/c.crt", SLICE("three"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), 0);
  assert_int_equal(file_read(c.ca_file, 100, &text, &f->e), 0);
  assert_true(slice_equal(buf_view(&text), SLICE("one\ntwo\n\nthree\n")));
  buf_free(&text);
  image_certificates_close(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_nothing), TEST(test_by_host), TEST(test_pairs),
                                     TEST(test_several_authorities)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
