/* SPDX-License-Identifier: MPL-2.0 */

/*  What a mailbox does at parked_max and dead_max: what fits is settled, what makes room goes at
 *  once, and nothing stands still for good.  */

#include "unit/core/mailbox_test.h"

/*  The orchestrator's side of partition 0.  */
typedef struct {
    box_t box;
    const char *key; /* of all events */
    uint32_t parked_max, dead_max;
    uint32_t parked, dead;
    uint64_t floor;
    uint32_t accepted, refused;
    uint64_t waited_ms;
} limits_t;

static void limits_init (limits_t *self, uint32_t parked_max, uint32_t dead_max)
{
    *self = (limits_t){.parked_max = parked_max, .dead_max = dead_max};
    box_start (&self->box, NULL);
    self->key = box_key (0, 0);
}

/*  Events of one key (NULL: without) by fan-out.  */
static void publish (limits_t *self, uint64_t base, uint32_t count, const char *key)
{
    char keys[2048] = "";
    for (uint32_t i = 0; i < count; i++) {
        strcat (keys, i ? " " : "");
        strcat (keys, key ? key : "-");
    }
    box_fanout (&self->box, 0, base, base, keys);
}

static void judge (limits_t *self, const bn_message_t *message)
{
    const bn_settlement_t *one = box_settlement (message, 0);
    uint32_t parks = 0, gone = one->done_count, died = one->died_count;
    for (uint32_t i = 0; i < one->park_count; i++)
        parks += one->parks[i].offset >= self->floor;
    for (uint32_t i = 0; i < died; i++)
        gone += one->died[i].offset < self->floor;
    bool fits = (!parks || self->parked + parks - gone <= self->parked_max) &&
                (!died || self->dead + died <= self->dead_max);
    if (!fits) {
        self->refused++;
        box_refuse (&self->box, message, BATON_ERR_LIMIT, 0);
        return;
    }
    self->accepted++;
    self->parked += parks - gone;
    self->dead += died;
    self->floor = one->floor;
    bn_message_t settled = {.type = BN_SETTLED, .settled = {.base = BN_NO_OFFSET, .count = 0}};
    box_answer (&self->box, message, &settled);
}

static void send_parked (limits_t *self, const bn_message_t *message)
{
    bn_section_t sections[64];
    uint32_t count = message->fetch.offset_count < 64 ? message->fetch.offset_count : 64;
    for (uint32_t i = 0; i < count; i++)
        sections[i] = box_section ("orders.placed", 0, message->fetch.offsets[i], self->key);
    bn_message_t events = {
        .type = BN_EVENTS,
        .events = {.at_tail = true, .sections = sections, .section_count = count}};
    box_answer (&self->box, message, &events);
    for (uint32_t i = 0; i < count; i++)
        box_section_free (&sections[i]);
}

/*  Until all below `floor` is settled and nothing is parked, or the steps are used up. What is
 *  handled is acknowledged.  */
static bool drain (limits_t *self, uint64_t floor, int steps)
{
    for (; steps > 0 && (self->floor < floor || self->parked > 0); steps--) {
        const bn_message_t *message;
        char verdicts[64] = "";
        if ((message = box_sent (&self->box, BN_SETTLE)))
            judge (self, message);
        else if ((message = box_sent (&self->box, BN_HEARTBEAT))) {
            bn_message_t beat = {.type = BN_BEAT};
            box_answer (&self->box, message, &beat);
        } else if ((message = box_sent (&self->box, BN_FETCH)))
            send_parked (self, message);
        else if (self->box.run) {
            memset (verdicts, 'a', self->box.run->count);
            box_handle (&self->box, verdicts);
        } else {
            self->waited_ms += 10;
            box_pass (&self->box, 10);
        }
    }
    return self->floor >= floor && self->parked == 0;
}

/*  Each event that leaves makes room for the next one: that takes one request, and no waiting.  */
static void test_backlog_behind_a_retry_drains_request_by_request (void **state)
{
    (void)state;
    limits_t limits;
    limits_init (&limits, 4, 100);
    publish (&limits, 0, 1, limits.key);
    box_handle (&limits.box, "r");
    publish (&limits, 1, 100, limits.key);
    assert_true (drain (&limits, 101, 3000));
    assert_in_range (limits.refused, 1, 12);    /* until the bound is known */
    assert_in_range (limits.accepted, 25, 120); /* at most one for each event that left */
    assert_in_range (limits.waited_ms, 0, 300); /* the backoff of the first one */
    box_fini (&limits.box);
}

/*  One event is parked at a time, none behind it: handled again, it goes at once.  */
static void test_what_makes_room_is_settled_at_once (void **state)
{
    (void)state;
    limits_t limits;
    limits_init (&limits, 1, 100);
    publish (&limits, 0, 8, NULL);
    box_handle (&limits.box, "rrrrrrrr");
    limits.key = "-";
    assert_true (drain (&limits, 8, 1000));
    assert_in_range (limits.waited_ms, 100, 1200); /* each waits for its backoff, nothing else */
    box_fini (&limits.box);
}

static void test_dead_letters_go_as_far_as_there_is_room (void **state)
{
    (void)state;
    limits_t limits;
    limits_init (&limits, 100, 3);
    publish (&limits, 0, 8, NULL);
    box_handle (&limits.box, "xxxxxxxx");
    assert_false (drain (&limits, 8, 300));
    assert_int_equal (limits.dead, 3);
    assert_int_equal (limits.floor, 3);
    limits.dead = 0; /* somebody discards them */
    assert_false (drain (&limits, 8, 300));
    assert_int_equal (limits.dead, 3);
    limits.dead = 1;
    assert_true (drain (&limits, 8, 300));
    box_fini (&limits.box);
}

/*  With no room for dead letters, parked events go on: they are neither kept from being handled nor
 *  from being settled.  */
static void test_no_room_for_dead_letters_holds_no_parked_event_up (void **state)
{
    (void)state;
    limits_t limits;
    limits_init (&limits, 2, 0);
    publish (&limits, 0, 2, NULL);
    box_handle (&limits.box, "rr");
    publish (&limits, 2, 4, NULL);
    box_handle (&limits.box, "xrar");
    limits.key = "-";
    assert_false (drain (&limits, 6, 1000));
    assert_int_equal (limits.parked, 0);
    assert_int_equal (limits.floor, 2);
    limits.dead_max = 1;
    assert_true (drain (&limits, 6, 1000));
    box_fini (&limits.box);
}

/*  A parked event dies, and there is no room for its dead letter. What was handled beside it is
 *  settled, and then the main line stops as it does for a dead letter of its own, until there is.
 */
static void test_a_parked_dead_letter_without_room_stops_the_main_line (void **state)
{
    (void)state;
    limits_t limits;
    limits_init (&limits, 4, 0);
    limits.key = "-";
    publish (&limits, 0, 1, NULL);
    box_handle (&limits.box, "r");
    judge (&limits, box_expect (&limits.box, BN_SETTLE));
    publish (&limits, 1, 1, NULL);
    publish (&limits, 2, 4, NULL); /* waits for the end of that run */
    box_pass (&limits.box, 2000);
    send_parked (&limits, box_expect (&limits.box, BN_FETCH));
    box_handle (&limits.box, "a");
    box_assert_run (&limits.box, "0 2 3 4 5");
    publish (&limits, 6, 1, NULL);
    box_handle (&limits.box, "xaaaa");
    publish (&limits, 7, 4, NULL);
    while (limits.refused == 0)
        judge (&limits, box_expect (&limits.box, BN_SETTLE));
    box_handle (&limits.box, "a");
    for (int steps = 0; steps < 300; steps++) {
        const bn_message_t *message = box_sent (&limits.box, BN_SETTLE);
        if (message)
            judge (&limits, message);
        else
            box_pass (&limits.box, 10);
        assert_null (limits.box.run);
    }
    assert_int_equal (limits.floor, 7);
    limits.dead_max = 1;
    assert_true (drain (&limits, 11, 300));
    assert_int_equal (limits.dead, 1);
    box_fini (&limits.box);
}

/*  Joins as it does in the others, and is told the bound.  */
static void limits_init_told (limits_t *self, uint32_t parked_max)
{
    *self = (limits_t){.parked_max = parked_max, .dead_max = 100};
    box_init (&self->box, NULL);
    self->box.parked_max = parked_max;
    box_up (&self->box);
    bn_assignment_t assignment = {.partition = 0, .generation = 1};
    box_join (&self->box, &assignment, 1);
    self->key = box_key (0, 0);
}

/*  What JOINED told need not be found out: no more is handled than may be parked.  */
static void test_a_small_parked_max_is_never_run_into (void **state)
{
    (void)state;
    limits_t limits;
    limits_init_told (&limits, 3);
    publish (&limits, 0, 8, NULL);
    box_handle (&limits.box, "rrr");
    limits.key = "-";
    assert_true (drain (&limits, 8, 1000));
    assert_int_equal (limits.refused, 0);
    box_fini (&limits.box);
}

static void test_a_large_parked_max_is_used (void **state)
{
    (void)state;
    enum { EVENTS = 1501, AT_ONCE = 50 };
    limits_t limits;
    limits_init_told (&limits, 2 * EVENTS);
    publish (&limits, 0, 1, limits.key);
    box_handle (&limits.box, "r");
    const bn_message_t *settle;
    for (uint64_t base = 1; base < EVENTS; base += AT_ONCE) {
        publish (&limits, base, AT_ONCE, limits.key); /* they park behind the first one */
        while ((settle = box_sent (&limits.box, BN_SETTLE)))
            judge (&limits, settle);
    }
    assert_int_equal (limits.parked, EVENTS);
    assert_int_equal (limits.refused, 0);
    box_fini (&limits.box);
}

/*  More is parked there than the mailbox knows of, and a dead letter is first in what it has to
 *  say: it does not take dead_max for what is in its way for ever.  */
static void test_less_room_than_told_holds_no_dead_letter_up (void **state)
{
    (void)state;
    limits_t limits;
    limits_init (&limits, 4, 100);
    char verdicts[] = "xrrrrrrr";
    publish (&limits, 0, 8, NULL);
    box_handle (&limits.box, verdicts);
    limits.key = "-";
    assert_true (drain (&limits, 8, 3000));
    assert_int_equal (limits.dead, 1);
    box_fini (&limits.box);
}

/*  A FETCH that failed is made again, although what was kept behind its gap has filled the queue.
 */
static void test_what_is_kept_behind_a_gap_lets_it_be_fetched (void **state)
{
    (void)state;
    box_t box;
    bn_mailbox_options_t options;
    bn_section_t section = box_section ("orders.placed", 0, 0, "a");
    box_options (&options);
    options.prefetch_bytes = 5 * section.payload.size;
    box_section_free (&section);
    box_start (&box, &options);
    for (uint64_t base = 1; base < 5; base++)
        box_fanout (&box, 0, base, base, "a");
    box_refuse (&box, box_expect (&box, BN_FETCH), BATON_ERR_LIMIT, 0);
    box_pass (&box, 300);
    box_fetched (&box, box_expect (&box, BN_FETCH), 0, 0, "a a a a a", 5, true);
    box_assert_run (&box, "0 1 2 3 4");
    box_fini (&box);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_backlog_behind_a_retry_drains_request_by_request),
        cmocka_unit_test (test_what_makes_room_is_settled_at_once),
        cmocka_unit_test (test_dead_letters_go_as_far_as_there_is_room),
        cmocka_unit_test (test_no_room_for_dead_letters_holds_no_parked_event_up),
        cmocka_unit_test (test_a_parked_dead_letter_without_room_stops_the_main_line),
        cmocka_unit_test (test_a_small_parked_max_is_never_run_into),
        cmocka_unit_test (test_a_large_parked_max_is_used),
        cmocka_unit_test (test_less_room_than_told_holds_no_dead_letter_up),
        cmocka_unit_test (test_what_is_kept_behind_a_gap_lets_it_be_fetched),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
