/* SPDX-License-Identifier: MPL-2.0 */

/*  routes.h - connections of the ROUTER: handles for the conductor, and news of their end.
 *
 *  DESIGN. A ROUTER does not say that a peer is gone. The socket's monitor does, but it speaks of
 * file descriptors, and those are used again. A received message carries the descriptor it came
 * through (ZMQ_SRCFD). So a new routing id is tied to its descriptor at its first message, after
 * the monitor has been read: its own "accepted" was reported before its first message could arrive,
 * and with it every end of an older connection on the same descriptor. What the monitor says later
 * of that descriptor is about the new one.
 *
 *  A connection's last messages may still be unread when its end is reported: it is *closing* until
 *  the ROUTER had nothing more to read, then it is gone.
 *
 *  INVARIANT R1: a handle is never 0 and never used again.
 *  INVARIANT R2: there are at most `routes_max` routes.
 *
 *  Rejected: probing with messages (a peer that does not read would fill its queue), ROUTER_NOTIFY
 * (a draft in the distribution's libzmq), idle timeouts alone (a killed instance would block its
 *  partitions for as long).
 *
 *  Orchestrator's thread.  */
#ifndef BN_ROUTES_H
#define BN_ROUTES_H

#include "orchestrator/door.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BN_ROUTING_ID_BYTES 5 /* of ids that libzmq makes; peers may not choose theirs */

typedef struct {
    uint64_t handle;
    int fd;       /* of the connection */
    bool closing; /* ended, but not all it said has been read */
    bool lost;    /* given up: nothing more is sent to it */
    uint8_t id[BN_ROUTING_ID_BYTES];
} bn_route_t;

typedef struct bn_routes bn_routes_t;

typedef enum {
    BN_ROUTE_OK,
    BN_ROUTE_CHOSEN, /* the peer chose its routing id */
    BN_ROUTE_DEAD,   /* the connection has ended already: nobody would hear an answer */
    BN_ROUTE_LIMIT,  /* routes_max */
    BN_ROUTE_MEMORY
} bn_route_result_t;

/*  Starts to watch the socket, which must not be bound yet or have no connections. NULL: errno.  */
bn_routes_t *bn_routes_new (void *context, void *router, bn_door_t *door, size_t routes_max);
/*  Before the ROUTER is closed.  */
void bn_routes_destroy (bn_routes_t **self_p);

/*  To poll on for reading: then bn_routes_update.  */
void *bn_routes_monitor (bn_routes_t *self);
/*  Reads what the monitor has to say. false: no memory.  */
bool bn_routes_update (bn_routes_t *self);

/*  The route of a message with this routing id, received through fd. *route is borrowed until it is
 *  gone.  */
bn_route_result_t bn_routes_of_message (bn_routes_t *self, const void *id, size_t id_size, int fd,
                                        bn_route_t **route);
bn_route_t *bn_routes_get (const bn_routes_t *self, uint64_t handle); /* NULL: gone */

/*  The shell found out itself: a send failed.  */
void bn_routes_lost (bn_routes_t *self, bn_route_t *route);
/*  Takes the next route that is gone and forgets it; false: none. `drained`: the ROUTER had nothing
 *  to read since bn_routes_update was last called.  */
bool bn_routes_next_gone (bn_routes_t *self, bool drained, uint64_t *handle);

#endif
