/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor.h - the orchestrator's mind: a state machine without I/O.
 *
 *  bn_conductor_step (machine, event, effects). Time and randomness come in with the event. It owns
 *  the durable state (state.h) and what dies with the process: routes, sessions, waiting fetches.
 *  Runs in the orchestrator's thread; links no socket, clock, thread or file.  */
#ifndef BN_CONDUCTOR_H
#define BN_CONDUCTOR_H

#include "core/effects.h"
#include "core/state.h"

typedef struct {
    uint32_t message_bytes_max;
    uint32_t data_bytes_max;
    uint32_t topics_max;
    uint32_t actors_max;
    uint32_t sessions_max;       /* routes with a HELLO */
    uint32_t parked_max;         /* per actor and partition */
    uint32_t dead_max;           /* per actor */
    uint32_t heartbeat_ms;       /* told to the peers */
    uint32_t session_timeout_ms;
    uint32_t reconnect_grace_ms;
    uint32_t bundle_section_bytes; /* sections of a record that are smaller than this on average go
                                      out in bundles; 0: never */
    char fanout_endpoint[BN_ENDPOINT_BYTES_MAX + 1];
} bn_conductor_options_t;

typedef enum {
    BN_CONDUCTOR_START,   /* once, after recovery: a GENESIS if the journal is new (uses `random`
                             for the journal id and `partitions`); former owners get a session
                             timeout to come back */
    BN_CONDUCTOR_MESSAGE, /* frames from a route */
    BN_CONDUCTOR_GONE,    /* the route's connection is gone */
    BN_CONDUCTOR_TICK     /* time passed; at least every heartbeat_ms / 2 */
} bn_conductor_event_kind_t;

typedef struct {
    bn_conductor_event_kind_t kind;
    bn_time_t now;
    uint64_t random;          /* fresh randomness: START, and MESSAGE for what needs some */
    uint64_t route;           /* MESSAGE, GONE: the shell's handle for a connection, never 0, never
                                 used again for another one */
    const bn_frame_t *frames; /* MESSAGE; borrowed during the step */
    size_t frame_count;
    uint32_t partitions;      /* START: of a new journal */
    uint64_t first;           /* oldest offset that the journal keeps: what is below was let go, or
                                 the order to do so is out */
    bool disk_full;           /* free space is below the reserve: refuse what would grow the journal
                                 for a producer (settle goes on as long as there is room at all) */
} bn_conductor_event_t;

typedef struct bn_conductor bn_conductor_t;

/*  Takes over the state (recovered or new). NULL: no memory (state untouched).  */
bn_conductor_t *bn_conductor_new (const bn_conductor_options_t *options, bn_state_t **state_p);
void bn_conductor_destroy (bn_conductor_t **self_p);
void bn_conductor_step (bn_conductor_t *self, const bn_conductor_event_t *event,
                        bn_effects_t *effects);
/*  What came of a READ effect: everything asked for below scanned_to was sent. May be left out; it
 *  makes the conductor know better how far an instance can have come when it dies.  */
void bn_conductor_read_done (bn_conductor_t *self, uint64_t route, uint64_t request,
                             uint64_t scanned_to, bool at_tail);
const bn_state_t *bn_conductor_state (const bn_conductor_t *self);
/*  Monotonic ms when the next TICK is needed at the latest.  */
uint64_t bn_conductor_due_ms (const bn_conductor_t *self);

#endif
