/* SPDX-License-Identifier: MPL-2.0 */

/*  The state by itself: what it refuses. What it does with good records is in the conductor's
 *  tests, each of which compares it with a replay.  */

#include "core_test.h"

static char what[256];

static baton_err_t apply (bn_state_t *state, const bn_record_t *record, uint32_t count)
{
    return bn_state_apply (state, record, state->sequence + 1, state->tail, count, 1000000, what);
}

static bn_state_t *fresh (void)
{
    bn_state_t *state = bn_state_new (4);
    bn_record_t genesis = {.type = BN_RECORD_GENESIS,
                           .genesis = {.journal_id = 5, .partitions = 2}};
    bn_text_t pattern = {"t", 1};
    bn_record_t registration = {.type = BN_RECORD_REGISTER,
                                .registration = {.actor_id = 1,
                                                 .name = {"a", 1},
                                                 .patterns = &pattern,
                                                 .pattern_count = 1,
                                                 .policy = {5, 1, 2, 3}}};
    assert_int_equal (apply (state, &genesis, 0), BATON_OK);
    assert_int_equal (apply (state, &registration, 0), BATON_OK);
    return state;
}

/*  The record is refused as rot, with a text, by a state of its own.  */
static void assert_misfit (const bn_record_t *record, uint32_t count)
{
    bn_state_t *state = fresh ();
    what[0] = '\0';
    assert_int_equal (apply (state, record, count), BATON_ERR_ROT);
    assert_true (what[0] != '\0');
    bn_state_destroy (&state);
}

static void records_that_do_not_fit_are_refused (void **unused)
{
    (void)unused;
    bn_text_t pattern = {"t", 1};
    bn_section_t section = {.topic = {"t", 1}, .count = 2};
    bn_owner_t owner = {.partition = 1, .generation = 0, .instance = {"i", 1}};
    bn_suspicion_t suspicion = {.partition = 2, .charged = BN_NO_OFFSET};
    bn_settlement_t settlement = {.partition = 0, .generation = 1};
    uint64_t dead = 3;
    const bn_record_t records[] = {
        {.type = BN_RECORD_GENESIS, .genesis = {.journal_id = 6, .partitions = 2}},
        {.type = BN_RECORD_REGISTER,
         .registration =
             {.actor_id = 1, .name = {"b", 1}, .patterns = &pattern, .pattern_count = 1}},
        {.type = BN_RECORD_REGISTER,
         .registration =
             {.actor_id = 3, .name = {"c", 1}, .patterns = &pattern, .pattern_count = 1}},
        {.type = BN_RECORD_REGISTER,
         .registration = {.actor_id = 2,
                          .name = {"b", 1},
                          .patterns = &pattern,
                          .pattern_count = 1,
                          .start = 9}},
        {.type = BN_RECORD_PUBLISH,
         .publish = {.producer_id = 1, .sequence = 0, .sections = &section, .section_count = 1}},
        {.type = BN_RECORD_ASSIGN, .assign = {.actor_id = 1, .owners = &owner, .owner_count = 1}},
        {.type = BN_RECORD_ASSIGN, .assign = {.actor_id = 7, .owners = &owner, .owner_count = 1}},
        {.type = BN_RECORD_BEGIN, .begin = {.actor_id = 1, .generation = 4}},
        {.type = BN_RECORD_SUSPECT,
         .suspect = {.actor_id = 1, .suspicions = &suspicion, .suspicion_count = 1}},
        {.type = BN_RECORD_SETTLE,
         .settle = {.actor_id = 1, .settlements = &settlement, .settlement_count = 1}},
        {.type = BN_RECORD_REDRIVE,
         .dead = {.actor_id = 1, .dead_offsets = &dead, .dead_count = 1}},
        {.type = BN_RECORD_FORGET, .forget = 8},
    };
    for (size_t index = 0; index < sizeof records / sizeof *records; index++)
        assert_misfit (&records[index], records[index].type == BN_RECORD_PUBLISH ? 2 : 0);
    bn_record_t publish = records[4];
    publish.publish.sequence = 1;
    assert_misfit (&publish, 3); /* the header counts others than the sections */
    section.partition = 2;
    assert_misfit (&publish, 2);
    bn_record_t begin = {.type = BN_RECORD_BEGIN, .begin = {.actor_id = 1}};
    assert_misfit (&begin, 1); /* events where there are none */
}

/*  What the decoder of records lets through, and what it does not, from a newer writer.  */
static void records_out_of_bounds_are_refused (void **unused)
{
    (void)unused;
    char long_name[BATON_NAME_BYTES_MAX + 1];
    memset (long_name, 'x', sizeof long_name);
    bn_text_t patterns[BN_PATTERNS_MAX + 1];
    for (size_t index = 0; index < sizeof patterns / sizeof *patterns; index++)
        patterns[index] = (bn_text_t){"t", 1};
    const bn_register_record_t registrations[] = {
        {.actor_id = 2, .name = {"b", 1}, .patterns = patterns},
        {.actor_id = 2,
         .name = {"b", 1},
         .patterns = patterns,
         .pattern_count = BN_PATTERNS_MAX + 1},
        {.actor_id = 2,
         .name = {long_name, sizeof long_name},
         .patterns = patterns,
         .pattern_count = 1},
    };
    for (size_t index = 0; index < sizeof registrations / sizeof *registrations; index++)
        assert_misfit (
            &(bn_record_t){.type = BN_RECORD_REGISTER, .registration = registrations[index]}, 0);
    bn_owner_t owners[] = {
        {.partition = 2, .generation = 1, .instance = {"i", 1}},
        {.partition = 0, .generation = 1, .instance = {long_name, sizeof long_name}}};
    for (size_t index = 0; index < sizeof owners / sizeof *owners; index++)
        assert_misfit (
            &(bn_record_t){.type = BN_RECORD_ASSIGN,
                           .assign = {.actor_id = 1, .owners = &owners[index], .owner_count = 1}},
            0);
    bn_section_t sections[] = {{.topic = {"t", 1}, .base = 5, .count = 1},
                               {.topic = {"t", 1}, .count = 0},
                               {.topic = {"t", 1}, .count = 2}};
    for (size_t index = 0; index < sizeof sections / sizeof *sections; index++)
        assert_misfit (&(bn_record_t){.type = BN_RECORD_PUBLISH,
                                      .publish = {.producer_id = 1,
                                                  .sequence = 1,
                                                  .sections = &sections[index],
                                                  .section_count = 1}},
                       1);
    assert_misfit (&(bn_record_t){.type = (bn_record_type_t)99}, 0);
    const bn_genesis_t journals[] = {{.journal_id = 0, .partitions = 2},
                                     {.journal_id = 5, .partitions = 0},
                                     {.journal_id = 5, .partitions = BN_PARTITIONS_MAX + 1}};
    for (size_t index = 0; index < sizeof journals / sizeof *journals; index++) {
        bn_state_t *state = bn_state_new (4);
        bn_record_t genesis = {.type = BN_RECORD_GENESIS, .genesis = journals[index]};
        assert_int_equal (apply (state, &genesis, 0), BATON_ERR_ROT);
        assert_int_equal (state->sequence, 0);
        bn_state_destroy (&state);
    }
}

static void floors_stay_between_the_old_one_and_the_tail (void **unused)
{
    (void)unused;
    for (uint64_t floor = 0; floor <= 11; floor++) {
        bn_state_t *state = fresh ();
        bn_section_t section = {.topic = {"t", 1}, .count = 10};
        bn_record_t publish = {
            .type = BN_RECORD_PUBLISH,
            .publish = {.producer_id = 1, .sequence = 1, .sections = &section, .section_count = 1}};
        bn_settlement_t settlement = {.floor = 5};
        bn_record_t settle = {
            .type = BN_RECORD_SETTLE,
            .settle = {.actor_id = 1, .settlements = &settlement, .settlement_count = 1}};
        assert_int_equal (apply (state, &publish, 10), BATON_OK);
        assert_int_equal (apply (state, &settle, 0), BATON_OK);
        settlement.floor = floor;
        assert_int_equal (apply (state, &settle, 0),
                          floor < 5 || floor > 10 ? BATON_ERR_ROT : BATON_OK);
        bn_state_destroy (&state);
    }
}

/*  Attempts are counted up to what a number holds, and never begin anew.  */
static void attempts_do_not_wrap_around (void **unused)
{
    (void)unused;
    bn_state_t *state = fresh ();
    bn_section_t section = {.topic = {"t", 1}, .count = 10};
    bn_record_t publish = {
        .type = BN_RECORD_PUBLISH,
        .publish = {.producer_id = 1, .sequence = 1, .sections = &section, .section_count = 1}};
    bn_parked_t park = {.offset = 3, .attempts = UINT32_MAX - 1};
    bn_settlement_t settlement = {.floor = 5, .parks = &park, .park_count = 1, .handled = 5};
    bn_record_t settle = {
        .type = BN_RECORD_SETTLE,
        .settle = {.actor_id = 1, .settlements = &settlement, .settlement_count = 1}};
    bn_suspicion_t suspicion = {.charged = 3};
    bn_record_t suspect = {.type = BN_RECORD_SUSPECT, .suspect = {1, &suspicion, 1}};
    assert_int_equal (apply (state, &publish, 10), BATON_OK);
    assert_int_equal (apply (state, &settle, 0), BATON_OK);
    const bn_actor_state_t *actor = bn_map_get_str (state->actors, "a");
    for (int times = 0; times < 3; times++) {
        assert_int_equal (apply (state, &suspect, 0), BATON_OK);
        const bn_parked_t *parked = bn_map_get_u64 (actor->partitions[0].parked, 3);
        assert_int_equal (parked->attempts, UINT32_MAX);
    }
    bn_state_destroy (&state);
}

/*  The same number of patterns, of the same length: they are others.  */
static void other_patterns_are_noticed (void **unused)
{
    (void)unused;
    static const char *const others[] = {"u", "t", "t.x"};
    bn_state_t *state = fresh ();
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        bn_text_t pattern = {others[index], strlen (others[index])};
        bn_record_t record = {.type = BN_RECORD_REGISTER,
                              .registration = {.actor_id = 1,
                                               .name = {"a", 1},
                                               .patterns = &pattern,
                                               .pattern_count = 1,
                                               .policy = {5, 1, 2, 3}}};
        assert_int_equal (apply (state, &record, 0), BATON_OK);
        assert_int_equal (apply (state, &record, 0), BATON_OK); /* with the same: nothing */
        const bn_actor_state_t *actor = bn_map_get_str (state->actors, "a");
        assert_string_equal (actor->patterns[0], others[index]);
        assert_int_equal (actor->pattern_count, 1);
    }
    bn_state_destroy (&state);
}

static baton_err_t publish_on (bn_state_t *state, const char *topic)
{
    bn_section_t section = {
        .topic = {topic, strlen (topic)}, .base = state->tail, .count = 1, .partition = 0};
    bn_record_t record = {.type = BN_RECORD_PUBLISH,
                          .publish = {.producer_id = 77,
                                      .sequence = state->tail + 1,
                                      .sections = &section,
                                      .section_count = 1}};
    return apply (state, &record, 1);
}

static void revise (bn_state_t *state, const char *pattern)
{
    bn_text_t text = {pattern, strlen (pattern)};
    bn_record_t record = {.type = BN_RECORD_REGISTER,
                          .registration = {.actor_id = 1,
                                           .name = {"a", 1},
                                           .patterns = &text,
                                           .pattern_count = 1,
                                           .policy = {5, 1, 2, 3}}};
    assert_int_equal (apply (state, &record, 0), BATON_OK);
}

static void settle_to (bn_state_t *state, uint64_t floor, uint32_t handled)
{
    bn_settlement_t settlement = {.floor = floor, .handled = handled};
    bn_record_t record = {
        .type = BN_RECORD_SETTLE,
        .settle = {.actor_id = 1, .settlements = &settlement, .settlement_count = 1}};
    assert_int_equal (apply (state, &record, 0), BATON_OK);
}

/*  What waits is what the patterns of its time matched, neither less nor more.  */
static void other_patterns_count_from_their_record_on (void **unused)
{
    (void)unused;
    bn_state_t *state = fresh ();
    const bn_actor_state_t *actor = bn_map_get_str (state->actors, "a");
    const bn_actor_partition_t *partition = &actor->partitions[0];
    assert_int_equal (publish_on (state, "t"), BATON_OK);
    assert_int_equal (publish_on (state, "u"), BATON_OK);
    revise (state, "u");
    assert_int_equal (actor->former_until, 2);
    assert_string_equal (actor->former[0], "t");
    assert_int_equal (partition->pending, 1);
    assert_int_equal (partition->head, 1);
    assert_int_equal (partition->former_end, 1);
    assert_true (bn_state_drains (partition));
    assert_false (bn_state_drains (&actor->partitions[1]));
    assert_int_equal (actor->partitions[1].floor, 2); /* it had caught up */
    assert_int_equal (publish_on (state, "t"), BATON_OK);
    assert_int_equal (publish_on (state, "u"), BATON_OK);
    assert_int_equal (partition->pending, 2);
    assert_int_equal (bn_state_needed_from (state), 0);
    settle_to (state, 1, 1);
    assert_false (bn_state_drains (partition));
    /*  The next ones: what is left waits since the first cut, and nothing before that.  */
    revise (state, "v");
    assert_int_equal (actor->former_until, 4);
    assert_string_equal (actor->former[0], "u");
    assert_int_equal (partition->floor, 2);
    assert_int_equal (partition->former_end, 4);
    assert_int_equal (partition->pending, 1);
    settle_to (state, 4, 1);
    assert_int_equal (partition->pending, 0);
    assert_int_equal (bn_state_needed_from (state), 4);
    revise (state, "t"); /* nothing waits */
    assert_int_equal (partition->former_end, 0);
    assert_true (bn_state_check (state, what));
    bn_state_destroy (&state);
}

static baton_err_t publish (bn_state_t *state, uint64_t producer, uint64_t sequence)
{
    bn_section_t section = {.topic = {"t", 1}, .base = state->tail, .count = 1};
    bn_record_t record = {.type = BN_RECORD_PUBLISH,
                          .publish = {.producer_id = producer,
                                      .sequence = sequence,
                                      .sections = &section,
                                      .section_count = 1}};
    return apply (state, &record, 1);
}

static void sequences_that_skip_or_repeat_are_refused (void **unused)
{
    (void)unused;
    const uint64_t others[] = {0, 2, 3, 5};
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        bn_state_t *state = fresh ();
        for (uint64_t sequence = 1; sequence <= 3; sequence++)
            assert_int_equal (publish (state, 9, sequence), BATON_OK);
        what[0] = '\0';
        assert_int_equal (publish (state, 9, others[index]), BATON_ERR_ROT);
        assert_non_null (strstr (what, "skips from 3"));
        bn_state_destroy (&state);
    }
}

/*  The orchestrator is killed and starts with another producers_max: its journal is still one.  */
static void how_many_producers_are_remembered_may_change (void **unused)
{
    (void)unused;
    /*  Written while two were remembered: 8 was forgotten for 6.  */
    const struct {
        uint64_t producer, sequence;
    } life[] = {{8, 1}, {8, 2}, {8, 3}, {7, 1}, {6, 1}, {7, 2}, {8, 1}, {7, 3}, {8, 2}};
    for (uint32_t remembered = 1; remembered <= 4; remembered++) {
        bn_state_t *state = fresh ();
        state->producers_max = remembered;
        for (size_t index = 0; index < sizeof life / sizeof *life; index++)
            assert_int_equal (publish (state, life[index].producer, life[index].sequence),
                              BATON_OK);
        assert_int_equal (bn_map_count (state->producers), remembered < 3 ? remembered : 3);
        const bn_producer_state_t *producer = bn_map_get_u64 (state->producers, 8);
        assert_int_equal (producer->sequence, 2);
        assert_int_equal (producer->receipts[2].base, 8); /* the new ones, none of the old */
        assert_int_equal (producer->receipts[3].sequence, 0);
        bn_state_destroy (&state);
    }
}

static void holes_are_refused (void **unused)
{
    (void)unused;
    bn_state_t *state = fresh ();
    bn_record_t forget = {.type = BN_RECORD_FORGET, .forget = 1};
    assert_int_equal (bn_state_apply (state, &forget, 4, 0, 0, 0, what), BATON_ERR_ROT);
    assert_int_equal (bn_state_apply (state, &forget, 3, 1, 0, 0, what), BATON_ERR_ROT);
    assert_int_equal (bn_state_apply (state, &forget, 3, 0, 0, 0, what), BATON_OK);
    bn_state_destroy (&state);
    state = bn_state_new (4);
    assert_int_equal (apply (state, &forget, 0), BATON_ERR_ROT); /* not the first record */
    bn_state_destroy (&state);
}

typedef struct {
    uint8_t key[300];
    size_t key_size;
    uint8_t value[4096];
    size_t value_size;
} item_t;

typedef struct {
    item_t items[16];
    size_t count;
} items_t;

static bool keep (const void *key, size_t key_size, const void *value, size_t value_size, void *arg)
{
    items_t *items = arg;
    item_t *item = &items->items[items->count++];
    assert_true (items->count <= 16 && key_size <= sizeof item->key &&
                 value_size <= sizeof item->value);
    memcpy (item->key, key, key_size);
    memcpy (item->value, value, value_size);
    item->key_size = key_size;
    item->value_size = value_size;
    return true;
}

/*  Restores all items but `without`.  */
static baton_err_t restore (const items_t *items, size_t without)
{
    bn_state_t *state = bn_state_new (4);
    baton_err_t err = BATON_OK;
    for (size_t index = 0; !err && index < items->count; index++)
        if (index != without)
            err = bn_state_restore (state, items->items[index].key, items->items[index].key_size,
                                    items->items[index].value, items->items[index].value_size);
    if (!err)
        err = bn_state_restored (state);
    bn_state_destroy (&state);
    return err;
}

static void damaged_checkpoints_are_refused (void **unused)
{
    (void)unused;
    bn_state_t *state = fresh ();
    items_t items = {.count = 0};
    assert_true (bn_state_save (state, keep, &items));
    bn_state_destroy (&state);
    assert_int_equal (items.count, 4); /* meta, the actor, two partitions */
    assert_int_equal (restore (&items, SIZE_MAX), BATON_OK);
    assert_int_equal (restore (&items, 0), BATON_ERR_ROT);
    assert_int_equal (restore (&items, 1), BATON_ERR_ROT);
    for (size_t index = 0; index < items.count; index++) {
        item_t *item = &items.items[index];
        /*  Cut anywhere: refused, never read past.  */
        size_t size = item->value_size;
        for (item->value_size = 0; item->value_size < size; item->value_size++)
            assert_int_equal (restore (&items, SIZE_MAX), BATON_ERR_ROT);
        uint8_t layout = item->value[0];
        item->value[0] = 4;
        assert_int_equal (restore (&items, SIZE_MAX), BATON_ERR_FORMAT);
        item->value[0] = layout;
        item->key_size++;
        assert_int_equal (restore (&items, SIZE_MAX), BATON_ERR_ROT);
        item->key_size--;
    }
    items.items[0].key[0] = 'z';
    assert_int_equal (restore (&items, SIZE_MAX), BATON_ERR_FORMAT);
}

/*  Partition 0 of actor 1 as the version before wrote it, when there were no reasons.  */
static void an_older_checkpoint_is_restored (void **unused)
{
    (void)unused;
    static const uint8_t old[] = {1,
                                  0x9b,
                                  9,
                                  0,
                                  0,
                                  7,
                                  0,
                                  8,
                                  0xa0,
                                  0,
                                  1,
                                  /* parked */ 0x94,
                                  3,
                                  2,
                                  50,
                                  77,
                                  /* charged */ 0x92,
                                  9,
                                  1};
    bn_state_t *state = fresh ();
    bn_section_t section = {.topic = {"t", 1}, .count = 10};
    bn_record_t record = {
        .type = BN_RECORD_PUBLISH,
        .publish = {.producer_id = 1, .sequence = 1, .sections = &section, .section_count = 1}};
    assert_int_equal (apply (state, &record, 10), BATON_OK);
    items_t items = {.count = 0};
    assert_true (bn_state_save (state, keep, &items));
    bn_state_destroy (&state);
    assert_int_equal (items.items[2].key[0], 'p');
    memcpy (items.items[2].value, old, sizeof old);
    items.items[2].value_size = sizeof old;

    state = bn_state_new (4);
    for (size_t index = 0; index < items.count; index++)
        assert_int_equal (bn_state_restore (state, items.items[index].key,
                                            items.items[index].key_size, items.items[index].value,
                                            items.items[index].value_size),
                          BATON_OK);
    assert_int_equal (bn_state_restored (state), BATON_OK);
    const bn_actor_state_t *actor = bn_map_get_str (state->actors, "a");
    const bn_parked_t *parked = bn_map_get_u64 (actor->partitions[0].parked, 3);
    const bn_charged_t *charged = bn_map_get_u64 (actor->partitions[0].charged, 9);
    assert_int_equal (actor->partitions[0].floor, 9);
    assert_int_equal (parked->attempts, 2);
    assert_int_equal (parked->due_ms, 50);
    assert_int_equal (parked->key_hash, 77);
    assert_int_equal (parked->reason.size, 0);
    assert_int_equal (charged->attempts, 1);
    assert_int_equal (charged->reason.size, 0);
    bn_state_destroy (&state);
}

static bool stop (const void *key, size_t key_size, const void *value, size_t value_size, void *arg)
{
    (void)key;
    (void)key_size;
    (void)value;
    (void)value_size;
    int *left = arg;
    return (*left)-- > 0;
}

static void a_save_that_is_stopped_says_so (void **unused)
{
    (void)unused;
    bn_state_t *state = fresh ();
    for (int left = 0; left < 4; left++) {
        int counter = left;
        assert_false (bn_state_save (state, stop, &counter));
        assert_int_equal (counter, -1);
    }
    bn_state_destroy (&state);
    state = bn_state_new (4);
    assert_int_equal (bn_state_restored (state), BATON_ERR_ROT); /* nothing came */
    bn_state_destroy (&state);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (records_that_do_not_fit_are_refused),
        cmocka_unit_test (records_out_of_bounds_are_refused),
        cmocka_unit_test (floors_stay_between_the_old_one_and_the_tail),
        cmocka_unit_test (attempts_do_not_wrap_around),
        cmocka_unit_test (other_patterns_are_noticed),
        cmocka_unit_test (other_patterns_count_from_their_record_on),
        cmocka_unit_test (sequences_that_skip_or_repeat_are_refused),
        cmocka_unit_test (how_many_producers_are_remembered_may_change),
        cmocka_unit_test (holes_are_refused),
        cmocka_unit_test (damaged_checkpoints_are_refused),
        cmocka_unit_test (an_older_checkpoint_is_restored),
        cmocka_unit_test (a_save_that_is_stopped_says_so),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
