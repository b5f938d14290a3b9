/* SPDX-License-Identifier: MPL-2.0 */

/*  up_watch.h - the thread of `baton up` that talks to the orchestrator, so that the supervisor's
 *  never waits for the network.
 *
 *  Reports of ends (GONE) wait in a queue of at most 256, the newest of more are dropped. A report
 *  is sent again until it was answered, for a minute; then, or when it is dropped or refused, the
 *  session timeout is what finds the instance dead. The thread owns the connection.  */
#ifndef BN_UP_WATCH_H
#define BN_UP_WATCH_H

#include <baton/error.h>
#include <stdint.h>

typedef struct bn_up_watch bn_up_watch_t;

/*  Starts the thread, which connects when there is something to say. Errors: MEMORY, SYSTEM.  */
baton_err_t bn_up_watch_new (bn_up_watch_t **watch, const char *endpoint);
/*  Ends the thread; waits for it, 2 s at most, while it reports what is left.  */
void bn_up_watch_destroy (bn_up_watch_t **self_p);

/*  The process of an instance has ended. Does not block.  */
void bn_up_watch_gone (bn_up_watch_t *self, const char *instance, uint64_t incarnation);

#endif
