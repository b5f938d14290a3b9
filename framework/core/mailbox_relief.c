/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_relief.c - what a partition still settles when not all of it is accepted.
 *
 *  A SETTLE that would park more than parked_max events of a partition, or make more than dead_max
 *  dead letters of an actor, is refused with LIMIT, all of it. The partition then stops: it takes
 *  nothing more from its main line. What takes parked events away is settled and makes room; of the
 *  main line a beginning goes along, as much as there is room for.
 *
 *  DESIGN. How much room there is, nobody tells for certain. JOINED told parked_max, but redriven
 *  events are parked there before this mailbox hears of them; and dead_max is for all instances
 *  together, and people make room below it. So it is searched for, by what is accepted and refused:
 *
 *    parked_max   is learned. `fits` parked events were accepted, more than `most` are refused.
 *                 What is offered lies half way between until they meet; from then on each event
 *                 that leaves makes room for one more in the same request, and none is refused.
 *    dead_max     is not worth learning, it says nothing about the next time: half as many dead
 *                 letters are offered after each refusal, until they fit or none is left.
 *
 *  Which of the two was exceeded the refusal tells only people. Without dead letters in the request
 *  it is parked_max. With some, it is dead_max if the parked events should have fitted, but only
 *  until dead letters are known to be refused: if it goes on nevertheless, half as much of the main
 *  line is offered until none is left, then half as many of the parked events that die.
 *
 *    OPEN    everything that is ready is offered
 *    PART    stopped; a request has what bn_relief_allows
 *    WHOLE   stopped; everything is offered again
 *
 *    OPEN    refused                                        PART
 *    PART    refused, something can be left out             PART, less than before
 *            refused and nothing can, or nothing may go     WHOLE, after 200 to 500 ms
 *    WHOLE   refused                                        PART
 *    both    accepted, and nothing was left out             OPEN
 *            accepted, and it is parked_max that is near    PART, up to the bounds
 *            accepted, but what else is in the way may be   WHOLE: how much fits of that, nothing
 *            gone                                           tells
 *            a parked event was handled                     PART, at once
 *
 *  INVARIANTS
 *    R1  A request takes away no more parked events than the orchestrator has.
 *    R2  fits <= most: what is offered lies between them.
 *    R3  The parts of a main line are beginnings of it: nothing of it is settled past what stays
 *        (M1), and nothing of a key before its elders (M2). Whoever builds the request sees to it.
 *    R4  Refusals come to an end: in PART each one lowers `most`, or halves what the main line may
 *        add or what may die, and when there is nothing to halve, the partition waits. Only an
 *        accepted request and a handled parked event start this anew, and both are progress.  */

#include "core/mailbox_internal.h"

#define ALL UINT32_MAX /* no bound */

void bn_relief_start (bn_relief_t *self, uint32_t parked_max, uint32_t parked)
{
    *self = (bn_relief_t){.there = parked, .fits = parked_max, .most = parked_max};
}

static bool leaves (const bn_outcome_t *outcome)
{
    return !outcome->main_line && outcome->kind != BN_OUTCOME_PARK;
}

static bool parks_anew (const bn_outcome_t *outcome)
{
    return outcome->main_line && outcome->kind == BN_OUTCOME_PARK;
}

static bool dies (const bn_outcome_t *outcome)
{
    return outcome->kind == BN_OUTCOME_DIED;
}

/*  Does it come from the main line to be kept, parked or dead?  */
static bool held (const bn_outcome_t *outcome)
{
    return outcome->main_line && (outcome->kind == BN_OUTCOME_PARK || dies (outcome));
}

/*  A part, as much of it as each bound lets.  */
static void try_part (bn_relief_t *self)
{
    self->state = BN_RELIEF_PART;
    self->held_most = self->died_most = ALL;
}

/*  ---- a request ---------------------------------------------------------------------------- */

/*  How many events may be parked anew: so that there are half way between `fits` and `most` then.
 *  All that leave are counted on, although the message may have no room for some.  */
static uint32_t parks_room (const bn_relief_t *self, const bn_outcomes_t *ready)
{
    if (self->most == ALL)
        return ALL;
    bn_assert (self->fits <= self->most); /* R2 */
    uint64_t room = self->fits + (uint64_t)(self->most - self->fits + 1) / 2;
    for (const bn_outcome_t *outcome = ready->first; outcome; outcome = outcome->next)
        room += leaves (outcome);
    return room > self->there ? (uint32_t)(room - self->there) : 0;
}

void bn_relief_offer (bn_relief_t *self, const bn_outcomes_t *ready)
{
    self->offer = (bn_relief_offer_t){0};
    if (self->state == BN_RELIEF_PART)
        self->parks_most = parks_room (self, ready);
}

bool bn_relief_allows (const bn_relief_t *self, const bn_outcome_t *outcome)
{
    if (self->state != BN_RELIEF_PART)
        return true;
    return !(held (outcome) && self->offer.held == self->held_most) &&
           !(dies (outcome) && self->offer.died == self->died_most) &&
           !(parks_anew (outcome) && self->offer.parks == self->parks_most);
}

void bn_relief_add (bn_relief_t *self, const bn_outcome_t *outcome)
{
    self->offer.held += held (outcome);
    self->offer.died += dies (outcome);
    self->offer.parks += parks_anew (outcome);
    self->offer.gone += leaves (outcome);
}

void bn_relief_offered (bn_relief_t *self, bool whole)
{
    bn_assert (self->offer.gone <= self->there); /* R1 */
    self->offer.whole = whole;
    self->offer.there = self->there + self->offer.parks - self->offer.gone;
}

bool bn_relief_nothing_goes (bn_relief_t *self)
{
    if (self->state != BN_RELIEF_PART)
        return false;
    self->state = BN_RELIEF_WHOLE;
    return true;
}

/*  ---- what came of it ---------------------------------------------------------------------- */

void bn_relief_accepted (bn_relief_t *self)
{
    const bn_relief_offer_t *offer = &self->offer;
    self->there = offer->there;
    if (offer->parks > 0 && self->there > self->fits)
        self->fits = self->there;
    if (self->fits > self->most)
        self->most = ALL; /* it was something else that was refused */
    if (offer->died > 0)
        self->dead_full = false;
    if (!bn_relief_stopped (self))
        return;
    if (offer->whole)
        self->state = BN_RELIEF_OPEN;
    else if (self->most < ALL && !self->dead_full)
        try_part (self);
    else
        self->state = BN_RELIEF_WHOLE;
}

/*  A refusal without dead letters in the request is about parked_max. True: the next request will
 *  be smaller for it.  */
static bool learn (bn_relief_t *self)
{
    const bn_relief_offer_t *offer = &self->offer;
    if (offer->died > 0 || offer->parks == 0)
        return false;
    bool news = offer->there <= self->most;
    if (news)
        self->most = offer->there - 1;
    if (self->most < self->fits)
        self->fits = 0; /* there were more of them than would be accepted today */
    if (!news && self->state == BN_RELIEF_PART)
        return false;
    try_part (self);
    return true;
}

bool bn_relief_refused (bn_relief_t *self)
{
    if (learn (self))
        return false;
    const bn_relief_offer_t *offer = &self->offer;
    bool part = self->state == BN_RELIEF_PART;
    bool main_line_spent = part && offer->held == 0;
    /*  (They may have no room: others may have been parked there that this mailbox has not heard
     *  of.)  */
    bool parked_should_fit = offer->there <= self->fits;
    if (!part)
        try_part (self);
    if (main_line_spent || (offer->died > 0 && parked_should_fit && !self->dead_full)) {
        self->dead_full = true;
        self->died_most = offer->died / 2;
    } else
        self->held_most = offer->held / 2;
    if (!main_line_spent || offer->died > 0)
        return false;
    self->state = BN_RELIEF_WHOLE;
    return true;
}

void bn_relief_parked_handled (bn_relief_t *self)
{
    if (!bn_relief_stopped (self))
        return;
    self->at_ms = 0;
    try_part (self);
    /*  Where the main line waits for other room than this, it is not tried again for it.  */
    if (self->most == ALL || self->dead_full)
        self->held_most = 0;
}
