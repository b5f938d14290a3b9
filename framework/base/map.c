/* SPDX-License-Identifier: MPL-2.0 */

/*  map.c - a treap: a search tree by key that is a heap by random priority.
 *
 *  DESIGN. The priorities come from a generator with a fixed seed, so that the same calls build the
 *  same tree. Nodes know their parent: iteration needs no stack and no memory. Rejected: a hash
 * table (no order), a sorted array (offsets come and go at both ends and in the middle).
 *
 *  A map that remembers has a table of nodes beside the tree, by hash, four to a set, the last one
 *  found first. It is a cache: what is not in it is looked for in the tree, so whoever makes hashes
 *  collide gets what every other map costs.
 *
 *  INVARIANT M1: keys left of a node are smaller, keys right of it greater (bytes, then length).
 *  INVARIANT M2: no child has a higher priority than its parent.
 *  INVARIANT M3: what is remembered is in the tree.  */
#include "base/map.h"
#include "base/assert.h"
#include "base/prng.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

struct bn_map_node {
    bn_map_node_t *left;
    bn_map_node_t *right;
    bn_map_node_t *parent;
    void *value;
    uint32_t priority;
    uint32_t key_size;
    uint8_t key[]; /* followed by a NUL */
};

#define WAYS     4
#define SETS_MIN 16

typedef struct {
    uint64_t hash;
    bn_map_node_t *node; /* borrowed; NULL: free, and so are those behind it in its set */
} remembered_t;

typedef struct {
    size_t sets; /* a power of two */
    remembered_t items[];
} memory_t;

struct bn_map {
    bn_map_node_t *root;
    size_t count;
    bn_prng_t prng;
    memory_t *memory; /* owned; NULL: it does not remember */
};

typedef struct {
    uint8_t bytes[8];
} u64_key_t;

/*  Big endian: in the order of the numbers also as bytes.  */
static u64_key_t u64_key (uint64_t key)
{
    u64_key_t result;
    key = htobe64 (key);
    memcpy (result.bytes, &key, sizeof key);
    return result;
}

static uint64_t load_u64 (const void *bytes)
{
    uint64_t value;
    memcpy (&value, bytes, sizeof value);
    return be64toh (value);
}

static int compare (const void *key, size_t key_size, const bn_map_node_t *node)
{
    if (key_size == 8 && node->key_size == 8) {
        uint64_t a = load_u64 (key);
        uint64_t b = load_u64 (node->key);
        return (a > b) - (a < b);
    }
    size_t common = key_size < node->key_size ? key_size : node->key_size;
    int order = common ? memcmp (key, node->key, common) : 0;
    if (order)
        return order;
    return (key_size > node->key_size) - (key_size < node->key_size);
}

bn_map_t *bn_map_new (void)
{
    bn_map_t *self = calloc (1, sizeof (bn_map_t));
    if (self)
        bn_prng_init (&self->prng, 0x6d6170);
    return self;
}

/*  A set for each key, or one key in twenty finds no place. What was remembered is forgotten.  */
static bool make_memory (bn_map_t *self, size_t sets)
{
    memory_t *memory = calloc (1, sizeof *memory + sets * WAYS * sizeof (remembered_t));
    if (!memory)
        return false;
    memory->sets = sets;
    free (self->memory);
    self->memory = memory;
    return true;
}

bn_map_t *bn_map_new_remembering (void)
{
    bn_map_t *self = bn_map_new ();
    if (self && !make_memory (self, SETS_MIN))
        bn_map_destroy (&self);
    return self;
}

void bn_map_destroy (bn_map_t **self_p)
{
    bn_map_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    /*  Leaves first, by way of the parents.  */
    bn_map_node_t *node = self->root;
    while (node) {
        bn_map_node_t **child = node->left ? &node->left : &node->right;
        bn_map_node_t *next = *child;
        *child = NULL;
        if (!next) {
            next = node->parent;
            free (node);
        }
        node = next;
    }
    free (self->memory);
    free (self);
}

size_t bn_map_count (const bn_map_t *self)
{
    return self->count;
}

/*  The place that points to `node`.  */
static bn_map_node_t **link_to (bn_map_t *self, const bn_map_node_t *node)
{
    if (!node->parent)
        return &self->root;
    return node->parent->left == node ? &node->parent->left : &node->parent->right;
}

/*  Turns the edge between `node` and its parent round: node goes up, the order (M1) stays.  */
static void rotate_up (bn_map_t *self, bn_map_node_t *node)
{
    bn_map_node_t *parent = node->parent;
    bn_map_node_t **from_above = link_to (self, parent);
    bn_map_node_t *moved;
    if (parent->left == node) {
        moved = node->right;
        parent->left = moved;
        node->right = parent;
    } else {
        moved = node->left;
        parent->right = moved;
        node->left = parent;
    }
    if (moved)
        moved->parent = parent;
    node->parent = parent->parent;
    parent->parent = node;
    *from_above = node;
}

bool bn_map_put (bn_map_t *self, const void *key, size_t key_size, void *value, void **old)
{
    bn_assert (key_size < UINT32_MAX);
    bn_map_node_t *parent = NULL;
    bn_map_node_t **place = &self->root;
    while (*place) {
        parent = *place;
        int order = compare (key, key_size, parent);
        if (order == 0) {
            if (old)
                *old = parent->value;
            parent->value = value;
            return true;
        }
        place = order < 0 ? &parent->left : &parent->right;
    }
    if (self->memory && self->count == self->memory->sets &&
        !make_memory (self, self->memory->sets * 2))
        return false;
    bn_map_node_t *node = malloc (sizeof (bn_map_node_t) + key_size + 1);
    if (!node)
        return false;
    *node = (bn_map_node_t){.parent = parent,
                            .value = value,
                            .priority = (uint32_t)(bn_prng_next (&self->prng) >> 32),
                            .key_size = (uint32_t)key_size};
    if (key_size)
        memcpy (node->key, key, key_size);
    node->key[key_size] = 0;
    *place = node;
    self->count++;
    while (node->parent && node->parent->priority < node->priority)
        rotate_up (self, node);
    if (old)
        *old = NULL;
    return true;
}

static bn_map_node_t *find (const bn_map_t *self, const void *key, size_t key_size)
{
    bn_map_node_t *node = self->root;
    while (node) {
        int order = compare (key, key_size, node);
        if (order == 0)
            return node;
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

/*  ---- what was looked up before ---- */

static uint64_t mix (uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

/*  Eight bytes at a time, the last eight again with those before them; and once more without any,
 *  for the first multiplication does not bring what is high in a word (names that differ in their
 *  middle) down to where the set is taken from. The multiplier is that of bn_prng's seeding
 *  (splitmix64).  */
static uint64_t hash_of (const void *key, size_t size)
{
    const uint8_t *at = key;
    const uint8_t *end = at + size;
    uint64_t hash = size;
    uint64_t word = 0;
    if (size < sizeof word) {
        while (at < end)
            word = word << 8 | *at++;
        return mix (mix (hash, word), 0);
    }
    for (; (size_t)(end - at) > sizeof word; at += sizeof word)
        hash = mix (hash, load_u64 (at));
    return mix (mix (hash, load_u64 (end - sizeof word)), 0);
}

static remembered_t *set_of (memory_t *self, uint64_t hash)
{
    return &self->items[(hash & (self->sets - 1)) * WAYS];
}

static void remember (bn_map_t *self, uint64_t hash, bn_map_node_t *node)
{
    remembered_t *set = set_of (self->memory, hash);
    memmove (set + 1, set, (WAYS - 1) * sizeof *set);
    set[0] = (remembered_t){hash, node};
}

/*  M3  */
static void forget (bn_map_t *self, const bn_map_node_t *node)
{
    if (!self->memory)
        return;
    remembered_t *set = set_of (self->memory, hash_of (node->key, node->key_size));
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].node == node) {
            memmove (set + i, set + i + 1, (WAYS - 1 - i) * sizeof *set);
            set[WAYS - 1] = (remembered_t){.node = NULL};
            return;
        }
}

static bn_map_node_t *recall (bn_map_t *self, const void *key, size_t key_size)
{
    uint64_t hash = hash_of (key, key_size);
    const remembered_t *set = set_of (self->memory, hash);
    for (size_t i = 0; i < WAYS && set[i].node; i++)
        if (set[i].hash == hash && set[i].node->key_size == key_size &&
            memcmp (set[i].node->key, key, key_size) == 0)
            return set[i].node;
    bn_map_node_t *node = find (self, key, key_size);
    if (node)
        remember (self, hash, node);
    return node;
}

/*  What is remembered is no part of what the map is: a const map may do so.  */
void *bn_map_get (const bn_map_t *self, const void *key, size_t key_size)
{
    const bn_map_node_t *node =
        self->memory ? recall ((bn_map_t *)self, key, key_size) : find (self, key, key_size);
    return node ? node->value : NULL;
}

void *bn_map_remove (bn_map_t *self, const void *key, size_t key_size)
{
    bn_map_node_t *node = find (self, key, key_size);
    if (!node)
        return NULL;
    forget (self, node);
    /*  Down, by lifting the child that may be above the other one (M2), until there is but one.  */
    while (node->left && node->right)
        rotate_up (self, node->left->priority >= node->right->priority ? node->left : node->right);
    bn_map_node_t *child = node->left ? node->left : node->right;
    *link_to (self, node) = child;
    if (child)
        child->parent = node->parent;
    void *value = node->value;
    free (node);
    self->count--;
    return value;
}

bool bn_map_put_u64 (bn_map_t *self, uint64_t key, void *value, void **old)
{
    u64_key_t bytes = u64_key (key);
    return bn_map_put (self, bytes.bytes, sizeof (bytes.bytes), value, old);
}

void *bn_map_get_u64 (const bn_map_t *self, uint64_t key)
{
    u64_key_t bytes = u64_key (key);
    return bn_map_get (self, bytes.bytes, sizeof (bytes.bytes));
}

void *bn_map_remove_u64 (bn_map_t *self, uint64_t key)
{
    u64_key_t bytes = u64_key (key);
    return bn_map_remove (self, bytes.bytes, sizeof (bytes.bytes));
}

bool bn_map_put_str (bn_map_t *self, const char *key, void *value, void **old)
{
    return bn_map_put (self, key, strlen (key), value, old);
}

void *bn_map_get_str (const bn_map_t *self, const char *key)
{
    return bn_map_get (self, key, strlen (key));
}

void *bn_map_remove_str (bn_map_t *self, const char *key)
{
    return bn_map_remove (self, key, strlen (key));
}

static bn_map_node_t *leftmost (bn_map_node_t *node)
{
    while (node && node->left)
        node = node->left;
    return node;
}

bn_map_node_t *bn_map_first (const bn_map_t *self)
{
    return leftmost (self->root);
}

bn_map_node_t *bn_map_next (const bn_map_node_t *node)
{
    if (node->right)
        return leftmost (node->right);
    while (node->parent && node->parent->right == node)
        node = node->parent;
    return node->parent;
}

/*  The first node whose key is >= key, or > key where `after`.  */
static bn_map_node_t *seek (const bn_map_t *self, const void *key, size_t key_size, bool after)
{
    bn_map_node_t *node = self->root;
    bn_map_node_t *best = NULL;
    while (node) {
        int order = compare (key, key_size, node);
        if (order < 0 || (order == 0 && !after)) {
            best = node;
            node = node->left;
        } else
            node = node->right;
    }
    return best;
}

bn_map_node_t *bn_map_at_least (const bn_map_t *self, const void *key, size_t key_size)
{
    return seek (self, key, key_size, false);
}

bn_map_node_t *bn_map_after (const bn_map_t *self, const void *key, size_t key_size)
{
    return seek (self, key, key_size, true);
}

bn_map_node_t *bn_map_at_least_u64 (const bn_map_t *self, uint64_t key)
{
    u64_key_t bytes = u64_key (key);
    return seek (self, bytes.bytes, sizeof (bytes.bytes), false);
}

bn_map_node_t *bn_map_after_u64 (const bn_map_t *self, uint64_t key)
{
    u64_key_t bytes = u64_key (key);
    return seek (self, bytes.bytes, sizeof (bytes.bytes), true);
}

void *bn_map_value (const bn_map_node_t *node)
{
    return node->value;
}

const void *bn_map_key (const bn_map_node_t *node, size_t *size)
{
    if (size)
        *size = node->key_size;
    return node->key;
}

uint64_t bn_map_key_u64 (const bn_map_node_t *node)
{
    bn_assert (node->key_size == 8);
    return load_u64 (node->key);
}
