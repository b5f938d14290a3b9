/* SPDX-License-Identifier: MPL-2.0 */

/*  Real files and system calls that fail, are interrupted, or do half of what they were asked for.
 *  Each call of the C library that vfs_posix.c makes is wrapped by the linker.  */
#include "unit/journal/fixture.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static char directory[64];

/*  ---- the calls ---- */

typedef enum {
    OPEN,
    OPENAT,
    MALLOC,
    PREAD,
    PWRITE,
    FDATASYNC,
    FSYNC,
    FSTAT,
    FSTATVFS,
    RENAMEAT,
    UNLINKAT,
    MKDIR,
    MKDIRAT,
    FDOPENDIR,
    READDIR,
    FCNTL,
    FTRUNCATE,
    ALIGNED_ALLOC,
    FALLOCATE,
    CALLS
} call_t;

static const char *const call_names[CALLS] = {
    "open",    "openat",   "malloc",    "pread",         "pwrite",   "fdatasync", "fsync",
    "fstat",   "fstatvfs", "renameat",  "unlinkat",      "mkdir",    "mkdirat",   "fdopendir",
    "readdir", "fcntl",    "ftruncate", "aligned_alloc", "fallocate"};

static bool armed;
static unsigned counts[CALLS];  /* made while armed */
static unsigned fail_at[CALLS]; /* this one and `fail_count` - 1 after it; 0: none */
static unsigned fail_count;
static int fail_error;
static size_t bytes_max;     /* that one pread or pwrite moves; 0: as many as asked for */
static bool nothing_written; /* pwrite returns 0 */

static bool fails (call_t call)
{
    if (!armed)
        return false;
    unsigned number = ++counts[call];
    if (fail_at[call] == 0 || number < fail_at[call] || number >= fail_at[call] + fail_count)
        return false;
    errno = fail_error;
    return true;
}

static void heal (void)
{
    armed = nothing_written = false;
    bytes_max = 0;
    memset (counts, 0, sizeof counts);
    memset (fail_at, 0, sizeof fail_at);
}

static void break_call (call_t call, unsigned number, unsigned count, int error)
{
    heal ();
    fail_at[call] = number;
    fail_count = count;
    fail_error = error;
    armed = true;
}

int __real_open (const char *path, int flags, ...);
int __wrap_open (const char *path, int flags, ...);
int __wrap_open (const char *path, int flags, ...)
{
    /*  Nobody makes files with it here.  */
    return fails (OPEN) ? -1 : __real_open (path, flags);
}

int __real_openat (int at, const char *path, int flags, ...);
int __wrap_openat (int at, const char *path, int flags, ...);
int __wrap_openat (int at, const char *path, int flags, ...)
{
    return fails (OPENAT) ? -1 : __real_openat (at, path, flags, 0600);
}

void *__real_malloc (size_t size);
void *__wrap_malloc (size_t size);
void *__wrap_malloc (size_t size)
{
    return fails (MALLOC) ? NULL : __real_malloc (size);
}

ssize_t __real_pread (int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap_pread (int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap_pread (int fd, void *bytes, size_t size, off_t at)
{
    if (fails (PREAD))
        return -1;
    return __real_pread (fd, bytes, bytes_max && size > bytes_max ? bytes_max : size, at);
}

ssize_t __real_pwrite (int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite (int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite (int fd, const void *bytes, size_t size, off_t at)
{
    if (fails (PWRITE))
        return -1;
    if (nothing_written)
        return 0;
    return __real_pwrite (fd, bytes, bytes_max && size > bytes_max ? bytes_max : size, at);
}

#define WRAP(CALL, type, name, parameters, arguments, wrong)                                       \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails (CALL) ? wrong : __real_##name arguments;                                     \
    }

/*  No power goes here: the syncs need not take their time.  */
int __wrap_fdatasync (int fd);
int __wrap_fdatasync (int fd)
{
    (void)fd;
    return fails (FDATASYNC) ? -1 : 0;
}

int __wrap_fsync (int fd);
int __wrap_fsync (int fd)
{
    (void)fd;
    return fails (FSYNC) ? -1 : 0;
}

WRAP (FALLOCATE, int, fallocate, (int fd, int mode, off_t from, off_t size), (fd, mode, from, size),
      -1)
WRAP (ALIGNED_ALLOC, void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size),
      NULL)
WRAP (FSTAT, int, fstat, (int fd, struct stat *status), (fd, status), -1)
WRAP (FSTATVFS, int, fstatvfs, (int fd, struct statvfs *status), (fd, status), -1)
WRAP (RENAMEAT, int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to),
      -1)
WRAP (UNLINKAT, int, unlinkat, (int at, const char *path, int flags), (at, path, flags), -1)
WRAP (MKDIR, int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP (MKDIRAT, int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), -1)
WRAP (FDOPENDIR, DIR *, fdopendir, (int fd), (fd), NULL)
WRAP (READDIR, struct dirent *, readdir, (DIR * entries), (entries), NULL)
WRAP (FTRUNCATE, int, ftruncate, (int fd, off_t size), (fd, size), -1)

int __real_fcntl (int fd, int command, ...);
int __wrap_fcntl (int fd, int command, ...);
int __wrap_fcntl (int fd, int command, ...)
{
    va_list args;
    va_start (args, command);
    void *arg = va_arg (args, void *); /* of the commands used here */
    va_end (args);
    return fails (FCNTL) ? -1 : __real_fcntl (fd, command, arg);
}

/*  ---- fixture ---- */

static int make_directory (void **state)
{
    (void)state;
    strcpy (directory, "/tmp/baton-syscalls-XXXXXX");
    return mkdtemp (directory) ? 0 : -1;
}

static int remove_directory (void **state)
{
    (void)state;
    heal ();
    char command[96];
    snprintf (command, sizeof command, "rm -rf '%s'", directory);
    return system (command);
}

static unsigned open_descriptors (void)
{
    unsigned count = 0;
    DIR *entries = opendir ("/proc/self/fd");
    assert_non_null (entries);
    while (readdir (entries))
        count++;
    closedir (entries);
    return count;
}

static bn_vfs_t *new_vfs (void)
{
    bn_vfs_t *vfs;
    assert_int_equal (bn_vfs_posix_new (&vfs, directory, true), 0);
    return vfs;
}

static bool see_name (const char *name, void *arg)
{
    (void)name;
    return ++*(unsigned *)arg < 2;
}

/*  ---- single calls ---- */

static int try_open (bn_vfs_t *vfs)
{
    bn_vfile_t *file;
    int rc = vfs->open (vfs, "file", true, true, &file);
    assert_true ((rc == 0) == (file != NULL));
    vfs->close (vfs, &file);
    return rc;
}

static bn_vfile_t *file_of (bn_vfs_t *vfs)
{
    bn_vfile_t *file;
    bool was = armed;
    armed = false;
    assert_int_equal (vfs->open (vfs, "file", true, true, &file), 0);
    armed = was;
    return file;
}

static int with_file (bn_vfs_t *vfs, call_t call)
{
    bn_vfile_t *file = file_of (vfs);
    char bytes[8] = "1234567";
    int64_t rc = call == PREAD       ? vfs->pread (vfs, file, bytes, sizeof bytes, 0)
                 : call == PWRITE    ? vfs->pwrite (vfs, file, bytes, sizeof bytes, 0)
                 : call == FDATASYNC ? vfs->datasync (vfs, file)
                 : call == FALLOCATE ? vfs->reserve (vfs, file, 5000)
                                     : vfs->size (vfs, file);
    vfs->close (vfs, &file);
    return rc < 0 ? (int)rc : 0;
}

static int try_list (bn_vfs_t *vfs)
{
    unsigned seen = 0;
    return vfs->list (vfs, "", see_name, &seen);
}

static int try_new (void)
{
    bn_vfs_t *vfs;
    char path[96];
    snprintf (path, sizeof path, "%s/data", directory);
    int rc = bn_vfs_posix_new (&vfs, path, true);
    assert_true ((rc == 0) == (vfs != NULL));
    if (vfs)
        vfs->destroy (&vfs);
    return rc;
}

/*  What the journal's caller makes of a call that fails.  */
static int use (bn_vfs_t *vfs, call_t call)
{
    uint64_t bytes;
    switch (call) {
    case OPENAT:
        return try_open (vfs);
    case PREAD:
    case PWRITE:
    case FDATASYNC:
    case FALLOCATE:
    case FSTAT:
        return with_file (vfs, call);
    case FSYNC:
        return vfs->sync_directory (vfs, "");
    case FSTATVFS:
        return vfs->free_bytes (vfs, &bytes);
    case RENAMEAT:
        return vfs->rename (vfs, "file", "other");
    case UNLINKAT:
        return vfs->remove (vfs, "file");
    case MKDIRAT:
        return vfs->make_directory (vfs, "journal");
    case FDOPENDIR:
    case READDIR:
        return try_list (vfs);
    case FCNTL:
        return vfs->lock (vfs);
    default:
        return try_new ();
    }
}

static void each_call_that_fails_returns_its_error_and_leaks_nothing (void **state)
{
    (void)state;
    static const call_t failing[] = {OPENAT,   PREAD,    PWRITE,   FDATASYNC, FSTAT,     FSYNC,
                                     FSTATVFS, RENAMEAT, UNLINKAT, MKDIRAT,   FDOPENDIR, READDIR,
                                     FCNTL,    OPEN,     MKDIR,    FALLOCATE};
    static const int errors[] = {EIO, ENOSPC, EACCES, EMFILE, EDQUOT};
    bn_vfs_t *vfs = new_vfs ();
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            bn_vfile_t *file = file_of (vfs);
            vfs->close (vfs, &file);
            unsigned before = open_descriptors ();
            break_call (failing[i], 1, 1, errors[e]);
            int rc = use (vfs, failing[i]);
            bool made = counts[failing[i]] > 0;
            heal ();
            /*  A lock that may not be had, as some systems say it.  */
            int expected = failing[i] == FCNTL && errors[e] == EACCES ? -EWOULDBLOCK : -errors[e];
            if (!made || rc != expected)
                fail_msg ("%s, %s: %d", call_names[failing[i]], strerror (errors[e]), rc);
            assert_int_equal (open_descriptors (), before);
            if (failing[i] != FCNTL)
                assert_int_equal (use (vfs, failing[i]), 0);
        }
    vfs->destroy (&vfs);
}

static void without_memory_nothing_is_opened (void **state)
{
    (void)state;
    bn_vfs_t *vfs = new_vfs (), *other;
    unsigned before = open_descriptors ();
    break_call (MALLOC, 1, 1, ENOMEM);
    assert_int_equal (try_open (vfs), -ENOMEM);
    break_call (MALLOC, 1, 1, ENOMEM);
    assert_int_equal (bn_vfs_posix_new (&other, directory, true), -ENOMEM);
    assert_null (other);
    heal ();
    assert_int_equal (open_descriptors (), before);
    vfs->destroy (&vfs);
}

/*  ---- interrupted and short ---- */

static void fill (uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
}

static void interrupted_and_short_transfers_are_finished (void **state)
{
    (void)state;
    uint8_t bytes[1000], back[1200];
    fill (bytes, sizeof bytes);
    bn_vfs_t *vfs = new_vfs ();
    bn_vfile_t *file = file_of (vfs);
    break_call (PWRITE, 2, 3, EINTR);
    bytes_max = 300;
    assert_int_equal (vfs->pwrite (vfs, file, bytes, sizeof bytes, 50), sizeof bytes);
    assert_int_equal (counts[PWRITE], 3 + 4);
    break_call (PREAD, 1, 2, EINTR);
    bytes_max = 170;
    memset (back, 0xee, sizeof back);
    assert_int_equal (vfs->pread (vfs, file, back, sizeof back, 50), sizeof bytes);
    assert_memory_equal (back, bytes, sizeof bytes);
    assert_int_equal (vfs->pread (vfs, file, back, sizeof back, 5000), 0);
    heal ();
    assert_int_equal (vfs->size (vfs, file), 50 + sizeof bytes);
    break_call (FALLOCATE, 1, 2, EINTR);
    assert_int_equal (vfs->reserve (vfs, file, 70000), 0);
    assert_int_equal (counts[FALLOCATE], 3);
    heal ();
    assert_int_equal (vfs->size (vfs, file), 70000);
    vfs->close (vfs, &file);
    vfs->destroy (&vfs);
}

/*  What was moved before the error does not make it a success.  */
static void an_error_in_the_middle_is_an_error (void **state)
{
    (void)state;
    uint8_t bytes[1000];
    fill (bytes, sizeof bytes);
    bn_vfs_t *vfs = new_vfs ();
    bn_vfile_t *file = file_of (vfs);
    break_call (PWRITE, 3, 1, ENOSPC);
    bytes_max = 300;
    assert_int_equal (vfs->pwrite (vfs, file, bytes, sizeof bytes, 0), -ENOSPC);
    heal ();
    assert_int_equal (vfs->pwrite (vfs, file, bytes, sizeof bytes, 0), sizeof bytes);
    break_call (PREAD, 2, 1, EIO);
    bytes_max = 300;
    assert_int_equal (vfs->pread (vfs, file, bytes, sizeof bytes, 0), -EIO);
    heal ();
    armed = nothing_written = true;
    assert_int_equal (vfs->pwrite (vfs, file, bytes, sizeof bytes, 0), -EIO);
    heal ();
    vfs->close (vfs, &file);
    vfs->destroy (&vfs);
}

/*  ---- large writes ---- */

/*  Whole pages past the page cache, and whatever is in the way of that.  */
static void large_writes_arrive_whatever_the_file_system_thinks_of_them (void **state)
{
    (void)state;
    enum { SIZE = 3 * 1024 * 1024 + 8192, AT = 4096 };
    static const struct {
        call_t call;
        unsigned number, count;
        int error;
        size_t bytes_max;
        bool fails;
    } cases[] = {
        {CALLS - 1, 0, 0, 0, 0, false},   {ALIGNED_ALLOC, 1, 1, ENOMEM, 0, false},
        {FCNTL, 1, 1, EBADF, 0, false},  /* F_GETFL */
        {FCNTL, 2, 1, EINVAL, 0, false}, /* F_SETFL: no such thing here */
        {PWRITE, 1, 1, EINVAL, 0, false}, {PWRITE, 3, 1, EINVAL, 0, false},
        {PWRITE, 2, 2, EINTR, 0, false},  {PWRITE, 0, 0, 0, 12288, false},
        {PWRITE, 0, 0, 0, 5000, false},   {PWRITE, 1, 1, ENOSPC, 0, true},
        {PWRITE, 2, 1, EIO, 0, true},     {FCNTL, 3, 1, EIO, 0, true}, /* and back */
    };
    uint8_t *memory = aligned_alloc (4096, SIZE + 4096), *back = malloc (SIZE);
    assert_true (memory && back);
    bn_vfs_t *vfs = new_vfs ();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t shift = 0; shift <= 8; shift += 8) {
            bn_vfile_t *file = file_of (vfs);
            fill (memory + shift, SIZE);
            memory[shift] = (uint8_t)i;
            memset (back, 0xee, SIZE);
            break_call (cases[i].call, cases[i].number, cases[i].count, cases[i].error);
            bytes_max = cases[i].bytes_max;
            int64_t rc = vfs->pwrite (vfs, file, memory + shift, SIZE, AT);
            bool needed = cases[i].call != ALIGNED_ALLOC || counts[ALIGNED_ALLOC] > 0;
            heal ();
            assert_true (needed || shift == 0);
            if (cases[i].fails) {
                assert_int_equal (rc, -cases[i].error);
            } else {
                assert_int_equal (rc, SIZE);
                /*  Small ones still go, at any place.  */
                assert_int_equal (vfs->pwrite (vfs, file, memory + shift, 10, AT + SIZE), 10);
                assert_int_equal (vfs->pread (vfs, file, back, SIZE, AT), SIZE);
                assert_memory_equal (back, memory + shift, SIZE);
            }
            vfs->close (vfs, &file);
        }
    vfs->destroy (&vfs);
    free (memory);
    free (back);
}

/*  ---- directories ---- */

static void a_directory_may_be_there_already_and_a_file_is_none (void **state)
{
    (void)state;
    char path[96];
    bn_vfs_t *vfs = new_vfs (), *other;
    bn_vfile_t *file = file_of (vfs);
    vfs->close (vfs, &file);
    assert_int_equal (vfs->make_directory (vfs, "journal"), 0);
    assert_int_equal (vfs->make_directory (vfs, "journal"), 0);
    unsigned seen = 0;
    /*  "file" and "journal", and it stops when it is told to.  */
    assert_int_equal (vfs->list (vfs, "", see_name, &seen), 0);
    assert_int_equal (seen, 2);
    assert_int_equal (vfs->list (vfs, "nowhere", see_name, &seen), -ENOENT);
    assert_int_equal (vfs->sync_directory (vfs, "nowhere"), -ENOENT);
    assert_int_equal (vfs->sync_directory (vfs, "file"), -ENOTDIR);
    snprintf (path, sizeof path, "%s/file", directory);
    assert_int_equal (bn_vfs_posix_new (&other, path, true), -ENOTDIR);
    assert_null (other);
    void (*destroy) (bn_vfs_t **) = vfs->destroy;
    destroy (&vfs);
    assert_null (vfs);
    destroy (&vfs);
}

/*  A parent that may not be read cannot be synced; the directory is of use all the same.  */
static void a_new_directory_does_without_its_parent (void **state)
{
    (void)state;
    break_call (OPENAT, 1, 1, EACCES);
    assert_int_equal (try_new (), 0);
    assert_int_equal (counts[OPENAT], 1);
}

/*  ---- the lock ---- */

static void a_lock_that_cannot_be_had_says_why (void **state)
{
    (void)state;
    static const struct {
        int error, expected;
    } cases[] = {{EACCES, -EWOULDBLOCK}, {EAGAIN, -EWOULDBLOCK}, {ENOLCK, -ENOLCK}};
    bn_vfs_t *vfs = new_vfs (), *other = new_vfs ();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        break_call (FCNTL, 1, 1, cases[i].error);
        assert_int_equal (vfs->lock (vfs), cases[i].expected);
        heal ();
        assert_false (other->locked (other));
    }
    break_call (OPENAT, 1, 1, EROFS);
    assert_int_equal (vfs->lock (vfs), -EROFS);
    /*  Its file tells people who has it; without that it is a lock all the same.  */
    break_call (FTRUNCATE, 1, 1, ENOSPC);
    assert_int_equal (vfs->lock (vfs), 0);
    heal ();
    assert_true (other->locked (other));
    assert_int_equal (other->lock (other), -EWOULDBLOCK);
    /*  Who cannot ask does not know of an owner; taking it still fails.  */
    break_call (OPENAT, 1, 1, EACCES);
    assert_false (other->locked (other));
    break_call (FCNTL, 1, 1, EINVAL);
    assert_false (other->locked (other));
    heal ();
    assert_int_equal (other->lock (other), -EWOULDBLOCK);
    vfs->destroy (&vfs);
    assert_int_equal (other->lock (other), 0);
    other->destroy (&other);
}

/*  ---- a journal on it ---- */

#define LIFE_BATCHES 8
#define LIFE_BATCH   12

typedef struct {
    uint64_t receipted;
    uint64_t trusted;
    uint64_t written;
    baton_err_t err;
} life_t;

static baton_err_t open_fixture (fixture_t *f, uint64_t trusted)
{
    f->options = (bn_journal_options_t){.segment_bytes = SMALL_SEGMENT, .salt = 4711};
    baton_err_t err = bn_journal_open (&f->writer, &f->reader, f->vfs, &f->options, trusted, NULL,
                                       NULL, &f->recovery, f->detail);
    f->next = f->recovery.sequence_next;
    return err;
}

static life_t live (fixture_t *f)
{
    life_t life = {.receipted = 0};
    uint64_t base, first;
    life.err = open_fixture (f, 0);
    for (int i = 0; i < LIFE_BATCHES && !life.err; i++) {
        life.written = f->next + LIFE_BATCH - 1;
        life.err = fixture_append (f, LIFE_BATCH);
        if (!life.err)
            life.receipted = f->next - 1;
        if (!life.err && i % 3 == 2) {
            life.trusted = life.receipted;
            life.err = bn_journal_trim (f->writer, record_base (life.receipted - 10), life.trusted,
                                        &base, &first, f->detail);
        }
        if (!life.err && i % 2)
            life.err = bn_journal_prepare (f->writer, f->detail);
    }
    return life;
}

static bool case_of_a_life (call_t call, unsigned number, unsigned count)
{
    fixture_t f = {.next = 1};
    f.vfs = new_vfs ();
    break_call (call, number, count, EIO);
    life_t life = live (&f);
    bool reached = counts[call] >= number;
    bn_journal_reader_destroy (&f.reader);
    bn_journal_writer_destroy (&f.writer);
    heal ();
    if (life.err && (life.err != BATON_ERR_IO || !strstr (f.detail, strerror (EIO))))
        fail_msg ("%s %u: %s: %s", call_names[call], number, baton_err_name (life.err), f.detail);
    if (open_fixture (&f, life.trusted) != BATON_OK)
        fail_msg ("%s %u: afterwards: %s", call_names[call], number, f.detail);
    assert_in_range (f.next - 1, life.receipted, life.written);
    fixture_expect (&f, f.recovery.first_sequence, f.next - 1);
    assert_int_equal (fixture_append (&f, 5), BATON_OK);
    fixture_abandon (&f);
    assert_int_equal (remove_directory (NULL), 0);
    return reached;
}

static void whatever_call_fails_the_journal_says_so_and_loses_nothing (void **state)
{
    (void)state;
    static const call_t calls[] = {OPENAT, PREAD,    PWRITE,   FDATASYNC, FSYNC,    FSTAT,
                                   FCNTL,  RENAMEAT, UNLINKAT, MKDIRAT,   FDOPENDIR};
    unsigned cases = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int forever = 0; forever < 2; forever++)
            for (unsigned number = 1;
                 case_of_a_life (calls[i], number, forever ? UINT32_MAX / 2 : 1); number++)
                cases++;
    printf ("%u failing system calls\n", cases);
    assert_true (cases > 200);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (each_call_that_fails_returns_its_error_and_leaks_nothing,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (without_memory_nothing_is_opened, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (interrupted_and_short_transfers_are_finished,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (an_error_in_the_middle_is_an_error, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (
            large_writes_arrive_whatever_the_file_system_thinks_of_them, make_directory,
            remove_directory),
        cmocka_unit_test_setup_teardown (a_directory_may_be_there_already_and_a_file_is_none,
                                         make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (a_new_directory_does_without_its_parent, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (a_lock_that_cannot_be_had_says_why, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (whatever_call_fails_the_journal_says_so_and_loses_nothing,
                                         make_directory, remove_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
