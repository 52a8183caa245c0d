#include "http/client.h"

#include "base/arena.h"
#include "http/url.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

enum { CONNECT_TIMEOUT_MS = 10 * 1000, STALL_TIMEOUT_MS = 30 * 1000 };

struct http_client {
  uv_loop_t *loop;
  CURLM *multi;
  uv_timer_t timer; /* the one libcurl asks for */
  size_t handles;   /* libuv handles not yet closed, those of fetches apart */
  size_t alive;     /* fetches not yet freed */
  bool stopping;
  struct http_fetch *fetches;
  void (*closed)(void *arg);
  void *closed_arg;
};

/* A socket of libcurl's that is polled. */
struct watch {
  uv_poll_t poll;
  struct http_client *client;
  curl_socket_t fd;
};

struct http_fetch_answer {
  int status;
  struct http_field *fields; /* HTTP_ANSWER_FIELDS_MAX of them */
  size_t count;
};

struct http_fetch {
  struct http_client *client;
  struct http_fetch *previous, *next;
  struct http_fetch_events events;
  void *arg;
  CURL *easy;
  struct curl_slist *fields;
  char *what; /* for errors: the URL's public part */
  const char *method;
  /* libcurl must not be called back from its own callbacks, nor may an event come from within a
   * call of the fetch's owner. So whatever is asked for happens when this timer runs out at once;
   * otherwise it counts the stall. */
  uv_timer_t timer;
  unsigned stall_timeout_ms;
  bool added, paused, cancelled, head_told;
  const char *broken_off; /* why a callback ended the transfer */
  struct arena arena;     /* of the head */
  size_t head_bytes;
  struct http_fetch_answer answer;
  char why[CURL_ERROR_SIZE];
};

/* --- ends --- */

static void on_handle_closed(struct http_client *client) {
  if (--client->handles == 0) {
    void (*closed)(void *) = client->closed;
    void *arg = client->closed_arg;
    free(client);
    closed(arg);
  }
}

static void on_timer_closed(uv_handle_t *handle) {
  on_handle_closed(handle->data);
}

/* Not before the last fetch is freed: until then libcurl may be on the stack. */
static void client_release(struct http_client *client) {
  if (client->stopping && client->alive == 0) {
    curl_multi_cleanup(client->multi);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
  }
}

static void fetch_free(struct http_fetch *f) {
  curl_easy_cleanup(f->easy);
  curl_slist_free_all(f->fields);
  arena_free(&f->arena);
  free(f->what);
  free(f);
}

static void on_fetch_closed(uv_handle_t *handle) {
  struct http_fetch *f = handle->data;
  struct http_client *client = f->client;
  fetch_free(f);
  client->alive--;
  client_release(client);
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

static void fetch_complete(struct http_fetch *f, CURLcode code) {
  if (f->broken_off != NULL) {
    fetch_done(f, f->broken_off);
  } else if (code != CURLE_OK) {
    fetch_done(f, f->why[0] != '\0' ? f->why : curl_easy_strerror(code));
  } else if (!f->head_told) {
    fetch_done(f, "the answer has no head");
  } else {
    fetch_done(f, NULL);
  }
}

/* --- libcurl's sockets and timer on the loop --- */

static void client_collect(struct http_client *client) {
  int left;
  CURLMsg *message;
  while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
    if (message->msg == CURLMSG_DONE) {
      struct http_fetch *f = NULL;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &f);
      fetch_complete(f, message->data.result);
    }
  }
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  const struct watch *watch = poll->data;
  struct http_client *client = watch->client;
  int flags = status < 0 ? CURL_CSELECT_ERR : 0;
  flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
  flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
  int running;
  curl_multi_socket_action(client->multi, watch->fd, flags, &running);
  client_collect(client);
}

static void on_timeout(uv_timer_t *timer) {
  struct http_client *client = timer->data;
  int running;
  curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  client_collect(client);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg) {
  (void)multi;
  struct http_client *client = arg;
  if (timeout_ms < 0) {
    uv_timer_stop(&client->timer);
  } else {
    uv_timer_start(&client->timer, on_timeout, (uint64_t)timeout_ms, 0);
  }
  return 0;
}

static void on_watch_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  struct http_client *client = watch->client;
  free(watch);
  on_handle_closed(client);
}

static struct watch *watch_new(struct http_client *client, curl_socket_t fd) {
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) {
    return NULL;
  }
  if (uv_poll_init_socket(client->loop, &watch->poll, fd) != 0) {
    free(watch);
    return NULL;
  }
  watch->poll.data = watch;
  watch->client = client;
  watch->fd = fd;
  client->handles++;
  curl_multi_assign(client->multi, fd, watch);
  return watch;
}

static int on_watch_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket) {
  (void)easy;
  struct http_client *client = arg;
  struct watch *watch = of_socket;
  if (what == CURL_POLL_REMOVE) {
    if (watch != NULL) {
      curl_multi_assign(client->multi, fd, NULL);
      uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
    }
    return 0;
  }
  if (watch == NULL && (watch = watch_new(client, fd)) == NULL) {
    return -1;
  }
  int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
  events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
  return uv_poll_start(&watch->poll, events, on_ready) == 0 ? 0 : -1;
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
  (void)remote, (void)local, (void)remote_port, (void)local_port;
  struct http_fetch *f = arg;
  if (f->cancelled) {
    return CURL_PREREQFUNC_ABORT;
  }
  stall_restart(f);
  return CURL_PREREQFUNC_OK;
}

/** \return NULL, or why the line cannot be taken. */
static const char *take_field(struct http_fetch *f, struct slice line) {
  struct http_fetch_answer *a = &f->answer;
  if (a->count == HTTP_ANSWER_FIELDS_MAX) {
    return "the answer has too many header fields";
  }
  struct slice value = line;
  struct slice name = slice_cut(&value, ':');
  if (value.ptr == NULL || name.len == 0 || name.ptr[0] == ' ' || name.ptr[0] == '\t') {
    return "the answer has a header line that is no field";
  }
  value = slice_trim(value);
  char *name_copy = arena_copy(&f->arena, name);
  char *value_copy = arena_copy(&f->arena, value);
  if (name_copy == NULL || value_copy == NULL) {
    return "no memory for the answer's head";
  }
  a->fields[a->count++] =
      (struct http_field){slice_of(name_copy, name.len), slice_of(value_copy, value.len)};
  return NULL;
}

static const char *head_end(struct http_fetch *f) {
  long status = 0;
  curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
  f->answer.status = (int)status;
  if (status < 200) {
    return NULL; /* interim */
  }
  f->head_told = true;
  if (f->events.head != NULL && !f->events.head(f->arg, &f->answer)) {
    return "given up by the receiver";
  }
  return NULL;
}

static const char *head_line(struct http_fetch *f, struct slice line) {
  f->head_bytes += line.len;
  if (f->head_bytes > HTTP_ANSWER_HEAD_MAX) {
    return "the head of the answer is too large";
  }
  if (f->head_told) {
    return NULL; /* a trailer */
  }
  while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
    line.len--;
  }
  if (line.len == 0) {
    return head_end(f);
  }
  if (!slice_starts(line, SLICE("HTTP/"))) {
    return take_field(f, line);
  }
  arena_reset(&f->arena);
  f->answer.count = 0;
  f->answer.fields = arena_alloc(&f->arena, HTTP_ANSWER_FIELDS_MAX * sizeof *f->answer.fields);
  return f->answer.fields == NULL ? "no memory for the answer's head" : NULL;
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

int http_fetch_status(const struct http_fetch_answer *a) {
  return a->status;
}

struct slice http_fetch_field_at(const struct http_fetch_answer *a, struct slice name,
                                 size_t index) {
  for (size_t i = 0; i < a->count; i++) {
    if (slice_equal_nocase(a->fields[i].name, name) && index-- == 0) {
      return a->fields[i].value;
    }
  }
  return (struct slice){0};
}

struct slice http_fetch_field(const struct http_fetch_answer *a, struct slice name) {
  return http_fetch_field_at(a, name, 0);
}

bool http_fetch_length(const struct http_fetch_answer *a, uint64_t *length) {
  return http_fetch_field(a, SLICE("Transfer-Encoding")).ptr == NULL &&
         http_fetch_field_at(a, SLICE("Content-Length"), 1).ptr == NULL &&
         slice_u64(http_fetch_field(a, SLICE("Content-Length")), length);
}

/* --- a fetch --- */

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
    fetch_complete(f, code);
  }
  client_collect(client);
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

static bool add_field(struct curl_slist **list, struct slice name, struct slice value,
                      struct arena *arena, struct error *e) {
  bool good = name.len > 0;
  for (size_t i = 0; i < name.len; i++) {
    good = good && name.ptr[i] > ' ' && name.ptr[i] < 0x7f && strchr(":;", name.ptr[i]) == NULL;
  }
  for (size_t i = 0; i < value.len; i++) {
    good = good && value.ptr[i] != '\r' && value.ptr[i] != '\n' && value.ptr[i] != '\0';
  }
  if (!good) {
    error_set(e, ERROR_USAGE, "a header field has a character in it that it must not have");
    return false;
  }
  /* An empty value is written with a semicolon: libcurl takes the colon as "leave it out". */
  struct slice line = value.len == 0
                          ? arena_printf(arena, "%.*s;", SLICE_ARG(name))
                          : arena_printf(arena, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(value));
  struct curl_slist *grown = line.ptr == NULL ? NULL : curl_slist_append(*list, line.ptr);
  if (grown == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a request");
    return false;
  }
  *list = grown;
  return true;
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
  f->what = http_url_public(o->url, e);
  if (f->what == NULL || set_method(f, o, e) != 0) {
    return -1;
  }
  if (!add_field(&f->fields, SLICE("Accept-Encoding"), SLICE("identity"), &f->arena, e)) {
    return -1;
  }
  for (size_t i = 0; i < o->field_count; i++) {
    if (!add_field(&f->fields, o->fields[i].name, o->fields[i].value, &f->arena, e)) {
      return -1;
    }
  }
  unsigned connect = o->connect_timeout_ms != 0 ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
  f->stall_timeout_ms = o->stall_timeout_ms != 0 ? o->stall_timeout_ms : STALL_TIMEOUT_MS;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, f->fields);
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

/* --- the client --- */

static void global_init(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(uv_loop_t *loop) {
  /* libcurl's own state is global, and made once a process. */
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, global_init);
  struct http_client *client = calloc(1, sizeof *client);
  if (client == NULL || (client->multi = curl_multi_init()) == NULL) {
    free(client);
    return NULL;
  }
  client->loop = loop;
  client->timer.data = client;
  client->handles = 1;
  uv_timer_init(loop, &client->timer);
  curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_watch_wanted);
  curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
  curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
  curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
  return client;
}

void http_client_stop(struct http_client *client, void (*closed)(void *arg), void *arg) {
  client->stopping = true;
  client->closed = closed;
  client->closed_arg = arg;
  for (struct http_fetch *f = client->fetches; f != NULL; f = f->next) {
    http_fetch_cancel(f);
  }
  client_release(client);
}
