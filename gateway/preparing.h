/**
 * Makes torrents before anybody asks for them: of what is in the store of what is wanted, which a
 * registry's notifications fill (notifications.c). A manifest is read from the registry with the
 * gateway's own credentials, of an index all that it names; the blobs without a torrent are hashed,
 * and what is hashed already is registered to the repository once the registry says that it is
 * there. Then it is wanted no more. What fails is tried again, ever later.
 *
 * A registered blob that is said to be deleted goes the same way: once the registry says that it is
 * not there its registration is taken back.
 */
#pragma once

#include "gateway/gateway.h"

enum {
  PREPARING_AT_ONCE = 4,       /**< manifests under way, a blob each */
  PREPARING_PAUSE_MAX_S = 300, /**< from a failure to the next try; 1 s at first, then twice that */
  PREPARING_TRIES_MAX = 50,    /**< that fail; then it is left to who first asks */
};

/** All of it outlives this. */
struct preparing_options {
  const struct gateway_registry *registries;
  size_t registry_count;
  enum torrent_format format;              /**< of the torrents */
  struct swarm_authority *swarm_authority; /**< under whose CA they are; NULL: under none */
  struct hashing *hashing;
  struct manifest_store *manifests;
  struct db *db;
  const struct log *log;
};

struct preparing;

/** \return NULL when there is no memory. */
struct preparing *preparing_new(const struct preparing_options *options);
/** When all loops have ended. NULL is fine. */
void preparing_free(struct preparing *preparing);

/**
 * Begins with what the store has, on the client's loop; what it has of other registries is removed.
 *
 * \return 0, or -1: ERROR_USAGE for a registry whose URL cannot be read, ERROR_FAILED.
 */
int preparing_start(struct preparing *preparing, uv_loop_t *loop, struct http_client *client,
                    struct error *e);
/** Ends it, before the client is stopped; what is under way stays in the store. */
void preparing_stop(struct preparing *preparing);

/** Says that the store has more; from any thread. */
void preparing_wake(struct preparing *preparing);
