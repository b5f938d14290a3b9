/* SPDX-License-Identifier: MPL-2.0 */

/*  histogram.h - latencies in nanoseconds, in buckets that are 1/32 of their power of two wide:
 * each value is known to about 3 %, whatever its size, in 15 KiB. (The idea of HdrHistogram, Gil
 * Tene.)  */
#ifndef BN_HISTOGRAM_H
#define BN_HISTOGRAM_H

#include "base/buffer.h"
#include <jansson.h>
#include <stdint.h>

#define BN_HISTOGRAM_BUCKETS (60 * 32)

typedef struct {
    uint64_t buckets[BN_HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t min; /* exact; UINT64_MAX while empty */
    uint64_t max; /* exact */
    double sum;
} bn_histogram_t;

void bn_histogram_init (bn_histogram_t *self);
void bn_histogram_add (bn_histogram_t *self, uint64_t value);
void bn_histogram_merge (bn_histogram_t *self, const bn_histogram_t *other);
/*  The value that `share` (0..1) of all values do not exceed: the upper end of its bucket, at most
 *  max. 0 while empty.  */
uint64_t bn_histogram_at (const bn_histogram_t *self, double share);

/*  {"min":..,"max":..,"sum":..,"buckets":[[index,count],...]}, to pass it on to another process. */
void bn_histogram_put (const bn_histogram_t *self, bn_buffer_t *text);
/*  Adds what bn_histogram_put wrote; false if it is something else.  */
bool bn_histogram_take (bn_histogram_t *self, const json_t *value);

#endif
