/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/control.h"
#include "shell/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_NAME        "supervisor.sock"
#define LOCK_NAME          "supervisor.lock"
#define REQUEST_TIMEOUT_MS 2000
#define ASK_TIMEOUT_MS     5000
#define LOCK_PATIENCE_MS   2000
#define LOCK_RETRY_MS      20
#define WAIT_MS            20 /* between two looks at the lock */

typedef struct {
    int fd;               /* -1: free */
    uint64_t deadline_ms; /* monotonic */
    size_t size;
    char request[BN_CONTROL_REQUEST_BYTES_MAX + 1];
} s_connection_t;

struct bn_control {
    int directory; /* owned */
    int lock;      /* owned */
    int listener;  /* owned */
    s_connection_t connections[BN_CONTROL_CONNECTIONS_MAX];
};

/*  A path in an address has room for 107 bytes, a data directory's name may be longer: the way goes
 *  through the descriptor of the directory.  */
static struct sockaddr_un s_address (int directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf (address.sun_path, sizeof (address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
              directory);
    return address;
}

static baton_err_t s_from_errno (int error)
{
    return error == EACCES || error == EPERM || error == EROFS ? BATON_ERR_PERMISSION
           : error == ENOENT || error == ENOTDIR               ? BATON_ERR_NOT_FOUND
                                                               : BATON_ERR_SYSTEM;
}

/*  One that is ending, or that somebody waits for, holds it for a moment more.  */
static bool s_lock (int fd)
{
    const struct timespec pause = {.tv_nsec = LOCK_RETRY_MS * 1000000L};
    for (int waited = 0; flock (fd, LOCK_EX | LOCK_NB); waited += LOCK_RETRY_MS) {
        if (errno != EWOULDBLOCK || waited >= LOCK_PATIENCE_MS)
            return false;
        nanosleep (&pause, NULL);
    }
    return true;
}

static baton_err_t s_open (bn_control_t *self, const char *directory, char *detail,
                           size_t detail_size)
{
    self->directory = open (directory, O_DIRECTORY | O_PATH | O_CLOEXEC);
    if (self->directory < 0)
        goto failed;
    self->lock = openat (self->directory, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (self->lock < 0)
        goto failed;
    if (!s_lock (self->lock)) {
        baton_err_t err = errno == EWOULDBLOCK ? BATON_ERR_LOCKED : BATON_ERR_SYSTEM;
        snprintf (detail, detail_size,
                  "%s: a `baton up` or `baton node` runs in this data directory already",
                  directory);
        return err;
    }
    /*  The lock is ours, so a socket that is there was left by a dead one.  */
    if (unlinkat (self->directory, SOCKET_NAME, 0) && errno != ENOENT)
        goto failed;
    self->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = s_address (self->directory);
    mode_t before = umask (0177);
    int bound = self->listener < 0
                    ? -1
                    : bind (self->listener, (struct sockaddr *)&address, sizeof (address));
    int error = errno;
    umask (before);
    errno = error;
    if (bound == 0 && listen (self->listener, BN_CONTROL_CONNECTIONS_MAX) == 0)
        return BATON_OK;
failed:;
    baton_err_t err = s_from_errno (errno);
    snprintf (detail, detail_size, "%s: the control socket cannot be made: %s", directory,
              strerror (errno));
    return err;
}

baton_err_t bn_control_new (bn_control_t **control, const char *directory, char *detail,
                            size_t detail_size)
{
    *control = NULL;
    bn_control_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->directory = self->lock = self->listener = -1;
    for (size_t i = 0; i < BN_CONTROL_CONNECTIONS_MAX; i++)
        self->connections[i].fd = -1;
    baton_err_t err = s_open (self, directory, detail, detail_size);
    if (err)
        bn_control_destroy (&self);
    *control = self;
    return err;
}

void bn_control_destroy (bn_control_t **self_p)
{
    bn_control_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->listener >= 0) {
        unlinkat (self->directory, SOCKET_NAME, 0);
        close (self->listener);
    }
    for (size_t i = 0; i < BN_CONTROL_CONNECTIONS_MAX; i++)
        if (self->connections[i].fd >= 0)
            close (self->connections[i].fd);
    if (self->lock >= 0)
        close (self->lock);
    if (self->directory >= 0)
        close (self->directory);
    free (self);
}

void bn_control_poll_prepare (const bn_control_t *self, struct pollfd *fds)
{
    bool room = false;
    for (size_t i = 0; i < BN_CONTROL_CONNECTIONS_MAX; i++) {
        room = room || self->connections[i].fd < 0;
        fds[i + 1] = (struct pollfd){.fd = self->connections[i].fd, .events = POLLIN};
    }
    fds[0] = (struct pollfd){.fd = room ? self->listener : -1, .events = POLLIN};
}

int bn_control_timeout_ms (const bn_control_t *self)
{
    uint64_t now_ms = bn_clock_now ().mono_ms;
    int timeout_ms = -1;
    for (size_t i = 0; i < BN_CONTROL_CONNECTIONS_MAX; i++) {
        const s_connection_t *connection = &self->connections[i];
        if (connection->fd < 0)
            continue;
        int left_ms =
            connection->deadline_ms > now_ms ? (int)(connection->deadline_ms - now_ms) : 0;
        if (timeout_ms < 0 || left_ms < timeout_ms)
            timeout_ms = left_ms;
    }
    return timeout_ms;
}

static void s_drop (s_connection_t *self)
{
    close (self->fd);
    self->fd = -1;
}

static void s_answer (s_connection_t *self, bn_control_fn *answer, void *arg)
{
    bn_buffer_t reply;
    int bytes = BN_CONTROL_REPLY_BYTES_MAX;
    bn_buffer_init (&reply, BN_CONTROL_REPLY_BYTES_MAX);
    answer (self->request, &reply, arg);
    bn_buffer_append (&reply, "\n", 1);
    /*  One send that must fit: the peer is a local tool that reads.  */
    setsockopt (self->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof (bytes));
    if (!reply.failed)
        send (self->fd, bn_buffer_data (&reply), reply.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    bn_buffer_fini (&reply);
    s_drop (self);
}

static void s_read_request (s_connection_t *self, bn_control_fn *answer, void *arg)
{
    ssize_t size = recv (self->fd, self->request + self->size,
                         BN_CONTROL_REQUEST_BYTES_MAX - self->size, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        s_drop (self);
        return;
    }
    self->size += (size_t)size;
    char *end = memchr (self->request, '\n', self->size);
    if (end) {
        *end = 0;
        s_answer (self, answer, arg);
    } else if (self->size == BN_CONTROL_REQUEST_BYTES_MAX)
        s_drop (self);
}

void bn_control_poll (bn_control_t *self, const struct pollfd *fds, bn_control_fn *answer,
                      void *arg)
{
    uint64_t now_ms = bn_clock_now ().mono_ms;
    for (size_t i = 0; i < BN_CONTROL_CONNECTIONS_MAX; i++) {
        s_connection_t *connection = &self->connections[i];
        if (connection->fd < 0)
            continue;
        if (fds[i + 1].fd == connection->fd && fds[i + 1].revents)
            s_read_request (connection, answer, arg);
        else if (now_ms >= connection->deadline_ms)
            s_drop (connection);
    }
    if (fds[0].fd < 0 || !fds[0].revents)
        return;
    for (size_t i = 0; i < BN_CONTROL_CONNECTIONS_MAX; i++) {
        s_connection_t *connection = &self->connections[i];
        if (connection->fd >= 0)
            continue;
        connection->fd = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        connection->size = 0;
        memset (connection->request, 0, sizeof (connection->request));
        connection->deadline_ms = now_ms + REQUEST_TIMEOUT_MS;
        break;
    }
}

/*  ---- the other end ---- */

static baton_err_t s_read_reply (int fd, char **reply)
{
    struct timeval timeout = {.tv_sec = ASK_TIMEOUT_MS / 1000};
    char *text = malloc (BN_CONTROL_REPLY_BYTES_MAX + 1);
    size_t size = 0;
    if (!text)
        return BATON_ERR_MEMORY;
    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof (timeout));
    for (;;) {
        ssize_t got = recv (fd, text + size, BN_CONTROL_REPLY_BYTES_MAX - size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int error = got < 0 ? errno : 0;
            text[size] = 0;
            if (got == 0 && size > 0 && text[size - 1] == '\n') {
                text[size - 1] = 0;
                *reply = text;
                return BATON_OK;
            }
            free (text);
            return error == EAGAIN ? BATON_ERR_TIMEOUT
                   : error         ? BATON_ERR_SYSTEM
                                   : BATON_ERR_MALFORMED;
        }
        size += (size_t)got;
        if (size == BN_CONTROL_REPLY_BYTES_MAX) {
            free (text);
            return BATON_ERR_TOO_LARGE;
        }
    }
}

baton_err_t bn_control_ask (const char *directory, const char *request, char **reply)
{
    *reply = NULL;
    int folder = open (directory, O_DIRECTORY | O_PATH | O_CLOEXEC);
    if (folder < 0)
        return errno == EACCES ? BATON_ERR_PERMISSION : BATON_ERR_UNREACHABLE;
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = s_address (folder);
    baton_err_t err = BATON_ERR_SYSTEM;
    if (fd >= 0) {
        if (connect (fd, (struct sockaddr *)&address, sizeof (address)))
            err = errno == EACCES ? BATON_ERR_PERMISSION : BATON_ERR_UNREACHABLE;
        else {
            char line[BN_CONTROL_REQUEST_BYTES_MAX + 1];
            int size = snprintf (line, sizeof (line), "%s\n", request);
            err = size < 0 || (size_t)size >= sizeof (line)             ? BATON_ERR_TOO_LARGE
                  : send (fd, line, (size_t)size, MSG_NOSIGNAL) == size ? s_read_reply (fd, reply)
                                                                        : BATON_ERR_SYSTEM;
        }
        close (fd);
    }
    close (folder);
    return err;
}

baton_err_t bn_control_wait_end (const char *directory, uint64_t timeout_ms)
{
    struct timespec pause = {.tv_nsec = WAIT_MS * 1000000};
    uint64_t end_ms = bn_clock_now ().mono_ms + timeout_ms;
    baton_err_t err = BATON_OK;
    int folder = open (directory, O_DIRECTORY | O_PATH | O_CLOEXEC);
    int lock = folder < 0 ? -1 : openat (folder, LOCK_NAME, O_RDWR | O_CLOEXEC);
    if (lock < 0 && errno != ENOENT)
        err = s_from_errno (errno);
    /*  A supervisor keeps its lock to the end, so whoever gets it knows that it has come.  */
    while (lock >= 0 && !err && flock (lock, LOCK_SH | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            err = BATON_ERR_SYSTEM;
        else if (bn_clock_now ().mono_ms >= end_ms)
            err = BATON_ERR_TIMEOUT;
        else
            nanosleep (&pause, NULL);
    }
    if (lock >= 0)
        close (lock);
    if (folder >= 0)
        close (folder);
    return err;
}
