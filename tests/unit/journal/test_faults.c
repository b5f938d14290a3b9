/* SPDX-License-Identifier: MPL-2.0 */

/*  A disk that fails, fills up or loses power at each call in turn. What had its receipt is there
 *  afterwards (G1), what is there is a prefix of what was written, and it goes on from there.  */
#include "base/prng.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <string.h>

#define SEEDS 6

typedef struct {
    uint64_t synced;     /* last record with a receipt */
    uint64_t checkpoint; /* what the views include; trims follow it */
    uint64_t written;    /* last record that was handed over */
    baton_err_t err;
    bool final; /* the error must stick */
} life_t;

/*  A life of a process: opens, writes, syncs, trims, prepares, reads; ends at the first error.  */
static void live (fixture_t *f, life_t *life, uint64_t seed)
{
    bn_prng_t prng;
    bn_prng_init (&prng, seed);
    life->final = false;
    life->err = fixture_open (f, life->checkpoint);
    if (life->err)
        return;
    life->synced = f->next - 1;
    for (int i = 0; i < 25 && !life->err; i++) {
        uint64_t count = 1 + bn_prng_below (&prng, 12);
        life->written = f->next + count - 1;
        life->final = true;
        life->err = fixture_write (f, count);
        if (!life->err && bn_prng_below (&prng, 4) > 0) {
            life->err = bn_journal_sync (f->writer, f->detail);
            if (!life->err)
                life->synced = f->next - 1;
        }
        if (!life->err && bn_prng_below (&prng, 4) == 0) {
            life->err = bn_journal_prepare (f->writer, f->detail);
            life->final = life->err != BATON_ERR_DISK_FULL;
        }
        if (!life->err && bn_prng_below (&prng, 5) == 0 && life->synced > 40) {
            uint64_t base, first;
            life->checkpoint = life->synced;
            life->final = true;
            life->err = bn_journal_trim (f->writer, record_base (life->synced - 30),
                                         life->checkpoint, &base, &first, f->detail);
        }
    }
}

/*  Opens after whatever happened, checks what is there, and that it works.  */
static void check_recovered (fixture_t *f, life_t *life, const char *what, uint64_t call)
{
    baton_err_t err = fixture_open (f, life->checkpoint);
    if (err)
        fail_msg ("%s at call %llu: %s", what, (unsigned long long)call, f->detail);
    uint64_t last = f->next - 1;
    if (last < life->synced || last > life->written)
        fail_msg ("%s at call %llu: %llu synced, %llu written, %llu recovered", what,
                  (unsigned long long)call, (unsigned long long)life->synced,
                  (unsigned long long)life->written, (unsigned long long)last);
    if (last > life->checkpoint) {
        assert_int_equal (f->first_replayed, life->checkpoint + 1);
        assert_int_equal (f->last_replayed, last);
    }
    fixture_expect (f, f->recovery.first_sequence, last);
    assert_int_equal (fixture_append (f, 40), BATON_OK);
    fixture_expect (f, last + 1, last + 40);
    /*  What was accepted is on disk, and so is what followed.  */
    fixture_crash (f);
    if (fixture_open (f, life->checkpoint) != BATON_OK)
        fail_msg ("%s at call %llu, then another power cut: %s", what, (unsigned long long)call,
                  f->detail);
    assert_int_equal (f->next, last + 41);
}

static void power_may_go_at_any_call (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool reached = true;
        for (uint64_t call = 0; reached; call++) {
            fixture_t f;
            life_t life = {.synced = 0};
            fixture_init (&f, seed * 1000 + call, SMALL_SEGMENT);
            bn_disk_crash_at (f.disk, call);
            live (&f, &life, seed);
            fixture_abandon (&f);
            reached = bn_disk_calls (f.disk) > call;
            check_recovered (&f, &life, "power cut", call);
            fixture_fini (&f);
        }
    }
}

/*  And again while it recovers from that, several times in a row.  */
static void power_may_go_during_recovery (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        bn_prng_t prng;
        bn_prng_init (&prng, seed);
        fixture_t f;
        life_t life = {.synced = 0};
        fixture_init (&f, seed, SMALL_SEGMENT);
        for (int round = 0; round < 6; round++) {
            /*  Most often in the middle of something, sometimes right after opening.  */
            uint64_t within = bn_prng_below (&prng, 2) ? 30 : 200;
            uint64_t written = life.written;
            bn_disk_crash_at (f.disk, bn_disk_calls (f.disk) + bn_prng_below (&prng, within));
            live (&f, &life, bn_prng_next (&prng));
            if (life.err && life.err != BATON_ERR_IO)
                fail_msg ("seed %llu: %s", (unsigned long long)seed, f.detail);
            fixture_crash (&f);
            /*  A life that never opened has written nothing new.  */
            if (life.written < written)
                life.written = written;
        }
        check_recovered (&f, &life, "repeated power cuts, seed", seed);
        fixture_fini (&f);
    }
}

static baton_err_t expected_code (int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return BATON_ERR_DISK_FULL;
    case EACCES:
    case EROFS:
        return BATON_ERR_PERMISSION;
    default:
        return BATON_ERR_IO;
    }
}

/*  After an error the writer does nothing more, and says the same again.  */
static void expect_sticky (fixture_t *f, const life_t *life)
{
    uint64_t base, first, calls = bn_disk_calls (f->disk);
    baton_err_t err = life->err;
    assert_int_equal (bn_journal_sync (f->writer, f->detail), err);
    assert_int_equal (fixture_write (f, 1), err);
    assert_int_equal (bn_journal_prepare (f->writer, f->detail), err);
    assert_int_equal (bn_journal_trim (f->writer, 0, 0, &base, &first, f->detail), err);
    bn_journal_writer_destroy (&f->writer);
    assert_int_equal (bn_disk_calls (f->disk), calls);
}

static void an_error_of_the_disk_is_final_and_loses_nothing (void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EACCES, EROFS};
    unsigned failures = 0, sticky = 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        bool reached = true;
        for (uint64_t call = 0; reached; call++) {
            fixture_t f;
            life_t life = {.synced = 0};
            fixture_init (&f, call, SMALL_SEGMENT);
            bn_disk_fail_at (f.disk, call, errors[i]);
            live (&f, &life, 7 + i);
            reached = bn_disk_calls (f.disk) > call;
            if (life.err) {
                failures++;
                assert_int_equal (life.err, expected_code (errors[i]));
                assert_non_null (strstr (f.detail, strerror (errors[i])));
            }
            if (life.err && f.writer && life.final) {
                sticky++;
                expect_sticky (&f, &life);
            } else if (life.err && f.writer) {
                /*  No room to prepare: there is again.  */
                assert_int_equal (bn_journal_prepare (f.writer, f.detail), BATON_OK);
                life.written = f.next;
                assert_int_equal (fixture_append (&f, 1), BATON_OK);
                life.synced = f.next - 1;
            }
            bn_disk_fail_at (f.disk, UINT64_MAX, 0);
            if (call % 2)
                fixture_kill (&f);
            else
                fixture_crash (&f);
            check_recovered (&f, &life, strerror (errors[i]), call);
            fixture_fini (&f);
        }
    }
    assert_true (failures > 500 && sticky > 300);
}

/*  After an fdatasync that failed, the page cache shows what the disk never got. Whatever opening
 *  accepts must survive a power cut all the same.  */
static void what_a_failed_sync_left_in_the_cache_is_written_again (void **state)
{
    (void)state;
    fixture_t f;
    fixture_init (&f, 1, 65536);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (fixture_append (&f, 20), BATON_OK);
    assert_int_equal (fixture_write (&f, 10), BATON_OK);
    bn_disk_fail_at (f.disk, bn_disk_calls (f.disk), EIO);
    assert_int_equal (bn_journal_sync (f.writer, f.detail), BATON_ERR_IO);
    fixture_kill (&f);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.last_replayed, 30);
    fixture_crash (&f);
    assert_int_equal (fixture_open (&f, 0), BATON_OK);
    assert_int_equal (f.last_replayed, 30);
    fixture_fini (&f);
}

/*  A sync in three parts: what was written before it began survives a power cut once it has ended,
 *  also if records and whole segments were written meanwhile; what the next records say of it is
 *  never more than that.  */
static void a_sync_beside_writing_keeps_what_it_began_with (void **state)
{
    (void)state;
    static const uint32_t meanwhile[] = {0, 1, 40, 400};
    for (size_t i = 0; i < sizeof meanwhile / sizeof *meanwhile; i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            fixture_t f;
            bn_journal_flight_t flight;
            fixture_init (&f, seed, 16384);
            assert_int_equal (fixture_open (&f, 0), BATON_OK);
            assert_int_equal (bn_journal_sync_begin (f.writer, &flight, f.detail), BATON_OK);
            assert_null (flight.file); /* nothing was written */
            assert_int_equal (fixture_write (&f, 10), BATON_OK);
            assert_int_equal (bn_journal_sync_begin (f.writer, &flight, f.detail), BATON_OK);
            assert_non_null (flight.file);
            bn_journal_sync_wait (&flight);
            assert_int_equal (fixture_write (&f, meanwhile[i]), BATON_OK);
            assert_int_equal (bn_journal_sync_end (f.writer, &flight, f.detail), BATON_OK);
            /*  What follows says what is synced, and is not itself.  */
            assert_int_equal (fixture_write (&f, 3), BATON_OK);
            fixture_crash (&f);
            assert_int_equal (fixture_open (&f, 0), BATON_OK);
            assert_in_range (f.last_replayed, 10, 10 + meanwhile[i] + 3);
            fixture_fini (&f);
        }
}

static void a_sync_beside_writing_that_fails_is_the_last (void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        fixture_t f;
        bn_journal_flight_t flight;
        fixture_init (&f, 1, 65536);
        assert_int_equal (fixture_open (&f, 0), BATON_OK);
        assert_int_equal (fixture_write (&f, 10), BATON_OK);
        if (which == 0)
            bn_disk_fail_at (f.disk, bn_disk_calls (f.disk), EIO);
        baton_err_t err = bn_journal_sync_begin (f.writer, &flight, f.detail);
        if (which == 1) {
            assert_int_equal (err, BATON_OK);
            bn_disk_fail_at (f.disk, bn_disk_calls (f.disk), EIO);
            bn_journal_sync_wait (&flight);
            err = bn_journal_sync_end (f.writer, &flight, f.detail);
            assert_null (flight.file);
        }
        assert_int_equal (err, BATON_ERR_IO);
        assert_int_equal (fixture_write (&f, 1), BATON_ERR_IO);
        assert_int_equal (bn_journal_sync_begin (f.writer, &flight, f.detail), BATON_ERR_IO);
        assert_null (flight.file);
        assert_int_equal (bn_journal_sync_end (f.writer, &flight, f.detail), BATON_ERR_IO);
        fixture_kill (&f);
        assert_int_equal (fixture_open (&f, 0), BATON_OK);
        fixture_fini (&f);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (power_may_go_at_any_call),
        cmocka_unit_test (power_may_go_during_recovery),
        cmocka_unit_test (an_error_of_the_disk_is_final_and_loses_nothing),
        cmocka_unit_test (what_a_failed_sync_left_in_the_cache_is_written_again),
        cmocka_unit_test (a_sync_beside_writing_keeps_what_it_began_with),
        cmocka_unit_test (a_sync_beside_writing_that_fails_is_the_last),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
