/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/sockets.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

/*  Per connection. Requests wait in the client when these are full. Answers are small (large ones:
 *  unsent.h) and may come in one burst for all that a client has sent without waiting.  */
#define REQUEST_HWM 64
#define ANSWER_HWM  10000
/*  The fan-out socket receives nothing but subscriptions.  */
#define SUBSCRIPTION_BYTES_MAX 1024
#define BACKLOG                1024
#define HANDSHAKE_MS           3000
#define ROUTES_SLACK           1024 /* connections without a session, beside sessions_max */

static bool set_int (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

static bool set_message_max (void *socket, int64_t bytes)
{
    return zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &bytes, sizeof bytes) == 0;
}

/*  What both sockets need. Heartbeats find peers whose host or network has gone without a word; a
 *  reset or closed connection is noticed at once.  */
static bool set_common (void *socket, const baton_orchestrator_options_t *options)
{
    int timeout_ms = (int)options->session_timeout_ms;
    return set_int (socket, ZMQ_LINGER, 0) && set_int (socket, ZMQ_BACKLOG, BACKLOG) &&
           set_int (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int (socket, ZMQ_HEARTBEAT_IVL, timeout_ms / 4) &&
           set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, timeout_ms);
}

static bool set_router (void *socket, const baton_orchestrator_options_t *options)
{
    /*  A request that is somewhat too large gets an answer that says so; one that is far too large
     *  loses its connection before it fills the memory.  */
    return set_common (socket, options) && set_int (socket, ZMQ_ROUTER_MANDATORY, 1) &&
           set_int (socket, ZMQ_RCVHWM, REQUEST_HWM) && set_int (socket, ZMQ_SNDHWM, ANSWER_HWM) &&
           set_message_max (socket, 2 * (int64_t)options->message_bytes_max);
}

static bool set_fanout (void *socket, const baton_orchestrator_options_t *options)
{
    return set_common (socket, options) && set_int (socket, ZMQ_SNDHWM, (int)options->fanout_hwm) &&
           set_message_max (socket, SUBSCRIPTION_BYTES_MAX);
}

/*  True if somebody listens on this UNIX socket: libzmq would take the path away from them.  */
static bool ipc_taken (const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen (path) >= sizeof address.sun_path)
        return false;
    strcpy (address.sun_path, path);
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool taken = connect (fd, (struct sockaddr *)&address, sizeof address) == 0;
    close (fd);
    return taken;
}

/*  0, or an errno.  */
static int bind_socket (void *socket, const char *endpoint, char real[BN_ENDPOINT_BYTES_MAX + 1])
{
    if (strncmp (endpoint, "ipc://", 6) == 0 && ipc_taken (endpoint + 6))
        return EADDRINUSE;
    if (endpoint[6] == '[' && !set_int (socket, ZMQ_IPV6, 1))
        return errno;
    if (zmq_bind (socket, endpoint) != 0)
        return errno;
    size_t size = BN_ENDPOINT_BYTES_MAX + 1;
    return zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, real, &size) == 0 ? 0 : errno;
}

static baton_err_t refuse (const char *endpoint, int error, char detail[512])
{
    snprintf (detail, 512, "cannot bind %s: %s", endpoint, zmq_strerror (error));
    return BATON_ERR_ADDRESS;
}

/*  Host (with "tcp://") of an endpoint, without the port.  */
static int host_length (const char *endpoint)
{
    return (int)(strrchr (endpoint, ':') - endpoint);
}

static baton_err_t bind_fanout (bn_sockets_t *self, const baton_orchestrator_options_t *options,
                                char detail[512])
{
    char next[BN_ENDPOINT_BYTES_MAX + 16];
    const char *wanted = options->fanout_endpoint;
    bool tcp = strncmp (self->endpoint, "tcp://", 6) == 0;
    int host = host_length (self->endpoint);
    if (!wanted) {
        if (tcp)
            snprintf (next, sizeof next, "%.*s:%d", host, self->endpoint,
                      atoi (self->endpoint + host + 1) + 1);
        else
            snprintf (next, sizeof next, "%s-fanout", self->endpoint);
        wanted = next;
    }
    int error = bind_socket (self->fanout, wanted, self->fanout_endpoint);
    bool any = !options->fanout_endpoint && tcp && strstr (options->endpoint, ":*");
    if (error && any) {
        snprintf (next, sizeof next, "%.*s:*", host, self->endpoint);
        error = bind_socket (self->fanout, next, self->fanout_endpoint);
    }
    return error ? refuse (wanted, error, detail) : BATON_OK;
}

static void warn_if_open (const char *endpoint)
{
    static const char *const local[] = {"ipc://", "tcp://127.", "tcp://localhost:", "tcp://[::1]:"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strncmp (endpoint, local[i], strlen (local[i])) == 0)
            return;
    bn_log (BN_LOG_WARNING,
            "%s can be reached from other machines: nothing is encrypted and nobody is "
            "authenticated yet",
            endpoint);
}

baton_err_t bn_sockets_open (bn_sockets_t *self, const baton_orchestrator_options_t *options,
                             char detail[512])
{
    *self = (bn_sockets_t){.context = NULL};
    bn_random_seed_libc ();
    self->context = zmq_ctx_new ();
    if (self->context)
        zmq_ctx_set (self->context, ZMQ_IO_THREADS, 1); /* routes.h relies on it */
    self->router = self->context ? zmq_socket (self->context, ZMQ_ROUTER) : NULL;
    self->fanout = self->router ? zmq_socket (self->context, ZMQ_XPUB) : NULL;
    baton_err_t err = BATON_OK;
    if (!self->fanout || !set_router (self->router, options) ||
        !set_fanout (self->fanout, options)) {
        snprintf (detail, 512, "cannot open sockets: %s", zmq_strerror (errno));
        err = errno == ENOMEM ? BATON_ERR_MEMORY : BATON_ERR_SYSTEM;
    }
    if (!err) {
        /*  Before the bind: a connection that it has not seen come would be taken for dead.  */
        if (bn_door_init (&self->door, self->context, self->fanout))
            self->routes = bn_routes_new (self->context, self->router, &self->door,
                                          options->sessions_max + ROUTES_SLACK);
        if (!self->routes) {
            snprintf (detail, 512, "cannot watch the sockets: %s", zmq_strerror (errno));
            err = errno == ENOMEM ? BATON_ERR_MEMORY : BATON_ERR_SYSTEM;
        }
    }
    if (!err) {
        int error = bind_socket (self->router, options->endpoint, self->endpoint);
        err = error ? refuse (options->endpoint, error, detail) : BATON_OK;
    }
    if (!err)
        err = bind_fanout (self, options, detail);
    if (err) {
        bn_sockets_close (self, 0);
        return err;
    }
    warn_if_open (self->endpoint);
    warn_if_open (self->fanout_endpoint);
    return BATON_OK;
}

void bn_sockets_close (bn_sockets_t *self, int linger_ms)
{
    bn_routes_destroy (&self->routes);
    bn_door_fini (&self->door);
    if (self->fanout) {
        set_int (self->fanout, ZMQ_LINGER, linger_ms);
        zmq_close (self->fanout);
    }
    if (self->router) {
        set_int (self->router, ZMQ_LINGER, linger_ms);
        zmq_close (self->router);
    }
    if (self->context)
        while (zmq_ctx_term (self->context) != 0 && errno == EINTR)
            ;
    self->context = self->router = self->fanout = NULL;
}
