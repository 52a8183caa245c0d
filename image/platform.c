#include "image/platform.h"

#include "image/reference.h"

/* What uname(1) and Debian call the architectures that Go calls otherwise. */
static const struct {
  const char *other, *architecture, *variant;
} ALIASES[] = {{"x86_64", "amd64", NULL},   {"aarch64", "arm64", NULL}, {"armhf", "arm", "v7"},
               {"armel", "arm", "v6"},      {"i386", "386", NULL},      {"i686", "386", NULL},
               {"ppc64el", "ppc64le", NULL}};

int image_platform_parse(const char *text, struct arena *arena, struct image_platform *out,
                         struct error *e) {
  struct slice rest = slice_str(text);
  struct slice parts[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
  const char *copies[3] = {NULL, NULL, NULL};
  size_t count = 0;
  bool valid = rest.len > 0;
  while (valid && rest.ptr != NULL && count < 3) {
    parts[count] = slice_cut(&rest, '/');
    valid = image_name_valid(parts[count]);
    count++;
  }
  if (!valid || rest.ptr != NULL || count < 2) {
    return error_set(e, ERROR_USAGE,
                     "invalid platform %.64s: it is written OS/ARCHITECTURE[/VARIANT], such as "
                     "linux/amd64 or linux/arm/v7",
                     text);
  }
  for (size_t i = 0; i < count; i++) {
    copies[i] = arena_copy(arena, parts[i]);
    if (copies[i] == NULL) {
      return error_set(e, ERROR_FAILED, "cannot read a platform: out of memory");
    }
  }
  *out = (struct image_platform){copies[0], copies[1], copies[2]};
  for (size_t i = 0; i < sizeof ALIASES / sizeof ALIASES[0]; i++) {
    if (strcmp(copies[1], ALIASES[i].other) == 0) {
      out->architecture = ALIASES[i].architecture;
      out->variant = copies[2] == NULL ? ALIASES[i].variant : copies[2];
    }
  }
  return 0;
}

void image_platform_here(struct image_platform *out) {
#if defined(__x86_64__)
  *out = (struct image_platform){"linux", "amd64", NULL};
#elif defined(__aarch64__)
  *out = (struct image_platform){"linux", "arm64", NULL};
#elif defined(__arm__)
  *out = (struct image_platform){"linux", "arm", __ARM_ARCH >= 7 ? "v7" : "v6"};
#elif defined(__i386__)
  *out = (struct image_platform){"linux", "386", NULL};
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  *out = (struct image_platform){"linux", "ppc64le", NULL};
#elif defined(__riscv) && __riscv_xlen == 64
  *out = (struct image_platform){"linux", "riscv64", NULL};
#elif defined(__s390x__)
  *out = (struct image_platform){"linux", "s390x", NULL};
#else
#error "name this architecture as Go does"
#endif
}

/* A variant as a number, what none means included; 0 for names that cannot be ordered. */
static uint64_t variant_level(const char *architecture, const char *variant) {
  uint64_t level = 0;
  if (variant != NULL && variant[0] != '\0') {
    return variant[0] == 'v' && slice_u64(slice_str(variant + 1), &level) ? level : 0;
  }
  if (strcmp(architecture, "arm") == 0) {
    return 7;
  }
  return strcmp(architecture, "arm64") == 0 ? 8 : 1;
}

uint64_t image_platform_distance(const struct image_platform *have,
                                 const struct image_platform *want) {
  if (have->os == NULL || have->architecture == NULL || strcmp(have->os, want->os) != 0 ||
      strcmp(have->architecture, want->architecture) != 0) {
    return UINT64_MAX;
  }
  uint64_t wanted = variant_level(want->architecture, want->variant);
  uint64_t offered = variant_level(have->architecture, have->variant);
  if (wanted == 0 || offered == 0) {
    const char *a = want->variant == NULL ? "" : want->variant;
    const char *b = have->variant == NULL ? "" : have->variant;
    return strcmp(a, b) == 0 ? 0 : UINT64_MAX;
  }
  return offered <= wanted ? wanted - offered : UINT64_MAX;
}
