/* Blobs that come as a whole, before their pieces are known. */
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
#define BLOB      (3 * PIECE + 100)
#define UNLIMITED UINT64_MAX
#define DIGEST    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct slice digest = {DIGEST, CACHE_DIGEST}, other = {OTHER, CACHE_DIGEST};
static unsigned char content[BLOB];

struct world {
  char folder[64];
  struct cache *cache;
};

static void open_cache(struct world *w, uint64_t max_size) {
  struct cache_options o = {.path = w->folder, .max_size = max_size};
  assert_int_equal(cache_new(&o, &w->cache, NULL), 0);
}

static int begin(void **state) {
  struct world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  snprintf(w->folder, sizeof w->folder, "/tmp/test_deposit.XXXXXX");
  assert_non_null(mkdtemp(w->folder));
  for (size_t i = 0; i < sizeof content; i++) {
    content[i] = (unsigned char)(i * 131 + i / 251);
  }
  open_cache(w, UNLIMITED);
  *state = w;
  return 0;
}

/* Counts the files, and removes them when that is wanted. */
static size_t files(const struct world *w, bool away) {
  char path[200];
  size_t count = 0;
  snprintf(path, sizeof path, "%s/sha256", w->folder);
  DIR *dir = opendir(path);
  assert_non_null(dir);
  for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
    count += d->d_name[0] != '.';
    if (away) {
      unlinkat(dirfd(dir), d->d_name, 0);
    }
  }
  closedir(dir);
  if (away) {
    rmdir(path);
    rmdir(w->folder);
  }
  return count;
}

static int end(void **state) {
  struct world *w = *state;
  cache_free(w->cache);
  files(w, true);
  free(w);
  return 0;
}

static struct pieces pieces_of_content(void) {
  struct hasher_options o = {.format = TORRENT_V1, .size = BLOB, .piece_length = (uint32_t)PIECE};
  struct hasher *h;
  struct hashes hashes = {0};
  struct metainfo m;
  struct pieces p;
  struct arena arena = {0};
  assert_int_equal(hasher_new(&o, &h, NULL), 0);
  assert_int_equal(hasher_feed(h, slice_of(content, BLOB), NULL), 0);
  assert_int_equal(hasher_finish(h, &hashes, NULL), 0);
  assert_int_equal(metainfo_make(&hashes, SLICE("a"), slice_of(NULL, 0), &arena, &m, NULL), 0);
  assert_int_equal(pieces_of(&m, &p, NULL), 0);
  hashes_free(&hashes);
  arena_free(&arena);
  return p;
}

static struct cache_blob *hold(struct world *w) {
  struct pieces p = pieces_of_content();
  struct cache_blob *blob;
  assert_int_equal(cache_hold(w->cache, digest, &p, &blob, NULL), 0);
  return blob;
}

static struct cache_deposit *deposit(struct world *w, size_t len) {
  struct cache_deposit *d = cache_deposit_new(w->cache, digest, BLOB);
  assert_non_null(d);
  assert_true(cache_deposit_write(d, slice_of(content, len / 2)));
  assert_true(cache_deposit_write(d, slice_of(content + len / 2, len - len / 2)));
  return d;
}

static void on_told(void *arg, enum cache_news news) {
  *(enum cache_news *)arg = news;
}

/* What is there once somebody has looked, as the first reader has it done. */
static uint64_t looked_at(struct world *w, struct cache_blob *blob) {
  uv_loop_t loop;
  struct cache_job job;
  uint64_t again, ready = 0;
  enum cache_news news = CACHE_GONE;
  assert_int_equal(uv_loop_init(&loop), 0);
  struct cache_waker *waker = cache_waker_new(w->cache, &loop, NULL);
  struct cache_want want = {.waker = waker,
                            .end = BLOB,
                            .registry = "r",
                            .repository = "a",
                            .told = on_told,
                            .arg = &news};
  cache_want(blob, &want);
  assert_true(cache_next(w->cache, 0, true, &job, &again));
  assert_int_equal(job.kind, CACHE_SCAN);
  cache_scan(&job);
  cache_job_end(&job, CACHE_DONE, 0);
  for (uint64_t at = 0; at < BLOB && cache_ready(blob, at) > 0; at = ready) {
    ready = at + cache_ready(blob, at);
  }
  cache_unwant(w->cache, &want);
  cache_waker_close(waker);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  return ready;
}

static void what_is_kept_is_the_blob(void **state) {
  struct world *w = *state;
  struct cache_deposit *d = deposit(w, BLOB);
  assert_int_equal(cache_used(w->cache), BLOB);
  cache_deposit_keep(d);
  assert_int_equal(cache_used(w->cache), BLOB);
  assert_int_equal(files(w, false), 1);
  struct cache_blob *blob = hold(w);
  assert_int_equal(cache_ready(blob, 0), BLOB);
  assert_int_equal(cache_used(w->cache), BLOB);
  unsigned char got[BLOB];
  assert_int_equal(pread(cache_fd(blob), got, BLOB, 0), BLOB);
  assert_memory_equal(got, content, BLOB);
  cache_release(blob);
  assert_null(cache_deposit_new(w->cache, digest, BLOB)); /* it is there */
}

/* Somebody writes into the file, and later than whatever the clock's ticks are. */
static void turn_a_byte(const struct world *w) {
  char path[200];
  snprintf(path, sizeof path, "%s/sha256/" DIGEST, w->folder);
  int fd = open(path, O_WRONLY);
  unsigned char other_byte = content[PIECE + 7] ^ 1;
  const struct timespec times[] = {{.tv_sec = 1}, {.tv_sec = 1}};
  assert_int_equal(pwrite(fd, &other_byte, 1, PIECE + 7), 1);
  assert_int_equal(futimens(fd, times), 0);
  close(fd);
}

static void a_file_that_was_written_to_is_looked_at(void **state) {
  struct world *w = *state;
  cache_deposit_keep(deposit(w, BLOB));
  turn_a_byte(w);
  struct cache_blob *blob = hold(w);
  assert_int_equal(cache_ready(blob, 0), 0);
  assert_int_equal(looked_at(w, blob), PIECE);
  cache_release(blob);
}

static void after_a_restart_it_is_looked_at(void **state) {
  struct world *w = *state;
  cache_deposit_keep(deposit(w, BLOB));
  cache_free(w->cache);
  open_cache(w, UNLIMITED);
  struct cache_blob *blob = hold(w);
  assert_int_equal(cache_ready(blob, 0), 0);
  assert_int_equal(looked_at(w, blob), BLOB);
  cache_release(blob);
}

static void what_is_dropped_or_short_leaves_nothing(void **state) {
  struct world *w = *state;
  cache_deposit_drop(NULL);
  cache_deposit_drop(deposit(w, BLOB));
  assert_int_equal(cache_used(w->cache), 0);
  assert_int_equal(files(w, false), 0);
  cache_deposit_keep(deposit(w, BLOB - 1));
  assert_int_equal(cache_used(w->cache), 0);
  assert_int_equal(files(w, false), 0);
  struct cache_deposit *d = deposit(w, BLOB);
  assert_false(cache_deposit_write(d, SLICE("x"))); /* more than the blob */
  cache_deposit_drop(d);
  assert_int_equal(files(w, false), 0);
}

static void who_fills_it_meanwhile_goes_on(void **state) {
  struct world *w = *state;
  struct cache_deposit *d = deposit(w, BLOB);
  assert_null(cache_deposit_new(w->cache, digest, BLOB));
  assert_int_equal(cache_used(w->cache), BLOB);
  struct cache_blob *blob = hold(w);
  cache_deposit_keep(d);
  assert_int_equal(files(w, false), 1);
  assert_int_equal(cache_ready(blob, 0), 0);
  assert_int_equal(cache_used(w->cache), 0);
  cache_release(blob);
}

static void it_needs_room(void **state) {
  struct world *w = *state;
  cache_free(w->cache);
  open_cache(w, 2 * BLOB - 1);
  struct cache_deposit *d = deposit(w, BLOB);
  assert_null(cache_deposit_new(w->cache, other, BLOB)); /* the first is on its way */
  cache_deposit_keep(d);
  d = cache_deposit_new(w->cache, other, BLOB); /* what was used longest ago goes */
  assert_non_null(d);
  assert_int_equal(cache_used(w->cache), BLOB);
  cache_deposit_drop(d);
  assert_int_equal(files(w, false), 0);
  assert_null(cache_deposit_new(w->cache, other, 2 * BLOB));
}

static void what_there_will_never_be_room_for_drives_nothing_out(void **state) {
  struct world *w = *state;
  cache_free(w->cache);
  open_cache(w, 2 * BLOB);
  cache_deposit_keep(deposit(w, BLOB));
  assert_null(cache_deposit_new(w->cache, other, 2 * BLOB + 1));
  assert_int_equal(cache_used(w->cache), BLOB);
  assert_int_equal(files(w, false), 1);
}

static void what_a_kill_left_is_removed(void **state) {
  struct world *w = *state;
  char path[200];
  snprintf(path, sizeof path, "%s/sha256/" DIGEST ".coming", w->folder);
  cache_free(w->cache);
  close(open(path, O_WRONLY | O_CREAT, 0600));
  assert_int_equal(files(w, false), 1);
  open_cache(w, UNLIMITED);
  assert_int_equal(files(w, false), 0);
  cache_deposit_drop(deposit(w, BLOB));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_kept_is_the_blob),
      TEST(a_file_that_was_written_to_is_looked_at),
      TEST(after_a_restart_it_is_looked_at),
      TEST(what_is_dropped_or_short_leaves_nothing),
      TEST(who_fills_it_meanwhile_goes_on),
      TEST(it_needs_room),
      TEST(what_a_kill_left_is_removed),
      TEST(what_there_will_never_be_room_for_drives_nothing_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
