/* SPDX-License-Identifier: MPL-2.0 */

#include "base/prng.h"
#include "cli/histogram.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define VALUES 20000

static int compare (const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/*  Against sorted values, of all magnitudes: never below the true one, and at most 1/32 above.  */
static void test_knows_percentiles (void **state)
{
    static const double shares[] = {0.001, 0.01, 0.5, 0.9, 0.99, 0.999, 1};
    static uint64_t values[VALUES];
    static bn_histogram_t histogram;
    bn_prng_t prng;
    (void)state;
    bn_prng_init (&prng, 1);
    bn_histogram_init (&histogram);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = bn_prng_next (&prng) >> bn_prng_below (&prng, 64);
        bn_histogram_add (&histogram, values[i]);
    }
    qsort (values, VALUES, sizeof (values[0]), compare);
    for (size_t i = 0; i < sizeof (shares) / sizeof (shares[0]); i++) {
        uint64_t exact = values[(size_t)(shares[i] * VALUES + 0.5) - 1];
        uint64_t found = bn_histogram_at (&histogram, shares[i]);
        assert_true (found >= exact);
        assert_true (found - exact <= exact / 32);
    }
    assert_int_equal (bn_histogram_at (&histogram, 1), values[VALUES - 1]);
    assert_int_equal (histogram.min, values[0]);
}

static void test_travels_as_json (void **state)
{
    static bn_histogram_t sent, got;
    bn_buffer_t text;
    (void)state;
    bn_histogram_init (&sent);
    bn_histogram_init (&got);
    bn_histogram_add (&sent, 5);
    bn_histogram_add (&sent, 5000);
    bn_histogram_add (&got, 7);
    bn_buffer_init (&text, 4096);
    bn_histogram_put (&sent, &text);
    json_t *value = json_loadb ((const char *)bn_buffer_data (&text), text.size, 0, NULL);
    assert_true (bn_histogram_take (&got, value));
    assert_int_equal (got.count, 3);
    assert_int_equal (got.min, 5);
    assert_int_equal (got.max, 5000);
    json_decref (value);
    bn_buffer_fini (&text);

    value = json_loads ("{\"min\":1,\"max\":2,\"buckets\":[[100000,1]]}", 0, NULL);
    assert_false (bn_histogram_take (&got, value));
    assert_int_equal (got.count, 3);
    json_decref (value);
    assert_false (bn_histogram_take (&got, NULL));
}

static void test_is_empty (void **state)
{
    static bn_histogram_t histogram;
    (void)state;
    bn_histogram_init (&histogram);
    assert_int_equal (bn_histogram_at (&histogram, 0.5), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_knows_percentiles),
        cmocka_unit_test (test_travels_as_json),
        cmocka_unit_test (test_is_empty),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
