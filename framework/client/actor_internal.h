/* SPDX-License-Identifier: MPL-2.0 */

/*  actor_internal.h - an actor as its parts see it: options and handlers, fixed before
 *  baton_actor_run; the courier's outcome, read after the run.  */
#ifndef BN_ACTOR_INTERNAL_H
#define BN_ACTOR_INTERNAL_H

#include "client/context.h"
#include "client/crossing.h"
#include "shell/notify.h"
#include <baton/actor.h>

#define BN_ERROR_TEXT_BYTES 512
/*  Results that a run may gather before it goes back to be settled, in bytes.  */
#define BN_RUN_BYTES_MAX (1024 * 1024)
/*  Time after which a run goes back although more of it could be handled, in ms: what is done gets
 *  settled soon, also when handlers are slow.  */
#define BN_RUN_MS_MAX     5
#define BN_RUN_EVENTS_MAX 1024

typedef struct {
    char *pattern; /* owned */
    baton_handler_fn *handler;
    void *arg;
} bn_handler_t;

struct baton_actor {
    baton_actor_options_t options; /* complete; texts point to the copies below */
    char name[BATON_NAME_BYTES_MAX + 1];
    char instance[BATON_NAME_BYTES_MAX + 1];
    char endpoint[BN_ENDPOINT_BYTES_MAX + 1];
    char source[BATON_NAME_BYTES_MAX + 16]; /* "/actors/NAME" */
    bn_handler_t handlers[BN_PATTERNS_MAX];
    const char *patterns[BN_PATTERNS_MAX]; /* of handlers, in the same order */
    uint32_t handler_count;
    bn_crossing_t *crossing;
    bn_notify_t *notify; /* borrowed, the courier's while it runs; NULL: nobody is told */
    uint32_t run_ms_max; /* BN_RUN_MS_MAX */
    bool ran;
    baton_err_t err; /* why it ended; the courier's until baton_actor_run returns */
    char error_text[BN_ERROR_TEXT_BYTES];
};

/*  The courier joins, carries, and ends when the actor has drained or cannot go on: then actor->err
 *  and error_text are set, and the crossing is closed. Called by the thread that has it
 *  (crossing.h).  */
typedef struct bn_courier bn_courier_t;

bn_courier_t *bn_courier_new (baton_actor_t *actor); /* borrowed. NULL: no memory or descriptors */
void bn_courier_destroy (bn_courier_t **self_p);

/*  Handler thread: serves until there is a run to handle, which is the caller's until
 *  bn_courier_handled or the stand-in gets it back. NULL: the end.  */
bn_run_t *bn_courier_serve (bn_courier_t *self, bn_crossing_facts_t *facts);
void bn_courier_handled (bn_courier_t *self, bn_run_t *run);

/*  Body of the stand-in: takes the courier over, serves until no run is out, and hands it back;
 *  until the end.  */
void bn_courier_stand_in (bn_courier_t *self);

/*  Handles the items of one run until it is done, full, or a stop was asked for.  */
void bn_actor_handle_run (baton_actor_t *self, baton_context_t *context, bn_run_t *run,
                          const bn_crossing_facts_t *facts);

#endif
