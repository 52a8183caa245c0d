#include "bencode/reader.h"
#include "torrent/merkle.h"
#include "torrent/metainfo.h"

/* What the info dictionary says, before its parts are held against each other. */
struct info {
  struct slice name;
  struct slice pieces;
  struct slice tree; /* the bencoded `file tree` */
  struct slice tree_name;
  struct slice pieces_root;
  struct slice ca;
  int64_t length, tree_length, piece_length, private, version;
  bool has_pieces, has_length, has_files;
};

struct urls {
  struct slice *list; /* METAINFO_URLS_MAX of them */
  size_t count;
};

static int bad(struct error *e, const char *what) {
  return error_set(e, ERROR_FAILED, "bad torrent: %s", what);
}

/* A token of a type that is not the one wanted, or a fault. */
static int wrong(const struct bencode_reader *r, struct bencode_token t, const char *what,
                 struct error *e) {
  if (t.type == BENCODE_ERROR) {
    return error_set(e, ERROR_FAILED, "bad torrent: not bencode, at byte %zu of %s: %s", t.offset,
                     what, r->fault);
  }
  return error_set(e, ERROR_FAILED, "bad torrent: %s has a value of the wrong type", what);
}

static int read_string(struct bencode_reader *r, const char *what, struct slice *out,
                       struct error *e) {
  struct bencode_token t = bencode_next(r);
  *out = t.string;
  return t.type == BENCODE_STRING ? 0 : wrong(r, t, what, e);
}

static int read_integer(struct bencode_reader *r, const char *what, int64_t *out, struct error *e) {
  struct bencode_token t = bencode_next(r);
  *out = t.integer;
  return t.type == BENCODE_INTEGER ? 0 : wrong(r, t, what, e);
}

static int read_raw(struct bencode_reader *r, const char *what, struct slice *out,
                    struct error *e) {
  return bencode_skip(r, out) ? 0 : wrong(r, bencode_next(r), what, e);
}

static int read_begin(struct bencode_reader *r, const char *what, enum bencode_type type,
                      struct error *e) {
  struct bencode_token t = bencode_next(r);
  return t.type == type ? 0 : wrong(r, t, what, e);
}

/* The next key of a dictionary. \return 1, 0 at its end, -1. */
static int read_key(struct bencode_reader *r, const char *what, struct slice *key,
                    struct error *e) {
  struct bencode_token t = bencode_next(r);
  *key = t.string;
  if (t.type == BENCODE_STRING) {
    return 1;
  }
  return t.type == BENCODE_END ? 0 : wrong(r, t, what, e);
}

static bool is(struct slice key, const char *name) {
  return slice_equal(key, slice_str(name));
}

/* Empty ones, which some programs write, and those that are there already are left out. */
static int add_url(struct urls *urls, struct slice url, struct error *e) {
  for (size_t i = 0; i < urls->count; i++) {
    if (slice_equal(urls->list[i], url)) {
      return 0;
    }
  }
  if (url.len > 0 && urls->count == METAINFO_URLS_MAX) {
    return bad(e, "too many URLs");
  }
  if (url.len > 0) {
    urls->list[urls->count++] = url;
  }
  return 0;
}

/* `url-list` is a string or a list of strings (BEP 19), `announce-list` a list of lists of strings
 * (BEP 12): all strings down to `depth` lists are taken. */
static int read_urls(struct bencode_reader *r, const char *what, unsigned depth, struct urls *urls,
                     struct error *e) {
  unsigned open = 0;
  do {
    struct bencode_token t = bencode_next(r);
    if (t.type == BENCODE_LIST && open < depth) {
      open++;
    } else if (t.type == BENCODE_END && open > 0) {
      open--;
    } else if (t.type != BENCODE_STRING) {
      return wrong(r, t, what, e);
    } else if (add_url(urls, t.string, e) != 0) {
      return -1;
    }
  } while (open > 0);
  return 0;
}

/* The dictionary of one file: what stands behind its name's empty key (BEP 52). */
static int read_file(struct bencode_reader *r, struct info *info, struct error *e) {
  struct slice key;
  int more;
  if (read_begin(r, "file tree", BENCODE_DICT, e) != 0) {
    return -1;
  }
  while ((more = read_key(r, "file tree", &key, e)) > 0) {
    int result = is(key, "length")        ? read_integer(r, "length", &info->tree_length, e)
                 : is(key, "pieces root") ? read_string(r, "pieces root", &info->pieces_root, e)
                                          : read_raw(r, "file tree", NULL, e);
    if (result != 0) {
      return -1;
    }
  }
  return more;
}

static int read_tree(struct info *info, struct error *e) {
  static const char several[] = "it has several files or folders; only single files are supported";
  struct bencode_reader r = bencode_reader(info->tree);
  struct slice key;
  if (read_begin(&r, "file tree", BENCODE_DICT, e) != 0) {
    return -1;
  }
  if (read_key(&r, "file tree", &info->tree_name, e) != 1) {
    return bad(e, "file tree has no file");
  }
  if (read_begin(&r, "file tree", BENCODE_DICT, e) != 0) {
    return -1;
  }
  if (read_key(&r, "file tree", &key, e) != 1 || key.len > 0) {
    return bad(e, several);
  }
  if (read_file(&r, info, e) != 0) {
    return -1;
  }
  bool only_entry = bencode_next(&r).type == BENCODE_END;
  bool only_file = bencode_next(&r).type == BENCODE_END;
  return only_entry && only_file ? 0 : bad(e, several);
}

static int read_info(struct slice raw, struct info *info, struct error *e) {
  struct bencode_reader r = bencode_reader(raw);
  struct slice key;
  int more;
  if (read_begin(&r, "info", BENCODE_DICT, e) != 0) {
    return -1;
  }
  while ((more = read_key(&r, "info", &key, e)) > 0) {
    int result;
    if (is(key, "name")) {
      result = read_string(&r, "name", &info->name, e);
    } else if (is(key, "piece length")) {
      result = read_integer(&r, "piece length", &info->piece_length, e);
    } else if (is(key, "length")) {
      info->has_length = true;
      result = read_integer(&r, "length", &info->length, e);
    } else if (is(key, "pieces")) {
      info->has_pieces = true;
      result = read_string(&r, "pieces", &info->pieces, e);
    } else if (is(key, "ssl-cert")) {
      result = read_string(&r, "ssl-cert", &info->ca, e);
    } else if (is(key, "private")) {
      result = read_integer(&r, "private", &info->private, e);
    } else if (is(key, "meta version")) {
      result = read_integer(&r, "meta version", &info->version, e);
    } else if (is(key, "file tree")) {
      result = read_raw(&r, "file tree", &info->tree, e);
    } else {
      info->has_files |= is(key, "files");
      result = read_raw(&r, "info", NULL, e);
    }
    if (result != 0) {
      return -1;
    }
  }
  return more;
}

/* Holds the v1 part and the v2 part against sizes and each other, and fills `m`. */
static int check_info(const struct info *info, struct metainfo *m, struct error *e) {
  bool v1 = info->has_pieces;
  bool v2 = info->version == 2;
  struct error why = {0};
  if (info->has_files) {
    return bad(e, "it has several files; only single files are supported");
  }
  if (info->version != 0 && !v2) {
    return bad(e, "meta version is unknown");
  }
  if (!v1 && !v2) {
    return bad(e, "info has neither pieces nor meta version 2");
  }
  if (v1 != info->has_length) {
    return bad(e, "pieces and length must come together");
  }
  if (v2 && info->tree.len == 0) {
    return bad(e, "file tree is missing");
  }
  if (!metainfo_name_valid(info->name)) {
    return bad(e, "name is missing or no file name");
  }
  int64_t size = v1 ? info->length : info->tree_length;
  if (size < 0 || info->piece_length < 0 || info->piece_length > TORRENT_PIECE_MAX) {
    return bad(e, "length or piece length is out of range");
  }
  if (torrent_check_sizes((uint64_t)size, (uint32_t)info->piece_length, &why) != 0) {
    return bad(e, why.text);
  }
  uint64_t count = torrent_piece_count((uint64_t)size, (uint32_t)info->piece_length);
  if (v1 && info->pieces.len != count * 20) {
    return bad(e, "the number of pieces does not fit length");
  }
  if (v2 && (!slice_equal(info->tree_name, info->name) || info->tree_length != size)) {
    return bad(e, "file tree and info differ in name or length");
  }
  if (v2 && info->pieces_root.len != MERKLE_HASH) {
    return bad(e, "pieces root is missing or not 32 bytes");
  }
  if (info->private != 0 && info->private != 1) {
    return bad(e, "private is neither 0 nor 1");
  }
  m->format = (enum torrent_format)((v1 ? TORRENT_V1 : 0) | (v2 ? TORRENT_V2 : 0));
  m->name = info->name;
  m->size = (uint64_t)size;
  m->piece_length = (uint32_t)info->piece_length;
  m->is_private = info->private == 1;
  m->ca = info->ca;
  m->pieces = info->pieces;
  m->pieces_root = v2 ? info->pieces_root : (struct slice){NULL, 0};
  return 0;
}

/* Finds this file's layer in `piece layers` and checks it against the root. */
static int check_layers(struct metainfo *m, struct error *e) {
  struct slice key;
  struct slice layer;
  if (m->piece_layers.ptr == NULL) {
    return bad(e, "piece layers is missing");
  }
  struct bencode_reader r = bencode_reader(m->piece_layers);
  if (read_begin(&r, "piece layers", BENCODE_DICT, e) != 0) {
    return -1;
  }
  /* It was skipped as a whole before, so it is bencode to its end. */
  while (read_key(&r, "piece layers", &key, e) > 0) {
    if (read_string(&r, "piece layers", &layer, e) != 0) {
      return -1;
    }
    if (slice_equal(key, m->pieces_root)) {
      m->piece_layer = layer;
    }
  }
  uint64_t count = torrent_piece_count(m->size, m->piece_length);
  unsigned char root[MERKLE_HASH];
  if (m->piece_layer.len != (count == 1 ? 0 : count * MERKLE_HASH)) {
    return bad(e, "the piece layer is missing or its length does not fit");
  }
  if (count > 1 && !merkle_layer_root(m->piece_layer, m->piece_length, root)) {
    return error_set(e, ERROR_FAILED, "cannot check a torrent: OpenSSL failed");
  }
  if (count > 1 && !slice_equal(slice_of(root, sizeof root), m->pieces_root)) {
    return bad(e, "the piece layer does not lead to pieces root");
  }
  return 0;
}

static int read_all(struct slice bytes, struct metainfo *m, struct urls *announce,
                    struct urls *webseeds, struct error *e) {
  struct bencode_reader r = bencode_reader(bytes);
  struct slice key;
  int more;
  if (read_begin(&r, "the file", BENCODE_DICT, e) != 0) {
    return -1;
  }
  while ((more = read_key(&r, "the file", &key, e)) > 0) {
    int result = is(key, "announce")        ? read_urls(&r, "announce", 0, announce, e)
                 : is(key, "announce-list") ? read_urls(&r, "announce-list", 2, announce, e)
                 : is(key, "url-list")      ? read_urls(&r, "url-list", 1, webseeds, e)
                 : is(key, "info")          ? read_raw(&r, "info", &m->info, e)
                 : is(key, "piece layers")  ? read_raw(&r, "piece layers", &m->piece_layers, e)
                                            : read_raw(&r, "the file", NULL, e);
    if (result != 0) {
      return -1;
    }
  }
  struct bencode_token last = bencode_next(&r);
  if (more == 0 && last.type != BENCODE_DONE) {
    return wrong(&r, last, "the file", e);
  }
  return more;
}

int metainfo_read(struct slice bytes, struct arena *arena, struct metainfo *out, struct error *e) {
  struct metainfo m = {0};
  struct info info = {0};
  struct slice *list = arena_alloc(arena, 2 * sizeof *list * METAINFO_URLS_MAX);
  if (list == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read a torrent: out of memory");
  }
  struct urls announce = {.list = list};
  struct urls webseeds = {.list = list + METAINFO_URLS_MAX};
  if (bytes.len > METAINFO_MAX) {
    return bad(e, "it is larger than 32 MiB");
  }
  if (read_all(bytes, &m, &announce, &webseeds, e) != 0) {
    return -1;
  }
  if (m.info.ptr == NULL) {
    return bad(e, "info is missing");
  }
  if (read_info(m.info, &info, e) != 0 || (info.tree.len > 0 && read_tree(&info, e) != 0) ||
      check_info(&info, &m, e) != 0) {
    return -1;
  }
  if ((m.format & TORRENT_V2) == 0) {
    m.piece_layers = (struct slice){NULL, 0};
  } else if (check_layers(&m, e) != 0) {
    return -1;
  }
  m.announce = announce.list;
  m.announce_count = announce.count;
  m.webseeds = webseeds.list;
  m.webseed_count = webseeds.count;
  if (metainfo_hash(&m, e) != 0) {
    return -1;
  }
  *out = m;
  return 0;
}
