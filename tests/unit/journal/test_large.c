/* SPDX-License-Identifier: MPL-2.0 */

/*  Large segments and large records, on a disk that fails or is full at each call in turn: batches
 *  that do not fit the stage, bodies that are not copied, records larger than a segment, and the
 *  next segment filled with zeros at the pace of writing.  */
#include "unit/journal/fixture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES (3u << 20)
#define BATCHES       7
#define BATCH         5

/*  In each batch: straight, staged, staged, one that fills the stage, small. The very first one is
 *  larger than a segment.  */
static const size_t sizes[BATCH] = {300000, 250000, 250001, 255000, 77};

static uint8_t *body; /* of any record, with the record's number in front */

static size_t size_of (uint64_t n)
{
    return n == 1 ? SEGMENT_BYTES + 1000 : sizes[n % BATCH];
}

static uint64_t replayed;

static baton_err_t check (const bn_journal_record_t *record, void *arg)
{
    (void)arg;
    uint64_t number;
    assert_int_equal (record->sequence, ++replayed);
    assert_int_equal (record->body_size, size_of (replayed));
    memcpy (&number, record->body, sizeof number);
    assert_int_equal (number, replayed);
    assert_memory_equal (record->body + 8, body + 8, record->body_size - 8);
    return BATON_OK;
}

static baton_err_t open_journal (fixture_t *f)
{
    replayed = 0;
    f->vfs = bn_disk_vfs (f->disk);
    return bn_journal_open (&f->writer, &f->reader, f->vfs, &f->options, 0, check, NULL,
                            &f->recovery, f->detail);
}

static baton_err_t append (fixture_t *f)
{
    bn_journal_record_t records[BATCH];
    uint8_t *bodies[BATCH];
    for (uint64_t i = 0; i < BATCH; i++) {
        uint64_t n = f->next + i;
        bodies[i] = malloc (size_of (n));
        memcpy (bodies[i], body, size_of (n));
        memcpy (bodies[i], &n, sizeof n);
        records[i] = (bn_journal_record_t){.type = RECORD_TYPE,
                                           .sequence = n,
                                           .base = n - 1,
                                           .count = 1,
                                           .body = bodies[i],
                                           .body_size = size_of (n)};
    }
    baton_err_t err = bn_journal_write (f->writer, records, BATCH, f->detail);
    for (int i = 0; i < BATCH; i++)
        free (bodies[i]);
    f->next += BATCH;
    return err ? err : bn_journal_sync (f->writer, f->detail);
}

/*  Fails once at `call`, or from then on; returns whether there were so many calls.  */
static bool case_of (uint64_t call, int error, unsigned *refused)
{
    fixture_t f;
    fixture_init (&f, call, SEGMENT_BYTES);
    bn_disk_fail_at (f.disk, call, error);
    baton_err_t err = open_journal (&f);
    uint64_t receipted = 0;
    for (int i = 0; i < BATCHES && !err; i++) {
        err = append (&f);
        receipted = err ? receipted : f.next - 1;
    }
    bool reached = bn_disk_calls (f.disk) > call;
    if (err) {
        assert_int_equal (err, error == ENOSPC ? BATON_ERR_DISK_FULL : BATON_ERR_IO);
        assert_non_null (strstr (f.detail, strerror (error)));
        ++*refused;
    } else
        assert_int_equal (receipted, BATCH * BATCHES);
    bn_disk_fail_at (f.disk, UINT64_MAX, 0);
    fixture_crash (&f);
    if (open_journal (&f) != BATON_OK)
        fail_msg ("call %llu: %s", (unsigned long long)call, f.detail);
    assert_true (replayed >= receipted && replayed < f.next);
    fixture_fini (&f);
    return reached;
}

static void a_call_that_fails_loses_no_large_record (void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC};
    unsigned refused[2] = {0, 0}, cases = 0;
    for (int i = 0; i < 2; i++)
        for (uint64_t call = 0; case_of (call, errors[i], &refused[i]); call++)
            cases++;
    printf ("%u failing calls, %u and %u reported\n", cases, refused[0], refused[1]);
    /*  No room for the zeros that are written ahead is no reason to stop.  */
    assert_true (refused[1] > 20 && refused[0] > refused[1]);
}

/*  A segment that grew for one record is not kept for another life.  */
static void a_grown_segment_is_removed_and_not_recycled (void **state)
{
    (void)state;
    fixture_t f;
    uint64_t base, first;
    size_t size;
    fixture_init (&f, 1, SEGMENT_BYTES);
    assert_int_equal (open_journal (&f), BATON_OK);
    assert_int_equal (append (&f), BATON_OK);
    assert_int_equal (bn_journal_trim (f.writer, 1, UINT64_MAX, &base, &first, f.detail), BATON_OK);
    assert_int_equal (first, 2);
    assert_null (bn_disk_bytes (f.disk, "journal/00000000000000000001.seg", &size));
    assert_null (bn_disk_bytes (f.disk, "journal/spare.tmp", &size));
    while (first == 2) {
        assert_int_equal (append (&f), BATON_OK);
        assert_int_equal (
            bn_journal_trim (f.writer, UINT64_MAX, UINT64_MAX, &base, &first, f.detail), BATON_OK);
    }
    assert_null (bn_disk_bytes (f.disk, "journal/00000000000000000002.seg", &size));
    assert_non_null (bn_disk_bytes (f.disk, "journal/spare.tmp", &size));
    assert_int_equal (size, SEGMENT_BYTES);
    fixture_fini (&f);
}

static int make_body (void **state)
{
    (void)state;
    body = malloc (SEGMENT_BYTES + 1000);
    for (size_t i = 0; body && i < SEGMENT_BYTES + 1000; i++)
        body[i] = (uint8_t)(i * 13 + i / 251);
    return body ? 0 : -1;
}

static int free_body (void **state)
{
    (void)state;
    free (body);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_call_that_fails_loses_no_large_record),
        cmocka_unit_test (a_grown_segment_is_removed_and_not_recycled),
    };
    return cmocka_run_group_tests (tests, make_body, free_body);
}
