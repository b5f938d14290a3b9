/* SPDX-License-Identifier: MPL-2.0 */

/*  salvage.c - finds the records in the files of a damaged journal.
 *
 *  DESIGN. Nothing is believed but what a checksum vouches for. A segment's number comes from the
 *  header of the file, or, where that is damaged, from its name; a frame belongs to it if it has
 *  the tag of that number. So swapped and doubled files come right by themselves, and what a
 *  recycled file held before stays out. Each segment is searched in all files that may be it, at
 *  every multiple of 8, and what is found is sorted by sequence. Memory is bounded by the records
 *  of one segment.
 *
 *  What follows the last sequence that anybody claims to be on disk (recovery.c) is taken as far as
 *  it is unbroken, and else left: it is an unfinished write, here as at any start.  */
#include "journal/salvage.h"
#include "base/assert.h"
#include "journal/format.h"
#include <baton/version.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t named;   /* number in its name */
    uint64_t segment; /* what it is */
    uint64_t salt;    /* of its header; 0: that is damaged */
    uint64_t size;
    uint64_t first_sequence; /* as its header says; 0: that is damaged */
    uint64_t first_base;
} file_t;

typedef struct {
    bn_frame_t frame;
    uint64_t named; /* file */
    uint64_t position;
} found_t;

struct bn_salvage {
    bn_vfs_t *vfs;
    bn_salvage_note_fn *note;
    void *arg;
    file_t *files; /* owned; by segment */
    size_t file_count;
    size_t file_capacity;
    bool no_memory;
    uint64_t salt;
    uint64_t first_segment;
    size_t next_file;
    found_t *found; /* owned; of the segment at hand, by sequence */
    size_t found_count;
    size_t found_capacity;
    size_t next;    /* in found */
    uint64_t claim; /* as in recovery.c */
    uint64_t last;  /* sequence delivered */
    uint64_t tail;  /* behind it */
    uint32_t last_crc;
    uint64_t told_sequence; /* by the COMMIT, END or header that knows most */
    uint64_t told_tail;
    uint64_t ended;    /* segment with END that was seen last */
    bn_frame_t ending; /* that END */
    bn_frame_t before; /* the one of the segments before the one at hand */
    uint64_t room; /* bytes of the newest segment: no more events than that are behind the last */
    uint64_t torn; /* records left out */
    bn_vfile_t *file;
    uint64_t file_named;
    bn_window_t window;
};

static void note (bn_salvage_t *self, const char *name, const char *what)
{
    char text[256];
    snprintf (text, sizeof text, "%s: %s", name, what);
    if (self->note)
        self->note (text, self->arg);
}

/*  ---- files ---- */

static int64_t open_file (bn_salvage_t *self, uint64_t named)
{
    if (self->file && self->file_named == named)
        return 0;
    bn_window_file (&self->window, NULL);
    self->vfs->close (self->vfs, &self->file);
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, named);
    int rc = self->vfs->open (self->vfs, name, false, false, &self->file);
    self->file_named = named;
    bn_window_file (&self->window, self->file);
    return rc;
}

static bool add_file (const char *entry, void *arg)
{
    bn_salvage_t *self = arg;
    file_t file = {.named = 0};
    if (!bn_segment_parse (entry, &file.named))
        return true;
    if (self->file_count == self->file_capacity) {
        size_t capacity = self->file_capacity ? self->file_capacity * 2 : 64;
        file_t *files = realloc (self->files, capacity * sizeof *files);
        self->no_memory = !files;
        if (!files)
            return false;
        self->files = files;
        self->file_capacity = capacity;
    }
    self->files[self->file_count++] = file;
    return true;
}

static int compare_files (const void *a, const void *b)
{
    const file_t *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->named > y->named) - (x->named < y->named);
}

static int compare_found (const void *a, const void *b)
{
    const found_t *x = a, *y = b;
    if (x->frame.sequence != y->frame.sequence)
        return x->frame.sequence < y->frame.sequence ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

static int64_t read_whole (bn_vfs_t *vfs, const char *name, void *bytes, size_t size)
{
    bn_vfile_t *file;
    int64_t rc = vfs->open (vfs, name, false, false, &file);
    if (rc != 0)
        return rc;
    rc = vfs->pread (vfs, file, bytes, size, 0);
    vfs->close (vfs, &file);
    return rc;
}

static baton_err_t check_format (bn_salvage_t *self, char detail[512])
{
    char text[64] = "", known[64];
    int64_t rc = read_whole (self->vfs, BN_FORMAT_FILE, text, sizeof text - 1);
    unsigned version = 0;
    char newline = 0;
    snprintf (known, sizeof known, "baton %d\n", BATON_JOURNAL_VERSION);
    if (rc >= 0 && strcmp (text, known) == 0)
        return BATON_OK;
    if (rc >= 0 && sscanf (text, "baton %5u%c", &version, &newline) == 2 && newline == '\n' &&
        version > BATON_JOURNAL_VERSION)
        return bn_journal_fail (
            BATON_ERR_FORMAT, detail,
            BN_FORMAT_FILE ": the data has format %u, written by a newer version", version);
    note (self, BN_FORMAT_FILE, rc == -ENOENT ? "it is missing" : "it is damaged");
    return BATON_OK;
}

static void read_mark (bn_salvage_t *self)
{
    uint8_t bytes[BN_MARK_BYTES + 1];
    bn_mark_t mark;
    int64_t rc = read_whole (self->vfs, BN_MARK_FILE, bytes, sizeof bytes);
    const char *bad = rc < 0 ? "it cannot be read" : bn_mark_decode (&mark, bytes, (size_t)rc);
    if (bad) {
        note (self, BN_MARK_FILE, bad);
        return;
    }
    self->salt = mark.salt;
    self->first_segment = mark.first_segment;
    if (mark.synced > self->claim)
        self->claim = mark.synced;
}

/*  The number in the file's own header, whatever its name is.  */
static baton_err_t read_header (bn_salvage_t *self, file_t *file, char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, file->named);
    const uint8_t *bytes = NULL;
    int64_t rc = open_file (self, file->named);
    int64_t size = rc == 0 ? self->vfs->size (self->vfs, self->file) : rc;
    rc = size < 0 ? size : bn_window_read (&self->window, 0, BN_SEGMENT_AREA, &bytes);
    if (rc < 0)
        return bn_journal_fail_io (rc, detail, name, "read");
    file->size = (uint64_t)size;
    file->segment = file->named;
    if (rc < BN_SEGMENT_AREA)
        return BATON_OK;
    bn_segment_header_t header = {.segment = 0};
    /*  Once to learn what it says, once to hear that all of it holds.  */
    bn_segment_header_decode (&header, bytes, (size_t)rc, file->named, 0);
    if (bn_segment_header_decode (&header, bytes, (size_t)rc, header.segment, header.salt))
        return BATON_OK;
    file->segment = header.segment;
    file->salt = header.salt;
    file->first_sequence = header.first_sequence;
    file->first_base = header.first_base;
    return BATON_OK;
}

/*  Whether the file holds records that were meant for the number in its name.  */
static bool begins_with (bn_salvage_t *self, uint64_t named, uint64_t segment)
{
    const uint8_t *bytes;
    return open_file (self, named) == 0 &&
           bn_window_read (&self->window, BN_SEGMENT_AREA, BN_FRAME_BYTES, &bytes) ==
               BN_FRAME_BYTES &&
           bn_frame_tagged (bytes, bn_segment_tag (self->salt, segment));
}

static void judge_file (bn_salvage_t *self, file_t *file, bool newest)
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, file->named);
    if (file->salt == self->salt && file->segment == file->named)
        return;
    if (file->salt == 0) {
        if (!newest || begins_with (self, file->named, file->named))
            note (self, name, "the header is damaged");
    } else if (file->salt != self->salt) {
        note (self, name, "the header is that of another journal");
        file->segment = file->named;
    } else if (begins_with (self, file->named, file->named)) {
        note (self, name, "the header is that of another segment");
        file->segment = file->named;
    } else if (file->segment >= self->first_segment && !newest)
        note (self, name, "it holds another segment");
}

/*  A segment is begun when all before it is on disk.  */
static void hear_header (bn_salvage_t *self, const file_t *file)
{
    if (file->salt != self->salt || file->first_sequence <= self->told_sequence + 1)
        return;
    self->told_sequence = file->first_sequence - 1;
    self->told_tail = file->first_base;
    if (self->claim < self->told_sequence)
        self->claim = self->told_sequence;
}

static baton_err_t read_files (bn_salvage_t *self, char detail[512])
{
    int rc = self->vfs->list (self->vfs, BN_JOURNAL_FOLDER, add_file, self);
    if (rc == 0 && self->no_memory)
        rc = -ENOMEM;
    if (rc != 0 && rc != -ENOENT)
        return bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "list");
    if (self->file_count == 0)
        return bn_journal_fail (BATON_ERR_NOT_FOUND, detail, "there are no segments here");
    uint64_t newest = 0, oldest = UINT64_MAX;
    for (size_t i = 0; i < self->file_count; i++) {
        baton_err_t err = read_header (self, &self->files[i], detail);
        if (err)
            return err;
        newest = self->files[i].named > newest ? self->files[i].named : newest;
        if (self->salt == 0)
            self->salt = self->files[i].salt;
    }
    /*  The newest file may be recycled: what its header says may be trimmed, but if it is what
     *  comes right before the others, it does no harm.  */
    for (size_t i = 0; i < self->file_count; i++)
        if (self->file_count == 1 || self->files[i].named != newest)
            oldest = self->files[i].segment < oldest ? self->files[i].segment : oldest;
    for (size_t i = 0; i < self->file_count; i++)
        if (self->files[i].segment + 1 == oldest)
            oldest = self->files[i].segment;
    if (self->salt == 0)
        return bn_journal_fail (BATON_ERR_ROT, detail,
                                "neither MARK nor any segment tells which journal this is");
    if (self->first_segment == 0)
        self->first_segment = oldest;
    size_t kept = 0;
    for (size_t i = 0; i < self->file_count; i++) {
        file_t *file = &self->files[i];
        if (file->named < self->first_segment && file->segment < self->first_segment)
            continue;
        judge_file (self, file, file->named == newest);
        hear_header (self, file);
        if (file->segment >= self->first_segment)
            self->files[kept++] = *file;
    }
    self->file_count = kept;
    if (kept > 0)
        qsort (self->files, kept, sizeof *self->files, compare_files);
    return BATON_OK;
}

baton_err_t bn_salvage_new (bn_salvage_t **salvage, bn_vfs_t *vfs, uint64_t synced,
                            bn_salvage_note_fn *note_fn, void *arg, char detail[512])
{
    bn_assert (salvage && vfs && detail);
    *detail = '\0';
    bn_salvage_t *self = *salvage = calloc (1, sizeof *self);
    if (!self)
        return bn_journal_fail (BATON_ERR_MEMORY, detail, "%s", baton_err_text (BATON_ERR_MEMORY));
    self->vfs = vfs;
    self->note = note_fn;
    self->arg = arg;
    self->claim = synced;
    bn_window_init (&self->window, vfs);
    baton_err_t err = check_format (self, detail);
    if (!err) {
        read_mark (self);
        err = read_files (self, detail);
    }
    if (err)
        bn_salvage_destroy (salvage);
    return err;
}

void bn_salvage_destroy (bn_salvage_t **self_p)
{
    bn_salvage_t *self = *self_p;
    if (!self)
        return;
    bn_window_file (&self->window, NULL);
    self->vfs->close (self->vfs, &self->file);
    bn_window_fini (&self->window);
    free (self->files);
    free (self->found);
    free (self);
    *self_p = NULL;
}

/*  ---- one segment ---- */

static bool add_found (bn_salvage_t *self, const found_t *found)
{
    if (self->found_count == self->found_capacity) {
        size_t capacity = self->found_capacity ? self->found_capacity * 2 : 256;
        found_t *grown = realloc (self->found, capacity * sizeof *grown);
        if (!grown)
            return false;
        self->found = grown;
        self->found_capacity = capacity;
    }
    self->found[self->found_count++] = *found;
    return true;
}

static void hear (bn_salvage_t *self, const bn_frame_t *frame, uint64_t segment)
{
    if (frame->synced > self->claim)
        self->claim = frame->synced;
    if (frame->kind == BN_FRAME_END) {
        self->ended = segment;
        self->ending = *frame;
    }
    if (frame->kind != BN_FRAME_RECORD && frame->sequence >= self->told_sequence) {
        self->told_sequence = frame->sequence;
        self->told_tail = frame->base;
    }
}

static int64_t search_file (bn_salvage_t *self, const file_t *file)
{
    uint64_t tag = bn_segment_tag (self->salt, file->segment), at = BN_SEGMENT_AREA;
    int64_t rc = open_file (self, file->named);
    while (rc == 0 && at + BN_FRAME_BYTES <= file->size) {
        bn_framed_t framed;
        const char *bad;
        rc = bn_framed_read (&self->window, tag, at, true, &framed, &bad);
        if (rc != 0)
            break;
        if (bad) {
            at += 8;
            continue;
        }
        hear (self, &framed.frame, file->segment);
        found_t found = {.frame = framed.frame, .named = file->named, .position = at};
        if (framed.frame.kind == BN_FRAME_RECORD && !add_found (self, &found))
            return -ENOMEM;
        at = framed.end;
    }
    return rc;
}

/*  Gathers the next segment that holds anything. *more false: there is none.  */
static baton_err_t gather (bn_salvage_t *self, bool *more, char detail[512])
{
    *more = self->next_file < self->file_count;
    self->found_count = self->next = 0;
    if (!*more)
        return BATON_OK;
    uint64_t segment = self->files[self->next_file].segment;
    self->room = 0;
    self->before = self->ending;
    while (self->next_file < self->file_count && self->files[self->next_file].segment == segment) {
        const file_t *file = &self->files[self->next_file++];
        int64_t rc = search_file (self, file);
        if (rc != 0) {
            char name[BN_SEGMENT_NAME_MAX];
            bn_segment_name (name, file->named);
            return bn_journal_fail_io (rc, detail, name, "read");
        }
        self->room = file->size > self->room ? file->size : self->room;
    }
    if (self->found_count > 0)
        qsort (self->found, self->found_count, sizeof *self->found, compare_found);
    return BATON_OK;
}

/*  ---- records ---- */

static baton_err_t deliver (bn_salvage_t *self, const found_t *found, bn_journal_record_t *record,
                            bool *readable, char detail[512])
{
    bn_framed_t framed;
    const char *bad = NULL;
    const bn_frame_t *frame = &found->frame;
    int64_t rc = open_file (self, found->named);
    if (rc == 0)
        rc = bn_framed_read (&self->window, frame->tag, found->position, true, &framed, &bad);
    if (rc != 0) {
        char name[BN_SEGMENT_NAME_MAX];
        bn_segment_name (name, found->named);
        return bn_journal_fail_io (rc, detail, name, "read");
    }
    *readable = !bad;
    if (bad)
        return BATON_OK;
    *record = (bn_journal_record_t){.type = frame->type,
                                    .sequence = frame->sequence,
                                    .base = frame->base,
                                    .count = frame->count,
                                    .time_us = frame->time_us,
                                    .body = framed.body,
                                    .body_size = frame->body_size,
                                    .segment = found->named,
                                    .position = found->position};
    self->last = frame->sequence;
    self->tail = frame->base + frame->count;
    self->last_crc = frame->crc;
    return BATON_OK;
}

/*  Whether a record may follow those that were delivered.  */
static bool follows (const bn_salvage_t *self, const bn_frame_t *frame)
{
    if (frame->base + frame->count < frame->base || frame->sequence == 0)
        return false;
    if (self->last == 0)
        return true;
    if (frame->sequence <= self->last || frame->base < self->tail)
        return false;
    return frame->sequence > self->last + 1 || frame->base == self->tail;
}

/*  Whether a record continues the last one, at once or over the end of a segment.  */
static bool continues (const bn_salvage_t *self, const bn_frame_t *frame)
{
    if (frame->sequence != self->last + 1)
        return false;
    const bn_frame_t *end = &self->before;
    return frame->previous_crc == self->last_crc ||
           (end->sequence == self->last && end->previous_crc == self->last_crc &&
            frame->previous_crc == end->crc);
}

baton_err_t bn_salvage_next (bn_salvage_t *self, bn_journal_record_t *record, bool *end,
                             char detail[512])
{
    *end = false;
    for (;;) {
        while (self->next == self->found_count) {
            bool more;
            baton_err_t err = gather (self, &more, detail);
            *end = !more;
            if (err || *end)
                return err;
        }
        const found_t *found = &self->found[self->next++];
        if (!follows (self, &found->frame))
            continue;
        /*  Nothing after it is claimed, or the claim would be higher.  */
        if (found->frame.sequence > self->claim && self->last > 0 &&
            !continues (self, &found->frame)) {
            self->torn++;
            continue;
        }
        bool readable = false;
        baton_err_t err = deliver (self, found, record, &readable, detail);
        if (err || readable)
            return err;
    }
}

bool bn_salvage_begin (const bn_salvage_t *self, uint64_t *sequence, uint64_t *base)
{
    const file_t *first = self->files;
    *sequence = *base = 0;
    if (self->file_count > 0 && first->segment == self->first_segment &&
        first->salt == self->salt && first->first_sequence > 0) {
        *sequence = first->first_sequence;
        *base = first->first_base;
    } else if (self->first_segment == 1)
        *sequence = 1;
    return *sequence > 0;
}

void bn_salvage_end (const bn_salvage_t *self, uint64_t *sequence, uint64_t *tail, bool *exact)
{
    uint64_t newest = self->file_count > 0 ? self->files[self->file_count - 1].segment : 0;
    *sequence = self->claim > self->last ? self->claim : self->last;
    /*  A segment that ends and has no successor has lost it: with a record, at least.  */
    if (self->ended == newest && *sequence == self->last)
        ++*sequence;
    *tail = self->tail;
    *exact = *sequence == self->last;
    if (!*exact && self->told_sequence >= *sequence && self->told_tail >= self->tail) {
        *exact = true;
        *tail = self->told_tail;
    } else if (!*exact)
        *tail = self->tail + self->room; /* an event takes a byte at least */
}

uint64_t bn_salvage_torn_records (const bn_salvage_t *self)
{
    return self->torn;
}
