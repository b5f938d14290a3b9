/* SPDX-License-Identifier: MPL-2.0 */

/*  The session of an instance: joining, heartbeats, losing the link, deadlines, stopping.  */

#include "unit/core/mailbox_test.h"

static void test_joins_and_subscribes (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_pass (&box, 500);
    assert_null (box_sent (&box, BN_HELLO)); /* nothing without a link */
    box_up (&box);
    bn_assignment_t assignments[] = {{.partition = 1, .generation = 3},
                                     {.partition = 2, .generation = 1}};
    box_join (&box, assignments, 2);
    assert_string_equal (box.endpoint, "tcp://127.0.0.1:7712");
    int expected[] = {0, 1, 1, 0};
    assert_memory_equal (box.subscribed, expected, sizeof expected);
    assert_string_equal (box.prefix, "orders.");
    assert_int_equal (bn_mailbox_journal_id (box.mailbox), BOX_JOURNAL);
    assert_int_equal (bn_mailbox_data_bytes_max (box.mailbox), 65536);
    bn_mailbox_stats_t stats;
    bn_mailbox_stats (box.mailbox, &stats);
    assert_int_equal (stats.partitions, 2);
    box_fini (&box);
}

static void test_hello_and_join_say_who (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    const bn_message_t *hello = box_expect (&box, BN_HELLO);
    assert_int_equal (hello->hello.role, BN_ROLE_ACTOR);
    assert_int_equal (hello->hello.incarnation, 42);
    box_welcome (&box, hello);
    const bn_message_t *join = box_expect (&box, BN_JOIN);
    assert_int_equal (join->join.pattern_count, 1);
    assert_memory_equal (join->join.patterns[0].text, "orders.*", 8);
    assert_memory_equal (join->join.instance.text, "payment-1", 9);
    assert_int_equal (join->join.policy.max_attempts, 3);
    assert_int_equal (join->join.start, BN_START_TAIL);
    box_fini (&box);
}

static void test_prefixes_are_as_few_as_can_be (void **state)
{
    (void)state;
    const char *const patterns[] = {"orders.placed", "orders.*", "orders.paid.eu", "stock.>",
                                    "orders.*"};
    bn_mailbox_options_t options;
    box_options (&options);
    options.patterns = patterns;
    options.pattern_count = 5;
    box_t box;
    box_init (&box, &options);
    bn_mailbox_effects_t effects;
    bn_mailbox_effects_init (&effects);
    box_up (&box);
    /*  The harness refuses a second subscription of a partition, so look at the effects.  */
    box_welcome (&box, box_expect (&box, BN_HELLO));
    const bn_message_t *join = box_expect (&box, BN_JOIN);
    bn_assignment_t assignment = {.partition = 0, .generation = 1};
    bn_message_t joined = {.type = BN_JOINED,
                           .request = join->request,
                           .beat = {.actor_id = BOX_ACTOR_ID,
                                    .parked_max = 1000,
                                    .version = 1,
                                    .assignments_set = true,
                                    .assignments = &assignment,
                                    .assignment_count = 1}};
    bn_blob_t *blob = bn_message_encode (&joined);
    bn_frame_t frame = {blob->data, blob->size};
    bn_mailbox_event_t event = {.kind = BN_MAILBOX_MESSAGE,
                                .now = box.now,
                                .frames = &frame,
                                .blobs = &blob,
                                .frame_count = 1};
    bn_mailbox_step (box.mailbox, &event, &effects);
    int subscriptions = 0;
    for (size_t i = 0; i < effects.count; i++)
        if (effects.items[i].kind == BN_MAILBOX_SUBSCRIBE) {
            const bn_blob_t *head = effects.items[i].head;
            const char *expected = subscriptions == 0 ? "stock." : "orders.";
            if (head->data[0] >= BOX_PARTITIONS)
                continue; /* bundles: of the instance, not of a partition */
            assert_int_equal (head->data[0], 0);
            assert_int_equal (head->size - 1, strlen (expected));
            assert_memory_equal (head->data + 1, expected, head->size - 1);
            subscriptions++;
        }
    assert_int_equal (subscriptions, 2);
    bn_blob_unref (&blob);
    bn_mailbox_effects_fini (&effects);
    box_fini (&box);
}

static void test_start_time_is_resolved_first (void **state)
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
    assert_null (box_sent (&box, BN_JOIN));
    const bn_message_t *read = box_expect (&box, BN_READ);
    assert_int_equal (read->read.from_kind, BN_FROM_TIME);
    assert_int_equal (read->read.from, 1234567);
    bn_message_t events = {.type = BN_EVENTS, .events = {.from = 77, .scanned_to = 77}};
    box_answer (&box, read, &events);
    const bn_message_t *join = box_expect (&box, BN_JOIN);
    assert_int_equal (join->join.start, BN_START_OFFSET);
    assert_int_equal (join->join.start_offset, 77);
    box_fini (&box);
}

static void test_heartbeats_carry_the_version (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    uint64_t start_ms = box.now.mono_ms;
    uint64_t at_ms[8];
    size_t count = 0;
    while (box.now.mono_ms < start_ms + 3000) {
        box_pass (&box, 10);
        const bn_message_t *beat = box_sent (&box, BN_HEARTBEAT);
        if (!beat)
            continue;
        assert_true (beat->heartbeat.version > 0);
        bn_message_t answer = {.type = BN_BEAT, .beat = {.version = beat->heartbeat.version}};
        box_answer (&box, beat, &answer);
        assert_true (count < 8);
        at_ms[count++] = box.now.mono_ms - start_ms;
    }
    /*  Early ones after a subscription, which may take effect after the first events.  */
    static const uint64_t expected[] = {50, 100, 200, 400, 800, 1800, 2800};
    assert_int_equal (count, 7);
    for (size_t i = 0; i < count; i++)
        assert_in_range (at_ms[i], expected[i], expected[i] + 10);
    box_fini (&box);
}

static void test_silence_resets_the_link (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_pass (&box, 3900);
    assert_int_equal (box.resets, 0);
    assert_int_equal (box_pending (&box, BN_HEARTBEAT), 1); /* one in flight, unanswered */
    box_pass (&box, 300);
    assert_int_equal (box.resets, 1);
    box_pass (&box, 10000);
    assert_int_equal (box.resets, 1); /* down: nothing to wait for */
    box_up (&box);
    assert_non_null (box_sent (&box, BN_HELLO));
    box_fini (&box);
}

static void test_one_lost_answer_resets_in_the_end (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_handle (&box, "a");
    box_expect (&box, BN_SETTLE); /* never answered, but heartbeats are */
    for (int i = 0; i < 40 && !box.resets; i++) {
        box_pass (&box, 500);
        const bn_message_t *beat;
        bn_message_t answer = {.type = BN_BEAT};
        while ((beat = box_sent (&box, BN_HEARTBEAT)))
            box_answer (&box, beat, &answer);
    }
    assert_int_equal (box.resets, 1);
    box_fini (&box);
}

static void test_rejoin_starts_from_the_floor_and_drops_stale_results (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    box_assert_run (&box, "0 1");
    box_down (&box);
    box_up (&box);
    bn_assignment_t assignment = {.partition = 0, .generation = 2, .floor = 0, .head = 2};
    box_join (&box, &assignment, 1);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, 0);
    assert_int_equal (fetch->fetch.partitions[0].generation, 2);
    box_fetched (&box, fetch, 0, 0, "a b", 2, true);
    assert_int_equal (box.runs, 1); /* one run at the handler: the old one is still there */
    box_handle (&box, "aa");
    assert_null (box_sent (&box, BN_SETTLE)); /* its results are of the generation before */
    box_assert_run (&box, "0 1");
    assert_int_equal (box.run->items[0].generation, 2);
    box_handle (&box, "aa");
    assert_int_equal (box_settlement (box_settled (&box), 0)->floor, 2);
    box_fini (&box);
}

static void test_same_generation_taken_anew_drops_stale_results (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    box_assert_run (&box, "0 1");
    /*  Lost and given back without a new generation, as seen from here.  */
    box_beat (&box, NULL, 0);
    assert_int_equal (box.subscribed[0], 0);
    bn_assignment_t assignment = {.partition = 0, .generation = 1, .floor = 0, .head = 2};
    box_beat (&box, &assignment, 1);
    box_handle (&box, "aa");
    assert_null (box_sent (&box, BN_SETTLE));
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "a b", 2, true);
    box_assert_run (&box, "0 1");
    box_fini (&box);
}

static void test_no_session_joins_again (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_handle (&box, "a");
    box_refuse (&box, box_expect (&box, BN_SETTLE), BATON_ERR_NO_SESSION, 0);
    assert_null (box_sent (&box, BN_HELLO)); /* not in a tight loop */
    box_pass (&box, 1000);
    assert_non_null (box_sent (&box, BN_HELLO));
    assert_int_equal (box.fatal, 0);
    box_fini (&box);
}

static void test_refusals_of_join (void **state)
{
    (void)state;
    static const struct {
        baton_err_t err;
        baton_err_t fatal;
    } cases[] = {{BATON_ERR_FENCED, BATON_ERR_FENCED},
                 {BATON_ERR_CONFLICT, BATON_ERR_CONFLICT},
                 {BATON_ERR_VERSION, BATON_ERR_VERSION},
                 {BATON_ERR_DISK_FULL, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        box_t box;
        box_init (&box, NULL);
        box_up (&box);
        box_welcome (&box, box_expect (&box, BN_HELLO));
        box_refuse (&box, box_expect (&box, BN_JOIN), cases[i].err, 0);
        assert_int_equal (box.fatal, cases[i].fatal);
        assert_non_null (strstr (box.text, "the test says so"));
        box_pass (&box, 1100);
        assert_int_equal (box_pending (&box, BN_JOIN), cases[i].fatal ? 0 : 1);
        box_fini (&box);
    }
}

static void test_fenced_heartbeat_is_the_end (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_pass (&box, 60);
    box_refuse (&box, box_expect (&box, BN_HEARTBEAT), BATON_ERR_FENCED, 0);
    assert_int_equal (box.fatal, BATON_ERR_FENCED);
    box_pass (&box, 5000);
    assert_int_equal (box.sent_count, 0);
    box_fini (&box);
}

static void test_expired_leaves_and_joins_when_the_run_is_back (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 5, "a b");
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_EXPIRED, .partition = 0, .offset = 5});
    const bn_message_t *leave = box_expect (&box, BN_LEAVE);
    assert_int_equal (leave->leave.reason, BN_LEAVE_EXPIRED);
    assert_int_equal (leave->leave.partition, 0);
    assert_int_equal (leave->leave.offset, 5);
    bn_message_t left = {.type = BN_LEFT};
    box_answer (&box, leave, &left);
    box_pass (&box, 8000);
    assert_null (box_sent (&box, BN_HELLO)); /* it could not handle anything anyway */
    assert_int_equal (box.resets, 0);
    box_handle (&box, "aa");
    assert_null (box_sent (&box, BN_SETTLE)); /* too late, whatever it says */
    bn_assignment_t assignment = {.partition = 0,
                                  .generation = 2,
                                  .floor = 5,
                                  .head = 7,
                                  .careful_until = 7,
                                  .charged = &(bn_charged_t){.offset = 5, .attempts = 1},
                                  .charged_count = 1};
    box_join (&box, &assignment, 1);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 5, "a b", 7, true);
    const bn_message_t *begin = box_expect (&box, BN_BEGIN);
    bn_message_t begun = {.type = BN_BEGUN};
    box_answer (&box, begin, &begun);
    box_assert_run (&box, "5");
    assert_int_equal (box.run->items[0].attempt, 2); /* it was charged */
    box_fini (&box);
}

static void test_stop_drains (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b c d e f g h i j");
    assert_int_equal (run_count (&box), 8);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    box_pass (&box, 3000);
    assert_null (box_sent (&box, BN_LEAVE)); /* the handler has a run */
    bn_message_t answer = {.type = BN_BEAT};
    const bn_message_t *beat;
    while ((beat = box_sent (&box, BN_HEARTBEAT)))
        box_answer (&box, beat, &answer);
    box_handle (&box, "aaannnnn");
    assert_null (box.run); /* no more runs */
    assert_null (box_sent (&box, BN_LEAVE));
    assert_int_equal (box_settlement (box_settled (&box), 0)->floor, 3);
    const bn_message_t *leave = box_expect (&box, BN_LEAVE);
    assert_int_equal (leave->leave.reason, BN_LEAVE_CLEAN);
    bn_message_t left = {.type = BN_LEFT};
    assert_false (box.drained);
    box_answer (&box, leave, &left);
    assert_true (box.drained);
    box_fini (&box);
}

static void test_stop_without_an_answer_or_a_link (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    box_expect (&box, BN_LEAVE);
    box_pass (&box, 1900);
    assert_false (box.drained);
    box_pass (&box, 200);
    assert_true (box.drained);
    box_fini (&box);

    box_init (&box, NULL);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    assert_true (box.drained);
    box_fini (&box);
}

static void test_stop_while_joining_leaves_in_order (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    box_welcome (&box, box_expect (&box, BN_HELLO));
    const bn_message_t *join = box_expect (&box, BN_JOIN);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    assert_false (box.drained);
    bn_message_t joined = {.type = BN_JOINED,
                           .beat = {.actor_id = 1, .parked_max = 1, .assignments_set = true}};
    box_answer (&box, join, &joined);
    assert_non_null (box_sent (&box, BN_LEAVE));
    box_fini (&box);
}

static void test_garbage_resets_the_link (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_blob_t *blob = bn_blob_new_copy ("BT\x01\x87garbage", 11);
    bn_frame_t frame = {blob->data, blob->size};
    box_step (&box,
              (bn_mailbox_event_t){
                  .kind = BN_MAILBOX_MESSAGE, .frames = &frame, .blobs = &blob, .frame_count = 1});
    assert_int_equal (box.resets, 1);
    box_up (&box);
    assert_non_null (box_sent (&box, BN_HELLO));
    bn_blob_unref (&blob);
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_joins_and_subscribes),
        cmocka_unit_test (test_hello_and_join_say_who),
        cmocka_unit_test (test_prefixes_are_as_few_as_can_be),
        cmocka_unit_test (test_start_time_is_resolved_first),
        cmocka_unit_test (test_heartbeats_carry_the_version),
        cmocka_unit_test (test_silence_resets_the_link),
        cmocka_unit_test (test_one_lost_answer_resets_in_the_end),
        cmocka_unit_test (test_rejoin_starts_from_the_floor_and_drops_stale_results),
        cmocka_unit_test (test_same_generation_taken_anew_drops_stale_results),
        cmocka_unit_test (test_no_session_joins_again),
        cmocka_unit_test (test_refusals_of_join),
        cmocka_unit_test (test_fenced_heartbeat_is_the_end),
        cmocka_unit_test (test_expired_leaves_and_joins_when_the_run_is_back),
        cmocka_unit_test (test_stop_drains),
        cmocka_unit_test (test_stop_without_an_answer_or_a_link),
        cmocka_unit_test (test_stop_while_joining_leaves_in_order),
        cmocka_unit_test (test_garbage_resets_the_link),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
