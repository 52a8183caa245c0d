/**
 * Which images the agent knows: what a gateway has offered to whom, for a while. Questions of the
 * same image by the same caller are put once. On one loop.
 */
#pragma once

#include "base/log.h"
#include "http/client.h"
#include "image/certificates.h"
#include "node/certificate.h"
#include "node/offer.h"
#include "node/origin.h"
#include "node/route.h"

struct images;

struct images_options {
  uv_loop_t *loop;
  struct http_client *client;
  struct http_client_tls tls; /**< how gateways are trusted; strings outlive all */
  const char *authfile;       /**< of the node's own credentials: image_credentials_find(). It is
                                   read for each question, for it may change. Outlives all. */
  const char *platform;       /**< what to take of an index: `os/arch[/variant]`; outlives all */
  bool insecure; /**< credentials may go to a gateway on plain http that is not on loopback */
};

/** Who wants which image. */
struct images_key {
  const struct route_host *host; /**< outlives all */
  const char *repository;
  const char *reference; /**< a tag or a digest */
  /** The caller's Authorization; secret. NULL: the node asks as itself. */
  const char *authorization;
};

/** A key that somebody keeps; embedded by its owner. */
struct images_kept_key {
  struct images_key key; /**< its strings are its own */
  struct arena arena;
  char *authorization;
};

/** An answer that was had. Its holders share it. */
struct image {
  struct image *next;
  struct images_kept_key asked; /**< what it is the answer to */
  struct offer offer;
  unsigned holders;
  uint64_t got_ms;                 /**< clock_monotonic_ms() */
  struct certificate *certificate; /**< images_certify(); NULL: its swarms have no CA, or not yet */
  struct registry *gateway;        /**< of that */
  struct origin *origin;           /**< images_origin(); NULL: none, or not yet */
  struct image_certificates trust; /**< of that */
  uint64_t from_gateway, from_peers,
      from_registry; /**< bytes of its blobs, as their owner counts */
};

/** \return NULL without memory. */
struct images *images_new(const struct images_options *options);
/** Cancels all questions without telling; images that are held stay. NULL is fine. */
void images_free(struct images *images);

/** \return an image that was offered for that very key, or is of the digest that the key names, not
 * longer ago than \p age_ms; NULL: none. */
struct image *images_find(struct images *images, const struct images_key *key, uint64_t age_ms);

/**
 * Finds an image that has a blob, offered to the same caller in the same repository; the key's
 * reference is not looked at.
 *
 * \param blob set to the blob in the image's offer.
 * \return NULL when there is none.
 */
struct image *images_find_blob(struct images *images, const struct images_key *key,
                               const char *digest, uint64_t age_ms, const struct offer_blob **blob);

/** \return the blob of that digest; NULL: it has none. */
const struct offer_blob *image_blob(const struct image *image, const char *digest);

/** Makes the certificate by which peers know us in the image's swarms, for its caller, where they
 * are under a CA and there is none yet. \return 0, or -1 as access_gateway(). */
int images_certify(struct images *images, struct image *image, struct error *e);

/** The image's registry itself, asked with what its gateway was asked with: for who asked for it,
 * and nobody else. \return the image's; NULL: it cannot be asked. */
struct origin *images_origin(struct images *images, struct image *image);

void image_hold(struct image *image);
/** NULL is fine. */
void image_release(struct image *image);

/** Who waits for an answer. */
struct images_wait;

/**
 * Told once, and the wait is over: the image, which is the receiver's to hold, or NULL with \p e,
 * as ask_done() has it; also when a gateway takes longer than an answer may take: what it says in
 * the end is kept all the same.
 */
typedef void images_told(void *arg, struct image *image, const struct error *e);

/** Asks the gateway, or joins who does already. \return NULL with \p e, and nothing is told then.
 */
struct images_wait *images_ask(struct images *images, const struct images_key *key,
                               images_told *told, void *arg, struct error *e);
/** Nothing is told. */
void images_cancel(struct images_wait *wait);
