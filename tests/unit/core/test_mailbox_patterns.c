/* SPDX-License-Identifier: MPL-2.0 */

/*  Another build of the actor has other patterns: an older instance stops where those begin, and
 *  what nobody else knows is given up without a handler.  */

#include "unit/core/mailbox_test.h"

#define REASON "the topic is not among the patterns of this build"

/*  Partition 0 in generation 1, everything below `head` to be fetched, up to `until`.  */
static void start (box_t *box, uint64_t head, uint64_t until)
{
    bn_assignment_t assignment = {.partition = 0, .generation = 1, .head = head, .until = until};
    box_init (box, NULL);
    box_up (box);
    box_join (box, &assignment, 1);
}

static void nothing_is_taken_from_the_limit_on (void **state)
{
    (void)state;
    box_t box;
    start (&box, 9, 3);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    box_fanout (&box, 0, 3, 9, "z");                   /* beyond: neither taken nor a gap */
    box_fetched (&box, fetch, 0, 0, "a b c", 9, true); /* says more than it may */
    box_assert_run (&box, "0 1 2");
    box_handle (&box, "aaa");
    assert_int_equal (box_settlement (box_settled (&box), 0)->floor, 3);
    /*  Whatever it hears of, it asks for nothing.  */
    bn_partition_u64_t head = {.partition = 0, .value = 20};
    bn_message_t beat = {.type = BN_BEAT, .beat = {.heads = &head, .head_count = 1}};
    for (int i = 0; i < 3; i++)
        box_answer (&box, NULL, &beat);
    box_fanout (&box, 0, 12, 19, "y");
    assert_null (box_sent (&box, BN_FETCH));
    assert_null (box.run);
    assert_null (box_sent (&box, BN_SETTLE));
    box_fini (&box);
}

/*  A section from behind the limit in the answer, as an orchestrator might send it.  */
static void what_is_fetched_beyond_is_dropped (void **state)
{
    (void)state;
    box_t box;
    start (&box, 9, 3);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 5, "a b", 9, true);
    assert_null (box.run);
    assert_null (box_sent (&box, BN_FETCH)); /* all there is below has been seen */
    box_fini (&box);
}

/*  The limit comes while events from behind it are in hand already.  */
static void a_limit_takes_back_what_is_queued_and_out (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    box_fanout (&box, 0, 2, 2, "c d"); /* from here on not ours */
    box_fanout (&box, 0, 4, 4, "e f");
    box_assert_run (&box, "0 1");
    box_handle (&box, "an");
    box_assert_run (&box, "1 2 3 4 5");
    assert_int_equal (box_settlement (box_settled (&box), 0)->floor, 1);
    bn_assignment_t limited = {.partition = 0, .generation = 1, .head = 6, .until = 2};
    box_beat (&box, &limited, 1);
    box_handle (&box, "arran");
    /*  A retry of the event 2 is not ours to ask for.  */
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 2);
    assert_int_equal (settlement->handled, 1);
    assert_int_equal (settlement->park_count, 0);
    assert_null (box.run);
    assert_null (box_sent (&box, BN_FETCH));
    box_fini (&box);
}

static void a_limit_within_the_queue_keeps_what_is_below (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_fanout (&box, 0, 1, 1, "b c");
    box_fanout (&box, 0, 3, 3, "d");
    box_assert_run (&box, "0");
    bn_assignment_t limited = {.partition = 0, .generation = 1, .head = 4, .until = 3};
    box_beat (&box, &limited, 1);
    box_handle (&box, "a");
    box_assert_run (&box, "1 2");
    box_handle (&box, "aa");
    box_settled (&box);
    assert_null (box.run);
    box_fini (&box);
}

/*  What it has handled beyond cannot be settled: it starts anew from what the orchestrator has.  */
static void an_outcome_beyond_the_limit_starts_the_partition_anew (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    box_assert_run (&box, "0 1");
    box_handle (&box, "aa");
    const bn_message_t *settle = box_expect (&box, BN_SETTLE);
    uint64_t request = settle->request;
    bn_message_t answer = {.type = BN_BEAT};
    const bn_message_t *asked;
    while ((asked = box_sent (&box, BN_HEARTBEAT)))
        box_answer (&box, asked, &answer);
    bn_assignment_t limited = {.partition = 0, .generation = 1, .head = 2, .until = 1};
    box_beat (&box, &limited, 1);
    bn_message_t refused = {.type = BN_ERROR,
                            .request = request,
                            .error = {.code = BATON_ERR_FENCED, .name = {"FENCED", 6}}};
    box_answer (&box, NULL, &refused);
    asked = box_expect (&box, BN_HEARTBEAT);
    assert_int_equal (asked->heartbeat.version, 0);
    bn_message_t full = {
        .type = BN_BEAT,
        .beat = {
            .version = 9, .assignments_set = true, .assignments = &limited, .assignment_count = 1}};
    box_answer (&box, asked, &full);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "a", 1, true);
    box_assert_run (&box, "0");
    box_fini (&box);
}

/*  What is being settled meanwhile is below it: that stays settled, and only the rest starts anew.
 */
static void a_settle_under_way_outlives_the_limit (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    box_handle (&box, "aa");
    const bn_message_t *settle = box_expect (&box, BN_SETTLE);
    bn_message_t settled = {.type = BN_SETTLED, .request = settle->request};
    box_fanout (&box, 0, 2, 2, "c");
    box_handle (&box, "a");
    bn_assignment_t limited = {.partition = 0, .generation = 1, .head = 3, .until = 2};
    box_beat (&box, &limited, 1); /* made before that SETTLE came: its floor is 0 */
    assert_null (box_sent (&box, BN_FETCH));
    box_answer (&box, NULL, &settled);
    settle = box_expect (&box, BN_SETTLE);
    assert_int_equal (box_settlement (settle, 0)->floor, 3);
    box_refuse (&box, settle, BATON_ERR_FENCED, 0);
    const bn_message_t *asked;
    do
        asked = box_expect (&box, BN_HEARTBEAT);
    while (asked->heartbeat.version != 0);
    limited.floor = 2;
    bn_message_t full = {.type = BN_BEAT,
                         .beat = {.version = 9,
                                  .assignments_set = true,
                                  .assignments = &limited,
                                  .assignment_count = 1}};
    box_answer (&box, asked, &full);
    assert_null (box_sent (&box, BN_FETCH));
    assert_null (box.run);
    box_fini (&box);
}

/*  ---- topics that this build does not know ---- */

static bn_section_t section_of (const char *topic, uint64_t base, const char *keys)
{
    return box_section (topic, 0, base, keys);
}

static void fetched (box_t *box, bn_section_t *sections, uint32_t count, uint64_t upto)
{
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {
            .scanned_to = upto, .at_tail = true, .sections = sections, .section_count = count}};
    box_answer (box, box_expect (box, BN_FETCH), &events);
    for (uint32_t i = 0; i < count; i++)
        box_section_free (&sections[i]);
}

static void what_this_build_does_not_know_is_given_up (void **state)
{
    (void)state;
    box_t box;
    start (&box, 5, 0);
    bn_section_t sections[] = {section_of ("orders.placed", 0, "a"),
                               section_of ("stock.moved", 1, "b b"),
                               section_of ("orders.placed", 3, "b c")};
    fetched (&box, sections, 3, 5);
    box_assert_run (&box, "0 3 4");
    box_handle (&box, "aaa");
    const bn_message_t *settle = box_settled (&box);
    const bn_settlement_t *settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->floor, 5);
    assert_int_equal (settlement->handled, 5);
    assert_int_equal (settlement->died_count, 2);
    assert_int_equal (settlement->died[0].offset, 1);
    assert_int_equal (settlement->died[0].attempts, 0);
    assert_int_equal (settlement->died[1].offset, 2);
    bn_event_fields_t letter = box_event (&settle->settle.sections[0], 0);
    bn_text_t value;
    assert_true (bn_ext_get (letter.ext, letter.ext_size, "deadreason", &value));
    assert_int_equal (value.size, strlen (REASON));
    assert_memory_equal (value.text, REASON, value.size);
    assert_true (bn_ext_get (letter.ext, letter.ext_size, "deadtopic", &value));
    assert_memory_equal (value.text, "stock.moved", value.size);
    box_fini (&box);
}

static void of_a_mixed_section_only_what_it_does_not_know (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_section_t section =
        box_mixed ("orders.placed stock.moved stock.moved orders.paid", 0, 0, "a b b c");
    const uint64_t previous = 0;
    box_bundle (&box, &section, &previous, 1);
    box_section_free (&section);
    box_assert_run (&box, "0 3");
    box_handle (&box, "aa");
    const bn_message_t *settle = box_settled (&box);
    const bn_settlement_t *settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->floor, 4);
    assert_int_equal (settlement->died_count, 2);
    assert_int_equal (settlement->died[0].offset, 1);
    assert_int_equal (settlement->died[1].offset, 2);
    bn_event_fields_t letter = box_event (&settle->settle.sections[0], 1);
    bn_text_t value;
    assert_true (bn_ext_get (letter.ext, letter.ext_size, "deadtopic", &value));
    assert_int_equal (value.size, 11);
    assert_memory_equal (value.text, "stock.moved", value.size);
    box_fini (&box);
}

/*  A parked one as well, and in its turn: what waits behind it of its key is next.  */
static void what_is_parked_is_given_up_as_well (void **state)
{
    (void)state;
    box_t box;
    bn_parked_t parked[] = {{.offset = 1, .attempts = 1, .key_hash = 77},
                            {.offset = 2, .attempts = 0, .key_hash = 77}};
    bn_assignment_t assignment = {.partition = 0,
                                  .generation = 1,
                                  .floor = 3,
                                  .head = 3,
                                  .parked = parked,
                                  .parked_count = 2};
    box_init (&box, NULL);
    box_up (&box);
    box_join (&box, &assignment, 1);
    bn_section_t sections[] = {section_of ("stock.moved", 1, "k"),
                               section_of ("orders.placed", 2, "k")};
    fetched (&box, sections, 2, 3);
    box_assert_run (&box, "2");
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->died_count, 1);
    assert_int_equal (settlement->died[0].offset, 1);
    assert_int_equal (settlement->died[0].attempts, 1);
    box_fini (&box);
}

/*  However many there are: some at a time, and the next ones when these are settled (G7).  */
static void they_are_given_up_some_at_a_time (void **state)
{
    (void)state;
    box_t box;
    bn_mailbox_options_t options;
    box_options (&options);
    options.settle_bytes_max = 1000;
    bn_assignment_t assignment = {.partition = 0, .generation = 1, .head = 20};
    box_init (&box, &options);
    box_up (&box);
    box_join (&box, &assignment, 1);
    bn_section_t sections[20];
    for (uint32_t i = 0; i < 20; i++)
        sections[i] = section_of ("stock.moved", i, "k");
    fetched (&box, sections, 20, 20);
    uint32_t died = 0;
    int settles = 0;
    while (died < 20) {
        const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
        assert_in_range (settlement->died_count, 1, 10);
        died += settlement->died_count;
        assert_int_equal (settlement->floor, died);
        settles++;
    }
    assert_in_range (settles, 3, 20);
    assert_int_equal (box.runs, 0);
    box_fini (&box);
}

/*  dead_max: as with any others, nothing more is taken until there is room.  */
static void they_stop_at_the_limit_of_the_dead (void **state)
{
    (void)state;
    box_t box;
    start (&box, 2, 0);
    bn_section_t sections[] = {section_of ("stock.moved", 0, "k"),
                               section_of ("orders.placed", 1, "l")};
    fetched (&box, sections, 2, 2);
    box_assert_run (&box, "1");
    box_refuse (&box, box_expect (&box, BN_SETTLE), BATON_ERR_LIMIT, 0);
    box_handle (&box, "a");
    box_fanout (&box, 0, 2, 2, "m");
    assert_null (box.run);
    box_pass (&box, 5000);
    assert_non_null (box_sent (&box, BN_SETTLE));
    box_fini (&box);
}

/*  ---- told to stop ---- */

static void a_stop_waits_for_what_only_this_build_knows (void **state)
{
    (void)state;
    box_t box;
    start (&box, 9, 3);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    assert_null (box_sent (&box, BN_LEAVE));
    box_fetched (&box, fetch, 0, 0, "a b", 2, false);
    box_assert_run (&box, "0 1");
    box_handle (&box, "an");
    box_assert_run (&box, "1"); /* a runner that was stopped gives it back */
    box_handle (&box, "a");
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 2, "c", 3, true);
    box_settled (&box);
    box_assert_run (&box, "2");
    box_handle (&box, "a");
    assert_null (box_sent (&box, BN_LEAVE)); /* it is not settled yet */
    const bn_message_t *settle;
    while ((settle = box_sent (&box, BN_SETTLE))) {
        bn_message_t settled = {.type = BN_SETTLED};
        box_answer (&box, settle, &settled);
    }
    assert_int_equal (box_expect (&box, BN_LEAVE)->leave.reason, BN_LEAVE_CLEAN);
    box_fini (&box);
}

static void a_stop_does_not_wait_for_long (void **state)
{
    (void)state;
    box_t box;
    bn_assignment_t assignments[] = {{.partition = 0, .generation = 1, .head = 9, .until = 3},
                                     {.partition = 1, .generation = 1, .head = 9}};
    box_init (&box, NULL);
    box_up (&box);
    box_join (&box, assignments, 2);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    /*  The one without a limit is left at once.  */
    const int expected[] = {1, 0, 0, 0};
    assert_memory_equal (box.subscribed, expected, sizeof expected);
    bn_message_t answer = {.type = BN_BEAT};
    for (int i = 0; i < 48; i++) {
        const bn_message_t *beat;
        box_pass (&box, 100);
        while ((beat = box_sent (&box, BN_HEARTBEAT)))
            box_answer (&box, beat, &answer);
        assert_null (box_sent (&box, BN_LEAVE));
    }
    box_pass (&box, 300);
    assert_non_null (box_sent (&box, BN_LEAVE));
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_is_taken_from_the_limit_on),
        cmocka_unit_test (what_is_fetched_beyond_is_dropped),
        cmocka_unit_test (a_limit_takes_back_what_is_queued_and_out),
        cmocka_unit_test (a_limit_within_the_queue_keeps_what_is_below),
        cmocka_unit_test (an_outcome_beyond_the_limit_starts_the_partition_anew),
        cmocka_unit_test (a_settle_under_way_outlives_the_limit),
        cmocka_unit_test (what_this_build_does_not_know_is_given_up),
        cmocka_unit_test (of_a_mixed_section_only_what_it_does_not_know),
        cmocka_unit_test (what_is_parked_is_given_up_as_well),
        cmocka_unit_test (they_are_given_up_some_at_a_time),
        cmocka_unit_test (they_stop_at_the_limit_of_the_dead),
        cmocka_unit_test (a_stop_waits_for_what_only_this_build_knows),
        cmocka_unit_test (a_stop_does_not_wait_for_long),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
