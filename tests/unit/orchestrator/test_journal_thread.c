/* SPDX-License-Identifier: MPL-2.0 */

/*  The journal's thread over a disk that has no room for the next segment.  */
#include "base/blob.h"
#include "orchestrator/journal_thread.h"
#include "support/disk.h"
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void write_one (bn_journal_thread_t *thread, uint64_t sequence)
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
    bn_journal_thread_submit (thread, &job);
    bn_journal_report_t report;
    do {
        struct pollfd fd = {.fd = bn_journal_thread_fd (thread), .events = POLLIN};
        assert_int_equal (poll (&fd, 1, DEADLINE_S * 1000), 1);
        bn_journal_thread_report (thread, &report);
        free (report.extents);
        assert_int_equal (report.err, BATON_OK);
    } while (!report.idle);
    assert_int_equal (report.durable_sequence, sequence);
}

static void no_room_to_prepare_stops_nobody (void **state)
{
    (void)state;
    sem_init (&refused, 0, 0);
    sem_init (&prepared, 0, 0);
    bn_disk_t *disk = bn_disk_new (1);
    bn_vfs_t *vfs = bn_disk_vfs (disk);
    bn_journal_thread_options_t options = {.sync = BN_SYNC_ALWAYS};
    bn_journal_options_t journal = {.segment_bytes = SEGMENT_BYTES};
    bn_journal_reader_t *reader;
    bn_journal_recovery_t recovery;
    char detail[512];
    assert_int_equal (
        bn_journal_open (&options.writer, &reader, vfs, &journal, 0, NULL, NULL, &recovery, detail),
        BATON_OK);
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
    bn_journal_reader_destroy (&reader);
    bn_journal_writer_destroy (&options.writer);
    vfs->destroy (&vfs);
    bn_disk_destroy (&disk);
    sem_destroy (&refused);
    sem_destroy (&prepared);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (no_room_to_prepare_stops_nobody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
