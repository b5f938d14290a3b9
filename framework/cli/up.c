/* SPDX-License-Identifier: MPL-2.0 */

/*  up.c - `baton up`: an orchestrator and its actors from one file.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/up_system.h"
#include "shell/log.h"
#include <stdio.h>
#include <stdlib.h>

static const char s_about[] =
    "Runs an orchestrator and actors, as FILE says, until Ctrl-C or SIGTERM. What an instance\n"
    "prints comes out with its name in front. An instance that ends is started again, after 0.2 s\n"
    "at first, up to 10 s when it keeps ending; one that ends too often is parked, the rest goes "
    "on.\n"
    "Stopping goes in reverse order: each actor is asked with SIGTERM and finishes the event in\n"
    "hand; after its stop_timeout it is killed; the orchestrator stops last. A second Ctrl-C "
    "kills\n"
    "everything. SIGHUP, or `baton reload`: FILE is read anew, and what is different is changed.";

static const char s_details[] =
    "The file (ZPL, four spaces for each level):\n"
    "\n"
    "  orchestrator                  what `baton orchestrator` takes: baton orchestrator --help\n"
    "      data_dir = ./.baton\n"
    "      endpoint = tcp://127.0.0.1:7711     port *: a free one, kept over restarts\n"
    "  restart_backoff_max = 10s     between restarts of what keeps ending; default 10s\n"
    "  nodes = tcp://10.0.0.1:7713   where other hosts join: baton node --help\n"
    "  log_bytes_max = 64MiB         of an instance's output in data_dir/logs; 0: none is kept\n"
    "  actors                        started in this order\n"
    "      payment\n"
    "          command = \"./payment --max-attempts 3\"    words; no shell\n"
    "          instances = 2         default 1; baton scale payment N changes it\n"
    "          instances = 1..8      as many as the lag asks for; the log says why\n"
    "          target_lag = 1000     events for each instance; more of them start more instances\n"
    "          cooldown = 30s        how long fewer must do before some are stopped\n"
    "          restart = permanent   or transient (not after exit code 0), temporary (never)\n"
    "          restart_order = stop-first    or start-first: one that is to be replaced goes on\n"
    "                                until its successor is ready, which has another number\n"
    "          intensity = 10 in 60s an instance that ends more often is parked; 0: never\n"
    "          watchdog = 30s        one that says it lives (sd_notify) and then is silent for\n"
    "                                that long is killed and restarted; 0: off\n"
    "          host = a              the node that it runs at; default: up, this host\n"
    "          hosts                 or several, instead of instances\n"
    "              up = 1\n"
    "              b = 2..4\n"
    "          directory = ./work    to run in\n"
    "          stop_timeout = 10s    default 10s\n"
    "          environment\n"
    "              LEVEL = debug\n"
    "\n"
    "  Without a section orchestrator: connect = ENDPOINT, and data_dir for the control socket.\n"
    "\n"
    "Each instance gets BATON_CONNECT, the endpoint, BATON_INSTANCE, its name: payment-1, ..., "
    "and\n"
    "NOTIFY_SOCKET and WATCHDOG_USEC, as systemd gives them.\n"
    "At most 256 instances. Relative paths start from the current directory.\n"
    "\n"
    "What instances print is also kept in data_dir/logs: see `baton logs`. With --detach, which\n"
    "returns when every instance is ready, only there; `baton down` stops it.\n"
    "\n"
    "Exit codes: 0 stopped cleanly (detached: everything is ready), 1 the orchestrator did not\n"
    "come up or the data directory cannot be used (detached: or an instance keeps ending, or is\n"
    "not ready in time; everything is stopped then), 2 wrong usage or a wrong file, 130\n"
    "interrupted while detaching.";

int bn_cli_up (int argc, char **argv)
{
    const char *log = getenv ("BATON_LOG");
    bool check = false, detach = false;
    uint64_t ready_s = 60;
    const bn_option_t table[] = {
        {"check", 0, BN_OPTION_FLAG, &check, NULL, "only check FILE", 0, 0},
        {"detach", 'd', BN_OPTION_FLAG, &detach, NULL,
         "return when everything is ready; it goes on in the background", 0, 0},
        {"wait", 0, BN_OPTION_UINT, &ready_s, "SECONDS",
         "with --detach: stop it if it is not ready by then (default: 60)", 1, 86400},
        {"log", 0, BN_OPTION_TEXT, &log, "text|json",
         "how lines look, the processes' too (default: $BATON_LOG, or text)", 0, 0},
    };
    const bn_command_t command = {.usage = "up [OPTION]... FILE",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    bn_log_format_t format = BN_LOG_TEXT;
    bn_up_config_t config;
    char detail[512] = "";
    int first;

    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (argc - first != 1)
        return bn_usage_error ("up", argc == first ? "which FILE?" : "one FILE only");
    if (log && !*log)
        log = NULL;
    if (log && !bn_log_format_parse (log, &format))
        return bn_usage_error ("up", "--log takes text or json, not '%s'", log);
    bn_log_setup ("up", format, BN_LOG_INFO);

    baton_err_t err = bn_up_config_load (&config, argv[first], detail);
    if (err) {
        fprintf (stderr, "baton up: %s\n", detail);
        code = BN_EXIT_USAGE;
    } else if (check) {
        printf ("%s: ok\n", argv[first]);
        code = BN_EXIT_OK;
    } else
        code = bn_up_run (&(bn_up_options_t){.path = argv[first],
                                             .config = &config,
                                             .log = log,
                                             .detach = detach,
                                             .ready_s = (uint32_t)ready_s});
    bn_up_config_fini (&config);
    return code;
}
