#include "command.h"

#include "base/cleanup.h"
#include "config/node.h"
#include "node/agent.h"
#include "node/install.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the configuration says --- */

struct node {
  struct node_config config;
  struct route_host hosts[CONFIG_LIST_MAX];
  const char *listen[CONFIG_LIST_MAX];
  const char *addresses[CONFIG_LIST_MAX];
};

static int load(const char *path, struct node *n, struct error *e) {
  if (path == NULL) {
    return error_set(e, ERROR_USAGE, "--config FILE is missing");
  }
  if (node_config_load(path, &n->config, e) != 0) {
    e->kind = ERROR_USAGE;
    return -1;
  }
  const struct node_config *c = &n->config;
  for (size_t i = 0; i < c->gateways.count; i++) {
    n->hosts[i] =
        (struct route_host){c->gateways.items[i].name.text, c->gateways.items[i].value.text};
  }
  for (size_t i = 0; i < c->listen.count; i++) {
    n->listen[i] = c->listen.items[i].text;
  }
  for (size_t i = 0; i < c->addresses.count; i++) {
    n->addresses[i] = c->addresses.items[i].text;
  }
  return 0;
}

/* --- agent run --- */

static int run(const struct node *n, struct error *e) {
  const struct node_config *c = &n->config;
  const struct agent_options options = {
      .hosts = n->hosts,
      .host_count = c->gateways.count,
      .listen = n->listen,
      .listen_count = c->listen.count,
      .folder = c->store.text,
      .max_size = c->store_size,
      .seed_ms = (uint64_t)c->seed_for * 1000,
      .authfile = c->authfile.text,
      .cert_dir = c->cert_dir.text,
      .insecure = c->insecure,
      .require_credentials = c->require_credentials,
      .bittorrent = {.addresses = n->addresses,
                     .address_count = c->addresses.count,
                     .upload_slots = c->upload_slots,
                     .lower_port = (uint16_t)c->lower_port,
                     .upper_port = (uint16_t)c->upper_port,
                     .upload_rate = c->upload_rate,
                     .download_rate = c->download_rate},
      .log = &c->log,
  };
  return agent_run(&options, e);
}

int command_agent_run(int argc, char **argv, struct error *e) {
  struct node n = {0};
  const char *path = NULL;
  const struct args_option options[] = {{.name = "config", .value = &path}};
  char **operands;
  int count;
  if (args_read(argc, argv, options, 1, 0, 0, &operands, &count, e) != 0 ||
      load(path, &n, e) != 0) {
    return -1;
  }
  int result = run(&n, e);
  node_config_free(&n.config);
  return result;
}

/* --- agent install, agent uninstall --- */

/* Where runtimes reach it: they want an address. */
static const char *find_address(const struct node *n) {
  for (size_t i = 0; i < n->config.listen.count; i++) {
    if (strncmp(n->listen[i], "unix:", 5) != 0 && strncmp(n->listen[i], "fd:", 3) != 0) {
      return n->listen[i];
    }
  }
  return NULL;
}

static int change(int argc, char **argv,
                  int (*how)(const struct install_options *options, struct error *e),
                  struct error *e) {
  struct node n = {0};
  const char *path = NULL;
  const char *root = NULL;
  const struct args_option options[] = {{.name = "config", .value = &path},
                                        {.name = "root", .value = &root}};
  char **operands;
  int count;
  if (args_read(argc, argv, options, 2, 0, 0, &operands, &count, e) != 0 ||
      load(path, &n, e) != 0) {
    return -1;
  }
  /* The files are read long after, and elsewhere. */
  CLEANUP_FREE char *file = realpath(path, NULL);
  const struct install_options install = {.root = root == NULL ? "" : root,
                                          .file = file == NULL ? path : file,
                                          .listen = find_address(&n),
                                          .hosts = n.hosts,
                                          .host_count = n.config.gateways.count,
                                          .says = stdout};
  int result = install.listen == NULL
                   ? error_set(e, ERROR_USAGE,
                               "%s: listen: runtimes want an address, such as 127.0.0.1:5123", path)
                   : how(&install, e);
  node_config_free(&n.config);
  return result;
}

int command_agent_install(int argc, char **argv, struct error *e) {
  return change(argc, argv, install_write, e);
}

int command_agent_uninstall(int argc, char **argv, struct error *e) {
  return change(argc, argv, install_remove, e);
}
