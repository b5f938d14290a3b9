/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/door.h"
#include "orchestrator/monitor.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/socket.h>

/*  Kept free: a sixteenth of the limit, so that a low one still lets somebody in.  */
#define FREE_SHARE 16
#define FREE_MAX   64
#define NOTICE_MS  60000

#define MONITOR_ENDPOINT "inproc://door"

static void notice (bn_door_t *self, rlim_t limit)
{
    uint64_t now_ms = bn_clock_now ().mono_ms;
    if (now_ms < self->notice_due_ms)
        return;
    self->notice_due_ms = now_ms + NOTICE_MS;
    bn_log (BN_LOG_WARNING,
            "the file descriptors run out: %zu connections are open, the limit of the process is "
            "%" PRIu64 " descriptors (ulimit -n): new connections are refused (%" PRIu64 " so far)",
            self->connections, (uint64_t)limit, self->refused);
}

void bn_door_came (bn_door_t *self, int fd)
{
    struct rlimit limit; /* somebody may raise it while this runs */
    self->connections++;
    if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    rlim_t kept = limit.rlim_cur / FREE_SHARE < FREE_MAX ? limit.rlim_cur / FREE_SHARE : FREE_MAX;
    if ((rlim_t)fd + kept < limit.rlim_cur)
        return;
    shutdown (fd, SHUT_RDWR);
    self->refused++;
    notice (self, limit.rlim_cur);
}

void bn_door_left (bn_door_t *self)
{
    if (self->connections > 0)
        self->connections--;
}

bool bn_door_init (bn_door_t *self, void *context, void *fanout)
{
    *self = (bn_door_t){.fanout = fanout};
    self->monitor = bn_monitor_new (context, fanout, MONITOR_ENDPOINT);
    return self->monitor != NULL;
}

void bn_door_fini (bn_door_t *self)
{
    if (self->fanout)
        bn_monitor_destroy (&self->monitor, self->fanout);
    self->fanout = NULL;
}

void *bn_door_monitor (bn_door_t *self)
{
    return self->monitor;
}

void bn_door_update (bn_door_t *self)
{
    bn_monitor_event_t event;
    while (bn_monitor_next (self->monitor, &event))
        if (event.came)
            bn_door_came (self, event.fd);
        else
            bn_door_left (self);
}
