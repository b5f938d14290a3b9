/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/unsent.h"
#include <stdlib.h>

void bn_unsent_sweep (bn_unsent_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (atomic_load (&self->items[i].blob->references) == 1) {
            self->bytes -= self->items[i].bytes;
            bn_blob_unref (&self->items[i].blob);
        } else
            self->items[kept++] = self->items[i];
    }
    self->count = kept;
}

size_t bn_unsent_room (const bn_unsent_t *self, uint64_t route, size_t wanted)
{
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].route == route) {
            count++;
            bytes += self->items[i].bytes;
        }
    if (self->bytes >= BN_UNSENT_TOTAL_BYTES) {
        if (count > 0)
            return 0;
        return wanted < BN_UNSENT_SCANT_BYTES ? wanted : BN_UNSENT_SCANT_BYTES;
    }
    return count < BN_UNSENT_MAX && bytes < BN_UNSENT_ROUTE_BYTES ? wanted : 0;
}

bool bn_unsent_add (bn_unsent_t *self, uint64_t route, bn_blob_t *blob, size_t bytes)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 64;
        void *items = realloc (self->items, capacity * sizeof *self->items);
        if (!items)
            return false;
        self->items = items;
        self->capacity = capacity;
    }
    self->items[self->count].route = route;
    self->items[self->count].bytes = bytes;
    self->bytes += bytes;
    self->items[self->count++].blob = bn_blob_ref (blob);
    return true;
}

void bn_unsent_fini (bn_unsent_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        bn_blob_unref (&self->items[i].blob);
    free (self->items);
    *self = (bn_unsent_t){.count = 0};
}
