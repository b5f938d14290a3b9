/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/config.h"
#include "orchestrator/service.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LINGER_MS 1000 /* at a clean stop, for answers on their way */
/*  A record holds what one request brought. Independent of the configuration, so that records made
 *  under a larger message_bytes_max are still read.  */
#define RECORD_BYTES_MAX (128u * 1024 * 1024)

struct baton_orchestrator {
    baton_orchestrator_options_t options; /* filled; its texts belong to the next field */
    bn_orchestrator_config_t texts;       /* owned copies */
    bn_recovered_t recovered;
    bn_sockets_t sockets;
    bn_service_t *service;
    pthread_t thread;
    bool running;
    bool stopped;               /* it was running; the thread has closed everything */
    _Atomic uint64_t turned_ms; /* monotonic; when the service last came round */
    int stop_fd;                /* eventfd: please stop */
    int failure_fd;             /* eventfd: has stopped by itself */
    pthread_mutex_t lock;       /* guards the two below */
    baton_err_t err;
    char detail[512];
};

static void signal_fd (int fd)
{
    uint64_t one = 1;
    ssize_t rc = write (fd, &one, sizeof one);
    (void)rc; /* full: it is readable anyway */
}

static void *run (void *arg)
{
    baton_orchestrator_t *self = arg;
    char detail[512];
    baton_err_t err = bn_service_run (self->service, detail);
    if (err) {
        /*  Nothing more leaves this process (G1): not even what is queued for sending, which the
         *  gate had let out, is worth a delay of the news.  */
        bn_log (BN_LOG_ERROR, "stopped: %s (%s)", detail, baton_err_name (err));
        pthread_mutex_lock (&self->lock);
        self->err = err;
        memcpy (self->detail, detail, sizeof detail);
        pthread_mutex_unlock (&self->lock);
    }
    bn_service_destroy (&self->service);
    bn_sockets_close (&self->sockets, err ? 0 : LINGER_MS);
    bn_recovered_fini (&self->recovered);
    if (err)
        signal_fd (self->failure_fd);
    return NULL;
}

/*  Fills in the defaults and copies the texts.  */
static baton_err_t take_options (baton_orchestrator_t *self,
                                 const baton_orchestrator_options_t *given, char detail[512])
{
    baton_err_t err = bn_orchestrator_options_fill (&self->options, given, detail);
    if (err)
        return err;
    const char **texts[] = {&self->options.data_dir, &self->options.endpoint,
                            &self->options.fanout_endpoint};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!*texts[i])
            continue;
        self->texts.texts[i] = strdup (*texts[i]);
        if (!self->texts.texts[i])
            return BATON_ERR_MEMORY;
        *texts[i] = self->texts.texts[i];
    }
    return BATON_OK;
}

static baton_err_t start_threads (baton_orchestrator_t *self)
{
    self->turned_ms = bn_clock_now ().mono_ms;
    bn_service_options_t options = {
        .options = &self->options,
        .recovered = &self->recovered,
        .sockets = &self->sockets,
        .stop_fd = self->stop_fd,
        .turned_ms = &self->turned_ms,
    };
    baton_err_t err = bn_service_new (&self->service, &options);
    if (!err && pthread_create (&self->thread, NULL, run, self) != 0)
        err = BATON_ERR_SYSTEM;
    self->running = !err;
    return err;
}

static baton_err_t start (baton_orchestrator_t *self, char detail[512])
{
    bn_recovery_options_t recovery = {
        .data_dir = self->options.data_dir,
        .segment_bytes = self->options.segment_bytes,
        .record_bytes_max = RECORD_BYTES_MAX,
        .producers_max = self->options.producers_max,
    };
    baton_err_t err = bn_recover (&self->recovered, &recovery, detail);
    if (err)
        return err;
    uint32_t partitions = self->recovered.state->partitions;
    if (partitions != 0 && partitions != self->options.partitions)
        bn_log (BN_LOG_WARNING, "partitions = %u is ignored: this journal was created with %u",
                self->options.partitions, partitions);
    err = bn_sockets_open (&self->sockets, &self->options, detail);
    if (err)
        return err;
    uint64_t tail = self->recovered.journal.tail;
    /*  Signals are the host program's: its own threads take them.  */
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    err = start_threads (self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (!err)
        bn_log (BN_LOG_INFO, "serving at %s, fan-out at %s, data in %s, next offset %" PRIu64,
                self->sockets.endpoint, self->sockets.fanout_endpoint, self->options.data_dir,
                tail);
    return err;
}

baton_err_t baton_orchestrator_new (baton_orchestrator_t **orchestrator,
                                    const baton_orchestrator_options_t *options, char *detail,
                                    size_t detail_size)
{
    *orchestrator = NULL;
    char text[512] = "";
    baton_err_t err = BATON_ERR_MEMORY;
    baton_orchestrator_t *self = calloc (1, sizeof *self);
    if (self) {
        pthread_mutex_init (&self->lock, NULL);
        bn_orchestrator_config_init (&self->texts);
        self->stop_fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
        self->failure_fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
        err = self->stop_fd < 0 || self->failure_fd < 0 ? BATON_ERR_SYSTEM
                                                        : take_options (self, options, text);
        if (!err)
            err = start (self, text);
    }
    if (err) {
        if (detail && detail_size > 0)
            snprintf (detail, detail_size, "%s", *text ? text : baton_err_text (err));
        baton_orchestrator_destroy (&self);
    }
    *orchestrator = self;
    return err;
}

const char *baton_orchestrator_endpoint (const baton_orchestrator_t *self)
{
    return self->sockets.endpoint;
}

int baton_orchestrator_fd (const baton_orchestrator_t *self)
{
    return self->failure_fd;
}

uint64_t baton_orchestrator_silent_ms (const baton_orchestrator_t *self)
{
    /*  Read first: it may be set between the two.  */
    uint64_t turned_ms = atomic_load_explicit (&self->turned_ms, memory_order_relaxed);
    return bn_clock_now ().mono_ms - turned_ms;
}

baton_err_t baton_orchestrator_failure (baton_orchestrator_t *self, char *detail,
                                        size_t detail_size)
{
    pthread_mutex_lock (&self->lock);
    baton_err_t err = self->err;
    if (detail && detail_size > 0)
        snprintf (detail, detail_size, "%s", self->detail);
    pthread_mutex_unlock (&self->lock);
    return err;
}

baton_err_t baton_orchestrator_stop (baton_orchestrator_t *self, char *detail, size_t detail_size)
{
    if (self->running) {
        signal_fd (self->stop_fd);
        pthread_join (self->thread, NULL);
        self->running = false;
        self->stopped = true;
    }
    return baton_orchestrator_failure (self, detail, detail_size);
}

void baton_orchestrator_destroy (baton_orchestrator_t **orchestrator_p)
{
    baton_orchestrator_t *self = *orchestrator_p;
    if (!self)
        return;
    if (self->running)
        baton_orchestrator_stop (self, NULL, 0);
    else if (!self->stopped) {
        bn_service_destroy (&self->service);
        bn_sockets_close (&self->sockets, 0);
        bn_recovered_fini (&self->recovered);
    }
    if (self->stop_fd >= 0)
        close (self->stop_fd);
    if (self->failure_fd >= 0)
        close (self->failure_fd);
    pthread_mutex_destroy (&self->lock);
    bn_orchestrator_config_fini (&self->texts);
    free (self);
    *orchestrator_p = NULL;
}
