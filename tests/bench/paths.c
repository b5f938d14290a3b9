/* SPDX-License-Identifier: MPL-2.0 */

/*  paths.c - the paths that every event takes, without sockets, threads and disks, to be counted by
 *  `valgrind --tool=callgrind` (tests/bench/run --instructions).
 *
 *      paths PATH ROUNDS
 *
 *  runs one path ROUNDS times over a request of 16,384 events of 100 bytes in 32 partitions. What
 *  the request needs is made before, once; so the difference between two counts of rounds, divided
 *  by the events between them, is what an event costs on that path.
 *
 *  The paths of many topics have 1,000 of them and 64 partitions, so that nearly every event is a
 *  section of its own; those that are mixed have a section for each partition instead.  */

#include "base/crc32c.h"
#include "base/hash.h"
#include "client/publication.h"
#include "core/outbox.h"
#include "machines.h"
#include "wire/message.h"
#include "wire/record.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS     16384
#define PARTITIONS 32
#define KEYS       1000
#define DATA_BYTES 100
#define ORIGIN     "/baton/bench"
#define ID_PREFIX  "0123456789abcdef"
#define TOPIC      "bench.paths"
#define TOPICS     1000 /* of the paths that have many */
#define MANY       64   /* partitions there */

typedef struct {
    uint8_t data[DATA_BYTES];
    char keys[KEYS][8];
    char topics[TOPICS][16];
    uint8_t texts[4096];    /* of an event that is packed and forgotten */
    bn_section_t *sections; /* owned; the request */
    uint32_t section_count;
    bn_blob_t *body; /* owned; the record of it */
    bn_outbox_t *outbox;
    bn_outbox_effects_t effects;
    uint64_t ticket;
    uint64_t sequence;
    uint64_t request;
    bench_machines_t *machines; /* owned; of the path that is run, or NULL */
    bool mixes;
} s_bench_t;

/*  What is wrong here is a defect of the program: there is nobody to tell but its user.  */
static void s_must (bool ok, const char *what)
{
    if (ok)
        return;
    fprintf (stderr, "paths: %s failed\n", what);
    exit (1);
}

static bn_text_t s_text (const char *text)
{
    return (bn_text_t){text, strlen (text)};
}

static bn_event_fields_t s_fields (const s_bench_t *self, uint32_t number)
{
    return (bn_event_fields_t){.id_prefix = s_text (ID_PREFIX),
                               .id_number_set = true,
                               .id_number = number,
                               .key = s_text (self->keys[number % KEYS]),
                               .source = s_text (ORIGIN),
                               .time_us = 1700000000000000 + number,
                               .data = self->data,
                               .data_size = DATA_BYTES};
}

/*  ---- the paths ---- */

/*  In the publisher's thread: the checks, and the copy.  */
static void s_publish (s_bench_t *self)
{
    bn_publication_defaults_t defaults = {.source = s_text (ORIGIN),
                                          .id_prefix = s_text (ID_PREFIX)};
    for (uint32_t i = 0; i < EVENTS; i++) {
        char what[BN_WHAT_BYTES];
        baton_publication_t event = {.topic = TOPIC,
                                     .key = self->keys[i % KEYS],
                                     .data = self->data,
                                     .data_size = DATA_BYTES};
        bn_text_t topic;
        bn_event_fields_t fields;
        uint8_t *at = self->texts;
        s_must (bn_publication_check (&event, DATA_BYTES, what) == BATON_OK &&
                    bn_publication_bytes (&event, &defaults) <= sizeof (self->texts) &&
                    bn_publication_pack (&event, &defaults, &at, &topic, &fields),
                "publish");
    }
}

static void s_encode (s_bench_t *self)
{
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 64 * 1024 * 1024);
    s_must (sections, "encode");
    for (uint32_t i = 0; i < EVENTS; i++) {
        bn_event_fields_t fields = s_fields (self, i);
        s_must (!bn_sections_add (sections, TOPIC, strlen (TOPIC), &fields, i), "encode");
    }
    bn_section_array_free (self->sections, self->section_count);
    self->sections = bn_sections_take (sections, &self->section_count);
    bn_sections_destroy (&sections);
    s_must (self->sections, "encode");
}

static void s_validate (s_bench_t *self)
{
    for (uint32_t i = 0; i < self->section_count; i++) {
        const bn_section_t *section = &self->sections[i];
        bn_batch_limits_t limits = {.partition = section->partition,
                                    .partitions = PARTITIONS,
                                    .data_bytes_max = BATON_DATA_BYTES_MAX};
        s_must (!bn_batch_check (section->payload.data, section->payload.size, section->count,
                                 &limits, NULL, NULL),
                "validate");
    }
}

/*  The record's body, and its checksum.  */
static void s_append (s_bench_t *self)
{
    bn_record_t record = {.type = BN_RECORD_PUBLISH,
                          .publish = {.producer_id = 1,
                                      .sequence = 1,
                                      .sections = self->sections,
                                      .section_count = self->section_count}};
    bn_blob_unref (&self->body);
    self->body = bn_record_encode (&record);
    s_must (self->body && bn_crc32c (0, self->body->data, self->body->size) != 0, "append");
}

static void s_fan_out (s_bench_t *self)
{
    bn_chain_t chain[4] = {{.actor_id = 1}, {.actor_id = 2}, {.actor_id = 3}, {.actor_id = 4}};
    for (uint32_t i = 0; i < self->section_count; i++) {
        const bn_section_t *section = &self->sections[i];
        bn_fanout_t fanout = {.partition = section->partition,
                              .topic = section->topic,
                              .count = section->count,
                              .chain = chain,
                              .chain_count = 4};
        bn_blob_t *header = bn_fanout_encode (&fanout);
        bn_blob_t *topic =
            bn_fanout_topic_encode (section->partition, section->topic.text, section->topic.size);
        s_must (header && topic, "fan-out");
        bn_blob_unref (&header);
        bn_blob_unref (&topic);
    }
}

/*  What an instance does with each event before a handler sees it.  */
static void s_decode (s_bench_t *self)
{
    for (uint32_t i = 0; i < self->section_count; i++) {
        const bn_section_t *section = &self->sections[i];
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        uint32_t events = 0;
        s_must (!bn_batch_reader_init (&reader, section->payload.data, section->payload.size,
                                       section->count),
                "decode");
        for (; bn_batch_next (&reader, &event); events++)
            s_must (bn_hash (event.key.text, event.key.size) != 0, "decode");
        s_must (events == section->count, "decode");
    }
}

/*  One settlement of all partitions, there and back.  */
static void s_settle (s_bench_t *self)
{
    bn_settlement_t settlements[PARTITIONS];
    memset (settlements, 0, sizeof (settlements));
    for (uint32_t i = 0; i < PARTITIONS; i++)
        settlements[i] = (bn_settlement_t){
            .partition = i, .generation = 1, .floor = EVENTS, .handled = EVENTS / PARTITIONS};
    bn_message_t message = {.type = BN_SETTLE,
                            .settle = {.settlements = settlements, .settlement_count = PARTITIONS}};
    (void)self;
    bn_blob_t *head = bn_message_encode (&message);
    s_must (head, "settle");
    bn_frame_t frame = {head->data, head->size};
    bn_message_t decoded;
    s_must (!bn_message_decode (&decoded, &frame, 1, NULL), "settle");
    bn_message_fini (&decoded);
    bn_blob_unref (&head);
}

/*  ---- the producer's machine ---- */

static void s_answer (s_bench_t *self, bn_message_t *message)
{
    bn_outbox_effects_clear (&self->effects);
    message->request = ++self->request;
    bn_blob_t *head = bn_message_encode (message);
    s_must (head, "gather");
    bn_frame_t frame = {head->data, head->size};
    bn_outbox_event_t event = {.kind = BN_OUTBOX_MESSAGE, .frames = &frame, .frame_count = 1};
    bn_outbox_step (self->outbox, &event, &self->effects);
    bn_blob_unref (&head);
}

static bn_outbox_group_t *s_group (s_bench_t *self, bn_blob_t *blob, uint32_t number)
{
    uint8_t *at = blob->data + number * (sizeof (bn_outbox_group_t) + sizeof (bn_outbox_item_t));
    bn_outbox_group_t *group = (void *)at;
    bn_outbox_item_t *item = (void *)(group + 1);
    *item = (bn_outbox_item_t){.topic = s_text (TOPIC), .fields = s_fields (self, number)};
    *group = (bn_outbox_group_t){.ticket = ++self->ticket,
                                 .items = item,
                                 .count = 1,
                                 .in_blob = true,
                                 .blob = bn_blob_ref (blob),
                                 .bytes = DATA_BYTES};
    return group;
}

/*  From groups to a request, and from its receipt to theirs.  */
static void s_gather (s_bench_t *self)
{
    bn_blob_t *blob =
        bn_blob_new (EVENTS * (sizeof (bn_outbox_group_t) + sizeof (bn_outbox_item_t)));
    bn_outbox_groups_t groups = {.bytes = 0};
    s_must (blob, "gather");
    for (uint32_t i = 0; i < EVENTS; i++)
        bn_outbox_groups_add (&groups, s_group (self, blob, i));
    bn_blob_unref (&blob);
    bn_outbox_event_t event = {.kind = BN_OUTBOX_GROUPS, .groups = &groups};
    bn_outbox_step (self->outbox, &event, &self->effects);
    bn_message_t receipt = {.type = BN_RECEIPT,
                            .receipt = {.sequence = ++self->sequence, .count = EVENTS}};
    s_answer (self, &receipt);
    s_must (self->effects.count == EVENTS && !self->effects.failed, "gather");
    bn_outbox_effects_clear (&self->effects);
}

static void s_start_outbox (s_bench_t *self)
{
    bn_outbox_options_t options = {
        .source = ORIGIN, .producer_id = 1, .request_bytes_max = 32 * 1024 * 1024};
    self->outbox = bn_outbox_new (&options);
    s_must (self->outbox, "gather");
    bn_outbox_effects_init (&self->effects);
    bn_outbox_event_t up = {.kind = BN_OUTBOX_LINK_UP};
    bn_outbox_step (self->outbox, &up, &self->effects);
    bn_message_t welcome = {.type = BN_WELCOME,
                            .welcome = {.journal_id = 1,
                                        .partitions = PARTITIONS,
                                        .message_bytes_max = 64 * 1024 * 1024,
                                        .data_bytes_max = BATON_DATA_BYTES_MAX,
                                        .heartbeat_ms = 1000,
                                        .session_timeout_ms = 10000,
                                        .fanout_endpoint = s_text ("tcp://127.0.0.1:7712")}};
    s_answer (self, &welcome);
}

/*  ---- many topics, and actors that emit ---- */

/*  With each turn of the keys, a key meets the next topic. Nearly every event is a section.  */
static void s_many_encode (s_bench_t *self)
{
    bn_sections_t *sections = bn_sections_new (MANY, 64 * 1024 * 1024);
    s_must (sections, "many-encode");
    if (self->mixes)
        bn_sections_mix (sections);
    for (uint32_t i = 0; i < EVENTS; i++) {
        bn_event_fields_t fields = s_fields (self, i);
        const char *topic = self->topics[(i + i / KEYS) % TOPICS];
        s_must (!bn_sections_add (sections, topic, strlen (topic), &fields, i), "many-encode");
    }
    bn_section_array_free (self->sections, self->section_count);
    self->sections = bn_sections_take (sections, &self->section_count);
    bn_sections_destroy (&sections);
    s_must (self->sections, "many-encode");
}

static void s_exchange (s_bench_t *self, bool actor)
{
    uint64_t handled;
    s_must (bench_machines_publish (self->machines, self->sections, self->section_count, actor,
                                    &handled) &&
                handled == (actor ? EVENTS : 0),
            "exchange");
}

/*  A request of many sections, and its bundle; nobody listens.  */
static void s_many_conduct (s_bench_t *self)
{
    s_exchange (self, false);
}

/*  The same, and an actor that handles and settles it all.  */
static void s_many_handle (s_bench_t *self)
{
    s_exchange (self, true);
}

/*  A request of one topic, and an actor that emits one event for each and settles both.  */
static void s_emit (s_bench_t *self)
{
    s_exchange (self, true);
}

static void s_start_many (s_bench_t *self)
{
    s_many_encode (self);
    self->machines = bench_machines_new (MANY, false);
    s_must (self->machines, "many");
}

static void s_start_mixed_encode (s_bench_t *self)
{
    self->mixes = true;
}

static void s_start_mixed (s_bench_t *self)
{
    self->mixes = true;
    s_start_many (self);
}

static void s_start_emit (s_bench_t *self)
{
    self->machines = bench_machines_new (PARTITIONS, true);
    s_must (self->machines, "emit");
}

/*  ---- */

static const struct {
    const char *name;
    void (*run) (s_bench_t *self);
    void (*start) (s_bench_t *self); /* NULL: nothing is needed */
} s_paths[] = {{"publish", s_publish, NULL},
               {"gather", s_gather, s_start_outbox},
               {"encode", s_encode, NULL},
               {"validate", s_validate, NULL},
               {"append", s_append, NULL},
               {"fan-out", s_fan_out, NULL},
               {"decode", s_decode, NULL},
               {"settle", s_settle, NULL},
               {"many-encode", s_many_encode, NULL},
               {"many-conduct", s_many_conduct, s_start_many},
               {"many-handle", s_many_handle, s_start_many},
               {"mixed-encode", s_many_encode, s_start_mixed_encode},
               {"mixed-conduct", s_many_conduct, s_start_mixed},
               {"mixed-handle", s_many_handle, s_start_mixed},
               {"emit", s_emit, s_start_emit}};

#define PATH_COUNT (sizeof (s_paths) / sizeof (s_paths[0]))

static void s_init (s_bench_t *self)
{
    /*  {"t": a number of nine bytes, "p": text}  */
    memset (self->data, 'x', DATA_BYTES);
    static const uint8_t head[] = {0x82, 0xa1, 't', 0xcf, 0, 1, 2, 3, 4, 5, 6, 7, 0xa1, 'p', 0xd9};
    memcpy (self->data, head, sizeof (head));
    self->data[sizeof (head)] = DATA_BYTES - sizeof (head) - 1;
    for (unsigned i = 0; i < KEYS; i++)
        snprintf (self->keys[i], sizeof (self->keys[i]), "k%u", i);
    for (unsigned i = 0; i < TOPICS; i++)
        snprintf (self->topics[i], sizeof (self->topics[i]), "bench.in.%u", i);
    s_encode (self);
}

int main (int argc, char **argv)
{
    s_bench_t *self = calloc (1, sizeof (*self));
    unsigned long rounds = argc == 3 ? strtoul (argv[2], NULL, 10) : 0;
    size_t path = 0;
    while (argc == 3 && path < PATH_COUNT && strcmp (argv[1], s_paths[path].name))
        path++;
    if (!self || argc != 3 || path == PATH_COUNT || rounds > 1000000) {
        fprintf (stderr, "usage: paths PATH ROUNDS; a path is one of");
        for (size_t i = 0; i < PATH_COUNT; i++)
            fprintf (stderr, " %s", s_paths[i].name);
        fprintf (stderr, "\n");
        free (self);
        return 2;
    }
    s_init (self);
    if (s_paths[path].start)
        s_paths[path].start (self);
    for (unsigned long i = 0; i < rounds; i++)
        s_paths[path].run (self);
    printf ("%" PRIu64 "\n", (uint64_t)rounds * EVENTS);
    bench_machines_destroy (&self->machines);
    bn_outbox_effects_fini (&self->effects);
    bn_outbox_destroy (&self->outbox);
    bn_section_array_free (self->sections, self->section_count);
    bn_blob_unref (&self->body);
    free (self);
    return 0;
}
