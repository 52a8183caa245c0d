#include "image/challenge.h"

static bool is_token(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void skip(struct slice *s, const char *set) {
  while (s->len > 0 && s->ptr[0] != '\0' && strchr(set, s->ptr[0]) != NULL) {
    *s = slice_from(*s, 1);
  }
}

static struct slice take_token(struct slice *s) {
  size_t n = 0;
  while (n < s->len && is_token(s->ptr[n])) {
    n++;
  }
  struct slice token = slice_of(s->ptr, n);
  *s = slice_from(*s, n);
  return token;
}

/** A quoted-string (RFC 9110, section 5.6.4); \p s begins with its first quote. */
static bool take_quoted(struct slice *s, struct arena *arena, struct slice *out) {
  size_t end = 1;
  while (end < s->len && s->ptr[end] != '"') {
    end += s->ptr[end] == '\\' ? 2 : 1;
  }
  char *text = end < s->len ? arena_alloc(arena, end) : NULL;
  if (text == NULL) {
    return false;
  }
  size_t used = 0;
  for (size_t i = 1; i < end; i++) {
    i += s->ptr[i] == '\\';
    text[used++] = s->ptr[i];
  }
  *s = slice_from(*s, end + 1);
  *out = slice_of(text, used);
  return true;
}

static bool take_value(struct slice *s, struct arena *arena, struct slice *out) {
  skip(s, " \t");
  if (s->len > 0 && s->ptr[0] == '"') {
    return take_quoted(s, arena, out);
  }
  struct slice token = take_token(s);
  const char *copy = arena_copy(arena, token);
  *out = slice_of(copy, token.len);
  return copy != NULL && token.len > 0;
}

static void keep(struct challenge *c, struct slice name, struct slice value) {
  const struct {
    struct slice name;
    struct slice *member;
  } known[] = {{SLICE("realm"), &c->realm},
               {SLICE("service"), &c->service},
               {SLICE("scope"), &c->scope},
               {SLICE("error"), &c->error}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (slice_equal_nocase(name, known[i].name) && known[i].member->ptr == NULL) {
      *known[i].member = value;
    }
  }
}

/**
 * One `name = value`. \return false, with \p s as it was, when a scheme or something else follows:
 * a scheme is a token too, but has no `=` behind it.
 */
static bool take_parameter(struct slice *s, struct slice *name) {
  struct slice ahead = *s;
  *name = take_token(&ahead);
  skip(&ahead, " \t");
  if (name->len == 0 || ahead.len == 0 || ahead.ptr[0] != '=') {
    return false;
  }
  *s = slice_from(ahead, 1);
  return true;
}

/** The token68 of other schemes (`Negotiate abc==`); there is none when a parameter follows. */
static void skip_token68(struct slice *s) {
  struct slice ahead = *s;
  while (ahead.len > 0 && (is_token(ahead.ptr[0]) || ahead.ptr[0] == '/')) {
    ahead = slice_from(ahead, 1);
  }
  skip(&ahead, "=");
  skip(&ahead, " \t");
  if (ahead.len == 0 || ahead.ptr[0] == ',') {
    *s = ahead;
  }
}

bool challenge_next(struct slice *rest, struct arena *arena, struct challenge *out) {
  *out = (struct challenge){0};
  skip(rest, " \t,");
  struct slice scheme = take_token(rest);
  if (scheme.len == 0) {
    return false;
  }
  if (slice_equal_nocase(scheme, SLICE("Basic"))) {
    out->scheme = CHALLENGE_BASIC;
  } else if (slice_equal_nocase(scheme, SLICE("Bearer"))) {
    out->scheme = CHALLENGE_BEARER;
  }
  skip(rest, " \t");
  if (rest->len > 0 && rest->ptr[0] != ',') {
    skip_token68(rest);
  }
  struct slice name;
  skip(rest, " \t,");
  while (take_parameter(rest, &name)) {
    struct slice value;
    if (!take_value(rest, arena, &value)) {
      return false;
    }
    keep(out, name, value);
    skip(rest, " \t");
    if (rest->len > 0 && rest->ptr[0] != ',') {
      return false;
    }
    skip(rest, " \t,");
  }
  return true;
}
