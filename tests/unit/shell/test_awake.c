/* SPDX-License-Identifier: MPL-2.0 */

/*  test_awake.c - what is asked of the kernel, and when; a file stands for the device.  */

#include "shell/awake.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SPIN 0
#define ANY  2000000000

static char s_path[] = "/tmp/baton-awake-XXXXXX";

static int setup (void **state)
{
    (void)state;
    int fd = mkstemp (s_path);
    close (fd);
    return fd >= 0 ? setenv ("BATON_TEST_CPU_LATENCY", s_path, 1) : -1;
}

static int teardown (void **state)
{
    (void)state;
    return unlink (s_path);
}

static int empty (void **state)
{
    (void)state;
    return truncate (s_path, 0);
}

/*  Everything that was asked for so far, in order.  */
static void expect (const int32_t *asked, size_t count)
{
    int32_t found[8];
    int fd = open (s_path, O_RDONLY);
    assert_true (fd >= 0);
    assert_int_equal (read (fd, found, sizeof found), count * sizeof *found);
    close (fd);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (found[i], asked[i]);
}

static void test_spinning_is_asked_for_once_while_there_is_work (void **state)
{
    (void)state;
    bn_awake_t awake;
    assert_true (bn_awake_init (&awake, 100));
    bn_awake_update (&awake, 1000);
    expect (NULL, 0);
    bn_awake_touch (&awake, 1000);
    bn_awake_touch (&awake, 1050);
    bn_awake_update (&awake, 1149);
    expect ((int32_t[]){SPIN}, 1);
    bn_awake_update (&awake, 1150);
    bn_awake_update (&awake, 1151);
    expect ((int32_t[]){SPIN, ANY}, 2);
    bn_awake_touch (&awake, 2000);
    expect ((int32_t[]){SPIN, ANY, SPIN}, 3);
    bn_awake_fini (&awake);
    bn_awake_fini (&awake);
}

static void test_nothing_is_asked_for_where_nobody_wants_it (void **state)
{
    (void)state;
    bn_awake_t awake;
    assert_true (bn_awake_init (&awake, 0));
    bn_awake_touch (&awake, 1000);
    bn_awake_update (&awake, 9000);
    expect (NULL, 0);
    bn_awake_fini (&awake);
}

static void test_without_the_device_it_says_so_and_does_nothing (void **state)
{
    (void)state;
    bn_awake_t awake;
    setenv ("BATON_TEST_CPU_LATENCY", "/nowhere/latency", 1);
    assert_false (bn_awake_init (&awake, 100));
    assert_int_equal (errno, ENOENT);
    setenv ("BATON_TEST_CPU_LATENCY", s_path, 1);
    bn_awake_touch (&awake, 1000);
    bn_awake_update (&awake, 9000);
    expect (NULL, 0);
    bn_awake_fini (&awake);
}

static void test_a_device_that_refuses_is_not_asked_again (void **state)
{
    (void)state;
    bn_awake_t awake;
    setenv ("BATON_TEST_CPU_LATENCY", "/dev/full", 1);
    assert_true (bn_awake_init (&awake, 100));
    setenv ("BATON_TEST_CPU_LATENCY", s_path, 1);
    bn_awake_touch (&awake, 1000);
    assert_int_equal (awake.fd, -1);
    assert_false (awake.held);
    bn_awake_touch (&awake, 1001);
    bn_awake_fini (&awake);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup (test_spinning_is_asked_for_once_while_there_is_work, empty),
        cmocka_unit_test_setup (test_nothing_is_asked_for_where_nobody_wants_it, empty),
        cmocka_unit_test_setup (test_without_the_device_it_says_so_and_does_nothing, empty),
        cmocka_unit_test_setup (test_a_device_that_refuses_is_not_asked_again, empty),
    };
    return cmocka_run_group_tests (tests, setup, teardown);
}
