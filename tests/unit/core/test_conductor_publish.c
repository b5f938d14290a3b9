/* SPDX-License-Identifier: MPL-2.0 */

#include "core_test.h"

/*  The answer to a PUBLISH of one section.  */
static const reply_t *publish_one (harness_t *h, uint64_t route, uint64_t sequence,
                                   bn_section_t *section)
{
    bn_message_t message = {
        .type = BN_PUBLISH,
        .publish = {
            .producer_id = 7, .sequence = sequence, .sections = section, .section_count = 1}};
    return harness_request (h, route, &message);
}

static void receipts_tell_offsets (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t section = harness_section (h, "orders.placed", "a", 3);
    const reply_t *reply = publish_one (h, route, 1, &section);
    assert_int_equal (reply->message.type, BN_RECEIPT);
    assert_int_equal (reply->message.receipt.base, 0);
    assert_int_equal (reply->message.receipt.count, 3);
    assert_false (reply->message.receipt.duplicate);
    section = harness_section (h, "orders.placed", "b", 2);
    reply = publish_one (h, route, 2, &section);
    assert_int_equal (reply->message.receipt.base, 3);
    assert_int_equal (harness_state (h)->tail, 5);
    harness_destroy (h);
}

static void repeated_sequence_gets_its_receipt_again (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    for (uint64_t sequence = 1; sequence <= 20; sequence++) {
        bn_section_t section = harness_section (h, "t", "a", 1);
        publish_one (h, route, sequence, &section);
    }
    bn_section_t section = harness_section (h, "t", "a", 1);
    for (int restarted = 0; restarted < 2; restarted++) {
        const reply_t *reply = publish_one (h, route, 18, &section);
        assert_int_equal (reply->message.type, BN_RECEIPT);
        assert_true (reply->message.receipt.duplicate);
        assert_int_equal (reply->message.receipt.base, 17);
        assert_int_equal (reply->message.receipt.count, 1);
        /*  Older than what is remembered: still recognised.  */
        reply = publish_one (h, route, 2, &section);
        assert_true (reply->message.receipt.duplicate);
        assert_true (reply->message.receipt.base == BN_NO_OFFSET);
        assert_int_equal (harness_state (h)->tail, 20);
        harness_restart (h, restarted);
        route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    }
    harness_destroy (h);
}

static void skipped_sequence_is_refused_with_the_expected_one (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t section = harness_section (h, "t", "a", 1);
    assert_refused (h, harness_publish (h, route, 7, 5, &section, 1), BATON_ERR_SEQUENCE,
                    "expected 1");
    assert_int_equal (harness_error_detail (h), 1);
    assert_int_equal (harness_publish (h, route, 7, 1, &section, 1), BATON_OK);
    assert_refused (h, harness_publish (h, route, 7, 3, &section, 1), BATON_ERR_SEQUENCE,
                    "expected 2");
    assert_int_equal (harness_error_detail (h), 2);
    harness_destroy (h);
}

static void welcome_tells_the_last_sequence (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t section = harness_section (h, "t", "a", 1);
    publish_one (h, route, 1, &section);
    bn_message_t message = {
        .type = BN_HELLO, .hello = {.role = BN_ROLE_PRODUCER, .name = {"x", 1}, .incarnation = 7}};
    const reply_t *reply = harness_request (h, 99, &message);
    assert_int_equal (reply->message.welcome.producer_sequence, 1);
    assert_int_equal (reply->message.welcome.tail, 1);
    assert_int_equal (reply->message.welcome.partitions, 4);
    harness_destroy (h);
}

/*  A good section before a bad one must not leave a trace, and the sequence is not consumed.  */
static void bad_section_refuses_the_whole_request (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.topics_max = 2;
    harness_t *h = harness_new (&options, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t sections[3];
    sections[0] = harness_section (h, "good", "a", 1);

    sections[1] = harness_section (h, "$dead.x", "a", 1);
    assert_refused (h, harness_publish (h, route, 7, 1, sections, 2), BATON_ERR_TOPIC, "section 1");
    sections[1] = harness_section (h, "other", "a", 1);
    sections[1].partition = 77;
    assert_refused (h, harness_publish (h, route, 7, 1, sections, 2), BATON_ERR_PARTITION, "77");
    sections[1].partition = (harness_partition (h, "a") + 1) % 4;
    assert_refused (h, harness_publish (h, route, 7, 1, sections, 2), BATON_ERR_KEY, "event 0");
    sections[1] = harness_section (h, "other", "a", 2);
    sections[1].count = 3;
    assert_refused (h, harness_publish (h, route, 7, 1, sections, 2), BATON_ERR_MALFORMED,
                    "topic other");
    sections[1] = harness_section (h, "other", "a", 2);
    sections[1].payload.size--;
    assert_refused (h, harness_publish (h, route, 7, 1, sections, 2), BATON_ERR_MALFORMED,
                    "section 1");
    sections[1] = harness_section (h, "other", "a", 1);
    sections[2] = harness_section (h, "third", "a", 1);
    assert_refused (h, harness_publish (h, route, 7, 1, sections, 3), BATON_ERR_TOPIC,
                    "topics_max");

    assert_int_equal (harness_state (h)->tail, 0);
    assert_int_equal (bn_map_count (harness_state (h)->topics), 0);
    assert_int_equal (harness_records (h, BN_RECORD_PUBLISH), 0);
    assert_int_equal (harness_publish (h, route, 7, 1, sections, 2), BATON_OK);
    harness_destroy (h);
}

static void full_disk_refuses_producers_and_ends (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t section = harness_section (h, "t", "a", 1);
    harness_disk_full (h, true);
    assert_int_equal (harness_publish (h, route, 7, 1, &section, 1), BATON_ERR_DISK_FULL);
    harness_disk_full (h, false);
    assert_int_equal (harness_publish (h, route, 7, 1, &section, 1), BATON_OK);
    harness_destroy (h);
}

static void a_producer_speaks_for_itself_only (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t section = harness_section (h, "t", "a", 1);
    assert_refused (h, harness_publish (h, route, 8, 1, &section, 1), BATON_ERR_ARGUMENT, "HELLO");
    harness_destroy (h);
}

static void forgotten_producer_starts_over (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4); /* remembers 16 producers */
    for (uint64_t id = 1; id <= 17; id++) {
        uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, id);
        bn_section_t section = harness_section (h, "t", "a", 1);
        assert_int_equal (harness_publish (h, route, id, 1, &section, 1), BATON_OK);
    }
    assert_int_equal (bn_map_count (harness_state (h)->producers), 16);
    bn_section_t section = harness_section (h, "t", "a", 1);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 1);
    assert_int_equal (harness_publish (h, route, 1, 2, &section, 1), BATON_ERR_SEQUENCE);
    assert_int_equal (harness_error_detail (h), 1);
    route = harness_hello (h, BN_ROLE_PRODUCER, 2);
    assert_int_equal (harness_publish (h, route, 2, 2, &section, 1), BATON_OK);
    harness_destroy (h);
}

static uint64_t previous_for (const fanout_t *fanout, uint32_t actor_id)
{
    for (uint32_t index = 0; index < fanout->header.chain_count; index++)
        if (fanout->header.chain[index].actor_id == actor_id)
            return fanout->header.chain[index].previous_end;
    fail_msg ("no chain entry for actor %u", actor_id);
    return 0;
}

static void the_chain_links_sections_across_topics (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    harness_instance (h, "all", "i", 1, ">");
    harness_instance (h, "some", "i", 2, "b.*");
    uint32_t all = harness_actor (h, "all")->id;
    uint32_t some = harness_actor (h, "some")->id;
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t sections[3] = {harness_section (h, "a", "key", 2),    /* 0, 1 */
                                harness_section (h, "b.x", "key", 1),  /* 2 */
                                harness_section (h, "b.y", "key", 3)}; /* 3, 4, 5 */
    assert_int_equal (harness_publish (h, route, 7, 1, sections, 3), BATON_OK);
    assert_int_equal (harness_fanouts (h), 3);
    assert_int_equal (harness_fanout (h, 0)->header.chain_count, 1);
    assert_int_equal (previous_for (harness_fanout (h, 0), all), 0);
    assert_int_equal (previous_for (harness_fanout (h, 1), all), 2);
    assert_int_equal (previous_for (harness_fanout (h, 1), some), 0);
    assert_int_equal (previous_for (harness_fanout (h, 2), all), 3);
    assert_int_equal (previous_for (harness_fanout (h, 2), some), 3);
    assert_int_equal (harness_fanout (h, 2)->header.base, 3);
    for (size_t index = 0; index < 3; index++) {
        const bn_slice_t *payload = &harness_fanout (h, index)->payload;
        assert_int_equal (payload->size, sections[index].payload.size);
        assert_memory_equal (payload->data, sections[index].payload.data, payload->size);
    }
    /*  Another partition has a chain of its own.  */
    uint32_t other = (harness_partition (h, "key") + 1) % 4;
    bn_section_t section = harness_section (h, "b.x", harness_key (h, other, 0), 1);
    assert_int_equal (harness_publish (h, route, 7, 2, &section, 1), BATON_OK);
    assert_int_equal (previous_for (harness_fanout (h, 0), all), 0);
    section = harness_section (h, "b.x", "key", 1);
    assert_int_equal (harness_publish (h, route, 7, 3, &section, 1), BATON_OK);
    assert_int_equal (previous_for (harness_fanout (h, 0), some), 6);
    /*  Nobody reads it: nothing is sent.  */
    harness_t *alone = harness_new (NULL, 4);
    harness_event (alone, "a", "key");
    assert_int_equal (harness_fanouts (alone), 0);
    harness_destroy (alone);
    harness_destroy (h);
}

/*  The n-th fan-out of the step must be a bundle for that instance; returns it.  */
static const bn_bundle_t *bundle_for (harness_t *h, size_t n, const char *actor,
                                      uint64_t incarnation)
{
    const fanout_t *fanout = harness_fanout (h, n);
    bn_blob_t *channel = bn_channel_encode (harness_actor (h, actor)->id, incarnation);
    assert_true (fanout->bundle.section_count > 0);
    assert_int_equal (fanout->head.size, channel->size);
    assert_memory_equal (fanout->head.data, channel->data, channel->size);
    bn_blob_unref (&channel);
    return &fanout->bundle;
}

static void small_sections_go_out_in_one_bundle_for_each_instance (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.bundle_section_bytes = 1000;
    harness_t *h = harness_new (&options, 4);
    harness_instance (h, "all", "i", 1, ">");
    uint64_t some = harness_instance (h, "some", "i", 2, "b.*");
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t sections[3] = {harness_section (h, "a", "key", 2),    /* 0, 1 */
                                harness_section (h, "b.x", "key", 1),  /* 2 */
                                harness_section (h, "b.y", "key", 3)}; /* 3, 4, 5 */
    assert_int_equal (harness_publish (h, route, 7, 1, sections, 3), BATON_OK);
    assert_int_equal (harness_fanouts (h), 2);
    const bn_bundle_t *bundle = bundle_for (h, 0, "all", 1);
    assert_int_equal (bundle->section_count, 3);
    static const uint64_t previous[] = {0, 2, 3}, bases[] = {0, 2, 3};
    const uint8_t *payload = harness_fanout (h, 0)->payload.data;
    for (uint32_t index = 0; index < 3; index++) {
        const bn_bundled_t *bundled = &bundle->sections[index];
        assert_int_equal (bundled->previous_end, previous[index]);
        assert_int_equal (bundled->base, bases[index]);
        assert_int_equal (bundled->count, sections[index].count);
        assert_int_equal (bundled->topic.size, sections[index].topic.size);
        assert_memory_equal (bundled->topic.text, sections[index].topic.text, bundled->topic.size);
        assert_int_equal (bundled->bytes, sections[index].payload.size);
        assert_memory_equal (payload, sections[index].payload.data, bundled->bytes);
        payload += bundled->bytes;
    }
    bundle = bundle_for (h, 1, "some", 2);
    assert_int_equal (bundle->section_count, 2);
    assert_int_equal (bundle->sections[0].base, 2);
    assert_int_equal (bundle->sections[0].previous_end, 0);
    assert_int_equal (bundle->sections[1].previous_end, 3);

    /*  One section alone goes to all at once; the chain goes on.  */
    bn_section_t section = harness_section (h, "b.x", "key", 1);
    assert_int_equal (harness_publish (h, route, 7, 2, &section, 1), BATON_OK);
    assert_int_equal (harness_fanouts (h), 1);
    assert_int_equal (previous_for (harness_fanout (h, 0), harness_actor (h, "some")->id), 6);

    /*  Nobody is there to take it: it will be fetched.  */
    harness_gone (h, some);
    assert_int_equal (harness_publish (h, route, 7, 3, sections, 3), BATON_OK);
    assert_int_equal (harness_fanouts (h), 1);
    assert_int_equal (bundle_for (h, 0, "all", 1)->sections[0].previous_end, 7);
    harness_destroy (h);
}

/*  Also where those of another lie between them in the record.  */
static void a_bundle_has_the_payloads_of_its_own_sections_only (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.bundle_section_bytes = 1000;
    harness_t *h = harness_new (&options, 4);
    harness_instance (h, "some", "i", 2, "b.*");
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t sections[6] = {
        harness_section (h, "a.x", "key", 1), harness_section (h, "b.x", "key", 2),
        harness_section (h, "b.y", "key", 1), harness_section (h, "a.y", "key", 2),
        harness_section (h, "b.x", "key", 3), harness_section (h, "b.z", "key", 1)};
    static const uint32_t wanted[] = {1, 2, 4, 5};
    assert_int_equal (harness_publish (h, route, 7, 1, sections, 6), BATON_OK);
    assert_int_equal (harness_fanouts (h), 1);
    const bn_bundle_t *bundle = bundle_for (h, 0, "some", 2);
    assert_int_equal (bundle->section_count, 4);
    const bn_slice_t *payload = &harness_fanout (h, 0)->payload;
    size_t at = 0;
    for (uint32_t index = 0; index < 4; index++) {
        const bn_slice_t *expected = &sections[wanted[index]].payload;
        assert_int_equal (bundle->sections[index].bytes, expected->size);
        assert_true (expected->size <= payload->size - at);
        assert_memory_equal (payload->data + at, expected->data, expected->size);
        at += expected->size;
    }
    assert_int_equal (at, payload->size);
    harness_destroy (h);
}

static void large_sections_are_not_bundled (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.bundle_section_bytes = 20;
    harness_t *h = harness_new (&options, 4);
    harness_instance (h, "all", "i", 1, ">");
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t sections[2] = {harness_section (h, "a", "key", 2),
                                harness_section (h, "b", "key", 2)};
    assert_true (sections[0].payload.size > 20);
    assert_int_equal (harness_publish (h, route, 7, 1, sections, 2), BATON_OK);
    assert_int_equal (harness_fanouts (h), 2);
    for (size_t index = 0; index < 2; index++)
        assert_int_equal (harness_fanout (h, index)->bundle.section_count, 0);
    harness_destroy (h);
}

static void requests_need_hello_and_the_right_role (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    bn_section_t section = harness_section (h, "t", "a", 1);
    assert_refused (h, harness_publish (h, 50, 7, 1, &section, 1), BATON_ERR_NO_SESSION, "HELLO");
    uint64_t actor = harness_hello (h, BN_ROLE_ACTOR, 7);
    assert_refused (h, harness_publish (h, actor, 7, 1, &section, 1), BATON_ERR_ARGUMENT,
                    "producer");
    assert_refused (h, harness_heartbeat (h, actor), BATON_ERR_NO_SESSION, "JOIN");
    uint64_t producer = harness_hello (h, BN_ROLE_PRODUCER, 7);
    assert_refused (h, harness_join (h, producer, "a", "i", 1, "t", BN_START_TAIL),
                    BATON_ERR_ARGUMENT, "actor");
    bn_message_t status = {.type = BN_STATUS};
    assert_int_equal (harness_request (h, producer, &status)->message.error.code,
                      BATON_ERR_ARGUMENT);
    harness_destroy (h);
}

static void garbage_is_answered (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    static const struct {
        const char *bytes;
        size_t size;
        uint32_t code;
    } bad[] = {{"", 0, BATON_ERR_MALFORMED},
               {"XX\x01\x01\x91\x05", 6, BATON_ERR_MALFORMED},
               {"BT\x07\x01\x91\x05", 6, BATON_ERR_VERSION},
               {"BT\x01\x70\x91\x05", 6, BATON_ERR_UNKNOWN_TYPE},
               {"BT\x01\x86\x91\x05", 6, BATON_ERR_UNKNOWN_TYPE},
               {"BT\x01\x01\x94\x05\x01", 7, BATON_ERR_MALFORMED}};
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        bn_frame_t frame = {bad[index].bytes, bad[index].size};
        const reply_t *reply = harness_frames (h, 5, &frame, 1);
        assert_int_equal (reply->message.type, BN_ERROR);
        assert_int_equal (reply->message.error.code, bad[index].code);
    }
    harness_destroy (h);
}

static void oversized_request_is_refused (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.message_bytes_max = 64 * 1024;
    harness_t *h = harness_new (&options, 4);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t section = harness_section (h, "t", "a", 10000);
    assert_refused (h, harness_publish (h, route, 7, 1, &section, 1), BATON_ERR_TOO_LARGE, "65536");
    harness_destroy (h);
}

static void sessions_are_bounded_and_the_silent_give_way (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.sessions_max = 3;
    harness_t *h = harness_new (&options, 4);
    uint64_t first = harness_hello (h, BN_ROLE_PRODUCER, 1);
    uint64_t second = harness_hello (h, BN_ROLE_PRODUCER, 2);
    harness_instance (h, "a", "i", 3, "t");
    bn_message_t hello = {.type = BN_HELLO,
                          .hello = {.role = BN_ROLE_PRODUCER, .name = {"x", 1}, .incarnation = 4}};
    const reply_t *reply = harness_request (h, 90, &hello);
    assert_int_equal (reply->message.error.code, BATON_ERR_LIMIT);
    /*  HELLO again on a connection that has one needs no room.  */
    assert_int_equal (harness_request (h, first, &hello)->message.type, BN_WELCOME);
    harness_pass (h, 9000);
    bn_section_t section = harness_section (h, "t", "a", 1);
    assert_int_equal (harness_publish (h, second, 2, 1, &section, 1), BATON_OK);
    harness_pass (h, 2000);
    assert_int_equal (harness_request (h, 90, &hello)->message.type, BN_WELCOME);
    assert_int_equal (harness_publish (h, first, 4, 1, &section, 1), BATON_ERR_NO_SESSION);
    assert_int_equal (harness_publish (h, second, 2, 2, &section, 1), BATON_OK);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (receipts_tell_offsets),
        cmocka_unit_test (repeated_sequence_gets_its_receipt_again),
        cmocka_unit_test (skipped_sequence_is_refused_with_the_expected_one),
        cmocka_unit_test (welcome_tells_the_last_sequence),
        cmocka_unit_test (bad_section_refuses_the_whole_request),
        cmocka_unit_test (full_disk_refuses_producers_and_ends),
        cmocka_unit_test (a_producer_speaks_for_itself_only),
        cmocka_unit_test (forgotten_producer_starts_over),
        cmocka_unit_test (the_chain_links_sections_across_topics),
        cmocka_unit_test (small_sections_go_out_in_one_bundle_for_each_instance),
        cmocka_unit_test (a_bundle_has_the_payloads_of_its_own_sections_only),
        cmocka_unit_test (large_sections_are_not_bundled),
        cmocka_unit_test (requests_need_hello_and_the_right_role),
        cmocka_unit_test (garbage_is_answered),
        cmocka_unit_test (oversized_request_is_refused),
        cmocka_unit_test (sessions_are_bounded_and_the_silent_give_way),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
