/* SPDX-License-Identifier: MPL-2.0 */

/*  What a text of unknown origin can do to a terminal, a line of a log and a table.  */

#include "shell/log.h"
#include "shell/printable.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void shows (const char *text, bool colours, const char *expected)
{
    char copy[256];
    size_t size = bn_printable (copy, sizeof (copy), text, strlen (text), colours);
    assert_string_equal (copy, expected);
    assert_int_equal (size, strlen (expected));
}

static void test_plain_text_stays (void **state)
{
    (void)state;
    shows ("", false, "");
    shows ("Grüße, 東京 \xf0\x9f\x99\x82", false, "Grüße, 東京 \xf0\x9f\x99\x82");
    shows ("\xc2\xa0", false, "\xc2\xa0"); /* U+00A0, the first one behind C1 */
}

static void test_orders_to_a_terminal_are_shown (void **state)
{
    (void)state;
    shows ("a\033[2Jb", false, "a?[2Jb");
    shows ("\033]0;title\007", false, "?]0;title?");
    shows ("\xc2\x9b"
           "2J",
           false, "?2J"); /* CSI as one character */
    shows ("one\ntwo\r\tx\x7f", false, "one?two??x?");
}

static void test_bytes_that_are_no_characters_are_shown (void **state)
{
    (void)state;
    shows ("\xff"
           "a\xc3",
           false, "?a?");
    shows ("\xc0\x9b", false, "??");           /* overlong */
    shows ("\xed\xa0\x80", false, "???");      /* a surrogate */
    shows ("\xf4\x90\x80\x80", false, "????"); /* past U+10FFFF */
}

static void test_colours_stay_where_they_may_and_end (void **state)
{
    (void)state;
    shows ("\033[1;31mred\033[0m\tx", true, "\033[1;31mred\033[0m\tx\033[0m");
    shows ("\033[31mred", true, "\033[31mred\033[0m");
    shows ("\033[31mred", false, "?[31mred");
    shows ("\033[31", true, "?[31");     /* cut off */
    shows ("\033[3;1H", true, "?[3;1H"); /* moves the cursor */
    shows ("\033[?25m", true, "?[?25m");
}

static void test_what_does_not_fit_is_left_out_whole (void **state)
{
    (void)state;
    char copy[BN_PRINTABLE_ROOM + 4];
    assert_int_equal (bn_printable (copy, BN_PRINTABLE_ROOM + 2, "abcdef", 6, false), 5);
    assert_string_equal (copy, "abcde");
    assert_int_equal (bn_printable (copy, BN_PRINTABLE_ROOM, "ab\xc3\xbc", 4, false), 2);
    assert_string_equal (copy, "ab");
    /*  With the end of a colour, too, it stays within its room.  */
    memset (copy, 'x', sizeof (copy));
    bn_printable (copy, BN_PRINTABLE_ROOM + 3, "\033[1mabcdefgh", 12, true);
    assert_string_equal (copy, "\033[1mab\033[0m");
    assert_int_equal (copy[BN_PRINTABLE_ROOM + 3], 'x');
}

/*  What bn_log writes for a text, from its "who: " on.  */
static void logs (bn_log_format_t format, const char *text, const char *expected)
{
    char line[512];
    int ends[2], saved = dup (STDERR_FILENO);
    assert_int_equal (pipe (ends), 0);
    dup2 (ends[1], STDERR_FILENO);
    bn_log_setup ("who", format, BN_LOG_INFO);
    bn_log (BN_LOG_INFO, "%s", text);
    dup2 (saved, STDERR_FILENO);
    close (saved);
    close (ends[1]);
    ssize_t size = read (ends[0], line, sizeof (line) - 1);
    close (ends[0]);
    assert_true (size > 0);
    line[size] = 0;
    const char *at = strstr (line, format == BN_LOG_JSON ? "\"who\":\"who\"" : "who: ");
    assert_non_null (at);
    assert_string_equal (at, expected);
}

static void test_a_log_line_is_one_line_without_orders (void **state)
{
    (void)state;
    logs (BN_LOG_TEXT, "a\nb\033[2J\xc2\x9b\xff.", "who: a b [2J \xef\xbf\xbd.\n");
    logs (BN_LOG_JSON, "a\nb\"\\\xc2\x9b.",
          "\"who\":\"who\",\"text\":\"a\\u000ab\\\"\\\\\\u009b.\"}\n");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_plain_text_stays),
        cmocka_unit_test (test_orders_to_a_terminal_are_shown),
        cmocka_unit_test (test_bytes_that_are_no_characters_are_shown),
        cmocka_unit_test (test_colours_stay_where_they_may_and_end),
        cmocka_unit_test (test_what_does_not_fit_is_left_out_whole),
        cmocka_unit_test (test_a_log_line_is_one_line_without_orders),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
