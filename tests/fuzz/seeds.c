/* SPDX-License-Identifier: MPL-2.0 */

/*  seeds.c - fuzz_seeds DIR: writes well-formed inputs to DIR/TARGET (which must exist) for each
 *  target, so that the fuzzers start behind the first checks.  */
#include "story.h"
#include "unit/wire/node_samples.h"
#include "unit/wire/samples.h"
#include "wire/record.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *s_folder;

static void write_seed (const char *target, size_t index, uint8_t first, const bn_frame_t *frames,
                        size_t count)
{
    char path[4096];
    snprintf (path, sizeof (path), "%s/%s/seed-%zu", s_folder, target, index);
    FILE *file = fopen (path, "wb");
    if (!file) {
        perror (path);
        exit (1);
    }
    fputc (first, file);
    for (size_t i = 0; i < count; i++)
        fwrite (frames[i].data, 1, frames[i].size, file);
    if (fclose (file)) {
        perror (path);
        exit (1);
    }
}

static void write_blob (const char *target, size_t index, uint8_t first, bn_blob_t *blob)
{
    write_seed (target, index, first, &(bn_frame_t){blob->data, blob->size}, 1);
    bn_blob_unref (&blob);
}

static void write_messages (void)
{
    for (size_t i = 0; i < g_sample_count; i++) {
        const bn_message_t *message = &g_samples[i].message;
        uint32_t payloads = message->type == BN_PUBLISH  ? message->publish.section_count
                            : message->type == BN_SETTLE ? message->settle.section_count
                            : message->type == BN_EVENTS ? message->events.section_count
                                                         : 0;
        write_blob ("message", i, (uint8_t)payloads, bn_message_encode (message));
    }
}

/*  The first byte of a seed is the target's; here it is the message's.  */
static void write_node_messages (void)
{
    for (size_t i = 0; i < g_node_sample_count; i++) {
        bn_blob_t *blob = bn_node_message_encode (&g_node_samples[i]);
        bn_frame_t rest = {blob->data + 1, blob->size - 1};
        write_seed ("node_message", i, blob->data[0], &rest, 1);
        bn_blob_unref (&blob);
    }
}

static void write_records (void)
{
    for (size_t i = 0; i < g_sample_count; i++) {
        const bn_message_t *message = &g_samples[i].message;
        bn_record_t record = {0};
        if (message->type == BN_PUBLISH) {
            record.type = BN_RECORD_PUBLISH;
            record.publish = message->publish;
        } else if (message->type == BN_SETTLE) {
            record.type = BN_RECORD_SETTLE;
            record.settle =
                (bn_settle_record_t){.actor_id = 1,
                                     .settlements = message->settle.settlements,
                                     .settlement_count = message->settle.settlement_count,
                                     .sections = message->settle.sections,
                                     .section_count = message->settle.section_count};
        } else if (message->type == BN_JOIN) {
            record.type = BN_RECORD_REGISTER;
            record.registration =
                (bn_register_record_t){.actor_id = 1,
                                       .name = message->join.actor,
                                       .patterns = message->join.patterns,
                                       .pattern_count = message->join.pattern_count,
                                       .policy = message->join.policy};
        } else
            continue;
        write_blob ("record", i, (uint8_t)record.type, bn_record_encode (&record));
    }
}

static void write_fanout (void)
{
    bn_chain_t chain[] = {{1, 0}, {2, 70}};
    bn_fanout_t fanout = {.base = 70, .count = 2, .chain = chain, .chain_count = 2};
    bn_blob_t *topic = bn_fanout_topic_encode (3, "orders.placed", 13);
    bn_blob_t *header = bn_fanout_encode (&fanout);
    const bn_frame_t frames[] = {{topic->data, topic->size}, {header->data, header->size}};
    write_seed ("fanout", 0, (uint8_t)topic->size, frames, 2);
    bn_blob_unref (&topic);
    bn_blob_unref (&header);
}

static void write_bundle (void)
{
    bn_bundled_t sections[] = {{{"orders.placed", 13}, 3, 70, 2, 68, 20},
                               {{"orders.paid", 11}, 4, 72, 1, 0, 12}};
    const bn_bundle_t bundle = {sections, 2};
    bn_blob_t *channel = bn_channel_encode (1, 42);
    bn_blob_t *header = bn_bundle_encode (&bundle);
    const bn_frame_t frames[] = {{channel->data, channel->size}, {header->data, header->size}};
    write_seed ("fanout", 1, (uint8_t)channel->size, frames, 2);
    bn_blob_unref (&channel);
    bn_blob_unref (&header);
}

static void write_batch (bool mixed)
{
    static const uint8_t ext[] = "\x82\xadtraceparent12\xa1x\xa1z\xa0";
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 1 << 16);
    for (uint32_t i = 0; i < 4; i++) {
        bn_event_fields_t event = {.id_prefix = {"p1", 2},
                                   .id_number_set = i != 2,
                                   .id = {"whole", 5},
                                   .id_number = i,
                                   .key = {"17850", i == 1 ? 0 : 5},
                                   .source = {i == 3 ? "/other" : "/shop", i == 3 ? 6 : 5},
                                   .time_us = 1700000000000000 + i,
                                   .dataschema = {"urn:x", i == 2 ? 5 : 0},
                                   .data = (const uint8_t *)"\x81\xa1n\x92\x01\xc0",
                                   .data_size = 6,
                                   .ext = i == 2 ? ext : NULL,
                                   .ext_size = i == 2 ? sizeof (ext) - 1 : 0};
        bn_text_t topic = {i < 2 ? "t" : "t.u", i < 2 ? 1 : 3};
        if (mixed ? bn_batch_writer_add_mixed (&writer, topic, &event)
                  : bn_batch_writer_add (&writer, &event))
            abort ();
    }
    bn_section_t section = {.topic = {"", 0}};
    bn_blob_t *payload = bn_batch_writer_take (&writer, &section.count);
    section.payload = (bn_slice_t){payload, payload->data, payload->size};
    bn_record_t record = {.type = BN_RECORD_PUBLISH, .publish = {7, 1, &section, 1}};
    if (mixed)
        write_blob ("record", g_sample_count, BN_RECORD_PUBLISH, bn_record_encode (&record));
    write_blob ("batch", mixed, (uint8_t)section.count, payload);
    bn_batch_writer_fini (&writer);
}

static void write_text (const char *target, size_t index, const char *text, size_t size)
{
    write_seed (target, index, (uint8_t)text[0], &(bn_frame_t){text + 1, size - 1}, 1);
}

static void write_core (void)
{
    story_t story;
    story_init (&story);
    write_text ("conductor", 0, (const char *)bn_buffer_data (&story.messages),
                story.messages.size);
    write_text ("state", 0, (const char *)bn_buffer_data (&story.records), story.records.size);
    write_text ("state", 1, (const char *)bn_buffer_data (&story.checkpoint),
                story.checkpoint.size);
    story_fini (&story);
}

static void write_texts (void)
{
    static const char config[] = "# a comment\norchestrator\n    data_dir = \"/tmp/a b\"\n"
                                 "    partitions = 8\n    sync = interval\n"
                                 "    segment_bytes = 4MiB\n    retention_ms = 7d\n";
    static const char json[] = "\0{\"a\": [1, -2.5e3, true, null, \"\\u00e4\\ud83d\\ude00\"]}";
    static const char packed[] = "\1\x82\xa1"
                                 "a\x93\x01\xcb\x40\x04\0\0\0\0\0\0\xc4\x02xy\x02\xc0";
    static const char damage[] = "\0\0\x10\x08\x01\1\x11\0\0\2\0\x18\xff";
    write_text ("config", 0, config, sizeof (config) - 1);
    write_text ("json", 0, json, sizeof (json) - 1);
    write_text ("json", 1, packed, sizeof (packed) - 1);
    write_text ("journal", 0, damage, sizeof (damage) - 1);
}

int main (int argc, char **argv)
{
    if (argc != 2) {
        fprintf (stderr, "usage: fuzz_seeds DIR\n");
        return 2;
    }
    s_folder = argv[1];
    write_messages ();
    write_node_messages ();
    write_records ();
    write_fanout ();
    write_bundle ();
    write_batch (false);
    write_batch (true);
    write_core ();
    write_texts ();
    return 0;
}
