/* SPDX-License-Identifier: MPL-2.0 */

/*  wait.h - waiting for sockets of libzmq and for descriptors, with few system calls.
 *
 *  zmq_poll asks every socket twice a turn what it has, and each question is a poll of its own. A
 *  socket's descriptor becomes readable when something new has come, but only once, and whatever is
 *  done with the socket may take note of it: so a socket has to be asked before sleeping, unless
 *  the last thing done with it was a receive that found nothing. Whoever receives knows that.  */
#ifndef BN_WAIT_H
#define BN_WAIT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    void *socket; /* of libzmq; NULL: fd is meant */
    int fd;       /* of what is no socket; negative: the item is left out. Set for a socket */
    bool quiet;   /* a socket that found nothing to receive, and was not touched since */
    bool ready;   /* after bn_wait: there may be something to read */
} bn_wait_item_t;

#define BN_WAIT_ITEMS_MAX 8

/*  Until something may be readable, or timeout_ms (negative: for ever). May come back with nothing
 *  ready before that. 0, or -1 with errno; then nothing is ready.  */
int bn_wait (bn_wait_item_t *items, size_t count, long timeout_ms);

/*  bn_wait in two halves, for one who lets others use the sockets while it sleeps. The first asks
 *  the sockets: `ready` is set for those that have something, cleared for everything else. The
 *  second touches descriptors only, and does not sleep if something is ready already. Who uses a
 *  socket meanwhile may have taken the sleeper's signal with that: it asks (by the first half), and
 *  if there is something, wakes the sleeper by other means.  */
void bn_wait_ask (bn_wait_item_t *items, size_t count);
int bn_wait_sleep (bn_wait_item_t *items, size_t count, long timeout_ms);

#endif
