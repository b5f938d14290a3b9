/* SPDX-License-Identifier: MPL-2.0 */

/*  proxy.c - a bare zmq_proxy between PUB and SUB: no journal, no receipts, no acknowledgements, no
 *  bounds (high-water marks 0, so that nothing is dropped). What ZeroMQ itself can do, with one
 *  message for each event or with batches.  */
#include "peer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static bool zmq_failed (const char *what)
{
    return peer_failed ("%s: %s", what, zmq_strerror (zmq_errno ()));
}

static void *open_socket (void *context, int type)
{
    int unbounded = 0, linger_ms = 10000, timeout_ms = PEER_IDLE_MS;
    void *socket = zmq_socket (context, type);
    if (socket) {
        zmq_setsockopt (socket, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
        zmq_setsockopt (socket, ZMQ_RCVHWM, &unbounded, sizeof unbounded);
        zmq_setsockopt (socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        if (type != ZMQ_XPUB && type != ZMQ_XSUB)
            zmq_setsockopt (socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    }
    return socket;
}

/*  The index-th port of HOST:IN:OUT.  */
static bool endpoint_of (const peer_load_t *load, int index, char url[96])
{
    char host[64];
    int ports[2];
    if (sscanf (load->endpoint, "%63[^:]:%d:%d", host, &ports[0], &ports[1]) != 3)
        return peer_failed ("endpoint %s", load->endpoint);
    snprintf (url, 96, "tcp://%s:%d", host, ports[index]);
    return true;
}

/*  Until it is ended.  */
bool peer_proxy_server (peer_load_t *load)
{
    char in[96], out[96];
    void *context = zmq_ctx_new ();
    void *xsub = open_socket (context, ZMQ_XSUB), *xpub = open_socket (context, ZMQ_XPUB);
    if (!endpoint_of (load, 0, in) || !endpoint_of (load, 1, out))
        return false;
    if (zmq_bind (xsub, in) || zmq_bind (xpub, out))
        return zmq_failed (load->endpoint);
    peer_ready ();
    zmq_proxy (xsub, xpub, NULL);
    return zmq_failed ("zmq_proxy");
}

bool peer_proxy_producer (peer_load_t *load)
{
    char url[96], subscription[8];
    char *batch = malloc (PEER_SIZE_MAX);
    void *context = zmq_ctx_new ();
    void *socket = open_socket (context, ZMQ_XPUB);
    uint64_t per_message = load->window ? load->window / load->size : 1;
    int timeout_ms = PEER_IDLE_MS;
    if (!batch || !endpoint_of (load, 0, url))
        return false;
    if (load->window > PEER_SIZE_MAX || per_message == 0)
        return peer_failed ("window: at least an event, at most %u bytes", PEER_SIZE_MAX);
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    /*  The proxy passes the subscription on: then events get through.  */
    if (zmq_connect (socket, url) || zmq_recv (socket, subscription, sizeof subscription, 0) < 0)
        return zmq_failed (url);
    load->first_ns = peer_now_ns ();
    uint64_t gathered = 0;
    for (uint64_t k = 0; k < load->events; k++) {
        uint64_t from_ns = peer_await_turn (load, peer_due_ns (load, load->first_ns, k));
        peer_fill (load, batch + gathered++ * load->size, from_ns);
        if (gathered < per_message && k + 1 < load->events)
            continue;
        if (zmq_send (socket, batch, gathered * load->size, 0) < 0)
            return zmq_failed ("send");
        gathered = 0;
    }
    load->done = load->events;
    load->last_ns = peer_now_ns ();
    free (batch);
    zmq_close (socket);
    zmq_ctx_term (context);
    return true;
}

bool peer_proxy_consumer (peer_load_t *load)
{
    char url[96];
    char *batch = malloc (PEER_SIZE_MAX);
    void *context = zmq_ctx_new ();
    void *socket = open_socket (context, ZMQ_SUB);
    if (!batch || !endpoint_of (load, 1, url))
        return false;
    zmq_setsockopt (socket, ZMQ_SUBSCRIBE, "", 0);
    if (zmq_connect (socket, url))
        return zmq_failed (url);
    peer_ready ();
    while (load->done < load->events) {
        int size = zmq_recv (socket, batch, PEER_SIZE_MAX, 0);
        if (size < 0)
            return zmq_failed ("receive");
        for (uint64_t at = 0; at < (uint64_t)size; at += load->size)
            if (!peer_handle (load, batch + at, load->size))
                return false;
    }
    free (batch);
    zmq_close (socket);
    zmq_ctx_term (context);
    return true;
}
