/* SPDX-License-Identifier: MPL-2.0 */

#include "support/tape.h"
#include "base/assert.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 64
#define FILES_MAX      96

typedef struct {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} image_t;

typedef struct {
    char name[NAME_BYTES_MAX];
    size_t inode;
} entry_t;

typedef struct {
    entry_t entries[FILES_MAX];
    size_t count;
} table_t;

typedef enum { OP_WRITE, OP_SYNC, OP_CREATE, OP_RENAME, OP_REMOVE, OP_SYNC_DIRECTORY } kind_t;

typedef struct {
    kind_t kind;
    size_t inode;
    uint64_t at;
    size_t size;
    uint8_t *bytes; /* owned; WRITE */
    char name[NAME_BYTES_MAX];
    char to[NAME_BYTES_MAX];
} operation_t;

struct tape {
    table_t table;
    image_t *inodes; /* owned */
    size_t inode_count;
    uint64_t calls;
    uint64_t fail_at;
    uint64_t fail_end;
    uint64_t failed;
    int fail_error;
    bool recording;
    table_t start; /* of the recording */
    image_t *start_inodes;
    size_t start_count;
    operation_t *operations; /* owned */
    size_t operation_count;
    size_t operation_capacity;
};

struct bn_vfile {
    size_t inode;
};

volatile int tape_busy;

/*  ---- memory, images, tables ---- */

static void *grown (void *memory, size_t size)
{
    tape_busy++;
    memory = realloc (memory, size > 0 ? size : 1);
    tape_busy--;
    bn_assert (memory);
    return memory;
}

static void resize (image_t *image, size_t size)
{
    if (size > image->capacity) {
        image->capacity = size > 2 * image->capacity ? size : 2 * image->capacity;
        image->bytes = grown (image->bytes, image->capacity);
    }
    if (size > image->size)
        memset (image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

static void copy_image (image_t *to, const image_t *from)
{
    *to = (image_t){.size = 0};
    resize (to, from->size);
    if (from->size > 0)
        memcpy (to->bytes, from->bytes, from->size);
}

static void write_image (image_t *image, uint64_t at, const uint8_t *bytes, size_t size)
{
    if (at + size > image->size)
        resize (image, (size_t)at + size);
    if (size > 0)
        memcpy (image->bytes + at, bytes, size);
}

static entry_t *find (const table_t *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp (table->entries[i].name, name) == 0)
            return (entry_t *)&table->entries[i];
    return NULL;
}

static void unlink_name (table_t *table, const char *name)
{
    entry_t *entry = find (table, name);
    if (entry)
        *entry = table->entries[--table->count];
}

static void link_name (table_t *table, const char *name, size_t inode)
{
    unlink_name (table, name);
    bn_assert (table->count < FILES_MAX && strlen (name) < NAME_BYTES_MAX);
    strcpy (table->entries[table->count].name, name);
    table->entries[table->count++].inode = inode;
}

static bool linked (const table_t *table, size_t inode)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->entries[i].inode == inode)
            return true;
    return false;
}

static void apply (table_t *table, const operation_t *op)
{
    if (op->kind == OP_CREATE)
        link_name (table, op->name, op->inode);
    else {
        const entry_t *entry = find (table, op->name);
        if (entry && op->kind == OP_RENAME)
            link_name (table, op->to, entry->inode);
        unlink_name (table, op->name);
    }
}

static bool in_directory (const char *name, const char *directory)
{
    size_t size = strlen (directory);
    if (size == 0)
        return strchr (name, '/') == NULL;
    return strncmp (name, directory, size) == 0 && name[size] == '/';
}

static operation_t *record (tape_t *self, kind_t kind)
{
    static operation_t nowhere;
    if (!self->recording)
        return memset (&nowhere, 0, sizeof nowhere);
    if (self->operation_count == self->operation_capacity) {
        self->operation_capacity = self->operation_capacity ? self->operation_capacity * 2 : 256;
        self->operations =
            grown (self->operations, self->operation_capacity * sizeof *self->operations);
    }
    operation_t *op = &self->operations[self->operation_count++];
    *op = (operation_t){.kind = kind};
    return op;
}

/*  ---- the calls ---- */

static int begin (bn_vfs_t *vfs, bool needs_room)
{
    tape_t *self = vfs->arg;
    uint64_t call = self->calls++;
    bool room = self->fail_error == ENOSPC || self->fail_error == EDQUOT;
    if (call < self->fail_at || call >= self->fail_end || (room && !needs_room))
        return 0;
    self->failed++;
    return -self->fail_error;
}

static size_t new_inode (tape_t *self)
{
    self->inodes = grown (self->inodes, (self->inode_count + 1) * sizeof *self->inodes);
    self->inodes[self->inode_count] = (image_t){.size = 0};
    return self->inode_count++;
}

static int tape_open (bn_vfs_t *vfs, const char *name, bool create, bool write, bn_vfile_t **file)
{
    (void)write;
    tape_t *self = vfs->arg;
    *file = NULL;
    int rc = begin (vfs, create);
    if (rc != 0)
        return rc;
    const entry_t *entry = find (&self->table, name);
    if (!entry && !create)
        return -ENOENT;
    if (!entry) {
        size_t inode = new_inode (self);
        operation_t *op = record (self, OP_CREATE);
        op->inode = inode;
        strcpy (op->name, name);
        link_name (&self->table, name, inode);
        entry = find (&self->table, name);
    }
    *file = grown (NULL, sizeof **file);
    (*file)->inode = entry->inode;
    return 0;
}

static void tape_close (bn_vfs_t *vfs, bn_vfile_t **file_p)
{
    (void)vfs;
    free (*file_p);
    *file_p = NULL;
}

static int64_t tape_pread (bn_vfs_t *vfs, bn_vfile_t *file, void *bytes, size_t size, uint64_t at)
{
    tape_t *self = vfs->arg;
    int rc = begin (vfs, false);
    if (rc != 0)
        return rc;
    const image_t *image = &self->inodes[file->inode];
    size_t left = at < image->size ? image->size - (size_t)at : 0;
    if (size > left)
        size = left;
    if (size > 0)
        memcpy (bytes, image->bytes + at, size);
    return (int64_t)size;
}

static int64_t tape_pwrite (bn_vfs_t *vfs, bn_vfile_t *file, const void *bytes, size_t size,
                            uint64_t at)
{
    tape_t *self = vfs->arg;
    int rc = begin (vfs, true);
    if (rc != 0)
        return rc;
    write_image (&self->inodes[file->inode], at, bytes, size);
    if (self->recording) {
        operation_t *op = record (self, OP_WRITE);
        op->inode = file->inode;
        op->at = at;
        op->size = size;
        op->bytes = grown (NULL, size);
        if (size > 0)
            memcpy (op->bytes, bytes, size);
    }
    return (int64_t)size;
}

/*  To whoever reads, and to whoever loses sectors of it, the same as writing zeros.  */
static int tape_reserve (bn_vfs_t *vfs, bn_vfile_t *file, uint64_t size)
{
    tape_t *self = vfs->arg;
    size_t there = self->inodes[file->inode].size;
    if (size <= there)
        return begin (vfs, true);
    uint8_t *zeros = grown (NULL, (size_t)size - there);
    memset (zeros, 0, (size_t)size - there);
    int64_t rc = tape_pwrite (vfs, file, zeros, (size_t)size - there, there);
    free (zeros);
    return rc < 0 ? (int)rc : 0;
}

static int tape_datasync (bn_vfs_t *vfs, bn_vfile_t *file)
{
    int rc = begin (vfs, true);
    if (rc == 0)
        record (vfs->arg, OP_SYNC)->inode = file->inode;
    return rc;
}

static int64_t tape_size (bn_vfs_t *vfs, bn_vfile_t *file)
{
    tape_t *self = vfs->arg;
    int rc = begin (vfs, false);
    return rc != 0 ? rc : (int64_t)self->inodes[file->inode].size;
}

static int tape_rename (bn_vfs_t *vfs, const char *from, const char *to)
{
    tape_t *self = vfs->arg;
    int rc = begin (vfs, true);
    const entry_t *entry = find (&self->table, from);
    if (rc != 0 || !entry)
        return rc != 0 ? rc : -ENOENT;
    operation_t *op = record (self, OP_RENAME);
    strcpy (op->name, from);
    strcpy (op->to, to);
    link_name (&self->table, to, entry->inode);
    unlink_name (&self->table, from);
    return 0;
}

static int tape_unlink (bn_vfs_t *vfs, const char *name)
{
    tape_t *self = vfs->arg;
    int rc = begin (vfs, false);
    if (rc != 0 || !find (&self->table, name))
        return rc != 0 ? rc : -ENOENT;
    strcpy (record (self, OP_REMOVE)->name, name);
    unlink_name (&self->table, name);
    return 0;
}

static int tape_make_directory (bn_vfs_t *vfs, const char *directory)
{
    (void)directory;
    return begin (vfs, true);
}

static int tape_sync_directory (bn_vfs_t *vfs, const char *directory)
{
    int rc = begin (vfs, true);
    if (rc == 0)
        strcpy (record (vfs->arg, OP_SYNC_DIRECTORY)->name, directory);
    return rc;
}

static int tape_list (bn_vfs_t *vfs, const char *directory, bn_vfs_list_fn *fn, void *arg)
{
    const tape_t *self = vfs->arg;
    int rc = begin (vfs, false);
    for (size_t i = 0; rc == 0 && i < self->table.count; i++) {
        const char *name = self->table.entries[i].name;
        if (in_directory (name, directory) &&
            !fn (*directory ? name + strlen (directory) + 1 : name, arg))
            break;
    }
    return rc;
}

static int tape_free_bytes (bn_vfs_t *vfs, uint64_t *bytes)
{
    *bytes = UINT64_C (1) << 40;
    return begin (vfs, false);
}

static int tape_lock (bn_vfs_t *vfs)
{
    return begin (vfs, true);
}

static bool tape_locked (bn_vfs_t *vfs)
{
    (void)vfs;
    return false;
}

static void tape_vfs_destroy (bn_vfs_t **vfs_p)
{
    free (*vfs_p);
    *vfs_p = NULL;
}

/*  ---- life ---- */

static void free_images (image_t *images, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free (images[i].bytes);
    free (images);
}

static image_t *copy_images (const image_t *images, size_t count)
{
    image_t *copies = grown (NULL, count * sizeof *copies);
    for (size_t i = 0; i < count; i++)
        copy_image (&copies[i], &images[i]);
    return copies;
}

tape_t *tape_new (void)
{
    tape_t *self = grown (NULL, sizeof *self);
    *self = (tape_t){.recording = false};
    return self;
}

void tape_destroy (tape_t **self_p)
{
    tape_t *self = *self_p;
    if (!self)
        return;
    free_images (self->inodes, self->inode_count);
    free_images (self->start_inodes, self->start_count);
    for (size_t i = 0; i < self->operation_count; i++)
        free (self->operations[i].bytes);
    free (self->operations);
    free (self);
    *self_p = NULL;
}

bn_vfs_t *tape_vfs (tape_t *self)
{
    bn_vfs_t *vfs = grown (NULL, sizeof *vfs);
    *vfs = (bn_vfs_t){.arg = self,
                      .open = tape_open,
                      .close = tape_close,
                      .pread = tape_pread,
                      .pwrite = tape_pwrite,
                      .reserve = tape_reserve,
                      .datasync = tape_datasync,
                      .size = tape_size,
                      .rename = tape_rename,
                      .remove = tape_unlink,
                      .make_directory = tape_make_directory,
                      .sync_directory = tape_sync_directory,
                      .list = tape_list,
                      .free_bytes = tape_free_bytes,
                      .lock = tape_lock,
                      .locked = tape_locked,
                      .destroy = tape_vfs_destroy};
    return vfs;
}

void tape_fail (tape_t *self, uint64_t call, uint64_t count, int error)
{
    self->fail_at = call;
    self->fail_end = count > UINT64_MAX - call ? UINT64_MAX : call + count;
    self->fail_error = error;
}

uint64_t tape_calls (const tape_t *self)
{
    return self->calls;
}

uint64_t tape_failed (const tape_t *self)
{
    return self->failed;
}

uint8_t *tape_bytes (tape_t *self, const char *name, size_t *size)
{
    const entry_t *entry = find (&self->table, name);
    *size = entry ? self->inodes[entry->inode].size : 0;
    return entry ? self->inodes[entry->inode].bytes : NULL;
}

const char *tape_name (const tape_t *self, size_t index)
{
    return index < self->table.count ? self->table.entries[index].name : NULL;
}

void tape_put (tape_t *self, const char *name, const void *bytes, size_t size)
{
    size_t inode = new_inode (self);
    write_image (&self->inodes[inode], 0, bytes, size);
    link_name (&self->table, name, inode);
}

void tape_remove (tape_t *self, const char *name)
{
    unlink_name (&self->table, name);
}

tape_t *tape_copy (const tape_t *self)
{
    tape_t *copy = tape_new ();
    for (size_t i = 0; i < self->table.count; i++) {
        const image_t *image = &self->inodes[self->table.entries[i].inode];
        tape_put (copy, self->table.entries[i].name, image->bytes, image->size);
    }
    return copy;
}

/*  ---- recording and playing ---- */

void tape_record (tape_t *self)
{
    bn_assert (!self->recording);
    self->recording = true;
    self->start = self->table;
    self->start_inodes = copy_images (self->inodes, self->inode_count);
    self->start_count = self->inode_count;
}

size_t tape_operations (const tape_t *self)
{
    return self->operation_count;
}

typedef struct {
    image_t synced;
    size_t *writes; /* owned; numbers of the writes since the last sync */
    size_t write_count;
    size_t write_capacity;
} played_t;

struct tape_player {
    const tape_t *tape;
    size_t next; /* operation */
    table_t synced;
    played_t *inodes; /* owned */
    size_t *pending;  /* owned; directory operations that are not synced */
    size_t pending_count;
};

/*  A sector that was written since it was synced.  */
typedef struct {
    size_t inode;
    size_t sector;
    size_t last; /* number of the write */
} dirty_t;

tape_player_t *tape_player_new (const tape_t *tape)
{
    tape_player_t *self = grown (NULL, sizeof *self);
    *self = (tape_player_t){.tape = tape, .synced = tape->start};
    self->inodes = grown (NULL, tape->inode_count * sizeof *self->inodes);
    memset (self->inodes, 0, tape->inode_count * sizeof *self->inodes);
    for (size_t i = 0; i < tape->start_count; i++)
        copy_image (&self->inodes[i].synced, &tape->start_inodes[i]);
    self->pending = grown (NULL, tape->operation_count * sizeof *self->pending);
    return self;
}

void tape_player_destroy (tape_player_t **self_p)
{
    tape_player_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->tape->inode_count; i++) {
        free (self->inodes[i].synced.bytes);
        free (self->inodes[i].writes);
    }
    free (self->inodes);
    free (self->pending);
    free (self);
    *self_p = NULL;
}

static void step_sync (tape_player_t *self, played_t *inode)
{
    for (size_t i = 0; i < inode->write_count; i++) {
        const operation_t *op = &self->tape->operations[inode->writes[i]];
        write_image (&inode->synced, op->at, op->bytes, op->size);
    }
    inode->write_count = 0;
}

static void step_sync_directory (tape_player_t *self, const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->pending_count; i++) {
        const operation_t *op = &self->tape->operations[self->pending[i]];
        if (in_directory (op->name, directory))
            apply (&self->synced, op);
        else
            self->pending[kept++] = self->pending[i];
    }
    self->pending_count = kept;
}

bool tape_player_step (tape_player_t *self)
{
    if (self->next == self->tape->operation_count)
        return false;
    const operation_t *op = &self->tape->operations[self->next];
    played_t *inode = &self->inodes[op->inode];
    switch (op->kind) {
    case OP_WRITE:
        if (inode->write_count == inode->write_capacity) {
            inode->write_capacity = inode->write_capacity ? inode->write_capacity * 2 : 16;
            inode->writes = grown (inode->writes, inode->write_capacity * sizeof *inode->writes);
        }
        inode->writes[inode->write_count++] = self->next;
        break;
    case OP_SYNC:
        step_sync (self, inode);
        break;
    case OP_SYNC_DIRECTORY:
        step_sync_directory (self, op->name);
        break;
    default:
        self->pending[self->pending_count++] = self->next;
    }
    self->next++;
    return true;
}

static int compare_dirty (const void *a, const void *b)
{
    const dirty_t *x = a, *y = b;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return (x->sector > y->sector) - (x->sector < y->sector);
}

/*  The names after `operations` of the unsynced ones.  */
static void names_after (const tape_player_t *self, size_t operations, table_t *table)
{
    *table = self->synced;
    for (size_t i = 0; i < operations; i++)
        apply (table, &self->tape->operations[self->pending[i]]);
}

static void add_dirty (const tape_player_t *self, size_t index, dirty_t **all, size_t *count)
{
    const played_t *inode = &self->inodes[index];
    size_t from = *count;
    for (size_t i = 0; i < inode->write_count; i++) {
        const operation_t *op = &self->tape->operations[inode->writes[i]];
        if (op->size == 0)
            continue;
        size_t last = (size_t)(op->at + op->size - 1) / TAPE_SECTOR_BYTES;
        for (size_t sector = (size_t)op->at / TAPE_SECTOR_BYTES; sector <= last; sector++) {
            size_t at = from;
            while (at < *count && (*all)[at].sector != sector)
                at++;
            if (at == *count)
                *all = grown (*all, ++*count * sizeof **all);
            (*all)[at] = (dirty_t){index, sector, inode->writes[i]};
        }
    }
}

/*  The caller frees.  */
static dirty_t *list_dirty (const tape_player_t *self, const table_t *table, size_t *count)
{
    dirty_t *all = NULL;
    *count = 0;
    for (size_t i = 0; i < self->tape->inode_count; i++)
        if (linked (table, i))
            add_dirty (self, i, &all, count);
    if (*count > 0)
        qsort (all, *count, sizeof *all, compare_dirty);
    return all;
}

size_t tape_player_dirty (const tape_player_t *self)
{
    table_t table;
    size_t count;
    names_after (self, self->pending_count, &table);
    free (list_dirty (self, &table, &count));
    return count;
}

size_t tape_player_unsynced (const tape_player_t *self)
{
    return self->pending_count;
}

/*  Version `number` of a sector: 0 is what was synced. Returns its size (the file may end in it).
 */
static size_t version (const tape_player_t *self, const dirty_t *dirty, size_t number,
                       uint8_t bytes[TAPE_SECTOR_BYTES])
{
    const played_t *inode = &self->inodes[dirty->inode];
    size_t start = dirty->sector * TAPE_SECTOR_BYTES, size = 0;
    memset (bytes, 0, TAPE_SECTOR_BYTES);
    if (inode->synced.size > start) {
        size = inode->synced.size - start;
        size = size < TAPE_SECTOR_BYTES ? size : TAPE_SECTOR_BYTES;
        memcpy (bytes, inode->synced.bytes + start, size);
    }
    for (size_t i = 0; i < inode->write_count && number > 0; i++) {
        const operation_t *op = &self->tape->operations[inode->writes[i]];
        size_t from = op->at > start ? (size_t)op->at : start;
        size_t to = (size_t)op->at + op->size;
        to = to < start + TAPE_SECTOR_BYTES ? to : start + TAPE_SECTOR_BYTES;
        if (from >= to)
            continue;
        number--;
        memcpy (bytes + (from - start), op->bytes + (from - (size_t)op->at), to - from);
        size = to - start > size ? to - start : size;
    }
    return size;
}

static size_t versions (const tape_player_t *self, const dirty_t *dirty)
{
    const played_t *inode = &self->inodes[dirty->inode];
    size_t start = dirty->sector * TAPE_SECTOR_BYTES, count = 0;
    for (size_t i = 0; i < inode->write_count; i++) {
        const operation_t *op = &self->tape->operations[inode->writes[i]];
        count += op->at < start + TAPE_SECTOR_BYTES && op->at + op->size > start;
    }
    return count;
}

static void put_sector (const tape_player_t *self, const dirty_t *dirty, tape_fate_t fate,
                        image_t *image)
{
    uint8_t bytes[TAPE_SECTOR_BYTES], other[TAPE_SECTOR_BYTES];
    size_t count = versions (self, dirty), size;
    if (fate.pick == 0)
        size = version (self, dirty, fate.newest ? count : 0, bytes);
    else {
        size_t first = (size_t)(fate.pick % (count + 1));
        size_t second = (size_t)(fate.pick / 64 % (count + 1));
        size_t cut = (size_t)(fate.pick / 4096 % TAPE_SECTOR_BYTES);
        size = version (self, dirty, first, bytes);
        if (fate.pick & UINT64_C (1) << 40) {
            size_t second_size = version (self, dirty, second, other);
            memcpy (bytes + cut, other + cut, TAPE_SECTOR_BYTES - cut);
            size = size > second_size ? size : second_size;
        }
    }
    if (size > 0)
        write_image (image, (uint64_t)dirty->sector * TAPE_SECTOR_BYTES, bytes, size);
}

tape_t *tape_player_cut (const tape_player_t *self, size_t operations, tape_fate_fn *fate,
                         void *arg)
{
    table_t table;
    size_t count;
    names_after (self, operations, &table);
    dirty_t *dirty = list_dirty (self, &table, &count);
    tape_t *cut = tape_new ();
    cut->table = table;
    cut->inodes = grown (NULL, table.count * sizeof *cut->inodes);
    cut->inode_count = table.count;
    for (size_t i = 0; i < table.count; i++) {
        copy_image (&cut->inodes[i], &self->inodes[table.entries[i].inode].synced);
        cut->table.entries[i].inode = i;
    }
    for (size_t k = 0; k < count; k++) {
        tape_fate_t sector = fate (k, count, arg);
        for (size_t i = 0; i < table.count; i++)
            if (table.entries[i].inode == dirty[k].inode)
                put_sector (self, &dirty[k], sector, &cut->inodes[i]);
    }
    free (dirty);
    return cut;
}
