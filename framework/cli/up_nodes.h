/* SPDX-License-Identifier: MPL-2.0 */

/*  up_nodes.h - the nodes of a `baton up`: who has joined, what they report, what each is to run.
 *
 *                 REPORT              not heard for 5 s, or connection gone for 2 s
 *      (nobody) ----------> JOINED -------------------------------------------------> LOST
 *                            | ^                        REPORT                          |
 *                      LEAVE | +--------------------------------------------------------+
 *                            v
 *                           LEFT
 *
 *  A REPORT is answered with the node's part, if that is not what it runs, else with HEARD.
 *
 *  DESIGN. A ROUTER that belongs to the supervisor's thread: everything is sent and received
 *  without waiting, a bounded number of messages and bytes each turn. A name belongs to the
 *  incarnation that has it, until that one is lost or its connection has gone: another one is
 *  refused meanwhile. What a lost node ran is reported gone, once: it has died with the node, or,
 *  if the host is only cut off, goes on and hears from the orchestrator that its session has ended.
 *
 *  INVARIANT N1: at most BN_UP_NODES_MAX nodes are known, and four times as many connections stay
 *  open: those that come when there are more are shut down, so that strangers cannot take the
 *  descriptors that processes are started with.
 *  INVARIANT N2: nothing that a peer sends is an error here: it is answered, or dropped and
 *  counted.
 *
 *  Whoever reaches the socket may take a name that is free, and gets the commands and environments
 *  of that host: it is for networks where everybody is trusted.  */
#ifndef BN_UP_NODES_H
#define BN_UP_NODES_H

#include "cli/up_config.h"

#define BN_UP_NODE_LOST_MS   5000 /* without a report */
#define BN_UP_NODE_BROKEN_MS 2000 /* without one, and its connection is gone */
#define BN_UP_NODES_FDS      2

typedef struct bn_up_nodes bn_up_nodes_t;

typedef enum { BN_UP_NODE_JOINED, BN_UP_NODE_LOST, BN_UP_NODE_LEFT } bn_up_node_state_t;

typedef struct { /* borrowed: until the next turn */
    const char *host;
    bn_up_node_state_t state;
    const char *address; /* of the peer */
    const bn_node_report_t *report;
    bool current;       /* JOINED, and has been told all that it is to run */
    uint64_t silent_ms; /* since its last report */
} bn_up_node_t;

typedef struct {
    const char *endpoint;
    uint64_t (*now_ms) (void);
    /*  A process that must be taken for dead.  */
    void (*gone) (const char *instance, uint64_t incarnation, void *arg);
    /*  What a host is to run, encoded, and its revision; the caller's. Asked when a host joins.  */
    bn_blob_t *(*part) (const char *host, uint64_t *revision, void *arg);
    void *arg;
} bn_up_nodes_options_t;

/*  Listens. Errors: ADDRESS, SYSTEM, MEMORY; detail says more.  */
baton_err_t bn_up_nodes_new (bn_up_nodes_t **nodes, const bn_up_nodes_options_t *options,
                             char detail[512]);
void bn_up_nodes_destroy (bn_up_nodes_t **self_p);

/*  Readable when bn_up_nodes_turn is wanted, as edges: it is to be called now and then without,
 *  too.  */
void bn_up_nodes_fds (const bn_up_nodes_t *self, int fds[BN_UP_NODES_FDS]);
/*  Receives, answers, finds who is lost. Returns when to call it again at the latest.  */
uint64_t bn_up_nodes_turn (bn_up_nodes_t *self);
/*  What hosts are to run has changed: those that have joined are told.  */
void bn_up_nodes_refresh (bn_up_nodes_t *self);

size_t bn_up_nodes_count (const bn_up_nodes_t *self);
void bn_up_nodes_at (const bn_up_nodes_t *self, size_t index, bn_up_node_t *node);
bool bn_up_nodes_find (const bn_up_nodes_t *self, const char *host, bn_up_node_t *node);

#endif
