/* SPDX-License-Identifier: MPL-2.0 */

/*  A salvaged journal, in which records are LOST: what the others prove, what they do not, and that
 *  a record which cannot have been written is refused as ever. Each record is replayed as recovery
 *  does it: bridged, applied; the invariants hold after each.  */

#include "core_test.h"
#include "wire/batch.h"
#include "wire/topic.h"

#define PARTITIONS 2

static char what[256];

static void check (const bn_state_t *state)
{
    char broken[256];
    if (!bn_state_check (state, broken))
        fail_msg ("%s", broken);
}

static baton_err_t replay (bn_state_t *state, const bn_record_t *record, uint32_t count)
{
    what[0] = '\0';
    baton_err_t err = state->bridging ? bn_state_bridge (state, record) : BATON_OK;
    if (!err)
        err =
            bn_state_apply (state, record, state->sequence + 1, state->tail, count, 1000000, what);
    if (err)
        assert_true (err != BATON_ERR_ROT || what[0] != '\0');
    else
        check (state);
    return err;
}

static void lose (bn_state_t *state, uint32_t events)
{
    bn_record_t lost = {.type = BN_RECORD_LOST, .lost = {state->sequence + 1, state->sequence + 1}};
    assert_int_equal (replay (state, &lost, events), BATON_OK);
}

/*  Its first record is left, and then `events` of them are lost.  */
static bn_state_t *holed (uint32_t events)
{
    bn_state_t *state = bn_state_new (4);
    bn_record_t genesis = {.type = BN_RECORD_GENESIS,
                           .genesis = {.journal_id = 5, .partitions = PARTITIONS}};
    assert_int_equal (replay (state, &genesis, 0), BATON_OK);
    assert_false (state->bridging);
    lose (state, events);
    assert_true (state->bridging);
    assert_int_equal (state->tail, events);
    return state;
}

static baton_err_t enroll (bn_state_t *state, uint32_t id, const char *name, const char *topic)
{
    bn_text_t pattern = {topic, strlen (topic)};
    bn_record_t record = {.type = BN_RECORD_REGISTER,
                          .registration = {.actor_id = id,
                                           .name = {name, strlen (name)},
                                           .patterns = &pattern,
                                           .pattern_count = 1,
                                           .policy = {5, 1, 2, 3}}};
    return replay (state, &record, 0);
}

static baton_err_t assign (bn_state_t *state, uint32_t id, uint32_t partition, uint64_t generation)
{
    bn_owner_t owner = {
        .partition = partition, .generation = generation, .instance = {"i", 1}, .incarnation = 9};
    bn_record_t record = {.type = BN_RECORD_ASSIGN,
                          .assign = {.actor_id = id, .owners = &owner, .owner_count = 1}};
    return replay (state, &record, 0);
}

static baton_err_t settle (bn_state_t *state, uint32_t id, bn_settlement_t settlement)
{
    bn_record_t record = {
        .type = BN_RECORD_SETTLE,
        .settle = {.actor_id = id, .settlements = &settlement, .settlement_count = 1}};
    return replay (state, &record, 0);
}

/*  One settlement that gives up `offset`, with its copy in the topic.  */
static baton_err_t give_up (bn_state_t *state, uint32_t id, uint64_t floor, uint64_t offset,
                            const char *topic)
{
    bn_died_t died = {.offset = offset, .attempts = 3};
    bn_settlement_t settlement = {
        .generation = 1, .floor = floor, .died = &died, .died_count = 1, .handled = 1};
    bn_event_fields_t event = {.id_prefix = {"e", 1},
                               .id_number_set = true,
                               .key = {"k", 1},
                               .source = {"/s", 2},
                               .datacontenttype = {"", 0},
                               .dataschema = {"", 0},
                               .data = (const uint8_t *)"\x01",
                               .data_size = 1};
    bn_batch_writer_t writer;
    bn_section_t section = {.topic = {topic, strlen (topic)}, .base = state->tail};
    bn_batch_writer_init (&writer, 4096);
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    bn_blob_t *payload = bn_batch_writer_take (&writer, &section.count);
    bn_batch_writer_fini (&writer);
    section.payload = (bn_slice_t){payload, payload->data, payload->size};
    bn_record_t record = {.type = BN_RECORD_SETTLE,
                          .settle = {.actor_id = id,
                                     .settlements = &settlement,
                                     .settlement_count = 1,
                                     .sections = &section,
                                     .section_count = 1}};
    baton_err_t err = replay (state, &record, 1);
    bn_blob_unref (&payload);
    return err;
}

static baton_err_t publish (bn_state_t *state, uint64_t producer, uint64_t sequence, uint32_t count)
{
    bn_section_t section = {.topic = {"t", 1}, .base = state->tail, .count = count};
    bn_record_t record = {.type = BN_RECORD_PUBLISH,
                          .publish = {.producer_id = producer,
                                      .sequence = sequence,
                                      .sections = &section,
                                      .section_count = 1}};
    return replay (state, &record, count);
}

static baton_err_t dig (bn_state_t *state, bn_record_type_t type, uint32_t id, uint64_t offset)
{
    bn_record_t record = {.type = type,
                          .dead = {.actor_id = id, .dead_offsets = &offset, .dead_count = 1}};
    return replay (state, &record, 0);
}

static bn_actor_state_t *actor_of (const bn_state_t *state, uint32_t id)
{
    return bn_map_get_u64 (state->actors_by_id, id);
}

static const bn_parked_t *parked (const bn_state_t *state, uint32_t id, uint32_t partition,
                                  uint64_t offset)
{
    return bn_map_get_u64 (actor_of (state, id)->partitions[partition].parked, offset);
}

/*  ---- actors whose registration is lost ---- */

static void what_an_actor_did_proves_that_it_was_there (void **unused)
{
    (void)unused;
    for (int by = 0; by < 7; by++) {
        bn_state_t *state = holed (10);
        bn_record_t begin = {.type = BN_RECORD_BEGIN, .begin = {.actor_id = 3, .generation = 4}};
        bn_record_t suspect = {.type = BN_RECORD_SUSPECT, .suspect = {.actor_id = 3}};
        bn_record_t forget = {.type = BN_RECORD_FORGET, .forget = 3};
        baton_err_t err = by == 0   ? assign (state, 3, 1, 1)
                          : by == 1 ? replay (state, &begin, 0)
                          : by == 2 ? replay (state, &suspect, 0)
                          : by == 3 ? settle (state, 3, (bn_settlement_t){.generation = 7})
                          : by == 4 ? dig (state, BN_RECORD_DISCARD, 3, 6)
                          : by == 5 ? dig (state, BN_RECORD_REDRIVE, 3, 6)
                                    : replay (state, &forget, 0);
        assert_int_equal (err, BATON_OK);
        assert_int_equal (state->actor_id_last, 3); /* its number is not given to another */
        if (by == 6)
            assert_null (actor_of (state, 3));
        else {
            assert_int_equal (actor_of (state, 3)->pattern_count, 0);
            assert_int_equal (actor_of (state, 3)->partitions[0].generation, by == 1   ? 4
                                                                             : by == 3 ? 7
                                                                                       : 0);
        }
        bn_state_destroy (&state);
    }
}

static void an_older_number_leaves_the_last_one (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (0);
    assert_int_equal (assign (state, 5, 0, 1), BATON_OK);
    assert_int_equal (assign (state, 2, 0, 1), BATON_OK);
    assert_int_equal (state->actor_id_last, 5);
    assert_int_equal (enroll (state, 6, "next", "t"), BATON_OK);
    assert_int_equal (state->actor_id_last, 6);
    assert_int_equal (enroll (state, 4, "late", "t"), BATON_ERR_ROT); /* numbers only rise */
    bn_state_destroy (&state);
}

/*  An actor that is called as another one is by default must not take its place.  */
static void a_made_up_name_is_nobodys (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (0);
    assert_int_equal (enroll (state, 1, "lost-registration-2", "t"), BATON_OK);
    assert_int_equal (assign (state, 2, 0, 1), BATON_OK);
    assert_ptr_equal (bn_map_get_str (state->actors, "lost-registration-2"), actor_of (state, 1));
    assert_int_equal (bn_map_count (state->actors), 2);
    const char *name = actor_of (state, 2)->name;
    assert_false (bn_actor_name_valid (name, strlen (name)));
    bn_state_destroy (&state);
}

static void a_registration_gives_the_name_and_skips_nothing (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (0);
    assert_int_equal (assign (state, 1, 0, 1), BATON_OK);
    assert_int_equal (publish (state, 8, 1, 10), BATON_OK);
    assert_int_equal (settle (state, 1, (bn_settlement_t){.generation = 1, .floor = 4}), BATON_OK);
    assert_int_equal (enroll (state, 1, "payment", "t"), BATON_OK); /* with other patterns */
    const bn_actor_state_t *actor = bn_map_get_str (state->actors, "payment");
    assert_ptr_equal (actor, actor_of (state, 1));
    assert_int_equal (bn_map_count (state->actors), 1);
    assert_int_equal (actor->partitions[0].floor, 4);
    assert_int_equal (actor->partitions[0].head, 10);
    assert_true (actor->partitions[0].pending >= 6);
    bn_state_destroy (&state);
}

static void a_dead_letter_tells_the_name_and_skips_nothing (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (0);
    assert_int_equal (publish (state, 8, 1, 10), BATON_OK);
    assert_int_equal (give_up (state, 1, 5, 4, "$dead.payment"), BATON_OK);
    const bn_actor_state_t *actor = bn_map_get_str (state->actors, "payment");
    assert_ptr_equal (actor, actor_of (state, 1));
    assert_int_equal (bn_map_count (state->actors), 1);
    const bn_dead_state_t *dead = bn_map_get_u64 (actor->dead, 10);
    assert_int_equal (dead->letter.offset, 4);
    /*  It goes on past where it got its name, and events come that nobody counts for it.  */
    bn_settlement_t settlement = {.generation = 1, .floor = 11};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_int_equal (publish (state, 8, 2, 10), BATON_OK);
    assert_int_equal (enroll (state, 1, "payment", "t"), BATON_OK);
    assert_int_equal (actor->partitions[0].floor, 11);
    assert_int_equal (actor->partitions[0].head, 21);
    assert_true (actor->partitions[0].pending >= 10);
    bn_state_destroy (&state);
}

static void what_is_no_name_tells_none (void **unused)
{
    (void)unused;
    static const char *const topics[] = {"$dead.", "$dead", "$dead.a.b", "$gone.payment",
                                         "a.topic.like.any"};
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        bn_state_t *state = holed (10);
        assert_int_equal (give_up (state, 1, 5, 4, topics[i]), BATON_ERR_ROT); /* no copy of it */
        bn_state_destroy (&state);
    }
    char topic[128] = "$dead.";
    memset (topic + 6, 'x', BATON_NAME_BYTES_MAX + 1);
    bn_state_t *state = holed (10);
    assert_int_equal (give_up (state, 1, 5, 4, topic), BATON_ERR_ROT);
    bn_state_destroy (&state);
}

/*  A name that is somebody else's now: the other one must have been forgotten.  */
static void a_namesake_was_forgotten (void **unused)
{
    (void)unused;
    bn_state_t *state = bn_state_new (4);
    bn_record_t genesis = {.type = BN_RECORD_GENESIS,
                           .genesis = {.journal_id = 5, .partitions = PARTITIONS}};
    assert_int_equal (replay (state, &genesis, 0), BATON_OK);
    assert_int_equal (enroll (state, 1, "payment", "t"), BATON_OK);
    lose (state, 10);
    assert_int_equal (enroll (state, 4, "payment", "t"), BATON_OK);
    assert_null (actor_of (state, 1));
    assert_int_equal (give_up (state, 6, 5, 4, "$dead.payment"), BATON_OK);
    assert_null (actor_of (state, 4));
    assert_ptr_equal (bn_map_get_str (state->actors, "payment"), actor_of (state, 6));
    assert_int_equal (bn_map_count (state->actors), 1);
    /*  One that is known keeps its name, whatever it writes.  */
    assert_int_equal (enroll (state, 6, "payment", "t"), BATON_OK);
    assert_int_equal (give_up (state, 6, 8, 7, "$dead.other"), BATON_ERR_ROT);
    assert_string_equal (actor_of (state, 6)->name, "payment");
    bn_state_destroy (&state);
}

static void a_known_actor_may_change_its_patterns (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (3);
    assert_int_equal (enroll (state, 1, "payment", "t"), BATON_OK);
    assert_int_equal (enroll (state, 1, "payment", "u"), BATON_OK);
    assert_string_equal (actor_of (state, 1)->patterns[0], "u");
    assert_int_equal (enroll (state, 1, "other", "u"), BATON_ERR_ROT);
    bn_state_destroy (&state);
}

/*  ---- generations ---- */

static void generations_only_rise (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (10);
    assert_int_equal (enroll (state, 1, "a", "t"), BATON_OK);
    bn_record_t begin = {.type = BN_RECORD_BEGIN,
                         .begin = {.actor_id = 1, .partition = 1, .generation = 4, .offset = 2}};
    assert_int_equal (replay (state, &begin, 0), BATON_OK);
    assert_int_equal (actor_of (state, 1)->partitions[1].generation, 4);
    assert_int_equal (actor_of (state, 1)->partitions[1].begun, 2);
    bn_settlement_t settlement = {.partition = 1, .generation = 6, .floor = 1};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_int_equal (actor_of (state, 1)->partitions[1].generation, 6);
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_int_equal (assign (state, 1, 1, 6), BATON_ERR_ROT);
    assert_int_equal (replay (state, &begin, 0), BATON_ERR_ROT);
    settlement.generation = 5;
    assert_int_equal (settle (state, 1, settlement), BATON_ERR_ROT);
    assert_int_equal (actor_of (state, 1)->partitions[1].generation, 6); /* S2 */
    bn_state_destroy (&state);
}

static void partitions_that_do_not_exist_are_refused (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (10);
    bn_record_t begin = {.type = BN_RECORD_BEGIN,
                         .begin = {.actor_id = 1, .partition = PARTITIONS, .generation = 4}};
    bn_suspicion_t suspicion = {.partition = PARTITIONS, .charged = 1};
    bn_record_t suspect = {.type = BN_RECORD_SUSPECT, .suspect = {1, &suspicion, 1}};
    bn_settlement_t settlement = {.partition = PARTITIONS, .generation = 1};
    assert_int_equal (replay (state, &begin, 0), BATON_ERR_ROT);
    assert_int_equal (replay (state, &suspect, 0), BATON_ERR_ROT);
    assert_int_equal (settle (state, 1, settlement), BATON_ERR_ROT);
    assert_int_equal (assign (state, 1, PARTITIONS, 1), BATON_ERR_ROT);
    bn_state_destroy (&state);
}

/*  ---- what was parked or dead ---- */

static void what_is_taken_out_was_parked (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (100);
    bn_settlement_t settlement = {.generation = 1, .floor = 50};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    /*  Done: below the floor, and above it, where a settlement that is lost parked it.  */
    uint64_t dones[] = {20, 60};
    settlement = (bn_settlement_t){.generation = 1, .floor = 70, .dones = dones, .done_count = 2};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_int_equal (bn_map_count (actor_of (state, 1)->held), 0);
    assert_int_equal (actor_of (state, 1)->settled, 2);
    /*  Parked again, below the floor, and for the first time, above it.  */
    bn_parked_t parks[] = {{.offset = 30, .attempts = 2, .due_ms = 9, .key_hash = 7},
                           {.offset = 75, .attempts = 1, .due_ms = 9, .key_hash = 7}};
    settlement = (bn_settlement_t){
        .generation = 1, .floor = 80, .parks = parks, .park_count = 2, .handled = 1};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_int_equal (parked (state, 1, 0, 30)->attempts, 2);
    assert_int_equal (parked (state, 1, 0, 30)->key_hash, 7);
    assert_int_equal (parked (state, 1, 0, 75)->attempts, 1);
    /*  What is parked is not touched by proof that it was.  */
    dones[0] = 30;
    settlement = (bn_settlement_t){.generation = 1, .floor = 80, .dones = dones, .done_count = 1};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_null (parked (state, 1, 0, 30));
    /*  Twice the same: no journal ever said that.  */
    dones[0] = dones[1] = 40;
    settlement.done_count = 2;
    assert_int_equal (settle (state, 1, settlement), BATON_ERR_ROT);
    bn_state_destroy (&state);
}

static void what_is_given_up_was_parked (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (100);
    assert_int_equal (settle (state, 1, (bn_settlement_t){.generation = 1, .floor = 50}), BATON_OK);
    assert_int_equal (give_up (state, 1, 50, 20, "$dead.a"), BATON_OK); /* copy at 100 */
    assert_int_equal (give_up (state, 1, 60, 55, "$dead.a"), BATON_OK); /* straight from the line */
    assert_int_equal (bn_map_count (actor_of (state, 1)->dead), 2);
    /*  Its redrive is lost: it was parked again, and dies again.  */
    assert_int_equal (give_up (state, 1, 60, 20, "$dead.a"), BATON_OK);
    assert_null (bn_map_get_u64 (actor_of (state, 1)->dead, 100));
    const bn_dead_state_t *dead = bn_map_get_u64 (actor_of (state, 1)->dead, 102);
    assert_int_equal (dead->letter.offset, 20);
    /*  Or it was done.  */
    uint64_t done = 55;
    bn_settlement_t settlement = {.generation = 1, .floor = 60, .dones = &done, .done_count = 1};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    assert_int_equal (bn_map_count (actor_of (state, 1)->dead), 1);
    bn_state_destroy (&state);
}

static void an_offset_is_in_one_partition (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (100);
    bn_parked_t park = {.offset = 20, .attempts = 1};
    bn_settlement_t settlement = {
        .generation = 1, .floor = 50, .parks = &park, .park_count = 1, .handled = 1};
    assert_int_equal (settle (state, 1, settlement), BATON_OK);
    settlement = (bn_settlement_t){
        .partition = 1, .generation = 1, .floor = 50, .dones = &park.offset, .done_count = 1};
    assert_int_equal (settle (state, 1, settlement), BATON_ERR_ROT);
    assert_non_null (parked (state, 1, 0, 20));
    bn_state_destroy (&state);
}

static void who_is_charged_was_in_hand (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (100);
    assert_int_equal (settle (state, 1, (bn_settlement_t){.generation = 1, .floor = 50}), BATON_OK);
    bn_suspicion_t suspicions[] = {
        {.partition = 0, .careful_until = 80, .charged = 20, .due_ms = 5},
        {.partition = 1, .careful_until = 80, .charged = 30}};
    bn_record_t suspect = {.type = BN_RECORD_SUSPECT, .suspect = {1, suspicions, 2}};
    assert_int_equal (replay (state, &suspect, 0), BATON_OK);
    assert_int_equal (parked (state, 1, 0, 20)->attempts, 1); /* below the floor: it was parked */
    assert_int_equal (parked (state, 1, 0, 20)->due_ms, 5);
    const bn_charged_t *charged = bn_map_get_u64 (actor_of (state, 1)->partitions[1].charged, 30);
    assert_int_equal (charged->attempts, 1);
    suspicions[0].charged = suspicions[1].charged = BN_NO_OFFSET; /* nobody */
    assert_int_equal (replay (state, &suspect, 0), BATON_OK);
    assert_int_equal (bn_map_count (actor_of (state, 1)->held), 1);
    bn_state_destroy (&state);
}

static void what_is_redriven_was_dead (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (100);
    assert_int_equal (settle (state, 1, (bn_settlement_t){.generation = 1, .floor = 50}), BATON_OK);
    /*  Its original is not known: the copy stands for it where that can be parked (S1).  */
    assert_int_equal (dig (state, BN_RECORD_REDRIVE, 1, 40), BATON_OK);
    assert_non_null (parked (state, 1, 0, 40));
    assert_int_equal (dig (state, BN_RECORD_REDRIVE, 1, 70), BATON_OK);
    assert_null (parked (state, 1, 0, 70));
    assert_int_equal (dig (state, BN_RECORD_DISCARD, 1, 80), BATON_OK);
    assert_int_equal (bn_map_count (actor_of (state, 1)->dead), 0);
    /*  One that is known goes back to its place.  */
    assert_int_equal (give_up (state, 1, 60, 55, "$dead.a"), BATON_OK);
    assert_int_equal (dig (state, BN_RECORD_REDRIVE, 1, 100), BATON_OK);
    assert_non_null (parked (state, 1, 0, 55));
    assert_int_equal (bn_map_count (actor_of (state, 1)->dead), 0);
    /*  A dead letter at an offset that is parked: no journal ever said that.  */
    assert_int_equal (dig (state, BN_RECORD_DISCARD, 1, 55), BATON_ERR_ROT);
    bn_state_destroy (&state);
}

/*  ---- producers, and what cannot be bridged ---- */

static void a_publish_proves_the_sequence_before_it (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (10);
    assert_int_equal (publish (state, 8, 5, 2), BATON_OK); /* 1 to 4 are lost */
    assert_int_equal (publish (state, 8, 6, 2), BATON_OK);
    assert_int_equal (publish (state, 8, 9, 2), BATON_OK);
    const bn_producer_state_t *producer = bn_map_get_u64 (state->producers, 8);
    assert_int_equal (producer->sequence, 9);
    assert_int_equal (producer->receipts[6].base, 12);
    assert_int_equal (producer->receipts[7].sequence, 0); /* nothing is said of the lost ones */
    assert_int_equal (state->tail, 16);
    assert_int_equal (publish (state, 8, 9, 2), BATON_ERR_ROT); /* twice the same */
    bn_state_destroy (&state);
}

static void other_records_are_as_strict_as_ever (void **unused)
{
    (void)unused;
    bn_state_t *state = holed (10);
    bn_record_t genesis = {.type = BN_RECORD_GENESIS,
                           .genesis = {.journal_id = 5, .partitions = PARTITIONS}};
    assert_int_equal (replay (state, &genesis, 0), BATON_ERR_ROT);
    bn_record_t unknown = {.type = (bn_record_type_t)99};
    assert_int_equal (replay (state, &unknown, 0), BATON_ERR_ROT);
    bn_state_destroy (&state);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_an_actor_did_proves_that_it_was_there),
        cmocka_unit_test (an_older_number_leaves_the_last_one),
        cmocka_unit_test (a_made_up_name_is_nobodys),
        cmocka_unit_test (a_registration_gives_the_name_and_skips_nothing),
        cmocka_unit_test (a_dead_letter_tells_the_name_and_skips_nothing),
        cmocka_unit_test (what_is_no_name_tells_none),
        cmocka_unit_test (a_namesake_was_forgotten),
        cmocka_unit_test (a_known_actor_may_change_its_patterns),
        cmocka_unit_test (generations_only_rise),
        cmocka_unit_test (partitions_that_do_not_exist_are_refused),
        cmocka_unit_test (what_is_taken_out_was_parked),
        cmocka_unit_test (what_is_given_up_was_parked),
        cmocka_unit_test (an_offset_is_in_one_partition),
        cmocka_unit_test (who_is_charged_was_in_hand),
        cmocka_unit_test (what_is_redriven_was_dead),
        cmocka_unit_test (a_publish_proves_the_sequence_before_it),
        cmocka_unit_test (other_records_are_as_strict_as_ever),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
