/* SPDX-License-Identifier: MPL-2.0 */

/*  cli.h - the subcommands of `baton`. argv[0] is the subcommand; the result is the exit code:
 *  0 ok, 1 something failed (and it was said what), 2 wrong usage, 69 the orchestrator did not
 *  answer.  */
#ifndef BN_CLI_H
#define BN_CLI_H

int bn_cli_bench (int argc, char **argv);
int bn_cli_dead (int argc, char **argv);
int bn_cli_down (int argc, char **argv);
int bn_cli_forget (int argc, char **argv);
int bn_cli_journal (int argc, char **argv); /* 3: it cannot be opened or read */
int bn_cli_lab (int argc, char **argv); /* 130: interrupted */
int bn_cli_logs (int argc, char **argv);
int bn_cli_monitor (int argc, char **argv);
int bn_cli_node (int argc, char **argv);
int bn_cli_orchestrator (int argc, char **argv);
int bn_cli_publish (int argc, char **argv);
int bn_cli_read (int argc, char **argv);
int bn_cli_reload (int argc, char **argv);
int bn_cli_restart (int argc, char **argv);
int bn_cli_scale (int argc, char **argv);
int bn_cli_status (int argc, char **argv);
int bn_cli_top (int argc, char **argv);
int bn_cli_up (int argc, char **argv);
int bn_cli_why (int argc, char **argv);

#endif
