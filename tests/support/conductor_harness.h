/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_harness.h - a conductor without a world around it, driven by encoded messages.
 *
 *  It plays the shell: keeps what was persisted, decodes what was sent. After every step it checks,
 *  whatever the test is about:
 *  - C1: a request had exactly one answer, or it is a FETCH or READ that waits;
 *  - S1 to S3 (bn_state_check);
 *  - what the persisted records add up to is, byte for byte as saved, the conductor's state.  */
#ifndef CONDUCTOR_HARNESS_H
#define CONDUCTOR_HARNESS_H

#include "core/conductor.h"

typedef struct harness harness_t;

/*  A message that was sent, or a journal read that was asked for.  */
typedef struct {
    uint64_t route;
    bn_message_t message; /* type BN_EVENTS with read set: the reader's to answer */
    const bn_read_spec_t *read;
} reply_t;

/*  A section to all who want it, or a bundle of small ones to one instance.  */
typedef struct {
    bn_fanout_t header;
    bn_bundle_t bundle; /* section_count 0: it is none */
    bn_slice_t head;
    bn_slice_t payload;
} fanout_t;

void harness_options (bn_conductor_options_t *options); /* the ones that tests start from */
harness_t *harness_new (const bn_conductor_options_t *options, uint32_t partitions);
void harness_destroy (harness_t *self);

/*  The orchestrator is killed and starts again from its records, or from a saved state.  */
void harness_restart (harness_t *self, bool from_copy);
/*  Whether the event at the offset is one of that partition, and no copy of a dead one.  */
bool harness_lives_in (harness_t *self, uint64_t offset, uint32_t partition);
/*  Replays its records with some of them lost, as salvage leaves a journal: each that is left fits,
 *  and no floor is ahead of what it was. The seed chooses how many and which.  */
void harness_lose_records (harness_t *self, uint64_t seed);
const bn_state_t *harness_state (harness_t *self);
const bn_actor_state_t *harness_actor (harness_t *self, const char *name);
uint32_t harness_records (harness_t *self, bn_record_type_t type); /* how many were persisted */
void harness_disk_full (harness_t *self, bool full);
/*  From now on the journal keeps nothing below.  */
void harness_trimmed (harness_t *self, uint64_t first);

/*  Time goes by, with a TICK as often as the shell promises one, and at its end.  */
void harness_pass (harness_t *self, uint64_t ms);
/*  Time goes by without a TICK but at its end: the process was stopped.  */
void harness_pause (harness_t *self, uint64_t ms);
void harness_gone (harness_t *self, uint64_t route);
/*  That FETCH of the route was answered up to there.  */
void harness_read_done (harness_t *self, uint64_t route, uint64_t request, uint64_t scanned_to,
                        bool at_tail);

/*  Sends a request; its number is set. Returns what was answered, or NULL if it waits. Borrowed
 *  until the next step.  */
const reply_t *harness_request (harness_t *self, uint64_t route, bn_message_t *message);
/*  The same with frames as they are; the first two bytes need not even be right.  */
const reply_t *harness_frames (harness_t *self, uint64_t route, const bn_frame_t *frames,
                               size_t count);
/*  What the last step sent to a route without being asked, or as a late answer: the n-th.  */
const reply_t *harness_pushed (harness_t *self, uint64_t route, size_t n);
/*  Fan-outs of the last step.  */
const fanout_t *harness_fanout (harness_t *self, size_t n);
size_t harness_fanouts (harness_t *self);

/*  ---- shorthands: each returns the error, or asserts that there was none ---- */
uint64_t harness_hello (harness_t *self, bn_role_t role, uint64_t incarnation); /* a new route */
/*  n events of the key, data "1"; partition is the key's. The payload is the harness's.  */
bn_section_t harness_section (harness_t *self, const char *topic, const char *key, uint32_t n);
/*  A mixed section: an event of the key in each of the topics, which are separated by spaces, with
 *  so many bytes of data.  */
bn_section_t harness_mixed (harness_t *self, const char *topics, const char *key, uint32_t bytes);
uint32_t harness_partition (harness_t *self, const char *key);
/*  A key of that partition, which differs for each n. Borrowed until the next call.  */
const char *harness_key (harness_t *self, uint32_t partition, uint32_t n);
baton_err_t harness_publish (harness_t *self, uint64_t route, uint64_t producer, uint64_t sequence,
                             bn_section_t *sections, uint32_t count);
/*  One event, by a producer of the harness's own. Returns its offset.  */
uint64_t harness_event (harness_t *self, const char *topic, const char *key);
/*  patterns: separated by spaces.  */
baton_err_t harness_join (harness_t *self, uint64_t route, const char *actor, const char *instance,
                          uint64_t incarnation, const char *patterns, bn_start_t start);
/*  HELLO and JOIN from the beginning. Returns the route.  */
uint64_t harness_instance (harness_t *self, const char *actor, const char *instance,
                           uint64_t incarnation, const char *patterns);
baton_err_t harness_settle (harness_t *self, uint64_t route, bn_settlement_t *settlement,
                            bn_section_t *sections, uint32_t section_count);
/*  A settlement of the partition in its current generation up to `floor`.  */
bn_settlement_t harness_settlement (harness_t *self, const char *actor, uint32_t partition,
                                    uint64_t floor);
/*  An instance of actor "a" of topic "t", whose events [0, n) it gives up: their copies are at
 *  [n, 2n). One partition; n <= 1100. Returns the route.  */
uint64_t harness_bury (harness_t *self, uint64_t n);
/*  The instance gives up what it was asked to, with nothing settled.  */
void harness_release_revoked (harness_t *self, uint64_t route, const char *actor);
baton_err_t harness_leave (harness_t *self, uint64_t route);
baton_err_t harness_begin (harness_t *self, uint64_t route, const char *actor, uint32_t partition,
                           uint64_t offset);
baton_err_t harness_heartbeat (harness_t *self, uint64_t route);
/*  Partitions that the state gives the instance.  */
uint32_t harness_owned (harness_t *self, const char *actor, const char *instance);
/*  The last ERROR's text and detail.  */
const char *harness_error_text (harness_t *self);
uint64_t harness_error_detail (harness_t *self);

#endif
