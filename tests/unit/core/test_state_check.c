/* SPDX-License-Identifier: MPL-2.0 */

/*  What keeps the others honest: bn_state_check, which tests, the simulator and every restored
 *  checkpoint rely on, sees each broken invariant; and checkpoints that say what cannot be, item by
 *  item, are refused.  */

#include "core_test.h"

static char what[256];

/*  ---- the invariants ---- */

static void apply (bn_state_t *state, const bn_record_t *record, uint32_t count)
{
    if (bn_state_apply (state, record, state->sequence + 1, state->tail, count, 1000000, what))
        fail_msg ("%s", what);
}

/*  Actor 1 with floor 5 in partition 0, offset 3 parked and offset 2 dead there.  */
static bn_state_t *lived (void)
{
    bn_state_t *state = bn_state_new (4);
    bn_text_t pattern = {"t", 1};
    bn_section_t section = {.topic = {"t", 1}, .count = 10};
    bn_parked_t park = {.offset = 3, .attempts = 1};
    bn_settlement_t settlement = {.floor = 5, .parks = &park, .park_count = 1, .handled = 5};
    apply (state,
           &(bn_record_t){.type = BN_RECORD_GENESIS, .genesis = {.journal_id = 5, .partitions = 2}},
           0);
    apply (state,
           &(bn_record_t){.type = BN_RECORD_REGISTER,
                          .registration = {.actor_id = 1,
                                           .name = {"a", 1},
                                           .patterns = &pattern,
                                           .pattern_count = 1,
                                           .policy = {5, 1, 2, 3}}},
           0);
    apply (
        state,
        &(bn_record_t){
            .type = BN_RECORD_PUBLISH,
            .publish = {.producer_id = 1, .sequence = 1, .sections = &section, .section_count = 1}},
        10);
    apply (state,
           &(bn_record_t){
               .type = BN_RECORD_SETTLE,
               .settle = {.actor_id = 1, .settlements = &settlement, .settlement_count = 1}},
           0);
    bn_actor_state_t *actor = bn_map_get_str (state->actors, "a");
    bn_dead_state_t *dead = calloc (1, sizeof *dead);
    dead->letter = (bn_dead_letter_t){.offset = 2, .dead_offset = 9};
    assert_true (bn_map_put_u64 (actor->dead, 9, dead, NULL));
    assert_true (bn_map_put_u64 (actor->held, 2, dead, NULL));
    assert_true (bn_state_check (state, what));
    return state;
}

static void broken (bn_actor_state_t *actor, int how)
{
    bn_actor_partition_t *partition = &actor->partitions[0];
    bn_dead_state_t *dead = bn_map_get_u64 (actor->dead, 9);
    switch (how) {
    case 0:
        partition->floor = 11;
        break;
    case 1:
        partition->head = 11;
        break;
    case 2:
        partition->floor = 3; /* 3 is parked */
        break;
    case 3:
        dead->letter.offset = 7;
        break;
    case 4:
        strcpy (partition->instance, "i");
        break;
    case 5:
        bn_map_put_u64 (actor->held, 3, dead, NULL);
        break;
    case 6:
        bn_map_put_u64 (actor->held, 2, actor, NULL);
        break;
    case 7:
        bn_map_put_u64 (actor->held, 4, dead, NULL);
        break;
    case 8:
        actor->published++;
        break;
    case 9:
        partition->former_end = 1; /* and there was no cut */
        break;
    case 10:
        actor->former_until = 1; /* and there are no former patterns */
        break;
    }
}

static void each_broken_invariant_is_seen (void **unused)
{
    (void)unused;
    static const char *const names[] = {"S1", "S1", "S1", "S1", "S2", "S3",
                                        "S3", "S3", "S4", "S5", "S5"};
    for (int how = 0; how < (int)(sizeof names / sizeof *names); how++) {
        bn_state_t *state = lived ();
        broken (bn_map_get_str (state->actors, "a"), how);
        assert_false (bn_state_check (state, what));
        if (strncmp (what, names[how], 2) != 0)
            fail_msg ("%s was broken, and it says: %s", names[how], what);
        bn_state_destroy (&state);
    }
}

/*  ---- checkpoints ---- */

/*  An item: its key as text and numbers ("a" and 4 bytes of 7: "a4", 7), its value by a letter for
 *  each field: u number, s text, [ a list of that many.  */
typedef struct {
    const char *kind; /* and the sizes of the numbers in the key, or the name of a topic */
    uint64_t keys[2];
    const char *value;
    uint64_t numbers[24];
    const char *text;
    uint8_t layout; /* 0: the first */
} item_t;

static baton_err_t restore (bn_state_t *state, const item_t *item)
{
    bn_buffer_t key, value;
    bn_buffer_init (&key, 1000);
    bn_buffer_init (&value, 10000);
    bn_buffer_append (&key, item->kind, 1);
    for (size_t index = 0; item->kind[0] != 't' && item->kind[1 + index]; index++)
        for (int byte = item->kind[1 + index] - '0'; byte-- > 0;)
            bn_buffer_append (&key, &(uint8_t){(uint8_t)(item->keys[index] >> (8 * byte))}, 1);
    if (item->kind[0] == 't')
        bn_buffer_append (&key, item->kind + 1, strlen (item->kind + 1));
    bn_buffer_append (&value, &(uint8_t){item->layout ? item->layout : 1}, 1);
    msgpack_packer packer = bn_mp_packer (&value);
    const uint64_t *number = item->numbers;
    for (const char *at = item->value; *at; at++)
        if (*at == 'u')
            msgpack_pack_uint64 (&packer, *number++);
        else if (*at == '[')
            msgpack_pack_array (&packer, *number++);
        else
            bn_mp_pack_cstr (&packer, item->text);
    baton_err_t err = bn_state_restore (state, bn_buffer_data (&key), key.size,
                                        bn_buffer_data (&value), value.size);
    bn_buffer_fini (&key);
    bn_buffer_fini (&value);
    return err;
}

static baton_err_t restore_all (const item_t *items, size_t count)
{
    bn_state_t *state = bn_state_new (4);
    baton_err_t err = BATON_OK;
    for (size_t index = 0; index < count && !err; index++)
        if (items[index].kind)
            err = restore (state, &items[index]);
    if (!err)
        err = bn_state_restored (state);
    bn_state_destroy (&state);
    return err;
}

enum { META, ACTOR, PARTITION, TOPIC, PRODUCER, OTHER, ITEMS };

#define NONE BN_NO_OFFSET

/*  Two partitions, ten events, an actor at 5.  */
static const item_t fine[ITEMS] = {
    {.kind = "m", .value = "[uuuuu", .numbers = {5, 5, 2, 9, 10, 1}},
    {.kind = "a4",
     .keys = {1},
     .value = "[s[suuuuuuu",
     .numbers = {9, 1, 5, 1, 2, 3, 0, 0, 0},
     .text = "t"},
    {.kind = "p44",
     .keys = {1, 0},
     .value = "[uuuuuusuu[uuuu[uu",
     .numbers = {11, 5, 10, 5, 1, 0, NONE, 9, 1, 4, 3, 1, 0, 0, 2, 7, 1},
     .text = "i"},
    {.kind = "tt", .value = "[uu[uuuu", .numbers = {3, 10, 99, 4, 10, 10, 0, 0}},
    {.kind = "r8", .keys = {8}, .value = "[uu[uuu", .numbers = {3, 1, 4, 3, 1, 0, 10}},
};

static void a_checkpoint_that_fits_is_taken (void **unused)
{
    (void)unused;
    assert_int_equal (restore_all (fine, ITEMS), BATON_OK);
}

/*  What replaces which item of a checkpoint that is fine.  */
static const struct {
    int at;
    item_t item;
} others[] = {
    {META, {.kind = "m", .value = "[uuuuu", .numbers = {5, 0, 2, 9, 10, 1}}},
    {META, {.kind = "m", .value = "[uuuuu", .numbers = {5, 5, 0, 9, 10, 1}}},
    {META, {.kind = "m", .value = "[uuuuu", .numbers = {5, 5, 2, 9, 10, 0}}}, /* actor 1 */
    {META, {.kind = "m", .value = "[uuuuu", .numbers = {5, 5, 2, 9, 4, 1}}},  /* floor 5 */
    /*  No patterns; a name that is none; the name of another one.  */
    {ACTOR,
     {.kind = "a4",
      .keys = {1},
      .value = "[s[uuuuuuu",
      .numbers = {9, 0, 5, 1, 2, 3, 0, 0, 0},
      .text = "t"}},
    {ACTOR,
     {.kind = "a4",
      .keys = {1},
      .value = "[s[suuuuuuu",
      .numbers = {9, 1, 5, 1, 2, 3, 0, 0, 0},
      .text = "no name"}},
    {OTHER,
     {.kind = "a4",
      .keys = {0},
      .value = "[s[suuuuuuu",
      .numbers = {9, 1, 5, 1, 2, 3, 0, 0, 0},
      .text = "t"}},
    /*  Partitions that do not exist: one that never can, a floor, parked, charged.  */
    {OTHER,
     {.kind = "p44",
      .keys = {1, 256},
      .value = "[uuuuuusuu[[",
      .numbers = {11, 0, 0, 0, 0, 0, NONE, 0, 0, 0, 0},
      .text = ""}},
    {OTHER,
     {.kind = "p44",
      .keys = {1, 2},
      .value = "[uuuuuusuu[[",
      .numbers = {11, 5, 0, 0, 0, 0, NONE, 0, 0, 0, 0},
      .text = ""}},
    {OTHER,
     {.kind = "p44",
      .keys = {1, 2},
      .value = "[uuuuuusuu[uuuu[",
      .numbers = {11, 0, 0, 0, 0, 0, NONE, 0, 0, 4, 1, 1, 0, 0, 0},
      .text = ""}},
    {OTHER,
     {.kind = "p44",
      .keys = {1, 2},
      .value = "[uuuuuusuu[[uu",
      .numbers = {11, 0, 0, 0, 0, 0, NONE, 0, 0, 0, 2, 7, 1},
      .text = ""}},
    /*  Charged twice; parked above the floor; lists that end in the middle.  */
    {PARTITION,
     {.kind = "p44",
      .keys = {1, 0},
      .value = "[uuuuuusuu[[uuuu",
      .numbers = {11, 5, 10, 5, 1, 0, NONE, 9, 1, 0, 4, 7, 1, 7, 1},
      .text = "i"}},
    {PARTITION,
     {.kind = "p44",
      .keys = {1, 0},
      .value = "[uuuuuusuu[uuuu[",
      .numbers = {11, 5, 10, 5, 1, 0, NONE, 9, 1, 4, 6, 1, 0, 0, 0},
      .text = "i"}},
    {PARTITION,
     {.kind = "p44",
      .keys = {1, 0},
      .value = "[uuuuuusuu[uuu[",
      .numbers = {11, 5, 10, 5, 1, 0, NONE, 9, 1, 3, 3, 1, 0, 0},
      .text = "i"}},
    {PARTITION,
     {.kind = "p44",
      .keys = {1, 0},
      .value = "[uuuuuusuu[[s",
      .numbers = {11, 5, 10, 5, 1, 0, NONE, 9, 1, 0, 2},
      .text = "i"}},
    /*  A dead letter that is parked, and one in no partition.  */
    {OTHER, {.kind = "d48", .keys = {1, 8}, .value = "[uuuuu", .numbers = {5, 3, 0, 1, 0, 0}}},
    {OTHER, {.kind = "d48", .keys = {1, 8}, .value = "[uuuuu", .numbers = {5, 1, 2, 1, 0, 0}}},
    /*  Events in a partition that does not exist, a topic twice, a name that is none.  */
    {TOPIC, {.kind = "tt", .value = "[uu[uuuuuu", .numbers = {3, 10, 99, 6, 10, 10, 0, 0, 9, 9}}},
    {OTHER, {.kind = "tt", .value = "[uu[uuuu", .numbers = {3, 10, 99, 4, 10, 10, 0, 0}}},
    {OTHER, {.kind = "t..", .value = "[uu[uuuu", .numbers = {3, 10, 99, 4, 10, 10, 0, 0}}},
    /*  A producer that was never used, one used by the record of another, one twice.  */
    {PRODUCER, {.kind = "r8", .keys = {8}, .value = "[uu[", .numbers = {3, 1, 0, 0}}},
    {OTHER, {.kind = "r8", .keys = {7}, .value = "[uu[", .numbers = {3, 1, 4, 0}}},
    {OTHER, {.kind = "r8", .keys = {8}, .value = "[uu[", .numbers = {3, 1, 5, 0}}},
    {OTHER, {.kind = "r8", .keys = {7}, .value = "[us[", .numbers = {3, 1, 0}, .text = "x"}},
};

static void checkpoints_that_cannot_be_are_refused (void **unused)
{
    (void)unused;
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        item_t items[ITEMS];
        memcpy (items, fine, sizeof items);
        items[others[index].at] = others[index].item;
        if (restore_all (items, ITEMS) != BATON_ERR_ROT)
            fail_msg ("number %zu is not refused as rot", index);
    }
    for (int without = META; without <= ACTOR; without++) {
        item_t items[ITEMS];
        memcpy (items, fine, sizeof items);
        items[without].kind = NULL;
        assert_int_equal (restore_all (items, ITEMS), BATON_ERR_ROT);
    }
}

/*  Former patterns up to offset 7, and former events up to 6.  */
static void former_patterns_are_restored (void **unused)
{
    (void)unused;
    static const uint64_t cuts[][2] = {{7, 6}, {10, 10}, {11, 6}, {7, 8}, {0, 1}};
    for (size_t index = 0; index < sizeof cuts / sizeof *cuts; index++) {
        item_t items[ITEMS];
        memcpy (items, fine, sizeof items);
        items[ACTOR] = (item_t){.kind = "a4",
                                .layout = 2,
                                .keys = {1},
                                .value = "[s[suuuuuuu[su",
                                .numbers = {11, 1, 5, 1, 2, 3, 0, 0, 0, 1, cuts[index][0]},
                                .text = "t"};
        items[PARTITION] = (item_t){
            .kind = "p44",
            .layout = 3,
            .keys = {1, 0},
            .value = "[uuuuuusuu[uuuus[uusu",
            .numbers = {12, 5, 10, 5, 1, 0, NONE, 9, 1, 5, 3, 1, 0, 0, 3, 7, 1, cuts[index][1]},
            .text = "i"};
        assert_int_equal (restore_all (items, ITEMS), index < 2 ? BATON_OK : BATON_ERR_ROT);
    }
    item_t newer[ITEMS];
    memcpy (newer, fine, sizeof newer);
    newer[ACTOR].layout = 3;
    assert_int_equal (restore_all (newer, ITEMS), BATON_ERR_FORMAT);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_broken_invariant_is_seen),
        cmocka_unit_test (a_checkpoint_that_fits_is_taken),
        cmocka_unit_test (checkpoints_that_cannot_be_are_refused),
        cmocka_unit_test (former_patterns_are_restored),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
