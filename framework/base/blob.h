/* SPDX-License-Identifier: MPL-2.0 */

/*  blob.h - reference-counted, immutable-once-shared bytes.
 *
 *  The one way in which payload bytes travel between machines, journal and sockets without being
 *  copied. The count is atomic: a blob may be released on another thread than the one that made it
 *  (libzmq frees on its I/O threads).  */
#ifndef BN_BLOB_H
#define BN_BLOB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    atomic_uint references; /* freed when it reaches 0 */
    size_t size;            /* bytes in data */
    uint8_t data[];
} bn_blob_t;

bn_blob_t *bn_blob_new (size_t size);                          /* uninitialised; NULL: no memory */
bn_blob_t *bn_blob_new_copy (const void *bytes, size_t size);  /* NULL: no memory */
bn_blob_t *bn_blob_ref (bn_blob_t *self);                      /* returns self */
void bn_blob_unref (bn_blob_t **self_p);                       /* nulls the pointer; NULL is fine */

/*  A window on a blob (owner counted where the struct says so) or on borrowed bytes (blob NULL). */
typedef struct {
    bn_blob_t *blob;
    const uint8_t *data;
    size_t size;
} bn_slice_t;

#endif
