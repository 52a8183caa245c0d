#include "image/certificates.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot read certificates: out of memory");
}

static bool is_folder(const char *path) {
  struct stat s;
  return path != NULL && stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* NULL when there is none. */
static const char *find_folder(const char *host, struct arena *arena) {
  const char *home = getenv("HOME");
  const char *folders[] = {
      home == NULL ? NULL : arena_printf(arena, "%s/.config/containers/certs.d/%s", home, host).ptr,
      arena_printf(arena, "/etc/containers/certs.d/%s", host).ptr,
      arena_printf(arena, "/etc/docker/certs.d/%s", host).ptr};
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
    if (is_folder(folders[i])) {
      return folders[i];
    }
  }
  return NULL;
}

/* libcurl takes one file of CAs: several are put together in one that has no name. */
static int add_ca(const char *path, struct arena *arena, struct image_certificates *out,
                  struct error *e) {
  CLEANUP(buf_free) struct buf text = {0};
  if (out->ca_file == NULL) {
    out->ca_file = path;
    return 0;
  }
  if (out->bundle < 0) {
    const char *first = out->ca_file;
    out->bundle = memfd_create("certificates", MFD_CLOEXEC);
    if (out->bundle < 0) {
      return error_errno(e, errno, "cannot put CA certificates together");
    }
    out->ca_file = arena_printf(arena, "/proc/self/fd/%d", out->bundle).ptr;
    if (out->ca_file == NULL) {
      return out_of_memory(e);
    }
    if (add_ca(first, arena, out, e) != 0) {
      return -1;
    }
  }
  if (file_read(path, IMAGE_CA_FILE_MAX, &text, e) != 0) {
    return -1;
  }
  buf_str(&text, "\n");
  return !text.failed && write(out->bundle, text.ptr, text.len) == (ssize_t)text.len
             ? 0
             : error_set(e, ERROR_FAILED, "cannot put CA certificates together");
}

/* The other half of a pair: `x.key` of `x.cert` and the other way round. */
static int find_other(const char *path, size_t stem, const char *ending, struct arena *arena,
                      const char **out, struct error *e) {
  *out = arena_printf(arena, "%.*s%s", (int)stem, path, ending).ptr;
  if (*out == NULL) {
    return out_of_memory(e);
  }
  return access(*out, F_OK) == 0
             ? 0
             : error_set(e, ERROR_USAGE, "%s is missing, which goes with %s", *out, path);
}

static int add_file(const char *folder, const char *name, struct arena *arena,
                    struct image_certificates *out, struct error *e) {
  const char *other = NULL;
  struct slice path = arena_printf(arena, "%s/%s", folder, name);
  if (path.ptr == NULL) {
    return out_of_memory(e);
  }
  if (slice_ends(path, SLICE(".crt"))) {
    return add_ca(path.ptr, arena, out, e);
  }
  if (slice_ends(path, SLICE(".key"))) {
    return find_other(path.ptr, path.len - 4, ".cert", arena, &other, e);
  }
  if (slice_ends(path, SLICE(".cert")) && out->cert_file == NULL) {
    out->cert_file = path.ptr;
    return find_other(path.ptr, path.len - 5, ".key", arena, &out->key_file, e);
  }
  return 0;
}

int image_certificates_find(const char *cert_dir, const char *host, struct arena *arena,
                            struct image_certificates *out, struct error *e) {
  struct dirent **entries = NULL;
  int result = 0;
  *out = (struct image_certificates){.bundle = -1};
  const char *folder = cert_dir != NULL ? cert_dir : find_folder(host, arena);
  if (folder == NULL) {
    return 0;
  }
  int count = scandir(folder, &entries, NULL, alphasort);
  if (count < 0) {
    int number = errno;
    error_errno(e, number, "cannot read certificates in %s", folder);
    if (e != NULL && number == ENOENT) {
      e->kind = ERROR_USAGE;
    }
    return -1;
  }
  for (int i = 0; i < count; i++) {
    if (result == 0) {
      result = add_file(folder, entries[i]->d_name, arena, out, e);
    }
    free(entries[i]);
  }
  free(entries);
  if (result != 0) {
    image_certificates_close(out);
  }
  return result;
}

void image_certificates_close(struct image_certificates *c) {
  if (c->bundle >= 0) {
    close(c->bundle);
    c->bundle = -1;
  }
}

/* NULL without memory. */
static BIO *read_bytes(const char *path, struct buf *text, struct error *e) {
  if (file_read(path, IMAGE_CA_FILE_MAX, text, e) != 0) {
    return NULL;
  }
  BIO *bytes = BIO_new_mem_buf(text->ptr == NULL ? "" : text->ptr, (int)text->len);
  if (bytes == NULL) {
    out_of_memory(e);
  }
  return bytes;
}

/* The first certificate of a file; NULL with \p e. */
static X509 *read_certificate(const char *path, struct error *e) {
  CLEANUP(buf_free) struct buf text = {0};
  BIO *bytes = read_bytes(path, &text, e);
  X509 *first = NULL;
  if (bytes != NULL && (first = PEM_read_bio_X509(bytes, NULL, NULL, NULL)) == NULL) {
    error_set(e, ERROR_USAGE, "%s: holds no certificate in PEM", path);
  }
  BIO_free(bytes);
  ERR_clear_error();
  return first;
}

static int no_pass_phrase(char *out, int size, int writing, void *arg) {
  (void)out, (void)size, (void)writing, (void)arg;
  return -1;
}

static void wipe(struct buf *text) {
  OPENSSL_cleanse(text->ptr, text->len);
  buf_free(text);
}

static EVP_PKEY *read_key(const char *path, struct error *e) {
  CLEANUP(wipe) struct buf text = {0};
  BIO *bytes = read_bytes(path, &text, e);
  EVP_PKEY *key = NULL;
  if (bytes != NULL && (key = PEM_read_bio_PrivateKey(bytes, NULL, no_pass_phrase, NULL)) == NULL) {
    error_set(e, ERROR_USAGE,
              "%s: holds no private key in PEM that can be read without a pass "
              "phrase",
              path);
  }
  BIO_free(bytes);
  ERR_clear_error();
  return key;
}

int image_certificates_check(const char *path, struct error *e) {
  X509 *first = read_certificate(path, e);
  X509_free(first);
  return first == NULL ? -1 : 0;
}

int image_certificates_check_pair(const char *cert, const char *key, struct error *e) {
  X509 *certificate = read_certificate(cert, e);
  EVP_PKEY *secret = certificate == NULL ? NULL : read_key(key, e);
  int result = -1;
  if (secret != NULL) {
    result = X509_check_private_key(certificate, secret) == 1
                 ? 0
                 : error_set(e, ERROR_USAGE, "%s is not the key of %s", key, cert);
  }
  EVP_PKEY_free(secret);
  X509_free(certificate);
  ERR_clear_error();
  return result;
}
