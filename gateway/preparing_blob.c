/* A blob of a job: it is hashed, or registered to the repository as well. */
#include "db/torrent_store.h"
#include "gateway/hashing.h"
#include "gateway/preparing_internal.h"
#include "gateway/swarm_torrent.h"
#include "image/registry.h"

static const struct image_descriptor *blob_of(const struct job *j) {
  return &j->blobs[j->blobs_done];
}

static void pass_blob(struct job *j) {
  j->blobs_done++;
  j->reads = 0;
}

static void on_hashed(void *arg, const struct errand_news *news) {
  struct job *j = arg;
  j->wait = NULL;
  if (news->outcome == ERRAND_REFUSED && news->e->kind == ERROR_NOT_FOUND) {
    pass_blob(j); /* it was deleted meanwhile */
  } else if (news->outcome == ERRAND_REFUSED || news->outcome == ERRAND_FAILED) {
    preparing_postpone(j, news->e);
    return;
  } else if (news->outcome == ERRAND_DONE) {
    j->reads++;
  }
  preparing_run(j); /* what takes longer than the wait is joined again */
}

static void hash(struct job *j) {
  struct preparing *p = j->preparing;
  const struct image_descriptor *b = blob_of(j);
  const struct errand_question question = preparing_question(j, slice_str(b->digest), b->size);
  struct error e = {0};
  if (j->reads >= PREPARING_READS_MAX) {
    error_set(&e, ERROR_FAILED, "the torrent of %s does not stay", b->digest);
  } else {
    j->wait = hashing_ask(p->options.hashing, p->loop, &question, on_hashed, j, &e);
  }
  if (j->wait == NULL) {
    preparing_postpone(j, &e);
  }
}

static int allow(struct db_txn *txn, void *arg, struct error *e) {
  const struct job *j = arg;
  const struct preparing_options *o = &j->preparing->options;
  return swarm_torrent_allow(txn, o->swarm_authority, slice_str(blob_of(j)->digest),
                             (uint8_t)o->format, j->wanted.registry, j->wanted.repository, e);
}

static void on_allowed(void *arg, const struct error *e) {
  struct job *j = arg;
  if (j->preparing->stopping) {
    return;
  }
  if (e != NULL) {
    preparing_postpone(j, e);
  } else {
    pass_blob(j);
    preparing_run(j);
  }
}

static bool on_head(void *arg, const struct registry_answer *answer) {
  struct job *j = arg;
  j->status = answer->status;
  j->other = answer->has_length && answer->length != blob_of(j)->size;
  return true;
}

static void on_answered(void *arg, const struct error *e) {
  struct job *j = arg;
  struct preparing *p = j->preparing;
  struct error why = {0};
  j->question = NULL;
  if (j->status == 200 && !j->other) {
    if (db_write(p->options.db, p->loop, allow, j, on_allowed, &why) != 0) {
      preparing_postpone(j, &why);
    }
  } else if (j->status == 200 || j->status == 404) {
    pass_blob(j); /* the manifest names what the repository does not have */
    preparing_run(j);
  } else {
    if (j->status != 0) {
      error_set(&why, ERROR_FAILED, "asked for %s, the registry answered %d", blob_of(j)->digest,
                j->status);
    }
    preparing_postpone(j, j->status != 0 ? &why : e);
  }
}

/* Whether the repository has it: the torrent may have been made of another's. */
static void ask(struct job *j) {
  static const struct registry_events events = {.head = on_head, .done = on_answered};
  const struct registry_get get = {
      .method = "HEAD", .repository = j->wanted.repository.ptr, .blob = blob_of(j)->digest};
  struct error e = {0};
  j->status = 0;
  j->question =
      registry_start(preparing_registry(j->preparing, j->wanted.registry), &get, &events, j, &e);
  if (j->question == NULL) {
    preparing_postpone(j, &e);
  }
}

struct finding {
  struct job *job;
  bool allowed;
};

static int find(struct db_txn *txn, void *arg, struct error *e) {
  struct finding *f = arg;
  struct job *j = f->job;
  struct arena arena = {0};
  struct torrent_record record;
  const struct preparing_options *o = &j->preparing->options;
  int result = swarm_torrent_find(txn, o->swarm_authority, slice_str(blob_of(j)->digest),
                                  (uint8_t)o->format, &arena, &record, e);
  if (result == 0) {
    f->allowed =
        torrent_store_allowed(txn, record.infohash, j->wanted.registry, j->wanted.repository);
  }
  arena_free(&arena);
  return result;
}

bool preparing_see_to_blob(struct job *j) {
  struct finding f = {.job = j};
  struct error e = {0};
  if (blob_of(j)->size == 0) {
    pass_blob(j); /* it has no torrent */
    return true;
  }
  bool found = db_read(j->preparing->options.db, find, &f, &e) == 0;
  if (found && f.allowed) {
    pass_blob(j);
    return true;
  }
  if (found) {
    ask(j);
  } else if (e.kind == ERROR_NOT_FOUND) {
    hash(j);
  } else {
    preparing_postpone(j, &e);
  }
  return false;
}
