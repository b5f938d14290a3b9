/* SPDX-License-Identifier: MPL-2.0 */

/*  notify.h - tells whoever started this process how it is: sd_notify(3)'s protocol, the sender.
 *
 *  A supervisor (systemd, `baton up`) that wants to know gives NOTIFY_SOCKET, the address of a Unix
 *  datagram socket ("/path", or "@name" for an abstract one), and, where it watches for hangs,
 *  WATCHDOG_USEC. The process answers with datagrams of "NAME=value" lines:
 *
 *      READY=1        it does what it is there for
 *      STATUS=text    one line for a person
 *      WATCHDOG=1     it lives; the next one comes before WATCHDOG_USEC are over
 *      STOPPING=1     it has begun to end
 *
 *  DESIGN. Own code: the protocol is one sendto. Nothing here blocks and nothing here fails in a
 *  way that the caller must care for: a receiver that is gone, or has no room, loses the message.
 *  What must not be lost (READY, STOPPING) is kept and goes out with the next call. The socket is
 *  not connected, so a supervisor that comes back under the same address is heard again.
 *
 *  Nothing that runs below this process is to speak in its name: bn_notify_init takes the variables
 *  out of the environment.
 *
 *  Thread rule: bn_notify_init before there are other threads (it changes the environment), the
 *  rest in one thread at a time.  */
#ifndef BN_NOTIFY_H
#define BN_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BN_NOTIFY_STATUS_BYTES_MAX 255 /* a longer one is cut */

typedef struct {
    int fd; /* owned; -1: nobody wants to know */
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_ms; /* between two WATCHDOG=1 at the most; 0: nobody watches */
    uint64_t alive_ms;    /* when the next WATCHDOG=1 is due, monotonic */
    uint64_t status_ms;   /* no STATUS before that, monotonic */
    bool ready_owed;      /* not taken yet by the receiver */
    bool stopping_owed;
    bool ready;
    bool stopping;
    bool status_owed;
    char status[BN_NOTIFY_STATUS_BYTES_MAX + 1]; /* the last one */
} bn_notify_t;

/*  Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the environment. False
 *  when there is an address that cannot be used: nobody is told anything then, and *why (static)
 *  says what is wrong; NULL is fine for it.  */
bool bn_notify_init (bn_notify_t *self, const char **why);
void bn_notify_fini (bn_notify_t *self);

/*  READY=1; once, further calls do nothing.  */
void bn_notify_ready (bn_notify_t *self);
/*  STATUS; nothing is sent while it stays the same, and at most one a second is: the last one wins,
 *  and goes out with a later call, of this or of bn_notify_alive. Control characters become
 *  blanks.  */
void bn_notify_status (bn_notify_t *self, uint64_t now_ms, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/*  To be called often, and only while all is well: WATCHDOG=1 when half of the time is over, and
 *  what is owed.  */
void bn_notify_alive (bn_notify_t *self, uint64_t now_ms);
/*  When bn_notify_alive has something to do, monotonic ms; UINT64_MAX: never.  */
uint64_t bn_notify_due_ms (const bn_notify_t *self);
/*  STOPPING=1; once.  */
void bn_notify_stopping (bn_notify_t *self);

#endif
