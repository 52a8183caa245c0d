#include "command.h"

#include "db/db.h"

#include <inttypes.h>
#include <stdio.h>

static int open_db(int argc, char **argv, struct db **db, struct error *e) {
  const char *config_path = NULL;
  const struct args_option options[] = {{.name = "config", .value = &config_path}};
  char **operands;
  int count;
  struct config config = {0};
  if (args_read(argc, argv, options, 1, 0, 0, &operands, &count, e) != 0 ||
      command_config(config_path, &config, e) != 0) {
    return -1;
  }
  int result = db_open(config.data_dir.text, db, e);
  config_free(&config);
  return result;
}

int command_db_stats(int argc, char **argv, struct error *e) {
  struct db *db;
  struct db_stats stats;
  if (open_db(argc, argv, &db, e) != 0) {
    return -1;
  }
  int result = db_stats(db, &stats, e);
  if (result == 0) {
    printf("schema          %" PRIu64 "\n"
           "torrents        %" PRIu64 "\n"
           "repositories    %" PRIu64 "\n"
           "revocations     %" PRIu64 "\n"
           "users           %" PRIu64 "\n"
           "grants          %" PRIu64 "\n"
           "refresh tokens  %" PRIu64 "\n"
           "used bytes      %" PRIu64 "\n"
           "map bytes       %" PRIu64 "\n"
           "readers now     %" PRIu64 "\n",
           stats.schema, stats.torrents, stats.readable, stats.revocations, stats.users,
           stats.grants, stats.refresh_tokens, stats.used_bytes, stats.map_size, stats.readers_now);
  }
  db_close(db);
  return result;
}

int command_db_check(int argc, char **argv, struct error *e) {
  struct db *db;
  uint64_t records = 0;
  uint64_t faults = 0;
  if (open_db(argc, argv, &db, e) != 0) {
    return -1;
  }
  int result = db_check(db, &records, &faults, e);
  if (result == 0) {
    printf("%" PRIu64 " records, all sound\n", records);
  } else if (faults > 0) {
    error_context(e, "%" PRIu64 " of %" PRIu64 " records are damaged, the first", faults, records);
  }
  db_close(db);
  return result;
}
