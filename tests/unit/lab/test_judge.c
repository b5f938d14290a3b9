/* SPDX-License-Identifier: MPL-2.0 */

/*  A sound history, and the same one doctored in each way that the judge must notice.  */

#include "lab/judge.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEYS   3
#define ROUNDS 4

/*  What a pipeline leaves: orders of the load, of which `pay` makes charges, of which `ship` makes
 *  parcels. Events of the journal are at their offsets, so that a test can swap and change them. */
typedef struct {
    bn_lab_log_t sent;
    bn_lab_history_t journal;
    bn_lab_history_t seen;
    bn_lab_case_t it;
    bn_lab_verdict_t verdict;
} fixture_t;

static const bn_lab_effect_t s_effects[] = {
    {.actor = "pay", .from = "orders.*", .to = "charges"},
    {.actor = "ship", .from = "charges", .to = "parcels"},
};

static uint64_t add (bn_lab_history_t *history, const char *id, const char *source,
                     const char *topic, const char *key, const char *cause, const char *root)
{
    bn_lab_event_t event = {.offset = history->count,
                            .seen_us = 1000 * (history->count + 1),
                            .dead_offset = BN_LAB_NO_OFFSET,
                            .id = id,
                            .source = source,
                            .topic = topic,
                            .key = key,
                            .cause = cause,
                            .correlation = root};
    assert_int_equal (bn_lab_history_add (history, &event), BATON_OK);
    return event.offset;
}

/*  Copies what is in the journal now as what was seen.  */
static void see (fixture_t *self)
{
    for (size_t i = 0; i < self->journal.count; i++)
        assert_int_equal (bn_lab_history_add (&self->seen, &self->journal.events[i]), BATON_OK);
}

static int setup (void **state)
{
    static fixture_t self;
    memset (&self, 0, sizeof self);
    bn_lab_log_init (&self.sent);
    bn_lab_history_init (&self.journal);
    bn_lab_history_init (&self.seen);
    for (int round = 0; round < ROUNDS; round++)
        for (int key = 0; key < KEYS; key++) {
            char id[16], name[16], charge[16], parcel[16];
            snprintf (id, sizeof id, "o%d-%d", key, round);
            snprintf (charge, sizeof charge, "c%d-%d", key, round);
            snprintf (parcel, sizeof parcel, "p%d-%d", key, round);
            snprintf (name, sizeof name, "k%d", key);
            uint64_t offset = add (&self.journal, id, "/baton/lab", "orders.placed", name, "", "");
            add (&self.journal, charge, "/actors/pay", "charges", name, id, id);
            add (&self.journal, parcel, "/actors/ship", "parcels", name, charge, id);
            bn_lab_sent_t sent = {.id = id,
                                  .topic = "orders.placed",
                                  .key = name,
                                  .due_us = 1000 * offset,
                                  .receipt_us = 1000 * offset + 500,
                                  .offset = offset};
            assert_int_equal (bn_lab_log_add (&self.sent, &sent), BATON_OK);
        }
    self.it = (bn_lab_case_t){.sent = &self.sent,
                              .journal = &self.journal,
                              .seen = &self.seen,
                              .effects = s_effects,
                              .effect_count = 2};
    *state = &self;
    return 0;
}

static int teardown (void **state)
{
    fixture_t *self = *state;
    bn_lab_log_fini (&self->sent);
    bn_lab_history_fini (&self->journal);
    bn_lab_history_fini (&self->seen);
    return 0;
}

static void judge (fixture_t *self)
{
    assert_int_equal (bn_lab_judge (&self->verdict, &self->it), BATON_OK);
}

/*  Exactly these, and no other guarantee.  */
static void assert_broken (const fixture_t *self, uint64_t lost, uint64_t duplicated,
                           uint64_t out_of_order, uint64_t double_effects)
{
    const bn_lab_verdict_t *verdict = &self->verdict;
    for (size_t i = 0; i < verdict->example_count; i++)
        print_message ("%s\n", verdict->examples[i]);
    assert_int_equal (verdict->lost, lost);
    assert_int_equal (verdict->duplicated, duplicated);
    assert_int_equal (verdict->out_of_order, out_of_order);
    assert_int_equal (verdict->double_effects, double_effects);
    uint64_t all = lost + duplicated + out_of_order + double_effects;
    assert_int_equal (bn_lab_verdict_ok (verdict), all == 0);
    assert_int_equal (verdict->example_count, all);
}

/*  Takes an event out of the journal; offsets stay.  */
static void remove_at (bn_lab_history_t *history, size_t index)
{
    bn_lab_event_t gone = history->events[index];
    memmove (history->events + index, history->events + index + 1,
             (history->count - index - 1) * sizeof gone);
    /*  Kept behind the end: fini frees what is counted only.  */
    history->events[--history->count] = gone;
}

static void put_back (bn_lab_history_t *history)
{
    history->count++;
}

static void swap (bn_lab_history_t *history, size_t a, size_t b)
{
    bn_lab_event_t first = history->events[a];
    history->events[a] = history->events[b];
    history->events[b] = first;
    history->events[a].offset = a;
    history->events[b].offset = b;
}

static void a_sound_history_passes (void **state)
{
    fixture_t *self = *state;
    see (self);
    judge (self);
    assert_broken (self, 0, 0, 0, 0);
    assert_int_equal (self->verdict.events, KEYS * ROUNDS);
    assert_int_equal (self->verdict.journal, 3 * KEYS * ROUNDS);
    assert_int_equal (self->verdict.dead_letters, 0);
}

static void a_receipted_event_that_is_gone_is_lost (void **state)
{
    fixture_t *self = *state;
    /*  The last order, and what came of it.  */
    for (int i = 0; i < 3; i++)
        remove_at (&self->journal, self->journal.count - 1);
    judge (self);
    assert_broken (self, 1, 0, 0, 0);
    for (int i = 0; i < 3; i++)
        put_back (&self->journal);
}

static void an_event_at_another_offset_than_its_receipt_says_is_lost (void **state)
{
    fixture_t *self = *state;
    self->sent.events[5].offset++;
    judge (self);
    assert_broken (self, 1, 0, 0, 0);
}

static void an_event_without_a_receipt_was_never_promised (void **state)
{
    fixture_t *self = *state;
    self->sent.events[KEYS * ROUNDS - 1].receipt_us = 0;
    for (int i = 0; i < 3; i++)
        remove_at (&self->journal, self->journal.count - 1);
    judge (self);
    assert_broken (self, 0, 0, 0, 0);
    assert_int_equal (self->verdict.unreceipted, 1);
    for (int i = 0; i < 3; i++)
        put_back (&self->journal);
}

static void what_was_seen_and_is_gone_is_lost (void **state)
{
    fixture_t *self = *state;
    see (self);
    remove_at (&self->journal, self->journal.count - 1);
    judge (self);
    assert_broken (self, 2, 0, 0, 0); /* the event itself, and an effect that is missing */
    put_back (&self->journal);
}

static void a_missing_effect_is_lost (void **state)
{
    fixture_t *self = *state;
    remove_at (&self->journal, 2);
    judge (self);
    assert_broken (self, 1, 0, 0, 0);
    assert_non_null (strstr (self->verdict.examples[0], "ship"));
    put_back (&self->journal);
}

static void a_dead_letter_stands_for_the_effect (void **state)
{
    fixture_t *self = *state;
    bn_lab_event_t *parcel = &self->journal.events[2];
    parcel->topic = "$dead.ship";
    parcel->dead_offset = 1;
    judge (self);
    assert_broken (self, 0, 0, 0, 0);
    assert_int_equal (self->verdict.dead_letters, 1);
}

static void an_event_that_is_there_twice_is_duplicated (void **state)
{
    fixture_t *self = *state;
    add (&self->journal, "o1-3", "/baton/lab", "elsewhere", "k1", "", "");
    judge (self);
    assert_broken (self, 0, 1, 0, 0);
}

static void the_same_id_of_another_source_is_another_event (void **state)
{
    fixture_t *self = *state;
    add (&self->journal, "o1-3", "/somebody/else", "elsewhere", "k1", "", "");
    judge (self);
    assert_broken (self, 0, 0, 0, 0);
}

static void an_effect_that_is_there_twice_is_double (void **state)
{
    fixture_t *self = *state;
    add (&self->journal, "p1-3", "/actors/ship", "elsewhere", "k1", "c1-3", "o1-3");
    judge (self);
    assert_broken (self, 0, 0, 0, 1);
}

static void one_effect_more_than_declared_is_double (void **state)
{
    fixture_t *self = *state;
    add (&self->journal, "p1-3-again", "/actors/ship", "parcels", "k1", "c1-3", "o1-3");
    judge (self);
    assert_broken (self, 0, 0, 0, 1);
}

static uint64_t add_dead (fixture_t *self, const char *id, uint64_t dead_offset)
{
    uint64_t offset = add (&self->journal, id, "/actors/ship", "$dead.ship", "k2", "c2-3", "o2-3");
    self->journal.events[offset].dead_offset = dead_offset;
    return offset;
}

static void an_effect_and_a_dead_letter_are_double (void **state)
{
    fixture_t *self = *state;
    size_t last = self->journal.count - 2; /* the last charge, of key k2 */
    add_dead (self, "d", last);
    judge (self);
    assert_broken (self, 0, 0, 0, 1);
}

static void a_second_dead_letter_is_double (void **state)
{
    fixture_t *self = *state;
    size_t charge = self->journal.count - 2;
    self->journal.events[charge + 1].topic = "$dead.ship";
    self->journal.events[charge + 1].dead_offset = charge;
    add_dead (self, "d", charge);
    judge (self);
    assert_broken (self, 0, 0, 0, 1);
}

static void effects_against_the_order_of_their_causes_are_out_of_order (void **state)
{
    fixture_t *self = *state;
    /*  The parcels of k0's first and second round change places: their causes do not.  */
    swap (&self->journal, 2, 2 + 3 * KEYS);
    judge (self);
    assert_broken (self, 0, 0, 1, 0);
}

static void effects_of_other_keys_may_overtake (void **state)
{
    fixture_t *self = *state;
    swap (&self->journal, 2, 2 + 3); /* k0 and k1 */
    judge (self);
    assert_broken (self, 0, 0, 0, 0);
}

static void a_load_that_changed_places_is_out_of_order (void **state)
{
    fixture_t *self = *state;
    /*  The second order of k0 was published before the first one.  */
    bn_lab_sent_t first = self->sent.events[0];
    self->sent.events[0] = self->sent.events[KEYS];
    self->sent.events[KEYS] = first;
    judge (self);
    assert_broken (self, 0, 0, 1, 0);
}

static void events_without_a_key_have_no_order (void **state)
{
    fixture_t *self = *state;
    for (size_t i = 0; i < self->journal.count; i++)
        self->journal.events[i].key = "";
    for (size_t i = 0; i < self->sent.count; i++)
        self->sent.events[i].key = "";
    swap (&self->journal, 2, 2 + 3 * KEYS);
    judge (self);
    assert_broken (self, 0, 0, 0, 0);
}

static void latencies_are_by_phase (void **state)
{
    fixture_t *self = *state;
    see (self);
    /*  An order is due at 1,000 us x its offset; its parcel is seen 3,000 us after that. The second
     *  half is in trouble: it takes 50 ms longer.  */
    size_t half = self->journal.count / 2;
    for (size_t i = half; i < self->seen.count; i++)
        self->seen.events[i].seen_us += 50000;
    self->it.trouble_from_us = 1000 * half;
    self->it.trouble_to_us = 1000 * (half + 3 * KEYS);
    judge (self);
    const bn_lab_latency_t *done = self->verdict.done;
    assert_int_equal (done[BN_LAB_BEFORE].count, KEYS * ROUNDS / 2);
    assert_int_equal (done[BN_LAB_BEFORE].p99_us, 3000);
    assert_int_equal (done[BN_LAB_DURING].count, KEYS + 1);
    assert_int_equal (done[BN_LAB_DURING].p50_us, 53000);
    assert_int_equal (done[BN_LAB_AFTER].count, KEYS * ROUNDS / 2 - KEYS - 1);
    assert_int_equal (self->verdict.receipt[BN_LAB_DURING].max_us, 500);
}

static void without_trouble_all_is_before (void **state)
{
    fixture_t *self = *state;
    see (self);
    judge (self);
    assert_int_equal (self->verdict.done[BN_LAB_BEFORE].count, KEYS * ROUNDS);
    assert_int_equal (self->verdict.done[BN_LAB_DURING].count, 0);
    assert_int_equal (self->verdict.done[BN_LAB_AFTER].count, 0);
}

static void examples_are_bounded_and_counts_are_not (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < BN_LAB_EXAMPLES_MAX + 10; i++)
        add (&self->journal, "o1-3", "/baton/lab", "elsewhere", "k1", "", "");
    judge (self);
    assert_int_equal (self->verdict.duplicated, BN_LAB_EXAMPLES_MAX + 10);
    assert_int_equal (self->verdict.example_count, BN_LAB_EXAMPLES_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (a_sound_history_passes),
        TEST (a_receipted_event_that_is_gone_is_lost),
        TEST (an_event_at_another_offset_than_its_receipt_says_is_lost),
        TEST (an_event_without_a_receipt_was_never_promised),
        TEST (what_was_seen_and_is_gone_is_lost),
        TEST (a_missing_effect_is_lost),
        TEST (a_dead_letter_stands_for_the_effect),
        TEST (an_event_that_is_there_twice_is_duplicated),
        TEST (the_same_id_of_another_source_is_another_event),
        TEST (an_effect_that_is_there_twice_is_double),
        TEST (one_effect_more_than_declared_is_double),
        TEST (an_effect_and_a_dead_letter_are_double),
        TEST (a_second_dead_letter_is_double),
        TEST (effects_against_the_order_of_their_causes_are_out_of_order),
        TEST (effects_of_other_keys_may_overtake),
        TEST (a_load_that_changed_places_is_out_of_order),
        TEST (events_without_a_key_have_no_order),
        TEST (latencies_are_by_phase),
        TEST (without_trouble_all_is_before),
        TEST (examples_are_bounded_and_counts_are_not),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
