/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mp.h"
#include <stdlib.h>
#include <string.h>

/*  Bytes in memory of exactly their size, so that a sanitizer sees a read past them.  */
typedef struct {
    bn_mp_t mp;
    uint8_t *bytes;
} input_t;

static input_t input (const char *bytes, size_t size)
{
    input_t self;
    self.bytes = malloc (size ? size : 1);
    if (size)
        memcpy (self.bytes, bytes, size);
    bn_mp_init (&self.mp, self.bytes, size);
    return self;
}

#define INPUT(text) input (text, sizeof (text) - 1)

static void test_integers_of_every_width (void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        bool is_uint;
        bool is_int;
        uint64_t value;
    } cases[] = {
        {"\x00", 1, true, true, 0},
        {"\x7f", 1, true, true, 127},
        {"\xff", 1, false, true, (uint64_t)-1},
        {"\xe0", 1, false, true, (uint64_t)-32},
        {"\xcc\xff", 2, true, true, 255},
        {"\xcd\xff\xfe", 3, true, true, 65534},
        {"\xce\xff\xff\xff\xfe", 5, true, true, 4294967294},
        {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, true, true, INT64_MAX},
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, true, false, UINT64_MAX},
        {"\xd0\x80", 2, false, true, (uint64_t)-128},
        {"\xd0\x05", 2, true, true, 5},
        {"\xd1\x80\x00", 3, false, true, (uint64_t)-32768},
        {"\xd2\x80\x00\x00\x00", 5, false, true, (uint64_t)INT64_C (-2147483648)},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, false, true, (uint64_t)INT64_MIN},
        {"\xd3\x00\x00\x00\x00\x00\x00\x00\x01", 9, true, true, 1},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        for (size_t size = 0; size <= cases[i].size; size++) {
            input_t in = input (cases[i].bytes, size);
            uint64_t value = bn_mp_uint (&in.mp, UINT64_MAX, "x");
            bool ok = cases[i].is_uint && size == cases[i].size;
            assert_int_equal (bn_mp_ok (&in.mp), ok);
            assert_true (value == (ok ? cases[i].value : 0));
            bn_mp_init (&in.mp, in.bytes, size);
            value = (uint64_t)bn_mp_int (&in.mp, "x");
            ok = cases[i].is_int && size == cases[i].size;
            assert_int_equal (bn_mp_ok (&in.mp), ok);
            assert_true (value == (ok ? cases[i].value : 0));
            free (in.bytes);
        }
    }
}

static void test_a_number_above_its_maximum (void **state)
{
    (void)state;
    input_t in = INPUT ("\x01\xcd\x01\x00");
    assert_int_equal (bn_mp_uint (&in.mp, 1, "one"), 1);
    assert_int_equal (bn_mp_uint (&in.mp, 255, "two"), 0);
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    assert_int_equal (in.mp.err_at, 1);
    assert_string_equal (in.mp.err_what, "two");
    free (in.bytes);
}

static void test_the_first_error_sticks (void **state)
{
    (void)state;
    input_t in = INPUT ("\xc3\x05\xa1x");
    assert_int_equal (bn_mp_uint (&in.mp, 10, "first"), 0);
    assert_false (bn_mp_bool (&in.mp, "second"));
    assert_int_equal (bn_mp_peek (&in.mp), 0);
    assert_int_equal (bn_mp_left (&in.mp), 0);
    size_t size = 9;
    bn_mp_str (&in.mp, 10, &size, "third");
    assert_int_equal (size, 0);
    bn_mp_fail (&in.mp, BATON_ERR_KEY, "fourth");
    bn_mp_end (&in.mp);
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    assert_string_equal (in.mp.err_what, "first");
    free (in.bytes);
}

static void test_peek_names_every_tag (void **state)
{
    (void)state;
    for (unsigned tag = 0; tag < 256; tag++) {
        char expected = tag < 0x80    ? 'i'
                        : tag < 0x90  ? 'm'
                        : tag < 0xa0  ? 'a'
                        : tag < 0xc0  ? 's'
                        : tag == 0xc0 ? 'n'
                        : tag == 0xc1 ? 0
                        : tag < 0xc4  ? 'b'
                        : tag < 0xc7  ? 'B'
                        : tag < 0xca  ? 'e'
                        : tag < 0xcc  ? 'r'
                        : tag < 0xd4  ? 'i'
                        : tag < 0xd9  ? 'e'
                        : tag < 0xdc  ? 's'
                        : tag < 0xde  ? 'a'
                        : tag < 0xe0  ? 'm'
                                      : 'i';
        uint8_t byte = (uint8_t)tag;
        bn_mp_t mp;
        bn_mp_init (&mp, &byte, 1);
        assert_int_equal (bn_mp_peek (&mp), expected);
    }
}

static void test_reals_bools_and_nil (void **state)
{
    (void)state;
    input_t in = INPUT ("\xca\x3f\x80\x00\x00\xcb\xc0\x00\x00\x00\x00\x00\x00\x00\xc0\xc2\xc3");
    assert_true (bn_mp_real (&in.mp, "f") == 1.0);
    assert_true (bn_mp_real (&in.mp, "d") == -2.0);
    assert_true (bn_mp_nil (&in.mp));
    assert_false (bn_mp_nil (&in.mp));
    assert_false (bn_mp_bool (&in.mp, "b"));
    assert_true (bn_mp_bool (&in.mp, "b"));
    bn_mp_end (&in.mp);
    assert_true (bn_mp_ok (&in.mp));
    assert_false (bn_mp_nil (&in.mp));
    free (in.bytes);
}

static void test_texts_and_bytes (void **state)
{
    (void)state;
    size_t size;
    input_t in = INPUT ("\xa3"
                        "abc\xd9\x01x\xda\x00\x01y\xdb\x00\x00\x00\x01z\xa0\xc4\x01\x00\xc5\x00\x00"
                        "\xc6\x00\x00\x00\x02hi");
    assert_memory_equal (bn_mp_str (&in.mp, 3, &size, "s"), "abc", 3);
    assert_int_equal (size, 3);
    assert_memory_equal (bn_mp_str (&in.mp, 1, &size, "s"), "x", 1);
    assert_memory_equal (bn_mp_str (&in.mp, 1, &size, "s"), "y", 1);
    assert_memory_equal (bn_mp_str (&in.mp, 1, &size, "s"), "z", 1);
    bn_mp_str (&in.mp, 0, &size, "s");
    assert_int_equal (size, 0);
    assert_memory_equal (bn_mp_bin (&in.mp, 1, &size, "b"), "\0", 1);
    bn_mp_bin (&in.mp, 0, &size, "b");
    assert_int_equal (size, 0);
    assert_memory_equal (bn_mp_bin (&in.mp, 2, &size, "b"), "hi", 2);
    bn_mp_end (&in.mp);
    assert_true (bn_mp_ok (&in.mp));
    free (in.bytes);

    in = INPUT ("\xa3"
                "abc");
    bn_mp_str (&in.mp, 2, &size, "s");
    assert_int_equal (in.mp.err, BATON_ERR_TOO_LARGE);
    free (in.bytes);
    in = INPUT ("\xdb\xff\xff\xff\xff"
                "abc");
    bn_mp_str (&in.mp, SIZE_MAX, &size, "s");
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    assert_int_equal (size, 0);
    free (in.bytes);
    in = INPUT ("\xa3"
                "abc");
    bn_mp_bin (&in.mp, 10, &size, "b");
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    free (in.bytes);
}

static void test_utf8 (void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"exactly8", true},
        {"more than eight bytes of it", true},
        {"\xc3\xa4", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"12345678\xc3\xa4", true},
        {"1234567\xc3\xa4z", true},
        {"\xef\xbf\xbf", true},
        {"\x80", false},
        {"\xc3", false},
        {"\xc0\xaf", false},
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"\xe2\x82", false},
        {"\xe2\x28\xa1", false},
        {"12345678\x80", false},
        {"1234567\xff", false},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        if (bn_utf8_valid (cases[i].text, strlen (cases[i].text)) != cases[i].valid)
            fail_msg ("case %zu", i);
    /*  U+0000 and a byte that is no character, anywhere in texts of any length around words of
     *  four and of eight.  */
    for (size_t size = 1; size <= 20; size++)
        for (size_t at = 0; at < size; at++) {
            char text[20];
            memset (text, 'x', size);
            assert_true (bn_utf8_valid (text, size));
            text[at] = 0;
            assert_false (bn_utf8_valid (text, size));
            text[at] = (char)0xff;
            assert_false (bn_utf8_valid (text, size));
        }
    input_t in = INPUT ("\xa2\xc3\x28");
    size_t size;
    bn_mp_str (&in.mp, 10, &size, "s");
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    assert_int_equal (in.mp.err_at, 0);
    free (in.bytes);
}

static void test_counts_that_lie (void **state)
{
    (void)state;
    input_t in = INPUT ("\xdd\xff\xff\xff\xff\x01");
    assert_int_equal (bn_mp_array (&in.mp, UINT32_MAX, "a"), 0);
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    free (in.bytes);
    in = INPUT ("\xdf\x00\x00\x00\x02\x01\x02\x03");
    assert_int_equal (bn_mp_map (&in.mp, UINT32_MAX, "m"), 0);
    assert_int_equal (in.mp.err, BATON_ERR_MALFORMED);
    free (in.bytes);
    in = INPUT ("\x93\x01\x02\x03");
    assert_int_equal (bn_mp_array (&in.mp, 2, "a"), 0);
    assert_int_equal (in.mp.err, BATON_ERR_TOO_LARGE);
    free (in.bytes);
    in = INPUT ("\xdc\x00\x01\x05\xde\x00\x01\x01\x02");
    assert_int_equal (bn_mp_array (&in.mp, 1, "a"), 1);
    assert_int_equal (bn_mp_uint (&in.mp, 5, "x"), 5);
    assert_int_equal (bn_mp_map (&in.mp, 1, "m"), 1);
    assert_true (bn_mp_ok (&in.mp));
    free (in.bytes);
}

static void test_scan_takes_every_kind_and_no_truncation_of_it (void **state)
{
    (void)state;
    static const char all[] =
        "\xdc\x00\x18"
        "\xc0\xc2\xc3\x05\xe5\xcc\x01\xcd\x00\x01\xce\x00\x00\x00\x01"
        "\xcf\x00\x00\x00\x00\x00\x00\x00\x01\xd0\x01\xd1\x00\x01"
        "\xd2\x00\x00\x00\x01\xd3\x00\x00\x00\x00\x00\x00\x00\x01"
        "\xca\x00\x00\x00\x00\xcb\x00\x00\x00\x00\x00\x00\x00\x00"
        "\xa2hi\xd9\x01x\xc4\x01\x00\xd4\x01\x00\xd5\x01\x00\x00"
        "\xc7\x03\x01\x00\x00\x00\x91\x90\x81\xa1k\x80\x82\x01\x91\x02\x03\x04";
    size_t size = sizeof (all) - 1;
    size_t at;
    assert_int_equal (bn_mp_scan (all, size, 8, &at), BATON_OK);
    for (size_t cut = 0; cut < size; cut++) {
        input_t in = input (all, cut);
        assert_int_equal (bn_mp_scan (in.bytes, cut, 8, NULL), BATON_ERR_MALFORMED);
        free (in.bytes);
    }
    char longer[sizeof (all)];
    memcpy (longer, all, size);
    longer[size] = 0;
    assert_int_equal (bn_mp_scan (longer, size + 1, 8, &at), BATON_ERR_MALFORMED);
    assert_int_equal (at, size);
    assert_int_equal (bn_mp_scan ("\xc1", 1, 8, NULL), BATON_ERR_MALFORMED);
}

static void test_depth (void **state)
{
    (void)state;
    uint8_t nested[66];
    memset (nested, 0x91, sizeof (nested));
    for (size_t depth = 0; depth <= 64; depth++) {
        nested[depth] = 0x05;
        assert_int_equal (bn_mp_scan (nested, depth + 1, (uint32_t)depth, NULL), BATON_OK);
        if (depth > 0)
            assert_int_equal (bn_mp_scan (nested, depth + 1, (uint32_t)depth - 1, NULL),
                              BATON_ERR_TOO_DEEP);
        nested[depth] = 0x91;
    }
    /*  An empty array nests too; siblings do not add up.  */
    assert_int_equal (bn_mp_scan ("\x90", 1, 0, NULL), BATON_ERR_TOO_DEEP);
    assert_int_equal (bn_mp_scan ("\x93\x90\x90\x80", 4, 2, NULL), BATON_OK);
    size_t size = 1u << 20;
    uint8_t *bomb = malloc (size);
    memset (bomb, 0x81, size);
    assert_int_equal (bn_mp_scan (bomb, size, 32, NULL), BATON_ERR_TOO_DEEP);
    free (bomb);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_integers_of_every_width),
        cmocka_unit_test (test_a_number_above_its_maximum),
        cmocka_unit_test (test_the_first_error_sticks),
        cmocka_unit_test (test_peek_names_every_tag),
        cmocka_unit_test (test_reals_bools_and_nil),
        cmocka_unit_test (test_texts_and_bytes),
        cmocka_unit_test (test_utf8),
        cmocka_unit_test (test_counts_that_lie),
        cmocka_unit_test (test_scan_takes_every_kind_and_no_truncation_of_it),
        cmocka_unit_test (test_depth),
    };
    return cmocka_run_group_tests_name ("wire.mp", tests, NULL, NULL);
}
