/* SPDX-License-Identifier: MPL-2.0 */

/*  map.h - an ordered map from byte-string or u64 keys to pointers.
 *
 *  Ordered, so that whatever iterates does so in the same order on every run (the simulator
 *  compares traces) and range queries are cheap. Values are borrowed; the map owns its copies of
 *  the keys. u64 keys are the bytes in big-endian order.
 *  Balanced tree (treap with priorities from a fixed generator, or AA tree), O(log n).  */
#ifndef BN_MAP_H
#define BN_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bn_map bn_map_t;

bn_map_t *bn_map_new (void); /* NULL: no memory */
/*  The same, and bn_map_get remembers where its look-ups ended: for maps in which few keys are
 *  looked up again and again. Takes 64 to 128 bytes for each key. Not even looking up may be done
 *  by two threads at a time.  */
bn_map_t *bn_map_new_remembering (void);
void bn_map_destroy (bn_map_t **self_p); /* the values are the caller's */
size_t bn_map_count (const bn_map_t *self);
/*  false: no memory. Replaces an existing value; *old (may be NULL) gets it, else NULL.  */
bool bn_map_put (bn_map_t *self, const void *key, size_t key_size, void *value, void **old);
void *bn_map_get (const bn_map_t *self, const void *key, size_t key_size);
void *bn_map_remove (bn_map_t *self, const void *key, size_t key_size); /* the value, or NULL */

bool bn_map_put_u64 (bn_map_t *self, uint64_t key, void *value, void **old);
void *bn_map_get_u64 (const bn_map_t *self, uint64_t key);
void *bn_map_remove_u64 (bn_map_t *self, uint64_t key);
bool bn_map_put_str (bn_map_t *self, const char *key, void *value, void **old);
void *bn_map_get_str (const bn_map_t *self, const char *key);
void *bn_map_remove_str (bn_map_t *self, const char *key);

/*  In-order iteration. An iterator is valid until the map changes; to remove while iterating, call
 *  bn_map_after with the key of the one just seen.  */
typedef struct bn_map_node bn_map_node_t;
bn_map_node_t *bn_map_first (const bn_map_t *self);
bn_map_node_t *bn_map_next (const bn_map_node_t *node);
/*  The first with key >= key (at_least) or > key (after).  */
bn_map_node_t *bn_map_at_least (const bn_map_t *self, const void *key, size_t key_size);
bn_map_node_t *bn_map_after (const bn_map_t *self, const void *key, size_t key_size);
bn_map_node_t *bn_map_at_least_u64 (const bn_map_t *self, uint64_t key);
bn_map_node_t *bn_map_after_u64 (const bn_map_t *self, uint64_t key);
void *bn_map_value (const bn_map_node_t *node);
const void *bn_map_key (const bn_map_node_t *node, size_t *size); /* followed by a NUL */
uint64_t bn_map_key_u64 (const bn_map_node_t *node);

#endif
