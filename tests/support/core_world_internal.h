/* SPDX-License-Identifier: MPL-2.0 */

/*  core_world_internal.h - what the files of the world share.
 *
 *    core_world.c          connections, processes, handlers, faults
 *    core_world_journal.c  the journal in memory, and what must hold  */
#ifndef CORE_WORLD_INTERNAL_H
#define CORE_WORLD_INTERNAL_H

#include "base/prng.h"
#include "core/conductor.h"
#include "core/mailbox.h"
#include "support/core_world.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PARTITIONS    4
#define KEYS          12
#define INSTANCES_MAX 4
#define EVENTS_MAX    4096
#define FRAMES_MAX    64
#define ACTOR         "payment"
#define DEADLINE_MS   1000
#define FAULTY_MS     60000  /* of virtual time, if the events are not out before */
#define DRAIN_MS      600000 /* then everything must be done within so long */

typedef struct parcel {
    struct parcel *next;
    uint64_t due_ms;
    size_t count;
    bn_blob_t *blobs[FRAMES_MAX];
} parcel_t;

typedef struct {
    parcel_t *first;
    parcel_t *last;
} line_t; /* FIFO, as a connection is */

typedef struct {
    uint64_t offset;
    uint32_t partition;
    uint64_t key_hash;
    uint32_t
        charges_max; /* BEGINs journaled, deadlines passed: it may be charged so many crashes */
    uint32_t retries;
    uint32_t poison;               /* so many times it kills its process */
    uint32_t emitted;              /* copies in the journal */
    uint32_t dead;                 /* dead letters in the journal */
    uint64_t given[INSTANCES_MAX]; /* run_life in which that instance was through with it */
    bool done;                     /* settled */
} fact_t;

typedef struct {
    char name[32];
    bn_mailbox_t *mailbox; /* NULL: no process */
    bn_mailbox_effects_t effects;
    uint64_t incarnation;
    uint64_t life;    /* counts sessions: what it acknowledged in an earlier one may come again */
    uint64_t route;   /* 0: not connected */
    uint64_t next_ms; /* connects or starts */
    bool subscribed[PARTITIONS];
    line_t up, down, fan;
    bn_run_t *run;
    uint64_t run_life; /* life when it was handed out */
    uint32_t at;       /* item in the handler */
    uint64_t item_done_ms;
    bool begun;         /* the item at `at` is in the handler */
    uint64_t expire_ms; /* 0: not */
    bool stopping;
} instance_t;

typedef struct {
    uint32_t type;
    uint64_t base;
    uint32_t count;
    uint64_t time_us;
    bn_blob_t *body;
} stored_t;

typedef struct {
    world_options_t options;
    bn_prng_t prng;
    bn_time_t now;
    bool faults;
    bn_conductor_t *conductor;
    bn_effects_t effects;
    stored_t *records;
    size_t record_count;
    bn_section_t *sections; /* of all records, by offset; payload borrowed from them */
    size_t section_count;
    fact_t facts[EVENTS_MAX];
    uint32_t fact_count;
    instance_t instances[INSTANCES_MAX];
    uint64_t route_last;
    uint64_t incarnation_last;
    uint64_t life_last;
    uint64_t producer_route;
    uint64_t producer_sequence;
    uint64_t producer_request;
    bool producer_waits;
    bn_message_t *publishing;
    uint32_t published;
    uint64_t disk_full_until_ms;
    uint64_t kills, breaks, restarts, drops, expiries, stops;
} world_t;

#define broken(self, ...)                                                                          \
    do {                                                                                           \
        fprintf (stderr, "seed %" PRIu64 ": ", (self)->options.seed);                              \
        fprintf (stderr, __VA_ARGS__);                                                             \
        fprintf (stderr, "\n");                                                                    \
        fail ();                                                                                   \
    } while (0)

#define say(self, ...)                                                                             \
    do {                                                                                           \
        if ((self)->options.loud) {                                                                \
            fprintf (stderr, "%8" PRIu64 " ", (self)->now.mono_ms);                                \
            fprintf (stderr, __VA_ARGS__);                                                         \
            fprintf (stderr, "\n");                                                                \
        }                                                                                          \
    } while (0)

uint64_t world_below (world_t *self, uint64_t bound);
bool world_chance (world_t *self, uint64_t in_thousand);

fact_t *world_fact (world_t *self, uint64_t offset);
void world_store (world_t *self, bn_effect_t *effect);
/*  What the journal thread does with a READ: EVENTS, in frames. Returns their number.  */
size_t world_read (world_t *self, const bn_read_spec_t *spec, bn_blob_t *blobs[FRAMES_MAX]);
const bn_actor_state_t *world_actor (world_t *self);
bool world_done (const bn_actor_state_t *actor, const fact_t *fact);
void world_check_records (world_t *self);
void world_check_handled (world_t *self, const instance_t *instance, const bn_run_item_t *item);

#endif
