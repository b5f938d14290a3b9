/* SPDX-License-Identifier: MPL-2.0 */

/*  unsent.h - answers that libzmq has not sent yet, but for small ones, by connection.
 *
 *  DESIGN. libzmq bounds its queues in messages, which is generous for receipts and far too much
 *  for EVENTS, a STATUS or a list of dead letters. It releases the last frame of an answer when all
 *  of the answer has gone out; until then that frame's blob has a second owner
 *  (bn_send_message_tracked). So a connection that asks and does not read is known by its blobs,
 *  and costs no more than its share.
 *
 *  INVARIANT U1: a connection has at most BN_UNSENT_MAX answers, and gets none while it has
 *  BN_UNSENT_ROUTE_BYTES.
 *  INVARIANT U2: while all together have BN_UNSENT_TOTAL_BYTES, a connection gets one answer at a
 *  time, of BN_UNSENT_SCANT_BYTES, or whole if it cannot be cut: who reads goes on, slowly,
 *  and who does not costs little more.
 *
 *  Orchestrator's thread.  */
#ifndef BN_UNSENT_H
#define BN_UNSENT_H

#include "base/blob.h"
#include <stdbool.h>

#define BN_UNSENT_MAX         16 /* per connection; a client has two requests out at a time */
#define BN_UNSENT_ROUTE_BYTES ((size_t)16 * 1024 * 1024)
#define BN_UNSENT_TOTAL_BYTES ((size_t)256 * 1024 * 1024)
#define BN_UNSENT_SCANT_BYTES ((size_t)64 * 1024)
/*  What a section costs libzmq and the allocator beside its bytes.  */
#define BN_UNSENT_SECTION_BYTES 256

typedef struct {
    struct {
        uint64_t route;
        bn_blob_t *blob; /* owned (counted) */
        size_t bytes;    /* of the whole answer */
    } * items;           /* owned */
    size_t count;
    size_t capacity;
    size_t bytes; /* of all items */
} bn_unsent_t;

/*  Forgets what has been sent meanwhile.  */
void bn_unsent_sweep (bn_unsent_t *self);
/*  Bytes that the connection's next answer may have, if it wants `wanted` (1 or more); 0: none.  */
size_t bn_unsent_room (const bn_unsent_t *self, uint64_t route, size_t wanted);
/*  Remembers an answer of so many bytes by its last payload's blob, before it is sent. false: no
 *  memory.  */
bool bn_unsent_add (bn_unsent_t *self, uint64_t route, bn_blob_t *blob, size_t bytes);
void bn_unsent_fini (bn_unsent_t *self);

#endif
