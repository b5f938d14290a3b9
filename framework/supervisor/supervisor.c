/* SPDX-License-Identifier: MPL-2.0 */

#include "base/assert.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define GATE_MS      50                        /* between two questions to a gate */
#define SLOT_FDS     (BN_PROCESS_POLL_FDS + 1) /* and what it says of itself */
#define SLOT_FDS_MAX (BN_SUPERVISOR_INSTANCES_MAX * SLOT_FDS)
#define AWAY_MS      1000 /* a wait that took so much longer: we were stopped ourselves */
#define OWN_FDS      2    /* signals, wake_fd */
#define POLL_FDS_MAX (OWN_FDS + BN_CONTROL_POLL_FDS + SLOT_FDS_MAX)

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

baton_err_t bn_supervisor_new (bn_supervisor_t **supervisor, const bn_supervisor_options_t *options)
{
    sigset_t set;
    *supervisor = NULL;
    bn_supervisor_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    if (options)
        self->options = *options;
    bn_prng_init (&self->prng, bn_random_u64 ());
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    if (self->options.reload)
        sigaddset (&set, SIGHUP);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    self->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signals < 0 || bn_keeper_start (&self->keeper)) {
        if (self->signals >= 0)
            close (self->signals);
        free (self);
        return BATON_ERR_SYSTEM;
    }
    *supervisor = self;
    return BATON_OK;
}

void bn_supervisor_destroy (bn_supervisor_t **self_p)
{
    bn_supervisor_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    while (self->service_count)
        bn_supervised_destroy (&self->services[--self->service_count]);
    bn_keeper_stop (&self->keeper);
    bn_control_destroy (&self->control);
    close (self->signals);
    free (self);
}

bn_supervised_t *bn_supervisor_find (const bn_supervisor_t *self, const char *name)
{
    for (size_t i = 0; i < self->service_count; i++)
        if (!strcmp (self->services[i]->name, name))
            return self->services[i];
    return NULL;
}

size_t bn_supervisor_slots (const bn_supervisor_t *self)
{
    size_t total = 0;
    for (size_t i = 0; i < self->service_count; i++)
        total += self->services[i]->slot_count;
    return total;
}

baton_err_t bn_supervisor_add (bn_supervisor_t *self, const bn_service_options_t *options)
{
    bn_supervised_t *service;
    baton_err_t err = bn_supervised_check (options);
    if (err)
        return err;
    if (bn_supervisor_find (self, options->name))
        return BATON_ERR_CONFLICT;
    if (self->service_count == BN_SUPERVISOR_SERVICES_MAX ||
        options->instances > BN_SUPERVISOR_INSTANCES_MAX ||
        bn_supervisor_slots (self) + options->instances > BN_SUPERVISOR_INSTANCES_MAX)
        return BATON_ERR_LIMIT;
    err = bn_supervised_new (&service, self, options);
    if (err == BATON_OK)
        self->services[self->service_count++] = service;
    return err;
}

/*  ---- the loop ---- */

/*  Starts what is due, service by service, up to the first closed gate. Returns when to look
 *  again.  */
static uint64_t s_start_due (bn_supervisor_t *self, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < self->service_count && !self->stops_asked; i++) {
        bn_supervised_t *service = self->services[i];
        for (size_t k = 0; k < service->slot_count && !self->stops_asked; k++) {
            bn_child_t *slot = service->slots[k];
            if (slot->state != BN_CHILD_WAITING || slot->leaving)
                continue;
            if (slot->due_ms <= now_ms)
                bn_child_start (slot, now_ms);
            if (slot->state == BN_CHILD_WAITING && slot->due_ms < next_ms)
                next_ms = slot->due_ms;
        }
        if (!service->open && now_ms >= self->gate_due_ms && !self->stops_asked) {
            service->open = service->gate (service->gate_arg);
            self->gate_due_ms = s_now_ms () + GATE_MS;
            if (service->open)
                bn_log (BN_LOG_INFO, "%s is ready", service->name);
        }
        if (!service->open)
            return self->gate_due_ms < next_ms ? self->gate_due_ms : next_ms;
    }
    return next_ms;
}

/*  Stops the last service that has processes; false when there is none (V2).  */
static bool s_stop_next (bn_supervisor_t *self, uint64_t now_ms)
{
    for (size_t i = self->service_count; i > 0; i--) {
        bn_supervised_t *service = self->services[i - 1];
        bool busy = false;
        for (size_t k = 0; k < service->slot_count; k++) {
            bn_child_t *slot = service->slots[k];
            bn_child_stop (slot, now_ms);
            if (self->stops_asked > 1 && slot->process)
                bn_process_signal (slot->process, SIGKILL);
            busy = busy || slot->process;
        }
        if (busy && self->stops_asked == 1)
            return true;
        if (busy)
            continue; /* killing: all at once */
    }
    for (size_t i = 0; i < self->service_count; i++)
        for (size_t k = 0; k < self->services[i]->slot_count; k++)
            if (self->services[i]->slots[k]->process)
                return true;
    return false;
}

/*  Replaces, kills what did not stop in time, and what hangs. Returns when to look again.  */
static uint64_t s_tend (bn_supervisor_t *self, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < self->service_count; i++) {
        bn_supervised_t *service = self->services[i];
        uint64_t look_ms = self->stops_asked ? UINT64_MAX : bn_supervised_roll (service, now_ms);
        next_ms = look_ms < next_ms ? look_ms : next_ms;
        for (size_t k = 0; k < service->slot_count; k++) {
            look_ms = bn_child_check (service->slots[k], now_ms);
            next_ms = look_ms < next_ms ? look_ms : next_ms;
        }
    }
    return next_ms;
}

/*  Frees the slots that have left, and the services that are removed and have none any more.  */
static void s_sweep (bn_supervisor_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->service_count; i++) {
        bn_supervised_t *service = self->services[i];
        bn_supervised_sweep (service);
        if (service->removed && service->slot_count == 0)
            bn_supervised_destroy (&service);
        else
            self->services[kept++] = service;
    }
    self->service_count = kept;
}

static void s_read_signals (bn_supervisor_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof (info)) == sizeof (info)) {
        if (info.ssi_signo == SIGHUP) {
            self->reload_asked = true;
            continue;
        }
        self->stops_asked += self->stops_asked < 2;
        bn_log (BN_LOG_INFO, "%s",
                self->stops_asked == 1 ? "stopping; once more to kill" : "killing what is left");
    }
}

/*  Who did not run could hear nobody: what has come meanwhile is still to be read, and what has not
 *  was perhaps stopped with us.  */
static void s_forgive (bn_supervisor_t *self, uint64_t away_ms)
{
    for (size_t i = 0; i < self->service_count; i++)
        for (size_t k = 0; k < self->services[i]->slot_count; k++)
            self->services[i]->slots[k]->health.heard_ms += away_ms;
}

/*  Waits for whatever happens first, and takes it in.  */
static baton_err_t s_poll (bn_supervisor_t *self, int timeout_ms)
{
    struct pollfd fds[POLL_FDS_MAX];
    bn_child_t *slots[BN_SUPERVISOR_INSTANCES_MAX];
    size_t slot_count = 0;
    struct pollfd *control = fds + OWN_FDS, *first = control + BN_CONTROL_POLL_FDS;

    fds[0] = (struct pollfd){.fd = self->signals, .events = POLLIN};
    fds[1] =
        (struct pollfd){.fd = self->options.turn ? self->options.wake_fd : -1, .events = POLLIN};
    for (size_t i = 0; i < BN_CONTROL_POLL_FDS; i++)
        control[i] = (struct pollfd){.fd = -1};
    if (self->control) {
        int control_ms = bn_control_timeout_ms (self->control);
        if (control_ms >= 0 && (timeout_ms < 0 || control_ms < timeout_ms))
            timeout_ms = control_ms;
        bn_control_poll_prepare (self->control, control);
    }
    for (size_t i = 0; i < self->service_count; i++)
        for (size_t k = 0; k < self->services[i]->slot_count; k++) {
            bn_child_t *slot = self->services[i]->slots[k];
            if (!slot->process)
                continue;
            bn_assert (slot_count < BN_SUPERVISOR_INSTANCES_MAX);
            struct pollfd *own = first + slot_count * SLOT_FDS;
            bn_process_poll_prepare (slot->process, own);
            own[SLOT_FDS - 1] = (struct pollfd){.fd = slot->health.fd, .events = POLLIN};
            slots[slot_count++] = slot;
        }

    nfds_t count = (nfds_t)(first - fds) + slot_count * SLOT_FDS;
    uint64_t before_ms = s_now_ms ();
    int ready = poll (fds, count, timeout_ms);
    if (ready < 0)
        return errno == EINTR ? BATON_OK : BATON_ERR_SYSTEM;
    uint64_t now_ms = s_now_ms ();
    if (timeout_ms >= 0 && now_ms - before_ms > (uint64_t)timeout_ms + AWAY_MS)
        s_forgive (self, now_ms - before_ms - (uint64_t)timeout_ms);
    s_read_signals (self);
    for (size_t i = 0; i < slot_count; i++) {
        const struct pollfd *own = first + i * SLOT_FDS;
        int status;
        if (own[SLOT_FDS - 1].revents)
            bn_child_hear (slots[i], now_ms);
        bn_process_poll (slots[i]->process, own, bn_child_line, slots[i]);
        if (bn_process_ended (slots[i]->process, &status))
            bn_child_ended (slots[i], status, s_now_ms ());
    }
    if (self->control)
        bn_control_poll (self->control, control, bn_supervisor_answer, self);
    return BATON_OK;
}

baton_err_t bn_supervisor_reload (bn_supervisor_t *self, char *detail, size_t detail_size)
{
    if (!self->options.reload) {
        snprintf (detail, detail_size, "there is nothing to read anew");
        return BATON_ERR_ARGUMENT;
    }
    if (self->stops_asked) {
        snprintf (detail, detail_size, "everything is being stopped");
        return BATON_ERR_CLOSED;
    }
    detail[0] = 0;
    baton_err_t err = self->options.reload (self, detail, detail_size, self->options.arg);
    if (err)
        bn_log (BN_LOG_ERROR, "nothing has changed: %s", detail);
    return err;
}

/*  Nothing that has begun to stop is held up any more.  */
static bool s_may_stop (bn_supervisor_t *self)
{
    if (!self->may_stop && self->options.may_stop && !self->err)
        self->may_stop = self->options.may_stop (self, self->options.arg);
    else
        self->may_stop = true;
    return self->may_stop;
}

baton_err_t bn_supervisor_run (bn_supervisor_t *self)
{
    char detail[512];
    for (;;) {
        if (self->reload_asked && !self->stops_asked)
            bn_supervisor_reload (self, detail, sizeof (detail));
        self->reload_asked = false;
        uint64_t now_ms = s_now_ms ();
        /*  First, because it sets the deadlines that s_tend says when to look at.  */
        bool held = self->stops_asked == 1 && !s_may_stop (self);
        if (self->stops_asked && !held && !s_stop_next (self, now_ms))
            return self->err;
        uint64_t next_ms = s_tend (self, now_ms);
        if (held && now_ms + GATE_MS < next_ms)
            next_ms = now_ms + GATE_MS;
        if (!self->stops_asked) {
            uint64_t start_ms = s_start_due (self, now_ms);
            next_ms = start_ms < next_ms ? start_ms : next_ms;
            if (self->stops_asked)
                continue; /* one that is essential could not be started */
        }
        s_sweep (self);
        if (self->options.turn) {
            uint64_t turn_ms = self->options.turn (self, s_now_ms (), self->options.arg);
            next_ms = turn_ms < next_ms ? turn_ms : next_ms;
        }

        now_ms = s_now_ms ();
        int timeout_ms = next_ms == UINT64_MAX      ? -1
                         : next_ms <= now_ms        ? 0
                         : next_ms - now_ms > 60000 ? 60000
                                                    : (int)(next_ms - now_ms);
        baton_err_t err = s_poll (self, timeout_ms);
        if (err)
            return err;
    }
}

void bn_supervisor_stop (bn_supervisor_t *self)
{
    if (!self->stops_asked)
        self->stops_asked = 1;
}

bool bn_supervisor_stopping (const bn_supervisor_t *self)
{
    return self->stops_asked > 0;
}

/*  One that has been removed is nobody's business any more.  */
static bn_supervised_t *s_find_present (const bn_supervisor_t *self, const char *name)
{
    bn_supervised_t *service = bn_supervisor_find (self, name);
    return service && !service->removed ? service : NULL;
}

baton_err_t bn_supervisor_scale (bn_supervisor_t *self, const char *name, uint32_t instances)
{
    bn_supervised_t *service = s_find_present (self, name);
    if (!service)
        return BATON_ERR_NOT_FOUND;
    if (self->stops_asked)
        return BATON_ERR_CLOSED;
    if (instances > BN_SUPERVISOR_INSTANCES_MAX ||
        bn_supervisor_slots (self) - service->slot_count +
                bn_supervised_slots_at (service, instances) >
            BN_SUPERVISOR_INSTANCES_MAX)
        return BATON_ERR_LIMIT;
    uint64_t now_ms = s_now_ms ();
    bn_supervised_revive (service, now_ms);
    return bn_supervised_scale (service, instances, now_ms);
}

baton_err_t bn_supervisor_restart (bn_supervisor_t *self, const char *name)
{
    bn_supervised_t *service = s_find_present (self, name);
    if (!service)
        return BATON_ERR_NOT_FOUND;
    if (self->stops_asked)
        return BATON_ERR_CLOSED;
    bn_supervised_restart (service, s_now_ms ());
    return BATON_OK;
}

/*  ---- looking at it ---- */

size_t bn_supervisor_services (const bn_supervisor_t *self)
{
    return self->service_count;
}

const char *bn_supervisor_service (const bn_supervisor_t *self, size_t index, uint32_t *wanted)
{
    bn_assert (index < self->service_count);
    if (wanted)
        *wanted = self->services[index]->wanted;
    return self->services[index]->name;
}

bool bn_supervisor_rolling (const bn_supervisor_t *self, size_t index)
{
    bn_assert (index < self->service_count);
    return self->services[index]->rolling;
}

bool bn_supervisor_instance (const bn_supervisor_t *self, size_t service, size_t index,
                             bn_instance_info_t *info)
{
    static const char *const states[] = {"waiting", "running", "stopping", "parked", "done"};
    uint64_t when_ms;
    bn_assert (service < self->service_count);
    if (index >= self->services[service]->slot_count)
        return false;
    const bn_child_t *slot = self->services[service]->slots[index];
    *info = (bn_instance_info_t){.service = slot->service->name,
                                 .slot = slot->number,
                                 .state = states[slot->state],
                                 .reason = slot->reason,
                                 .status = slot->process ? slot->health.status : "",
                                 .ready = bn_child_ready (slot, s_now_ms (), &when_ms),
                                 .current = slot->revision == slot->service->revision,
                                 .restarts = slot->restarts,
                                 .incarnation = slot->incarnation};
    if (slot->process) {
        info->pid = bn_process_pid (slot->process);
        info->age_ms = s_now_ms () - slot->started_ms;
    }
    return true;
}

baton_err_t bn_supervisor_listen (bn_supervisor_t *self, const char *directory, char *detail,
                                  size_t detail_size)
{
    if (self->control)
        return BATON_ERR_CONFLICT;
    return bn_control_new (&self->control, directory, detail, detail_size);
}
