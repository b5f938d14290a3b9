/* SPDX-License-Identifier: MPL-2.0 */

/*  up_hosts_status.h - the answer to "status" with what nodes report put into it.
 *
 *  To what supervisor.h says of the answer come: in each instance "host"; the instances of other
 *  hosts, whose name is NAME-SLOT.HOST, and whose state is "lost" while their node is; and
 *
 *    "nodes":[{"name":"a","state":"joined","address":"10.0.0.2","version":"...","current":true,
 *              "silent_ms":300,"instances":2,"trouble":""}, ...]
 *
 *  state: joined, lost, left, or absent: the file names it and nobody has joined as it; then
 *  "wanted" is how many instances wait for it.  */
#ifndef BN_UP_HOSTS_STATUS_H
#define BN_UP_HOSTS_STATUS_H

#include "cli/up_nodes.h"
#include "supervisor/control.h"
#include <jansson.h>

const char *bn_up_hosts_state (uint32_t state); /* of an instance, as in a report; static */

/*  Appends the value, which is consumed; NULL: no memory, and the reply fails.  */
void bn_up_hosts_put (bn_buffer_t *reply, json_t *value);
/*  The service of that name; one without instances, if it is not there. Borrowed.  */
json_t *bn_up_hosts_service (json_t *services, const char *name);
void bn_up_hosts_here (json_t *services); /* all that are in it run at this host */
/*  Adds a node, and what it reports.  */
void bn_up_hosts_node (json_t *services, json_t *nodes, const bn_up_node_t *node);
/*  Adds a host that nobody has joined as, or more that wait for it.  */
void bn_up_hosts_absent (json_t *nodes, const char *host, uint32_t wanted);
/*  The instances of a service at a host are still to be replaced.  */
void bn_up_hosts_outdated (json_t *service, const char *host);

#endif
