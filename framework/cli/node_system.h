/* SPDX-License-Identifier: MPL-2.0 */

/*  node_system.h - what `baton node` runs: a supervisor that does what a `baton up` elsewhere says.
 *
 *  The node reports, each second and whenever something has changed; what comes back is the whole
 *  of what it is to run (wire/node_message.h), and bn_supervisor_apply finds the difference. While
 *  nothing is heard of `up`, everything goes on as it is, and it is tried again and again.
 *
 *  Ends of processes are told to the orchestrator from here, as `up` does for its own: also while
 *  there is no `up`.  */
#ifndef BN_NODE_SYSTEM_H
#define BN_NODE_SYSTEM_H

#include <stdint.h>

typedef struct {
    const char *join;       /* where the nodes of a `baton up` join */
    const char *host;       /* the name of this one */
    const char *data_dir;   /* for the control socket and the logs */
    const char *log;        /* for BATON_LOG, or NULL */
    uint64_t log_bytes_max; /* of what an instance prints; 0: none is kept */
} bn_node_options_t;

/*  Runs until it is stopped; the exit code.  */
int bn_node_run (const bn_node_options_t *options);

#endif
