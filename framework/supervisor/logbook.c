/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/logbook.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 10000 /* after a failure, until a file is tried again */

typedef struct {
    int fd; /* owned; -1: free */
    uint64_t size;
    uint64_t used; /* of the file's last line: counts up */
    char name[BN_LOGBOOK_NAME_MAX + 1];
} s_file_t;

struct bn_logbook {
    char *directory; /* owned */
    uint64_t file_bytes_max;
    uint64_t uses;
    uint64_t retry_ms; /* until then lines are dropped; 0: all is well */
    uint64_t lost;     /* lines */
    s_file_t files[BN_LOGBOOK_OPEN_MAX];
    char output[BN_LOGBOOK_NAME_MAX + 1]; /* the name that has standard output; "" none */
};

char *bn_logbook_path (const char *directory, const char *name, unsigned index)
{
    char *path;
    int size = index == 0 ? asprintf (&path, "%s/%s.log", directory, name)
                          : asprintf (&path, "%s/%s.log.%u", directory, name, index);
    return size < 0 ? NULL : path;
}

baton_err_t bn_logbook_new (bn_logbook_t **logbook, const char *directory, uint64_t bytes_max)
{
    *logbook = NULL;
    if (mkdir (directory, 0700) && errno != EEXIST)
        return errno == EACCES || errno == EPERM || errno == EROFS ? BATON_ERR_PERMISSION
               : errno == ENOENT || errno == ENOTDIR               ? BATON_ERR_NOT_FOUND
               : errno == ENOSPC                                   ? BATON_ERR_DISK_FULL
                                                                   : BATON_ERR_SYSTEM;
    bn_logbook_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->directory = strdup (directory);
    self->file_bytes_max = (bytes_max ? bytes_max : BN_LOGBOOK_BYTES_DEFAULT) / BN_LOGBOOK_FILES;
    for (size_t i = 0; i < BN_LOGBOOK_OPEN_MAX; i++)
        self->files[i].fd = -1;
    if (!self->directory)
        bn_logbook_destroy (&self);
    *logbook = self;
    return self ? BATON_OK : BATON_ERR_MEMORY;
}

static void s_file_close (s_file_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

void bn_logbook_destroy (bn_logbook_t **self_p)
{
    bn_logbook_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < BN_LOGBOOK_OPEN_MAX; i++)
        s_file_close (&self->files[i]);
    free (self->directory);
    free (self);
}

/*  Says it the first time, and drops lines for a while.  */
static void s_failed (bn_logbook_t *self, const char *name, int error)
{
    if (!self->retry_ms)
        bn_log (BN_LOG_WARNING, "%s/%s.log: %s; what instances print is not kept until it works",
                self->directory, name, strerror (error));
    self->retry_ms = bn_clock_now ().mono_ms + RETRY_MS;
}

/*  The newest file of a name, to append to; -1 with errno.  */
static int s_open (const bn_logbook_t *self, const char *name, uint64_t *size)
{
    struct stat info;
    char *path = bn_logbook_path (self->directory, name, 0);
    int fd = path ? open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    free (path);
    if (fd < 0)
        return -1;
    *size = fstat (fd, &info) ? 0 : (uint64_t)info.st_size;
    return fd;
}

/*  Each file gets the next number; the one of the last number is replaced.  */
static void s_rotate (const bn_logbook_t *self, const char *name)
{
    for (unsigned index = BN_LOGBOOK_FILES - 1; index > 0; index--) {
        char *from = bn_logbook_path (self->directory, name, index - 1);
        char *to = bn_logbook_path (self->directory, name, index);
        if (from && to)
            rename (from, to);
        free (from);
        free (to);
    }
}

/*  The open file of a name; NULL with errno.  */
static s_file_t *s_file (bn_logbook_t *self, const char *name)
{
    s_file_t *oldest = &self->files[0];
    for (size_t i = 0; i < BN_LOGBOOK_OPEN_MAX; i++) {
        s_file_t *file = &self->files[i];
        if (file->fd >= 0 && !strcmp (file->name, name)) {
            file->used = ++self->uses;
            return file;
        }
        if (oldest->fd >= 0 && (file->fd < 0 || file->used < oldest->used))
            oldest = file;
    }
    s_file_close (oldest);
    snprintf (oldest->name, sizeof (oldest->name), "%s", name);
    oldest->used = ++self->uses;
    oldest->fd = s_open (self, name, &oldest->size);
    return oldest->fd < 0 ? NULL : oldest;
}

bool bn_logbook_is_time (const char *text, size_t size)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    if (size < BN_LOGBOOK_TIME_SIZE)
        return false;
    for (size_t i = 0; i < BN_LOGBOOK_TIME_SIZE; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    return true;
}

static void s_time (char text[BN_LOGBOOK_TIME_SIZE + 2], uint64_t now_us)
{
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm utc;
    char second[32] = "";
    gmtime_r (&seconds, &utc);
    strftime (second, sizeof (second), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf (text, BN_LOGBOOK_TIME_SIZE + 2, "%.19s.%03uZ ", second,
              (unsigned)(now_us / 1000 % 1000));
}

/*  0, or errno. A line that went in only in part is taken back.  */
static int s_append (s_file_t *self, uint64_t now_us, const char *line, size_t size)
{
    char time[BN_LOGBOOK_TIME_SIZE + 2];
    bool has_time = size > BN_LOGBOOK_TIME_SIZE && bn_logbook_is_time (line, size) &&
                    line[BN_LOGBOOK_TIME_SIZE] == ' ';
    s_time (time, now_us);
    struct iovec parts[3] = {{.iov_base = time, .iov_len = has_time ? 0 : BN_LOGBOOK_TIME_SIZE + 1},
                             {.iov_base = (void *)(uintptr_t)line, .iov_len = size},
                             {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
    size_t all = parts[0].iov_len + size + 1;
    ssize_t written;
    do
        written = writev (self->fd, parts, 3);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return errno;
    if ((size_t)written == all) {
        self->size += all;
        return 0;
    }
    if (ftruncate (self->fd, (off_t)self->size))
        self->size += (uint64_t)written;
    return ENOSPC;
}

void bn_logbook_write (bn_logbook_t *self, const char *name, uint64_t now_us, const char *line,
                       size_t size)
{
    if (self->retry_ms && bn_clock_now ().mono_ms < self->retry_ms) {
        self->lost++;
        return;
    }
    if (strlen (name) > BN_LOGBOOK_NAME_MAX || strchr (name, '/'))
        return;
    s_file_t *file = s_file (self, name);
    if (file && file->size > 0 &&
        file->size + BN_LOGBOOK_TIME_SIZE + size + 2 > self->file_bytes_max) {
        s_file_close (file);
        s_rotate (self, name);
        file = s_file (self, name);
    }
    int error = file ? s_append (file, now_us, line, size) : errno;
    if (error) {
        self->lost++;
        s_failed (self, name, error);
        return;
    }
    if (self->retry_ms) {
        bn_log (BN_LOG_INFO, "%s: what instances print is kept again; %" PRIu64 " lines were lost",
                self->directory, self->lost);
        self->retry_ms = self->lost = 0;
    }
}

baton_err_t bn_logbook_take_over (bn_logbook_t *self, const char *name)
{
    uint64_t size;
    if (strlen (name) > BN_LOGBOOK_NAME_MAX)
        return BATON_ERR_NAME;
    int fd = s_open (self, name, &size);
    if (fd < 0)
        return errno == EACCES || errno == EPERM || errno == EROFS ? BATON_ERR_PERMISSION
               : errno == ENOSPC                                   ? BATON_ERR_DISK_FULL
                                                                   : BATON_ERR_SYSTEM;
    bool done = dup2 (fd, STDOUT_FILENO) >= 0 && dup2 (fd, STDERR_FILENO) >= 0;
    if (fd > STDERR_FILENO)
        close (fd);
    snprintf (self->output, sizeof (self->output), "%s", name);
    return done ? BATON_OK : BATON_ERR_SYSTEM;
}

void bn_logbook_turn (bn_logbook_t *self)
{
    struct stat info;
    if (!self->output[0] || fstat (STDERR_FILENO, &info) ||
        (uint64_t)info.st_size < self->file_bytes_max)
        return;
    char name[sizeof (self->output)];
    snprintf (name, sizeof (name), "%s", self->output);
    s_rotate (self, name);
    if (bn_logbook_take_over (self, name))
        s_failed (self, name, errno); /* goes on in the old one */
}
