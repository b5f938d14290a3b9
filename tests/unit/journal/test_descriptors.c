/* SPDX-License-Identifier: MPL-2.0 */

/*  No descriptor is left in the process: the journal goes on with those that it has put aside, and
 *  whoever else asks for one is refused. In child processes with a limit of their own.  */
#include "unit/journal/fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS 80
#define BATCHES     60

static char directory[64];

static int make_directory (void **state)
{
    (void)state;
    strcpy (directory, "/tmp/baton-descriptors-XXXXXX");
    return mkdtemp (directory) ? 0 : -1;
}

static int remove_directory (void **state)
{
    (void)state;
    char command[96];
    snprintf (command, sizeof command, "rm -rf '%s'", directory);
    return system (command);
}

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf (stderr, "%s:%d: %s; %s\n", __FILE__, __LINE__, #condition, f.detail);         \
            exit (1);                                                                              \
        }                                                                                          \
    } while (false)

static baton_err_t open_real (fixture_t *f)
{
    f->options = (bn_journal_options_t){.segment_bytes = SMALL_SEGMENT};
    baton_err_t err = bn_journal_open (&f->writer, &f->reader, f->vfs, &f->options, 0, NULL, NULL,
                                       &f->recovery, f->detail);
    f->next = f->recovery.sequence_next;
    return err;
}

/*  As connections do it: all there are, until there are none.  */
static void take_all (void)
{
    while (dup (0) >= 0)
        ;
}

static void live (void)
{
    fixture_t f = {.next = 1};
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    MUST (setrlimit (RLIMIT_NOFILE, &limit) == 0);
    MUST (bn_vfs_posix_new (&f.vfs, directory, true) == 0);
    MUST (open_real (&f) == BATON_OK);
    MUST (fixture_append (&f, 5) == BATON_OK);
    take_all ();
    MUST (socket (AF_INET, SOCK_STREAM, 0) < 0 && errno == EMFILE);
    uint64_t base = 0, first = 1;
    for (int i = 0; i < BATCHES; i++) {
        MUST (fixture_append (&f, 10) == BATON_OK);
        if (i % 7 == 3)
            MUST (bn_journal_prepare (f.writer, f.detail) == BATON_OK);
        if (i % 10 == 9)
            MUST (bn_journal_trim (f.writer, record_base (f.next - 60), UINT64_MAX, &base, &first,
                                   f.detail) == BATON_OK);
        if (i % 5 == 4) {
            bn_journal_reader_trimmed (f.reader, base);
            MUST (bn_journal_seek (f.reader, base, f.detail) == BATON_OK);
            bn_journal_record_t record;
            bool end = false;
            while (bn_journal_next (f.reader, &record, &end, f.detail) == BATON_OK && !end)
                MUST (!record_differs (&record, record.sequence));
            MUST (end && record.sequence == f.next - 1);
        }
        /*  What it gave back for a moment did not come free.  */
        MUST (dup (0) < 0 && errno == EMFILE);
    }
    MUST (f.recovery.created && first > 1);
    fixture_abandon (&f);
    exit (0);
}

static void the_journal_goes_on_without_a_free_descriptor (void **state)
{
    (void)state;
    fflush (NULL);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0)
        live ();
    int status;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
    /*  All of it is there.  */
    fixture_t f = {.next = 1};
    assert_int_equal (bn_vfs_posix_new (&f.vfs, directory, false), 0);
    f.options = (bn_journal_options_t){.segment_bytes = SMALL_SEGMENT, .read_only = true};
    assert_int_equal (bn_journal_open (&f.writer, &f.reader, f.vfs, &f.options, 0, NULL, NULL,
                                       &f.recovery, f.detail),
                      BATON_OK);
    assert_int_equal (f.recovery.sequence_next, 5 + 10 * BATCHES + 1);
    fixture_expect (&f, f.recovery.first_sequence, 5 + 10 * BATCHES);
    fixture_abandon (&f);
}

/*  Too few to begin with: said at once, and not when the first segment is full.  */
static void a_limit_that_leaves_nothing_to_put_aside_is_told_at_the_start (void **state)
{
    (void)state;
    fflush (NULL);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        fixture_t f = {.next = 1};
        struct rlimit limit = {20, 20};
        MUST (setrlimit (RLIMIT_NOFILE, &limit) == 0);
        MUST (bn_vfs_posix_new (&f.vfs, directory, true) == 0);
        MUST (open_real (&f) == BATON_ERR_IO);
        MUST (strstr (f.detail, "lock: ") && strstr (f.detail, strerror (EMFILE)));
        MUST (!f.vfs->locked (f.vfs));
        int fd = dup (0); /* nothing is kept */
        MUST (fd >= 0 && fd < 10);
        f.vfs->destroy (&f.vfs);
        exit (0);
    }
    int status;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (the_journal_goes_on_without_a_free_descriptor,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (
            a_limit_that_leaves_nothing_to_put_aside_is_told_at_the_start, make_directory,
            remove_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
