/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/service.h"
#include "base/assert.h"
#include "base/prng.h"
#include "core/conductor.h"
#include "orchestrator/journal_thread.h"
#include "orchestrator/read_service.h"
#include "orchestrator/unsent.h"
#include "shell/awake.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "shell/socket.h"
#include "shell/wait.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_PER_WAKE    256                /* then the rest has its turn */
#define GATE_BYTES_MAX       (64 * 1024 * 1024) /* effects and records in memory */
#define GATE_COUNT_MAX       200000
#define BUNDLE_SECTION_BYTES 4096 /* smaller sections go out in bundles */
#define DISK_CHECK_MS        200
#define RETENTION_CHECK_MS   1000
#define RETENTION_NOTICE_MS  60000
#define RECORD_OVERHEAD      64 /* bytes of a record beside its body, for the checkpoint account */
/*  What is more is handed to the journal's side, as is what comes in the next RUN_PAUSE_MS: under
 *  load, the small settlements that come between large publications.  */
#define RUN_RECORDS_MAX 8
#define RUN_BYTES_MAX   4096
#define RUN_PAUSE_MS    20
/*  Answers from here on are counted in bytes while they are unsent (unsent.h), like those with
 *  events: a STATUS, dead letters, an assignment with parked events. Libzmq's bound by number is
 *  enough for smaller ones.  */
#define ANSWER_COUNTED_BYTES 512

struct bn_service {
    bn_service_options_t given;
    const baton_orchestrator_options_t *options;
    bn_conductor_t *conductor;
    bn_gate_t *gate;
    bn_effects_t effects;
    bn_routes_t *routes; /* borrowed */
    bn_journal_thread_t *journal;
    bn_inbound_t inbound;
    bn_unsent_t unsent;
    bn_prng_t prng;
    bn_awake_t awake;
    bool worked; /* there was a record since the last turn of the loop */

    bn_journal_job_t job; /* gathers while the journal thread is busy */
    bool journal_idle;
    uint64_t run_after_ms;  /* monotonic; until then jobs are handed over */
    uint64_t sequence_next; /* of the next record */
    uint64_t durable_sequence;
    uint64_t unchecked_bytes;     /* journal bytes since the last checkpoint */
    uint64_t checkpoint_sequence; /* that the views include, on disk */
    uint64_t checkpoint_pending;  /* being written; 0: none */

    bool drained; /* the ROUTER had nothing more to read */
    bool router_quiet, fanout_quiet, monitor_quiet, door_quiet; /* see wait.h */
    bool stopping;
    bool disk_full;
    uint64_t disk_due_ms;
    uint64_t retention_due_ms;
    uint64_t retention_notice_ms; /* when it may be said again that somebody holds it back */
    uint64_t first_base;          /* oldest offset in the journal */
    uint64_t trim_offset;         /* the last trim handed over goes up to here; 0: none */
    uint64_t journal_bytes;
    uint64_t oldest_time_us;
    uint64_t oldest_end_offset;

    bool views_failed; /* that was the failure: a checkpoint, of a journal that is well */
    baton_err_t err;   /* the first failure; nothing is sent after it */
    char detail[512];
};

static void fail (bn_service_t *self, baton_err_t err, const char *detail)
{
    if (self->err)
        return;
    self->err = err;
    snprintf (self->detail, sizeof self->detail, "%s", *detail ? detail : baton_err_text (err));
}

/*  ---- the conductor and the gate ---- */

static uint64_t persist (bn_effect_t *effect, void *arg)
{
    bn_service_t *self = arg;
    bn_journal_record_t record = {
        .type = effect->record_type,
        .sequence = self->sequence_next++,
        .base = effect->base,
        .count = effect->count,
        .time_us = effect->time_us,
        .body = effect->body->data,
        .body_size = effect->body->size,
    };
    self->unchecked_bytes += record.body_size + RECORD_OVERHEAD;
    self->worked = true;
    if (!bn_journal_batch_add (&self->job.batch, &record, effect->body))
        fail (self, BATON_ERR_MEMORY, "");
    effect->body = NULL;
    return record.sequence;
}

static void step (bn_service_t *self, const bn_conductor_event_t *event)
{
    bn_conductor_step (self->conductor, event, &self->effects);
    if (self->effects.failed || !bn_gate_push (self->gate, &self->effects, persist, self))
        fail (self, BATON_ERR_MEMORY, "");
}

/*  A trim on its way is as good as done: who joins meanwhile is promised nothing below it. It goes
 *  as far as was asked, or the process ends: it is asked for no more than the oldest segment, which
 *  is not the newest, and the views on disk include its records before it is carried out.  */
static uint64_t first_kept (const bn_service_t *self)
{
    return self->trim_offset > self->first_base ? self->trim_offset : self->first_base;
}

static void step_kind (bn_service_t *self, bn_conductor_event_kind_t kind, uint64_t route)
{
    bn_conductor_event_t event = {
        .kind = kind,
        .now = bn_clock_now (),
        .random = kind == BN_CONDUCTOR_START ? bn_random_u64 () : bn_prng_next (&self->prng),
        .route = route,
        .partitions = self->options->partitions,
        .first = first_kept (self),
        .disk_full = self->disk_full,
    };
    step (self, &event);
}

/*  ---- out ---- */

/*  One message to a connection; what is large is tracked. 0, or -1 with errno.  */
static int send_to (bn_service_t *self, const void *id, size_t id_size, bn_blob_t *head,
                    const bn_slice_t *payloads, size_t count)
{
    void *router = self->given.sockets->router;
    self->router_quiet = false;
    if (bn_send_slice (router, NULL, id, id_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) != 0)
        return -1;
    if (count == 0 && head->size < ANSWER_COUNTED_BYTES)
        return bn_send_message (router, head, NULL, 0, ZMQ_DONTWAIT);
    return bn_send_message_tracked (router, head, payloads, count, ZMQ_DONTWAIT);
}

static void send_to_route (bn_service_t *self, bn_route_t *route, bn_blob_t *head,
                           const bn_slice_t *payloads, size_t count)
{
    if (send_to (self, route->id, sizeof route->id, head, payloads, count) == 0)
        return;
    if (errno == EAGAIN)
        bn_log (BN_LOG_WARNING,
                "a connection does not read its answers (its queue is full): it is taken for gone");
    else if (errno != EHOSTUNREACH)
        bn_log (BN_LOG_WARNING, "cannot send: %s", zmq_strerror (errno));
    bn_routes_lost (self->routes, route);
}

/*  Who is still there to be sent to; NULL: gone.  */
static bn_route_t *listener (bn_service_t *self, uint64_t handle)
{
    bn_route_t *route = bn_routes_get (self->routes, handle);
    return route && !route->lost ? route : NULL;
}

static void refuse_answer (bn_service_t *self, bn_route_t *route, uint64_t request)
{
    bn_blob_t *head =
        bn_error_encode (request, BATON_ERR_LIMIT, 0, "too many answers have not been read yet");
    if (head)
        send_to_route (self, route, head, NULL, 0);
    bn_blob_unref (&head);
}

static uint64_t request_of (const bn_blob_t *head)
{
    bn_frame_t frame = {head->data, head->size};
    bn_message_t message = {.request = 0};
    baton_err_t err = bn_message_decode (&message, &frame, 1, NULL);
    uint64_t request = message.request;
    if (!err)
        bn_message_fini (&message);
    return request;
}

/*  An answer without events. What the orchestrator says unasked may be left out: the next heartbeat
 *  tells it.  */
static void send_answer (bn_service_t *self, bn_route_t *route, bn_blob_t *head)
{
    if (head->size >= ANSWER_COUNTED_BYTES) {
        bn_unsent_sweep (&self->unsent);
        if (bn_unsent_room (&self->unsent, route->handle, head->size) == 0) {
            uint64_t request = request_of (head);
            if (request)
                refuse_answer (self, route, request);
            return;
        }
        if (!bn_unsent_add (&self->unsent, route->handle, head, head->size)) {
            fail (self, BATON_ERR_MEMORY, "");
            return;
        }
    }
    send_to_route (self, route, head, NULL, 0);
}

/*  Remembers an answer until it has been sent; false: no memory.  */
static bool remember (bn_service_t *self, const bn_route_t *route, const bn_read_reply_t *reply)
{
    if (reply->section_count == 0)
        return true;
    size_t bytes = 0;
    for (uint32_t i = 0; i < reply->section_count; i++)
        bytes += reply->sections[i].payload.size + BN_UNSENT_SECTION_BYTES;
    bn_blob_t *last = reply->sections[reply->section_count - 1].payload.blob;
    return bn_unsent_add (&self->unsent, route->handle, last, bytes);
}

static void send_events (bn_service_t *self, const bn_effect_t *effect)
{
    bn_route_t *route = listener (self, effect->route);
    if (!route)
        return;
    bn_unsent_sweep (&self->unsent);
    /*  At least one section is sent to those who want no bytes at all, too.  */
    size_t wanted = effect->read->bytes_max > 0 ? effect->read->bytes_max : 1;
    size_t room = bn_unsent_room (&self->unsent, route->handle, wanted);
    if (room == 0) {
        refuse_answer (self, route, effect->read->request);
        return;
    }
    effect->read->bytes_max = (uint32_t)room;
    bn_read_reply_t reply;
    bn_read_service (self->given.recovered->reader, effect->read, &reply);
    bn_slice_t *payloads =
        reply.section_count > 0 ? calloc (reply.section_count, sizeof *payloads) : NULL;
    for (uint32_t i = 0; payloads && i < reply.section_count; i++)
        payloads[i] = reply.sections[i].payload;
    if (!reply.head || (reply.section_count > 0 && !payloads) || !remember (self, route, &reply))
        fail (self, BATON_ERR_MEMORY, "");
    else {
        if (!reply.failed)
            bn_conductor_read_done (self->conductor, effect->route, effect->read->request,
                                    reply.scanned_to, reply.at_tail);
        send_to_route (self, route, reply.head, payloads, reply.section_count);
    }
    free (payloads);
    bn_read_reply_fini (&reply);
}

static void perform (bn_service_t *self, bn_effect_t *effect)
{
    bn_route_t *route;
    switch (effect->kind) {
    case BN_EFFECT_SEND:
        route = listener (self, effect->route);
        if (route)
            send_answer (self, route, effect->head);
        break;
    case BN_EFFECT_FANOUT: {
        bn_slice_t frames[2] = {
            {effect->header, effect->header->data, effect->header->size},
            effect->payload,
        };
        self->fanout_quiet = false;
        /*  XPUB drops for a subscriber whose queue is full; the chain in the header tells it.  */
        if (bn_send_message (self->given.sockets->fanout, effect->head, frames, 2, ZMQ_DONTWAIT) !=
            0)
            bn_log (BN_LOG_WARNING, "cannot fan out: %s", zmq_strerror (errno));
        break;
    }
    case BN_EFFECT_READ:
        send_events (self, effect);
        break;
    case BN_EFFECT_LOG:
        bn_log (effect->level, "%s", effect->text ? effect->text : "");
        break;
    case BN_EFFECT_PERSIST:
        bn_assert (false); /* the gate keeps them */
    }
}

/*  Lets out what is durable, and tells the conductor who turned out to be gone.  */
static void release (bn_service_t *self)
{
    bn_effect_t effect;
    uint64_t handle;
    bool more = true;
    while (more && !self->err) {
        while (!self->err && bn_gate_pop (self->gate, self->durable_sequence, &effect)) {
            perform (self, &effect);
            bn_effect_fini (&effect);
        }
        more = bn_routes_next_gone (self->routes, self->drained, &handle);
        if (more)
            step_kind (self, BN_CONDUCTOR_GONE, handle);
    }
}

/*  ---- in ---- */

/*  A refusal that the shell makes itself, because the conductor cannot see the message.  */
static void refuse (bn_service_t *self, baton_err_t err, const char *text)
{
    const bn_frame_t *frames = self->inbound.frames;
    size_t count = self->inbound.count;
    bn_message_t message = {.request = 0};
    bool decoded =
        count > 1 && bn_message_decode (&message, frames + 1, count - 1, NULL) == BATON_OK;
    uint64_t request = message.request; /* set as far as it could be read */
    if (decoded)
        bn_message_fini (&message);
    bn_blob_t *head = bn_error_encode (request, err, 0, text);
    if (head)
        send_to (self, frames[0].data, frames[0].size, head, NULL, 0);
    bn_blob_unref (&head);
}

static void take_request (bn_service_t *self, bn_time_t now)
{
    bn_inbound_t *inbound = &self->inbound;
    if (inbound->count < 2)
        return;
    bn_route_t *route;
    switch (bn_routes_of_message (self->routes, inbound->frames[0].data, inbound->frames[0].size,
                                  zmq_msg_get (&inbound->messages[1], ZMQ_SRCFD), &route)) {
    case BN_ROUTE_CHOSEN:
        refuse (self, BATON_ERR_ARGUMENT, "the connection must not choose its routing id");
        return;
    case BN_ROUTE_LIMIT:
        refuse (self, BATON_ERR_LIMIT, "too many connections (sessions_max)");
        return;
    case BN_ROUTE_MEMORY:
        fail (self, BATON_ERR_MEMORY, "");
        return;
    case BN_ROUTE_DEAD:
        return;
    case BN_ROUTE_OK:
        break;
    }
    if (inbound->overflow) {
        refuse (self, BATON_ERR_TOO_LARGE, "too many frames");
        return;
    }
    bn_conductor_event_t event = {
        .kind = BN_CONDUCTOR_MESSAGE,
        .now = now,
        .random = bn_prng_next (&self->prng),
        .route = route->handle,
        .frames = inbound->frames + 1,
        .frame_count = inbound->count - 1,
        .first = first_kept (self),
        .disk_full = self->disk_full,
    };
    step (self, &event);
}

static void drain_requests (bn_service_t *self)
{
    bn_time_t now = bn_clock_now ();
    self->drained = self->router_quiet = false;
    for (int i = 0; i < MESSAGES_PER_WAKE && !self->err; i++) {
        if (bn_inbound_receive (&self->inbound, self->given.sockets->router, ZMQ_DONTWAIT,
                                BN_FRAMES_MAX + 1, SIZE_MAX) == 0) {
            take_request (self, now);
            continue;
        }
        if (errno == EINTR)
            continue;
        self->drained = self->router_quiet = errno == EAGAIN;
        if (errno != EAGAIN)
            fail (self, errno == ENOMEM ? BATON_ERR_MEMORY : BATON_ERR_SYSTEM,
                  zmq_strerror (errno));
        return;
    }
}

/*  libzmq keeps the subscriptions itself; the messages about them only have to be read.  */
static void drain_subscriptions (bn_service_t *self)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    for (int i = 0; i < MESSAGES_PER_WAKE; i++)
        if (zmq_msg_recv (&message, self->given.sockets->fanout, ZMQ_DONTWAIT) < 0) {
            self->fanout_quiet = errno == EAGAIN;
            break;
        }
    zmq_msg_close (&message);
}

/*  ---- the journal ---- */

static void take_report (bn_service_t *self, bn_journal_report_t *report)
{
    bn_journal_reader_t *reader = self->given.recovered->reader;
    if (report->err) {
        self->views_failed = !self->err && report->of_views;
        fail (self, report->err, report->detail);
        free (report->extents);
        return;
    }
    if (report->extent_count > 0)
        bn_journal_reader_learn (reader, report->extents, report->extent_count);
    free (report->extents);
    if (report->durable_sequence > self->durable_sequence) {
        self->durable_sequence = report->durable_sequence;
        bn_journal_reader_durable (reader, report->durable_sequence);
    }
    if (report->first_base > self->first_base) {
        bn_log (BN_LOG_INFO,
                "retention: offsets %" PRIu64 " to %" PRIu64 " (%" PRIu64 " events) are let go",
                self->first_base, report->first_base - 1, report->first_base - self->first_base);
        self->first_base = report->first_base;
        bn_journal_reader_trimmed (reader, report->first_base);
        self->retention_due_ms = 0;
    }
    self->journal_bytes = report->bytes;
    self->oldest_time_us = report->oldest_time_us;
    self->oldest_end_offset = report->oldest_end_offset;
    self->journal_idle = report->idle;
    if (report->idle && self->checkpoint_pending) {
        self->checkpoint_sequence = self->checkpoint_pending;
        self->checkpoint_pending = 0;
    }
}

static void ask_report (bn_service_t *self)
{
    bn_journal_report_t report;
    bn_journal_thread_report (self->journal, &report);
    take_report (self, &report);
}

/*  Adds a checkpoint of the state as it is after the gathered batch.  */
static void add_checkpoint (bn_service_t *self)
{
    const bn_state_t *state = bn_conductor_state (self->conductor);
    if (state->sequence == self->checkpoint_sequence)
        return;
    bn_assert (state->sequence == self->sequence_next - 1);
    self->job.checkpoint = bn_checkpoint_new (state->sequence);
    if (!self->job.checkpoint || !bn_state_save (state, bn_checkpoint_put, self->job.checkpoint)) {
        fail (self, BATON_ERR_MEMORY, "");
        return;
    }
    self->checkpoint_pending = state->sequence;
    self->unchecked_bytes = 0;
}

/*  Is the oldest segment past what is to be kept?  */
static bool retention_passed (const bn_service_t *self, bn_time_t now)
{
    const baton_orchestrator_options_t *options = self->options;
    bool by_size = options->retention_bytes > 0 && self->journal_bytes > options->retention_bytes;
    uint64_t age_us = now.wall_us > self->oldest_time_us ? now.wall_us - self->oldest_time_us : 0;
    bool by_age = options->retention_ms > 0 && age_us / 1000 > options->retention_ms;
    return by_size || by_age;
}

/*  Lets the oldest segment go if retention says so and nobody needs it any more.  */
static void add_trim (bn_service_t *self, bn_time_t now)
{
    if (now.mono_ms < self->retention_due_ms)
        return;
    self->retention_due_ms = now.mono_ms + RETENTION_CHECK_MS;
    const bn_state_t *state = bn_conductor_state (self->conductor);
    if (!retention_passed (self, now) || self->oldest_end_offset >= state->tail)
        return;
    uint64_t needed_from = bn_state_needed_from (state);
    if (self->oldest_end_offset > needed_from) {
        if (now.mono_ms >= self->retention_notice_ms)
            bn_log (BN_LOG_WARNING,
                    "retention waits: events from offset %" PRIu64
                    " on are not settled yet, parked, or dead letters",
                    needed_from);
        if (now.mono_ms >= self->retention_notice_ms)
            self->retention_notice_ms = now.mono_ms + RETENTION_NOTICE_MS;
        return;
    }
    /*  Records may go only once the views on disk include them.  */
    if (!self->job.checkpoint)
        add_checkpoint (self);
    uint64_t included =
        self->checkpoint_pending ? self->checkpoint_pending : self->checkpoint_sequence;
    self->job.trim_offset = self->trim_offset = self->oldest_end_offset;
    self->job.trim_sequence = included + 1;
}

/*  Is it little, with nothing to gather behind it? Then another thread is not worth its waking.  */
static bool worth_a_run (bn_service_t *self, uint64_t now_ms)
{
    const bn_journal_job_t *job = &self->job;
    bool large = job->batch.count > RUN_RECORDS_MAX || job->batch.bytes > RUN_BYTES_MAX;
    if (large)
        self->run_after_ms = now_ms + RUN_PAUSE_MS;
    return now_ms >= self->run_after_ms && self->drained && !job->checkpoint &&
           job->trim_offset == 0;
}

/*  Writes what has gathered, or hands it over, if the journal's side is free. RUN_REFUSED: not
 *  written here.  */
static bn_journal_run_t submit (bn_service_t *self, bn_time_t now)
{
    if (!self->journal_idle || self->err)
        return BN_JOURNAL_RUN_REFUSED;
    if (self->unchecked_bytes >= self->options->checkpoint_bytes)
        add_checkpoint (self);
    add_trim (self, now);
    if (self->err ||
        (self->job.batch.count == 0 && !self->job.checkpoint && self->job.trim_offset == 0))
        return BN_JOURNAL_RUN_REFUSED;
    /*  Before the run: it may be the other thread that goes on here.  */
    self->journal_idle = false;
    bn_journal_report_t report;
    bn_journal_run_t run = worth_a_run (self, now.mono_ms)
                               ? bn_journal_thread_run (self->journal, &self->job, &report)
                               : BN_JOURNAL_RUN_REFUSED;
    if (run == BN_JOURNAL_RUN_REFUSED)
        bn_journal_thread_submit (self->journal, &self->job);
    else if (run == BN_JOURNAL_RUN_DONE)
        take_report (self, &report);
    return run;
}

static void check_disk (bn_service_t *self, uint64_t now_ms)
{
    if (now_ms < self->disk_due_ms)
        return;
    self->disk_due_ms = now_ms + DISK_CHECK_MS;
    bn_vfs_t *vfs = self->given.recovered->vfs;
    uint64_t bytes = 0;
    /*  When the file system does not tell, the write itself will.  */
    bool full = vfs->free_bytes (vfs, &bytes) == 0 && bytes < self->options->disk_reserve_bytes;
    if (full && !self->disk_full)
        bn_log (BN_LOG_WARNING,
                "%" PRIu64 " bytes are free, below the reserve of %" PRIu64
                " (disk_reserve_bytes): publishing is refused",
                bytes, self->options->disk_reserve_bytes);
    else if (!full && self->disk_full)
        bn_log (BN_LOG_INFO, "there is room on the disk again: publishing goes on");
    self->disk_full = full;
}

/*  ---- the loop ---- */

static bool intake_open (const bn_service_t *self)
{
    return !self->stopping && bn_gate_bytes (self->gate) + self->job.batch.bytes < GATE_BYTES_MAX &&
           bn_gate_count (self->gate) < GATE_COUNT_MAX;
}

static long poll_timeout_ms (const bn_service_t *self)
{
    if (self->stopping)
        return DISK_CHECK_MS; /* no more ticks: only the journal is waited for */
    uint64_t now_ms = bn_clock_now ().mono_ms;
    uint64_t due_ms = bn_conductor_due_ms (self->conductor);
    if (due_ms <= now_ms)
        return 0;
    return due_ms - now_ms < DISK_CHECK_MS ? (long)(due_ms - now_ms) : DISK_CHECK_MS;
}

enum { POLL_JOURNAL, POLL_STOP, POLL_MONITOR, POLL_DOOR, POLL_FANOUT, POLL_ROUTER, POLL_COUNT };

/*  Waits for something to do, and does what came in.  */
static void wait_and_take (bn_service_t *self)
{
    bn_sockets_t *sockets = self->given.sockets;
    bn_wait_item_t items[POLL_COUNT] = {
        [POLL_JOURNAL] = {.fd = bn_journal_thread_fd (self->journal)},
        [POLL_STOP] = {.fd = self->stopping ? -1 : self->given.stop_fd},
        [POLL_MONITOR] = {.socket = bn_routes_monitor (self->routes), .quiet = self->monitor_quiet},
        [POLL_DOOR] = {.socket = bn_door_monitor (&sockets->door), .quiet = self->door_quiet},
        [POLL_FANOUT] = {.socket = sockets->fanout, .quiet = self->fanout_quiet},
        [POLL_ROUTER] = {.socket = sockets->router, .quiet = self->router_quiet},
    };
    bool open = intake_open (self);
    int rc = bn_wait (items, open ? POLL_COUNT : POLL_ROUTER, poll_timeout_ms (self));
    if (rc < 0 && errno != EINTR)
        fail (self, BATON_ERR_SYSTEM, zmq_strerror (errno));
    if (rc < 0)
        return;
    if (items[POLL_STOP].ready)
        self->stopping = true;
    /*  Nobody but the two that read the monitors touches them, and they empty them.  */
    self->monitor_quiet |= items[POLL_MONITOR].ready;
    self->door_quiet |= items[POLL_DOOR].ready;
    if (items[POLL_MONITOR].ready) {
        self->drained = false;
        if (!bn_routes_update (self->routes))
            fail (self, BATON_ERR_MEMORY, "");
    }
    if (items[POLL_DOOR].ready)
        bn_door_update (&sockets->door);
    if (items[POLL_FANOUT].ready)
        drain_subscriptions (self);
    if (open && !self->stopping)
        drain_requests (self);
    if (items[POLL_JOURNAL].ready && !self->err)
        ask_report (self);
}

static bool all_out (const bn_service_t *self)
{
    return self->journal_idle && self->job.batch.count == 0 && bn_gate_count (self->gate) == 0;
}

/*  So that the next start has nothing to replay. That it failed has to be told, and what it means.
 */
static void final_checkpoint (bn_service_t *self)
{
    add_checkpoint (self);
    if (self->err || !self->job.checkpoint)
        return;
    self->journal_idle = false;
    bn_journal_thread_submit (self->journal, &self->job);
    while (!self->err && !self->journal_idle) {
        zmq_pollitem_t item = {NULL, bn_journal_thread_fd (self->journal), ZMQ_POLLIN, 0};
        zmq_poll (&item, 1, -1);
        ask_report (self);
    }
    if (!self->views_failed)
        return;
    char why[sizeof self->detail];
    memcpy (why, self->detail, sizeof why);
    snprintf (
        self->detail, sizeof self->detail,
        "the final checkpoint failed: %.300s; nothing is lost: the journal has everything, and "
        "the next start reads it from there",
        why);
}

/*  The loop, of whichever thread is on the service's side.  */
static bool serve (void *arg)
{
    bn_service_t *self = arg;
    while (!self->err && !(self->stopping && all_out (self))) {
        bn_time_t now = bn_clock_now ();
        if (self->given.turned_ms)
            atomic_store_explicit (self->given.turned_ms, now.mono_ms, memory_order_relaxed);
        if (self->worked)
            bn_awake_touch (&self->awake, now.mono_ms);
        self->worked = false;
        bn_awake_update (&self->awake, now.mono_ms);
        check_disk (self, now.mono_ms);
        bn_unsent_sweep (&self->unsent);
        if (!self->stopping && now.mono_ms >= bn_conductor_due_ms (self->conductor))
            step_kind (self, BN_CONDUCTOR_TICK, 0);
        bn_journal_run_t run;
        do {
            release (self);
            run = submit (self, now);
        } while (run == BN_JOURNAL_RUN_DONE);
        if (run == BN_JOURNAL_RUN_RELIEVED)
            return false; /* V4: nothing here is this thread's any more */
        if (!self->err)
            wait_and_take (self);
    }
    if (!self->err)
        final_checkpoint (self);
    return true;
}

baton_err_t bn_service_run (bn_service_t *self, char detail[512])
{
    step_kind (self, BN_CONDUCTOR_START, 0);
    bn_journal_thread_serve (self->journal, serve, self);
    memcpy (detail, self->detail, sizeof self->detail);
    return self->err;
}

/*  ---- lifecycle ---- */

static bn_conductor_options_t conductor_options (const bn_service_options_t *given)
{
    const baton_orchestrator_options_t *options = given->options;
    bn_conductor_options_t result = {
        .message_bytes_max = options->message_bytes_max,
        .data_bytes_max = options->data_bytes_max,
        .topics_max = options->topics_max,
        .actors_max = options->actors_max,
        .sessions_max = options->sessions_max,
        .parked_max = options->parked_max,
        .dead_max = options->dead_max,
        .heartbeat_ms = options->heartbeat_ms,
        .session_timeout_ms = options->session_timeout_ms,
        .reconnect_grace_ms = options->reconnect_grace_ms,
        .bundle_section_bytes = BUNDLE_SECTION_BYTES,
    };
    snprintf (result.fanout_endpoint, sizeof result.fanout_endpoint, "%s",
              given->sockets->fanout_endpoint);
    return result;
}

baton_err_t bn_service_new (bn_service_t **service, const bn_service_options_t *given)
{
    *service = NULL;
    bn_service_t *self = calloc (1, sizeof *self);
    if (!self)
        return BATON_ERR_MEMORY;
    const bn_recovered_t *recovered = given->recovered;
    self->given = *given;
    self->options = given->options;
    self->journal_idle = true;
    self->sequence_next = recovered->journal.sequence_next;
    self->durable_sequence = self->sequence_next - 1;
    self->checkpoint_sequence = recovered->checkpoint_sequence;
    self->first_base = recovered->journal.first_base;
    self->oldest_end_offset = UINT64_MAX; /* until the first report */
    bn_inbound_init (&self->inbound);
    bn_effects_init (&self->effects);
    bn_prng_init (&self->prng, bn_random_u64 ());
    if (!bn_awake_init (&self->awake, self->options->keep_awake_ms))
        bn_log (BN_LOG_WARNING, "keep_awake_ms: %s: %s; processors may sleep between events",
                BN_AWAKE_DEVICE, strerror (errno));
    bn_conductor_options_t options = conductor_options (given);
    self->conductor = bn_conductor_new (&options, &given->recovered->state);
    self->gate = bn_gate_new ();
    self->routes = given->sockets->routes;
    bn_journal_thread_options_t journal_options = {
        .writer = recovered->writer,
        .views = recovered->views,
        .sync = (bn_sync_t)self->options->sync,
        .sync_interval_ms = self->options->sync_interval_ms,
        .durable_sequence = self->durable_sequence,
    };
    baton_err_t err = !self->conductor || !self->gate
                          ? BATON_ERR_MEMORY
                          : bn_journal_thread_new (&self->journal, &journal_options);
    if (err)
        bn_service_destroy (&self);
    *service = self;
    return err;
}

void bn_service_destroy (bn_service_t **self_p)
{
    bn_service_t *self = *self_p;
    if (!self)
        return;
    bn_journal_thread_destroy (&self->journal);
    bn_gate_destroy (&self->gate);
    bn_conductor_destroy (&self->conductor);
    bn_effects_fini (&self->effects);
    bn_inbound_fini (&self->inbound);
    bn_unsent_fini (&self->unsent);
    bn_journal_batch_fini (&self->job.batch);
    bn_checkpoint_destroy (&self->job.checkpoint);
    bn_awake_fini (&self->awake);
    free (self);
    *self_p = NULL;
}
