#include "support/heap.h"

#include "unit/cmocka_all.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 100000 }; /* of one operation: what allocates more never ends */

static atomic_size_t allocations;
static atomic_size_t candidates; /* for failing */
static atomic_size_t live;
static atomic_bool failed;
static enum heap_failure failing;
static bool failing_openssl; /* its allocations fail, and no others */
static size_t failing_at;

/* The linker's --wrap makes the names. NOLINTBEGIN(cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static bool fails(bool openssl) {
  allocations++;
  size_t nth = openssl == failing_openssl ? candidates++ : 0;
  if (openssl != failing_openssl || failing == HEAP_NONE || nth < failing_at ||
      (failing == HEAP_ONE && nth > failing_at)) {
    return false;
  }
  failed = true;
  return true;
}

static void *counted(void *p) {
  live += p != NULL;
  return p;
}

void *__wrap_malloc(size_t size) {
  return fails(false) ? NULL : counted(__real_malloc(size));
}

void *__wrap_aligned_alloc(size_t align, size_t size) {
  return fails(false) ? NULL : counted(__real_aligned_alloc(align, size));
}

void *__wrap_calloc(size_t count, size_t size) {
  return fails(false) ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *p, size_t size) {
  if (fails(false)) {
    return NULL;
  }
  return p == NULL ? counted(__real_realloc(NULL, size)) : __real_realloc(p, size);
}

void __wrap_free(void *p) {
  live -= p != NULL;
  __real_free(p);
}

char *__wrap_strndup(const char *text, size_t len) {
  size_t n = strnlen(text, len);
  char *copy = __wrap_malloc(n + 1);
  if (copy != NULL) {
    memcpy(copy, text, n);
    copy[n] = '\0';
  }
  return copy;
}

char *__wrap_strdup(const char *text) {
  return __wrap_strndup(text, SIZE_MAX);
}

static void *crypto_malloc(size_t size, const char *file, int line) {
  (void)file;
  (void)line;
  return fails(true) ? NULL : __real_malloc(size);
}

static void *crypto_realloc(void *p, size_t size, const char *file, int line) {
  (void)file;
  (void)line;
  return fails(true) ? NULL : __real_realloc(p, size);
}

static void crypto_free(void *p, const char *file, int line) {
  (void)file;
  (void)line;
  __real_free(p);
}
/* NOLINTEND(cert-dcl51-cpp) */

void heap_watch_openssl(void) {
  assert_int_equal(CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free), 1);
}

void heap_fail(enum heap_failure failure, size_t nth) {
  failing = failure;
  failing_at = nth;
  allocations = candidates = 0;
  failed = false;
}

size_t heap_allocations(void) {
  return allocations;
}

bool heap_failed(void) {
  return failed;
}

size_t heap_live(void) {
  return live;
}

static void exhaust(int (*run)(void *arg, struct error *e), void *arg, enum heap_failure failure) {
  bool hit = true;
  for (size_t nth = 0; hit; nth++) {
    assert_true(nth < RUNS_MAX);
    struct error e = {0};
    size_t before = heap_live();
    heap_fail(failure, nth);
    int status = run(arg, &e);
    hit = heap_failed();
    bool told = hit && e.text[0] != '\0' && (e.kind == ERROR_FAILED || failing_openssl);
    heap_fail(HEAP_NONE, 0);
    if (status != 0 && !told) {
      fail_msg("with allocation %zu failing: kind %d, %s", nth, (int)e.kind, e.text);
    }
    assert_int_equal(heap_live(), before);
  }
}

void heap_exhaust(int (*run)(void *arg, struct error *e), void *arg) {
  struct error e = {0};
  assert_int_equal(run(arg, &e), 0); /* what libraries make at their first use is made */
  exhaust(run, arg, HEAP_ONE);
  exhaust(run, arg, HEAP_REST);
}

void heap_exhaust_openssl(int (*run)(void *arg, struct error *e), void *arg) {
  failing_openssl = true;
  heap_exhaust(run, arg);
  failing_openssl = false;
}
