/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_mailbox.c - an orchestrator that says anything, and an instance that does anything. An
 *  input is a list of steps, a byte for the kind and what it needs. Half of them answer the oldest
 *  request with a well-formed message of small numbers, so that the fuzzer gets behind the first
 *  checks; others feed bytes as they are. Oracles: one run is out at most; what is handed out can
 *  be read; nothing follows FATAL; no memory is reported as missing.  */
#include "core/mailbox.h"
#include "fuzz.h"
#include <string.h>

enum { PARTITIONS = 4, STEPS_MAX = 200, SECTIONS_MAX = 3, ASKED_MAX = 16, EVENTS_MAX = 4 };

typedef struct {
    const uint8_t *at;
    size_t left;
    bn_mailbox_t *mailbox;
    bn_mailbox_effects_t effects;
    bn_time_t now;
    bn_run_t *run;             /* out; owned */
    uint64_t asked[ASKED_MAX]; /* requests not answered; the oldest first */
    uint32_t asked_count;
    bn_blob_t *batches[EVENTS_MAX]; /* of 1, 2, ... events */
    bool fatal;
} world_t;

static uint32_t take (world_t *self)
{
    if (self->left == 0)
        return 0;
    self->left--;
    return *self->at++;
}

static bn_blob_t *batch_new (uint32_t events)
{
    static const char *const keys[] = {"a", "b", "", "a"};
    bn_batch_writer_t writer;
    uint32_t count;
    bn_batch_writer_init (&writer, 1 << 16);
    for (uint32_t i = 0; i < events; i++) {
        bn_event_fields_t event = {.id_prefix = {"p", 1},
                                   .id_number_set = true,
                                   .id_number = i,
                                   .key = {keys[i], strlen (keys[i])},
                                   .source = {"/s", 2},
                                   .time_us = 1000,
                                   .data = (const uint8_t *)"\x01",
                                   .data_size = 1};
        FUZZ_CHECK (!bn_batch_writer_add (&writer, &event));
    }
    bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
    bn_batch_writer_fini (&writer);
    return payload;
}

static void do_effect (world_t *self, bn_mailbox_effect_t *effect)
{
    FUZZ_CHECK (!self->fatal);
    if (effect->kind == BN_MAILBOX_SEND) {
        bn_frame_t frames[64] = {{effect->head->data, effect->head->size}};
        bn_message_t message;
        char what[256];
        FUZZ_CHECK (effect->payload_count < 64);
        for (uint32_t i = 0; i < effect->payload_count; i++)
            frames[1 + i] = (bn_frame_t){effect->payloads[i].data, effect->payloads[i].size};
        FUZZ_CHECK (!bn_message_decode (&message, frames, 1 + effect->payload_count, what));
        if (self->asked_count < ASKED_MAX)
            self->asked[self->asked_count++] = message.request;
        bn_message_fini (&message);
    } else if (effect->kind == BN_MAILBOX_RUN) {
        FUZZ_CHECK (!self->run && effect->run->count > 0);
        self->run = effect->run;
        effect->run = NULL;
        for (uint32_t i = 0; i < self->run->count; i++)
            FUZZ_CHECK (self->run->items[i].topic.size > 0 && self->run->items[i].attempt > 0);
    } else if (effect->kind == BN_MAILBOX_FATAL) {
        self->fatal = true;
        FUZZ_CHECK (effect->err && effect->text);
    }
}

static void step (world_t *self, bn_mailbox_event_t event)
{
    event.now = self->now;
    event.random = 7;
    bn_mailbox_step (self->mailbox, &event, &self->effects);
    FUZZ_CHECK (!self->effects.failed);
    for (size_t i = 0; i < self->effects.count; i++)
        do_effect (self, &self->effects.items[i]);
    bn_mailbox_effects_clear (&self->effects);
}

/*  Frames as blobs, as the shell has them.  */
static void feed (world_t *self, bn_mailbox_event_kind_t kind, const bn_frame_t *frames,
                  size_t count)
{
    bn_blob_t *blobs[1 + SECTIONS_MAX];
    bn_frame_t kept[1 + SECTIONS_MAX];
    for (size_t i = 0; i < count; i++) {
        blobs[i] = bn_blob_new_copy (frames[i].data, frames[i].size);
        kept[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
    }
    step (self,
          (bn_mailbox_event_t){.kind = kind, .frames = kept, .blobs = blobs, .frame_count = count});
    for (size_t i = 0; i < count; i++)
        bn_blob_unref (&blobs[i]);
}

static void feed_bytes (world_t *self, bn_mailbox_event_kind_t kind)
{
    bn_frame_t frames[1 + SECTIONS_MAX];
    uint32_t count = 1 + take (self) % SECTIONS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        size_t size = take (self);
        if (size > self->left)
            size = self->left;
        frames[i] = (bn_frame_t){self->at, size};
        self->at += size;
        self->left -= size;
    }
    feed (self, kind, frames, count);
}

static bn_section_t take_section (world_t *self)
{
    static const char *const topics[] = {"t", "t.u", "$dead.a", "other"};
    const char *topic = topics[take (self) % 4];
    bn_section_t section = {.topic = {topic, strlen (topic)},
                            .partition = take (self) % (PARTITIONS + 1),
                            .base = take (self),
                            .count = 1 + take (self) % EVENTS_MAX};
    const bn_blob_t *batch = self->batches[section.count - 1];
    section.payload = (bn_slice_t){NULL, batch->data, batch->size};
    if (take (self) == 255)
        section.count++; /* not what the payload holds */
    return section;
}

static void take_assignment (world_t *self, bn_assignment_t *assignment, bn_parked_t *parked,
                             bn_charged_t *charged)
{
    *parked = (bn_parked_t){take (self), take (self) % 5, take (self), take (self) % 3, {0}};
    *charged = (bn_charged_t){take (self), take (self) % 5, {0}};
    *assignment = (bn_assignment_t){.partition = take (self) % (PARTITIONS + 1),
                                    .generation = take (self) % 4,
                                    .revoked = take (self) % 4 == 0,
                                    .floor = take (self),
                                    .head = take (self),
                                    .careful_until = take (self) % 2 ? take (self) : 0,
                                    .parked = parked,
                                    .parked_count = take (self) % 2,
                                    .charged = charged,
                                    .charged_count = take (self) % 2,
                                    .until = take (self) % 4 == 0 ? take (self) : 0};
}

typedef struct {
    bn_partition_u64_t heads[2];
    bn_assignment_t assignments[2];
    bn_parked_t parked[2];
    bn_charged_t charged[2];
    bn_section_t sections[SECTIONS_MAX];
} room_t;

static bn_beat_t take_beat (world_t *self, room_t *room)
{
    bn_beat_t beat = {.version = take (self) % 8,
                      .tail = take (self),
                      .heads = room->heads,
                      .head_count = take (self) % 3,
                      .assignments_set = take (self) % 2,
                      .assignments = room->assignments,
                      .assignment_count = take (self) % 3};
    for (uint32_t i = 0; i < beat.head_count; i++)
        room->heads[i] = (bn_partition_u64_t){take (self) % (PARTITIONS + 1), take (self)};
    if (!beat.assignments_set)
        beat.assignment_count = 0;
    for (uint32_t i = 0; i < beat.assignment_count; i++)
        take_assignment (self, &room->assignments[i], &room->parked[i], &room->charged[i]);
    return beat;
}

static void take_message (world_t *self, bn_message_t *message, room_t *room)
{
    static const bn_message_type_t types[] = {BN_WELCOME, BN_JOINED, BN_BEAT,  BN_EVENTS,
                                              BN_SETTLED, BN_BEGUN,  BN_ERROR, BN_LEFT};
    static const baton_err_t errors[] = {
        BATON_ERR_FENCED,     BATON_ERR_NOT_OWNER, BATON_ERR_OFFSET,    BATON_ERR_LIMIT,
        BATON_ERR_NO_SESSION, BATON_ERR_CONFLICT,  BATON_ERR_DISK_FULL, BATON_ERR_MALFORMED};
    message->type = types[take (self) % 8];
    if (message->type == BN_WELCOME)
        message->welcome = (bn_welcome_t){
            10, take (self) ? PARTITIONS : 5, take (self), 1000, 6000, 1 << 20, 1 << 16,
            0,  {"tcp://127.0.0.1:7712", 20}};
    else if (message->type == BN_JOINED || message->type == BN_BEAT) {
        message->beat = take_beat (self, room);
        if (message->type == BN_JOINED) {
            message->beat.actor_id = 1;
            message->beat.parked_max = 5;
            message->beat.assignments_set = true;
        }
    } else if (message->type == BN_EVENTS) {
        message->events = (bn_events_t){take (self), take (self), take (self) % 2, room->sections,
                                        take (self) % (SECTIONS_MAX + 1)};
        for (uint32_t i = 0; i < message->events.section_count; i++)
            room->sections[i] = take_section (self);
    } else if (message->type == BN_SETTLED)
        message->settled = (bn_settled_t){take (self), take (self)};
    else if (message->type == BN_ERROR) {
        baton_err_t err = errors[take (self) % 8];
        const char *name = baton_err_name (err);
        message->error = (bn_error_t){
            (uint32_t)err, take (self) % 2, {name, strlen (name)}, {"no", 2}, take (self) % 5};
    }
}

/*  Answers the oldest request, or says something unasked.  */
static void answer (world_t *self, bool asked)
{
    bn_message_t message = {.request = 0};
    room_t room;
    bn_frame_t frames[1 + SECTIONS_MAX];
    size_t count = 1;
    if (asked && self->asked_count > 0) {
        message.request = self->asked[0];
        self->asked_count--;
        memmove (self->asked, self->asked + 1, self->asked_count * sizeof (self->asked[0]));
    }
    take_message (self, &message, &room);
    bn_blob_t *head = bn_message_encode (&message);
    frames[0] = (bn_frame_t){head->data, head->size};
    if (message.type == BN_EVENTS)
        for (uint32_t i = 0; i < message.events.section_count; i++)
            frames[count++] =
                (bn_frame_t){room.sections[i].payload.data, room.sections[i].payload.size};
    feed (self, BN_MAILBOX_MESSAGE, frames, count);
    bn_blob_unref (&head);
}

static void fanout (world_t *self)
{
    bn_section_t section = take_section (self);
    bn_chain_t chain[2] = {{1, take (self)}, {2, take (self)}};
    bn_fanout_t fanout = {
        .base = section.base, .count = section.count, .chain = chain, .chain_count = 2};
    bn_blob_t *topic =
        bn_fanout_topic_encode (section.partition, section.topic.text, section.topic.size);
    bn_blob_t *header = bn_fanout_encode (&fanout);
    const bn_frame_t frames[] = {{topic->data, topic->size},
                                 {header->data, header->size},
                                 {section.payload.data, section.payload.size}};
    feed (self, BN_MAILBOX_FANOUT, frames, 3);
    bn_blob_unref (&topic);
    bn_blob_unref (&header);
}

/*  The handler's verdicts; an ACK may emit.  */
static void handle (world_t *self)
{
    bn_run_t *run = self->run;
    if (!run)
        return;
    self->run = NULL;
    for (uint32_t i = 0; i < run->count; i++) {
        bn_run_item_t *item = &run->items[i];
        uint32_t what = take (self);
        item->result = (bn_result_t)(what % 4);
        if (item->result == BN_RESULT_ACK && what >= 128) {
            item->emissions = calloc (1, sizeof *item->emissions);
            item->emissions[0] = (bn_emission_t){.topic = {"out", 3},
                                                 .fields = {.id = {"x", 1},
                                                            .source = {"/a", 2},
                                                            .key = item->fields.key,
                                                            .data = (const uint8_t *)"\xc0",
                                                            .data_size = 1},
                                                 .blob = bn_blob_ref (item->blob)};
            item->emission_count = 1;
        }
    }
    step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
}

static void one_step (world_t *self)
{
    uint32_t kind = take (self);
    switch (kind % 16) {
    case 0:
        self->asked_count = 0;
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_UP});
        break;
    case 1:
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_DOWN});
        break;
    case 2:
        self->now.mono_ms += take (self) * 40;
        self->now.wall_us = self->now.mono_ms * 1000;
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_TICK});
        break;
    case 3:
        feed_bytes (self, BN_MAILBOX_MESSAGE);
        break;
    case 4:
        feed_bytes (self, BN_MAILBOX_FANOUT);
        break;
    case 5:
        if (self->run)
            step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_EXPIRED,
                                             .partition = self->run->items[0].partition,
                                             .offset = self->run->items[0].offset});
        break;
    case 6:
        if (kind == 6)
            step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
        break;
    case 7:
        answer (self, false);
        break;
    case 8:
    case 9:
        fanout (self);
        break;
    case 10:
    case 11:
        handle (self);
        break;
    default:
        answer (self, true);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    static const char *const patterns[] = {"t", "t.>"};
    const bn_mailbox_options_t options = {.actor = "a",
                                          .instance = "i",
                                          .incarnation = 5,
                                          .patterns = patterns,
                                          .pattern_count = 2,
                                          .start_kind = BN_START_BEGINNING,
                                          .policy = {3, 1, 1000, 1000},
                                          .backoff_jitter_pct = 20,
                                          .prefetch_bytes = 512,
                                          .settle_bytes_max = 512,
                                          .run_events_max = 4};
    world_t world = {.at = bytes, .left = size, .now = {1000, 1000000}};
    for (uint32_t i = 0; i < EVENTS_MAX; i++)
        world.batches[i] = batch_new (i + 1);
    world.mailbox = bn_mailbox_new (&options);
    bn_mailbox_effects_init (&world.effects);
    for (int i = 0; i < STEPS_MAX && world.left > 0; i++)
        one_step (&world);
    bn_run_destroy (&world.run);
    bn_mailbox_effects_fini (&world.effects);
    bn_mailbox_destroy (&world.mailbox);
    for (uint32_t i = 0; i < EVENTS_MAX; i++)
        bn_blob_unref (&world.batches[i]);
    return 0;
}
