/** What preparing.c, preparing_job.c, preparing_blob.c and preparing_gone.c share. */
#pragma once

#include "db/wanted_store.h"
#include "gateway/errand.h"
#include "gateway/preparing.h"
#include "gateway/registries.h"
#include "image/manifest.h"

#include <pthread.h>

enum {
  PREPARING_READS_MAX = 3,  /**< of what does not stay: a manifest in memory, a torrent */
  PREPARING_REST_MS = 1000, /**< when the database, or memory, fails */
  PREPARING_DIGEST_SPACE = 72,
};

/** A manifest or index that is to be read. */
struct reading {
  char digest[PREPARING_DIGEST_SPACE];
  unsigned depth; /**< indexes that have led to it */
};

/** What is wanted, under way: a manifest, or a blob that is said to be gone. */
struct job {
  struct preparing *preparing;
  bool busy;
  struct wanted_record wanted; /**< in `names` */
  struct arena names;
  struct reading *readings; /**< malloc'ed */
  size_t reading_count, readings_done;
  bool looked;                    /**< it is no blob that is registered */
  struct image_descriptor *blobs; /**< of the manifest that was read last; in `manifest` */
  size_t blob_count, blobs_done;
  struct arena manifest;
  unsigned reads;                    /**< in vain, of the manifest or the blob */
  struct errand_wait *wait;          /**< for a manifest or a torrent */
  struct registry_request *question; /**< whether the repository has the blob */
  int status;                        /**< its answer; 0: none */
  bool other;                        /**< it has another length */
};

struct preparing {
  struct preparing_options options;
  pthread_mutex_t lock; /* over what follows */
  bool open;
  uv_async_t wake;
  /* Of the loop. */
  uv_loop_t *loop;
  uv_timer_t timer;
  struct registries registries;
  struct job jobs[PREPARING_AT_ONCE];
  bool stopping;
};

/** Looks for what is wanted in so many milliseconds. */
void preparing_look_in(struct preparing *preparing, uint64_t ms);
/** The registry of that name; NULL when there is none any more. */
struct registry *preparing_registry(const struct preparing *preparing, struct slice name);

/** Makes a job of what is wanted, which is copied. \return 0, or -1 when there is no memory. */
int preparing_begin(struct job *job, const struct wanted_record *wanted);
/** Takes its steps until it has to wait. */
void preparing_run(struct job *job);
/** Ends it, to be tried again later. */
void preparing_postpone(struct job *job, const struct error *e);
/** Ends it by a write: of what became of it, and that it is wanted no more. */
void preparing_keep(struct job *job, db_write_fn *fn);
/** Leaves it idle. */
void preparing_clear(struct job *job);

/** What the job asks of the errands. */
struct errand_question preparing_question(const struct job *job, struct slice digest,
                                          uint64_t size);

/** Looks whether what is wanted is a registered blob, and then whether it is gone. \return whether
 *  the next step can be taken at once, for it is none. */
bool preparing_see_to_registration(struct job *job);

/** Takes the next step for the blob that is next. \return whether another can be taken at once. */
bool preparing_see_to_blob(struct job *job);
