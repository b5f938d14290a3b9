/* SPDX-License-Identifier: MPL-2.0 */

/*  Every crash point: the journal lives a scripted life on a disk that records it, and then power
 *  is cut after each single write, sync and directory operation, with each class of outcome for the
 *  sectors that were not synced. What opening makes of it is compared with a model that knows three
 *  numbers: what has its receipt, what the views include, what was ever written.
 *
 *    test_journal_crash_points [CASES [LIVES]]     about so many cases; 0: all of them  */
#include "base/prng.h"
#include "support/tape.h"
#include "unit/journal/fixture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES SMALL_SEGMENT
#ifndef CASES_DEFAULT /* fewer where a build is slow */
#define CASES_DEFAULT 250000
#endif
#define LIVES_DEFAULT 8
#define SINGLES_MAX   64  /* sectors that are kept or lost alone, at one crash point */
#define RANDOM_CASES  100 /* at one crash point and state of the directory */
#define FOLLOW_UP     16  /* one case in so many goes on writing after recovery */
#define AGAIN         64  /* in one case in so many power goes again, anywhere in the recovery */
#define AGAIN_CASES   6   /* at one crash point of that */

/*  What is known to be true from an operation on.  */
typedef struct {
    size_t operation;
    uint64_t receipted;
    uint64_t written;
    uint64_t trusted; /* the views include it */
    uint64_t trimmed; /* records below may be gone */
} known_t;

typedef struct {
    tape_t *tape;
    bn_vfs_t *vfs;
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_recovery_t recovery;
    bn_journal_options_t options;
    known_t now;
    known_t *known; /* owned */
    size_t known_count;
    uint64_t next;
    char detail[512];
} life_t;

static uint64_t cases_wanted = CASES_DEFAULT, lives = LIVES_DEFAULT;
static uint64_t cases, cases_again, points, operations, case_number, stride = 1;

/*  ---- the script ---- */

static void know (life_t *self)
{
    self->known = realloc (self->known, (self->known_count + 1) * sizeof *self->known);
    assert_non_null (self->known);
    self->now.operation = tape_operations (self->tape);
    self->known[self->known_count++] = self->now;
}

static void append (life_t *self, uint64_t count)
{
    uint8_t bodies[64][160];
    bn_journal_record_t records[64];
    assert_true (count <= 64);
    for (uint64_t i = 0; i < count; i++) {
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
    self->next += count;
    self->now.written = self->next - 1;
    know (self);
    assert_int_equal (bn_journal_write (self->writer, records, count, self->detail), BATON_OK);
}

static void sync (life_t *self)
{
    /*  The commit frame behind the sync is no part of the promise: the sync is.  */
    assert_int_equal (bn_journal_sync (self->writer, self->detail), BATON_OK);
    self->now.receipted = self->next - 1;
    know (self);
}

static void trim (life_t *self, uint64_t keep)
{
    uint64_t base, first;
    self->now.trusted = self->now.receipted;
    if (self->now.trimmed < self->now.receipted - keep)
        self->now.trimmed = self->now.receipted - keep;
    know (self);
    assert_int_equal (bn_journal_trim (self->writer, record_base (self->now.trimmed),
                                       self->now.trusted, &base, &first, self->detail),
                      BATON_OK);
}

static void open_life (life_t *self)
{
    self->vfs = tape_vfs (self->tape);
    assert_int_equal (bn_journal_open (&self->writer, &self->reader, self->vfs, &self->options,
                                       self->now.trusted, NULL, NULL, &self->recovery,
                                       self->detail),
                      BATON_OK);
    self->next = self->recovery.sequence_next;
    /*  Whoever opened may tell of what it found.  */
    self->now.receipted = self->next - 1;
    know (self);
}

static void close_life (life_t *self, bool cleanly)
{
    bn_journal_reader_destroy (&self->reader);
    if (cleanly) {
        /*  Closing syncs.  */
        bn_journal_writer_destroy (&self->writer);
        self->now.receipted = self->next - 1;
        know (self);
    } else {
        /*  The process dies: nothing of what closing does reaches the disk.  */
        tape_fail (self->tape, 0, UINT64_MAX, EIO);
        bn_journal_writer_destroy (&self->writer);
        tape_fail (self->tape, 0, 0, 0);
    }
    self->vfs->destroy (&self->vfs);
}

static void live (life_t *self, uint64_t seed)
{
    bn_prng_t prng;
    bn_prng_init (&prng, seed);
    *self = (life_t){.options = {.segment_bytes = SEGMENT_BYTES, .salt = 4711 + seed}};
    self->tape = tape_new ();
    tape_record (self->tape);
    for (int process = 0; process < 6; process++) {
        open_life (self);
        for (int i = 0; i < 14; i++) {
            /*  Now and then a batch that goes over into the next segment, or several.  */
            append (self, 1 + bn_prng_below (&prng, i % 7 == 6 ? 60 : 9));
            if (bn_prng_below (&prng, 4) > 0)
                sync (self);
            if (bn_prng_below (&prng, 4) == 0) {
                assert_int_equal (bn_journal_prepare (self->writer, self->detail), BATON_OK);
            }
            if (bn_prng_below (&prng, 5) == 0 && self->now.receipted > 60)
                trim (self, 10 + bn_prng_below (&prng, 40));
            else if (bn_prng_below (&prng, 6) == 0)
                self->now.trusted = self->now.receipted; /* a checkpoint without a trim */
        }
        close_life (self, process % 2 == 0);
    }
}

static void end_life (life_t *self)
{
    tape_destroy (&self->tape);
    free (self->known);
}

/*  ---- one case ---- */

typedef enum { NONE, ALL, ONLY, BUT, FIRST, LAST, TORN, RANDOM, FATES } class_t;

static const char *const class_names[FATES] = {
    "none",           "all",           "only one",    "all but one",
    "the first ones", "the last ones", "one is torn", "at random"};
typedef struct {
    class_t class;
    size_t which;
    uint64_t pick;
    bn_prng_t prng;
} fates_t;

static tape_fate_t fate (size_t sector, size_t count, void *arg)
{
    (void)count;
    fates_t *self = arg;
    tape_fate_t result = {.newest = false};
    switch (self->class) {
    case ALL:
        result.newest = true;
        break;
    case ONLY:
        result.newest = sector == self->which;
        break;
    case BUT:
        result.newest = sector != self->which;
        break;
    case FIRST:
        result.newest = sector < self->which;
        break;
    case LAST:
        result.newest = sector >= self->which;
        break;
    case TORN:
        result.newest = sector < self->which;
        result.pick = sector == self->which ? self->pick : 0;
        break;
    case RANDOM:
        result.pick = bn_prng_next (&self->prng) | 1;
        break;
    default:
        break;
    }
    return result;
}

typedef struct {
    uint64_t expected; /* next to be replayed */
    const char *differs;
} replay_t;

static baton_err_t check_replay (const bn_journal_record_t *record, void *arg)
{
    replay_t *self = arg;
    if (!self->differs)
        self->differs = record_differs (record, self->expected++);
    return BATON_OK;
}

static void fail_case (const life_t *life, const known_t *known, const fates_t *fates, size_t names,
                       const char *what)
{
    fail_msg (
        "life %llu, power cut after operation %zu, sectors kept: %s (%zu, %llu), %zu directory "
        "operations kept; receipted %llu, written %llu, trusted %llu: %s",
        (unsigned long long)(life->options.salt - 4711), known->operation,
        class_names[fates->class], fates->which, (unsigned long long)fates->pick, names,
        (unsigned long long)known->receipted, (unsigned long long)known->written,
        (unsigned long long)known->trusted, what);
}

/*  Goes on writing, dies, and finds all of it.  */
static const char *follow_up (tape_t *disk, life_t *opened, uint64_t last)
{
    opened->next = last + 1;
    append (opened, 5);
    sync (opened);
    close_life (opened, false);
    opened->vfs = tape_vfs (disk);
    replay_t replay = {.expected = opened->now.trusted + 1};
    baton_err_t err = bn_journal_open (&opened->writer, &opened->reader, opened->vfs,
                                       &opened->options, opened->now.trusted, check_replay, &replay,
                                       &opened->recovery, opened->detail);
    free (opened->known);
    if (err)
        return opened->detail;
    return replay.differs                ? replay.differs
           : replay.expected != last + 6 ? "what was appended afterwards is not there"
                                         : NULL;
}

static void check_case (const life_t *life, const known_t *known, tape_t *disk,
                        const fates_t *fates, size_t names)
{
    life_t opened = {.tape = disk, .options = life->options, .now = {.trusted = known->trusted}};
    opened.vfs = tape_vfs (disk);
    replay_t replay = {.expected = known->trusted + 1};
    baton_err_t err =
        bn_journal_open (&opened.writer, &opened.reader, opened.vfs, &opened.options,
                         known->trusted, check_replay, &replay, &opened.recovery, opened.detail);
    if (err)
        fail_case (life, known, fates, names, opened.detail);
    uint64_t last = opened.recovery.sequence_next - 1;
    if (replay.differs)
        fail_case (life, known, fates, names, replay.differs);
    if (replay.expected != last + 1)
        fail_case (life, known, fates, names, "records were not replayed");
    if (last < known->receipted)
        fail_case (life, known, fates, names, "a receipted record is gone");
    if (last > known->written)
        fail_case (life, known, fates, names, "a record was never written");
    if (opened.recovery.first_sequence > known->trimmed + 1)
        fail_case (life, known, fates, names, "records are gone that were not trimmed");
    /*  Everything that is still there, not only what was replayed.  */
    uint64_t n = opened.recovery.first_sequence;
    bool end = false;
    for (; n <= last; n++) {
        bn_journal_record_t record;
        if (bn_journal_next (opened.reader, &record, &end, opened.detail) || end ||
            record_differs (&record, n))
            fail_case (life, known, fates, names, end ? "the reader stops" : "the reader differs");
    }
    if (case_number % FOLLOW_UP == 0) {
        const char *wrong = follow_up (disk, &opened, last);
        if (wrong)
            fail_case (life, known, fates, names, wrong);
    }
    tape_fail (disk, 0, UINT64_MAX, EIO); /* closing need not tidy up what is thrown away */
    bn_journal_reader_destroy (&opened.reader);
    bn_journal_writer_destroy (&opened.writer);
    opened.vfs->destroy (&opened.vfs);
}

/*  Power goes again while it recovers.  */
static void check_again (const life_t *life, const known_t *known, tape_t *disk,
                         const fates_t *first, size_t first_names)
{
    life_t opened = {.tape = disk, .options = life->options, .now = {.trusted = known->trusted}};
    tape_record (disk);
    open_life (&opened);
    close_life (&opened, false);
    free (opened.known);
    tape_player_t *player = tape_player_new (disk);
    do
        for (size_t names = 0; names <= tape_player_unsynced (player); names++)
            for (uint64_t i = 0; i < AGAIN_CASES; i++) {
                fates_t fates = {.class = i == 0 ? NONE : i == 1 ? ALL : RANDOM, .pick = i};
                bn_prng_init (&fates.prng, case_number * AGAIN_CASES + i);
                tape_t *cut = tape_player_cut (player, names, fate, &fates);
                check_case (life, known, cut, first, first_names);
                tape_destroy (&cut);
                cases_again++;
            }
    while (tape_player_step (player));
    tape_player_destroy (&player);
}

static void run_case (const life_t *life, const known_t *known, const tape_player_t *player,
                      size_t names, fates_t fates)
{
    if (case_number++ % stride != 0)
        return;
    if (fates.class == RANDOM)
        bn_prng_init (&fates.prng, fates.pick);
    if (fates.class == TORN) {
        bn_prng_t prng;
        bn_prng_init (&prng, fates.pick);
        fates.pick = (bn_prng_next (&prng) | UINT64_C (1) << 40) | 1;
    }
    fates_t used = fates;
    tape_t *disk = tape_player_cut (player, names, fate, &used);
    tape_t *copy = cases % AGAIN == 0 ? tape_copy (disk) : NULL;
    check_case (life, known, disk, &fates, names);
    if (copy)
        check_again (life, known, copy, &fates, names);
    tape_destroy (&disk);
    tape_destroy (&copy);
    cases++;
}

static void run_point (const life_t *life, const known_t *known, const tape_player_t *player,
                       uint64_t seed)
{
    size_t dirty = tape_player_dirty (player), unsynced = tape_player_unsynced (player);
    size_t step = dirty > SINGLES_MAX ? dirty / SINGLES_MAX + 1 : 1;
    for (size_t names = 0; names <= unsynced; names++) {
        run_case (life, known, player, names, (fates_t){.class = NONE});
        if (dirty == 0)
            continue;
        run_case (life, known, player, names, (fates_t){.class = ALL});
        for (size_t i = (size_t)(seed % step); i < dirty; i += step) {
            for (class_t class = ONLY; class <= TORN; class ++)
                run_case (life, known, player, names,
                          (fates_t){.class = class, .which = i, .pick = seed * 977 + i + 1});
        }
        for (uint64_t i = 0; i < RANDOM_CASES; i++)
            run_case (life, known, player, names,
                      (fates_t){.class = RANDOM, .pick = seed * 1009 + names * 31 + i + 1});
    }
}

static void run_life (const life_t *life)
{
    tape_player_t *player = tape_player_new (life->tape);
    size_t at = 0, operation = 0;
    known_t known = {.receipted = 0};
    do {
        while (at < life->known_count && life->known[at].operation <= operation) {
            /*  What will be written and trimmed holds from its first operation on, what is
             *  receipted from its last one on; both were noted at that moment.  */
            known = life->known[at++];
        }
        known.operation = operation;
        run_point (life, &known, player, operation + 1);
        points++;
        operation++;
    } while (tape_player_step (player));
    operations += tape_operations (life->tape);
    tape_player_destroy (&player);
}

static void power_may_go_after_every_operation (void **state)
{
    (void)state;
    /*  Counted first, so that the sample is spread over all of it.  */
    if (cases_wanted > 0) {
        stride = UINT64_MAX;
        for (uint64_t seed = 1; seed <= lives; seed++) {
            life_t life;
            live (&life, seed);
            run_life (&life);
            end_life (&life);
        }
        stride = case_number / cases_wanted + 1;
        cases = cases_again = points = operations = case_number = 0;
    }
    for (uint64_t seed = 1; seed <= lives; seed++) {
        life_t life;
        live (&life, seed);
        run_life (&life);
        end_life (&life);
    }
    printf ("%llu cases of %llu (and %llu with a second power cut during recovery), %llu crash "
            "points, %llu operations, %llu lives\n",
            (unsigned long long)cases, (unsigned long long)case_number,
            (unsigned long long)cases_again, (unsigned long long)points,
            (unsigned long long)operations, (unsigned long long)lives);
    assert_true (case_number >= 100000);
}

int main (int argc, char **argv)
{
    if (argc > 1)
        cases_wanted = strtoull (argv[1], NULL, 10);
    if (argc > 2)
        lives = strtoull (argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (power_may_go_after_every_operation),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
