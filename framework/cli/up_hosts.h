/* SPDX-License-Identifier: MPL-2.0 */

/*  up_hosts.h - who runs what: the actors of the file on the hosts that it names.
 *
 *  This host's part is the supervisor's, the others' is told to the nodes that have joined under
 *  their names. What a host runs changes because the file or somebody says so, and never because
 *  another host has gone (placement.h).
 *
 *  Instances elsewhere are called NAME-SLOT.HOST: slots are each host's own, so that nobody has to
 *  agree on them, and the name says where to look.
 *
 *  A restart goes from host to host, in the order of the file: the next one begins when every
 *  instance of the one before is replaced and ready. A host that is not there is not waited for. So
 *  does another definition of an actor, this host first: until it is their turn the others go on
 *  with the one before, and a build that does not work replaces one instance and no more.
 *
 *  One thread: the supervisor's.  */
#ifndef BN_UP_HOSTS_H
#define BN_UP_HOSTS_H

#include "cli/up_nodes.h"
#include "cli/up_watch.h"

typedef struct bn_up_hosts bn_up_hosts_t;

/*  Listens where the file says that nodes join, if it does. The config is borrowed until the next
 *  bn_up_hosts_follow. Errors: as of bn_up_nodes_new.  */
baton_err_t bn_up_hosts_new (bn_up_hosts_t **hosts, const bn_up_config_t *config,
                             bn_supervisor_t *supervisor, bn_up_watch_t *watch, char detail[512]);
void bn_up_hosts_destroy (bn_up_hosts_t **self_p);

/*  As bn_up_nodes_fds; -1: there is none.  */
void bn_up_hosts_fds (const bn_up_hosts_t *self, int fds[BN_UP_NODES_FDS]);
/*  Returns when to call it again at the latest.  */
uint64_t bn_up_hosts_turn (bn_up_hosts_t *self);
/*  The file has changed, and the supervisor has applied it. `before` is what it said until now.  */
void bn_up_hosts_follow (bn_up_hosts_t *self, const bn_up_config_t *config,
                         const bn_up_config_t *before);

/*  Instances of an actor that are wanted, on all hosts, and how many are parked; false: there is no
 *  such actor.  */
bool bn_up_hosts_look (bn_up_hosts_t *self, const char *name, uint32_t *wanted, uint32_t *parked);
/*  What the lag asks for: within what the file allows for each host; *reached is what could be had.
 *  Errors: NOT_FOUND, LIMIT, CLOSED.  */
baton_err_t bn_up_hosts_scale (bn_up_hosts_t *self, const char *name, uint32_t instances,
                               uint32_t *reached);

/*  Requests of the control socket that are about more than this host: scale, restart, status.
 *  False: it is not one of these.  */
bool bn_up_hosts_answer (bn_up_hosts_t *self, const char *request, bn_buffer_t *reply);
/*  Tells the nodes to stop everything; true: they have, or cannot be waited for any longer.  */
bool bn_up_hosts_may_stop (bn_up_hosts_t *self);

#endif
