/* A stream against OpenSSL's own client: what is spoken, and what others may send. */
#include "tls_client.h"

#include "base/clock.h"

#include <openssl/err.h>
#include <stdlib.h>

static struct files files;
static struct http_tls *ecdsa, *rsa;

enum {
  DAY = 24 * 3600,
  ALERT_BAD_RECORD_MAC = 20,
  ALERT_HANDSHAKE_FAILURE = 40,
  ALERT_PROTOCOL_VERSION = 70,
  ALERT_NO_APPLICATION_PROTOCOL = 120,
  LARGE = 1024 * 1024,
};

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

static int make_servers(void **state) {
  (void)state;
  files_new(&files);
  files_issue(&files, "ecdsa", 0, -DAY, DAY);
  files_issue(&files, "rsa", 2048, -DAY, DAY);
  ecdsa = files_load(&files, "ecdsa");
  rsa = files_load(&files, "rsa");
  return 0;
}

static int free_servers(void **state) {
  (void)state;
  http_tls_free(ecdsa);
  http_tls_free(rsa);
  files_free(&files);
  return 0;
}

/* Gives the server what the client has sent so far. \return how much. */
static size_t feed_flight(struct pair *p) {
  char *bytes;
  size_t len = (size_t)BIO_get_mem_data(p->from_client, &bytes);
  pair_feed(p, slice_of(bytes, len));
  BIO_reset(p->from_client);
  return len;
}

/* The client's first flight is answered by that fatal alert. */
static void refused(struct pair *p, unsigned char alert) {
  SSL_do_handshake(p->client);
  feed_flight(p);
  assert_int_equal(p->state, TLS_FAILED);
  assert_non_null(tls_stream_why(p->server));
  struct buf *output = tls_stream_output(p->server);
  assert_int_equal(output->len, 7);
  assert_int_equal(output->ptr[0], SSL3_RT_ALERT);
  assert_int_equal(output->ptr[5], SSL3_AL_FATAL);
  assert_int_equal(output->ptr[6], alert);
}

static void test_handshakes_in_any_cuts(void **state) {
  (void)state;
  static const size_t cuts[] = {1, 2, 5, 100, SIZE_MAX};
  for (size_t i = 0; i < VERSIONS; i++) {
    for (size_t j = 0; j < sizeof cuts / sizeof cuts[0]; j++) {
      struct pair p;
      pair_new(&p, ecdsa, versions[i]);
      p.cut = cuts[j];
      pair_request(&p, "GET / HTTP/1.1\r\n\r\n");
      pair_answer(&p, "HTTP/1.1 200 OK\r\n\r\n");
      pair_request(&p, "one more");
      pair_answer(&p, "and its answer");
      assert_int_equal(SSL_version(p.client), versions[i]);
      assert_null(tls_stream_why(p.server));
      pair_free(&p);
    }
  }
}

static void test_the_newest_version_is_spoken(void **state) {
  (void)state;
  struct pair p;
  pair_new(&p, ecdsa, 0);
  pair_request(&p, "x");
  assert_int_equal(SSL_version(p.client), TLS1_3_VERSION);
  assert_int_equal(SSL_get_negotiated_group(p.client), NID_X25519);
  pair_free(&p);
}

static void test_old_versions_are_refused(void **state) {
  (void)state;
  static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
  for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
    struct pair p;
    pair_new(&p, rsa, old[i]);
    refused(&p, ALERT_PROTOCOL_VERSION);
    assert_string_equal(tls_stream_why(p.server), "unsupported protocol");
    pair_free(&p);
  }
}

static bool is_spoken(const char *cipher) {
  static const char *const spoken[] = {
      "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
      "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
      "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
  };
  bool found = false;
  for (size_t i = 0; i < sizeof spoken / sizeof spoken[0]; i++) {
    found = found || strcmp(cipher, spoken[i]) == 0;
  }
  return found;
}

/* Each that OpenSSL's client has, alone. \return how many got through. */
static unsigned count_ciphers(struct http_tls *tls) {
  struct pair all;
  unsigned through = 0;
  pair_new(&all, tls, TLS1_2_VERSION);
  assert_int_equal(SSL_set_cipher_list(all.client, "ALL:COMPLEMENTOFALL"), 1);
  STACK_OF(SSL_CIPHER) *ciphers = SSL_get1_supported_ciphers(all.client);
  assert_true(sk_SSL_CIPHER_num(ciphers) > 50);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
    const char *name = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i));
    struct pair p;
    pair_new(&p, tls, TLS1_2_VERSION);
    assert_int_equal(SSL_set_cipher_list(p.client, name), 1);
    pair_run(&p);
    if (SSL_is_init_finished(p.client)) {
      assert_true(is_spoken(name));
      through++;
    } else {
      assert_int_equal(p.state, TLS_FAILED);
    }
    pair_free(&p);
  }
  sk_SSL_CIPHER_free(ciphers);
  pair_free(&all);
  return through;
}

static void test_only_the_ciphers_of_the_list_are_spoken(void **state) {
  (void)state;
  assert_int_equal(count_ciphers(ecdsa), 3);
  assert_int_equal(count_ciphers(rsa), 3);
  struct pair p;
  pair_new(&p, rsa, TLS1_2_VERSION);
  SSL_set_cipher_list(p.client, "AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256");
  refused(&p, ALERT_HANDSHAKE_FAILURE);
  assert_string_equal(tls_stream_why(p.server), "no shared cipher");
  pair_free(&p);
}

static void test_the_client_chooses_the_cipher(void **state) {
  (void)state;
  static const char *const orders[][2] = {
      {"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"},
      {"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
      {"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"}};
  static const char *const orders_1_2[][2] = {
      {"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"},
      {"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
      {"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}};
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
    struct pair p;
    pair_new(&p, rsa, TLS1_3_VERSION);
    assert_int_equal(SSL_set_ciphersuites(p.client, orders[i][0]), 1);
    pair_request(&p, "x");
    assert_string_equal(SSL_get_cipher_name(p.client), orders[i][1]);
    pair_free(&p);
    pair_new(&p, rsa, TLS1_2_VERSION);
    assert_int_equal(SSL_set_cipher_list(p.client, orders_1_2[i][0]), 1);
    pair_request(&p, "x");
    assert_string_equal(SSL_get_cipher_name(p.client), orders_1_2[i][1]);
    pair_free(&p);
  }
}

static void test_groups(void **state) {
  (void)state;
  static struct {
    char name[16]; /* what takes it is a macro that casts to char * */
    bool spoken;
  } groups[] = {{"X25519", true}, {"P-256", true},      {"P-384", true},      {"P-521", false},
                {"X448", false},  {"ffdhe2048", false}, {"P-521:P-256", true}};
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
    struct pair p;
    pair_new(&p, ecdsa, TLS1_3_VERSION);
    assert_int_equal(SSL_set1_groups_list(p.client, groups[i].name), 1);
    if (groups[i].spoken) {
      pair_request(&p, "x");
    } else {
      refused(&p, ALERT_HANDSHAKE_FAILURE);
    }
    pair_free(&p);
  }
}

static void test_the_client_is_not_asked_for_a_certificate(void **state) {
  (void)state;
  struct pair p;
  pair_new(&p, ecdsa, TLS1_2_VERSION);
  pair_request(&p, "x");
  assert_int_equal(sk_X509_NAME_num(SSL_get_client_CA_list(p.client)), -1);
  const unsigned char *types;
  assert_int_equal(SSL_get0_certificate_types(p.client, &types), 0);
  pair_free(&p);
}

static void test_protocols(void **state) {
  (void)state;
  static const struct {
    const char *offered, *chosen;
  } cases[] = {
      {"", ""},
      {"\x08http/1.1", "http/1.1"},
      {"\x02h2\x08http/1.1", "http/1.1"},
      {"\x08http/1.0\x02h2\x08http/1.1", "http/1.1"},
      {"\x08http/1.0", "http/1.0"},
      {"\x02h2", NULL},
      {"\x02h2\x02h3\x08spdy/3.1", NULL},
      {"\x07http/1.", NULL},
      {"\x09http/1.10", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (size_t j = 0; j < VERSIONS; j++) {
      struct pair p;
      pair_new(&p, ecdsa, versions[j]);
      SSL_set_alpn_protos(p.client, (const unsigned char *)cases[i].offered,
                          (unsigned)strlen(cases[i].offered));
      if (cases[i].chosen == NULL) {
        refused(&p, ALERT_NO_APPLICATION_PROTOCOL);
        assert_string_equal(tls_stream_why(p.server), "no application protocol");
      } else {
        const unsigned char *chosen;
        unsigned len;
        pair_request(&p, "x");
        SSL_get0_alpn_selected(p.client, &chosen, &len);
        assert_true(slice_equal(slice_of(chosen, len), slice_str(cases[i].chosen)));
      }
      pair_free(&p);
    }
  }
}

/* --- sessions --- */

/* A whole connection. \return its session, owned by the caller. */
static SSL_SESSION *connect(struct http_tls *tls, int version, SSL_SESSION *session, bool resumed) {
  struct pair p;
  pair_new(&p, tls, version);
  if (session != NULL) {
    assert_int_equal(SSL_set_session(p.client, session), 1);
  }
  pair_request(&p, "x");
  pair_answer(&p, "y");
  assert_int_equal(SSL_session_reused(p.client), resumed);
  SSL_SESSION *made = SSL_get1_session(p.client);
  /* The client leaves without a word, as many do. */
  pair_free(&p);
  return made;
}

static void test_sessions_are_resumed(void **state) {
  (void)state;
  for (size_t i = 0; i < VERSIONS; i++) {
    SSL_SESSION *first = connect(ecdsa, versions[i], NULL, false);
    SSL_SESSION *second = connect(ecdsa, versions[i], first, true);
    SSL_SESSION *third = connect(ecdsa, versions[i], second, true);
    SSL_SESSION *again = connect(ecdsa, versions[i], first, true);
    SSL_SESSION *elsewhere = connect(rsa, versions[i], first, false);
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    SSL_SESSION_free(third);
    SSL_SESSION_free(again);
    SSL_SESSION_free(elsewhere);
  }
}

static void test_a_session_is_kept_by_the_server(void **state) {
  (void)state;
  const unsigned char *ticket;
  size_t len;
  SSL_SESSION *session = connect(ecdsa, TLS1_2_VERSION, NULL, false);
  assert_false(SSL_SESSION_has_ticket(session));
  SSL_SESSION_free(session);
  /* In TLS 1.3 all is called a ticket; this one is a name and holds no secrets. */
  session = connect(ecdsa, TLS1_3_VERSION, NULL, false);
  SSL_SESSION_get0_ticket(session, &ticket, &len);
  assert_int_equal(len, SSL_MAX_SSL_SESSION_ID_LENGTH);
  assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
  assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(session), 3600);
  SSL_SESSION_free(session);
}

/* A session of TLS 1.2 opens what was sent under it: it is kept for minutes, one of 1.3 for an
 * hour. */
static void test_sessions_are_forgotten(void **state) {
  (void)state;
  static const int64_t seconds[] = {300, 3600};
  for (size_t i = 0; i < VERSIONS; i++) {
    struct http_tls *tls = files_load(&files, "ecdsa");
    SSL_SESSION *first = connect(tls, versions[i], NULL, false);
    http_tls_forget(tls, clock_now() + seconds[i] - 60);
    SSL_SESSION *second = connect(tls, versions[i], first, true);
    http_tls_forget(tls, clock_now() + seconds[i] + 1);
    SSL_SESSION_free(connect(tls, versions[i], second, false));
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    http_tls_free(tls);
  }
}

/* Connections that go on with the old certificate keep none of its sessions, nor do handshakes that
 * had begun add any. */
static void test_sessions_go_with_the_certificate(void **state) {
  (void)state;
  for (size_t i = 0; i < VERSIONS; i++) {
    struct http_tls *tls = files_load(&files, "ecdsa");
    struct pair open, begun;
    SSL *ssl = http_tls_connection(tls);
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    pair_new(&open, tls, versions[i]);
    pair_request(&open, "x");
    pair_answer(&open, "y");
    assert_int_equal(SSL_CTX_sess_number(ctx), 1);
    pair_new(&begun, tls, versions[i]);
    http_tls_replace(tls, files_load(&files, "ecdsa"));
    assert_int_equal(SSL_CTX_sess_number(ctx), 0);
    pair_request(&begun, "x");
    pair_answer(&begun, "y");
    assert_int_equal(SSL_CTX_sess_number(ctx), 0);
    pair_free(&open);
    pair_free(&begun);
    SSL_free(ssl);
    http_tls_free(tls);
  }
}

static void test_a_session_does_not_outlive_the_certificate(void **state) {
  (void)state;
  for (size_t i = 0; i < VERSIONS; i++) {
    struct http_tls *tls = files_load(&files, "ecdsa");
    SSL_SESSION *first = connect(tls, versions[i], NULL, false);
    http_tls_replace(tls, files_load(&files, "ecdsa"));
    SSL_SESSION *second = connect(tls, versions[i], first, false);
    SSL_SESSION_free(connect(tls, versions[i], second, true));
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    http_tls_free(tls);
  }
}

/* --- bytes --- */

static void test_large_answers(void **state) {
  (void)state;
  char *plain = malloc(LARGE);
  char *got = malloc(LARGE);
  for (size_t i = 0; i < LARGE; i++) {
    plain[i] = (char)(i * 7 + i / 251);
  }
  for (size_t i = 0; i < VERSIONS; i++) {
    struct pair p;
    size_t len = 0;
    int n;
    pair_new(&p, ecdsa, versions[i]);
    pair_request(&p, "x");
    pair_answer(&p, "y");
    assert_int_equal(tls_stream_write(p.server, (struct slice){0}), 0);
    assert_int_equal(tls_stream_output(p.server)->len, 0);
    assert_int_equal(tls_stream_write(p.server, slice_of(plain, LARGE)), 0);
    assert_in_range(tls_stream_output(p.server)->len, LARGE, LARGE + LARGE / 16384 * 32);
    pair_run(&p);
    memset(got, 0, LARGE);
    while ((n = SSL_read(p.client, got + len, LARGE - (int)len)) > 0) {
      len += (size_t)n;
    }
    assert_int_equal(len, LARGE);
    assert_memory_equal(got, plain, LARGE);
    /* And the other way. */
    assert_int_equal(SSL_write(p.client, plain, LARGE), LARGE);
    p.plain.len = 0;
    pair_run(&p);
    assert_int_equal(p.plain.len, LARGE);
    assert_memory_equal(p.plain.ptr, plain, LARGE);
    pair_free(&p);
  }
  free(plain);
  free(got);
}

static void test_the_client_ends_first(void **state) {
  (void)state;
  for (size_t i = 0; i < VERSIONS; i++) {
    struct pair p;
    char got[16];
    pair_new(&p, ecdsa, versions[i]);
    pair_request(&p, "x");
    SSL_shutdown(p.client);
    pair_run(&p);
    assert_int_equal(p.state, TLS_ENDED);
    assert_int_equal(tls_stream_read(p.server, got, sizeof got), TLS_ENDED);
    /* It may still be answered. */
    pair_answer(&p, "the answer");
    tls_stream_end(p.server);
    pair_run(&p);
    assert_int_equal(SSL_read(p.client, got, sizeof got), 0);
    assert_int_equal(SSL_get_shutdown(p.client), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    assert_null(tls_stream_why(p.server));
    pair_free(&p);
  }
}

static void test_the_server_ends_first(void **state) {
  (void)state;
  for (size_t i = 0; i < VERSIONS; i++) {
    struct pair p;
    char got[16];
    char *bytes;
    pair_new(&p, ecdsa, versions[i]);
    pair_request(&p, "x");
    pair_answer(&p, "y");
    tls_stream_end(p.server);
    size_t len = tls_stream_output(p.server)->len;
    assert_true(len > 0);
    tls_stream_end(p.server);
    assert_int_equal(tls_stream_output(p.server)->len, len);
    /* What is still on its way can be read. */
    assert_int_equal(SSL_write(p.client, "z", 1), 1);
    len = (size_t)BIO_get_mem_data(p.from_client, &bytes);
    tls_stream_feed(p.server, slice_of(bytes, len));
    tls_stream_end(p.server);
    assert_int_equal(tls_stream_read(p.server, got, sizeof got), 1);
    assert_int_equal(tls_stream_read(p.server, got, sizeof got), TLS_MORE);
    BIO_reset(p.from_client);
    pair_run(&p);
    assert_int_equal(SSL_read(p.client, got, sizeof got), 0);
    assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(p.client);
    pair_run(&p);
    assert_int_equal(p.state, TLS_ENDED);
    pair_free(&p);
  }
}

static void test_nothing_is_written_before_the_handshake(void **state) {
  (void)state;
  struct pair p;
  pair_new(&p, ecdsa, TLS1_3_VERSION);
  tls_stream_end(p.server);
  assert_int_equal(tls_stream_output(p.server)->len, 0);
  assert_int_equal(tls_stream_write(p.server, SLICE("x")), -1);
  assert_int_equal(tls_stream_output(p.server)->len, 0);
  assert_string_equal(tls_stream_why(p.server),
                      "there is something to send before the handshake is over");
  pair_free(&p);
}

/* --- what others may send --- */

static void test_plain_http_is_told(void **state) {
  (void)state;
  struct tls_stream *s = tls_stream_new(ecdsa);
  char plain[16];
  tls_stream_feed(s, SLICE("GET /announce HTTP/1.1\r\nHost: a\r\n\r\n"));
  assert_int_equal(tls_stream_read(s, plain, sizeof plain), TLS_FAILED);
  assert_string_equal(tls_stream_why(s), "http request");
  struct slice answer = buf_view(tls_stream_output(s));
  assert_true(slice_starts(answer, SLICE("HTTP/1.1 400 Bad Request\r\n")));
  const char *body = memmem(answer.ptr, answer.len, "\r\n\r\n", 4);
  assert_non_null(body);
  assert_int_equal(answer.ptr + answer.len - body - 4, 36); /* Content-Length */
  tls_stream_free(s);
}

static void test_garbage(void **state) {
  (void)state;
  static const struct slice garbage[] = {
      SLICE("SSH-2.0-OpenSSH_9.2p1\r\n"),
      SLICE("\x13"
            "BitTorrent protocol"),
      SLICE("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"),
      SLICE("CONNECT a:443 HTTP/1.1\r\n\r\n"),
      SLICE("\x16\x03\x01\xff\xffxxxxxx"),                   /* a record that is too long */
      SLICE("\x17\x03\x03\x00\x01x"),                        /* data before a handshake */
      SLICE("\x16\x03\x01\x00\x04\x02\x00\x00\x00"),         /* a ServerHello */
      SLICE("\x16\x03\x01\x00\x04\x01\xff\xff\xff"),         /* a ClientHello of 16 MiB */
      SLICE("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"), /* SSL 2 */
      SLICE("\x15\x03\x01\x00\x02\x02\x28"),                 /* a fatal alert */
  };
  for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
    struct pair p;
    char more[16];
    char zeros[64] = {0};
    pair_new(&p, ecdsa, 0);
    pair_feed(&p, garbage[i]);
    if (p.state == TLS_MORE) { /* it may have been the beginning of something */
      pair_feed(&p, slice_of(zeros, sizeof zeros));
    }
    assert_int_equal(p.state, TLS_FAILED);
    assert_int_equal(p.plain.len, 0);
    size_t len = tls_stream_output(p.server)->len;
    assert_true(len == 0 || (len == 7 && tls_stream_output(p.server)->ptr[0] == SSL3_RT_ALERT));
    /* It has failed for good. */
    const char *why = tls_stream_why(p.server);
    assert_int_equal(tls_stream_read(p.server, more, sizeof more), TLS_FAILED);
    assert_int_equal(tls_stream_write(p.server, SLICE("x")), -1);
    tls_stream_end(p.server);
    assert_int_equal(tls_stream_output(p.server)->len, len);
    assert_ptr_equal(tls_stream_why(p.server), why);
    pair_free(&p);
  }
}

/* Whatever byte of its flights goes wrong: nothing is read from it, and another goes on. */
static void test_a_byte_goes_wrong(void **state) {
  (void)state;
  char *bytes;
  for (size_t at = 0;; at++) {
    struct pair p;
    pair_new(&p, ecdsa, TLS1_3_VERSION);
    SSL_do_handshake(p.client);
    long len = BIO_get_mem_data(p.from_client, &bytes);
    if (at == (size_t)len) {
      pair_free(&p);
      break;
    }
    bytes[at] = (char)(bytes[at] ^ 0x80);
    pair_run(&p);
    /* The version of the first record says nothing (RFC 8446, 5.1). */
    assert_true(!SSL_is_init_finished(p.client) || at == 1 || at == 2);
    assert_int_equal(p.plain.len, 0);
    pair_free(&p);
  }
  for (size_t i = 0; i < VERSIONS; i++) {
    struct pair p;
    pair_new(&p, ecdsa, versions[i]);
    pair_request(&p, "x");
    p.plain.len = 0;
    SSL_write(p.client, "secret", 6);
    long len = BIO_get_mem_data(p.from_client, &bytes);
    bytes[len - 1] = (char)(bytes[len - 1] ^ 1);
    pair_run(&p);
    assert_int_equal(p.state, TLS_FAILED);
    assert_int_equal(p.plain.len, 0);
    assert_string_equal(tls_stream_why(p.server), "decryption failed or bad record mac");
    pair_free(&p);
  }
}

static void test_cut_off_anywhere(void **state) {
  (void)state;
  for (size_t i = 0; i < VERSIONS; i++) {
    char *bytes;
    struct pair p;
    pair_new(&p, ecdsa, versions[i]);
    SSL_do_handshake(p.client);
    size_t len = (size_t)BIO_get_mem_data(p.from_client, &bytes);
    for (size_t cut = 0; cut < len; cut += 7) {
      struct tls_stream *s = tls_stream_new(ecdsa);
      char plain[16];
      tls_stream_feed(s, slice_of(bytes, cut));
      assert_int_equal(tls_stream_read(s, plain, sizeof plain), TLS_MORE);
      assert_int_equal(tls_stream_output(s)->len, 0);
      tls_stream_free(s);
    }
    pair_free(&p);
  }
  tls_stream_free(NULL);
}

static void test_there_is_no_renegotiation(void **state) {
  (void)state;
  struct pair p;
  pair_new(&p, ecdsa, TLS1_2_VERSION);
  pair_request(&p, "x");
  assert_int_equal(SSL_renegotiate(p.client), 1);
  SSL_do_handshake(p.client);
  feed_flight(&p);
  assert_int_equal(p.state, TLS_MORE);
  /* Not a ServerHello but an alert, a warning: nothing of what was agreed changes. */
  assert_in_range(tls_stream_output(p.server)->len, 7, 64);
  assert_int_equal(tls_stream_output(p.server)->ptr[0], SSL3_RT_ALERT);
  pair_free(&p);
}

/* Each is answered by one, no larger: who takes no answers is the caller's to cut. */
static void test_many_key_updates(void **state) {
  (void)state;
  struct pair p;
  size_t sent = 0;
  pair_new(&p, ecdsa, TLS1_3_VERSION);
  pair_request(&p, "x");
  pair_answer(&p, "y");
  for (unsigned i = 0; i < 1000; i++) {
    assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(p.client), 1);
    sent += feed_flight(&p);
    assert_int_equal(p.state, TLS_MORE);
  }
  assert_in_range(tls_stream_output(p.server)->len, 1, sent);
  pair_answer(&p, "still there");
  pair_request(&p, "so it is");
  pair_free(&p);
}

static void test_out_of_memory(void **state) {
  (void)state;
  struct pair p;
  pair_new(&p, ecdsa, TLS1_3_VERSION);
  tls_stream_output(p.server)->limit = 10;
  pair_run(&p);
  assert_int_equal(p.state, TLS_FAILED);
  assert_string_equal(tls_stream_why(p.server), "out of memory");
  pair_free(&p);
  pair_new(&p, ecdsa, TLS1_3_VERSION);
  pair_request(&p, "x");
  pair_answer(&p, "y");
  tls_stream_output(p.server)->limit = 10;
  assert_int_equal(tls_stream_write(p.server, SLICE("hello")), -1);
  assert_string_equal(tls_stream_why(p.server), "out of memory");
  pair_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_handshakes_in_any_cuts),
      cmocka_unit_test(test_the_newest_version_is_spoken),
      cmocka_unit_test(test_old_versions_are_refused),
      cmocka_unit_test(test_only_the_ciphers_of_the_list_are_spoken),
      cmocka_unit_test(test_the_client_chooses_the_cipher),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_the_client_is_not_asked_for_a_certificate),
      cmocka_unit_test(test_protocols),
      cmocka_unit_test(test_sessions_are_resumed),
      cmocka_unit_test(test_a_session_is_kept_by_the_server),
      cmocka_unit_test(test_sessions_are_forgotten),
      cmocka_unit_test(test_sessions_go_with_the_certificate),
      cmocka_unit_test(test_a_session_does_not_outlive_the_certificate),
      cmocka_unit_test(test_large_answers),
      cmocka_unit_test(test_the_client_ends_first),
      cmocka_unit_test(test_the_server_ends_first),
      cmocka_unit_test(test_nothing_is_written_before_the_handshake),
      cmocka_unit_test(test_plain_http_is_told),
      cmocka_unit_test(test_garbage),
      cmocka_unit_test(test_a_byte_goes_wrong),
      cmocka_unit_test(test_cut_off_anywhere),
      cmocka_unit_test(test_there_is_no_renegotiation),
      cmocka_unit_test(test_many_key_updates),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, make_servers, free_servers);
}
