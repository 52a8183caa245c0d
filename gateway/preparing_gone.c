/*
 * A blob that is said to be gone from a repository, where it is registered: a HEAD with our own
 * credentials has the last word. Only a 404 of the registry's own takes the registration back.
 */
#include "db/torrent_store.h"
#include "gateway/preparing_internal.h"
#include "image/registry.h"

static int find(struct db_txn *txn, void *arg, struct error *e) {
  struct job *j = arg;
  (void)e;
  j->looked =
      !torrent_store_allowed_blob(txn, j->wanted.digest, j->wanted.registry, j->wanted.repository);
  return 0;
}

static int take_back(struct db_txn *txn, void *arg, struct error *e) {
  const struct job *j = arg;
  return torrent_store_disallow_blob(txn, j->wanted.digest, j->wanted.registry,
                                     j->wanted.repository, e) == 0
             ? wanted_store_remove(txn, &j->wanted, e)
             : -1;
}

static int leave(struct db_txn *txn, void *arg, struct error *e) {
  const struct job *j = arg;
  return wanted_store_remove(txn, &j->wanted, e);
}

static bool on_head(void *arg, const struct registry_answer *answer) {
  struct job *j = arg;
  j->status = answer->status;
  j->other = answer->redirected;
  return true;
}

static void on_answered(void *arg, const struct error *e) {
  struct job *j = arg;
  struct error why = {0};
  j->question = NULL;
  if (j->status == 404 && !j->other) {
    log_write(j->preparing->options.log, LOG_LEVEL_INFO,
              "%.*s is gone from %.*s/%.*s: its torrent is taken from there",
              SLICE_ARG(j->wanted.digest), SLICE_ARG(j->wanted.registry),
              SLICE_ARG(j->wanted.repository));
    preparing_keep(j, take_back);
  } else if (j->status == 200) {
    preparing_keep(j, leave);
  } else {
    error_set(&why, ERROR_FAILED, "asked whether it is gone, the registry answered %d", j->status);
    preparing_postpone(j, j->status != 0 ? &why : e);
  }
}

bool preparing_see_to_registration(struct job *j) {
  static const struct registry_events events = {.head = on_head, .done = on_answered};
  struct preparing *p = j->preparing;
  struct error e = {0};
  if (db_read(p->options.db, find, j, &e) != 0) {
    preparing_postpone(j, &e);
    return false;
  }
  if (j->looked) {
    return true;
  }
  const struct registry_get get = {
      .method = "HEAD", .repository = j->wanted.repository.ptr, .blob = j->wanted.digest.ptr};
  j->status = 0;
  j->question = registry_start(preparing_registry(p, j->wanted.registry), &get, &events, j, &e);
  if (j->question == NULL) {
    preparing_postpone(j, &e);
  }
  return false;
}
