/* SPDX-License-Identifier: MPL-2.0 */

/*  prometheus.c - families of metrics as tables: one loop writes them, so that none lacks its HELP
 *  and TYPE, and all samples of a family stand together, as the format wants it.  */

#include "cli/prometheus.h"
#include "cli/sample.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef enum { COUNTER, GAUGE } type_t;
typedef enum {
    INTEGER,
    BOOLEAN,
    MILLISECONDS,       /* shown in seconds; null: no sample */
    MILLISECONDS_OR_0,  /* null: 0 */
    CONNECTED_INSTANCES /* how many of the list are connected */
} kind_t;

typedef struct {
    const char *name; /* without "baton_" */
    type_t type;
    const char *member; /* of the map */
    kind_t kind;
    const char *help;
} family_t;

static const family_t s_orchestrator[] = {
    {"journal_events_total", COUNTER, "tail", INTEGER, "Events ever written to the journal."},
    {"journal_records_total", COUNTER, "sequence", INTEGER, "Records ever written to the journal."},
    {"partitions", GAUGE, "partitions", INTEGER, "Partitions of the journal."},
    {"sessions", GAUGE, "sessions", INTEGER, "Connections with a session."},
    {"sessions_max", GAUGE, "sessions_max", INTEGER, "Connections that may have a session."},
    {"instances", GAUGE, "instances", INTEGER, "Instances of all actors."},
    {"producers", GAUGE, "producers", INTEGER, "Producers that are remembered."},
    {"waiting_requests", GAUGE, "waiting", INTEGER, "Requests that wait for events."},
    {"disk_full", GAUGE, "disk_full", BOOLEAN,
     "1: the disk is full, and nothing is published until there is room."},
    {"parked_max", GAUGE, "parked_max", INTEGER,
     "Events that may be parked in one partition of an actor; there it waits."},
    {"dead_letters_max", GAUGE, "dead_max", INTEGER,
     "Dead letters that an actor may have; there its settlements wait."},
};

static const family_t s_topics[] = {
    {"topic_events_total", COUNTER, "events", INTEGER, "Events ever published to the topic."},
    {"topic_bytes_total", COUNTER, "bytes", INTEGER,
     "Bytes of events ever published to the topic."},
    {"topic_actors", GAUGE, "actors", INTEGER, "Actors that the topic is for."},
};

static const family_t s_actors[] = {
    {"actor_published_events_total", COUNTER, "published", INTEGER,
     "Events ever published to the topics of the actor."},
    {"actor_settled_events_total", COUNTER, "settled", INTEGER,
     "Events that the actor is through with."},
    {"actor_retries_total", COUNTER, "retried", INTEGER, "Attempts that ended in a retry."},
    {"actor_died_events_total", COUNTER, "died", INTEGER, "Events ever given up."},
    {"actor_lag_events", GAUGE, "lag", INTEGER, "Events that are not settled: ready and parked."},
    {"actor_ready_events", GAUGE, "ready", INTEGER, "Events to be handled, or being handled."},
    {"actor_ready_most_events", GAUGE, "ready_most", INTEGER,
     "Ready events of the partition that has most."},
    {"actor_in_flight_events", GAUGE, "in_flight", INTEGER,
     "Events that instances have received and not settled."},
    {"actor_parked_events", GAUGE, "parked", INTEGER,
     "Events that wait for a retry, or behind one of the same key."},
    {"actor_parked_most_events", GAUGE, "parked_most", INTEGER,
     "Parked events of the partition that has most."},
    {"actor_dead_letters", GAUGE, "dead", INTEGER, "Dead letters neither redriven nor discarded."},
    {"actor_oldest_unsettled_age_seconds", GAUGE, "oldest_unsettled_age_ms", MILLISECONDS_OR_0,
     "Age of the oldest event that is not settled; 0 if there is none."},
    {"actor_busy_partitions", GAUGE, "busy_partitions", INTEGER,
     "Partitions with ready events: more instances than that cannot help."},
    {"actor_careful_partitions", GAUGE, "careful_partitions", INTEGER,
     "Partitions where an instance died with events in hand."},
    {"actor_to_drain_events", GAUGE, "to_drain", INTEGER,
     "Ready events, at most, that wait for instances of the build before."},
    {"actor_connected_instances", GAUGE, "instances", CONNECTED_INSTANCES,
     "Instances that are connected."},
};

static const family_t s_instances[] = {
    {"instance_connected", GAUGE, "connected", BOOLEAN, "1: the instance is connected."},
    {"instance_partitions", GAUGE, "partitions", INTEGER, "Partitions that the instance has."},
    {"instance_in_flight_events", GAUGE, "in_flight", INTEGER,
     "Events that the instance has received and not settled."},
    {"instance_heard_age_seconds", GAUGE, "age_ms", MILLISECONDS,
     "Time since the instance was heard last."},
};

#define FAMILIES(table) (sizeof (table) / sizeof (*(table)))

static void s_put (bn_buffer_t *text, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void s_put (bn_buffer_t *text, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (line, sizeof (line), format, arguments);
    va_end (arguments);
    if (size < 0 || size >= (int)sizeof (line))
        text->failed = true;
    else
        bn_buffer_append (text, line, (size_t)size);
}

/*  `name="value"`: \, " and the line feed are escaped.  */
static void s_put_label (bn_buffer_t *text, const char *name, const char *value)
{
    s_put (text, "%s=\"", name);
    for (; *value; value++)
        if (*value == '\n')
            bn_buffer_append (text, "\\n", 2);
        else {
            if (*value == '\\' || *value == '"')
                bn_buffer_append (text, "\\", 1);
            bn_buffer_append (text, value, 1);
        }
    bn_buffer_append (text, "\"", 1);
}

static void s_put_head (bn_buffer_t *text, const char *name, type_t type, const char *help)
{
    s_put (text, "# HELP baton_%s %s\n", name, help);
    s_put (text, "# TYPE baton_%s %s\n", name, type == COUNTER ? "counter" : "gauge");
}

static size_t s_connected (const json_t *instances)
{
    size_t i, count = 0;
    json_t *instance;
    json_array_foreach (instances, i, instance)
    {
        count += json_is_true (json_object_get (instance, "connected")) ? 1 : 0;
    }
    return count;
}

/*  What stands behind the labels; false: there is no value.  */
static bool s_value (const family_t *family, const json_t *map, char value[32])
{
    const json_t *member = json_object_get (map, family->member);
    switch (family->kind) {
    case INTEGER:
        snprintf (value, 32, "%" JSON_INTEGER_FORMAT, json_integer_value (member));
        return json_is_integer (member);
    case BOOLEAN:
        snprintf (value, 32, "%d", json_is_true (member));
        return json_is_boolean (member);
    case MILLISECONDS:
    case MILLISECONDS_OR_0:
        snprintf (value, 32, "%.3f", (double)json_integer_value (member) / 1000);
        return json_is_integer (member) || family->kind == MILLISECONDS_OR_0;
    case CONNECTED_INSTANCES:
        snprintf (value, 32, "%zu", s_connected (member));
        return true;
    }
    return false;
}

/*  One sample; actor and instance may be NULL. `name` labels the map itself.  */
static void s_put_sample (bn_buffer_t *text, const family_t *family, const json_t *map,
                          const char *label, const char *actor)
{
    char value[32];
    if (!s_value (family, map, value))
        return;
    s_put (text, "baton_%s", family->name);
    if (label) {
        bn_buffer_append (text, "{", 1);
        if (actor) {
            s_put_label (text, "actor", actor);
            bn_buffer_append (text, ",", 1);
        }
        s_put_label (text, label, bn_sample_text (map, "name"));
        bn_buffer_append (text, "}", 1);
    }
    s_put (text, " %s\n", value);
}

static void s_put_lists (bn_buffer_t *text, const family_t *families, size_t count,
                         const json_t *list, const char *label)
{
    for (size_t k = 0; k < count; k++) {
        size_t i;
        json_t *item;
        s_put_head (text, families[k].name, families[k].type, families[k].help);
        json_array_foreach (list, i, item)
        {
            s_put_sample (text, &families[k], item, label, NULL);
        }
    }
}

static void s_put_instances (bn_buffer_t *text, const json_t *actors)
{
    for (size_t k = 0; k < FAMILIES (s_instances); k++) {
        size_t i, j;
        json_t *actor, *instance;
        s_put_head (text, s_instances[k].name, s_instances[k].type, s_instances[k].help);
        json_array_foreach (actors, i, actor)
        {
            json_array_foreach (json_object_get (actor, "instances"), j, instance)
            {
                s_put_sample (text, &s_instances[k], instance, "instance",
                              bn_sample_text (actor, "name"));
            }
        }
    }
}

static void s_put_orchestrator (bn_buffer_t *text, const json_t *it)
{
    s_put_head (text, "info", GAUGE, "Version of the orchestrator, and its journal; always 1.");
    s_put (text, "baton_info{");
    s_put_label (text, "version", bn_sample_text (it, "version"));
    bn_buffer_append (text, ",", 1);
    s_put_label (text, "journal_id", bn_sample_text (it, "journal_id"));
    s_put (text, "} 1\n");
    for (size_t k = 0; k < FAMILIES (s_orchestrator); k++) {
        const family_t *family = &s_orchestrator[k];
        s_put_head (text, family->name, family->type, family->help);
        s_put_sample (text, family, it, NULL, NULL);
    }
    s_put_head (text, "journal_needed_events", GAUGE,
                "Events from the oldest one that somebody still needs to the end of the journal.");
    s_put (text, "baton_journal_needed_events %" JSON_INTEGER_FORMAT "\n",
           bn_sample_int (it, "tail") - bn_sample_int (it, "needed_from"));
}

void bn_prometheus_put (bn_buffer_t *text, const json_t *sample, double seconds)
{
    s_put_head (text, "up", GAUGE, "1: the orchestrator answers.");
    s_put (text, "baton_up %d\n", sample ? 1 : 0);
    if (!sample)
        return;
    s_put_head (text, "status_duration_seconds", GAUGE, "How long its answer took.");
    s_put (text, "baton_status_duration_seconds %.6f\n", seconds);
    s_put_head (text, "status_truncated", GAUGE,
                "1: there are more topics or actors than fit into its answer.");
    s_put (text, "baton_status_truncated %d\n",
           json_is_true (json_object_get (sample, "truncated")));
    s_put_orchestrator (text, json_object_get (sample, "orchestrator"));
    s_put_lists (text, s_topics, FAMILIES (s_topics), json_object_get (sample, "topics"), "topic");
    s_put_lists (text, s_actors, FAMILIES (s_actors), json_object_get (sample, "actors"), "actor");
    s_put_instances (text, json_object_get (sample, "actors"));
}
