/* SPDX-License-Identifier: MPL-2.0 */

/*  gate.c - holds effects back until the records before them are durable.
 *
 *  DESIGN. A ring in order of arrival. Each effect remembers the sequence of the last PERSIST
 *  before it; since sequences only rise, the one at the front always waits for the least, and a
 *  look at it is enough. Owned by the shell's thread; no locks.
 *  INVARIANTS: E1 and E2 of effects.h.  */
#include "base/assert.h"
#include "base/plant.h"
#include "core/effects.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    bn_effect_t effect;
    uint64_t needs; /* may leave when this sequence is durable */
} waiting_t;

struct bn_gate {
    waiting_t *ring; /* capacity is a power of two */
    size_t capacity;
    size_t first;      /* index of the oldest */
    size_t count;      /* that wait */
    size_t bytes;      /* what they hold */
    uint64_t sequence; /* of the last PERSIST that went through */
};

bn_gate_t *bn_gate_new (void)
{
    return calloc (1, sizeof (bn_gate_t));
}

void bn_gate_destroy (bn_gate_t **self_p)
{
    bn_gate_t *self = *self_p;
    if (!self)
        return;
    for (size_t index = 0; index < self->count; index++)
        bn_effect_fini (&self->ring[(self->first + index) & (self->capacity - 1)].effect);
    free (self->ring);
    free (self);
    *self_p = NULL;
}

static size_t effect_bytes (const bn_effect_t *effect)
{
    size_t read =
        effect->read ? sizeof *effect->read + effect->read->offset_count * sizeof (uint64_t) : 0;
    return (effect->head ? effect->head->size : 0) + (effect->header ? effect->header->size : 0) +
           effect->payload.size + read;
}

/*  Room for `more`, so that a push is all or nothing.  */
static bool make_room (bn_gate_t *self, size_t more)
{
    if (self->count + more <= self->capacity)
        return true;
    size_t capacity = self->capacity ? self->capacity : 64;
    while (capacity < self->count + more)
        capacity *= 2;
    waiting_t *ring = malloc (capacity * sizeof *ring);
    if (!ring)
        return false;
    for (size_t index = 0; index < self->count; index++)
        ring[index] = self->ring[(self->first + index) & (self->capacity - 1)];
    free (self->ring);
    self->ring = ring;
    self->capacity = capacity;
    self->first = 0;
    return true;
}

bool bn_gate_push (bn_gate_t *self, bn_effects_t *effects, bn_gate_persist_fn *persist, void *arg)
{
    if (effects->failed || !make_room (self, effects->count))
        return false;
    for (size_t index = 0; index < effects->count; index++) {
        bn_effect_t *effect = &effects->items[index];
        if (effect->kind == BN_EFFECT_PERSIST) {
            uint64_t sequence = persist (effect, arg);
            bn_assert (sequence > self->sequence);
            self->sequence = sequence;
            effect->body = NULL; /* the callback's now */
            bn_effect_fini (effect);
            continue;
        }
        waiting_t *waiting = &self->ring[(self->first + self->count) & (self->capacity - 1)];
        waiting->effect = *effect;
        waiting->needs = self->sequence;
        self->count++;
        self->bytes += effect_bytes (effect);
    }
    effects->count = 0;
    return true;
}

bool bn_gate_pop (bn_gate_t *self, uint64_t durable_sequence, bn_effect_t *effect)
{
    if (self->count == 0)
        return false;
    bool early =
        BN_PLANT (receipt_before_sync) && self->ring[self->first].effect.kind == BN_EFFECT_SEND;
    if (self->ring[self->first].needs > durable_sequence && !early) /* E2 */
        return false;
    *effect = self->ring[self->first].effect;
    self->first = (self->first + 1) & (self->capacity - 1); /* E1 */
    self->count--;
    bn_assert (self->bytes >= effect_bytes (effect));
    self->bytes -= effect_bytes (effect);
    return true;
}

size_t bn_gate_count (const bn_gate_t *self)
{
    return self->count;
}

size_t bn_gate_bytes (const bn_gate_t *self)
{
    return self->bytes;
}
