/* SPDX-License-Identifier: MPL-2.0 */

/*  An actor's options, and what becomes of the events of a run: verdicts, emissions, order.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/actor_internal.h"
#include "shell/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  ---- options ------------------------------------------------------------------------------ */

static baton_err_t try_options (baton_actor_options_t options)
{
    baton_actor_t *actor = (baton_actor_t *)&options;
    baton_err_t err = baton_actor_new (&actor, &options);
    assert_true ((err == BATON_OK) == (actor != NULL));
    baton_actor_destroy (&actor);
    return err;
}

static void options_are_checked (void **state)
{
    (void)state;
    baton_actor_t *actor;
    assert_int_equal (baton_actor_new (&actor, NULL), BATON_ERR_ARGUMENT);
    assert_int_equal (try_options ((baton_actor_options_t){.name = NULL}), BATON_ERR_ARGUMENT);
    assert_int_equal (try_options ((baton_actor_options_t){.name = "payment"}), BATON_OK);
    char too_long[BATON_NAME_BYTES_MAX + 2];
    memset (too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    const char *const names[] = {"", "a.b", "a b", "\xc3\xa4", "$a", too_long};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal (try_options ((baton_actor_options_t){.name = names[i]}), BATON_ERR_NAME);
    assert_int_equal (try_options ((baton_actor_options_t){.name = "a", .instance = "a/1"}),
                      BATON_ERR_NAME);
    static const char *const endpoints[] = {"",
                                            "tcp://",
                                            "tcp://:1",
                                            "tcp://host",
                                            "tcp://host:",
                                            "tcp://host:port",
                                            "udp://host:1",
                                            "inproc://x",
                                            "ipc://",
                                            "tcp://host:*",
                                            "tcp://host:123456"};
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
        assert_int_equal (
            try_options ((baton_actor_options_t){.name = "a", .endpoint = endpoints[i]}),
            BATON_ERR_ARGUMENT);
    const baton_actor_options_t wrong[] = {
        {.start = (baton_start_t)4},  {.max_attempts = 1001},
        {.backoff_max_ms = 86400001}, {.backoff_min_ms = 200, .backoff_max_ms = 100},
        {.backoff_jitter_pct = 101},  {.emit_bytes_max = 4 * 1024 * 1024 + 1},
        {.prefetch_bytes = 1},        {.handler_deadline_ms = 86400001},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        baton_actor_options_t options = wrong[i];
        options.name = "a";
        assert_int_equal (try_options (options), BATON_ERR_ARGUMENT);
    }
    assert_int_equal (try_options ((baton_actor_options_t){.name = "a", .backoff_min_ms = 60000}),
                      BATON_OK);
}

static baton_verdict_t never_called (baton_context_t *context, const baton_event_t *event,
                                     void *arg)
{
    (void)context;
    (void)event;
    (void)arg;
    fail ();
    return BATON_ACK;
}

static void handlers_are_checked (void **state)
{
    (void)state;
    baton_actor_t *actor;
    assert_int_equal (baton_actor_new (&actor, &(baton_actor_options_t){.name = "a"}), BATON_OK);
    assert_int_equal (baton_actor_run (actor), BATON_ERR_ARGUMENT);
    assert_true (baton_actor_error_text (actor)[0]);
    assert_int_equal (baton_actor_on (actor, NULL, never_called, NULL), BATON_ERR_TOPIC);
    assert_int_equal (baton_actor_on (actor, "a.>.b", never_called, NULL), BATON_ERR_TOPIC);
    assert_int_equal (baton_actor_on (actor, "a", NULL, NULL), BATON_ERR_ARGUMENT);
    for (int i = 0; i < BN_PATTERNS_MAX; i++)
        assert_int_equal (baton_actor_on (actor, "a.*", never_called, NULL), BATON_OK);
    assert_int_equal (baton_actor_on (actor, "b", never_called, NULL), BATON_ERR_LIMIT);
    baton_actor_destroy (&actor);
    baton_actor_destroy (&actor);
}

/*  ---- runs --------------------------------------------------------------------------------- */

typedef struct {
    const char *topic;
    const char *key;
    const char *data; /* a script for `scripted`, as a MessagePack text */
} given_t;

typedef struct {
    baton_actor_t *actor;
    baton_context_t context;
    bn_run_t *run;
    uint32_t run_ms_max; /* 0: no limit */
    bool after_stop;     /* the run is given when the stop was told already */
    char calls[64];      /* first letter of the script of each event that was handled */
} bench_t;

static const bn_crossing_facts_t facts = {.journal_id = 0xabc, .data_bytes_max = 1000};

/*  Does what the event's data says.  */
static baton_verdict_t scripted (baton_context_t *context, const baton_event_t *event, void *arg)
{
    bench_t *bench = arg;
    const char *script;
    size_t size;
    assert_true (baton_value_str (baton_event_value (event), &script, &size));
    strncat (bench->calls, script, 1);
    uint64_t until_ns;
    static const char large[1001];
    baton_attributes_t binary = {.datacontenttype = "application/octet-stream"};
    switch (script[0]) {
    case 'a':
        return BATON_ACK;
    case 'r':
        baton_reason (context, "try %s again", baton_event_id (event));
        return BATON_RETRY;
    case 'j':
        return BATON_REJECT;
    case 'e': /* emits two */
        assert_int_equal (baton_emit (context, "out.one", NULL, "\x01", 1, NULL), BATON_OK);
        assert_int_equal (baton_emit (context, "out.two", "other", "\x02", 1, NULL), BATON_OK);
        return BATON_ACK;
    case 'd': /* emits, then wants a retry */
        assert_int_equal (baton_emit (context, "out.one", NULL, "\x01", 1, NULL), BATON_OK);
        return BATON_RETRY;
    case 'b': /* emits badly and does not look */
        assert_int_equal (baton_emit (context, "out.one", NULL, "\x01", 1, NULL), BATON_OK);
        assert_int_equal (baton_emit (context, "no topic", NULL, "\x01", 1, NULL), BATON_ERR_TOPIC);
        return BATON_ACK;
    case 'l': /* more than the orchestrator takes */
        assert_int_equal (baton_emit (context, "out.one", NULL, large, sizeof large, &binary),
                          BATON_ERR_TOO_LARGE);
        return BATON_ACK;
    case 'm': /* many, until the limit of one call */
        while (baton_emit (context, "out.one", NULL, large, 900, &binary) == BATON_OK)
            continue;
        return BATON_ACK;
    case 's': /* a slow one */
        until_ns = bn_clock_mono_ns () + (BN_RUN_MS_MAX + 1) * UINT64_C (1000000);
        while (bn_clock_mono_ns () < until_ns)
            continue;
        return BATON_ACK;
    case 't':
        baton_actor_stop (bench->actor);
        assert_int_equal (baton_stopping (context), !bench->after_stop);
        return BATON_ACK;
    case 'u': /* a reason that is cut inside a character, and one that is not UTF-8 */
        baton_reason (context, "%0254d\xc3\xa4", 0);
        return BATON_REJECT;
    case 'x':
        baton_reason (context, "caf\xe9 closed");
        return BATON_REJECT;
    default:
        return (baton_verdict_t)42;
    }
}

static void fill (bn_run_item_t *item, const given_t *given, uint64_t offset)
{
    size_t topic_size = strlen (given->topic), data_size = strlen (given->data);
    item->blob = bn_blob_new (topic_size + 1 + data_size);
    char *at = (char *)item->blob->data;
    memcpy (at, given->topic, topic_size);
    item->topic = (bn_text_t){at, topic_size};
    at[topic_size] = (char)(0xa0 | data_size);
    memcpy (at + topic_size + 1, given->data, data_size);
    item->offset = offset;
    item->attempt = 1;
    item->fields = (bn_event_fields_t){.id_prefix = {"p", 1},
                                       .id_number_set = true,
                                       .id_number = offset,
                                       .source = {"/s", 2},
                                       .data = (uint8_t *)at + topic_size,
                                       .data_size = 1 + data_size};
    if (given->key) {
        item->fields.key = (bn_text_t){given->key, strlen (given->key)};
        item->key_hash = (uint64_t)given->key[0];
    }
}

static void handle (bench_t *bench, const given_t *given, uint32_t count)
{
    bench->run = calloc (1, sizeof *bench->run);
    bench->run->items = calloc (count, sizeof *bench->run->items);
    bench->run->count = count;
    for (uint32_t i = 0; i < count; i++)
        fill (&bench->run->items[i], &given[i], 100 + i);
    assert_int_equal (baton_actor_new (&bench->actor, &(baton_actor_options_t){.name = "act"}),
                      BATON_OK);
    assert_int_equal (baton_actor_on (bench->actor, "in.*", scripted, bench), BATON_OK);
    bn_context_options_t options = {.actor = "act",
                                    .source = "/actors/act",
                                    .emit_bytes_max = 100 * 1024,
                                    .crossing = bench->actor->crossing};
    assert_true (bn_context_init (&bench->context, &options));
    bench->actor->run_ms_max = bench->run_ms_max ? bench->run_ms_max : UINT32_MAX;
    bn_crossing_facts_t told = facts;
    told.after_stop = bench->after_stop;
    if (bench->after_stop)
        baton_actor_stop (bench->actor);
    bn_actor_handle_run (bench->actor, &bench->context, bench->run, &told);
}

static void done (bench_t *bench)
{
    bn_run_destroy (&bench->run);
    bn_context_fini (&bench->context);
    baton_actor_destroy (&bench->actor);
}

static void verdicts_become_results (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "a", "a"}, {"in.a", "b", "r"},  {"in.a", "c", "j"},
                                    {"in.a", "d", "?"}, {"other", "e", "a"}, {"in.a", "f", "u"},
                                    {"in.a", "g", "x"}};
    bench_t bench = {.calls = ""};
    handle (&bench, given, 7);
    const bn_run_item_t *items = bench.run->items;
    assert_int_equal (items[0].result, BN_RESULT_ACK);
    assert_int_equal (items[1].result, BN_RESULT_RETRY);
    assert_string_equal (items[1].reason, "try p-101 again");
    assert_int_equal (items[2].result, BN_RESULT_REJECT);
    assert_string_equal (items[2].reason, "the handler gave no reason");
    assert_int_equal (items[3].result, BN_RESULT_REJECT);
    assert_non_null (strstr (items[3].reason, "42"));
    assert_int_equal (items[4].result, BN_RESULT_ACK); /* nobody's: must not stop the rest */
    assert_int_equal (strlen (items[5].reason), 254);
    assert_true (bn_utf8_valid (items[5].reason, 254));
    assert_string_equal (items[6].reason, "caf? closed");
    done (&bench);
}

static void emissions_inherit_and_are_named (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "k", "e"}};
    bench_t bench = {.calls = ""};
    handle (&bench, given, 1);
    const bn_run_item_t *item = &bench.run->items[0];
    assert_int_equal (item->result, BN_RESULT_ACK);
    assert_int_equal (item->emission_count, 2);
    baton_event_t event;
    assert_true (bn_event_init (&event));
    bn_event_set (&event, item->emissions[0].topic, &item->emissions[0].fields, 0, 0, 1);
    assert_string_equal (baton_event_topic (&event), "out.one");
    assert_string_equal (baton_event_key (&event), "k");
    assert_string_equal (baton_event_id (&event), "act-0000000000000abc-100-0");
    assert_string_equal (baton_event_source (&event), "/actors/act");
    assert_string_equal (baton_event_extension (&event, "correlationid"), "p-100");
    assert_string_equal (baton_event_extension (&event, "causationid"), "p-100");
    assert_null (baton_event_extension (&event, "traceparent"));
    bn_event_set (&event, item->emissions[1].topic, &item->emissions[1].fields, 0, 0, 1);
    assert_string_equal (baton_event_id (&event), "act-0000000000000abc-100-1");
    assert_string_equal (baton_event_key (&event), "other");
    bn_event_fini (&event);
    done (&bench);
}

static void failed_calls_emit_nothing (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "a", "d"},
                                    {"in.a", "b", "b"},
                                    {"in.a", "c", "l"},
                                    {"in.a", "d", "m"},
                                    {"in.a", "e", "e"}};
    bench_t bench = {.calls = ""};
    handle (&bench, given, 5);
    const bn_run_item_t *items = bench.run->items;
    assert_int_equal (items[0].result, BN_RESULT_RETRY);
    for (int i = 0; i < 4; i++) {
        assert_int_equal (items[i].emission_count, 0);
        assert_null (items[i].emissions);
        if (i > 0)
            assert_int_equal (items[i].result, BN_RESULT_REJECT);
    }
    assert_non_null (strstr (items[1].reason, "TOPIC"));
    assert_non_null (strstr (items[2].reason, "TOO_LARGE"));
    assert_non_null (strstr (items[3].reason, "TOO_LARGE"));
    assert_int_equal (items[4].result, BN_RESULT_ACK); /* the error was not carried over */
    assert_int_equal (items[4].emission_count, 2);
    done (&bench);
}

static void a_key_waits_behind_its_retry (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "x", "r"},  {"in.a", "y", "a"},  {"in.b", "x", "a"},
                                    {"in.a", NULL, "r"}, {"in.a", NULL, "a"}, {"in.a", "x", "a"},
                                    {"in.a", "y", "j"},  {"in.a", "y", "a"}};
    static const bn_result_t expected[] = {BN_RESULT_RETRY,  BN_RESULT_ACK, BN_RESULT_NONE,
                                           BN_RESULT_RETRY,  BN_RESULT_ACK, BN_RESULT_NONE,
                                           BN_RESULT_REJECT, BN_RESULT_ACK};
    bench_t bench = {.calls = ""};
    handle (&bench, given, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal (bench.run->items[i].result, expected[i]);
    assert_string_equal (bench.calls, "raraja");
    done (&bench);
}

static void a_slow_handler_ends_the_run (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "a", "s"}, {"in.a", "b", "a"}};
    bench_t bench = {.run_ms_max = BN_RUN_MS_MAX};
    handle (&bench, given, 2);
    assert_int_equal (bench.run->items[0].result, BN_RESULT_ACK);
    assert_int_equal (bench.run->items[1].result, BN_RESULT_NONE);
    done (&bench);
}

/*  What only this build knows is handled in spite of the stop.  */
static void a_run_after_the_stop_is_handled (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "a", "t"}, {"in.a", "b", "a"}};
    bench_t bench = {.after_stop = true};
    handle (&bench, given, 2);
    assert_int_equal (bench.run->items[0].result, BN_RESULT_ACK);
    assert_int_equal (bench.run->items[1].result, BN_RESULT_ACK);
    done (&bench);
}

static void a_stop_ends_the_run (void **state)
{
    (void)state;
    static const given_t given[] = {{"in.a", "a", "t"}, {"in.a", "b", "a"}};
    bench_t bench = {.calls = ""};
    handle (&bench, given, 2);
    assert_int_equal (bench.run->items[0].result, BN_RESULT_ACK);
    assert_int_equal (bench.run->items[1].result, BN_RESULT_NONE);
    done (&bench);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (options_are_checked),
        cmocka_unit_test (handlers_are_checked),
        cmocka_unit_test (verdicts_become_results),
        cmocka_unit_test (emissions_inherit_and_are_named),
        cmocka_unit_test (failed_calls_emit_nothing),
        cmocka_unit_test (a_key_waits_behind_its_retry),
        cmocka_unit_test (a_slow_handler_ends_the_run),
        cmocka_unit_test (a_stop_ends_the_run),
        cmocka_unit_test (a_run_after_the_stop_is_handled),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
