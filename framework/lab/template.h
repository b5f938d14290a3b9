/* SPDX-License-Identifier: MPL-2.0 */

/*  template.h - data of an event of the load, made for each one from a pattern.
 *
 *  The pattern is MessagePack. In its texts $key is the event's key, $n its number in that key, $id
 *  its id; $$ is a dollar. A text that is "$n" and nothing else becomes the number itself. Keys of
 *  maps stay as they are.
 *
 *  Pure.  */
#ifndef BN_LAB_TEMPLATE_H
#define BN_LAB_TEMPLATE_H

#include "base/buffer.h"
#include <baton/error.h>

typedef struct {
    const char *key;
    const char *id;
    uint64_t n;
} bn_lab_names_t;

/*  True if there is something to fill in.  */
bool bn_lab_template_varies (const void *data, size_t size);
/*  Appends the data, filled in. Errors: MALFORMED (not one well-formed value), TOO_LARGE (the
 *  buffer's bound).  */
baton_err_t bn_lab_template_fill (const void *data, size_t size, const bn_lab_names_t *names,
                                  bn_buffer_t *filled);

#endif
