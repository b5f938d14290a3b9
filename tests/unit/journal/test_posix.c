/* SPDX-License-Identifier: MPL-2.0 */

/*  Real files: the lock between processes, permissions, a process that is killed, and a reader
 *  beside the writer.  */
#include "unit/journal/fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];

static int make_directory (void **state)
{
    (void)state;
    strcpy (directory, "/tmp/baton-journal-XXXXXX");
    return mkdtemp (directory) ? 0 : -1;
}

static int remove_directory (void **state)
{
    (void)state;
    char command[96];
    snprintf (command, sizeof command, "rm -rf '%s'", directory);
    return system (command);
}

static baton_err_t open_real (fixture_t *f, bn_vfs_t *vfs)
{
    f->options = (bn_journal_options_t){.segment_bytes = 65536};
    return bn_journal_open (&f->writer, &f->reader, vfs, &f->options, 0, NULL, NULL, &f->recovery,
                            f->detail);
}

static baton_err_t write_one (bn_journal_writer_t *writer, uint64_t n, char detail[512])
{
    char body[64];
    int size = snprintf (body, sizeof body, "record %llu", (unsigned long long)n);
    bn_journal_record_t record = {.type = 1,
                                  .sequence = n,
                                  .base = n - 1,
                                  .count = 1,
                                  .time_us = n,
                                  .body = (const uint8_t *)body,
                                  .body_size = (size_t)size};
    return bn_journal_write (writer, &record, 1, detail);
}

static bool is_record (const bn_journal_record_t *record, uint64_t n)
{
    char body[64];
    size_t size = (size_t)snprintf (body, sizeof body, "record %llu", (unsigned long long)n);
    return record->sequence == n && record->base == n - 1 && record->body_size == size &&
           memcmp (record->body, body, size) == 0;
}

/*  A child that owns the journal, writes, tells each receipt through a pipe, and is killed.  */
static void a_killed_process_loses_nothing_and_frees_the_lock (void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal (pipe (pipes), 0);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        fixture_t f = {.next = 1};
        bn_vfs_t *vfs;
        if (bn_vfs_posix_new (&vfs, directory, true) != 0 || open_real (&f, vfs) != BATON_OK)
            _exit (1);
        for (uint64_t n = 1;; n++)
            if (write_one (f.writer, n, f.detail) != BATON_OK ||
                bn_journal_sync (f.writer, f.detail) != BATON_OK ||
                write (pipes[1], &n, sizeof n) != sizeof n)
                _exit (1);
    }
    close (pipes[1]);
    uint64_t receipt = 0;
    while (receipt < 300)
        assert_int_equal (read (pipes[0], &receipt, sizeof receipt), sizeof receipt);

    bn_vfs_t *vfs;
    fixture_t f = {.next = 1};
    assert_int_equal (bn_vfs_posix_new (&vfs, directory, true), 0);
    assert_true (vfs->locked (vfs));
    assert_int_equal (vfs->lock (vfs), -EWOULDBLOCK);
    assert_int_equal (open_real (&f, vfs), BATON_ERR_LOCKED);
    char owner[32];
    snprintf (owner, sizeof owner, "(%ld)", (long)child);
    assert_non_null (strstr (f.detail, owner));

    assert_int_equal (kill (child, SIGKILL), 0);
    while (read (pipes[0], &receipt, sizeof receipt) == sizeof receipt)
        ;
    close (pipes[0]);
    assert_int_equal (waitpid (child, NULL, 0), child);
    assert_false (vfs->locked (vfs));
    assert_int_equal (open_real (&f, vfs), BATON_OK);
    assert_true (f.recovery.sequence_next > receipt);
    for (uint64_t n = 1; n < f.recovery.sequence_next; n++) {
        bn_journal_record_t record;
        bool end = true;
        assert_int_equal (bn_journal_next (f.reader, &record, &end, f.detail), BATON_OK);
        assert_true (!end && is_record (&record, n));
    }
    bn_journal_reader_destroy (&f.reader);
    bn_journal_writer_destroy (&f.writer);
    vfs->destroy (&vfs);
}

static void the_lock_is_for_one_owner_and_asked_about_freely (void **state)
{
    (void)state;
    bn_vfs_t *one, *two;
    assert_int_equal (bn_vfs_posix_new (&one, directory, true), 0);
    assert_int_equal (bn_vfs_posix_new (&two, directory, false), 0);
    assert_false (two->locked (two));
    assert_int_equal (one->lock (one), 0);
    assert_int_equal (one->lock (one), 0);
    assert_true (two->locked (two));
    assert_false (one->locked (one));
    assert_int_equal (two->lock (two), -EWOULDBLOCK);
    one->destroy (&one);
    assert_int_equal (two->lock (two), 0);
    two->destroy (&two);
}

static void files_are_for_the_owner_only (void **state)
{
    (void)state;
    char path[128];
    struct stat status;
    snprintf (path, sizeof path, "%s/data", directory);
    bn_vfs_t *vfs;
    fixture_t f = {.next = 1};
    assert_int_equal (bn_vfs_posix_new (&vfs, path, false), -ENOENT);
    assert_int_equal (bn_vfs_posix_new (&vfs, path, true), 0);
    assert_int_equal (open_real (&f, vfs), BATON_OK);
    assert_int_equal (stat (path, &status), 0);
    assert_int_equal (status.st_mode & 0777, 0700);
    snprintf (path, sizeof path, "%s/data/journal/00000000000000000001.seg", directory);
    assert_int_equal (stat (path, &status), 0);
    assert_int_equal (status.st_mode & 0077, 0);
    bn_journal_reader_destroy (&f.reader);
    bn_journal_writer_destroy (&f.writer);
    vfs->destroy (&vfs);
}

static void permission_denied_has_its_name (void **state)
{
    (void)state;
    if (geteuid () == 0) {
        /*  Root may do everything; test_faults.c injects EACCES at each call.  */
        print_message ("skipped: running as root\n");
        skip ();
    }
    bn_vfs_t *vfs;
    fixture_t f = {.next = 1};
    assert_int_equal (bn_vfs_posix_new (&vfs, directory, true), 0);
    assert_int_equal (chmod (directory, 0500), 0);
    assert_int_equal (open_real (&f, vfs), BATON_ERR_PERMISSION);
    assert_int_equal (chmod (directory, 0700), 0);
    vfs->destroy (&vfs);
}

/*  ---- a reader beside the writer ---- */

#define CONCURRENT_RECORDS 4000 /* several segments */
#define RECORDS_PER_SYNC   8

typedef struct {
    bn_journal_writer_t *writer;
    pthread_mutex_t lock; /* guards what follows: what the writer's thread tells the reader's */
    bn_extent_t extents[64];
    size_t extent_count;
    uint64_t durable;
    baton_err_t err;
} shared_t;

static void *write_all (void *arg)
{
    shared_t *self = arg;
    char detail[512];
    for (uint64_t n = 1; n <= CONCURRENT_RECORDS; n++) {
        baton_err_t err = write_one (self->writer, n, detail);
        bool sync = n % RECORDS_PER_SYNC == 0;
        if (!err && sync)
            err = bn_journal_sync (self->writer, detail);
        pthread_mutex_lock (&self->lock);
        size_t room = 64 - self->extent_count;
        self->extent_count +=
            bn_journal_writer_extents (self->writer, self->extents + self->extent_count, room);
        if (sync)
            self->durable = n;
        self->err = err;
        pthread_mutex_unlock (&self->lock);
        if (err)
            break;
    }
    return NULL;
}

static void a_reader_follows_the_writer (void **state)
{
    (void)state;
    bn_vfs_t *vfs;
    fixture_t f = {.next = 1};
    assert_int_equal (bn_vfs_posix_new (&vfs, directory, true), 0);
    assert_int_equal (open_real (&f, vfs), BATON_OK);
    shared_t shared = {.writer = f.writer};
    pthread_mutex_init (&shared.lock, NULL);
    pthread_t thread;
    assert_int_equal (pthread_create (&thread, NULL, write_all, &shared), 0);
    uint64_t seen = 0;
    baton_err_t err = BATON_OK;
    bool wrong = false;
    while (seen < CONCURRENT_RECORDS && !err && !wrong) {
        pthread_mutex_lock (&shared.lock);
        uint64_t durable = shared.durable;
        bn_journal_reader_learn (f.reader, shared.extents, shared.extent_count);
        shared.extent_count = 0;
        err = shared.err;
        pthread_mutex_unlock (&shared.lock);
        bn_journal_reader_durable (f.reader, durable);
        /*  As a fetch does it: seek, read to the end.  */
        if (!err)
            err = bn_journal_seek (f.reader, seen, f.detail);
        bool end = false;
        while (!err && !end && !wrong) {
            bn_journal_record_t record;
            err = bn_journal_next (f.reader, &record, &end, f.detail);
            if (err || end)
                break;
            wrong = !is_record (&record, ++seen) || seen > durable;
        }
        wrong = wrong || (!err && seen != durable);
    }
    pthread_join (thread, NULL);
    pthread_mutex_destroy (&shared.lock);
    assert_int_equal (err, BATON_OK);
    assert_false (wrong);
    bn_journal_reader_destroy (&f.reader);
    bn_journal_writer_destroy (&f.writer);
    vfs->destroy (&vfs);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (a_killed_process_loses_nothing_and_frees_the_lock,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (the_lock_is_for_one_owner_and_asked_about_freely,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (files_are_for_the_owner_only, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (permission_denied_has_its_name, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (a_reader_follows_the_writer, make_directory,
                                         remove_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
