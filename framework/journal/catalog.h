/* SPDX-License-Identifier: MPL-2.0 */

/*  catalog.h - what is in a data directory: its format, the mark, and an unbroken chain of
 *  segments.
 *
 *  Used by opening (which makes a new journal, too) and by the writer afterwards. One thread.  */
#ifndef BN_JOURNAL_CATALOG_H
#define BN_JOURNAL_CATALOG_H

#include "journal/format.h"
#include "journal/journal.h"

typedef struct {
    uint64_t id;
    uint64_t first_sequence;
    uint64_t first_base;
    uint64_t first_time_us;  /* 0: unknown */
    uint64_t newest_time_us; /* of its last record; 0: unknown */
    uint64_t end;            /* bytes used */
    uint32_t previous_crc;   /* what its first record continues */
} bn_segment_t;

typedef struct {
    bn_mark_t mark;
    bool created;
    bn_segment_t *segments; /* owned; oldest first, consecutive ids */
    size_t count;           /* >= 1 after opening */
    size_t capacity;
    bool next_ready; /* the file behind the last segment is prepared */
} bn_catalog_t;

/*  Reads all of it and checks the chain: format, mark, headers, and that each segment ends where
 *  the next one says. Not read_only: makes what is missing in an empty directory, and removes what
 *  an interrupted trim or preparation left. Errors: FORMAT, ROT, NOT_FOUND (read_only: there is no
 *  journal), and those of the disk.  */
baton_err_t bn_catalog_open (bn_catalog_t *self, bn_vfs_t *vfs, const bn_journal_options_t *options,
                             char detail[512]);
void bn_catalog_fini (bn_catalog_t *self);
bool bn_catalog_add (bn_catalog_t *self, const bn_segment_t *segment); /* false: no memory */

/*  Atomically, durable when it returns.  */
int64_t bn_catalog_write_mark (bn_vfs_t *vfs, const bn_mark_t *mark);
/*  Zeros at [from, to).  */
int64_t bn_catalog_fill (bn_vfs_t *vfs, bn_vfile_t *file, uint64_t from, uint64_t to);

#endif
