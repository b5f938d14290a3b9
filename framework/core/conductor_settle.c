/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_settle.c - SETTLE and BEGIN.
 *
 *  DESIGN. A settle is all or nothing (G5): every settlement and section is checked first, then it
 *  is one record. What a settlement may say follows from its partition as the state has it:
 *
 *        parked here: may be updated, done, or dead      floor          new floor        head
 *    ────────────────────────────────────────────────────┼──────────────┼────────────────┼──
 *                                                         parks and died new: only in here
 *
 *  A settlement that changes nothing is refused with OFFSET: it is a repeat, and what it emits must
 *  not be appended a second time.  */
#include "base/plant.h"
#include "core/conductor_internal.h"

bool bn_conductor_check_owner (bn_conductor_t *self, const bn_instance_t *instance,
                               uint32_t partition, uint64_t generation)
{
    if (partition >= self->state->partitions)
        return bn_conductor_refuse (self, BATON_ERR_PARTITION, partition,
                                    "partition %" PRIu32 " does not exist; there are %" PRIu32,
                                    partition, self->state->partitions);
    uint64_t current = instance->actor->state->partitions[partition].generation;
    if (BN_PLANT (stale_generation_accepted) && generation < current)
        return true;
    if (generation < current)
        return bn_conductor_refuse (self, BATON_ERR_FENCED, partition,
                                    "partition %" PRIu32 ": generation %" PRIu64
                                    " is over, the current one is %" PRIu64,
                                    partition, generation, current);
    if (generation > current || !bn_conductor_owns (instance, partition))
        return bn_conductor_refuse (self, BATON_ERR_NOT_OWNER, partition,
                                    "partition %" PRIu32 " is not assigned to %s in generation "
                                    "%" PRIu64,
                                    partition, instance->name, generation);
    return true;
}

/*  ---- one settlement ---- */

typedef struct {
    bn_conductor_t *conductor;
    const bn_actor_state_t *actor;
    const bn_actor_partition_t *partition;
    const bn_settlement_t *settlement;
    uint32_t parks_new;
    uint32_t unparked; /* dones, and died ones that were parked */
} check_t;

static bool refuse_offset (const check_t *self, uint64_t offset, const char *what)
{
    return bn_conductor_refuse (self->conductor, BATON_ERR_OFFSET, self->settlement->partition,
                                "partition %" PRIu32 ": offset %" PRIu64 " %s",
                                self->settlement->partition, offset, what);
}

static bool is_parked (const check_t *self, uint64_t offset)
{
    return bn_map_get_u64 (self->partition->parked, offset) != NULL;
}

static bool is_held (const check_t *self, uint64_t offset)
{
    return bn_map_get_u64 (self->actor->held, offset) != NULL;
}

static bool in_main_line (const check_t *self, uint64_t offset)
{
    return offset >= self->partition->floor && offset < self->settlement->floor &&
           offset < self->partition->head;
}

static bool check_parks (check_t *self)
{
    const bn_settlement_t *settlement = self->settlement;
    for (uint32_t index = 0; index < settlement->park_count; index++) {
        const bn_parked_t *park = &settlement->parks[index];
        bool known = is_parked (self, park->offset);
        if (!known && !in_main_line (self, park->offset))
            return refuse_offset (self, park->offset,
                                  "is parked, but it is neither parked already nor between the "
                                  "old floor and the new one");
        if (!known && is_held (self, park->offset))
            return refuse_offset (self, park->offset, "is parked or dead in another partition");
        if (park->attempts > self->actor->policy.max_attempts)
            return bn_conductor_refuse (self->conductor, BATON_ERR_ARGUMENT, settlement->partition,
                                        "partition %" PRIu32 ": offset %" PRIu64 " has %" PRIu32
                                        " attempts, at most %" PRIu32 " are allowed",
                                        settlement->partition, park->offset, park->attempts,
                                        self->actor->policy.max_attempts);
        self->parks_new += known ? 0 : 1;
    }
    return true;
}

static bool check_dones_and_died (check_t *self)
{
    const bn_settlement_t *settlement = self->settlement;
    for (uint32_t index = 0; index < settlement->done_count; index++)
        if (!is_parked (self, settlement->dones[index]))
            return refuse_offset (self, settlement->dones[index],
                                  "is settled by name, but it is not parked (any more)");
    self->unparked = settlement->done_count;
    for (uint32_t index = 0; index < settlement->died_count; index++) {
        uint64_t offset = settlement->died[index].offset;
        if (is_parked (self, offset))
            self->unparked++;
        else if (!in_main_line (self, offset))
            return refuse_offset (self, offset,
                                  "is given up, but it is neither parked nor between the old floor "
                                  "and the new one");
        else if (is_held (self, offset))
            return refuse_offset (self, offset, "is parked or dead in another partition");
    }
    return true;
}

static bool check_bounds (const check_t *self)
{
    const bn_settlement_t *settlement = self->settlement;
    size_t parked = bn_map_count (self->partition->parked) + self->parks_new - self->unparked;
    if (self->parks_new && parked > self->conductor->options.parked_max &&
        !BN_PLANT (parked_unbounded))
        return bn_conductor_refuse (self->conductor, BATON_ERR_LIMIT, settlement->partition,
                                    "partition %" PRIu32 ": %zu events would be parked, at most "
                                    "%" PRIu32 " may be (parked_max)",
                                    settlement->partition, parked,
                                    self->conductor->options.parked_max);
    return true;
}

static bool check_floor (bn_conductor_t *self, const bn_instance_t *instance,
                         const bn_actor_partition_t *partition, const bn_settlement_t *settlement)
{
    if (settlement->floor < partition->floor)
        return bn_conductor_refuse (self, BATON_ERR_OFFSET, settlement->partition,
                                    "partition %" PRIu32 ": the floor is at %" PRIu64
                                    " already and does not go back to %" PRIu64,
                                    settlement->partition, partition->floor, settlement->floor);
    if (settlement->floor > self->state->tail)
        return bn_conductor_refuse (self, BATON_ERR_OFFSET, settlement->partition,
                                    "partition %" PRIu32 ": floor %" PRIu64
                                    " is past the end of the journal, %" PRIu64,
                                    settlement->partition, settlement->floor, self->state->tail);
    if (instance->stale && settlement->floor > instance->floor_max &&
        settlement->floor > partition->floor && !BN_PLANT (stale_not_stopped))
        return bn_conductor_refuse (self, BATON_ERR_FENCED, settlement->partition,
                                    "partition %" PRIu32 ": the actor has other patterns since "
                                    "offset %" PRIu64 "; restart this instance",
                                    settlement->partition, instance->floor_max);
    if (settlement->floor == partition->floor && settlement->park_count == 0 &&
        settlement->done_count == 0 && settlement->died_count == 0 && !settlement->release)
        return bn_conductor_refuse (self, BATON_ERR_OFFSET, settlement->partition,
                                    "partition %" PRIu32 ": nothing new, all below %" PRIu64
                                    " is settled already",
                                    settlement->partition, settlement->floor);
    if (settlement->handled > settlement->floor - partition->floor)
        return bn_conductor_refuse (self, BATON_ERR_OFFSET, settlement->partition,
                                    "partition %" PRIu32 ": %" PRIu32
                                    " events handled between the floors %" PRIu64 " and %" PRIu64,
                                    settlement->partition, settlement->handled, partition->floor,
                                    settlement->floor);
    return true;
}

static bool check_settlement (bn_conductor_t *self, const bn_instance_t *instance,
                              bn_settlement_t *settlement)
{
    if (!bn_conductor_check_owner (self, instance, settlement->partition, settlement->generation))
        return false;
    const bn_actor_state_t *actor = instance->actor->state;
    const bn_actor_partition_t *partition = &actor->partitions[settlement->partition];
    /*  New patterns moved the floor of a partition that had caught up, and the instance has not
     *  heard of it: it has nothing unsettled there.  */
    if (instance->stale && settlement->floor < partition->floor)
        settlement->floor = partition->floor;
    check_t check = {
        .conductor = self, .actor = actor, .partition = partition, .settlement = settlement};
    return check_floor (self, instance, partition, settlement) && check_parks (&check) &&
           check_dones_and_died (&check) && check_bounds (&check);
}

/*  ---- the whole ---- */

static int by_offset (const void *left_p, const void *right_p)
{
    uint64_t left = *(const uint64_t *)left_p;
    uint64_t right = *(const uint64_t *)right_p;
    return left < right ? -1 : left > right;
}

/*  No offset is named twice in a request (S3).  */
static bool check_once (bn_conductor_t *self, const bn_settle_t *settle)
{
    size_t count = 0;
    for (uint32_t index = 0; index < settle->settlement_count; index++) {
        const bn_settlement_t *settlement = &settle->settlements[index];
        count += (size_t)settlement->park_count + settlement->done_count + settlement->died_count;
    }
    if (count < 2)
        return true;
    uint64_t *offsets = malloc (count * sizeof *offsets);
    if (!offsets) {
        self->effects->failed = true;
        return false;
    }
    size_t at = 0;
    for (uint32_t index = 0; index < settle->settlement_count; index++) {
        const bn_settlement_t *settlement = &settle->settlements[index];
        for (uint32_t each = 0; each < settlement->park_count; each++)
            offsets[at++] = settlement->parks[each].offset;
        for (uint32_t each = 0; each < settlement->done_count; each++)
            offsets[at++] = settlement->dones[each];
        for (uint32_t each = 0; each < settlement->died_count; each++)
            offsets[at++] = settlement->died[each].offset;
    }
    qsort (offsets, count, sizeof *offsets, by_offset);
    bool ok = true;
    for (at = 1; ok && at < count; at++)
        if (offsets[at] == offsets[at - 1])
            ok = bn_conductor_refuse (self, BATON_ERR_OFFSET, settle->settlements[0].partition,
                                      "offset %" PRIu64 " is named twice", offsets[at]);
    free (offsets);
    return ok;
}

/*  As many copies of dead letters as there are dead letters; room for them.  */
static bool check_dead (bn_conductor_t *self, const bn_actor_state_t *actor,
                        const bn_settle_t *settle)
{
    uint64_t died[BN_PARTITIONS_MAX] = {0};
    uint64_t all = 0;
    for (uint32_t index = 0; index < settle->settlement_count; index++) {
        const bn_settlement_t *settlement = &settle->settlements[index];
        died[settlement->partition] = settlement->died_count;
        all += settlement->died_count;
    }
    if (all && bn_map_count (actor->dead) + all > self->options.dead_max &&
        !BN_PLANT (dead_unbounded))
        return bn_conductor_refuse (self, BATON_ERR_LIMIT, 0,
                                    "actor %s has %zu dead letters, at most %" PRIu32
                                    " may be (dead_max): redrive or discard some",
                                    actor->name, bn_map_count (actor->dead),
                                    self->options.dead_max);
    for (uint32_t index = 0; index < settle->section_count; index++) {
        const bn_section_t *section = &settle->sections[index];
        if (!bn_conductor_is_dead_topic (&section->topic, actor))
            continue;
        if (section->count > died[section->partition])
            return bn_conductor_refuse (self, BATON_ERR_ARGUMENT, section->partition,
                                        "section %" PRIu32 " (topic %.*s, partition %" PRIu32
                                        ") has more events than the settlement has dead letters",
                                        index, (int)section->topic.size, section->topic.text,
                                        section->partition);
        died[section->partition] -= section->count;
    }
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        if (died[partition])
            return bn_conductor_refuse (self, BATON_ERR_ARGUMENT, partition,
                                        "partition %" PRIu32 ": %" PRIu64
                                        " dead letters have no copy in $dead.%s",
                                        partition, died[partition], actor->name);
    return true;
}

/*  Emissions are what handled events emitted: something must have been handled.  */
static bool check_emissions (bn_conductor_t *self, const bn_actor_state_t *actor,
                             const bn_settle_t *settle)
{
    bool handled = settle->section_count == 0;
    for (uint32_t index = 0; !handled && index < settle->settlement_count; index++) {
        const bn_settlement_t *settlement = &settle->settlements[index];
        handled = settlement->floor > actor->partitions[settlement->partition].floor ||
                  settlement->done_count || settlement->died_count;
    }
    if (!handled)
        return bn_conductor_refuse (self, BATON_ERR_OFFSET, settle->settlements[0].partition,
                                    "it emits events and settles none");
    return true;
}

/*  Times from now become times of day, which mean something after a restart.  */
static void due_times (bn_conductor_t *self, bn_settle_t *settle)
{
    uint64_t now = bn_conductor_wall_ms (self);
    for (uint32_t index = 0; index < settle->settlement_count; index++) {
        bn_settlement_t *settlement = &settle->settlements[index];
        for (uint32_t park = 0; park < settlement->park_count; park++) {
            uint64_t ms = settlement->parks[park].due_ms;
            settlement->parks[park].due_ms = now + (ms < BN_PARK_MS_MAX ? ms : BN_PARK_MS_MAX);
        }
    }
}

/*  What was released goes to others, and so does what an instance with older patterns has drained.
 */
static void pass_on (bn_conductor_t *self, bn_instance_t *instance, const bn_settle_t *settle)
{
    const bn_actor_state_t *actor = instance->actor->state;
    bool any = false;
    for (uint32_t index = 0; index < settle->settlement_count; index++) {
        const bn_settlement_t *settlement = &settle->settlements[index];
        if (settlement->release)
            bn_assignment_free (instance->actor, settlement->partition, instance);
        any = any || settlement->release ||
              (instance->stale && !bn_state_drains (&actor->partitions[settlement->partition]));
    }
    if (any && bn_assignment_balance (self, instance->actor))
        bn_conductor_push (self, instance->actor);
}

void bn_conductor_settle (bn_conductor_t *self, bn_session_t *session, bn_settle_t *settle)
{
    bn_instance_t *instance = session->instance;
    const bn_actor_state_t *actor = instance->actor->state;
    if (!check_once (self, settle))
        return;
    for (uint32_t index = 0; index < settle->settlement_count; index++)
        if (!check_settlement (self, instance, &settle->settlements[index]))
            return;
    uint32_t events = 0;
    if (!bn_conductor_check_sections (self, settle->sections, settle->section_count, actor,
                                      &events) ||
        !check_dead (self, actor, settle) || !check_emissions (self, actor, settle))
        return;
    due_times (self, settle);
    bn_record_t record = {.type = BN_RECORD_SETTLE,
                          .settle = {.actor_id = actor->id,
                                     .settlements = settle->settlements,
                                     .settlement_count = settle->settlement_count,
                                     .sections = settle->sections,
                                     .section_count = settle->section_count}};
    bn_message_t reply = {
        .type = BN_SETTLED,
        .settled = {.base = events ? self->state->tail : BN_NO_OFFSET, .count = events}};
    bn_blob_t *body = bn_conductor_persist (self, &record, events);
    if (!body)
        return;
    bool applied = bn_conductor_apply_events (self, &record, events, body, settle->sections,
                                              settle->section_count);
    bn_conductor_reply (self, &reply);
    if (applied)
        pass_on (self, instance, settle);
}

/*  ---- BEGIN ---- */

void bn_conductor_begin (bn_conductor_t *self, bn_session_t *session, const bn_begin_t *begin)
{
    const bn_instance_t *instance = session->instance;
    if (!bn_conductor_check_owner (self, instance, begin->partition, begin->generation))
        return;
    const bn_actor_partition_t *partition = &instance->actor->state->partitions[begin->partition];
    bool unsettled = bn_map_get_u64 (partition->parked, begin->offset) ||
                     (begin->offset >= partition->floor && begin->offset < partition->head);
    if (!unsettled) {
        bn_conductor_refuse (self, BATON_ERR_OFFSET, begin->partition,
                             "BEGIN: partition %" PRIu32 ": offset %" PRIu64
                             " is settled already, or not there yet",
                             begin->partition, begin->offset);
        return;
    }
    bn_record_t record = {.type = BN_RECORD_BEGIN,
                          .begin = {.actor_id = instance->actor->state->id,
                                    .partition = begin->partition,
                                    .generation = begin->generation,
                                    .offset = begin->offset}};
    if (partition->begun != begin->offset && !BN_PLANT (begin_not_journaled) &&
        !bn_conductor_commit (self, &record))
        return;
    bn_message_t reply = {.type = BN_BEGUN};
    bn_conductor_reply (self, &reply);
}
