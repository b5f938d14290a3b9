/* SPDX-License-Identifier: MPL-2.0 */

/*  An orchestrator's thread over a disk that stops working: nothing is receipted any more, and the
 *  reason is told.  */

#include "integration/peer.h"
#include "orchestrator/config.h"
#include "orchestrator/service.h"
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 60

typedef struct {
    char directory[64];
    baton_orchestrator_options_t options;
    bn_recovered_t recovered;
    bn_sockets_t sockets;
    bn_service_t *service;
    pthread_t thread;
    int stop_fd;
    baton_err_t err;
    char detail[512];
} fixture_t;

static fixture_t fixture;

/*  The disk: errno that each call fails with; 0: works.  */
static atomic_int sync_errno, write_errno, read_errno, open_errno;
static atomic_bool flip; /* what is read is not what was written */
static atomic_bool hang; /* the next sync: says so in `hangs`, and waits for `go_on` */
static sem_t hangs, go_on;
static _Atomic uint64_t turned_ms; /* see service.h */
static int (*real_datasync) (bn_vfs_t *self, bn_vfile_t *file);
static int64_t (*real_pwrite) (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                               uint64_t at);
static int64_t (*real_pread) (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size,
                              uint64_t at);
static int (*real_open) (bn_vfs_t *self, const char *name, bool create, bool writable,
                         bn_vfile_t **file);

static void await (sem_t *semaphore)
{
    struct timespec until;
    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    while (sem_timedwait (semaphore, &until) != 0)
        assert_int_equal (errno, EINTR);
}

static int faulty_datasync (bn_vfs_t *self, bn_vfile_t *file)
{
    if (atomic_exchange (&hang, false)) {
        sem_post (&hangs);
        await (&go_on);
    }
    int error = atomic_load (&sync_errno);
    return error ? -error : real_datasync (self, file);
}

static int64_t faulty_pwrite (bn_vfs_t *self, bn_vfile_t *file, const void *bytes, size_t size,
                              uint64_t at)
{
    int error = atomic_load (&write_errno);
    return error ? -error : real_pwrite (self, file, bytes, size, at);
}

static int64_t faulty_pread (bn_vfs_t *self, bn_vfile_t *file, void *bytes, size_t size,
                             uint64_t at)
{
    int error = atomic_load (&read_errno);
    int64_t rc = error ? -error : real_pread (self, file, bytes, size, at);
    if (rc > 0 && atomic_load (&flip))
        ((uint8_t *)bytes)[0] ^= 1;
    return rc;
}

static int faulty_open (bn_vfs_t *self, const char *name, bool create, bool writable,
                        bn_vfile_t **file)
{
    int error = atomic_load (&open_errno);
    return error ? -error : real_open (self, name, create, writable, file);
}

static void *run (void *arg)
{
    (void)arg;
    fixture.err = bn_service_run (fixture.service, fixture.detail);
    return NULL;
}

static void open_all (void)
{
    char detail[512] = "";
    bn_recovery_options_t recovery = {
        .data_dir = fixture.directory,
        .segment_bytes = 1024 * 1024,
        .record_bytes_max = 16 * 1024 * 1024,
        .producers_max = 100,
    };
    assert_int_equal (bn_recover (&fixture.recovered, &recovery, detail), BATON_OK);
    bn_vfs_t *vfs = fixture.recovered.vfs;
    real_datasync = vfs->datasync;
    real_pwrite = vfs->pwrite;
    vfs->datasync = faulty_datasync;
    vfs->pwrite = faulty_pwrite;
    real_pread = vfs->pread;
    real_open = vfs->open;
    vfs->pread = faulty_pread;
    vfs->open = faulty_open;
    assert_int_equal (bn_sockets_open (&fixture.sockets, &fixture.options, detail), BATON_OK);
    bn_service_options_t options = {
        .options = &fixture.options,
        .recovered = &fixture.recovered,
        .sockets = &fixture.sockets,
        .stop_fd = fixture.stop_fd,
        .turned_ms = &turned_ms,
    };
    assert_int_equal (bn_service_new (&fixture.service, &options), BATON_OK);
    assert_int_equal (pthread_create (&fixture.thread, NULL, run, NULL), 0);
}

static void close_all (void)
{
    pthread_join (fixture.thread, NULL);
    bn_service_destroy (&fixture.service);
    bn_sockets_close (&fixture.sockets, 0);
    bn_recovered_fini (&fixture.recovered);
}

static int setup (void **state)
{
    (void)state;
    char detail[512];
    baton_orchestrator_options_t options = {
        .endpoint = "tcp://127.0.0.1:*",
        .partitions = 4,
        .disk_reserve_bytes = 1,
        .segment_bytes = 1024 * 1024,
    };
    strcpy (fixture.directory, "/tmp/baton-test-XXXXXX");
    assert_non_null (mkdtemp (fixture.directory));
    assert_int_equal (bn_orchestrator_options_fill (&fixture.options, &options, detail), BATON_OK);
    fixture.stop_fd = eventfd (0, EFD_CLOEXEC);
    atomic_store (&sync_errno, 0);
    atomic_store (&write_errno, 0);
    atomic_store (&read_errno, 0);
    atomic_store (&open_errno, 0);
    atomic_store (&flip, false);
    atomic_store (&hang, false);
    sem_init (&hangs, 0, 0);
    sem_init (&go_on, 0, 0);
    return 0;
}

static int remove_entry (const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove (path);
}

static int teardown (void **state)
{
    (void)state;
    close (fixture.stop_fd);
    sem_destroy (&hangs);
    sem_destroy (&go_on);
    return nftw (fixture.directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/*  Publishes once well, then with the disk failing, and looks at what is left.  */
static void fail_while_publishing (atomic_int *fault, int error)
{
    open_all ();
    peer_t peer;
    peer_init (&peer, fixture.sockets.endpoint);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 3, 0)->type, BN_RECEIPT);
    atomic_store (fault, error);
    peer_publish_only (&peer, 11, 2, "a.b", 3, 0);
    pthread_join (fixture.thread, NULL);
    assert_int_equal (fixture.err, error == ENOSPC ? BATON_ERR_DISK_FULL : BATON_ERR_IO);
    assert_non_null (strstr (fixture.detail, strerror (error)));
    assert_null (peer_receive (&peer, 200));
    peer_fini (&peer);
    bn_service_destroy (&fixture.service);
    bn_sockets_close (&fixture.sockets, 0);
    bn_recovered_fini (&fixture.recovered);

    /*  A start on a disk that works again has what was receipted; the rest it may have or not.  */
    atomic_store (fault, 0);
    open_all ();
    peer_init (&peer, fixture.sockets.endpoint);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_true (peer.tail == 3 || peer.tail == 6);
    assert_int_equal (peer.producer_sequence, peer.tail / 3);
    const bn_message_t *reply = peer_publish (&peer, 11, 2, "a.b", 3, 0);
    assert_int_equal (reply->type, BN_RECEIPT);
    assert_int_equal (reply->receipt.base, 3);
    peer_fini (&peer);
    uint64_t one = 1;
    assert_int_equal (write (fixture.stop_fd, &one, sizeof one), sizeof one);
    close_all ();
    assert_int_equal (fixture.err, BATON_OK);
}

static void test_no_receipt_after_a_failed_sync (void **state)
{
    (void)state;
    fail_while_publishing (&sync_errno, EIO);
}

static void test_no_receipt_after_a_failed_write (void **state)
{
    (void)state;
    fail_while_publishing (&write_errno, EIO);
}

static void test_no_receipt_after_a_write_without_room (void **state)
{
    (void)state;
    fail_while_publishing (&write_errno, ENOSPC);
}

static void stop_all (void)
{
    uint64_t one = 1;
    assert_int_equal (write (fixture.stop_fd, &one, sizeof one), sizeof one);
    close_all ();
    assert_int_equal (fixture.err, BATON_OK);
}

static void expect_text (const bn_message_t *reply, const char *text)
{
    char all[BATON_ATTRIBUTE_BYTES_MAX + 1];
    snprintf (all, sizeof all, "%.*s", (int)reply->error.text.size, reply->error.text.text);
    if (!strstr (all, text))
        fail_msg ("\"%s\" is not in: %s", text, all);
}

/*  A read that the system refuses is no loss: who asks again gets everything.  */
static void fail_while_reading (atomic_int *fault, int error)
{
    open_all ();
    peer_t producer, reader;
    peer_init (&producer, fixture.sockets.endpoint);
    peer_hello (&producer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&producer, 11, 1, "a.b", 3, 0)->type, BN_RECEIPT);
    peer_init (&reader, fixture.sockets.endpoint);
    peer_hello (&reader, BN_ROLE_ADMIN, 12);
    atomic_store (fault, error);
    for (int i = 0; i < 3; i++) {
        const bn_message_t *reply = peer_read (&reader, 0, 1000);
        assert_int_equal (reply->type, BN_ERROR);
        assert_int_equal (reply->error.code, BATON_ERR_UNREADABLE);
        assert_true (reply->error.retriable);
        expect_text (reply, strerror (error));
        expect_text (reply, ".seg");
    }
    /*  Publishing goes on meanwhile.  */
    assert_int_equal (peer_publish (&producer, 11, 2, "a.b", 3, 0)->type, BN_RECEIPT);
    atomic_store (fault, 0);
    const bn_message_t *reply = peer_read (&reader, 0, 1000);
    assert_int_equal (reply->type, BN_EVENTS);
    assert_int_equal (reply->events.section_count, 6);
    assert_int_equal (reply->events.scanned_to, 6);
    peer_fini (&reader);
    peer_fini (&producer);
    stop_all ();
}

static void test_a_failed_read_is_retriable (void **state)
{
    (void)state;
    fail_while_reading (&read_errno, EIO);
}

static void test_a_failed_open_is_retriable (void **state)
{
    (void)state;
    fail_while_reading (&open_errno, EMFILE);
}

static void test_rot_is_not_retriable (void **state)
{
    (void)state;
    open_all ();
    peer_t peer;
    peer_init (&peer, fixture.sockets.endpoint);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    assert_int_equal (peer_publish (&peer, 11, 1, "a.b", 3, 0)->type, BN_RECEIPT);
    peer_hello (&peer, BN_ROLE_ADMIN, 12);
    atomic_store (&flip, true);
    const bn_message_t *reply = peer_read (&peer, 0, 1000);
    assert_int_equal (reply->type, BN_ERROR);
    assert_int_equal (reply->error.code, BATON_ERR_ROT);
    assert_false (reply->error.retriable);
    expect_text (reply, ".seg, byte ");
    peer_fini (&peer);
    stop_all ();
}

/*  Publishes an event whose sync hangs: the service goes on turning, and nobody hears of it.  */
static void publish_into_a_hanging_disk (peer_t *peer, uint64_t sequence)
{
    atomic_store (&hang, true);
    peer_publish_only (peer, 11, sequence, "a.b", 1, 0);
    await (&hangs);
    for (int i = 0; i < 3; i++) {
        atomic_store (&turned_ms, 0);
        for (int waited_ms = 0; atomic_load (&turned_ms) == 0; waited_ms++) {
            assert_true (waited_ms < DEADLINE_S * 1000);
            poll (NULL, 0, 1);
        }
    }
    assert_null (peer_receive (peer, 0));
}

static void expect_receipt (peer_t *peer, uint64_t base)
{
    const bn_message_t *reply = peer_receive (peer, DEADLINE_S * 1000);
    assert_non_null (reply);
    assert_int_equal (reply->type, BN_RECEIPT);
    assert_int_equal (reply->receipt.base, base);
}

/*  Over and over, so that each of the two threads serves and hangs.  */
static void test_a_sync_that_hangs_stops_receipts_alone (void **state)
{
    (void)state;
    open_all ();
    peer_t peer, other;
    peer_init (&peer, fixture.sockets.endpoint);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    peer_init (&other, fixture.sockets.endpoint);
    peer_hello (&other, BN_ROLE_PRODUCER, 12);
    for (uint64_t sequence = 1; sequence <= 10; sequence++) {
        publish_into_a_hanging_disk (&peer, sequence);
        peer_publish_only (&other, 12, sequence, "a.b", 1, 0);
        assert_null (peer_receive (&other, 10));
        sem_post (&go_on);
        expect_receipt (&peer, 2 * (sequence - 1));
        expect_receipt (&other, 2 * (sequence - 1) + 1);
    }
    peer_fini (&other);
    peer_fini (&peer);
    stop_all ();
}

static void test_no_receipt_after_a_sync_that_hung_and_failed (void **state)
{
    (void)state;
    open_all ();
    peer_t peer;
    peer_init (&peer, fixture.sockets.endpoint);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    publish_into_a_hanging_disk (&peer, 1);
    atomic_store (&sync_errno, EIO);
    sem_post (&go_on);
    close_all ();
    assert_int_equal (fixture.err, BATON_ERR_IO);
    assert_null (peer_receive (&peer, 200));
    peer_fini (&peer);
}

static void test_a_stop_waits_for_a_sync_that_hangs (void **state)
{
    (void)state;
    open_all ();
    peer_t peer;
    peer_init (&peer, fixture.sockets.endpoint);
    peer_hello (&peer, BN_ROLE_PRODUCER, 11);
    publish_into_a_hanging_disk (&peer, 1);
    uint64_t one = 1;
    assert_int_equal (write (fixture.stop_fd, &one, sizeof one), sizeof one);
    assert_null (peer_receive (&peer, 10));
    sem_post (&go_on);
    expect_receipt (&peer, 0);
    close_all ();
    assert_int_equal (fixture.err, BATON_OK);
    peer_fini (&peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (test_no_receipt_after_a_failed_sync),
        TEST (test_no_receipt_after_a_failed_write),
        TEST (test_no_receipt_after_a_write_without_room),
        TEST (test_a_failed_read_is_retriable),
        TEST (test_a_failed_open_is_retriable),
        TEST (test_rot_is_not_retriable),
        TEST (test_a_sync_that_hangs_stops_receipts_alone),
        TEST (test_no_receipt_after_a_sync_that_hung_and_failed),
        TEST (test_a_stop_waits_for_a_sync_that_hangs),
    };
    return cmocka_run_group_tests_name ("disk_failure", tests, NULL, NULL);
}
