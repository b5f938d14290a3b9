/* SPDX-License-Identifier: MPL-2.0 */

/*  crossing.h - the only way between the two threads of an actor: the handler thread (the one that
 *  called baton_actor_run) and its stand-in.
 *
 *  The courier (sockets, heartbeats, mailbox; courier.c) belongs to the handler thread, which
 *  serves it, and handles the runs that come of it, without waking anybody. When a run keeps it
 *  away, the stand-in takes the courier over, so that a handler that takes a minute costs nobody a
 *  session; it hands it back when no run is out any more:
 *
 *      handler thread                             stand-in
 *      has the courier                            stand_in () waits
 *         | leave (run)                              | looks now and then
 *         | begin (item), handler, end ()            |
 *         | back (): true, it has it still           |
 *         |                                          |
 *         | leave (run) ... the same run at two looks: it has it now
 *         | back (): false                           |
 *         | give_back (run) --- descriptor --------> | collect ()
 *         | take () <------------------------------- | give (run)
 *         |        ...                               |
 *         | take (): the courier's <---------------- | hand_back (): nothing is out
 *
 *  DESIGN. A run belongs to one side at a time. The courier passes by a compare-and-swap of `away`
 *  or under the lock; either makes all that the one thread has written visible to the other, which
 *  is also what libzmq asks of sockets that move. What may be looked at from the other side is
 *  small and atomic: which item is in hand, until when, and that a stop was asked for.
 *  bn_crossing_stop is async-signal-safe: an atomic store and a write to an eventfd.
 *
 *  Each look costs a wake-up. While runs come and are quick, the looks grow rarer, watch_ms_max
 *  apart at most; after a run that was taken over they are as frequent as at first. When no run
 *  has come for a while there are none: the next run to leave wakes the stand-in.
 *
 *  INVARIANT X1: at most one run is on the handlers' side.
 *  INVARIANT X2: the courier reads only offset and partition of the run that is out, and nobody
 *  writes those.
 *  INVARIANT X3: one thread has the courier at any time.  */
#ifndef BN_CROSSING_H
#define BN_CROSSING_H

#include "core/mailbox.h"

/*  What a handler may know of the orchestrator; as it was when the run was given.  */
typedef struct {
    uint64_t journal_id;
    uint32_t data_bytes_max;
    bool after_stop; /* given after the stop was told: it is handled in spite of that */
} bn_crossing_facts_t;

typedef struct bn_crossing bn_crossing_t;

/*  The courier is taken over from a run that has lasted for one to two times the time between two
 *  looks: watch_ms, at least 1, or more after quick runs, up to watch_ms_max. NULL: no memory or
 *  descriptors.  */
bn_crossing_t *bn_crossing_new (uint32_t watch_ms, uint32_t watch_ms_max);
void bn_crossing_destroy (bn_crossing_t **self_p);

/*  ---- whoever has the courier ---- */
int bn_crossing_fd (const bn_crossing_t *self);     /* readable: collect, or a stop was asked for */
void bn_crossing_acknowledge (bn_crossing_t *self); /* empties the descriptor; before collect */
void bn_crossing_give (bn_crossing_t *self, bn_run_t *run, const bn_crossing_facts_t *facts);
bn_run_t *bn_crossing_collect (bn_crossing_t *self); /* the run that came back, or NULL */
bool bn_crossing_is_out (const bn_crossing_t *self); /* a run was given and not collected */
void bn_crossing_close (bn_crossing_t *self);        /* no more runs, and no more standing in */

/*  The item in hand of the run that is out; false: none is.  */
typedef struct {
    uint64_t offset;
    uint32_t partition;
    uint32_t index;
    uint64_t deadline_ms; /* monotonic */
} bn_in_hand_t;

bool bn_crossing_in_hand (const bn_crossing_t *self, bn_in_hand_t *in_hand);

/*  ---- stand-in ---- */
/*  Waits until the courier is taken over: true. False: closed.  */
bool bn_crossing_stand_in (bn_crossing_t *self);
/*  Only when no run is out.  */
void bn_crossing_hand_back (bn_crossing_t *self);

/*  ---- handlers' side ---- */
/*  With the courier: the run is out from now on, and the courier may be taken over.  */
void bn_crossing_leave (bn_crossing_t *self, bn_run_t *run);
/*  The run has been handled. True: it is not out any more, and the caller has the courier still.
 *  False: the stand-in has it; give the run back, and take.  */
bool bn_crossing_back (bn_crossing_t *self);

typedef enum { BN_CROSSING_RUN, BN_CROSSING_COURIER, BN_CROSSING_CLOSED } bn_crossing_taken_t;

/*  Waits for a run, or for the courier to be handed back. *run is set with a run only.  */
bn_crossing_taken_t bn_crossing_take (bn_crossing_t *self, bn_run_t **run,
                                      bn_crossing_facts_t *facts);
void bn_crossing_begin (bn_crossing_t *self, uint32_t index, uint64_t deadline_ms);
void bn_crossing_extend (bn_crossing_t *self, uint64_t deadline_ms); /* never to an earlier time */
void bn_crossing_end (bn_crossing_t *self);
void bn_crossing_give_back (bn_crossing_t *self, bn_run_t *run);

/*  ---- any thread, also a signal handler ---- */
void bn_crossing_stop (bn_crossing_t *self);
bool bn_crossing_stopping (const bn_crossing_t *self);

#endif
