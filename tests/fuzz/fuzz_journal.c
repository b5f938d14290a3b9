/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_journal.c - files of a journal. The first byte chooses what the rest is:
 *
 *    0  changes to a small journal: file, position (2 bytes), mask (0: cut off there). Oracle: what
 *       is opened holds records as they were written, and takes more (G8).
 *    1  a segment header, 2 a frame, 3 a mark, whose checksum is put right, so that the fuzzer gets
 *       behind it. Oracle: what is decoded encodes to the same bytes.
 *    4  the same frame in a segment, where recovery and the reader find it.  */
#include "base/crc32c.h"
#include "fuzz.h"
#include "journal/format.h"
#include "journal/journal.h"
#include "support/disk.h"
#include <string.h>

enum { RECORDS = 12, SALT = 4711, SEGMENT_BYTES = 8192, BODY_BYTES = 700 };

static const char *const s_files[] = {"journal/00000000000000000001.seg",
                                      "journal/00000000000000000002.seg", "journal/MARK", "FORMAT"};

typedef struct {
    uint64_t last;
    bool forged; /* a frame was made up: its content is not ours */
} replayed_t;

static void write_record (bn_journal_writer_t *writer, uint64_t sequence)
{
    uint8_t body[BODY_BYTES];
    char detail[512];
    memset (body, (int)sequence, sizeof (body));
    bn_journal_record_t record = {.type = 1,
                                  .sequence = sequence,
                                  .base = sequence - 1,
                                  .count = 1,
                                  .time_us = sequence,
                                  .body = body,
                                  .body_size = sizeof (body)};
    FUZZ_CHECK (!bn_journal_write (writer, &record, 1, detail));
}

static baton_err_t replay (const bn_journal_record_t *record, void *arg)
{
    replayed_t *self = arg;
    if (self->forged)
        return BATON_OK;
    FUZZ_CHECK (record->sequence == self->last + 1 && record->base == self->last);
    FUZZ_CHECK (record->body_size == BODY_BYTES && record->count == 1);
    for (size_t i = 0; i < record->body_size; i++)
        FUZZ_CHECK (record->body[i] == (uint8_t)record->sequence);
    self->last = record->sequence;
    return BATON_OK;
}

/*  Opens, reads everything, and writes on if it is ours.  */
static baton_err_t open_journal (bn_disk_t *disk, replayed_t *replayed, bool fill)
{
    const bn_journal_options_t options = {.segment_bytes = SEGMENT_BYTES, .salt = SALT};
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_recovery_t recovery;
    char detail[512] = "";
    baton_err_t err =
        bn_journal_open (&writer, &reader, vfs, &options, 0, replay, replayed, &recovery, detail);
    FUZZ_CHECK (!err || *detail);
    if (!err) {
        bn_journal_record_t record;
        bool end = false;
        baton_err_t read = bn_journal_seek (reader, recovery.first_base, detail);
        while (!read && !end)
            read = bn_journal_next (reader, &record, &end, detail);
        FUZZ_CHECK (!read || replayed->forged);
        for (uint64_t i = 0; !replayed->forged && i < (fill ? RECORDS : 2); i++)
            write_record (writer, recovery.sequence_next + i);
        FUZZ_CHECK (replayed->forged || !bn_journal_sync (writer, detail));
        bn_journal_reader_destroy (&reader);
        bn_journal_writer_destroy (&writer);
    }
    vfs->destroy (&vfs);
    return err;
}

/*  Made once: a journal of two segments, closed cleanly.  */
static bn_disk_t *pristine (void)
{
    static bn_disk_t *disk;
    if (!disk) {
        replayed_t replayed = {0};
        disk = bn_disk_new (1);
        FUZZ_CHECK (!open_journal (disk, &replayed, true));
    }
    return bn_disk_copy (disk);
}

static void check_damage (const uint8_t *bytes, size_t size)
{
    bn_disk_t *disk = pristine ();
    replayed_t replayed = {0};
    for (; size >= 4; bytes += 4, size -= 4) {
        const char *name = s_files[bytes[0] % 4];
        uint64_t at = (uint64_t)bytes[1] << 8 | bytes[2];
        if (bytes[3])
            bn_disk_flip (disk, name, at, bytes[3]);
        else
            bn_disk_truncate (disk, name, at);
    }
    if (!open_journal (disk, &replayed, false)) {
        uint64_t kept = replayed.last;
        replayed = (replayed_t){0};
        FUZZ_CHECK (!open_journal (disk, &replayed, false)); /* it can be opened again */
        FUZZ_CHECK (replayed.last == kept + 2);
    }
    bn_disk_destroy (&disk);
}

/*  A copy of `size` bytes, zeros where the input ends, with the checksum of [0, at) at `at`.  */
static void forge (uint8_t *copy, size_t copy_size, const uint8_t *bytes, size_t size, size_t at)
{
    memset (copy, 0, copy_size);
    memcpy (copy, bytes, size < copy_size ? size : copy_size);
    uint32_t crc = bn_crc32c (0, copy, at);
    for (int i = 0; i < 4; i++)
        copy[at + (size_t)i] = (uint8_t)(crc >> 8 * i);
}

static void check_header (const uint8_t *bytes, size_t size)
{
    uint8_t copy[BN_SEGMENT_AREA], again[BN_SEGMENT_AREA];
    bn_segment_header_t header;
    forge (copy, sizeof (copy), bytes, size < 64 ? size : 64, 60);
    if (!bn_segment_header_decode (&header, copy, sizeof (copy), 1, SALT)) {
        bn_segment_header_encode (&header, again);
        FUZZ_CHECK (memcmp (copy, again, sizeof (copy)) == 0);
    }
}

static void check_frame (const uint8_t *bytes, size_t size)
{
    uint8_t copy[BN_FRAME_BYTES], again[BN_FRAME_BYTES];
    bn_frame_t frame;
    forge (copy, sizeof (copy), bytes, size, 68);
    if (!bn_frame_decode (&frame, copy, bn_segment_tag (SALT, 1))) {
        bn_frame_encode (&frame, again);
        FUZZ_CHECK (memcmp (copy, again, sizeof (copy)) == 0);
    }
}

static void check_mark (const uint8_t *bytes, size_t size)
{
    uint8_t copy[BN_MARK_BYTES];
    bn_mark_t mark;
    forge (copy, sizeof (copy), bytes, size, 44);
    if (!bn_mark_decode (&mark, copy, sizeof (copy)))
        FUZZ_CHECK (mark.first_segment > 0);
}

/*  Puts the bytes over a file, from `at`.  */
static void overwrite (bn_disk_t *disk, const char *name, uint64_t at, const uint8_t *bytes,
                       size_t size)
{
    size_t file_size;
    const uint8_t *now = bn_disk_bytes (disk, name, &file_size);
    for (size_t i = 0; now && i < size && at + i < file_size; i++)
        if (now[at + i] != bytes[i])
            bn_disk_flip (disk, name, at + i, now[at + i] ^ bytes[i]);
}

static void check_forged (const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return;
    uint8_t copy[BN_FRAME_BYTES];
    uint64_t segment = 1 + bytes[0] / 128;
    uint64_t at = BN_SEGMENT_AREA + bytes[0] % 5 * (BN_FRAME_BYTES + bn_padded (BODY_BYTES));
    bn_disk_t *disk = pristine ();
    replayed_t replayed = {.forged = true};
    forge (copy, sizeof (copy), bytes + 1, size - 1, 68);
    overwrite (disk, s_files[segment - 1], at, copy, sizeof (copy));
    (void)open_journal (disk, &replayed, false);
    bn_disk_destroy (&disk);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    switch (bytes[0] % 5) {
    case 0:
        check_damage (bytes + 1, size - 1);
        break;
    case 1:
        check_header (bytes + 1, size - 1);
        break;
    case 2:
        check_frame (bytes + 1, size - 1);
        break;
    case 3:
        check_mark (bytes + 1, size - 1);
        break;
    default:
        check_forged (bytes + 1, size - 1);
    }
    return 0;
}
