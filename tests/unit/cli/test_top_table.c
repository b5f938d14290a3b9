/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/top_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/*  One actor, with what matters to a test; the rest is calm.  */
typedef struct {
    const char *name;
    int instances;
    int lag;
    int dead;
    int parked_most;
    double in;
    double out;
} actor_t;

static json_t *sample_of (const actor_t *actors, size_t count, int disk_full)
{
    json_t *list = json_array ();
    for (size_t i = 0; i < count; i++) {
        const actor_t *it = &actors[i];
        json_t *instances = json_array ();
        for (int k = 0; k < it->instances; k++)
            json_array_append_new (instances,
                                   json_pack ("{s:s,s:i,s:i,s:b,s:i}", "name", "i-1", "partitions",
                                              32, "in_flight", 0, "connected", 1, "age_ms", 10));
        json_array_append_new (
            list,
            json_pack ("{s:s,s:o,s:i,s:i,s:i,s:i,s:i,s:f,s:f,s:n}", "name", it->name, "instances",
                       instances, "lag", it->lag, "in_flight", 0, "dead", it->dead, "parked",
                       it->parked_most, "parked_most", it->parked_most, "published_per_second",
                       it->in, "settled_per_second", it->out, "oldest_unsettled_age_ms"));
    }
    json_t *sample =
        json_pack ("{s:{s:s,s:i,s:i,s:b,s:i},s:[{s:s,s:i,s:i,s:i,s:f}],s:o,s:b}", "orchestrator",
                   "version", "1.2.3", "tail", 1234567, "instances", 1, "disk_full", disk_full,
                   "parked_max", 100, "topics", "name", "orders.placed", "events", 7, "bytes", 700,
                   "actors", 1, "events_per_second", 2.5, "actors", list, "truncated", 0);
    assert_non_null (sample);
    return sample;
}

/*  The line that begins with the name, after its mark.  */
static const bn_top_line_t *line_of (const bn_top_t *top, const char *name)
{
    for (size_t i = 0; i < top->line_count; i++)
        if (strncmp (top->lines[i].text + 1, name, strlen (name)) == 0)
            return &top->lines[i];
    fail_msg ("there is no line of %s", name);
    return NULL;
}

/*  The text under the line's only mark of an alarm or a warning.  */
static void assert_marked (const bn_top_line_t *line, bn_top_mark_t mark, const char *text)
{
    assert_int_equal (line->mark_count, 1);
    assert_int_equal (line->marks[0].mark, mark);
    assert_int_equal (line->marks[0].size, strlen (text));
    assert_memory_equal (line->text + line->marks[0].at, text, strlen (text));
    assert_int_equal (line->text[0], '!');
}

static void what_needs_somebody_to_look_is_marked (void **state)
{
    (void)state;
    const actor_t actors[] = {{.name = "calm", .instances = 1, .lag = 5},
                              {.name = "dead", .instances = 1, .dead = 17},
                              {.name = "idle"},
                              {.name = "left", .lag = 3},
                              {.name = "stuck", .instances = 1, .parked_most = 100}};
    bn_top_t top = {.width = 0};
    bn_top_view_t view = {.sort = BN_TOP_NAME};
    bn_top_add (&top, sample_of (actors, 5, 0));
    bn_top_draw (&top, &view, 80);
    assert_int_equal (line_of (&top, "calm")->mark_count, 0);
    assert_int_equal (line_of (&top, "calm")->text[0], ' ');
    assert_marked (line_of (&top, "dead"), BN_TOP_ALARM, "17");
    assert_marked (line_of (&top, "idle"), BN_TOP_WARNING, "0"); /* nothing waits for it */
    assert_marked (line_of (&top, "left"), BN_TOP_ALARM, "0");
    assert_marked (line_of (&top, "stuck"), BN_TOP_ALARM, "100");
    bn_top_draw (&top, &view, 50); /* the column is not on the screen */
    assert_int_equal (line_of (&top, "dead")->mark_count, 0);
    assert_int_equal (line_of (&top, "dead")->text[0], '!');
    bn_top_draw_head (&top, "here", 80);
    assert_int_equal (top.line_count, 2);
    assert_int_equal (top.lines[1].mark_count, 0);
    bn_top_add (&top, sample_of (actors, 5, 1));
    bn_top_draw_head (&top, "here", 80);
    assert_marked (&top.lines[1], BN_TOP_ALARM, "THE DISK IS FULL");
    bn_top_fini (&top);
}

static void a_lag_is_marked_when_it_grows_for_a_while (void **state)
{
    (void)state;
    actor_t actor = {.name = "a", .instances = 1, .lag = 100, .in = 20, .out = 10};
    bn_top_t top = {.width = 0};
    bn_top_view_t view = {.sort = BN_TOP_LAG};
    for (int i = 0; i < BN_TOP_HISTORY; i++) {
        bn_top_draw (&top, &view, 80);
        if (i > 0)
            assert_int_equal (line_of (&top, "a ")->mark_count, 0); /* too early to tell */
        actor.lag++;
        bn_top_add (&top, sample_of (&actor, 1, 0));
    }
    bn_top_draw (&top, &view, 80);
    assert_marked (line_of (&top, "a "), BN_TOP_WARNING, "110");
    actor.in = 5; /* as high, but it goes down now */
    bn_top_add (&top, sample_of (&actor, 1, 0));
    bn_top_draw (&top, &view, 80);
    assert_int_equal (line_of (&top, "a ")->mark_count, 0);
    bn_top_fini (&top);
}

static void assert_order (bn_top_t *top, bn_top_column_t sort, bool reverse, const char *order)
{
    bn_top_view_t view = {.sort = sort, .reverse = reverse, .no_topics = true};
    bn_top_draw (top, &view, 80);
    assert_int_equal (top->line_count, 1 + strlen (order));
    for (size_t i = 0; order[i]; i++)
        assert_int_equal (top->lines[1 + i].text[1], order[i]);
}

static void rows_are_sorted_by_any_column (void **state)
{
    (void)state;
    const actor_t actors[] = {{.name = "a", .instances = 1, .lag = 5, .in = 3, .dead = 1},
                              {.name = "b", .instances = 3, .lag = 9, .in = 1, .dead = 1},
                              {.name = "c", .instances = 2, .lag = 7, .in = 2, .dead = 2}};
    bn_top_t top = {.width = 0};
    bn_top_add (&top, sample_of (actors, 3, 0));
    assert_order (&top, BN_TOP_NAME, false, "abc");
    assert_order (&top, BN_TOP_NAME, true, "cba");
    assert_order (&top, BN_TOP_LAG, false, "bca");
    assert_order (&top, BN_TOP_LAG, true, "acb");
    assert_order (&top, BN_TOP_INSTANCES, false, "bca");
    assert_order (&top, BN_TOP_IN, false, "acb");
    assert_order (&top, BN_TOP_DEAD, false, "cab"); /* equals stay in the order of their names */
    bn_top_fini (&top);
}

static void lines_fit_whatever_the_width_and_the_figures (void **state)
{
    (void)state;
    const actor_t one = {.name = "an-actor-with-a-name-of-sixty-four-bytes-which-is-the-longest-of",
                         .instances = 1,
                         .lag = 2147483647,
                         .dead = 100000,
                         .parked_most = 65536,
                         .in = 1e12,
                         .out = 123456789};
    bn_top_t top = {.width = 0};
    bn_top_view_t view = {.sort = BN_TOP_LAG, .instances = true};
    bn_top_add (&top, sample_of (&one, 1, 0));
    for (size_t width = 1; width <= 300; width++) {
        size_t most = width < BN_TOP_WIDTH_MIN   ? BN_TOP_WIDTH_MIN
                      : width > BN_TOP_WIDTH_MAX ? BN_TOP_WIDTH_MAX
                                                 : width;
        bn_top_draw (&top, &view, width);
        for (size_t i = 0; i < top.line_count; i++) {
            assert_true (strlen (top.lines[i].text) <= most);
            for (size_t k = 0; k < top.lines[i].mark_count; k++)
                assert_true (top.lines[i].marks[k].at + top.lines[i].marks[k].size <=
                             strlen (top.lines[i].text));
        }
    }
    bn_top_draw (&top, &view, 80);
    assert_string_equal (
        line_of (&top, "an-actor")->text,
        "!an-actor-with-a-na~    1   1000G    123M    2147M      0  65536   100k        -");
    bn_top_fini (&top);
}

static void without_a_sample_there_is_nothing_to_show (void **state)
{
    (void)state;
    bn_top_t top = {.width = 0};
    bn_top_view_t view = {.sort = BN_TOP_LAG};
    bn_top_draw (&top, &view, 80);
    assert_int_equal (top.line_count, 0);
    bn_top_draw_head (&top, "here", 80);
    assert_string_equal (top.lines[0].text, " baton top at here");
    bn_top_fini (&top);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_needs_somebody_to_look_is_marked),
        cmocka_unit_test (a_lag_is_marked_when_it_grows_for_a_while),
        cmocka_unit_test (rows_are_sorted_by_any_column),
        cmocka_unit_test (lines_fit_whatever_the_width_and_the_figures),
        cmocka_unit_test (without_a_sample_there_is_nothing_to_show),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
