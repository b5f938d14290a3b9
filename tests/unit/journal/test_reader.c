/* SPDX-License-Identifier: MPL-2.0 */

/*  The reader: large journals with an index, trims that overtake it, frames that do not belong
 *  where they are, a disk that fails under it, and an index without memory.
 *
 *  realloc is wrapped by the linker, to fail for small tables and never for what is read.  */
#include "journal/format.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY_SEGMENTS 80           /* more than the reader keeps in detail */
#define LARGE_SEGMENT (256u << 10) /* bytes */
#define LARGE_BODY    60000        /* four to a segment, and more than one index entry */
#define TABLE_BYTES   16384        /* smaller than anything that is read into */

static bool no_tables;

void *__real_realloc (void *memory, size_t size);
void *__wrap_realloc (void *memory, size_t size);

void *__wrap_realloc (void *memory, size_t size)
{
    return no_tables && size < TABLE_BYTES ? NULL : __real_realloc (memory, size);
}

/*  ---- large records: one event each, so that record n has offset n - 1 ---- */

static uint8_t large_body[LARGE_BODY];

static void write_large (fixture_t *f, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        memset (large_body, (int)(f->next % 251), sizeof large_body);
        bn_journal_record_t record = {.type = RECORD_TYPE,
                                      .sequence = f->next,
                                      .base = f->next - 1,
                                      .count = 1,
                                      .time_us = record_time (f->next),
                                      .body = large_body,
                                      .body_size = sizeof large_body};
        assert_int_equal (bn_journal_write (f->writer, &record, 1, f->detail), BATON_OK);
        f->next++;
    }
    assert_int_equal (bn_journal_sync (f->writer, f->detail), BATON_OK);
    bn_journal_reader_durable (f->reader, f->next - 1);
}

static void learn (fixture_t *f)
{
    bn_extent_t extents[8];
    for (size_t got; (got = bn_journal_writer_extents (f->writer, extents, 8)) > 0;)
        bn_journal_reader_learn (f->reader, extents, got);
}

static void open_large (fixture_t *f, uint64_t trusted)
{
    f->vfs = bn_disk_vfs (f->disk);
    if (bn_journal_open (&f->writer, &f->reader, f->vfs, &f->options, trusted, NULL, NULL,
                         &f->recovery, f->detail) != BATON_OK)
        fail_msg ("%s", f->detail);
    f->next = f->recovery.sequence_next;
}

static void expect_large (fixture_t *f, uint64_t n)
{
    bn_journal_record_t record;
    bool end = true;
    if (bn_journal_next (f->reader, &record, &end, f->detail) != BATON_OK)
        fail_msg ("record %" PRIu64 ": %s", n, f->detail);
    assert_false (end);
    assert_int_equal (record.sequence, n);
    assert_int_equal (record.base, n - 1);
    assert_int_equal (record.body_size, LARGE_BODY);
    assert_int_equal (record.body[LARGE_BODY - 1], n % 251);
}

static void expect_at (fixture_t *f, uint64_t n)
{
    if (bn_journal_seek (f->reader, n - 1, f->detail) != BATON_OK)
        fail_msg ("offset %" PRIu64 ": %s", n - 1, f->detail);
    expect_large (f, n);
}

static void expect_end (fixture_t *f)
{
    bn_journal_record_t record;
    bool end = false;
    assert_int_equal (bn_journal_next (f->reader, &record, &end, f->detail), BATON_OK);
    assert_true (end);
}

static void expect_everywhere (fixture_t *f, uint64_t first, uint64_t last)
{
    uint64_t count = last - first + 1;
    for (uint64_t i = 0; i < count; i++)
        expect_at (f, first + i * 89 % count);
    for (uint64_t n = first; n <= last; n += 3) {
        assert_int_equal (bn_journal_seek_time (f->reader, record_time (n) - 500, f->detail),
                          BATON_OK);
        expect_large (f, n);
    }
    assert_int_equal (bn_journal_seek (f->reader, first - 1, f->detail), BATON_OK);
    for (uint64_t n = first; n <= last; n++)
        expect_large (f, n);
    expect_end (f);
}

/*  What was told by the writer, what recovery found, and what the reader found by itself.  */
static void more_segments_than_are_indexed_in_detail_are_found (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, LARGE_SEGMENT);
    open_large (&f, 0);
    for (int i = 0; i < MANY_SEGMENTS; i++) {
        write_large (&f, 4);
        learn (&f);
    }
    uint64_t last = f.next - 1;
    expect_everywhere (&f, 1, last);
    fixture_close (&f);
    open_large (&f, last);
    expect_everywhere (&f, 1, last);
    fixture_close (&f);
    open_large (&f, 0);
    expect_everywhere (&f, 1, last);
    fixture_fini (&f);
}

static uint64_t calls_to_find (fixture_t *f, uint64_t n)
{
    uint64_t before = bn_disk_calls (f->disk);
    assert_int_equal (bn_journal_seek (f->reader, n - 1, f->detail), BATON_OK);
    return bn_disk_calls (f->disk) - before;
}

static void an_old_segment_is_walked_through_once (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, 16 * LARGE_SEGMENT);
    open_large (&f, 0);
    write_large (&f, 200);
    fixture_close (&f);
    open_large (&f, 200);
    uint64_t first = calls_to_find (&f, 65);
    expect_at (&f, 1);
    uint64_t again = calls_to_find (&f, 64);
    assert_true (first > 20 && again < 5);
    expect_large (&f, 64);
    fixture_fini (&f);
}

/*  Every third call of the index finds no memory, or every one: all is found, but slowly.  */
static void an_index_without_memory_is_only_slower (void **state)
{
    (void)state;
    for (int always = 0; always < 2; always++) {
        fixture_t f;
        fixture_init (&f, 1, LARGE_SEGMENT);
        open_large (&f, 0);
        for (int i = 0; i < 40; i++) {
            write_large (&f, 4);
            no_tables = always || i % 3 == 0;
            learn (&f);
            no_tables = false;
        }
        uint64_t last = f.next - 1;
        no_tables = true;
        expect_everywhere (&f, 1, last);
        no_tables = false;
        expect_everywhere (&f, 1, last);
        fixture_fini (&f);
    }
}

/*  ---- trims ---- */

static void trim_all (fixture_t *f, uint64_t *base, uint64_t *sequence)
{
    assert_int_equal (
        bn_journal_trim (f->writer, UINT64_MAX, UINT64_MAX, base, sequence, f->detail), BATON_OK);
}

static void a_reader_in_a_trimmed_segment_goes_on_with_what_is_left (void **state)
{
    (void)state;
    fixture_t f;
    uint64_t base, sequence;
    fixture_init (&f, 1, LARGE_SEGMENT);
    open_large (&f, 0);
    write_large (&f, 40);
    learn (&f);
    expect_at (&f, 2);
    trim_all (&f, &base, &sequence);
    assert_true (sequence > 30 && sequence < 41);
    bn_journal_reader_trimmed (f.reader, base);
    assert_int_equal (bn_journal_reader_first (f.reader), base);
    expect_large (&f, sequence);
    expect_at (&f, sequence);
    /*  An offset that is gone: the oldest that is not.  */
    assert_int_equal (bn_journal_seek (f.reader, 0, f.detail), BATON_OK);
    expect_large (&f, sequence);
    /*  What the writer tells late of segments that are gone is of no use.  */
    bn_extent_t old = {.segment = 1, .position = BN_SEGMENT_AREA, .sequence = 1};
    bn_journal_reader_learn (f.reader, &old, 1);
    assert_int_equal (bn_journal_reader_first (f.reader), base);
    fixture_fini (&f);
}

/*  Nothing was told, neither the trim nor the segments behind it: the disk knows.  */
static void overtake (fixture_t *f, uint64_t *sequence)
{
    uint64_t base;
    fixture_init (f, 1, LARGE_SEGMENT);
    open_large (f, 0);
    write_large (f, 2);
    expect_at (f, 1);
    write_large (f, 40);
    trim_all (f, &base, sequence);
}

static void a_reader_that_was_told_nothing_asks_the_disk (void **state)
{
    (void)state;
    fixture_t f;
    uint64_t sequence;
    overtake (&f, &sequence);
    expect_at (&f, sequence);
    for (uint64_t n = sequence + 1; n < f.next; n++)
        expect_large (&f, n);
    expect_end (&f);
    assert_int_equal (bn_journal_reader_first (f.reader), sequence - 1);
    fixture_fini (&f);
}

static void a_failure_while_it_asks_is_not_rot_and_passes (void **state)
{
    (void)state;
    bool failed = true;
    unsigned failures = 0;
    for (uint64_t call = 0; failed; call++) {
        fixture_t f;
        uint64_t sequence;
        overtake (&f, &sequence);
        uint64_t at = bn_disk_calls (f.disk) + call;
        bn_disk_fail_at (f.disk, at, EIO);
        baton_err_t err = bn_journal_seek (f.reader, sequence - 1, f.detail);
        failed = bn_disk_calls (f.disk) > at;
        if (err) {
            assert_int_equal (err, BATON_ERR_IO);
            assert_non_null (strstr (f.detail, "journal"));
            assert_non_null (strstr (f.detail, strerror (EIO)));
            failures++;
        }
        bn_disk_fail_at (f.disk, UINT64_MAX, 0);
        expect_at (&f, sequence);
        fixture_fini (&f);
    }
    assert_true (failures >= 4);
}

static const char *name_of (char name[64], uint64_t segment)
{
    snprintf (name, 64, "journal/%020" PRIu64 ".seg", segment);
    return name;
}

static void a_journal_without_its_segments_is_rot (void **state)
{
    (void)state;
    char name[64];
    bn_journal_record_t record;
    bool end;
    for (int damaged = 0; damaged < 2; damaged++) {
        fixture_t f;
        uint64_t sequence;
        size_t size;
        overtake (&f, &sequence);
        for (uint64_t id = 1; id < 30; id++)
            if (damaged && bn_disk_bytes (f.disk, name_of (name, id), &size))
                bn_disk_flip (f.disk, name, 20, 1);
            else
                bn_disk_remove (f.disk, name_of (name, id));
        /*  It goes on in the file that it has open, but not over to another.  */
        baton_err_t err = BATON_OK;
        for (uint64_t n = 2; !err; n++) {
            err = bn_journal_next (f.reader, &record, &end, f.detail);
            assert_true (err || (!end && record.sequence == n && record.segment == 1));
        }
        assert_int_equal (err, BATON_ERR_ROT);
        assert_non_null (strstr (f.detail, name_of (name, 2)));
        assert_non_null (strstr (f.detail, "the segment is missing"));
        fixture_fini (&f);
    }
}

/*  ---- frames that hold, and do not belong there ---- */

typedef enum {
    OTHER_SEQUENCE,
    OTHER_BASE,
    A_COMMIT,
    AN_END_TOO_EARLY,
    UNKNOWN_KIND,
    UNKNOWN_KIND_0,
    EMPTY_WITH_CHECKSUM,
    TOO_LARGE,
    FORGERIES
} forgery_t;

static void forge (bn_disk_t *disk, const bn_journal_record_t *at, forgery_t how)
{
    char name[64];
    uint8_t bytes[BN_FRAME_BYTES];
    size_t size;
    bn_frame_t frame;
    const uint8_t *file = bn_disk_bytes (disk, name_of (name, at->segment), &size);
    assert_non_null (file);
    assert_null (bn_frame_decode (&frame, file + at->position, bn_segment_tag (4711, at->segment)));
    switch (how) {
    case OTHER_SEQUENCE:
        frame.sequence++;
        break;
    case OTHER_BASE:
        frame.base++;
        break;
    case A_COMMIT:
        frame.kind = BN_FRAME_COMMIT;
        break;
    case AN_END_TOO_EARLY:
        frame.kind = BN_FRAME_END;
        break;
    case UNKNOWN_KIND:
        frame.kind = 4;
        break;
    case UNKNOWN_KIND_0:
        frame.kind = 0;
        break;
    case EMPTY_WITH_CHECKSUM:
        frame.body_size = 0;
        break;
    default:
        frame.body_size = UINT32_MAX - 8;
    }
    bn_frame_encode (&frame, bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        bn_disk_flip (disk, name, at->position + i, file[at->position + i] ^ bytes[i]);
}

static void a_frame_that_does_not_belong_there_is_rot (void **state)
{
    (void)state;
    for (forgery_t how = 0; how < FORGERIES; how++) {
        fixture_t f;
        char where[128];
        bn_journal_record_t record;
        bool end;
        fixture_init (&f, 1, LARGE_SEGMENT);
        open_large (&f, 0);
        write_large (&f, 10);
        learn (&f);
        assert_int_equal (bn_journal_seek (f.reader, 5, f.detail), BATON_OK);
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
        assert_int_equal (record.sequence, 6);
        forge (f.disk, &record, how);
        expect_at (&f, 5);
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_ERR_ROT);
        snprintf (where, sizeof where,
                  "journal/%020" PRIu64 ".seg, byte %" PRIu64 ": record 6: ", record.segment,
                  record.position);
        assert_non_null (strstr (f.detail, where));
        expect_at (&f, 7 + 2);
        fixture_kill (&f);
        /*  Opening sees it, too.  */
        f.vfs = bn_disk_vfs (f.disk);
        assert_int_equal (bn_journal_open (&f.writer, &f.reader, f.vfs, &f.options, 0, NULL, NULL,
                                           &f.recovery, f.detail),
                          BATON_ERR_ROT);
        assert_non_null (strstr (f.detail, where));
        fixture_fini (&f);
    }
}

/*  ---- a disk that fails ---- */

/*  Each call, while all is read from the first to the last; the reader can be asked again.  */
static void a_read_that_fails_is_told_and_can_be_repeated (void **state)
{
    (void)state;
    bool reached = true;
    uint64_t failures = 0;
    fixture_t f;
    fixture_init (&f, 1, LARGE_SEGMENT);
    open_large (&f, 0);
    write_large (&f, 13);
    fixture_close (&f);
    for (uint64_t call = 0; reached; call++) {
        open_large (&f, 13);
        uint64_t at = bn_disk_calls (f.disk) + call;
        bn_disk_fail_at (f.disk, at, EIO);
        for (uint64_t n = 1; n <= 13;) {
            bn_journal_record_t record;
            bool end = false;
            baton_err_t err = bn_journal_next (f.reader, &record, &end, f.detail);
            if (err) {
                assert_int_equal (err, BATON_ERR_IO);
                assert_non_null (strstr (f.detail, ".seg: "));
                assert_non_null (strstr (f.detail, strerror (EIO)));
                failures++;
                continue;
            }
            assert_false (end);
            assert_int_equal (record.sequence, n++);
        }
        reached = bn_disk_calls (f.disk) > at;
        fixture_close (&f);
    }
    assert_true (failures > 20);
    fixture_fini (&f);
}

/*  A bad frame is looked at again in the file that has the name now; if that cannot be opened,
 *  nobody knows whether it is rot.  */
static void rot_is_not_said_before_the_file_was_opened_again (void **state)
{
    (void)state;
    bool reached = true;
    unsigned failed = 0;
    for (uint64_t call = 0; reached; call++) {
        fixture_t f;
        bn_journal_record_t record;
        bool end;
        fixture_init (&f, 1, LARGE_SEGMENT);
        open_large (&f, 0);
        write_large (&f, 3);
        learn (&f);
        bn_disk_flip (f.disk, "journal/00000000000000000001.seg", BN_SEGMENT_AREA + 30, 1);
        uint64_t at = bn_disk_calls (f.disk) + call;
        bn_disk_fail_at (f.disk, at, EIO);
        baton_err_t err = bn_journal_next (f.reader, &record, &end, f.detail);
        reached = bn_disk_calls (f.disk) > at;
        assert_int_equal (err, reached ? BATON_ERR_IO : BATON_ERR_ROT);
        failed += reached;
        bn_disk_fail_at (f.disk, UINT64_MAX, 0);
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_ERR_ROT);
        fixture_fini (&f);
    }
    assert_true (failed >= 3);
}

/*  ---- how much is read ---- */

static int64_t (*real_pread) (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size,
                              uint64_t at);
static uint64_t bytes_read;

static int64_t counting_pread (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size,
                               uint64_t at)
{
    int64_t rc = real_pread (self, file, bytes, size, at);
    bytes_read += rc > 0 ? (uint64_t)rc : 0;
    return rc;
}

/*  What was read ahead of a body, with its head, is not read again with the rest of it; nor is a
 *  record that somebody comes back to, because not all of it could be sent at once.  */
static void each_byte_of_large_records_is_read_once (void **state)
{
    (void)state;
    fixture_t f;
    enum { RECORDS = 100, SEGMENT = 16u << 20 };
    fixture_init (&f, 1, SEGMENT);
    open_large (&f, 0);
    write_large (&f, RECORDS);
    learn (&f);
    real_pread = f.vfs->pread;
    f.vfs->pread = counting_pread;
    bytes_read = 0;
    for (uint64_t n = 1; n <= RECORDS; n++) {
        expect_large (&f, n);
        assert_int_equal (bn_journal_seek (f.reader, n - 1, f.detail), BATON_OK);
        expect_large (&f, n);
    }
    f.vfs->pread = real_pread;
    uint64_t written = RECORDS * (uint64_t)(LARGE_BODY + BN_FRAME_BYTES);
    assert_true (bytes_read >= written);
    assert_true (bytes_read < written + (512u << 10)); /* read ahead behind the last one */
    fixture_fini (&f);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_byte_of_large_records_is_read_once),
        cmocka_unit_test (more_segments_than_are_indexed_in_detail_are_found),
        cmocka_unit_test (an_old_segment_is_walked_through_once),
        cmocka_unit_test (an_index_without_memory_is_only_slower),
        cmocka_unit_test (a_reader_in_a_trimmed_segment_goes_on_with_what_is_left),
        cmocka_unit_test (a_reader_that_was_told_nothing_asks_the_disk),
        cmocka_unit_test (a_failure_while_it_asks_is_not_rot_and_passes),
        cmocka_unit_test (a_journal_without_its_segments_is_rot),
        cmocka_unit_test (a_frame_that_does_not_belong_there_is_rot),
        cmocka_unit_test (a_read_that_fails_is_told_and_can_be_repeated),
        cmocka_unit_test (rot_is_not_said_before_the_file_was_opened_again),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
