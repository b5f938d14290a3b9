/* SPDX-License-Identifier: MPL-2.0 */

/*  The courier passes between the handler thread and its stand-in, and runs go over and back.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/crossing.h"
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#define WATCH_MS 1

typedef struct {
    bn_crossing_t *crossing;
    pthread_t thread;
    sem_t taken;   /* posted by the stand-in when it has the courier */
    unsigned more; /* runs that the stand-in gives before it hands the courier back */
    unsigned collected;
    unsigned carried; /* by whoever has the courier; no lock but the crossing */
} bench_t;

static bn_run_t *new_run (void)
{
    bn_run_t *run = calloc (1, sizeof *run);
    assert_non_null (run);
    return run;
}

/*  Until the run that is out has come back.  */
static void await_run (bench_t *self)
{
    bn_run_t *run;
    do {
        struct pollfd fd = {.fd = bn_crossing_fd (self->crossing), .events = POLLIN};
        poll (&fd, 1, -1);
        bn_crossing_acknowledge (self->crossing);
        run = bn_crossing_collect (self->crossing);
    } while (!run);
    bn_run_destroy (&run);
    self->collected++;
}

static void *stand_in (void *arg)
{
    bench_t *self = arg;
    bn_crossing_facts_t facts = {.journal_id = 7};
    while (bn_crossing_stand_in (self->crossing)) {
        if (!bn_crossing_is_out (self->crossing))
            abort (); /* there is nothing to stand in for */
        self->carried++;
        sem_post (&self->taken);
        await_run (self);
        for (; self->more > 0; self->more--) {
            bn_crossing_give (self->crossing, calloc (1, sizeof (bn_run_t)), &facts);
            await_run (self);
        }
        bn_crossing_hand_back (self->crossing);
    }
    return NULL;
}

static int begin (void **state)
{
    bench_t *self = calloc (1, sizeof *self);
    self->crossing = bn_crossing_new (WATCH_MS, 4 * WATCH_MS);
    sem_init (&self->taken, 0, 0);
    *state = self;
    return pthread_create (&self->thread, NULL, stand_in, self);
}

static int end (void **state)
{
    bench_t *self = *state;
    bn_crossing_close (self->crossing);
    pthread_join (self->thread, NULL);
    bn_crossing_destroy (&self->crossing);
    sem_destroy (&self->taken);
    free (self);
    return 0;
}

/*  A run that stays away until the courier has been taken over. Returns when it is back.  */
static void stay_away (bench_t *self)
{
    bn_run_t *run = new_run ();
    bn_crossing_facts_t facts = {.journal_id = 0};
    unsigned given = 0, more = self->more;
    bn_crossing_leave (self->crossing, run);
    sem_wait (&self->taken);
    assert_false (bn_crossing_back (self->crossing));
    bn_crossing_taken_t taken;
    do {
        bn_crossing_give_back (self->crossing, run);
        taken = bn_crossing_take (self->crossing, &run, &facts);
        given += taken == BN_CROSSING_RUN;
    } while (taken == BN_CROSSING_RUN);
    assert_int_equal (taken, BN_CROSSING_COURIER);
    assert_int_equal (given, more);
    assert_int_equal (facts.journal_id, more > 0 ? 7 : 0);
    assert_false (bn_crossing_is_out (self->crossing));
}

static void a_long_run_leaves_the_courier (void **state)
{
    bench_t *self = *state;
    stay_away (self);
    assert_int_equal (self->collected, 1);
    self->more = 3;
    stay_away (self);
    assert_int_equal (self->collected, 5);
}

static void a_short_run_keeps_it (void **state)
{
    (void)state;
    bn_crossing_t *crossing = bn_crossing_new (WATCH_MS, 4 * WATCH_MS); /* nobody stands in */
    bn_run_t *run = new_run ();
    bn_in_hand_t hand;
    assert_false (bn_crossing_is_out (crossing));
    bn_crossing_leave (crossing, run);
    assert_true (bn_crossing_is_out (crossing));
    assert_false (bn_crossing_in_hand (crossing, &hand));
    assert_true (bn_crossing_back (crossing));
    assert_false (bn_crossing_is_out (crossing));
    assert_null (bn_crossing_collect (crossing));
    bn_run_destroy (&run);
    bn_crossing_close (crossing);
    assert_false (bn_crossing_stand_in (crossing));
    bn_crossing_facts_t facts;
    assert_int_equal (bn_crossing_take (crossing, &run, &facts), BN_CROSSING_CLOSED);
    bn_crossing_destroy (&crossing);
}

/*  The stand-in sleeps without a time limit when no run has come for a while.  */
static void it_is_taken_over_after_a_pause (void **state)
{
    bench_t *self = *state;
    for (int i = 0; i < 3; i++) {
        stay_away (self);
        nanosleep (&(struct timespec){.tv_nsec = 20 * WATCH_MS * 1000000}, NULL);
    }
    assert_int_equal (self->collected, 3);
}

/*  Short runs, among them some that are about as long as a look takes, and some that stay.  */
static void nothing_is_lost_between_the_two (void **state)
{
    bench_t *self = *state;
    unsigned runs = 0, kept = 0, lost = 0;
    bn_crossing_facts_t facts;
    for (; runs < 2000; runs++) {
        if (runs % 100 == 99) {
            stay_away (self);
            continue;
        }
        bn_run_t *run = new_run ();
        self->carried++;
        bn_crossing_leave (self->crossing, run);
        if (runs % 10 == 0)
            nanosleep (&(struct timespec){.tv_nsec = (long)(runs * 997 % 2500) * 1000}, NULL);
        if (bn_crossing_back (self->crossing)) {
            bn_run_destroy (&run);
            kept++;
            continue;
        }
        lost++;
        sem_wait (&self->taken);
        bn_crossing_give_back (self->crossing, run);
        assert_int_equal (bn_crossing_take (self->crossing, &run, &facts), BN_CROSSING_COURIER);
    }
    assert_int_equal (kept + lost, 1980);
    assert_int_equal (self->collected, lost + 20);
    /*  Once for each run that began here, and once for each time that the stand-in had it.  */
    assert_int_equal (self->carried, 1980 + lost + 20);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (a_long_run_leaves_the_courier, begin, end),
        cmocka_unit_test (a_short_run_keeps_it),
        cmocka_unit_test_setup_teardown (it_is_taken_over_after_a_pause, begin, end),
        cmocka_unit_test_setup_teardown (nothing_is_lost_between_the_two, begin, end),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
