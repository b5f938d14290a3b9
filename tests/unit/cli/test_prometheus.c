/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/prometheus.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*  Owned.  */
static char *text_of (const json_t *sample)
{
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, 1 << 20);
    bn_prometheus_put (&buffer, sample, 0.25);
    assert_false (buffer.failed);
    char *text = calloc (1, buffer.size + 1);
    assert_non_null (text);
    memcpy (text, bn_buffer_data (&buffer), buffer.size);
    bn_buffer_fini (&buffer);
    return text;
}

static void assert_line (const char *text, const char *line)
{
    const char *at = text;
    size_t size = strlen (line);
    while ((at = strstr (at, line)) && !((at == text || at[-1] == '\n') && at[size] == '\n'))
        at++;
    if (!at)
        fail_msg ("no line \"%s\" in\n%s", line, text);
}

static json_t *sample_of (const char *topic)
{
    json_error_t error;
    json_t *sample = json_pack_ex (
        &error, 0,
        "{s:{s:s,s:s,s:I,s:i,s:b},s:[{s:s,s:I,s:i,s:i}],"
        "s:[{s:s,s:i,s:i,s:n,s:[{s:s,s:b,s:i,s:i},{s:s,s:b,s:i,s:n}]},{s:s,s:i,s:i,s:i,s:[]}],"
        "s:b}",
        "orchestrator", "version", "1.2.3", "journal_id", "00000000000000ab", "tail",
        (json_int_t)9007199254740993, "needed_from", 0, "disk_full", 1, "topics", "name", topic,
        "events", (json_int_t)5, "bytes", 700, "actors", 2, "actors", "name", "a", "lag", 3,
        "settled", 7, "oldest_unsettled_age_ms", "instances", "name", "a-1", "connected", 1,
        "partitions", 16, "age_ms", 1500, "name", "a-2", "connected", 0, "partitions", 16, "age_ms",
        "name", "b", "lag", 0, "settled", 0, "oldest_unsettled_age_ms", 90500, "instances",
        "truncated", 0);
    if (!sample)
        fail_msg ("%s", error.text);
    return sample;
}

static void each_family_has_its_head_and_its_samples (void **state)
{
    (void)state;
    json_t *sample = sample_of ("orders.placed");
    char *text = text_of (sample);
    assert_line (text, "# TYPE baton_up gauge");
    assert_line (text, "baton_up 1");
    assert_line (text, "baton_status_duration_seconds 0.250000");
    assert_line (text, "baton_info{version=\"1.2.3\",journal_id=\"00000000000000ab\"} 1");
    assert_line (text, "# TYPE baton_journal_events_total counter");
    assert_line (text, "baton_journal_events_total 9007199254740993"); /* every digit */
    assert_line (text, "baton_disk_full 1");
    assert_line (text, "# HELP baton_topic_events_total Events ever published to the topic.");
    assert_line (text, "baton_topic_events_total{topic=\"orders.placed\"} 5");
    assert_line (text, "baton_actor_lag_events{actor=\"a\"} 3");
    assert_line (text, "baton_actor_lag_events{actor=\"b\"} 0");
    assert_line (text, "baton_actor_connected_instances{actor=\"a\"} 1");
    assert_line (text, "baton_actor_connected_instances{actor=\"b\"} 0");
    assert_line (text, "baton_actor_oldest_unsettled_age_seconds{actor=\"a\"} 0.000");
    assert_line (text, "baton_actor_oldest_unsettled_age_seconds{actor=\"b\"} 90.500");
    assert_line (text, "baton_instance_heard_age_seconds{actor=\"a\",instance=\"a-1\"} 1.500");
    assert_line (text, "baton_instance_connected{actor=\"a\",instance=\"a-2\"} 0");
    /*  Not heard: no value rather than a wrong one.  */
    assert_null (strstr (text, "baton_instance_heard_age_seconds{actor=\"a\",instance=\"a-2\"}"));
    free (text);
    json_decref (sample);
}

static void labels_are_escaped (void **state)
{
    (void)state;
    json_t *sample = sample_of ("a\"b\\c\nd");
    char *text = text_of (sample);
    assert_line (text, "baton_topic_events_total{topic=\"a\\\"b\\\\c\\nd\"} 5");
    free (text);
    json_decref (sample);
}

static void without_an_answer_only_up_is_said (void **state)
{
    (void)state;
    char *text = text_of (NULL);
    assert_string_equal (text, "# HELP baton_up 1: the orchestrator answers.\n"
                               "# TYPE baton_up gauge\n"
                               "baton_up 0\n");
    free (text);
}

static void what_does_not_fit_is_not_cut_silently (void **state)
{
    (void)state;
    json_t *sample = sample_of ("t");
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, 1000);
    bn_prometheus_put (&buffer, sample, 0);
    assert_true (buffer.failed);
    bn_buffer_fini (&buffer);
    json_decref (sample);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_family_has_its_head_and_its_samples),
        cmocka_unit_test (labels_are_escaped),
        cmocka_unit_test (without_an_answer_only_up_is_said),
        cmocka_unit_test (what_does_not_fit_is_not_cut_silently),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
