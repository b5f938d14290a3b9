/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/process.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 20000

typedef struct {
    char text[65536]; /* lines, each with a '|' behind it */
    size_t size;
    size_t longest;
} heard_t;

static void hear (const char *line, size_t size, void *arg)
{
    heard_t *self = arg;
    assert_int_equal (strlen (line), size);
    self->longest = size > self->longest ? size : self->longest;
    if (self->size + size + 2 < sizeof (self->text)) {
        memcpy (self->text + self->size, line, size);
        self->size += size;
        self->text[self->size++] = '|';
    }
}

static bn_process_t *start (const char *script, bn_capture_t capture, const char *variable)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *environment[] = {variable ? "BATON_TEST=earlier" : NULL, variable, NULL};
    bn_process_options_t options = {.argv = argv, .environment = environment, .capture = capture};
    char detail[256] = "";
    bn_process_t *process;
    if (bn_process_start (&process, &options, detail, sizeof (detail)))
        fail_msg ("%s", detail);
    return process;
}

/*  Listens until `wanted` was heard, or, NULL, until the end; the status of the latter.  */
static int listen_for (bn_process_t *process, heard_t *heard, const char *wanted)
{
    int status = -1;
    while (!bn_process_ended (process, &status) && !(wanted && strstr (heard->text, wanted))) {
        struct pollfd fds[BN_PROCESS_POLL_FDS];
        bn_process_poll_prepare (process, fds);
        assert_true (poll (fds, BN_PROCESS_POLL_FDS, WAIT_MS) > 0);
        bn_process_poll (process, fds, hear, heard);
    }
    return status;
}

static void test_hears_lines_and_the_end (void **state)
{
    static heard_t heard;
    (void)state;
    bn_process_t *process =
        start ("echo one; echo two >&2; printf 'three\\r\\n\\n'; printf four; exit 3",
               BN_CAPTURE_BOTH, NULL);
    int status = listen_for (process, &heard, NULL);
    assert_string_equal (heard.text, "one|two|three||four|");
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 3);
    assert_false (bn_process_signal (process, SIGTERM));
    bn_process_destroy (&process);
    assert_null (process);
}

static void test_cuts_long_lines (void **state)
{
    static heard_t heard;
    (void)state;
    bn_process_t *process =
        start ("head -c 40000 /dev/zero | tr '\\0' x; echo; echo end", BN_CAPTURE_OUTPUT, NULL);
    listen_for (process, &heard, NULL);
    assert_int_equal (heard.longest, BN_PROCESS_LINE_BYTES_MAX);
    assert_int_equal (heard.size, 40000 + 3 + 4);
    bn_process_destroy (&process);
}

static void test_gives_the_environment (void **state)
{
    static heard_t heard;
    (void)state;
    setenv ("BATON_TEST", "old", 1);
    bn_process_t *process =
        start ("echo \"$BATON_TEST\"; cat", BN_CAPTURE_OUTPUT, "BATON_TEST=new");
    int status = listen_for (process, &heard, NULL);
    assert_string_equal (heard.text, "new|");
    assert_int_equal (status, 0); /* cat: standard input is empty */
    bn_process_destroy (&process);
}

static void test_signals_the_whole_group (void **state)
{
    static heard_t heard;
    (void)state;
    bn_process_t *process = start ("sleep 1000 & echo \"child $!\"; wait", BN_CAPTURE_OUTPUT, NULL);
    listen_for (process, &heard, "|");
    assert_int_equal (getpgid (bn_process_pid (process)), bn_process_pid (process));
    pid_t child = (pid_t)atol (heard.text + strlen ("child "));
    assert_int_equal (kill (child, 0), 0);
    assert_true (bn_process_signal (process, SIGTERM));
    int status = listen_for (process, &heard, NULL);
    assert_true (WIFSIGNALED (status));
    bn_process_destroy (&process);
}

/*  What a process leaves behind in its group goes with it: our pipe has no writer any more.  */
static void test_leaves_nothing_behind (void **state)
{
    static heard_t heard;
    int fds[2];
    char script[128], byte;
    (void)state;
    assert_int_equal (pipe (fds), 0);
    /*  The background process opens the pipe by its name, so that it is a writer of its own.  */
    snprintf (script, sizeof (script), "sleep 1000 >/proc/%d/fd/%d & echo started", (int)getpid (),
              fds[1]);
    bn_process_t *process = start (script, BN_CAPTURE_OUTPUT, NULL);
    assert_int_equal (listen_for (process, &heard, NULL), 0);
    close (fds[1]);
    struct pollfd fd = {.fd = fds[0], .events = POLLIN};
    assert_int_equal (poll (&fd, 1, WAIT_MS), 1);
    assert_int_equal (read (fds[0], &byte, 1), 0);
    close (fds[0]);
    bn_process_destroy (&process);
}

static void test_says_why_not (void **state)
{
    const char *argv[] = {"/no/such/program", NULL};
    bn_process_options_t options = {.argv = argv};
    bn_process_t *process;
    char detail[256];
    (void)state;
    assert_int_equal (bn_process_start (&process, &options, detail, sizeof (detail)),
                      BATON_ERR_NOT_FOUND);
    assert_null (process);
    assert_non_null (strstr (detail, "/no/such/program"));

    argv[0] = "/dev/null";
    assert_int_equal (bn_process_start (&process, &options, detail, sizeof (detail)),
                      BATON_ERR_PERMISSION);

    argv[0] = "true";
    options.directory = "/no/such/directory";
    assert_int_equal (bn_process_start (&process, &options, detail, sizeof (detail)),
                      BATON_ERR_NOT_FOUND);
    assert_non_null (strstr (detail, "directory"));
}

static void test_destroy_kills (void **state)
{
    static heard_t heard;
    (void)state;
    bn_process_t *process =
        start ("trap '' TERM; echo up; while :; do sleep 1; done", BN_CAPTURE_OUTPUT, NULL);
    pid_t pid = bn_process_pid (process);
    listen_for (process, &heard, "up|");
    bn_process_destroy (&process);
    assert_int_equal (kill (pid, 0), -1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_hears_lines_and_the_end),
        cmocka_unit_test (test_cuts_long_lines),
        cmocka_unit_test (test_gives_the_environment),
        cmocka_unit_test (test_signals_the_whole_group),
        cmocka_unit_test (test_leaves_nothing_behind),
        cmocka_unit_test (test_says_why_not),
        cmocka_unit_test (test_destroy_kills),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
