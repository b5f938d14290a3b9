/* SPDX-License-Identifier: MPL-2.0 */

/*  node.c - `baton node`: runs what a `baton up` elsewhere says of this host.  */

#include "cli/cli.h"
#include "cli/node_system.h"
#include "cli/options.h"
#include "cli/up_config.h"
#include "client/link.h"
#include "shell/log.h"
#include "supervisor/logbook.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char s_about[] =
    "Runs the actors that the file of a `baton up` assigns to this host. The file names the host\n"
    "(host = NAME, or hosts) and where nodes join (nodes = ENDPOINT); this host has no file of "
    "its\n"
    "own, but the programs have to be here. Started, stopped, restarted and scaled as on the host "
    "of\n"
    "`baton up`; instances are called payment-1.NAME.\n"
    "\n"
    "If `baton up` cannot be reached, what runs here goes on, and it is tried again and again.\n"
    "Ctrl-C, SIGTERM, SIGHUP or `baton down` stop the node with what it runs.";

static const char s_details[] =
    "A node runs the commands that the other side sends, as the user that it runs as, and whoever\n"
    "reaches the other side can join and is told commands and environment. Nothing is encrypted "
    "or\n"
    "authenticated yet: join over networks only where everybody is trusted.\n"
    "\n"
    "What instances print is kept here, in DIR/logs: `baton logs --data-dir DIR`.\n"
    "\n"
    "Exit codes: 0 stopped cleanly, 1 the data directory or the endpoint cannot be used, 2 wrong\n"
    "usage.";

/*  The name of this computer, up to the first dot.  */
static void s_default_host (char host[BN_NODE_HOST_BYTES_MAX + 1])
{
    char name[256] = "";
    gethostname (name, sizeof (name) - 1);
    name[strcspn (name, ".")] = 0;
    snprintf (host, BN_NODE_HOST_BYTES_MAX + 1, "%.*s", BN_NODE_HOST_BYTES_MAX, name);
}

int bn_cli_node (int argc, char **argv)
{
    const char *join = NULL, *data_dir = BN_DEFAULT_DATA_DIR, *log = getenv ("BATON_LOG");
    char name[BN_NODE_HOST_BYTES_MAX + 1];
    const char *host = name;
    const bn_option_t table[] = {
        {"join", 'j', BN_OPTION_TEXT, &join, "ENDPOINT", "where nodes join, as the file says", 0,
         0},
        {"name", 'n', BN_OPTION_TEXT, &host, "HOST",
         "what the file calls this host (default: its host name, up to the first dot)", 0, 0},
        {"data-dir", 'd', BN_OPTION_TEXT, &data_dir, "DIR",
         "for the control socket and logs (default: " BN_DEFAULT_DATA_DIR ")", 0, 0},
        {"log", 0, BN_OPTION_TEXT, &log, "text|json",
         "how lines look, the processes' too (default: $BATON_LOG, or text)", 0, 0},
    };
    const bn_command_t command = {.usage = "node [OPTION]... --join ENDPOINT",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    bn_log_format_t format = BN_LOG_TEXT;
    char who[64];
    int first;

    s_default_host (name);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first < argc)
        return bn_usage_error ("node", "what is '%s'?", argv[first]);
    if (!join)
        return bn_usage_error ("node", "which `baton up` is to be joined? --join ENDPOINT");
    if (!bn_link_endpoint_valid (join) || strlen (join) > BN_ENDPOINT_BYTES_MAX)
        return bn_usage_error ("node", "--join takes tcp://HOST:PORT or ipc://PATH, not '%s'",
                               join);
    if (!bn_node_host_valid (host, strlen (host)) || !strcmp (host, BN_UP_HERE))
        return bn_usage_error ("node",
                               "the name '%s' cannot be taken: letters, digits, '-' and '_', at "
                               "most %d, and not '" BN_UP_HERE "'; see --name",
                               host, BN_NODE_HOST_BYTES_MAX);
    if (log && !*log)
        log = NULL;
    if (log && !bn_log_format_parse (log, &format))
        return bn_usage_error ("node", "--log takes text or json, not '%s'", log);
    snprintf (who, sizeof (who), "node/%s", host);
    bn_log_setup (who, format, BN_LOG_INFO);
    return bn_node_run (&(bn_node_options_t){.join = join,
                                             .host = host,
                                             .data_dir = data_dir,
                                             .log = log,
                                             .log_bytes_max = BN_LOGBOOK_BYTES_DEFAULT});
}
