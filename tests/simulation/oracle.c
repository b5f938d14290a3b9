/* SPDX-License-Identifier: MPL-2.0 */

/*  oracle.c - what must hold after every step; the letters are those of the guarantees.  */
#include "base/hash.h"
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  ---- settles ---- */

/*  The call that an accepted settle can speak of: the sender's, in this generation.  */
static sim_call_t *find_call (sim_t *sim, uint32_t a, uint64_t offset, uint64_t incarnation,
                              uint64_t generation, bn_result_t result)
{
    uint64_t at = sim_model_duty (sim, a, offset)->call;
    for (; at; at = sim->model->calls[at - 1].before) {
        sim_call_t *call = &sim->model->calls[at - 1];
        if (call->ended && call->incarnation == incarnation && call->generation == generation &&
            call->epoch == sim->model->actors[a].epoch && call->result == result)
            return call;
    }
    return NULL;
}

static uint32_t count_emissions (sim_t *sim, uint32_t a, uint64_t offset, uint64_t base,
                                 uint64_t *call)
{
    uint32_t count = 0;
    for (uint64_t o = base; o < sim->model->tail; o++) {
        const sim_log_t *log = &sim->model->log[o];
        if (log->topic[0] == '$' || log->identity.actor != a || log->identity.source != offset)
            continue;
        *call = log->identity.call;
        count++;
    }
    return count;
}

static void check_done (sim_t *sim, uint32_t a, const bn_settlement_t *settlement, uint64_t offset,
                        uint64_t base, uint64_t incarnation)
{
    const char *actor = sim->config.actors[a].name;
    uint64_t number = 0;
    uint32_t emitted = count_emissions (sim, a, offset, base, &number);
    sim_call_t *call =
        find_call (sim, a, offset, incarnation, settlement->generation, BN_RESULT_ACK);
    if (!call) {
        sim_fail (sim,
                  "G2: %" PRIu64 " is settled for %s, but process %" PRIu64
                  " has not acknowledged it in generation %" PRIu64,
                  offset, actor, incarnation, settlement->generation);
        return;
    }
    if (number &&
        (number > sim->model->call_count || sim->model->calls[number - 1].result != BN_RESULT_ACK ||
         sim->model->calls[number - 1].generation != settlement->generation)) {
        sim_fail (sim, "G5: %" PRIu64 " is settled with what another call emitted", offset);
        return;
    }
    if (number)
        call = &sim->model->calls[number - 1];
    if (emitted != call->emissions)
        sim_fail (sim,
                  "G5: %" PRIu64 " is settled for %s with %u emitted events, its handler had "
                  "emitted %u",
                  offset, actor, emitted, call->emissions);
}

static void check_park (sim_t *sim, uint32_t a, const bn_settlement_t *settlement,
                        const bn_parked_t *park, uint64_t incarnation)
{
    const sim_duty_t *duty = sim_model_duty (sim, a, park->offset);
    uint32_t retries = 0;
    uint64_t at = duty->call;
    char reason[SIM_REASON] = "";
    for (; at; at = sim->model->calls[at - 1].before) {
        sim_call_t *call = &sim->model->calls[at - 1];
        if (call->ended && call->incarnation == incarnation && !call->counted &&
            call->epoch == sim->model->actors[a].epoch &&
            call->generation == settlement->generation && call->result == BN_RESULT_RETRY) {
            if (retries == 0)
                sim_reason (at, reason);
            retries++;
            call->counted = true;
        }
    }
    size_t size = strlen (reason);
    if (park->reason.size != size || (size && memcmp (park->reason.text, reason, size) != 0))
        sim_fail (sim, "%" PRIu64 " of %s is parked for the reason '%.*s', not '%s'", park->offset,
                  sim->config.actors[a].name, (int)park->reason.size, park->reason.text, reason);
    if (park->attempts > duty->attempts + retries)
        sim_fail (sim,
                  "G6: %" PRIu64 " of %s is parked with %u attempts: it had %u, and %u more were "
                  "made",
                  park->offset, sim->config.actors[a].name, park->attempts, duty->attempts,
                  retries);
    if (duty->status == STATUS_SETTLED || duty->status == STATUS_DEAD)
        sim_fail (sim, "G2: %" PRIu64 " of %s is parked after it was done with", park->offset,
                  sim->config.actors[a].name);
}

static void check_died (sim_t *sim, uint32_t a, const bn_settlement_t *settlement,
                        const bn_died_t *died, const sim_connection_t *sender)
{
    uint64_t generation = settlement->generation;
    uint64_t incarnation = sender->incarnation;
    /*  Its build has no handler for it: it must be from before that build came.  */
    if (!sim_model_knows (sim, a, sender->revision, sim->model->log[died->offset].topic)) {
        if (died->offset >= sim->model->actors[a].cut)
            sim_fail (sim,
                      "G2: %" PRIu64 " of %s is given up by process %" PRIu64
                      ", which does not know its topic, and there are others who do",
                      died->offset, sim->config.actors[a].name, incarnation);
        return;
    }
    if (find_call (sim, a, died->offset, incarnation, generation, BN_RESULT_REJECT))
        return;
    sim_duty_t *duty = sim_model_duty (sim, a, died->offset);
    uint32_t attempts = duty->attempts;
    for (uint64_t at = duty->call; at; at = sim->model->calls[at - 1].before) {
        const sim_call_t *call = &sim->model->calls[at - 1];
        attempts += call->ended && call->result == BN_RESULT_RETRY && !call->counted &&
                    call->epoch == sim->model->actors[a].epoch &&
                    call->incarnation == incarnation && call->generation == generation;
    }
    if (attempts < sim->config.actors[a].policy.max_attempts)
        sim_fail (sim,
                  "G6: %" PRIu64 " of %s is given up after %u attempts, and nobody rejected it",
                  died->offset, sim->config.actors[a].name, attempts);
}

/*  Where a new actor starts: at what was asked for, or, with a time, not behind what came then.  */
static void check_start (sim_t *sim, uint32_t a, const bn_register_record_t *record,
                         const sim_process_t *process)
{
    const sim_model_t *model = sim->model;
    const sim_actor_config_t *config = &sim->config.actors[a];
    uint64_t start = record->start;
    uint64_t oldest = sim_server_first (sim);
    uint64_t given = config->start_value < model->tail ? config->start_value : model->tail;
    bool ok = start <= model->tail;
    if (config->start_kind == BATON_START_TAIL)
        ok = start == model->tail;
    else if (config->start_kind == BATON_START_BEGINNING)
        ok = start == oldest;
    else if (config->start_kind == BATON_START_OFFSET)
        ok = start == (given > oldest ? given : oldest);
    else if (!sim->config.faults[FAULT_CLOCK] && sim->stats.lost == 0) {
        uint64_t started = SIM_EPOCH_US + process->started_us;
        uint64_t first = model->tail, last = 0;
        for (uint64_t i = model->record_count; i-- > 0;) {
            const sim_record_t *one = &model->records[i];
            if (one->count > 0 && one->time_us >= config->start_value)
                first = one->base;
            else if (one->count > 0 && one->base + one->count > last)
                last = one->base + one->count;
        }
        ok = start <= first || start <= oldest;
        ok = ok && (start >= last || config->start_value > started);
    }
    if (!ok)
        sim_fail (sim,
                  "G2: %s starts at offset %" PRIu64 " of %" PRIu64 ", first %" PRIu64
                  ", which it did not ask for (%u, %" PRIu64 ")",
                  config->name, start, model->tail, sim->server.first_base, config->start_kind,
                  config->start_value);
}

void sim_oracle_register (sim_t *sim, uint32_t a, const bn_register_record_t *record)
{
    const sim_model_t *model = sim->model;
    const sim_actor_t *actor = &model->actors[a];
    const char *name = sim->config.actors[a].name;
    const sim_connection_t *sender =
        sim->server.sender ? sim_connection (sim, sim->server.sender) : NULL;
    const sim_process_t *process =
        sender && sender->incarnation ? &sim->processes[sim->peers[sender->peer].index] : NULL;
    if (!process || sender->actor != a) {
        sim_fail (sim, "%s is registered by nobody", name);
        return;
    }
    /*  It may have ended since it sent that.  */
    if (process->used && process->incarnation == sender->incarnation) {
        const char *const *patterns = sim->config.actors[a].patterns[process->revision];
        uint32_t count = 0;
        while (count < SIM_PATTERNS && patterns[count])
            count++;
        bool same = count == record->pattern_count;
        for (uint32_t p = 0; same && p < count; p++)
            same = strlen (patterns[p]) == record->patterns[p].size &&
                   memcmp (patterns[p], record->patterns[p].text, record->patterns[p].size) == 0;
        if (!same)
            sim_fail (sim, "%s is registered with patterns that process %" PRIu64 " has not", name,
                      sender->incarnation);
        else if (!actor->id)
            check_start (sim, a, record, process);
    }
    /*  Only two revisions are told apart.  */
    bool same = record->pattern_count == actor->pattern_count;
    for (uint32_t p = 0; same && p < actor->pattern_count; p++)
        same = strlen (actor->patterns[p]) == record->patterns[p].size &&
               memcmp (actor->patterns[p], record->patterns[p].text, record->patterns[p].size) == 0;
    if (actor->id && !same && sim_model_drains (sim, a))
        sim_fail (
            sim, "G2: %s has other patterns again, and what the ones before the last matched waits",
            name);
}

void sim_oracle_settlement (sim_t *sim, uint32_t a, const bn_settle_record_t *record,
                            const bn_settlement_t *settlement, uint64_t base)
{
    (void)record;
    const char *actor = sim->config.actors[a].name;
    sim_share_t *share = &sim->model->actors[a].shares[settlement->partition];
    const sim_connection_t *sender =
        sim->server.sender ? sim_connection (sim, sim->server.sender) : NULL;
    if (!sender || !sender->incarnation || sender->actor != a) {
        sim_fail (sim, "G4: a settle of %s comes from nobody", actor);
        return;
    }
    if (settlement->generation != share->generation || share->incarnation != sender->incarnation ||
        !*share->owner) {
        sim_fail (sim,
                  "G4: a settle of partition %u of %s is accepted from process %" PRIu64
                  " in generation %" PRIu64 "; it belongs to '%s', process %" PRIu64
                  ", generation %" PRIu64,
                  settlement->partition, actor, sender->incarnation, settlement->generation,
                  share->owner, share->incarnation, share->generation);
        return;
    }
    uint64_t incarnation = sender->incarnation;
    if (settlement->floor > share->floor && settlement->floor > sim->model->actors[a].cut &&
        !sim_model_has (sim, a, sender->revision)) {
        sim_fail (sim,
                  "G2: process %" PRIu64 " of %s settles up to %" PRIu64
                  " and does not know the patterns that count from %" PRIu64 " on",
                  incarnation, actor, settlement->floor, sim->model->actors[a].cut);
        return;
    }
    for (uint64_t o = share->floor; o < settlement->floor && !sim->failed; o++) {
        bool wanted = o < base && sim->model->log[o].partition == settlement->partition &&
                      sim_model_wants (sim, a, o);
        bool named = false;
        for (uint32_t i = 0; i < settlement->park_count; i++)
            named |= settlement->parks[i].offset == o;
        for (uint32_t i = 0; i < settlement->died_count; i++)
            named |= settlement->died[i].offset == o;
        if (wanted && !named && sim_model_duty (sim, a, o)->status == STATUS_NONE)
            check_done (sim, a, settlement, o, base, incarnation);
    }
    for (uint32_t i = 0; i < settlement->done_count && !sim->failed; i++)
        check_done (sim, a, settlement, settlement->dones[i], base, incarnation);
    for (uint32_t i = 0; i < settlement->died_count && !sim->failed; i++)
        check_died (sim, a, settlement, &settlement->died[i], sender);
    for (uint32_t i = 0; i < settlement->park_count && !sim->failed; i++)
        check_park (sim, a, settlement, &settlement->parks[i], incarnation);
}

void sim_oracle_emissions (sim_t *sim, uint32_t a, const bn_settle_record_t *record, uint64_t base,
                           uint32_t count)
{
    for (uint64_t o = base; o < base + count && !sim->failed; o++) {
        const sim_log_t *log = &sim->model->log[o];
        if (log->topic[0] == '$')
            continue;
        sim->stats.emitted++;
        const sim_identity_t *identity = &log->identity;
        uint64_t source = identity->source;
        if (!identity->call || identity->actor != a || source >= base) {
            sim_fail (sim, "G5: a settle of %s emits what no handler of it emitted",
                      sim->config.actors[a].name);
            return;
        }
        /*  Its source is settled by this very record.  */
        const bn_settlement_t *settlement = NULL;
        for (uint32_t i = 0; i < record->settlement_count; i++)
            if (record->settlements[i].partition == sim->model->log[source].partition)
                settlement = &record->settlements[i];
        bool settles = false;
        if (settlement) {
            const sim_share_t *share = &sim->model->actors[a].shares[settlement->partition];
            settles = source >= share->floor && source < settlement->floor &&
                      sim_model_duty (sim, a, source)->status == STATUS_NONE;
            for (uint32_t i = 0; i < settlement->done_count; i++)
                settles |= settlement->dones[i] == source;
        }
        if (!settles)
            sim_fail (sim,
                      "G5: offset %" PRIu64 " is emitted for %" PRIu64 ", which is not settled", o,
                      source);
    }
}

void sim_oracle_suspicion (sim_t *sim, uint32_t a, const bn_suspicion_t *suspicion)
{
    if (suspicion->charged == BN_NO_OFFSET)
        return;
    const sim_share_t *share = &sim->model->actors[a].shares[suspicion->partition];
    sim_duty_t *duty = sim_model_duty (sim, a, suspicion->charged);
    if (duty->status == STATUS_SETTLED || duty->status == STATUS_DEAD)
        sim_fail (sim, "G6: %" PRIu64 " of %s is charged after it was done with",
                  suspicion->charged, sim->config.actors[a].name);
    if (share->begun != suspicion->charged && !duty->expired)
        sim_fail (sim,
                  "G6: %" PRIu64 " of %s is charged an attempt, but it was neither begun nor past "
                  "its deadline",
                  suspicion->charged, sim->config.actors[a].name);
    duty->expired = false;
}

/*  ---- handlers ---- */

void sim_oracle_expired (sim_t *sim, uint32_t actor, uint64_t offset)
{
    sim_model_duty (sim, actor, offset)->expired = true;
}

/*  Is this elder out of the way for whoever handles a younger one in this generation?  */
static bool elder_done (sim_t *sim, const sim_process_t *process, uint64_t elder,
                        uint64_t generation)
{
    uint32_t a = process->actor;
    uint32_t revision = process->revision;
    uint64_t incarnation = process->incarnation;
    sim_duty_t *duty = sim_model_duty (sim, a, elder);
    if (duty->status == STATUS_SETTLED || duty->status == STATUS_DEAD ||
        !sim_model_knows (sim, a, revision, sim->model->log[elder].topic))
        return true; /* done, or given up without a handler */
    const sim_share_t *share = &sim->model->actors[a].shares[sim->model->log[elder].partition];
    /*  Redriven after this generation was given out: its owner does not know yet.  */
    if (generation < share->assigned_count && duty->redriven > share->assigned[generation])
        return true;
    uint32_t attempts = duty->attempts;
    uint32_t most = sim->config.actors[a].policy.max_attempts;
    if (attempts >= most)
        return true;
    for (uint64_t at = duty->call; at; at = sim->model->calls[at - 1].before) {
        const sim_call_t *call = &sim->model->calls[at - 1];
        if (!call->ended || call->incarnation != incarnation || call->generation != generation ||
            call->epoch != sim->model->actors[a].epoch)
            continue;
        if (call->result == BN_RESULT_ACK || call->result == BN_RESULT_REJECT)
            return true;
        attempts += call->result == BN_RESULT_RETRY && !call->counted;
    }
    return attempts >= most;
}

static void check_call (sim_t *sim, const sim_process_t *process, const bn_run_item_t *item)
{
    sim_model_t *model = sim->model;
    uint32_t a = process->actor;
    sim_log_t log;
    sim_model_describe (&item->fields, &item->topic, item->partition, &log);
    if (item->offset >= model->tail) {
        sim_fail (sim, "G1: %s handles %" PRIu64 ", which the journal does not have",
                  process->instance, item->offset);
        return;
    }
    if (item->offset >= model->durable_tail) {
        sim_fail (sim, "G1: %s handles %" PRIu64 ", which is not on disk yet", process->instance,
                  item->offset);
        return;
    }
    const sim_log_t *truth = &model->log[item->offset];
    if (log.hash != truth->hash || log.partition != truth->partition) {
        sim_fail (sim, "G1: %s handles %" PRIu64 " as something that the journal does not say",
                  process->instance, item->offset);
        return;
    }
    if (!sim_model_wants (sim, a, item->offset)) {
        sim_fail (sim, "G2: %s handles %" PRIu64 " (%s), which is not for it", process->instance,
                  item->offset, truth->topic);
        return;
    }
    if (!sim_model_knows (sim, a, process->revision, truth->topic)) {
        sim_fail (sim, "G2: %s handles %" PRIu64 " (%s), which its build does not know",
                  process->instance, item->offset, truth->topic);
        return;
    }
    const sim_share_t *share = &model->actors[a].shares[item->partition];
    sim_duty_t *duty = sim_model_duty (sim, a, item->offset);
    bool current = item->generation == share->generation &&
                   share->incarnation == process->incarnation && *share->owner;
    if (current && (duty->status == STATUS_SETTLED || duty->status == STATUS_DEAD)) {
        sim_fail (sim, "G5: %s handles %" PRIu64 " again, which is settled", process->instance,
                  item->offset);
        return;
    }
    /*  An owner who was taken for dead, and whose successor a power cut took back, does
     *  not know.  */
    bool told = item->generation < share->assigned_count &&
                share->suspected < share->assigned[item->generation];
    if (current && told && item->offset < share->careful && share->begun != item->offset) {
        sim_fail (sim,
                  "G6: %s handles %" PRIu64 " without a BEGIN; all below %" PRIu64 " is suspect",
                  process->instance, item->offset, share->careful);
        return;
    }
    for (uint64_t o = 0; *truth->key && o < item->offset; o++) {
        if (model->log[o].partition != item->partition || !sim_model_wants (sim, a, o) ||
            strcmp (model->log[o].key, truth->key) != 0)
            continue;
        if (!elder_done (sim, process, o, item->generation)) {
            sim_fail (sim,
                      "G3: %s handles %" PRIu64 " of key %s before its elder %" PRIu64
                      " is out of the way",
                      process->instance, item->offset, truth->key, o);
            return;
        }
    }
}

uint64_t sim_oracle_call (sim_t *sim, uint32_t slot, const bn_run_item_t *item)
{
    sim_model_t *model = sim->model;
    const sim_process_t *process = &sim->processes[slot];
    sim->stats.calls++;
    /*  It may go on for a while with what is true no longer; nobody will take its results.  */
    if (process->run_epoch == model->actors[process->actor].epoch)
        check_call (sim, process, item);
    if (model->call_count == model->call_capacity) {
        model->call_capacity = model->call_capacity ? model->call_capacity * 2 : 256;
        model->calls =
            sim_must (realloc (model->calls, model->call_capacity * sizeof *model->calls));
    }
    sim_duty_t *duty = sim_model_duty (sim, process->actor, item->offset);
    model->calls[model->call_count++] = (sim_call_t){.actor = process->actor,
                                                     .offset = item->offset,
                                                     .epoch = process->run_epoch,
                                                     .incarnation = process->incarnation,
                                                     .generation = item->generation,
                                                     .partition = item->partition,
                                                     .before = duty->call};
    duty->call = model->call_count;
    return model->call_count - 1;
}

void sim_reason (uint64_t call, char reason[SIM_REASON])
{
    snprintf (reason, SIM_REASON, "call %" PRIu64 " says so", call);
}

void sim_oracle_verdict (sim_t *sim, uint64_t call, bn_result_t result, uint32_t emissions)
{
    sim_call_t *it = &sim->model->calls[call];
    it->ended = true;
    it->result = result;
    it->emissions = emissions;
}

/*  ---- receipts and the journal ---- */

void sim_oracle_receipt (sim_t *sim, uint32_t index, const bn_outbox_effect_t *effect)
{
    sim_producer_t *producer = &sim->producers[index];
    sim_model_t *model = sim->model;
    if (effect->err) {
        sim_fail (sim, "producer %u is refused for good: %s", index,
                  effect->text ? effect->text : baton_err_name (effect->err));
        return;
    }
    if (effect->ticket != producer->groups_receipted) {
        sim_fail (sim, "G1: producer %u gets a receipt out of order", index);
        return;
    }
    producer->groups_receipted++;
    uint64_t serial = producer->group_first[effect->ticket];
    sim_say (sim, "producer %u has a receipt for %u events from %" PRIu64, index, effect->events,
             effect->offset);
    for (uint32_t i = 0; i < effect->events; i++) {
        uint64_t offset = model->offset_of[serial + i];
        if (offset == 0 && (model->published[serial + i] & PUBLISHED_LOST)) {
            model->published[serial + i] |= PUBLISHED_RECEIPTED;
            continue; /* the receipt was on its way */
        }
        if (offset > model->durable_tail) {
            sim_fail (sim, "G1: event %" PRIu64 " has a receipt and is not on disk yet",
                      serial + i);
            return;
        }
        if (offset == 0 ||
            (i == 0 && effect->offset != BN_NO_OFFSET && offset != effect->offset + 1)) {
            sim_fail (sim,
                      "G1: producer %u has a receipt for event %" PRIu64 " at %" PRIu64
                      ", where it is not",
                      index, serial + i, effect->offset);
            return;
        }
        model->published[serial + i] |= PUBLISHED_RECEIPTED;
    }
}

void sim_oracle_journal (sim_t *sim, const bn_journal_record_t *record)
{
    const sim_model_t *model = sim->model;
    const sim_record_t *truth = &model->records[record->sequence - 1];
    if (sim->failed)
        return;
    if (record->sequence == 0 || record->sequence > model->record_count)
        sim_fail (sim, "G1: the journal holds record %" PRIu64 ", which nobody wrote",
                  record->sequence);
    else if (record->type != truth->type || record->base != truth->base ||
             record->count != truth->count || record->body_size != truth->body->size ||
             memcmp (record->body, truth->body->data, record->body_size) != 0)
        sim_fail (sim, "G1: record %" PRIu64 " is not what was written", record->sequence);
}

void sim_oracle_durable (sim_t *sim, uint64_t sequence)
{
    sim_model_t *model = sim->model;
    if (sequence == 0 || sequence > model->record_count)
        return;
    const sim_record_t *record = &model->records[sequence - 1];
    if (record->base + record->count > model->durable_tail)
        model->durable_tail = record->base + record->count;
}

void sim_oracle_recovered (sim_t *sim, const bn_journal_recovery_t *recovery)
{
    sim_model_t *model = sim->model;
    uint64_t last = recovery->sequence_next - 1;
    if (sim->failed)
        return;
    if (last < sim->server.kept) {
        sim_fail (sim,
                  "G1: record %" PRIu64 " was visible to others, and on disk by the sync policy; "
                  "the journal ends at %" PRIu64 " after the crash",
                  sim->server.kept, last);
        return;
    }
    if (last > model->record_count) {
        sim_fail (sim, "G1: the journal has %" PRIu64 " records, %" PRIu64 " were written", last,
                  model->record_count);
        return;
    }
    if (last < model->visible)
        sim_model_lost (sim, last);
    sim_model_rewind (sim, last);
    sim_oracle_durable (sim, last);
    for (uint64_t serial = 0; serial < model->serials && !sim->failed; serial++)
        if (model->published[serial] == PUBLISHED_RECEIPTED && !model->offset_of[serial])
            sim_fail (sim, "G1: event %" PRIu64 " has a receipt and is gone", serial);
    for (uint32_t a = 0; a < sim->config.actor_count && model->actors[a].id; a++)
        for (uint64_t o = 0; o < recovery->first_base && !sim->failed; o++) {
            uint8_t status = sim_model_duty (sim, a, o)->status;
            if (sim_model_wants (sim, a, o) && (status == STATUS_NONE || status == STATUS_PARKED))
                sim_fail (sim, "G2: event %" PRIu64 " waits for %s, and retention has let it go", o,
                          sim->config.actors[a].name);
        }
}

/*  ---- states ---- */

static bool add_hash (const void *key, size_t key_size, const void *value, size_t value_size,
                      void *arg)
{
    uint64_t *hash = arg;
    const uint8_t *parts[2] = {key, value};
    size_t sizes[2] = {key_size, value_size};
    for (int part = 0; part < 2; part++) {
        for (size_t i = 0; i < sizes[part]; i++)
            *hash = (*hash ^ parts[part][i]) * UINT64_C (0x100000001b3);
        *hash = (*hash ^ sizes[part]) * UINT64_C (0x100000001b3);
    }
    return true;
}

/*  What is parked has the reason of its last attempt, over crashes, checkpoints and owners.  */
static void check_reasons (sim_t *sim, const bn_state_t *live)
{
    for (uint32_t a = 0; a < sim->config.actor_count; a++) {
        const bn_actor_state_t *actor =
            bn_map_get_u64 (live->actors_by_id, sim->model->actors[a].id);
        for (uint32_t p = 0; actor && p < live->partitions; p++) {
            bn_map_node_t *node = bn_map_first (actor->partitions[p].parked);
            for (; node && !sim->failed; node = bn_map_next (node)) {
                const bn_parked_t *parked = bn_map_value (node);
                uint64_t hash =
                    parked->reason.size ? bn_hash (parked->reason.text, parked->reason.size) : 0;
                if (hash != sim_model_duty (sim, a, parked->offset)->reason)
                    sim_fail (sim,
                              "%" PRIu64 " of %s, with %u attempts, has the reason '%.*s', which "
                              "is not that of the last one",
                              parked->offset, actor->name, parked->attempts,
                              (int)parked->reason.size, parked->reason.text);
            }
        }
    }
}

void sim_oracle_state (sim_t *sim, bool thorough)
{
    char what[256] = "";
    const bn_state_t *live = bn_conductor_state (sim->server.conductor);
    if (sim->failed)
        return;
    if (!bn_state_check (live, what)) {
        sim_fail (sim, "the state contradicts itself: %s", what);
        return;
    }
    check_reasons (sim, live);
    if (!thorough || sim->failed)
        return;
    uint64_t hashes[2] = {1, 1};
    bn_state_save (live, add_hash, &hashes[0]);
    bn_state_save (sim->server.shadow, add_hash, &hashes[1]);
    if (hashes[0] != hashes[1])
        sim_fail (sim, "the state is not what its records add up to (record %" PRIu64 ")",
                  live->sequence);
}

/*  ---- the end ---- */

const char *sim_oracle_waiting (sim_t *sim, char text[256])
{
    const sim_model_t *model = sim->model;
    for (uint32_t i = 0; i < sim->config.producer_count; i++) {
        const sim_producer_t *producer = &sim->producers[i];
        if (producer->groups_receipted < sim->config.groups) {
            snprintf (text, 256, "producer %u has receipts for %u of %u groups", i,
                      producer->groups_receipted, sim->config.groups);
            return text;
        }
    }
    if (sim->watcher.next < model->tail) {
        snprintf (text, 256, "the reader is at %" PRIu64 " of %" PRIu64, sim->watcher.next,
                  model->tail);
        return text;
    }
    for (uint32_t a = 0; a < sim->config.actor_count; a++) {
        const char *name = sim->config.actors[a].name;
        if (!model->actors[a].id) {
            snprintf (text, 256, "%s is not registered", name);
            return text;
        }
        for (uint64_t o = 0; o < model->tail; o++) {
            const sim_duty_t *duty = sim_model_duty (sim, a, o);
            if (!sim_model_wants (sim, a, o) || duty->status == STATUS_SETTLED ||
                duty->status == STATUS_DEAD)
                continue;
            const sim_share_t *share = &model->actors[a].shares[model->log[o].partition];
            snprintf (text, 256,
                      "event %" PRIu64 " (%s, partition %u) is %s for %s; floor %" PRIu64
                      ", %u attempts, owner '%s' %" PRIu64 ", generation %" PRIu64,
                      o, model->log[o].topic, model->log[o].partition,
                      duty->status == STATUS_PARKED ? "parked" : "open", name, share->floor,
                      duty->attempts, share->owner, share->incarnation, share->generation);
            return text;
        }
    }
    return NULL;
}

void sim_oracle_end (sim_t *sim)
{
    if (!sim->server.up)
        return;
    sim_oracle_state (sim, true);
    for (uint64_t serial = 0; serial < sim->model->serials && !sim->failed; serial++)
        if (!(sim->model->published[serial] & PUBLISHED_RECEIPTED) ||
            (!sim->model->offset_of[serial] && !(sim->model->published[serial] & PUBLISHED_LOST)))
            sim_fail (sim, "G1: event %" PRIu64 " was published and is not in the journal", serial);
    if (!sim->failed) {
        sim_server_crash (sim, sim->config.sync == BN_SYNC_ALWAYS);
        sim_server_recover (sim);
    }
    if (!sim->failed)
        sim_oracle_state (sim, true);
}
