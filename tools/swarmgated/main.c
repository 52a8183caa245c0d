#include "server.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Signals are blocked in every thread and taken here, so that no handler runs in the middle. */
static void wait_for_end(struct server *s, const char *path, const sigset_t *signals) {
  const struct log *log = server_log(s);
  log_write(log, LOG_LEVEL_INFO, "ready: swarmgated %s, %zu loops", SWARMGATE_VERSION,
            server_loops(s));
  for (;;) {
    int got = 0;
    if (sigwait(signals, &got) == 0 && got != SIGHUP) {
      log_write(log, LOG_LEVEL_INFO, "stopping: %s", strsignal(got));
      return;
    }
    server_reload(s, path);
  }
}

/* Before anything else: a SIGHUP that comes while the server starts would end it. */
static sigset_t block_signals(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a write beyond a limit fails, as on a full disk */
  return signals;
}

static int serve(struct server *s, const char *path, const sigset_t *signals, struct error *e) {
  int result = server_start(s, e);
  if (result == 0) {
    wait_for_end(s, path, signals);
  }
  server_stop(s);
  return result;
}

static const char usage[] =
    "usage: swarmgated --config FILE [--check-config]\n\n"
    "The server: a BitTorrent tracker that answers only holders of registry-signed\n"
    "tokens, and a gateway that hands out torrents, tokens and blobs to whom the\n"
    "registry would serve.\n\n"
    "  --config FILE    the configuration, YAML; see swarmgated.yaml(5)\n"
    "  --check-config   read it and the keys it names, and stop; exit 2 when\n"
    "                   something is wrong\n"
    "  --version        print the version\n";

int main(int argc, char **argv) {
  static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                          {"check-config", no_argument, NULL, 'k'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
  const char *path = NULL;
  bool check = false;
  int got;
  while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) {
    switch (got) {
    case 'c':
      path = optarg;
      break;
    case 'k':
      check = true;
      break;
    case 'v':
      puts("swarmgated " SWARMGATE_VERSION);
      return 0;
    case 'h':
      fputs(usage, stdout);
      return 0;
    default:
      return ERROR_USAGE;
    }
  }
  if (path == NULL || optind != argc) {
    fprintf(stderr, "swarmgated: %s; see `swarmgated --help`\n",
            path == NULL ? "--config FILE is missing" : "there are options, no arguments");
    return ERROR_USAGE;
  }
  const sigset_t signals = block_signals();
  struct error e = {0};
  struct server *server = server_load(path, &e);
  int result = server == NULL ? -1 : 0;
  if (result == 0 && !check) {
    result = serve(server, path, &signals, &e);
  }
  server_free(server);
  if (result != 0) {
    fprintf(stderr, "swarmgated: %s\n", e.text);
    return (int)e.kind;
  }
  return 0;
}
