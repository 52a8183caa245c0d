/** Platforms, as images and `--platform` name them: `linux/amd64`, `linux/arm/v7`. Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/** In Go's names; a member is NULL where absent. */
struct image_platform {
  const char *os, *architecture, *variant;
};

/**
 * Reads `os/architecture[/variant]` into the arena. Names that uname(1) and Debian use (`x86_64`,
 * `aarch64`, `armhf`) become Go's.
 *
 * \return 0, or -1 with ERROR_USAGE.
 */
int image_platform_parse(const char *text, struct arena *arena, struct image_platform *out,
                         struct error *e);

/** The platform that this was built for; static strings. */
void image_platform_here(struct image_platform *out);

/**
 * How well an image for \p have runs on \p want: os and architecture must be the same; of variants
 * that are numbered, `have` must not be above `want`. Without a variant arm is v7, arm64 v8 and
 * amd64 v1.
 *
 * \return 0 for the same, then by how many levels it is below; UINT64_MAX when it does not run.
 */
uint64_t image_platform_distance(const struct image_platform *have,
                                 const struct image_platform *want);
