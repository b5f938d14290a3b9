/* SPDX-License-Identifier: MPL-2.0 */

/*  vfs.h - the files that the journal uses, behind a seam: POSIX here, a simulated disk in tests.
 *
 *  A vfs is opened on a *data directory* (the one that holds `lock`, `FORMAT`, `journal/` and
 *  `views/`). Names are relative to it, with at most one slash: "FORMAT", "journal/MARK". A
 *  directory is named without a slash; "" is the data directory itself.
 *
 *  All calls return 0 or a count, or a negative errno. Calls on different files may be made from
 *  different threads where the implementation says so (POSIX: yes).  */
#ifndef BN_VFS_H
#define BN_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bn_vfs bn_vfs_t;
typedef struct bn_vfile bn_vfile_t;

#define BN_PAGE_BYTES 4096u /* what disks and page caches are at ease with */

typedef bool (bn_vfs_list_fn) (const char *name, void *arg); /* false: stop */

struct bn_vfs {
    void *arg; /* of the implementation */
    /*  -ENOENT: not there and not to be created.  */
    int (*open) (bn_vfs_t *self, const char *name, bool create, bool write, bn_vfile_t **file);
    void (*close) (bn_vfs_t *self, bn_vfile_t **file_p); /* NULL is fine */
    /*  Short only at the end of the file.  */
    int64_t (*pread) (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size, uint64_t at);
    /*  All or an error; after an error the range holds anything. Large ones are cheapest if they
     *  are of whole pages, in the file and in memory.  */
    int64_t (*pwrite) (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                       uint64_t at);
    /*  Makes the file so large and takes the space for it; what was not written reads as zeros.
     *  Durable with the next datasync. -EOPNOTSUPP: write zeros instead.  */
    int (*reserve) (bn_vfs_t *self, bn_vfile_t *file, uint64_t size);
    int (*datasync) (bn_vfs_t *self, bn_vfile_t *file);
    int64_t (*size) (bn_vfs_t *self, bn_vfile_t *file);
    int (*rename) (bn_vfs_t *self, const char *from, const char *to); /* replaces */
    int (*remove) (bn_vfs_t *self, const char *name);
    int (*make_directory) (bn_vfs_t *self, const char *directory); /* 0 also if it is there */
    int (*sync_directory) (bn_vfs_t *self, const char *directory);
    int (*list) (bn_vfs_t *self, const char *directory, bn_vfs_list_fn *fn, void *arg);
    int (*free_bytes) (bn_vfs_t *self, uint64_t *bytes);
    /*  Exclusive, for the whole data directory, until destroy; -EWOULDBLOCK: somebody else has it
     *  (file "lock" then holds the decimal process id of the owner). Again by the owner: 0.  */
    int (*lock) (bn_vfs_t *self);
    bool (*locked) (bn_vfs_t *self);     /* by somebody else; takes nothing */
    void (*destroy) (bn_vfs_t **self_p); /* also unlocks */
};

/*  Files in a directory of the machine; with `create` it is made if it is not there (mode 0700).
 *  Negative errno on error.  */
int bn_vfs_posix_new (bn_vfs_t **vfs, const char *directory, bool create);

#endif
