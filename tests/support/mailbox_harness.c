/* SPDX-License-Identifier: MPL-2.0 */

#include "support/mailbox_harness.h"
#include "base/hash.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const s_patterns[] = {"orders.*"};

void box_options (bn_mailbox_options_t *options)
{
    *options = (bn_mailbox_options_t){.actor = "payment",
                                      .instance = "payment-1",
                                      .incarnation = 42,
                                      .patterns = s_patterns,
                                      .pattern_count = 1,
                                      .policy = {.max_attempts = 3,
                                                 .backoff_min_ms = 100,
                                                 .backoff_max_ms = 1000,
                                                 .handler_deadline_ms = 30000},
                                      .prefetch_bytes = 64 * 1024,
                                      .settle_bytes_max = 64 * 1024,
                                      .run_events_max = 8};
}

void box_init (box_t *self, const bn_mailbox_options_t *options)
{
    memset (self, 0, sizeof *self);
    bn_mailbox_options_t defaults;
    box_options (&defaults);
    self->mailbox = bn_mailbox_new (options ? options : &defaults);
    assert_non_null (self->mailbox);
    bn_mailbox_effects_init (&self->effects);
    self->now = (bn_time_t){.mono_ms = 1000000, .wall_us = 1700000000000000};
    self->random = 1;
    self->message_bytes_max = 1024 * 1024;
    self->parked_max = 1000;
}

static void sent_fini (box_sent_t *sent)
{
    bn_message_fini (&sent->message);
    for (size_t i = 0; i < sent->count; i++)
        bn_blob_unref (&sent->blobs[i]);
    free (sent->blobs);
    free (sent->frames);
    *sent = (box_sent_t){0};
}

void box_fini (box_t *self)
{
    for (size_t i = 0; i < self->sent_count; i++)
        sent_fini (&self->sent[i]);
    if (self->last.count)
        sent_fini (&self->last);
    bn_run_destroy (&self->run);
    bn_mailbox_effects_fini (&self->effects);
    bn_mailbox_destroy (&self->mailbox);
}

/*  ---- the shell ---------------------------------------------------------------------------- */

static void keep_sent (box_t *self, bn_mailbox_effect_t *effect)
{
    assert_true (self->sent_count < sizeof self->sent / sizeof *self->sent);
    box_sent_t *sent = &self->sent[self->sent_count++];
    sent->count = 1 + effect->payload_count;
    sent->blobs = calloc (sent->count, sizeof *sent->blobs);
    sent->frames = calloc (sent->count, sizeof *sent->frames);
    sent->blobs[0] = bn_blob_ref (effect->head);
    for (uint32_t i = 0; i < effect->payload_count; i++)
        sent->blobs[i + 1] = bn_blob_ref (effect->payloads[i].blob);
    for (size_t i = 0; i < sent->count; i++)
        sent->frames[i] = (bn_frame_t){sent->blobs[i]->data, sent->blobs[i]->size};
    char what[256];
    baton_err_t err = bn_message_decode (&sent->message, sent->frames, sent->count, what);
    if (err)
        fail_msg ("the mailbox sent something that cannot be read: %s", what);
}

static void subscription (box_t *self, const bn_mailbox_effect_t *effect, int change)
{
    if (bn_is_channel (effect->head->data, effect->head->size)) {
        self->channel += change;
        assert_in_range (self->channel, 0, 1);
        return;
    }
    uint32_t partition = effect->head->data[0];
    assert_in_range (partition, 0, BOX_PARTITIONS - 1);
    self->subscribed[partition] += change;
    assert_in_range (self->subscribed[partition], 0, 1);
    snprintf (self->prefix, sizeof self->prefix, "%.*s", (int)effect->head->size - 1,
              (const char *)effect->head->data + 1);
}

static void do_effect (box_t *self, bn_mailbox_effect_t *effect)
{
    assert_false (self->drained || self->fatal);
    switch (effect->kind) {
    case BN_MAILBOX_SEND:
        keep_sent (self, effect);
        break;
    case BN_MAILBOX_CONNECT_SUB:
        snprintf (self->endpoint, sizeof self->endpoint, "%s", effect->text);
        break;
    case BN_MAILBOX_SUBSCRIBE:
        subscription (self, effect, 1);
        break;
    case BN_MAILBOX_UNSUBSCRIBE:
        subscription (self, effect, -1);
        break;
    case BN_MAILBOX_RUN:
        assert_null (self->run); /* one run at the handler */
        self->run = effect->run;
        effect->run = NULL;
        self->runs++;
        break;
    case BN_MAILBOX_RESET_LINK:
        self->resets++;
        break;
    case BN_MAILBOX_LOG:
        snprintf (self->text, sizeof self->text, "%s", effect->text);
        break;
    case BN_MAILBOX_FATAL:
        self->fatal = effect->err;
        snprintf (self->text, sizeof self->text, "%s", effect->text);
        break;
    case BN_MAILBOX_DRAINED:
        self->drained = true;
        break;
    }
}

void box_step (box_t *self, bn_mailbox_event_t event)
{
    event.now = self->now;
    event.random = self->random++;
    bn_mailbox_step (self->mailbox, &event, &self->effects);
    assert_false (self->effects.failed);
    for (size_t i = 0; i < self->effects.count; i++)
        do_effect (self, &self->effects.items[i]);
    bn_mailbox_effects_clear (&self->effects);
}

void box_up (box_t *self)
{
    box_step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_UP});
}

void box_down (box_t *self)
{
    box_step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_DOWN});
}

static void advance (box_t *self, uint64_t to_ms)
{
    self->now.wall_us += (to_ms - self->now.mono_ms) * 1000;
    self->now.mono_ms = to_ms;
    box_step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_TICK});
}

void box_pass (box_t *self, uint64_t ms)
{
    uint64_t end = self->now.mono_ms + ms;
    int at_once = 0;
    while (bn_mailbox_due_ms (self->mailbox) < end) {
        uint64_t due = bn_mailbox_due_ms (self->mailbox);
        /*  A mailbox that is due again and again without time passing would spin its courier.  */
        at_once = due <= self->now.mono_ms ? at_once + 1 : 0;
        assert_in_range (at_once, 0, 10);
        advance (self, due > self->now.mono_ms ? due : self->now.mono_ms);
    }
    advance (self, end);
}

/*  ---- messages ------------------------------------------------------------------------------ */

size_t box_pending (const box_t *self, bn_message_type_t type)
{
    size_t count = 0;
    for (size_t i = 0; i < self->sent_count; i++)
        count += self->sent[i].message.type == type;
    return count;
}

const bn_message_t *box_sent (box_t *self, bn_message_type_t type)
{
    for (size_t i = 0; i < self->sent_count; i++) {
        if (self->sent[i].message.type != type)
            continue;
        if (self->last.count)
            sent_fini (&self->last);
        self->last = self->sent[i];
        self->sent_count--;
        memmove (&self->sent[i], &self->sent[i + 1], (self->sent_count - i) * sizeof self->sent[0]);
        return &self->last.message;
    }
    return NULL;
}

const bn_message_t *box_expect (box_t *self, bn_message_type_t type)
{
    const bn_message_t *message = box_sent (self, type);
    if (!message)
        fail_msg ("a message of type 0x%02x was not sent (last words: %s)", (unsigned)type,
                  self->text);
    return message;
}

static void feed (box_t *self, bn_blob_t *head, const bn_section_t *sections, uint32_t count)
{
    bn_frame_t *frames = calloc (count + 1, sizeof *frames);
    bn_blob_t **blobs = calloc (count + 1, sizeof (bn_blob_t *));
    assert_non_null (head);
    blobs[0] = head;
    for (uint32_t i = 0; i < count; i++)
        blobs[i + 1] = sections[i].payload.blob;
    for (uint32_t i = 0; i <= count; i++)
        frames[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
    box_step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_MESSAGE,
                                         .frames = frames,
                                         .blobs = blobs,
                                         .frame_count = count + 1});
    bn_blob_unref (&head);
    free (frames);
    free (blobs);
}

void box_answer (box_t *self, const bn_message_t *to, bn_message_t *message)
{
    if (to)
        message->request = to->request;
    bool events = message->type == BN_EVENTS;
    feed (self, bn_message_encode (message), events ? message->events.sections : NULL,
          events ? message->events.section_count : 0);
}

void box_refuse (box_t *self, const bn_message_t *to, baton_err_t err, uint64_t detail)
{
    feed (self, bn_error_encode (to->request, err, detail, "the test says so"), NULL, 0);
}

/*  topics NULL: all events are of `topic`; else one for each, separated by spaces.  */
static bn_section_t section_of (const char *topic, const char *topics, uint32_t partition,
                                uint64_t base, const char *keys)
{
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 16 * 1024 * 1024);
    char text[4096];
    snprintf (text, sizeof text, "%s", keys);
    uint64_t offset = base;
    char *state = NULL;
    for (char *key = strtok_r (text, " ", &state); key; key = strtok_r (NULL, " ", &state)) {
        uint8_t data[] = {0xcd, (uint8_t)(offset >> 8), (uint8_t)offset};
        bool none = strcmp (key, "-") == 0;
        bn_event_fields_t event = {.id_prefix = {"p", 1},
                                   .id_number_set = true,
                                   .id_number = offset,
                                   .key = {key, none ? 0 : strlen (key)},
                                   .source = {"/shop", 5},
                                   .time_us = 1700000000000000,
                                   .data = data,
                                   .data_size = sizeof data};
        bn_text_t own = {topics, topics ? strcspn (topics, " ") : 0};
        assert_int_equal (topics ? bn_batch_writer_add_mixed (&writer, own, &event)
                                 : bn_batch_writer_add (&writer, &event),
                          BATON_OK);
        if (topics)
            topics += own.size + (topics[own.size] == ' ');
        offset++;
    }
    bn_section_t section = {.topic = {topic, strlen (topic)}, .partition = partition, .base = base};
    bn_blob_t *blob = bn_batch_writer_take (&writer, &section.count);
    assert_non_null (blob);
    section.payload = (bn_slice_t){blob, blob->data, blob->size};
    bn_batch_writer_fini (&writer);
    return section;
}

bn_section_t box_section (const char *topic, uint32_t partition, uint64_t base, const char *keys)
{
    return section_of (topic, NULL, partition, base, keys);
}

bn_section_t box_mixed (const char *topics, uint32_t partition, uint64_t base, const char *keys)
{
    return section_of ("", topics, partition, base, keys);
}

void box_section_free (bn_section_t *section)
{
    bn_blob_unref (&section->payload.blob);
}

const char *box_key (uint32_t partition, uint32_t n)
{
    static char ring[16][16];
    static unsigned at;
    char *key = ring[at++ % 16];
    for (unsigned i = 0;; i++) {
        snprintf (key, sizeof ring[0], "k%u", i);
        if (bn_hash_partition (bn_hash (key, strlen (key)), BOX_PARTITIONS) == partition &&
            n-- == 0)
            return key;
    }
}

/*  ---- the orchestrator ------------------------------------------------------------------------
 *  */

static bn_message_t assigned (bn_message_type_t type, uint32_t parked_max,
                              bn_assignment_t *assignments, uint32_t count)
{
    static uint64_t version;
    return (bn_message_t){.type = type,
                          .beat = {.actor_id = type == BN_JOINED ? BOX_ACTOR_ID : 0,
                                   .parked_max = parked_max,
                                   .version = ++version,
                                   .assignments_set = true,
                                   .assignments = assignments,
                                   .assignment_count = count}};
}

void box_welcome (box_t *self, const bn_message_t *hello)
{
    bn_message_t welcome = {.type = BN_WELCOME,
                            .welcome = {.journal_id = BOX_JOURNAL,
                                        .partitions = BOX_PARTITIONS,
                                        .heartbeat_ms = BOX_HEARTBEAT,
                                        .session_timeout_ms = 10000,
                                        .message_bytes_max = self->message_bytes_max,
                                        .data_bytes_max = 65536,
                                        .fanout_endpoint = {"tcp://127.0.0.1:7712", 20}}};
    box_answer (self, hello, &welcome);
}

void box_join (box_t *self, bn_assignment_t *assignments, uint32_t count)
{
    box_welcome (self, box_expect (self, BN_HELLO));
    const bn_message_t *join = box_expect (self, BN_JOIN);
    bn_message_t message = assigned (BN_JOINED, self->parked_max, assignments, count);
    box_answer (self, join, &message);
}

void box_beat (box_t *self, bn_assignment_t *assignments, uint32_t count)
{
    bn_message_t message = assigned (BN_BEAT, 0, assignments, count);
    box_answer (self, NULL, &message);
}

void box_start (box_t *self, const bn_mailbox_options_t *options)
{
    box_init (self, options);
    box_up (self);
    bn_assignment_t assignment = {.partition = 0, .generation = 1};
    box_join (self, &assignment, 1);
}

void box_fanout (box_t *self, uint32_t partition, uint64_t previous, uint64_t base,
                 const char *keys)
{
    bn_section_t section = box_section ("orders.placed", partition, base, keys);
    bn_chain_t chain = {.actor_id = BOX_ACTOR_ID, .previous_end = previous};
    bn_fanout_t fanout = {.partition = partition,
                          .topic = section.topic,
                          .base = base,
                          .count = section.count,
                          .chain = &chain,
                          .chain_count = 1};
    bn_blob_t *blobs[] = {
        bn_fanout_topic_encode (partition, section.topic.text, section.topic.size),
        bn_fanout_encode (&fanout), section.payload.blob};
    bn_frame_t frames[3];
    for (int i = 0; i < 3; i++)
        frames[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
    box_step (self,
              (bn_mailbox_event_t){
                  .kind = BN_MAILBOX_FANOUT, .frames = frames, .blobs = blobs, .frame_count = 3});
    bn_blob_unref (&blobs[0]);
    bn_blob_unref (&blobs[1]);
    box_section_free (&section);
}

void box_bundle (box_t *self, const bn_section_t *sections, const uint64_t *previous,
                 uint32_t count)
{
    bn_bundled_t bundled[8];
    bn_buffer_t payload;
    assert_in_range (count, 1, 8);
    bn_buffer_init (&payload, 1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        bundled[i] = (bn_bundled_t){.topic = sections[i].topic,
                                    .partition = sections[i].partition,
                                    .base = sections[i].base,
                                    .count = sections[i].count,
                                    .previous_end = previous[i],
                                    .bytes = (uint32_t)sections[i].payload.size};
        bn_buffer_append (&payload, sections[i].payload.data, sections[i].payload.size);
    }
    bn_bundle_t bundle = {bundled, count};
    bn_blob_t *blobs[] = {bn_channel_encode (BOX_ACTOR_ID, 42), bn_bundle_encode (&bundle),
                          bn_buffer_take (&payload)};
    bn_frame_t frames[3];
    for (int i = 0; i < 3; i++) {
        assert_non_null (blobs[i]);
        frames[i] = (bn_frame_t){blobs[i]->data, blobs[i]->size};
    }
    box_step (self,
              (bn_mailbox_event_t){
                  .kind = BN_MAILBOX_FANOUT, .frames = frames, .blobs = blobs, .frame_count = 3});
    for (int i = 0; i < 3; i++)
        bn_blob_unref (&blobs[i]);
}

void box_fetched (box_t *self, const bn_message_t *fetch, uint32_t partition, uint64_t base,
                  const char *keys, uint64_t scanned_to, bool at_tail)
{
    bn_section_t section = {0};
    if (keys)
        section = box_section ("orders.placed", partition, base, keys);
    bn_message_t events = {.type = BN_EVENTS,
                           .events = {.from = 0,
                                      .scanned_to = scanned_to,
                                      .at_tail = at_tail,
                                      .sections = &section,
                                      .section_count = keys ? 1 : 0}};
    box_answer (self, fetch, &events);
    if (keys)
        box_section_free (&section);
}

/*  ---- the handler ------------------------------------------------------------------------------
 *  */

void box_assert_run (box_t *self, const char *offsets)
{
    char text[1024] = "";
    for (uint32_t i = 0; self->run && i < self->run->count; i++) {
        size_t size = strlen (text);
        snprintf (text + size, sizeof text - size, "%s%" PRIu64, i ? " " : "",
                  self->run->items[i].offset);
    }
    assert_string_equal (text, offsets);
}

void box_handle (box_t *self, const char *verdicts)
{
    bn_run_t *run = self->run;
    assert_non_null (run);
    assert_int_equal (strlen (verdicts), run->count);
    for (uint32_t i = 0; i < run->count; i++) {
        bn_run_item_t *item = &run->items[i];
        item->result = verdicts[i] == 'a'   ? BN_RESULT_ACK
                       : verdicts[i] == 'r' ? BN_RESULT_RETRY
                       : verdicts[i] == 'x' ? BN_RESULT_REJECT
                                            : BN_RESULT_NONE;
        if (!item->reason && (verdicts[i] == 'r' || verdicts[i] == 'x'))
            item->reason = strdup ("no money");
    }
    self->run = NULL;
    box_step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
}

void box_emit (bn_run_item_t *item, const char *topic, uint32_t count, size_t bytes)
{
    item->emissions = calloc (count, sizeof *item->emissions);
    item->emission_count = count;
    for (uint32_t i = 0; i < count; i++) {
        size_t topic_size = strlen (topic), key_size = item->fields.key.size;
        bn_blob_t *blob = bn_blob_new (topic_size + key_size + bytes);
        memcpy (blob->data, topic, topic_size);
        memcpy (blob->data + topic_size, item->fields.key.text, key_size);
        memset (blob->data + topic_size + key_size, 0xc0, bytes); /* nil */
        item->emissions[i] =
            (bn_emission_t){.topic = {(const char *)blob->data, topic_size},
                            .fields = {.id = {"e", 1},
                                       .key = {(const char *)blob->data + topic_size, key_size},
                                       .source = {"/actors/payment", 15},
                                       .time_us = 1700000000000000,
                                       .data = blob->data + topic_size + key_size,
                                       .data_size = bytes},
                            .spread = 0,
                            .blob = blob};
    }
}

const bn_message_t *box_settled (box_t *self)
{
    box_expect (self, BN_SETTLE);
    box_sent_t kept = self->last; /* the answer may make others */
    self->last = (box_sent_t){0};
    bn_message_t settled = {.type = BN_SETTLED, .settled = {.base = BN_NO_OFFSET, .count = 0}};
    box_answer (self, &kept.message, &settled);
    if (self->last.count)
        sent_fini (&self->last);
    self->last = kept;
    return &self->last.message;
}

const bn_settlement_t *box_settlement (const bn_message_t *settle, uint32_t partition)
{
    for (uint32_t i = 0; i < settle->settle.settlement_count; i++)
        if (settle->settle.settlements[i].partition == partition)
            return &settle->settle.settlements[i];
    fail_msg ("the settle says nothing about partition %u", partition);
    return NULL;
}

bn_event_fields_t box_event (const bn_section_t *section, uint32_t index)
{
    bn_batch_reader_t reader;
    bn_event_fields_t event = {0};
    assert_int_equal (bn_batch_reader_init (&reader, section->payload.data, section->payload.size,
                                            section->count),
                      BATON_OK);
    for (uint32_t i = 0; i <= index; i++)
        assert_true (bn_batch_next (&reader, &event));
    return event;
}
