#include "config/node.h"

#include "unit/cmocka_all.h"

#include <string.h>

static struct node_config read_it(const char *text) {
  struct node_config c;
  struct error e = {0};
  if (node_config_parse("/etc/x/node.yaml", text, strlen(text), &c, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return c;
}

static void the_least_has_defaults(void **state) {
  (void)state;
  struct node_config c = read_it("gateways: {registry.example: 'http://gate.example/'}\n");
  assert_int_equal(c.gateways.count, 1);
  assert_string_equal(node_config_gateway(&c, "registry.example"), "http://gate.example");
  assert_null(node_config_gateway(&c, "other.example"));
  assert_string_equal(c.listen.items[0].text, "127.0.0.1:5123");
  assert_string_equal(c.store.text, "/var/lib/swarmgate-node");
  assert_int_equal(c.store_size, UINT64_C(50) << 30);
  assert_null(c.authfile.text);
  assert_null(c.cert_dir.text);
  assert_false(c.insecure || c.require_credentials || c.log.json);
  assert_int_equal(c.lower_port, 0);
  assert_int_equal(c.upper_port, 0);
  assert_int_equal(c.seed_for, 24 * 3600);
  assert_int_equal(c.addresses.count, 0);
  assert_int_equal(c.upload_rate,
                   64 << 20); /* bounded, so that a node's own work does not suffer */
  assert_int_equal(c.upload_slots, 8);
  node_config_free(&c);
}

static void all_keys(void **state) {
  (void)state;
  struct node_config c =
      read_it("gateways:\n  a.example: http://a\n  'localhost:5000': https://b/c\n"
              "listen: ['[::1]:1', 'unix:/x']\n"
              "store: {path: s, max_size: 1GiB}\n"
              "authfile: auth.json\ncert_dir: certs\ninsecure: true\n"
              "require_credentials: true\nports: {lower: 6881, addresses: [10.0.0.7, '::1']}\n"
              "upload_rate: 1MiB\nupload_slots: 3\ndownload_rate: 2MiB\nseed_for: 10m\n"
              "log: {level: debug, format: json}\n");
  assert_string_equal(node_config_gateway(&c, "localhost:5000"), "https://b/c");
  assert_int_equal(c.gateways.items[1].name.line, 3);
  assert_int_equal(c.listen.count, 2);
  assert_string_equal(c.store.text, "/etc/x/s");
  assert_string_equal(c.authfile.text, "/etc/x/auth.json");
  assert_string_equal(c.cert_dir.text, "/etc/x/certs");
  assert_true(c.insecure && c.require_credentials && c.log.json);
  assert_int_equal(c.upper_port, 6881);
  assert_int_equal(c.addresses.count, 2);
  assert_string_equal(c.addresses.items[1].text, "::1");
  assert_int_equal(c.upload_rate, 1 << 20);
  assert_int_equal(c.upload_slots, 3);
  assert_int_equal(c.download_rate, 2 << 20);
  assert_int_equal(c.seed_for, 600);
  node_config_free(&c);
}

static const struct {
  const char *text, *says;
} wrong[] = {
    {"listen: ['127.0.0.1:1']\n", "n.yaml:1: gateways: is missing"},
    {"gateways: {}\n", "gateways: names no registry"},
    {"gateways: [a]\n", "n.yaml:1: gateways: wants a mapping of names to values, not a list"},
    {"gateways:\n  a: [b]\n", "n.yaml:2: gateways.a: wants a single value, not a list"},
    {"gateways:\n  [a]: b\n", "n.yaml:2: gateways: wants a single value, not a list"},
    {"gateways:\n  a:\n", "n.yaml:2: gateways.a: wants a single value, not nothing"},
    {"gateways:\n  a: ftp://b\n", "n.yaml:2: gateways.a: ftp://b: is not a URL"},
    {"gateways:\n  a: http://u:secret@b\n", "must not hold a user name"},
    {"gateways:\n  a/b: http://b\n", "n.yaml:2: gateways: a/b: is not a registry's name"},
    {"gateways:\n  a: http://b\n  c: http://b\n  a: http://d\n",
     "n.yaml:4: gateways.a: is there twice; first in line 2"},
    {"gateways: {a: http://b}\nstoer: {}\n", "n.yaml:2: stoer: there is no such key"},
    {"gateways: {a: http://b}\nports: {addresses: [eth0]}\n", "eth0: is not a literal address"},
    {"gateways: {a: http://b}\nports: {addresses: ['[::1]']}\n", "is not a literal address"},
    {"gateways: {a: http://b}\nports: {lower: 80}\n", "ports: lower wants 1024"},
    {"gateways: {a: http://b}\nports: {lower: 6000, upper: 5999}\n", "ports: lower wants 1024"},
    {"gateways: {a: http://b}\nports: {upper: 6000}\n", "ports: lower wants 1024"},
    {"gateways: {a: http://b}\ninsecure: maybe\n", "maybe is not one of true, false"},
};

static void what_is_wrong_is_said(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct node_config c;
    struct error e = {0};
    assert_int_equal(node_config_parse("n.yaml", wrong[i].text, strlen(wrong[i].text), &c, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    if (strstr(e.text, wrong[i].says) == NULL || strstr(e.text, "secret") != NULL) {
      fail_msg("%s", e.text);
    }
  }
}

static void a_file_that_is_not_there(void **state) {
  (void)state;
  struct node_config c;
  struct error e = {0};
  assert_int_equal(node_config_load("/nonexistent/node.yaml", &c, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_least_has_defaults),
      cmocka_unit_test(all_keys),
      cmocka_unit_test(what_is_wrong_is_said),
      cmocka_unit_test(a_file_that_is_not_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
