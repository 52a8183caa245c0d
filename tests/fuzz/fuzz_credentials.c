// LINKS image base
/* Any bytes as an auth file: what is found is a user name with a password, an identity token, or
 * nothing, and makes an Authorization that is one line. An error does not quote the file. */
#include "image/credentials.h"

#include "base/slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void find(const char *path, const char *host, const char *repository) {
  struct image_credentials c, copy;
  struct error e = {0};
  if (image_credentials_find(NULL, path, host, repository, &c, &e) != 0) {
    check(e.kind == ERROR_USAGE && c.username == NULL && c.password == NULL);
    return;
  }
  check((c.username == NULL) == (c.password == NULL));
  check(c.identity_token == NULL || c.username == NULL);
  if (c.username != NULL) {
    check(strchr(c.username, ':') == NULL);
    char *basic = image_credentials_basic(&c);
    check(slice_starts(slice_str(basic), SLICE("Basic ")) && strpbrk(basic, "\r\n") == NULL);
    image_secret_free(basic);
  }
  check(image_credentials_copy(&c, &copy, &e) == 0);
  image_credentials_free(&copy);
  image_credentials_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[32];
  int fd = memfd_create("auth.json", 0);
  check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  find(path, "docker.io", "library/alpine");
  find(path, "registry.example:5000", "team/app");
  close(fd);
  return 0;
}
