/* SPDX-License-Identifier: MPL-2.0 */

/*  An actor comes with other patterns than it is registered with.  */

#include "core_test.h"

static const bn_actor_partition_t *partition_of (harness_t *h, const char *actor, uint32_t index)
{
    return &harness_actor (h, actor)->partitions[index];
}

/*  What a push or JOINED says of a partition; NULL: it is not the instance's.  */
static const bn_assignment_t *told (const reply_t *reply, uint32_t partition)
{
    assert_non_null (reply);
    for (uint32_t i = 0; i < reply->message.beat.assignment_count; i++)
        if (reply->message.beat.assignments[i].partition == partition)
            return &reply->message.beat.assignments[i];
    return NULL;
}

static const reply_t *fetch (harness_t *h, uint64_t route, uint64_t from, uint32_t wait_ms)
{
    bn_fetch_t one = {.generation = partition_of (h, "a", 0)->generation, .from = from};
    bn_message_t message = {
        .type = BN_FETCH,
        .fetch = {.wait_ms = wait_ms, .bytes_max = 4096, .partitions = &one, .partition_count = 1}};
    return harness_request (h, route, &message);
}

static baton_err_t settle_to (harness_t *h, uint64_t route, uint64_t floor, uint32_t handled)
{
    bn_settlement_t settlement = harness_settlement (h, "a", 0, floor);
    settlement.handled = handled;
    return harness_settle (h, route, &settlement, NULL, 0);
}

/*  Events 0 (t) and 1 (u) wait when an instance comes that knows u and v.  */
static void what_waits_stays_with_those_who_know_it (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t u");
    harness_event (h, "t", "x");
    harness_event (h, "u", "x");
    uint64_t new = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_int_equal (harness_join (h, new, "a", "new", 2, "u v", BN_START_TAIL), BATON_OK);
    const bn_assignment_t *assignment = told (harness_pushed (h, old, 0), 0);
    assert_int_equal (assignment->until, 2);
    assert_false (assignment->revoked);
    assert_int_equal (harness_owned (h, "a", "new"), 0);
    assert_int_equal (partition_of (h, "a", 0)->pending, 2);

    /*  From here on t is nobody's, and v is.  */
    harness_event (h, "t", "x");
    harness_event (h, "u", "x");
    harness_event (h, "v", "x");
    assert_int_equal (partition_of (h, "a", 0)->pending, 4);
    const reply_t *reply = fetch (h, old, 0, 0);
    assert_int_equal (reply->read->upto, 2);
    assert_int_equal (reply->read->former_until, 2);
    assert_int_equal (reply->read->former_count, 2);
    assert_memory_equal (reply->read->patterns[reply->read->pattern_count].text, "t", 1);
    reply = fetch (h, old, 2, 0);
    assert_null (reply->read);
    assert_int_equal (reply->message.events.scanned_to, 2);
    assert_true (reply->message.events.at_tail);

    assert_refused (h, settle_to (h, old, 4, 4), BATON_ERR_FENCED, "patterns");
    assert_int_equal (settle_to (h, old, 1, 1), BATON_OK);
    assert_null (harness_pushed (h, old, 0));
    assert_int_equal (settle_to (h, old, 2, 1), BATON_OK);
    assignment = told (harness_pushed (h, old, 0), 0);
    assert_true (assignment->revoked);
    harness_release_revoked (h, old, "a");
    assert_int_equal (harness_owned (h, "a", "new"), 1);
    assert_int_equal (partition_of (h, "a", 0)->pending, 2);
    reply = fetch (h, new, 2, 0);
    assert_int_equal (reply->read->upto, 5);
    assert_int_equal (reply->read->former_until, 0); /* nothing older is asked for */
    assert_int_equal (settle_to (h, new, 5, 2), BATON_OK);
    harness_destroy (h);
}

/*  What waits in a FETCH is woken by nothing from behind the cut, and told of nothing.  */
static void an_older_instance_waits_for_nothing_newer (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t u");
    bn_parked_t park = {.offset = harness_event (h, "t", "x"), .attempts = 1};
    harness_event (h, "t", "x");
    harness_instance (h, "a", "new", 2, "u");
    assert_null (fetch (h, old, 2, 1000));
    harness_event (h, "u", "x");
    assert_null (harness_pushed (h, old, 0));
    harness_pass (h, 1000);
    const reply_t *reply = harness_pushed (h, old, 0);
    assert_int_equal (reply->message.type, BN_EVENTS);
    assert_int_equal (reply->message.events.scanned_to, 2);
    /*  What is parked goes with the partition.  */
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 2);
    settlement.handled = 2;
    settlement.parks = &park;
    settlement.park_count = 1;
    settlement.release = true;
    assert_int_equal (harness_settle (h, old, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_owned (h, "a", "new"), 1);
    harness_destroy (h);
}

/*  Nobody knows t any more: that comes to dead letters, if there is room for them.  */
static void what_nobody_knows_needs_room_among_the_dead (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.dead_max = 2;
    harness_t *h = harness_new (&options, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t u");
    for (int event = 0; event < 3; event++)
        harness_event (h, "t", "x");
    for (int event = 0; event < 5; event++)
        harness_event (h, "u", "x"); /* these the new ones know */
    assert_int_equal (harness_leave (h, one), BATON_OK);
    uint64_t two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_refused (h, harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_ERR_CONFLICT,
                    "up to 3 events");
    assert_int_equal (harness_join (h, two, "a", "two", 2, "t u v", BN_START_TAIL), BATON_OK);
    assert_int_equal (settle_to (h, two, 1, 1), BATON_OK);
    assert_int_equal (harness_leave (h, two), BATON_OK);
    two = harness_hello (h, BN_ROLE_ACTOR, 3);
    /*  Of what waits from before that, too.  */
    assert_refused (h, harness_join (h, two, "a", "two", 3, "u", BN_START_TAIL), BATON_ERR_CONFLICT,
                    "wait");
    harness_destroy (h);

    options.dead_max = 3;
    h = harness_new (&options, 1);
    one = harness_instance (h, "a", "one", 1, "t u");
    for (int event = 0; event < 3; event++)
        harness_event (h, "t", "x");
    harness_gone (h, one); /* it may come back, and is not there */
    two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_int_equal (harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_OK);
    assert_int_equal (harness_owned (h, "a", "two"), 0);
    harness_pass (h, 3000);
    assert_int_equal (harness_owned (h, "a", "two"), 1);
    const reply_t *reply = fetch (h, two, 0, 0);
    assert_int_equal (reply->read->former_until, 3);
    harness_destroy (h);
}

static void parked_events_need_room_among_the_dead (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.dead_max = 0;
    harness_t *h = harness_new (&options, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t u");
    bn_parked_t park = {.offset = harness_event (h, "t", "x"), .attempts = 1};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    settlement.handled = 1;
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_leave (h, one), BATON_OK);
    harness_restart (h, true); /* nobody has joined since */
    uint64_t two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_refused (h, harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_ERR_CONFLICT,
                    "up to 1 events");
    assert_int_equal (harness_join (h, two, "a", "two", 2, "t u", BN_START_TAIL), BATON_OK);
    settlement = harness_settlement (h, "a", 0, 1);
    settlement.dones = &park.offset;
    settlement.done_count = 1;
    assert_int_equal (harness_settle (h, two, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_leave (h, two), BATON_OK);
    harness_restart (h, true);
    two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_int_equal (harness_join (h, two, "a", "two", 2, "u", BN_START_TAIL), BATON_OK);
    harness_destroy (h);
}

/*  One change at a time; meanwhile those with the former patterns may still come, to help.  */
static void a_second_change_waits_for_the_first (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    harness_event (h, "t", "x");
    harness_event (h, "t", "x");
    uint64_t new = harness_instance (h, "a", "new", 2, "u");
    uint64_t other = harness_hello (h, BN_ROLE_ACTOR, 3);
    assert_refused (h, harness_join (h, other, "a", "other", 3, "v", BN_START_TAIL),
                    BATON_ERR_CONFLICT, "2 events from before wait");
    /*  The old process is started again, with what it was built with.  */
    assert_int_equal (harness_leave (h, old), BATON_OK);
    assert_int_equal (harness_owned (h, "a", "new"), 1); /* nobody else was there */
    assert_int_equal (harness_leave (h, new), BATON_OK);
    old = harness_instance (h, "a", "old", 4, "t");
    assert_int_equal (harness_owned (h, "a", "old"), 1);
    new = harness_instance (h, "a", "new", 5, "u");
    assert_int_equal (harness_owned (h, "a", "new"), 0);
    assert_int_equal (settle_to (h, old, 2, 2), BATON_OK);
    harness_release_revoked (h, old, "a");
    assert_int_equal (harness_owned (h, "a", "new"), 1);
    /*  Done: the next change is free, and back only when nobody runs with the present ones.  */
    uint64_t back = harness_hello (h, BN_ROLE_ACTOR, 6);
    assert_refused (h, harness_join (h, back, "a", "back", 6, "t", BN_START_TAIL),
                    BATON_ERR_CONFLICT, "stop it first");
    assert_int_equal (harness_join (h, other, "a", "other", 3, "v", BN_START_TAIL), BATON_OK);
    assert_int_equal (harness_actor (h, "a")->former_until, 2);
    assert_string_equal (harness_actor (h, "a")->former[0], "u");
    harness_destroy (h);
}

/*  A process that was there before the change is known by its incarnation.  */
static void an_older_process_that_comes_back_changes_nothing (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    harness_instance (h, "a", "new", 2, "u");
    harness_release_revoked (h, old, "a");
    harness_gone (h, old);
    harness_pass (h, 3000);
    old = harness_instance (h, "a", "old", 1, "t");
    assert_string_equal (harness_actor (h, "a")->patterns[0], "u");
    assert_int_equal (harness_owned (h, "a", "new"), 1);
    assert_int_equal (harness_owned (h, "a", "old"), 0);
    harness_destroy (h);
}

/*  Back to the former patterns when the others have gone: who still runs with them goes on.  */
static void who_has_the_patterns_that_come_back_goes_on (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    uint64_t new = harness_instance (h, "a", "new", 2, "u");
    assert_int_equal (harness_leave (h, new), BATON_OK);
    harness_instance (h, "a", "back", 3, "t");
    assert_string_equal (harness_actor (h, "a")->patterns[0], "t");
    harness_event (h, "t", "x");
    harness_release_revoked (h, old, "a");
    assert_int_equal (harness_owned (h, "a", "old"), 1);
    assert_int_equal (harness_owned (h, "a", "back"), 1);
    harness_destroy (h);
}

/*  The new build is no more, and does not come back: the former one, which is still there, goes on.
 */
static void the_former_patterns_come_back_when_nobody_has_others (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    uint64_t new = harness_instance (h, "a", "new", 2, "u");
    harness_release_revoked (h, old, "a");
    assert_int_equal (harness_leave (h, new), BATON_OK);
    harness_event (h, "u", "x");
    for (int seconds = 0; seconds < 9; seconds++) {
        assert_int_equal (harness_heartbeat (h, old), BATON_OK);
        harness_pass (h, 1000);
    }
    /*  It was there again for a moment: they wait anew.  */
    new = harness_instance (h, "a", "new", 3, "u");
    assert_int_equal (harness_leave (h, new), BATON_OK);
    for (int seconds = 0; seconds < 10; seconds++) { /* session_timeout_ms */
        assert_int_equal (harness_heartbeat (h, old), BATON_OK);
        assert_string_equal (harness_actor (h, "a")->patterns[0], "u");
        harness_pass (h, 1000);
    }
    assert_int_equal (harness_heartbeat (h, old), BATON_OK);
    assert_string_equal (harness_actor (h, "a")->patterns[0], "t");
    assert_int_equal (harness_owned (h, "a", "old"), 1);
    assert_int_equal (fetch (h, old, 0, 0)->read->former_until, 1); /* with u, to be given up */
    harness_destroy (h);
}

/*  They know what the new build had parked: it needs no room among the dead letters.  */
static void former_patterns_that_know_all_need_no_room_among_the_dead (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.dead_max = 0;
    harness_t *h = harness_new (&options, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t u");
    uint64_t new = harness_instance (h, "a", "new", 2, "t");
    harness_release_revoked (h, old, "a");
    bn_parked_t park = {.offset = harness_event (h, "t", "x"), .attempts = 1};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    settlement.handled = 1;
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (harness_settle (h, new, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_leave (h, new), BATON_OK);
    for (int seconds = 0; seconds <= 10; seconds++) { /* session_timeout_ms */
        assert_int_equal (harness_actor (h, "a")->pattern_count, 1);
        assert_int_equal (harness_heartbeat (h, old), BATON_OK);
        harness_pass (h, 1000);
    }
    assert_int_equal (harness_actor (h, "a")->pattern_count, 2);
    assert_int_equal (harness_owned (h, "a", "old"), 1);
    harness_destroy (h);
}

/*  The orchestrator ends in the middle.  */
static void the_cut_survives_a_restart (void **state)
{
    (void)state;
    for (int from_copy = 0; from_copy < 2; from_copy++) {
        harness_t *h = harness_new (NULL, 1);
        harness_instance (h, "a", "old", 1, "t");
        harness_event (h, "t", "x");
        harness_event (h, "t", "x");
        harness_instance (h, "a", "new", 2, "u");
        harness_event (h, "u", "x");
        harness_restart (h, from_copy);
        harness_instance (h, "a", "new", 2, "u");
        assert_int_equal (harness_owned (h, "a", "old"), 1); /* it may come back */
        uint64_t old = harness_instance (h, "a", "old", 1, "t");
        assert_string_equal (harness_actor (h, "a")->patterns[0], "u");
        assert_int_equal (fetch (h, old, 0, 0)->read->upto, 2);
        assert_refused (h, settle_to (h, old, 3, 3), BATON_ERR_FENCED, "patterns");
        assert_int_equal (settle_to (h, old, 2, 2), BATON_OK);
        harness_release_revoked (h, old, "a");
        assert_int_equal (harness_owned (h, "a", "new"), 1);
        harness_destroy (h);
    }
}

/*  Whoever takes over after a death gets what nobody else can drain; another one that can is asked
 *  first.  */
static void what_is_to_be_drained_goes_to_those_who_can (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    harness_release_revoked (h, one, "a");
    harness_event (h, "t", harness_key (h, 0, 1));
    harness_event (h, "t", harness_key (h, 1, 1));
    harness_instance (h, "a", "new", 3, "u");
    assert_int_equal (harness_leave (h, one), BATON_OK);
    assert_int_equal (harness_owned (h, "a", "two"), 2);
    assert_int_equal (harness_owned (h, "a", "new"), 0);
    /*  A new build under the name of the last one who could.  */
    (void)two;
    harness_instance (h, "a", "two", 4, "u");
    assert_int_equal (harness_owned (h, "a", "two") + harness_owned (h, "a", "new"), 2);
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
        cmocka_unit_test (what_waits_stays_with_those_who_know_it),
        cmocka_unit_test (an_older_instance_waits_for_nothing_newer),
        cmocka_unit_test (what_nobody_knows_needs_room_among_the_dead),
        cmocka_unit_test (parked_events_need_room_among_the_dead),
        cmocka_unit_test (a_second_change_waits_for_the_first),
        cmocka_unit_test (an_older_process_that_comes_back_changes_nothing),
        cmocka_unit_test (who_has_the_patterns_that_come_back_goes_on),
        cmocka_unit_test (the_former_patterns_come_back_when_nobody_has_others),
        cmocka_unit_test (former_patterns_that_know_all_need_no_room_among_the_dead),
        cmocka_unit_test (the_cut_survives_a_restart),
        cmocka_unit_test (what_is_to_be_drained_goes_to_those_who_can),
        cmocka_unit_test (wider_patterns_make_older_instances_give_way),
        cmocka_unit_test (older_instances_give_way_to_nobody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
