/**
 * By what peers know this node in the swarms of one offer, where these are under a CA: a
 * certificate for a key of its own, had of the gateway (`POST /v1/<name>/certificates`), and again
 * long before it ends. It is asked for while somebody uses it.
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
  const char *authorization; /**< sent as it is, in place of our own credentials; NULL: those */
  const struct offer *offer; /**< whose torrents it is for; not needed afterwards */
};

/** Who shows it to peers; embedded by its owner, who sets the last four. Told on the loop, never
 *  from within a call; any function of this file may be called within. */
struct certificate_user {
  struct certificate_user *next;
  struct certificate *certificate; /**< NULL: it uses none */
  bool waits;
  /** There is one, or another in its place; valid within. */
  void (*issued)(void *arg, const struct bittorrent_certificate *certificate);
  /** There is none yet, for the gateway gives no clear answer; it is asked again. */
  void (*delayed)(void *arg, const struct error *e);
  /**
   * There is none, and it is used no more. \p ended: there was one, but the gateway says no to
   * another: ERROR_DENIED. Else it says no to the first: ERROR_DENIED or ERROR_NOT_FOUND.
   */
  void (*refused)(void *arg, bool ended, const struct error *e);
  void *arg;
};

/** Whether the torrents of an offer are under a CA, so that peers want certificates. */
bool certificate_is_wanted(const struct offer *offer);

/** Makes a key; nothing is asked yet. \return NULL with ERROR_FAILED. */
struct certificate *certificate_new(const struct certificate_options *options, struct error *e);
/** Forgets the key; nobody uses it any more, and the loop has to be run once more. NULL is fine. */
void certificate_free(struct certificate *certificate);

/** \return the one there is, valid until the loop goes on; NULL: it is told when there is. */
const struct bittorrent_certificate *certificate_use(struct certificate *certificate,
                                                     struct certificate_user *user);
/** Nothing more is told. Of none is fine. */
void certificate_leave(struct certificate_user *user);
