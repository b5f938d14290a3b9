/* SPDX-License-Identifier: MPL-2.0 */

/*  internal.h - how opening hands over to the writer and the reader.  */
#ifndef BN_JOURNAL_INTERNAL_H
#define BN_JOURNAL_INTERNAL_H

#include "journal/catalog.h"

#define BN_EXTENT_BYTES (64u << 10) /* at most one index entry per so many bytes */

/*  Where the journal ends.  */
typedef struct {
    uint64_t sequence_next;
    uint64_t tail;     /* offset of the next event */
    uint64_t synced;   /* highest sequence on disk */
    uint64_t time_us;  /* of the last record; 0: none known */
    uint64_t position; /* in the last segment: where the next record goes */
    uint32_t crc;      /* of the last record's header */
    bool ended;        /* the last segment is closed: the next record opens a new one */
} bn_journal_end_t;

/*  Takes the catalog over (also on error).  */
baton_err_t bn_journal_writer_new (bn_journal_writer_t **writer, bn_vfs_t *vfs,
                                   const bn_journal_options_t *options, bn_catalog_t *catalog,
                                   const bn_journal_end_t *end, char detail[512]);
/*  `start`: of the oldest segment. NULL: no memory.  */
bn_journal_reader_t *bn_journal_reader_new (bn_vfs_t *vfs, uint64_t salt, const bn_extent_t *start);

#endif
