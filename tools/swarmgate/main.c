#include "command.h"

#include <stdio.h>
#include <string.h>

struct command {
  const char *first, *second;
  command_fn *run;
  const char *usage; /* what follows the two words, and then a few lines about it */
};

static const struct command commands[] = {
    {"torrent", "create", command_torrent_create,
     "SOURCE [--output DIR] [--announce URL]... [--webseed URL]...\n"
     "    [--format v1|v2|hybrid] [--piece-length auto|BYTES] [--platform OS/ARCH] [--json]\n"
     "    [--register --config FILE [--registry NAME] [--repository NAME]]\n"
     "    [--authfile FILE] [--creds USER:PASSWORD] [--tls-verify true|false] [--cert-dir DIR]\n"
     "  Makes a torrent of every distinct blob of an image, and index.json, in DIR (default: the\n"
     "  current folder; with --register alone, nowhere). SOURCE is docker://HOST/NAME[:TAG],\n"
     "  oci:DIR[:TAG], docker-archive:FILE[:REF] or blob:FILE. --register tells the gateway and\n"
     "  the tracker of FILE about them; the registry is not asked."},
    {"torrent", "show", command_torrent_show,
     "FILE\n  Prints what a torrent says; tokens in its URLs are left out."},
    {"torrent", "verify", command_torrent_verify,
     "FILE DATA\n  Checks a data file against a torrent; exit 5 when they differ."},
    {"torrent", "list", command_torrent_list,
     "--config FILE [--json]\n  Lists the registered torrents and their repositories."},
    {"torrent", "remove", command_torrent_remove,
     "--config FILE INFOHASH\n  Forgets a registered torrent."},
    {"key", "generate", command_key_generate,
     "--use announce|registry [--alg ES256|RS256|EdDSA] --out FILE\n"
     "  Makes a private key, PEM, mode 0600. ES256 unless said otherwise; a registry key is ES256 "
     "or\n"
     "  RS256, as registries take no other. An existing FILE is never overwritten."},
    {"key", "jwks", command_key_jwks,
     "FILE...\n  Prints the public JWKS of private or public keys."},
    {"token", "issue", command_token_issue,
     "--config FILE --infohash HEX [--infohash HEX]... --sub NAME [--ttl 10m] [--session 24h]\n"
     "swarmgate token issue --config FILE --registry-scope repository:NAME:pull --sub NAME "
     "[--ttl 10m]\n"
     "  Prints a token, nothing else."},
    {"token", "inspect", command_token_inspect,
     "TOKEN|-\n  Prints header and claims without checking anything; - reads standard input."},
    {"token", "verify", command_token_verify,
     "--config FILE TOKEN|-\n"
     "  Checks a token against the issuers that FILE trusts and prints its claims; exit 3 when it\n"
     "  does not verify. - reads standard input."},
    {"db", "stats", command_db_stats, "--config FILE\n  Prints what is stored."},
    {"db", "check", command_db_check,
     "--config FILE\n  Reads every record and checks it; exit 1 when one is damaged."},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

int command_config(const char *path, struct config *out, struct error *e) {
  if (path == NULL) {
    return error_set(e, ERROR_USAGE, "--config FILE is missing");
  }
  return config_load(path, out, e);
}

static void print_overview(FILE *to) {
  fputs("usage: swarmgate COMMAND [ARGUMENT]...\n\n"
        "Container images through private BitTorrent swarms: the tool for operators and nodes.\n\n",
        to);
  for (size_t i = 0; i < COMMAND_COUNT; i++) {
    const char *end = strstr(commands[i].usage, "\n");
    fprintf(to, "  %s %s %.*s\n", commands[i].first, commands[i].second,
            (int)(end - commands[i].usage), commands[i].usage);
  }
  fputs(
      "\n`swarmgate COMMAND --help` says more. Exit codes: 0 done, 1 failed, 2 wrong usage or\n"
      "configuration, 3 not authorised, 4 not found or hidden, 5 data did not match its digest.\n",
      to);
}

static int print_usage(const struct command *c) {
  printf("usage: swarmgate %s %s %s\n", c->first, c->second, c->usage);
  return 0;
}

static int run(const struct command *c, int argc, char **argv) {
  struct error e = {0};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0) {
      return print_usage(c);
    }
  }
  if (c->run(argc, argv, &e) == 0) {
    if (fflush(stdout) != 0) {
      perror("swarmgate: cannot write to standard output");
      return ERROR_FAILED;
    }
    return 0;
  }
  fflush(stdout);
  fprintf(stderr, "swarmgate: %s\n", e.text);
  return (int)e.kind;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("swarmgate " SWARMGATE_VERSION);
    return 0;
  }
  if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
    print_overview(stdout);
    return 0;
  }
  for (size_t i = 0; argc > 2 && i < COMMAND_COUNT; i++) {
    if (strcmp(argv[1], commands[i].first) == 0 && strcmp(argv[2], commands[i].second) == 0) {
      return run(&commands[i], argc - 2, argv + 2);
    }
  }
  if (argc < 2) {
    print_overview(stderr);
  } else {
    fprintf(stderr, "swarmgate: %s%s%s: no such command; see `swarmgate --help`\n", argv[1],
            argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
  }
  return ERROR_USAGE;
}
