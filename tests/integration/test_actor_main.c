/* SPDX-License-Identifier: MPL-2.0 */

/*  baton_actor_main as a process of its own: options, signals and exit codes. The test runs itself
 *  again with "actor" as the first argument.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <baton/baton.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define CHILDREN    2
#define OWN_USAGE   "  --and WHAT             arguments of its own\n"

extern char **environ;

/*  ---- the actor ----------------------------------------------------------------------------- */

static baton_verdict_t on_event (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)context;
    (void)arg;
    const char *what = baton_event_str (event, "do");
    dprintf (STDOUT_FILENO, "%s\n", what ? what : "nothing");
    if (what && strcmp (what, "hang") == 0)
        for (;;)
            pause ();
    return BATON_ACK;
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    if (argc == 1 && strcmp (argv[0], "--wrong") == 0)
        return BATON_ERR_ARGUMENT;
    for (int i = 0; i < argc; i++)
        dprintf (STDOUT_FILENO, "own %s\n", argv[i]);
    return baton_actor_on (actor, "in", on_event, arg);
}

/*  ---- the bench ----------------------------------------------------------------------------- */

typedef struct {
    pid_t pid; /* 0: none */
    int out;   /* its standard output and error */
    char text[16384];
    size_t size;
} child_t;

typedef struct {
    char dir[64];
    baton_orchestrator_t *orchestrator;
    child_t children[CHILDREN];
} bench_t;

static int set_up (void **state)
{
    bench_t *bench = calloc (1, sizeof *bench);
    strcpy (bench->dir, "/tmp/baton-main-XXXXXX");
    if (!mkdtemp (bench->dir))
        return -1;
    baton_orchestrator_options_t options = {
        .data_dir = bench->dir, .endpoint = "tcp://127.0.0.1:*", .partitions = 1};
    *state = bench;
    return baton_orchestrator_new (&bench->orchestrator, &options, NULL, 0) ? -1 : 0;
}

static int remove_entry (const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove (path);
}

static int tear_down (void **state)
{
    bench_t *bench = *state;
    for (int i = 0; i < CHILDREN; i++) {
        child_t *child = &bench->children[i];
        if (child->pid > 0) {
            kill (child->pid, SIGKILL);
            waitpid (child->pid, NULL, 0);
            close (child->out);
        }
    }
    baton_orchestrator_destroy (&bench->orchestrator);
    nftw (bench->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free (bench);
    return 0;
}

/*  Starts the actor with these arguments; "@" stands for the endpoint.  */
static child_t *start (bench_t *bench, int index, const char *arguments)
{
    child_t *child = &bench->children[index];
    char copy[512], *words[32] = {"test_actor_main", "actor"}, *rest = copy;
    int count = 2, ends[2];
    snprintf (copy, sizeof copy, "%s", arguments);
    for (char *word; (word = strsep (&rest, " ")) != NULL;)
        words[count++] =
            strcmp (word, "@") ? word : (char *)baton_orchestrator_endpoint (bench->orchestrator);
    assert_int_equal (pipe2 (ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_adddup2 (&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2 (&actions, ends[1], STDERR_FILENO);
    *child = (child_t){.out = ends[0]};
    assert_int_equal (posix_spawn (&child->pid, "/proc/self/exe", &actions, NULL, words, environ),
                      0);
    posix_spawn_file_actions_destroy (&actions);
    close (ends[1]);
    return child;
}

/*  Reads on; false at the end.  */
static bool read_more (child_t *child)
{
    struct pollfd poll_fd = {.fd = child->out, .events = POLLIN};
    if (poll (&poll_fd, 1, PATIENCE_MS) != 1)
        fail_msg ("nothing more from the actor after: %s", child->text);
    size_t room = sizeof child->text - 1 - child->size;
    assert_true (room > 0);
    ssize_t size = read (child->out, child->text + child->size, room);
    if (size <= 0)
        return false;
    child->size += (size_t)size;
    child->text[child->size] = 0;
    return true;
}

static void await_text (child_t *child, const char *text)
{
    while (!strstr (child->text, text))
        if (!read_more (child))
            fail_msg ("the actor ended without '%s': %s", text, child->text);
}

static int await_end (child_t *child)
{
    int status;
    while (read_more (child))
        continue;
    assert_int_equal (waitpid (child->pid, &status, 0), child->pid);
    child->pid = 0;
    close (child->out);
    if (!WIFEXITED (status))
        fail_msg ("signal %d: %s", WTERMSIG (status), child->text);
    return WEXITSTATUS (status);
}

static void publish (bench_t *bench, const char *what)
{
    baton_producer_t *producer;
    baton_producer_options_t options = {.endpoint =
                                            baton_orchestrator_endpoint (bench->orchestrator)};
    assert_int_equal (baton_producer_new (&producer, &options), BATON_OK);
    baton_data_t *data = baton_data_new ();
    baton_data_put_str (data, "do", what);
    assert_int_equal (baton_publish_data (producer, "in", "k", data), BATON_OK);
    assert_int_equal (baton_producer_flush (producer, PATIENCE_MS), BATON_OK);
    baton_data_destroy (&data);
    baton_producer_destroy (&producer);
}

/*  ---- tests --------------------------------------------------------------------------------- */

static void help_and_usage (void **state)
{
    bench_t *bench = *state;
    child_t *child = start (bench, 0, "--help");
    assert_int_equal (await_end (child), 0);
    assert_non_null (strstr (child->text, "--connect"));
    assert_non_null (strstr (child->text, OWN_USAGE));
    static const struct {
        const char *arguments;
        const char *named;
    } wrong[] = {
        {"--no-such-option", "no-such-option"},
        {"--max-attempts many", "--max-attempts"},
        {"--max-attempts 0", "--max-attempts"},
        {"--max-attempts 1001", "limit"},
        {"--start yesterday", "--start"},
        {"--start 2026-13-01", "--start"},
        {"--start 2026-02-30", "--start"},
        {"--start 2026-01-01T00:00:00+1:0", "--start"},
        {"--log xml", "--log"},
        {"--name a.b", "--name"},
        {"--instance a/b", "--instance"},
        {"--backoff-min 10 --backoff-max 5", "limit"},
        {"--connect nowhere", "--connect"},
        {"stray", "stray"},
        {"-- --wrong", OWN_USAGE},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        child = start (bench, 0, wrong[i].arguments);
        int code = await_end (child);
        if (code != 2 || !strstr (child->text, wrong[i].named))
            fail_msg ("%s: %d, %s", wrong[i].arguments, code, child->text);
    }
}

static void a_signal_drains (void **state)
{
    bench_t *bench = *state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        child_t *child = start (bench, 0, "--connect @ --start beginning -- mine --and yours");
        publish (bench, i ? "second" : "first");
        await_text (child, i ? "\nsecond\n" : "\nfirst\n");
        assert_non_null (strstr (child->text, "own mine\nown --and\nown yours\n"));
        kill (child->pid, signals[i]);
        assert_int_equal (await_end (child), 0);
        if (i == 1)
            assert_null (strstr (child->text, "first")); /* it was settled */
    }
}

static void a_start_time_is_understood (void **state)
{
    bench_t *bench = *state;
    publish (bench, "old");
    child_t *child = start (bench, 0, "--connect @ --start 2020-02-29T23:59:59.25+01:00");
    await_text (child, "old\n");
    kill (child->pid, SIGTERM);
    assert_int_equal (await_end (child), 0);
}

static void nobody_there (void **state)
{
    bench_t *bench = *state;
    char arguments[256];
    snprintf (arguments, sizeof arguments, "--connect ipc://%s/nobody --connect-timeout 100",
              bench->dir);
    child_t *child = start (bench, 0, arguments);
    assert_int_equal (await_end (child), 69);
    assert_non_null (strstr (child->text, "UNREACHABLE"));
}

static void a_hung_handler_ends_the_process (void **state)
{
    bench_t *bench = *state;
    publish (bench, "hang");
    child_t *child = start (bench, 0, "--connect @ --start beginning --handler-deadline 100");
    assert_int_equal (await_end (child), 70);
    assert_non_null (strstr (child->text, "hang"));
    assert_non_null (strstr (child->text, "past its deadline"));
}

static void a_newer_process_takes_the_name (void **state)
{
    bench_t *bench = *state;
    child_t *first = start (bench, 0, "--connect @ --start beginning --instance same");
    publish (bench, "one");
    await_text (first, "one\n");
    child_t *second = start (bench, 1, "--connect @ --instance same");
    assert_int_equal (await_end (first), 75);
    assert_non_null (strstr (first->text, "FENCED"));
    await_text (second, " as acting/same\n");
    publish (bench, "two");
    await_text (second, "two\n");
    kill (second->pid, SIGTERM);
    assert_int_equal (await_end (second), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)

int main (int argc, char **argv)
{
    if (argc > 1 && strcmp (argv[1], "actor") == 0) {
        baton_actor_options_t defaults = {.name = "acting", .usage = OWN_USAGE};
        return baton_actor_main (argc - 1, argv + 1, &defaults, configure, NULL);
    }
    unsetenv ("BATON_CONNECT");
    unsetenv ("BATON_INSTANCE");
    unsetenv ("BATON_LOG");
    const struct CMUnitTest tests[] = {
        TEST (help_and_usage),
        TEST (a_signal_drains),
        TEST (a_start_time_is_understood),
        TEST (nobody_there),
        TEST (a_hung_handler_ends_the_process),
        TEST (a_newer_process_takes_the_name),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
