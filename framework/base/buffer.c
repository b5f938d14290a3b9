/* SPDX-License-Identifier: MPL-2.0 */
#include "base/buffer.h"
#include "base/assert.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 256 /* of the first allocation */
#define SLACK_BYTES 512 /* of unused memory that a taken blob may keep */

/*  While the buffer owns it, blob->size is the capacity.  */

void bn_buffer_init (bn_buffer_t *self, size_t bound)
{
    *self = (bn_buffer_t){.bound = bound};
}

void bn_buffer_fini (bn_buffer_t *self)
{
    bn_blob_unref (&self->blob);
    *self = (bn_buffer_t){.bound = self->bound};
}

void bn_buffer_clear (bn_buffer_t *self)
{
    self->size = 0;
    self->failed = false;
}

uint8_t *bn_buffer_data (bn_buffer_t *self)
{
    return self->blob ? self->blob->data : NULL;
}

/*  The blob is never shared while it is ours, so that realloc may move it.  */
static bool resize (bn_buffer_t *self, size_t capacity)
{
    bn_blob_t *blob;
    if (self->blob)
        blob = realloc (self->blob, sizeof (bn_blob_t) + capacity);
    else
        blob = bn_blob_new (capacity);
    if (!blob)
        return false;
    blob->size = capacity;
    self->blob = blob;
    return true;
}

uint8_t *bn_buffer_grow (bn_buffer_t *self, size_t size)
{
    if (self->failed)
        return NULL;
    bn_assert (self->size <= self->bound);
    if (size > self->bound - self->size) {
        self->failed = true;
        return NULL;
    }
    size_t needed = self->size + size;
    size_t capacity = self->blob ? self->blob->size : 0;
    if (needed > capacity || !self->blob) {
        if (needed > SIZE_MAX / 2 - sizeof (bn_blob_t)) {
            self->failed = true;
            return NULL;
        }
        capacity = capacity ? capacity : FIRST_BYTES;
        while (capacity < needed)
            capacity *= 2;
        if (!resize (self, capacity)) {
            self->failed = true;
            return NULL;
        }
    }
    uint8_t *at = self->blob->data + self->size;
    self->size = needed;
    return at;
}

void bn_buffer_append (bn_buffer_t *self, const void *bytes, size_t size)
{
    uint8_t *at = bn_buffer_grow (self, size);
    if (at && size)
        memcpy (at, bytes, size);
}

bn_blob_t *bn_buffer_take (bn_buffer_t *self)
{
    if (self->failed)
        return NULL;
    if (!self->blob && !resize (self, 0))
        return NULL;
    if (self->blob->size - self->size > SLACK_BYTES)
        (void)resize (self, self->size); /* failing to shrink loses nothing */
    bn_blob_t *blob = self->blob;
    blob->size = self->size;
    self->blob = NULL;
    self->size = 0;
    return blob;
}

int bn_buffer_msgpack_write (void *self, const char *bytes, size_t size)
{
    bn_buffer_t *buffer = self;
    bn_buffer_append (buffer, bytes, size);
    return buffer->failed ? -1 : 0;
}
