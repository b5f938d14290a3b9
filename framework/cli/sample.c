/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/sample.h"
#include "cli/json.h"
#include "cli/reader.h"
#include <stdio.h>
#include <string.h>

json_int_t bn_sample_int (const json_t *object, const char *name)
{
    return json_integer_value (json_object_get (object, name));
}

const char *bn_sample_text (const json_t *object, const char *name)
{
    const char *text = json_string_value (json_object_get (object, name));
    return text ? text : "";
}

json_t *bn_sample_take (bn_admin_t *admin, baton_err_t *err)
{
    const bn_message_t *reply;
    bn_message_t request = {.type = BN_STATUS};
    *err = bn_admin_request (admin, &request, BN_STATUS_REPLY, 0, &reply);
    if (*err)
        return NULL;
    json_t *status = bn_json_from_value (reply->status.data, reply->status.size);
    if (!status)
        *err = BATON_ERR_MALFORMED;
    return status;
}

const char *bn_sample_error_text (const bn_admin_t *admin, baton_err_t err)
{
    return err == bn_admin_error (admin) ? bn_admin_error_text (admin) : baton_err_text (err);
}

/*  Sets `rate` in each item of a list: how much `count` has grown per second since `before`.  */
static void s_add_rates (json_t *status, const json_t *before, const char *list, const char *count,
                         const char *rate)
{
    size_t i, k;
    json_t *item, *other;
    json_int_t now_us = bn_sample_int (json_object_get (status, "orchestrator"), "time_us");
    json_int_t then_us = bn_sample_int (json_object_get (before, "orchestrator"), "time_us");
    json_array_foreach (json_object_get (status, list), i, item)
    {
        json_t *value = NULL;
        /*  Both lists are in the order of the names, and seldom change: the same place first.  */
        size_t size = json_array_size (json_object_get (before, list));
        for (k = 0; k < size && !value && now_us > then_us; k++) {
            other = json_array_get (json_object_get (before, list), (i + k) % size);
            if (strcmp (bn_sample_text (item, "name"), bn_sample_text (other, "name")) == 0)
                value = json_real (
                    (double)(bn_sample_int (item, count) - bn_sample_int (other, count)) * 1e6 /
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
static void s_add_age (bn_admin_t *admin, json_t *actor, json_int_t now_us)
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
        bn_reader_run (&reader, admin);
        if (time_us != INT64_MIN)
            age = json_integer (time_us < now_us ? (now_us - time_us) / 1000 : 0);
    }
    json_object_set_new (actor, "oldest_unsettled_age_ms", age ? age : json_null ());
}

void bn_sample_add_rates (json_t *sample, const json_t *before)
{
    s_add_rates (sample, before, "topics", "events", "events_per_second");
    s_add_rates (sample, before, "actors", "settled", "settled_per_second");
    s_add_rates (sample, before, "actors", "published", "published_per_second");
}

void bn_sample_add_ages (json_t *sample, bn_admin_t *admin)
{
    size_t i;
    json_t *actor;
    json_int_t now_us = bn_sample_int (json_object_get (sample, "orchestrator"), "time_us");
    json_array_foreach (json_object_get (sample, "actors"), i, actor)
    {
        s_add_age (admin, actor, now_us);
    }
}

/*  ---- for people ---- */

void bn_sample_age_text (const json_t *ms, char text[32])
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

void bn_sample_bytes_text (json_int_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 10240 && unit < 4; unit++)
        value /= 1024;
    snprintf (text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void bn_sample_rate_text (const json_t *rate, char text[32])
{
    if (json_is_number (rate))
        snprintf (text, 32, "%.0f", json_number_value (rate));
    else
        snprintf (text, 32, "-");
}
