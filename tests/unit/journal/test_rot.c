/* SPDX-License-Identifier: MPL-2.0 */

/*  Damage to a journal of more than 1 MiB that was closed: each byte flipped, each sector zeroed,
 *  filled or replaced by its neighbour, each file cut short, segments swapped, doubled, missing or
 *  from elsewhere. Opening either refuses with ROT, or shows every record, unchanged (G8). Salvage
 *  finds every record that the damage did not touch.
 *
 *    test_journal_rot [STRIDE [PART PARTS]]     1: every byte; a part, for two processes  */
#include "journal/salvage.h"
#include "support/tape.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES  (64u << 10)
#define RECORDS        1300
#define BODY_BYTES     1300
#define STRIDE_DEFAULT 251
#define FRAME          72
#define AREA           4096
#define FILES_MAX      64
#define SALVAGE_EACH   16 /* one case in so many is salvaged, too */

/*  Records as they were written; kept beside the journal.  */
typedef struct {
    uint8_t bodies[RECORDS + 1][BODY_BYTES];
    size_t sizes[RECORDS + 1];
    uint64_t segments[RECORDS + 1];
    uint64_t positions[RECORDS + 1];
    uint64_t next; /* to be shown */
    const char *differs;
} truth_t;

static truth_t truth;
static tape_t *disk;
static bn_journal_options_t options = {.segment_bytes = SEGMENT_BYTES, .salt = 815};
static char names[FILES_MAX][64];
static size_t name_count;
static uint64_t stride = STRIDE_DEFAULT, part, parts = 1;

static void make_body (uint64_t n, uint64_t salt)
{
    truth.sizes[n] = (size_t)(n * 611 % BODY_BYTES) + (n % 50 == 0 ? 0 : 40);
    if (truth.sizes[n] > BODY_BYTES)
        truth.sizes[n] = BODY_BYTES;
    for (size_t i = 0; i < truth.sizes[n]; i++)
        truth.bodies[n][i] = (uint8_t)(n * 131 + i * 17 + salt);
}

static baton_err_t take (const bn_journal_record_t *record, void *arg)
{
    (void)arg;
    uint64_t n = truth.next++;
    if (truth.differs || n > RECORDS || record->sequence != n || record->type != RECORD_TYPE ||
        record->count != 1 || record->base != n - 1 || record->time_us != 1000 * n ||
        record->body_size != truth.sizes[n] ||
        (record->body_size > 0 && memcmp (record->body, truth.bodies[n], record->body_size) != 0))
        truth.differs = "a record is not what was written";
    if (n <= RECORDS) {
        truth.segments[n] = record->segment;
        truth.positions[n] = record->position;
    }
    return BATON_OK;
}

/*  The same; the place is that of another file if files were moved.  */
static void take_salvaged (const bn_journal_record_t *record)
{
    uint64_t n = truth.next, segment = truth.segments[n], position = truth.positions[n];
    take (record, NULL);
    truth.segments[n] = segment;
    truth.positions[n] = position;
}

static void write_records (tape_t *to, uint64_t salt, bool close)
{
    bn_vfs_t *vfs = tape_vfs (to);
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_recovery_t recovery;
    char detail[512];
    options.salt = salt;
    assert_int_equal (
        bn_journal_open (&writer, &reader, vfs, &options, 0, NULL, NULL, &recovery, detail),
        BATON_OK);
    for (uint64_t n = 1; n <= RECORDS; n++) {
        make_body (n, 0);
        bn_journal_record_t record = {.type = RECORD_TYPE,
                                      .sequence = n,
                                      .base = n - 1,
                                      .count = 1,
                                      .time_us = 1000 * n,
                                      .body = truth.bodies[n],
                                      .body_size = truth.sizes[n]};
        assert_int_equal (bn_journal_write (writer, &record, 1, detail), BATON_OK);
        if (n % 3 == 0)
            assert_int_equal (bn_journal_sync (writer, detail), BATON_OK);
        if (n % 20 == 0)
            assert_int_equal (bn_journal_prepare (writer, detail), BATON_OK);
    }
    assert_int_equal (bn_journal_sync (writer, detail), BATON_OK);
    if (!close)
        tape_fail (to, 0, UINT64_MAX, EIO);
    bn_journal_reader_destroy (&reader);
    bn_journal_writer_destroy (&writer);
    tape_fail (to, 0, 0, 0);
    vfs->destroy (&vfs);
}

typedef enum { HARMLESS, DETECTED, LIED } outcome_t;

/*  What opening says, reading from record `from` on (what is before it is in other segments).  */
static outcome_t open_damaged (tape_t *damaged, uint64_t from, bool read_only, char detail[512])
{
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_recovery_t recovery;
    bn_journal_options_t how = options;
    how.read_only = read_only;
    bn_vfs_t *vfs = tape_vfs (damaged);
    truth.next = from;
    truth.differs = NULL;
    *detail = '\0';
    baton_err_t err =
        bn_journal_open (&writer, &reader, vfs, &how, from - 1, take, NULL, &recovery, detail);
    outcome_t outcome = err == BATON_ERR_ROT || err == BATON_ERR_FORMAT     ? DETECTED
                        : err || truth.differs || truth.next != RECORDS + 1 ? LIED
                                                                            : HARMLESS;
    if (truth.differs)
        outcome = LIED;
    if (!err && !truth.differs && truth.next != RECORDS + 1)
        snprintf (detail, 512, "only records up to %llu are there",
                  (unsigned long long)truth.next - 1);
    tape_fail (damaged, 0, UINT64_MAX, EIO);
    bn_journal_reader_destroy (&reader);
    bn_journal_writer_destroy (&writer);
    tape_fail (damaged, 0, 0, 0);
    vfs->destroy (&vfs);
    return outcome;
}

static uint64_t first_record_of (const char *name)
{
    unsigned long long segment = 0;
    if (sscanf (name, "journal/%20llu.seg", &segment) == 1)
        for (uint64_t n = 1; n <= RECORDS; n++)
            if (truth.segments[n] >= segment)
                return n;
    return 1;
}

static int setup (void **state)
{
    (void)state;
    disk = tape_new ();
    write_records (disk, 815, true);
    char detail[512];
    assert_int_equal (open_damaged (disk, 1, true, detail), HARMLESS);
    size_t bytes = 0;
    for (name_count = 0; tape_name (disk, name_count); name_count++) {
        size_t size;
        strcpy (names[name_count], tape_name (disk, name_count));
        tape_bytes (disk, names[name_count], &size);
        bytes += size;
    }
    printf ("%zu files, %zu bytes, %d records\n", name_count, bytes, RECORDS);
    assert_true (bytes > 1 << 20 && truth.positions[RECORDS] > 0);
    return 0;
}

static int teardown (void **state)
{
    (void)state;
    tape_destroy (&disk);
    return 0;
}

/*  Damaged bytes [from, to) of a file; records that touch them may be lost, no others.  */
typedef struct {
    const char *name; /* NULL: the records are there, wherever their files are */
    uint64_t from;
    uint64_t to;
} damage_t;

static uint64_t salvaged_cases;

static bool touches (const damage_t *damage, uint64_t n)
{
    unsigned long long segment = 0;
    return damage->name && sscanf (damage->name, "journal/%20llu.seg", &segment) == 1 &&
           truth.segments[n] == segment &&
           damage->from < truth.positions[n] + FRAME + (truth.sizes[n] + 7) / 8 * 8 &&
           damage->to > truth.positions[n];
}

static void expect_salvaged (tape_t *damaged, const damage_t *damage)
{
    char detail[512];
    bn_vfs_t *vfs = tape_vfs (damaged);
    bn_salvage_t *salvage;
    assert_int_equal (bn_salvage_new (&salvage, vfs, 0, NULL, NULL, detail), BATON_OK);
    bn_journal_record_t record;
    bool end = false;
    uint64_t expected = 1;
    for (;;) {
        assert_int_equal (bn_salvage_next (salvage, &record, &end, detail), BATON_OK);
        uint64_t next = end ? RECORDS + 1 : record.sequence;
        assert_true (next >= expected && next <= RECORDS + 1);
        for (; expected < next; expected++)
            if (!touches (damage, expected))
                fail_msg ("salvage does not find record %llu, which is whole",
                          (unsigned long long)expected);
        if (end)
            break;
        truth.next = expected++;
        truth.differs = NULL;
        take_salvaged (&record);
        if (truth.differs)
            fail_msg ("salvage shows record %llu: %s", (unsigned long long)record.sequence,
                      truth.differs);
    }
    uint64_t sequence, tail;
    bool exact;
    bn_salvage_end (salvage, &sequence, &tail, &exact);
    assert_true (tail >= RECORDS || !exact);
    assert_true (sequence >= RECORDS || !exact || (damage->name && touches (damage, RECORDS)));
    bn_salvage_destroy (&salvage);
    vfs->destroy (&vfs);
    salvaged_cases++;
}

typedef struct {
    uint64_t cases;
    uint64_t detected;
    uint64_t unnamed; /* detected, but neither this file nor its neighbour was named */
} tally_t;

static void judge (tally_t *tally, tape_t *damaged, const char *name, uint64_t at, const char *how)
{
    char detail[512];
    outcome_t outcome = open_damaged (damaged, first_record_of (name), true, detail);
    if (outcome == LIED)
        fail_msg ("%s, byte %llu, %s: %s", name, (unsigned long long)at, how,
                  truth.differs ? truth.differs : detail);
    tally->cases++;
    tally->detected += outcome == DETECTED;
    tally->unnamed += outcome == DETECTED && !strstr (detail, name);
}

/*  The bytes that carry what was receipted: a flip there must be told, not survived by luck.  */
static bool vital (const char *name, uint64_t at)
{
    unsigned long long segment = 0;
    if (sscanf (name, "journal/%20llu.seg", &segment) != 1)
        return false;
    for (uint64_t n = 1; n <= RECORDS; n++)
        if (truth.segments[n] == segment && at >= truth.positions[n] &&
            at < truth.positions[n] + FRAME + truth.sizes[n])
            return true;
    return false;
}

static void every_byte_flipped (void **state)
{
    (void)state;
    tally_t tally = {.cases = 0};
    uint64_t number = 0;
    for (size_t f = 0; f < name_count; f++) {
        size_t size;
        uint8_t *bytes = tape_bytes (disk, names[f], &size);
        bool small = size < AREA;
        for (size_t at = 0; at < size; at++) {
            uint64_t each = small ? 1 : stride;
            if (number++ % parts != part || at % each != (f * 7) % each)
                continue;
            uint64_t before = tally.detected;
            uint8_t mask = (uint8_t)(1u << (at + f) % 8);
            bytes[at] ^= mask;
            judge (&tally, disk, names[f], at, "flipped");
            if (small || tally.cases % SALVAGE_EACH == 0)
                expect_salvaged (disk, &(damage_t){names[f], at, at + 1});
            bytes[at] ^= mask;
            if (vital (names[f], at) && tally.detected == before)
                fail_msg ("%s, byte %zu: flipped, and nobody says so", names[f], at);
        }
    }
    printf ("%llu bytes flipped (one of %llu): %llu detected, the others carry nothing; %llu "
            "named by another file\n",
            (unsigned long long)tally.cases, (unsigned long long)stride,
            (unsigned long long)tally.detected, (unsigned long long)tally.unnamed);
}

static void every_sector_overwritten (void **state)
{
    (void)state;
    if (part != 0)
        return;
    tally_t tally = {.cases = 0};
    uint8_t saved[TAPE_SECTOR_BYTES];
    for (size_t f = 0; f < name_count; f++) {
        size_t size;
        uint8_t *bytes = tape_bytes (disk, names[f], &size);
        for (size_t at = 0; at < size; at += sizeof saved) {
            size_t length = size - at < sizeof saved ? size - at : sizeof saved;
            memcpy (saved, bytes + at, length);
            memset (bytes + at, 0, length);
            judge (&tally, disk, names[f], at, "zeroed");
            if (at / sizeof saved % 4 == f % 4)
                expect_salvaged (disk, &(damage_t){names[f], at, at + length});
            memset (bytes + at, 0xFF, length);
            judge (&tally, disk, names[f], at, "filled with ones");
            /*  A write that went to the wrong place.  */
            if (at >= sizeof saved) {
                memcpy (bytes + at, bytes + at - sizeof saved, length);
                judge (&tally, disk, names[f], at, "replaced by the sector before it");
            }
            memcpy (bytes + at, saved, length);
        }
    }
    printf ("%llu sectors zeroed, filled, replaced: %llu detected\n",
            (unsigned long long)tally.cases, (unsigned long long)tally.detected);
}

static void cut_at (tally_t *tally, const char *name, size_t to)
{
    size_t size;
    const uint8_t *bytes = tape_bytes (disk, name, &size);
    if (to >= size)
        return;
    tape_t *copy = tape_copy (disk);
    tape_put (copy, name, bytes, to);
    judge (tally, copy, name, to, "cut short here");
    if (tally->cases % SALVAGE_EACH == 0)
        expect_salvaged (copy, &(damage_t){name, to, size});
    tape_destroy (&copy);
}

/*  At and around each frame and each 512th and 8th byte of the first sectors; small files at each
 *  byte.  */
static void every_file_cut_short (void **state)
{
    (void)state;
    if (part != 0)
        return;
    tally_t tally = {.cases = 0};
    for (size_t f = 0; f < name_count; f++) {
        size_t size;
        unsigned long long segment = 0;
        tape_bytes (disk, names[f], &size);
        for (size_t at = 0; at < size && at < 128; at++)
            cut_at (&tally, names[f], at);
        for (size_t at = 128; at < size; at += TAPE_SECTOR_BYTES)
            cut_at (&tally, names[f], at - at % TAPE_SECTOR_BYTES);
        sscanf (names[f], "journal/%20llu.seg", &segment);
        for (uint64_t n = 1; n <= RECORDS && segment > 0; n++)
            if (truth.segments[n] == segment)
                for (size_t d = 0; d <= FRAME; d += 8)
                    cut_at (&tally, names[f], (size_t)truth.positions[n] + d + n % 3);
    }
    printf ("%llu cuts: %llu detected\n", (unsigned long long)tally.cases,
            (unsigned long long)tally.detected);
}

/*  On a disk of its own, open for writing too: repair must not make it worse.  */
static void judge_files (tally_t *tally, tape_t *damaged, bool must_detect, const char *how)
{
    char detail[512];
    for (int read_only = 1; read_only >= 0; read_only--) {
        outcome_t outcome = open_damaged (damaged, 1, read_only, detail);
        if (outcome == LIED || (must_detect && outcome == HARMLESS))
            fail_msg ("%s, %s: %s", how, read_only ? "reading" : "writing",
                      outcome == LIED ? detail : "nobody says so");
        tally->cases++;
        tally->detected += outcome == DETECTED;
    }
    tape_destroy (&damaged);
}

static bool is_used_segment (const char *name)
{
    unsigned long long segment = 0;
    return sscanf (name, "journal/%20llu.seg", &segment) == 1 && segment <= truth.segments[RECORDS];
}

static bool vital_file (const char *name)
{
    return is_used_segment (name) || strcmp (name, "FORMAT") == 0 ||
           strcmp (name, "journal/MARK") == 0;
}

static void files_swapped_doubled_missing_foreign (void **state)
{
    (void)state;
    if (part != 0)
        return;
    tally_t tally = {.cases = 0};
    tape_t *other = tape_new ();
    write_records (other, 816, true);
    options.salt = 815;
    char extra[64];
    for (size_t i = 0; i < name_count; i++) {
        size_t size, size2;
        const uint8_t *bytes = tape_bytes (disk, names[i], &size), *bytes2;
        tape_t *copy = tape_copy (disk);
        tape_remove (copy, names[i]);
        expect_salvaged (copy, &(damage_t){names[i], 0, UINT64_MAX});
        judge_files (&tally, copy, vital_file (names[i]), "missing");
        if (!is_used_segment (names[i]))
            continue;
        copy = tape_copy (disk);
        tape_put (copy, names[i], tape_bytes (other, names[i], &size2), size);
        expect_salvaged (copy, &(damage_t){names[i], 0, UINT64_MAX});
        judge_files (&tally, copy, true, "from another journal");
        for (size_t j = 0; j < name_count; j++) {
            if (i == j || !is_used_segment (names[j]))
                continue;
            bytes2 = tape_bytes (disk, names[j], &size2);
            copy = tape_copy (disk);
            tape_put (copy, names[i], bytes2, size2);
            expect_salvaged (copy, &(damage_t){names[i], 0, UINT64_MAX});
            judge_files (&tally, copy, true, "another one in its place");
            copy = tape_copy (disk);
            tape_put (copy, names[i], bytes2, size2);
            tape_put (copy, names[j], bytes, size);
            expect_salvaged (copy, &(damage_t){.name = NULL});
            judge_files (&tally, copy, true, "swapped");
        }
        /*  Once more behind the end: taken for a file that was recycled, and not for records.  */
        for (unsigned beyond = 1; beyond <= 3; beyond++) {
            snprintf (extra, sizeof extra, "journal/%020llu.seg",
                      (unsigned long long)truth.segments[RECORDS] + beyond);
            copy = tape_copy (disk);
            tape_put (copy, extra, bytes, size);
            expect_salvaged (copy, &(damage_t){.name = NULL});
            judge_files (&tally, copy, false, "once more behind the end");
        }
    }
    tape_destroy (&other);
    printf ("%llu sets of files: %llu detected\n", (unsigned long long)tally.cases,
            (unsigned long long)tally.detected);
}

/*  After a kill nothing but the commit frame vouches for the last batch: one flipped byte is still
 *  told from a torn write.  */
static void a_killed_writer_is_told_from_rot (void **state)
{
    (void)state;
    if (part != 0)
        return;
    tape_t *killed = tape_new ();
    write_records (killed, 815, false);
    char name[64], detail[512];
    snprintf (name, sizeof name, "journal/%020llu.seg",
              (unsigned long long)truth.segments[RECORDS]);
    size_t size;
    uint8_t *bytes = tape_bytes (killed, name, &size);
    uint64_t from = first_record_of (name), cases = 0, detected = 0;
    uint64_t end = truth.positions[RECORDS] + FRAME + truth.sizes[RECORDS] + 2 * FRAME;
    for (size_t at = 0; at < end && at < size; at++) {
        bytes[at] ^= 1u << at % 8;
        outcome_t outcome = open_damaged (killed, from, true, detail);
        bytes[at] ^= 1u << at % 8;
        if (outcome == LIED || (vital (name, at) && outcome != DETECTED))
            fail_msg ("%s, byte %zu: %s", name, at, detail);
        cases++;
        detected += outcome == DETECTED;
    }
    /*  Without its newest file, too: the one before has ended, and says so.  */
    tape_remove (killed, name);
    for (unsigned beyond = 1; beyond <= 2; beyond++) {
        snprintf (name, sizeof name, "journal/%020llu.seg",
                  (unsigned long long)truth.segments[RECORDS] + beyond);
        tape_remove (killed, name);
    }
    assert_int_equal (open_damaged (killed, 1, true, detail), DETECTED);
    assert_int_equal (open_damaged (killed, 1, false, detail), DETECTED);
    snprintf (name, sizeof name, "journal/%020llu.seg",
              (unsigned long long)truth.segments[RECORDS]);
    assert_non_null (strstr (detail, name));
    expect_salvaged (killed, &(damage_t){name, 0, UINT64_MAX});
    printf ("%llu cases salvaged\n", (unsigned long long)salvaged_cases);
    printf ("%llu bytes flipped after a kill: %llu detected\n", (unsigned long long)cases,
            (unsigned long long)detected);
    tape_destroy (&killed);
}

int main (int argc, char **argv)
{
    if (argc > 1)
        stride = strtoull (argv[1], NULL, 10);
    if (argc > 3) {
        part = strtoull (argv[2], NULL, 10);
        parts = strtoull (argv[3], NULL, 10);
    }
    if (stride == 0 || parts == 0)
        return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_byte_flipped),
        cmocka_unit_test (every_sector_overwritten),
        cmocka_unit_test (every_file_cut_short),
        cmocka_unit_test (files_swapped_doubled_missing_foreign),
        cmocka_unit_test (a_killed_writer_is_told_from_rot),
    };
    return cmocka_run_group_tests (tests, setup, teardown);
}
