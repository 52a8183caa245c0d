#include "registration.h"

#include "http/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 64 };

int registration_add(struct registration *r, const struct metainfo *m, const char *digest,
                     struct arena *arena, struct error *e) {
  if (r->count == r->capacity) {
    size_t capacity = r->capacity == 0 ? CAPACITY_FIRST : 2 * r->capacity;
    struct torrent_record *records = reallocarray(r->records, capacity, sizeof *records);
    if (records == NULL) {
      return error_set(e, ERROR_FAILED, "%s: out of memory", digest);
    }
    r->records = records;
    r->capacity = capacity;
  }
  struct torrent_record *record = &r->records[r->count];
  *record = (struct torrent_record){.format = (uint8_t)m->format,
                                    .digest = slice_str(arena_copy(arena, slice_str(digest))),
                                    .size = m->size,
                                    .info = m->info,
                                    .piece_layers = m->piece_layers};
  memcpy(record->infohash, m->infohash, sizeof record->infohash);
  memcpy(record->infohash_v2, m->infohash_v2, sizeof record->infohash_v2);
  if (record->digest.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "%s: out of memory", digest);
  }
  r->count++;
  return 0;
}

static int register_all(struct db_txn *txn, void *arg, struct error *e) {
  const struct registration *r = arg;
  for (size_t i = 0; i < r->count; i++) {
    if (torrent_store_put(txn, &r->records[i], e) != 0 ||
        torrent_store_allow(txn, r->records[i].infohash, slice_str(r->registry),
                            slice_str(r->repository), e) != 0) {
      return -1;
    }
  }
  return 0;
}

int registration_commit(struct registration *r, struct error *e) {
  return db_write_now(r->db, register_all, r, e);
}

/* Names of one registry, of which references have the first (image_reference_parse_docker()). */
static const char *const HUB[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
enum { HUB_NAMES = sizeof HUB / sizeof *HUB };

static bool is_hub(const char *host) {
  size_t i = 0;
  while (i < HUB_NAMES && strcmp(HUB[i], host) != 0) {
    i++;
  }
  return i < HUB_NAMES;
}

static bool is_at(const char *url, const char *host) {
  char other[IMAGE_NAME_MAX + 64];
  bool hub = is_hub(host);
  bool same = false;
  for (size_t i = 0; i < (hub ? HUB_NAMES : 1) && !same; i++) {
    snprintf(other, sizeof other, "%.*s//%s", (int)strcspn(url, "/"), url, hub ? HUB[i] : host);
    same = http_url_same_origin(url, other);
  }
  return same;
}

/* Which of the configuration's registries a docker:// host is: by name, or by its url. */
static const char *registry_of_host(const struct config *config, const char *host) {
  const char *at = NULL;
  for (size_t i = 0; i < config->registry_count; i++) {
    const struct config_registry *row = &config->registries[i];
    if (strcmp(row->name.text, host) == 0) {
      return row->name.text;
    }
    if (at == NULL && is_at(row->url.text, host)) {
      at = row->name.text;
    }
  }
  return at;
}

/* The registry that the operator has not named; NULL with \p e. */
static const char *find_registry(const struct config *config,
                                 const struct image_reference *reference, struct error *e) {
  const char *found = NULL;
  if (reference->transport == IMAGE_DOCKER && reference->host != NULL &&
      config->registry_count > 0) {
    found = registry_of_host(config, reference->host);
    if (found == NULL) {
      error_set(e, ERROR_USAGE,
                "%s has no registry %s: give --registry NAME if one of its registries has the "
                "image too",
                config->file, reference->host);
    }
  } else if (config->registry_count == 1) {
    found = config->registries[0].name.text;
  } else {
    error_set(e, ERROR_USAGE,
              "--registry NAME is missing: which registry of %s the torrents belong to",
              config->file);
  }
  return found;
}

int registration_open(struct registration *r, const struct config *config,
                      const struct image_reference *reference, struct error *e) {
  if (r->registry == NULL) {
    r->registry = find_registry(config, reference, e);
  }
  if (r->registry == NULL) {
    return -1;
  }
  bool known = config->registry_count == 0; /* a tracker that stands alone lists none */
  for (size_t i = 0; i < config->registry_count; i++) {
    known = known || strcmp(config->registries[i].name.text, r->registry) == 0;
  }
  if (!known) {
    return error_set(e, ERROR_USAGE, "--registry %s: %s has no registry of that name", r->registry,
                     config->file);
  }
  if (r->repository == NULL) {
    r->repository = reference->repository;
  }
  if (r->repository == NULL || !image_name_valid(slice_str(r->repository))) {
    return error_set(e, ERROR_USAGE,
                     "--repository NAME is %s: which repository the torrents "
                     "belong to",
                     r->repository == NULL ? "missing" : "no valid name");
  }
  return db_open(config->data_dir.text, &r->db, e);
}

void registration_close(struct registration *r) {
  if (r->db != NULL) {
    db_close(r->db);
  }
  free(r->records);
}
