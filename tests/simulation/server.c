/* SPDX-License-Identifier: MPL-2.0 */

/*  server.c - the orchestrator's shell, played: conductor and gate as in service.c, the jobs of the
 *  journal thread as events of their own, so that everything else happens between a write and its
 *  sync.
 *
 *  The views are a list of items in memory that survives crashes; a checkpoint replaces it at one
 *  instant, after a sync, as LMDB's transaction would.  */
#include "base/assert.h"
#include "orchestrator/read_service.h"
#include "shell/log.h"
#include "simulation/sim.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_OVERHEAD 64
#define PRODUCERS_MAX   100
#define JOURNAL_FOLDER  "journal"
#define NAME_BYTES      64
#define CHECK_RECORDS   16 /* the live state is checked once in so many records */

typedef struct {
    bn_blob_t *key;
    bn_blob_t *value;
} item_t;

struct sim_views {
    uint64_t sequence;
    item_t *items;
    size_t count, capacity;
};

enum { PHASE_IDLE, PHASE_WRITE, PHASE_SYNC, PHASE_REST };

/*  The read service logs; what it has to say is in its answers, too.  */
void bn_log (bn_log_level_t level, const char *format, ...)
{
    (void)level;
    (void)format;
}

/*  ---- views ---- */

static void views_free (struct sim_views **views_p)
{
    struct sim_views *views = *views_p;
    if (!views)
        return;
    for (size_t i = 0; i < views->count; i++) {
        bn_blob_unref (&views->items[i].key);
        bn_blob_unref (&views->items[i].value);
    }
    free (views->items);
    free (views);
    *views_p = NULL;
}

static bool views_put (const void *key, size_t key_size, const void *value, size_t value_size,
                       void *arg)
{
    struct sim_views *views = arg;
    if (views->count == views->capacity) {
        views->capacity = views->capacity ? views->capacity * 2 : 32;
        views->items = sim_must (realloc (views->items, views->capacity * sizeof *views->items));
    }
    views->items[views->count++] = (item_t){sim_must (bn_blob_new_copy (key, key_size)),
                                            sim_must (bn_blob_new_copy (value, value_size))};
    return true;
}

static struct sim_views *views_of (const bn_state_t *state)
{
    struct sim_views *views = sim_must (calloc (1, sizeof *views));
    views->sequence = state->sequence;
    bn_state_save (state, views_put, views);
    return views;
}

/*  ---- out of the gate ---- */

static void send_events (sim_t *sim, const bn_effect_t *effect)
{
    bn_read_reply_t reply;
    bn_read_service (sim->server.reader, effect->read, &reply);
    bn_slice_t *payloads = sim_must (calloc (reply.section_count + 1, sizeof *payloads));
    for (uint32_t i = 0; i < reply.section_count; i++)
        payloads[i] = reply.sections[i].payload;
    sim_to_peer (sim, effect->route, sim_must (reply.head), payloads, reply.section_count);
    free (payloads);
    bn_read_reply_fini (&reply);
}

static void release (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    bn_effect_t effect;
    while (!sim->failed && server->up && bn_gate_pop (server->gate, server->durable, &effect)) {
        if (effect.kind == BN_EFFECT_LOG)
            sim_say (sim, "orchestrator: %s", effect.text ? effect.text : "");
        else if (server->durable > sim->model->visible)
            sim->model->visible = server->durable;
        if (effect.kind == BN_EFFECT_SEND)
            sim_to_peer (sim, effect.route, effect.head, NULL, 0);
        else if (effect.kind == BN_EFFECT_FANOUT)
            sim_fanout (sim, &effect);
        else if (effect.kind == BN_EFFECT_READ)
            send_events (sim, &effect);
        bn_effect_fini (&effect);
    }
}

/*  ---- the journal's jobs ---- */

static void learn (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    bn_extent_t extents[16];
    size_t count;
    while ((count = bn_journal_writer_extents (server->writer, extents, 16)) > 0)
        bn_journal_reader_learn (server->reader, extents, count);
}

static void made_durable (sim_t *sim, uint64_t sequence)
{
    sim->server.durable = sequence;
    sim_oracle_durable (sim, sequence);
    learn (sim);
    bn_journal_reader_durable (sim->server.reader, sequence);
    release (sim);
}

/*  The journal failed: the process says so and ends.  */
static bool journal_failed (sim_t *sim, baton_err_t err, const char *detail)
{
    if (!err)
        return false;
    sim_say (sim, "the journal fails: %.120s", detail);
    if (!sim->server.armed)
        sim_fail (sim, "the journal fails on a disk that does not: %s", detail);
    sim_server_crash (sim, false);
    return true;
}

static uint64_t sync_time (sim_t *sim)
{
    uint64_t mean = sim->config.sync_us;
    if (sim->now_us < sim->server.slow_until_us)
        mean *= 20;
    return sim_about (sim, mean);
}

static void next_phase (sim_t *sim, int phase, uint64_t after_us)
{
    sim->server.phase = phase;
    sim_push (sim, sim->now_us + after_us, EVENT_SERVER_JOB, sim->server.life, (uint64_t)phase, 0);
}

static void checkpoint_wanted (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    const bn_state_t *state = bn_conductor_state (server->conductor);
    if (sim->config.checkpoint_bytes == 0 || server->job_views ||
        (server->views && server->views->sequence == state->sequence))
        return;
    server->job_views = views_of (state);
    server->unchecked = 0;
}

static void trim_wanted (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    uint64_t bytes, time_us, end;
    bn_journal_writer_usage (server->writer, &bytes, &time_us, &end);
    const bn_state_t *state = bn_conductor_state (server->conductor);
    if (sim->config.retention_bytes == 0 || bytes <= sim->config.retention_bytes ||
        end >= state->tail || end > bn_state_needed_from (state))
        return;
    checkpoint_wanted (sim);
    uint64_t included = server->job_views ? server->job_views->sequence
                        : server->views   ? server->views->sequence
                                          : 0;
    server->trim_offset = end;
    server->trim_sequence = included + 1;
}

/*  A sync that lasts while records are written. What of them it takes along is up to the disk:
 *  those before it, or all until it is over.  */
static void take_off (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    if (server->flight.file || server->synced == server->written)
        return;
    baton_err_t err = bn_journal_sync_begin (server->writer, &server->flight, detail);
    if (journal_failed (sim, err, detail))
        return;
    if (!server->flight.file) { /* a roll, a checkpoint or a trim has synced it */
        server->synced = server->flight.sequence;
        return;
    }
    server->flown = sim_below (sim, 2) == 0;
    if (server->flown)
        bn_journal_sync_wait (&server->flight);
    sim_push (sim, sim->now_us + sync_time (sim), EVENT_SERVER_SYNCED, server->life, 0, 0);
}

static void land (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    if (!server->flown)
        bn_journal_sync_wait (&server->flight);
    uint64_t synced = server->flight.sequence;
    baton_err_t err = bn_journal_sync_end (server->writer, &server->flight, detail);
    if (journal_failed (sim, err, detail))
        return;
    if (synced > server->synced)
        server->synced = synced;
    /*  The moment at which a wrong claim would matter most.  */
    if (server->synced < server->written && sim->config.faults[FAULT_POWER] && !sim->liveness &&
        sim_chance (sim, 20)) {
        sim->stats.faults[FAULT_POWER]++;
        sim_server_crash (sim, true);
    }
}

static void submit (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    if (!server->up || server->phase != PHASE_IDLE)
        return;
    if (sim->config.sync == BN_SYNC_INTERVAL && sim->now_us >= server->sync_due_us)
        take_off (sim);
    if (!server->up)
        return;
    if (server->unchecked >= sim->config.checkpoint_bytes)
        checkpoint_wanted (sim);
    if (sim_below (sim, 8) == 0)
        trim_wanted (sim);
    bool records = server->batch_last >= server->batch_first;
    if (!records && !server->job_views && server->trim_offset == 0)
        return;
    server->job_first = server->batch_first;
    server->job_last = server->batch_last;
    server->batch_first = server->batch_last + 1;
    next_phase (sim, PHASE_WRITE, sim_below (sim, 50));
}

static void job_write (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    size_t count = (size_t)(server->job_last + 1 - server->job_first);
    if (count > 0) {
        bn_journal_record_t *records = sim_must (calloc (count, sizeof *records));
        for (size_t i = 0; i < count; i++) {
            const sim_record_t *record = &sim->model->records[server->job_first - 1 + i];
            records[i] = (bn_journal_record_t){.type = record->type,
                                               .sequence = server->job_first + i,
                                               .base = record->base,
                                               .count = record->count,
                                               .time_us = record->time_us,
                                               .body = record->body->data,
                                               .body_size = record->body->size};
        }
        baton_err_t err = bn_journal_write (server->writer, records, count, detail);
        free (records);
        if (journal_failed (sim, err, detail))
            return;
        if (server->synced == server->written)
            server->sync_due_us = sim->now_us + sim->config.sync_interval_ms * 1000;
        server->written = server->job_last;
    }
    if (count > 0 && sim->config.sync == BN_SYNC_ALWAYS) {
        next_phase (sim, PHASE_SYNC, sync_time (sim));
        return;
    }
    next_phase (sim, PHASE_REST, 1);
    made_durable (sim, server->written);
}

static bool sync_now (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    if (server->synced == server->written)
        return true;
    if (journal_failed (sim, bn_journal_sync (server->writer, detail), detail))
        return false;
    server->synced = server->written;
    return true;
}

static void job_rest (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    if (server->job_views) {
        if (!sync_now (sim))
            return;
        views_free (&server->views);
        server->views = server->job_views;
        server->job_views = NULL;
        sim_say (sim, "checkpoint at record %" PRIu64, server->views->sequence);
    }
    if (server->trim_offset > 0) {
        uint64_t first_base, first_sequence;
        baton_err_t err =
            bn_journal_trim (server->writer, server->trim_offset, server->trim_sequence,
                             &first_base, &first_sequence, detail);
        if (journal_failed (sim, err, detail))
            return;
        server->first_base = first_base;
        bn_journal_reader_trimmed (server->reader, first_base);
        server->trim_offset = 0;
        sim_say (sim, "trimmed to offset %" PRIu64, first_base);
    }
    server->phase = PHASE_IDLE;
    submit (sim);
    if (server->phase == PHASE_IDLE && !server->idle_due) {
        server->idle_due = true;
        sim_push (sim, sim->now_us + 20000, EVENT_SERVER_IDLE, server->life, 0, 0);
    }
}

static void job (sim_t *sim, int phase)
{
    if (phase == PHASE_WRITE)
        job_write (sim);
    else if (phase == PHASE_SYNC) {
        if (sync_now (sim)) {
            next_phase (sim, PHASE_REST, 1);
            made_durable (sim, sim->server.written);
        }
    } else
        job_rest (sim);
}

static void idle (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    server->idle_due = false;
    if (server->phase != PHASE_IDLE)
        return;
    if (sim->config.sync == BN_SYNC_INTERVAL)
        take_off (sim);
    if (server->up)
        journal_failed (sim, bn_journal_prepare (server->writer, detail), detail);
}

/*  ---- the conductor ---- */

static uint64_t persist (bn_effect_t *effect, void *arg)
{
    sim_t *sim = arg;
    sim_server_t *server = &sim->server;
    uint64_t sequence = server->sequence_next++;
    server->unchecked += effect->body->size + RECORD_OVERHEAD;
    sim_model_record (sim, effect, sequence);
    server->batch_last = sequence;
    bn_blob_unref (&effect->body);
    return sequence;
}

static void schedule_tick (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    uint64_t due_ms = bn_conductor_due_ms (server->conductor);
    uint64_t due_us = due_ms > 1000 ? (due_ms - 1000) * 1000 : 0;
    if (due_ms == UINT64_MAX)
        return;
    if (due_us <= sim->now_us)
        due_us = sim->now_us + 500;
    if (due_us < server->tick_us) {
        server->tick_us = due_us;
        sim_push (sim, due_us, EVENT_SERVER_TICK, server->life, due_us, 0);
    }
}

uint64_t sim_server_first (const sim_t *sim)
{
    const sim_server_t *server = &sim->server;
    return server->trim_offset > server->first_base ? server->trim_offset : server->first_base;
}

static void starve_to_death (sim_t *sim);

static void step (sim_t *sim, bn_conductor_event_t event)
{
    sim_server_t *server = &sim->server;
    uint64_t before = server->sequence_next;
    event.now = sim_time (sim);
    event.random = sim_random (sim);
    event.partitions = sim->config.partitions;
    event.disk_full = server->disk_full;
    event.first = sim_server_first (sim);
    if (server->starved)
        sim_memory_short (server->starved, sim_below (sim, 2));
    bn_conductor_step (server->conductor, &event, &server->effects);
    if (!sim_memory_enough ()) {
        sim->stats.starved++;
        server->starved = 0;
        sim_say (sim, "orchestrator: no memory");
    }
    /*  The shell lets none of the step out, and ends: what it decided was never true.  */
    if (server->effects.failed) {
        starve_to_death (sim);
        return;
    }
    bn_blob_t *answer = NULL;
    for (size_t i = 0; i < server->effects.count && sim->server.sender; i++)
        if (server->effects.items[i].kind == BN_EFFECT_SEND &&
            server->effects.items[i].route == sim->server.sender)
            answer = server->effects.items[i].head;
    if (answer)
        bn_blob_ref (answer);
    bool ok = bn_gate_push (server->gate, &server->effects, persist, sim);
    bn_assert (ok);
    if (answer)
        sim_oracle_answer (sim, answer);
    bn_blob_unref (&answer);
    if (before / CHECK_RECORDS != server->sequence_next / CHECK_RECORDS)
        sim_oracle_state (sim, false);
    release (sim);
    submit (sim);
    if (server->up)
        schedule_tick (sim);
}

void sim_server_message (sim_t *sim, uint64_t connection, const sim_message_t *message)
{
    bn_frame_t *frames = sim_must (calloc (message->count, sizeof *frames));
    for (size_t i = 0; i < message->count; i++)
        frames[i] = (bn_frame_t){message->blobs[i]->data, message->blobs[i]->size};
    sim->server.sender = connection;
    step (sim, (bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                      .route = connection,
                                      .frames = frames,
                                      .frame_count = message->count});
    sim->server.sender = 0;
    free (frames);
}

void sim_server_left (sim_t *sim, uint64_t connection)
{
    sim_say (sim, "orchestrator hears that connection %" PRIu64 " ended", connection);
    step (sim, (bn_conductor_event_t){.kind = BN_CONDUCTOR_GONE, .route = connection});
}

/*  ---- life ---- */

static void close_all (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    bn_conductor_destroy (&server->conductor);
    bn_gate_destroy (&server->gate);
    bn_effects_fini (&server->effects);
    bn_journal_reader_destroy (&server->reader);
    if (server->flight.file)
        server->vfs->close (server->vfs, &server->flight.file);
    bn_journal_writer_destroy (&server->writer);
    if (server->vfs)
        server->vfs->destroy (&server->vfs);
    views_free (&server->job_views);
    server->trim_offset = 0;
    server->phase = PHASE_IDLE;
    server->idle_due = false;
    server->up = false;
}

/*  Other policies than the default promise nothing about a power cut: what is lost then is the end
 *  of the journal.  */
static void lost_power (sim_t *sim, bool power)
{
    sim_server_t *server = &sim->server;
    if (sim->config.sync != BN_SYNC_ALWAYS && (power || server->cut) &&
        server->synced < server->kept)
        server->kept = server->synced;
    server->cut = false;
}

static void end (sim_t *sim, bool power)
{
    sim_server_t *server = &sim->server;
    sim->stats.crashes++;
    server->kept = sim->model->visible;
    lost_power (sim, power);
    if (power)
        bn_disk_crash (server->disk);
    else
        bn_disk_kill (server->disk);
    server->armed = false;
    close_all (sim);
    sim_server_gone (sim);
    sim_push (sim, sim->now_us + sim_about (sim, 200000), EVENT_SERVER_START, 0, 0, 0);
}

static void starve_to_death (sim_t *sim)
{
    sim_say (sim, "the orchestrator has no memory, and ends");
    end (sim, false);
}

void sim_server_crash (sim_t *sim, bool power)
{
    if (!sim->server.up)
        return;
    sim_say (sim, power ? "the orchestrator's machine loses power" : "the orchestrator dies");
    sim_oracle_state (sim, true);
    end (sim, power);
}

typedef struct {
    sim_t *sim;
    bn_state_t *state;
    char *detail;
} replay_t;

static baton_err_t replay (const bn_journal_record_t *raw, void *arg)
{
    replay_t *self = arg;
    bn_record_t record;
    char what[256] = "";
    sim_oracle_journal (self->sim, raw);
    baton_err_t err =
        bn_record_decode (&record, raw->type, raw->base, raw->body, raw->body_size, what);
    if (err)
        return err;
    err = bn_state_apply (self->state, &record, raw->sequence, raw->base, raw->count, raw->time_us,
                          what);
    bn_record_fini (&record);
    if (err && self->detail)
        snprintf (self->detail, 512, "record %" PRIu64 ": %s", raw->sequence, what);
    return err;
}

static bn_state_t *load_views (sim_t *sim, uint64_t *trusted)
{
    const struct sim_views *views = sim->server.views;
    bn_state_t *state = sim_must (bn_state_new (PRODUCERS_MAX));
    *trusted = 0;
    if (!views)
        return state;
    baton_err_t err = BATON_OK;
    for (size_t i = 0; i < views->count && !err; i++)
        err = bn_state_restore (state, views->items[i].key->data, views->items[i].key->size,
                                views->items[i].value->data, views->items[i].value->size);
    if (!err)
        err = bn_state_restored (state);
    if (err)
        sim_fail (sim, "a checkpoint cannot be read again: %s", baton_err_text (err));
    *trusted = views->sequence;
    return state;
}

static void read_all (sim_t *sim)
{
    char detail[512] = "";
    bn_journal_reader_t *reader = sim->server.reader;
    bn_journal_record_t record;
    bool end = false;
    baton_err_t err = bn_journal_seek (reader, bn_journal_reader_first (reader), detail);
    while (!err && !sim->failed) {
        err = bn_journal_next (reader, &record, &end, detail);
        if (err || end)
            break;
        sim_oracle_journal (sim, &record);
    }
    if (err && !sim->server.armed)
        sim_fail (sim, "G1: the journal cannot be read after recovery: %s", detail);
}

static bn_journal_options_t journal_options (const sim_t *sim)
{
    return (bn_journal_options_t){.segment_bytes = sim->config.segment_bytes,
                                  .record_bytes_max = 1024 * 1024,
                                  .salt = sim->seed * 2 + 1};
}

bool sim_server_recover (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    uint64_t trusted;
    bn_state_t *state = load_views (sim, &trusted);
    replay_t arg = {sim, state, detail};
    bn_journal_recovery_t recovery;
    bn_journal_options_t options = journal_options (sim);
    server->vfs = bn_disk_vfs (server->disk);
    baton_err_t err = bn_journal_open (&server->writer, &server->reader, server->vfs, &options,
                                       trusted, replay, &arg, &recovery, detail);
    if (err || sim->failed) {
        if (!server->armed)
            sim_fail (sim, "%s: recovery refuses what a crash left: %s",
                      err == BATON_ERR_ROT ? "G8" : "G1", detail);
        sim_say (sim, "recovery fails: %.120s", detail);
        lost_power (sim, false);
        bn_state_destroy (&state);
        bn_disk_kill (server->disk);
        close_all (sim);
        return false;
    }
    sim->stats.recoveries++;
    sim->stats.torn += recovery.torn_bytes > 0;
    uint64_t last = recovery.sequence_next - 1;
    sim_say (sim, "recovered %" PRIu64 " records, %" PRIu64 " events, %" PRIu64 " bytes torn off",
             last, recovery.tail, recovery.torn_bytes);
    if (state->sequence != last || state->tail != recovery.tail)
        sim_fail (sim, "G1: the journal ends at record %" PRIu64 ", the state at %" PRIu64, last,
                  state->sequence);
    sim_oracle_recovered (sim, &recovery);
    server->sequence_next = recovery.sequence_next;
    server->durable = server->written = server->synced = server->kept = last;
    server->batch_first = recovery.sequence_next;
    server->batch_last = last;
    server->first_base = recovery.first_base;
    server->unchecked = 0;
    bn_journal_reader_durable (server->reader, last);
    if (!sim->failed)
        read_all (sim);
    server->gate = sim_must (bn_gate_new ());
    bn_effects_init (&server->effects);
    server->conductor = sim_must (bn_conductor_new (&sim->config.conductor, &state));
    server->up = true;
    server->life++;
    server->tick_us = UINT64_MAX;
    return true;
}

static void start (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    if (server->up)
        return;
    if (!sim->liveness && sim->config.faults[FAULT_DISK_CUT] && sim_chance (sim, 20)) {
        bn_disk_crash_at (server->disk, bn_disk_calls (server->disk) + sim_below (sim, 40));
        server->armed = server->cut = true;
    } else if (!sim->liveness && sim->config.faults[FAULT_DISK_ERROR] && sim_chance (sim, 20)) {
        bn_disk_fail_at (server->disk, bn_disk_calls (server->disk) + sim_below (sim, 40), EIO);
        server->armed = true;
    }
    if (!sim_server_recover (sim)) {
        server->armed = false;
        sim_push (sim, sim->now_us + sim_about (sim, 100000), EVENT_SERVER_START, 0, 0, 0);
        return;
    }
    if (!sim->failed)
        sim_oracle_state (sim, true);
    if (!sim->failed)
        step (sim, (bn_conductor_event_t){.kind = BN_CONDUCTOR_START});
}

void sim_server_event (sim_t *sim, sim_event_t *event)
{
    sim_server_t *server = &sim->server;
    if (event->kind == EVENT_SERVER_START) {
        start (sim);
        return;
    }
    if (!server->up || event->a != server->life)
        return;
    if (event->kind == EVENT_SERVER_TICK && event->b == server->tick_us) {
        server->tick_us = UINT64_MAX;
        step (sim, (bn_conductor_event_t){.kind = BN_CONDUCTOR_TICK});
    } else if (event->kind == EVENT_SERVER_JOB && (int)event->b == server->phase)
        job (sim, (int)event->b);
    else if (event->kind == EVENT_SERVER_IDLE)
        idle (sim);
    else if (event->kind == EVENT_SERVER_SYNCED && server->flight.file)
        land (sim);
}

void sim_server_init (sim_t *sim)
{
    sim->server.disk = sim_must (bn_disk_new (sim->seed ^ UINT64_C (0xd15c)));
    sim_push (sim, 0, EVENT_SERVER_START, 0, 0, 0);
}

void sim_server_fini (sim_t *sim)
{
    bn_disk_kill (sim->server.disk);
    close_all (sim);
    views_free (&sim->server.views);
    bn_state_destroy (&sim->server.shadow);
    bn_disk_destroy (&sim->server.disk);
}

/*  ---- rot ---- */

typedef struct {
    char names[64][NAME_BYTES];
    size_t count;
} names_t;

static bool add_name (const char *name, void *arg)
{
    names_t *names = arg;
    if (names->count < 64 && strlen (name) < 40 && !strstr (name, ".tmp"))
        snprintf (names->names[names->count++], NAME_BYTES, JOURNAL_FOLDER "/%s", name);
    return true;
}

static baton_err_t compare (const bn_journal_record_t *record, void *arg)
{
    sim_oracle_journal (arg, record);
    return BATON_OK;
}

/*  A byte of a copy of the disk changes; whatever the journal says about it must be true.  */
void sim_server_rot (sim_t *sim)
{
    sim_server_t *server = &sim->server;
    char detail[512] = "";
    if (!server->up)
        return;
    bn_disk_t *copy = sim_must (bn_disk_copy (server->disk));
    bn_vfs_t *vfs = bn_disk_vfs (copy);
    names_t names = {.count = 0};
    vfs->list (vfs, JOURNAL_FOLDER, add_name, &names);
    size_t size = 0;
    const char *name = names.count ? names.names[sim_below (sim, names.count)] : "FORMAT";
    bn_disk_bytes (copy, name, &size);
    uint64_t at = size ? sim_below (sim, size) : 0;
    if (size && bn_disk_flip (copy, name, at, (uint8_t)(1 + sim_below (sim, 255)))) {
        bn_journal_writer_t *writer = NULL;
        bn_journal_reader_t *reader = NULL;
        bn_journal_recovery_t recovery;
        bn_journal_options_t options = journal_options (sim);
        uint64_t trusted = server->first_base > 0 && server->views ? server->views->sequence : 0;
        baton_err_t err = bn_journal_open (&writer, &reader, vfs, &options, trusted, compare, sim,
                                           &recovery, detail);
        sim->stats.rot_cases++;
        if (err && err != BATON_ERR_ROT && err != BATON_ERR_FORMAT)
            sim_fail (sim, "G8: rot in %s at %" PRIu64 " is called %s: %s", name, at,
                      baton_err_name (err), detail);
        if (!err && recovery.sequence_next <= server->synced)
            sim_fail (sim,
                      "G8: rot in %s at %" PRIu64 " is taken for a torn tail: %" PRIu64
                      " records are left of %" PRIu64,
                      name, at, recovery.sequence_next - 1, server->synced);
        bn_journal_reader_destroy (&reader);
        bn_journal_writer_destroy (&writer);
    }
    vfs->destroy (&vfs);
    bn_disk_destroy (&copy);
}
