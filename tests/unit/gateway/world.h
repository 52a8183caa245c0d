/**
 * A whole gateway on one loop, for handler tests: database, keys, a registry that is a real server
 * on loopback and lies as it is told, a second server for redirects, and connections without a
 * socket to the gateway.
 */
#pragma once

#include "db/torrent_store.h"
#include "gateway/delegate_cache.h"
#include "gateway/gateway.h"
#include "gateway/hashing.h"
#include "gateway/manifest_store.h"
#include "gateway/readers.h"
#include "http/memory.h"

#include "unit/cmocka_all.h"

#define WORLD_REGISTRY   "registry.example"
#define WORLD_SECOND     "second.example"
#define WORLD_REPOSITORY "team/app"
#define WORLD_SERVICE    "registry \"1\""  /**< `aud` of what the token service signs */
#define WORLD_PEER       "127.0.0.1:40000" /**< who asks: of http_memory_new() */

enum { WORLD_REQUESTS_MAX = 64, WORLD_DOCUMENTS_MAX = 16 };

/** What a registry was asked. */
struct world_request {
  char method[8];
  char path[160];
  char authorization[512]; /**< empty: none */
  char range[64];
};

/** Something else that a registry has: a manifest, or another blob. */
struct world_document {
  struct slice bytes; /**< not copied */
  const char *media_type;
  const char *tag; /**< or NULL */
  char digest[72];
};

/** A registry, or the storage that it redirects to. Zeroed, it serves the blob as it should. */
struct upstream {
  struct http_server *server;
  struct http_places places;
  struct http_route routes[2];
  char url[64];

  uint64_t size;             /**< of the blob */
  struct slice blob;         /**< a small one; else its bytes are world_byte() */
  char digest[72];           /**< `sha256:<hex>` of it */
  int status;                /**< answer this instead of the blob */
  int get_status;            /**< the same for GET alone */
  const char *challenge;     /**< `WWW-Authenticate`, with any status but 200 */
  const char *basic;         /**< wants this Authorization; answers 401 without it */
  const char *redirect;      /**< a base URL: 307 to the same path there */
  const char *redirect_get;  /**< as redirect, for GET when it is authorised */
  const char *redirect_once; /**< the same, but the next request is served */
  const char *say_digest;    /**< `Docker-Content-Digest`; NULL: the right one; "": none */
  int64_t say_more;          /**< added to the length that is announced */
  uint64_t wrong_at;         /**< a byte that is flipped, counted from 1; 0: none */
  uint64_t cut_at;           /**< bytes of a body after which it is cut; 0: never */
  bool ignore_range;
  const char *say_range; /**< `Content-Range` of a 206; NULL: the right one */
  bool has_all;          /**< names whatever digest it is asked for */
  const char *hides;     /**< but answers 404 for this one */
  bool silent;           /**< answers only by world_answer_held() */
  struct world_document documents[WORLD_DOCUMENTS_MAX]; /**< by their digests and tags */
  size_t document_count;
  bool lies_of_documents; /**< sends a byte less of a manifest, whatever it says it is */

  struct http_exchange *held[WORLD_REQUESTS_MAX]; /**< those that were not answered yet */
  size_t held_count;
  struct world_request requests[WORLD_REQUESTS_MAX];
  size_t request_count;
  uint64_t sent;  /**< bytes of bodies that the server has taken */
  bool abandoned; /**< a request's other end went away */
  unsigned answered;
};

struct world {
  uv_loop_t loop;
  char dir[64];
  struct db *db;
  struct audit *audit;
  struct key key;
  /** Its state has a row for swarm and webseed tokens, and two for tokens of registries. */
  struct keyring *keyring;
  struct revocations *revocations;
  struct revocation_watch *watch;
  struct image_credentials credentials;
  struct gateway_registry registries[2];
  struct log log;
  struct gateway_options options;
  struct http_client *client;
  struct gateway *gateway;
  struct http_route routes[GATEWAY_ROUTES];
  struct http_server_options server;
  struct upstream registry;
  struct upstream storage;
  uv_sem_t writes; /**< of world_block_writes() */
};

/** What the gateway answered. */
struct reply {
  int status;
  struct slice head; /**< status line and fields */
  struct slice body; /**< what has come of it */
  bool whole;        /**< all that was announced has come */
};

/** The byte at \p offset of a large blob. */
unsigned char world_byte(uint64_t offset);

/** cmocka set-up and tear-down: *state is the world, with a small blob in the registry. */
int world_setup(void **state);
int world_teardown(void **state);

/** Puts a blob into the registry. A NULL pointer: \p size bytes of world_byte(). */
void world_put_blob(struct world *w, struct slice blob, uint64_t size);

/** Puts a document into the registry. \return it. */
struct world_document *world_add(struct world *w, const char *media_type, const char *tag,
                                 struct slice bytes);

/** Has the gateway hand out manifests. */
void world_start_manifests(struct world *w);

/** Has the gateway make torrents that are missing; who asks waits so long, 0: a minute, for what
 *  comes to its end. */
void world_start_hashing(struct world *w, unsigned wait_ms);

/** Answers the first of the requests that a silent registry holds, as it would have. */
void world_answer_held(struct upstream *u);

/** Cuts a registry's connections and stops it. */
void world_stop(struct upstream *u);

/** Makes the torrent of the registry's blob and registers it; \p repository may be NULL. */
void world_register(struct world *w, enum torrent_format format, const char *repository);

/** Spells the digest of a blob that has a number only. */
void world_digest(unsigned number, char out[72]);

/** Registers a torrent of such a blob, with an info dictionary that is none. \p repository may be
 *  NULL. */
void world_register_number(struct world *w, unsigned number, const char *repository);

/** What the audit log holds, a line an event; freed by buf_free(). */
struct buf world_audit(struct world *w);

/** Whether the torrent of the blob is registered to that repository. */
bool world_registered(struct world *w, const char *repository);
bool world_registered_digest(struct world *w, const char *digest, const char *repository);

/** Signs a webseed token for the registry's blob; \p out has room for TOKEN_MAX + 1 bytes. */
void world_webseed_token(struct world *w, char *out);
/** A registry token that may pull the repository, to be changed: of world_sign(), by w->key. */
struct token world_registry_token(void);
/** Makes the key that signs, \p w->key, and a state in which nobody else is trusted. */
struct keyring_state *world_make_keys(struct world *w);
/** Makes a private key. */
void world_make_key(struct world *w, enum key_algorithm algorithm, struct key *out);
/** Signs any token. */
void world_sign(const struct key *key, const struct token *t, char *out);
/** A right webseed token for the registry's blob, to be changed. */
struct token world_token(const struct world *w);

/** No write to the database ends until world_unblock_writes(). */
void world_block_writes(struct world *w);
void world_unblock_writes(struct world *w);

/** Sends a request to the gateway on a connection of its own. */
struct http_memory *world_send(struct world *w, const char *request);

/** Sends a request with a right webseed token for \p file, which begins with a `/`; \p fields are
 *  whole lines. */
struct http_memory *world_read_file(struct world *w, const char *method, const char *file,
                                    const char *fields);
/** The same for the registry's blob by its torrent's name. */
struct http_memory *world_read_blob(struct world *w, const char *method, const char *fields);

/** Runs the loop until the answer is whole or the connection was closed. */
struct reply world_wait(struct world *w, struct http_memory *m);

/** Runs the loop until a registry has been asked so often. */
void world_await_requests(struct world *w, const struct upstream *u, size_t count);

/** Runs the loop for what happens on loopback without anybody waiting for it. */
void world_idle(struct world *w);

/** What has come so far. */
struct reply world_reply(struct http_memory *m);

/** A field's value; a NULL pointer when there is none. */
struct slice reply_field(const struct reply *r, const char *name);

void assert_slice(struct slice s, const char *text);
/** The registry's JSON shape with that code. */
void assert_problem(const struct reply *r, int status, const char *code);
