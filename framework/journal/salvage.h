/* SPDX-License-Identifier: MPL-2.0 */

/*  salvage.h - every record that can still be read in a damaged journal, in order.
 *
 *  Reads only; repairs nothing. A record is taken if both its checksums hold and its tag is that of
 *  a segment of this journal, wherever the file is that it lies in and whatever is damaged around
 *  it. What is missing shows as a hole between the sequences. One thread.  */
#ifndef BN_SALVAGE_H
#define BN_SALVAGE_H

#include "journal/journal.h"

typedef struct bn_salvage bn_salvage_t;

/*  Something damaged that cost no record: one line.  */
typedef void (bn_salvage_note_fn) (const char *text, void *arg);

/*  `synced`: highest sequence that the views know to have been on disk; 0: none. Errors: FORMAT (of
 *  a newer version), NOT_FOUND (no segments), ROT (nothing tells which journal it is), and those of
 *  the disk. vfs is borrowed.  */
baton_err_t bn_salvage_new (bn_salvage_t **salvage, bn_vfs_t *vfs, uint64_t synced,
                            bn_salvage_note_fn *note, void *arg, char detail[512]);
void bn_salvage_destroy (bn_salvage_t **self_p);

/*  The next record that can be read; sequences ascend, bases never go down. The body is borrowed
 *  until the next call. *end: there is none; *record is left alone.  */
baton_err_t bn_salvage_next (bn_salvage_t *self, bn_journal_record_t *record, bool *end,
                             char detail[512]);

/*  Where the journal began before it was damaged; false: nothing tells.  */
bool bn_salvage_begin (const bn_salvage_t *self, uint64_t *sequence, uint64_t *base);
/*  What is known of the end, once *end was seen: the highest sequence that is known to have been on
 *  disk (or the last one read), and the offset behind it; *exact false: it is at most that.  */
void bn_salvage_end (const bn_salvage_t *self, uint64_t *sequence, uint64_t *tail, bool *exact);
/*  Records of an unfinished write at the end, which any start would have cut.  */
uint64_t bn_salvage_torn_records (const bn_salvage_t *self);

#endif
