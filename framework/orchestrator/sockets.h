/* SPDX-License-Identifier: MPL-2.0 */

/*  sockets.h - the two sockets of an orchestrator, bound, with every option that libzmq needs to be
 *  told (DESIGN.md section 8).  */
#ifndef BN_SOCKETS_H
#define BN_SOCKETS_H

#include "orchestrator/routes.h"
#include "wire/message.h"
#include <baton/orchestrator.h>

typedef struct {
    void *context;       /* owned, as are the sockets */
    void *router;        /* requests */
    void *fanout;        /* XPUB */
    bn_door_t door;      /* refuses connections before the last descriptors are gone */
    bn_routes_t *routes; /* owned; watches the router from before its first connection */
    char endpoint[BN_ENDPOINT_BYTES_MAX + 1];        /* with the real port */
    char fanout_endpoint[BN_ENDPOINT_BYTES_MAX + 1]; /* with the real port */
} bn_sockets_t;

/*  Options must be filled. Warns about what can be reached from other machines. On an error nothing
 *  is left open, and `detail` (512 bytes) says why. Errors: ADDRESS, MEMORY, SYSTEM.  */
baton_err_t bn_sockets_open (bn_sockets_t *self, const baton_orchestrator_options_t *options,
                             char detail[512]);
/*  Waits up to linger_ms until what was sent has left. Idempotent.  */
void bn_sockets_close (bn_sockets_t *self, int linger_ms);

#endif
