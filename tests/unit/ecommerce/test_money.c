/* SPDX-License-Identifier: MPL-2.0 */

/*  Amounts of the shop: exact, or refused.  */
#include "money.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void round_trip (const char *text, money_t millionths, const char *shown)
{
    money_t amount = -1;
    char buffer[MONEY_TEXT_BYTES];
    assert_true (money_parse (text, &amount));
    assert_int_equal (amount, millionths);
    assert_string_equal (money_format (amount, buffer), shown);
}

static void amounts_are_exact (void **state)
{
    (void)state;
    round_trip ("0", 0, "0.00");
    round_trip ("2.55", 2550000, "2.55");
    round_trip ("2.1", 2100000, "2.10");
    round_trip (".001", 1000, "0.001");
    round_trip ("5.", 5000000, "5.00");
    round_trip ("-11062.06", -11062060000, "-11062.06");
    round_trip ("-0.5", -500000, "-0.50");
    round_trip ("374274.391", 374274391000, "374274.391");
    round_trip ("1.2345670000", 1234567, "1.234567");
    round_trip ("9223372036854.775807", INT64_MAX, "9223372036854.775807");
}

static void what_is_no_amount_is_refused (void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"",
                                        ".",
                                        "-",
                                        "+-1",
                                        "1,5",
                                        "1.2.3",
                                        "1e3",
                                        " 1",
                                        "1 ",
                                        "0x10",
                                        "nan",
                                        "1.0000001",
                                        "9223372036854.775808",
                                        "99999999999999999999"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        money_t amount = 42;
        if (money_parse (TEXTS[i], &amount) || amount != 42)
            fail_msg ("'%s' is taken for an amount", TEXTS[i]);
    }
}

static void totals_do_not_overflow (void **state)
{
    (void)state;
    money_t total = 0;
    assert_true (money_add_product (&total, 2550000, 6));
    assert_int_equal (total, 15300000);
    assert_false (money_add_product (&total, INT64_MAX, 2));
    assert_false (money_add_product (&total, INT64_MAX, 1));
    assert_int_equal (total, 15300000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (amounts_are_exact),
        cmocka_unit_test (what_is_no_amount_is_refused),
        cmocka_unit_test (totals_do_not_overflow),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
