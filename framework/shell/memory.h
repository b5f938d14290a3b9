/* SPDX-License-Identifier: MPL-2.0 */

/*  memory.h - how a process of ours keeps the memory that it frees.  */
#ifndef BN_MEMORY_H
#define BN_MEMORY_H

/*  Large messages come and go all the time. By default glibc gives their memory back to the system
 *  at each free, and the next one is page faults: a fifth of the processor time at full rate. This
 *  keeps up to 64 MiB of freed memory instead. For a whole process, so only for programs of ours,
 *  never for a library in somebody else's; before other threads are made. Elsewhere than on glibc:
 *  nothing.  */
void bn_memory_keep (void);

#endif
