/* SPDX-License-Identifier: MPL-2.0 */

/*  prepare.h - what who runs many processes needs before it starts.  */
#ifndef BN_PREPARE_H
#define BN_PREPARE_H

#include <stdbool.h>

/*  Makes a directory and those above it; false with errno.  */
bool bn_prepare_directory (const char *path);
/*  Three descriptors for each instance, and some more: the usual 1,024 are not enough for all.  */
void bn_prepare_descriptors (void);

#endif
