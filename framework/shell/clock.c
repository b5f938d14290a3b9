/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/clock.h"
#include "base/assert.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_ns (clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime (id, &now);
    bn_assert (rc == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bn_time_t bn_clock_now (void)
{
    return (bn_time_t){.mono_ms = clock_ns (CLOCK_MONOTONIC) / 1000000u,
                       .wall_us = clock_ns (CLOCK_REALTIME) / 1000u};
}

uint64_t bn_clock_mono_ns (void)
{
    return clock_ns (CLOCK_MONOTONIC);
}

bool bn_clock_sleep_until (uint64_t mono_ns, uint64_t *now_ns)
{
    struct timespec until = {.tv_sec = (time_t)(mono_ns / 1000000000u),
                             .tv_nsec = (long)(mono_ns % 1000000000u)};
    bool slept = false;
    while ((*now_ns = bn_clock_mono_ns ()) < mono_ns) {
        clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        slept = true;
    }
    return slept;
}

uint64_t bn_clock_wall_us (void)
{
    return clock_ns (CLOCK_REALTIME) / 1000u;
}

uint64_t bn_random_u64 (void)
{
    uint64_t value;
    ssize_t rc;
    /*  Eight bytes come whole or not at all; only a signal before the pool is ready interrupts.  */
    do
        rc = getrandom (&value, sizeof value, 0);
    while (rc < 0 && errno == EINTR);
    bn_assert (rc == (ssize_t)sizeof value);
    return value;
}

static void seed_libc (void)
{
    srand ((unsigned int)bn_random_u64 ());
}

void bn_random_seed_libc (void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, seed_libc);
}
