/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/socket.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bn_inbound_init (bn_inbound_t *self)
{
    *self = (bn_inbound_t){.count = 0};
}

static void release (bn_inbound_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        zmq_msg_close (&self->messages[i]);
        bn_blob_unref (&self->blobs[i]);
    }
    self->count = 0;
    self->overflow = false;
}

void bn_inbound_fini (bn_inbound_t *self)
{
    release (self);
    free (self->messages);
    free (self->frames);
    free (self->blobs);
    *self = (bn_inbound_t){.count = 0};
}

/*  Room for one more frame. A zmq_msg_t must not be moved by memcpy: it may point into itself.  */
static bool reserve (bn_inbound_t *self)
{
    if (self->count < self->capacity)
        return true;
    size_t capacity = self->capacity ? self->capacity * 2 : 8;
    zmq_msg_t *messages = malloc (capacity * sizeof *messages);
    bn_frame_t *frames = malloc (capacity * sizeof *frames);
    bn_blob_t **blobs = malloc (capacity * sizeof *blobs);
    if (!messages || !frames || !blobs) {
        free (messages);
        free (frames);
        free (blobs);
        return false;
    }
    for (size_t i = 0; i < self->count; i++) {
        zmq_msg_init (&messages[i]);
        zmq_msg_move (&messages[i], &self->messages[i]);
        zmq_msg_close (&self->messages[i]);
        blobs[i] = self->blobs[i];
    }
    free (self->messages);
    free (self->frames);
    free (self->blobs);
    self->messages = messages;
    self->frames = frames;
    self->blobs = blobs;
    self->capacity = capacity;
    return true;
}

/*  Reads the remaining frames of a message and drops them.  */
static void drop_rest (void *socket, bool more)
{
    while (more) {
        zmq_msg_t message;
        zmq_msg_init (&message);
        int rc = zmq_msg_recv (&message, socket, 0);
        bool again = rc < 0 && errno == EINTR;
        more = again || (rc >= 0 && zmq_msg_more (&message));
        zmq_msg_close (&message);
    }
}

int bn_inbound_receive (bn_inbound_t *self, void *socket, int flags, size_t frames_max,
                        size_t keep_from)
{
    release (self);
    bool more = true;
    while (more) {
        if (self->count == frames_max) {
            self->overflow = true;
            drop_rest (socket, more);
            break;
        }
        if (!reserve (self)) {
            if (self->count > 0)
                drop_rest (socket, more);
            release (self);
            errno = ENOMEM;
            return -1;
        }
        zmq_msg_t *message = &self->messages[self->count];
        zmq_msg_init (message);
        int rc;
        do
            rc = zmq_msg_recv (message, socket, flags);
        while (rc < 0 && errno == EINTR && self->count > 0);
        if (rc < 0) {
            int saved = errno;
            zmq_msg_close (message);
            release (self);
            errno = saved;
            return -1;
        }
        self->blobs[self->count++] = NULL;
        more = zmq_msg_more (message);
    }
    for (size_t i = 0; i < self->count; i++) {
        zmq_msg_t *message = &self->messages[i];
        self->frames[i] = (bn_frame_t){zmq_msg_data (message), zmq_msg_size (message)};
        if (i < keep_from)
            continue;
        self->blobs[i] = bn_blob_new_copy (self->frames[i].data, self->frames[i].size);
        if (!self->blobs[i]) {
            release (self);
            errno = ENOMEM;
            return -1;
        }
        self->frames[i].data = self->blobs[i]->data;
    }
    return 0;
}

static void free_blob (void *data, void *hint)
{
    (void)data;
    bn_blob_t *blob = hint;
    bn_blob_unref (&blob);
}

/*  One frame; from by_reference bytes up it is not copied.  */
static int send_frame (void *socket, const bn_slice_t *frame, size_t by_reference, int flags)
{
    zmq_msg_t message;
    int rc;
    bn_blob_t *blob = frame->blob;
    if (blob && frame->size >= by_reference) {
        rc = zmq_msg_init_data (&message, (void *)frame->data, frame->size, free_blob,
                                bn_blob_ref (blob));
        if (rc != 0)
            bn_blob_unref (&blob);
    } else {
        rc = zmq_msg_init_size (&message, frame->size);
        if (rc == 0 && frame->size > 0)
            memcpy (zmq_msg_data (&message), frame->data, frame->size);
    }
    if (rc != 0)
        return -1;
    do
        rc = zmq_msg_send (&message, socket, flags);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        int saved = errno;
        zmq_msg_close (&message);
        errno = saved;
        return -1;
    }
    return 0;
}

int bn_send_slice (void *socket, bn_blob_t *blob, const void *data, size_t size, int flags)
{
    bn_slice_t frame = {.blob = blob, .data = data, .size = size};
    return send_frame (socket, &frame, BN_ZERO_COPY_BYTES_MIN, flags);
}

/*  last_by_reference: as by_reference, of the last frame.  */
static int send_message (void *socket, bn_blob_t *head, const bn_slice_t *payloads, size_t count,
                         size_t last_by_reference, int flags)
{
    bn_slice_t first = {.blob = head, .data = head->data, .size = head->size};
    int rc = send_frame (socket, &first, count > 0 ? BN_ZERO_COPY_BYTES_MIN : last_by_reference,
                         flags | (count > 0 ? ZMQ_SNDMORE : 0));
    if (rc != 0)
        return -1;
    /*  When the peer goes between two frames, libzmq fails one send and swallows what follows up to
     *  the last frame: so all of them are sent in any case, or the next message would be taken for
     *  the rest of this one.  */
    int failure = 0;
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        int more = last ? 0 : ZMQ_SNDMORE;
        rc = send_frame (socket, &payloads[i], last ? last_by_reference : BN_ZERO_COPY_BYTES_MIN,
                         flags | more);
        if (rc == 0)
            continue;
        if (failure == 0)
            failure = errno;
        if (errno == ENOMEM)
            zmq_send (socket, "", 0, flags | more);
    }
    errno = failure;
    return failure ? -1 : 0;
}

int bn_send_message (void *socket, bn_blob_t *head, const bn_slice_t *payloads, size_t count,
                     int flags)
{
    return send_message (socket, head, payloads, count, BN_ZERO_COPY_BYTES_MIN, flags);
}

int bn_send_message_tracked (void *socket, bn_blob_t *head, const bn_slice_t *payloads,
                             size_t count, int flags)
{
    return send_message (socket, head, payloads, count, 0, flags);
}
