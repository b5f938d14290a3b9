/* SPDX-License-Identifier: MPL-2.0 */

/*  Waiting for sockets and descriptors: what is ready is found, however it came to be so.  */

#include "shell/wait.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define LONG_MS 60000 /* is never waited for */

typedef struct {
    void *context;
    void *from, *to;         /* sockets; what the one sends the other receives */
    int read, write;         /* ends of a pipe */
    bn_wait_item_t items[3]; /* the socket, the pipe, and one that is left out */
} wait_t;

static void wait_init (wait_t *self)
{
    int ends[2];
    self->context = zmq_ctx_new ();
    self->to = zmq_socket (self->context, ZMQ_PAIR);
    self->from = zmq_socket (self->context, ZMQ_PAIR);
    assert_int_equal (zmq_bind (self->to, "inproc://wait"), 0);
    assert_int_equal (zmq_connect (self->from, "inproc://wait"), 0);
    assert_int_equal (pipe (ends), 0);
    self->read = ends[0];
    self->write = ends[1];
    self->items[0] = (bn_wait_item_t){.socket = self->to};
    self->items[1] = (bn_wait_item_t){.fd = self->read};
    self->items[2] = (bn_wait_item_t){.fd = -1, .ready = true};
}

static void wait_fini (wait_t *self)
{
    zmq_close (self->from);
    zmq_close (self->to);
    zmq_ctx_term (self->context);
    close (self->read);
    close (self->write);
}

static void assert_ready (const wait_t *self, bool socket, bool descriptor)
{
    assert_int_equal (self->items[0].ready, socket);
    assert_int_equal (self->items[1].ready, descriptor);
    assert_false (self->items[2].ready);
}

/*  Until nothing is left: what a caller does before it calls a socket quiet.  */
static int receive_all (wait_t *self)
{
    char byte;
    int count = 0;
    while (zmq_recv (self->to, &byte, 1, ZMQ_DONTWAIT) >= 0)
        count++;
    assert_int_equal (zmq_errno (), EAGAIN);
    return count;
}

static void send_one (wait_t *self)
{
    assert_int_equal (zmq_send (self->from, "a", 1, 0), 1);
}

static void test_nothing_is_ready_when_the_time_is_over (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    receive_all (&wait);
    for (long timeout_ms = 0; timeout_ms < 3; timeout_ms++) {
        assert_int_equal (bn_wait (wait.items, 3, timeout_ms), 0);
        assert_false (wait.items[1].ready);
        assert_false (wait.items[2].ready);
    }
    assert_int_equal (receive_all (&wait), 0);
    wait_fini (&wait);
}

static void test_a_descriptor_is_ready (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    receive_all (&wait);
    assert_int_equal (write (wait.write, "a", 1), 1);
    while (!wait.items[1].ready)
        assert_int_equal (bn_wait (wait.items, 3, LONG_MS), 0);
    assert_false (wait.items[2].ready);
    wait_fini (&wait);
}

/*  The descriptor of the socket says nothing any more, once somebody has asked.  */
static void test_a_socket_is_asked_before_sleeping (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    send_one (&wait);
    int events = 0;
    for (int i = 0; i < 3; i++) {
        size_t size = sizeof events;
        assert_int_equal (zmq_getsockopt (wait.to, ZMQ_EVENTS, &events, &size), 0);
    }
    assert_int_equal (events & ZMQ_POLLIN, ZMQ_POLLIN);
    assert_int_equal (bn_wait (wait.items, 3, LONG_MS), 0);
    assert_ready (&wait, true, false);
    assert_int_equal (receive_all (&wait), 1);
    wait_fini (&wait);
}

/*  It is not asked, so that its descriptor still has to tell.  */
static void test_a_quiet_socket_wakes_by_its_descriptor (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    for (int i = 0; i < 100; i++) {
        assert_int_equal (receive_all (&wait), 0);
        wait.items[0].quiet = true;
        send_one (&wait);
        do { /* it may come back with nothing ready, and ready may mean nothing */
            assert_int_equal (bn_wait (wait.items, 3, LONG_MS), 0);
            assert_false (wait.items[1].ready);
        } while (!wait.items[0].ready || receive_all (&wait) == 0);
    }
    wait_fini (&wait);
}

static void test_both_are_ready_at_once (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    send_one (&wait);
    assert_int_equal (write (wait.write, "a", 1), 1);
    assert_int_equal (bn_wait (wait.items, 3, LONG_MS), 0);
    assert_ready (&wait, true, true);
    wait_fini (&wait);
}

/*  A context that is being ended: the receive says so.  */
static void test_a_socket_that_cannot_tell_is_tried (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    assert_int_equal (zmq_ctx_shutdown (wait.context), 0);
    assert_int_equal (bn_wait (wait.items, 3, LONG_MS), 0);
    assert_ready (&wait, true, false);
    char byte;
    assert_int_equal (zmq_recv (wait.to, &byte, 1, ZMQ_DONTWAIT), -1);
    assert_int_equal (zmq_errno (), ETERM);
    wait_fini (&wait);
}

static void ignore (int signal_number)
{
    (void)signal_number;
}

static void test_a_signal_is_told (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    receive_all (&wait);
    wait.items[0].quiet = true;
    struct sigaction action = {.sa_handler = ignore}, old;
    struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal (sigaction (SIGALRM, &action, &old), 0);
    assert_int_equal (setitimer (ITIMER_REAL, &every, NULL), 0);
    int result, error;
    do {
        result = bn_wait (wait.items, 3, LONG_MS);
        error = errno;
    } while (result == 0);
    assert_int_equal (setitimer (ITIMER_REAL, &never, NULL), 0);
    assert_int_equal (sigaction (SIGALRM, &old, NULL), 0);
    assert_int_equal (result, -1);
    assert_int_equal (error, EINTR);
    assert_ready (&wait, false, false);
    wait_fini (&wait);
}

/*  While one sleeps, another one uses the socket: that takes the signal, so it has to ask.  */
static void test_who_uses_a_socket_meanwhile_can_tell (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    assert_int_equal (receive_all (&wait), 0);
    bn_wait_ask (wait.items, 3);
    assert_ready (&wait, false, false);
    send_one (&wait);
    bn_wait_item_t meanwhile = {.socket = wait.to};
    bn_wait_ask (&meanwhile, 1);
    assert_true (meanwhile.ready);
    assert_int_equal (bn_wait_sleep (wait.items, 3, 0), 0);
    assert_ready (&wait, false, false);
    /*  Other means.  */
    assert_int_equal (write (wait.write, "a", 1), 1);
    assert_int_equal (bn_wait_sleep (wait.items, 3, LONG_MS), 0);
    assert_ready (&wait, false, true);
    assert_int_equal (receive_all (&wait), 1);
    wait_fini (&wait);
}

/*  What was found by asking is not slept over.  */
static void test_the_second_half_knows_what_the_first_found (void **state)
{
    (void)state;
    wait_t wait;
    wait_init (&wait);
    send_one (&wait);
    bn_wait_ask (wait.items, 3);
    assert_int_equal (bn_wait_sleep (wait.items, 3, LONG_MS), 0);
    assert_ready (&wait, true, false);
    assert_int_equal (receive_all (&wait), 1);
    wait_fini (&wait);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_nothing_is_ready_when_the_time_is_over),
        cmocka_unit_test (test_a_descriptor_is_ready),
        cmocka_unit_test (test_a_socket_is_asked_before_sleeping),
        cmocka_unit_test (test_a_quiet_socket_wakes_by_its_descriptor),
        cmocka_unit_test (test_both_are_ready_at_once),
        cmocka_unit_test (test_a_socket_that_cannot_tell_is_tried),
        cmocka_unit_test (test_a_signal_is_told),
        cmocka_unit_test (test_who_uses_a_socket_meanwhile_can_tell),
        cmocka_unit_test (test_the_second_half_knows_what_the_first_found),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
