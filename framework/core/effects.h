/* SPDX-License-Identifier: MPL-2.0 */

/*  effects.h - what the conductor wants done, in order, and the gate that keeps the order honest.
 *
 *  DESIGN. The conductor changes its state at once and says what follows from it as an ordered
 *  list. The shell pushes every list into a gate. PERSIST goes to the journal at once; everything
 *  else leaves the gate only when all PERSISTs before it are durable. So nothing that anybody can
 *  see ever runs ahead of the disk (G1, G5), and the conductor need not hear about syncs at all. If
 *  the disk fails the process ends, and what was never let out was never true.
 *
 *  INVARIANT E1: effects leave the gate in the order in which they entered it.
 *  INVARIANT E2: an effect behind a PERSIST with sequence s leaves only after durable >= s.
 *
 *  Rejected: telling the conductor "durable up to N" and letting it hold replies back in each place
 *  that makes one: the same rule written thirty times.  */
#ifndef BN_EFFECTS_H
#define BN_EFFECTS_H

#include "base/blob.h"
#include "base/time.h"
#include "wire/message.h"

typedef enum {
    BN_EFFECT_PERSIST, /* append a record to the journal */
    BN_EFFECT_SEND,    /* a message to one route; a route that is gone: tell the conductor GONE */
    BN_EFFECT_FANOUT,  /* a section to the XPUB socket */
    BN_EFFECT_READ,    /* read the journal and send the EVENTS reply */
    BN_EFFECT_LOG      /* a line for people; leaves the gate like the rest */
} bn_effect_kind_t;

typedef enum { BN_LOG_DEBUG, BN_LOG_INFO, BN_LOG_WARNING, BN_LOG_ERROR } bn_log_level_t;

/*  What FETCH and READ ask of the journal.  */
typedef struct {
    uint64_t request;         /* to echo */
    uint64_t from;            /* first offset to look at */
    bn_from_t from_kind;      /* BN_FROM_TIME: `from` is microseconds; resolve it first */
    uint64_t upto;            /* look at nothing at or past this offset: the tail when asked */
    uint32_t bytes_max;       /* of payload; at least one section */
    bn_text_t *patterns;      /* owned, with the texts in one allocation; topics wanted */
    uint32_t pattern_count;   /* 0: all topics */
    uint32_t former_count;    /* as many more behind them, which count below former_until instead */
    uint64_t former_until;
    bool filter_partitions;   /* false: all partitions */
    uint64_t from_by_partition[BN_PARTITIONS_MAX]; /* BN_NO_OFFSET: not wanted; else sections that
                                 end at or before it are left out */
    uint64_t *offsets;        /* owned; not NULL: just these events, each as a section of its own */
    uint32_t offset_count;
} bn_read_spec_t;

bn_read_spec_t *bn_read_spec_new (void);
void bn_read_spec_destroy (bn_read_spec_t **self_p);

typedef struct {
    bn_effect_kind_t kind;
    uint64_t route;           /* SEND, READ */
    uint32_t record_type;     /* PERSIST */
    uint64_t base;            /* PERSIST: offset of its first event (= tail before it) */
    uint32_t count;           /* PERSIST: events in it, may be 0 */
    uint64_t time_us;         /* PERSIST: wall clock */
    bn_blob_t *body;          /* PERSIST: record body; owned */
    bn_blob_t *head;          /* SEND: frame 0; FANOUT: frame 0 (partition byte, topic); owned */
    bn_blob_t *header;        /* FANOUT: frame 1; owned */
    bn_slice_t payload;       /* FANOUT: frame 2, blob owned (counted) */
    bn_read_spec_t *read;     /* READ; owned */
    bn_log_level_t level;     /* LOG */
    char *text;               /* LOG; owned */
} bn_effect_t;

typedef struct {
    bn_effect_t *items;       /* owned */
    size_t count;
    size_t capacity;
    bool failed;              /* out of memory: the shell must stop */
    bn_effect_t scratch;      /* where an effect goes that there is no memory for; never read */
} bn_effects_t;

void bn_effects_init (bn_effects_t *self);
void bn_effects_fini (bn_effects_t *self);   /* frees what is left in it */
void bn_effects_clear (bn_effects_t *self);
/*  A new, zeroed effect at the end; never NULL (on no memory: a scratch one, and failed is set). */
bn_effect_t *bn_effects_add (bn_effects_t *self, bn_effect_kind_t kind);
void bn_effects_log (bn_effects_t *self, bn_log_level_t level, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
void bn_effect_fini (bn_effect_t *effect);   /* releases what it owns */

/*  ---- the gate ---- */
typedef struct bn_gate bn_gate_t;

bn_gate_t *bn_gate_new (void);
void bn_gate_destroy (bn_gate_t **self_p);
/*  Moves all effects in. For each PERSIST `persist` is called at once, in order; it returns the
 *  journal sequence of the record (strictly increasing); the callback takes over effect->body.  */
typedef uint64_t (bn_gate_persist_fn) (bn_effect_t *effect, void *arg);
bool bn_gate_push (bn_gate_t *self, bn_effects_t *effects, bn_gate_persist_fn *persist, void *arg);
/*  The next effect that may leave, given what is durable; false: none. The caller owns what it
 *  holds and calls bn_effect_fini.  */
bool bn_gate_pop (bn_gate_t *self, uint64_t durable_sequence, bn_effect_t *effect);
size_t bn_gate_count (const bn_gate_t *self);
size_t bn_gate_bytes (const bn_gate_t *self); /* of frames and read specs that wait in it */

#endif
