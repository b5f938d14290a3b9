/* SPDX-License-Identifier: MPL-2.0 */

/*  sections.c - many events of many topics, cut into sections in order.
 *
 *  DESIGN. A section is closed for good as soon as its partition sees another topic: putting a
 * later event into it would move that event before the other topic's. So only the last section of
 * each partition is open, and finding it is one look into an array.
 *
 *  INVARIANT N1: the events of one partition, read through the sections in their order, come in the
 *  order in which they were added (G3).  */
#include "base/assert.h"
#include "base/hash.h"
#include "wire/message.h"
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

typedef struct {
    bn_batch_writer_t writer;
    uint32_t partition;
    uint32_t topic_size;
    char topic[BATON_TOPIC_BYTES_MAX];
} open_section_t;

struct bn_sections {
    size_t bytes_max; /* of all payloads */
    size_t bytes;     /* so far */
    uint32_t events;
    uint32_t count; /* sections */
    uint32_t capacity;
    open_section_t *items; /* owned */
    uint32_t added;        /* section of the event added last */
    uint32_t partitions;
    uint32_t last[]; /* by partition: index of its last section, or NONE */
};

bn_sections_t *bn_sections_new (uint32_t partitions, size_t bytes_max)
{
    bn_assert (partitions >= 1 && partitions <= BN_PARTITIONS_MAX);
    bn_sections_t *self = calloc (1, sizeof (bn_sections_t) + partitions * sizeof (self->last[0]));
    if (!self)
        return NULL;
    self->bytes_max = bytes_max;
    self->partitions = partitions;
    for (uint32_t i = 0; i < partitions; i++)
        self->last[i] = NONE;
    return self;
}

static void empty (bn_sections_t *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        bn_batch_writer_fini (&self->items[i].writer);
    for (uint32_t i = 0; i < self->partitions; i++)
        self->last[i] = NONE;
    self->count = 0;
    self->events = 0;
    self->bytes = 0;
}

void bn_sections_destroy (bn_sections_t **self_p)
{
    bn_sections_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    empty (self);
    free (self->items);
    free (self);
}

/*  A new section at the end; it counts only once it has an event. NULL: no memory.  */
static open_section_t *open_section (bn_sections_t *self, const char *topic, size_t topic_size,
                                     uint32_t partition)
{
    if (self->count == self->capacity) {
        uint32_t capacity = self->capacity ? self->capacity * 2 : 16;
        open_section_t *items = realloc (self->items, capacity * sizeof (open_section_t));
        if (!items)
            return NULL;
        self->items = items;
        self->capacity = capacity;
    }
    open_section_t *section = &self->items[self->count];
    bn_batch_writer_init (&section->writer, self->bytes_max);
    section->partition = partition;
    section->topic_size = (uint32_t)topic_size;
    memcpy (section->topic, topic, topic_size);
    return section;
}

baton_err_t bn_sections_add (bn_sections_t *self, const char *topic, size_t topic_size,
                             const bn_event_fields_t *event, uint32_t spread)
{
    bn_assert (topic_size >= 1 && topic_size <= BATON_TOPIC_BYTES_MAX);
    uint32_t partition = spread % self->partitions;
    if (event->key.size)
        partition =
            bn_hash_partition (bn_hash (event->key.text, event->key.size), self->partitions);
    uint32_t last = self->last[partition];
    open_section_t *section = last == NONE ? NULL : &self->items[last];
    bool fits = section && section->topic_size == topic_size &&
                memcmp (section->topic, topic, topic_size) == 0 &&
                section->writer.count < BN_SECTION_EVENTS_MAX;
    if (!fits) {
        if (self->count == BN_SECTIONS_MAX)
            return BATON_ERR_TOO_LARGE;
        section = open_section (self, topic, topic_size, partition);
        if (!section)
            return BATON_ERR_MEMORY;
    }
    size_t before = section->writer.buffer.size;
    section->writer.buffer.bound = before + (self->bytes_max - self->bytes);
    baton_err_t err = bn_batch_writer_add (&section->writer, event);
    if (err) {
        if (!fits)
            bn_batch_writer_fini (&section->writer);
        return err;
    }
    if (!fits)
        self->last[partition] = self->count++;
    self->added = self->last[partition];
    self->bytes += section->writer.buffer.size - before;
    self->events++;
    return BATON_OK;
}

void bn_sections_last (const bn_sections_t *self, uint32_t *section, uint32_t *place)
{
    bn_assert (self->events > 0);
    *section = self->added;
    *place = self->items[self->added].writer.count - 1;
}

size_t bn_sections_bytes (const bn_sections_t *self)
{
    return self->bytes;
}

uint32_t bn_sections_events (const bn_sections_t *self)
{
    return self->events;
}

uint32_t bn_sections_count (const bn_sections_t *self)
{
    return self->count;
}

bn_section_t *bn_sections_take (bn_sections_t *self, uint32_t *count)
{
    *count = 0;
    if (self->count == 0)
        return NULL;
    size_t texts = 0;
    for (uint32_t i = 0; i < self->count; i++)
        texts += self->items[i].topic_size;
    /*  The topics lie behind the array, in the same memory.  */
    bn_section_t *sections = malloc (self->count * sizeof (bn_section_t) + texts);
    if (!sections)
        return NULL;
    char *text = (char *)(sections + self->count);
    for (uint32_t i = 0; i < self->count; i++) {
        open_section_t *item = &self->items[i];
        uint32_t events = 0;
        bn_blob_t *payload = bn_batch_writer_take (&item->writer, &events);
        /*  A section without an event is never kept, and handing over what is there needs no
         *  memory.  */
        bn_assert (payload);
        memcpy (text, item->topic, item->topic_size);
        sections[i] = (bn_section_t){.topic = {text, item->topic_size},
                                     .partition = item->partition,
                                     .count = events,
                                     .payload = {payload, payload->data, payload->size}};
        text += item->topic_size;
    }
    *count = self->count;
    empty (self);
    return sections;
}

void bn_section_array_free (bn_section_t *sections, uint32_t count)
{
    if (!sections)
        return;
    for (uint32_t i = 0; i < count; i++)
        bn_blob_unref (&sections[i].payload.blob);
    free (sections);
}
