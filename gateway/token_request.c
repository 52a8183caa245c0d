#include "gateway/token_request.h"

#include "base/base64.h"
#include "http/query.h"

/* The parameters that are known, each at most once but `scope`. */
enum parameter {
  GRANT_TYPE,
  SERVICE,
  CLIENT_ID,
  USERNAME,
  PASSWORD,
  REFRESH_TOKEN,
  OFFLINE_TOKEN,
  ACCESS_TYPE,
  SCOPE,
  PARAMETERS
};
static const char *const names[PARAMETERS] = {"grant_type",    "service",     "client_id",
                                              "username",      "password",    "refresh_token",
                                              "offline_token", "access_type", "scope"};

struct parameters {
  struct slice values[PARAMETERS]; /* a NULL pointer: left out */
};

/* `+` is a space (WHATWG URL, application/x-www-form-urlencoded). A copy with a NUL behind it. */
static int decode(const char *name, struct slice value, struct arena *arena, struct slice *out,
                  struct error *e) {
  char *text = arena_alloc(arena, value.len + 1);
  size_t len = 0;
  if (text == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  for (size_t i = 0; i < value.len; i++) {
    text[i] = value.ptr[i] == '+' ? ' ' : value.ptr[i];
  }
  if (!query_decode(slice_of(text, value.len), text, value.len, &len)) {
    return error_set(e, ERROR_USAGE, "%s: wrongly escaped", name);
  }
  text[len] = '\0';
  *out = slice_of(text, len);
  return 0;
}

static enum parameter parameter_of(struct slice name) {
  enum parameter p = 0;
  while (p < PARAMETERS && !slice_equal(name, slice_str(names[p]))) {
    p++;
  }
  return p;
}

static int read_parameters(struct slice text, struct arena *arena, struct parameters *out,
                           struct scope_list *scopes, struct error *e) {
  struct slice rest = text;
  struct slice name = {0};
  struct slice value = {0};
  while (query_next(&rest, &name, &value)) {
    enum parameter p = parameter_of(name);
    if (p == PARAMETERS) {
      continue;
    }
    struct slice decoded = {0};
    if (decode(names[p], value, arena, &decoded, e) != 0) {
      return -1;
    }
    if (p == SCOPE) {
      if (scope_list_add(scopes, decoded, e) != 0) {
        return -1;
      }
    } else if (out->values[p].ptr != NULL) {
      return error_set(e, ERROR_USAGE, "%s: doubled", names[p]);
    } else {
      out->values[p] = decoded;
    }
  }
  return 0;
}

static int take_password(struct slice user, struct slice password, struct token_request *out,
                         struct error *e) {
  if (user.len > TOKEN_REQUEST_NAME_MAX || password.len > TOKEN_REQUEST_PASSWORD_MAX) {
    return error_set(e, ERROR_USAGE, "user name or password: too long");
  }
  out->proof = TOKEN_REQUEST_PASSWORD;
  out->user = user;
  out->password = password;
  return 0;
}

/* Basic (RFC 7617): base64 of `user:password`. Other schemes are none of ours. */
static int read_basic(struct slice authorization, struct arena *arena, struct token_request *out,
                      struct error *e) {
  struct slice rest = authorization;
  struct slice scheme = slice_cut(&rest, ' ');
  rest = slice_trim(rest);
  if (!slice_equal_nocase(scheme, SLICE("Basic"))) {
    return error_set(e, ERROR_USAGE, "Authorization: Basic is wanted here");
  }
  char *text = arena_alloc(arena, rest.len / 4 * 3 + 3);
  size_t len = 0;
  if (text == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (!base64_decode(BASE64_STANDARD, rest, text, &len)) {
    return error_set(e, ERROR_USAGE, "Authorization: not base64 of `user:password`");
  }
  text[len] = '\0';
  struct slice password = slice_of(text, len);
  struct slice user = slice_cut(&password, ':');
  if (password.ptr == NULL) {
    return error_set(e, ERROR_USAGE, "Authorization: not base64 of `user:password`");
  }
  return take_password(user, password, out, e);
}

/* RFC 6749, 4.3.2 and 6. */
static int read_grant(const struct parameters *p, struct token_request *out, struct error *e) {
  struct slice grant = p->values[GRANT_TYPE];
  struct slice refresh = p->values[REFRESH_TOKEN];
  if (slice_equal(grant, SLICE("password"))) {
    if (p->values[USERNAME].ptr == NULL || p->values[PASSWORD].ptr == NULL) {
      return error_set(e, ERROR_USAGE, "grant_type=password wants username and password");
    }
    return take_password(p->values[USERNAME], p->values[PASSWORD], out, e);
  }
  if (slice_equal(grant, SLICE("refresh_token"))) {
    if (refresh.len == 0 || refresh.len > TOKEN_REQUEST_REFRESH_MAX) {
      return error_set(e, ERROR_USAGE, "refresh_token: missing or too long");
    }
    out->proof = TOKEN_REQUEST_REFRESH;
    out->refresh = refresh;
    return 0;
  }
  return error_set(e, ERROR_USAGE, "grant_type: password or refresh_token is wanted");
}

static bool is_form(struct slice content_type) {
  struct slice rest = content_type;
  return slice_equal_nocase(slice_trim(slice_cut(&rest, ';')),
                            SLICE("application/x-www-form-urlencoded"));
}

int token_request_read(const struct token_request_input *in, struct arena *arena,
                       struct token_request *out, struct error *e) {
  struct parameters p = {0};
  *out = (struct token_request){.proof = TOKEN_REQUEST_NOBODY};
  if (in->post && !is_form(in->content_type)) {
    return error_set(e, ERROR_USAGE, "Content-Type: application/x-www-form-urlencoded is wanted");
  }
  if (read_parameters(in->post ? in->body : in->query, arena, &p, &out->scopes, e) != 0) {
    return -1;
  }
  out->service = p.values[SERVICE];
  out->client = p.values[CLIENT_ID];
  out->offline = slice_equal(p.values[OFFLINE_TOKEN], SLICE("true")) ||
                 slice_equal(p.values[ACCESS_TYPE], SLICE("offline"));
  if (out->client.len > TOKEN_REQUEST_NAME_MAX) {
    return error_set(e, ERROR_USAGE, "client_id: too long");
  }
  if (in->post) {
    return read_grant(&p, out, e);
  }
  return in->authorization.ptr == NULL ? 0 : read_basic(in->authorization, arena, out, e);
}

void token_request_wipe(struct token_request *r) {
  /* The arena's own memory, which \ref password only shows as constant. */
  if (r->password.len > 0) {
    /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
    explicit_bzero((void *)(uintptr_t)r->password.ptr, r->password.len);
  }
  r->password = slice_of("", 0);
}
