/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_partition.c - one partition of an instance: its parked events and its outcomes.
 *
 *  Main line. Offsets run through four places, each a range below the next:
 *
 *      settled | ready to settle | out in the run, or returned | in the queue | not received
 *            floor         unresolved ()                              position
 *
 *  What becomes of a main-line event while something below it is still out (parked behind an elder,
 *  dead before it was handled) is *held*, and moves to *ready* when all below is resolved: a floor
 *  never passes an event whose fate is open (M1 in mailbox.c).
 *
 *  Parked events. Only a head, the lowest parked offset of its key, is handed out, and only once
 *  the orchestrator knows it as it is (M3): BLOCKED -> DUE -> WANTED -> FETCHING -> READY -> OUT.
 *  When a head leaves, the next of its key is due at once. A few followers are fetched along with
 *  their head and may go into the same run behind it; the runner stops a key at the first one that
 *  is not settled. */

#include "base/plant.h"
#include "core/mailbox_internal.h"
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES    16 /* key hash, offset */
#define DUE_BYTES    20 /* due, partition, offset */
#define WANTED_BYTES 12 /* partition, offset */

static uint8_t *put_be (uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static void key_of (uint8_t key[KEY_BYTES], uint64_t key_hash, uint64_t offset)
{
    put_be (put_be (key, key_hash, 8), offset, 8);
}

static void due_of (uint8_t key[DUE_BYTES], const bn_parked_entry_t *entry)
{
    put_be (put_be (put_be (key, entry->due_ms, 8), entry->partition, 4), entry->offset, 8);
}

static void wanted_of (uint8_t key[WANTED_BYTES], const bn_parked_entry_t *entry)
{
    put_be (put_be (key, entry->partition, 4), entry->offset, 8);
}

/*  ---- parked events --------------------------------------------------------------------- */

static bn_parked_entry_t *same_key (bn_map_node_t *node, uint64_t key_hash)
{
    bn_parked_entry_t *entry = node ? bn_map_value (node) : NULL;
    return entry && entry->key_hash == key_hash ? entry : NULL;
}

bn_parked_entry_t *bn_parked_head (const bn_slot_t *slot, uint64_t key_hash)
{
    uint8_t key[KEY_BYTES];
    key_of (key, key_hash, 0);
    return same_key (bn_map_at_least (slot->parked_by_key, key, sizeof key), key_hash);
}

bn_parked_entry_t *bn_parked_after (const bn_slot_t *slot, const bn_parked_entry_t *entry)
{
    if (!entry->key_hash)
        return NULL;
    uint8_t key[KEY_BYTES];
    key_of (key, entry->key_hash, entry->offset);
    return same_key (bn_map_after (slot->parked_by_key, key, sizeof key), entry->key_hash);
}

bool bn_slot_key_parked (const bn_slot_t *slot, uint64_t key_hash)
{
    return key_hash && bn_map_count (slot->parked_by_key) > 0 && bn_parked_head (slot, key_hash);
}

static bool is_head (const bn_slot_t *slot, const bn_parked_entry_t *entry)
{
    return !entry->key_hash || bn_parked_head (slot, entry->key_hash) == entry;
}

bn_parked_entry_t *bn_parked_add (bn_mailbox_t *self, bn_slot_t *slot, const bn_parked_t *parked,
                                  bool settled)
{
    bn_parked_entry_t *entry = bn_map_get_u64 (slot->parked, parked->offset);
    if (entry)
        return entry; /* twice in an assignment: one is enough */
    entry = calloc (1, sizeof *entry);
    if (!entry) {
        bn_mailbox_no_memory (self);
        return NULL;
    }
    entry->offset = parked->offset;
    entry->key_hash = parked->key_hash;
    entry->due_ms = parked->due_ms;
    entry->partition = slot->index;
    entry->attempts = parked->attempts;
    entry->settled = settled;
    uint8_t key[KEY_BYTES];
    key_of (key, entry->key_hash, entry->offset);
    if (!bn_map_put_u64 (slot->parked, entry->offset, entry, NULL)) {
        free (entry);
        bn_mailbox_no_memory (self);
        return NULL;
    }
    if (entry->key_hash && !bn_map_put (slot->parked_by_key, key, sizeof key, entry, NULL))
        bn_mailbox_no_memory (self);
    return entry;
}

void bn_parked_activate (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry)
{
    if (entry->state != BN_PARKED_BLOCKED || !entry->settled || slot->revoked ||
        !is_head (slot, entry))
        return;
    uint8_t key[DUE_BYTES];
    due_of (key, entry);
    if (!bn_map_put (self->due, key, sizeof key, entry, NULL)) {
        bn_mailbox_no_memory (self);
        return;
    }
    entry->state = BN_PARKED_DUE;
}

void bn_parked_block (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry)
{
    uint8_t key[DUE_BYTES];
    switch (entry->state) {
    case BN_PARKED_DUE:
        due_of (key, entry);
        bn_map_remove (self->due, key, DUE_BYTES);
        break;
    case BN_PARKED_WANTED:
        wanted_of (key, entry);
        bn_map_remove (self->wanted, key, WANTED_BYTES);
        break;
    case BN_PARKED_FETCHING:
        self->revived_count--;
        break;
    case BN_PARKED_READY:
        bn_map_remove_u64 (slot->revived, entry->offset);
        self->revived_count--;
        self->queue_bytes -= entry->bytes;
        entry->bytes = 0;
        bn_run_item_fini (&entry->item);
        break;
    case BN_PARKED_BLOCKED:
    case BN_PARKED_OUT:
        break;
    }
    entry->state = BN_PARKED_BLOCKED;
}

void bn_parked_block_followers (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry)
{
    for (bn_parked_entry_t *next = bn_parked_after (slot, entry); next;
         next = bn_parked_after (slot, next))
        if (next->state == BN_PARKED_WANTED || next->state == BN_PARKED_READY)
            bn_parked_block (self, slot, next);
}

void bn_parked_revive (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry)
{
    if (!bn_map_put_u64 (slot->revived, entry->offset, entry, NULL))
        bn_mailbox_no_memory (self);
    self->revived_count++;
    self->queue_bytes += entry->bytes;
    entry->state = BN_PARKED_READY;
}

void bn_parked_remove (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry)
{
    bn_parked_entry_t *next = bn_parked_after (slot, entry);
    uint8_t key[KEY_BYTES];
    key_of (key, entry->key_hash, entry->offset);
    bn_parked_block (self, slot, entry);
    bn_map_remove_u64 (slot->parked, entry->offset);
    if (entry->key_hash)
        bn_map_remove (slot->parked_by_key, key, sizeof key);
    free (entry);
    if (next && is_head (slot, next) && next->state == BN_PARKED_BLOCKED &&
        !BN_PLANT (follower_forgotten)) {
        next->due_ms = self->now.mono_ms;
        bn_parked_activate (self, slot, next);
    }
}

static void want (bn_mailbox_t *self, bn_parked_entry_t *entry)
{
    uint8_t key[WANTED_BYTES];
    wanted_of (key, entry);
    if (!bn_map_put (self->wanted, key, sizeof key, entry, NULL))
        bn_mailbox_no_memory (self);
    entry->state = BN_PARKED_WANTED;
}

void bn_parked_want_due (bn_mailbox_t *self)
{
    bn_map_node_t *node;
    while ((node = bn_map_first (self->due))) {
        bn_parked_entry_t *entry = bn_map_value (node);
        if (entry->due_ms > self->now.mono_ms)
            break;
        bn_slot_t *slot = &self->slots[entry->partition];
        bn_parked_block (self, slot, entry);
        want (self, entry);
        uint32_t ahead = 1;
        for (bn_parked_entry_t *next = bn_parked_after (slot, entry);
             next && ahead < BN_PARKED_AHEAD && next->settled;
             next = bn_parked_after (slot, next)) {
            if (next->state == BN_PARKED_BLOCKED)
                want (self, next);
            ahead++;
        }
    }
}

uint64_t bn_parked_due (const bn_mailbox_t *self)
{
    bn_map_node_t *node = bn_map_first (self->due);
    return node ? ((const bn_parked_entry_t *)bn_map_value (node))->due_ms : UINT64_MAX;
}

/*  ---- outcomes -------------------------------------------------------------------------- */

void bn_outcome_account (bn_mailbox_t *self, bn_outcome_t *outcome, size_t bytes)
{
    self->unsettled_bytes += bytes - outcome->bytes;
    if (!outcome->main_line)
        self->relief_bytes += bytes - outcome->bytes;
    outcome->bytes = bytes;
}

bn_outcome_t *bn_outcome_new (bn_mailbox_t *self)
{
    bn_outcome_t *outcome = self->spare;
    if (!outcome)
        return calloc (1, sizeof *outcome);
    self->spare = outcome->next;
    self->spare_count--;
    *outcome = (bn_outcome_t){.next = NULL};
    return outcome;
}

void bn_outcome_destroy (bn_mailbox_t *self, bn_outcome_t *outcome)
{
    bn_outcome_account (self, outcome, 0);
    bn_emissions_free (outcome->emissions, outcome->emission_count, outcome->emissions_within);
    bn_blob_unref (&outcome->blob);
    bn_blob_unref (&outcome->topic_blob);
    free (outcome->reason);
    if (self->spare_count == BN_SPARE_MAX) {
        free (outcome);
        return;
    }
    outcome->next = self->spare;
    self->spare = outcome;
    self->spare_count++;
}

void bn_outcomes_fini (bn_mailbox_t *self)
{
    for (bn_outcome_t *outcome; (outcome = self->spare);) {
        self->spare = outcome->next;
        free (outcome);
    }
    self->spare_count = 0;
}

static void append (bn_outcomes_t *list, bn_outcome_t *outcome)
{
    outcome->next = NULL;
    if (list->last)
        list->last->next = outcome;
    else
        list->first = outcome;
    list->last = outcome;
}

static bn_outcome_t *take_first (bn_outcomes_t *list)
{
    bn_outcome_t *outcome = list->first;
    list->first = outcome->next;
    if (!list->first)
        list->last = NULL;
    return outcome;
}

static void insert_ascending (bn_outcomes_t *list, bn_outcome_t *outcome)
{
    if (!list->last || list->last->offset < outcome->offset) {
        append (list, outcome);
        return;
    }
    bn_outcome_t **at = &list->first;
    while ((*at)->offset < outcome->offset)
        at = &(*at)->next;
    outcome->next = *at;
    *at = outcome;
}

void bn_slot_push_ready (bn_slot_t *slot, bn_outcome_t *outcome)
{
    if (outcome->main_line)
        outcome->handled_upto = ++slot->handled;
    else
        bn_relief_parked_handled (&slot->relief);
    append (&slot->ready, outcome);
}

void bn_slot_flush_held (bn_slot_t *slot, uint64_t below)
{
    while (slot->held.first && slot->held.first->offset < below)
        bn_slot_push_ready (slot, take_first (&slot->held));
}

void bn_slot_resolve (bn_slot_t *slot, bn_outcome_t *outcome)
{
    insert_ascending (&slot->held, outcome);
    bn_slot_flush_held (slot, bn_slot_unresolved (slot));
}

uint64_t bn_slot_unresolved (const bn_slot_t *slot)
{
    if (slot->out_count > 0)
        return slot->out_first;
    if (slot->returned_count > 0 && !BN_PLANT (floor_past_unsettled))
        return bn_slot_returned (slot)->offset;
    const bn_chunk_t *chunk = slot->chunk_first;
    if (chunk)
        return chunk->offset > chunk->from ? chunk->offset : chunk->from;
    return slot->position;
}

uint32_t bn_slot_charged (const bn_slot_t *slot, uint64_t offset)
{
    for (uint32_t i = 0; i < slot->charged_count; i++)
        if (slot->charged[i].offset == offset)
            return slot->charged[i].attempts;
    return 0;
}

/*  ---- taking over and giving up ---------------------------------------------------------- */

static void drop_outcomes (bn_mailbox_t *self, bn_outcomes_t *list)
{
    while (list->first)
        bn_outcome_destroy (self, take_first (list));
}

void bn_slot_forget (bn_mailbox_t *self, bn_slot_t *slot)
{
    if (!slot->owned)
        return;
    bn_slot_drop_chunks (self, slot);
    bn_slot_drop_returned (slot, 0);
    drop_outcomes (self, &slot->held);
    drop_outcomes (self, &slot->ready);
    if (slot->parked)
        for (bn_map_node_t *node = bn_map_first (slot->parked); node; node = bn_map_next (node)) {
            bn_parked_entry_t *entry = bn_map_value (node);
            bn_parked_block (self, slot, entry);
            free (entry);
        }
    bn_map_destroy (&slot->parked);
    bn_map_destroy (&slot->parked_by_key);
    bn_map_destroy (&slot->revived);
    free (slot->charged);
    *slot = (bn_slot_t){.index = slot->index, .subscribed = slot->subscribed};
    self->owned_count--;
}

static bool copy_charged (bn_slot_t *slot, const bn_assignment_t *assignment)
{
    if (assignment->charged_count == 0)
        return true;
    size_t bytes = assignment->charged_count * sizeof *slot->charged;
    slot->charged = malloc (bytes);
    if (!slot->charged)
        return false;
    memcpy (slot->charged, assignment->charged, bytes);
    slot->charged_count = assignment->charged_count;
    return true;
}

bool bn_slot_start (bn_mailbox_t *self, bn_slot_t *slot, const bn_assignment_t *assignment)
{
    bn_slot_forget (self, slot);
    slot->owned = true;
    slot->revoked = assignment->revoked;
    self->owned_count++;
    slot->epoch = ++self->epoch_last;
    slot->generation = assignment->generation;
    slot->floor = slot->position = slot->beat_position = assignment->floor;
    slot->until = assignment->until ? assignment->until : BN_NO_OFFSET;
    slot->known = assignment->head < slot->until ? assignment->head : slot->until;
    slot->missing = slot->known > slot->position;
    slot->careful_until = assignment->careful_until;
    bn_relief_start (&slot->relief, self->parked_max, assignment->parked_count);
    slot->parked = bn_map_new ();
    slot->parked_by_key = bn_map_new ();
    slot->revived = bn_map_new ();
    if (!slot->parked || !slot->parked_by_key || !slot->revived ||
        !copy_charged (slot, assignment)) {
        bn_mailbox_no_memory (self);
        bn_slot_forget (self, slot);
        return false;
    }
    for (uint32_t i = 0; i < assignment->parked_count; i++) {
        bn_parked_t parked = assignment->parked[i];
        parked.due_ms += self->now.mono_ms;
        bn_parked_add (self, slot, &parked, true);
    }
    for (bn_map_node_t *node = bn_map_first (slot->parked); node; node = bn_map_next (node))
        bn_parked_activate (self, slot, bn_map_value (node));
    return true;
}

void bn_slot_revoke (bn_mailbox_t *self, bn_slot_t *slot)
{
    if (slot->revoked)
        return;
    slot->revoked = true;
    uint64_t next = slot->position;
    if (slot->returned_count > 0)
        next = bn_slot_returned (slot)->offset;
    else if (slot->chunk_first)
        next = slot->chunk_first->offset > slot->chunk_first->from ? slot->chunk_first->offset
                                                                   : slot->chunk_first->from;
    bn_slot_drop_chunks (self, slot);
    bn_slot_drop_returned (slot, 0);
    slot->position = next;
    slot->missing = false;
    for (bn_map_node_t *node = bn_map_first (slot->parked); node; node = bn_map_next (node)) {
        bn_parked_entry_t *entry = bn_map_value (node);
        if (entry->state != BN_PARKED_OUT)
            bn_parked_block (self, slot, entry);
    }
}

/*  What is out in the run from there on comes back and counts for nothing. If there is the outcome
 *  of such an event already, all stays as it is: the SETTLE that has it is refused, and then the
 *  partition is started anew. (Not now: a SETTLE under way may yet move the floor.)  */
void bn_slot_limit (bn_mailbox_t *self, bn_slot_t *slot, uint64_t until)
{
    if (until >= slot->until)
        return;
    slot->until = until;
    bool unsettled = slot->ready.first || slot->held.first || slot->settle_epoch ||
                     slot->handled > slot->handled_settled;
    if (unsettled && (bn_slot_unresolved (slot) > until ||
                      (slot->held.last && slot->held.last->offset >= until)))
        return;
    bn_slot_drop_ahead (self, slot);
    bn_slot_drop_returned (slot, until);
    bn_chunk_t *last = NULL;
    bn_chunk_t *chunk = slot->chunk_first;
    for (; chunk && chunk->end <= until; chunk = chunk->next)
        last = chunk;
    if (slot->position > until)
        slot->position = until;
    if (chunk && chunk->offset < slot->position) {
        slot->position = chunk->offset > chunk->from ? chunk->offset : chunk->from;
        slot->asked_epoch = 0; /* the FETCH in flight may start higher */
    }
    bn_slot_cut_chunks (self, slot, last);
    if (slot->known > until)
        slot->known = until;
    slot->missing = slot->known > slot->position;
}

static bool owes (const bn_mailbox_t *self, const bn_slot_t *slot)
{
    return slot->until != BN_NO_OFFSET && bn_slot_unresolved (slot) < slot->until &&
           self->now.mono_ms < self->handover_until_ms;
}

bool bn_slot_works (const bn_mailbox_t *self, const bn_slot_t *slot)
{
    return slot->owned && !slot->revoked && (!self->stopping || owes (self, slot));
}

bool bn_mailbox_halts (const bn_mailbox_t *self)
{
    bool halts = self->stopping;
    for (uint32_t i = 0; halts && i < self->partitions; i++)
        halts = !bn_slot_works (self, &self->slots[i]);
    return halts;
}

uint64_t bn_mailbox_in_flight (const bn_mailbox_t *self)
{
    uint64_t sum = self->revived_count;
    for (uint32_t index = 0; index < self->partitions; index++) {
        const bn_slot_t *slot = &self->slots[index];
        if (!slot->owned)
            continue;
        for (const bn_chunk_t *chunk = slot->chunk_first; chunk; chunk = chunk->next)
            sum += chunk->end - chunk->offset;
        sum += slot->returned_count + slot->out_count + (slot->handled - slot->handled_settled);
        for (const bn_outcome_t *held = slot->held.first; held; held = held->next)
            sum++;
    }
    return sum;
}
