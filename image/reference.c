#include "image/reference.h"

#include "base/repository.h"

#include <arpa/inet.h>

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_alnum(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_any(char c, const char *set) {
  return c != '\0' && strchr(set, c) != NULL;
}

/* The length of the separator that `s` begins with, between names (`/`) or in one: `-`, `.`, `_`,
 * `:`, `@`, `+` or `--`; or 0. */
static size_t ref_name_separator(struct slice s) {
  if (slice_starts(s, SLICE("--"))) {
    return 2;
  }
  return is_any(s.ptr[0], "/-._:@+");
}

/* Letters and digits with separators between them (OCI image specification, annotations,
 * ref.name). */
static bool ref_name_valid(struct slice s) {
  for (;;) {
    size_t run = 0;
    while (run < s.len && is_alnum(s.ptr[run])) {
      run++;
    }
    if (run == 0 || run == s.len) {
      return run > 0;
    }
    s = slice_from(s, run);
    size_t separator = ref_name_separator(s);
    if (separator == 0) {
      return false;
    }
    s = slice_from(s, separator);
  }
}

bool image_name_valid(struct slice name) {
  return repository_name_valid(name);
}

bool image_tag_valid(struct slice tag) {
  if (tag.len == 0 || tag.len > IMAGE_TAG_MAX || tag.ptr[0] == '.' || tag.ptr[0] == '-') {
    return false;
  }
  for (size_t i = 0; i < tag.len; i++) {
    if (!is_alnum(tag.ptr[i]) && !is_any(tag.ptr[i], "._-")) {
      return false;
    }
  }
  return true;
}

bool image_digest_valid(struct slice digest) {
  struct slice hex = slice_from(digest, sizeof "sha256:" - 1);
  if (!slice_starts(digest, SLICE("sha256:")) || hex.len != 64) {
    return false;
  }
  for (size_t i = 0; i < hex.len; i++) {
    if (!is_digit(hex.ptr[i]) && (hex.ptr[i] < 'a' || hex.ptr[i] > 'f')) {
      return false;
    }
  }
  return true;
}

static bool port_valid(struct slice port) {
  uint64_t number = 0;
  return port.len <= 5 && slice_u64(port, &number) && number > 0 && number <= UINT16_MAX;
}

static bool v6_valid(struct slice address) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr parsed;
  if (address.len >= sizeof text) {
    return false;
  }
  memcpy(text, address.ptr, address.len);
  text[address.len] = '\0';
  return inet_pton(AF_INET6, text, &parsed) == 1;
}

static bool domain_valid(struct slice domain) {
  if (domain.len > IMAGE_NAME_MAX) {
    return false;
  }
  while (domain.ptr != NULL) {
    struct slice label = slice_cut(&domain, '.');
    if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
      return false;
    }
    for (size_t i = 0; i < label.len; i++) {
      if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-') {
        return false;
      }
    }
  }
  return true;
}

static bool host_valid(struct slice host) {
  struct slice rest = host;
  if (slice_starts(host, SLICE("["))) {
    rest = slice_from(host, 1);
    struct slice address = slice_cut(&rest, ']');
    if (rest.ptr == NULL || !v6_valid(address)) {
      return false;
    }
    return rest.len == 0 || (rest.ptr[0] == ':' && port_valid(slice_from(rest, 1)));
  }
  struct slice domain = slice_cut(&rest, ':');
  return domain_valid(domain) && (rest.ptr == NULL || port_valid(rest));
}

/* What of a text may be shown: it may be a URL with a password, of which all is left out that is
 * before the last `@` but a digest's. */
static struct slice without_password(struct slice text) {
  for (size_t at = text.len; at > 0; at--) {
    struct slice rest = slice_from(text, at);
    if (text.ptr[at - 1] == '@' && !slice_starts(rest, SLICE("sha256:"))) {
      return rest;
    }
  }
  return text;
}

static int refuse(struct error *e, struct slice text, const char *why) {
  struct slice shown = without_password(text);
  return error_set(e, ERROR_USAGE, "invalid image reference %s%.*s: %s",
                   shown.len < text.len ? "***@" : "", shown.len > 256 ? 256 : (int)shown.len,
                   shown.ptr, why);
}

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot read an image reference: out of memory");
}

static const char *const USAGE_DIGEST = "a digest is sha256: and 64 lowercase hex digits";
static const char *const USAGE_TAG = "a tag is 1 to 128 of A-Z a-z 0-9 _ . -, not . or - first";
static const char *const USAGE_NAME =
    "a repository is at most 255 of a-z 0-9 with single . or _, __ or dashes in between, and /";
static const char *const USAGE_HOST =
    "a registry is a DNS name, an IPv4 or a bracketed IPv6 address, and :port where it needs one";

/* As docker tells a host from the first part of a name (containers-transports(5), docker://). */
static bool looks_like_host(struct slice first) {
  return memchr(first.ptr, '.', first.len) != NULL || memchr(first.ptr, ':', first.len) != NULL ||
         slice_equal(first, SLICE("localhost"));
}

/* Where the tag's colon is: the last one, unless it belongs to a host's port. */
static const char *tag_colon(struct slice s) {
  const char *colon = memrchr(s.ptr, ':', s.len);
  return colon == NULL || memchr(colon, '/', s.len - (size_t)(colon - s.ptr)) != NULL ? NULL
                                                                                      : colon;
}

int image_reference_parse_docker(struct slice text, struct arena *arena,
                                 struct image_reference *out, struct error *e) {
  struct slice digest = text;
  struct slice name = text.len == 0 ? text : slice_cut(&digest, '@');
  if (text.len == 0 || text.len > IMAGE_REFERENCE_MAX) {
    return refuse(e, text, text.len == 0 ? "the name is missing" : "it is longer than 4096 bytes");
  }
  bool has_digest = name.len < text.len;
  if (has_digest && !image_digest_valid(digest)) {
    /* The text may be `user:password@host/name`, and is kept out of the message. */
    return error_set(e, ERROR_USAGE,
                     "invalid image reference: what follows @ is no digest (%s); credentials are "
                     "given by --creds or --authfile",
                     USAGE_DIGEST);
  }
  struct slice tag = {NULL, 0};
  const char *colon = name.len == 0 ? NULL : tag_colon(name);
  if (colon != NULL) {
    tag = slice_from(name, (size_t)(colon - name.ptr) + 1);
    name.len = (size_t)(colon - name.ptr);
    if (!image_tag_valid(tag)) {
      return refuse(e, text, USAGE_TAG);
    }
  } else if (!has_digest) {
    tag = SLICE("latest");
  }
  struct slice repository = name;
  struct slice host = name.len == 0 ? name : slice_cut(&repository, '/');
  if (repository.ptr == NULL || name.len == 0 || !looks_like_host(host)) {
    host = SLICE("docker.io");
    repository = name;
  }
  if (!host_valid(host)) {
    return refuse(e, text, USAGE_HOST);
  }
  if (slice_equal(host, SLICE("index.docker.io"))) {
    host = SLICE("docker.io");
  }
  bool official = slice_equal(host, SLICE("docker.io")) && repository.len > 0 &&
                  memchr(repository.ptr, '/', repository.len) == NULL;
  struct slice full =
      arena_printf(arena, "%s%.*s", official ? "library/" : "", SLICE_ARG(repository));
  out->host = arena_copy(arena, host);
  out->repository = full.ptr;
  out->tag = tag.ptr == NULL ? NULL : arena_copy(arena, tag);
  out->digest = has_digest ? arena_copy(arena, digest) : NULL;
  if (out->host == NULL || full.ptr == NULL || (tag.ptr != NULL && out->tag == NULL) ||
      (has_digest && out->digest == NULL)) {
    return out_of_memory(e);
  }
  return image_name_valid(full) ? 0 : refuse(e, text, USAGE_NAME);
}

/* `FILE[:name]`, cut at the first colon as containers/image does. */
static int parse_path(struct slice text, struct slice *name, struct arena *arena,
                      struct image_reference *out, struct error *e) {
  struct slice rest = text;
  struct slice path = text.len == 0 ? text : slice_cut(&rest, ':');
  if (path.len == 0) {
    return refuse(e, text, "the path is missing");
  }
  *name = path.len < text.len ? rest : slice_of(NULL, 0);
  out->path = arena_copy(arena, path);
  return out->path == NULL ? out_of_memory(e) : 0;
}

static int parse_oci(struct slice text, struct arena *arena, struct image_reference *out,
                     struct error *e) {
  struct slice name = {NULL, 0};
  if (parse_path(text, &name, arena, out, e) != 0) {
    return -1;
  }
  if (name.len == 0) { /* as skopeo takes `oci:DIR:` */
    return 0;
  }
  if (!ref_name_valid(name)) {
    return refuse(e, text, "what follows the path's colon is no name of an image in it");
  }
  out->tag = arena_copy(arena, name);
  return out->tag == NULL ? out_of_memory(e) : 0;
}

/* A path alone, colons and all. */
static int parse_whole(struct slice text, struct arena *arena, struct image_reference *out,
                       struct error *e) {
  if (text.len == 0) {
    return refuse(e, text, "the path is missing");
  }
  out->path = arena_copy(arena, text);
  return out->path == NULL ? out_of_memory(e) : 0;
}

static int parse_archive(struct slice text, struct arena *arena, struct image_reference *out,
                         struct error *e) {
  struct slice name = {NULL, 0};
  if (parse_path(text, &name, arena, out, e) != 0) {
    return -1;
  }
  if (name.ptr == NULL) {
    return 0;
  }
  if (slice_starts(name, SLICE("@"))) {
    return refuse(e, text, "images of an archive are named, not counted; write FILE:name:tag");
  }
  if (image_reference_parse_docker(name, arena, out, e) != 0) {
    return -1;
  }
  return out->digest == NULL ? 0 : refuse(e, text, "images of an archive have no digest");
}

static int parse_docker(struct slice text, struct arena *arena, struct image_reference *out,
                        struct error *e) {
  return slice_starts(text, SLICE("//"))
             ? image_reference_parse_docker(slice_from(text, 2), arena, out, e)
             : refuse(e, text, "the transport docker: is written docker://");
}

static const struct {
  const char *name;
  enum image_transport transport;
  int (*parse)(struct slice text, struct arena *arena, struct image_reference *out,
               struct error *e);
} TRANSPORTS[] = {
    {"docker", IMAGE_DOCKER, parse_docker},
    {"oci", IMAGE_OCI, parse_oci},
    {"oci-archive", IMAGE_OCI_ARCHIVE, parse_oci},
    {"docker-archive", IMAGE_DOCKER_ARCHIVE, parse_archive},
    {"dir", IMAGE_DIR, parse_whole},
    {"blob", IMAGE_BLOB, parse_whole},
};

int image_reference_parse(const char *text, struct arena *arena, struct image_reference *out,
                          struct error *e) {
  struct slice all = slice_str(text);
  *out = (struct image_reference){0};
  if (all.len > IMAGE_REFERENCE_MAX) {
    return refuse(e, all, "it is longer than 4096 bytes");
  }
  struct slice rest = all;
  struct slice transport = all.len == 0 ? all : slice_cut(&rest, ':');
  for (size_t i = 0; i < sizeof TRANSPORTS / sizeof TRANSPORTS[0] && transport.len < all.len; i++) {
    if (slice_equal(transport, slice_str(TRANSPORTS[i].name))) {
      out->transport = TRANSPORTS[i].transport;
      return TRANSPORTS[i].parse(rest, arena, out, e);
    }
  }
  return refuse(e, all,
                transport.len == all.len
                    ? "the transport is missing; write docker://NAME, oci:DIR, oci-archive:FILE, "
                      "docker-archive:FILE, dir:DIR or blob:FILE"
                    : "the transport is not known here; there are docker://, oci:, oci-archive:, "
                      "docker-archive:, dir: and blob:");
}

const char *image_reference_print(const struct image_reference *r, struct arena *arena) {
  const char *colon = r->tag == NULL ? "" : ":";
  const char *tag = r->tag == NULL ? "" : r->tag;
  switch (r->transport) {
  case IMAGE_DOCKER:
    return arena_printf(arena, "docker://%s/%s%s%s%s%s", r->host, r->repository, colon, tag,
                        r->digest == NULL ? "" : "@", r->digest == NULL ? "" : r->digest)
        .ptr;
  case IMAGE_OCI:
    return arena_printf(arena, "oci:%s%s%s", r->path, colon, tag).ptr;
  case IMAGE_OCI_ARCHIVE:
    return arena_printf(arena, "oci-archive:%s%s%s", r->path, colon, tag).ptr;
  case IMAGE_DOCKER_ARCHIVE:
    return r->host == NULL ? arena_printf(arena, "docker-archive:%s", r->path).ptr
                           : arena_printf(arena, "docker-archive:%s:%s/%s%s%s", r->path, r->host,
                                          r->repository, colon, tag)
                                 .ptr;
  case IMAGE_DIR:
    return arena_printf(arena, "dir:%s", r->path).ptr;
  case IMAGE_BLOB:
    return arena_printf(arena, "blob:%s", r->path).ptr;
  }
  return NULL;
}

bool image_host_is_loopback(const char *host) {
  char name[INET6_ADDRSTRLEN];
  struct in_addr v4;
  struct in6_addr address;
  bool v6 = host[0] == '[';
  size_t len = strcspn(v6 ? host + 1 : host, v6 ? "]" : ":/");
  if (len >= sizeof name) {
    return false;
  }
  memcpy(name, v6 ? host + 1 : host, len);
  name[len] = '\0';
  if (v6) {
    return inet_pton(AF_INET6, name, &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
  }
  return strcmp(name, "localhost") == 0 ||
         (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}
