/* SPDX-License-Identifier: MPL-2.0 */

/*  status.c - `baton status`: how things stand.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/sample.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_S 1 /* between two pictures when --sample is 0 */

static const char s_about[] =
    "Shows the orchestrator, its topics and its actors. Rates are the difference of two samples,\n"
    "one second apart unless told otherwise.\n"
    "\n"
    "  LAG        events of the actor that are not settled: READY + PARKED; with ~ in front while\n"
    "             an actor that started in the middle of the journal catches up\n"
    "  READY      in order, to be handled or being handled\n"
    "  IN FLIGHT  of the lag: received by instances and not settled, as of their last heartbeats\n"
    "  PARKED     waiting for a retry, or behind one of the same key\n"
    "  DEAD       given up: baton dead list ACTOR\n"
    "  OLDEST     age of the oldest event that is not settled, by its time attribute";

static const char s_details[] =
    "--json prints an object: orchestrator, topics, actors as the orchestrator says\n"
    "(docs/protocol.md, STATUS); events_per_second for a topic; settled_per_second,\n"
    "published_per_second and oldest_unsettled_age_ms for an actor (null: not known, or nothing\n"
    "is unsettled). With --watch: one a line, with rates.\n"
    "\n"
    "Exit codes: 0 ok, 1 something failed, 2 wrong usage, 69 no answer from the orchestrator.";

typedef struct {
    bn_connect_options_t connect;
    uint64_t sample_s;
    bool as_json;
    bool watch;
    bn_admin_t *admin; /* owned */
} s_status_t;

/*  ---- for people ---- */

static void s_print_topics (const json_t *topics)
{
    size_t i;
    json_t *topic;
    if (json_array_size (topics) == 0)
        return;
    printf ("\n%-40s %12s %12s %10s %7s\n", "TOPIC", "EVENTS", "BYTES", "EVENTS/S", "ACTORS");
    json_array_foreach (topics, i, topic)
    {
        char bytes[32], rate[32];
        bn_sample_bytes_text (bn_sample_int (topic, "bytes"), bytes);
        bn_sample_rate_text (json_object_get (topic, "events_per_second"), rate);
        printf ("%-40s %12" JSON_INTEGER_FORMAT " %12s %10s %7" JSON_INTEGER_FORMAT "\n",
                bn_sample_text (topic, "name"), bn_sample_int (topic, "events"), bytes, rate,
                bn_sample_int (topic, "actors"));
    }
}

static void s_print_instances (const json_t *actor)
{
    size_t i;
    json_t *instance;
    json_array_foreach (json_object_get (actor, "instances"), i, instance)
    {
        char age[32];
        bn_sample_age_text (json_object_get (instance, "age_ms"), age);
        printf ("  %-38s %3" JSON_INTEGER_FORMAT " partitions, ", bn_sample_text (instance, "name"),
                bn_sample_int (instance, "partitions"));
        if (json_is_true (json_object_get (instance, "connected")))
            printf ("heard %s ago%s\n", age,
                    json_is_true (json_object_get (instance, "stale")) ? ", an older build" : "");
        else
            printf ("not connected\n");
    }
}

static void s_print_actors (const json_t *actors)
{
    size_t i;
    json_t *actor;
    if (json_array_size (actors) == 0)
        return;
    printf ("\n%-24s %9s %10s %10s %9s %8s %8s %12s %10s %9s\n", "ACTOR", "INSTANCES", "LAG",
            "READY", "IN FLIGHT", "PARKED", "DEAD", "SETTLED", "SETTLED/S", "OLDEST");
    json_array_foreach (actors, i, actor)
    {
        char rate[32], age[32], lag[32];
        bn_sample_rate_text (json_object_get (actor, "settled_per_second"), rate);
        bn_sample_age_text (json_object_get (actor, "oldest_unsettled_age_ms"), age);
        snprintf (lag, sizeof (lag), "%s%" JSON_INTEGER_FORMAT,
                  json_is_false (json_object_get (actor, "lag_exact")) ? "~" : "",
                  bn_sample_int (actor, "lag"));
        printf ("%-24s %9zu %10s %10" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT
                " %8" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
                " %10s %9s\n",
                bn_sample_text (actor, "name"),
                json_array_size (json_object_get (actor, "instances")), lag,
                bn_sample_int (actor, "ready"), bn_sample_int (actor, "in_flight"),
                bn_sample_int (actor, "parked"), bn_sample_int (actor, "dead"),
                bn_sample_int (actor, "settled"), rate, age);
        s_print_instances (actor);
        if (bn_sample_int (actor, "to_drain") > 0)
            printf ("  revision: up to %" JSON_INTEGER_FORMAT
                    " events from before offset %" JSON_INTEGER_FORMAT
                    " wait for the older build\n",
                    bn_sample_int (actor, "to_drain"), bn_sample_int (actor, "former_until"));
    }
}

static void s_print (const s_status_t *self, const json_t *status)
{
    const json_t *it = json_object_get (status, "orchestrator");
    printf ("orchestrator %s at %s, journal %s\n", bn_sample_text (it, "version"),
            self->connect.endpoint, bn_sample_text (it, "journal_id"));
    printf ("  %" JSON_INTEGER_FORMAT " events, %" JSON_INTEGER_FORMAT
            " partitions, %" JSON_INTEGER_FORMAT " sessions, %" JSON_INTEGER_FORMAT
            " instances, %" JSON_INTEGER_FORMAT " known producers%s\n",
            bn_sample_int (it, "tail"), bn_sample_int (it, "partitions"),
            bn_sample_int (it, "sessions"), bn_sample_int (it, "instances"),
            bn_sample_int (it, "producers"),
            json_is_true (json_object_get (it, "disk_full"))
                ? "\n  THE DISK IS FULL: nothing is published until there is room"
                : "");
    s_print_topics (json_object_get (status, "topics"));
    s_print_actors (json_object_get (status, "actors"));
    if (json_is_true (json_object_get (status, "truncated")))
        printf ("\nThere is more: this is what fits into one message.\n");
}

static void s_show (const s_status_t *self, const json_t *status)
{
    char *text;
    if (self->watch && !self->as_json && isatty (STDOUT_FILENO))
        printf ("\033[H\033[J");
    if (!self->as_json)
        s_print (self, status);
    else if ((text = json_dumps (status, JSON_COMPACT | JSON_REAL_PRECISION (9)))) {
        puts (text);
        free (text);
    }
    fflush (stdout);
}

static void s_sleep (uint64_t seconds)
{
    struct timespec pause = {.tv_sec = (time_t)seconds};
    nanosleep (&pause, NULL);
}

static int s_run (s_status_t *self)
{
    json_t *before = NULL;
    baton_err_t err = BATON_OK;
    do {
        json_t *status = bn_sample_take (self->admin, &err);
        if (status && !before && self->sample_s) {
            before = status;
            s_sleep (self->sample_s);
            status = bn_sample_take (self->admin, &err);
        }
        if (status) {
            bn_sample_add_rates (status, before);
            bn_sample_add_ages (status, self->admin);
            s_show (self, status);
        } else if (self->watch)
            fprintf (stderr, "baton status: %s\n", bn_admin_error_text (self->admin));
        if (status && self->watch)
            s_sleep (self->sample_s ? self->sample_s : WATCH_S);
        json_decref (before);
        before = self->sample_s ? status : NULL;
        if (!before)
            json_decref (status);
    } while (self->watch && (err == BATON_OK || baton_err_retriable (err)));
    json_decref (before);
    if (err)
        return bn_failure ("status", err, "%s", bn_sample_error_text (self->admin, err));
    return BN_EXIT_OK;
}

int bn_cli_status (int argc, char **argv)
{
    s_status_t self = {.sample_s = UINT64_MAX};
    const bn_option_t table[] = {
        {"sample", 's', BN_OPTION_UINT, &self.sample_s, "SECONDS",
         "between two samples, for rates; 0: one sample, no rates (default: 1, with --json 0)", 0,
         3600},
        {"watch", 'w', BN_OPTION_FLAG, &self.watch, NULL, "again and again, until Ctrl-C", 0, 0},
        BN_CONNECT_OPTIONS (&self.connect),
        BN_JSON_OPTION (&self.as_json),
    };
    const bn_command_t command = {.usage = "status [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (self.sample_s == UINT64_MAX)
        self.sample_s = self.as_json && !self.watch ? 0 : 1;
    if (first < argc)
        return bn_usage_error ("status", "what is '%s'?", argv[first]);
    code = bn_connect (&self.admin, "status", &self.connect);
    if (code >= 0)
        return code;
    code = s_run (&self);
    bn_admin_destroy (&self.admin);
    return code;
}
