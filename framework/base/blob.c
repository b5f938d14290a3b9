/* SPDX-License-Identifier: MPL-2.0 */
#include "base/blob.h"
#include "base/assert.h"
#include <stdlib.h>
#include <string.h>

bn_blob_t *bn_blob_new (size_t size)
{
    if (size > SIZE_MAX - sizeof (bn_blob_t))
        return NULL;
    bn_blob_t *self = malloc (sizeof (bn_blob_t) + size);
    if (!self)
        return NULL;
    atomic_init (&self->references, 1);
    self->size = size;
    return self;
}

bn_blob_t *bn_blob_new_copy (const void *bytes, size_t size)
{
    bn_blob_t *self = bn_blob_new (size);
    if (self && size)
        memcpy (self->data, bytes, size);
    return self;
}

bn_blob_t *bn_blob_ref (bn_blob_t *self)
{
    unsigned before = atomic_fetch_add_explicit (&self->references, 1, memory_order_relaxed);
    bn_assert (before > 0 && before < UINT32_MAX);
    return self;
}

void bn_blob_unref (bn_blob_t **self_p)
{
    bn_blob_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    /*  Release: our reads and writes come before the free, whoever does it; acquire: and the one
     * who does it sees them.  */
    unsigned before = atomic_fetch_sub_explicit (&self->references, 1, memory_order_acq_rel);
    bn_assert (before > 0);
    if (before == 1)
        free (self);
}
