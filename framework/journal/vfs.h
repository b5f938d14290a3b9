/* SPDX-License-Identifier: MPL-2.0 */

/*  vfs.h - the files that the journal uses, behind a seam: POSIX here, a simulated disk in tests.
 *
 *  All calls return 0 or a count, or a negative errno. Paths are relative to the directory that was
 *  opened.  */
#ifndef BN_VFS_H
#define BN_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bn_vfs bn_vfs_t;
typedef struct bn_vfile bn_vfile_t;

typedef bool (bn_vfs_list_fn) (const char *name, void *arg); /* false: stop */

struct bn_vfs {
    void *arg;              /* of the implementation */
    int (*open) (bn_vfs_t *self, const char *name, bool create, bool write, bn_vfile_t **file);
    void (*close) (bn_vfs_t *self, bn_vfile_t **file_p);
    int64_t (*pread) (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size, uint64_t at);
    int64_t (*pwrite) (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                       uint64_t at);
    int (*datasync) (bn_vfs_t *self, bn_vfile_t *file);
    int64_t (*size) (bn_vfs_t *self, bn_vfile_t *file);
    int (*truncate) (bn_vfs_t *self, bn_vfile_t *file, uint64_t size);
    int (*rename) (bn_vfs_t *self, const char *from, const char *to);
    int (*remove) (bn_vfs_t *self, const char *name);
    int (*sync_directory) (bn_vfs_t *self);
    int (*list) (bn_vfs_t *self, bn_vfs_list_fn *fn, void *arg);
    int (*free_bytes) (bn_vfs_t *self, uint64_t *bytes);
    int (*lock) (bn_vfs_t *self);                 /* exclusive, whole directory; -EWOULDBLOCK: taken */
    void (*destroy) (bn_vfs_t **self_p);          /* also unlocks */
};

/*  Files in a directory of the machine; makes the directory if it is not there (mode 0700).
 *  Negative errno on error.  */
int bn_vfs_posix_new (bn_vfs_t **vfs, const char *directory, bool create);

#endif
