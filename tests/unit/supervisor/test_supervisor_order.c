/* SPDX-License-Identifier: MPL-2.0 */

/*  restart_order = start-first: the successor of an instance is ready before that one is stopped.
 *  The children are this program; they say who they are when they come and when they go.  */

#include "shell/log.h"
#include "shell/notify.h"
#include "world.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*  ---- the child ---- */

/*  "ready": says so, and waits for its end; "late": says so after SIGUSR1; "mute": only waits;
 *  "broken", "over": ends.  */
static _Noreturn void child (const char *version, const char *how)
{
    bn_notify_t notify;
    sigset_t set;
    int number;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGUSR1);
    sigprocmask (SIG_BLOCK, &set, NULL);
    bn_notify_init (&notify, NULL);
    printf ("up %s\n", version);
    fflush (stdout);
    if (!strcmp (how, "broken") || !strcmp (how, "over"))
        exit (how[0] == 'b' ? 3 : 0);
    if (!strcmp (how, "ready") ||
        (!strcmp (how, "late") && sigwait (&set, &number) == 0 && number == SIGUSR1))
        bn_notify_ready (&notify);
    sigwait (&set, &number);
    printf ("down %s\n", version);
    exit (0);
}

static char s_self[4096];

static bn_service_options_t service (const char *version, const char *how, uint32_t instances)
{
    static const char *words[8][5];
    static size_t next;
    const char **argv = words[next++ % 8];
    argv[0] = s_self;
    argv[1] = "child";
    argv[2] = version;
    argv[3] = how;
    return (bn_service_options_t){.name = "it",
                                  .argv = argv,
                                  .instances = instances,
                                  .stop_timeout_ms = 20000,
                                  .backoff_max_ms = 20,
                                  .intensity = 2,
                                  .intensity_period_ms = 60000,
                                  .restart_order = BN_RESTART_START_FIRST};
}

/*  ---- tools ---- */

static struct {
    int step;
    uint32_t wanted; /* V4 is looked after; 0: not now */
    pid_t untouched;
} s_test;

static void stop (void)
{
    world.act = NULL;
    world.tick = NULL;
    bn_supervisor_stop (world.supervisor);
}

static size_t slots (void)
{
    bn_instance_info_t info;
    size_t found = 0;
    while (bn_supervisor_instance (world.supervisor, 0, found, &info))
        found++;
    return found;
}

static size_t ready (bool current_only)
{
    bn_instance_info_t info;
    size_t found = 0;
    for (size_t i = 0; bn_supervisor_instance (world.supervisor, 0, i, &info); i++)
        found += info.ready && (info.current || !current_only);
    return found;
}

static bool is (const char *name, const char *state)
{
    bn_instance_info_t info;
    return instance (name, &info) && !strcmp (info.state, state);
}

static pid_t pid_of (const char *name)
{
    bn_instance_info_t info;
    return instance (name, &info) ? info.pid : 0;
}

static bool rolling (void)
{
    return bn_supervisor_rolling (world.supervisor, 0);
}

static void check (void)
{
    if (!s_test.wanted)
        return;
    assert_true (slots () <= s_test.wanted + 1);
    assert_true (ready (false) >= s_test.wanted);
}

static void check_at_line (const char *line)
{
    (void)line;
    check ();
}

static void become (const bn_service_options_t *next)
{
    bn_supervisor_changes_t changes;
    s_test.step++;
    assert_int_equal (apply (next, 1, &changes), BATON_OK);
}

static void begin (uint32_t instances, void (*tick) (void))
{
    bn_service_options_t first = service ("one", "ready", instances);
    memset (&s_test, 0, sizeof (s_test));
    assert_int_equal (bn_supervisor_add (world.supervisor, &first), BATON_OK);
    add_clock ();
    world.act = check_at_line;
    world.tick = tick;
    run ();
}

/*  ---- replacing ---- */

static void replace_one_twice (void)
{
    bn_service_options_t two = service ("two", "ready", 1), three = service ("three", "ready", 1);
    check ();
    if (rolling () || ready (true) < 1)
        return;
    s_test.wanted = 1;
    if (s_test.step == 0)
        become (&two);
    else if (s_test.step == 1) {
        assert_true (slots () == 1 && is ("it.2", "running"));
        become (&three);
    } else {
        assert_true (slots () == 1 && is ("it.1", "running"));
        stop ();
    }
}

static void test_the_successor_of_one_is_there_before_it_goes (void **state)
{
    (void)state;
    begin (1, replace_one_twice);
    assert_string_equal (world.heard, "it.1 up one;it.2 up two;it.1 down one;it.1 up three;"
                                      "it.2 down two;it.1 down three;");
}

static void replace_three (void)
{
    bn_service_options_t two = service ("two", "ready", 3);
    check ();
    if (rolling () || ready (true) < 3)
        return;
    s_test.wanted = 3;
    if (s_test.step == 0)
        become (&two);
    else {
        assert_true (is ("it.1", "running") && is ("it.2", "running") && is ("it.4", "running"));
        stop ();
    }
}

static void test_of_several_one_by_one (void **state)
{
    (void)state;
    begin (3, replace_three);
    assert_int_equal (count ("up two"), 3);
    assert_int_equal (count ("down one"), 3);
    /*  Each goes before the successor of the next one comes.  */
    const char *first = strstr (world.heard, "it.1 down one;");
    const char *second = strstr (world.heard, "it.1 up two;");
    assert_true (first && second && first < second);
    assert_true (strstr (world.heard, "it.4 up two;") < first);
}

static void restart_one (void)
{
    check ();
    if (rolling () || ready (true) < 1)
        return;
    s_test.wanted = 1;
    if (s_test.step++ == 0)
        assert_int_equal (bn_supervisor_restart (world.supervisor, "it"), BATON_OK);
    else
        stop ();
}

static void test_a_restart_does_so_too (void **state)
{
    (void)state;
    begin (1, restart_one);
    assert_string_equal (world.heard, "it.1 up one;it.2 up one;it.1 down one;it.2 down one;");
}

/*  ---- successors that do not become ready ---- */

static void break_and_mend (void)
{
    bn_service_options_t broken = service ("two", "broken", 2);
    bn_service_options_t sound = service ("three", "ready", 2);
    bn_instance_info_t info;
    check ();
    if (s_test.step == 0 && ready (true) == 2) {
        s_test.wanted = 2;
        s_test.untouched = pid_of ("it.1");
        become (&broken);
    } else if (s_test.step == 1 && is ("it.3", "parked")) {
        assert_true (rolling ());
        assert_int_equal (pid_of ("it.1"), s_test.untouched);
        assert_true (instance ("it.3", &info));
        assert_string_equal (info.reason, "ended: exit code 3 (3 times in 60 s)");
        become (&sound);
    } else if (s_test.step == 2 && !rolling ())
        stop ();
}

static void test_a_broken_build_replaces_nobody (void **state)
{
    (void)state;
    begin (2, break_and_mend);
    assert_int_equal (count ("up two"), 3);
    assert_int_equal (count ("up three"), 2);
    const char *mended = strstr (world.heard, "it.3 up three;");
    assert_true (mended && mended < strstr (world.heard, "down one"));
}

static void end_for_good (void)
{
    bn_service_options_t over = service ("two", "over", 1);
    over.restart = BN_RESTART_TRANSIENT;
    check ();
    if (s_test.step == 0 && ready (true) == 1) {
        s_test.wanted = 1;
        become (&over);
    } else if (s_test.step == 1 && is ("it.2", "parked")) {
        assert_true (rolling () && is ("it.1", "running"));
        stop ();
    }
}

static void test_a_successor_that_ends_for_good_replaces_nobody (void **state)
{
    (void)state;
    begin (1, end_for_good);
    assert_int_equal (count ("up two"), 1);
}

static void restart_while_it_waits (void)
{
    bn_service_options_t mute = service ("two", "mute", 1), sound = service ("three", "ready", 1);
    check ();
    if (s_test.step == 0 && ready (true) == 1) {
        s_test.wanted = 1;
        s_test.untouched = pid_of ("it.1");
        become (&mute);
    } else if (s_test.step == 1 && count ("it.2 up two")) {
        assert_int_equal (pid_of ("it.1"), s_test.untouched);
        become (&sound);
    } else if (s_test.step == 2 && !rolling ())
        stop ();
}

/*  The one that is of no use is replaced itself; the one that works is left alone meanwhile.  */
static void test_another_restart_before_it_is_ready (void **state)
{
    (void)state;
    begin (1, restart_while_it_waits);
    assert_string_equal (world.heard, "it.1 up one;it.2 up two;it.2 down two;it.2 up three;"
                                      "it.1 down one;it.2 down three;");
}

/*  ---- what comes in between ---- */

static void kill_the_old_one (void)
{
    bn_service_options_t late = service ("two", "late", 1);
    if (s_test.step == 0 && ready (true) == 1) {
        become (&late);
    } else if (s_test.step == 1 && count ("it.2 up two")) {
        s_test.step++;
        kill (pid_of ("it.1"), SIGKILL);
    } else if (s_test.step == 2 && count ("it.1 up two")) {
        s_test.step++;
        kill (pid_of ("it.2"), SIGUSR1);
    } else if (s_test.step == 3 && ready (true) == 1) {
        assert_true (rolling () && slots () == 2); /* neither goes before both are ready */
        s_test.step++;
        kill (pid_of ("it.1"), SIGUSR1);
    } else if (s_test.step == 4 && !rolling ()) {
        assert_true (slots () == 1 && is ("it.1", "running"));
        stop ();
    }
}

static void test_one_that_dies_meanwhile_leaves_as_many_as_are_wanted (void **state)
{
    (void)state;
    begin (1, kill_the_old_one);
    assert_int_equal (count ("down one"), 0);
}

static void scale_meanwhile (void)
{
    bn_service_options_t mute = service ("two", "mute", 3), sound = service ("three", "ready", 3);
    check ();
    if (s_test.step == 0 && ready (true) == 3) {
        become (&mute);
    } else if (s_test.step == 1 && count ("it.4 up two")) {
        /*  The successor stays, and so does one that works.  */
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 1), BATON_OK);
        s_test.step++;
    } else if (s_test.step == 2 && slots () == 2) {
        assert_true (is ("it.1", "running") && is ("it.4", "running"));
        sound.instances = 2; /* another number than the file said before */
        become (&sound);
    } else if (s_test.step == 3 && !rolling () && ready (true) == 2) {
        assert_int_equal (slots (), 2);
        s_test.wanted = 2;
        assert_int_equal (bn_supervisor_restart (world.supervisor, "it"), BATON_OK);
        s_test.step++;
    } else if (s_test.step == 4 && slots () == 3) {
        s_test.wanted = 0;
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 0), BATON_OK);
        s_test.step++;
    } else if (s_test.step == 5 && !rolling ()) {
        assert_int_equal (slots (), 0);
        stop ();
    }
}

static void test_is_scaled_meanwhile (void **state)
{
    (void)state;
    begin (3, scale_meanwhile);
    assert_int_equal (count ("up "), count ("down "));
}

static void change_the_order (void)
{
    bn_service_options_t mute = service ("two", "mute", 2), sound = service ("three", "ready", 2);
    sound.restart_order = BN_RESTART_STOP_FIRST;
    check ();
    if (s_test.step == 0 && ready (true) == 2) {
        s_test.wanted = 2;
        become (&mute);
    } else if (s_test.step == 1 && count ("it.3 up two")) {
        s_test.wanted = 0; /* the second one stops first */
        become (&sound);
    } else if (s_test.step == 2 && !rolling ()) {
        assert_true (slots () == 2 && is ("it.2", "running") && is ("it.3", "running"));
        stop ();
    }
}

static void test_another_order_meanwhile (void **state)
{
    (void)state;
    begin (2, change_the_order);
    const char *successor = strstr (world.heard, "it.3 up three;");
    assert_true (successor && successor < strstr (world.heard, "it.1 down one;"));
    const char *second = strstr (world.heard, "it.2 down one;");
    assert_true (second && strstr (second, "it.2 up three;"));
}

static void stop_meanwhile (void)
{
    bn_service_options_t mute = service ("two", "mute", 1);
    if (s_test.step == 0 && ready (true) == 1)
        become (&mute);
    else if (s_test.step == 1 && count ("it.2 up two"))
        stop ();
}

static void test_stops_meanwhile (void **state)
{
    (void)state;
    begin (1, stop_meanwhile);
    assert_int_equal (count ("up "), 2); /* V1 */
    assert_int_equal (count ("down "), 2);
}

/*  ---- no room ---- */

static void wait_for_room (void)
{
    bn_service_options_t list[] = {service ("two", "ready", 1), service_of ("full", "exit 0", 0)};
    bn_supervisor_changes_t changes;
    list[1].restart = BN_RESTART_TEMPORARY;
    list[1].instances = BN_SUPERVISOR_INSTANCES_MAX - 1;
    if (s_test.step == 0 && ready (true) == 1) {
        s_test.step++;
        assert_int_equal (apply (list, 2, &changes), BATON_OK);
    } else if (s_test.step < 10) {
        s_test.step += s_test.step > 0; /* turns of the loop in which it could go wrong */
    } else if (s_test.step == 10) {
        assert_true (rolling () && slots () == 1 && is ("it.1", "running"));
        s_test.step++;
        assert_int_equal (bn_supervisor_scale (world.supervisor, "full", 1), BATON_OK);
    } else if (!rolling ())
        stop ();
}

static void test_waits_until_there_is_room (void **state)
{
    bn_service_options_t full = service_of ("full", "exit 0", BN_SUPERVISOR_INSTANCES_MAX - 1);
    bn_service_options_t one = service ("one", "ready", 1);
    (void)state;
    memset (&s_test, 0, sizeof (s_test));
    full.restart = BN_RESTART_TEMPORARY;
    assert_int_equal (bn_supervisor_add (world.supervisor, &one), BATON_OK);
    assert_int_equal (bn_supervisor_add (world.supervisor, &full), BATON_OK);
    add_clock ();
    world.tick = wait_for_room;
    run ();
    assert_string_equal (world.heard, "it.1 up one;it.2 up two;it.1 down one;it.2 down two;");
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown (test, set_up, tear_down)

int main (int argc, char **argv)
{
    if (argc > 3 && !strcmp (argv[1], "child"))
        child (argv[2], argv[3]);
    ssize_t size = readlink ("/proc/self/exe", s_self, sizeof (s_self) - 1);
    if (size < 0)
        return EXIT_FAILURE;
    const struct CMUnitTest tests[] = {
        WITH_WORLD (test_the_successor_of_one_is_there_before_it_goes),
        WITH_WORLD (test_of_several_one_by_one),
        WITH_WORLD (test_a_restart_does_so_too),
        WITH_WORLD (test_a_broken_build_replaces_nobody),
        WITH_WORLD (test_a_successor_that_ends_for_good_replaces_nobody),
        WITH_WORLD (test_another_restart_before_it_is_ready),
        WITH_WORLD (test_one_that_dies_meanwhile_leaves_as_many_as_are_wanted),
        WITH_WORLD (test_is_scaled_meanwhile),
        WITH_WORLD (test_another_order_meanwhile),
        WITH_WORLD (test_stops_meanwhile),
        WITH_WORLD (test_waits_until_there_is_room),
    };
    bn_log_setup ("test", BN_LOG_TEXT, BN_LOG_ERROR);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
