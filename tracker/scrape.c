#include "tracker/scrape.h"

#include "http/query.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
  return memcmp(a, b, INFOHASH);
}

/* The keys of the answer's dictionary ascend, and each comes once. */
static void sort(struct scrape *s) {
  qsort(s->info_hash, s->count, INFOHASH, compare);
  size_t kept = 0;
  for (size_t i = 0; i < s->count; i++) {
    if (kept == 0 || memcmp(s->info_hash[kept - 1], s->info_hash[i], INFOHASH) != 0) {
      memmove(s->info_hash[kept++], s->info_hash[i], INFOHASH);
    }
  }
  s->count = kept;
}

struct parameter_fault scrape_parse(struct slice query, struct scrape *out) {
  out->count = 0;
  out->bearer.jwt = out->bearer.trackerid = slice_of(NULL, 0);
  struct parameter_fault fault = {NULL, false};
  bool jwt_seen = false, trackerid_seen = false;
  struct slice name, value;
  while (query_next(&query, &name, &value)) {
    const char *wrong = NULL;
    if (slice_equal(name, SLICE("info_hash"))) {
      if (out->count == SCRAPE_MAX ||
          !parameter_bytes(value, out->info_hash[out->count], INFOHASH)) {
        wrong = "info_hash";
      } else {
        out->count++;
      }
    } else if (slice_equal(name, SLICE("jwt"))) {
      wrong = jwt_seen ? "jwt" : NULL;
      if (!jwt_seen) {
        parameter_jwt(&out->bearer, value);
      }
      jwt_seen = true;
    } else if (slice_equal(name, SLICE("trackerid"))) {
      wrong = trackerid_seen ? "trackerid" : NULL;
      if (!trackerid_seen) {
        parameter_trackerid(&out->bearer, value);
      }
      trackerid_seen = true;
    }
    if (fault.name == NULL) {
      fault.name = wrong;
    }
  }
  if (fault.name == NULL && out->count == 0) {
    fault = (struct parameter_fault){"info_hash", true};
  }
  sort(out);
  return fault;
}
