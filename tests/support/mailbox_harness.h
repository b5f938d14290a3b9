/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_harness.h - a mailbox without a world around it: the test is the orchestrator and the
 *  handler.
 *
 *  It plays the shell: decodes what the mailbox sends and keeps it until the test looks, holds the
 *  run that is out, and counts subscriptions. Events are encoded as an orchestrator would.  */
#ifndef MAILBOX_HARNESS_H
#define MAILBOX_HARNESS_H

#include "core/mailbox.h"

#define BOX_PARTITIONS 4
#define BOX_HEARTBEAT  1000
#define BOX_JOURNAL    0xabcdef0123456789u
#define BOX_ACTOR_ID   7

typedef struct {
    bn_message_t message; /* borrows from frames */
    bn_frame_t *frames;
    bn_blob_t **blobs; /* counted */
    size_t count;
} box_sent_t;

typedef struct {
    bn_mailbox_t *mailbox;
    bn_mailbox_effects_t effects;
    bn_time_t now;
    uint64_t random;
    box_sent_t sent[512]; /* not looked at yet, oldest first */
    size_t sent_count;
    box_sent_t last; /* what box_sent returned */
    bn_run_t *run;   /* out; owned */
    int runs;        /* ever handed out */
    int subscribed[BOX_PARTITIONS];
    int channel; /* 1: subscribed to the channel of bundles */
    char prefix[256];   /* of the last subscription, without the partition byte */
    char endpoint[256]; /* of the fan-out */
    int resets;
    bool drained;
    baton_err_t fatal;
    char text[512];             /* of FATAL, else of the last LOG */
    uint32_t message_bytes_max; /* told in WELCOME */
    uint32_t parked_max;        /* told in JOINED */
} box_t;

/*  Options that tests start from: actor "payment", patterns "orders.*", prefetch 64 KiB, settle 64
 *  KiB, 8 events a run, 3 attempts, backoff 100..1000 ms without jitter.  */
void box_options (bn_mailbox_options_t *options);
void box_init (box_t *self, const bn_mailbox_options_t *options); /* NULL: the above */
void box_fini (box_t *self);

void box_step (box_t *self, bn_mailbox_event_t event);
void box_up (box_t *self);
void box_down (box_t *self);
/*  Time passes; TICKs where the mailbox asks for them, and one at the end.  */
void box_pass (box_t *self, uint64_t ms);

/*  The oldest message of the type that was not looked at, or NULL. Borrowed until the next call.
 *  */
const bn_message_t *box_sent (box_t *self, bn_message_type_t type);
/*  The same, which must be there.  */
const bn_message_t *box_expect (box_t *self, bn_message_type_t type);
size_t box_pending (const box_t *self, bn_message_type_t type);

/*  Feeds a message; its request is set to that of `to` (NULL: as it is), payloads of `sections` go
 *  as frames.  */
void box_answer (box_t *self, const bn_message_t *to, bn_message_t *message);
void box_refuse (box_t *self, const bn_message_t *to, baton_err_t err, uint64_t detail);
/*  Events of the keys (separated by spaces, "-": none), data {offset}. Free with box_section_free.
 *  */
bn_section_t box_section (const char *topic, uint32_t partition, uint64_t base, const char *keys);
/*  A mixed one: an event of each of the topics, which are separated by spaces.  */
bn_section_t box_mixed (const char *topics, uint32_t partition, uint64_t base, const char *keys);
void box_section_free (bn_section_t *section);

/*  The n-th key (by number) that hashes to the partition. In a ring of static texts.  */
const char *box_key (uint32_t partition, uint32_t n);

void box_welcome (box_t *self, const bn_message_t *hello);
/*  HELLO to JOINED with these assignments.  */
void box_join (box_t *self, bn_assignment_t *assignments, uint32_t count);
void box_beat (box_t *self, bn_assignment_t *assignments, uint32_t count);
/*  up, and join with one empty partition 0 of generation 1 at floor 0.  */
void box_start (box_t *self, const bn_mailbox_options_t *options);
/*  Fan-out on "orders.placed" for partition 0 in order; keys as above.  */
void box_fanout (box_t *self, uint32_t partition, uint64_t previous, uint64_t base,
                 const char *keys);
/*  A bundle of sections, each with its previous end.  */
void box_bundle (box_t *self, const bn_section_t *sections, const uint64_t *previous,
                 uint32_t count);
/*  Answers the FETCH with one section (keys NULL: none).  */
void box_fetched (box_t *self, const bn_message_t *fetch, uint32_t partition, uint64_t base,
                  const char *keys, uint64_t scanned_to, bool at_tail);

/*  The handler: verdicts for the items of the run, one letter each: a ACK, r RETRY, x REJECT, n
 *  NONE. RETRY and REJECT for want of money, where the test has set no reason.  */
void box_handle (box_t *self, const char *verdicts);
/*  Asserts offsets of the run that is out ("1 2 5").  */
void box_assert_run (box_t *self, const char *offsets);
/*  The item emits `count` events of `bytes` on the topic with its own key.  */
void box_emit (bn_run_item_t *item, const char *topic, uint32_t count, size_t bytes);
/*  SETTLE is expected and answered SETTLED; returns it (borrowed until the next look).  */
const bn_message_t *box_settled (box_t *self);
const bn_settlement_t *box_settlement (const bn_message_t *settle, uint32_t partition);
/*  Event `index` of a section as fields.  */
bn_event_fields_t box_event (const bn_section_t *section, uint32_t index);

#endif
