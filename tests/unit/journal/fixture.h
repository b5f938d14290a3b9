/* SPDX-License-Identifier: MPL-2.0 */

/*  fixture.h - a journal on a disk in memory, with records whose content follows from their
 *  number.  */
#ifndef BN_TEST_JOURNAL_FIXTURE_H
#define BN_TEST_JOURNAL_FIXTURE_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "journal/journal.h"
#include "support/disk.h"

#define SMALL_SEGMENT 8192 /* bytes: about 4 KiB of records */
#define RECORD_TYPE   3

typedef struct {
    bn_disk_t *disk;
    bn_vfs_t *vfs;
    bn_journal_options_t options;
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_recovery_t recovery;
    uint64_t first_replayed; /* sequence; 0: none */
    uint64_t last_replayed;
    uint64_t next; /* sequence of the next record to write */
    char detail[512];
} fixture_t;

void fixture_init (fixture_t *self, uint64_t seed, uint64_t segment_bytes);
void fixture_fini (fixture_t *self);

/*  Opens; checks each replayed record, and that nothing is missing between them.  */
baton_err_t fixture_open (fixture_t *self, uint64_t trusted);
void fixture_close (fixture_t *self); /* cleanly */
void fixture_kill (fixture_t *self);  /* the process dies */
void fixture_crash (fixture_t *self); /* power cut */
/*  Closes what is open, on a disk that has crashed already.  */
void fixture_abandon (fixture_t *self);

/*  Writes `count` more records in one call; with sync.  */
baton_err_t fixture_write (fixture_t *self, uint64_t count);
baton_err_t fixture_append (fixture_t *self, uint64_t count);

/*  What record `sequence` is made of.  */
uint64_t record_base (uint64_t sequence);
uint32_t record_count (uint64_t sequence);
size_t record_size (uint64_t sequence);
uint64_t record_time (uint64_t sequence);
void record_fill (uint64_t sequence, uint8_t *body); /* record_size () bytes */
/*  NULL, or what differs.  */
const char *record_differs (const bn_journal_record_t *record, uint64_t sequence);

/*  Reads from the cursor to the end; checks that it is first..last.  */
void fixture_expect (fixture_t *self, uint64_t first, uint64_t last);

#endif
