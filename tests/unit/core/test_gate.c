/* SPDX-License-Identifier: MPL-2.0 */

#include "base/prng.h"
#include "core_test.h"

static uint64_t persist (bn_effect_t *effect, void *arg)
{
    uint64_t *sequence = arg;
    bn_blob_unref (&effect->body);
    return ++*sequence;
}

static void nothing_passes_a_record_that_is_not_durable (void **state)
{
    (void)state;
    bn_gate_t *gate = bn_gate_new ();
    bn_effects_t effects;
    bn_effects_init (&effects);
    uint64_t sequence = 0;
    bn_effects_add (&effects, BN_EFFECT_SEND)->route = 1;
    bn_effects_add (&effects, BN_EFFECT_PERSIST)->body = bn_blob_new (3);
    bn_effects_add (&effects, BN_EFFECT_SEND)->route = 2;
    bn_effects_log (&effects, BN_LOG_INFO, "number %d", 5);
    assert_true (bn_gate_push (gate, &effects, persist, &sequence));
    assert_int_equal (effects.count, 0);
    assert_int_equal (sequence, 1); /* handed over at once */
    assert_int_equal (bn_gate_count (gate), 3);
    bn_effect_t effect;
    assert_true (bn_gate_pop (gate, 0, &effect));
    assert_int_equal (effect.route, 1);
    bn_effect_fini (&effect);
    assert_false (bn_gate_pop (gate, 0, &effect));
    assert_true (bn_gate_pop (gate, 1, &effect));
    assert_int_equal (effect.route, 2);
    bn_effect_fini (&effect);
    assert_true (bn_gate_pop (gate, 1, &effect));
    assert_string_equal (effect.text, "number 5");
    bn_effect_fini (&effect);
    assert_false (bn_gate_pop (gate, 9, &effect));
    bn_effects_fini (&effects);
    bn_gate_destroy (&gate);
}

static void bytes_that_wait_are_counted (void **state)
{
    (void)state;
    bn_gate_t *gate = bn_gate_new ();
    bn_effects_t effects;
    bn_effects_init (&effects);
    uint64_t sequence = 0;
    bn_effect_t *fanout = bn_effects_add (&effects, BN_EFFECT_FANOUT);
    fanout->head = bn_blob_new (10);
    fanout->header = bn_blob_new (20);
    bn_blob_t *body = bn_blob_new (300);
    fanout->payload = (bn_slice_t){body, body->data + 100, 200};
    assert_true (bn_gate_push (gate, &effects, persist, &sequence));
    assert_int_equal (bn_gate_bytes (gate), 230);
    /*  So are requests for events, which wait in here when the disk is slow.  */
    bn_effect_t *read = bn_effects_add (&effects, BN_EFFECT_READ);
    read->read = bn_read_spec_new ();
    assert_true (bn_gate_push (gate, &effects, persist, &sequence));
    assert_int_equal (bn_gate_bytes (gate), 230 + sizeof (bn_read_spec_t));
    bn_effect_t effect;
    for (int i = 0; i < 2; i++) {
        assert_true (bn_gate_pop (gate, 0, &effect));
        assert_int_equal (bn_gate_bytes (gate), i ? 0 : sizeof (bn_read_spec_t));
        bn_effect_fini (&effect);
    }
    bn_effects_fini (&effects);
    bn_gate_destroy (&gate);
}

/*  A step that ran out of memory has said less than it meant: nothing of it is done.  */
static void what_a_failed_step_wants_is_not_done (void **state)
{
    (void)state;
    bn_gate_t *gate = bn_gate_new ();
    bn_effects_t effects;
    bn_effects_init (&effects);
    uint64_t sequence = 0;
    bn_effects_add (&effects, BN_EFFECT_PERSIST)->body = bn_blob_new (3);
    bn_effects_add (&effects, BN_EFFECT_SEND)->route = 1;
    effects.failed = true;
    assert_false (bn_gate_push (gate, &effects, persist, &sequence));
    assert_int_equal (sequence, 0);
    assert_int_equal (bn_gate_count (gate), 0);
    assert_int_equal (effects.count, 2); /* they stay the caller's */
    bn_effects_fini (&effects);
    bn_gate_destroy (&gate);
    bn_gate_destroy (&gate); /* nothing is there */
}

/*  E1 and E2 over a random mixture, across many turns of the ring.  */
static void order_and_durability_hold_at_random (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 7);
    bn_gate_t *gate = bn_gate_new ();
    bn_effects_t effects;
    bn_effects_init (&effects);
    uint64_t sequence = 0;
    uint64_t durable = 0;
    uint64_t pushed = 0;
    uint64_t popped = 0;
    uint64_t *needs = calloc (200000, sizeof *needs);
    assert_non_null (needs);
    for (int round = 0; round < 3000; round++) {
        uint64_t expected = sequence;
        for (uint64_t count = bn_prng_below (&prng, 30); count > 0; count--) {
            if (bn_prng_below (&prng, 4) == 0) {
                bn_effects_add (&effects, BN_EFFECT_PERSIST)->body = bn_blob_new (1);
                expected++;
            } else {
                needs[pushed] = expected;
                bn_effects_add (&effects, BN_EFFECT_SEND)->route = ++pushed;
            }
        }
        assert_true (bn_gate_push (gate, &effects, persist, &sequence));
        assert_int_equal (sequence, expected);
        durable += bn_prng_below (&prng, sequence - durable + 1);
        bn_effect_t effect;
        while (bn_gate_pop (gate, durable, &effect)) {
            assert_true (needs[popped] <= durable);
            assert_int_equal (effect.route, ++popped);
            bn_effect_fini (&effect);
        }
        assert_true (popped == pushed || needs[popped] > durable);
        assert_int_equal (bn_gate_count (gate), pushed - popped);
    }
    assert_true (popped > 10000);
    free (needs);
    bn_effects_fini (&effects);
    bn_gate_destroy (&gate); /* with some left in it */
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (nothing_passes_a_record_that_is_not_durable),
        cmocka_unit_test (bytes_that_wait_are_counted),
        cmocka_unit_test (what_a_failed_step_wants_is_not_done),
        cmocka_unit_test (order_and_durability_hold_at_random),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
