/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/node_link.h"
#include "client/link.h"
#include "shell/log.h"
#include "shell/socket.h"
#include <stdlib.h>
#include <string.h>

#define HWM          16
#define HEARTBEAT_MS 1000
#define TIMEOUT_MS   5000
#define FAREWELL_MS  1000

struct bn_node_link {
    void *context;  /* owned */
    void *dealer;   /* owned; NULL: it could not be made */
    char *endpoint; /* owned */
    bn_inbound_t inbound;
};

static bool s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof (value)) == 0;
}

/*  False with errno.  */
static bool s_open (bn_node_link_t *self)
{
    int64_t bytes_max = BN_NODE_MESSAGE_BYTES_MAX;
    self->dealer = zmq_socket (self->context, ZMQ_DEALER);
    if (!self->dealer)
        return false;
    bn_link_socket_options (self->dealer);
    return s_set (self->dealer, ZMQ_LINGER, 0) && s_set (self->dealer, ZMQ_IMMEDIATE, 1) &&
           s_set (self->dealer, ZMQ_SNDHWM, HWM) && s_set (self->dealer, ZMQ_RCVHWM, HWM) &&
           s_set (self->dealer, ZMQ_RECONNECT_IVL, 100) &&
           s_set (self->dealer, ZMQ_RECONNECT_IVL_MAX, 1000) &&
           s_set (self->dealer, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           s_set (self->dealer, ZMQ_HEARTBEAT_TIMEOUT, TIMEOUT_MS) &&
           zmq_setsockopt (self->dealer, ZMQ_MAXMSGSIZE, &bytes_max, sizeof (bytes_max)) == 0 &&
           bn_link_connect (self->dealer, self->endpoint) == 0;
}

baton_err_t bn_node_link_new (bn_node_link_t **link, const char *endpoint, char detail[512])
{
    *link = NULL;
    bn_node_link_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    bn_inbound_init (&self->inbound);
    self->endpoint = strdup (endpoint);
    self->context = zmq_ctx_new ();
    if (!self->endpoint || !self->context || !s_open (self)) {
        snprintf (detail, 512, "%.300s: %s", endpoint, zmq_strerror (zmq_errno ()));
        bn_node_link_destroy (&self);
        return BATON_ERR_ADDRESS;
    }
    *link = self;
    return BATON_OK;
}

void bn_node_link_destroy (bn_node_link_t **self_p)
{
    bn_node_link_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    bn_inbound_fini (&self->inbound);
    if (self->dealer) {
        s_set (self->dealer, ZMQ_LINGER, FAREWELL_MS);
        zmq_close (self->dealer);
    }
    if (self->context)
        zmq_ctx_term (self->context);
    free (self->endpoint);
    free (self);
}

int bn_node_link_fd (const bn_node_link_t *self)
{
    int fd = -1;
    size_t size = sizeof (fd);
    if (self->dealer)
        zmq_getsockopt (self->dealer, ZMQ_FD, &fd, &size);
    return fd;
}

void bn_node_link_renew (bn_node_link_t *self)
{
    if (self->dealer)
        zmq_close (self->dealer);
    if (!s_open (self))
        bn_log (BN_LOG_WARNING, "%s: %s", self->endpoint, zmq_strerror (zmq_errno ()));
}

bool bn_node_link_send (bn_node_link_t *self, const bn_node_message_t *message)
{
    bn_blob_t *bytes = bn_node_message_encode (message);
    int rc = bytes && self->dealer
                 ? bn_send_slice (self->dealer, bytes, bytes->data, bytes->size, ZMQ_DONTWAIT)
                 : -1;
    bn_blob_unref (&bytes);
    return rc == 0;
}

bool bn_node_link_receive (bn_node_link_t *self, bn_node_message_t *message, char what[256])
{
    *what = 0;
    if (!self->dealer ||
        bn_inbound_receive (&self->inbound, self->dealer, ZMQ_DONTWAIT, 1, SIZE_MAX))
        return false;
    memset (message, 0, sizeof (*message));
    if (self->inbound.overflow || self->inbound.count != 1)
        snprintf (what, 256, "it is not one frame");
    else
        bn_node_message_decode (message, self->inbound.frames[0].data, self->inbound.frames[0].size,
                                what);
    return true;
}
