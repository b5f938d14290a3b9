/* SPDX-License-Identifier: MPL-2.0 */

#include "client/link.h"
#include "base/assert.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS     100
#define BACKOFF_MAX_MS     5000
#define CONNECT_TIMEOUT_MS 3000
#define HANDSHAKE_MS       3000
/*  For a connection attempt of which libzmq reports no end (a name that does not resolve).  */
#define ATTEMPT_MS      (CONNECT_TIMEOUT_MS + HANDSHAKE_MS + 1000)
#define WARN_MS         5000
#define FRAME_BYTES_MAX (64 * 1024 * 1024) /* one frame from the orchestrator */
#define MONITOR_EVENTS                                                                             \
    (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |                   \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                  \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

typedef enum { LINK_WAIT, LINK_CONNECTING, LINK_UP } link_state_t;

struct bn_link {
    void *context;     /* borrowed */
    char *endpoint;    /* owned */
    void *dealer;      /* CONNECTING, UP; else NULL */
    void *monitor;     /* PAIR that hears about the dealer; as long as it */
    bool dealer_quiet; /* see wait.h */
    bool monitor_quiet;
    link_state_t state;
    bool went_down;      /* to be reported */
    bool answered;       /* something came on this connection */
    unsigned connection; /* number of the attempt: names the monitor's endpoint */
    uint64_t backoff_ms; /* before the next attempt */
    uint64_t due_ms;     /* WAIT: next attempt; CONNECTING: give the attempt up */
    uint64_t heard_ms;   /* when something came last, or when the link was made */
    uint64_t warn_ms;    /* next warning */
};

bool bn_link_endpoint_valid (const char *endpoint)
{
    size_t size = endpoint ? strlen (endpoint) : 0;
    if (size > BN_ENDPOINT_BYTES_MAX)
        return false;
    if (size > 6 && strncmp (endpoint, "ipc://", 6) == 0)
        return true;
    const char *port = size > 6 ? strrchr (endpoint + 6, ':') : NULL;
    if (!port || strncmp (endpoint, "tcp://", 6) != 0 || port == endpoint + 6)
        return false;
    size_t digits = strspn (port + 1, "0123456789");
    return digits >= 1 && digits <= 5 && port[1 + digits] == 0;
}

void bn_link_fanout_endpoint (const char *told, const char *own,
                              char result[BN_ENDPOINT_BYTES_MAX + 1])
{
    static const char *const wildcards[] = {"tcp://0.0.0.0:", "tcp://*:", "tcp://[::]:"};
    for (size_t i = 0; i < sizeof wildcards / sizeof *wildcards; i++) {
        size_t length = strlen (wildcards[i]);
        if (strncmp (told, wildcards[i], length) != 0)
            continue;
        /*  Over ipc it is this machine.  */
        const char *host = strncmp (own, "tcp://", 6) == 0 ? own : "tcp://127.0.0.1:";
        snprintf (result, BN_ENDPOINT_BYTES_MAX + 1, "%.*s:%s", (int)(strrchr (host, ':') - host),
                  host, told + length);
        return;
    }
    snprintf (result, BN_ENDPOINT_BYTES_MAX + 1, "%s", told);
}

bn_link_t *bn_link_new (void *context, const char *endpoint)
{
    bn_link_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    uint64_t now_ms = bn_clock_now ().mono_ms;
    self->context = context;
    self->endpoint = strdup (endpoint);
    self->backoff_ms = BACKOFF_MIN_MS;
    self->due_ms = now_ms;
    self->heard_ms = now_ms;
    self->warn_ms = now_ms + WARN_MS;
    if (!self->endpoint)
        bn_link_destroy (&self);
    return self;
}

static void close_sockets (bn_link_t *self)
{
    if (self->dealer) {
        zmq_socket_monitor (self->dealer, NULL, 0);
        zmq_close (self->dealer);
    }
    if (self->monitor)
        zmq_close (self->monitor);
    self->dealer = NULL;
    self->monitor = NULL;
}

void bn_link_destroy (bn_link_t **self_p)
{
    bn_link_t *self = *self_p;
    if (!self)
        return;
    close_sockets (self);
    free (self->endpoint);
    free (self);
    *self_p = NULL;
}

static void set_option (void *socket, int option, int value)
{
    int rc = zmq_setsockopt (socket, option, &value, sizeof value);
    bn_assert (rc == 0);
}

void bn_link_socket_options (void *socket)
{
    int64_t frame_bytes_max = FRAME_BYTES_MAX;
    int rc = zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max);
    bn_assert (rc == 0);
    set_option (socket, ZMQ_LINGER, 0);
    set_option (socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS);
    set_option (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
}

int bn_link_connect (void *socket, const char *endpoint)
{
    if (strncmp (endpoint, "tcp://[", 7) == 0)
        set_option (socket, ZMQ_IPV6, 1);
    int rc;
    do
        rc = zmq_connect (socket, endpoint);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/*  Makes the sockets of one attempt. False: the system has none left, or does not take the
 *  endpoint.  */
static bool connect_sockets (bn_link_t *self)
{
    char address[64];
    self->dealer_quiet = self->monitor_quiet = false;
    snprintf (address, sizeof address, "inproc://link-%p-%u", (void *)self, ++self->connection);
    self->dealer = zmq_socket (self->context, ZMQ_DEALER);
    self->monitor = zmq_socket (self->context, ZMQ_PAIR);
    if (!self->dealer || !self->monitor)
        return false;
    bn_link_socket_options (self->dealer);
    set_option (self->dealer, ZMQ_RECONNECT_IVL, -1);
    set_option (self->monitor, ZMQ_LINGER, 0);
    return zmq_socket_monitor (self->dealer, address, MONITOR_EVENTS) == 0 &&
           zmq_connect (self->monitor, address) == 0 &&
           bn_link_connect (self->dealer, self->endpoint) == 0;
}

/*  Half of the backoff is random, so that a thousand clients do not come back in one instant.  */
static void wait_and_retry (bn_link_t *self, uint64_t now_ms)
{
    close_sockets (self);
    self->state = LINK_WAIT;
    self->due_ms = now_ms + self->backoff_ms / 2 + bn_random_u64 () % (self->backoff_ms / 2 + 1);
    self->backoff_ms =
        self->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : self->backoff_ms * 2;
}

void bn_link_reset (bn_link_t *self, uint64_t now_ms)
{
    if (self->state == LINK_WAIT)
        return;
    if (self->state == LINK_UP) {
        self->went_down = true;
        self->warn_ms = now_ms + WARN_MS;
    }
    self->answered = false;
    wait_and_retry (self, now_ms);
}

void bn_link_wait_items (const bn_link_t *self, bn_wait_item_t *items)
{
    items[0] = (bn_wait_item_t){.socket = self->monitor, .fd = -1, .quiet = self->monitor_quiet};
    items[1] = (bn_wait_item_t){.socket = self->state == LINK_UP ? self->dealer : NULL,
                                .fd = -1,
                                .quiet = self->dealer_quiet};
}

void bn_link_waited (bn_link_t *self, const bn_wait_item_t *items)
{
    if (items[0].ready)
        self->monitor_quiet = false;
    if (items[1].ready)
        self->dealer_quiet = false;
}

uint64_t bn_link_due_ms (const bn_link_t *self)
{
    if (self->went_down)
        return 0;
    uint64_t due_ms = self->state == LINK_UP ? UINT64_MAX : self->due_ms;
    return !self->answered && self->warn_ms < due_ms ? self->warn_ms : due_ms;
}

/*  The next event of the monitor, 0 if there is none. Its second frame, the address, is dropped. */
static uint16_t monitor_event (bn_link_t *self)
{
    uint8_t bytes[6]; /* event u16, value u32 in native order */
    if (self->monitor_quiet)
        return 0;
    int rc = zmq_recv (self->monitor, bytes, sizeof bytes, ZMQ_DONTWAIT);
    self->monitor_quiet = rc < 0 && errno == EAGAIN;
    if (rc != sizeof bytes)
        return 0;
    zmq_msg_t address;
    zmq_msg_init (&address);
    zmq_msg_recv (&address, self->monitor, ZMQ_DONTWAIT);
    zmq_msg_close (&address);
    uint16_t event;
    memcpy (&event, bytes, sizeof event);
    return event;
}

static void warn_if_silent (bn_link_t *self, uint64_t now_ms)
{
    if (self->answered || now_ms < self->warn_ms)
        return;
    self->warn_ms = now_ms + WARN_MS;
    bn_log (BN_LOG_WARNING, "no orchestrator answers at %s for %" PRIu64 " s; still trying",
            self->endpoint, (now_ms - self->heard_ms) / 1000);
}

bn_link_change_t bn_link_advance (bn_link_t *self, uint64_t now_ms)
{
    warn_if_silent (self, now_ms);
    uint16_t event;
    while (self->monitor && (event = monitor_event (self)) != 0) {
        if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            bn_link_reset (self, now_ms);
        else if (self->state == LINK_CONNECTING) {
            self->state = LINK_UP;
            self->backoff_ms = BACKOFF_MIN_MS;
            return BN_LINK_CAME_UP;
        }
    }
    if (self->went_down) {
        self->went_down = false;
        return BN_LINK_WENT_DOWN;
    }
    if (self->state == LINK_UP || now_ms < self->due_ms)
        return BN_LINK_SAME;
    if (self->state == LINK_WAIT && connect_sockets (self)) {
        self->state = LINK_CONNECTING;
        self->due_ms = now_ms + ATTEMPT_MS;
    } else
        wait_and_retry (self, now_ms);
    return BN_LINK_SAME;
}

bool bn_link_is_up (const bn_link_t *self)
{
    return self->state == LINK_UP;
}

uint64_t bn_link_silent_ms (const bn_link_t *self, uint64_t now_ms)
{
    return self->answered || now_ms < self->heard_ms ? 0 : now_ms - self->heard_ms;
}

bool bn_link_receive (bn_link_t *self, bn_inbound_t *inbound, size_t keep_from, uint64_t now_ms)
{
    if (self->state != LINK_UP || self->dealer_quiet)
        return false;
    if (bn_inbound_receive (inbound, self->dealer, ZMQ_DONTWAIT, BN_FRAMES_MAX, keep_from) != 0) {
        self->dealer_quiet = errno == EAGAIN;
        /*  A message that found no memory is lost: start over instead of missing it.  */
        if (errno == ENOMEM)
            bn_link_reset (self, now_ms);
        return false;
    }
    self->answered = true;
    self->heard_ms = now_ms;
    return true;
}

bool bn_link_try_send (bn_link_t *self, bn_blob_t *head, const bn_slice_t *payloads, size_t count)
{
    bn_assert (self->state == LINK_UP);
    self->dealer_quiet = false;
    return bn_send_message (self->dealer, head, payloads, count, ZMQ_DONTWAIT) == 0;
}

void bn_link_send (bn_link_t *self, bn_blob_t *head, const bn_slice_t *payloads, size_t count,
                   uint64_t now_ms)
{
    if (self->state == LINK_UP && !bn_link_try_send (self, head, payloads, count))
        bn_link_reset (self, now_ms);
}
