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

/*  Gives up the events [0, n) of topic "t": their copies are at [n, 2n).  */
static uint64_t bury (harness_t *h, uint64_t n)
{
    uint64_t route = harness_instance (h, "a", "one", 1, "t");
    bn_died_t died[100];
    for (uint64_t offset = 0; offset < n; offset++) {
        harness_event (h, "t", "x");
        died[offset] = (bn_died_t){.offset = offset, .attempts = 3};
    }
    bn_section_t copies = harness_section (h, "$dead.a", "x", (uint32_t)n);
    bn_settlement_t settlement = harness_settlement (h, "a", 0, n);
    settlement.handled = (uint32_t)n;
    settlement.died = died;
    settlement.died_count = (uint32_t)n;
    assert_int_equal (harness_settle (h, route, &settlement, &copies, 1), BATON_OK);
    return route;
}

static void list_pages (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    bury (h, 5);
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
    uint64_t owner = bury (h, 3);
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
    bury (h, 3);
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
    bury (h, 3);
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
    assert_int_equal (harness_leave (h, bury (h, 2)), BATON_OK);
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
    uint64_t owner = bury (h, 2);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t forget = {.type = BN_FORGET, .forget = {"a", 1}};
    assert_int_equal (harness_request (h, admin, &forget)->message.error.code, BATON_ERR_CONFLICT);
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
    harness_restart (h, true);
    harness_destroy (h);
}

/*  The value of a field of a map; fails if there is none.  */
static bn_mp_t field (bn_mp_t map, const char *name)
{
    uint32_t count = bn_mp_map (&map, 64, "map");
    for (uint32_t index = 0; index < count; index++) {
        size_t size;
        const char *key = bn_mp_str (&map, 64, &size, "key");
        if (bn_mp_ok (&map) && strlen (name) == size && memcmp (key, name, size) == 0)
            return map;
        bn_mp_skip (&map, 16);
    }
    fail_msg ("the status has no %s", name);
    return map;
}

static uint64_t number (bn_mp_t map, const char *name)
{
    bn_mp_t value = field (map, name);
    return bn_mp_uint (&value, UINT64_MAX, name);
}

static void status_tells_lag_parked_and_dead (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t owner = bury (h, 2);
    harness_event (h, "t", "x");
    harness_event (h, "t", "x");
    bn_parked_t park = {.offset = 4, .attempts = 1};
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 5);
    settlement.handled = 1;
    settlement.parks = &park;
    settlement.park_count = 1;
    assert_int_equal (harness_settle (h, owner, &settlement, NULL, 0), BATON_OK);
    harness_pass (h, 700);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t message = {.type = BN_STATUS};
    const reply_t *reply = harness_request (h, admin, &message);
    assert_int_equal (reply->message.type, BN_STATUS_REPLY);
    bn_mp_t map;
    bn_mp_init (&map, reply->message.status.data, reply->message.status.size);
    assert_int_equal (number (field (map, "orchestrator"), "tail"), 6);
    assert_int_equal (number (field (map, "orchestrator"), "producers"), 1);
    bn_mp_t actors = field (map, "actors");
    assert_int_equal (bn_mp_array (&actors, 10, "actors"), 1);
    assert_int_equal (number (actors, "lag"), 2);
    assert_int_equal (number (actors, "ready"), 1);
    assert_int_equal (number (actors, "parked"), 1);
    assert_int_equal (number (actors, "dead"), 2);
    assert_int_equal (number (actors, "died"), 2);
    assert_int_equal (number (actors, "retried"), 1);
    assert_int_equal (number (actors, "parked_most"), 1);
    assert_int_equal (number (actors, "busy_partitions"), 1);
    assert_int_equal (number (actors, "published"), 4);
    assert_int_equal (number (actors, "oldest_unsettled_offset"), 4);
    bn_mp_t instances = field (actors, "instances");
    assert_int_equal (bn_mp_array (&instances, 10, "instances"), 1);
    assert_int_equal (number (instances, "partitions"), 1);
    assert_int_equal (number (instances, "age_ms"), 700);
    bn_mp_t topics = field (map, "topics");
    assert_int_equal (bn_mp_array (&topics, 10, "topics"), 2);
    assert_int_equal (number (topics, "events"), 2); /* $dead.a sorts first */
    bn_mp_t truncated = field (map, "truncated");
    assert_false (bn_mp_bool (&truncated, "truncated"));
    harness_destroy (h);
}

/*  The only actor's part of a STATUS reply.  */
static bn_mp_t the_actor (harness_t *h, uint64_t admin)
{
    bn_message_t message = {.type = BN_STATUS};
    const reply_t *reply = harness_request (h, admin, &message);
    assert_int_equal (reply->message.type, BN_STATUS_REPLY);
    bn_mp_t map;
    bn_mp_init (&map, reply->message.status.data, reply->message.status.size);
    bn_mp_t actors = field (map, "actors");
    assert_int_equal (bn_mp_array (&actors, 10, "actors"), 1);
    return actors;
}

static void assert_load (harness_t *h, uint64_t admin, uint64_t published, uint64_t busy)
{
    bn_mp_t actor = the_actor (h, admin);
    assert_int_equal (number (actor, "published"), published);
    assert_int_equal (number (actor, "busy_partitions"), busy);
}

/*  What decides on more instances: a hot key keeps one partition busy, however much waits.  */
static void status_tells_published_and_busy_partitions (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    for (uint32_t index = 0; index < 3; index++)
        harness_event (h, "t", harness_key (h, 2, 0));
    harness_event (h, "other", "x");
    uint64_t owner = harness_instance (h, "a", "one", 1, "t");
    assert_load (h, admin, 3, 1);
    uint64_t last = harness_event (h, "t", harness_key (h, 0, 0));
    assert_load (h, admin, 4, 2);
    bn_settlement_t settlement = harness_settlement (h, "a", 0, last + 1);
    settlement.handled = 1;
    assert_int_equal (harness_settle (h, owner, &settlement, NULL, 0), BATON_OK);
    assert_load (h, admin, 4, 1);
    /*  After a restart too, from records and from a checkpoint.  */
    harness_restart (h, false);
    admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_load (h, admin, 4, 1);
    harness_restart (h, true);
    admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_load (h, admin, 4, 1);
    harness_destroy (h);
}

static void status_is_cut_to_fit (void **state)
{
    (void)state;
    bn_conductor_options_t options;
    harness_options (&options);
    options.message_bytes_max = 4096;
    harness_t *h = harness_new (&options, 1);
    char topic[64];
    for (int index = 0; index < 60; index++) {
        snprintf (topic, sizeof topic, "a.rather.long.topic.name.number.%02d", index);
        harness_event (h, topic, "x");
    }
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_message_t message = {.type = BN_STATUS};
    const reply_t *reply = harness_request (h, admin, &message);
    assert_int_equal (reply->message.type, BN_STATUS_REPLY);
    bn_mp_t map;
    bn_mp_init (&map, reply->message.status.data, reply->message.status.size);
    bn_mp_t topics = field (map, "topics");
    uint32_t count = bn_mp_array (&topics, 100, "topics");
    assert_true (count > 5 && count < 60);
    bn_mp_t truncated = field (map, "truncated");
    assert_true (bn_mp_bool (&truncated, "truncated"));
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
        cmocka_unit_test (status_tells_lag_parked_and_dead),
        cmocka_unit_test (status_tells_published_and_busy_partitions),
        cmocka_unit_test (status_is_cut_to_fit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
