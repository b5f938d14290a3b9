/* SPDX-License-Identifier: MPL-2.0 */

/*  zpl.h - a ZPL file (ZeroMQ RFC 4) as a CZMQ zconfig tree that knows the line of each item.
 *
 *  zconfig forgets lines and prints syntax errors instead of returning them. So the text is checked
 *  here first, line by line; zconfig then makes the tree, whose items in document order are the
 * lines that have a name.  */
#ifndef BN_ZPL_H
#define BN_ZPL_H

#include <baton/error.h>
#include <czmq.h>

#define BN_ZPL_BYTES_MAX (1024 * 1024) /* of a file */

typedef struct bn_zpl bn_zpl_t;

/*  `detail` (512 bytes) gets FILE:LINE and what is wrong. Errors: NOT_FOUND, PERMISSION, SYSTEM,
 *  CONFIG, MEMORY.  */
baton_err_t bn_zpl_load (bn_zpl_t **zpl, const char *path, char detail[512]);
/*  The same from text; `path` is used in messages only.  */
baton_err_t bn_zpl_parse (bn_zpl_t **zpl, const char *text, const char *path, char detail[512]);
void bn_zpl_destroy (bn_zpl_t **self_p);

zconfig_t *bn_zpl_root (bn_zpl_t *self);        /* borrowed; must not be changed */
const char *bn_zpl_path (const bn_zpl_t *self); /* borrowed */
/*  Line of an item of the tree, from 1; 0 for the root.  */
unsigned int bn_zpl_line (bn_zpl_t *self, zconfig_t *item);

/*  Writes "FILE:LINE: text" into detail and returns CONFIG.  */
baton_err_t bn_zpl_refuse (bn_zpl_t *self, zconfig_t *item, char detail[512], const char *format,
                           ...) __attribute__ ((format (printf, 4, 5)));

#endif
