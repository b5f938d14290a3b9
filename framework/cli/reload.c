/* SPDX-License-Identifier: MPL-2.0 */

/*  reload.c - `baton reload`: a running `baton up` reads its file anew.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/up_ask.h"
#include <stdio.h>

static const char s_about[] =
    "A running `baton up` reads its file anew, as it does at SIGHUP, and changes what is "
    "different:\n"
    "actors that are new start, those that are gone drain and stop, those with another command,\n"
    "environment or directory are replaced instance by instance, another number of instances\n"
    "scales. What is the same is not touched, and keeps what `baton scale` said. A file with a\n"
    "mistake changes nothing. Returns when the changes have begun; `baton scale` shows them.";

static const char s_details[] =
    "data_dir, endpoints and connect cannot change while it runs. Another change of the section\n"
    "orchestrator restarts the orchestrator; actors and producers wait and go on.\n"
    "\n"
    "Exit codes: 0 done, 1 refused (standard error says why; nothing has changed), 2 wrong usage,\n"
    "69 no `baton up` runs in that data directory.";

int bn_cli_reload (int argc, char **argv)
{
    const char *data_dir = BN_DEFAULT_DATA_DIR;
    bool as_json = false;
    const bn_option_t table[] = {
        {"data-dir", 'd', BN_OPTION_TEXT, &data_dir, "DIR",
         "data directory of the `baton up` (default: " BN_DEFAULT_DATA_DIR ")", 0, 0},
        BN_JSON_OPTION (&as_json),
    };
    const bn_command_t command = {.usage = "reload [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    json_t *answer;
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (argc != first)
        return bn_usage_error ("reload", "unexpected argument '%s'", argv[first]);
    code = bn_up_ask ("reload", data_dir, "reload", &answer);
    if (code >= 0)
        return code;
    const char *text = json_string_value (json_object_get (answer, "text"));
    if (as_json) {
        json_dumpf (answer, stdout, JSON_COMPACT);
        putchar ('\n');
    } else
        puts (text ? text : "");
    json_decref (answer);
    return BN_EXIT_OK;
}
