/* SPDX-License-Identifier: MPL-2.0 */

/*  What is handed to the handler and when: order by key, retries, parking, dead letters, blame.  */

#include "unit/core/mailbox_test.h"

static uint64_t only (const bn_message_t *settle)
{
    assert_int_equal (settle->settle.settlement_count, 1);
    return settle->settle.settlements[0].floor;
}

/*  Answers a FETCH by offset with single events of the key.  */
static void revive (box_t *box, const char *key)
{
    const bn_message_t *fetch = box_expect (box, BN_FETCH);
    assert_int_equal (fetch->fetch.partition_count, 0);
    uint32_t count = fetch->fetch.offset_count;
    bn_section_t sections[64];
    assert_in_range (count, 1, 64);
    for (uint32_t i = 0; i < count; i++)
        sections[i] = box_section ("orders.placed", 0, fetch->fetch.offsets[i], key);
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {
            .scanned_to = 100, .at_tail = true, .sections = sections, .section_count = count}};
    box_answer (box, fetch, &events);
    for (uint32_t i = 0; i < count; i++)
        box_section_free (&sections[i]);
}

static void test_run_takes_turns_between_partitions (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.run_events_max = 4;
    box_t box;
    box_init (&box, &options);
    box_up (&box);
    bn_assignment_t assignments[] = {{.partition = 0, .generation = 1},
                                     {.partition = 1, .generation = 1}};
    box_join (&box, assignments, 2);
    box_fanout (&box, 0, 0, 0, "a a");
    box_assert_run (&box, "0 1");
    box_fanout (&box, 0, 2, 2, "a a a a a a");
    box_fanout (&box, 1, 0, 8, "b b b b b b");
    box_handle (&box, "aa");
    bool seen[2] = {false, false};
    uint64_t last[2] = {1, 7};
    for (int i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < box.run->count; k++) {
            uint32_t partition = box.run->items[k].partition;
            seen[partition] = true;
            assert_int_equal (box.run->items[k].offset, ++last[partition]);
        }
        box_handle (&box, "aaaa");
    }
    assert_true (seen[0] && seen[1]);
    assert_null (box.run);
    box_fini (&box);
}

static void test_next_run_does_not_wait_for_the_settle (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_fanout (&box, 0, 1, 1, "b");
    box_handle (&box, "a");
    box_assert_run (&box, "1");
    assert_int_equal (box_pending (&box, BN_SETTLE), 1);
    box_fanout (&box, 0, 2, 2, "c");
    box_handle (&box, "a");
    box_handle (&box, "a");
    assert_int_equal (box_pending (&box, BN_SETTLE), 1); /* one in flight: the rest gathers */
    const bn_message_t *settle = box_settled (&box);
    assert_int_equal (only (settle), 1);
    assert_int_equal (settle->settle.settlements[0].handled, 1);
    settle = box_settled (&box);
    assert_int_equal (only (settle), 3);
    assert_int_equal (settle->settle.settlements[0].handled, 2);
    assert_null (box_sent (&box, BN_SETTLE));
    box_fini (&box);
}

static void test_retry_parks_and_its_key_waits (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b a b");
    box_assert_run (&box, "0 1 2 3");
    box_handle (&box, "rana"); /* the runner stops key a at its first event */
    const bn_message_t *settle = box_settled (&box);
    const bn_settlement_t *settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->floor, 4);
    assert_int_equal (settlement->handled, 4);
    assert_int_equal (settlement->park_count, 2);
    assert_int_equal (settlement->parks[0].offset, 0);
    assert_int_equal (settlement->parks[0].attempts, 1);
    assert_int_equal (settlement->parks[0].due_ms, 100);
    assert_int_equal (settlement->parks[1].offset, 2);
    assert_int_equal (settlement->parks[1].attempts, 0);
    assert_true (settlement->parks[0].key_hash == settlement->parks[1].key_hash);
    assert_true (settlement->parks[0].key_hash != 0);

    /*  Later ones of the key park behind it without being handled; others flow on.  */
    box_fanout (&box, 0, 4, 4, "a b a");
    box_assert_run (&box, "5");
    settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 5); /* what is out holds the rest up */
    assert_int_equal (settlement->park_count, 1);
    assert_int_equal (settlement->parks[0].offset, 4);
    box_handle (&box, "a");
    settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 7);
    assert_int_equal (settlement->handled, 2);
    assert_int_equal (settlement->park_count, 1);
    assert_int_equal (settlement->parks[0].offset, 6);

    /*  Due: the head, and those behind it in one go.  */
    assert_null (box_sent (&box, BN_FETCH));
    box_pass (&box, 101);
    revive (&box, "a");
    box_assert_run (&box, "0 2 4 6");
    assert_int_equal (box.run->items[0].attempt, 2);
    assert_int_equal (box.run->items[1].attempt, 1);
    assert_true (box.run->items[0].parked);
    box_handle (&box, "aaaa");
    settle = box_settled (&box);
    settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->floor, 7);
    assert_int_equal (settlement->handled, 0);
    assert_int_equal (settlement->done_count, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal (settlement->dones[i], 2 * i);
    box_fini (&box);
}

static void test_release_order_when_the_head_fails_again (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a a a");
    box_handle (&box, "rnn");
    box_settled (&box);
    box_pass (&box, 101);
    revive (&box, "a");
    box_assert_run (&box, "0 1 2");
    box_handle (&box, "arn"); /* the head is done, the second one fails */
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->done_count, 1);
    assert_int_equal (settlement->dones[0], 0);
    assert_int_equal (settlement->park_count, 1);
    assert_int_equal (settlement->parks[0].offset, 1);
    assert_int_equal (settlement->parks[0].attempts, 1);
    box_pass (&box, 99);
    assert_null (box_sent (&box, BN_FETCH)); /* the third waits for the second */
    box_pass (&box, 2);
    revive (&box, "a");
    box_assert_run (&box, "1 2");
    box_fini (&box);
}

static void test_events_without_a_key_do_not_wait (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "- -");
    box_handle (&box, "ra");
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->park_count, 1);
    assert_int_equal (settlement->parks[0].key_hash, 0);
    box_fanout (&box, 0, 2, 2, "-");
    box_assert_run (&box, "2");
    box_fini (&box);
}

static void test_parked_ones_wait_for_their_settle (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a");
    box_handle (&box, "r");
    box_pass (&box, 500); /* due long since, but the orchestrator has not said that it is parked */
    assert_null (box_sent (&box, BN_FETCH));
    box_settled (&box);
    revive (&box, "a");
    box_assert_run (&box, "0");
    box_fini (&box);
}

static void test_backoff_doubles_to_its_cap_with_jitter (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.policy.max_attempts = 9;
    options.backoff_jitter_pct = 40;
    uint64_t low[8], high[8];
    for (int i = 0; i < 8; i++) {
        low[i] = UINT64_MAX;
        high[i] = 0;
    }
    for (int round = 0; round < 100; round++) {
        box_t box;
        box_init (&box, &options);
        box.random = 1000 + round;
        box_up (&box);
        bn_assignment_t assignment = {.partition = 0, .generation = 1};
        box_join (&box, &assignment, 1);
        box_fanout (&box, 0, 0, 0, "a");
        for (int i = 0; i < 8; i++) {
            assert_int_equal (box.run->items[0].attempt, i + 1);
            box_handle (&box, "r");
            uint64_t due = box_settlement (box_settled (&box), 0)->parks[0].due_ms;
            low[i] = due < low[i] ? due : low[i];
            high[i] = due > high[i] ? due : high[i];
            for (int wait = 0; wait < 20 && !box.run; wait++) {
                box_pass (&box, 100);
                const bn_message_t *beat;
                bn_message_t answer = {.type = BN_BEAT};
                while ((beat = box_sent (&box, BN_HEARTBEAT)))
                    box_answer (&box, beat, &answer);
                if (box_pending (&box, BN_FETCH))
                    revive (&box, "a");
            }
        }
        box_fini (&box);
    }
    for (int i = 0; i < 8; i++) {
        uint64_t plain = i < 4 ? 100u << i : 1000;
        assert_in_range (low[i], plain * 8 / 10, plain * 9 / 10);
        assert_in_range (high[i], plain * 11 / 10, plain * 12 / 10);
    }
}

static void assert_text (bn_text_t text, const char *expected)
{
    assert_int_equal (text.size, strlen (expected));
    assert_memory_equal (text.text, expected, text.size);
}

static void assert_ext (const bn_event_fields_t *event, const char *name, const char *expected)
{
    bn_text_t value;
    assert_true (bn_ext_get (event->ext, event->ext_size, name, &value));
    assert_text (value, expected);
}

static void test_reject_makes_a_dead_letter (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    const char *key = box_key (0, 0);
    box_fanout (&box, 0, 0, 7, key);
    box_handle (&box, "x");
    const bn_message_t *settle = box_settled (&box);
    const bn_settlement_t *settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->floor, 8);
    assert_int_equal (settlement->handled, 1);
    assert_int_equal (settlement->died_count, 1);
    assert_int_equal (settlement->died[0].offset, 7);
    assert_int_equal (settlement->died[0].attempts, 1);
    assert_int_equal (settle->settle.section_count, 1);
    const bn_section_t *section = &settle->settle.sections[0];
    assert_text (section->topic, "$dead.payment");
    assert_int_equal (section->partition, 0);
    bn_event_fields_t letter = box_event (section, 0);
    assert_text (letter.id, "dead.payment.abcdef0123456789.7");
    assert_text (letter.source, "/actors/payment");
    assert_text (letter.key, key);
    assert_int_equal (letter.data_size, 3);
    assert_int_equal (letter.data[2], 7);
    assert_int_equal (letter.time_us, 1700000000000000);
    assert_ext (&letter, "deadactor", "payment");
    assert_ext (&letter, "deadreason", "no money");
    assert_ext (&letter, "deadattempts", "1");
    assert_ext (&letter, "deadoffset", "7");
    assert_ext (&letter, "deadtopic", "orders.placed");
    assert_ext (&letter, "deadid", "p-7");
    assert_ext (&letter, "deadsource", "/shop");
    bn_batch_limits_t limits = {
        .partition = 0, .partitions = BOX_PARTITIONS, .data_bytes_max = 65536};
    uint32_t index;
    const char *what;
    assert_int_equal (bn_batch_check (section->payload.data, section->payload.size, section->count,
                                      &limits, &index, &what),
                      BATON_OK);
    box_fini (&box);
}

static void test_keyless_dead_letter_stays_in_its_partition (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_assignment_t assignment = {.partition = 3, .generation = 1};
    box_join (&box, &assignment, 1);
    box_fanout (&box, 3, 0, 0, "- -");
    box_handle (&box, "xx");
    const bn_message_t *settle = box_settled (&box);
    assert_int_equal (settle->settle.section_count, 1);
    assert_int_equal (settle->settle.sections[0].partition, 3);
    assert_int_equal (settle->settle.sections[0].count, 2);
    bn_event_fields_t second = box_event (&settle->settle.sections[0], 1);
    assert_ext (&second, "deadoffset", "1");
    assert_int_equal (box_settlement (settle, 3)->died[1].offset, 1);
    box_fini (&box);
}

static void test_all_extensions_survive_death (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    /*  An event with all the extensions that there may be, one of them an older death's.  */
    bn_buffer_t ext;
    bn_buffer_init (&ext, 65536);
    msgpack_packer packer = bn_mp_packer (&ext);
    msgpack_pack_map (&packer, BATON_EXTENSIONS_COUNT_MAX + 1);
    bn_mp_pack_cstr (&packer, "deadreason");
    bn_mp_pack_cstr (&packer, "an older one");
    for (int i = 1; i <= BATON_EXTENSIONS_COUNT_MAX; i++) {
        char name[16];
        snprintf (name, sizeof name, "x%d", i);
        bn_mp_pack_cstr (&packer, name);
        bn_mp_pack_cstr (&packer, "value");
    }
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 65536);
    bn_event_fields_t event = {.id = {"id-1", 4},
                               .source = {"/shop", 5},
                               .datacontenttype = {"text/plain", 10},
                               .dataschema = {"urn:s", 5},
                               .data = (const uint8_t *)"hello",
                               .data_size = 5,
                               .ext = bn_buffer_data (&ext),
                               .ext_size = ext.size};
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    bn_section_t section = {.topic = {"orders.placed", 13}, .base = 0};
    bn_blob_t *blob = bn_batch_writer_take (&writer, &section.count);
    section.payload = (bn_slice_t){blob, blob->data, blob->size};
    box_fanout (&box, 0, 1, 1, "-");
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {.scanned_to = 1, .at_tail = true, .sections = &section, .section_count = 1}};
    box_answer (&box, box_expect (&box, BN_FETCH), &events);
    box_assert_run (&box, "0 1");
    box.run->items[0].reason = strdup ("caf\xc3");
    bn_run_t *run = box.run;
    box.run = NULL;
    run->items[0].result = BN_RESULT_REJECT;
    run->items[1].result = BN_RESULT_ACK;
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
    const bn_message_t *settle = box_settled (&box);
    const bn_section_t *dead = &settle->settle.sections[0];
    bn_event_fields_t letter = box_event (dead, 0);
    assert_ext (&letter, "deadreason", "caf?");
    assert_ext (&letter, "deadid", "id-1");
    for (int i = 1; i <= BATON_EXTENSIONS_COUNT_MAX; i++) {
        char name[16];
        snprintf (name, sizeof name, "x%d", i);
        assert_ext (&letter, name, "value");
    }
    assert_text (letter.datacontenttype, "text/plain");
    assert_text (letter.dataschema, "urn:s");
    bn_batch_limits_t limits = {
        .partition = 0, .partitions = BOX_PARTITIONS, .data_bytes_max = 65536};
    uint32_t index;
    const char *what;
    assert_int_equal (bn_batch_check (dead->payload.data, dead->payload.size, dead->count, &limits,
                                      &index, &what),
                      BATON_OK);
    bn_batch_writer_fini (&writer);
    bn_buffer_fini (&ext);
    bn_blob_unref (&blob);
    box_fini (&box);
}

/*  What an event has for itself in a batch (its source, its types) is the letter's to tell, and not
 *  what the letter takes for its own.  */
static void test_attributes_of_its_own_are_told (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 65536);
    bn_event_fields_t event = {.id = {"id-1", 4},
                               .source = {"/shop", 5},
                               .datacontenttype = {"text/plain", 10},
                               .dataschema = {"urn:s", 5},
                               .data = (const uint8_t *)"hello",
                               .data_size = 5};
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    event.source = (bn_text_t){"/other", 6};
    event.datacontenttype = (bn_text_t){"text/html", 9};
    event.dataschema = (bn_text_t){"urn:other", 9};
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    bn_section_t section = {.topic = {"orders.placed", 13}, .base = 0};
    bn_blob_t *blob = bn_batch_writer_take (&writer, &section.count);
    section.payload = (bn_slice_t){blob, blob->data, blob->size};
    box_fanout (&box, 0, 2, 2, "-");
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {.scanned_to = 2, .at_tail = true, .sections = &section, .section_count = 1}};
    box_answer (&box, box_expect (&box, BN_FETCH), &events);
    box_assert_run (&box, "0 1 2");
    box_handle (&box, "axa");
    const bn_message_t *settle = box_settled (&box);
    bn_event_fields_t letter = box_event (&settle->settle.sections[0], 0);
    assert_text (letter.source, "/actors/payment");
    assert_text (letter.datacontenttype, "text/html");
    assert_text (letter.dataschema, "urn:other");
    assert_ext (&letter, "deadsource", "/other");
    assert_ext (&letter, "deadid", "id-1");
    bn_text_t value;
    assert_false (bn_ext_get (letter.ext, letter.ext_size, "datacontenttype", &value));
    bn_batch_writer_fini (&writer);
    bn_blob_unref (&blob);
    box_fini (&box);
}

static void test_attempts_run_out (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    const char *key = box_key (0, 1);
    char keys[40];
    snprintf (keys, sizeof keys, "%s %s", key, key);
    box_fanout (&box, 0, 0, 0, keys);
    box_handle (&box, "rn");
    box_settled (&box);
    for (int attempt = 2; attempt <= 3; attempt++) {
        box_pass (&box, 300);
        revive (&box, key);
        box_assert_run (&box, "0 1");
        assert_int_equal (box.run->items[0].attempt, attempt);
        box_handle (&box, "rn");
        if (attempt == 2)
            box_settled (&box);
    }
    const bn_message_t *settle = box_settled (&box);
    const bn_settlement_t *settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->died_count, 1);
    assert_int_equal (settlement->died[0].offset, 0);
    assert_int_equal (settlement->died[0].attempts, 3);
    assert_int_equal (settlement->park_count, 0);
    bn_event_fields_t letter = box_event (&settle->settle.sections[0], 0);
    assert_ext (&letter, "deadreason", "given up after 3 attempts: no money");
    box_assert_run (&box, "1"); /* its key goes on at once */
    box_fini (&box);
}

static void test_charges_count_as_attempts (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_charged_t charged[] = {{.offset = 1, .attempts = 3}, {.offset = 2, .attempts = 1}};
    bn_parked_t parked[] = {{.offset = 0, .attempts = 3, .due_ms = 50, .key_hash = 99}};
    bn_assignment_t assignment = {.partition = 0,
                                  .generation = 4,
                                  .floor = 1,
                                  .head = 4,
                                  .charged = charged,
                                  .charged_count = 2,
                                  .parked = parked,
                                  .parked_count = 1};
    box_join (&box, &assignment, 1);
    const char *key = box_key (0, 0);
    char keys[64];
    snprintf (keys, sizeof keys, "%s %s %s", key, key, key);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 1, keys, 4, true);
    /*  1 killed the process three times: no handler sees it again.  */
    box_assert_run (&box, "2 3");
    assert_int_equal (box.run->items[0].attempt, 2);
    assert_int_equal (box.run->items[1].attempt, 1);
    const bn_message_t *settle = box_settled (&box);
    const bn_settlement_t *settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->floor, 2);
    assert_int_equal (settlement->died_count, 1);
    assert_int_equal (settlement->died[0].offset, 1);
    assert_int_equal (settlement->died[0].attempts, 3);
    bn_event_fields_t letter = box_event (&settle->settle.sections[0], 0);
    assert_ext (&letter, "deadreason", "the process died 3 times while handling it");
    /*  The parked one that has none left either.  */
    box_pass (&box, 60);
    revive (&box, key);
    box_handle (&box, "aa");
    settle = box_settled (&box);
    settlement = box_settlement (settle, 0);
    assert_int_equal (settlement->died_count, 1);
    assert_int_equal (settlement->died[0].offset, 0);
    assert_int_equal (settlement->floor, 4);
    box_fini (&box);
}

static void test_dead_before_an_open_one_waits_for_it (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_charged_t charged[] = {{.offset = 1, .attempts = 3}};
    bn_assignment_t assignment = {
        .partition = 0, .generation = 4, .head = 3, .charged = charged, .charged_count = 1};
    box_join (&box, &assignment, 1);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "- - -", 3, true);
    box_assert_run (&box, "0 2");
    assert_null (box_sent (&box, BN_SETTLE)); /* the floor cannot pass 0 */
    box_handle (&box, "nn");
    assert_null (box_sent (&box, BN_SETTLE));
    box_assert_run (&box, "0 2");
    box_handle (&box, "an");
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 2);
    assert_int_equal (settlement->handled, 2);
    assert_int_equal (settlement->died_count, 1);
    box_assert_run (&box, "2");
    box_fini (&box);
}

static void test_stopped_early_comes_again (void **state)
{
    (void)state;
    box_t box;
    box_start (&box, NULL);
    box_fanout (&box, 0, 0, 0, "a b c d");
    box_fanout (&box, 0, 4, 4, "e");
    box_handle (&box, "arnn");
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 2);
    assert_int_equal (settlement->park_count, 1);
    box_assert_run (&box, "2 3 4");
    assert_int_equal (box.run->items[0].attempt, 1);
    box_fini (&box);
}

static void test_careful_events_go_alone (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_assignment_t assignments[] = {
        {.partition = 0, .generation = 5, .floor = 3, .head = 6, .careful_until = 5},
        {.partition = 1, .generation = 1}};
    box_join (&box, assignments, 2);
    const bn_message_t *fetch = box_expect (&box, BN_FETCH);
    assert_int_equal (fetch->fetch.partition_count, 1);
    box_fetched (&box, fetch, 0, 3, "a b c", 6, true);
    assert_null (box.run); /* not before it is journaled */
    const bn_message_t *begin = box_expect (&box, BN_BEGIN);
    assert_int_equal (begin->begin.partition, 0);
    assert_int_equal (begin->begin.generation, 5);
    assert_int_equal (begin->begin.offset, 3);
    box_fanout (&box, 1, 0, 10, "z");
    assert_null (box.run); /* whoever dies now was not begun */
    bn_message_t begun = {.type = BN_BEGUN};
    box_answer (&box, begin, &begun);
    box_assert_run (&box, "3");
    assert_true (box.run->careful);
    box_handle (&box, "a");
    assert_null (box.run); /* nor before it is settled */
    assert_null (box_sent (&box, BN_BEGIN));
    assert_int_equal (only (box_settled (&box)), 4);
    /*  Then ordinary and careful ones in turns.  */
    for (int i = 0; i < 2; i++) {
        if (box.run) {
            box_assert_run (&box, "10");
            box_handle (&box, "a");
            box_settled (&box);
            continue;
        }
        begin = box_expect (&box, BN_BEGIN);
        assert_int_equal (begin->begin.offset, 4);
        box_answer (&box, begin, &begun);
        box_assert_run (&box, "4");
        box_handle (&box, "a");
        box_settled (&box);
    }
    box_assert_run (&box, "5"); /* past what the dead one can have had */
    assert_false (box.run->careful);
    box_fini (&box);
}

static void test_parked_below_careful_is_begun_too (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_parked_t parked[] = {{.offset = 1, .attempts = 1, .due_ms = 0, .key_hash = 99}};
    bn_assignment_t assignment = {.partition = 0,
                                  .generation = 5,
                                  .floor = 3,
                                  .head = 3,
                                  .careful_until = 3,
                                  .parked = parked,
                                  .parked_count = 1};
    box_join (&box, &assignment, 1);
    revive (&box, "a");
    const bn_message_t *begin = box_expect (&box, BN_BEGIN);
    assert_int_equal (begin->begin.offset, 1);
    bn_message_t begun = {.type = BN_BEGUN};
    box_answer (&box, begin, &begun);
    box_assert_run (&box, "1");
    box_handle (&box, "a");
    assert_int_equal (box_settlement (box_settled (&box), 0)->dones[0], 1);
    box_fini (&box);
}

static void test_refused_begin (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_assignment_t assignments[] = {
        {.partition = 0, .generation = 5, .head = 1, .careful_until = 5},
        {.partition = 1, .generation = 1}};
    box_join (&box, assignments, 2);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "a", 1, true);
    box_refuse (&box, box_expect (&box, BN_BEGIN), BATON_ERR_DISK_FULL, 0);
    assert_null (box.run);
    box_pass (&box, 600);
    box_refuse (&box, box_expect (&box, BN_BEGIN), BATON_ERR_FENCED, 0);
    assert_null (box.run);
    /*  That partition is gone; the other one works on.  */
    box_fanout (&box, 1, 0, 10, "z");
    box_assert_run (&box, "10");
    box_fini (&box);
}

static void test_stop_between_begin_and_begun (void **state)
{
    (void)state;
    box_t box;
    box_init (&box, NULL);
    box_up (&box);
    bn_assignment_t assignment = {.partition = 0, .generation = 5, .head = 1, .careful_until = 5};
    box_join (&box, &assignment, 1);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "a", 1, true);
    box_step (&box, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    bn_message_t begun = {.type = BN_BEGUN};
    box_answer (&box, box_expect (&box, BN_BEGIN), &begun);
    assert_null (box.run);
    assert_int_equal (box_expect (&box, BN_LEAVE)->leave.reason, BN_LEAVE_CLEAN);
    box_fini (&box);
}

static void test_parked_bound_stops_the_main_line (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_options (&options);
    options.prefetch_bytes = 1024 * 1024;
    options.settle_bytes_max = 1024 * 1024;
    box_t box;
    box_start (&box, &options);
    box_fanout (&box, 0, 0, 0, "a");
    box_handle (&box, "r");
    box_settled (&box);
    uint64_t parked = 1, at = 1;
    for (int i = 0; i < 60; i++) {
        box_fanout (&box, 0, at, at, "a a a a a a a a a a a a a a a a a a a a");
        at += 20;
        if (box_pending (&box, BN_SETTLE))
            parked += box_settlement (box_settled (&box), 0)->park_count;
    }
    while (box_pending (&box, BN_SETTLE))
        parked += box_settlement (box_settled (&box), 0)->park_count;
    assert_int_equal (parked, 1000);
    box_fini (&box);
}

/*  The second one waits for the first, which is given up; the third, of another key, is done. So
 *  the second one is parked for a moment: the main line has gone on without it.  */
static void test_given_up_in_the_middle_of_a_run (void **state)
{
    (void)state;
    box_t box;
    bn_mailbox_options_t options;
    box_options (&options);
    options.policy.max_attempts = 1;
    box_start (&box, &options);
    box_fanout (&box, 0, 0, 0, "a a b");
    box_assert_run (&box, "0 1 2");
    box_handle (&box, "rna");
    const bn_settlement_t *settlement = box_settlement (box_settled (&box), 0);
    assert_int_equal (settlement->floor, 3);
    assert_int_equal (settlement->died_count, 1);
    assert_int_equal (settlement->died[0].offset, 0);
    assert_int_equal (settlement->park_count, 1);
    assert_int_equal (settlement->parks[0].offset, 1);
    assert_int_equal (settlement->parks[0].attempts, 0);
    box_pass (&box, 1);
    assert_int_equal (box_expect (&box, BN_FETCH)->fetch.offsets[0], 1);
    box_fini (&box);
}

/*  So many events in the run, from this offset on, one after the other.  */
static void assert_run_of (const box_t *box, uint64_t from, uint32_t count)
{
    assert_non_null (box->run);
    assert_int_equal (box->run->count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal (box->run->items[i].offset, from + i);
}

static void handle_first (box_t *box, uint32_t handled)
{
    char verdicts[257] = "";
    assert_true (box->run->count < sizeof verdicts);
    memset (verdicts, 'n', box->run->count);
    memset (verdicts, 'a', handled);
    box_handle (box, verdicts);
}

/*  What a run brings back unhandled was work for nothing: with slow handlers runs are short.  */
static void test_runs_are_as_long_as_handlers_are_fast (void **state)
{
    (void)state;
    bn_mailbox_options_t options;
    box_t box;
    box_options (&options);
    options.run_events_max = 256;
    box_start (&box, &options);
    char keys[800] = "k";
    for (int i = 1; i < 300; i++)
        strcat (keys, " k");
    box_fanout (&box, 0, 0, 0, keys);
    assert_run_of (&box, 0, 64);
    handle_first (&box, 64);
    assert_run_of (&box, 64, 128);
    handle_first (&box, 3);
    assert_run_of (&box, 67, 16); /* of 125 that came back */
    handle_first (&box, 10);
    assert_run_of (&box, 77, 20);
    handle_first (&box, 1);
    assert_run_of (&box, 78, 16);
    for (uint64_t from = 78, count = 16; from < 300; from += count, count *= 2) {
        uint32_t left = (uint32_t)(300 - from < count ? 300 - from : count);
        assert_run_of (&box, from, left);
        handle_first (&box, left);
    }
    assert_null (box.run);
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_run_takes_turns_between_partitions),
        cmocka_unit_test (test_next_run_does_not_wait_for_the_settle),
        cmocka_unit_test (test_retry_parks_and_its_key_waits),
        cmocka_unit_test (test_release_order_when_the_head_fails_again),
        cmocka_unit_test (test_events_without_a_key_do_not_wait),
        cmocka_unit_test (test_parked_ones_wait_for_their_settle),
        cmocka_unit_test (test_backoff_doubles_to_its_cap_with_jitter),
        cmocka_unit_test (test_reject_makes_a_dead_letter),
        cmocka_unit_test (test_keyless_dead_letter_stays_in_its_partition),
        cmocka_unit_test (test_all_extensions_survive_death),
        cmocka_unit_test (test_attributes_of_its_own_are_told),
        cmocka_unit_test (test_attempts_run_out),
        cmocka_unit_test (test_charges_count_as_attempts),
        cmocka_unit_test (test_dead_before_an_open_one_waits_for_it),
        cmocka_unit_test (test_stopped_early_comes_again),
        cmocka_unit_test (test_careful_events_go_alone),
        cmocka_unit_test (test_parked_below_careful_is_begun_too),
        cmocka_unit_test (test_refused_begin),
        cmocka_unit_test (test_stop_between_begin_and_begun),
        cmocka_unit_test (test_parked_bound_stops_the_main_line),
        cmocka_unit_test (test_given_up_in_the_middle_of_a_run),
        cmocka_unit_test (test_runs_are_as_long_as_handlers_are_fast),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
