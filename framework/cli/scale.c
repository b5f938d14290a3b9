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
    "stopping, parked, done), whether it is ready, what it says of itself or how it ended.\n"
    "\n"
    "Where an actor runs on several hosts, N is how many on all of them: those that are more "
    "start\n"
    "where there are the fewest, those that are too many leave where there are the most. "
    "NAME.HOST\n"
    "is about one host only. The listing has the instances of all nodes (lost: the node is not\n"
    "heard, and they may go on), and the nodes: joined, lost, left, or absent: nobody has joined\n"
    "under that name, and what is to run there waits.";

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

static void s_print_node (const json_t *node)
{
    const char *state = json_string_value (json_object_get (node, "state"));
    const char *trouble = json_string_value (json_object_get (node, "trouble"));
    const json_t *wanted = json_object_get (node, "wanted");
    printf ("%-24s %-9s %9" JSON_INTEGER_FORMAT, json_string_value (json_object_get (node, "name")),
            state, json_integer_value (json_object_get (node, "instances")));
    if (wanted)
        printf ("  %" JSON_INTEGER_FORMAT " wait for it", json_integer_value (wanted));
    else
        printf ("  %s, heard %.1f s ago", json_string_value (json_object_get (node, "address")),
                (double)json_integer_value (json_object_get (node, "silent_ms")) / 1000);
    printf ("%s%s\n", trouble && *trouble ? "; " : "", trouble ? trouble : "");
}

/*  Nothing where no nodes can join.  */
static void s_print_nodes (const json_t *nodes)
{
    size_t i;
    const json_t *node;
    if (json_array_size (nodes) == 0)
        return;
    printf ("\n%-24s %-9s %9s\n", "NODE", "STATE", "INSTANCES");
    json_array_foreach (nodes, i, node)
    {
        s_print_node (node);
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
    } else if (json_object_get (answer, "services")) {
        s_print_instances (answer);
        s_print_nodes (json_object_get (answer, "nodes"));
    } else
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
