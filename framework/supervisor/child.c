/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#define BACKOFF_MIN_MS 200
#define HEALTHY_MS     10000 /* a process that lived that long starts the backoff anew */

static void s_backoff (bn_child_t *self, uint64_t now_ms)
{
    bn_supervisor_t *supervisor = self->service->supervisor;
    uint32_t max_ms = supervisor->options.backoff_max_ms;
    if (self->started_ms && now_ms - self->started_ms >= HEALTHY_MS)
        self->backoff_ms = 0;
    uint32_t backoff_ms = self->backoff_ms ? self->backoff_ms * 2 : BACKOFF_MIN_MS;
    self->backoff_ms = backoff_ms < max_ms ? backoff_ms : max_ms;
    uint64_t random_ms = bn_prng_below (&supervisor->prng, self->backoff_ms / 5 + 1);
    self->due_ms = now_ms + self->backoff_ms - self->backoff_ms / 5 + random_ms;
    self->state = BN_CHILD_WAITING;
}

void bn_child_start (bn_child_t *self, uint64_t now_ms)
{
    bn_supervised_t *service = self->service;
    const char *variable = service->supervisor->options.instance_variable;
    char instance[256], detail[256];
    const char *environment[64];
    size_t count = 0;

    if (variable) {
        snprintf (instance, sizeof (instance), "%s=%s-%" PRIu32, variable, service->name,
                  self->number);
        environment[count++] = instance;
    }
    for (size_t i = 0; service->environment[i] && count < 63; i++)
        environment[count++] = service->environment[i];
    environment[count] = NULL;

    bn_process_options_t options = {.argv = (const char *const *)service->argv,
                                    .environment = environment,
                                    .directory = service->directory,
                                    .capture = BN_CAPTURE_BOTH};
    self->started_ms = now_ms;
    if (bn_process_start (&self->process, &options, detail, sizeof (detail))) {
        s_backoff (self, now_ms);
        bn_log (BN_LOG_ERROR, "%s-%" PRIu32 " cannot be started: %s; next try in %.1f s",
                service->name, self->number, detail, (double)(self->due_ms - now_ms) / 1000);
        if (service->essential && !service->open) {
            service->supervisor->err = BATON_ERR_NOT_FOUND;
            bn_supervisor_stop (service->supervisor);
        }
        return;
    }
    self->state = BN_CHILD_RUNNING;
    bn_log (BN_LOG_INFO, "%s-%" PRIu32 " started, pid %d", service->name, self->number,
            (int)bn_process_pid (self->process));
}

void bn_child_stop (bn_child_t *self, uint64_t now_ms)
{
    self->leaving = true;
    if (self->state != BN_CHILD_RUNNING)
        return;
    self->state = BN_CHILD_STOPPING;
    self->due_ms = now_ms + self->service->stop_timeout_ms;
    bn_process_signal (self->process, SIGTERM);
}

void bn_child_ended (bn_child_t *self, int status, uint64_t now_ms)
{
    bn_supervised_t *service = self->service;
    bn_supervisor_t *supervisor = service->supervisor;
    char how[64];
    bn_process_describe (status, how, sizeof (how));
    bn_process_destroy (&self->process);

    if (self->state == BN_CHILD_STOPPING || supervisor->stops_asked) {
        self->state = BN_CHILD_WAITING;
        self->due_ms = now_ms; /* for one that was scaled away and is wanted again */
        self->backoff_ms = 0;
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " stopped, %s", service->name, self->number, how);
        return;
    }
    if (service->essential && !service->open) {
        bn_log (BN_LOG_ERROR, "%s-%" PRIu32 " ended before it was ready: %s; giving up",
                service->name, self->number, how);
        self->state = BN_CHILD_WAITING;
        self->leaving = true;
        supervisor->err = BATON_ERR_UNREACHABLE;
        bn_supervisor_stop (supervisor);
        return;
    }
    self->restarts++;
    s_backoff (self, now_ms);
    bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " ended: %s; again in %.1f s", service->name,
            self->number, how, (double)(self->due_ms - now_ms) / 1000);
}

uint64_t bn_child_kill_late (bn_child_t *self, uint64_t now_ms)
{
    const bn_supervised_t *service = self->service;
    if (self->state != BN_CHILD_STOPPING)
        return UINT64_MAX;
    if (self->due_ms <= now_ms) {
        bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " did not stop within %.1f s; killed", service->name,
                self->number, service->stop_timeout_ms / 1000.0);
        bn_process_signal (self->process, SIGKILL);
        self->due_ms = now_ms + service->stop_timeout_ms;
    }
    return self->due_ms;
}

void bn_child_line (const char *line, size_t size, void *arg)
{
    bn_child_t *self = arg;
    const bn_supervisor_options_t *options = &self->service->supervisor->options;
    if (options->line)
        options->line (self->service->name, self->number, line, size, options->arg);
}
