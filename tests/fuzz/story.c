/* SPDX-License-Identifier: MPL-2.0 */

#include "story.h"
#include "base/hash.h"
#include "core/conductor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((bn_text_t){literal, sizeof (literal) - 1})

enum { PRODUCER = 0, ACTOR = 1, ADMIN = 2, PARTITIONS = 8 }; /* routes; +1 in the conductor */

typedef struct {
    story_t *story;
    bn_conductor_t *conductor;
    bn_effects_t effects;
    bn_time_t now;
} teller_t;

static void put_byte (bn_buffer_t *buffer, size_t byte)
{
    bn_buffer_append (buffer, &(uint8_t){(uint8_t)byte}, 1);
}

static void put_size (bn_buffer_t *buffer, size_t size)
{
    put_byte (buffer, size >> 8);
    put_byte (buffer, size & 255);
}

static void put_item (bn_buffer_t *buffer, uint32_t kind, const void *key, size_t key_size,
                      const void *value, size_t value_size)
{
    put_byte (buffer, kind);
    put_byte (buffer, key_size);
    put_size (buffer, value_size);
    bn_buffer_append (buffer, key, key_size);
    bn_buffer_append (buffer, value, value_size);
}

static void expect_no_error (const bn_blob_t *head)
{
    bn_message_t message;
    bn_frame_t frame = {head->data, head->size};
    if (bn_message_decode (&message, &frame, 1, NULL))
        return; /* EVENTS, whose payloads are not here */
    if (message.type == BN_ERROR) {
        fprintf (stderr, "story: %.*s\n", (int)message.error.text.size, message.error.text.text);
        abort ();
    }
    bn_message_fini (&message);
}

static void step (teller_t *self, const bn_conductor_event_t *event)
{
    bn_conductor_step (self->conductor, event, &self->effects);
    for (size_t i = 0; i < self->effects.count; i++) {
        const bn_effect_t *effect = &self->effects.items[i];
        if (effect->kind == BN_EFFECT_PERSIST)
            put_item (&self->story->records, effect->record_type, "", 0, effect->body->data,
                      effect->body->size);
        else if (effect->kind == BN_EFFECT_SEND)
            expect_no_error (effect->head);
    }
    bn_effects_clear (&self->effects);
}

static void say (teller_t *self, uint32_t route, bn_message_t message)
{
    bn_buffer_t *out = &self->story->messages;
    const bn_section_t *sections = NULL;
    bn_frame_t frames[5];
    uint32_t count = 0;
    if (message.type == BN_PUBLISH) {
        sections = message.publish.sections;
        count = message.publish.section_count;
    } else if (message.type == BN_SETTLE) {
        sections = message.settle.sections;
        count = message.settle.section_count;
    }
    message.request = 1;
    bn_blob_t *head = bn_message_encode (&message);
    frames[0] = (bn_frame_t){head->data, head->size};
    for (uint32_t i = 0; i < count; i++)
        frames[1 + i] = (bn_frame_t){sections[i].payload.data, sections[i].payload.size};
    put_byte (out, route);
    put_byte (out, 1 + count);
    for (uint32_t i = 0; i <= count; i++) {
        put_size (out, frames[i].size);
        bn_buffer_append (out, frames[i].data, frames[i].size);
    }
    step (self, &(bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                        .now = self->now,
                                        .random = 7,
                                        .route = 1 + route,
                                        .frames = frames,
                                        .frame_count = 1 + count});
    bn_blob_unref (&head);
}

/*  Where the events of the story are.  */
static uint32_t home (void)
{
    return bn_hash_partition (bn_hash ("k", 1), PARTITIONS);
}

static bn_blob_t *two_events (void)
{
    bn_batch_writer_t writer;
    uint32_t count;
    bn_batch_writer_init (&writer, 1 << 16);
    for (uint32_t i = 0; i < 2; i++) {
        bn_event_fields_t event = {.id_prefix = TEXT ("p1"),
                                   .id_number_set = true,
                                   .id_number = i,
                                   .key = TEXT ("k"),
                                   .source = TEXT ("/shop"),
                                   .time_us = 1000,
                                   .data = (const uint8_t *)"\x01",
                                   .data_size = 1};
        if (bn_batch_writer_add (&writer, &event))
            abort ();
    }
    bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
    bn_batch_writer_fini (&writer);
    return payload;
}

static void publish_and_join (teller_t *self, bn_blob_t *payload)
{
    bn_section_t section = {.topic = TEXT ("t"),
                            .partition = home (),
                            .count = 2,
                            .payload = {NULL, payload->data, payload->size}};
    bn_text_t pattern = TEXT ("t");
    say (self, PRODUCER,
         (bn_message_t){.type = BN_HELLO, .hello = {BN_ROLE_PRODUCER, TEXT ("/p"), 77}});
    for (uint64_t sequence = 1; sequence <= 3; sequence++)
        say (self, PRODUCER,
             (bn_message_t){.type = BN_PUBLISH, .publish = {77, sequence, &section, 1}});
    say (self, ACTOR, (bn_message_t){.type = BN_HELLO, .hello = {BN_ROLE_ACTOR, TEXT ("a"), 5}});
    say (self, ACTOR,
         (bn_message_t){
             .type = BN_JOIN,
             .join = {
                 TEXT ("a"), TEXT ("i"), 5, &pattern, 1, BN_START_BEGINNING, 0, {3, 1, 9, 1000}}});
}

static void settle_and_bury (teller_t *self, bn_blob_t *payload)
{
    bn_fetch_t fetch = {home (), 1, 0};
    bn_parked_t park = {0, 1, 1, 7, TEXT ("no stock")};
    bn_died_t died[] = {{1, 2}, {2, 3}};
    bn_settlement_t settlement = {.partition = home (),
                                  .generation = 1,
                                  .floor = 4,
                                  .handled = 4,
                                  .parks = &park,
                                  .park_count = 1,
                                  .died = died,
                                  .died_count = 2};
    bn_section_t dead = {.topic = TEXT ("$dead.a"),
                         .partition = home (),
                         .count = 2,
                         .payload = {NULL, payload->data, payload->size}};
    uint64_t redriven = 6;
    say (self, ACTOR, (bn_message_t){.type = BN_FETCH, .fetch = {0, 4096, &fetch, 1, NULL, 0}});
    say (self, ACTOR, (bn_message_t){.type = BN_BEGIN, .begin = {home (), 1, 0}});
    say (self, ACTOR, (bn_message_t){.type = BN_SETTLE, .settle = {&settlement, 1, &dead, 1}});
    say (self, ACTOR, (bn_message_t){.type = BN_HEARTBEAT, .heartbeat = {1, 2}});
    say (self, ADMIN, (bn_message_t){.type = BN_HELLO, .hello = {BN_ROLE_ADMIN, TEXT (""), 0}});
    say (self, ADMIN, (bn_message_t){.type = BN_STATUS});
    say (self, ADMIN, (bn_message_t){.type = BN_READ, .read = {.bytes_max = 4096}});
    say (self, ADMIN,
         (bn_message_t){.type = BN_DEAD,
                        .dead = {BN_DEAD_REDRIVE, TEXT ("a"), false, 0, 0, &redriven, 1}});
}

/*  The instance is killed in a careful handler; its partitions wait for it, then it is blamed.  */
static void die_and_come_back (teller_t *self)
{
    bn_text_t pattern = TEXT ("t");
    uint64_t discarded = 7;
    say (self, ACTOR, (bn_message_t){.type = BN_BEGIN, .begin = {home (), 1, 4}});
    step (self,
          &(bn_conductor_event_t){.kind = BN_CONDUCTOR_GONE, .now = self->now, .route = 1 + ACTOR});
    self->now.mono_ms += 3000;
    self->now.wall_us += 3000000;
    put_byte (&self->story->messages, 14 * 4 + ACTOR); /* as fuzz_conductor.c has it */
    put_byte (&self->story->messages, 15 * 4 + ACTOR);
    step (self, &(bn_conductor_event_t){.kind = BN_CONDUCTOR_TICK, .now = self->now});
    say (self, ADMIN,
         (bn_message_t){.type = BN_DEAD,
                        .dead = {BN_DEAD_DISCARD, TEXT ("a"), false, 0, 0, &discarded, 1}});
    say (self, ACTOR, (bn_message_t){.type = BN_HELLO, .hello = {BN_ROLE_ACTOR, TEXT ("a"), 6}});
    say (self, ACTOR,
         (bn_message_t){
             .type = BN_JOIN,
             .join = {
                 TEXT ("a"), TEXT ("i"), 6, &pattern, 1, BN_START_BEGINNING, 0, {3, 1, 9, 1000}}});
}

static bool put_saved (const void *key, size_t key_size, const void *value, size_t value_size,
                       void *arg)
{
    put_item (arg, 0, key, key_size, value, value_size);
    return true;
}

void story_init (story_t *self)
{
    const bn_conductor_options_t options = {.message_bytes_max = 1 << 20,
                                            .data_bytes_max = 1 << 16,
                                            .topics_max = 8,
                                            .actors_max = 4,
                                            .sessions_max = 4,
                                            .parked_max = 4,
                                            .dead_max = 4,
                                            .heartbeat_ms = 1000,
                                            .session_timeout_ms = 6000,
                                            .reconnect_grace_ms = 2000,
                                            .fanout_endpoint = "tcp://127.0.0.1:7712"};
    bn_state_t *state = bn_state_new (4);
    teller_t teller = {.story = self, .now = {.mono_ms = 1000, .wall_us = 1000000}};
    bn_blob_t *payload = two_events ();
    bn_buffer_init (&self->messages, 1 << 16);
    bn_buffer_init (&self->records, 1 << 16);
    bn_buffer_init (&self->checkpoint, 1 << 16);
    teller.conductor = bn_conductor_new (&options, &state);
    bn_effects_init (&teller.effects);
    step (&teller, &(bn_conductor_event_t){.kind = BN_CONDUCTOR_START,
                                           .now = teller.now,
                                           .random = 4711,
                                           .partitions = PARTITIONS});
    publish_and_join (&teller, payload);
    settle_and_bury (&teller, payload);
    (void)bn_state_save (bn_conductor_state (teller.conductor), put_saved, &self->checkpoint);
    die_and_come_back (&teller);
    say (&teller, ADMIN, (bn_message_t){.type = BN_STATUS});
    say (&teller, ADMIN,
         (bn_message_t){.type = BN_EXPLAIN, .explain = {TEXT ("a"), 0, 0, TEXT ("k")}});
    say (&teller, ADMIN, (bn_message_t){.type = BN_GONE, .gone = {TEXT (""), TEXT ("i"), 7}});
    say (&teller, ACTOR,
         (bn_message_t){.type = BN_LEAVE, .leave = {BN_LEAVE_CLEAN, 0, BN_NO_OFFSET}});
    say (&teller, ADMIN, (bn_message_t){.type = BN_FORGET, .forget = TEXT ("a")});
    bn_effects_fini (&teller.effects);
    bn_conductor_destroy (&teller.conductor);
    bn_blob_unref (&payload);
}

void story_fini (story_t *self)
{
    bn_buffer_fini (&self->messages);
    bn_buffer_fini (&self->records);
    bn_buffer_fini (&self->checkpoint);
}
