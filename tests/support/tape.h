/* SPDX-License-Identifier: MPL-2.0 */

/*  tape.h - a disk in memory that remembers everything that was done to it, and can show each state
 *  that a power cut may have left behind.
 *
 *  What a sync vouches for is there; of what came after it each 512-byte sector holds any of the
 *  versions that it ever had since, whole, or torn between two of them (the bytes that both agree
 *  on stay). Of directory operations that were not synced a prefix survives, as on a journaling
 *  file system. Not for threads.  */
#ifndef BN_TEST_TAPE_H
#define BN_TEST_TAPE_H

#include "journal/vfs.h"

#define TAPE_SECTOR_BYTES 512

typedef struct tape tape_t;

tape_t *tape_new (void);
void tape_destroy (tape_t **self_p);

/*  A process's view. The files stay when it is destroyed.  */
bn_vfs_t *tape_vfs (tape_t *self);

/*  The call with this number and `count - 1` after it do not happen and return -error. ENOSPC and
 *  EDQUOT are returned only by calls that need room. 0: none.  */
void tape_fail (tape_t *self, uint64_t call, uint64_t count, int error);
uint64_t tape_calls (const tape_t *self);  /* so far */
uint64_t tape_failed (const tape_t *self); /* calls that did not happen */

/*  The bytes of a file, for reading and for damage; NULL: no such file.  */
uint8_t *tape_bytes (tape_t *self, const char *name, size_t *size);
/*  Name of file number `index`; NULL: there are no more.  */
const char *tape_name (const tape_t *self, size_t index);
void tape_put (tape_t *self, const char *name, const void *bytes, size_t size);
void tape_remove (tape_t *self, const char *name);
tape_t *tape_copy (const tape_t *self); /* the files */

/*  ---- recording ---- */
void tape_record (tape_t *self);             /* from now on; what is there counts as synced */
size_t tape_operations (const tape_t *self); /* recorded: writes, syncs, directory operations */

/*  Where the recording is played to.  */
typedef struct tape_player tape_player_t;

tape_player_t *tape_player_new (const tape_t *tape);
void tape_player_destroy (tape_player_t **self_p);
bool tape_player_step (tape_player_t *self); /* one operation on; false: at the end */
/*  Sectors that differ between what was written and what is vouched for.  */
size_t tape_player_dirty (const tape_player_t *self);
size_t tape_player_unsynced (const tape_player_t *self); /* directory operations */

/*  What a sector holds after the power cut.  */
typedef struct {
    bool newest;   /* else what the sync vouched for */
    uint64_t pick; /* not 0: instead a version drawn with this number, or two, torn */
} tape_fate_t;

typedef tape_fate_t (tape_fate_fn) (size_t sector, size_t sectors, void *arg);
/*  A disk as it may be after a power cut now: the fate of each dirty sector, in the order of their
 *  last write, and how many of the unsynced directory operations survive.  */
tape_t *tape_player_cut (const tape_player_t *self, size_t operations, tape_fate_fn *fate,
                         void *arg);

/*  > 0 while the tape itself allocates: tests that make malloc fail leave it alone. Volatile, for a
 *  compiler takes realloc for a function that reads no variable of ours.  */
extern volatile int tape_busy;

#endif
