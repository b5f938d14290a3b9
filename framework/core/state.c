/* SPDX-License-Identifier: MPL-2.0 */

/*  state.c - making, finding, checking and freeing what state.h describes.  */
#include "base/assert.h"
#include "base/plant.h"
#include "core/state_internal.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  Frees the values of a map with free (), then the map.  */
static void map_free (bn_map_t **map_p)
{
    if (!*map_p)
        return;
    for (bn_map_node_t *node = bn_map_first (*map_p); node; node = bn_map_next (node))
        free (bn_map_value (node));
    bn_map_destroy (map_p);
}

bn_state_t *bn_state_new (uint32_t producers_max)
{
    bn_state_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->producers_max = producers_max ? producers_max : 1;
    self->actors = bn_map_new ();
    self->actors_by_id = bn_map_new ();
    self->topics = bn_map_new_remembering ();
    self->producers = bn_map_new ();
    self->producers_by_use = bn_map_new ();
    if (!self->actors || !self->actors_by_id || !self->topics || !self->producers ||
        !self->producers_by_use)
        bn_state_destroy (&self);
    return self;
}

static void texts_free (char **texts, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        free (texts[index]);
}

static void actor_free (bn_actor_state_t *actor, uint32_t partitions)
{
    texts_free (actor->patterns, actor->pattern_count);
    texts_free (actor->former, actor->former_count);
    for (uint32_t index = 0; actor->partitions && index < partitions; index++) {
        map_free (&actor->partitions[index].parked);
        map_free (&actor->partitions[index].charged);
    }
    free (actor->partitions);
    map_free (&actor->dead);
    bn_map_destroy (&actor->held);
    free (actor);
}

static void topic_free (bn_topic_state_t *topic)
{
    free (topic->name);
    free (topic->partitions);
    free (topic->readers);
    free (topic);
}

void bn_state_destroy (bn_state_t **self_p)
{
    bn_state_t *self = *self_p;
    if (!self)
        return;
    bn_map_node_t *node;
    for (node = self->actors ? bn_map_first (self->actors) : NULL; node; node = bn_map_next (node))
        actor_free (bn_map_value (node), self->partition_room);
    for (node = self->topics ? bn_map_first (self->topics) : NULL; node; node = bn_map_next (node))
        topic_free (bn_map_value (node));
    map_free (&self->producers);
    bn_map_destroy (&self->actors);
    bn_map_destroy (&self->actors_by_id);
    bn_map_destroy (&self->topics);
    bn_map_destroy (&self->producers_by_use);
    free (self);
    *self_p = NULL;
}

/*  ---- actors ---- */

bn_actor_state_t *bn_state_actor_new (bn_state_t *self, uint32_t id, const char *name, size_t size)
{
    uint32_t partitions = self->partition_room;
    bn_assert (size <= BATON_NAME_BYTES_MAX);
    bn_actor_state_t *actor = calloc (1, sizeof *actor);
    if (!actor)
        return NULL;
    actor->id = id;
    memcpy (actor->name, name, size);
    actor->dead = bn_map_new ();
    actor->held = bn_map_new ();
    actor->partitions = calloc (partitions, sizeof *actor->partitions);
    bool ok = actor->dead && actor->held && actor->partitions;
    for (uint32_t index = 0; ok && index < partitions; index++) {
        bn_actor_partition_t *partition = &actor->partitions[index];
        partition->begun = BN_NO_OFFSET;
        partition->parked = bn_map_new ();
        partition->charged = bn_map_new ();
        ok = partition->parked && partition->charged;
    }
    ok = ok && bn_map_put (self->actors, name, size, actor, NULL);
    if (ok && !bn_map_put_u64 (self->actors_by_id, id, actor, NULL)) {
        bn_map_remove (self->actors, name, size);
        ok = false;
    }
    if (!ok) {
        actor_free (actor, partitions);
        return NULL;
    }
    return actor;
}

void bn_state_actor_remove (bn_state_t *self, bn_actor_state_t *actor)
{
    for (bn_map_node_t *node = bn_map_first (self->topics); node; node = bn_map_next (node))
        bn_state_topic_reader (bn_map_value (node), actor, false);
    bn_map_remove_str (self->actors, actor->name);
    bn_map_remove_u64 (self->actors_by_id, actor->id);
    actor_free (actor, self->partition_room);
}

static bool texts_copy (char *copies[BN_PATTERNS_MAX], const bn_text_t *texts, uint32_t count)
{
    bn_assert (count <= BN_PATTERNS_MAX);
    for (uint32_t index = 0; index < count; index++) {
        copies[index] = malloc (texts[index].size + 1);
        if (!copies[index]) {
            texts_free (copies, index);
            return false;
        }
        memcpy (copies[index], texts[index].text, texts[index].size);
        copies[index][texts[index].size] = '\0';
    }
    return true;
}

static bool texts_replace (char *texts[BN_PATTERNS_MAX], uint32_t *had, const bn_text_t *by,
                           uint32_t count)
{
    char *copies[BN_PATTERNS_MAX];
    if (!texts_copy (copies, by, count))
        return false;
    texts_free (texts, *had);
    memcpy (texts, copies, count * sizeof *copies);
    *had = count;
    return true;
}

bool bn_state_actor_patterns (bn_actor_state_t *actor, const bn_text_t *patterns, uint32_t count)
{
    return texts_replace (actor->patterns, &actor->pattern_count, patterns, count);
}

bool bn_state_actor_former (bn_actor_state_t *actor, const bn_text_t *patterns, uint32_t count)
{
    return texts_replace (actor->former, &actor->former_count, patterns, count);
}

bool bn_state_actor_revise (bn_actor_state_t *actor, const bn_text_t *patterns, uint32_t count)
{
    char *copies[BN_PATTERNS_MAX];
    if (!texts_copy (copies, patterns, count))
        return false;
    texts_free (actor->former, actor->former_count);
    memcpy (actor->former, actor->patterns, actor->pattern_count * sizeof *copies);
    actor->former_count = actor->pattern_count;
    memcpy (actor->patterns, copies, count * sizeof *copies);
    actor->pattern_count = count;
    return true;
}

bool bn_state_actor_matches (const bn_actor_state_t *actor, const char *topic, size_t size)
{
    for (uint32_t index = 0; index < actor->pattern_count; index++)
        if (bn_pattern_matches (actor->patterns[index], strlen (actor->patterns[index]), topic,
                                size))
            return true;
    return false;
}

/*  ---- topics ---- */

bool bn_state_topic_is_read_by (const bn_topic_state_t *topic, const bn_actor_state_t *actor)
{
    for (uint32_t index = 0; index < topic->reader_count; index++)
        if (topic->readers[index] == actor)
            return true;
    return false;
}

bool bn_state_topic_reader (bn_topic_state_t *topic, bn_actor_state_t *actor, bool reads)
{
    uint32_t at = 0;
    while (at < topic->reader_count && topic->readers[at]->id < actor->id)
        at++;
    bool there = at < topic->reader_count && topic->readers[at] == actor;
    if (there == reads)
        return true;
    size_t behind = topic->reader_count - at;
    if (!reads) {
        topic->reader_count--;
        actor->published -= topic->events;
        memmove (topic->readers + at, topic->readers + at + 1,
                 (behind - 1) * sizeof (bn_actor_state_t *));
        return true;
    }
    bn_actor_state_t **readers =
        realloc (topic->readers, (topic->reader_count + 1) * sizeof (bn_actor_state_t *));
    if (!readers)
        return false;
    memmove (readers + at + 1, readers + at, behind * sizeof (bn_actor_state_t *));
    readers[at] = actor;
    topic->readers = readers;
    topic->reader_count++;
    actor->published += topic->events;
    return true;
}

bn_topic_state_t *bn_state_topic_ensure (bn_state_t *self, const char *name, size_t size)
{
    bn_topic_state_t *topic = bn_map_get (self->topics, name, size);
    if (topic)
        return topic;
    topic = calloc (1, sizeof *topic);
    if (!topic)
        return NULL;
    topic->name = malloc (size + 1);
    topic->partitions = calloc (self->partition_room, sizeof *topic->partitions);
    bool ok = topic->name && topic->partitions;
    if (ok) {
        memcpy (topic->name, name, size);
        topic->name[size] = '\0';
    }
    for (bn_map_node_t *node = bn_map_first (self->actors_by_id); ok && node;
         node = bn_map_next (node))
        if (bn_state_actor_matches (bn_map_value (node), name, size))
            ok = bn_state_topic_reader (topic, bn_map_value (node), true);
    if (!ok || !bn_map_put (self->topics, name, size, topic, NULL)) {
        topic_free (topic);
        return NULL;
    }
    return topic;
}

/*  ---- producers ---- */

bn_producer_state_t *bn_state_producer_ensure (bn_state_t *self, uint64_t id)
{
    bn_producer_state_t *producer = bn_map_get_u64 (self->producers, id);
    if (producer)
        return producer;
    producer = calloc (1, sizeof *producer);
    if (!producer)
        return NULL;
    producer->id = id;
    if (!bn_map_put_u64 (self->producers, id, producer, NULL)) {
        free (producer);
        return NULL;
    }
    return producer;
}

bool bn_state_producer_used (bn_state_t *self, bn_producer_state_t *producer, uint64_t sequence)
{
    if (producer->used)
        bn_map_remove_u64 (self->producers_by_use, producer->used);
    producer->used = sequence;
    if (!bn_map_put_u64 (self->producers_by_use, sequence, producer, NULL))
        return false;
    while (bn_map_count (self->producers) > self->producers_max) {
        bn_map_node_t *node = bn_map_first (self->producers_by_use);
        bn_producer_state_t *oldest = bn_map_value (node);
        bn_map_remove_u64 (self->producers_by_use, oldest->used);
        bn_map_remove_u64 (self->producers, oldest->id);
        free (oldest);
    }
    return true;
}

/*  ---- parked, charged, dead ---- */

/*  A copy, and behind it the text of its reason, so that there is one thing to free.  */
static void *copy_of (const void *value, size_t size, bn_text_t reason)
{
    char *copy = malloc (size + reason.size);
    if (!copy)
        return NULL;
    memcpy (copy, value, size);
    if (reason.size)
        memcpy (copy + size, reason.text, reason.size);
    return copy;
}

static bn_parked_t *copy_parked (const bn_parked_t *parked)
{
    bn_parked_t *copy = copy_of (parked, sizeof *parked, parked->reason);
    if (copy)
        copy->reason.text = (const char *)(copy + 1);
    return copy;
}

static bn_charged_t *copy_charged (const bn_charged_t *charged)
{
    bn_charged_t *copy = copy_of (charged, sizeof *charged, charged->reason);
    if (copy)
        copy->reason.text = (const char *)(copy + 1);
    return copy;
}

/*  Consumes the copy (NULL: no memory). What is there already is ROT, or, `again`, replaced.  */
static baton_err_t put (bn_map_t *map, uint64_t key, void *copy, bool again)
{
    void *old = NULL;
    baton_err_t err = BATON_OK;
    if (!copy)
        err = BATON_ERR_MEMORY;
    else if (!again && bn_map_get_u64 (map, key))
        err = BATON_ERR_ROT;
    else if (!bn_map_put_u64 (map, key, copy, &old))
        err = BATON_ERR_MEMORY;
    free (err ? copy : old);
    return err;
}

static baton_err_t hold (bn_actor_state_t *actor, uint64_t offset, void *entry)
{
    return bn_map_put_u64 (actor->held, offset, entry, NULL) ? BATON_OK : BATON_ERR_MEMORY;
}

static baton_err_t park (bn_actor_state_t *actor, uint32_t partition, const bn_parked_t *parked,
                         bool again)
{
    uint64_t offset = parked->offset; /* *parked may be what is replaced */
    bn_parked_t *copy = copy_parked (parked);
    baton_err_t err = put (actor->partitions[partition].parked, offset, copy, again);
    return err ? err : hold (actor, offset, copy);
}

baton_err_t bn_state_park (bn_actor_state_t *actor, uint32_t partition, const bn_parked_t *parked)
{
    if (bn_map_get_u64 (actor->held, parked->offset))
        return BATON_ERR_ROT;
    return park (actor, partition, parked, false);
}

baton_err_t bn_state_repark (bn_actor_state_t *actor, uint32_t partition, const bn_parked_t *parked)
{
    return park (actor, partition, parked, true);
}

bn_parked_t *bn_state_unpark (bn_actor_state_t *actor, uint32_t partition, uint64_t offset)
{
    bn_parked_t *parked = bn_map_remove_u64 (actor->partitions[partition].parked, offset);
    if (parked)
        bn_map_remove_u64 (actor->held, offset);
    return parked;
}

baton_err_t bn_state_bury (bn_actor_state_t *actor, const bn_dead_state_t *dead)
{
    uint64_t key = dead->letter.dead_offset;
    if (bn_map_get_u64 (actor->held, dead->letter.offset))
        return BATON_ERR_ROT;
    void *copy = copy_of (dead, sizeof *dead, (bn_text_t){0});
    baton_err_t err = put (actor->dead, key, copy, false);
    return err ? err : hold (actor, dead->letter.offset, copy);
}

bn_dead_state_t *bn_state_exhume (bn_actor_state_t *actor, uint64_t dead_offset)
{
    bn_dead_state_t *dead = bn_map_remove_u64 (actor->dead, dead_offset);
    if (dead)
        bn_map_remove_u64 (actor->held, dead->letter.offset);
    return dead;
}

baton_err_t bn_state_charge (bn_actor_partition_t *partition, const bn_charged_t *charged)
{
    return put (partition->charged, charged->offset, copy_charged (charged), false);
}

baton_err_t bn_state_recharge (bn_actor_partition_t *partition, const bn_charged_t *charged)
{
    return put (partition->charged, charged->offset, copy_charged (charged), true);
}

/*  ---- questions ---- */

bool bn_state_drains (const bn_actor_partition_t *partition)
{
    return partition->floor < partition->former_end && !BN_PLANT (drained_too_early);
}

uint64_t bn_state_needed_from (const bn_state_t *self)
{
    uint64_t needed = self->tail;
    for (bn_map_node_t *node = bn_map_first (self->actors); node; node = bn_map_next (node)) {
        const bn_actor_state_t *actor = bn_map_value (node);
        for (uint32_t index = 0; index < self->partitions; index++) {
            const bn_actor_partition_t *partition = &actor->partitions[index];
            if (partition->floor < partition->head && partition->floor < needed)
                needed = partition->floor;
            bn_map_node_t *lowest = bn_map_first (partition->parked);
            if (lowest && bn_map_key_u64 (lowest) < needed && !BN_PLANT (parked_not_needed))
                needed = bn_map_key_u64 (lowest);
        }
        for (bn_map_node_t *grave = bn_map_first (actor->dead); grave;
             grave = bn_map_next (grave)) {
            const bn_dead_state_t *dead = bn_map_value (grave);
            if (dead->letter.offset < needed)
                needed = dead->letter.offset;
        }
    }
    return needed;
}

/*  Counts the offsets that are parked or dead: each once, and held.  */
static bool check_held (const bn_actor_state_t *actor, uint64_t offset, const void *entry,
                        size_t *count, char what[256])
{
    ++*count;
    if (bn_map_get_u64 (actor->held, offset) == entry)
        return true;
    snprintf (what, 256, "S3: %s: an offset is parked or dead twice", actor->name);
    return false;
}

static bool check_actor (const bn_state_t *self, const bn_actor_state_t *actor, char what[256])
{
    size_t count = 0;
    if (actor->former_until > self->tail || (actor->former_count == 0 && actor->former_until > 0)) {
        snprintf (what, 256, "S5: %s: its patterns are cut past the tail, or from nothing",
                  actor->name);
        return false;
    }
    for (uint32_t index = 0; index < self->partitions; index++) {
        const bn_actor_partition_t *partition = &actor->partitions[index];
        if (partition->floor > self->tail || partition->head > self->tail) {
            snprintf (what, 256, "S1: %s/%u: floor or head is past the tail", actor->name, index);
            return false;
        }
        if (partition->instance[0] && partition->generation == 0) {
            snprintf (what, 256, "S2: %s/%u: an owner without a generation", actor->name, index);
            return false;
        }
        if (partition->former_end > actor->former_until) {
            snprintf (what, 256, "S5: %s/%u: former events end past their cut", actor->name, index);
            return false;
        }
        for (bn_map_node_t *node = bn_map_first (partition->parked); node;
             node = bn_map_next (node)) {
            uint64_t offset = bn_map_key_u64 (node);
            if (offset >= partition->floor) {
                snprintf (what, 256, "S1: %s/%u: parked at or above the floor", actor->name, index);
                return false;
            }
            if (!check_held (actor, offset, bn_map_value (node), &count, what))
                return false;
        }
    }
    for (bn_map_node_t *node = bn_map_first (actor->dead); node; node = bn_map_next (node)) {
        bn_dead_state_t *dead = bn_map_value (node);
        if (dead->letter.offset >= actor->partitions[dead->letter.partition].floor) {
            snprintf (what, 256, "S1: %s: dead at or above the floor", actor->name);
            return false;
        }
        if (!check_held (actor, dead->letter.offset, dead, &count, what))
            return false;
    }
    if (count == bn_map_count (actor->held))
        return true;
    snprintf (what, 256, "S3: %s: %zu offsets are held, %zu are parked or dead", actor->name,
              bn_map_count (actor->held), count);
    return false;
}

static bool check_published (const bn_state_t *self, const bn_actor_state_t *actor, char what[256])
{
    uint64_t sum = 0;
    for (bn_map_node_t *node = bn_map_first (self->topics); node; node = bn_map_next (node)) {
        const bn_topic_state_t *topic = bn_map_value (node);
        sum += bn_state_topic_is_read_by (topic, actor) ? topic->events : 0;
    }
    if (sum == actor->published)
        return true;
    snprintf (what, 256, "S4: %s: its topics have %" PRIu64 " events, it counts %" PRIu64,
              actor->name, sum, actor->published);
    return false;
}

bool bn_state_check (const bn_state_t *self, char what[256])
{
    for (bn_map_node_t *node = bn_map_first (self->actors); node; node = bn_map_next (node))
        if (!check_actor (self, bn_map_value (node), what) ||
            !check_published (self, bn_map_value (node), what))
            return false;
    return true;
}
