/* SPDX-License-Identifier: MPL-2.0 */

/*  clock.h - clocks and randomness of this computer, for the shells; machines never call it.  */
#ifndef BN_CLOCK_H
#define BN_CLOCK_H

#include "base/time.h"
#include <stdbool.h>

bn_time_t bn_clock_now (void);
uint64_t bn_clock_mono_ns (void);
uint64_t bn_clock_wall_us (void);
/*  Sleeps until then, whatever signals come. False: that was past already. *now_ns is set.  */
bool bn_clock_sleep_until (uint64_t mono_ns, uint64_t *now_ns);
/*  From getrandom: never the same twice, also after fork and on a cloned machine.  */
uint64_t bn_random_u64 (void);
/*  Seeds srand () from bn_random_u64, once per process: libzmq 4.3.4 makes a ROUTER's first routing
 *  id with rand (). Before the first ROUTER.  */
void bn_random_seed_libc (void);

#endif
