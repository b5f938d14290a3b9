/* SPDX-License-Identifier: MPL-2.0 */

/*  outbox_rig.h - an outbox, what it sends and what it reports; the test is its orchestrator.  */
#ifndef BN_OUTBOX_RIG_H
#define BN_OUTBOX_RIG_H

#include "core/outbox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PARTITIONS     4
#define PIPELINE_BYTES 32768 /* worth a second request */
#define RECEIPTS_MAX   4096
#define SENT_MAX       64

typedef struct {
    uint64_t ticket;
    baton_err_t err;
    uint64_t offset;
    uint32_t events;
} receipt_t;

typedef struct {
    bn_message_t message; /* borrows from the blobs */
    bn_frame_t *frames;
    bn_blob_t **blobs;
    size_t count;
} sent_t;

typedef struct {
    bn_outbox_t *outbox;
    bn_outbox_effects_t effects;
    bn_time_t now;
    uint64_t random;
    sent_t sent[SENT_MAX]; /* oldest first */
    size_t sent_count;
    sent_t last;
    receipt_t receipts[RECEIPTS_MAX];
    size_t receipt_count;
    uint64_t ticket;
    uint64_t id_base;
    int64_t time_step_us; /* between groups */
    int resets;
    baton_err_t fatal;
    char text[512]; /* of the last LOG, FATAL or refused RECEIPT */
    int logs;
    uint64_t tail; /* the orchestrator's */
    uint32_t message_bytes_max;
    uint64_t journal_id;
} rig_t;

static inline void rig_init (rig_t *rig, uint32_t request_bytes_max)
{
    memset (rig, 0, sizeof *rig);
    bn_outbox_options_t options = {.source = "/shop",
                                   .producer_id = 77,
                                   .request_bytes_max = request_bytes_max,
                                   .pipeline_bytes = PIPELINE_BYTES};
    rig->outbox = bn_outbox_new (&options);
    assert_non_null (rig->outbox);
    bn_outbox_effects_init (&rig->effects);
    rig->now.mono_ms = 1000;
    rig->random = 500;
    rig->tail = 100;
    rig->message_bytes_max = 65536;
    rig->journal_id = 11;
}

static inline void sent_free (sent_t *sent)
{
    if (sent->count)
        bn_message_fini (&sent->message);
    for (size_t i = 0; i < sent->count; i++)
        bn_blob_unref (&sent->blobs[i]);
    free (sent->blobs);
    free (sent->frames);
    *sent = (sent_t){0};
}

static inline void rig_fini (rig_t *rig)
{
    for (size_t i = 0; i < rig->sent_count; i++)
        sent_free (&rig->sent[i]);
    sent_free (&rig->last);
    bn_outbox_effects_fini (&rig->effects);
    bn_outbox_destroy (&rig->outbox);
}

static inline void keep_sent (rig_t *rig, const bn_outbox_effect_t *effect)
{
    assert_true (rig->sent_count < SENT_MAX);
    sent_t *sent = &rig->sent[rig->sent_count++];
    sent->count = effect->payload_count + 1;
    sent->blobs = calloc (sent->count, sizeof *sent->blobs);
    sent->frames = calloc (sent->count, sizeof *sent->frames);
    sent->blobs[0] = bn_blob_ref (effect->head);
    for (uint32_t i = 0; i < effect->payload_count; i++)
        sent->blobs[i + 1] = bn_blob_ref (effect->payloads[i].blob);
    size_t bytes = 0;
    for (size_t i = 0; i < sent->count; i++) {
        sent->frames[i] = (bn_frame_t){sent->blobs[i]->data, sent->blobs[i]->size};
        bytes += sent->blobs[i]->size;
    }
    assert_true (bytes <= rig->message_bytes_max);
    char what[256];
    if (bn_message_decode (&sent->message, sent->frames, sent->count, what))
        fail_msg ("the outbox sent something that cannot be read: %s", what);
}

static inline void step (rig_t *rig, bn_outbox_event_t event)
{
    event.now = rig->now;
    event.random = rig->random++;
    bn_outbox_step (rig->outbox, &event, &rig->effects);
    assert_false (rig->effects.failed);
    for (size_t i = 0; i < rig->effects.count; i++) {
        const bn_outbox_effect_t *effect = &rig->effects.items[i];
        assert_int_equal (rig->fatal, 0); /* FATAL is the last word */
        if (effect->text)
            snprintf (rig->text, sizeof rig->text, "%s", effect->text);
        switch (effect->kind) {
        case BN_OUTBOX_SEND:
            keep_sent (rig, effect);
            break;
        case BN_OUTBOX_RECEIPT:
            assert_true (rig->receipt_count < RECEIPTS_MAX);
            rig->receipts[rig->receipt_count++] =
                (receipt_t){effect->ticket, effect->err, effect->offset, effect->events};
            break;
        case BN_OUTBOX_RESET_LINK:
            rig->resets++;
            break;
        case BN_OUTBOX_LOG:
            rig->logs++;
            break;
        case BN_OUTBOX_FATAL:
            rig->fatal = effect->err;
            break;
        }
    }
    bn_outbox_effects_clear (&rig->effects);
}

static inline void link_up (rig_t *rig)
{
    step (rig, (bn_outbox_event_t){.kind = BN_OUTBOX_LINK_UP});
}

static inline void link_down (rig_t *rig)
{
    step (rig, (bn_outbox_event_t){.kind = BN_OUTBOX_LINK_DOWN});
}

static inline void pass (rig_t *rig, uint64_t ms)
{
    uint64_t end = rig->now.mono_ms + ms;
    int at_once = 0;
    while (bn_outbox_due_ms (rig->outbox) <= end) {
        uint64_t due = bn_outbox_due_ms (rig->outbox);
        at_once = due <= rig->now.mono_ms ? at_once + 1 : 0;
        assert_in_range (at_once, 0, 5);
        if (due > rig->now.mono_ms)
            rig->now.mono_ms = due;
        step (rig, (bn_outbox_event_t){.kind = BN_OUTBOX_TICK});
    }
    rig->now.mono_ms = end;
}

/*  The oldest message not looked at; NULL: none.  */
static inline const bn_message_t *next_sent (rig_t *rig)
{
    if (rig->sent_count == 0)
        return NULL;
    sent_free (&rig->last);
    rig->last = rig->sent[0];
    rig->sent_count--;
    memmove (&rig->sent[0], &rig->sent[1], rig->sent_count * sizeof rig->sent[0]);
    return &rig->last.message;
}

static inline const bn_message_t *expect (rig_t *rig, bn_message_type_t type)
{
    const bn_message_t *message = next_sent (rig);
    if (!message || message->type != type)
        fail_msg ("a message of type 0x%02x was not sent (last words: %s)", (unsigned)type,
                  rig->text);
    return message;
}

static inline void feed (rig_t *rig, bn_blob_t *head)
{
    assert_non_null (head);
    bn_frame_t frame = {head->data, head->size};
    step (rig, (bn_outbox_event_t){.kind = BN_OUTBOX_MESSAGE, .frames = &frame, .frame_count = 1});
    bn_blob_unref (&head);
}

static inline void refuse (rig_t *rig, const bn_message_t *to, baton_err_t err, uint64_t detail)
{
    feed (rig, bn_error_encode (to->request, err, detail, "the test says so"));
}

static inline void welcome (rig_t *rig)
{
    const bn_message_t *hello = expect (rig, BN_HELLO);
    assert_int_equal (hello->hello.role, BN_ROLE_PRODUCER);
    bn_message_t message = {.type = BN_WELCOME,
                            .request = hello->request,
                            .welcome = {.journal_id = rig->journal_id,
                                        .partitions = PARTITIONS,
                                        .heartbeat_ms = 1000,
                                        .session_timeout_ms = 10000,
                                        .message_bytes_max = rig->message_bytes_max,
                                        .data_bytes_max = 4096,
                                        .fanout_endpoint = {"tcp://h:1", 9}}};
    feed (rig, bn_message_encode (&message));
}

static inline uint32_t events_of (const bn_publish_t *publish)
{
    uint32_t events = 0;
    for (uint32_t i = 0; i < publish->section_count; i++)
        events += publish->sections[i].count;
    return events;
}

/*  A receipt for that PUBLISH as an orchestrator gives it.  */
static inline void receipt (rig_t *rig, const bn_message_t *to, bool duplicate, uint64_t base)
{
    uint32_t events = events_of (&to->publish);
    bn_message_t message = {.type = BN_RECEIPT,
                            .request = to->request,
                            .receipt = {.sequence = to->publish.sequence,
                                        .base = base,
                                        .count = events,
                                        .duplicate = duplicate}};
    feed (rig, bn_message_encode (&message));
}

static inline void take (rig_t *rig, const bn_message_t *to)
{
    uint32_t events = events_of (&to->publish);
    uint64_t base = rig->tail;
    rig->tail += events;
    receipt (rig, to, false, base);
}

/*  A group: one event for each key (separated by spaces), `bytes` of data each.  */
static inline uint64_t publish_as (rig_t *rig, const char *topic, const char *keys, size_t bytes,
                                   const char *attribute)
{
    char text[4096];
    snprintf (text, sizeof text, "%s", keys);
    bn_outbox_group_t *group = calloc (1, sizeof *group);
    group->items = calloc (4096 / 2, sizeof *group->items);
    size_t key_bytes = strlen (text), topic_bytes = strlen (topic),
           attribute_bytes = strlen (attribute);
    group->blob = bn_blob_new (key_bytes + topic_bytes + attribute_bytes + bytes);
    char *key_at = (char *)group->blob->data;
    memcpy (key_at, text, key_bytes);
    char *topic_at = key_at + key_bytes;
    memcpy (topic_at, topic, topic_bytes);
    char *attribute_at = topic_at + topic_bytes;
    memcpy (attribute_at, attribute, attribute_bytes);
    uint8_t *data = (uint8_t *)attribute_at + attribute_bytes;
    memset (data, 0xc0, bytes);
    bn_text_t same = {attribute_at, attribute_bytes};
    char *state = NULL;
    for (char *key = strtok_r (text, " ", &state); key; key = strtok_r (NULL, " ", &state)) {
        bool none = strcmp (key, "-") == 0;
        group->items[group->count++] = (bn_outbox_item_t){
            .topic = {topic_at, topic_bytes},
            .fields = {.id_prefix = same,
                       .id_number_set = true,
                       .id_number = rig->id_base + rig->ticket,
                       .key = {key_at + (key - text), none ? 0 : strlen (key)},
                       .source = same,
                       .time_us = 1700000000000000 + rig->time_step_us * (int64_t)rig->ticket,
                       .datacontenttype = same,
                       .dataschema = same,
                       .data = data,
                       .data_size = bytes}};
    }
    group->ticket = ++rig->ticket;
    group->bytes = bytes * group->count;
    bn_outbox_groups_t groups = {.bytes = 0};
    bn_outbox_groups_add (&groups, group);
    step (rig, (bn_outbox_event_t){.kind = BN_OUTBOX_GROUPS, .groups = &groups});
    return rig->ticket;
}

static inline uint64_t publish (rig_t *rig, const char *topic, const char *keys)
{
    return publish_as (rig, topic, keys, 10, "a");
}

static inline void start (rig_t *rig)
{
    rig_init (rig, 0);
    link_up (rig);
    welcome (rig);
}

#endif
