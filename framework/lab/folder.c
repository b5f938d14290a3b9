/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/folder.h"
#include "lab/lab.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME "supervisor.lock"
#define KEEP_NAME "keep"
#define YOUNG_S   60

const char *bn_lab_folder_parent (void)
{
    const char *folder = getenv ("TMPDIR");
    return folder && *folder == '/' ? folder : "/tmp";
}

static void s_prefix (char text[64])
{
    snprintf (text, 64, BN_LAB_PREFIX "%ju-", (uintmax_t)getuid ());
}

baton_err_t bn_lab_folder_new (char folder[PATH_MAX], char detail[512])
{
    char name[64];
    s_prefix (name);
    if (snprintf (folder, PATH_MAX, "%s/%sXXXXXX", bn_lab_folder_parent (), name) >= PATH_MAX ||
        !mkdtemp (folder)) {
        snprintf (detail, 512, "a folder in %s: %s", bn_lab_folder_parent (), strerror (errno));
        *folder = 0;
        return BATON_ERR_SYSTEM;
    }
    return BATON_OK;
}

static int s_remove_one (const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    remove (path);
    return 0;
}

void bn_lab_folder_remove (const char *folder)
{
    nftw (folder, s_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void bn_lab_folder_keep (const char *folder)
{
    char path[PATH_MAX + 16];
    snprintf (path, sizeof path, "%s/" KEEP_NAME, folder);
    int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close (fd);
}

const char *bn_lab_folder_name (const char *folder)
{
    const char *slash = strrchr (folder, '/');
    const char *name = slash ? slash + 1 : folder;
    const char *dash = strrchr (name, '-');
    return dash ? dash + 1 : name;
}

/*  The lock of a folder, taken: -1: a living lab has it, or the folder is no (finished) lab's.  */
static int s_take_lock (int folder, bool *alive)
{
    struct stat status;
    *alive = false;
    if (fstat (folder, &status) || status.st_uid != getuid ())
        return -1;
    int lock = openat (folder, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (lock < 0 && errno == ENOENT && time (NULL) - status.st_mtime > YOUNG_S)
        lock = openat (folder, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock >= 0 && flock (lock, LOCK_EX | LOCK_NB)) {
        *alive = errno == EWOULDBLOCK;
        close (lock);
        lock = -1;
    }
    return lock;
}

/*  Calls `each` with every folder of this user's labs; `lock` is held during the call, or -1.  */
typedef void (s_each_fn) (const char *path, bool alive, bool kept, int lock, void *arg);

static void s_walk (s_each_fn *each, void *arg)
{
    char start[64];
    s_prefix (start);
    DIR *folders = opendir (bn_lab_folder_parent ());
    for (struct dirent *entry; folders && (entry = readdir (folders));) {
        char path[PATH_MAX];
        bool alive;
        if (strncmp (entry->d_name, start, strlen (start)) ||
            snprintf (path, sizeof path, "%s/%s", bn_lab_folder_parent (), entry->d_name) >=
                PATH_MAX)
            continue;
        int folder = open (path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (folder < 0)
            continue;
        int lock = s_take_lock (folder, &alive);
        if (alive || lock >= 0)
            each (path, alive, faccessat (folder, KEEP_NAME, F_OK, 0) == 0, lock, arg);
        if (lock >= 0)
            close (lock);
        close (folder);
    }
    if (folders)
        closedir (folders);
}

typedef struct {
    bn_lab_found_t *found;
    size_t count;
} s_list_t;

static void s_list (const char *path, bool alive, bool kept, int lock, void *arg)
{
    s_list_t *self = arg;
    (void)lock;
    if (self->count == BN_LAB_FOUND_MAX)
        return;
    bn_lab_found_t *found = &self->found[self->count++];
    found->alive = alive;
    found->kept = kept;
    snprintf (found->folder, sizeof found->folder, "%s", path);
}

size_t bn_lab_find (bn_lab_found_t found[BN_LAB_FOUND_MAX])
{
    s_list_t self = {.found = found};
    s_walk (s_list, &self);
    return self.count;
}

typedef struct {
    bool all;
    size_t count;
} s_sweep_t;

static void s_sweep (const char *path, bool alive, bool kept, int lock, void *arg)
{
    s_sweep_t *self = arg;
    if (alive || lock < 0 || (kept && !self->all))
        return;
    bn_lab_folder_remove (path);
    self->count++;
}

size_t bn_lab_clean (bool all)
{
    s_sweep_t self = {.all = all};
    s_walk (s_sweep, &self);
    return self.count;
}
