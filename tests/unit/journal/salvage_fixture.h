/* SPDX-License-Identifier: MPL-2.0 */

/*  salvage_fixture.h - a journal to damage, and what salvage says of it.  */
#ifndef BN_TEST_SALVAGE_FIXTURE_H
#define BN_TEST_SALVAGE_FIXTURE_H

#include "journal/format.h"
#include "journal/salvage.h"
#include "unit/journal/fixture.h"

#define RECORDS   150 /* in about five segments */
#define SALT      4711
#define NOTES_MAX 16
#define FOUND_MAX 1024

typedef struct {
    baton_err_t err;
    char detail[512];
    uint64_t found[FOUND_MAX]; /* sequences, in the order they came in */
    size_t count;
    char notes[NOTES_MAX][256];
    size_t note_count;
    bool begins, exact;
    uint64_t begin_sequence, begin_base;
    uint64_t end_sequence, end_tail;
    uint64_t torn;
} result_t;

typedef struct {
    uint64_t segment, position;
} place_t;

extern result_t result;
extern place_t places[RECORDS + 200]; /* of each record, where salvage found it last */
extern fixture_t journal;

void salvage_vfs (result_t *self, bn_vfs_t *vfs, uint64_t synced);
void salvage (bn_disk_t *disk);
void expect_records (uint64_t first, uint64_t last, uint64_t lost_first, uint64_t lost_last);
bool noted (const char *name, const char *what);
void expect_note (const char *name, const char *what);
void expect_end (uint64_t sequence, uint64_t tail, bool exact);
const char *name_of (char name[64], uint64_t segment);
void start_journal (void);
void append (uint64_t count);
bn_disk_t *make_journal (void);
void end_journal (void);
void put (bn_disk_t *disk, const char *name, size_t at, const void *bytes, size_t size);
void make_file (bn_disk_t *disk, const char *name, const void *bytes, size_t size);
uint8_t *copy_of (bn_disk_t *disk, const char *name, size_t *size);
void spoil (bn_disk_t *disk, uint64_t sequence);
void forge (bn_disk_t *disk, uint64_t sequence, void (*change) (bn_frame_t *));
bn_segment_header_t read_header (bn_disk_t *disk, uint64_t segment);
void write_header (bn_disk_t *disk, uint64_t named, bn_segment_header_t *header);

#endif
