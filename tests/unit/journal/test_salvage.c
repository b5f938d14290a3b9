/* SPDX-License-Identifier: MPL-2.0 */

/*  Salvage where FORMAT, MARK, headers and names are damaged, missing, or those of others.  */
#include "base/crc32c.h"
#include "unit/journal/salvage_fixture.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*  ---- nothing is wrong ---- */

static void a_whole_journal_comes_back_and_says_where_it_begins_and_ends (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    assert_true (result.begins);
    assert_int_equal (result.begin_sequence, 1);
    assert_int_equal (result.begin_base, 0);
    expect_end (RECORDS, record_base (RECORDS + 1), true);
    assert_int_equal (result.torn, 0);
    /*  What is not named as a segment is none, and nobody minds it.  */
    static const char *const others[] = {"journal/00000000000000000000.seg",
                                         "journal/99999999999999999999.seg",
                                         "journal/00000000000000000001.sig",
                                         "journal/0000000000000000001.seg",
                                         "journal/000000000000000000001.seg",
                                         "journal/00000000000000000002.seg.old",
                                         "journal/x"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        make_file (disk, others[i], "?", 1);
    salvage (disk);
    expect_records (1, RECORDS, 0, 0);
    assert_int_equal (result.note_count, 0);
    assert_int_equal (fixture_open (&journal, 0), BATON_OK);
    assert_int_equal (journal.last_replayed, RECORDS);
    /*  While it is being written, too; and nobody needs to listen.  */
    append (20);
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    bn_salvage_t *deaf;
    assert_int_equal (bn_disk_flip (disk, name_of (name, 2), 0, 1), true);
    assert_int_equal (bn_salvage_new (&deaf, vfs, 0, NULL, NULL, result.detail), BATON_OK);
    bn_salvage_destroy (&deaf);
    vfs->destroy (&vfs);
    salvage (disk);
    expect_records (1, RECORDS + 20, 0, 0);
    end_journal ();
}

/*  ---- FORMAT and MARK ---- */

static void a_damaged_format_costs_nothing_and_a_newer_one_is_refused (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    static const char *const damaged[] = {"",           "baton",     "baton \n",    "baton 0\n",
                                          "baton 1",    "baton 2",   "baton 1\n\n", "batch 2\n",
                                          "baton 2 \n", "baton x2\n"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        make_file (disk, "FORMAT", damaged[i], strlen (damaged[i]));
        salvage (disk);
        expect_note ("FORMAT", "it is damaged");
        expect_records (1, RECORDS, 0, 0);
    }
    make_file (disk, "FORMAT", "baton 2\n", 8);
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    salvage_vfs (&result, vfs, 0);
    vfs->destroy (&vfs);
    assert_int_equal (result.err, BATON_ERR_FORMAT);
    assert_non_null (strstr (result.detail, "FORMAT: the data has format 2"));
    assert_true (bn_disk_remove (disk, "FORMAT"));
    salvage (disk);
    expect_note ("FORMAT", "it is missing");
    expect_records (1, RECORDS, 0, 0);
    end_journal ();
}

static void put_le32 (uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/*  A mark with that changed, and a checksum that holds.  */
static void forge_mark (bn_disk_t *disk, size_t at, uint32_t value)
{
    uint8_t bytes[BN_MARK_BYTES];
    bn_mark_t mark = {.salt = SALT, .first_segment = 1, .synced = RECORDS};
    bn_mark_encode (&mark, bytes);
    put_le32 (bytes + at, value);
    put_le32 (bytes + 44, bn_crc32c (0, bytes, 44));
    make_file (disk, "journal/MARK", bytes, sizeof bytes);
}

static void a_damaged_mark_costs_nothing (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    static const struct {
        size_t at;
        uint32_t value;
        const char *why;
    } cases[] = {{0, 1, "it is not a mark file"},
                 {4, 2, "the version is unknown"},
                 {16, 0, "the number of the first segment is 0"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forge_mark (disk, cases[i].at, cases[i].value);
        salvage (disk);
        expect_note ("journal/MARK", cases[i].why);
        expect_records (1, RECORDS, 0, 0);
        assert_true (result.begins);
        /*  Whoever opens such a journal is told the same.  */
        assert_int_equal (fixture_open (&journal, 0), BATON_ERR_ROT);
        assert_non_null (strstr (journal.detail, "journal/MARK"));
        assert_non_null (strstr (journal.detail, cases[i].why));
    }
    forge_mark (disk, 4, 1);
    bn_disk_flip (disk, "journal/MARK", 25, 1);
    salvage (disk);
    expect_note ("journal/MARK", "the checksum is wrong");
    assert_true (bn_disk_remove (disk, "journal/MARK"));
    salvage (disk);
    expect_note ("journal/MARK", "it cannot be read");
    expect_records (1, RECORDS, 0, 0);
    expect_end (RECORDS, record_base (RECORDS + 1), true);
    end_journal ();
}

static void without_segments_or_a_name_for_the_journal_there_is_nothing (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    size_t size;
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    assert_true (bn_disk_remove (disk, "journal/MARK"));
    for (uint64_t id = 1; id < 30; id++)
        if (bn_disk_bytes (disk, name_of (name, id), &size))
            bn_disk_flip (disk, name, 20, 1);
    salvage_vfs (&result, vfs, 0);
    assert_int_equal (result.err, BATON_ERR_ROT);
    assert_non_null (strstr (result.detail, "neither MARK nor any segment"));
    for (uint64_t id = 1; id < 30; id++)
        bn_disk_remove (disk, name_of (name, id));
    salvage_vfs (&result, vfs, 0);
    assert_int_equal (result.err, BATON_ERR_NOT_FOUND);
    assert_non_null (strstr (result.detail, "there are no segments here"));
    /*  No folder at all: the third call lists it, behind the opening of FORMAT, its reading, and
     *  the opening of MARK.  */
    bn_disk_fail_at (disk, bn_disk_calls (disk) + 3, ENOENT);
    salvage_vfs (&result, vfs, 0);
    assert_int_equal (result.err, BATON_ERR_NOT_FOUND);
    vfs->destroy (&vfs);
    end_journal ();
}

/*  MARK may say that everything is trimmed that is here.  */
static void segments_before_the_mark_are_leftovers (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    uint64_t first = RECORDS;
    while (places[first].segment == places[RECORDS].segment)
        first--;
    forge_mark (disk, 16, (uint32_t)places[RECORDS].segment);
    salvage (disk);
    assert_int_equal (result.note_count, 0);
    expect_records (first + 1, RECORDS, 0, 0);
    assert_true (result.begins);
    assert_int_equal (result.begin_sequence, first + 1);
    assert_int_equal (result.begin_base, record_base (first + 1));
    forge_mark (disk, 16, 4000);
    salvage (disk);
    assert_int_equal (result.count, 0);
    assert_false (result.begins);
    assert_int_equal (result.end_sequence, RECORDS); /* MARK says so */
    assert_false (result.exact);
    end_journal ();
}

/*  ---- headers and names ---- */

static void a_damaged_header_costs_nothing (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    uint64_t last = places[RECORDS].segment;
    size_t size;
    for (uint64_t id = 1; id <= last; id++) {
        bn_disk_t *copy = bn_disk_copy (disk);
        bn_disk_flip (copy, name_of (name, id), 20, 1);
        salvage (copy);
        expect_note (name, "the header is damaged");
        expect_records (1, RECORDS, 0, 0);
        assert_true (result.begins && result.begin_sequence == 1 && result.begin_base == 0);
        /*  Also without anything that says which segment is the first.  */
        bn_disk_remove (copy, "journal/MARK");
        salvage (copy);
        assert_true (noted (name, "the header is damaged"));
        expect_records (1, RECORDS, 0, 0);
        bn_disk_destroy (&copy);
    }
    /*  The newest file was prepared and is empty: it has no header yet.  */
    if (!bn_disk_bytes (disk, name_of (name, last + 1), &size)) {
        uint8_t zeros[SMALL_SEGMENT] = {0};
        make_file (disk, name, zeros, sizeof zeros);
    }
    salvage (disk);
    assert_int_equal (result.note_count, 0);
    expect_records (1, RECORDS, 0, 0);
    /*  Cut off within the header, and before.  */
    for (size_t keep = 0; keep <= 100; keep += 50) {
        bn_disk_truncate (disk, name, keep);
        salvage (disk);
        assert_int_equal (result.note_count, 0);
        expect_records (1, RECORDS, 0, 0);
    }
    end_journal ();
}

static void headers_of_other_journals_and_segments_are_told (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64], other[64];
    uint64_t lost_first = 1, lost_last; /* in segment 2 */
    while (places[lost_first].segment == 1)
        lost_first++;
    for (lost_last = lost_first; places[lost_last + 1].segment == 2;)
        lost_last++;
    bn_segment_header_t header = read_header (disk, 2);
    header.salt = SALT + 1;
    bn_segment_header_t first = read_header (disk, 1), foreign = first;
    foreign.salt = SALT + 1;
    write_header (disk, 1, &foreign);
    salvage (disk);
    expect_note (name_of (name, 1), "the header is that of another journal");
    expect_records (1, RECORDS, 0, 0);
    assert_true (result.begins && result.begin_sequence == 1);
    write_header (disk, 1, &first);
    write_header (disk, 2, &header);
    salvage (disk);
    expect_note (name_of (name, 2), "the header is that of another journal");
    expect_records (1, RECORDS, 0, 0);
    header = read_header (disk, 3);
    write_header (disk, 2, &header);
    salvage (disk);
    expect_note (name_of (name, 2), "the header is that of another segment");
    expect_records (1, RECORDS, 0, 0);
    /*  Two files have changed their names.  */
    header.salt = SALT;
    header.segment = 2;
    write_header (disk, 2, &header);
    size_t size2, size3;
    uint8_t *two = copy_of (disk, name_of (name, 2), &size2);
    uint8_t *three = copy_of (disk, name_of (other, 3), &size3);
    make_file (disk, name, three, size3);
    make_file (disk, other, two, size2);
    salvage (disk);
    assert_int_equal (result.note_count, 2);
    assert_true (noted (name, "it holds another segment"));
    assert_true (noted (other, "it holds another segment"));
    expect_records (1, RECORDS, 0, 0);
    /*  One of them twice, the other one gone.  */
    make_file (disk, other, three, size3);
    salvage (disk);
    expect_records (1, RECORDS, lost_first, lost_last);
    free (two);
    free (three);
    end_journal ();
}

/*  The lowest numbers are gone; what was trimmed may be used again behind the newest.  */
static void a_trimmed_journal_begins_where_it_was_trimmed (void **state)
{
    (void)state;
    uint64_t base, first;
    char name[64];
    start_journal ();
    for (int i = 0; i < 12; i++) {
        append (25);
        uint64_t keep = journal.next > 80 ? journal.next - 80 : 1;
        assert_int_equal (bn_journal_trim (journal.writer, record_base (keep), UINT64_MAX, &base,
                                           &first, journal.detail),
                          BATON_OK);
        assert_int_equal (bn_journal_prepare (journal.writer, journal.detail), BATON_OK);
    }
    uint64_t last = journal.next - 1;
    fixture_close (&journal);
    salvage (journal.disk);
    assert_int_equal (result.note_count, 0);
    expect_records (first, last, 0, 0);
    assert_true (result.begins);
    assert_int_equal (result.begin_sequence, first);
    assert_int_equal (result.begin_base, base);
    expect_end (last, record_base (last + 1), true);
    uint64_t oldest = places[first].segment;
    assert_true (oldest > 1);
    /*  With its first header damaged only the records tell.  */
    bn_disk_t *copy = bn_disk_copy (journal.disk);
    bn_disk_flip (copy, name_of (name, oldest), 30, 1);
    salvage (copy);
    expect_note (name, "the header is damaged");
    expect_records (first, last, 0, 0);
    assert_false (result.begins);
    bn_disk_destroy (&copy);
    /*  Without MARK nothing of what was trimmed comes back between.  */
    assert_true (bn_disk_remove (journal.disk, "journal/MARK"));
    salvage (journal.disk);
    assert_true (result.count >= last - first + 1);
    for (size_t i = 0; i < result.count; i++)
        assert_int_equal (result.found[i], last + 1 - result.count + i);
    end_journal ();
}

static void a_missing_first_segment_is_a_hole_at_the_beginning (void **state)
{
    (void)state;
    bn_disk_t *disk = make_journal ();
    char name[64];
    uint64_t lost = 1;
    while (places[lost + 1].segment == 1)
        lost++;
    bn_disk_remove (disk, name_of (name, 1));
    salvage (disk);
    expect_records (1, RECORDS, 1, lost);
    assert_true (result.begins && result.begin_sequence == 1 && result.begin_base == 0);
    /*  Only one is left, and nothing says that there were others.  */
    for (uint64_t id = 2; id < places[RECORDS].segment; id++)
        bn_disk_remove (disk, name_of (name, id));
    for (uint64_t id = 1; id < 4; id++)
        bn_disk_remove (disk, name_of (name, places[RECORDS].segment + id));
    bn_disk_remove (disk, "journal/MARK");
    salvage (disk);
    assert_true (result.count > 0);
    assert_int_equal (result.found[result.count - 1], RECORDS);
    assert_true (result.begins);
    assert_int_equal (result.begin_sequence, result.found[0]);
    assert_int_equal (result.begin_base, record_base (result.found[0]));
    end_journal ();
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_whole_journal_comes_back_and_says_where_it_begins_and_ends),
        cmocka_unit_test (a_damaged_format_costs_nothing_and_a_newer_one_is_refused),
        cmocka_unit_test (a_damaged_mark_costs_nothing),
        cmocka_unit_test (without_segments_or_a_name_for_the_journal_there_is_nothing),
        cmocka_unit_test (segments_before_the_mark_are_leftovers),
        cmocka_unit_test (a_damaged_header_costs_nothing),
        cmocka_unit_test (headers_of_other_journals_and_segments_are_told),
        cmocka_unit_test (a_trimmed_journal_begins_where_it_was_trimmed),
        cmocka_unit_test (a_missing_first_segment_is_a_hole_at_the_beginning),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
