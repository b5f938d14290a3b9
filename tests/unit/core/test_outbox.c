/* SPDX-License-Identifier: MPL-2.0 */

/*  A producer: what it sends, what it makes of the answers, and who gets which receipt.  */

#include "base/hash.h"
#include "outbox_rig.h"

/*  ---- tests --------------------------------------------------------------------------------- */

static void test_groups_wait_for_the_first_welcome (void **state)
{
    (void)state;
    rig_t rig;
    rig_init (&rig, 0);
    publish (&rig, "orders.placed", "a");
    publish (&rig, "orders.placed", "b c");
    pass (&rig, 60000);
    assert_null (next_sent (&rig));
    assert_int_equal (bn_outbox_partitions (rig.outbox), 0);
    link_up (&rig);
    welcome (&rig);
    assert_int_equal (bn_outbox_partitions (rig.outbox), PARTITIONS);
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.producer_id, 77);
    assert_int_equal (message->publish.sequence, 1);
    assert_int_equal (events_of (&message->publish), 3);
    take (&rig, message);
    assert_int_equal (rig.receipt_count, 2);
    assert_int_equal (rig.receipts[0].ticket, 1);
    assert_int_equal (rig.receipts[1].ticket, 2);
    assert_int_equal (rig.receipts[1].events, 2);
    rig_fini (&rig);
}

static void test_one_in_flight_the_rest_gathers (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a");
    for (int i = 0; i < 5; i++)
        publish (&rig, "orders.placed", "b");
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    assert_int_equal (events_of (&message->publish), 1);
    assert_null (next_sent (&rig));
    take (&rig, message);
    message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.sequence, 2);
    assert_int_equal (events_of (&message->publish), 5);
    rig_fini (&rig);
}

static void test_receipts_name_the_exact_offset (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "warm-up");
    const char *keys[] = {"a b c d e f", "g", "h a", "b", "c d e"};
    const char *topics[] = {"orders.placed", "orders.paid", "orders.placed", "orders.placed",
                            "orders.paid"};
    for (int i = 0; i < 5; i++)
        publish (&rig, topics[i], keys[i]);
    take (&rig, expect (&rig, BN_PUBLISH));
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    uint64_t base = rig.tail;
    /*  Where each group's first event is, read from what was sent.  */
    uint64_t expected[5] = {0};
    uint64_t offset = base;
    for (uint32_t i = 0; i < message->publish.section_count; i++) {
        const bn_section_t *section = &message->publish.sections[i];
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        bn_batch_reader_init (&reader, section->payload.data, section->payload.size,
                              section->count);
        while (bn_batch_next (&reader, &event)) {
            uint64_t group = event.id_number - 1; /* the number of the group, by publish_as */
            char first = keys[group][0];
            if (event.key.size == 1 && event.key.text[0] == first)
                expected[group] = offset;
            offset++;
        }
    }
    take (&rig, message);
    assert_int_equal (rig.receipt_count, 6);
    for (int i = 0; i < 5; i++) {
        assert_int_equal (rig.receipts[i + 1].err, BATON_OK);
        assert_int_equal (rig.receipts[i + 1].offset, expected[i]);
    }
    rig_fini (&rig);
}

static void test_order_in_a_partition_across_topics (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "k"); /* in flight */
    publish (&rig, "orders.placed", "k");
    publish (&rig, "orders.paid", "k");
    publish (&rig, "orders.placed", "k");
    take (&rig, expect (&rig, BN_PUBLISH));
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.section_count, 3);
    assert_int_equal (message->publish.sections[0].topic.size, 13);
    assert_int_equal (message->publish.sections[1].topic.size, 11);
    assert_int_equal (message->publish.sections[2].topic.size, 13);
    rig_fini (&rig);
}

static void test_requests_are_bounded_and_groups_whole (void **state)
{
    (void)state;
    rig_t rig;
    rig_init (&rig, 3000);
    for (int i = 0; i < 6; i++)
        publish_as (&rig, "orders.placed", "a b", 400, "x");
    publish_as (&rig, "orders.placed", "a b c d e f g h i j", 400, "x"); /* more than a request */
    link_up (&rig);
    welcome (&rig);
    uint32_t requests = 0, events = 0;
    const bn_message_t *message;
    while ((message = next_sent (&rig))) {
        size_t bytes = 0;
        for (uint32_t i = 0; i < message->publish.section_count; i++)
            bytes += message->publish.sections[i].payload.size;
        uint32_t count = events_of (&message->publish);
        assert_true (bytes <= 3000 || count == 10);
        assert_int_equal (count % 2, 0);
        events += count;
        requests++;
        take (&rig, message);
    }
    assert_int_equal (events, 22);
    assert_in_range (requests, 3, 7);
    assert_int_equal (rig.receipt_count, 7);
    rig_fini (&rig);
}

static void test_too_large_group_fails_alone (void **state)
{
    (void)state;
    rig_t rig;
    rig_init (&rig, 0);
    rig.message_bytes_max = 8192;
    publish (&rig, "orders.placed", "a");
    publish_as (&rig, "orders.placed", "a b c d e f g h i j", 1000, "x");
    publish (&rig, "orders.placed", "b");
    link_up (&rig);
    welcome (&rig);
    const bn_message_t *message;
    while ((message = next_sent (&rig)))
        take (&rig, message);
    assert_int_equal (rig.receipt_count, 3);
    assert_int_equal (rig.receipts[0].err, BATON_OK);
    assert_int_equal (rig.receipts[1].err, BATON_ERR_TOO_LARGE);
    assert_int_equal (rig.receipts[1].ticket, 2);
    assert_int_equal (rig.receipts[2].err, BATON_OK);
    rig_fini (&rig);
}

/*  Events that have nothing in common with the first of their section are the largest ones: the
 *  bound must know.  */
static void test_changing_attributes_stay_within_the_bound (void **state)
{
    (void)state;
    static const char key[] = "a-key-of-more-than-thirty-two-characters";
    rig_t rig;
    rig_init (&rig, 0);
    rig.message_bytes_max = 1024 * 1024;
    rig.id_base = UINT64_MAX - 100000;
    rig.time_step_us = 4000000000;
    publish_as (&rig, "o", key, 300, "y");
    for (int i = 1; i < 4000; i++)
        publish_as (&rig, "o", key, 300, "x");
    link_up (&rig);
    welcome (&rig);
    const bn_message_t *message;
    while ((message = next_sent (&rig))) /* keep_sent checks the size */
        take (&rig, message);
    assert_int_equal (rig.receipt_count, 4000);
    for (size_t i = 0; i < rig.receipt_count; i++) {
        assert_int_equal (rig.receipts[i].err, BATON_OK);
        assert_int_equal (rig.receipts[i].ticket, i + 1);
        assert_int_equal (rig.receipts[i].offset, 100 + i);
    }
    rig_fini (&rig);
}

/*  Where topics take turns each event has a section of its own, whose head counts too.  */
static void test_many_sections_stay_within_the_bound (void **state)
{
    (void)state;
    static const char *const topics[] = {"a.topic.of.more.than.thirty-two.characters",
                                         "another.topic.of.more.than.thirty-two.characters"};
    rig_t rig;
    rig_init (&rig, 0);
    for (int i = 0; i < 2000; i++)
        publish_as (&rig, topics[i % 2], "a", 8, "x");
    link_up (&rig);
    welcome (&rig);
    const bn_message_t *message;
    while ((message = next_sent (&rig))) /* keep_sent checks the size */
        take (&rig, message);
    assert_int_equal (rig.receipt_count, 2000);
    for (size_t i = 0; i < rig.receipt_count; i++)
        assert_int_equal (rig.receipts[i].err, BATON_OK);
    rig_fini (&rig);
}

static void test_reconnect_resends_the_same (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a b c");
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    bn_blob_t *payload = bn_blob_new_copy (message->publish.sections[0].payload.data,
                                           message->publish.sections[0].payload.size);
    uint64_t request = message->request;
    link_down (&rig);
    publish (&rig, "orders.placed", "d"); /* must not get into the request in flight */
    assert_null (next_sent (&rig));
    link_up (&rig);
    welcome (&rig);
    message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.sequence, 1);
    assert_int_not_equal (message->request, request);
    assert_int_equal (events_of (&message->publish), 3);
    assert_int_equal (message->publish.sections[0].payload.size, payload->size);
    assert_memory_equal (message->publish.sections[0].payload.data, payload->data, payload->size);
    receipt (&rig, message, true, 40); /* it had arrived the first time */
    assert_int_equal (rig.receipt_count, 1);
    assert_int_equal (rig.receipts[0].err, BATON_OK);
    assert_int_equal (rig.receipts[0].offset, 40);
    message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.sequence, 2);
    /*  A repeat so late that nobody knows where the first one went.  */
    receipt (&rig, message, true, BN_NO_OFFSET);
    assert_int_equal (rig.receipts[1].err, BATON_OK);
    assert_true (rig.receipts[1].offset == BN_NO_OFFSET);
    bn_blob_unref (&payload);
    rig_fini (&rig);
}

static void test_late_answers_of_an_earlier_connection_count_for_nothing (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a");
    uint64_t request = expect (&rig, BN_PUBLISH)->request;
    link_down (&rig);
    link_up (&rig);
    bn_message_t late = {.type = BN_RECEIPT,
                         .request = request,
                         .receipt = {.sequence = 1, .base = 100, .count = 1}};
    feed (&rig, bn_message_encode (&late));
    assert_int_equal (rig.receipt_count, 0);
    welcome (&rig);
    take (&rig, expect (&rig, BN_PUBLISH));
    assert_int_equal (rig.receipt_count, 1);
    rig_fini (&rig);
}

static void test_refused_group_is_singled_out (void **state)
{
    (void)state;
    for (int guilty = 0; guilty < 9; guilty++) {
        rig_t rig;
        rig_init (&rig, 0);
        for (int i = 0; i < 9; i++)
            publish (&rig, i == guilty ? "bad.topic" : "orders.placed", "a b");
        link_up (&rig);
        welcome (&rig);
        const bn_message_t *message;
        int requests = 0;
        uint64_t sequence = 1;
        while ((message = next_sent (&rig))) {
            assert_true (requests++ < 30);
            assert_int_equal (message->publish.sequence, sequence); /* none is used up in vain */
            bool bad = false;
            for (uint32_t i = 0; i < message->publish.section_count; i++)
                bad |= message->publish.sections[i].topic.size == 9;
            if (bad)
                refuse (&rig, message, BATON_ERR_TOPIC, 0);
            else {
                sequence++;
                take (&rig, message);
            }
        }
        assert_int_equal (rig.receipt_count, 9);
        for (int i = 0; i < 9; i++) {
            assert_int_equal (rig.receipts[i].ticket, i + 1); /* in order */
            assert_int_equal (rig.receipts[i].err, i == guilty ? BATON_ERR_TOPIC : BATON_OK);
        }
        assert_string_equal (rig.text, "the test says so");
        rig_fini (&rig);
    }
}

static void test_full_disk_waits_longer_and_longer (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a");
    static const uint64_t waits[] = {200, 400, 800, 1600, 2000, 2000};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        const bn_message_t *message = expect (&rig, BN_PUBLISH);
        assert_int_equal (message->publish.sequence, 1);
        refuse (&rig, message, BATON_ERR_DISK_FULL, 0);
        publish (&rig, "orders.placed", "b"); /* does not hurry it */
        pass (&rig, waits[i] - 1);
        assert_null (next_sent (&rig));
        pass (&rig, 1);
    }
    assert_int_equal (rig.logs, 1); /* said once */
    take (&rig, expect (&rig, BN_PUBLISH));
    take (&rig, expect (&rig, BN_PUBLISH));
    assert_int_equal (rig.receipt_count, 7);
    rig_fini (&rig);
}

static void test_forgotten_producer_goes_on_under_a_new_id (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a");
    take (&rig, expect (&rig, BN_PUBLISH));
    publish (&rig, "orders.placed", "b");
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.sequence, 2);
    refuse (&rig, message, BATON_ERR_SEQUENCE, 1);
    assert_int_equal (rig.logs, 1);
    assert_non_null (strstr (rig.text, "twice")); /* nothing of this is silent */
    welcome (&rig);
    message = expect (&rig, BN_PUBLISH);
    assert_int_not_equal (message->publish.producer_id, 77);
    assert_int_equal (message->publish.sequence, 1);
    take (&rig, message);
    assert_int_equal (rig.receipt_count, 2);
    assert_int_equal (rig.receipts[1].err, BATON_OK);
    rig_fini (&rig);
}

static void test_another_journal_is_told (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a");
    expect (&rig, BN_PUBLISH);
    link_down (&rig);
    rig.journal_id = 12;
    link_up (&rig);
    welcome (&rig);
    assert_int_equal (rig.logs, 1);
    assert_non_null (strstr (rig.text, "another journal"));
    welcome (&rig);
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.sequence, 1);
    take (&rig, message);
    assert_int_equal (rig.receipt_count, 1);
    rig_fini (&rig);
}

static void test_no_session_greets_and_resends (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    publish (&rig, "orders.placed", "a");
    refuse (&rig, expect (&rig, BN_PUBLISH), BATON_ERR_NO_SESSION, 0);
    welcome (&rig);
    const bn_message_t *message = expect (&rig, BN_PUBLISH);
    assert_int_equal (message->publish.sequence, 1);
    take (&rig, message);
    assert_int_equal (rig.receipt_count, 1);
    rig_fini (&rig);
}

static void test_silence_resets_the_link (void **state)
{
    (void)state;
    rig_t rig;
    start (&rig);
    pass (&rig, 60000);
    assert_int_equal (rig.resets, 0); /* nothing is asked, nothing is missed */
    publish (&rig, "orders.placed", "a");
    expect (&rig, BN_PUBLISH);
    pass (&rig, 4999);
    assert_int_equal (rig.resets, 0);
    pass (&rig, 1);
    assert_int_equal (rig.resets, 1);
    link_up (&rig);
    welcome (&rig);
    take (&rig, expect (&rig, BN_PUBLISH));
    assert_int_equal (rig.receipt_count, 1);
    rig_fini (&rig);
}

static void test_refused_for_good (void **state)
{
    (void)state;
    rig_t rig;
    rig_init (&rig, 0);
    link_up (&rig);
    refuse (&rig, expect (&rig, BN_HELLO), BATON_ERR_VERSION, 0);
    assert_int_equal (rig.fatal, BATON_ERR_VERSION);
    publish (&rig, "orders.placed", "a");
    pass (&rig, 60000);
    assert_null (next_sent (&rig));
    rig_fini (&rig);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_groups_wait_for_the_first_welcome),
        cmocka_unit_test (test_one_in_flight_the_rest_gathers),
        cmocka_unit_test (test_receipts_name_the_exact_offset),
        cmocka_unit_test (test_order_in_a_partition_across_topics),
        cmocka_unit_test (test_requests_are_bounded_and_groups_whole),
        cmocka_unit_test (test_too_large_group_fails_alone),
        cmocka_unit_test (test_changing_attributes_stay_within_the_bound),
        cmocka_unit_test (test_many_sections_stay_within_the_bound),
        cmocka_unit_test (test_reconnect_resends_the_same),
        cmocka_unit_test (test_late_answers_of_an_earlier_connection_count_for_nothing),
        cmocka_unit_test (test_refused_group_is_singled_out),
        cmocka_unit_test (test_full_disk_waits_longer_and_longer),
        cmocka_unit_test (test_forgotten_producer_goes_on_under_a_new_id),
        cmocka_unit_test (test_another_journal_is_told),
        cmocka_unit_test (test_no_session_greets_and_resends),
        cmocka_unit_test (test_silence_resets_the_link),
        cmocka_unit_test (test_refused_for_good),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
