/* SPDX-License-Identifier: MPL-2.0 */

/*  monitor.c - `baton monitor`: the figures of the status for a monitoring system, over HTTP.
 *
 *  DESIGN. A process of its own, so that nothing in the orchestrator speaks HTTP: to it this is one
 *  more admin that asks for the status. libmicrohttpd has the connections, a thread each, at most
 *  CONNECTIONS_MAX. The sample is shared by all of them under one lock and is taken again when it
 *  is older than a second: so the orchestrator is asked at most once a second, and not at all when
 *  nobody scrapes. Whoever waits for the lock gets what was taken meanwhile.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/prometheus.h"
#include "cli/sample.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LISTEN  "127.0.0.1:9464"
#define CONNECTIONS_MAX 32
#define IDLE_S          30 /* a connection that says nothing is closed */
#define SAMPLE_MS       1000
#define TEXT_BYTES_MAX  (64 * 1024 * 1024)

static const char s_about[] =
    "Serves the figures of 'baton status' to Prometheus, in its text format, at /metrics of an "
    "HTTP\n"
    "server; prints its address when it listens. /healthz answers as long as the monitor runs.\n"
    "The orchestrator is asked at most once a second, and only when somebody scrapes. When it "
    "does\n"
    "not answer, baton_up is 0, and /metrics has nothing else to say.";

static const char s_details[] =
    "ADDRESS is an IPv4 address, an IPv6 address in [], a host name, or empty for all. There is\n"
    "no authentication and no encryption: listen where only your own can reach it. Port 0 takes a\n"
    "free one.\n"
    "\n"
    "Exit codes: 0 ended by SIGINT or SIGTERM, 1 it cannot listen, 2 wrong usage.";

typedef struct {
    bn_connect_options_t connect;
    const char *listen;
    bool prometheus;

    pthread_mutex_t lock; /* of all that follows */
    bn_admin_t *admin;    /* owned */
    bn_buffer_t text;     /* the last sample */
    uint64_t taken_ms;    /* monotonic; 0: none yet */
    bool up;
} s_monitor_t;

/*  ---- the sample ---- */

/*  Takes a sample if the last one is too old. The lock is held.  */
static void s_refresh (s_monitor_t *self)
{
    uint64_t begin_ms = bn_clock_now ().mono_ms;
    struct timespec begin, end;
    baton_err_t err;
    if (self->taken_ms && begin_ms - self->taken_ms < SAMPLE_MS)
        return;
    clock_gettime (CLOCK_MONOTONIC, &begin);
    json_t *sample = bn_sample_take (self->admin, &err);
    clock_gettime (CLOCK_MONOTONIC, &end);
    if (sample)
        bn_sample_add_ages (sample, self->admin);
    if (!self->taken_ms || self->up != (sample != NULL))
        bn_log (sample ? BN_LOG_INFO : BN_LOG_WARNING, "%s: %s", self->connect.endpoint,
                sample ? "it answers" : bn_sample_error_text (self->admin, err));
    self->up = sample != NULL;
    bn_buffer_clear (&self->text);
    bn_prometheus_put (&self->text, sample,
                       (double)(end.tv_sec - begin.tv_sec) +
                           (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    json_decref (sample);
    self->taken_ms = bn_clock_now ().mono_ms;
}

/*  ---- HTTP ---- */

static enum MHD_Result s_respond (struct MHD_Connection *connection, unsigned int code,
                                  const char *type, const void *text, size_t size)
{
    /*  libmicrohttpd copies the bytes.  */
    struct MHD_Response *response =
        MHD_create_response_from_buffer (size, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header (response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header (response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response (connection, code, response);
    MHD_destroy_response (response);
    return result;
}

static enum MHD_Result s_say (struct MHD_Connection *connection, unsigned int code,
                              const char *text)
{
    return s_respond (connection, code, "text/plain; charset=utf-8", text, strlen (text));
}

static enum MHD_Result s_metrics (s_monitor_t *self, struct MHD_Connection *connection)
{
    pthread_mutex_lock (&self->lock);
    s_refresh (self);
    enum MHD_Result result =
        self->text.failed
            ? s_say (connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "the figures are too many\n")
            : s_respond (connection, MHD_HTTP_OK, BN_PROMETHEUS_CONTENT_TYPE,
                         bn_buffer_data (&self->text), self->text.size);
    pthread_mutex_unlock (&self->lock);
    return result;
}

static enum MHD_Result s_handle (void *arg, struct MHD_Connection *connection, const char *path,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **state)
{
    static int seen; /* its address: the first call, which comes before a body, is over */
    (void)version, (void)upload;
    if (strcmp (method, MHD_HTTP_METHOD_GET) != 0 && strcmp (method, MHD_HTTP_METHOD_HEAD) != 0) {
        /*  A body is read to its end, and dropped.  */
        bool more = *state == NULL || *upload_size > 0;
        *state = &seen;
        *upload_size = 0;
        return more ? MHD_YES
                    : s_say (connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD only\n");
    }
    if (strcmp (path, "/metrics") == 0)
        return s_metrics (arg, connection);
    if (strcmp (path, "/healthz") == 0)
        return s_say (connection, MHD_HTTP_OK, "ok\n");
    if (strcmp (path, "/") == 0)
        return s_say (connection, MHD_HTTP_OK, "baton monitor: /metrics, /healthz\n");
    return s_say (connection, MHD_HTTP_NOT_FOUND, "there is /metrics and /healthz\n");
}

/*  ---- listening ---- */

/*  "ADDRESS:PORT" into its parts; *host is NULL for all addresses. false: it is none.  */
static bool s_split (const char *text, char room[256], const char **host, const char **port)
{
    uint64_t number;
    if (strlen (text) >= 256)
        return false;
    strcpy (room, text);
    char *colon = strrchr (room, ':');
    if (!colon || !bn_parse_uint (colon + 1, &number) || number > 65535)
        return false;
    *colon = '\0';
    *port = colon + 1;
    size_t size = strlen (room);
    bool brackets = size >= 2 && room[0] == '[' && room[size - 1] == ']';
    if (brackets)
        room[size - 1] = '\0';
    else if (strchr (room, ':'))
        return false; /* which colon is the port's? */
    *host = size ? room + (brackets ? 1 : 0) : NULL;
    return true;
}

/*  NULL after a message; *code is the exit code then.  */
static struct MHD_Daemon *s_listen (s_monitor_t *self, int *code)
{
    char room[256];
    const char *host, *port;
    struct addrinfo *address = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (!s_split (self->listen, room, &host, &port)) {
        *code = bn_usage_error ("monitor", "--listen takes ADDRESS:PORT, not '%s'", self->listen);
        return NULL;
    }
    int error = getaddrinfo (host, port, &hints, &address);
    if (error) {
        *code =
            bn_failure ("monitor", BATON_ERR_ADDRESS, "%s: %s", self->listen, gai_strerror (error));
        return NULL;
    }
    unsigned int flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                         (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    errno = 0;
    struct MHD_Daemon *daemon = MHD_start_daemon (
        flags, 0, NULL, NULL, s_handle, self, MHD_OPTION_SOCK_ADDR, address->ai_addr,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int)IDLE_S, MHD_OPTION_END);
    if (!daemon)
        *code = bn_failure ("monitor", BATON_ERR_ADDRESS, "cannot listen at %s: %s", self->listen,
                            errno ? strerror (errno) : "libmicrohttpd refuses");
    freeaddrinfo (address);
    return daemon;
}

static int s_serve (s_monitor_t *self)
{
    sigset_t signals;
    int number, code = BN_EXIT_OK;
    sigemptyset (&signals);
    sigaddset (&signals, SIGINT);
    sigaddset (&signals, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &signals, NULL); /* its threads too: sigwait is the one to know */
    signal (SIGPIPE, SIG_IGN);
    struct MHD_Daemon *daemon = s_listen (self, &code);
    if (!daemon)
        return code;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info (daemon, MHD_DAEMON_INFO_BIND_PORT);
    const char *colon = strrchr (self->listen, ':');
    printf ("http://%.*s:%u/metrics\n", (int)(colon - self->listen), self->listen,
            info ? info->port : 0);
    fflush (stdout);
    sigwait (&signals, &number);
    MHD_stop_daemon (daemon);
    return BN_EXIT_OK;
}

int bn_cli_monitor (int argc, char **argv)
{
    s_monitor_t self = {.listen = DEFAULT_LISTEN, .lock = PTHREAD_MUTEX_INITIALIZER};
    const bn_option_t table[] = {
        {"prometheus", 0, BN_OPTION_FLAG, &self.prometheus, NULL,
         "the format; there is no other, and it must be said", 0, 0},
        {"listen", 'l', BN_OPTION_TEXT, &self.listen, "ADDRESS:PORT",
         "where to serve (default: " DEFAULT_LISTEN ")", 0, 0},
        BN_CONNECT_OPTIONS (&self.connect),
    };
    const bn_command_t command = {.usage = "monitor --prometheus [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first < argc)
        return bn_usage_error ("monitor", "what is '%s'?", argv[first]);
    if (!self.prometheus)
        return bn_usage_error ("monitor", "say --prometheus");
    code = bn_connect (&self.admin, "monitor", &self.connect);
    if (code >= 0)
        return code;
    bn_log_setup ("monitor", BN_LOG_TEXT, BN_LOG_INFO);
    bn_buffer_init (&self.text, TEXT_BYTES_MAX);
    code = s_serve (&self);
    bn_buffer_fini (&self.text);
    bn_admin_destroy (&self.admin);
    return code;
}
