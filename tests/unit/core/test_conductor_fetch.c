/* SPDX-License-Identifier: MPL-2.0 */

#include "core_test.h"

static const reply_t *fetch (harness_t *h, uint64_t route, const char *actor, uint32_t partition,
                             uint64_t from, uint32_t wait_ms)
{
    bn_fetch_t one = {.partition = partition,
                      .generation = harness_actor (h, actor)->partitions[partition].generation,
                      .from = from};
    bn_message_t message = {
        .type = BN_FETCH,
        .fetch = {.wait_ms = wait_ms, .bytes_max = 4096, .partitions = &one, .partition_count = 1}};
    return harness_request (h, route, &message);
}

static const reply_t *read_from (harness_t *h, uint64_t route, uint64_t from, uint32_t wait_ms,
                                 const char *pattern)
{
    bn_text_t patterns = {pattern, strlen (pattern)};
    bn_message_t message = {.type = BN_READ,
                            .read = {.wait_ms = wait_ms,
                                     .bytes_max = 4096,
                                     .from = from,
                                     .patterns = &patterns,
                                     .pattern_count = *pattern ? 1 : 0}};
    return harness_request (h, route, &message);
}

static void fetch_says_what_to_read (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t route = harness_instance (h, "a", "one", 1, "t u.*");
    for (int event = 0; event < 3; event++)
        harness_event (h, "t", "x");
    uint32_t partition = harness_partition (h, "x");
    const reply_t *reply = fetch (h, route, "a", partition, 1, 0);
    assert_non_null (reply->read);
    assert_int_equal (reply->read->from, 1);
    assert_int_equal (reply->read->upto, 3);
    assert_int_equal (reply->read->bytes_max, 4096);
    assert_int_equal (reply->read->pattern_count, 2);
    assert_memory_equal (reply->read->patterns[1].text, "u.*", 3);
    assert_true (reply->read->filter_partitions);
    assert_int_equal (reply->read->from_by_partition[partition], 1);
    assert_true (reply->read->from_by_partition[1 - partition] == BN_NO_OFFSET);
    /*  Nothing can be there: answered at once, without the journal.  */
    reply = fetch (h, route, "a", partition, 3, 0);
    assert_null (reply->read);
    assert_int_equal (reply->message.events.scanned_to, 3);
    assert_true (reply->message.events.at_tail);
    assert_null (fetch (h, route, "a", 1 - partition, 0, 0)->read);
    harness_destroy (h);
}

static void fetch_is_for_owners (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    assert_int_equal (fetch (h, two, "a", 0, 0, 0)->message.error.code, BATON_ERR_NOT_OWNER);
    assert_int_equal (fetch (h, one, "a", 0, 5, 0)->message.error.code, BATON_ERR_OFFSET);
    bn_fetch_t stale = {.generation = 0};
    bn_message_t message = {.type = BN_FETCH,
                            .fetch = {.partitions = &stale, .partition_count = 1}};
    const reply_t *reply = harness_request (h, one, &message);
    assert_int_equal (reply->message.error.code, BATON_ERR_FENCED);
    assert_int_equal (reply->message.error.detail, 0);
    harness_destroy (h);
}

/*  An instance far behind has not had all that waits for it: only what it can have had in hand is
 *  suspicious when it dies (G6), so that its successor is not careful for the whole backlog.  */
static void only_what_was_sent_is_suspicious (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    for (int event = 0; event < 10; event++)
        harness_event (h, "t", "x");
    uint64_t route = harness_instance (h, "a", "i", 1, "t");
    const bn_actor_partition_t *partition = &harness_actor (h, "a")->partitions[0];
    uint64_t expected[] = {0, 4, 10};
    for (uint64_t life = 1; life <= 3; life++) {
        if (life > 1) {
            const reply_t *reply = fetch (h, route, "a", 0, 0, 0);
            assert_non_null (reply->read);
            if (life == 2)
                harness_read_done (h, route, reply->read->request, 4, false);
        }
        route = harness_instance (h, "a", "i", life + 1, "t");
        assert_int_equal (partition->careful_until, expected[life - 1]);
    }
    harness_destroy (h);
}

static void single_events_are_fetched_by_offset (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    harness_event (h, "t", "x");
    harness_event (h, "t", "x");
    uint64_t offsets[2] = {1, 2};
    bn_message_t message = {.type = BN_FETCH, .fetch = {.offsets = offsets, .offset_count = 2}};
    assert_int_equal (harness_request (h, one, &message)->message.error.code, BATON_ERR_OFFSET);
    offsets[1] = 0;
    const reply_t *reply = harness_request (h, one, &message);
    assert_int_equal (reply->read->offset_count, 2);
    assert_int_equal (reply->read->offsets[0], 1);
    assert_int_equal (reply->read->from_by_partition[0], 0);
    harness_destroy (h);
}

static void a_waiting_fetch_is_woken_by_its_events_only (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t route = harness_instance (h, "a", "one", 1, "t");
    uint32_t partition = harness_partition (h, "x");
    assert_null (fetch (h, route, "a", partition, 0, 5000));
    harness_event (h, "other", "x");
    assert_null (harness_pushed (h, route, 0));
    harness_event (h, "t", harness_key (h, 1 - partition, 0));
    assert_null (harness_pushed (h, route, 0));
    harness_event (h, "t", "x");
    const reply_t *woken = harness_pushed (h, route, 0);
    assert_non_null (woken->read);
    assert_int_equal (woken->read->upto, 3);
    harness_event (h, "t", "x");
    assert_null (harness_pushed (h, route, 0)); /* once */
    harness_destroy (h);
}

static void a_wait_ends_empty (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t route = harness_instance (h, "a", "one", 1, "t");
    assert_null (fetch (h, route, "a", 0, 0, 5000));
    harness_pass (h, 4999);
    assert_null (harness_pushed (h, route, 0));
    harness_pass (h, 1);
    const reply_t *late = harness_pushed (h, route, 0);
    assert_int_equal (late->message.type, BN_EVENTS);
    assert_true (late->message.events.at_tail);
    assert_int_equal (late->message.events.section_count, 0);

    /*  A second one ends the first: one a session.  */
    assert_null (fetch (h, route, "a", 0, 0, 5000));
    assert_null (fetch (h, route, "a", 0, 0, 5000));
    assert_int_equal (harness_pushed (h, route, 0)->message.type, BN_EVENTS);
    assert_null (harness_pushed (h, route, 1));
    /*  So does a changed assignment, which is told right after.  */
    harness_instance (h, "b", "x", 5, "t");
    assert_null (harness_pushed (h, route, 0));
    bn_settlement_t settlement = harness_settlement (h, "a", 0, 0);
    settlement.release = true;
    bn_message_t message = {.type = BN_SETTLE,
                            .settle = {.settlements = &settlement, .settlement_count = 1}};
    harness_request (h, route, &message);
    assert_int_equal (harness_pushed (h, route, 0)->message.type, BN_EVENTS);
    assert_int_equal (harness_pushed (h, route, 1)->message.type, BN_BEAT);
    /*  So does the end of the connection, without a word to anybody.  */
    assert_null (fetch (h, route, "a", 0, 0, 5000));
    harness_gone (h, route);
    assert_null (harness_pushed (h, route, 0));
    harness_event (h, "t", "x");
    assert_null (harness_pushed (h, route, 0));
    harness_pass (h, 20000);
    harness_destroy (h);
}

static void read_is_bounded_by_the_tail_and_waits_by_pattern (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t route = harness_hello (h, BN_ROLE_ADMIN, 1);
    harness_event (h, "t", "x");
    assert_int_equal (read_from (h, route, 0, 0, "")->read->upto, 1);
    assert_int_equal (read_from (h, route, 2, 0, "")->message.error.code, BATON_ERR_OFFSET);
    assert_null (read_from (h, route, 1, 0, "")->read);
    assert_null (read_from (h, route, 1, 5000, "u.*"));
    harness_event (h, "t", "x");
    assert_null (harness_pushed (h, route, 0));
    harness_event (h, "u.v", "x");
    const reply_t *woken = harness_pushed (h, route, 0);
    assert_int_equal (woken->read->from, 1);
    assert_int_equal (woken->read->upto, 3);
    assert_false (woken->read->filter_partitions);
    assert_int_equal (woken->read->pattern_count, 1);
    bn_message_t by_time = {.type = BN_READ,
                            .read = {.from_kind = BN_FROM_TIME, .from = 1700000000000000ULL}};
    const reply_t *reply = harness_request (h, route, &by_time);
    assert_int_equal (reply->read->from_kind, BN_FROM_TIME);
    harness_destroy (h);
}

static void several_waiters_are_woken_by_one_record (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 1);
    uint64_t routes[3] = {harness_instance (h, "a", "one", 1, "t"),
                          harness_instance (h, "b", "one", 1, "t"),
                          harness_hello (h, BN_ROLE_ADMIN, 1)};
    assert_null (fetch (h, routes[0], "a", 0, 0, 9000));
    assert_null (fetch (h, routes[1], "b", 0, 0, 9000));
    assert_null (read_from (h, routes[2], 0, 9000, ""));
    harness_event (h, "t", "x");
    for (int each = 0; each < 3; each++)
        assert_non_null (harness_pushed (h, routes[each], 0)->read);
    harness_destroy (h);
}

/*  An answer that says nothing of what the instance has in hand: all that waits is suspicious.  */
static void other_answers_leave_all_suspicious (void **state)
{
    (void)state;
    for (int which = 0; which < 5; which++) {
        harness_t *h = harness_new (NULL, 2);
        const char *key = harness_key (h, 0, 0);
        for (int event = 0; event < 10; event++)
            harness_event (h, "t", key);
        uint64_t admin = harness_hello (h, BN_ROLE_ADMIN, 9);
        uint64_t route = harness_instance (h, "a", "i", 1, "t");
        uint64_t request = fetch (h, route, "a", 0, 0, 0)->read->request;
        harness_read_done (h,
                           which == 0   ? 99
                           : which == 1 ? admin
                                        : route, /* no session, none that joined */
                           which == 2 ? request + 1 : request,
                           which == 4 ? 10 : 4, /* all that there is */
                           which == 3);
        if (which == 4) /* nothing is left behind it, so that the fan-out goes on from there */
            harness_event (h, "t", harness_key (h, 0, 0));
        harness_instance (h, "a", "i", 2, "t");
        assert_int_equal (harness_actor (h, "a")->partitions[0].careful_until,
                          which == 4 ? 11 : 10);
        harness_destroy (h);
    }
}

/*  The partition has gone to another one before the answer was sent: it is not suspected.  */
static void an_answer_that_comes_late_says_nothing (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    for (int event = 0; event < 10; event++)
        harness_event (h, "t", harness_key (h, event % 2, 0));
    uint64_t one = harness_instance (h, "a", "one", 1, "t");
    uint64_t two = harness_instance (h, "a", "two", 2, "t");
    uint32_t moves = harness_owned (h, "a", "one") == 2 ? 2 : 0;
    assert_int_equal (moves, 2); /* asked to release one, has not yet */
    bn_fetch_t both[2] = {{.partition = 0, .generation = 1}, {.partition = 1, .generation = 1}};
    bn_message_t message = {.type = BN_FETCH,
                            .fetch = {.bytes_max = 4096, .partitions = both, .partition_count = 2}};
    uint64_t request = harness_request (h, one, &message)->read->request;
    for (uint32_t index = 0; index < 2; index++) {
        bn_settlement_t settlement = harness_settlement (h, "a", index, 0);
        settlement.release = true;
        (void)harness_settle (h, one, &settlement, NULL, 0);
    }
    uint32_t moved = strcmp (harness_actor (h, "a")->partitions[0].instance, "two") == 0 ? 0 : 1;
    assert_string_equal (harness_actor (h, "a")->partitions[moved].instance, "two");
    uint64_t asked = fetch (h, two, "a", moved, 0, 0)->read->request;
    harness_read_done (h, two, asked, 6, false);
    harness_read_done (h, one, request, 2, false);
    harness_gone (h, two);
    harness_pass (h, 3000);
    assert_int_equal (harness_actor (h, "a")->partitions[moved].careful_until, 6);
    harness_destroy (h);
}

/*  One request wakes a waiter once, though several of its sections are for it; waiters of other
 *  actors, partitions that nobody has and actors that do not run are none of its business.  */
static void a_request_of_several_sections_wakes_once (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t gone = harness_instance (h, "left", "x", 7, "t");
    assert_int_equal (harness_leave (h, gone), BATON_OK);
    harness_restart (h, true); /* nobody of it has joined since */
    gone = harness_instance (h, "leaves", "x", 8, "t");
    assert_int_equal (harness_leave (h, gone), BATON_OK);
    uint64_t busy = harness_instance (h, "busy", "x", 9, "t u");
    uint64_t route = harness_instance (h, "a", "one", 1, "t u");
    uint64_t reader = harness_instance (h, "reads", "one", 2, "t u");
    uint32_t partition = harness_partition (h, "x");
    assert_null (fetch (h, route, "a", partition, 0, 5000));
    assert_null (read_from (h, reader, 0, 5000, "v"));
    uint64_t producer = harness_hello (h, BN_ROLE_PRODUCER, 77);
    bn_section_t sections[] = {harness_section (h, "t", "x", 1), harness_section (h, "u", "x", 1)};
    assert_int_equal (harness_publish (h, producer, 77, 1, sections, 2), BATON_OK);
    const reply_t *woken = harness_pushed (h, route, 0);
    assert_non_null (woken->read);
    assert_int_equal (woken->read->upto, 2);
    assert_null (harness_pushed (h, route, 1));
    assert_null (harness_pushed (h, busy, 0));
    assert_null (harness_pushed (h, reader, 0)); /* it waits for another topic */
    harness_destroy (h);
}

/*  A READ is not for partitions: a changed assignment leaves it waiting.  */
static void a_waiting_read_survives_a_changed_assignment (void **state)
{
    (void)state;
    harness_t *h = harness_new (NULL, 2);
    uint64_t route = harness_instance (h, "a", "one", 1, "t");
    assert_null (read_from (h, route, 0, 5000, "t"));
    harness_instance (h, "a", "two", 2, "t");
    harness_event (h, "t", "x");
    const reply_t *woken = harness_pushed (h, route, 0);
    assert_non_null (woken);
    assert_non_null (woken->read);
    harness_destroy (h);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (fetch_says_what_to_read),
        cmocka_unit_test (fetch_is_for_owners),
        cmocka_unit_test (only_what_was_sent_is_suspicious),
        cmocka_unit_test (single_events_are_fetched_by_offset),
        cmocka_unit_test (a_waiting_fetch_is_woken_by_its_events_only),
        cmocka_unit_test (a_wait_ends_empty),
        cmocka_unit_test (read_is_bounded_by_the_tail_and_waits_by_pattern),
        cmocka_unit_test (several_waiters_are_woken_by_one_record),
        cmocka_unit_test (other_answers_leave_all_suspicious),
        cmocka_unit_test (an_answer_that_comes_late_says_nothing),
        cmocka_unit_test (a_request_of_several_sections_wakes_once),
        cmocka_unit_test (a_waiting_read_survives_a_changed_assignment),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
