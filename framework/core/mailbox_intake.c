/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_intake.c - sections into the queue: fan-out, FETCH, subscriptions.
 *
 *  The chain (DESIGN.md section 5). A fan-out header names the end of the previous section for this
 *  actor in this partition. previous <= position and base >= position: accept. base + count <=
 *  position: seen. Otherwise something is missing: FETCH from position. A section without a chain
 *  entry for this actor came through a prefix that lets too much through: it is not for us. The
 *  chain is also the filter, rather than our own patterns: another version of this actor may have
 *  registered others, and an event that the orchestrator counts for the actor must come to an end
 *  (one of a topic that we do not know: as a dead letter). A bundle has many small sections, each
 *  with its previous end.
 *
 *  Where newer patterns have taken over, an older instance is told where they begin (`until`): to
 *  it the partition ends there.
 *
 *  Every partition either lives from the fan-out or is `behind`: unsubscribed, and fed by FETCH
 *  until it has reached the tail. It falls behind when it finds gaps again and again, when its
 *  sections find the queue full, or when one FETCH was not enough to catch up.  */

#include "base/hash.h"
#include "base/plant.h"
#include "core/mailbox_internal.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_RETRY_MS     200 /* after the first refusal, then twice as long each time */
#define FETCH_RETRY_MS_MAX 5000
#define SUSPICION_DIVISOR  4 /* of heartbeat_ms: until a beat that tells what is lost */

/*  ---- room -------------------------------------------------------------------------------- */

static size_t room (const bn_mailbox_t *self)
{
    size_t used = BN_PLANT (prefetch_unbounded) ? 0 : self->queue_bytes + self->out_bytes;
    return used < self->options.prefetch_bytes ? self->options.prefetch_bytes - used : 0;
}

bool bn_slot_stopped (const bn_mailbox_t *self, const bn_slot_t *slot)
{
    return bn_relief_stopped (&slot->relief) || bn_map_count (slot->parked) >= self->parked_max;
}

static size_t share (const bn_mailbox_t *self)
{
    return self->options.prefetch_bytes / 2 / (self->owned_count ? self->owned_count : 1);
}

/*  A partition that is stopped takes nothing, and one that may be soon takes little: the others
 *  need the queue.  */
static bool may_take_more (const bn_mailbox_t *self, const bn_slot_t *slot)
{
    if (bn_slot_stopped (self, slot))
        return false;
    return bn_map_count (slot->parked) < self->parked_max / 2 ||
           slot->chunk_bytes < share (self) / 2;
}

/*  Lets go what a stopped partition holds beyond its share; it is fetched again later.  */
static void trim (bn_mailbox_t *self, bn_slot_t *slot)
{
    if (!bn_slot_stopped (self, slot) || slot->chunk_bytes <= share (self))
        return;
    size_t kept = 0;
    bn_chunk_t *last = slot->chunk_first;
    for (kept = last->bytes; last->next && kept + last->next->bytes <= share (self);
         last = last->next)
        kept += last->next->bytes;
    if (!last->next)
        return;
    bn_slot_drop_ahead (self, slot);
    slot->position = last->next->offset > last->next->from ? last->next->offset : last->next->from;
    slot->missing = true;
    slot->behind = true;
    slot->asked_epoch = 0; /* the FETCH in flight starts higher: its answer would leave a hole */
    bn_slot_cut_chunks (self, slot, last);
}

/*  ---- fan-out ----------------------------------------------------------------------------- */

static const bn_chain_t *chain_entry (const bn_fanout_t *fanout, uint32_t actor_id)
{
    for (uint32_t i = 0; i < fanout->chain_count; i++)
        if (fanout->chain[i].actor_id == actor_id)
            return &fanout->chain[i];
    return NULL;
}

static void fall_behind (bn_mailbox_t *self, bn_slot_t *slot)
{
    slot->behind = true;
    bn_slot_drop_ahead (self, slot);
}

static void gap (bn_mailbox_t *self, bn_slot_t *slot, uint64_t end)
{
    if (end > slot->known)
        slot->known = end;
    if (slot->missing || slot->asked_epoch)
        return; /* known already, on its way */
    slot->missing = true;
    self->stats.gaps++;
    uint64_t oldest = slot->gap_ms[0];
    memmove (slot->gap_ms, slot->gap_ms + 1, (BN_GAPS_MAX - 1) * sizeof *slot->gap_ms);
    slot->gap_ms[BN_GAPS_MAX - 1] = self->now.mono_ms + 1; /* 0: none */
    if (oldest && self->now.mono_ms + 1 - oldest < BN_GAPS_MS)
        fall_behind (self, slot);
}

/*  What comes while a gap is being fetched is kept: under load there is always something on its
 *  way, and dropping it would make the next gap.  */
static void keep_ahead (bn_mailbox_t *self, bn_slot_t *slot, const bn_section_t *section,
                        uint64_t previous)
{
    if (slot->behind || (slot->ahead_last && section->base < slot->ahead_last->end))
        return;
    bn_chunk_t *chunk = bn_chunk_new (self, slot, section);
    if (!chunk)
        return;
    chunk->previous = previous;
    if (slot->ahead_last)
        slot->ahead_last->next = chunk;
    else
        slot->ahead_first = chunk;
    slot->ahead_last = chunk;
    self->queue_bytes += chunk->bytes;
}

/*  The gap is closed, or part of it: what was kept behind it follows.  */
static void follow_ahead (bn_mailbox_t *self, bn_slot_t *slot)
{
    const bn_chunk_t *chunk;
    while ((chunk = slot->ahead_first)) {
        bool seen = chunk->end <= slot->position;
        if (!seen && (chunk->previous > slot->position || chunk->offset < slot->position))
            return;
        bn_chunk_t *next = bn_slot_unlink_ahead (self, slot);
        if (seen)
            bn_chunk_destroy (next);
        else
            bn_slot_link_last (self, slot, next);
    }
}

static void enqueue (bn_mailbox_t *self, bn_slot_t *slot, const bn_section_t *section)
{
    bn_chunk_t *chunk = bn_chunk_new (self, slot, section);
    if (chunk)
        bn_slot_link_last (self, slot, chunk);
}

/*  One section that came without being asked for.  */
static void take_in (bn_mailbox_t *self, const bn_section_t *section, uint64_t previous_end)
{
    bn_slot_t *slot =
        section->partition < self->partitions ? &self->slots[section->partition] : NULL;
    if (!slot || !bn_slot_works (self, slot))
        return;
    uint64_t end = section->base + section->count;
    if (end < section->base || end <= slot->position || section->base >= slot->until)
        return; /* seen, or not for us */
    size_t free_bytes = room (self);
    bool full = section->payload.size > free_bytes && free_bytes < self->options.prefetch_bytes;
    if (full || !may_take_more (self, slot)) {
        fall_behind (self, slot);
        slot->missing = true;
        if (end > slot->known)
            slot->known = end;
    } else if ((previous_end > slot->position || section->base < slot->position) &&
               !BN_PLANT (gap_ignored)) {
        gap (self, slot, end);
        keep_ahead (self, slot, section, previous_end);
    } else {
        enqueue (self, slot, section);
    }
}

static baton_err_t take_section (bn_mailbox_t *self, const bn_mailbox_event_t *event,
                                 char what[256])
{
    bn_fanout_t fanout;
    baton_err_t err = bn_fanout_decode (&fanout, event->frames, event->frame_count, what);
    if (err)
        return err;
    const bn_chain_t *chain = chain_entry (&fanout, self->actor_id);
    bn_blob_t *blob = event->blobs[2];
    bn_section_t section = {.topic = fanout.topic,
                            .partition = fanout.partition,
                            .count = fanout.count,
                            .base = fanout.base,
                            .payload = {blob, blob->data, blob->size}};
    if (chain)
        take_in (self, &section, chain->previous_end);
    bn_fanout_fini (&fanout);
    return BATON_OK;
}

/*  All in it is for us. Another's comes through a subscription to all topics of partition 255.  */
static baton_err_t take_bundle (bn_mailbox_t *self, const bn_mailbox_event_t *event, char what[256])
{
    const bn_frame_t *head = &event->frames[0];
    bn_bundle_t bundle;
    if (!self->channel || head->size != self->channel->size ||
        memcmp (head->data, self->channel->data, head->size) != 0)
        return BATON_OK;
    baton_err_t err = bn_bundle_decode (&bundle, event->frames, event->frame_count, what);
    if (err)
        return err;
    const uint8_t *payload = event->frames[2].data;
    for (uint32_t i = 0; i < bundle.section_count && self->link == BN_LINK_JOINED; i++) {
        const bn_bundled_t *bundled = &bundle.sections[i];
        bn_section_t section = {.topic = bundled->topic,
                                .partition = bundled->partition,
                                .count = bundled->count,
                                .base = bundled->base,
                                .payload = {NULL, payload, bundled->bytes}};
        take_in (self, &section, bundled->previous_end);
        payload += bundled->bytes;
    }
    bn_bundle_fini (&bundle);
    return BATON_OK;
}

void bn_mailbox_fanout (bn_mailbox_t *self, const bn_mailbox_event_t *event)
{
    if (self->link != BN_LINK_JOINED || bn_mailbox_halts (self))
        return;
    char what[256];
    const bn_frame_t *head = event->frame_count ? &event->frames[0] : NULL;
    bool bundled = head && bn_is_channel (head->data, head->size);
    baton_err_t err = bundled ? take_bundle (self, event, what) : take_section (self, event, what);
    if (err == BATON_ERR_MEMORY)
        bn_mailbox_no_memory (self);
    else if (err)
        /*  Whatever was in it, the chain will tell.  */
        bn_mailbox_log (self, BN_LOG_WARNING, "a fan-out message is not readable: %s", what);
}

void bn_mailbox_head (bn_mailbox_t *self, uint32_t partition, uint64_t head)
{
    bn_slot_t *slot = partition < self->partitions ? &self->slots[partition] : NULL;
    if (!slot || !slot->owned || slot->revoked)
        return;
    if (head > slot->until)
        head = slot->until;
    bool stuck = slot->position == slot->beat_position;
    if (slot->beat_head > slot->position && stuck && !BN_PLANT (tail_loss_ignored)) {
        /*  What the last beat told has not come since: it was lost without a successor.  */
        if (!slot->missing && !slot->asked_epoch) {
            slot->missing = true;
            self->stats.tail_losses++;
        }
        if (head > slot->known)
            slot->known = head;
    } else if (head > slot->position && stuck)
        /*  Lost, or on its way and late, as all things are on a busy machine: the next beat tells.
         */
        bn_mailbox_beat_early (self, self->heartbeat_ms / SUSPICION_DIVISOR);
    slot->beat_head = head;
    slot->beat_position = slot->position;
}

/*  ---- FETCH by position ------------------------------------------------------------------- */

static bool to_fetch (const bn_mailbox_t *self, const bn_slot_t *slot)
{
    return slot->missing && slot->position < slot->until && bn_slot_works (self, slot) &&
           may_take_more (self, slot);
}

/*  What was kept behind a gap must not keep the gap from being fetched.  */
static void make_room (bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        if (to_fetch (self, &self->slots[i]))
            bn_slot_drop_ahead (self, &self->slots[i]);
}

static void fetch (bn_mailbox_t *self)
{
    if (room (self) < self->options.prefetch_bytes / 4)
        make_room (self);
    size_t free_bytes = room (self);
    bool empty = self->queue_bytes + self->out_bytes == 0;
    if (bn_mailbox_asking (self, BN_ASK_FETCH) || self->now.mono_ms < self->fetch_at_ms ||
        (!empty && free_bytes < self->options.prefetch_bytes / 4))
        return;
    bn_fetch_t list[BN_PARTITIONS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->partitions; i++) {
        bn_slot_t *slot = &self->slots[i];
        if (to_fetch (self, slot))
            list[count++] = (bn_fetch_t){
                .partition = i, .generation = slot->generation, .from = slot->position};
    }
    if (count == 0)
        return;
    bn_message_t message = {
        .type = BN_FETCH,
        .fetch = {.bytes_max = free_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)free_bytes,
                  .partitions = list,
                  .partition_count = count}};
    if (message.fetch.bytes_max == 0)
        message.fetch.bytes_max = 1;
    if (!bn_mailbox_ask (self, BN_ASK_FETCH, &message, NULL, 0))
        return;
    self->stats.fetches++;
    for (uint32_t i = 0; i < count; i++)
        self->slots[list[i].partition].asked_epoch = self->slots[list[i].partition].epoch;
}

static void caught_up (bn_mailbox_t *self, bn_slot_t *slot, const bn_events_t *events)
{
    uint64_t upto = events->scanned_to < slot->until ? events->scanned_to : slot->until;
    if (upto > slot->position)
        slot->position = upto;
    if (!events->at_tail) {
        slot->missing = true;
        fall_behind (self, slot);
        return;
    }
    follow_ahead (self, slot);
    slot->missing = slot->known > slot->position;
    if (slot->behind && !slot->missing) {
        /*  The subscription takes effect later than this answer: look once more after it.  */
        slot->behind = false;
        slot->missing = true;
        memset (slot->gap_ms, 0, sizeof slot->gap_ms);
    }
}

void bn_mailbox_fetched (bn_mailbox_t *self, const bn_message_t *message, bn_blob_t *const *blobs)
{
    const bn_events_t *events = &message->events;
    self->fetches_refused = 0;
    for (uint32_t i = 0; i < events->section_count && self->link == BN_LINK_JOINED; i++) {
        bn_section_t section = events->sections[i];
        bn_blob_t *blob = blobs[i + 1];
        section.payload = (bn_slice_t){blob, blob->data, blob->size};
        bn_slot_t *slot =
            section.partition < self->partitions ? &self->slots[section.partition] : NULL;
        uint64_t end = section.base + section.count;
        if (slot && slot->owned && !slot->revoked && slot->asked_epoch == slot->epoch &&
            end > slot->position && end > section.base && section.base < slot->until)
            enqueue (self, slot, &section);
    }
    for (uint32_t i = 0; i < self->partitions; i++) {
        bn_slot_t *slot = &self->slots[i];
        if (slot->asked_epoch && slot->asked_epoch == slot->epoch && !slot->revoked)
            caught_up (self, slot, events);
        slot->asked_epoch = 0;
    }
}

/*  When a FETCH that was refused may be repeated: later each time, for a journal that cannot be
 *  read may stay so for a while.  */
static uint64_t fetch_again_ms (bn_mailbox_t *self, const bn_error_t *error)
{
    uint64_t wait_ms = FETCH_RETRY_MS;
    if (error->retriable && error->code != BATON_ERR_NO_SESSION) {
        if (self->fetches_refused == 0)
            bn_mailbox_log (
                self, BN_LOG_WARNING, "FETCH is refused for now (%.*s): %.*s; still trying",
                (int)error->name.size, error->name.text, (int)error->text.size, error->text.text);
        wait_ms <<= self->fetches_refused;
        if (wait_ms < FETCH_RETRY_MS_MAX)
            self->fetches_refused++;
        else
            wait_ms = FETCH_RETRY_MS_MAX;
    }
    return self->now.mono_ms + wait_ms;
}

void bn_mailbox_fetch_refused (bn_mailbox_t *self, const bn_error_t *error)
{
    for (uint32_t i = 0; i < self->partitions; i++)
        self->slots[i].asked_epoch = 0;
    self->fetch_at_ms = fetch_again_ms (self, error);
    bn_mailbox_common_error (self, error);
}

/*  ---- FETCH by offset: parked events ------------------------------------------------------- */

static bool is_head (const bn_slot_t *slot, const bn_parked_entry_t *entry)
{
    return !entry->key_hash || bn_parked_head (slot, entry->key_hash) == entry;
}

/*  Followers may be here before their heads; they cannot be handled, and must not keep the heads
 *  out.  */
static bool any_head_ready (const bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < self->partitions; i++) {
        const bn_slot_t *slot = &self->slots[i];
        if (!slot->owned)
            continue;
        for (bn_map_node_t *node = bn_map_first (slot->revived); node; node = bn_map_next (node))
            if (is_head (slot, bn_map_value (node)))
                return true;
    }
    return false;
}

static void fetch_offsets (bn_mailbox_t *self)
{
    if (bn_mailbox_asking (self, BN_ASK_OFFSETS) || bn_map_count (self->wanted) == 0 ||
        self->now.mono_ms < self->offsets_at_ms)
        return;
    /*  A full queue of other events does not keep parked ones out: they are what blocks it.  */
    size_t free_bytes = room (self);
    bool tight = self->revived_count > 0 && free_bytes < self->options.prefetch_bytes / 4;
    if (tight && any_head_ready (self))
        return;
    uint64_t offsets[BN_OFFSETS_MAX];
    bn_parked_entry_t *entries[BN_OFFSETS_MAX];
    uint32_t count = 0;
    for (bn_map_node_t *node = bn_map_first (self->wanted); node && count < BN_OFFSETS_MAX;
         node = bn_map_next (node)) {
        bn_parked_entry_t *entry = bn_map_value (node);
        if (tight && !is_head (&self->slots[entry->partition], entry))
            continue;
        entries[count] = entry;
        offsets[count] = entry->offset;
        count++;
    }
    if (count == 0)
        return;
    bn_message_t message = {
        .type = BN_FETCH,
        .fetch = {.bytes_max = free_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)free_bytes,
                  .offsets = offsets,
                  .offset_count = count}};
    if (message.fetch.bytes_max == 0)
        message.fetch.bytes_max = 1;
    if (!bn_mailbox_ask (self, BN_ASK_OFFSETS, &message, NULL, 0))
        return;
    self->stats.fetches++;
    for (uint32_t i = 0; i < count; i++) {
        bn_slot_t *slot = &self->slots[entries[i]->partition];
        bn_parked_block (self, slot, entries[i]);
        entries[i]->state = BN_PARKED_FETCHING;
        self->revived_count++;
    }
}

/*  A follower is of use only while its head is on its way to the handler.  */
static bool useful (const bn_slot_t *slot, const bn_parked_entry_t *entry)
{
    if (!entry->key_hash)
        return true;
    const bn_parked_entry_t *head = bn_parked_head (slot, entry->key_hash);
    return head == entry || (head->state >= BN_PARKED_WANTED);
}

static void revive (bn_mailbox_t *self, const bn_section_t *section)
{
    bn_slot_t *slot =
        section->partition < self->partitions ? &self->slots[section->partition] : NULL;
    if (!slot || !slot->owned)
        return;
    bn_parked_entry_t *entry = bn_map_get_u64 (slot->parked, section->base);
    if (!entry || entry->state != BN_PARKED_FETCHING || section->count != 1)
        return;
    bn_chunk_t *chunk = bn_chunk_new (self, slot, section);
    if (!chunk)
        return;
    bn_batch_reader_t reader;
    bn_event_fields_t fields;
    if (!bn_chunk_read (self, chunk, &reader) || !bn_chunk_next (self, chunk, &reader, &fields)) {
        bn_chunk_destroy (chunk);
        return;
    }
    bn_parked_block (self, slot, entry);
    entry->foreign = chunk->foreign;
    if (!useful (slot, entry)) {
        bn_chunk_destroy (chunk);
        return;
    }
    bn_chunk_item (slot, chunk, chunk->topic, &fields, &entry->item);
    entry->item.key_hash = entry->key_hash;
    entry->item.parked = true;
    entry->bytes = chunk->bytes;
    bn_parked_revive (self, slot, entry);
    bn_chunk_destroy (chunk);
}

/*  What was asked for and did not come is asked for again.  */
static uint32_t want_again (bn_mailbox_t *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->partitions && self->revived_count > 0; i++) {
        bn_slot_t *slot = &self->slots[i];
        if (!slot->owned)
            continue;
        for (bn_map_node_t *node = bn_map_first (slot->parked); node; node = bn_map_next (node)) {
            bn_parked_entry_t *entry = bn_map_value (node);
            if (entry->state != BN_PARKED_FETCHING)
                continue;
            bn_parked_block (self, slot, entry);
            bn_parked_activate (self, slot, entry);
            count++;
        }
    }
    return count;
}

void bn_mailbox_offsets_fetched (bn_mailbox_t *self, const bn_message_t *message,
                                 bn_blob_t *const *blobs)
{
    const bn_events_t *events = &message->events;
    self->fetches_refused = 0;
    for (uint32_t i = 0; i < events->section_count && self->link == BN_LINK_JOINED; i++) {
        bn_section_t section = events->sections[i];
        bn_blob_t *blob = blobs[i + 1];
        section.payload = (bn_slice_t){blob, blob->data, blob->size};
        revive (self, &section);
    }
    uint32_t missing = want_again (self);
    if (missing > 0 && events->section_count == 0) {
        bn_mailbox_log (self, BN_LOG_WARNING,
                        "%" PRIu32 " parked events were not sent; again in 1 s", missing);
        self->offsets_at_ms = self->now.mono_ms + 1000;
    }
}

void bn_mailbox_offsets_refused (bn_mailbox_t *self, const bn_error_t *error)
{
    self->offsets_at_ms = fetch_again_ms (self, error);
    want_again (self);
    bn_mailbox_common_error (self, error);
}

/*  ---- subscriptions ------------------------------------------------------------------------ */

static void subscribe (bn_mailbox_t *self, bn_slot_t *slot, bool on)
{
    for (uint32_t i = 0; i < self->prefix_count; i++) {
        bn_mailbox_effect_t *effect =
            bn_mailbox_effect (self, on ? BN_MAILBOX_SUBSCRIBE : BN_MAILBOX_UNSUBSCRIBE);
        if (!effect)
            return;
        effect->head =
            bn_fanout_topic_encode (slot->index, self->prefixes[i], strlen (self->prefixes[i]));
        if (!effect->head)
            bn_mailbox_no_memory (self);
    }
    slot->subscribed = on;
}

static void channel_effect (bn_mailbox_t *self, bool on)
{
    bn_mailbox_effect_t *effect =
        bn_mailbox_effect (self, on ? BN_MAILBOX_SUBSCRIBE : BN_MAILBOX_UNSUBSCRIBE);
    if (effect)
        effect->head = bn_blob_ref (self->channel);
}

/*  To bundles, as long as a partition lives from the fan-out.  */
static void subscribe_channel (bn_mailbox_t *self, bool wanted)
{
    if (self->channel && (!wanted || self->channel_actor_id != self->actor_id)) {
        channel_effect (self, false);
        bn_blob_unref (&self->channel);
    }
    if (!wanted || self->channel)
        return;
    self->channel = bn_channel_encode (self->actor_id, self->options.incarnation);
    self->channel_actor_id = self->actor_id;
    if (self->channel)
        channel_effect (self, true);
    else
        bn_mailbox_no_memory (self);
}

void bn_mailbox_subscribe_pump (bn_mailbox_t *self)
{
    bool any = false;
    if (self->link != BN_LINK_JOINED)
        return;
    for (uint32_t i = 0; i < self->partitions; i++) {
        bn_slot_t *slot = &self->slots[i];
        bool wanted = bn_slot_works (self, slot) && !slot->behind;
        any = any || wanted;
        if (wanted == slot->subscribed)
            continue;
        subscribe (self, slot, wanted);
        if (wanted && self->quick_beats == 0) {
            /*  What is published before the subscription has reached the orchestrator is lost to us
             *  without a word: have the heads early.  */
            self->quick_beats = BN_QUICK_BEATS;
            bn_mailbox_beat_early (self, BN_QUICK_BEAT_MS);
        }
    }
    subscribe_channel (self, any);
}

void bn_mailbox_fetch_pump (bn_mailbox_t *self)
{
    if (self->link != BN_LINK_JOINED || bn_mailbox_halts (self))
        return;
    for (uint32_t i = 0; i < self->partitions; i++)
        if (self->slots[i].owned && self->slots[i].chunk_first)
            trim (self, &self->slots[i]);
    fetch (self);
    bn_parked_want_due (self);
    fetch_offsets (self);
}

uint64_t bn_mailbox_fetch_due (const bn_mailbox_t *self)
{
    if (self->link != BN_LINK_JOINED || bn_mailbox_halts (self))
        return UINT64_MAX;
    uint64_t due = bn_parked_due (self);
    if (bn_map_count (self->wanted) > 0 && self->offsets_at_ms > self->now.mono_ms &&
        self->offsets_at_ms < due)
        due = self->offsets_at_ms;
    if (self->fetch_at_ms > self->now.mono_ms && self->fetch_at_ms < due)
        due = self->fetch_at_ms;
    return due;
}
