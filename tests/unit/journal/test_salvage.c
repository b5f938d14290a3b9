/* SPDX-License-Identifier: MPL-2.0 */

/*  Salvage over each kind of damage: what is found, what is said about what is not, and that a disk
 *  or a memory that fails is never taken for a loss.
 *
 *  calloc and realloc are wrapped by the linker; the disk opens its files with malloc.  */
#include "base/crc32c.h"
#include "journal/format.h"
#include "journal/salvage.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS   150 /* in about five segments */
#define SALT      4711
#define NOTES_MAX 16
#define FOUND_MAX 1024

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

/*  ---- what salvage says ---- */

typedef struct {
    baton_err_t err;
    char detail[512];
    uint64_t found[FOUND_MAX]; /* sequences, in the order they came in */
    size_t count;
    char notes[NOTES_MAX][256];
    size_t note_count;
    bool begins, exact;
    uint64_t begin_sequence, begin_base;
    uint64_t end_sequence, end_tail;
    uint64_t torn;
} result_t;

/*  Where each record of the journal is that make_journal makes.  */
static struct {
    uint64_t segment, position;
} places[RECORDS + 200];

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

static void salvage_vfs (result_t *self, bn_vfs_t *vfs, uint64_t synced)
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

static result_t result;

static void salvage (bn_disk_t *disk)
{
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    salvage_vfs (&result, vfs, 0);
    vfs->destroy (&vfs);
    if (result.err)
        fail_msg ("%s", result.detail);
}

/*  All of first..last but lost_first..lost_last (0, 0: none).  */
static void expect_records (uint64_t first, uint64_t last, uint64_t lost_first, uint64_t lost_last)
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

static bool noted (const char *name, const char *what)
{
    for (size_t i = 0; i < result.note_count; i++)
        if (strncmp (result.notes[i], name, strlen (name)) == 0 && strstr (result.notes[i], what))
            return true;
    return false;
}

static void expect_note (const char *name, const char *what)
{
    if (result.note_count != 1 || !noted (name, what))
        fail_msg ("%zu notes, the first: %s; expected: %s: %s", result.note_count, result.notes[0],
                  name, what);
}

static void expect_end (uint64_t sequence, uint64_t tail, bool exact)
{
    assert_int_equal (result.end_sequence, sequence);
    assert_int_equal (result.exact, exact);
    if (exact)
        assert_int_equal (result.end_tail, tail);
    else
        assert_true (result.end_tail >= tail);
}

/*  ---- a journal, and damage to it ---- */

static const char *name_of (char name[64], uint64_t segment)
{
    snprintf (name, 64, "journal/%020" PRIu64 ".seg", segment);
    return name;
}

static fixture_t journal;

static void start_journal (void)
{
    fixture_init (&journal, 1, SMALL_SEGMENT);
    assert_int_equal (fixture_open (&journal, 0), BATON_OK);
}

static void append (uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal (fixture_append (&journal, 1), BATON_OK);
}

/*  Closed; `places` is known.  */
static bn_disk_t *make_journal (void)
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

static void end_journal (void)
{
    fixture_fini (&journal);
}

static void put (bn_disk_t *disk, const char *name, size_t at, const void *bytes, size_t size)
{
    size_t file_size;
    const uint8_t *now = bn_disk_bytes (disk, name, &file_size);
    assert_true (now && at + size <= file_size);
    for (size_t i = 0; i < size; i++)
        bn_disk_flip (disk, name, at + i, now[at + i] ^ ((const uint8_t *)bytes)[i]);
}

static void make_file (bn_disk_t *disk, const char *name, const void *bytes, size_t size)
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
static uint8_t *copy_of (bn_disk_t *disk, const char *name, size_t *size)
{
    const uint8_t *bytes = bn_disk_bytes (disk, name, size);
    assert_non_null (bytes);
    uint8_t *copy = malloc (*size);
    memcpy (copy, bytes, *size);
    return copy;
}

static void spoil (bn_disk_t *disk, uint64_t sequence)
{
    char name[64];
    assert_true (bn_disk_flip (disk, name_of (name, places[sequence].segment),
                               places[sequence].position + 3, 0x40));
}

/*  Writes record `sequence` anew as `change` leaves its frame, with checksums that hold.  */
static void forge (bn_disk_t *disk, uint64_t sequence, void (*change) (bn_frame_t *))
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

static bn_segment_header_t read_header (bn_disk_t *disk, uint64_t segment)
{
    char name[64];
    size_t size;
    bn_segment_header_t header;
    const uint8_t *file = bn_disk_bytes (disk, name_of (name, segment), &size);
    assert_null (bn_segment_header_decode (&header, file, size, segment, SALT));
    return header;
}

static void write_header (bn_disk_t *disk, uint64_t named, bn_segment_header_t *header)
{
    char name[64];
    uint8_t area[BN_SEGMENT_AREA];
    bn_segment_header_encode (header, area);
    put (disk, name_of (name, named), 0, area, sizeof area);
}

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
    assert_int_equal (bn_salvage_new (&salvaging, vfs, 0, take_note, &result, result.detail),
                      BATON_OK);
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
        cmocka_unit_test (a_whole_journal_comes_back_and_says_where_it_begins_and_ends),
        cmocka_unit_test (a_damaged_format_costs_nothing_and_a_newer_one_is_refused),
        cmocka_unit_test (a_damaged_mark_costs_nothing),
        cmocka_unit_test (without_segments_or_a_name_for_the_journal_there_is_nothing),
        cmocka_unit_test (segments_before_the_mark_are_leftovers),
        cmocka_unit_test (a_damaged_header_costs_nothing),
        cmocka_unit_test (headers_of_other_journals_and_segments_are_told),
        cmocka_unit_test (a_trimmed_journal_begins_where_it_was_trimmed),
        cmocka_unit_test (a_missing_first_segment_is_a_hole_at_the_beginning),
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
