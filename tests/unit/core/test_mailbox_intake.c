/* SPDX-License-Identifier: MPL-2.0 */

/*  How events reach an instance: the chain, gaps, losses without a successor, a full queue.  */

#include "unit/core/mailbox_test.h"

/*  A queue that nobody empties: the handler holds a run of the first event.  */
static void hold_handler (box_t *box)
{
    box_fanout (box, 0, 0, 0, "held");
    box_assert_run (box, "0");
}

static void test_events_in_order (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    assert_null (box_sent (&box, BN_FETCH)); /* nothing was there when it joined */
    box_fanout (&box, 0, 0, 4, "a b");
    box_assert_run (&box, "4 5");
    assert_memory_equal (box.run->items[0].topic.text, "orders.placed", 13);
    assert_memory_equal (box.run->items[1].fields.key.text, "b", 1);
    assert_int_equal (box.run->items[0].attempt, 1);
    box_fanout (&box, 0, 6, 9, "c");
    box_fanout (&box, 0, 10, 10, "d");
    box_handle (&box, "aa");
    box_assert_run (&box, "9 10");
    box_fini (&box);
}

static void test_seen_ones_are_dropped (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b");
    box_fanout (&box, 0, 0, 0, "a b");
    box_handle (&box, "aa");
    assert_null (box.run);
    assert_null (box_sent (&box, BN_FETCH));
    box_fini (&box);
}

static void test_gap_is_fetched (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_fanout (&box, 0, 3, 3, "c"); /* 1..2 were lost */
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partition_count, 1);
    assert_int_equal (fetch->fetch.partitions[0].partition, 0);
    assert_int_equal (fetch->fetch.partitions[0].generation, 1);
    assert_int_equal (fetch->fetch.partitions[0].from, 1);
    box_fanout (&box, 0, 4, 4, "d"); /* still a gap: the same one */
    assert_null (box_sent (&box, BN_FETCH));
    box_handle (&box, "a");
    assert_null (box.run); /* nothing may overtake what is missing */
    box_fetched (&box, fetch, 0, 1, "b b c", 4, true);
    box_assert_run (&box, "1 2 3 4"); /* what came meanwhile was kept */
    assert_null (box_sent (&box, BN_FETCH));
    box_fanout (&box, 0, 5, 5, "e");
    box_handle (&box, "aaaa");
    box_assert_run (&box, "5");
    bn_mailbox_stats_t stats;
    bn_mailbox_stats (box.mailbox, &stats);
    assert_int_equal (stats.gaps, 1);
    box_fini (&box);
}

static void test_gap_behind_a_gap (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 1, 1, "b"); /* 0 was lost */
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    box_fanout (&box, 0, 3, 3, "d"); /* and 2 */
    box_fetched (&box, fetch, 0, 0, "a b", 2, true);
    box_assert_run (&box, "0 1");
    fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, 2);
    box_fanout (&box, 0, 4, 4, "e");
    box_fetched (&box, fetch, 0, 2, "c d", 4, true);
    box_handle (&box, "aa");
    box_assert_run (&box, "2 3 4");
    assert_null (box_sent (&box, BN_FETCH));
    box_fini (&box);
}

static void test_fetch_and_fanout_overlap (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_assignment_t assignment = {.partition = 0, .generation = 1, .floor = 10, .head = 13};
    box_join (&box, &assignment, 1);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, 10);
    /*  The answer holds a section that begins below the floor, and one that also came by fan-out.
     *  */
    bn_section_t sections[] = {box_section ("orders.placed", 0, 8, "x x a b"),
                               box_section ("orders.paid", 0, 12, "a"),
                               box_section ("orders.paid", 0, 14, "b")};
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {.scanned_to = 15, .at_tail = true, .sections = sections, .section_count = 3}};
    box_answer (&box, fetch, &events);
    box_fanout (&box, 0, 13, 14, "b");
    box_fanout (&box, 0, 15, 20, "c");
    box_assert_run (&box, "10 11 12 14");
    assert_memory_equal (box.run->items[2].topic.text, "orders.paid", 11);
    box_handle (&box, "aaaa");
    box_assert_run (&box, "20");
    for (int i = 0; i < 3; i++)
        box_section_free (&sections[i]);
    box_fini (&box);
}

static void test_sections_of_others_are_ignored (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    /*  The prefix "orders." lets "orders.placed.eu" through; the chain has no entry for us.  */
    bn_section_t section = box_section ("orders.placed.eu", 0, 0, "a");
    bn_chain_t chain = {.actor_id = BOX_ACTOR_ID + 1, .previous_end = 0};
    bn_fanout_t fanout = {
        .topic = section.topic, .base = 0, .count = 1, .chain = &chain, .chain_count = 1};
    bn_blob_t *blobs[] = {bn_fanout_topic_encode (0, section.topic.text, section.topic.size),
                          bn_fanout_encode (&fanout), section.payload.blob};
    bn_frame_t frames[3];
    for (int i = 0; i < 3; i++)
        frames[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
    box_step (&box,
              (bn_mailbox_event_t){
                  .kind = BN_MAILBOX_FANOUT, .frames = frames, .blobs = blobs, .frame_count = 3});
    assert_null (box.run);
    box_fanout (&box, 0, 0, 1, "b"); /* no gap: that one was not ours */
    box_assert_run (&box, "1");
    box_fanout (&box, 3, 0, 0, "b"); /* a partition that is not ours */
    box_handle (&box, "a");
    assert_null (box.run);
    bn_blob_unref (&blobs[0]);
    bn_blob_unref (&blobs[1]);
    box_section_free (&section);
    box_fini (&box);
}

static void test_garbage_on_the_fanout_is_repaired (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_blob_t *blob = bn_blob_new_copy ("\0nonsense", 9);
    bn_blob_t *blobs[] = {blob, blob, blob};
    bn_frame_t frames[] = {
        {blob->data, blob->size}, {blob->data, blob->size}, {blob->data, blob->size}};
    for (size_t count = 0; count <= 3; count++)
        box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_FANOUT,
                                             .frames = frames,
                                             .blobs = blobs,
                                             .frame_count = count});
    assert_int_equal (box.fatal, 0);
    assert_int_equal (box.resets, 0);
    box_fanout (&box, 0, 0, 0, "a");
    box_assert_run (&box, "0");
    bn_blob_unref (&blob);
    box_fini (&box);
}

/*  Events that were checked when published and cannot be read: nothing may be skipped.  */
static void test_unreadable_events_are_the_end (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_section_t section = box_section ("orders.placed", 0, 0, "a b");
    section.payload.blob->data[section.payload.size - 1] = 0xc1;
    section.payload.blob->data[section.payload.size - 2] = 0xc1;
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {.scanned_to = 2, .at_tail = true, .sections = &section, .section_count = 1}};
    box_fanout (&box, 0, 2, 2, "c");
    box_answer (&box, box_expect (&box, BN_FETCH), &events);
    assert_int_equal (box.fatal, BATON_ERR_MALFORMED);
    assert_non_null (strstr (box.text, "offset 1"));
    assert_null (box.run);
    box_section_free (&section);
    box_fini (&box);
}

static void heads (box_t *box, uint64_t head)
{
    bn_partition_u64_t entry = {.partition = 0, .value = head};
    bn_message_t beat = {.type = BN_BEAT, .beat = {.version = 1, .heads = &entry, .head_count = 1}};
    box_answer (box, NULL, &beat);
}

static void test_tail_loss_is_found_by_heads (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    heads (&box, 1);
    assert_null (box_sent (&box, BN_FETCH)); /* all there */
    box_fanout (&box, 0, 1, 1, "b");
    heads (&box, 3); /* one is on its way, perhaps */
    assert_null (box_sent (&box, BN_FETCH));
    heads (&box, 3); /* nothing has come since */
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, 2);
    heads (&box, 3);
    assert_null (box_sent (&box, BN_FETCH));
    bn_mailbox_stats_t stats;
    bn_mailbox_stats (box.mailbox, &stats);
    assert_int_equal (stats.tail_losses, 1);
    assert_int_equal (stats.gaps, 0);
    box_fini (&box);
}

/*  On a busy machine an answer to a heartbeat may be here before the fan-out that it tells of.  */
static void test_what_is_late_is_not_lost (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    /*  Past the early beats after a subscription, until an ordinary one was just answered.  */
    for (int i = 0; i < 60 || bn_mailbox_due_ms (box.mailbox) < box.now.mono_ms + BOX_HEARTBEAT / 2;
         i++) {
        bn_message_t beat = {.type = BN_BEAT, .beat = {.version = 1}};
        box_pass (&box, BOX_HEARTBEAT / 10);
        const bn_message_t *heartbeat = box_sent (&box, BN_HEARTBEAT);
        if (heartbeat)
            box_answer (&box, heartbeat, &beat);
    }
    heads (&box, 1);
    assert_null (box_sent (&box, BN_FETCH)); /* nothing has come since the last beat; it may yet */
    assert_true (bn_mailbox_due_ms (box.mailbox) <= box.now.mono_ms + BOX_HEARTBEAT / 4);
    box_fanout (&box, 0, 0, 0, "a");
    heads (&box, 2);
    assert_null (box_sent (&box, BN_FETCH));
    heads (&box, 2); /* what the last one told is still not here */
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, 1);
    box_fini (&box);
}

static void test_gaps_again_and_again_mean_fetching (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    uint64_t at = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal (box.subscribed[0], 1);
        box_fanout (&box, 0, at + 1, at + 1, "b");
        const bn_message_t *fetch = box_expect (&box, BN_FETCH);
        assert_int_equal (fetch->fetch.partitions[0].from, at);
        if (i == 3)
            break;
        box_fetched (&box, fetch, 0, at, "a b", at + 2, true);
        box_handle (&box, "aa");
        at += 2;
    }
    assert_int_equal (box.subscribed[0], 0);
    /*  At the tail: subscribed again, and one more look for what came in between.  */
    const bn_message_t *fetch;
    box_down (&box);
    box_up (&box);
    bn_assignment_t assignment = {.partition = 0, .generation = 2, .floor = at, .head = at + 2};
    box_join (&box, &assignment, 1);
    fetch = box_expect (&box, BN_FETCH);
    box_fetched (&box, fetch, 0, at, "a", at + 1, false); /* more than one answer holds */
    assert_int_equal (box.subscribed[0], 0);
    fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, at + 1);
    box_fetched (&box, fetch, 0, at + 1, "b", at + 2, true);
    assert_int_equal (box.subscribed[0], 1);
    fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, at + 2);
    box_fetched (&box, fetch, 0, 0, NULL, at + 2, true);
    assert_null (box_sent (&box, BN_FETCH));
    box_fini (&box);
}

static void test_full_queue_pushes_back (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.prefetch_bytes = 400;
    box_t box;
    box_start (&box, &options);
    hold_handler (&box);
    uint64_t at = 1;
    while (box.subscribed[0] && at < 100) {
        box_fanout (&box, 0, at, at, "key-1 key-2 key-3");
        at += 3;
    }
    assert_in_range (at, 2, 40);             /* a few fit, then it stopped taking them */
    assert_null (box_sent (&box, BN_FETCH)); /* no room: nothing is asked for */
    uint64_t kept = at - 3;
    box_handle (&box, "a");
    uint64_t handled = 1;
    while (box.run) {
        for (uint32_t i = 0; i < box.run->count; i++)
            assert_int_equal (box.run->items[i].offset, handled++);
        box_handle (&box, box.run->count == 8   ? "aaaaaaaa"
                          : box.run->count == 7 ? "aaaaaaa"
                          : box.run->count == 6 ? "aaaaaa"
                          : box.run->count == 5 ? "aaaaa"
                          : box.run->count == 4 ? "aaaa"
                          : box.run->count == 3 ? "aaa"
                          : box.run->count == 2 ? "aa"
                                                : "a");
    }
    assert_int_equal (handled, kept); /* what did not fit is still missing */
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, kept);
    assert_in_range (fetch->fetch.bytes_max, 1, 400);
    box_fetched (&box, fetch, 0, kept, "a b c", kept + 3, true);
    assert_int_equal (run_count (&box), 3);
    assert_int_equal (box.subscribed[0], 1);
    box_fini (&box);
}

/*  A journal that cannot be read at the moment ends no actor: it asks again, less and less often,
 *  and goes on where it was.  */
static void test_an_unreadable_journal_is_waited_for (void **state)
{
    (void)state;
    static const uint32_t waits_ms[] = {200, 400, 800, 1600, 3200, 5000, 5000};
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 1, 1, "b");
    for (size_t i = 0; i < sizeof waits_ms / sizeof *waits_ms; i++) {
        box_refuse (&box, box_expect (&box, BN_FETCH), BATON_ERR_UNREADABLE, 0);
        for (uint32_t ms = 0; ms < waits_ms[i]; ms += 100) {
            assert_int_equal (box_pending (&box, BN_FETCH), 0);
            box_pass (&box, 100);
            for (const bn_message_t *beat; (beat = box_sent (&box, BN_HEARTBEAT));)
                box_answer (&box, beat, &(bn_message_t){.type = BN_BEAT});
        }
    }
    assert_int_equal (box.fatal, BATON_OK);
    assert_int_equal (box.resets, 0);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "a b", 2, true);
    box_assert_run (&box, "0 1");
    /*  What comes later starts anew.  */
    box_fanout (&box, 0, 3, 3, "c");
    box_refuse (&box, box_expect (&box, BN_FETCH), BATON_ERR_UNREADABLE, 0);
    box_pass (&box, 200);
    box_expect (&box, BN_FETCH);
    box_fini (&box);
}

static void test_refused_fetch (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 1, 1, "b");
    box_refuse (&box, box_expect (&box, BN_FETCH), BATON_ERR_MEMORY, 0);
    assert_null (box_sent (&box, BN_FETCH));
    box_pass (&box, 300);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    box_refuse (&box, fetch, BATON_ERR_FENCED, 0);
    /*  The partition is somebody else's: ask what is ours.  */
    assert_int_equal (box.subscribed[0], 0);
    const bn_message_t *beat = NULL;
    for (const bn_message_t *next; (next = box_sent (&box, BN_HEARTBEAT));)
        beat = next;
    (void)beat;
    box_pass (&box, 300);
    assert_null (box_sent (&box, BN_FETCH));
    bn_mailbox_stats_t stats;
    bn_mailbox_stats (box.mailbox, &stats);
    assert_int_equal (stats.partitions, 0);
    box_fini (&box);
}

/*  Each section of a bundle is taken, dropped or missed on its own.  */
static void test_a_bundle_is_many_sections (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_assignment_t assignments[] = {{.partition = 0, .generation = 1},
                                     {.partition = 1, .generation = 1}};
    box_join (&box, assignments, 2);
    assert_int_equal (box.channel, 1);
    bn_section_t sections[] = {box_section ("orders.placed", 0, 0, box_key (0, 0)),
                               box_section ("orders.paid", 1, 1, box_key (1, 0)),
                               box_section ("orders.paid", 0, 2, box_key (0, 1))};
    const uint64_t previous[] = {0, 0, 1};
    box_bundle (&box, sections, previous, 3);
    box_assert_run (&box, "1 0 2"); /* the partitions take turns */
    assert_memory_equal (box.run->items[1].topic.text, "orders.placed", 13);
    assert_memory_equal (box.run->items[2].topic.text, "orders.paid", 11);
    box_bundle (&box, sections, previous, 3); /* seen */
    box_handle (&box, "aaa");
    assert_null (box.run);
    assert_null (box_sent (&box, BN_FETCH));

    /*  Something is missing in one partition; the other goes on.  */
    bn_section_t later[] = {box_section ("orders.placed", 0, 9, box_key (0, 0)),
                            box_section ("orders.placed", 1, 10, box_key (1, 0))};
    const uint64_t later_previous[] = {5, 2};
    box_bundle (&box, later, later_previous, 2);
    box_assert_run (&box, "10");
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partition_count, 1);
    assert_int_equal (fetch->fetch.partitions[0].partition, 0);
    assert_int_equal (fetch->fetch.partitions[0].from, 3);
    for (int i = 0; i < 3; i++)
        box_section_free (&sections[i]);
    for (int i = 0; i < 2; i++)
        box_section_free (&later[i]);
    box_fini (&box);
}

/*  More small sections than go into one piece of memory, and a large one among them: each event is
 *  what it was when its neighbours have come and gone.  */
static void test_a_bundle_of_small_and_large_sections (void **state)
{
    (void)state;
    enum { SMALL = 64, LARGE = 100, EVENTS = SMALL + LARGE };
    char keys[LARGE * 3 + 1] = "";
    bn_section_t sections[SMALL + 1];
    uint64_t previous[SMALL + 1];
    uint32_t count = 0;
    for (int i = 0; i < LARGE; i++)
        strcat (keys, i ? " -" : "-");
    for (uint64_t base = 0; base < EVENTS; base += sections[count++].count) {
        sections[count] = box_section ("orders.placed", 0, base, count == SMALL / 2 ? keys : "-");
        previous[count] = base;
    }
    assert_int_equal (count, SMALL + 1);
    box_t box;
    box_start (&box, NULL);
    for (uint32_t i = 0; i < count; i += 8)
        box_bundle (&box, sections + i, previous + i, count - i < 8 ? count - i : 8);
    uint64_t offset = 0;
    while (box.run) {
        char verdicts[EVENTS + 1] = "";
        for (uint32_t i = 0; i < box.run->count; i++, offset++) {
            const bn_run_item_t *item = &box.run->items[i];
            const bn_section_t *section = &sections[0];
            while (offset >= section->base + section->count)
                section++;
            bn_batch_reader_t reader;
            bn_event_fields_t event;
            assert_int_equal (item->offset, offset);
            assert_int_equal (bn_batch_reader_init (&reader, section->payload.data,
                                                    section->payload.size, section->count),
                              BATON_OK);
            for (uint64_t at = section->base; at <= offset; at++)
                assert_true (bn_batch_next (&reader, &event));
            assert_int_equal (item->fields.data_size, event.data_size);
            assert_memory_equal (item->fields.data, event.data, event.data_size);
            verdicts[i] = 'a';
        }
        box_handle (&box, verdicts);
    }
    assert_int_equal (offset, EVENTS);
    while (count > 0)
        box_section_free (&sections[--count]);
    box_fini (&box);
}

/*  A mixed section is one section; its events have topics of their own.  */
static void test_a_mixed_section_is_taken_event_by_event (void **state)
{
    (void)state;
    static const char *const topics[] = {"orders.placed", "orders.paid", "orders.paid",
                                         "orders.placed", "orders.shipped"};
    box_t box;
    box_start (&box, NULL);
    bn_section_t sections[] = {
        box_mixed ("orders.placed orders.paid orders.paid orders.placed", 0, 0, "- - - -"),
        box_section ("orders.shipped", 0, 4, "-")};
    const uint64_t previous[] = {0, 4};
    box_bundle (&box, sections, previous, 2);
    for (int i = 0; i < 2; i++)
        box_section_free (&sections[i]); /* what was taken is the mailbox's own */
    uint64_t offset = 0;
    while (box.run) {
        char verdicts[8] = "";
        for (uint32_t i = 0; i < box.run->count; i++, offset++) {
            const bn_run_item_t *item = &box.run->items[i];
            assert_int_equal (item->offset, offset);
            assert_int_equal (item->topic.size, strlen (topics[offset]));
            assert_memory_equal (item->topic.text, topics[offset], item->topic.size);
            assert_int_equal (item->fields.id_number, offset);
            verdicts[i] = 'a';
        }
        box_handle (&box, verdicts);
    }
    assert_int_equal (offset, 5);
    assert_int_equal (box_settlement (box_settled (&box), 0)->floor, 5);

    /*  Seen in part already: the rest of it is taken.  */
    bn_section_t again = box_mixed ("orders.placed orders.paid orders.placed", 0, 3, "- - -");
    const uint64_t behind = 0;
    box_bundle (&box, &again, &behind, 1);
    assert_null (box.run);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partitions[0].from, 5);
    box_section_free (&again);
    box_fini (&box);
}

static void test_a_bundle_that_lies_is_repaired (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_bundled_t bundled = {
        .topic = {"orders.placed", 13}, .base = 0, .count = 1, .bytes = 4}; /* and there are 3 */
    bn_bundle_t bundle = {&bundled, 1};
    bn_blob_t *blobs[] = {bn_channel_encode (BOX_ACTOR_ID, 42), bn_bundle_encode (&bundle),
                          bn_blob_new_copy ("abc", 3)};
    bn_frame_t frames[3];
    for (int i = 0; i < 3; i++)
        frames[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
    box_step (&box,
              (bn_mailbox_event_t){
                  .kind = BN_MAILBOX_FANOUT, .frames = frames, .blobs = blobs, .frame_count = 3});
    assert_non_null (strstr (box.text, "not readable"));
    assert_null (box.run);
    box_fanout (&box, 0, 0, 0, "a");
    box_assert_run (&box, "0");
    for (int i = 0; i < 3; i++)
        bn_blob_unref (&blobs[i]);
    box_fini (&box);
}

static void test_a_bundle_for_another_is_ignored (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_section_t section = box_section ("orders.placed", 0, 0, "a");
    bn_bundled_t bundled = {
        .topic = section.topic, .count = 1, .bytes = (uint32_t)section.payload.size};
    bn_bundle_t bundle = {&bundled, 1};
    for (uint64_t incarnation = 41; incarnation <= 42; incarnation++) {
        bn_blob_t *blobs[] = {bn_channel_encode (BOX_ACTOR_ID, incarnation),
                              bn_bundle_encode (&bundle), bn_blob_ref (section.payload.blob)};
        bn_frame_t frames[3];
        for (int i = 0; i < 3; i++)
            frames[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
        box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_FANOUT,
                                             .frames = frames,
                                             .blobs = blobs,
                                             .frame_count = 3});
        if (incarnation == 41)
            assert_null (box.run);
        for (int i = 0; i < 3; i++)
            bn_blob_unref (&blobs[i]);
    }
    box_assert_run (&box, "0");
    box_section_free (&section);
    box_fini (&box);
}

static void test_the_channel_is_heard_while_there_are_partitions (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    assert_int_equal (box.channel, 1);
    bn_assignment_t assignment = {.partition = 0, .generation = 1, .revoked = true};
    box_beat (&box, &assignment, 1);
    assert_int_equal (box.channel, 0);
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_events_in_order),
        cmocka_unit_test (test_seen_ones_are_dropped),
        cmocka_unit_test (test_gap_is_fetched),
        cmocka_unit_test (test_gap_behind_a_gap),
        cmocka_unit_test (test_fetch_and_fanout_overlap),
        cmocka_unit_test (test_sections_of_others_are_ignored),
        cmocka_unit_test (test_garbage_on_the_fanout_is_repaired),
        cmocka_unit_test (test_unreadable_events_are_the_end),
        cmocka_unit_test (test_tail_loss_is_found_by_heads),
        cmocka_unit_test (test_what_is_late_is_not_lost),
        cmocka_unit_test (test_gaps_again_and_again_mean_fetching),
        cmocka_unit_test (test_full_queue_pushes_back),
        cmocka_unit_test (test_refused_fetch),
        cmocka_unit_test (test_an_unreadable_journal_is_waited_for),
        cmocka_unit_test (test_a_bundle_is_many_sections),
        cmocka_unit_test (test_a_bundle_of_small_and_large_sections),
        cmocka_unit_test (test_a_mixed_section_is_taken_event_by_event),
        cmocka_unit_test (test_a_bundle_that_lies_is_repaired),
        cmocka_unit_test (test_a_bundle_for_another_is_ignored),
        cmocka_unit_test (test_the_channel_is_heard_while_there_are_partitions),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
