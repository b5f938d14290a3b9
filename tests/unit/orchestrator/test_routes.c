/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/routes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

typedef struct {
    void *context;
    void *router;
    bn_door_t door;
    bn_routes_t *routes;
    char endpoint[256];
} fixture_t;

static int setup (void **state)
{
    static fixture_t fixture;
    size_t size = sizeof fixture.endpoint;
    fixture.context = zmq_ctx_new ();
    fixture.router = zmq_socket (fixture.context, ZMQ_ROUTER);
    fixture.door = (bn_door_t){.connections = 0};
    fixture.routes = bn_routes_new (fixture.context, fixture.router, &fixture.door, 2);
    assert_non_null (fixture.routes);
    assert_int_equal (zmq_bind (fixture.router, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt (fixture.router, ZMQ_LAST_ENDPOINT, fixture.endpoint, &size);
    *state = &fixture;
    return 0;
}

static int teardown (void **state)
{
    fixture_t *fixture = *state;
    bn_routes_destroy (&fixture->routes);
    zmq_close (fixture->router);
    zmq_ctx_term (fixture->context);
    return 0;
}

static void *dial (fixture_t *fixture, const char *id)
{
    int none = 0;
    void *dealer = zmq_socket (fixture->context, ZMQ_DEALER);
    zmq_setsockopt (dealer, ZMQ_LINGER, &none, sizeof none);
    if (id)
        zmq_setsockopt (dealer, ZMQ_ROUTING_ID, id, strlen (id));
    assert_int_equal (zmq_connect (dealer, fixture->endpoint), 0);
    return dealer;
}

/*  Sends a message from the dealer and asks for the route that it came by.  */
static bn_route_result_t speak (fixture_t *fixture, void *dealer, uint64_t *handle)
{
    zmq_msg_t id, body;
    zmq_msg_init (&id);
    zmq_msg_init (&body);
    assert_int_equal (zmq_send (dealer, "x", 1, 0), 1);
    assert_true (zmq_msg_recv (&id, fixture->router, 0) > 0);
    assert_int_equal (zmq_msg_recv (&body, fixture->router, 0), 1);
    bn_route_t *route = NULL;
    bn_route_result_t result =
        bn_routes_of_message (fixture->routes, zmq_msg_data (&id), zmq_msg_size (&id),
                              zmq_msg_get (&body, ZMQ_SRCFD), &route);
    *handle = route ? route->handle : 0;
    zmq_msg_close (&id);
    zmq_msg_close (&body);
    return result;
}

/*  Waits for the monitor and returns the route that it reports.  */
static uint64_t await_gone (fixture_t *fixture)
{
    uint64_t handle = 0;
    zmq_pollitem_t item = {bn_routes_monitor (fixture->routes), 0, ZMQ_POLLIN, 0};
    while (!bn_routes_next_gone (fixture->routes, true, &handle)) {
        assert_int_equal (zmq_poll (&item, 1, 5000), 1);
        assert_true (bn_routes_update (fixture->routes));
    }
    return handle;
}

static void test_notices_a_closed_connection (void **state)
{
    fixture_t *fixture = *state;
    uint64_t handle, again, gone;
    void *dealer = dial (fixture, NULL);
    assert_int_equal (speak (fixture, dealer, &handle), BN_ROUTE_OK);
    assert_int_equal (speak (fixture, dealer, &again), BN_ROUTE_OK);
    assert_int_not_equal (handle, 0);
    assert_int_equal (again, handle);
    assert_false (bn_routes_next_gone (fixture->routes, true, &gone));
    zmq_close (dealer);
    assert_int_equal (await_gone (fixture), handle);
    assert_null (bn_routes_get (fixture->routes, handle));
}

/*  Its last messages may not have been read yet.  */
static void test_is_not_gone_before_all_was_read (void **state)
{
    fixture_t *fixture = *state;
    uint64_t handle, gone;
    void *dealer = dial (fixture, NULL);
    assert_int_equal (speak (fixture, dealer, &handle), BN_ROUTE_OK);
    zmq_close (dealer);
    zmq_pollitem_t item = {bn_routes_monitor (fixture->routes), 0, ZMQ_POLLIN, 0};
    while (!bn_routes_get (fixture->routes, handle)->closing) {
        assert_int_equal (zmq_poll (&item, 1, 5000), 1);
        assert_true (bn_routes_update (fixture->routes));
    }
    assert_false (bn_routes_next_gone (fixture->routes, false, &gone));
    assert_non_null (bn_routes_get (fixture->routes, handle));
    assert_true (bn_routes_next_gone (fixture->routes, true, &gone));
    assert_int_equal (gone, handle);
}

/*  The kernel gives the descriptor of a closed connection to the next one: that has a handle of its
 *  own, and the old one is reported, never the new one.  */
static void test_a_reused_descriptor_is_another_route (void **state)
{
    fixture_t *fixture = *state;
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t handle, gone;
        void *dealer = dial (fixture, NULL);
        assert_int_equal (speak (fixture, dealer, &handle), BN_ROUTE_OK);
        assert_true (handle > last);
        if (last && bn_routes_get (fixture->routes, last))
            assert_int_equal (await_gone (fixture), last);
        assert_true (bn_routes_update (fixture->routes));
        assert_false (bn_routes_next_gone (fixture->routes, true, &gone));
        zmq_close (dealer);
        last = handle;
    }
}

static void test_is_bounded (void **state)
{
    fixture_t *fixture = *state;
    uint64_t first, second, third;
    void *dealers[3] = {dial (fixture, NULL), dial (fixture, NULL), dial (fixture, NULL)};
    assert_int_equal (speak (fixture, dealers[0], &first), BN_ROUTE_OK);
    assert_int_equal (speak (fixture, dealers[1], &second), BN_ROUTE_OK);
    assert_int_equal (speak (fixture, dealers[2], &third), BN_ROUTE_LIMIT);
    zmq_close (dealers[0]);
    assert_int_equal (await_gone (fixture), first);
    assert_int_equal (speak (fixture, dealers[2], &third), BN_ROUTE_OK);
    zmq_close (dealers[1]);
    zmq_close (dealers[2]);
}

static void test_refuses_a_chosen_id (void **state)
{
    fixture_t *fixture = *state;
    uint64_t handle;
    void *dealer = dial (fixture, "me");
    assert_int_equal (speak (fixture, dealer, &handle), BN_ROUTE_CHOSEN);
    zmq_close (dealer);
}

/*  A connection that does not read is given up; when it speaks again it is a new one.  */
static void test_a_lost_route_comes_back_as_a_new_one (void **state)
{
    fixture_t *fixture = *state;
    uint64_t handle, gone, again;
    void *dealer = dial (fixture, NULL);
    assert_int_equal (speak (fixture, dealer, &handle), BN_ROUTE_OK);
    bn_routes_lost (fixture->routes, bn_routes_get (fixture->routes, handle));
    assert_true (bn_routes_next_gone (fixture->routes, false, &gone));
    assert_int_equal (gone, handle);
    assert_int_equal (speak (fixture, dealer, &again), BN_ROUTE_OK);
    assert_true (again > handle);
    zmq_close (dealer);
    assert_int_equal (await_gone (fixture), again);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (test_notices_a_closed_connection),
        TEST (test_is_not_gone_before_all_was_read),
        TEST (test_a_reused_descriptor_is_another_route),
        TEST (test_is_bounded),
        TEST (test_refuses_a_chosen_id),
        TEST (test_a_lost_route_comes_back_as_a_new_one),
    };
    return cmocka_run_group_tests_name ("routes", tests, NULL, NULL);
}
