/* SPDX-License-Identifier: MPL-2.0 */

/*  test_log_files.c - what a logbook has kept is read back: all of it, or its end, and what comes
 *  while it is read, over rotations.  */

#include "base/prng.h"
#include "cli/log_files.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TIME_US 1769860800123000ull /* 2026-01-31T12:00:00.123Z */

typedef struct {
    char folder[64];
    bn_logbook_t *book;
    bn_log_files_t *files;
    int written;
    int next; /* the line that is expected */
} world_t;

static void open_world (world_t *self, uint64_t bytes_max)
{
    *self = (world_t){.folder = "/tmp/baton-logs-XXXXXX"};
    assert_non_null (mkdtemp (self->folder));
    assert_int_equal (bn_logbook_new (&self->book, self->folder, bytes_max), BATON_OK);
    self->files = bn_log_files_new (self->folder, "a-1");
    assert_non_null (self->files);
}

static void close_world (world_t *self)
{
    bn_log_files_destroy (&self->files);
    bn_logbook_destroy (&self->book);
    DIR *directory = opendir (self->folder);
    for (struct dirent *entry; directory && (entry = readdir (directory));) {
        char path[400];
        snprintf (path, sizeof path, "%s/%s", self->folder, entry->d_name);
        unlink (path);
    }
    closedir (directory);
    assert_int_equal (rmdir (self->folder), 0);
}

static void put (world_t *self, int count)
{
    for (int i = 0; i < count; i++) {
        char line[32];
        int size = snprintf (line, sizeof line, "line %d", self->written);
        bn_logbook_write (self->book, "a-1", TIME_US + (uint64_t)self->written * 1000, line,
                          (size_t)size);
        self->written++;
    }
}

/*  Reads all that is there: the lines that are expected, none left out.  */
static void take (world_t *self)
{
    const bn_log_line_t *line;
    while ((line = bn_log_files_peek (self->files))) {
        char text[64], expected[64];
        snprintf (text, sizeof text, "%.*s", (int)(line->size - line->text),
                  line->line + line->text);
        snprintf (expected, sizeof expected, "line %d", self->next++);
        assert_string_equal (text, expected);
        assert_int_equal (strlen (line->time), BN_LOGBOOK_TIME_SIZE);
        bn_log_files_next (self->files);
    }
}

static void test_reads_from_the_oldest (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 4 * 400);
    put (&world, 25); /* 34 bytes each, 11 in a file */
    take (&world);
    assert_int_equal (world.next, 25);
    close_world (&world);
}

static void test_nothing_yet (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    assert_null (bn_log_files_peek (world.files));
    put (&world, 1);
    take (&world);
    assert_int_equal (world.next, 1);
    assert_null (bn_log_files_peek (world.files));
    close_world (&world);
}

static void test_the_last_lines (void **state)
{
    (void)state;
    for (int lines = 0; lines < 40; lines++) {
        world_t world;
        open_world (&world, 4 * 400);
        put (&world, 30);
        uint64_t found = bn_log_files_tail (world.files, (uint64_t)lines);
        assert_int_equal (found, lines < 30 ? lines : 30);
        world.next = 30 - (int)found;
        take (&world);
        assert_int_equal (world.next, 30);
        put (&world, 2); /* and goes on from there */
        take (&world);
        assert_int_equal (world.next, 32);
        close_world (&world);
    }
}

/*  Whatever comes between two looks, as long as the file in hand is still there.  */
static void test_follows_over_rotations (void **state)
{
    (void)state;
    bn_prng_t prng;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        world_t world;
        bn_prng_init (&prng, seed);
        open_world (&world, 4 * 400);
        put (&world, 5);
        take (&world);
        for (int i = 0; i < 50; i++) {
            put (&world, (int)bn_prng_below (&prng, 33)); /* up to three files more */
            take (&world);
            assert_int_equal (world.next, world.written);
        }
        close_world (&world);
    }
}

/*  A reader that was away for too long goes on with the oldest that is left.  */
static void test_a_reader_that_is_too_slow (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 4 * 400);
    put (&world, 5);
    take (&world);
    put (&world, 200);
    const bn_log_line_t *line = bn_log_files_peek (world.files);
    /*  First the rest of the file that it has open.  */
    world.next = 5;
    while (line && atoi (line->line + line->text + 5) == world.next) {
        world.next++;
        bn_log_files_next (world.files);
        line = bn_log_files_peek (world.files);
    }
    assert_non_null (line);
    world.next = atoi (line->line + line->text + 5);
    assert_in_range (world.next, 205 - 44, 205 - 30);
    take (&world);
    assert_int_equal (world.next, 205);
    close_world (&world);
}

static void raw (world_t *self, const char *text)
{
    char *path = bn_logbook_path (self->folder, "a-1", 0);
    FILE *file = fopen (path, "a");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
    free (path);
}

/*  Times of other makes, none at all, and a line that is still being written.  */
static void test_lines_of_another_hand (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    raw (&world, "no time\n"
                 "{\"time\":\"2026-01-31T12:00:01.000Z\",\"text\":\"x\"}\n"
                 "still that time\n"
                 "2026-01-31T12:00:02.000Zno blank\n"
                 "2026-01-31T12:00:03.000Z \n"
                 "2026-01-31T12:00:04.000Z not yet");
    static const struct {
        const char *time, *text;
    } expected[] = {
        {"", "no time"},
        {"2026-01-31T12:00:01.000Z", "{\"time\":\"2026-01-31T12:00:01.000Z\",\"text\":\"x\"}"},
        {"2026-01-31T12:00:01.000Z", "still that time"},
        {"2026-01-31T12:00:01.000Z", "2026-01-31T12:00:02.000Zno blank"},
        {"2026-01-31T12:00:03.000Z", ""}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const bn_log_line_t *line = bn_log_files_peek (world.files);
        assert_non_null (line);
        assert_string_equal (line->time, expected[i].time);
        assert_int_equal (line->size - line->text, strlen (expected[i].text));
        assert_memory_equal (line->line + line->text, expected[i].text, strlen (expected[i].text));
        bn_log_files_next (world.files);
    }
    assert_null (bn_log_files_peek (world.files));
    raw (&world, ", now\n");
    const bn_log_line_t *line = bn_log_files_peek (world.files);
    assert_non_null (line);
    assert_memory_equal (line->line + line->text, "not yet, now", line->size - line->text);
    close_world (&world);
}

/*  A line without end comes in pieces, and none of its bytes is lost.  */
static void test_an_endless_line (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    char *text = malloc (300001);
    memset (text, 'x', 300000);
    strcpy (text + 299999, "\n");
    raw (&world, text);
    free (text);
    size_t total = 0;
    const bn_log_line_t *line;
    while ((line = bn_log_files_peek (world.files))) {
        total += line->size;
        bn_log_files_next (world.files);
    }
    assert_int_equal (total, 299999);
    close_world (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reads_from_the_oldest),
        cmocka_unit_test (test_nothing_yet),
        cmocka_unit_test (test_the_last_lines),
        cmocka_unit_test (test_follows_over_rotations),
        cmocka_unit_test (test_a_reader_that_is_too_slow),
        cmocka_unit_test (test_lines_of_another_hand),
        cmocka_unit_test (test_an_endless_line),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
