#include "torrent/metainfo.h"

#include "bencode/reader.h"
#include "bencode/writer.h"

#include <openssl/evp.h>

static const struct slice ca_key = SLICE("ssl-cert");

bool metainfo_name_valid(struct slice name) {
  if (name.len == 0 || name.len > METAINFO_NAME_MAX || slice_equal(name, SLICE(".")) ||
      slice_equal(name, SLICE(".."))) {
    return false;
  }
  for (size_t i = 0; i < name.len; i++) {
    if (name.ptr[i] == '/' || slice_control(slice_from(name, i)) > 0) {
      return false;
    }
  }
  return true;
}

int metainfo_hash(struct metainfo *m, struct error *e) {
  bool v1 = (m->format & TORRENT_V1) != 0;
  bool v2 = (m->format & TORRENT_V2) != 0;
  if ((v1 && EVP_Q_digest(NULL, "SHA1", NULL, m->info.ptr, m->info.len, m->infohash, NULL) != 1) ||
      (v2 &&
       EVP_Q_digest(NULL, "SHA256", NULL, m->info.ptr, m->info.len, m->infohash_v2, NULL) != 1)) {
    return error_set(e, ERROR_FAILED, "cannot hash an info dictionary: OpenSSL failed");
  }
  if (!v1) {
    memcpy(m->infohash, m->infohash_v2, sizeof m->infohash);
  }
  return 0;
}

static void write_info(struct bencode_writer *w, const struct metainfo *m) {
  bencode_write_dict(w);
  if ((m->format & TORRENT_V2) != 0) {
    bencode_write_string(w, SLICE("file tree"));
    bencode_write_dict(w);
    bencode_write_string(w, m->name);
    bencode_write_dict(w);
    bencode_write_string(w, SLICE(""));
    bencode_write_dict(w);
    bencode_write_string(w, SLICE("length"));
    bencode_write_integer(w, (int64_t)m->size);
    bencode_write_string(w, SLICE("pieces root"));
    bencode_write_string(w, m->pieces_root);
    bencode_write_end(w);
    bencode_write_end(w);
    bencode_write_end(w);
  }
  if ((m->format & TORRENT_V1) != 0) {
    bencode_write_string(w, SLICE("length"));
    bencode_write_integer(w, (int64_t)m->size);
  }
  if ((m->format & TORRENT_V2) != 0) {
    bencode_write_string(w, SLICE("meta version"));
    bencode_write_integer(w, 2);
  }
  bencode_write_string(w, SLICE("name"));
  bencode_write_string(w, m->name);
  bencode_write_string(w, SLICE("piece length"));
  bencode_write_integer(w, m->piece_length);
  if ((m->format & TORRENT_V1) != 0) {
    bencode_write_string(w, SLICE("pieces"));
    bencode_write_string(w, m->pieces);
  }
  bencode_write_string(w, SLICE("private"));
  bencode_write_integer(w, 1);
  if (m->ca.len > 0) {
    bencode_write_string(w, ca_key);
    bencode_write_string(w, m->ca);
  }
  bencode_write_end(w);
}

static void write_piece_layers(struct bencode_writer *w, const struct metainfo *m) {
  bencode_write_dict(w);
  if (m->piece_layer.len > 0) {
    bencode_write_string(w, m->pieces_root);
    bencode_write_string(w, m->piece_layer);
  }
  bencode_write_end(w);
}

/* Writes twice: to see how much room it takes, and then into it. */
static struct slice written(void (*write)(struct bencode_writer *, const struct metainfo *),
                            const struct metainfo *m, struct arena *arena) {
  struct bencode_writer count = bencode_writer(NULL, 0);
  write(&count, m);
  char *room = arena_alloc(arena, count.len);
  if (room == NULL) {
    return (struct slice){NULL, 0};
  }
  struct bencode_writer w = bencode_writer(room, count.len);
  write(&w, m);
  return slice_of(room, w.len);
}

static struct slice copy(struct arena *arena, struct slice s, bool *good) {
  char *p = arena_copy(arena, s);
  *good &= p != NULL;
  return slice_of(p, s.len);
}

int metainfo_make(const struct hashes *hashes, struct slice name, struct slice ca,
                  struct arena *arena, struct metainfo *out, struct error *e) {
  if (!metainfo_name_valid(name)) {
    return error_set(e, ERROR_USAGE, "\"%.*s\" cannot be the name of a torrent", SLICE_ARG(name));
  }
  bool good = true;
  struct metainfo m = {
      .format = hashes->format,
      .size = hashes->size,
      .piece_length = hashes->piece_length,
      .is_private = true,
      .name = copy(arena, name, &good),
      .pieces = copy(arena, buf_view(&hashes->pieces), &good),
      .piece_layer = copy(arena, buf_view(&hashes->piece_layer), &good),
      .ca = copy(arena, ca, &good),
  };
  if ((m.format & TORRENT_V2) != 0) {
    m.pieces_root = copy(arena, slice_of(hashes->pieces_root, sizeof hashes->pieces_root), &good);
  }
  if (good) {
    m.info = written(write_info, &m, arena);
    good = m.info.ptr != NULL;
  }
  if (good && (m.format & TORRENT_V2) != 0) {
    m.piece_layers = written(write_piece_layers, &m, arena);
    good = m.piece_layers.ptr != NULL;
  }
  if (!good) {
    return error_set(e, ERROR_FAILED, "cannot make a torrent: out of memory");
  }
  if (metainfo_hash(&m, e) != 0) {
    return -1;
  }
  *out = m;
  return 0;
}

/* \return false when `info` is no dictionary. */
static bool find_ca(struct slice info, struct slice *found) {
  struct bencode_reader r = bencode_reader(info);
  *found = (struct slice){0};
  if (bencode_next(&r).type != BENCODE_DICT) {
    return false;
  }
  for (struct bencode_token key = bencode_next(&r); key.type == BENCODE_STRING;
       key = bencode_next(&r)) {
    if (slice_equal(key.string, ca_key)) {
      *found = bencode_next(&r).string;
    } else if (!bencode_skip(&r, NULL)) {
      return false;
    }
  }
  return true;
}

struct slice metainfo_ca(struct slice info) {
  struct slice found;
  return find_ca(info, &found) ? found : (struct slice){0};
}

bool metainfo_is_under(struct slice info, struct slice ca) {
  struct slice found;
  return find_ca(info, &found) && slice_equal(found, ca);
}

/* Writes the dictionary `info` with another CA, whose key is put where it belongs among the others.
 * \return false when it is no dictionary. */
static bool write_under(struct bencode_writer *w, struct slice info, struct slice ca) {
  struct bencode_reader r = bencode_reader(info);
  bool placed = ca.len == 0;
  if (bencode_next(&r).type != BENCODE_DICT) {
    return false;
  }
  bencode_write_dict(w);
  for (;;) {
    struct bencode_token key = bencode_next(&r);
    struct slice value;
    if (key.type != BENCODE_END && (key.type != BENCODE_STRING || !bencode_skip(&r, &value))) {
      return false;
    }
    if (!placed && (key.type == BENCODE_END || slice_compare(key.string, ca_key) >= 0)) {
      bencode_write_string(w, ca_key);
      bencode_write_string(w, ca);
      placed = true;
    }
    if (key.type == BENCODE_END) {
      bencode_write_end(w);
      return true;
    }
    if (!slice_equal(key.string, ca_key)) {
      bencode_write_string(w, key.string);
      bencode_write_raw(w, value);
    }
  }
}

int metainfo_put_under(struct metainfo *m, struct slice ca, struct arena *arena, struct error *e) {
  struct bencode_writer count = bencode_writer(NULL, 0);
  if (!write_under(&count, m->info, ca)) {
    return error_set(e, ERROR_FAILED, "cannot put a torrent under a CA: bad info dictionary");
  }
  char *room = arena_alloc(arena, count.len);
  if (room == NULL) {
    return error_set(e, ERROR_FAILED, "cannot put a torrent under a CA: out of memory");
  }
  struct bencode_writer w = bencode_writer(room, count.len);
  write_under(&w, m->info, ca);
  m->info = slice_of(room, w.len);
  m->ca = ca;
  return metainfo_hash(m, e);
}

static void write_file(struct bencode_writer *w, const struct metainfo *m) {
  bencode_write_dict(w);
  if (m->announce_count > 0) {
    bencode_write_string(w, SLICE("announce"));
    bencode_write_string(w, m->announce[0]);
  }
  if (m->announce_count > 1) {
    bencode_write_string(w, SLICE("announce-list"));
    bencode_write_list(w);
    for (size_t i = 0; i < m->announce_count; i++) {
      bencode_write_list(w);
      bencode_write_string(w, m->announce[i]);
      bencode_write_end(w);
    }
    bencode_write_end(w);
  }
  bencode_write_string(w, SLICE("info"));
  bencode_write_raw(w, m->info);
  if (m->piece_layers.len > 0) {
    bencode_write_string(w, SLICE("piece layers"));
    bencode_write_raw(w, m->piece_layers);
  }
  if (m->webseed_count == 1) {
    bencode_write_string(w, SLICE("url-list"));
    bencode_write_string(w, m->webseeds[0]);
  } else if (m->webseed_count > 1) {
    bencode_write_string(w, SLICE("url-list"));
    bencode_write_list(w);
    for (size_t i = 0; i < m->webseed_count; i++) {
      bencode_write_string(w, m->webseeds[i]);
    }
    bencode_write_end(w);
  }
  bencode_write_end(w);
}

int metainfo_write(const struct metainfo *m, struct buf *out, struct error *e) {
  struct bencode_writer count = bencode_writer(NULL, 0);
  write_file(&count, m);
  char *room = buf_reserve(out, count.len);
  if (room == NULL) {
    return error_set(e, ERROR_FAILED, "cannot write a torrent: out of memory");
  }
  struct bencode_writer w = bencode_writer(room, count.len);
  write_file(&w, m);
  out->len += w.len;
  return 0;
}
