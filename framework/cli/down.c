/* SPDX-License-Identifier: MPL-2.0 */

/*  down.c - `baton down`: stops a running `baton up` and waits for its end.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/up_ask.h"
#include "supervisor/control.h"
#include <inttypes.h>

static const char s_about[] =
    "Stops a running `baton up`, as Ctrl-C does: actors first, in reverse order, each finishes "
    "the\n"
    "event in hand; the orchestrator last. Returns when everything has ended.";

static const char s_details[] =
    "Exit codes: 0 everything has ended, 1 it has not within SECONDS (it still stops), 2 wrong\n"
    "usage, 69 no `baton up` runs in that data directory.";

static int s_down (const char *data_dir, uint64_t timeout_s)
{
    json_t *answer;
    int code = bn_up_ask ("down", data_dir, "stop", &answer);
    if (code >= 0)
        return code;
    json_decref (answer);
    baton_err_t err = bn_control_wait_end (data_dir, timeout_s * 1000);
    if (err == BATON_ERR_TIMEOUT)
        return bn_failure ("down", BATON_OK, "not everything has ended within %" PRIu64 " s",
                           timeout_s);
    return err ? bn_failure ("down", BATON_OK, "%s: %s", data_dir, baton_err_text (err))
               : BN_EXIT_OK;
}

int bn_cli_down (int argc, char **argv)
{
    const char *data_dir = BN_DEFAULT_DATA_DIR;
    uint64_t timeout_s = 300;
    const bn_option_t table[] = {
        {"data-dir", 'd', BN_OPTION_TEXT, &data_dir, "DIR",
         "data directory of the `baton up` (default: " BN_DEFAULT_DATA_DIR ")", 0, 0},
        {"timeout", 0, BN_OPTION_UINT, &timeout_s, "SECONDS",
         "how long to wait for the end (default: 300)", 0, 86400},
    };
    const bn_command_t command = {.usage = "down [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first != argc)
        return bn_usage_error ("down", "unexpected argument '%s'", argv[first]);
    return s_down (data_dir, timeout_s);
}
