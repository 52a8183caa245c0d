#include "command.h"

#include "base/hex.h"
#include "base/units.h"
#include "db/torrent_store.h"
#include "torrent/metainfo.h"

#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

static const char *format_name(uint8_t format) {
  static const char *const names[] = {"?", "v1", "v2", "hybrid"};
  return names[format <= 3 ? format : 0];
}

/* By what a person knows a CA: the SHA-256 of its certificate, and its subject. */
struct ca_name {
  char sha256[2 * 32 + 1];
  char subject[256];
};

static bool write_subject(const X509 *certificate, struct ca_name *out) {
  BIO *bio = BIO_new(BIO_s_mem());
  int len = -1;
  /* RFC 2253, and with what would steer a terminal escaped. */
  if (bio != NULL &&
      X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                         XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
    len = BIO_read(bio, out->subject, sizeof out->subject - 1);
    out->subject[len < 0 ? 0 : len] = '\0';
  }
  BIO_free(bio);
  return len >= 0;
}

/* Of the CA that a torrent is under. \return false when it is under none, or by none of ours. */
static bool name_ca(struct slice info, struct ca_name *out) {
  struct slice pem = metainfo_ca(info);
  unsigned char digest[32];
  BIO *bio = pem.len == 0 ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
  X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
  bool good = certificate != NULL && X509_digest(certificate, EVP_sha256(), digest, NULL) == 1 &&
              write_subject(certificate, out);
  if (good) {
    hex_encode(digest, sizeof digest, out->sha256);
  }
  X509_free(certificate);
  BIO_free(bio);
  return good;
}

static bool print_torrent(void *arg, const struct torrent_record *r, const struct slice *registries,
                          const struct slice *repositories, size_t count) {
  (void)arg;
  char infohash[41];
  char size[UNITS_TEXT_MAX];
  hex_encode(r->infohash, sizeof r->infohash, infohash);
  units_print_size(r->size, size);
  struct ca_name ca;
  printf("%s  %-6s  %s\n  %.*s\n", infohash, format_name(r->format), size, SLICE_ARG(r->digest));
  if (name_ca(r->info, &ca)) {
    printf("  CA %s, %s\n", ca.sha256, ca.subject);
  }
  for (size_t i = 0; i < count; i++) {
    printf("  %.*s/%.*s\n", SLICE_ARG(registries[i]), SLICE_ARG(repositories[i]));
  }
  return true;
}

static bool add_torrent(void *arg, const struct torrent_record *r, const struct slice *registries,
                        const struct slice *repositories, size_t count) {
  json_t *list = arg;
  char infohash[41];
  char v2[65];
  struct ca_name ca;
  hex_encode(r->infohash, sizeof r->infohash, infohash);
  hex_encode(r->infohash_v2, sizeof r->infohash_v2, v2);
  json_t *allowed = json_array();
  for (size_t i = 0; i < count; i++) {
    json_array_append_new(allowed, json_pack("{s:s%, s:s%}", "registry", registries[i].ptr,
                                             registries[i].len, "repository", repositories[i].ptr,
                                             repositories[i].len));
  }
  json_t *torrent =
      json_pack("{s:s%, s:I, s:s, s:o}", "digest", r->digest.ptr, r->digest.len, "size",
                (json_int_t)r->size, "format", format_name(r->format), "repositories", allowed);
  if ((r->format & 1) != 0) {
    json_object_set_new(torrent, "infohash", json_string(infohash));
  }
  if ((r->format & 2) != 0) {
    json_object_set_new(torrent, "infohash_v2", json_string(v2));
  }
  if (name_ca(r->info, &ca)) {
    json_object_set_new(torrent, "ca",
                        json_pack("{s:s, s:s}", "sha256", ca.sha256, "subject", ca.subject));
  }
  return json_array_append_new(list, torrent) == 0;
}

static int list_lines(struct db_txn *txn, void *arg, struct error *e) {
  return torrent_store_each(txn, print_torrent, arg, e);
}

static int list_json(struct db_txn *txn, void *arg, struct error *e) {
  return torrent_store_each(txn, add_torrent, arg, e);
}

int command_torrent_list(int argc, char **argv, struct error *e) {
  const char *config_path = NULL;
  bool json = false;
  const struct args_option options[] = {{.name = "config", .value = &config_path},
                                        {.name = "json", .flag = &json}};
  char **operands;
  int count;
  struct config config = {0};
  struct db *db = NULL;
  if (args_read(argc, argv, options, 2, 0, 0, &operands, &count, e) != 0 ||
      command_config_here(config_path, &config, e) != 0) {
    return -1;
  }
  json_t *list = json ? json_array() : NULL;
  int result = db_open(config.data_dir.text, &db, e);
  if (result == 0) {
    result = db_read(db, json ? list_json : list_lines, list, e);
    db_close(db);
  }
  if (result == 0 && json) {
    json_dumpf(list, stdout, JSON_INDENT(2));
    puts("");
  }
  json_decref(list);
  config_free(&config);
  return result;
}

static int remove_torrent(struct db_txn *txn, void *arg, struct error *e) {
  return torrent_store_remove(txn, arg, e);
}

int command_torrent_remove(int argc, char **argv, struct error *e) {
  const char *config_path = NULL;
  const struct args_option options[] = {{.name = "config", .value = &config_path}};
  char **operands;
  int count;
  struct config config = {0};
  struct db *db = NULL;
  unsigned char infohash[32];
  if (args_read(argc, argv, options, 1, 1, 1, &operands, &count, e) != 0) {
    return -1;
  }
  /* Of a v2 infohash the store knows the first 20 bytes. */
  if (!hex_decode(slice_str(operands[0]), infohash, 20) &&
      !hex_decode(slice_str(operands[0]), infohash, 32)) {
    return error_set(e, ERROR_USAGE, "%s: an infohash of 40 or 64 hex digits is wanted",
                     operands[0]);
  }
  if (command_config_here(config_path, &config, e) != 0) {
    return -1;
  }
  int result = db_open(config.data_dir.text, &db, e);
  if (result == 0) {
    result = db_write_now(db, remove_torrent, infohash, e);
    db_close(db);
  }
  config_free(&config);
  return result;
}
