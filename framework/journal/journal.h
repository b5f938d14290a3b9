/* SPDX-License-Identifier: MPL-2.0 */

/*  journal.h - an append-only sequence of checksummed records in segment files.
 *
 *  Two halves that share nothing but files: a *writer* (one thread: frames, writes, syncs, rolls,
 *  marks) and a *reader* (another thread: finds and reads what is durable). What the writer knows
 *  and the reader needs travels in extents, by value. Nothing here knows what a record's body
 *  means. Offsets count events: a record covers [base, base + count). File names and positions
 *  stay inside. Bytes: docs/journal-format.md.
 *
 *  The vfs is opened on the data directory, which looks like this:
 *
 *    lock                                owned by one process; taken before anything else
 *    FORMAT                              text: "baton 1"
 *    journal/MARK                        oldest segment, what was synced at the last close
 *    journal/00000000000000000001.seg    segments
 *    views/                              the checkpoint (views.h); not the journal's business  */
#ifndef BN_JOURNAL_H
#define BN_JOURNAL_H

#include "base/blob.h"
#include "journal/vfs.h"
#include <baton/error.h>

typedef enum { BN_SYNC_ALWAYS, BN_SYNC_INTERVAL, BN_SYNC_NEVER } bn_sync_t;

typedef struct {
    uint64_t segment_bytes;    /* default 64 MiB */
    uint32_t record_bytes_max; /* body; default 16 MiB */
    bool read_only;            /* for verify and dump: no lock, no repair, no writer; goes on where
                                  the journal begins, whatever trusted_sequence says */
    uint64_t salt;             /* of a new journal: any number that nobody can guess; 0: getrandom.
                                  For simulations, which must draw it from their seed */
    uint64_t first_sequence;   /* of a new journal: its first record; 0: 1. Above, it needs views */
    uint64_t first_base;       /* likewise: offset of its first event */
} bn_journal_options_t;

/*  A record handed to or by the journal.  */
typedef struct {
    uint32_t type;
    uint64_t sequence; /* 1, 2, 3, ... no holes */
    uint64_t base;     /* offset of its first event (or of the next one, if it has none) */
    uint32_t count;    /* events */
    uint64_t time_us;  /* wall clock when it was made */
    const uint8_t *body;
    size_t body_size;
    uint64_t segment;  /* reading: where it is, for messages to people */
    uint64_t position; /* reading: byte position in the segment file */
} bn_journal_record_t;

/*  A place where a reader may start: sparse index entry, at most one per 64 KiB written.  */
typedef struct {
    uint64_t segment;
    uint64_t position;
    uint64_t sequence;
    uint64_t base;
    uint64_t time_us;
} bn_extent_t;

typedef struct bn_journal_writer bn_journal_writer_t;
typedef struct bn_journal_reader bn_journal_reader_t;

typedef struct {
    uint64_t sequence_next;
    uint64_t tail;           /* base + count of the last record */
    uint64_t first_sequence; /* oldest record that is still there; = sequence_next: empty */
    uint64_t first_base;
    uint64_t torn_bytes; /* cut off at the end during recovery; 0: none */
    bool created;        /* the directory was empty */
} bn_journal_recovery_t;

/*  Opens for writing: locks (fine if this vfs has the lock already), finds the segments, checks
 *  the newest ones from the last checkpoint on (`trusted_sequence`: what the views already
 *  include; 0: check everything), cuts a torn tail, refuses rot. Then calls `replay` (may be NULL)
 *  for each record with sequence > trusted_sequence, in order; an error from it stops and is
 *  returned. `detail` (512 bytes) says file, position and reason. Errors: LOCKED, PERMISSION, IO,
 *  ROT, FORMAT, DISK_FULL, SYSTEM, MEMORY; NOT_FOUND: the journal no longer reaches back to
 *  trusted_sequence + 1 (read_only: there is none). ROT also if the journal ends before
 *  trusted_sequence: a checkpoint vouches for what it includes, so it may be made only of records
 *  that bn_journal_sync has seen. The reader shows what was recovered. vfs is borrowed and must
 *  outlive both halves.  */
typedef baton_err_t (bn_journal_replay_fn) (const bn_journal_record_t *record, void *arg);

baton_err_t bn_journal_open (bn_journal_writer_t **writer, bn_journal_reader_t **reader,
                             bn_vfs_t *vfs, const bn_journal_options_t *options,
                             uint64_t trusted_sequence, bn_journal_replay_fn *replay, void *arg,
                             bn_journal_recovery_t *recovery, char detail[512]);

/*  ---- writer: the journal thread ---- */
/*  Syncs what was written and marks the journal as closed, unless there was an error.  */
void bn_journal_writer_destroy (bn_journal_writer_t **self_p);
/*  Writes the records behind the last one (in order, sequence and base without holes), rolling as
 *  needed. Not durable yet. Any error is final: the writer refuses everything afterwards. Errors:
 *  those of the disk, TOO_LARGE, MEMORY.  */
baton_err_t bn_journal_write (bn_journal_writer_t *self, const bn_journal_record_t *records,
                              size_t count, char detail[512]);
/*  fdatasync of everything written, then the commit mark rules of docs/journal-format.md.  */
baton_err_t bn_journal_sync (bn_journal_writer_t *self, char detail[512]);

/*  bn_journal_sync in three parts, so that records can be written while the disk is at work: begin
 *  takes what is written by then, wait has it synced, end tells the writer. begin and end are for
 *  the thread that uses the writer; wait may be called in any, whatever the writer does meanwhile,
 *  bn_journal_sync included. One at a time. After a begin that returned OK and set `file`, end must
 *  be called. That a sync beside it cannot miss what this one failed with rests on fsync(2): since
 *  Linux 4.13 each descriptor that was open is told of an error.  */
typedef struct {
    bn_vfs_t *vfs;     /* borrowed */
    bn_vfile_t *file;  /* owned; NULL: nothing to sync */
    uint64_t sequence; /* of the newest record that is included */
    int rc;            /* of the wait: 0, or negative errno */
} bn_journal_flight_t;

baton_err_t bn_journal_sync_begin (bn_journal_writer_t *self, bn_journal_flight_t *flight,
                                   char detail[512]);
void bn_journal_sync_wait (bn_journal_flight_t *flight);
baton_err_t bn_journal_sync_end (bn_journal_writer_t *self, bn_journal_flight_t *flight,
                                 char detail[512]);
/*  Prepares a piece of the next segment if there is none ready: written with zeros, synced; in the
 *  end renamed, directory synced. A piece of 1 MiB, because a disk is busy with 64 of them for so
 *  long that whoever publishes meanwhile would notice. Called when there is nothing better to do;
 *  bn_journal_write does it itself otherwise. DISK_FULL is not final here: nothing of the journal
 *  was touched.  */
baton_err_t bn_journal_prepare (bn_journal_writer_t *self, char detail[512]);
/*  false: there is more for it to do.  */
bool bn_journal_prepared (const bn_journal_writer_t *self);
/*  Copies out the extents since the last call (at most `max`); returns how many.  */
size_t bn_journal_writer_extents (bn_journal_writer_t *self, bn_extent_t *extents, size_t max);
/*  Removes (or recycles) segments whose records all lie below `offset` and below `sequence`; never
 *  the newest. *first_base and *first_sequence: what is left; the caller tells the reader. Any
 *  error is final.  */
baton_err_t bn_journal_trim (bn_journal_writer_t *self, uint64_t offset, uint64_t sequence,
                             uint64_t *first_base, uint64_t *first_sequence, char detail[512]);
/*  Bytes in segments that hold records; time of the newest record in the oldest segment, and where
 *  that ends: UINT64_MAX for the newest one, which a trim never removes.  */
void bn_journal_writer_usage (const bn_journal_writer_t *self, uint64_t *bytes,
                              uint64_t *oldest_segment_time_us,
                              uint64_t *oldest_segment_end_offset);

/*  ---- reader: one other thread ---- */
void bn_journal_reader_destroy (bn_journal_reader_t **self_p);
void bn_journal_reader_learn (bn_journal_reader_t *self, const bn_extent_t *extents, size_t count);
/*  Records with sequence > durable are not shown.  */
void bn_journal_reader_durable (bn_journal_reader_t *self, uint64_t sequence);
void bn_journal_reader_trimmed (bn_journal_reader_t *self, uint64_t first_base);
uint64_t bn_journal_reader_first (const bn_journal_reader_t *self); /* first offset still there */

/*  Puts the cursor on the record that contains `offset` (or the next one with events if it was
 *  trimmed), or on the first record made at or after a time. OK also at the end.  */
baton_err_t bn_journal_seek (bn_journal_reader_t *self, uint64_t offset, char detail[512]);
baton_err_t bn_journal_seek_time (bn_journal_reader_t *self, uint64_t time_us, char detail[512]);
/*  The next record (also those without events); body is borrowed until the next call on this
 *  reader. *record is left alone and *end true at the durable end. ROT: a checksum does not hold.
 */
baton_err_t bn_journal_next (bn_journal_reader_t *self, bn_journal_record_t *record, bool *end,
                             char detail[512]);

#endif
