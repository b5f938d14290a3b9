/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/monitor.h"
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

void *bn_monitor_new (void *context, void *watched, const char *endpoint)
{
    int none = 0;
    void *self = NULL;
    if (zmq_socket_monitor (watched, endpoint, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED) == 0)
        self = zmq_socket (context, ZMQ_PAIR);
    /*  libzmq's I/O thread writes to the monitor and would wait for room: there must always be
     *  some.  */
    if (self && zmq_setsockopt (self, ZMQ_RCVHWM, &none, sizeof none) == 0 &&
        zmq_setsockopt (self, ZMQ_LINGER, &none, sizeof none) == 0 &&
        zmq_connect (self, endpoint) == 0)
        return self;
    int saved = errno;
    bn_monitor_destroy (&self, watched);
    errno = saved;
    return NULL;
}

void bn_monitor_destroy (void **self_p, void *watched)
{
    zmq_socket_monitor (watched, NULL, 0);
    if (*self_p)
        zmq_close (*self_p);
    *self_p = NULL;
}

/*  A report is two frames: number and value of the event, and the endpoint.  */
bool bn_monitor_next (void *self, bn_monitor_event_t *event)
{
    for (;;) {
        zmq_msg_t message;
        zmq_msg_init (&message);
        int rc = zmq_msg_recv (&message, self, ZMQ_DONTWAIT);
        int error = errno;
        uint16_t number;
        int32_t value = -1;
        if (rc >= (int)(sizeof number + sizeof value) && zmq_msg_more (&message)) {
            const uint8_t *bytes = zmq_msg_data (&message);
            memcpy (&number, bytes, sizeof number);
            memcpy (&value, bytes + sizeof number, sizeof value);
            *event = (bn_monitor_event_t){.fd = value, .came = number == ZMQ_EVENT_ACCEPTED};
        }
        zmq_msg_close (&message);
        if (value >= 0)
            return true;
        if (rc < 0 && error != EINTR)
            return false;
    }
}
