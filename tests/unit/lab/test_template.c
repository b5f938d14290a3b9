/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/template.h"
#include <baton/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const bn_lab_names_t s_names = {.key = "k7", .id = "lab-x-3", .n = 300};

/*  Fills data in; the result is a value in the buffer.  */
static baton_value_t s_fill (bn_buffer_t *filled, baton_data_t *data)
{
    size_t size;
    const void *bytes = baton_data_bytes (data, &size);
    assert_non_null (bytes);
    bn_buffer_init (filled, BATON_DATA_BYTES_MAX);
    assert_int_equal (bn_lab_template_fill (bytes, size, &s_names, filled), BATON_OK);
    baton_value_t value = baton_value_wrap (bn_buffer_data (filled), filled->size);
    assert_non_null (value.bytes);
    return value;
}

static void s_assert_text (baton_value_t map, const char *name, const char *wanted)
{
    baton_value_t value;
    const char *text;
    size_t size;
    assert_true (baton_value_get (map, name, &value));
    assert_true (baton_value_str (value, &text, &size));
    assert_int_equal (size, strlen (wanted));
    assert_memory_equal (text, wanted, size);
}

static void texts_are_filled_in (void **state)
{
    baton_data_t *data = baton_data_new ();
    bn_buffer_t filled;
    (void)state;
    baton_data_put_str (data, "id", "$id");
    baton_data_put_str (data, "order", "A-$key-$n");
    baton_data_put_str (data, "price", "$$ 3.50");
    baton_data_put_str (data, "odd", "$x $");
    baton_data_put_str (data, "plain", "nothing");
    baton_data_put_str (data, "empty", "");
    baton_data_put_str (data, "$key", "as it is");
    baton_value_t value = s_fill (&filled, data);
    s_assert_text (value, "id", "lab-x-3");
    s_assert_text (value, "order", "A-k7-300");
    s_assert_text (value, "price", "$ 3.50");
    s_assert_text (value, "odd", "$x $");
    s_assert_text (value, "plain", "nothing");
    s_assert_text (value, "empty", "");
    s_assert_text (value, "$key", "as it is");
    bn_buffer_fini (&filled);
    baton_data_destroy (&data);
}

static void a_number_alone_is_a_number (void **state)
{
    baton_data_t *data = baton_data_new ();
    bn_buffer_t filled;
    baton_value_t inner;
    int64_t number = 0;
    (void)state;
    baton_data_put_str (data, "n", "$n");
    baton_value_t value = s_fill (&filled, data);
    assert_true (baton_value_get (value, "n", &inner));
    assert_true (baton_value_int (inner, &number));
    assert_int_equal (number, 300);
    bn_buffer_fini (&filled);
    baton_data_destroy (&data);
}

static void nesting_stays_as_it_is (void **state)
{
    baton_data_t *data = baton_data_new ();
    bn_buffer_t filled;
    baton_value_t lines, line, inner;
    double real = 0;
    bool truth = false;
    (void)state;
    baton_data_begin_array (data, "lines");
    for (int i = 0; i < 2; i++) {
        baton_data_begin_map (data, NULL);
        baton_data_begin_map (data, "empty");
        baton_data_end (data);
        baton_data_put_str (data, "code", "$key");
        baton_data_put_real (data, "price", 2.5);
        baton_data_put_nil (data, "nil");
        baton_data_end (data);
    }
    baton_data_begin_array (data, NULL);
    baton_data_end (data);
    baton_data_end (data);
    baton_data_put_bool (data, "last", true);
    baton_value_t value = s_fill (&filled, data);
    assert_true (baton_value_get (value, "lines", &lines));
    assert_int_equal (baton_value_count (lines), 3);
    assert_true (baton_value_at (lines, 1, &line));
    s_assert_text (line, "code", "k7");
    assert_true (baton_value_get (line, "price", &inner));
    assert_true (baton_value_real (inner, &real) && real > 2.4 && real < 2.6);
    assert_true (baton_value_get (value, "last", &inner));
    assert_true (baton_value_bool (inner, &truth) && truth);
    bn_buffer_fini (&filled);
    baton_data_destroy (&data);
}

static void bytes_that_are_no_value_are_refused (void **state)
{
    bn_buffer_t filled;
    (void)state;
    bn_buffer_init (&filled, 1024);
    assert_int_equal (bn_lab_template_fill ("\x92\x01", 2, &s_names, &filled), BATON_ERR_MALFORMED);
    assert_int_equal (bn_lab_template_fill ("", 0, &s_names, &filled), BATON_ERR_MALFORMED);
    assert_int_equal (bn_lab_template_fill ("\x01\x01", 2, &s_names, &filled), BATON_ERR_MALFORMED);
    bn_buffer_fini (&filled);
}

static void a_bound_is_kept (void **state)
{
    bn_buffer_t filled;
    (void)state;
    bn_buffer_init (&filled, 4);
    assert_int_equal (bn_lab_template_fill ("\xa3$id", 4, &s_names, &filled), BATON_ERR_TOO_LARGE);
    bn_buffer_fini (&filled);
}

static void what_varies_is_seen (void **state)
{
    (void)state;
    assert_true (bn_lab_template_varies ("\xa3$id", 4));
    assert_false (bn_lab_template_varies ("\xa3xyz", 4));
    assert_false (bn_lab_template_varies ("", 0));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (texts_are_filled_in),
        cmocka_unit_test (a_number_alone_is_a_number),
        cmocka_unit_test (nesting_stays_as_it_is),
        cmocka_unit_test (bytes_that_are_no_value_are_refused),
        cmocka_unit_test (a_bound_is_kept),
        cmocka_unit_test (what_varies_is_seen),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
