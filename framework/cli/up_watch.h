/* SPDX-License-Identifier: MPL-2.0 */

/*  up_watch.h - the thread of `baton up` that talks to the orchestrator, so that the supervisor's
 *  never waits for the network.
 *
 *  Reports of ends (GONE) wait in a queue of at most 256, the newest of more are dropped. A report
 *  is sent again until it was answered, for a minute; then, or when it is dropped or refused, the
 *  session timeout is what finds the instance dead. The thread owns the connection.
 *
 *  Samples of actors are taken each second, of the names that were asked for; the newest of each
 *  waits to be taken. While the orchestrator does not answer there are none.  */
#ifndef BN_UP_WATCH_H
#define BN_UP_WATCH_H

#include "supervisor/scaler.h"
#include "supervisor/supervisor.h"

typedef struct bn_up_watch bn_up_watch_t;

/*  Starts the thread, which connects when there is something to say. wake_fd: a non-blocking
 *  eventfd of the caller's that outlives the watch, readable when there are samples to take.
 *  Errors: MEMORY, SYSTEM.  */
baton_err_t bn_up_watch_new (bn_up_watch_t **watch, const char *endpoint, int wake_fd);
/*  Ends the thread; waits for it, 2 s at most, while it reports what is left.  */
void bn_up_watch_destroy (bn_up_watch_t **self_p);

/*  The process of an instance has ended. Does not block.  */
void bn_up_watch_gone (bn_up_watch_t *self, const char *instance, uint64_t incarnation);

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1]; /* of the actor */
    bn_scaler_sample_t sample;           /* but for `instances` */
} bn_up_sample_t;

/*  From now on these actors are sampled, and no others: BN_SUPERVISOR_SERVICES_MAX at most. Does
 *  not block.  */
void bn_up_watch_names (bn_up_watch_t *self, const char *const *names, size_t count);
/*  Takes what has come since, and empties wake_fd; room for BN_SUPERVISOR_SERVICES_MAX. Returns how
 *  many.  */
size_t bn_up_watch_take (bn_up_watch_t *self, bn_up_sample_t *samples);

#endif
