/* SPDX-License-Identifier: MPL-2.0 */

/*  state_bridge.c - makes the state fit a record that comes after lost ones.
 *
 *  DESIGN. The fold (state_apply.c) refuses what does not continue the state, and that strictness
 *  is worth keeping. So where salvage left holes, the state is brought to where the record proves
 *  that it was: a settlement in generation 7 proves that generation 7 was assigned, a parked event
 *  that is done proves that it was parked. Then the fold applies it as ever.
 *
 *  INVARIANT B1: no floor is moved here, and nothing is taken from the parked ones but what the
 *  record itself holds elsewhere: what was not settled for sure is handled again (G2).  */
#include "core/state_internal.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  The actor, with a name that nobody can have if its registration is lost. NULL: no memory.  */
static bn_actor_state_t *ensure_actor (bn_state_t *self, uint32_t id)
{
    bn_actor_state_t *actor = bn_map_get_u64 (self->actors_by_id, id);
    char name[BATON_NAME_BYTES_MAX + 1];
    if (actor)
        return actor;
    int size = snprintf (name, sizeof name, BN_STATE_UNNAMED "%" PRIu32, id);
    if (id > self->actor_id_last)
        self->actor_id_last = id;
    return bn_state_actor_new (self, id, name, (size_t)size);
}

/*  An actor whose registration is lost gets its name.  */
static bool give_name (bn_state_t *self, bn_actor_state_t *actor, const char *name, size_t size)
{
    bn_actor_state_t *namesake = bn_map_get (self->actors, name, size);
    if (namesake == actor)
        return true;
    /*  That one was forgotten, and that is lost.  */
    if (namesake)
        bn_state_actor_remove (self, namesake);
    if (!bn_map_put (self->actors, name, size, actor, NULL))
        return false;
    bn_map_remove_str (self->actors, actor->name);
    memset (actor->name, 0, sizeof actor->name);
    memcpy (actor->name, name, size);
    return true;
}

/*  Parks what must have been parked, so that it can be taken out again.  */
static baton_err_t ensure_parked (bn_actor_state_t *actor, uint32_t partition, uint64_t offset)
{
    if (bn_map_get_u64 (actor->partitions[partition].parked, offset))
        return BATON_OK;
    /*  Held elsewhere: dead (a redrive is lost) or parked in another partition (it cannot be).  */
    if (bn_map_get_u64 (actor->held, offset)) {
        for (bn_map_node_t *node = bn_map_first (actor->dead); node; node = bn_map_next (node)) {
            bn_dead_state_t *dead = bn_map_value (node);
            if (dead->letter.offset != offset)
                continue;
            free (bn_state_exhume (actor, dead->letter.dead_offset));
            break;
        }
    }
    baton_err_t err = bn_state_park (actor, partition, &(bn_parked_t){.offset = offset});
    return err == BATON_ERR_ROT ? BATON_OK : err; /* the fold will say so */
}

static baton_err_t bridge_settlement (bn_actor_state_t *actor, const bn_settlement_t *settlement)
{
    bn_actor_partition_t *partition = &actor->partitions[settlement->partition];
    baton_err_t err = BATON_OK;
    if (settlement->generation > partition->generation)
        partition->generation = settlement->generation;
    for (uint32_t i = 0; i < settlement->park_count && !err; i++)
        if (settlement->parks[i].offset < partition->floor)
            err = ensure_parked (actor, settlement->partition, settlement->parks[i].offset);
    for (uint32_t i = 0; i < settlement->done_count && !err; i++)
        err = ensure_parked (actor, settlement->partition, settlement->dones[i]);
    for (uint32_t i = 0; i < settlement->died_count && !err; i++)
        if (settlement->died[i].offset < partition->floor)
            err = ensure_parked (actor, settlement->partition, settlement->died[i].offset);
    return err;
}

static baton_err_t bridge_settle (bn_state_t *self, const bn_settle_record_t *record)
{
    bn_actor_state_t *actor = ensure_actor (self, record->actor_id);
    baton_err_t err = actor ? BATON_OK : BATON_ERR_MEMORY;
    for (uint32_t i = 0; i < record->settlement_count && !err; i++)
        if (record->settlements[i].partition < self->partitions)
            err = bridge_settlement (actor, &record->settlements[i]);
    /*  Its dead letters tell its name.  */
    const size_t prefix = sizeof "$dead." - 1;
    for (uint32_t i = 0; i < record->section_count && !err && !actor->pattern_count; i++) {
        bn_text_t topic = record->sections[i].topic;
        if (topic.size > prefix && memcmp (topic.text, "$dead.", prefix) == 0 &&
            bn_actor_name_valid (topic.text + prefix, topic.size - prefix) &&
            !give_name (self, actor, topic.text + prefix, topic.size - prefix))
            err = BATON_ERR_MEMORY;
    }
    return err;
}

static baton_err_t bridge_suspect (bn_state_t *self, const bn_suspect_record_t *record)
{
    bn_actor_state_t *actor = ensure_actor (self, record->actor_id);
    baton_err_t err = actor ? BATON_OK : BATON_ERR_MEMORY;
    for (uint32_t i = 0; i < record->suspicion_count && !err; i++) {
        const bn_suspicion_t *suspicion = &record->suspicions[i];
        if (suspicion->partition >= self->partitions || suspicion->charged == BN_NO_OFFSET ||
            suspicion->charged >= actor->partitions[suspicion->partition].floor)
            continue;
        err = ensure_parked (actor, suspicion->partition, suspicion->charged);
    }
    return err;
}

/*  What is redriven or discarded was dead. Which event it was is lost: the offset of the copy
 *  stands for it, in partition 0.  */
static baton_err_t bridge_dead (bn_state_t *self, const bn_dead_record_t *record)
{
    bn_actor_state_t *actor = ensure_actor (self, record->actor_id);
    baton_err_t err = actor ? BATON_OK : BATON_ERR_MEMORY;
    for (uint32_t i = 0; i < record->dead_count && !err; i++) {
        uint64_t offset = record->dead_offsets[i];
        if (bn_map_get_u64 (actor->dead, offset) || bn_map_get_u64 (actor->held, offset))
            continue;
        bn_dead_state_t dead = {.letter = {.offset = offset, .dead_offset = offset}};
        err = bn_state_bury (actor, &dead);
    }
    return err;
}

static baton_err_t bridge_register (bn_state_t *self, const bn_register_record_t *record)
{
    bn_actor_state_t *actor = bn_map_get_u64 (self->actors_by_id, record->actor_id);
    bn_actor_state_t *namesake = bn_map_get (self->actors, record->name.text, record->name.size);
    if (actor && !actor->pattern_count) {
        if (!give_name (self, actor, record->name.text, record->name.size))
            return BATON_ERR_MEMORY;
        /*  It has read nothing of its topics as far as the state knows. Without this it would look
         *  as if it had caught up with them, and begin at the tail.  */
        for (uint32_t i = 0; i < self->partitions; i++)
            actor->partitions[i].head = self->tail;
    }
    if (!actor && namesake)
        bn_state_actor_remove (self, namesake);
    if (!actor && record->actor_id > self->actor_id_last)
        self->actor_id_last = record->actor_id - 1;
    return BATON_OK;
}

static baton_err_t bridge_publish (bn_state_t *self, const bn_publish_t *publish)
{
    bn_producer_state_t *producer = bn_state_producer_ensure (self, publish->producer_id);
    if (!producer)
        return BATON_ERR_MEMORY;
    if (publish->sequence > producer->sequence + 1)
        producer->sequence = publish->sequence - 1;
    return BATON_OK;
}

baton_err_t bn_state_bridge (bn_state_t *self, const bn_record_t *record)
{
    bn_actor_state_t *actor = NULL;
    switch (record->type) {
    case BN_RECORD_REGISTER:
        return bridge_register (self, &record->registration);
    case BN_RECORD_PUBLISH:
        return bridge_publish (self, &record->publish);
    case BN_RECORD_SETTLE:
        return bridge_settle (self, &record->settle);
    case BN_RECORD_ASSIGN:
        return ensure_actor (self, record->assign.actor_id) ? BATON_OK : BATON_ERR_MEMORY;
    case BN_RECORD_BEGIN:
        actor = ensure_actor (self, record->begin.actor_id);
        if (actor && record->begin.partition < self->partitions &&
            record->begin.generation > actor->partitions[record->begin.partition].generation)
            actor->partitions[record->begin.partition].generation = record->begin.generation;
        return actor ? BATON_OK : BATON_ERR_MEMORY;
    case BN_RECORD_SUSPECT:
        return bridge_suspect (self, &record->suspect);
    case BN_RECORD_REDRIVE:
    case BN_RECORD_DISCARD:
        return bridge_dead (self, &record->dead);
    case BN_RECORD_FORGET:
        return ensure_actor (self, record->forget) ? BATON_OK : BATON_ERR_MEMORY;
    default:
        return BATON_OK;
    }
}
