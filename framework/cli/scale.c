/* SPDX-License-Identifier: MPL-2.0 */

/*  scale.c - `baton scale`: changes, or lists, what a running `baton up` runs.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/up_ask.h"
#include "supervisor/control.h"
#include "supervisor/supervisor.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char s_about[] =
    "Changes how many instances of an actor a running `baton up` runs. New instances start at\n"
    "once; those that are too many finish the event in hand and leave; what is parked starts "
    "again.\n"
    "Without NAME and N: lists the instances: process id, state (waiting for a restart, running,\n"
    "stopping, parked, done), whether it is ready, what it says of itself or how it ended.";

static const char s_details[] =
    "Exit codes: 0 done, 1 refused (no such actor, more than 256 instances), 2 wrong usage, 69 no\n"
    "`baton up` runs in that data directory.";

static void s_print_instance (const json_t *instance)
{
    json_int_t age_ms = json_integer_value (json_object_get (instance, "age_ms"));
    const char *status = json_string_value (json_object_get (instance, "status"));
    const char *reason = json_string_value (json_object_get (instance, "reason"));
    const char *text = status && *status ? status : reason ? reason : "";
    printf ("%-24s %8" JSON_INTEGER_FORMAT "  %-9s %-5s %8" JSON_INTEGER_FORMAT " %8.1f s%s%s\n",
            json_string_value (json_object_get (instance, "instance")),
            json_integer_value (json_object_get (instance, "pid")),
            json_string_value (json_object_get (instance, "state")),
            json_is_true (json_object_get (instance, "ready")) ? "yes" : "no",
            json_integer_value (json_object_get (instance, "restarts")), (double)age_ms / 1000,
            *text ? "  " : "", text);
}

static void s_print_instances (const json_t *answer)
{
    size_t i, k;
    const json_t *service, *instance;
    printf ("%-24s %8s  %-9s %-5s %8s %10s\n", "INSTANCE", "PID", "STATE", "READY", "RESTARTS",
            "AGE");
    json_array_foreach (json_object_get (answer, "services"), i, service)
    {
        json_array_foreach (json_object_get (service, "instances"), k, instance)
        {
            s_print_instance (instance);
        }
    }
}

/*  Asks and prints; the exit code.  */
static int s_ask (const char *data_dir, const char *request, bool as_json)
{
    json_t *answer;
    int code = bn_up_ask ("scale", data_dir, request, &answer);
    if (code >= 0)
        return code;
    if (as_json) {
        json_dumpf (answer, stdout, JSON_COMPACT);
        putchar ('\n');
    } else if (json_object_get (answer, "services"))
        s_print_instances (answer);
    else
        printf ("%s: %" JSON_INTEGER_FORMAT " -> %" JSON_INTEGER_FORMAT "\n",
                json_string_value (json_object_get (answer, "service")),
                json_integer_value (json_object_get (answer, "before")),
                json_integer_value (json_object_get (answer, "wanted")));
    json_decref (answer);
    return BN_EXIT_OK;
}

int bn_cli_scale (int argc, char **argv)
{
    const char *data_dir = BN_DEFAULT_DATA_DIR;
    bool as_json = false;
    const bn_option_t table[] = {
        {"data-dir", 'd', BN_OPTION_TEXT, &data_dir, "DIR",
         "data directory of the `baton up` (default: " BN_DEFAULT_DATA_DIR ")", 0, 0},
        BN_JSON_OPTION (&as_json),
    };
    const bn_command_t command = {.usage = "scale [OPTION]... NAME N\nscale [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    char request[BN_CONTROL_REQUEST_BYTES_MAX];
    uint64_t wanted;
    int first;

    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (argc == first)
        return s_ask (data_dir, "status", as_json);
    if (argc - first != 2)
        return bn_usage_error ("scale", "expected NAME and N");
    const char *name = argv[first];
    if (!*name || strlen (name) > BATON_NAME_BYTES_MAX || strpbrk (name, " \t\r\n"))
        return bn_usage_error ("scale", "'%s' is not a name", name);
    if (!bn_parse_uint (argv[first + 1], &wanted) || wanted > BN_SUPERVISOR_INSTANCES_MAX)
        return bn_usage_error ("scale", "N is a number from 0 to %d, not '%s'",
                               BN_SUPERVISOR_INSTANCES_MAX, argv[first + 1]);
    snprintf (request, sizeof (request), "scale %s %" PRIu64, name, wanted);
    return s_ask (data_dir, request, as_json);
}
