/* SPDX-License-Identifier: MPL-2.0 */

/*  crossing.h - the only way between the two threads of an actor: the courier (sockets, mailbox)
 *  and the handler thread (the one that called baton_actor_run).
 *
 *      courier                                    handler thread
 *         | give (run) ------------------------------> take () waits
 *         |                                        begin (item), handler, end ()
 *         | collect () <--- descriptor readable --- give_back (run)
 *         | close () ---------------------------------> take () returns NULL
 *
 *  DESIGN. A run belongs to one side at a time and passes under the lock. What may be looked at
 *  from the other side is small and atomic: which item is in hand, until when, and that a stop was
 *  asked for. bn_crossing_stop is async-signal-safe: an atomic store and a write to an eventfd.
 *
 *  INVARIANT X1: at most one run is on the handlers' side.
 *  INVARIANT X2: the courier reads only offset and partition of the run that is out, and nobody
 *  writes those.  */
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

bn_crossing_t *bn_crossing_new (void); /* NULL: no memory or descriptors */
void bn_crossing_destroy (bn_crossing_t **self_p);

/*  ---- courier's side ---- */
int bn_crossing_fd (const bn_crossing_t *self);     /* readable: collect, or a stop was asked for */
void bn_crossing_acknowledge (bn_crossing_t *self); /* empties the descriptor; before collect */
void bn_crossing_give (bn_crossing_t *self, bn_run_t *run, const bn_crossing_facts_t *facts);
bn_run_t *bn_crossing_collect (bn_crossing_t *self); /* the run that came back, or NULL */
bool bn_crossing_is_out (const bn_crossing_t *self); /* a run was given and not collected */
void bn_crossing_close (bn_crossing_t *self);        /* no more runs */

/*  The item in hand of the run that is out; false: none is.  */
typedef struct {
    uint64_t offset;
    uint32_t partition;
    uint32_t index;
    uint64_t deadline_ms; /* monotonic */
} bn_in_hand_t;

bool bn_crossing_in_hand (const bn_crossing_t *self, bn_in_hand_t *in_hand);

/*  ---- handlers' side ---- */
/*  Waits for a run; NULL: closed.  */
bn_run_t *bn_crossing_take (bn_crossing_t *self, bn_crossing_facts_t *facts);
void bn_crossing_begin (bn_crossing_t *self, uint32_t index, uint64_t deadline_ms);
void bn_crossing_extend (bn_crossing_t *self, uint64_t deadline_ms); /* never to an earlier time */
void bn_crossing_end (bn_crossing_t *self);
void bn_crossing_give_back (bn_crossing_t *self, bn_run_t *run);

/*  ---- any thread, also a signal handler ---- */
void bn_crossing_stop (bn_crossing_t *self);
bool bn_crossing_stopping (const bn_crossing_t *self);

#endif
