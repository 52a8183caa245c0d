#include "command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct command {
  const char *first, *second; /* NULL: a command of one word */
  command_fn *run;
  const char *brief;
  const char *usage; /* what follows its words, and then more about it; within 80 columns */
};

static const struct command commands[] = {
    {"pull", NULL, command_pull, "pull an image through its swarms",
     "IMAGE [--to DEST] [OPTION]...\n\n"
     "Pulls IMAGE, HOST/NAME[:TAG][@DIGEST], from other nodes and the gateway, checks\n"
     "every byte, and delivers it to DEST. What was fetched is not fetched again.\n\n"
     "  --to DEST               oci:DIR[:NAME], oci-archive:FILE[:NAME], dir:DIR,\n"
     "                          docker-archive:FILE[:REF], containers-storage:[REF],\n"
     "                          containerd:[NAMESPACE], or - for docker load; default:\n"
     "                          containers-storage: where podman is installed\n"
     "  --gateway URL           of the gateway; default: $SWARMGATE_GATEWAY, or the\n"
     "                          registry's in /etc/swarmgate/node.yaml\n"
     "  --insecure              credentials may go to a gateway on plain http\n"
     "  --platform OS/ARCH      what to take of an index; default: this machine's\n"
     "  --seed-for TIME         go on seeding for 30s, 10m, 2h; default: not at all\n"
     "  --address ADDRESS       listen for peers on this address; default: all\n"
     "  --lower-port PORT       listen on this port or one up to --upper-port;\n"
     "  --upper-port PORT       default: any that is free\n"
     "  --upload-rate SIZE      bytes a second for peers, such as 10MiB; 0: any rate;\n"
     "                          default: 64MiB\n"
     "  --upload-slots NUMBER   send to so many peers at once; 0: any; default: 8\n"
     "  --download-rate SIZE    bytes a second from peers, and from the gateway\n"
     "  --skip-webseed          take pieces from peers alone\n"
     "  --json                  print what came of it as JSON\n\n"
     "  --authfile FILE         registry credentials, as podman login writes them\n"
     "  --creds USER:PASSWORD   registry credentials; others can see them in ps\n"
     "  --tls-verify=BOOL       false: do not check certificates\n"
     "  --cert-dir DIR          *.crt, *.cert and *.key for the gateway\n"},
    {"seed", NULL, command_seed, "give an image to other nodes",
     "IMAGE [--from SOURCE] [--duration TIME] [OPTION]...\n\n"
     "Seeds IMAGE, HOST/NAME[:TAG][@DIGEST], out of SOURCE, or after a pull into a\n"
     "folder of its own, until TIME is over, it is interrupted or the registry's\n"
     "decision ends it.\n\n"
     "  --from SOURCE           oci:DIR[:TAG], which is seeded from where it lies, or\n"
     "                          oci-archive:FILE[:TAG], dir:DIR,\n"
     "                          containers-storage:[REF], containerd:[NAMESPACE];\n"
     "                          default: pull it first\n"
     "  --duration TIME         30s, 10m, 2h; default: until it is interrupted\n"
     "  --gateway URL           of the gateway; default: $SWARMGATE_GATEWAY, or the\n"
     "                          registry's in /etc/swarmgate/node.yaml\n"
     "  --insecure              credentials may go to a gateway on plain http\n"
     "  --platform OS/ARCH      what to take of an index; default: this machine's\n"
     "  --address ADDRESS       listen for peers on this address; default: all\n"
     "  --lower-port PORT       listen on this port or one up to --upper-port;\n"
     "  --upper-port PORT       default: any that is free\n"
     "  --upload-rate SIZE      bytes a second for peers, such as 10MiB; 0: any rate;\n"
     "                          default: 64MiB\n"
     "  --upload-slots NUMBER   send to so many peers at once; 0: any; default: 8\n"
     "  --download-rate SIZE    bytes a second from peers, and from the gateway\n"
     "  --skip-webseed          take pieces from peers alone\n\n"
     "  --authfile FILE         registry credentials, as podman login writes them\n"
     "  --creds USER:PASSWORD   registry credentials; others can see them in ps\n"
     "  --tls-verify=BOOL       false: do not check certificates\n"
     "  --cert-dir DIR          *.crt, *.cert and *.key for the gateway\n"},
    {"agent", "run", command_agent_run, "mirror registries for this machine's runtimes",
     "--config FILE\n\n"
     "Runs the node's mirror of its registries until SIGTERM: containerd, podman and\n"
     "docker pull from it, and it pulls through the swarms, seeds for a while, and\n"
     "leaves to the registry what it cannot have. See swarmgate-node.yaml(5).\n\n"
     "  --config FILE   of the node\n"},
    {"agent", "install", command_agent_install, "have the runtimes pull from the agent",
     "--config FILE [--root DIR]\n\n"
     "Writes hosts.toml of containerd and registries.conf of podman for each registry\n"
     "of `gateways`. A file that this has not written is left as it is.\n\n"
     "  --config FILE   of the node\n"
     "  --root DIR      write below DIR in place of /\n"},
    {"agent", "uninstall", command_agent_uninstall, "take `agent install` back",
     "--config FILE [--root DIR]\n\n"
     "Removes the files that `swarmgate agent install` has written, and no others.\n\n"
     "  --config FILE   of the node\n"
     "  --root DIR      remove below DIR in place of /\n"},
    {"status", NULL, command_status, "print how the agent stands",
     "[--url URL] [--json]\n\n"
     "Prints what the agent of this machine has, fetches and seeds.\n\n"
     "  --url URL       of the agent; default: http://127.0.0.1:5123\n"
     "  --json          print the agent's own answer\n"},
    {"torrent", "create", command_torrent_create, "make torrents of the blobs of an image",
     "SOURCE [OPTION]...\n\n"
     "Makes a torrent of every distinct blob of an image, and index.json. SOURCE is\n"
     "docker://HOST/NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG],\n"
     "docker-archive:FILE[:REF], dir:DIR or blob:FILE.\n\n"
     "  --output DIR            where to; default: here, and with --register nowhere\n"
     "  --announce URL          of a tracker; may be given several times\n"
     "  --webseed URL           of a webseed; may be given several times\n"
     "  --format FORMAT         v1, v2 or hybrid (default: v1, or as FILE says)\n"
     "  --piece-length BYTES    a power of two; default: auto, by the blob's size\n"
     "  --platform OS/ARCH      what to take of an index; default: this machine's\n"
     "  --all                   take all platforms of an index\n"
     "  --json                  print index.json\n\n"
     "  --register              tell tracker and gateway; the registry is not asked\n"
     "  --config FILE           of swarmgated; goes with --register\n"
     "  --registry NAME         whose blobs they are, where SOURCE does not say it\n"
     "  --repository NAME       likewise\n\n"
     "  --authfile FILE         registry credentials, as podman login writes them\n"
     "  --creds USER:PASSWORD   registry credentials; others can see them in ps\n"
     "  --tls-verify=BOOL       false: do not check certificates, allow plain http\n"
     "  --cert-dir DIR          *.crt, *.cert and *.key for the registry\n"},
    {"torrent", "show", command_torrent_show, "print what a torrent says",
     "FILE\n\n"
     "Prints what a torrent says; tokens in its URLs are left out.\n"},
    {"torrent", "verify", command_torrent_verify, "check data against a torrent",
     "FILE DATA\n\n"
     "Checks the file DATA against the torrent FILE; exit 5 when they differ.\n"},
    {"torrent", "list", command_torrent_list, "list the registered torrents",
     "--config FILE [--json]\n\n"
     "Lists the registered torrents and their repositories.\n"},
    {"torrent", "remove", command_torrent_remove, "forget a registered torrent",
     "--config FILE INFOHASH\n\n"
     "Forgets a registered torrent.\n"},
    {"torrent", "sync", command_torrent_sync, "register what a registry has",
     "--config FILE [NAME] [--registry NAME] [--json]\n\n"
     "Asks a registry what the repository NAME has, or all its repositories: makes the\n"
     "torrents that are missing, registers those that were made for another, and takes\n"
     "back those of blobs that are gone. May run while the server runs.\n\n"
     "  --config FILE     of swarmgated\n"
     "  --registry NAME   which of its registries, where there are several\n"
     "  --json            print one JSON document of what was done\n"},
    {"key", "generate", command_key_generate, "make a private key",
     "--use USE [--alg ALG] --out FILE\n"
     "                              [--certificate FILE]\n\n"
     "Makes a private key, PEM, mode 0600. An existing FILE is never overwritten.\n\n"
     "  --use USE            announce: signs swarm and webseed tokens; registry:\n"
     "                       signs registry tokens\n"
     "  --alg ALG            ES256 (default), RS256 or EdDSA, which registries do not\n"
     "                       take\n"
     "  --out FILE           where to\n"
     "  --certificate FILE   its certificate, for the registry's rootcertbundle\n"},
    {"key", "jwks", command_key_jwks, "print public keys as JWKS",
     "FILE...\n\n"
     "Prints the public JWKS of private or public keys.\n"},
    {"key", "rotate", command_key_rotate, "let the next key sign",
     "--config FILE --use USE [--certificate FILE]\n\n"
     "Lets the next key sign, makes the one after it, and keeps the public half of the\n"
     "old one for as long as what it signed is good. The server takes it up when it\n"
     "reloads.\n\n"
     "  --config FILE        of swarmgated\n"
     "  --use USE            announce: the first of auth.signing_keys; registry:\n"
     "                       token_service.signing_key\n"
     "  --certificate FILE   certificates of all these keys, for the registry's\n"
     "                       rootcertbundle\n"},
    {"token", "issue", command_token_issue, "sign a token",
     "--config FILE --sub NAME --infohash HEX...\n"
     "                             [--ttl TIME] [--session TIME]\n"
     "       swarmgate token issue --config FILE --sub NAME --registry-scope SCOPE\n"
     "                             [--ttl TIME]\n\n"
     "Prints a token, nothing else.\n\n"
     "  --config FILE            of swarmgated\n"
     "  --infohash HEX           a swarm token for it; may be given several times\n"
     "  --registry-scope SCOPE   a registry token for repository:NAME:pull\n"
     "  --sub NAME               whom it is for\n"
     "  --ttl TIME               how long it lets its holder join: 30s, 10m, 24h\n"
     "  --session TIME           how long its holder may stay in the swarm\n"},
    {"token", "inspect", command_token_inspect, "print a token, unchecked",
     "TOKEN|-\n\n"
     "Prints header and claims and checks nothing; - reads standard input.\n"},
    {"token", "verify", command_token_verify, "check a token and print it",
     "--config FILE TOKEN|-\n\n"
     "Checks a token against the issuers that FILE trusts and prints its header and\n"
     "claims; exit 3 when it does not verify. - reads standard input.\n"},
    {"revoke", NULL, command_revoke, "end the rights that tokens give",
     "--config FILE --sub NAME|--repository NAME\n"
     "                        [--registry NAME] [--for TIME|--ban]\n"
     "       swarmgate revoke --config FILE --jti ID|--infohash HEX|--kid ID\n\n"
     "Ends all tokens issued up to now to or for what is named, within 5 seconds on a\n"
     "running server, and the sessions that began with them. See also the commands\n"
     "`swarmgate revoke list` and `swarmgate revoke remove`. The registry itself\n"
     "honours a registry token that was issued already until its exp.\n\n"
     "  --config FILE       of swarmgated\n"
     "  --jti ID            one token, by its jti\n"
     "  --sub NAME          REGISTRY/USER, as tokens name him\n"
     "  --repository NAME   a repository\n"
     "  --infohash HEX      a torrent\n"
     "  --kid ID            a signing key\n"
     "  --registry NAME     whose user or repository it is, where NAME does not say it\n"
     "  --for TIME          how long nothing is issued anew: 30s, 10m (default)\n"
     "  --ban               let nothing be issued until this is removed\n"},
    {"revoke", "list", command_revoke_list, "list what is revoked",
     "--config FILE [--json]\n\n"
     "Lists what is revoked, and until when.\n"},
    {"revoke", "remove", command_revoke_remove, "take a revocation back",
     "--config FILE --sub NAME|--repository NAME\n"
     "                               [--registry NAME]\n"
     "       swarmgate revoke remove --config FILE --jti ID|--infohash HEX|--kid ID\n\n"
     "Takes a revocation back, named as it was made; exit 4 when there is none. Tokens\n"
     "that it ended and that have not expired are good again.\n"},
    {"user", "add", command_user_add, "add a user of the token service",
     "NAME --config FILE\n\n"
     "Adds a user. The password is the one line of standard input; at a terminal it\n"
     "is asked for twice. Who has no grants may do nothing yet.\n"},
    {"user", "passwd", command_user_passwd, "set a user's password",
     "NAME --config FILE\n\n"
     "Sets another password, read as `swarmgate user add` does. Refresh tokens that\n"
     "were given out before are worthless.\n"},
    {"user", "remove", command_user_remove, "remove a user",
     "NAME --config FILE\n\n"
     "Removes a user, with the grants and refresh tokens. The registry honours a\n"
     "registry token that was issued already until its exp.\n"},
    {"user", "list", command_user_list, "list users and their grants",
     "--config FILE [--json]\n\n"
     "Lists users, when their password was set, and their grants.\n"},
    {"user", "grant", command_user_grant, "let a user pull, or pull and push",
     "NAME PATTERN pull|pull,push --config FILE\n\n"
     "Lets a user do this, and no more, in the repositories that PATTERN matches:\n"
     "team/app, team/* for all below team, * for all.\n"},
    {"user", "ungrant", command_user_ungrant, "take a grant back",
     "NAME PATTERN [pull|push|pull,push] --config FILE\n\n"
     "Takes back what was granted with that very PATTERN: all of it, or push alone.\n"
     "Who may no longer pull may not push either.\n"},
    {"db", "stats", command_db_stats, "print what is stored",
     "--config FILE\n\n"
     "Prints what is stored.\n"},
    {"db", "check", command_db_check, "check what is stored",
     "--config FILE\n\n"
     "Reads every record and checks it; exit 1 when one is damaged.\n"},
    {"audit", NULL, command_audit, "print what was issued and changed",
     "--config FILE [--since TIME] [--sub NAME] [--json]\n\n"
     "Prints the audit log, a line an event: tokens that were issued, revocations,\n"
     "changes of keys and users.\n\n"
     "  --config FILE   of swarmgated\n"
     "  --since TIME    2026-02-03T04:05:06Z, or 24h: that long ago\n"
     "  --sub NAME      about this user alone, USER or REGISTRY/USER\n"
     "  --json          print the log's own lines\n"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands, WORDS_MAX = 32 };

int command_config(const char *path, struct config *out, struct error *e) {
  if (path == NULL) {
    return error_set(e, ERROR_USAGE, "--config FILE is missing");
  }
  return config_load(path, out, e);
}

int command_config_here(const char *path, struct config *out, struct error *e) {
  if (command_config(path, out, e) != 0) {
    return -1;
  }
  const struct config_text *elsewhere = &out->tracker.revocations;
  if (elsewhere->text == NULL) {
    return 0;
  }
  config_error(out, elsewhere->line, e,
               "tracker.revocations: this tracker takes what is revoked from %s, and keeps no "
               "users, torrents and revocations; run this on the gateway's machine, with its "
               "configuration",
               elsewhere->text);
  config_free(out);
  return -1;
}

static const char *words_of(const struct command *c, char out[WORDS_MAX]) {
  snprintf(out, WORDS_MAX, "%s%s%s", c->first, c->second == NULL ? "" : " ",
           c->second == NULL ? "" : c->second);
  return out;
}

/* The commands that begin with `first`; NULL: all. \return whether there are any. */
static bool print_overview(FILE *to, const char *first) {
  bool any = false;
  for (size_t i = 0; i < COMMAND_COUNT; i++) {
    if (first != NULL && strcmp(first, commands[i].first) != 0) {
      continue;
    }
    if (!any) {
      fprintf(to, "usage: swarmgate %s%sCOMMAND [ARGUMENT]...\n\n", first == NULL ? "" : first,
              first == NULL ? "" : " ");
      fputs("Container images through private BitTorrent swarms: the tool for operators and\n"
            "nodes.\n\n",
            to);
    }
    any = true;
    char name[WORDS_MAX];
    fprintf(to, "  %-16s %s\n", words_of(&commands[i], name), commands[i].brief);
  }
  if (any) {
    fputs("\n`swarmgate COMMAND --help` says more, as does swarmgate(1). Exit codes: 0 done,\n"
          "1 failed, 2 wrong usage or configuration, 3 not authorised, 4 not found or\n"
          "hidden, 5 data did not match its digest.\n",
          to);
  }
  return any;
}

/* The exit code of a success: what was printed must have gone out too. */
static int finish(void) {
  if (fflush(stdout) != 0 || ferror(stdout) != 0) {
    perror("swarmgate: cannot write to standard output");
    return ERROR_FAILED;
  }
  return 0;
}

static int run(const struct command *c, int argc, char **argv) {
  char words[WORDS_MAX];
  struct error e = {0};
  words_of(c, words);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0) {
      printf("usage: swarmgate %s %s", words, c->usage);
      return finish();
    }
  }
  argv[0] = words;
  if (c->run(argc, argv, &e) == 0) {
    return finish();
  }
  fflush(stdout);
  fprintf(stderr, "swarmgate: %s\n", e.text);
  return (int)e.kind;
}

/* The command of both words, or else the one of the first alone. */
static const struct command *find(const char *first, const char *second) {
  const struct command *alone = NULL;
  for (size_t i = 0; i < COMMAND_COUNT; i++) {
    const struct command *c = &commands[i];
    if (strcmp(first, c->first) != 0) {
      continue;
    }
    if (c->second == NULL) {
      alone = c;
    } else if (strcmp(second, c->second) == 0) {
      return c;
    }
  }
  return alone;
}

static bool is_help(const char *word) {
  return strcmp(word, "--help") == 0 || strcmp(word, "help") == 0;
}

int main(int argc, char **argv) {
  /* A pipe or a connection whose reader is gone is an error to be told, not a silent death; a file
   * that may grow no further likewise. */
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("swarmgate " SWARMGATE_VERSION);
    return finish();
  }
  const struct command *found = argc > 1 ? find(argv[1], argc > 2 ? argv[2] : "") : NULL;
  if (found != NULL) {
    int words = found->second == NULL ? 1 : 2;
    return run(found, argc - words, argv + words);
  }
  if (argc > 1 && is_help(argv[1])) {
    print_overview(stdout, NULL);
    return finish();
  }
  if (argc == 3 && is_help(argv[2]) && print_overview(stdout, argv[1])) {
    return finish();
  }
  if (argc < 2) {
    print_overview(stderr, NULL);
  } else if (argc > 2 || !print_overview(stderr, argv[1])) {
    fprintf(stderr, "swarmgate: %s%s%s: no such command; see `swarmgate --help`\n", argv[1],
            argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
  }
  return ERROR_USAGE;
}
