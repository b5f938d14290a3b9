/* SPDX-License-Identifier: MPL-2.0 */

/*  outbox.h - a producer: a state machine without I/O.
 *
 *  Groups come in, PUBLISH requests go out; while one is in flight the next one gathers (smart
 *  batching), and follows without waiting if there is much. Each request has a sequence number;
 *  after a reconnect what is in flight is sent again as it was, and the conductor recognises it
 *  (DESIGN.md section 4). Stepped by whichever thread has the producer's machine.  */
#ifndef BN_OUTBOX_H
#define BN_OUTBOX_H

#include "base/blob.h"
#include "base/time.h"
#include "core/effects.h"
#include "wire/message.h"

typedef struct {
    char source[BATON_ATTRIBUTE_BYTES_MAX + 1];
    uint64_t producer_id;        /* random */
    uint32_t request_bytes_max;  /* payload of one PUBLISH; default 4 MiB; a group is never split */
    size_t pipeline_bytes;       /* what is worth a second request in flight; default 256 KiB */
    bool mixes;                  /* always mixed sections; default: where topics are many */
    uint32_t answer_timeout_ms;  /* no answer for so long: RESET_LINK; default 5,000 */
} bn_outbox_options_t;

/*  One event of a group; texts and data borrowed from `blob`.  */
typedef struct {
    bn_text_t topic;
    bn_event_fields_t fields;
    uint32_t spread;             /* for an empty key */
} bn_outbox_item_t;

typedef struct bn_outbox_group {
    struct bn_outbox_group *next; /* of bn_outbox_groups_t */
    uint64_t ticket;
    bn_outbox_item_t *items;     /* owned */
    uint32_t count;
    bool in_blob;                /* this struct and its items lie in `blob` and go with it:
                                    many small groups can share one piece of memory */
    bn_blob_t *blob;             /* counted; what the items borrow from */
    size_t bytes;                /* for the in-flight account */
    uint32_t section;            /* the outbox's: where its first event stands in the request */
    uint32_t place;
} bn_outbox_group_t;

void bn_outbox_group_destroy (bn_outbox_group_t **self_p);

/*  Groups in the order in which they were published. What is known of all of them is kept beside
 *  them: who only hands them on need not visit each, whose memory another processor has just
 *  written.  */
typedef struct {
    bn_outbox_group_t *first;    /* owned, with those that hang on it by `next` */
    bn_outbox_group_t *last;     /* of them; only while there is a first */
    size_t bytes;                /* sum of theirs */
} bn_outbox_groups_t;

/*  The group becomes the last one.  */
static inline void bn_outbox_groups_add (bn_outbox_groups_t *self, bn_outbox_group_t *group)
{
    group->next = NULL;
    if (self->first)
        self->last->next = group;
    else
        self->first = group;
    self->last = group;
    self->bytes += group->bytes;
}

/*  All of `more` behind it; `more` is empty then.  */
static inline void bn_outbox_groups_join (bn_outbox_groups_t *self, bn_outbox_groups_t *more)
{
    if (!more->first)
        return;
    if (self->first)
        self->last->next = more->first;
    else
        self->first = more->first;
    self->last = more->last;
    self->bytes += more->bytes;
    *more = (bn_outbox_groups_t){.bytes = 0};
}

/*  The first one, which is the caller's now; or NULL.  */
static inline bn_outbox_group_t *bn_outbox_groups_shift (bn_outbox_groups_t *self)
{
    bn_outbox_group_t *group = self->first;
    if (group) {
        self->first = group->next;
        self->bytes -= group->bytes;
        group->next = NULL;
    }
    return group;
}

static inline void bn_outbox_groups_destroy (bn_outbox_groups_t *self)
{
    for (bn_outbox_group_t *group; (group = bn_outbox_groups_shift (self));)
        bn_outbox_group_destroy (&group);
}

typedef enum {
    BN_OUTBOX_LINK_UP,
    BN_OUTBOX_LINK_DOWN,
    BN_OUTBOX_MESSAGE,
    BN_OUTBOX_GROUPS,            /* `groups` pass to the outbox */
    BN_OUTBOX_TICK
} bn_outbox_event_kind_t;

typedef struct {
    bn_outbox_event_kind_t kind;
    bn_time_t now;
    uint64_t random;
    const bn_frame_t *frames;    /* MESSAGE; borrowed during the step */
    size_t frame_count;
    bn_outbox_groups_t *groups;  /* GROUPS; borrowed, empty after the step */
} bn_outbox_event_t;

typedef enum {
    BN_OUTBOX_SEND,              /* head + payloads to the ROUTER */
    BN_OUTBOX_RECEIPT,           /* one for each group, in order */
    BN_OUTBOX_RESET_LINK,
    BN_OUTBOX_LOG,
    BN_OUTBOX_FATAL              /* the orchestrator refuses us for good (VERSION, ...) */
} bn_outbox_effect_kind_t;

typedef struct {
    bn_outbox_effect_kind_t kind;
    bn_blob_t *head;             /* SEND; owned */
    bn_slice_t *payloads;        /* SEND; owned array, blobs counted */
    uint32_t payload_count;
    uint64_t ticket;             /* RECEIPT */
    baton_err_t err;             /* RECEIPT, FATAL */
    uint64_t offset;             /* RECEIPT: of the group's first event; outbox.c says when not */
    uint32_t events;             /* RECEIPT: in the group */
    size_t bytes;                /* RECEIPT: of the group */
    bn_log_level_t level;
    char *text;                  /* LOG, FATAL, RECEIPT with err; owned */
} bn_outbox_effect_t;

typedef struct {
    bn_outbox_effect_t *items;
    size_t count;
    size_t capacity;
    bool failed;
} bn_outbox_effects_t;

void bn_outbox_effects_init (bn_outbox_effects_t *self);
void bn_outbox_effects_fini (bn_outbox_effects_t *self);
void bn_outbox_effects_clear (bn_outbox_effects_t *self);

typedef struct bn_outbox bn_outbox_t;

bn_outbox_t *bn_outbox_new (const bn_outbox_options_t *options);
void bn_outbox_destroy (bn_outbox_t **self_p);
void bn_outbox_step (bn_outbox_t *self, const bn_outbox_event_t *event,
                     bn_outbox_effects_t *effects);
uint64_t bn_outbox_due_ms (const bn_outbox_t *self);
/*  How many bytes of groups it takes that they leave now: 0: any; SIZE_MAX: none do before there is
 *  an answer.  */
size_t bn_outbox_wants (const bn_outbox_t *self);
/*  The same when one request is in flight.  */
size_t bn_outbox_pipeline_bytes (const bn_outbox_t *self);
uint32_t bn_outbox_partitions (const bn_outbox_t *self); /* 0 before the first WELCOME */

#endif
