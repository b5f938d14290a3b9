/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_explain.c - EXPLAIN: what an event, or a key, is to an actor at this moment.
 *
 *  DESIGN. The conductor has no events, so whoever asks says where the event is (it has read it)
 *  and what its key is; the answer says what the journal's records have made of it: nothing is
 *  changed, nothing is read. It costs a walk over what is parked in the partition and over the
 *  actor's dead letters, both bounded (parked_max, dead_max): it is for a person who asks why.
 *
 *  An event below the floor that is neither parked nor dead is settled as far as the state goes: it
 *  does not remember what was discarded, or what lay before the actor's start.  */
#include "base/hash.h"
#include "core/conductor_internal.h"

/*  Milliseconds from now; what is due already: 0.  */
static uint64_t ahead (const bn_conductor_t *self, uint64_t wall_ms)
{
    uint64_t now_ms = bn_conductor_wall_ms (self);
    return wall_ms > now_ms ? wall_ms - now_ms : 0;
}

static const bn_dead_state_t *find_dead (const bn_actor_state_t *actor, uint64_t offset)
{
    if (!bn_map_get_u64 (actor->held, offset))
        return NULL;
    for (bn_map_node_t *node = bn_map_first (actor->dead); node; node = bn_map_next (node)) {
        const bn_dead_state_t *dead = bn_map_value (node);
        if (dead->letter.offset == offset)
            return dead;
    }
    return NULL;
}

static void explain_event (const bn_conductor_t *self, const bn_actor_state_t *actor,
                           const bn_explain_t *explain, bn_explained_t *explained)
{
    const bn_actor_partition_t *partition = &actor->partitions[explain->partition];
    const bn_parked_t *parked = bn_map_get_u64 (partition->parked, explain->offset);
    const bn_dead_state_t *dead = parked ? NULL : find_dead (actor, explain->offset);
    if (parked) {
        explained->state = BN_EVENT_PARKED;
        explained->attempts = parked->attempts;
        explained->due_ms = ahead (self, parked->due_ms);
        explained->reason = parked->reason;
    } else if (dead) {
        explained->state = BN_EVENT_DEAD;
        explained->attempts = dead->letter.attempts;
        explained->dead_offset = dead->letter.dead_offset;
        explained->died_us = dead->letter.time_us;
    } else if (explain->offset >= partition->floor) {
        const bn_charged_t *charged = bn_map_get_u64 (partition->charged, explain->offset);
        explained->state = BN_EVENT_READY;
        if (charged) {
            explained->attempts = charged->attempts;
            explained->reason = charged->reason;
        }
    } else
        explained->state = BN_EVENT_SETTLED;
}

/*  What of the key is parked or dead, as far as it fits into one answer. false: no memory.  */
static bool explain_key (const bn_conductor_t *self, const bn_actor_state_t *actor,
                         const bn_explain_t *explain, bn_explained_t *explained)
{
    const bn_actor_partition_t *partition = &actor->partitions[explain->partition];
    if (explain->key.size == 0)
        return true;
    uint64_t key_hash = bn_hash (explain->key.text, explain->key.size);
    explained->waiting = calloc (BN_EXPLAINED_MAX, sizeof *explained->waiting);
    explained->letters = calloc (BN_EXPLAINED_MAX, sizeof *explained->letters);
    if (!explained->waiting || !explained->letters)
        return false;
    bn_map_node_t *node;
    for (node = bn_map_first (partition->parked); node; node = bn_map_next (node)) {
        const bn_parked_t *parked = bn_map_value (node);
        if (parked->key_hash != key_hash)
            continue;
        if (explained->elder == BN_NO_OFFSET && parked->offset < explain->offset)
            explained->elder = parked->offset;
        if (explained->waiting_count == BN_EXPLAINED_MAX) {
            explained->more = true;
            break;
        }
        bn_parked_t *waiting = &explained->waiting[explained->waiting_count++];
        *waiting = *parked;
        waiting->due_ms = ahead (self, parked->due_ms);
    }
    for (node = bn_map_first (actor->dead); node; node = bn_map_next (node)) {
        const bn_dead_state_t *dead = bn_map_value (node);
        if (dead->key_hash != key_hash || dead->letter.partition != explain->partition)
            continue;
        if (explained->letter_count == BN_EXPLAINED_MAX) {
            explained->more = true;
            break;
        }
        explained->letters[explained->letter_count++] = dead->letter;
    }
    return true;
}

static void explain_partition (bn_conductor_t *self, const bn_actor_state_t *actor, uint32_t index,
                               bn_explained_t *explained)
{
    const bn_actor_partition_t *partition = &actor->partitions[index];
    const bn_actor_live_t *live = bn_map_get_u64 (self->live, actor->id);
    const bn_instance_t *owner = live ? live->owners[index] : NULL;
    explained->floor = partition->floor;
    explained->head = partition->head;
    explained->ready = partition->pending;
    explained->exact = partition->exact;
    explained->parked = (uint32_t)bn_map_count (partition->parked);
    explained->parked_max = self->options.parked_max;
    explained->careful_until = partition->careful_until;
    explained->begun = partition->begun;
    explained->generation = partition->generation;
    if (!owner)
        return;
    explained->instance = (bn_text_t){owner->name, strlen (owner->name)};
    explained->connected = owner->session != NULL;
    explained->revoked = live->revoked[index];
    explained->in_flight = owner->in_flight;
}

void bn_conductor_explain (bn_conductor_t *self, const bn_explain_t *explain)
{
    bn_actor_state_t *actor =
        bn_map_get (self->state->actors, explain->actor.text, explain->actor.size);
    if (!actor) {
        bn_conductor_refuse (self, BATON_ERR_NOT_FOUND, 0, "there is no actor %.*s",
                             (int)explain->actor.size, explain->actor.text);
        return;
    }
    if (explain->partition >= self->state->partitions) {
        bn_conductor_refuse (self, BATON_ERR_PARTITION, explain->partition,
                             "EXPLAIN: partition %" PRIu32 " does not exist", explain->partition);
        return;
    }
    if (explain->offset != BN_NO_OFFSET && explain->offset >= self->state->tail) {
        bn_conductor_refuse (self, BATON_ERR_OFFSET, explain->partition,
                             "EXPLAIN: offset %" PRIu64 " is past the end of the journal, %" PRIu64,
                             explain->offset, self->state->tail);
        return;
    }
    bn_message_t reply = {.type = BN_EXPLAINED,
                          .explained = {.elder = BN_NO_OFFSET, .dead_offset = BN_NO_OFFSET}};
    if (explain->offset != BN_NO_OFFSET)
        explain_event (self, actor, explain, &reply.explained);
    explain_partition (self, actor, explain->partition, &reply.explained);
    if (explain_key (self, actor, explain, &reply.explained))
        bn_conductor_reply (self, &reply);
    else
        self->effects->failed = true;
    free (reply.explained.waiting);
    free (reply.explained.letters);
}
