/* SPDX-License-Identifier: MPL-2.0 */

/*  socket.h - ZeroMQ messages to frames and blobs, and back.
 *
 *  Raw zmq_msg_t on the hot path. A received small message pins an 8 KiB receive buffer of libzmq:
 *  what is kept is copied into a blob.  */
#ifndef BN_SOCKET_H
#define BN_SOCKET_H

#include "base/blob.h"
#include "wire/message.h"
#include <zmq.h>

typedef struct {
    zmq_msg_t *messages; /* owned */
    bn_frame_t *frames;  /* windows on the messages */
    bn_blob_t **blobs;   /* owned; frame k as a blob, or NULL where not asked for */
    size_t count;
    size_t capacity;
    bool overflow; /* more than frames_max frames came; the rest was read and dropped */
} bn_inbound_t;

void bn_inbound_init (bn_inbound_t *self);
void bn_inbound_fini (bn_inbound_t *self);
/*  Receives one whole message (releasing the last one). 0, or -1 with errno (EAGAIN with
 *  ZMQ_DONTWAIT in flags, ETERM, ENOMEM). keep_from: frames from that index on also become blobs
 *  (SIZE_MAX: none).  */
int bn_inbound_receive (bn_inbound_t *self, void *socket, int flags, size_t frames_max,
                        size_t keep_from);

/*  Below this a copy costs less than the allocation and the atomic count of zmq_msg_init_data.  */
#define BN_ZERO_COPY_BYTES_MIN 8192

/*  Sends one frame. From 8 KiB up the bytes are not copied: the blob is counted and released when
 *  libzmq is done (on an I/O thread). blob may be NULL: copied. 0, or -1 with errno.  */
int bn_send_slice (void *socket, bn_blob_t *blob, const void *data, size_t size, int flags);
/*  head, then payloads, as one message. 0, or -1 with errno (nothing sent: EAGAIN,
 *  EHOSTUNREACH).  */
int bn_send_message (void *socket, bn_blob_t *head, const bn_slice_t *payloads, size_t count,
                     int flags);
/*  The same, but the last frame is not copied, whatever its size: when its blob has lost the owner
 *  that this added, libzmq has passed all of the message on, or dropped it.  */
int bn_send_message_tracked (void *socket, bn_blob_t *head, const bn_slice_t *payloads,
                             size_t count, int flags);

#endif
