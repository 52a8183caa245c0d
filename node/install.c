#include "node/install.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "image/reference.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { FILE_MODE = 0644, FILE_MAX = 1024 * 1024 };

static const char mark[] = "# Written by `swarmgate agent install`";
static const char hosts_folder[] = "/etc/containerd/certs.d";
static const char podman_folder[] = "/etc/containers/registries.conf.d";
static const char podman_file[] = "/etc/containers/registries.conf.d/50-swarmgate.conf";

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* Reads a file that is ours; it is freed by the caller, and empty where there is none. \return 0,
 * or -1. */
static int read_ours(const char *path, struct buf *out, struct error *e) {
  struct error why = {0};
  if (file_read(path, FILE_MAX, out, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, ERROR_FAILED, "%s", why.text);
  }
  return slice_starts(buf_view(out), SLICE(mark))
             ? 0
             : error_set(e, ERROR_FAILED,
                         "%s was not written by `swarmgate agent install`, and is left as it is",
                         path);
}

static int write_file(const struct install_options *o, const char *path, struct slice text,
                      struct error *e) {
  CLEANUP_FREE char *folder = strdup(path);
  CLEANUP(buf_free) struct buf old = {0};
  if (folder == NULL) {
    return out_of_memory(e);
  }
  *strrchr(folder, '/') = '\0';
  if (read_ours(path, &old, e) != 0) {
    return -1;
  }
  if (slice_equal(buf_view(&old), text)) {
    fprintf(o->says, "unchanged %s\n", path);
    return 0;
  }
  if (file_make_folders(folder, e) != 0 || file_write(path, text, FILE_MODE, e) != 0) {
    return -1;
  }
  fprintf(o->says, "%s %s\n", old.len > 0 ? "replaced" : "wrote", path);
  return 0;
}

/* \return how many files were removed, 0 or 1; or -1. */
static int remove_file(const struct install_options *o, const char *path, struct error *e) {
  CLEANUP(buf_free) struct buf old = {0};
  if (read_ours(path, &old, e) != 0) {
    return -1;
  }
  if (old.len == 0) {
    return 0;
  }
  if (unlink(path) != 0) {
    return error_errno(e, errno, "cannot remove %s", path);
  }
  fprintf(o->says, "removed %s\n", path);
  return 1;
}

/* --- containerd --- */

/* Where a registry itself answers, as containerd has it: Docker Hub under another name, this
 * machine's own on plain http. */
static const char *origin_of(const char *host, struct arena *arena) {
  if (strcmp(host, "docker.io") == 0) {
    return "https://registry-1.docker.io";
  }
  return arena_printf(arena, "%s://%s", image_host_is_loopback(host) ? "http" : "https", host).ptr;
}

static int write_hosts(const struct install_options *o, const char *host, struct arena *arena,
                       struct error *e) {
  struct slice path = arena_printf(arena, "%s%s/%s/hosts.toml", o->root, hosts_folder, host);
  const char *origin = origin_of(host, arena);
  struct slice text = arena_printf(arena,
                                   "%s from %s.\n"
                                   "server = \"%s\"\n\n"
                                   "[host.\"http://%s\"]\n"
                                   "  capabilities = [\"pull\"]\n",
                                   mark, o->file, origin, o->listen);
  return path.ptr == NULL || origin == NULL || text.ptr == NULL ? out_of_memory(e)
                                                                : write_file(o, path.ptr, text, e);
}

/* --- podman --- */

static int write_podman(const struct install_options *o, struct arena *arena, struct error *e) {
  CLEANUP(buf_free) struct buf text = {0};
  struct slice path = arena_printf(arena, "%s%s", o->root, podman_file);
  buf_printf(&text, "%s from %s.\n", mark, o->file);
  for (size_t i = 0; i < o->host_count; i++) {
    const char *host = o->hosts[i].name;
    const char *component = route_component(host, arena);
    /* A registry of this machine's own is asked over plain http, as it would be without this. */
    buf_printf(&text,
               "\n[[registry]]\nprefix = \"%s\"\nlocation = \"%s\"\n%s"
               "[[registry.mirror]]\nlocation = \"%s/%s\"\ninsecure = true\n",
               host, host, image_host_is_loopback(host) ? "insecure = true\n" : "", o->listen,
               component == NULL ? "" : component);
  }
  return text.failed || path.ptr == NULL ? out_of_memory(e)
                                         : write_file(o, path.ptr, buf_view(&text), e);
}

/* --- both --- */

/* The first error is the one that is told. */
static void keep_error(struct error *first, const struct error *more) {
  if (first->kind == ERROR_NONE) {
    *first = *more;
  }
}

static int finish(const struct error *first, struct error *e) {
  return first->kind == ERROR_NONE ? 0 : error_set(e, first->kind, "%s", first->text);
}

static void say_what_is_left(const struct install_options *o) {
  fprintf(o->says,
          "podman, skopeo and buildah read %s%s at once.\n"
          "containerd reads %s%s when its configuration says so: in the section\n"
          "[plugins.\"io.containerd.grpc.v1.cri\".registry] of %s/etc/containerd/config.toml put\n"
          "config_path = \"%s\", and restart it; `ctr` takes --hosts-dir.\n"
          "docker asks mirrors for docker.io alone: \"registry-mirrors\": [\"http://%s\"] in\n"
          "%s/etc/docker/daemon.json.\n",
          o->root, podman_folder, o->root, hosts_folder, o->root, hosts_folder, o->listen, o->root);
}

int install_write(const struct install_options *o, struct error *e) {
  CLEANUP(arena_free) struct arena arena = {0};
  struct error first = {0};
  struct error why = {0};
  for (size_t i = 0; i < o->host_count; i++) {
    if (write_hosts(o, o->hosts[i].name, &arena, &why) != 0) {
      keep_error(&first, &why);
    }
  }
  if (write_podman(o, &arena, &why) != 0) {
    keep_error(&first, &why);
  }
  if (first.kind == ERROR_NONE) {
    say_what_is_left(o);
  }
  return finish(&first, e);
}

/* Of every registry that there is a folder of; a folder that is empty then goes too. \return how
 * many. */
static int remove_hosts(const struct install_options *o, struct arena *arena, struct error *first) {
  struct error why = {0};
  int count = 0;
  struct slice folder = arena_printf(arena, "%s%s", o->root, hosts_folder);
  const struct dirent *entry;
  DIR *dir = folder.ptr == NULL ? NULL : opendir(folder.ptr);
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    struct slice below = arena_printf(arena, "%s/%s", folder.ptr, entry->d_name);
    struct slice path = arena_printf(arena, "%s/hosts.toml", below.ptr);
    CLEANUP(buf_free) struct buf old = {0};
    if (entry->d_name[0] == '.' || path.ptr == NULL || read_ours(path.ptr, &old, NULL) != 0 ||
        old.len == 0) {
      continue; /* another's is none of our business */
    }
    int removed = remove_file(o, path.ptr, &why);
    if (removed < 0) {
      keep_error(first, &why);
    } else {
      count += removed;
    }
    rmdir(below.ptr);
  }
  if (dir != NULL) {
    closedir(dir);
  }
  return count;
}

int install_remove(const struct install_options *o, struct error *e) {
  CLEANUP(arena_free) struct arena arena = {0};
  struct error first = {0};
  struct error why = {0};
  struct slice path = arena_printf(&arena, "%s%s", o->root, podman_file);
  int removed = remove_hosts(o, &arena, &first);
  int podmans = path.ptr == NULL ? out_of_memory(&why) : remove_file(o, path.ptr, &why);
  if (podmans < 0) {
    keep_error(&first, &why);
  } else if (removed + podmans == 0) {
    fprintf(o->says, "nothing to remove: `swarmgate agent install` has written nothing in %s/etc\n",
            o->root);
  }
  return finish(&first, e);
}
