/* SPDX-License-Identifier: MPL-2.0 */

/*  status.c - `baton status`: how things stand.
 *
 *  The orchestrator answers with counts; what needs two samples (rates) or a look at an event (the
 *  age of the oldest one that is not settled) is added here, so that asking costs the orchestrator
 *  little.  */

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/reader.h"
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
    "--json prints an object: orchestrator, topics, actors as the orchestrator says "
    "(docs/protocol.md,\n"
    "STATUS), and events_per_second for a topic; settled_per_second and oldest_unsettled_age_ms "
    "for\n"
    "an actor (null: not known, or nothing is unsettled). With --watch: one a line, with rates.\n"
    "\n"
    "Exit codes: 0 ok, 1 something failed, 2 wrong usage, 69 no answer from the orchestrator.";

typedef struct {
    bn_connect_options_t connect;
    uint64_t sample_s;
    bool as_json;
    bool watch;
    bn_admin_t *admin; /* owned */
} s_status_t;

static json_int_t s_int (const json_t *object, const char *name)
{
    return json_integer_value (json_object_get (object, name));
}

static const char *s_text (const json_t *object, const char *name)
{
    const char *text = json_string_value (json_object_get (object, name));
    return text ? text : "";
}

/*  NULL: bn_admin_error.  */
static json_t *s_sample (s_status_t *self, baton_err_t *err)
{
    const bn_message_t *reply;
    bn_message_t request = {.type = BN_STATUS};
    *err = bn_admin_request (self->admin, &request, BN_STATUS_REPLY, 0, &reply);
    if (*err)
        return NULL;
    json_t *status = bn_json_from_value (reply->status.data, reply->status.size);
    if (!status)
        *err = BATON_ERR_MALFORMED;
    return status;
}

/*  Sets `rate` in each item of a list: how much `count` has grown per second since `before`.  */
static void s_add_rates (json_t *status, const json_t *before, const char *list, const char *count,
                         const char *rate)
{
    size_t i, k;
    json_t *item, *other;
    json_int_t now_us = s_int (json_object_get (status, "orchestrator"), "time_us");
    json_int_t then_us = s_int (json_object_get (before, "orchestrator"), "time_us");
    json_array_foreach (json_object_get (status, list), i, item)
    {
        json_t *value = NULL;
        /*  Both lists are in the order of the names, and seldom change: the same place first.  */
        size_t size = json_array_size (json_object_get (before, list));
        for (k = 0; k < size && !value && now_us > then_us; k++) {
            other = json_array_get (json_object_get (before, list), (i + k) % size);
            if (strcmp (s_text (item, "name"), s_text (other, "name")) == 0)
                value = json_real ((double)(s_int (item, count) - s_int (other, count)) * 1e6 /
                                   (double)(now_us - then_us));
        }
        json_object_set_new (item, rate, value ? value : json_null ());
    }
}

static bool s_take_time (const bn_read_event_t *event, void *arg)
{
    *(int64_t *)arg = event->fields.time_us;
    return false;
}

/*  The orchestrator knows the lowest position that is not settled, in any partition; the first
 *  event for the actor from there on may be a settled one of another partition, so that the age is
 *  an upper bound.  */
static void s_add_age (s_status_t *self, json_t *actor, json_int_t now_us)
{
    const char *patterns[BN_PATTERNS_MAX];
    json_t *list = json_object_get (actor, "patterns"), *offset;
    int64_t time_us = INT64_MIN;
    size_t count = 0;
    json_t *age = NULL;

    while (count < BN_PATTERNS_MAX && count < json_array_size (list)) {
        patterns[count] = json_string_value (json_array_get (list, count));
        if (!patterns[count])
            break;
        count++;
    }
    offset = json_object_get (actor, "oldest_unsettled_offset");
    if (json_is_integer (offset) && count) {
        bn_reader_t reader = {.from_kind = BN_FROM_OFFSET,
                              .from = (uint64_t)json_integer_value (offset),
                              .upto = BN_NO_OFFSET,
                              .bytes_max = 1,
                              .patterns = patterns,
                              .pattern_count = count,
                              .event = s_take_time,
                              .arg = &time_us};
        bn_reader_run (&reader, self->admin);
        if (time_us != INT64_MIN)
            age = json_integer (time_us < now_us ? (now_us - time_us) / 1000 : 0);
    }
    json_object_set_new (actor, "oldest_unsettled_age_ms", age ? age : json_null ());
}

static void s_complete (s_status_t *self, json_t *status, const json_t *before)
{
    size_t i;
    json_t *actor;
    json_int_t now_us = s_int (json_object_get (status, "orchestrator"), "time_us");
    s_add_rates (status, before, "topics", "events", "events_per_second");
    s_add_rates (status, before, "actors", "settled", "settled_per_second");
    json_array_foreach (json_object_get (status, "actors"), i, actor)
    {
        s_add_age (self, actor, now_us);
    }
}

/*  ---- for people ---- */

static void s_age_text (const json_t *ms, char text[32])
{
    double seconds = (double)json_integer_value (ms) / 1000;
    if (!json_is_integer (ms))
        snprintf (text, 32, "-");
    else if (seconds < 120)
        snprintf (text, 32, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf (text, 32, "%.0f min", seconds / 60);
    else if (seconds < 172800)
        snprintf (text, 32, "%.1f h", seconds / 3600);
    else
        snprintf (text, 32, "%.1f d", seconds / 86400);
}

static void s_bytes_text (json_int_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 10240 && unit < 4; unit++)
        value /= 1024;
    snprintf (text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void s_rate_text (const json_t *rate, char text[32])
{
    if (json_is_number (rate))
        snprintf (text, 32, "%.0f", json_number_value (rate));
    else
        snprintf (text, 32, "-");
}

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
        s_bytes_text (s_int (topic, "bytes"), bytes);
        s_rate_text (json_object_get (topic, "events_per_second"), rate);
        printf ("%-40s %12" JSON_INTEGER_FORMAT " %12s %10s %7" JSON_INTEGER_FORMAT "\n",
                s_text (topic, "name"), s_int (topic, "events"), bytes, rate,
                s_int (topic, "actors"));
    }
}

static void s_print_instances (const json_t *actor)
{
    size_t i;
    json_t *instance;
    json_array_foreach (json_object_get (actor, "instances"), i, instance)
    {
        char age[32];
        s_age_text (json_object_get (instance, "age_ms"), age);
        printf ("  %-38s %3" JSON_INTEGER_FORMAT " partitions, ", s_text (instance, "name"),
                s_int (instance, "partitions"));
        if (json_is_true (json_object_get (instance, "connected")))
            printf ("heard %s ago\n", age);
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
        s_rate_text (json_object_get (actor, "settled_per_second"), rate);
        s_age_text (json_object_get (actor, "oldest_unsettled_age_ms"), age);
        snprintf (lag, sizeof (lag), "%s%" JSON_INTEGER_FORMAT,
                  json_is_false (json_object_get (actor, "lag_exact")) ? "~" : "",
                  s_int (actor, "lag"));
        printf ("%-24s %9zu %10s %10" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT
                " %8" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
                " %10s %9s\n",
                s_text (actor, "name"), json_array_size (json_object_get (actor, "instances")), lag,
                s_int (actor, "ready"), s_int (actor, "in_flight"), s_int (actor, "parked"),
                s_int (actor, "dead"), s_int (actor, "settled"), rate, age);
        s_print_instances (actor);
    }
}

static void s_print (const s_status_t *self, const json_t *status)
{
    const json_t *it = json_object_get (status, "orchestrator");
    printf ("orchestrator %s at %s, journal %s\n", s_text (it, "version"), self->connect.endpoint,
            s_text (it, "journal_id"));
    printf ("  %" JSON_INTEGER_FORMAT " events, %" JSON_INTEGER_FORMAT
            " partitions, %" JSON_INTEGER_FORMAT " sessions, %" JSON_INTEGER_FORMAT
            " instances, %" JSON_INTEGER_FORMAT " known producers%s\n",
            s_int (it, "tail"), s_int (it, "partitions"), s_int (it, "sessions"),
            s_int (it, "instances"), s_int (it, "producers"),
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
        json_t *status = s_sample (self, &err);
        if (status && !before && self->sample_s) {
            before = status;
            s_sleep (self->sample_s);
            status = s_sample (self, &err);
        }
        if (status) {
            s_complete (self, status, before);
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
        return bn_failure ("status", err, "%s",
                           err == bn_admin_error (self->admin) ? bn_admin_error_text (self->admin)
                                                               : baton_err_text (err));
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
    bn_admin_options_t options = {.endpoint = self.connect.endpoint,
                                  .name = "status",
                                  .timeout_ms = (uint32_t)self.connect.timeout_s * 1000};
    baton_err_t err = bn_admin_new (&self.admin, &options);
    if (err)
        return bn_failure ("status", err, "%s: %s", self.connect.endpoint, baton_err_text (err));
    code = s_run (&self);
    bn_admin_destroy (&self.admin);
    return code;
}
