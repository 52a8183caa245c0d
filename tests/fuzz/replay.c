/* The main of a fuzz target outside the fuzz preset: every file of the folders and files that are
 * named is given to it once. Fails when a folder holds none, for then nothing was tested. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat s;
  if (file == NULL || fstat(fileno(file), &s) != 0) {
    perror(path);
    exit(1);
  }
  /* Exactly as large as the input, so that a sanitizer sees a read beyond it. */
  size_t size = (size_t)s.st_size;
  uint8_t *data = malloc(size == 0 ? 1 : size);
  if (data == NULL || fread(data, 1, size, file) != size) {
    perror(path);
    exit(1);
  }
  fclose(file);
  LLVMFuzzerTestOneInput(data, size);
  free(data);
  return 1;
}

static int replay(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) {
    return replay_file(path);
  }
  int count = 0;
  for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
    if (entry->d_name[0] != '.') {
      char child[4096];
      snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
      count += replay(child);
    }
  }
  closedir(dir);
  return count;
}

int main(int argc, char **argv) {
  int count = 0;
  for (int i = 1; i < argc; i++) {
    count += replay(argv[i]);
  }
  printf("%d inputs replayed\n", count);
  return count == 0;
}
