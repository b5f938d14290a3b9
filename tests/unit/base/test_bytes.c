/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include <string.h>

static void test_blob_is_freed_by_its_last_reference (void **state)
{
    (void)state;
    bn_blob_t *blob = bn_blob_new_copy ("abc", 3);
    bn_blob_t *second = bn_blob_ref (blob);
    assert_ptr_equal (blob, second);
    bn_blob_unref (&blob);
    assert_null (blob);
    assert_memory_equal (second->data, "abc", 3);
    bn_blob_unref (&second);
    assert_null (second);
    bn_blob_unref (&second);
}

static void test_blob_of_an_impossible_size_is_refused (void **state)
{
    (void)state;
    assert_null (bn_blob_new (SIZE_MAX));
    assert_null (bn_blob_new (SIZE_MAX - 8));
}

static void test_empty_blob (void **state)
{
    (void)state;
    bn_blob_t *blob = bn_blob_new_copy (NULL, 0);
    assert_non_null (blob);
    assert_int_equal (blob->size, 0);
    bn_blob_unref (&blob);
}

static void test_buffer_keeps_what_is_appended (void **state)
{
    (void)state;
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, 100000);
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t bytes[100];
        memset (bytes, (int)(i & 0xff), sizeof (bytes));
        bn_buffer_append (&buffer, bytes, sizeof (bytes));
    }
    assert_false (buffer.failed);
    assert_int_equal (buffer.size, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal (bn_buffer_data (&buffer)[i], (i / 100) & 0xff);
    bn_blob_t *blob = bn_buffer_take (&buffer);
    assert_non_null (blob);
    assert_int_equal (blob->size, 100000);
    assert_int_equal (blob->data[99999], 999 & 0xff);
    assert_int_equal (buffer.size, 0);
    bn_blob_unref (&blob);
    bn_buffer_fini (&buffer);
}

static void test_buffer_failure_sticks (void **state)
{
    (void)state;
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, 10);
    bn_buffer_append (&buffer, "0123456789", 10);
    assert_false (buffer.failed);
    bn_buffer_append (&buffer, "", 0);
    assert_false (buffer.failed);
    bn_buffer_append (&buffer, "x", 1);
    assert_true (buffer.failed);
    assert_int_equal (buffer.size, 10);
    assert_null (bn_buffer_grow (&buffer, 0));
    assert_null (bn_buffer_take (&buffer));
    assert_int_equal (bn_buffer_msgpack_write (&buffer, "y", 1), -1);
    bn_buffer_clear (&buffer);
    assert_int_equal (bn_buffer_msgpack_write (&buffer, "y", 1), 0);
    assert_int_equal (buffer.size, 1);
    bn_buffer_fini (&buffer);
}

static void test_buffer_of_huge_requests (void **state)
{
    (void)state;
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, SIZE_MAX);
    bn_buffer_append (&buffer, "x", 1);
    assert_null (bn_buffer_grow (&buffer, SIZE_MAX - 1));
    assert_true (buffer.failed);
    bn_buffer_fini (&buffer);
}

static void test_taking_from_an_empty_buffer (void **state)
{
    (void)state;
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, 10);
    bn_blob_t *blob = bn_buffer_take (&buffer);
    assert_non_null (blob);
    assert_int_equal (blob->size, 0);
    bn_blob_unref (&blob);
    bn_buffer_fini (&buffer);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_blob_is_freed_by_its_last_reference),
        cmocka_unit_test (test_blob_of_an_impossible_size_is_refused),
        cmocka_unit_test (test_empty_blob),
        cmocka_unit_test (test_buffer_keeps_what_is_appended),
        cmocka_unit_test (test_buffer_failure_sticks),
        cmocka_unit_test (test_buffer_of_huge_requests),
        cmocka_unit_test (test_taking_from_an_empty_buffer),
    };
    return cmocka_run_group_tests_name ("base.bytes", tests, NULL, NULL);
}
