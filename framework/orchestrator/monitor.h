/* SPDX-License-Identifier: MPL-2.0 */

/*  monitor.h - what libzmq reports of the connections of a socket: who came and who left.  */
#ifndef BN_MONITOR_H
#define BN_MONITOR_H

#include <stdbool.h>

typedef struct {
    int fd;    /* of the connection */
    bool came; /* false: it has ended */
} bn_monitor_event_t;

/*  Starts to watch a socket; `endpoint` (inproc) is for this one alone. Returns a socket to poll
 *  on, owned by the caller. NULL: errno.  */
void *bn_monitor_new (void *context, void *watched, const char *endpoint);
/*  Before the watched socket is closed. Idempotent.  */
void bn_monitor_destroy (void **self_p, void *watched);
/*  The next report; false: there is none now.  */
bool bn_monitor_next (void *self, bn_monitor_event_t *event);

#endif
