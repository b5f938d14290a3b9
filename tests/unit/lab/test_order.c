/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/order.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bn_lab_order_t parsed (const char *text)
{
    bn_lab_order_t order;
    char what[256] = "";
    if (bn_lab_order_parse (&order, text, what))
        fail_msg ("'%s' was refused: %s", text, what);
    return order;
}

static void orders_are_understood (void **state)
{
    (void)state;
    bn_lab_order_t order = parsed ("kill payment-1.host2");
    assert_int_equal (order.kind, BN_LAB_KILL);
    assert_string_equal (order.target, "payment-1.host2");
    assert_false (order.for_given);

    order = parsed ("  partition   host2 in for 1.5s ");
    assert_int_equal (order.kind, BN_LAB_PARTITION);
    assert_int_equal (order.way, BN_LAB_IN);
    assert_int_equal (order.for_ms, 1500);
    assert_true (order.for_given);

    order = parsed ("partition host2");
    assert_int_equal (order.way, BN_LAB_BOTH_WAYS);
    assert_int_equal (order.for_ms, 5000); /* bounded, also when nobody says for how long */

    order = parsed ("trouble --random --rate 0.5 --for 2m --seed 18446744073709551615");
    assert_true (order.random && order.seed_set);
    assert_true (order.rate > 0.49 && order.rate < 0.51);
    assert_int_equal (order.for_ms, 120000);
    assert_true (order.seed == UINT64_MAX);

    order = parsed ("kill payment rate 2 for 3s");
    assert_true (order.rate > 1.9 && !order.random);
    order = parsed ("provider bank up");
    assert_true (order.up);
    order = parsed ("poison orders.placed key k7");
    assert_string_equal (order.key, "k7");
    order = parsed ("burst x10 for 5s");
    assert_int_equal (order.number, 10);
    order = parsed ("burst orders.placed rate 500");
    assert_int_equal (order.number, 0);
    assert_string_equal (order.target, "orders.placed");
    order = parsed ("scale payment 0");
    assert_int_equal (order.number, 0);
    order = parsed ("fill-disk for 500ms");
    assert_int_equal (order.for_ms, 500);
}

static void wrong_orders_are_refused (void **state)
{
    static const char *const wrong[] = {
        "",
        "   ",
        "kil payment",
        "kill",
        "kill a b",
        "kill a random",
        "kill a rate 2", /* for how long? */
        "heal host1 rate 2 for 3s",
        "kill random rate 101 for 3s",
        "kill random rate -1 for 3s",
        "kill a for",
        "kill a for ever",
        "kill a for 0s",
        "kill a for 2h",
        "kill a for 1e3s",
        "pause a for 5",
        "heal host1 for 5s",
        "partition host1 sideways now",
        "partition host1 in out",
        "trouble host1",
        "trouble",
        "provider",
        "provider random",
        "poison",
        "burst",
        "burst x1",
        "burst x10 rate 5",
        "burst orders.placed",
        "scale payment",
        "scale payment -1",
        "fill-disk host1",
        "seed 3",
        "kill a seed 99999999999999999999",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bn_lab_order_t order;
        char what[256] = "";
        if (bn_lab_order_parse (&order, wrong[i], what) != BATON_ERR_ARGUMENT)
            fail_msg ("'%s' was taken", wrong[i]);
        assert_true (strlen (what) > 0);
    }
}

static void long_orders_are_refused (void **state)
{
    char text[1024] = "kill ";
    bn_lab_order_t order;
    char what[256];
    (void)state;
    memset (text + 5, 'x', 201);
    assert_int_equal (bn_lab_order_parse (&order, text, what), BATON_ERR_ARGUMENT);
    text[5 + 200] = 0;
    assert_int_equal (bn_lab_order_parse (&order, text, what), BATON_OK);
    memset (text + 5, 'x', 1000);
    assert_int_equal (bn_lab_order_parse (&order, text, what), BATON_ERR_ARGUMENT);
    strcpy (text, "kill a");
    for (int i = 0; i < 30; i++)
        strcat (text, " seed 1");
    assert_int_equal (bn_lab_order_parse (&order, text, what), BATON_ERR_ARGUMENT);
}

static void every_kind_has_a_text_of_its_own (void **state)
{
    (void)state;
    for (bn_lab_kind_t a = BN_LAB_KILL; a < BN_LAB_KIND_COUNT; a++)
        for (bn_lab_kind_t b = BN_LAB_KILL; b < a; b++)
            assert_string_not_equal (bn_lab_kind_text (a), bn_lab_kind_text (b));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (orders_are_understood),
        cmocka_unit_test (wrong_orders_are_refused),
        cmocka_unit_test (long_orders_are_refused),
        cmocka_unit_test (every_kind_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
