/** What the files of `torrent sync` share. */
#pragma once

#include "auth/swarm_ca.h"
#include "db/db.h"
#include "image/registry_session.h"
#include "torrent/hasher.h"

#include <jansson.h>

enum {
  SYNC_MOST = 256 * 1024, /**< blobs of a repository, and manifests; more are refused */
  SYNC_SILENCES_MAX = 5,  /**< questions in a row without an answer; then it is given up */
};

struct sync_counts {
  size_t manifests;                   /**< that were read */
  size_t hashed, registered, removed; /**< blobs */
  size_t failed;                      /**< whatever could not be done */
};

struct sync {
  const char *registry; /**< the name */
  enum torrent_format format;
  struct swarm_ca *swarm_ca; /**< that torrents are under; NULL: none */
  bool json;
  struct registry_session *session;
  struct db *db;
  unsigned silences;  /**< questions that the registry did not answer, since it last did */
  struct error first; /**< the first failure */
  struct sync_counts total;
  json_t *repositories; /**< with `json`: what came of each */
};

struct sync_infohash {
  unsigned char bytes[20];
};

/** A blob that a repository's tags name, or that is registered to it. */
struct sync_blob {
  const char *digest;
  uint64_t size;
  bool named;                       /**< by a tag's manifest */
  struct sync_infohash *registered; /**< the torrents of it that are registered to the repository */
  size_t registered_count;
};

/** A repository, and what has come of it so far. */
struct sync_repository {
  struct sync *sync;
  const char *name;
  struct arena arena;
  void *tree, *manifests; /**< of blobs, and of digests that were read */
  struct sync_blob **blobs;
  size_t blob_count, blob_capacity, manifest_count;
  struct sync_counts counts;
  json_t *hashed, *registered, *removed, *failed;
};

enum sync_answer { SYNC_FAILED = -1, SYNC_THERE, SYNC_GONE };

/**
 * Asks the registry. SYNC_GONE is a clear 404: of the registry's own, not of whom it redirects to.
 *
 * \return SYNC_FAILED with \p e for any other answer, and for none.
 */
enum sync_answer sync_ask(struct sync *sync, const struct registry_get *get, uint64_t size,
                          image_sink *sink, void *arg, struct arena *arena,
                          struct registry_reply *reply, struct error *e);
/** Counts how often in a row the registry has said nothing; of registry_session_ask() or
 *  registry_session_list(). */
void sync_heard(struct sync *sync, int result, const struct registry_reply *reply,
                const struct error *e);
/** What an answer is. */
enum sync_answer sync_judge(const struct sync *sync, const struct registry_get *get,
                            const struct registry_reply *reply, struct error *e);

/** Says that something of a repository could not be done. */
void sync_fail(struct sync_repository *r, const struct error *e);
/** Says what was done with a blob. \p list is one of the repository's, \p count one of its. */
void sync_say(struct sync_repository *r, const char *verb, const struct sync_blob *blob,
              json_t *list, size_t *count);

/** Brings a repository up to date. \return 0, or -1 when there is no such repository and nothing
 * was registered to it. Failures are counted and said. */
int sync_repository(struct sync *sync, const char *name, struct error *e);

/** Does what is to be done about a blob. \p number is its place among so many, for the progress. */
void sync_blob(struct sync_repository *r, const struct sync_blob *blob, size_t number);
