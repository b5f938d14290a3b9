/* SPDX-License-Identifier: MPL-2.0 */

/*  logbook.h - what instances print, kept in files: a bounded number of bytes for each.
 *
 *      DIRECTORY/NAME.log      the newest lines
 *      DIRECTORY/NAME.log.1    those before
 *      DIRECTORY/NAME.log.3    the oldest
 *
 *  A line is "2026-01-31T12:00:00.000Z TEXT"; the time is when it was read, unless the line itself
 *  begins with one of that form. A file that has reached its share of the bytes becomes .1, and the
 *  oldest one goes.
 *
 *  DESIGN. Lines are written as they come, each with one write(2), by the supervisor's thread:
 *  after a crash of anything but the kernel they are all there. A few files are kept open, those
 *  used last. What instances print is never a reason to stop anything: when a file cannot be
 *  written (a full disk), that is said once, lines are dropped, and after a while it is tried
 *  again; when it works again, that is said with the number of lines lost.
 *
 *  One thread: the supervisor's.  */
#ifndef BN_LOGBOOK_H
#define BN_LOGBOOK_H

#include <baton/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BN_LOGBOOK_FILES         4  /* of one name */
#define BN_LOGBOOK_OPEN_MAX      64 /* files open at the same time */
#define BN_LOGBOOK_NAME_MAX      72 /* bytes: an instance's name */
#define BN_LOGBOOK_TIME_SIZE     24 /* bytes: "2026-01-31T12:00:00.000Z" */
#define BN_LOGBOOK_BYTES_DEFAULT (64ull * 1024 * 1024)
#define BN_LOGBOOK_BYTES_MIN     (64ull * 1024)

typedef struct bn_logbook bn_logbook_t;

/*  bytes_max: of all files of a name; 0: the default. Makes the directory, but not those above it.
 *  Errors: MEMORY, and PERMISSION, NOT_FOUND, DISK_FULL or SYSTEM with errno set.  */
baton_err_t bn_logbook_new (bn_logbook_t **logbook, const char *directory, uint64_t bytes_max);
void bn_logbook_destroy (bn_logbook_t **self_p);

/*  Adds a line, without its end, to the files of `name` (no '/').  */
void bn_logbook_write (bn_logbook_t *self, const char *name, uint64_t now_us, const char *line,
                       size_t size);

/*  Makes standard output and standard error the newest file of `name`, whose lines come with a time
 *  of their own. From then on bn_logbook_turn, called now and then, keeps its size bounded.  */
baton_err_t bn_logbook_take_over (bn_logbook_t *self, const char *name);
void bn_logbook_turn (bn_logbook_t *self);

/*  True if a text begins with such a time.  */
bool bn_logbook_is_time (const char *text, size_t size);

/*  The path of the index-th newest file of a name, 0 to BN_LOGBOOK_FILES - 1, below a directory;
 *  the caller's. NULL: no memory.  */
char *bn_logbook_path (const char *directory, const char *name, unsigned index);

#endif
