#include "config/settings.h"

#include "config/config.h"

#define MEMBER(type, member)                                                                       \
  .at = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define OF(member)  MEMBER(config, member)
#define KEYS(table) .keys = (table), .key_count = sizeof(table) / sizeof *(table)
#define ROWS(type, rows, count)                                                                    \
  .at = offsetof(struct type, rows), .count_at = offsetof(struct type, count),                     \
  .row_size = sizeof *((struct type *)0)->rows

enum { LEEWAY_MAX = 300, NUMWANT_MAX = 500, DAY = 24 * 3600, WEEK = 7 * DAY, YEAR = 366 * DAY };

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static const struct setting_word formats[] = {
    {"v1", CONFIG_V1}, {"v2", CONFIG_V2}, {"hybrid", CONFIG_HYBRID}, {0}};
static const struct setting_word algorithms[] = {{"ES256", 0}, {"RS256", 0}, {"EdDSA", 0}, {0}};
static const struct setting_word kinds[] = {{"swarm", 0}, {"registry", 0}, {"webseed", 0}, {0}};
const struct setting_word settings_levels[] = {{"error", LOG_LEVEL_ERROR},
                                               {"warn", LOG_LEVEL_WARN},
                                               {"info", LOG_LEVEL_INFO},
                                               {"debug", LOG_LEVEL_DEBUG},
                                               {0}};
const struct setting_word settings_log_formats[] = {{"text", false}, {"json", true}, {0}};

static const struct setting tracker_tls[] = {
    {NULL, SETTING_LINE, OF(tracker.tls.line)},
    {"certificate", SETTING_PATH, OF(tracker.tls.certificate), .required = true},
    {"key", SETTING_PATH, OF(tracker.tls.key), .required = true},
};

static const struct setting gateway_tls[] = {
    {NULL, SETTING_LINE, OF(gateway.tls.line)},
    {"certificate", SETTING_PATH, OF(gateway.tls.certificate), .required = true},
    {"key", SETTING_PATH, OF(gateway.tls.key), .required = true},
};

static const struct setting numwant[] = {
    {"max", SETTING_INTEGER, OF(tracker.numwant_max), .preset = "200", .min = 1,
     .max = NUMWANT_MAX},
    {"default", SETTING_INTEGER, OF(tracker.numwant_default), .preset = "50", .max = NUMWANT_MAX,
     .at_most = "max"},
};

static const struct setting tracker[] = {
    {NULL, SETTING_PRESENT, OF(tracker.present)},
    {"listen", SETTING_TEXTS, OF(tracker.listen), .preset = "127.0.0.1:6969",
     .check = value_listen},
    {"url", SETTING_TEXT, OF(tracker.url), .check = value_url},
    {"interval", SETTING_DURATION, OF(tracker.interval), .preset = "15m", .min = 1, .max = DAY},
    {"min_interval", SETTING_DURATION, OF(tracker.min_interval), .preset = "30s", .min = 1,
     .max = DAY, .at_most = "interval"},
    {"numwant", SETTING_MAP, KEYS(numwant)},
    {"session_max", SETTING_DURATION, OF(tracker.session_max), .preset = "24h", .min = 1,
     .max = YEAR},
    {"session_key", SETTING_PATH, OF(tracker.session_key)},
    {"max_peers", SETTING_INTEGER, OF(tracker.max_peers), .preset = "2000000", .min = 1,
     .max = 1000000000},
    {"store", SETTING_CHECKED, .check = value_store},
    {"zones", .kind = SETTING_EMPTY},
    {"trusted_proxies", SETTING_TEXTS, OF(tracker.trusted_proxies), .may_be_empty = true,
     .check = value_range},
    {"tls", SETTING_MAP, KEYS(tracker_tls)},
    {"revocations", SETTING_TEXT, OF(tracker.revocations), .check = value_url},
};

static const struct setting cache[] = {
    {NULL, SETTING_LINE, OF(gateway.cache.line)},
    {"path", SETTING_PATH, OF(gateway.cache.path), .required = true},
    {"max_size", SETTING_SIZE, OF(gateway.cache.max_size), .preset = "50GiB", .min = 64 * MIB,
     .max = INT64_MAX},
    {"min_free", SETTING_SIZE, OF(gateway.cache.min_free), .preset = "1GiB", .max = INT64_MAX},
};

static const struct setting webseed[] = {
    {"max_rate", SETTING_SIZE, OF(gateway.webseed.max_rate), .min = 16 * KIB, .max = INT64_MAX},
    {"max_rate_per_token", SETTING_SIZE, OF(gateway.webseed.max_rate_per_token), .min = 16 * KIB,
     .max = INT64_MAX},
    {"max_readers", SETTING_INTEGER, OF(gateway.webseed.max_readers), .preset = "8192", .min = 1,
     .max = 1000000},
};

static const struct setting torrents[] = {
    {"format", SETTING_WORD, OF(gateway.format), .preset = "v1", .words = formats},
};

static const struct setting swarm_tls[] = {
    {NULL, SETTING_LINE, OF(gateway.swarm_tls.line)},
    {"ca_certificate", SETTING_PATH, OF(gateway.swarm_tls.ca_certificate), .required = true},
    {"ca_key", SETTING_PATH, OF(gateway.swarm_tls.ca_key), .required = true},
    {"ttl", SETTING_DURATION, OF(gateway.swarm_tls.ttl), .preset = "15m", .min = 1, .max = DAY},
};

static const struct setting gateway[] = {
    {NULL, SETTING_PRESENT, OF(gateway.present)},
    {NULL, SETTING_LINE, OF(gateway.line)},
    {"listen", SETTING_TEXTS, OF(gateway.listen), .preset = "127.0.0.1:8080",
     .check = value_listen},
    {"url", SETTING_TEXT, OF(gateway.url), .check = value_url},
    {"cache", SETTING_MAP, KEYS(cache)},
    {"webseed", SETTING_MAP, KEYS(webseed)},
    {"torrents", SETTING_MAP, KEYS(torrents)},
    {"squash_on_push", .kind = SETTING_EMPTY},
    {"swarm_tls", SETTING_MAP, KEYS(swarm_tls)},
    {"trusted_proxies", SETTING_TEXTS, OF(gateway.trusted_proxies), .may_be_empty = true,
     .check = value_range},
    {"tls", SETTING_MAP, KEYS(gateway_tls)},
};

static const struct setting ttl[] = {
    {"session", SETTING_DURATION, OF(auth.ttl_session), .preset = "24h", .min = 1, .max = YEAR},
    {"swarm", SETTING_DURATION, OF(auth.ttl_swarm), .preset = "10m", .min = 1, .max = DAY,
     .at_most = "session"},
    {"webseed", SETTING_DURATION, OF(auth.ttl_webseed), .preset = "1h", .min = 1, .max = WEEK},
};

static const struct setting trust[] = {
    {NULL, SETTING_LINE, MEMBER(config_trust, line)},
    {"issuer", SETTING_TEXT, MEMBER(config_trust, issuer), .required = true},
    {"audience", SETTING_TEXT, MEMBER(config_trust, audience), .required = true},
    {"keys", SETTING_SOURCE, MEMBER(config_trust, keys), .required = true, .check = value_keys},
    {"algorithms", SETTING_TEXTS, MEMBER(config_trust, algorithms), .required = true,
     .words = algorithms},
    {"accept", SETTING_TEXTS, MEMBER(config_trust, accept), .required = true, .words = kinds},
    {"registry", SETTING_TEXT, MEMBER(config_trust, registry), .check = value_registry},
};

static const struct setting auth[] = {
    {"issuer", SETTING_TEXT, OF(auth.issuer), .preset = "swarmgate"},
    {"audience", SETTING_TEXT, OF(auth.audience), .preset = "swarmgate-tracker"},
    {"signing_keys", SETTING_PATHS, OF(auth.signing_keys)},
    {"ttl", SETTING_MAP, KEYS(ttl)},
    {"leeway", SETTING_DURATION, OF(auth.leeway), .preset = "60s", .max = LEEWAY_MAX},
    {"trust", SETTING_ROWS, ROWS(config, auth.trust, auth.trust_count), KEYS(trust)},
};

static const struct setting credentials[] = {
    {"username", SETTING_TEXT, MEMBER(config_registry, username), .required = true},
    {"password_file", SETTING_PATH, MEMBER(config_registry, password_file), .required = true},
};

static const struct setting registry[] = {
    {NULL, SETTING_LINE, MEMBER(config_registry, line)},
    {"name", SETTING_TEXT, MEMBER(config_registry, name), .required = true,
     .check = value_registry},
    {"url", SETTING_TEXT, MEMBER(config_registry, url), .required = true,
     .check = value_registry_url},
    {"ca_file", SETTING_PATH, MEMBER(config_registry, ca_file)},
    {"certificate", SETTING_PATH, MEMBER(config_registry, certificate)},
    {"key", SETTING_PATH, MEMBER(config_registry, key)},
    {"credentials", SETTING_MAP, KEYS(credentials)},
    {"authorise", SETTING_TEXT, MEMBER(config_registry, authorise), .preset = "delegate",
     .check = value_authorise},
    {"storage", SETTING_PATH, MEMBER(config_registry, storage)},
    {"notification_secret_file", SETTING_PATH, MEMBER(config_registry, notification_secret)},
};

static const struct setting token_service[] = {
    {NULL, SETTING_PRESENT, OF(token_service.present)},
    {NULL, SETTING_LINE, OF(token_service.line)},
    {"issuer", SETTING_TEXT, OF(token_service.issuer), .required = true},
    {"service", SETTING_TEXT, OF(token_service.service), .required = true},
    {"signing_key", SETTING_PATH, OF(token_service.signing_key), .required = true},
    {"ttl", SETTING_DURATION, OF(token_service.ttl), .preset = "5m", .min = 1, .max = DAY},
    {"anonymous_pull", SETTING_TEXTS, OF(token_service.anonymous_pull), .may_be_empty = true,
     .check = value_pattern},
};

static const struct setting admin[] = {
    {NULL, SETTING_PRESENT, OF(admin.present)},
    {"listen", SETTING_TEXTS, OF(admin.listen), .preset = "127.0.0.1:9090", .check = value_listen},
};

static const struct setting log_keys[] = {
    {"level", SETTING_WORD, OF(log.level), .preset = "info", .words = settings_levels},
    {"format", SETTING_WORD, OF(log.json), .preset = "json", .words = settings_log_formats},
};

const struct setting settings_top[] = {
    {"data_dir", SETTING_PATH, OF(data_dir), .preset = "/var/lib/swarmgate"},
    {"tracker", SETTING_MAP, KEYS(tracker)},
    {"gateway", SETTING_MAP, KEYS(gateway)},
    {"auth", SETTING_MAP, KEYS(auth)},
    {"registries", SETTING_ROWS, ROWS(config, registries, registry_count), KEYS(registry)},
    {"token_service", SETTING_MAP, KEYS(token_service)},
    {"admin", SETTING_MAP, KEYS(admin)},
    {"log", SETTING_MAP, KEYS(log_keys)},
};
const size_t settings_top_count = sizeof settings_top / sizeof *settings_top;
