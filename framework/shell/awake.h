/* SPDX-License-Identifier: MPL-2.0 */

/*  awake.h - keeps the processors of this machine from sleeping while there is work.
 *
 *  A processor without work is put into an idle state, and to leave it takes time: from a few
 *  microseconds to some hundred, the most on virtual machines, which have to ask their host. An
 *  event passes several threads, so at a low rate this is most of its latency. Linux lets a process
 *  bound it for the whole machine: what is written to /dev/cpu_dma_latency, an int32_t in
 *  microseconds, counts until something else is written or the descriptor is closed, be it by the
 *  end of the process. At 0 idle processors spin. Source: the kernel's pm_qos_interface.rst.
 *
 *  DESIGN. Spinning costs power, and whoever shares the machine some of its turbo, so it is asked
 *  for only while events come and keep_ms longer. The descriptor stays open, so that the permission
 *  is needed at the start alone. Rejected: threads of the lowest priority that spin (they count as
 *  load, and move other threads about); writing per processor below /sys (stays when the process
 *  is killed).
 *
 *  Thread rule: one thread at a time.  */
#ifndef BN_AWAKE_H
#define BN_AWAKE_H

#include <stdbool.h>
#include <stdint.h>

#define BN_AWAKE_DEVICE "/dev/cpu_dma_latency"

typedef struct {
    int fd;            /* owned; -1: nothing is ever asked for */
    bool held;         /* spinning is asked for */
    uint32_t keep_ms;  /* after the last touch */
    uint64_t until_ms; /* monotonic */
} bn_awake_t;

/*  keep_ms 0: does nothing, now and later. False: it cannot be asked for (errno); then the same
 *  holds. BATON_TEST_CPU_LATENCY names another file, for tests.  */
bool bn_awake_init (bn_awake_t *self, uint32_t keep_ms);
/*  The machine may do as it likes again.  */
void bn_awake_fini (bn_awake_t *self);

/*  There is work, now.  */
void bn_awake_touch (bn_awake_t *self, uint64_t now_ms);
/*  To be called now and then: lets go when keep_ms are over.  */
void bn_awake_update (bn_awake_t *self, uint64_t now_ms);

#endif
