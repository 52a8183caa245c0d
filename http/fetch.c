/* One fetch: set up, its head and body told, paused, ended. */
#include "http/client_internal.h"

#include "base/cleanup.h"
#include "http/url.h"

#include <openssl/x509_vfy.h>
#include <stdlib.h>

enum { CONNECT_TIMEOUT_MS = 10 * 1000, STALL_TIMEOUT_MS = 30 * 1000 };

/* --- its end --- */

static void fetch_free(struct http_fetch *f) {
  curl_easy_cleanup(f->easy);
  curl_slist_free_all(f->fields);
  arena_free(&f->answer.arena);
  free(f->what);
  free(f);
}

static void on_fetch_closed(uv_handle_t *handle) {
  struct http_fetch *f = handle->data;
  struct http_client *client = f->client;
  fetch_free(f);
  client->alive--;
  http_client_release(client);
}

static void fetch_end(struct http_fetch *f) {
  if (f->added) {
    curl_multi_remove_handle(f->client->multi, f->easy);
  }
  if (f->previous != NULL) {
    f->previous->next = f->next;
  } else {
    f->client->fetches = f->next;
  }
  if (f->next != NULL) {
    f->next->previous = f->previous;
  }
  uv_close((uv_handle_t *)&f->timer, on_fetch_closed);
}

static void fetch_done(struct http_fetch *f, const char *why) {
  struct error e = {0};
  if (why != NULL) {
    error_set(&e, ERROR_FAILED, "%s %.300s: %s", f->method, f->what, why);
  }
  fetch_end(f);
  if (!f->cancelled) {
    f->events.done(f->arg, why == NULL ? NULL : &e);
  }
}

/* What is wrong with the server's certificate, and what to do. */
static void explain_certificate(struct http_fetch *f) {
  long verified = X509_V_OK;
  curl_easy_getinfo(f->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
  if (strstr(f->why, "target host name") != NULL) { /* of which there is no code */
    snprintf(f->why, sizeof f->why,
             "its certificate is not for this host: use a name that it is for, or have it made "
             "for this one");
    return;
  }
  switch (verified) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    snprintf(f->why, sizeof f->why,
             "its certificate has expired: have it renewed, or set the clock here right");
    break;
  case X509_V_ERR_CERT_NOT_YET_VALID:
    snprintf(f->why, sizeof f->why,
             "its certificate is not valid yet: set the clock here right, or wait");
    break;
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    snprintf(f->why, sizeof f->why,
             "its certificate is not signed by a CA that is trusted here: %s%s",
             f->given_by == NULL ? "add the certificate of its CA to the system's authorities "
                                   "(update-ca-certificates), and restart"
                                 : "give the certificate of its CA by ",
             f->given_by == NULL ? "" : f->given_by);
    break;
  default:
    break; /* libcurl has said it */
  }
}

/* An alert in the place of an answer is about our certificate (RFC 8446, section 6.2). */
static void explain_alert(struct http_fetch *f) {
  static const char *const alerts[] = {
      "bad certificate",     "certificate required",    "unknown ca",         "certificate expired",
      "certificate unknown", "unsupported certificate", "certificate revoked"};
  for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
    const char *alert = strstr(f->why, " alert ");
    if (alert != NULL && slice_starts(slice_str(alert + strlen(" alert ")), slice_str(alerts[i]))) {
      snprintf(f->why, sizeof f->why,
               "it wants a client certificate, or refuses ours (%s): give one that it trusts%s%s",
               alerts[i], f->given_by == NULL ? "" : " by ",
               f->given_by == NULL ? "" : f->given_by);
      return;
    }
  }
}

/* What OpenSSL makes of a first answer that is no record of TLS. */
static void explain_plain_http(struct http_fetch *f) {
  if (strstr(f->why, "wrong version number") != NULL) {
    snprintf(f->why, sizeof f->why, "it does not speak TLS: does it speak plain http?");
  }
}

/* Of a proxy that it cannot use libcurl quotes the whole URL, which may hold a password. */
static const char *failure(struct http_fetch *f, CURLcode code) {
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    explain_certificate(f);
  }
  explain_alert(f);
  explain_plain_http(f);
  if (strstr(f->why, "Unsupported proxy") != NULL) {
    return "the proxy that the environment names has no URL that can be used";
  }
  return f->why[0] != '\0' ? f->why : curl_easy_strerror(code);
}

void http_fetch_complete(struct http_fetch *f, CURLcode code) {
  if (f->broken_off != NULL) {
    fetch_done(f, f->broken_off);
  } else if (code != CURLE_OK) {
    fetch_done(f, failure(f, code));
  } else if (!f->head_told) {
    fetch_done(f, "the answer has no head");
  } else {
    fetch_done(f, NULL);
  }
}

/* --- an answer --- */

static void on_stall(uv_timer_t *timer) {
  struct http_fetch *f = timer->data;
  fetch_done(f, f->head_told ? "the answer stalled" : "no answer");
}

static void stall_restart(struct http_fetch *f) {
  if (!f->paused) {
    uv_timer_start(&f->timer, on_stall, f->stall_timeout_ms, 0);
  }
}

static int on_connected(void *arg, char *remote, char *local, int remote_port, int local_port) {
  (void)remote;
  (void)local;
  (void)remote_port;
  (void)local_port;
  struct http_fetch *f = arg;
  if (f->cancelled) {
    return CURL_PREREQFUNC_ABORT;
  }
  stall_restart(f);
  return CURL_PREREQFUNC_OK;
}

static const char *head_line(struct http_fetch *f, struct slice line) {
  if (f->head_told) {
    return fetch_answer_trailer(&f->answer, line);
  }
  const char *why = fetch_answer_line(&f->answer, line);
  if (why != NULL || (line.ptr[0] != '\r' && line.ptr[0] != '\n')) {
    return why;
  }
  long status = 0;
  curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200) {
    return NULL; /* interim */
  }
  f->answer.status = (int)status;
  f->head_told = true;
  return f->events.head == NULL || f->events.head(f->arg, &f->answer) ? NULL
                                                                      : "given up by the receiver";
}

static size_t on_head_line(char *bytes, size_t size, size_t count, void *arg) {
  (void)size; /* always 1 */
  struct http_fetch *f = arg;
  if (f->cancelled) {
    return 0;
  }
  stall_restart(f);
  f->broken_off = head_line(f, slice_of(bytes, count));
  return f->broken_off != NULL || f->cancelled ? 0 : count;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *arg) {
  (void)size; /* always 1 */
  struct http_fetch *f = arg;
  if (f->cancelled) {
    return 0;
  }
  if (f->paused) {
    return CURL_WRITEFUNC_PAUSE;
  }
  stall_restart(f);
  if (!f->head_told) {
    f->broken_off = "the answer has a body before its head";
  } else if (f->events.data != NULL && !f->events.data(f->arg, slice_of(bytes, count))) {
    f->broken_off = "given up by the receiver";
  }
  return f->broken_off != NULL || f->cancelled ? 0 : count;
}

/* --- what is asked for --- */

static void on_begin(uv_timer_t *timer) {
  struct http_fetch *f = timer->data;
  CURLMcode code = curl_multi_add_handle(f->client->multi, f->easy);
  f->added = code == CURLM_OK;
  if (!f->added) {
    fetch_done(f, curl_multi_strerror(code));
  }
}

static void on_cancel(uv_timer_t *timer) {
  fetch_end(timer->data);
}

static void on_resume(uv_timer_t *timer) {
  struct http_fetch *f = timer->data;
  struct http_client *client = f->client;
  f->paused = false;
  stall_restart(f);
  /* Delivers what libcurl kept back. Before there is a connection it refuses, and has nothing. */
  CURLcode code = curl_easy_pause(f->easy, CURLPAUSE_CONT);
  if (!f->cancelled && code != CURLE_OK && code != CURLE_BAD_FUNCTION_ARGUMENT) {
    http_fetch_complete(f, code);
  }
  http_client_collect(client);
}

void http_fetch_pause(struct http_fetch *f) {
  f->paused = true;
  if (f->added && !f->cancelled) {
    uv_timer_stop(&f->timer);
    /* Both directions: for one alone libcurl would look at the socket once more. */
    curl_easy_pause(f->easy, CURLPAUSE_ALL);
  }
}

void http_fetch_resume(struct http_fetch *f) {
  if (!f->added) {
    f->paused = false;
  } else if (f->paused && !f->cancelled) {
    uv_timer_start(&f->timer, on_resume, 0, 0);
  }
}

void http_fetch_cancel(struct http_fetch *f) {
  f->cancelled = true;
  uv_timer_start(&f->timer, on_cancel, 0, 0);
}

static bool field_valid(const struct http_field *field) {
  bool good = field->name.len > 0;
  for (size_t i = 0; i < field->name.len; i++) {
    char c = field->name.ptr[i];
    good = good && c > ' ' && c < 0x7f && c != ':' && c != ';';
  }
  for (size_t i = 0; i < field->value.len; i++) {
    char c = field->value.ptr[i];
    good = good && c != '\r' && c != '\n' && c != '\0';
  }
  return good;
}

static int add_field(struct http_fetch *f, const struct http_field *field, struct arena *lines,
                     struct error *e) {
  if (!field_valid(field)) {
    return error_set(e, ERROR_USAGE, "a header field with characters that it must not have");
  }
  /* An empty value is asked for by a semicolon: a colon would mean to leave the field out. */
  struct slice line =
      field->value.len == 0
          ? arena_printf(lines, "%.*s;", SLICE_ARG(field->name))
          : arena_printf(lines, "%.*s: %.*s", SLICE_ARG(field->name), SLICE_ARG(field->value));
  struct curl_slist *grown = line.ptr == NULL ? NULL : curl_slist_append(f->fields, line.ptr);
  if (grown == NULL) {
    return error_set(e, ERROR_FAILED, "no memory for a request");
  }
  f->fields = grown;
  return 0;
}

static int set_fields(struct http_fetch *f, const struct http_fetch_options *o, struct error *e) {
  static const struct http_field identity = {SLICE("Accept-Encoding"), SLICE("identity")};
  CLEANUP(arena_free) struct arena lines = {0};
  int result = add_field(f, &identity, &lines, e);
  for (size_t i = 0; i < o->field_count && result == 0; i++) {
    result = add_field(f, &o->fields[i], &lines, e);
  }
  curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->fields);
  return result;
}

static bool set_text(CURL *easy, CURLoption option, const char *text) {
  return text == NULL || curl_easy_setopt(easy, option, text) == CURLE_OK;
}

static int set_method(struct http_fetch *f, const struct http_fetch_options *o, struct error *e) {
  CURLcode code = CURLE_OK;
  if (strcmp(o->method, "GET") == 0) {
    f->method = "GET";
  } else if (strcmp(o->method, "HEAD") == 0) {
    f->method = "HEAD";
    /* libcurl would take a body that is sent nevertheless for the answer to the next request on
     * that connection, which may be another caller's (RFC 9112, section 6.3). */
    curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
    code = curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
  } else if (strcmp(o->method, "POST") == 0) {
    f->method = "POST";
    curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body.len);
    code = curl_easy_setopt(f->easy, CURLOPT_COPYPOSTFIELDS, o->body.len > 0 ? o->body.ptr : "");
  } else {
    return error_set(e, ERROR_USAGE, "the method of a request is neither GET, HEAD nor POST");
  }
  return code == CURLE_OK ? 0 : error_set(e, ERROR_FAILED, "no memory for a request");
}

static int set_up(struct http_fetch *f, const struct http_fetch_options *o, struct error *e) {
  CURL *easy = f->easy;
  f->what = o->url_of_server ? http_url_origin(o->url, e) : http_url_public(o->url, e);
  if (f->what == NULL || set_method(f, o, e) != 0 || set_fields(f, o, e) != 0) {
    return -1;
  }
  unsigned connect = o->connect_timeout_ms != 0 ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
  f->given_by = o->tls.given_by;
  f->stall_timeout_ms = o->stall_timeout_ms != 0 ? o->stall_timeout_ms : STALL_TIMEOUT_MS;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, f->why);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, o->tls.insecure ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, o->tls.insecure ? 0L : 2L);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, f);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
  if (!set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https") ||
      !set_text(easy, CURLOPT_URL, o->url) ||
      !set_text(easy, CURLOPT_USERAGENT, "swarmgate/" SWARMGATE_VERSION) ||
      !set_text(easy, CURLOPT_CAINFO, o->tls.ca_file) ||
      !set_text(easy, CURLOPT_SSLCERT, o->tls.cert_file) ||
      !set_text(easy, CURLOPT_SSLKEY, o->tls.key_file)) {
    return error_set(e, ERROR_FAILED, "no memory for a request");
  }
  return 0;
}

struct http_fetch *http_fetch_start(struct http_client *client, const struct http_fetch_options *o,
                                    const struct http_fetch_events *events, void *arg,
                                    struct error *e) {
  struct http_fetch *f = calloc(1, sizeof *f);
  if (f == NULL || (f->easy = curl_easy_init()) == NULL) {
    free(f);
    error_set(e, ERROR_FAILED, "no memory for a request");
    return NULL;
  }
  if (set_up(f, o, e) != 0) {
    fetch_free(f);
    return NULL;
  }
  f->client = client;
  f->events = *events;
  f->arg = arg;
  f->timer.data = f;
  uv_timer_init(client->loop, &f->timer);
  uv_timer_start(&f->timer, on_begin, 0, 0);
  f->next = client->fetches;
  if (f->next != NULL) {
    f->next->previous = f;
  }
  client->fetches = f;
  client->alive++;
  return f;
}
