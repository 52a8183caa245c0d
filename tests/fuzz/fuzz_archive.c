// LINKS image base
/* A tar of any kind as `docker-archive:` and as `oci-archive:`, of all platforms: what is taken can
 * be read, and what can be read has the size that is told. */
#include "image/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int count_bytes(void *arg, struct slice bytes, struct error *e) {
  uint64_t *seen = arg;
  (void)e;
  *seen += bytes.len;
  return 0;
}

static void read_all(struct image_source *source) {
  size_t count;
  const struct image_descriptor *blobs = image_source_blobs(source, &count);
  for (size_t i = 0; i < count; i++) {
    struct error e = {0};
    uint64_t seen = 0;
    int result = image_source_read(source, &blobs[i], count_bytes, NULL, &seen, &e);
    if (seen > blobs[i].size || (result == 0 && seen != blobs[i].size)) {
      abort();
    }
  }
}

static void open_as(enum image_transport transport, const char *path) {
  const struct image_reference reference = {.transport = transport, .path = path};
  const struct image_source_options options = {.tls_verify = true, .all = true};
  struct image_source *source = NULL;
  struct error e = {0};
  if (image_source_open(&reference, &options, &source, &e) == 0) {
    read_all(source);
  }
  image_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = memfd_create("archive", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
    abort();
  }
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  open_as(IMAGE_DOCKER_ARCHIVE, path);
  open_as(IMAGE_OCI_ARCHIVE, path);
  close(fd);
  return 0;
}
