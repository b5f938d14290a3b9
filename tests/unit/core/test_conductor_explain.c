/* SPDX-License-Identifier: MPL-2.0 */

#include "base/hash.h"
#include "core_test.h"
#include <inttypes.h>

static const bn_message_t *ask (harness_t *h, uint64_t route, uint32_t partition, uint64_t offset,
                                const char *key)
{
    bn_message_t message = {.type = BN_EXPLAIN,
                            .explain = {{"a", 1}, partition, offset, {key, strlen (key)}}};
    return &harness_request (h, route, &message)->message;
}

/*  What the only actor, "a", has with an event of the only partition.  */
static const bn_explained_t *explain (harness_t *h, uint64_t route, uint64_t offset,
                                      const char *key)
{
    const bn_message_t *reply = ask (h, route, 0, offset, key);
    assert_int_equal (reply->type, BN_EXPLAINED);
    return &reply->explained;
}

/*  Settles [0, floor) with what the settlement names.  */
static void settle (harness_t *h, uint64_t owner, bn_settlement_t settlement, bn_section_t *copies)
{
    settlement.handled = (uint32_t)settlement.floor;
    assert_int_equal (harness_settle (h, owner, &settlement, copies, copies ? 1 : 0), BATON_OK);
}

static void each_state_is_told_from_the_others (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    for (int index = 0; index < 4; index++)
        harness_event (h, "t", index == 2 ? "y" : "x");
    uint64_t now_ms = 5000;
    bn_parked_t park = {.offset = 2, .attempts = 3, .due_ms = now_ms, .key_hash = 1};
    bn_died_t died = {.offset = 1, .attempts = 4};
    bn_section_t copy = harness_section (h, "$dead.a", "x", 1);
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 3);
    settlement.parks = &park;
    settlement.park_count = 1;
    settlement.died = &died;
    settlement.died_count = 1;
    settle (h, owner, settlement, &copy);
    harness_pass (h, 2000);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);

    const bn_explained_t *it = explain (h, admin, 0, "x");
    assert_int_equal (it->state, BN_EVENT_SETTLED);
    assert_true (it->dead_offset == BN_NO_OFFSET);
    it = explain (h, admin, 1, "x");
    assert_int_equal (it->state, BN_EVENT_DEAD);
    assert_int_equal (it->attempts, 4);
    assert_int_equal (it->dead_offset, 4);
    assert_true (it->died_us > 0);
    it = explain (h, admin, 2, "y");
    assert_int_equal (it->state, BN_EVENT_PARKED);
    assert_int_equal (it->attempts, 3);
    assert_int_equal (it->due_ms, now_ms - 2000); /* from now, not from then */
    it = explain (h, admin, 3, "x");
    assert_int_equal (it->state, BN_EVENT_READY);
    assert_int_equal (it->attempts, 0);
    assert_true (it->elder == BN_NO_OFFSET);
    it = explain (h, admin, BN_NO_OFFSET, "x");
    assert_int_equal (it->state, BN_EVENT_NOT_ASKED);
    assert_int_equal (it->letter_count, 1);
    assert_int_equal (it->letters[0].offset, 1);
    assert_int_equal (it->waiting_count, 0);
    harness_destroy (h);
}

static void assert_reason (harness_t *h, uint64_t route, uint64_t offset, const char *expected)
{
    bn_text_t reason = explain (h, route, offset, "x")->reason;
    assert_int_equal (reason.size, strlen (expected));
    assert_memory_equal (reason.text, expected, reason.size);
}

static void the_reason_is_that_of_the_last_attempt (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    for (int index = 0; index < 3; index++)
        harness_event (h, "t", "x");
    bn_parked_t parks[2] = {{.offset = 0, .attempts = 1, .key_hash = 1, .reason = {"no stock", 8}},
                            {.offset = 1, .key_hash = 1}};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 2);
    settlement.parks = parks;
    settlement.park_count = 2;
    settle (h, owner, settlement, NULL);
    assert_reason (h, owner, 0, "no stock");
    assert_reason (h, owner, 1, "");
    assert_reason (h, owner, 2, "");

    parks[0].attempts = 2;
    parks[0].reason = (bn_text_t){"the bank is closed", 18};
    settlement.park_count = 1;
    assert_int_equal (harness_settle (h, owner, &settlement, NULL, 0), BATON_OK);
    assert_reason (h, owner, 0, "the bank is closed");
    parks[0].attempts = 3;
    parks[0].reason = (bn_text_t){"", 0}; /* of a client that tells none */
    assert_int_equal (harness_settle (h, owner, &settlement, NULL, 0), BATON_OK);
    assert_reason (h, owner, 0, "");
    harness_destroy (h);
}

static const char died[] = "the process died, or was taken for dead, while handling it";

/*  Dies with the event begun; the next instance is there.  */
static uint64_t die_with (harness_t *h, uint64_t owner, uint64_t offset, uint64_t incarnation)
{
    assert_int_equal (harness_begin (h, owner, "a", 0, offset), BATON_OK);
    harness_gone (h, owner);
    harness_pass (h, 60000);
    char name[32];
    snprintf (name, sizeof name, "again-%" PRIu64, incarnation);
    return harness_instance (h, "a", name, incarnation, "t");
}

static void a_death_and_a_deadline_are_reasons (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    for (int index = 0; index < 3; index++)
        harness_event (h, "t", "x");
    bn_parked_t park = {.offset = 0, .attempts = 1, .key_hash = 1, .reason = {"no stock", 8}};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    settlement.parks = &park;
    settlement.park_count = 1;
    settle (h, owner, settlement, NULL);
    owner = die_with (h, owner, 0, 2); /* parked */
    assert_reason (h, owner, 0, died);
    owner = die_with (h, owner, 1, 3); /* of the main line */
    assert_reason (h, owner, 1, died);
    assert_reason (h, owner, 0, died);
    assert_reason (h, owner, 2, "");

    /*  What is set aside behind an elder keeps the reason of the attempt that it had.  */
    bn_parked_t behind = {.offset = 1, .attempts = 1, .key_hash = 1};
    settlement = harness_settlement (h, "a", 0, 2);
    settlement.parks = &behind;
    settlement.park_count = 1;
    settlement.handled = 1;
    assert_int_equal (harness_settle (h, owner, &settlement, NULL, 0), BATON_OK);
    assert_reason (h, owner, 1, died);

    bn_message_t leave = {.type = BN_LEAVE, .leave = {BN_LEAVE_EXPIRED, 0, 2}};
    assert_int_equal (harness_request (h, owner, &leave)->message.type, BN_LEFT);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    const bn_actor_state_t *actor = bn_map_get_str (harness_state (h)->actors, "a");
    char expected[BN_PARKED_REASON_BYTES_MAX];
    snprintf (expected, sizeof expected,
              "the handler did not return within its deadline of %" PRIu32 " ms",
              actor->policy.handler_deadline_ms);
    assert_reason (h, admin, 2, expected);
    harness_destroy (h);
}

/*  A redrive begins anew.  */
static void what_is_redriven_has_no_reason_yet (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    harness_event (h, "t", "x");
    bn_parked_t park = {.offset = 0, .attempts = 1, .key_hash = 1, .reason = {"no stock", 8}};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    settlement.parks = &park;
    settlement.park_count = 1;
    settle (h, owner, settlement, NULL);
    bn_died_t death = {.offset = 0, .attempts = 2};
    bn_section_t copy = harness_section (h, "$dead.a", "x", 1);
    settlement = harness_settlement (h, "a", 0, 1);
    settlement.died = &death;
    settlement.died_count = 1;
    assert_int_equal (harness_settle (h, owner, &settlement, &copy, 1), BATON_OK);
    assert_reason (h, owner, 0, ""); /* it is in the copy */
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t redrive = {.type = BN_DEAD, .dead = {.op = BN_DEAD_REDRIVE, .actor = {"a", 1}}};
    assert_int_equal (harness_request (h, admin, &redrive)->message.type, BN_DEAD_REPLY);
    const bn_explained_t *it = explain (h, admin, 0, "x");
    assert_int_equal (it->state, BN_EVENT_PARKED);
    assert_int_equal (it->reason.size, 0);
    harness_destroy (h);
}

static void the_key_tells_who_waits_behind_whom (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    uint64_t key_hash = bn_hash ("x", 1);
    for (int index = 0; index < 5; index++)
        harness_event (h, "t", index == 1 ? "y" : "x");
    bn_parked_t parks[3] = {{.offset = 0, .attempts = 1, .due_ms = 1000, .key_hash = key_hash},
                            {.offset = 1, .attempts = 1, .due_ms = 9, .key_hash = bn_hash ("y", 1)},
                            {.offset = 3, .key_hash = key_hash}};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 4);
    settlement.parks = parks;
    settlement.park_count = 3;
    settle (h, owner, settlement, NULL);

    const bn_explained_t *it = explain (h, owner, 3, "x");
    assert_int_equal (it->state, BN_EVENT_PARKED);
    assert_int_equal (it->attempts, 0);
    assert_int_equal (it->elder, 0);
    assert_int_equal (it->waiting_count, 2);
    assert_int_equal (it->waiting[0].offset, 0);
    assert_int_equal (it->waiting[0].due_ms, 1000);
    assert_int_equal (it->waiting[1].offset, 3);
    assert_false (it->more);
    it = explain (h, owner, 0, "x");
    assert_true (it->elder == BN_NO_OFFSET);
    it = explain (h, owner, 4, "x"); /* not handled yet, and already behind another */
    assert_int_equal (it->state, BN_EVENT_READY);
    assert_int_equal (it->elder, 0);
    it = explain (h, owner, 3, ""); /* no key: behind nobody */
    assert_true (it->elder == BN_NO_OFFSET);
    assert_int_equal (it->waiting_count, 0);
    harness_destroy (h);
}

static void the_partition_tells_its_owner (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    harness_event (h, "t", "x");
    const bn_explained_t *it = explain (h, admin, 0, "x");
    assert_int_equal (it->instance.size, 3);
    assert_memory_equal (it->instance.text, "one", 3);
    assert_true (it->connected);
    assert_int_equal (it->generation, 1);
    assert_int_equal (it->ready, 1);
    assert_true (it->exact);
    assert_int_equal (it->floor, 0);
    assert_int_equal (it->head, 1);
    assert_true (it->begun == BN_NO_OFFSET);
    harness_gone (h, owner);
    it = explain (h, admin, 0, "x");
    assert_int_equal (it->instance.size, 3); /* it may come back */
    assert_false (it->connected);
    harness_pass (h, 60000);
    admin = harness_hello (h, BN_ROLE_ADMIN, 10);
    it = explain (h, admin, 0, "x");
    assert_int_equal (it->instance.size, 0);
    assert_true (it->careful_until > 0);
    harness_destroy (h);
}

static void a_crash_that_was_charged_counts (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    harness_event (h, "t", "x");
    harness_gone (h, owner);
    harness_pass (h, 60000);
    owner = harness_instance (h, "a", "two", 2, "t");
    assert_int_equal (harness_begin (h, owner, "a", 0, 0), BATON_OK);
    assert_int_equal (explain (h, owner, 0, "x")->begun, 0);
    harness_gone (h, owner);
    harness_pass (h, 60000);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    const bn_explained_t *it = explain (h, admin, 0, "x");
    assert_int_equal (it->state, BN_EVENT_READY);
    assert_int_equal (it->attempts, 1);
    harness_destroy (h);
}

static void what_does_not_exist_is_refused (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_int_equal (ask (h, admin, 0, 0, "x")->error.code, BATON_ERR_NOT_FOUND);
    harness_instance (h, "a", "one", 1, "t");
    assert_int_equal (ask (h, admin, 2, BN_NO_OFFSET, "x")->error.code, BATON_ERR_PARTITION);
    assert_int_equal (ask (h, admin, 1, 0, "x")->error.code, BATON_ERR_OFFSET);
    assert_int_equal (ask (h, admin, 1, BN_NO_OFFSET, "x")->type, BN_EXPLAINED);
    uint64_t producer = harness_hello (h, BN_ROLE_PRODUCER, 8);
    assert_int_equal (ask (h, producer, 1, 0, "x")->error.code, BATON_ERR_ARGUMENT);
    harness_destroy (h);
}

static void a_long_queue_is_cut_and_says_so (void **state)
{
    (void)state;
    enum { EVENTS = BN_EXPLAINED_MAX + 1 };
    bn_conductor_options_t options;
    harness_options (&options);
    options.parked_max = EVENTS;
    harness_t *h = harness_new (&options, 1);
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    uint64_t producer = harness_hello (h, BN_ROLE_PRODUCER, 8);
    bn_section_t section = harness_section (h, "t", "x", EVENTS);
    assert_int_equal (harness_publish (h, producer, 8, 1, &section, 1), BATON_OK);
    bn_parked_t *parks = calloc (EVENTS, sizeof *parks);
    if (!parks)
        fail ();
    for (uint32_t index = 0; index < EVENTS; index++)
        parks[index] = (bn_parked_t){.offset = index, .key_hash = bn_hash ("x", 1)};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, EVENTS);
    settlement.parks = parks;
    settlement.park_count = EVENTS;
    settle (h, owner, settlement, NULL);
    const bn_explained_t *it = explain (h, owner, BN_EXPLAINED_MAX, "x");
    assert_int_equal (it->waiting_count, BN_EXPLAINED_MAX);
    assert_true (it->more);
    assert_int_equal (it->elder, 0);
    assert_int_equal (it->parked, EVENTS);
    free (parks);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_state_is_told_from_the_others),
        cmocka_unit_test (the_reason_is_that_of_the_last_attempt),
        cmocka_unit_test (a_death_and_a_deadline_are_reasons),
        cmocka_unit_test (what_is_redriven_has_no_reason_yet),
        cmocka_unit_test (the_key_tells_who_waits_behind_whom),
        cmocka_unit_test (the_partition_tells_its_owner),
        cmocka_unit_test (a_crash_that_was_charged_counts),
        cmocka_unit_test (what_does_not_exist_is_refused),
        cmocka_unit_test (a_long_queue_is_cut_and_says_so),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
