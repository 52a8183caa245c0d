/* What is refused, and that the message names file, line and the key's path. */
#include "unit/cmocka_all.h"

#include "base/buf.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW  "{issuer: i, audience: a, keys: k, algorithms: [ES256], accept: [swarm]"
#define BOTH "{registries: [{name: a, url: 'http://a'}], auth: {signing_keys: [k]}, "

static const struct {
  const char *text;
  const char *begins; /* the message, behind `s.yaml:` */
  const char *holds;  /* and somewhere in it; NULL: nothing more */
} cases[] = {
    /* Syntax, and what a document may be. */
    {"", "1: ", "nothing"},
    {"# a comment\n", "1: ", "nothing"},
    {"a: b: c\n", "1: it cannot be read as YAML", NULL},
    {"log:\n\tlevel: info\n", "2: it cannot be read as YAML", NULL},
    {"log: {level: info\n", "2: it cannot be read as YAML", NULL},
    {"log: {}\nauth: {issuer: \"\xff\"}\n", "2: it cannot be read as YAML", "UTF-8"},
    {"log: {}\n\x01\n", "2: it cannot be read as YAML", "control characters"},
    {"log: {}\n---\nlog: {}\n", "2: one document", NULL},
    {"log: &a {}\n", "1: anchors", NULL},
    {"data_dir: &a x\n", "1: anchors", NULL},
    {"registries: &a []\n", "1: anchors", NULL},
    {"log: {}\nauth: *a\n", "2: aliases", NULL},
    {"log: !!map {}\n", "1: tags", NULL},
    {"data_dir: !!str x\n", "1: tags", NULL},
    {"data_dir: ! x\n", "1: tags", NULL},
    {"registries: !r []\n", "1: tags", NULL},
    {"log: {<<: {level: info}}\n", "1: log: merge keys", NULL},
    {"[[[[[[[[[[[]]]]]]]]]]]\n", "1: no key lies as deep", NULL},
    {"- a\n", "1: wants a mapping", "a list"},
    {"text\n", "1: wants a mapping", "a single value"},
    {"~\n", "1: wants a mapping", "nothing"},
    {"{[a]: b}\n", "1: a key is a word", NULL},
    {"tracker: {{}: b}\n", "1: tracker: a key is a word", NULL},
    /* Unknown and doubled keys. */
    {"log: {}\ntraker: {}\n", "2: traker: there is no such key; is it tracker?", NULL},
    {"log:\n  lvl: info\n", "2: log.lvl: there is no such key; is it level?", NULL},
    {"log: {colour: red}\n", "1: log.colour: there is no such key", NULL},
    {"log: {'': red}\n", "1: log.: there is no such key", NULL},
    {"log: {\"a\\nb\": red}\n", "1: log.a?b: there is no such key", NULL},
    {"tracker:\n  numwant: {maxx: 1}\n",
     "2: tracker.numwant.maxx: there is no such key; is it max?", NULL},
    {"auth:\n  trust:\n    - " ROW "}\n    - {isuer: i}\n",
     "4: auth.trust[1].isuer: there is no such key; is it issuer?", NULL},
    {"log: {}\ndata_dir: a\nlog: {}\n", "3: log: is there twice; first in line 1", NULL},
    {"log:\n  level: info\n  level: info\n", "3: log.level: is there twice; first in line 2", NULL},
    /* Kinds of values. */
    {"data_dir: [a]\n", "1: data_dir: wants a single value, not a list", NULL},
    {"data_dir: {a: b}\n", "1: data_dir: wants a single value, not a mapping", NULL},
    {"data_dir:\n", "1: data_dir: wants a single value, not nothing", NULL},
    {"data_dir: ~\n", "1: data_dir: wants a single value, not nothing", NULL},
    {"data_dir: Null\n", "1: data_dir: wants a single value, not nothing", NULL},
    {"data_dir: ''\n", "1: data_dir: is empty", NULL},
    {"data_dir: |\n  a\n  b\n", "1: data_dir: holds a line break", NULL},
    {"data_dir: \"a\\0b\"\n", "1: data_dir: holds", NULL},
    {"tracker:\n", "1: tracker: wants a mapping", "nothing"},
    {"tracker: on\n", "1: tracker: wants a mapping", "a single value"},
    {"tracker: {numwant: 50}\n", "1: tracker.numwant: wants a mapping", NULL},
    {"registries: {}\n", "1: registries: wants a list", NULL},
    {"registries:\n", "1: registries: wants a list", NULL},
    {"registries: [r]\n", "1: registries[0]: wants a mapping", NULL},
    {"tracker:\n  listen: 127.0.0.1:6969\n", "2: tracker.listen: wants a list", "a single value"},
    {"tracker: {listen: []}\n", "1: tracker.listen: is an empty list", NULL},
    {"tracker: {listen: [[]]}\n", "1: tracker.listen[0]: wants a single value", NULL},
    {"tracker:\n  listen:\n  - 127.0.0.1:1\n  - 127.0.0.1:1\n",
     "4: tracker.listen[1]: 127.0.0.1:1 is there twice", NULL},
    /* Addresses, URLs. */
    {"tracker: {listen: ['unix:x']}\n", "1: tracker.listen[0]: ", "a path from /"},
    {"tracker: {listen: ['unix:']}\n", "1: tracker.listen[0]: ", "a path from /"},
    {"tracker: {listen: ['unix:/x12345678901234567890123456789012345678901234567890123456789012345"
     "678901234567890123456789012345678901234567']}\n",
     "1: tracker.listen[0]: ", "at most 107 bytes"},
    {"gateway: {listen: ['fd:']}\n", "1: gateway.listen[0]: ", "such as fd:tracker"},
    {"gateway: {listen: ['fd:a:b']}\n", "1: gateway.listen[0]: ", "such as fd:tracker"},
    {"tracker: {listen: ['unix:/run/x']}\n", "1: tracker.url: is missing", "unix:/run/x"},
    {"gateway: {listen: ['fd:http']}\n", "1: gateway", NULL},
    {"tracker: {listen: ['localhost:6969']}\n",
     "1: tracker.listen[0]: localhost:6969: ", "literal address"},
    {"tracker: {listen: ['127.0.0.1:70000']}\n", "1: tracker.listen[0]: ", "65535"},
    {"tracker: {url: 'udp://a/announce'}\n", "1: tracker.url: ", "http://"},
    {"gateway: {url: 'http://a/?b'}\n", "1: gateway.url: ", "no query"},
    /* Numbers, durations, words. */
    {"tracker: {interval: 900}\n", "1: tracker.interval: 900 has no unit; write 15m", NULL},
    {"tracker: {interval: 31}\n", "1: tracker.interval: 31 has no unit; write 31s", NULL},
    {"tracker: {interval: 1500ms}\n", "1: tracker.interval: 1500ms is not whole seconds", NULL},
    {"tracker: {interval: 15 m}\n", "1: tracker.interval: 15 m is not a duration", NULL},
    {"tracker: {interval: 15M}\n", "1: tracker.interval: 15M is not a duration", NULL},
    {"tracker: {interval: -15m}\n", "1: tracker.interval: -15m is not a duration", NULL},
    {"tracker: {interval: 0}\n", "1: tracker.interval: 0 is not within 1s and 1d", NULL},
    {"tracker: {interval: 25h}\n", "1: tracker.interval: 25h is not within 1s and 1d", NULL},
    {"tracker: {interval: 99999999999999999999d}\n", "1: tracker.interval: ", "not a duration"},
    {"tracker:\n  interval: 10m\n  min_interval: 11m\n",
     "3: tracker.min_interval: 11m is more than interval, which is 10m", NULL},
    {"tracker: {session_max: 367d}\n", "1: tracker.session_max: ", "366d"},
    {"tracker: {max_peers: 0}\n", "1: tracker.max_peers: 0 is not within 1 and 1000000000", NULL},
    {"tracker: {max_peers: 0x10}\n", "1: tracker.max_peers: 0x10 is not a whole number", NULL},
    {"tracker: {max_peers: 1_000}\n", "1: tracker.max_peers: 1_000 is not a whole number", NULL},
    {"tracker: {max_peers: -1}\n", "1: tracker.max_peers: -1 is not a whole number", NULL},
    {"tracker: {max_peers: +1}\n", "1: tracker.max_peers: +1 is not a whole number", NULL},
    {"tracker: {max_peers: 1.0}\n", "1: tracker.max_peers: 1.0 is not a whole number", NULL},
    {"tracker: {max_peers: '10'}\n", "1: tracker.max_peers: wants a number, not a text", NULL},
    {"tracker: {max_peers: 18446744073709551616}\n", "1: tracker.max_peers: ", NULL},
    {"tracker: {numwant: {default: 300}}\n",
     "1: tracker.numwant.default: 300 is more than max, which is 200", NULL},
    {"tracker: {numwant: {max: 501}}\n", "1: tracker.numwant.max: 501 is not within", NULL},
    {"auth: {ttl: {swarm: 2h, session: 1h}}\n",
     "1: auth.ttl.swarm: 2h is more than session, which is 1h", NULL},
    {"auth: {ttl: {webseed: 8d}}\n", "1: auth.ttl.webseed: 8d is not within 1s and 7d", NULL},
    {"auth: {leeway: 301s}\n", "1: auth.leeway: 301s is not within 0s and 5m", NULL},
    {"log: {level: trace}\n", "1: log.level: trace is not one of error, warn, info, debug", NULL},
    {"log: {format: JSON}\n", "1: log.format: JSON is not one of text, json", NULL},
    {"gateway: {torrents: {format: v3}}\n",
     "1: gateway.torrents.format: v3 is not one of v1, v2, hybrid", NULL},
    /* What is for later. */
    {"tracker: {store: 'redis://127.0.0.1:6379/0'}\n", "1: tracker.store: ", "not supported yet"},
    {"tracker: {store: disk}\n", "1: tracker.store: disk: is not memory", NULL},
    {"tracker: {zones: {rack1: [10.1.0.0/16]}}\n", "1: tracker.zones: is not supported yet", NULL},
    {"tracker: {trusted_proxies: [10.1.0.0/8]}\n",
     "1: tracker.trusted_proxies[0]: ", "first address"},
    {"tracker: {trusted_proxies: 10.0.0.0/8}\n", "1: tracker.trusted_proxies: wants a list", NULL},
    {"tracker: {tls: {certificate: a}}\n", "1: tracker.tls.key: is missing", NULL},
    {"gateway:\n  cache: {max_size: 1GiB}\n", "2: gateway.cache.path: is missing", NULL},
    {"gateway: {cache: {path: a, max_size: 10}}\n",
     "1: gateway.cache.max_size: ", "10 is less than 64MiB"},
    {"gateway: {cache: {path: a, max_size: big}}\n",
     "1: gateway.cache.max_size: ", "big is not a size, such as 512MiB or 50GiB"},
    {"gateway: {cache: /var/cache}\n",
     "1: gateway.cache: wants a mapping of keys, such as {path: …}, not a single value", NULL},
    {"gateway:\n  webseed:\n    max_rate: 16383\n",
     "3: gateway.webseed.max_rate: ", "16383 is less than 16KiB"},
    {"gateway: {webseed: {max_rate: 0}}\n", "1: gateway.webseed.max_rate: 0 is less", NULL},
    {"gateway: {webseed: {max_rate_per_token: 15KiB}}\n",
     "1: gateway.webseed.max_rate_per_token: ", "15KiB is less than 16KiB"},
    {"gateway: {webseed: {max_rate_per_token: 1MiB/s}}\n",
     "1: gateway.webseed.max_rate_per_token: ", "1MiB/s is not a size"},
    {"gateway: {webseed: {max_readers: 0}}\n",
     "1: gateway.webseed.max_readers: ", "0 is not within 1 and 1000000"},
    {"gateway: yes\n", "1: gateway: wants a mapping of keys, such as {listen: …}, not", NULL},
    {"registries: [{name: r, url: 'http://r', credentials: {username: u, password: s3cr3t}}]\n",
     "1: registries[0].credentials.password: there is no such key; is it password_file?", NULL},
    {"registries: [{name: r, url: 'http://r/v2/'}]\n",
     "1: registries[0].url: http://r/v2/: is not the registry's root: leave out /v2/", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: 'ftp://x', algorithms: [ES256], accept: "
     "[swarm]}]}\n",
     "1: auth.trust[0].keys: ftp://x: is neither a file nor a URL that begins with http", NULL},
    {"gateway: {squash_on_push: ['*']}\n", "1: gateway.squash_on_push: is not supported yet", NULL},
    {"gateway: {swarm_tls: {}}\n", "1: gateway.swarm_tls.ca_certificate: is missing", NULL},
    {"gateway:\n  swarm_tls: {ca_certificate: a}\n", "2: gateway.swarm_tls.ca_key: is missing",
     NULL},
    {"gateway: {swarm_tls: {ca_certificate: a, ca_key: b, ttl: 25h}}\n",
     "1: gateway.swarm_tls.ttl: ", "25h is not within 1s and 1d"},
    {"gateway: {trusted_proxies: [a]}\n", "1: gateway.trusted_proxies[0]: ", "literal address"},
    {"gateway: {tls: {}}\n", "1: gateway.tls.certificate: is missing", NULL},
    {"registries: [{name: r, url: 'http://r', notification_secret_file: [s]}]\n",
     "1: registries[0].notification_secret_file: wants a single value", NULL},
    {"token_service: {issuer: i, service: s, signing_key: k, anonymous_pull: ['*', 'a/*b']}\n",
     "1: token_service.anonymous_pull[1]: a/*b: is no pattern", "team/*"},
    {"token_service: {issuer: i, service: s, signing_key: k, anonymous_pull: '*'}\n",
     "1: token_service.anonymous_pull: wants a list", NULL},
    {"token_service: {issuer: i, service: s, signing_key: k, anonymous_pull: [a, a]}\n",
     "1: token_service.anonymous_pull[1]: a is there twice", NULL},
    {"admin: {listen: ['localhost:9090']}\n", "1: admin.listen[0]: ", "literal address"},
    {"admin: {metrics: true}\n", "1: admin.metrics: ", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: 'https://k?x', algorithms: [ES256],\n"
     "  accept: [swarm]}]}\n",
     "1: auth.trust[0].keys: https://k?x: ", "no query"},
    /* What is missing, and what contradicts something else. */
    {"registries:\n- url: http://r\n", "2: registries[0].name: is missing", NULL},
    {"registries:\n- name: r\n", "2: registries[0].url: is missing", NULL},
    {"registries:\n- name: r\n  url: http://r\n  credentials:\n    username: u\n",
     "5: registries[0].credentials.password_file: is missing", NULL},
    {"registries: [{name: r/x, url: 'http://r'}]\n", "1: registries[0].name: ", "not a registry"},
    {"registries:\n- {name: r, url: 'http://r'}\n- {name: r, url: 'http://s'}\n",
     "3: registries[1].name: r is there twice", NULL},
    {"registries:\n- name: r\n  url: http://r\n  certificate: c\n",
     "2: registries[0]: certificate and key go together", NULL},
    {"registries:\n- {name: r, url: 'http://r', key: k}\n",
     "2: registries[0]: certificate and key go together", NULL},
    {"registries:\n- name: r\n  url: http://r\n  authorise: both\n",
     "4: registries[0].authorise: both: is neither", NULL},
    {"registries:\n- name: r\n  url: http://r\n  authorise: token\n",
     "4: registries[0].authorise: token needs a row", "registry tokens of r"},
    {"registries: [{name: a, url: 'http://a'},\n{name: b, url: 'http://b', authorise: token}]\n"
     "auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [ES256],\n"
     "  accept: [registry], registry: a}]}\n",
     "2: registries[1].authorise: token needs a row", "registry tokens of b"},
    {"registries: [{name: r, url: 'http://r', authorise: token}]\n"
     "auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [ES256], accept: [swarm]}]}\n",
     "1: registries[0].authorise: token needs a row", NULL},
    {"registries: [{name: r, url: 'http://r', authorise: token}]\n",
     "1: registries[0].authorise: token needs a row",
     "- { issuer: ISSUER, audience: SERVICE, keys: FILE, algorithms: [ES256, RS256], accept: "
     "[registry], registry: 'r' }"},
    {"token_service: {issuer: i, service: s, signing_key: k}\n"
     "registries: [{name: q, url: 'http://q'},\n{name: r, url: 'http://r', authorise: token}]\n",
     "3: registries[1].authorise: token needs a row", "; token_service issues those of s"},
    {"token_service:\n  issuer: i\n", "2: token_service.service: is missing", NULL},
    {"auth:\n  trust:\n  - {audience: a, keys: k, algorithms: [ES256], accept: [swarm]}\n",
     "3: auth.trust[0].issuer: is missing", NULL},
    {"auth:\n  trust:\n  - {issuer: i, audience: a, keys: k, algorithms: [ES256]}\n",
     "3: auth.trust[0].accept: is missing", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [HS256], accept: [swarm]}]}\n",
     "1: auth.trust[0].algorithms[0]: HS256 is not one of ES256, RS256, EdDSA", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [none], accept: [swarm]}]}\n",
     "1: auth.trust[0].algorithms[0]: none is not one of", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [], accept: [swarm]}]}\n",
     "1: auth.trust[0].algorithms: is an empty list", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [ES256], accept: [all]}]}\n",
     "1: auth.trust[0].accept[0]: all is not one of swarm, registry, webseed", NULL},
    {"auth:\n  trust:\n  - {issuer: i, audience: a, keys: k, algorithms: [ES256], accept: "
     "[registry]}\n",
     "3: auth.trust[0].registry: is missing", NULL},
    {"registries: [{name: a, url: 'http://a'}, {name: b, url: 'http://b'}]\n"
     "auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [ES256], accept: "
     "[registry]}]}\n",
     "2: auth.trust[0].registry: is missing", NULL},
    {"registries: [{name: a, url: 'http://a'}]\n"
     "auth: {trust: [" ROW ", registry: c}]}\n",
     "2: auth.trust[0].registry: `registries` has no row named c", NULL},
    {"log: {}\ngateway: {}\nauth: {signing_keys: [k]}\n", "2: gateway: needs a registry", NULL},
    {"registries: [{name: a, url: 'http://a'}]\ngateway: {}\n", "2: gateway: needs a key", NULL},
    {BOTH "tracker: {listen: ['fd:a', '[::1]:1']},\n"
          "gateway: {listen: ['127.0.0.1:1',\n'[::1]:1']}}\n",
     "3: gateway.listen[1]: [::1]:1 is in tracker.listen", NULL},
    {BOTH "tracker: {listen: ['127.0.0.1:8080']}, gateway: {}}\n",
     " gateway.listen[0]: 127.0.0.1:8080 is in tracker.listen", NULL},
    /* The same by another name. */
    {BOTH "tracker: {listen: ['fd:a', '127.0.0.1:1']}, gateway: {listen: ['127.0.0.1:01']}}\n",
     "1: gateway.listen[0]: 127.0.0.1:01 overlaps 127.0.0.1:1 of tracker.listen", NULL},
    {BOTH "tracker: {listen: ['[::1]:1']}, gateway: {listen: ['[0:0:0:0:0:0:0:1]:1']}}\n",
     "1: gateway.listen[0]: [0:0:0:0:0:0:0:1]:1 overlaps [::1]:1 of tracker.listen", NULL},
    {BOTH "tracker: {listen: ['0.0.0.0:1']}, gateway: {listen: ['127.0.0.1:1']}}\n",
     "1: gateway.listen[0]: 127.0.0.1:1 overlaps 0.0.0.0:1 of tracker.listen", NULL},
    {BOTH "tracker: {listen: ['[::1]:1']}, gateway: {listen: ['[::]:1']}}\n",
     "1: gateway.listen[0]: [::]:1 overlaps [::1]:1 of tracker.listen", NULL},
    {"{tracker: {}, admin: {listen: ['127.0.0.1:1', '127.0.0.1:6969']}}\n",
     "1: admin.listen[1]: 127.0.0.1:6969 is in tracker.listen", NULL},
    {BOTH "gateway: {}, admin: {listen: ['0.0.0.0:8080']}}\n",
     "1: admin.listen[0]: 0.0.0.0:8080 overlaps 127.0.0.1:8080 of gateway.listen", NULL},
    /* A tracker that stands alone. */
    {"tracker: {revocations: 'redis://a'}\n", "1: tracker.revocations: ", "begins with http"},
    {"tracker:\n  revocations: https://a/v1/revocations\n", "2: tracker.revocations: needs a row",
     "accepts swarm tokens"},
    {"tracker:\n  revocations: https://a/v1/revocations\n"
     "auth: {trust: [{issuer: i, audience: a, keys: k, algorithms: [ES256],\n"
     "  accept: [registry], registry: r}]}\n",
     "2: tracker.revocations: needs a row", NULL},
    {"tracker:\n  revocations: https://a/v1/revocations\n"
     "auth:\n  signing_keys: [k]\n",
     "4: auth.signing_keys: ", "public keys only"},
    {BOTH "tracker: {revocations: 'https://a'}, gateway: {}}\n",
     "1: tracker.revocations: is for a tracker without a gateway", NULL},
    /* What may be a password is not shown. */
    {"registries: [{name: a, url: 'https://u:s3cr3tpw@host'}]\n",
     "1: registries[0].url: must not hold a user name or password", NULL},
    {"registries: [{name: a, url: 'https//u:s3cr3tpw@host'}]\n",
     "1: registries[0].url: is not a URL that begins with http", NULL},
    {"registries: [{name: a, url: 'https://u:s3/cr3tpw@host'}]\n",
     "1: registries[0].url: has no host", NULL},
    {"tracker: {revocations: 'https://u:s3cr3tpw@host/v1/revocations'}\n",
     "1: tracker.revocations: must not hold", NULL},
    {"tracker: {url: 'https://u:s3cr3tpw@host'}\n", "1: tracker.url: must not hold", NULL},
    {BOTH "gateway: {url: 'https://u:s3cr3tpw@host'}}\n", "1: gateway.url: must not hold", NULL},
    {"tracker: {store: 'redis://:s3cr3tpw@host/0'}\n", "1: tracker.store: Redis is not", NULL},
    {"auth: {trust: [{issuer: i, audience: a, keys: 'https://u:s3cr3tpw@host', "
     "algorithms: [ES256], accept: [swarm]}]}\n",
     "1: auth.trust[0].keys: must not hold", NULL},
};

static void refuse(const char *text, size_t len, const char *begins, const char *holds) {
  struct config c;
  struct error e = {0};
  char expected[512];
  if (config_parse("s.yaml", text, len, &c, &e) == 0) {
    config_free(&c);
    fail_msg("this is taken:\n%s", text);
  }
  snprintf(expected, sizeof expected, "s.yaml:%s", begins);
  if (strncmp(e.text, expected, strlen(expected)) != 0 ||
      (holds != NULL && strstr(e.text, holds) == NULL)) {
    fail_msg("\n%.300s\nsays     %s\nand not  %s … %s", text, e.text, expected,
             holds == NULL ? "" : holds);
  }
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void what_is_wrong_is_told_with_its_place(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    refuse(cases[i].text, strlen(cases[i].text), cases[i].begins, cases[i].holds);
  }
}

/* `head`, then `body` `times` times, then `tail`. */
static void refuse_long(const char *head, const char *body, size_t times, const char *tail,
                        const char *begins) {
  struct buf text = {0};
  buf_str(&text, head);
  for (size_t i = 0; i < times; i++) {
    buf_str(&text, body);
  }
  buf_str(&text, tail);
  buf_append(&text, "", 1);
  assert_false(text.failed);
  refuse(text.ptr, text.len - 1, begins, NULL);
  buf_free(&text);
}

static void size_and_number_are_bounded(void **state) {
  (void)state;
  refuse_long("data_dir: ", "a", CONFIG_TEXT_MAX + 1, "\n", "1: data_dir: is longer than 4096");
  refuse_long("", "# comment\n", 110000, "", " is larger than 1048576 bytes");
  refuse_long("tracker: {listen: [", "'127.0.0.1:1',", 65, "]}\n", "1: tracker.listen: has 65");
  refuse_long("registries: [", "{},", 1025, "]\n", "1: registries: has 1025");
  refuse_long("log: [", "a,", 100000, "]\n", "1: the file has too many values");
  refuse_long("", "[", 500000, "", "1: no key lies as deep");
  refuse_long("", "{a: ", 200000, "", "1: no key lies as deep");
  refuse_long("", "- ", 500000, "", "1: no key lies as deep");
  refuse_long("", "k", 1000000, ": a\n", "1: ");
  refuse_long(
      "log: {", "k", 1000, ": a}\n",
      "1: log.kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk: there is no");
}

static void every_start_of_a_file_is_taken_or_refused(void **state) {
  (void)state;
  static const char text[] = "tracker: {listen: ['127.0.0.1:1'], numwant: {max: 10, default: 5}}\n"
                             "registries:\n- name: \"r\"\n  url: http://r\n  credentials: "
                             "{username: u, password_file: p}\n"
                             "auth:\n  trust:\n  - " ROW ", registry: r}\n";
  for (size_t len = 0; len < sizeof text; len++) {
    struct config c;
    struct error e = {0};
    char *exact = malloc(len + 1);
    memcpy(exact, text, len);
    if (config_parse("s.yaml", exact, len, &c, &e) == 0) {
      config_free(&c);
    } else {
      assert_int_equal(e.kind, ERROR_USAGE);
      assert_memory_equal(e.text, "s.yaml:", 7);
    }
    free(exact);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_wrong_is_told_with_its_place),
      cmocka_unit_test(size_and_number_are_bounded),
      cmocka_unit_test(every_start_of_a_file_is_taken_or_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
