/* SPDX-License-Identifier: MPL-2.0 */
#include "base/prng.h"
#include "base/assert.h"

static uint64_t rotate (uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

void bn_prng_init (bn_prng_t *self, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        self->state[i] = z ^ (z >> 31);
    }
}

uint64_t bn_prng_next (bn_prng_t *self)
{
    uint64_t *s = self->state;
    uint64_t result = rotate (s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate (s[3], 45);
    return result;
}

uint64_t bn_prng_below (bn_prng_t *self, uint64_t bound)
{
    bn_assert (bound > 0);
    /*  2^64 mod bound values at the low end would make some results likelier than others.  */
    uint64_t unfair = -bound % bound;
    uint64_t value;
    do
        value = bn_prng_next (self);
    while (value < unfair);
    return value % bound;
}
