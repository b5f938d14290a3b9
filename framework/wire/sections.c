/* SPDX-License-Identifier: MPL-2.0 */

/*  sections.c - many events of many topics, cut into sections that keep the order of each key.
 *
 *  DESIGN. Few large sections cost less than many small ones, everywhere. So an event joins the
 *  last section of its topic and partition, wherever that is, as long as no section behind it has
 *  an event of the same key: then it overtakes only events of other keys. With one topic that is
 *  the last section of the partition, and finding it is one look into an array. From the second
 *  topic on two tables tell: the last section of a topic and partition, and the last section that
 *  has a key. Keys from before that moment are taken to be in the last section of their partition.
 *  Without memory for a table a section is opened too many, no more.
 *
 *  Where topics are so many that a section has an event or two all the same, the sections of a
 *  partition are mixed into one (mixed.h), which needs no table: its events are in the order in
 *  which they came. Who wants a few of its topics gets it taken apart, in more pieces than sections
 *  would have been. So it is for the caller to say, who knows how the last requests were.
 *
 *  INVARIANT N1: the events of one key, read through the sections in their order, come in the order
 *  in which they were added (G3). So do those without a key in one topic and partition.  */
#include "base/assert.h"
#include "base/hash.h"
#include "wire/mixed.h"
#include <stdlib.h>
#include <string.h>

#define NONE        UINT32_MAX
#define TABLE_SLOTS 1024 /* at first */
/*  Scattered: fewer events a section, and more sections a partition.  */
#define SCATTERED_EVENTS   4
#define SCATTERED_SECTIONS 4

typedef struct {
    bn_batch_writer_t writer;
    uint32_t partition;
    uint32_t topic_size;
    size_t topic_at; /* in `topics` */
    size_t parts;    /* mixed: bytes of its parts, at most */
} open_section_t;

typedef struct {
    uint64_t hash; /* 0: free */
    uint32_t section;
} slot_t;

/*  Hashes to sections, by open addressing. Two of the same hash share a slot: the one set last.  */
typedef struct {
    slot_t *slots; /* owned */
    uint32_t size; /* a power of two, or 0 */
    uint32_t used;
} table_t;

struct bn_sections {
    size_t bytes_max; /* of all payloads */
    size_t bytes;     /* so far */
    uint32_t events;
    uint32_t count; /* sections */
    uint32_t capacity;
    open_section_t *items; /* owned */
    bn_buffer_t topics;    /* of the sections, one behind the other */
    bool mixes;            /* one section for each partition, for all topics */
    bool many;             /* there is a second topic: the tables are kept */
    table_t by_topic;      /* topic and partition -> its last section */
    table_t by_key;        /* key -> the last section that has it */
    uint32_t added;        /* section of the event added last */
    uint32_t partitions;
    struct {
        uint32_t last;   /* index of its last section, or NONE */
        uint32_t before; /* the same, from when `many` was set */
    } by_partition[];
};

static slot_t *table_slot (const table_t *self, uint64_t hash)
{
    /*  Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).  */
    size_t index = (size_t)((hash * 0x9e3779b97f4a7c15u) >> 32) & (self->size - 1);
    while (self->slots[index].hash && self->slots[index].hash != hash)
        index = (index + 1) & (self->size - 1);
    return &self->slots[index];
}

static uint32_t table_get (const table_t *self, uint64_t hash)
{
    if (self->size == 0)
        return NONE;
    const slot_t *slot = table_slot (self, hash);
    return slot->hash ? slot->section : NONE;
}

static bool table_grow (table_t *self)
{
    table_t larger = {.size = self->size ? self->size * 2 : TABLE_SLOTS, .used = self->used};
    larger.slots = calloc (larger.size, sizeof (slot_t));
    if (!larger.slots)
        return false;
    for (uint32_t i = 0; i < self->size; i++)
        if (self->slots[i].hash)
            *table_slot (&larger, self->slots[i].hash) = self->slots[i];
    free (self->slots);
    *self = larger;
    return true;
}

static bool table_put (table_t *self, uint64_t hash, uint32_t section)
{
    if (self->used >= self->size / 2 && !table_grow (self))
        return false;
    slot_t *slot = table_slot (self, hash);
    self->used += slot->hash == 0;
    *slot = (slot_t){hash, section};
    return true;
}

static void table_fini (table_t *self)
{
    free (self->slots);
    *self = (table_t){0};
}

bn_sections_t *bn_sections_new (uint32_t partitions, size_t bytes_max)
{
    bn_assert (partitions >= 1 && partitions <= BN_PARTITIONS_MAX);
    bn_sections_t *self =
        calloc (1, sizeof (bn_sections_t) + partitions * sizeof (self->by_partition[0]));
    if (!self)
        return NULL;
    self->bytes_max = bytes_max;
    self->partitions = partitions;
    bn_buffer_init (&self->topics, SIZE_MAX / 4);
    for (uint32_t i = 0; i < partitions; i++)
        self->by_partition[i].last = NONE;
    return self;
}

static void empty (bn_sections_t *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        bn_batch_writer_fini (&self->items[i].writer);
    for (uint32_t i = 0; i < self->partitions; i++)
        self->by_partition[i].last = NONE;
    table_fini (&self->by_topic);
    table_fini (&self->by_key);
    bn_buffer_clear (&self->topics);
    self->many = false;
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
    bn_buffer_fini (&self->topics);
    free (self->items);
    free (self);
}

static const char *topic_of (const bn_sections_t *self, const open_section_t *section)
{
    return (const char *)self->topics.blob->data + section->topic_at;
}

static bool is_topic (const bn_sections_t *self, uint32_t index, const char *topic, size_t size)
{
    const open_section_t *section = &self->items[index];
    return section->topic_size == size && memcmp (topic_of (self, section), topic, size) == 0;
}

static uint64_t topic_hash (const bn_sections_t *self, const char *topic, size_t size,
                            uint32_t partition)
{
    uint64_t hash = bn_hash (topic, size) * self->partitions + partition;
    return hash ? hash : 1;
}

/*  The second topic: from now on the tables are kept.  */
static void keep_tables_from_here (bn_sections_t *self)
{
    self->many = true;
    for (uint32_t i = 0; i < self->partitions; i++) {
        uint32_t last = self->by_partition[i].last;
        self->by_partition[i].before = last;
        if (last == NONE)
            continue;
        const open_section_t *section = &self->items[last];
        table_put (&self->by_topic,
                   topic_hash (self, topic_of (self, section), section->topic_size, i), last);
    }
}

static size_t common_bytes (const open_section_t *section)
{
    return section->writer.common_at[3] + section->writer.common_size[3];
}

/*  One more event, of whatever topic and size, keeps the parts below BN_MIXED_PARTS_MAX.  */
static bool takes_more (const bn_sections_t *self, const open_section_t *section)
{
    if (section->writer.count == BN_SECTION_EVENTS_MAX)
        return false;
    return !self->mixes || section->parts + common_bytes (section) <=
                               BN_MIXED_PARTS_MAX * section->writer.buffer.size;
}

/*  The section that an event may join, or NONE. key_hash 0: it has no key. *hash is that of topic
 *  and partition, if it was needed.  */
static uint32_t find (const bn_sections_t *self, const char *topic, size_t topic_size,
                      uint32_t partition, uint64_t key_hash, uint64_t *hash)
{
    uint32_t last = self->by_partition[partition].last;
    if (last != NONE && (self->mixes || is_topic (self, last, topic, topic_size)))
        return last;
    if (last == NONE || !self->many)
        return NONE;
    *hash = topic_hash (self, topic, topic_size, partition);
    uint32_t found = table_get (&self->by_topic, *hash);
    if (found == NONE || !is_topic (self, found, topic, topic_size) ||
        self->items[found].partition != partition)
        return NONE;
    if (!key_hash)
        return found;
    uint32_t with_key = table_get (&self->by_key, key_hash);
    if (with_key == NONE)
        with_key = self->by_partition[partition].before;
    return with_key == NONE || with_key <= found ? found : NONE;
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
    section->topic_at = self->topics.size;
    if (self->mixes)
        topic_size = 0;
    bn_buffer_append (&self->topics, topic, topic_size);
    if (self->topics.failed) {
        self->topics.failed = false; /* nothing was appended: what is in it stays good */
        return NULL;
    }
    bn_batch_writer_init (&section->writer, self->bytes_max);
    section->parts = 0;
    section->partition = partition;
    section->topic_size = (uint32_t)topic_size;
    return section;
}

/*  An event was added to a section. A key that the table has no memory for must not be looked up as
 *  one that it never had: then every later event opens a section behind all others.  */
static void keep_tables (bn_sections_t *self, uint32_t index, bool opened, uint64_t hash,
                         uint64_t key_hash)
{
    const open_section_t *section = &self->items[index];
    if (!self->many)
        return;
    if (opened && !hash)
        hash = topic_hash (self, topic_of (self, section), section->topic_size, section->partition);
    if (opened)
        table_put (&self->by_topic, hash, index);
    if (key_hash && !table_put (&self->by_key, key_hash, index))
        table_fini (&self->by_topic);
}

baton_err_t bn_sections_add (bn_sections_t *self, const char *topic, size_t topic_size,
                             const bn_event_fields_t *event, uint32_t spread)
{
    bn_assert (topic_size >= 1 && topic_size <= BATON_TOPIC_BYTES_MAX);
    uint32_t partition = spread % self->partitions;
    uint64_t key_hash = 0;
    if (event->key.size) {
        key_hash = bn_hash (event->key.text, event->key.size);
        partition = bn_hash_partition (key_hash, self->partitions);
        key_hash += key_hash == 0; /* 0 is none */
    }
    uint64_t hash = 0;
    uint32_t found = find (self, topic, topic_size, partition, key_hash, &hash);
    open_section_t *section = found == NONE ? NULL : &self->items[found];
    bool fits = section && takes_more (self, section);
    if (!fits) {
        if (!self->mixes && !self->many && self->count && !is_topic (self, 0, topic, topic_size))
            keep_tables_from_here (self);
        if (self->count == BN_SECTIONS_MAX)
            return BATON_ERR_TOO_LARGE;
        section = open_section (self, topic, topic_size, partition);
        if (!section)
            return BATON_ERR_MEMORY;
    }
    size_t before = section->writer.buffer.size;
    section->writer.buffer.bound = before + (self->bytes_max - self->bytes);
    baton_err_t err =
        self->mixes
            ? bn_batch_writer_add_mixed (&section->writer, (bn_text_t){topic, topic_size}, event)
            : bn_batch_writer_add (&section->writer, event);
    if (err) {
        if (!fits) {
            bn_batch_writer_fini (&section->writer);
            self->topics.size = section->topic_at;
        }
        return err;
    }
    if (!fits) {
        found = self->count++;
        self->by_partition[partition].last = found;
    }
    keep_tables (self, found, !fits, hash, key_hash);
    self->added = found;
    section->parts += section->writer.buffer.size - before + (fits ? common_bytes (section) : 0);
    self->bytes += section->writer.buffer.size - before;
    self->events++;
    return BATON_OK;
}

void bn_sections_mix (bn_sections_t *self)
{
    bn_assert (self->count == 0);
    self->mixes = true;
}

bool bn_sections_scattered (const bn_sections_t *self)
{
    uint32_t partitions = 0;
    if (self->mixes || !self->many || self->events >= self->count * SCATTERED_EVENTS)
        return false;
    for (uint32_t i = 0; i < self->partitions; i++)
        partitions += self->by_partition[i].last != NONE;
    return self->count >= partitions * SCATTERED_SECTIONS;
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
    /*  The topics lie behind the array, in the same memory.  */
    bn_section_t *sections = malloc (self->count * sizeof (bn_section_t) + self->topics.size);
    if (!sections)
        return NULL;
    char *topics = (char *)(sections + self->count);
    if (self->topics.size)
        memcpy (topics, bn_buffer_data (&self->topics), self->topics.size);
    for (uint32_t i = 0; i < self->count; i++) {
        open_section_t *item = &self->items[i];
        uint32_t events = 0;
        bn_blob_t *payload = bn_batch_writer_take (&item->writer, &events);
        /*  A section without an event is never kept, and handing over what is there needs no
         *  memory.  */
        bn_assert (payload);
        sections[i] = (bn_section_t){.topic = {topics + item->topic_at, item->topic_size},
                                     .partition = item->partition,
                                     .count = events,
                                     .payload = {payload, payload->data, payload->size}};
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
