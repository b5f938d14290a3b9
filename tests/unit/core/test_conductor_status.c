/* SPDX-License-Identifier: MPL-2.0 */

/*  What STATUS tells.  */

#include "core_test.h"

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
    uint64_t owner = harness_bury (h, 2);
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
    assert_int_equal (number (the_actor (h, admin), "ready_most"), 3);
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

static uint64_t count_of (bn_mp_t map, const char *name)
{
    bn_mp_t list = field (map, name);
    return bn_mp_array (&list, 1000, name);
}

static bool is_nil (bn_mp_t map, const char *name)
{
    bn_mp_t value = field (map, name);
    return value.at < value.end && *value.at == 0xc0;
}

static bool is_true (bn_mp_t map, const char *name)
{
    bn_mp_t value = field (map, name);
    bool set = bn_mp_bool (&value, name);
    assert_true (bn_mp_ok (&value));
    return set;
}

/*  Nobody runs, and nobody has since the start.  */
static void status_of_an_actor_that_does_not_run (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    assert_int_equal (harness_leave (h, one), BATON_OK);
    harness_restart (h, true);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    bn_mp_t actor = the_actor (h, admin);
    assert_int_equal (count_of (actor, "instances"), 0);
    assert_int_equal (number (actor, "in_flight"), 0);
    assert_int_equal (number (actor, "lag"), 0);
    assert_true (is_true (actor, "lag_exact"));
    assert_true (is_nil (actor, "oldest_unsettled_offset"));
    uint64_t offset = harness_event (h, "t", "x");
    actor = the_actor (h, admin);
    assert_int_equal (number (actor, "lag"), 1);
    assert_int_equal (number (actor, "oldest_unsettled_offset"), offset);
    harness_destroy (h);
}

/*  One that has not come back yet: its partitions are kept, and nobody knows how old it is.  */
static void status_of_an_instance_that_is_away (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    harness_instance (h, "a", "one", 1, "t");
    harness_restart (h, false);
    bn_mp_t actor = the_actor (h, harness_hello (h, BN_ROLE_ADMIN, 9));
    bn_mp_t instances = field (actor, "instances");
    assert_int_equal (bn_mp_array (&instances, 10, "instances"), 1);
    assert_int_equal (number (instances, "partitions"), 2);
    assert_false (is_true (instances, "connected"));
    assert_true (is_nil (instances, "age_ms"));
    harness_destroy (h);
}

/*  Who starts in the middle does not know how many wait until it has caught up, partition by
 *  partition.  */
static void status_tells_a_lag_that_is_not_exact (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 3);
    for (uint32_t partition = 0; partition < 3; partition++)
        for (int event = 0; event < 2; event++)
            harness_event (h, "t", harness_key (h, partition, 0)); /* 0 1, 2 3, 4 5 */
    uint64_t one = harness_hello (h, BN_ROLE_ACTOR, 1);
    bn_text_t pattern = {"t", 1};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"a", 1},
                                  .instance = {"one", 3},
                                  .incarnation = 1,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .start = BN_START_OFFSET,
                                  .start_offset = 1,
                                  .policy = {5, 100, 1000, 30000}}};
    assert_int_equal (harness_request (h, one, &join)->message.type, BN_JOINED);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_false (is_true (the_actor (h, admin), "lag_exact"));
    for (uint32_t partition = 0; partition < 3; partition++) {
        bn_settlement_t settlement = harness_settlement (h, "a", partition, 6);
        assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_OK);
        bool last = partition == 2;
        assert_int_equal (is_true (the_actor (h, admin), "lag_exact"), last);
    }
    assert_int_equal (number (the_actor (h, admin), "lag"), 0);
    harness_destroy (h);
}

/*  The oldest of what is parked and what is not, whichever partition it is in.  */
static void status_tells_the_oldest_and_who_is_careful (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 3);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    for (uint32_t event = 0; event < 6; event++)
        harness_event (h, "t", harness_key (h, event % 3, 0)); /* 0 3, 1 4, 2 5 */
    for (uint32_t partition = 3; partition-- > 0;) {
        bn_parked_t park = {.offset = partition + 3, .attempts = 1};
        bn_settlement_t settlement = harness_settlement (h, "a", partition, 6);
        settlement.handled = 2;
        settlement.parks = &park;
        settlement.park_count = partition == 1 ? 0 : 1;
        assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_OK);
        assert_int_equal (number (the_actor (h, admin), "oldest_unsettled_offset"),
                          partition == 0 ? 3 : 0);
    }
    assert_int_equal (number (the_actor (h, admin), "lag"), 2);
    assert_int_equal (number (the_actor (h, admin), "careful_partitions"), 0);
    harness_gone (h, one);
    harness_pass (h, 3000);
    assert_int_equal (number (the_actor (h, admin), "careful_partitions"), 2);
    harness_destroy (h);
}

static void status_tells_what_waits_for_the_older_build (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t old = harness_instance (h, "a", "old", 1, "t");
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_int_equal (number (the_actor (h, admin), "former_until"), 0);
    for (int event = 0; event < 3; event++)
        harness_event (h, "t", "x");
    harness_instance (h, "a", "new", 2, "u");
    harness_event (h, "u", "x");
    assert_int_equal (number (the_actor (h, admin), "ready"), 4);
    assert_int_equal (number (the_actor (h, admin), "to_drain"), 3);
    assert_int_equal (number (the_actor (h, admin), "former_until"), 3);
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 2);
    settlement.handled = 2;
    assert_int_equal (harness_settle (h, old, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (number (the_actor (h, admin), "to_drain"), 1);
    settlement = harness_settlement (h, "a", 0, 3);
    settlement.handled = 1;
    assert_int_equal (harness_settle (h, old, &settlement, NULL, 0), BATON_OK);
    assert_int_equal (number (the_actor (h, admin), "to_drain"), 0);
    assert_int_equal (number (the_actor (h, admin), "ready"), 1);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (status_tells_lag_parked_and_dead),
        cmocka_unit_test (status_tells_published_and_busy_partitions),
        cmocka_unit_test (status_is_cut_to_fit),
        cmocka_unit_test (status_of_an_actor_that_does_not_run),
        cmocka_unit_test (status_of_an_instance_that_is_away),
        cmocka_unit_test (status_tells_a_lag_that_is_not_exact),
        cmocka_unit_test (status_tells_the_oldest_and_who_is_careful),
        cmocka_unit_test (status_tells_what_waits_for_the_older_build),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
