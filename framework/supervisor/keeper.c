/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum { KEEPER_ADD, KEEPER_REMOVE } s_what_t;

typedef struct {
    s_what_t what;
    pid_t group;
} s_word_t;

/*  ---- the process ---- */

static size_t s_find (const pid_t *groups, size_t count, pid_t group)
{
    size_t at = 0;
    while (at < count && groups[at] != group)
        at++;
    return at;
}

/*  Nothing of the supervisor's may stay open here: its locks and the ends of its pipes.  */
static void s_settle_down (int fd)
{
    sigset_t all;
    sigfillset (&all);
    sigprocmask (SIG_BLOCK, &all, NULL);
    prctl (PR_SET_NAME, "baton-keeper");
    setsid ();
    if (chdir ("/"))
        _exit (1);
    if (fd != STDERR_FILENO + 1 && dup2 (fd, STDERR_FILENO + 1) < 0)
        _exit (1);
    close_range (STDERR_FILENO + 2, ~0U, 0);
    int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
    for (int standard = 0; standard <= STDERR_FILENO; standard++)
        dup2 (null, standard);
}

static _Noreturn void s_keep (int fd)
{
    static pid_t groups[BN_KEEPER_GROUPS_MAX];
    size_t count = 0;
    s_word_t word;
    s_settle_down (fd);
    for (;;) {
        ssize_t size = recv (STDERR_FILENO + 1, &word, sizeof (word), 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size != sizeof (word))
            break;
        size_t at = s_find (groups, count, word.group);
        if (word.what == KEEPER_REMOVE && at < count)
            groups[at] = groups[--count];
        else if (word.what == KEEPER_ADD && at == count && count < BN_KEEPER_GROUPS_MAX)
            groups[count++] = word.group;
    }
    for (size_t i = 0; i < count; i++)
        kill (-groups[i], SIGKILL);
    _exit (0);
}

/*  ---- the supervisor's side ---- */

/*  Does not wait; a keeper that was killed hears nothing, and a socket that is full is one that is
 *  stopped.  */
static void s_say (const bn_keeper_t *self, s_what_t what, pid_t group)
{
    s_word_t word = {what, group};
    if (self->fd >= 0)
        send (self->fd, &word, sizeof (word), MSG_NOSIGNAL | MSG_DONTWAIT);
}

baton_err_t bn_keeper_start (bn_keeper_t *self)
{
    int ends[2];
    self->fd = -1;
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return BATON_ERR_SYSTEM;
    self->pid = fork ();
    if (self->pid == 0) {
        close (ends[0]);
        s_keep (ends[1]);
    }
    close (ends[1]);
    if (self->pid < 0) {
        close (ends[0]);
        return BATON_ERR_SYSTEM;
    }
    self->fd = ends[0];
    return BATON_OK;
}

void bn_keeper_stop (bn_keeper_t *self)
{
    if (self->fd < 0)
        return;
    kill (self->pid, SIGKILL); /* before it sees the end of the socket: there is nobody to end */
    close (self->fd);
    self->fd = -1;
    while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void bn_keeper_add (const bn_keeper_t *self, pid_t group)
{
    s_say (self, KEEPER_ADD, group);
}

void bn_keeper_remove (const bn_keeper_t *self, pid_t group)
{
    s_say (self, KEEPER_REMOVE, group);
}
