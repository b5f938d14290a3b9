/* SPDX-License-Identifier: MPL-2.0 */

/*  recovery.c - from files to a place to go on from, or to the reason why not.
 *
 *  DESIGN. Records are read forwards until one does not hold. What then decides between "torn"
 *  (unfinished when the machine went down: cut it) and "rot" (was on disk and is damaged: refuse)
 *  is not where the bad record is or whether something follows it: within one unsynced batch a
 *  disk may have written the last sector and not the first. It is whether anybody durable says
 *  that its sequence was synced:
 *
 *    - a later frame in the segment (each carries the highest sequence synced when it was written,
 *      and after each sync a commit frame is laid behind the last record),
 *    - the header of a later segment (a segment is closed only when it is synced),
 *    - the mark file (closing, trimming),
 *    - the views (a checkpoint is made only of what is synced).
 *
 *  A claim, once true, stays true: only what nobody claims is ever cut.
 *
 *  INVARIANT R1: a record whose sequence is claimed is valid, or opening fails with ROT.
 *  INVARIANT R2: behind the end no frame with the segment's tag is left when opening for writing
 *                succeeds, but the commit frame at the end itself: what was cut is wiped, so that
 *                it can not follow a later record that happens to end where it starts.
 *  INVARIANT R3: what opening accepts is on disk when it returns. After an fdatasync that failed
 *                the page cache may hold what the disk never got, and call it clean: what nobody
 *                claims, and header and END of the newest segment, is therefore written again
 *                before it is synced.  */
#include "base/assert.h"
#include "base/plant.h"
#include "journal/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEGMENT_BYTES_DEFAULT (64u << 20)
#define RECORD_BYTES_DEFAULT  (16u << 20)
#define LOOK_BYTES            (256u << 10) /* searched at a time for frames behind the end */

typedef struct {
    bn_vfs_t *vfs;
    bn_journal_options_t options;
    bn_catalog_t catalog;
    bn_journal_reader_t *reader;
    bn_window_t window;
    bn_vfile_t *file;      /* of `segment` */
    bn_segment_t *segment; /* being scanned, in the catalog */
    uint64_t tag;          /* of `segment` */
    uint64_t trusted;
    bn_journal_replay_fn *replay;
    void *arg;
    bn_journal_end_t end; /* as far as scanned */
    uint64_t claim;       /* highest sequence that anybody says was synced */
    uint64_t unproven;    /* position of the first record in `segment` that nobody claims */
    uint64_t last_extent; /* position of the last one told to the reader */
    bool committed;       /* a commit frame lies at the end */
    uint64_t torn;        /* bytes behind the end that were meant as frames */
    char *detail;
} scan_t;

static baton_err_t rot (scan_t *self, const char *reason)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->segment->id);
    return bn_journal_fail (BATON_ERR_ROT, self->detail,
                            "%s, byte %" PRIu64 ": record %" PRIu64 ": %s", name,
                            self->end.position, self->end.sequence_next, reason);
}

static baton_err_t io (scan_t *self, int64_t rc, const char *what)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->segment->id);
    return bn_journal_fail_io (rc, self->detail, name, what);
}

static void claim (scan_t *self, uint64_t sequence)
{
    if (sequence > self->claim)
        self->claim = sequence;
}

/*  ---- reading forwards ---- */

static const char *continues (const scan_t *self, const bn_frame_t *frame)
{
    bool record = frame->kind == BN_FRAME_RECORD;
    bool fits = frame->previous_crc == self->end.crc && frame->base == self->end.tail &&
                frame->sequence + (record ? 0 : 1) == self->end.sequence_next &&
                frame->synced < self->end.sequence_next &&
                frame->base + frame->count >= frame->base;
    return fits ? NULL : "it does not continue the one before it";
}

static void learn (scan_t *self, const bn_frame_t *frame)
{
    uint64_t at = self->end.position;
    if (self->segment->first_time_us == 0)
        self->segment->first_time_us = frame->time_us;
    if (at != BN_SEGMENT_AREA && at - self->last_extent < BN_EXTENT_BYTES)
        return;
    self->last_extent = at;
    bn_extent_t extent = {.segment = self->segment->id,
                          .position = at,
                          .sequence = frame->sequence,
                          .base = frame->base,
                          .time_us = frame->time_us};
    bn_journal_reader_learn (self->reader, &extent, 1);
}

static baton_err_t take_record (scan_t *self, const bn_framed_t *framed)
{
    const bn_frame_t *frame = &framed->frame;
    if (frame->synced + 1 == frame->sequence)
        self->unproven = self->end.position;
    learn (self, frame);
    if (frame->sequence > self->trusted && self->replay) {
        bn_journal_record_t record = {.type = frame->type,
                                      .sequence = frame->sequence,
                                      .base = frame->base,
                                      .count = frame->count,
                                      .time_us = frame->time_us,
                                      .body = framed->body,
                                      .body_size = frame->body_size,
                                      .segment = self->segment->id,
                                      .position = self->end.position};
        baton_err_t err = self->replay (&record, self->arg);
        if (err)
            return err;
    }
    self->end.sequence_next = frame->sequence + 1;
    self->end.tail = frame->base + frame->count;
    self->end.crc = frame->crc;
    self->end.time_us = frame->time_us;
    self->end.position = framed->end;
    return BATON_OK;
}

/*  Reads `segment` to its end, or to the first frame that does not hold (*bad).  */
static baton_err_t scan_segment (scan_t *self, const char **bad)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->segment->id);
    int rc = self->vfs->open (self->vfs, name, false, false, &self->file);
    if (rc != 0)
        return io (self, rc, "open");
    bn_window_file (&self->window, self->file);
    self->tag = bn_segment_tag (self->catalog.mark.salt, self->segment->id);
    self->end.position = self->unproven = BN_SEGMENT_AREA;
    self->end.crc = self->segment->previous_crc;
    self->end.sequence_next = self->segment->first_sequence;
    self->end.tail = self->segment->first_base;
    self->end.ended = self->committed = false;
    for (*bad = NULL;;) {
        bn_framed_t framed;
        int64_t got =
            bn_framed_read (&self->window, self->tag, self->end.position, true, &framed, bad);
        if (got < 0)
            return io (self, got, "read");
        if (!*bad)
            *bad = continues (self, &framed.frame);
        if (*bad)
            return BATON_OK;
        claim (self, framed.frame.synced);
        self->committed = framed.frame.kind == BN_FRAME_COMMIT;
        self->end.ended = framed.frame.kind == BN_FRAME_END;
        if (self->committed)
            return BATON_OK;
        if (self->end.ended) {
            self->end.position = framed.end;
            self->end.crc = framed.frame.crc;
            return BATON_OK;
        }
        baton_err_t err = take_record (self, &framed);
        if (err)
            return err;
    }
}

static void close_segment (scan_t *self)
{
    bn_window_file (&self->window, NULL);
    self->vfs->close (self->vfs, &self->file);
}

/*  ---- the end ---- */

/*  Finds everything behind the end that was meant as a frame: what it claims and how far it goes.
 */
static baton_err_t look_behind (scan_t *self)
{
    uint64_t at = self->end.position + (self->committed ? BN_FRAME_BYTES : 0);
    uint64_t behind = self->end.position;
    for (;;) {
        const uint8_t *bytes;
        int64_t got = bn_window_read (&self->window, at, LOOK_BYTES, &bytes);
        if (got < 0)
            return io (self, got, "read");
        size_t i = 0;
        for (; i + BN_FRAME_BYTES <= (size_t)got; i += 8) {
            if (!bn_frame_tagged (bytes + i, self->tag))
                continue;
            bn_frame_t frame;
            uint64_t end = at + i + BN_FRAME_BYTES;
            if (!bn_frame_decode (&frame, bytes + i, self->tag)) {
                claim (self, frame.synced);
                end += bn_padded (frame.body_size);
            }
            if (end > behind)
                behind = end;
        }
        if (got < (int64_t)LOOK_BYTES)
            break;
        at += i;
    }
    int64_t size = self->vfs->size (self->vfs, self->file);
    if (size < 0)
        return io (self, size, "size");
    if (behind > (uint64_t)size)
        behind = (uint64_t)size;
    self->torn = behind > self->end.position ? behind - self->end.position : 0;
    return BATON_OK;
}

static baton_err_t judge_end (scan_t *self, const char *bad)
{
    if (!self->end.ended) {
        baton_err_t err = look_behind (self);
        if (err)
            return err;
    }
    if (BN_PLANT (torn_tail_is_rot) && self->torn > 0)
        return rot (self, "planted");
    if (self->claim < self->end.sequence_next || BN_PLANT (rot_is_torn_tail))
        return BATON_OK;
    char reason[192];
    snprintf (reason, sizeof reason, "%s; record %" PRIu64 " was on disk",
              bad ? bad : "the journal ends before it", self->claim);
    return rot (self, reason);
}

/*  END is written when the next file is there (W3 of writer.c).  */
static baton_err_t judge_missing (scan_t *self)
{
    char name[BN_SEGMENT_NAME_MAX];
    if (!self->end.ended || self->catalog.next_ready)
        return BATON_OK;
    bn_segment_name (name, self->segment->id + 1);
    return bn_journal_fail (BATON_ERR_ROT, self->detail, "%s: the segment is missing", name);
}

static bn_extent_t start_of (const bn_segment_t *segment)
{
    return (bn_extent_t){.segment = segment->id,
                         .position = BN_SEGMENT_AREA,
                         .sequence = segment->first_sequence,
                         .base = segment->first_base,
                         .time_us = segment->first_time_us};
}

static baton_err_t scan (scan_t *self, size_t first)
{
    bn_catalog_t *catalog = &self->catalog;
    baton_err_t err = BATON_OK;
    for (size_t i = 0; i < catalog->count && !err; i++) {
        const char *bad = NULL;
        bool newest = i + 1 == catalog->count;
        self->segment = &catalog->segments[i];
        bn_extent_t start = start_of (self->segment);
        bn_journal_reader_learn (self->reader, &start, 1);
        if (i < first)
            continue;
        err = scan_segment (self, &bad);
        if (!err && !newest && !(self->end.ended && self->end.position == self->segment->end))
            err = rot (self, bad ? bad : "the segment ends too early");
        if (!err && newest) {
            err = judge_end (self, bad);
            if (!err)
                err = judge_missing (self);
            self->segment->end = self->end.position;
            self->segment->newest_time_us = self->end.time_us;
        }
        if (err || !newest)
            close_segment (self);
    }
    return err;
}

/*  ---- repair ---- */

static int64_t rewrite (scan_t *self, bn_vfile_t *file, uint64_t from, uint64_t to)
{
    while (from < to) {
        const uint8_t *bytes;
        size_t size = to - from < LOOK_BYTES ? (size_t)(to - from) : LOOK_BYTES;
        int64_t got = bn_window_read (&self->window, from, size, &bytes);
        if (got > 0)
            got = self->vfs->pwrite (self->vfs, file, bytes, (size_t)got, from);
        if (got <= 0)
            return got;
        from += (uint64_t)got;
    }
    return 0;
}

static baton_err_t repair (scan_t *self)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->segment->id);
    bn_vfile_t *file;
    int64_t rc = self->vfs->open (self->vfs, name, false, true, &file);
    if (rc != 0)
        return io (self, rc, "open");
    uint64_t end = self->end.position, from = end;
    if (self->end.ended)
        from = end - BN_FRAME_BYTES;
    if (self->claim + 1 < self->end.sequence_next)
        from = self->unproven;
    rc = rewrite (self, file, 0, BN_SEGMENT_AREA);
    if (rc == 0)
        rc = rewrite (self, file, from, end);
    if (rc == 0)
        rc = bn_catalog_fill (self->vfs, file, end, end + self->torn);
    if (rc == 0 && !BN_PLANT (recovery_not_synced))
        rc = self->vfs->datasync (self->vfs, file);
    if (rc == 0)
        rc = self->vfs->sync_directory (self->vfs, BN_JOURNAL_FOLDER);
    self->vfs->close (self->vfs, &file);
    self->end.synced = self->end.sequence_next - 1;
    return rc == 0 ? BATON_OK : io (self, rc, "repair");
}

/*  ---- opening ---- */

static baton_err_t lock (bn_vfs_t *vfs, char detail[512])
{
    int rc = vfs->lock (vfs);
    if (rc != -EWOULDBLOCK)
        return rc == 0 ? BATON_OK : bn_journal_fail_io (rc, detail, "lock", "lock");
    char owner[24] = "";
    bn_vfile_t *file;
    if (vfs->open (vfs, "lock", false, false, &file) == 0) {
        int64_t size = vfs->pread (vfs, file, owner, sizeof owner - 1, 0);
        owner[size > 0 ? size : 0] = '\0';
        owner[strspn (owner, "0123456789")] = '\0';
        vfs->close (vfs, &file);
    }
    return bn_journal_fail (BATON_ERR_LOCKED, detail,
                            "another process (%s) owns the data directory",
                            *owner ? owner : "unknown");
}

static baton_err_t open_files (scan_t *self)
{
    baton_err_t err = self->options.read_only ? BATON_OK : lock (self->vfs, self->detail);
    if (!err)
        err = bn_catalog_open (&self->catalog, self->vfs, &self->options, self->detail);
    if (err)
        return err;
    const bn_segment_t *segments = self->catalog.segments;
    bn_extent_t start = start_of (&segments[0]);
    self->reader = bn_journal_reader_new (self->vfs, self->catalog.mark.salt, &start);
    if (!self->reader)
        return BATON_ERR_MEMORY;
    if (segments[0].first_sequence > self->trusted + 1 && !self->options.read_only)
        return bn_journal_fail (BATON_ERR_NOT_FOUND, self->detail,
                                "the journal begins with record %" PRIu64 ", record %" PRIu64
                                " is needed",
                                segments[0].first_sequence, self->trusted + 1);
    size_t first = 0;
    while (first + 1 < self->catalog.count &&
           segments[first + 1].first_sequence <= self->trusted + 1)
        first++;
    claim (self, self->trusted);
    claim (self, self->catalog.mark.synced);
    err = scan (self, first);
    if (!err && !self->options.read_only)
        err = repair (self);
    close_segment (self);
    return err;
}

baton_err_t bn_journal_open (bn_journal_writer_t **writer, bn_journal_reader_t **reader,
                             bn_vfs_t *vfs, const bn_journal_options_t *options,
                             uint64_t trusted_sequence, bn_journal_replay_fn *replay, void *arg,
                             bn_journal_recovery_t *recovery, char detail[512])
{
    bn_assert (writer && reader && vfs && recovery && detail);
    *writer = NULL;
    *reader = NULL;
    *recovery = (bn_journal_recovery_t){.sequence_next = 1};
    scan_t self = {
        .vfs = vfs, .trusted = trusted_sequence, .replay = replay, .arg = arg, .detail = detail};
    if (options)
        self.options = *options;
    if (self.options.segment_bytes == 0)
        self.options.segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (self.options.record_bytes_max == 0)
        self.options.record_bytes_max = RECORD_BYTES_DEFAULT;
    self.options.segment_bytes = bn_padded (self.options.segment_bytes);
    bn_assert (self.options.segment_bytes >= BN_SEGMENT_AREA + 2 * BN_FRAME_BYTES);
    bn_window_init (&self.window, vfs);
    baton_err_t err = open_files (&self);
    bn_window_fini (&self.window);
    if (!err) {
        *recovery =
            (bn_journal_recovery_t){.sequence_next = self.end.sequence_next,
                                    .tail = self.end.tail,
                                    .first_sequence = self.catalog.segments[0].first_sequence,
                                    .first_base = self.catalog.segments[0].first_base,
                                    .torn_bytes = self.torn,
                                    .created = self.catalog.created};
        bn_journal_reader_durable (self.reader, self.end.sequence_next - 1);
        if (!self.options.read_only)
            err = bn_journal_writer_new (writer, vfs, &self.options, &self.catalog, &self.end,
                                         detail);
    }
    bn_catalog_fini (&self.catalog);
    if (err == BATON_ERR_MEMORY)
        bn_journal_fail (err, detail, "%s", baton_err_text (err));
    if (err)
        bn_journal_reader_destroy (&self.reader);
    *reader = self.reader;
    return err;
}
