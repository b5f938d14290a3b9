/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/prng.h"
#include <stdio.h>
#include <string.h>

static int s_values[1000]; /* something to point at */

static void test_an_empty_map (void **state)
{
    (void)state;
    bn_map_t *map = bn_map_new ();
    assert_int_equal (bn_map_count (map), 0);
    assert_null (bn_map_first (map));
    assert_null (bn_map_get_str (map, "x"));
    assert_null (bn_map_remove_u64 (map, 1));
    assert_null (bn_map_at_least_u64 (map, 0));
    bn_map_destroy (&map);
    assert_null (map);
    bn_map_destroy (&map);
}

static void test_put_replaces_and_hands_the_old_value_back (void **state)
{
    (void)state;
    bn_map_t *map = bn_map_new ();
    void *old = &s_values[9];
    assert_true (bn_map_put_str (map, "a", &s_values[0], &old));
    assert_null (old);
    assert_true (bn_map_put_str (map, "a", &s_values[1], &old));
    assert_ptr_equal (old, &s_values[0]);
    assert_int_equal (bn_map_count (map), 1);
    assert_ptr_equal (bn_map_get_str (map, "a"), &s_values[1]);
    assert_ptr_equal (bn_map_remove_str (map, "a"), &s_values[1]);
    assert_null (bn_map_get_str (map, "a"));
    assert_int_equal (bn_map_count (map), 0);
    bn_map_destroy (&map);
}

static void test_byte_keys_are_ordered_by_bytes_then_length (void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } ordered[] = {{"", 0},         {"\0", 1},        {"\0\0", 2}, {"\0\1", 2},
                   {"a", 1},        {"a\0", 2},       {"aa", 2},   {"aaaaaaaa", 8},
                   {"aaaaaaab", 8}, {"aaaaaaabb", 9}, {"b", 1},    {"\xff", 1}};
    enum { COUNT = sizeof (ordered) / sizeof (ordered[0]) };
    bn_map_t *map = bn_map_new ();
    for (size_t i = 0; i < COUNT; i++) {
        size_t k = (i * 5) % COUNT; /* another order than the sorted one */
        assert_true (bn_map_put (map, ordered[k].bytes, ordered[k].size, &s_values[k], NULL));
    }
    size_t i = 0;
    for (bn_map_node_t *node = bn_map_first (map); node; node = bn_map_next (node), i++) {
        size_t size;
        const char *key = bn_map_key (node, &size);
        assert_int_equal (size, ordered[i].size);
        assert_memory_equal (key, ordered[i].bytes, size);
        assert_int_equal (key[size], 0);
        assert_ptr_equal (bn_map_value (node), &s_values[i]);
    }
    assert_int_equal (i, COUNT);
    bn_map_destroy (&map);
}

static void test_u64_keys_are_ordered_as_numbers (void **state)
{
    (void)state;
    static const uint64_t ordered[] = {
        0, 1, 255, 256, 65535, 1u << 31, UINT64_C (1) << 32, UINT64_MAX - 1, UINT64_MAX};
    enum { COUNT = sizeof (ordered) / sizeof (ordered[0]) };
    bn_map_t *map = bn_map_new ();
    for (size_t i = COUNT; i-- > 0;)
        assert_true (bn_map_put_u64 (map, ordered[i], &s_values[i], NULL));
    size_t i = 0;
    for (bn_map_node_t *node = bn_map_first (map); node; node = bn_map_next (node))
        assert_true (bn_map_key_u64 (node) == ordered[i++]);
    assert_true (bn_map_key_u64 (bn_map_at_least_u64 (map, 256)) == 256);
    assert_true (bn_map_key_u64 (bn_map_after_u64 (map, 256)) == 65535);
    assert_true (bn_map_key_u64 (bn_map_at_least_u64 (map, 257)) == 65535);
    assert_null (bn_map_after_u64 (map, UINT64_MAX));
    bn_map_destroy (&map);
}

/*  A model that cannot be wrong: an array indexed by the key.  */
enum { KEYS = 400 };

static void compare_with_model (const bn_map_t *map, void *const *model, uint64_t seed)
{
    size_t count = 0;
    bn_map_node_t *node = bn_map_first (map);
    for (uint64_t key = 0; key < KEYS; key++) {
        if (!model[key])
            continue;
        count++;
        if (!node || bn_map_key_u64 (node) != key || bn_map_value (node) != model[key])
            fail_msg ("seed %llu: key %llu", (unsigned long long)seed, (unsigned long long)key);
        node = bn_map_next (node);
    }
    assert_null (node);
    assert_int_equal (bn_map_count (map), count);
}

static void test_random_operations_agree_with_a_model (void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        void *model[KEYS] = {NULL};
        bn_map_t *map = seed % 2 ? bn_map_new_remembering () : bn_map_new ();
        for (int i = 0; i < 4000; i++) {
            uint64_t key = bn_prng_below (&prng, KEYS);
            void *value = &s_values[bn_prng_below (&prng, 1000)];
            void *old;
            /*  The share of removals drifts, so that the map fills and empties.  */
            if (bn_prng_below (&prng, 4000) < (uint64_t)i) {
                assert_ptr_equal (bn_map_remove_u64 (map, key), model[key]);
                model[key] = NULL;
            } else {
                assert_true (bn_map_put_u64 (map, key, value, &old));
                assert_ptr_equal (old, model[key]);
                model[key] = value;
            }
            uint64_t probe = bn_prng_below (&prng, KEYS);
            assert_ptr_equal (bn_map_get_u64 (map, probe), model[probe]);
            uint64_t next = probe + 1;
            while (next < KEYS && !model[next])
                next++;
            bn_map_node_t *after = bn_map_after_u64 (map, probe);
            assert_true (after ? bn_map_key_u64 (after) == next : next == KEYS);
            if (i % 100 == 0)
                compare_with_model (map, model, seed);
        }
        compare_with_model (map, model, seed);
        bn_map_destroy (&map);
    }
}

static void test_removing_while_iterating (void **state)
{
    (void)state;
    bn_map_t *map = bn_map_new ();
    for (uint64_t key = 0; key < 100; key++)
        assert_true (bn_map_put_u64 (map, key, &s_values[key], NULL));
    bn_map_node_t *node = bn_map_first (map);
    while (node) {
        uint64_t key = bn_map_key_u64 (node);
        if (key % 3 == 0)
            bn_map_remove_u64 (map, key);
        node = bn_map_after_u64 (map, key);
    }
    assert_int_equal (bn_map_count (map), 66);
    for (node = bn_map_first (map); node; node = bn_map_next (node))
        assert_true (bn_map_key_u64 (node) % 3 != 0);
    bn_map_destroy (&map);
}

static void test_ascending_keys_stay_quick (void **state)
{
    (void)state;
    bn_map_t *map = bn_map_new ();
    /*  Offsets come ascending: a tree that degenerates to a list needs 4e10 steps for this.  */
    for (uint64_t key = 0; key < 200000; key++)
        assert_true (bn_map_put_u64 (map, key, &s_values[0], NULL));
    for (uint64_t key = 0; key < 200000; key++)
        assert_non_null (bn_map_get_u64 (map, key));
    bn_map_destroy (&map);
}

static size_t text_key (char text[32], unsigned number)
{
    static const char letters[] = "abcdefghijklmnopqrst";
    return (size_t)snprintf (text, 32, "%.*s%u", (int)(number % 20), letters, number);
}

/*  More keys than it has room for at first, of all lengths; what is gone, replaced or put back is
 *  not what was looked up before.  */
static void test_a_map_that_remembers (void **state)
{
    (void)state;
    enum { TEXTS = 3000 };
    char text[32];
    bn_map_t *map = bn_map_new_remembering ();
    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < TEXTS; i++) {
            size_t size = text_key (text, i);
            if (round == 2 && i % 2)
                assert_ptr_equal (bn_map_remove (map, text, size), &s_values[(i + 1) % 1000]);
            else
                assert_true (bn_map_put (map, text, size, &s_values[(i + round) % 1000], NULL));
            unsigned other = i * 7 % TEXTS;
            bool done = other <= i;
            bool gone = (round == 0 && !done) ||
                        (other % 2 && ((round == 2 && done) || (round == 3 && !done)));
            unsigned last = done ? round : round - 1;
            size = text_key (text, other);
            for (int twice = 0; twice < 2; twice++)
                assert_ptr_equal (bn_map_get (map, text, size),
                                  gone ? NULL : &s_values[(other + last) % 1000]);
        }
    assert_int_equal (bn_map_count (map), TEXTS);
    assert_ptr_equal (bn_map_get (map, "", 0), NULL);
    bn_map_destroy (&map);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_an_empty_map),
        cmocka_unit_test (test_put_replaces_and_hands_the_old_value_back),
        cmocka_unit_test (test_byte_keys_are_ordered_by_bytes_then_length),
        cmocka_unit_test (test_u64_keys_are_ordered_as_numbers),
        cmocka_unit_test (test_random_operations_agree_with_a_model),
        cmocka_unit_test (test_a_map_that_remembers),
        cmocka_unit_test (test_removing_while_iterating),
        cmocka_unit_test (test_ascending_keys_stay_quick),
    };
    return cmocka_run_group_tests_name ("base.map", tests, NULL, NULL);
}
