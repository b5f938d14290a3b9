/* SPDX-License-Identifier: MPL-2.0 */

/*  The next segment: filled with zeros, or only reserved where writes are few and large, and what
 *  is in the way of either.  */
#include "unit/journal/fixture.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT (64u * 1024) /* 128 writes of 512 bytes */

static int (*real_reserve) (bn_vfs_t *self, bn_vfile_t *file, uint64_t size);
static int64_t (*real_pwrite) (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                               uint64_t at);
static int reserve_error, pwrite_error;
static unsigned reserved;
static size_t zeros;    /* bytes written that were all zero, in calls of more than a page */
static unsigned ragged; /* of those calls, that did not begin and end with a page */

static int counting_reserve (bn_vfs_t *self, bn_vfile_t *file, uint64_t size)
{
    reserved++;
    return reserve_error ? -reserve_error : real_reserve (self, file, size);
}

static int64_t counting_pwrite (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                                uint64_t at)
{
    const uint8_t *all = bytes;
    bool zero = size > BN_PAGE_BYTES && all[0] == 0 && memcmp (all, all + 1, size - 1) == 0;
    if (zero && pwrite_error)
        return -pwrite_error;
    zeros += zero ? size : 0;
    ragged += zero && (at % BN_PAGE_BYTES != 0 || size % BN_PAGE_BYTES != 0);
    return real_pwrite (self, file, bytes, size, at);
}

static void open_counting_with (fixture_t *f, uint32_t segment_bytes)
{
    fixture_init (f, 1, segment_bytes);
    assert_int_equal (fixture_open (f, 0), BATON_OK);
    real_reserve = f->vfs->reserve;
    real_pwrite = f->vfs->pwrite;
    f->vfs->reserve = counting_reserve;
    f->vfs->pwrite = counting_pwrite;
    reserve_error = pwrite_error = 0;
    reserved = ragged = 0;
    zeros = 0;
}

static void open_counting (fixture_t *f)
{
    open_counting_with (f, SEGMENT);
}

/*  All records are there, now and after a power cut.  */
static void check_and_fini (fixture_t *f)
{
    uint64_t last = f->next - 1;
    assert_int_equal (bn_journal_seek (f->reader, 0, f->detail), BATON_OK);
    fixture_expect (f, 1, last);
    fixture_crash (f);
    assert_int_equal (fixture_open (f, 0), BATON_OK);
    fixture_expect (f, 1, last);
    fixture_fini (f);
}

static void small_writes_get_a_segment_of_zeros (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    size_t size;
    while (!bn_disk_bytes (f.disk, "journal/00000000000000000002.seg", &size))
        assert_int_equal (fixture_append (&f, 1), BATON_OK);
    assert_int_equal (reserved, 0);
    assert_true (zeros >= SEGMENT);
    check_and_fini (&f);
}

/*  Only whole pages go past the page cache, also where preparing keeps pace with writing.  */
static void zeros_go_in_whole_pages (void **state)
{
    (void)state;
    fixture_t f;
    open_counting_with (&f, 4u << 20);
    size_t size;
    while (!bn_disk_bytes (f.disk, "journal/00000000000000000002.seg", &size))
        assert_int_equal (fixture_append (&f, 7), BATON_OK);
    assert_int_equal (reserved, 0);
    assert_true (zeros >= 4u << 20);
    assert_int_equal (ragged, 0);
    check_and_fini (&f);
}

static void large_writes_get_one_that_is_reserved (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    for (int i = 0; i < 20; i++)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    assert_true (reserved >= 2);
    assert_int_equal (zeros, 0);
    check_and_fini (&f);
}

static void what_is_reserved_is_filled_when_there_is_time (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    while (reserved < 2)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    assert_int_equal (zeros, 0);
    assert_false (bn_journal_prepared (f.writer));
    assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
    assert_true (zeros > 0 && zeros < SEGMENT); /* the rest of this segment */
    assert_false (bn_journal_prepared (f.writer));
    size_t once = zeros;
    assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
    assert_int_equal (zeros, once + SEGMENT); /* the next one */
    assert_true (bn_journal_prepared (f.writer));
    for (int i = 0; i < 10; i++)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    check_and_fini (&f);
}

static void where_nothing_can_be_reserved_zeros_do (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    reserve_error = EOPNOTSUPP;
    size_t size;
    while (zeros == 0)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    /*  Ahead, not all at once when it is needed.  */
    assert_false (bn_disk_bytes (f.disk, "journal/00000000000000000002.seg", &size));
    for (int i = 0; i < 20; i++)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    assert_true (reserved >= 2);
    assert_true (zeros >= 2 * SEGMENT);
    check_and_fini (&f);
}

static void no_space_to_reserve_is_not_the_end_before_the_roll (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    reserve_error = ENOSPC;
    while (reserved == 0)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    reserve_error = 0;
    for (int i = 0; i < 10; i++)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    check_and_fini (&f);
}

static void no_space_to_fill_leaves_it_reserved (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    while (reserved < 2)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    pwrite_error = ENOSPC;
    assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    check_and_fini (&f);
}

static void an_error_of_the_disk_ends_it (void **state)
{
    (void)state;
    fixture_t f;
    open_counting (&f);
    while (reserved < 2)
        assert_int_equal (fixture_append (&f, 50), BATON_OK);
    pwrite_error = EIO;
    assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_ERR_IO);
    assert_int_equal (fixture_append (&f, 1), BATON_ERR_IO);
    fixture_fini (&f);

    open_counting (&f);
    reserve_error = EIO;
    baton_err_t err = BATON_OK;
    while (!err)
        err = fixture_append (&f, 50);
    assert_int_equal (err, BATON_ERR_IO);
    fixture_fini (&f);
}

static void a_large_segment_is_prepared_piece_by_piece (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, 4u << 20);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    unsigned pieces = 0;
    for (; !bn_journal_prepared (f.writer); pieces++)
        assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
    assert_int_equal (pieces, 4);
    check_and_fini (&f);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (small_writes_get_a_segment_of_zeros),
        cmocka_unit_test (zeros_go_in_whole_pages),
        cmocka_unit_test (large_writes_get_one_that_is_reserved),
        cmocka_unit_test (what_is_reserved_is_filled_when_there_is_time),
        cmocka_unit_test (where_nothing_can_be_reserved_zeros_do),
        cmocka_unit_test (no_space_to_reserve_is_not_the_end_before_the_roll),
        cmocka_unit_test (no_space_to_fill_leaves_it_reserved),
        cmocka_unit_test (an_error_of_the_disk_ends_it),
        cmocka_unit_test (a_large_segment_is_prepared_piece_by_piece),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
