/** How a registry and its gateway are asked for an image: with the node's own credentials, or with
 *  those that a runtime has sent, and never over a way on which others could read them. */
#pragma once

#include "image/certificates.h"
#include "node/images.h"
#include "node/origin.h"

/**
 * A client of the gateway, for the API `v1`.
 *
 * \param authorization set to what is to be sent with each request as it is, the key's; NULL when
 * the client has the credentials.
 * \return NULL with ERROR_USAGE, such as for credentials that must not go there, or ERROR_FAILED.
 */
struct registry *access_gateway(const struct images_options *options, const struct images_key *key,
                                const char **authorization, struct error *e);

/**
 * What to do when the gateway does not take the node's own credentials, as
 * image_credentials_advice() has it.
 *
 * \return malloc'ed, freed by the caller; NULL: the runtime's were sent, or there is no memory.
 */
char *access_advice(const struct images_options *options, const struct images_key *key);

/**
 * The registry itself. Plain http will do on loopback alone.
 *
 * \param certificates by which it is trusted, as containers-certs.d(5) has it; closed by
 * image_certificates_close() after the origin is freed. Their paths are in \p arena.
 * \return NULL with \p e: also when a runtime has sent something else than a user name and a
 * password, which is for nobody but whom it was sent to.
 */
struct origin *access_origin(const struct images_options *options, const struct images_key *key,
                             struct arena *arena, struct image_certificates *certificates,
                             struct error *e);
