/* SPDX-License-Identifier: MPL-2.0 */

/*  keeper.h - ends what a supervisor that was killed has left behind.
 *
 *  DESIGN. When the supervisor dies, however, its children die with it (PR_SET_PDEATHSIG); what
 *  these have started in turn does not, and nobody is left to end it. So the supervisor forks a
 *  process first of all that does nothing but wait at a socket for its end, and then kills the
 *  process groups that it was told of: the same that ends with an instance that ends by itself.
 *
 *    - A control group of its own would take delegation, a namespace for process ids privileges. A
 *      subreaper must be above the supervisor, so killing that one would leave the same behind.
 *    - It leads a session of its own and ignores what asks to stop: it ends with the supervisor.
 *    - What has left its process group is not found. Killed together with the supervisor, the
 *      keeper ends nothing.
 *
 *  One thread: the supervisor's.  */
#ifndef BN_KEEPER_H
#define BN_KEEPER_H

#include <baton/error.h>
#include <sys/types.h>

#define BN_KEEPER_GROUPS_MAX 512

typedef struct {
    pid_t pid;
    int fd; /* owned; -1: there is none */
} bn_keeper_t;

/*  Forks: before there are threads. Errors: SYSTEM.  */
baton_err_t bn_keeper_start (bn_keeper_t *self);
/*  It ends, and kills nobody.  */
void bn_keeper_stop (bn_keeper_t *self);

void bn_keeper_add (const bn_keeper_t *self, pid_t group);
void bn_keeper_remove (const bn_keeper_t *self, pid_t group);

#endif
