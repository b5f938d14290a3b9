/* SPDX-License-Identifier: MPL-2.0 */

#include "support/disk.h"
#include "base/assert.h"
#include "base/prng.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES 512
#define NAMES_MAX    1024
#define OPS_MAX      256

typedef struct {
    uint8_t *bytes;
    size_t size;
} image_t;

typedef struct {
    image_t seen;      /* by a process */
    image_t synced;    /* after a power cut */
    image_t dirty;     /* a byte per sector: written since the last sync */
    unsigned failures; /* syncs that failed */
    int error;         /* of the last one */
    unsigned references;
} inode_t;

typedef struct {
    char name[64];
    inode_t *inode;
} entry_t;

typedef struct {
    entry_t entries[NAMES_MAX];
    size_t count;
} table_t;

/*  A directory operation that was not synced: a new file (`created` as `to`), a rename, or, with
 *  `to` empty, a removal.  */
typedef struct {
    char from[64];
    char to[64];
    inode_t *created;
} op_t;

struct bn_disk {
    bn_prng_t prng;
    table_t seen;
    table_t synced;
    op_t ops[OPS_MAX];
    size_t op_count;
    uint64_t calls;
    uint64_t fail_at;
    int fail_error;
    uint64_t crash_at;
    unsigned life; /* views of earlier lives are dead */
    bool locked;
};

typedef struct {
    bn_vfs_t vfs;
    bn_disk_t *disk;
    unsigned life;
    bool locked;
} view_t;

struct bn_vfile {
    inode_t *inode;
    unsigned failures; /* of the inode's, those that this handle was told of */
};

static void *must (void *memory)
{
    bn_assert (memory);
    return memory;
}

static void resize (image_t *image, size_t size)
{
    if (size > image->size) {
        image->bytes = must (realloc (image->bytes, size));
        memset (image->bytes + image->size, 0, size - image->size);
    }
    image->size = size;
}

static void unref (inode_t *inode)
{
    if (--inode->references > 0)
        return;
    free (inode->seen.bytes);
    free (inode->synced.bytes);
    free (inode->dirty.bytes);
    free (inode);
}

static size_t sectors (size_t size)
{
    return (size + SECTOR_BYTES - 1) / SECTOR_BYTES;
}

/*  Brings sector `index` of what was seen to the disk.  */
static void write_back (inode_t *inode, size_t index)
{
    size_t at = index * SECTOR_BYTES, end = at + SECTOR_BYTES;
    if (end > inode->seen.size)
        end = inode->seen.size;
    if (end > inode->synced.size)
        end = inode->synced.size;
    if (at < end && inode->dirty.bytes[index])
        memcpy (inode->synced.bytes + at, inode->seen.bytes + at, end - at);
}

/*  ---- tables ---- */

static entry_t *find (const table_t *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp (table->entries[i].name, name) == 0)
            return (entry_t *)&table->entries[i];
    return NULL;
}

static void drop (table_t *table, const char *name)
{
    entry_t *entry = find (table, name);
    if (!entry)
        return;
    unref (entry->inode);
    *entry = table->entries[--table->count];
}

static void set (table_t *table, const char *name, inode_t *inode)
{
    inode->references++;
    drop (table, name);
    bn_assert (table->count < NAMES_MAX && strlen (name) < sizeof table->entries[0].name);
    strcpy (table->entries[table->count].name, name);
    table->entries[table->count++].inode = inode;
}

static void apply (table_t *table, const op_t *op)
{
    if (op->created)
        set (table, op->to, op->created);
    else {
        entry_t *entry = find (table, op->from);
        if (entry && *op->to)
            set (table, op->to, entry->inode);
        drop (table, op->from);
    }
}

static void forget_op (bn_disk_t *self, size_t index)
{
    if (self->ops[index].created)
        unref (self->ops[index].created);
    memmove (self->ops + index, self->ops + index + 1,
             (--self->op_count - index) * sizeof *self->ops);
}

static void record (bn_disk_t *self, const char *from, const char *to, inode_t *created)
{
    bn_assert (self->op_count < OPS_MAX);
    op_t *op = &self->ops[self->op_count++];
    *op = (op_t){.created = created};
    strcpy (op->from, from);
    strcpy (op->to, to);
    if (created)
        created->references++;
    apply (&self->seen, op);
}

static void empty (table_t *table)
{
    while (table->count > 0)
        drop (table, table->entries[0].name);
}

/*  ---- what happens to it ---- */

void bn_disk_kill (bn_disk_t *self)
{
    self->life++;
    self->locked = false;
    self->crash_at = self->fail_at = UINT64_MAX;
}

static void settle (bn_disk_t *self, inode_t *inode)
{
    size_t size = bn_prng_below (&self->prng, 2) ? inode->seen.size : inode->synced.size;
    resize (&inode->synced, size);
    for (size_t i = 0; i < inode->dirty.size; i++)
        if (bn_prng_below (&self->prng, 2))
            write_back (inode, i);
    inode->dirty.size = 0;
    resize (&inode->seen, size);
    if (size > 0)
        memcpy (inode->seen.bytes, inode->synced.bytes, size);
}

void bn_disk_crash (bn_disk_t *self)
{
    bn_disk_kill (self);
    size_t kept = (size_t)bn_prng_below (&self->prng, self->op_count + 1);
    for (size_t i = 0; i < kept; i++)
        apply (&self->synced, &self->ops[i]);
    while (self->op_count > 0)
        forget_op (self, self->op_count - 1);
    empty (&self->seen);
    for (size_t i = 0; i < self->synced.count; i++) {
        entry_t *entry = &self->synced.entries[i];
        settle (self, entry->inode);
        set (&self->seen, entry->name, entry->inode);
    }
}

/*  Counts a call; 0: go ahead.  */
static int begin (view_t *view)
{
    bn_disk_t *self = view->disk;
    if (view->life != self->life)
        return -EIO;
    uint64_t call = self->calls++;
    if (call == self->fail_at)
        return -self->fail_error;
    return 0;
}

/*  After the call took place, if power goes during it.  */
static int64_t finish (view_t *view, int64_t rc)
{
    bn_disk_t *self = view->disk;
    if (self->calls - 1 != self->crash_at)
        return rc;
    bn_disk_crash (self);
    return -EIO;
}

/*  ---- the calls ---- */

static int disk_open (bn_vfs_t *vfs, const char *name, bool create, bool write, bn_vfile_t **file)
{
    (void)write;
    view_t *view = vfs->arg;
    *file = NULL;
    int rc = begin (view);
    if (rc != 0)
        return rc;
    entry_t *entry = find (&view->disk->seen, name);
    if (!entry && !create)
        return -ENOENT;
    if (!entry) {
        inode_t *inode = must (calloc (1, sizeof *inode));
        record (view->disk, "", name, inode);
        entry = find (&view->disk->seen, name);
    }
    *file = must (malloc (sizeof **file));
    (*file)->inode = entry->inode;
    (*file)->failures = entry->inode->failures;
    entry->inode->references++;
    return 0;
}

static void disk_close (bn_vfs_t *vfs, bn_vfile_t **file_p)
{
    (void)vfs;
    if (!*file_p)
        return;
    unref ((*file_p)->inode);
    free (*file_p);
    *file_p = NULL;
}

static int64_t disk_pread (bn_vfs_t *vfs, bn_vfile_t *file, void *bytes, size_t size, uint64_t at)
{
    int rc = begin (vfs->arg);
    if (rc != 0)
        return rc;
    const image_t *image = &file->inode->seen;
    size_t left = at < image->size ? image->size - (size_t)at : 0;
    if (size > left)
        size = left;
    if (size > 0)
        memcpy (bytes, image->bytes + at, size);
    return (int64_t)size;
}

static int64_t disk_pwrite (bn_vfs_t *vfs, bn_vfile_t *file, const void *bytes, size_t size,
                            uint64_t at)
{
    int rc = begin (vfs->arg);
    if (rc != 0)
        return rc;
    image_t *image = &file->inode->seen;
    if (at + size > image->size)
        resize (image, (size_t)at + size);
    if (size == 0)
        return 0;
    memcpy (image->bytes + at, bytes, size);
    image_t *dirty = &file->inode->dirty;
    if (sectors ((size_t)at + size) > dirty->size)
        resize (dirty, sectors ((size_t)at + size));
    size_t first = (size_t)at / SECTOR_BYTES;
    memset (dirty->bytes + first, 1, sectors ((size_t)at + size) - first);
    return finish (vfs->arg, (int64_t)size);
}

static int disk_reserve (bn_vfs_t *vfs, bn_vfile_t *file, uint64_t size)
{
    int rc = begin (vfs->arg);
    if (rc == 0 && size > file->inode->seen.size)
        resize (&file->inode->seen, (size_t)size);
    return (int)(rc == 0 ? finish (vfs->arg, 0) : rc);
}

/*  As Linux does it (fsync(2), since 4.13): what could not be written counts as clean afterwards,
 *  so that the bytes never reach the disk, although everybody sees them. Each handle that was open
 *  is told once; the next sync after that says yes.  */
static int disk_datasync (bn_vfs_t *vfs, bn_vfile_t *file)
{
    view_t *view = vfs->arg;
    if (view->life != view->disk->life)
        return -EIO;
    int rc = begin (view);
    /*  Power that goes during a sync leaves anything between nothing and all of it.  */
    if (rc == 0)
        rc = (int)finish (view, 0);
    inode_t *inode = file->inode;
    if (rc == 0) {
        resize (&inode->synced, inode->seen.size);
        for (size_t i = 0; i < inode->dirty.size; i++)
            write_back (inode, i);
        if (file->failures != inode->failures)
            rc = inode->error;
    } else {
        inode->failures++;
        inode->error = rc;
    }
    file->failures = inode->failures;
    inode->dirty.size = 0;
    return rc;
}

static int64_t disk_size (bn_vfs_t *vfs, bn_vfile_t *file)
{
    int rc = begin (vfs->arg);
    return rc != 0 ? rc : (int64_t)file->inode->seen.size;
}

static int disk_rename (bn_vfs_t *vfs, const char *from, const char *to)
{
    view_t *view = vfs->arg;
    int rc = begin (view);
    if (rc != 0)
        return rc;
    if (!find (&view->disk->seen, from))
        return -ENOENT;
    record (view->disk, from, to, NULL);
    return (int)finish (view, 0);
}

static int disk_remove (bn_vfs_t *vfs, const char *name)
{
    view_t *view = vfs->arg;
    int rc = begin (view);
    if (rc != 0)
        return rc;
    if (!find (&view->disk->seen, name))
        return -ENOENT;
    record (view->disk, name, "", NULL);
    return (int)finish (view, 0);
}

static int disk_make_directory (bn_vfs_t *vfs, const char *directory)
{
    (void)directory;
    return begin (vfs->arg);
}

static bool in_directory (const char *name, const char *directory)
{
    size_t size = strlen (directory);
    if (size == 0)
        return strchr (name, '/') == NULL;
    return strncmp (name, directory, size) == 0 && name[size] == '/';
}

static int disk_sync_directory (bn_vfs_t *vfs, const char *directory)
{
    view_t *view = vfs->arg;
    bn_disk_t *self = view->disk;
    int rc = begin (view);
    if (rc == 0)
        rc = (int)finish (view, 0);
    for (size_t i = 0; rc == 0 && i < self->op_count;) {
        const op_t *op = &self->ops[i];
        if (in_directory (*op->from ? op->from : op->to, directory)) {
            apply (&self->synced, op);
            forget_op (self, i);
        } else
            i++;
    }
    return rc;
}

static int disk_list (bn_vfs_t *vfs, const char *directory, bn_vfs_list_fn *fn, void *arg)
{
    view_t *view = vfs->arg;
    int rc = begin (view);
    const table_t *table = &view->disk->seen;
    for (size_t i = 0; rc == 0 && i < table->count; i++) {
        const char *name = table->entries[i].name;
        if (in_directory (name, directory) &&
            !fn (*directory ? name + strlen (directory) + 1 : name, arg))
            break;
    }
    return rc;
}

static int disk_free_bytes (bn_vfs_t *vfs, uint64_t *bytes)
{
    *bytes = UINT64_C (1) << 40;
    return begin (vfs->arg);
}

static int disk_lock (bn_vfs_t *vfs)
{
    view_t *view = vfs->arg;
    int rc = begin (view);
    if (rc != 0 || view->locked)
        return rc;
    if (view->disk->locked)
        return -EWOULDBLOCK;
    view->locked = view->disk->locked = true;
    return 0;
}

static bool disk_locked (bn_vfs_t *vfs)
{
    view_t *view = vfs->arg;
    return view->disk->locked && !view->locked;
}

static void disk_vfs_destroy (bn_vfs_t **vfs_p)
{
    if (!*vfs_p)
        return;
    view_t *view = (*vfs_p)->arg;
    if (view->locked && view->life == view->disk->life)
        view->disk->locked = false;
    free (view);
    *vfs_p = NULL;
}

/*  ---- life ---- */

bn_disk_t *bn_disk_new (uint64_t seed)
{
    bn_disk_t *self = must (calloc (1, sizeof *self));
    bn_prng_init (&self->prng, seed);
    self->crash_at = self->fail_at = UINT64_MAX;
    return self;
}

void bn_disk_destroy (bn_disk_t **self_p)
{
    bn_disk_t *self = *self_p;
    if (!self)
        return;
    while (self->op_count > 0)
        forget_op (self, self->op_count - 1);
    empty (&self->seen);
    empty (&self->synced);
    free (self);
    *self_p = NULL;
}

bn_vfs_t *bn_disk_vfs (bn_disk_t *self)
{
    view_t *view = must (calloc (1, sizeof *view));
    view->disk = self;
    view->life = self->life;
    view->vfs = (bn_vfs_t){.arg = view,
                           .open = disk_open,
                           .close = disk_close,
                           .pread = disk_pread,
                           .pwrite = disk_pwrite,
                           .reserve = disk_reserve,
                           .datasync = disk_datasync,
                           .size = disk_size,
                           .rename = disk_rename,
                           .remove = disk_remove,
                           .make_directory = disk_make_directory,
                           .sync_directory = disk_sync_directory,
                           .list = disk_list,
                           .free_bytes = disk_free_bytes,
                           .lock = disk_lock,
                           .locked = disk_locked,
                           .destroy = disk_vfs_destroy};
    return &view->vfs;
}

uint64_t bn_disk_calls (const bn_disk_t *self)
{
    return self->calls;
}

void bn_disk_fail_at (bn_disk_t *self, uint64_t call, int error)
{
    self->fail_at = call;
    self->fail_error = error;
}

void bn_disk_crash_at (bn_disk_t *self, uint64_t call)
{
    self->crash_at = call;
}

bool bn_disk_flip (bn_disk_t *self, const char *name, uint64_t at, uint8_t mask)
{
    entry_t *entry = find (&self->seen, name);
    if (!entry || at >= entry->inode->seen.size)
        return false;
    entry->inode->seen.bytes[at] ^= mask;
    if (at < entry->inode->synced.size)
        entry->inode->synced.bytes[at] = entry->inode->seen.bytes[at];
    return true;
}

bool bn_disk_truncate (bn_disk_t *self, const char *name, uint64_t size)
{
    entry_t *entry = find (&self->seen, name);
    if (!entry)
        return false;
    resize (&entry->inode->seen, (size_t)size);
    resize (&entry->inode->synced, (size_t)size);
    return true;
}

bool bn_disk_remove (bn_disk_t *self, const char *name)
{
    bool found = find (&self->seen, name) != NULL;
    drop (&self->seen, name);
    drop (&self->synced, name);
    return found;
}

const uint8_t *bn_disk_bytes (const bn_disk_t *self, const char *name, size_t *size)
{
    const entry_t *entry = find (&self->seen, name);
    *size = entry ? entry->inode->seen.size : 0;
    return entry ? entry->inode->seen.bytes : NULL;
}

bn_disk_t *bn_disk_copy (const bn_disk_t *self)
{
    bn_disk_t *copy = bn_disk_new (0);
    copy->prng = self->prng;
    for (size_t i = 0; i < self->seen.count; i++) {
        const image_t *seen = &self->seen.entries[i].inode->seen;
        inode_t *inode = must (calloc (1, sizeof *inode));
        resize (&inode->seen, seen->size);
        resize (&inode->synced, seen->size);
        if (seen->size > 0) {
            memcpy (inode->seen.bytes, seen->bytes, seen->size);
            memcpy (inode->synced.bytes, seen->bytes, seen->size);
        }
        set (&copy->seen, self->seen.entries[i].name, inode);
        set (&copy->synced, self->seen.entries[i].name, inode);
    }
    return copy;
}
