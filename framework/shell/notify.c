/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/notify.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_EVERY_MS 1000

/*  Decimal digits only; false: no number, or too large for one.  */
static bool parse_u64 (const char *text, uint64_t *value)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull (text, &end, 10);
    *value = number;
    return errno == 0 && *end == 0;
}

/*  What WATCHDOG_USEC says, if it is meant for this process.  */
static uint64_t watchdog_ms (void)
{
    uint64_t usec, pid;
    const char *who = getenv ("WATCHDOG_PID");
    if (who && (!parse_u64 (who, &pid) || pid != (uint64_t)getpid ()))
        return 0;
    if (!parse_u64 (getenv ("WATCHDOG_USEC"), &usec) || usec == UINT64_MAX)
        return 0;
    /*  Half of it is the period, and a period of 0 is none.  */
    return usec == 0 ? 0 : usec < 2000 ? 2 : usec / 1000;
}

/*  NULL: the address is set; else what is wrong with it.  */
static const char *set_address (bn_notify_t *self, const char *text)
{
    size_t size = strlen (text);
    if (text[0] != '/' && text[0] != '@')
        return "NOTIFY_SOCKET is neither a path nor an abstract address";
    if (size < 2 || size >= sizeof self->address.sun_path)
        return "NOTIFY_SOCKET is too short or too long for an address";
    self->address.sun_family = AF_UNIX;
    memcpy (self->address.sun_path, text, size);
    /*  An abstract name begins with a zero byte and has no end but its size.  */
    if (text[0] == '@')
        self->address.sun_path[0] = 0;
    self->address_size =
        (socklen_t)(offsetof (struct sockaddr_un, sun_path) + size + (text[0] == '/'));
    self->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return self->fd < 0 ? "no descriptor for the notification socket" : NULL;
}

bool bn_notify_init (bn_notify_t *self, const char **why)
{
    const char *address = getenv ("NOTIFY_SOCKET");
    const char *wrong = NULL;
    *self = (bn_notify_t){.fd = -1};
    if (address && *address)
        wrong = set_address (self, address);
    if (self->fd >= 0)
        self->watchdog_ms = watchdog_ms ();
    unsetenv ("NOTIFY_SOCKET");
    unsetenv ("WATCHDOG_USEC");
    unsetenv ("WATCHDOG_PID");
    if (why)
        *why = wrong;
    return !wrong;
}

void bn_notify_fini (bn_notify_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

/*  One datagram with what is owed and `more` (may be ""); what is owed stays so if it is not
 *  taken.  */
static void tell (bn_notify_t *self, const char *more)
{
    char text[BN_NOTIFY_STATUS_BYTES_MAX + 64];
    if (self->fd < 0)
        return;
    int size =
        snprintf (text, sizeof text, "%s%s%s%s%s%s", self->ready_owed ? "READY=1\n" : "",
                  self->stopping_owed ? "STOPPING=1\n" : "", self->status_owed ? "STATUS=" : "",
                  self->status_owed ? self->status : "", self->status_owed ? "\n" : "", more);
    if (size <= 0)
        return;
    ssize_t sent;
    do
        sent = sendto (self->fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT,
                       (const struct sockaddr *)&self->address, self->address_size);
    while (sent < 0 && errno == EINTR);
    if (sent == size)
        self->ready_owed = self->stopping_owed = self->status_owed = false;
}

void bn_notify_ready (bn_notify_t *self)
{
    if (self->ready)
        return;
    self->ready = self->ready_owed = true;
    tell (self, "");
}

void bn_notify_stopping (bn_notify_t *self)
{
    if (self->stopping)
        return;
    self->stopping = self->stopping_owed = true;
    tell (self, "");
}

void bn_notify_status (bn_notify_t *self, uint64_t now_ms, const char *format, ...)
{
    char text[BN_NOTIFY_STATUS_BYTES_MAX + 1];
    va_list args;
    if (self->fd < 0)
        return;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
    if (strcmp (text, self->status) != 0) {
        snprintf (self->status, sizeof self->status, "%s", text);
        self->status_owed = true;
    }
    if (!self->status_owed || now_ms < self->status_ms)
        return;
    self->status_ms = now_ms + STATUS_EVERY_MS;
    tell (self, "");
}

static bool is_owed (const bn_notify_t *self)
{
    return self->ready_owed || self->stopping_owed || self->status_owed;
}

void bn_notify_alive (bn_notify_t *self, uint64_t now_ms)
{
    if (now_ms < bn_notify_due_ms (self))
        return;
    bool watched = self->watchdog_ms > 0 && now_ms >= self->alive_ms;
    if (watched)
        self->alive_ms = now_ms + self->watchdog_ms / 2;
    /*  Again in a second at the latest, if the receiver does not take it now.  */
    self->status_ms = now_ms + STATUS_EVERY_MS;
    tell (self, watched ? "WATCHDOG=1\n" : "");
}

uint64_t bn_notify_due_ms (const bn_notify_t *self)
{
    if (self->fd < 0)
        return UINT64_MAX;
    uint64_t due_ms = self->watchdog_ms > 0 ? self->alive_ms : UINT64_MAX;
    return is_owed (self) && self->status_ms < due_ms ? self->status_ms : due_ms;
}
