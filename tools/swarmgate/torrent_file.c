#include "command.h"

#include "base/file.h"
#include "base/hex.h"
#include "progress.h"
#include "torrent/verify.h"

#include <inttypes.h>
#include <stdio.h>

/* A torrent's file and what it says; `m` points into the others. */
struct opened {
  struct buf bytes;
  struct arena arena;
  struct metainfo m;
};

static int open_torrent(const char *path, struct opened *o, struct error *e) {
  if (file_read(path, METAINFO_MAX, &o->bytes, e) != 0) {
    return -1;
  }
  if (metainfo_read(buf_view(&o->bytes), &o->arena, &o->m, e) != 0) {
    return error_context(e, "%s", path);
  }
  return 0;
}

static void close_torrent(struct opened *o) {
  arena_free(&o->arena);
  buf_free(&o->bytes);
}

/* Names and URLs come from a stranger's file: nothing in them may steer a terminal. */
static struct slice print_first(struct slice s) {
  size_t control = slice_control(s);
  putchar(control > 0 ? '?' : s.ptr[0]);
  return slice_from(s, control > 0 ? control : 1);
}

static void print_text(struct slice s) {
  while (s.len > 0) {
    s = print_first(s);
  }
}

/* A URL without the tokens that ours carry: the value of `jwt`, the part behind `/webseed/`. */
static void print_url(const char *label, struct slice url) {
  static const struct {
    struct slice mark;
    char end;
  } secrets[] = {{{"jwt=", 4}, '&'}, {{"/webseed/", 9}, '/'}};
  printf("%-13s ", label);
  while (url.len > 0) {
    size_t i = 0;
    while (i < 2 && !slice_starts(url, secrets[i].mark)) {
      i++;
    }
    if (i == 2) {
      url = print_first(url);
      continue;
    }
    print_text(secrets[i].mark);
    url = slice_from(url, secrets[i].mark.len);
    fputs("<token>", stdout);
    while (url.len > 0 && url.ptr[0] != secrets[i].end) {
      url = slice_from(url, 1);
    }
  }
  putchar('\n');
}

static void print_torrent(const struct metainfo *m) {
  static const char *const formats[] = {"?", "v1", "v2", "hybrid"};
  char hex[65];
  printf("name          ");
  print_text(m->name);
  printf("\nsize          %" PRIu64 "\n", m->size);
  printf("format        %s\n", formats[m->format]);
  if ((m->format & TORRENT_V1) != 0) {
    hex_encode(m->infohash, sizeof m->infohash, hex);
    printf("infohash      %s\n", hex);
  }
  if ((m->format & TORRENT_V2) != 0) {
    hex_encode(m->infohash_v2, sizeof m->infohash_v2, hex);
    printf("infohash v2   %s\n", hex);
  }
  printf("piece length  %" PRIu32 "\n", m->piece_length);
  printf("pieces        %" PRIu64 "\n", (m->size + m->piece_length - 1) / m->piece_length);
  printf("private       %s\n", m->is_private ? "yes" : "no");
  for (size_t i = 0; i < m->announce_count; i++) {
    print_url("announce", m->announce[i]);
  }
  for (size_t i = 0; i < m->webseed_count; i++) {
    print_url("webseed", m->webseeds[i]);
  }
}

int command_torrent_show(int argc, char **argv, struct error *e) {
  char **operands;
  int count;
  struct opened o = {0};
  if (args_read(argc, argv, NULL, 0, 1, 1, &operands, &count, e) != 0) {
    return -1;
  }
  int result = open_torrent(operands[0], &o, e);
  if (result == 0) {
    print_torrent(&o.m);
  }
  close_torrent(&o);
  return result;
}

static void show_progress(void *arg, uint64_t done) {
  struct progress *p = arg;
  progress_add(p, done - p->done);
}

int command_torrent_verify(int argc, char **argv, struct error *e) {
  char **operands;
  int count;
  struct opened o = {0};
  struct progress progress;
  if (args_read(argc, argv, NULL, 0, 2, 2, &operands, &count, e) != 0) {
    return -1;
  }
  int result = open_torrent(operands[0], &o, e);
  if (result == 0) {
    progress_start(&progress, operands[1], o.m.size);
    result = verify_file(&o.m, operands[1], show_progress, &progress, e);
    progress_end(&progress);
  }
  if (result == 0) {
    printf("%s is what the torrent says\n", operands[1]);
  }
  close_torrent(&o);
  return result;
}
