/* SPDX-License-Identifier: MPL-2.0 */

/*  reader.c - finds and reads records that are durable, while another thread writes.
 *
 *  DESIGN. The reader has its own file handles and knows where things are from extents: entries
 *  (segment, position, sequence, base, time) of which it keeps the first one per segment for good
 *  and the others for the segments used last. It notes entries for itself while it reads through a
 *  segment, so that old segments are walked through once and not at each seek.
 *
 *  There is one cursor. A seek that lies ahead of it, with no entry in between, goes on from it:
 *  one fetch after the other at the tail costs neither an open nor a search. One that lies in the
 *  record before it, because not all of that could be sent at once, goes back to it: it is still in
 *  the window.
 *
 *  INVARIANT S1: a record with sequence > durable is never shown, and bytes that were read before
 *                its sequence became durable are not used for it.
 *  INVARIANT S2: a bad frame is rot only if the file still has its name. Otherwise it was trimmed
 *                (and maybe recycled) under the open handle, and reading goes on with what is
 *                left.  */
#include "base/assert.h"
#include "journal/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DETAILED_MAX 64 /* segments with more than their first extent */
#define PARTS_MIN    16

typedef struct {
    bn_extent_t start;
    bn_extent_t *extents; /* owned; ascending, without the start; NULL: none */
    size_t count;
    size_t capacity;
    uint64_t used; /* tick of the last use of `extents` */
} part_t;

struct bn_journal_reader {
    bn_vfs_t *vfs;
    uint64_t salt;
    uint64_t durable; /* sequence */
    part_t *parts;    /* owned; one per segment without a hole, oldest first; never none */
    size_t count;
    size_t capacity;
    size_t detailed; /* parts with extents */
    uint64_t tick;

    bn_extent_t cursor; /* the next record; time_us unused */
    bool placed;        /* the cursor is somewhere */
    bn_extent_t before; /* the record that ends at the cursor; sequence 0: not known */
    uint64_t noted;     /* position where the last extent was looked for */

    bn_vfile_t *file; /* of `file_segment`; NULL: none */
    uint64_t file_segment;
    uint64_t tag; /* of `file_segment` */
    bn_window_t window;
    uint64_t window_durable; /* what was durable before the window was read */
};

bn_journal_reader_t *bn_journal_reader_new (bn_vfs_t *vfs, uint64_t salt, const bn_extent_t *start)
{
    bn_journal_reader_t *self = calloc (1, sizeof *self);
    part_t *parts = calloc (PARTS_MIN, sizeof *parts);
    if (!self || !parts) {
        free (self);
        free (parts);
        return NULL;
    }
    self->vfs = vfs;
    self->salt = salt;
    self->parts = parts;
    self->capacity = PARTS_MIN;
    self->parts[self->count++].start = *start;
    bn_window_init (&self->window, vfs);
    return self;
}

static void close_file (bn_journal_reader_t *self)
{
    bn_window_file (&self->window, NULL);
    self->vfs->close (self->vfs, &self->file);
}

void bn_journal_reader_destroy (bn_journal_reader_t **self_p)
{
    bn_journal_reader_t *self = *self_p;
    if (!self)
        return;
    close_file (self);
    bn_window_fini (&self->window);
    for (size_t i = 0; i < self->count; i++)
        free (self->parts[i].extents);
    free (self->parts);
    free (self);
    *self_p = NULL;
}

/*  ---- what it knows ---- */

/*  The part of a segment, or NULL.  */
static part_t *find_part (bn_journal_reader_t *self, uint64_t segment)
{
    /*  Ids are consecutive.  */
    if (segment < self->parts[0].start.segment)
        return NULL;
    uint64_t index = segment - self->parts[0].start.segment;
    return index < self->count ? &self->parts[index] : NULL;
}

static void drop_details (bn_journal_reader_t *self, part_t *part)
{
    if (!part->extents)
        return;
    free (part->extents);
    part->extents = NULL;
    part->count = part->capacity = 0;
    self->detailed--;
}

static void drop_oldest_details (bn_journal_reader_t *self)
{
    part_t *oldest = NULL;
    for (size_t i = 0; i < self->count; i++)
        if (self->parts[i].extents && (!oldest || self->parts[i].used < oldest->used))
            oldest = &self->parts[i];
    bn_assert (oldest);
    drop_details (self, oldest);
}

/*  First extent of a part with position > `position`.  */
static size_t extent_after (const part_t *part, uint64_t position)
{
    size_t low = 0, high = part->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (part->extents[middle].position <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*  An index that does not fit into memory is a slower one, not an error.  */
static void note_extent (bn_journal_reader_t *self, part_t *part, const bn_extent_t *extent)
{
    part->used = ++self->tick;
    size_t at = extent_after (part, extent->position);
    uint64_t before = at > 0 ? part->extents[at - 1].position : part->start.position;
    if (extent->position < before + BN_EXTENT_BYTES)
        return;
    if (at < part->count && part->extents[at].position < extent->position + BN_EXTENT_BYTES)
        return;
    if (part->count == part->capacity) {
        if (!part->extents && self->detailed == DETAILED_MAX)
            drop_oldest_details (self);
        size_t capacity = part->capacity ? part->capacity * 2 : 16;
        bn_extent_t *extents = realloc (part->extents, capacity * sizeof *extents);
        if (!extents)
            return;
        self->detailed += part->extents ? 0 : 1;
        part->extents = extents;
        part->capacity = capacity;
    }
    memmove (part->extents + at + 1, part->extents + at, (part->count - at) * sizeof *extent);
    part->extents[at] = *extent;
    part->count++;
}

/*  Without memory for it the segment is found by walking over from the one before, and so are those
 *  behind it.  */
static void add_part (bn_journal_reader_t *self, const bn_extent_t *start)
{
    if (start->segment != self->parts[self->count - 1].start.segment + 1)
        return;
    if (self->count == self->capacity) {
        size_t capacity = self->capacity * 2;
        part_t *parts = realloc (self->parts, capacity * sizeof *parts);
        if (!parts)
            return;
        self->parts = parts;
        self->capacity = capacity;
    }
    self->parts[self->count++] = (part_t){.start = *start};
}

void bn_journal_reader_learn (bn_journal_reader_t *self, const bn_extent_t *extents, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        part_t *part = find_part (self, extents[i].segment);
        if (!part && extents[i].position == BN_SEGMENT_AREA)
            add_part (self, &extents[i]);
        else if (part && extents[i].position == BN_SEGMENT_AREA)
            part->start.time_us = extents[i].time_us;
        else if (part)
            note_extent (self, part, &extents[i]);
    }
}

void bn_journal_reader_durable (bn_journal_reader_t *self, uint64_t sequence)
{
    if (sequence > self->durable)
        self->durable = sequence;
}

static void drop_first (bn_journal_reader_t *self, size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop_details (self, &self->parts[i]);
    self->count -= count;
    memmove (self->parts, self->parts + count, self->count * sizeof *self->parts);
}

void bn_journal_reader_trimmed (bn_journal_reader_t *self, uint64_t first_base)
{
    size_t count = 0;
    while (count + 1 < self->count && self->parts[count + 1].start.base <= first_base)
        count++;
    drop_first (self, count);
    if (self->placed && self->cursor.segment < self->parts[0].start.segment)
        self->placed = false;
}

uint64_t bn_journal_reader_first (const bn_journal_reader_t *self)
{
    return self->parts[0].start.base;
}

/*  ---- the cursor ---- */

static void place (bn_journal_reader_t *self, const bn_extent_t *extent)
{
    self->cursor = *extent;
    self->placed = true;
    self->noted = self->cursor.position;
    self->before.sequence = 0;
}

static baton_err_t rot (const bn_journal_reader_t *self, const char *reason, char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->cursor.segment);
    return bn_journal_fail (BATON_ERR_ROT, detail, "%s, byte %" PRIu64 ": record %" PRIu64 ": %s",
                            name, self->cursor.position, self->cursor.sequence, reason);
}

static baton_err_t io (const bn_journal_reader_t *self, int64_t rc, const char *what,
                       char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->cursor.segment);
    return bn_journal_fail_io (rc, detail, name, what);
}

typedef struct {
    uint64_t above;
    uint64_t lowest; /* above `above`; UINT64_MAX: none */
} lowest_t;

static bool find_lowest (const char *entry, void *arg)
{
    lowest_t *self = arg;
    uint64_t id;
    if (bn_segment_parse (entry, &id) && id > self->above && id < self->lowest)
        self->lowest = id;
    return true;
}

/*  All segments that it knew are gone, and the extents of newer ones are still on their way: asks
 *  the disk. *found false: there is none.  */
static baton_err_t discover (bn_journal_reader_t *self, bool *found, char detail[512])
{
    lowest_t lowest = {.above = self->cursor.segment, .lowest = UINT64_MAX};
    int64_t rc = self->vfs->list (self->vfs, BN_JOURNAL_FOLDER, find_lowest, &lowest);
    *found = false;
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "list");
    if (lowest.lowest == UINT64_MAX)
        return BATON_OK;
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, lowest.lowest);
    uint8_t area[BN_SEGMENT_AREA];
    bn_vfile_t *file;
    rc = self->vfs->open (self->vfs, name, false, false, &file);
    if (rc == 0) {
        rc = self->vfs->pread (self->vfs, file, area, sizeof area, 0);
        self->vfs->close (self->vfs, &file);
    }
    if (rc < 0)
        return bn_journal_fail_io (rc, detail, name, "read");
    bn_segment_header_t header;
    *found = !bn_segment_header_decode (&header, area, (size_t)rc, lowest.lowest, self->salt);
    if (!*found)
        return BATON_OK;
    bn_extent_t start = {.segment = lowest.lowest,
                         .position = BN_SEGMENT_AREA,
                         .sequence = header.first_sequence,
                         .base = header.first_base,
                         .time_us = header.time_us};
    drop_first (self, self->count - 1);
    drop_details (self, &self->parts[0]);
    self->parts[0].start = start;
    return BATON_OK;
}

/*  The segment under the cursor is gone: trimmed. Goes on with the oldest that is left.  */
static baton_err_t skip_trimmed (bn_journal_reader_t *self, char detail[512])
{
    close_file (self);
    size_t gone = 0;
    while (gone < self->count && self->parts[gone].start.segment <= self->cursor.segment)
        gone++;
    if (gone < self->count)
        drop_first (self, gone);
    else {
        bool found;
        baton_err_t err = discover (self, &found, detail);
        if (err)
            return err;
        if (!found)
            return rot (self, "the segment is missing", detail);
    }
    place (self, &self->parts[0].start);
    return BATON_OK;
}

/*  OK and *gone: the file has lost its name.  */
static baton_err_t open_file (bn_journal_reader_t *self, bool *gone, char detail[512])
{
    *gone = false;
    if (self->file && self->file_segment == self->cursor.segment)
        return BATON_OK;
    close_file (self);
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, self->cursor.segment);
    int rc = self->vfs->open (self->vfs, name, false, false, &self->file);
    *gone = rc == -ENOENT;
    if (rc != 0)
        return *gone ? BATON_OK : io (self, rc, "open", detail);
    bn_window_file (&self->window, self->file);
    self->file_segment = self->cursor.segment;
    self->tag = bn_segment_tag (self->salt, self->file_segment);
    self->window_durable = self->durable;
    return BATON_OK;
}

static const char *check_frame (const bn_journal_reader_t *self, const bn_frame_t *frame)
{
    uint64_t sequence = frame->sequence + (frame->kind == BN_FRAME_RECORD ? 0 : 1);
    if (frame->kind == BN_FRAME_COMMIT || sequence != self->cursor.sequence ||
        frame->base != self->cursor.base)
        return "another record is expected here";
    return NULL;
}

static void next_segment (bn_journal_reader_t *self)
{
    bn_extent_t start = {.segment = self->cursor.segment + 1,
                         .position = BN_SEGMENT_AREA,
                         .sequence = self->cursor.sequence,
                         .base = self->cursor.base};
    place (self, &start);
}

/*  The record under the cursor, which goes over to the next segment where one ends.  */
static baton_err_t look (bn_journal_reader_t *self, bool with_body, bn_framed_t *framed, bool *end,
                         char detail[512])
{
    for (;;) {
        *end = self->cursor.sequence > self->durable;
        if (*end)
            return BATON_OK;
        bool gone;
        baton_err_t err = open_file (self, &gone, detail);
        if (!err && gone)
            err = skip_trimmed (self, detail);
        if (err)
            return err;
        if (gone)
            continue;
        if (self->cursor.sequence > self->window_durable) {
            bn_window_forget (&self->window);
            self->window_durable = self->durable;
        }
        const char *bad;
        int64_t rc = bn_framed_read (&self->window, self->tag, self->cursor.position, with_body,
                                     framed, &bad);
        if (rc < 0)
            return io (self, rc, "read", detail);
        if (!bad)
            bad = check_frame (self, &framed->frame);
        if (!bad && framed->frame.kind == BN_FRAME_RECORD)
            return BATON_OK;
        if (!bad) {
            next_segment (self);
            continue;
        }
        close_file (self); /* S2 */
        err = open_file (self, &gone, detail);
        if (!err)
            err = gone ? skip_trimmed (self, detail) : rot (self, bad, detail);
        if (err)
            return err;
    }
}

static void advance (bn_journal_reader_t *self, const bn_framed_t *framed)
{
    if (self->cursor.position == BN_SEGMENT_AREA ||
        self->cursor.position - self->noted >= BN_EXTENT_BYTES) {
        self->noted = self->cursor.position;
        self->cursor.time_us = framed->frame.time_us;
        bn_journal_reader_learn (self, &self->cursor, 1);
    }
    self->before = self->cursor;
    self->cursor.position = framed->end;
    self->cursor.sequence = framed->frame.sequence + 1;
    self->cursor.base = framed->frame.base + framed->frame.count;
}

baton_err_t bn_journal_next (bn_journal_reader_t *self, bn_journal_record_t *record, bool *end,
                             char detail[512])
{
    bn_assert (self && record && end);
    if (!self->placed)
        place (self, &self->parts[0].start);
    bn_framed_t framed;
    baton_err_t err = look (self, true, &framed, end, detail);
    if (err || *end)
        return err;
    *record = (bn_journal_record_t){.type = framed.frame.type,
                                    .sequence = framed.frame.sequence,
                                    .base = framed.frame.base,
                                    .count = framed.frame.count,
                                    .time_us = framed.frame.time_us,
                                    .body = framed.body,
                                    .body_size = framed.frame.body_size,
                                    .segment = self->cursor.segment,
                                    .position = self->cursor.position};
    advance (self, &framed);
    return BATON_OK;
}

/*  ---- seeking ---- */

typedef struct {
    bool by_time;
    uint64_t value; /* offset, or microseconds */
} goal_t;

/*  Whether the record at an extent may come before what is looked for. Offsets only grow; times may
 *  go backwards where a clock was set, and then the search ends near there, not at the very first.
 */
static bool may_start (const bn_journal_reader_t *self, const goal_t *goal,
                       const bn_extent_t *extent)
{
    if (extent->sequence > self->durable)
        return false;
    return goal->by_time ? extent->time_us < goal->value : extent->base <= goal->value;
}

static const bn_extent_t *best_extent (bn_journal_reader_t *self, const goal_t *goal)
{
    size_t low = 1, high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (may_start (self, goal, &self->parts[middle].start))
            low = middle + 1;
        else
            high = middle;
    }
    part_t *part = &self->parts[low - 1];
    part->used = ++self->tick;
    const bn_extent_t *best = &part->start;
    low = 0, high = part->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (may_start (self, goal, &part->extents[middle]))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &part->extents[low - 1] : best;
}

static bool reached (const goal_t *goal, const bn_frame_t *frame)
{
    return goal->by_time ? frame->time_us >= goal->value : frame->base + frame->count > goal->value;
}

static baton_err_t seek (bn_journal_reader_t *self, const goal_t *goal, char detail[512])
{
    const bn_extent_t *best = best_extent (self, goal);
    bool near = self->placed && !goal->by_time;
    bool back = near && self->before.sequence > 0 && self->before.base <= goal->value &&
                goal->value < self->cursor.base;
    bool stay = near && self->cursor.base <= goal->value && self->cursor.sequence >= best->sequence;
    if (back)
        place (self, &self->before);
    else if (!stay)
        place (self, best);
    for (;;) {
        bn_framed_t framed;
        bool end;
        baton_err_t err = look (self, false, &framed, &end, detail);
        if (err || end || reached (goal, &framed.frame))
            return err;
        advance (self, &framed);
    }
}

baton_err_t bn_journal_seek (bn_journal_reader_t *self, uint64_t offset, char detail[512])
{
    bn_assert (self);
    goal_t goal = {.value = offset};
    return seek (self, &goal, detail);
}

baton_err_t bn_journal_seek_time (bn_journal_reader_t *self, uint64_t time_us, char detail[512])
{
    bn_assert (self);
    goal_t goal = {.by_time = true, .value = time_us};
    return seek (self, &goal, detail);
}
