/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/awake.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SPIN 0          /* microseconds */
#define ANY  2000000000 /* PM_QOS_CPU_LATENCY_DEFAULT_VALUE: no bound */

/*  What the kernel does not take any more is not asked for again.  */
static void ask (bn_awake_t *self, int32_t latency_us)
{
    self->held = latency_us == SPIN;
    if (write (self->fd, &latency_us, sizeof latency_us) != sizeof latency_us)
        bn_awake_fini (self);
}

bool bn_awake_init (bn_awake_t *self, uint32_t keep_ms)
{
    const char *other = getenv ("BATON_TEST_CPU_LATENCY");
    *self = (bn_awake_t){.fd = -1, .keep_ms = keep_ms};
    if (keep_ms == 0)
        return true;
    self->fd = open (other ? other : BN_AWAKE_DEVICE, O_WRONLY | O_CLOEXEC);
    return self->fd >= 0;
}

void bn_awake_fini (bn_awake_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
    self->held = false;
}

void bn_awake_touch (bn_awake_t *self, uint64_t now_ms)
{
    self->until_ms = now_ms + self->keep_ms;
    if (self->fd >= 0 && !self->held)
        ask (self, SPIN);
}

void bn_awake_update (bn_awake_t *self, uint64_t now_ms)
{
    if (self->held && now_ms >= self->until_ms)
        ask (self, ANY);
}
