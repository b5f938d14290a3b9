/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/recovery.h"
#include "shell/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define VIEWS_DIRECTORY "views" /* below the data directory */
#define PATH_BYTES_MAX  4096

/*  A process that was killed holds its locks until the last of its threads is gone, which is some
 *  moments after its parent has heard of its end. Who starts it again at once must not be refused
 *  for that.  */
#define LOCK_PATIENCE_MS 2000
#define LOCK_RETRY_MS    20

static baton_err_t system_error (int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
        return BATON_ERR_PERMISSION;
    case EWOULDBLOCK:
        return BATON_ERR_LOCKED;
    case ENOSPC:
    case EDQUOT:
        return BATON_ERR_DISK_FULL;
    case ENOMEM:
        return BATON_ERR_MEMORY;
    default:
        return BATON_ERR_IO;
    }
}

/*  The process id in the lock's file.  */
static void read_owner (bn_vfs_t *vfs, char *owner, size_t size)
{
    bn_vfile_t *file;
    *owner = '\0';
    if (vfs->open (vfs, "lock", false, false, &file) == 0) {
        int64_t read = vfs->pread (vfs, file, owner, size - 1, 0);
        owner[read > 0 ? read : 0] = '\0';
        owner[strspn (owner, "0123456789")] = '\0';
        vfs->close (vfs, &file);
    }
    if (!*owner)
        snprintf (owner, size, "unknown");
}

static baton_err_t open_directory (bn_recovered_t *self, const bn_recovery_options_t *options,
                                   char detail[512])
{
    int rc = bn_vfs_posix_new (&self->vfs, options->data_dir, true);
    if (rc != 0) {
        snprintf (detail, 512, "cannot open the data directory '%.200s': %s", options->data_dir,
                  strerror (-rc));
        return system_error (-rc);
    }
    rc = self->vfs->lock (self->vfs);
    for (int waited = 0; rc == -EWOULDBLOCK && waited < LOCK_PATIENCE_MS; waited += LOCK_RETRY_MS) {
        nanosleep (&(struct timespec){.tv_nsec = LOCK_RETRY_MS * 1000000L}, NULL);
        rc = self->vfs->lock (self->vfs);
    }
    if (rc == -EWOULDBLOCK) {
        char owner[24];
        read_owner (self->vfs, owner, sizeof owner);
        snprintf (detail, 512, "another process (%s) owns the data directory '%.200s'", owner,
                  options->data_dir);
        return BATON_ERR_LOCKED;
    }
    if (rc != 0)
        snprintf (detail, 512, "cannot lock the data directory '%.200s': %s", options->data_dir,
                  strerror (-rc));
    return rc == 0 ? BATON_OK : system_error (-rc);
}

static baton_err_t restore_item (const void *key, size_t key_size, const void *value,
                                 size_t value_size, void *arg)
{
    return bn_state_restore (arg, key, key_size, value, value_size);
}

/*  Opens the views and loads them into a fresh state.  */
static baton_err_t load_views (bn_recovered_t *self, const bn_recovery_options_t *options,
                               const char *directory, char detail[512])
{
    bn_state_destroy (&self->state);
    self->checkpoint_sequence = 0;
    self->state = bn_state_new (options->producers_max);
    if (!self->state) {
        snprintf (detail, 512, "%s", baton_err_text (BATON_ERR_MEMORY));
        return BATON_ERR_MEMORY;
    }
    *detail = '\0';
    baton_err_t err = bn_views_open (&self->views, directory, detail);
    if (!err)
        err = bn_views_load (self->views, &self->checkpoint_sequence, restore_item, self->state,
                             detail);
    if (!err && self->checkpoint_sequence > 0)
        err = bn_state_restored (self->state);
    if (!err && self->state->sequence != self->checkpoint_sequence)
        err = BATON_ERR_ROT;
    if (err && !*detail)
        snprintf (detail, 512, "the views do not add up: %s", baton_err_text (err));
    return err;
}

/*  The same, and starts over without them when they are damaged.  */
static baton_err_t open_views (bn_recovered_t *self, const bn_recovery_options_t *options,
                               char detail[512])
{
    char directory[PATH_BYTES_MAX];
    int size = snprintf (directory, sizeof directory, "%s/" VIEWS_DIRECTORY, options->data_dir);
    if (size < 0 || (size_t)size >= sizeof directory) {
        snprintf (detail, 512, "the path of the data directory is too long");
        return BATON_ERR_IO;
    }
    baton_err_t err = load_views (self, options, directory, detail);
    if (err != BATON_ERR_ROT)
        return err;
    bn_log (BN_LOG_WARNING, "the views are damaged (%s): rebuilding them from the journal", detail);
    bn_views_close (&self->views);
    err = bn_views_remove (directory, detail);
    return err ? err : load_views (self, options, directory, detail);
}

typedef struct {
    bn_recovered_t *recovered;
    char *detail;
} replay_t;

static baton_err_t replay (const bn_journal_record_t *raw, void *arg)
{
    replay_t *self = arg;
    bn_record_t record;
    char what[256] = "";
    baton_err_t err =
        bn_record_decode (&record, raw->type, raw->base, raw->body, raw->body_size, what);
    if (!err) {
        bn_state_t *state = self->recovered->state;
        if (state->bridging)
            err = bn_state_bridge (state, &record);
        if (err)
            snprintf (what, sizeof what, "%s", baton_err_text (err));
        else
            err = bn_state_apply (state, &record, raw->sequence, raw->base, raw->count,
                                  raw->time_us, what);
        bn_record_fini (&record);
    }
    if (err)
        snprintf (self->detail, 512,
                  "record %" PRIu64 " (segment %" PRIu64 ", byte %" PRIu64 "): %s", raw->sequence,
                  raw->segment, raw->position, what);
    self->recovered->replayed++;
    return err;
}

static baton_err_t open_journal (bn_recovered_t *self, const bn_recovery_options_t *options,
                                 char detail[512])
{
    bn_journal_options_t journal_options = {
        .segment_bytes = options->segment_bytes,
        .record_bytes_max = options->record_bytes_max,
    };
    replay_t arg = {self, detail};
    baton_err_t err =
        bn_journal_open (&self->writer, &self->reader, self->vfs, &journal_options,
                         self->checkpoint_sequence, replay, &arg, &self->journal, detail);
    if (err == BATON_ERR_NOT_FOUND) {
        /*  Old records may be trimmed only once a checkpoint includes them.  */
        char reason[384];
        snprintf (reason, sizeof reason, "%.383s", detail);
        snprintf (detail, 512, "the views are lost and the journal does not reach back: %s",
                  reason);
        return BATON_ERR_ROT;
    }
    if (err)
        return err;
    uint64_t last = self->journal.sequence_next - 1;
    if (self->state->sequence != last || self->state->tail != self->journal.tail) {
        snprintf (detail, 512,
                  "the journal ends at record %" PRIu64 ", offset %" PRIu64
                  ", but the views include record %" PRIu64 ", offset %" PRIu64
                  ": receipted records are missing",
                  last, self->journal.tail, self->state->sequence, self->state->tail);
        return BATON_ERR_ROT;
    }
    bn_journal_reader_durable (self->reader, last);
    return BATON_OK;
}

baton_err_t bn_recover (bn_recovered_t *recovered, const bn_recovery_options_t *options,
                        char detail[512])
{
    *recovered = (bn_recovered_t){.vfs = NULL};
    *detail = '\0';
    baton_err_t err = open_directory (recovered, options, detail);
    if (!err)
        err = open_views (recovered, options, detail);
    if (!err)
        err = open_journal (recovered, options, detail);
    if (err) {
        if (!*detail)
            snprintf (detail, 512, "%s", baton_err_text (err));
        bn_recovered_fini (recovered);
        return err;
    }
    if (recovered->journal.torn_bytes > 0)
        bn_log (BN_LOG_WARNING,
                "cut %" PRIu64 " bytes of an unfinished write off the end of the journal",
                recovered->journal.torn_bytes);
    if (recovered->replayed > 0)
        bn_log (BN_LOG_INFO, "replayed %" PRIu64 " records after record %" PRIu64,
                recovered->replayed, recovered->checkpoint_sequence);
    return BATON_OK;
}

void bn_recovered_fini (bn_recovered_t *self)
{
    bn_state_destroy (&self->state);
    bn_journal_reader_destroy (&self->reader);
    bn_journal_writer_destroy (&self->writer);
    bn_views_close (&self->views);
    if (self->vfs)
        self->vfs->destroy (&self->vfs);
}
