/* SPDX-License-Identifier: MPL-2.0 */

/*  link.h - one connection to an orchestrator: up, down, and up again.
 *
 *  DESIGN. A DEALER that libzmq reconnects by itself would send what is left in its queue into the
 *  next connection, before the HELLO that has to come first. So each connection has a fresh DEALER
 *  with libzmq's own reconnecting switched off; its socket monitor says when the handshake
 *  succeeded and when the connection is lost; then the socket is thrown away with all that is in
 *  it, and the machine above decides what is sent again.
 *
 *          connect              handshake
 *    WAIT ---------> CONNECTING ---------> UP
 *     ^                  |                  |
 *     +---- backoff -----+--- lost, reset --+
 *
 *  INVARIANT L1: nothing is ever sent on a connection other than the one that it was written for.
 *
 *  One thread at a time.  */
#ifndef BN_LINK_H
#define BN_LINK_H

#include "shell/socket.h"
#include "shell/wait.h"
#include <baton/error.h>

#define BN_LINK_WAIT_ITEMS 2

typedef struct bn_link bn_link_t;

typedef enum {
    BN_LINK_SAME,
    BN_LINK_CAME_UP,  /* a fresh connection; nothing was sent on it yet */
    BN_LINK_WENT_DOWN /* what was sent and not answered may or may not have arrived */
} bn_link_change_t;

/*  True for the transports that a link has: tcp:// and ipc:// with something behind it.  */
bool bn_link_endpoint_valid (const char *endpoint);

/*  The first connection is tried at once. `context` (of libzmq) is borrowed. NULL: no memory.  */
bn_link_t *bn_link_new (void *context, const char *endpoint);
void bn_link_destroy (bn_link_t **self_p);

/*  Fills BN_LINK_WAIT_ITEMS items with what to wait for; unused ones are left out. After the wait
 *  the same items are handed to bn_link_waited.  */
void bn_link_wait_items (const bn_link_t *self, bn_wait_item_t *items);
void bn_link_waited (bn_link_t *self, const bn_wait_item_t *items);
/*  Monotonic ms when bn_link_advance wants to be called at the latest.  */
uint64_t bn_link_due_ms (const bn_link_t *self);
/*  Reads the monitor, connects when it is time, logs a warning each 5 s while nobody answers. At
 *  most one change a call: call it until BN_LINK_SAME.  */
bn_link_change_t bn_link_advance (bn_link_t *self, uint64_t now_ms);
/*  Throws the connection away; the next advance says BN_LINK_WENT_DOWN if it was up.  */
void bn_link_reset (bn_link_t *self, uint64_t now_ms);

bool bn_link_is_up (const bn_link_t *self);
/*  Milliseconds since anything was heard on the link, 0 while it is up and answering.  */
uint64_t bn_link_silent_ms (const bn_link_t *self, uint64_t now_ms);

/*  Receives one message without waiting; false: none. keep_from as in bn_inbound_receive.  */
bool bn_link_receive (bn_link_t *self, bn_inbound_t *inbound, size_t keep_from, uint64_t now_ms);
/*  Sends without waiting; not up: dropped. A failure resets the link.  */
void bn_link_send (bn_link_t *self, bn_blob_t *head, const bn_slice_t *payloads, size_t count,
                   uint64_t now_ms);
/*  The same, on a link that is up, and a failure (false) leaves the reset to the caller: nothing
 *  else may be sent before that. For one whose sockets another thread sleeps on.  */
bool bn_link_try_send (bn_link_t *self, bn_blob_t *head, const bn_slice_t *payloads, size_t count);

/*  Where the fan-out is, for one who reached the orchestrator at `own`: "tcp://0.0.0.0:7712" says a
 *  port and no host, so the host is that of `own`.  */
void bn_link_fanout_endpoint (const char *told, const char *own,
                              char result[BN_ENDPOINT_BYTES_MAX + 1]);

/*  Sets the options that every client socket has: linger, timeouts, message bound.  */
void bn_link_socket_options (void *socket);
/*  zmq_connect, and what an IPv6 address ("tcp://[::1]:7711") needs for it.  */
int bn_link_connect (void *socket, const char *endpoint);

#endif
