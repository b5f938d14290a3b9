/* SPDX-License-Identifier: MPL-2.0 */

/*  health.h - what a child says of itself: sd_notify(3)'s protocol, the side that listens.
 *
 *  The child gets NOTIFY_SOCKET, the address of a datagram socket, and WATCHDOG_USEC, if it is
 *  watched. It sends datagrams of "NAME=value" lines; those that are known here:
 *
 *      READY=1        it does what it is there for
 *      STATUS=text    one line for a person
 *      WATCHDOG=1     it lives; the next one comes before WATCHDOG_USEC are over
 *      STOPPING=1     it has begun to end: it is not ready any more
 *
 *  The watchdog begins with the first WATCHDOG=1. A program that does not know of it, or says
 *  READY=1 and nothing more, is not watched.
 *
 *  DESIGN. A socket for each child, so that who speaks needs no guessing: a wrapper such as a shell
 *  between the supervisor and the program changes nothing. It has an abstract address with a random
 *  number in it: nothing is left behind in a file system, and no path is too long. What another
 *  user sends is dropped (SO_PASSCRED), and so is what is not understood; nothing a child says can
 *  be an error.
 *
 *  One thread: the supervisor's.  */
#ifndef BN_HEALTH_H
#define BN_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BN_HEALTH_STATUS_BYTES_MAX   127  /* a longer one is cut */
#define BN_HEALTH_DATAGRAM_BYTES_MAX 4096 /* of a longer one nothing is taken */

typedef struct {
    int fd;           /* owned; -1: closed */
    char address[64]; /* for NOTIFY_SOCKET */
    bool ready;
    bool watched;                                /* WATCHDOG=1 was heard */
    uint64_t heard_ms;                           /* the last WATCHDOG=1, monotonic */
    char status[BN_HEALTH_STATUS_BYTES_MAX + 1]; /* printable ASCII */
} bn_health_t;

/*  False with errno: the system has no socket left.  */
bool bn_health_open (bn_health_t *self);
void bn_health_close (bn_health_t *self); /* closed already, fd -1: does nothing */
/*  Reads what has come, a bounded number of datagrams.  */
void bn_health_read (bn_health_t *self, uint64_t now_ms);
/*  Takes one datagram.  */
void bn_health_take (bn_health_t *self, const char *text, size_t size, uint64_t now_ms);

#endif
