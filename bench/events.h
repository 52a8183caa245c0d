/** What is to happen, by when, and links that transfers share evenly. For bench/simulation.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One event. What the numbers are is its kind's matter. */
struct event {
  double at;
  uint64_t order; /**< of those of one moment, the one that was added first comes first */
  int kind;
  uint32_t node, other, piece;
  uint64_t version;
};

/** All zero: none. */
struct events {
  struct event *heap;
  size_t count, size;
  uint64_t added;
  bool failed; /**< no memory: one was not taken in */
};

void events_free(struct events *events);
void events_add(struct events *events, const struct event *event);
/** Takes the next one out. \return false when there is none. */
bool events_next(struct events *events, struct event *out);

/** A transfer of `size` bytes. */
struct transfer {
  double left_at; /**< it is through when the link has worked so much, in bytes for each transfer */
  uint32_t node, piece;
};

/** A link; all zero but for its rate at first. */
struct link {
  double rate; /**< bytes a second */
  double worked, at;
  struct transfer *transfers;
  size_t count, size;
  uint64_t version; /**< of what link_due() said last */
};

void link_free(struct link *link);
/** \return false when there is no memory. */
bool link_add(struct link *link, double now, double bytes, uint32_t node, uint32_t piece);
/** When the next transfer is through, which stands until one is added or taken. There is one. */
double link_due(struct link *link);
/** Takes the one that is through. */
struct transfer link_take(struct link *link, double now);
