/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/health.h"
#include "shell/clock.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAMS_MAX 32 /* in one bn_health_read: others want their turn */

bool bn_health_open (bn_health_t *self)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int on = 1;
    memset (self, 0, sizeof (*self));
    snprintf (self->address, sizeof (self->address), "@baton/%d/%016" PRIx64, (int)getpid (),
              bn_random_u64 ());
    size_t size = strlen (self->address);
    memcpy (address.sun_path, self->address, size);
    address.sun_path[0] = 0; /* abstract */
    self->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd >= 0 && setsockopt (self->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof (on)) == 0 &&
        bind (self->fd, (struct sockaddr *)&address,
              (socklen_t)(offsetof (struct sockaddr_un, sun_path) + size)) == 0)
        return true;
    bn_health_close (self);
    return false;
}

void bn_health_close (bn_health_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

/*  For a terminal and for JSON as it is: whatever is not printable ASCII becomes '?', an end in
 *  blanks is cut off.  */
static void s_take_status (bn_health_t *self, const char *text, size_t size)
{
    if (size > BN_HEALTH_STATUS_BYTES_MAX)
        size = BN_HEALTH_STATUS_BYTES_MAX;
    while (size > 0 && text[size - 1] == ' ')
        size--;
    for (size_t i = 0; i < size; i++)
        self->status[i] = text[i];
    for (size_t i = 0; i < size; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            self->status[i] = '?';
    self->status[size] = 0;
}

void bn_health_take (bn_health_t *self, const char *text, size_t size, uint64_t now_ms)
{
    static const char status[] = "STATUS=";
    const char *end = text + size;
    while (text < end) {
        const char *stop = memchr (text, '\n', (size_t)(end - text));
        size_t line = (size_t)((stop ? stop : end) - text);
        if (line == 7 && !memcmp (text, "READY=1", 7))
            self->ready = true;
        else if (line == 10 && !memcmp (text, "STOPPING=1", 10))
            self->ready = false;
        else if (line == 10 && !memcmp (text, "WATCHDOG=1", 10)) {
            self->watched = true;
            self->heard_ms = now_ms;
        } else if (line >= strlen (status) && !memcmp (text, status, strlen (status)))
            s_take_status (self, text + strlen (status), line - strlen (status));
        text += line + 1;
    }
}

/*  Nobody else is to speak in the name of a child of ours.  */
static bool s_is_ours (struct msghdr *message)
{
    struct ucred from;
    struct cmsghdr *control = CMSG_FIRSTHDR (message);
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS)
        return false;
    memcpy (&from, CMSG_DATA (control), sizeof (from));
    return from.uid == geteuid () || from.uid == 0;
}

void bn_health_read (bn_health_t *self, uint64_t now_ms)
{
    char text[BN_HEALTH_DATAGRAM_BYTES_MAX];
    for (int i = 0; i < DATAGRAMS_MAX; i++) {
        union {
            struct cmsghdr header; /* aligns the bytes */
            char bytes[CMSG_SPACE (sizeof (struct ucred))];
        } control;
        struct iovec part = {.iov_base = text, .iov_len = sizeof (text)};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof (control.bytes)};
        /*  Descriptors that a child sends along have no room and are closed by the kernel.  */
        ssize_t size = recvmsg (self->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size < 0)
            return;
        if (!(message.msg_flags & MSG_TRUNC) && s_is_ours (&message))
            bn_health_take (self, text, (size_t)size, now_ms);
    }
}
