/* SPDX-License-Identifier: MPL-2.0 */

/*  control.h - the control socket of a supervisor: both ends of it.
 *
 *  A Unix socket in the data directory: who may write there may control the processes, nobody else.
 *  At most 8 connections at a time, one request of at most 256 bytes on each, 2 s for it; a reply
 *  that the peer does not take is dropped with the connection.  */
#ifndef BN_CONTROL_H
#define BN_CONTROL_H

#include "base/buffer.h"
#include <baton/error.h>
#include <poll.h>
#include <stdint.h>

#define BN_CONTROL_CONNECTIONS_MAX   8
#define BN_CONTROL_REQUEST_BYTES_MAX 256
#define BN_CONTROL_REPLY_BYTES_MAX   (256 * 1024)
#define BN_CONTROL_POLL_FDS          (BN_CONTROL_CONNECTIONS_MAX + 1)

typedef struct bn_control bn_control_t;

/*  Answers a request (a line without its end, NUL-terminated) by appending to reply.  */
typedef void (bn_control_fn) (const char *request, bn_buffer_t *reply, void *arg);

baton_err_t bn_control_new (bn_control_t **control, const char *directory, char *detail,
                            size_t detail_size);
void bn_control_destroy (bn_control_t **self_p); /* removes the socket */
/*  Fills BN_CONTROL_POLL_FDS entries; unused ones have fd -1.  */
void bn_control_poll_prepare (const bn_control_t *self, struct pollfd *fds);
/*  Milliseconds until bn_control_poll must be called at the latest; -1: no need.  */
int bn_control_timeout_ms (const bn_control_t *self);
void bn_control_poll (bn_control_t *self, const struct pollfd *fds, bn_control_fn *answer,
                      void *arg);

/*  The other end: connects, asks, returns the answer (the caller's, NUL-terminated). Blocks at most
 *  5 s. Errors: UNREACHABLE (nobody listens there), PERMISSION, TIMEOUT, TOO_LARGE, MEMORY,
 *  SYSTEM.  */
baton_err_t bn_control_ask (const char *directory, const char *request, char **reply);

/*  Blocks until no supervisor has the directory. Errors: TIMEOUT, PERMISSION, SYSTEM.  */
baton_err_t bn_control_wait_end (const char *directory, uint64_t timeout_ms);

#endif
