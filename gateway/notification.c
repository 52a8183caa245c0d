#include "gateway/notification.h"

#include "base/cleanup.h"
#include "base/repository.h"
#include "image/json.h"
#include "image/manifest.h"
#include "image/reference.h"

/* The text of a member; a NULL pointer when it has none. */
static struct slice text_of(const json_t *object, const char *name) {
  const json_t *value = json_object_get(object, name);
  return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value))
                               : slice_of(NULL, 0);
}

/* Whether it is a manifest or an index; blobs come with types of their own. */
static bool is_manifest(const json_t *target) {
  const struct image_descriptor described = {
      .media_type = json_string_value(json_object_get(target, "mediaType"))};
  return described.media_type != NULL && image_index_entry_known(&described);
}

/* Reads an event. What was deleted has no type there. \return 1 when it is of use, 0 when not, -1
 * when there is no memory. */
static int read_event(const json_t *event, struct arena *arena, struct notification_event *out) {
  const json_t *target = json_object_get(event, "target");
  struct slice repository = text_of(target, "repository"), digest = text_of(target, "digest");
  struct slice action = text_of(event, "action");
  out->deleted = slice_equal(action, SLICE("delete"));
  bool pushed = slice_equal(action, SLICE("push")) && is_manifest(target);
  if ((!pushed && !out->deleted) || !repository_name_valid(repository) ||
      !image_digest_valid(digest)) {
    return 0;
  }
  out->repository = slice_of(arena_copy(arena, repository), repository.len);
  out->digest = slice_of(arena_copy(arena, digest), digest.len);
  return out->repository.ptr == NULL || out->digest.ptr == NULL ? -1 : 1;
}

struct notification_event *notification_read(struct slice json, struct arena *arena, size_t *count,
                                             struct error *e) {
  CLEANUP(image_json_release) json_t *envelope = image_json_read(json, e);
  const json_t *events = json_object_get(envelope, "events");
  struct notification_event *all;
  *count = 0;
  if (envelope == NULL) {
    return NULL;
  }
  if (!json_is_array(events)) {
    error_set(e, ERROR_FAILED, "it has no list of `events`");
    return NULL;
  }
  all = arena_alloc(arena, (NOTIFICATION_EVENTS_MAX + 1) * sizeof *all);
  for (size_t i = 0; all != NULL && i < json_array_size(events); i++) {
    int read = read_event(json_array_get(events, i), arena, &all[*count]);
    if (read == 1 && ++*count > NOTIFICATION_EVENTS_MAX) {
      error_set(e, ERROR_FAILED, "it has more than %d events", NOTIFICATION_EVENTS_MAX);
      return NULL;
    }
    all = read < 0 ? NULL : all;
  }
  if (all == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
  }
  return all;
}
