#include "command.h"

#include "base/cleanup.h"
#include "base/units.h"
#include "http/client.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define USUAL_URL "http://127.0.0.1:5123"

enum { ANSWER_MAX = 16 * 1024 * 1024 };

struct asking {
  int status;
  struct buf body;
  struct error error;
};

static bool on_head(void *arg, const struct http_fetch_answer *a) {
  struct asking *asking = arg;
  asking->status = http_fetch_status(a);
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct asking *asking = arg;
  buf_slice(&asking->body, bytes);
  return !asking->body.failed;
}

static void on_done(void *arg, const struct error *e) {
  struct asking *asking = arg;
  if (e != NULL) {
    asking->error = *e;
  } else if (asking->status != 200) {
    error_set(&asking->error, ERROR_FAILED, "the answer is %d", asking->status);
  }
}

static void on_stopped(void *arg) {
  (void)arg;
}

static int fetch(const char *url, struct buf *out, struct error *e) {
  static const struct http_fetch_events events = {on_head, on_data, on_done};
  CLEANUP_FREE char *address = NULL;
  struct asking asking = {.body.limit = ANSWER_MAX};
  uv_loop_t loop;
  size_t len = strlen(url);
  while (len > 0 && url[len - 1] == '/') {
    len--;
  }
  if (asprintf(&address, "%.*s/v1/status", (int)len, url) < 0) {
    address = NULL;
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  uv_loop_init(&loop);
  struct http_client *client = http_client_new(&loop);
  const struct http_fetch_options options = {.method = "GET", .url = address};
  if (client == NULL ||
      http_fetch_start(client, &options, &events, &asking, &asking.error) == NULL) {
    asking.error.kind = asking.error.kind == ERROR_NONE ? ERROR_FAILED : asking.error.kind;
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  if (client != NULL) {
    http_client_stop(client, on_stopped, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
  }
  uv_loop_close(&loop);
  *out = asking.body;
  return asking.error.kind == ERROR_NONE
             ? 0
             : error_set(e, asking.error.kind, "no status: %s; %s", asking.error.text,
                         asking.status == 0
                             ? "is the agent running? --url says where, unless it is on " USUAL_URL
                             : "is that an agent?");
}

/* What another server may have to say there is no status. */
static json_t *read_status(const struct buf *body, struct error *e) {
  json_t *json = json_loadb(body->ptr, body->len, 0, NULL);
  if (!json_is_integer(json_object_get(json, "max_size"))) {
    error_set(e, ERROR_FAILED, "no status: the answer is not an agent's; --url is to be its URL");
    json_decref(json);
    return NULL;
  }
  return json;
}

static int check_url(const char *url, struct error *e) {
  struct slice text = slice_str(url);
  return url == NULL || slice_starts(text, SLICE("http://")) ||
                 slice_starts(text, SLICE("https://"))
             ? 0
             : error_set(e, ERROR_USAGE, "--url %s: a URL such as " USUAL_URL " is wanted", url);
}

static uint64_t number(const json_t *json, const char *key) {
  json_int_t value = json_integer_value(json_object_get(json, key));
  return value < 0 ? 0 : (uint64_t)value;
}

static double share(const json_t *json) {
  uint64_t from_peers = number(json, "from_peers");
  uint64_t came = from_peers + number(json, "from_gateway") + number(json, "from_registry");
  return came == 0 ? 0.0 : 100.0 * (double)from_peers / (double)came;
}

static void print_size(const json_t *json, const char *key, const char *label) {
  char text[UNITS_TEXT_MAX];
  units_print_size(number(json, key), text);
  printf("%-14s %s\n", label, text);
}

static void print_swarm(const json_t *swarm) {
  char size[UNITS_TEXT_MAX];
  char uploaded[UNITS_TEXT_MAX];
  uint64_t whole = number(swarm, "size");
  uint64_t done = number(swarm, "done");
  units_print_size(whole, size);
  units_print_size(number(swarm, "uploaded"), uploaded);
  printf("%.19s  %9s  %3.0f %%  %3" PRIu64 " peers  %3.0f %% from peers  %s sent\n",
         json_string_value(json_object_get(swarm, "digest")), size,
         whole == 0 ? 100.0 : 100.0 * (double)done / (double)whole, number(swarm, "peers"),
         share(swarm), uploaded);
}

static void print(const json_t *json) {
  const json_t *swarms = json_object_get(json, "swarms");
  char size[UNITS_TEXT_MAX];
  char most[UNITS_TEXT_MAX];
  units_print_size(number(json, "size"), size);
  units_print_size(number(json, "max_size"), most);
  printf("%-14s %" PRIu64 ", %s of %s\n", "blobs", number(json, "blobs"), size, most);
  printf("%-14s %" PRIu64 "\n", "fetching", number(json, "fetching"));
  printf("%-14s %" PRIu64 "\n", "seeding", number(json, "seeding"));
  printf("%-14s %" PRIu64 "\n", "peers", number(json, "peers"));
  print_size(json, "from_peers", "from peers");
  print_size(json, "from_gateway", "from gateway");
  print_size(json, "from_registry", "from registry");
  printf("%-14s %.0f %%\n", "share", share(json));
  print_size(json, "uploaded", "sent to peers");
  for (size_t i = 0; i < json_array_size(swarms); i++) {
    print_swarm(json_array_get(swarms, i));
  }
}

int command_status(int argc, char **argv, struct error *e) {
  const char *url = NULL;
  bool as_json = false;
  const struct args_option options[] = {{.name = "url", .value = &url},
                                        {.name = "json", .flag = &as_json}};
  CLEANUP(buf_free) struct buf body = {0};
  char **operands;
  int count;
  if (args_read(argc, argv, options, 2, 0, 0, &operands, &count, e) != 0 ||
      check_url(url, e) != 0 || fetch(url == NULL ? USUAL_URL : url, &body, e) != 0) {
    return -1;
  }
  json_t *json = read_status(&body, e);
  if (json == NULL) {
    return -1;
  }
  CLEANUP_FREE char *text = json_dumps(json, JSON_INDENT(2));
  if (text != NULL && as_json) {
    puts(text);
  } else if (text != NULL) {
    print(json);
  }
  json_decref(json);
  return text == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}
