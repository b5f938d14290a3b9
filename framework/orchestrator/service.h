/* SPDX-License-Identifier: MPL-2.0 */

/*  service.h - the orchestrator's side that serves: sockets in, conductor, gate, journal, sockets
 *  out.
 *
 *      ROUTER ──► conductor ──effects──► gate ──PERSIST──► batch ──► journal's side
 *                                         │                              │ durable up to s
 *      ROUTER, XPUB, journal reader ◄─────┴──── SEND, FANOUT, READ ◄─────┘
 *
 *  DESIGN. One loop: drain what came, step, gather records; when the journal's side is free hand
 *  them over; when it reports, let out of the gate what is durable. A few records that nobody is
 *  about to add to are written at once instead. Nothing here decides anything about events: that
 *  is the conductor's.
 *
 *  INVARIANT V1: nothing leaves through a socket but through the gate (refusals that change nothing
 *  excepted: no route, not a request).
 *  INVARIANT V2: what waits in memory is bounded: past GATE_BYTES_MAX no request is received until
 *  the journal has caught up.
 *  INVARIANT V3: after an error of the journal nothing is sent.
 *  INVARIANT V4: one thread at a time is in the loop; which one changes when the disk holds it up
 *  (journal_thread.h, J3). All that belongs to the service goes with it, the sockets included.  */
#ifndef BN_SERVICE_H
#define BN_SERVICE_H

#include "orchestrator/recovery.h"
#include "orchestrator/sockets.h"
#include <stdatomic.h>

typedef struct bn_service bn_service_t;

typedef struct {
    const baton_orchestrator_options_t *options; /* filled; borrowed */
    bn_recovered_t *recovered;                   /* borrowed; the state is taken over */
    bn_sockets_t *sockets;                       /* borrowed */
    int stop_fd;                                 /* borrowed; readable: stop */
    _Atomic uint64_t *turned_ms;                 /* borrowed; set in each turn; may be NULL */
} bn_service_options_t;

/*  Starts the second thread. Errors: MEMORY, SYSTEM.  */
baton_err_t bn_service_new (bn_service_t **service, const bn_service_options_t *options);
void bn_service_destroy (bn_service_t **self_p);

/*  Serves until stop_fd is readable (then writes what was accepted, lets it out, checkpoints, and
 *  returns OK) or something fails that cannot be waited out (`detail`, 512 bytes). In a thread of
 * its own.  */
baton_err_t bn_service_run (bn_service_t *self, char detail[512]);

#endif
