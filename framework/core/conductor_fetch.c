/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_fetch.c - FETCH and READ: what to read from the journal, and who waits.
 *
 *  DESIGN. The conductor has no events, only what to look for: a READ effect, which the shell
 *  carries out after all that was decided before it is durable, so that "up to the tail" is
 *  readable then. Where nothing can match, the request waits here. A section that is applied wakes
 *  exactly those that it is for: by the owner of its partition for a FETCH, by patterns for a READ.
 *  A wait ends with an empty EVENTS; since the waiter would have been woken by anything that it
 *  asked for, "scanned to the tail" is true then.
 *
 *  For an instance with older patterns the journal ends where newer ones begin: from there on it
 *  is asked for nothing, woken by nothing, and told that there is nothing more.  */
#include "base/plant.h"
#include "core/conductor_internal.h"

/*  ---- waiting ---- */

static uint64_t end_of (const bn_conductor_t *self, const bn_read_spec_t *spec)
{
    return spec->upto < self->state->tail ? spec->upto : self->state->tail;
}

static void send_nothing (bn_conductor_t *self, uint64_t route, const bn_read_spec_t *spec)
{
    bn_message_t reply = {
        .type = BN_EVENTS,
        .request = spec->request,
        .events = {.from = spec->from, .scanned_to = end_of (self, spec), .at_tail = true}};
    bn_conductor_send (self, route, &reply);
}

/*  Takes the session out of those who wait; the spec is the caller's. NULL: it did not wait.  */
static bn_read_spec_t *unwait (bn_conductor_t *self, bn_session_t *session)
{
    bn_read_spec_t *spec = session->waiting;
    if (!spec)
        return NULL;
    session->waiting = NULL;
    bn_map_remove_u64 (self->waiting, session->route);
    self->waiting_reads -= session->waits_for_read ? 1 : 0;
    session->waits_for_read = false;
    return spec;
}

void bn_conductor_stop_waiting (bn_conductor_t *self, bn_session_t *session, bool answer)
{
    bn_read_spec_t *spec = unwait (self, session);
    if (spec && answer)
        send_nothing (self, session->route, spec);
    bn_read_spec_destroy (&spec);
}

/*  Reads at once, or waits. Takes the spec over.  */
static void read_now (bn_conductor_t *self, uint64_t route, bn_read_spec_t *spec)
{
    spec->upto = end_of (self, spec);
    bn_effect_t *effect = bn_effects_add (self->effects, BN_EFFECT_READ);
    effect->route = route;
    effect->read = spec;
}

static void wait_for_events (bn_conductor_t *self, bn_session_t *session, bn_read_spec_t *spec,
                             uint32_t wait_ms, bool reads)
{
    if (wait_ms == 0) {
        send_nothing (self, session->route, spec);
        bn_read_spec_destroy (&spec);
        return;
    }
    if (!bn_map_put_u64 (self->waiting, session->route, session, NULL)) {
        bn_read_spec_destroy (&spec);
        self->effects->failed = true;
        return;
    }
    session->waiting = spec;
    session->waits_for_read = reads;
    session->waits_until_ms = self->now.mono_ms + wait_ms;
    self->waiting_reads += reads ? 1 : 0;
    bn_conductor_due (self, session->waits_until_ms);
}

static void wake_later (bn_conductor_t *self, bn_session_t *session)
{
    if (session->woken)
        return;
    session->woken = true;
    session->woken_next = self->woken;
    self->woken = session;
}

static bool spec_matches (const bn_read_spec_t *spec, const bn_topic_state_t *topic)
{
    for (uint32_t index = 0; index < spec->pattern_count; index++)
        if (bn_pattern_matches (spec->patterns[index].text, spec->patterns[index].size, topic->name,
                                strlen (topic->name)))
            return true;
    return spec->pattern_count == 0;
}

void bn_conductor_notice (bn_conductor_t *self, const bn_topic_state_t *topic,
                          const bn_section_t *section)
{
    size_t waiting = bn_map_count (self->waiting);
    if (waiting == 0)
        return;
    for (uint32_t index = 0; waiting > self->waiting_reads && index < topic->reader_count;
         index++) {
        const bn_actor_live_t *live = bn_map_get_u64 (self->live, topic->readers[index]->id);
        const bn_instance_t *owner = live ? live->owners[section->partition] : NULL;
        bn_session_t *session = owner && !owner->stale ? owner->session : NULL;
        if (session && session->waiting && !session->waits_for_read &&
            session->waiting->from_by_partition[section->partition] != BN_NO_OFFSET)
            wake_later (self, session); /* from is not past the tail: this is not before it */
    }
    bn_map_node_t *node = self->waiting_reads ? bn_map_first (self->waiting) : NULL;
    for (; node; node = bn_map_next (node)) {
        bn_session_t *session = bn_map_value (node);
        if (session->waits_for_read && spec_matches (session->waiting, topic) &&
            !BN_PLANT (reader_not_woken))
            wake_later (self, session);
    }
}

void bn_conductor_wake (bn_conductor_t *self)
{
    while (self->woken) {
        bn_session_t *session = self->woken;
        self->woken = session->woken_next;
        session->woken = false;
        session->woken_next = NULL;
        bn_read_spec_t *spec = unwait (self, session);
        bn_assert (spec);
        read_now (self, session->route, spec);
    }
}

/*  ---- what to read ---- */

/*  Copies patterns, with their texts behind the array in the same allocation.  */
static bool copy_patterns (bn_read_spec_t *spec, const bn_text_t *patterns, uint32_t count)
{
    size_t bytes = count * sizeof *patterns;
    for (uint32_t index = 0; index < count; index++)
        bytes += patterns[index].size;
    if (count == 0)
        return true;
    spec->patterns = malloc (bytes);
    if (!spec->patterns)
        return false;
    char *text = (char *)(spec->patterns + count);
    for (uint32_t index = 0; index < count; index++) {
        memcpy (text, patterns[index].text, patterns[index].size);
        spec->patterns[index] = (bn_text_t){text, patterns[index].size};
        text += patterns[index].size;
    }
    spec->pattern_count = count;
    return true;
}

/*  The reply must fit into a message, the heads of its sections too.  */
static uint32_t reply_bytes (const bn_conductor_t *self, uint32_t asked)
{
    uint32_t most = self->options.message_bytes_max / 2;
    return asked < most ? asked : most;
}

static bn_read_spec_t *spec_new (bn_conductor_t *self, uint32_t bytes_max,
                                 const bn_text_t *patterns, uint32_t pattern_count)
{
    bn_read_spec_t *spec = bn_read_spec_new ();
    if (!spec || !copy_patterns (spec, patterns, pattern_count)) {
        bn_read_spec_destroy (&spec);
        self->effects->failed = true;
        return NULL;
    }
    spec->request = self->request;
    spec->upto = BN_NO_OFFSET;
    spec->bytes_max = reply_bytes (self, bytes_max);
    return spec;
}

/*  ---- FETCH ---- */

static void fetch_offsets (bn_conductor_t *self, const bn_instance_t *instance,
                           const bn_fetch_request_t *fetch)
{
    for (uint32_t index = 0; index < fetch->offset_count; index++)
        if (fetch->offsets[index] >= self->state->tail) {
            bn_conductor_refuse (self, BATON_ERR_OFFSET, 0,
                                 "FETCH: offset %" PRIu64 " is past the end of the journal, "
                                 "%" PRIu64,
                                 fetch->offsets[index], self->state->tail);
            return;
        }
    bn_read_spec_t *spec = spec_new (self, fetch->bytes_max, NULL, 0);
    if (!spec)
        return;
    spec->offsets = malloc (fetch->offset_count * sizeof *spec->offsets);
    if (!spec->offsets) {
        bn_read_spec_destroy (&spec);
        self->effects->failed = true;
        return;
    }
    memcpy (spec->offsets, fetch->offsets, fetch->offset_count * sizeof *spec->offsets);
    spec->offset_count = fetch->offset_count;
    spec->filter_partitions = true;
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        if (bn_conductor_owns (instance, partition))
            spec->from_by_partition[partition] = 0;
    read_now (self, self->route, spec);
}

/*  With the actor's patterns: the present ones, and the former ones if it is asked for what is
 *  older than the present ones. NULL: no memory.  */
static bn_read_spec_t *fetch_spec (bn_conductor_t *self, const bn_actor_state_t *actor,
                                   const bn_fetch_request_t *fetch)
{
    bn_text_t patterns[2 * BN_PATTERNS_MAX];
    uint32_t count = 0;
    bool older = false; /* than the present patterns */
    for (uint32_t index = 0; index < fetch->partition_count; index++)
        older = older || (fetch->partitions[index].from < actor->former_until &&
                          !BN_PLANT (former_forgotten));
    for (; count < actor->pattern_count; count++)
        patterns[count] = (bn_text_t){actor->patterns[count], strlen (actor->patterns[count])};
    for (uint32_t index = 0; older && index < actor->former_count; index++)
        patterns[count++] = (bn_text_t){actor->former[index], strlen (actor->former[index])};
    bn_read_spec_t *spec = spec_new (self, fetch->bytes_max, patterns, count);
    if (!spec)
        return NULL;
    spec->pattern_count = actor->pattern_count;
    spec->former_count = count - actor->pattern_count;
    spec->former_until = older ? actor->former_until : 0;
    spec->filter_partitions = true;
    spec->from = self->state->tail;
    return spec;
}

static bool check_fetch (bn_conductor_t *self, const bn_instance_t *instance,
                         const bn_fetch_request_t *fetch)
{
    for (uint32_t index = 0; index < fetch->partition_count; index++) {
        const bn_fetch_t *one = &fetch->partitions[index];
        if (!bn_conductor_check_owner (self, instance, one->partition, one->generation))
            return false;
        if (one->from > self->state->tail)
            return bn_conductor_refuse (self, BATON_ERR_OFFSET, one->partition,
                                        "FETCH: partition %" PRIu32 ": %" PRIu64
                                        " is past the end of the journal, %" PRIu64,
                                        one->partition, one->from, self->state->tail);
    }
    return true;
}

/*  Until it is known how far the answer went, it may have gone to the end.  */
static void note_fetch (bn_conductor_t *self, bn_session_t *session,
                        const bn_fetch_request_t *fetch)
{
    session->fetching = self->request;
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        session->fetches[partition] = BN_NO_OFFSET;
    for (uint32_t index = 0; index < fetch->partition_count; index++) {
        const bn_fetch_t *one = &fetch->partitions[index];
        session->fetches[one->partition] = one->from;
        session->instance->actor->delivered[one->partition] = BN_NO_OFFSET;
    }
}

/*  Whoever was sent a part of what waits, and more than that waits, fetches again before it takes
 *  anything from the fan-out: the chain tells it that there is a gap. (Not so in one case: what was
 *  fanned out before the read and is still under way to it can close the gap. Should that very
 *  event kill the process, its death goes unexplained once more often.)  */
void bn_conductor_read_done (bn_conductor_t *self, uint64_t route, uint64_t request,
                             uint64_t scanned_to, bool at_tail)
{
    bn_session_t *session = bn_map_get_u64 (self->sessions, route);
    if (at_tail || !session || !session->instance || request != session->fetching)
        return;
    bn_actor_live_t *live = session->instance->actor;
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        uint64_t from = session->fetches[partition];
        uint64_t to = from > scanned_to ? from : scanned_to;
        if (from != BN_NO_OFFSET && live->owners[partition] == session->instance &&
            live->state->partitions[partition].head > to)
            live->delivered[partition] = to;
    }
}

void bn_conductor_fetch (bn_conductor_t *self, bn_session_t *session,
                         const bn_fetch_request_t *fetch)
{
    const bn_instance_t *instance = session->instance;
    const bn_actor_state_t *actor = instance->actor->state;
    if (!check_fetch (self, instance, fetch))
        return;
    if (fetch->offset_count) {
        fetch_offsets (self, instance, fetch);
        return;
    }
    bn_conductor_stop_waiting (self, session, true); /* one a session (G7) */
    bn_read_spec_t *spec = fetch_spec (self, actor, fetch);
    if (!spec)
        return;
    if (instance->stale && !BN_PLANT (stale_not_stopped))
        spec->upto = instance->floor_max;
    note_fetch (self, session, fetch);
    bool any = false;
    for (uint32_t index = 0; index < fetch->partition_count; index++) {
        const bn_fetch_t *one = &fetch->partitions[index];
        spec->from_by_partition[one->partition] = one->from + (BN_PLANT (fetch_off_by_one) ? 1 : 0);
        if (one->from >= actor->partitions[one->partition].head || one->from >= spec->upto)
            continue; /* nothing for it is there yet */
        any = true;
        if (one->from < spec->from)
            spec->from = one->from;
    }
    if (any)
        read_now (self, session->route, spec);
    else
        wait_for_events (self, session, spec, fetch->wait_ms, false);
}

/*  ---- READ ---- */

void bn_conductor_read (bn_conductor_t *self, bn_session_t *session, const bn_read_t *read)
{
    if (read->from_kind == BN_FROM_OFFSET && read->from > self->state->tail) {
        bn_conductor_refuse (self, BATON_ERR_OFFSET, 0,
                             "READ: offset %" PRIu64 " is past the end of the journal, %" PRIu64,
                             read->from, self->state->tail);
        return;
    }
    bn_conductor_stop_waiting (self, session, true);
    bn_read_spec_t *spec = spec_new (self, read->bytes_max, read->patterns, read->pattern_count);
    if (!spec)
        return;
    spec->from_kind = read->from_kind;
    spec->from = read->from;
    if (read->from_kind == BN_FROM_OFFSET && read->from == self->state->tail)
        wait_for_events (self, session, spec, read->wait_ms, true);
    else
        read_now (self, session->route, spec);
}
