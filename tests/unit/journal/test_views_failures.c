/* SPDX-License-Identifier: MPL-2.0 */

/*  Checkpoints when LMDB or the file system says no, and checkpoints that hold what nobody of us
 *  wrote. The calls of LMDB are wrapped by the linker.  */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "journal/views.h"
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char parent[64];
static char directory[80];
static char detail[512];

/*  ---- the calls ---- */

typedef enum {
    NONE,
    ENV_CREATE,
    SET_MAXDBS,
    SET_MAPSIZE,
    ENV_OPEN,
    TXN_BEGIN,
    DBI_OPEN,
    TXN_COMMIT,
    GET,
    CURSOR_OPEN,
    CURSOR_GET,
    DROP,
    PUT,
    STAT,
    MKDIR,
    UNLINK,
    RMDIR,
    CALLS
} call_t;

static call_t failing;
static unsigned calls, fail_from, fail_count;
static int fail_error;

static bool fails (call_t call)
{
    if (call != failing)
        return false;
    unsigned number = ++calls;
    return number >= fail_from && number - fail_from < fail_count;
}

static void break_call (call_t call, unsigned from, unsigned count, int error)
{
    failing = call;
    calls = 0;
    fail_from = from;
    fail_count = count;
    fail_error = error;
    *detail = '\0';
}

#define WRAP(CALL, name, parameters, arguments)                                                    \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        return fails (CALL) ? fail_error : __real_##name arguments;                                \
    }
#define WRAP_SYSTEM(CALL, name, parameters, arguments)                                             \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        if (!fails (CALL))                                                                         \
            return __real_##name arguments;                                                        \
        errno = fail_error;                                                                        \
        return -1;                                                                                 \
    }

WRAP (ENV_CREATE, mdb_env_create, (MDB_env * *env), (env))
WRAP (SET_MAXDBS, mdb_env_set_maxdbs, (MDB_env * env, MDB_dbi max), (env, max))
WRAP (SET_MAPSIZE, mdb_env_set_mapsize, (MDB_env * env, size_t size), (env, size))
WRAP (ENV_OPEN, mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode),
      (env, path, flags, mode))
WRAP (TXN_BEGIN, mdb_txn_begin, (MDB_env * env, MDB_txn *up, unsigned flags, MDB_txn **txn),
      (env, up, flags, txn))
WRAP (DBI_OPEN, mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *dbi),
      (txn, name, flags, dbi))
WRAP (GET, mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
      (txn, dbi, key, value))
WRAP (CURSOR_OPEN, mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor),
      (txn, dbi, cursor))
WRAP (CURSOR_GET, mdb_cursor_get,
      (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op),
      (cursor, key, value, op))
WRAP (DROP, mdb_drop, (MDB_txn * txn, MDB_dbi dbi, int del), (txn, dbi, del))
WRAP (PUT, mdb_put, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
      (txn, dbi, key, value, flags))
WRAP_SYSTEM (STAT, stat, (const char *path, struct stat *status), (path, status))
WRAP_SYSTEM (MKDIR, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP_SYSTEM (UNLINK, unlink, (const char *path), (path))
WRAP_SYSTEM (RMDIR, rmdir, (const char *path), (path))

/*  As the real one: the transaction is gone also when it fails.  */
int __real_mdb_txn_commit (MDB_txn *txn);
int __wrap_mdb_txn_commit (MDB_txn *txn);
int __wrap_mdb_txn_commit (MDB_txn *txn)
{
    if (!fails (TXN_COMMIT))
        return __real_mdb_txn_commit (txn);
    mdb_txn_abort (txn);
    return fail_error;
}

/*  ---- fixture ---- */

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
    failing = NONE;
    char command[96];
    snprintf (command, sizeof command, "rm -rf '%s'", parent);
    return system (command);
}

static baton_err_t count_item (const void *key, size_t key_size, const void *value,
                               size_t value_size, void *arg)
{
    (void)key;
    (void)value;
    assert_true (key_size == sizeof (uint32_t) && value_size <= 100);
    ++*(unsigned *)arg;
    return BATON_OK;
}

/*  Opens, loads, writes checkpoint `sequence` with as many items. Some have no value.  */
static baton_err_t live (uint64_t sequence)
{
    bn_views_t *views;
    uint64_t loaded = 0;
    unsigned count = 0;
    baton_err_t err = bn_views_open (&views, directory, detail);
    assert_true (!err == (views != NULL));
    if (!err)
        err = bn_views_load (views, &loaded, count_item, &count, detail);
    assert_int_equal (loaded, err ? 0 : count);
    bn_checkpoint_t *checkpoint = bn_checkpoint_new (sequence);
    assert_non_null (checkpoint);
    for (uint32_t i = 0; i < sequence; i++) {
        uint8_t value[100];
        memset (value, (int)sequence, sizeof value);
        assert_true (bn_checkpoint_put (&i, sizeof i, value, i % 3 ? sizeof value : 0, checkpoint));
    }
    if (!err)
        err = bn_views_write (views, checkpoint, detail);
    bn_checkpoint_destroy (&checkpoint);
    bn_views_close (&views);
    return err;
}

/*  What a healthy process loads: the sequence, which is also the number of items.  */
static uint64_t loaded_sequence (void)
{
    bn_views_t *views;
    uint64_t loaded = 0;
    unsigned count = 0;
    failing = NONE;
    if (bn_views_open (&views, directory, detail) ||
        bn_views_load (views, &loaded, count_item, &count, detail))
        fail_msg ("%s", detail);
    bn_views_close (&views);
    assert_int_equal (count, loaded);
    return loaded;
}

/*  ---- failures ---- */

static const struct {
    int error;
    baton_err_t expected;
} errors[] = {{EIO, BATON_ERR_IO},
              {ENOSPC, BATON_ERR_DISK_FULL},
              {EDQUOT, BATON_ERR_DISK_FULL},
              {EACCES, BATON_ERR_PERMISSION},
              {EROFS, BATON_ERR_PERMISSION},
              {ENOMEM, BATON_ERR_MEMORY},
              {EMFILE, BATON_ERR_IO},
              {MDB_BAD_TXN, BATON_ERR_IO},
              {MDB_INVALID, BATON_ERR_ROT},
              {MDB_CORRUPTED, BATON_ERR_ROT},
              {MDB_PAGE_NOTFOUND, BATON_ERR_ROT},
              {MDB_PANIC, BATON_ERR_ROT},
              {MDB_VERSION_MISMATCH, BATON_ERR_ROT},
              {MDB_INCOMPATIBLE, BATON_ERR_ROT},
              {MDB_BAD_DBI, BATON_ERR_ROT}};

static void each_call_of_lmdb_that_fails_has_its_name_and_loses_nothing (void **state)
{
    (void)state;
    uint64_t valid = 3, cases = 0;
    assert_int_equal (live (valid), BATON_OK);
    for (call_t call = ENV_CREATE; call <= PUT; call++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            bool reached = true;
            for (unsigned number = 1; reached; number++) {
                uint64_t next = 3 + (valid + 1) % 3;
                break_call (call, number, 1, errors[e].error);
                baton_err_t err = live (next);
                reached = calls >= number;
                if (!reached) {
                    assert_int_equal (err, BATON_OK);
                } else if (err != errors[e].expected || !strstr (detail, directory) ||
                           !strstr (detail, mdb_strerror (errors[e].error)))
                    fail_msg ("call %d, number %u, error %d: %s: %s", call, number, errors[e].error,
                              baton_err_name (err), detail);
                valid = err ? valid : next;
                assert_int_equal (loaded_sequence (), valid);
                cases++;
            }
        }
    assert_true (cases > 200);
}

static void a_checkpoint_that_does_not_fit_gets_a_larger_map (void **state)
{
    (void)state;
    assert_int_equal (live (3), BATON_OK);
    for (unsigned number = 1; number <= 5; number++) {
        break_call (PUT, number, 1, MDB_MAP_FULL);
        assert_int_equal (live (4), BATON_OK);
        assert_int_equal (loaded_sequence (), 4);
        assert_int_equal (live (3), BATON_OK);
    }
    /*  There is an end to it.  */
    break_call (PUT, 1, UINT32_MAX, MDB_MAP_FULL);
    assert_int_equal (live (4), BATON_ERR_DISK_FULL);
    assert_non_null (strstr (detail, mdb_strerror (MDB_MAP_FULL)));
    assert_int_equal (loaded_sequence (), 3);
}

static bn_views_t *open_views (void)
{
    bn_views_t *views;
    if (bn_views_open (&views, directory, detail) != BATON_OK)
        fail_msg ("%s", detail);
    return views;
}

static void a_map_that_cannot_grow_leaves_the_checkpoint (void **state)
{
    (void)state;
    assert_int_equal (live (3), BATON_OK);
    bn_views_t *views = open_views ();
    bn_checkpoint_t *checkpoint = bn_checkpoint_new (4);
    /*  Larger than the map is at first.  */
    static uint8_t value[1 << 20];
    for (uint32_t i = 0; i < 80; i++)
        assert_true (bn_checkpoint_put (&i, sizeof i, value, sizeof value, checkpoint));
    break_call (SET_MAPSIZE, 1, 1, ENOMEM);
    assert_int_equal (bn_views_write (views, checkpoint, detail), BATON_ERR_MEMORY);
    assert_non_null (strstr (detail, "grow"));
    bn_views_close (&views);
    assert_int_equal (loaded_sequence (), 3);
    bn_checkpoint_destroy (&checkpoint);
}

static void a_directory_that_cannot_be_had_has_its_name (void **state)
{
    (void)state;
    bn_views_t *views;
    break_call (MKDIR, 1, 1, EACCES);
    assert_int_equal (bn_views_open (&views, directory, detail), BATON_ERR_PERMISSION);
    assert_null (views);
    assert_non_null (strstr (detail, directory));
    char nowhere[128];
    snprintf (nowhere, sizeof nowhere, "%s/no/where", parent);
    assert_int_equal (bn_views_open (&views, nowhere, detail), BATON_ERR_IO);
    assert_non_null (strstr (detail, strerror (ENOENT)));
    /*  The second stat is that of the length.  */
    break_call (STAT, 2, 1, EIO);
    assert_int_equal (bn_views_open (&views, directory, detail), BATON_ERR_IO);
    assert_non_null (strstr (detail, "size"));
    assert_int_equal (live (3), BATON_OK);
    assert_int_equal (loaded_sequence (), 3);
}

static void what_cannot_be_removed_is_told (void **state)
{
    (void)state;
    char path[128];
    assert_int_equal (live (3), BATON_OK);
    break_call (UNLINK, 1, 1, EACCES);
    assert_int_equal (bn_views_remove (directory, detail), BATON_ERR_PERMISSION);
    assert_non_null (strstr (detail, "data.mdb: remove: "));
    assert_int_equal (loaded_sequence (), 3);
    break_call (RMDIR, 1, 1, EROFS);
    assert_int_equal (bn_views_remove (directory, detail), BATON_ERR_PERMISSION);
    assert_non_null (strstr (detail, directory));
    /*  Something in it that is not ours.  */
    snprintf (path, sizeof path, "%s/mine", directory);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fclose (file);
    assert_int_equal (bn_views_remove (directory, detail), BATON_ERR_IO);
    assert_non_null (strstr (detail, strerror (ENOTEMPTY)));
    assert_int_equal (unlink (path), 0);
    assert_int_equal (bn_views_remove (directory, detail), BATON_OK);
    assert_int_equal (access (directory, F_OK), -1);
}

/*  A directory that can be made, and files in it that can not be named any more.  */
static void a_path_that_is_too_long_is_told (void **state)
{
    (void)state;
    static char path[4096];
    size_t size = (size_t)snprintf (path, sizeof path, "%s", parent);
    while (size < 4090) {
        size_t part = 4090 - size < 200 ? 4090 - size : 200;
        path[size] = '/';
        memset (path + size + 1, 'x', part - 1);
        if (part == 1)
            path[size] = '\0';
        path[size += part] = '\0';
        assert_int_equal (mkdir (path, 0700), 0);
    }
    bn_views_t *views;
    assert_int_equal (bn_views_open (&views, path, detail), BATON_ERR_IO);
    assert_null (views);
    assert_non_null (strstr (detail, strerror (ENAMETOOLONG)));
    *detail = '\0';
    assert_int_equal (bn_views_remove (path, detail), BATON_ERR_IO);
    assert_non_null (strstr (detail, strerror (ENAMETOOLONG)));
}

/*  ---- contents ---- */

typedef struct {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, items;
} raw_t;

static void open_raw (raw_t *self)
{
    assert_int_equal (mdb_env_create (&self->env), 0);
    assert_int_equal (mdb_env_set_maxdbs (self->env, 4), 0);
    assert_int_equal (mdb_env_open (self->env, directory, MDB_NOLOCK, 0600), 0);
    assert_int_equal (mdb_txn_begin (self->env, NULL, 0, &self->txn), 0);
}

static void close_raw (raw_t *self)
{
    assert_int_equal (mdb_txn_commit (self->txn), 0);
    mdb_env_close (self->env);
}

/*  Replaces the entry that says what the checkpoint is.  */
static void change_meta (const void *bytes, size_t size)
{
    raw_t raw;
    open_raw (&raw);
    assert_int_equal (mdb_dbi_open (raw.txn, "meta", 0, &raw.meta), 0);
    MDB_val key = {sizeof "checkpoint", "checkpoint"}, value = {size, (void *)bytes};
    assert_int_equal (mdb_put (raw.txn, raw.meta, &key, &value, 0), 0);
    close_raw (&raw);
}

static baton_err_t load (void)
{
    bn_views_t *views;
    uint64_t sequence = 0;
    unsigned count = 0;
    *detail = '\0';
    baton_err_t err = bn_views_open (&views, directory, detail);
    if (!err)
        err = bn_views_load (views, &sequence, count_item, &count, detail);
    bn_views_close (&views);
    assert_true (!err || (sequence == 0 && count == 0));
    return err;
}

static void expect_refused (baton_err_t expected, const char *why)
{
    baton_err_t err = load ();
    if (err != expected || !strstr (detail, why) || !strstr (detail, directory))
        fail_msg ("%s: %s; expected: %s", baton_err_name (err), detail, why);
    /*  What the caller does then.  */
    assert_int_equal (bn_views_remove (directory, detail), BATON_OK);
    assert_int_equal (live (3), BATON_OK);
    assert_int_equal (loaded_sequence (), 3);
}

static void an_entry_that_is_not_ours_is_refused (void **state)
{
    (void)state;
    struct {
        uint32_t version, crc;
        uint64_t sequence, count;
        uint8_t more[8];
    } meta = {.version = 1, .crc = 7, .sequence = 3, .count = 3};
    size_t size = offsetof (__typeof__ (meta), more);
    assert_int_equal (live (3), BATON_OK);
    /*  Too short, empty, too long, of no version; of a newer one, whatever its size is.  */
    for (size_t bytes = 0; bytes <= sizeof meta; bytes++)
        if (bytes != size) {
            change_meta (&meta, bytes);
            expect_refused (BATON_ERR_ROT, "the checkpoint's entry is damaged");
        }
    meta.version = 0;
    change_meta (&meta, size);
    expect_refused (BATON_ERR_ROT, "the checkpoint's entry is damaged");
    meta.version = 2;
    change_meta (&meta, sizeof meta.version);
    expect_refused (BATON_ERR_FORMAT, "the views have format 2");
    change_meta (&meta, sizeof meta);
    expect_refused (BATON_ERR_FORMAT, "the views have format 2");
    /*  A checksum, a count, a sequence that do not fit the items.  */
    meta.version = 1;
    change_meta (&meta, size);
    expect_refused (BATON_ERR_ROT, "the checksum of the checkpoint is wrong");
    static const uint64_t counts[] = {0, 1, 2, 4, UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        meta.count = counts[i];
        change_meta (&meta, size);
        expect_refused (BATON_ERR_ROT, "the checksum of the checkpoint is wrong");
    }
}

static void databases_that_are_not_ours_are_refused (void **state)
{
    (void)state;
    static const char *const names[] = {"meta", "items"};
    raw_t raw;
    for (int i = 0; i < 2; i++) {
        /*  An entry of the environment that is no database.  */
        assert_int_equal (mkdir (directory, 0700), 0);
        open_raw (&raw);
        MDB_dbi all;
        assert_int_equal (mdb_dbi_open (raw.txn, NULL, 0, &all), 0);
        MDB_val key = {strlen (names[i]), (void *)names[i]}, value = {3, "odd"};
        assert_int_equal (mdb_put (raw.txn, all, &key, &value, 0), 0);
        close_raw (&raw);
        expect_refused (BATON_ERR_ROT, "open: ");
        assert_int_equal (bn_views_remove (directory, detail), BATON_OK);
    }
    /*  Items without the entry that vouches for them are none.  */
    assert_int_equal (live (3), BATON_OK);
    open_raw (&raw);
    assert_int_equal (mdb_dbi_open (raw.txn, "meta", 0, &raw.meta), 0);
    assert_int_equal (mdb_drop (raw.txn, raw.meta, 0), 0);
    close_raw (&raw);
    assert_int_equal (loaded_sequence (), 0);
}

static void a_file_of_another_length (void **state)
{
    (void)state;
    char path[128];
    assert_int_equal (live (3), BATON_OK);
    snprintf (path, sizeof path, "%s/data.mdb", directory);
    /*  Longer than the largest map has room for twice: only the map is larger.  */
    assert_int_equal (truncate (path, (off_t)5 << 30), 0);
    assert_int_equal (loaded_sequence (), 3);
    assert_int_equal (truncate (path, 8192), 0);
    expect_refused (BATON_ERR_ROT, "the file is too short");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (
            each_call_of_lmdb_that_fails_has_its_name_and_loses_nothing, make_directory,
            remove_directory),
        cmocka_unit_test_setup_teardown (a_checkpoint_that_does_not_fit_gets_a_larger_map,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (a_map_that_cannot_grow_leaves_the_checkpoint,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (a_directory_that_cannot_be_had_has_its_name,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (what_cannot_be_removed_is_told, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (a_path_that_is_too_long_is_told, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (an_entry_that_is_not_ours_is_refused, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (databases_that_are_not_ours_are_refused, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (a_file_of_another_length, make_directory,
                                         remove_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
