/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_queue.c - what was received of a partition and not handed out, as it came.
 *
 *  DESIGN. A chunk is a section; its events are decoded when they are taken. The payload of a large
 *  section is a blob of its own, which is kept. Small ones come many in a bundle, each an event or
 *  two, and are copied, with their chunks in front of them, into slabs: one allocation for a dozen
 *  neighbours. A slab has chunks of one partition only, and those leave in order, so that no more
 *  than a slab is kept for a few bytes of it. Rejected: a slab for all partitions (one that is
 *  stopped would keep the memory of all others).  */

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

/*  The same few topics come again and again: their texts are shared, and looked at once.  */
typedef struct {
    bn_blob_t *text; /* counted */
    bool foreign;
} bn_topic_known_t;

static void topic_free (bn_topic_known_t *known)
{
    bn_blob_unref (&known->text);
    free (known);
}

void bn_topics_destroy (bn_map_t **topics_p)
{
    bn_map_node_t *node = *topics_p ? bn_map_first (*topics_p) : NULL;
    for (; node; node = bn_map_next (node))
        topic_free (bn_map_value (node));
    bn_map_destroy (topics_p);
}

static bool is_foreign (const bn_mailbox_t *self, bn_text_t topic)
{
    for (uint32_t i = 0; i < self->options.pattern_count; i++)
        if (bn_pattern_matches (self->options.patterns[i], strlen (self->options.patterns[i]),
                                topic.text, topic.size))
            return false;
    return true;
}

/*  NULL: no memory.  */
static const bn_topic_known_t *know_topic (bn_mailbox_t *self, bn_text_t topic)
{
    bn_topic_known_t *known = bn_map_get (self->topics, topic.text, topic.size);
    if (known)
        return known;
    if (bn_map_count (self->topics) >= BN_TOPICS_KEPT) {
        size_t size;
        const void *key = bn_map_key (bn_map_first (self->topics), &size);
        topic_free (bn_map_remove (self->topics, key, size));
    }
    known = calloc (1, sizeof *known);
    if (!known)
        return NULL;
    known->foreign = is_foreign (self, topic);
    known->text = bn_blob_new_copy (topic.text, topic.size);
    if (!known->text || !bn_map_put (self->topics, topic.text, topic.size, known, NULL)) {
        topic_free (known);
        return NULL;
    }
    return known;
}

/*  A chunk whose payload was copied lies in front of it, in the blob that has both.  */
static bool is_in_payload (const bn_chunk_t *chunk)
{
    const uint8_t *at = (const void *)chunk;
    const bn_blob_t *blob = chunk->payload;
    return at >= blob->data && at < blob->data + blob->size;
}

void bn_chunk_destroy (bn_chunk_t *chunk)
{
    bn_blob_t *payload = chunk->payload;
    bn_blob_unref (&chunk->topic);
    if (!is_in_payload (chunk))
        free (chunk);
    bn_blob_unref (&payload);
}

/*  Room for a small chunk behind the last one of its partition; *blob is counted. NULL: no memory.
 */
static bn_chunk_t *take_room (bn_slot_t *slot, size_t size, bn_blob_t **blob)
{
    size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (size > SMALL_BYTES) {
        *blob = bn_blob_new (size);
        return *blob ? (void *)(*blob)->data : NULL;
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
    *blob = bn_blob_ref (slot->slab);
    return at;
}

/*  With its payload, else zeroed. NULL: no memory.  */
static bn_chunk_t *chunk_alloc (bn_slot_t *slot, const bn_slice_t *payload)
{
    bn_blob_t *blob = payload->blob;
    bn_chunk_t *chunk =
        blob ? malloc (sizeof *chunk) : take_room (slot, sizeof *chunk + payload->size, &blob);
    if (!chunk)
        return NULL;
    if (payload->blob)
        bn_blob_ref (blob);
    else
        memcpy (chunk + 1, payload->data, payload->size);
    *chunk = (bn_chunk_t){.payload = blob};
    return chunk;
}

bn_chunk_t *bn_chunk_new (bn_mailbox_t *self, bn_slot_t *slot, const bn_section_t *section)
{
    bn_chunk_t *chunk = chunk_alloc (slot, &section->payload);
    const bn_topic_known_t *topic = chunk ? know_topic (self, section->topic) : NULL;
    if (!topic) {
        if (chunk)
            bn_chunk_destroy (chunk);
        bn_mailbox_no_memory (self);
        return NULL;
    }
    chunk->topic = bn_blob_ref (topic->text);
    chunk->foreign = topic->foreign;
    chunk->bytes = section->payload.size;
    chunk->offset = section->base;
    chunk->end = section->base + section->count;
    const void *payload = section->payload.blob ? section->payload.blob->data : (void *)(chunk + 1);
    baton_err_t err =
        bn_batch_reader_init (&chunk->reader, payload, section->payload.size, section->count);
    if (err) {
        bn_mailbox_fatal (self, err, "the events at offset %" PRIu64 " cannot be read",
                          section->base);
        bn_chunk_destroy (chunk);
        return NULL;
    }
    return chunk;
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
    else
        slot->chunk_first = NULL;
    slot->chunk_last = last;
    while (chunk) {
        bn_chunk_t *next = chunk->next;
        slot->chunk_bytes -= chunk->bytes;
        self->queue_bytes -= chunk->bytes;
        bn_chunk_destroy (chunk);
        chunk = next;
    }
}

bn_chunk_t *bn_slot_peek (bn_mailbox_t *self, bn_slot_t *slot)
{
    bn_chunk_t *chunk = slot->chunk_first;
    while (chunk) {
        if (chunk->peeked && chunk->offset >= chunk->from)
            return chunk;
        if (chunk->peeked) {
            chunk->peeked = false;
            chunk->offset++;
        }
        if (chunk->reader.left > 0) {
            chunk->peeked = bn_batch_next (&chunk->reader, &chunk->event);
            if (!chunk->peeked) {
                bn_mailbox_fatal (self, chunk->reader.mp.err,
                                  "the event at offset %" PRIu64 " cannot be read", chunk->offset);
                return NULL;
            }
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
    *item = (bn_run_item_t){.offset = chunk->offset,
                            .generation = slot->generation,
                            .partition = slot->index,
                            .topic = {(const char *)chunk->topic->data, chunk->topic->size},
                            .fields = chunk->event,
                            .blob = bn_blob_ref (chunk->payload),
                            .topic_blob = bn_blob_ref (chunk->topic)};
    chunk->peeked = false;
    chunk->offset++;
    if (chunk->reader.left == 0) {
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
