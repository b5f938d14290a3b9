/* SPDX-License-Identifier: MPL-2.0 */

/*  state.h - what the journal's records add up to: actors, floors, parked, dead, producers, topics.
 *
 *  DESIGN. A fold: state after record n = apply (state after n-1, record n), and nothing else
 *  changes it. The conductor decides, makes a record, applies it here and persists it; recovery
 *  applies the same records again. So what is on disk and what is in memory cannot differ in
 *  meaning. Nothing about connections, sessions or timers is in here: that is conductor.c's, and is
 *  lost with the process.
 *
 *  INVARIANT S1: for each actor and partition, floor <= tail, and every parked offset < floor.
 *  INVARIANT S2: generation of an (actor, partition) never goes down.
 *  INVARIANT S3: an offset is at most once among parked and dead of an actor.
 *  INVARIANT S4: `published` of an actor is the sum of `events` of the topics that it reads.
 *  INVARIANT S5: former_end <= former_until <= tail, and none of them without former patterns.
 *
 *  What an actor is owed is settled when an event is journaled: whatever its patterns match then.
 *  So other patterns cut its past at the tail of their REGISTER record: below it the former ones
 *  count, from it on the new ones. One cut is remembered, and the next one is made only when no
 *  partition has main-line events left below it (conductor_join.c sees to that).
 *
 *  bn_state_apply is total: a record that does not fit the state (it cannot have been written by
 *  this code) is an error, never an assert, because it came from a disk.  */
#ifndef BN_STATE_H
#define BN_STATE_H

#include "base/map.h"
#include "wire/record.h"

#define BN_PRODUCER_RECEIPTS 16 /* remembered receipts of a producer */

typedef struct {
    uint64_t floor;         /* all events for the actor below are settled, parked or dead */
    uint64_t head;          /* end of the last section for the actor here; 0: none */
    uint64_t pending;       /* main-line events at or above floor: handled ones are taken off */
    uint64_t generation;    /* last one given out; 0: none yet */
    uint64_t careful_until; /* 0: not careful */
    uint64_t begun;         /* offset of the event that is in a careful handler, or BN_NO_OFFSET */
    bn_map_t *parked;       /* offset -> bn_parked_t (owned); due_ms is wall clock */
    bn_map_t *charged;      /* offset -> bn_charged_t (owned); crashes of main-line events. The
                               reasons of both lie behind them: free () takes all */
    char instance[BATON_NAME_BYTES_MAX + 1]; /* owner by the last ASSIGN; "" nobody */
    uint64_t incarnation;   /* of the owner */
    bool exact;             /* pending is exact */
    uint64_t former_end;    /* end of the last section for the former patterns; 0: none waited */
} bn_actor_partition_t;

typedef struct {
    bn_dead_letter_t letter;
    uint64_t key_hash;      /* as in bn_parked_t: a redriven one must block its key again */
} bn_dead_state_t;

typedef struct {
    uint32_t id;
    char name[BATON_NAME_BYTES_MAX + 1];
    char *patterns[BN_PATTERNS_MAX]; /* owned, NUL-terminated */
    uint32_t pattern_count;
    char *former[BN_PATTERNS_MAX]; /* owned: those before, which count below former_until */
    uint32_t former_count;
    uint64_t former_until;  /* the cut; 0: there are no former ones */
    bn_policy_t policy;
    bn_actor_partition_t *partitions; /* owned; P of them */
    uint64_t published;     /* events ever in the topics that it reads; a cache (S4) */
    bn_map_t *dead;         /* dead offset -> bn_dead_state_t (owned) */
    bn_map_t *held;         /* offset -> its bn_parked_t or bn_dead_state_t (borrowed); for S3 */
    uint64_t settled;       /* events settled since registration */
    uint64_t retried;       /* verdicts RETRY */
    uint64_t died;          /* events ever dead-lettered */
    uint64_t mixed_base;    /* scratch of conductor_fanout.c: a mixed section, */
    uint32_t mixed_count;   /*   and how many of its events the actor reads */
} bn_actor_state_t;

typedef struct {
    uint64_t end;           /* of the last section; 0: none */
    uint64_t count;         /* events ever */
} bn_topic_partition_t;

typedef struct {
    char *name;             /* owned */
    uint64_t events;        /* ever */
    uint64_t bytes;         /* payload bytes, ever */
    bn_topic_partition_t *partitions; /* owned; P of them */
    bn_actor_state_t **readers;   /* owned array; actors whose patterns match, by id; a cache */
    uint32_t reader_count;
} bn_topic_state_t;

typedef struct {
    uint64_t id;
    uint64_t sequence;      /* last journaled */
    uint64_t used;          /* journal record sequence of the last use: the oldest is forgotten */
    bn_receipt_t receipts[BN_PRODUCER_RECEIPTS]; /* ring, by sequence mod N */
} bn_producer_state_t;

/*  Called by bn_state_apply for each section, after those before it and before it counts itself:
 *  the heads of topic->readers are what a fan-out header calls "previous". Of a mixed section, for
 *  each run: `section` is what it stands for, without its bytes, and `whole` the mixed one, else
 *  the same as section.  */
typedef void (bn_state_section_fn) (const bn_topic_state_t *topic, const bn_section_t *section,
                                    const bn_section_t *whole, void *arg);

typedef struct {
    uint64_t journal_id;    /* 0: no GENESIS yet */
    uint32_t partitions;
    uint32_t partition_room; /* what actors and topics have room for: more only while restoring */
    uint64_t sequence;      /* of the last record applied */
    uint64_t tail;          /* offset that the next event gets */
    uint32_t actor_id_last; /* ids are never used again */
    bn_map_t *actors;       /* name -> bn_actor_state_t */
    bn_map_t *actors_by_id; /* id -> the same */
    bn_map_t *topics;       /* name -> bn_topic_state_t */
    bn_map_t *producers;    /* id -> bn_producer_state_t */
    bn_map_t *producers_by_use; /* used -> the same */
    uint32_t producers_max;
    bool bridging;          /* a record was LOST: see bn_state_bridge; not in a checkpoint */
    bn_state_section_fn *on_section; /* may be NULL */
    void *on_section_arg;
} bn_state_t;

bn_state_t *bn_state_new (uint32_t producers_max);
void bn_state_destroy (bn_state_t **self_p);

/*  Applies one record. `detail` says why not. Errors: ROT (does not fit), MEMORY.  */
baton_err_t bn_state_apply (bn_state_t *self, const bn_record_t *record, uint64_t sequence,
                            uint64_t base, uint32_t count, uint64_t time_us, char detail[256]);

/*  For replaying a salvaged journal, where records are LOST before this one (`bridging`). What is
 *  there proves what the lost ones did: makes the state fit, so that applying it does not fail for
 *  their sake. Does as little as it can: what nothing proves is left as it was, so that events are
 *  handled again rather than not at all. An actor whose registration is lost has no patterns,
 *  and unless something tells its name, one of its number, which no actor can have. Errors: MEMORY.
 */
#define BN_STATE_UNNAMED "?lost-registration-"
baton_err_t bn_state_bridge (bn_state_t *self, const bn_record_t *record);

/*  Checkpoint: calls put for each item (key and value, borrowed during the call); restore is the
 *  reverse, item by item in any order, then bn_state_restored. put returns false to stop.  */
typedef bool (bn_state_put_fn) (const void *key, size_t key_size, const void *value,
                                size_t value_size, void *arg);
bool bn_state_save (const bn_state_t *self, bn_state_put_fn *put, void *arg);
baton_err_t bn_state_restore (bn_state_t *self, const void *key, size_t key_size,
                              const void *value, size_t value_size);
baton_err_t bn_state_restored (bn_state_t *self); /* rebuilds caches, checks the invariants */

/*  Are events left in the partition that only instances with the former patterns know all of?
 *  Parked ones do not count: they may be of any age.  */
bool bn_state_drains (const bn_actor_partition_t *partition);

/*  Lowest offset that anybody still needs: floors (of actors that are behind), parked events, and
 *  the originals of dead letters, which a redrive reads again. Tail if nobody needs anything.  */
uint64_t bn_state_needed_from (const bn_state_t *self);
/*  Checks S1 to S5 in full; for tests and the simulator. false: what (256 bytes) says which.  */
bool bn_state_check (const bn_state_t *self, char what[256]);

#endif
