/* SPDX-License-Identifier: MPL-2.0 */

/*  NOTIFY_SOCKET: what children say of themselves, and what comes of it. The children are this
 *  program, told what to do; they speak with shell/notify.h, what actors use.  */

#include "shell/clock.h"
#include "shell/log.h"
#include "shell/notify.h"
#include "supervisor/health.h"
#include "world.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*  ---- the child ---- */

static void nap_ms (unsigned ms)
{
    usleep (ms * 1000);
}

/*  As it is, in one datagram, by somebody who does not use shell/notify.h.  */
static void send_raw (const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *to = getenv ("NOTIFY_SOCKET");
    size_t size = strlen (to);
    memcpy (address.sun_path, to, size);
    address.sun_path[0] = 0;
    int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sendto (fd, text, strlen (text), 0, (struct sockaddr *)&address,
            (socklen_t)(offsetof (struct sockaddr_un, sun_path) + size));
    close (fd);
}

/*  Words, one after the other.  */
static _Noreturn void child (int argc, char **argv)
{
    bn_notify_t notify;
    bool raw = argc > 2 && !strcmp (argv[2], "raw");
    if (!raw)
        bn_notify_init (&notify, NULL);
    for (int i = 2 + raw; i < argc; i++) {
        if (raw)
            send_raw (argv[i]);
        else if (!strcmp (argv[i], "later"))
            nap_ms (300); /* room for a mistake of the supervisor, not for the test to succeed */
        else if (!strcmp (argv[i], "ready"))
            bn_notify_ready (&notify);
        else if (!strcmp (argv[i], "alive"))
            bn_notify_alive (&notify, bn_clock_now ().mono_ms);
        else if (!strcmp (argv[i], "well"))
            for (;;) {
                bn_notify_alive (&notify, bn_clock_now ().mono_ms);
                nap_ms (20);
            }
        else
            bn_notify_status (&notify, bn_clock_now ().mono_ms, "%s", argv[i]);
        printf ("said %s\n", argv[i]);
        fflush (stdout);
    }
    for (;;)
        pause ();
}

static char s_self[4096];

static bn_service_options_t speaker (const char *name, uint32_t instances, const char *one,
                                     const char *two, const char *three)
{
    static const char *words[8][6];
    static size_t next;
    const char **argv = words[next++ % 8];
    argv[0] = s_self;
    argv[1] = "child";
    argv[2] = one;
    argv[3] = two;
    argv[4] = three;
    return (bn_service_options_t){.name = name,
                                  .argv = argv,
                                  .instances = instances,
                                  .stop_timeout_ms = 20000,
                                  .backoff_max_ms = 50};
}

static void add_service (const bn_service_options_t *service)
{
    assert_int_equal (bn_supervisor_add (world.supervisor, service), BATON_OK);
}

static void stop (void)
{
    world.act = NULL;
    world.tick = NULL;
    bn_supervisor_stop (world.supervisor);
}

/*  ---- what is said ---- */

static void wait_until_ready (void)
{
    bn_instance_info_t info;
    if (!instance ("it.1", &info) || !info.ready || !*info.status)
        return;
    assert_string_equal (info.status, "12 partitions");
    stop ();
}

static void test_hears_ready_and_status (void **state)
{
    bn_service_options_t service = speaker ("it", 1, "12 partitions", "ready", NULL);
    (void)state;
    add_service (&service);
    add_clock ();
    world.tick = wait_until_ready;
    run ();
}

static void wait_for_the_wrapped_one (void)
{
    bn_instance_info_t info;
    if (instance ("it.1", &info) && !strcmp (info.status, "from below"))
        stop ();
}

/*  A shell between the supervisor and the one that speaks.  */
static void test_hears_a_child_of_the_child (void **state)
{
    char script[4200];
    (void)state;
    snprintf (script, sizeof (script), "'%s' child raw 'STATUS=from below' & wait", s_self);
    add ("it", script, 1);
    add_clock ();
    world.tick = wait_for_the_wrapped_one;
    run ();
}

#define TAKE(text, now_ms) bn_health_take (&health, text, sizeof (text) - 1, now_ms)

static void test_takes_nothing_for_granted (void **state)
{
    bn_health_t health = {.fd = -1};
    char bytes[BN_HEALTH_DATAGRAM_BYTES_MAX];
    (void)state;
    TAKE ("", 1);
    TAKE ("\n\n\n", 1);
    TAKE ("READY=10\nXREADY=1\nREADY=1 \nWATCHDOG=12", 1);
    assert_false (health.ready);
    assert_false (health.watched);
    TAKE ("STATUS=a\"\\\x1b[31m\xc3\xa4\tb  \nREADY=1", 1);
    assert_string_equal (health.status, "a\"\\?[31m???b");
    assert_true (health.ready);
    TAKE ("WATCHDOG=1", 77);
    assert_int_equal (health.heard_ms, 77);
    TAKE ("STOPPING=1\nSTATUS=", 78);
    assert_false (health.ready);
    assert_string_equal (health.status, "");
    memset (bytes, 'x', sizeof (bytes));
    memcpy (bytes, "STATUS=", 7);
    bn_health_take (&health, bytes, sizeof (bytes), 79);
    assert_int_equal (strlen (health.status), BN_HEALTH_STATUS_BYTES_MAX);
}

/*  ---- the watchdog ---- */

static void wait_for_two_kills (void)
{
    bn_instance_info_t info;
    if (!instance ("hangs.1", &info) || info.restarts < 2)
        return;
    assert_true (instance ("well.1", &info));
    assert_int_equal (info.restarts, 0);
    assert_true (instance ("silent.1", &info));
    assert_int_equal (info.restarts, 0);
    stop ();
}

/*  Who says that it lives and then says no more is killed; who keeps saying it is not, and neither
 *  is who never said it.  */
static void test_kills_what_hangs (void **state)
{
    bn_service_options_t hangs = speaker ("hangs", 1, "ready", "alive", NULL);
    bn_service_options_t well = speaker ("well", 1, "ready", "well", NULL);
    bn_service_options_t silent = speaker ("silent", 1, "ready", NULL, NULL);
    (void)state;
    hangs.watchdog_ms = silent.watchdog_ms = 200;
    well.watchdog_ms = 5000; /* a slow machine is not what this is about */
    add_service (&hangs);
    add_service (&well);
    add_service (&silent);
    add_clock ();
    world.tick = wait_for_two_kills;
    run ();
}

static void wait_for_parked (void)
{
    bn_instance_info_t info;
    if (!instance ("hangs.1", &info) || strcmp (info.state, "parked"))
        return;
    assert_string_equal (info.reason, "ended: watchdog, not heard for 0.1 s (2 times in 60 s)");
    stop ();
}

static void test_says_what_hung (void **state)
{
    bn_service_options_t hangs = speaker ("hangs", 1, "ready", "alive", NULL);
    (void)state;
    hangs.watchdog_ms = 100;
    hangs.intensity = 1;
    hangs.intensity_period_ms = 60000;
    add_service (&hangs);
    add_clock ();
    world.tick = wait_for_parked;
    run ();
}

/*  ---- replacing waits for ready ---- */

static void restart_when_both_are_ready (void)
{
    static bool asked;
    bn_instance_info_t first, second;
    if (!instance ("it.1", &first) || !instance ("it.2", &second) || !first.ready || !second.ready)
        return;
    if (!asked)
        assert_int_equal (bn_supervisor_restart (world.supervisor, "it"), BATON_OK);
    else if (first.current && second.current && count ("it.2 said ready") == 2)
        stop ();
    asked = true;
}

static size_t s_second_came_after; /* so many lines "it.1 said ready" */

static void note_the_second (const char *line)
{
    if (!strcmp (line, "it.2 said hello") && count ("it.2 said hello") == 2)
        s_second_came_after = count ("it.1 said ready");
}

static void test_replaces_the_next_when_one_is_ready (void **state)
{
    bn_service_options_t service = speaker ("it", 2, "hello", "later", "ready");
    (void)state;
    add_service (&service);
    add_clock ();
    world.act = note_the_second;
    world.tick = restart_when_both_are_ready;
    run ();
    assert_int_equal (s_second_came_after, 2);
}

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_hears_ready_and_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_hears_a_child_of_the_child, set_up, tear_down),
        cmocka_unit_test (test_takes_nothing_for_granted),
        cmocka_unit_test_setup_teardown (test_kills_what_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_says_what_hung, set_up, tear_down),
        cmocka_unit_test_setup_teardown (test_replaces_the_next_when_one_is_ready, set_up,
                                         tear_down),
    };
    if (argc > 1 && !strcmp (argv[1], "child"))
        child (argc, argv);
    ssize_t size = readlink ("/proc/self/exe", s_self, sizeof (s_self) - 1);
    s_self[size > 0 ? size : 0] = 0;
    bn_log_setup ("test", BN_LOG_TEXT, BN_LOG_ERROR);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
