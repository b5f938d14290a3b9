/* SPDX-License-Identifier: MPL-2.0 */

/*  What is to run changes while it runs: bn_supervisor_apply, bn_supervisor_restart; and instances
 *  that are not restarted, or not any more.  */

#include "shell/log.h"
#include "world.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OLD "VERSION=old"
#define NEW "VERSION=new"

/*  Says which version it is.  */
#define VERSIONED                                                                                  \
    "trap 'echo down; exit 0' TERM; echo \"up $VERSION\"; while :; do sleep 1000 & wait $!; done"

static const char *s_old[] = {OLD, NULL}, *s_new[] = {NEW, NULL};

static void stop (void)
{
    world.act = NULL;
    world.tick = NULL;
    bn_supervisor_stop (world.supervisor);
}

/*  ---- apply ---- */

static void change_the_list (const char *line)
{
    bn_supervisor_changes_t changes;
    bn_service_options_t list[] = {service_of ("stays", POLITE, 1), service_of ("more", POLITE, 2),
                                   service_of ("comes", POLITE, 1)};
    (void)line;
    if (count ("up ") == 3) {
        world.act = NULL;
        assert_int_equal (apply (list, 3, &changes), BATON_OK);
        assert_int_equal (changes.added, 1);
        assert_int_equal (changes.removed, 1);
        assert_int_equal (changes.scaled, 1);
        assert_int_equal (changes.replaced, 0);
        assert_int_equal (changes.unchanged, 2); /* with the clock */
    }
}

static void wait_for_the_new_list (void)
{
    if (count ("goes.1 down") && count ("more.2 up") && count ("comes.1 up") &&
        bn_supervisor_services (world.supervisor) == 4)
        stop ();
}

static void test_applies_the_difference (void **state)
{
    (void)state;
    add ("goes", POLITE, 1);
    add ("stays", POLITE, 1);
    add ("more", POLITE, 1);
    add_clock ();
    world.act = change_the_list;
    world.tick = wait_for_the_new_list;
    run ();
    assert_int_equal (count ("stays.1 up"), 1);
    assert_int_equal (count ("more.1 up"), 1);
    /*  Stopped in the reverse order of the new list.  */
    const char *comes = strstr (world.heard, "comes.1 down");
    const char *stays = strstr (world.heard, "stays.1 down");
    assert_true (comes && stays && comes < stays);
}

static void apply_wrong_lists (void)
{
    bn_supervisor_changes_t changes;
    const char *nothing[] = {NULL};
    bn_service_options_t list[] = {service_of ("it", POLITE, 3), service_of ("it", POLITE, 1)};
    assert_int_equal (apply (list, 2, &changes), BATON_ERR_CONFLICT);
    list[1].name = "a b";
    assert_int_equal (apply (list, 2, &changes), BATON_ERR_NAME);
    list[1].name = "b";
    list[1].argv = nothing;
    assert_int_equal (apply (list, 2, &changes), BATON_ERR_ARGUMENT);
    list[1] = service_of ("b", POLITE, BN_SUPERVISOR_INSTANCES_MAX - 2);
    assert_int_equal (apply (list, 2, &changes), BATON_ERR_LIMIT);
    stop ();
    assert_int_equal (apply (list, 1, &changes), BATON_ERR_CLOSED);
}

static void test_a_wrong_list_changes_nothing (void **state)
{
    bn_instance_info_t info;
    (void)state;
    add ("it", POLITE, 1);
    add_clock ();
    world.tick = apply_wrong_lists;
    run ();
    assert_false (instance ("it.2", &info));
    assert_int_equal (bn_supervisor_services (world.supervisor), 2);
}

static void scale_and_apply (void)
{
    bn_supervisor_changes_t changes;
    bn_service_options_t list[] = {service_of ("it", POLITE, 1)};
    bn_instance_info_t info;
    assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 3), BATON_OK);
    assert_int_equal (apply (list, 1, &changes), BATON_OK); /* the same as before */
    assert_int_equal (changes.unchanged, 2);
    assert_true (instance ("it.3", &info));
    list[0].instances = 2;
    assert_int_equal (apply (list, 1, &changes), BATON_OK);
    assert_int_equal (changes.scaled, 1);
    assert_true (instance ("it.2", &info));
    stop ();
}

static void test_the_same_list_leaves_what_was_scaled (void **state)
{
    (void)state;
    add ("it", POLITE, 1);
    add_clock ();
    world.tick = scale_and_apply;
    run ();
}

static void take_away_and_bring_back (const char *line)
{
    bn_supervisor_changes_t changes;
    bn_service_options_t list[] = {service_of ("it", POLITE, 1)};
    if (!strcmp (line, "it.1 up it-1") && count ("it.1 up") == 1) {
        assert_int_equal (apply (list, 0, &changes), BATON_OK);
        assert_int_equal (changes.removed, 1);
        assert_int_equal (bn_supervisor_scale (world.supervisor, "it", 2), BATON_ERR_NOT_FOUND);
        assert_int_equal (apply (list, 1, &changes), BATON_OK);
        assert_int_equal (changes.added, 1);
    } else if (count ("it.1 up") == 2)
        stop ();
}

static void test_one_that_is_removed_can_come_back (void **state)
{
    (void)state;
    add ("it", POLITE, 1);
    add_clock ();
    world.act = take_away_and_bring_back;
    run ();
    assert_int_equal (count ("it.1 down"), 2);
}

/*  ---- replacing ---- */

static void watch_the_replacing (const char *line)
{
    (void)line;
    /*  V3: of three, two run, or are about to say so.  */
    assert_true (count ("down") <= count ("up new") + 1);
    if (count ("up new") == 3)
        stop ();
}

static void apply_the_new_version (const char *line)
{
    bn_supervisor_changes_t changes;
    bn_service_options_t list[] = {service_of ("it", VERSIONED, 3)};
    (void)line;
    list[0].environment = s_new;
    if (count ("up old") < 3)
        return;
    world.act = watch_the_replacing;
    assert_int_equal (apply (list, 1, &changes), BATON_OK);
    assert_int_equal (changes.replaced, 1);
    assert_int_equal (changes.unchanged, 1); /* the clock */
}

static void test_replaces_one_by_one (void **state)
{
    bn_service_options_t service = service_of ("it", VERSIONED, 3);
    (void)state;
    service.environment = s_old;
    assert_int_equal (bn_supervisor_add (world.supervisor, &service), BATON_OK);
    add_clock ();
    world.act = apply_the_new_version;
    run ();
    assert_int_equal (count ("up old"), 3);
    assert_int_equal (count ("up new"), 3);
    for (size_t i = 0; i < 3; i++)
        assert_true (world.ends[i].clean);
}

static void restart_when_two_are_up (const char *line)
{
    (void)line;
    if (count ("up ") == 2 && count ("down") == 0)
        assert_int_equal (bn_supervisor_restart (world.supervisor, "it"), BATON_OK);
    if (count ("up ") == 4)
        stop ();
}

static void test_restarts_one_by_one (void **state)
{
    (void)state;
    add ("it", POLITE, 2);
    assert_int_equal (bn_supervisor_restart (world.supervisor, "nobody"), BATON_ERR_NOT_FOUND);
    world.act = restart_when_two_are_up;
    run ();
    assert_int_equal (count ("it.1 up"), 2);
    assert_int_equal (count ("it.2 up"), 2);
    /*  The second one was stopped only when the first one was there again.  */
    const char *again = strstr (strstr (world.heard, "it.1 down"), "it.1 up");
    assert_true (again && again < strstr (world.heard, "it.2 down"));
}

static pid_t s_untouched;

static void break_and_mend (void)
{
    bn_supervisor_changes_t changes;
    bn_instance_info_t first, second;
    bn_service_options_t broken = service_of ("it", "echo broken; exit 3", 2);
    bn_service_options_t sound = service_of ("it", POLITE, 2);
    broken.intensity = sound.intensity = 2;
    broken.intensity_period_ms = sound.intensity_period_ms = 60000;
    if (!instance ("it.1", &first) || !instance ("it.2", &second))
        return;
    if (count ("up ") == 2 && !s_untouched) {
        s_untouched = second.pid;
        assert_int_equal (apply (&broken, 1, &changes), BATON_OK);
    } else if (!strcmp (first.state, "parked") && !first.ready) {
        assert_int_equal (second.pid, s_untouched);
        assert_string_equal (first.reason, "ended: exit code 3 (3 times in 60 s)");
        assert_int_equal (count ("broken"), 3);
        assert_int_equal (apply (&sound, 1, &changes), BATON_OK);
    } else if (count ("up ") == 4 && first.current && second.current)
        stop ();
}

static void test_a_broken_build_replaces_one_and_no_more (void **state)
{
    (void)state;
    add ("it", POLITE, 2);
    add_clock ();
    world.tick = break_and_mend;
    run ();
    assert_int_equal (count ("it.2 broken"), 0);
}

/*  ---- restart as data ---- */

static void wait_for_all_ends (void)
{
    bn_instance_info_t info;
    if (world.end_count < 8 || count ("permanent.1 up") < 3)
        return;
    assert_true (instance ("temporary.1", &info));
    assert_string_equal (info.state, "done");
    assert_string_equal (info.reason, "ended: exit code 1");
    assert_true (instance ("well.1", &info));
    assert_string_equal (info.state, "done");
    assert_int_equal (info.restarts, 0);
    assert_int_equal (bn_supervisor_scale (world.supervisor, "well", 1), BATON_OK);
    assert_true (instance ("well.1", &info));
    assert_string_equal (info.state, "waiting");
    stop ();
}

static void test_restarts_as_it_is_told (void **state)
{
    bn_service_options_t temporary = service_of ("temporary", "echo up; exit 1", 1);
    bn_service_options_t well = service_of ("well", "echo up; exit 0", 1);
    bn_service_options_t badly = service_of ("badly", "echo up; exit 1", 1);
    (void)state;
    temporary.restart = BN_RESTART_TEMPORARY;
    well.restart = badly.restart = BN_RESTART_TRANSIENT;
    assert_int_equal (bn_supervisor_add (world.supervisor, &temporary), BATON_OK);
    assert_int_equal (bn_supervisor_add (world.supervisor, &well), BATON_OK);
    assert_int_equal (bn_supervisor_add (world.supervisor, &badly), BATON_OK);
    add ("permanent", "echo up; exit 0", 1);
    add_clock ();
    world.tick = wait_for_all_ends;
    run ();
    assert_int_equal (count ("temporary.1 up"), 1);
    assert_int_equal (count ("well.1 up"), 1);
    assert_true (count ("badly.1 up") >= 2);
}

static void wait_for_parked (void)
{
    bn_instance_info_t info;
    if (!instance ("mortal.1", &info) || strcmp (info.state, "parked"))
        return;
    if (count ("mortal.1 up") == 4) {
        assert_string_equal (info.reason, "ended: signal 9 (Killed) (4 times in 60 s)");
        assert_int_equal (bn_supervisor_scale (world.supervisor, "mortal", 1), BATON_OK);
    } else if (count ("mortal.1 up") == 8) {
        assert_int_equal (bn_supervisor_restart (world.supervisor, "mortal"), BATON_OK);
    } else if (count ("mortal.1 up") == 12) {
        assert_true (instance ("other.1", &info));
        assert_string_equal (info.state, "running");
        stop ();
    }
}

static void test_parks_what_ends_too_often (void **state)
{
    bn_service_options_t mortal = service_of ("mortal", "echo up; kill -9 $$", 1);
    (void)state;
    mortal.intensity = 3;
    mortal.intensity_period_ms = 60000;
    mortal.backoff_max_ms = 20;
    assert_int_equal (bn_supervisor_add (world.supervisor, &mortal), BATON_OK);
    add ("other", POLITE, 1);
    add_clock ();
    world.tick = wait_for_parked;
    run ();
    assert_int_equal (count ("mortal.1 up"), 12);
    assert_int_equal (count ("other.1 up"), 1);
}

static void stop_at_the_fifth_end (void)
{
    if (world.end_count >= 5)
        stop ();
}

/*  Ends that are farther apart than the period say nothing.  */
static void test_does_not_park_what_ends_seldom (void **state)
{
    bn_instance_info_t info;
    bn_service_options_t mortal = service_of ("mortal", "echo up; exit 1", 1);
    (void)state;
    mortal.intensity = 1;
    mortal.intensity_period_ms = 1; /* the backoff alone is longer */
    mortal.backoff_max_ms = 20;
    assert_int_equal (bn_supervisor_add (world.supervisor, &mortal), BATON_OK);
    add_clock ();
    world.tick = stop_at_the_fifth_end;
    run ();
    assert_true (instance ("mortal.1", &info));
    assert_string_equal (info.state, "waiting");
}

/*  ---- the end ---- */

static void kill_the_first_one (const char *line)
{
    bn_instance_info_t info;
    (void)line;
    if (count ("up ") == 2 && world.end_count == 0) {
        assert_true (instance ("it.1", &info));
        kill (info.pid, SIGKILL);
    } else if (count ("up ") == 3)
        stop ();
}

static void test_tells_of_ends (void **state)
{
    char expected[64];
    (void)state;
    add ("it",
         "trap 'exit 0' TERM; echo \"up $INCARNATION\"; while :; do sleep 1000 & wait $!; done", 2);
    world.act = kill_the_first_one;
    run ();
    assert_int_equal (world.end_count, 3);
    assert_int_equal (world.ends[0].slot, 1);
    assert_false (world.ends[0].clean);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal (world.ends[i].service, "it");
        snprintf (expected, sizeof (expected), "it.%u up %016" PRIx64 "/%d;", world.ends[i].slot,
                  world.ends[i].incarnation, (int)getpid ());
        assert_int_equal (count (expected), 1);
        assert_int_equal (world.ends[i].clean, i > 0);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_applies_the_difference, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_a_wrong_list_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_the_same_list_leaves_what_was_scaled, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (test_one_that_is_removed_can_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_replaces_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_restarts_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_a_broken_build_replaces_one_and_no_more, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (test_restarts_as_it_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_parks_what_ends_too_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_does_not_park_what_ends_seldom, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_tells_of_ends, set_up, tear_down),
    };
    bn_log_setup ("test", BN_LOG_TEXT, BN_LOG_ERROR);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
