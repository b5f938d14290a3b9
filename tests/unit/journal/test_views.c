/* SPDX-License-Identifier: MPL-2.0 */

/*  Checkpoints: whole or not at all, whatever is killed, and damaged ones are noticed.  */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "journal/views.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char parent[64];
static char directory[80];
static char detail[512];

static int make_directory (void **state)
{
    (void)state;
    strcpy (parent, "/tmp/baton-views-XXXXXX");
    if (!mkdtemp (parent))
        return -1;
    snprintf (directory, sizeof directory, "%s/views", parent);
    return 0;
}

static int remove_directory (void **state)
{
    (void)state;
    char command[96];
    snprintf (command, sizeof command, "rm -rf '%s'", parent);
    return system (command);
}

/*  Items of checkpoint `sequence`: `count` of them, with a value that names the sequence.  */
static bn_checkpoint_t *make_checkpoint (uint64_t sequence, unsigned count, size_t value_size)
{
    bn_checkpoint_t *checkpoint = bn_checkpoint_new (sequence);
    uint8_t *value = malloc (value_size + sizeof sequence);
    if (!checkpoint || !value)
        abort ();
    memset (value, (int)(sequence & 0xff), value_size + sizeof sequence);
    memcpy (value, &sequence, sizeof sequence);
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        int size = snprintf (key, sizeof key, "key %u", i * 7919 % count);
        if (!bn_checkpoint_put (key, (size_t)size, value, value_size + sizeof sequence, checkpoint))
            abort ();
    }
    free (value);
    return checkpoint;
}

typedef struct {
    uint64_t sequence; /* that all items name */
    unsigned count;
    bool mixed;
} loaded_t;

static baton_err_t load_item (const void *key, size_t key_size, const void *value,
                              size_t value_size, void *arg)
{
    loaded_t *self = arg;
    uint64_t sequence = 0;
    if (key_size < 5 || memcmp (key, "key ", 4) != 0 || value_size < sizeof sequence)
        return BATON_ERR_ROT;
    memcpy (&sequence, value, sizeof sequence);
    const uint8_t *bytes = value;
    for (size_t i = sizeof sequence; i < value_size; i++)
        self->mixed = self->mixed || bytes[i] != (sequence & 0xff);
    if (self->count++ > 0 && sequence != self->sequence)
        self->mixed = true;
    self->sequence = sequence;
    return BATON_OK;
}

static bn_views_t *open_views (void)
{
    bn_views_t *views;
    baton_err_t err = bn_views_open (&views, directory, detail);
    if (err)
        fail_msg ("%s", detail);
    return views;
}

static void expect_checkpoint (bn_views_t *views, uint64_t sequence, unsigned count)
{
    loaded_t loaded = {.count = 0};
    uint64_t got = 99;
    assert_int_equal (bn_views_load (views, &got, load_item, &loaded, detail), BATON_OK);
    assert_int_equal (got, sequence);
    assert_int_equal (loaded.count, count);
    assert_false (loaded.mixed);
    if (count > 0)
        assert_int_equal (loaded.sequence, sequence);
}

static void save (bn_views_t *views, uint64_t sequence, unsigned count, size_t value_size)
{
    bn_checkpoint_t *checkpoint = make_checkpoint (sequence, count, value_size);
    baton_err_t err = bn_views_write (views, checkpoint, detail);
    if (err)
        fail_msg ("%s", detail);
    bn_checkpoint_destroy (&checkpoint);
}

static void a_checkpoint_comes_back (void **state)
{
    (void)state;
    bn_views_t *views = open_views ();
    expect_checkpoint (views, 0, 0);
    save (views, 7, 100, 30);
    expect_checkpoint (views, 7, 100);
    bn_views_close (&views);
    views = open_views ();
    expect_checkpoint (views, 7, 100);
    /*  Replaced, not merged.  */
    save (views, 8, 10, 3000);
    expect_checkpoint (views, 8, 10);
    save (views, 9, 0, 0);
    expect_checkpoint (views, 9, 0);
    bn_views_close (&views);
    assert_int_equal (bn_views_remove (directory, detail), BATON_OK);
    assert_int_equal (bn_views_remove (directory, detail), BATON_OK);
    views = open_views ();
    expect_checkpoint (views, 0, 0);
    bn_views_close (&views);
}

/*  200 MB into a map that starts with 64 MiB.  */
static void the_map_grows (void **state)
{
    (void)state;
    bn_views_t *views = open_views ();
    save (views, 1, 10, 10);
    save (views, 2, 1000, 200000);
    expect_checkpoint (views, 2, 1000);
    save (views, 3, 1000, 200000);
    bn_views_close (&views);
    views = open_views ();
    expect_checkpoint (views, 3, 1000);
    save (views, 4, 5, 5);
    expect_checkpoint (views, 4, 5);
    bn_views_close (&views);
}

static baton_err_t refuse_item (const void *key, size_t key_size, const void *value,
                                size_t value_size, void *arg)
{
    (void)key;
    (void)key_size;
    (void)value;
    (void)value_size;
    (void)arg;
    return BATON_ERR_FORMAT;
}

static void an_error_of_the_items_is_returned (void **state)
{
    (void)state;
    bn_views_t *views = open_views ();
    save (views, 7, 3, 30);
    uint64_t sequence;
    assert_int_equal (bn_views_load (views, &sequence, refuse_item, NULL, detail),
                      BATON_ERR_FORMAT);
    assert_int_equal (sequence, 0);
    bn_views_close (&views);
}

/*  A child writes checkpoint after checkpoint and is killed at some moment: the last one that it
 *  had finished is there, or the one after it, whole.  */
static void a_killed_writer_leaves_a_whole_checkpoint (void **state)
{
    (void)state;
    uint64_t last = 0;
    for (int round = 0; round < 8; round++) {
        int pipes[2];
        assert_int_equal (pipe (pipes), 0);
        pid_t child = fork ();
        assert_true (child >= 0);
        if (child == 0) {
            bn_views_t *views;
            if (bn_views_open (&views, directory, detail) != BATON_OK)
                _exit (1);
            for (uint64_t n = last + 1;; n++) {
                bn_checkpoint_t *checkpoint = make_checkpoint (n, 50 + n % 3000, 500);
                if (bn_views_write (views, checkpoint, detail) != BATON_OK ||
                    write (pipes[1], &n, sizeof n) != sizeof n)
                    _exit (1);
                bn_checkpoint_destroy (&checkpoint);
            }
        }
        close (pipes[1]);
        uint64_t done = 0, until = last + 2 + (uint64_t)round * 3;
        while (done < until)
            assert_int_equal (read (pipes[0], &done, sizeof done), sizeof done);
        assert_int_equal (kill (child, SIGKILL), 0);
        while (read (pipes[0], &done, sizeof done) == sizeof done)
            ;
        close (pipes[0]);
        assert_int_equal (waitpid (child, NULL, 0), child);

        bn_views_t *views = open_views ();
        loaded_t loaded = {.count = 0};
        assert_int_equal (bn_views_load (views, &last, load_item, &loaded, detail), BATON_OK);
        assert_in_range (last, done, done + 1);
        assert_int_equal (loaded.sequence, last);
        assert_int_equal (loaded.count, 50 + last % 3000);
        assert_false (loaded.mixed);
        bn_views_close (&views);
    }
}

static size_t data_size (char path[128])
{
    struct stat status;
    snprintf (path, 128, "%s/data.mdb", directory);
    assert_int_equal (stat (path, &status), 0);
    return (size_t)status.st_size;
}

/*  Opens and loads in a child, because a damaged file must not bring the process down either.  */
static int exit_code_of_loading (void)
{
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        bn_views_t *views;
        uint64_t sequence = 0;
        loaded_t loaded = {.count = 0};
        baton_err_t err = bn_views_open (&views, directory, detail);
        if (!err)
            err = bn_views_load (views, &sequence, load_item, &loaded, detail);
        _exit (err ? (int)err : (sequence == 5 && loaded.count == 400 ? 0 : 1));
    }
    int status;
    assert_int_equal (waitpid (child, &status, 0), child);
    return WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status);
}

static void a_truncated_file_is_rot (void **state)
{
    (void)state;
    char path[128];
    bn_views_t *views = open_views ();
    save (views, 5, 400, 200);
    bn_views_close (&views);
    size_t size = data_size (path);
    assert_int_equal (exit_code_of_loading (), 0);
    for (size_t keep = size - 4096; keep >= 8192; keep -= 8192) {
        assert_int_equal (truncate (path, (off_t)keep), 0);
        assert_int_equal (exit_code_of_loading (), BATON_ERR_ROT);
        if (keep < 16384)
            break;
    }
    int fd = open (path, O_WRONLY | O_TRUNC);
    assert_true (fd >= 0);
    for (int i = 0; i < 4096; i++)
        assert_int_equal (write (fd, "garbage ", 8), 8);
    close (fd);
    assert_int_equal (exit_code_of_loading (), BATON_ERR_ROT);
}

/*  A changed value is found by the checksum.  */
static void a_changed_item_is_rot (void **state)
{
    (void)state;
    char path[128];
    bn_views_t *views = open_views ();
    save (views, 5, 400, 200);
    bn_views_close (&views);
    size_t size = data_size (path);
    uint8_t *bytes = malloc (size);
    int fd = open (path, O_RDWR);
    assert_true (fd >= 0 && bytes);
    assert_int_equal (read (fd, bytes, size), size);
    /*  In the middle of a run of value bytes.  */
    size_t at = 0;
    static const uint8_t run[64] = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
                                    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
                                    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
                                    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    unsigned changed = 0;
    for (; at + sizeof run < size; at += sizeof run) {
        if (memcmp (bytes + at, run, sizeof run) != 0)
            continue;
        assert_int_equal (pwrite (fd, "x", 1, (off_t)at), 1);
        int code = exit_code_of_loading ();
        assert_int_equal (pwrite (fd, "\5", 1, (off_t)at), 1);
        /*  A free page may hold such a run, too.  */
        assert_true (code == BATON_ERR_ROT || code == 0);
        changed += code == BATON_ERR_ROT;
        if (changed == 20)
            break;
    }
    close (fd);
    free (bytes);
    assert_true (changed > 10);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (a_checkpoint_comes_back, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (the_map_grows, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (an_error_of_the_items_is_returned, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (a_killed_writer_leaves_a_whole_checkpoint, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (a_truncated_file_is_rot, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (a_changed_item_is_rot, make_directory, remove_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
