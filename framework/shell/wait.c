/* SPDX-License-Identifier: MPL-2.0 */

/*  wait.c - see wait.h. What libzmq promises of ZMQ_FD is in zmq_getsockopt(3).  */
#include "shell/wait.h"
#include "base/assert.h"
#include <limits.h>
#include <poll.h>
#include <zmq.h>

/*  Is there something to receive? Asking also clears the socket's descriptor.  */
static bool has_input (void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    /*  A socket that cannot tell is tried: the receive says what is wrong.  */
    return zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size) != 0 || (events & ZMQ_POLLIN);
}

static int descriptor (void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt (socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

void bn_wait_ask (bn_wait_item_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bn_wait_item_t *item = &items[i];
        item->ready = item->socket && !item->quiet && has_input (item->socket);
        if (item->socket)
            item->fd = descriptor (item->socket);
    }
}

int bn_wait_sleep (bn_wait_item_t *items, size_t count, long timeout_ms)
{
    struct pollfd polled[BN_WAIT_ITEMS_MAX];
    bool any = false;
    bn_assert (count <= BN_WAIT_ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        any |= items[i].ready;
        polled[i] = (struct pollfd){.fd = items[i].fd, .events = POLLIN};
    }
    int timeout = any ? 0 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    if (poll (polled, count, timeout) < 0) {
        for (size_t i = 0; i < count; i++)
            items[i].ready = false;
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        items[i].ready |= polled[i].revents != 0;
    return 0;
}

int bn_wait (bn_wait_item_t *items, size_t count, long timeout_ms)
{
    bn_wait_ask (items, count);
    return bn_wait_sleep (items, count, timeout_ms);
}
