/* SPDX-License-Identifier: MPL-2.0 */

#include "support/conductor_harness.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/prng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PRODUCER 0xfeedULL
#define TICK_MS  500 /* half of heartbeat_ms below */

typedef struct {
    uint32_t type;
    uint64_t base;
    uint32_t count;
    uint64_t time_us;
    bn_blob_t *body;
} persisted_t;

typedef struct {
    bn_buffer_t bytes; /* each item: key size, key, value size, value */
} snapshot_t;

struct harness {
    bn_conductor_options_t options;
    bn_conductor_t *conductor;
    bn_state_t *shadow; /* what the records add up to */
    bn_effects_t effects;
    persisted_t *records;
    size_t record_count;
    uint32_t *homes; /* partition of each event; UINT32_MAX: a copy of a dead one */
    uint64_t mono_ms;
    uint64_t wall_us;
    uint64_t random;
    uint64_t request;
    uint64_t asked; /* in the last step; 0: it was no request */
    uint64_t route_last;
    uint32_t partitions;
    bool disk_full;
    uint64_t first; /* oldest offset that the journal keeps */
    uint64_t producer_route;
    uint64_t producer_sequence;
    reply_t *replies; /* of the last step */
    size_t reply_count;
    fanout_t *fanouts;
    size_t fanout_count;
    bn_blob_t **payloads; /* made by harness_section */
    size_t payload_count;
    char error_text[1100];
    uint64_t error_detail;
    char key[64];
};

/*  ---- comparing states ---- */

static bool put (const void *key, size_t key_size, const void *value, size_t value_size, void *arg)
{
    bn_buffer_t *bytes = arg;
    bn_buffer_append (bytes, &key_size, sizeof key_size);
    bn_buffer_append (bytes, key, key_size);
    bn_buffer_append (bytes, &value_size, sizeof value_size);
    bn_buffer_append (bytes, value, value_size);
    return true;
}

static snapshot_t snapshot (const bn_state_t *state)
{
    snapshot_t self;
    bn_buffer_init (&self.bytes, 1u << 30);
    assert_true (bn_state_save (state, put, &self.bytes));
    assert_false (self.bytes.failed);
    return self;
}

static void assert_same (const bn_state_t *left, const bn_state_t *right)
{
    snapshot_t one = snapshot (left);
    snapshot_t other = snapshot (right);
    assert_int_equal (one.bytes.size, other.bytes.size);
    assert_memory_equal (bn_buffer_data (&one.bytes), bn_buffer_data (&other.bytes),
                         one.bytes.size);
    bn_buffer_fini (&one.bytes);
    bn_buffer_fini (&other.bytes);
}

/*  Items in reverse order: restoring must not depend on it.  */
static bn_state_t *restore_copy (const bn_state_t *state, uint32_t producers_max)
{
    snapshot_t copy = snapshot (state);
    const uint8_t *at = bn_buffer_data (&copy.bytes);
    const uint8_t *end = at + copy.bytes.size;
    const uint8_t *items[65536];
    size_t count = 0;
    while (at < end) {
        size_t size;
        assert_true (count < sizeof items / sizeof *items);
        items[count++] = at;
        for (int part = 0; part < 2; part++) {
            memcpy (&size, at, sizeof size);
            at += sizeof size + size;
        }
    }
    bn_state_t *restored = bn_state_new (producers_max);
    while (count-- > 0) {
        size_t key_size;
        size_t value_size;
        memcpy (&key_size, items[count], sizeof key_size);
        const uint8_t *key = items[count] + sizeof key_size;
        memcpy (&value_size, key + key_size, sizeof value_size);
        assert_int_equal (bn_state_restore (restored, key, key_size,
                                            key + key_size + sizeof value_size, value_size),
                          BATON_OK);
    }
    assert_int_equal (bn_state_restored (restored), BATON_OK);
    bn_buffer_fini (&copy.bytes);
    return restored;
}

static void apply_record (bn_state_t *state, const persisted_t *persisted)
{
    char what[256] = "";
    bn_record_t record;
    baton_err_t err = bn_record_decode (&record, persisted->type, persisted->base,
                                        persisted->body->data, persisted->body->size, what);
    if (!err)
        err = bn_state_apply (state, &record, state->sequence + 1, persisted->base,
                              persisted->count, persisted->time_us, what);
    if (err)
        fail_msg ("record %zu: %s: %s", (size_t)state->sequence + 1, baton_err_name (err), what);
    bn_record_fini (&record);
}

/*  ---- steps ---- */

static void forget_step (harness_t *self)
{
    for (size_t index = 0; index < self->reply_count; index++)
        if (!self->replies[index].read)
            bn_message_fini (&self->replies[index].message);
    for (size_t index = 0; index < self->fanout_count; index++) {
        bn_fanout_fini (&self->fanouts[index].header);
        bn_bundle_fini (&self->fanouts[index].bundle);
    }
    self->reply_count = 0;
    self->fanout_count = 0;
    bn_effects_clear (&self->effects);
}

static void keep_homes (harness_t *self, const persisted_t *persisted)
{
    bn_section_t *sections;
    uint32_t count;
    assert_int_equal (bn_record_sections (persisted->type, persisted->base, persisted->body->data,
                                          persisted->body->size, &sections, &count),
                      BATON_OK);
    if (persisted->count > 0) {
        uint64_t tail = persisted->base + persisted->count;
        self->homes = realloc (self->homes, tail * sizeof *self->homes);
        assert_non_null (self->homes);
    }
    for (uint32_t index = 0; index < count; index++)
        for (uint32_t event = 0; event < sections[index].count; event++)
            self->homes[sections[index].base + event] =
                sections[index].topic.text[0] == '$' ? UINT32_MAX : sections[index].partition;
    bn_section_array_free (sections, count);
}

static void keep_record (harness_t *self, bn_effect_t *effect)
{
    self->records = realloc (self->records, (self->record_count + 1) * sizeof *self->records);
    assert_non_null (self->records);
    persisted_t *persisted = &self->records[self->record_count++];
    *persisted = (persisted_t){.type = effect->record_type,
                               .base = effect->base,
                               .count = effect->count,
                               .time_us = effect->time_us,
                               .body = bn_blob_ref (effect->body)};
    assert_int_equal (effect->base, self->shadow->tail);
    apply_record (self->shadow, persisted);
    keep_homes (self, persisted);
}

static reply_t *add_reply (harness_t *self, uint64_t route)
{
    self->replies = realloc (self->replies, (self->reply_count + 1) * sizeof *self->replies);
    assert_non_null (self->replies);
    reply_t *reply = &self->replies[self->reply_count++];
    memset (reply, 0, sizeof *reply);
    reply->route = route;
    return reply;
}

static void keep_effects (harness_t *self)
{
    assert_false (self->effects.failed);
    for (size_t index = 0; index < self->effects.count; index++) {
        bn_effect_t *effect = &self->effects.items[index];
        char what[256] = "";
        if (effect->kind == BN_EFFECT_PERSIST)
            keep_record (self, effect);
        else if (effect->kind == BN_EFFECT_SEND) {
            reply_t *reply = add_reply (self, effect->route);
            bn_frame_t frame = {effect->head->data, effect->head->size};
            baton_err_t err = bn_message_decode (&reply->message, &frame, 1, what);
            if (err)
                fail_msg ("a reply does not decode: %s", what);
            assert_true (effect->head->size <= self->options.message_bytes_max);
        } else if (effect->kind == BN_EFFECT_READ) {
            reply_t *reply = add_reply (self, effect->route);
            reply->message.type = BN_EVENTS;
            reply->message.request = effect->read->request;
            reply->read = effect->read;
            assert_true (effect->read->upto <= self->shadow->tail);
        } else if (effect->kind == BN_EFFECT_FANOUT) {
            self->fanouts =
                realloc (self->fanouts, (self->fanout_count + 1) * sizeof *self->fanouts);
            assert_non_null (self->fanouts);
            fanout_t *fanout = &self->fanouts[self->fanout_count++];
            bn_frame_t frames[3] = {{effect->head->data, effect->head->size},
                                    {effect->header->data, effect->header->size},
                                    {effect->payload.data, effect->payload.size}};
            *fanout = (fanout_t){.head = {.data = effect->head->data, .size = effect->head->size}};
            bool bundled = bn_is_channel (effect->head->data, effect->head->size);
            if (bundled ? bn_bundle_decode (&fanout->bundle, frames, 3, what)
                        : bn_fanout_decode (&fanout->header, frames, 3, what))
                fail_msg ("a fan-out does not decode: %s", what);
            fanout->payload = effect->payload;
            assert_true (effect->payload.data >= effect->payload.blob->data &&
                         effect->payload.data + effect->payload.size <=
                             effect->payload.blob->data + effect->payload.blob->size);
        }
    }
}

static void step (harness_t *self, bn_conductor_event_t event)
{
    forget_step (self);
    if (event.kind != BN_CONDUCTOR_MESSAGE)
        self->asked = 0;
    event.now = (bn_time_t){.mono_ms = self->mono_ms, .wall_us = self->wall_us};
    event.random = ++self->random;
    event.disk_full = self->disk_full;
    event.first = self->first;
    bn_conductor_step (self->conductor, &event, &self->effects);
    keep_effects (self);
    char what[256] = "";
    if (!bn_state_check (bn_conductor_state (self->conductor), what))
        fail_msg ("%s", what);
    assert_same (bn_conductor_state (self->conductor), self->shadow);
}

/*  ---- life ---- */

void harness_options (bn_conductor_options_t *options)
{
    *options = (bn_conductor_options_t){.message_bytes_max = 1024 * 1024,
                                        .data_bytes_max = 64 * 1024,
                                        .topics_max = 100,
                                        .actors_max = 10,
                                        .sessions_max = 100,
                                        .parked_max = 100,
                                        .dead_max = 100,
                                        .heartbeat_ms = 1000,
                                        .session_timeout_ms = 10000,
                                        .reconnect_grace_ms = 3000,
                                        .fanout_endpoint = "tcp://127.0.0.1:7712"};
}

static void start (harness_t *self, bn_state_t *state)
{
    self->conductor = bn_conductor_new (&self->options, &state);
    assert_non_null (self->conductor);
    step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_START, .partitions = self->partitions});
}

harness_t *harness_new (const bn_conductor_options_t *options, uint32_t partitions)
{
    harness_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    if (options)
        self->options = *options;
    else
        harness_options (&self->options);
    self->partitions = partitions;
    self->mono_ms = 5000;
    self->wall_us = 1700000000ULL * 1000000;
    self->random = 41;
    bn_effects_init (&self->effects);
    self->shadow = bn_state_new (16);
    start (self, bn_state_new (16));
    return self;
}

void harness_destroy (harness_t *self)
{
    forget_step (self);
    bn_effects_fini (&self->effects);
    bn_conductor_destroy (&self->conductor);
    bn_state_destroy (&self->shadow);
    for (size_t index = 0; index < self->record_count; index++)
        bn_blob_unref (&self->records[index].body);
    for (size_t index = 0; index < self->payload_count; index++)
        bn_blob_unref (&self->payloads[index]);
    free (self->records);
    free (self->homes);
    free (self->replies);
    free (self->fanouts);
    free (self->payloads);
    free (self);
}

void harness_restart (harness_t *self, bool from_copy)
{
    forget_step (self);
    bn_state_t *state;
    if (from_copy)
        state = restore_copy (bn_conductor_state (self->conductor), 16);
    else {
        state = bn_state_new (16);
        for (size_t index = 0; index < self->record_count; index++)
            apply_record (state, &self->records[index]);
    }
    assert_same (state, bn_conductor_state (self->conductor));
    bn_conductor_destroy (&self->conductor);
    self->producer_route = 0;
    self->mono_ms += 100;
    self->wall_us += 100000;
    start (self, state);
}

bool harness_lives_in (harness_t *self, uint64_t offset, uint32_t partition)
{
    return offset < self->shadow->tail && self->homes[offset] == partition;
}

/*  A record that salvage could not read, in the place of one with `events`.  */
static void apply_lost (bn_state_t *state, uint32_t events)
{
    char what[256];
    uint64_t sequence = state->sequence + 1;
    bn_record_t lost = {.type = BN_RECORD_LOST, .lost = {sequence, sequence}};
    assert_int_equal (bn_state_apply (state, &lost, sequence, state->tail, events, 0, what),
                      BATON_OK);
}

static void apply_bridged (bn_state_t *state, const persisted_t *persisted)
{
    char what[256] = "";
    bn_record_t record;
    baton_err_t err = bn_record_decode (&record, persisted->type, persisted->base,
                                        persisted->body->data, persisted->body->size, what);
    if (!err && state->bridging)
        err = bn_state_bridge (state, &record);
    if (!err)
        err = bn_state_apply (state, &record, state->sequence + 1, persisted->base,
                              persisted->count, persisted->time_us, what);
    if (err)
        fail_msg ("record %zu behind lost ones: %s: %s", (size_t)state->sequence + 1,
                  baton_err_name (err), what);
    bn_record_fini (&record);
}

/*  Nothing is taken for settled that is not: B1 of state_bridge.c.  */
static void assert_behind (const bn_state_t *bridged, const bn_state_t *truth)
{
    bn_map_node_t *node = bn_map_first (bridged->actors_by_id);
    for (; node; node = bn_map_next (node)) {
        const bn_actor_state_t *actor = bn_map_value (node);
        const bn_actor_state_t *known = bn_map_get_u64 (truth->actors_by_id, actor->id);
        for (uint32_t index = 0; known && index < truth->partitions; index++) {
            assert_true (actor->partitions[index].floor <= known->partitions[index].floor);
            assert_true (actor->partitions[index].generation <=
                         known->partitions[index].generation);
        }
    }
}

void harness_lose_records (harness_t *self, uint64_t seed)
{
    bn_prng_t prng;
    bn_prng_init (&prng, seed);
    uint64_t one_in = 2 + bn_prng_below (&prng, self->record_count);
    bn_state_t *bridged = bn_state_new (16);
    bn_state_t *truth = bn_state_new (16);
    for (size_t index = 0; index < self->record_count; index++) {
        const persisted_t *persisted = &self->records[index];
        apply_record (truth, persisted);
        if (index > 0 && bn_prng_below (&prng, one_in) == 0)
            apply_lost (bridged, persisted->count);
        else
            apply_bridged (bridged, persisted);
        assert_behind (bridged, truth);
    }
    char what[256] = "";
    if (!bn_state_check (bridged, what))
        fail_msg ("behind lost records: %s", what);
    bn_state_destroy (&bridged);
    bn_state_destroy (&truth);
}

const bn_state_t *harness_state (harness_t *self)
{
    return bn_conductor_state (self->conductor);
}

const bn_actor_state_t *harness_actor (harness_t *self, const char *name)
{
    return bn_map_get_str (harness_state (self)->actors, name);
}

uint32_t harness_records (harness_t *self, bn_record_type_t type)
{
    uint32_t count = 0;
    for (size_t index = 0; index < self->record_count; index++)
        count += self->records[index].type == type ? 1 : 0;
    return count;
}

void harness_trimmed (harness_t *self, uint64_t first)
{
    self->first = first;
}

void harness_disk_full (harness_t *self, bool full)
{
    self->disk_full = full;
}

void harness_pause (harness_t *self, uint64_t ms)
{
    self->mono_ms += ms;
    self->wall_us += ms * 1000;
    step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_TICK});
    assert_true (bn_conductor_due_ms (self->conductor) > self->mono_ms);
}

void harness_pass (harness_t *self, uint64_t ms)
{
    for (; ms > TICK_MS; ms -= TICK_MS)
        harness_pause (self, TICK_MS);
    harness_pause (self, ms);
}

void harness_read_done (harness_t *self, uint64_t route, uint64_t request, uint64_t scanned_to,
                        bool at_tail)
{
    bn_conductor_read_done (self->conductor, route, request, scanned_to, at_tail);
}

void harness_gone (harness_t *self, uint64_t route)
{
    step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_GONE, .route = route});
}

/*  ---- requests ---- */

/*  The answer to a request among what was sent; exactly one, or none and `waits` is set.  */
static const reply_t *find_answer (harness_t *self, uint64_t route, uint64_t request)
{
    const reply_t *answer = NULL;
    for (size_t index = 0; index < self->reply_count; index++) {
        const reply_t *reply = &self->replies[index];
        if (reply->route != route || reply->message.request != request)
            continue;
        assert_null (answer); /* C1 */
        answer = reply;
    }
    if (answer && !answer->read && answer->message.type == BN_ERROR) {
        bn_text_t text = answer->message.error.text;
        snprintf (self->error_text, sizeof self->error_text, "%.*s", (int)text.size, text.text);
        self->error_detail = answer->message.error.detail;
        assert_true (text.size > 0 && !memchr (text.text, '\n', text.size));
    }
    return answer;
}

const reply_t *harness_frames (harness_t *self, uint64_t route, const bn_frame_t *frames,
                               size_t count)
{
    step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                       .route = route,
                                       .frames = frames,
                                       .frame_count = count});
    assert_int_equal (self->reply_count, 1);
    return find_answer (self, route, self->replies[0].message.request);
}

const reply_t *harness_request (harness_t *self, uint64_t route, bn_message_t *message)
{
    const bn_section_t *sections = NULL;
    uint32_t count = 0;
    if (message->type == BN_PUBLISH) {
        sections = message->publish.sections;
        count = message->publish.section_count;
    } else if (message->type == BN_SETTLE) {
        sections = message->settle.sections;
        count = message->settle.section_count;
    }
    message->request = ++self->request;
    self->asked = message->request;
    bn_blob_t *head = bn_message_encode (message);
    bn_frame_t *frames = calloc (count + 1, sizeof *frames);
    assert_true (head && frames);
    frames[0] = (bn_frame_t){head->data, head->size};
    for (uint32_t index = 0; index < count; index++)
        frames[index + 1] =
            (bn_frame_t){sections[index].payload.data, sections[index].payload.size};
    step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                       .route = route,
                                       .frames = frames,
                                       .frame_count = count + 1});
    free (frames);
    bn_blob_unref (&head);
    const reply_t *answer = find_answer (self, route, message->request);
    if (!answer)
        assert_true (message->type == BN_FETCH || message->type == BN_READ); /* C1 */
    return answer;
}

const reply_t *harness_pushed (harness_t *self, uint64_t route, size_t n)
{
    for (size_t index = 0; index < self->reply_count; index++) {
        const reply_t *reply = &self->replies[index];
        bool late = !reply->message.request || reply->message.request != self->asked;
        if (reply->route == route && late && n-- == 0)
            return reply;
    }
    return NULL;
}

const fanout_t *harness_fanout (harness_t *self, size_t n)
{
    return n < self->fanout_count ? &self->fanouts[n] : NULL;
}

size_t harness_fanouts (harness_t *self)
{
    return self->fanout_count;
}

/*  ---- shorthands ---- */

static baton_err_t outcome (const reply_t *reply)
{
    assert_non_null (reply);
    return reply->message.type == BN_ERROR ? (baton_err_t)reply->message.error.code : BATON_OK;
}

static bn_text_t text_of (const char *text)
{
    return (bn_text_t){text, strlen (text)};
}

uint64_t harness_hello (harness_t *self, bn_role_t role, uint64_t incarnation)
{
    uint64_t route = ++self->route_last;
    bn_message_t message = {
        .type = BN_HELLO,
        .hello = {.role = role, .name = text_of ("test"), .incarnation = incarnation}};
    assert_int_equal (outcome (harness_request (self, route, &message)), BATON_OK);
    return route;
}

uint32_t harness_partition (harness_t *self, const char *key)
{
    return bn_hash_partition (bn_hash (key, strlen (key)), self->partitions);
}

const char *harness_key (harness_t *self, uint32_t partition, uint32_t n)
{
    for (uint32_t number = 0;; number++) {
        snprintf (self->key, sizeof self->key, "k%u", number);
        if (harness_partition (self, self->key) == partition && n-- == 0)
            return self->key;
    }
}

static bn_event_fields_t event_of (harness_t *self, const char *key)
{
    return (bn_event_fields_t){.id_prefix = text_of ("e"),
                               .id_number_set = true,
                               .id_number = ++self->random,
                               .key = text_of (key),
                               .source = text_of ("/test"),
                               .time_us = 1,
                               .data = (const uint8_t *)"\x01",
                               .data_size = 1};
}

static bn_section_t take_section (harness_t *self, bn_batch_writer_t *writer, const char *topic,
                                  const char *key)
{
    bn_section_t section = {.topic = text_of (topic), .partition = harness_partition (self, key)};
    bn_blob_t *payload = bn_batch_writer_take (writer, &section.count);
    bn_batch_writer_fini (writer);
    assert_non_null (payload);
    section.payload = (bn_slice_t){.data = payload->data, .size = payload->size};
    self->payloads = realloc (self->payloads, (self->payload_count + 1) * sizeof (bn_blob_t *));
    assert_non_null (self->payloads);
    self->payloads[self->payload_count++] = payload;
    return section;
}

bn_section_t harness_section (harness_t *self, const char *topic, const char *key, uint32_t n)
{
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 1024 * 1024);
    for (uint32_t index = 0; index < n; index++) {
        bn_event_fields_t event = event_of (self, key);
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    }
    return take_section (self, &writer, topic, key);
}

bn_section_t harness_mixed (harness_t *self, const char *topics, const char *key, uint32_t bytes)
{
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 64 * 1024 * 1024);
    static const uint8_t data[1 << 18];
    assert_true (bytes <= sizeof data);
    while (*topics) {
        bn_text_t topic = {topics, strcspn (topics, " ")};
        bn_event_fields_t event = event_of (self, key);
        event.data = data;
        event.data_size = bytes;
        event.datacontenttype = text_of ("application/octet-stream");
        assert_int_equal (bn_batch_writer_add_mixed (&writer, topic, &event), BATON_OK);
        topics += topic.size + (topics[topic.size] == ' ');
    }
    return take_section (self, &writer, "", key);
}

baton_err_t harness_publish (harness_t *self, uint64_t route, uint64_t producer, uint64_t sequence,
                             bn_section_t *sections, uint32_t count)
{
    bn_message_t message = {.type = BN_PUBLISH,
                            .publish = {.producer_id = producer,
                                        .sequence = sequence,
                                        .sections = sections,
                                        .section_count = count}};
    return outcome (harness_request (self, route, &message));
}

uint64_t harness_event (harness_t *self, const char *topic, const char *key)
{
    if (!self->producer_route)
        self->producer_route = harness_hello (self, BN_ROLE_PRODUCER, PRODUCER);
    bn_section_t section = harness_section (self, topic, key, 1);
    uint64_t offset = harness_state (self)->tail;
    baton_err_t err = harness_publish (self, self->producer_route, PRODUCER,
                                       self->producer_sequence + 1, &section, 1);
    if (err)
        fail_msg ("PUBLISH refused: %s", self->error_text);
    self->producer_sequence++;
    return offset;
}

baton_err_t harness_join (harness_t *self, uint64_t route, const char *actor, const char *instance,
                          uint64_t incarnation, const char *patterns, bn_start_t start_kind)
{
    bn_text_t list[BN_PATTERNS_MAX];
    uint32_t count = 0;
    while (*patterns) {
        size_t size = strcspn (patterns, " ");
        list[count++] = (bn_text_t){patterns, size};
        patterns += size + (patterns[size] ? 1 : 0);
    }
    bn_message_t message = {.type = BN_JOIN,
                            .join = {.actor = text_of (actor),
                                     .instance = text_of (instance),
                                     .incarnation = incarnation,
                                     .patterns = list,
                                     .pattern_count = count,
                                     .start = start_kind,
                                     .policy = {.max_attempts = 5,
                                                .backoff_min_ms = 100,
                                                .backoff_max_ms = 1000,
                                                .handler_deadline_ms = 30000}}};
    return outcome (harness_request (self, route, &message));
}

uint64_t harness_instance (harness_t *self, const char *actor, const char *instance,
                           uint64_t incarnation, const char *patterns)
{
    uint64_t route = harness_hello (self, BN_ROLE_ACTOR, incarnation);
    if (harness_join (self, route, actor, instance, incarnation, patterns, BN_START_BEGINNING))
        fail_msg ("JOIN refused: %s", self->error_text);
    return route;
}

bn_settlement_t harness_settlement (harness_t *self, const char *actor, uint32_t partition,
                                    uint64_t floor)
{
    return (bn_settlement_t){.partition = partition,
                             .generation =
                                 harness_actor (self, actor)->partitions[partition].generation,
                             .floor = floor};
}

baton_err_t harness_settle (harness_t *self, uint64_t route, bn_settlement_t *settlement,
                            bn_section_t *sections, uint32_t section_count)
{
    bn_message_t message = {.type = BN_SETTLE,
                            .settle = {.settlements = settlement,
                                       .settlement_count = 1,
                                       .sections = sections,
                                       .section_count = section_count}};
    return outcome (harness_request (self, route, &message));
}

uint64_t harness_bury (harness_t *self, uint64_t n)
{
    uint64_t route = harness_instance (self, "a", "one", 1, "t");
    bn_died_t died[1100];
    assert_true (n <= sizeof died / sizeof *died);
    for (uint64_t offset = 0; offset < n; offset++) {
        harness_event (self, "t", "x");
        died[offset] = (bn_died_t){.offset = offset, .attempts = 3};
    }
    bn_section_t copies = harness_section (self, "$dead.a", "x", (uint32_t)n);
    bn_settlement_t settlement = harness_settlement (self, "a", 0, n);
    settlement.handled = (uint32_t)n;
    settlement.died = died;
    settlement.died_count = (uint32_t)n;
    assert_int_equal (harness_settle (self, route, &settlement, &copies, 1), BATON_OK);
    return route;
}

void harness_release_revoked (harness_t *self, uint64_t route, const char *actor)
{
    bn_message_t heartbeat = {.type = BN_HEARTBEAT, .heartbeat = {.version = UINT64_MAX}};
    const reply_t *reply = harness_request (self, route, &heartbeat);
    assert_int_equal (reply->message.type, BN_BEAT);
    bn_settlement_t settlements[BN_PARTITIONS_MAX];
    uint32_t count = 0;
    for (uint32_t index = 0; index < reply->message.beat.assignment_count; index++) {
        const bn_assignment_t *entry = &reply->message.beat.assignments[index];
        if (!entry->revoked)
            continue;
        settlements[count] = harness_settlement (self, actor, entry->partition, entry->floor);
        settlements[count++].release = true;
    }
    if (count == 0)
        return;
    bn_message_t message = {.type = BN_SETTLE,
                            .settle = {.settlements = settlements, .settlement_count = count}};
    assert_int_equal (harness_request (self, route, &message)->message.type, BN_SETTLED);
}

baton_err_t harness_leave (harness_t *self, uint64_t route)
{
    bn_message_t message = {.type = BN_LEAVE,
                            .leave = {.reason = BN_LEAVE_CLEAN, .offset = BN_NO_OFFSET}};
    return outcome (harness_request (self, route, &message));
}

baton_err_t harness_begin (harness_t *self, uint64_t route, const char *actor, uint32_t partition,
                           uint64_t offset)
{
    bn_message_t message = {
        .type = BN_BEGIN,
        .begin = {.partition = partition,
                  .generation = harness_actor (self, actor)->partitions[partition].generation,
                  .offset = offset}};
    return outcome (harness_request (self, route, &message));
}

baton_err_t harness_heartbeat (harness_t *self, uint64_t route)
{
    bn_message_t message = {.type = BN_HEARTBEAT};
    return outcome (harness_request (self, route, &message));
}

uint32_t harness_owned (harness_t *self, const char *actor, const char *instance)
{
    uint32_t owned = 0;
    for (uint32_t partition = 0; partition < self->partitions; partition++)
        owned += strcmp (harness_actor (self, actor)->partitions[partition].instance, instance) == 0
                     ? 1
                     : 0;
    return owned;
}

const char *harness_error_text (harness_t *self)
{
    return self->error_text;
}

uint64_t harness_error_detail (harness_t *self)
{
    return self->error_detail;
}
