/* SPDX-License-Identifier: MPL-2.0 */

/*  Salvage where records are damaged, doubled, unfinished or do not follow: what is found, what is
 *  said about what is not, and that a disk or a memory that fails is never taken for a loss.
 *
 *  calloc and realloc are wrapped by the linker; the disk opens its files with malloc.  */
#include "unit/journal/salvage_fixture.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*  ---- memory that runs out ---- */

static bool at_work; /* salvage is at work */
static uint64_t allocations, fail_number;

void *__real_calloc (size_t count, size_t size);
void *__real_realloc (void *memory, size_t size);
void *__wrap_calloc (size_t count, size_t size);
void *__wrap_realloc (void *memory, size_t size);

static bool out_of_memory (void)
{
    return at_work && allocations++ == fail_number;
}

void *__wrap_calloc (size_t count, size_t size)
{
    return out_of_memory () ? NULL : __real_calloc (count, size);
}

void *__wrap_realloc (void *memory, size_t size)
{
    return out_of_memory () ? NULL : __real_realloc (memory, size);
}

/*  ---- records ---- */

static void what_is_lost_shows_as_a_hole (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    static const struct {
        uint64_t first, last;
    } cases[] = {{1, 1}, {1, 5}, {40, 40}, {40, 90}, {148, 149}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bn_disk_t *copy = bn_disk_copy (disk);
        for (uint64_t n = cases[i].first; n <= cases[i].last; n++)
            spoil (copy, n);
        salvage (copy);
        expect_records (1, RECORDS, cases[i].first, cases[i].last);
        expect_end (RECORDS, record_base (RECORDS + 1), true);
        bn_disk_destroy (&copy);
    }
    end_journal ();
}

/*  The last records are gone. COMMIT behind them says how far they went; MARK says how many.  */
static void a_lost_end_is_known_as_well_as_it_can_be (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    for (uint64_t n = RECORDS - 3; n <= RECORDS; n++)
        spoil (disk, n);
    salvage (disk);
    expect_records (1, RECORDS - 4, 0, 0);
    expect_end (RECORDS, record_base (RECORDS + 1), true);
    /*  COMMIT, too.  */
    uint64_t end = places[RECORDS].position + BN_FRAME_BYTES + bn_padded (record_size (RECORDS));
    bn_disk_flip (disk, name_of (name, places[RECORDS].segment), end + 3, 1);
    salvage (disk);
    expect_records (1, RECORDS - 4, 0, 0);
    expect_end (RECORDS, record_base (RECORDS + 1), false);
    /*  Only the caller's views know of them.  */
    bn_disk_remove (disk, "journal/MARK");
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    salvage_vfs (&result, vfs, RECORDS);
    expect_end (RECORDS, record_base (RECORDS + 1), false);
    /*  Nobody knows: what is left is all there is.  */
    salvage_vfs (&result, vfs, 0);
    assert_true (result.end_sequence < RECORDS && result.end_sequence >= RECORDS - 4);
    vfs->destroy (&vfs);
    end_journal ();
}

/*  END is written when the next file is there.  */
static void an_ended_segment_without_a_successor_has_lost_it (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    uint64_t segment = places[RECORDS].segment, last = RECORDS;
    bn_disk_remove (disk, "journal/MARK");
    for (uint64_t id = segment; id < segment + 3; id++)
        bn_disk_remove (disk, name_of (name, id));
    while (places[last].segment == segment)
        last--;
    salvage (disk);
    expect_records (1, last, 0, 0);
    expect_end (last + 1, record_base (last + 1) + 1, false);
    end_journal ();
}

/*  The last record of a segment, its END, and all of the next one are gone, but for its header.  */
static void a_header_vouches_for_what_was_before_it (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    uint64_t segment = places[RECORDS].segment, last = RECORDS;
    bn_segment_header_t header = read_header (disk, segment);
    bn_disk_remove (disk, "journal/MARK");
    bn_disk_truncate (disk, name_of (name, segment), BN_SEGMENT_AREA);
    while (places[last].segment == segment)
        last--;
    bn_disk_truncate (disk, name_of (name, segment - 1), places[last].position);
    salvage (disk);
    expect_records (1, last - 1, 0, 0);
    assert_int_equal (header.first_sequence, last + 1);
    expect_end (last, record_base (last + 1), true);
    end_journal ();
}

/*  Nobody claims that they were on disk: as at any start, what is unbroken counts.  */
static void an_unfinished_write_is_left (void **state)
{
    (void)state;
    start_journal ();
    append (5);
    assert_int_equal (fixture_write (&journal, 6), BATON_OK);
    fixture_kill (&journal);
    salvage (journal.disk);
    expect_records (1, 11, 0, 0);
    assert_int_equal (result.torn, 0);
    spoil (journal.disk, 8);
    salvage (journal.disk);
    expect_records (1, 7, 0, 0);
    assert_int_equal (result.torn, 3);
    expect_end (7, record_base (8), true);
    /*  Somebody does claim it: then it is a loss.  */
    bn_vfs_t *vfs = bn_disk_vfs (journal.disk);
    salvage_vfs (&result, vfs, 9);
    expect_records (1, 11, 8, 8);
    assert_int_equal (result.torn, 0);
    vfs->destroy (&vfs);
    end_journal ();
}

/*  A write that goes over into another segment is one as well.  */
static void an_unfinished_write_over_several_segments_is_taken_whole (void **state)
{
    (void)state;
    start_journal ();
    assert_int_equal (fixture_write (&journal, 100), BATON_OK);
    fixture_kill (&journal);
    salvage (journal.disk);
    expect_records (1, 100, 0, 0);
    assert_int_equal (result.torn, 0);
    assert_true (places[100].segment >= 3);
    uint64_t last = 100;
    while (places[last].segment == places[100].segment)
        last--;
    spoil (journal.disk, last + 1);
    salvage (journal.disk);
    expect_records (1, last, 0, 0);
    assert_int_equal (result.torn, 100 - last - 1);
    end_journal ();
}

/*  ---- files that are there twice ---- */

/*  An older state of the newest segment, and a whole one of each.  */
static void copies_under_other_names_add_nothing (void **state)
{
    (void)state;
    char name[64];
    size_t size;
    start_journal ();
    append (140);
    bn_disk_t *disk = journal.disk;
    salvage (disk);
    uint64_t newest = places[140].segment;
    uint8_t *old = copy_of (disk, name_of (name, newest), &size);
    append (10);
    fixture_close (&journal);
    make_file (disk, name_of (name, 900), old, size);
    free (old);
    salvage (disk);
    expect_records (1, 150, 0, 0);
    expect_end (150, record_base (151), true);
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    for (uint64_t id = 1; id <= newest; id++) {
        uint8_t *bytes = copy_of (disk, name_of (name, id), &size);
        make_file (disk, name_of (name, 800 + id), bytes, size);
        free (bytes);
    }
    salvage (disk);
    expect_records (1, 150, 0, 0);
    /*  What one copy has lost, the other one has.  */
    for (uint64_t n = 1; n <= 150; n++)
        bn_disk_flip (disk, name_of (name, n % 3 ? places[n].segment % 800 : places[n].segment),
                      places[n].position + 3, n % 2 ? 0x40 : 0);
    salvage (disk);
    expect_records (1, 150, 0, 0);
    vfs->destroy (&vfs);
    end_journal ();
}

/*  ---- records that hold and do not follow ---- */

static void wrap_around (bn_frame_t *frame)
{
    frame->base = UINT64_MAX - 1;
    frame->count = 10;
}

static void have_no_number (bn_frame_t *frame)
{
    frame->sequence = 0;
}

static void repeat (bn_frame_t *frame)
{
    frame->sequence--;
}

static void go_back (bn_frame_t *frame)
{
    frame->base = 1;
}

static void leave_a_gap (bn_frame_t *frame)
{
    frame->base += 5;
}

static void records_that_do_not_follow_are_left_out (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    static void (*const changes[]) (bn_frame_t *) = {wrap_around, have_no_number, repeat, go_back,
                                                     leave_a_gap};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        bn_disk_t *copy = bn_disk_copy (disk);
        forge (copy, 70, changes[i]);
        salvage (copy);
        expect_records (1, RECORDS, 70, 70);
        expect_end (RECORDS, record_base (RECORDS + 1), true);
        bn_disk_destroy (&copy);
    }
    end_journal ();
}

/*  A COMMIT that says less than the records before it is not believed.  */
static void an_end_that_contradicts_the_records_is_not_believed (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    uint8_t bytes[BN_FRAME_BYTES];
    uint64_t segment = places[RECORDS].segment;
    bn_frame_t frame = {.kind = BN_FRAME_COMMIT,
                        .tag = bn_segment_tag (SALT, segment),
                        .sequence = RECORDS + 7,
                        .base = 3,
                        .synced = RECORDS + 7};
    bn_frame_encode (&frame, bytes);
    put (disk, name_of (name, segment),
         places[RECORDS].position + BN_FRAME_BYTES + bn_padded (record_size (RECORDS)), bytes,
         sizeof bytes);
    salvage (disk);
    expect_records (1, RECORDS, 0, 0);
    expect_end (RECORDS + 7, record_base (RECORDS + 1), false);
    end_journal ();
}

/*  Somebody changes the files under it: what is shown holds, whatever was seen before. Two copies
 *  are read in turns here, so that nothing is left of what was read before.  */
static void damage_that_comes_later_is_seen (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    size_t size;
    uint8_t *bytes = copy_of (disk, name_of (name, 1), &size);
    make_file (disk, name_of (name, 900), bytes, size);
    free (bytes);
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    bn_salvage_t *salvaging;
    bn_journal_record_t record;
    bool end = false;
    result = (result_t){.err = BATON_OK};
    assert_int_equal (bn_salvage_new (&salvaging, vfs, 0, NULL, NULL, result.detail), BATON_OK);
    assert_int_equal (bn_salvage_next (salvaging, &record, &end, result.detail), BATON_OK);
    assert_int_equal (record.sequence, 1);
    for (uint64_t n = 2; n < 12; n++) {
        assert_int_equal (places[n].segment, 1);
        bn_disk_flip (disk, name_of (name, 1), places[n].position + 3, 0x40);
        bn_disk_flip (disk, name_of (name, 900), places[n].position + 3, 0x40);
    }
    uint64_t count = 1, last = 1;
    while (bn_salvage_next (salvaging, &record, &end, result.detail) == BATON_OK && !end) {
        assert_null (record_differs (&record, record.sequence));
        assert_true (record.sequence > last);
        last = record.sequence;
        count++;
    }
    assert_true (end);
    assert_int_equal (last, RECORDS);
    assert_true (count >= RECORDS - 10);
    bn_salvage_destroy (&salvaging);
    vfs->destroy (&vfs);
    end_journal ();
}

/*  ---- failures ---- */

static void a_read_that_fails_is_told_and_is_no_loss (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    size_t size;
    uint8_t *bytes = copy_of (disk, name_of (name, 1), &size);
    make_file (disk, name_of (name, 900), bytes, size); /* so that files are opened in turns */
    free (bytes);
    static const struct {
        int error;
        baton_err_t expected;
    } errors[] = {{EIO, BATON_ERR_IO}, {EACCES, BATON_ERR_PERMISSION}, {ENOMEM, BATON_ERR_MEMORY}};
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    unsigned told = 0;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        bool reached = true;
        for (uint64_t call = 0; reached; call++) {
            uint64_t at = bn_disk_calls (disk) + call;
            bn_disk_fail_at (disk, at, errors[e].error);
            salvage_vfs (&result, vfs, 0);
            reached = bn_disk_calls (disk) > at;
            if (result.err) {
                assert_int_equal (result.err, errors[e].expected);
                assert_non_null (strstr (result.detail, "journal"));
                assert_non_null (strstr (result.detail, strerror (errors[e].error)));
                told++;
            } else {
                /*  FORMAT and MARK can be done without.  */
                expect_records (1, RECORDS, 0, 0);
                assert_true (result.note_count <= 2);
            }
        }
    }
    assert_true (told > 40);
    vfs->destroy (&vfs);
    end_journal ();
}

/*  With more files than the first table has room for.  */
static void memory_that_runs_out_is_told_and_is_no_loss (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    uint8_t zeros[64] = {0};
    for (uint64_t id = 1000; id < 1070; id++)
        make_file (disk, name_of (name, id), zeros, sizeof zeros);
    bool reached = true;
    unsigned told = 0;
    for (uint64_t number = 0; reached; number++) {
        bn_vfs_t *vfs = bn_disk_vfs (disk);
        allocations = 0;
        fail_number = number;
        result = (result_t){.err = BATON_OK};
        bn_salvage_t *salvaging = NULL;
        bn_journal_record_t record;
        bool end = false;
        uint64_t count = 0;
        char detail[512];
        for (int step = 0; !result.err && !end; step++) {
            at_work = true;
            result.err = step == 0 ? bn_salvage_new (&salvaging, vfs, 0, NULL, NULL, detail)
                                   : bn_salvage_next (salvaging, &record, &end, detail);
            at_work = false;
            count += !result.err && !end && step > 0;
        }
        reached = allocations > number;
        assert_int_equal (result.err, reached ? BATON_ERR_MEMORY : BATON_OK);
        if (result.err) {
            assert_true (*detail);
            told++;
        } else
            assert_int_equal (count, RECORDS);
        bn_salvage_destroy (&salvaging);
        vfs->destroy (&vfs);
    }
    assert_true (told >= 5);
    end_journal ();
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_is_lost_shows_as_a_hole),
        cmocka_unit_test (a_lost_end_is_known_as_well_as_it_can_be),
        cmocka_unit_test (an_ended_segment_without_a_successor_has_lost_it),
        cmocka_unit_test (a_header_vouches_for_what_was_before_it),
        cmocka_unit_test (an_unfinished_write_is_left),
        cmocka_unit_test (an_unfinished_write_over_several_segments_is_taken_whole),
        cmocka_unit_test (copies_under_other_names_add_nothing),
        cmocka_unit_test (records_that_do_not_follow_are_left_out),
        cmocka_unit_test (an_end_that_contradicts_the_records_is_not_believed),
        cmocka_unit_test (damage_that_comes_later_is_seen),
        cmocka_unit_test (a_read_that_fails_is_told_and_is_no_loss),
        cmocka_unit_test (memory_that_runs_out_is_told_and_is_no_loss),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
