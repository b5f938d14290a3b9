/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/top_table.h"
#include "cli/sample.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH_MIN 18 /* columns; the rest of a wide terminal goes to the name */
#define NAME_WIDTH_MAX 60
#define TEXT_BYTES     32

static const struct {
    const char *title;
    const char *name; /* for --sort */
    size_t width;
} s_columns[BN_TOP_COLUMNS] = {
    {"ACTOR", "name", 0},    {"INST", "instances", 5}, {"IN/S", "in", 8},
    {"OUT/S", "out", 8},     {"LAG", "lag", 9},        {"FLIGHT", "flight", 7},
    {"PARKED", "parked", 7}, {"DEAD", "dead", 7},      {"OLDEST", "oldest", 9}};

const char *bn_top_column_name (bn_top_column_t column)
{
    return column < BN_TOP_COLUMNS ? s_columns[column].name : NULL;
}

void bn_top_fini (bn_top_t *self)
{
    for (size_t i = 0; i < BN_TOP_HISTORY; i++)
        json_decref (self->samples[i]);
    free (self->lines);
    *self = (bn_top_t){.line_count = 0};
}

void bn_top_add (bn_top_t *self, json_t *sample)
{
    json_decref (self->samples[BN_TOP_HISTORY - 1]);
    memmove (self->samples + 1, self->samples, (BN_TOP_HISTORY - 1) * sizeof (json_t *));
    self->samples[0] = sample;
}

/*  ---- lines ---- */

/*  A new line; NULL: no memory.  */
static bn_top_line_t *s_line (bn_top_t *self)
{
    if (self->line_count == self->line_room) {
        size_t room = self->line_room ? 2 * self->line_room : 64;
        bn_top_line_t *lines = realloc (self->lines, room * sizeof (*lines));
        if (!lines)
            return NULL;
        self->lines = lines;
        self->line_room = room;
    }
    bn_top_line_t *line = &self->lines[self->line_count++];
    line->text[0] = '\0';
    line->mark_count = 0;
    return line;
}

static void s_put (bn_top_t *self, bn_top_line_t *line, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/*  Appends, cut at the width.  */
static void s_put (bn_top_t *self, bn_top_line_t *line, const char *format, ...)
{
    size_t size = strlen (line->text);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line->text + size, self->width + 1 - size, format, arguments);
    va_end (arguments);
}

/*  Marks what was put since `at`, without the blanks before it. What a narrow terminal cuts off
 *  still gives its line the "!".  */
static void s_mark (bn_top_line_t *line, size_t at, bn_top_mark_t mark)
{
    size_t end = strlen (line->text);
    if (mark >= BN_TOP_WARNING && line->text[0] == ' ')
        line->text[0] = '!';
    while (at < end && line->text[at] == ' ')
        at++;
    if (at == end || line->mark_count == BN_TOP_MARKS_MAX)
        return;
    line->marks[line->mark_count].at = at;
    line->marks[line->mark_count].size = end - at;
    line->marks[line->mark_count++].mark = mark;
}

/*  Left-justified; a name that is too long ends in "~".  */
static void s_put_name (bn_top_t *self, bn_top_line_t *line, const char *name, size_t width)
{
    bool cut = strlen (name) > width;
    s_put (self, line, "%-*.*s%s", (int)(cut ? width - 1 : width), (int)(cut ? width - 1 : width),
           name, cut ? "~" : "");
}

/*  At most 6 columns.  */
static void s_count_text (double count, char text[TEXT_BYTES])
{
    static const char units[] = "kMGTP";
    size_t unit = 0;
    if (count < 100000) {
        snprintf (text, TEXT_BYTES, "%.0f", count);
        return;
    }
    for (count /= 1000; count >= 10000 && unit + 1 < sizeof (units) - 1; unit++)
        count /= 1000;
    snprintf (text, TEXT_BYTES, count < 100 ? "%.1f%c" : "%.0f%c", count, units[unit]);
}

static void s_rate_text (const json_t *rate, char text[TEXT_BYTES])
{
    if (!json_is_number (rate))
        snprintf (text, TEXT_BYTES, "-");
    else if (json_number_value (rate) > 0 && json_number_value (rate) < 10)
        snprintf (text, TEXT_BYTES, "%.1f", json_number_value (rate));
    else
        s_count_text (json_number_value (rate), text);
}

static size_t s_name_width (const bn_top_t *self, size_t others)
{
    size_t width = self->width > others + 1 ? self->width - others - 1 : 0;
    return width < NAME_WIDTH_MIN   ? NAME_WIDTH_MIN
           : width > NAME_WIDTH_MAX ? NAME_WIDTH_MAX
                                    : width;
}

/*  ---- what an actor is like ---- */

static double s_number (const json_t *object, const char *name)
{
    return json_number_value (json_object_get (object, name));
}

static const json_t *s_namesake (const json_t *sample, const char *name)
{
    size_t i;
    json_t *actor;
    json_array_foreach (json_object_get (sample, "actors"), i, actor)
    {
        if (strcmp (bn_sample_text (actor, "name"), name) == 0)
            return actor;
    }
    return NULL;
}

static bool s_lag_grows (const bn_top_t *self, const json_t *actor)
{
    const json_t *before =
        s_namesake (self->samples[BN_TOP_HISTORY - 1], bn_sample_text (actor, "name"));
    return before && bn_sample_int (actor, "lag") > bn_sample_int (before, "lag") &&
           s_number (actor, "published_per_second") > s_number (actor, "settled_per_second");
}

static size_t s_connected (const json_t *actor)
{
    size_t i, count = 0;
    json_t *instance;
    json_array_foreach (json_object_get (actor, "instances"), i, instance)
    {
        count += json_is_true (json_object_get (instance, "connected")) ? 1 : 0;
    }
    return count;
}

static double s_value (const json_t *actor, bn_top_column_t column)
{
    switch (column) {
    case BN_TOP_INSTANCES:
        return (double)s_connected (actor);
    case BN_TOP_IN:
        return s_number (actor, "published_per_second");
    case BN_TOP_OUT:
        return s_number (actor, "settled_per_second");
    case BN_TOP_LAG:
        return s_number (actor, "lag");
    case BN_TOP_FLIGHT:
        return s_number (actor, "in_flight");
    case BN_TOP_PARKED:
        return s_number (actor, "parked");
    case BN_TOP_DEAD:
        return s_number (actor, "dead");
    default:
        return s_number (actor, "oldest_unsettled_age_ms");
    }
}

/*  ---- sorting ---- */

typedef struct {
    const json_t *item;
    size_t place; /* in the sample: equals stay in its order, which is that of the names */
    double value;
} s_sorted_t;

static int s_compare (const void *left_p, const void *right_p)
{
    const s_sorted_t *left = left_p, *right = right_p;
    if (left->value != right->value)
        return left->value > right->value ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static double s_topic_value (const json_t *topic)
{
    return s_number (topic, "events_per_second");
}

/*  Owned array of the list's items; NULL: empty, or no memory.  */
static s_sorted_t *s_sort (const json_t *list, const bn_top_view_t *view, bool topics,
                           size_t *count)
{
    *count = json_array_size (list);
    s_sorted_t *sorted = *count ? calloc (*count, sizeof (*sorted)) : NULL;
    if (!sorted)
        *count = 0;
    for (size_t i = 0; i < *count; i++) {
        sorted[i].item = json_array_get (list, i);
        sorted[i].place = i;
        sorted[i].value = view->sort == BN_TOP_NAME ? -(double)i
                          : topics                  ? s_topic_value (sorted[i].item)
                                                    : s_value (sorted[i].item, view->sort);
        if (view->reverse)
            sorted[i].value = -sorted[i].value;
    }
    if (sorted)
        qsort (sorted, *count, sizeof (*sorted), s_compare);
    return sorted;
}

/*  ---- the tables ---- */

static void s_draw_actor_titles (bn_top_t *self, const bn_top_view_t *view, size_t name_width)
{
    bn_top_line_t *line = s_line (self);
    if (!line)
        return;
    for (size_t i = 0; i < BN_TOP_COLUMNS; i++) {
        size_t at = strlen (line->text);
        if (i == BN_TOP_NAME)
            s_put (self, line, " %-*s", (int)name_width, s_columns[i].title);
        else
            s_put (self, line, "%*s", (int)s_columns[i].width, s_columns[i].title);
        if (i == (size_t)view->sort)
            s_mark (line, at, BN_TOP_SORTED);
    }
}

static void s_draw_instances (bn_top_t *self, const json_t *actor)
{
    size_t i;
    json_t *instance;
    json_array_foreach (json_object_get (actor, "instances"), i, instance)
    {
        char age[32];
        bn_top_line_t *line = s_line (self);
        if (!line)
            return;
        bn_sample_age_text (json_object_get (instance, "age_ms"), age);
        s_put (self, line, "   ");
        s_put_name (self, line, bn_sample_text (instance, "name"), NAME_WIDTH_MIN + 6);
        s_put (self, line,
               " %3" JSON_INTEGER_FORMAT " partitions, %" JSON_INTEGER_FORMAT " in flight, ",
               bn_sample_int (instance, "partitions"), bn_sample_int (instance, "in_flight"));
        size_t at = strlen (line->text);
        if (json_is_true (json_object_get (instance, "connected")))
            s_put (self, line, "heard %s ago", age);
        else {
            s_put (self, line, "not connected");
            s_mark (line, at, BN_TOP_WARNING);
        }
    }
}

static void s_cell_text (const json_t *actor, bn_top_column_t column, char text[TEXT_BYTES])
{
    if (column == BN_TOP_IN)
        s_rate_text (json_object_get (actor, "published_per_second"), text);
    else if (column == BN_TOP_OUT)
        s_rate_text (json_object_get (actor, "settled_per_second"), text);
    else if (column == BN_TOP_OLDEST)
        bn_sample_age_text (json_object_get (actor, "oldest_unsettled_age_ms"), text);
    else
        s_count_text (s_value (actor, column), text);
}

static void s_draw_actor (bn_top_t *self, const json_t *actor, size_t name_width,
                          json_int_t parked_max)
{
    bn_top_line_t *line = s_line (self);
    bool lags = bn_sample_int (actor, "lag") > 0, grows = s_lag_grows (self, actor);
    if (!line)
        return;
    s_put (self, line, " ");
    s_put_name (self, line, bn_sample_text (actor, "name"), name_width);
    for (bn_top_column_t column = BN_TOP_INSTANCES; column < BN_TOP_COLUMNS; column++) {
        char text[TEXT_BYTES];
        size_t at = strlen (line->text);
        s_cell_text (actor, column, text);
        s_put (self, line, "%*s", (int)s_columns[column].width, text);
        if (column == BN_TOP_INSTANCES && s_connected (actor) == 0)
            s_mark (line, at, lags ? BN_TOP_ALARM : BN_TOP_WARNING);
        if (column == BN_TOP_LAG && grows)
            s_mark (line, at, BN_TOP_WARNING);
        if (column == BN_TOP_PARKED && bn_sample_int (actor, "parked") > 0 &&
            bn_sample_int (actor, "parked_most") >= parked_max)
            s_mark (line, at, BN_TOP_ALARM);
        if (column == BN_TOP_DEAD && bn_sample_int (actor, "dead") > 0)
            s_mark (line, at, BN_TOP_ALARM);
    }
}

static void s_draw_actors (bn_top_t *self, const bn_top_view_t *view)
{
    const json_t *sample = self->samples[0];
    json_int_t parked_max = bn_sample_int (json_object_get (sample, "orchestrator"), "parked_max");
    size_t count, others = 0;
    s_sorted_t *sorted = s_sort (json_object_get (sample, "actors"), view, false, &count);
    for (size_t i = 0; i < BN_TOP_COLUMNS; i++)
        others += s_columns[i].width;
    size_t name_width = s_name_width (self, others);
    s_draw_actor_titles (self, view, name_width);
    for (size_t i = 0; i < count; i++) {
        s_draw_actor (self, sorted[i].item, name_width, parked_max);
        if (view->instances)
            s_draw_instances (self, sorted[i].item);
    }
    free (sorted);
}

static void s_draw_topics (bn_top_t *self, const bn_top_view_t *view)
{
    enum { EVENTS = 10, RATE = 10, BYTES = 12, ACTORS = 8 };
    size_t count;
    s_sorted_t *sorted = s_sort (json_object_get (self->samples[0], "topics"), view, true, &count);
    size_t name_width = s_name_width (self, EVENTS + RATE + BYTES + ACTORS);
    bn_top_line_t *line = s_line (self);
    if (line)
        s_put (self, line, " %-*s%*s%*s%*s%*s", (int)name_width, "TOPIC", RATE, "EVENTS/S", EVENTS,
               "EVENTS", BYTES, "BYTES", ACTORS, "ACTORS");
    for (size_t i = 0; i < count && (line = s_line (self)); i++) {
        char rate[TEXT_BYTES], events[TEXT_BYTES], bytes[TEXT_BYTES];
        const json_t *topic = sorted[i].item;
        s_rate_text (json_object_get (topic, "events_per_second"), rate);
        s_count_text (s_number (topic, "events"), events);
        bn_sample_bytes_text (bn_sample_int (topic, "bytes"), bytes);
        s_put (self, line, " ");
        s_put_name (self, line, bn_sample_text (topic, "name"), name_width);
        s_put (self, line, "%*s%*s%*s%*" JSON_INTEGER_FORMAT, RATE, rate, EVENTS, events, BYTES,
               bytes, ACTORS, bn_sample_int (topic, "actors"));
    }
    free (sorted);
}

static void s_start (bn_top_t *self, size_t width)
{
    self->width = width < BN_TOP_WIDTH_MIN   ? BN_TOP_WIDTH_MIN
                  : width > BN_TOP_WIDTH_MAX ? BN_TOP_WIDTH_MAX
                                             : width;
    self->line_count = 0;
}

void bn_top_draw_head (bn_top_t *self, const char *endpoint, size_t width)
{
    const json_t *sample = self->samples[0];
    const json_t *it = json_object_get (sample, "orchestrator");
    char text[TEXT_BYTES];
    size_t i;
    json_t *topic;
    double rate = 0;
    s_start (self, width);
    bn_top_line_t *line = s_line (self);
    if (!line)
        return;
    s_put (self, line, " baton %s at %s", it ? bn_sample_text (it, "version") : "top", endpoint);
    s_mark (line, 0, BN_TOP_HEAD);
    if (!it || !(line = s_line (self)))
        return;
    json_array_foreach (json_object_get (sample, "topics"), i, topic)
    {
        rate += s_topic_value (topic);
    }
    s_count_text (s_number (it, "tail"), text);
    s_put (self, line, " %s events, ", text);
    s_count_text (rate, text);
    s_put (self, line, "%s/s; %zu topics, %zu actors, %" JSON_INTEGER_FORMAT " instances", text,
           json_array_size (json_object_get (sample, "topics")),
           json_array_size (json_object_get (sample, "actors")), bn_sample_int (it, "instances"));
    if (json_is_true (json_object_get (sample, "truncated")))
        s_put (self, line, " (and more)");
    if (!json_is_true (json_object_get (it, "disk_full")))
        return;
    size_t at = strlen (line->text);
    s_put (self, line, "  THE DISK IS FULL");
    s_mark (line, at, BN_TOP_ALARM);
}

void bn_top_draw (bn_top_t *self, const bn_top_view_t *view, size_t width)
{
    s_start (self, width);
    if (!self->samples[0])
        return;
    if (!view->no_actors)
        s_draw_actors (self, view);
    if (!view->no_actors && !view->no_topics)
        s_line (self);
    if (!view->no_topics)
        s_draw_topics (self, view);
}
