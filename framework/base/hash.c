/* SPDX-License-Identifier: MPL-2.0 */
#include "base/hash.h"
#include "base/assert.h"

uint64_t bn_hash (const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

uint32_t bn_hash_partition (uint64_t hash, uint32_t partitions)
{
    bn_assert (partitions > 0);
    return (uint32_t)((hash ^ (hash >> 32)) % partitions);
}
