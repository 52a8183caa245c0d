/* libcurl's multi interface on a libuv loop. */
#include "http/client_internal.h"

#include <pthread.h>
#include <stdlib.h>

/* A socket of libcurl's that is polled. */
struct watch {
  uv_poll_t poll;
  struct http_client *client;
  curl_socket_t fd;
  int events; /* what libcurl waits for */
};

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

/* Not earlier, for libcurl may be on the stack as long as there is a fetch. */
void http_client_release(struct http_client *client) {
  if (client->stopping && client->alive == 0) {
    curl_multi_cleanup(client->multi);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
  }
}

/* --- libcurl's sockets and timer on the loop --- */

void http_client_collect(struct http_client *client) {
  int left;
  CURLMsg *message;
  while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
    if (message->msg == CURLMSG_DONE) {
      struct http_fetch *f = NULL;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &f);
      http_fetch_complete(f, message->data.result);
    }
  }
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  const struct watch *watch = poll->data;
  struct http_client *client = watch->client;
  int flags = 0;
  if (status < 0) {
    /* libuv saw an error and stops. libcurl takes what had come before it and then the error from
     * the socket itself, which says more than CURL_CSELECT_ERR and lets it ask once more where a
     * kept connection was reset. */
    uv_poll_start(poll, watch->events, on_ready);
    flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
  }
  flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
  flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
  int running;
  curl_multi_socket_action(client->multi, watch->fd, flags, &running);
  http_client_collect(client);
}

static void on_timeout(uv_timer_t *timer) {
  struct http_client *client = timer->data;
  int running;
  curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  http_client_collect(client);
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
  watch->events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
  watch->events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
  return uv_poll_start(&watch->poll, watch->events, on_ready) == 0 ? 0 : -1;
}

/* --- its life --- */

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
  http_client_release(client);
}
