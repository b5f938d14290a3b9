/* SPDX-License-Identifier: MPL-2.0 */

/*  A link against a ROUTER of the test's own.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/link.h"
#include "shell/clock.h"
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 10000

typedef struct {
    void *context; /* the peer's */
    void *router;
    char endpoint[256];
    void *own; /* the link's context */
    bn_link_t *link;
} pair_t;

static void bind_router (pair_t *pair, const char *endpoint)
{
    int zero = 0;
    size_t size = sizeof pair->endpoint;
    pair->router = zmq_socket (pair->context, ZMQ_ROUTER);
    zmq_setsockopt (pair->router, ZMQ_LINGER, &zero, sizeof zero);
    uint64_t until_ms = bn_clock_now ().mono_ms + PATIENCE_MS;
    /*  The last one that listened here may still be closing.  */
    while (zmq_bind (pair->router, endpoint) != 0)
        assert_true (bn_clock_now ().mono_ms < until_ms);
    assert_int_equal (zmq_getsockopt (pair->router, ZMQ_LAST_ENDPOINT, pair->endpoint, &size), 0);
}

static int set_up (void **state)
{
    pair_t *pair = calloc (1, sizeof *pair);
    bn_random_seed_libc ();
    pair->context = zmq_ctx_new ();
    bind_router (pair, "tcp://127.0.0.1:*");
    pair->own = zmq_ctx_new ();
    pair->link = bn_link_new (pair->own, pair->endpoint);
    *state = pair;
    return pair->link ? 0 : -1;
}

static int tear_down (void **state)
{
    pair_t *pair = *state;
    bn_link_destroy (&pair->link);
    if (pair->router)
        zmq_close (pair->router);
    zmq_ctx_term (pair->own);
    zmq_ctx_term (pair->context);
    free (pair);
    return 0;
}

static void await (pair_t *pair, bn_link_change_t wanted)
{
    uint64_t until_ms = bn_clock_now ().mono_ms + PATIENCE_MS, now_ms;
    while ((now_ms = bn_clock_now ().mono_ms) < until_ms) {
        bn_link_change_t change = bn_link_advance (pair->link, now_ms);
        if (change == wanted)
            return;
        assert_int_equal (change, BN_LINK_SAME);
        bn_wait_item_t items[BN_LINK_WAIT_ITEMS];
        bn_link_wait_items (pair->link, items);
        bn_wait (items, BN_LINK_WAIT_ITEMS, 5);
        bn_link_waited (pair->link, items);
    }
    fail_msg ("the link did not change in %d ms", PATIENCE_MS);
}

static void say (pair_t *pair, const char *text)
{
    bn_blob_t *blob = bn_blob_new_copy (text, strlen (text));
    bn_link_send (pair->link, blob, NULL, 0, bn_clock_now ().mono_ms);
    bn_blob_unref (&blob);
}

/*  The next message at the ROUTER is `text`; it is answered with `answer`.  */
static void expect (pair_t *pair, const char *text, const char *answer)
{
    char route[64], body[64];
    int timeout = PATIENCE_MS;
    zmq_setsockopt (pair->router, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    int route_size = zmq_recv (pair->router, route, sizeof route, 0);
    assert_true (route_size > 0);
    int size = zmq_recv (pair->router, body, sizeof body, 0);
    assert_int_equal (size, strlen (text));
    assert_memory_equal (body, text, (size_t)size);
    zmq_send (pair->router, route, (size_t)route_size, ZMQ_SNDMORE);
    zmq_send (pair->router, answer, strlen (answer), 0);
}

static void hear (pair_t *pair, const char *text)
{
    bn_inbound_t inbound;
    bn_inbound_init (&inbound);
    uint64_t until_ms = bn_clock_now ().mono_ms + PATIENCE_MS;
    while (!bn_link_receive (pair->link, &inbound, SIZE_MAX, bn_clock_now ().mono_ms)) {
        bn_wait_item_t items[BN_LINK_WAIT_ITEMS];
        bn_link_wait_items (pair->link, items);
        bn_wait (items, BN_LINK_WAIT_ITEMS, 100);
        bn_link_waited (pair->link, items);
        assert_true (bn_clock_now ().mono_ms < until_ms);
    }
    assert_int_equal (inbound.count, 1);
    assert_int_equal (inbound.frames[0].size, strlen (text));
    assert_memory_equal (inbound.frames[0].data, text, strlen (text));
    bn_inbound_fini (&inbound);
}

static void nothing_stale_reaches_the_next_connection (void **state)
{
    pair_t *pair = *state;
    assert_false (bn_link_is_up (pair->link));
    say (pair, "too early");
    await (pair, BN_LINK_CAME_UP);
    assert_true (bn_link_is_up (pair->link));
    say (pair, "one");
    expect (pair, "one", "yes");
    hear (pair, "yes");
    assert_int_equal (bn_link_silent_ms (pair->link, bn_clock_now ().mono_ms), 0);

    char endpoint[sizeof pair->endpoint];
    memcpy (endpoint, pair->endpoint, sizeof endpoint);
    zmq_close (pair->router);
    pair->router = NULL;
    await (pair, BN_LINK_WENT_DOWN);
    say (pair, "lost");
    bind_router (pair, endpoint);
    await (pair, BN_LINK_CAME_UP);
    say (pair, "two");
    expect (pair, "two", "again");
    hear (pair, "again");
}

static void a_reset_is_a_new_connection (void **state)
{
    pair_t *pair = *state;
    await (pair, BN_LINK_CAME_UP);
    say (pair, "one");
    expect (pair, "one", "never read");
    bn_link_reset (pair->link, bn_clock_now ().mono_ms);
    assert_false (bn_link_is_up (pair->link));
    await (pair, BN_LINK_WENT_DOWN);
    await (pair, BN_LINK_CAME_UP);
    say (pair, "two");
    expect (pair, "two", "heard");
    hear (pair, "heard");
}

/*  Another thread may sleep on the sockets: they stay until the reset.  */
static void a_failed_try_leaves_the_reset_to_the_caller (void **state)
{
    pair_t *pair = *state;
    await (pair, BN_LINK_CAME_UP);
    bn_blob_t *blob = bn_blob_new_copy ("one", 3);
    assert_true (bn_link_try_send (pair->link, blob, NULL, 0));
    expect (pair, "one", "never read");
    zmq_close (pair->router);
    pair->router = NULL;
    uint64_t until_ms = bn_clock_now ().mono_ms + PATIENCE_MS;
    while (bn_link_try_send (pair->link, blob, NULL, 0))
        assert_true (bn_clock_now ().mono_ms < until_ms);
    bn_blob_unref (&blob);
    assert_true (bn_link_is_up (pair->link));
    bn_link_reset (pair->link, bn_clock_now ().mono_ms);
    assert_false (bn_link_is_up (pair->link));
    await (pair, BN_LINK_WENT_DOWN);
}

static void a_silent_peer_is_measured (void **state)
{
    pair_t *pair = *state;
    await (pair, BN_LINK_CAME_UP);
    uint64_t now_ms = bn_clock_now ().mono_ms;
    assert_true (bn_link_silent_ms (pair->link, now_ms + 7000) >= 7000);
    say (pair, "one");
    expect (pair, "one", "yes");
    hear (pair, "yes");
    assert_int_equal (bn_link_silent_ms (pair->link, now_ms + 7000), 0);
}

static void a_wildcard_is_the_host_that_answered (void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"tcp://0.0.0.0:7712", "tcp://shop.example:7711", "tcp://shop.example:7712"},
        {"tcp://*:7712", "tcp://10.0.0.1:9", "tcp://10.0.0.1:7712"},
        {"tcp://[::]:7712", "tcp://[fe80::1]:9", "tcp://[fe80::1]:7712"},
        {"tcp://0.0.0.0:7712", "ipc:///run/baton", "tcp://127.0.0.1:7712"},
        {"tcp://10.0.0.2:7712", "tcp://10.0.0.1:9", "tcp://10.0.0.2:7712"},
        {"ipc:///run/fanout", "tcp://10.0.0.1:9", "ipc:///run/fanout"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char result[BN_ENDPOINT_BYTES_MAX + 1];
        bn_link_fanout_endpoint (cases[i][0], cases[i][1], result);
        assert_string_equal (result, cases[i][2]);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_wildcard_is_the_host_that_answered),
        cmocka_unit_test_setup_teardown (nothing_stale_reaches_the_next_connection, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (a_reset_is_a_new_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown (a_failed_try_leaves_the_reset_to_the_caller, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (a_silent_peer_is_measured, set_up, tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
