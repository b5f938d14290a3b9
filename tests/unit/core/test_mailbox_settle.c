/* SPDX-License-Identifier: MPL-2.0 */

/*  Outcomes to the orchestrator: emissions, refusals by partition, limits, sizes, giving up
 *  partitions. */

#include "unit/core/mailbox_test.h"

static void start_two (box_t *box, const bn_mailbox_options_t *options, uint32_t message_bytes_max)
{
    box_init (box, options);
    if (message_bytes_max)
        box->message_bytes_max = message_bytes_max;
    box_up (box);
    bn_assignment_t assignments[] = {{.partition = 0, .generation = 1},
                                     {.partition = 1, .generation = 1}};
    box_join (box, assignments, 2);
}

/*  Gathers results of both partitions behind a settle that is in flight.  */
static void gather_both (box_t *box)
{
    box_fanout (box, 0, 0, 0, "a");
    box_handle (box, "a");
    box_fanout (box, 0, 1, 1, "a");
    box_handle (box, "a");
    box_fanout (box, 1, 0, 2, "b");
    box_handle (box, "a");
    box_settled (box);
}

static void test_emissions_go_with_the_settle (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    const char *one = box_key (0, 0), *two = box_key (2, 0);
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s %s", one, two, one);
    box_fanout (&box, 0, 0, 0, keys);
    box_emit (&box.run->items[0], "payments.charged", 2, 10);
    box_emit (&box.run->items[2], "payments.charged", 1, 10);
    box_handle (&box, "aaa");
    const bn_message_t *settle = box_settled (&box);
    assert_int_equal (box_settlement (settle, 0)->floor, 3);
    assert_int_equal (settle->settle.section_count, 1);
    assert_int_equal (settle->settle.sections[0].count, 3);
    assert_int_equal (settle->settle.sections[0].partition, 0);
    assert_memory_equal (settle->settle.sections[0].topic.text, "payments.charged", 16);
    box_fini (&box);
}

static void assert_reason (const bn_settlement_t *settlement, uint32_t park, const char *expected)
{
    bn_text_t reason = settlement->parks[park].reason;
    assert_int_equal (reason.size, strlen (expected));
    assert_memory_equal (reason.text, expected, reason.size);
}

static void test_a_parked_event_has_the_reason_of_its_attempt (void **state)
{
    (void)state;
    char longest[BN_REASON_BYTES_MAX + 1], whole[BN_PARKED_REASON_BYTES_MAX + 1];
    memset (longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy (whole, longest, sizeof whole - 1);
    whole[sizeof whole - 1] = '\0';
    char split[] = "0123456789012345678901234567890123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789012345678\xc3\xa4";
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b c d e e");
    box.run->items[1].reason = strdup (longest);
    box.run->items[2].reason = strdup (split); /* its last character would be cut in two */
    box.run->items[3].reason = strdup ("caf\xe9");
    box_handle (&box, "rrrrrn");
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    split[BN_PARKED_REASON_BYTES_MAX - 1] = '\0';
    assert_int_equal (settlement->park_count, 6);
    assert_reason (settlement, 0, "no money");
    assert_reason (settlement, 1, whole);
    assert_reason (settlement, 2, split);
    assert_reason (settlement, 3, "caf?");
    assert_reason (settlement, 4, "no money");
    assert_reason (settlement, 5, ""); /* only waits behind its elder */
    box_fini (&box);
}

static void test_fenced_partition_is_dropped_the_other_settles (void **state)
{
    (void)state;
    static const baton_err_t errors[] = {BATON_ERR_FENCED, BATON_ERR_NOT_OWNER, BATON_ERR_OFFSET};
    for (size_t i = 0; i < 3; i++) {
        box_t box;
        start_two (&box, NULL, 0);
        gather_both (&box);
        const bn_message_t *settle = box_expect (&box, BN_SETTLE);
        assert_int_equal (settle->settle.settlement_count, 2);
        box_refuse (&box, settle, errors[i], 0);
        settle = box_settled (&box);
        assert_int_equal (settle->settle.settlement_count, 1);
        assert_int_equal (settle->settle.settlements[0].partition, 1);
        assert_int_equal (settle->settle.settlements[0].floor, 3);
        assert_int_equal (box.subscribed[0], 0);
        assert_int_equal (box.subscribed[1], 1);
        assert_non_null (box_sent (&box, BN_HEARTBEAT)); /* asks what is its own now */
        box_fanout (&box, 0, 2, 4, "a");
        assert_null (box.run);
        bn_mailbox_stats_t stats;
        bn_mailbox_stats (box.mailbox, &stats);
        assert_int_equal (stats.fenced, 1);
        box_fini (&box);
    }
}

static void test_results_of_a_run_that_was_out_when_fenced (void **state)
{
    (void)state;
    box_t box;
    start_two (&box, NULL, 0);
    box_fanout (&box, 0, 0, 0, "a");
    box_handle (&box, "a");
    const bn_message_t *settle = box_expect (&box, BN_SETTLE);
    uint64_t request = settle->request;
    box_fanout (&box, 0, 1, 1, "a");
    box_fanout (&box, 1, 0, 2, "b");
    bn_message_t to = {.request = request};
    box_refuse (&box, &to, BATON_ERR_FENCED, 0);
    box_assert_run (&box, "1");
    box_handle (&box, "a"); /* of the partition that is lost */
    assert_null (box_sent (&box, BN_SETTLE));
    box_assert_run (&box, "2");
    box_handle (&box, "a");
    settle = box_settled (&box);
    assert_int_equal (settle->settle.settlement_count, 1);
    assert_int_equal (settle->settle.settlements[0].partition, 1);
    box_fini (&box);
}

static void test_full_disk_waits_and_goes_on (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_emit (&box.run->items[0], "payments.charged", 1, 10);
    box_handle (&box, "a");
    for (int i = 0; i < 5; i++) {
        box_refuse (&box, box_expect (&box, BN_SETTLE), BATON_ERR_DISK_FULL, 0);
        box_pass (&box, 199);
        assert_null (box_sent (&box, BN_SETTLE));
        box_pass (&box, 302);
        bn_message_t answer = {.type = BN_BEAT};
        const bn_message_t *beat;
        while ((beat = box_sent (&box, BN_HEARTBEAT)))
            box_answer (&box, beat, &answer);
    }
    const bn_message_t *settle = box_settled (&box);
    assert_int_equal (box_settlement (settle, 0)->floor, 1);
    assert_int_equal (settle->settle.section_count, 1);
    box_fini (&box);
}

static void test_unsettled_results_are_bounded (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.settle_bytes_max = 4096;
    options.run_events_max = 1;
    box_t box;
    box_start (&box, &options);
    box_fanout (&box, 0, 0, 0, "a b c d e f g h i j k l m n o p");
    int handled = 0;
    while (box.run && handled < 16) {
        box_emit (&box.run->items[0], "payments.charged", 1, 1000);
        box_handle (&box, "a");
        handled++;
    }
    assert_in_range (handled, 2, 6); /* then it waits for SETTLED */
    box_settled (&box);
    assert_non_null (box.run);
    box_fini (&box);
}

static void test_settles_stay_below_the_message_limit (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.settle_bytes_max = 1024 * 1024;
    box_t box;
    start_two (&box, &options, 16384);
    box_fanout (&box, 0, 0, 0, "a b c d e f g h");
    for (int i = 0; i < 8; i++)
        box_emit (&box.run->items[i], "payments.charged", 2, 1500);
    box_handle (&box, "aaaaaaaa");
    uint64_t floor = 0;
    uint32_t handled = 0, events = 0, settles = 0;
    while (box_pending (&box, BN_SETTLE)) {
        const bn_message_t *settle = box_settled (&box);
        size_t bytes = 0;
        for (uint32_t i = 0; i < settle->settle.section_count; i++) {
            bytes += settle->settle.sections[i].payload.size;
            events += settle->settle.sections[i].count;
        }
        assert_in_range (bytes, 1, 16384);
        const bn_settlement_t *settlement = box_settlement (settle, 0);
        assert_true (settlement->floor > floor);
        floor = settlement->floor;
        handled += settlement->handled;
        assert_int_equal (events, 2 * floor); /* each event whole, with its floor */
        settles++;
    }
    assert_in_range (settles, 3, 8);
    assert_int_equal (floor, 8);
    assert_int_equal (handled, 8);
    assert_int_equal (events, 16);
    box_fini (&box);
}

static void test_too_much_for_any_message_is_a_dead_letter (void **state)
{
    (void)state;
    box_t box;
    start_two (&box, NULL, 16384);
    box_fanout (&box, 0, 0, 0, "a b");
    box_emit (&box.run->items[0], "payments.charged", 20, 1500);
    box_emit (&box.run->items[1], "payments.charged", 1, 15);
    box_handle (&box, "aa");
    uint64_t floor = 0;
    uint32_t died = 0;
    while (box_pending (&box, BN_SETTLE)) {
        const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
        floor = settlement->floor;
        died += settlement->died_count;
        if (settlement->died_count)
            assert_int_equal (settlement->died[0].offset, 0);
    }
    assert_int_equal (floor, 2);
    assert_int_equal (died, 1);
    box_fini (&box);
}

static void test_refused_emission_is_singled_out (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b c d e f g h");
    for (int i = 0; i < 8; i++)
        box_emit (&box.run->items[i], i == 5 ? "bad.topic" : "payments.charged", 1, 15);
    box_handle (&box, "aaaaaaaa");
    uint64_t floor = 0;
    uint32_t died = 0, events = 0, settles = 0;
    while (box_pending (&box, BN_SETTLE)) {
        assert_true (settles++ < 30);
        const bn_message_t *settle = box_expect (&box, BN_SETTLE);
        bool bad = false;
        for (uint32_t i = 0; i < settle->settle.section_count; i++)
            bad |= memcmp (settle->settle.sections[i].topic.text, "bad.topic", 9) == 0;
        if (bad) {
            box_refuse (&box, settle, BATON_ERR_TOPIC, 0);
            continue;
        }
        const bn_settlement_t *settlement = box_settlement (settle, 0);
        assert_true (settlement->floor > floor);
        floor = settlement->floor;
        if (settlement->died_count) {
            assert_int_equal (settlement->died[0].offset, 5);
            for (uint32_t i = 0; i < settle->settle.section_count; i++) {
                if (memcmp (settle->settle.sections[i].topic.text, "$dead.payment", 13) != 0)
                    continue;
                bn_event_fields_t letter = box_event (&settle->settle.sections[i], 0);
                bn_text_t reason;
                assert_true (bn_ext_get (letter.ext, letter.ext_size, "deadreason", &reason));
                char text[300];
                snprintf (text, sizeof text, "%.*s", (int)reason.size, reason.text);
                assert_non_null (strstr (text, "TOPIC"));
                assert_non_null (strstr (text, "the test says so"));
            }
        }
        died += settlement->died_count;
        for (uint32_t i = 0; i < settle->settle.section_count; i++)
            events += settle->settle.sections[i].count;
        bn_message_t settled = {.type = BN_SETTLED, .settled = {.base = 0, .count = 0}};
        box_answer (&box, settle, &settled);
    }
    assert_int_equal (floor, 8);
    assert_int_equal (died, 1);
    assert_int_equal (events, 8); /* seven and the dead letter */
    box_fini (&box);
}

static void test_limit_stops_one_partition_only (void **state)
{
    (void)state;
    box_t box;
    start_two (&box, NULL, 0);
    /*  Partition 0 parks; the orchestrator has no room for it until the first one is done.  */
    box_fanout (&box, 0, 0, 0, "a");
    box_handle (&box, "r");
    box_settled (&box); /* offset 0 is parked there */
    box_fanout (&box, 0, 1, 1, "b");
    box_handle (&box, "r");
    box_fanout (&box, 1, 0, 2, "c");
    bool parked_refused = false, done = false;
    uint64_t floor_0 = 0, floor_1 = 0;
    for (int i = 0; i < 100 && (floor_0 < 2 || floor_1 < 3); i++) {
        const bn_message_t *message = box_sent (&box, BN_SETTLE);
        if (message) {
            const bn_settlement_t *zero = NULL;
            for (uint32_t k = 0; k < message->settle.settlement_count; k++) {
                const bn_settlement_t *settlement = &message->settle.settlements[k];
                if (settlement->partition == 0)
                    zero = settlement;
            }
            if (zero && zero->park_count && !done) {
                parked_refused = true;
                box_refuse (&box, message, BATON_ERR_LIMIT, 0);
                continue;
            }
            if (zero && zero->done_count)
                done = true;
            if (zero && zero->park_count)
                floor_0 = zero->floor;
            for (uint32_t k = 0; k < message->settle.settlement_count; k++)
                if (message->settle.settlements[k].partition == 1)
                    floor_1 = message->settle.settlements[k].floor;
            bn_message_t settled = {.type = BN_SETTLED,
                                    .settled = {.base = BN_NO_OFFSET, .count = 0}};
            box_answer (&box, message, &settled);
            continue;
        }
        if ((message = box_sent (&box, BN_FETCH))) {
            bn_section_t section = box_section ("orders.placed", 0, message->fetch.offsets[0], "a");
            bn_message_t events = {
                .type = BN_EVENTS,
                .events = {.at_tail = true, .sections = &section, .section_count = 1}};
            box_answer (&box, message, &events);
            box_section_free (&section);
            continue;
        }
        if ((message = box_sent (&box, BN_HEARTBEAT))) {
            bn_message_t answer = {.type = BN_BEAT};
            box_answer (&box, message, &answer);
            continue;
        }
        if (box.run) {
            box_handle (&box, "a");
            continue;
        }
        box_pass (&box, 50);
    }
    assert_true (parked_refused);
    assert_int_equal (floor_0, 2);
    assert_int_equal (floor_1, 3);
    box_fini (&box);
}

/*  A stopped partition gives back most of the queue; what it lets go comes again, with no hole.  */
static void test_stopped_partition_makes_room_for_the_others (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.prefetch_bytes = 700;
    options.run_events_max = 1;
    box_t box;
    start_two (&box, &options, 0);
    box_fanout (&box, 0, 0, 0, "held");
    uint64_t at = 1;
    for (; at < 13; at += 3)
        box_fanout (&box, 0, at, at, "a b c");
    box_fanout (&box, 0, at + 3, at + 3, "d"); /* a gap: 13..15 were lost */
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    uint64_t request = fetch->request;
    assert_int_equal (fetch->fetch.partitions[0].from, at);
    box_handle (&box, "r");
    box_refuse (&box, box_expect (&box, BN_SETTLE), BATON_ERR_LIMIT, 0);
    assert_non_null (box.run); /* it had been handed out already */
    box_handle (&box, "a");
    assert_null (box.run); /* stopped */
    /*  The answer to what was asked before: it starts above what was let go.  */
    bn_message_t to = {.request = request};
    box_fetched (&box, &to, 0, at, "x y z d", at + 4, true);
    /*  The other one has room.  */
    box_fanout (&box, 1, 0, 90, "o o o o o o");
    box_assert_run (&box, "90");
    uint64_t expected_0 = 2, expected_1 = 90;
    for (int i = 0; i < 400 && expected_0 < at + 4; i++) {
        const bn_message_t *message = box_sent (&box, BN_HEARTBEAT);
        if (message) {
            bn_message_t answer = {.type = BN_BEAT};
            box_answer (&box, message, &answer);
        } else if (box_pending (&box, BN_SETTLE)) {
            box_settled (&box);
        } else if (box.run) {
            if (box.run->items[0].partition == 1)
                assert_int_equal (box.run->items[0].offset, expected_1++);
            else if (!box.run->items[0].parked)
                assert_int_equal (box.run->items[0].offset, expected_0++);
            box_handle (&box, "a");
        } else if ((message = box_sent (&box, BN_FETCH))) {
            uint64_t from = message->fetch.partition_count ? message->fetch.partitions[0].from
                                                           : message->fetch.offsets[0];
            bool last = message->fetch.partition_count && from == at + 3;
            box_fetched (&box, message, 0, from, from < at + 4 ? "e" : NULL, from + 1,
                         last || from >= at + 4);
        } else {
            box_pass (&box, 50);
        }
    }
    assert_int_equal (expected_0, at + 4);
    box_fini (&box);
}

static void test_revoked_partition_is_finished_and_released (void **state)
{
    (void)state;
    box_t box;
    start_two (&box, NULL, 0);
    box_fanout (&box, 0, 0, 0, "a b");
    box_fanout (&box, 0, 2, 2, "c"); /* still in the queue */
    box_assert_run (&box, "0 1");
    bn_assignment_t assignments[] = {{.partition = 0, .generation = 1, .revoked = true},
                                     {.partition = 1, .generation = 1}};
    box_beat (&box, assignments, 2);
    assert_null (box_sent (&box, BN_SETTLE)); /* the handler has its events */
    assert_int_equal (box.subscribed[0], 0);
    box_handle (&box, "aa");
    assert_null (box.run); /* nothing more of it */
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 2);
    assert_true (settlement->release);
    box_beat (&box, &assignments[1], 1);
    assert_null (box_sent (&box, BN_SETTLE));
    box_fini (&box);
}

static void test_idle_revoked_partition_is_released_at_once (void **state)
{
    (void)state;
    box_t box;
    start_two (&box, NULL, 0);
    bn_assignment_t assignments[] = {{.partition = 0, .generation = 1, .revoked = true},
                                     {.partition = 1, .generation = 1}};
    box_beat (&box, assignments, 2);
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 0);
    assert_true (settlement->release);
    /*  It comes back later, as a new one.  */
    bn_assignment_t again[] = {{.partition = 0, .generation = 3, .floor = 9, .head = 9},
                               {.partition = 1, .generation = 1}};
    box_beat (&box, again, 2);
    box_fanout (&box, 0, 9, 9, "a");
    box_assert_run (&box, "9");
    box_handle (&box, "a");
    settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->generation, 3);
    box_fini (&box);
}

static void test_known_generation_keeps_its_progress (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    bn_assignment_t assignment = {.partition = 0, .generation = 1, .floor = 0, .head = 2};
    box_beat (&box, &assignment, 1); /* what it says is older than what we know */
    assert_null (box_sent (&box, BN_FETCH));
    box_handle (&box, "aa");
    assert_int_equal (box_settlement (box_settled (&box), 0)->floor, 2);
    box_fini (&box);
}

/*  An event that fills a message can be given up: its dead letter is longer than it was.  */
static void test_the_largest_event_can_die (void **state)
{
    (void)state;
    enum { BYTES = 64 * 1024 };
    static uint8_t data[BYTES - 256];
    box_t box;
    start_two (&box, NULL, BYTES);
    box_fanout (&box, 0, 1, 1, "-");
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, BYTES);
    bn_event_fields_t event = {.id = {"id-1", 4},
                               .source = {"/shop", 5},
                               .datacontenttype = {"text/plain", 10},
                               .data = data,
                               .data_size = sizeof data};
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    bn_section_t section = {.topic = {"orders.placed", 13}, .base = 0};
    bn_blob_t *blob = bn_batch_writer_take (&writer, &section.count);
    section.payload = (bn_slice_t){blob, blob->data, blob->size};
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {.scanned_to = 1, .at_tail = true, .sections = &section, .section_count = 1}};
    box_answer (&box, box_expect (&box, BN_FETCH), &events);
    box_handle (&box, box.run->count > 1 ? "xa" : "x");
    assert_int_equal (box.fatal, BATON_OK);
    const bn_message_t *settle = box_settled (&box);
    assert_int_equal (box_settlement (settle, 0)->died_count, 1);
    size_t bytes = settle->settle.sections[0].payload.size;
    assert_in_range (bytes, blob->size, BYTES + BN_SETTLE_BYTES_MORE / 2);
    bn_batch_writer_fini (&writer);
    bn_blob_unref (&blob);
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_emissions_go_with_the_settle),
        cmocka_unit_test (test_a_parked_event_has_the_reason_of_its_attempt),
        cmocka_unit_test (test_fenced_partition_is_dropped_the_other_settles),
        cmocka_unit_test (test_results_of_a_run_that_was_out_when_fenced),
        cmocka_unit_test (test_full_disk_waits_and_goes_on),
        cmocka_unit_test (test_unsettled_results_are_bounded),
        cmocka_unit_test (test_settles_stay_below_the_message_limit),
        cmocka_unit_test (test_too_much_for_any_message_is_a_dead_letter),
        cmocka_unit_test (test_refused_emission_is_singled_out),
        cmocka_unit_test (test_limit_stops_one_partition_only),
        cmocka_unit_test (test_stopped_partition_makes_room_for_the_others),
        cmocka_unit_test (test_revoked_partition_is_finished_and_released),
        cmocka_unit_test (test_idle_revoked_partition_is_released_at_once),
        cmocka_unit_test (test_known_generation_keeps_its_progress),
        cmocka_unit_test (test_the_largest_event_can_die),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
