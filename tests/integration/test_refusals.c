/* SPDX-License-Identifier: MPL-2.0 */

/*  What a peer may get wrong, one thing at a time over a real socket: each is refused by its name,
 *  changes nothing, and the next request of the same connection is served.  */

#include "base/hash.h"
#include "integration/peer.h"
#include <baton/orchestrator.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS 4

static char directory[64];
static baton_orchestrator_t *orchestrator;

static int remove_entry (const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove (path);
}

static int setup (void **state)
{
    (void)state;
    strcpy (directory, "/tmp/baton-test-XXXXXX");
    assert_non_null (mkdtemp (directory));
    baton_orchestrator_options_t options = {
        .data_dir = directory,
        .endpoint = "tcp://127.0.0.1:*",
        .partitions = PARTITIONS,
        .disk_reserve_bytes = 1,
        .segment_bytes = 1024 * 1024,
    };
    char detail[512] = "";
    baton_err_t err = baton_orchestrator_new (&orchestrator, &options, detail, sizeof detail);
    assert_string_equal (detail, "");
    assert_int_equal (err, BATON_OK);
    return 0;
}

static int teardown (void **state)
{
    (void)state;
    baton_orchestrator_destroy (&orchestrator);
    return nftw (directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void connect_as (peer_t *peer, bn_role_t role, uint64_t incarnation)
{
    peer_init (peer, baton_orchestrator_endpoint (orchestrator));
    peer_hello (peer, role, incarnation);
}

static void expect_error (const bn_message_t *reply, baton_err_t err)
{
    assert_non_null (reply);
    assert_int_equal (reply->type, BN_ERROR);
    char name[64];
    snprintf (name, sizeof name, "%.*s", (int)reply->error.name.size, reply->error.name.text);
    assert_string_equal (name, baton_err_name (err));
    assert_int_equal (reply->error.code, err);
    assert_true (reply->error.text.size > 0);
}

/*  ---- envelopes and fields ---- */

typedef struct {
    const char *bytes;
    size_t size;
    baton_err_t err;
} raw_t;

#define RAW(text, err)                                                                             \
    {                                                                                              \
        text, sizeof text - 1, err                                                                 \
    }

/*  HELLO is [request, role, name, incarnation], JOIN begins [request, actor, instance, ...].  */
static const raw_t raws[] = {
    RAW ("", BATON_ERR_MALFORMED),
    RAW ("BT\x01", BATON_ERR_MALFORMED),
    RAW ("HTTP/1.1 GET /", BATON_ERR_MALFORMED),
    RAW ("BT\x02\x01\x94\x07\x03\xa1x\x09", BATON_ERR_VERSION),
    RAW ("BT\x00\x01\x94\x07\x03\xa1x\x09", BATON_ERR_VERSION),
    RAW ("BT\x01\x7e\x91\x07", BATON_ERR_UNKNOWN_TYPE),
    /*  Truncated, and with more behind it than there should be.  */
    RAW ("BT\x01\x01\x94\x07\x03\xa1", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x03\xa1x\x09\xc0", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x93\x07\x03\xa1x", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x95\x07\x03\xa1x\x09\xc0", BATON_ERR_MALFORMED),
    /*  Each field of another type, or out of its range.  */
    RAW ("BT\x01\x01\x94\xa1q\x03\xa1x\x09", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\xc3\xa1x\x09", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x09\xa1x\x09", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x03\x05\x09", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x03\xa1\xff\x09", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x03\xa1x\xff", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x03\xa1x\xa1x", BATON_ERR_MALFORMED),
    /*  Lengths and counts that lie; nesting where a number belongs.  */
    RAW ("BT\x01\x01\x94\x07\x03\xdb\xff\xff\xff\xff", BATON_ERR_TOO_LARGE),
    RAW ("BT\x01\x01\xdd\xff\xff\xff\xff", BATON_ERR_MALFORMED),
    RAW ("BT\x01\x01\x94\x07\x91\x91\x91\x91\x91\x91\x91\x91\x01\xa1x\x09", BATON_ERR_MALFORMED),
};

static void test_envelopes_and_fields (void **state)
{
    (void)state;
    peer_t peer;
    connect_as (&peer, BN_ROLE_ADMIN, 11);
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++) {
        print_message ("raw message %zu\n", i);
        peer_send_raw (&peer, &(bn_frame_t){raws[i].bytes, raws[i].size}, 1);
        expect_error (peer_receive (&peer, 10000), raws[i].err);
    }
    assert_int_equal (peer_read (&peer, 0, 1000)->type, BN_EVENTS);
    peer_fini (&peer);
}

/*  ---- publishing ---- */

/*  A payload with one event, whatever is wrong with it.  */
static void make_payload (bn_buffer_t *out, const char *key, size_t key_size, const void *data,
                          uint32_t data_size)
{
    uint8_t key_head[] = {0xda, (uint8_t)(key_size >> 8), (uint8_t)key_size};
    uint8_t data_head[] = {0x00,
                           0xc6,
                           (uint8_t)(data_size >> 24),
                           (uint8_t)(data_size >> 16),
                           (uint8_t)(data_size >> 8),
                           (uint8_t)data_size};
    bn_buffer_append (out, "\x95\xa1p\xa2/t\x01\xa0\xa0\x95\x01", 11);
    bn_buffer_append (out, key_head, sizeof key_head);
    bn_buffer_append (out, key, key_size);
    bn_buffer_append (out, data_head, sizeof data_head);
    bn_buffer_append (out, data, data_size);
    bn_buffer_append (out, "\xc0", 1);
}

/*  PUBLISH with sequence 1 of one event in the key's partition; `shift`: in another one.  */
static const bn_message_t *publish (peer_t *peer, const char *topic, size_t key_size,
                                    const void *data, size_t data_size, uint32_t shift)
{
    char key[1024];
    memset (key, 'k', sizeof key);
    bn_buffer_t payload;
    bn_buffer_init (&payload, 4 * 1024 * 1024);
    make_payload (&payload, key, key_size, data, (uint32_t)data_size);
    bn_section_t section = {
        .topic = peer_text (topic),
        .partition = bn_hash_partition (bn_hash (key, key_size), PARTITIONS) + shift,
        .count = 1,
        .payload = {NULL, bn_buffer_data (&payload), payload.size},
    };
    if (shift == 1)
        section.partition %= PARTITIONS;
    bn_message_t message = {
        .type = BN_PUBLISH,
        .publish = {.producer_id = 11, .sequence = 1, .sections = &section, .section_count = 1},
    };
    const bn_message_t *reply = peer_request (peer, &message);
    bn_buffer_fini (&payload);
    return reply;
}

static void test_publications (void **state)
{
    (void)state;
    static uint8_t large[BATON_DATA_BYTES_MAX + 1];
    memset (large, 0x90, sizeof large);
    uint8_t deep[BATON_DATA_DEPTH_MAX + 1];
    memset (deep, 0x91, sizeof deep);
    deep[BATON_DATA_DEPTH_MAX] = 0x90;
    static uint8_t deeper[100000];
    memset (deeper, 0x91, sizeof deeper);
    char long_topic[BATON_TOPIC_BYTES_MAX + 2];
    memset (long_topic, 't', sizeof long_topic);
    long_topic[BATON_TOPIC_BYTES_MAX + 1] = 0;
    const struct {
        const char *topic;
        size_t key_size;
        const void *data;
        size_t data_size;
        uint32_t shift;
        baton_err_t err;
    } wrong[] = {
        {long_topic, 1, "\x90", 1, 0, BATON_ERR_TOPIC},
        {"no topic", 1, "\x90", 1, 0, BATON_ERR_TOPIC},
        {"", 1, "\x90", 1, 0, BATON_ERR_TOPIC},
        {"$dead.x", 1, "\x90", 1, 0, BATON_ERR_TOPIC},
        {"a", BATON_KEY_BYTES_MAX + 1, "\x90", 1, 0, BATON_ERR_KEY},
        {"a", 1, "\x90", 1, 1, BATON_ERR_KEY},
        {"a", 1, "\x90", 1, 2 * PARTITIONS, BATON_ERR_PARTITION},
        {"a", 1, large, sizeof large, 0, BATON_ERR_TOO_LARGE},
        {"a", 1, deep, sizeof deep, 0, BATON_ERR_TOO_DEEP},
        {"a", 1, deeper, sizeof deeper, 0, BATON_ERR_TOO_DEEP},
        {"a", 1, "\xdf\xff\xff\xff\xff", 5, 0, BATON_ERR_MALFORMED},
        {"a", 1, "\x92\x01", 2, 0, BATON_ERR_MALFORMED},
        {"a", 1, "\x01\x01", 2, 0, BATON_ERR_MALFORMED},
    };
    peer_t peer;
    connect_as (&peer, BN_ROLE_PRODUCER, 11);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        print_message ("publication %zu\n", i);
        expect_error (publish (&peer, wrong[i].topic, wrong[i].key_size, wrong[i].data,
                               wrong[i].data_size, wrong[i].shift),
                      wrong[i].err);
    }
    /*  None of them took the sequence number; what is at its limits is accepted.  */
    long_topic[BATON_TOPIC_BYTES_MAX] = 0;
    const bn_message_t *reply =
        publish (&peer, long_topic, BATON_KEY_BYTES_MAX, deep + 1, BATON_DATA_DEPTH_MAX, 0);
    assert_int_equal (reply->type, BN_RECEIPT);
    assert_int_equal (reply->receipt.base, 0);
    peer_fini (&peer);
}

/*  ---- settling ---- */

static const bn_message_t *settle (peer_t *peer, bn_settlement_t settlement)
{
    bn_message_t message = {
        .type = BN_SETTLE,
        .settle = {.settlements = &settlement, .settlement_count = 1},
    };
    return peer_request (peer, &message);
}

static void expect_refused (const bn_message_t *reply, baton_err_t err, uint32_t partition)
{
    expect_error (reply, err);
    assert_int_equal (reply->error.detail, partition);
}

static void test_settles (void **state)
{
    (void)state;
    peer_t producer, owner, other;
    connect_as (&producer, BN_ROLE_PRODUCER, 11);
    connect_as (&owner, BN_ROLE_ACTOR, 21);
    connect_as (&other, BN_ROLE_ACTOR, 22);
    uint32_t mine = bn_hash_partition (bn_hash ("k0", 2), PARTITIONS);
    const bn_message_t *reply = peer_join (&owner, "payment", "payment-1", 21, "orders.placed");
    assert_int_equal (reply->type, BN_JOINED);
    assert_int_equal (reply->beat.assignment_count, PARTITIONS);
    uint64_t generation = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (reply->beat.assignments[i].partition == mine)
            generation = reply->beat.assignments[i].generation;
    assert_true (generation > 0);
    assert_int_equal (peer_join (&other, "payment", "payment-2", 22, "orders.placed")->type,
                      BN_JOINED);
    for (uint64_t sequence = 1; sequence <= 3; sequence++)
        assert_int_equal (peer_publish (&producer, 11, sequence, "orders.placed", 1, 0)->type,
                          BN_RECEIPT);

    const bn_settlement_t good = {
        .partition = mine, .generation = generation, .floor = 2, .handled = 2};
    bn_settlement_t wrong = good;
    expect_refused (settle (&other, good), BATON_ERR_NOT_OWNER, mine);
    wrong.generation = generation + 1;
    expect_refused (settle (&owner, wrong), BATON_ERR_NOT_OWNER, mine);
    wrong.generation = generation - 1;
    expect_refused (settle (&owner, wrong), BATON_ERR_FENCED, mine);
    wrong = good;
    wrong.partition = 200;
    expect_refused (settle (&owner, wrong), BATON_ERR_PARTITION, 200);
    /*  Offsets that are not there, or were never parked.  */
    wrong = good;
    wrong.floor = 4;
    expect_refused (settle (&owner, wrong), BATON_ERR_OFFSET, mine);
    wrong = good;
    wrong.handled = 3;
    expect_refused (settle (&owner, wrong), BATON_ERR_OFFSET, mine);
    uint64_t done = 1;
    wrong = good;
    wrong.dones = &done;
    wrong.done_count = 1;
    expect_refused (settle (&owner, wrong), BATON_ERR_OFFSET, mine);
    bn_parked_t park = {.offset = 77, .attempts = 1, .due_ms = 5, .key_hash = 7};
    wrong = good;
    wrong.parks = &park;
    wrong.park_count = 1;
    expect_refused (settle (&owner, wrong), BATON_ERR_OFFSET, mine);
    /*  In the wrong role.  */
    expect_error (settle (&producer, good), BATON_ERR_ARGUMENT);

    assert_int_equal (settle (&owner, good)->type, BN_SETTLED);
    expect_refused (settle (&owner, good), BATON_ERR_OFFSET, mine);
    wrong = good;
    wrong.floor = 1;
    wrong.handled = 0;
    expect_refused (settle (&owner, wrong), BATON_ERR_OFFSET, mine);
    bn_settlement_t last = good;
    last.floor = 3;
    last.handled = 1;
    assert_int_equal (settle (&owner, last)->type, BN_SETTLED);
    peer_fini (&other);
    peer_fini (&owner);
    peer_fini (&producer);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (test_envelopes_and_fields),
        TEST (test_publications),
        TEST (test_settles),
    };
    return cmocka_run_group_tests_name ("refusals", tests, NULL, NULL);
}
