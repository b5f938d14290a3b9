/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/log_files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES   BN_LOG_LINE_BYTES_MAX
#define RACES_MAX      10          /* with rotations, in a row */
#define JSON_TIME      "{\"time\":\""
#define JSON_TIME_SIZE (sizeof (JSON_TIME) - 1)

struct bn_log_files {
    char *directory; /* owned */
    char name[BN_LOGBOOK_NAME_MAX + 1];
    int fd; /* owned; -1: none yet */
    bool ready;
    bn_log_line_t line; /* if ready */
    size_t start, end;  /* of what is in the buffer */
    char buffer[BUFFER_BYTES];
};

bn_log_files_t *bn_log_files_new (const char *directory, const char *name)
{
    bn_log_files_t *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->fd = -1;
    self->directory = strdup (directory);
    snprintf (self->name, sizeof (self->name), "%s", name);
    if (!self->directory)
        bn_log_files_destroy (&self);
    return self;
}

void bn_log_files_destroy (bn_log_files_t **self_p)
{
    bn_log_files_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->fd >= 0)
        close (self->fd);
    free (self->directory);
    free (self);
}

const char *bn_log_files_name (const bn_log_files_t *self)
{
    return self->name;
}

static int s_open (const bn_log_files_t *self, unsigned index)
{
    char *path = bn_logbook_path (self->directory, self->name, index);
    int fd = path ? open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    free (path);
    return fd;
}

/*  Under which number the open file is now; BN_LOGBOOK_FILES: under none.  */
static unsigned s_index (const bn_log_files_t *self)
{
    struct stat own, other;
    unsigned index = 0;
    if (self->fd < 0 || fstat (self->fd, &own))
        return BN_LOGBOOK_FILES;
    for (; index < BN_LOGBOOK_FILES; index++) {
        char *path = bn_logbook_path (self->directory, self->name, index);
        bool same = path && stat (path, &other) == 0 && own.st_ino == other.st_ino &&
                    own.st_dev == other.st_dev;
        free (path);
        if (same)
            break;
    }
    return index;
}

/*  Opens the next newer file; false: the newest is open.  */
static bool s_advance (bn_log_files_t *self)
{
    for (int race = 0; race < RACES_MAX; race++) {
        unsigned before = s_index (self);
        if (before == 0)
            return false;
        int fd = -1;
        for (unsigned index = before; fd < 0 && index > 0; index--)
            fd = s_open (self, index - 1);
        if (fd < 0)
            return false;
        if (s_index (self) != before) {
            close (fd); /* rotated meanwhile: it may be another one than it seems */
            continue;
        }
        if (self->fd >= 0)
            close (self->fd);
        self->fd = fd;
        return true;
    }
    return false;
}

/*  More bytes into the buffer; false: there are none now.  */
static bool s_fill (bn_log_files_t *self)
{
    if (self->start > 0) {
        memmove (self->buffer, self->buffer + self->start, self->end - self->start);
        self->end -= self->start;
        self->start = 0;
    }
    for (;;) {
        ssize_t size = 0;
        /*  Whether it is the newest is asked first: to one that is not, nothing is added.  */
        bool last = s_index (self) == 0;
        if (self->fd >= 0) {
            do
                size = read (self->fd, self->buffer + self->end, BUFFER_BYTES - self->end);
            while (size < 0 && errno == EINTR);
        }
        if (size > 0) {
            self->end += (size_t)size;
            return true;
        }
        if (last || !s_advance (self))
            return false;
    }
}

static void s_set_line (bn_log_files_t *self, size_t size)
{
    bn_log_line_t *line = &self->line;
    line->line = self->buffer + self->start;
    line->size = size;
    line->text = 0;
    if (size > BN_LOGBOOK_TIME_SIZE && bn_logbook_is_time (line->line, size) &&
        line->line[BN_LOGBOOK_TIME_SIZE] == ' ') {
        memcpy (line->time, line->line, BN_LOGBOOK_TIME_SIZE);
        line->text = BN_LOGBOOK_TIME_SIZE + 1;
    } else if (size > JSON_TIME_SIZE + BN_LOGBOOK_TIME_SIZE &&
               memcmp (line->line, JSON_TIME, JSON_TIME_SIZE) == 0 &&
               bn_logbook_is_time (line->line + JSON_TIME_SIZE, BN_LOGBOOK_TIME_SIZE))
        memcpy (line->time, line->line + JSON_TIME_SIZE, BN_LOGBOOK_TIME_SIZE);
    self->ready = true;
}

const bn_log_line_t *bn_log_files_peek (bn_log_files_t *self)
{
    while (!self->ready) {
        char *end = memchr (self->buffer + self->start, '\n', self->end - self->start);
        if (end)
            s_set_line (self, (size_t)(end - self->buffer) - self->start);
        else if (self->start == 0 && self->end == BUFFER_BYTES)
            s_set_line (self, BUFFER_BYTES);
        else if (!s_fill (self))
            return NULL;
    }
    return &self->line;
}

void bn_log_files_next (bn_log_files_t *self)
{
    self->start += self->line.size;
    if (self->start < self->end && self->buffer[self->start] == '\n')
        self->start++;
    self->ready = false;
}

/*  Counts the lines of a file from its end, up to `lines`; *offset is where the first of them
 *  begins.  */
static uint64_t s_count_back (int fd, uint64_t lines, off_t *offset)
{
    char block[16 * 1024];
    off_t at = lseek (fd, 0, SEEK_END);
    uint64_t ends = 0;
    *offset = 0;
    while (at > 0) {
        size_t want = at < (off_t)sizeof (block) ? (size_t)at : sizeof (block);
        if (pread (fd, block, want, at - (off_t)want) != (ssize_t)want)
            break;
        for (size_t i = want; i > 0; i--)
            if (block[i - 1] == '\n' && ends++ == lines) {
                *offset = at - (off_t)want + (off_t)i;
                return lines;
            }
        at -= (off_t)want;
    }
    return ends;
}

uint64_t bn_log_files_tail (bn_log_files_t *self, uint64_t lines)
{
    uint64_t found = 0;
    for (unsigned index = 0; index < BN_LOGBOOK_FILES && (found < lines || lines == 0); index++) {
        off_t offset = 0;
        int fd = s_open (self, index);
        if (fd < 0)
            break;
        found += s_count_back (fd, lines - found, &offset);
        lseek (fd, offset, SEEK_SET);
        if (self->fd >= 0)
            close (self->fd);
        self->fd = fd;
        if (lines == 0)
            break;
    }
    return found;
}
