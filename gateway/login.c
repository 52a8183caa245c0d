#include "gateway/login.h"

#include "auth/password.h"
#include "base/clock.h"
#include "db/told.h"
#include "gateway/guesses.h"
#include "gateway/memo.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct login {
  struct login *next;
  struct look *look;
  struct guesses_place from;
  struct memo_key here; /* the credentials, from there */
  login_done *done;     /* NULL: cancelled */
  void *arg;
};

/* One look, and all on its loop who wait for it. */
struct look {
  struct look *next;  /* of the list; under the lock, as is what follows */
  bool taken;         /* by a thread */
  bool passed_over;   /* nobody waited any more when its turn came */
  atomic_uint wanted; /* by so many */
  struct told *told;
  struct logins *logins;
  uv_loop_t *loop;
  struct memo_key about;
  struct guesses_place from; /* who counts for it: the first */
  struct login *waiting;     /* of the loop alone, as is what follows */
  enum login_verdict verdict;
  struct error error;
  struct slice user, password, hash; /* in text */
  size_t size;
  char text[]; /* wiped when it is freed */
};

/* What is asked for. What was right is remembered twice: for everybody, and for where it came from.
 * Only the latter counts for who is held up: else his guesses could be told apart all the same, as
 * fast as he sends them, while the user is at work somewhere else. */
struct asked {
  struct guesses_place from;
  struct memo_key about, here;
  uint64_t now;
};

/* The threads are its own: libuv's are few, and what ends the rights of somebody else must not wait
 * there behind a queue of passwords. */
struct logins {
  struct memo *right;
  struct guesses *guesses;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t wake;
  struct look *looks; /* the oldest first */
  bool stopping;
  pthread_t threads[LOGIN_THREADS];
  size_t thread_count; /* of the caller of logins_new() and logins_free() alone */
};

static void *look_at_all(void *arg);

static int start_threads(struct logins *logins, struct error *e) {
  for (; logins->thread_count < LOGIN_THREADS; logins->thread_count++) {
    int code = pthread_create(&logins->threads[logins->thread_count], NULL, look_at_all, logins);
    if (code != 0) {
      return error_set(e, ERROR_FAILED, "cannot look at passwords: no thread: %s", strerror(code));
    }
  }
  return 0;
}

struct logins *logins_new(struct error *e) {
  struct logins *logins = calloc(1, sizeof *logins);
  if (logins == NULL) {
    error_set(e, ERROR_FAILED, "cannot look at passwords: out of memory");
    return NULL;
  }
  pthread_mutex_init(&logins->lock, NULL);
  pthread_cond_init(&logins->wake, NULL);
  logins->right = memo_new(LOGIN_REMEMBERED_MAX, e);
  logins->guesses = logins->right == NULL ? NULL : guesses_new(e);
  if (logins->guesses == NULL || start_threads(logins, e) != 0) {
    logins_free(logins);
    return NULL;
  }
  return logins;
}

void logins_free(struct logins *logins) {
  if (logins == NULL) {
    return;
  }
  pthread_mutex_lock(&logins->lock);
  logins->stopping = true;
  pthread_cond_broadcast(&logins->wake);
  pthread_mutex_unlock(&logins->lock);
  for (size_t i = 0; i < logins->thread_count; i++) {
    pthread_join(logins->threads[i], NULL);
  }
  memo_free(logins->right);
  guesses_free(logins->guesses);
  pthread_cond_destroy(&logins->wake);
  pthread_mutex_destroy(&logins->lock);
  free(logins);
}

static void free_look(struct look *look) {
  while (look->waiting != NULL) {
    struct login *login = look->waiting;
    look->waiting = login->next;
    free(login);
  }
  explicit_bzero(look->text, look->size);
  free(look);
}

static struct slice keep(char **at, struct slice s) {
  char *copy = *at;
  if (s.len > 0) {
    memcpy(copy, s.ptr, s.len);
  }
  *at += s.len;
  return slice_of(copy, s.len);
}

/* Takes its own copies. */
static struct look *make_look(struct logins *logins, uv_loop_t *loop, const struct asked *asked,
                              const struct login_attempt *attempt) {
  size_t size = attempt->user.len + attempt->password.len + attempt->hash.len;
  struct look *look = malloc(sizeof *look + size);
  if (look == NULL) {
    return NULL;
  }
  *look = (struct look){
      .logins = logins,
      .loop = loop,
      .about = asked->about,
      .from = asked->from,
      .verdict = LOGIN_FAILED,
      .size = size,
  };
  char *at = look->text;
  look->user = keep(&at, attempt->user);
  look->password = keep(&at, attempt->password);
  look->hash = keep(&at, attempt->hash);
  return look;
}

static struct login *add_waiting(struct look *look, const struct asked *asked, login_done *done,
                                 void *arg) {
  struct login *login = malloc(sizeof *login);
  if (login != NULL) {
    *login = (struct login){.next = look->waiting,
                            .look = look,
                            .from = asked->from,
                            .here = asked->here,
                            .done = done,
                            .arg = arg};
    look->waiting = login;
    atomic_fetch_add(&look->wanted, 1);
  }
  return login;
}

/* On a thread of ours. */
static void look_at(struct look *look) {
  int status = look->hash.len == 0 ? password_verify_nobody(look->password, &look->error)
                                   : password_verify(look->password, look->hash, &look->error);
  look->verdict = status == 0                        ? LOGIN_RIGHT
                  : look->error.kind == ERROR_DENIED ? LOGIN_WRONG
                                                     : LOGIN_FAILED;
}

static struct look *oldest_waiting(const struct logins *logins) {
  struct look *look = logins->looks;
  while (look != NULL && look->taken) {
    look = look->next;
  }
  return look;
}

static void *look_at_all(void *arg) {
  struct logins *logins = arg;
  pthread_mutex_lock(&logins->lock);
  while (!logins->stopping) {
    struct look *look = oldest_waiting(logins);
    if (look == NULL) {
      pthread_cond_wait(&logins->wake, &logins->lock);
      continue;
    }
    look->taken = true;
    look->passed_over = atomic_load(&look->wanted) == 0;
    pthread_mutex_unlock(&logins->lock);
    if (!look->passed_over) {
      look_at(look);
    }
    told_finish(look->told, NULL); /* which is the end of it here */
    pthread_mutex_lock(&logins->lock);
  }
  pthread_mutex_unlock(&logins->lock);
  return NULL;
}

static void leave(struct look *look) {
  struct logins *logins = look->logins;
  pthread_mutex_lock(&logins->lock);
  struct look **at = &logins->looks;
  while (*at != look) {
    at = &(*at)->next;
  }
  *at = look->next;
  pthread_mutex_unlock(&logins->lock);
}

static void remember(struct logins *logins, const struct memo_key *key, uint64_t until) {
  memo_keep(logins->right, key, until, until);
}

static void count(const struct look *look, const struct login *login, uint64_t now) {
  if (look->verdict == LOGIN_WRONG) {
    guesses_wrong(look->logins->guesses, login->from, look->user, now);
  } else if (look->verdict == LOGIN_RIGHT) {
    guesses_right(look->logins->guesses, login->from, look->user);
    remember(look->logins, &login->here, now + LOGIN_REMEMBER_MS);
  }
}

/* What is wrong is counted before it is no longer pending: no guess slips in between. */
static void on_looked(void *arg, const struct error *e) {
  struct look *look = arg;
  uint64_t now = clock_monotonic_ms();
  (void)e; /* the look's own says more */
  if (look->verdict == LOGIN_RIGHT) {
    remember(look->logins, &look->about, now + LOGIN_REMEMBER_MS);
  }
  for (const struct login *login = look->waiting; login != NULL; login = login->next) {
    count(look, login, now);
  }
  leave(look);
  for (struct login *login = look->waiting; login != NULL; login = login->next) {
    if (login->done != NULL) {
      login->done(login->arg, look->verdict, &look->error);
    }
  }
  free_look(look);
}

/* Under the lock from here on. */

/* What is under way beside an attempt. */
struct others {
  struct look *same; /* at the same credentials on this loop, which is waited for; NULL: none */
  uint64_t guesses;  /* at other passwords for the same user from the same address */
  bool room;         /* whether one more would do */
};

static struct others find_others(const struct logins *logins, const uv_loop_t *loop,
                                 const struct asked *asked, struct slice user) {
  const struct memo_key *about = &asked->about;
  struct others found = {0};
  size_t all = 0, here = 0;
  for (struct look *look = logins->looks; look != NULL; look = look->next) {
    bool same = about->generation != 0 && look->about.generation != 0 &&
                memcmp(look->about.hash, about->hash, sizeof about->hash) == 0;
    bool near = memcmp(&look->from, &asked->from, sizeof asked->from) == 0;
    all++;
    here += near ? 1 : 0;
    found.guesses += near && !same && slice_equal(look->user, user) ? 1 : 0;
    if (same && look->loop == loop && !look->passed_over) {
      found.same = look;
    }
  }
  found.room = all < LOGIN_WAITING_MAX && here < LOGIN_WAITING_PLACE_MAX;
  return found;
}

static void append(struct logins *logins, struct look *look) {
  struct look **end = &logins->looks;
  while (*end != NULL) {
    end = &(*end)->next;
  }
  *end = look;
}

static enum login_verdict start_look(struct logins *logins, uv_loop_t *loop,
                                     const struct asked *asked, const struct login_attempt *attempt,
                                     login_done *done, void *arg, struct login **login,
                                     uint64_t *wait_ms) {
  const struct others others = find_others(logins, loop, asked, attempt->user);
  uint64_t until;
  *wait_ms = guesses_wait(logins->guesses, asked->from, attempt->user, others.guesses, asked->now);
  if (*wait_ms > 0) {
    return LOGIN_HELD_UP;
  }
  if (memo_find(logins->right, &asked->about, asked->now, &until)) {
    remember(logins, &asked->here, until);
    return LOGIN_RIGHT;
  }
  if (others.same != NULL) {
    *login = add_waiting(others.same, asked, done, arg);
    return *login == NULL ? LOGIN_FAILED : LOGIN_PENDING;
  }
  if (!others.room) {
    return LOGIN_BUSY;
  }
  struct look *look = make_look(logins, loop, asked, attempt);
  if (look == NULL) {
    return LOGIN_FAILED;
  }
  *login = add_waiting(look, asked, done, arg);
  if (*login == NULL || told_new(loop, on_looked, look, &look->told) != 0) {
    free_look(look);
    return LOGIN_FAILED;
  }
  append(logins, look);
  pthread_cond_signal(&logins->wake);
  return LOGIN_PENDING;
}

/* To here. */

static struct asked read_attempt(const struct logins *logins, const struct login_attempt *attempt,
                                 uint64_t now) {
  struct asked asked = {.from = guesses_place(attempt->from), .now = now};
  const struct slice parts[] = {attempt->user, attempt->password, attempt->hash,
                                slice_of(asked.from.bytes, sizeof asked.from.bytes)};
  enum { PARTS = sizeof parts / sizeof *parts };
  memo_about(logins->right, parts, PARTS - 1, &asked.about);
  memo_about(logins->right, parts, PARTS, &asked.here);
  return asked;
}

enum login_verdict login_start(struct logins *logins, uv_loop_t *loop,
                               const struct login_attempt *attempt, uint64_t now, login_done *done,
                               void *arg, struct login **login, uint64_t *wait_ms,
                               struct error *e) {
  const struct asked asked = read_attempt(logins, attempt, now);
  uint64_t ignored;
  if (memo_find(logins->right, &asked.here, now, &ignored)) {
    return LOGIN_RIGHT;
  }
  pthread_mutex_lock(&logins->lock);
  enum login_verdict verdict = start_look(logins, loop, &asked, attempt, done, arg, login, wait_ms);
  pthread_mutex_unlock(&logins->lock);
  if (verdict == LOGIN_FAILED) {
    error_set(e, ERROR_FAILED, "cannot look at a password: out of memory");
  }
  return verdict;
}

void login_cancel(struct login *login) {
  login->done = NULL;
  atomic_fetch_sub(&login->look->wanted, 1);
}
