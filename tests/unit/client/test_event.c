/* SPDX-License-Identifier: MPL-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "client/event_internal.h"
#include "client/publication.h"
#include <stdio.h>
#include <string.h>

/*  Publishes one event into a batch of its own and reads it back, as it travels.  */
typedef struct {
    bn_blob_t *blob;
    bn_blob_t *payload;
    baton_event_t event;
} trip_t;

static void travel (trip_t *trip, const baton_publication_t *publication,
                    const bn_publication_defaults_t *defaults)
{
    char what[BN_WHAT_BYTES] = "";
    assert_int_equal (bn_publication_check (publication, BATON_DATA_BYTES_MAX, what), BATON_OK);
    trip->blob = bn_blob_new (bn_publication_bytes (publication, defaults));
    uint8_t *at = trip->blob->data;
    bn_text_t topic;
    bn_event_fields_t fields;
    assert_true (bn_publication_pack (publication, defaults, &at, &topic, &fields));
    assert_true (at <= trip->blob->data + trip->blob->size);

    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 4 * BATON_DATA_BYTES_MAX);
    uint32_t count;
    assert_int_equal (bn_batch_writer_add (&writer, &fields), BATON_OK);
    trip->payload = bn_batch_writer_take (&writer, &count);
    bn_batch_writer_fini (&writer);
    assert_non_null (trip->payload);

    const char *wrong = "";
    uint32_t index;
    bn_batch_limits_t limits = {.partitions = 8, .data_bytes_max = BATON_DATA_BYTES_MAX};
    limits.partition =
        bn_hash_partition (bn_hash (fields.key.text, fields.key.size), limits.partitions);
    if (bn_batch_check (trip->payload->data, trip->payload->size, count, &limits, &index, &wrong))
        fail_msg ("%s", wrong);
    bn_batch_reader_t reader;
    assert_int_equal (
        bn_batch_reader_init (&reader, trip->payload->data, trip->payload->size, count), BATON_OK);
    assert_true (bn_batch_next (&reader, &fields));
    assert_true (bn_event_init (&trip->event));
    bn_event_set (&trip->event, topic, &fields, 77, limits.partition, 3);
}

static void arrive (trip_t *trip)
{
    bn_event_fini (&trip->event);
    bn_blob_unref (&trip->payload);
    bn_blob_unref (&trip->blob);
}

static const bn_publication_defaults_t defaults = {.source = {"/producers/p", 12},
                                                   .id_prefix = {"0123456789abcdef", 16},
                                                   .id_number = UINT64_MAX,
                                                   .time_us = 1700000000000000};

static void defaults_are_filled_in (void **state)
{
    (void)state;
    baton_publication_t publication = {
        .topic = "orders.placed", .data = "\x81\xa1n\x05", .data_size = 4};
    trip_t trip;
    travel (&trip, &publication, &defaults);
    const baton_event_t *event = &trip.event;
    assert_string_equal (baton_event_topic (event), "orders.placed");
    assert_string_equal (baton_event_key (event), "");
    assert_string_equal (baton_event_id (event), "0123456789abcdef-18446744073709551615");
    assert_string_equal (baton_event_source (event), "/producers/p");
    assert_true (baton_event_time_us (event) == 1700000000000000);
    assert_string_equal (baton_event_datacontenttype (event), "application/msgpack");
    assert_string_equal (baton_event_dataschema (event), "");
    assert_int_equal (baton_event_extension_count (event), 0);
    assert_null (baton_event_extension (event, "traceparent"));
    assert_int_equal (baton_event_offset (event), 77);
    assert_int_equal (baton_event_attempt (event), 3);
    size_t size;
    assert_memory_equal (baton_event_data (event, &size), "\x81\xa1n\x05", 4);
    assert_int_equal (size, 4);
    int64_t number = 0;
    assert_true (baton_event_int (event, "n", &number));
    assert_int_equal (number, 5);
    arrive (&trip);
}

static void attributes_travel (void **state)
{
    (void)state;
    baton_extension_t extensions[] = {{"traceparent", "00-1-2-01"}, {"region", "eu"}};
    baton_attributes_t attributes = {.id = "order-1",
                                     .source = "/shop",
                                     .time_us = 5,
                                     .datacontenttype = "text/plain",
                                     .dataschema = "https://example.org/s",
                                     .extensions = extensions,
                                     .extension_count = 2};
    baton_publication_t publication = {.topic = "t",
                                       .key = "k\xc3\xa4",
                                       .data = "not messagepack",
                                       .data_size = 15,
                                       .attributes = &attributes};
    bn_default_extension_t more[] = {{{"region", 6}, {"us", 2}}, {{"causationid", 11}, {"c", 1}}};
    bn_publication_defaults_t with_more = defaults;
    with_more.extensions = more;
    with_more.extension_count = 2;
    trip_t trip;
    travel (&trip, &publication, &with_more);
    const baton_event_t *event = &trip.event;
    assert_string_equal (baton_event_id (event), "order-1");
    assert_string_equal (baton_event_key (event), "k\xc3\xa4");
    assert_string_equal (baton_event_source (event), "/shop");
    assert_int_equal (baton_event_time_us (event), 5);
    assert_string_equal (baton_event_datacontenttype (event), "text/plain");
    assert_string_equal (baton_event_dataschema (event), "https://example.org/s");
    assert_int_equal (baton_event_extension_count (event), 3);
    assert_string_equal (baton_event_extension (event, "region"), "eu");
    assert_string_equal (baton_event_extension (event, "traceparent"), "00-1-2-01");
    assert_string_equal (baton_event_extension (event, "causationid"), "c");
    baton_extension_t extension;
    assert_true (baton_event_extension_at (event, 2, &extension));
    assert_false (baton_event_extension_at (event, 3, &extension));
    assert_int_equal (baton_value_type (baton_event_value (event)), BATON_VALUE_NONE);
    assert_null (baton_event_str (event, "n"));
    /*  What was handed out stays where it is.  */
    assert_ptr_equal (baton_event_id (event), baton_event_id (event));
    arrive (&trip);
}

/*  Everything at its limit at once, and texts of the data beyond what the scratch area holds.  */
static void the_largest_event_is_readable (void **state)
{
    (void)state;
    enum { EXTENSIONS = BATON_EXTENSIONS_COUNT_MAX + BATON_DEAD_EXTENSIONS_COUNT };
    static const char *const dead[BATON_DEAD_EXTENSIONS_COUNT] = {
        "deadactor", "deadreason", "deadattempts", "deadoffset",
        "deadtopic", "deadid",     "deadsource"};
    static char names[EXTENSIONS][21];
    static char value[BATON_ATTRIBUTE_BYTES_MAX + 1], key[BATON_KEY_BYTES_MAX + 1];
    static char id[BATON_ID_BYTES_MAX + 1], topic[BATON_TOPIC_BYTES_MAX + 1];
    baton_extension_t extensions[EXTENSIONS];
    memset (value, 'v', sizeof value - 1);
    memset (key, 'k', sizeof key - 1);
    memset (id, 'i', sizeof id - 1);
    memset (topic, 't', sizeof topic - 1);
    for (int i = 0; i < EXTENSIONS; i++) {
        if (i < BATON_EXTENSIONS_COUNT_MAX)
            snprintf (names[i], sizeof names[i], "extension%011d", i);
        else
            snprintf (names[i], sizeof names[i], "%s", dead[i - BATON_EXTENSIONS_COUNT_MAX]);
        extensions[i] = (baton_extension_t){names[i], value};
    }
    baton_attributes_t attributes = {.id = id,
                                     .source = value,
                                     .dataschema = value,
                                     .extensions = extensions,
                                     .extension_count = EXTENSIONS};
    static char text[200 * 1024];
    memset (text, 'x', sizeof text - 1);
    baton_data_t *data = baton_data_new ();
    baton_data_put_str (data, "a", text);
    baton_data_put_str (data, "b", text);
    baton_publication_t publication = {.topic = topic, .key = key, .attributes = &attributes};
    publication.data = baton_data_bytes (data, &publication.data_size);
    assert_non_null (publication.data);
    trip_t trip;
    travel (&trip, &publication, &defaults);
    const baton_event_t *event = &trip.event;
    const char *first = baton_event_str (event, "a");
    assert_string_equal (first, text);
    assert_string_equal (baton_event_str (event, "b"), text);
    assert_ptr_equal (baton_event_str (event, "a"), first);
    assert_string_equal (baton_event_topic (event), topic);
    assert_string_equal (baton_event_key (event), key);
    assert_string_equal (baton_event_id (event), id);
    assert_string_equal (baton_event_source (event), value);
    assert_string_equal (baton_event_dataschema (event), value);
    assert_int_equal (baton_event_extension_count (event), EXTENSIONS);
    for (int i = 0; i < EXTENSIONS; i++)
        assert_string_equal (baton_event_extension (event, names[i]), value);
    baton_data_destroy (&data);
    arrive (&trip);
}

static void assert_refused (const baton_publication_t *publication, baton_err_t err)
{
    char what[BN_WHAT_BYTES] = "";
    assert_int_equal (bn_publication_check (publication, 1000, what), err);
    assert_true (what[0]);
}

static void bad_publications_have_a_name_and_a_text (void **state)
{
    (void)state;
    static const char *const topics[] = {NULL,  "",    "a..b", ".a",      "a.",
                                         "a b", "a.*", "a.>",  "$dead.x", "\xc3\xa4"};
    char long_topic[BATON_TOPIC_BYTES_MAX + 2], long_key[BATON_KEY_BYTES_MAX + 2];
    memset (long_topic, 't', sizeof long_topic - 1);
    memset (long_key, 'k', sizeof long_key - 1);
    long_topic[sizeof long_topic - 1] = long_key[sizeof long_key - 1] = 0;
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        assert_refused (&(baton_publication_t){.topic = topics[i]}, BATON_ERR_TOPIC);
    assert_refused (&(baton_publication_t){.topic = long_topic}, BATON_ERR_TOPIC);
    assert_refused (&(baton_publication_t){.topic = "t", .key = long_key}, BATON_ERR_KEY);
    assert_refused (&(baton_publication_t){.topic = "t", .key = "\xff"}, BATON_ERR_KEY);
    assert_refused (&(baton_publication_t){.topic = "t", .data_size = 1}, BATON_ERR_ARGUMENT);
    char large[1001] = {0};
    assert_refused (&(baton_publication_t){.topic = "t", .data = large, .data_size = sizeof large},
                    BATON_ERR_TOO_LARGE);
    assert_refused (&(baton_publication_t){.topic = "t", .data = "\xc1", .data_size = 1},
                    BATON_ERR_MALFORMED);
    assert_refused (&(baton_publication_t){.topic = "t", .data = "\x01\x01", .data_size = 2},
                    BATON_ERR_MALFORMED);
    char deep[BATON_DATA_DEPTH_MAX + 1];
    memset (deep, '\x91', sizeof deep);
    deep[sizeof deep - 1] = '\x90';
    assert_refused (&(baton_publication_t){.topic = "t", .data = deep, .data_size = sizeof deep},
                    BATON_ERR_TOO_DEEP);
}

static void bad_attributes_have_a_name_and_a_text (void **state)
{
    (void)state;
    char long_text[BATON_ATTRIBUTE_BYTES_MAX + 2];
    memset (long_text, 'v', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    static const baton_extension_t twice[] = {{"a", "1"}, {"a", "2"}};
    char more_names[BATON_EXTENSIONS_COUNT_MAX + 1][8];
    baton_extension_t more[BATON_EXTENSIONS_COUNT_MAX + 1];
    for (int i = 0; i <= BATON_EXTENSIONS_COUNT_MAX; i++) {
        snprintf (more_names[i], sizeof more_names[i], "x%d", i);
        more[i] = (baton_extension_t){more_names[i], "v"};
    }
    const struct {
        baton_attributes_t attributes;
        baton_err_t err;
    } cases[] = {
        {{.id = ""}, BATON_ERR_ARGUMENT},
        {{.id = long_text}, BATON_ERR_TOO_LARGE},
        {{.source = ""}, BATON_ERR_ARGUMENT},
        {{.source = long_text}, BATON_ERR_TOO_LARGE},
        {{.source = "\xc3"}, BATON_ERR_ARGUMENT},
        {{.time_us = -1}, BATON_ERR_ARGUMENT},
        {{.dataschema = long_text}, BATON_ERR_TOO_LARGE},
        {{.datacontenttype = long_text}, BATON_ERR_TOO_LARGE},
        {{.extensions = twice, .extension_count = 2}, BATON_ERR_ARGUMENT},
        {{.extensions = more, .extension_count = BATON_EXTENSIONS_COUNT_MAX + 1},
         BATON_ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused (&(baton_publication_t){.topic = "t", .attributes = &cases[i].attributes},
                        cases[i].err);
    static const char *const names[] = {
        NULL, "", "Upper", "with-dash", "id", "type", "source", "subject", "a23456789012345678901"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        baton_extension_t extension = {names[i], "v"};
        baton_attributes_t attributes = {.extensions = &extension, .extension_count = 1};
        assert_refused (&(baton_publication_t){.topic = "t", .attributes = &attributes},
                        BATON_ERR_ARGUMENT);
    }
    baton_extension_t no_value = {"a", NULL}, long_value = {"a", long_text};
    baton_attributes_t attributes = {.extensions = &no_value, .extension_count = 1};
    assert_refused (&(baton_publication_t){.topic = "t", .attributes = &attributes},
                    BATON_ERR_ARGUMENT);
    attributes.extensions = &long_value;
    assert_refused (&(baton_publication_t){.topic = "t", .attributes = &attributes},
                    BATON_ERR_TOO_LARGE);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (defaults_are_filled_in),
        cmocka_unit_test (attributes_travel),
        cmocka_unit_test (the_largest_event_is_readable),
        cmocka_unit_test (bad_publications_have_a_name_and_a_text),
        cmocka_unit_test (bad_attributes_have_a_name_and_a_text),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
