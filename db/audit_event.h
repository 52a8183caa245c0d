/** What a line of the audit log says. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

enum { AUDIT_LINE_MAX = 64 * 1024 }; /**< bytes of a line, its newline among them */

/**
 * An event; its members are those of the JSON object, in this order behind `time`, and what is
 * empty or 0 is left out. Text is UTF-8. Never a token and never a password, but `jti` names the
 * token.
 */
struct audit_event {
  struct slice event; /**< `token`, `revoke`, `unrevoke`, `key`, `user`, `grant` …; always there */
  struct slice action; /**< what was done, where `event` does not say it: `add`, `remove` … */
  /* of a token that is issued, or of those that a revocation is about */
  struct slice kind; /**< `swarm`, `registry`, `webseed` … */
  struct slice jti;
  struct slice sub;
  struct slice registry;
  struct slice repository;
  struct slice digest;
  const struct slice *infohashes; /**< hex */
  size_t infohash_count;
  const struct slice *access; /**< scopes: `repository:team/app:pull,push` */
  size_t access_count;
  const struct slice *names; /**< the torrents' that a peer's certificate is for */
  size_t name_count;
  int64_t exp;     /**< NumericDate, as the next two */
  int64_t session; /**< end of the session */
  int64_t until;   /**< of a revocation: until when nothing is issued anew */
  /* of keys, users and grants */
  struct slice kid;
  struct slice user;
  struct slice pattern; /**< of repositories */
  /* by whom */
  struct slice from; /**< the address that asked, or `tool` */
  struct slice who;  /**< the operator, of what the tool does */
};

/**
 * Appends the line of an event at \p now_ms, milliseconds since 1970: ASCII, whatever the text is.
 *
 * \return 0, or -1 with ERROR_FAILED, no part of it in \p out: text that is not UTF-8, a line that
 * would be longer than AUDIT_LINE_MAX, no memory.
 */
int audit_event_append(const struct audit_event *event, int64_t now_ms, struct buf *out,
                       struct error *e);

/**
 * When it was, of a line that begins as audit_event_append() begins it: a quick look, for most
 * lines of a long log are too old to be read.
 *
 * \return false for a line that does not.
 */
bool audit_event_time(struct slice line, int64_t *ms);

/**
 * Reads a line, without its newline.
 *
 * \return an object with the strings `time`, of RFC 3339, and `event`, to be released by
 * json_decref(); NULL for anything else, a line that was torn among it.
 */
json_t *audit_event_read(struct slice line);

/**
 * Appends an event for people: one line, its time, what it was, and `name=value` of all other
 * members, with control characters escaped. Of \p out `failed` says that there was no memory.
 */
void audit_event_print(json_t *event, struct buf *out);
