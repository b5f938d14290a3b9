/* SPDX-License-Identifier: MPL-2.0 */

/*  Writing, reading, rolling, trimming: a journal that nothing happens to.  */
#include "unit/journal/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_new_journal_is_empty (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_true (f.recovery.created);
    assert_int_equal (f.recovery.sequence_next, 1);
    assert_int_equal (f.recovery.tail, 0);
    fixture_expect (&f, 1, 0);
    assert_int_equal (bn_journal_seek (f.reader, 0, f.detail), BATON_OK);
    assert_int_equal (bn_journal_seek (f.reader, 99, f.detail), BATON_OK);
    fixture_expect (&f, 1, 0);
    fixture_close (&f);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_false (f.recovery.created);
    assert_int_equal (f.recovery.torn_bytes, 0);
    fixture_fini (&f);
}

static void records_come_back_across_segments (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal (fixture_append (&f, 7), BATON_OK);
    assert_int_equal (bn_journal_seek (f.reader, 0, f.detail), BATON_OK);
    fixture_expect (&f, 1, 350);
    fixture_close (&f);

    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.first_replayed, 1);
    assert_int_equal (f.last_replayed, 350);
    assert_int_equal (f.recovery.torn_bytes, 0);
    fixture_expect (&f, 1, 350);
    assert_int_equal (fixture_append (&f, 100), BATON_OK);
    fixture_expect (&f, 351, 450);
    fixture_fini (&f);
}

static void replay_starts_behind_what_is_trusted (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 300), BATON_OK);
    fixture_close (&f);
    for (uint64_t trusted = 0; trusted <= 300; trusted += 25) {
        assert_int_equal (fixture_open (&f, trusted), BATON_OK);
        assert_int_equal (f.first_replayed, trusted == 300 ? 0 : trusted + 1);
        assert_int_equal (f.last_replayed, trusted == 300 ? 0 : 300);
        fixture_expect (&f, 1, 300);
        fixture_close (&f);
    }
    assert_int_equal (fixture_open (&f, 301), BATON_ERR_ROT);
    fixture_fini (&f);
}

static baton_err_t stop_at_ten (const bn_journal_record_t *record, void *arg)
{
    (void)arg;
    return record->sequence == 10 ? BATON_ERR_FORMAT : BATON_OK;
}

static void an_error_of_the_replay_is_returned (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 30), BATON_OK);
    fixture_close (&f);
    bn_vfs_t *vfs = bn_disk_vfs (f.disk);
    assert_int_equal (bn_journal_open (&f.writer, &f.reader, vfs, &f.options, 0, stop_at_ten, NULL,
                                       &f.recovery, f.detail),
                      BATON_ERR_FORMAT);
    assert_null (f.writer);
    vfs->destroy (&vfs);
    fixture_fini (&f);
}

static void seeking_by_offset_finds_the_record_that_holds_it (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 400), BATON_OK);
    for (int again = 0; again < 2; again++) {
        /*  Forwards, backwards and jumping.  */
        for (uint64_t i = 1; i <= 400; i++) {
            uint64_t n = again ? i * 211 % 401 : 401 - i;
            if (n == 0 || record_count (n) == 0)
                continue;
            uint64_t offset = record_base (n) + i % record_count (n);
            bn_journal_record_t record;
            bool end;
            assert_int_equal (bn_journal_seek (f.reader, offset, f.detail), BATON_OK);
            assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
            assert_false (end);
            assert_null (record_differs (&record, n));
        }
        fixture_close (&f);
        assert_int_equal (fixture_open (&f, 390), BATON_OK);
    }
    assert_int_equal (bn_journal_seek (f.reader, record_base (401), f.detail), BATON_OK);
    fixture_expect (&f, 1, 0);
    fixture_fini (&f);
}

static void seeking_by_time_finds_the_first_record_not_before_it (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 300), BATON_OK);
    for (int again = 0; again < 2; again++) {
        for (uint64_t n = 300; n > 0; n -= 7) {
            bn_journal_record_t record;
            bool end;
            assert_int_equal (bn_journal_seek_time (f.reader, record_time (n) - 1, f.detail),
                              BATON_OK);
            assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
            assert_false (end);
            assert_int_equal (record.sequence, n);
            if (n < 7)
                break;
        }
        fixture_close (&f);
        assert_int_equal (fixture_open (&f, 0), BATON_OK);
    }
    assert_int_equal (bn_journal_seek_time (f.reader, record_time (301), f.detail), BATON_OK);
    fixture_expect (&f, 1, 0);
    assert_int_equal (bn_journal_seek_time (f.reader, 0, f.detail), BATON_OK);
    fixture_expect (&f, 1, 300);
    fixture_fini (&f);
}

static void nothing_is_shown_before_it_is_durable (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 5), BATON_OK);
    fixture_expect (&f, 1, 5);
    for (uint64_t n = 6; n < 200; n++) {
        assert_int_equal (fixture_write (&f, 2), BATON_OK);
        fixture_expect (&f, 1, 0);
        bn_journal_reader_durable (f.reader, n);
        fixture_expect (&f, n, n);
        bn_journal_reader_durable (f.reader, ++n);
        fixture_expect (&f, n, n);
    }
    fixture_fini (&f);
}

/*  A record larger than a segment gets one for itself.  */
static void a_record_may_be_larger_than_a_segment (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    size_t size = 3000000;
    uint8_t *body = malloc (size);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)(i * 13 + i / 251);
    for (int open = 0; open < 2; open++) {
        f.vfs = bn_disk_vfs (f.disk);
        assert_int_equal (bn_journal_open (&f.writer, &f.reader, f.vfs, &f.options, 0, NULL, NULL,
                                           &f.recovery, f.detail),
                          BATON_OK);
        for (uint64_t n = 1; n <= 3 && open == 0; n++) {
            bn_journal_record_t record = {.type = 1,
                                          .sequence = n,
                                          .base = n - 1,
                                          .count = 1,
                                          .body = body,
                                          .body_size = n == 2 ? size : 10};
            assert_int_equal (bn_journal_write (f.writer, &record, 1, f.detail), BATON_OK);
            assert_int_equal (bn_journal_sync (f.writer, f.detail), BATON_OK);
        }
        bn_extent_t extents[8];
        bn_journal_reader_learn (f.reader, extents,
                                 bn_journal_writer_extents (f.writer, extents, 8));
        bn_journal_reader_durable (f.reader, 3);
        assert_int_equal (bn_journal_seek (f.reader, 1, f.detail), BATON_OK);
        bn_journal_record_t record;
        bool end;
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
        assert_int_equal (record.body_size, size);
        assert_memory_equal (record.body, body, size);
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
        assert_int_equal (record.sequence, 3);
        fixture_close (&f);
    }
    free (body);
    fixture_fini (&f);
}

static void a_record_over_the_limit_is_refused (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    f.options.record_bytes_max = 1000;
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    uint8_t body[1001] = {0};
    bn_journal_record_t record = {.type = 1, .sequence = 1, .body = body, .body_size = 1001};
    assert_int_equal (bn_journal_write (f.writer, &record, 1, f.detail), BATON_ERR_TOO_LARGE);
    assert_non_null (strstr (f.detail, "1001"));
    fixture_fini (&f);
}

static unsigned count_files (fixture_t *f)
{
    unsigned count = 0;
    for (uint64_t id = 1; id < 200; id++) {
        char name[64];
        size_t size;
        snprintf (name, sizeof name, "journal/%020llu.seg", (unsigned long long)id);
        count += bn_disk_bytes (f->disk, name, &size) != NULL;
    }
    return count;
}

/*  Trimming keeps the number of files bounded: what is let go is used again.  */
static void trimmed_segments_are_recycled_and_never_read_again (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    uint64_t first_base = 0, first_sequence = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal (fixture_append (&f, 20), BATON_OK);
        uint64_t offset = f.next > 100 ? record_base (f.next - 100) : 0;
        assert_int_equal (
            bn_journal_trim (f.writer, offset, UINT64_MAX, &first_base, &first_sequence, f.detail),
            BATON_OK);
        assert_true (first_base <= offset);
        assert_int_equal (record_base (first_sequence), first_base);
        bn_journal_reader_trimmed (f.reader, first_base);
        assert_int_equal (bn_journal_reader_first (f.reader), first_base);
        assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
        assert_true (count_files (&f) < 12);
        assert_int_equal (bn_journal_seek (f.reader, 0, f.detail), BATON_OK);
        fixture_expect (&f, first_sequence, f.next - 1);
    }
    assert_true (first_sequence > 1800);
    fixture_kill (&f);
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_NOT_FOUND);
    assert_int_equal (fixture_open (&f, first_sequence - 1), BATON_OK);
    assert_int_equal (f.first_replayed, first_sequence);
    assert_int_equal (f.last_replayed, 2000);
    assert_int_equal (f.recovery.first_sequence, first_sequence);
    assert_int_equal (f.recovery.first_base, first_base);
    assert_int_equal (f.recovery.torn_bytes, 0);
    fixture_fini (&f);
}

/*  The sequence bound holds, too: the views need records without events.  */
static void trimming_respects_offset_and_sequence (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 300), BATON_OK);
    uint64_t base, sequence, bytes, time_us, end_offset;
    assert_int_equal (bn_journal_trim (f.writer, UINT64_MAX, 1, &base, &sequence, f.detail),
                      BATON_OK);
    assert_int_equal (sequence, 1);
    assert_int_equal (bn_journal_trim (f.writer, 0, UINT64_MAX, &base, &sequence, f.detail),
                      BATON_OK);
    assert_int_equal (sequence, 1);
    bn_journal_writer_usage (f.writer, &bytes, &time_us, &end_offset);
    assert_true (bytes > 300 * 72 && bytes < 300 * (72 + 150) + 100 * 4096);
    /*  The end of the oldest segment is exactly what lets it go.  */
    assert_int_equal (
        bn_journal_trim (f.writer, end_offset - 1, UINT64_MAX, &base, &sequence, f.detail),
        BATON_OK);
    assert_int_equal (base, 0);
    assert_int_equal (
        bn_journal_trim (f.writer, end_offset, UINT64_MAX, &base, &sequence, f.detail), BATON_OK);
    assert_int_equal (base, end_offset);
    assert_int_equal (record_time (sequence - 1), time_us);
    /*  Never the newest.  */
    assert_int_equal (
        bn_journal_trim (f.writer, UINT64_MAX, UINT64_MAX, &base, &sequence, f.detail), BATON_OK);
    assert_true (sequence <= 300);
    bn_journal_writer_usage (f.writer, &bytes, &time_us, &end_offset);
    assert_true (end_offset == UINT64_MAX);
    assert_int_equal (time_us, record_time (300));
    fixture_fini (&f);
}

/*  The reader stands in a segment while it is trimmed and recycled under it.  */
static void a_reader_survives_being_overtaken_by_a_trim (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, 65536); /* more than the reader reads ahead at first */
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 500), BATON_OK);
    bn_journal_record_t record;
    bool end;
    for (uint64_t n = 1; n <= 3; n++)
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
    uint64_t base, sequence;
    for (int i = 0; i < 20; i++) {
        assert_int_equal (fixture_append (&f, 300), BATON_OK);
        assert_int_equal (
            bn_journal_trim (f.writer, UINT64_MAX, UINT64_MAX, &base, &sequence, f.detail),
            BATON_OK);
        assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
    }
    uint64_t last = 0;
    do {
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
        if (end)
            break;
        assert_true (record.sequence > last);
        assert_null (record_differs (&record, record.sequence));
        last = record.sequence;
    } while (true);
    assert_int_equal (last, f.next - 1);
    fixture_fini (&f);
}

/*  Looking at a journal changes nothing, whoever owns it.  */
static void read_only_reads_and_repairs_nothing (void **state)
{
    (void)state;
    fixture_t f, g;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 120), BATON_OK);
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_vfs_t *vfs = bn_disk_vfs (f.disk);
    bn_journal_options_t options = {.read_only = true, .segment_bytes = 1 << 20};
    assert_true (vfs->locked (vfs));
    assert_int_equal (
        bn_journal_open (&writer, &reader, vfs, &options, 0, NULL, NULL, &f.recovery, f.detail),
        BATON_OK);
    assert_null (writer);
    assert_int_equal (f.recovery.sequence_next, 121);
    bn_journal_record_t record;
    bool end;
    assert_int_equal (bn_journal_next (reader, &record, &end, f.detail), BATON_OK);
    assert_null (record_differs (&record, 1));
    bn_journal_reader_destroy (&reader);
    vfs->destroy (&vfs);
    assert_int_equal (fixture_append (&f, 10), BATON_OK);
    fixture_fini (&f);

    fixture_init (&g, 1, SMALL_SEGMENT);
    g.options.read_only = true;
    assert_int_equal (fixture_open (&g, 0), BATON_ERR_NOT_FOUND);
    size_t size;
    assert_null (bn_disk_bytes (g.disk, "FORMAT", &size));
    fixture_fini (&g);
}

static void a_second_owner_is_refused (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    bn_vfs_t *vfs = bn_disk_vfs (f.disk);
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    assert_int_equal (
        bn_journal_open (&writer, &reader, vfs, &f.options, 0, NULL, NULL, &f.recovery, f.detail),
        BATON_ERR_LOCKED);
    assert_non_null (strstr (f.detail, "another process"));
    vfs->destroy (&vfs);
    fixture_fini (&f);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_new_journal_is_empty),
        cmocka_unit_test (records_come_back_across_segments),
        cmocka_unit_test (replay_starts_behind_what_is_trusted),
        cmocka_unit_test (an_error_of_the_replay_is_returned),
        cmocka_unit_test (seeking_by_offset_finds_the_record_that_holds_it),
        cmocka_unit_test (seeking_by_time_finds_the_first_record_not_before_it),
        cmocka_unit_test (nothing_is_shown_before_it_is_durable),
        cmocka_unit_test (a_record_may_be_larger_than_a_segment),
        cmocka_unit_test (a_record_over_the_limit_is_refused),
        cmocka_unit_test (trimmed_segments_are_recycled_and_never_read_again),
        cmocka_unit_test (trimming_respects_offset_and_sequence),
        cmocka_unit_test (a_reader_survives_being_overtaken_by_a_trim),
        cmocka_unit_test (read_only_reads_and_repairs_nothing),
        cmocka_unit_test (a_second_owner_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
