/* SPDX-License-Identifier: MPL-2.0 */

/*  An embedded orchestrator and peers that speak the protocol by hand.  */

#include "integration/peer.h"
#include "shell/clock.h"
#include <baton/orchestrator.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char directory[64];
    baton_orchestrator_options_t options;
    baton_orchestrator_t *orchestrator;
} fixture_t;

static fixture_t fixture;

static void start (void)
{
    char detail[512] = "";
    baton_err_t err =
        baton_orchestrator_new (&fixture.orchestrator, &fixture.options, detail, sizeof detail);
    assert_string_equal (detail, "");
    assert_int_equal (err, BATON_OK);
}

static void restart (void)
{
    baton_orchestrator_destroy (&fixture.orchestrator);
    start ();
}

static const char *endpoint (void)
{
    return baton_orchestrator_endpoint (fixture.orchestrator);
}

static int setup (void **state)
{
    (void)state;
    strcpy (fixture.directory, "/tmp/baton-test-XXXXXX");
    assert_non_null (mkdtemp (fixture.directory));
    fixture.options = (baton_orchestrator_options_t){
        .data_dir = fixture.directory,
        .endpoint = "tcp://127.0.0.1:*",
        .partitions = 4,
        .disk_reserve_bytes = 1,
        .segment_bytes = 1024 * 1024,
    };
    return 0;
}

static int remove_entry (const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove (path);
}

static int teardown (void **state)
{
    (void)state;
    baton_orchestrator_destroy (&fixture.orchestrator);
    return nftw (fixture.directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void expect_error (const bn_message_t *reply, baton_err_t err)
{
    assert_int_equal (reply->type, BN_ERROR);
    assert_int_equal (reply->error.code, err);
    assert_true (reply->error.text.size > 0);
}

/*  Another peer is still served.  */
static void expect_serving (void)
{
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 777);
    const bn_message_t *reply =
        peer_publish (&peer, 777, peer.producer_sequence + 1, "alive.still", 1, 0);
    assert_int_equal (reply->type, BN_RECEIPT);
    peer_fini (&peer);
}

static void test_publish_is_receipted_and_read_back (void **state)
{
    (void)state;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer.partitions, 4);
    assert_int_equal (peer.tail, 0);
    assert_int_equal (peer.producer_sequence, 0);
    assert_memory_equal (peer.fanout_endpoint, "tcp://127.0.0.1:", 16);

    const bn_message_t *reply = peer_publish (&peer, 11, 1, "orders.placed", 7, 0);
    assert_int_equal (reply->type, BN_RECEIPT);
    assert_int_equal (reply->receipt.sequence, 1);
    assert_int_equal (reply->receipt.base, 0);
    assert_int_equal (reply->receipt.count, 7);
    assert_false (reply->receipt.duplicate);

    peer_hello (&peer, BN_ROLE_ADMIN, 12);
    reply = peer_read (&peer, 0, 1024 * 1024);
    assert_int_equal (reply->type, BN_EVENTS);
    assert_int_equal (reply->events.from, 0);
    assert_int_equal (reply->events.scanned_to, 7);
    assert_true (reply->events.at_tail);
    bool seen[7] = {false};
    uint64_t offset = 0;
    for (uint32_t i = 0; i < reply->events.section_count; i++) {
        const bn_section_t *section = &reply->events.sections[i];
        assert_int_equal (section->base, offset);
        assert_int_equal (section->topic.size, 13);
        assert_memory_equal (section->topic.text, "orders.placed", 13);
        bn_batch_reader_t reader;
        bn_event_fields_t event;
        assert_int_equal (bn_batch_reader_init (&reader, section->payload.data,
                                                section->payload.size, section->count),
                          BATON_OK);
        for (; bn_batch_next (&reader, &event); offset++) {
            assert_int_equal (event.key.size, 2);
            int number = event.key.text[1] - '0';
            assert_in_range (number, 0, 6);
            assert_false (seen[number]);
            seen[number] = true;
            assert_int_equal (event.data_size, 2);
            assert_int_equal (event.data[1], event.key.text[1]);
        }
    }
    assert_int_equal (offset, 7);
    peer_fini (&peer);
}

static void test_a_repeated_publish_is_not_doubled (void **state)
{
    (void)state;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    uint64_t journal_id = peer.journal_id;
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 3, 0)->type, BN_RECEIPT);
    const bn_message_t *reply = peer_publish (&peer, 11, 1, "a.b", 3, 0);
    assert_int_equal (reply->type, BN_RECEIPT);
    assert_true (reply->receipt.duplicate);
    assert_int_equal (reply->receipt.base, 0);
    reply = peer_publish (&peer, 11, 5, "a.b", 3, 0);
    expect_error (reply, BATON_ERR_SEQUENCE);
    assert_int_equal (reply->error.detail, 2);
    peer_fini (&peer);

    /*  What was receipted before a restart is known after it.  */
    restart ();
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer.journal_id, journal_id);
    assert_int_equal (peer.tail, 3);
    assert_int_equal (peer.producer_sequence, 1);
    reply = peer_publish (&peer, 11, 1, "a.b", 3, 0);
    assert_true (reply->receipt.duplicate);
    assert_int_equal (reply->receipt.base, 0);
    reply = peer_publish (&peer, 11, 2, "a.b", 2, 0);
    assert_false (reply->receipt.duplicate);
    assert_int_equal (reply->receipt.base, 3);
    peer_fini (&peer);
}

/*  Views are a convenience: without them, or with rubbish in their place, the journal tells.  */
static void test_lost_and_damaged_views_are_rebuilt (void **state)
{
    (void)state;
    char path[128];
    for (uint64_t round = 0; round < 3; round++) {
        start ();
        peer_t peer;
        peer_init (&peer, endpoint ());
        peer_hello (&peer, BN_ROLE_PRODUCER, 11);
        assert_int_equal (peer.tail, round * 2);
        assert_int_equal (peer.producer_sequence, round);
        assert_int_equal (peer_publish (&peer, 11, round + 1, "a.b", 2, 0)->type, BN_RECEIPT);
        peer_fini (&peer);
        baton_orchestrator_destroy (&fixture.orchestrator);
        snprintf (path, sizeof path, "%s/views", fixture.directory);
        if (round == 0)
            assert_int_equal (nftw (path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
        else {
            strcat (path, "/data.mdb");
            FILE *file = fopen (path, "r+");
            assert_non_null (file);
            for (int i = 0; i < 16384; i++)
                fputc (0x5a, file);
            fclose (file);
        }
    }
}

/*  Many small segments, checkpoints in between, a restart: every receipted event is still there. */
static void test_reads_across_segments_and_restarts (void **state)
{
    (void)state;
    fixture.options.checkpoint_bytes = 256 * 1024;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    for (uint64_t sequence = 1; sequence <= 60; sequence++)
        assert_int_equal (peer_publish (&peer, 11, sequence, "big.data", 2, 40000)->type,
                          BN_RECEIPT);
    peer_fini (&peer);
    restart ();
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_ADMIN, 12);
    assert_int_equal (peer.tail, 120);
    uint64_t from = 0, events = 0;
    bool at_tail = false;
    while (!at_tail) {
        const bn_message_t *reply = peer_read (&peer, from, 300000);
        assert_int_equal (reply->type, BN_EVENTS);
        assert_true (reply->events.scanned_to > from);
        size_t bytes = 0;
        for (uint32_t i = 0; i < reply->events.section_count; i++) {
            events += reply->events.sections[i].count;
            bytes += reply->events.sections[i].payload.size;
        }
        assert_in_range (bytes, 1, 300000);
        from = reply->events.scanned_to;
        at_tail = reply->events.at_tail;
    }
    assert_int_equal (from, 120);
    assert_int_equal (events, 120);
    peer_fini (&peer);
}

static void test_every_sync_policy_keeps_what_a_clean_stop_wrote (void **state)
{
    (void)state;
    baton_sync_t policies[] = {BATON_SYNC_ALWAYS, BATON_SYNC_INTERVAL, BATON_SYNC_NEVER};
    for (uint64_t i = 0; i < 3; i++) {
        fixture.options.sync = policies[i];
        start ();
        peer_t peer;
        peer_init (&peer, endpoint ());
        peer_hello (&peer, BN_ROLE_PRODUCER, 11);
        assert_int_equal (peer.tail, i * 5);
        assert_int_equal (peer_publish (&peer, 11, i + 1, "a.b", 5, 0)->type, BN_RECEIPT);
        peer_fini (&peer);
        baton_orchestrator_destroy (&fixture.orchestrator);
    }
}

static void test_one_process_owns_a_directory (void **state)
{
    (void)state;
    start ();
    baton_orchestrator_t *second;
    char detail[512] = "";
    assert_int_equal (baton_orchestrator_new (&second, &fixture.options, detail, sizeof detail),
                      BATON_ERR_LOCKED);
    assert_null (second);
    assert_non_null (strstr (detail, fixture.directory));
    expect_serving ();
}

/*  Gives the lock up a moment later, as a process does that is being killed.  */
static void *unlock_soon (void *arg)
{
    poll (NULL, 0, 100);
    close (*(int *)arg);
    return NULL;
}

static void test_an_owner_that_is_ending_is_waited_for (void **state)
{
    (void)state;
    char path[128];
    pthread_t thread;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf (path, sizeof path, "%s/lock", fixture.directory);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (fcntl (fd, F_OFD_SETLK, &whole), 0);
    assert_int_equal (pthread_create (&thread, NULL, unlock_soon, &fd), 0);
    start ();
    pthread_join (thread, NULL);
    expect_serving ();
}

static void test_an_address_in_use_is_refused (void **state)
{
    (void)state;
    start ();
    char other[64] = "/tmp/baton-test-XXXXXX", detail[512] = "";
    assert_non_null (mkdtemp (other));
    baton_orchestrator_options_t options = fixture.options;
    baton_orchestrator_t *second;
    options.data_dir = other;
    options.endpoint = endpoint ();
    assert_int_equal (baton_orchestrator_new (&second, &options, detail, sizeof detail),
                      BATON_ERR_ADDRESS);
    assert_non_null (strstr (detail, endpoint ()));
    /*  It has let go of the directory.  */
    options.endpoint = "tcp://127.0.0.1:*";
    assert_int_equal (baton_orchestrator_new (&second, &options, NULL, 0), BATON_OK);
    baton_orchestrator_destroy (&second);
    assert_int_equal (nftw (other, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    expect_serving ();
}

/*  libzmq would take the path of a UNIX socket away from whoever listens there.  */
static void test_an_ipc_endpoint_is_not_stolen (void **state)
{
    (void)state;
    char first[128], detail[512] = "";
    snprintf (first, sizeof first, "ipc://%s/socket", fixture.directory);
    fixture.options.endpoint = first;
    start ();
    char other[64] = "/tmp/baton-test-XXXXXX";
    assert_non_null (mkdtemp (other));
    baton_orchestrator_options_t options = fixture.options;
    baton_orchestrator_t *second;
    options.data_dir = other;
    assert_int_equal (baton_orchestrator_new (&second, &options, detail, sizeof detail),
                      BATON_ERR_ADDRESS);
    assert_int_equal (nftw (other, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    expect_serving ();
    /*  A socket file that nobody listens on any more is no obstacle.  */
    restart ();
    expect_serving ();
}

static void test_a_full_disk_refuses_producers_by_name (void **state)
{
    (void)state;
    fixture.options.disk_reserve_bytes = UINT64_C (1) << 62;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    const bn_message_t *reply = peer_publish (&peer, 11, 1, "a.b", 1, 0);
    expect_error (reply, BATON_ERR_DISK_FULL);
    assert_true (reply->error.retriable);
    peer_fini (&peer);
    fixture.options.disk_reserve_bytes = 1;
    restart ();
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 1, 0)->type, BN_RECEIPT);
    peer_fini (&peer);
}

static void test_garbage_costs_nobody_else_anything (void **state)
{
    (void)state;
    start ();
    static const char nested[] = "BT\x01\x02\x95\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91";
    static const bn_frame_t garbage[][3] = {
        {{"", 0}},
        {{"\0", 1}},
        {{"B", 1}},
        {{"BT", 2}},
        {{"BT\x01", 3}},
        {{"BT\x01\x01", 4}},
        {{"XX\x01\x01\x91\x01", 6}},
        {{"BT\x63\x01\x91\x01", 6}},
        {{"BT\x01\x7e\x91\x01", 6}},
        {{"BT\x01\x01\x91\x01", 6}},
        {{"BT\x01\x01\xdf\xff\xff\xff\xff", 9}},
        {{"BT\x01\x02\xdd\xff\xff\xff\xff", 9}},
        {{nested, sizeof nested - 1}},
        {{"", 0}, {"", 0}, {"", 0}},
        {{"BT\x01\x01\x94\x01\x01\xa1x\x07", 10}, {"extra", 5}, {"frames", 6}},
    };
    peer_t peer;
    peer_init (&peer, endpoint ());
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        size_t count = garbage[i][2].data ? 3 : 1;
        peer_send_raw (&peer, garbage[i], count);
        const bn_message_t *reply = peer_receive (&peer, 10000);
        assert_non_null (reply);
        assert_int_equal (reply->type, BN_ERROR);
    }
    /*  The same connection may still behave.  */
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    peer_fini (&peer);
    expect_serving ();
}

static void test_garbage_on_the_fanout_is_ignored (void **state)
{
    (void)state;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    int none = 0;
    void *sub = zmq_socket (peer.context, ZMQ_XSUB);
    zmq_setsockopt (sub, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal (zmq_connect (sub, peer.fanout_endpoint), 0);
    char bytes[4096];
    memset (bytes, 0x41, sizeof bytes);
    for (int i = 0; i < 1000; i++) {
        bytes[0] = (char)(i % 7);
        zmq_send (sub, bytes, (size_t)i % 900, i % 5 == 0 ? ZMQ_SNDMORE : 0);
    }
    zmq_send (sub, bytes, 1, 0);
    /*  Nested data, as a subscription and as anything else.  */
    memset (bytes, 0x91, sizeof bytes);
    zmq_send (sub, bytes, 900, 0);
    bytes[0] = 1;
    zmq_send (sub, bytes, 900, 0);
    /*  Larger than any subscription: the connection goes, the orchestrator does not.  */
    zmq_send (sub, bytes, sizeof bytes, 0);
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 1, 0)->type, BN_RECEIPT);
    zmq_close (sub);
    peer_fini (&peer);
    expect_serving ();
}

static void test_oversized_requests_are_refused (void **state)
{
    (void)state;
    fixture.options.message_bytes_max = 64 * 1024;
    fixture.options.data_bytes_max = 32 * 1024;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    expect_error (peer_publish (&peer, 11, 1, "a.b", 1, 33 * 1024), BATON_ERR_TOO_LARGE);
    expect_error (peer_publish (&peer, 11, 1, "a.b", 4, 31 * 1024), BATON_ERR_TOO_LARGE);
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 1, 31 * 1024)->type, BN_RECEIPT);

    /*  Far too large: the connection is cut before the bytes are kept; a new one works.  */
    size_t size = 1024 * 1024;
    char *bytes = calloc (1, size);
    memcpy (bytes, "BT\x01\x02", 4);
    peer_send_raw (&peer, &(bn_frame_t){bytes, size}, 1);
    assert_null (peer_receive (&peer, 500));
    free (bytes);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&peer, 11, 2, "a.b", 1, 0)->type, BN_RECEIPT);

    /*  More frames than a message may have.  */
    for (int i = 0; i < BN_FRAMES_MAX + 10; i++)
        assert_int_equal (zmq_send (peer.socket, "BT\x01\x02", 4, ZMQ_SNDMORE), 4);
    assert_int_equal (zmq_send (peer.socket, "", 0, 0), 0);
    expect_error (peer_receive (&peer, 10000), BATON_ERR_TOO_LARGE);
    peer_fini (&peer);
    expect_serving ();
}

static void test_a_peer_must_not_choose_its_routing_id (void **state)
{
    (void)state;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    zmq_disconnect (peer.socket, endpoint ());
    zmq_setsockopt (peer.socket, ZMQ_ROUTING_ID, "someone", 7);
    assert_int_equal (zmq_connect (peer.socket, endpoint ()), 0);
    bn_message_t hello = {
        .type = BN_HELLO,
        .hello = {.role = BN_ROLE_ADMIN, .name = peer_text ("x"), .incarnation = 1},
    };
    expect_error (peer_request (&peer, &hello), BATON_ERR_ARGUMENT);
    peer_fini (&peer);
    expect_serving ();
}

static void test_an_event_is_fanned_out_after_its_receipt (void **state)
{
    (void)state;
    start ();
    peer_t producer, actor;
    peer_init (&producer, endpoint ());
    peer_hello (&producer, BN_ROLE_PRODUCER, 11);
    peer_init (&actor, endpoint ());
    peer_hello (&actor, BN_ROLE_ACTOR, 21);
    const bn_message_t *joined = peer_join (&actor, "payment", "payment-1", 21, "orders.*");
    assert_int_equal (joined->type, BN_JOINED);
    uint32_t actor_id = joined->beat.actor_id;

    int timeout_ms = 10000, none = 0;
    void *sub = zmq_socket (actor.context, ZMQ_SUB);
    zmq_setsockopt (sub, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt (sub, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "", 0);
    assert_int_equal (zmq_connect (sub, actor.fanout_endpoint), 0);

    /*  The subscription takes its time; events before it arrived are not fanned out to us.  */
    bn_inbound_t inbound;
    bn_inbound_init (&inbound);
    uint64_t sequence = 0;
    zmq_pollitem_t item = {sub, 0, ZMQ_POLLIN, 0};
    while (zmq_poll (&item, 1, 50) == 0) {
        assert_true (sequence < 200);
        const bn_message_t *reply = peer_publish (&producer, 11, ++sequence, "orders.placed", 1, 0);
        assert_int_equal (reply->receipt.base, sequence - 1);
    }
    assert_int_equal (bn_inbound_receive (&inbound, sub, 0, 8, SIZE_MAX), 0);
    bn_fanout_t fanout;
    char what[256];
    assert_int_equal (bn_fanout_decode (&fanout, inbound.frames, inbound.count, what), BATON_OK);
    assert_int_equal (fanout.topic.size, 13);
    assert_memory_equal (fanout.topic.text, "orders.placed", 13);
    assert_int_equal (fanout.count, 1);
    assert_in_range (fanout.base, 0, sequence - 1);
    assert_int_equal (fanout.chain_count, 1);
    assert_int_equal (fanout.chain[0].actor_id, actor_id);
    assert_int_equal (fanout.chain[0].previous_end, fanout.base);
    bn_fanout_fini (&fanout);
    bn_inbound_fini (&inbound);
    zmq_close (sub);
    peer_fini (&actor);
    peer_fini (&producer);
}

/*  The second instance waits for the partitions of the first, whose process goes without a word. */
static void test_a_lost_connection_frees_its_partitions (void **state)
{
    (void)state;
    fixture.options.reconnect_grace_ms = 50;
    fixture.options.session_timeout_ms = 600000;
    start ();
    peer_t first, second;
    peer_init (&first, endpoint ());
    peer_hello (&first, BN_ROLE_ACTOR, 21);
    const bn_message_t *reply = peer_join (&first, "payment", "payment-1", 21, "orders.*");
    assert_int_equal (reply->type, BN_JOINED);
    peer_init (&second, endpoint ());
    peer_hello (&second, BN_ROLE_ACTOR, 22);
    reply = peer_join (&second, "payment", "payment-2", 22, "orders.*");
    assert_int_equal (reply->type, BN_JOINED);
    peer_fini (&first);

    uint32_t owned = 0;
    while (owned < 4) {
        reply = peer_receive (&second, 10000);
        assert_non_null (reply);
        if (reply->type == BN_BEAT && reply->beat.assignments_set)
            owned = reply->beat.assignment_count;
    }
    peer_fini (&second);
}

/*  A byte of an old segment changes on the disk. Whoever reads it is told where; nobody else is
 *  hurt.  */
static void test_rot_is_named_to_whoever_reads_it (void **state)
{
    (void)state;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    for (uint64_t sequence = 1; sequence <= 8; sequence++)
        assert_int_equal (peer_publish (&peer, 11, sequence, "big.data", 8, 60000)->type,
                          BN_RECEIPT);
    char path[128];
    snprintf (path, sizeof path, "%s/journal/00000000000000000001.seg", fixture.directory);
    FILE *file = fopen (path, "r+");
    assert_non_null (file);
    fseek (file, 300000, SEEK_SET);
    int byte = fgetc (file);
    fseek (file, 300000, SEEK_SET);
    fputc (byte ^ 0x10, file);
    fclose (file);

    peer_hello (&peer, BN_ROLE_ADMIN, 12);
    const bn_message_t *reply = peer_read (&peer, 0, 8 * 1024 * 1024);
    expect_error (reply, BATON_ERR_ROT);
    char text[512];
    snprintf (text, sizeof text, "%.*s", (int)reply->error.text.size, reply->error.text.text);
    assert_non_null (strstr (text, "00000000000000000001.seg"));
    reply = peer_read (&peer, 48, 8 * 1024 * 1024);
    assert_int_equal (reply->type, BN_EVENTS);
    assert_int_equal (reply->events.scanned_to, 64);
    peer_fini (&peer);
    expect_serving ();
}

/*  More journal than one request looks at, and none of it has events: a READ still arrives at what
 *  comes after.  */
static void test_reads_over_a_long_run_without_events (void **state)
{
    (void)state;
    fixture.options.sync = BATON_SYNC_NEVER;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 1, 0)->type, BN_RECEIPT);
    peer_hello (&peer, BN_ROLE_ACTOR, 21);
    bn_text_t patterns[BN_PATTERNS_MAX];
    char names[BN_PATTERNS_MAX][BATON_TOPIC_BYTES_MAX + 1];
    for (uint64_t round = 0; round < 1000; round++) {
        /*  Each JOIN with another policy is a REGISTER record with all the patterns in it.  */
        for (uint32_t i = 0; i < BN_PATTERNS_MAX; i++) {
            snprintf (names[i], sizeof names[i], "t%u.%0190u", i, i);
            patterns[i] = peer_text (names[i]);
        }
        bn_message_t message = {
            .type = BN_JOIN,
            .join = {.actor = peer_text ("wide"),
                     .instance = peer_text ("wide-1"),
                     .incarnation = 21,
                     .patterns = patterns,
                     .pattern_count = BN_PATTERNS_MAX,
                     .policy = {.max_attempts = 1 + (uint32_t)(round % 100),
                                .backoff_min_ms = 100,
                                .backoff_max_ms = 1000,
                                .handler_deadline_ms = 1000}},
        };
        assert_int_equal (peer_request (&peer, &message)->type, BN_JOINED);
    }
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&peer, 11, 2, "a.b", 1, 0)->type, BN_RECEIPT);
    peer_hello (&peer, BN_ROLE_ADMIN, 12);
    const bn_message_t *reply = peer_read (&peer, 1, 1024);
    assert_int_equal (reply->type, BN_EVENTS);
    assert_int_equal (reply->events.scanned_to, 2);
    assert_int_equal (reply->events.section_count, 1);
    peer_fini (&peer);
}

/*  Retention has passed, and what it concerns is in the newest segment, which is kept: a new actor
 *  gets it.  */
static void test_what_retention_cannot_let_go_is_there_for_new_actors (void **state)
{
    (void)state;
    fixture.options.retention_bytes = 1;
    fixture.options.segment_bytes = 32 * 1024 * 1024;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    /*  Retention is looked at once a second: as long as always one more is on its way, there is
     *  something to write just then.  */
    const uint64_t until_ms = bn_clock_now ().mono_ms + 2500;
    uint64_t sequence = 0;
    while (bn_clock_now ().mono_ms < until_ms) {
        peer_publish_only (&peer, 11, ++sequence, "small.data", 1, 10);
        if (sequence > 4)
            assert_int_equal (peer_receive (&peer, 10000)->type, BN_RECEIPT);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal (peer_receive (&peer, 10000)->type, BN_RECEIPT);
    peer_hello (&peer, BN_ROLE_ACTOR, 13);
    bn_text_t pattern = peer_text ("small.*");
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = peer_text ("late"),
                                  .instance = peer_text ("late-1"),
                                  .incarnation = 13,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .start = BN_START_BEGINNING,
                                  .policy = {5, 100, 1000, 1000}}};
    const bn_message_t *joined = peer_request (&peer, &join);
    assert_int_equal (joined->type, BN_JOINED);
    /*  Partitions without any of its events are at the tail.  */
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < joined->beat.assignment_count; i++)
        if (joined->beat.assignments[i].floor < first)
            first = joined->beat.assignments[i].floor;
    assert_int_equal (first, 0);
    peer_fini (&peer);
}

static void test_retention_lets_go_of_old_segments (void **state)
{
    (void)state;
    fixture.options.retention_bytes = 2 * 1024 * 1024;
    start ();
    peer_t peer;
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    for (uint64_t sequence = 1; sequence <= 16; sequence++)
        assert_int_equal (peer_publish (&peer, 11, sequence, "big.data", 8, 60000)->type,
                          BN_RECEIPT);
    peer_hello (&peer, BN_ROLE_ADMIN, 12);
    uint64_t first = 0;
    for (int i = 0; i < 100 && first == 0; i++) {
        first = peer_read (&peer, 0, 1)->events.from;
        poll (NULL, 0, first == 0 ? 100 : 0);
    }
    assert_in_range (first, 1, 127);
    /*  An actor that starts at the beginning starts at what is left.  */
    peer_hello (&peer, BN_ROLE_ACTOR, 13);
    bn_text_t pattern = peer_text ("big.*");
    bn_message_t join = {.type = BN_JOIN,
                         .join = {.actor = peer_text ("late"),
                                  .instance = peer_text ("late-1"),
                                  .incarnation = 13,
                                  .patterns = &pattern,
                                  .pattern_count = 1,
                                  .start = BN_START_BEGINNING,
                                  .policy = {5, 100, 1000, 1000}}};
    const bn_message_t *joined = peer_request (&peer, &join);
    assert_int_equal (joined->type, BN_JOINED);
    for (uint32_t i = 0; i < joined->beat.assignment_count; i++)
        assert_in_range (joined->beat.assignments[i].floor, first, 128);
    peer_fini (&peer);

    restart ();
    peer_init (&peer, endpoint ());
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer.tail, 128);
    assert_int_equal (peer.producer_sequence, 16);
    peer_fini (&peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (test_publish_is_receipted_and_read_back),
        TEST (test_a_repeated_publish_is_not_doubled),
        TEST (test_lost_and_damaged_views_are_rebuilt),
        TEST (test_reads_across_segments_and_restarts),
        TEST (test_every_sync_policy_keeps_what_a_clean_stop_wrote),
        TEST (test_one_process_owns_a_directory),
        TEST (test_an_owner_that_is_ending_is_waited_for),
        TEST (test_an_address_in_use_is_refused),
        TEST (test_an_ipc_endpoint_is_not_stolen),
        TEST (test_a_full_disk_refuses_producers_by_name),
        TEST (test_garbage_costs_nobody_else_anything),
        TEST (test_garbage_on_the_fanout_is_ignored),
        TEST (test_oversized_requests_are_refused),
        TEST (test_a_peer_must_not_choose_its_routing_id),
        TEST (test_an_event_is_fanned_out_after_its_receipt),
        TEST (test_a_lost_connection_frees_its_partitions),
        TEST (test_rot_is_named_to_whoever_reads_it),
        TEST (test_reads_over_a_long_run_without_events),
        TEST (test_retention_lets_go_of_old_segments),
        TEST (test_what_retention_cannot_let_go_is_there_for_new_actors),
    };
    return cmocka_run_group_tests_name ("orchestrator", tests, NULL, NULL);
}
