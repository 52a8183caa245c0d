#include "image/tar_digest.h"

#include "image/transport.h"

#include <openssl/evp.h>

/* One file on its way. */
struct digesting {
  struct tar_reader *reader;
  unpacker_source *source;
  void *arg;
  struct tar_file *file;
  struct arena *arena;
  EVP_MD_CTX *stored, *unpacked;
  bool failed; /* whatever is made of this file, the archive cannot be read on */
  struct error why;
};

static EVP_MD_CTX *digest_new(struct error *e) {
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  if (digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1) {
    return digest;
  }
  EVP_MD_CTX_free(digest);
  error_set(e, ERROR_FAILED, "out of memory");
  return NULL;
}

static int digest_add(EVP_MD_CTX *digest, struct slice bytes, struct error *e) {
  return bytes.len == 0 || EVP_DigestUpdate(digest, bytes.ptr, bytes.len) == 1
             ? 0
             : error_set(e, ERROR_FAILED, "cannot compute a digest");
}

static const char *digest_end(EVP_MD_CTX *digest, struct arena *arena, struct error *e) {
  unsigned char sha256[EVP_MAX_MD_SIZE];
  const char *text =
      EVP_DigestFinal_ex(digest, sha256, NULL) == 1 ? image_transport_digest(sha256, arena) : NULL;
  if (text == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
  }
  return text;
}

/* The file's next bytes, hashed on their way to whoever wants them. */
static int pull(void *arg, struct slice *bytes, struct error *e) {
  struct digesting *d = arg;
  (void)e;
  d->failed = d->source(d->arg, bytes, &d->why) != 0 || digest_add(d->stored, *bytes, &d->why) != 0;
  d->file->size += d->failed ? 0 : bytes->len;
  return d->failed ? -1 : 0;
}

static void digest_unpacked(struct digesting *d, struct unpacker *u) {
  struct slice bytes;
  d->unpacked = digest_new(&d->why);
  d->failed = d->unpacked == NULL;
  while (!d->failed && unpacker_next(u, &bytes, NULL) == 0) {
    if (bytes.len == 0) {
      d->file->unpacked = digest_end(d->unpacked, d->arena, &d->why);
      d->failed = d->file->unpacked == NULL;
      return;
    }
    d->failed = tar_reader_charge(d->reader, bytes.len, &d->why) != 0 ||
                digest_add(d->unpacked, bytes, &d->why) != 0;
  }
}

static void unpack(struct digesting *d) {
  struct unpacker *u = NULL;
  if (unpacker_open(pull, d, &u, NULL) == 0) {
    d->file->packing = unpacker_packing(u);
    if (d->file->packing == PACKING_GZIP || d->file->packing == PACKING_ZSTD) {
      digest_unpacked(d, u);
    }
  }
  unpacker_close(u);
}

static int digest_all(struct digesting *d, struct error *e) {
  struct slice bytes;
  unpack(d);
  /* What the unpacker has left. */
  while (!d->failed && pull(d, &bytes, NULL) == 0 && bytes.len > 0) {
  }
  if (d->failed) {
    if (e != NULL) {
      *e = d->why;
    }
    return -1;
  }
  d->file->digest = digest_end(d->stored, d->arena, e);
  return d->file->digest == NULL ? -1 : 0;
}

int tar_digest_file(struct tar_reader *reader, unpacker_source *source, void *arg,
                    struct arena *arena, struct tar_file *file, struct error *e) {
  struct digesting d = {.reader = reader,
                        .source = source,
                        .arg = arg,
                        .file = file,
                        .arena = arena,
                        .stored = digest_new(e)};
  int result = d.stored == NULL ? -1 : digest_all(&d, e);
  EVP_MD_CTX_free(d.stored);
  EVP_MD_CTX_free(d.unpacked);
  return result;
}
