/* SPDX-License-Identifier: MPL-2.0 */

/*  test_mixed.c - sections with events of several topics: what they stand for, byte for byte.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/mixed.h"
#include "wire/record.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 40 };

static const char *const s_topics[] = {"a", "orders.placed", "orders.paid", "a.b.c-d_e"};

static const bn_batch_limits_t s_limits = {0, 1, BATON_DATA_BYTES_MAX};

static bn_text_t text (const char *chars)
{
    return (bn_text_t){chars, strlen (chars)};
}

static bn_event_fields_t event_of (uint64_t number)
{
    static const uint8_t ext[] = "\x81\xa5"
                                 "trace\xa1"
                                 "1";
    return (bn_event_fields_t){.id_prefix = text ("p"),
                               .id_number_set = true,
                               .id_number = number,
                               .key = text (number % 3 ? "k" : ""),
                               .source = text (number % 5 == 4 ? "/other" : "/test"),
                               .time_us = (int64_t)(1000 + number * number),
                               .data = (const uint8_t *)"\x81\xa1n\x01",
                               .data_size = number % 4 ? 4 : 0,
                               .ext = number % 7 == 6 ? ext : NULL,
                               .ext_size = number % 7 == 6 ? sizeof ext - 1 : 0};
}

/*  Events 0, 1, 2 ... of these topics (indices as digits). The payload is the caller's.  */
static bn_section_t mixed_of (const char *topics)
{
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 1 << 20);
    for (uint64_t i = 0; topics[i]; i++) {
        bn_event_fields_t event = event_of (i);
        assert_int_equal (
            bn_batch_writer_add_mixed (&writer, text (s_topics[topics[i] - '0']), &event),
            BATON_OK);
    }
    bn_section_t section = {.topic = {"", 0}, .base = 100};
    bn_blob_t *payload = bn_batch_writer_take (&writer, &section.count);
    bn_batch_writer_fini (&writer);
    assert_non_null (payload);
    section.payload = (bn_slice_t){payload, payload->data, payload->size};
    return section;
}

static void section_fini (bn_section_t *section)
{
    bn_blob_unref (&section->payload.blob);
}

static baton_err_t check (const bn_section_t *section, bn_mixed_event_t events[EVENTS_MAX],
                          const char **what)
{
    uint32_t index;
    return bn_mixed_check (section->payload.data, section->payload.size, section->count, &s_limits,
                           events, &index, what);
}

static bool same (bn_text_t a, bn_text_t b)
{
    return a.size == b.size && memcmp (a.text, b.text, a.size) == 0;
}

static void assert_event (const bn_event_fields_t *event, uint64_t number)
{
    bn_event_fields_t expected = event_of (number);
    assert_true (event->id_number == number && same (event->id_prefix, expected.id_prefix));
    assert_true (same (event->key, expected.key) && same (event->source, expected.source));
    assert_true (event->time_us == expected.time_us);
    assert_int_equal (event->data_size, expected.data_size);
    bn_text_t trace;
    assert_int_equal (event->ext && bn_ext_get (event->ext, event->ext_size, "trace", &trace),
                      number % 7 == 6);
}

static void test_its_events_are_read_with_their_topics (void **state)
{
    (void)state;
    const char *topics = "0112220123";
    bn_section_t section = mixed_of (topics);
    bn_mixed_event_t events[EVENTS_MAX];
    const char *what;
    assert_int_equal (check (&section, events, &what), BATON_OK);
    bn_batch_reader_t reader;
    bn_event_fields_t event;
    assert_int_equal (
        bn_mixed_reader_init (&reader, section.payload.data, section.payload.size, section.count),
        BATON_OK);
    for (uint32_t i = 0; i < section.count; i++) {
        assert_true (bn_batch_next (&reader, &event));
        assert_event (&event, i);
        assert_true (same (reader.topic, text (s_topics[topics[i] - '0'])));
        assert_true (same (bn_mixed_topic (section.payload.data, &events[i]), reader.topic));
    }
    assert_false (bn_batch_next (&reader, &event));
    assert_int_equal (reader.mp.err, BATON_OK);
    section_fini (&section);
}

/*  A part is what would have been written had it never been mixed: same common attributes, same
 *  events.  */
static void assert_parts (const char *topics)
{
    bn_section_t mixed = mixed_of (topics);
    bn_section_t *sections = malloc (2 * sizeof *sections);
    assert_non_null (sections);
    /*  Something plain beside it stays as it is.  */
    sections[0] = (bn_section_t){
        .topic = {"plain", 5}, .count = 1, .base = 99, .payload = {NULL, (const uint8_t *)"x", 1}};
    sections[1] = mixed;
    bn_blob_ref (mixed.payload.blob);
    uint32_t count = 2, at = 0, size = (uint32_t)strlen (topics);
    assert_int_equal (bn_mixed_take_apart (&sections, &count), BATON_OK);
    assert_true (same (sections[0].topic, text ("plain")));
    assert_true (sections[0].payload.size == 1 && !sections[0].payload.blob);
    size_t bytes = 0;
    for (uint32_t i = 1; i < count; i++) {
        const bn_section_t *part = &sections[i];
        assert_true (same (part->topic, text (s_topics[topics[at] - '0'])));
        assert_int_equal (part->base, 100 + at);
        assert_int_equal (part->partition, mixed.partition);
        const char *what;
        uint32_t index;
        assert_int_equal (bn_batch_check (part->payload.data, part->payload.size, part->count,
                                          &s_limits, &index, &what),
                          BATON_OK);
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        bn_batch_reader_init (&reader, part->payload.data, part->payload.size, part->count);
        for (uint32_t k = 0; k < part->count; k++, at++) {
            assert_int_equal (topics[at], topics[part->base - 100]);
            assert_true (bn_batch_next (&reader, &event));
            assert_event (&event, at);
        }
        assert_true (at == size || topics[at] != topics[at - 1]); /* as long as can be */
        bytes += part->payload.size;
    }
    assert_int_equal (at, size);
    bn_mixed_event_t events[EVENTS_MAX];
    assert_int_equal (bn_mixed_scan (mixed.payload.data, mixed.payload.size, mixed.count, events),
                      BATON_OK);
    assert_int_equal (bn_mixed_parts_bytes (mixed.payload.data, events, mixed.count), bytes);
    bn_section_array_free (sections, count);
    section_fini (&mixed);
}

static void test_it_is_taken_apart_into_runs (void **state)
{
    (void)state;
    assert_parts ("0");
    assert_parts ("000");
    assert_parts ("0102");
    assert_parts ("00112233");
    bn_prng_t prng;
    bn_prng_init (&prng, 1);
    for (int round = 0; round < 500; round++) {
        char topics[EVENTS_MAX + 1] = "";
        uint32_t size = 1 + (uint32_t)bn_prng_below (&prng, EVENTS_MAX);
        for (uint32_t i = 0; i < size; i++)
            topics[i] = (char)('0' + bn_prng_below (&prng, 4));
        assert_parts (topics);
    }
}

/*  A topic may be given again although it is that of the event before: it is one run.  */
static void test_a_topic_that_is_repeated_is_one_run (void **state)
{
    (void)state;
    bn_section_t once = mixed_of ("11");
    bn_section_t section = {.topic = {"", 0}, .count = 2};
    size_t size = once.payload.size;
    bn_blob_t *payload = bn_blob_new (size + strlen (s_topics[1]));
    assert_non_null (payload);
    memcpy (payload->data, once.payload.data, size);
    assert_int_equal (payload->data[size - 1], 0xc0); /* nil, of the last event */
    payload->data[size - 1] = (uint8_t)(0xa0 | strlen (s_topics[1]));
    memcpy (payload->data + size, s_topics[1], strlen (s_topics[1]));
    section.payload = (bn_slice_t){payload, payload->data, payload->size};
    bn_mixed_event_t events[EVENTS_MAX];
    const char *what;
    assert_int_equal (check (&section, events, &what), BATON_OK);
    assert_int_not_equal (events[0].topic_at, events[1].topic_at);
    assert_int_equal (bn_mixed_run (payload->data, events, 2), 2);
    section_fini (&section);
    section_fini (&once);
}

typedef struct {
    const char *bytes;
    size_t size;
    uint32_t count;
    baton_err_t err;
    const char *what;
} wrong_t;

#define COMMON "\x95\xa1p\xa2/s\x01\xa0\xa0"
#define WRONG(bytes, count, err, what)                                                             \
    {                                                                                              \
        bytes, sizeof (bytes) - 1, count, err, what                                                \
    }

static void test_what_is_wrong_is_refused (void **state)
{
    (void)state;
    static const wrong_t wrongs[] = {
        WRONG (COMMON "\x96\x01\xa0\x00\xc4\x00\xc0\xc0", 1, BATON_ERR_TOPIC,
               "topic: there is none"),
        WRONG (COMMON "\x96\x01\xa0\x00\xc4\x00\xc0\xa0", 1, BATON_ERR_TOPIC,
               "topic: there is none"),
        WRONG (COMMON "\x95\x01\xa0\x00\xc4\x00\xc0\xa1t", 1, BATON_ERR_TOPIC,
               "topic: neither the section has one nor the event"),
        WRONG (COMMON "\x94\x01\xa0\x00\xc4\x00", 1, BATON_ERR_MALFORMED,
               "event: not an array of 6"),
        WRONG (COMMON "\xdc\x00\x06\x01\xa0\x00\xc4\x00\xc0\xa1t", 1, BATON_ERR_MALFORMED,
               "event: not the shortest array of 6"),
        WRONG (COMMON "\x96\x01\xa0\x00\xc4\x00\xc0\x05", 1, BATON_ERR_MALFORMED, "topic"),
        WRONG (COMMON "\x96\x01\xa0\x00\xc4\x00\xc0\xa1t", 2, BATON_ERR_MALFORMED, NULL),
        WRONG (COMMON "\x96\x01\xa0\x00\xc4\x00\xc0\xa1t\xc0", 1, BATON_ERR_MALFORMED, NULL),
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        const wrong_t *wrong = &wrongs[i];
        bn_section_t section = {.count = wrong->count,
                                .payload = {NULL, (const uint8_t *)wrong->bytes, wrong->size}};
        bn_mixed_event_t events[EVENTS_MAX];
        const char *what = NULL;
        assert_int_equal (check (&section, events, &what), wrong->err);
        assert_non_null (what);
        if (wrong->what)
            assert_string_equal (what, wrong->what);
        assert_int_equal (bn_mixed_scan (section.payload.data, section.payload.size, section.count,
                                         events) != BATON_OK,
                          true);
    }
}

/*  In a record that cannot be: more events than bytes allow, a topic that is none, and parts that
 *  are far more than the whole.  */
static void test_a_section_that_cannot_be_is_not_taken_apart (void **state)
{
    (void)state;
    static const char bad_topic[] = COMMON "\x96\x01\xa0\x00\xc4\x00\xc0\xa2t.";
    char long_common[600] = "\x95\xa1p\xd9\xc8";
    size_t size = 5;
    memset (long_common + size, 's', 200);
    size += 200;
    memcpy (long_common + size, "\x01\xa0\xa0", 3);
    size += 3;
    for (int i = 0; i < 12; i++) {
        memcpy (long_common + size,
                i % 2 ? "\x96\x01\xa0\x00\xc4\x00\xc0\xa1t" : "\x96\x01\xa0\x00\xc4\x00\xc0\xa1u",
                9);
        size += 9;
    }
    const wrong_t wrongs[] = {
        {bad_topic, sizeof bad_topic - 1, 1, BATON_ERR_TOPIC, NULL},
        {bad_topic, sizeof bad_topic - 1, 1000, BATON_ERR_MALFORMED, NULL},
        {long_common, size, 12, BATON_ERR_TOO_LARGE, NULL},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        bn_section_t *sections = calloc (1, sizeof *sections);
        assert_non_null (sections);
        bn_section_t *before = sections;
        sections->count = wrongs[i].count;
        sections->payload = (bn_slice_t){NULL, (const uint8_t *)wrongs[i].bytes, wrongs[i].size};
        uint32_t count = 1;
        assert_int_equal (bn_mixed_take_apart (&sections, &count), wrongs[i].err);
        assert_ptr_equal (sections, before);
        assert_int_equal (count, 1);
        bn_section_array_free (sections, count);
    }
}

/*  Who reads records sees plain sections alone.  */
static void test_a_record_is_read_in_parts (void **state)
{
    (void)state;
    bn_section_t mixed = mixed_of ("0122");
    bn_section_t sections[] = {mixed, {.topic = {"t", 1}, .count = 1, .payload = mixed.payload}};
    bn_record_t record = {.type = BN_RECORD_PUBLISH, .publish = {7, 1, sections, 2}};
    bn_blob_t *body = bn_record_encode (&record);
    assert_non_null (body);
    bn_record_t read;
    char what[256];
    assert_int_equal (bn_record_decode (&read, BN_RECORD_PUBLISH, 50, body->data, body->size, what),
                      BATON_OK);
    assert_int_equal (read.publish.section_count, 4);
    bn_section_t *only;
    uint32_t count;
    assert_int_equal (
        bn_record_sections (BN_RECORD_PUBLISH, 50, body->data, body->size, &only, &count),
        BATON_OK);
    assert_int_equal (count, 4);
    static const uint64_t bases[] = {50, 51, 52, 54};
    static const char *const topics[] = {"a", "orders.placed", "orders.paid", "t"};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal (read.publish.sections[i].base, bases[i]);
        assert_true (same (read.publish.sections[i].topic, text (topics[i])));
        assert_int_equal (only[i].base, bases[i]);
        assert_int_equal (only[i].payload.size, read.publish.sections[i].payload.size);
        assert_memory_equal (only[i].payload.data, read.publish.sections[i].payload.data,
                             only[i].payload.size);
    }
    bn_section_array_free (only, count);
    bn_record_fini (&read);
    bn_blob_unref (&body);
    section_fini (&mixed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_its_events_are_read_with_their_topics),
        cmocka_unit_test (test_it_is_taken_apart_into_runs),
        cmocka_unit_test (test_a_topic_that_is_repeated_is_one_run),
        cmocka_unit_test (test_what_is_wrong_is_refused),
        cmocka_unit_test (test_a_section_that_cannot_be_is_not_taken_apart),
        cmocka_unit_test (test_a_record_is_read_in_parts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
