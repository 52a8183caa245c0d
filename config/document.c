#include "config/document.h"

/* Says what libyaml did not like. Of bytes that are no UTF-8 it tells the offset alone. */
static int syntax_error(const char *name, struct slice bytes, const yaml_parser_t *parser,
                        struct error *e) {
  if (parser->error == YAML_MEMORY_ERROR) {
    return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", name);
  }
  size_t line = parser->problem_mark.line;
  if (parser->error == YAML_READER_ERROR) {
    line = 0;
    for (size_t i = 0; i < parser->problem_offset && i < bytes.len; i++) {
      line += bytes.ptr[i] == '\n';
    }
  }
  return error_set(e, ERROR_USAGE, "%s:%zu: it cannot be read as YAML: %s%s%s", name, line + 1,
                   parser->context == NULL ? "" : parser->context,
                   parser->context == NULL ? "" : ": ",
                   parser->problem == NULL ? "unknown problem" : parser->problem);
}

static void parser_start(yaml_parser_t *parser, struct slice bytes) {
  yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(parser, (const unsigned char *)bytes.ptr, bytes.len);
}

/* What has been seen so far of a stream of events. */
struct events {
  size_t count, depth, documents;
};

/* Returns what is wrong with an event, or NULL. */
static const char *refuse(struct events *seen, const yaml_event_t *event) {
  const yaml_char_t *anchor = NULL, *tag = NULL;
  switch (event->type) {
  case YAML_DOCUMENT_START_EVENT:
    if (++seen->documents > 1) {
      return "one document is all that is read; another begins here";
    }
    break;
  case YAML_ALIAS_EVENT:
    return "aliases are not taken; write the value once more";
  case YAML_SCALAR_EVENT:
    anchor = event->data.scalar.anchor;
    tag = event->data.scalar.tag;
    break;
  case YAML_SEQUENCE_START_EVENT:
    anchor = event->data.sequence_start.anchor;
    tag = event->data.sequence_start.tag;
    seen->depth++;
    break;
  case YAML_MAPPING_START_EVENT:
    anchor = event->data.mapping_start.anchor;
    tag = event->data.mapping_start.tag;
    seen->depth++;
    break;
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT:
    seen->depth--;
    break;
  default:
    break;
  }
  return anchor != NULL                        ? "anchors are not taken; leave out `&` and the word"
         : tag != NULL                         ? "tags are not taken; leave out `!` and the word"
         : seen->depth > DOCUMENT_DEPTH_MAX    ? "no key lies as deep as this"
         : ++seen->count > DOCUMENT_EVENTS_MAX ? "the file has too many values"
                                               : NULL;
}

static int check_events(const char *name, struct slice bytes, struct error *e) {
  yaml_parser_t parser;
  yaml_event_t event;
  struct events seen = {0};
  if (!yaml_parser_initialize(&parser)) {
    return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", name);
  }
  parser_start(&parser, bytes);
  int rc = 0;
  for (bool ended = false; rc == 0 && !ended;) {
    if (!yaml_parser_parse(&parser, &event)) {
      rc = syntax_error(name, bytes, &parser, e);
      break;
    }
    const char *wrong = refuse(&seen, &event);
    if (wrong != NULL) {
      rc = error_set(e, ERROR_USAGE, "%s:%zu: %s", name, event.start_mark.line + 1, wrong);
    }
    ended = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
  }
  yaml_parser_delete(&parser);
  return rc == 0 && seen.documents == 0
             ? error_set(e, ERROR_USAGE, "%s:1: there is nothing in it", name)
             : rc;
}

int document_load(const char *name, struct slice bytes, yaml_document_t *out, struct error *e) {
  yaml_parser_t parser;
  if (slice_starts(bytes, SLICE("\xef\xbb\xbf"))) {
    bytes = slice_from(bytes, 3); /* a byte order mark, which libyaml counts as a column */
  }
  if (check_events(name, bytes, e) != 0) {
    return -1;
  }
  if (!yaml_parser_initialize(&parser)) {
    return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", name);
  }
  parser_start(&parser, bytes);
  int rc = yaml_parser_load(&parser, out) ? 0 : syntax_error(name, bytes, &parser, e);
  yaml_parser_delete(&parser);
  return rc;
}
