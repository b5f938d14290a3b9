/* SPDX-License-Identifier: MPL-2.0 */

/*  test_conductor_mixed.c - sections with events of several topics. After each step the harness
 *  checks that the records, which are read in parts, add up to the same state.  */

#include "core_test.h"
#include "wire/mixed.h"

static const reply_t *publish (harness_t *h, uint64_t route, uint64_t sequence,
                               bn_section_t *sections, uint32_t count)
{
    bn_message_t message = {
        .type = BN_PUBLISH,
        .publish = {
            .producer_id = 7, .sequence = sequence, .sections = sections, .section_count = count}};
    return harness_request (h, route, &message);
}

/*  The n-th fan-out of the step, which must be a bundle for that instance.  */
static const fanout_t *bundle_for (harness_t *h, size_t n, const char *actor, uint64_t incarnation)
{
    const fanout_t *fanout = harness_fanout (h, n);
    bn_blob_t *channel = bn_channel_encode (harness_actor (h, actor)->id, incarnation);
    assert_true (fanout->bundle.section_count > 0);
    assert_int_equal (fanout->head.size, channel->size);
    assert_memory_equal (fanout->head.data, channel->data, channel->size);
    bn_blob_unref (&channel);
    return fanout;
}

typedef struct {
    const char *topic;
    uint64_t base;
    uint32_t count;
    uint64_t previous_end;
} expected_t;

/*  The bundle has these sections, and the bytes of each are those of the mixed section, or of its
 *  part with that base.  */
static void assert_bundle (const fanout_t *fanout, const expected_t *expected, uint32_t count,
                           const bn_section_t *mixed, uint64_t mixed_base)
{
    bn_section_t *parts = malloc (sizeof *parts);
    assert_non_null (parts);
    uint32_t part_count = 1;
    *parts = *mixed;
    parts->base = mixed_base;
    assert_int_equal (bn_mixed_take_apart (&parts, &part_count), BATON_OK);
    const uint8_t *payload = fanout->payload.data;
    assert_int_equal (fanout->bundle.section_count, count);
    for (uint32_t i = 0; i < count; i++) {
        const bn_bundled_t *bundled = &fanout->bundle.sections[i];
        assert_int_equal (bundled->topic.size, strlen (expected[i].topic));
        assert_memory_equal (bundled->topic.text, expected[i].topic, bundled->topic.size);
        assert_int_equal (bundled->base, expected[i].base);
        assert_int_equal (bundled->count, expected[i].count);
        assert_int_equal (bundled->previous_end, expected[i].previous_end);
        assert_int_equal (bundled->partition, mixed->partition);
        const bn_slice_t *bytes = &mixed->payload;
        for (uint32_t p = 0; bundled->topic.size > 0 && p < part_count; p++)
            if (parts[p].base == bundled->base)
                bytes = &parts[p].payload;
        assert_int_equal (bundled->bytes, bytes->size);
        assert_memory_equal (payload, bytes->data, bytes->size);
        payload += bytes->size;
    }
    assert_ptr_equal (payload, fanout->payload.data + fanout->payload.size);
    bn_section_array_free (parts, part_count);
}

static void who_reads_all_gets_it_as_it_is_and_others_their_parts (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    harness_instance (h, "all", "i", 1, ">");
    harness_instance (h, "some", "i", 2, "b.*");
    harness_instance (h, "one", "i", 3, "a");
    harness_instance (h, "none", "i", 4, "z");
    uint64_t gone = harness_instance (h, "gone", "i", 5, "b.x");
    harness_gone (h, gone);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t mixed = harness_mixed (h, "a b.x b.x b.y a", "key", 5);
    const reply_t *reply = publish (h, route, 1, &mixed, 1);
    assert_int_equal (reply->message.receipt.count, 5);
    assert_int_equal (harness_fanouts (h), 3);
    const expected_t whole[] = {{"", 0, 5, 0}};
    const expected_t some[] = {{"b.x", 1, 2, 0}, {"b.y", 3, 1, 3}};
    const expected_t one[] = {{"a", 0, 1, 0}, {"a", 4, 1, 1}};
    assert_bundle (bundle_for (h, 0, "all", 1), whole, 1, &mixed, 0);
    assert_bundle (bundle_for (h, 1, "one", 3), one, 2, &mixed, 0);
    assert_bundle (bundle_for (h, 2, "some", 2), some, 2, &mixed, 0);
    uint32_t partition = mixed.partition;
    assert_int_equal (harness_actor (h, "gone")->partitions[partition].pending, 2);
    assert_int_equal (harness_actor (h, "some")->partitions[partition].pending, 3);
    assert_int_equal (harness_actor (h, "none")->partitions[partition].pending, 0);

    /*  The chains go on: past the last event that was for the actor.  */
    mixed = harness_mixed (h, "b.x a", "key", 5);
    publish (h, route, 2, &mixed, 1);
    const expected_t whole_2[] = {{"", 5, 2, 5}};
    const expected_t some_2[] = {{"b.x", 5, 1, 4}};
    const expected_t one_2[] = {{"a", 6, 1, 5}};
    assert_bundle (bundle_for (h, 0, "all", 1), whole_2, 1, &mixed, 5);
    assert_bundle (bundle_for (h, 1, "some", 2), some_2, 1, &mixed, 5);
    assert_bundle (bundle_for (h, 2, "one", 3), one_2, 1, &mixed, 5);
    harness_restart (h, false);
    harness_restart (h, true);
    harness_destroy (h);
}

/*  Beside plain ones, and several of a partition.  */
static void sections_of_both_kinds_go_out_in_their_order (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.bundle_section_bytes = 1; /* mixed ones are bundled however large they are */
    harness_t *h = harness_new (&options, 1);
    harness_instance (h, "all", "i", 1, ">");
    harness_instance (h, "b", "i", 2, "b");
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t sections[] = {harness_section (h, "b", "k", 2), harness_mixed (h, "a b a", "k", 3),
                               harness_section (h, "a", "k", 1), harness_mixed (h, "b b", "k", 3)};
    assert_int_equal (publish (h, route, 1, sections, 4)->message.receipt.count, 8);
    assert_int_equal (harness_fanouts (h), 2);
    static const uint64_t bases[] = {0, 2, 5, 6};
    const bn_bundle_t *all = &bundle_for (h, 0, "all", 1)->bundle;
    assert_int_equal (all->section_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal (all->sections[i].base, bases[i]);
        assert_int_equal (all->sections[i].previous_end, bases[i]);
        assert_int_equal (all->sections[i].topic.size, sections[i].topic.size);
    }
    /*  The last one is of one topic: all of it is for who reads that.  */
    const bn_bundle_t *b = &bundle_for (h, 1, "b", 2)->bundle;
    assert_int_equal (b->section_count, 3);
    assert_int_equal (b->sections[1].base, 3);
    assert_int_equal (b->sections[1].previous_end, 2);
    assert_int_equal (b->sections[2].base, 6);
    assert_int_equal (b->sections[2].count, 2);
    assert_int_equal (b->sections[2].topic.size, 0);
    assert_int_equal (b->sections[2].previous_end, 4);
    harness_destroy (h);
}

/*  What is gathered is bounded: past it the runs go to all who want them, one by one.  */
static void past_the_bound_runs_go_out_one_by_one (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.message_bytes_max = 16 << 20;
    options.data_bytes_max = 1 << 20;
    harness_t *h = harness_new (&options, 1);
    for (uint64_t i = 1; i <= 9; i++) {
        char name[16];
        snprintf (name, sizeof name, "all-%u", (unsigned)i);
        harness_instance (h, name, "i", i, ">");
    }
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t mixed = harness_mixed (h, "a b b c", "k", 250000);
    assert_int_equal (publish (h, route, 1, &mixed, 1)->message.type, BN_RECEIPT);
    assert_int_equal (harness_fanouts (h), 3);
    static const uint64_t bases[] = {0, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        const fanout_t *fanout = harness_fanout (h, i);
        assert_int_equal (fanout->bundle.section_count, 0);
        assert_int_equal (fanout->header.base, bases[i]);
        assert_int_equal (fanout->header.chain_count, 9);
        assert_int_equal (fanout->header.chain[8].previous_end, bases[i]);
        const char *what;
        uint32_t index;
        const bn_batch_limits_t limits = {0, 1, 1 << 20};
        assert_int_equal (bn_batch_check (fanout->payload.data, fanout->payload.size,
                                          fanout->header.count, &limits, &index, &what),
                          BATON_OK);
    }
    harness_destroy (h);
}

/*  The parts of a section can be more than a message may have sections.  */
static void a_bundle_has_no_more_sections_than_a_message (void **state)
{
    (void)state;
    enum { TURNS = BN_SECTIONS_MAX + 10 };
    harness_t *h = harness_new (NULL, 1);
    harness_instance (h, "a", "i", 1, "a");
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    char *topics = malloc (TURNS * 4 + 1);
    assert_non_null (topics);
    for (size_t i = 0; i < TURNS; i++)
        memcpy (topics + i * 4, "a b ", 5);
    topics[TURNS * 4 - 1] = 0;
    bn_section_t mixed = harness_mixed (h, topics, "k", 1);
    assert_int_equal (publish (h, route, 1, &mixed, 1)->message.receipt.count, 2 * TURNS);
    assert_int_equal (harness_fanouts (h), 2);
    const bn_bundle_t *first = &harness_fanout (h, 0)->bundle;
    const bn_bundle_t *second = &harness_fanout (h, 1)->bundle;
    assert_int_equal (first->section_count, BN_SECTIONS_MAX);
    assert_int_equal (second->section_count, 10);
    assert_int_equal (second->sections[0].base, 2 * BN_SECTIONS_MAX);
    assert_int_equal (second->sections[0].previous_end,
                      first->sections[BN_SECTIONS_MAX - 1].base + 1);
    free (topics);
    harness_destroy (h);
}

static void who_waits_for_one_of_its_topics_is_woken (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t actor = harness_instance (h, "one", "i", 1, "b");
    bn_fetch_t partition = {.partition = 0, .generation = 1};
    bn_message_t fetch = {
        .type = BN_FETCH,
        .fetch = {
            .wait_ms = 1000, .bytes_max = 1000, .partitions = &partition, .partition_count = 1}};
    assert_null (harness_request (h, actor, &fetch));
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    bn_section_t mixed = harness_mixed (h, "a c a", "k", 1);
    publish (h, route, 1, &mixed, 1);
    assert_null (harness_pushed (h, actor, 0));
    mixed = harness_mixed (h, "a a b", "k", 1);
    publish (h, route, 2, &mixed, 1);
    assert_non_null (harness_pushed (h, actor, 0));
    assert_non_null (harness_pushed (h, actor, 0)->read);
    harness_destroy (h);
}

static baton_err_t refusal (const reply_t *reply)
{
    return reply->message.type == BN_ERROR ? (baton_err_t)reply->message.error.code : BATON_OK;
}

static void what_is_wrong_in_it_is_refused_whole (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.topics_max = 4;
    harness_t *h = harness_new (&options, 1);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    static const struct {
        const char *topics;
        baton_err_t err;
        const char *word;
    } wrongs[] = {
        {"a $dead.x", BATON_ERR_TOPIC, "reserved"},
        {"a b..c", BATON_ERR_TOPIC, "not valid"},
        {"a b c a d b e", BATON_ERR_TOPIC, "topics_max"},
        {"a b c d", BATON_OK, ""},
        {"d c b a", BATON_OK, ""},
        {"a e", BATON_ERR_TOPIC, "topics_max"},
    };
    uint64_t sequence = 1, tail = 0;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        bn_section_t mixed = harness_mixed (h, wrongs[i].topics, "k", 1);
        const reply_t *reply = publish (h, route, sequence, &mixed, 1);
        assert_refused (h, refusal (reply), wrongs[i].err, wrongs[i].word);
        sequence += wrongs[i].err == BATON_OK;
        tail += wrongs[i].err == BATON_OK ? mixed.count : 0;
        assert_int_equal (harness_state (h)->tail, tail);
    }
    /*  More events than its bytes can be, and an event of a plain section.  */
    bn_section_t mixed = harness_mixed (h, "a b", "k", 1);
    mixed.count = 900000;
    assert_refused (h, refusal (publish (h, route, sequence, &mixed, 1)), BATON_ERR_MALFORMED,
                    "cannot be 900000 events");
    mixed = harness_section (h, "a", "k", 1);
    mixed.topic.size = 0;
    assert_refused (h, refusal (publish (h, route, sequence, &mixed, 1)), BATON_ERR_TOPIC,
                    "(no topic, partition 0), event 0: topic: neither the section has one");
    harness_destroy (h);
}

/*  Its parts would have the long attributes once for each event.  */
static void one_that_is_far_more_in_parts_is_refused (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t route = harness_hello (h, BN_ROLE_PRODUCER, 7);
    char source[1000];
    memset (source, 's', sizeof source);
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 1 << 20);
    for (int i = 0; i < 20; i++) {
        bn_event_fields_t event = {.id = {"x", 1}, .source = {source, sizeof source}};
        bn_text_t topic = {i % 2 ? "a" : "b", 1};
        assert_int_equal (bn_batch_writer_add_mixed (&writer, topic, &event), BATON_OK);
    }
    bn_section_t mixed = {.topic = {"", 0}};
    bn_blob_t *payload = bn_batch_writer_take (&writer, &mixed.count);
    bn_batch_writer_fini (&writer);
    mixed.payload = (bn_slice_t){NULL, payload->data, payload->size};
    assert_refused (h, refusal (publish (h, route, 1, &mixed, 1)), BATON_ERR_TOO_LARGE,
                    "its topics apart it is");
    bn_blob_unref (&payload);
    harness_destroy (h);
}

/*  What is emitted may be mixed as well; dead letters may not.  */
static void emitted_events_may_be_mixed (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t route = harness_instance (h, "a", "i", 1, "t");
    harness_event (h, "t", "k");
    harness_event (h, "t", "k");
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    settlement.handled = 1;
    bn_section_t mixed = harness_mixed (h, "$dead.a x", "k", 1);
    assert_refused (h, harness_settle (h, route, &settlement, &mixed, 1), BATON_ERR_TOPIC,
                    "reserved");
    mixed = harness_mixed (h, "x y t", "k", 1);
    assert_int_equal (harness_settle (h, route, &settlement, &mixed, 1), BATON_OK);
    assert_int_equal (harness_state (h)->tail, 5);
    assert_int_equal (harness_actor (h, "a")->partitions[0].pending, 2);
    const expected_t part[] = {{"t", 4, 1, 2}};
    assert_bundle (bundle_for (h, 0, "a", 1), part, 1, &mixed, 2);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_reads_all_gets_it_as_it_is_and_others_their_parts),
        cmocka_unit_test (sections_of_both_kinds_go_out_in_their_order),
        cmocka_unit_test (past_the_bound_runs_go_out_one_by_one),
        cmocka_unit_test (a_bundle_has_no_more_sections_than_a_message),
        cmocka_unit_test (who_waits_for_one_of_its_topics_is_woken),
        cmocka_unit_test (what_is_wrong_in_it_is_refused_whole),
        cmocka_unit_test (one_that_is_far_more_in_parts_is_refused),
        cmocka_unit_test (emitted_events_may_be_mixed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
