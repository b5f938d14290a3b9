/* SPDX-License-Identifier: MPL-2.0 */

/*  process.h - one child process: started, watched, heard, ended.
 *
 *  DESIGN. fork and exec, where the child runs only async-signal-safe calls on what the parent has
 *  prepared before: the parent may have threads (ZeroMQ's). What goes wrong in the child before
 *  exec comes back through a pipe that exec closes, so a program that cannot be run is an error of
 *  bn_process_start and not a mysterious exit code.
 *
 *    - The child leads a process group of its own: Ctrl-C in the terminal reaches only the parent,
 *      and a signal to the child reaches what it has started.
 *    - PR_SET_PDEATHSIG SIGKILL: when the parent dies, however, the child does too. It is tied to
 *      the *thread* that forked, so bn_process_start must be called from one that lives as long as
 *      the process. A child of the child does not inherit it: see keeper.h.
 *    - The end is heard through a pidfd: no SIGCHLD handler, no wait for any child, so that the
 *      rest of the process may have children of its own. What the process has left behind in its
 *      group is killed then.
 *    - Standard input is /dev/null; standard output and error come as lines, if asked for.
 *
 *  INVARIANT P1: a process that was started is reaped exactly once, by bn_process_poll or
 *  bn_process_destroy, and no signal is sent to its id after that.  */
#ifndef BN_PROCESS_H
#define BN_PROCESS_H

#include <baton/error.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BN_PROCESS_LINE_BYTES_MAX 16384 /* a longer line comes in pieces */
#define BN_PROCESS_POLL_FDS       2

typedef struct bn_process bn_process_t;

typedef enum {
    BN_CAPTURE_NONE,   /* inherits standard output and error */
    BN_CAPTURE_OUTPUT, /* standard output as lines; standard error is inherited */
    BN_CAPTURE_BOTH    /* both as lines, in the order in which they were written */
} bn_capture_t;

typedef struct {
    const char *const *argv; /* NULL-terminated; argv[0] without a '/' is looked for in PATH */
    const char *const *environment; /* "NAME=value", added or replacing; NULL-terminated, or NULL */
    const char *directory;          /* to run in; NULL: the parent's */
    bn_capture_t capture;
} bn_process_options_t;

/*  Called with each line, without its end; NUL-terminated. `size` is its length.  */
typedef void (bn_process_line_fn) (const char *line, size_t size, void *arg);

/*  Returns when the program runs. detail (may be NULL) has one line for a person on errors:
 *  NOT_FOUND, PERMISSION, SYSTEM, MEMORY, ARGUMENT.  */
baton_err_t bn_process_start (bn_process_t **process, const bn_process_options_t *options,
                              char *detail, size_t detail_size);
/*  Kills what still runs (SIGKILL to the group), waits for it, frees.  */
void bn_process_destroy (bn_process_t **self_p);

pid_t bn_process_pid (const bn_process_t *self);
/*  Sends a signal to the process group; false if it has ended.  */
bool bn_process_signal (const bn_process_t *self, int signal);

/*  What to poll for, and then what came of it: reads the output (at most 64 KiB a call), hears the
 *  end. Descriptors that are not needed are -1.  */
void bn_process_poll_prepare (const bn_process_t *self, struct pollfd fds[BN_PROCESS_POLL_FDS]);
void bn_process_poll (bn_process_t *self, const struct pollfd fds[BN_PROCESS_POLL_FDS],
                      bn_process_line_fn *line, void *arg);

/*  True once it has ended and its output up to then was delivered; *status as in wait(2). */
bool bn_process_ended (const bn_process_t *self, int *status);
/*  "exit code 3", "signal 9 (Killed)".  */
void bn_process_describe (int status, char *text, size_t size);

/*  Where a program is: checks that it can be run, looking in PATH if there is no '/' in its name.
 *  *path is absolute and the caller's. Errors: NOT_FOUND, PERMISSION, MEMORY.  */
baton_err_t bn_process_find (const char *program, char **path);

#endif
