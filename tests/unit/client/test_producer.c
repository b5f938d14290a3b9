/* SPDX-License-Identifier: MPL-2.0 */

/*  A producer against an orchestrator of the test's own, which answers at once: so nothing is in
 *  flight when the next event is published, and it is the publisher that sends. Every wait has a
 *  limit that only a bug reaches.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "shell/clock.h"
#include "shell/socket.h"
#include <baton/producer.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define PATIENCE_MS 60000
#define PAIRS       3000
#define PAIRS_MS    20000 /* that they may take; a hundredth of it is usual */
#define THREADS     4
#define JOURNAL_ID  7

/*  ---- the orchestrator --------------------------------------------------------------------- */

typedef struct {
    uint32_t message_bytes_max; /* that it announces */
    unsigned repeats;           /* of each receipt: messages that nobody waits for */
    unsigned goes_after;        /* so many receipts it cuts the connection; 0: never */
    char endpoint[256];
    void *context;
    void *router;
    pthread_t thread;
    uint64_t sequence; /* last one receipted */
    uint64_t offset;
} server_t;

static void send_reply (server_t *self, const bn_frame_t *route, const bn_message_t *reply)
{
    bn_blob_t *head = bn_message_encode (reply);
    bn_assert (head);
    zmq_send (self->router, route->data, route->size, ZMQ_SNDMORE);
    zmq_send (self->router, head->data, head->size, 0);
    bn_blob_unref (&head);
}

static void welcome (server_t *self, const bn_frame_t *route, const bn_message_t *message)
{
    bn_message_t reply = {.type = BN_WELCOME,
                          .request = message->request,
                          .welcome = {.journal_id = JOURNAL_ID,
                                      .partitions = 4,
                                      .heartbeat_ms = 1000,
                                      .session_timeout_ms = 10000,
                                      .message_bytes_max = self->message_bytes_max,
                                      .data_bytes_max = BATON_DATA_BYTES_MAX,
                                      .fanout_endpoint = {"tcp://127.0.0.1:1", 17}}};
    send_reply (self, route, &reply);
}

static void receipt (server_t *self, const bn_frame_t *route, const bn_message_t *message, int fd)
{
    const bn_publish_t *publish = &message->publish;
    bn_message_t reply = {.type = BN_RECEIPT,
                          .request = message->request,
                          .receipt = {.sequence = publish->sequence,
                                      .base = self->offset,
                                      .duplicate = publish->sequence <= self->sequence}};
    for (uint32_t i = 0; i < publish->section_count; i++)
        reply.receipt.count += publish->sections[i].count;
    if (reply.receipt.duplicate)
        reply.receipt.base = BN_NO_OFFSET;
    else {
        bn_assert (publish->sequence == self->sequence + 1);
        self->sequence++;
        self->offset += reply.receipt.count;
    }
    for (unsigned i = 0; i <= self->repeats; i++)
        send_reply (self, route, &reply);
    /*  The receipt may be lost with it: then the same request comes again.  */
    if (self->goes_after && self->sequence % self->goes_after == 0 && !reply.receipt.duplicate)
        shutdown (fd, SHUT_RDWR);
}

static void *server_main (void *arg)
{
    server_t *self = arg;
    bn_inbound_t inbound;
    bn_inbound_init (&inbound);
    for (;;) {
        if (bn_inbound_receive (&inbound, self->router, 0, BN_FRAMES_MAX, SIZE_MAX) != 0) {
            if (errno == EINTR)
                continue;
            bn_assert (errno == ETERM);
            break;
        }
        bn_message_t message;
        baton_err_t err = bn_message_decode (&message, inbound.frames + 1, inbound.count - 1, NULL);
        bn_assert (!err);
        if (message.type == BN_HELLO)
            welcome (self, &inbound.frames[0], &message);
        else if (message.type == BN_PUBLISH)
            receipt (self, &inbound.frames[0], &message,
                     zmq_msg_get (&inbound.messages[1], ZMQ_SRCFD));
        bn_message_fini (&message);
    }
    bn_inbound_fini (&inbound);
    zmq_close (self->router);
    return NULL;
}

static void server_start (server_t *self)
{
    bn_random_seed_libc ();
    if (!self->message_bytes_max)
        self->message_bytes_max = 1024 * 1024;
    self->context = zmq_ctx_new ();
    size_t size = sizeof self->endpoint;
    self->router = zmq_socket (self->context, ZMQ_ROUTER);
    bn_assert (self->router);
    assert_int_equal (zmq_bind (self->router, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, self->endpoint, &size);
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    assert_int_equal (pthread_create (&self->thread, NULL, server_main, self), 0);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
}

static void server_stop (server_t *self)
{
    zmq_ctx_shutdown (self->context);
    pthread_join (self->thread, NULL);
    zmq_ctx_term (self->context);
}

/*  ---- publishers --------------------------------------------------------------------------- */

/*  What the callback saw.  */
typedef struct {
    baton_producer_t *producer;
    pthread_mutex_t lock; /* the application's: held while publishing, and taken by the callback */
    uint64_t last_ticket;
    baton_err_t expected;
    unsigned wrong;   /* tickets out of order, or with another outcome than expected */
    unsigned visited; /* callbacks on a thread that publishes */
} client_t;

static _Thread_local bool publishes;

static void take_receipt (uint64_t ticket, baton_err_t err, uint64_t offset, void *arg)
{
    (void)offset;
    client_t *self = arg;
    if (publishes) {
        self->visited++;
        return; /* the lock may be held */
    }
    pthread_mutex_lock (&self->lock);
    self->wrong += ticket != self->last_ticket + 1 || err != self->expected;
    self->last_ticket = ticket;
    pthread_mutex_unlock (&self->lock);
}

static void client_start (client_t *self, const server_t *server)
{
    pthread_mutex_init (&self->lock, NULL);
    baton_producer_options_t options = {.endpoint = server->endpoint,
                                        .connect_timeout_ms = PATIENCE_MS,
                                        .on_receipt = take_receipt,
                                        .on_receipt_arg = self};
    assert_int_equal (baton_producer_new (&self->producer, &options), BATON_OK);
}

/*  Stops, and checks that so many tickets were reported, each once and in order.  */
static void client_stop (client_t *self, uint64_t tickets)
{
    assert_int_equal (self->last_ticket, tickets);
    assert_int_equal (self->wrong, 0);
    assert_int_equal (self->visited, 0);
    baton_producer_destroy (&self->producer);
    assert_int_equal (self->last_ticket, tickets);
    pthread_mutex_destroy (&self->lock);
}

/*  Publishes one event, and waits for its receipt.  */
static baton_err_t publish_one (client_t *self, size_t size)
{
    static const char data[3000];
    static const baton_attributes_t attributes = {.datacontenttype = "text/plain"};
    baton_publication_t event = {
        .topic = "t", .key = "k", .data = data, .data_size = size, .attributes = &attributes};
    publishes = true;
    pthread_mutex_lock (&self->lock);
    baton_err_t err = baton_producer_publish_group (self->producer, &event, 1, -1, NULL);
    pthread_mutex_unlock (&self->lock);
    return err ? err : baton_producer_flush (self->producer, PATIENCE_MS);
}

static void *publish_many (void *arg)
{
    client_t *self = arg;
    for (int i = 0; i < PAIRS / THREADS; i++) {
        baton_err_t err = publish_one (self, 100);
        bn_assert (!err);
    }
    return NULL;
}

/*  ---- tests -------------------------------------------------------------------------------- */

static void callbacks_take_a_lock_that_publishers_hold (void **state)
{
    (void)state;
    server_t server = {.repeats = 0};
    client_t client = {.last_ticket = 0};
    pthread_t threads[THREADS];
    server_start (&server);
    client_start (&client, &server);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal (pthread_create (&threads[i], NULL, publish_many, &client), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join (threads[i], NULL);
    client_stop (&client, PAIRS);
    server_stop (&server);
}

/*  The courier looks after a second at the latest. If it had to do so even for one receipt in a
 *  hundred, because a publisher took the signal that was meant for it, the time would not do.
 *  signal_us: a SIGALRM that often; 0: never.  */
static void publish_in_time (server_t *server, suseconds_t signal_us)
{
    const struct itimerval often = {{0, signal_us}, {0, signal_us}}, never = {{0, 0}, {0, 0}};
    client_t client = {.last_ticket = 0};
    server_start (server);
    client_start (&client, server);
    uint64_t until_ms = bn_clock_now ().mono_ms + PAIRS_MS;
    assert_int_equal (setitimer (ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal (publish_one (&client, 100), BATON_OK);
    assert_true (bn_clock_now ().mono_ms < until_ms);
    assert_int_equal (setitimer (ITIMER_REAL, &never, NULL), 0);
    client_stop (&client, PAIRS);
    server_stop (server);
}

static void no_receipt_waits_for_the_courier_to_look (void **state)
{
    (void)state;
    server_t server = {.repeats = 0};
    publish_in_time (&server, 0);
}

/*  What nobody waits for comes when the next event is being sent.  */
static void answers_too_many_do_not_delay_a_receipt (void **state)
{
    (void)state;
    server_t server = {.repeats = 8};
    publish_in_time (&server, 0);
}

static void ignore (int signal_number)
{
    (void)signal_number;
}

static void signals_do_not_harm_a_publisher (void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = ignore}, before;
    server_t server = {.repeats = 0};
    assert_int_equal (sigaction (SIGALRM, &action, &before), 0);
    publish_in_time (&server, 100);
    assert_int_equal (sigaction (SIGALRM, &before, NULL), 0);
}

/*  The outbox itself refuses the event, in the publisher's thread: it is told on the courier's.  */
static void a_refusal_is_told_on_the_courier_s_thread (void **state)
{
    (void)state;
    server_t server = {.message_bytes_max = 2048};
    client_t client = {.expected = BATON_ERR_TOO_LARGE};
    server_start (&server);
    client_start (&client, &server);
    uint64_t until_ms = bn_clock_now ().mono_ms + PAIRS_MS;
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal (publish_one (&client, 2000), BATON_ERR_TOO_LARGE);
    assert_true (bn_clock_now ().mono_ms < until_ms);
    baton_producer_stats_t stats;
    baton_producer_stats (client.producer, &stats);
    assert_int_equal (stats.refused, PAIRS);
    assert_int_equal (stats.inflight_bytes, 0);
    assert_non_null (strstr (stats.last_error, "more than a message may have"));
    client_stop (&client, PAIRS);
    server_stop (&server);
}

/*  The connection is lost right after a receipt, when the next event is sent.  */
static void an_event_for_a_lost_connection_goes_by_the_next_one (void **state)
{
    (void)state;
    enum { EVENTS = 200, EVERY = 20 };
    server_t server = {.goes_after = EVERY};
    client_t client = {.last_ticket = 0};
    server_start (&server);
    client_start (&client, &server);
    for (int i = 0; i < EVENTS; i++)
        assert_int_equal (publish_one (&client, 100), BATON_OK);
    baton_producer_stats_t stats;
    baton_producer_stats (client.producer, &stats);
    assert_true (stats.reconnects >= EVENTS / EVERY - 1);
    client_stop (&client, EVENTS);
    server_stop (&server);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (callbacks_take_a_lock_that_publishers_hold),
        cmocka_unit_test (no_receipt_waits_for_the_courier_to_look),
        cmocka_unit_test (answers_too_many_do_not_delay_a_receipt),
        cmocka_unit_test (signals_do_not_harm_a_publisher),
        cmocka_unit_test (a_refusal_is_told_on_the_courier_s_thread),
        cmocka_unit_test (an_event_for_a_lost_connection_goes_by_the_next_one),
    };
    return cmocka_run_group_tests_name ("producer", tests, NULL, NULL);
}
