#include "bench/events.h"

#include <stdlib.h>

static bool is_before(const struct event *a, const struct event *b) {
  return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void swap(struct event *a, struct event *b) {
  struct event kept = *a;
  *a = *b;
  *b = kept;
}

void events_free(struct events *events) {
  free(events->heap);
}

void events_add(struct events *events, const struct event *event) {
  if (events->count == events->size) {
    size_t size = events->size == 0 ? 1024 : events->size * 2;
    struct event *heap = reallocarray(events->heap, size, sizeof *heap);
    if (heap == NULL) {
      events->failed = true;
      return;
    }
    events->heap = heap;
    events->size = size;
  }
  size_t i = events->count++;
  struct event *heap = events->heap;
  heap[i] = *event;
  heap[i].order = events->added++;
  for (; i > 0 && is_before(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2) {
    swap(&heap[i], &heap[(i - 1) / 2]);
  }
}

bool events_next(struct events *events, struct event *out) {
  struct event *heap = events->heap;
  if (events->count == 0) {
    return false;
  }
  *out = heap[0];
  heap[0] = heap[--events->count];
  for (size_t i = 0;;) {
    size_t least = i;
    for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < events->count; child++) {
      least = is_before(&heap[child], &heap[least]) ? child : least;
    }
    if (least == i) {
      return true;
    }
    swap(&heap[i], &heap[least]);
    i = least;
  }
}

void link_free(struct link *link) {
  free(link->transfers);
}

/* Each of n transfers has an n-th of the rate. */
static void work(struct link *link, double now) {
  if (link->count > 0) {
    link->worked += (now - link->at) * link->rate / (double)link->count;
  }
  link->at = now;
}

bool link_add(struct link *link, double now, double bytes, uint32_t node, uint32_t piece) {
  if (link->count == link->size) {
    size_t size = link->size == 0 ? 16 : link->size * 2;
    struct transfer *transfers = reallocarray(link->transfers, size, sizeof *transfers);
    if (transfers == NULL) {
      return false;
    }
    link->transfers = transfers;
    link->size = size;
  }
  work(link, now);
  link->transfers[link->count++] =
      (struct transfer){.left_at = link->worked + bytes, .node = node, .piece = piece};
  link->version++;
  return true;
}

static size_t first_of(const struct link *link) {
  size_t first = 0;
  for (size_t i = 1; i < link->count; i++) {
    first = link->transfers[i].left_at < link->transfers[first].left_at ? i : first;
  }
  return first;
}

double link_due(struct link *link) {
  double left = link->transfers[first_of(link)].left_at - link->worked;
  return link->at + (left > 0 ? left : 0) * (double)link->count / link->rate;
}

struct transfer link_take(struct link *link, double now) {
  size_t first = first_of(link);
  struct transfer taken = link->transfers[first];
  work(link, now);
  link->transfers[first] = link->transfers[--link->count];
  link->version++;
  return taken;
}
