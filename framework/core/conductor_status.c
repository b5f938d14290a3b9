/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_status.c - STATUS: one MessagePack map that explains itself.
 *
 *    {"orchestrator": {...}, "topics": [{...}], "actors": [{...}], "truncated": bool}
 *
 *  Counts are since the beginning of the journal; rates are the difference of two answers. Lists
 *  are cut where they would not fit into a message, and "truncated" says so. "lag" is what is ready
 *  plus what is parked. "in_flight" is what instances said in their last heartbeats: received and
 *  not settled; it is part of the lag, and as old as a heartbeat. "published" is what the actor's
 *  topics ever got, what came before it included; only other patterns can make it less.
 *  Below "former_until" the "former_patterns" count instead of the present ones; "to_drain" of the
 *  ready events, at most, wait there for instances that joined with them.
 *  "busy_partitions" have ready events: more instances than that have nothing to do. "parked_most"
 *  is that of the fullest partition, which waits at parked_max.
 *
 *  DESIGN. Costs topics + actors x partitions, whatever the journal and the lag: it may be asked
 *  each second.  */
#include "core/conductor_internal.h"
#include <baton/version.h>
#include <stdio.h>

/*  A list that is written before its count is known.  */
typedef struct {
    bn_buffer_t items;
    uint32_t count;
    bool cut;
} list_t;

static void list_init (list_t *self, size_t bytes_max)
{
    bn_buffer_init (&self->items, bytes_max);
    self->count = 0;
    self->cut = false;
}

/*  After an item was written, which began at `start`: keeps it if it fits.  */
static bool list_keep (list_t *self, size_t start)
{
    if (!self->items.failed) {
        self->count++;
        return true;
    }
    self->items.failed = false;
    self->items.size = start;
    self->cut = true;
    return false;
}

static void list_write (list_t *self, msgpack_packer *packer, bn_buffer_t *buffer)
{
    msgpack_pack_array (packer, self->count);
    if (self->items.size)
        bn_buffer_append (buffer, bn_buffer_data (&self->items), self->items.size);
    bn_buffer_fini (&self->items);
}

static void put_number (msgpack_packer *packer, const char *name, uint64_t value)
{
    bn_mp_pack_cstr (packer, name);
    msgpack_pack_uint64 (packer, value);
}

static void put_bool (msgpack_packer *packer, const char *name, bool value)
{
    bn_mp_pack_cstr (packer, name);
    if (value)
        msgpack_pack_true (packer);
    else
        msgpack_pack_false (packer);
}

static void put_text (msgpack_packer *packer, const char *name, const char *value)
{
    bn_mp_pack_cstr (packer, name);
    bn_mp_pack_cstr (packer, value);
}

static void put_orchestrator (const bn_conductor_t *self, msgpack_packer *packer)
{
    const bn_state_t *state = self->state;
    char journal_id[17];
    snprintf (journal_id, sizeof journal_id, "%016" PRIx64, state->journal_id);
    msgpack_pack_map (packer, 21);
    put_text (packer, "version", BATON_VERSION_TEXT);
    put_text (packer, "journal_id", journal_id);
    put_number (packer, "time_us", self->now.wall_us);
    put_number (packer, "partitions", state->partitions);
    put_number (packer, "tail", state->tail);
    put_number (packer, "sequence", state->sequence);
    put_number (packer, "needed_from", bn_state_needed_from (state));
    put_number (packer, "sessions", bn_map_count (self->sessions));
    put_number (packer, "instances", self->instances);
    put_number (packer, "waiting", bn_map_count (self->waiting));
    put_number (packer, "producers", bn_map_count (state->producers));
    put_bool (packer, "disk_full", self->disk_full);
    put_number (packer, "heartbeat_ms", self->options.heartbeat_ms);
    put_number (packer, "session_timeout_ms", self->options.session_timeout_ms);
    put_number (packer, "message_bytes_max", self->options.message_bytes_max);
    put_number (packer, "data_bytes_max", self->options.data_bytes_max);
    put_number (packer, "sessions_max", self->options.sessions_max);
    put_number (packer, "actors_max", self->options.actors_max);
    put_number (packer, "topics_max", self->options.topics_max);
    put_number (packer, "parked_max", self->options.parked_max);
    put_number (packer, "dead_max", self->options.dead_max);
}

static void put_patterns (msgpack_packer *packer, const char *name, char *const *patterns,
                          uint32_t count)
{
    bn_mp_pack_cstr (packer, name);
    msgpack_pack_array (packer, count);
    for (uint32_t index = 0; index < count; index++)
        bn_mp_pack_cstr (packer, patterns[index]);
}

static void put_topics (const bn_conductor_t *self, list_t *list)
{
    for (bn_map_node_t *node = bn_map_first (self->state->topics); node;
         node = bn_map_next (node)) {
        const bn_topic_state_t *topic = bn_map_value (node);
        size_t start = list->items.size;
        msgpack_packer packer = bn_mp_packer (&list->items);
        msgpack_pack_map (&packer, 4);
        put_text (&packer, "name", topic->name);
        put_number (&packer, "events", topic->events);
        put_number (&packer, "bytes", topic->bytes);
        put_number (&packer, "actors", topic->reader_count);
        if (!list_keep (list, start))
            return;
    }
}

static void put_instances (const bn_conductor_t *self, const bn_actor_live_t *live,
                           msgpack_packer *packer)
{
    msgpack_pack_array (packer, live ? bn_map_count (live->instances) : 0);
    bn_map_node_t *node = live ? bn_map_first (live->instances) : NULL;
    for (; node; node = bn_map_next (node)) {
        const bn_instance_t *instance = bn_map_value (node);
        msgpack_pack_map (packer, 7);
        put_text (packer, "name", instance->name);
        put_number (packer, "partitions", instance->owned);
        put_number (packer, "in_flight", instance->in_flight);
        put_number (packer, "revoked", instance->revoked);
        put_bool (packer, "connected", instance->session != NULL);
        put_bool (packer, "stale", instance->stale);
        /*  Since it was heard last; not known of one that has not come back.  */
        bn_mp_pack_cstr (packer, "age_ms");
        if (instance->session)
            msgpack_pack_uint64 (packer, self->now.mono_ms - instance->session->heard_ms);
        else
            msgpack_pack_nil (packer);
    }
}

static uint64_t in_flight (const bn_actor_live_t *live)
{
    uint64_t sum = 0;
    bn_map_node_t *node = live ? bn_map_first (live->instances) : NULL;
    for (; node; node = bn_map_next (node))
        sum += ((const bn_instance_t *)bn_map_value (node))->in_flight;
    return sum;
}

typedef struct {
    uint64_t pending;
    uint64_t pending_most; /* in one partition */
    uint64_t parked;
    uint64_t parked_most; /* in one partition */
    uint64_t busy;        /* partitions with pending events */
    uint64_t careful;     /* partitions */
    uint64_t oldest;      /* BN_NO_OFFSET: nothing is unsettled */
    bool exact;
} sums_t;

static sums_t sum_up (const bn_conductor_t *self, const bn_actor_state_t *actor)
{
    sums_t sums = {.oldest = BN_NO_OFFSET, .exact = true};
    for (uint32_t index = 0; index < self->state->partitions; index++) {
        const bn_actor_partition_t *partition = &actor->partitions[index];
        bn_map_node_t *lowest = bn_map_first (partition->parked);
        uint64_t parked = bn_map_count (partition->parked);
        sums.pending += partition->pending;
        if (partition->pending > sums.pending_most)
            sums.pending_most = partition->pending;
        sums.busy += partition->pending ? 1 : 0;
        sums.parked += parked;
        sums.parked_most = parked > sums.parked_most ? parked : sums.parked_most;
        sums.careful += partition->careful_until ? 1 : 0;
        sums.exact = sums.exact && partition->exact;
        if (partition->floor < partition->head && partition->floor < sums.oldest)
            sums.oldest = partition->floor;
        if (lowest && bn_map_key_u64 (lowest) < sums.oldest)
            sums.oldest = bn_map_key_u64 (lowest);
    }
    return sums;
}

static void put_actors (const bn_conductor_t *self, list_t *list)
{
    for (bn_map_node_t *node = bn_map_first (self->state->actors); node;
         node = bn_map_next (node)) {
        const bn_actor_state_t *actor = bn_map_value (node);
        sums_t sums = sum_up (self, actor);
        size_t start = list->items.size;
        msgpack_packer packer = bn_mp_packer (&list->items);
        msgpack_pack_map (&packer, 23);
        put_text (&packer, "name", actor->name);
        put_number (&packer, "id", actor->id);
        put_patterns (&packer, "patterns", actor->patterns, actor->pattern_count);
        put_patterns (&packer, "former_patterns", actor->former, actor->former_count);
        put_number (&packer, "former_until", actor->former_until);
        put_number (&packer, "to_drain", bn_conductor_left_to_drain (self, actor));
        bn_mp_pack_cstr (&packer, "instances");
        put_instances (self, bn_map_get_u64 (self->live, actor->id), &packer);
        put_number (&packer, "lag", sums.pending + sums.parked);
        put_bool (&packer, "lag_exact", sums.exact);
        put_number (&packer, "ready", sums.pending);
        put_number (&packer, "ready_most", sums.pending_most);
        put_number (&packer, "in_flight", in_flight (bn_map_get_u64 (self->live, actor->id)));
        put_number (&packer, "parked", sums.parked);
        put_number (&packer, "parked_most", sums.parked_most);
        put_number (&packer, "dead", bn_map_count (actor->dead));
        put_number (&packer, "busy_partitions", sums.busy);
        put_number (&packer, "careful_partitions", sums.careful);
        put_number (&packer, "published", actor->published);
        put_number (&packer, "settled", actor->settled);
        put_number (&packer, "retried", actor->retried);
        put_number (&packer, "died", actor->died);
        put_number (&packer, "max_attempts", actor->policy.max_attempts);
        bn_mp_pack_cstr (&packer, "oldest_unsettled_offset");
        if (sums.oldest == BN_NO_OFFSET)
            msgpack_pack_nil (&packer);
        else
            msgpack_pack_uint64 (&packer, sums.oldest);
        if (!list_keep (list, start))
            return;
    }
}

void bn_conductor_status (bn_conductor_t *self)
{
    size_t bytes_max = self->options.message_bytes_max;
    list_t topics;
    list_t actors;
    bn_buffer_t buffer;
    list_init (&actors, bytes_max / 2);
    list_init (&topics, bytes_max / 4);
    bn_buffer_init (&buffer, bytes_max);
    put_actors (self, &actors);
    put_topics (self, &topics);

    bool cut = topics.cut || actors.cut;
    msgpack_packer packer = bn_mp_packer (&buffer);
    msgpack_pack_map (&packer, 4);
    bn_mp_pack_cstr (&packer, "orchestrator");
    put_orchestrator (self, &packer);
    bn_mp_pack_cstr (&packer, "topics");
    list_write (&topics, &packer, &buffer);
    bn_mp_pack_cstr (&packer, "actors");
    list_write (&actors, &packer, &buffer);
    put_bool (&packer, "truncated", cut);
    if (buffer.failed)
        bn_conductor_refuse (self, BATON_ERR_TOO_LARGE, 0,
                             "the status does not fit into %zu bytes (message_bytes_max)",
                             bytes_max);
    else {
        bn_message_t reply = {.type = BN_STATUS_REPLY,
                              .status = {.data = bn_buffer_data (&buffer), .size = buffer.size}};
        bn_conductor_reply (self, &reply);
    }
    bn_buffer_fini (&buffer);
}
