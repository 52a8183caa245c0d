/**
 * The configuration of swarmgated (contract, Configuration): one YAML document, read by libyaml's
 * document API against a table of keys. Every refusal names file:line and the key's path. Defaults
 * are filled in, paths are made relative to the file.
 */
#pragma once

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A value with its place, for errors that show only when it is used. */
struct config_text {
  char *text;    /**< owned by the configuration; NULL when the key is left out */
  unsigned line; /**< from 1; 0 for a default */
};

struct config_texts {
  struct config_text *items;
  size_t count;
};

/** A mapping of names that are not keys, in the order of the file. */
struct config_pairs {
  struct config_pair {
    struct config_text name, value;
  } * items;
  size_t count;
};

enum {
  CONFIG_SIZE_MAX = 1024 * 1024, /**< bytes of the file */
  CONFIG_TEXT_MAX = 4096,        /**< bytes of a value */
  CONFIG_LIST_MAX = 64,          /**< values of a list of texts, or names of a mapping */
  CONFIG_ROWS_MAX = 1024,        /**< rows of `registries` or `auth.trust` */
};

enum config_format { CONFIG_V1 = 1, CONFIG_V2 = 2, CONFIG_HYBRID = 3 };

/** What a listener shows of itself: paths; NULL, and line 0, when it is plain. */
struct config_tls {
  unsigned line;
  struct config_text certificate, key;
};

/** Durations are seconds unless the name says otherwise, sizes are bytes. */
struct config_tracker {
  bool present;
  /** `host:port`, `[::1]:port`, literal addresses, `unix:/path`, `fd:NAME`; at least one */
  struct config_texts listen;
  /** default: `http://<first listen>/announce`, `https` with tls; needed where that is no address
   */
  struct config_text url;
  uint32_t interval, min_interval;
  uint32_t numwant_default, numwant_max;
  uint32_t session_max;
  struct config_text session_key; /**< path; default `session.key` in data_dir */
  uint64_t max_peers;
  struct config_texts trusted_proxies; /**< of address_range_parse() */
  struct config_tls tls;
  /** A gateway's `/v1/revocations`: the tracker stands alone. There is then no gateway here and no
   *  key that signs, and a row of the trust accepts swarm tokens. */
  struct config_text revocations;
};

/** Without a `cache:` section the path is NULL. */
struct config_cache {
  unsigned line;
  struct config_text path;
  uint64_t max_size; /**< bytes that it may take */
  uint64_t min_free; /**< bytes of its file system that it leaves free */
};

/** Rates are bytes a second, 0 when there is no bound; else at least 16 KiB. */
struct config_webseed {
  uint64_t max_rate, max_rate_per_token;
  uint32_t max_readers;
};

/** The CA by which peers know each other; without a `swarm_tls:` section the paths are NULL. */
struct config_swarm_tls {
  unsigned line;
  struct config_text ca_certificate, ca_key;
  uint32_t ttl; /**< of a peer's certificate */
};

struct config_gateway {
  bool present;
  unsigned line;
  struct config_texts listen; /**< as the tracker's */
  struct config_text url; /**< without a final slash; default: as the tracker's, without a path */
  struct config_cache cache;
  struct config_webseed webseed;
  enum config_format format;
  struct config_swarm_tls swarm_tls;
  struct config_texts trusted_proxies;
  struct config_tls tls;
};

struct config_trust {
  unsigned line;
  struct config_text issuer, audience;
  struct config_text keys; /**< a path, or the URL of a JWKS: value_is_url() */
  /** A name of `registries`, where there are any; NULL when left out, which a row that accepts
   *  registry tokens may do only when there is just one registry. */
  struct config_text registry;
  struct config_texts algorithms; /**< ES256, RS256, EdDSA; at least one */
  struct config_texts accept;     /**< swarm, registry, webseed; at least one */
};

struct config_auth {
  struct config_text issuer, audience; /**< `swarmgate`, `swarmgate-tracker` unless said */
  struct config_texts signing_keys;    /**< paths */
  uint32_t ttl_swarm, ttl_webseed, ttl_session, leeway;
  struct config_trust *trust;
  size_t trust_count;
};

struct config_registry {
  struct config_text name; /**< unique, at most 235 bytes */
  struct config_text url;  /**< without a final slash */
  struct config_text ca_file;
  struct config_text certificate, key;        /**< for the registry to see; both or neither */
  struct config_text username, password_file; /**< credentials; both NULL when left out */
  struct config_text storage;                 /**< a path; NULL when left out */
  struct config_text notification_secret;     /**< a path; NULL when left out */
  /** `delegate`, or `token`, for which a trust row or the token service has the registry's tokens.
   */
  struct config_text authorise;
  unsigned line;
};

struct config_token_service {
  bool present;
  unsigned line;
  struct config_text issuer, service, signing_key;
  uint32_t ttl;
  struct config_texts anonymous_pull; /**< of repository_pattern_check() */
};

struct config_admin {
  bool present;
  struct config_texts listen; /**< as the tracker's */
};

struct config {
  char *file; /**< as it was given */
  struct config_text data_dir;
  struct config_tracker tracker;
  struct config_gateway gateway;
  struct config_auth auth;
  struct config_registry *registries;
  size_t registry_count;
  struct config_token_service token_service;
  struct config_admin admin;
  struct log log;
};

/**
 * Reads and checks the file; the files that it names are not looked at. A section that is left out
 * has its defaults all the same, and `present` false.
 *
 * \param out freed by config_free() when 0 is returned.
 * \return 0, or -1 with ERROR_USAGE, also for a file that cannot be read: `FILE:LINE: KEY.PATH:
 * what is wrong and what would do`.
 */
int config_load(const char *path, struct config *out, struct error *e);
/** The same of bytes at hand, for tests and fuzzing; \p name stands for the file's path. */
int config_parse(const char *name, const char *bytes, size_t len, struct config *out,
                 struct error *e);
void config_free(struct config *config);

/**
 * The registry that the token service is the realm of, by whose name its users are revoked and its
 * tokens are taken: that of the first trust row with its issuer and service which names one, else
 * the only one there is, else the one that is called as the service.
 *
 * \param config has a token service.
 */
const char *config_service_registry(const struct config *config);

/** Sets \p e to `FILE:LINE: ` and the message, ERROR_USAGE; the line is left out when it is 0.
 *  \return -1. */
int config_error(const struct config *config, unsigned line, struct error *e, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/** Puts the same in front of an error of what the configuration names there, such as a key that
 *  cannot be read; its kind becomes ERROR_USAGE. \return -1. */
int config_error_at(const struct config *config, unsigned line, struct error *e);
