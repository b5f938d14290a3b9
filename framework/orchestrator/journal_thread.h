/* SPDX-License-Identifier: MPL-2.0 */

/*  journal_thread.h - the one crossing between the orchestrator's thread and the thread that
 * writes.
 *
 *  DESIGN. One job at a time: while it is written and synced, the caller gathers the next one
 * (group commit without a timer). A job is records, then possibly a checkpoint, then possibly a
 * trim; it is handed over by value, and what came of it comes back the same way in a report.
 * Nothing else is shared. The views are durable only after the journal that they include: a
 * checkpoint is always preceded by a sync, whatever the policy.
 *
 *  INVARIANT J1: after an error nothing more is written, and no report says that anything more is
 *  durable.
 *
 *  Owned and called by the orchestrator's thread.  */
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

typedef struct {
    bn_journal_writer_t *writer; /* borrowed; the thread alone uses it from now on */
    bn_views_t *views;           /* borrowed; likewise */
    bn_sync_t sync;
    uint32_t sync_interval_ms;
    uint64_t durable_sequence; /* at the start */
} bn_journal_thread_options_t;

typedef struct bn_journal_thread bn_journal_thread_t;

/*  Errors: MEMORY, SYSTEM.  */
baton_err_t bn_journal_thread_new (bn_journal_thread_t **thread,
                                   const bn_journal_thread_options_t *options);
/*  Waits for the job in hand, syncs what is written (unless the policy is never), ends the thread.
 */
void bn_journal_thread_destroy (bn_journal_thread_t **self_p);

/*  Readable when there is something new to report.  */
int bn_journal_thread_fd (const bn_journal_thread_t *self);
/*  Takes the job over and leaves an empty one. Only when the last report said idle.  */
void bn_journal_thread_submit (bn_journal_thread_t *self, bn_journal_job_t *job);
/*  What is new since the last call; clears the descriptor. Does not block.  */
void bn_journal_thread_report (bn_journal_thread_t *self, bn_journal_report_t *report);

#endif
