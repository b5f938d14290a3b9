/* SPDX-License-Identifier: MPL-2.0 */

/*  log_files.h - reads back what a logbook (supervisor/logbook.h) has kept of one name, from the
 *  oldest file to the newest, also while lines are added and files are rotated.
 *
 *  DESIGN. The reader knows its place by the open file and not by its name: at the end of a file
 *  it looks under which number that file is now, and goes on with the next newer one. So a rotation
 *  in between loses nothing, unless the reader is so slow that its file is replaced; it goes on
 *  with the oldest one then.  */
#ifndef BN_LOG_FILES_H
#define BN_LOG_FILES_H

#include "supervisor/logbook.h"
#include <stdbool.h>

#define BN_LOG_LINE_BYTES_MAX (64 * 1024) /* a line that is longer comes in pieces */

typedef struct bn_log_files bn_log_files_t;

typedef struct {
    char time[BN_LOGBOOK_TIME_SIZE + 1]; /* "2026-01-31T12:00:00.000Z"; of a line without one: that
                                            of the line before, or "" */
    const char *line;                    /* with its time, if it has one; borrowed */
    size_t size;
    size_t text; /* where what was printed begins in it */
} bn_log_line_t;

/*  Begins at the oldest line; NULL: no memory.  */
bn_log_files_t *bn_log_files_new (const char *directory, const char *name);
void bn_log_files_destroy (bn_log_files_t **self_p);
const char *bn_log_files_name (const bn_log_files_t *self);
/*  Begins at the last `lines` lines instead; before the first bn_log_files_peek. Returns how many
 *  there are, at most `lines`.  */
uint64_t bn_log_files_tail (bn_log_files_t *self, uint64_t lines);
/*  The next line, until bn_log_files_next; NULL: there is none yet.  */
const bn_log_line_t *bn_log_files_peek (bn_log_files_t *self);
void bn_log_files_next (bn_log_files_t *self);

#endif
