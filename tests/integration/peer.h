/* SPDX-License-Identifier: MPL-2.0 */

/*  peer.h - a client made of nothing but a DEALER and wire/message.h, for tests that speak to an
 *  orchestrator without the client library.  */
#ifndef TEST_PEER_H
#define TEST_PEER_H

#include "shell/socket.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct {
    void *context;
    void *socket;         /* DEALER */
    bn_inbound_t inbound; /* the last answer; messages borrow from it */
    bn_message_t reply;   /* the last answer, decoded; freed by the next call */
    uint64_t request;     /* last number used */
    uint64_t journal_id;  /* from WELCOME */
    uint64_t tail;
    uint32_t partitions;
    uint64_t producer_sequence;
    char fanout_endpoint[BN_ENDPOINT_BYTES_MAX + 1];
} peer_t;

void peer_init (peer_t *self, const char *endpoint);
void peer_fini (peer_t *self);

/*  Sends a request and waits for the answer with its number; anything unsolicited is passed over.
 */
const bn_message_t *peer_request (peer_t *self, bn_message_t *message);
/*  The next message, whatever it is; NULL: none came within timeout_ms.  */
const bn_message_t *peer_receive (peer_t *self, int timeout_ms);
/*  Sends frames as they are.  */
void peer_send_raw (peer_t *self, const bn_frame_t *frames, size_t count);

/*  HELLO; the answer must be WELCOME.  */
void peer_hello (peer_t *self, bn_role_t role, uint64_t incarnation);
/*  PUBLISH of `count` events with the keys "k0", "k1", ... and the data "d0", ... (text/plain).  */
const bn_message_t *peer_publish (peer_t *self, uint64_t producer_id, uint64_t sequence,
                                  const char *topic, uint32_t count, size_t data_size);
/*  The same without waiting for the answer.  */
void peer_publish_only (peer_t *self, uint64_t producer_id, uint64_t sequence, const char *topic,
                        uint32_t count, size_t data_size);
/*  JOIN of one pattern.  */
const bn_message_t *peer_join (peer_t *self, const char *actor, const char *instance,
                               uint64_t incarnation, const char *pattern);
void peer_join_only (peer_t *self, const char *actor, const char *instance, uint64_t incarnation,
                     const char *pattern);
/*  READ everything from an offset.  */
const bn_message_t *peer_read (peer_t *self, uint64_t from, uint32_t bytes_max);

bn_text_t peer_text (const char *text);

#endif
