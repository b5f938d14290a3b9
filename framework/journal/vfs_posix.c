/* SPDX-License-Identifier: MPL-2.0 */

/*  The directory is held open: renaming or replacing it underneath changes nothing for us.
 *
 *  The lock is an open file description lock (F_OFD_SETLK): like flock it belongs to the descriptor
 *  and goes with the process, but it can also be asked about without being taken, which is what
 *  looking at a running journal needs.
 *
 *  Whoever has the lock also puts descriptors aside (of the directory, for want of anything else).
 *  When connections have taken all others, one of these is given up for each file that is to be
 *  opened, and the descriptor of the next file that is closed takes its place without ever being
 *  free: so connections are what is refused then, and not the journal. Between giving up and
 *  opening, a thread that tries to accept all the time may be faster, and keeps what it gets; that
 *  is why there are many more than the five or so that are in use at a time.
 *
 *  Large writes of whole pages go past the page cache (O_DIRECT) where the file system lets them.
 *  The journal is written once and mostly never read: in the cache each page would be allocated
 *  twice as often as it is of use (zeros ahead, then records), and on virtual machines that give
 *  free memory back to their host that costs more than all else that the orchestrator does. The
 *  kernel keeps the cache and such writes coherent (open(2), O_DIRECT).  */
#include "base/assert.h"
#include "journal/vfs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_NAME "lock"
#define SPARES    32

#define DIRECT_BYTES_MIN (256u << 10)
#define BOUNCE_BYTES     (1u << 20) /* what goes to the disk at once */

struct bn_vfile {
    int fd;
    bool no_direct;  /* the file system does not take them */
    uint8_t *bounce; /* owned; BOUNCE_BYTES, for what is not aligned in memory; NULL: none yet */
};

typedef struct {
    bn_vfs_t vfs;
    int directory;             /* descriptor */
    int lock;                  /* descriptor while we own the directory; -1 */
    atomic_int spares[SPARES]; /* descriptors; -1: given up, or not the owner */
} posix_t;

static posix_t *of (bn_vfs_t *self)
{
    return self->arg;
}

/*  ---- descriptors ---- */

static bool give_up_spare (posix_t *posix)
{
    for (size_t i = 0; i < SPARES; i++) {
        int fd = atomic_exchange (&posix->spares[i], -1);
        if (fd >= 0)
            return close (fd) == 0;
    }
    return false;
}

static void drop_spares (posix_t *posix)
{
    while (give_up_spare (posix))
        ;
}

/*  false: there are enough.  */
static bool keep_spare (posix_t *posix, int fd)
{
    for (size_t i = 0; i < SPARES; i++) {
        int none = -1;
        if (atomic_compare_exchange_strong (&posix->spares[i], &none, fd))
            return true;
    }
    return false;
}

static bool wants_spare (posix_t *posix)
{
    for (size_t i = 0; i < SPARES; i++)
        if (atomic_load (&posix->spares[i]) < 0)
            return posix->lock >= 0;
    return false;
}

static int take_spares (posix_t *posix)
{
    for (size_t i = 0; i < SPARES; i++) {
        int fd = fcntl (posix->directory, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            int rc = -errno;
            drop_spares (posix);
            return rc;
        }
        atomic_store (&posix->spares[i], fd);
    }
    return 0;
}

static int open_at (posix_t *posix, const char *name, int flags)
{
    for (;;) {
        int fd = openat (posix->directory, name, flags | O_CLOEXEC, 0600);
        if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
            return fd;
        int error = errno;
        if (!give_up_spare (posix)) {
            errno = error;
            return -1;
        }
    }
}

static void close_at (posix_t *posix, int fd)
{
    bool kept = wants_spare (posix) && dup3 (posix->directory, fd, O_CLOEXEC) == fd &&
                keep_spare (posix, fd);
    if (!kept)
        close (fd);
}

/*  ---- files ---- */

static int posix_open (bn_vfs_t *self, const char *name, bool create, bool write, bn_vfile_t **file)
{
    *file = NULL;
    int fd = open_at (of (self), name, (write ? O_RDWR : O_RDONLY) | (create ? O_CREAT : 0));
    if (fd < 0)
        return -errno;
    *file = malloc (sizeof **file);
    if (!*file) {
        close_at (of (self), fd);
        return -ENOMEM;
    }
    **file = (bn_vfile_t){.fd = fd};
    return 0;
}

static void posix_close (bn_vfs_t *self, bn_vfile_t **file_p)
{
    if (!*file_p)
        return;
    close_at (of (self), (*file_p)->fd);
    free ((*file_p)->bounce);
    free (*file_p);
    *file_p = NULL;
}

static int64_t posix_pread (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size, uint64_t at)
{
    (void)self;
    size_t done = 0;
    while (done < size) {
        ssize_t rc = pread (file->fd, (char *)bytes + done, size - done, (off_t)(at + done));
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc < 0)
            return -errno;
        if (rc == 0)
            break;
        done += (size_t)rc;
    }
    return (int64_t)done;
}

/*  Past the page cache, as far as that goes: the count written, whole pages, or a negative errno.
 *  Turned on for these calls only: small writes to the same file need the cache.  */
static int64_t write_direct (bn_vfile_t *file, const uint8_t *bytes, size_t size, uint64_t at)
{
    bool aligned = (uintptr_t)bytes % BN_PAGE_BYTES == 0;
    if (!aligned && !file->bounce)
        file->bounce = aligned_alloc (BN_PAGE_BYTES, BOUNCE_BYTES);
    int flags = fcntl (file->fd, F_GETFL);
    if ((!aligned && !file->bounce) || flags < 0)
        return 0;
    file->no_direct = fcntl (file->fd, F_SETFL, flags | O_DIRECT) != 0;
    size_t done = 0;
    ssize_t rc = 1;
    while (!file->no_direct && done < size && rc > 0) {
        size_t part = size - done < BOUNCE_BYTES ? size - done : BOUNCE_BYTES;
        const void *from = bytes + done;
        if (!aligned)
            from = memcpy (file->bounce, from, part);
        do
            rc = pwrite (file->fd, from, part, (off_t)(at + done));
        while (rc < 0 && errno == EINTR);
        /*  What is left after a short one is written again from a whole page on.  */
        if (rc > 0)
            done += (size_t)rc / BN_PAGE_BYTES * BN_PAGE_BYTES;
        if (rc > 0 && (size_t)rc < part)
            break;
    }
    int error = rc < 0 ? errno : 0;
    if (fcntl (file->fd, F_SETFL, flags) != 0 && !error)
        error = errno;
    /*  EINVAL is what file systems and disks say that want it otherwise.  */
    file->no_direct = file->no_direct || error == EINVAL;
    return error && error != EINVAL ? -error : (int64_t)done;
}

static int64_t posix_pwrite (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                             uint64_t at)
{
    (void)self;
    size_t done = 0;
    bool pages = at % BN_PAGE_BYTES == 0 && size % BN_PAGE_BYTES == 0;
    if (pages && size >= DIRECT_BYTES_MIN && !file->no_direct) {
        int64_t rc = write_direct (file, bytes, size, at);
        if (rc < 0)
            return rc;
        done = (size_t)rc;
    }
    while (done < size) {
        ssize_t rc = pwrite (file->fd, (const char *)bytes + done, size - done, (off_t)(at + done));
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            return rc < 0 ? -errno : -EIO;
        done += (size_t)rc;
    }
    return (int64_t)done;
}

static int posix_reserve (bn_vfs_t *self, bn_vfile_t *file, uint64_t size)
{
    (void)self;
    int rc;
    do
        rc = fallocate (file->fd, 0, 0, (off_t)size);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : -errno;
}

static int posix_datasync (bn_vfs_t *self, bn_vfile_t *file)
{
    (void)self;
    return fdatasync (file->fd) == 0 ? 0 : -errno;
}

static int64_t posix_size (bn_vfs_t *self, bn_vfile_t *file)
{
    (void)self;
    struct stat status;
    return fstat (file->fd, &status) == 0 ? (int64_t)status.st_size : -errno;
}

static int posix_rename (bn_vfs_t *self, const char *from, const char *to)
{
    int directory = of (self)->directory;
    return renameat (directory, from, directory, to) == 0 ? 0 : -errno;
}

static int posix_remove (bn_vfs_t *self, const char *name)
{
    return unlinkat (of (self)->directory, name, 0) == 0 ? 0 : -errno;
}

static int posix_make_directory (bn_vfs_t *self, const char *directory)
{
    if (mkdirat (of (self)->directory, directory, 0700) == 0 || errno == EEXIST)
        return 0;
    return -errno;
}

static int open_directory (bn_vfs_t *self, const char *directory)
{
    int fd = open_at (of (self), *directory ? directory : ".", O_RDONLY | O_DIRECTORY);
    return fd >= 0 ? fd : -errno;
}

static int posix_sync_directory (bn_vfs_t *self, const char *directory)
{
    int fd = open_directory (self, directory);
    if (fd < 0)
        return fd;
    int rc = fsync (fd) == 0 ? 0 : -errno;
    close_at (of (self), fd);
    return rc;
}

static int posix_list (bn_vfs_t *self, const char *directory, bn_vfs_list_fn *fn, void *arg)
{
    int fd = open_directory (self, directory);
    if (fd < 0)
        return fd;
    DIR *entries = fdopendir (fd);
    if (!entries) {
        int rc = -errno;
        close_at (of (self), fd);
        return rc;
    }
    bool more = true;
    errno = 0;
    for (struct dirent *entry; more && (entry = readdir (entries)) != NULL;) {
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
            more = fn (entry->d_name, arg);
        errno = 0;
    }
    int rc = more ? -errno : 0;
    closedir (entries);
    return rc;
}

static int posix_free_bytes (bn_vfs_t *self, uint64_t *bytes)
{
    struct statvfs status;
    if (fstatvfs (of (self)->directory, &status) != 0)
        return -errno;
    *bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}

static int posix_lock (bn_vfs_t *self)
{
    posix_t *posix = of (self);
    if (posix->lock >= 0)
        return 0;
    int fd = openat (posix->directory, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = fcntl (fd, F_OFD_SETLK, &whole) == 0 ? take_spares (posix)
             : errno == EACCES                    ? -EWOULDBLOCK
                                                  : -errno;
    if (rc != 0) {
        close (fd);
        return rc;
    }
    char text[24];
    int size = snprintf (text, sizeof text, "%ld\n", (long)getpid ());
    /*  Who owns it is for people only: a full disk is found out where it matters.  */
    ssize_t written = ftruncate (fd, 0) == 0 ? pwrite (fd, text, (size_t)size, 0) : 0;
    (void)written;
    posix->lock = fd;
    return 0;
}

static bool posix_locked (bn_vfs_t *self)
{
    posix_t *posix = of (self);
    if (posix->lock >= 0)
        return false;
    int fd = openat (posix->directory, LOCK_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct flock probe = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    bool taken = fcntl (fd, F_OFD_GETLK, &probe) == 0 && probe.l_type != F_UNLCK;
    close (fd);
    return taken;
}

static void posix_destroy (bn_vfs_t **self_p)
{
    if (!*self_p)
        return;
    posix_t *posix = of (*self_p);
    drop_spares (posix);
    if (posix->lock >= 0)
        close (posix->lock);
    close (posix->directory);
    free (posix);
    *self_p = NULL;
}

/*  So that the new directory is still there after a power cut. A parent that may not be read can
 *  not be synced: then it is the file system's business.  */
static void sync_parent (int directory)
{
    int parent = openat (directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return;
    fsync (parent);
    close (parent);
}

int bn_vfs_posix_new (bn_vfs_t **vfs, const char *directory, bool create)
{
    bn_assert (vfs && directory);
    *vfs = NULL;
    bool made = create && mkdir (directory, 0700) == 0;
    if (create && !made && errno != EEXIST)
        return -errno;
    posix_t *posix = malloc (sizeof *posix);
    if (!posix)
        return -ENOMEM;
    posix->lock = -1;
    for (size_t i = 0; i < SPARES; i++)
        atomic_init (&posix->spares[i], -1);
    posix->directory = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (posix->directory < 0) {
        int rc = -errno;
        free (posix);
        return rc;
    }
    if (made)
        sync_parent (posix->directory);
    posix->vfs = (bn_vfs_t){.arg = posix,
                            .open = posix_open,
                            .close = posix_close,
                            .pread = posix_pread,
                            .pwrite = posix_pwrite,
                            .reserve = posix_reserve,
                            .datasync = posix_datasync,
                            .size = posix_size,
                            .rename = posix_rename,
                            .remove = posix_remove,
                            .make_directory = posix_make_directory,
                            .sync_directory = posix_sync_directory,
                            .list = posix_list,
                            .free_bytes = posix_free_bytes,
                            .lock = posix_lock,
                            .locked = posix_locked,
                            .destroy = posix_destroy};
    *vfs = &posix->vfs;
    return 0;
}
