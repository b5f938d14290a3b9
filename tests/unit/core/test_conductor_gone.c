/* SPDX-License-Identifier: MPL-2.0 */

/*  GONE: who started an instance's process says that it has ended. No time passes here.  */

#include "core_test.h"

static uint32_t report (harness_t *h, uint64_t admin, const char *actor, const char *instance,
                        uint64_t incarnation)
{
    bn_message_t gone = {.type = BN_GONE,
                         .gone = {.actor = {actor, strlen (actor)},
                                  .instance = {instance, strlen (instance)},
                                  .incarnation = incarnation}};
    const reply_t *reply = harness_request (h, admin, &gone);
    assert_int_equal (reply->message.type, BN_GONE_REPLY);
    return reply->message.gone_reply.count;
}

static void its_partitions_go_to_others_at_once (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    harness_release_revoked (h, one, "a");
    assert_int_equal (harness_owned (h, "a", "one"), 2);
    assert_int_equal (report (h, admin, "a", "one", 1), 1);
    assert_int_equal (harness_owned (h, "a", "one"), 0);
    assert_int_equal (harness_owned (h, "a", "two"), 4);
    assert_int_equal (harness_pushed (h, two, 0)->message.beat.assignment_count, 4);
    /*  What the dead one had sent before comes too late.  */
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 0);
    assert_int_equal (harness_settle (h, one, &settlement, NULL, 0), BATON_ERR_NO_SESSION);
    /*  Said twice it is no news.  */
    assert_int_equal (report (h, admin, "a", "one", 1), 0);
    harness_destroy (h);
}

static void it_is_the_incarnation_that_counts (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 4);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_int_equal (report (h, admin, "", "one", 1), 0); /* no actor at all */
    harness_instance (h, "a", "one", 2, "t");
    assert_int_equal (report (h, admin, "a", "one", 1), 0); /* the one before */
    assert_int_equal (report (h, admin, "b", "one", 2), 0);
    assert_int_equal (report (h, admin, "", "on", 2), 0);
    assert_int_equal (report (h, admin, "not/a name", "one", 2), 0);
    assert_int_equal (harness_owned (h, "a", "one"), 4);
    harness_destroy (h);
}

static void without_an_actor_it_is_every_one (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    harness_instance (h, "a", "one", 1, "t");
    harness_instance (h, "b", "one", 1, "t");
    harness_instance (h, "c", "one", 3, "t"); /* another process */
    assert_int_equal (report (h, admin, "", "one", 1), 2);
    assert_int_equal (harness_owned (h, "a", "one"), 0);
    assert_int_equal (harness_owned (h, "b", "one"), 0);
    assert_int_equal (harness_owned (h, "c", "one"), 2);
    harness_destroy (h);
}

/*  G6: as when a connection is lost and does not come back.  */
static void it_is_blamed_like_any_death (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    harness_instance (h, "a", "one", 1, "t");
    uint64_t poison = harness_event (h, "t", "x");
    harness_event (h, "t", "y");
    assert_int_equal (report (h, admin, "a", "one", 1), 1);
    const bn_actor_partition_t *known = &harness_actor (h, "a")->partitions[0];
    assert_int_equal (known->careful_until, 2);
    assert_int_equal (bn_map_count (known->charged), 0);

    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    assert_int_equal (harness_begin (h, two, "a", 0, poison), BATON_OK);
    assert_int_equal (report (h, admin, "a", "two", 2), 1);
    assert_int_equal (bn_map_count (known->charged), 1);
    assert_int_equal (((bn_charged_t *)bn_map_get_u64 (known->charged, poison))->attempts, 1);
    harness_destroy (h);
}

/*  After a restart of the orchestrator the owner has not come back yet: it need not be waited
 *  for.  */
static void it_holds_for_one_that_has_not_come_back (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    harness_instance (h, "a", "one", 1, "t");
    harness_restart (h, false);
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    assert_int_equal (harness_owned (h, "a", "two"), 0);
    uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
    assert_int_equal (report (h, admin, "", "one", 1), 1);
    assert_int_equal (harness_owned (h, "a", "two"), 2);
    assert_int_equal (harness_heartbeat (h, two), BATON_OK);
    harness_destroy (h);
}

static void only_an_admin_may_say_so (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    bn_message_t gone = {.type = BN_GONE, .gone = {.instance = {"one", 3}, .incarnation = 1}};
    assert_int_equal (harness_request (h, one, &gone)->message.error.code, BATON_ERR_ARGUMENT);
    assert_non_null (strstr (harness_error_text (h), "role admin"));
    assert_int_equal (harness_owned (h, "a", "one"), 1);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (its_partitions_go_to_others_at_once),
        cmocka_unit_test (it_is_the_incarnation_that_counts),
        cmocka_unit_test (without_an_actor_it_is_every_one),
        cmocka_unit_test (it_is_blamed_like_any_death),
        cmocka_unit_test (it_holds_for_one_that_has_not_come_back),
        cmocka_unit_test (only_an_admin_may_say_so),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
