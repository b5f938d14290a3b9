/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_watch.h"
#include "cli/sample.h"
#include "client/admin.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPORTS_MAX       256
#define ANSWER_TIMEOUT_MS 1000
#define AGAIN_MS          500 /* after no answer */
#define GIVE_UP_MS        60000
#define FAREWELL_MS       1000 /* and one answer more */
#define SAMPLE_MS         1000 /* between two samples */
#define MISSES_MAX        10   /* samples in a row, then it is said */

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
    char names[BN_SUPERVISOR_SERVICES_MAX][BATON_NAME_BYTES_MAX + 1]; /* to be sampled */
    uint32_t misses[BN_SUPERVISOR_SERVICES_MAX]; /* samples in a row without such an actor */
    size_t name_count;
    uint32_t silences;  /* samples in a row without an answer */
    uint64_t sample_ms; /* when to take the next ones */
    bn_up_sample_t samples[BN_SUPERVISOR_SERVICES_MAX];
    size_t sample_count;
    int wake_fd; /* borrowed; there are samples; not guarded */
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

static baton_err_t s_connect (bn_up_watch_t *self)
{
    const bn_admin_options_t options = {
        .endpoint = self->endpoint, .name = "up", .timeout_ms = ANSWER_TIMEOUT_MS};
    return self->admin ? BATON_OK : bn_admin_new (&self->admin, &options);
}

/*  True: the report is done with. Not under the mutex: it waits.  */
static bool s_tell (bn_up_watch_t *self, const s_report_t *report)
{
    const bn_message_t *reply;
    bn_message_t gone = {.type = BN_GONE,
                         .gone = {.actor = {"", 0},
                                  .instance = {report->instance, strlen (report->instance)},
                                  .incarnation = report->incarnation}};
    baton_err_t err = s_connect (self);
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

/*  ---- samples ---- */

/*  The actor of a name, or, where a program calls its actor otherwise, the one that has an instance
 *  NAME-1, NAME-2.HOST, ...; NULL: none yet.  */
static json_t *s_find_actor (json_t *status, const char *name)
{
    json_t *actor, *instance, *found = NULL;
    size_t i, k, size = strlen (name);
    json_array_foreach (json_object_get (status, "actors"), i, actor)
    {
        if (!strcmp (bn_sample_text (actor, "name"), name))
            return actor;
        json_array_foreach (json_object_get (actor, "instances"), k, instance)
        {
            const char *text = bn_sample_text (instance, "name");
            const char *slot = text + size + 1;
            bool ours = !strncmp (text, name, size) && text[size] == '-' && *slot &&
                        (!slot[strspn (slot, "0123456789")] ||
                         slot[strspn (slot, "0123456789")] == '.'); /* at another host */
            found = ours ? actor : found;
        }
    }
    return found;
}

static uint64_t s_number (const json_t *object, const char *name)
{
    json_int_t value = bn_sample_int (object, name);
    return value > 0 ? (uint64_t)value : 0;
}

static void s_read_actor (bn_up_sample_t *self, const char *name, const json_t *actor,
                          const json_t *orchestrator)
{
    snprintf (self->name, sizeof (self->name), "%s", name);
    self->sample = (bn_scaler_sample_t){
        .now_ms = s_now_ms (),
        .ready = s_number (actor, "ready"),
        .ready_most = s_number (actor, "ready_most"),
        .parked = s_number (actor, "parked"),
        .published = s_number (actor, "published"),
        .settled = s_number (actor, "settled"),
        .partitions = (uint32_t)s_number (orchestrator, "partitions"),
        .busy_partitions = (uint32_t)s_number (actor, "busy_partitions"),
    };
}

/*  Who waits for a number that does not change wants to know that nobody decides on it.  */
static void s_note_silence (bn_up_watch_t *self, bool answered)
{
    if (answered && self->silences >= MISSES_MAX)
        bn_log (BN_LOG_INFO, "elastic actors are scaled again");
    self->silences = answered ? 0 : self->silences + 1;
    if (self->silences == MISSES_MAX)
        bn_log (BN_LOG_WARNING,
                "elastic actors stay as they are: the orchestrator at %s does not answer",
                self->endpoint);
}

/*  Under the mutex, which it gives back while it waits.  */
static void s_sample (bn_up_watch_t *self)
{
    baton_err_t err;
    self->sample_ms = s_now_ms () + SAMPLE_MS;
    pthread_mutex_unlock (&self->mutex);
    err = s_connect (self);
    json_t *status = err ? NULL : bn_sample_take (self->admin, &err);
    pthread_mutex_lock (&self->mutex);
    self->sample_count = 0;
    s_note_silence (self, status != NULL);
    for (size_t i = 0; status && i < self->name_count; i++) {
        const json_t *actor = s_find_actor (status, self->names[i]);
        self->misses[i] = actor ? 0 : self->misses[i] + 1;
        if (self->misses[i] == MISSES_MAX)
            bn_log (BN_LOG_WARNING, "%s is not scaled: the orchestrator knows no such actor",
                    self->names[i]);
        if (actor)
            s_read_actor (&self->samples[self->sample_count++], self->names[i], actor,
                          json_object_get (status, "orchestrator"));
    }
    uint64_t one = 1;
    if (self->sample_count > 0 && write (self->wake_fd, &one, sizeof (one)) < 0)
        bn_log (BN_LOG_WARNING, "eventfd: %m"); /* the next samples will be heard */
    json_decref (status);
}

void bn_up_watch_names (bn_up_watch_t *self, const char *const *names, size_t count)
{
    pthread_mutex_lock (&self->mutex);
    for (size_t i = 0; i < count && i < BN_SUPERVISOR_SERVICES_MAX; i++)
        snprintf (self->names[i], sizeof (self->names[i]), "%s", names[i]);
    self->name_count = count < BN_SUPERVISOR_SERVICES_MAX ? count : BN_SUPERVISOR_SERVICES_MAX;
    memset (self->misses, 0, sizeof (self->misses));
    self->sample_count = 0;
    self->sample_ms = s_now_ms ();
    pthread_cond_signal (&self->changed);
    pthread_mutex_unlock (&self->mutex);
}

size_t bn_up_watch_take (bn_up_watch_t *self, bn_up_sample_t *samples)
{
    uint64_t count;
    if (read (self->wake_fd, &count, sizeof (count)) < 0)
        return 0;
    pthread_mutex_lock (&self->mutex);
    size_t taken = self->sample_count;
    memcpy (samples, self->samples, taken * sizeof (*samples));
    self->sample_count = 0;
    pthread_mutex_unlock (&self->mutex);
    return taken;
}

/*  ---- the thread ---- */

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
        uint64_t now_ms = s_now_ms ();
        if (self->name_count > 0 && now_ms >= self->sample_ms && !self->stopping) {
            s_sample (self);
            continue;
        }
        if (self->count == 0) {
            if (self->name_count > 0)
                s_wait (self, self->sample_ms - now_ms);
            else
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

baton_err_t bn_up_watch_new (bn_up_watch_t **watch, const char *endpoint, int wake_fd)
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
    self->wake_fd = wake_fd;
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
