/* SPDX-License-Identifier: MPL-2.0 */

/*  test_scaler.c - the elastic decision: single cases with exact numbers, and a model of a service
 *  (events come, instances handle them) that it is let loose on.  */

#include "base/prng.h"
#include "supervisor/scaler.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PARTITIONS 32

/*  A service with a steady flow; time passes in seconds.  */
typedef struct {
    bn_scaler_t scaler;
    bn_scaler_sample_t sample;
    bn_scaler_decision_t decision;
    uint32_t lines;   /* decisions that were worth one */
    uint32_t changes; /* of the number */
} world_t;

static void begin (world_t *self, uint32_t min, uint32_t max)
{
    *self = (world_t){.sample = {.now_ms = 5000,
                                 .instances = min,
                                 .partitions = PARTITIONS,
                                 .busy_partitions = PARTITIONS}};
    bn_scaler_init (
        &self->scaler,
        &(bn_scaler_options_t){.min = min, .max = max, .target_lag = 1000, .cooldown_ms = 30000});
}

/*  A second with that lag: what came beyond it was settled.  */
static uint32_t second (world_t *self, uint64_t ready, uint64_t in)
{
    bn_scaler_sample_t *sample = &self->sample;
    sample->now_ms += 1000;
    sample->published += in;
    uint64_t all = sample->ready + in;
    sample->settled += all > ready ? all - ready : 0;
    sample->ready = ready;
    bn_scaler_step (&self->scaler, sample, &self->decision);
    assert_in_range (self->decision.wanted, self->scaler.options.min, self->scaler.options.max);
    self->lines += self->decision.changed;
    self->changes += self->decision.wanted != sample->instances;
    sample->instances = self->decision.wanted;
    return sample->instances;
}

static void test_grows_to_what_the_lag_asks_for (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    assert_int_equal (second (&world, 100, 100), 1);
    assert_int_equal (second (&world, 3500, 100), 1); /* a peak may be gone in a second */
    assert_int_equal (second (&world, 3500, 100), 4);
    assert_int_equal (world.decision.kind, BN_SCALER_GROW);
    assert_true (world.decision.changed);
    assert_non_null (strstr (world.decision.reason, "lag 3500 is over 1000 for each of 1"));
    assert_int_equal (second (&world, 12000, 100), 4);
    assert_int_equal (second (&world, 12000, 100), 8);
    assert_int_equal (world.lines, 2);
}

static void test_a_peak_of_one_sample_starts_nothing (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    for (int i = 0; i < 100; i++)
        assert_int_equal (second (&world, i % 2 ? 50000 : 0, 100), 1);
    assert_int_equal (world.lines, 0);
}

static void test_says_once_that_it_is_at_the_most (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 2);
    for (int i = 0; i < 20; i++)
        second (&world, 9000, 100);
    assert_int_equal (world.sample.instances, 2);
    assert_int_equal (world.decision.kind, BN_SCALER_AT_MAX);
    assert_int_equal (world.lines, 2); /* 1 -> 2, and that it is not enough */
    for (int i = 0; i < 20; i++)
        second (&world, i % 2 ? 1500 : 2500, 100); /* around the target: nothing new */
    assert_int_equal (world.lines, 2);
    second (&world, 10, 100);
    assert_int_equal (world.lines, 3);
    assert_int_equal (world.decision.kind, BN_SCALER_STEADY);
}

static void test_one_hot_key_is_not_helped (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    world.sample.busy_partitions = 1;
    for (int i = 0; i < 60; i++)
        assert_int_equal (second (&world, 12000, 100), 1);
    assert_int_equal (world.decision.kind, BN_SCALER_NO_SHARE);
    assert_string_equal (world.decision.reason, "lag 12000 is all in 1 of 32 partitions: more "
                                                "instances cannot help");
    assert_int_equal (world.lines, 1);
    /*  Three keys: three instances.  */
    world.sample.busy_partitions = 3;
    for (int i = 0; i < 60; i++)
        second (&world, 12000, 100);
    assert_int_equal (world.sample.instances, 3);
}

/*  Other keys trickle beside it, so that every partition is busy.  */
static void test_a_hot_key_in_company (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    world.sample.ready_most = 11900;
    for (int i = 0; i < 60; i++)
        assert_int_equal (second (&world, 12000, 100), 1);
    assert_int_equal (world.decision.kind, BN_SCALER_NO_SHARE);
    assert_non_null (strstr (world.decision.reason, "11900 in 1 of 32 partitions"));
    world.sample.ready_most = 6000; /* two of them */
    second (&world, 12000, 100);
    second (&world, 12000, 100);
    assert_int_equal (world.sample.instances, 2);
    world.sample.ready_most = 12000 / PARTITIONS; /* evenly */
    second (&world, 12000, 100);
    second (&world, 12000, 100);
    assert_int_equal (world.sample.instances, 8);
}

static void test_no_more_than_partitions (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 100);
    for (int i = 0; i < 10; i++)
        second (&world, 1000000, 100);
    assert_int_equal (world.sample.instances, PARTITIONS);
    assert_non_null (strstr (world.decision.reason, "32 partitions only"));
}

static void test_parked_events_start_nothing (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    world.sample.parked = 5000;
    for (int i = 0; i < 100; i++)
        assert_int_equal (second (&world, 10, 10), 1);
    assert_int_equal (world.decision.kind, BN_SCALER_PARKED);
    assert_int_equal (world.lines, 1);
}

static void test_shrinks_when_all_is_quiet (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    for (int i = 0; i < 10; i++)
        second (&world, 20000, 1000);
    assert_int_equal (world.sample.instances, 8);
    int seconds = 0;
    while (second (&world, 0, 0) == 8 && seconds < 1000)
        seconds++;
    assert_in_range (seconds, 29, 31); /* a cooldown, and then at once */
    assert_int_equal (world.sample.instances, 1);
    assert_int_equal (world.decision.kind, BN_SCALER_SHRINK);
    assert_int_equal (world.lines, 4); /* to 8, that it is the most, that it suits, to 1 */
}

static void test_a_lag_that_comes_back_starts_the_cooldown_anew (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    for (int i = 0; i < 10; i++)
        second (&world, 20000, 1000);
    for (int i = 0; i < 300; i++) /* each 20 s what 8 are for */
        assert_int_equal (second (&world, i % 20 ? 0 : 7900, 0), 8);
}

static void test_a_number_that_is_not_allowed_is_corrected (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 2, 4);
    world.sample.instances = 9;
    assert_int_equal (second (&world, 100, 0), 4);
    assert_string_equal (world.decision.reason, "2 to 4 are allowed");
    world.sample.instances = 0;
    assert_int_equal (second (&world, 100, 0), 2);
}

/*  What somebody else does to the number counts as a change: it is left alone for a cooldown.  */
static void test_leaves_a_number_set_by_hand_for_a_cooldown (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    for (int i = 0; i < 100; i++)
        second (&world, 0, 0);
    world.sample.instances = 6;
    for (int i = 0; i < 30; i++)
        assert_int_equal (second (&world, 0, 0), 6);
    assert_int_equal (second (&world, 0, 0), 1);
}

static void test_says_again_nothing_that_is_not_done (void **state)
{
    (void)state;
    world_t world;
    begin (&world, 1, 8);
    for (int i = 0; i < 100; i++) {
        second (&world, 12000, 100);
        world.sample.instances = 1; /* the supervisor has no room for more */
    }
    assert_int_equal (world.lines, 1);
}

/*  ---- a model of a service ---- */

typedef struct {
    double rate_in;   /* events a second */
    double rate_each; /* what one instance handles */
    double noise;     /* of both, a part of them */
    uint32_t start_s; /* that a new instance takes to work */
    uint32_t busy;    /* partitions that get events */
} service_t;

typedef struct {
    double ready;
    double working; /* instances; a new one counts when it has started */
    bn_prng_t prng;
} model_t;

static double noisy (model_t *self, double value, double noise)
{
    double random = (double)(bn_prng_next (&self->prng) % 2001) / 1000.0 - 1;
    return value * (1 + noise * random);
}

/*  Runs it for a time; how often the number changed.  */
static uint32_t run (world_t *world, model_t *model, const service_t *service, uint32_t seconds)
{
    uint32_t before = world->changes;
    for (uint32_t i = 0; i < seconds; i++) {
        double in = noisy (model, service->rate_in, service->noise);
        double ramp = 1.0 / (service->start_s + 1);
        double wanted = world->sample.instances;
        model->working =
            wanted <= model->working ? wanted : fmin (wanted, model->working + wanted * ramp);
        double working = fmin (model->working, service->busy);
        model->ready += in;
        double out = fmin (model->ready, noisy (model, working * service->rate_each, 0.02));
        model->ready -= out;
        world->sample.busy_partitions =
            model->ready < service->busy ? (uint32_t)model->ready : service->busy;
        second (world, (uint64_t)model->ready, (uint64_t)in);
    }
    return world->changes - before;
}

static void start_model (model_t *self, uint64_t seed)
{
    *self = (model_t){.working = 1};
    bn_prng_init (&self->prng, seed);
}

/*  A steady load is held, and for hours the number changes a few times only.  */
static void test_a_steady_load_does_not_flap (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        world_t world;
        model_t model;
        start_model (&model, seed);
        uint32_t max = 1 + (uint32_t)(bn_prng_next (&model.prng) % 16);
        service_t service = {.rate_each = 20 + (double)(bn_prng_next (&model.prng) % 2000),
                             .noise = 0.1,
                             .start_s = (uint32_t)(bn_prng_next (&model.prng) % 8),
                             .busy = PARTITIONS};
        service.rate_in = service.rate_each * max * (double)(bn_prng_next (&model.prng) % 90) / 100;
        begin (&world, 1, max);
        run (&world, &model, &service, 3600); /* finds its number */
        uint32_t changes = run (&world, &model, &service, 4 * 3600);
        if (changes > 4 * 3600 / (16 * 60) * 4 || model.ready > 2000.0 * max)
            fail_msg ("seed %lu: %u changes in 4 h at %.0f/s of %.0f/s each, at most %u, lag %.0f",
                      (unsigned long)seed, changes, service.rate_in, service.rate_each, max,
                      model.ready);
    }
}

/*  Up and down with the day, and never far from what is needed.  */
static void test_follows_the_load (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        world_t world;
        model_t model;
        start_model (&model, seed);
        service_t service = {.rate_each = 200, .noise = 0.1, .start_s = 3, .busy = PARTITIONS};
        begin (&world, 1, 8);
        for (int day = 0; day < 3; day++) {
            service.rate_in = 1200;
            run (&world, &model, &service, 3600);
            assert_in_range (world.sample.instances, 5, 8); /* 6, and 5 when it is probed */
            assert_true (model.ready < 8000);
            service.rate_in = 100;
            run (&world, &model, &service, 3600);
            assert_in_range (world.sample.instances, 1, 2);
            service.rate_in = 0;
            run (&world, &model, &service, 600);
            assert_int_equal (world.sample.instances, 1);
        }
    }
}

/*  A handler that was slow for a while does not keep its many instances for ever.  */
static void test_a_handler_becomes_faster (void **state)
{
    (void)state;
    world_t world;
    model_t model;
    start_model (&model, 7);
    service_t service = {
        .rate_in = 100, .rate_each = 10, .noise = 0.05, .start_s = 1, .busy = PARTITIONS};
    begin (&world, 1, 16);
    run (&world, &model, &service, 3600);
    assert_in_range (world.sample.instances, 10, 16);
    service.rate_each = 200;
    run (&world, &model, &service, 7200);
    assert_in_range (world.sample.instances, 1, 2);
}

/*  Whatever comes in: within the bounds, and no crash.  */
static void test_any_samples_at_all (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 42);
    for (int round = 0; round < 2000; round++) {
        bn_scaler_t scaler;
        bn_scaler_options_t options = {.min = (uint32_t)bn_prng_below (&prng, 6),
                                       .max = (uint32_t)bn_prng_below (&prng, 12),
                                       .target_lag = (uint32_t)(bn_prng_next (&prng) >> 40),
                                       .cooldown_ms = (uint32_t)(bn_prng_next (&prng) >> 48)};
        bn_scaler_init (&scaler, &options);
        bn_scaler_sample_t sample = {0};
        for (int i = 0; i < 50; i++) {
            uint64_t *fields[] = {&sample.ready, &sample.ready_most, &sample.parked,
                                  &sample.published, &sample.settled};
            for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
                *fields[k] = bn_prng_next (&prng) >> bn_prng_below (&prng, 64);
            sample.now_ms += bn_prng_next (&prng) >> (44 + bn_prng_below (&prng, 20));
            sample.instances = (uint32_t)bn_prng_below (&prng, 300);
            sample.partitions = (uint32_t)bn_prng_below (&prng, 257);
            sample.busy_partitions = (uint32_t)bn_prng_below (&prng, 257);
            bn_scaler_decision_t decision;
            bn_scaler_step (&scaler, &sample, &decision);
            assert_in_range (decision.wanted, scaler.options.min, scaler.options.max);
            assert_true (decision.reason[0] != 0);
            assert_true (strlen (decision.reason) < BN_SCALER_REASON_BYTES);
        }
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_grows_to_what_the_lag_asks_for),
        cmocka_unit_test (test_a_peak_of_one_sample_starts_nothing),
        cmocka_unit_test (test_says_once_that_it_is_at_the_most),
        cmocka_unit_test (test_one_hot_key_is_not_helped),
        cmocka_unit_test (test_a_hot_key_in_company),
        cmocka_unit_test (test_no_more_than_partitions),
        cmocka_unit_test (test_parked_events_start_nothing),
        cmocka_unit_test (test_shrinks_when_all_is_quiet),
        cmocka_unit_test (test_a_lag_that_comes_back_starts_the_cooldown_anew),
        cmocka_unit_test (test_a_number_that_is_not_allowed_is_corrected),
        cmocka_unit_test (test_leaves_a_number_set_by_hand_for_a_cooldown),
        cmocka_unit_test (test_says_again_nothing_that_is_not_done),
        cmocka_unit_test (test_a_steady_load_does_not_flap),
        cmocka_unit_test (test_follows_the_load),
        cmocka_unit_test (test_a_handler_becomes_faster),
        cmocka_unit_test (test_any_samples_at_all),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
