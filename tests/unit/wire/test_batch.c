/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/prng.h"
#include "wire/message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_BYTES_MAX (3 * 1024 * 1024)

static const bn_batch_limits_t s_limits = {0, 1, 1024}; /* one partition takes every key */

static bn_text_t text (const char *chars)
{
    return (bn_text_t){chars, strlen (chars)};
}

static bool same (bn_text_t a, const char *chars)
{
    return a.size == strlen (chars) && memcmp (a.text, chars, a.size) == 0;
}

static baton_err_t check (const void *payload, size_t size, uint32_t count, uint32_t *index,
                          const char **what)
{
    void *copy = malloc (size ? size : 1); /* of its exact size, for the sanitizer */
    if (size)
        memcpy (copy, payload, size);
    uint32_t ignored;
    const char *ignored_what;
    baton_err_t err = bn_batch_check (copy, size, count, &s_limits, index ? index : &ignored,
                                      what ? what : &ignored_what);
    if (!err) { /* B1 */
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        uint32_t read = 0;
        assert_int_equal (bn_batch_reader_init (&reader, copy, size, count), BATON_OK);
        while (bn_batch_next (&reader, &event))
            read++;
        assert_int_equal (reader.mp.err, BATON_OK);
        assert_int_equal (read, count);
    }
    free (copy);
    return err;
}

static bn_event_fields_t plain (void)
{
    return (bn_event_fields_t){.id_prefix = text ("p1"),
                               .id_number_set = true,
                               .id_number = 1,
                               .key = text ("17850"),
                               .source = text ("/shop"),
                               .time_us = 1700000000000000,
                               .data = (const uint8_t *)"\x81\xa1n\x05",
                               .data_size = 4};
}

/*  ---- writing, checking, reading ---- */

static void test_attributes_that_are_the_same_are_sent_once (void **state)
{
    (void)state;
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 4096);
    bn_event_fields_t event = plain ();
    event.id_number = 0;
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    size_t first = writer.buffer.size;
    event.id_number = 1;
    event.time_us += 5;
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    /*  array, id, key, delta, data, no ext: 1 + 1 + 6 + 1 + 6 + 1  */
    assert_int_equal (writer.buffer.size - first, 16);
    uint32_t count;
    bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
    assert_int_equal (count, 2);
    assert_int_equal (check (payload->data, payload->size, 2, NULL, NULL), BATON_OK);
    bn_blob_unref (&payload);
    bn_batch_writer_fini (&writer);
}

static void test_what_differs_comes_back_as_it_was (void **state)
{
    (void)state;
    uint8_t ext[] = "\x82\xa7"
                    "traceid\xa3"
                    "abc\xa6source\xa4/old";
    bn_event_fields_t events[6];
    for (size_t i = 0; i < 6; i++)
        events[i] = plain ();
    events[1].source = text ("/other");
    events[1].time_us = 1;
    events[2].datacontenttype = text ("text/plain");
    events[2].data = (const uint8_t *)"\xc1 not MessagePack";
    events[2].data_size = 17;
    events[3].dataschema = text ("urn:schema");
    events[3].id_prefix = text ("p2");
    events[3].id_number = UINT64_MAX;
    events[4].id_number_set = false;
    events[4].id = text ("whole-id");
    events[4].ext = ext; /* its "source" is an old one: the field counts */
    events[4].ext_size = sizeof (ext) - 1;
    events[4].key = text ("");
    events[5].source = text ("/other");
    events[5].ext = ext;
    events[5].ext_size = sizeof (ext) - 1;
    events[5].datacontenttype = text ("application/msgpack"); /* the default, spelt out */

    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 4096);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal (bn_batch_writer_add (&writer, &events[i]), BATON_OK);
    uint32_t count;
    bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
    assert_int_equal (count, 6);
    const char *what = "";
    if (check (payload->data, payload->size, count, NULL, &what))
        fail_msg ("%s", what);

    bn_batch_reader_t reader;
    bn_event_fields_t event;
    bn_text_t value;
    bn_batch_reader_init (&reader, payload->data, payload->size, count);
    for (size_t i = 0; i < 6; i++) {
        assert_true (bn_batch_next (&reader, &event));
        assert_true (same (event.source, i == 1 || i == 5 ? "/other" : "/shop"));
        assert_true (same (event.datacontenttype, i == 2 ? "text/plain" : ""));
        assert_true (same (event.dataschema, i == 3 ? "urn:schema" : ""));
        assert_true (same (event.key, i == 4 ? "" : "17850"));
        assert_true (event.time_us == events[i].time_us);
        assert_int_equal (event.data_size, events[i].data_size);
        assert_memory_equal (event.data, events[i].data, event.data_size);
        bool has_trace = event.ext && bn_ext_get (event.ext, event.ext_size, "traceid", &value);
        assert_int_equal (has_trace, i >= 4);
        if (i >= 4)
            assert_true (same (value, "abc"));
        if (i == 3)
            assert_true (same (event.id, "p2-18446744073709551615"));
        else if (i == 4)
            assert_true (same (event.id, "whole-id"));
        else
            assert_true (event.id_number_set && event.id_number == 1 &&
                         same (event.id_prefix, "p1"));
    }
    assert_false (bn_batch_next (&reader, &event));
    assert_int_equal (reader.mp.err, BATON_OK);
    bn_blob_unref (&payload);
    bn_batch_writer_fini (&writer);
}

static void test_times_around_the_epoch (void **state)
{
    (void)state;
    static const int64_t times[] = {-5,  0,    1,      -1000000000,  INT64_MAX,
                                    -33, -129, -32769, INT64_MIN + 1};
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 4096);
    bn_event_fields_t event = plain ();
    for (size_t i = 0; i < sizeof (times) / sizeof (times[0]); i++) {
        event.time_us = times[i];
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    }
    uint32_t count;
    bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
    assert_int_equal (check (payload->data, payload->size, count, NULL, NULL), BATON_OK);
    bn_batch_reader_t reader;
    bn_batch_reader_init (&reader, payload->data, payload->size, count);
    for (size_t i = 0; i < count; i++) {
        assert_true (bn_batch_next (&reader, &event));
        assert_true (event.time_us == times[i]);
    }
    bn_blob_unref (&payload);
    event = plain ();
    event.time_us = INT64_MAX;
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    event.time_us = INT64_MIN;
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_ERR_ARGUMENT);
    assert_int_equal (writer.count, 1);
    bn_batch_writer_fini (&writer);
}

/*  Sizes at which the format changes its headers.  */
static void test_fields_of_every_size (void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 31, 32, 127, 128, 255, 256, 65535, 65536, 1048576};
    uint8_t *big = malloc (BATON_DATA_BYTES_MAX);
    memset (big, 'x', BATON_DATA_BYTES_MAX);
    for (size_t i = 0; i < sizeof (sizes) / sizeof (sizes[0]); i++) {
        bn_batch_writer_t writer;
        bn_batch_writer_init (&writer, EVENT_BYTES_MAX);
        bn_event_fields_t event = plain ();
        size_t size = sizes[i];
        event.datacontenttype = text ("text/plain");
        event.data = big;
        event.data_size = size;
        event.key = (bn_text_t){(char *)big, size < 255 ? size : 255};
        event.source = (bn_text_t){(char *)big, size == 0 ? 1 : size < 1024 ? size : 1024};
        event.id_number_set = false;
        event.id = (bn_text_t){(char *)big, size == 0 ? 1 : size < 128 ? size : 128};
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
        event.source.size = event.source.size == 1 ? 2 : event.source.size - 1;
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
        uint32_t count;
        bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
        bn_batch_limits_t limits = {0, 1, BATON_DATA_BYTES_MAX};
        const char *what;
        uint32_t index;
        assert_int_equal (
            bn_batch_check (payload->data, payload->size, count, &limits, &index, &what), BATON_OK);
        bn_batch_reader_t reader;
        bn_event_fields_t read;
        bn_batch_reader_init (&reader, payload->data, payload->size, count);
        assert_true (bn_batch_next (&reader, &read) && bn_batch_next (&reader, &read));
        assert_int_equal (read.data_size, size);
        assert_int_equal (read.source.size, event.source.size);
        assert_int_equal (read.key.size, event.key.size);
        assert_int_equal (read.id.size, event.id.size);
        bn_blob_unref (&payload);
        bn_batch_writer_fini (&writer);
    }
    free (big);
}

static void test_the_writer_takes_an_event_whole_or_not_at_all (void **state)
{
    (void)state;
    bn_event_fields_t event = plain ();
    bn_batch_writer_t measure;
    bn_batch_writer_init (&measure, 4096);
    assert_int_equal (bn_batch_writer_add (&measure, &event), BATON_OK);
    size_t one = measure.buffer.size;
    assert_int_equal (bn_batch_writer_add (&measure, &event), BATON_OK);
    size_t two = measure.buffer.size;
    bn_batch_writer_fini (&measure);
    for (size_t bound = 0; bound < two; bound++) {
        bn_batch_writer_t writer;
        bn_batch_writer_init (&writer, bound);
        baton_err_t first = bn_batch_writer_add (&writer, &event);
        assert_int_equal (first, bound < one ? BATON_ERR_TOO_LARGE : BATON_OK);
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_ERR_TOO_LARGE);
        assert_int_equal (writer.buffer.size, bound < one ? 0 : one);
        uint32_t count;
        bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
        assert_int_equal (count, bound < one ? 0 : 1);
        if (payload)
            assert_int_equal (check (payload->data, payload->size, 1, NULL, NULL), BATON_OK);
        bn_blob_unref (&payload);
        bn_batch_writer_fini (&writer);
    }
}

static void test_the_writer_refuses_what_nobody_would_take (void **state)
{
    (void)state;
    static char big[BATON_ATTRIBUTE_BYTES_MAX + 1];
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, EVENT_BYTES_MAX);
    bn_event_fields_t event = plain ();
    event.key = (bn_text_t){big, BATON_KEY_BYTES_MAX + 1};
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_ERR_TOO_LARGE);
    event = plain ();
    event.source = (bn_text_t){big, sizeof (big)};
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_ERR_TOO_LARGE);
    event = plain ();
    event.ext = (const uint8_t *)"\x81\xa1";
    event.ext_size = 2;
    assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_ERR_MALFORMED);
    assert_int_equal (writer.count, 0);
    bn_batch_writer_fini (&writer);
}

/*  ---- checking what others wrote ---- */

#define COMMON       "\x95\xa1p\xa2/s\x05\xa0\xa0"
#define PARTS(event) COMMON event, sizeof (COMMON event) - 1

static void test_payloads_that_are_refused (void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        size_t size;
        uint32_t count;
        baton_err_t err;
        const char *what;
    } cases[] = {
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\xc0"), 1, BATON_OK, NULL},
        {PARTS ("\x95\xa2id\xa0\x00\xc4\x00\xc0"), 1, BATON_OK, NULL},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa1"
                "a\xa0"),
         1, BATON_OK, NULL},
        {PARTS (""), 0, BATON_ERR_MALFORMED, "count"},
        {PARTS (""), 1000001, BATON_ERR_MALFORMED, "count"},
        {"", 0, 1, BATON_ERR_MALFORMED, "common"},
        {PARTS (""), 1, BATON_ERR_MALFORMED, "event"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\xc0\xc0"), 1, BATON_ERR_MALFORMED, "follow"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\xc0"), 2, BATON_ERR_MALFORMED, "event"},
        {PARTS ("\x94\x01\xa1k\x00\xc4\x01\x05"), 1, BATON_ERR_MALFORMED, "event"},
        {PARTS ("\x95\xff\xa1k\x00\xc4\x01\x05\xc0"), 1, BATON_ERR_MALFORMED, "id"},
        {PARTS ("\x95\xa0\xa1k\x00\xc4\x01\x05\xc0"), 1, BATON_ERR_MALFORMED, "id: empty"},
        {PARTS ("\x95\xa1\xff\xa1k\x00\xc4\x01\x05\xc0"), 1, BATON_ERR_MALFORMED, "id: not UTF-8"},
        {PARTS ("\x95\x01\x05\x00\xc4\x01\x05\xc0"), 1, BATON_ERR_MALFORMED, "key"},
        {PARTS ("\x95\x01\xa1\xff\x00\xc4\x01\x05\xc0"), 1, BATON_ERR_KEY, "UTF-8"},
        {PARTS ("\x95\x01\xa1\x00\x00\xc4\x01\x05\xc0"), 1, BATON_ERR_KEY, "UTF-8"},
        {PARTS ("\x95\x01\xa1k\xa0\xc4\x01\x05\xc0"), 1, BATON_ERR_MALFORMED, "time"},
        {PARTS ("\x95\x01\xa1k\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xc4\x01\x05\xc0"), 1,
         BATON_ERR_MALFORMED, "time"},
        {PARTS ("\x95\x01\xa1k\x00\xa1\x05\xc0"), 1, BATON_ERR_MALFORMED, "data"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\xc1\xc0"), 1, BATON_ERR_MALFORMED, "data"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x02\x05\x05\xc0"), 1, BATON_ERR_MALFORMED, "data"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x05\xdd\xff\xff\xff\xff\xc0"), 1, BATON_ERR_MALFORMED,
         "data"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\xff\x05\xc0"), 1, BATON_ERR_MALFORMED, "end"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x90"), 1, BATON_ERR_MALFORMED, "ext"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa1"
                "a\x05"),
         1, BATON_ERR_MALFORMED, "ext"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa1"
                "A\xa0"),
         1, BATON_ERR_MALFORMED, "lower-case"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa0\xa0"), 1, BATON_ERR_MALFORMED, "empty name"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa2id\xa1x"), 1, BATON_ERR_MALFORMED,
         "attribute"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa1"
                "a\xa1\xff"),
         1, BATON_ERR_MALFORMED, "UTF-8"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x82\xa1"
                "a\xa0\xa1"
                "a\xa0"),
         1, BATON_ERR_MALFORMED, "twice"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xa6source\xa0"), 1, BATON_ERR_MALFORMED,
         "source: empty"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\x81\xb5"
                "abcdefghijklmnopqrstu\xa0"),
         1, BATON_ERR_TOO_LARGE, "ext: name"},
        {PARTS ("\x95\x01\xa1k\x00\xc4\x01\x05\xde\x00\x2b"
                "0123456789012345678901234567890123456789012345678901234567890123456789012345"
                "0123456789"),
         1, BATON_ERR_TOO_LARGE, "ext"},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        const char *what = "";
        baton_err_t err = check (cases[i].payload, cases[i].size, cases[i].count, NULL, &what);
        if (err != cases[i].err || (err && !strstr (what, cases[i].what)))
            fail_msg ("case %zu: %s, \"%s\"", i, baton_err_name (err), what ? what : "");
    }
}

static void test_common_attributes_that_are_refused (void **state)
{
    (void)state;
#define EVENT        "\x95\x01\xa1k\x00\xc4\x01\x05\xc0"
#define WITH(common) common EVENT, sizeof (common EVENT) - 1
    static const struct {
        const char *payload;
        size_t size;
    } cases[] = {
        {WITH ("\x94\xa1p\xa2/s\x05\xa0")},
        {WITH ("\x95\xa0\xa2/s\x05\xa0\xa0")},     /* a number as id needs a prefix */
        {WITH ("\x95\xa1p\xa0\x05\xa0\xa0")},      /* no source */
        {WITH ("\x95\xa1p\xa2/s\xff\xa0\xa0")},    /* a base time below zero */
        {WITH ("\x95\xa1\xff\xa2/s\x05\xa0\xa0")}, /* not UTF-8 */
        {WITH ("\x95\xa1p\xa1\xff\x05\xa0\xa0")},
        {WITH ("\x95\xa1p\xa2/s\x05\xa1\xff\xa0")},
        {WITH ("\x95\xa1p\xa2/s\x05\xa0\xa1\xff")},
        {WITH ("\x95\xc0\xa2/s\x05\xa0\xa0")},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        if (check (cases[i].payload, cases[i].size, 1, NULL, NULL) != BATON_ERR_MALFORMED)
            fail_msg ("case %zu", i);
}

static void test_the_guilty_event_is_named (void **state)
{
    (void)state;
    static const char payload[] = COMMON "\x95\x01\xa1k\x00\xc4\x01\x05\xc0"
                                         "\x95\x02\xa1k\x00\xc4\x01\x05\xc0"
                                         "\x95\x03\xa1k\x00\xc4\x01\xc1\xc0";
    uint32_t index;
    assert_int_equal (check (payload, sizeof (payload) - 1, 3, &index, NULL), BATON_ERR_MALFORMED);
    assert_int_equal (index, 2);
}

static void test_a_key_of_another_partition (void **state)
{
    (void)state;
    static const char payload[] = COMMON "\x95\x01\xa1k\x00\xc4\x01\x05\xc0"
                                         "\x95\x02\xa0\x00\xc4\x01\x05\xc0";
    uint32_t own = bn_hash_partition (bn_hash ("k", 1), 32);
    for (uint32_t partition = 0; partition < 32; partition++) {
        bn_batch_limits_t limits = {partition, 32, 10};
        uint32_t index;
        const char *what;
        assert_int_equal (bn_batch_check (payload, sizeof (payload) - 1, 2, &limits, &index, &what),
                          partition == own ? BATON_OK : BATON_ERR_KEY);
    }
}

static void test_data_above_the_limit_and_too_deep (void **state)
{
    (void)state;
    uint8_t deep[BATON_DATA_DEPTH_MAX + 2];
    memset (deep, 0x91, sizeof (deep));
    bn_event_fields_t event = plain ();
    event.data = deep;
    for (size_t depth = BATON_DATA_DEPTH_MAX; depth <= BATON_DATA_DEPTH_MAX + 1; depth++) {
        deep[depth] = 0xc0;
        event.data_size = depth + 1;
        bn_batch_writer_t writer;
        bn_batch_writer_init (&writer, 4096);
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
        uint8_t *bytes = bn_buffer_data (&writer.buffer);
        assert_int_equal (check (bytes, writer.buffer.size, 1, NULL, NULL),
                          depth > BATON_DATA_DEPTH_MAX ? BATON_ERR_TOO_DEEP : BATON_OK);
        bn_batch_limits_t limits = {0, 1, (uint32_t)depth};
        uint32_t index;
        const char *what;
        assert_int_equal (bn_batch_check (bytes, writer.buffer.size, 1, &limits, &index, &what),
                          BATON_ERR_TOO_LARGE);
        deep[depth] = 0x91;
        bn_batch_writer_fini (&writer);
    }
}

static bn_blob_t *mixed_batch (uint32_t events)
{
    static const uint8_t ext[] = "\x81\xa1z\xa3zzz";
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 1 << 20);
    for (uint32_t i = 0; i < events; i++) {
        bn_event_fields_t event = plain ();
        event.id_number = i;
        event.time_us += i * 1000;
        if (i % 3 == 1)
            event.source = text ("/elsewhere");
        if (i % 4 == 1) {
            event.ext = ext;
            event.ext_size = sizeof (ext) - 1;
        }
        if (i % 5 == 2)
            event.id_prefix = text ("another");
        assert_int_equal (bn_batch_writer_add (&writer, &event), BATON_OK);
    }
    uint32_t count;
    bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
    bn_batch_writer_fini (&writer);
    return payload;
}

static void test_a_payload_cut_anywhere_is_refused (void **state)
{
    (void)state;
    bn_blob_t *payload = mixed_batch (12);
    assert_int_equal (check (payload->data, payload->size, 12, NULL, NULL), BATON_OK);
    for (size_t size = 0; size < payload->size; size++)
        assert_int_equal (check (payload->data, size, 12, NULL, NULL), BATON_ERR_MALFORMED);
    assert_int_equal (check (payload->data, payload->size, 11, NULL, NULL), BATON_ERR_MALFORMED);
    assert_int_equal (check (payload->data, payload->size, 13, NULL, NULL), BATON_ERR_MALFORMED);
    bn_blob_unref (&payload);
}

static void test_random_damage_is_refused_or_readable (void **state)
{
    (void)state;
    bn_blob_t *payload = mixed_batch (8);
    for (uint64_t seed = 0; seed < 5000; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        bn_blob_t *damaged = bn_blob_new_copy (payload->data, payload->size);
        for (uint64_t flips = 1 + bn_prng_below (&prng, 3); flips; flips--)
            damaged->data[bn_prng_below (&prng, damaged->size)] ^=
                (uint8_t)(1u << bn_prng_below (&prng, 8));
        (void)check (damaged->data, damaged->size, 8, NULL, NULL); /* asserts B1 */
        bn_blob_unref (&damaged);
    }
    bn_blob_unref (&payload);
}

static void test_a_slice_is_the_event_alone (void **state)
{
    (void)state;
    bn_blob_t *payload = mixed_batch (12);
    for (uint32_t i = 0; i < 12; i++) {
        bn_blob_t *slice = bn_batch_slice (payload->data, payload->size, 12, i);
        assert_non_null (slice);
        assert_int_equal (check (slice->data, slice->size, 1, NULL, NULL), BATON_OK);
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        bn_batch_reader_init (&reader, slice->data, slice->size, 1);
        assert_true (bn_batch_next (&reader, &event));
        assert_true (event.time_us == plain ().time_us + i * 1000);
        assert_true (same (event.source, i % 3 == 1 ? "/elsewhere" : "/shop"));
        assert_int_equal (event.ext && bn_ext_get (event.ext, event.ext_size, "z", &event.id),
                          i % 4 == 1);
        bn_blob_unref (&slice);
    }
    assert_null (bn_batch_slice (payload->data, payload->size, 12, 12));
    assert_null (bn_batch_slice (payload->data, payload->size - 1, 12, 11));
    assert_null (bn_batch_slice ("", 0, 1, 0));
    bn_blob_unref (&payload);
}

static void test_looking_up_extensions (void **state)
{
    (void)state;
    static const uint8_t ext[] = "\x82\xa1"
                                 "a\xa1x\xa2"
                                 "bc\xa0";
    bn_text_t value = text ("before");
    assert_true (bn_ext_get (ext, sizeof (ext) - 1, "a", &value) && same (value, "x"));
    assert_true (bn_ext_get (ext, sizeof (ext) - 1, "bc", &value) && same (value, ""));
    assert_false (bn_ext_get (ext, sizeof (ext) - 1, "b", &value));
    assert_false (bn_ext_get (NULL, 0, "a", &value));
    for (size_t size = 0; size < sizeof (ext) - 1; size++)
        assert_false (bn_ext_get (ext, size, "bc", &value));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_attributes_that_are_the_same_are_sent_once),
        cmocka_unit_test (test_what_differs_comes_back_as_it_was),
        cmocka_unit_test (test_times_around_the_epoch),
        cmocka_unit_test (test_fields_of_every_size),
        cmocka_unit_test (test_the_writer_takes_an_event_whole_or_not_at_all),
        cmocka_unit_test (test_the_writer_refuses_what_nobody_would_take),
        cmocka_unit_test (test_payloads_that_are_refused),
        cmocka_unit_test (test_common_attributes_that_are_refused),
        cmocka_unit_test (test_the_guilty_event_is_named),
        cmocka_unit_test (test_a_key_of_another_partition),
        cmocka_unit_test (test_data_above_the_limit_and_too_deep),
        cmocka_unit_test (test_a_payload_cut_anywhere_is_refused),
        cmocka_unit_test (test_random_damage_is_refused_or_readable),
        cmocka_unit_test (test_a_slice_is_the_event_alone),
        cmocka_unit_test (test_looking_up_extensions),
    };
    return cmocka_run_group_tests_name ("wire.batch", tests, NULL, NULL);
}
