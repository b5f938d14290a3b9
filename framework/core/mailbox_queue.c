/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_queue.c - what was received of a partition and not handed out, as it came.
 *
 *  DESIGN. A chunk is a section; its events are decoded when they are taken, by a reader that the
 *  partition has. The payload of a large section is a blob of its own, which is kept. Small ones
 *  come many in a bundle, each an event or two, and are copied. A chunk, the text of its topic and
 *  a payload that was copied lie one behind the other in a slab: one allocation for a dozen
 *  neighbours, and an event that is taken is found where its section was. A slab has chunks of one
 *  partition only, and those leave in order, so that no more than a slab is kept for a few bytes of
 *  it. Rejected: a slab for all partitions (one that is stopped would keep the memory of all
 *  others); topics looked up in a map, and their texts shared (with a thousand topics in each of
 *  many processes, what the map touches was in no cache).  */

#include "core/mailbox_internal.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES  4096
#define SMALL_BYTES 1024 /* a larger chunk has a blob of its own */
#define ALIGNMENT   _Alignof(bn_chunk_t)
_Static_assert(offsetof (bn_blob_t, data) % ALIGNMENT == 0, "chunks lie in blobs");

static bool is_foreign (const bn_mailbox_t *self, bn_text_t topic)
{
    for (uint32_t i = 0; i < self->options.pattern_count; i++)
        if (bn_pattern_matches (self->options.patterns[i], strlen (self->options.patterns[i]),
                                topic.text, topic.size))
            return false;
    return true;
}

void bn_chunk_destroy (bn_chunk_t *chunk)
{
    bn_blob_t *home = chunk->home;
    bn_blob_unref (&chunk->payload);
    bn_blob_unref (&home);
}

/*  Room behind the last chunk of its partition; *home is counted. NULL: no memory.  */
static void *take_room (bn_slot_t *slot, size_t size, bn_blob_t **home)
{
    size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (size > SMALL_BYTES) {
        *home = bn_blob_new (size);
        return *home ? (*home)->data : NULL;
    }
    if (!slot->slab || slot->slab->size - slot->slab_used < size) {
        bn_blob_unref (&slot->slab);
        slot->slab = bn_blob_new (SLAB_BYTES);
        slot->slab_used = 0;
        if (!slot->slab)
            return NULL;
    }
    void *at = slot->slab->data + slot->slab_used;
    slot->slab_used += size;
    *home = bn_blob_ref (slot->slab);
    return at;
}

bn_chunk_t *bn_chunk_new (bn_mailbox_t *self, bn_slot_t *slot, const bn_section_t *section)
{
    const bn_slice_t *payload = &section->payload;
    size_t topic_size = section->topic.size;
    size_t size = sizeof (bn_chunk_t) + topic_size + (payload->blob ? 0 : payload->size);
    bn_blob_t *home;
    bn_chunk_t *chunk = take_room (slot, size, &home);
    if (!chunk) {
        bn_mailbox_no_memory (self);
        return NULL;
    }
    char *topic = (char *)(chunk + 1);
    memcpy (topic, section->topic.text, topic_size);
    if (!payload->blob)
        memcpy (topic + topic_size, payload->data, payload->size);
    *chunk = (bn_chunk_t){
        .home = home,
        .payload = payload->blob ? bn_blob_ref (payload->blob) : NULL,
        .data = payload->blob ? payload->blob->data : (uint8_t *)topic + topic_size,
        .bytes = payload->size,
        .topic = {topic, topic_size},
        .offset = section->base,
        .end = section->base + section->count,
        .foreign = topic_size > 0 && is_foreign (self, section->topic),
    };
    return chunk;
}

bool bn_chunk_read (bn_mailbox_t *self, const bn_chunk_t *chunk, bn_batch_reader_t *reader)
{
    uint32_t count = (uint32_t)(chunk->end - chunk->offset);
    baton_err_t err = chunk->topic.size > 0
                          ? bn_batch_reader_init (reader, chunk->data, chunk->bytes, count)
                          : bn_mixed_reader_init (reader, chunk->data, chunk->bytes, count);
    if (err)
        bn_mailbox_fatal (self, err, "the events at offset %" PRIu64 " cannot be read",
                          chunk->offset);
    return !err;
}

bool bn_chunk_next (bn_mailbox_t *self, const bn_chunk_t *chunk, bn_batch_reader_t *reader,
                    bn_event_fields_t *event)
{
    bool read = bn_batch_next (reader, event);
    if (!read)
        bn_mailbox_fatal (self, reader->mp.err, "the event at offset %" PRIu64 " cannot be read",
                          chunk->offset);
    return read;
}

void bn_chunk_item (const bn_slot_t *slot, const bn_chunk_t *chunk, bn_text_t topic,
                    const bn_event_fields_t *event, bn_run_item_t *item)
{
    *item = (bn_run_item_t){
        .offset = chunk->offset,
        .generation = slot->generation,
        .partition = slot->index,
        .topic = topic,
        .fields = *event,
        .blob = bn_blob_ref (chunk->payload ? chunk->payload : chunk->home),
        .topic_blob = chunk->payload ? bn_blob_ref (chunk->home) : NULL,
    };
}

void bn_slot_link_last (bn_mailbox_t *self, bn_slot_t *slot, bn_chunk_t *chunk)
{
    chunk->next = NULL;
    chunk->from = slot->position;
    if (slot->chunk_last)
        slot->chunk_last->next = chunk;
    else
        slot->chunk_first = chunk;
    slot->chunk_last = chunk;
    slot->chunk_bytes += chunk->bytes;
    self->queue_bytes += chunk->bytes;
    slot->position = chunk->end;
}

static bn_chunk_t *unlink_first (bn_mailbox_t *self, bn_slot_t *slot)
{
    bn_chunk_t *chunk = slot->chunk_first;
    slot->opened = slot->peeked = false;
    slot->chunk_first = chunk->next;
    if (!slot->chunk_first)
        slot->chunk_last = NULL;
    slot->chunk_bytes -= chunk->bytes;
    self->queue_bytes -= chunk->bytes;
    return chunk;
}

bn_chunk_t *bn_slot_unlink_ahead (bn_mailbox_t *self, bn_slot_t *slot)
{
    bn_chunk_t *chunk = slot->ahead_first;
    slot->ahead_first = chunk->next;
    if (!slot->ahead_first)
        slot->ahead_last = NULL;
    self->queue_bytes -= chunk->bytes;
    return chunk;
}

void bn_slot_drop_ahead (bn_mailbox_t *self, bn_slot_t *slot)
{
    while (slot->ahead_first)
        bn_chunk_destroy (bn_slot_unlink_ahead (self, slot));
}

void bn_slot_drop_chunks (bn_mailbox_t *self, bn_slot_t *slot)
{
    bn_slot_drop_ahead (self, slot);
    while (slot->chunk_first)
        bn_chunk_destroy (unlink_first (self, slot));
    bn_blob_unref (&slot->slab);
}

void bn_slot_cut_chunks (bn_mailbox_t *self, bn_slot_t *slot, bn_chunk_t *last)
{
    bn_chunk_t *chunk = last ? last->next : slot->chunk_first;
    if (last)
        last->next = NULL;
    else {
        slot->opened = slot->peeked = false;
        slot->chunk_first = NULL;
    }
    slot->chunk_last = last;
    while (chunk) {
        bn_chunk_t *next = chunk->next;
        slot->chunk_bytes -= chunk->bytes;
        self->queue_bytes -= chunk->bytes;
        bn_chunk_destroy (chunk);
        chunk = next;
    }
}

/*  What is beside the event that was read.  */
static void tell_topic (const bn_mailbox_t *self, bn_slot_t *slot, const bn_chunk_t *chunk)
{
    bool mixed = chunk->topic.size == 0;
    slot->topic = mixed ? slot->reader.topic : chunk->topic;
    slot->foreign = mixed ? is_foreign (self, slot->topic) : chunk->foreign;
}

bn_chunk_t *bn_slot_peek (bn_mailbox_t *self, bn_slot_t *slot)
{
    bn_chunk_t *chunk = slot->chunk_first;
    while (chunk) {
        if (!slot->opened && !bn_chunk_read (self, chunk, &slot->reader))
            return NULL;
        slot->opened = true;
        if (slot->peeked && chunk->offset >= chunk->from)
            return chunk;
        chunk->offset += slot->peeked;
        slot->peeked = false;
        if (slot->reader.left > 0) {
            slot->peeked = bn_chunk_next (self, chunk, &slot->reader, &slot->event);
            if (!slot->peeked)
                return NULL;
            tell_topic (self, slot, chunk);
            continue;
        }
        bn_chunk_destroy (unlink_first (self, slot));
        chunk = slot->chunk_first;
    }
    return NULL;
}

void bn_slot_pop (bn_mailbox_t *self, bn_slot_t *slot, bn_run_item_t *item)
{
    bn_chunk_t *chunk = slot->chunk_first;
    bn_chunk_item (slot, chunk, slot->topic, &slot->event, item);
    slot->peeked = false;
    chunk->offset++;
    if (slot->reader.left == 0) {
        /*  The memory stays until the run is back, and is on the account until then.  */
        self->out_bytes += chunk->bytes;
        bn_chunk_destroy (unlink_first (self, slot));
    }
}

/*  ---- what came back ---------------------------------------------------------------------- */

const bn_run_item_t *bn_slot_returned (const bn_slot_t *slot)
{
    return slot->returned_count > 0 ? slot->returned + slot->returned_first : NULL;
}

void bn_slot_take_returned (bn_slot_t *slot, bn_run_item_t *item)
{
    *item = slot->returned[slot->returned_first];
    slot->returned_count--;
    slot->returned_first = slot->returned_count > 0 ? slot->returned_first + 1 : 0;
}

static bool room_for_returned (bn_slot_t *slot)
{
    if (slot->returned_first + slot->returned_count < slot->returned_capacity)
        return true;
    uint32_t capacity = slot->returned_capacity ? slot->returned_capacity * 2 : 16;
    bn_run_item_t *list = realloc (slot->returned, capacity * sizeof *list);
    if (!list)
        return false;
    slot->returned = list;
    slot->returned_capacity = capacity;
    return true;
}

/*  They were taken from the front, and go back there: the gap that they have left is used, so that
 *  a long list behind them stays where it is.  */
bool bn_slot_give_back (bn_slot_t *slot, const bn_run_item_t *item)
{
    uint32_t at = 0;
    if (slot->returned_first == 0 && !room_for_returned (slot))
        return false;
    bn_run_item_t *list = slot->returned + slot->returned_first;
    for (uint32_t end = slot->returned_count; at < end;) {
        uint32_t middle = at + (end - at) / 2;
        if (list[middle].offset > item->offset)
            end = middle;
        else
            at = middle + 1;
    }
    if (slot->returned_first > 0) {
        list--;
        slot->returned_first--;
        memmove (list, list + 1, at * sizeof *list);
    } else
        memmove (list + at + 1, list + at, (slot->returned_count - at) * sizeof *list);
    list[at] = *item;
    slot->returned_count++;
    return true;
}

void bn_slot_drop_returned (bn_slot_t *slot, uint64_t from)
{
    while (slot->returned_count > 0) {
        bn_run_item_t *last = &slot->returned[slot->returned_first + slot->returned_count - 1];
        if (last->offset < from)
            return;
        bn_run_item_fini (last);
        slot->returned_count--;
    }
    free (slot->returned);
    slot->returned = NULL;
    slot->returned_first = slot->returned_count = slot->returned_capacity = 0;
}
