/* SPDX-License-Identifier: MPL-2.0 */

/*  time.h - points in time as the machines get them. Reading clocks is the shell's business.  */
#ifndef BN_TIME_H
#define BN_TIME_H

#include <stdint.h>

typedef struct {
    uint64_t mono_ms; /* monotonic, arbitrary start: timeouts */
    uint64_t wall_us; /* microseconds since 1970 UTC: what is written down */
} bn_time_t;

#endif
