/* SPDX-License-Identifier: MPL-2.0 */

/*  restart.c - `baton restart`: replaces the instances of an actor that `baton up` runs, one by
 *  one.  */

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/up_ask.h"
#include "shell/clock.h"
#include "supervisor/control.h"
#include <baton/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 100

static const char s_about[] =
    "Replaces the instances of an actor that a running `baton up` runs: each is asked with "
    "SIGTERM,\n"
    "finishes the event in hand and leaves; the next one follows when its successor is ready. So\n"
    "there is always all but one at work, the events of a key stay in order, and nothing is "
    "charged\n"
    "an attempt. With restart_order = start-first in the file the successor comes before that, "
    "and\n"
    "all are at work; it has another number: the successor of payment-1 alone is payment-2, and\n"
    "that one's is payment-1. A successor that does not become ready holds the others up: they "
    "go on\n"
    "as they were. What is parked, or has ended for good, starts again.";

static const char s_details[] =
    "NAME may be 'orchestrator', too. For a new configuration: baton reload.\n"
    "\n"
    "Exit codes: 0 all are replaced (or, with --no-wait, it has begun), 1 refused, an instance "
    "was\n"
    "parked, or not all were ready in time, 2 wrong usage, 69 no `baton up` runs in that data\n"
    "directory.";

static const json_t *s_service (const json_t *answer, const char *name)
{
    size_t i;
    const json_t *service;
    json_array_foreach (json_object_get (answer, "services"), i, service)
    {
        const char *its = json_string_value (json_object_get (service, "name"));
        if (its && !strcmp (its, name))
            return service;
    }
    return NULL;
}

/*  Counts what is done; *parked is an instance that is not, and will not be, or NULL.  */
static size_t s_progress (const json_t *service, const json_t **parked)
{
    size_t i, done = 0, old = 0;
    size_t wanted = (size_t)json_integer_value (json_object_get (service, "wanted"));
    const json_t *instance;
    *parked = NULL;
    json_array_foreach (json_object_get (service, "instances"), i, instance)
    {
        const char *state = json_string_value (json_object_get (instance, "state"));
        if (state && !strcmp (state, "parked"))
            *parked = instance;
        bool current = json_is_true (json_object_get (instance, "current"));
        done += current && json_is_true (json_object_get (instance, "ready"));
        old += !current;
    }
    /*  A successor that starts first counts when the one before it has gone.  */
    return done + old <= wanted ? done : old < wanted ? wanted - old : 0;
}

static int s_wait (const char *data_dir, const char *name, uint64_t timeout_s, bool as_json)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
    uint64_t deadline_ms = bn_clock_now ().mono_ms + timeout_s * 1000;
    size_t told = 0;
    for (;;) {
        json_t *answer;
        const json_t *parked;
        int code = bn_up_ask ("restart", data_dir, "status", &answer);
        if (code >= 0)
            return code;
        const json_t *service = s_service (answer, name);
        json_int_t wanted = json_integer_value (json_object_get (service, "wanted"));
        size_t done = s_progress (service, &parked);
        bool rolling = json_is_true (json_object_get (service, "rolling"));
        if (!service)
            code = bn_failure ("restart", BATON_OK, "%s was removed meanwhile", name);
        else if (parked)
            code = bn_failure ("restart", BATON_OK, "%s is parked: %s; the others go on",
                               json_string_value (json_object_get (parked, "instance")),
                               json_string_value (json_object_get (parked, "reason")));
        else if (!rolling)
            code = BN_EXIT_OK;
        else if (bn_clock_now ().mono_ms >= deadline_ms)
            code = bn_failure ("restart", BATON_OK,
                               "%zu of %" JSON_INTEGER_FORMAT " replaced within %" PRIu64
                               " s; it goes on",
                               done, wanted, timeout_s);
        if (as_json && code == BN_EXIT_OK) {
            json_dumpf (service, stdout, JSON_COMPACT);
            putchar ('\n');
        } else if (!as_json && (done > told || code == BN_EXIT_OK))
            printf ("%s: %zu of %" JSON_INTEGER_FORMAT " replaced\n", name, done, wanted);
        fflush (stdout);
        told = done > told ? done : told;
        json_decref (answer);
        if (code >= 0)
            return code;
        nanosleep (&pause, NULL);
    }
}

int bn_cli_restart (int argc, char **argv)
{
    const char *data_dir = BN_DEFAULT_DATA_DIR;
    uint64_t timeout_s = 600;
    bool no_wait = false, as_json = false;
    const bn_option_t table[] = {
        {"data-dir", 'd', BN_OPTION_TEXT, &data_dir, "DIR",
         "data directory of the `baton up` (default: " BN_DEFAULT_DATA_DIR ")", 0, 0},
        {"no-wait", 0, BN_OPTION_FLAG, &no_wait, NULL, "do not wait until all are replaced", 0, 0},
        {"timeout", 0, BN_OPTION_UINT, &timeout_s, "SECONDS",
         "how long to wait for that (default: 600)", 1, 86400},
        BN_JSON_OPTION (&as_json),
    };
    const bn_command_t command = {.usage = "restart [OPTION]... NAME",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    char request[BN_CONTROL_REQUEST_BYTES_MAX];
    json_t *answer;
    int first;

    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (argc - first != 1)
        return bn_usage_error ("restart", argc == first ? "which NAME?" : "one NAME only");
    const char *name = argv[first];
    if (!*name || strlen (name) > BATON_NAME_BYTES_MAX || strpbrk (name, " \t\r\n"))
        return bn_usage_error ("restart", "'%s' is not a name", name);
    snprintf (request, sizeof (request), "restart %s", name);
    code = bn_up_ask ("restart", data_dir, request, &answer);
    if (code >= 0)
        return code;
    if (no_wait && as_json) {
        json_dumpf (answer, stdout, JSON_COMPACT);
        putchar ('\n');
    }
    json_decref (answer);
    return no_wait ? BN_EXIT_OK : s_wait (data_dir, name, timeout_s, as_json);
}
