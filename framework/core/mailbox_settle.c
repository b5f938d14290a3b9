/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_settle.c - outcomes to SETTLE requests, and the answers to them.
 *
 *  One SETTLE is in flight; what gathers meanwhile goes with the next one (smart batching).
 *  Outcomes stay in their partition's list until SETTLED, so a request that is refused is simply
 *  built again, smaller or without the guilty one:
 *
 *      FENCED, NOT_OWNER, OFFSET   that partition is forgotten, the others go again at once
 *      LIMIT                       partitions go one by one; the guilty one stops and settles what
 *                                  finds room (mailbox_relief.c)
 *      DISK_FULL, other retriable  all wait 200 to 500 ms
 *      anything else               what was emitted is at fault: halve the events in a request
 *                                  until one is left, and that one becomes a dead letter with the
 *                                  text
 *
 *  The events of one outcome are never spread over two requests (G5), and the bytes of a request
 *  stay below what the orchestrator accepts.
 *
 *  A partition's part is made in three steps: what may go is marked in_flight; what that means
 *  once it is accepted, above all the floor, is kept in the slot; then it is added to the message.
 */

#include "base/plant.h"
#include "core/mailbox_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 4096 /* of a message besides what is counted */

/*  Upper bound of what one event adds to a message: every attribute anew, in a section of its own.
 *  */
size_t bn_emission_bytes (const bn_emission_t *emission)
{
    const bn_event_fields_t *fields = &emission->fields;
    return emission->topic.size + 2 * fields->id_prefix.size + fields->id.size + fields->key.size +
           2 * fields->source.size + 2 * fields->datacontenttype.size +
           2 * fields->dataschema.size + fields->data_size + fields->ext_size + 256;
}

typedef struct {
    bn_settlement_t settlements[BN_PARTITIONS_MAX];
    uint32_t count;
    bn_sections_t *sections;
    size_t bytes; /* upper bound so far */
    size_t bytes_max;
    uint32_t events;   /* emitted */
    uint32_t emitting; /* outcomes with emissions */
    uint32_t emitting_max;
    bool too_large; /* the first outcome alone does not fit: *guilty */
    bn_slot_t *guilty_slot;
    bn_outcome_t *guilty;
} bn_building_t;

/*  What goes of one partition.  */
typedef struct {
    bn_slot_t *slot;
    const bn_outcome_t *left_out; /* the first main-line one: the floor stays at it */
    bool any;                     /* an outcome goes */
    bool cut;                     /* one stays */
    bool full;                    /* for it found no room in the message */
} bn_share_t;

bool bn_slot_dirty (const bn_slot_t *slot)
{
    return slot->owned && (slot->ready.first || slot->handled > slot->handled_settled ||
                           (slot->revoked && !slot->out_epoch));
}

bool bn_mailbox_dirty (const bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        if (bn_slot_dirty (&self->slots[i]))
            return true;
    return false;
}

static bool no_memory (bn_mailbox_t *self)
{
    bn_mailbox_no_memory (self);
    return false;
}

static uint64_t later (bn_mailbox_t *self)
{
    return self->now.mono_ms + 200 + bn_prng_below (&self->prng, 301);
}

/*  ---- what may go -------------------------------------------------------------------------- */

static bool fits (const bn_building_t *building, const bn_outcome_t *outcome)
{
    bool first = building->bytes == 0;
    return (first || (building->bytes + outcome->bytes <= building->bytes_max &&
                      building->events + outcome->emission_count <= BN_SECTIONS_MAX)) &&
           (outcome->emission_count == 0 || building->emitting < building->emitting_max);
}

/*  Of a key, nothing is settled before what came before it (G3).  */
static bool elder_left_out (const bn_slot_t *slot, const bn_outcome_t *outcome)
{
    if (!outcome->key_hash)
        return false;
    for (const bn_outcome_t *elder = slot->ready.first; elder != outcome; elder = elder->next)
        if (!elder->in_flight && elder->key_hash == outcome->key_hash &&
            elder->offset < outcome->offset)
            return true;
    return false;
}

/*  As far as the partition is concerned. One that is not cut down offers all in order, so that
 *  nothing goes past what finds no room in the message.  */
static bool may_go (const bn_share_t *share, const bn_outcome_t *outcome)
{
    const bn_slot_t *slot = share->slot;
    if (slot->relief.state != BN_RELIEF_PART)
        return true;
    return !(outcome->main_line && share->left_out) && bn_relief_allows (&slot->relief, outcome) &&
           !elder_left_out (slot, outcome);
}

/*  Decides for each outcome whether it is in flight; what was in a request that was refused may be
 *  none of it now.  */
static void choose (bn_building_t *building, bn_share_t *share)
{
    bn_slot_t *slot = share->slot;
    bn_relief_offer (&slot->relief, &slot->ready);
    for (bn_outcome_t *outcome = slot->ready.first; outcome; outcome = outcome->next) {
        outcome->in_flight = !share->full && may_go (share, outcome);
        if (outcome->in_flight && !fits (building, outcome)) {
            outcome->in_flight = false;
            share->full = true;
        }
        if (outcome->in_flight) {
            bn_relief_add (&slot->relief, outcome);
            building->bytes += outcome->bytes;
            building->events += outcome->emission_count;
            building->emitting += outcome->emission_count > 0;
            share->any = true;
        } else {
            share->cut = true;
            if (outcome->main_line && !share->left_out)
                share->left_out = outcome;
        }
    }
    bn_relief_offered (&slot->relief, !share->cut);
}

/*  ---- what it means once it is accepted ---------------------------------------------------- */

/*  False: nothing.  */
static bool foresee (const bn_share_t *share)
{
    bn_slot_t *slot = share->slot;
    const bn_outcome_t *left_out = share->left_out;
    slot->settle_floor = left_out ? left_out->offset : bn_slot_unresolved (slot);
    slot->settle_handled = left_out ? left_out->handled_upto - 1 : slot->handled;
    /*  What finds no room before a release is left to the next owner, who handles it again.  */
    slot->settle_release = slot->revoked && !slot->out_epoch && !share->full;
    return share->any || slot->settle_handled > slot->handled_settled || slot->settle_release;
}

/*  ---- what it adds to the message ---------------------------------------------------------- */

/*  Adds the emissions of an outcome. False: too large, or no memory.  */
static bool add_emissions (bn_mailbox_t *self, bn_building_t *building, bn_slot_t *slot,
                           bn_outcome_t *outcome)
{
    for (uint32_t i = BN_PLANT (emission_lost) && outcome->emission_count > 1;
         i < outcome->emission_count; i++) {
        const bn_emission_t *emission = &outcome->emissions[i];
        baton_err_t err =
            bn_sections_add (building->sections, emission->topic.text, emission->topic.size,
                             &emission->fields, emission->spread);
        if (err == BATON_ERR_MEMORY)
            return no_memory (self);
        if (err) {
            building->too_large = true;
            building->guilty_slot = slot;
            building->guilty = outcome;
            return false;
        }
    }
    return true;
}

static bool make_room (const bn_slot_t *slot, bn_settlement_t *settlement)
{
    uint32_t counts[4] = {0};
    for (const bn_outcome_t *outcome = slot->ready.first; outcome; outcome = outcome->next)
        counts[outcome->kind] += outcome->in_flight;
    uint32_t parks = counts[BN_OUTCOME_PARK], dones = counts[BN_OUTCOME_DONE],
             died = counts[BN_OUTCOME_DIED];
    settlement->parks = parks ? malloc (parks * sizeof *settlement->parks) : NULL;
    settlement->dones = dones ? malloc (dones * sizeof *settlement->dones) : NULL;
    settlement->died = died ? malloc (died * sizeof *settlement->died) : NULL;
    return (!parks || settlement->parks) && (!dones || settlement->dones) &&
           (!died || settlement->died);
}

static void add_outcome (const bn_mailbox_t *self, bn_settlement_t *settlement,
                         const bn_outcome_t *outcome)
{
    uint64_t now_ms = self->now.mono_ms;
    switch (outcome->kind) {
    case BN_OUTCOME_PARK:
        settlement->parks[settlement->park_count++] = (bn_parked_t){
            .offset = outcome->offset,
            .attempts = outcome->attempts,
            .due_ms = outcome->due_ms > now_ms ? outcome->due_ms - now_ms : 0,
            .key_hash = outcome->key_hash,
            .reason = {outcome->reason, outcome->reason ? strlen (outcome->reason) : 0}};
        break;
    case BN_OUTCOME_DONE:
        settlement->dones[settlement->done_count++] = outcome->offset;
        break;
    case BN_OUTCOME_DIED:
        settlement->died[settlement->died_count++] =
            (bn_died_t){.offset = outcome->offset, .attempts = outcome->attempts};
        break;
    case BN_OUTCOME_ACK:
        break;
    }
}

/*  False: stop building (no memory, too large).  */
static bool add (bn_mailbox_t *self, bn_building_t *building, bn_slot_t *slot)
{
    bn_settlement_t *settlement = &building->settlements[building->count++];
    *settlement =
        (bn_settlement_t){.partition = slot->index,
                          .generation = slot->generation,
                          .floor = slot->settle_floor,
                          .handled = (uint32_t)(slot->settle_handled - slot->handled_settled),
                          .release = slot->settle_release};
    building->bytes += 64;
    if (!make_room (slot, settlement))
        return no_memory (self);
    for (bn_outcome_t *outcome = slot->ready.first; outcome; outcome = outcome->next) {
        if (!outcome->in_flight)
            continue;
        if (!add_emissions (self, building, slot, outcome))
            return false;
        add_outcome (self, settlement, outcome);
    }
    slot->settle_epoch = slot->epoch;
    return true;
}

/*  ---- building ----------------------------------------------------------------------------- */

/*  One partition's part. False: stop building.  */
static bool add_slot (bn_mailbox_t *self, bn_building_t *building, bn_slot_t *slot)
{
    bn_share_t share = {.slot = slot};
    choose (building, &share);
    if (foresee (&share))
        return add (self, building, slot);
    if (bn_relief_nothing_goes (&slot->relief))
        slot->relief.at_ms = later (self);
    return true;
}

static void building_fini (bn_building_t *building)
{
    for (uint32_t i = 0; i < building->count; i++) {
        free (building->settlements[i].parks);
        free (building->settlements[i].dones);
        free (building->settlements[i].died);
    }
    bn_sections_destroy (&building->sections);
}

static void in_flight_none (bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        self->slots[i].settle_epoch = 0;
}

static bool build (bn_mailbox_t *self, bn_building_t *building)
{
    size_t most = self->message_bytes_max > 2 * HEAD_BYTES ? self->message_bytes_max - HEAD_BYTES
                                                           : HEAD_BYTES;
    building->bytes_max = most;
    building->emitting_max = self->settle_emitting_max;
    building->sections = bn_sections_new (self->partitions, most + BN_SETTLE_BYTES_MORE);
    if (!building->sections)
        return no_memory (self);
    for (uint32_t i = 0; i < self->partitions && building->count < self->settle_partitions_max;
         i++) {
        bn_slot_t *slot = &self->slots[(self->turn + i) % self->partitions];
        if (bn_slot_dirty (slot) && self->now.mono_ms >= slot->relief.at_ms &&
            !add_slot (self, building, slot))
            return false;
    }
    return building->count > 0;
}

static void send_settle (bn_mailbox_t *self, bn_building_t *building)
{
    uint32_t section_count = 0;
    bn_section_t *sections = bn_sections_take (building->sections, &section_count);
    if (!sections && building->emitting > 0) {
        bn_mailbox_no_memory (self);
        return;
    }
    bn_message_t message = {.type = BN_SETTLE,
                            .settle = {.settlements = building->settlements,
                                       .settlement_count = building->count,
                                       .sections = sections,
                                       .section_count = section_count}};
    self->settle_partitions = building->count;
    self->settle_emitting = building->emitting;
    bn_mailbox_ask (self, BN_ASK_SETTLE, &message, sections, section_count);
    bn_section_array_free (sections, section_count);
}

/*  Emissions that no request can carry: the event is given up, with the reason.  */
static bool to_dead_letter (bn_mailbox_t *self, const bn_slot_t *slot, bn_outcome_t *outcome,
                            const char *reason)
{
    if (outcome->kind == BN_OUTCOME_DIED) {
        bn_mailbox_fatal (self, BATON_ERR_INTERNAL,
                          "the dead letter of the event at offset %" PRIu64 " is refused: %s",
                          outcome->offset, reason);
        return false;
    }
    bn_mailbox_log (self, BN_LOG_WARNING, "the event at offset %" PRIu64 " is given up: %s",
                    outcome->offset, reason);
    bn_dead_source_t source = {.topic = outcome->topic,
                               .fields = &outcome->fields,
                               .partition = slot->index,
                               .offset = outcome->offset,
                               .attempts = outcome->attempts,
                               .reason = reason};
    bn_emission_t *letter = bn_mailbox_dead_letter (self, &source);
    if (!letter)
        return no_memory (self);
    bn_emissions_free (outcome->emissions, outcome->emission_count, outcome->emissions_within);
    outcome->emissions = letter;
    outcome->emissions_within = false;
    outcome->emission_count = 1;
    outcome->kind = BN_OUTCOME_DIED;
    bn_outcome_account (self, outcome, 64 + bn_emission_bytes (letter));
    bn_blob_unref (&outcome->blob);
    bn_blob_unref (&outcome->topic_blob);
    return true;
}

void bn_mailbox_settle_pump (bn_mailbox_t *self)
{
    while (self->link == BN_LINK_JOINED && !bn_mailbox_asking (self, BN_ASK_SETTLE) &&
           self->now.mono_ms >= self->settle_at_ms && bn_mailbox_dirty (self) &&
           !self->fx->failed) {
        bn_building_t building = {0};
        bool built = build (self, &building);
        if (built)
            send_settle (self, &building);
        else
            in_flight_none (self);
        building_fini (&building);
        if (!building.too_large)
            return;
        char reason[BN_REASON_BYTES_MAX + 1];
        snprintf (reason, sizeof reason,
                  "what the handler emitted does not fit into a message of %" PRIu32 " bytes",
                  self->message_bytes_max);
        if (!to_dead_letter (self, building.guilty_slot, building.guilty, reason))
            return;
    }
}

/*  ---- answers ------------------------------------------------------------------------------ */

static void settle_slot (bn_mailbox_t *self, bn_slot_t *slot)
{
    slot->settle_epoch = 0;
    slot->floor = slot->settle_floor;
    slot->handled_settled = slot->settle_handled;
    if (slot->settle_release) {
        bn_slot_forget (self, slot);
        return;
    }
    bn_outcomes_t left = {0};
    for (bn_outcome_t *outcome = slot->ready.first, *next; outcome; outcome = next) {
        next = outcome->next;
        if (!outcome->in_flight) {
            outcome->next = NULL;
            if (left.last)
                left.last->next = outcome;
            else
                left.first = outcome;
            left.last = outcome;
            continue;
        }
        if (outcome->kind == BN_OUTCOME_PARK) {
            bn_parked_entry_t *entry = bn_map_get_u64 (slot->parked, outcome->offset);
            if (entry) {
                entry->settled = true;
                bn_parked_activate (self, slot, entry);
            }
        }
        bn_outcome_destroy (self, outcome);
    }
    slot->ready = left;
    bn_relief_accepted (&slot->relief);
}

static uint32_t twice (uint32_t value)
{
    return value > UINT32_MAX / 2 ? UINT32_MAX : value * 2;
}

void bn_mailbox_settled (bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        if (self->slots[i].settle_epoch && self->slots[i].settle_epoch == self->slots[i].epoch)
            settle_slot (self, &self->slots[i]);
    self->settle_partitions_max = twice (self->settle_partitions_max);
    self->settle_emitting_max = twice (self->settle_emitting_max);
}

static bn_slot_t *only_slot (bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        if (self->slots[i].settle_epoch && self->slots[i].settle_epoch == self->slots[i].epoch)
            return &self->slots[i];
    return NULL;
}

static void limited (bn_mailbox_t *self, const bn_error_t *error)
{
    if (self->settle_partitions > 1) {
        self->settle_partitions_max = 1;
        return;
    }
    bn_slot_t *slot = only_slot (self);
    if (!slot)
        return;
    if (!bn_relief_stopped (&slot->relief))
        bn_mailbox_log (self, BN_LOG_WARNING, "partition %" PRIu32 " is stopped: %.*s", slot->index,
                        (int)error->text.size, error->text.text);
    if (bn_relief_refused (&slot->relief))
        slot->relief.at_ms = later (self);
}

static void emissions_refused (bn_mailbox_t *self, const bn_error_t *error)
{
    if (self->settle_emitting > 1) {
        self->settle_emitting_max = self->settle_emitting / 2;
        return;
    }
    char reason[BN_REASON_BYTES_MAX + 1];
    snprintf (reason, sizeof reason, "what was emitted is refused (%.*s): %.*s",
              (int)error->name.size, error->name.text,
              (int)(error->text.size < 200 ? error->text.size : 200), error->text.text);
    for (uint32_t i = 0; i < self->partitions; i++)
        for (bn_outcome_t *outcome = self->slots[i].ready.first;
             self->slots[i].settle_epoch && outcome; outcome = outcome->next)
            if (outcome->in_flight && outcome->emission_count > 0) {
                to_dead_letter (self, &self->slots[i], outcome, reason);
                return;
            }
    bn_mailbox_fatal (self, error->code, "a settle is refused: %s", reason);
}

void bn_mailbox_settle_refused (bn_mailbox_t *self, const bn_error_t *error)
{
    bool of_partition = error->code == BATON_ERR_FENCED || error->code == BATON_ERR_NOT_OWNER ||
                        error->code == BATON_ERR_OFFSET;
    if (of_partition)
        self->stats.fenced++;
    if (of_partition || error->code == BATON_ERR_NO_SESSION) {
        /*  Not about anything that was sent: the heartbeat will say what is wrong.  */
        if (of_partition &&
            (error->detail >= self->partitions || !self->slots[error->detail].settle_epoch))
            self->settle_at_ms = later (self);
        bn_mailbox_common_error (self, error);
    } else if (error->code == BATON_ERR_LIMIT)
        limited (self, error);
    else if (error->retriable)
        self->settle_at_ms = later (self);
    else
        emissions_refused (self, error);
    in_flight_none (self);
}

uint64_t bn_mailbox_settle_due (const bn_mailbox_t *self)
{
    if (self->link != BN_LINK_JOINED || bn_mailbox_asking (self, BN_ASK_SETTLE))
        return UINT64_MAX;
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < self->partitions; i++) {
        const bn_slot_t *slot = &self->slots[i];
        if (!bn_slot_dirty (slot))
            continue;
        uint64_t at =
            slot->relief.at_ms > self->settle_at_ms ? slot->relief.at_ms : self->settle_at_ms;
        if (at < due)
            due = at;
    }
    return due;
}
