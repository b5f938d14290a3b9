/* SPDX-License-Identifier: MPL-2.0 */

/*  actor_internal.h - an actor as its parts see it: options and handlers, fixed before
 *  baton_actor_run; the courier thread's outcome, read after it ended.  */
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
    baton_err_t err; /* why it ended; courier's until it is joined */
    char error_text[BN_ERROR_TEXT_BYTES];
};

/*  Body of the courier thread: joins, carries, and returns when the actor has drained or cannot go
 *  on (self->err, error_text). Closes the crossing in any case.  */
void bn_courier_run (baton_actor_t *self);

/*  Handles the items of one run until it is done, full, or a stop was asked for.  */
void bn_actor_handle_run (baton_actor_t *self, baton_context_t *context, bn_run_t *run,
                          const bn_crossing_facts_t *facts);

#endif
