/* SPDX-License-Identifier: MPL-2.0 */

/*  Every allocation and every call of the disk fails, once or from then on. The journal says so by
 *  a code, crashes nowhere, and never lies: what a sync vouched for is there afterwards, unchanged,
 *  also after a power cut right behind the failure.
 *
 *  malloc, calloc and realloc are wrapped by the linker; the tape's own allocations are left
 *  alone.  */
#include "journal/views.h"
#include "support/tape.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*  ---- memory that runs out ---- */

static bool armed;
static uint64_t allocations, fail_from, fail_to;

void *__real_malloc (size_t size);
void *__real_calloc (size_t count, size_t size);
void *__real_realloc (void *memory, size_t size);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t count, size_t size);
void *__wrap_realloc (void *memory, size_t size);

static bool out_of_memory (void)
{
    if (!armed || tape_busy > 0)
        return false;
    uint64_t number = allocations++;
    return number >= fail_from && number < fail_to;
}

void *__wrap_malloc (size_t size)
{
    return out_of_memory () ? NULL : __real_malloc (size);
}

void *__wrap_calloc (size_t count, size_t size)
{
    return out_of_memory () ? NULL : __real_calloc (count, size);
}

void *__wrap_realloc (void *memory, size_t size)
{
    return out_of_memory () ? NULL : __real_realloc (memory, size);
}

/*  ---- a life ---- */

#define LIFE_STEPS 60
#define BATCH      7

typedef struct {
    tape_t *tape;
    bn_vfs_t *vfs;
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_options_t options;
    bn_journal_recovery_t recovery;
    uint64_t trusted;
    uint64_t receipted;
    uint64_t written;
    uint64_t next;
    const char *lie;
    char detail[512];
} life_t;

static baton_err_t open_life (life_t *self, bn_journal_replay_fn *replay)
{
    *self->detail = '\0';
    baton_err_t err = bn_journal_open (&self->writer, &self->reader, self->vfs, &self->options,
                                       self->trusted, replay, self, &self->recovery, self->detail);
    self->next = self->recovery.sequence_next;
    if (!err)
        self->receipted = self->next - 1;
    if (err && !*self->detail)
        self->lie = "an error without a reason";
    if (!err && bn_journal_reader_first (self->reader) != self->recovery.first_base)
        self->lie = "the reader begins elsewhere";
    return err;
}

static baton_err_t append (life_t *self)
{
    uint8_t bodies[BATCH][160];
    bn_journal_record_t records[BATCH];
    for (uint64_t i = 0; i < BATCH; i++) {
        uint64_t n = self->next + i;
        record_fill (n, bodies[i]);
        records[i] = (bn_journal_record_t){.type = RECORD_TYPE,
                                           .sequence = n,
                                           .base = record_base (n),
                                           .count = record_count (n),
                                           .time_us = record_time (n),
                                           .body = bodies[i],
                                           .body_size = record_size (n)};
    }
    if (self->written < self->next + BATCH - 1)
        self->written = self->next + BATCH - 1;
    baton_err_t err = bn_journal_write (self->writer, records, BATCH, self->detail);
    if (!err)
        self->next += BATCH;
    return err;
}

/*  Reads what is durable; an error is fine, another record is not.  */
static baton_err_t read_all (life_t *self)
{
    bn_extent_t extents[8];
    for (size_t got; (got = bn_journal_writer_extents (self->writer, extents, 8)) > 0;)
        bn_journal_reader_learn (self->reader, extents, got);
    bn_journal_reader_durable (self->reader, self->receipted);
    uint64_t first = self->receipted > 40 ? self->receipted - 40 : 1;
    baton_err_t err = bn_journal_seek (self->reader, record_base (first), self->detail);
    uint64_t shown = 0;
    for (bool end = false; !err && !end;) {
        bn_journal_record_t record;
        err = bn_journal_next (self->reader, &record, &end, self->detail);
        if (err || end)
            continue;
        if (record.sequence > self->receipted || (shown > 0 && record.sequence != shown + 1) ||
            record_differs (&record, record.sequence))
            self->lie = "the reader shows what is not so";
        shown = record.sequence;
    }
    if (!err && self->receipted > 0 && shown != self->receipted)
        self->lie = "the reader stops before the end";
    /*  A failure to allocate or to read is not damage.  */
    if (err == BATON_ERR_ROT)
        self->lie = "the reader takes a failure for rot";
    return err;
}

static baton_err_t step (life_t *self, int number)
{
    uint64_t base, first;
    if (number % 10 == 9)
        return read_all (self);
    if (number % 6 == 5)
        return bn_journal_prepare (self->writer, self->detail);
    if (number % 15 == 13 && self->receipted > 60) {
        self->trusted = self->receipted;
        return bn_journal_trim (self->writer, record_base (self->receipted - 50), self->trusted,
                                &base, &first, self->detail);
    }
    baton_err_t err = append (self);
    if (!err && number % 3 != 0) {
        err = bn_journal_sync (self->writer, self->detail);
        if (!err)
            self->receipted = self->next - 1;
    }
    return err;
}

static void close_life (life_t *self)
{
    bn_journal_reader_destroy (&self->reader);
    bn_journal_writer_destroy (&self->writer);
}

/*  Until the first error that ends it; the reader's errors and a full disk while preparing do
 *  not.  */
static baton_err_t live (life_t *self)
{
    baton_err_t first = BATON_OK;
    for (int process = 0; process < 2; process++) {
        baton_err_t err = open_life (self, NULL);
        for (int i = 0; i < LIFE_STEPS && !err; i++) {
            err = step (self, i);
            if (err && !first)
                first = err;
            if (i % 10 == 9 || (i % 6 == 5 && err == BATON_ERR_DISK_FULL))
                err = BATON_OK;
        }
        if (!err && process == 0)
            close_life (self);
        if (err)
            return err;
    }
    return first;
}

static baton_err_t check_replay (const bn_journal_record_t *record, void *arg)
{
    life_t *self = arg;
    if (record->sequence != ++self->written || record_differs (record, record->sequence))
        self->lie = "a replayed record is not what was written";
    return BATON_OK;
}

static tape_fate_t lost (size_t sector, size_t sectors, void *arg)
{
    (void)sector;
    (void)sectors;
    (void)arg;
    return (tape_fate_t){.newest = false};
}

/*  A healthy process opens what is left.  */
static void check_disk (const life_t *life, tape_t *disk, const char *what, uint64_t number)
{
    life_t after = {.tape = disk, .options = life->options, .trusted = life->trusted};
    after.written = life->trusted;
    after.vfs = tape_vfs (disk);
    baton_err_t err = open_life (&after, check_replay);
    uint64_t last = after.recovery.sequence_next - 1;
    if (err || after.lie)
        fail_msg ("%s %llu: afterwards: %s", what, (unsigned long long)number,
                  err ? after.detail : after.lie);
    if (last < life->receipted || last > life->written)
        fail_msg ("%s %llu: %llu receipted, %llu written, %llu found", what,
                  (unsigned long long)number, (unsigned long long)life->receipted,
                  (unsigned long long)life->written, (unsigned long long)last);
    close_life (&after);
    after.vfs->destroy (&after.vfs);
}

/*  As the process left it, and as a power cut leaves it that takes all that was not synced.  */
static void check_after (life_t *life, const char *what, uint64_t number)
{
    tape_player_t *player = tape_player_new (life->tape);
    while (tape_player_step (player))
        ;
    tape_t *cut = tape_player_cut (player, 0, lost, NULL);
    tape_player_destroy (&player);
    check_disk (life, cut, what, number);
    tape_destroy (&cut);
    tape_t *copy = tape_copy (life->tape);
    check_disk (life, copy, what, number);
    tape_destroy (&copy);
}

static life_t new_life (void)
{
    life_t life = {.options = {.segment_bytes = SMALL_SEGMENT, .salt = 99}, .tape = tape_new ()};
    tape_record (life.tape);
    life.vfs = tape_vfs (life.tape);
    return life;
}

static void end_life (life_t *life)
{
    tape_destroy (&life->tape);
}

/*  ---- memory ---- */

static void every_allocation_of_the_journal_fails (void **state)
{
    (void)state;
    uint64_t cases = 0, refused = 0;
    for (int forever = 0; forever < 2; forever++) {
        bool reached = true;
        for (uint64_t number = 0; reached; number++) {
            life_t life = new_life ();
            allocations = 0;
            fail_from = number;
            fail_to = forever ? UINT64_MAX : number + 1;
            armed = true;
            baton_err_t err = live (&life);
            /*  Closing, too, without memory.  */
            close_life (&life);
            armed = false;
            reached = allocations > number;
            if (life.lie)
                fail_msg ("allocation %llu: %s", (unsigned long long)number, life.lie);
            if (err && err != BATON_ERR_MEMORY)
                fail_msg ("allocation %llu: error %d, %s", (unsigned long long)number, err,
                          life.detail);
            check_after (&life, forever ? "no memory from allocation" : "allocation", number);
            life.vfs->destroy (&life.vfs);
            end_life (&life);
            cases++;
            refused += err != BATON_OK;
        }
    }
    printf ("%llu failing allocations, %llu of them reported\n", (unsigned long long)cases,
            (unsigned long long)refused);
    assert_true (refused > 30);
}

/*  ---- the views ---- */

static int remove_entry (const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove (path);
}

typedef struct {
    uint32_t items;
    uint64_t sum;
} views_seen_t;

static baton_err_t see_item (const void *key, size_t key_size, const void *value, size_t value_size,
                             void *arg)
{
    views_seen_t *self = arg;
    if (key_size == 4 && value_size == 4 && memcmp (key, value, 4) == 0) {
        uint32_t number;
        memcpy (&number, key, 4);
        self->sum += number;
    }
    self->items++;
    return BATON_OK;
}

static baton_err_t write_views (const char *directory, uint64_t sequence, uint32_t items)
{
    char detail[512] = "";
    bn_views_t *views;
    uint64_t loaded;
    views_seen_t seen = {.items = 0};
    baton_err_t err = bn_views_open (&views, directory, detail);
    if (!err)
        err = bn_views_load (views, &loaded, see_item, &seen, detail);
    bn_checkpoint_t *checkpoint = err ? NULL : bn_checkpoint_new (sequence);
    if (!err && !checkpoint)
        err = BATON_ERR_MEMORY;
    for (uint32_t i = 0; i < items && !err; i++)
        if (!bn_checkpoint_put (&i, sizeof i, &i, sizeof i, checkpoint))
            err = BATON_ERR_MEMORY;
    if (!err)
        err = bn_views_write (views, checkpoint, detail);
    bn_checkpoint_destroy (&checkpoint);
    bn_views_close (&views);
    return err;
}

/*  The old checkpoint or the new one, whole, whatever allocation failed in between.  */
static void every_allocation_of_the_views_fails (void **state)
{
    (void)state;
    char directory[] = "/tmp/baton-failures-XXXXXX", views[64];
    assert_non_null (mkdtemp (directory));
    snprintf (views, sizeof views, "%s/views", directory);
    assert_int_equal (write_views (views, 1, 10), BATON_OK);
    uint64_t cases = 0, refused = 0, valid = 1;
    for (int forever = 0; forever < 2; forever++) {
        bool reached = true;
        for (uint64_t number = 0; reached; number++) {
            allocations = 0;
            fail_from = number;
            fail_to = forever ? UINT64_MAX : number + 1;
            armed = true;
            uint64_t sequence = 2 + cases;
            baton_err_t err = write_views (views, sequence, (uint32_t)(10 * sequence));
            armed = false;
            reached = allocations > number;
            if (!err)
                valid = sequence;
            bn_views_t *opened;
            uint64_t loaded = 0;
            views_seen_t seen = {.items = 0};
            char detail[512] = "";
            if (bn_views_open (&opened, views, detail) ||
                bn_views_load (opened, &loaded, see_item, &seen, detail))
                fail_msg ("allocation %llu: %s", (unsigned long long)number, detail);
            bn_views_close (&opened);
            uint64_t items = 10 * valid;
            assert_int_equal (loaded, valid);
            assert_int_equal (seen.items, items);
            assert_int_equal (seen.sum, items * (items - 1) / 2);
            cases++;
            refused += err != BATON_OK;
            if (err && err != BATON_ERR_MEMORY)
                fail_msg ("allocation %llu: error %d", (unsigned long long)number, err);
        }
    }
    printf ("%llu failing allocations of the views, %llu of them reported\n",
            (unsigned long long)cases, (unsigned long long)refused);
    nftw (directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    assert_true (refused > 5);
}

/*  ---- the disk ---- */

static void every_call_of_the_disk_fails (void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EACCES, ENOMEM};
    uint64_t cases = 0, refused = 0;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (int forever = 0; forever < 2; forever++) {
            bool reached = true;
            for (uint64_t call = 0; reached; call++) {
                life_t life = new_life ();
                tape_fail (life.tape, call, forever ? UINT64_MAX : 1, errors[e]);
                baton_err_t err = live (&life);
                reached = tape_calls (life.tape) > call;
                if (life.lie)
                    fail_msg ("%s at call %llu: %s", strerror (errors[e]), (unsigned long long)call,
                              life.lie);
                if (err == BATON_ERR_ROT)
                    fail_msg ("%s at call %llu is taken for rot: %s", strerror (errors[e]),
                              (unsigned long long)call, life.detail);
                close_life (&life);
                tape_fail (life.tape, 0, 0, 0);
                check_after (&life, strerror (errors[e]), call);
                life.vfs->destroy (&life.vfs);
                end_life (&life);
                cases++;
                refused += err != BATON_OK;
            }
        }
    printf ("%llu failing calls, %llu of them reported\n", (unsigned long long)cases,
            (unsigned long long)refused);
    assert_true (refused > 1000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_allocation_of_the_journal_fails),
        cmocka_unit_test (every_allocation_of_the_views_fails),
        cmocka_unit_test (every_call_of_the_disk_fails),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
