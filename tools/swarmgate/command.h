/** The commands of `swarmgate`, a file each or a few that belong together. */
#pragma once

#include "args.h"

#include "base/error.h"
#include "config/config.h"
#include "db/audit.h"

/**
 * What each command is: \p argv[0] is its words, one or two. Output goes to standard output;
 * \return 0, or -1 with the error, whose kind becomes the exit code.
 */
typedef int command_fn(int argc, char **argv, struct error *e);

command_fn command_torrent_create;
command_fn command_torrent_show, command_torrent_verify;
command_fn command_torrent_list, command_torrent_remove;
command_fn command_torrent_sync;
command_fn command_key_generate, command_key_jwks, command_key_rotate;
command_fn command_token_issue, command_token_inspect, command_token_verify;
command_fn command_revoke, command_revoke_list, command_revoke_remove;
command_fn command_user_add, command_user_passwd, command_user_remove, command_user_list;
command_fn command_user_grant, command_user_ungrant;
command_fn command_db_stats, command_db_check;
command_fn command_audit;
command_fn command_pull, command_seed;
command_fn command_agent_run, command_agent_install, command_agent_uninstall, command_status;

/** Loads the file of `--config`, which the command needs. \return 0, or -1 with ERROR_USAGE. */
int command_config(const char *path, struct config *out, struct error *e);
/**
 * Likewise, for a command that works on what is kept in `data_dir`: a tracker that stands alone has
 * nothing there, so that what is written would be read by nobody.
 */
int command_config_here(const char *path, struct config *out, struct error *e);

/**
 * Records what a command is about to do, or to hand out, in the audit log; \p event needs no `from`
 * and no `who`. What it speaks of must not happen unless this returns 0.
 *
 * \return 0 once it is on disk, or -1 with ERROR_FAILED.
 */
int command_record(const struct config *config, struct audit_event event, struct error *e);
