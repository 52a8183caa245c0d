#include "image/credentials.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "image/json.h"

#include <string.h>

/* What is looked for, and a helper met on the way. */
struct search {
  const char *host, *repository;
  struct image_credentials *out;
  char *helper; /* the message when nothing better is found */
};

void image_secret_free(char *secret) {
  if (secret != NULL) {
    explicit_bzero(secret, strlen(secret));
    free(secret);
  }
}

void image_credentials_free(struct image_credentials *c) {
  image_secret_free(c->username);
  image_secret_free(c->password);
  image_secret_free(c->identity_token);
  free(c->place);
  *c = (struct image_credentials){0};
}

static int no_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "no memory for credentials");
}

static bool copy_text(const char *from, char **to) {
  *to = from == NULL ? NULL : strdup(from);
  return from == NULL || *to != NULL;
}

int image_credentials_copy(const struct image_credentials *from, struct image_credentials *to,
                           struct error *e) {
  *to = (struct image_credentials){0};
  if (!copy_text(from->username, &to->username) || !copy_text(from->password, &to->password) ||
      !copy_text(from->identity_token, &to->identity_token) ||
      !copy_text(from->place, &to->place)) {
    image_credentials_free(to);
    return no_memory(e);
  }
  return 0;
}

char *image_credentials_basic(const struct image_credentials *c) {
  static const char scheme[] = "Basic ";
  char *plain = NULL;
  if (asprintf(&plain, "%s:%s", c->username, c->password == NULL ? "" : c->password) < 0) {
    return NULL;
  }
  size_t len = strlen(plain);
  char *value = malloc(sizeof scheme + BASE64_SPACE(len));
  if (value != NULL) {
    memcpy(value, scheme, sizeof scheme);
    base64_encode(BASE64_STANDARD, plain, len, value + sizeof scheme - 1);
  }
  image_secret_free(plain);
  return value;
}

/** Splits `user:password`; in a file a user without a colon has an empty password. */
static int split(struct slice text, struct image_credentials *out, struct error *e) {
  struct slice user = slice_cut(&text, ':');
  out->username = strndup(user.len == 0 ? "" : user.ptr, user.len);
  out->password = strndup(text.len == 0 ? "" : text.ptr, text.len);
  if (out->username == NULL || out->password == NULL) {
    image_credentials_free(out);
    return no_memory(e);
  }
  return 0;
}

/* --- the entry of a file --- */

/** Docker Hub goes by several names (containers-auth.json(5)). */
static struct slice canonical(struct slice host) {
  return slice_equal(host, SLICE("index.docker.io")) ||
                 slice_equal(host, SLICE("registry-1.docker.io"))
             ? SLICE("docker.io")
             : host;
}

/** \return how well a key fits: 0 not at all, else more the more specific it is. */
static size_t fit(struct slice key, const struct search *s) {
  bool legacy = slice_starts(key, SLICE("https://")) || slice_starts(key, SLICE("http://"));
  if (legacy) {
    key = slice_from(key, slice_starts(key, SLICE("https://")) ? 8 : 7);
  }
  struct slice path = key;
  struct slice host = slice_cut(&path, '/');
  if (!slice_equal(canonical(host), canonical(slice_str(s->host)))) {
    return 0;
  }
  if (legacy || path.ptr == NULL) {
    return legacy ? 1 : 2;
  }
  struct slice repository = slice_str(s->repository);
  bool below = slice_starts(repository, path) &&
               (repository.len == path.len || repository.ptr[path.len] == '/');
  return path.len > 0 && below ? path.len + 2 : 0;
}

static int broken(const char *path, const char *what, struct error *e) {
  return error_set(e, ERROR_USAGE, "credentials in %s: %s", path, what);
}

/** The text of a member; NULL where it is absent or empty. */
static int member(const json_t *entry, const char *name, const char **text) {
  const json_t *value = json_object_get(entry, name);
  *text = json_string_value(value);
  if (*text != NULL && **text == '\0') {
    *text = NULL;
  }
  return value == NULL || json_is_string(value) ? 0 : -1;
}

static int read_auth(const char *path, const char *auth, struct image_credentials *out,
                     struct error *e) {
  struct slice text = slice_str(auth);
  size_t len = 0;
  char *plain = malloc(text.len / 4 * 3 + 2);
  if (plain == NULL) {
    return no_memory(e);
  }
  int result;
  if (!base64_decode(BASE64_STANDARD, text, plain, &len) || memchr(plain, '\0', len) != NULL ||
      memchr(plain, ':', len) == NULL) {
    result = broken(path, "an `auth` is not the base64 of user:password", e);
  } else {
    result = split(slice_of(plain, len), out, e);
  }
  explicit_bzero(plain, len);
  free(plain);
  return result;
}

static int read_entry(const char *path, const json_t *entry, struct image_credentials *out,
                      struct error *e) {
  const char *auth, *identity, *username, *password;
  if (!json_is_object(entry) || member(entry, "auth", &auth) != 0 ||
      member(entry, "identitytoken", &identity) != 0 || member(entry, "username", &username) != 0 ||
      member(entry, "password", &password) != 0) {
    return broken(path, "an entry of `auths` is not an object of strings", e);
  }
  if (identity != NULL) {
    out->identity_token = strdup(identity);
    return out->identity_token == NULL ? no_memory(e) : 0;
  }
  if (auth != NULL) {
    return read_auth(path, auth, out, e);
  }
  if (username != NULL && strchr(username, ':') != NULL) {
    return broken(path, "a `username` holds a colon, which Basic cannot carry (RFC 7617)", e);
  }
  if (username != NULL && password != NULL &&
      (!copy_text(username, &out->username) || !copy_text(password, &out->password))) {
    return no_memory(e);
  }
  return 0;
}

static bool found(const struct image_credentials *c) {
  return c->username != NULL || c->identity_token != NULL;
}

/** Remembers the helper that would know, when there is one for this host. */
static void note_helper(const char *path, const json_t *root, bool listed, struct search *s) {
  const char *helper = NULL;
  const char *host;
  json_t *value;
  json_object_foreach(json_object_get(root, "credHelpers"), host, value) {
    if (slice_equal(canonical(slice_str(host)), canonical(slice_str(s->host)))) {
      helper = json_string_value(value);
    }
  }
  if (helper == NULL && listed) {
    helper = json_string_value(json_object_get(root, "credsStore"));
  }
  if (helper != NULL && s->helper == NULL &&
      asprintf(&s->helper,
               "credentials in %s: those of %s are kept by docker-credential-%s, and helpers are "
               "not run: give them with --creds or --authfile",
               path, s->host, helper) < 0) {
    s->helper = NULL;
  }
}

static int search_root(const char *path, const json_t *root, struct search *s, struct error *e) {
  json_t *auths = json_object_get(root, "auths");
  if (!json_is_object(root) || (auths != NULL && !json_is_object(auths))) {
    return broken(path, "not a JSON object with an object `auths`", e);
  }
  const json_t *best = NULL;
  size_t best_fit = 0;
  const char *key;
  json_t *entry;
  json_object_foreach(auths, key, entry) {
    size_t fits = fit(slice_str(key), s);
    if (fits > best_fit) {
      best_fit = fits;
      best = entry;
    }
  }
  if (best != NULL && read_entry(path, best, s->out, e) != 0) {
    return -1;
  }
  if (!found(s->out)) {
    note_helper(path, root, best != NULL, s);
  }
  return 0;
}

static int search_file(const char *path, struct search *s, struct error *e) {
  struct buf text = {0};
  if (file_read(path, IMAGE_CREDENTIALS_FILE_MAX, &text, e) != 0) {
    buf_free(&text);
    return error_context(e, "credentials");
  }
  /* Its errors would quote the text, which holds secrets. */
  json_t *root = image_json_read(buf_view(&text), NULL);
  int result = root == NULL ? broken(path, "not JSON", e) : search_root(path, root, s, e);
  if (result == 0 && found(s->out) && !copy_text(path, &s->out->place)) {
    result = no_memory(e);
  }
  json_decref(root);
  if (text.len > 0) {
    explicit_bzero(text.ptr, text.len);
  }
  buf_free(&text);
  return result;
}

/* --- the files --- */

static int search_named(const char *path, struct search *s, struct error *e) {
  struct error why = {0};
  if (search_file(path, s, &why) != 0) {
    return error_set(e, why.kind == ERROR_NOT_FOUND ? ERROR_USAGE : why.kind, "%s", why.text);
  }
  return 0;
}

/* A file that need not be there. */
static int search_optional(const char *path, struct search *s, struct error *e) {
  struct error why = {0};
  if (search_file(path, s, &why) != 0 && why.kind != ERROR_NOT_FOUND) {
    return error_set(e, why.kind, "%s", why.text);
  }
  return 0;
}

/** `$variable/name`, or `$HOME/fallback/name` without that variable. */
static int search_default(const char *variable, const char *fallback, const char *name,
                          struct search *s, struct error *e) {
  const char *folder = getenv(variable);
  const char *home = getenv("HOME");
  CLEANUP_FREE char *path = NULL;
  int written = 0;
  if (folder != NULL && *folder != '\0') {
    written = asprintf(&path, "%s/%s", folder, name);
  } else if (fallback != NULL && home != NULL && *home != '\0') {
    written = asprintf(&path, "%s/%s/%s", home, fallback, name);
  } else {
    return 0;
  }
  if (written < 0) {
    path = NULL;
    return no_memory(e);
  }
  return search_optional(path, s, e);
}

/* Where `podman login` writes without $XDG_RUNTIME_DIR, as under sudo. */
static int search_own(struct search *s, struct error *e) {
  char path[64];
  const char *folder = getenv("XDG_RUNTIME_DIR");
  if (folder != NULL && *folder != '\0') {
    return 0;
  }
  snprintf(path, sizeof path, "/run/containers/%u/auth.json", (unsigned)getuid());
  return search_optional(path, s, e);
}

/** The file that is the only one; NULL: there is none. */
static const char *named(const char *authfile) {
  if (authfile == NULL) {
    authfile = getenv("REGISTRY_AUTH_FILE");
  }
  return authfile == NULL || *authfile == '\0' ? NULL : authfile;
}

static int search_files(const char *authfile, struct search *s, struct error *e) {
  static const struct {
    const char *variable, *fallback, *name;
  } places[] = {{"XDG_RUNTIME_DIR", NULL, "containers/auth.json"},
                {"XDG_CONFIG_HOME", ".config", "containers/auth.json"},
                {"DOCKER_CONFIG", ".docker", "config.json"}};
  authfile = named(authfile);
  if (authfile != NULL) {
    return search_named(authfile, s, e);
  }
  if (search_own(s, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < sizeof places / sizeof places[0] && !found(s->out); i++) {
    if (search_default(places[i].variable, places[i].fallback, places[i].name, s, e) != 0) {
      return -1;
    }
  }
  return 0;
}

int image_credentials_find(const char *creds, const char *authfile, const char *host,
                           const char *repository, struct image_credentials *out, struct error *e) {
  *out = (struct image_credentials){0};
  if (creds != NULL) {
    if (creds[0] == ':' || strchr(creds, ':') == NULL) {
      /* What is given may be a password. */
      return error_set(e, ERROR_USAGE, "--creds: USER:PASSWORD is wanted");
    }
    if (split(slice_str(creds), out, e) != 0) {
      return -1;
    }
    return copy_text("--creds", &out->place) ? 0 : no_memory(e);
  }
  struct search s = {.host = host, .repository = repository, .out = out};
  int result = search_files(authfile, &s, e);
  if (result == 0 && !found(out) && s.helper != NULL) {
    result = error_set(e, ERROR_USAGE, "%s", s.helper);
  }
  free(s.helper);
  return result;
}

/* --- what to do without --- */

char *image_credentials_advice(const struct image_credentials *c, const char *authfile,
                               const char *host, const char *given_by) {
  const char *only = named(authfile);
  char *text;
  int written;
  if (c->place != NULL) {
    bool of_file = only != NULL && strcmp(c->place, only) == 0;
    written = asprintf(&text,
                       "the login in %s is not taken: log in anew by `podman login %s%s%s%s`, or "
                       "give another by %s",
                       c->place, of_file ? "--authfile " : "", of_file ? only : "",
                       of_file ? " " : "", host, given_by);
  } else if (only != NULL) {
    written = asprintf(&text,
                       "there is no login for %s in %s: `podman login --authfile %s %s` makes one, "
                       "or give another by %s",
                       host, only, only, host, given_by);
  } else {
    written =
        asprintf(&text,
                 "there is no login for %s in podman's auth.json nor in docker's config.json: "
                 "`podman login %s` makes one, or give one by %s",
                 host, host, given_by);
  }
  return written < 0 ? NULL : text;
}
