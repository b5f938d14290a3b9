/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor.c - routes, sessions, dispatch and time.
 *
 *  DESIGN. A step decides, makes a record, applies it to the state and asks for it to be persisted,
 *  and adds the replies behind it; the gate (effects.h) keeps them back until the record is
 *  durable. So the state in memory is always ahead of or equal to what anybody has been told, and a
 *  crash loses only what nobody has heard of. Nothing here waits.
 *
 *  INVARIANTS
 *  C1  every request gets exactly one answer: a result or an ERROR. (A FETCH or READ may get it
 *      later, unless its connection or its session ends first.)
 *  C2  the state changes only through records (G5); a refused request changes nothing.
 *  C3  session->instance->session == session; an instance has at most one session.
 *  C4  every map here is bounded by an option (G7): sessions and instances by sessions_max, live
 *      actors by actors_max, waiters by one a session.
 *
 *  Owned by the orchestrator's thread.  */
#include "base/plant.h"
#include "core/conductor_internal.h"
#include <baton/version.h>
#include <stdarg.h>
#include <stdio.h>

/*  ---- life ---- */

/*  Bytes of a parked event in an assignment, at most; and the bound on parked_max that follows: an
 *  assignment of all partitions must fit into half a message.  */
#define PARKED_BYTES_MAX 40

bn_conductor_t *bn_conductor_new (const bn_conductor_options_t *options, bn_state_t **state_p)
{
    bn_conductor_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    self->sessions = bn_map_new ();
    self->live = bn_map_new ();
    self->waiting = bn_map_new ();
    if (!self->sessions || !self->live || !self->waiting) {
        bn_conductor_destroy (&self);
        return NULL;
    }
    self->state = *state_p;
    *state_p = NULL;
    return self;
}

static void session_free (bn_session_t *session)
{
    bn_read_spec_destroy (&session->waiting);
    free (session);
}

static void live_free (bn_actor_live_t *live)
{
    for (bn_map_node_t *node = live->instances ? bn_map_first (live->instances) : NULL; node;
         node = bn_map_next (node))
        free (bn_map_value (node));
    bn_map_destroy (&live->instances);
    free (live);
}

void bn_conductor_destroy (bn_conductor_t **self_p)
{
    bn_conductor_t *self = *self_p;
    if (!self)
        return;
    bn_map_node_t *node;
    for (node = self->sessions ? bn_map_first (self->sessions) : NULL; node;
         node = bn_map_next (node))
        session_free (bn_map_value (node));
    for (node = self->live ? bn_map_first (self->live) : NULL; node; node = bn_map_next (node))
        live_free (bn_map_value (node));
    bn_map_destroy (&self->sessions);
    bn_map_destroy (&self->live);
    bn_map_destroy (&self->waiting);
    bn_state_destroy (&self->state);
    free (self->chain);
    free (self->mixed);
    free (self);
    *self_p = NULL;
}

const bn_state_t *bn_conductor_state (const bn_conductor_t *self)
{
    return self->state;
}

uint64_t bn_conductor_due_ms (const bn_conductor_t *self)
{
    return self->due_ms;
}

/*  ---- what all parts use ---- */

uint64_t bn_conductor_wall_ms (const bn_conductor_t *self)
{
    return self->now.wall_us / 1000;
}

void bn_conductor_due (bn_conductor_t *self, uint64_t ms)
{
    if (ms < self->due_ms)
        self->due_ms = ms;
}

static void send_blob (bn_conductor_t *self, uint64_t route, bn_blob_t *head)
{
    if (!head) {
        self->effects->failed = true;
        return;
    }
    bn_effect_t *effect = bn_effects_add (self->effects, BN_EFFECT_SEND);
    effect->route = route;
    effect->head = head;
}

void bn_conductor_send (bn_conductor_t *self, uint64_t route, const bn_message_t *message)
{
    send_blob (self, route, bn_message_encode (message));
}

void bn_conductor_reply (bn_conductor_t *self, bn_message_t *message)
{
    message->request = self->request;
    bn_conductor_send (self, self->route, message);
}

bool bn_conductor_refuse (bn_conductor_t *self, baton_err_t err, uint64_t detail,
                          const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    send_blob (self, self->route, bn_error_encode (self->request, err, detail, text));
    return false;
}

bn_blob_t *bn_conductor_persist (bn_conductor_t *self, const bn_record_t *record, uint32_t events)
{
    bn_blob_t *body = bn_record_encode (record);
    if (!body) {
        self->effects->failed = true;
        return NULL;
    }
    bn_effect_t *effect = bn_effects_add (self->effects, BN_EFFECT_PERSIST);
    effect->record_type = record->type;
    effect->base = self->state->tail;
    effect->count = events;
    effect->time_us = self->now.wall_us;
    effect->body = body;
    return body;
}

bool bn_conductor_apply (bn_conductor_t *self, const bn_record_t *record, uint32_t events)
{
    char detail[256];
    baton_err_t err = bn_state_apply (self->state, record, self->state->sequence + 1,
                                      self->state->tail, events, self->now.wall_us, detail);
    bn_assert (!err || err == BATON_ERR_MEMORY); /* what we write must fit */
    if (err && !BN_PLANT (memory_ignored))
        self->effects->failed = true;
    return !err;
}

bool bn_conductor_commit (bn_conductor_t *self, const bn_record_t *record)
{
    return bn_conductor_persist (self, record, 0) && bn_conductor_apply (self, record, 0);
}

bn_actor_live_t *bn_conductor_live (bn_conductor_t *self, bn_actor_state_t *state)
{
    bn_actor_live_t *live = bn_map_get_u64 (self->live, state->id);
    if (live)
        return live;
    live = calloc (1, sizeof *live);
    if (live) {
        live->state = state;
        live->revision = 1;
        live->instances = bn_map_new ();
        if (live->instances && bn_map_put_u64 (self->live, state->id, live, NULL))
            return live;
        live_free (live);
    }
    self->effects->failed = true;
    return NULL;
}

void bn_conductor_detach (bn_conductor_t *self, bn_session_t *session, uint64_t deadline_ms)
{
    bn_instance_t *instance = session->instance;
    if (!instance)
        return;
    bn_assert (instance->session == session); /* C3 */
    bn_conductor_stop_waiting (self, session, true);
    session->instance = NULL;
    instance->session = NULL;
    instance->deadline_ms = deadline_ms;
    if (deadline_ms)
        bn_conductor_due (self, deadline_ms);
    /*  It cannot release anything now; what it owns is looked at anew when it is back.  */
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        if (instance->actor->owners[partition] == instance)
            instance->actor->revoked[partition] = false;
    instance->revoked = 0;
}

/*  ---- start ---- */

/*  Owners by the journal: they may still be alive, and nobody else gets their partitions before
 *  they had a session timeout to come back.  */
static void raise_ghosts (bn_conductor_t *self, bn_actor_state_t *actor)
{
    bn_actor_live_t *live = NULL;
    for (uint32_t partition = 0; partition < self->state->partitions; partition++) {
        const bn_actor_partition_t *known = &actor->partitions[partition];
        if (known->instance[0] == '\0')
            continue;
        if (!live)
            live = bn_conductor_live (self, actor);
        if (!live)
            return;
        bn_instance_t *ghost = bn_map_get_str (live->instances, known->instance);
        if (!ghost)
            ghost = bn_conductor_instance_new (self, live, known->instance,
                                               strlen (known->instance), known->incarnation);
        if (!ghost)
            return;
        if (ghost->incarnation != known->incarnation)
            continue; /* nobody can be both: the next balance gives it to somebody */
        ghost->deadline_ms = self->now.mono_ms + self->options.session_timeout_ms;
        bn_assignment_give (live, partition, ghost);
        live->delivered[partition] = BN_NO_OFFSET; /* nobody knows any more */
        live->fresh[partition] = false;
    }
}

static void start (bn_conductor_t *self, const bn_conductor_event_t *event)
{
    bn_assert (!self->started);
    self->started = true;
    if (self->state->journal_id == 0) {
        bn_assert (event->partitions >= 1 && event->partitions <= BN_PARTITIONS_MAX);
        bn_record_t record = {.type = BN_RECORD_GENESIS,
                              .genesis = {.journal_id = event->random ? event->random : 1,
                                          .partitions = event->partitions}};
        if (!bn_conductor_commit (self, &record))
            return;
        bn_effects_log (self->effects, BN_LOG_INFO,
                        "new journal %016" PRIx64 " with %" PRIu32 " partitions",
                        self->state->journal_id, self->state->partitions);
    }
    uint64_t room =
        self->options.message_bytes_max / 2 / PARKED_BYTES_MAX / self->state->partitions;
    room = room < BN_PARKED_MAX ? room : BN_PARKED_MAX;
    if (self->options.parked_max > room)
        self->options.parked_max = (uint32_t)room;
    bn_map_node_t *node = bn_map_first (self->state->actors_by_id);
    for (; node; node = bn_map_next (node))
        raise_ghosts (self, bn_map_value (node));
}

/*  ---- sessions ---- */

static void session_end (bn_conductor_t *self, bn_session_t *session, bool answer)
{
    bn_conductor_stop_waiting (self, session, answer);
    bn_conductor_detach (self, session, self->now.mono_ms + self->options.reconnect_grace_ms);
    bn_map_remove_u64 (self->sessions, session->route);
    session_free (session);
}

/*  ROUTER does not tell when a peer goes away, so sessions of producers that have long gone may be
 *  left. At the limit the one that has been silent longest gives way, if it was silent long enough;
 *  should it be alive after all it is told NO_SESSION and says HELLO again.  */
static bool make_room (bn_conductor_t *self)
{
    if (bn_map_count (self->sessions) < self->options.sessions_max)
        return true;
    bn_session_t *oldest = NULL;
    for (bn_map_node_t *node = bn_map_first (self->sessions); node; node = bn_map_next (node)) {
        bn_session_t *session = bn_map_value (node);
        if (!session->instance && (!oldest || session->heard_ms < oldest->heard_ms))
            oldest = session;
    }
    if (!oldest || self->now.mono_ms - oldest->heard_ms < self->options.session_timeout_ms)
        return false;
    session_end (self, oldest, true);
    return true;
}

static void on_hello (bn_conductor_t *self, bn_session_t *old, const bn_hello_t *hello)
{
    if (old)
        session_end (self, old, true);
    if (!make_room (self)) {
        bn_conductor_refuse (self, BATON_ERR_LIMIT, 0,
                             "%" PRIu32 " connections have a session already (sessions_max)",
                             self->options.sessions_max);
        return;
    }
    bn_session_t *session = calloc (1, sizeof *session);
    if (!session || !bn_map_put_u64 (self->sessions, self->route, session, NULL)) {
        free (session);
        self->effects->failed = true;
        return;
    }
    session->route = self->route;
    session->role = hello->role;
    session->incarnation = hello->incarnation;
    session->heard_ms = self->now.mono_ms;
    const bn_producer_state_t *producer =
        hello->role == BN_ROLE_PRODUCER
            ? bn_map_get_u64 (self->state->producers, hello->incarnation)
            : NULL;
    const char *endpoint = self->options.fanout_endpoint;
    bn_message_t reply = {.type = BN_WELCOME,
                          .welcome = {.journal_id = self->state->journal_id,
                                      .partitions = self->state->partitions,
                                      .tail = self->state->tail,
                                      .heartbeat_ms = self->options.heartbeat_ms,
                                      .session_timeout_ms = self->options.session_timeout_ms,
                                      .message_bytes_max = self->options.message_bytes_max,
                                      .data_bytes_max = self->options.data_bytes_max,
                                      .producer_sequence = producer ? producer->sequence : 0,
                                      .fanout_endpoint = {endpoint, strlen (endpoint)}}};
    bn_conductor_reply (self, &reply);
}

/*  ---- dispatch ---- */

static const struct {
    bn_message_type_t type;
    const char *name;
    bool producer, actor, admin; /* who may */
    bool joined;                 /* needs a JOIN */
} requests[] = {
    {BN_PUBLISH, "PUBLISH", true, false, false, false},
    {BN_JOIN, "JOIN", false, true, false, false},
    {BN_FETCH, "FETCH", false, true, false, true},
    {BN_SETTLE, "SETTLE", false, true, false, true},
    {BN_BEGIN, "BEGIN", false, true, false, true},
    {BN_HEARTBEAT, "HEARTBEAT", false, true, false, true},
    {BN_LEAVE, "LEAVE", false, true, false, true},
    {BN_STATUS, "STATUS", false, true, true, false},
    {BN_READ, "READ", false, true, true, false},
    {BN_DEAD, "DEAD", false, true, true, false},
    {BN_FORGET, "FORGET", false, true, true, false},
    {BN_GONE, "GONE", false, false, true, false},
    {BN_EXPLAIN, "EXPLAIN", false, true, true, false},
};

/*  May this session make this request?  */
static bool is_allowed (bn_conductor_t *self, const bn_session_t *session, bn_message_type_t type)
{
    size_t at = 0;
    while (at < sizeof requests / sizeof *requests && requests[at].type != type)
        at++;
    if (at == sizeof requests / sizeof *requests)
        return bn_conductor_refuse (self, BATON_ERR_UNKNOWN_TYPE, 0, "type 0x%02x is not a request",
                                    (unsigned)type);
    const char *name = requests[at].name;
    if (!session)
        return bn_conductor_refuse (self, BATON_ERR_NO_SESSION, 0,
                                    "%s before HELLO: the connection has no session", name);
    if (session->fenced)
        return bn_conductor_refuse (self, BATON_ERR_FENCED, 0,
                                    "%s refused: a newer process has taken this instance name",
                                    name);
    bool allowed = session->role == BN_ROLE_PRODUCER ? requests[at].producer
                   : session->role == BN_ROLE_ACTOR  ? requests[at].actor
                                                     : requests[at].admin;
    if (!allowed)
        return bn_conductor_refuse (self, BATON_ERR_ARGUMENT, 0,
                                    "%s is not for the role that HELLO named; it is for role %s",
                                    name,
                                    requests[at].producer ? "producer"
                                    : !requests[at].admin ? "actor"
                                    : requests[at].actor  ? "actor or admin"
                                                          : "admin");
    if (requests[at].joined && !session->instance)
        return bn_conductor_refuse (self, BATON_ERR_NO_SESSION, 0,
                                    "%s without a JOIN: say JOIN first (or again)", name);
    return true;
}

static void dispatch (bn_conductor_t *self, bn_session_t *session, bn_message_t *message)
{
    switch (message->type) {
    case BN_PUBLISH:
        bn_conductor_publish (self, session, &message->publish);
        break;
    case BN_JOIN:
        bn_conductor_join (self, session, &message->join);
        break;
    case BN_FETCH:
        bn_conductor_fetch (self, session, &message->fetch);
        break;
    case BN_SETTLE:
        bn_conductor_settle (self, session, &message->settle);
        break;
    case BN_BEGIN:
        bn_conductor_begin (self, session, &message->begin);
        break;
    case BN_HEARTBEAT:
        bn_conductor_heartbeat (self, session, &message->heartbeat);
        break;
    case BN_LEAVE:
        bn_conductor_leave (self, session, &message->leave);
        break;
    case BN_STATUS:
        bn_conductor_status (self);
        break;
    case BN_READ:
        bn_conductor_read (self, session, &message->read);
        break;
    case BN_DEAD:
        bn_conductor_dead (self, &message->dead);
        break;
    case BN_FORGET:
        bn_conductor_forget (self, &message->forget);
        break;
    case BN_GONE:
        bn_conductor_gone (self, &message->gone);
        break;
    case BN_EXPLAIN:
        bn_conductor_explain (self, &message->explain);
        break;
    default:
        bn_assert (!"is_allowed lets nothing else through");
    }
}

static void on_message (bn_conductor_t *self, const bn_conductor_event_t *event)
{
    char what[256] = "";
    bn_message_t message;
    baton_err_t err = bn_message_decode (&message, event->frames, event->frame_count, what);
    self->route = event->route;
    self->request = message.request;
    if (err) {
        bn_conductor_refuse (self, err, 0, "%s", what[0] ? what : baton_err_text (err));
        return;
    }
    size_t bytes = 0;
    for (size_t index = 0; index < event->frame_count; index++)
        bytes += event->frames[index].size;
    bn_session_t *session = bn_map_get_u64 (self->sessions, self->route);
    if (session)
        session->heard_ms = self->now.mono_ms;
    size_t most = self->options.message_bytes_max;
    if (message.type == BN_SETTLE)
        most += BN_SETTLE_BYTES_MORE;
    if (bytes > most)
        bn_conductor_refuse (self, BATON_ERR_TOO_LARGE, 0,
                             "the message has %zu bytes, at most %zu are taken", bytes, most);
    else if (message.type == BN_HELLO)
        on_hello (self, session, &message.hello);
    else if (is_allowed (self, session, message.type))
        dispatch (self, session, &message);
    bn_message_fini (&message);
}

/*  ---- time ---- */

/*  A TICK is promised every heartbeat_ms / 2. One that is much later means that this process was
 *  stopped, or its machine: the others' messages of that time are still to be read, so nobody is
 *  blamed for the silence.  */
static void forgive_pause (bn_conductor_t *self)
{
    uint64_t pause_ms = self->now.mono_ms - self->stepped_ms;
    self->stepped_ms = self->now.mono_ms;
    if (pause_ms <= 2 * (uint64_t)self->options.heartbeat_ms)
        return;
    for (bn_map_node_t *node = bn_map_first (self->sessions); node; node = bn_map_next (node))
        ((bn_session_t *)bn_map_value (node))->heard_ms += pause_ms;
    for (bn_map_node_t *node = bn_map_first (self->live); node; node = bn_map_next (node)) {
        const bn_actor_live_t *live = bn_map_value (node);
        for (bn_map_node_t *at = bn_map_first (live->instances); at; at = bn_map_next (at))
            ((bn_instance_t *)bn_map_value (at))->deadline_ms += pause_ms;
    }
}

/*  One instance of an actor that is due; NULL: none. Looked for anew after each, because a death
 *  changes the map.  */
static bn_instance_t *overdue (bn_conductor_t *self, bn_actor_live_t *live)
{
    for (bn_map_node_t *node = bn_map_first (live->instances); node; node = bn_map_next (node)) {
        bn_instance_t *instance = bn_map_value (node);
        uint64_t deadline = instance->session
                                ? instance->session->heard_ms + self->options.session_timeout_ms
                                : instance->deadline_ms;
        if (deadline <= self->now.mono_ms)
            return instance;
        bn_conductor_due (self, deadline);
    }
    return NULL;
}

static void tick (bn_conductor_t *self)
{
    self->due_ms = self->now.mono_ms + (self->options.heartbeat_ms + 1) / 2;
    for (bn_map_node_t *node = bn_map_first (self->live); node; node = bn_map_next (node)) {
        bn_actor_live_t *live = bn_map_value (node);
        bn_instance_t *instance;
        while (!self->effects->failed && (instance = overdue (self, live)))
            bn_conductor_death (self, instance,
                                instance->session ? "was silent for too long"
                                                  : "did not come back in time");
    }
    bn_map_node_t *node = bn_map_first (self->waiting);
    while (node) {
        uint64_t route = bn_map_key_u64 (node);
        bn_session_t *session = bn_map_value (node);
        if (session->waits_until_ms <= self->now.mono_ms)
            bn_conductor_stop_waiting (self, session, true);
        else
            bn_conductor_due (self, session->waits_until_ms);
        node = bn_map_after_u64 (self->waiting, route);
    }
}

static void gone (bn_conductor_t *self, uint64_t route)
{
    bn_session_t *session = bn_map_get_u64 (self->sessions, route);
    if (session)
        session_end (self, session, false);
}

void bn_conductor_step (bn_conductor_t *self, const bn_conductor_event_t *event,
                        bn_effects_t *effects)
{
    self->now = event->now;
    self->disk_full = event->disk_full;
    self->first = event->first;
    self->effects = effects;
    self->route = 0;
    self->request = 0;
    bn_assert (self->started || event->kind == BN_CONDUCTOR_START);
    if (!self->started)
        self->stepped_ms = self->now.mono_ms;
    forgive_pause (self);
    switch (event->kind) {
    case BN_CONDUCTOR_START:
        start (self, event);
        tick (self);
        break;
    case BN_CONDUCTOR_MESSAGE:
        on_message (self, event);
        break;
    case BN_CONDUCTOR_GONE:
        gone (self, event->route);
        break;
    case BN_CONDUCTOR_TICK:
        tick (self);
        break;
    }
    self->effects = NULL;
}
