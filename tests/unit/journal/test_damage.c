/* SPDX-License-Identifier: MPL-2.0 */

/*  Torn writes and rot: the one is repaired, the other is refused, and neither is taken for the
 *  other (G8). The layout is read back here by position only: 4096 bytes of header, frames of 72
 *  bytes and a padded body.  */
#include "unit/journal/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_AREA  4096
#define HEADER_BYTES 64
#define FRAME_BYTES  72

static const char *segment_name (char name[64], unsigned id)
{
    snprintf (name, 64, "journal/%020u.seg", id);
    return name;
}

static size_t frame_size (uint64_t sequence)
{
    return FRAME_BYTES + ((record_size (sequence) + 7) & ~(size_t)7);
}

static size_t position_of (uint64_t sequence)
{
    size_t at = HEADER_AREA;
    for (uint64_t n = 1; n < sequence; n++)
        at += frame_size (n);
    return at;
}

static void put (bn_disk_t *disk, const char *name, size_t at, const void *bytes, size_t size)
{
    size_t file_size;
    const uint8_t *now = bn_disk_bytes (disk, name, &file_size);
    assert_true (now && at + size <= file_size);
    for (size_t i = 0; i < size; i++)
        bn_disk_flip (disk, name, at + i, now[at + i] ^ ((const uint8_t *)bytes)[i]);
}

static void replace_file (bn_disk_t *disk, const char *name, const char *text)
{
    assert_true (bn_disk_truncate (disk, name, strlen (text)));
    put (disk, name, 0, text, strlen (text));
}

/*  One segment, each record synced by itself.  */
static void make_journal (fixture_t *f, uint64_t records, uint64_t segment_bytes)
{
    fixture_init (f, 1, segment_bytes);
    assert_int_equal (fixture_open (f, 0), BATON_OK);
    for (uint64_t n = 0; n < records; n++)
        assert_int_equal (fixture_append (f, 1), BATON_OK);
}

static void open_copy (fixture_t *copy, const fixture_t *f)
{
    *copy = *f;
    copy->disk = bn_disk_copy (f->disk);
    copy->vfs = NULL;
    copy->writer = NULL;
    copy->reader = NULL;
}

static void expect_usable (fixture_t *f, uint64_t last)
{
    assert_int_equal (f->recovery.sequence_next, last + 1);
    assert_int_equal (f->last_replayed, last);
    assert_int_equal (fixture_append (f, 3), BATON_OK);
    fixture_expect (f, 1, last + 3);
    fixture_close (f);
    assert_int_equal (fixture_open (f, 0), BATON_OK);
    assert_int_equal (f->last_replayed, last + 3);
    assert_int_equal (f->recovery.torn_bytes, 0);
}

/*  The last write got to the disk up to any byte; behind it is what was there before.  */
static void a_torn_tail_is_cut_at_every_length (void **state)
{
    (void)state;
    fixture_t f, copy;
    make_journal (&f, 20, 16384);
    size_t size;
    const uint8_t *bytes = bn_disk_bytes (f.disk, "journal/00000000000000000001.seg", &size);
    uint8_t *before = malloc (size);
    memcpy (before, bytes, size);
    assert_int_equal (fixture_write (&f, 1), BATON_OK);
    fixture_kill (&f);
    size_t start = position_of (21), end = start + frame_size (21);
    assert_true (record_size (21) > 8);
    for (int zeros = 0; zeros < 2; zeros++)
        for (size_t length = start; length < end; length++) {
            open_copy (&copy, &f);
            if (zeros)
                memset (before + start, 0, size - start);
            put (copy.disk, "journal/00000000000000000001.seg", length, before + length,
                 end - length);
            assert_int_equal (fixture_open (&copy, 0), BATON_OK);
            /*  The last bytes of the padding are zero anyway.  */
            bool whole = copy.recovery.sequence_next == 22;
            assert_true (!whole || length + 8 > end);
            if (!whole && length >= start + 24)
                assert_in_range (copy.recovery.torn_bytes, 1, end - start);
            expect_usable (&copy, whole ? 21 : 20);
            fixture_fini (&copy);
        }
    free (before);
    fixture_fini (&f);
}

/*  A disk may write the end of an unsynced batch and not its beginning: that is torn, too.  */
static void an_unsynced_batch_may_lose_its_first_record (void **state)
{
    (void)state;
    fixture_t f;
    make_journal (&f, 10, 16384);
    assert_int_equal (fixture_write (&f, 5), BATON_OK);
    fixture_kill (&f);
    bn_disk_flip (f.disk, "journal/00000000000000000001.seg", position_of (12) + 80, 1);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.recovery.torn_bytes, position_of (16) - position_of (12));
    expect_usable (&f, 11);
    fixture_fini (&f);
}

/*  What is cut must not come back when a later record ends where it starts.  */
static void what_was_cut_never_comes_back (void **state)
{
    (void)state;
    fixture_t f;
    make_journal (&f, 10, 16384);
    assert_int_equal (fixture_write (&f, 3), BATON_OK);
    fixture_kill (&f);
    bn_disk_flip (f.disk, "journal/00000000000000000001.seg", position_of (11) + 80, 1);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.recovery.sequence_next, 11);
    /*  Record 11 again, byte for byte as it was; 12 and 13 lay behind it.  */
    assert_int_equal (fixture_append (&f, 1), BATON_OK);
    fixture_kill (&f);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.recovery.sequence_next, 12);
    assert_int_equal (f.recovery.torn_bytes, 0);
    fixture_fini (&f);
}

/*  Every bit of every record, after a kill: what is behind the last one says that it was synced.
 */
static void a_flipped_byte_in_a_synced_record_is_rot (void **state)
{
    (void)state;
    fixture_t f, copy;
    char name[64];
    make_journal (&f, 12, 16384);
    fixture_kill (&f);
    size_t end = position_of (13);
    for (size_t at = HEADER_AREA; at < end; at++) {
        open_copy (&copy, &f);
        assert_true (bn_disk_flip (copy.disk, segment_name (name, 1), at, (uint8_t)(1u << at % 8)));
        baton_err_t err = fixture_open (&copy, 0);
        if (err != BATON_ERR_ROT)
            fail_msg ("byte %zu: %s", at, baton_err_name (err));
        assert_non_null (strstr (copy.detail, segment_name (name, 1)));
        uint64_t n = 1;
        while (position_of (n + 1) <= at)
            n++;
        char where[64];
        snprintf (where, sizeof where, "byte %zu", position_of (n));
        assert_non_null (strstr (copy.detail, where));
        fixture_fini (&copy);
    }
    fixture_fini (&f);
}

/*  All files, all bytes, several segments, closed cleanly: each flip is noticed or harmless.  */
static void a_flipped_byte_anywhere_loses_nothing_silently (void **state)
{
    (void)state;
    fixture_t f, copy;
    make_journal (&f, 60, SMALL_SEGMENT);
    fixture_close (&f);
    static const char *const names[] = {
        "FORMAT", "journal/MARK", "journal/00000000000000000001.seg",
        "journal/00000000000000000002.seg", "journal/00000000000000000003.seg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        assert_non_null (bn_disk_bytes (f.disk, names[i], &size));
        for (size_t at = 0; at < size; at++) {
            bool padding = i >= 2 && at >= HEADER_BYTES && at < HEADER_AREA;
            if (padding && at % 64 != 0)
                continue;
            open_copy (&copy, &f);
            bn_disk_flip (copy.disk, names[i], at, (uint8_t)(1u << at % 8));
            baton_err_t err = fixture_open (&copy, 0);
            if (err == BATON_OK && copy.last_replayed != 60)
                fail_msg ("%s, byte %zu: the journal ends at %llu", names[i], at,
                          (unsigned long long)copy.last_replayed);
            assert_true (err == BATON_OK || err == BATON_ERR_ROT || err == BATON_ERR_FORMAT);
            bool header = i >= 2 && at < HEADER_BYTES;
            if (i < 2 || header)
                assert_int_not_equal (err, BATON_OK);
            fixture_fini (&copy);
        }
    }
    fixture_fini (&f);
}

static void the_reader_reports_rot_with_its_place (void **state)
{
    (void)state;
    fixture_t f;
    make_journal (&f, 12, 16384);
    bn_disk_flip (f.disk, "journal/00000000000000000001.seg", position_of (7) + 75, 4);
    bn_journal_record_t record;
    bool end;
    assert_int_equal (bn_journal_seek (f.reader, record_base (6), f.detail), BATON_OK);
    assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
    assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_ERR_ROT);
    char where[64];
    snprintf (where, sizeof where, "00000000000000000001.seg, byte %zu", position_of (7));
    assert_non_null (strstr (f.detail, where));
    fixture_fini (&f);
}

/*  The end of a segment is as sure as its middle, and so is the head of the next one.  */
static void damage_between_segments_is_rot (void **state)
{
    (void)state;
    fixture_t f, copy;
    char name[64];
    make_journal (&f, 60, SMALL_SEGMENT);
    fixture_kill (&f);
    for (size_t at = HEADER_AREA; at < SMALL_SEGMENT; at++) {
        open_copy (&copy, &f);
        bn_disk_flip (copy.disk, segment_name (name, 1), at, 1);
        baton_err_t err = fixture_open (&copy, 0);
        /*  Behind END there is nothing.  */
        assert_true (err == BATON_ERR_ROT || (err == BATON_OK && copy.last_replayed == 60));
        assert_true (err == BATON_ERR_ROT || at > SMALL_SEGMENT - 72 - 222);
        fixture_fini (&copy);
    }
    fixture_fini (&f);
}

static void a_missing_file_is_rot (void **state)
{
    (void)state;
    fixture_t f, copy;
    make_journal (&f, 100, SMALL_SEGMENT);
    fixture_close (&f);
    char name[64];
    unsigned last = 0;
    size_t size;
    while (bn_disk_bytes (f.disk, segment_name (name, last + 1), &size))
        last++;
    assert_true (last >= 4);
    for (unsigned id = 1; id <= last; id++) {
        /*  The last file may be one that was prepared and is not used.  */
        open_copy (&copy, &f);
        assert_true (bn_disk_remove (copy.disk, segment_name (name, id)));
        baton_err_t err = fixture_open (&copy, 0);
        assert_true (err == BATON_ERR_ROT || (id == last && copy.last_replayed == 100));
        fixture_fini (&copy);

        open_copy (&copy, &f);
        assert_true (bn_disk_truncate (copy.disk, segment_name (name, id), 100));
        err = fixture_open (&copy, 0);
        assert_true (err == BATON_ERR_ROT || (id == last && copy.last_replayed == 100));
        fixture_fini (&copy);
    }
    for (int i = 0; i < 2; i++) {
        open_copy (&copy, &f);
        assert_true (bn_disk_remove (copy.disk, i == 0 ? "FORMAT" : "journal/MARK"));
        assert_int_equal (fixture_open (&copy, 0), BATON_ERR_ROT);
        fixture_fini (&copy);
    }
    /*  All segments gone: not a new journal either.  */
    open_copy (&copy, &f);
    for (unsigned id = 1; id <= last; id++)
        bn_disk_remove (copy.disk, segment_name (name, id));
    assert_int_equal (fixture_open (&copy, 0), BATON_ERR_ROT);
    fixture_fini (&copy);
    fixture_fini (&f);
}

/*  Segments of another journal, or under another number, do not fit in.  */
static void a_foreign_segment_is_rot (void **state)
{
    (void)state;
    fixture_t f, other;
    make_journal (&f, 60, SMALL_SEGMENT);
    fixture_close (&f);
    fixture_init (&other, 1, SMALL_SEGMENT);
    other.options.salt = 4712;
    assert_int_equal (fixture_open (&other, 0), BATON_OK);
    assert_int_equal (fixture_append (&other, 60), BATON_OK);
    fixture_close (&other);
    size_t size;
    char name[64];
    const uint8_t *bytes = bn_disk_bytes (other.disk, segment_name (name, 2), &size);
    put (f.disk, name, 0, bytes, size);
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_ROT);
    bytes = bn_disk_bytes (f.disk, segment_name (name, 1), &size);
    put (f.disk, segment_name (name, 2), 0, bytes, size);
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_ROT);
    fixture_fini (&other);
    fixture_fini (&f);
}

/*  An event may contain the bytes of a journal, of this very one even: they are not records.  */
static void frames_inside_bodies_are_not_taken_for_records (void **state)
{
    (void)state;
    fixture_t f;
    make_journal (&f, 10, 32768);
    fixture_close (&f);
    size_t size;
    char name[64];
    const uint8_t *file = bn_disk_bytes (f.disk, segment_name (name, 1), &size);
    uint8_t body[2048];
    memcpy (body, file + HEADER_AREA, sizeof body);
    fixture_t g;
    fixture_init (&g, 2, 32768);
    g.options.salt = 99; /* another journal: nobody knows the salt of this one */
    assert_int_equal (fixture_open (&g, 0), BATON_OK);
    assert_int_equal (fixture_append (&g, 1), BATON_OK);
    bn_journal_record_t record = {.type = RECORD_TYPE,
                                  .sequence = 2,
                                  .base = record_base (2),
                                  .body = body,
                                  .body_size = sizeof body};
    assert_int_equal (bn_journal_write (g.writer, &record, 1, g.detail), BATON_OK);
    fixture_kill (&g);
    /*  Torn; the frames in its body claim that records up to 9 were synced.  */
    bn_disk_flip (g.disk, segment_name (name, 1), position_of (2) + 3, 1);
    assert_int_equal (fixture_open (&g, 0), BATON_OK);
    assert_int_equal (g.recovery.sequence_next, 2);
    fixture_fini (&g);
    fixture_fini (&f);
}

static void write_same_size (fixture_t *f, uint64_t sequence, uint8_t fill)
{
    uint8_t body[64];
    memset (body, fill, sizeof body);
    bn_journal_record_t record = {
        .type = RECORD_TYPE, .sequence = sequence, .body = body, .body_size = sizeof body};
    assert_int_equal (bn_journal_write (f->writer, &record, 1, f->detail), BATON_OK);
    assert_int_equal (bn_journal_sync (f->writer, f->detail), BATON_OK);
}

/*  Two copies of a journal went on in different ways; a part of one in the other is valid record by
 *  record, but it does not continue what is before it.  */
static void a_part_of_another_history_is_rot (void **state)
{
    (void)state;
    fixture_t one, two;
    fixture_init (&one, 1, 16384);
    fixture_init (&two, 1, 16384);
    fixture_t *const both[] = {&one, &two};
    for (uint8_t i = 0; i < 2; i++) {
        assert_int_equal (fixture_open (both[i], 0), BATON_OK);
        for (uint64_t n = 1; n <= 6; n++)
            write_same_size (both[i], n, n == 3 ? i : 7);
        fixture_close (both[i]);
    }
    size_t size, fourth = HEADER_AREA + 3 * (FRAME_BYTES + 64);
    char name[64];
    const uint8_t *bytes = bn_disk_bytes (two.disk, segment_name (name, 1), &size);
    put (one.disk, name, fourth, bytes + fourth, size - fourth);
    bn_vfs_t *vfs = bn_disk_vfs (one.disk);
    assert_int_equal (bn_journal_open (&one.writer, &one.reader, vfs, &one.options, 0, NULL, NULL,
                                       &one.recovery, one.detail),
                      BATON_ERR_ROT);
    assert_non_null (strstr (one.detail, "record 4: it does not continue"));
    vfs->destroy (&vfs);
    fixture_fini (&one);
    fixture_fini (&two);
}

static void a_newer_format_is_refused (void **state)
{
    (void)state;
    fixture_t f;
    make_journal (&f, 3, SMALL_SEGMENT);
    fixture_close (&f);
    replace_file (f.disk, "FORMAT", "baton 2\n");
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_FORMAT);
    assert_non_null (strstr (f.detail, "newer version"));
    static const char *const wrong[] = {"",          "baton",   "baton x\n",   "baton 0\n",
                                        "batch 1\n", "baton 1", "baton 1\n\n", "baton -1\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        replace_file (f.disk, "FORMAT", wrong[i]);
        assert_int_equal (fixture_open (&f, 0), BATON_ERR_ROT);
    }
    replace_file (f.disk, "FORMAT", "baton 1\n");
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    fixture_fini (&f);
}

/*  Old records of a former life lie behind the end in a recycled segment.  */
static void a_torn_tail_in_a_recycled_segment_is_cut (void **state)
{
    (void)state;
    fixture_t f, copy;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    uint64_t base, first;
    for (int i = 0; i < 20; i++) {
        assert_int_equal (fixture_append (&f, 20), BATON_OK);
        assert_int_equal (
            bn_journal_trim (f.writer, UINT64_MAX, UINT64_MAX, &base, &first, f.detail), BATON_OK);
        assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
    }
    uint64_t last = f.next - 1;
    assert_int_equal (fixture_write (&f, 1), BATON_OK);
    fixture_kill (&f);
    fixture_t probe;
    open_copy (&probe, &f);
    assert_int_equal (fixture_open (&probe, first - 1), BATON_OK);
    bn_journal_record_t record = {.segment = 0};
    bool end = false;
    uint64_t at = 0, segment = 0;
    while (bn_journal_next (probe.reader, &record, &end, probe.detail) == BATON_OK && !end) {
        at = record.position;
        segment = record.segment;
    }
    assert_int_equal (record.sequence, last + 1);
    fixture_fini (&probe);
    char name[64];
    segment_name (name, (unsigned)segment);
    for (size_t i = 0; i < frame_size (last + 1); i++) {
        open_copy (&copy, &f);
        assert_true (bn_disk_flip (copy.disk, name, at + i, 0x10));
        assert_int_equal (fixture_open (&copy, first - 1), BATON_OK);
        assert_int_equal (copy.recovery.sequence_next, last + 1);
        assert_int_equal (fixture_append (&copy, 100), BATON_OK);
        fixture_kill (&copy);
        assert_int_equal (fixture_open (&copy, first - 1), BATON_OK);
        assert_int_equal (copy.last_replayed, last + 100);
        fixture_fini (&copy);
    }
    fixture_fini (&f);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_torn_tail_is_cut_at_every_length),
        cmocka_unit_test (an_unsynced_batch_may_lose_its_first_record),
        cmocka_unit_test (what_was_cut_never_comes_back),
        cmocka_unit_test (a_flipped_byte_in_a_synced_record_is_rot),
        cmocka_unit_test (a_flipped_byte_anywhere_loses_nothing_silently),
        cmocka_unit_test (the_reader_reports_rot_with_its_place),
        cmocka_unit_test (damage_between_segments_is_rot),
        cmocka_unit_test (a_missing_file_is_rot),
        cmocka_unit_test (a_foreign_segment_is_rot),
        cmocka_unit_test (frames_inside_bodies_are_not_taken_for_records),
        cmocka_unit_test (a_part_of_another_history_is_rot),
        cmocka_unit_test (a_newer_format_is_refused),
        cmocka_unit_test (a_torn_tail_in_a_recycled_segment_is_cut),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
