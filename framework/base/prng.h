/* SPDX-License-Identifier: MPL-2.0 */

/*  prng.h - xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64. Not for secrets.  */
#ifndef BN_PRNG_H
#define BN_PRNG_H

#include <stdint.h>

typedef struct {
    uint64_t state[4];
} bn_prng_t;

void bn_prng_init (bn_prng_t *self, uint64_t seed);
uint64_t bn_prng_next (bn_prng_t *self);
uint64_t bn_prng_below (bn_prng_t *self, uint64_t bound); /* 0..bound-1, unbiased; bound > 0 */

#endif
