/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_watch.h"
#include "client/admin.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPORTS_MAX       256
#define ANSWER_TIMEOUT_MS 1000
#define AGAIN_MS          500 /* after no answer */
#define GIVE_UP_MS        60000
#define FAREWELL_MS       1000 /* and one answer more */

typedef struct {
    char instance[BATON_NAME_BYTES_MAX + 1];
    uint64_t incarnation;
    uint64_t since_ms; /* monotonic */
} s_report_t;

struct bn_up_watch {
    pthread_t thread;
    char *endpoint;    /* owned */
    bn_admin_t *admin; /* owned; the thread's; NULL: none yet */

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    s_report_t reports[REPORTS_MAX]; /* a ring */
    size_t first, count;
    bool stopping;
    uint64_t stop_ms; /* when to be gone at the latest */
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

/*  True: the report is done with. Not under the mutex: it waits.  */
static bool s_tell (bn_up_watch_t *self, const s_report_t *report)
{
    const bn_admin_options_t options = {
        .endpoint = self->endpoint, .name = "up", .timeout_ms = ANSWER_TIMEOUT_MS};
    const bn_message_t *reply;
    bn_message_t gone = {.type = BN_GONE,
                         .gone = {.actor = {"", 0},
                                  .instance = {report->instance, strlen (report->instance)},
                                  .incarnation = report->incarnation}};
    baton_err_t err = self->admin ? BATON_OK : bn_admin_new (&self->admin, &options);
    if (err == BATON_OK)
        err = bn_admin_request (self->admin, &gone, BN_GONE_REPLY, 0, &reply);
    if (err == BATON_OK)
        return true;
    if (baton_err_retriable (err) && s_now_ms () - report->since_ms < GIVE_UP_MS)
        return false;
    bn_log (BN_LOG_WARNING, "the orchestrator was not told that %s has ended: %s", report->instance,
            self->admin ? bn_admin_error_text (self->admin) : baton_err_text (err));
    return true;
}

/*  Waits until something has changed, at most that long; the mutex is held.  */
static void s_wait (bn_up_watch_t *self, uint64_t ms)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait (&self->changed, &self->mutex, &until);
}

static void *s_watch (void *arg)
{
    bn_up_watch_t *self = arg;
    pthread_mutex_lock (&self->mutex);
    for (;;) {
        if (self->stopping && (self->count == 0 || s_now_ms () >= self->stop_ms))
            break;
        if (self->count == 0) {
            pthread_cond_wait (&self->changed, &self->mutex);
            continue;
        }
        s_report_t report = self->reports[self->first];
        pthread_mutex_unlock (&self->mutex);
        bool done = s_tell (self, &report);
        pthread_mutex_lock (&self->mutex);
        if (done) {
            self->first = (self->first + 1) % REPORTS_MAX;
            self->count--;
        } else
            s_wait (self, AGAIN_MS);
    }
    pthread_mutex_unlock (&self->mutex);
    bn_admin_destroy (&self->admin);
    return NULL;
}

static void s_free (bn_up_watch_t *self)
{
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->mutex);
    free (self->endpoint);
    free (self);
}

baton_err_t bn_up_watch_new (bn_up_watch_t **watch, const char *endpoint)
{
    pthread_condattr_t attributes;
    sigset_t all, before;
    *watch = NULL;
    bn_up_watch_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    pthread_mutex_init (&self->mutex, NULL);
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&self->changed, &attributes);
    pthread_condattr_destroy (&attributes);
    self->endpoint = strdup (endpoint);
    /*  Signals are the supervisor's.  */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    bool started = self->endpoint && pthread_create (&self->thread, NULL, s_watch, self) == 0;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (!started) {
        s_free (self);
        return BATON_ERR_SYSTEM;
    }
    *watch = self;
    return BATON_OK;
}

void bn_up_watch_destroy (bn_up_watch_t **self_p)
{
    bn_up_watch_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    pthread_mutex_lock (&self->mutex);
    self->stopping = true;
    self->stop_ms = s_now_ms () + FAREWELL_MS;
    pthread_cond_signal (&self->changed);
    pthread_mutex_unlock (&self->mutex);
    pthread_join (self->thread, NULL);
    s_free (self);
}

void bn_up_watch_gone (bn_up_watch_t *self, const char *instance, uint64_t incarnation)
{
    pthread_mutex_lock (&self->mutex);
    if (self->count < REPORTS_MAX) {
        s_report_t *report = &self->reports[(self->first + self->count++) % REPORTS_MAX];
        snprintf (report->instance, sizeof (report->instance), "%s", instance);
        report->incarnation = incarnation;
        report->since_ms = s_now_ms ();
        pthread_cond_signal (&self->changed);
    }
    pthread_mutex_unlock (&self->mutex);
}
