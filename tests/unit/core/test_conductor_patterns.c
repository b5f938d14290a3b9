/* SPDX-License-Identifier: MPL-2.0 */

/*  An actor comes with other patterns than it is registered with.  */

#include "core_test.h"

static const bn_actor_partition_t *partition_of (harness_t *h, const char *actor, uint32_t index)
{
    return &harness_actor (h, actor)->partitions[index];
}

static void narrower_patterns_conflict_while_events_wait (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t u");
    harness_event (h, "t", "x");
    assert_int_equal (harness_leave (h, one), BATON_OK);
    uint64_t two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_refused (h, harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_ERR_CONFLICT,
                    "1 events wait");
    assert_int_equal (harness_join (h, two, "a", "two", 2, "t u", BN_START_TAIL), BATON_OK);
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    assert_int_equal (harness_settle (h, two, &settlement, NULL, 0), BATON_OK);
    /*  Nothing waits, but somebody still takes them.  */
    uint64_t three = harness_hello (h, BN_ROLE_ACTOR, 3);
    assert_refused (h, harness_join (h, three, "a", "three", 3, "u", BN_START_TAIL),
                    BATON_ERR_CONFLICT, "instance two");
    assert_int_equal (harness_leave (h, two), BATON_OK);
    assert_int_equal (harness_join (h, three, "a", "three", 3, "u", BN_START_TAIL), BATON_OK);
    harness_event (h, "t", "x");
    assert_int_equal (partition_of (h, "a", 0)->pending, 0);
    harness_destroy (h);
}

/*  An instance that was started with fewer topics must not step over those it does not know.  */
static void wider_patterns_make_older_instances_give_way (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    harness_event (h, "u", "x");
    uint64_t offset = harness_event (h, "t", "x");
    uint32_t partition = harness_partition (h, "x");
    uint64_t wide = harness_instance (h, "a", "wide", 2, "t u");
    uint64_t later = harness_event (h, "u", "x");
    bn_settlement_t settlement = harness_settlement (h, "a", partition, later + 1);
    assert_refused (h, harness_settle (h, old, &settlement, NULL, 0), BATON_ERR_FENCED, "patterns");
    settlement.floor = offset + 1;
    settlement.handled = 1;
    settlement.release = true;
    assert_int_equal (harness_settle (h, old, &settlement, NULL, 0), BATON_OK);
    settlement = harness_settlement (h, "a", 1 - partition, 0);
    settlement.release = true;
    assert_int_equal (harness_settle (h, old, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_owned (h, "a", "wide"), 2);
    assert_int_equal (partition_of (h, "a", partition)->head, later + 1);
    settlement = harness_settlement (h, "a", partition, later + 1);
    assert_int_equal (harness_settle (h, wide, &settlement, NULL, 0), BATON_OK);
    /*  Restarted with the new topics it gets its share again.  */
    uint64_t fresh = harness_instance (h, "a", "old", 3, "t u");
    harness_release_revoked (h, wide, "a");
    assert_int_equal (harness_owned (h, "a", "old"), 1);
    (void)fresh;
    harness_destroy (h);
}

static void narrower_patterns_wait_for_parked_events (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t u");
    uint64_t offset = harness_event (h, "t", "x");
    bn_parked_t park = {.offset = offset, .attempts = 1};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, offset + 1);
    settlement.handled = 1;
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_leave (h, one), BATON_OK);
    harness_restart (h, true); /* nobody has joined since */
    uint64_t two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_refused (h, harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_ERR_CONFLICT,
                    "1 events wait");
    assert_int_equal (harness_join (h, two, "a", "two", 2, "t u", BN_START_TAIL), BATON_OK);
    settlement = harness_settlement (h, "a", 0, offset + 1);
    settlement.dones = &park.offset;
    settlement.done_count = 1;
    assert_int_equal (harness_settle (h, two, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_leave (h, two), BATON_OK);
    harness_restart (h, true);
    two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_int_equal (harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_OK);
    harness_destroy (h);
}

/*  How many wait is not known exactly: that some do is.  */
static void narrower_patterns_wait_though_none_are_counted (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    for (int event = 0; event < 4; event++)
        harness_event (h, event % 3 == 0 ? "t" : "other", "x");
    uint64_t one = harness_instance (h, "a", "one", 1, "t u");
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 3);
    settlement.handled = 3; /* of which two were not its own */
    assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (partition_of (h, "a", 0)->pending, 0);
    assert_int_equal (harness_leave (h, one), BATON_OK);
    uint64_t two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_refused (h, harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_ERR_CONFLICT,
                    "1 events wait");
    harness_destroy (h);
}

/*  Wider twice; one instance is away, one releases and leaves while nobody may have its share.  */
static void older_instances_give_way_to_nobody (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    uint64_t away = harness_instance (h, "a", "away", 2, "t");
    harness_release_revoked (h, old, "a");
    harness_gone (h, away);
    uint64_t wide = harness_instance (h, "a", "wide", 3, "t u");
    assert_int_equal (harness_leave (h, wide), BATON_OK);
    uint64_t wider = harness_instance (h, "a", "wider", 4, "t u v");
    assert_int_equal (harness_leave (h, wider), BATON_OK);
    harness_release_revoked (h, old, "a");
    assert_int_equal (harness_owned (h, "a", "old"), 0);
    assert_int_equal (harness_leave (h, old), BATON_OK);
    harness_pass (h, 3000); /* the one that is away does not come back */
    assert_int_equal (harness_owned (h, "a", "away"), 0);
    harness_instance (h, "a", "last", 5, "t u v");
    assert_int_equal (harness_owned (h, "a", "last"), 2);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (narrower_patterns_conflict_while_events_wait),
        cmocka_unit_test (wider_patterns_make_older_instances_give_way),
        cmocka_unit_test (narrower_patterns_wait_for_parked_events),
        cmocka_unit_test (narrower_patterns_wait_though_none_are_counted),
        cmocka_unit_test (older_instances_give_way_to_nobody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
