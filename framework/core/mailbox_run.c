/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_run.c - which events go to the handler next, and what became of them.
 *
 *  A run takes events from the partitions in turn, in offset order within each; parked events
 *  that are due come before the main line. While taking, an event whose key is parked is parked
 *  behind it, and one that has used up its attempts, or whose topic is not among our patterns, is
 *  given up: none of them reaches a handler. (Such a topic was among those of the build before,
 *  and no instance of that one is left.)
 *
 *  Careful events (offset below careful_until) go alone: BEGIN is journaled first, nothing else
 *  runs before the outcome is settled (M5). So if the process dies, what was begun is what killed
 *  it.
 *
 *      NONE -> BEGINNING (BEGIN sent) -> OUT (BEGUN, run handed out) -> SETTLING -> NONE  */

#include "base/hash.h"
#include "base/plant.h"
#include "core/mailbox_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_EVENTS_MIN 16  /* however slow the handler is */
#define TURN_EVENTS    32  /* from one partition before it is the next one's turn */
#define FOREIGN_EVENTS 256 /* of topics that we do not know, given up at a time in a partition */
#define FOREIGN_REASON "the topic is not among the patterns of this build"

typedef struct {
    bn_run_t *run;
    uint32_t capacity; /* items that there is room for */
    size_t bytes;      /* of data in it */
    bool careful;      /* takes one careful event, and only careful ones */
    bool saw_careful;  /* an ordinary run met careful events */
    bool parked_only;  /* takes nothing from the main line */
} bn_taking_t;

/*  ---- outcomes --------------------------------------------------------------------------- */

static bn_outcome_t *outcome_new (bn_mailbox_t *self, bn_outcome_kind_t kind,
                                  const bn_run_item_t *item)
{
    bn_outcome_t *outcome = bn_outcome_new (self);
    if (!outcome) {
        bn_mailbox_no_memory (self);
        return NULL;
    }
    outcome->kind = kind;
    outcome->main_line = !item->parked;
    outcome->offset = item->offset;
    outcome->key_hash = item->key_hash;
    outcome->attempts = item->attempt;
    return outcome;
}

static void count_bytes (bn_mailbox_t *self, bn_outcome_t *outcome)
{
    size_t bytes = 64 + (outcome->reason ? strlen (outcome->reason) : 0);
    for (uint32_t i = 0; i < outcome->emission_count; i++)
        bytes += bn_emission_bytes (&outcome->emissions[i]);
    bn_outcome_account (self, outcome, bytes);
}

static bn_outcome_t *died (bn_mailbox_t *self, const bn_run_item_t *item, uint32_t attempts,
                           const char *reason)
{
    bn_outcome_t *outcome = outcome_new (self, BN_OUTCOME_DIED, item);
    if (!outcome)
        return NULL;
    bn_dead_source_t source = {.topic = item->topic,
                               .fields = &item->fields,
                               .partition = item->partition,
                               .offset = item->offset,
                               .attempts = attempts,
                               .reason = reason};
    outcome->attempts = attempts;
    outcome->emissions = bn_mailbox_dead_letter (self, &source);
    if (!outcome->emissions) {
        bn_outcome_destroy (self, outcome);
        bn_mailbox_no_memory (self);
        return NULL;
    }
    outcome->emission_count = 1;
    count_bytes (self, outcome);
    return outcome;
}

/*  The emissions pass to the outcome; the event is kept beside them in case they are refused.  */
static bn_outcome_t *acknowledged (bn_mailbox_t *self, bn_run_item_t *item)
{
    bn_outcome_t *outcome =
        outcome_new (self, item->parked ? BN_OUTCOME_DONE : BN_OUTCOME_ACK, item);
    if (!outcome)
        return NULL;
    outcome->emissions = item->emissions;
    outcome->emissions_within = item->emissions_within;
    outcome->emission_count = item->emission_count;
    item->emissions = NULL;
    item->emissions_within = false;
    item->emission_count = 0;
    if (outcome->emission_count > 0) {
        outcome->topic = item->topic;
        outcome->fields = item->fields;
        outcome->blob = bn_blob_ref (item->blob);
        outcome->topic_blob = item->topic_blob ? bn_blob_ref (item->topic_blob) : NULL;
    }
    count_bytes (self, outcome);
    return outcome;
}

/*  Whole characters, and of bytes that are none a '?' each: SETTLE takes nothing else.  */
static void fit_reason (char *text)
{
    size_t size = strlen (text);
    if (size > BN_PARKED_REASON_BYTES_MAX) {
        size = BN_PARKED_REASON_BYTES_MAX;
        while (size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80)
            size--;
        text[size] = '\0';
    }
    if (bn_utf8_valid (text, size))
        return;
    for (; *text; text++)
        if ((uint8_t)*text >= 0x80)
            *text = '?';
}

/*  What is only set aside behind another has no reason of its own.  */
static bn_outcome_t *parked (bn_mailbox_t *self, bn_run_item_t *item, uint32_t attempts,
                             uint64_t due_ms)
{
    bn_outcome_t *outcome = outcome_new (self, BN_OUTCOME_PARK, item);
    if (!outcome)
        return NULL;
    outcome->attempts = attempts;
    outcome->due_ms = due_ms;
    if (item->result == BN_RESULT_RETRY && item->reason) {
        outcome->reason = item->reason;
        item->reason = NULL;
        fit_reason (outcome->reason);
    }
    count_bytes (self, outcome);
    return outcome;
}

/*  min * 2^(attempts - 1), at most max, then spread by the jitter to both sides.  */
static uint64_t backoff_ms (bn_mailbox_t *self, uint32_t attempts)
{
    uint64_t delay = self->options.policy.backoff_min_ms;
    uint64_t most = self->options.policy.backoff_max_ms;
    for (uint32_t i = 1; i < attempts && delay < most; i++)
        delay *= 2;
    if (delay > most)
        delay = most;
    uint64_t width = delay * self->options.backoff_jitter_pct / 100;
    return delay - width / 2 + bn_prng_below (&self->prng, width + 1);
}

/*  ---- taking ----------------------------------------------------------------------------- */

static bool run_full (const bn_mailbox_t *self, const bn_taking_t *taking)
{
    uint32_t count = taking->run ? taking->run->count : 0;
    return count >= (taking->careful ? 1 : self->run_most) || self->fx->failed ||
           taking->bytes >= self->options.prefetch_bytes;
}

/*  Room for one item more. Most steps make none, and a run is mostly as long as the one before.  */
static bool grow (bn_mailbox_t *self, bn_taking_t *taking)
{
    if (!taking->run) {
        taking->run = calloc (1, sizeof *taking->run);
        if (!taking->run) {
            bn_mailbox_no_memory (self);
            return false;
        }
        taking->run->careful = taking->careful;
    }
    if (taking->run->count < taking->capacity)
        return true;
    uint32_t capacity = taking->capacity ? taking->capacity * 2 : self->run_last + 4;
    bn_run_item_t *items = realloc (taking->run->items, capacity * sizeof *items);
    if (!items) {
        bn_mailbox_no_memory (self);
        return false;
    }
    taking->run->items = items;
    taking->capacity = capacity;
    return true;
}

/*  Where the next item of the run is to be built; NULL: no memory.  */
static bn_run_item_t *room (bn_mailbox_t *self, bn_taking_t *taking)
{
    return grow (self, taking) ? &taking->run->items[taking->run->count] : NULL;
}

/*  What was built there is part of the run.  */
static void put (bn_taking_t *taking, bn_slot_t *slot, uint32_t charged)
{
    bn_run_item_t *item = &taking->run->items[taking->run->count++];
    item->attempt = charged + 1;
    item->result = BN_RESULT_NONE;
    taking->bytes += item->fields.data_size;
    slot->out_epoch = slot->epoch;
    if (item->parked)
        return;
    if (slot->out_count++ == 0)
        slot->out_first = item->offset;
}

/*  Of each key, a parked event may go only if all its elders are in this run, or there are none.
 *  */
static bool is_next_of_key (const bn_slot_t *slot, const bn_parked_entry_t *entry, bool *elders_out)
{
    *elders_out = false;
    if (!entry->key_hash)
        return true;
    const bn_parked_entry_t *elder = bn_parked_head (slot, entry->key_hash);
    for (; elder != entry; elder = bn_parked_after (slot, elder)) {
        if (elder->state != BN_PARKED_OUT)
            return false;
        *elders_out = true;
    }
    return true;
}

static void give_up_parked (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry)
{
    char reason[BN_REASON_BYTES_MAX + 1] = FOREIGN_REASON;
    if (!entry->foreign)
        snprintf (reason, sizeof reason,
                  "given up after %" PRIu32 " attempts, ends of the process included",
                  entry->attempts);
    bn_outcome_t *outcome = died (self, &entry->item, entry->attempts, reason);
    if (!outcome)
        return;
    bn_slot_push_ready (slot, outcome);
    bn_parked_remove (self, slot, entry);
}

static bool is_foreign (bool foreign)
{
    return foreign && !BN_PLANT (foreign_handled);
}

static uint32_t take_parked (bn_mailbox_t *self, bn_taking_t *taking, bn_slot_t *slot)
{
    uint32_t taken = 0;
    uint64_t at = 0;
    bn_map_node_t *node;
    while (!run_full (self, taking) && taken < TURN_EVENTS &&
           (node = bn_map_at_least_u64 (slot->revived, at))) {
        bn_parked_entry_t *entry = bn_map_value (node);
        bool elders_out;
        at = entry->offset + 1;
        if (!is_next_of_key (slot, entry, &elders_out))
            continue;
        if (entry->attempts >= self->options.policy.max_attempts || is_foreign (entry->foreign)) {
            if (!elders_out)
                give_up_parked (self, slot, entry);
            continue;
        }
        if ((entry->offset < slot->careful_until) != taking->careful) {
            taking->saw_careful |= !taking->careful;
            continue;
        }
        bn_run_item_t *item = room (self, taking);
        if (!item)
            break;
        *item = entry->item;
        entry->item = (bn_run_item_t){0};
        self->out_bytes += entry->bytes;
        bn_parked_block (self, slot, entry);
        entry->state = BN_PARKED_OUT;
        put (taking, slot, entry->attempts);
        taken++;
    }
    return taken;
}

typedef struct {
    uint64_t offset;
    uint64_t key_hash;
    uint32_t charged;
    bool foreign;
} bn_next_t;

/*  The next event of the main line, left where it is; false: none.  */
static bool peek_main (bn_mailbox_t *self, bn_slot_t *slot, bn_next_t *next)
{
    bn_text_t key;
    const bn_run_item_t *returned = bn_slot_returned (slot);
    if (returned) {
        next->offset = returned->offset;
        next->foreign = false; /* it was handed out */
        key = returned->fields.key;
    } else {
        const bn_chunk_t *chunk = bn_slot_peek (self, slot);
        if (!chunk)
            return false;
        next->offset = chunk->offset;
        next->foreign = is_foreign (slot->foreign);
        key = slot->event.key;
    }
    next->key_hash = key.size ? bn_hash (key.text, key.size) : 0;
    next->charged = bn_slot_charged (slot, next->offset);
    return true;
}

static void pop_main (bn_mailbox_t *self, bn_slot_t *slot, const bn_next_t *next,
                      bn_run_item_t *item)
{
    if (slot->returned_count > 0)
        bn_slot_take_returned (slot, item);
    else
        bn_slot_pop (self, slot, item);
    item->key_hash = next->key_hash;
}

/*  Parks or gives up what must not reach a handler. False: no memory.  */
static bool set_aside (bn_mailbox_t *self, bn_slot_t *slot, const bn_next_t *next, bool behind)
{
    bn_run_item_t item;
    pop_main (self, slot, next, &item);
    bn_outcome_t *outcome;
    if (behind) {
        bn_parked_t entry = {.offset = next->offset,
                             .attempts = next->charged,
                             .due_ms = self->now.mono_ms,
                             .key_hash = next->key_hash};
        outcome = parked (self, &item, next->charged, entry.due_ms);
        if (outcome)
            bn_parked_add (self, slot, &entry, false);
    } else {
        char reason[BN_REASON_BYTES_MAX + 1] = FOREIGN_REASON;
        if (!next->foreign)
            snprintf (reason, sizeof reason, "the process died %" PRIu32 " times while handling it",
                      next->charged);
        outcome = died (self, &item, next->charged, reason);
    }
    bn_run_item_fini (&item);
    if (!outcome)
        return false;
    bn_slot_resolve (slot, outcome);
    return true;
}

static uint32_t take_main (bn_mailbox_t *self, bn_taking_t *taking, bn_slot_t *slot)
{
    uint32_t taken = 0;
    uint32_t foreign_most = slot->ready.first || slot->held.first ? 0 : FOREIGN_EVENTS;
    bn_next_t next;
    while (!run_full (self, taking) && taken < TURN_EVENTS && !bn_relief_stopped (&slot->relief) &&
           bn_map_count (slot->parked) + slot->out_count < self->parked_max &&
           peek_main (self, slot, &next)) {
        bool behind = bn_slot_key_parked (slot, next.key_hash) && !BN_PLANT (key_released);
        /*  There may be any number of them: each is a dead letter to be settled, and the partition
         *  stops at dead_max, so that the next ones wait for the outcome of these (G7).  */
        if (next.foreign && !behind &&
            (foreign_most-- == 0 || self->unsettled_bytes >= self->options.settle_bytes_max))
            break;
        if (behind || next.foreign || next.charged >= self->options.policy.max_attempts) {
            if (!set_aside (self, slot, &next, behind))
                break;
            continue;
        }
        if ((next.offset < slot->careful_until) != taking->careful) {
            taking->saw_careful |= !taking->careful;
            break;
        }
        bn_run_item_t *item = room (self, taking);
        if (!item)
            break;
        pop_main (self, slot, &next, item);
        put (taking, slot, next.charged);
        taken++;
    }
    return taken;
}

static bool take (bn_mailbox_t *self, bn_taking_t *taking)
{
    uint32_t taken;
    do {
        taken = 0;
        for (uint32_t i = 0; i < self->partitions && !run_full (self, taking); i++) {
            bn_slot_t *slot = &self->slots[(self->turn + i) % self->partitions];
            if (!bn_slot_works (self, slot))
                continue;
            if (bn_map_count (slot->revived) > 0)
                taken += take_parked (self, taking, slot);
            if (!taking->parked_only && (slot->returned_count > 0 || slot->chunk_first))
                taken += take_main (self, taking, slot);
        }
    } while (taken > 0 && !run_full (self, taking));
    self->turn = (self->turn + 1) % self->partitions;
    if (self->fx->failed || self->link == BN_LINK_OVER)
        bn_run_destroy (&taking->run);
    if (!taking->run)
        self->out_bytes = 0; /* all that left the queue was set aside */
    return taking->run != NULL;
}

/*  ---- handing out ------------------------------------------------------------------------ */

static void hand_out (bn_mailbox_t *self, bn_run_t *run)
{
    bn_mailbox_effect_t *effect = bn_mailbox_effect (self, BN_MAILBOX_RUN);
    if (!effect) {
        bn_run_destroy (&run);
        return;
    }
    effect->run = run;
    self->run_out = true;
    self->run_last = run->count;
}

static void begin (bn_mailbox_t *self)
{
    const bn_run_item_t *item = &self->begin_run->items[0];
    bn_message_t message = {.type = BN_BEGIN,
                            .begin = {.partition = item->partition,
                                      .generation = item->generation,
                                      .offset = item->offset}};
    bn_mailbox_ask (self, BN_ASK_BEGIN, &message, NULL, 0);
}

static bool take_careful (bn_mailbox_t *self, bool parked_only)
{
    bn_taking_t taking = {.careful = true, .parked_only = parked_only};
    if (!take (self, &taking))
        return false;
    self->begin_run = taking.run;
    self->careful = BN_CAREFUL_BEGINNING;
    self->careful_partition = taking.run->items[0].partition;
    self->careful_epoch = self->slots[self->careful_partition].epoch;
    self->careful_turn = false;
    begin (self);
    return true;
}

/*  Is there an outcome that still has to be settled before the next BEGIN? A stopped partition may
 *  have to keep those of its main line until its parked events have made room; if the process dies
 *  meanwhile, the event begun last is charged, and the rest is handled again, carefully.  */
static bool careful_settling (const bn_slot_t *slot)
{
    if (slot->settle_epoch || !bn_relief_stopped (&slot->relief))
        return slot->settle_epoch || bn_slot_dirty (slot);
    for (const bn_outcome_t *outcome = slot->ready.first; outcome; outcome = outcome->next)
        if (!outcome->main_line)
            return true;
    return false;
}

/*  The outcome of the careful event is settled, or nobody's business of ours any more.  */
static void end_careful (bn_mailbox_t *self)
{
    const bn_slot_t *slot = &self->slots[self->careful_partition];
    if (self->careful == BN_CAREFUL_SETTLING &&
        (slot->epoch != self->careful_epoch || !careful_settling (slot)))
        self->careful = BN_CAREFUL_NONE;
}

/*  ---- what may be handled ---------------------------------------------------------------- */

typedef enum {
    HANDLE_NOTHING,
    HANDLE_PARKED, /* events that were parked before, and nothing of a main line */
    HANDLE_ALL
} bn_handle_t;

static bool any_stopped (const bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        if (self->slots[i].owned && bn_relief_stopped (&self->slots[i].relief))
            return true;
    return false;
}

/*  Are all outcomes held behind events that went back to the queue?  */
static bool waits_for_the_queue (const bn_mailbox_t *self)
{
    return !bn_mailbox_dirty (self) && !bn_mailbox_asking (self, BN_ASK_SETTLE);
}

/*  As long as there is room on the account of outcomes, everything. If what is held behind events
 *  of the queue fills it, these have to be handled to get it settled. If what a stopped partition
 *  cannot settle fills it, only handling parked events makes room again; what becomes of them can
 *  be settled, but for those that die when dead_max is reached, and their followers: so that they
 *  have an account of their own.  */
static bn_handle_t what_may_be_handled (const bn_mailbox_t *self)
{
    if (self->unsettled_bytes < self->options.settle_bytes_max || waits_for_the_queue (self))
        return HANDLE_ALL;
    bool makes_room = any_stopped (self) && self->relief_bytes < self->options.settle_bytes_max;
    return makes_room ? HANDLE_PARKED : HANDLE_NOTHING;
}

void bn_mailbox_run_pump (bn_mailbox_t *self)
{
    end_careful (self);
    if (self->link != BN_LINK_JOINED || bn_mailbox_halts (self))
        return;
    if (self->careful == BN_CAREFUL_BEGINNING && !bn_mailbox_asking (self, BN_ASK_BEGIN) &&
        self->now.mono_ms >= self->begin_at_ms)
        begin (self);
    if (self->run_out || self->careful != BN_CAREFUL_NONE)
        return;
    bn_handle_t what = what_may_be_handled (self);
    if (what == HANDLE_NOTHING)
        return;
    bool parked_only = what == HANDLE_PARKED;
    if (self->careful_turn && take_careful (self, parked_only))
        return;
    bn_taking_t taking = {.parked_only = parked_only};
    if (take (self, &taking)) {
        /*  Ordinary and careful events take turns where there are both.  */
        self->careful_turn = taking.saw_careful;
        hand_out (self, taking.run);
    } else if (taking.saw_careful) {
        take_careful (self, parked_only);
    }
}

/*  ---- BEGIN ------------------------------------------------------------------------------ */

/*  A run that never reached the handler.  */
static void take_back (bn_mailbox_t *self)
{
    bn_run_t *run = self->begin_run;
    self->begin_run = NULL;
    self->careful = BN_CAREFUL_NONE;
    bn_mailbox_run_done (self, run);
}

void bn_mailbox_begun (bn_mailbox_t *self)
{
    if (!self->begin_run)
        return;
    const bn_slot_t *slot = &self->slots[self->careful_partition];
    if (slot->epoch != self->careful_epoch || (self->stopping && !bn_slot_works (self, slot))) {
        take_back (self);
        return;
    }
    self->careful = BN_CAREFUL_OUT;
    hand_out (self, self->begin_run);
    self->begin_run = NULL;
}

void bn_mailbox_begin_cancel (bn_mailbox_t *self)
{
    if (self->begin_run)
        take_back (self);
}

void bn_mailbox_begin_refused (bn_mailbox_t *self, const bn_error_t *error)
{
    if (bn_mailbox_common_error (self, error))
        bn_mailbox_begin_cancel (self);
    else
        self->begin_at_ms = self->now.mono_ms + 200 + bn_prng_below (&self->prng, 301);
}

uint64_t bn_mailbox_run_due (const bn_mailbox_t *self)
{
    bool waits = self->link == BN_LINK_JOINED && self->careful == BN_CAREFUL_BEGINNING &&
                 !bn_mailbox_asking (self, BN_ASK_BEGIN);
    return waits ? self->begin_at_ms : UINT64_MAX;
}

/*  ---- results ---------------------------------------------------------------------------- */

/*  Back in front of what is still in the queue.  */
static void give_back (bn_mailbox_t *self, bn_slot_t *slot, bn_run_item_t *item)
{
    bn_emissions_free (item->emissions, item->emission_count, item->emissions_within);
    item->emissions = NULL;
    item->emissions_within = false;
    item->emission_count = 0;
    free (item->reason);
    item->reason = NULL;
    if (!bn_slot_give_back (slot, item)) {
        bn_mailbox_no_memory (self);
        return;
    }
    item->blob = NULL;
    item->topic_blob = NULL;
}

/*  RETRY and REJECT: dead, or parked with a backoff. *entry is what to park, if it is to be.  */
static bn_outcome_t *failed (bn_mailbox_t *self, bn_run_item_t *item, bn_parked_t *entry)
{
    char reason[BN_REASON_BYTES_MAX + 1];
    if (item->result == BN_RESULT_REJECT) {
        self->stats.rejected++;
        return died (self, item, item->attempt, item->reason ? item->reason : "");
    }
    self->stats.retried++;
    if (item->attempt >= self->options.policy.max_attempts) {
        snprintf (reason, sizeof reason, "given up after %" PRIu32 " attempts: %.200s",
                  item->attempt, item->reason ? item->reason : "");
        return died (self, item, item->attempt, reason);
    }
    *entry = (bn_parked_t){.offset = item->offset,
                           .attempts = item->attempt + (BN_PLANT (attempts_doubled) ? 1 : 0),
                           .due_ms = self->now.mono_ms + backoff_ms (self, item->attempt),
                           .key_hash = item->key_hash};
    return parked (self, item, entry->attempts, entry->due_ms);
}

/*  Does the run say what became of a later main-line event of the same partition?  */
static bool goes_on (const bn_run_t *run, uint32_t index)
{
    for (uint32_t i = index + 1; i < run->count; i++)
        if (run->items[i].partition == run->items[index].partition && !run->items[i].parked &&
            run->items[i].result != BN_RESULT_NONE)
            return true;
    return false;
}

static void main_line_result (bn_mailbox_t *self, bn_slot_t *slot, const bn_run_t *run,
                              uint32_t index)
{
    bn_run_item_t *item = &run->items[index];
    bn_parked_t entry;
    bn_outcome_t *outcome = NULL;
    bool open = slot->returned_count > 0 && bn_slot_returned (slot)->offset < item->offset;
    if (item->result == BN_RESULT_NONE) {
        /*  Left out behind an elder that was then given up: it is parked for a moment, because the
         *  main line has gone on without it.  */
        if (!bn_slot_key_parked (slot, item->key_hash) && !goes_on (run, index)) {
            give_back (self, slot, item);
            return;
        }
        entry = (bn_parked_t){.offset = item->offset,
                              .attempts = item->attempt - 1,
                              .due_ms = self->now.mono_ms,
                              .key_hash = item->key_hash};
        outcome = parked (self, item, entry.attempts, entry.due_ms);
    } else {
        bn_assert (!open); /* the runner leaves NONE from where it stopped on */
        if (item->result == BN_RESULT_ACK)
            outcome = item->emission_count > 0 ? acknowledged (self, item) : NULL;
        else
            outcome = failed (self, item, &entry);
    }
    if (!open)
        bn_slot_flush_held (slot, item->offset);
    if (!outcome) {
        slot->handled++; /* a plain acknowledgement: the floor says it */
        return;
    }
    if (outcome->kind == BN_OUTCOME_PARK)
        bn_parked_add (self, slot, &entry, false);
    if (open)
        bn_slot_resolve (slot, outcome);
    else
        bn_slot_push_ready (slot, outcome);
}

static void parked_result (bn_mailbox_t *self, bn_slot_t *slot, bn_run_item_t *item)
{
    bn_parked_entry_t *entry = bn_map_get_u64 (slot->parked, item->offset);
    bn_assert (entry && entry->state == BN_PARKED_OUT);
    if (item->result == BN_RESULT_NONE) {
        bool head = !entry->key_hash || bn_parked_head (slot, entry->key_hash) == entry;
        entry->state = BN_PARKED_BLOCKED;
        if (!head || slot->revoked)
            return;
        free (item->reason);
        item->reason = NULL;
        entry->item = *item;
        entry->bytes = item->blob->size;
        item->blob = NULL;
        item->topic_blob = NULL;
        bn_parked_revive (self, slot, entry);
        return;
    }
    bn_parked_t again;
    bn_outcome_t *outcome =
        item->result == BN_RESULT_ACK ? acknowledged (self, item) : failed (self, item, &again);
    if (!outcome)
        return;
    if (outcome->kind == BN_OUTCOME_PARK) {
        entry->state = BN_PARKED_BLOCKED;
        entry->attempts = again.attempts;
        entry->due_ms = again.due_ms;
        entry->settled = false;
        bn_parked_block_followers (self, slot, entry);
    } else {
        bn_parked_remove (self, slot, entry);
    }
    bn_slot_push_ready (slot, outcome);
}

static void count_result (bn_mailbox_t *self, const bn_run_item_t *item)
{
    if (item->result == BN_RESULT_NONE)
        return;
    self->stats.handled++;
    if (item->result == BN_RESULT_ACK)
        self->stats.acked++;
}

/*  A run is ended early when it takes long. What it brings back is work for nothing, so the next
 *  one is not much longer than what this one came to.  */
static void measure (bn_mailbox_t *self, const bn_run_t *run)
{
    uint32_t handled = 0;
    for (uint32_t i = 0; i < run->count; i++)
        handled += run->items[i].result != BN_RESULT_NONE;
    uint32_t most = 2 * handled;
    if (handled == run->count && most < self->run_most)
        most = self->run_most; /* there was no more to do */
    if (most < RUN_EVENTS_MIN)
        most = RUN_EVENTS_MIN;
    self->run_most = most < self->options.run_events_max ? most : self->options.run_events_max;
}

void bn_mailbox_run_done (bn_mailbox_t *self, bn_run_t *run)
{
    self->run_out = false;
    self->out_bytes = 0;
    bool careful = self->careful == BN_CAREFUL_OUT;
    if (!careful)
        measure (self, run);
    for (uint32_t i = 0; i < run->count; i++) {
        bn_run_item_t *item = &run->items[i];
        bn_slot_t *slot = &self->slots[item->partition];
        count_result (self, item);
        /*  A partition that was lost meanwhile, also if it came back, is no longer the one that
         *  this event was taken from (M4).  */
        if (!slot->owned || slot->out_epoch != slot->epoch)
            continue;
        slot->out_count = 0;
        if (item->parked)
            parked_result (self, slot, item);
        else if (item->offset < slot->until)
            main_line_result (self, slot, run, i);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        bn_slot_t *slot = &self->slots[run->items[i].partition];
        if (slot->out_epoch && slot->out_epoch == slot->epoch) {
            slot->out_epoch = 0;
            bn_slot_flush_held (slot, bn_slot_unresolved (slot));
        }
    }
    if (careful)
        self->careful = BN_CAREFUL_SETTLING;
    bn_run_destroy (&run);
}
