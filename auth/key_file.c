/*
 * A rotation writes, each file at once and in this order: FILE.next, when there was none, so that
 * who reads from here on knows the key that comes; FILE.retired.json, with the key that still
 * signs; FILE; FILE.next. Whoever reads FILE first, and finds it the same at the end, has them all.
 */
#include "auth/key_file.h"

#include "auth/certificate.h"
#include "auth/jwk.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { READS_MAX = 1000 }; /* of files that are rotated meanwhile: a second at most */

/* --- reading --- */

/* The private keys, and those retired that are neither. */
struct family {
  char *next_path, *retired_path;
  struct key key;
  struct key next; /* no `pkey`: there is none */
  struct keyset retired;
};

static void family_free(struct family *f) {
  free(f->next_path);
  free(f->retired_path);
  key_free(&f->key);
  key_free(&f->next);
  keyset_free(&f->retired);
}

static char *kid_of(const struct key *key, enum key_use use) {
  return use == KEY_REGISTRY ? key_libtrust_id(key) : key_thumbprint(key);
}

static bool same_key(const struct key *a, const struct key *b) {
  return a->pkey != NULL && b->pkey != NULL && EVP_PKEY_eq(a->pkey, b->pkey) == 1;
}

static int out_of_memory(const char *path, struct error *e) {
  return error_set(e, ERROR_FAILED, "%s: out of memory", path);
}

static bool is_absent(const struct error *e) {
  return e->kind == ERROR_NOT_FOUND;
}

/* A rotation that was cut short leaves the new key in both places. */
static int read_next(struct family *f, enum key_use use, struct error *e) {
  struct error why = {0};
  if (key_load_private(f->next_path, &f->next, &why) != 0) {
    return is_absent(&why) ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  if (same_key(&f->next, &f->key)) {
    key_free(&f->next);
    return 0;
  }
  free(f->next.kid);
  f->next.kid = kid_of(&f->next, use);
  return f->next.kid == NULL ? out_of_memory(f->next_path, e) : 0;
}

/* Or the old one in both. */
static int read_retired(struct family *f, struct error *e) {
  struct error why = {0};
  if (keyset_load(f->retired_path, &f->retired, &why) != 0) {
    return is_absent(&why) ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  size_t kept = 0;
  for (size_t i = 0; i < f->retired.count; i++) {
    struct key *key = &f->retired.keys[i];
    if (same_key(key, &f->key) || same_key(key, &f->next)) {
      key_free(key);
    } else {
      f->retired.keys[kept++] = *key;
    }
  }
  f->retired.count = kept;
  return 0;
}

static char *companion(const char *path, const char *suffix) {
  size_t size = strlen(path) + strlen(suffix) + 1;
  char *name = malloc(size);
  if (name != NULL) {
    snprintf(name, size, "%s%s", path, suffix);
  }
  return name;
}

static int read_family(const char *path, enum key_use use, struct family *out, struct error *e) {
  struct family f = {.next_path = companion(path, ".next"),
                     .retired_path = companion(path, ".retired.json")};
  int status = f.next_path == NULL || f.retired_path == NULL ? out_of_memory(path, e) : 0;
  if (status != 0 || key_load_private(path, &f.key, e) != 0) {
    family_free(&f);
    return -1;
  }
  free(f.key.kid);
  f.key.kid = kid_of(&f.key, use);
  status = f.key.kid == NULL ? out_of_memory(path, e) : 0;
  if (status != 0 || read_next(&f, use, e) != 0 || read_retired(&f, e) != 0) {
    family_free(&f);
    return -1;
  }
  *out = f;
  return 0;
}

/* Whether the name stands for the same file as before, and that has not been written to. */
static bool is_unchanged(const struct stat *before, const char *path) {
  struct stat now;
  return stat(path, &now) == 0 && now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
         now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
         now.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

static int read_unchanged(const char *path, enum key_use use, struct family *out, struct error *e) {
  for (int i = 0; i < READS_MAX; i++) {
    struct stat before;
    if (stat(path, &before) != 0) {
      before = (struct stat){0}; /* reading says why */
    }
    if (read_family(path, use, out, e) != 0) {
      return -1;
    }
    if (is_unchanged(&before, path)) {
      return 0;
    }
    family_free(out);
  }
  return error_set(e, ERROR_FAILED, "cannot read %s: it is being written to all the time", path);
}

/* Public halves of the keys of `f`, whose retired ones are taken over. */
static int gather(const char *path, struct family *f, struct keyset *out, struct error *e) {
  struct key *keys = calloc(2 + f->retired.count, sizeof *keys);
  if (keys == NULL) {
    return out_of_memory(path, e);
  }
  *out = (struct keyset){.keys = keys};
  int status = key_public(&f->key, &keys[out->count++], e);
  if (status == 0 && f->next.pkey != NULL) {
    status = key_public(&f->next, &keys[out->count], e);
    keys[out->count++].kid = f->next.kid;
    f->next.kid = NULL;
  }
  if (f->retired.count > 0) {
    memcpy(keys + out->count, f->retired.keys, f->retired.count * sizeof *keys);
  }
  out->count += f->retired.count;
  f->retired.count = 0;
  if (status != 0) {
    keyset_free(out);
    return error_context(e, "%s", path);
  }
  return 0;
}

int key_file_load(const char *path, enum key_use use, struct key_file *out, struct error *e) {
  struct family f;
  *out = (struct key_file){0};
  if (read_unchanged(path, use, &f, e) != 0) {
    return -1;
  }
  int status = gather(path, &f, &out->trusted, e);
  if (status == 0) {
    out->key = f.key;
    f.key = (struct key){0};
  }
  family_free(&f);
  return status;
}

void key_file_free(struct key_file *file) {
  key_free(&file->key);
  keyset_free(&file->trusted);
}

/* --- rotating --- */

/* Everything that is going to be, before any of it is written. */
struct rotation {
  const char *path;
  const struct key_file_plan *plan;
  struct family old;
  struct file_owner owner;
  struct key next;                /* the one after old.next, which signs */
  struct buf signs_pem, next_pem; /* private */
  struct buf retired, certificates;
};

static void wipe(struct buf *pem) {
  if (pem->ptr != NULL) {
    OPENSSL_cleanse(pem->ptr, pem->cap);
  }
  buf_free(pem);
}

static void rotation_free(struct rotation *r) {
  family_free(&r->old);
  key_free(&r->next);
  wipe(&r->signs_pem);
  wipe(&r->next_pem);
  buf_free(&r->retired);
  buf_free(&r->certificates);
}

static int make_key(const struct rotation *r, enum key_algorithm algorithm, struct key *out,
                    struct buf *pem, struct error *e) {
  if (key_generate(algorithm, pem, e) != 0 ||
      key_parse_private(buf_view(pem), r->old.next_path, out, e) != 0) {
    return -1;
  }
  free(out->kid);
  out->kid = kid_of(out, r->plan->use);
  return out->kid == NULL ? out_of_memory(r->path, e) : 0;
}

/* The key that signs from now on: the next, or one of which nobody has heard. */
static int choose_signer(struct rotation *r, bool *known, struct error *e) {
  struct key *next = &r->old.next;
  *known = next->pkey != NULL;
  int status = *known ? key_print_private(next, &r->signs_pem, e)
                      : make_key(r, r->old.key.algorithm, next, &r->signs_pem, e);
  return status == 0 && r->plan->use == KEY_REGISTRY && next->algorithm == KEY_EDDSA
             ? error_set(e, ERROR_USAGE, "%s: is for EdDSA, which registries do not take",
                         *known ? r->old.next_path : r->path)
             : status;
}

/* The key that has signed so far, and those before it whose time has not come. */
static int retire(struct rotation *r, struct error *e) {
  struct keyset *retired = &r->old.retired;
  struct key *keys = calloc(retired->count + 1, sizeof *keys);
  size_t count = 0;
  if (keys == NULL) {
    return out_of_memory(r->path, e);
  }
  keys[count] = r->old.key;
  keys[count].retired = r->plan->now;
  keys[count++].expires = r->plan->now + r->plan->lifetime;
  for (size_t i = 0; i < retired->count; i++) {
    if (retired->keys[i].expires == 0 || retired->keys[i].expires > r->plan->now) {
      keys[count++] = retired->keys[i];
    }
  }
  int status = count > KEY_FILE_RETIRED_MAX
                   ? error_set(e, ERROR_FAILED,
                               "%s: %d keys that were retired are still trusted; the next rotation "
                               "can be when what they have signed is over",
                               r->old.retired_path, KEY_FILE_RETIRED_MAX)
                   : jwks_write(keys, count, &r->retired, e);
  for (size_t i = 0; i < count && status == 0 && r->plan->certificate != NULL; i++) {
    status = certificate_append(&keys[i], &r->old.next, r->plan->now, &r->certificates, e);
  }
  free(keys);
  return status;
}

static int prepare(struct rotation *r, bool *known, struct error *e) {
  if (choose_signer(r, known, e) != 0 ||
      make_key(r, r->old.next.algorithm, &r->next, &r->next_pem, e) != 0) {
    return -1;
  }
  const struct key *fresh[] = {&r->old.next, &r->next};
  for (size_t i = 0; i < 2 && r->plan->certificate != NULL; i++) {
    if (certificate_append(fresh[i], fresh[i], r->plan->now, &r->certificates, e) != 0) {
      return -1;
    }
  }
  return retire(r, e);
}

static int put(const struct rotation *r, const char *path, const struct buf *bytes,
               struct error *e) {
  return file_write_for(path, buf_view(bytes), 0600, &r->owner, e);
}

static int write_all(const struct rotation *r, bool known, struct error *e) {
  const struct key_file_plan *plan = r->plan;
  if (plan->certificate != NULL &&
      certificate_save(plan->certificate, buf_view(&r->certificates), e) != 0) {
    return -1;
  }
  if ((!known && put(r, r->old.next_path, &r->signs_pem, e) != 0) ||
      put(r, r->old.retired_path, &r->retired, e) != 0 || put(r, r->path, &r->signs_pem, e) != 0) {
    return -1;
  }
  return put(r, r->old.next_path, &r->next_pem, e) == 0
             ? 0
             : error_context(e, "%s signs now, but has no next key yet", r->old.next.kid);
}

static char *take(char **text) {
  char *taken = *text;
  *text = NULL;
  return taken;
}

/* Waits for its turn. \return the descriptor that holds the lock; the folder's, for the key's file
 * itself gives way to another. */
static int lock(const char *path, struct error *e) {
  CLEANUP_FREE char *copy = strdup(path);
  int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int failed = 0;
  while (fd >= 0 && (failed = flock(fd, LOCK_EX)) != 0 && errno == EINTR) {
  }
  if (fd >= 0 && failed == 0) {
    return fd;
  }
  error_errno(e, errno, "cannot lock the folder of %s", path);
  if (fd >= 0) {
    close(fd);
  }
  return -1;
}

int key_file_rotate(const char *path, const struct key_file_plan *plan,
                    struct key_file_rotation *out, struct error *e) {
  struct rotation r = {.path = path, .plan = plan};
  struct stat before = {0};
  *out = (struct key_file_rotation){0};
  if (lstat(path, &before) == 0 && S_ISLNK(before.st_mode)) {
    return error_set(e, ERROR_USAGE,
                     "%s: is a symbolic link; name the file itself, beside which the next key and "
                     "those retired are kept",
                     path);
  }
  CLEANUP_FD int locked = lock(path, e);
  if (locked < 0 || read_family(path, plan->use, &r.old, e) != 0) {
    return -1;
  }
  r.owner = (struct file_owner){before.st_uid, before.st_gid};
  int status = is_unchanged(&before, path)
                   ? prepare(&r, &out->known, e)
                   : error_set(e, ERROR_FAILED,
                               "%s: was rotated at this very moment by somebody else; nothing more "
                               "was done",
                               path);
  if (status == 0) {
    status = write_all(&r, out->known, e);
  }
  if (status == 0) {
    out->signs = take(&r.old.next.kid);
    out->next = take(&r.next.kid);
    out->retired = take(&r.old.key.kid);
    out->retired_until = plan->now + plan->lifetime;
  }
  rotation_free(&r);
  return status;
}

void key_file_rotation_free(struct key_file_rotation *rotation) {
  free(rotation->signs);
  free(rotation->next);
  free(rotation->retired);
  *rotation = (struct key_file_rotation){0};
}
