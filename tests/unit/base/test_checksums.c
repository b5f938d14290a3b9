/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/prng.h"
#include <string.h>

/*  RFC 3720, appendix B.4.  */
static void test_crc32c_vectors (void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset (bytes, 0, sizeof (bytes));
    assert_int_equal (bn_crc32c (0, bytes, 32), 0x8a9136aa);
    memset (bytes, 0xff, sizeof (bytes));
    assert_int_equal (bn_crc32c (0, bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal (bn_crc32c (0, bytes, 32), 0x46dd794e);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal (bn_crc32c (0, bytes, 32), 0x113fdb5c);
    assert_int_equal (bn_crc32c (0, "123456789", 9), 0xe3069283);
    assert_int_equal (bn_crc32c_portable (0, "123456789", 9), 0xe3069283);
    assert_int_equal (bn_crc32c (0, "", 0), 0);
}

static void test_crc32c_hardware_equals_tables (void **state)
{
    (void)state;
    uint8_t bytes[300];
    bn_prng_t prng;
    bn_prng_init (&prng, 1);
    for (size_t i = 0; i < sizeof (bytes); i++)
        bytes[i] = (uint8_t)bn_prng_next (&prng);
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size + start <= sizeof (bytes); size++)
            assert_int_equal (bn_crc32c (7, bytes + start, size),
                              bn_crc32c_portable (7, bytes + start, size));
}

static void test_crc32c_in_pieces_is_that_of_the_whole (void **state)
{
    (void)state;
    const char text[] = "the journal is the truth, pub/sub is the fast path";
    size_t size = strlen (text);
    uint32_t whole = bn_crc32c (0, text, size);
    for (size_t cut = 0; cut <= size; cut++)
        assert_int_equal (bn_crc32c (bn_crc32c (0, text, cut), text + cut, size - cut), whole);
}

/*  Noll's test suite for FNV-1a, 64 bits.  */
static void test_hash_vectors (void **state)
{
    (void)state;
    assert_true (bn_hash ("", 0) == 0xcbf29ce484222325u);
    assert_true (bn_hash ("a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true (bn_hash ("foobar", 6) == 0x85944171f73967e8u);
}

/*  These are part of the protocol (docs/protocol.md): a change breaks every client and journal.  */
static void test_partition_vectors (void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t of_32;
        uint32_t of_7;
    } vectors[] = {{"a", 0, 1},           {"foobar", 25, 4},    {"12347", 22, 3},
                   {"customer-1", 28, 2}, {"customer-2", 1, 6}, {"Zo\xc3\xab", 17, 2},
                   {"17850", 19, 3}};
    for (size_t i = 0; i < sizeof (vectors) / sizeof (vectors[0]); i++) {
        uint64_t hash = bn_hash (vectors[i].key, strlen (vectors[i].key));
        assert_int_equal (bn_hash_partition (hash, 32), vectors[i].of_32);
        assert_int_equal (bn_hash_partition (hash, 7), vectors[i].of_7);
        assert_int_equal (bn_hash_partition (hash, 1), 0);
    }
}

/*  The first outputs of the authors' code: splitmix64 from seed 0 starts with 0xe220a8397b1dcdaf;
 *  xoshiro256** from state {1, 2, 3, 4} gives 11520, 0, 1509978240, 1215971899390074240.  */
static void test_prng_vectors (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 0);
    assert_true (prng.state[0] == 0xe220a8397b1dcdafu);
    assert_true (prng.state[1] == 0x6e789e6aa1b965f4u);
    prng = (bn_prng_t){{1, 2, 3, 4}};
    assert_true (bn_prng_next (&prng) == 11520);
    assert_true (bn_prng_next (&prng) == 0);
    assert_true (bn_prng_next (&prng) == 1509978240);
    assert_true (bn_prng_next (&prng) == 1215971899390074240u);
}

static void test_prng_below_stays_below_and_reaches_all (void **state)
{
    (void)state;
    bn_prng_t prng;
    bn_prng_init (&prng, 5);
    for (uint64_t bound = 1; bound < 20; bound++) {
        unsigned seen[20] = {0};
        for (int i = 0; i < 1000; i++) {
            uint64_t value = bn_prng_below (&prng, bound);
            assert_true (value < bound);
            seen[value]++;
        }
        for (uint64_t value = 0; value < bound; value++)
            assert_true (seen[value] > 0);
    }
    for (int i = 0; i < 100; i++)
        assert_true (bn_prng_below (&prng, UINT64_MAX) < UINT64_MAX);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_crc32c_vectors),
        cmocka_unit_test (test_crc32c_hardware_equals_tables),
        cmocka_unit_test (test_crc32c_in_pieces_is_that_of_the_whole),
        cmocka_unit_test (test_hash_vectors),
        cmocka_unit_test (test_partition_vectors),
        cmocka_unit_test (test_prng_vectors),
        cmocka_unit_test (test_prng_below_stays_below_and_reaches_all),
    };
    return cmocka_run_group_tests_name ("base.checksums", tests, NULL, NULL);
}
