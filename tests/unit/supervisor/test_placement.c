/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "supervisor/placement.h"
#include <string.h>

enum { MOST = 256, PLACES = 3 };

static void expect (const bn_place_t *places, uint32_t a, uint32_t b, uint32_t c)
{
    assert_int_equal (places[0].wanted, a);
    assert_int_equal (places[1].wanted, b);
    assert_int_equal (places[2].wanted, c);
}

static void more_go_to_where_the_fewest_are (void **state)
{
    (void)state;
    bn_place_t places[PLACES] = {{1, 1, 1, true}, {2, 2, 2, true}, {1, 1, 1, true}};
    assert_int_equal (bn_placement_scale (places, PLACES, 5, false, MOST), 5);
    expect (places, 2, 2, 1);
    assert_int_equal (bn_placement_scale (places, PLACES, 9, false, MOST), 9);
    expect (places, 3, 3, 3);
    assert_int_equal (bn_placement_scale (places, PLACES, 7, false, MOST), 7);
    expect (places, 3, 2, 2);
    assert_int_equal (bn_placement_scale (places, PLACES, 0, false, MOST), 0);
    expect (places, 0, 0, 0);
    assert_int_equal (bn_placement_scale (places, PLACES, 2, false, MOST), 2);
    expect (places, 1, 1, 0);
}

static void a_decision_stays_within_what_the_file_says (void **state)
{
    (void)state;
    bn_place_t places[PLACES] = {{1, 2, 1, true}, {0, 0, 0, true}, {1, 4, 1, true}};
    assert_int_equal (bn_placement_scale (places, PLACES, 6, true, MOST), 6);
    expect (places, 2, 0, 4);
    assert_int_equal (bn_placement_scale (places, PLACES, 7, true, MOST), 6);
    expect (places, 2, 0, 4);
    assert_int_equal (bn_placement_scale (places, PLACES, 0, true, MOST), 2);
    expect (places, 1, 0, 1);
}

/*  P1, P2: what is wanted of a host that is not there stays wanted there, and grows nowhere else
 *  unless more are asked for.  */
static void a_host_that_is_away_does_not_grow (void **state)
{
    (void)state;
    bn_place_t places[PLACES] = {{1, 4, 1, true}, {1, 4, 3, false}, {1, 4, 1, true}};
    assert_int_equal (bn_placement_scale (places, PLACES, 5, true, MOST), 5);
    expect (places, 1, 3, 1);
    assert_int_equal (bn_placement_scale (places, PLACES, 20, true, MOST), 11);
    expect (places, 4, 3, 4);
    places[0].present = places[2].present = false;
    assert_int_equal (bn_placement_scale (places, PLACES, 12, false, MOST), 11);
    expect (places, 4, 3, 4);
    assert_int_equal (bn_placement_scale (places, PLACES, 9, false, MOST), 9);
    expect (places, 3, 3, 3);
}

static void a_person_may_have_no_more_than_a_host_takes (void **state)
{
    (void)state;
    bn_place_t places[PLACES] = {{0, 0, 0, true}, {0, 0, 0, true}, {0, 0, 0, true}};
    assert_int_equal (bn_placement_scale (places, PLACES, 100, false, 10), 30);
    expect (places, 10, 10, 10);
}

/*  Whatever is asked for: no place leaves its bounds, and none that is away grows.  */
static void bounds_hold_at_random (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 7);
    for (int round = 0; round < 2000; round++) {
        bn_place_t places[PLACES], before[PLACES];
        uint32_t low = 0, high = 0, total = (uint32_t)bn_prng_below (&prng, 40);
        for (size_t i = 0; i < PLACES; i++) {
            bn_place_t *place = &places[i];
            place->min = (uint32_t)bn_prng_below (&prng, 5);
            place->max = place->min + (uint32_t)bn_prng_below (&prng, 8);
            place->wanted =
                place->min + (uint32_t)bn_prng_below (&prng, place->max - place->min + 1);
            place->present = bn_prng_below (&prng, 3) > 0;
            low += place->min;
            high += place->present ? place->max : place->wanted;
        }
        memcpy (before, places, sizeof (before));
        uint32_t reached = bn_placement_scale (places, PLACES, total, true, MOST);
        assert_int_equal (reached, total < low ? low : total > high ? high : total);
        assert_int_equal (reached, bn_placement_total (places, PLACES));
        for (size_t i = 0; i < PLACES; i++) {
            assert_in_range (places[i].wanted, places[i].min, places[i].max);
            assert_true (places[i].present || places[i].wanted <= before[i].wanted);
        }
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (more_go_to_where_the_fewest_are),
        cmocka_unit_test (a_decision_stays_within_what_the_file_says),
        cmocka_unit_test (a_host_that_is_away_does_not_grow),
        cmocka_unit_test (a_person_may_have_no_more_than_a_host_takes),
        cmocka_unit_test (bounds_hold_at_random),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
