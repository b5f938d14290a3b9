/* SPDX-License-Identifier: MPL-2.0 */

#include "unit/journal/salvage_fixture.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  ---- what salvage says ---- */

place_t places[RECORDS + 200];

static void take_note (const char *text, void *arg)
{
    result_t *self = arg;
    assert_true (self->note_count < NOTES_MAX);
    snprintf (self->notes[self->note_count++], sizeof self->notes[0], "%s", text);
}

static void take_record (result_t *self, const bn_journal_record_t *record)
{
    const char *differs = record_differs (record, record->sequence);
    if (differs)
        fail_msg ("record %" PRIu64 ": %s", record->sequence, differs);
    assert_true (self->count == 0 || record->sequence > self->found[self->count - 1]);
    assert_true (self->count < FOUND_MAX);
    self->found[self->count++] = record->sequence;
    places[record->sequence].segment = record->segment;
    places[record->sequence].position = record->position;
}

void salvage_vfs (result_t *self, bn_vfs_t *vfs, uint64_t synced)
{
    *self = (result_t){.err = BATON_OK};
    bn_salvage_t *salvage;
    self->err = bn_salvage_new (&salvage, vfs, synced, take_note, self, self->detail);
    assert_true (!self->err == (salvage != NULL));
    for (bool end = false; !self->err && !end;) {
        bn_journal_record_t record;
        self->err = bn_salvage_next (salvage, &record, &end, self->detail);
        if (!self->err && !end)
            take_record (self, &record);
    }
    if (!self->err) {
        self->begins = bn_salvage_begin (salvage, &self->begin_sequence, &self->begin_base);
        bn_salvage_end (salvage, &self->end_sequence, &self->end_tail, &self->exact);
        self->torn = bn_salvage_torn_records (salvage);
    }
    bn_salvage_destroy (&salvage);
    bn_salvage_destroy (&salvage);
    assert_true (!self->err || *self->detail);
}

result_t result;

void salvage (bn_disk_t *disk)
{
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    salvage_vfs (&result, vfs, 0);
    vfs->destroy (&vfs);
    if (result.err)
        fail_msg ("%s", result.detail);
}

/*  All of first..last but lost_first..lost_last (0, 0: none).  */
void expect_records (uint64_t first, uint64_t last, uint64_t lost_first, uint64_t lost_last)
{
    size_t i = 0;
    for (uint64_t n = first; n <= last; n++)
        if (n < lost_first || n > lost_last) {
            if (i >= result.count || result.found[i] != n)
                fail_msg ("record %" PRIu64 " is not found", n);
            i++;
        }
    assert_int_equal (i, result.count);
}

bool noted (const char *name, const char *what)
{
    for (size_t i = 0; i < result.note_count; i++)
        if (strncmp (result.notes[i], name, strlen (name)) == 0 && strstr (result.notes[i], what))
            return true;
    return false;
}

void expect_note (const char *name, const char *what)
{
    if (result.note_count != 1 || !noted (name, what))
        fail_msg ("%zu notes, the first: %s; expected: %s: %s", result.note_count, result.notes[0],
                  name, what);
}

void expect_end (uint64_t sequence, uint64_t tail, bool exact)
{
    assert_int_equal (result.end_sequence, sequence);
    assert_int_equal (result.exact, exact);
    if (exact)
        assert_int_equal (result.end_tail, tail);
    else
        assert_true (result.end_tail >= tail);
}

/*  ---- a journal, and damage to it ---- */

const char *name_of (char name[64], uint64_t segment)
{
    snprintf (name, 64, "journal/%020" PRIu64 ".seg", segment);
    return name;
}

fixture_t journal;

void start_journal (void)
{
    fixture_init (&journal, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&journal, 0), BATON_OK);
}

void append (uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal (fixture_append (&journal, 1), BATON_OK);
}

/*  Closed; `places` is known.  */
bn_disk_t *make_journal (void)
{
    start_journal ();
    append (RECORDS);
    fixture_close (&journal);
    salvage (journal.disk);
    expect_records (1, RECORDS, 0, 0);
    assert_int_equal (result.note_count, 0);
    assert_true (places[RECORDS].segment >= 4);
    return journal.disk;
}

void end_journal (void)
{
    fixture_fini (&journal);
}

void put (bn_disk_t *disk, const char *name, size_t at, const void *bytes, size_t size)
{
    size_t file_size;
    const uint8_t *now = bn_disk_bytes (disk, name, &file_size);
    assert_true (now && at + size <= file_size);
    for (size_t i = 0; i < size; i++)
        bn_disk_flip (disk, name, at + i, now[at + i] ^ ((const uint8_t *)bytes)[i]);
}

void make_file (bn_disk_t *disk, const char *name, const void *bytes, size_t size)
{
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    bn_vfile_t *file;
    assert_int_equal (vfs->open (vfs, name, true, true, &file), 0);
    vfs->close (vfs, &file);
    vfs->destroy (&vfs);
    assert_true (bn_disk_truncate (disk, name, size));
    put (disk, name, 0, bytes, size);
}

/*  Bytes of a file, owned by the caller.  */
uint8_t *copy_of (bn_disk_t *disk, const char *name, size_t *size)
{
    const uint8_t *bytes = bn_disk_bytes (disk, name, size);
    assert_non_null (bytes);
    uint8_t *copy = malloc (*size);
    memcpy (copy, bytes, *size);
    return copy;
}

void spoil (bn_disk_t *disk, uint64_t sequence)
{
    char name[64];
    assert_true (bn_disk_flip (disk, name_of (name, places[sequence].segment),
                               places[sequence].position + 3, 0x40));
}

/*  Writes record `sequence` anew as `change` leaves its frame, with checksums that hold.  */
void forge (bn_disk_t *disk, uint64_t sequence, void (*change) (bn_frame_t *))
{
    char name[64];
    size_t size;
    bn_frame_t frame;
    uint8_t bytes[BN_FRAME_BYTES];
    uint64_t segment = places[sequence].segment, at = places[sequence].position;
    const uint8_t *file = bn_disk_bytes (disk, name_of (name, segment), &size);
    assert_null (bn_frame_decode (&frame, file + at, bn_segment_tag (SALT, segment)));
    change (&frame);
    bn_frame_encode (&frame, bytes);
    put (disk, name, at, bytes, sizeof bytes);
}

bn_segment_header_t read_header (bn_disk_t *disk, uint64_t segment)
{
    char name[64];
    size_t size;
    bn_segment_header_t header;
    const uint8_t *file = bn_disk_bytes (disk, name_of (name, segment), &size);
    assert_null (bn_segment_header_decode (&header, file, size, segment, SALT));
    return header;
}

void write_header (bn_disk_t *disk, uint64_t named, bn_segment_header_t *header)
{
    char name[64];
    uint8_t area[BN_SEGMENT_AREA];
    bn_segment_header_encode (header, area);
    put (disk, name_of (name, named), 0, area, sizeof area);
}
