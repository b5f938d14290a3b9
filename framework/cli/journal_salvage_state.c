/* SPDX-License-Identifier: MPL-2.0 */

/*  journal_salvage_state.c - after salvage: a state that refers to nothing that is lost.
 *
 *  DESIGN. Everything is done by records of the ordinary kinds at the end of the new journal, so
 *  that whoever replays it comes to the same state:
 *    - FORGET for an actor whose registration is lost: nobody knows its name,
 *    - SETTLE for parked events that cannot be read any more, and for a partition whose last events
 *      are all lost: its floor goes behind them,
 *    - DISCARD for dead letters whose original is lost: a redrive could not read it,
 *    - ASSIGN of all partitions to nobody, in generations that no lost ASSIGN can have reached.  */
#include "cli/journal_salvage.h"
#include "orchestrator/recovery.h"
#include "shell/clock.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENERATIONS_SKIPPED (UINT64_C (1) << 32)
#define RECORD_BYTES_MAX    (1u << 30)
#define PRODUCERS_MAX       10000000 /* of the new views: no fewer than any orchestrator keeps */
#define SEGMENT_BYTES       (16u << 20)

typedef struct {
    bn_recovered_t recovered;
    const bn_salvage_hole_t *holes;
    uint64_t hole_count;
    bn_salvage_remark_fn *remark;
    void *arg;
    uint64_t next; /* sequence */
    char *detail;
} tidy_t;

static void remark (tidy_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

static void remark (tidy_t *self, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    self->remark (text, self->arg);
}

/*  Appends a record without events, and applies it.  */
static baton_err_t append (tidy_t *self, const bn_record_t *record)
{
    bn_state_t *state = self->recovered.state;
    bn_blob_t *body = bn_record_encode (record);
    if (!body)
        return BATON_ERR_MEMORY;
    bn_journal_record_t raw = {.type = record->type,
                               .sequence = self->next,
                               .base = state->tail,
                               .time_us = bn_clock_wall_us (),
                               .body = body->data,
                               .body_size = body->size};
    char what[256] = "";
    baton_err_t err = bn_state_apply (state, record, raw.sequence, raw.base, 0, raw.time_us, what);
    if (err)
        snprintf (self->detail, 512, "what tidies up does not fit: %s", what);
    else
        err = bn_journal_write (self->recovered.writer, &raw, 1, self->detail);
    self->next++;
    bn_blob_unref (&body);
    return err;
}

/*  ---- what is lost ---- */

/*  Its own dead letters stand for events that are lost (state_bridge.c).  */
static bool is_dead_topic_of (const bn_actor_state_t *actor, const bn_text_t *topic)
{
    const size_t prefix = sizeof "$dead." - 1;
    size_t size = strlen (actor->name);
    return topic->size == prefix + size && memcmp (topic->text, "$dead.", prefix) == 0 &&
           memcmp (topic->text + prefix, actor->name, size) == 0;
}

/*  Whether the event can be read, and is one that the actor may be given in this partition. Of
 *  which topic, nobody can say: it may have had other patterns when the event was parked.  */
static bool readable (tidy_t *self, const bn_actor_state_t *actor, uint32_t partition,
                      uint64_t offset)
{
    char detail[512];
    bn_journal_record_t record;
    bool end = false, found = false;
    if (bn_journal_seek (self->recovered.reader, offset, detail) != BATON_OK ||
        bn_journal_next (self->recovered.reader, &record, &end, detail) != BATON_OK || end)
        return false;
    bn_section_t *sections;
    uint32_t count;
    if (bn_record_sections (record.type, record.base, record.body, record.body_size, &sections,
                            &count) != BATON_OK)
        return false;
    for (uint32_t i = 0; i < count && !found; i++) {
        const bn_section_t *section = &sections[i];
        if (section->partition != partition || offset < section->base ||
            offset >= section->base + section->count)
            continue;
        found = !is_dead_topic_of (actor, &section->topic);
    }
    bn_section_array_free (sections, count);
    return found;
}

/*  Where the floor can go because nothing but lost events lies between.  */
static uint64_t floor_past_holes (const tidy_t *self, const bn_actor_partition_t *partition)
{
    uint64_t floor = partition->floor;
    for (uint64_t i = 0; i < self->hole_count; i++)
        if (self->holes[i].from <= floor && self->holes[i].to > floor)
            floor = self->holes[i].to;
    return floor;
}

static baton_err_t settle_lost (tidy_t *self, const bn_actor_state_t *actor, uint32_t index)
{
    const bn_actor_partition_t *partition = &actor->partitions[index];
    bn_settlement_t settlement = {.partition = index,
                                  .generation = partition->generation,
                                  .floor = floor_past_holes (self, partition)};
    settlement.dones = calloc (bn_map_count (partition->parked) + 1, sizeof *settlement.dones);
    if (!settlement.dones)
        return BATON_ERR_MEMORY;
    for (bn_map_node_t *node = bn_map_first (partition->parked); node; node = bn_map_next (node)) {
        uint64_t offset = bn_map_key_u64 (node);
        if (readable (self, actor, index, offset))
            continue;
        settlement.dones[settlement.done_count++] = offset;
        remark (self,
                "actor %s, partition %" PRIu32 ": the event %" PRIu64
                " waited for a retry or behind one, and is lost",
                actor->name, index, offset);
    }
    baton_err_t err = BATON_OK;
    if (settlement.done_count > 0 || settlement.floor > partition->floor) {
        bn_record_t record = {
            .type = BN_RECORD_SETTLE,
            .settle = {.actor_id = actor->id, .settlements = &settlement, .settlement_count = 1}};
        err = append (self, &record);
    }
    free (settlement.dones);
    return err;
}

static baton_err_t discard_lost (tidy_t *self, const bn_actor_state_t *actor)
{
    bn_record_t record = {.type = BN_RECORD_DISCARD, .dead = {.actor_id = actor->id}};
    uint64_t *offsets = calloc (bn_map_count (actor->dead) + 1, sizeof *offsets);
    if (!offsets)
        return BATON_ERR_MEMORY;
    record.dead.dead_offsets = offsets;
    for (bn_map_node_t *node = bn_map_first (actor->dead); node; node = bn_map_next (node)) {
        const bn_dead_state_t *dead = bn_map_value (node);
        if (readable (self, actor, dead->letter.partition, dead->letter.offset))
            continue;
        offsets[record.dead.dead_count++] = bn_map_key_u64 (node);
        remark (self,
                "actor %s: the dead letter %" PRIu64 " is discarded: its original, event %" PRIu64
                ", is lost",
                actor->name, dead->letter.dead_offset, dead->letter.offset);
    }
    baton_err_t err = record.dead.dead_count > 0 ? append (self, &record) : BATON_OK;
    free (offsets);
    return err;
}

static baton_err_t fence (tidy_t *self, const bn_actor_state_t *actor)
{
    uint32_t count = self->recovered.state->partitions;
    bn_owner_t *owners = calloc (count, sizeof *owners);
    if (!owners)
        return BATON_ERR_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        owners[i].partition = i;
        owners[i].generation = actor->partitions[i].generation + GENERATIONS_SKIPPED;
        owners[i].instance.text = "";
    }
    bn_record_t record = {
        .type = BN_RECORD_ASSIGN,
        .assign = {.actor_id = actor->id, .owners = owners, .owner_count = count}};
    baton_err_t err = append (self, &record);
    free (owners);
    return err;
}

static baton_err_t tidy_actor (tidy_t *self, bn_actor_state_t *actor)
{
    if (actor->pattern_count == 0) {
        bool named = strncmp (actor->name, BN_STATE_UNNAMED, sizeof BN_STATE_UNNAMED - 1) != 0;
        remark (self,
                "the registration of actor %s%snumber %" PRIu32
                " is lost, and with it what it has settled: it registers anew when an instance "
                "joins",
                named ? actor->name : "", named ? ", " : "", actor->id);
        return append (self, &(bn_record_t){.type = BN_RECORD_FORGET, .forget = actor->id});
    }
    baton_err_t err = BATON_OK;
    for (uint32_t i = 0; i < self->recovered.state->partitions && !err; i++)
        err = settle_lost (self, actor, i);
    if (!err)
        err = discard_lost (self, actor);
    return err ? err : fence (self, actor);
}

static baton_err_t tidy_all (tidy_t *self)
{
    bn_state_t *state = self->recovered.state;
    baton_err_t err = BATON_OK;
    /*  Numbers, because forgetting an actor changes the map.  */
    for (uint64_t id = 0; id <= state->actor_id_last && !err; id++) {
        bn_actor_state_t *actor = bn_map_get_u64 (state->actors_by_id, id);
        if (actor)
            err = tidy_actor (self, actor);
    }
    return err ? err : bn_journal_sync (self->recovered.writer, self->detail);
}

baton_err_t bn_salvage_tidy (const char *directory, const bn_salvage_hole_t *holes,
                             uint64_t hole_count, bool lost, bn_salvage_remark_fn *remark_fn,
                             void *arg, char detail[512])
{
    bn_recovery_options_t options = {.data_dir = directory,
                                     .segment_bytes = SEGMENT_BYTES,
                                     .record_bytes_max = RECORD_BYTES_MAX,
                                     .producers_max = PRODUCERS_MAX};
    tidy_t self = {.holes = holes,
                   .hole_count = hole_count,
                   .remark = remark_fn,
                   .arg = arg,
                   .detail = detail};
    baton_err_t err = bn_recover (&self.recovered, &options, detail);
    if (err)
        return err;
    self.next = self.recovered.journal.sequence_next;
    if (lost)
        err = tidy_all (&self);
    if (err && !*detail)
        snprintf (detail, 512, "%s", baton_err_text (err));
    bn_recovered_fini (&self.recovered);
    return err;
}
