/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_session.c - instances: how they join, beat, leave and die.
 *
 *  DESIGN. An instance is a name and an incarnation (a random number, one a process). The same pair
 *  again is the same process on a new connection: it keeps its partitions, in new generations,
 *  since what it had not settled it handles again. The same name with another incarnation is
 *  another process: the one before is taken for dead at once. Which of two is the newer one nobody
 *  can tell but by who joins later, so the last joins are remembered, and an incarnation that was
 *  followed by another one is fenced.
 *
 *            JOIN            GONE, or HELLO again
 *    (none) ─────► attached ─────────────────────► detached ──grace──► dead
 *                    │  ▲                             │
 *                    │  └─────────── JOIN ────────────┘
 *                    ├── LEAVE ───────────────────► (none), nobody blamed
 *                    └── silent for session_timeout ► dead
 *
 *  After a restart of the orchestrator the owners that the journal names start out detached.  */
#include "base/plant.h"
#include "core/conductor_internal.h"

bn_instance_t *bn_conductor_instance_new (bn_conductor_t *self, bn_actor_live_t *live,
                                          const char *name, size_t size, uint64_t incarnation)
{
    bn_assert (size <= BATON_NAME_BYTES_MAX);
    bn_instance_t *instance = calloc (1, sizeof *instance);
    if (!instance || !bn_map_put (live->instances, name, size, instance, NULL)) {
        free (instance);
        self->effects->failed = true;
        return NULL;
    }
    memcpy (instance->name, name, size);
    instance->incarnation = incarnation;
    instance->actor = live;
    self->instances++;
    return instance;
}

bool bn_conductor_owns (const bn_instance_t *instance, uint32_t partition)
{
    return instance->actor->owners[partition] == instance;
}

/*  Frees its partitions and itself; its connection, if any, is one without a JOIN then.  */
static void instance_end (bn_conductor_t *self, bn_instance_t *instance)
{
    bn_actor_live_t *live = instance->actor;
    if (instance->session)
        bn_conductor_detach (self, instance->session, 0);
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        if (live->owners[partition] == instance)
            bn_assignment_free (live, partition, NULL);
        if (live->former[partition] == instance)
            live->former[partition] = NULL;
    }
    bn_assert (instance->owned == 0 && instance->revoked == 0);
    bn_map_remove_str (live->instances, instance->name);
    bn_assert (self->instances > 0);
    self->instances--;
    free (instance);
}

/*  ---- blame (G6) ---- */

static bool may_charge (const bn_conductor_t *self, const bn_actor_partition_t *partition,
                        uint64_t offset)
{
    if (bn_map_get_u64 (partition->parked, offset) || bn_map_get_u64 (partition->charged, offset))
        return true;
    return offset >= partition->floor && offset < partition->head &&
           bn_map_count (partition->charged) < self->options.parked_max; /* G7 */
}

/*  Where the events end that a dead owner can have had in hand: an instance far behind has not
 *  received all that is waiting for it, and being careful costs two syncs an event.  */
static uint64_t suspicious_until (const bn_actor_partition_t *partition, uint64_t delivered)
{
    uint64_t end = delivered < partition->head ? delivered : partition->head;
    uint64_t until = partition->floor < end ? end : 0;
    bn_map_node_t *node = bn_map_first (partition->parked);
    for (; node; node = bn_map_next (node))
        if (bn_map_key_u64 (node) >= until)
            until = bn_map_key_u64 (node) + 1;
    return until;
}

/*  An event that was begun is the culprit of its partition; where none was begun, whatever may have
 *  been delivered is handled carefully by the next owner, and nobody is charged.  */
bool bn_conductor_suspect (bn_conductor_t *self, const bn_instance_t *instance)
{
    static const char died[] = "the process died, or was taken for dead, while handling it";
    bn_suspicion_t suspicions[BN_PARTITIONS_MAX];
    bn_actor_state_t *actor = instance->actor->state;
    bn_record_t record = {.type = BN_RECORD_SUSPECT,
                          .suspect = {.actor_id = actor->id, .suspicions = suspicions}};
    for (uint32_t index = 0; index < self->state->partitions; index++) {
        const bn_actor_partition_t *partition = &actor->partitions[index];
        if (!bn_conductor_owns (instance, index))
            continue;
        bn_suspicion_t suspicion = {.partition = index, .charged = BN_NO_OFFSET};
        if (partition->begun != BN_NO_OFFSET) {
            if (may_charge (self, partition, partition->begun))
                suspicion.charged = partition->begun;
            suspicion.due_ms = bn_conductor_wall_ms (self) + actor->policy.backoff_min_ms;
            suspicion.reason = (bn_text_t){died, sizeof died - 1};
            bn_effects_log (self->effects, BN_LOG_WARNING,
                            "%s/%s died while it handled offset %" PRIu64
                            ", which is charged one attempt",
                            actor->name, instance->name, partition->begun);
        } else {
            uint64_t delivered = instance->actor->delivered[index];
            if (instance->stale && instance->floor_max < delivered)
                delivered = instance->floor_max;
            suspicion.careful_until = suspicious_until (partition, delivered);
            if (BN_PLANT (blame_on_prefetched) && partition->floor < suspicion.careful_until &&
                may_charge (self, partition, partition->floor))
                suspicion.charged = partition->floor;
            if (suspicion.careful_until <= partition->careful_until || BN_PLANT (nobody_suspected))
                continue;
        }
        suspicions[record.suspect.suspicion_count++] = suspicion;
    }
    return record.suspect.suspicion_count == 0 || bn_conductor_commit (self, &record);
}

void bn_conductor_death (bn_conductor_t *self, bn_instance_t *instance, const char *why)
{
    bn_actor_live_t *live = instance->actor;
    bn_effects_log (self->effects, BN_LOG_WARNING,
                    "%s/%s %s; its %" PRIu32 " partitions go to others", live->state->name,
                    instance->name, why, instance->owned);
    if (!bn_conductor_suspect (self, instance))
        return;
    instance_end (self, instance);
    if (bn_assignment_balance (self, live))
        bn_conductor_push (self, live);
}

/*  ---- what an instance is told of its assignment ---- */

static void beat_free (bn_beat_t *beat)
{
    for (uint32_t index = 0; beat->assignments && index < beat->assignment_count; index++) {
        free (beat->assignments[index].parked);
        free (beat->assignments[index].charged);
    }
    free (beat->assignments);
    free (beat->heads);
}

/*  Where an instance with older patterns stops: behind the last event that it may have.  */
static uint64_t limit_of (const bn_instance_t *instance, const bn_actor_partition_t *known)
{
    if (!instance->stale || BN_PLANT (stale_not_stopped))
        return 0;
    return instance->drains && bn_state_drains (known) ? known->former_end : instance->floor_max;
}

static bool fill_assignment (bn_conductor_t *self, const bn_instance_t *instance, uint32_t index,
                             bn_assignment_t *assignment)
{
    const bn_actor_partition_t *known = &instance->actor->state->partitions[index];
    *assignment = (bn_assignment_t){
        .partition = index,
        .generation = known->generation,
        .revoked = instance->actor->revoked[index],
        /*  Nothing is unsettled: start where the journal ends, which saves a scan.  */
        .floor = known->floor >= known->head && !instance->stale ? self->state->tail : known->floor,
        .head = known->head,
        .careful_until = known->careful_until,
        .until = limit_of (instance, known),
        .parked = calloc (bn_map_count (known->parked) + 1, sizeof (bn_parked_t)),
        .charged = calloc (bn_map_count (known->charged) + 1, sizeof (bn_charged_t))};
    if (!assignment->parked || !assignment->charged)
        return false;
    bn_map_node_t *node;
    uint64_t now = bn_conductor_wall_ms (self);
    node = BN_PLANT (park_lost_at_rebalance) ? NULL : bn_map_first (known->parked);
    for (; node; node = bn_map_next (node)) {
        bn_parked_t *parked = &assignment->parked[assignment->parked_count++];
        *parked = *(const bn_parked_t *)bn_map_value (node);
        parked->due_ms = parked->due_ms > now ? parked->due_ms - now : 0;
    }
    for (node = bn_map_first (known->charged); node; node = bn_map_next (node))
        assignment->charged[assignment->charged_count++] =
            *(const bn_charged_t *)bn_map_value (node);
    return true;
}

void bn_conductor_send_beat (bn_conductor_t *self, const bn_instance_t *instance,
                             bn_message_type_t type, uint64_t request, bool full)
{
    bn_beat_t beat = {.actor_id = instance->actor->state->id,
                      .parked_max = self->options.parked_max,
                      .version = instance->version,
                      .tail = self->state->tail,
                      .assignments_set = full};
    beat.heads = calloc (instance->owned + 1, sizeof *beat.heads);
    beat.assignments = calloc (instance->owned + 1, sizeof *beat.assignments);
    bool ok = beat.heads && beat.assignments;
    for (uint32_t index = 0; ok && index < self->state->partitions; index++) {
        if (!bn_conductor_owns (instance, index))
            continue;
        beat.heads[beat.head_count++] = (bn_partition_u64_t){
            .partition = index, .value = instance->actor->state->partitions[index].head};
        if (full)
            ok =
                fill_assignment (self, instance, index, &beat.assignments[beat.assignment_count++]);
    }
    if (ok) {
        bn_message_t message = {.type = type, .request = request, .beat = beat};
        bn_conductor_send (self, instance->session->route, &message);
    } else
        self->effects->failed = true;
    beat_free (&beat);
}

void bn_conductor_push (bn_conductor_t *self, bn_actor_live_t *live)
{
    for (bn_map_node_t *node = bn_map_first (live->instances); node; node = bn_map_next (node)) {
        bn_instance_t *instance = bn_map_value (node);
        if (!instance->dirty)
            continue;
        instance->dirty = false;
        instance->version++;
        if (!instance->session)
            continue;
        if (!instance->session->waits_for_read)
            bn_conductor_stop_waiting (self, instance->session, true);
        bn_conductor_send_beat (self, instance, BN_BEAT, 0, true);
    }
}

void bn_conductor_heartbeat (bn_conductor_t *self, bn_session_t *session,
                             const bn_heartbeat_t *heartbeat)
{
    bn_instance_t *instance = session->instance;
    instance->in_flight = heartbeat->in_flight;
    if (instance->stale && instance->drains)
        bn_conductor_go_back (self, instance);
    bn_conductor_send_beat (self, instance, BN_BEAT, self->request,
                            heartbeat->version != instance->version);
}

/*  ---- GONE ---- */

/*  Who started the process says that it has ended: there is no connection to wait for. It is the
 *  incarnation that tells whether the one that is joined is meant; one that has left, has been
 *  replaced or was never there is not an error, because the report may well be late.  */
void bn_conductor_gone (bn_conductor_t *self, const bn_gone_t *gone)
{
    bn_message_t reply = {.type = BN_GONE_REPLY};
    for (bn_map_node_t *node = bn_map_first (self->live); node; node = bn_map_next (node)) {
        bn_actor_live_t *live = bn_map_value (node);
        const char *name = live->state->name;
        bn_instance_t *instance =
            bn_map_get (live->instances, gone->instance.text, gone->instance.size);
        if (!instance || instance->incarnation != gone->incarnation)
            continue;
        if (gone->actor.size > 0 && (strlen (name) != gone->actor.size ||
                                     memcmp (name, gone->actor.text, gone->actor.size) != 0))
            continue;
        bn_conductor_death (self, instance, "has ended, says who started it");
        if (self->effects->failed)
            return;
        reply.gone_reply.count++;
    }
    bn_conductor_reply (self, &reply);
}

/*  ---- LEAVE ---- */

void bn_conductor_leave (bn_conductor_t *self, bn_session_t *session,
                         const bn_leave_message_t *leave)
{
    bn_instance_t *instance = session->instance;
    bn_actor_live_t *live = instance->actor;
    if (leave->reason == BN_LEAVE_EXPIRED) {
        if (leave->partition >= self->state->partitions) {
            bn_conductor_refuse (self, BATON_ERR_PARTITION, leave->partition,
                                 "LEAVE: partition %" PRIu32 " does not exist", leave->partition);
            return;
        }
        if (leave->offset >= self->state->tail) {
            bn_conductor_refuse (self, BATON_ERR_OFFSET, leave->partition,
                                 "LEAVE: offset %" PRIu64 " is past the end of the journal, "
                                 "%" PRIu64,
                                 leave->offset, self->state->tail);
            return;
        }
        const bn_actor_partition_t *partition = &live->state->partitions[leave->partition];
        char reason[BN_PARKED_REASON_BYTES_MAX + 1];
        int size = snprintf (reason, sizeof reason,
                             "the handler did not return within its deadline of %" PRIu32 " ms",
                             live->state->policy.handler_deadline_ms);
        bn_suspicion_t suspicion = {.partition = leave->partition,
                                    .charged = leave->offset,
                                    .due_ms = bn_conductor_wall_ms (self) +
                                              live->state->policy.backoff_min_ms,
                                    .reason = {reason, (size_t)size}};
        bn_record_t record = {.type = BN_RECORD_SUSPECT,
                              .suspect = {.actor_id = live->state->id,
                                          .suspicions = &suspicion,
                                          .suspicion_count = 1}};
        if (bn_conductor_owns (instance, leave->partition) &&
            may_charge (self, partition, leave->offset) && !bn_conductor_commit (self, &record))
            return;
        bn_effects_log (self->effects, BN_LOG_WARNING,
                        "%s/%s: the handler of offset %" PRIu64 " is past its deadline",
                        live->state->name, instance->name, leave->offset);
    } else
        bn_effects_log (self->effects, BN_LOG_INFO, "%s/%s left", live->state->name,
                        instance->name);
    instance_end (self, instance);
    if (!bn_assignment_balance (self, live))
        return;
    bn_message_t reply = {.type = BN_LEFT};
    bn_conductor_reply (self, &reply);
    bn_conductor_push (self, live);
}
