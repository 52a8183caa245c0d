#include "config/node.h"

#include "base/buf.h"
#include "base/file.h"
#include "config/document.h"
#include "config/reader.h"

#include <stdlib.h>
#include <string.h>

#define OF(member)                                                                                 \
  .at = offsetof(struct node_config, member), .size = sizeof(((struct node_config *)0)->member)
#define KEYS(table) .keys = (table), .key_count = sizeof(table) / sizeof *(table)

enum { YEAR = 366 * 24 * 3600, PORT_MIN = 1024 };

#define MIB (UINT64_C(1024) * 1024)

static const struct setting_word truths[] = {{"true", true}, {"false", false}, {0}};

static const struct setting store[] = {
    {"path", SETTING_PATH, OF(store), .preset = "/var/lib/swarmgate-node"},
    {"max_size", SETTING_SIZE, OF(store_size), .preset = "50GiB", .min = 1, .max = INT64_MAX},
};

static const struct setting ports[] = {
    {"addresses", SETTING_TEXTS, OF(addresses), .may_be_empty = true, .check = value_address},
    {"lower", SETTING_INTEGER, OF(lower_port), .preset = "0", .max = UINT16_MAX},
    {"upper", SETTING_INTEGER, OF(upper_port), .preset = "0", .max = UINT16_MAX},
};

static const struct setting log_keys[] = {
    {"level", SETTING_WORD, OF(log.level), .preset = "info", .words = settings_levels},
    {"format", SETTING_WORD, OF(log.json), .preset = "text", .words = settings_log_formats},
};

static const struct setting node[] = {
    {"gateways", SETTING_PAIRS, OF(gateways), .required = true, .check = value_registry_url,
     .check_name = value_registry},
    {"listen", SETTING_TEXTS, OF(listen), .preset = "127.0.0.1:5123", .check = value_listen},
    {"store", SETTING_MAP, KEYS(store)},
    {"authfile", SETTING_PATH, OF(authfile)},
    {"cert_dir", SETTING_PATH, OF(cert_dir)},
    {"insecure", SETTING_WORD, OF(insecure), .preset = "false", .words = truths},
    {"require_credentials", SETTING_WORD, OF(require_credentials), .preset = "false",
     .words = truths},
    {"ports", SETTING_MAP, KEYS(ports)},
    {"upload_rate", SETTING_SIZE, OF(upload_rate), .preset = NODE_UPLOAD_RATE, .max = INT64_MAX},
    {"upload_slots", SETTING_INTEGER, OF(upload_slots), .preset = NODE_UPLOAD_SLOTS,
     .max = INT32_MAX},
    {"download_rate", SETTING_SIZE, OF(download_rate), .preset = "0", .max = INT64_MAX},
    {"seed_for", SETTING_DURATION, OF(seed_for), .preset = "24h", .max = YEAR},
    {"log", SETTING_MAP, KEYS(log_keys)},
};
enum { NODE_KEYS = sizeof node / sizeof *node };

static int fail(const struct node_config *c, unsigned line, struct error *e, const char *what) {
  return error_set(e, ERROR_USAGE, "%s:%u: %s", c->file, line, what);
}

/* What no key shows by itself. */
static int check(struct node_config *c, struct error *e) {
  if (c->gateways.count == 0) {
    return fail(c, 1, e, "gateways: names no registry; write HOST: URL");
  }
  if (c->upper_port == 0) {
    c->upper_port = c->lower_port;
  }
  if (c->upper_port < c->lower_port || (c->upper_port > 0 && c->lower_port < PORT_MIN)) {
    return fail(c, 1, e, "ports: lower wants 1024 to 65535, and upper no less than lower");
  }
  for (size_t i = 0; i < c->gateways.count; i++) {
    char *url = c->gateways.items[i].value.text;
    size_t len = strlen(url);
    while (url[len - 1] == '/') {
      url[--len] = '\0';
    }
  }
  return 0;
}

static int read_document(struct node_config *c, struct slice bytes, struct error *e) {
  yaml_document_t document;
  if (document_load(c->file, bytes, &document, e) != 0) {
    return -1;
  }
  int result = reader_read(c->file, &document, node, NODE_KEYS, c, e);
  yaml_document_delete(&document);
  return result != 0 ? -1 : check(c, e);
}

int node_config_parse(const char *name, const char *bytes, size_t len, struct node_config *out,
                      struct error *e) {
  struct node_config c = {.file = strdup(name)};
  if (c.file == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", name);
  }
  if (read_document(&c, slice_of(bytes, len), e) != 0) {
    node_config_free(&c);
    return -1;
  }
  *out = c;
  return 0;
}

int node_config_load(const char *path, struct node_config *out, struct error *e) {
  struct buf bytes = {0};
  struct error why = {0};
  if (file_read(path, CONFIG_SIZE_MAX, &bytes, &why) != 0) {
    return error_set(e, why.kind == ERROR_NOT_FOUND ? ERROR_NOT_FOUND : ERROR_USAGE, "%s",
                     why.text);
  }
  int result = node_config_parse(path, bytes.ptr, bytes.len, out, e);
  buf_free(&bytes);
  return result;
}

void node_config_free(struct node_config *config) {
  reader_free(node, NODE_KEYS, config);
  free(config->file);
  *config = (struct node_config){0};
}

const char *node_config_gateway(const struct node_config *config, const char *host) {
  for (size_t i = 0; i < config->gateways.count; i++) {
    if (strcmp(config->gateways.items[i].name.text, host) == 0) {
      return config->gateways.items[i].value.text;
    }
  }
  return NULL;
}
