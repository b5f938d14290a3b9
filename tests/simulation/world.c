/* SPDX-License-Identifier: MPL-2.0 */

/*  world.c - time, the queue of what is to come, the trace, and the story for people.
 *
 *  The queue is a binary heap; events of the same microsecond keep the order in which they were
 *  made.  */
#include "base/assert.h"
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  Virtual time after the faults within which everything must be done: the slowest seeds handle
 *  1,600 suspect events one by one, at 75 ms each with their BEGIN and settle.  */
#define LIVENESS_US UINT64_C (240000000)
#define STEPS_MAX   2000000

void *sim_must (void *memory)
{
    bn_assert (memory);
    return memory;
}

/*  ---- the story ---- */

bool sim_fail (sim_t *sim, const char *format, ...)
{
    if (sim->failed)
        return false;
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (sim->failure, sizeof sim->failure, format, arguments);
    va_end (arguments);
    sim->failed = true;
    sim_say (sim, "FAILURE: %.180s", sim->failure);
    return false;
}

void sim_say_line (sim_t *sim, const char *format, ...)
{
    char *line = sim->story[sim->story_count++ % SIM_STORY_LINES];
    int size = snprintf (line, SIM_LINE_BYTES, "%9.3f ms  ", (double)sim->now_us / 1000);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line + size, SIM_LINE_BYTES - (size_t)size, format, arguments);
    va_end (arguments);
    if (sim->verbose)
        puts (line);
}

void sim_trace (sim_t *sim, uint64_t value)
{
    uint64_t mixed = (sim->trace ^ value) * UINT64_C (0x9e3779b97f4a7c15);
    sim->trace = mixed ^ (mixed >> 29);
}

/*  ---- time and chance ---- */

bn_time_t sim_time (const sim_t *sim)
{
    return (bn_time_t){.mono_ms = 1000 + sim->now_us / 1000,
                       .wall_us = SIM_EPOCH_US + sim->now_us + (uint64_t)sim->wall_skew_us};
}

uint64_t sim_random (sim_t *sim)
{
    return bn_prng_next (&sim->prng);
}

uint64_t sim_below (sim_t *sim, uint64_t bound)
{
    return bn_prng_below (&sim->prng, bound);
}

bool sim_chance (sim_t *sim, uint32_t pct)
{
    return bn_prng_below (&sim->prng, 100) < pct;
}

uint64_t sim_about (sim_t *sim, uint64_t mean_us)
{
    uint64_t time = mean_us / 2 + sim_below (sim, mean_us + 1);
    return sim_below (sim, 30) == 0 ? time * 10 : time;
}

/*  ---- the queue ---- */

static bool sooner (const sim_event_t *left, const sim_event_t *right)
{
    return left->time_us != right->time_us ? left->time_us < right->time_us
                                           : left->order < right->order;
}

sim_event_t *sim_push (sim_t *sim, uint64_t time_us, sim_event_kind_t kind, uint64_t a, uint64_t b,
                       uint64_t c)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity ? sim->heap_capacity * 2 : 256;
        sim->heap = sim_must (realloc (sim->heap, sim->heap_capacity * sizeof *sim->heap));
    }
    sim_event_t event = {.time_us = time_us > sim->now_us ? time_us : sim->now_us,
                         .order = sim->order++,
                         .kind = kind,
                         .a = a,
                         .b = b,
                         .c = c};
    size_t at = sim->heap_count++;
    while (at > 0 && sooner (&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
    return &sim->heap[at];
}

static sim_event_t pop (sim_t *sim)
{
    sim_event_t first = sim->heap[0];
    sim_event_t last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && sooner (&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!sooner (&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    if (sim->heap_count > 0)
        sim->heap[at] = last;
    return first;
}

sim_message_t sim_message (bn_blob_t *head, const bn_slice_t *payloads, size_t count)
{
    sim_message_t message = {.count = count + 1};
    message.blobs = sim_must (calloc (count + 1, sizeof (bn_blob_t *)));
    message.blobs[0] = bn_blob_ref (head);
    for (size_t i = 0; i < count; i++) {
        const bn_slice_t *slice = &payloads[i];
        bool whole =
            slice->blob && slice->data == slice->blob->data && slice->size == slice->blob->size;
        message.blobs[i + 1] = whole ? bn_blob_ref (slice->blob)
                                     : sim_must (bn_blob_new_copy (slice->data, slice->size));
    }
    return message;
}

void sim_message_fini (sim_message_t *message)
{
    for (size_t i = 0; i < message->count; i++)
        bn_blob_unref (&message->blobs[i]);
    free (message->blobs);
    *message = (sim_message_t){.count = 0};
}

/*  ---- a run ---- */

static void happen (sim_t *sim, sim_event_t *event)
{
    sim_trace (sim, event->time_us);
    sim_trace (sim, ((uint64_t)event->kind << 32) ^ event->a);
    for (size_t i = 0; i < event->message.count; i++) {
        const bn_blob_t *blob = event->message.blobs[i];
        sim_trace (sim, blob->size);
        for (size_t at = 0; at < blob->size; at += 8) {
            uint64_t word = 0;
            memcpy (&word, blob->data + at, blob->size - at < 8 ? blob->size - at : 8);
            sim_trace (sim, word);
        }
    }
    switch (event->kind) {
    case EVENT_SERVER_TICK:
    case EVENT_SERVER_START:
    case EVENT_SERVER_JOB:
    case EVENT_SERVER_IDLE:
    case EVENT_SERVER_SYNCED:
        sim_server_event (sim, event);
        break;
    case EVENT_TO_SERVER:
    case EVENT_TO_PEER:
    case EVENT_GONE:
    case EVENT_DOWN:
    case EVENT_CONNECT:
    case EVENT_FANOUT:
    case EVENT_SUB_UP:
    case EVENT_SUB_DOWN:
    case EVENT_PEER_TICK:
        sim_network_event (sim, event);
        break;
    case EVENT_HANDLER:
    case EVENT_DEADLINE:
    case EVENT_PROCESS:
        sim_process_event (sim, event);
        break;
    case EVENT_PRODUCE:
    case EVENT_ADMIN:
        sim_client_event (sim, event);
        break;
    case EVENT_WATCHER:
        sim_watcher_look (sim);
        break;
    case EVENT_NEMESIS:
        sim_nemesis_event (sim);
        break;
    }
}

/*  Until a time, or, with `drain`, until nothing is left to do.  */
static void run_until (sim_t *sim, uint64_t until_us, bool drain)
{
    uint64_t look_us = sim->now_us;
    while (!sim->failed && sim->heap_count > 0 && sim->heap[0].time_us <= until_us) {
        char text[256];
        if (drain && sim->now_us >= look_us) {
            if (!sim_oracle_waiting (sim, text))
                return;
            look_us = sim->now_us + 200000;
        }
        sim_event_t event = pop (sim);
        sim->now_us = event.time_us;
        sim->stats.steps++;
        happen (sim, &event);
        sim_message_fini (&event.message);
        if (sim->stats.steps > STEPS_MAX)
            sim_fail (sim, "liveness: more than %d steps: something spins", STEPS_MAX);
    }
}

sim_t *sim_new (uint64_t seed, bool tell, bool verbose)
{
    sim_t *sim = sim_must (calloc (1, sizeof *sim));
    sim->seed = seed;
    sim->tell = tell;
    sim->verbose = verbose;
    sim_config_make (&sim->config, seed);
    bn_prng_init (&sim->prng, seed);
    sim->model = sim_model_new ();
    for (size_t i = 0; i < SIM_PEERS_MAX; i++)
        sim->peers[i].tick_us = UINT64_MAX;
    return sim;
}

void sim_run (sim_t *sim)
{
    sim_server_init (sim);
    sim_clients_init (sim);
    sim_watcher_init (sim);
    for (uint32_t actor = 0; actor < sim->config.actor_count; actor++)
        for (uint32_t name = 0; name < sim->config.actors[actor].names; name++)
            sim_push (sim, sim_below (sim, sim->config.safety_us / 8), EVENT_PROCESS, actor, name,
                      0);
    sim_push (sim, sim_about (sim, sim->config.fault_gap_us), EVENT_NEMESIS, 0, 0, 0);
    run_until (sim, sim->config.safety_us, false);
    sim->liveness = true;
    sim_say (sim, "no more faults");
    sim_nemesis_end (sim);
    run_until (sim, sim->now_us + LIVENESS_US, true);
    char text[256];
    bool waiting = !sim->failed && sim_oracle_waiting (sim, text);
    for (uint32_t slot = 0; waiting && slot < SIM_PROCESSES_MAX; slot++)
        sim_describe (sim, slot);
    if (waiting)
        sim_fail (sim, "G2: %" PRIu64 " virtual seconds without faults, and still waiting: %s",
                  LIVENESS_US / 1000000, text);
    if (!sim->failed)
        sim_oracle_end (sim);
    sim->stats.virtual_us = sim->now_us;
}

void sim_destroy (sim_t **sim_p)
{
    sim_t *sim = *sim_p;
    if (!sim)
        return;
    sim_processes_fini (sim);
    sim_clients_fini (sim);
    sim_server_fini (sim);
    for (size_t i = 0; i < sim->heap_count; i++)
        sim_message_fini (&sim->heap[i].message);
    free (sim->heap);
    free (sim->connections);
    sim_model_destroy (&sim->model);
    free (sim);
    *sim_p = NULL;
}
