/* SPDX-License-Identifier: MPL-2.0 */

/*  The journal's thread over a disk that has no room for the next segment, the two threads over one
 *  that hangs, and syncs now and then over one that takes its time.  */
#include "base/blob.h"
#include "orchestrator/journal_thread.h"
#include "support/disk.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SEGMENT_BYTES (16u << 10)
#define DEADLINE_S    60

static atomic_bool full;
static sem_t refused, prepared;
static int (*real_open) (bn_vfs_t *, const char *, bool, bool, bn_vfile_t **);
static int (*real_rename) (bn_vfs_t *, const char *, const char *);

static int faulty_open (bn_vfs_t *vfs, const char *name, bool create, bool write, bn_vfile_t **file)
{
    if (!atomic_load (&full) || strcmp (name, "journal/next.tmp") != 0)
        return real_open (vfs, name, create, write, file);
    *file = NULL;
    sem_post (&refused);
    return -ENOSPC;
}

static int observed_rename (bn_vfs_t *vfs, const char *from, const char *to)
{
    int rc = real_rename (vfs, from, to);
    if (rc == 0 && strcmp (from, "journal/next.tmp") == 0)
        sem_post (&prepared);
    return rc;
}

static void await (sem_t *semaphore)
{
    struct timespec until;
    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    while (sem_timedwait (semaphore, &until) != 0)
        assert_int_equal (errno, EINTR);
}

static bn_journal_job_t one_record (uint64_t sequence)
{
    bn_journal_job_t job = {.trim_offset = 0};
    bn_blob_t *blob = bn_blob_new (10);
    assert_non_null (blob);
    memcpy (blob->data, "receipt me", 10);
    bn_journal_record_t record = {.type = 3,
                                  .sequence = sequence,
                                  .base = sequence - 1,
                                  .count = 1,
                                  .body = blob->data,
                                  .body_size = 10};
    assert_true (bn_journal_batch_add (&job.batch, &record, blob));
    return job;
}

static bn_journal_report_t next_report (bn_journal_thread_t *thread)
{
    bn_journal_report_t report;
    struct pollfd fd = {.fd = bn_journal_thread_fd (thread), .events = POLLIN};
    assert_int_equal (poll (&fd, 1, DEADLINE_S * 1000), 1);
    bn_journal_thread_report (thread, &report);
    free (report.extents);
    return report;
}

/*  The report of the job in hand, however it ended.  */
static bn_journal_report_t await_report (bn_journal_thread_t *thread)
{
    bn_journal_report_t report;
    do
        report = next_report (thread);
    while (!report.idle);
    return report;
}

static void write_one (bn_journal_thread_t *thread, uint64_t sequence)
{
    bn_journal_job_t job = one_record (sequence);
    bn_journal_thread_submit (thread, &job);
    bn_journal_report_t report = await_report (thread);
    assert_int_equal (report.err, BATON_OK);
    assert_int_equal (report.durable_sequence, sequence);
}

static bn_disk_t *disk;
static bn_vfs_t *vfs;
static bn_journal_reader_t *reader;
static bn_journal_thread_options_t options;

static void open_journal (void)
{
    bn_journal_options_t journal = {.segment_bytes = SEGMENT_BYTES};
    bn_journal_recovery_t recovery;
    char detail[512];
    disk = bn_disk_new (1);
    vfs = bn_disk_vfs (disk);
    options = (bn_journal_thread_options_t){.sync = BN_SYNC_ALWAYS};
    assert_int_equal (
        bn_journal_open (&options.writer, &reader, vfs, &journal, 0, NULL, NULL, &recovery, detail),
        BATON_OK);
}

static void close_journal (void)
{
    bn_journal_reader_destroy (&reader);
    bn_journal_writer_destroy (&options.writer);
    vfs->destroy (&vfs);
    bn_disk_destroy (&disk);
}

static void no_room_to_prepare_stops_nobody (void **state)
{
    (void)state;
    sem_init (&refused, 0, 0);
    sem_init (&prepared, 0, 0);
    open_journal ();
    real_open = vfs->open;
    real_rename = vfs->rename;
    vfs->open = faulty_open;
    vfs->rename = observed_rename;
    atomic_store (&full, true);
    bn_journal_thread_t *thread;
    assert_int_equal (bn_journal_thread_new (&thread, &options), BATON_OK);
    await (&refused);
    write_one (thread, 1);
    /*  It goes on trying, and has it once there is room.  */
    await (&refused);
    write_one (thread, 2);
    atomic_store (&full, false);
    await (&prepared);
    write_one (thread, 3);
    bn_journal_thread_destroy (&thread);
    close_journal ();
    sem_destroy (&refused);
    sem_destroy (&prepared);
}

/*  ---- a disk that hangs ---- */

static atomic_bool hang, broken;
static pthread_t hangs_in; /* set before `hang` */
static sem_t go_on;
static int (*real_datasync) (bn_vfs_t *, bn_vfile_t *);

static int hanging_datasync (bn_vfs_t *self, bn_vfile_t *file)
{
    if (atomic_load (&hang) && pthread_equal (pthread_self (), hangs_in)) {
        atomic_store (&hang, false);
        await (&go_on);
    }
    return atomic_load (&broken) ? -EIO : real_datasync (self, file);
}

typedef struct {
    bn_journal_thread_t *thread;
    pthread_t first; /* that served */
    int calls;       /* of serve */
} server_t;

static bn_journal_run_t run_one (bn_journal_thread_t *thread, uint64_t sequence)
{
    bn_journal_job_t job = one_record (sequence);
    bn_journal_report_t report;
    bn_journal_run_t run = bn_journal_thread_run (thread, &job, &report);
    if (run == BN_JOURNAL_RUN_DONE) {
        assert_int_equal (report.err, BATON_OK);
        assert_true (report.idle);
        assert_int_equal (report.durable_sequence, sequence);
        free (report.extents);
    } else if (run == BN_JOURNAL_RUN_REFUSED) {
        assert_int_equal (job.batch.count, 1);
        bn_journal_batch_fini (&job.batch);
    }
    return run;
}

/*  Called when the other thread is held up: nothing is durable before the disk says so. Then the
 *  disk goes on.  */
static bn_journal_report_t relieve (server_t *self, uint64_t durable_sequence)
{
    bn_journal_report_t report;
    bn_journal_thread_report (self->thread, &report);
    assert_int_equal (report.err, BATON_OK);
    assert_false (report.idle);
    assert_int_equal (report.durable_sequence, durable_sequence);
    free (report.extents);
    sem_post (&go_on);
    return await_report (self->thread);
}

/*  The disk hangs in a run. One that is refused, because the next segment is being prepared, is
 *  tried again.  */
static bool hang_in_run (server_t *self, uint64_t sequence)
{
    hangs_in = pthread_self ();
    atomic_store (&hang, true);
    bn_journal_run_t run;
    while ((run = run_one (self->thread, sequence)) == BN_JOURNAL_RUN_REFUSED)
        poll (NULL, 0, 1);
    assert_int_equal (run, BN_JOURNAL_RUN_RELIEVED);
    return false;
}

static bool serve_twice_relieved (void *arg)
{
    server_t *self = arg;
    bn_journal_report_t report;
    switch (++self->calls) {
    case 1:
        self->first = pthread_self ();
        return hang_in_run (self, 1);
    case 2:
        assert_false (pthread_equal (pthread_self (), self->first));
        report = relieve (self, 0);
        assert_int_equal (report.err, BATON_OK);
        assert_int_equal (report.durable_sequence, 1);
        /*  The one that was relieved carries out what is handed over.  */
        write_one (self->thread, 2);
        return hang_in_run (self, 3);
    default:
        assert_true (pthread_equal (pthread_self (), self->first));
        report = relieve (self, 2);
        assert_int_equal (report.err, BATON_OK);
        assert_int_equal (report.durable_sequence, 3);
        write_one (self->thread, 4);
        return true;
    }
}

static bool serve_broken (void *arg)
{
    server_t *self = arg;
    if (++self->calls == 1) {
        atomic_store (&broken, true);
        return hang_in_run (self, 1);
    }
    bn_journal_report_t report = relieve (self, 0);
    assert_int_equal (report.err, BATON_ERR_IO);
    assert_int_equal (report.durable_sequence, 0);
    assert_int_equal (run_one (self->thread, 2), BN_JOURNAL_RUN_REFUSED);
    return true;
}

static void serve (bn_journal_serve_fn *fn, int calls)
{
    server_t server = {.calls = 0};
    sem_init (&go_on, 0, 0);
    atomic_store (&broken, false);
    open_journal ();
    real_datasync = vfs->datasync;
    vfs->datasync = hanging_datasync;
    assert_int_equal (bn_journal_thread_new (&server.thread, &options), BATON_OK);
    bn_journal_thread_serve (server.thread, fn, &server);
    assert_int_equal (server.calls, calls);
    bn_journal_thread_destroy (&server.thread);
    close_journal ();
    sem_destroy (&go_on);
}

static void the_thread_in_a_run_that_hangs_is_relieved (void **state)
{
    (void)state;
    serve (serve_twice_relieved, 3);
}

static void a_run_that_hangs_and_fails_is_the_last (void **state)
{
    (void)state;
    serve (serve_broken, 2);
}

/*  ---- the policy interval ---- */

static sem_t entered;
static atomic_int slow; /* syncs to come that take their time */

static int slow_datasync (bn_vfs_t *self, bn_vfile_t *file)
{
    if (atomic_fetch_sub (&slow, 1) > 0) {
        sem_post (&entered);
        await (&go_on);
    }
    return atomic_load (&broken) ? -EIO : real_datasync (self, file);
}

/*  On a real file system: there a sync and a write may be at work together.  */
static bn_journal_thread_t *open_slow (char *folder, uint32_t interval_ms)
{
    bn_journal_options_t journal = {.segment_bytes = SEGMENT_BYTES};
    bn_journal_recovery_t recovery;
    char detail[512];
    sem_init (&go_on, 0, 0);
    sem_init (&entered, 0, 0);
    atomic_store (&broken, false);
    atomic_store (&slow, 0);
    assert_non_null (mkdtemp (folder));
    assert_int_equal (bn_vfs_posix_new (&vfs, folder, false), 0);
    real_datasync = vfs->datasync;
    vfs->datasync = slow_datasync;
    options =
        (bn_journal_thread_options_t){.sync = BN_SYNC_INTERVAL, .sync_interval_ms = interval_ms};
    assert_int_equal (
        bn_journal_open (&options.writer, &reader, vfs, &journal, 0, NULL, NULL, &recovery, detail),
        BATON_OK);
    bn_journal_thread_t *thread;
    assert_int_equal (bn_journal_thread_new (&thread, &options), BATON_OK);
    return thread;
}

static bool remove_file (const char *name, void *arg)
{
    (void)arg;
    char path[300];
    snprintf (path, sizeof path, "journal/%s", name);
    assert_int_equal (vfs->remove (vfs, path), 0);
    return true;
}

static void close_slow (bn_journal_thread_t **thread, const char *folder)
{
    bn_journal_thread_destroy (thread);
    bn_journal_reader_destroy (&reader);
    bn_journal_writer_destroy (&options.writer);
    assert_int_equal (vfs->list (vfs, "journal", remove_file, NULL), 0);
    assert_int_equal (vfs->remove (vfs, "FORMAT"), 0);
    vfs->destroy (&vfs);
    char path[300];
    snprintf (path, sizeof path, "%s/journal", folder);
    assert_int_equal (rmdir (path), 0);
    snprintf (path, sizeof path, "%s/lock", folder);
    assert_int_equal (unlink (path), 0);
    assert_int_equal (rmdir (folder), 0);
    sem_destroy (&go_on);
    sem_destroy (&entered);
}

static void writing_goes_on_during_a_sync_for_so_long (void **state)
{
    (void)state;
    char folder[] = "/tmp/baton-journal-thread-XXXXXX";
    bn_journal_thread_t *thread = open_slow (folder, 1);
    /*  Enough for several segments, some of them begun while the disk is at work.  */
    uint64_t sequence = 1;
    for (int i = 0; i < 5; i++) {
        atomic_store (&slow, 1);
        write_one (thread, sequence++);
        await (&entered);
        for (int k = 0; k < 200; k++)
            write_one (thread, sequence++);
        sem_post (&go_on);
    }
    atomic_store (&slow, 1);
    write_one (thread, sequence++);
    await (&entered);
    poll (NULL, 0, 1100); /* more than a power cut may take */
    bn_journal_job_t job = one_record (sequence);
    bn_journal_thread_submit (thread, &job);
    struct pollfd fd = {.fd = bn_journal_thread_fd (thread), .events = POLLIN};
    assert_int_equal (poll (&fd, 1, 50), 0);
    sem_post (&go_on);
    bn_journal_report_t report = await_report (thread);
    assert_int_equal (report.err, BATON_OK);
    assert_int_equal (report.durable_sequence, sequence);
    close_slow (&thread, folder);
}

static void a_sync_that_fails_is_the_last (void **state)
{
    (void)state;
    char folder[] = "/tmp/baton-journal-thread-XXXXXX";
    bn_journal_thread_t *thread = open_slow (folder, 1);
    atomic_store (&slow, 1);
    write_one (thread, 1);
    await (&entered);
    write_one (thread, 2);
    atomic_store (&broken, true);
    sem_post (&go_on);
    bn_journal_report_t report;
    do
        report = next_report (thread);
    while (!report.err);
    assert_int_equal (report.err, BATON_ERR_IO);
    assert_int_equal (report.durable_sequence, 2);
    close_slow (&thread, folder);
}

#define INTERVAL_MS 50

static atomic_int held;      /* writes to come that wait */
static atomic_int taken_off; /* handles opened for a sync */
static int (*plain_open) (bn_vfs_t *, const char *, bool, bool, bn_vfile_t **);
static int64_t (*plain_pwrite) (bn_vfs_t *, bn_vfile_t *, const void *, size_t, uint64_t);

static int counting_open (bn_vfs_t *self, const char *name, bool create, bool write,
                          bn_vfile_t **file)
{
    if (write && !create)
        atomic_fetch_add (&taken_off, 1);
    return plain_open (self, name, create, write, file);
}

static int64_t held_pwrite (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                            uint64_t at)
{
    bool of_records = at > 0 && size <= 4096; /* what is prepared is larger */
    if (of_records && atomic_load (&held) > 0) {
        atomic_fetch_sub (&held, 1);
        sem_post (&entered);
        await (&go_on);
    }
    return plain_pwrite (self, file, bytes, size, at);
}

/*  There is always a next job when one is done: a sync that became due meanwhile comes first.  */
static void a_sync_that_is_due_goes_before_the_next_job (void **state)
{
    (void)state;
    char folder[] = "/tmp/baton-journal-thread-XXXXXX";
    bn_journal_thread_t *thread = open_slow (folder, INTERVAL_MS);
    plain_open = vfs->open;
    plain_pwrite = vfs->pwrite;
    vfs->open = counting_open;
    vfs->pwrite = held_pwrite;
    uint64_t sequence = 1;
    int before;
    do {
        before = atomic_load (&taken_off);
        write_one (thread, sequence++);
        bn_journal_job_t job = one_record (sequence++);
        atomic_store (&held, 1);
        bn_journal_thread_submit (thread, &job);
        await (&entered);
        if (before == atomic_load (&taken_off))
            break;
        /*  This machine took its time: the sync was between the two.  */
        sem_post (&go_on);
        await_report (thread);
    } while (true);
    poll (NULL, 0, 2 * INTERVAL_MS);
    bn_journal_job_t job = one_record (sequence);
    bn_journal_thread_submit (thread, &job);
    atomic_store (&held, 1);
    sem_post (&go_on);
    await (&entered);
    assert_int_equal (atomic_load (&taken_off), before + 1);
    sem_post (&go_on);
    bn_journal_report_t report;
    do
        report = next_report (thread);
    while (report.durable_sequence < sequence);
    assert_int_equal (report.err, BATON_OK);
    close_slow (&thread, folder);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (no_room_to_prepare_stops_nobody),
        cmocka_unit_test (the_thread_in_a_run_that_hangs_is_relieved),
        cmocka_unit_test (a_run_that_hangs_and_fails_is_the_last),
        cmocka_unit_test (writing_goes_on_during_a_sync_for_so_long),
        cmocka_unit_test (a_sync_that_fails_is_the_last),
        cmocka_unit_test (a_sync_that_is_due_goes_before_the_next_job),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
