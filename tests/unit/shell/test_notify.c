/* SPDX-License-Identifier: MPL-2.0 */

/*  test_notify.c - what a supervisor hears, on a real socket as systemd would have it.  */

#include "shell/notify.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    int fd;
    char folder[64]; /* "" for an abstract address */
    char address[128];
    bn_notify_t notify;
} world_t;

/*  A socket of a supervisor, its address in NOTIFY_SOCKET, and the sender.  */
static void open_world (world_t *self, bool abstract, const char *watchdog_usec)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *self = (world_t){.fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    assert_true (self->fd >= 0);
    socklen_t size = sizeof (sa_family_t); /* abstract: the kernel picks a name */
    if (!abstract) {
        strcpy (self->folder, "/tmp/baton-notify-XXXXXX");
        assert_non_null (mkdtemp (self->folder));
        snprintf (self->address, sizeof self->address, "%s/notify", self->folder);
        strcpy (address.sun_path, self->address);
        size = sizeof address;
    }
    assert_int_equal (bind (self->fd, (struct sockaddr *)&address, size), 0);
    if (abstract) {
        size = sizeof address;
        assert_int_equal (getsockname (self->fd, (struct sockaddr *)&address, &size), 0);
        snprintf (self->address, sizeof self->address, "@%.*s",
                  (int)(size - sizeof (sa_family_t) - 1), address.sun_path + 1);
    }
    setenv ("NOTIFY_SOCKET", self->address, 1);
    unsetenv ("WATCHDOG_PID");
    unsetenv ("WATCHDOG_USEC");
    if (watchdog_usec)
        setenv ("WATCHDOG_USEC", watchdog_usec, 1);
    const char *why = "";
    assert_true (bn_notify_init (&self->notify, &why));
    assert_null (why);
}

static void close_world (world_t *self)
{
    bn_notify_fini (&self->notify);
    close (self->fd);
    if (self->folder[0]) {
        unlink (self->address);
        assert_int_equal (rmdir (self->folder), 0);
    }
}

/*  The next datagram; "" if there is none: a datagram that was sent is there at once.  */
static const char *heard (world_t *self)
{
    static char text[1024];
    ssize_t size = recv (self->fd, text, sizeof text - 1, 0);
    assert_true (size >= 0 || errno == EAGAIN);
    text[size > 0 ? size : 0] = 0;
    return text;
}

static void test_says_it_all (void **state)
{
    (void)state;
    for (int abstract = 0; abstract < 2; abstract++) {
        world_t world;
        open_world (&world, abstract, NULL);
        bn_notify_status (&world.notify, 1000, "%d partitions", 3);
        assert_string_equal (heard (&world), "STATUS=3 partitions\n");
        bn_notify_ready (&world.notify);
        assert_string_equal (heard (&world), "READY=1\n");
        bn_notify_ready (&world.notify);
        assert_string_equal (heard (&world), ""); /* once is enough */
        bn_notify_stopping (&world.notify);
        assert_string_equal (heard (&world), "STOPPING=1\n");
        bn_notify_stopping (&world.notify);
        assert_string_equal (heard (&world), "");
        close_world (&world);
    }
}

static void test_status_is_bounded (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, false, NULL);
    bn_notify_status (&world.notify, 1000, "one");
    assert_string_equal (heard (&world), "STATUS=one\n");
    bn_notify_status (&world.notify, 1100, "two");
    bn_notify_status (&world.notify, 1200, "three");
    bn_notify_alive (&world.notify, 1300);
    assert_string_equal (heard (&world), "");
    assert_int_equal (bn_notify_due_ms (&world.notify), 2000);
    bn_notify_alive (&world.notify, 2000);
    assert_string_equal (heard (&world), "STATUS=three\n");
    bn_notify_status (&world.notify, 5000, "three");
    assert_string_equal (heard (&world), ""); /* nothing new */
    assert_int_equal (bn_notify_due_ms (&world.notify), UINT64_MAX);

    /*  One that comes too soon goes out later, also where nothing but the status is told.  */
    bn_notify_status (&world.notify, 6000, "four");
    bn_notify_status (&world.notify, 6500, "five");
    assert_string_equal (heard (&world), "STATUS=four\n");
    assert_string_equal (heard (&world), "");
    bn_notify_status (&world.notify, 7000, "five");
    assert_string_equal (heard (&world), "STATUS=five\n");

    char text[2000];
    memset (text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    text[3] = '\n';
    bn_notify_status (&world.notify, 9000, "%s", text);
    const char *status = heard (&world);
    assert_int_equal (strlen (status), strlen ("STATUS=\n") + BN_NOTIFY_STATUS_BYTES_MAX);
    assert_memory_equal (status, "STATUS=xxx xxx", 14); /* a line more would be a command more */
    close_world (&world);
}

static void test_watchdog (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, false, "3000000");
    assert_int_equal (world.notify.watchdog_ms, 3000);
    bn_notify_alive (&world.notify, 10000);
    assert_string_equal (heard (&world), "WATCHDOG=1\n");
    assert_int_equal (bn_notify_due_ms (&world.notify), 11500);
    bn_notify_alive (&world.notify, 11499);
    assert_string_equal (heard (&world), "");
    bn_notify_alive (&world.notify, 11500);
    assert_string_equal (heard (&world), "WATCHDOG=1\n");
    close_world (&world);
}

static void test_watchdog_is_for_somebody_else (void **state)
{
    (void)state;
    static const char *const usecs[] = {
        "0", "", "-5", "5s", "18446744073709551615", "99999999999999999999"};
    world_t world;
    for (size_t i = 0; i < sizeof usecs / sizeof *usecs; i++) {
        open_world (&world, false, usecs[i]);
        assert_int_equal (world.notify.watchdog_ms, 0);
        bn_notify_alive (&world.notify, 10000);
        assert_string_equal (heard (&world), "");
        close_world (&world);
    }
    for (int own = 0; own < 2; own++) {
        char pid[32];
        open_world (&world, false, NULL);
        snprintf (pid, sizeof pid, "%d", own ? (int)getpid () : (int)getppid ());
        setenv ("NOTIFY_SOCKET", world.address, 1);
        setenv ("WATCHDOG_USEC", "2000000", 1);
        setenv ("WATCHDOG_PID", pid, 1);
        bn_notify_fini (&world.notify);
        assert_true (bn_notify_init (&world.notify, NULL));
        assert_int_equal (world.notify.watchdog_ms, own ? 2000 : 0);
        close_world (&world);
    }
}

static void test_children_do_not_inherit (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, false, "3000000");
    assert_null (getenv ("NOTIFY_SOCKET"));
    assert_null (getenv ("WATCHDOG_USEC"));
    assert_null (getenv ("WATCHDOG_PID"));
    close_world (&world);
}

/*  A receiver without room, and one that comes back: what must be heard is, what is old is not.  */
static void test_nothing_blocks_and_ready_is_kept (void **state)
{
    (void)state;
    world_t world;
    open_world (&world, false, NULL);
    /*  Another sender fills the queue.  */
    int other = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy (address.sun_path, world.address);
    int filled = 0;
    while (sendto (other, "x", 1, 0, (struct sockaddr *)&address, sizeof address) == 1)
        filled++;
    assert_true (filled > 0 && errno == EAGAIN);
    bn_notify_ready (&world.notify); /* returns */
    for (int i = 0; i < filled; i++)
        assert_string_equal (heard (&world), "x");
    assert_string_equal (heard (&world), "");
    bn_notify_alive (&world.notify, 5000);
    assert_string_equal (heard (&world), "READY=1\n");

    /*  Gone, and back under the same name.  */
    close (world.fd);
    unlink (world.address);
    bn_notify_stopping (&world.notify);
    world.fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal (bind (world.fd, (struct sockaddr *)&address, sizeof address), 0);
    bn_notify_alive (&world.notify, 9000);
    assert_string_equal (heard (&world), "STOPPING=1\n");
    close (other);
    close_world (&world);
}

static void test_nobody_listens (void **state)
{
    (void)state;
    bn_notify_t notify;
    unsetenv ("NOTIFY_SOCKET");
    setenv ("WATCHDOG_USEC", "1000000", 1);
    assert_true (bn_notify_init (&notify, NULL));
    assert_int_equal (notify.fd, -1);
    assert_int_equal (notify.watchdog_ms, 0);
    bn_notify_ready (&notify);
    bn_notify_status (&notify, 1, "text");
    bn_notify_alive (&notify, 1);
    bn_notify_stopping (&notify);
    assert_int_equal (bn_notify_due_ms (&notify), UINT64_MAX);
    bn_notify_fini (&notify);
}

static void test_bad_addresses (void **state)
{
    (void)state;
    char lengthy[300] = "/";
    memset (lengthy + 1, 'x', sizeof lengthy - 2);
    const char *const bad[] = {"relative", "vsock:2:1234", "/", "@", lengthy};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bn_notify_t notify;
        const char *why = NULL;
        setenv ("NOTIFY_SOCKET", bad[i], 1);
        assert_false (bn_notify_init (&notify, &why));
        assert_non_null (why);
        assert_null (getenv ("NOTIFY_SOCKET"));
        bn_notify_ready (&notify);
        bn_notify_fini (&notify);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_says_it_all),
        cmocka_unit_test (test_status_is_bounded),
        cmocka_unit_test (test_watchdog),
        cmocka_unit_test (test_watchdog_is_for_somebody_else),
        cmocka_unit_test (test_children_do_not_inherit),
        cmocka_unit_test (test_nothing_blocks_and_ready_is_kept),
        cmocka_unit_test (test_nobody_listens),
        cmocka_unit_test (test_bad_addresses),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
