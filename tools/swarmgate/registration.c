#include "registration.h"

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

/* Which of the configuration's registries a docker:// host is: by name, or by its url. */
static const char *registry_of_host(const struct config *config, const char *host) {
  for (size_t i = 0; i < config->registry_count; i++) {
    const struct config_registry *r = &config->registries[i];
    const char *authority = strstr(r->url.text, "://");
    if (strcmp(r->name.text, host) == 0 ||
        (authority != NULL && strncmp(authority + 3, host, strlen(host)) == 0 &&
         strchr("/", authority[3 + strlen(host)]) != NULL)) {
      return r->name.text;
    }
  }
  return NULL;
}

int registration_open(struct registration *r, const struct config *config,
                      const struct image_reference *reference, struct error *e) {
  if (r->registry == NULL && reference->transport == IMAGE_DOCKER && reference->host != NULL) {
    r->registry = registry_of_host(config, reference->host);
  }
  if (r->registry == NULL && config->registry_count == 1) {
    r->registry = config->registries[0].name.text;
  }
  if (r->registry == NULL) {
    return error_set(e, ERROR_USAGE,
                     "--registry NAME is missing: which registry of %s the torrents belong to",
                     config->file);
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
