/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox.h - one instance of an actor: a state machine without I/O.
 *
 *  It joins, keeps position per partition, tells gaps and tail loss from the chain (DESIGN.md
 *  section 5), orders what is ready by key, parks, retries, begins careful events, gathers results
 *  and settles. Stepped by whichever thread has the actor's courier. The mailbox hands out *runs*
 *  of events, one run at a time, and gets each back with its results.  */
#ifndef BN_MAILBOX_H
#define BN_MAILBOX_H

#include "base/blob.h"
#include "base/time.h"
#include "core/effects.h"
#include "wire/message.h"

typedef struct {
    char actor[BATON_NAME_BYTES_MAX + 1];
    char instance[BATON_NAME_BYTES_MAX + 1];
    uint64_t incarnation;
    const char *const *patterns; /* borrowed for the life of the mailbox */
    uint32_t pattern_count;
    uint32_t start_kind;     /* baton_start_t: TIME is resolved by a READ before the JOIN */
    uint64_t start_value;
    bn_policy_t policy;
    uint32_t backoff_jitter_pct; /* 0..100 */
    size_t prefetch_bytes;       /* received and not handled */
    size_t settle_bytes_max;     /* results gathered and not yet settled: past it no new run */
    uint32_t run_events_max;     /* events in one run */
} bn_mailbox_options_t;

/*  One event in a run, and what became of it.  */
typedef enum {
    BN_RESULT_NONE, /* not handled: goes back to the queue */
    BN_RESULT_ACK,
    BN_RESULT_RETRY,
    BN_RESULT_REJECT
} bn_result_t;

typedef struct {
    bn_text_t topic;
    bn_event_fields_t fields; /* texts and data borrowed from `blob` */
    uint32_t spread;          /* for an empty key */
    bn_blob_t *blob;          /* owned (counted) */
} bn_emission_t;

typedef struct {
    uint64_t offset;
    uint64_t generation; /* of the partition when it was handed out */
    uint32_t partition;
    uint32_t attempt; /* 1 the first time */
    uint64_t key_hash;
    bool parked;              /* it was parked: settled by name, not by the floor */
    bn_text_t topic;          /* borrowed from topic_blob, or from blob */
    bn_event_fields_t fields; /* borrowed from blob */
    bn_blob_t *blob;          /* owned (counted) */
    bn_blob_t *topic_blob;    /* owned (counted); NULL: the topic is in blob */
    bn_result_t result;       /* filled in by the runner */
    char *reason;             /* owned; filled in by the runner, RETRY and REJECT; NULL: none */
    bn_emission_t *emissions; /* owned; filled in by the runner, ACK only */
    bool emissions_within;    /* the array lies in the blob of its first one; else it is malloc's */
    uint32_t emission_count;
} bn_run_item_t;

typedef struct {
    bn_run_item_t *items; /* owned */
    uint32_t count;
    bool careful; /* a single event; BEGIN is journaled */
    /*  The runner must not handle an item whose key_hash is not 0 and equals that of an earlier
     *  item of the run with the result RETRY or NONE: it leaves NONE. It may stop early at any item
     *  and leaves NONE from there on.  */
} bn_run_t;

void bn_run_destroy (bn_run_t **self_p);
/*  within: as emissions_within.  */
void bn_emissions_free (bn_emission_t *emissions, uint32_t count, bool within);

typedef enum {
    BN_MAILBOX_LINK_UP, /* a fresh connection: HELLO goes first */
    BN_MAILBOX_LINK_DOWN,
    BN_MAILBOX_MESSAGE,  /* frames from the orchestrator's ROUTER */
    BN_MAILBOX_FANOUT,   /* frames from XPUB; blob set: the payload frame as a blob to keep */
    BN_MAILBOX_RUN_DONE, /* `run` comes back; ownership passes to the mailbox */
    BN_MAILBOX_EXPIRED,  /* the handler of (partition, offset) is past its deadline; the run is
                              still out; leave with a charge, join again once it is back */
    BN_MAILBOX_STOP,     /* drain: no new run, settle, leave */
    BN_MAILBOX_TICK
} bn_mailbox_event_kind_t;

typedef struct {
    bn_mailbox_event_kind_t kind;
    bn_time_t now;
    uint64_t random;
    const bn_frame_t *frames; /* MESSAGE, FANOUT; borrowed during the step */
    bn_blob_t *const *blobs;  /* MESSAGE, FANOUT: frame k as a blob that may be kept by counting it;
                                 same length as frames; never NULL for payload frames */
    size_t frame_count;
    bn_run_t *run;      /* RUN_DONE; owned by the step */
    uint32_t partition; /* EXPIRED */
    uint64_t offset;    /* EXPIRED */
} bn_mailbox_event_t;

typedef enum {
    BN_MAILBOX_SEND,        /* head + payload frames to the ROUTER */
    BN_MAILBOX_CONNECT_SUB, /* text: fan-out endpoint; the SUB socket and its subscriptions outlive
                               RESET_LINK and a change of the endpoint */
    BN_MAILBOX_SUBSCRIBE,   /* prefix in head */
    BN_MAILBOX_UNSUBSCRIBE,
    BN_MAILBOX_RUN,        /* hand the run to the handler thread; ownership passes */
    BN_MAILBOX_RESET_LINK, /* drop the connection and make a new one (no answer in time) */
    BN_MAILBOX_LOG,
    BN_MAILBOX_FATAL,  /* cannot go on: err and text; after it nothing more is sent */
    BN_MAILBOX_DRAINED /* after STOP: left */
} bn_mailbox_effect_kind_t;

typedef struct {
    bn_mailbox_effect_kind_t kind;
    bn_blob_t *head;      /* SEND: frame 0; SUBSCRIBE, UNSUBSCRIBE: the prefix; owned */
    bn_slice_t *payloads; /* SEND; owned array, blobs counted */
    uint32_t payload_count;
    bn_run_t *run;        /* RUN; owned */
    baton_err_t err;      /* FATAL */
    bn_log_level_t level; /* LOG */
    char *text;           /* CONNECT_SUB, LOG, FATAL; owned */
} bn_mailbox_effect_t;

typedef struct {
    bn_mailbox_effect_t *items;
    size_t count;
    size_t capacity;
    bool failed;
} bn_mailbox_effects_t;

void bn_mailbox_effects_init (bn_mailbox_effects_t *self);
void bn_mailbox_effects_fini (bn_mailbox_effects_t *self);
void bn_mailbox_effects_clear (bn_mailbox_effects_t *self); /* releases what is left in it */

typedef struct bn_mailbox bn_mailbox_t;

bn_mailbox_t *bn_mailbox_new (const bn_mailbox_options_t *options);
void bn_mailbox_destroy (bn_mailbox_t **self_p);
void bn_mailbox_step (bn_mailbox_t *self, const bn_mailbox_event_t *event,
                      bn_mailbox_effects_t *effects);
/*  Monotonic ms when the next TICK is needed at the latest.  */
uint64_t bn_mailbox_due_ms (const bn_mailbox_t *self);
/*  What WELCOME said; 0 before the first one. For ids of emitted events.  */
uint64_t bn_mailbox_journal_id (const bn_mailbox_t *self);
uint32_t bn_mailbox_partitions (const bn_mailbox_t *self);
uint32_t bn_mailbox_data_bytes_max (const bn_mailbox_t *self);

typedef struct {
    uint64_t handled, acked, retried, rejected; /* results */
    uint64_t gaps;                              /* breaks in the chain that led to a FETCH */
    uint64_t tail_losses;                       /* found by a heartbeat */
    uint64_t fetches;
    uint64_t fenced;     /* refused settlements */
    uint32_t partitions; /* owned now */
    bool joined;         /* has a session with its orchestrator */
} bn_mailbox_stats_t;

void bn_mailbox_stats (const bn_mailbox_t *self, bn_mailbox_stats_t *stats);

#endif
