/* The cache with this test as reader, and as whoever brings the pieces. */
#include "cache/cache.h"

#include "unit/cmocka_all.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE     ((uint64_t)16384)
#define BLOB      (10 * PIECE + 100) /* eleven pieces, the last one short */
#define UNLIMITED UINT64_MAX

/* Digests need not be the blobs': the pieces' hashes are what is held against the bytes. */
static const char *const digests[] = {
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"};

static unsigned char content[BLOB];

struct world {
  char folder[64];
  uv_loop_t loop;
  struct cache *cache;
  struct cache_waker *waker;
  unsigned wanted; /* how often who brings pieces was called */
};

static void on_wanted(void *arg) {
  ((struct world *)arg)->wanted++;
}

static void open_cache(struct world *w, uint64_t max_size) {
  struct cache_options o = {.path = w->folder, .max_size = max_size};
  assert_int_equal(cache_new(&o, &w->cache, NULL), 0);
  w->waker = cache_waker_new(w->cache, &w->loop, NULL);
  assert_non_null(w->waker);
  cache_on_wanted(w->cache, on_wanted, w);
}

static void close_cache(struct world *w) {
  cache_waker_close(w->waker);
  uv_run(&w->loop, UV_RUN_DEFAULT);
  cache_free(w->cache);
}

static int begin(void **state) {
  struct world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  snprintf(w->folder, sizeof w->folder, "/tmp/test_cache.XXXXXX");
  assert_non_null(mkdtemp(w->folder));
  assert_int_equal(uv_loop_init(&w->loop), 0);
  for (size_t i = 0; i < sizeof content; i++) {
    content[i] = (unsigned char)(i * 131 + i / 251);
  }
  *state = w;
  return 0;
}

static void path_in(const struct world *w, const char *name, char out[200]) {
  snprintf(out, 200, "%s/sha256/%s", w->folder, name);
}

static int end(void **state) {
  struct world *w = *state;
  char path[200];
  path_in(w, "", path);
  DIR *dir = opendir(path);
  for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
    unlinkat(dirfd(dir), d->d_name, 0);
  }
  if (dir != NULL) {
    closedir(dir);
  }
  rmdir(path);
  rmdir(w->folder);
  assert_int_equal(uv_loop_close(&w->loop), 0);
  free(w);
  return 0;
}

static struct pieces pieces_of_content(uint64_t size) {
  struct hasher_options o = {.format = TORRENT_V1, .size = size, .piece_length = (uint32_t)PIECE};
  struct hasher *h;
  struct hashes hashes = {0};
  struct metainfo m;
  struct pieces p;
  struct arena arena = {0};
  assert_int_equal(hasher_new(&o, &h, NULL), 0);
  assert_int_equal(hasher_feed(h, slice_of(content, size), NULL), 0);
  assert_int_equal(hasher_finish(h, &hashes, NULL), 0);
  assert_int_equal(metainfo_make(&hashes, SLICE("a"), slice_of(NULL, 0), &arena, &m, NULL), 0);
  assert_int_equal(pieces_of(&m, &p, NULL), 0);
  hashes_free(&hashes);
  arena_free(&arena);
  return p;
}

static struct cache_blob *hold(struct world *w, int which) {
  struct pieces p = pieces_of_content(BLOB);
  struct cache_blob *blob;
  assert_int_equal(cache_hold(w->cache, slice_str(digests[which]), &p, &blob, NULL), 0);
  assert_null(p.hashes);
  return blob;
}

/* --- a reader --- */

struct reader {
  struct cache_want want;
  int told; /* news + 1; 0: not yet */
};

static void on_told(void *arg, enum cache_news news) {
  struct reader *r = arg;
  assert_int_equal(r->told, 0);
  r->told = (int)news + 1;
}

enum {
  UNTOLD,
  READY = CACHE_READY + 1,
  FAILED = CACHE_FAILED + 1,
  GONE = CACHE_GONE + 1,
  NO_ROOM = CACHE_NO_ROOM + 1
};

static void want(struct world *w, struct cache_blob *blob, uint64_t offset, uint64_t end,
                 struct reader *r) {
  *r = (struct reader){.want = {.waker = w->waker,
                                .offset = offset,
                                .end = end,
                                .registry = "r",
                                .repository = "library/x",
                                .told = on_told,
                                .arg = r}};
  cache_want(blob, &r->want);
  assert_int_equal(r->told, UNTOLD);
}

static int told(struct world *w, const struct reader *r) {
  uv_run(&w->loop, UV_RUN_NOWAIT);
  return r->told;
}

static void assert_content(const struct cache_blob *blob, uint64_t offset, size_t len) {
  unsigned char *got = malloc(len);
  assert_int_equal(pread(cache_fd(blob), got, len, (off_t)offset), len);
  assert_memory_equal(got, content + offset, len);
  free(got);
}

/* --- who brings pieces --- */

static struct cache_job next(struct world *w, uint64_t now) {
  struct cache_job job;
  uint64_t again;
  assert_true(cache_next(w->cache, now, true, &job, &again));
  return job;
}

static uint64_t assert_nothing_next(struct world *w, uint64_t now) {
  struct cache_job job;
  uint64_t again;
  assert_false(cache_next(w->cache, now, true, &job, &again));
  return again;
}

static int bring(struct cache_job *job, size_t len, size_t cut) {
  for (size_t done = 0; done < len; done += cut) {
    size_t n = cut < len - done ? cut : len - done;
    if (cache_write(job, slice_of(content + job->offset + job->done, n), NULL) != 0) {
      return -1;
    }
  }
  return 0;
}

static void bring_all(struct world *w, struct cache_blob *blob) {
  struct reader r;
  want(w, blob, 0, BLOB, &r);
  struct cache_job job = next(w, 0);
  assert_int_equal(bring(&job, job.length, 1000), 0);
  cache_job_end(&job, CACHE_DONE, 0);
  assert_int_equal(told(w, &r), READY);
  assert_int_equal(cache_ready(blob, 0), BLOB);
}

static void pieces_are_there_one_by_one(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  struct reader first, later;
  assert_int_equal(cache_ready(blob, 5), 0);
  want(w, blob, 5, BLOB, &first);
  assert_int_equal(w->wanted, 1);
  struct cache_job job = next(w, 0);
  assert_int_equal(job.kind, CACHE_CLAIM);
  assert_int_equal(job.offset, 0);
  assert_int_equal(job.length, BLOB);
  assert_string_equal(job.registry, "r");
  assert_string_equal(job.repository, "library/x");
  assert_string_equal(job.digest, digests[0]);
  want(w, blob, PIECE, BLOB, &later);
  assert_int_equal(assert_nothing_next(w, 0), UINT64_MAX);

  assert_int_equal(bring(&job, PIECE - 1, 999), 0);
  assert_int_equal(told(w, &first), UNTOLD);
  assert_int_equal(cache_ready(blob, 0), 0);
  assert_int_equal(bring(&job, 2, 2), 0);
  assert_int_equal(told(w, &first), READY);
  assert_int_equal(cache_ready(blob, 5), PIECE - 5);
  assert_int_equal(told(w, &later), UNTOLD);
  assert_int_equal(bring(&job, BLOB - PIECE - 1, 100000), 0);
  assert_int_equal(told(w, &later), READY);
  assert_int_equal(cache_ready(blob, BLOB - 1), 1);
  assert_content(blob, 0, BLOB);
  assert_int_equal(cache_write(&job, SLICE("x"), NULL), -1);
  cache_job_end(&job, CACHE_DONE, 0);
  cache_release(blob);
  assert_int_equal(cache_used(w->cache), BLOB);
  close_cache(w);
}

static void far_ends_do_not_wait_and_claims_never_overlap(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  struct reader far, middle, near;
  want(w, blob, 8 * PIECE + 1, 9 * PIECE, &far);
  struct cache_job of_far = next(w, 0);
  assert_int_equal(of_far.offset, 8 * PIECE);
  assert_int_equal(of_far.length, BLOB - 8 * PIECE); /* CACHE_CLAIM_MIN is more */
  want(w, blob, 4 * PIECE, BLOB, &middle);
  struct cache_job of_middle = next(w, 0);
  assert_int_equal(of_middle.offset, 4 * PIECE);
  assert_int_equal(of_middle.length, 4 * PIECE);
  want(w, blob, 0, PIECE, &near);
  assert_nothing_next(w, 0); /* CACHE_CLAIMS_A_BLOB */
  assert_int_equal(bring(&of_far, BLOB - 8 * PIECE, 5000), 0);
  cache_job_end(&of_far, CACHE_DONE, 0);
  assert_int_equal(told(w, &far), READY);
  assert_int_equal(cache_ready(blob, 0), 0);
  assert_content(blob, 8 * PIECE, BLOB - 8 * PIECE);
  struct cache_job of_near = next(w, 0);
  assert_int_equal(of_near.offset, 0);
  assert_int_equal(of_near.length, 4 * PIECE);
  /* Its reader goes away: what was asked for is brought all the same. */
  cache_unwant(w->cache, &near.want);
  assert_int_equal(bring(&of_near, 4 * PIECE, 100), 0);
  assert_int_equal(told(w, &near), UNTOLD);
  cache_job_end(&of_near, CACHE_DONE, 0);
  assert_int_equal(bring(&of_middle, 4 * PIECE, 5000), 0);
  cache_job_end(&of_middle, CACHE_DONE, 0);
  assert_int_equal(told(w, &middle), READY);
  assert_int_equal(cache_ready(blob, 0), BLOB);
  cache_release(blob);
  close_cache(w);
}

static void wrong_bytes_are_never_ready(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  struct reader r;
  want(w, blob, 2 * PIECE, BLOB, &r);
  uint64_t now = 0;
  for (int i = 1; i <= CACHE_TRIES; i++) {
    struct error e = {0};
    struct cache_job job = next(w, now);
    assert_int_equal(told(w, &r), UNTOLD);
    assert_int_equal(bring(&job, PIECE - 1, PIECE), 0);
    assert_int_equal(cache_write(&job, SLICE("?"), &e), -1);
    assert_int_equal(e.kind, ERROR_MISMATCH);
    assert_non_null(strstr(e.text, digests[0]));
    cache_job_end(&job, CACHE_RETRY, now);
    assert_int_equal(cache_used(w->cache), 0);
    if (i < CACHE_TRIES) {
      assert_int_equal(assert_nothing_next(w, now), now + CACHE_REST_MS);
      now += CACHE_REST_MS;
    }
  }
  assert_int_equal(told(w, &r), FAILED);
  assert_int_equal(cache_ready(blob, 2 * PIECE), 0);
  cache_release(blob);
  close_cache(w);
}

static void a_claim_that_stops_short_is_tried_again(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  struct reader r, s;
  want(w, blob, 0, BLOB, &r);
  want(w, blob, 4 * PIECE, BLOB, &s);
  struct cache_job job = next(w, 0);
  assert_int_equal(bring(&job, PIECE + 7, PIECE), 0);
  cache_job_end(&job, CACHE_DONE, 0);
  assert_int_equal(told(w, &r), READY);
  assert_int_equal(told(w, &s), UNTOLD);
  assert_int_equal(cache_ready(blob, 0), PIECE);
  assert_int_equal(cache_used(w->cache), PIECE);
  job = next(w, CACHE_REST_MS);
  assert_int_equal(job.offset, 4 * PIECE);
  /* The registry says that it has it not: who waits need not wait on. */
  cache_job_end(&job, CACHE_LOST, CACHE_REST_MS);
  assert_int_equal(told(w, &s), GONE);
  cache_release(blob);
  close_cache(w);
}

static void a_full_disk_is_told(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  struct reader r;
  want(w, blob, 0, BLOB, &r);
  struct cache_job job = next(w, 0);
  cache_job_end(&job, CACHE_FULL, 0);
  assert_int_equal(told(w, &r), NO_ROOM);
  cache_release(blob);
  close_cache(w);
}

/* --- over restarts --- */

static void what_is_right_survives_a_restart(void **state) {
  struct world *w = *state;
  char path[200];
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  struct reader r;
  want(w, blob, 0, 4 * PIECE, &r);
  struct cache_job job = next(w, 0);
  assert_int_equal(bring(&job, 3 * PIECE + 50, PIECE), 0); /* and a kill in the fourth */
  cache_job_end(&job, CACHE_RETRY, 0);
  assert_int_equal(told(w, &r), READY);
  cache_release(blob);
  close_cache(w);

  path_in(w, digests[0], path);
  int fd = open(path, O_WRONLY);
  assert_int_equal(pwrite(fd, "?", 1, (off_t)PIECE + 3), 1);
  close(fd);

  open_cache(w, UNLIMITED);
  assert_true(cache_used(w->cache) >= 3 * PIECE);
  blob = hold(w, 0);
  assert_int_equal(cache_ready(blob, 0), 0); /* nobody has looked yet */
  want(w, blob, 0, BLOB, &r);
  job = next(w, 0);
  assert_int_equal(job.kind, CACHE_SCAN);
  assert_nothing_next(w, 0);
  cache_scan(&job);
  cache_job_end(&job, CACHE_DONE, 0);
  assert_int_equal(told(w, &r), READY);
  assert_int_equal(cache_ready(blob, 0), PIECE);
  assert_int_equal(cache_ready(blob, PIECE), 0);
  assert_int_equal(cache_ready(blob, 2 * PIECE), PIECE);
  assert_int_equal(cache_used(w->cache), 2 * PIECE);
  want(w, blob, PIECE, BLOB, &r);
  job = next(w, 0);
  assert_int_equal(job.kind, CACHE_CLAIM);
  assert_int_equal(job.offset, PIECE);
  assert_int_equal(job.length, PIECE);
  cache_job_end(&job, CACHE_FAIL, 0);
  assert_int_equal(told(w, &r), FAILED);
  cache_release(blob);
  /* In the same run it need not be looked at again. */
  assert_null(cache_find(w->cache, slice_str(digests[1])));
  blob = cache_find(w->cache, slice_str(digests[0]));
  assert_non_null(blob);
  assert_int_equal(cache_size(blob), BLOB);
  assert_int_equal(cache_ready(blob, 0), PIECE);
  cache_release(blob);
  close_cache(w);
}

static void a_file_that_is_another_now_is_looked_at_anew(void **state) {
  struct world *w = *state;
  char path[200];
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  bring_all(w, blob);
  cache_release(blob);
  path_in(w, digests[0], path);
  assert_int_equal(unlink(path), 0);
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  assert_int_equal(write(fd, content, 100), 100); /* nor is it as long as the blob */
  close(fd);
  blob = hold(w, 0);
  assert_int_equal(cache_ready(blob, 0), 0);
  bring_all(w, blob);
  assert_content(blob, 0, BLOB);
  cache_release(blob);
  close_cache(w);
}

/* --- room --- */

static bool file_exists(const struct world *w, int which) {
  char path[200];
  path_in(w, digests[which], path);
  return access(path, F_OK) == 0;
}

static void what_was_used_longest_ago_goes_first(void **state) {
  struct world *w = *state;
  open_cache(w, 2 * BLOB);
  struct cache_blob *a = hold(w, 0), *b = hold(w, 1);
  bring_all(w, a);
  bring_all(w, b);
  cache_release(b);
  cache_release(a);
  a = hold(w, 0); /* used after b */
  cache_release(a);
  struct cache_blob *c = hold(w, 2);
  bring_all(w, c);
  assert_true(file_exists(w, 0));
  assert_false(file_exists(w, 1));
  assert_int_equal(cache_used(w->cache), 2 * BLOB);
  /* What is held stays, and then there is no room. */
  a = hold(w, 0);
  b = hold(w, 1);
  struct reader r;
  want(w, b, 0, BLOB, &r);
  assert_nothing_next(w, 0);
  assert_int_equal(told(w, &r), NO_ROOM);
  assert_content(a, 0, BLOB);
  cache_release(a);
  want(w, b, 0, BLOB, &r);
  struct cache_job job = next(w, 0);
  assert_int_equal(bring(&job, BLOB, PIECE), 0);
  cache_job_end(&job, CACHE_DONE, 0);
  assert_int_equal(told(w, &r), READY);
  assert_false(file_exists(w, 0));
  cache_release(b);
  cache_release(c);
  close_cache(w);
}

static void set_used(const struct world *w, int which, time_t seconds) {
  char path[200];
  const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
  path_in(w, digests[which], path);
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_order_survives_a_restart(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  for (int i = 0; i < 2; i++) {
    struct cache_blob *blob = hold(w, i);
    bring_all(w, blob);
    cache_release(blob);
  }
  close_cache(w);
  set_used(w, 0, 2000);
  set_used(w, 1, 1000);
  open_cache(w, 3 * BLOB);
  struct cache_blob *c = hold(w, 2);
  bring_all(w, c);
  assert_true(file_exists(w, 0));
  assert_false(file_exists(w, 1));
  cache_release(c);
  close_cache(w);
}

static void the_free_space_is_left_alone(void **state) {
  struct world *w = *state;
  struct cache_options o = {.path = w->folder, .max_size = UNLIMITED, .free_min = UNLIMITED / 2};
  assert_int_equal(cache_new(&o, &w->cache, NULL), 0);
  w->waker = cache_waker_new(w->cache, &w->loop, NULL);
  struct cache_blob *blob = hold(w, 0);
  struct reader r;
  want(w, blob, 0, BLOB, &r);
  assert_nothing_next(w, 0);
  assert_int_equal(told(w, &r), NO_ROOM);
  cache_release(blob);
  close_cache(w);
}

static void a_folder_that_cannot_be_is_refused(void **state) {
  struct world *w = *state;
  struct error e = {0};
  char path[100];
  snprintf(path, sizeof path, "%s/no/such", w->folder);
  struct cache_options o = {.path = path, .max_size = UNLIMITED};
  struct cache *cache;
  assert_int_equal(cache_new(&o, &cache, &e), -1);
  assert_non_null(strstr(e.text, path));
}

static void one_server_has_the_folder(void **state) {
  struct world *w = *state;
  struct error e = {0};
  struct cache_options o = {.path = w->folder, .max_size = UNLIMITED};
  struct cache *other;
  open_cache(w, UNLIMITED);
  assert_int_equal(cache_new(&o, &other, &e), -1);
  assert_non_null(strstr(e.text, "another server"));
  close_cache(w);
}

static void a_folder_that_was_removed_is_made_again(void **state) {
  struct world *w = *state;
  char path[200];
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w, 0);
  bring_all(w, blob);
  cache_release(blob);
  path_in(w, digests[0], path);
  unlink(path);
  path_in(w, "", path);
  assert_int_equal(rmdir(path), 0);
  blob = hold(w, 0);
  assert_int_equal(cache_ready(blob, 0), 0);
  bring_all(w, blob);
  assert_content(blob, 0, BLOB);
  cache_release(blob);
  assert_true(file_exists(w, 0));
  close_cache(w);
}

static void what_never_fits_drives_nobody_out(void **state) {
  struct world *w = *state;
  struct pieces p = pieces_of_content(BLOB - PIECE);
  struct cache_blob *small, *large;
  struct reader r;
  open_cache(w, BLOB - PIECE);
  assert_int_equal(cache_hold(w->cache, slice_str(digests[0]), &p, &small, NULL), 0);
  want(w, small, 0, BLOB - PIECE, &r);
  struct cache_job job = next(w, 0);
  assert_int_equal(bring(&job, job.length, PIECE), 0);
  cache_job_end(&job, CACHE_DONE, 0);
  assert_int_equal(told(w, &r), READY);
  cache_release(small);
  large = hold(w, 1);
  want(w, large, 0, PIECE, &r);
  assert_nothing_next(w, 0);
  assert_int_equal(told(w, &r), NO_ROOM);
  assert_true(file_exists(w, 0));
  cache_release(large);
  close_cache(w);
}

static void room_that_became_less_counts_at_once(void **state) {
  struct world *w = *state;
  open_cache(w, UNLIMITED);
  for (int i = 0; i < 2; i++) {
    struct cache_blob *blob = hold(w, i);
    bring_all(w, blob);
    cache_release(blob);
  }
  close_cache(w);
  set_used(w, 0, 2000);
  set_used(w, 1, 1000);
  open_cache(w, BLOB + 8192);
  assert_true(file_exists(w, 0));
  assert_false(file_exists(w, 1));
  close_cache(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(pieces_are_there_one_by_one),
      TEST(far_ends_do_not_wait_and_claims_never_overlap),
      TEST(wrong_bytes_are_never_ready),
      TEST(a_claim_that_stops_short_is_tried_again),
      TEST(a_full_disk_is_told),
      TEST(what_is_right_survives_a_restart),
      TEST(a_file_that_is_another_now_is_looked_at_anew),
      TEST(what_was_used_longest_ago_goes_first),
      TEST(the_order_survives_a_restart),
      TEST(the_free_space_is_left_alone),
      TEST(a_folder_that_cannot_be_is_refused),
      TEST(one_server_has_the_folder),
      TEST(a_folder_that_was_removed_is_made_again),
      TEST(what_never_fits_drives_nobody_out),
      TEST(room_that_became_less_counts_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
