/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/*  The JSON text of packed bytes; "" if they are refused.  */
static const char *print (const void *bytes, size_t size)
{
    static char text[4096];
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, sizeof (text) - 1);
    bool fine = bn_json_put_value (&buffer, bytes, size) && !buffer.failed;
    snprintf (text, sizeof (text), "%.*s", fine ? (int)buffer.size : 0,
              fine ? (const char *)bn_buffer_data (&buffer) : "");
    bn_buffer_fini (&buffer);
    return text;
}

#define PRINT(bytes) print (bytes, sizeof (bytes) - 1)

/*  JSON to MessagePack and back.  */
static const char *there_and_back (const char *json)
{
    char what[256];
    bn_buffer_t packed;
    json_t *value = bn_json_parse (json, strlen (json), what);
    assert_non_null (value);
    bn_buffer_init (&packed, 4096);
    assert_int_equal (bn_json_pack (value, &packed), BATON_OK);
    const char *text = print (bn_buffer_data (&packed), packed.size);
    bn_buffer_fini (&packed);
    json_decref (value);
    return text;
}

static void test_comes_back_as_it_was (void **state)
{
    static const char *const texts[] = {
        "null",
        "true",
        "-9223372036854775808",
        "9223372036854775807",
        "[]",
        "{\"a\":[1,-2,{\"b\":null}],\"c\":\"\"}",
        "0.1",
        "1.0",
        "1e+300",
        "\"\\\"\\\\ \\n\\u0001 \xc3\xa9 \xf0\x9f\x99\x82\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof (texts) / sizeof (texts[0]); i++)
        assert_string_equal (there_and_back (texts[i]), texts[i]);
}

static void test_prints_what_json_has_no_word_for (void **state)
{
    (void)state;
    assert_string_equal (PRINT ("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
                         "\"18446744073709551615\"");
    assert_string_equal (PRINT ("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), "9223372036854775807");
    assert_string_equal (PRINT ("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "\"Infinity\"");
    assert_string_equal (PRINT ("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "\"NaN\"");
    assert_string_equal (PRINT ("\xc4\x00"), "\"\"");
    assert_string_equal (PRINT ("\xc4\x01"
                                "f"),
                         "\"Zg==\"");
    assert_string_equal (PRINT ("\xc4\x02"
                                "fo"),
                         "\"Zm8=\"");
    assert_string_equal (PRINT ("\xc4\x03"
                                "foo"),
                         "\"Zm9v\"");
    assert_string_equal (PRINT ("\x82\x01\xc0\xc3\x02"), "{\"1\":null,\"true\":2}");
    assert_string_equal (PRINT ("\xd4\x05x"), "{\"ext_type\":5,\"data_base64\":\"eA==\"}");
    assert_string_equal (PRINT ("\xc7\x03\xfe"
                                "foo"),
                         "{\"ext_type\":-2,\"data_base64\":\"Zm9v\"}");
    assert_string_equal (PRINT ("\x82\x01\x02\xc3\x04"), "{\"1\":2,\"true\":4}");
    assert_string_equal (PRINT ("\x81\x81\x01\x02\x03"), "{\"gQEC\":3}");
    assert_string_equal (PRINT ("\x81\x91\x01\xc0"), "{\"kQE=\":null}");
}

static void test_refuses_bytes_that_are_no_value (void **state)
{
    char deep[64];
    (void)state;
    assert_string_equal (PRINT (""), "");
    assert_string_equal (PRINT ("\x92\x01"), "");
    assert_string_equal (PRINT ("\x01\x01"), "");
    assert_string_equal (PRINT ("\xc1"), "");
    assert_string_equal (PRINT ("\xdd\xff\xff\xff\xff"), "");
    memset (deep, 0x91, sizeof (deep));
    deep[BATON_DATA_DEPTH_MAX] = 1;
    assert_string_not_equal (print (deep, BATON_DATA_DEPTH_MAX + 1), "");
    deep[BATON_DATA_DEPTH_MAX] = (char)0x91;
    deep[BATON_DATA_DEPTH_MAX + 1] = 1;
    assert_string_equal (print (deep, BATON_DATA_DEPTH_MAX + 2), "");
}

static void test_refuses_text_that_is_no_json (void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "{\"a\":1,\"a\":2}",
                                        "nul",
                                        "1 2",
                                        "\"\\u0000\"",
                                        "[1,]",
                                        "\"\xff\xfe\"",
                                        "18446744073709551616",
                                        "'a'"};
    char what[256];
    (void)state;
    for (size_t i = 0; i < sizeof (texts) / sizeof (texts[0]); i++) {
        what[0] = 0;
        assert_null (bn_json_parse (texts[i], strlen (texts[i]), what));
        assert_non_null (strstr (what, "at column"));
    }
}

static void test_bounds_depth_and_size (void **state)
{
    char text[256], what[256];
    bn_buffer_t packed;
    (void)state;
    memset (text, '[', sizeof (text));
    memset (text + BATON_DATA_DEPTH_MAX + 1, ']', BATON_DATA_DEPTH_MAX + 1);
    json_t *value = bn_json_parse (text, 2 * (BATON_DATA_DEPTH_MAX + 1), what);
    assert_non_null (value);
    bn_buffer_init (&packed, 4096);
    assert_int_equal (bn_json_pack (value, &packed), BATON_ERR_TOO_DEEP);
    bn_buffer_fini (&packed);
    json_decref (value);

    value = bn_json_parse ("\"0123456789\"", 12, what);
    bn_buffer_init (&packed, 10);
    assert_int_equal (bn_json_pack (value, &packed), BATON_ERR_TOO_LARGE);
    bn_buffer_fini (&packed);
    json_decref (value);
}

static void test_finds_a_key (void **state)
{
    const char *text = "{\"a\":{\"b\":{\"c\":\"key\"}},\"n\":42,\"x\":1.5,\"z\":null}";
    char what[256], digits[32];
    (void)state;
    json_t *value = bn_json_parse (text, strlen (text), what);
    assert_string_equal (bn_json_key_text (bn_json_path (value, "a.b.c"), digits), "key");
    assert_string_equal (bn_json_key_text (bn_json_path (value, "n"), digits), "42");
    assert_null (bn_json_key_text (bn_json_path (value, "x"), digits));
    assert_null (bn_json_key_text (bn_json_path (value, "z"), digits));
    assert_null (bn_json_path (value, "a.c"));
    assert_null (bn_json_path (value, "n.a"));
    assert_null (bn_json_path (value, ""));
    json_decref (value);
}

static bn_text_t text_of (const char *text)
{
    return (bn_text_t){.text = text, .size = strlen (text)};
}

static void test_prints_an_event (void **state)
{
    bn_event_fields_t event = {.id_prefix = text_of ("ab"),
                               .id_number_set = true,
                               .id_number = 7,
                               .key = text_of ("k\"1"),
                               .source = text_of ("/shop"),
                               .time_us = 1700000000000001,
                               .datacontenttype = text_of (""),
                               .data = (const uint8_t *)"\x81\xa1n\x2a",
                               .data_size = 4,
                               .ext = (const uint8_t *)"\x81\xa3"
                                                       "foo\xa3"
                                                       "bar",
                               .ext_size = 9};
    bn_buffer_t line;
    (void)state;
    bn_buffer_init (&line, 4096);
    bn_json_put_event (&line, text_of ("a.b"), 3, 99, &event);
    bn_buffer_append (&line, "", 1);
    assert_string_equal ((const char *)bn_buffer_data (&line),
                         "{\"offset\":99,\"partition\":3,\"specversion\":\"1.0\",\"id\":\"ab-7\","
                         "\"source\":\"/shop\",\"type\":\"a.b\",\"subject\":\"k\\\"1\","
                         "\"time\":\"2023-11-14T22:13:20.000001Z\",\"foo\":\"bar\","
                         "\"datacontenttype\":\"application/json\",\"data\":{\"n\":42}}");

    event.datacontenttype = text_of ("image/png");
    event.ext = NULL;
    bn_buffer_clear (&line);
    bn_json_put_event (&line, text_of ("a"), 0, 0, &event);
    bn_buffer_append (&line, "", 1);
    assert_non_null (strstr ((const char *)bn_buffer_data (&line),
                             "\"datacontenttype\":\"image/png\",\"data_base64\":\"gaFuKg==\"}"));

    event.datacontenttype = text_of ("text/plain; charset=utf-8");
    event.data = (const uint8_t *)"hi\n";
    event.data_size = 3;
    bn_buffer_clear (&line);
    bn_json_put_event (&line, text_of ("a"), 0, 0, &event);
    bn_buffer_append (&line, "", 1);
    assert_non_null (strstr ((const char *)bn_buffer_data (&line), "\"data\":\"hi\\n\"}"));
    bn_buffer_fini (&line);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_comes_back_as_it_was),
        cmocka_unit_test (test_prints_what_json_has_no_word_for),
        cmocka_unit_test (test_refuses_bytes_that_are_no_value),
        cmocka_unit_test (test_refuses_text_that_is_no_json),
        cmocka_unit_test (test_bounds_depth_and_size),
        cmocka_unit_test (test_finds_a_key),
        cmocka_unit_test (test_prints_an_event),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
