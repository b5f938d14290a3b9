/* SPDX-License-Identifier: MPL-2.0 */

/*  recovery.h - from a data directory to a running state: lock, views, replay.
 *
 *  The directory is locked before anything in it is looked at. The views give the state as it was
 * at their checkpoint, the journal what came after. Views that are missing or damaged cost a replay
 * of everything, never data; views that are ahead of the journal mean that receipted records are
 *  missing, and that is refused.  */
#ifndef BN_RECOVERY_H
#define BN_RECOVERY_H

#include "core/state.h"
#include "journal/journal.h"
#include "journal/views.h"

typedef struct {
    const char *data_dir;
    uint64_t segment_bytes;
    uint32_t record_bytes_max;
    uint32_t producers_max;
} bn_recovery_options_t;

typedef struct {
    bn_vfs_t *vfs; /* owned, as is everything below */
    bn_views_t *views;
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_state_t *state;
    bn_journal_recovery_t journal;
    uint64_t checkpoint_sequence; /* that the views include; 0: none */
    uint64_t replayed;            /* records */
} bn_recovered_t;

/*  `detail` (512 bytes) has one line for a person. On an error nothing is left open. Errors:
 * LOCKED, PERMISSION, DISK_FULL, IO, ROT, FORMAT, MEMORY. Blocks; logs what was repaired.  */
baton_err_t bn_recover (bn_recovered_t *recovered, const bn_recovery_options_t *options,
                        char detail[512]);
/*  Closes what is still there; idempotent. The directory is unlocked last.  */
void bn_recovered_fini (bn_recovered_t *recovered);

#endif
