/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "samples.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 8 };

/*  A message as frames, in memory of exactly their size.  */
typedef struct {
    bn_frame_t frames[FRAMES];
    size_t count;
} wire_t;

static void *exactly (const void *bytes, size_t size)
{
    void *copy = malloc (size ? size : 1);
    if (size)
        memcpy (copy, bytes, size);
    return copy;
}

static void wire_free (wire_t *wire)
{
    for (size_t i = 0; i < wire->count; i++)
        free ((void *)wire->frames[i].data);
}

static const bn_section_t *sections_of (const bn_message_t *message, uint32_t *count)
{
    *count = message->type == BN_PUBLISH  ? message->publish.section_count
             : message->type == BN_SETTLE ? message->settle.section_count
             : message->type == BN_EVENTS ? message->events.section_count
                                          : 0;
    return message->type == BN_PUBLISH  ? message->publish.sections
           : message->type == BN_SETTLE ? message->settle.sections
                                        : message->events.sections;
}

static wire_t encode (const bn_message_t *message)
{
    bn_blob_t *head = bn_message_encode (message);
    assert_non_null (head);
    wire_t wire = {{{exactly (head->data, head->size), head->size}}, 1};
    bn_blob_unref (&head);
    uint32_t count;
    const bn_section_t *sections = sections_of (message, &count);
    for (uint32_t i = 0; i < count; i++)
        wire.frames[wire.count++] = (bn_frame_t){
            exactly (sections[i].payload.data, sections[i].payload.size), sections[i].payload.size};
    return wire;
}

/*  Decodes with frame 0 replaced.  */
static baton_err_t decode_with (const wire_t *wire, const void *head, size_t size, char what[256])
{
    wire_t copy = *wire;
    bn_message_t message;
    copy.frames[0] = (bn_frame_t){exactly (head, size), size};
    baton_err_t err = bn_message_decode (&message, copy.frames, copy.count, what);
    if (!err)
        bn_message_fini (&message);
    free ((void *)copy.frames[0].data);
    return err;
}

static void test_every_message_looks_as_the_protocol_says (void **state)
{
    (void)state;
    for (size_t i = 0; i < g_sample_count; i++) {
        wire_t wire = encode (&g_samples[i].message);
        const char *head = wire.frames[0].data;
        assert_memory_equal (head, "BT\x01", 3);
        assert_int_equal ((uint8_t)head[3], g_samples[i].message.type);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init (&unpacked);
        size_t at = 4;
        assert_int_equal (msgpack_unpack_next (&unpacked, head, wire.frames[0].size, &at),
                          MSGPACK_UNPACK_SUCCESS);
        assert_int_equal (at, wire.frames[0].size);
        char printed[1024] = "";
        msgpack_object_print_buffer (printed, sizeof (printed), unpacked.data);
        assert_string_equal (printed, g_samples[i].printed);
        msgpack_unpacked_destroy (&unpacked);
        wire_free (&wire);
    }
}

static void test_every_message_survives_a_round_trip (void **state)
{
    (void)state;
    for (size_t i = 0; i < g_sample_count; i++) {
        wire_t wire = encode (&g_samples[i].message);
        bn_message_t message;
        char what[256] = "";
        if (bn_message_decode (&message, wire.frames, wire.count, what))
            fail_msg ("%s: %s", g_samples[i].printed, what);
        assert_int_equal (message.type, g_samples[i].message.type);
        assert_true (message.request == g_samples[i].message.request);
        wire_t again = encode (&message);
        assert_int_equal (again.count, wire.count);
        for (size_t k = 0; k < wire.count; k++) {
            assert_int_equal (again.frames[k].size, wire.frames[k].size);
            assert_memory_equal (again.frames[k].data, wire.frames[k].data, wire.frames[k].size);
        }
        bn_message_fini (&message);
        wire_free (&wire);
        wire_free (&again);
    }
}

static void test_a_message_cut_anywhere_is_refused (void **state)
{
    (void)state;
    for (size_t i = 0; i < g_sample_count; i++) {
        wire_t wire = encode (&g_samples[i].message);
        for (size_t size = 0; size < wire.frames[0].size; size++) {
            char what[256] = "";
            baton_err_t err = decode_with (&wire, wire.frames[0].data, size, what);
            assert_int_equal (err, BATON_ERR_MALFORMED);
            assert_true (strlen (what) > 0);
        }
        wire_free (&wire);
    }
}

static void test_bytes_behind_the_message_are_refused (void **state)
{
    (void)state;
    for (size_t i = 0; i < g_sample_count; i++) {
        wire_t wire = encode (&g_samples[i].message);
        char longer[1024] = "";
        memcpy (longer, wire.frames[0].data, wire.frames[0].size);
        longer[wire.frames[0].size] = (char)0xc0;
        assert_int_equal (decode_with (&wire, longer, wire.frames[0].size + 1, NULL),
                          BATON_ERR_MALFORMED);
        wire_free (&wire);
    }
}

static void test_payload_frames_and_sections_must_agree (void **state)
{
    (void)state;
    for (size_t i = 0; i < g_sample_count; i++) {
        wire_t wire = encode (&g_samples[i].message);
        bn_message_t message;
        wire.frames[wire.count] = (bn_frame_t){"z", 1};
        assert_int_equal (bn_message_decode (&message, wire.frames, wire.count + 1, NULL),
                          BATON_ERR_MALFORMED);
        if (wire.count > 1)
            assert_int_equal (bn_message_decode (&message, wire.frames, wire.count - 1, NULL),
                              BATON_ERR_MALFORMED);
        assert_int_equal (bn_message_decode (&message, wire.frames, 0, NULL), BATON_ERR_MALFORMED);
        wire_free (&wire);
    }
}

/*  ---- every field, one at a time, as something else ---- */

typedef struct {
    int index; /* of the value that is written in another way, in order of appearance */
    int seen;
    const char *instead; /* bytes written in its place */
    size_t size;
    msgpack_object_type kind; /* what the value was */
} mutation_t;

static void pack_mutated (msgpack_packer *packer, const msgpack_object *object,
                          mutation_t *mutation)
{
    if (mutation->seen++ == mutation->index) {
        mutation->kind = object->type;
        msgpack_pack_str_body (packer, mutation->instead, mutation->size);
        return;
    }
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        msgpack_pack_array (packer, object->via.array.size);
        for (uint32_t i = 0; i < object->via.array.size; i++)
            pack_mutated (packer, &object->via.array.ptr[i], mutation);
    } else
        msgpack_pack_object (packer, *object);
}

static bool is_still_right (const sample_t *sample, msgpack_object_type was, char is)
{
    if (is == 'n') /* nil for a list: the one in BEAT */
        return sample->message.type == BN_BEAT &&
               (was == MSGPACK_OBJECT_ARRAY || was == MSGPACK_OBJECT_NIL);
    if (is == 'a') /* an empty list is a list */
        return was == MSGPACK_OBJECT_ARRAY ||
               (was == MSGPACK_OBJECT_NIL && sample->message.type == BN_BEAT);
    return is == 'm' && was == MSGPACK_OBJECT_MAP;
}

static void test_a_field_of_another_type_is_refused (void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        char kind;
        msgpack_object_type same; /* skipped where the value was that */
    } others[] = {
        {"\xc0", 1, 'n', MSGPACK_OBJECT_EXT},
        {"\xc3", 1, 'b', MSGPACK_OBJECT_BOOLEAN},
        {"\xff", 1, 'i', MSGPACK_OBJECT_EXT}, /* -1: no field is negative */
        {"\x01", 1, 'u', MSGPACK_OBJECT_POSITIVE_INTEGER},
        {"\xca\x3f\x80\x00\x00", 5, 'r', MSGPACK_OBJECT_EXT},
        {"\xa1x", 2, 's', MSGPACK_OBJECT_STR},
        {"\xa2\xc3\x28", 3, 's', MSGPACK_OBJECT_EXT}, /* not UTF-8 */
        {"\xc4\x01x", 3, 'B', MSGPACK_OBJECT_EXT},
        {"\x90", 1, 'a', MSGPACK_OBJECT_EXT},
        {"\x91\xc0", 2, 'A', MSGPACK_OBJECT_EXT}, /* a list of nothing useful */
        {"\x80", 1, 'm', MSGPACK_OBJECT_EXT},
        {"\xd4\x01\x00", 3, 'e', MSGPACK_OBJECT_EXT},
        {"\xc1", 1, '-', MSGPACK_OBJECT_EXT},
        {"\xdd\xff\xff\xff\xff", 5, 'l', MSGPACK_OBJECT_EXT}, /* counts that lie */
        {"\xdb\xff\xff\xff\xff", 5, 'l', MSGPACK_OBJECT_EXT},
        {"\xdf\xff\xff\xff\xff", 5, 'l', MSGPACK_OBJECT_EXT},
    };
    size_t tried = 0;
    for (size_t i = 0; i < g_sample_count; i++) {
        wire_t wire = encode (&g_samples[i].message);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init (&unpacked);
        size_t at = 4;
        msgpack_unpack_next (&unpacked, wire.frames[0].data, wire.frames[0].size, &at);
        for (size_t k = 0; k < sizeof (others) / sizeof (others[0]); k++)
            for (int index = 0;; index++) {
                mutation_t mutation = {index, 0, others[k].bytes, others[k].size,
                                       MSGPACK_OBJECT_EXT};
                bn_buffer_t buffer;
                bn_buffer_init (&buffer, 4096);
                bn_buffer_append (&buffer, wire.frames[0].data, 4);
                msgpack_packer packer = bn_mp_packer (&buffer);
                pack_mutated (&packer, &unpacked.data, &mutation);
                bool done = mutation.seen <= index;
                bool skip = mutation.kind == others[k].same && others[k].same != MSGPACK_OBJECT_EXT;
                /*  An empty list may be refused or not, as its minimum is; a struct never is.  */
                skip = skip || is_still_right (&g_samples[i], mutation.kind, others[k].kind);
                if (!done && !skip) {
                    char what[256] = "";
                    if (decode_with (&wire, bn_buffer_data (&buffer), buffer.size, what) ==
                        BATON_OK)
                        fail_msg ("%s: value %d as %c was taken", g_samples[i].printed, index,
                                  others[k].kind);
                    assert_true (strlen (what) > 0);
                    tried++;
                }
                bn_buffer_fini (&buffer);
                if (done)
                    break;
            }
        msgpack_unpacked_destroy (&unpacked);
        wire_free (&wire);
    }
    assert_true (tried > 2000);
}

/*  Whatever comes: an answer, and no byte read that is not there (under a sanitizer).  */
static void test_random_damage (void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        wire_t wire = encode (&g_samples[bn_prng_below (&prng, g_sample_count)].message);
        uint8_t *head = exactly (wire.frames[0].data, wire.frames[0].size);
        for (uint64_t flips = 1 + bn_prng_below (&prng, 4); flips; flips--)
            head[bn_prng_below (&prng, wire.frames[0].size)] ^=
                (uint8_t)(1u << bn_prng_below (&prng, 8));
        (void)decode_with (&wire, head, wire.frames[0].size, NULL);
        free (head);
        wire_free (&wire);
    }
}

/*  ---- the envelope ---- */

static baton_err_t decode_bytes (const char *bytes, size_t size, bn_message_t *message,
                                 char what[256])
{
    bn_frame_t frame = {exactly (bytes, size), size};
    baton_err_t err = bn_message_decode (message, &frame, 1, what);
    free ((void *)frame.data);
    return err;
}

static void test_errors_of_the_envelope_keep_the_request_number (void **state)
{
    (void)state;
    bn_message_t message;
    char what[256];
    assert_int_equal (decode_bytes ("BT\x02\x01\x94\x09\x02\xa1x\x01", 10, &message, what),
                      BATON_ERR_VERSION);
    assert_int_equal (message.request, 9);
    assert_int_equal (decode_bytes ("BT\x01\x7f\x91\x09", 6, &message, what),
                      BATON_ERR_UNKNOWN_TYPE);
    assert_int_equal (message.request, 9);
    assert_int_equal (decode_bytes ("BT\x01\x40\x91\x09", 6, &message, what),
                      BATON_ERR_UNKNOWN_TYPE); /* a fan-out is no request */
    assert_int_equal (decode_bytes ("BT\x01\x01\x92\x09\x02", 7, &message, what),
                      BATON_ERR_MALFORMED);
    assert_int_equal (message.request, 9);
    assert_int_equal (message.type, BN_HELLO);
    assert_int_equal (decode_bytes ("XT\x01\x01\x92\x09\x02", 7, &message, what),
                      BATON_ERR_MALFORMED);
    assert_int_equal (message.request, 0);
    assert_int_equal (decode_bytes ("BT", 2, &message, what), BATON_ERR_MALFORMED);
    assert_int_equal (decode_bytes ("", 0, &message, what), BATON_ERR_MALFORMED);
}

static void expect (const bn_message_t *message, baton_err_t expected, const char *part_of_what)
{
    wire_t wire = encode (message);
    bn_message_t decoded;
    char what[256] = "";
    baton_err_t err = bn_message_decode (&decoded, wire.frames, wire.count, what);
    if (err != expected || !strstr (what, part_of_what))
        fail_msg ("%s, \"%s\"; expected %s, \"%s\"", baton_err_name (err), what,
                  baton_err_name (expected), part_of_what);
    wire_free (&wire);
}

static void test_values_that_are_not_allowed (void **state)
{
    (void)state;
    bn_section_t section = {.topic = {"t", 1}, .count = 1};
    bn_message_t publish = {.type = BN_PUBLISH, .publish = {1, 1, &section, 1}};
    section.topic.text = "*";
    expect (&publish, BATON_ERR_TOPIC, "topic");
    section.topic.text = "t";
    section.partition = 256;
    expect (&publish, BATON_ERR_PARTITION, "partition");
    section.partition = 0;
    section.count = 0;
    expect (&publish, BATON_ERR_MALFORMED, "count");
    section.count = BN_SECTION_EVENTS_MAX + 1;
    expect (&publish, BATON_ERR_MALFORMED, "count");
    section.count = 1;
    publish.publish.sequence = 0;
    expect (&publish, BATON_ERR_MALFORMED, "sequence");
    publish.publish = (bn_publish_t){1, 1, NULL, 0};
    expect (&publish, BATON_ERR_MALFORMED, "sections");

    bn_text_t pattern = {"a.b*", 4};
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = {"a", 1},
                                  .instance = {"i", 1},
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .policy = {1, 2, 3, 4}}};
    expect (&join, BATON_ERR_TOPIC, "patterns");
    pattern.size = 3;
    join.join.actor.text = ".";
    expect (&join, BATON_ERR_NAME, "actor");
    join.join.actor.text = "a";
    join.join.instance.text = "/";
    expect (&join, BATON_ERR_NAME, "instance");
    join.join.instance.text = "i";
    join.join.pattern_count = 0;
    expect (&join, BATON_ERR_MALFORMED, "patterns");
    join.join.pattern_count = 1;
    join.join.policy = (bn_policy_t){0, 2, 3, 4};
    expect (&join, BATON_ERR_MALFORMED, "max_attempts");
    join.join.policy = (bn_policy_t){1001, 2, 3, 4};
    expect (&join, BATON_ERR_MALFORMED, "max_attempts");
    join.join.policy = (bn_policy_t){1, 4, 3, 4};
    expect (&join, BATON_ERR_MALFORMED, "backoff_min_ms");
    join.join.policy = (bn_policy_t){1, 2, 86400001, 4};
    expect (&join, BATON_ERR_MALFORMED, "backoff_max_ms");
    join.join.policy = (bn_policy_t){1, 2, 3, 0};
    expect (&join, BATON_ERR_MALFORMED, "handler_deadline_ms");

    bn_message_t hello = {.type = BN_HELLO, .hello = {BN_ROLE_PRODUCER, {"", 0}, 1}};
    expect (&hello, BATON_ERR_NAME, "name");
    hello.hello = (bn_hello_t){BN_ROLE_ACTOR, {"a b", 3}, 1};
    expect (&hello, BATON_ERR_NAME, "name");
    hello.hello = (bn_hello_t){4, {"a", 1}, 1};
    expect (&hello, BATON_ERR_MALFORMED, "role");
}

static void test_lists_that_contradict_themselves (void **state)
{
    (void)state;
    bn_message_t fetch = {.type = BN_FETCH};
    expect (&fetch, BATON_ERR_MALFORMED, "either");
    bn_fetch_t partitions[] = {{1, 1, 1}, {2, 1, 1}};
    uint64_t offset = 1;
    fetch.fetch = (bn_fetch_request_t){0, 0, partitions, 2, &offset, 1};
    expect (&fetch, BATON_ERR_MALFORMED, "either");
    fetch.fetch.offset_count = 0;
    partitions[1].partition = 1;
    expect (&fetch, BATON_ERR_MALFORMED, "twice");
    partitions[1].partition = 2;
    fetch.fetch.wait_ms = 30001;
    expect (&fetch, BATON_ERR_MALFORMED, "wait_ms");

    bn_settlement_t settlements[] = {{.partition = 7}, {.partition = 7}};
    bn_message_t settle = {.type = BN_SETTLE, .settle = {settlements, 2, NULL, 0}};
    expect (&settle, BATON_ERR_MALFORMED, "twice");
    settle.settle.settlement_count = 0;
    expect (&settle, BATON_ERR_MALFORMED, "settlements");

    bn_parked_t parked[] = {{.offset = 5}, {.offset = 5}};
    bn_assignment_t assignment = {.parked = parked, .parked_count = 2};
    bn_message_t beat = {
        .type = BN_BEAT,
        .beat = {.assignments_set = true, .assignments = &assignment, .assignment_count = 1}};
    expect (&beat, BATON_ERR_MALFORMED, "ascend");
}

static void test_sizes_and_counts_above_their_limits (void **state)
{
    (void)state;
    char big[BATON_ATTRIBUTE_BYTES_MAX + 1];
    memset (big, 'x', sizeof (big));
    bn_message_t hello = {.type = BN_HELLO, .hello = {BN_ROLE_PRODUCER, {big, sizeof (big)}, 1}};
    expect (&hello, BATON_ERR_TOO_LARGE, "name");
    bn_message_t forget = {.type = BN_FORGET, .forget = {big, BATON_NAME_BYTES_MAX + 1}};
    expect (&forget, BATON_ERR_NAME, "actor");
    bn_section_t section = {.topic = {big, BATON_TOPIC_BYTES_MAX + 1}, .count = 1};
    bn_message_t publish = {.type = BN_PUBLISH, .publish = {1, 1, &section, 1}};
    expect (&publish, BATON_ERR_TOPIC, "topic");
    bn_text_t pattern = {big, BATON_TOPIC_BYTES_MAX + 1};
    bn_message_t one = {.type = BN_READ, .read = {.patterns = &pattern, .pattern_count = 1}};
    expect (&one, BATON_ERR_TOPIC, "patterns");
    bn_text_t patterns[BN_PATTERNS_MAX + 1];
    for (size_t i = 0; i <= BN_PATTERNS_MAX; i++)
        patterns[i] = (bn_text_t){"a", 1};
    bn_message_t read = {.type = BN_READ,
                         .read = {.patterns = patterns, .pattern_count = BN_PATTERNS_MAX + 1}};
    expect (&read, BATON_ERR_TOO_LARGE, "patterns");
    bn_fetch_t *partitions = calloc (BN_PARTITIONS_MAX + 1, sizeof (bn_fetch_t));
    bn_message_t fetch = {
        .type = BN_FETCH,
        .fetch = {.partitions = partitions, .partition_count = BN_PARTITIONS_MAX + 1}};
    expect (&fetch, BATON_ERR_TOO_LARGE, "partitions");
    free (partitions);
    bn_parked_t park = {.reason = {big, BN_PARKED_REASON_BYTES_MAX + 1}};
    bn_settlement_t settlement = {.parks = &park, .park_count = 1};
    bn_message_t settle = {.type = BN_SETTLE, .settle = {&settlement, 1, NULL, 0}};
    expect (&settle, BATON_ERR_TOO_LARGE, "reason");
    uint64_t *offsets = calloc (BN_PARKED_MAX + 1, sizeof (uint64_t));
    fetch.fetch = (bn_fetch_request_t){.offsets = offsets, .offset_count = BN_PARKED_MAX + 1};
    expect (&fetch, BATON_ERR_TOO_LARGE, "offsets");
    free (offsets);
}

static void test_a_status_that_nests_too_deeply (void **state)
{
    (void)state;
    uint8_t deep[40];
    memset (deep, 0x81, sizeof (deep)); /* {{{... */
    bn_message_t status = {.type = BN_STATUS_REPLY, .status = {NULL, deep, sizeof (deep)}};
    expect (&status, BATON_ERR_TOO_DEEP, "deep");
}

static void test_an_error_says_code_name_and_text (void **state)
{
    (void)state;
    char text[2000];
    memset (text, 'y', sizeof (text));
    memcpy (text + 1022, "\xe2\x82\xac", 3); /* a character across the limit */
    text[sizeof (text) - 1] = 0;
    const struct {
        const char *text;
        const char *expected; /* its beginning */
    } cases[] = {{NULL, "a newer generation or incarnation has taken over"},
                 {"line\nbreak \xc3\xa4", "line?break \xc3\xa4"},
                 {"bad \xff\xc3\xa4", "bad ???"},
                 {text, "yyy"}};
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        bn_blob_t *blob = bn_error_encode (17, BATON_ERR_FENCED, 5, cases[i].text);
        bn_frame_t frame = {blob->data, blob->size};
        bn_message_t message;
        assert_int_equal (bn_message_decode (&message, &frame, 1, NULL), BATON_OK);
        assert_int_equal (message.type, BN_ERROR);
        assert_int_equal (message.request, 17);
        assert_int_equal (message.error.code, BATON_ERR_FENCED);
        assert_false (message.error.retriable);
        assert_memory_equal (message.error.name.text, "FENCED", 6);
        assert_int_equal (message.error.detail, 5);
        assert_memory_equal (message.error.text.text, cases[i].expected,
                             strlen (cases[i].expected));
        assert_int_equal (message.error.text.size,
                          cases[i].text == text ? 1022 : strlen (cases[i].expected));
        bn_message_fini (&message);
        bn_blob_unref (&blob);
    }
}

/*  ---- fan-out ---- */

static void test_fanout (void **state)
{
    (void)state;
    bn_chain_t chain[] = {{1, 0}, {UINT32_MAX, UINT64_MAX}};
    bn_fanout_t fanout = {.base = 7, .count = 2, .chain = chain, .chain_count = 2};
    bn_blob_t *topic = bn_fanout_topic_encode (255, "orders.placed", 13);
    bn_blob_t *header = bn_fanout_encode (&fanout);
    bn_frame_t frames[] = {{exactly (topic->data, topic->size), topic->size},
                           {exactly (header->data, header->size), header->size},
                           {"abc", 3}};
    bn_fanout_t decoded;
    char what[256];
    assert_int_equal (bn_fanout_decode (&decoded, frames, 3, what), BATON_OK);
    assert_int_equal (decoded.partition, 255);
    assert_int_equal (decoded.topic.size, 13);
    assert_memory_equal (decoded.topic.text, "orders.placed", 13);
    assert_true (decoded.base == 7 && decoded.count == 2 && decoded.chain_count == 2);
    assert_true (decoded.chain[0].actor_id == 1 && decoded.chain[0].previous_end == 0);
    assert_true (decoded.chain[1].actor_id == UINT32_MAX);
    assert_true (decoded.chain[1].previous_end == UINT64_MAX);
    bn_fanout_fini (&decoded);

    assert_int_equal (bn_fanout_decode (&decoded, frames, 2, what), BATON_ERR_MALFORMED);
    bn_frame_t whole = frames[1];
    for (size_t size = 0; size < whole.size; size++) {
        frames[1] = (bn_frame_t){exactly (whole.data, size), size};
        assert_int_equal (bn_fanout_decode (&decoded, frames, 3, what), BATON_ERR_MALFORMED);
        free ((void *)frames[1].data);
    }
    frames[1] = whole;
    ((uint8_t *)whole.data)[2] = 2;
    assert_int_equal (bn_fanout_decode (&decoded, frames, 3, what), BATON_ERR_VERSION);
    ((uint8_t *)whole.data)[2] = 1;
    frames[0].size = 1;
    assert_int_equal (bn_fanout_decode (&decoded, frames, 3, what), BATON_ERR_TOPIC);
    free ((void *)frames[0].data);
    free ((void *)whole.data);
    bn_blob_unref (&topic);
    bn_blob_unref (&header);
}

static void test_bundle (void **state)
{
    (void)state;
    bn_bundled_t sections[] = {
        {{"orders.placed", 13}, 255, 7, 2, 0, 3},
        {{"b", 1}, 0, UINT64_MAX - 1, 1, UINT64_MAX, 1},
    };
    bn_bundle_t bundle = {sections, 2};
    bn_blob_t *channel = bn_channel_encode (0x01020304, 0x1112131415161718);
    static const uint8_t bytes[] = {255,  1,    1,    2,    3,    4,    0x11,
                                    0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
    assert_int_equal (channel->size, sizeof (bytes));
    assert_memory_equal (channel->data, bytes, sizeof (bytes));
    assert_true (bn_is_channel (channel->data, channel->size));
    assert_false (bn_is_channel (channel->data, channel->size - 1));
    assert_false (bn_is_channel ("\377orders.placed", 14));
    bn_blob_t *header = bn_bundle_encode (&bundle);
    bn_frame_t frames[] = {{channel->data, channel->size},
                           {exactly (header->data, header->size), header->size},
                           {"abcd", 4}};
    bn_bundle_t decoded;
    char what[256];
    assert_int_equal (bn_bundle_decode (&decoded, frames, 3, what), BATON_OK);
    assert_int_equal (decoded.section_count, 2);
    assert_memory_equal (decoded.sections[0].topic.text, "orders.placed", 13);
    assert_int_equal (decoded.sections[0].partition, 255);
    assert_true (decoded.sections[0].base == 7 && decoded.sections[0].count == 2);
    assert_true (decoded.sections[0].previous_end == 0 && decoded.sections[0].bytes == 3);
    assert_true (decoded.sections[1].base == UINT64_MAX - 1);
    assert_true (decoded.sections[1].previous_end == UINT64_MAX);
    bn_bundle_fini (&decoded);

    assert_int_equal (bn_bundle_decode (&decoded, frames, 2, what), BATON_ERR_MALFORMED);
    frames[2].size = 3;
    assert_int_equal (bn_bundle_decode (&decoded, frames, 3, what), BATON_ERR_MALFORMED);
    frames[2].size = 4;
    bn_frame_t whole = frames[1];
    for (size_t size = 0; size < whole.size; size++) {
        frames[1] = (bn_frame_t){exactly (whole.data, size), size};
        assert_int_equal (bn_bundle_decode (&decoded, frames, 3, what), BATON_ERR_MALFORMED);
        free ((void *)frames[1].data);
    }
    frames[1] = whole;
    ((uint8_t *)whole.data)[2] = 2;
    assert_int_equal (bn_bundle_decode (&decoded, frames, 3, what), BATON_ERR_VERSION);
    ((uint8_t *)whole.data)[2] = 1;
    frames[0].size = 13;
    assert_int_equal (bn_bundle_decode (&decoded, frames, 3, what), BATON_ERR_MALFORMED);
    frames[0].size = 14;
    sections[1].topic.text = "B ";
    sections[1].topic.size = 2;
    bn_blob_unref (&header);
    header = bn_bundle_encode (&bundle);
    frames[1] = (bn_frame_t){header->data, header->size};
    assert_int_equal (bn_bundle_decode (&decoded, frames, 3, what), BATON_ERR_TOPIC);
    free ((void *)whole.data);
    bn_blob_unref (&channel);
    bn_blob_unref (&header);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_message_looks_as_the_protocol_says),
        cmocka_unit_test (test_every_message_survives_a_round_trip),
        cmocka_unit_test (test_a_message_cut_anywhere_is_refused),
        cmocka_unit_test (test_bytes_behind_the_message_are_refused),
        cmocka_unit_test (test_payload_frames_and_sections_must_agree),
        cmocka_unit_test (test_a_field_of_another_type_is_refused),
        cmocka_unit_test (test_random_damage),
        cmocka_unit_test (test_errors_of_the_envelope_keep_the_request_number),
        cmocka_unit_test (test_values_that_are_not_allowed),
        cmocka_unit_test (test_lists_that_contradict_themselves),
        cmocka_unit_test (test_sizes_and_counts_above_their_limits),
        cmocka_unit_test (test_a_status_that_nests_too_deeply),
        cmocka_unit_test (test_an_error_says_code_name_and_text),
        cmocka_unit_test (test_fanout),
        cmocka_unit_test (test_bundle),
    };
    return cmocka_run_group_tests_name ("wire.message", tests, NULL, NULL);
}
