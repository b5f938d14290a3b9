/* SPDX-License-Identifier: MPL-2.0 */

/*  journal_thread.h - the one crossing between the side of the orchestrator that serves and the one
 *  that writes.
 *
 *  DESIGN. One job at a time: while it is written and synced, the caller gathers the next one
 * (group commit without a timer). A job is records, then possibly a checkpoint, then possibly a
 * trim; it is handed over by value, and what came of it comes back the same way in a report.
 * Nothing else is shared. The views are durable only after the journal that they include: a
 * checkpoint is always preceded by a sync, whatever the policy.
 *
 *  To wake a thread that sleeps, and to be woken by it, takes longer than to write a few records.
 *  So when nothing would gather meanwhile, the service's side may *run* such a job in its own
 *  thread. But a disk can hang, and requests are to be taken in also then. So either of the two
 *  threads can be on either side: the one on the journal's side looks at the runs every few
 *  milliseconds, and when one lasts it relieves the other thread, and serves. The one in the run,
 *  once that ends, reports what came of it and finds itself on the journal's side.
 *
 *         service's side                              journal's side
 *         serves, runs small jobs                     jobs, idle work; looks at runs
 *               │  ▲                                      │  ▲
 *               │  └──────── sees that a run lasts ───────┘  │
 *               └─────────── was relieved in that run ───────┘
 *
 *  With the policy interval a third thread, the syncer, waits for the disk, and records are written
 *  meanwhile: receipts do not wait for a sync, and should not for a slow one. Only when it takes
 *  longer than a second, so that a power cut could take too much, writing waits for it.
 *
 *  INVARIANT J1: after an error nothing more is written, and no report says that anything more is
 *  durable.
 *  INVARIANT J2: one side at a time uses the writer (`user`, under the lock). The syncer touches
 *  nothing but its flight.
 *  INVARIANT J3: one thread at a time is on the service's side. Threads change sides only during a
 *  run, under the lock; the one that was relieved touches nothing of the service afterwards.
 *
 *  Rejected: to run only what is not synced (a write can hang, too); a third thread to look at the
 *  runs (there would still have to be two that can serve).
 *
 *  Called by the thread that is on the service's side.  */
#ifndef BN_JOURNAL_THREAD_H
#define BN_JOURNAL_THREAD_H

#include "journal/journal.h"
#include "journal/views.h"

/*  Records on their way to the disk.  */
typedef struct {
    bn_journal_record_t *records; /* owned; bodies borrowed from blobs */
    bn_blob_t **blobs;            /* owned (counted); blob k holds the body of record k */
    size_t count;
    size_t capacity;
    size_t bytes; /* of the bodies */
} bn_journal_batch_t;

/*  false: no memory; blob is released either way.  */
bool bn_journal_batch_add (bn_journal_batch_t *self, const bn_journal_record_t *record,
                           bn_blob_t *blob);
void bn_journal_batch_fini (bn_journal_batch_t *self);

typedef struct {
    bn_journal_batch_t batch;    /* may be empty */
    bn_checkpoint_t *checkpoint; /* owned; the state after the batch; or NULL */
    uint64_t trim_offset;        /* 0: no trim */
    uint64_t trim_sequence;
} bn_journal_job_t;

typedef struct {
    bool idle;       /* ready for the next job */
    baton_err_t err; /* final */
    bool of_views;   /* ... of a checkpoint, before which all was synced: the journal is well */
    char detail[512];
    uint64_t durable_sequence;
    bn_extent_t *extents; /* owned by the caller: free; written since the last report */
    size_t extent_count;
    uint64_t first_base;        /* oldest offset left after a trim; 0: no trim yet */
    uint64_t bytes;             /* in segments that hold records */
    uint64_t oldest_time_us;    /* newest record in the oldest segment */
    uint64_t oldest_end_offset; /* of the oldest segment */
} bn_journal_report_t;

/*  Serves. true: it is over; false: the thread was relieved in a run.  */
typedef bool (bn_journal_serve_fn) (void *arg);

typedef enum {
    BN_JOURNAL_RUN_REFUSED, /* not possible now, the job is as it was: submit it */
    BN_JOURNAL_RUN_DONE,    /* or failed; *report says it */
    BN_JOURNAL_RUN_RELIEVED /* the other thread serves: return false from serve at once */
} bn_journal_run_t;

typedef struct {
    bn_journal_writer_t *writer; /* borrowed; nobody else uses it from now on */
    bn_views_t *views;           /* borrowed; likewise */
    bn_sync_t sync;
    uint32_t sync_interval_ms;
    uint64_t durable_sequence; /* at the start */
} bn_journal_thread_options_t;

typedef struct bn_journal_thread bn_journal_thread_t;

/*  Errors: MEMORY, SYSTEM.  */
baton_err_t bn_journal_thread_new (bn_journal_thread_t **thread,
                                   const bn_journal_thread_options_t *options);
/*  Waits for the job in hand, ends the thread, syncs what is written (unless the policy is never).
 */
void bn_journal_thread_destroy (bn_journal_thread_t **self_p);

/*  Readable when there is something new to report.  */
int bn_journal_thread_fd (const bn_journal_thread_t *self);
/*  Takes the job over and leaves an empty one. Only when the last report said idle.  */
void bn_journal_thread_submit (bn_journal_thread_t *self, bn_journal_job_t *job);
/*  Calls serve, here or, after a run that lasted, in the other thread, until it returns true.  */
void bn_journal_thread_serve (bn_journal_thread_t *self, bn_journal_serve_fn *serve, void *arg);
/*  Carries out a job of records alone in this thread, which is within serve; leaves an empty one.
 *  Only when the last report said idle. Blocks as long as the disk does.  */
bn_journal_run_t bn_journal_thread_run (bn_journal_thread_t *self, bn_journal_job_t *given,
                                        bn_journal_report_t *report);
/*  What is new since the last call; clears the descriptor. Does not block.  */
void bn_journal_thread_report (bn_journal_thread_t *self, bn_journal_report_t *report);

#endif
