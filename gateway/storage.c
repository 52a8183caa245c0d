/*
 * What lies where, as the distribution project's filesystem driver has it: a blob under its digest,
 * and in every repository that has it a link.
 */
#include "gateway/storage.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define VERSION "docker/registry/v2"

int storage_open(const char *root, const char *repository, const char *digest, uint64_t *size) {
  const char *hex = digest + strlen("sha256:");
  CLEANUP_FREE char *link = NULL;
  CLEANUP_FREE char *data = NULL;
  struct stat s;
  if (asprintf(&link, "%s/" VERSION "/repositories/%s/_layers/sha256/%s/link", root, repository,
               hex) < 0 ||
      asprintf(&data, "%s/" VERSION "/blobs/sha256/%.2s/%s/data", root, hex, hex) < 0 ||
      access(link, F_OK) != 0) {
    return -1;
  }
  int fd = open(data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd >= 0 && (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))) {
    close(fd);
    return -1;
  }
  if (fd >= 0) {
    *size = (uint64_t)s.st_size;
  }
  return fd;
}
