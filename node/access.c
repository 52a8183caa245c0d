#include "node/access.h"

#include "base/base64.h"
#include "image/reference.h"
#include "image/registry.h"

#include <stdlib.h>

/* `user:password` of Basic credentials (RFC 7617); NULL of any others. Secret. */
static char *basic_of(const char *authorization) {
  struct slice text = slice_str(authorization);
  struct slice scheme = slice_cut(&text, ' ');
  size_t len = 0;
  char *out = malloc(text.len + 1);
  text = slice_trim(text);
  if (out == NULL || !slice_equal_nocase(scheme, SLICE("Basic")) ||
      !base64_decode(BASE64_STANDARD, text, out, &len) || memchr(out, '\0', len) != NULL) {
    free(out);
    return NULL;
  }
  out[len] = '\0';
  return out;
}

/* Our own credentials, or what a runtime gave; a registry's token service wants them apart.
 * \param whole set when what it gave is nothing that could be taken apart. */
static int find_credentials(const struct images_options *o, const struct images_key *key,
                            struct image_credentials *out, bool *whole, struct error *e) {
  char *creds = key->authorization == NULL ? NULL : basic_of(key->authorization);
  *out = (struct image_credentials){0};
  *whole = key->authorization != NULL && creds == NULL;
  int result =
      *whole ? 0
             : image_credentials_find(creds, o->authfile, key->host->name, key->repository, out, e);
  image_secret_free(creds);
  return result;
}

/* Who could listen on the way must not have anybody's password. */
static int check_way(const struct images_options *o, const struct route_host *host, bool known,
                     struct error *e) {
  if (!known || o->insecure || strncmp(host->gateway, "http://", 7) != 0 ||
      image_host_is_loopback(host->gateway + 7)) {
    return 0;
  }
  return error_set(e, ERROR_USAGE,
                   "the gateway %s is on plain http: credentials do not go there, unless "
                   "`insecure: true` says so",
                   host->gateway);
}

struct registry *access_gateway(const struct images_options *o, const struct images_key *key,
                                const char **authorization, struct error *e) {
  struct image_credentials credentials;
  struct registry *registry = NULL;
  bool whole;
  const struct registry_options options = {
      .url = key->host->gateway, .api = "v1", .tls = o->tls, .credentials = &credentials};
  if (find_credentials(o, key, &credentials, &whole, e) != 0) {
    return NULL;
  }
  bool known = whole || credentials.username != NULL || credentials.identity_token != NULL;
  if (check_way(o, key->host, known, e) == 0) {
    registry = registry_new(o->client, &options, e);
  }
  image_credentials_free(&credentials);
  *authorization = whole ? key->authorization : NULL;
  return registry;
}

char *access_advice(const struct images_options *o, const struct images_key *key) {
  struct image_credentials credentials;
  struct error e = {0};
  bool whole;
  char *advice = NULL;
  if (key->authorization == NULL && find_credentials(o, key, &credentials, &whole, &e) == 0) {
    advice = image_credentials_advice(&credentials, o->authfile, key->host->name, "`authfile`");
    image_credentials_free(&credentials);
  }
  return advice;
}

struct origin *access_origin(const struct images_options *o, const struct images_key *key,
                             struct arena *arena, struct image_certificates *certificates,
                             struct error *e) {
  struct image_credentials credentials;
  struct origin *origin = NULL;
  bool whole;
  if (image_certificates_find(NULL, key->host->name, arena, certificates, e) != 0 ||
      find_credentials(o, key, &credentials, &whole, e) != 0) {
    return NULL;
  }
  const struct origin_options options = {.client = o->client,
                                         .host = key->host->name,
                                         .repository = key->repository,
                                         .tls = {.ca_file = certificates->ca_file,
                                                 .cert_file = certificates->cert_file,
                                                 .key_file = certificates->key_file},
                                         .credentials = &credentials,
                                         .may_be_plain = image_host_is_loopback(key->host->name)};
  if (whole) {
    error_set(e, ERROR_USAGE, "what the runtime has sent is no user name and password");
  } else if (origin_new(&options, &origin, e) != 0) {
    origin = NULL;
  }
  image_credentials_free(&credentials);
  return origin;
}
