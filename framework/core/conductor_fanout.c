/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_fanout.c - what becomes of sections that were accepted: they are applied, and they
 *  go out.
 *
 *  DESIGN. The hot path. A section's payload is copied once, into the record's body; the fan-out
 *  sends a slice of that body. bn_record_encode puts the payloads at the end of the body in section
 *  order, so that the position of the first one is the body's size less the sum of all. The chain
 *  of a fan-out header is read from the state while the record is being applied, section by
 *  section: that is the only moment at which "the previous one" is there for the asking, also where
 *  two sections of one message are for the same actor and partition.
 *
 *  Many small sections (events of many topics) would be a message each, for an event or two: then
 *  what costs is the messages, and a subscriber's queue, which is counted in messages, overflows.
 *  So the sections of such a record are bundled: each instance gets those of its partitions in one
 *  message, on a channel of its own. Who owns a partition is taken from this moment; should it be
 *  another one when the message arrives, the chain tells the new owner that something is missing.
 *  As long as the sections of a bundle lie one behind the other in the body, as all do where there
 *  is one instance, the bundle is that part of the body; else it is a copy. Past BUNDLED_BYTES_MAX
 *  in a record they go out, and the rest of it goes the common way behind them (G7). Either way a
 *  subscriber sees the sections of a partition in their order.
 *
 *  A mixed section (wire/mixed.h) goes into bundles, too: as it is, a slice of the body as well, to
 *  the owner of its partition of each actor that reads all of its topics, and in its parts, which
 *  are copies, to the others. It is applied run by run; with the first run it is sent as a whole,
 *  so that its chain is what was there before it.
 *
 *  Rejected: a channel for each partition (as many messages as sections where the sections of a
 *  request are of different partitions), everything in bundles (large sections are shared among the
 *  subscribers without a copy).  */
#include "base/plant.h"
#include "core/conductor_internal.h"

#define BUNDLED_BYTES_MAX (8u << 20) /* for one record */

/*  What is gathered for an instance.  */
struct bn_bundling {
    bn_instance_t *instance; /* borrowed */
    bn_bundling_t *next;
    bn_bundled_t *sections; /* owned; topics are borrowed from the request */
    uint32_t count;
    uint32_t capacity;
    const uint8_t *run; /* the payloads, as long as they are in one piece in the body */
    size_t run_bytes;
    bn_buffer_t payload; /* else; in use as soon as there is something in it */
};

/*  ---- one section to all ---- */

/*  The payload's blob is counted; NULL: no memory.  */
static void send_section (bn_conductor_t *self, const bn_topic_state_t *topic,
                          const bn_section_t *section, bn_slice_t payload)
{
    if (topic->reader_count > self->chain_capacity) {
        bn_chain_t *chain = realloc (self->chain, topic->reader_count * sizeof *chain);
        if (!chain) {
            self->effects->failed = true;
            bn_blob_unref (&payload.blob);
            return;
        }
        self->chain = chain;
        self->chain_capacity = topic->reader_count;
    }
    for (uint32_t index = 0; index < topic->reader_count; index++)
        self->chain[index] = (bn_chain_t){
            .actor_id = topic->readers[index]->id,
            .previous_end = topic->readers[index]->partitions[section->partition].head};
    bn_fanout_t fanout = {.partition = section->partition,
                          .topic = section->topic,
                          .base = section->base,
                          .count = section->count,
                          .chain = self->chain,
                          .chain_count = topic->reader_count};
    bn_effect_t *effect = bn_effects_add (self->effects, BN_EFFECT_FANOUT);
    if (BN_PLANT (fanout_before_sync) && self->effects->count > 1) {
        memmove (self->effects->items + 1, self->effects->items,
                 (self->effects->count - 1) * sizeof *effect);
        effect = self->effects->items;
        *effect = (bn_effect_t){.kind = BN_EFFECT_FANOUT};
    }
    effect->head =
        bn_fanout_topic_encode (section->partition, section->topic.text, section->topic.size);
    effect->header = bn_fanout_encode (&fanout);
    effect->payload = payload;
    if (!effect->head || !effect->header || !payload.blob)
        self->effects->failed = true;
}

/*  ---- many sections to one instance ---- */

static bn_bundling_t *bundling_of (bn_conductor_t *self, bn_instance_t *instance)
{
    if (instance->bundling)
        return instance->bundling;
    bn_bundling_t *bundling = calloc (1, sizeof *bundling);
    if (!bundling)
        return NULL;
    bundling->instance = instance;
    bn_buffer_init (&bundling->payload, BUNDLED_BYTES_MAX);
    bundling->next = self->bundlings;
    self->bundlings = bundling;
    instance->bundling = bundling;
    return bundling;
}

static bool add_payload (bn_bundling_t *self, const uint8_t *payload, size_t size)
{
    if (self->run_bytes == 0)
        self->run = payload;
    if (self->payload.size == 0 && payload == self->run + self->run_bytes) {
        self->run_bytes += size;
        return true;
    }
    if (self->payload.size == 0)
        bn_buffer_append (&self->payload, self->run, self->run_bytes);
    bn_buffer_append (&self->payload, payload, size);
    return !self->payload.failed;
}

/*  An entry in the header. false: no memory.  */
static bool enter (bn_bundling_t *self, const bn_section_t *section, uint64_t previous_end)
{
    if (self->count == self->capacity) {
        uint32_t capacity = self->capacity ? self->capacity * 2 : 64;
        bn_bundled_t *sections = realloc (self->sections, capacity * sizeof *sections);
        if (!sections)
            return false;
        self->sections = sections;
        self->capacity = capacity;
    }
    self->sections[self->count++] = (bn_bundled_t){.topic = section->topic,
                                                   .partition = section->partition,
                                                   .base = section->base,
                                                   .count = section->count,
                                                   .previous_end = previous_end,
                                                   .bytes = (uint32_t)section->payload.size};
    return true;
}

/*  All payloads of a bundle, the blob counted; blob NULL: no memory.  */
static bn_slice_t take_payloads (bn_conductor_t *self, bn_bundling_t *bundling)
{
    if (bundling->payload.size == 0)
        return (bn_slice_t){bn_blob_ref (self->fanout_body), bundling->run, bundling->run_bytes};
    bn_blob_t *copy = bn_buffer_take (&bundling->payload);
    return copy ? (bn_slice_t){copy, copy->data, copy->size} : (bn_slice_t){0};
}

static void send_bundle (bn_conductor_t *self, bn_bundling_t *bundling)
{
    const bn_instance_t *instance = bundling->instance;
    bn_bundle_t header = {bundling->sections, bundling->count};
    bn_effect_t *effect = bn_effects_add (self->effects, BN_EFFECT_FANOUT);
    effect->head = bn_channel_encode (instance->actor->state->id, instance->incarnation);
    effect->header = bn_bundle_encode (&header);
    effect->payload = take_payloads (self, bundling);
    if (!effect->head || !effect->header || !effect->payload.blob)
        self->effects->failed = true;
}

/*  In the order in which they were begun, the first one first.  */
static void send_bundles (bn_conductor_t *self)
{
    bn_bundling_t *ordered = NULL;
    while (self->bundlings) {
        bn_bundling_t *bundling = self->bundlings;
        self->bundlings = bundling->next;
        bundling->next = ordered;
        ordered = bundling;
    }
    while (ordered) {
        bn_bundling_t *bundling = ordered;
        ordered = bundling->next;
        if (!self->effects->failed)
            send_bundle (self, bundling);
        bundling->instance->bundling = NULL;
        bn_buffer_fini (&bundling->payload);
        free (bundling->sections);
        free (bundling);
    }
    self->bundled_bytes = 0;
}

/*  The sections of a record are for a few actors, again and again. NULL: nobody has joined as it.
 */
static const bn_actor_live_t *live_of (bn_conductor_t *self, const bn_actor_state_t *actor)
{
    bn_live_cached_t *cached = &self->bundled_for[actor->id % BN_LIVE_CACHED];
    if (cached->actor != actor)
        *cached = (bn_live_cached_t){actor, bn_map_get_u64 (self->live, actor->id)};
    return cached->live;
}

/*  What is gathered for the owner of the actor's partition, with room for one more section. NULL:
 *  it will fetch, or this is not for it; or no memory.  */
static bn_bundling_t *bundling_for (bn_conductor_t *self, const bn_actor_state_t *actor,
                                    uint32_t partition)
{
    const bn_actor_live_t *live = live_of (self, actor);
    bn_instance_t *owner = live ? live->owners[partition] : NULL;
    if (!owner || !owner->session || owner->stale)
        return NULL;
    bn_bundling_t *bundling = bundling_of (self, owner);
    if (!bundling)
        self->effects->failed = true;
    else if (bundling->count == BN_SECTIONS_MAX) { /* the runs of mixed sections are more */
        send_bundle (self, bundling);
        bundling->count = 0;
        bundling->run_bytes = 0;
    }
    return bundling;
}

static void bundle_section (bn_conductor_t *self, const bn_actor_state_t *actor,
                            const bn_section_t *section, size_t position)
{
    bn_bundling_t *bundling = bundling_for (self, actor, section->partition);
    if (bundling &&
        (!enter (bundling, section, actor->partitions[section->partition].head) ||
         !add_payload (bundling, self->fanout_body->data + position, section->payload.size)))
        self->effects->failed = true;
    self->bundled_bytes += bundling ? section->payload.size : 0;
}

/*  Before anything more is bundled: past the bound, what there is goes out, and nothing more is.
 */
static void bound_bundles (bn_conductor_t *self, size_t more)
{
    if (!self->bundling || self->bundled_bytes + more <= BUNDLED_BYTES_MAX)
        return;
    send_bundles (self);
    self->bundling = false;
}

/*  ---- mixed sections ---- */

/*  How many of its events each actor reads, into the actors.  */
static void count_readers (const bn_section_t *whole)
{
    for (uint32_t index = 0; index < whole->count; index++) {
        const bn_topic_state_t *topic = whole->mixed[index].topic_state;
        for (uint32_t reader = 0; reader < topic->reader_count; reader++) {
            bn_actor_state_t *actor = topic->readers[reader];
            if (actor->mixed_base != whole->base)
                actor->mixed_count = 0;
            actor->mixed_base = whole->base;
            actor->mixed_count++;
        }
    }
}

static bool reads_all (const bn_actor_state_t *actor, const bn_section_t *whole)
{
    return actor->mixed_count == whole->count || BN_PLANT (mixed_sent_whole);
}

/*  The bytes of a run go to the end of what is gathered.  */
static bool add_run (bn_conductor_t *self, bn_bundling_t *to, const bn_section_t *section,
                     const bn_section_t *whole)
{
    if (to->payload.size == 0)
        bn_buffer_append (&to->payload, to->run, to->run_bytes);
    uint8_t *at = bn_buffer_grow (&to->payload, section->payload.size);
    if (at)
        bn_mixed_run_write (at, self->fanout_body->data + self->whole_position, whole->mixed[0].at,
                            whole->mixed + (section->base - whole->base), section->count);
    return at != NULL;
}

static void bundle_run (bn_conductor_t *self, const bn_actor_state_t *actor,
                        const bn_section_t *section, const bn_section_t *whole)
{
    bn_bundling_t *bundling = bundling_for (self, actor, section->partition);
    if (bundling && (!enter (bundling, section, actor->partitions[section->partition].head) ||
                     !add_run (self, bundling, section, whole)))
        self->effects->failed = true;
    self->bundled_bytes += bundling ? section->payload.size : 0;
}

static bn_slice_t take_run (bn_conductor_t *self, const bn_section_t *section,
                            const bn_section_t *whole)
{
    bn_blob_t *blob = bn_blob_new (section->payload.size);
    if (!blob)
        return (bn_slice_t){NULL, NULL, 0};
    bn_mixed_run_write (blob->data, self->fanout_body->data + self->whole_position,
                        whole->mixed[0].at, whole->mixed + (section->base - whole->base),
                        section->count);
    return (bn_slice_t){blob, blob->data, blob->size};
}

static void fan_out_run (bn_conductor_t *self, const bn_topic_state_t *topic,
                         const bn_section_t *section, const bn_section_t *whole)
{
    bool first = section->base == whole->base;
    if (first) {
        count_readers (whole);
        self->whole_position = self->fanout_position;
        self->fanout_position += whole->payload.size;
    }
    bound_bundles (self, topic->reader_count * (first ? whole : section)->payload.size);
    if (!self->bundling && topic->reader_count > 0)
        send_section (self, topic, section, take_run (self, section, whole));
    for (uint32_t index = 0; self->bundling && index < topic->reader_count; index++) {
        const bn_actor_state_t *actor = topic->readers[index];
        if (!reads_all (actor, whole))
            bundle_run (self, actor, section, whole);
        else if (first)
            bundle_section (self, actor, whole, self->whole_position);
    }
}

/*  ---- all sections of a record ---- */

static void fan_out_plain (bn_conductor_t *self, const bn_topic_state_t *topic,
                           const bn_section_t *section)
{
    size_t position = self->fanout_position;
    self->fanout_position += section->payload.size;
    bound_bundles (self, topic->reader_count * section->payload.size);
    if (!self->bundling && topic->reader_count > 0)
        send_section (self, topic, section,
                      (bn_slice_t){.blob = bn_blob_ref (self->fanout_body),
                                   .data = self->fanout_body->data + position,
                                   .size = section->payload.size});
    for (uint32_t index = 0; self->bundling && index < topic->reader_count; index++)
        bundle_section (self, topic->readers[index], section, position);
}

static void fan_out (const bn_topic_state_t *topic, const bn_section_t *section,
                     const bn_section_t *whole, void *arg)
{
    bn_conductor_t *self = arg;
    if (whole == section)
        fan_out_plain (self, topic, section);
    else
        fan_out_run (self, topic, section, whole);
    bn_conductor_notice (self, topic, section);
}

bool bn_conductor_apply_events (bn_conductor_t *self, const bn_record_t *record, uint32_t events,
                                bn_blob_t *body, const bn_section_t *sections, uint32_t count)
{
    size_t payload = 0;
    bool mixed = false;
    for (uint32_t index = 0; index < count; index++) {
        payload += sections[index].payload.size;
        mixed |= bn_is_mixed (&sections[index]);
    }
    bn_assert (payload <= body->size);
    self->fanout_body = body;
    self->fanout_position = body->size - payload;
    self->bundling = mixed || (count > 1 && payload / count < self->options.bundle_section_bytes);
    if (self->bundling)
        memset (self->bundled_for, 0, sizeof self->bundled_for);
    self->state->on_section = fan_out;
    self->state->on_section_arg = self;
    bool ok = bn_conductor_apply (self, record, events);
    send_bundles (self);
    self->state->on_section = NULL;
    self->state->on_section_arg = NULL;
    self->fanout_body = NULL;
    bn_conductor_wake (self);
    return ok;
}
