/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_detach.h"
#include "cli/options.h"
#include "shell/clock.h"
#include "supervisor/control.h"
#include "supervisor/logbook.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPEAT_BYTES_MAX (64 * 1024) /* of what a child that failed has said: its end */
#define EXIT_INTERRUPTED 130

typedef struct {
    pid_t child;
    int ready;     /* read end of the pipe */
    int signals;   /* signalfd: SIGINT, SIGTERM */
    int log;       /* the child's output, to read */
    bool own;      /* it is */
    off_t before;  /* what was in it already */
    sigset_t mask; /* as it was */
} s_parent_t;

/*  The log as it is before the child writes to it; -1 with errno.  */
static int s_open_log (const char *data_dir, off_t *size)
{
    char folder[PATH_MAX];
    struct stat info;
    if (snprintf (folder, sizeof (folder), "%s/logs", data_dir) >= (int)sizeof (folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir (folder, 0700) && errno != EEXIST)
        return -1;
    char *path = bn_logbook_path (folder, "up", 0);
    int fd = path ? open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    free (path);
    *size = fd >= 0 && fstat (fd, &info) == 0 ? info.st_size : 0;
    return fd;
}

static void s_repeat (const s_parent_t *self)
{
    char *bytes = malloc (REPEAT_BYTES_MAX);
    struct stat info;
    off_t from = self->before;
    if (fstat (self->log, &info) == 0 && info.st_size - from > REPEAT_BYTES_MAX)
        from = info.st_size - REPEAT_BYTES_MAX;
    ssize_t size = bytes ? pread (self->log, bytes, REPEAT_BYTES_MAX, from) : 0;
    if (size > 0)
        fwrite (bytes, 1, (size_t)size, stderr);
    free (bytes);
}

/*  Waits for the child's end; its exit code.  */
static int s_end (const s_parent_t *self)
{
    int status;
    sigprocmask (SIG_SETMASK, &self->mask, NULL); /* who does not want to wait for it need not */
    while (waitpid (self->child, &status, 0) < 0)
        if (errno != EINTR)
            return BN_EXIT_FAILED;
    if (self->own)
        s_repeat (self);
    if (WIFSIGNALED (status))
        return bn_failure ("up", BATON_OK, "it was ended by signal %d", WTERMSIG (status));
    /*  Stopped as it was asked to, and yet not what was wanted.  */
    return WEXITSTATUS (status) ? WEXITSTATUS (status) : BN_EXIT_FAILED;
}

/*  Asks the child which instance is not ready, and how many more: "" if it does not say.  */
static void s_who_is_not_ready (const char *data_dir, char *text, size_t size)
{
    char *reply = NULL;
    const json_t *service, *instance, *first = NULL;
    size_t i, k, others = 0;
    *text = 0;
    if (bn_control_ask (data_dir, "status", &reply))
        return;
    json_t *answer = json_loads (reply, 0, NULL);
    free (reply);
    json_array_foreach (json_object_get (answer, "services"), i, service)
    {
        json_array_foreach (json_object_get (service, "instances"), k, instance)
        {
            if (json_is_true (json_object_get (instance, "ready")))
                continue;
            others += first != NULL;
            first = first ? first : instance;
        }
    }
    const char *name = json_string_value (json_object_get (first, "instance"));
    const char *status = json_string_value (json_object_get (first, "status"));
    if (name)
        snprintf (text, size, ": %s is not%s%s%s", name, status && *status ? " (" : "",
                  status ? status : "", status && *status ? ")" : "");
    if (name && others)
        snprintf (text + strlen (text), size - strlen (text), ", and %zu more", others);
    json_decref (answer);
}

static int s_wait (s_parent_t *self, const bn_up_detach_options_t *options)
{
    uint64_t end_ms = bn_clock_now ().mono_ms + (uint64_t)options->ready_s * 1000;
    struct pollfd items[] = {{.fd = self->ready, .events = POLLIN},
                             {.fd = self->signals, .events = POLLIN}};
    for (;;) {
        uint64_t now_ms = bn_clock_now ().mono_ms;
        char byte = 0;
        int left_ms = now_ms >= end_ms            ? 0
                      : end_ms - now_ms > INT_MAX ? INT_MAX
                                                  : (int)(end_ms - now_ms);
        int ready = poll (items, 2, left_ms);
        if (ready == 0 || (ready > 0 && items[1].revents))
            break;
        if (ready < 0)
            continue;
        if (read (self->ready, &byte, 1) != 1)
            return s_end (self);
        self->own = true;
        if (byte == BN_UP_DETACH_READY[0]) {
            printf ("ready, pid %d; baton down --data-dir %s stops it\n", (int)self->child,
                    options->data_dir);
            return BN_EXIT_OK;
        }
    }
    struct signalfd_siginfo info;
    bool interrupted = items[1].revents && read (self->signals, &info, sizeof (info)) > 0;
    char who[512] = "";
    if (!interrupted)
        s_who_is_not_ready (options->data_dir, who, sizeof (who));
    kill (self->child, SIGTERM);
    s_end (self);
    if (interrupted)
        return EXIT_INTERRUPTED;
    return bn_failure ("up", BATON_OK, "not everything was ready within %" PRIu32 " s%s; stopped",
                       options->ready_s, who);
}

/*  Nothing of the terminal, and nothing of whoever has called, stays open.  */
static bool s_become_daemon (int ready_fd)
{
    int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
    if (setsid () < 0 || null < 0 || dup2 (null, STDIN_FILENO) < 0)
        return false;
    if (ready_fd > 3)
        close_range (3, (unsigned)ready_fd - 1, 0);
    close_range ((unsigned)ready_fd + 1, ~0U, 0);
    return true;
}

int bn_up_detach (const bn_up_detach_options_t *options, int *ready_fd)
{
    s_parent_t self = {.child = -1};
    sigset_t stops;
    int ready[2];
    int code = -1;

    self.log = s_open_log (options->data_dir, &self.before);
    if (self.log < 0)
        return bn_failure ("up", BATON_OK, "%s/logs/up.log: %s", options->data_dir,
                           strerror (errno));
    sigemptyset (&stops);
    sigaddset (&stops, SIGINT);
    sigaddset (&stops, SIGTERM);
    sigprocmask (SIG_BLOCK, &stops, &self.mask);
    self.signals = signalfd (-1, &stops, SFD_CLOEXEC);
    if (self.signals >= 0 && pipe2 (ready, O_CLOEXEC) == 0) {
        self.ready = ready[0];
        fflush (NULL);
        self.child = fork ();
    }
    if (self.child < 0)
        return bn_failure ("up", BATON_ERR_SYSTEM, "it cannot be detached: %s", strerror (errno));
    if (self.child == 0) {
        sigprocmask (SIG_SETMASK, &self.mask, NULL);
        *ready_fd = ready[1];
        if (!s_become_daemon (ready[1])) {
            bn_failure ("up", BATON_ERR_SYSTEM, "it cannot be detached: %s", strerror (errno));
            _exit (BN_EXIT_FAILED);
        }
        return -1;
    }
    close (ready[1]);
    code = s_wait (&self, options);
    close (self.ready);
    close (self.signals);
    close (self.log);
    return code;
}
