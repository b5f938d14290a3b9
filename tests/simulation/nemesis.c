/* SPDX-License-Identifier: MPL-2.0 */

/*  nemesis.c - one fault after another, of the kinds that the seed has switched on.  */
#include "simulation/sim.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static sim_connection_t *some_connection (sim_t *sim, uint64_t *id)
{
    uint64_t peer = sim_below (sim, SIM_PEERS_MAX);
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        *id = sim->peers[(peer + i) % SIM_PEERS_MAX].connection;
        if (*id)
            return sim_connection (sim, *id);
    }
    return NULL;
}

static sim_process_t *some_process (sim_t *sim, uint32_t *slot)
{
    uint64_t from = sim_below (sim, SIM_PROCESSES_MAX);
    for (uint32_t i = 0; i < SIM_PROCESSES_MAX; i++) {
        *slot = (uint32_t)((from + i) % SIM_PROCESSES_MAX);
        if (sim->processes[*slot].used)
            return &sim->processes[*slot];
    }
    return NULL;
}

static void disk_fault (sim_t *sim, sim_fault_t fault)
{
    sim_server_t *server = &sim->server;
    uint64_t call = bn_disk_calls (server->disk) + sim_below (sim, 30);
    if (!server->up)
        return;
    server->armed = true;
    server->cut |= fault == FAULT_DISK_CUT;
    if (fault == FAULT_DISK_CUT)
        bn_disk_crash_at (server->disk, call);
    else
        bn_disk_fail_at (server->disk, call, sim_chance (sim, 50) ? EIO : ENOSPC);
}

static void network_fault (sim_t *sim, sim_fault_t fault)
{
    uint64_t id;
    sim_connection_t *connection = some_connection (sim, &id);
    if (!connection)
        return;
    if (fault == FAULT_DISCONNECT) {
        sim_say (sim, "connection %" PRIu64 " breaks", id);
        sim_disconnect (sim, id);
        return;
    }
    uint64_t until_us = sim->now_us + sim_about (sim, 1500000);
    uint64_t ways = 1 + sim_below (sim, 3);
    sim_say (sim, "connection %" PRIu64 " stands still (%s)", id,
             ways == 1   ? "to the orchestrator"
             : ways == 2 ? "to the peer"
                         : "both ways");
    for (int way = 0; way < 2; way++)
        if (ways >> way & 1)
            connection->held_us[way] = until_us;
}

/*  What TCP does not do, and a confused client may: all of it must be refused, because the session
 *  that it belonged to is over.  */
static void replay (sim_t *sim)
{
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++) {
        const sim_process_t *process = &sim->processes[slot];
        uint64_t id = sim->peers[sim_process_peer (slot)].connection;
        if (!process->used || process->said.count == 0 || id == 0 || id == process->said_connection)
            continue;
        bn_slice_t *payloads = sim_must (calloc (process->said.count, sizeof *payloads));
        for (size_t i = 1; i < process->said.count; i++) {
            bn_blob_t *blob = process->said.blobs[i];
            payloads[i - 1] = (bn_slice_t){blob, blob->data, blob->size};
        }
        sim_say (sim, "%s repeats an old settle", process->instance);
        sim_to_server (sim, sim_process_peer (slot), process->said.blobs[0], payloads,
                       process->said.count - 1);
        free (payloads);
    }
}

static void stop (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    if (!process->used || process->stopping || process->paused_us > sim->now_us)
        return;
    sim_say (sim, "%s is asked to stop", process->instance);
    process->stopping = true;
    sim_process_step (sim, slot, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
}

static void process_fault (sim_t *sim, sim_fault_t fault)
{
    uint32_t slot;
    sim_process_t *process = some_process (sim, &slot);
    if (!process)
        return;
    if (fault == FAULT_CRASH) {
        sim_say (sim, "%s is killed", process->instance);
        sim_process_end (sim, slot);
        return;
    }
    if (fault == FAULT_STOP) {
        stop (sim, slot);
        return;
    }
    process->paused_us =
        sim->now_us + sim_about (sim, sim->config.conductor.session_timeout_ms * UINT64_C (1500));
    sim_say (sim, "%s sleeps", process->instance);
    if (fault == FAULT_REPLACE && process->current) {
        process->current = false;
        sim_push (sim, sim->now_us + sim_about (sim, 300000), EVENT_PROCESS, process->actor,
                  process->name, 0);
    }
}

/*  New processes have other patterns; all or some of the old ones are stopped.  */
static void deploy (sim_t *sim)
{
    uint32_t a = (uint32_t)sim_below (sim, sim->config.actor_count);
    uint64_t pct = sim_below (sim, 2) ? 100 : 40;
    sim->revisions[a] = (uint32_t)sim_below (sim, SIM_REVISIONS);
    sim_say (sim, "revision %u of %s", sim->revisions[a], sim->config.actors[a].name);
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++)
        if (sim->processes[slot].used && sim->processes[slot].actor == a &&
            sim_below (sim, 100) < pct)
            stop (sim, slot);
}

static void begin_forget (sim_t *sim)
{
    uint32_t a = (uint32_t)sim_below (sim, sim->config.actor_count);
    sim->forget_us[a] = sim->now_us + 1000000 + sim_below (sim, 2000000);
    sim_say (sim, "%s is to be forgotten", sim->config.actors[a].name);
    bool all = sim_below (sim, 4) > 0;
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++)
        if (sim->processes[slot].used && sim->processes[slot].actor == a &&
            (all || sim_below (sim, 2)))
            stop (sim, slot);
}

void sim_forgotten (sim_t *sim, uint32_t actor)
{
    sim->forget_us[actor] = 0;
    sim->forget_asked[actor] = 0;
}

static void starve (sim_t *sim)
{
    uint32_t slot;
    sim_process_t *process = some_process (sim, &slot);
    uint64_t allocation = 1 + sim_below (sim, 12);
    if (sim_below (sim, 2) || !process)
        sim->server.starved = allocation;
    else
        process->starved = allocation;
}

static void fan_out_break (sim_t *sim)
{
    uint32_t slot;
    sim_process_t *process = some_process (sim, &slot);
    if (process && process->sub_up) {
        sim_say (sim, "%s loses the fan-out", process->instance);
        sim_push (sim, sim->now_us, EVENT_SUB_DOWN, slot, process->sub_life, 0);
    }
}

static void strike (sim_t *sim, sim_fault_t fault)
{
    sim->stats.faults[fault]++;
    switch (fault) {
    case FAULT_POWER:
    case FAULT_KILL:
        sim_server_crash (sim, fault == FAULT_POWER);
        break;
    case FAULT_DISK_CUT:
    case FAULT_DISK_ERROR:
        disk_fault (sim, fault);
        break;
    case FAULT_DISK_FULL:
        sim->server.disk_full = !sim->server.disk_full;
        break;
    case FAULT_DISK_SLOW:
        sim->server.slow_until_us = sim->now_us + sim_about (sim, 1000000);
        break;
    case FAULT_ROT:
        sim_server_rot (sim);
        break;
    case FAULT_DISCONNECT:
    case FAULT_SPLIT:
        network_fault (sim, fault);
        break;
    case FAULT_FANOUT:
        fan_out_break (sim);
        break;
    case FAULT_CRASH:
    case FAULT_STOP:
    case FAULT_PAUSE:
    case FAULT_REPLACE:
        process_fault (sim, fault);
        break;
    case FAULT_REPLAY:
        replay (sim);
        break;
    case FAULT_CLOCK:
        sim->wall_skew_us += (int64_t)sim_below (sim, 20000000) - 10000000;
        break;
    case FAULT_MEMORY:
        starve (sim);
        break;
    case FAULT_DEPLOY:
        deploy (sim);
        break;
    case FAULT_FORGET:
        begin_forget (sim);
        break;
    case FAULT_POISON:
    case FAULT_HANG:
    case FAULT_COUNT:
        sim->stats.faults[fault]--; /* the handler's business */
        break;
    }
}

/*  As an operator does: the widest patterns in the end, but where the last ones have still to take
 *  over from those before, they go on until they have.  */
static void choose_last_revision (sim_t *sim)
{
    for (uint32_t a = 0; a < sim->config.actor_count && sim->config.faults[FAULT_DEPLOY]; a++) {
        sim->revisions[a] = SIM_WIDEST;
        for (uint32_t r = 0; r < SIM_WIDEST && sim_model_drains (sim, a); r++)
            if (sim_model_has (sim, a, r))
                sim->revisions[a] = r;
    }
}

void sim_nemesis_event (sim_t *sim)
{
    sim_push (sim, sim->now_us + sim_about (sim, sim->config.fault_gap_us), EVENT_NEMESIS, 0, 0, 0);
    if (sim->liveness) {
        choose_last_revision (sim);
        for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++)
            if (sim->processes[slot].used &&
                sim->processes[slot].revision != sim->revisions[sim->processes[slot].actor])
                stop (sim, slot);
        return;
    }
    sim_fault_t fault = (sim_fault_t)sim_below (sim, FAULT_COUNT);
    for (int i = 0; i < FAULT_COUNT; i++, fault = (fault + 1) % FAULT_COUNT)
        if (sim->config.faults[fault]) {
            strike (sim, fault);
            return;
        }
}

void sim_nemesis_end (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    server->disk_full = false;
    server->slow_until_us = 0;
    for (uint32_t a = 0; a < sim->config.actor_count; a++)
        sim->forget_us[a] = 0;
    choose_last_revision (sim);
    bn_disk_crash_at (server->disk, UINT64_MAX);
    bn_disk_fail_at (server->disk, UINT64_MAX, 0);
}
