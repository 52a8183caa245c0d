#include "auth/key_file.h"

#include "auth/jwk.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { LIFETIME = 1000, SPACE = 512, KIDS_MAX = 64 };

/* --- what is done to files, and may fail or be the last that is done --- */

enum end { GOES_ON, FAILS, IS_KILLED };
static enum end ending;
static int ends_at; /* calls from now */
static void (*on_renamed)(void);

/* The linker's --wrap makes the names. NOLINTBEGIN(cert-dcl51-cpp) */
int __real_rename(const char *from, const char *to);
int __real_mkostemp(char *path, int flags);
int __real_fchmod(int fd, mode_t mode);
ssize_t __real_write(int fd, const void *bytes, size_t size);
int __wrap_rename(const char *from, const char *to);
int __wrap_mkostemp(char *path, int flags);
int __wrap_fsync(int fd);
int __wrap_fchmod(int fd, mode_t mode);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);

static bool fails_here(void) {
  if (ending == GOES_ON || ends_at-- > 0) {
    return false;
  }
  if (ending == IS_KILLED) {
    _exit(9);
  }
  ending = GOES_ON;
  errno = ENOSPC;
  return true;
}

int __wrap_rename(const char *from, const char *to) {
  int result = fails_here() ? -1 : __real_rename(from, to);
  if (on_renamed != NULL) {
    on_renamed();
  }
  return result;
}

int __wrap_mkostemp(char *path, int flags) {
  return fails_here() ? -1 : __real_mkostemp(path, flags);
}

/* Nobody cuts the power here. */
int __wrap_fsync(int fd) {
  (void)fd;
  return fails_here() ? -1 : 0;
}

int __wrap_fchmod(int fd, mode_t mode) {
  return fails_here() ? -1 : __real_fchmod(fd, mode);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size) {
  return fails_here() ? -1 : __real_write(fd, bytes, size);
}
/* NOLINTEND(cert-dcl51-cpp) */

/* --- a key in an empty folder --- */

struct fixture {
  char folder[64];
  char key[128], next[SPACE], retired[SPACE], bundle[SPACE];
  struct key_file_plan plan;
  struct error e;
};

static void create_key(struct fixture *f, const char *path, enum key_algorithm algorithm) {
  struct buf pem = {0};
  assert_int_equal(key_generate(algorithm, &pem, &f->e), 0);
  assert_int_equal(file_write(path, buf_view(&pem), 0600, &f->e), 0);
  buf_free(&pem);
}

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  strcpy(f->folder, "/tmp/swarmgate-key-file-XXXXXX");
  assert_non_null(mkdtemp(f->folder));
  snprintf(f->key, sizeof f->key, "%s/a.pem", f->folder);
  snprintf(f->next, SPACE, "%s.next", f->key);
  snprintf(f->retired, SPACE, "%s.retired.json", f->key);
  snprintf(f->bundle, SPACE, "%s/bundle.crt", f->folder);
  f->plan = (struct key_file_plan){.now = RIG_NOW, .lifetime = LIFETIME};
  create_key(f, f->key, KEY_ES256);
  *state = f;
  return 0;
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *ftw) {
  (void)s;
  (void)type;
  (void)ftw;
  return remove(path);
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  ending = GOES_ON;
  nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
  free(f);
  return 0;
}

static struct key_file load(struct fixture *f) {
  struct key_file file;
  if (key_file_load(f->key, f->plan.use, &file, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  return file;
}

static struct key_file_rotation rotate(struct fixture *f) {
  struct key_file_rotation done;
  if (key_file_rotate(f->key, &f->plan, &done, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  return done;
}

static void rotate_on(struct fixture *f) {
  struct key_file_rotation done = rotate(f);
  key_file_rotation_free(&done);
}

static void refuses(struct fixture *f, enum error_kind kind, const char *why) {
  struct key_file_rotation done;
  assert_int_equal(key_file_rotate(f->key, &f->plan, &done, &f->e), -1);
  assert_null(done.signs);
  if (f->e.kind != kind || strstr(f->e.text, why) == NULL) {
    fail_msg("%d %s", (int)f->e.kind, f->e.text);
  }
}

static const struct key *find(const struct key_file *file, const char *thumbprint) {
  for (size_t i = 0; i < file->trusted.count; i++) {
    CLEANUP_FREE char *its = key_thumbprint(&file->trusted.keys[i]);
    if (strcmp(its, thumbprint) == 0) {
      return &file->trusted.keys[i];
    }
  }
  return NULL;
}

static char *read_text(const char *path) {
  struct buf bytes = {0};
  assert_int_equal(file_read(path, 1 << 20, &bytes, NULL), 0);
  buf_append(&bytes, "", 1);
  return bytes.ptr;
}

/* --- loading --- */

static void a_key_may_be_alone(void **state) {
  struct fixture *f = *state;
  struct key_file file = load(f);
  assert_int_equal(file.trusted.count, 1);
  assert_false(file.trusted.named);
  assert_true(file.key.has_private);
  assert_null(file.trusted.keys[0].kid);
  assert_ptr_equal(find(&file, file.key.kid), &file.trusted.keys[0]);
  key_file_free(&file);
  f->plan.use = KEY_REGISTRY;
  file = load(f);
  CLEANUP_FREE char *id = key_libtrust_id(&file.key);
  assert_string_equal(file.key.kid, id);
  key_file_free(&file);
  unlink(f->key);
  assert_int_equal(key_file_load(f->key, KEY_ANNOUNCE, &file, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_NOT_FOUND);
}

static void companions_are_checked(void **state) {
  struct fixture *f = *state;
  struct key_file file;
  rotate_on(f);
  const struct {
    const char *path, *text;
    mode_t mode;
    const char *why;
  } cases[] = {
      {f->key, NULL, 0640, "chmod 600"},
      {f->next, NULL, 0604, "chmod 600"},
      {f->next, "nonsense", 0600, "no private key"},
      {f->retired, "nonsense", 0600, "a.pem.retired.json: holds no key"},
      {f->retired, "{\"keys\":[]}", 0600, "not a JWKS"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CLEANUP_FREE char *kept = read_text(cases[i].path);
    const char *text = cases[i].text == NULL ? kept : cases[i].text;
    assert_int_equal(file_write(cases[i].path, slice_str(text), cases[i].mode, NULL), 0);
    assert_int_equal(key_file_load(f->key, KEY_ANNOUNCE, &file, &f->e), -1);
    assert_int_equal(f->e.kind, ERROR_USAGE);
    assert_non_null(strstr(f->e.text, cases[i].why));
    refuses(f, ERROR_USAGE, cases[i].why);
    assert_int_equal(file_write(cases[i].path, slice_str(kept), 0600, NULL), 0);
  }
  file = load(f);
  assert_int_equal(file.trusted.count, 3);
  key_file_free(&file);
}

/* --- rotating --- */

static void the_next_signs_and_the_old_verifies(void **state) {
  struct fixture *f = *state;
  static const enum key_use uses[] = {KEY_ANNOUNCE, KEY_REGISTRY};
  for (size_t u = 0; u < 2; u++) {
    f->plan.use = uses[u];
    struct key_file before = load(f);
    struct key_file_rotation first = rotate(f);
    assert_string_equal(first.retired, before.key.kid);
    assert_int_equal(first.known, u > 0);
    assert_int_equal(first.retired_until, RIG_NOW + LIFETIME);
    struct key_file now = load(f);
    assert_string_equal(now.key.kid, first.signs);
    assert_string_equal(now.trusted.keys[1].kid, first.next);
    assert_int_equal(now.trusted.keys[1].retired, 0);
    assert_string_equal(now.trusted.keys[2].kid, first.retired);
    assert_int_equal(now.trusted.keys[2].retired, RIG_NOW);
    assert_int_equal(now.trusted.keys[2].expires, RIG_NOW + LIFETIME);
    for (size_t i = 0; i < 3; i++) {
      assert_false(now.trusted.keys[i].has_private);
    }
    struct key_file_rotation second = rotate(f);
    assert_true(second.known);
    assert_string_equal(second.signs, first.next);
    assert_string_equal(second.retired, first.signs);
    key_file_rotation_free(&first);
    key_file_rotation_free(&second);
    key_file_free(&before);
    key_file_free(&now);
    unlink(f->retired);
  }
}

static void the_algorithm_stays(void **state) {
  struct fixture *f = *state;
  create_key(f, f->key, KEY_EDDSA);
  rotate_on(f);
  rotate_on(f);
  struct key_file file = load(f);
  assert_int_equal(file.key.algorithm, KEY_EDDSA);
  key_file_free(&file);
  /* Unless somebody has laid out another, which stays then. */
  create_key(f, f->next, KEY_ES256);
  for (int i = 0; i < 2; i++) {
    rotate_on(f);
    file = load(f);
    assert_int_equal(file.key.algorithm, KEY_ES256);
    key_file_free(&file);
  }
  create_key(f, f->next, KEY_EDDSA);
  f->plan.use = KEY_REGISTRY;
  refuses(f, ERROR_USAGE, "a.pem.next: is for EdDSA, which registries do not take");
  unlink(f->next);
  create_key(f, f->key, KEY_EDDSA);
  refuses(f, ERROR_USAGE, "a.pem: is for EdDSA, which registries do not take");
}

static void files_keep_mode_and_owner(void **state) {
  struct fixture *f = *state;
  bool root = geteuid() == 0;
  uid_t user = root ? 65534 : geteuid();
  assert_int_equal(chown(f->key, user, root ? 65534 : getegid()), 0);
  mode_t mask = umask(0);
  for (int i = 0; i < 2; i++) {
    rotate_on(f);
    const char *const paths[] = {f->key, f->next, f->retired};
    for (size_t p = 0; p < 3; p++) {
      struct stat s;
      assert_int_equal(stat(paths[p], &s), 0);
      assert_int_equal(s.st_mode & 07777, 0600);
      assert_int_equal(s.st_uid, user);
    }
    /* One that somebody else has laid out gets the right owner too. */
    create_key(f, f->next, KEY_ES256);
  }
  umask(mask);
}

static void what_is_over_is_dropped(void **state) {
  struct fixture *f = *state;
  rotate_on(f);
  f->plan.now = RIG_NOW + 600;
  rotate_on(f);
  struct key_file file = load(f);
  assert_int_equal(file.trusted.count, 4);
  key_file_free(&file);
  f->plan.now = RIG_NOW + LIFETIME - 1;
  rotate_on(f);
  file = load(f);
  assert_int_equal(file.trusted.count, 5);
  key_file_free(&file);
  f->plan.now = RIG_NOW + LIFETIME;
  rotate_on(f);
  file = load(f);
  assert_int_equal(file.trusted.count, 5);
  /* The latest comes first. */
  for (size_t i = 3; i < file.trusted.count; i++) {
    assert_true(file.trusted.keys[i].retired < file.trusted.keys[i - 1].retired);
  }
  key_file_free(&file);
}

static void retired_keys_are_bounded(void **state) {
  struct fixture *f = *state;
  struct key keys[KEY_FILE_RETIRED_MAX - 1];
  struct buf pem = {0};
  struct buf retired = {0};
  create_key(f, f->key, KEY_EDDSA);
  for (size_t i = 0; i < KEY_FILE_RETIRED_MAX - 1; i++) {
    assert_int_equal(key_generate(KEY_EDDSA, &pem, NULL), 0);
    assert_int_equal(key_parse_private(buf_view(&pem), "key", &keys[i], NULL), 0);
    keys[i].expires = RIG_NOW + LIFETIME;
    buf_free(&pem);
  }
  assert_int_equal(jwks_write(keys, KEY_FILE_RETIRED_MAX - 1, &retired, NULL), 0);
  assert_int_equal(file_write(f->retired, buf_view(&retired), 0600, NULL), 0);
  buf_free(&retired);
  for (size_t i = 0; i < KEY_FILE_RETIRED_MAX - 1; i++) {
    key_free(&keys[i]);
  }
  rotate_on(f);
  CLEANUP_FREE char *before = read_text(f->retired);
  CLEANUP_FREE char *next = read_text(f->next);
  refuses(f, ERROR_FAILED, "120 keys that were retired are still trusted");
  CLEANUP_FREE char *after = read_text(f->retired);
  CLEANUP_FREE char *next_after = read_text(f->next);
  assert_string_equal(before, after);
  assert_string_equal(next, next_after);
  f->plan.now += LIFETIME;
  rotate_on(f);
}

static void no_link_is_followed(void **state) {
  struct fixture *f = *state;
  char other[SPACE];
  snprintf(other, sizeof other, "%s/other.pem", f->folder);
  assert_int_equal(rename(f->key, other), 0);
  refuses(f, ERROR_NOT_FOUND, "a.pem");
  assert_int_equal(symlink("other.pem", f->key), 0);
  refuses(f, ERROR_USAGE, "is a symbolic link");
}

/* --- certificates --- */

/* The certificates of the bundle, whose keys have to be these. */
static void bundle_holds(struct fixture *f, char *const kids[], size_t count) {
  FILE *file = fopen(f->bundle, "r");
  assert_non_null(file);
  for (size_t i = 0; i < count; i++) {
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    assert_non_null(certificate);
    time_t now = RIG_NOW;
    assert_true(X509_cmp_time(X509_get0_notBefore(certificate), &now) < 0);
    assert_true(X509_cmp_time(X509_get0_notAfter(certificate), &now) > 0);
    struct key key;
    assert_int_equal(key_adopt(X509_get_pubkey(certificate), &key, NULL), 0);
    CLEANUP_FREE char *kid = key_libtrust_id(&key);
    assert_string_equal(kid, kids[i]);
    assert_int_equal(X509_verify(certificate, key.pkey) == 1,
                     i < 2); /* those before sign no more */
    key_free(&key);
    X509_free(certificate);
  }
  assert_null(PEM_read_X509(file, NULL, NULL, NULL));
  fclose(file);
}

static void a_bundle_has_them_all(void **state) {
  struct fixture *f = *state;
  f->plan.use = KEY_REGISTRY;
  f->plan.certificate = f->bundle;
  struct key_file_rotation first = rotate(f);
  bundle_holds(f, (char *[]){first.signs, first.next, first.retired}, 3);
  struct key_file_rotation second = rotate(f);
  bundle_holds(f, (char *[]){second.signs, second.next, second.retired, first.retired}, 4);
  struct stat s;
  assert_int_equal(stat(f->bundle, &s), 0);
  assert_int_equal(s.st_mode & 07777, 0644);
  f->plan.now += LIFETIME;
  struct key_file_rotation third = rotate(f);
  bundle_holds(f, (char *[]){third.signs, third.next, third.retired}, 3);
  key_file_rotation_free(&first);
  key_file_rotation_free(&second);
  key_file_rotation_free(&third);
}

static void a_bundle_of_others_stays(void **state) {
  struct fixture *f = *state;
  f->plan.use = KEY_REGISTRY;
  f->plan.certificate = f->bundle;
  assert_int_equal(file_write(f->bundle, SLICE("somebody's"), 0644, NULL), 0);
  refuses(f, ERROR_USAGE, "was not written by this command");
  f->plan.certificate = f->folder;
  refuses(f, ERROR_FAILED, "Is a directory");
  struct key_file file = load(f);
  assert_int_equal(file.trusted.count, 1);
  key_file_free(&file);
}

/* --- at every instant --- */

/* All that has signed, and who comes next. */
struct past {
  char *kids[KIDS_MAX];
  size_t count;
  char *next;
};

static struct past past_of(struct fixture *f, int rotations) {
  struct past past = {0};
  struct key_file file = load(f);
  past.kids[past.count++] = strdup(file.key.kid);
  key_file_free(&file);
  for (int i = 0; i < rotations; i++) {
    struct key_file_rotation done = rotate(f);
    past.kids[past.count++] = strdup(done.signs);
    free(past.next);
    past.next = strdup(done.next);
    key_file_rotation_free(&done);
  }
  return past;
}

static void past_free(struct past *past) {
  for (size_t i = 0; i < past->count; i++) {
    free(past->kids[i]);
  }
  free(past->next);
}

static void must_trust(struct fixture *f, const struct past *past) {
  struct key_file file = load(f);
  for (size_t i = 0; i < past->count; i++) {
    assert_non_null(find(&file, past->kids[i]));
  }
  assert_true(past->next == NULL || find(&file, past->next) != NULL);
  for (size_t i = 0; i < file.trusted.count; i++) {
    CLEANUP_FREE char *kid = key_thumbprint(&file.trusted.keys[i]);
    assert_ptr_equal(find(&file, kid), &file.trusted.keys[i]); /* each is there once */
  }
  const char *last = past->kids[past->count - 1];
  if (strcmp(file.key.kid, last) == 0) {
    /* Who signs is not held against a time, whatever was written down before it should be. */
    assert_int_equal(find(&file, last)->retired, 0);
  } else if (past->next != NULL) {
    assert_string_equal(file.key.kid, past->next);
  }
  key_file_free(&file);
}

static struct {
  struct fixture *f;
  struct key_file loads[8];
  size_t count;
} steps;

static void take_step(void) {
  assert_true(steps.count < 8);
  steps.loads[steps.count++] = load(steps.f);
}

/* Of a key alone and of one with companions: after each step whoever has signed is known, and
 * whoever will. */
static void every_step_knows_who_comes(void **state) {
  steps.f = *state;
  for (int i = 0; i < 2; i++) {
    struct key_file before = load(steps.f);
    steps.count = 0;
    on_renamed = take_step;
    struct key_file_rotation done = rotate(steps.f);
    on_renamed = NULL;
    assert_int_equal(steps.count, i == 0 ? 4 : 3);
    for (size_t k = 0; k < steps.count; k++) {
      assert_non_null(find(&steps.loads[k], before.key.kid));
      assert_non_null(find(&steps.loads[k], done.signs));
      assert_true(
          strcmp(steps.loads[k].key.kid, k + 2 < steps.count ? before.key.kid : done.signs) == 0);
      key_file_free(&steps.loads[k]);
    }
    key_file_rotation_free(&done);
    key_file_free(&before);
  }
}

/* \return whether the rotation came to its end. */
static bool rotate_until(struct fixture *f, enum end how, int nth) {
  ends_at = nth;
  if (how == FAILS) {
    struct key_file_rotation done;
    ending = FAILS;
    int result = key_file_rotate(f->key, &f->plan, &done, &f->e);
    bool failed = ending == GOES_ON;
    ending = GOES_ON;
    assert_int_equal(result, failed ? -1 : 0);
    assert_true(!failed || (f->e.kind == ERROR_FAILED && strstr(f->e.text, "No space") != NULL));
    key_file_rotation_free(&done);
    return !failed;
  }
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    struct key_file_rotation done;
    ending = IS_KILLED;
    _exit(key_file_rotate(f->key, &f->plan, &done, NULL) == 0 ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
  return WEXITSTATUS(status) == 0;
}

/* Of a key that is alone, and of one with companions. */
static void ends_anywhere(struct fixture *f, enum end how) {
  for (int rotations = 0; rotations < 3; rotations += 2) {
    bool whole = false;
    int nth = 0;
    for (; !whole; nth++) {
      unlink(f->next);
      unlink(f->retired);
      create_key(f, f->key, KEY_EDDSA);
      struct past past = past_of(f, rotations);
      whole = rotate_until(f, how, nth);
      must_trust(f, &past);
      free(past.next);
      past.next = NULL; /* when it was killed late a stranger may be next */
      struct key_file file = load(f);
      past.kids[past.count++] = strdup(file.key.kid);
      key_file_free(&file);
      rotate_on(f);
      must_trust(f, &past);
      past_free(&past);
    }
    assert_true(nth > 3 * 5);
  }
}

static void killed_anywhere_it_goes_on(void **state) {
  ends_anywhere(*state, IS_KILLED);
}

static void failed_anywhere_it_goes_on(void **state) {
  ends_anywhere(*state, FAILS);
}

enum { ROTATIONS = 60, LOADS_MAX = 20000 };

struct race {
  struct fixture *f;
  atomic_bool over;
  char *signers[ROTATIONS + 1];
};

static void *keep_rotating(void *arg) {
  struct race *race = arg;
  struct fixture f = *race->f;
  for (size_t i = 0; i < ROTATIONS; i++) {
    struct key_file_rotation done = rotate(&f);
    race->signers[i + 1] = done.signs;
    done.signs = NULL;
    key_file_rotation_free(&done);
  }
  race->over = true;
  return NULL;
}

/* Which of them it is that signs. */
static size_t place_of(const struct race *race, const char *kid) {
  for (size_t i = 0; i <= ROTATIONS; i++) {
    if (strcmp(race->signers[i], kid) == 0) {
      return i;
    }
  }
  fail_msg("%s never signs", kid);
  return 0;
}

/* Whatever a reader meets, it knows whoever has signed, and the next unless that is being made. */
static void who_reads_meanwhile_has_them_all(void **state) {
  static struct key_file loads[LOADS_MAX];
  struct race race = {.f = *state};
  size_t count = 0;
  pthread_t thread;
  create_key(race.f, race.f->key, KEY_EDDSA);
  struct key_file file = load(race.f);
  race.signers[0] = strdup(file.key.kid);
  key_file_free(&file);
  assert_int_equal(pthread_create(&thread, NULL, keep_rotating, &race), 0);
  struct fixture reader = *race.f;
  while (!race.over && count < LOADS_MAX) {
    loads[count++] = load(&reader);
  }
  pthread_join(thread, NULL);
  for (size_t i = 0; i < count; i++) {
    size_t place = place_of(&race, loads[i].key.kid);
    for (size_t k = 0; k <= place; k++) {
      assert_non_null(find(&loads[i], race.signers[k]));
    }
    /* Two of those before are not retired at most: who signs, and who comes. */
    assert_true(loads[i].trusted.count >= place + 1);
    if (place < ROTATIONS && loads[i].trusted.count > 1 && loads[i].trusted.keys[1].retired == 0) {
      assert_string_equal(loads[i].trusted.keys[1].kid, race.signers[place + 1]);
    }
    key_file_free(&loads[i]);
  }
  for (size_t i = 0; i <= ROTATIONS; i++) {
    free(race.signers[i]);
  }
}

struct side {
  struct fixture f;
  pthread_barrier_t *barrier;
  unsigned rotated, refused;
};

static void *rotate_at_once(void *arg) {
  struct side *side = arg;
  for (int i = 0; i < 30; i++) {
    struct key_file_rotation done;
    pthread_barrier_wait(side->barrier);
    if (key_file_rotate(side->f.key, &side->f.plan, &done, &side->f.e) == 0) {
      side->rotated++;
      key_file_rotation_free(&done);
    } else {
      assert_non_null(strstr(side->f.e.text, "was rotated at this very moment"));
      side->refused++;
    }
  }
  return NULL;
}

/* Of two at once one waits, and then finds it done; or both have had their turn. */
static void two_exclude_each_other(void **state) {
  struct fixture *f = *state;
  pthread_barrier_t barrier;
  struct side sides[2] = {{.f = *f, .barrier = &barrier}, {.f = *f, .barrier = &barrier}};
  pthread_t threads[2];
  assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, rotate_at_once, &sides[i]), 0);
  }
  for (size_t i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
  }
  pthread_barrier_destroy(&barrier);
  struct key_file file = load(f);
  assert_int_equal(file.trusted.count, 2 + sides[0].rotated + sides[1].rotated);
  key_file_free(&file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_key_may_be_alone),
      TEST(companions_are_checked),
      TEST(the_next_signs_and_the_old_verifies),
      TEST(the_algorithm_stays),
      TEST(files_keep_mode_and_owner),
      TEST(what_is_over_is_dropped),
      TEST(retired_keys_are_bounded),
      TEST(no_link_is_followed),
      TEST(a_bundle_has_them_all),
      TEST(a_bundle_of_others_stays),
      TEST(every_step_knows_who_comes),
      TEST(killed_anywhere_it_goes_on),
      TEST(failed_anywhere_it_goes_on),
      TEST(who_reads_meanwhile_has_them_all),
      TEST(two_exclude_each_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
