/* SPDX-License-Identifier: MPL-2.0 */

/*  The search for what finds room at LIMIT, alone: from any beginning, against an orchestrator that
 *  knows its bounds and does not say which of them was exceeded.  */

#include "base/prng.h"
#include "core/mailbox_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OUTCOMES_MAX 64
#define CASES        20000
#define REFUSALS     16 /* in a row: more than are needed for so many outcomes */

typedef struct {
    bn_relief_t relief;
    bn_outcome_t all[OUTCOMES_MAX];
    uint32_t count;
    bn_outcomes_t ready;           /* all of them */
    uint32_t parked_before;        /* parked events that may be handled */
    uint32_t parked_max, dead_max; /* what the orchestrator keeps to */
    uint32_t parked, dead;         /* what it has */
    uint32_t elsewhere;            /* of these parked, so many the mailbox does not know of */
} world_t;

static void link_ready (world_t *self)
{
    self->ready = (bn_outcomes_t){0};
    for (uint32_t i = 0; i < self->count; i++) {
        bn_outcome_t *outcome = &self->all[i];
        outcome->next = NULL;
        if (self->ready.last)
            self->ready.last->next = outcome;
        else
            self->ready.first = outcome;
        self->ready.last = outcome;
    }
}

static void add (world_t *self, bool main_line, bn_outcome_kind_t kind)
{
    self->all[self->count] =
        (bn_outcome_t){.main_line = main_line, .kind = kind, .offset = self->count};
    self->count++;
    link_ready (self);
    if (main_line)
        return;
    self->parked_before--;
    bn_relief_parked_handled (&self->relief);
}

static void add_any (world_t *self, bn_prng_t *prng)
{
    bool main_line = self->parked_before == 0 || bn_prng_below (prng, 3) > 0;
    const bn_outcome_kind_t kinds[] = {main_line ? BN_OUTCOME_ACK : BN_OUTCOME_DONE,
                                       BN_OUTCOME_PARK, BN_OUTCOME_DIED};
    add (self, main_line, kinds[bn_prng_below (prng, 3)]);
}

static void world_init (world_t *self, bn_prng_t *prng)
{
    *self = (world_t){.parked_max = 1 + (uint32_t)bn_prng_below (prng, 8),
                      .dead_max = (uint32_t)bn_prng_below (prng, 8)};
    self->parked = (uint32_t)bn_prng_below (prng, self->parked_max + 1);
    self->dead = (uint32_t)bn_prng_below (prng, self->dead_max + 1);
    self->elsewhere = (uint32_t)bn_prng_below (prng, self->parked + 1);
    self->parked_before = self->parked - self->elsewhere;
    uint32_t told = (uint32_t)bn_prng_below (prng, 2) ? self->parked_max
                                                      : 1 + (uint32_t)bn_prng_below (prng, 100);
    bn_relief_start (&self->relief, told, self->parked_before);
    for (uint32_t i = (uint32_t)bn_prng_below (prng, 40) + 1; i > 0; i--)
        add_any (self, prng);
}

typedef struct {
    uint32_t count, parks, died, gone;
} request_t;

static request_t offer (world_t *self)
{
    request_t request = {0};
    bool left_out = false, cut = false;
    bn_relief_offer (&self->relief, &self->ready);
    for (bn_outcome_t *outcome = self->ready.first; outcome; outcome = outcome->next) {
        outcome->in_flight =
            !(outcome->main_line && left_out) && bn_relief_allows (&self->relief, outcome);
        if (!outcome->in_flight) {
            left_out |= outcome->main_line;
            cut = true;
            continue;
        }
        bn_relief_add (&self->relief, outcome);
        request.count++;
        request.parks += outcome->main_line && outcome->kind == BN_OUTCOME_PARK;
        request.died += outcome->kind == BN_OUTCOME_DIED;
        request.gone += !outcome->main_line && outcome->kind != BN_OUTCOME_PARK;
    }
    bn_relief_offered (&self->relief, !cut);
    return request;
}

static bool is_accepted (const world_t *self, const request_t *request)
{
    return (!request->parks || self->parked + request->parks - request->gone <= self->parked_max) &&
           (!request->died || self->dead + request->died <= self->dead_max);
}

static void settle (world_t *self, const request_t *request)
{
    self->parked += request->parks - request->gone;
    self->dead += request->died;
    uint32_t left = 0;
    for (uint32_t i = 0; i < self->count; i++)
        if (!self->all[i].in_flight)
            self->all[left++] = self->all[i];
        else
            self->parked_before += self->all[i].kind == BN_OUTCOME_PARK;
    self->count = left;
    link_ready (self);
    bn_relief_accepted (&self->relief);
}

/*  Until all is settled, or it waits (false).  */
static bool run (world_t *self)
{
    uint32_t refused = 0;
    while (self->count > 0) {
        request_t request = offer (self);
        if (request.count == 0) {
            assert_true (bn_relief_nothing_goes (&self->relief));
            return false;
        }
        if (is_accepted (self, &request)) {
            settle (self, &request);
            refused = 0;
            continue;
        }
        refused++;
        assert_in_range (refused, 1, REFUSALS);
        if (bn_relief_refused (&self->relief))
            return false;
    }
    assert_false (bn_relief_stopped (&self->relief));
    return true;
}

/*  From any beginning and with anything to be settled, the refusals in a row are few (R4).  */
static void test_refusals_come_to_an_end (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 1);
    for (int i = 0; i < CASES; i++) {
        world_t world;
        world_init (&world, &prng);
        for (int waits = 0; waits < 20 && !run (&world); waits++)
            if (world.count < OUTCOMES_MAX)
                add_any (&world, &prng);
    }
}

/*  With room for one parked event and for all that die, everything goes, however little the bound
 *  has to do with what was told: parked events that are handled make room for those that wait.  */
static void test_all_goes_as_parked_events_leave (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 2);
    for (int i = 0; i < CASES; i++) {
        world_t world;
        world_init (&world, &prng);
        run (&world);
        if (world.elsewhere > 0) /* would be told by a new generation */
            continue;
        world.dead_max = UINT32_MAX;
        for (int waits = 0; !run (&world); waits++) {
            assert_in_range (waits, 0, OUTCOMES_MAX);
            if (world.parked_before > 0 && world.count < OUTCOMES_MAX)
                add (&world, false, BN_OUTCOME_DONE);
        }
        assert_int_equal (world.count, 0);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_refusals_come_to_an_end),
        cmocka_unit_test (test_all_goes_as_parked_events_leave),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
