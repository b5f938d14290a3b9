/* SPDX-License-Identifier: MPL-2.0 */

/*  DESIGN. A journal is made in this order, each step durable before the next: FORMAT, the folder,
 *  segment 1 with its header, MARK. So a journal without MARK was never used, and everything that
 *  is missing later is missing because somebody or something removed it: that is rot, not a new
 *  beginning.
 *
 *  The last file may be one that was prepared and not used. It is told by its header: the header is
 *  synced before the first record is written, and it is zero (or that of another number) until
 *  then. A used segment whose header is damaged still has a frame with its own tag at the start.
 */
#include "journal/catalog.h"
#include <baton/version.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FORMAT_PREFIX "baton "
#define FILL_BYTES    (1u << 20)

typedef struct {
    uint64_t *ids;
    size_t count;
    size_t capacity;
    bool temporary; /* there are leftovers of a preparation */
    bool no_memory;
} listing_t;

void bn_catalog_fini (bn_catalog_t *self)
{
    free (self->segments);
    *self = (bn_catalog_t){.count = 0};
}

bool bn_catalog_add (bn_catalog_t *self, const bn_segment_t *segment)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 16;
        bn_segment_t *segments = realloc (self->segments, capacity * sizeof *segments);
        if (!segments)
            return false;
        self->segments = segments;
        self->capacity = capacity;
    }
    self->segments[self->count++] = *segment;
    return true;
}

/*  ---- small files ---- */

static int64_t read_small (bn_vfs_t *vfs, const char *name, void *bytes, size_t size)
{
    bn_vfile_t *file;
    int rc = vfs->open (vfs, name, false, false, &file);
    if (rc != 0)
        return rc;
    int64_t got = vfs->pread (vfs, file, bytes, size, 0);
    vfs->close (vfs, &file);
    return got;
}

/*  Written aside, synced, renamed, and the directory synced: the old one or the new one.  */
static int64_t write_small (bn_vfs_t *vfs, const char *directory, const char *name,
                            const char *aside, const void *bytes, size_t size)
{
    bn_vfile_t *file;
    int64_t rc = vfs->open (vfs, aside, true, true, &file);
    if (rc != 0)
        return rc;
    rc = vfs->pwrite (vfs, file, bytes, size, 0);
    if (rc >= 0)
        rc = vfs->datasync (vfs, file);
    vfs->close (vfs, &file);
    if (rc == 0)
        rc = vfs->rename (vfs, aside, name);
    return rc == 0 ? vfs->sync_directory (vfs, directory) : rc;
}

int64_t bn_catalog_write_mark (bn_vfs_t *vfs, const bn_mark_t *mark)
{
    uint8_t bytes[BN_MARK_BYTES];
    bn_mark_encode (mark, bytes);
    return write_small (vfs, BN_JOURNAL_FOLDER, BN_MARK_FILE, BN_MARK_FILE BN_TEMPORARY_SUFFIX,
                        bytes, sizeof bytes);
}

int64_t bn_catalog_fill (bn_vfs_t *vfs, bn_vfile_t *file, uint64_t from, uint64_t to)
{
    if (from >= to)
        return 0;
    static _Alignas(BN_PAGE_BYTES) uint8_t zeros[FILL_BYTES]; /* never written: costs no memory */
    int64_t rc = 0;
    while (from < to && rc >= 0) {
        uint64_t size = to - from < FILL_BYTES ? to - from : FILL_BYTES;
        rc = vfs->pwrite (vfs, file, zeros, (size_t)size, from);
        from += size;
    }
    return rc < 0 ? rc : 0;
}

/*  ---- format ---- */

static baton_err_t check_format (bn_vfs_t *vfs, bool *found, char detail[512])
{
    char text[64];
    int64_t rc = read_small (vfs, BN_FORMAT_FILE, text, sizeof text - 1);
    *found = rc != -ENOENT;
    if (rc < 0)
        return *found ? bn_journal_fail_io (rc, detail, BN_FORMAT_FILE, "read") : BATON_OK;
    text[rc] = '\0';
    char *end = text;
    unsigned long version = 0;
    size_t prefix = strlen (FORMAT_PREFIX);
    if (strncmp (text, FORMAT_PREFIX, prefix) == 0 && text[prefix] >= '0' && text[prefix] <= '9')
        version = strtoul (text + prefix, &end, 10);
    if (version == 0 || strcmp (end, "\n") != 0)
        return bn_journal_fail (BATON_ERR_ROT, detail,
                                BN_FORMAT_FILE ": it does not name a format of baton's data");
    if (version > BATON_JOURNAL_VERSION)
        return bn_journal_fail (BATON_ERR_FORMAT, detail,
                                BN_FORMAT_FILE ": the data has format %lu, written by a newer "
                                               "version; this one knows format %d",
                                version, BATON_JOURNAL_VERSION);
    return BATON_OK;
}

static baton_err_t write_format (bn_vfs_t *vfs, char detail[512])
{
    char text[64];
    int size = snprintf (text, sizeof text, FORMAT_PREFIX "%d\n", BATON_JOURNAL_VERSION);
    int64_t rc = write_small (vfs, "", BN_FORMAT_FILE, BN_FORMAT_FILE BN_TEMPORARY_SUFFIX, text,
                              (size_t)size);
    return rc == 0 ? BATON_OK : bn_journal_fail_io (rc, detail, BN_FORMAT_FILE, "write");
}

/*  ---- listing ---- */

static bool list_entry (const char *entry, void *arg)
{
    listing_t *self = arg;
    uint64_t id;
    size_t size = strlen (entry), suffix = strlen (BN_TEMPORARY_SUFFIX);
    if (size > suffix && strcmp (entry + size - suffix, BN_TEMPORARY_SUFFIX) == 0)
        self->temporary = true;
    if (!bn_segment_parse (entry, &id))
        return true;
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 64;
        uint64_t *ids = realloc (self->ids, capacity * sizeof *ids);
        self->no_memory = !ids;
        if (!ids)
            return false;
        self->ids = ids;
        self->capacity = capacity;
    }
    self->ids[self->count++] = id;
    return true;
}

static int compare_ids (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static baton_err_t list_segments (bn_vfs_t *vfs, listing_t *listing, char detail[512])
{
    int rc = vfs->list (vfs, BN_JOURNAL_FOLDER, list_entry, listing);
    if (rc == 0 && listing->no_memory)
        rc = -ENOMEM;
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "list");
    if (listing->count > 0)
        qsort (listing->ids, listing->count, sizeof *listing->ids, compare_ids);
    return BATON_OK;
}

static baton_err_t remove_file (bn_vfs_t *vfs, const char *name, char detail[512])
{
    int rc = vfs->remove (vfs, name);
    if (rc != 0 && rc != -ENOENT)
        return bn_journal_fail_io (rc, detail, name, "remove");
    return BATON_OK;
}

static baton_err_t remove_temporaries (bn_vfs_t *vfs, char detail[512])
{
    baton_err_t err = remove_file (vfs, BN_NEXT_FILE, detail);
    if (!err)
        err = remove_file (vfs, BN_SPARE_FILE, detail);
    if (!err)
        err = remove_file (vfs, BN_MARK_FILE BN_TEMPORARY_SUFFIX, detail);
    return err;
}

/*  What is below the first segment of the mark was being trimmed.  */
static baton_err_t drop_trimmed (bn_vfs_t *vfs, listing_t *listing, uint64_t first, bool read_only,
                                 char detail[512])
{
    size_t below = 0;
    baton_err_t err = BATON_OK;
    if (!read_only && listing->count > 0 && listing->ids[0] < first) {
        int rc = vfs->sync_directory (vfs, BN_JOURNAL_FOLDER); /* the mark before the rest */
        if (rc != 0)
            return bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "sync");
    }
    while (!err && below < listing->count && listing->ids[below] < first) {
        char name[BN_SEGMENT_NAME_MAX];
        bn_segment_name (name, listing->ids[below++]);
        if (!read_only)
            err = remove_file (vfs, name, detail);
    }
    listing->count -= below;
    if (below > 0)
        memmove (listing->ids, listing->ids + below, listing->count * sizeof *listing->ids);
    return err;
}

/*  ---- a new journal ---- */

static uint64_t first_sequence (const bn_journal_options_t *options)
{
    return options->first_sequence > 0 ? options->first_sequence : 1;
}

static int64_t write_first_segment (bn_vfs_t *vfs, const bn_journal_options_t *options,
                                    uint64_t salt)
{
    uint64_t segment_bytes = options->segment_bytes;
    char name[BN_SEGMENT_NAME_MAX];
    uint8_t area[BN_SEGMENT_AREA];
    bn_segment_header_t header = {.segment = 1,
                                  .salt = salt,
                                  .first_sequence = first_sequence (options),
                                  .first_base = options->first_base};
    bn_segment_name (name, 1);
    bn_segment_header_encode (&header, area);
    bn_vfile_t *file;
    int64_t rc = vfs->open (vfs, BN_NEXT_FILE, true, true, &file);
    if (rc != 0)
        return rc;
    rc = vfs->pwrite (vfs, file, area, sizeof area, 0);
    if (rc >= 0)
        rc = bn_catalog_fill (vfs, file, BN_SEGMENT_AREA, segment_bytes);
    if (rc == 0)
        rc = vfs->datasync (vfs, file);
    vfs->close (vfs, &file);
    if (rc == 0)
        rc = vfs->rename (vfs, BN_NEXT_FILE, name);
    return rc == 0 ? vfs->sync_directory (vfs, BN_JOURNAL_FOLDER) : rc;
}

/*  An interrupted creation may have left segment 1, without records.  */
static baton_err_t check_unused (bn_vfs_t *vfs, const listing_t *listing, char detail[512])
{
    uint8_t bytes[BN_SEGMENT_AREA + BN_FRAME_BYTES] = {0};
    static const uint8_t zeros[BN_FRAME_BYTES];
    if (listing->count == 0)
        return BATON_OK;
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, listing->ids[0]);
    int64_t rc = read_small (vfs, name, bytes, sizeof bytes);
    if (rc < 0)
        return bn_journal_fail_io (rc, detail, name, "read");
    if (listing->count > 1 || listing->ids[0] != 1 ||
        memcmp (bytes + BN_SEGMENT_AREA, zeros, sizeof zeros) != 0)
        return bn_journal_fail (BATON_ERR_ROT, detail,
                                BN_MARK_FILE
                                ": it is missing, but there are segments with records");
    return BATON_OK;
}

static baton_err_t create (bn_catalog_t *self, bn_vfs_t *vfs, const bn_journal_options_t *options,
                           const listing_t *listing, char detail[512])
{
    baton_err_t err = check_unused (vfs, listing, detail);
    if (err)
        return err;
    self->mark = (bn_mark_t){.salt = options->salt, .first_segment = 1};
    if (self->mark.salt == 0 &&
        getrandom (&self->mark.salt, sizeof self->mark.salt, 0) != sizeof self->mark.salt)
        return bn_journal_fail (BATON_ERR_SYSTEM, detail, "getrandom: %s", strerror (errno));
    int64_t rc = write_first_segment (vfs, options, self->mark.salt);
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "create the first segment");
    rc = bn_catalog_write_mark (vfs, &self->mark);
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, BN_MARK_FILE, "write");
    self->created = true;
    bn_segment_t first = {.id = 1,
                          .first_sequence = first_sequence (options),
                          .first_base = options->first_base,
                          .end = BN_SEGMENT_AREA}; /* previous_crc 0: nothing */
    return bn_catalog_add (self, &first) ? BATON_OK : BATON_ERR_MEMORY;
}

/*  ---- the chain ---- */

static baton_err_t missing (uint64_t id, char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, id);
    return bn_journal_fail (BATON_ERR_ROT, detail, "%s: the segment is missing", name);
}

/*  Checks that segment `last` ends where the header of its successor says, in the way it says.  */
static baton_err_t check_link (bn_segment_t *last, uint64_t salt, const bn_segment_header_t *header,
                               bn_window_t *window, char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, last->id);
    bn_vfs_t *vfs = window->vfs;
    bn_vfile_t *file;
    int64_t rc = vfs->open (vfs, name, false, false, &file);
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, name, "open");
    bn_framed_t end;
    const char *bad = NULL;
    bn_window_file (window, file);
    rc = bn_framed_read (window, bn_segment_tag (salt, last->id), header->previous_end, false, &end,
                         &bad);
    bn_window_file (window, NULL);
    vfs->close (vfs, &file);
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, name, "read");
    if (!bad &&
        (end.frame.kind != BN_FRAME_END || end.frame.crc != header->previous_crc ||
         end.frame.sequence + 1 != header->first_sequence || end.frame.base != header->first_base ||
         header->first_sequence < last->first_sequence))
        bad = "the segment does not end as its successor says";
    if (bad)
        return bn_journal_fail (BATON_ERR_ROT, detail, "%s, byte %" PRIu64 ": %s", name,
                                header->previous_end, bad);
    last->end = end.end;
    last->newest_time_us = end.frame.time_us;
    return BATON_OK;
}

/*  Reads the header of one file; *used false: prepared, not used yet.  */
static baton_err_t read_header (bn_window_t *window, uint64_t id, uint64_t salt, bool last,
                                bn_segment_header_t *header, bool *used, char detail[512])
{
    char name[BN_SEGMENT_NAME_MAX];
    bn_segment_name (name, id);
    bn_vfs_t *vfs = window->vfs;
    bn_vfile_t *file;
    int64_t rc = vfs->open (vfs, name, false, false, &file);
    if (rc != 0)
        return bn_journal_fail_io (rc, detail, name, "open");
    const uint8_t *bytes;
    size_t wanted = BN_SEGMENT_AREA + BN_FRAME_BYTES;
    const char *bad = NULL;
    bn_window_file (window, file);
    rc = bn_window_read (window, 0, wanted, &bytes);
    if (rc >= 0)
        bad = bn_segment_header_decode (header, bytes, (size_t)rc, id, salt);
    *used = !bad;
    if (bad && last &&
        (rc < (int64_t)wanted ||
         !bn_frame_tagged (bytes + BN_SEGMENT_AREA, bn_segment_tag (salt, id))))
        bad = NULL;
    bn_window_file (window, NULL);
    vfs->close (vfs, &file);
    if (rc < 0)
        return bn_journal_fail_io (rc, detail, name, "read");
    return bad ? bn_journal_fail (BATON_ERR_ROT, detail, "%s, byte 0: %s", name, bad) : BATON_OK;
}

static baton_err_t read_chain (bn_catalog_t *self, bn_vfs_t *vfs, const listing_t *listing,
                               char detail[512])
{
    bn_window_t window;
    bn_window_init (&window, vfs);
    baton_err_t err = BATON_OK;
    for (size_t i = 0; i < listing->count && !err; i++) {
        uint64_t id = listing->ids[i];
        bool used = false, last = i > 0 && i + 1 == listing->count;
        bn_segment_header_t header;
        if (id != self->mark.first_segment + i)
            err = missing (self->mark.first_segment + i, detail);
        if (!err)
            err = read_header (&window, id, self->mark.salt, last, &header, &used, detail);
        if (!err && !used) {
            /*  Of whatever size: it is only the one that is wanted now in most cases.  */
            self->next_ready = true;
            break;
        }
        if (!err && self->count > 0)
            err = check_link (&self->segments[self->count - 1], self->mark.salt, &header, &window,
                              detail);
        bn_segment_t segment = {.id = id, .end = BN_SEGMENT_AREA};
        if (!err) {
            segment.first_sequence = header.first_sequence;
            segment.first_base = header.first_base;
            segment.first_time_us = header.time_us;
            segment.previous_crc = header.previous_crc;
            err = bn_catalog_add (self, &segment) ? BATON_OK : BATON_ERR_MEMORY;
        }
    }
    bn_window_fini (&window);
    if (!err && self->count == 0)
        err = missing (self->mark.first_segment, detail);
    return err;
}

/*  ---- opening ---- */

static baton_err_t prepare_folder (bn_vfs_t *vfs, bool found, bool read_only, char detail[512])
{
    if (!found) {
        /*  A folder with segments and no FORMAT is not a new journal.  */
        listing_t listing = {.count = 0};
        int rc = vfs->list (vfs, BN_JOURNAL_FOLDER, list_entry, &listing);
        free (listing.ids);
        if (rc == 0 && listing.count > 0)
            return bn_journal_fail (BATON_ERR_ROT, detail,
                                    BN_FORMAT_FILE ": it is missing, but there are segments");
        if (read_only)
            return bn_journal_fail (BATON_ERR_NOT_FOUND, detail, "there is no journal here");
        baton_err_t err = write_format (vfs, detail);
        if (err)
            return err;
    }
    if (read_only)
        return BATON_OK;
    int rc = vfs->make_directory (vfs, BN_JOURNAL_FOLDER);
    if (rc == 0)
        rc = vfs->sync_directory (vfs, "");
    return rc == 0 ? BATON_OK : bn_journal_fail_io (rc, detail, BN_JOURNAL_FOLDER, "create");
}

static baton_err_t open_listed (bn_catalog_t *self, bn_vfs_t *vfs,
                                const bn_journal_options_t *options, listing_t *listing,
                                char detail[512])
{
    baton_err_t err = list_segments (vfs, listing, detail);
    if (!err && listing->temporary && !options->read_only)
        err = remove_temporaries (vfs, detail);
    if (err)
        return err;
    uint8_t bytes[BN_MARK_BYTES + 1];
    int64_t rc = read_small (vfs, BN_MARK_FILE, bytes, sizeof bytes);
    if (rc == -ENOENT && options->read_only) {
        err = check_unused (vfs, listing, detail);
        return err ? err
                   : bn_journal_fail (BATON_ERR_NOT_FOUND, detail, "the journal was never used");
    }
    if (rc == -ENOENT)
        return create (self, vfs, options, listing, detail);
    if (rc < 0)
        return bn_journal_fail_io (rc, detail, BN_MARK_FILE, "read");
    const char *bad = bn_mark_decode (&self->mark, bytes, (size_t)rc);
    if (bad)
        return bn_journal_fail (BATON_ERR_ROT, detail, BN_MARK_FILE ": %s", bad);
    err = drop_trimmed (vfs, listing, self->mark.first_segment, options->read_only, detail);
    return err ? err : read_chain (self, vfs, listing, detail);
}

baton_err_t bn_catalog_open (bn_catalog_t *self, bn_vfs_t *vfs, const bn_journal_options_t *options,
                             char detail[512])
{
    *self = (bn_catalog_t){.count = 0};
    bool found;
    baton_err_t err = check_format (vfs, &found, detail);
    if (!err)
        err = prepare_folder (vfs, found, options->read_only, detail);
    listing_t listing = {.count = 0};
    if (!err)
        err = open_listed (self, vfs, options, &listing, detail);
    free (listing.ids);
    if (err)
        bn_catalog_fini (self);
    return err;
}
