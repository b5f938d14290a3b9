/* SPDX-License-Identifier: MPL-2.0 */

/*  assignment.c - which instance of an actor gets which partition.
 *
 *  DESIGN. Sticky, even to within one, cooperative. Partitions of instances that are not connected
 *  (they may come back) stay where they are and are left out of the sum; the rest is shared evenly
 *  among the connected ones, the larger shares to those who have most already, so that as little as
 *  possible moves. What is free is given at once; what somebody has too much of is revoked, and is
 *  free once it was released. An owner is never replaced while it is connected (G4: it could be in
 *  the middle of an event), so that a balance may take two rounds.
 *
 *  A partition in which events from before the cut are left belongs to an instance with the former
 *  patterns, if one is connected, until they are settled: the others do not know all of their
 *  topics. Such partitions are left out of the sum as well. Not so those that another one has got
 *  already: nothing is taken back from an instance with the present patterns for this.
 *
 *  INVARIANTS
 *  A1  owners[p] is the state's owner of p, except for those marked fresh within one balance.
 *  A2  sum of desired = partitions to share = planned (owned and not revoked) + revoked + free.
 *      So while a partition is free or somebody has too many, somebody has too few.
 *  A3  an instance with older patterns is given a partition only to drain it.  */
#include "base/plant.h"
#include "core/conductor_internal.h"

static uint32_t planned (const bn_instance_t *instance)
{
    return instance->owned - instance->revoked;
}

static bool is_eligible (const bn_instance_t *instance)
{
    return instance->session && !instance->stale;
}

bool bn_assignment_drainer (const bn_instance_t *instance)
{
    return instance->session && instance->stale && instance->drains;
}

/*  Its owner is about to drain it.  */
static bool is_kept (const bn_actor_live_t *live, uint32_t partition)
{
    const bn_instance_t *owner = live->owners[partition];
    return owner && bn_assignment_drainer (owner) &&
           bn_state_drains (&live->state->partitions[partition]);
}

void bn_assignment_free (bn_actor_live_t *live, uint32_t partition, bn_instance_t *former)
{
    bn_instance_t *owner = live->owners[partition];
    if (owner) {
        bn_assert (owner->owned > 0);
        owner->owned--;
        owner->revoked -= live->revoked[partition] ? 1 : 0;
        owner->dirty = true;
    }
    live->owners[partition] = NULL;
    live->revoked[partition] = false;
    live->fresh[partition] = false;
    live->former[partition] = former;
}

void bn_assignment_give (bn_actor_live_t *live, uint32_t partition, bn_instance_t *instance)
{
    const bn_actor_partition_t *known = &live->state->partitions[partition];
    bool stays = live->owners[partition] == instance; /* what it has in hand stays there, too */
    bn_assignment_free (live, partition, NULL);
    if (!stays)
        live->delivered[partition] = known->floor < known->head ? known->floor : BN_NO_OFFSET;
    live->owners[partition] = instance;
    live->fresh[partition] = true;
    instance->owned++;
    instance->dirty = true;
}

void bn_assignment_revoke (bn_actor_live_t *live, uint32_t partition)
{
    bn_instance_t *owner = live->owners[partition];
    if (!owner || live->revoked[partition])
        return;
    live->revoked[partition] = true;
    owner->revoked++;
    owner->dirty = true;
}

/*  ---- the plan ---- */

typedef struct {
    bn_instance_t **instances; /* eligible ones, most partitions first, then by name */
    uint32_t count;
    uint32_t share; /* partitions to share out among them */
} plan_t;

static int by_planned (const void *left_p, const void *right_p)
{
    const bn_instance_t *left = *(bn_instance_t *const *)left_p;
    const bn_instance_t *right = *(bn_instance_t *const *)right_p;
    if (planned (left) != planned (right))
        return planned (left) > planned (right) ? -1 : 1;
    return strcmp (left->name, right->name);
}

static bool make_plan (const bn_conductor_t *self, const bn_actor_live_t *live, plan_t *plan)
{
    memset (plan, 0, sizeof *plan);
    plan->instances = calloc (bn_map_count (live->instances) + 1, sizeof (bn_instance_t *));
    if (!plan->instances)
        return false;
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        plan->share += is_kept (live, partition) ? 0 : 1;
    for (bn_map_node_t *node = bn_map_first (live->instances); node; node = bn_map_next (node)) {
        bn_instance_t *instance = bn_map_value (node);
        if (is_eligible (instance))
            plan->instances[plan->count++] = instance;
        else if (!instance->session)
            plan->share -= instance->owned;
    }
    if (plan->count == 0)
        return true;
    qsort (plan->instances, plan->count, sizeof (bn_instance_t *), by_planned);
    for (uint32_t index = 0; index < plan->count; index++)
        plan->instances[index]->desired =
            plan->share / plan->count + (index < plan->share % plan->count ? 1 : 0);
    return true;
}

static bn_instance_t *neediest (const plan_t *plan)
{
    bn_instance_t *best = NULL;
    for (uint32_t index = 0; index < plan->count; index++) {
        bn_instance_t *instance = plan->instances[index];
        if (planned (instance) < instance->desired &&
            (!best || planned (instance) < planned (best)))
            best = instance;
    }
    return best;
}

/*  Who has fewest of those that are to be drained, or had this one. NULL: nobody knows the former
 *  patterns.  */
static bn_instance_t *drainer_for (const bn_actor_live_t *live, uint32_t partition)
{
    bn_instance_t *best = live->former[partition];
    if (best && bn_assignment_drainer (best))
        return best;
    best = NULL;
    for (bn_map_node_t *node = bn_map_first (live->instances); node; node = bn_map_next (node)) {
        bn_instance_t *instance = bn_map_value (node);
        if (bn_assignment_drainer (instance) && (!best || instance->owned < best->owned))
            best = instance;
    }
    return best;
}

static void hand_down (bn_conductor_t *self, bn_actor_live_t *live)
{
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        if (live->owners[partition] || !bn_state_drains (&live->state->partitions[partition]))
            continue;
        bn_instance_t *drainer = drainer_for (live, partition);
        if (drainer)
            bn_assignment_give (live, partition, drainer); /* A3 */
    }
}

static void share_out (bn_conductor_t *self, bn_actor_live_t *live, const plan_t *plan)
{
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        if (live->owners[partition])
            continue;
        bn_instance_t *instance = live->former[partition];
        if (!instance || !is_eligible (instance) || planned (instance) >= instance->desired)
            instance = neediest (plan);
        bn_assert (instance); /* A2 */
        bn_assignment_give (live, partition, instance);
    }
}

static void take_back (bn_conductor_t *self, bn_actor_live_t *live)
{
    for (uint32_t partition = self->state->partitions; partition-- > 0;) {
        bn_instance_t *owner = live->owners[partition];
        if (owner && owner->session &&
            (owner->stale ? !is_kept (live, partition) : planned (owner) > owner->desired))
            bn_assignment_revoke (live, partition);
    }
}

/*  One more than the last (S2). The first one is above all that an actor of this name that was
 *  forgotten can have had, because each of those took a record of its own: so what its instances
 *  still know or say is not taken for something of this one.  */
static uint64_t next_generation (const bn_conductor_t *self, const bn_actor_partition_t *known)
{
    const bn_state_t *state = self->state;
    bool any_forgotten = state->actor_id_last > bn_map_count (state->actors);
    if (known->generation == 0 && any_forgotten)
        return state->sequence + 1;
    return BN_PLANT (generation_not_raised) && known->generation > 0 ? known->generation
                                                                     : known->generation + 1;
}

/*  One record for everything that changed hands, also to nobody.  */
static bool journal_owners (bn_conductor_t *self, bn_actor_live_t *live)
{
    bn_owner_t owners[BN_PARTITIONS_MAX];
    bn_record_t record = {.type = BN_RECORD_ASSIGN,
                          .assign = {.actor_id = live->state->id, .owners = owners}};
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        const bn_actor_partition_t *known = &live->state->partitions[partition];
        const bn_instance_t *owner = live->owners[partition];
        if (owner ? !live->fresh[partition] : known->instance[0] == '\0')
            continue;
        live->fresh[partition] = false;
        owners[record.assign.owner_count++] =
            (bn_owner_t){.partition = partition,
                         .generation = next_generation (self, known),
                         .instance = {owner ? owner->name : "", owner ? strlen (owner->name) : 0},
                         .incarnation = owner ? owner->incarnation : 0};
    }
    return record.assign.owner_count == 0 || bn_conductor_commit (self, &record);
}

static void check_a1 (const bn_conductor_t *self, const bn_actor_live_t *live)
{
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        const bn_actor_partition_t *known = &live->state->partitions[partition];
        const bn_instance_t *owner = live->owners[partition];
        bn_assert (owner ? strcmp (owner->name, known->instance) == 0 &&
                               owner->incarnation == known->incarnation
                         : known->instance[0] == '\0');
    }
}

bool bn_assignment_balance (bn_conductor_t *self, bn_actor_live_t *live)
{
    plan_t plan;
    hand_down (self, live);
    if (!make_plan (self, live, &plan)) {
        self->effects->failed = true;
        return false;
    }
    if (plan.count > 0) {
        share_out (self, live, &plan);
        take_back (self, live);
    }
    free (plan.instances);
    if (!journal_owners (self, live))
        return false;
    check_a1 (self, live);
    return true;
}
