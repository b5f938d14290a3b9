/* SPDX-License-Identifier: MPL-2.0 */

/*  model.c - what the journal's records add up to, worked out without the core: for each event what
 *  it is, for each actor and event how far it is with it.
 *
 *  A record counts from the moment it is handed to the journal; after a crash the model is rewound
 *  to what was recovered. What handlers did is not rewound: it happened.  */
#include "base/assert.h"
#include "base/hash.h"
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GROW(array, count, capacity)                                                               \
    do {                                                                                           \
        if ((count) >= (capacity)) {                                                               \
            size_t before_ = (capacity);                                                           \
            (capacity) = (count) < 64 ? 128 : (count)*2;                                           \
            (array) = sim_must (realloc ((array), (capacity) * sizeof *(array)));                  \
            memset ((array) + before_, 0, ((capacity)-before_) * sizeof *(array));                 \
        }                                                                                          \
    } while (0)

sim_model_t *sim_model_new (void)
{
    sim_model_t *model = sim_must (calloc (1, sizeof *model));
    model->checking = true;
    return model;
}

static void forget_actor (sim_actor_t *actor)
{
    actor->id = 0;
    actor->dead = 0;
    actor->pattern_count = 0;
    for (uint32_t p = 0; p < SIM_PARTITIONS_MAX; p++) {
        free (actor->shares[p].assigned);
        actor->shares[p] = (sim_share_t){.begun = BN_NO_OFFSET};
    }
}

static void forget_shares (sim_model_t *model)
{
    model->actor_id_last = 0;
    for (uint32_t a = 0; a < SIM_ACTORS_MAX; a++)
        forget_actor (&model->actors[a]);
}

void sim_model_destroy (sim_model_t **model_p)
{
    sim_model_t *model = *model_p;
    for (uint64_t i = 0; i < model->record_count; i++)
        bn_blob_unref (&model->records[i].body);
    forget_shares (model);
    for (uint32_t a = 0; a < SIM_ACTORS_MAX; a++)
        free (model->actors[a].duties);
    free (model->records);
    free (model->log);
    free (model->calls);
    free (model->graves);
    free (model->published);
    free (model->offset_of);
    free (model);
    *model_p = NULL;
}

uint64_t sim_model_serial (sim_model_t *model)
{
    uint64_t serial = model->serials++;
    size_t capacity = model->published_capacity;
    GROW (model->published, serial, capacity);
    GROW (model->offset_of, serial, model->published_capacity);
    return serial;
}

/*  ---- who wants what ---- */

bool sim_model_matches (const char *pattern, const char *topic)
{
    if (topic[0] == '$' && pattern[0] != '$')
        return false;
    for (;;) {
        size_t left = strcspn (pattern, "."), right = strcspn (topic, ".");
        if (left == 1 && *pattern == '>')
            return right > 0;
        bool any = left == 1 && *pattern == '*';
        if (right == 0 || (!any && (left != right || memcmp (pattern, topic, left) != 0)))
            return false;
        pattern += left;
        topic += right;
        if (*pattern != *topic)
            return false;
        if (!*pattern)
            return true;
        pattern++;
        topic++;
    }
}

bool sim_model_wants (const sim_t *sim, uint32_t actor, uint64_t offset)
{
    const sim_model_t *model = sim->model;
    return model->actors[actor].id && offset >= model->actors[actor].start &&
           (model->log[offset].wanted >> actor & 1);
}

bool sim_model_knows (const sim_t *sim, uint32_t actor, uint32_t revision, const char *topic)
{
    const char *const *patterns = sim->config.actors[actor].patterns[revision];
    for (uint32_t p = 0; p < SIM_PATTERNS && patterns[p]; p++)
        if (sim_model_matches (patterns[p], topic))
            return true;
    return false;
}

bool sim_model_drains (sim_t *sim, uint32_t actor)
{
    for (uint64_t o = 0; o < sim->model->actors[actor].cut; o++)
        if (sim_model_wants (sim, actor, o) &&
            sim_model_duty (sim, actor, o)->status == STATUS_NONE)
            return true;
    return false;
}

bool sim_model_has (const sim_t *sim, uint32_t actor, uint32_t revision)
{
    const sim_actor_t *it = &sim->model->actors[actor];
    const char *const *patterns = sim->config.actors[actor].patterns[revision];
    uint32_t p = 0;
    while (p < it->pattern_count && patterns[p] && strcmp (it->patterns[p], patterns[p]) == 0)
        p++;
    return p == it->pattern_count && (p == SIM_PATTERNS || !patterns[p]);
}

sim_duty_t *sim_model_duty (sim_t *sim, uint32_t index, uint64_t offset)
{
    sim_actor_t *actor = &sim->model->actors[index];
    GROW (actor->duties, offset, actor->duty_capacity);
    return &actor->duties[offset];
}

uint32_t sim_model_actor (const sim_t *sim, uint32_t id)
{
    uint32_t a = 0;
    while (a < sim->config.actor_count && sim->model->actors[a].id != id)
        a++;
    return a < sim->config.actor_count ? a : SIM_ACTORS_MAX;
}

/*  ---- events ---- */

static void copy_text (char *to, size_t room, const bn_text_t *text)
{
    size_t size = text->size < room - 1 ? text->size : room - 1;
    memcpy (to, text->text, size);
    to[size] = '\0';
}

void sim_model_describe (const bn_event_fields_t *event, const bn_text_t *topic, uint32_t partition,
                         sim_log_t *log)
{
    *log = (sim_log_t){.partition = partition};
    if (event->data_size >= sizeof log->identity)
        memcpy (&log->identity, event->data, sizeof log->identity);
    copy_text (log->topic, sizeof log->topic, topic);
    copy_text (log->key, sizeof log->key, &event->key);
    log->hash = bn_hash (event->data, event->data_size) ^
                (bn_hash (log->topic, strlen (log->topic)) * 3) ^
                (bn_hash (log->key, strlen (log->key)) * 5);
}

static void note_serial (sim_t *sim, uint64_t offset, const sim_log_t *log)
{
    sim_model_t *model = sim->model;
    if (log->identity.call || log->topic[0] == '$')
        return;
    uint64_t serial = log->identity.serial;
    if (serial >= model->serials) {
        sim_fail (sim, "G1: offset %" PRIu64 " holds an event that nobody published", offset);
        return;
    }
    if (model->offset_of[serial])
        sim_fail (sim,
                  "G1: event %" PRIu64 " was published once and is in the journal twice, at "
                  "%" PRIu64 " and %" PRIu64,
                  serial, model->offset_of[serial] - 1, offset);
    model->offset_of[serial] = offset + 1;
}

static bool wants_topic (const sim_actor_t *actor, const char *topic)
{
    for (uint32_t p = 0; p < actor->pattern_count; p++)
        if (sim_model_matches (actor->patterns[p], topic))
            return true;
    return false;
}

static void set_wanted (sim_log_t *log, uint32_t a, bool wanted)
{
    log->wanted = wanted ? log->wanted | 1u << a : log->wanted & ~(1u << a);
}

/*  The parts of a mixed section have a blob in common; it was sent as a whole, with a topic or a
 *  nil for each event.  */
static void measure_sections (sim_model_t *model, const bn_section_t *sections, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const bn_blob_t *blob = sections[i].payload.blob;
        bool part = blob && i > 0 && sections[i - 1].payload.blob == blob;
        bytes = (part ? bytes : 0) + sections[i].payload.size;
        if (blob)
            bytes += sections[i].topic.size + sections[i].count;
        if (bytes > model->section_bytes_max)
            model->section_bytes_max = bytes;
    }
}

static void add_events (sim_t *sim, const bn_section_t *sections, uint32_t count)
{
    sim_model_t *model = sim->model;
    measure_sections (model, sections, count);
    for (uint32_t i = 0; i < count && !sim->failed; i++) {
        const bn_section_t *section = &sections[i];
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        bn_batch_reader_init (&reader, section->payload.data, section->payload.size,
                              section->count);
        for (uint32_t k = 0; k < section->count; k++) {
            if (!bn_batch_next (&reader, &event)) {
                sim_fail (sim, "a journaled section cannot be read");
                return;
            }
            GROW (model->log, model->tail, model->log_capacity);
            sim_log_t *log = &model->log[model->tail];
            sim_model_describe (&event, &section->topic, section->partition, log);
            for (uint32_t a = 0; a < sim->config.actor_count; a++)
                set_wanted (log, a, wants_topic (&model->actors[a], log->topic));
            note_serial (sim, model->tail, log);
            model->tail++;
        }
    }
}

/*  ---- what the records do ---- */

static bool same_patterns (const sim_actor_t *actor, const bn_register_record_t *record)
{
    if (actor->pattern_count != record->pattern_count)
        return false;
    for (uint32_t p = 0; p < record->pattern_count; p++)
        if (strlen (actor->patterns[p]) != record->patterns[p].size ||
            memcmp (actor->patterns[p], record->patterns[p].text, record->patterns[p].size) != 0)
            return false;
    return true;
}

static void register_new (sim_t *sim, uint32_t a, const bn_register_record_t *record)
{
    sim_model_t *model = sim->model;
    sim_actor_t *actor = &model->actors[a];
    if (record->actor_id <= model->actor_id_last)
        sim_fail (sim, "%s is registered under the number %u, which was given out before",
                  sim->config.actors[a].name, record->actor_id);
    actor->id = model->actor_id_last = record->actor_id;
    actor->start = record->start;
    actor->cut = 0;
    for (uint32_t p = 0; p < SIM_PARTITIONS_MAX; p++)
        actor->shares[p].floor = record->start;
    for (uint64_t o = 0; o < model->tail; o++)
        set_wanted (&model->log[o], a, wants_topic (actor, model->log[o].topic));
}

static void apply_register (sim_t *sim, const bn_register_record_t *record)
{
    for (uint32_t a = 0; a < sim->config.actor_count && !sim->failed; a++) {
        sim_actor_t *actor = &sim->model->actors[a];
        const char *name = sim->config.actors[a].name;
        if (strlen (name) != record->name.size ||
            memcmp (name, record->name.text, record->name.size) != 0)
            continue;
        if (sim->model->checking)
            sim_oracle_register (sim, a, record);
        bool same = same_patterns (actor, record);
        actor->pattern_count = record->pattern_count;
        for (uint32_t p = 0; p < record->pattern_count && p < SIM_PATTERNS; p++)
            copy_text (actor->patterns[p], sizeof actor->patterns[p], &record->patterns[p]);
        if (!actor->id)
            register_new (sim, a, record);
        else if (!same)
            actor->cut = sim->model->tail;
    }
}

/*  Whatever it had, it has nothing any more; what its processes know is about another actor.  */
static void apply_forget (sim_t *sim, uint32_t id)
{
    sim_model_t *model = sim->model;
    uint32_t a = sim_model_actor (sim, id);
    if (a == SIM_ACTORS_MAX || (model->checking && !sim->forget_asked[a])) {
        sim_fail (sim, "G2: actor %u is forgotten, and nobody asked for that", id);
        return;
    }
    sim_actor_t *actor = &model->actors[a];
    forget_actor (actor);
    for (size_t g = 0; g < model->grave_count; g++)
        if (model->graves[g].actor == a)
            model->graves[g].open = false;
    for (size_t o = 0; o < actor->duty_capacity; o++)
        actor->duties[o] = (sim_duty_t){.call = model->checking ? 0 : actor->duties[o].call};
    if (model->checking)
        actor->epoch++;
    sim_say (sim, "%s is forgotten", sim->config.actors[a].name);
}

static void apply_assign (sim_t *sim, const bn_assign_record_t *record, uint64_t sequence)
{
    uint32_t a = sim_model_actor (sim, record->actor_id);
    if (a == SIM_ACTORS_MAX)
        return;
    for (uint32_t i = 0; i < record->owner_count; i++) {
        const bn_owner_t *owner = &record->owners[i];
        sim_share_t *share = &sim->model->actors[a].shares[owner->partition];
        if (owner->generation <= share->generation)
            sim_fail (sim, "G4: partition %u of %s goes from generation %" PRIu64 " to %" PRIu64,
                      owner->partition, sim->config.actors[a].name, share->generation,
                      owner->generation);
        share->generation = owner->generation;
        copy_text (share->owner, sizeof share->owner, &owner->instance);
        share->incarnation = owner->incarnation;
        size_t capacity = share->assigned_count;
        if (owner->generation >= capacity) {
            share->assigned = sim_must (
                realloc (share->assigned, (owner->generation + 1) * sizeof *share->assigned));
            memset (share->assigned + capacity, 0,
                    (owner->generation + 1 - capacity) * sizeof *share->assigned);
            share->assigned_count = owner->generation + 1;
        }
        share->assigned[owner->generation] = sequence;
    }
}

static void settle_one (sim_t *sim, uint32_t a, uint64_t offset, sim_status_t status,
                        uint64_t generation)
{
    sim_actor_t *actor = &sim->model->actors[a];
    sim_duty_t *duty = sim_model_duty (sim, a, offset);
    sim_share_t *share = &actor->shares[sim->model->log[offset].partition];
    share->parked -= duty->status == STATUS_PARKED;
    share->parked += status == STATUS_PARKED;
    actor->dead += status == STATUS_DEAD;
    duty->status = (uint8_t)status;
    duty->done_generation = generation;
    if (share->begun == offset)
        share->begun = BN_NO_OFFSET;
}

static bool named (const bn_settlement_t *settlement, uint64_t offset)
{
    for (uint32_t i = 0; i < settlement->park_count; i++)
        if (settlement->parks[i].offset == offset)
            return true;
    for (uint32_t i = 0; i < settlement->died_count; i++)
        if (settlement->died[i].offset == offset)
            return true;
    return false;
}

/*  The copies of dead letters stand in the order in which the settlement names them.  */
static void bury (sim_t *sim, uint32_t a, const bn_settlement_t *settlement, uint64_t base)
{
    sim_model_t *model = sim->model;
    char topic[24] = "$dead.";
    strncat (topic, sim->config.actors[a].name, sizeof topic - 7);
    uint64_t at = base;
    for (uint32_t i = 0; i < settlement->died_count; i++, at++) {
        uint64_t offset = settlement->died[i].offset;
        while (at < model->tail && (model->log[at].partition != settlement->partition ||
                                    strcmp (model->log[at].topic, topic) != 0))
            at++;
        if (at == model->tail || memcmp (&model->log[at].identity, &model->log[offset].identity,
                                         sizeof model->log[at].identity) != 0) {
            sim_fail (sim, "G2: dead letter %" PRIu64 " of %s has no copy in %s", offset,
                      sim->config.actors[a].name, topic);
            return;
        }
        GROW (model->graves, model->grave_count, model->grave_capacity);
        model->graves[model->grave_count++] =
            (sim_grave_t){.actor = a, .dead_offset = at, .offset = offset, .open = true};
        settle_one (sim, a, offset, STATUS_DEAD, settlement->generation);
    }
}

static bool parked_below (sim_t *sim, uint32_t a, uint32_t partition, uint64_t offset)
{
    for (uint64_t o = 0; o < offset && o < sim->model->tail; o++)
        if (sim->model->log[o].partition == partition &&
            sim_model_duty (sim, a, o)->status == STATUS_PARKED)
            return true;
    return false;
}

static uint64_t reason_hash (bn_text_t reason)
{
    return reason.size ? bn_hash (reason.text, reason.size) : 0;
}

static void apply_park (sim_t *sim, uint32_t a, const bn_settlement_t *settlement,
                        const bn_parked_t *park)
{
    sim_duty_t *duty = sim_model_duty (sim, a, park->offset);
    /*  Set aside behind an elder, it made no attempt: the last one is that which was charged.  */
    bool aside =
        duty->status != STATUS_PARKED && !park->reason.size && park->attempts == duty->attempts;
    if (!aside)
        duty->reason = reason_hash (park->reason);
    settle_one (sim, a, park->offset, STATUS_PARKED, settlement->generation);
    duty->attempts = park->attempts;
}

static void apply_settlement (sim_t *sim, uint32_t a, const bn_settlement_t *settlement,
                              uint64_t base)
{
    sim_share_t *share = &sim->model->actors[a].shares[settlement->partition];
    for (uint64_t o = share->floor; o < settlement->floor && o < sim->model->tail; o++) {
        if (sim->model->log[o].partition != settlement->partition || !sim_model_wants (sim, a, o) ||
            named (settlement, o))
            continue;
        if (sim_model_duty (sim, a, o)->status == STATUS_NONE)
            settle_one (sim, a, o, STATUS_SETTLED, settlement->generation);
    }
    for (uint32_t i = 0; i < settlement->done_count; i++)
        settle_one (sim, a, settlement->dones[i], STATUS_SETTLED, settlement->generation);
    for (uint32_t i = 0; i < settlement->park_count; i++)
        apply_park (sim, a, settlement, &settlement->parks[i]);
    bury (sim, a, settlement, base);
    if (settlement->floor > share->floor)
        share->floor = settlement->floor;
    if (settlement->release)
        *share->owner = '\0';
    if (settlement->release || (share->begun != BN_NO_OFFSET && share->begun < share->floor &&
                                sim_model_duty (sim, a, share->begun)->status != STATUS_PARKED))
        share->begun = BN_NO_OFFSET;
    if (share->careful && share->begun == BN_NO_OFFSET && share->floor >= share->careful &&
        !parked_below (sim, a, settlement->partition, share->careful))
        share->careful = 0;
}

static void apply_settle (sim_t *sim, const bn_settle_record_t *record, uint64_t base,
                          uint32_t count)
{
    uint32_t a = sim_model_actor (sim, record->actor_id);
    if (a == SIM_ACTORS_MAX) {
        sim_fail (sim, "a settle of an actor that is not registered");
        return;
    }
    bool checking = sim->model->checking;
    for (uint32_t i = 0; checking && i < record->settlement_count && !sim->failed; i++)
        sim_oracle_settlement (sim, a, record, &record->settlements[i], base);
    if (checking)
        sim_oracle_emissions (sim, a, record, base, count);
    for (uint32_t i = 0; i < record->settlement_count && !sim->failed; i++)
        apply_settlement (sim, a, &record->settlements[i], base);
    sim_actor_t *actor = &sim->model->actors[a];
    for (uint32_t i = 0; checking && i < record->settlement_count; i++)
        if (record->settlements[i].park_count > 0 &&
            actor->shares[record->settlements[i].partition].parked >
                sim->config.conductor.parked_max)
            sim_fail (sim, "G7: %u events of %s are parked, at most %u may be",
                      actor->shares[record->settlements[i].partition].parked,
                      sim->config.actors[a].name, sim->config.conductor.parked_max);
    if (checking && actor->dead > sim->config.conductor.dead_max)
        sim_fail (sim, "G7: %s has %u dead letters, at most %u may be", sim->config.actors[a].name,
                  actor->dead, sim->config.conductor.dead_max);
}

static void apply_suspect (sim_t *sim, const bn_suspect_record_t *record, uint64_t sequence)
{
    uint32_t a = sim_model_actor (sim, record->actor_id);
    for (uint32_t i = 0; a < SIM_ACTORS_MAX && i < record->suspicion_count; i++) {
        const bn_suspicion_t *suspicion = &record->suspicions[i];
        sim_share_t *share = &sim->model->actors[a].shares[suspicion->partition];
        if (sim->model->checking)
            sim_oracle_suspicion (sim, a, suspicion);
        if (suspicion->careful_until > share->careful) {
            share->careful = suspicion->careful_until;
            share->suspected = sequence;
        }
        share->begun = BN_NO_OFFSET;
        if (suspicion->charged == BN_NO_OFFSET)
            continue;
        sim_duty_t *duty = sim_model_duty (sim, a, suspicion->charged);
        duty->attempts++;
        duty->reason = reason_hash (suspicion->reason);
    }
}

static void apply_dead (sim_t *sim, const bn_dead_record_t *record, bool redrive, uint64_t sequence)
{
    sim_model_t *model = sim->model;
    uint32_t a = sim_model_actor (sim, record->actor_id);
    for (uint32_t i = 0; a < SIM_ACTORS_MAX && i < record->dead_count; i++) {
        sim_grave_t *grave = NULL;
        for (size_t g = 0; g < model->grave_count; g++)
            if (model->graves[g].actor == a && model->graves[g].open &&
                model->graves[g].dead_offset == record->dead_offsets[i])
                grave = &model->graves[g];
        if (!grave) {
            sim_fail (sim, "a dead letter is taken that is not there: %" PRIu64,
                      record->dead_offsets[i]);
            return;
        }
        grave->open = false;
        model->actors[a].dead--;
        if (!redrive)
            continue;
        settle_one (sim, a, grave->offset, STATUS_PARKED, 0);
        sim_duty_t *duty = sim_model_duty (sim, a, grave->offset);
        duty->attempts = 0;
        duty->reason = 0;
        duty->redriven = sequence;
    }
}

static void apply (sim_t *sim, const bn_record_t *record, const sim_record_t *raw,
                   uint64_t sequence)
{
    uint32_t a;
    switch (record->type) {
    case BN_RECORD_REGISTER:
        apply_register (sim, &record->registration);
        break;
    case BN_RECORD_PUBLISH:
        add_events (sim, record->publish.sections, record->publish.section_count);
        break;
    case BN_RECORD_SETTLE:
        add_events (sim, record->settle.sections, record->settle.section_count);
        if (!sim->failed)
            apply_settle (sim, &record->settle, raw->base, raw->count);
        break;
    case BN_RECORD_ASSIGN:
        apply_assign (sim, &record->assign, sequence);
        break;
    case BN_RECORD_BEGIN:
        a = sim_model_actor (sim, record->begin.actor_id);
        if (a < SIM_ACTORS_MAX)
            sim->model->actors[a].shares[record->begin.partition].begun = record->begin.offset;
        break;
    case BN_RECORD_SUSPECT:
        apply_suspect (sim, &record->suspect, sequence);
        break;
    case BN_RECORD_REDRIVE:
    case BN_RECORD_DISCARD:
        apply_dead (sim, &record->dead, record->type == BN_RECORD_REDRIVE, sequence);
        break;
    case BN_RECORD_FORGET:
        apply_forget (sim, record->forget);
        break;
    case BN_RECORD_GENESIS:
    case BN_RECORD_LOST:
        break;
    }
}

static void fold (sim_t *sim, uint64_t sequence)
{
    const sim_record_t *raw = &sim->model->records[sequence - 1];
    bn_record_t record;
    char what[256] = "";
    if (bn_record_decode (&record, raw->type, raw->base, raw->body->data, raw->body->size, what)) {
        sim_fail (sim, "record %" PRIu64 " cannot be read: %s", sequence, what);
        return;
    }
    apply (sim, &record, raw, sequence);
    if (!sim->failed && sim->model->tail != raw->base + raw->count)
        sim_fail (sim, "record %" PRIu64 " holds other events than it says", sequence);
    if (sim->server.shadow && sim->model->checking && !sim->failed &&
        bn_state_apply (sim->server.shadow, &record, sequence, raw->base, raw->count, raw->time_us,
                        what))
        sim_fail (sim, "record %" PRIu64 " does not fit the state that it came from: %s", sequence,
                  what);
    bn_record_fini (&record);
}

void sim_model_record (sim_t *sim, const bn_effect_t *effect, uint64_t sequence)
{
    sim_model_t *model = sim->model;
    bn_assert (sequence == model->record_count + 1);
    GROW (model->records, model->record_count, model->record_capacity);
    model->records[model->record_count++] = (sim_record_t){.type = effect->record_type,
                                                           .base = effect->base,
                                                           .count = effect->count,
                                                           .time_us = effect->time_us,
                                                           .body = bn_blob_ref (effect->body)};
    sim->stats.records++;
    sim->stats.settles += effect->record_type == BN_RECORD_SETTLE;
    if (!sim->failed)
        fold (sim, sequence);
}

/*  What only the lost records said is no longer so: calls were made for nothing, receipts too, and
 *  offsets and generations are given out again.  */
void sim_model_lost (sim_t *sim, uint64_t count)
{
    sim_model_t *model = sim->model;
    uint64_t tail = model->records[count].base;
    sim->stats.lost += model->visible - count;
    sim_say (sim, "lost: records from %" PRIu64 ", events from %" PRIu64, count + 1, tail);
    model->visible = count;
    model->durable_tail = tail;
    for (uint64_t serial = 0; serial < model->serials; serial++)
        if (model->offset_of[serial] > tail)
            model->published[serial] |= PUBLISHED_LOST;
    for (uint32_t a = 0; a < SIM_ACTORS_MAX; a++) {
        model->actors[a].epoch++;
        for (uint64_t o = tail; o < model->actors[a].duty_capacity; o++)
            model->actors[a].duties[o].call = 0;
    }
    sim_watcher_lost (sim, tail);
    /*  An old settle, repeated, could be one of a new generation.  */
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++)
        sim_message_fini (&sim->processes[slot].said);
}

void sim_model_rewind (sim_t *sim, uint64_t count)
{
    sim_model_t *model = sim->model;
    for (uint64_t i = count; i < model->record_count; i++)
        bn_blob_unref (&model->records[i].body);
    bool same = count == model->record_count;
    model->record_count = count;
    bn_state_destroy (&sim->server.shadow);
    sim->server.shadow = sim_must (bn_state_new (100));
    for (uint64_t i = 0; i < count && !sim->failed; i++) {
        const sim_record_t *raw = &model->records[i];
        bn_record_t record;
        char what[256] = "";
        if (bn_record_decode (&record, raw->type, raw->base, raw->body->data, raw->body->size,
                              what) ||
            bn_state_apply (sim->server.shadow, &record, i + 1, raw->base, raw->count, raw->time_us,
                            what))
            sim_fail (sim, "record %" PRIu64 " cannot be applied again: %s", i + 1, what);
        bn_record_fini (&record);
    }
    if (same)
        return;
    forget_shares (model);
    model->tail = 0;
    model->grave_count = 0;
    if (model->offset_of)
        memset (model->offset_of, 0, model->published_capacity * sizeof *model->offset_of);
    for (uint32_t a = 0; a < SIM_ACTORS_MAX; a++)
        for (size_t o = 0; o < model->actors[a].duty_capacity; o++)
            model->actors[a].duties[o] = (sim_duty_t){.call = model->actors[a].duties[o].call};
    model->checking = false;
    for (uint64_t i = 0; i < count && !sim->failed; i++)
        fold (sim, i + 1);
    model->checking = true;
}
