/* SPDX-License-Identifier: MPL-2.0 */

#include "machines.h"
#include "client/context.h"
#include "core/conductor.h"
#include "core/mailbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCER       1 /* routes */
#define ACTOR          2
#define PRODUCER_ID    1
#define INCARNATION    2
#define MESSAGES_MAX   256 /* on their way to the actor */
#define FRAMES_MAX     3
#define MESSAGE_BYTES  (64u * 1024 * 1024)
#define PREFETCH_BYTES (64u * 1024 * 1024)

typedef struct {
    bn_mailbox_event_kind_t kind;
    bn_blob_t *blobs[FRAMES_MAX]; /* owned */
    bn_frame_t frames[FRAMES_MAX];
    size_t count;
} to_actor_t;

struct bench_machines {
    bn_conductor_t *conductor;
    bn_effects_t effects;
    bn_mailbox_t *mailbox;
    bn_mailbox_effects_t sayings;
    bn_crossing_t *crossing;
    baton_context_t context;
    bool emits;
    bool actor; /* fan-outs are delivered */
    bool failed;
    to_actor_t waiting[MESSAGES_MAX]; /* a ring */
    size_t first, count;
    bn_run_t *run; /* owned; out */
    uint64_t request;
    uint64_t sequence;
    uint64_t handled;
};

static const bn_time_t s_now = {.mono_ms = 1000000, .wall_us = 1700000000000000};

/*  ---- the conductor's side ---- */

static to_actor_t *add (bench_machines_t *self, bn_mailbox_event_kind_t kind)
{
    if (self->count == MESSAGES_MAX) {
        self->failed = true;
        return NULL;
    }
    to_actor_t *message = &self->waiting[(self->first + self->count++) % MESSAGES_MAX];
    *message = (to_actor_t){.kind = kind};
    return message;
}

static void put (to_actor_t *self, bn_blob_t *blob, const void *data, size_t size)
{
    self->blobs[self->count] = bn_blob_ref (blob);
    self->frames[self->count++] = (bn_frame_t){data, size};
}

/*  As off the wire: frame 2 is a blob of its own, which the mailbox may keep.  */
static void put_payload (bench_machines_t *self, to_actor_t *message, const bn_slice_t *payload)
{
    bn_blob_t *copy = bn_blob_new_copy (payload->data, payload->size);
    if (copy)
        put (message, copy, copy->data, copy->size);
    self->failed |= !copy;
    bn_blob_unref (&copy);
}

static void conduct (bench_machines_t *self, const bn_conductor_event_t *event)
{
    bn_conductor_step (self->conductor, event, &self->effects);
    self->failed |= self->effects.failed;
    for (size_t i = 0; i < self->effects.count; i++) {
        const bn_effect_t *effect = &self->effects.items[i];
        bool sent = effect->kind == BN_EFFECT_SEND && effect->route == ACTOR;
        bool fanned = effect->kind == BN_EFFECT_FANOUT && self->actor;
        to_actor_t *message =
            sent || fanned ? add (self, sent ? BN_MAILBOX_MESSAGE : BN_MAILBOX_FANOUT) : NULL;
        if (!message)
            continue;
        put (message, effect->head, effect->head->data, effect->head->size);
        if (fanned) {
            put (message, effect->header, effect->header->data, effect->header->size);
            put_payload (self, message, &effect->payload);
        }
    }
    bn_effects_clear (&self->effects);
}

static void request (bench_machines_t *self, uint64_t route, bn_blob_t *head,
                     const bn_slice_t *payloads, uint32_t count)
{
    bn_frame_t *frames = calloc (1 + (size_t)count, sizeof *frames);
    if (!head || !frames) {
        self->failed = true;
        free (frames);
        return;
    }
    frames[0] = (bn_frame_t){head->data, head->size};
    for (uint32_t i = 0; i < count; i++)
        frames[1 + i] = (bn_frame_t){payloads[i].data, payloads[i].size};
    conduct (self, &(bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                           .now = s_now,
                                           .random = 1,
                                           .route = route,
                                           .frames = frames,
                                           .frame_count = 1 + (size_t)count});
    free (frames);
}

/*  ---- the actor's side ---- */

static void handle (bench_machines_t *self, bn_run_t *run)
{
    bn_crossing_facts_t facts = {.journal_id = 1, .data_bytes_max = BATON_DATA_BYTES_MAX};
    for (uint32_t i = 0; i < run->count; i++) {
        bn_context_begin (&self->context, &run->items[i], &facts);
        size_t size;
        const void *data = baton_event_data (&self->context.event, &size);
        if (self->emits && baton_emit (&self->context, "bench.out", NULL, data, size, NULL))
            self->failed = true;
        bn_context_end (&self->context, BATON_ACK);
    }
    self->handled += run->count;
}

static void step (bench_machines_t *self, bn_mailbox_event_t event)
{
    event.now = s_now;
    event.random = 1;
    bn_mailbox_step (self->mailbox, &event, &self->sayings);
    self->failed |= self->sayings.failed;
    for (size_t i = 0; i < self->sayings.count; i++) {
        bn_mailbox_effect_t *effect = &self->sayings.items[i];
        if (effect->kind == BN_MAILBOX_SEND)
            request (self, ACTOR, effect->head, effect->payloads, effect->payload_count);
        else if (effect->kind == BN_MAILBOX_FATAL)
            self->failed = true;
        else if (effect->kind == BN_MAILBOX_RUN) {
            self->run = effect->run;
            effect->run = NULL;
        }
    }
    bn_mailbox_effects_clear (&self->sayings);
}

/*  Until nobody has anything to say.  */
static void settle_down (bench_machines_t *self)
{
    while ((self->count > 0 || self->run) && !self->failed) {
        if (self->count > 0) {
            to_actor_t message = self->waiting[self->first];
            self->first = (self->first + 1) % MESSAGES_MAX;
            self->count--;
            step (self, (bn_mailbox_event_t){.kind = message.kind,
                                             .frames = message.frames,
                                             .blobs = message.blobs,
                                             .frame_count = message.count});
            for (size_t i = 0; i < message.count; i++)
                bn_blob_unref (&message.blobs[i]);
            continue;
        }
        bn_run_t *run = self->run;
        self->run = NULL;
        handle (self, run);
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
    }
}

/*  ---- life ---- */

static bool make_conductor (bench_machines_t *self, uint32_t partitions)
{
    bn_conductor_options_t options = {.message_bytes_max = MESSAGE_BYTES,
                                      .data_bytes_max = BATON_DATA_BYTES_MAX,
                                      .topics_max = 10000,
                                      .actors_max = 10,
                                      .sessions_max = 10,
                                      .parked_max = 1000,
                                      .dead_max = 1000,
                                      .heartbeat_ms = 1000,
                                      .session_timeout_ms = 10000,
                                      .reconnect_grace_ms = 1000,
                                      .bundle_section_bytes = 4096,
                                      .fanout_endpoint = "tcp://127.0.0.1:7712"};
    bn_state_t *state = bn_state_new (100);
    self->conductor = state ? bn_conductor_new (&options, &state) : NULL;
    bn_state_destroy (&state);
    if (!self->conductor)
        return false;
    conduct (self, &(bn_conductor_event_t){.kind = BN_CONDUCTOR_START,
                                           .now = s_now,
                                           .random = 1,
                                           .partitions = partitions});
    bn_message_t hello = {
        .type = BN_HELLO,
        .request = ++self->request,
        .hello = {.role = BN_ROLE_PRODUCER, .name = {"bench", 5}, .incarnation = PRODUCER_ID}};
    bn_blob_t *head = bn_message_encode (&hello);
    request (self, PRODUCER, head, NULL, 0);
    bn_blob_unref (&head);
    return !self->failed;
}

static bool make_actor (bench_machines_t *self)
{
    static const char *const patterns[] = {"bench.in.>", "bench.paths"};
    bn_mailbox_options_t options = {.actor = "bench",
                                    .instance = "bench-1",
                                    .incarnation = INCARNATION,
                                    .patterns = patterns,
                                    .pattern_count = 2,
                                    .policy = {.max_attempts = 3,
                                               .backoff_min_ms = 100,
                                               .backoff_max_ms = 1000,
                                               .handler_deadline_ms = 30000},
                                    .prefetch_bytes = PREFETCH_BYTES,
                                    .settle_bytes_max = 2 * 1024 * 1024,
                                    .run_events_max = 1024};
    self->crossing = bn_crossing_new (10, 40);
    bn_context_options_t context = {.actor = "bench",
                                    .source = "/actors/bench",
                                    .emit_bytes_max = 8 * 1024 * 1024,
                                    .crossing = self->crossing};
    self->mailbox = bn_mailbox_new (&options);
    if (!self->crossing || !self->mailbox || !bn_context_init (&self->context, &context))
        return false;
    step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_UP});
    settle_down (self);
    bn_mailbox_stats_t stats;
    bn_mailbox_stats (self->mailbox, &stats);
    return stats.joined && !self->failed;
}

bench_machines_t *bench_machines_new (uint32_t partitions, bool emits)
{
    bench_machines_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->emits = emits;
    bn_effects_init (&self->effects);
    bn_mailbox_effects_init (&self->sayings);
    if (!make_conductor (self, partitions) || !make_actor (self))
        bench_machines_destroy (&self);
    return self;
}

void bench_machines_destroy (bench_machines_t **self_p)
{
    bench_machines_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (; self->count > 0; self->count--, self->first = (self->first + 1) % MESSAGES_MAX)
        for (size_t i = 0; i < self->waiting[self->first].count; i++)
            bn_blob_unref (&self->waiting[self->first].blobs[i]);
    bn_run_destroy (&self->run);
    bn_context_fini (&self->context);
    bn_crossing_destroy (&self->crossing);
    bn_mailbox_destroy (&self->mailbox);
    bn_mailbox_effects_fini (&self->sayings);
    bn_conductor_destroy (&self->conductor);
    bn_effects_fini (&self->effects);
    free (self);
}

bool bench_machines_publish (bench_machines_t *self, bn_section_t *sections, uint32_t count,
                             bool actor, uint64_t *handled)
{
    bn_message_t message = {.type = BN_PUBLISH,
                            .request = ++self->request,
                            .publish = {.producer_id = PRODUCER_ID,
                                        .sequence = ++self->sequence,
                                        .sections = sections,
                                        .section_count = count}};
    bn_slice_t *payloads = calloc (count, sizeof *payloads);
    bn_blob_t *head = bn_message_encode (&message);
    for (uint32_t i = 0; payloads && i < count; i++)
        payloads[i] = sections[i].payload;
    self->actor = actor;
    self->handled = 0;
    if (payloads)
        request (self, PRODUCER, head, payloads, count);
    settle_down (self);
    *handled = self->handled;
    bn_blob_unref (&head);
    free (payloads);
    return payloads && !self->failed;
}
