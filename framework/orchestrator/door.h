/* SPDX-License-Identifier: MPL-2.0 */

/*  door.h - keeps the last file descriptors of the process free: refuses connections before that.
 *
 *  DESIGN. A listener of libzmq accepts whatever comes. When no descriptor is left it tries again
 *  without a pause, and takes each one that is given up for a moment, also by the journal. So each
 *  connection is looked at as the sockets' monitors report it: the system hands out the lowest
 *  descriptor that is free, so one with a number shortly below the limit means that nearly all are
 *  taken, by whomever. Such a connection is shut down at once; libzmq then closes it, and its peer
 *  tries again, with pauses that grow. Connections that are there stay, and when some of them
 *  leave, others are let in, without anything having to be opened again.
 *
 *  When many connect at once, libzmq can be ahead of this and use up what is kept free, for as long
 *  as it takes until its reports have been read. The journal has descriptors of its own for that
 *  (journal/vfs_posix.c).
 *
 *  A report may be old: the connection has ended, and the number is somebody else's. If that is a
 *  connection it is one of those to refuse as well; shutdown () does nothing to a file.
 *
 *  Rejected: to unbind for a while (libzmq ends all connections that came through an endpoint with
 *  it, and to bind again takes descriptors, without which it aborts); to accept and close in its
 *  place with a descriptor kept for that (libzmq, which tries all the time, gets it).
 *
 *  Orchestrator's thread.  */
#ifndef BN_DOOR_H
#define BN_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    void *fanout;       /* borrowed; of the ROUTER the routes tell */
    void *monitor;      /* owned; of the fan-out */
    size_t connections; /* that are there, of both sockets */
    uint64_t refused;
    uint64_t notice_due_ms; /* when it may be said again */
} bn_door_t;

/*  Starts to watch the fan-out, which must not be bound yet. false: errno.  */
bool bn_door_init (bn_door_t *self, void *context, void *fanout);
/*  Before the fan-out is closed. Idempotent.  */
void bn_door_fini (bn_door_t *self);

/*  To poll on for reading: then bn_door_update.  */
void *bn_door_monitor (bn_door_t *self);
/*  Reads what the monitor has to say.  */
void bn_door_update (bn_door_t *self);

/*  A connection was accepted on this descriptor: shuts it down if it is one of the last.  */
void bn_door_came (bn_door_t *self, int fd);
/*  A connection has ended.  */
void bn_door_left (bn_door_t *self);

#endif
