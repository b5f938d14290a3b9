/* SPDX-License-Identifier: MPL-2.0 */

/*  views.c - checkpoints in LMDB.
 *
 *  DESIGN. Two databases in one environment: "items" holds the checkpoint, "meta" one entry that
 *  says which format it has, which sequence it includes, how many items there are and their
 *  checksum. Both are replaced in one transaction, so that a checkpoint is there whole or not at
 *  all.
 *
 *  LMDB trusts its file. What could make it fault is looked for before (a file shorter than its own
 *  last page), the rest after (count and checksum): a damaged checkpoint is a lost one, ROT, and
 *  costs a replay.
 *
 *  There is no lock file: the data directory is locked, and one thread at a time uses the
 *  environment.  */
#include "journal/views.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "journal/format.h"
#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VIEWS_VERSION  1
#define MAP_BYTES_MIN  (UINT64_C (64) << 20)
#define MAP_BYTES_MAX  (UINT64_C (8) << 30)
#define PATH_BYTES_MAX 4096
#define KEY_BYTES_MAX  511 /* of LMDB as Debian builds it */
#define META_KEY       "checkpoint"

struct bn_views {
    MDB_env *env;
    MDB_dbi meta;
    MDB_dbi items;
    uint64_t map_bytes;
    char directory[256]; /* shortened, for messages */
};

/*  Both machines that share a file are little-endian or neither is: LMDB files do not travel.  */
typedef struct {
    uint32_t version;
    uint32_t crc; /* of all items in key order (see sum), then of sequence and count */
    uint64_t sequence;
    uint64_t count;
} meta_t;

typedef struct {
    size_t key_at; /* in `bytes` */
    size_t key_size;
    size_t value_size;
} entry_t;

struct bn_checkpoint {
    uint64_t sequence;
    entry_t *entries;
    size_t count;
    size_t capacity;
    uint8_t *bytes; /* key, value, key, value, ... */
    size_t size;
    size_t room;
};

static baton_err_t lmdb_error (int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
        return BATON_ERR_DISK_FULL;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_DBI:
        return BATON_ERR_ROT;
    default: /* an errno */
        return bn_journal_errno (-(int64_t)rc);
    }
}

static baton_err_t fail (const bn_views_t *self, int rc, const char *what, char detail[512])
{
    return bn_journal_fail (lmdb_error (rc), detail, "%s: %s: %s", self->directory, what,
                            mdb_strerror (rc));
}

/*  ---- opening ---- */

/*  false, with errno: it is too long.  */
static bool path_of (char path[PATH_BYTES_MAX], const char *directory, const char *name)
{
    int size = snprintf (path, PATH_BYTES_MAX, "%s/%s", directory, name);
    errno = ENAMETOOLONG;
    return size < PATH_BYTES_MAX;
}

/*  A page behind the end of the file would be a bus error.  */
static baton_err_t check_length (const bn_views_t *self, const char *path, char detail[512])
{
    MDB_envinfo info;
    MDB_stat stat_env;
    struct stat status;
    /*  Both only look at what opening has read.  */
    bn_assert (mdb_env_info (self->env, &info) == 0 && mdb_env_stat (self->env, &stat_env) == 0);
    if (stat (path, &status) != 0)
        return fail (self, errno, "size", detail);
    /*  An environment without a transaction yet has two meta pages, and the file may be sparse. */
    if (info.me_last_txnid > 0 &&
        (uint64_t)status.st_size < (uint64_t)stat_env.ms_psize * (info.me_last_pgno + 1))
        return bn_journal_fail (BATON_ERR_ROT, detail, "%s: the file is too short",
                                self->directory);
    return BATON_OK;
}

static baton_err_t open_databases (bn_views_t *self, char detail[512])
{
    MDB_txn *txn;
    int rc = mdb_txn_begin (self->env, NULL, 0, &txn);
    if (rc != 0)
        return fail (self, rc, "begin", detail);
    rc = mdb_dbi_open (txn, "meta", MDB_CREATE, &self->meta);
    if (rc == 0)
        rc = mdb_dbi_open (txn, "items", MDB_CREATE, &self->items);
    if (rc == 0)
        rc = mdb_txn_commit (txn);
    else
        mdb_txn_abort (txn);
    return rc == 0 ? BATON_OK : fail (self, rc, "open", detail);
}

static baton_err_t open_environment (bn_views_t *self, const char *directory, char detail[512])
{
    char path[PATH_BYTES_MAX];
    struct stat status;
    if (!path_of (path, directory, "data.mdb"))
        return fail (self, errno, "open", detail);
    self->map_bytes = MAP_BYTES_MIN;
    if (stat (path, &status) == 0)
        while (self->map_bytes < (uint64_t)status.st_size * 2 && self->map_bytes < MAP_BYTES_MAX)
            self->map_bytes *= 2;
    int rc = mdb_env_create (&self->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs (self->env, 2);
    if (rc == 0)
        rc = mdb_env_set_mapsize (self->env, self->map_bytes);
    if (rc == 0)
        rc = mdb_env_open (self->env, directory, MDB_NOLOCK | MDB_NORDAHEAD, 0600);
    if (rc != 0)
        return fail (self, rc, "open", detail);
    baton_err_t err = check_length (self, path, detail);
    return err ? err : open_databases (self, detail);
}

baton_err_t bn_views_open (bn_views_t **views, const char *directory, char detail[512])
{
    bn_assert (views && directory && detail);
    *views = NULL;
    if (mkdir (directory, 0700) != 0 && errno != EEXIST)
        return bn_journal_fail (lmdb_error (errno), detail, "%s: %s", directory, strerror (errno));
    bn_views_t *self = calloc (1, sizeof *self);
    if (!self)
        return bn_journal_fail (BATON_ERR_MEMORY, detail, "%s", baton_err_text (BATON_ERR_MEMORY));
    snprintf (self->directory, sizeof self->directory, "%s", directory);
    baton_err_t err = open_environment (self, directory, detail);
    if (err)
        bn_views_close (&self);
    *views = self;
    return err;
}

void bn_views_close (bn_views_t **self_p)
{
    bn_views_t *self = *self_p;
    if (!self)
        return;
    if (self->env)
        mdb_env_close (self->env);
    free (self);
    *self_p = NULL;
}

baton_err_t bn_views_remove (const char *directory, char detail[512])
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[PATH_BYTES_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!path_of (path, directory, names[i]) || (unlink (path) != 0 && errno != ENOENT))
            return bn_journal_fail (lmdb_error (errno), detail, "%.400s/%s: remove: %s", directory,
                                    names[i], strerror (errno));
    if (rmdir (directory) != 0 && errno != ENOENT)
        return bn_journal_fail (lmdb_error (errno), detail, "%.400s: remove: %s", directory,
                                strerror (errno));
    return BATON_OK;
}

/*  ---- loading ---- */

static uint32_t sum (uint32_t crc, const void *key, size_t key_size, const void *value,
                     size_t value_size)
{
    uint64_t sizes[2] = {key_size, value_size};
    crc = bn_crc32c (crc, sizes, sizeof sizes);
    crc = bn_crc32c (crc, key, key_size);
    return bn_crc32c (crc, value, value_size);
}

static uint32_t seal (uint32_t crc, uint64_t sequence, uint64_t count)
{
    uint64_t numbers[2] = {sequence, count};
    return bn_crc32c (crc, numbers, sizeof numbers);
}

static baton_err_t load_meta (bn_views_t *self, MDB_txn *txn, meta_t *meta, bool *found,
                              char detail[512])
{
    MDB_val key = {sizeof META_KEY, META_KEY}, value;
    int rc = mdb_get (txn, self->meta, &key, &value);
    *found = rc == 0;
    if (rc == MDB_NOTFOUND)
        return BATON_OK;
    if (rc != 0)
        return fail (self, rc, "read", detail);
    /*  The version comes first in any version.  */
    uint32_t version = 0;
    if (value.mv_size >= sizeof version)
        memcpy (&version, value.mv_data, sizeof version);
    if (version > VIEWS_VERSION)
        return bn_journal_fail (BATON_ERR_FORMAT, detail,
                                "%s: the views have format %" PRIu32
                                ", written by a newer version; this one "
                                "knows format %d",
                                self->directory, version, VIEWS_VERSION);
    if (version == 0 || value.mv_size != sizeof *meta)
        return bn_journal_fail (BATON_ERR_ROT, detail, "%s: the checkpoint's entry is damaged",
                                self->directory);
    memcpy (meta, value.mv_data, sizeof *meta);
    return BATON_OK;
}

/*  Calls `item` (may be NULL) for each; checks count and checksum.  */
static baton_err_t load_items (bn_views_t *self, MDB_txn *txn, const meta_t *meta,
                               bn_views_item_fn *item, void *arg, char detail[512])
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open (txn, self->items, &cursor);
    if (rc != 0)
        return fail (self, rc, "read", detail);
    uint32_t crc = 0;
    uint64_t count = 0;
    baton_err_t err = BATON_OK;
    MDB_val key, value;
    rc = mdb_cursor_get (cursor, &key, &value, MDB_FIRST);
    while (rc == 0 && !err && count <= meta->count) {
        count++;
        crc = sum (crc, key.mv_data, key.mv_size, value.mv_data, value.mv_size);
        if (item)
            err = item (key.mv_data, key.mv_size, value.mv_data, value.mv_size, arg);
        if (!err)
            rc = mdb_cursor_get (cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close (cursor);
    if (err)
        return bn_journal_fail (err, detail, "%s: an item is not accepted: %s", self->directory,
                                baton_err_text (err));
    if (rc != MDB_NOTFOUND && rc != 0)
        return fail (self, rc, "read", detail);
    if (count != meta->count || seal (crc, meta->sequence, count) != meta->crc)
        return bn_journal_fail (BATON_ERR_ROT, detail,
                                "%s: the checksum of the checkpoint is wrong", self->directory);
    return BATON_OK;
}

baton_err_t bn_views_load (bn_views_t *self, uint64_t *sequence, bn_views_item_fn *item, void *arg,
                           char detail[512])
{
    bn_assert (self && sequence && item);
    *sequence = 0;
    MDB_txn *txn;
    int rc = mdb_txn_begin (self->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return fail (self, rc, "begin", detail);
    meta_t meta = {.version = 0};
    bool found;
    baton_err_t err = load_meta (self, txn, &meta, &found, detail);
    /*  Twice: nobody is given an item of a damaged checkpoint.  */
    if (!err && found)
        err = load_items (self, txn, &meta, NULL, NULL, detail);
    if (!err && found)
        err = load_items (self, txn, &meta, item, arg, detail);
    mdb_txn_abort (txn);
    if (!err)
        *sequence = meta.sequence;
    return err;
}

/*  ---- a checkpoint ---- */

bn_checkpoint_t *bn_checkpoint_new (uint64_t sequence)
{
    bn_checkpoint_t *self = calloc (1, sizeof *self);
    if (self)
        self->sequence = sequence;
    return self;
}

void bn_checkpoint_destroy (bn_checkpoint_t **self_p)
{
    bn_checkpoint_t *self = *self_p;
    if (!self)
        return;
    free (self->entries);
    free (self->bytes);
    free (self);
    *self_p = NULL;
}

static bool make_room (bn_checkpoint_t *self, size_t size)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 256;
        entry_t *entries = realloc (self->entries, capacity * sizeof *entries);
        if (!entries)
            return false;
        self->entries = entries;
        self->capacity = capacity;
    }
    if (size <= self->room - self->size)
        return true;
    size_t room = self->room ? self->room * 2 : 16384;
    while (room < self->size + size)
        room *= 2;
    uint8_t *bytes = realloc (self->bytes, room);
    if (!bytes)
        return false;
    self->bytes = bytes;
    self->room = room;
    return true;
}

bool bn_checkpoint_put (const void *key, size_t key_size, const void *value, size_t value_size,
                        void *checkpoint)
{
    bn_checkpoint_t *self = checkpoint;
    bn_assert (key_size > 0 && key_size <= KEY_BYTES_MAX && value_size <= UINT32_MAX);
    if (!make_room (self, key_size + value_size))
        return false;
    self->entries[self->count++] = (entry_t){self->size, key_size, value_size};
    memcpy (self->bytes + self->size, key, key_size);
    if (value_size > 0)
        memcpy (self->bytes + self->size + key_size, value, value_size);
    self->size += key_size + value_size;
    return true;
}

/*  ---- writing ---- */

/*  The items are summed as they lie in the database: in key order, the last of two equal keys.  */
static int put_all (bn_views_t *self, MDB_txn *txn, const bn_checkpoint_t *checkpoint)
{
    int rc = mdb_drop (txn, self->items, 0);
    for (size_t i = 0; i < checkpoint->count && rc == 0; i++) {
        const entry_t *entry = &checkpoint->entries[i];
        uint8_t *at = checkpoint->bytes + entry->key_at;
        MDB_val key = {entry->key_size, at};
        MDB_val value = {entry->value_size, at + entry->key_size};
        rc = mdb_put (txn, self->items, &key, &value, 0);
    }
    MDB_cursor *cursor = NULL;
    if (rc == 0)
        rc = mdb_cursor_open (txn, self->items, &cursor);
    if (rc != 0)
        return rc;
    meta_t meta = {.version = VIEWS_VERSION, .sequence = checkpoint->sequence};
    MDB_val key, value;
    while ((rc = mdb_cursor_get (cursor, &key, &value, MDB_NEXT)) == 0) {
        meta.crc = sum (meta.crc, key.mv_data, key.mv_size, value.mv_data, value.mv_size);
        meta.count++;
    }
    mdb_cursor_close (cursor);
    if (rc != MDB_NOTFOUND)
        return rc;
    meta.crc = seal (meta.crc, meta.sequence, meta.count);
    key = (MDB_val){sizeof META_KEY, META_KEY};
    value = (MDB_val){sizeof meta, &meta};
    return mdb_put (txn, self->meta, &key, &value, 0);
}

baton_err_t bn_views_write (bn_views_t *self, const bn_checkpoint_t *checkpoint, char detail[512])
{
    bn_assert (self && checkpoint);
    for (;;) {
        MDB_txn *txn;
        int rc = mdb_txn_begin (self->env, NULL, 0, &txn);
        if (rc != 0)
            return fail (self, rc, "begin", detail);
        rc = put_all (self, txn, checkpoint);
        if (rc == 0)
            rc = mdb_txn_commit (txn); /* frees the transaction also when it fails */
        else
            mdb_txn_abort (txn);
        if (rc == 0)
            return BATON_OK;
        if (rc != MDB_MAP_FULL || self->map_bytes >= MAP_BYTES_MAX)
            return fail (self, rc, "write", detail);
        rc = mdb_env_set_mapsize (self->env, self->map_bytes * 2);
        if (rc != 0)
            return fail (self, rc, "grow", detail);
        self->map_bytes *= 2;
    }
}
