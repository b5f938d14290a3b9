/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/record.h"
#include <stdlib.h>
#include <string.h>

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof (literal) - 1                                                              \
    }
#define COUNT(array) (sizeof (array) / sizeof ((array)[0]))
#define MAX64        "18446744073709551615"

static bn_section_t s_sections[] = {
    {.topic = TEXT ("a.b"),
     .partition = 3,
     .count = 2,
     .payload = {NULL, (const uint8_t *)"abc", 3}},
    {.topic = TEXT ("$dead.p"),
     .partition = 0,
     .count = 1,
     .payload = {NULL, (const uint8_t *)"de", 2}},
};
static bn_text_t s_patterns[] = {TEXT ("orders.*"), TEXT (">")};
static bn_parked_t s_parks[] = {{40, 2, 1700000000000, 77, TEXT ("no stock")},
                                {50, 0, 0, 77, TEXT ("")}};
static uint64_t s_dones[] = {39};
static bn_died_t s_died[] = {{41, 5}};
static bn_settlement_t s_settlements[] = {{.partition = 3,
                                           .generation = 9,
                                           .floor = 66,
                                           .handled = 4,
                                           .parks = s_parks,
                                           .park_count = 2,
                                           .dones = s_dones,
                                           .done_count = 1,
                                           .died = s_died,
                                           .died_count = 1,
                                           .release = true}};
static bn_owner_t s_owners[] = {{3, 10, TEXT ("host-1"), 77}, {255, UINT64_MAX, TEXT (""), 0}};
static bn_suspicion_t s_suspicions[] = {{3, 70, BN_NO_OFFSET, 0, TEXT ("")},
                                        {4, 0, 66, 1700000000000, TEXT ("it died")}};
static uint64_t s_dead[] = {90, 91, UINT64_MAX};

static const struct {
    bn_record_t record;
    const char *printed;
} s_samples[] = {
    {{.type = BN_RECORD_GENESIS, .genesis = {77, 32}}, "[77, 32]"},
    {{.type = BN_RECORD_REGISTER,
      .registration = {2, TEXT ("payment"), s_patterns, 2, 60, true, {5, 100, 30000, 30000}}},
     "[2, \"payment\", [\"orders.*\", \">\"], 60, true, [5, 100, 30000, 30000]]"},
    {{.type = BN_RECORD_PUBLISH, .publish = {7, 1, s_sections, 2}},
     "[7, 1, [[\"a.b\", 3, 2, 3], [\"$dead.p\", 0, 1, 2]]]"},
    {{.type = BN_RECORD_SETTLE, .settle = {2, s_settlements, 1, s_sections, 2}},
     "[2, [[3, 9, 66, 4, [[40, 2, 1700000000000, 77, \"no stock\"], [50, 0, 0, 77]], [39], [[41, "
     "5]], true]], [[\"a.b\", 3, 2, 3], [\"$dead.p\", 0, 1, 2]]]"},
    {{.type = BN_RECORD_SETTLE, .settle = {2, s_settlements, 1, NULL, 0}},
     "[2, [[3, 9, 66, 4, [[40, 2, 1700000000000, 77, \"no stock\"], [50, 0, 0, 77]], [39], [[41, "
     "5]], true]], []]"},
    {{.type = BN_RECORD_ASSIGN, .assign = {2, s_owners, 2}},
     "[2, [[3, 10, \"host-1\", 77], [255, " MAX64 ", \"\", 0]]]"},
    {{.type = BN_RECORD_BEGIN, .begin = {2, 3, 10, 66}}, "[2, 3, 10, 66]"},
    {{.type = BN_RECORD_SUSPECT, .suspect = {2, s_suspicions, 2}},
     "[2, [[3, 70, " MAX64 ", 0], [4, 0, 66, 1700000000000, \"it died\"]]]"},
    {{.type = BN_RECORD_REDRIVE, .dead = {2, s_dead, 3}}, "[2, [90, 91, " MAX64 "]]"},
    {{.type = BN_RECORD_DISCARD, .dead = {UINT32_MAX, NULL, 0}}, "[4294967295, []]"},
    {{.type = BN_RECORD_FORGET, .forget = 2}, "[2]"},
};

static void *exactly (const void *bytes, size_t size)
{
    void *copy = malloc (size ? size : 1);
    if (size)
        memcpy (copy, bytes, size);
    return copy;
}

static void test_every_record_looks_as_the_format_says (void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT (s_samples); i++) {
        bn_blob_t *body = bn_record_encode (&s_samples[i].record);
        size_t meta = body->data[0] | (size_t)body->data[1] << 8;
        msgpack_unpacked unpacked;
        msgpack_unpacked_init (&unpacked);
        size_t at = 4;
        assert_int_equal (msgpack_unpack_next (&unpacked, (char *)body->data, 4 + meta, &at),
                          MSGPACK_UNPACK_SUCCESS);
        assert_int_equal (at, 4 + meta);
        char printed[512] = "";
        msgpack_object_print_buffer (printed, sizeof (printed), unpacked.data);
        assert_string_equal (printed, s_samples[i].printed);
        msgpack_unpacked_destroy (&unpacked);
        bn_blob_unref (&body);
    }
}

static void test_every_record_survives_a_round_trip (void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT (s_samples); i++) {
        bn_blob_t *body = bn_record_encode (&s_samples[i].record);
        bn_record_t record;
        char what[256] = "";
        if (bn_record_decode (&record, s_samples[i].record.type, 0, body->data, body->size, what))
            fail_msg ("%s: %s", s_samples[i].printed, what);
        assert_int_equal (record.type, s_samples[i].record.type);
        bn_blob_t *again = bn_record_encode (&record);
        assert_int_equal (again->size, body->size);
        assert_memory_equal (again->data, body->data, body->size);
        bn_record_fini (&record);
        bn_blob_unref (&again);
        bn_blob_unref (&body);
    }
}

static void test_sections_know_their_offsets_and_payloads (void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT (s_samples); i++) {
        uint32_t type = s_samples[i].record.type;
        bn_blob_t *body = bn_record_encode (&s_samples[i].record);
        bn_section_t *sections;
        uint32_t count;
        assert_int_equal (
            bn_record_sections (type, 1000, body->data, body->size, &sections, &count), BATON_OK);
        bool some = s_samples[i].record.type == BN_RECORD_PUBLISH ||
                    (type == BN_RECORD_SETTLE && s_samples[i].record.settle.section_count);
        assert_int_equal (count, some ? 2 : 0);
        if (some) {
            assert_int_equal (sections[0].base, 1000);
            assert_int_equal (sections[1].base, 1002);
            assert_int_equal (sections[0].payload.size, 3);
            assert_memory_equal (sections[0].payload.data, "abc", 3);
            assert_memory_equal (sections[1].payload.data, "de", 2);
            assert_ptr_equal (sections[1].payload.data, body->data + body->size - 2);
            assert_memory_equal (sections[1].topic.text, "$dead.p", 7);
            bn_record_t record;
            assert_int_equal (bn_record_decode (&record, type, 1000, body->data, body->size, NULL),
                              BATON_OK);
            bn_section_t *full =
                type == BN_RECORD_PUBLISH ? record.publish.sections : record.settle.sections;
            assert_int_equal (full[1].base, 1002);
            assert_ptr_equal (full[1].payload.data, sections[1].payload.data);
            bn_record_fini (&record);
        }
        bn_section_array_free (sections, count);
        bn_blob_unref (&body);
    }
}

static void test_a_record_cut_anywhere_is_rot (void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT (s_samples); i++) {
        uint32_t type = s_samples[i].record.type;
        bn_blob_t *body = bn_record_encode (&s_samples[i].record);
        for (size_t size = 0; size < body->size; size++) {
            void *cut = exactly (body->data, size);
            bn_record_t record;
            char what[256] = "";
            assert_int_equal (bn_record_decode (&record, type, 0, cut, size, what), BATON_ERR_ROT);
            assert_true (strlen (what) > 0);
            bn_section_t *sections;
            uint32_t count;
            if (type == BN_RECORD_PUBLISH || type == BN_RECORD_SETTLE)
                assert_int_equal (bn_record_sections (type, 0, cut, size, &sections, &count),
                                  BATON_ERR_ROT);
            free (cut);
        }
        uint8_t *longer = malloc (body->size + 1);
        memcpy (longer, body->data, body->size);
        longer[body->size] = 0;
        bn_record_t record;
        assert_int_equal (bn_record_decode (&record, type, 0, longer, body->size + 1, NULL),
                          BATON_ERR_ROT);
        free (longer);
        bn_blob_unref (&body);
    }
}

static void test_an_unknown_record_is_of_a_newer_version (void **state)
{
    (void)state;
    bn_record_t record;
    bn_section_t *sections;
    uint32_t count;
    char what[256];
    assert_int_equal (bn_record_decode (&record, 0, 0, "", 0, what), BATON_ERR_FORMAT);
    assert_int_equal (bn_record_decode (&record, BN_RECORD_LOST + 1, 0, "", 0, what),
                      BATON_ERR_FORMAT);
    assert_int_equal (bn_record_sections (BN_RECORD_LOST + 1, 0, "", 0, &sections, &count),
                      BATON_ERR_FORMAT);
}

static void test_contradictions_are_rot (void **state)
{
    (void)state;
    uint64_t twice[] = {5, 5};
    bn_owner_t owner = {0, 1, TEXT ("no/name"), 1};
    bn_record_t records[] = {
        {.type = BN_RECORD_REDRIVE, .dead = {1, twice, 2}},
        {.type = BN_RECORD_ASSIGN, .assign = {1, &owner, 1}},
        {.type = BN_RECORD_GENESIS, .genesis = {1, 0}},
        {.type = BN_RECORD_GENESIS, .genesis = {1, 257}},
    };
    for (size_t i = 0; i < COUNT (records); i++) {
        bn_blob_t *body = bn_record_encode (&records[i]);
        bn_record_t decoded;
        assert_int_equal (
            bn_record_decode (&decoded, records[i].type, 0, body->data, body->size, NULL),
            BATON_ERR_ROT);
        bn_blob_unref (&body);
    }
}

static baton_err_t decode_suspicion (const char *array, size_t size)
{
    uint8_t body[64] = {(uint8_t)(size + 3), 0, 0, 0, 0x92, 0x01, 0x91};
    memcpy (body + 7, array, size);
    bn_record_t record;
    baton_err_t err = bn_record_decode (&record, BN_RECORD_SUSPECT, 0, body, size + 7, NULL);
    if (!err) {
        assert_int_equal (record.suspect.suspicions[0].charged, 4);
        bn_record_fini (&record);
    }
    return err;
}

/*  Records from before there were reasons have one field less, and still mean what they meant.  */
static void test_a_reason_may_be_left_out_and_nothing_else (void **state)
{
    (void)state;
    assert_int_equal (decode_suspicion ("\x94\x02\x03\x04\x05", 5), BATON_OK);
    assert_int_equal (decode_suspicion ("\x95\x02\x03\x04\x05\xa1x", 7), BATON_OK);
    assert_int_equal (decode_suspicion ("\x95\x02\x03\x04\x05\xa0", 6), BATON_OK);
    assert_int_equal (decode_suspicion ("\x93\x02\x03\x04", 4), BATON_ERR_ROT);
    assert_int_equal (decode_suspicion ("\x96\x02\x03\x04\x05\xa1x\x01", 8), BATON_ERR_ROT);
    assert_int_equal (decode_suspicion ("\x95\x02\x03\x04\x05\xa1\xff", 7), BATON_ERR_ROT);
}

static void test_random_damage (void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        const bn_record_t *sample = &s_samples[bn_prng_below (&prng, COUNT (s_samples))].record;
        bn_blob_t *body = bn_record_encode (sample);
        uint8_t *damaged = exactly (body->data, body->size);
        for (uint64_t flips = 1 + bn_prng_below (&prng, 4); flips; flips--)
            damaged[bn_prng_below (&prng, body->size)] ^= (uint8_t)(1u << bn_prng_below (&prng, 8));
        bn_record_t record;
        if (!bn_record_decode (&record, sample->type, 0, damaged, body->size, NULL))
            bn_record_fini (&record);
        bn_section_t *sections;
        uint32_t count;
        if (!bn_record_sections (sample->type, 0, damaged, body->size, &sections, &count))
            bn_section_array_free (sections, count);
        free (damaged);
        bn_blob_unref (&body);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_record_looks_as_the_format_says),
        cmocka_unit_test (test_every_record_survives_a_round_trip),
        cmocka_unit_test (test_sections_know_their_offsets_and_payloads),
        cmocka_unit_test (test_a_record_cut_anywhere_is_rot),
        cmocka_unit_test (test_an_unknown_record_is_of_a_newer_version),
        cmocka_unit_test (test_contradictions_are_rot),
        cmocka_unit_test (test_a_reason_may_be_left_out_and_nothing_else),
        cmocka_unit_test (test_random_damage),
    };
    return cmocka_run_group_tests_name ("wire.record", tests, NULL, NULL);
}
