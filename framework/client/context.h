/* SPDX-License-Identifier: MPL-2.0 */

/*  context.h - what a handler has in hand during one call, and what it says and emits.
 *
 *  Lives as long as baton_actor_run; bn_context_begin makes it the next event's. Handler thread. */
#ifndef BN_CONTEXT_H
#define BN_CONTEXT_H

#include "client/crossing.h"
#include "client/event_internal.h"
#include "client/publication.h"
#include <baton/actor.h>

typedef struct {
    const char *actor;       /* borrowed for the life of the context */
    const char *source;      /* "/actors/NAME"; emissions borrow it: it must outlive the mailbox */
    size_t emit_bytes_max;   /* of one call */
    bn_crossing_t *crossing; /* borrowed */
} bn_context_options_t;

struct baton_context {
    bn_context_options_t options;
    bn_crossing_facts_t facts; /* of the run */
    baton_event_t event;
    char prefix[BATON_NAME_BYTES_MAX + 1 + 16 + 1 + 1]; /* of the ids of emissions */
    size_t prefix_size;                                 /* 0: not made yet */
    uint64_t prefix_journal_id;
    bn_run_item_t *item;    /* borrowed; in hand */
    uint32_t emission_room; /* of item->emissions, in elements */
    bn_blob_t *chunk;       /* counted; small emissions share it; NULL: none yet */
    size_t chunk_used;
    size_t emitted_bytes; /* by this call */
    uint64_t wall_us;     /* of the first emission of this call; 0: none yet */
    baton_err_t emit_err; /* first failed emission of this call */
    char emit_what[BN_WHAT_BYTES];
    char reason[BN_REASON_BYTES_MAX + 1];
    uint64_t logged_ms; /* monotonic; the last retry that was logged; 0: none yet */
    uint32_t unlogged;  /* retries since then */
};

bool bn_context_init (baton_context_t *self,
                      const bn_context_options_t *options); /* false: memory */
void bn_context_fini (baton_context_t *self);

void bn_context_begin (baton_context_t *self, bn_run_item_t *item,
                       const bn_crossing_facts_t *facts);
/*  Turns the verdict into the item's result, reason and emissions.  */
void bn_context_end (baton_context_t *self, baton_verdict_t verdict);

#endif
