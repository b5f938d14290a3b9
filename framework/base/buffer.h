/* SPDX-License-Identifier: MPL-2.0 */

/*  buffer.h - a growable byte buffer with a bound.
 *
 *  Errors stick: past the bound or out of memory, `failed` is set, further appends do nothing, and
 *  the caller checks once at the end.  */
#ifndef BN_BUFFER_H
#define BN_BUFFER_H

#include "base/blob.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    bn_blob_t *blob;  /* storage, owned; NULL while empty */
    size_t size;      /* bytes used */
    size_t bound;     /* bytes at most */
    bool failed;      /* an append did not fit */
} bn_buffer_t;

void bn_buffer_init (bn_buffer_t *self, size_t bound);
void bn_buffer_fini (bn_buffer_t *self);
void bn_buffer_clear (bn_buffer_t *self); /* size 0, failed false, memory kept */
uint8_t *bn_buffer_data (bn_buffer_t *self);
/*  Makes room for `size` bytes at the end and returns where they go; NULL: failed.  */
uint8_t *bn_buffer_grow (bn_buffer_t *self, size_t size);
void bn_buffer_append (bn_buffer_t *self, const void *bytes, size_t size);
/*  Hands the content over as a blob (size exact) and leaves the buffer empty; NULL: failed.  */
bn_blob_t *bn_buffer_take (bn_buffer_t *self);
/*  For msgpack_packer_init: (void *) bn_buffer_t, returns 0 or -1.  */
int bn_buffer_msgpack_write (void *self, const char *bytes, size_t size);

#endif
