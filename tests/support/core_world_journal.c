/* SPDX-License-Identifier: MPL-2.0 */

#include "base/hash.h"
#include "support/core_world_internal.h"
#include "wire/record.h"
#include "wire/topic.h"

/*  ---- the journal --------------------------------------------------------------------------- */

fact_t *world_fact (world_t *self, uint64_t offset)
{
    for (uint32_t i = 0; i < self->fact_count; i++)
        if (self->facts[i].offset == offset)
            return &self->facts[i];
    return NULL;
}

static void note_event (world_t *self, const bn_section_t *section, uint64_t offset,
                        const bn_event_fields_t *event)
{
    bool dead = section->topic.text[0] == '$';
    bool out = section->topic.size == 8 && memcmp (section->topic.text, "out.done", 8) == 0;
    if (!dead && !out) {
        assert_true (self->fact_count < EVENTS_MAX);
        fact_t *fact = &self->facts[self->fact_count++];
        *fact =
            (fact_t){.offset = offset,
                     .partition = section->partition,
                     .key_hash = event->key.size ? bn_hash (event->key.text, event->key.size) : 0};
        if (self->options.faults && world_below (self, 1000) < 8)
            fact->poison = 1 + (uint32_t)world_below (self, 4);
        return;
    }
    char text[64];
    bn_text_t value = event->id;
    if (dead)
        assert_true (bn_ext_get (event->ext, event->ext_size, "deadoffset", &value));
    snprintf (text, sizeof text, "%.*s", (int)value.size, value.text);
    fact_t *fact = world_fact (self, strtoull (text, NULL, 10));
    assert_non_null (fact);
    if (dead)
        fact->dead++;
    else
        fact->emitted++;
    if (fact->dead + fact->emitted > 1)
        broken (self, "G5: offset %" PRIu64 " has %u emissions and %u dead letters", fact->offset,
                fact->emitted, fact->dead);
}

void world_store (world_t *self, bn_effect_t *effect)
{
    self->records = realloc (self->records, (self->record_count + 1) * sizeof *self->records);
    self->records[self->record_count++] = (stored_t){.type = effect->record_type,
                                                     .base = effect->base,
                                                     .count = effect->count,
                                                     .time_us = effect->time_us,
                                                     .body = bn_blob_ref (effect->body)};
    if (effect->record_type == BN_RECORD_BEGIN) {
        bn_record_t record;
        assert_int_equal (bn_record_decode (&record, BN_RECORD_BEGIN, effect->base,
                                            effect->body->data, effect->body->size, NULL),
                          BATON_OK);
        world_fact (self, record.begin.offset)->charges_max++;
        bn_record_fini (&record);
    }
    bn_section_t *sections;
    uint32_t count;
    assert_int_equal (bn_record_sections (effect->record_type, effect->base, effect->body->data,
                                          effect->body->size, &sections, &count),
                      BATON_OK);
    self->sections =
        realloc (self->sections, (self->section_count + count + 1) * sizeof *self->sections);
    for (uint32_t i = 0; i < count; i++) {
        self->sections[self->section_count++] = sections[i];
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        uint64_t offset = sections[i].base;
        bn_batch_reader_init (&reader, sections[i].payload.data, sections[i].payload.size,
                              sections[i].count);
        while (bn_batch_next (&reader, &event))
            note_event (self, &sections[i], offset++, &event);
        assert_int_equal (offset, sections[i].base + sections[i].count);
    }
    bn_section_array_free (sections, count);
}

static bool wanted (const bn_read_spec_t *spec, const bn_section_t *section)
{
    uint64_t from = spec->from;
    if (spec->filter_partitions) {
        from = spec->from_by_partition[section->partition];
        if (from == BN_NO_OFFSET)
            return false;
    }
    if (section->base + section->count <= from || section->base >= spec->upto)
        return false;
    bool former = section->base < spec->former_until;
    uint32_t first = former ? spec->pattern_count : 0;
    for (uint32_t i = first; i < first + (former ? spec->former_count : spec->pattern_count); i++)
        if (bn_pattern_matches (spec->patterns[i].text, spec->patterns[i].size, section->topic.text,
                                section->topic.size))
            return true;
    return spec->pattern_count == 0;
}

size_t world_read (world_t *self, const bn_read_spec_t *spec, bn_blob_t *blobs[FRAMES_MAX])
{
    bn_section_t found[FRAMES_MAX];
    bn_events_t events = {.from = spec->from, .scanned_to = spec->upto, .sections = found};
    size_t bytes = 0;
    for (size_t i = 0; i < self->section_count; i++) {
        const bn_section_t *section = &self->sections[i];
        bool full = events.section_count == FRAMES_MAX - 1 ||
                    (events.section_count > 0 && bytes >= spec->bytes_max);
        if (spec->offsets) {
            for (uint32_t k = 0; k < spec->offset_count; k++) {
                uint64_t offset = spec->offsets[k];
                if (offset < section->base || offset >= section->base + section->count ||
                    spec->from_by_partition[section->partition] == BN_NO_OFFSET ||
                    events.section_count == FRAMES_MAX - 1 ||
                    (events.section_count > 0 && bytes >= spec->bytes_max))
                    continue;
                found[events.section_count] = *section;
                found[events.section_count].base = offset;
                found[events.section_count].count = 1;
                bn_blob_t *blob =
                    bn_batch_slice (section->payload.data, section->payload.size, section->count,
                                    (uint32_t)(offset - section->base));
                blobs[++events.section_count] = blob;
                bytes += blob->size;
            }
            continue;
        }
        if (!wanted (spec, section))
            continue;
        if (full) {
            events.scanned_to = section->base;
            break;
        }
        found[events.section_count] = *section;
        blobs[++events.section_count] =
            bn_blob_new_copy (section->payload.data, section->payload.size);
        bytes += section->payload.size;
    }
    events.at_tail = events.scanned_to >= spec->upto;
    for (uint32_t i = 0; i < events.section_count; i++)
        found[i].payload = (bn_slice_t){blobs[i + 1], blobs[i + 1]->data, blobs[i + 1]->size};
    bn_message_t message = {.type = BN_EVENTS, .request = spec->request, .events = events};
    blobs[0] = bn_message_encode (&message);
    assert_non_null (blobs[0]);
    return events.section_count + 1;
}

/*  ---- what must hold ------------------------------------------------------------------------- */

const bn_actor_state_t *world_actor (world_t *self)
{
    return bn_map_get_str (bn_conductor_state (self->conductor)->actors, ACTOR);
}

bool world_done (const bn_actor_state_t *actor, const fact_t *fact)
{
    const bn_actor_partition_t *partition = &actor->partitions[fact->partition];
    return fact->offset < partition->floor && !bn_map_get_u64 (partition->parked, fact->offset);
}

/*  G3 as the journal sees it: per key, events are done in the order of their offsets.  */
static void check_order (world_t *self)
{
    const bn_actor_state_t *actor = world_actor (self);
    for (uint32_t i = 0; i < self->fact_count; i++) {
        fact_t *fact = &self->facts[i];
        bool done = world_done (actor, fact);
        if (fact->done && !done)
            broken (self, "offset %" PRIu64 " was settled and is not any more", fact->offset);
        if (!done || fact->done)
            continue;
        fact->done = true;
        for (uint32_t k = 0; k < i && fact->key_hash; k++)
            if (self->facts[k].key_hash == fact->key_hash && !world_done (actor, &self->facts[k]))
                broken (self, "G3: offset %" PRIu64 " is settled before offset %" PRIu64,
                        fact->offset, self->facts[k].offset);
    }
}

/*  G6: the conductor's counts against what happened.  */
static void check_blame (world_t *self)
{
    const bn_actor_state_t *actor = world_actor (self);
    for (uint32_t i = 0; i < self->fact_count; i++) {
        const fact_t *fact = &self->facts[i];
        const bn_actor_partition_t *partition = &actor->partitions[fact->partition];
        const bn_charged_t *charged = bn_map_get_u64 (partition->charged, fact->offset);
        const bn_parked_t *parked = bn_map_get_u64 (partition->parked, fact->offset);
        if (charged && charged->attempts > fact->charges_max)
            broken (self, "G6: offset %" PRIu64 " is charged %u crashes, it was begun %u times",
                    fact->offset, charged->attempts, fact->charges_max);
        if (parked && parked->attempts > fact->charges_max + fact->retries)
            broken (self, "G6: offset %" PRIu64 " is charged %u attempts, it had %u and %u",
                    fact->offset, parked->attempts, fact->charges_max, fact->retries);
    }
}

/*  G3 as the handler sees it: every earlier event of the key is done, or was just acknowledged by
 *  this very session of this very instance.  */
void world_check_handled (world_t *self, const instance_t *instance, const bn_run_item_t *item)
{
    const bn_actor_state_t *actor = world_actor (self);
    const fact_t *fact = world_fact (self, item->offset);
    assert_non_null (fact);
    assert_int_equal (fact->partition, item->partition);
    assert_int_equal (fact->key_hash, item->key_hash);
    for (uint32_t k = 0; fact->key_hash && self->facts[k].offset < item->offset; k++) {
        const fact_t *earlier = &self->facts[k];
        bool by_us = earlier->given[instance - self->instances] == instance->run_life;
        bool given_up =
            earlier->charges_max + earlier->retries >= 4; /* no handler need have said so */
        if (earlier->key_hash == fact->key_hash && !world_done (actor, earlier) && !by_us &&
            !given_up)
            broken (self,
                    "G3: %s handles offset %" PRIu64 " (generation %" PRIu64
                    ") while offset %" PRIu64 " of the same key is not done",
                    instance->name, item->offset, item->generation, earlier->offset);
    }
}

void world_check_records (world_t *self)
{
    if (!world_actor (self))
        return;
    check_order (self);
    check_blame (self);
}
