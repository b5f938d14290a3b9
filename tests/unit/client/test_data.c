/* SPDX-License-Identifier: MPL-2.0 */

/*  Data that the builder writes is read alike by our own windows and by msgpack-c's unpacker; what
 *  is hostile reads as "no value".  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include <baton/event.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

static baton_value_t built (baton_data_t *data)
{
    size_t size;
    const void *bytes = baton_data_bytes (data, &size);
    assert_non_null (bytes);
    baton_value_t value = baton_value_wrap (bytes, size);
    assert_non_null (value.bytes);
    return value;
}

/*  The same value, as msgpack-c sees it and as our getters do.  */
static void assert_same (const msgpack_object *object, baton_value_t value)
{
    int64_t integer = 0;
    uint64_t positive = 0;
    double real = 0;
    bool truth = false;
    const char *text;
    const void *bytes;
    size_t size;
    baton_value_t key, element;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        assert_int_equal (baton_value_type (value), BATON_VALUE_NIL);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_true (baton_value_bool (value, &truth));
        assert_int_equal (truth, object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_true (baton_value_uint (value, &positive));
        assert_true (positive == object->via.u64);
        assert_int_equal (baton_value_int (value, &integer), object->via.u64 <= INT64_MAX);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_true (baton_value_int (value, &integer));
        assert_true (integer == object->via.i64);
        assert_false (baton_value_uint (value, &positive));
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        assert_true (baton_value_real (value, &real));
        assert_memory_equal (&real, &object->via.f64, sizeof real);
        break;
    case MSGPACK_OBJECT_STR:
        assert_true (baton_value_str (value, &text, &size));
        assert_int_equal (size, object->via.str.size);
        assert_memory_equal (text, object->via.str.ptr, size);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_true (baton_value_bin (value, &bytes, &size));
        assert_int_equal (size, object->via.bin.size);
        assert_memory_equal (bytes, object->via.bin.ptr, size);
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_int_equal (baton_value_type (value), BATON_VALUE_ARRAY);
        assert_int_equal (baton_value_count (value), object->via.array.size);
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            assert_true (baton_value_at (value, i, &element));
            assert_same (&object->via.array.ptr[i], element);
        }
        assert_false (baton_value_at (value, object->via.array.size, &element));
        break;
    case MSGPACK_OBJECT_MAP:
        assert_int_equal (baton_value_type (value), BATON_VALUE_MAP);
        assert_int_equal (baton_value_count (value), object->via.map.size);
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            assert_true (baton_value_entry (value, i, &key, &element));
            assert_same (&object->via.map.ptr[i].key, key);
            assert_same (&object->via.map.ptr[i].val, element);
        }
        assert_false (baton_value_entry (value, object->via.map.size, &key, &element));
        break;
    default:
        fail_msg ("unexpected type %d", object->type);
    }
}

static void assert_unpacks (baton_data_t *data)
{
    baton_value_t value = built (data);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init (&unpacked);
    size_t used = 0;
    assert_int_equal (msgpack_unpack_next (&unpacked, (const char *)value.bytes, value.size, &used),
                      MSGPACK_UNPACK_SUCCESS);
    assert_int_equal (used, value.size);
    assert_same (&unpacked.data, value);
    msgpack_unpacked_destroy (&unpacked);
}

static void every_type_reads_back (void **state)
{
    (void)state;
    static const int64_t integers[] = {
        0,         1,  127, 128, 255,  256,  65535,  65536,  4294967295, 4294967296,
        INT64_MAX, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,  INT64_MIN};
    baton_data_t *data = baton_data_new ();
    baton_data_put_nil (data, "nil");
    baton_data_put_bool (data, "yes", true);
    baton_data_put_bool (data, "no", false);
    baton_data_begin_array (data, "integers");
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        baton_data_put_int (data, NULL, integers[i]);
    baton_data_put_uint (data, NULL, UINT64_MAX);
    baton_data_end (data);
    baton_data_put_real (data, "real", -1234.5);
    baton_data_put_str (data, "text", "gr\xc3\xbc\xc3\x9f");
    baton_data_put_strn (data, "cut", "abcdef", 3);
    baton_data_put_bin (data, "bytes", "\x00\xff\x01", 3);
    baton_data_put_bin (data, "none", NULL, 0);
    baton_data_begin_map (data, "map");
    baton_data_end (data);
    assert_unpacks (data);

    int64_t integer = 7;
    double real = 0;
    baton_value_t value, element;
    assert_true (baton_value_get (built (data), "integers", &value));
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        assert_true (baton_value_at (value, i, &element));
        assert_true (baton_value_int (element, &integer));
        assert_true (integer == integers[i]);
        assert_true (baton_value_real (element, &real));
        assert_true (real == (double)integers[i]);
    }
    assert_false (baton_value_get (built (data), "missing", &value));
    baton_data_destroy (&data);
    assert_null (data);
}

/*  The heads of 15, 16, 65535 and 65536 entries differ; what is between must stay as it was.  */
static void containers_of_every_size (void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 15, 16, 17, 65535, 65536, 70000};
    baton_data_t *data = baton_data_new ();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        baton_data_clear (data);
        baton_data_begin_map (data, "outer");
        baton_data_begin_array (data, "array");
        for (uint32_t k = 0; k < counts[i]; k++)
            baton_data_put_int (data, NULL, k % 100);
        baton_data_end (data);
        baton_data_begin_map (data, "map");
        for (uint32_t k = 0; k < counts[i]; k++)
            baton_data_put_bool (data, "k", true);
        baton_data_end (data);
        baton_data_put_str (data, "after", "end");
        baton_data_end (data);
        baton_data_put_int (data, "last", 1);
        if (counts[i] <= 17)
            assert_unpacks (data);
        baton_value_t outer, part;
        const char *text;
        size_t size;
        assert_true (baton_value_get (built (data), "outer", &outer));
        assert_true (baton_value_get (outer, "array", &part));
        assert_int_equal (baton_value_count (part), counts[i]);
        assert_true (baton_value_get (outer, "map", &part));
        assert_int_equal (baton_value_count (part), counts[i]);
        assert_true (baton_value_get (outer, "after", &part));
        assert_true (baton_value_str (part, &text, &size));
        assert_int_equal (size, 3);
        assert_memory_equal (text, "end", 3);
        assert_true (baton_value_get (built (data), "last", &part));
    }
    for (int i = 0; i < 100; i++)
        baton_data_put_int (data, "more", i);
    assert_int_equal (baton_value_count (built (data)), 102);
    baton_data_destroy (&data);
}

static void put_random (baton_data_t *data, bn_prng_t *prng, int depth)
{
    char name[8];
    snprintf (name, sizeof name, "n%u", (unsigned)bn_prng_below (prng, 1000));
    uint64_t entries = bn_prng_below (prng, 20);
    switch (bn_prng_below (prng, depth < 6 ? 9 : 7)) {
    case 0:
        baton_data_put_nil (data, name);
        break;
    case 1:
        baton_data_put_bool (data, name, bn_prng_below (prng, 2));
        break;
    case 2:
        baton_data_put_int (data, name, (int64_t)bn_prng_next (prng) >> bn_prng_below (prng, 64));
        break;
    case 3:
        baton_data_put_uint (data, name, bn_prng_next (prng) >> bn_prng_below (prng, 64));
        break;
    case 4:
        baton_data_put_real (data, name, (double)bn_prng_next (prng) / 3);
        break;
    case 5:
        baton_data_put_strn (data, name, "the quick brown fox jumps over the lazy dog",
                             bn_prng_below (prng, 43));
        break;
    case 6:
        baton_data_put_bin (data, name, prng, bn_prng_below (prng, sizeof *prng));
        break;
    default:
        if (bn_prng_below (prng, 2))
            baton_data_begin_map (data, name);
        else
            baton_data_begin_array (data, name);
        while (entries-- > 0)
            put_random (data, prng, depth + 1);
        baton_data_end (data);
    }
}

static void random_data_unpacks (void **state)
{
    (void)state;
    baton_data_t *data = baton_data_new ();
    for (uint64_t seed = 1; seed <= 200; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        baton_data_clear (data);
        for (int i = 0; i < 10; i++)
            put_random (data, &prng, 0);
        if (baton_data_error (data) != BATON_OK)
            fail_msg ("seed %d: %s", (int)seed, baton_err_name (baton_data_error (data)));
        assert_unpacks (data);
    }
    baton_data_destroy (&data);
}

static void assert_fails (baton_data_t *data, baton_err_t err)
{
    size_t size = 1;
    assert_null (baton_data_bytes (data, &size));
    assert_int_equal (size, 0);
    assert_int_equal (baton_data_error (data), err);
    baton_data_put_int (data, "later", 1);
    assert_null (baton_data_bytes (data, &size));
    assert_int_equal (baton_data_error (data), err);
    baton_data_clear (data);
    assert_int_equal (baton_data_error (data), BATON_OK);
}

static void builder_errors_stick (void **state)
{
    (void)state;
    baton_data_t *data = baton_data_new ();
    baton_data_begin_map (data, "open");
    assert_fails (data, BATON_ERR_ARGUMENT);
    baton_data_end (data);
    assert_fails (data, BATON_ERR_ARGUMENT);
    baton_data_put_int (data, NULL, 1);
    assert_fails (data, BATON_ERR_ARGUMENT);
    baton_data_put_str (data, "text", NULL);
    assert_fails (data, BATON_ERR_ARGUMENT);
    baton_data_put_str (data, "latin", "\xa3 5");
    assert_fails (data, BATON_ERR_ARGUMENT);
    baton_data_put_strn (data, "nul", "a\0b", 3);
    assert_fails (data, BATON_ERR_ARGUMENT);
    baton_data_put_value (data, "value", (baton_value_t){.bytes = NULL});
    assert_fails (data, BATON_ERR_ARGUMENT);

    for (int i = 1; i < BATON_DATA_DEPTH_MAX; i++)
        baton_data_begin_map (data, "d");
    assert_int_equal (baton_data_error (data), BATON_OK);
    baton_data_begin_map (data, "d");
    assert_fails (data, BATON_ERR_TOO_DEEP);

    void *large = calloc (1, BATON_DATA_BYTES_MAX);
    baton_data_put_bin (data, "b", large, BATON_DATA_BYTES_MAX - 8);
    assert_int_equal (built (data).size, BATON_DATA_BYTES_MAX);
    baton_data_put_nil (data, "one more");
    assert_fails (data, BATON_ERR_TOO_LARGE);
    baton_data_put_bin (data, "b", large, SIZE_MAX / 2);
    assert_fails (data, BATON_ERR_TOO_LARGE);
    free (large);
    baton_data_destroy (&data);
    baton_data_destroy (&data);
}

/*  So that a handler need not look at what baton_data_new returned.  */
static void no_builder_is_one_that_failed (void **state)
{
    (void)state;
    baton_data_t *data = NULL;
    size_t size = 1;
    baton_data_clear (data);
    baton_data_put_nil (data, "a");
    baton_data_put_bool (data, "a", true);
    baton_data_put_int (data, "a", 1);
    baton_data_put_uint (data, "a", 1);
    baton_data_put_real (data, "a", 1);
    baton_data_put_str (data, "a", NULL);
    baton_data_put_bin (data, "a", "b", 1);
    baton_data_put_value (data, "a", baton_value_wrap ("\x01", 1));
    baton_data_begin_map (data, "a");
    baton_data_begin_array (data, "a");
    baton_data_end (data);
    assert_null (baton_data_bytes (data, &size));
    assert_int_equal (size, 0);
    assert_int_equal (baton_data_error (data), BATON_ERR_MEMORY);
    baton_data_destroy (&data);
}

static void a_value_may_nest_as_deep_as_there_is_room (void **state)
{
    (void)state;
    uint8_t deep[BATON_DATA_DEPTH_MAX];
    memset (deep, 0x91, sizeof deep); /* arrays of one ... */
    deep[sizeof deep - 1] = 0x90;     /* ... and an empty one */
    baton_value_t value = baton_value_wrap (deep, sizeof deep);
    assert_non_null (value.bytes);
    baton_data_t *data = baton_data_new ();
    baton_data_put_value (data, "deep", value);
    assert_fails (data, BATON_ERR_TOO_DEEP);
    assert_true (baton_value_at (value, 0, &value));
    baton_data_put_value (data, "deep", value);
    assert_int_equal (built (data).size, 1 + 5 + sizeof deep - 1);
    baton_data_destroy (&data);
}

static void hostile_bytes_are_no_value (void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"", 0},
        {"\xc1", 1},                     /* never used */
        {"\x01\x02", 2},                 /* two values */
        {"\xdd\xff\xff\xff\xff", 5},     /* four billion elements */
        {"\xdf\xff\xff\xff\xff\x01", 6}, /* four billion entries */
        {"\xdb\xff\xff\xff\xff", 5},     /* a text of four gigabytes */
        {"\xc6\x00\x00\x00\x05zz", 7},   /* bytes that end early */
        {"\x81\xa1k", 3},                /* a key without a value */
        {"\xcb\x00\x00", 3},             /* half a double */
        {"\xc9\xff\xff\xff\xff\x01", 6}, /* a huge ext */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null (baton_value_wrap (cases[i].bytes, cases[i].size).bytes);
        /*  Also when nobody has checked them: getters say no and stay inside.  */
        unsigned char *copy = malloc (cases[i].size + 1);
        memcpy (copy, cases[i].bytes, cases[i].size);
        baton_value_t value = {.bytes = copy, .size = cases[i].size};
        baton_value_t key = {.bytes = NULL}, result = {.bytes = NULL};
        baton_value_count (value);
        baton_value_get (value, "k", &result);
        baton_value_at (value, 3, &result);
        baton_value_entry (value, 0, &key, &result);
        assert_null (result.bytes);
        free (copy);
    }
    assert_null (baton_value_wrap (NULL, 0).bytes);
    uint8_t deep[BATON_DATA_DEPTH_MAX + 1];
    memset (deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 0x90;
    assert_null (baton_value_wrap (deep, sizeof deep).bytes);
}

static void random_bytes_never_read_past_the_end (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        size_t size = bn_prng_below (&prng, 60);
        unsigned char *bytes =
            malloc (size ? size : 1); /* exact: a sanitizer sees a step too far */
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)bn_prng_next (&prng);
        if (size > 0 && bn_prng_below (&prng, 2))
            bytes[0] = (unsigned char)(0x80 | bn_prng_below (&prng, 32));
        baton_value_t value = {.bytes = bytes, .size = size}, key, result;
        const char *text;
        const void *content;
        size_t found = baton_value_count (value), length = 0;
        for (size_t i = 0; i < found && i < 20; i++) {
            if (baton_value_at (value, i, &result) || baton_value_entry (value, i, &key, &result)) {
                assert_true (result.bytes >= bytes && result.bytes + result.size <= bytes + size);
                if (baton_value_str (result, &text, &length))
                    assert_true (text + length <= (const char *)bytes + size);
                if (baton_value_bin (result, &content, &length))
                    assert_true ((const char *)content + length <= (const char *)bytes + size);
            }
        }
        free (bytes);
    }
}

static void getters_leave_defaults_alone (void **state)
{
    (void)state;
    baton_value_t text = baton_value_wrap ("\xa1x", 2), none = {.bytes = NULL};
    int64_t integer = 42;
    uint64_t positive = 43;
    double real = 1.5;
    bool truth = true;
    const void *bytes = &integer;
    size_t size = 9;
    assert_false (baton_value_int (text, &integer));
    assert_false (baton_value_uint (text, &positive));
    assert_false (baton_value_real (text, &real));
    assert_false (baton_value_bool (text, &truth));
    assert_false (baton_value_bin (text, &bytes, &size));
    assert_false (baton_value_int (none, &integer));
    assert_int_equal (baton_value_type (none), BATON_VALUE_NONE);
    assert_int_equal (baton_value_count (none), 0);
    assert_int_equal (integer, 42);
    assert_int_equal (positive, 43);
    assert_true (real == 1.5 && truth && bytes == &integer && size == 9);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_type_reads_back),
        cmocka_unit_test (containers_of_every_size),
        cmocka_unit_test (random_data_unpacks),
        cmocka_unit_test (builder_errors_stick),
        cmocka_unit_test (no_builder_is_one_that_failed),
        cmocka_unit_test (a_value_may_nest_as_deep_as_there_is_room),
        cmocka_unit_test (hostile_bytes_are_no_value),
        cmocka_unit_test (random_bytes_never_read_past_the_end),
        cmocka_unit_test (getters_leave_defaults_alone),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
