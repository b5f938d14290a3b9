/* SPDX-License-Identifier: MPL-2.0 */

/*  writer.c - frames records into segments, syncs, rolls, trims.
 *
 *  DESIGN. Records are framed into a stage and written in large pieces; of large bodies the whole
 *  pages go straight from the caller's memory. The last page of a write is filled up with zeros
 *  (what is behind the end means nothing), so that the kernel need not read it from the disk first
 *  if it is not in the page cache. The next segment is prepared ahead (zeros, synced, renamed,
 *  directory synced), because overwriting written blocks needs no metadata in the sync. While the
 *  newer half of a segment fills up, preparing keeps pace with writing, so that no roll has to wait
 *  for 64 MiB of zeros even if the caller is never idle. Where a segment takes few and large
 *  writes, the next one is only reserved: metadata for each of them costs less than to write
 *  everything twice. What then was not needed so fast is filled when the caller is idle.
 *
 *  A roll is: the next file, END frame, sync the old file, header into the new one, sync it. Only
 *  then records follow. So an earlier segment is always wholly on disk, and a header without
 *  records is harmless.
 *
 *  After a sync a COMMIT frame is laid behind the last record, without a sync of its own: it
 *  survives the death of the process at once, and a power cut from the next sync or writeback on.
 *  The next record is written over it and says the same.
 *
 *  INVARIANT W1: behind `position` there is always room for one more frame (COMMIT or END).
 *  INVARIANT W2: after an error nothing is written any more. A sync that failed is not repeated:
 *                the kernel may have dropped the pages. Running out of space while preparing ahead
 *                is not such an error; nothing of the journal is touched by it.
 *  INVARIANT W3: END is written only when the next file is there for good. So a segment that ends
 *                and has no successor has lost it.  */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/plant.h"
#include "journal/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAGE_BYTES      (1u << 20)
#define STRAIGHT_BYTES   (256u << 10) /* bodies from this size on are not copied */
#define PREPARE_BYTES    (1u << 20)   /* of zeros at a time */
#define PREPARE_PER_BYTE 4            /* zeros per byte written, when keeping pace */
#define LARGE_WRITES     128          /* at most so many fill a segment: they are large ones */

struct bn_journal_writer {
    bn_vfs_t *vfs;
    bn_journal_options_t options;
    bn_catalog_t catalog; /* last segment: the one being written */
    bn_journal_end_t end;
    bn_vfile_t *file; /* of the last segment */
    uint64_t tag;
    uint64_t capacity; /* bytes of `file` that were written before */
    uint8_t *stage;    /* STAGE_BYTES, and a page to fill up with */
    size_t staged;
    uint64_t stage_at; /* position of stage[0] */

    bn_vfile_t *next;      /* next.tmp, being filled; NULL: not begun, or ready */
    uint64_t next_filled;  /* bytes of it that are zero */
    uint64_t owed;         /* bytes of zeros that keeping pace still wants */
    bool spare;            /* spare.tmp can be had instead */
    uint64_t writes;       /* to the last segment */
    uint64_t bare_to;      /* below it space of the last segment is only reserved; 0: none is */
    uint64_t next_bare_to; /* the same of the segment that is ready */

    bn_extent_t *extents; /* owned; not yet fetched */
    size_t extent_count;
    size_t extent_capacity;
    uint64_t last_extent; /* position of the last one in this segment */

    baton_err_t failed; /* sticks (W2) */
};

static bn_segment_t *current (const bn_journal_writer_t *self)
{
    return &self->catalog.segments[self->catalog.count - 1];
}

static baton_err_t fail (bn_journal_writer_t *self, int64_t rc, const char *what, char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, current (self)->id);
    self->failed = bn_journal_fail_io (rc, detail, name, what);
    return self->failed;
}

static baton_err_t refuse (const bn_journal_writer_t *self, char detail[512])
{
    return bn_journal_fail (self->failed, detail, "the journal stopped after an earlier error: %s",
                            baton_err_text (self->failed));
}

static uint64_t to_page (uint64_t at)
{
    return (at + BN_PAGE_BYTES - 1) / BN_PAGE_BYTES * BN_PAGE_BYTES;
}

/*  ---- preparing ---- */

static int64_t prepare_done (bn_journal_writer_t *self, const char *from)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, current (self)->id + 1);
    int64_t rc = self->vfs->rename (self->vfs, from, name);
    if (rc == 0)
        rc = BN_PLANT (directory_not_synced)
                 ? 0
                 : self->vfs->sync_directory (self->vfs, BN_JOURNAL_FOLDER);
    self->catalog.next_ready = rc == 0;
    return rc;
}

static int64_t open_prepared (bn_journal_writer_t *self)
{
    if (self->next)
        return 0;
    self->next_filled = 0;
    return self->vfs->open (self->vfs, BN_NEXT_FILE, true, true, &self->next);
}

static int64_t prepare_zeros (bn_journal_writer_t *self, uint64_t bytes)
{
    int64_t rc = open_prepared (self);
    if (rc != 0)
        return rc;
    uint64_t left = self->options.segment_bytes - self->next_filled;
    uint64_t to = self->next_filled + (bytes < left ? bytes : left);
    rc = bn_catalog_fill (self->vfs, self->next, self->next_filled, to);
    if (rc == 0)
        rc = self->vfs->datasync (self->vfs, self->next);
    if (rc == 0)
        self->next_filled = to;
    bool full = rc == 0 && to == self->options.segment_bytes;
    if (rc != 0 || full)
        self->vfs->close (self->vfs, &self->next);
    return full ? prepare_done (self, BN_NEXT_FILE) : rc;
}

/*  The whole next segment, reserved, or as many zeros where there is no such thing.  */
static int64_t prepare_space (bn_journal_writer_t *self, uint64_t bytes)
{
    int64_t rc = open_prepared (self);
    if (rc != 0)
        return rc;
    rc = self->vfs->reserve (self->vfs, self->next, self->options.segment_bytes);
    if (rc == -EOPNOTSUPP)
        return prepare_zeros (self, bytes);
    if (rc == 0)
        rc = self->vfs->datasync (self->vfs, self->next);
    self->vfs->close (self->vfs, &self->next);
    if (rc == 0)
        rc = prepare_done (self, BN_NEXT_FILE);
    self->next_bare_to = rc == 0 ? self->options.segment_bytes : 0;
    return rc;
}

static bool large_writes (const bn_journal_writer_t *self)
{
    uint64_t filled = self->end.position - BN_SEGMENT_AREA;
    return self->writes * self->options.segment_bytes < LARGE_WRITES * filled;
}

/*  What came of preparing. Running out of space is tried again when it is asked for again.  */
static baton_err_t prepare_result (bn_journal_writer_t *self, int64_t rc, char detail[512])
{
    if (rc == 0)
        return BATON_OK;
    baton_err_t err = bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "prepare a segment");
    if (err != BATON_ERR_DISK_FULL)
        self->failed = err;
    return err;
}

/*  The next segment, or up to `bytes` more of it if it is to be filled.  */
static baton_err_t prepare (bn_journal_writer_t *self, uint64_t bytes, bool reserve,
                            char detail[512])
{
    if (self->catalog.next_ready)
        return BATON_OK;
    /*  A trimmed segment has written blocks already. What is in it has another number and tag.  */
    int64_t rc = self->spare ? prepare_done (self, BN_SPARE_FILE)
                 : reserve   ? prepare_space (self, bytes)
                             : prepare_zeros (self, bytes);
    self->spare = false;
    baton_err_t err = prepare_result (self, rc, detail);
    if (err == BATON_ERR_DISK_FULL) {
        self->vfs->remove (self->vfs, BN_NEXT_FILE); /* give the space back */
        self->owed = 0;
    }
    return err;
}

/*  A piece of what is only reserved, from its end towards `from`.  */
static int64_t fill_piece (bn_journal_writer_t *self, bn_vfile_t *file, uint64_t from, uint64_t *to)
{
    if (from >= *to) {
        *to = 0;
        return 0;
    }
    uint64_t at = *to - from > PREPARE_BYTES ? *to - PREPARE_BYTES : from;
    int64_t rc = bn_catalog_fill (self->vfs, file, at, *to);
    if (rc == 0)
        rc = self->vfs->datasync (self->vfs, file);
    if (rc == 0)
        *to = at > from ? at : 0;
    return rc;
}

/*  In the last segment behind the place of the next frame; when that is done, in the next one.  */
static int64_t fill_bare (bn_journal_writer_t *self)
{
    if (self->bare_to > 0)
        return fill_piece (self, self->file, to_page (self->end.position + BN_FRAME_BYTES),
                           &self->bare_to);
    char name[BN_SEGMENT_NAME_MAX];
    bn_vfile_t *next = NULL;
    bn_segment_name (name, current (self)->id + 1);
    int64_t rc = self->vfs->open (self->vfs, name, false, true, &next);
    if (rc == 0)
        rc = fill_piece (self, next, 0, &self->next_bare_to);
    self->vfs->close (self->vfs, &next);
    return rc;
}

baton_err_t bn_journal_prepare (bn_journal_writer_t *self, char detail[512])
{
    bn_assert (self);
    if (self->failed)
        return refuse (self, detail);
    if (self->bare_to == 0 && self->next_bare_to == 0)
        return prepare (self, PREPARE_BYTES, false, detail);
    baton_err_t err = prepare_result (self, fill_bare (self), detail);
    if (err != BATON_ERR_DISK_FULL)
        return err;
    self->bare_to = self->next_bare_to = 0; /* a file system that never overwrites: it stays so */
    return BATON_OK;
}

bool bn_journal_prepared (const bn_journal_writer_t *self)
{
    bn_assert (self);
    return self->catalog.next_ready && self->bare_to == 0 && self->next_bare_to == 0;
}

static baton_err_t keep_pace (bn_journal_writer_t *self, uint64_t written, char detail[512])
{
    if (self->catalog.next_ready || self->end.position < self->options.segment_bytes / 2)
        return BATON_OK;
    bool reserve = large_writes (self);
    self->owed += PREPARE_PER_BYTE * written;
    if (!reserve && self->owed < PREPARE_BYTES)
        return BATON_OK;
    /*  Whole pieces go past the page cache; less than one is owed only where nothing can be
     *  reserved and segments are small.  */
    uint64_t unit = self->owed < PREPARE_BYTES ? BN_PAGE_BYTES : PREPARE_BYTES;
    uint64_t bytes = self->owed / unit * unit;
    self->owed -= bytes;
    baton_err_t err = prepare (self, bytes, reserve, detail);
    return err == BATON_ERR_DISK_FULL ? BATON_OK : err; /* the roll will tell, if it comes to it */
}

/*  ---- frames ---- */

static baton_err_t flush (bn_journal_writer_t *self, char detail[512])
{
    if (self->staged > 0) {
        uint64_t end = self->stage_at + self->staged, filled = to_page (end);
        size_t more = filled <= self->capacity ? (size_t)(filled - end) : 0;
        memset (self->stage + self->staged, 0, more);
        int64_t rc = self->vfs->pwrite (self->vfs, self->file, self->stage, self->staged + more,
                                        self->stage_at);
        if (rc < 0)
            return fail (self, rc, "write", detail);
    }
    self->stage_at += self->staged;
    self->staged = 0;
    return BATON_OK;
}

static baton_err_t put (bn_journal_writer_t *self, const void *bytes, size_t size, char detail[512])
{
    while (size > 0) {
        size_t room = STAGE_BYTES - self->staged;
        size_t part = size < room ? size : room;
        memcpy (self->stage + self->staged, bytes, part);
        self->staged += part;
        bytes = (const uint8_t *)bytes + part;
        size -= part;
        baton_err_t err = self->staged == STAGE_BYTES ? flush (self, detail) : BATON_OK;
        if (err)
            return err;
    }
    return BATON_OK;
}

static baton_err_t put_body (bn_journal_writer_t *self, const uint8_t *body, size_t size,
                             char detail[512])
{
    static const uint8_t zeros[8];
    baton_err_t err = BATON_OK;
    size_t left = size;
    if (size >= STRAIGHT_BYTES) {
        uint64_t at = self->stage_at + self->staged;
        size_t first = (size_t)(to_page (at) - at);
        size_t pages = (size - first) / BN_PAGE_BYTES * BN_PAGE_BYTES;
        err = put (self, body, first, detail);
        if (!err)
            err = flush (self, detail);
        int64_t rc =
            err ? 0
                : self->vfs->pwrite (self->vfs, self->file, body + first, pages, self->stage_at);
        if (rc < 0)
            return fail (self, rc, "write", detail);
        self->stage_at += pages;
        body += first + pages;
        left -= first + pages;
    }
    if (!err)
        err = put (self, body, left, detail);
    return err ? err : put (self, zeros, (size_t)(bn_padded (size) - size), detail);
}

/*  A frame that is about the records before it: COMMIT or END.  */
static baton_err_t write_closing (bn_journal_writer_t *self, bn_frame_kind_t kind, uint32_t *crc,
                                  char detail[512])
{
    uint8_t bytes[BN_FRAME_BYTES];
    bn_frame_t frame = {.kind = (uint16_t)kind,
                        .tag = self->tag,
                        .sequence = self->end.sequence_next - 1,
                        .base = self->end.tail,
                        .time_us = self->end.time_us,
                        .synced = self->end.synced,
                        .previous_crc = self->end.crc};
    bn_frame_encode (&frame, bytes);
    *crc = frame.crc;
    int64_t rc = self->vfs->pwrite (self->vfs, self->file, bytes, sizeof bytes, self->end.position);
    return rc < 0 ? fail (self, rc, "write", detail) : BATON_OK;
}

static baton_err_t sync_file (bn_journal_writer_t *self, char detail[512])
{
    int rc = BN_PLANT (sync_skipped) ? 0 : self->vfs->datasync (self->vfs, self->file);
    if (rc != 0 && !BN_PLANT (sync_error_ignored))
        return fail (self, rc, "fdatasync", detail);
    self->end.synced = self->end.sequence_next - 1;
    return BATON_OK;
}

static baton_err_t add_extent (bn_journal_writer_t *self, const bn_journal_record_t *record)
{
    uint64_t at = self->end.position;
    if (at != BN_SEGMENT_AREA && at - self->last_extent < BN_EXTENT_BYTES)
        return BATON_OK;
    if (self->extent_count == self->extent_capacity) {
        size_t capacity = self->extent_capacity ? self->extent_capacity * 2 : 64;
        bn_extent_t *extents = realloc (self->extents, capacity * sizeof *extents);
        if (!extents)
            return self->failed = BATON_ERR_MEMORY;
        self->extents = extents;
        self->extent_capacity = capacity;
    }
    self->last_extent = at;
    self->extents[self->extent_count++] = (bn_extent_t){.segment = current (self)->id,
                                                        .position = at,
                                                        .sequence = record->sequence,
                                                        .base = record->base,
                                                        .time_us = record->time_us};
    return BATON_OK;
}

/*  ---- rolling ---- */

static baton_err_t need_next (bn_journal_writer_t *self, char detail[512])
{
    baton_err_t err = BATON_OK;
    while (!self->catalog.next_ready && !err)
        err = prepare (self, self->options.segment_bytes, large_writes (self), detail);
    if (err)
        self->failed = err;
    return err;
}

/*  The first record to come gives the new segment its time.  */
static baton_err_t open_next (bn_journal_writer_t *self, uint64_t time_us, char detail[512])
{
    baton_err_t err = need_next (self, detail);
    if (err)
        return err;
    self->vfs->close (self->vfs, &self->file);
    bn_segment_t segment = {.id = current (self)->id + 1,
                            .first_sequence = self->end.sequence_next,
                            .first_base = self->end.tail,
                            .first_time_us = time_us,
                            .end = BN_SEGMENT_AREA,
                            .previous_crc = self->end.crc};
    bn_segment_header_t header = {.segment = segment.id,
                                  .salt = self->catalog.mark.salt,
                                  .first_sequence = segment.first_sequence,
                                  .first_base = segment.first_base,
                                  .time_us = time_us,
                                  .previous_end = self->end.position - BN_FRAME_BYTES,
                                  .previous_crc = self->end.crc};
    if (!bn_catalog_add (&self->catalog, &segment))
        return self->failed = BATON_ERR_MEMORY;
    self->catalog.next_ready = false;
    self->bare_to = self->next_bare_to;
    self->next_bare_to = 0;
    self->writes = 0;
    uint8_t area[BN_SEGMENT_AREA];
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, segment.id);
    bn_segment_header_encode (&header, area);
    int64_t rc = self->vfs->open (self->vfs, name, false, true, &self->file);
    if (rc == 0)
        rc = self->vfs->pwrite (self->vfs, self->file, area, sizeof area, 0);
    if (rc >= 0)
        rc = self->vfs->datasync (self->vfs, self->file);
    if (rc != 0)
        return fail (self, rc, "open the segment", detail);
    self->tag = bn_segment_tag (header.salt, segment.id);
    self->capacity = self->options.segment_bytes;
    self->end.position = self->stage_at = BN_SEGMENT_AREA;
    self->end.ended = false;
    return BATON_OK;
}

static baton_err_t roll (bn_journal_writer_t *self, uint64_t time_us, char detail[512])
{
    baton_err_t err = need_next (self, detail); /* W3 */
    uint32_t crc = 0;
    if (!err)
        err = flush (self, detail);
    if (!err)
        err = write_closing (self, BN_FRAME_END, &crc, detail);
    if (!err && !BN_PLANT (roll_not_synced))
        err = sync_file (self, detail);
    if (err)
        return err;
    self->end.position += BN_FRAME_BYTES;
    self->end.crc = crc;
    self->end.ended = true;
    current (self)->end = self->end.position;
    return open_next (self, time_us, detail);
}

/*  ---- writing ---- */

static baton_err_t write_one (bn_journal_writer_t *self, const bn_journal_record_t *record,
                              char detail[512])
{
    bn_assert (record->sequence == self->end.sequence_next && record->base == self->end.tail);
    if (record->body_size > self->options.record_bytes_max)
        return bn_journal_fail (self->failed = BATON_ERR_TOO_LARGE, detail,
                                "a record of %zu bytes; the limit is %u", record->body_size,
                                self->options.record_bytes_max);
    uint64_t size = BN_FRAME_BYTES + bn_padded (record->body_size);
    baton_err_t err = BATON_OK;
    if (self->end.ended)
        err = open_next (self, record->time_us, detail);
    else if (self->end.position + size + BN_FRAME_BYTES > self->capacity &&
             self->end.position > BN_SEGMENT_AREA)
        err = roll (self, record->time_us, detail);
    /*  A record larger than a segment has one to itself, which grows.  */
    if (!err && self->end.position + size + BN_FRAME_BYTES > self->capacity)
        self->capacity = self->end.position + size + BN_FRAME_BYTES;
    if (!err)
        err = add_extent (self, record);
    if (err)
        return err;
    static const uint8_t zeros[8];
    bn_frame_t frame = {.kind = BN_FRAME_RECORD,
                        .type = record->type,
                        .count = record->count,
                        .tag = self->tag,
                        .sequence = record->sequence,
                        .base = record->base,
                        .time_us = record->time_us,
                        .synced = BN_PLANT (synced_claimed_early) ? record->sequence - 1
                                                                  : self->end.synced,
                        .body_size = (uint32_t)record->body_size,
                        .previous_crc = self->end.crc};
    frame.body_crc = bn_crc32c (0, record->body, record->body_size);
    frame.body_crc = bn_crc32c (frame.body_crc, zeros,
                                (size_t)(bn_padded (record->body_size) - record->body_size));
    uint8_t bytes[BN_FRAME_BYTES];
    bn_frame_encode (&frame, bytes);
    err = put (self, bytes, sizeof bytes, detail);
    if (!err)
        err = put_body (self, record->body, record->body_size, detail);
    self->end.sequence_next++;
    self->end.tail += record->count;
    self->end.time_us = record->time_us;
    self->end.crc = frame.crc;
    self->end.position += size;
    bn_segment_t *segment = current (self);
    segment->end = self->end.position;
    segment->newest_time_us = record->time_us;
    if (segment->first_time_us == 0)
        segment->first_time_us = record->time_us;
    return err;
}

baton_err_t bn_journal_write (bn_journal_writer_t *self, const bn_journal_record_t *records,
                              size_t count, char detail[512])
{
    bn_assert (self && (records || count == 0));
    if (self->failed)
        return refuse (self, detail);
    baton_err_t err = BATON_OK;
    uint64_t written = 0;
    self->writes++;
    for (size_t i = 0; i < count && !err; i++) {
        err = write_one (self, &records[i], detail);
        written += BN_FRAME_BYTES + records[i].body_size;
    }
    if (!err)
        err = flush (self, detail);
    if (!err)
        err = keep_pace (self, written, detail);
    if (err == BATON_ERR_MEMORY)
        bn_journal_fail (err, detail, "%s", baton_err_text (err));
    return err;
}

baton_err_t bn_journal_sync (bn_journal_writer_t *self, char detail[512])
{
    bn_assert (self);
    if (self->failed)
        return refuse (self, detail);
    if (self->end.synced + 1 == self->end.sequence_next)
        return BATON_OK;
    uint32_t crc;
    baton_err_t err = sync_file (self, detail);
    return err ? err : write_closing (self, BN_FRAME_COMMIT, &crc, detail);
}

/*  With a handle of its own: a roll closes the writer's. What was written to earlier segments is
 *  synced already.  */
baton_err_t bn_journal_sync_begin (bn_journal_writer_t *self, bn_journal_flight_t *flight,
                                   char detail[512])
{
    bn_assert (self && flight);
    *flight = (bn_journal_flight_t){.vfs = self->vfs, .sequence = self->end.sequence_next - 1};
    if (self->failed)
        return refuse (self, detail);
    if (self->end.synced == flight->sequence)
        return BATON_OK;
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, current (self)->id);
    int rc = self->vfs->open (self->vfs, name, false, true, &flight->file);
    return rc == 0 ? BATON_OK : fail (self, rc, "open", detail);
}

void bn_journal_sync_wait (bn_journal_flight_t *flight)
{
    flight->rc = flight->vfs->datasync (flight->vfs, flight->file);
}

baton_err_t bn_journal_sync_end (bn_journal_writer_t *self, bn_journal_flight_t *flight,
                                 char detail[512])
{
    self->vfs->close (self->vfs, &flight->file);
    if (self->failed)
        return refuse (self, detail);
    if (flight->rc != 0)
        return fail (self, flight->rc, "fdatasync", detail);
    if (flight->sequence <= self->end.synced)
        return BATON_OK;
    /*  The mark lies behind records that came meanwhile, and does not speak for them.  */
    self->end.synced =
        BN_PLANT (flight_claims_all) ? self->end.sequence_next - 1 : flight->sequence;
    uint32_t crc;
    return write_closing (self, BN_FRAME_COMMIT, &crc, detail);
}

size_t bn_journal_writer_extents (bn_journal_writer_t *self, bn_extent_t *extents, size_t max)
{
    size_t count = self->extent_count < max ? self->extent_count : max;
    if (count == 0)
        return 0;
    memcpy (extents, self->extents, count * sizeof *extents);
    self->extent_count -= count;
    memmove (self->extents, self->extents + count, self->extent_count * sizeof *extents);
    return count;
}

/*  ---- trimming ---- */

/*  The mark first: from then on the segment is a leftover, whatever of it is still there. Oldest
 *  first, each one durable before the next, so that no hole can appear.  */
static int64_t let_go (bn_journal_writer_t *self, const bn_segment_t *segment)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, segment->id);
    bool reusable = !self->spare && segment->end <= self->options.segment_bytes;
    int64_t rc = 0;
    if (reusable) {
        bn_vfile_t *file;
        rc = self->vfs->open (self->vfs, name, false, false, &file);
        if (rc == 0) {
            reusable = self->vfs->size (self->vfs, file) == (int64_t)self->options.segment_bytes;
            self->vfs->close (self->vfs, &file);
        }
    }
    if (rc == 0)
        rc = reusable ? self->vfs->rename (self->vfs, name, BN_SPARE_FILE)
                      : self->vfs->remove (self->vfs, name);
    if (rc == 0)
        rc = self->vfs->sync_directory (self->vfs, BN_JOURNAL_FOLDER);
    self->spare = self->spare || (rc == 0 && reusable);
    return rc;
}

baton_err_t bn_journal_trim (bn_journal_writer_t *self, uint64_t offset, uint64_t sequence,
                             uint64_t *first_base, uint64_t *first_sequence, char detail[512])
{
    bn_assert (self);
    if (self->failed)
        return refuse (self, detail);
    bn_catalog_t *catalog = &self->catalog;
    size_t count = 0;
    while (count + 1 < catalog->count && catalog->segments[count + 1].first_base <= offset &&
           catalog->segments[count + 1].first_sequence <= sequence)
        count++;
    if (count > 0) {
        /*  That nobody needs it any more is said by records that may not be on disk yet: unless
         *  synced, a power cut would take them back, and not the trim.  */
        baton_err_t err = bn_journal_sync (self, detail);
        if (err)
            return err;
        catalog->mark.first_segment = catalog->segments[count].id;
        catalog->mark.synced = self->end.synced;
        int64_t rc = bn_catalog_write_mark (self->vfs, &catalog->mark);
        for (size_t i = 0; i < count && rc == 0; i++)
            rc = let_go (self, &catalog->segments[i]);
        if (rc != 0)
            return self->failed = bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "trim");
        catalog->count -= count;
        memmove (catalog->segments, catalog->segments + count,
                 catalog->count * sizeof *catalog->segments);
    }
    *first_base = catalog->segments[0].first_base;
    *first_sequence = catalog->segments[0].first_sequence;
    return BATON_OK;
}

void bn_journal_writer_usage (const bn_journal_writer_t *self, uint64_t *bytes,
                              uint64_t *oldest_segment_time_us, uint64_t *oldest_segment_end_offset)
{
    const bn_catalog_t *catalog = &self->catalog;
    *bytes = 0;
    for (size_t i = 0; i < catalog->count; i++)
        *bytes += catalog->segments[i].end;
    *oldest_segment_time_us = catalog->segments[0].newest_time_us;
    *oldest_segment_end_offset = catalog->count > 1 ? catalog->segments[1].first_base : UINT64_MAX;
}

/*  ---- life ---- */

baton_err_t bn_journal_writer_new (bn_journal_writer_t **writer, bn_vfs_t *vfs,
                                   const bn_journal_options_t *options, bn_catalog_t *catalog,
                                   const bn_journal_end_t *end, char detail[512])
{
    bn_journal_writer_t *self = calloc (1, sizeof *self);
    if (!self)
        return BATON_ERR_MEMORY;
    self->vfs = vfs;
    self->options = *options;
    self->catalog = *catalog;
    *catalog = (bn_catalog_t){.count = 0};
    self->end = *end;
    self->stage_at = end->position;
    self->stage = malloc (STAGE_BYTES + BN_PAGE_BYTES);
    if (!self->stage) {
        bn_journal_writer_destroy (&self);
        return BATON_ERR_MEMORY;
    }
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, current (self)->id);
    self->tag = bn_segment_tag (self->catalog.mark.salt, current (self)->id);
    baton_err_t err = BATON_OK;
    int64_t rc = vfs->open (vfs, name, false, true, &self->file);
    int64_t size = rc == 0 ? vfs->size (vfs, self->file) : rc;
    if (size < 0)
        err = fail (self, size, "open", detail);
    self->capacity = size > 0 ? (uint64_t)size : 0;
    uint32_t crc;
    if (!err && !end->ended)
        err = write_closing (self, BN_FRAME_COMMIT, &crc, detail);
    /*  A segment that has ended has no place for that, and its successor may say nothing yet.  */
    if (!err && end->ended && self->catalog.mark.synced < end->synced) {
        self->catalog.mark.synced = end->synced;
        rc = bn_catalog_write_mark (vfs, &self->catalog.mark);
        if (rc != 0)
            err = fail (self, rc, "mark", detail);
    }
    if (err)
        bn_journal_writer_destroy (&self);
    *writer = self;
    return err;
}

/*  Closing says what is synced, so that not even the last record can be taken for a torn one.  */
static void close_cleanly (bn_journal_writer_t *self)
{
    char detail[512];
    if (self->failed || bn_journal_sync (self, detail) != BATON_OK)
        return;
    if (self->catalog.mark.synced == self->end.synced)
        return;
    self->catalog.mark.synced = self->end.synced;
    bn_catalog_write_mark (self->vfs, &self->catalog.mark);
}

void bn_journal_writer_destroy (bn_journal_writer_t **self_p)
{
    bn_journal_writer_t *self = *self_p;
    if (!self)
        return;
    if (self->file)
        close_cleanly (self);
    self->vfs->close (self->vfs, &self->next);
    self->vfs->close (self->vfs, &self->file);
    bn_catalog_fini (&self->catalog);
    free (self->extents);
    free (self->stage);
    free (self);
    *self_p = NULL;
}
