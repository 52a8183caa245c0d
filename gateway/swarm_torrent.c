#include "gateway/swarm_torrent.h"

#include "torrent/metainfo.h"

/* \param changed set to whether it is another torrent than the one that is found in the store. */
static int put_under(struct torrent_record *record, struct slice ca, struct arena *arena,
                     bool *changed, struct error *e) {
  struct metainfo m = {.format = (enum torrent_format)record->format, .info = record->info};
  *changed = !metainfo_is_under(record->info, ca);
  if (!*changed) {
    return 0;
  }
  if (metainfo_put_under(&m, ca, arena, e) != 0) {
    return -1;
  }
  record->info = m.info;
  memcpy(record->infohash, m.infohash, sizeof record->infohash);
  memcpy(record->infohash_v2, m.infohash_v2, sizeof record->infohash_v2);
  return 0;
}

static int find(struct db_txn *txn, struct swarm_authority *authority, struct slice digest,
                uint8_t format, struct arena *arena, struct torrent_record *out, bool *changed,
                struct error *e) {
  if (torrent_store_find(txn, digest, format, arena, out, e) != 0) {
    return -1;
  }
  struct swarm_ca *ca = swarm_authority_hold(authority);
  int result = put_under(out, swarm_ca_certificate(ca), arena, changed, e);
  swarm_ca_release(ca);
  return result;
}

int swarm_torrent_find(struct db_txn *txn, struct swarm_authority *authority, struct slice digest,
                       uint8_t format, struct arena *arena, struct torrent_record *out,
                       struct error *e) {
  bool changed;
  return find(txn, authority, digest, format, arena, out, &changed, e);
}

int swarm_torrent_allow(struct db_txn *txn, struct swarm_authority *authority, struct slice digest,
                        uint8_t format, struct slice registry, struct slice repository,
                        struct error *e) {
  struct arena arena = {0};
  struct torrent_record record;
  bool changed;
  int result = find(txn, authority, digest, format, &arena, &record, &changed, e);
  if (result == 0 && changed) {
    result = torrent_store_put(txn, &record, e);
  }
  if (result == 0) {
    result = torrent_store_allow(txn, record.infohash, registry, repository, e);
  }
  arena_free(&arena);
  return result;
}
