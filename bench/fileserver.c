/*
 * The least program around http_answer_send_file(): serves one file at /f, whole or in ranges, on
 * one loop. For webseed.py.
 */
#include "http/range.h"
#include "http/server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct file {
  int fd;
  uint64_t size;
};

static void on_sent(void *arg) {
  http_answer_end(arg);
}

static void serve(struct http_exchange *x, void *context) {
  const struct file *file = context;
  const struct range range = range_parse(http_request_field(x, SLICE("Range")), file->size);
  char content[RANGE_CONTENT_MAX];
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/octet-stream")},
      {SLICE("Accept-Ranges"), SLICE("bytes")},
      {SLICE("Content-Range"),
       range.kind == RANGE_WHOLE ? SLICE("") : range_content(&range, file->size, content)}};
  switch (range.kind) {
  case RANGE_UNSATISFIABLE:
    http_answer(x, 416, &fields[2], 1, SLICE(""));
    return;
  case RANGE_WHOLE:
    http_answer_start(x, 200, fields, 2, range.length);
    break;
  case RANGE_PART:
    http_answer_start(x, 206, fields, 3, range.length);
    break;
  }
  http_answer_send_file(x, file->fd, range.offset, range.length, on_sent, x);
}

static int fail(const char *what, const char *why) {
  fprintf(stderr, "fileserver: %s: %s\n", what, why);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 5) {
    fprintf(stderr, "usage: fileserver ADDRESS FILE [CERTIFICATE KEY]\n");
    return 2;
  }
  uv_loop_t *loop = uv_default_loop();
  struct http_places places = {0};
  struct error e = {0};
  struct stat status;
  struct file file = {.fd = open(argv[2], O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0 || fstat(file.fd, &status) != 0) {
    return fail(argv[2], "cannot be opened");
  }
  file.size = (uint64_t)status.st_size;
  const struct http_route route = {"GET", "/f", serve, &file};
  struct http_server_options options = {.routes = &route, .route_count = 1};
  if (argc == 5) {
    options.tls = http_tls_new(argv[3], argv[4], &e);
    if (options.tls == NULL) {
      return fail("TLS", e.text);
    }
  }
  signal(SIGPIPE, SIG_IGN);
  struct http_server *server = http_server_new(loop, &options);
  if (http_listen(argv[1], &places, &e) != 0 ||
      http_server_listen(server, &places.items[0], &e) != 0) {
    return fail("listen", e.text);
  }
  return uv_run(loop, UV_RUN_DEFAULT);
}
