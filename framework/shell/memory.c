/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/memory.h"
#include <stdlib.h> /* __GLIBC__ */

#ifdef __GLIBC__
#include <malloc.h>

void bn_memory_keep (void)
{
    mallopt (M_MMAP_THRESHOLD, 32 * 1024 * 1024);
    mallopt (M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}
#else
void bn_memory_keep (void)
{
}
#endif
