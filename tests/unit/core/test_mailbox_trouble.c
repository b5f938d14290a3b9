/* SPDX-License-Identifier: MPL-2.0 */

/*  A mailbox whose orchestrator, or whose own process, does what it seldom does: another journal,
 *  refusals for now, deadlines that pass for nothing, a last settle that nobody answers.  */

#include "unit/core/mailbox_test.h"

/*  Time goes by, and only heartbeats are answered.  */
static void pass_beating (box_t *box, uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        box_pass (box, 100);
        const bn_message_t *beat = box_sent (box, BN_HEARTBEAT);
        if (!beat)
            continue;
        bn_message_t answer = {.type = BN_BEAT, .beat = {.version = beat->heartbeat.version}};
        box_answer (box, beat, &answer);
    }
}

static void test_a_start_time_refused_for_now_is_asked_again (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.start_kind = 3; /* BATON_START_TIME */
    options.start_value = 1234567;
    box_t box;
    box_init (&box, &options);
    box_up (&box);
    box_welcome (&box, box_expect (&box, BN_HELLO));
    for (int times = 0; times < 3; times++) {
        box_refuse (&box, box_expect (&box, BN_READ), BATON_ERR_LIMIT, 0);
        assert_null (box_sent (&box, BN_READ)); /* not at once */
        box_pass (&box, 1000);
    }
    bn_message_t events = {.type = BN_EVENTS, .events = {.from = 77, .scanned_to = 77}};
    box_answer (&box, box_expect (&box, BN_READ), &events);
    assert_int_equal (box_expect (&box, BN_JOIN)->join.start_offset, 77);
    /*  Known from then on, also on another connection.  */
    box_down (&box);
    box_up (&box);
    box_pass (&box, 1000);
    box_welcome (&box, box_expect (&box, BN_HELLO));
    assert_null (box_sent (&box, BN_READ));
    assert_int_equal (box_expect (&box, BN_JOIN)->join.start_offset, 77);
    box_fini (&box);
}

static void test_another_journal_is_told (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_down (&box);
    box_up (&box);
    box_pass (&box, 1000);
    bn_message_t welcome = {.type = BN_WELCOME,
                            .welcome = {.journal_id = BOX_JOURNAL + 1,
                                        .partitions = BOX_PARTITIONS,
                                        .heartbeat_ms = BOX_HEARTBEAT,
                                        .session_timeout_ms = 10000,
                                        .message_bytes_max = 1 << 20,
                                        .data_bytes_max = 65536,
                                        .fanout_endpoint = {"tcp://127.0.0.1:7713", 20}}};
    box_answer (&box, box_expect (&box, BN_HELLO), &welcome);
    assert_non_null (strstr (box.text, "another journal"));
    assert_string_equal (box.endpoint, "tcp://127.0.0.1:7713");
    assert_non_null (box_expect (&box, BN_JOIN));
    assert_int_equal (box.fatal, BATON_OK);
    box_fini (&box);
}

static void expire (box_t *box, uint32_t partition, uint64_t offset)
{
    box_step (box, (bn_mailbox_event_t){
                       .kind = BN_MAILBOX_EXPIRED, .partition = partition, .offset = offset});
}

/*  The handler came back while the deadline was noticed.  */
static void test_a_deadline_without_a_run_is_nothing (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    expire (&box, 0, 5);
    assert_null (box_sent (&box, BN_LEAVE));
    box_fanout (&box, 0, 0, 5, "a");
    box_handle (&box, "a");
    expire (&box, 0, 5);
    assert_null (box_sent (&box, BN_LEAVE));
    assert_non_null (box_settled (&box));
    box_fini (&box);
}

/*  Its partition went to somebody else meanwhile, or never was one: nobody is charged.  */
static void test_a_deadline_in_a_lost_partition_blames_nobody (void **state)
{
    (void)state;
    for (uint32_t partition = 0; partition < 3; partition++) {
        box_t box;
        box_start (&box, NULL);
        box_fanout (&box, 0, 0, 5, "a");
        box_assert_run (&box, "5");
        if (partition == 0)
            box_beat (&box, NULL, 0);
        expire (&box, partition == 2 ? 99 : partition, 5);
        assert_int_equal (box_expect (&box, BN_LEAVE)->leave.reason, BN_LEAVE_CLEAN);
        expire (&box, 0, 5); /* once is enough */
        assert_null (box_sent (&box, BN_LEAVE));
        box_handle (&box, "a");
        assert_null (box_sent (&box, BN_SETTLE));
        box_fini (&box);
    }
}

static void test_a_deadline_without_a_link_is_for_the_next_one (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 5, "a");
    box_assert_run (&box, "5");
    box_down (&box);
    expire (&box, 0, 5);
    assert_null (box_sent (&box, BN_LEAVE));
    box_up (&box);
    box_pass (&box, 3000);
    assert_null (box_sent (&box, BN_HELLO)); /* the handler still has it */
    box_handle (&box, "a");
    box_pass (&box, 1000);
    assert_non_null (box_expect (&box, BN_HELLO));
    box_fini (&box);
}

/*  It waits for the last settle as long as it may, says so, and leaves.  */
static void test_a_stop_does_not_wait_for_ever (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 5, "a");
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    box_handle (&box, "a");
    assert_non_null (box_expect (&box, BN_SETTLE)); /* nobody answers it */
    pass_beating (&box, 9000);
    assert_null (box_sent (&box, BN_LEAVE));
    assert_false (box.drained);
    pass_beating (&box, 2000);
    assert_non_null (strstr (box.text, "without the last settle"));
    bn_message_t left = {.type = BN_LEFT};
    box_answer (&box, box_expect (&box, BN_LEAVE), &left);
    assert_true (box.drained);
    assert_int_equal (box.resets, 0);
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_a_start_time_refused_for_now_is_asked_again),
        cmocka_unit_test (test_another_journal_is_told),
        cmocka_unit_test (test_a_deadline_without_a_run_is_nothing),
        cmocka_unit_test (test_a_deadline_in_a_lost_partition_blames_nobody),
        cmocka_unit_test (test_a_deadline_without_a_link_is_for_the_next_one),
        cmocka_unit_test (test_a_stop_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
