/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <baton/error.h>
#include <string.h>

static void test_each_code_has_name_number_text_and_retriable (void **state)
{
    (void)state;
#define CHECK_CODE(name, number, retriable, text)                                                  \
    assert_int_equal (BATON_ERR_##name, number);                                                   \
    assert_string_equal (baton_err_name (BATON_ERR_##name), #name);                                \
    assert_string_equal (baton_err_text (BATON_ERR_##name), text);                                 \
    assert_int_equal (baton_err_retriable (BATON_ERR_##name), retriable);
    BATON_ERRORS (CHECK_CODE)
}

/*  The numbers travel: a peer of another version reads them.  */
static void test_numbers_of_the_protocol (void **state)
{
    (void)state;
    assert_int_equal (BATON_ERR_MALFORMED, 20);
    assert_int_equal (BATON_ERR_NO_SESSION, 40);
    assert_int_equal (BATON_ERR_SEQUENCE, 41);
    assert_int_equal (BATON_ERR_FENCED, 42);
    assert_int_equal (BATON_ERR_DISK_FULL, 61);
}

static void test_a_code_of_another_version_is_named_too (void **state)
{
    (void)state;
    assert_string_equal (baton_err_name (BATON_OK), "OK");
    assert_string_equal (baton_err_name ((baton_err_t)999), "UNKNOWN");
    assert_true (strlen (baton_err_text ((baton_err_t)999)) > 0);
    assert_false (baton_err_retriable ((baton_err_t)999));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_each_code_has_name_number_text_and_retriable),
        cmocka_unit_test (test_numbers_of_the_protocol),
        cmocka_unit_test (test_a_code_of_another_version_is_named_too),
    };
    return cmocka_run_group_tests_name ("base.error", tests, NULL, NULL);
}
