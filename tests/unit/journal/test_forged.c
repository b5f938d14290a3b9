/* SPDX-License-Identifier: MPL-2.0 */

/*  Files whose checksums hold and whose content cannot be: opening refuses them by name and place.
 *  And beginnings: of a journal, of its numbers, and what an interrupted one left.  */
#include "base/crc32c.h"
#include "journal/format.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SALT    4711
#define RECORDS 120

static fixture_t f;
static char name[64];

static const char *name_of (uint64_t segment)
{
    snprintf (name, sizeof name, "journal/%020" PRIu64 ".seg", segment);
    return name;
}

static void make_journal (void)
{
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    for (int i = 0; i < RECORDS / 4; i++)
        assert_int_equal (fixture_append (&f, 4), BATON_OK);
    fixture_close (&f);
}

static void put (const char *file, size_t at, const void *bytes, size_t size)
{
    size_t file_size;
    const uint8_t *now = bn_disk_bytes (f.disk, file, &file_size);
    assert_true (now && at + size <= file_size);
    for (size_t i = 0; i < size; i++)
        bn_disk_flip (f.disk, file, at + i, now[at + i] ^ ((const uint8_t *)bytes)[i]);
}

static bn_segment_header_t header_of (uint64_t segment)
{
    size_t size;
    bn_segment_header_t header;
    const uint8_t *bytes = bn_disk_bytes (f.disk, name_of (segment), &size);
    assert_null (bn_segment_header_decode (&header, bytes, size, segment, SALT));
    return header;
}

static void put_header (bn_segment_header_t *header)
{
    uint8_t area[BN_SEGMENT_AREA];
    bn_segment_header_encode (header, area);
    put (name_of (header->segment), 0, area, sizeof area);
}

static bn_frame_t frame_at (uint64_t segment, uint64_t position)
{
    size_t size;
    bn_frame_t frame;
    const uint8_t *bytes = bn_disk_bytes (f.disk, name_of (segment), &size);
    assert_null (bn_frame_decode (&frame, bytes + position, bn_segment_tag (SALT, segment)));
    return frame;
}

static void put_frame (uint64_t segment, uint64_t position, bn_frame_t *frame)
{
    uint8_t bytes[BN_FRAME_BYTES];
    bn_frame_encode (frame, bytes);
    put (name_of (segment), position, bytes, sizeof bytes);
}

static void expect_rot (const char *file, uint64_t at, const char *why)
{
    char where[128];
    snprintf (where, sizeof where, "%s, byte %" PRIu64 ": ", file, at);
    baton_err_t err = fixture_open (&f, 0);
    if (err != BATON_ERR_ROT || !strstr (f.detail, where) || !strstr (f.detail, why))
        fail_msg ("%s: %s; expected: %s...%s", baton_err_name (err), f.detail, where, why);
}

/*  ---- links between segments ---- */

static void a_header_that_lies_about_the_segment_before_is_rot (void **state)
{
    (void)state;
    static const char why[] = "the segment does not end as its successor says";
    make_journal ();
    for (int lie = 0; lie < 5; lie++) {
        bn_segment_header_t header = header_of (3), truth = header;
        uint64_t at = header.previous_end;
        bn_frame_t end = frame_at (2, at), true_end = end;
        if (lie == 0)
            header.previous_end = at = BN_SEGMENT_AREA; /* a record */
        else if (lie == 1)
            header.previous_crc++;
        else if (lie == 2)
            header.first_sequence++;
        else if (lie == 3)
            header.first_base++;
        else {
            /*  They agree, on what cannot be.  */
            end.sequence = 0;
            put_frame (2, at, &end);
            header.previous_crc = end.crc;
            header.first_sequence = 1;
        }
        put_header (&header);
        expect_rot (name_of (2), at, why);
        put_header (&truth);
        put_frame (2, truth.previous_end, &true_end);
    }
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.last_replayed, RECORDS);
    fixture_fini (&f);
}

/*  An END, or a COMMIT, before the place that the next segment names.  */
static void a_segment_that_ends_too_early_is_rot (void **state)
{
    (void)state;
    static const bn_frame_kind_t kinds[] = {BN_FRAME_END, BN_FRAME_COMMIT};
    make_journal ();
    uint64_t second = BN_SEGMENT_AREA + BN_FRAME_BYTES + bn_padded (record_size (1));
    bn_frame_t first = frame_at (1, BN_SEGMENT_AREA);
    for (int i = 0; i < 2; i++) {
        bn_frame_t frame = {.kind = (uint16_t)kinds[i],
                            .tag = bn_segment_tag (SALT, 1),
                            .sequence = 1,
                            .base = record_base (2),
                            .synced = 1,
                            .previous_crc = first.crc};
        put_frame (1, second, &frame);
        expect_rot (name_of (1), kinds[i] == BN_FRAME_END ? second + BN_FRAME_BYTES : second,
                    "the segment ends too early");
    }
    fixture_fini (&f);
}

/*  ---- records ---- */

static void a_record_that_claims_what_cannot_be_is_rot (void **state)
{
    (void)state;
    make_journal ();
    bn_frame_t frame = frame_at (1, BN_SEGMENT_AREA);
    frame.synced = frame.sequence; /* itself, before it was written */
    put_frame (1, BN_SEGMENT_AREA, &frame);
    expect_rot (name_of (1), BN_SEGMENT_AREA, "it does not continue the one before it");
    fixture_fini (&f);
}

static void offsets_do_not_wrap_around (void **state)
{
    (void)state;
    fixture_init (&f, 1, SMALL_SEGMENT);
    f.options.first_base = UINT64_MAX - 2;
    bn_journal_record_t record = {
        .type = RECORD_TYPE, .sequence = 1, .base = UINT64_MAX - 2, .count = 10};
    bn_vfs_t *vfs = bn_disk_vfs (f.disk);
    assert_int_equal (bn_journal_open (&f.writer, &f.reader, vfs, &f.options, 0, NULL, NULL,
                                       &f.recovery, f.detail),
                      BATON_OK);
    assert_int_equal (bn_journal_write (f.writer, &record, 1, f.detail), BATON_OK);
    assert_int_equal (bn_journal_sync (f.writer, f.detail), BATON_OK);
    fixture_kill (&f);
    vfs->destroy (&vfs);
    expect_rot (name_of (1), BN_SEGMENT_AREA, "it does not continue the one before it");
    fixture_fini (&f);
}

static void put_le32 (uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/*  Of a format that does not exist yet, with a checksum that holds.  */
static void versions_that_nobody_knows_are_refused (void **state)
{
    (void)state;
    size_t size;
    uint8_t bytes[BN_FRAME_BYTES];
    make_journal ();
    memcpy (bytes, bn_disk_bytes (f.disk, name_of (1), &size) + BN_SEGMENT_AREA, sizeof bytes);
    bytes[6] = 2;
    put_le32 (bytes + 68, bn_crc32c (0, bytes, 68));
    put (name_of (1), BN_SEGMENT_AREA, bytes, sizeof bytes);
    expect_rot (name_of (1), BN_SEGMENT_AREA, "the version or kind of the header is unknown");
    memcpy (bytes, bn_disk_bytes (f.disk, name_of (2), &size), 64);
    bytes[4] = 2;
    put_le32 (bytes + 60, bn_crc32c (0, bytes, 60));
    put (name_of (2), 0, bytes, 64);
    expect_rot (name_of (2), 0, "the version of the segment header is unknown");
    fixture_fini (&f);
}

/*  ---- beginnings ---- */

static void a_journal_may_begin_anywhere (void **state)
{
    (void)state;
    fixture_init (&f, 1, SMALL_SEGMENT);
    f.options.first_sequence = 101;
    f.options.first_base = record_base (101);
    assert_int_equal (fixture_open (&f, 100), BATON_OK);
    assert_int_equal (f.next, 101);
    assert_int_equal (fixture_append (&f, 50), BATON_OK);
    fixture_expect (&f, 101, 150);
    fixture_close (&f);
    /*  It needs the views that know what was before.  */
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_NOT_FOUND);
    assert_non_null (strstr (f.detail, "the journal begins with record 101, record 1 is needed"));
    f.options.read_only = true;
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.first_replayed, 101);
    fixture_close (&f);
    /*  Nothing is asked for: the usual limits.  */
    bn_vfs_t *vfs = bn_disk_vfs (f.disk);
    assert_int_equal (
        bn_journal_open (&f.writer, &f.reader, vfs, NULL, 120, NULL, NULL, &f.recovery, f.detail),
        BATON_OK);
    assert_int_equal (f.recovery.sequence_next, 151);
    fixture_abandon (&f);
    vfs->destroy (&vfs);
    fixture_fini (&f);
}

/*  Without MARK: never used, or somebody has removed it.  */
static void only_an_unused_journal_may_be_without_a_mark (void **state)
{
    (void)state;
    fixture_init (&f, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    fixture_kill (&f);
    bn_disk_remove (f.disk, "journal/MARK");
    bn_disk_truncate (f.disk, name_of (1), BN_SEGMENT_AREA); /* and its COMMIT */
    f.options.read_only = true;
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_NOT_FOUND);
    assert_non_null (strstr (f.detail, "the journal was never used"));
    f.options.read_only = false;
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_true (f.recovery.created);
    fixture_fini (&f);
    for (int how = 0; how < 3; how++) {
        make_journal ();
        bn_disk_remove (f.disk, "journal/MARK");
        for (uint64_t id = 1; id < 20 && how < 2; id++)
            if (how == 0 ? id > 1 : id != 2) /* only the first, or another, is left */
                bn_disk_remove (f.disk, name_of (id));
        for (int read_only = 0; read_only < 2; read_only++) {
            f.options.read_only = read_only;
            assert_int_equal (fixture_open (&f, 0), BATON_ERR_ROT);
            assert_non_null (strstr (f.detail, "journal/MARK: it is missing, but there are "));
        }
        fixture_fini (&f);
    }
}

/*  Each call of opening fails, with the leftovers of a trim and of a preparation about.  */
static void leftovers_are_removed_and_looked_at_by_nobody (void **state)
{
    (void)state;
    size_t size;
    uint8_t bytes[BN_MARK_BYTES];
    bool reached = true;
    unsigned failures = 0;
    for (uint64_t call = 0; reached; call++) {
        make_journal ();
        bn_mark_t mark = {.salt = SALT, .first_segment = 3, .synced = RECORDS};
        bn_mark_encode (&mark, bytes);
        put ("journal/MARK", 0, bytes, sizeof bytes);
        uint64_t first = header_of (3).first_sequence;
        bn_vfs_t *vfs = bn_disk_vfs (f.disk);
        bn_vfile_t *file;
        assert_int_equal (vfs->open (vfs, "journal/next.tmp", true, true, &file), 0);
        vfs->close (vfs, &file);
        vfs->destroy (&vfs);
        bn_disk_truncate (f.disk, "journal/next.tmp", 10);
        f.options.read_only = true;
        assert_int_equal (fixture_open (&f, 0), BATON_OK);
        assert_int_equal (f.first_replayed, first);
        assert_int_equal (f.recovery.first_sequence, first);
        fixture_close (&f);
        f.options.read_only = false;
        assert_non_null (bn_disk_bytes (f.disk, "journal/next.tmp", &size));
        assert_non_null (bn_disk_bytes (f.disk, name_of (1), &size));
        uint64_t at = bn_disk_calls (f.disk) + call;
        bn_disk_fail_at (f.disk, at, EIO);
        baton_err_t err = fixture_open (&f, first - 1);
        reached = bn_disk_calls (f.disk) > at;
        bn_disk_fail_at (f.disk, UINT64_MAX, 0);
        if (err) {
            assert_int_equal (err, BATON_ERR_IO);
            assert_non_null (strstr (f.detail, strerror (EIO)));
            failures++;
            assert_int_equal (fixture_open (&f, first - 1), BATON_OK);
        }
        assert_int_equal (f.last_replayed, RECORDS);
        assert_null (bn_disk_bytes (f.disk, "journal/next.tmp", &size));
        assert_null (bn_disk_bytes (f.disk, name_of (1), &size));
        assert_null (bn_disk_bytes (f.disk, name_of (2), &size));
        fixture_fini (&f);
    }
    assert_true (failures > 20);
}

/*  ---- chance ---- */

static bool no_chance;

ssize_t __real_getrandom (void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom (void *bytes, size_t size, unsigned flags);

ssize_t __wrap_getrandom (void *bytes, size_t size, unsigned flags)
{
    if (!no_chance)
        return __real_getrandom (bytes, size, flags);
    errno = ENOSYS;
    return -1;
}

static void without_chance_there_is_no_new_journal (void **state)
{
    (void)state;
    fixture_init (&f, 1, SMALL_SEGMENT);
    f.options.salt = 0;
    no_chance = true;
    assert_int_equal (fixture_open (&f, 0), BATON_ERR_SYSTEM);
    assert_non_null (strstr (f.detail, "getrandom: "));
    no_chance = false;
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_true (f.recovery.created);
    fixture_fini (&f);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_header_that_lies_about_the_segment_before_is_rot),
        cmocka_unit_test (a_segment_that_ends_too_early_is_rot),
        cmocka_unit_test (a_record_that_claims_what_cannot_be_is_rot),
        cmocka_unit_test (offsets_do_not_wrap_around),
        cmocka_unit_test (versions_that_nobody_knows_are_refused),
        cmocka_unit_test (a_journal_may_begin_anywhere),
        cmocka_unit_test (only_an_unused_journal_may_be_without_a_mark),
        cmocka_unit_test (leftovers_are_removed_and_looked_at_by_nobody),
        cmocka_unit_test (without_chance_there_is_no_new_journal),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
