/* SPDX-License-Identifier: MPL-2.0 */

#include "core_test.h"

static const reply_t *dead (harness_t *h, uint64_t route, bn_dead_op_t op, uint64_t *offsets,
                            uint32_t count, bool dry_run)
{
    bn_message_t message = {.type = BN_DEAD,
                            .dead = {.op = op,
                                     .actor = {"a", 1},
                                     .dry_run = dry_run,
                                     .count_max = 1000,
                                     .offsets = offsets,
                                     .offset_count = count}};
    return harness_request (h, route, &message);
}

static const bn_actor_partition_t *partition_of (harness_t *h)
{
    return &harness_actor (h, "a")->partitions[0];
}

static void list_pages (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    harness_bury (h, 5);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t message = {.type = BN_DEAD,
                            .dead = {.op = BN_DEAD_LIST, .actor = {"a", 1}, .count_max = 3}};
    const reply_t *reply = harness_request (h, admin, &message);
    assert_int_equal (reply->message.type, BN_DEAD_REPLY);
    assert_int_equal (reply->message.dead_reply.letter_count, 3);
    assert_true (reply->message.dead_reply.more);
    assert_int_equal (reply->message.dead_reply.letters[2].dead_offset, 7);
    assert_int_equal (reply->message.dead_reply.letters[2].offset, 2);
    assert_int_equal (reply->message.dead_reply.letters[2].attempts, 3);
    message.dead.from = 8;
    reply = harness_request (h, admin, &message);
    assert_int_equal (reply->message.dead_reply.letter_count, 2);
    assert_false (reply->message.dead_reply.more);
    message.dead.actor = (bn_text_t){"nobody", 6};
    assert_int_equal (harness_request (h, admin, &message)->message.error.code,
                      BATON_ERR_NOT_FOUND);
    harness_destroy (h);
}

static void redrive_parks_again_and_the_owner_learns_of_it (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_bury (h, 3);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    uint64_t some[3] = {5, 3, 5};
    const reply_t *reply = dead (h, admin, BN_DEAD_REDRIVE, some, 3, true);
    assert_int_equal (reply->message.dead_reply.affected, 2);
    assert_int_equal (harness_records (h, BN_RECORD_REDRIVE), 0);
    reply = dead (h, admin, BN_DEAD_REDRIVE, some, 3, false);
    assert_int_equal (reply->message.dead_reply.affected, 2);
    assert_int_equal (reply->message.dead_reply.letters[0].offset, 0);
    assert_int_equal (reply->message.dead_reply.letters[1].offset, 2);
    const bn_beat_t *beat = &harness_pushed (h, owner, 0)->message.beat;
    assert_true (beat->assignments[0].revoked);
    assert_int_equal (bn_map_count (partition_of (h)->parked), 2);
    assert_int_equal (bn_map_count (harness_actor (h, "a")->dead), 1);

    /*  Released, it comes back with the parked events: due now, no attempts charged.  */
    bn_settlement_t release = harness_settlement (h, "a", 0, partition_of (h)->floor);
    release.release = true;
    assert_int_equal (harness_settle (h, owner, &release, NULL, 0), BATON_OK);
    beat = &harness_pushed (h, owner, 0)->message.beat;
    assert_int_equal (beat->assignment_count, 1);
    assert_false (beat->assignments[0].revoked);
    assert_int_equal (beat->assignments[0].generation, 2);
    assert_int_equal (beat->assignments[0].parked_count, 2);
    assert_int_equal (beat->assignments[0].parked[0].offset, 0);
    assert_int_equal (beat->assignments[0].parked[0].attempts, 0);
    assert_int_equal (beat->assignments[0].parked[0].due_ms, 0);
    assert_true (beat->assignments[0].parked[0].key_hash != 0);
    assert_int_equal (beat->assignments[0].parked[1].offset, 2);

    /*  One that is not there: nothing is changed.  */
    uint64_t wrong[2] = {4, 5};
    reply = dead (h, admin, BN_DEAD_REDRIVE, wrong, 2, false);
    assert_int_equal (reply->message.error.code, BATON_ERR_NOT_FOUND);
    assert_int_equal (bn_map_count (harness_actor (h, "a")->dead), 1);
    harness_destroy (h);
}

static void redrive_of_all_respects_parked_max (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.parked_max = 2;
    harness_t *h = harness_new (&options, 1);
    harness_bury (h, 3);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    const reply_t *reply = dead (h, admin, BN_DEAD_REDRIVE, NULL, 0, false);
    assert_int_equal (reply->message.error.code, BATON_ERR_LIMIT);
    assert_int_equal (bn_map_count (harness_actor (h, "a")->dead), 3);
    uint64_t one = 4;
    assert_int_equal (dead (h, admin, BN_DEAD_REDRIVE, &one, 1, false)->message.type,
                      BN_DEAD_REPLY);
    harness_destroy (h);
}

static void discard_is_final (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    harness_bury (h, 3);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    uint64_t one = 4;
    assert_int_equal (dead (h, admin, BN_DEAD_DISCARD, &one, 1, false)->message.dead_reply.affected,
                      1);
    assert_int_equal (dead (h, admin, BN_DEAD_DISCARD, NULL, 0, false)->message.dead_reply.affected,
                      2);
    assert_int_equal (dead (h, admin, BN_DEAD_DISCARD, NULL, 0, false)->message.dead_reply.affected,
                      0);
    assert_int_equal (bn_map_count (partition_of (h)->parked), 0);
    assert_int_equal (harness_records (h, BN_RECORD_DISCARD), 2);
    assert_int_equal (bn_state_needed_from (harness_state (h)), 6);
    harness_destroy (h);
}

static void redrive_without_an_instance_waits_for_one (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    assert_int_equal (harness_leave (h, harness_bury (h, 2)), BATON_OK);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_int_equal (dead (h, admin, BN_DEAD_REDRIVE, NULL, 0, false)->message.dead_reply.affected,
                      2);
    harness_restart (h, true);
    harness_instance (h, "a", "two", 2, "t");
    assert_int_equal (bn_map_count (partition_of (h)->parked), 2);
    harness_destroy (h);
}

static void forget_needs_that_nobody_runs (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = harness_bury (h, 2);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t forget = {.type = BN_FORGET, .forget = {"a", 1}};
    assert_int_equal (harness_request (h, admin, &forget)->message.error.code, BATON_ERR_CONFLICT);
    uint64_t generation = partition_of (h)->generation;
    assert_int_equal (harness_leave (h, owner), BATON_OK);
    assert_int_equal (harness_request (h, admin, &forget)->message.type, BN_FORGOTTEN);
    assert_int_equal (harness_request (h, admin, &forget)->message.error.code, BATON_ERR_NOT_FOUND);
    assert_null (harness_actor (h, "a"));
    harness_event (h, "t", "x");
    assert_int_equal (harness_fanouts (h), 0);
    /*  The name may be used again, and is another actor then.  */
    harness_instance (h, "a", "one", 1, "t");
    assert_int_equal (harness_actor (h, "a")->id, 2);
    assert_int_equal (partition_of (h)->pending, 3);
    assert_true (partition_of (h)->generation > generation);
    harness_restart (h, true);
    harness_destroy (h);
}

/*  A reply lists as many as fit, and counts all.  */
static void many_are_redriven_at_once (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.dead_max = 1100;
    options.parked_max = 1100;
    options.message_bytes_max = 8 << 20;
    harness_t *h = harness_new (&options, 1);
    harness_bury (h, 1005);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    const reply_t *reply = dead (h, admin, BN_DEAD_DISCARD, NULL, 0, false);
    assert_int_equal (reply->message.dead_reply.affected, 1005);
    assert_int_equal (reply->message.dead_reply.letter_count, 1000);
    assert_true (reply->message.dead_reply.more);
    assert_int_equal (bn_map_count (harness_actor (h, "a")->dead), 0);
    harness_destroy (h);
}

static void one_that_nobody_has_run_since_the_start_is_forgotten (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    assert_int_equal (harness_leave (h, harness_bury (h, 2)), BATON_OK);
    harness_restart (h, false);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t forget = {.type = BN_FORGET, .forget = {"a", 1}};
    assert_int_equal (harness_request (h, admin, &forget)->message.type, BN_FORGOTTEN);
    assert_null (harness_actor (h, "a"));
    harness_restart (h, false);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (list_pages),
        cmocka_unit_test (redrive_parks_again_and_the_owner_learns_of_it),
        cmocka_unit_test (redrive_of_all_respects_parked_max),
        cmocka_unit_test (discard_is_final),
        cmocka_unit_test (redrive_without_an_instance_waits_for_one),
        cmocka_unit_test (forget_needs_that_nobody_runs),
        cmocka_unit_test (many_are_redriven_at_once),
        cmocka_unit_test (one_that_nobody_has_run_since_the_start_is_forgotten),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
