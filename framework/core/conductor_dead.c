/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_dead.c - dead letters: list, redrive, discard; and FORGET.
 *
 *  DESIGN. A redriven event is parked again at its own offset, due at once, with no attempts
 *  charged, in one record for all that were asked for. Where several of a key are redriven the
 *  parked set hands them out in offset order (G3). An owner knows the parked events of its
 *  partition from its assignment; so that it learns of new ones, the partition is revoked from it,
 *  and comes back (to the same one if that is even) in a new generation once it has settled what it
 *  had in hand.  */
#include "base/plant.h"
#include "core/conductor_internal.h"

static bn_actor_state_t *find_actor (bn_conductor_t *self, const bn_text_t *name)
{
    bn_actor_state_t *actor = bn_map_get (self->state->actors, name->text, name->size);
    if (!actor)
        bn_conductor_refuse (self, BATON_ERR_NOT_FOUND, 0, "there is no actor %.*s",
                             (int)name->size, name->text);
    return actor;
}

static void list (bn_conductor_t *self, const bn_actor_state_t *actor, const bn_dead_t *dead)
{
    bn_dead_letter_t letters[BN_DEAD_PAGE_MAX];
    uint32_t most = dead->count_max < BN_DEAD_PAGE_MAX ? dead->count_max : BN_DEAD_PAGE_MAX;
    bn_message_t reply = {.type = BN_DEAD_REPLY, .dead_reply = {.letters = letters}};
    bn_map_node_t *node =
        bn_map_at_least_u64 (actor->dead, dead->from + (BN_PLANT (list_skips) ? 1 : 0));
    for (; node && reply.dead_reply.letter_count < most; node = bn_map_next (node))
        letters[reply.dead_reply.letter_count++] =
            ((const bn_dead_state_t *)bn_map_value (node))->letter;
    reply.dead_reply.more = node != NULL;
    bn_conductor_reply (self, &reply);
}

static int by_offset (const void *left_p, const void *right_p)
{
    uint64_t left = *(const uint64_t *)left_p;
    uint64_t right = *(const uint64_t *)right_p;
    return left < right ? -1 : left > right;
}

/*  The dead offsets that a redrive or discard names, ascending, each once; none named: all. Owned
 *  by the caller; NULL: refused, or no memory.  */
static uint64_t *chosen (bn_conductor_t *self, const bn_actor_state_t *actor, const bn_dead_t *dead,
                         uint32_t *count)
{
    size_t most = dead->offset_count ? dead->offset_count : bn_map_count (actor->dead);
    uint64_t *offsets = malloc ((most + 1) * sizeof *offsets);
    if (!offsets) {
        self->effects->failed = true;
        return NULL;
    }
    *count = 0;
    if (dead->offset_count == 0) {
        bn_map_node_t *node = bn_map_first (actor->dead);
        for (; node; node = bn_map_next (node))
            offsets[(*count)++] = bn_map_key_u64 (node);
        return offsets;
    }
    memcpy (offsets, dead->offsets, most * sizeof *offsets);
    qsort (offsets, most, sizeof *offsets, by_offset);
    for (size_t index = 0; index < most; index++) {
        if (!bn_map_get_u64 (actor->dead, offsets[index])) {
            bn_conductor_refuse (self, BATON_ERR_NOT_FOUND, 0,
                                 "actor %s has no dead letter %" PRIu64 "; nothing was changed",
                                 actor->name, offsets[index]);
            free (offsets);
            return NULL;
        }
        if (*count == 0 || offsets[*count - 1] != offsets[index])
            offsets[(*count)++] = offsets[index];
    }
    return offsets;
}

/*  Parked sets stay within their bound (G7).  */
static bool check_room (bn_conductor_t *self, const bn_actor_state_t *actor,
                        const uint64_t *offsets, uint32_t count)
{
    size_t more[BN_PARTITIONS_MAX] = {0};
    for (uint32_t index = 0; index < count; index++) {
        const bn_dead_state_t *dead = bn_map_get_u64 (actor->dead, offsets[index]);
        uint32_t partition = dead->letter.partition;
        size_t parked = bn_map_count (actor->partitions[partition].parked) + ++more[partition];
        if (parked > self->options.parked_max)
            return bn_conductor_refuse (self, BATON_ERR_LIMIT, partition,
                                        "partition %" PRIu32
                                        " would have %zu events parked, at most %" PRIu32
                                        " may be (parked_max): redrive fewer at a time",
                                        partition, parked, self->options.parked_max);
    }
    return true;
}

/*  What is taken, for people: read before it is gone from the state.  */
static void fill_reply (const bn_actor_state_t *actor, const uint64_t *offsets, uint32_t count,
                        bn_dead_letter_t letters[BN_DEAD_PAGE_MAX], bn_dead_reply_t *reply)
{
    reply->affected = count;
    reply->more = count > BN_DEAD_PAGE_MAX;
    reply->letters = letters;
    reply->letter_count = reply->more ? BN_DEAD_PAGE_MAX : count;
    for (uint32_t index = 0; index < reply->letter_count; index++) {
        const bn_dead_state_t *dead = bn_map_get_u64 (actor->dead, offsets[index]);
        letters[index] = dead->letter;
    }
}

static void revoke_redriven (bn_conductor_t *self, bn_actor_live_t *live, const bool *affected)
{
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        const bn_instance_t *owner = live->owners[partition];
        if (affected[partition] && owner && owner->session)
            bn_assignment_revoke (live, partition);
    }
    bn_conductor_push (self, live);
}

static void take (bn_conductor_t *self, bn_actor_state_t *actor, const bn_dead_t *dead,
                  uint64_t *offsets, uint32_t count)
{
    bool redrive = dead->op == BN_DEAD_REDRIVE;
    bn_dead_letter_t letters[BN_DEAD_PAGE_MAX];
    bool affected[BN_PARTITIONS_MAX] = {false};
    bn_message_t reply = {.type = BN_DEAD_REPLY};
    if (redrive && !check_room (self, actor, offsets, count))
        return;
    fill_reply (actor, offsets, count, letters, &reply.dead_reply);
    bn_record_t record = {
        .type = redrive ? BN_RECORD_REDRIVE : BN_RECORD_DISCARD,
        .dead = {.actor_id = actor->id, .dead_offsets = offsets, .dead_count = count}};
    for (uint32_t index = 0; index < count; index++) {
        const bn_dead_state_t *letter = bn_map_get_u64 (actor->dead, offsets[index]);
        affected[letter->letter.partition] = true;
    }
    bool changes = !dead->dry_run && count > 0;
    if (changes && !bn_conductor_commit (self, &record))
        return;
    bn_conductor_reply (self, &reply);
    if (!changes)
        return;
    bn_effects_log (self->effects, BN_LOG_INFO, "%" PRIu32 " dead letters of %s %s", count,
                    actor->name, redrive ? "redriven" : "discarded");
    bn_actor_live_t *live = bn_map_get_u64 (self->live, actor->id);
    if (redrive && live)
        revoke_redriven (self, live, affected);
}

void bn_conductor_dead (bn_conductor_t *self, const bn_dead_t *dead)
{
    bn_actor_state_t *actor = find_actor (self, &dead->actor);
    if (!actor)
        return;
    if (dead->op == BN_DEAD_LIST) {
        list (self, actor, dead);
        return;
    }
    uint32_t count = 0;
    uint64_t *offsets = chosen (self, actor, dead, &count);
    if (offsets)
        take (self, actor, dead, offsets, count);
    free (offsets);
}

void bn_conductor_forget (bn_conductor_t *self, const bn_text_t *name)
{
    bn_actor_state_t *actor = find_actor (self, name);
    if (!actor)
        return;
    uint32_t id = actor->id;
    bn_actor_live_t *live = bn_map_get_u64 (self->live, id);
    if (live && bn_map_count (live->instances) > 0) {
        bn_conductor_refuse (self, BATON_ERR_CONFLICT, 0,
                             "actor %s has %zu instances: stop them first", actor->name,
                             bn_map_count (live->instances));
        return;
    }
    bn_record_t record = {.type = BN_RECORD_FORGET, .forget = id};
    if (!bn_conductor_commit (self, &record))
        return;
    if (live) {
        bn_map_remove_u64 (self->live, id);
        bn_map_destroy (&live->instances);
        free (live);
    }
    bn_effects_log (self->effects, BN_LOG_INFO, "actor %.*s is forgotten", (int)name->size,
                    name->text);
    bn_message_t reply = {.type = BN_FORGOTTEN};
    bn_conductor_reply (self, &reply);
}
