/* SPDX-License-Identifier: MPL-2.0 */

/*  state_save.c - the state as items of a checkpoint, and back.
 *
 *  DESIGN. Many small items with ordered keys, so that a store can write them as they come and a
 *  person can tell what is in it. Numbers in keys are big-endian. Each value is the version of its
 *  layout (one byte), then one MessagePack array, positional:
 *
 *    "m"                       journal-id partitions sequence tail actor-id-last
 *    "a" actor:4               name [pattern] max-attempts backoff-min backoff-max deadline
 *                              settled retried died [former pattern] former-until
 *    "p" actor:4 partition:4   floor head pending generation careful-until begun instance
 *                              incarnation exact [offset attempts due key-hash reason]*
 *                              [offset attempts reason]* former-end
 *    "d" actor:4 dead-offset:8 offset partition attempts time key-hash
 *    "t" name                  events bytes [end count]*
 *    "r" producer:8            sequence used [sequence base count]*
 *
 *  The lists are flat. Readers of topics are a cache and are not saved. Restoring takes the items
 *  in any order: what an item refers to is made when it is named first, and bn_state_restored
 *  refuses what was named and never came. Older layouts are still taken: "a" and "p" had nothing
 *  that begins with "former", and the first "p" no reasons.  */
#include "base/assert.h"
#include "base/plant.h"
#include "core/state_internal.h"
#include "wire/topic.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_BYTES_MAX (64u * 1024 * 1024)
#define LAYOUTS_MAX    3

static const struct {
    char kind;
    uint8_t layout;               /* the present one */
    size_t key_size;              /* 0: any */
    uint32_t fields[LAYOUTS_MAX]; /* by layout, from 1 on */
} layouts[] = {{'m', 1, 1, {5}},  {'a', 2, 5, {9, 11}}, {'p', 3, 9, {11, 11, 12}},
               {'d', 1, 13, {5}}, {'t', 1, 0, {3}},     {'r', 1, 9, {3}}};

#define KINDS (sizeof layouts / sizeof *layouts)

static size_t find_kind (char kind)
{
    size_t at = 0;
    while (at < KINDS && layouts[at].kind != kind)
        at++;
    return at;
}

/*  ---- saving ---- */

typedef struct {
    bn_buffer_t value;
    uint8_t key[1 + BATON_TOPIC_BYTES_MAX + 8];
    size_t key_size;
    msgpack_packer packer;
    bn_state_put_fn *put;
    void *arg;
} saver_t;

static void begin_item (saver_t *self, char kind, const void *name, size_t size)
{
    size_t at = find_kind (kind);
    bn_assert (at < KINDS && size < sizeof self->key);
    uint8_t layout = layouts[at].layout;
    self->key[0] = (uint8_t)kind;
    if (size)
        memcpy (self->key + 1, name, size);
    self->key_size = 1 + size;
    bn_buffer_clear (&self->value);
    bn_buffer_append (&self->value, &layout, 1);
    self->packer = bn_mp_packer (&self->value);
    msgpack_pack_array (&self->packer, layouts[at].fields[layout - 1]);
}

static bool end_item (saver_t *self)
{
    return !self->value.failed &&
           self->put (self->key, self->key_size, bn_buffer_data (&self->value), self->value.size,
                      self->arg);
}

static void put_u64 (saver_t *self, uint64_t value)
{
    msgpack_pack_uint64 (&self->packer, value);
}

static void big_endian (uint8_t *to, uint64_t value, size_t size)
{
    for (size_t index = 0; index < size; index++)
        to[index] = (uint8_t)(value >> (8 * (size - 1 - index)));
}

static void put_patterns (saver_t *self, char *const *patterns, uint32_t count)
{
    msgpack_pack_array (&self->packer, count);
    for (uint32_t index = 0; index < count; index++)
        bn_mp_pack_cstr (&self->packer, patterns[index]);
}

static bool save_actor (saver_t *self, const bn_actor_state_t *actor)
{
    uint8_t name[4];
    big_endian (name, actor->id, 4);
    begin_item (self, 'a', name, sizeof name);
    bn_mp_pack_cstr (&self->packer, actor->name);
    put_patterns (self, actor->patterns, actor->pattern_count);
    put_u64 (self, actor->policy.max_attempts);
    put_u64 (self, actor->policy.backoff_min_ms);
    put_u64 (self, actor->policy.backoff_max_ms);
    put_u64 (self, actor->policy.handler_deadline_ms);
    put_u64 (self, actor->settled);
    put_u64 (self, actor->retried);
    put_u64 (self, actor->died);
    bool forgets = BN_PLANT (former_not_saved);
    put_patterns (self, actor->former, forgets ? 0 : actor->former_count);
    put_u64 (self, forgets ? 0 : actor->former_until);
    return end_item (self);
}

static bool save_partition (saver_t *self, const bn_actor_state_t *actor, uint32_t index)
{
    const bn_actor_partition_t *partition = &actor->partitions[index];
    uint8_t name[8];
    big_endian (name, actor->id, 4);
    big_endian (name + 4, index, 4);
    begin_item (self, 'p', name, sizeof name);
    put_u64 (self, partition->floor);
    put_u64 (self, partition->head);
    put_u64 (self, partition->pending);
    put_u64 (self, partition->generation);
    put_u64 (self, partition->careful_until);
    put_u64 (self, partition->begun);
    bn_mp_pack_cstr (&self->packer, partition->instance);
    put_u64 (self, partition->incarnation);
    put_u64 (self, partition->exact ? 1 : 0);
    bn_map_node_t *node = bn_map_first (partition->parked);
    bool forgets = BN_PLANT (parked_not_saved) && node;
    msgpack_pack_array (&self->packer, 5 * (bn_map_count (partition->parked) - forgets));
    for (node = forgets ? bn_map_next (node) : node; node; node = bn_map_next (node)) {
        const bn_parked_t *parked = bn_map_value (node);
        put_u64 (self, parked->offset);
        put_u64 (self, parked->attempts);
        put_u64 (self, parked->due_ms);
        put_u64 (self, parked->key_hash);
        bn_mp_pack_str (&self->packer, parked->reason.text,
                        BN_PLANT (reason_not_saved) ? 0 : parked->reason.size);
    }
    msgpack_pack_array (&self->packer, 3 * bn_map_count (partition->charged));
    for (node = bn_map_first (partition->charged); node; node = bn_map_next (node)) {
        const bn_charged_t *charged = bn_map_value (node);
        put_u64 (self, charged->offset);
        put_u64 (self, charged->attempts);
        bn_mp_pack_str (&self->packer, charged->reason.text, charged->reason.size);
    }
    put_u64 (self, BN_PLANT (former_not_saved) ? 0 : partition->former_end);
    return end_item (self);
}

static bool save_dead (saver_t *self, const bn_actor_state_t *actor, const bn_dead_state_t *dead)
{
    uint8_t name[12];
    big_endian (name, actor->id, 4);
    big_endian (name + 4, dead->letter.dead_offset, 8);
    begin_item (self, 'd', name, sizeof name);
    put_u64 (self, dead->letter.offset);
    put_u64 (self, dead->letter.partition);
    put_u64 (self, dead->letter.attempts);
    put_u64 (self, dead->letter.time_us);
    put_u64 (self, dead->key_hash);
    return end_item (self);
}

static bool save_topic (saver_t *self, const bn_topic_state_t *topic, uint32_t partitions)
{
    begin_item (self, 't', topic->name, strlen (topic->name));
    put_u64 (self, topic->events);
    put_u64 (self, topic->bytes);
    msgpack_pack_array (&self->packer, 2 * (size_t)partitions);
    for (uint32_t index = 0; index < partitions; index++) {
        put_u64 (self, topic->partitions[index].end);
        put_u64 (self, topic->partitions[index].count);
    }
    return end_item (self);
}

static bool save_producer (saver_t *self, const bn_producer_state_t *producer)
{
    uint8_t name[8];
    big_endian (name, producer->id, 8);
    begin_item (self, 'r', name, sizeof name);
    put_u64 (self, producer->sequence);
    put_u64 (self, producer->used);
    msgpack_pack_array (&self->packer, 3 * BN_PRODUCER_RECEIPTS);
    for (uint32_t index = 0; index < BN_PRODUCER_RECEIPTS; index++) {
        put_u64 (self, producer->receipts[index].sequence);
        put_u64 (self, producer->receipts[index].base);
        put_u64 (self, producer->receipts[index].count);
    }
    return end_item (self);
}

static bool save_all_of_actor (saver_t *self, const bn_state_t *state,
                               const bn_actor_state_t *actor)
{
    bool ok = save_actor (self, actor);
    for (uint32_t index = 0; ok && index < state->partitions; index++)
        ok = save_partition (self, actor, index);
    for (bn_map_node_t *node = bn_map_first (actor->dead); ok && node; node = bn_map_next (node))
        ok = save_dead (self, actor, bn_map_value (node));
    return ok;
}

bool bn_state_save (const bn_state_t *self, bn_state_put_fn *put, void *arg)
{
    saver_t saver = {.put = put, .arg = arg};
    bn_buffer_init (&saver.value, ITEM_BYTES_MAX);
    begin_item (&saver, 'm', NULL, 0);
    put_u64 (&saver, self->journal_id);
    put_u64 (&saver, self->partitions);
    put_u64 (&saver, self->sequence);
    put_u64 (&saver, self->tail);
    put_u64 (&saver, self->actor_id_last);
    bool ok = end_item (&saver);
    bn_map_node_t *node;
    for (node = bn_map_first (self->actors_by_id); ok && node; node = bn_map_next (node))
        ok = save_all_of_actor (&saver, self, bn_map_value (node));
    for (node = bn_map_first (self->topics); ok && node; node = bn_map_next (node))
        ok = save_topic (&saver, bn_map_value (node), self->partitions);
    for (node = bn_map_first (self->producers); ok && node; node = bn_map_next (node))
        ok = save_producer (&saver, bn_map_value (node));
    bn_buffer_fini (&saver.value);
    return ok;
}

/*  ---- restoring ---- */

static uint64_t from_big_endian (const uint8_t *from, size_t size)
{
    uint64_t value = 0;
    for (size_t index = 0; index < size; index++)
        value = value << 8 | from[index];
    return value;
}

static void get_name (bn_mp_t *mp, char name[BATON_NAME_BYTES_MAX + 1], const char *what)
{
    size_t size = 0;
    const char *text = bn_mp_str (mp, BATON_NAME_BYTES_MAX, &size, what);
    memset (name, 0, BATON_NAME_BYTES_MAX + 1);
    if (bn_mp_ok (mp))
        memcpy (name, text, size);
}

static void get_reason (bn_mp_t *mp, bn_text_t *reason)
{
    reason->text = bn_mp_str (mp, BN_PARKED_REASON_BYTES_MAX, &reason->size, "reason");
}

/*  The actor of an item; made without a name if its own item has not come yet: it is in actors only
 *  once that has, and bn_state_restored compares.  */
static bn_actor_state_t *restore_actor_ensure (bn_state_t *self, uint32_t id)
{
    bn_actor_state_t *actor = bn_map_get_u64 (self->actors_by_id, id);
    if (actor)
        return actor;
    char placeholder[16];
    int size = snprintf (placeholder, sizeof placeholder, "?%08x", (unsigned)id);
    return bn_state_actor_new (self, id, placeholder, (size_t)size);
}

static uint32_t get_patterns (bn_mp_t *mp, bn_text_t patterns[BN_PATTERNS_MAX])
{
    uint32_t count = bn_mp_array (mp, BN_PATTERNS_MAX, "patterns");
    for (uint32_t index = 0; index < count; index++)
        patterns[index].text =
            bn_mp_str (mp, BATON_TOPIC_BYTES_MAX, &patterns[index].size, "pattern");
    return count;
}

static baton_err_t restore_actor (bn_state_t *self, uint32_t id, bool has_former, bn_mp_t *mp)
{
    bn_actor_state_t *actor = restore_actor_ensure (self, id);
    if (!actor)
        return BATON_ERR_MEMORY;
    char name[BATON_NAME_BYTES_MAX + 1];
    bn_text_t patterns[BN_PATTERNS_MAX];
    bn_text_t former[BN_PATTERNS_MAX];
    get_name (mp, name, "actor");
    uint32_t count = get_patterns (mp, patterns);
    actor->policy.max_attempts = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "max attempts");
    actor->policy.backoff_min_ms = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "backoff");
    actor->policy.backoff_max_ms = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "backoff");
    actor->policy.handler_deadline_ms = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "deadline");
    actor->settled = bn_mp_uint (mp, UINT64_MAX, "settled");
    actor->retried = bn_mp_uint (mp, UINT64_MAX, "retried");
    actor->died = bn_mp_uint (mp, UINT64_MAX, "died");
    uint32_t former_count = has_former ? get_patterns (mp, former) : 0;
    actor->former_until = has_former ? bn_mp_uint (mp, UINT64_MAX, "former until") : 0;
    bn_mp_end (mp);
    if (!bn_mp_ok (mp) || !bn_actor_name_valid (name, strlen (name)) || count == 0 ||
        bn_map_get_str (self->actors, name))
        return BATON_ERR_ROT;
    if (!bn_state_actor_patterns (actor, patterns, count) ||
        !bn_state_actor_former (actor, former, former_count))
        return BATON_ERR_MEMORY;
    bn_map_remove_str (self->actors, actor->name);
    memcpy (actor->name, name, sizeof name);
    return bn_map_put_str (self->actors, name, actor, NULL) ? BATON_OK : BATON_ERR_MEMORY;
}

static baton_err_t restore_parked (bn_actor_state_t *actor, uint32_t index, bool reasons,
                                   bn_mp_t *mp)
{
    uint32_t each = reasons ? 5 : 4;
    uint32_t values = bn_mp_array (mp, UINT32_MAX, "parked");
    for (uint32_t at = 0; bn_mp_ok (mp) && at + each <= values; at += each) {
        bn_parked_t parked = {.offset = bn_mp_uint (mp, UINT64_MAX, "offset")};
        parked.attempts = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "attempts");
        parked.due_ms = bn_mp_uint (mp, UINT64_MAX, "due");
        parked.key_hash = bn_mp_uint (mp, UINT64_MAX, "key hash");
        if (reasons)
            get_reason (mp, &parked.reason);
        baton_err_t err = bn_mp_ok (mp) ? bn_state_park (actor, index, &parked) : BATON_ERR_ROT;
        if (err)
            return err;
    }
    return BATON_OK;
}

static baton_err_t restore_charged (bn_actor_partition_t *partition, bool reasons, bn_mp_t *mp)
{
    uint32_t each = reasons ? 3 : 2;
    uint32_t values = bn_mp_array (mp, UINT32_MAX, "charged");
    for (uint32_t at = 0; bn_mp_ok (mp) && at + each <= values; at += each) {
        bn_charged_t charged = {.offset = bn_mp_uint (mp, UINT64_MAX, "offset")};
        charged.attempts = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "attempts");
        if (reasons)
            get_reason (mp, &charged.reason);
        baton_err_t err = bn_mp_ok (mp) ? bn_state_charge (partition, &charged) : BATON_ERR_ROT;
        if (err)
            return err;
    }
    return BATON_OK;
}

static baton_err_t restore_partition (bn_state_t *self, uint32_t id, uint32_t index, uint8_t layout,
                                      bn_mp_t *mp)
{
    bn_actor_state_t *actor = restore_actor_ensure (self, id);
    if (!actor)
        return BATON_ERR_MEMORY;
    if (index >= self->partition_room)
        return BATON_ERR_ROT;
    bn_actor_partition_t *partition = &actor->partitions[index];
    partition->floor = bn_mp_uint (mp, UINT64_MAX, "floor");
    partition->head = bn_mp_uint (mp, UINT64_MAX, "head");
    partition->pending = bn_mp_uint (mp, UINT64_MAX, "pending");
    partition->generation = bn_mp_uint (mp, UINT64_MAX, "generation");
    partition->careful_until = bn_mp_uint (mp, UINT64_MAX, "careful until");
    partition->begun = bn_mp_uint (mp, UINT64_MAX, "begun");
    get_name (mp, partition->instance, "instance");
    partition->incarnation = bn_mp_uint (mp, UINT64_MAX, "incarnation");
    partition->exact = bn_mp_uint (mp, 1, "exact") == 1;
    baton_err_t err = restore_parked (actor, index, layout >= 2, mp);
    if (!err)
        err = restore_charged (partition, layout >= 2, mp);
    if (!err && layout >= 3)
        partition->former_end = bn_mp_uint (mp, UINT64_MAX, "former end");
    return err;
}

static baton_err_t restore_dead (bn_state_t *self, uint32_t id, uint64_t dead_offset, bn_mp_t *mp)
{
    bn_actor_state_t *actor = restore_actor_ensure (self, id);
    if (!actor)
        return BATON_ERR_MEMORY;
    bn_dead_state_t dead = {.letter = {.dead_offset = dead_offset}};
    dead.letter.offset = bn_mp_uint (mp, UINT64_MAX, "offset");
    dead.letter.partition = (uint32_t)bn_mp_uint (mp, BN_PARTITIONS_MAX - 1, "partition");
    dead.letter.attempts = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "attempts");
    dead.letter.time_us = bn_mp_uint (mp, UINT64_MAX, "time");
    dead.key_hash = bn_mp_uint (mp, UINT64_MAX, "key hash");
    return bn_mp_ok (mp) ? bn_state_bury (actor, &dead) : BATON_ERR_ROT;
}

static baton_err_t restore_topic (bn_state_t *self, const char *name, size_t size, bn_mp_t *mp)
{
    if (!bn_topic_valid (name, size) || bn_map_get (self->topics, name, size))
        return BATON_ERR_ROT;
    bn_topic_state_t *topic = bn_state_topic_ensure (self, name, size);
    if (!topic)
        return BATON_ERR_MEMORY;
    topic->events = bn_mp_uint (mp, UINT64_MAX, "events");
    topic->bytes = bn_mp_uint (mp, UINT64_MAX, "bytes");
    uint32_t numbers = bn_mp_array (mp, 2 * self->partition_room, "partitions");
    for (uint32_t index = 0; index < numbers / 2; index++) {
        topic->partitions[index].end = bn_mp_uint (mp, UINT64_MAX, "end");
        topic->partitions[index].count = bn_mp_uint (mp, UINT64_MAX, "count");
    }
    return BATON_OK;
}

static baton_err_t restore_producer (bn_state_t *self, uint64_t id, bn_mp_t *mp)
{
    if (bn_map_get_u64 (self->producers, id))
        return BATON_ERR_ROT;
    bn_producer_state_t *producer = bn_state_producer_ensure (self, id);
    if (!producer)
        return BATON_ERR_MEMORY;
    producer->sequence = bn_mp_uint (mp, UINT64_MAX, "sequence");
    uint64_t used = bn_mp_uint (mp, UINT64_MAX, "used");
    uint32_t numbers = bn_mp_array (mp, 3 * BN_PRODUCER_RECEIPTS, "receipts");
    for (uint32_t index = 0; index < numbers / 3; index++) {
        producer->receipts[index].sequence = bn_mp_uint (mp, UINT64_MAX, "sequence");
        producer->receipts[index].base = bn_mp_uint (mp, UINT64_MAX, "base");
        producer->receipts[index].count = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "count");
    }
    if (!bn_mp_ok (mp) || used == 0 || bn_map_get_u64 (self->producers_by_use, used))
        return BATON_ERR_ROT;
    /*  How many are kept is decided in bn_state_restored, when all are there.  */
    producer->used = used;
    return bn_map_put_u64 (self->producers_by_use, used, producer, NULL) ? BATON_OK
                                                                         : BATON_ERR_MEMORY;
}

static baton_err_t restore_meta (bn_state_t *self, bn_mp_t *mp)
{
    self->journal_id = bn_mp_uint (mp, UINT64_MAX, "journal id");
    self->partitions = (uint32_t)bn_mp_uint (mp, BN_PARTITIONS_MAX, "partitions");
    self->sequence = bn_mp_uint (mp, UINT64_MAX, "sequence");
    self->tail = bn_mp_uint (mp, UINT64_MAX, "tail");
    self->actor_id_last = (uint32_t)bn_mp_uint (mp, UINT32_MAX, "actor id");
    return self->journal_id && self->partitions ? BATON_OK : BATON_ERR_ROT;
}

baton_err_t bn_state_restore (bn_state_t *self, const void *key, size_t key_size, const void *value,
                              size_t value_size)
{
    const uint8_t *name = key;
    if (key_size == 0 || value_size == 0)
        return BATON_ERR_ROT;
    size_t kind = find_kind ((char)name[0]);
    uint8_t layout = *(const uint8_t *)value;
    if (kind == KINDS || layout == 0 || layout > layouts[kind].layout)
        return BATON_ERR_FORMAT;
    uint32_t fields = layouts[kind].fields[layout - 1];
    if (layouts[kind].key_size && layouts[kind].key_size != key_size)
        return BATON_ERR_ROT;
    self->partition_room = BN_PARTITIONS_MAX;
    bn_mp_t mp;
    bn_mp_init (&mp, (const uint8_t *)value + 1, value_size - 1);
    if (bn_mp_array (&mp, fields, "fields") != fields)
        return BATON_ERR_ROT;
    uint32_t id = key_size >= 5 ? (uint32_t)from_big_endian (name + 1, 4) : 0;
    baton_err_t err = BATON_ERR_ROT;
    switch (layouts[kind].kind) {
    case 'm':
        err = restore_meta (self, &mp);
        break;
    case 'a':
        err = restore_actor (self, id, layout >= 2, &mp);
        break;
    case 'p':
        err = restore_partition (self, id, (uint32_t)from_big_endian (name + 5, 4), layout, &mp);
        break;
    case 'd':
        err = restore_dead (self, id, from_big_endian (name + 5, 8), &mp);
        break;
    case 't':
        err = restore_topic (self, (const char *)name + 1, key_size - 1, &mp);
        break;
    case 'r':
        err = restore_producer (self, from_big_endian (name + 1, 8), &mp);
        break;
    }
    bn_mp_end (&mp);
    return err ? err : bn_mp_ok (&mp) ? BATON_OK : BATON_ERR_ROT;
}

/*  Drops the partitions that do not exist. false: something was said of one of them.  */
static bool shrink_actor (const bn_state_t *self, bn_actor_state_t *actor)
{
    bool empty = true;
    for (uint32_t index = self->partitions; index < self->partition_room; index++) {
        bn_actor_partition_t *partition = &actor->partitions[index];
        empty = empty && bn_map_count (partition->parked) == 0 &&
                bn_map_count (partition->charged) == 0 && partition->floor == 0;
        for (bn_map_node_t *node = bn_map_first (partition->parked); node;
             node = bn_map_next (node))
            free (bn_map_value (node));
        for (bn_map_node_t *node = bn_map_first (partition->charged); node;
             node = bn_map_next (node))
            free (bn_map_value (node));
        bn_map_destroy (&partition->parked);
        bn_map_destroy (&partition->charged);
    }
    for (bn_map_node_t *node = bn_map_first (actor->dead); node; node = bn_map_next (node)) {
        const bn_dead_state_t *dead = bn_map_value (node);
        empty = empty && dead->letter.partition < self->partitions;
    }
    void *smaller = realloc (actor->partitions, self->partitions * sizeof *actor->partitions);
    if (smaller)
        actor->partitions = smaller;
    return empty && actor->id <= self->actor_id_last;
}

static bool shrink_topic (const bn_state_t *self, bn_topic_state_t *topic)
{
    bool empty = true;
    for (uint32_t index = self->partitions; index < self->partition_room; index++)
        empty = empty && topic->partitions[index].end == 0;
    void *smaller = realloc (topic->partitions, self->partitions * sizeof *topic->partitions);
    if (smaller)
        topic->partitions = smaller;
    return empty;
}

baton_err_t bn_state_restored (bn_state_t *self)
{
    if (self->journal_id == 0 || self->partitions == 0)
        return BATON_ERR_ROT;
    bool ok = true;
    bn_map_node_t *node;
    bn_map_node_t *each;
    for (node = bn_map_first (self->actors_by_id); node; node = bn_map_next (node)) {
        bn_actor_state_t *actor = bn_map_value (node);
        uint64_t published = 0;
        for (each = bn_map_first (self->topics); each; each = bn_map_next (each)) {
            bn_topic_state_t *topic = bn_map_value (each);
            bool reads = bn_state_actor_matches (actor, topic->name, strlen (topic->name));
            if (!bn_state_topic_reader (topic, actor, reads))
                return BATON_ERR_MEMORY;
            published += reads ? topic->events : 0;
        }
        actor->published = published; /* items came in any order */
    }
    for (node = bn_map_first (self->actors_by_id); node; node = bn_map_next (node)) {
        bn_actor_state_t *actor = bn_map_value (node);
        ok = shrink_actor (self, actor) && actor->name[0] != '?' && ok;
    }
    for (node = bn_map_first (self->topics); node; node = bn_map_next (node))
        ok = shrink_topic (self, bn_map_value (node)) && ok;
    self->partition_room = self->partitions;
    node = bn_map_first (self->producers_by_use);
    if (node) {
        /*  The newest stays as it is; the limit may be smaller than the last time.  */
        bn_map_node_t *newest = node;
        while ((node = bn_map_next (node)))
            newest = node;
        bn_producer_state_t *producer = bn_map_value (newest);
        if (!bn_state_producer_used (self, producer, producer->used))
            return BATON_ERR_MEMORY;
    }
    char what[256];
    return ok && bn_state_check (self, what) ? BATON_OK : BATON_ERR_ROT;
}
