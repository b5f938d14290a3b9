/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/process.h"
#include "base/assert.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES_MAX (64 * 1024) /* of output in one bn_process_poll: others want their turn */

extern char **environ;

struct bn_process {
    pid_t pid;
    int pidfd;  /* owned; -1 once it has ended */
    int output; /* owned; read end of the pipe; -1: none, or closed */
    bool reaped;
    int status;       /* as in wait(2), once reaped */
    size_t line_size; /* bytes in line */
    char line[BN_PROCESS_LINE_BYTES_MAX + 1];
};

/*  What the child needs, made before the fork.  */
typedef struct {
    char *path; /* owned */
    const char *const *argv;
    char **environment; /* owned array; strings borrowed */
    const char *directory;
    bn_capture_t capture;
    int output; /* write end, or -1 */
    int report; /* write end: stage and errno, if exec is not reached */
    int null;   /* /dev/null */
    pid_t parent;
} s_plan_t;

typedef struct {
    int error;
    char stage[16];
} s_report_t;

/*  OK if `name` in the folder is a file that may be run; *path is absolute then, because the child
 *  may run in another directory.  */
static baton_err_t s_runnable (const char *folder, size_t folder_size, const char *name,
                               char **path)
{
    char candidate[PATH_MAX];
    struct stat info;
    int used = snprintf (candidate, sizeof (candidate), "%.*s%s%s", (int)folder_size, folder,
                         folder_size ? "/" : "", name);
    if (used < 0 || (size_t)used >= sizeof (candidate) || stat (candidate, &info))
        return errno == EACCES ? BATON_ERR_PERMISSION : BATON_ERR_NOT_FOUND;
    if (!S_ISREG (info.st_mode) || access (candidate, X_OK))
        return BATON_ERR_PERMISSION;
    char *here = candidate[0] == '/' ? strdup ("") : getcwd (NULL, 0);
    int size = here ? asprintf (path, "%s%s%s", here, *here ? "/" : "", candidate) : -1;
    free (here);
    return size < 0 ? BATON_ERR_MEMORY : BATON_OK;
}

baton_err_t bn_process_find (const char *program, char **path)
{
    baton_err_t err = BATON_ERR_NOT_FOUND;
    *path = NULL;
    if (!*program)
        return err;
    if (strchr (program, '/'))
        return s_runnable ("", 0, program, path);
    const char *folders = getenv ("PATH");
    if (!folders)
        folders = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t size = strcspn (folders, ":");
        baton_err_t found = s_runnable (folders, size, program, path);
        if (found == BATON_OK || found == BATON_ERR_MEMORY)
            return found;
        if (found == BATON_ERR_PERMISSION)
            err = found;
        if (!folders[size])
            return err;
        folders += size + 1;
    }
}

static bool s_same_variable (const char *one, const char *other)
{
    return !strncmp (one, other, strcspn (one, "=") + 1);
}

/*  environ with the additions in place of what they replace, of two additions of one name the later
 *  one; the strings are borrowed.  */
static char **s_environment (const char *const *additions)
{
    size_t count = 0, added = 0;
    while (environ && environ[count])
        count++;
    while (additions && additions[added])
        added++;
    char **result = calloc (count + added + 1, sizeof (*result));
    if (!result)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < added && !replaced; k++)
            replaced = s_same_variable (additions[k], environ[i]);
        if (!replaced)
            result[used++] = environ[i];
    }
    for (size_t k = 0; k < added; k++) {
        bool replaced = false;
        for (size_t later = k + 1; later < added && !replaced; later++)
            replaced = s_same_variable (additions[k], additions[later]);
        if (!replaced)
            result[used++] = (char *)(uintptr_t)additions[k]; /* execve does not write to them */
    }
    return result;
}

/*  In the child; only async-signal-safe calls.  */
static _Noreturn void s_child_fail (const s_plan_t *plan, const char *stage)
{
    s_report_t report = {.error = errno};
    for (size_t i = 0; stage[i] && i < sizeof (report.stage) - 1; i++)
        report.stage[i] = stage[i];
    ssize_t written = write (plan->report, &report, sizeof (report));
    _exit (written == sizeof (report) ? 127 : 126);
}

static _Noreturn void s_child (const s_plan_t *plan)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    setpgid (0, 0);
    if (prctl (PR_SET_PDEATHSIG, SIGKILL))
        s_child_fail (plan, "prctl");
    if (getppid () != plan->parent)
        _exit (126); /* the parent died before the line above took effect */

    /*  Handlers of the parent must not run here: defaults first, then let signals in.  */
    for (int number = 1; number < NSIG; number++)
        sigaction (number, &action, NULL);
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);

    if (dup2 (plan->null, STDIN_FILENO) < 0)
        s_child_fail (plan, "stdin");
    if (plan->capture != BN_CAPTURE_NONE && dup2 (plan->output, STDOUT_FILENO) < 0)
        s_child_fail (plan, "stdout");
    if (plan->capture == BN_CAPTURE_BOTH && dup2 (plan->output, STDERR_FILENO) < 0)
        s_child_fail (plan, "stderr");
    if (plan->directory && chdir (plan->directory))
        s_child_fail (plan, "directory");
    close_range (3, ~0U, CLOSE_RANGE_CLOEXEC); /* descriptors of ours are not the program's */
    execve (plan->path, (char *const *)(uintptr_t)plan->argv, plan->environment);
    s_child_fail (plan, "exec");
}

static void s_close (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

static void s_say (char *detail, size_t size, const char *program, const char *stage, int error)
{
    if (detail && size)
        snprintf (detail, size, "%s: %s%s%s", program, stage, *stage ? ": " : "", strerror (error));
}

/*  Forks; returns once the child runs the program, or with what it reported.  */
static baton_err_t s_launch (bn_process_t *self, s_plan_t *plan, int report_in, char *detail,
                             size_t detail_size)
{
    s_report_t report;
    sigset_t all, before;

    plan->parent = getpid ();
    /*  No handler of ours may run in the child before it has reset them.  */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    pid_t pid = fork ();
    if (pid == 0)
        s_child (plan);
    int error = errno;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    s_close (&plan->report);
    s_close (&plan->output);
    if (pid < 0) {
        s_say (detail, detail_size, plan->argv[0], "fork", error);
        return BATON_ERR_SYSTEM;
    }
    setpgid (pid, pid); /* the child does it too: whoever comes first */
    self->pid = pid;

    ssize_t size;
    do
        size = read (report_in, &report, sizeof (report));
    while (size < 0 && errno == EINTR);
    if (size != 0) {
        waitpid (pid, &self->status, 0);
        self->reaped = true;
        if (size != sizeof (report))
            report = (s_report_t){.error = EIO, .stage = "start"};
        report.stage[sizeof (report.stage) - 1] = 0;
        s_say (detail, detail_size, plan->argv[0], report.stage, report.error);
        return report.error == EACCES   ? BATON_ERR_PERMISSION
               : report.error == ENOENT ? BATON_ERR_NOT_FOUND
                                        : BATON_ERR_SYSTEM;
    }
    self->pidfd = pidfd_open (pid, 0);
    if (self->pidfd < 0) {
        s_say (detail, detail_size, plan->argv[0], "pidfd_open", errno);
        return BATON_ERR_SYSTEM;
    }
    return BATON_OK;
}

static baton_err_t s_start (bn_process_t *self, const bn_process_options_t *options, s_plan_t *plan,
                            char *detail, size_t detail_size)
{
    int report_pipe[2] = {-1, -1}, output_pipe[2] = {-1, -1};
    baton_err_t err = bn_process_find (options->argv[0], &plan->path);
    if (err) {
        s_say (detail, detail_size, options->argv[0], "",
               err == BATON_ERR_PERMISSION ? EACCES
               : err == BATON_ERR_MEMORY   ? ENOMEM
                                           : ENOENT);
        return err;
    }
    plan->environment = s_environment (options->environment);
    if (!plan->environment)
        return BATON_ERR_MEMORY;
    plan->null = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    if (plan->null < 0 || pipe2 (report_pipe, O_CLOEXEC) ||
        (options->capture != BN_CAPTURE_NONE && pipe2 (output_pipe, O_CLOEXEC))) {
        s_say (detail, detail_size, options->argv[0], "pipe", errno);
        err = BATON_ERR_SYSTEM;
    }
    plan->report = report_pipe[1];
    plan->output = output_pipe[1];
    self->output = output_pipe[0];
    if (self->output >= 0)
        fcntl (self->output, F_SETFL, O_NONBLOCK);
    if (err == BATON_OK)
        err = s_launch (self, plan, report_pipe[0], detail, detail_size);
    s_close (&report_pipe[0]);
    return err;
}

baton_err_t bn_process_start (bn_process_t **process, const bn_process_options_t *options,
                              char *detail, size_t detail_size)
{
    s_plan_t plan = {.argv = options->argv,
                     .directory = options->directory,
                     .capture = options->capture,
                     .output = -1,
                     .report = -1,
                     .null = -1};
    *process = NULL;
    if (detail && detail_size)
        snprintf (detail, detail_size, "%s", baton_err_text (BATON_ERR_MEMORY));
    bn_process_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->pidfd = self->output = -1;

    baton_err_t err = s_start (self, options, &plan, detail, detail_size);
    s_close (&plan.report);
    s_close (&plan.output);
    s_close (&plan.null);
    free (plan.path);
    free (plan.environment);
    if (err)
        bn_process_destroy (&self);
    *process = self;
    return err;
}

void bn_process_destroy (bn_process_t **self_p)
{
    bn_process_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->pid > 0 && !self->reaped) {
        kill (-self->pid, SIGKILL);
        while (waitpid (self->pid, &self->status, 0) < 0 && errno == EINTR)
            ;
    }
    s_close (&self->pidfd);
    s_close (&self->output);
    free (self);
}

pid_t bn_process_pid (const bn_process_t *self)
{
    return self->pid;
}

bool bn_process_signal (const bn_process_t *self, int signal)
{
    return !self->reaped && kill (-self->pid, signal) == 0;
}

void bn_process_poll_prepare (const bn_process_t *self, struct pollfd fds[BN_PROCESS_POLL_FDS])
{
    fds[0] = (struct pollfd){.fd = self->pidfd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = self->output, .events = POLLIN};
}

/*  Delivers what is gathered as one line.  */
static void s_deliver (bn_process_t *self, size_t size, bn_process_line_fn *line, void *arg)
{
    while (size > 0 && self->line[size - 1] == '\r')
        size--;
    self->line[size] = 0;
    if (line)
        line (self->line, size, arg);
}

/*  Adds bytes, delivering each full line, and pieces of lines that are too long.  */
static void s_feed (bn_process_t *self, const char *bytes, size_t size, bn_process_line_fn *line,
                    void *arg)
{
    while (size > 0) {
        const char *end = memchr (bytes, '\n', size);
        size_t take = end ? (size_t)(end - bytes) : size;
        size_t room = BN_PROCESS_LINE_BYTES_MAX - self->line_size;
        bool cut = take > room;
        if (cut)
            take = room;
        memcpy (self->line + self->line_size, bytes, take);
        self->line_size += take;
        bytes += take;
        size -= take;
        if (!cut && end) {
            bytes++;
            size--;
        }
        if (cut || end) {
            s_deliver (self, self->line_size, line, arg);
            self->line_size = 0;
        }
    }
}

static void s_read_output (bn_process_t *self, bn_process_line_fn *line, void *arg)
{
    char bytes[8192];
    for (size_t total = 0; total < READ_BYTES_MAX;) {
        ssize_t size = read (self->output, bytes, sizeof (bytes));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0) {
            s_close (&self->output);
            break;
        }
        s_feed (self, bytes, (size_t)size, line, arg);
        total += (size_t)size;
    }
}

void bn_process_poll (bn_process_t *self, const struct pollfd fds[BN_PROCESS_POLL_FDS],
                      bn_process_line_fn *line, void *arg)
{
    bool ended = self->pidfd >= 0 && fds[0].fd == self->pidfd && fds[0].revents;
    if (self->output >= 0 && (ended || (fds[1].fd == self->output && fds[1].revents)))
        s_read_output (self, line, arg);
    if (!ended)
        return;
    /*  One read per call is the rule, and holds here too: what a process that floods its output had
     *  left in the pipe, 64 KiB by default, was read above. Its children may keep the pipe open for
     *  ever, so its end is not waited for.  */
    kill (-self->pid,
          SIGKILL); /* what it has left behind; not reaped yet, so the id is still its */
    pid_t pid = waitpid (self->pid, &self->status, WNOHANG);
    bn_assert (pid == self->pid || (pid < 0 && errno == EINTR) || pid == 0);
    if (pid != self->pid)
        return;
    self->reaped = true;
    s_close (&self->pidfd);
    s_close (&self->output);
    if (self->line_size) {
        s_deliver (self, self->line_size, line, arg);
        self->line_size = 0;
    }
}

bool bn_process_ended (const bn_process_t *self, int *status)
{
    if (self->reaped && status)
        *status = self->status;
    return self->reaped;
}

void bn_process_describe (int status, char *text, size_t size)
{
    if (WIFEXITED (status))
        snprintf (text, size, "exit code %d", WEXITSTATUS (status));
    else if (WIFSIGNALED (status))
        snprintf (text, size, "signal %d (%s)", WTERMSIG (status), strsignal (WTERMSIG (status)));
    else
        snprintf (text, size, "status 0x%x", (unsigned)status);
}
