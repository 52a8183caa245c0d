#include "unit/cmocka_all.h"

#include "base/error.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void parse(const char *text, struct config *c) {
  struct error e = {0};
  if (config_parse("/etc/swarmgate/s.yaml", text, strlen(text), c, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static void assert_text(const struct config_text *t, const char *text, unsigned line) {
  assert_non_null(t->text);
  assert_string_equal(t->text, text);
  assert_int_equal(t->line, line);
}

/* The contract's sample less the keys that are for later. */
static const char full[] =
    "data_dir: /var/lib/swarmgate\n"
    "tracker:                      # leave a role out and it does not run\n"
    "  listen: [\"127.0.0.1:6970\", \"[::1]:6970\"]\n"
    "  url: http://tracker.example:6969/announce\n"
    "  interval: 16m\n"
    "  min_interval: 31s\n"
    "  numwant: { default: 51, max: 201 }\n"
    "  session_max: 25h\n"
    "  session_key: shared.key\n"
    "  max_peers: 2000001\n" /* 10 */
    "  store: memory\n"
    "  zones: {}\n"
    "  trusted_proxies: []\n"
    "gateway:\n"
    "  listen: [\"127.0.0.1:8081\"]\n"
    "  url: http://127.0.0.1:8081/\n"
    "  torrents: { format: hybrid }\n"
    "  squash_on_push: []\n"
    "  trusted_proxies: []\n"
    "auth:\n" /* 20 */
    "  issuer: sg\n"
    "  audience: sg-tracker\n"
    "  signing_keys: [announce.pem, /old/announce.pem]\n"
    "  ttl: { swarm: 11m, webseed: 2h, session: 25h }\n"
    "  leeway: 61s\n"
    "  trust:                            # one row a trusted issuer; our own key needs none\n"
    "    - { issuer: swarmgate, audience: swarmgate-tracker, keys: announce.jwks.json, algorithms: "
    "[ES256], accept: [swarm] }\n"
    "    - { issuer: auth.example, audience: registry.example, keys: registry-token.crt, "
    "algorithms: [RS256, ES256], accept: [registry], registry: registry.example }\n"
    "registries:\n"
    "  - name: registry.example\n" /* 30 */
    "    url: http://127.0.0.1:5000\n"
    "    ca_file: registry-ca.crt\n"
    "    certificate: registry-client.crt\n"
    "    key: registry-client.key\n"
    "    credentials: { username: gateway, password_file: gateway.pass }\n"
    "    authorise: delegate          # delegate: ask the registry\n"
    "token_service:\n"
    "  issuer: auth.example\n"
    "  service: registry.example\n"
    "  signing_key: registry.pem\n"
    "  ttl: 6m\n"
    "  anonymous_pull: ['public/*', library/busybox]\n" /* 42 */
    "log: { level: debug, format: text }\n"
    "admin: { listen: ['127.0.0.1:9091', '[::1]:9091'] }\n"; /* 44 */

static void every_key_goes_to_its_place(void **state) {
  (void)state;
  struct config c;
  parse(full, &c);
  assert_string_equal(c.file, "/etc/swarmgate/s.yaml");
  assert_text(&c.data_dir, "/var/lib/swarmgate", 1);
  const struct config_tracker *t = &c.tracker;
  assert_true(t->present);
  assert_int_equal(t->listen.count, 2);
  assert_text(&t->listen.items[0], "127.0.0.1:6970", 3);
  assert_text(&t->listen.items[1], "[::1]:6970", 3);
  assert_text(&t->url, "http://tracker.example:6969/announce", 4);
  assert_int_equal(t->interval, 16 * 60);
  assert_int_equal(t->min_interval, 31);
  assert_int_equal(t->numwant_default, 51);
  assert_int_equal(t->numwant_max, 201);
  assert_int_equal(t->session_max, 25 * 3600);
  assert_text(&t->session_key, "/etc/swarmgate/shared.key", 9);
  assert_int_equal(t->max_peers, 2000001);
  const struct config_gateway *g = &c.gateway;
  assert_true(g->present);
  assert_int_equal(g->line, 15);
  assert_int_equal(g->listen.count, 1);
  assert_text(&g->listen.items[0], "127.0.0.1:8081", 15);
  assert_text(&g->url, "http://127.0.0.1:8081", 16);
  assert_int_equal(g->format, CONFIG_HYBRID);
  const struct config_auth *a = &c.auth;
  assert_text(&a->issuer, "sg", 21);
  assert_text(&a->audience, "sg-tracker", 22);
  assert_int_equal(a->signing_keys.count, 2);
  assert_text(&a->signing_keys.items[0], "/etc/swarmgate/announce.pem", 23);
  assert_text(&a->signing_keys.items[1], "/old/announce.pem", 23);
  assert_int_equal(a->ttl_swarm, 11 * 60);
  assert_int_equal(a->ttl_webseed, 2 * 3600);
  assert_int_equal(a->ttl_session, 25 * 3600);
  assert_int_equal(a->leeway, 61);
  assert_int_equal(a->trust_count, 2);
  assert_int_equal(a->trust[0].line, 27);
  assert_text(&a->trust[0].keys, "/etc/swarmgate/announce.jwks.json", 27);
  assert_null(a->trust[0].registry.text);
  assert_text(&a->trust[1].issuer, "auth.example", 28);
  assert_text(&a->trust[1].audience, "registry.example", 28);
  assert_int_equal(a->trust[1].algorithms.count, 2);
  assert_text(&a->trust[1].algorithms.items[1], "ES256", 28);
  assert_int_equal(a->trust[1].accept.count, 1);
  assert_text(&a->trust[1].accept.items[0], "registry", 28);
  assert_text(&a->trust[1].registry, "registry.example", 28);
  assert_int_equal(c.registry_count, 1);
  const struct config_registry *r = &c.registries[0];
  assert_int_equal(r->line, 30);
  assert_text(&r->name, "registry.example", 30);
  assert_text(&r->url, "http://127.0.0.1:5000", 31);
  assert_text(&r->ca_file, "/etc/swarmgate/registry-ca.crt", 32);
  assert_text(&r->certificate, "/etc/swarmgate/registry-client.crt", 33);
  assert_text(&r->key, "/etc/swarmgate/registry-client.key", 34);
  assert_text(&r->username, "gateway", 35);
  assert_text(&r->password_file, "/etc/swarmgate/gateway.pass", 35);
  assert_text(&r->authorise, "delegate", 36);
  const struct config_token_service *s = &c.token_service;
  assert_true(s->present);
  assert_int_equal(s->line, 38);
  assert_text(&s->issuer, "auth.example", 38);
  assert_text(&s->service, "registry.example", 39);
  assert_text(&s->signing_key, "/etc/swarmgate/registry.pem", 40);
  assert_int_equal(s->ttl, 6 * 60);
  assert_int_equal(s->anonymous_pull.count, 2);
  assert_text(&s->anonymous_pull.items[0], "public/*", 42);
  assert_text(&s->anonymous_pull.items[1], "library/busybox", 42);
  assert_true(c.admin.present);
  assert_int_equal(c.admin.listen.count, 2);
  assert_text(&c.admin.listen.items[1], "[::1]:9091", 44);
  assert_int_equal(c.log.level, LOG_LEVEL_DEBUG);
  assert_false(c.log.json);
  config_free(&c);
}

static void what_is_left_out_has_its_default(void **state) {
  (void)state;
  struct config c;
  parse("{}\n", &c);
  assert_text(&c.data_dir, "/var/lib/swarmgate", 0);
  assert_false(c.tracker.present);
  assert_int_equal(c.tracker.listen.count, 1);
  assert_text(&c.tracker.listen.items[0], "127.0.0.1:6969", 0);
  assert_text(&c.tracker.url, "http://127.0.0.1:6969/announce", 0);
  assert_int_equal(c.tracker.interval, 900);
  assert_int_equal(c.tracker.min_interval, 30);
  assert_int_equal(c.tracker.numwant_default, 50);
  assert_int_equal(c.tracker.numwant_max, 200);
  assert_int_equal(c.tracker.session_max, 86400);
  assert_text(&c.tracker.session_key, "/var/lib/swarmgate/session.key", 0);
  assert_int_equal(c.tracker.max_peers, 2000000);
  assert_false(c.gateway.present);
  assert_text(&c.gateway.url, "http://127.0.0.1:8080", 0);
  assert_int_equal(c.gateway.format, CONFIG_V1);
  assert_int_equal(c.gateway.webseed.max_rate, 0);
  assert_int_equal(c.gateway.webseed.max_rate_per_token, 0);
  assert_int_equal(c.gateway.webseed.max_readers, 8192);
  assert_text(&c.auth.issuer, "swarmgate", 0);
  assert_text(&c.auth.audience, "swarmgate-tracker", 0);
  assert_int_equal(c.auth.signing_keys.count, 0);
  assert_int_equal(c.auth.ttl_swarm, 600);
  assert_int_equal(c.auth.ttl_webseed, 3600);
  assert_int_equal(c.auth.ttl_session, 86400);
  assert_int_equal(c.auth.leeway, 60);
  assert_int_equal(c.auth.trust_count, 0);
  assert_int_equal(c.registry_count, 0);
  assert_false(c.token_service.present);
  assert_int_equal(c.token_service.ttl, 300);
  assert_int_equal(c.log.level, LOG_LEVEL_INFO);
  assert_true(c.log.json);
  config_free(&c);
}

static void the_smallest_useful_file_has_five_lines(void **state) {
  (void)state;
  struct config c;
  parse("data_dir: data\n"
        "tracker:\n"
        "  listen: ['[::1]:7000']\n"
        "auth:\n"
        "  signing_keys: [announce.pem]\n",
        &c);
  assert_text(&c.data_dir, "/etc/swarmgate/data", 1);
  assert_true(c.tracker.present);
  assert_text(&c.tracker.url, "http://[::1]:7000/announce", 0);
  assert_text(&c.tracker.session_key, "/etc/swarmgate/data/session.key", 0);
  assert_false(c.gateway.present);
  config_free(&c);
}

/* A value beside a default that it contradicts wins. */
static void defaults_give_way(void **state) {
  (void)state;
  struct config c;
  parse("tracker: {interval: 10s, numwant: {max: 20}}\nauth: {ttl: {session: 2m}}\n", &c);
  assert_int_equal(c.tracker.min_interval, 10);
  assert_int_equal(c.tracker.numwant_default, 20);
  assert_int_equal(c.auth.ttl_swarm, 120);
  config_free(&c);
}

static void a_webseed_has_rates(void **state) {
  (void)state;
  struct config c;
  parse("gateway: {webseed: {max_rate: 1GiB, max_rate_per_token: 16KiB, max_readers: 1}}\n"
        "registries: [{name: r, url: 'http://r'}]\nauth: {signing_keys: [k]}\n",
        &c);
  assert_int_equal(c.gateway.webseed.max_rate, 1 << 30);
  assert_int_equal(c.gateway.webseed.max_rate_per_token, 16384);
  assert_int_equal(c.gateway.webseed.max_readers, 1);
  config_free(&c);
}

static void with_one_registry_a_row_needs_no_name(void **state) {
  (void)state;
  struct config c;
  parse("registries: [{name: r, url: 'https://r/', authorise: token}]\n"
        "auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [EdDSA],\n"
        "                accept: [registry, swarm]}]}\n",
        &c);
  assert_null(c.auth.trust[0].registry.text);
  assert_text(&c.registries[0].url, "https://r", 1);
  assert_text(&c.registries[0].authorise, "token", 1);
  config_free(&c);
  parse("auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [EdDSA],\n"
        "                accept: [registry], registry: r}]}\n"
        "registries: [{name: q, url: 'http://q'}, {name: r, url: 'http://r', authorise: token}]\n",
        &c);
  assert_text(&c.auth.trust[0].registry, "r", 2);
  assert_text(&c.registries[0].authorise, "delegate", 0);
  assert_text(&c.registries[1].authorise, "token", 3);
  config_free(&c);
}

#define SERVICE "token_service: {issuer: i, service: s, signing_key: k}\n"

static void assert_service_registry(const char *text, const char *want) {
  struct config c;
  parse(text, &c);
  assert_string_equal(config_service_registry(&c), want);
  config_free(&c);
}

static void the_token_service_needs_no_row(void **state) {
  (void)state;
  assert_service_registry(SERVICE "registries: [{name: r, url: 'http://r', authorise: token}]\n",
                          "r");
  assert_service_registry(SERVICE "registries: [{name: q, url: 'http://q'},\n"
                                  "             {name: s, url: 'http://s', authorise: token}]\n",
                          "s");
  assert_service_registry(
      SERVICE "registries: [{name: s, url: 'http://s'},\n"
              "             {name: r, url: 'http://r', authorise: token}]\n"
              "auth: {trust: [{issuer: i, audience: other, keys: k, algorithms: [ES256],\n"
              "                accept: [swarm], registry: s},\n"
              "               {issuer: i, audience: s, keys: k, algorithms: [ES256],\n"
              "                accept: [registry], registry: r}]}\n",
      "r");
  assert_service_registry(SERVICE, "s");
}

static void a_tracker_may_stand_alone(void **state) {
  (void)state;
  struct config c;
  parse(
      "tracker:\n"
      "  revocations: https://gate.example/v1/revocations\n"
      "auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [EdDSA], accept: [swarm]}]}\n",
      &c);
  assert_text(&c.auth.trust[0].keys, "/etc/swarmgate/k", 3);
  config_free(&c);
  /* Its keys may come from there, too. */
  parse("tracker:\n"
        "  revocations: https://gate.example/v1/revocations\n"
        "auth: {trust: [{issuer: i, audience: a, keys: 'http://gate.example/jwks', \n"
        "                algorithms: [EdDSA], accept: [swarm]}]}\n",
        &c);
  assert_text(&c.auth.trust[0].keys, "http://gate.example/jwks", 3);
  assert_text(&c.tracker.revocations, "https://gate.example/v1/revocations", 2);
  assert_false(c.admin.present);
  assert_text(&c.admin.listen.items[0], "127.0.0.1:9090", 0);
  config_free(&c);
}

static void swarms_may_have_a_ca(void **state) {
  (void)state;
  struct config c;
  parse("auth: { signing_keys: [k] }\n"
        "registries: [{ name: r, url: 'http://r' }]\n"
        "gateway:\n"
        "  swarm_tls:\n"
        "    ca_certificate: swarm-ca.crt\n"
        "    ca_key: /keys/swarm-ca.key\n",
        &c);
  const struct config_swarm_tls *s = &c.gateway.swarm_tls;
  assert_int_equal(s->line, 5);
  assert_text(&s->ca_certificate, "/etc/swarmgate/swarm-ca.crt", 5);
  assert_text(&s->ca_key, "/keys/swarm-ca.key", 6);
  assert_int_equal(s->ttl, 900);
  config_free(&c);
  parse("auth: { signing_keys: [k] }\n"
        "registries: [{ name: r, url: 'http://r' }]\n"
        "gateway: { swarm_tls: { ca_certificate: a, ca_key: b, ttl: 30s } }\n",
        &c);
  assert_int_equal(c.gateway.swarm_tls.ttl, 30);
  config_free(&c);
}

static void words_may_stand_in_quotes(void **state) {
  (void)state;
  struct config c;
  parse("\xef\xbb\xbf---\nlog: {\"level\": 'warn', format: \"json\"}\ntracker: {interval: \"2m\"}\n"
        "auth: {issuer: '\xc3\xa4'}\n...\n",
        &c);
  assert_int_equal(c.log.level, LOG_LEVEL_WARN);
  assert_int_equal(c.tracker.interval, 120);
  assert_text(&c.auth.issuer, "\xc3\xa4", 4);
  config_free(&c);
}

static void a_file_is_loaded(void **state) {
  (void)state;
  struct config c;
  struct error e = {0};
  char path[] = "/tmp/swarmgate-config.XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, full, sizeof full - 1), sizeof full - 1);
  close(fd);
  if (config_load(path, &c, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_string_equal(c.file, path);
  assert_text(&c.token_service.signing_key, "/tmp/registry.pem", 40);
  assert_int_equal(config_error(&c, 40, &e, "no such key: %s", "x"), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  char expected[128];
  snprintf(expected, sizeof expected, "%s:40: no such key: x", path);
  assert_string_equal(e.text, expected);
  config_error(&c, 0, &e, "no such key");
  snprintf(expected, sizeof expected, "%s: no such key", path);
  assert_string_equal(e.text, expected);
  config_free(&c);
  unlink(path);
  assert_int_equal(config_load(path, &c, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, path));
  assert_int_equal(config_load("/", &c, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void the_sample_is_taken_as_it_is(void **state) {
  (void)state;
  struct config c;
  struct error e = {0};
  if (config_load(SAMPLE, &c, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_true(c.tracker.present);
  assert_true(c.gateway.present);
  config_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_key_goes_to_its_place),
      cmocka_unit_test(what_is_left_out_has_its_default),
      cmocka_unit_test(the_smallest_useful_file_has_five_lines),
      cmocka_unit_test(defaults_give_way),
      cmocka_unit_test(a_webseed_has_rates),
      cmocka_unit_test(with_one_registry_a_row_needs_no_name),
      cmocka_unit_test(the_token_service_needs_no_row),
      cmocka_unit_test(a_tracker_may_stand_alone),
      cmocka_unit_test(swarms_may_have_a_ca),
      cmocka_unit_test(words_may_stand_in_quotes),
      cmocka_unit_test(a_file_is_loaded),
      cmocka_unit_test(the_sample_is_taken_as_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
