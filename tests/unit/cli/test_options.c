/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/options.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(words) ((int)(sizeof (words) / sizeof (words[0])) - 1)

static void test_takes_options_between_operands (void **state)
{
    bool flag = false;
    uint64_t number = 7, untouched = 8;
    const char *text = NULL;
    bn_option_list_t list = {.count = 0};
    const bn_option_t table[] = {
        {"flag", 'x', BN_OPTION_FLAG, &flag, NULL, "h", 0, 0},
        {"number", 'n', BN_OPTION_UINT, &number, "N", "h", 1, 10},
        {"other", 0, BN_OPTION_UINT, &untouched, "N", "h", 0, 0},
        {"text", 't', BN_OPTION_TEXT, &text, "T", "h", 0, 0},
        {"item", 'i', BN_OPTION_LIST, &list, "I", "h", 0, 0},
    };
    const bn_command_t command = {
        .usage = "try", .about = "a", .options = table, .option_count = 5};
    char *words[] = {"try",    "one", "--number=10", "-x",      "--item", "a", "two", "-ib",
                     "--text", "",    "--",          "--three", NULL};
    int first = 0;
    (void)state;
    assert_int_equal (bn_options_parse (&command, COUNT (words), words, &first), -1);
    assert_true (flag);
    assert_int_equal (number, 10);
    assert_int_equal (untouched, 8);
    assert_string_equal (text, "");
    assert_int_equal (list.count, 2);
    assert_string_equal (list.items[1], "b");
    assert_int_equal (COUNT (words) - first, 3);
    assert_string_equal (words[first], "one");
    assert_string_equal (words[first + 2], "--three");
}

static void test_refuses_mistakes (void **state)
{
    uint64_t number = 0;
    bool flag = false;
    const bn_option_t table[] = {
        {"number", 'n', BN_OPTION_UINT, &number, "N", "h", 1, 10},
        {"flag", 0, BN_OPTION_FLAG, &flag, NULL, "h", 0, 0},
    };
    const bn_command_t command = {
        .usage = "try", .about = "a", .options = table, .option_count = 2};
    static char *mistakes[][4] = {
        {"try", "--numbre", "3"}, {"try", "-q"},
        {"try", "--number"},      {"try", "-n", "11"},
        {"try", "--number=0"},    {"try", "-n", "-1"},
        {"try", "-n", "3x"},      {"try", "-n", ""},
        {"try", "--flag=yes"},    {"try", "-n", "99999999999999999999999"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof (mistakes) / sizeof (mistakes[0]); i++) {
        int count = 0, first;
        while (mistakes[i][count])
            count++;
        assert_int_equal (bn_options_parse (&command, count, mistakes[i], &first), BN_EXIT_USAGE);
    }
}

static void test_helps (void **state)
{
    const bn_command_t command = {.usage = "try", .about = "a"};
    char *words[] = {"try", "--help", NULL};
    int first;
    (void)state;
    assert_int_equal (bn_options_parse (&command, 2, words, &first), BN_EXIT_OK);
}

static void test_reads_times (void **state)
{
    static const struct {
        const char *text;
        int64_t time_us; /* -1: refused */
    } cases[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00:01Z", 1000000},
        {"2023-11-14T22:13:20Z", 1700000000000000},
        {"2023-11-14t23:13:20+01:00", 1700000000000000},
        {"2023-11-14 20:43:20.000001-01:30", 1700000000000001},
        {"2023-11-14T22:13:20.1234567Z", 1700000000123456},
        {"2024-02-29", 1709164800000000},
        {"10s", 990000000},
        {"1d", 0},
        {"2023-02-29", -1},
        {"2023-13-01", -1},
        {"2023-11-14T22:13:20", -1},
        {"2023-11-14T25:13:20Z", -1},
        {"2023-11-14T22:13:20.Z", -1},
        {"2023-11-14T22:13:20Z ", -1},
        {"1969-12-31", -1},
        {"1970-01-01T00:00:00+01:00", -1},
        {"10", -1},
        {"s", -1},
        {"-5s", -1},
        {"", -1},
        {"yesterday", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        int64_t time_us = -1;
        bool taken = bn_parse_time (cases[i].text, 1000000000, &time_us);
        if (taken != (cases[i].time_us >= 0))
            print_error ("%s\n", cases[i].text);
        assert_int_equal (taken, cases[i].time_us >= 0);
        if (taken)
            assert_int_equal (time_us, cases[i].time_us);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_takes_options_between_operands),
        cmocka_unit_test (test_refuses_mistakes),
        cmocka_unit_test (test_helps),
        cmocka_unit_test (test_reads_times),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
