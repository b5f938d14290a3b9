/* SPDX-License-Identifier: MPL-2.0 */

/*  state_apply.c - the fold: what each journal record does to the state.
 *
 *  DESIGN. One function a record type. The conductor has checked what it writes, so that an error
 *  here means: this record was not written by this code for this state. After an error the state is
 *  half changed and good for nothing; recovery stops there.
 *  INVARIANTS: S1 to S5 of state.h.  */
#include "base/assert.h"
#include "base/hash.h"
#include "base/plant.h"
#include "core/state_internal.h"
#include "wire/mixed.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD 8 /* events of a mixed section whose topics are on their way to the cache */

static baton_err_t misfit (char detail[256], const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static baton_err_t misfit (char detail[256], const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (detail, 256, format, arguments);
    va_end (arguments);
    return BATON_ERR_ROT;
}

static baton_err_t no_memory (char detail[256])
{
    snprintf (detail, 256, "out of memory");
    return BATON_ERR_MEMORY;
}

static baton_err_t held_twice (baton_err_t err, uint64_t offset, char detail[256])
{
    if (err == BATON_ERR_MEMORY)
        return no_memory (detail);
    return misfit (detail, "offset %" PRIu64 " is parked or dead already", offset); /* S3 */
}

static bn_actor_state_t *find_actor (bn_state_t *self, uint32_t id, char detail[256])
{
    bn_actor_state_t *actor = bn_map_get_u64 (self->actors_by_id, id);
    if (!actor)
        misfit (detail, "it names the actor number %" PRIu32 ", which is not registered", id);
    return actor;
}

/*  ---- events: PUBLISH and the emissions of SETTLE ---- */

static void count_section (bn_topic_state_t *topic, const bn_section_t *section)
{
    uint64_t end = section->base + section->count;
    topic->events += section->count;
    topic->bytes += section->payload.size;
    topic->partitions[section->partition].end = end;
    topic->partitions[section->partition].count += section->count;
    for (uint32_t index = 0; index < topic->reader_count; index++) {
        bn_actor_partition_t *partition = &topic->readers[index]->partitions[section->partition];
        partition->head = end;
        partition->pending += section->count;
        topic->readers[index]->published += section->count;
    }
}

static void apply_section (bn_state_t *self, bn_topic_state_t *topic, const bn_section_t *section,
                           const bn_section_t *whole)
{
    self->tail = section->base + section->count;
    if (self->on_section)
        self->on_section (topic, section, whole, self->on_section_arg);
    count_section (topic, section);
}

/*  All topics of a mixed section are there before the first run counts. false: no memory.  */
static bool ensure_topics (bn_state_t *self, const bn_section_t *mixed)
{
    const uint8_t *payload = mixed->payload.data;
    for (uint32_t index = 0; index < mixed->count; index++) {
        bn_mixed_event_t *event = &mixed->mixed[index];
        bn_text_t topic = bn_mixed_topic (payload, event);
        if (!event->topic_state && index > 0 && event[-1].topic_at == event->topic_at)
            event->topic_state = event[-1].topic_state;
        if (!event->topic_state)
            event->topic_state = bn_state_topic_ensure (self, topic.text, topic.size);
        if (!event->topic_state)
            return false;
    }
    return true;
}

/*  Where topics are thousands and partitions many, what is counted of a topic is in no cache.  */
static void prefetch_topic (const bn_mixed_event_t *event, uint32_t partition)
{
    const bn_topic_state_t *topic = event->topic_state;
    __builtin_prefetch (&topic->partitions[partition], 1);
    __builtin_prefetch (topic->readers);
}

/*  As if each run were a section. A record that is read has none that are mixed.  */
static baton_err_t apply_mixed (bn_state_t *self, const bn_section_t *mixed, char detail[256])
{
    if (!mixed->mixed)
        return misfit (detail, "it has a mixed section");
    if (!ensure_topics (self, mixed))
        return no_memory (detail);
    const uint8_t *payload = mixed->payload.data;
    const bn_mixed_event_t *events = mixed->mixed;
    for (uint32_t index = 0; index < mixed->count && index < AHEAD; index++)
        prefetch_topic (&events[index], mixed->partition);
    for (uint32_t index = 0, run; index < mixed->count; index += run) {
        run = bn_mixed_run (payload, events + index, mixed->count - index);
        bn_section_t section = {.topic = bn_mixed_topic (payload, &events[index]),
                                .partition = mixed->partition,
                                .count = run,
                                .base = mixed->base + index};
        section.payload.size = bn_mixed_run_bytes (events[0].at, events + index, run);
        if (index + AHEAD < mixed->count)
            prefetch_topic (&events[index + AHEAD], mixed->partition);
        apply_section (self, events[index].topic_state, &section, mixed);
    }
    return BATON_OK;
}

static baton_err_t apply_sections (bn_state_t *self, const bn_section_t *sections, uint32_t count,
                                   uint64_t base, uint64_t events, char detail[256])
{
    uint64_t next = base;
    for (uint32_t index = 0; index < count; index++) {
        const bn_section_t *section = &sections[index];
        if (section->partition >= self->partitions || section->base != next ||
            section->count == 0 || section->count > events - (next - base))
            return misfit (detail,
                           "section %" PRIu32 " has a partition, offset or count that does "
                           "not fit the record",
                           index);
        next += section->count;
        if (bn_is_mixed (section)) {
            baton_err_t err = apply_mixed (self, section, detail);
            if (err)
                return err;
            continue;
        }
        bn_topic_state_t *topic = section->topic_state;
        if (!topic)
            topic = bn_state_topic_ensure (self, section->topic.text, section->topic.size);
        if (!topic)
            return no_memory (detail);
        apply_section (self, topic, section, section);
    }
    if (next - base != events)
        return misfit (detail, "its sections hold %" PRIu64 " events, the record says %" PRIu64,
                       next - base, events);
    return BATON_OK;
}

/*  How many producers are remembered may have been set otherwise when this was written: one that
 *  was forgotten then began at 1 again, and one that was not is not known now.  */
static bool is_next (bn_producer_state_t *producer, uint64_t sequence)
{
    if (sequence == 1 && producer->sequence > 0) {
        producer->sequence = 0;
        memset (producer->receipts, 0, sizeof producer->receipts);
    }
    return sequence == producer->sequence + 1 || (producer->sequence == 0 && sequence > 0);
}

static baton_err_t apply_publish (bn_state_t *self, const bn_publish_t *publish, uint64_t sequence,
                                  uint64_t base, uint32_t count, char detail[256])
{
    baton_err_t err =
        apply_sections (self, publish->sections, publish->section_count, base, count, detail);
    if (err)
        return err;
    bn_producer_state_t *producer = bn_state_producer_ensure (self, publish->producer_id);
    if (!producer)
        return no_memory (detail);
    if (!is_next (producer, publish->sequence) && !BN_PLANT (duplicate_appended))
        return misfit (detail, "producer %016" PRIx64 " skips from %" PRIu64 " to %" PRIu64,
                       publish->producer_id, producer->sequence, publish->sequence);
    producer->sequence = publish->sequence;
    bn_receipt_t *receipt = &producer->receipts[publish->sequence % BN_PRODUCER_RECEIPTS];
    receipt->sequence = publish->sequence;
    receipt->base = base;
    receipt->count = count;
    if (!bn_state_producer_used (self, producer, sequence))
        return no_memory (detail);
    return BATON_OK;
}

/*  ---- actors ---- */

/*  Pending and head where patterns count from `start` on: exact from the beginning and from the
 *  tail; from between it is at most what lies between, until the actor has caught up once.  */
static void start_partition (const bn_state_t *self, const bn_actor_state_t *actor, uint32_t index,
                             uint64_t start, bool exact)
{
    bn_actor_partition_t *partition = &actor->partitions[index];
    partition->floor = start;
    partition->exact = exact;
    partition->head = partition->pending = 0;
    for (bn_map_node_t *node = bn_map_first (self->topics); node; node = bn_map_next (node)) {
        const bn_topic_state_t *topic = bn_map_value (node);
        if (!bn_state_topic_is_read_by (topic, actor))
            continue;
        if (topic->partitions[index].end > partition->head)
            partition->head = topic->partitions[index].end;
        if (topic->partitions[index].end > start)
            partition->pending += topic->partitions[index].count;
    }
    if (partition->floor >= partition->head) {
        partition->pending = 0;
        partition->exact = true;
    } else if (partition->pending > partition->head - partition->floor)
        partition->pending = partition->head - partition->floor;
}

/*  Other patterns from here on: what waits is what the former ones matched. No floor stays below an
 *  older cut, or the patterns between the two would have a claim on what lay before them.  */
static void cut_partition (const bn_state_t *self, bn_actor_partition_t *partition,
                           uint64_t cut_before)
{
    bool caught_up = partition->floor >= partition->head;
    if (caught_up)
        partition->floor = self->tail;
    else if (partition->floor < cut_before && !bn_state_drains (partition))
        partition->floor = cut_before;
    partition->former_end = caught_up ? 0 : partition->head;
}

static bool same_patterns (const bn_actor_state_t *actor, const bn_register_record_t *record)
{
    if (actor->pattern_count != record->pattern_count)
        return false;
    for (uint32_t index = 0; index < record->pattern_count; index++)
        if (strlen (actor->patterns[index]) != record->patterns[index].size ||
            memcmp (actor->patterns[index], record->patterns[index].text,
                    record->patterns[index].size) != 0)
            return false;
    return true;
}

/*  The first patterns of an actor, which count from the start on; or, of one whose registration was
 *  lost (state_bridge.c), from its floors on; or other ones, which count from here on.  */
static baton_err_t apply_patterns (bn_state_t *self, bn_actor_state_t *actor,
                                   const bn_register_record_t *record, bool fresh)
{
    bool first = actor->pattern_count == 0;
    uint64_t cut_before = actor->former_until;
    if (first ? !bn_state_actor_patterns (actor, record->patterns, record->pattern_count)
              : !bn_state_actor_revise (actor, record->patterns, record->pattern_count))
        return BATON_ERR_MEMORY;
    for (bn_map_node_t *node = bn_map_first (self->topics); node; node = bn_map_next (node)) {
        bn_topic_state_t *topic = bn_map_value (node);
        if (!bn_state_topic_reader (
                topic, actor, bn_state_actor_matches (actor, topic->name, strlen (topic->name))))
            return BATON_ERR_MEMORY;
    }
    if (!first)
        actor->former_until = self->tail;
    for (uint32_t index = 0; index < self->partitions; index++)
        if (fresh)
            start_partition (self, actor, index, record->start, record->exact);
        else if (first)
            start_partition (self, actor, index, actor->partitions[index].floor, false);
        else
            cut_partition (self, &actor->partitions[index], cut_before);
    return BATON_OK;
}

static baton_err_t apply_register (bn_state_t *self, const bn_register_record_t *record,
                                   char detail[256])
{
    bn_actor_state_t *actor = bn_map_get_u64 (self->actors_by_id, record->actor_id);
    bn_actor_state_t *namesake = bn_map_get (self->actors, record->name.text, record->name.size);
    bool fresh = !actor;
    if (actor != namesake || record->pattern_count == 0 ||
        record->pattern_count > BN_PATTERNS_MAX || record->name.size > BATON_NAME_BYTES_MAX)
        return misfit (detail, "it registers an actor under another's name or number");
    if (fresh && (record->actor_id != self->actor_id_last + 1 || record->start > self->tail))
        return misfit (detail, "it registers a new actor with a number or start out of order");
    if (fresh)
        actor = bn_state_actor_new (self, record->actor_id, record->name.text, record->name.size);
    if (!actor)
        return no_memory (detail);
    if (fresh)
        self->actor_id_last = record->actor_id;
    actor->policy = record->policy;
    if (!same_patterns (actor, record) && apply_patterns (self, actor, record, fresh))
        return no_memory (detail);
    return BATON_OK;
}

static baton_err_t apply_assign (bn_state_t *self, const bn_assign_record_t *record,
                                 char detail[256])
{
    bn_actor_state_t *actor = find_actor (self, record->actor_id, detail);
    if (!actor)
        return BATON_ERR_ROT;
    for (uint32_t index = 0; index < record->owner_count; index++) {
        const bn_owner_t *owner = &record->owners[index];
        if (owner->partition >= self->partitions || owner->instance.size > BATON_NAME_BYTES_MAX ||
            owner->generation <= actor->partitions[owner->partition].generation)
            return misfit (detail, "it assigns partition %" PRIu32 " of %s with a stale generation",
                           owner->partition, actor->name); /* S2 */
        bn_actor_partition_t *partition = &actor->partitions[owner->partition];
        bool same = owner->incarnation == partition->incarnation &&
                    owner->instance.size == strlen (partition->instance) &&
                    memcmp (owner->instance.text, partition->instance, owner->instance.size) == 0;
        /*  A handler that was begun is still running if only the connection changed.  */
        if (!same)
            partition->begun = BN_NO_OFFSET;
        partition->generation = owner->generation;
        partition->incarnation = owner->incarnation;
        memset (partition->instance, 0, sizeof partition->instance);
        memcpy (partition->instance, owner->instance.text, owner->instance.size);
    }
    return BATON_OK;
}

static baton_err_t apply_begin (bn_state_t *self, const bn_begin_record_t *record, char detail[256])
{
    bn_actor_state_t *actor = find_actor (self, record->actor_id, detail);
    if (!actor)
        return BATON_ERR_ROT;
    if (record->partition >= self->partitions ||
        record->generation != actor->partitions[record->partition].generation)
        return misfit (detail,
                       "it begins an event of %s in a generation that is not the current one",
                       actor->name);
    actor->partitions[record->partition].begun = record->offset;
    return BATON_OK;
}

static uint32_t one_more (uint32_t attempts)
{
    return attempts < UINT32_MAX ? attempts + 1 : attempts;
}

/*  One attempt more for what is parked, or is to be handled yet.  */
static baton_err_t charge (bn_actor_state_t *actor, const bn_suspicion_t *suspicion,
                           char detail[256])
{
    bn_actor_partition_t *partition = &actor->partitions[suspicion->partition];
    const bn_parked_t *parked = bn_map_get_u64 (partition->parked, suspicion->charged);
    const bn_charged_t *charged = bn_map_get_u64 (partition->charged, suspicion->charged);
    baton_err_t err;
    if (parked) {
        bn_parked_t again = *parked;
        again.attempts = one_more (parked->attempts);
        again.due_ms = suspicion->due_ms;
        again.reason = suspicion->reason;
        err = bn_state_repark (actor, suspicion->partition, &again);
    } else {
        bn_charged_t again = {.offset = suspicion->charged,
                              .attempts = charged ? one_more (charged->attempts) : 1,
                              .reason = suspicion->reason};
        if (!charged && suspicion->charged < partition->floor)
            return misfit (detail, "it charges offset %" PRIu64 " of %s, which is settled",
                           suspicion->charged, actor->name);
        err = bn_state_recharge (partition, &again);
    }
    return err ? no_memory (detail) : BATON_OK;
}

static baton_err_t apply_suspect (bn_state_t *self, const bn_suspect_record_t *record,
                                  char detail[256])
{
    bn_actor_state_t *actor = find_actor (self, record->actor_id, detail);
    if (!actor)
        return BATON_ERR_ROT;
    for (uint32_t index = 0; index < record->suspicion_count; index++) {
        const bn_suspicion_t *suspicion = &record->suspicions[index];
        if (suspicion->partition >= self->partitions)
            return misfit (detail, "it suspects a partition that does not exist");
        bn_actor_partition_t *partition = &actor->partitions[suspicion->partition];
        if (suspicion->careful_until > partition->careful_until)
            partition->careful_until = suspicion->careful_until;
        partition->begun = BN_NO_OFFSET;
        baton_err_t err = BATON_OK;
        if (suspicion->charged != BN_NO_OFFSET)
            err = charge (actor, suspicion, detail);
        if (err)
            return err;
    }
    return BATON_OK;
}

/*  ---- SETTLE ---- */

/*  Where the copies of a partition's dead letters are: the cursor runs over the $dead sections of
 *  the record for that partition.  */
typedef struct {
    const bn_settle_record_t *record;
    const bn_actor_state_t *actor;
    uint32_t partition;
    uint32_t section; /* next one to look at */
    uint64_t offset;  /* of the next event */
    bn_batch_reader_t reader;
} grave_cursor_t;

static bool is_dead_topic_of (const bn_text_t *topic, const bn_actor_state_t *actor)
{
    const size_t prefix = sizeof "$dead." - 1;
    size_t size = strlen (actor->name);
    return topic->size == prefix + size && memcmp (topic->text, "$dead.", prefix) == 0 &&
           memcmp (topic->text + prefix, actor->name, size) == 0;
}

static bool next_grave (grave_cursor_t *self, uint64_t *dead_offset, uint64_t *key_hash)
{
    bn_event_fields_t event;
    while (self->reader.left == 0 || !bn_batch_next (&self->reader, &event)) {
        const bn_section_t *section;
        do {
            if (self->section == self->record->section_count)
                return false;
            section = &self->record->sections[self->section++];
        } while (section->partition != self->partition ||
                 !is_dead_topic_of (&section->topic, self->actor));
        self->offset = section->base;
        if (bn_batch_reader_init (&self->reader, section->payload.data, section->payload.size,
                                  section->count))
            return false;
    }
    *dead_offset = self->offset++;
    *key_hash = event.key.size ? bn_hash (event.key.text, event.key.size) : 0;
    return true;
}

typedef struct {
    bn_state_t *state;
    bn_actor_state_t *actor;
    bn_actor_partition_t *partition;
    const bn_settlement_t *settlement;
    uint64_t old_floor;
    uint64_t named;   /* of the parked ones, settled now */
    bool begun_named; /* the begun event is one of those named */
} settling_t;

static bool in_main_line (const settling_t *self, uint64_t offset)
{
    return offset >= self->old_floor && offset < self->settlement->floor;
}

/*  An event may be set aside behind an elder without an attempt of its own: then the last one is
 *  that which was charged when a process died.  */
static bn_text_t reason_of (const settling_t *self, const bn_parked_t *park)
{
    const bn_charged_t *charged = bn_map_get_u64 (self->partition->charged, park->offset);
    bool is_last = charged && charged->attempts == park->attempts;
    return park->reason.size == 0 && is_last ? charged->reason : park->reason;
}

static baton_err_t apply_parks (settling_t *self, char detail[256])
{
    const bn_settlement_t *settlement = self->settlement;
    for (uint32_t index = 0; index < settlement->park_count; index++) {
        const bn_parked_t *park = &settlement->parks[index];
        const bn_parked_t *known = bn_map_get_u64 (self->partition->parked, park->offset);
        self->begun_named |= park->offset == self->partition->begun;
        if (park->attempts > (known ? known->attempts : 0))
            self->actor->retried++;
        bn_parked_t parked = *park;
        if (known) {
            if (BN_PLANT (reason_kept))
                parked.reason = known->reason;
            if (bn_state_repark (self->actor, settlement->partition, &parked))
                return no_memory (detail);
            continue;
        }
        if (!in_main_line (self, park->offset))
            return misfit (detail, "it parks offset %" PRIu64 ", which is not between the floors",
                           park->offset);
        parked.reason = reason_of (self, park);
        baton_err_t err = bn_state_park (self->actor, settlement->partition, &parked);
        if (err)
            return held_twice (err, park->offset, detail);
    }
    return BATON_OK;
}

static baton_err_t apply_dones (settling_t *self, char detail[256])
{
    for (uint32_t index = 0; index < self->settlement->done_count; index++) {
        uint64_t offset = self->settlement->dones[index];
        bn_parked_t *parked = bn_state_unpark (self->actor, self->settlement->partition, offset);
        if (!parked)
            return misfit (detail, "it settles offset %" PRIu64 ", which is not parked", offset);
        free (parked);
        self->begun_named |= offset == self->partition->begun;
        self->named++;
    }
    return BATON_OK;
}

static baton_err_t apply_died (settling_t *self, const bn_settle_record_t *record, uint64_t time_us,
                               char detail[256])
{
    const bn_settlement_t *settlement = self->settlement;
    grave_cursor_t cursor = {
        .record = record, .actor = self->actor, .partition = settlement->partition};
    for (uint32_t index = 0; index < settlement->died_count; index++) {
        const bn_died_t *died = &settlement->died[index];
        bn_parked_t *parked = bn_state_unpark (self->actor, settlement->partition, died->offset);
        if (!parked && !in_main_line (self, died->offset))
            return misfit (detail,
                           "it gives up offset %" PRIu64 ", which is neither parked nor "
                           "between the floors",
                           died->offset);
        self->named += parked ? 1 : 0;
        self->begun_named |= died->offset == self->partition->begun;
        free (parked);
        bn_dead_state_t dead = {.letter = {.offset = died->offset,
                                           .partition = settlement->partition,
                                           .attempts = died->attempts,
                                           .time_us = time_us}};
        if (!next_grave (&cursor, &dead.letter.dead_offset, &dead.key_hash))
            return misfit (detail, "dead letters of partition %" PRIu32 " have no copies",
                           settlement->partition);
        baton_err_t err = bn_state_bury (self->actor, &dead);
        if (err)
            return held_twice (err, died->offset, detail);
        self->actor->died++;
    }
    return BATON_OK;
}

static void drop_charges_below (bn_actor_partition_t *partition, uint64_t floor)
{
    bn_map_node_t *node;
    while ((node = bn_map_first (partition->charged)) && bn_map_key_u64 (node) < floor)
        free (bn_map_remove_u64 (partition->charged, bn_map_key_u64 (node)));
}

/*  Careful ends once nothing is left that the dead instance can have had in hand: the floor is past
 *  it, no event parked from before then is left, and none is being handled.  */
static void end_careful (bn_actor_partition_t *partition)
{
    bn_map_node_t *lowest = bn_map_first (partition->parked);
    if (partition->careful_until && partition->begun == BN_NO_OFFSET &&
        partition->floor >= partition->careful_until &&
        (!lowest || bn_map_key_u64 (lowest) >= partition->careful_until))
        partition->careful_until = 0;
}

static void finish_settlement (settling_t *self, size_t parked_before)
{
    const bn_settlement_t *settlement = self->settlement;
    bn_actor_partition_t *partition = self->partition;
    uint64_t parked_new = bn_map_count (partition->parked) + self->named - parked_before;
    uint64_t handled = settlement->handled;
    self->actor->settled += self->named + (handled > parked_new ? handled - parked_new : 0);
    if (BN_PLANT (lag_keeps_parked))
        handled -= handled > parked_new ? parked_new : handled;
    partition->pending -= handled < partition->pending ? handled : partition->pending;
    partition->floor = settlement->floor;
    if (partition->floor >= partition->head) {
        partition->pending = 0;
        partition->exact = true;
    }
    drop_charges_below (partition, partition->floor);
    if (self->begun_named || in_main_line (self, partition->begun) || settlement->release)
        partition->begun = BN_NO_OFFSET;
    end_careful (partition);
    if (settlement->release) {
        memset (partition->instance, 0, sizeof partition->instance);
        partition->incarnation = 0;
    }
}

static baton_err_t apply_settlement (settling_t *self, const bn_settle_record_t *record,
                                     uint64_t time_us, char detail[256])
{
    const bn_settlement_t *settlement = self->settlement;
    if (settlement->partition >= self->state->partitions)
        return misfit (detail, "it settles a partition that does not exist");
    self->partition = &self->actor->partitions[settlement->partition];
    self->old_floor = self->partition->floor;
    if ((settlement->generation != self->partition->generation &&
         !BN_PLANT (stale_generation_accepted)) ||
        settlement->floor < self->old_floor || settlement->floor > self->state->tail)
        return misfit (detail,
                       "it settles partition %" PRIu32 " of %s with a generation or floor "
                       "that does not fit",
                       settlement->partition, self->actor->name);
    size_t parked_before = bn_map_count (self->partition->parked);
    baton_err_t err = apply_parks (self, detail);
    if (!err)
        err = apply_dones (self, detail);
    if (!err)
        err = apply_died (self, record, time_us, detail);
    if (!err)
        finish_settlement (self, parked_before);
    return err;
}

static baton_err_t apply_settle (bn_state_t *self, const bn_settle_record_t *record, uint64_t base,
                                 uint32_t count, uint64_t time_us, char detail[256])
{
    bn_actor_state_t *actor = find_actor (self, record->actor_id, detail);
    if (!actor)
        return BATON_ERR_ROT;
    for (uint32_t index = 0; index < record->settlement_count; index++) {
        settling_t settling = {
            .state = self, .actor = actor, .settlement = &record->settlements[index]};
        baton_err_t err = apply_settlement (&settling, record, time_us, detail);
        if (err)
            return err;
    }
    return apply_sections (self, record->sections, record->section_count, base, count, detail);
}

/*  ---- dead letters ---- */

static baton_err_t apply_dead (bn_state_t *self, const bn_dead_record_t *record, bool redrive,
                               uint64_t time_us, char detail[256])
{
    bn_actor_state_t *actor = find_actor (self, record->actor_id, detail);
    if (!actor)
        return BATON_ERR_ROT;
    for (uint32_t index = 0; index < record->dead_count; index++) {
        bn_dead_state_t *dead = bn_state_exhume (actor, record->dead_offsets[index]);
        if (!dead)
            return misfit (detail, "%s has no dead letter %" PRIu64, actor->name,
                           record->dead_offsets[index]);
        bn_parked_t parked = {.offset = dead->letter.offset,
                              .due_ms = time_us / 1000,
                              .key_hash = BN_PLANT (redrive_out_of_order) ? 0 : dead->key_hash};
        uint32_t partition = dead->letter.partition;
        free (dead);
        /*  What stands for a lost one (state_bridge.c) may be above the floor, and comes from there
         *  by itself (S1).  */
        baton_err_t err = BATON_OK;
        if (redrive && parked.offset < actor->partitions[partition].floor)
            err = bn_state_park (actor, partition, &parked);
        if (err)
            return held_twice (err, parked.offset, detail);
    }
    return BATON_OK;
}

/*  ---- all ---- */

static baton_err_t apply_genesis (bn_state_t *self, const bn_genesis_t *genesis, char detail[256])
{
    if (genesis->journal_id == 0 || genesis->partitions == 0 ||
        genesis->partitions > BN_PARTITIONS_MAX)
        return misfit (detail, "a journal begins without an id, or without partitions");
    self->journal_id = genesis->journal_id;
    self->partitions = genesis->partitions;
    self->partition_room = genesis->partitions;
    return BATON_OK;
}

static baton_err_t apply_forget (bn_state_t *self, uint32_t actor_id, char detail[256])
{
    bn_actor_state_t *actor = find_actor (self, actor_id, detail);
    if (!actor)
        return BATON_ERR_ROT;
    bn_state_actor_remove (self, actor);
    if (BN_PLANT (actor_number_reused))
        self->actor_id_last = actor_id - 1;
    return BATON_OK;
}

static baton_err_t apply_any (bn_state_t *self, const bn_record_t *record, uint64_t sequence,
                              uint64_t base, uint32_t count, uint64_t time_us, char detail[256])
{
    switch (record->type) {
    case BN_RECORD_GENESIS:
        return apply_genesis (self, &record->genesis, detail);
    case BN_RECORD_REGISTER:
        return apply_register (self, &record->registration, detail);
    case BN_RECORD_PUBLISH:
        return apply_publish (self, &record->publish, sequence, base, count, detail);
    case BN_RECORD_SETTLE:
        return apply_settle (self, &record->settle, base, count, time_us, detail);
    case BN_RECORD_ASSIGN:
        return apply_assign (self, &record->assign, detail);
    case BN_RECORD_BEGIN:
        return apply_begin (self, &record->begin, detail);
    case BN_RECORD_SUSPECT:
        return apply_suspect (self, &record->suspect, detail);
    case BN_RECORD_REDRIVE:
        return apply_dead (self, &record->dead, true, time_us, detail);
    case BN_RECORD_DISCARD:
        return apply_dead (self, &record->dead, false, time_us, detail);
    case BN_RECORD_FORGET:
        return apply_forget (self, record->forget, detail);
    case BN_RECORD_LOST:
        self->tail += count;
        self->bridging = true;
        return BATON_OK;
    }
    return misfit (detail, "its type %d is unknown", (int)record->type);
}

baton_err_t bn_state_apply (bn_state_t *self, const bn_record_t *record, uint64_t sequence,
                            uint64_t base, uint32_t count, uint64_t time_us, char detail[256])
{
    bool has_events = record->type == BN_RECORD_PUBLISH || record->type == BN_RECORD_SETTLE ||
                      record->type == BN_RECORD_LOST;
    if (sequence != self->sequence + 1 || base != self->tail)
        return misfit (detail,
                       "record %" PRIu64 " at offset %" PRIu64 " does not follow %" PRIu64
                       " at %" PRIu64,
                       sequence, base, self->sequence, self->tail);
    if ((record->type == BN_RECORD_GENESIS) != (self->journal_id == 0))
        return misfit (detail, "the journal does not begin with GENESIS, or begins twice");
    if (!has_events && count)
        return misfit (detail, "a record without events counts %" PRIu32, count);
    baton_err_t err = apply_any (self, record, sequence, base, count, time_us, detail);
    if (!err)
        self->sequence = sequence;
    return err;
}
