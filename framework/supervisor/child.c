/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_MIN_MS 200
#define HEALTHY_MS     10000 /* a process that lived that long starts the backoff anew */
#define ALIVE_MS       1000  /* one that does not say that it is ready is so after that */
#define VARIABLES_MAX  64

/*  ---- after an end ---- */

static void s_backoff (bn_child_t *self, uint64_t now_ms)
{
    bn_supervisor_t *supervisor = self->service->supervisor;
    uint32_t max_ms = self->service->backoff_max_ms;
    if (self->started_ms && now_ms - self->started_ms >= HEALTHY_MS)
        self->backoff_ms = 0;
    uint32_t backoff_ms = self->backoff_ms ? self->backoff_ms * 2 : BACKOFF_MIN_MS;
    self->backoff_ms = backoff_ms < max_ms ? backoff_ms : max_ms;
    uint64_t random_ms = bn_prng_below (&supervisor->prng, self->backoff_ms / 5 + 1);
    self->due_ms = now_ms + self->backoff_ms - self->backoff_ms / 5 + random_ms;
    self->state = BN_CHILD_WAITING;
}

/*  Notes an end, and says whether there were more than `intensity` within the period.  */
static bool s_too_often (bn_child_t *self, uint64_t now_ms)
{
    const bn_supervised_t *service = self->service;
    uint32_t intensity = service->intensity;
    self->ends_ms[self->end_count++ % BN_CHILD_ENDS] = now_ms;
    if (intensity == 0 || self->end_count <= intensity)
        return false;
    uint64_t then_ms = self->ends_ms[(self->end_count - 1 - intensity) % BN_CHILD_ENDS];
    return now_ms - then_ms <= service->intensity_period_ms;
}

/*  It is wanted, and does not run: again later, or not any more.  */
static void s_again (bn_child_t *self, const char *what, uint64_t now_ms)
{
    const bn_supervised_t *service = self->service;
    if (s_too_often (self, now_ms)) {
        self->state = BN_CHILD_PARKED;
        snprintf (self->reason, sizeof (self->reason), "%s (%" PRIu32 " times in %.0f s)", what,
                  service->intensity + 1, service->intensity_period_ms / 1000.0);
        bn_log (BN_LOG_ERROR, "%s-%" PRIu32 " %s; parked until it is restarted or scaled",
                service->name, self->number, self->reason);
        return;
    }
    self->restarts++;
    s_backoff (self, now_ms);
    snprintf (self->reason, sizeof (self->reason), "%s", what);
    bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " %s; again in %.1f s", service->name, self->number, what,
            (double)(self->due_ms - now_ms) / 1000);
}

static void s_stopped (bn_child_t *self, const char *how, uint64_t now_ms)
{
    self->state = BN_CHILD_WAITING;
    self->due_ms = now_ms; /* for one that is replaced, or scaled away and wanted again */
    self->backoff_ms = 0;
    self->end_count = 0;
    bn_log (BN_LOG_INFO, "%s-%" PRIu32 " stopped, %s", self->service->name, self->number, how);
}

/*  An essential service does not come up: everything ends.  */
static void s_give_up (bn_child_t *self, baton_err_t err)
{
    self->state = BN_CHILD_WAITING;
    self->leaving = true;
    self->service->supervisor->err = err;
    bn_supervisor_stop (self->service->supervisor);
}

void bn_child_ended (bn_child_t *self, int status, uint64_t now_ms)
{
    const bn_supervised_t *service = self->service;
    const bn_supervisor_t *supervisor = service->supervisor;
    bool asked = self->state == BN_CHILD_STOPPING || supervisor->stops_asked;
    bool well = WIFEXITED (status) && WEXITSTATUS (status) == 0;
    char how[64], what[BN_CHILD_REASON_BYTES_MAX + 1];
    bn_supervisor_end_t end = {.service = service->name,
                               .slot = self->number,
                               .incarnation = self->incarnation,
                               .clean = asked && well};

    bn_process_describe (status, how, sizeof (how));
    if (self->hung)
        snprintf (how, sizeof (how), "watchdog, not heard for %.1f s", self->watchdog_ms / 1000.0);
    snprintf (what, sizeof (what), "ended: %s", how);
    bn_keeper_remove (&supervisor->keeper, bn_process_pid (self->process));
    bn_process_destroy (&self->process);
    bn_health_close (&self->health);
    self->health.ready = false;
    if (supervisor->options.ended)
        supervisor->options.ended (&end, supervisor->options.arg);

    if (asked)
        s_stopped (self, how, now_ms);
    else if (service->essential && !service->open) {
        bn_log (BN_LOG_ERROR, "%s-%" PRIu32 " ended before it was ready: %s; giving up",
                service->name, self->number, how);
        s_give_up (self, BATON_ERR_UNREACHABLE);
    } else if (service->restart == BN_RESTART_TEMPORARY ||
               (service->restart == BN_RESTART_TRANSIENT && well)) {
        /*  A successor that others wait for was of no use: they go on until somebody says more.  */
        self->state = self->number == service->surge ? BN_CHILD_PARKED : BN_CHILD_DONE;
        snprintf (self->reason, sizeof (self->reason), "%s", what);
        bn_log (well ? BN_LOG_INFO : BN_LOG_WARNING, "%s-%" PRIu32 " %s; not restarted (%s)",
                service->name, self->number, what,
                service->restart == BN_RESTART_TEMPORARY ? "temporary" : "transient");
    } else
        s_again (self, what, now_ms);
}

/*  ---- start ---- */

/*  The service's own variables, and behind them, where they win, those that the supervisor has to
 *  rely on. environment has room for VARIABLES_MAX + 1, and each text is the caller's.  */
static void s_environment (const bn_child_t *self, const char *texts[4], const char **environment)
{
    size_t count = 0;
    char **own = self->service->definition->environment;
    for (size_t i = 0; own[i] && count < VARIABLES_MAX - 4; i++)
        environment[count++] = own[i];
    for (size_t i = 0; i < 4; i++)
        if (*texts[i])
            environment[count++] = texts[i];
    environment[count] = NULL;
}

static baton_err_t s_launch (bn_child_t *self, char *detail, size_t detail_size)
{
    const bn_supervised_t *service = self->service;
    const bn_supervisor_options_t *options = &service->supervisor->options;
    char name[256] = "", incarnation[256] = "", notify[128] = "", watchdog[64] = "";
    const char *texts[4] = {name, incarnation, notify, watchdog};
    const char *environment[VARIABLES_MAX + 1];

    if (!bn_health_open (&self->health)) {
        snprintf (detail, detail_size, "NOTIFY_SOCKET: %s", strerror (errno));
        return BATON_ERR_SYSTEM;
    }
    self->incarnation = bn_random_u64 ();
    self->watchdog_ms = service->watchdog_ms;
    if (options->instance_variable)
        snprintf (name, sizeof (name), "%s=%s-%" PRIu32 "%s", options->instance_variable,
                  service->name, self->number,
                  options->instance_suffix ? options->instance_suffix : "");
    if (options->incarnation_variable)
        snprintf (incarnation, sizeof (incarnation), "%s=%016" PRIx64 "/%d",
                  options->incarnation_variable, self->incarnation, (int)getpid ());
    snprintf (notify, sizeof (notify), "NOTIFY_SOCKET=%s", self->health.address);
    if (self->watchdog_ms)
        snprintf (watchdog, sizeof (watchdog), "WATCHDOG_USEC=%" PRIu64,
                  (uint64_t)self->watchdog_ms * 1000);
    s_environment (self, texts, environment);

    bn_process_options_t process = {.argv = (const char *const *)service->definition->argv,
                                    .environment = environment,
                                    .directory = service->definition->directory,
                                    .capture = BN_CAPTURE_BOTH};
    baton_err_t err = bn_process_start (&self->process, &process, detail, detail_size);
    if (err)
        bn_health_close (&self->health);
    return err;
}

void bn_child_start (bn_child_t *self, uint64_t now_ms)
{
    const bn_supervised_t *service = self->service;
    char detail[80], what[BN_CHILD_REASON_BYTES_MAX + 1];

    self->started_ms = now_ms;
    self->revision = service->revision;
    self->hung = false;
    if (s_launch (self, detail, sizeof (detail))) {
        snprintf (what, sizeof (what), "cannot be started: %s", detail);
        s_again (self, what, now_ms);
        if (service->essential && !service->open)
            s_give_up (self, BATON_ERR_NOT_FOUND);
        return;
    }
    bn_keeper_add (&service->supervisor->keeper, bn_process_pid (self->process));
    self->state = BN_CHILD_RUNNING;
    self->reason[0] = 0;
    bn_log (BN_LOG_INFO, "%s-%" PRIu32 " started, pid %d", service->name, self->number,
            (int)bn_process_pid (self->process));
}

/*  ---- while it runs ---- */

void bn_child_replace (bn_child_t *self, uint64_t now_ms)
{
    if (self->state != BN_CHILD_RUNNING)
        return;
    self->state = BN_CHILD_STOPPING;
    self->due_ms = now_ms + self->service->stop_timeout_ms;
    bn_process_signal (self->process, SIGTERM);
}

void bn_child_stop (bn_child_t *self, uint64_t now_ms)
{
    self->leaving = true;
    bn_child_replace (self, now_ms);
}

void bn_child_revive (bn_child_t *self, uint64_t now_ms)
{
    self->end_count = 0;
    self->backoff_ms = 0;
    if (self->process)
        return;
    self->state = BN_CHILD_WAITING;
    self->due_ms = now_ms;
}

uint64_t bn_child_check (bn_child_t *self, uint64_t now_ms)
{
    const bn_supervised_t *service = self->service;
    if (self->state == BN_CHILD_STOPPING) {
        if (self->due_ms <= now_ms) {
            bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " did not stop within %.1f s; killed",
                    service->name, self->number, service->stop_timeout_ms / 1000.0);
            bn_process_signal (self->process, SIGKILL);
            self->due_ms = now_ms + service->stop_timeout_ms;
        }
        return self->due_ms;
    }
    if (self->state != BN_CHILD_RUNNING || !self->health.watched || !self->watchdog_ms ||
        self->hung)
        return UINT64_MAX;
    uint64_t late_ms = self->health.heard_ms + self->watchdog_ms;
    if (late_ms > now_ms)
        return late_ms;
    bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " was not heard for %.1f s (watchdog); killed",
            service->name, self->number, self->watchdog_ms / 1000.0);
    self->hung = true;
    bn_process_signal (self->process, SIGKILL);
    return UINT64_MAX;
}

void bn_child_hear (bn_child_t *self, uint64_t now_ms)
{
    bool before = self->health.ready;
    bn_health_read (&self->health, now_ms);
    if (self->health.ready && !before) {
        self->service->speaks = true;
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is ready", self->service->name, self->number);
    }
}

bool bn_child_ready (const bn_child_t *self, uint64_t now_ms, uint64_t *when_ms)
{
    *when_ms = UINT64_MAX;
    if (self->state != BN_CHILD_RUNNING)
        return false;
    if (self->service->speaks)
        return self->health.ready;
    if (self->health.watched || self->health.status[0])
        return false; /* it does know of READY=1 */
    *when_ms = self->started_ms + ALIVE_MS;
    return *when_ms <= now_ms;
}

void bn_child_line (const char *line, size_t size, void *child)
{
    bn_child_t *self = child;
    const bn_supervisor_options_t *options = &self->service->supervisor->options;
    if (options->line)
        options->line (self->service->name, self->number, line, size, options->arg);
}
