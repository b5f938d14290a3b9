/* SPDX-License-Identifier: MPL-2.0 */

/*  test_logbook.c - lines of instances in files: all there, in order, and never too many.  */

#include "supervisor/logbook.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIME_US 1769860800123000ull /* 2026-01-31T12:00:00.123Z */

typedef struct {
    char folder[64];
    char logs[80];
    bn_logbook_t *book;
} world_t;

static void open_world (world_t *self, uint64_t bytes_max)
{
    strcpy (self->folder, "/tmp/baton-logbook-XXXXXX");
    assert_non_null (mkdtemp (self->folder));
    snprintf (self->logs, sizeof self->logs, "%s/logs", self->folder);
    assert_int_equal (bn_logbook_new (&self->book, self->logs, bytes_max), BATON_OK);
}

/*  Removes everything; how many files there were.  */
static size_t close_world (world_t *self)
{
    bn_logbook_destroy (&self->book);
    size_t count = 0;
    DIR *directory = opendir (self->logs);
    for (struct dirent *entry; directory && (entry = readdir (directory));) {
        char path[400];
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf (path, sizeof path, "%s/%s", self->logs, entry->d_name);
        unlink (path);
    }
    if (directory)
        closedir (directory);
    rmdir (self->logs);
    assert_int_equal (rmdir (self->folder), 0);
    return count;
}

static void put (world_t *self, const char *name, const char *line)
{
    bn_logbook_write (self->book, name, TIME_US, line, strlen (line));
}

/*  A file's text, "" if there is none; the caller's.  */
static char *text_of (const world_t *self, const char *name, unsigned index)
{
    char *path = bn_logbook_path (self->logs, name, index);
    char *text = calloc (1, 1 << 20);
    FILE *file = fopen (path, "r");
    size_t size = file ? fread (text, 1, (1 << 20) - 1, file) : 0;
    text[size] = 0;
    if (file)
        fclose (file);
    free (path);
    return text;
}

static void expect (const world_t *self, const char *name, unsigned index, const char *expected)
{
    char *text = text_of (self, name, index);
    assert_string_equal (text, expected);
    free (text);
}

static void test_lines_have_their_time (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    put (&world, "payment-1", "hello");
    put (&world, "payment-1", "");
    put (&world, "payment-2", "other");
    expect (&world, "payment-1", 0, "2026-01-31T12:00:00.123Z hello\n2026-01-31T12:00:00.123Z \n");
    expect (&world, "payment-2", 0, "2026-01-31T12:00:00.123Z other\n");
    struct stat info;
    char *path = bn_logbook_path (world.logs, "payment-1", 0);
    assert_int_equal (stat (path, &info), 0);
    assert_int_equal (info.st_mode & 0777, 0600);
    free (path);
    assert_int_equal (close_world (&world), 2);
}

static void test_a_line_keeps_its_own_time (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    put (&world, "a-1", "2026-01-30T00:00:00.000Z info hello");
    put (&world, "a-1", "2026-01-30T00:00:00.000Zno blank");
    put (&world, "a-1", "2026-01-30T00:00:00.000Z");
    expect (&world, "a-1", 0,
            "2026-01-30T00:00:00.000Z info hello\n"
            "2026-01-31T12:00:00.123Z 2026-01-30T00:00:00.000Zno blank\n"
            "2026-01-31T12:00:00.123Z 2026-01-30T00:00:00.000Z\n");
    close_world (&world);
}

static void test_goes_on_behind_what_is_there (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    put (&world, "a-1", "one");
    bn_logbook_destroy (&world.book);
    assert_int_equal (bn_logbook_new (&world.book, world.logs, 0), BATON_OK);
    put (&world, "a-1", "two");
    expect (&world, "a-1", 0, "2026-01-31T12:00:00.123Z one\n2026-01-31T12:00:00.123Z two\n");
    close_world (&world);
}

/*  Every line is in one file, the newest ones are there, and the bytes are bounded.  */
static void test_is_bounded (void **state)
{
    (void)state;
    world_t world;
    char line[32];
    const uint64_t bytes_max = 4 * 1000;
    open_world (&world, bytes_max);
    for (int i = 0; i < 1000; i++) {
        snprintf (line, sizeof line, "line %d", i);
        put (&world, "a-1", line);
    }
    size_t total = 0;
    int next = -1;
    for (int index = BN_LOGBOOK_FILES - 1; index >= 0; index--) {
        char *text = text_of (&world, "a-1", (unsigned)index);
        size_t size = strlen (text);
        assert_in_range (size, 1, 1000);
        total += size;
        for (char *at = text; *at; at = strchr (at, '\n') + 1) {
            int number;
            assert_int_equal (sscanf (at, "2026-01-31T12:00:00.123Z line %d\n", &number), 1);
            assert_true (next < 0 || number == next);
            next = number + 1;
        }
        free (text);
    }
    assert_int_equal (next, 1000);
    assert_in_range (total, bytes_max * 3 / 4, bytes_max);
    assert_int_equal (close_world (&world), BN_LOGBOOK_FILES);
}

/*  A line that is larger than a file may be has a file of its own.  */
static void test_a_line_larger_than_a_file (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 4 * 100);
    char line[1001];
    memset (line, 'x', 1000);
    line[1000] = 0;
    put (&world, "a-1", "small");
    put (&world, "a-1", line);
    put (&world, "a-1", "small");
    expect (&world, "a-1", 0, "2026-01-31T12:00:00.123Z small\n");
    expect (&world, "a-1", 2, "2026-01-31T12:00:00.123Z small\n");
    char *text = text_of (&world, "a-1", 1);
    assert_int_equal (strlen (text), 1000 + BN_LOGBOOK_TIME_SIZE + 2);
    free (text);
    close_world (&world);
}

static void test_more_names_than_open_files (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    const int names = BN_LOGBOOK_OPEN_MAX * 2;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < names; i++) {
            char name[32];
            snprintf (name, sizeof name, "a-%d", i);
            put (&world, name, "line");
        }
    for (int i = 0; i < names; i++) {
        char name[32];
        snprintf (name, sizeof name, "a-%d", i);
        char *text = text_of (&world, name, 0);
        assert_int_equal (strlen (text), 3 * strlen ("2026-01-31T12:00:00.123Z line\n"));
        free (text);
    }
    assert_int_equal (close_world (&world), names);
}

static void test_a_name_is_no_path (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 0);
    put (&world, "../a-1", "line");
    char name[BN_LOGBOOK_NAME_MAX + 2];
    memset (name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    put (&world, name, "line");
    assert_int_equal (close_world (&world), 0);
}

static void test_no_directory (void **state)
{
    (void)state;
    bn_logbook_t *book;
    assert_int_equal (bn_logbook_new (&book, "/proc/none/logs", 0), BATON_ERR_NOT_FOUND);
    assert_null (book);
}

/*  A disk that takes no more: a limit on the size of files stands in for it. Said once, nothing
 *  crashes, and nothing but whole lines is in the file.  */
static void test_a_full_disk_is_said_once (void **state)
{
    (void)state;
    world_t world;
    int heard[2];
    open_world (&world, 0);
    assert_int_equal (pipe (heard), 0);
    pid_t pid = fork ();
    if (pid == 0) {
        struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
        signal (SIGXFSZ, SIG_IGN);
        dup2 (heard[1], STDERR_FILENO);
        close (heard[0]);
        close (heard[1]);
        if (setrlimit (RLIMIT_FSIZE, &limit))
            _exit (1);
        for (int i = 0; i < 100; i++)
            put (&world, "a-1", "some words");
        put (&world, "b-1", "some words");
        _exit (0);
    }
    int status;
    close (heard[1]);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    char said[4096];
    ssize_t size = read (heard[0], said, sizeof said - 1);
    assert_true (size > 0);
    said[size] = 0;
    close (heard[0]);
    char *newline = strchr (said, '\n');
    assert_non_null (newline);
    assert_int_equal (newline[1], 0); /* one line */
    assert_non_null (strstr (said, "a-1.log"));
    char *text = text_of (&world, "a-1", 0);
    assert_string_equal (text, "2026-01-31T12:00:00.123Z some words\n"
                               "2026-01-31T12:00:00.123Z some words\n");
    free (text);
    close_world (&world);
}

/*  In a process of its own, because it loses its standard output.  */
static void test_takes_over_the_output (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, 4 * 200);
    pid_t pid = fork ();
    if (pid == 0) {
        if (bn_logbook_take_over (world.book, "up"))
            _exit (1);
        for (int i = 0; i < 100; i++) {
            dprintf (i % 2 ? STDOUT_FILENO : STDERR_FILENO, "line %2d\n", i);
            bn_logbook_turn (world.book);
        }
        _exit (0);
    }
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    int next = -1;
    for (int index = BN_LOGBOOK_FILES - 1; index >= 0; index--) {
        char *text = text_of (&world, "up", (unsigned)index);
        assert_in_range (strlen (text), 0, 208);
        for (char *at = text; *at; at = strchr (at, '\n') + 1) {
            assert_true (next < 0 || atoi (at + 5) == next);
            next = atoi (at + 5) + 1;
        }
        free (text);
    }
    assert_int_equal (next, 100);
    close_world (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_lines_have_their_time),
        cmocka_unit_test (test_a_line_keeps_its_own_time),
        cmocka_unit_test (test_goes_on_behind_what_is_there),
        cmocka_unit_test (test_is_bounded),
        cmocka_unit_test (test_a_line_larger_than_a_file),
        cmocka_unit_test (test_more_names_than_open_files),
        cmocka_unit_test (test_a_name_is_no_path),
        cmocka_unit_test (test_no_directory),
        cmocka_unit_test (test_a_full_disk_is_said_once),
        cmocka_unit_test (test_takes_over_the_output),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
