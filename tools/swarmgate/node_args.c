#include "node_args.h"

#include "base/units.h"
#include "config/node.h"
#include "config/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `docker://HOST/NAME` or, as podman pull takes it, without the transport. */
static int read_image(struct node_args *a, const char *image, struct error *e) {
  struct slice name = slice_str(image);
  bool transport = slice_starts(name, SLICE("docker://"));
  if ((transport ? image_reference_parse(image, &a->arena, &a->reference, e)
                 : image_reference_parse_docker(name, &a->arena, &a->reference, e)) != 0) {
    return -1;
  }
  name = transport ? slice_from(name, sizeof "docker://" - 1) : name;
  if (strcmp(a->reference.host, "docker.io") == 0 && !slice_starts(name, SLICE("docker.io/")) &&
      !slice_starts(name, SLICE("index.docker.io/"))) {
    fprintf(stderr, "swarmgate: %s names no registry, so that it is docker.io/%s\n", image,
            a->reference.repository);
  }
  return 0;
}

static int read_rate(const char *name, const char *text, uint64_t *out, struct error *e) {
  *out = 0;
  return text == NULL || units_size(slice_str(text), out)
             ? 0
             : error_set(e, ERROR_USAGE, "--%s %s: bytes a second are wanted, such as 10MiB", name,
                         text);
}

static int read_slots(const char *text, uint32_t *out, struct error *e) {
  uint64_t slots = 0;
  if (!slice_u64(slice_str(text), &slots) || slots > INT32_MAX) {
    return error_set(e, ERROR_USAGE, "--upload-slots %s: a number of peers is wanted", text);
  }
  *out = (uint32_t)slots;
  return 0;
}

static int read_address(struct node_args *a, struct error *e) {
  const char *wrong = a->address == NULL ? NULL : value_address(slice_str(a->address));
  if (wrong != NULL) {
    return error_set(e, ERROR_USAGE, "--address %s %s", a->address, wrong);
  }
  a->bittorrent.addresses = &a->address;
  a->bittorrent.address_count = a->address == NULL ? 0 : 1;
  return 0;
}

static int read_port(const char *name, const char *text, uint16_t *out, struct error *e) {
  uint64_t port = 0;
  if (text != NULL && (!slice_u64(slice_str(text), &port) || port < 1024 || port > UINT16_MAX)) {
    return error_set(e, ERROR_USAGE, "--%s %s: a port from 1024 to 65535 is wanted", name, text);
  }
  *out = (uint16_t)port;
  return 0;
}

static int read_ports(const char *lower, const char *upper, struct bittorrent_options *out,
                      struct error *e) {
  if (read_port("lower-port", lower, &out->lower_port, e) != 0 ||
      read_port("upper-port", upper == NULL ? lower : upper, &out->upper_port, e) != 0) {
    return -1;
  }
  if (out->lower_port == 0 && upper != NULL) {
    return error_set(e, ERROR_USAGE, "--upper-port goes with --lower-port");
  }
  return out->upper_port < out->lower_port
             ? error_set(e, ERROR_USAGE, "--upper-port %s is below --lower-port %s", upper, lower)
             : 0;
}

/* The machine's own, where it has one. */
static int find_configured(struct node_args *a, struct error *e) {
  struct node_config config;
  struct error why = {0};
  if (node_config_load(NODE_CONFIG_FILE, &config, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  const char *url = node_config_gateway(&config, a->reference.host);
  a->gateway = url == NULL ? NULL : arena_copy(&a->arena, slice_str(url));
  node_config_free(&config);
  return 0;
}

static int find_gateway(struct node_args *a, struct error *e) {
  if (a->gateway == NULL) {
    a->gateway = getenv("SWARMGATE_GATEWAY");
  }
  if (a->gateway == NULL && find_configured(a, e) != 0) {
    return -1;
  }
  return a->gateway != NULL && a->gateway[0] != '\0'
             ? 0
             : error_set(e, ERROR_USAGE,
                         "no gateway of %s is known: give --gateway URL, set SWARMGATE_GATEWAY, or "
                         "name it in `gateways` of " NODE_CONFIG_FILE,
                         a->reference.host);
}

int node_args_check(struct node_args *a, const char *image, struct error *e) {
  const char *upload_rate = a->upload_rate == NULL ? NODE_UPLOAD_RATE : a->upload_rate;
  const char *upload_slots = a->upload_slots == NULL ? NODE_UPLOAD_SLOTS : a->upload_slots;
  if (read_rate("upload-rate", upload_rate, &a->bittorrent.upload_rate, e) != 0 ||
      read_rate("download-rate", a->download_rate, &a->bittorrent.download_rate, e) != 0 ||
      read_slots(upload_slots, &a->bittorrent.upload_slots, e) != 0 || read_address(a, e) != 0 ||
      read_ports(a->lower_port, a->upper_port, &a->bittorrent, e) != 0 ||
      read_image(a, image, e) != 0) {
    return -1;
  }
  if (a->platform_text != NULL) {
    if (image_platform_parse(a->platform_text, &a->arena, &a->platform, e) != 0) {
      return -1;
    }
    a->from.platform = &a->platform;
  }
  return find_gateway(a, e);
}

void node_args_fill(const struct node_args *a, struct pull_options *out) {
  out->gateway = a->gateway;
  out->insecure = a->insecure;
  out->image = &a->reference;
  out->from = &a->from;
  out->platform = a->platform_text;
  out->bittorrent = a->bittorrent;
}
