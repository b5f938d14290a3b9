/* SPDX-License-Identifier: MPL-2.0 */

#include "base/prng.h"
#include "core_test.h"

static const bn_actor_partition_t *partition_of (harness_t *h, const char *actor, uint32_t index)
{
    return &harness_actor (h, actor)->partitions[index];
}

static const bn_assignment_t *entry_of (const bn_beat_t *beat, uint32_t partition)
{
    for (uint32_t index = 0; index < beat->assignment_count; index++)
        if (beat->assignments[index].partition == partition)
            return &beat->assignments[index];
    return NULL;
}

static void first_join_registers_and_gets_everything (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 8);
    harness_event (h, "orders.placed", "a");
    uint64_t route = harness_hello (h, BN_ROLE_ACTOR, 1);
    bn_text_t pattern = {"orders.*", 8};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"pay", 3},
                                  .instance = {"i-1", 3},
                                  .incarnation = 1,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .start = BN_START_BEGINNING,
                                  .policy = {3, 10, 20, 1000}}};
    const reply_t *reply = harness_request (h, route, &join);
    assert_int_equal (reply->message.type, BN_JOINED);
    assert_int_equal (reply->message.beat.assignment_count, 8);
    assert_int_equal (reply->message.beat.actor_id, 1);
    const bn_assignment_t *entry = entry_of (&reply->message.beat, harness_partition (h, "a"));
    assert_int_equal (entry->generation, 1);
    assert_int_equal (entry->floor, 0);
    assert_int_equal (entry->head, 1);
    /*  Where nothing waits the scan starts at the tail.  */
    entry = entry_of (&reply->message.beat, (harness_partition (h, "a") + 1) % 8);
    assert_int_equal (entry->floor, 1);
    assert_int_equal (harness_records (h, BN_RECORD_REGISTER), 1);
    assert_int_equal (harness_actor (h, "pay")->policy.max_attempts, 3);
    harness_destroy (h);
}

static void start_is_tail_beginning_or_offset (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    for (int event = 0; event < 5; event++)
        harness_event (h, "t", "a");
    harness_event (h, "other", "a");
    uint64_t route = harness_hello (h, BN_ROLE_ACTOR, 1);
    assert_int_equal (harness_join (h, route, "tail", "i", 1, "t", BN_START_TAIL), BATON_OK);
    assert_int_equal (partition_of (h, "tail", 0)->floor, 6);
    assert_int_equal (partition_of (h, "tail", 0)->pending, 0);
    assert_true (partition_of (h, "tail", 0)->exact);
    harness_instance (h, "all", "i", 1, "t");
    assert_int_equal (partition_of (h, "all", 0)->floor, 0);
    assert_int_equal (partition_of (h, "all", 0)->pending, 5);
    assert_true (partition_of (h, "all", 0)->exact);
    bn_text_t pattern = {"t", 1};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"some", 4},
                                  .instance = {"i", 1},
                                  .incarnation = 1,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .start = BN_START_OFFSET,
                                  .start_offset = 3,
                                  .policy = {3, 10, 20, 1000}}};
    route = harness_hello (h, BN_ROLE_ACTOR, 1);
    assert_int_equal (harness_request (h, route, &join)->message.type, BN_JOINED);
    assert_int_equal (partition_of (h, "some", 0)->floor, 3);
    assert_false (partition_of (h, "some", 0)->exact);
    assert_true (partition_of (h, "some", 0)->pending >= 2);
    bn_settlement_t settlement = harness_settlement (h, "some", 0, 5);
    settlement.handled = 2;
    assert_int_equal (harness_settle (h, route, &settlement, NULL, 0), BATON_OK);
    assert_true (partition_of (h, "some", 0)->exact);
    assert_int_equal (partition_of (h, "some", 0)->pending, 0);
    harness_destroy (h);
}

/*  What retention lets go, also what it is about to, is promised to nobody who comes later.  */
static void new_actor_starts_above_what_is_let_go (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    for (int event = 0; event < 5; event++)
        harness_event (h, "t", "a");
    harness_trimmed (h, 2);
    harness_instance (h, "all", "i", 1, "t");
    assert_int_equal (partition_of (h, "all", 0)->floor, 2);
    assert_int_equal (partition_of (h, "all", 0)->pending, 3);
    assert_false (partition_of (h, "all", 0)->exact);
    harness_trimmed (h, 9); /* never past the tail */
    harness_instance (h, "none", "i", 1, "t");
    assert_int_equal (partition_of (h, "none", 0)->floor, 5);
    assert_int_equal (partition_of (h, "none", 0)->pending, 0);
    harness_destroy (h);
}

static void second_instance_gets_half_by_revoke_and_release (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 8);
    uint64_t first = harness_instance (h, "a", "one", 1, "t");
    uint64_t second = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_int_equal (harness_join (h, second, "a", "two", 2, "t", BN_START_TAIL), BATON_OK);
    /*  Nothing moves before it is released; the owner is told.  */
    assert_int_equal (harness_owned (h, "a", "one"), 8);
    const reply_t *push = harness_pushed (h, first, 0);
    assert_int_equal (push->message.type, BN_BEAT);
    assert_int_equal (push->message.request, 0);
    uint32_t revoked[8];
    uint32_t count = 0;
    for (uint32_t index = 0; index < 8; index++)
        if (push->message.beat.assignments[index].revoked)
            revoked[count++] = push->message.beat.assignments[index].partition;
    assert_int_equal (count, 4);
    /*  What it handled meanwhile is still taken.  */
    uint64_t tail = harness_state (h)->tail;
    bn_settlement_t settlement = harness_settlement (h, "a", revoked[0], tail);
    settlement.release = true;
    assert_int_equal (harness_settle (h, first, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (harness_owned (h, "a", "two"), 1);
    assert_int_equal (partition_of (h, "a", revoked[0])->generation, 2);
    push = harness_pushed (h, second, 0);
    assert_int_equal (push->message.type, BN_BEAT);
    assert_int_equal (push->message.beat.assignment_count, 1);
    assert_int_equal (push->message.beat.assignments[0].generation, 2);
    /*  Released is released.  */
    settlement.generation = 1;
    assert_refused (h, harness_settle (h, first, &settlement, NULL, 0), BATON_ERR_FENCED, "over");
    assert_int_equal (harness_error_detail (h), revoked[0]);
    settlement.generation = 2;
    assert_int_equal (harness_settle (h, first, &settlement, NULL, 0), BATON_ERR_NOT_OWNER);
    harness_release_revoked (h, first, "a");
    assert_int_equal (harness_owned (h, "a", "one"), 4);
    assert_int_equal (harness_owned (h, "a", "two"), 4);
    harness_destroy (h);
}

static void heartbeat_tells_heads_and_a_changed_assignment (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t route = harness_instance (h, "a", "one", 1, "t");
    harness_event (h, "t", "x");
    bn_message_t heartbeat = {.type = BN_HEARTBEAT, .heartbeat = {.version = UINT64_MAX}};
    const reply_t *reply = harness_request (h, route, &heartbeat);
    assert_true (reply->message.beat.assignments_set);
    uint64_t version = reply->message.beat.version;
    heartbeat.heartbeat.version = version;
    reply = harness_request (h, route, &heartbeat);
    assert_false (reply->message.beat.assignments_set);
    assert_int_equal (reply->message.beat.tail, 1);
    assert_int_equal (reply->message.beat.head_count, 4);
    for (uint32_t index = 0; index < 4; index++)
        assert_int_equal (
            reply->message.beat.heads[index].value,
            reply->message.beat.heads[index].partition == harness_partition (h, "x") ? 1 : 0);
    harness_instance (h, "a", "two", 2, "t");
    reply = harness_request (h, route, &heartbeat);
    assert_true (reply->message.beat.assignments_set);
    assert_true (reply->message.beat.version > version);
    harness_destroy (h);
}

static void leave_blames_nobody (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t offset = harness_event (h, "t", "x");
    uint32_t partition = harness_partition (h, "x");
    assert_int_equal (harness_begin (h, one, "a", partition, offset), BATON_OK);
    assert_int_equal (harness_leave (h, one), BATON_OK);
    const bn_actor_partition_t *known = partition_of (h, "a", partition);
    assert_true (known->begun == BN_NO_OFFSET);
    assert_int_equal (known->careful_until, 0);
    assert_int_equal (bn_map_count (known->charged), 0);
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 0);
    assert_string_equal (known->instance, "");
    assert_int_equal (harness_heartbeat (h, one), BATON_ERR_NO_SESSION);
    /*  Nobody's partitions are nobody's after a restart: no ghost holds them.  */
    harness_restart (h, false);
    harness_instance (h, "a", "two", 2, "t");
    assert_int_equal (harness_owned (h, "a", "two"), 4);
    harness_destroy (h);
}

static void expired_handler_is_charged (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t offset = harness_event (h, "t", "x");
    harness_event (h, "t", "x");
    bn_message_t leave = {.type = BN_LEAVE,
                          .leave = {.reason = BN_LEAVE_EXPIRED, .offset = offset}};
    assert_int_equal (harness_request (h, one, &leave)->message.type, BN_LEFT);
    const bn_actor_partition_t *known = partition_of (h, "a", 0);
    assert_int_equal (bn_map_count (known->charged), 1);
    assert_int_equal (((bn_charged_t *)bn_map_get_u64 (known->charged, offset))->attempts, 1);
    assert_int_equal (known->careful_until, 0);
    assert_int_equal (harness_join (h, one, "a", "one", 1, "t", BN_START_TAIL), BATON_OK);
    /*  An offset that is not there, or a partition that does not exist, harms nobody.  */
    leave.leave.offset = 99;
    assert_int_equal (harness_request (h, one, &leave)->message.error.code, BATON_ERR_OFFSET);
    assert_int_equal (bn_map_count (partition_of (h, "a", 0)->charged), 1);
    leave.leave.partition = 9;
    assert_int_equal (harness_request (h, one, &leave)->message.error.code, BATON_ERR_PARTITION);
    harness_destroy (h);
}

/*  G6: the first death leaves the partition careful and charges nobody; the second one names the
 *  culprit, and not what was prefetched behind it.  */
static void only_the_begun_event_is_charged (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t poison = harness_event (h, "t", "x");
    harness_event (h, "t", "y");
    harness_event (h, "t", "z");
    harness_gone (h, one);
    harness_pass (h, 2999);
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 0);
    harness_pass (h, 1);
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 1);
    assert_int_equal (partition_of (h, "a", 0)->careful_until, 3);
    assert_int_equal (bn_map_count (partition_of (h, "a", 0)->charged), 0);

    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    harness_event (h, "t", "later");
    assert_int_equal (harness_begin (h, two, "a", 0, poison), BATON_OK);
    harness_gone (h, two);
    harness_pass (h, 3000);
    const bn_actor_partition_t *known = partition_of (h, "a", 0);
    assert_int_equal (bn_map_count (known->charged), 1);
    assert_int_equal (((bn_charged_t *)bn_map_get_u64 (known->charged, poison))->attempts, 1);
    assert_int_equal (known->careful_until, 3);
    assert_true (known->begun == BN_NO_OFFSET);

    /*  The next owner is told, gets past them one by one, and is careful no longer.  */
    uint64_t three = harness_hello (h, BN_ROLE_ACTOR, 3);
    bn_text_t pattern = {"t", 1};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"a", 1},
                                  .instance = {"three", 5},
                                  .incarnation = 3,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .policy = {5, 100, 1000, 30000}}};
    const reply_t *reply = harness_request (h, three, &join);
    const bn_assignment_t *entry = entry_of (&reply->message.beat, 0);
    assert_int_equal (entry->careful_until, 3);
    assert_int_equal (entry->charged_count, 1);
    assert_int_equal (entry->charged[0].offset, poison);
    for (uint64_t offset = 0; offset < 3; offset++) {
        assert_int_equal (partition_of (h, "a", 0)->careful_until, 3);
        assert_int_equal (harness_begin (h, three, "a", 0, offset), BATON_OK);
        assert_true (partition_of (h, "a", 0)->begun == offset);
        bn_settlement_t settlement = harness_settlement (h, "a", 0, offset + 1);
        settlement.handled = 1;
        assert_int_equal (harness_settle (h, three, &settlement, NULL, 0), BATON_OK);
        assert_true (partition_of (h, "a", 0)->begun == BN_NO_OFFSET);
    }
    assert_int_equal (partition_of (h, "a", 0)->careful_until, 0);
    assert_int_equal (bn_map_count (partition_of (h, "a", 0)->charged), 0);
    harness_destroy (h);
}

/*  A parked event that kills its handler must be caught too, though the floor is past it.  */
static void parked_poison_is_caught (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t poison = harness_event (h, "t", "x");
    bn_parked_t park = {.offset = poison, .attempts = 1, .due_ms = 0, .key_hash = 5};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 1);
    settlement.handled = 1;
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_OK);
    harness_gone (h, one);
    harness_pass (h, 3000);
    assert_int_equal (partition_of (h, "a", 0)->careful_until, 1);

    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    harness_event (h, "t", "other");
    settlement = harness_settlement (h, "a", 0, 2);
    settlement.handled = 1;
    assert_int_equal (harness_settle (h, two, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (partition_of (h, "a", 0)->careful_until, 1);
    assert_int_equal (harness_begin (h, two, "a", 0, poison), BATON_OK);
    harness_gone (h, two);
    harness_pass (h, 3000);
    const bn_parked_t *parked = bn_map_get_u64 (partition_of (h, "a", 0)->parked, poison);
    assert_int_equal (parked->attempts, 2);

    uint64_t three = harness_instance (h, "a", "three", 3, "t");
    assert_int_equal (harness_begin (h, three, "a", 0, poison), BATON_OK);
    settlement = harness_settlement (h, "a", 0, 2);
    settlement.dones = &poison;
    settlement.done_count = 1;
    assert_int_equal (harness_settle (h, three, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (partition_of (h, "a", 0)->careful_until, 0);
    harness_destroy (h);
}

static void reconnect_keeps_partitions_in_new_generations (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t old = harness_instance (h, "a", "one", 1, "t");
    uint64_t other = harness_instance (h, "a", "two", 2, "t");
    harness_release_revoked (h, old, "a");
    uint64_t offset = harness_event (h, "t", "x");
    uint32_t partition = harness_partition (h, "x");
    bn_settlement_t stale = harness_settlement (h, "a", partition, offset + 1);
    bool first_has_it = strcmp (partition_of (h, "a", partition)->instance, "one") == 0;
    uint64_t owner = first_has_it ? old : other;
    assert_int_equal (harness_begin (h, owner, "a", partition, offset), BATON_OK);
    harness_gone (h, owner);
    harness_pass (h, 1000);
    uint64_t fresh =
        harness_instance (h, "a", first_has_it ? "one" : "two", first_has_it ? 1 : 2, "t");
    assert_int_equal (harness_owned (h, "a", "one"), 2);
    assert_int_equal (harness_owned (h, "a", "two"), 2);
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 0);
    assert_true (partition_of (h, "a", partition)->generation > stale.generation);
    /*  Its handler may still be running.  */
    assert_true (partition_of (h, "a", partition)->begun == offset);
    assert_int_equal (harness_settle (h, fresh, &stale, NULL, 0), BATON_ERR_FENCED);
    bn_settlement_t settlement = harness_settlement (h, "a", partition, offset + 1);
    assert_int_equal (harness_settle (h, fresh, &settlement, NULL, 0), BATON_OK);
    /*  Without a GONE as well; the old connection is told to say HELLO and JOIN.  */
    uint64_t again = harness_instance (h, "a", "one", 1, "t");
    assert_true (again != fresh);
    assert_int_equal (harness_heartbeat (h, first_has_it ? fresh : old), BATON_ERR_NO_SESSION);
    assert_int_equal (harness_owned (h, "a", "one"), 2);
    harness_destroy (h);
}

static void a_new_process_takes_the_name_and_the_old_one_is_fenced (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t old = harness_instance (h, "a", "one", 1, "t");
    uint64_t offset = harness_event (h, "t", "x");
    uint32_t partition = harness_partition (h, "x");
    bn_settlement_t late = harness_settlement (h, "a", partition, offset + 1);
    uint64_t fresh = harness_instance (h, "a", "one", 2, "t");
    assert_int_equal (harness_owned (h, "a", "one"), 4);
    assert_int_equal (partition_of (h, "a", partition)->incarnation, 2);
    assert_int_equal (partition_of (h, "a", partition)->careful_until, offset + 1);
    assert_int_equal (harness_heartbeat (h, old), BATON_ERR_FENCED);
    assert_int_equal (harness_settle (h, old, &late, NULL, 0), BATON_ERR_FENCED);
    /*  Also when it comes back on another connection, and after the new one has died.  */
    uint64_t again = harness_hello (h, BN_ROLE_ACTOR, 1);
    assert_int_equal (harness_join (h, again, "a", "one", 1, "t", BN_START_TAIL), BATON_ERR_FENCED);
    harness_gone (h, fresh);
    harness_pass (h, 3000);
    assert_int_equal (harness_join (h, again, "a", "one", 1, "t", BN_START_TAIL), BATON_ERR_FENCED);
    fresh = harness_instance (h, "a", "one", 2, "t");
    assert_int_equal (harness_heartbeat (h, fresh), BATON_OK);
    harness_destroy (h);
}

static void silence_is_death (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    harness_event (h, "t", "x");
    for (int second = 0; second < 9; second++) {
        harness_pass (h, 1000);
        assert_int_equal (harness_heartbeat (h, two), BATON_OK);
    }
    assert_int_equal (harness_owned (h, "a", "one"), 4);
    harness_pass (h, 1000);
    assert_int_equal (harness_owned (h, "a", "two"), 4);
    assert_int_equal (harness_pushed (h, two, 0)->message.type, BN_BEAT);
    assert_int_equal (harness_heartbeat (h, one), BATON_ERR_NO_SESSION);
    /*  It was only slow: it may join again.  */
    assert_int_equal (harness_join (h, one, "a", "one", 1, "t", BN_START_TAIL), BATON_OK);
    harness_destroy (h);
}

/*  Stopped and continued: what the others said meanwhile is still unread.  */
static void a_pause_of_the_orchestrator_is_not_the_silence_of_others (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 8);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    harness_gone (h, two);
    harness_pause (h, 3600 * 1000);
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 0);
    assert_int_equal (harness_owned (h, "a", "one") + harness_owned (h, "a", "two"), 8);
    assert_int_equal (harness_heartbeat (h, one), BATON_OK);
    /*  Their time goes on from there.  */
    harness_event (h, "t", "x");
    harness_pass (h, 60 * 1000);
    assert_int_equal (harness_owned (h, "a", "one") + harness_owned (h, "a", "two"), 0);
    harness_destroy (h);
}

static void owners_have_time_to_come_back_after_a_restart (void **state)
{
    (void)state;
    for (int from_copy = 0; from_copy < 2; from_copy++) {
        harness_t *h = harness_new (NULL, 4);
        uint64_t one = harness_instance (h, "a", "one", 1, "t");
        uint64_t two = harness_instance (h, "a", "two", 2, "t");
        harness_release_revoked (h, one, "a");
        harness_event (h, "t", "x");
        uint64_t generation = partition_of (h, "a", 0)->generation;
        harness_restart (h, from_copy);
        assert_int_equal (harness_heartbeat (h, one), BATON_ERR_NO_SESSION);
        uint64_t three = harness_instance (h, "a", "three", 3, "t");
        assert_int_equal (harness_owned (h, "a", "three"), 0);
        assert_int_equal (partition_of (h, "a", 0)->generation, generation);
        harness_pass (h, 5000);
        assert_int_equal (harness_heartbeat (h, three), BATON_OK);
        one = harness_instance (h, "a", "one", 1, "t");
        assert_int_equal (harness_owned (h, "a", "one"), 2);
        harness_pass (h, 5000);
        /*  "two" did not: its events are handled carefully by others.  */
        assert_int_equal (harness_owned (h, "a", "two"), 0);
        harness_release_revoked (h, one, "a");
        assert_int_equal (harness_owned (h, "a", "one") + harness_owned (h, "a", "three"), 4);
        assert_int_equal (harness_owned (h, "a", "one"), 2);
        (void)two;
        harness_destroy (h);
    }
}

/*  Random joins, leaves, deaths, reconnects: even to within one once everything revoked has been
 *  released, one owner a partition, generations only rise.  */
static void assignment_is_even_sticky_and_never_double (void **state)
{
    (void)state;
    const uint64_t seed = 20240607;
    bn_prng_t prng;
    bn_prng_init (&prng, seed);
    harness_t *h = harness_new (NULL, 32);
    uint64_t routes[40] = {0};
    uint64_t generations[32] = {0};
    char name[16];
    for (int round = 0; round < 300; round++) {
        uint32_t who = (uint32_t)bn_prng_below (&prng, 40);
        snprintf (name, sizeof name, "i%02u", who);
        if (!routes[who])
            routes[who] = harness_instance (h, "a", name, who + 1, "t");
        else if (bn_prng_below (&prng, 3) == 0)
            routes[who] = harness_instance (h, "a", name, who + 1, "t");
        else if (bn_prng_below (&prng, 2)) {
            assert_int_equal (harness_leave (h, routes[who]), BATON_OK);
            routes[who] = 0;
        } else {
            harness_gone (h, routes[who]);
            routes[who] = 0;
            for (uint32_t other = 0; other < 40; other++)
                if (routes[other])
                    harness_heartbeat (h, routes[other]);
            harness_pass (h, 3000);
        }
        for (uint32_t partition = 0; partition < 32; partition++) {
            uint64_t generation = partition_of (h, "a", partition)->generation;
            assert_true (generation >= generations[partition]);
            generations[partition] = generation;
        }
        if (bn_prng_below (&prng, 4))
            continue; /* let a few changes overlap */
        for (int pass = 0; pass < 2; pass++)
            for (uint32_t other = 0; other < 40; other++)
                if (routes[other])
                    harness_release_revoked (h, routes[other], "a");
        uint32_t least = UINT32_MAX;
        uint32_t most = 0;
        uint32_t sum = 0;
        for (uint32_t other = 0; other < 40; other++) {
            if (!routes[other])
                continue;
            snprintf (name, sizeof name, "i%02u", other);
            uint32_t owned = harness_owned (h, "a", name);
            least = owned < least ? owned : least;
            most = owned > most ? owned : most;
            sum += owned;
        }
        if (sum && (sum != 32 || most - least > 1))
            fail_msg ("seed %llu round %d: %u to %u partitions, %u in all",
                      (unsigned long long)seed, round, least, most, sum);
    }
    harness_destroy (h);
}

/*  One that joins takes only what it needs; one that leaves disturbs nobody else's partitions.  */
static void as_little_as_possible_moves (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 32);
    uint64_t routes[4];
    const char *names[] = {"i0", "i1", "i2", "i3"};
    for (uint32_t who = 0; who < 3; who++) {
        routes[who] = harness_instance (h, "a", names[who], who + 1, "t");
        for (uint32_t other = 0; other < who; other++)
            harness_release_revoked (h, routes[other], "a");
    }
    char before[32][BATON_NAME_BYTES_MAX + 1];
    for (uint32_t partition = 0; partition < 32; partition++)
        strcpy (before[partition], partition_of (h, "a", partition)->instance);
    routes[3] = harness_instance (h, "a", names[3], 4, "t");
    for (uint32_t other = 0; other < 3; other++)
        harness_release_revoked (h, routes[other], "a");
    uint32_t moved = 0;
    for (uint32_t partition = 0; partition < 32; partition++) {
        const char *now = partition_of (h, "a", partition)->instance;
        if (strcmp (now, before[partition]) == 0)
            continue;
        assert_string_equal (now, "i3");
        moved++;
    }
    assert_int_equal (moved, 8);
    assert_int_equal (harness_leave (h, routes[3]), BATON_OK);
    for (uint32_t other = 0; other < 3; other++)
        harness_release_revoked (h, routes[other], "a");
    assert_true (harness_owned (h, "a", "i0") >= 10 && harness_owned (h, "a", "i2") >= 10);
    harness_destroy (h);
}

static void actors_and_policies_are_limited (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.actors_max = 1;
    harness_t *h = harness_new (&options, 2);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    assert_refused (h, harness_join (h, one, "a", "other", 1, "t", BN_START_TAIL),
                    BATON_ERR_ARGUMENT, "a/one");
    uint64_t two = harness_hello (h, BN_ROLE_ACTOR, 2);
    assert_refused (h, harness_join (h, two, "b", "one", 2, "t", BN_START_TAIL), BATON_ERR_LIMIT,
                    "actors_max");
    bn_text_t pattern = {"t", 1};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"a", 1},
                                  .instance = {"i", 1},
                                  .incarnation = 2,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .policy = {3, 100, 20, 1000}}};
    assert_int_equal (harness_request (h, two, &join)->message.error.code, BATON_ERR_MALFORMED);
    join.join.policy.backoff_max_ms = 200;
    assert_int_equal (harness_request (h, two, &join)->message.type, BN_JOINED);
    assert_int_equal (harness_actor (h, "a")->policy.backoff_max_ms, 200);
    harness_destroy (h);
}

static void expire (harness_t *h, uint64_t route, uint32_t partition, uint64_t offset)
{
    bn_message_t leave = {
        .type = BN_LEAVE,
        .leave = {.reason = BN_LEAVE_EXPIRED, .partition = partition, .offset = offset}};
    assert_int_equal (harness_request (h, route, &leave)->message.type, BN_LEFT);
}

/*  Only what may have been in a handler of the one that says so is charged.  */
static void what_cannot_have_expired_is_not_charged (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.parked_max = 2;
    harness_t *h = harness_new (&options, 2);
    const bn_actor_partition_t *known;
    uint64_t life = 1;
    uint64_t route = harness_instance (h, "a", "one", life, "t");
    for (uint32_t event = 0; event < 10; event++)
        harness_event (h, event < 6 ? "t" : "other", harness_key (h, 0, 0));
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 2);
    assert_int_equal (harness_settle (h, route, &settlement, NULL, 0), BATON_OK);
    known = partition_of (h, "a", 0);
    expire (h, route, 0, 1); /* it is settled */
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 0);
    route = harness_instance (h, "a", "one", ++life, "t");
    expire (h, route, 0, 8); /* it is no event of the actor */
    assert_int_equal (harness_records (h, BN_RECORD_SUSPECT), 0);
    for (uint64_t offset = 2; offset < 6; offset++) { /* as many as are remembered (G7) */
        route = harness_instance (h, "a", "one", ++life, "t");
        expire (h, route, 0, offset);
        assert_int_equal (bn_map_count (known->charged), offset < 4 ? offset - 1 : 2);
    }
    route = harness_instance (h, "a", "one", ++life, "t"); /* one that is known is charged on */
    expire (h, route, 0, 3);
    assert_int_equal (((bn_charged_t *)bn_map_get_u64 (known->charged, 3))->attempts, 2);
    /*  A begun event beyond that is not charged either when its instance dies.  */
    route = harness_instance (h, "a", "one", ++life, "t");
    assert_int_equal (harness_begin (h, route, "a", 0, 5), BATON_OK);
    harness_gone (h, route);
    harness_pass (h, 3000);
    assert_true (known->begun == BN_NO_OFFSET);
    assert_null (bn_map_get_u64 (known->charged, 5));
    harness_destroy (h);
}

static void what_others_have_in_hand_is_not_charged (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    harness_instance (h, "a", "two", 2, "t");
    harness_release_revoked (h, one, "a");
    uint32_t others = strcmp (partition_of (h, "a", 0)->instance, "two") == 0 ? 0 : 1;
    uint64_t offset = harness_event (h, "t", harness_key (h, others, 0));
    expire (h, one, others, offset);
    assert_int_equal (bn_map_count (partition_of (h, "a", others)->charged), 0);
    harness_destroy (h);
}

static void a_start_past_the_end_is_the_end (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    harness_event (h, "t", "x");
    bn_text_t pattern = {"t", 1};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"a", 1},
                                  .instance = {"one", 3},
                                  .incarnation = 1,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .start = BN_START_OFFSET,
                                  .start_offset = 1000,
                                  .policy = {5, 100, 1000, 30000}}};
    uint64_t route = harness_hello (h, BN_ROLE_ACTOR, 1);
    assert_int_equal (harness_request (h, route, &join)->message.type, BN_JOINED);
    assert_int_equal (partition_of (h, "a", 0)->floor, 1);
    assert_true (partition_of (h, "a", 0)->exact);
    harness_destroy (h);
}

/*  Those that run are never sent away for one that wants to.  */
static void instances_fill_the_sessions (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.sessions_max = 2;
    harness_t *h = harness_new (&options, 2);
    harness_instance (h, "a", "one", 1, "t");
    harness_instance (h, "a", "two", 2, "t");
    bn_message_t hello = {.type = BN_HELLO,
                          .hello = {.role = BN_ROLE_ADMIN, .name = {"late", 4}, .incarnation = 3}};
    const reply_t *reply = harness_request (h, 99, &hello);
    assert_int_equal (reply->message.error.code, BATON_ERR_LIMIT);
    assert_true (reply->message.error.retriable);
    assert_non_null (strstr (harness_error_text (h), "sessions_max"));
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (first_join_registers_and_gets_everything),
        cmocka_unit_test (start_is_tail_beginning_or_offset),
        cmocka_unit_test (new_actor_starts_above_what_is_let_go),
        cmocka_unit_test (second_instance_gets_half_by_revoke_and_release),
        cmocka_unit_test (heartbeat_tells_heads_and_a_changed_assignment),
        cmocka_unit_test (leave_blames_nobody),
        cmocka_unit_test (expired_handler_is_charged),
        cmocka_unit_test (only_the_begun_event_is_charged),
        cmocka_unit_test (parked_poison_is_caught),
        cmocka_unit_test (reconnect_keeps_partitions_in_new_generations),
        cmocka_unit_test (a_new_process_takes_the_name_and_the_old_one_is_fenced),
        cmocka_unit_test (silence_is_death),
        cmocka_unit_test (a_pause_of_the_orchestrator_is_not_the_silence_of_others),
        cmocka_unit_test (owners_have_time_to_come_back_after_a_restart),
        cmocka_unit_test (assignment_is_even_sticky_and_never_double),
        cmocka_unit_test (as_little_as_possible_moves),
        cmocka_unit_test (actors_and_policies_are_limited),
        cmocka_unit_test (what_cannot_have_expired_is_not_charged),
        cmocka_unit_test (what_others_have_in_hand_is_not_charged),
        cmocka_unit_test (a_start_past_the_end_is_the_end),
        cmocka_unit_test (instances_fill_the_sessions),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
