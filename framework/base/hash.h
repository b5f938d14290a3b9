/* SPDX-License-Identifier: MPL-2.0 */

/*  hash.h - key to partition: part of the wire protocol, never changes.
 *
 *  FNV-1a, 64 bits (Fowler, Noll, Vo), folded: any language has it in three lines.  */
#ifndef BN_HASH_H
#define BN_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t bn_hash (const void *bytes, size_t size);
/*  (h ^ (h >> 32)) mod partitions.  */
uint32_t bn_hash_partition (uint64_t hash, uint32_t partitions);

#endif
