/* SPDX-License-Identifier: MPL-2.0 */

/*  hosts.h - hosts on one machine: network namespaces with addresses of their own, joined by a
 *  bridge, and troubles of their links.
 *
 *  DESIGN. The namespaces have no names: only this process's descriptors and the processes in them
 *  hold them, so that the kernel removes them, with all links, addresses and queues, when the last
 *  of those has ended, however it ended. The same holds for the mount namespace in which a small
 *  disk may be. The machine's own network is never touched. Without root a user namespace of our
 *  own gives the right to do so, where the kernel lets anybody make one; else all hosts are this
 *  one, on a loopback address of its own, and there are no troubles of links.
 *
 *  The calling thread lives in the switch's namespace from then on, beside the bridge: what it and
 *  threads that it makes later connect to goes over the links like everybody's.
 *
 *      host1 eth0 ---- port1 +--------+ port2 ---- eth0 host2
 *      10.77.0.1             | switch |            10.77.0.2
 *                            +--------+ 10.77.0.254: the lab itself
 *
 *  A trouble of a link is a queueing discipline at its ends: netem, or where the kernel has none a
 *  token bucket that is too narrow for the load: a long queue delays, a short one drops, one of
 *  no size cuts.
 *
 *  Not for use beside other threads while hosts are made.  */
#ifndef BN_LAB_HOSTS_H
#define BN_LAB_HOSTS_H

#include "lab/order.h"

#define BN_LAB_HOSTS_MAX 16

typedef struct bn_lab_hosts bn_lab_hosts_t;

typedef struct {
    uint32_t count;   /* 1..BN_LAB_HOSTS_MAX */
    bool loopback;    /* no namespaces, also where they are possible */
    const char *disk; /* folder at which a small disk (tmpfs) is mounted; NULL: none */
    uint64_t disk_bytes;
} bn_lab_hosts_options_t;

/*  Where namespaces are not possible it falls back to loopback; bn_lab_hosts_says tells why.
 *  Errors: SYSTEM, MEMORY; detail (512 bytes) says what failed.  */
baton_err_t bn_lab_hosts_new (bn_lab_hosts_t **hosts, const bn_lab_hosts_options_t *options,
                              char detail[512]);
void bn_lab_hosts_destroy (bn_lab_hosts_t **self_p);

uint32_t bn_lab_hosts_count (const bn_lab_hosts_t *self);
const char *bn_lab_hosts_says (const bn_lab_hosts_t *self); /* what they are, in a line; borrowed */
bool bn_lab_hosts_apart (const bn_lab_hosts_t *self);       /* have links that can be troubled */
bool bn_lab_hosts_disk (const bn_lab_hosts_t *self);        /* the small disk is there */
/*  Address of a host, from 0; borrowed.  */
const char *bn_lab_hosts_address (const bn_lab_hosts_t *self, uint32_t host);

/*  The calling thread, and what it forks, is in the host until leave. SYSTEM if not.  */
baton_err_t bn_lab_hosts_enter (bn_lab_hosts_t *self, uint32_t host);
void bn_lab_hosts_leave (bn_lab_hosts_t *self);

/*  PARTITION, SLOW or LOSSY, in place of what was there. `says` (256 bytes) gets what was done, or
 *  why not. Errors: ARGUMENT (not possible here), SYSTEM.  */
baton_err_t bn_lab_hosts_spoil (bn_lab_hosts_t *self, uint32_t host, bn_lab_kind_t kind,
                                bn_lab_way_t way, char says[256]);
baton_err_t bn_lab_hosts_heal (bn_lab_hosts_t *self, uint32_t host, char says[256]);

#endif
