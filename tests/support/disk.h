/* SPDX-License-Identifier: MPL-2.0 */

/*  disk.h - a disk in memory that loses power, fails and rots on request.
 *
 *  It keeps two images: what a process sees, and what would be there after a power cut. A crash
 *  keeps or drops each 512-byte sector that was not synced, by its own coin, and a prefix of the
 *  directory operations that were not synced. One seed, one outcome. Not for threads.  */
#ifndef BN_TEST_DISK_H
#define BN_TEST_DISK_H

#include "journal/vfs.h"

typedef struct bn_disk bn_disk_t;

bn_disk_t *bn_disk_new (uint64_t seed);
void bn_disk_destroy (bn_disk_t **self_p);

/*  A process's view; destroying it unlocks and leaves the disk.  */
bn_vfs_t *bn_disk_vfs (bn_disk_t *self);

/*  Power cut, now. Views made before only get -EIO from here on and change nothing.  */
void bn_disk_crash (bn_disk_t *self);
/*  The process dies: what it wrote stays. Views made before as above.  */
void bn_disk_kill (bn_disk_t *self);

/*  Calls on files and directories since the disk was made.  */
uint64_t bn_disk_calls (const bn_disk_t *self);
/*  The call with this number does not happen and returns -error; UINT64_MAX: none.  */
void bn_disk_fail_at (bn_disk_t *self, uint64_t call, int error);
/*  Power cut during the call with this number; UINT64_MAX: none.  */
void bn_disk_crash_at (bn_disk_t *self, uint64_t call);

/*  Changes a byte in both images; false: there is no such byte.  */
bool bn_disk_flip (bn_disk_t *self, const char *name, uint64_t at, uint8_t mask);
/*  Sets the length in both images.  */
bool bn_disk_truncate (bn_disk_t *self, const char *name, uint64_t size);
bool bn_disk_remove (bn_disk_t *self, const char *name);
/*  Borrowed; NULL: no such file.  */
const uint8_t *bn_disk_bytes (const bn_disk_t *self, const char *name, size_t *size);
/*  An independent copy, as after a kill.  */
bn_disk_t *bn_disk_copy (const bn_disk_t *self);

#endif
