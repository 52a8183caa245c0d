/** The folder that `torrent create` fills: torrents, and index.json once all of them are there. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct output_file;

/** `struct output o = {.folder = …};` is a folder that nothing was written to yet. */
struct output {
  const char *folder;
  bool begun;
  struct arena arena;
  struct output_file *written;
};

/** Writes a torrent. Before the first one index.json goes, which is of what was there before.
 * \return 0, or -1. */
int output_torrent(struct output *o, const char *name, struct slice bytes, struct error *e);

/** Writes index.json. \return 0, or -1. */
int output_index(struct output *o, struct slice bytes, struct error *e);

/** Removes what was written, as far as it can be: a part must not be taken for the whole. */
void output_discard(struct output *o);

/** Frees what it holds; the files stay. */
void output_close(struct output *o);
