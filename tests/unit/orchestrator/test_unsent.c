/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/unsent.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MIB ((size_t)1024 * 1024)

/*  An answer that has not gone out: the blob has a second owner, who is returned.  */
static bn_blob_t *answer (bn_unsent_t *unsent, uint64_t route, size_t bytes)
{
    bn_blob_t *blob = bn_blob_new (1);
    assert_non_null (blob);
    assert_true (bn_unsent_add (unsent, route, blob, bytes));
    return blob;
}

static void test_as_much_as_is_wanted_to_those_who_read (void **state)
{
    (void)state;
    bn_unsent_t unsent = {.count = 0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal (bn_unsent_room (&unsent, 1, 8 * MIB), 8 * MIB);
        bn_blob_t *blob = answer (&unsent, 1, 8 * MIB);
        bn_blob_unref (&blob);
        bn_unsent_sweep (&unsent);
    }
    bn_unsent_fini (&unsent);
}

static void test_a_connection_that_does_not_read_has_its_share (void **state)
{
    (void)state;
    bn_unsent_t unsent = {.count = 0};
    bn_blob_t *large[2] = {answer (&unsent, 1, 15 * MIB), NULL};
    assert_int_equal (bn_unsent_room (&unsent, 1, 8 * MIB), 8 * MIB);
    large[1] = answer (&unsent, 1, 8 * MIB);
    assert_int_equal (bn_unsent_room (&unsent, 1, 1), 0);
    assert_int_equal (bn_unsent_room (&unsent, 2, 8 * MIB), 8 * MIB);

    bn_blob_unref (&large[1]);
    bn_unsent_sweep (&unsent);
    assert_int_equal (bn_unsent_room (&unsent, 1, 8 * MIB), 8 * MIB);
    bn_blob_unref (&large[0]);
    bn_unsent_fini (&unsent);
}

static void test_many_small_answers_are_counted_too (void **state)
{
    (void)state;
    bn_unsent_t unsent = {.count = 0};
    bn_blob_t *small[BN_UNSENT_MAX];
    for (int i = 0; i < BN_UNSENT_MAX; i++) {
        assert_int_equal (bn_unsent_room (&unsent, 1, 100), 100);
        small[i] = answer (&unsent, 1, 100);
    }
    assert_int_equal (bn_unsent_room (&unsent, 1, 100), 0);
    for (int i = 0; i < BN_UNSENT_MAX; i++)
        bn_blob_unref (&small[i]);
    bn_unsent_fini (&unsent);
}

static void test_when_all_is_taken_each_gets_a_little (void **state)
{
    (void)state;
    bn_unsent_t unsent = {.count = 0};
    bn_blob_t *blobs[17] = {NULL};
    for (uint64_t route = 1; route <= 16; route++)
        blobs[route - 1] = answer (&unsent, route, 16 * MIB);
    assert_int_equal (bn_unsent_room (&unsent, 99, 8 * MIB), BN_UNSENT_SCANT_BYTES);
    assert_int_equal (bn_unsent_room (&unsent, 99, 100), 100);
    blobs[16] = answer (&unsent, 99, 100);
    assert_int_equal (bn_unsent_room (&unsent, 99, 100), 0);

    bn_blob_unref (&blobs[0]);
    bn_unsent_sweep (&unsent);
    assert_int_equal (bn_unsent_room (&unsent, 99, 8 * MIB), 8 * MIB);
    for (int i = 1; i < 17; i++)
        bn_blob_unref (&blobs[i]);
    bn_unsent_fini (&unsent);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_as_much_as_is_wanted_to_those_who_read),
        cmocka_unit_test (test_a_connection_that_does_not_read_has_its_share),
        cmocka_unit_test (test_many_small_answers_are_counted_too),
        cmocka_unit_test (test_when_all_is_taken_each_gets_a_little),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
