/**
 * The certificate of a pull, by which its peers know it: had of the gateway (`POST
 * /v1/<name>/certificates`) for a key of its own, and again long before it ends.
 */
#pragma once

#include "image/registry.h"
#include "node/bittorrent.h"
#include "node/offer.h"

struct certificate;

struct certificate_options {
  uv_loop_t *loop;
  struct registry *gateway;  /**< made with the api "v1"; outlives this */
  const char *repository;    /**< these are copied */
  const char *host;          /**< the registry's name, where the gateway has several */
  const struct offer *offer; /**< whose torrents it is for; not needed afterwards */
};

struct certificate_events {
  /** There is one, or another in its place; it is valid until the next, or certificate_free(). */
  void (*issued)(void *arg, const struct bittorrent_certificate *certificate);
  /** There is none: of the first any failure; later only ERROR_DENIED and ERROR_NOT_FOUND, for a
   *  gateway that is away is asked again. */
  void (*refused)(void *arg, const struct error *e);
};

/** Whether the torrents of an offer are under a CA, so that peers want certificates. */
bool certificate_is_wanted(const struct offer *offer);

/** Makes a key and asks. \return NULL with \p e, and nothing is told then. */
struct certificate *certificate_start(const struct certificate_options *options,
                                      const struct certificate_events *events, void *arg,
                                      struct error *e);
/** Asks no more, and forgets the key; the loop has to be run once more. NULL is fine. */
void certificate_free(struct certificate *certificate);
