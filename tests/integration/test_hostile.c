/* SPDX-License-Identifier: MPL-2.0 */

/*  Valid messages with a few bytes changed, cut off, or with frames too many or too few: whatever
 *  comes of them, the orchestrator goes on and what others were promised stays true.
 *
 *  The seed is printed; BATON_TEST_SEED=N runs the same again.  */

#include "base/prng.h"
#include "integration/peer.h"
#include "shell/clock.h"
#include <baton/orchestrator.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS     4000
#define FRAMES_MAX 4

typedef struct {
    uint8_t *bytes[FRAMES_MAX]; /* owned */
    size_t sizes[FRAMES_MAX];
    size_t count;
} raw_t;

static void raw_add (raw_t *raw, const void *bytes, size_t size)
{
    raw->bytes[raw->count] = malloc (size + 1);
    memcpy (raw->bytes[raw->count], bytes, size);
    raw->sizes[raw->count++] = size;
}

static void raw_free (raw_t *raw)
{
    for (size_t i = 0; i < raw->count; i++)
        free (raw->bytes[i]);
    *raw = (raw_t){.count = 0};
}

/*  A PUBLISH of three events, as frames.  */
static void make_publish (raw_t *raw, uint64_t sequence)
{
    bn_sections_t *sections = bn_sections_new (4, 1024 * 1024);
    for (uint32_t i = 0; i < 3; i++) {
        bn_event_fields_t event = {
            .id_prefix = peer_text ("hostile"),
            .id_number_set = true,
            .id_number = i,
            .key = peer_text ("one key"),
            .source = peer_text ("/tests/hostile"),
            .datacontenttype = peer_text (""),
            .dataschema = peer_text ("urn:x"),
            .data = (const uint8_t *)"\x82\xa1x\x01\xa1y\x93\x01\x02\x03",
            .data_size = 10,
        };
        assert_int_equal (bn_sections_add (sections, "a.b", 3, &event, 0), BATON_OK);
    }
    bn_message_t message = {
        .type = BN_PUBLISH,
        .request = 9,
        .publish = {.producer_id = 31, .sequence = sequence},
    };
    message.publish.sections = bn_sections_take (sections, &message.publish.section_count);
    bn_blob_t *head = bn_message_encode (&message);
    raw_add (raw, head->data, head->size);
    for (uint32_t i = 0; i < message.publish.section_count && raw->count < FRAMES_MAX; i++)
        raw_add (raw, message.publish.sections[i].payload.data,
                 message.publish.sections[i].payload.size);
    bn_blob_unref (&head);
    bn_section_array_free (message.publish.sections, message.publish.section_count);
    bn_sections_destroy (&sections);
}

/*  One of each kind of request, as frames.  */
static void make (raw_t *raw, uint64_t kind)
{
    bn_text_t pattern = peer_text ("a.*");
    bn_parked_t park = {.offset = 1, .attempts = 1, .due_ms = 5, .key_hash = 7};
    bn_settlement_t settlement = {
        .partition = 1, .generation = 1, .floor = 2, .handled = 1, .parks = &park, .park_count = 1};
    bn_fetch_t fetch = {.partition = 1, .generation = 1, .from = 0};
    uint64_t offset = 3;
    const bn_message_t messages[] = {
        {.type = BN_HELLO, .hello = {BN_ROLE_ACTOR, peer_text ("h"), 31}},
        {.type = BN_JOIN,
         .join = {.actor = peer_text ("hostile"),
                  .instance = peer_text ("hostile-1"),
                  .incarnation = 31,
                  .patterns = &pattern,
                  .pattern_count = 1,
                  .policy = {5, 100, 1000, 1000}}},
        {.type = BN_FETCH,
         .fetch = {.bytes_max = 1000, .partitions = &fetch, .partition_count = 1}},
        {.type = BN_FETCH, .fetch = {.bytes_max = 1000, .offsets = &offset, .offset_count = 1}},
        {.type = BN_SETTLE, .settle = {.settlements = &settlement, .settlement_count = 1}},
        {.type = BN_BEGIN, .begin = {.partition = 1, .generation = 1, .offset = 0}},
        {.type = BN_HEARTBEAT, .heartbeat = {.version = 1}},
        {.type = BN_LEAVE, .leave = {.partition = 0, .offset = BN_NO_OFFSET}},
        {.type = BN_STATUS},
        {.type = BN_READ, .read = {.bytes_max = 1000, .patterns = &pattern, .pattern_count = 1}},
        {.type = BN_DEAD, .dead = {.op = BN_DEAD_REDRIVE, .actor = peer_text ("hostile")}},
        {.type = BN_FORGET, .forget = peer_text ("hostile")},
        {.type = BN_EXPLAIN, .explain = {.actor = peer_text ("hostile"), .key = peer_text ("k")}},
        {.type = BN_GONE, .gone = {.instance = peer_text ("x"), .incarnation = 1}},
    };
    size_t count = sizeof messages / sizeof *messages;
    if (kind % (count + 2) >= count) {
        make_publish (raw, 1);
        return;
    }
    bn_message_t message = messages[kind % (count + 2)];
    message.request = 9;
    bn_blob_t *head = bn_message_encode (&message);
    assert_non_null (head);
    raw_add (raw, head->data, head->size);
    bn_blob_unref (&head);
}

static void mutate (raw_t *raw, bn_prng_t *prng)
{
    size_t frame = bn_prng_below (prng, raw->count);
    uint8_t *bytes = raw->bytes[frame];
    size_t *size = &raw->sizes[frame];
    for (uint64_t changes = 1 + bn_prng_below (prng, 3); changes > 0 && *size > 0; changes--) {
        size_t at = bn_prng_below (prng, *size);
        switch (bn_prng_below (prng, 8)) {
        case 0:
            *size = at; /* cut off */
            break;
        case 1:
            memmove (bytes + at, bytes + at + 1, *size - at - 1);
            (*size)--;
            break;
        case 2:
            bytes[at] = (uint8_t)(0xc0 + bn_prng_below (prng, 64)); /* another MessagePack type */
            break;
        case 3:
            bytes[at] ^= (uint8_t)(1u << bn_prng_below (prng, 8));
            break;
        case 4:
            bytes[at] = 0xff;
            break;
        case 5:
            if (raw->count < FRAMES_MAX)
                raw_add (raw, bytes, *size);
            break;
        default:
            bytes[at] = (uint8_t)bn_prng_next (prng);
        }
    }
}

/*  Its answer, BEAT with request 0, looks like one that nobody asked for.  */
static bool is_silent (const bn_frame_t *frames, size_t count)
{
    bn_message_t message;
    if (bn_message_decode (&message, frames, count, NULL) != BATON_OK)
        return false;
    bool silent = message.type == BN_HEARTBEAT && message.request == 0;
    bn_message_fini (&message);
    return silent;
}

/*  true: an answer is due.  */
static bool send_mutated (peer_t *peer, bn_prng_t *prng)
{
    raw_t raw = {.count = 0};
    make (&raw, bn_prng_next (prng));
    if (bn_prng_below (prng, 8) > 0)
        mutate (&raw, prng);
    bn_frame_t frames[FRAMES_MAX];
    for (size_t i = 0; i < raw.count; i++)
        frames[i] = (bn_frame_t){raw.bytes[i], raw.sizes[i]};
    bool silent = is_silent (frames, raw.count);
    peer_send_raw (peer, frames, raw.count);
    raw_free (&raw);
    return !silent;
}

/*  Takes one answer and counts it; what it says is not of interest.  */
static bool take_answer (peer_t *peer, uint32_t *answers, int timeout_ms)
{
    if (!peer_receive (peer, timeout_ms))
        return false;
    *answers += peer->reply.type != BN_BEAT || peer->reply.request != 0;
    return true;
}

static int remove_entry (const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove (path);
}

static char directory[64];
static baton_orchestrator_t *orchestrator;

static void start (void)
{
    char detail[512] = "";
    baton_orchestrator_options_t options = {
        .data_dir = directory,
        .endpoint = "tcp://127.0.0.1:*",
        .partitions = 4,
        .disk_reserve_bytes = 1,
        .sync = BATON_SYNC_NEVER,
    };
    baton_err_t err = baton_orchestrator_new (&orchestrator, &options, detail, sizeof detail);
    assert_string_equal (detail, "");
    assert_int_equal (err, BATON_OK);
}

static int setup (void **state)
{
    (void)state;
    strcpy (directory, "/tmp/baton-test-XXXXXX");
    assert_non_null (mkdtemp (directory));
    start ();
    return 0;
}

static int teardown (void **state)
{
    (void)state;
    baton_orchestrator_destroy (&orchestrator);
    return nftw (directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_mutated_messages_hurt_nobody (void **state)
{
    (void)state;
    const char *given = getenv ("BATON_TEST_SEED");
    uint64_t seed = given ? strtoull (given, NULL, 10) : bn_random_u64 ();
    print_message ("BATON_TEST_SEED=%" PRIu64 "\n", seed);
    bn_prng_t prng;
    bn_prng_init (&prng, seed);
    peer_t honest, hostile;
    peer_init (&honest, baton_orchestrator_endpoint (orchestrator));
    peer_hello (&honest, BN_ROLE_PRODUCER, 11);
    peer_init (&hostile, baton_orchestrator_endpoint (orchestrator));
    uint32_t answers = 0, due = 0;
    uint64_t sequence = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        due += send_mutated (&hostile, &prng);
        while (take_answer (&hostile, &answers, 0))
            ;
        if (i % 100 == 0)
            assert_int_equal (peer_publish (&honest, 11, ++sequence, "h.x", 1, 0)->type,
                              BN_RECEIPT);
    }
    /*  Every request was answered, by name if not by deed.  */
    while (answers < due && take_answer (&hostile, &answers, 10000))
        ;
    assert_int_equal (answers, due);
    assert_int_equal (baton_orchestrator_failure (orchestrator, NULL, 0), BATON_OK);
    peer_fini (&hostile);
    peer_fini (&honest);

    /*  What was written is a journal that a new start accepts, with all that was receipted.  */
    baton_orchestrator_destroy (&orchestrator);
    start ();
    peer_init (&honest, baton_orchestrator_endpoint (orchestrator));
    peer_hello (&honest, BN_ROLE_PRODUCER, 11);
    assert_int_equal (honest.producer_sequence, sequence);
    peer_fini (&honest);
}

/*  Asks for far more than fits into any queue and reads nothing: most of it is refused, by name,
 *  and the orchestrator's memory does not grow with it.  */
static void ask_without_reading (peer_t *honest, bn_message_t *request, bn_message_type_t answer)
{
    enum { REQUESTS = 400 };
    peer_t greedy;
    peer_init (&greedy, baton_orchestrator_endpoint (orchestrator));
    int one = 1, window = 16384;
    zmq_setsockopt (greedy.socket, ZMQ_RCVHWM, &one, sizeof one);
    zmq_setsockopt (greedy.socket, ZMQ_RCVBUF, &window, sizeof window);
    zmq_disconnect (greedy.socket, baton_orchestrator_endpoint (orchestrator));
    zmq_connect (greedy.socket, baton_orchestrator_endpoint (orchestrator));
    peer_hello (&greedy, BN_ROLE_ACTOR, 12);
    request->request = 9;
    bn_blob_t *head = bn_message_encode (request);
    bn_frame_t frame = {head->data, head->size};
    for (int i = 0; i < REQUESTS; i++)
        peer_send_raw (&greedy, &frame, 1);
    bn_blob_unref (&head);

    /*  Behind them a request that others can see the effect of: when it has been carried out, so
     *  have the ones before it.  */
    peer_join_only (&greedy, "greedy", "greedy-1", 12, "x.y");
    peer_hello (honest, BN_ROLE_ADMIN, 13);
    bn_message_t list = {.type = BN_DEAD, .dead = {.actor = peer_text ("greedy"), .count_max = 1}};
    while (peer_request (honest, &list)->type == BN_ERROR)
        assert_int_equal (honest->reply.error.code, BATON_ERR_NOT_FOUND);

    int answered = 0, refused = 0;
    do {
        assert_non_null (peer_receive (&greedy, 10000));
        answered += greedy.reply.type == answer;
        refused += greedy.reply.type == BN_ERROR;
        if (greedy.reply.type == BN_ERROR)
            assert_int_equal (greedy.reply.error.code, BATON_ERR_LIMIT);
        assert_int_equal (greedy.reply.request,
                          greedy.reply.type == BN_JOINED ? greedy.request : 9);
    } while (greedy.reply.type != BN_JOINED);
    assert_int_equal (answered + refused, REQUESTS);
    /*  Sixteen wait in the orchestrator; some more have gone into the system's buffers.  */
    assert_in_range (answered, 1, REQUESTS / 4);
    /*  Once it has read them it is served as before.  */
    assert_int_equal (peer_request (&greedy, request)->type, answer);
    peer_fini (&greedy);
}

static void test_a_peer_that_does_not_read_is_limited (void **state)
{
    (void)state;
    peer_t honest;
    peer_init (&honest, baton_orchestrator_endpoint (orchestrator));
    peer_hello (&honest, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&honest, 11, 1, "big.data", 8, 250000)->type, BN_RECEIPT);
    bn_message_t read = {.type = BN_READ, .read = {.bytes_max = 2100000}};
    ask_without_reading (&honest, &read, BN_EVENTS);
    peer_fini (&honest);
}

/*  The same with answers that hold no events: they are bounded by bytes, too.  */
static void test_a_peer_that_does_not_read_a_status_is_limited (void **state)
{
    (void)state;
    enum { TOPICS = 600 };
    peer_t honest;
    peer_init (&honest, baton_orchestrator_endpoint (orchestrator));
    peer_hello (&honest, BN_ROLE_PRODUCER, 11);
    for (uint64_t i = 1; i <= TOPICS; i++) {
        char topic[BATON_TOPIC_BYTES_MAX + 1];
        snprintf (topic, sizeof topic, "%0*" PRIu64, BATON_TOPIC_BYTES_MAX, i);
        assert_int_equal (peer_publish (&honest, 11, i, topic, 1, 1)->type, BN_RECEIPT);
    }
    bn_message_t status = {.type = BN_STATUS};
    ask_without_reading (&honest, &status, BN_STATUS_REPLY);
    peer_fini (&honest);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (test_mutated_messages_hurt_nobody),
        TEST (test_a_peer_that_does_not_read_is_limited),
        TEST (test_a_peer_that_does_not_read_a_status_is_limited),
    };
    return cmocka_run_group_tests_name ("hostile", tests, NULL, NULL);
}
