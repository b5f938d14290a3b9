/* SPDX-License-Identifier: MPL-2.0 */

/*  node_link.h - a node's connection to its `baton up`.
 *
 *  DESIGN. Every message of a node says all there is to say, so it does not matter which connection
 *  one goes out on, and libzmq may reconnect as it likes; nothing is queued while there is no
 *  connection. After a long silence the socket is made anew all the same: a name may lead elsewhere
 *  by then.
 *
 *  One thread: the supervisor's. Nothing waits.  */
#ifndef BN_NODE_LINK_H
#define BN_NODE_LINK_H

#include "wire/node_message.h"

typedef struct bn_node_link bn_node_link_t;

/*  Errors: ADDRESS (detail says more), SYSTEM, MEMORY.  */
baton_err_t bn_node_link_new (bn_node_link_t **link, const char *endpoint, char detail[512]);
/*  What was sent last has a second to go out.  */
void bn_node_link_destroy (bn_node_link_t **self_p);

/*  Readable, as an edge, when there may be something to receive.  */
int bn_node_link_fd (const bn_node_link_t *self);
/*  Throws the socket away, and makes another one.  */
void bn_node_link_renew (bn_node_link_t *self);
/*  False: there is no connection, or it takes nothing now.  */
bool bn_node_link_send (bn_node_link_t *self, const bn_node_message_t *message);
/*  Receives one; false: there is none. What cannot be read is dropped, and `what` (256 bytes) says
 *  why: it is empty otherwise. *message borrows until the next call; free it with
 *  bn_node_message_fini.  */
bool bn_node_link_receive (bn_node_link_t *self, bn_node_message_t *message, char what[256]);

#endif
