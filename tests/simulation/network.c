/* SPDX-License-Identifier: MPL-2.0 */

/*  network.c - connections that keep their order and lose what is on its way when they end; a
 *  fan-out that drops without a word.
 *
 *  Each end of a connection learns of its end in its own time, so that for a while an old
 *  connection and its successor are both alive for the server, as with real sockets.  */
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sim_connection_t *sim_connection (sim_t *sim, uint64_t id)
{
    return &sim->connections[id - 1];
}

void sim_peer_init (sim_t *sim, uint32_t peer, sim_peer_kind_t kind, uint32_t index)
{
    uint64_t attempt = sim->peers[peer].attempt;
    sim->peers[peer] = (sim_peer_t){
        .kind = kind, .index = index, .attempt = attempt + 1, .tick_us = UINT64_MAX, .used = true};
}

void sim_connect_later (sim_t *sim, uint32_t peer, uint64_t mean_us)
{
    sim_push (sim, sim->now_us + sim_about (sim, mean_us), EVENT_CONNECT, peer,
              ++sim->peers[peer].attempt, 0);
}

/*  ---- both ways ---- */

static const char *type_name (uint8_t type)
{
    static const struct {
        uint8_t type;
        const char *name;
    } names[] = {{BN_HELLO, "HELLO"},     {BN_PUBLISH, "PUBLISH"}, {BN_JOIN, "JOIN"},
                 {BN_FETCH, "FETCH"},     {BN_SETTLE, "SETTLE"},   {BN_BEGIN, "BEGIN"},
                 {BN_LEAVE, "LEAVE"},     {BN_READ, "READ"},       {BN_DEAD, "DEAD"},
                 {BN_WELCOME, "WELCOME"}, {BN_RECEIPT, "RECEIPT"}, {BN_JOINED, "JOINED"},
                 {BN_EVENTS, "EVENTS"},   {BN_SETTLED, "SETTLED"}, {BN_BEGUN, "BEGUN"},
                 {BN_LEFT, "LEFT"},       {BN_ERROR, "ERROR"},     {BN_HEARTBEAT, "HEARTBEAT"},
                 {BN_BEAT, "BEAT"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].type == type)
            return names[i].name;
    return "other";
}

static void tell_message (sim_t *sim, uint64_t id, int way, const sim_message_t *raw)
{
    const sim_connection_t *connection = sim_connection (sim, id);
    const sim_peer_t *peer = &sim->peers[connection->peer];
    bn_frame_t *frames = sim_must (calloc (raw->count, sizeof *frames));
    for (size_t i = 0; i < raw->count; i++)
        frames[i] = (bn_frame_t){raw->blobs[i]->data, raw->blobs[i]->size};
    bn_message_t message;
    char text[160] = "";
    if (bn_message_decode (&message, frames, raw->count, NULL) == BATON_OK) {
        size_t at = 0;
        if (message.type == BN_ERROR)
            snprintf (text, sizeof text, "%.*s", (int)message.error.text.size,
                      message.error.text.text);
        for (uint32_t i = 0; message.type == BN_SETTLE && i < message.settle.settlement_count &&
                             at + 60 < sizeof text;
             i++) {
            const bn_settlement_t *one = &message.settle.settlements[i];
            at +=
                (size_t)snprintf (text + at, sizeof text - at,
                                  " [%u.%" PRIu64 " floor %" PRIu64 " parks %u dones %u died %u%s]",
                                  one->partition, one->generation, one->floor, one->park_count,
                                  one->done_count, one->died_count, one->release ? " release" : "");
        }
        bn_message_fini (&message);
    }
    free (frames);
    uint8_t type = raw->blobs[0]->size > 3 ? raw->blobs[0]->data[3] : 0;
    if (type == BN_HEARTBEAT || (type == BN_BEAT && !sim->verbose))
        return;
    sim_say_line (sim, "%s %s: %s%s", way == 0 ? "from" : "to",
                  peer->kind == PEER_PROCESS && sim->processes[peer->index].used
                      ? sim->processes[peer->index].instance
                  : peer->kind == PEER_PRODUCER ? "a producer"
                                                : "a client",
                  type_name (type), text);
}

static void post (sim_t *sim, uint64_t id, int way, bn_blob_t *head, const bn_slice_t *payloads,
                  size_t count)
{
    sim_connection_t *connection = sim_connection (sim, id);
    uint64_t at = sim->now_us + sim_about (sim, sim->config.delay_us);
    if (at <= connection->last_us[way])
        at = connection->last_us[way] + 1;
    if (at < connection->held_us[way])
        at = connection->held_us[way];
    connection->last_us[way] = at;
    sim_event_t *event = sim_push (sim, at, way == 0 ? EVENT_TO_SERVER : EVENT_TO_PEER, id,
                                   sim->model->actors[connection->actor].epoch, 0);
    event->message = sim_message (head, payloads, count);
}

void sim_to_server (sim_t *sim, uint32_t peer, bn_blob_t *head, const bn_slice_t *payloads,
                    size_t count)
{
    uint64_t id = sim->peers[peer].connection;
    if (id && sim_connection (sim, id)->peer_open)
        post (sim, id, 0, head, payloads, count);
}

void sim_to_peer (sim_t *sim, uint64_t id, bn_blob_t *head, const bn_slice_t *payloads,
                  size_t count)
{
    if (id && sim_connection (sim, id)->server_open)
        post (sim, id, 1, head, payloads, count);
}

/*  ---- ends ---- */

static uint64_t some_time (sim_t *sim)
{
    /*  A half-open connection lives until heartbeats or the kernel notice.  */
    return sim_chance (sim, 10) && !sim->liveness ? sim_below (sim, 3000000)
                                                  : sim_about (sim, sim->config.delay_us);
}

static void end_server_side (sim_t *sim, uint64_t id)
{
    sim_connection_t *connection = sim_connection (sim, id);
    uint64_t at = sim->now_us + some_time (sim);
    connection->cut_us[0] = sim->now_us + sim_below (sim, at - sim->now_us + 1);
    sim_push (sim, at, EVENT_GONE, id, 0, 0);
}

static void end_peer_side (sim_t *sim, uint64_t id)
{
    sim_connection_t *connection = sim_connection (sim, id);
    uint64_t at = sim->now_us + some_time (sim);
    connection->cut_us[1] = sim->now_us + sim_below (sim, at - sim->now_us + 1);
    sim_push (sim, at, EVENT_DOWN, id, 0, 0);
}

void sim_disconnect (sim_t *sim, uint64_t id)
{
    sim_connection_t *connection = sim_connection (sim, id);
    if (connection->ending)
        return;
    connection->ending = true;
    end_server_side (sim, id);
    end_peer_side (sim, id);
}

void sim_hang_up (sim_t *sim, uint32_t peer)
{
    uint64_t id = sim->peers[peer].connection;
    if (!id)
        return;
    sim_connection_t *connection = sim_connection (sim, id);
    sim->peers[peer].connection = 0;
    connection->peer_open = false;
    if (!connection->ending)
        end_server_side (sim, id);
    connection->ending = true;
}

void sim_server_gone (sim_t *sim)
{
    for (uint64_t id = 1; id <= sim->connection_count; id++) {
        sim_connection_t *connection = sim_connection (sim, id);
        connection->server_open = false;
        if (connection->peer_open && !connection->ending)
            end_peer_side (sim, id);
        connection->ending = true;
    }
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++) {
        sim_process_t *process = &sim->processes[slot];
        if (process->used && process->sub_up)
            sim_push (sim, sim->now_us + some_time (sim), EVENT_SUB_DOWN, slot, process->sub_life,
                      0);
    }
}

/*  ---- the fan-out ---- */

void sim_subscribe (sim_t *sim, uint32_t slot, const bn_blob_t *prefix, bool on)
{
    sim_process_t *process = &sim->processes[slot];
    for (uint32_t i = 0; i < process->filter_count; i++) {
        sim_filter_t *filter = &process->filters[i];
        if (filter->size != prefix->size || memcmp (filter->bytes, prefix->data, prefix->size))
            continue;
        if (!on)
            *filter = process->filters[--process->filter_count];
        else
            sim_fail (sim, "a mailbox subscribes twice to the same");
        return;
    }
    if (!on) {
        sim_fail (sim, "a mailbox ends a subscription that it has not");
        return;
    }
    size_t most = sizeof process->filters / sizeof *process->filters;
    if (process->filter_count == most || prefix->size > sizeof process->filters[0].bytes) {
        sim_fail (sim, "a mailbox has more subscriptions than it can need");
        return;
    }
    sim_filter_t *filter = &process->filters[process->filter_count++];
    memcpy (filter->bytes, prefix->data, prefix->size);
    filter->size = prefix->size;
    filter->from_us = sim->now_us + sim_about (sim, sim->config.delay_us);
}

static bool subscribed (const sim_t *sim, const sim_process_t *process, const bn_blob_t *topic)
{
    for (uint32_t i = 0; i < process->filter_count; i++) {
        const sim_filter_t *filter = &process->filters[i];
        if (sim->now_us >= filter->from_us && filter->size <= topic->size &&
            memcmp (filter->bytes, topic->data, filter->size) == 0)
            return true;
    }
    return false;
}

void sim_fanout (sim_t *sim, const bn_effect_t *effect)
{
    bn_slice_t frames[2] = {{effect->header, effect->header->data, effect->header->size},
                            effect->payload};
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++) {
        sim_process_t *process = &sim->processes[slot];
        if (!process->used || !process->sub_up || !subscribed (sim, process, effect->head))
            continue;
        bool drops = !sim->liveness && sim_chance (sim, sim->config.fanout_drop_pct);
        if (drops || process->sub_waiting >= sim->config.fanout_hwm) {
            sim->stats.fanout_drops++;
            sim_say (sim, "the fan-out drops for %s", process->instance);
            continue;
        }
        uint64_t at = sim->now_us + sim_about (sim, sim->config.delay_us);
        if (at <= process->sub_last_us)
            at = process->sub_last_us + 1;
        process->sub_last_us = at;
        process->sub_waiting++;
        sim_event_t *event = sim_push (sim, at, EVENT_FANOUT, slot, process->sub_life, 0);
        event->message = sim_message (effect->head, frames, 2);
    }
}

/*  ---- what happens ---- */

static void step_link (sim_t *sim, uint32_t peer, bool up)
{
    uint32_t index = sim->peers[peer].index;
    switch (sim->peers[peer].kind) {
    case PEER_PROCESS:
        sim_process_step (
            sim, index,
            (bn_mailbox_event_t){.kind = up ? BN_MAILBOX_LINK_UP : BN_MAILBOX_LINK_DOWN});
        break;
    case PEER_PRODUCER:
        sim_producer_step (
            sim, index, (bn_outbox_event_t){.kind = up ? BN_OUTBOX_LINK_UP : BN_OUTBOX_LINK_DOWN});
        break;
    case PEER_ADMIN:
        sim_admin_link (sim, up);
        break;
    case PEER_WATCHER:
        sim_watcher_link (sim, up);
        break;
    }
}

static void connect_now (sim_t *sim, uint32_t index)
{
    sim_peer_t *peer = &sim->peers[index];
    if (!sim->server.up) {
        sim_connect_later (sim, index, 100000);
        return;
    }
    if (sim->connection_count == sim->connection_capacity) {
        sim->connection_capacity = sim->connection_capacity ? sim->connection_capacity * 2 : 64;
        sim->connections = sim_must (
            realloc (sim->connections, sim->connection_capacity * sizeof *sim->connections));
    }
    sim->connections[sim->connection_count++] = (sim_connection_t){
        .peer = index,
        .actor = peer->kind == PEER_PROCESS ? sim->processes[peer->index].actor : 0,
        .incarnation = peer->kind == PEER_PROCESS ? sim->processes[peer->index].incarnation : 0,
        .revision = peer->kind == PEER_PROCESS ? sim->processes[peer->index].revision : 0,
        .life = sim->server.life,
        .peer_open = true,
        .server_open = true,
        .cut_us = {UINT64_MAX, UINT64_MAX},
    };
    peer->connection = sim->connection_count;
    sim_say (sim, "peer %u has connection %zu", index, sim->connection_count);
    step_link (sim, index, true);
}

/*  So that it comes to refusals: an actor that is told of parked_max hardly ever exceeds it.  */
static void mislead (sim_message_t *raw)
{
    bn_frame_t frame = {raw->blobs[0]->data, raw->blobs[0]->size};
    bn_message_t message;
    if (bn_message_decode (&message, &frame, 1, NULL))
        return;
    message.beat.parked_max = 1000;
    bn_blob_t *head = sim_must (bn_message_encode (&message));
    bn_message_fini (&message); /* it borrows from what goes now */
    bn_blob_unref (&raw->blobs[0]);
    raw->blobs[0] = head;
}

static void to_peer (sim_t *sim, sim_event_t *event)
{
    sim_connection_t *connection = sim_connection (sim, event->a);
    if (!connection->peer_open || sim->now_us > connection->cut_us[1])
        return;
    sim_peer_t *peer = &sim->peers[connection->peer];
    if (sim->tell)
        tell_message (sim, event->a, 1, &event->message);
    bool joined = peer->kind == PEER_PROCESS && event->message.blobs[0]->size > 3 &&
                  event->message.blobs[0]->data[3] == BN_JOINED;
    if (joined && sim->config.misled)
        mislead (&event->message);
    bn_frame_t *frames = sim_must (calloc (event->message.count, sizeof *frames));
    for (size_t i = 0; i < event->message.count; i++)
        frames[i] = (bn_frame_t){event->message.blobs[i]->data, event->message.blobs[i]->size};
    if (joined)
        sim->processes[peer->index].epoch = event->b;
    if (peer->kind == PEER_PROCESS)
        sim_process_step (sim, peer->index,
                          (bn_mailbox_event_t){.kind = BN_MAILBOX_MESSAGE,
                                               .frames = frames,
                                               .blobs = event->message.blobs,
                                               .frame_count = event->message.count});
    else if (peer->kind == PEER_PRODUCER)
        sim_producer_step (sim, peer->index,
                           (bn_outbox_event_t){.kind = BN_OUTBOX_MESSAGE,
                                               .frames = frames,
                                               .frame_count = event->message.count});
    else if (peer->kind == PEER_ADMIN)
        sim_admin_message (sim, &event->message);
    else if (connection->life == sim->server.life)
        sim_watcher_message (sim, frames, event->message.count);
    free (frames);
}

static void to_process (sim_t *sim, sim_event_t *event)
{
    sim_process_t *process = &sim->processes[event->a];
    if (!process->used || process->sub_life != event->b)
        return;
    process->sub_waiting--;
    bn_frame_t frames[3];
    for (size_t i = 0; i < 3; i++)
        frames[i] = (bn_frame_t){event->message.blobs[i]->data, event->message.blobs[i]->size};
    sim_process_step (sim, (uint32_t)event->a,
                      (bn_mailbox_event_t){.kind = BN_MAILBOX_FANOUT,
                                           .frames = frames,
                                           .blobs = event->message.blobs,
                                           .frame_count = 3});
}

static void sub_up (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    if (!sim->server.up) {
        sim_push (sim, sim->now_us + sim_about (sim, 100000), EVENT_SUB_UP, slot,
                  process->incarnation, 0);
        return;
    }
    process->sub_up = true;
    for (uint32_t i = 0; i < process->filter_count; i++)
        process->filters[i].from_us = sim->now_us + sim_about (sim, sim->config.delay_us);
}

static void sub_down (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    process->sub_up = false;
    /*  What has arrived at the socket stays there to be read.  */
    if (sim_below (sim, 2)) {
        process->sub_life++;
        process->sub_waiting = 0;
    }
    sim_push (sim, sim->now_us + sim_about (sim, 100000), EVENT_SUB_UP, slot, process->incarnation,
              0);
}

static void tick (sim_t *sim, uint32_t index)
{
    sim_peer_t *peer = &sim->peers[index];
    peer->tick_us = UINT64_MAX;
    if (peer->kind == PEER_PROCESS)
        sim_process_step (sim, peer->index, (bn_mailbox_event_t){.kind = BN_MAILBOX_TICK});
    else if (peer->kind == PEER_PRODUCER)
        sim_producer_step (sim, peer->index, (bn_outbox_event_t){.kind = BN_OUTBOX_TICK});
}

void sim_peer_due (sim_t *sim, uint32_t index, uint64_t due_ms)
{
    sim_peer_t *peer = &sim->peers[index];
    if (due_ms == UINT64_MAX)
        return;
    uint64_t due_us = due_ms > 1000 ? (due_ms - 1000) * 1000 : 0;
    if (due_us <= sim->now_us)
        due_us = sim->now_us + 500;
    if (due_us < peer->tick_us) {
        peer->tick_us = due_us;
        sim_push (sim, due_us, EVENT_PEER_TICK, index, 0, 0);
    }
}

/*  A process that sleeps sees nothing; all of it comes, in order, when it wakes up.  */
static bool asleep (sim_t *sim, sim_event_t *event)
{
    uint32_t slot = SIM_PROCESSES_MAX;
    if (event->kind == EVENT_FANOUT)
        slot = (uint32_t)event->a;
    else if (event->kind == EVENT_TO_PEER || event->kind == EVENT_DOWN) {
        const sim_peer_t *peer = &sim->peers[sim_connection (sim, event->a)->peer];
        if (peer->kind == PEER_PROCESS && sim_connection (sim, event->a)->peer_open)
            slot = peer->index;
    } else if ((event->kind == EVENT_PEER_TICK || event->kind == EVENT_CONNECT) &&
               sim->peers[event->a].kind == PEER_PROCESS)
        slot = sim->peers[event->a].index;
    if (slot == SIM_PROCESSES_MAX || !sim->processes[slot].used ||
        sim->processes[slot].paused_us <= sim->now_us)
        return false;
    uint64_t until_us = sim->processes[slot].paused_us;
    if (event->kind == EVENT_PEER_TICK && sim->peers[event->a].tick_us == sim->now_us)
        sim->peers[event->a].tick_us = until_us;
    if (event->kind == EVENT_TO_PEER && sim_connection (sim, event->a)->cut_us[1] < until_us &&
        sim->now_us <= sim_connection (sim, event->a)->cut_us[1])
        sim_connection (sim, event->a)->cut_us[1] = until_us;
    sim_event_t *later = sim_push (sim, until_us, event->kind, event->a, event->b, event->c);
    later->message = event->message;
    event->message = (sim_message_t){.count = 0};
    return true;
}

void sim_network_event (sim_t *sim, sim_event_t *event)
{
    if (asleep (sim, event))
        return;
    sim_connection_t *connection;
    switch (event->kind) {
    case EVENT_TO_SERVER:
        connection = sim_connection (sim, event->a);
        if (connection->server_open && connection->life == sim->server.life &&
            sim->now_us <= connection->cut_us[0]) {
            if (sim->tell)
                tell_message (sim, event->a, 0, &event->message);
            sim_server_message (sim, event->a, &event->message);
        }
        break;
    case EVENT_TO_PEER:
        to_peer (sim, event);
        break;
    case EVENT_GONE:
        connection = sim_connection (sim, event->a);
        if (connection->server_open && connection->life == sim->server.life) {
            connection->server_open = false;
            sim_server_left (sim, event->a);
        }
        break;
    case EVENT_DOWN:
        connection = sim_connection (sim, event->a);
        if (connection->peer_open) {
            uint32_t peer = connection->peer;
            connection->peer_open = false;
            sim->peers[peer].connection = 0;
            sim_say (sim, "peer %u hears that its connection ended", peer);
            sim_connect_later (sim, peer, 50000);
            step_link (sim, peer, false);
        }
        break;
    case EVENT_CONNECT:
        if (sim->peers[event->a].used && sim->peers[event->a].attempt == event->b)
            connect_now (sim, (uint32_t)event->a);
        break;
    case EVENT_FANOUT:
        to_process (sim, event);
        break;
    case EVENT_SUB_UP:
        if (sim->processes[event->a].used && sim->processes[event->a].incarnation == event->b)
            sub_up (sim, (uint32_t)event->a);
        break;
    case EVENT_SUB_DOWN:
        if (sim->processes[event->a].used && sim->processes[event->a].sub_life == event->b)
            sub_down (sim, (uint32_t)event->a);
        break;
    case EVENT_PEER_TICK:
        if (sim->peers[event->a].used && sim->peers[event->a].tick_us == sim->now_us)
            tick (sim, (uint32_t)event->a);
        break;
    default:
        break;
    }
}
