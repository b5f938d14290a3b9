/* SPDX-License-Identifier: MPL-2.0 */

#include "base/hash.h"
#include "core_test.h"

/*  One actor "a" with one instance, one partition, five events of topic "t".  */
typedef struct {
    harness_t *h;
    uint64_t route;
} fixture_t;

static fixture_t begin (const bn_conductor_options_t *options)
{
    fixture_t self = {.h = harness_new (options, 1)};
    self.route = harness_instance (self.h, "a", "one", 1, "t");
    for (int event = 0; event < 5; event++)
        harness_event (self.h, "t", "x");
    return self;
}

static const bn_actor_partition_t *partition_of (const fixture_t *self)
{
    return &harness_actor (self->h, "a")->partitions[0];
}

static bn_settlement_t up_to (const fixture_t *self, uint64_t floor)
{
    return harness_settlement (self->h, "a", 0, floor);
}

static baton_err_t settle (const fixture_t *self, bn_settlement_t settlement)
{
    return harness_settle (self->h, self->route, &settlement, NULL, 0);
}

static void the_floor_moves_and_the_lag_is_exact (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    assert_int_equal (partition_of (&f)->pending, 5);
    bn_settlement_t settlement = up_to (&f, 3);
    settlement.handled = 4;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_OFFSET, "4 events handled");
    settlement.handled = 3;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    assert_int_equal (partition_of (&f)->floor, 3);
    assert_int_equal (partition_of (&f)->pending, 2);
    assert_int_equal (harness_actor (f.h, "a")->settled, 3);
    assert_int_equal (bn_state_needed_from (harness_state (f.h)), 3);
    settlement = up_to (&f, 5);
    settlement.handled = 2;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    assert_int_equal (bn_state_needed_from (harness_state (f.h)), 5);
    harness_destroy (f.h);
}

static void floors_do_not_go_back_nor_past_the_end (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    assert_int_equal (settle (&f, up_to (&f, 3)), BATON_OK);
    assert_refused (f.h, settle (&f, up_to (&f, 2)), BATON_ERR_OFFSET, "go back");
    assert_refused (f.h, settle (&f, up_to (&f, 6)), BATON_ERR_OFFSET, "past the end");
    assert_int_equal (partition_of (&f)->floor, 3);
    harness_destroy (f.h);
}

static void a_settle_that_comes_twice_is_refused (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    bn_settlement_t settlement = up_to (&f, 2);
    settlement.handled = 2;
    bn_section_t emitted = harness_section (f.h, "out", "x", 1);
    assert_int_equal (harness_settle (f.h, f.route, &settlement, &emitted, 1), BATON_OK);
    assert_refused (f.h, harness_settle (f.h, f.route, &settlement, &emitted, 1), BATON_ERR_OFFSET,
                    "settled already");
    assert_int_equal (harness_state (f.h)->tail, 6);
    /*  With a park that could be an update: it settles nothing, so it may not emit.  */
    bn_parked_t park = {.offset = 2, .attempts = 1, .key_hash = 1};
    settlement = up_to (&f, 3);
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (harness_settle (f.h, f.route, &settlement, &emitted, 1), BATON_OK);
    assert_refused (f.h, harness_settle (f.h, f.route, &settlement, &emitted, 1), BATON_ERR_OFFSET,
                    "settles none");
    harness_destroy (f.h);
}

static void generations_and_owners_are_checked (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    bn_settlement_t settlement = up_to (&f, 1);
    settlement.generation++;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_NOT_OWNER, "partition 0");
    settlement.partition = 7;
    assert_int_equal (settle (&f, settlement), BATON_ERR_PARTITION);
    uint64_t two = harness_instance (f.h, "a", "two", 2, "t");
    settlement = up_to (&f, 1);
    assert_refused (f.h, harness_settle (f.h, two, &settlement, NULL, 0), BATON_ERR_NOT_OWNER,
                    "two");
    uint64_t again = harness_instance (f.h, "a", "one", 1, "t");
    assert_refused (f.h, harness_settle (f.h, again, &settlement, NULL, 0), BATON_ERR_FENCED,
                    "generation 1");
    assert_int_equal (partition_of (&f)->floor, 0);
    harness_destroy (f.h);
}

/*  One partition is wrong: nothing of the other is taken either.  */
static void all_or_nothing (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t route = harness_instance (h, "a", "one", 1, "t");
    harness_event (h, "t", "x");
    bn_settlement_t settlements[2] = {harness_settlement (h, "a", 0, 1),
                                      harness_settlement (h, "a", 1, 2)};
    bn_section_t emitted = harness_section (h, "out", "x", 1);
    bn_message_t message = {.type = BN_SETTLE,
                            .settle = {.settlements = settlements,
                                       .settlement_count = 2,
                                       .sections = &emitted,
                                       .section_count = 1}};
    const reply_t *reply = harness_request (h, route, &message);
    assert_int_equal (reply->message.error.code, BATON_ERR_OFFSET);
    assert_int_equal (reply->message.error.detail, 1);
    settlements[1].floor = 1;
    emitted.partition = 1 - emitted.partition;
    assert_int_equal (harness_request (h, route, &message)->message.error.code, BATON_ERR_KEY);
    assert_int_equal (harness_records (h, BN_RECORD_SETTLE), 0);
    emitted.partition = 1 - emitted.partition;
    reply = harness_request (h, route, &message);
    assert_int_equal (reply->message.type, BN_SETTLED);
    assert_int_equal (reply->message.settled.base, 1);
    assert_int_equal (reply->message.settled.count, 1);
    harness_destroy (h);
}

static void parks_are_between_the_floors_and_dones_are_parked (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    bn_parked_t parks[2] = {{.offset = 1, .attempts = 1, .due_ms = 500, .key_hash = 9},
                            {.offset = 3, .attempts = 0, .key_hash = 9}};
    uint64_t dones[1] = {2};
    bn_settlement_t settlement = up_to (&f, 3);
    settlement.parks = parks;
    settlement.park_count = 2;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_OFFSET, "offset 3");
    settlement.floor = 4;
    settlement.handled = 4;
    parks[0].attempts = 6;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_ARGUMENT, "at most 5");
    parks[0].attempts = 1;
    settlement.dones = dones;
    settlement.done_count = 1;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_OFFSET, "not parked");
    settlement.done_count = 0;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    assert_int_equal (bn_map_count (partition_of (&f)->parked), 2);
    const bn_parked_t *parked = bn_map_get_u64 (partition_of (&f)->parked, 1);
    assert_int_equal (parked->due_ms, 1700000000ULL * 1000 + 500);
    assert_int_equal (harness_actor (f.h, "a")->settled, 2);
    assert_int_equal (harness_actor (f.h, "a")->retried, 1);
    /*  A new one below the floor is not possible, an update is.  */
    bn_parked_t update = {.offset = 2, .attempts = 1};
    settlement = up_to (&f, 4);
    settlement.parks = &update;
    settlement.park_count = 1;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_OFFSET, "offset 2");
    update = (bn_parked_t){.offset = 1, .attempts = 2, .due_ms = 1000, .key_hash = 9};
    dones[0] = 1;
    settlement.dones = dones;
    settlement.done_count = 1;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_OFFSET, "twice");
    dones[0] = 3;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    assert_int_equal (bn_map_count (partition_of (&f)->parked), 1);
    assert_int_equal (harness_actor (f.h, "a")->settled, 3);
    assert_int_equal (harness_actor (f.h, "a")->retried, 2);
    assert_int_equal (bn_state_needed_from (harness_state (f.h)), 1);
    harness_destroy (f.h);
}

static void parked_events_are_bounded (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.parked_max = 2;
    fixture_t f = begin (&options);
    bn_parked_t parks[3] = {
        {.offset = 0, .attempts = 1}, {.offset = 1, .attempts = 1}, {.offset = 2, .attempts = 1}};
    bn_settlement_t settlement = up_to (&f, 3);
    settlement.parks = parks;
    settlement.park_count = 3;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_LIMIT, "parked_max");
    settlement.park_count = 2;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    /*  At the bound: updates and a swap are possible, more is not.  */
    settlement = up_to (&f, 4);
    bn_parked_t one = {.offset = 3, .attempts = 1};
    settlement.parks = &one;
    settlement.park_count = 1;
    assert_int_equal (settle (&f, settlement), BATON_ERR_LIMIT);
    uint64_t done = 0;
    settlement.dones = &done;
    settlement.done_count = 1;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    harness_destroy (f.h);
}

static void emissions_are_appended_with_the_acknowledgement (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    harness_instance (f.h, "b", "reader", 9, "out");
    bn_section_t emitted[2] = {harness_section (f.h, "out", "x", 2),
                               harness_section (f.h, "$dead.b", "x", 1)};
    bn_settlement_t settlement = up_to (&f, 1);
    settlement.handled = 1;
    assert_refused (f.h, harness_settle (f.h, f.route, &settlement, emitted, 2), BATON_ERR_TOPIC,
                    "section 1");
    emitted[1] = harness_section (f.h, "$dead.a", "x", 1);
    assert_refused (f.h, harness_settle (f.h, f.route, &settlement, emitted, 2), BATON_ERR_ARGUMENT,
                    "more events");
    assert_int_equal (harness_settle (f.h, f.route, &settlement, emitted, 1), BATON_OK);
    assert_int_equal (harness_fanouts (f.h), 1);
    assert_int_equal (harness_actor (f.h, "b")->partitions[0].pending, 2);
    assert_int_equal (harness_state (f.h)->tail, 7);
    harness_destroy (f.h);
}

static void dead_letters_need_their_copies (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.dead_max = 2;
    fixture_t f = begin (&options);
    bn_parked_t park = {.offset = 0, .attempts = 1, .key_hash = bn_hash ("x", 1)};
    bn_settlement_t settlement = up_to (&f, 1);
    settlement.handled = 1;
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (settle (&f, settlement), BATON_OK);

    /*  One that is parked, one from the main line.  */
    bn_died_t died[3] = {
        {.offset = 0, .attempts = 5}, {.offset = 1, .attempts = 1}, {.offset = 2, .attempts = 1}};
    bn_section_t copies = harness_section (f.h, "$dead.a", "x", 2);
    settlement = up_to (&f, 2);
    settlement.handled = 1;
    settlement.died = died;
    settlement.died_count = 2;
    assert_refused (f.h, settle (&f, settlement), BATON_ERR_ARGUMENT, "no copy");
    assert_int_equal (harness_settle (f.h, f.route, &settlement, &copies, 1), BATON_OK);
    const bn_actor_state_t *actor = harness_actor (f.h, "a");
    assert_int_equal (bn_map_count (partition_of (&f)->parked), 0);
    assert_int_equal (bn_map_count (actor->dead), 2);
    const bn_dead_state_t *dead = bn_map_get_u64 (actor->dead, 5);
    assert_int_equal (dead->letter.offset, 0);
    assert_int_equal (dead->letter.attempts, 5);
    assert_int_equal (dead->letter.dead_offset, 5);
    assert_int_equal (dead->key_hash, bn_hash ("x", 1));
    dead = bn_map_get_u64 (actor->dead, 6);
    assert_int_equal (dead->letter.offset, 1);
    assert_int_equal (actor->died, 2);
    assert_int_equal (actor->settled, 2);
    assert_int_equal (bn_state_needed_from (harness_state (f.h)), 0);

    bn_section_t copy = harness_section (f.h, "$dead.a", "x", 1);
    settlement = up_to (&f, 2);
    settlement.died = died;
    settlement.died_count = 1;
    assert_refused (f.h, harness_settle (f.h, f.route, &settlement, &copy, 1), BATON_ERR_OFFSET,
                    "given up");
    settlement = up_to (&f, 3);
    settlement.died = died + 2;
    settlement.died_count = 1;
    assert_refused (f.h, harness_settle (f.h, f.route, &settlement, &copy, 1), BATON_ERR_LIMIT,
                    "dead_max");
    harness_destroy (f.h);
}

static void begin_is_journaled_once_and_checked (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    assert_int_equal (settle (&f, up_to (&f, 2)), BATON_OK);
    assert_refused (f.h, harness_begin (f.h, f.route, "a", 0, 1), BATON_ERR_OFFSET, "offset 1");
    assert_int_equal (harness_begin (f.h, f.route, "a", 0, 5), BATON_ERR_OFFSET);
    assert_int_equal (harness_begin (f.h, f.route, "a", 0, 2), BATON_OK);
    assert_int_equal (harness_begin (f.h, f.route, "a", 0, 2), BATON_OK);
    assert_int_equal (harness_records (f.h, BN_RECORD_BEGIN), 1);
    bn_message_t begin = {.type = BN_BEGIN, .begin = {.generation = 9, .offset = 2}};
    assert_int_equal (harness_request (f.h, f.route, &begin)->message.error.code,
                      BATON_ERR_NOT_OWNER);
    /*  Handled and to be tried again: its handler is over.  */
    bn_parked_t park = {.offset = 2, .attempts = 1};
    bn_settlement_t settlement = up_to (&f, 3);
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    assert_true (partition_of (&f)->begun == BN_NO_OFFSET);
    harness_destroy (f.h);
}

/*  What is not for the actor does not move its head; a floor beyond it means "all seen".  */
static void other_topics_do_not_count (void **state)
{
    (void)state;
    fixture_t f = begin (NULL);
    for (int event = 0; event < 3; event++)
        harness_event (f.h, "elsewhere", "x");
    assert_int_equal (partition_of (&f)->head, 5);
    bn_settlement_t settlement = up_to (&f, 8);
    settlement.handled = 5;
    assert_int_equal (settle (&f, settlement), BATON_OK);
    /*  Offsets past the head cannot have been delivered.  */
    harness_event (f.h, "elsewhere", "x");
    bn_parked_t park = {.offset = 8};
    settlement = up_to (&f, 9);
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (settle (&f, settlement), BATON_ERR_OFFSET);
    harness_destroy (f.h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_floor_moves_and_the_lag_is_exact),
        cmocka_unit_test (floors_do_not_go_back_nor_past_the_end),
        cmocka_unit_test (a_settle_that_comes_twice_is_refused),
        cmocka_unit_test (generations_and_owners_are_checked),
        cmocka_unit_test (all_or_nothing),
        cmocka_unit_test (parks_are_between_the_floors_and_dones_are_parked),
        cmocka_unit_test (parked_events_are_bounded),
        cmocka_unit_test (emissions_are_appended_with_the_acknowledgement),
        cmocka_unit_test (dead_letters_need_their_copies),
        cmocka_unit_test (begin_is_journaled_once_and_checked),
        cmocka_unit_test (other_topics_do_not_count),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
