/** The table of keys: what each is called, what it takes, and where its value goes. */
#pragma once

#include "config/values.h"

enum setting_kind {
  SETTING_MAP,      /**< a mapping of `keys`, into the same struct */
  SETTING_ROWS,     /**< a list of mappings of `keys`, into a pointer to structs and their number */
  SETTING_TEXT,     /**< into a struct config_text */
  SETTING_PATH,     /**< a text, made relative to the file */
  SETTING_SOURCE,   /**< a path made relative to the file, or a URL as it is */
  SETTING_TEXTS,    /**< a list of texts into a struct config_texts */
  SETTING_PATHS,    /**< a list of paths */
  SETTING_PAIRS,    /**< a mapping of any names to texts, into a struct config_pairs */
  SETTING_WORD,     /**< one of `words`; its value into an enum or bool */
  SETTING_INTEGER,  /**< `min` to `max`, into an integer of 4 or 8 bytes */
  SETTING_SIZE,     /**< `min` to `max`, bytes, into an integer of 8 bytes */
  SETTING_DURATION, /**< `min` to `max`, whole seconds, into an integer of 4 bytes */
  SETTING_CHECKED,  /**< a text that `check` takes, and that is not kept */
  SETTING_PRESENT,  /**< no key: true when the mapping is there; into a bool */
  SETTING_LINE,     /**< no key: the line of the mapping; into an unsigned */
  SETTING_EMPTY,    /**< in the contract, but refused as yet unless empty: a list or mapping */
};

struct setting_word {
  const char *name;
  unsigned value;
};

struct setting {
  const char *name;
  enum setting_kind kind;
  bool required;      /**< in a mapping that is there */
  bool may_be_empty;  /**< a list */
  size_t at, size;    /**< of the member, in the struct of its mapping */
  const char *preset; /**< the default, as it would be written; of a list the only value */
  uint64_t min, max;
  const char *at_most; /**< a key above in the table; a default is lowered to its value */
  value_check *check;
  value_check *check_name; /**< of SETTING_PAIRS: what a name may be */
  const struct setting_word
      *words; /**< ends with a NULL name; SETTING_TEXTS takes only these too */
  const struct setting *keys;
  size_t key_count;
  size_t count_at; /**< of the member that holds the number of rows */
  size_t row_size;
};

/** What `log:` takes in every configuration: `level`, and `format`. */
extern const struct setting_word settings_levels[], settings_log_formats[];

/** Most keys of a mapping. */
enum { SETTINGS_MAX = 32 };

/** The keys of the document, into a struct config. */
extern const struct setting settings_top[];
extern const size_t settings_top_count;
