/*
 * Nodes that start one image at once, simulated (simulation.h). Prints a row of the table of
 * simulation.py.
 */
#include "bench/simulation.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: simulate_plan --nodes N --connections K --want PEERS [--seed NUMBER]\n";

static int number(const char *text, uint64_t most, uint64_t *out) {
  char *end;
  *out = strtoull(text, &end, 10);
  return *end == '\0' && *out > 0 && *out <= most ? 0 : -1;
}

static int read_options(int argc, char **argv, struct simulation_options *o) {
  static const struct option options[] = {
      {"nodes", required_argument, NULL, 'n'},
      {"connections", required_argument, NULL, 'c'},
      {"want", required_argument, NULL, 'w'},
      {"seed", required_argument, NULL, 's'},
      {0},
  };
  uint64_t value;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == '?' || number(optarg, option == 's' ? UINT32_MAX : 10000, &value) != 0) {
      return -1;
    }
    *(option == 'n'   ? &o->nodes
      : option == 'c' ? &o->connections
      : option == 'w' ? &o->want
                      : &o->seed) = (uint32_t)value;
  }
  return o->nodes > 0 && o->connections > 0 && o->want > 0 && optind == argc ? 0 : -1;
}

int main(int argc, char **argv) {
  struct simulation_options o = simulation_options_usual();
  struct simulation_result r;
  struct error e = {0};
  if (read_options(argc, argv, &o) != 0) {
    fputs(usage, stderr);
    return ERROR_USAGE;
  }
  if (simulate(&o, &r, &e) != 0) {
    fprintf(stderr, "simulate_plan: %s\n", e.text);
    return (int)e.kind;
  }
  printf("| %u | %.0f | %.3f | %u | %.1f | %.1f | %.1f | %.2f |\n", o.nodes, r.peers_mean, r.copies,
         r.requests, r.first, r.median, r.last, r.last / r.ideal);
  return 0;
}
