/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/prng.h"
#include "wire/mixed.h"
#include <stdio.h>
#include <string.h>

enum { PARTITIONS = 4 };

static bn_text_t text (const char *chars)
{
    return (bn_text_t){chars, strlen (chars)};
}

static bn_event_fields_t event (const char *key, uint64_t number)
{
    return (bn_event_fields_t){.id_prefix = text ("p"),
                               .id_number_set = true,
                               .id_number = number,
                               .key = text (key),
                               .source = text ("/test"),
                               .time_us = 1000,
                               .data = (const uint8_t *)"\x01",
                               .data_size = 1};
}

static baton_err_t add (bn_sections_t *sections, const char *topic, const char *key,
                        uint64_t number, uint32_t spread)
{
    bn_event_fields_t fields = event (key, number);
    return bn_sections_add (sections, topic, strlen (topic), &fields, spread);
}

/*  A key for each partition.  */
static const char *key_of (uint32_t partition)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    for (size_t i = 0; i < sizeof (keys) / sizeof (keys[0]); i++)
        if (bn_hash_partition (bn_hash (keys[i], 1), PARTITIONS) == partition)
            return keys[i];
    fail_msg ("no key for partition %u", partition);
    return NULL;
}

static void test_events_of_one_topic_and_partition_share_a_section (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal (add (sections, "t", key_of (1), i, 0), BATON_OK);
    assert_int_equal (bn_sections_count (sections), 1);
    assert_int_equal (bn_sections_events (sections), 10);
    size_t bytes = bn_sections_bytes (sections);
    uint32_t count;
    bn_section_t *array = bn_sections_take (sections, &count);
    assert_int_equal (count, 1);
    assert_int_equal (array[0].count, 10);
    assert_int_equal (array[0].partition, 1);
    assert_int_equal (array[0].base, 0);
    assert_int_equal (array[0].payload.size, bytes);
    assert_memory_equal (array[0].topic.text, "t", 1);
    bn_section_array_free (array, count);
    assert_int_equal (bn_sections_count (sections), 0);
    assert_int_equal (bn_sections_bytes (sections), 0);
    assert_null (bn_sections_take (sections, &count));
    assert_int_equal (count, 0);
    bn_sections_destroy (&sections);
    assert_null (sections);
}

static void test_another_topic_in_between_opens_a_new_section (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    assert_int_equal (add (sections, "x", key_of (1), 0, 0), BATON_OK);
    assert_int_equal (add (sections, "y", key_of (1), 1, 0), BATON_OK);
    assert_int_equal (add (sections, "x", key_of (1), 2, 0), BATON_OK);
    assert_int_equal (add (sections, "x", key_of (2), 3, 0), BATON_OK);
    assert_int_equal (add (sections, "x", key_of (1), 4, 0), BATON_OK);
    uint32_t count;
    bn_section_t *array = bn_sections_take (sections, &count);
    assert_int_equal (count, 4);
    static const char *const topics[] = {"x", "y", "x", "x"};
    static const uint32_t partitions[] = {1, 1, 1, 2};
    static const uint32_t counts[] = {1, 1, 2, 1};
    for (uint32_t i = 0; i < count; i++) {
        assert_memory_equal (array[i].topic.text, topics[i], 1);
        assert_int_equal (array[i].partition, partitions[i]);
        assert_int_equal (array[i].count, counts[i]);
    }
    bn_section_array_free (array, count);
    bn_sections_destroy (&sections);
}

/*  Two keys of the same partition.  */
static void keys_of (uint32_t partition, char keys[2][8])
{
    uint32_t count = 0;
    for (unsigned i = 0; count < 2; i++) {
        char key[8];
        snprintf (key, sizeof (key), "n%u", i);
        if (bn_hash_partition (bn_hash (key, strlen (key)), PARTITIONS) == partition)
            memcpy (keys[count++], key, sizeof (key));
    }
}

static void test_another_key_overtakes_into_an_earlier_section (void **state)
{
    (void)state;
    char keys[2][8];
    keys_of (2, keys);
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    assert_int_equal (add (sections, "x", keys[0], 0, 0), BATON_OK);
    assert_int_equal (add (sections, "y", keys[0], 1, 0), BATON_OK);
    assert_int_equal (add (sections, "x", keys[1], 2, 0), BATON_OK); /* beside event 0 */
    uint32_t section, place;
    bn_sections_last (sections, &section, &place);
    assert_int_equal (section, 0);
    assert_int_equal (place, 1);
    assert_int_equal (add (sections, "x", keys[0], 3, 0), BATON_OK); /* must stay behind event 1 */
    bn_sections_last (sections, &section, &place);
    assert_int_equal (section, 2);
    assert_int_equal (bn_sections_count (sections), 3);
    bn_sections_destroy (&sections);
}

static void test_many_topics_take_turns_in_few_sections (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    for (uint64_t i = 0; i < 4000; i++) {
        char topic[16], key[16];
        snprintf (topic, sizeof (topic), "t.%u", (unsigned)(i % 10));
        snprintf (key, sizeof (key), "k%u", (unsigned)(i % 1000));
        assert_int_equal (add (sections, topic, key, i, 0), BATON_OK);
    }
    assert_true (bn_sections_count (sections) <= 10 * PARTITIONS);
    bn_sections_destroy (&sections);
}

/*  G3: however topics and keys are mixed, a key's events come out as they went in, and every
 *  section passes the check of the orchestrator.  */
static void test_order_within_a_key_survives (void **state)
{
    (void)state;
    static const char *const topics[] = {"a.x", "b.x", "c.x"};
    for (uint64_t seed = 0; seed < 50; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
        for (uint64_t i = 0; i < 300; i++) {
            char key[8];
            uint64_t pick = bn_prng_below (&prng, 8);
            snprintf (key, sizeof (key), "k%u", (unsigned)pick);
            if (pick == 0)
                key[0] = 0;
            assert_int_equal (add (sections, topics[bn_prng_below (&prng, 3)], key, i,
                                   (uint32_t)bn_prng_next (&prng)),
                              BATON_OK);
        }
        uint32_t count;
        bn_section_t *array = bn_sections_take (sections, &count);
        int64_t last[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
        uint32_t events = 0;
        for (uint32_t i = 0; i < count; i++) {
            bn_batch_limits_t limits = {array[i].partition, PARTITIONS, 100};
            uint32_t index;
            const char *what;
            assert_int_equal (bn_batch_check (array[i].payload.data, array[i].payload.size,
                                              array[i].count, &limits, &index, &what),
                              BATON_OK);
            bn_batch_reader_t reader;
            bn_event_fields_t fields;
            bn_batch_reader_init (&reader, array[i].payload.data, array[i].payload.size,
                                  array[i].count);
            while (bn_batch_next (&reader, &fields)) {
                events++;
                if (fields.key.size == 0)
                    continue;
                int64_t *before = &last[fields.key.text[1] - '0'];
                if ((int64_t)fields.id_number <= *before)
                    fail_msg ("seed %llu: event %llu", (unsigned long long)seed,
                              (unsigned long long)fields.id_number);
                *before = (int64_t)fields.id_number;
            }
        }
        assert_int_equal (events, 300);
        bn_section_array_free (array, count);
        bn_sections_destroy (&sections);
    }
}

static void test_events_without_a_key_are_spread (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    for (uint32_t i = 0; i < 2 * PARTITIONS; i++)
        assert_int_equal (add (sections, "t", "", i, i), BATON_OK);
    assert_int_equal (bn_sections_count (sections), PARTITIONS);
    bn_sections_destroy (&sections);
}

static void test_at_the_bound_nothing_is_added (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 200);
    uint64_t added = 0;
    while (add (sections, "t", key_of (added % 2), added, 0) == BATON_OK)
        added++;
    assert_true (added > 2);
    size_t bytes = bn_sections_bytes (sections);
    assert_true (bytes <= 200);
    assert_int_equal (add (sections, "u", key_of (3), 9, 0), BATON_ERR_TOO_LARGE);
    assert_int_equal (bn_sections_count (sections), 2);
    assert_int_equal (bn_sections_events (sections), added);
    assert_int_equal (bn_sections_bytes (sections), bytes);
    uint32_t count;
    bn_section_t *array = bn_sections_take (sections, &count);
    assert_int_equal (count, 2);
    assert_int_equal (array[0].count + array[1].count, added);
    bn_section_array_free (array, count);
    assert_int_equal (add (sections, "u", key_of (3), 9, 0), BATON_OK);
    bn_sections_destroy (&sections);
}

static void test_the_number_of_sections_is_bounded (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (1, SIZE_MAX);
    for (uint32_t i = 0; i < BN_SECTIONS_MAX; i++)
        assert_int_equal (add (sections, i % 2 ? "x" : "y", "k", i, 0), BATON_OK);
    assert_int_equal (add (sections, "y", "k", 0, 0), BATON_ERR_TOO_LARGE);
    assert_int_equal (add (sections, "x", "k", 0, 0), BATON_OK); /* the last one is still open */
    assert_int_equal (bn_sections_count (sections), BN_SECTIONS_MAX);
    bn_sections_destroy (&sections);
}

/*  What is read of mixed sections, in the order of the sections: "topic/number ...", the events of
 *  each key in order (N1).  */
static void assert_mixed (const bn_section_t *sections, uint32_t count, uint32_t events)
{
    uint64_t last_of[PARTITIONS] = {0};
    uint32_t read = 0;
    for (uint32_t i = 0; i < count; i++) {
        bn_batch_reader_t reader;
        bn_event_fields_t fields;
        assert_int_equal (sections[i].topic.size, 0);
        assert_int_equal (bn_mixed_reader_init (&reader, sections[i].payload.data,
                                                sections[i].payload.size, sections[i].count),
                          BATON_OK);
        while (bn_batch_next (&reader, &fields)) {
            char topic[32];
            snprintf (topic, sizeof topic, "topic.%u", (unsigned)(fields.id_number % 50));
            assert_int_equal (reader.topic.size, strlen (topic));
            assert_memory_equal (reader.topic.text, topic, reader.topic.size);
            assert_true (fields.id_number >= last_of[sections[i].partition]);
            last_of[sections[i].partition] = fields.id_number + 1;
            read++;
        }
        assert_int_equal (reader.mp.err, BATON_OK);
    }
    assert_int_equal (read, events);
}

static void add_scattered (bn_sections_t *sections, uint64_t first, uint32_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        char topic[32];
        snprintf (topic, sizeof topic, "topic.%u", (unsigned)(i % 50));
        assert_int_equal (add (sections, topic, key_of (i % PARTITIONS), i, 0), BATON_OK);
    }
}

static void test_mixed_there_is_one_section_for_a_partition (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    bn_sections_mix (sections);
    add_scattered (sections, 0, 400);
    uint32_t section, place;
    bn_sections_last (sections, &section, &place);
    assert_int_equal (section, 3);
    assert_int_equal (place, 99);
    assert_int_equal (bn_sections_count (sections), PARTITIONS);
    assert_false (bn_sections_scattered (sections));
    uint32_t count;
    bn_section_t *array = bn_sections_take (sections, &count);
    assert_mixed (array, count, 400);
    bn_section_array_free (array, count);
    bn_sections_destroy (&sections);
}

static void test_scattered_are_many_topics_with_few_events (void **state)
{
    (void)state;
    bn_sections_t *sections = bn_sections_new (PARTITIONS, 1 << 20);
    assert_false (bn_sections_scattered (sections));
    add_scattered (sections, 0, 8); /* two for each partition */
    assert_false (bn_sections_scattered (sections));
    add_scattered (sections, 8, 8); /* four */
    assert_true (bn_sections_scattered (sections));
    /*  Events that may join the sections of their topics fill them; one key would not let them.  */
    add_scattered (sections, 16, 100);
    assert_true (bn_sections_scattered (sections));
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal (add (sections, "topic.1", "", 116 + i, i), BATON_OK);
    assert_false (bn_sections_scattered (sections));
    bn_sections_destroy (&sections);
}

/*  Short events with long attributes in common: apart they would be far more than mixed, so there
 *  are more sections.  */
static void test_parts_are_bounded (void **state)
{
    (void)state;
    char source[1000];
    memset (source, 's', sizeof source);
    bn_sections_t *sections = bn_sections_new (1, 1 << 20);
    bn_sections_mix (sections);
    for (uint64_t i = 0; i < 200; i++) {
        bn_event_fields_t fields = event ("", i);
        fields.source = (bn_text_t){source, sizeof source};
        assert_int_equal (bn_sections_add (sections, i % 2 ? "a" : "b", 1, &fields, 0), BATON_OK);
    }
    uint32_t count;
    bn_section_t *array = bn_sections_take (sections, &count);
    assert_in_range (count, 2, 199);
    for (uint32_t i = 0; i < count; i++) {
        bn_mixed_event_t events[200];
        assert_int_equal (
            bn_mixed_scan (array[i].payload.data, array[i].payload.size, array[i].count, events),
            BATON_OK);
        assert_in_range (bn_mixed_parts_bytes (array[i].payload.data, events, array[i].count), 1,
                         BN_MIXED_PARTS_MAX * array[i].payload.size);
        /*  And not sooner than need be: one more run would have been too much, or nearly so.  */
        if (i + 1 < count)
            assert_true (bn_mixed_parts_bytes (array[i].payload.data, events, array[i].count) >
                         (BN_MIXED_PARTS_MAX - 1) * array[i].payload.size - sizeof source);
    }
    bn_section_array_free (array, count);
    bn_sections_destroy (&sections);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_events_of_one_topic_and_partition_share_a_section),
        cmocka_unit_test (test_another_topic_in_between_opens_a_new_section),
        cmocka_unit_test (test_another_key_overtakes_into_an_earlier_section),
        cmocka_unit_test (test_many_topics_take_turns_in_few_sections),
        cmocka_unit_test (test_order_within_a_key_survives),
        cmocka_unit_test (test_events_without_a_key_are_spread),
        cmocka_unit_test (test_at_the_bound_nothing_is_added),
        cmocka_unit_test (test_the_number_of_sections_is_bounded),
        cmocka_unit_test (test_mixed_there_is_one_section_for_a_partition),
        cmocka_unit_test (test_scattered_are_many_topics_with_few_events),
        cmocka_unit_test (test_parts_are_bounded),
    };
    return cmocka_run_group_tests_name ("wire.sections", tests, NULL, NULL);
}
