/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_outbox.c - an orchestrator that says anything to a producer. An input is a list of steps, a
 *  byte for the kind and what it needs; answers are well-formed messages of small numbers, or bytes
 *  as they are. Oracles: each group gets one receipt, in order (O1), and none before it was sent;
 *  nothing follows FATAL; no memory is reported as missing.  */
#include "core/outbox.h"
#include "fuzz.h"
#include <string.h>

enum { STEPS_MAX = 300 };

typedef struct {
    const uint8_t *at;
    size_t left;
    bn_outbox_t *outbox;
    bn_outbox_effects_t effects;
    bn_time_t now;
    uint64_t published; /* tickets 1.. */
    uint64_t receipted;
    uint64_t asked; /* request that waits for its answer */
    uint64_t sequence;
    bool fatal;
} world_t;

static uint32_t take (world_t *self)
{
    if (self->left == 0)
        return 0;
    self->left--;
    return *self->at++;
}

static void do_effect (world_t *self, const bn_outbox_effect_t *effect)
{
    FUZZ_CHECK (!self->fatal);
    if (effect->kind == BN_OUTBOX_SEND) {
        bn_frame_t frames[1 + 64] = {{effect->head->data, effect->head->size}};
        bn_message_t message;
        char what[256];
        FUZZ_CHECK (effect->payload_count <= 64);
        for (uint32_t i = 0; i < effect->payload_count; i++)
            frames[1 + i] = (bn_frame_t){effect->payloads[i].data, effect->payloads[i].size};
        FUZZ_CHECK (!bn_message_decode (&message, frames, 1 + effect->payload_count, what));
        self->asked = message.request;
        if (message.type == BN_PUBLISH)
            self->sequence = message.publish.sequence;
        bn_message_fini (&message);
    } else if (effect->kind == BN_OUTBOX_RECEIPT) {
        FUZZ_CHECK (effect->ticket == ++self->receipted && self->receipted <= self->published);
    } else if (effect->kind == BN_OUTBOX_FATAL) {
        FUZZ_CHECK (effect->err && effect->text);
        self->fatal = true;
    }
}

static void step (world_t *self, bn_outbox_event_t event)
{
    event.now = self->now;
    event.random = 7;
    bn_outbox_step (self->outbox, &event, &self->effects);
    FUZZ_CHECK (!self->effects.failed);
    for (size_t i = 0; i < self->effects.count; i++)
        do_effect (self, &self->effects.items[i]);
    bn_outbox_effects_clear (&self->effects);
}

static void publish (world_t *self)
{
    static const char *const topics[] = {"t", "u.v", "t", "w"};
    static const char *const keys[] = {"a", "b", "", "c"};
    uint32_t count = 1 + take (self) % 4;
    bn_outbox_group_t *group = calloc (1, sizeof *group);
    group->items = calloc (count, sizeof *group->items);
    group->blob = bn_blob_new (256 + take (self));
    memset (group->blob->data, 0xc0, group->blob->size);
    group->ticket = ++self->published;
    group->count = count;
    group->bytes = group->blob->size;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t which = take (self);
        const char *topic = topics[which % 4], *key = keys[which / 4 % 4];
        group->items[i] = (bn_outbox_item_t){.topic = {topic, strlen (topic)},
                                             .fields = {.id_prefix = {"p", 1},
                                                        .id_number_set = true,
                                                        .id_number = self->published * 8 + i,
                                                        .key = {key, strlen (key)},
                                                        .source = {"/s", 2},
                                                        .time_us = 1000,
                                                        .data = group->blob->data,
                                                        .data_size = 1},
                                             .spread = which};
    }
    bn_outbox_groups_t groups = {.bytes = 0};
    bn_outbox_groups_add (&groups, group);
    step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_GROUPS, .groups = &groups});
}

static void answer (world_t *self)
{
    static const baton_err_t errors[] = {
        BATON_ERR_NO_SESSION, BATON_ERR_SEQUENCE,  BATON_ERR_DISK_FULL, BATON_ERR_TOO_LARGE,
        BATON_ERR_VERSION,    BATON_ERR_MALFORMED, BATON_ERR_TOPIC,     BATON_ERR_LIMIT};
    uint32_t kind = take (self);
    bn_message_t message = {.type = BN_ERROR,
                            .request = kind % 16 == 15 ? self->asked + 1 : self->asked};
    if (kind % 4 == 0) {
        message.type = BN_WELCOME;
        message.welcome = (bn_welcome_t){1 + take (self) % 2,
                                         4,
                                         9,
                                         1000,
                                         6000,
                                         take (self) % 2 ? 1 << 20 : 4096,
                                         1 << 16,
                                         take (self),
                                         {"tcp://127.0.0.1:7712", 20}};
    } else if (kind % 4 == 1) {
        message.type = BN_RECEIPT;
        message.receipt = (bn_receipt_t){take (self) % 8 ? self->sequence : take (self),
                                         take (self) % 8 ? take (self) : BN_NO_OFFSET, take (self),
                                         take (self) % 2};
    } else if (kind % 4 == 2) {
        baton_err_t err = errors[take (self) % 8];
        const char *name = baton_err_name (err);
        message.error = (bn_error_t){
            (uint32_t)err, take (self) % 2, {name, strlen (name)}, {"no", 2}, take (self)};
    } else
        message.type = BN_LEFT;
    bn_blob_t *head = bn_message_encode (&message);
    bn_frame_t frame = {head->data, head->size};
    step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_MESSAGE, .frames = &frame, .frame_count = 1});
    bn_blob_unref (&head);
}

static void feed_bytes (world_t *self)
{
    size_t size = take (self);
    bn_frame_t frame = {self->at, size < self->left ? size : self->left};
    self->at += frame.size;
    self->left -= frame.size;
    step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_MESSAGE, .frames = &frame, .frame_count = 1});
}

static void one_step (world_t *self)
{
    switch (take (self) % 8) {
    case 0:
        step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_LINK_UP});
        break;
    case 1:
        step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_LINK_DOWN});
        break;
    case 2:
        self->now.mono_ms += take (self) * 100;
        step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_TICK});
        FUZZ_CHECK (bn_outbox_due_ms (self->outbox) > 0);
        break;
    case 3:
        feed_bytes (self);
        break;
    case 4:
    case 5:
        publish (self);
        break;
    default:
        answer (self);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    const bn_outbox_options_t options = {
        .source = "/s", .producer_id = 77, .request_bytes_max = 2048, .pipeline_bytes = 600};
    world_t world = {.at = bytes, .left = size, .now = {1000, 1000000}};
    world.outbox = bn_outbox_new (&options);
    bn_outbox_effects_init (&world.effects);
    for (int i = 0; i < STEPS_MAX && world.left > 0; i++)
        one_step (&world);
    bn_outbox_effects_fini (&world.effects);
    bn_outbox_destroy (&world.outbox);
    return 0;
}
