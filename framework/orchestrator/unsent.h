/* SPDX-License-Identifier: MPL-2.0 */

/*  unsent.h - large answers that libzmq has not sent yet, by connection.
 *
 *  libzmq bounds its queues in messages, which is generous for receipts and far too much for
 *  EVENTS. It releases a large payload when it has gone out; until then the payload's blob has a
 *  second owner. So a connection that asks and does not read is known by its blobs. Orchestrator's
 *  thread.  */
#ifndef BN_UNSENT_H
#define BN_UNSENT_H

#include "base/blob.h"
#include <stdbool.h>

#define BN_UNSENT_MAX 16 /* large answers per connection; a client has two requests out at a time */

typedef struct {
    struct {
        uint64_t route;
        bn_blob_t *blob; /* owned (counted) */
    } * items;           /* owned */
    size_t count;
    size_t capacity;
} bn_unsent_t;

/*  Forgets what has been sent meanwhile.  */
void bn_unsent_sweep (bn_unsent_t *self);
/*  May the connection be sent another one?  */
bool bn_unsent_room (const bn_unsent_t *self, uint64_t route);
/*  Remembers a blob that is about to be sent. false: no memory.  */
bool bn_unsent_add (bn_unsent_t *self, uint64_t route, bn_blob_t *blob);
void bn_unsent_fini (bn_unsent_t *self);

#endif
