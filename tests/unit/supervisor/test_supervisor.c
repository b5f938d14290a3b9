/* SPDX-License-Identifier: MPL-2.0 */

/*  The supervised processes are shell scripts that say what happens to them.  */

#include "shell/log.h"
#include "supervisor/control.h"
#include "world.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void stop_when_three_are_up (const char *line)
{
    (void)line;
    if (count ("up ") == 3)
        bn_supervisor_stop (world.supervisor);
}

static void test_stops_in_reverse_order (void **state)
{
    (void)state;
    add ("first", POLITE, 1);
    add ("second", POLITE, 2);
    world.act = stop_when_three_are_up;
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    assert_int_equal (count ("down"), 3);
    const char *first = strstr (world.heard, "first.1 down");
    const char *second = strstr (world.heard, "second.1 down");
    const char *other = strstr (world.heard, "second.2 down");
    assert_true (second && other && first);
    assert_true (first > second && first > other);
    assert_non_null (strstr (world.heard, "second.2 up second-2;"));
}

static void stop_at_the_third_life (const char *line)
{
    (void)line;
    if (count ("alive") == 3)
        bn_supervisor_stop (world.supervisor);
}

static void test_restarts_what_dies (void **state)
{
    (void)state;
    add ("mortal", "echo \"alive $NAME\"; kill -9 $$", 1);
    world.act = stop_at_the_third_life;
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    assert_true (count ("mortal.1 alive mortal-1;") >= 3);
}

static void scale_up_and_down (const char *line)
{
    if (!strcmp (line, "it.1 up it-1"))
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 3), BATON_OK);
    if (count ("up ") == 3 && count ("down") == 0)
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 1), BATON_OK);
    if (count ("down") == 2)
        bn_supervisor_stop (world.supervisor);
}

static void test_scales (void **state)
{
    (void)state;
    add ("it", POLITE, 1);
    world.act = scale_up_and_down;
    assert_int_equal (bn_supervisor_scale (world.supervisor, "nobody", 1), BATON_ERR_NOT_FOUND);
    assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 257), BATON_ERR_LIMIT);
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    assert_true (strstr (world.heard, "it.1 down") > strstr (world.heard, "it.2 down"));
    assert_true (strstr (world.heard, "it.1 down") > strstr (world.heard, "it.3 down"));
}

static void scale_away_and_back (const char *line)
{
    static bool done;
    if (!strcmp (line, "it.2 up it-2") && !done) {
        done = true;
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 1), BATON_OK);
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 2), BATON_OK);
    }
    if (count ("it.2 up") == 2)
        bn_supervisor_stop (world.supervisor);
}

static void test_keeps_the_slot_of_one_that_is_wanted_again (void **state)
{
    bn_instance_info_t info;
    (void)state;
    add ("it", POLITE, 2);
    world.act = scale_away_and_back;
    assert_true (bn_supervisor_instance (world.supervisor, 0, 1, &info));
    assert_false (bn_supervisor_instance (world.supervisor, 0, 2, &info));
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    assert_int_equal (count ("it.3"), 0);
}

static void stop_when_deaf_is_up (const char *line)
{
    (void)line;
    bn_supervisor_stop (world.supervisor);
}

static void test_kills_what_does_not_stop (void **state)
{
    const char *argv[] = {"sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done", NULL};
    bn_service_options_t service = {
        .name = "deaf", .argv = argv, .instances = 1, .stop_timeout_ms = 50};
    (void)state;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
    world.act = stop_when_deaf_is_up;
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
}

static void interrupt_twice (const char *line)
{
    (void)line;
    kill (getpid (), SIGINT);
    kill (getpid (), SIGTERM);
}

static void test_a_second_signal_kills (void **state)
{
    (void)state;
    add ("deaf", "trap '' TERM; echo up; while :; do sleep 1; done", 1); /* for 20 s */
    world.act = interrupt_twice;
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
}

static bool never (void *arg)
{
    (void)arg;
    return false;
}

static void test_gives_up_when_an_essential_one_does_not_come_up (void **state)
{
    const char *argv[] = {"sh", "-c", "echo tried; exit 1", NULL};
    bn_service_options_t service = {
        .name = "base", .argv = argv, .instances = 1, .gate = never, .essential = true};
    (void)state;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
    add ("behind", "echo up", 1);
    assert_int_not_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    assert_string_equal (world.heard, "base.1 tried;");
}

static unsigned s_asked;

static bool third_time (void *arg)
{
    (void)arg;
    strncat (world.heard, "asked;", sizeof (world.heard) - strlen (world.heard) - 1);
    return ++s_asked == 3;
}

static void test_waits_for_the_gate (void **state)
{
    const char *argv[] = {"sh", "-c", POLITE, NULL};
    bn_service_options_t service = {
        .name = "base", .argv = argv, .instances = 1, .gate = third_time};
    (void)state;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
    add ("x", POLITE, 2);
    world.act = stop_when_three_are_up;
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    assert_int_equal (s_asked, 3);
    const char *behind = strstr (world.heard, "x.");
    assert_non_null (behind);
    assert_null (strstr (behind, "asked;"));
}

static void test_refuses_wrong_services (void **state)
{
    const char *argv[] = {"true", NULL};
    bn_service_options_t service = {.name = "a b", .argv = argv, .instances = 1};
    (void)state;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_ERR_NAME);
    service.name = "a";
    service.instances = BN_SUPERVISOR_INSTANCES_MAX;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_ERR_CONFLICT);
    service.name = "b";
    service.instances = 1;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_ERR_LIMIT);
    service.argv = argv + 1;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_ERR_ARGUMENT);
}

/*  ---- the control socket ---- */

static char s_directory[] = "/tmp/baton-control.XXXXXX";
static char *s_replies[5];

static void *ask (void *arg)
{
    (void)arg;
    bn_control_ask (s_directory, "status", &s_replies[0]);
    bn_control_ask (s_directory, "scale it 2", &s_replies[1]);
    bn_control_ask (s_directory, "scale nobody 2", &s_replies[2]);
    bn_control_ask (s_directory, "dance", &s_replies[3]);
    bn_control_ask (s_directory, "stop", &s_replies[4]);
    return NULL;
}

static pthread_t s_asker;

static void start_asking (const char *line)
{
    if (!strcmp (line, "it.1 up it-1"))
        assert_int_equal (pthread_create (&s_asker, NULL, ask, NULL), 0);
}

static void test_is_controlled (void **state)
{
    char path[128], detail[512] = "";
    struct stat info;
    bn_control_t *other;
    (void)state;
    assert_non_null (mkdtemp (s_directory));
    assert_int_equal (bn_supervisor_listen (world.supervisor, s_directory, detail, sizeof (detail)),
                      BATON_OK);
    snprintf (path, sizeof (path), "%s/supervisor.sock", s_directory);
    assert_int_equal (stat (path, &info), 0);
    assert_int_equal (info.st_mode & 0777, 0600);
    assert_int_equal (bn_control_new (&other, s_directory, detail, sizeof (detail)),
                      BATON_ERR_LOCKED);
    add ("it", POLITE, 1);
    world.act = start_asking;
    assert_int_equal (bn_supervisor_run (world.supervisor), BATON_OK);
    pthread_join (s_asker, NULL);
    for (size_t i = 0; i < 5; i++)
        assert_non_null (s_replies[i]);
    assert_non_null (strstr (s_replies[0], "\"instance\":\"it-1\",\"slot\":1,\"pid\":"));
    assert_non_null (strstr (s_replies[0], "\"state\":\"running\""));
    assert_string_equal (s_replies[1],
                         "{\"ok\":true,\"service\":\"it\",\"before\":1,\"wanted\":2}");
    assert_non_null (strstr (s_replies[2], "\"error\":\"NOT_FOUND\""));
    assert_non_null (strstr (s_replies[3], "\"error\":\"UNKNOWN_TYPE\""));
    assert_string_equal (s_replies[4], "{\"ok\":true}");
    for (size_t i = 0; i < 5; i++)
        free (s_replies[i]);

    bn_supervisor_destroy (&world.supervisor);
    assert_int_equal (stat (path, &info), -1);
    char *reply;
    assert_int_equal (bn_control_ask (s_directory, "status", &reply), BATON_ERR_UNREACHABLE);
    snprintf (path, sizeof (path), "%s/supervisor.lock", s_directory);
    unlink (path);
    rmdir (s_directory);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_stops_in_reverse_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_restarts_what_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_scales, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_keeps_the_slot_of_one_that_is_wanted_again, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (test_kills_what_does_not_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_a_second_signal_kills, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_gives_up_when_an_essential_one_does_not_come_up,
                                         set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_waits_for_the_gate, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_refuses_wrong_services, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_is_controlled, set_up, tear_down),
    };
    bn_log_setup ("test", BN_LOG_TEXT, BN_LOG_ERROR);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
