/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/journal_thread.h"
#include "base/assert.h"
#include "shell/clock.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EXTENTS_PER_CALL 64
/*  Preparing a segment takes as long as writing it: only when nothing came for so long.  */
#define IDLE_BEFORE_PREPARE_MS 20
/*  A full disk at that time is no harm yet; it is tried again after so long.  */
#define FULL_BEFORE_PREPARE_MS 1000
/*  How often the journal's side looks at the runs of the service's side; it relieves a run that it
 *  sees for longer than that. It goes on looking for UNWATCH_MS after the last one: to be woken
 *  takes longer than to look.  */
#define WATCH_MS   5
#define UNWATCH_MS 20
/*  With the policy interval writing goes on during a sync, but not for longer than this: it bounds
 *  what a power cut can take.  */
#define SYNC_LATE_MS 1000

struct bn_journal_thread {
    bn_journal_thread_options_t options;
    pthread_t thread;
    int fd;                     /* eventfd: there is a report */
    bn_journal_serve_fn *serve; /* set before the first run */
    void *serve_arg;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;  /* a job, a run that nobody watches, or stop */
    bn_journal_job_t job; /* handed over, not yet taken */
    bool job_set;
    bool stop;
    enum { NOBODY, JOURNAL, SERVICE } user; /* side that uses the writer */
    uint64_t runs;                          /* begun */
    bool watching;                          /* the journal's side looks every WATCH_MS */
    bn_journal_report_t report;             /* gathers until it is asked for */
    enum { LANDED, FLYING, BACK } sync;     /* where `flight` is; FLYING: the syncer's */
    bn_journal_flight_t flight;
    uint64_t late_ms; /* monotonic; FLYING: from then on writing waits for it */
    bool syncer_stop;

    pthread_t syncer;        /* policy interval: waits for the disk, and does nothing else */
    pthread_cond_t take_off; /* FLYING, or syncer_stop */

    /*  Of who uses the writer.  */
    bool in_flight; /* sync is not LANDED */
    uint64_t written_sequence;
    bool dirty;           /* written, not synced */
    bool prepared;        /* the next segment is ready, as far as this side knows */
    bool full;            /* there was no room for it the last time */
    uint64_t sync_due_ms; /* monotonic; while dirty and the policy is interval */
};

/*  ---- batch ---- */

bool bn_journal_batch_add (bn_journal_batch_t *self, const bn_journal_record_t *record,
                           bn_blob_t *blob)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 64;
        bn_journal_record_t *records = realloc (self->records, capacity * sizeof *self->records);
        if (records)
            self->records = records;
        bn_blob_t **blobs = realloc (self->blobs, capacity * sizeof *self->blobs);
        if (blobs)
            self->blobs = blobs;
        if (!records || !blobs) {
            bn_blob_unref (&blob);
            return false;
        }
        self->capacity = capacity;
    }
    self->records[self->count] = *record;
    self->blobs[self->count++] = blob;
    self->bytes += record->body_size;
    return true;
}

void bn_journal_batch_fini (bn_journal_batch_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        bn_blob_unref (&self->blobs[i]);
    free (self->records);
    free (self->blobs);
    *self = (bn_journal_batch_t){.count = 0};
}

/*  ---- the thread ---- */

static void notify (bn_journal_thread_t *self)
{
    uint64_t one = 1;
    ssize_t rc = write (self->fd, &one, sizeof one);
    bn_assert (rc == (ssize_t)sizeof one || errno == EAGAIN);
}

/*  Moves the writer's new extents into the report.  */
static baton_err_t collect_extents (bn_journal_thread_t *self)
{
    bn_extent_t extents[EXTENTS_PER_CALL];
    size_t count;
    baton_err_t err = BATON_OK;
    do {
        count = bn_journal_writer_extents (self->options.writer, extents, EXTENTS_PER_CALL);
        if (count == 0 || err)
            continue;
        bn_journal_report_t *report = &self->report;
        bn_extent_t *all = realloc (report->extents, (report->extent_count + count) * sizeof *all);
        if (!all) {
            err = BATON_ERR_MEMORY;
            continue;
        }
        memcpy (all + report->extent_count, extents, count * sizeof *all);
        report->extents = all;
        report->extent_count += count;
    } while (count == EXTENTS_PER_CALL);
    return err;
}

/*  Puts what came of a step into the report. Under the lock.  */
static void add_outcome (bn_journal_thread_t *self, baton_err_t err, const char *detail, bool idle)
{
    bn_journal_report_t *report = &self->report;
    if (!report->err && !err)
        err = collect_extents (self);
    if (err && !report->err) {
        report->err = err;
        snprintf (report->detail, sizeof report->detail, "%s",
                  *detail ? detail : baton_err_text (err));
    }
    if (!report->err) {
        bool visible = !self->dirty || self->options.sync != BN_SYNC_ALWAYS;
        if (visible)
            report->durable_sequence = self->written_sequence;
        bn_journal_writer_usage (self->options.writer, &report->bytes, &report->oldest_time_us,
                                 &report->oldest_end_offset);
    }
    report->idle = report->idle || idle;
}

static void tell (bn_journal_thread_t *self, baton_err_t err, const char *detail, bool idle)
{
    pthread_mutex_lock (&self->lock);
    add_outcome (self, err, detail, idle);
    pthread_mutex_unlock (&self->lock);
    notify (self);
}

/*  Hands out the report, and begins the next one. Under the lock.  */
static void take_report (bn_journal_thread_t *self, bn_journal_report_t *report)
{
    *report = self->report;
    self->report.extents = NULL;
    self->report.extent_count = 0;
}

static baton_err_t sync_now (bn_journal_thread_t *self, char detail[512])
{
    if (!self->dirty && !self->in_flight)
        return BATON_OK;
    baton_err_t err = bn_journal_sync (self->options.writer, detail);
    self->dirty = err != BATON_OK;
    return err;
}

static baton_err_t write_batch (bn_journal_thread_t *self, const bn_journal_batch_t *batch,
                                char detail[512])
{
    if (batch->count == 0)
        return BATON_OK;
    baton_err_t err = bn_journal_write (self->options.writer, batch->records, batch->count, detail);
    if (err)
        return err;
    self->written_sequence = batch->records[batch->count - 1].sequence;
    self->prepared = false;
    if (!self->dirty)
        self->sync_due_ms = bn_clock_now ().mono_ms + self->options.sync_interval_ms;
    self->dirty = true;
    return self->options.sync == BN_SYNC_ALWAYS ? sync_now (self, detail) : BATON_OK;
}

static baton_err_t run_trim (bn_journal_thread_t *self, const bn_journal_job_t *job,
                             char detail[512])
{
    uint64_t first_base, first_sequence;
    baton_err_t err = bn_journal_trim (self->options.writer, job->trim_offset, job->trim_sequence,
                                       &first_base, &first_sequence, detail);
    if (err)
        return err;
    pthread_mutex_lock (&self->lock);
    self->report.first_base = first_base;
    pthread_mutex_unlock (&self->lock);
    return BATON_OK;
}

static baton_err_t write_views (bn_journal_thread_t *self, bn_checkpoint_t *checkpoint,
                                char detail[512])
{
    baton_err_t err = bn_views_write (self->options.views, checkpoint, detail);
    if (!err)
        return BATON_OK;
    pthread_mutex_lock (&self->lock);
    self->report.of_views = true;
    pthread_mutex_unlock (&self->lock);
    return err;
}

static void run_job (bn_journal_thread_t *self, bn_journal_job_t *job)
{
    char detail[512] = "";
    baton_err_t err = write_batch (self, &job->batch, detail);
    bool more = !err && (job->checkpoint || job->trim_offset > 0);
    if (more) {
        /*  The receipts of the batch do not wait for the rest.  */
        tell (self, BATON_OK, "", false);
        if (job->checkpoint) {
            err = sync_now (self, detail);
            if (!err)
                err = write_views (self, job->checkpoint, detail);
        }
        if (!err && job->trim_offset > 0)
            err = run_trim (self, job, detail);
    }
    bn_journal_batch_fini (&job->batch);
    bn_checkpoint_destroy (&job->checkpoint);
    tell (self, err, detail, true);
}

/*  ---- the journal's side ---- */

typedef enum { STEP_WAIT, STEP_JOB, STEP_IDLE, STEP_LAND, STEP_SERVE, STEP_END } step_t;

/*  The newest run that was seen, and since when; or, before one, since when there was none.  */
typedef struct {
    uint64_t runs;
    uint64_t since_ms;
} seen_t;

/*  Is a sync taking so long that nothing more is written before it is back?  */
static bool late (const bn_journal_thread_t *self)
{
    return self->sync == FLYING && bn_clock_now ().mono_ms >= self->late_ms;
}

/*  When the next sync of the policy interval takes off. While nobody uses the writer.  */
static uint64_t take_off_ms (const bn_journal_thread_t *self)
{
    bool waits = self->options.sync == BN_SYNC_INTERVAL && self->dirty && self->sync == LANDED;
    return waits && !self->report.err ? self->sync_due_ms : UINT64_MAX;
}

/*  When idle work is due. While nobody uses the writer.  */
static uint64_t idle_due_ms (const bn_journal_thread_t *self, uint64_t since_ms)
{
    uint64_t prepare_ms = UINT64_MAX, sync_ms = take_off_ms (self);
    if (!self->prepared && !self->report.err)
        prepare_ms = since_ms + (self->full ? FULL_BEFORE_PREPARE_MS : IDLE_BEFORE_PREPARE_MS);
    return sync_ms < prepare_ms ? sync_ms : prepare_ms;
}

/*  What there is to do; STEP_WAIT: nothing until *until_ms.  */
static step_t look (bn_journal_thread_t *self, seen_t *seen, uint64_t *until_ms)
{
    *until_ms = UINT64_MAX;
    if (self->sync == BACK && self->user != SERVICE)
        return STEP_LAND;
    /*  However many jobs there are, the sync that bounds what a power cut can take comes first.  */
    if (self->job_set && bn_clock_now ().mono_ms >= take_off_ms (self))
        return STEP_IDLE;
    if (self->job_set)
        return late (self) ? STEP_WAIT : STEP_JOB;
    if (self->stop)
        return STEP_END;
    uint64_t now_ms = bn_clock_now ().mono_ms;
    if (self->runs != seen->runs)
        *seen = (seen_t){self->runs, now_ms};
    *until_ms = now_ms + WATCH_MS;
    if (self->user == SERVICE)
        return now_ms >= seen->since_ms + WATCH_MS ? STEP_SERVE : STEP_WAIT;
    if (now_ms >= seen->since_ms + UNWATCH_MS)
        self->watching = false;
    uint64_t due_ms = idle_due_ms (self, seen->since_ms);
    if (!self->watching || due_ms < *until_ms)
        *until_ms = due_ms;
    return now_ms >= due_ms ? STEP_IDLE : STEP_WAIT;
}

static void wait_until (bn_journal_thread_t *self, uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000 * 1000000)};
    if (until_ms == UINT64_MAX)
        pthread_cond_wait (&self->wake, &self->lock);
    else
        pthread_cond_timedwait (&self->wake, &self->lock, &until);
}

/*  Waits for something to do. The writer is this side's until the next call, but at the end.  */
static step_t await_step (bn_journal_thread_t *self, bn_journal_job_t *job)
{
    uint64_t until_ms = UINT64_MAX;
    pthread_mutex_lock (&self->lock);
    if (self->user == JOURNAL)
        self->user = NOBODY;
    seen_t seen = {self->runs, bn_clock_now ().mono_ms};
    step_t step;
    while ((step = look (self, &seen, &until_ms)) == STEP_WAIT)
        wait_until (self, until_ms);
    if (step == STEP_JOB) {
        *job = self->job;
        self->job = (bn_journal_job_t){.trim_offset = 0};
        self->job_set = false;
    }
    if (step != STEP_END)
        self->user = JOURNAL;
    pthread_mutex_unlock (&self->lock);
    return step;
}

/*  ---- syncs of the policy interval ---- */

static void *syncer_main (void *arg)
{
    bn_journal_thread_t *self = arg;
    pthread_mutex_lock (&self->lock);
    while (self->sync == FLYING || !self->syncer_stop) {
        if (self->sync != FLYING) {
            pthread_cond_wait (&self->take_off, &self->lock);
            continue;
        }
        pthread_mutex_unlock (&self->lock);
        bn_journal_sync_wait (&self->flight);
        pthread_mutex_lock (&self->lock);
        self->sync = BACK;
        pthread_cond_signal (&self->wake);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

/*  Lets the syncer wait for what is written by now.  */
static baton_err_t take_off (bn_journal_thread_t *self, char detail[512])
{
    bn_journal_flight_t flight;
    baton_err_t err = bn_journal_sync_begin (self->options.writer, &flight, detail);
    self->dirty = err != BATON_OK;
    if (err || !flight.file)
        return err;
    self->in_flight = true;
    pthread_mutex_lock (&self->lock);
    self->flight = flight;
    self->sync = FLYING;
    self->late_ms = bn_clock_now ().mono_ms + SYNC_LATE_MS;
    pthread_cond_signal (&self->take_off);
    pthread_mutex_unlock (&self->lock);
    return BATON_OK;
}

static baton_err_t land (bn_journal_thread_t *self, char detail[512])
{
    baton_err_t err = bn_journal_sync_end (self->options.writer, &self->flight, detail);
    pthread_mutex_lock (&self->lock);
    self->sync = LANDED;
    pthread_mutex_unlock (&self->lock);
    self->in_flight = false;
    return err;
}

/*  The last one is waited for.  */
static void end_syncer (bn_journal_thread_t *self)
{
    if (self->options.sync != BN_SYNC_INTERVAL)
        return;
    pthread_mutex_lock (&self->lock);
    self->syncer_stop = true;
    pthread_cond_signal (&self->take_off);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->syncer, NULL);
    char detail[512] = "";
    baton_err_t err = self->sync == BACK ? land (self, detail) : BATON_OK;
    if (err)
        tell (self, err, detail, false);
}

/*  Interval syncs and preparing the next segment. Returns what failed.  */
static baton_err_t idle_work (bn_journal_thread_t *self, char detail[512])
{
    if (self->options.sync == BN_SYNC_INTERVAL && self->dirty && !self->in_flight &&
        bn_clock_now ().mono_ms >= self->sync_due_ms)
        return take_off (self, detail);
    if (self->prepared)
        return BATON_OK;
    baton_err_t err = bn_journal_prepare (self->options.writer, detail);
    self->full = err == BATON_ERR_DISK_FULL;
    self->prepared = !self->full && bn_journal_prepared (self->options.writer);
    return self->full ? BATON_OK : err;
}

static bool failed (bn_journal_thread_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool result = self->report.err != BATON_OK;
    pthread_mutex_unlock (&self->lock);
    return result;
}

static void take_job (bn_journal_thread_t *self, bn_journal_job_t *job)
{
    if (!failed (self)) {
        run_job (self, job);
        return;
    }
    bn_journal_batch_fini (&job->batch);
    bn_checkpoint_destroy (&job->checkpoint);
}

/*  true: this thread has relieved the other one; false: it is over.  */
static bool keep_journal (bn_journal_thread_t *self)
{
    bn_journal_job_t job = {.trim_offset = 0};
    char detail[512] = "";
    for (;;) {
        step_t step = await_step (self, &job);
        if (step == STEP_SERVE || step == STEP_END)
            return step == STEP_SERVE;
        if (step == STEP_JOB)
            take_job (self, &job);
        else {
            baton_err_t err = step == STEP_LAND ? land (self, detail) : idle_work (self, detail);
            if (err)
                tell (self, err, detail, false);
        }
    }
}

static void end (bn_journal_thread_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

/*  Either thread: one side after the other, until one of them is at its end.  */
static void take_sides (bn_journal_thread_t *self, bool serves)
{
    bool over = false;
    while (!over) {
        over = serves ? self->serve (self->serve_arg) : !keep_journal (self);
        serves = !serves;
    }
    end (self);
}

static void *journal_thread_main (void *arg)
{
    take_sides (arg, false);
    return NULL;
}

/*  ---- the service's side ---- */

static void release (bn_journal_thread_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    pthread_cond_destroy (&self->take_off);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

static bool start_threads (bn_journal_thread_t *self)
{
    if (self->options.sync == BN_SYNC_INTERVAL &&
        pthread_create (&self->syncer, NULL, syncer_main, self) != 0)
        return false;
    if (pthread_create (&self->thread, NULL, journal_thread_main, self) == 0)
        return true;
    end_syncer (self);
    return false;
}

baton_err_t bn_journal_thread_new (bn_journal_thread_t **thread,
                                   const bn_journal_thread_options_t *options)
{
    *thread = NULL;
    bn_journal_thread_t *self = calloc (1, sizeof *self);
    if (!self)
        return BATON_ERR_MEMORY;
    self->options = *options;
    self->written_sequence = options->durable_sequence;
    self->report.idle = true;
    self->report.durable_sequence = options->durable_sequence;
    bn_journal_writer_usage (options->writer, &self->report.bytes, &self->report.oldest_time_us,
                             &self->report.oldest_end_offset);
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->wake, &monotonic);
    pthread_condattr_destroy (&monotonic);
    pthread_cond_init (&self->take_off, NULL);
    self->fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->fd < 0 || !start_threads (self)) {
        release (self);
        return BATON_ERR_SYSTEM;
    }
    *thread = self;
    return BATON_OK;
}

void bn_journal_thread_destroy (bn_journal_thread_t **self_p)
{
    bn_journal_thread_t *self = *self_p;
    if (!self)
        return;
    end (self);
    pthread_join (self->thread, NULL);
    end_syncer (self);
    char detail[512];
    if (!self->report.err && self->options.sync != BN_SYNC_NEVER)
        sync_now (self, detail); /* if it fails the journal is not marked as closed */
    free (self->report.extents);
    release (self);
    *self_p = NULL;
}

int bn_journal_thread_fd (const bn_journal_thread_t *self)
{
    return self->fd;
}

void bn_journal_thread_serve (bn_journal_thread_t *self, bn_journal_serve_fn *serve, void *arg)
{
    self->serve = serve;
    self->serve_arg = arg;
    take_sides (self, true);
}

/*  Takes the job out of *given, where who relieves this thread, from now on, gathers the next.  */
static bool begin_run (bn_journal_thread_t *self, bn_journal_job_t *given, bn_journal_job_t *job)
{
    pthread_mutex_lock (&self->lock);
    bn_assert (!self->job_set && self->serve);
    bool begins = self->user == NOBODY && !self->report.err && !late (self);
    if (begins) {
        self->user = SERVICE;
        self->runs++;
        self->report.idle = false;
        if (!self->watching)
            pthread_cond_signal (&self->wake);
        self->watching = true;
        *job = *given;
        *given = (bn_journal_job_t){.trim_offset = 0};
    }
    pthread_mutex_unlock (&self->lock);
    return begins;
}

bn_journal_run_t bn_journal_thread_run (bn_journal_thread_t *self, bn_journal_job_t *given,
                                        bn_journal_report_t *report)
{
    bn_journal_job_t job;
    bn_assert (!given->checkpoint && given->trim_offset == 0);
    if (!begin_run (self, given, &job))
        return BN_JOURNAL_RUN_REFUSED;
    char detail[512] = "";
    baton_err_t err = write_batch (self, &job.batch, detail);
    bn_journal_batch_fini (&job.batch);
    pthread_mutex_lock (&self->lock);
    add_outcome (self, err, detail, true);
    bool relieved = self->user == JOURNAL;
    if (!relieved) {
        self->user = NOBODY;
        take_report (self, report);
    }
    pthread_mutex_unlock (&self->lock);
    if (!relieved)
        return BN_JOURNAL_RUN_DONE;
    notify (self);
    return BN_JOURNAL_RUN_RELIEVED;
}

void bn_journal_thread_submit (bn_journal_thread_t *self, bn_journal_job_t *job)
{
    pthread_mutex_lock (&self->lock);
    bn_assert (!self->job_set);
    self->job = *job;
    self->job_set = true;
    self->report.idle = false;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    *job = (bn_journal_job_t){.trim_offset = 0};
}

void bn_journal_thread_report (bn_journal_thread_t *self, bn_journal_report_t *report)
{
    uint64_t count;
    ssize_t rc = read (self->fd, &count, sizeof count);
    (void)rc; /* EAGAIN: nothing is new; the report is as good as the last one */
    pthread_mutex_lock (&self->lock);
    take_report (self, report);
    pthread_mutex_unlock (&self->lock);
}
