/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/supervisor.h"
#include "base/assert.h"
#include "base/prng.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/control.h"
#include "supervisor/process.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STOP_TIMEOUT_MS 10000
#define BACKOFF_MIN_MS  200
#define BACKOFF_MAX_MS  10000
#define HEALTHY_MS      10000 /* a process that lived that long starts the backoff anew */
#define GATE_MS         50    /* between two questions to a gate */
#define SLOT_FDS_MAX    (BN_SUPERVISOR_INSTANCES_MAX * BN_PROCESS_POLL_FDS)
#define POLL_FDS_MAX    (1 + BN_CONTROL_POLL_FDS + SLOT_FDS_MAX)

typedef enum { SLOT_WAITING, SLOT_RUNNING, SLOT_STOPPING } s_slot_state_t;

typedef struct s_service s_service_t;

typedef struct {
    s_service_t *service;
    uint32_t number; /* 1, 2, ... */
    s_slot_state_t state;
    bn_process_t *process; /* owned; RUNNING, STOPPING */
    uint64_t due_ms;       /* WAITING: when to start; STOPPING: when to kill */
    uint64_t started_ms;
    uint32_t backoff_ms; /* the last one; 0: none yet */
    uint32_t restarts;
    bool leaving; /* the slot goes when the process has ended */
} s_slot_t;

struct s_service {
    bn_supervisor_t *supervisor;
    char name[BATON_NAME_BYTES_MAX + 1];
    char **argv;        /* owned */
    char **environment; /* owned; may be NULL */
    char *directory;    /* owned; may be NULL */
    uint32_t wanted;
    uint32_t stop_timeout_ms;
    bn_supervisor_gate_fn *gate;
    void *gate_arg;
    bool essential;
    bool open;        /* the gate has said yes */
    s_slot_t **slots; /* owned; ascending numbers */
    size_t slot_count;
};

struct bn_supervisor {
    s_service_t *services[BN_SUPERVISOR_SERVICES_MAX]; /* owned */
    size_t service_count;
    bn_supervisor_options_t options;
    int signals;           /* owned signalfd */
    bn_control_t *control; /* owned; NULL: none */
    bn_prng_t prng;
    uint32_t stops_asked; /* 1: stop, 2: kill */
    uint64_t gate_due_ms;
    baton_err_t err; /* what bn_supervisor_run returns */
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

/*  ---- building ---- */

static void s_strings_free (char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free (strings[i]);
    free (strings);
}

static char **s_strings_copy (const char *const *strings)
{
    size_t count = 0;
    while (strings && strings[count])
        count++;
    char **copy = calloc (count + 1, sizeof (*copy));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup (strings[i]);
        if (!copy[i]) {
            s_strings_free (copy);
            return NULL;
        }
    }
    return copy;
}

static void s_service_destroy (s_service_t *self)
{
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_process_destroy (&self->slots[i]->process);
        free (self->slots[i]);
    }
    free (self->slots);
    s_strings_free (self->argv);
    s_strings_free (self->environment);
    free (self->directory);
    free (self);
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
    if (!self->options.backoff_max_ms)
        self->options.backoff_max_ms = BACKOFF_MAX_MS;
    bn_prng_init (&self->prng, bn_random_u64 ());
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    self->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signals < 0) {
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
        s_service_destroy (self->services[--self->service_count]);
    bn_control_destroy (&self->control);
    close (self->signals);
    free (self);
}

static s_service_t *s_service_find (const bn_supervisor_t *self, const char *name)
{
    for (size_t i = 0; i < self->service_count; i++)
        if (!strcmp (self->services[i]->name, name))
            return self->services[i];
    return NULL;
}

static bool s_name_valid (const char *name)
{
    size_t size = strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return size > 0 && !name[size] && size <= BATON_NAME_BYTES_MAX - 4; /* room for "-256" */
}

/*  Slots of all services but this one, also of those that are leaving: their processes count.  */
static size_t s_slots_elsewhere (const bn_supervisor_t *self, const s_service_t *except)
{
    size_t total = 0;
    for (size_t i = 0; i < self->service_count; i++)
        if (self->services[i] != except)
            total += self->services[i]->slot_count;
    return total;
}

/*  Makes the slots that are missing: those that are leaving stay after all and start again when
 *  their process has ended, then come the lowest numbers that are free.  */
static baton_err_t s_service_grow (s_service_t *self)
{
    size_t staying = 0;
    for (size_t i = 0; i < self->slot_count; i++)
        staying += !self->slots[i]->leaving;
    for (uint32_t number = 1; staying < self->wanted; number++) {
        size_t at = 0;
        while (at < self->slot_count && self->slots[at]->number < number)
            at++;
        if (at < self->slot_count && self->slots[at]->number == number) {
            staying += self->slots[at]->leaving;
            self->slots[at]->leaving = false;
            continue;
        }
        s_slot_t **grown = realloc (self->slots, (self->slot_count + 1) * sizeof (*self->slots));
        s_slot_t *slot = calloc (1, sizeof (*slot));
        if (grown)
            self->slots = grown;
        if (!grown || !slot) {
            free (slot);
            return BATON_ERR_MEMORY;
        }
        memmove (&self->slots[at + 1], &self->slots[at],
                 (self->slot_count - at) * sizeof (*self->slots));
        slot->service = self;
        slot->number = number;
        self->slots[at] = slot;
        self->slot_count++;
        staying++;
    }
    return BATON_OK;
}

baton_err_t bn_supervisor_add (bn_supervisor_t *self, const bn_service_options_t *options)
{
    if (!options->argv || !options->argv[0])
        return BATON_ERR_ARGUMENT;
    if (!options->name || !s_name_valid (options->name))
        return BATON_ERR_NAME;
    if (s_service_find (self, options->name))
        return BATON_ERR_CONFLICT;
    if (self->service_count == BN_SUPERVISOR_SERVICES_MAX ||
        options->instances > BN_SUPERVISOR_INSTANCES_MAX ||
        s_slots_elsewhere (self, NULL) + options->instances > BN_SUPERVISOR_INSTANCES_MAX)
        return BATON_ERR_LIMIT;

    s_service_t *service = calloc (1, sizeof (*service));
    if (!service)
        return BATON_ERR_MEMORY;
    service->supervisor = self;
    snprintf (service->name, sizeof (service->name), "%s", options->name);
    service->wanted = options->instances;
    service->stop_timeout_ms =
        options->stop_timeout_ms ? options->stop_timeout_ms : STOP_TIMEOUT_MS;
    service->gate = options->gate;
    service->gate_arg = options->gate_arg;
    service->essential = options->essential;
    service->open = !options->gate;
    service->argv = s_strings_copy (options->argv);
    service->environment = s_strings_copy (options->environment);
    service->directory = options->directory ? strdup (options->directory) : NULL;
    if (!service->argv || !service->environment || (options->directory && !service->directory) ||
        s_service_grow (service)) {
        s_service_destroy (service);
        return BATON_ERR_MEMORY;
    }
    self->services[self->service_count++] = service;
    return BATON_OK;
}

/*  ---- one slot ---- */

static void s_slot_backoff (s_slot_t *self, uint64_t now_ms)
{
    bn_supervisor_t *supervisor = self->service->supervisor;
    uint32_t max_ms = supervisor->options.backoff_max_ms;
    if (self->started_ms && now_ms - self->started_ms >= HEALTHY_MS)
        self->backoff_ms = 0;
    uint32_t backoff_ms = self->backoff_ms ? self->backoff_ms * 2 : BACKOFF_MIN_MS;
    self->backoff_ms = backoff_ms < max_ms ? backoff_ms : max_ms;
    uint64_t random_ms = bn_prng_below (&supervisor->prng, self->backoff_ms / 5 + 1);
    self->due_ms = now_ms + self->backoff_ms - self->backoff_ms / 5 + random_ms;
    self->state = SLOT_WAITING;
}

static void s_slot_start (s_slot_t *self, uint64_t now_ms)
{
    s_service_t *service = self->service;
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
        s_slot_backoff (self, now_ms);
        bn_log (BN_LOG_ERROR, "%s-%" PRIu32 " cannot be started: %s; next try in %.1f s",
                service->name, self->number, detail, (double)(self->due_ms - now_ms) / 1000);
        if (service->essential && !service->open) {
            service->supervisor->err = BATON_ERR_NOT_FOUND;
            bn_supervisor_stop (service->supervisor);
        }
        return;
    }
    self->state = SLOT_RUNNING;
    bn_log (BN_LOG_INFO, "%s-%" PRIu32 " started, pid %d", service->name, self->number,
            (int)bn_process_pid (self->process));
}

static void s_slot_stop (s_slot_t *self, uint64_t now_ms)
{
    self->leaving = true;
    if (self->state != SLOT_RUNNING)
        return;
    self->state = SLOT_STOPPING;
    self->due_ms = now_ms + self->service->stop_timeout_ms;
    bn_process_signal (self->process, SIGTERM);
}

static void s_slot_ended (s_slot_t *self, int status, uint64_t now_ms)
{
    s_service_t *service = self->service;
    bn_supervisor_t *supervisor = service->supervisor;
    char how[64];
    bn_process_describe (status, how, sizeof (how));
    bn_process_destroy (&self->process);

    if (self->state == SLOT_STOPPING || supervisor->stops_asked) {
        self->state = SLOT_WAITING;
        self->due_ms = now_ms; /* for one that was scaled away and is wanted again */
        self->backoff_ms = 0;
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " stopped, %s", service->name, self->number, how);
        return;
    }
    if (service->essential && !service->open) {
        bn_log (BN_LOG_ERROR, "%s-%" PRIu32 " ended before it was ready: %s; giving up",
                service->name, self->number, how);
        self->state = SLOT_WAITING;
        self->leaving = true;
        supervisor->err = BATON_ERR_UNREACHABLE;
        bn_supervisor_stop (supervisor);
        return;
    }
    self->restarts++;
    s_slot_backoff (self, now_ms);
    bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " ended: %s; again in %.1f s", service->name,
            self->number, how, (double)(self->due_ms - now_ms) / 1000);
}

static void s_slot_line (const char *line, size_t size, void *arg)
{
    s_slot_t *self = arg;
    const bn_supervisor_options_t *options = &self->service->supervisor->options;
    if (options->line)
        options->line (self->service->name, self->number, line, size, options->arg);
}

/*  ---- all of them ---- */

/*  Frees the slots that have left.  */
static void s_service_sweep (s_service_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->slot_count; i++) {
        s_slot_t *slot = self->slots[i];
        if (slot->leaving && !slot->process)
            free (slot);
        else
            self->slots[kept++] = slot;
    }
    self->slot_count = kept;
}

/*  Starts what is due, service by service, up to the first closed gate. Returns when to look
 *  again.  */
static uint64_t s_start_due (bn_supervisor_t *self, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < self->service_count && !self->stops_asked; i++) {
        s_service_t *service = self->services[i];
        for (size_t k = 0; k < service->slot_count && !self->stops_asked; k++) {
            s_slot_t *slot = service->slots[k];
            if (slot->state != SLOT_WAITING || slot->leaving)
                continue;
            if (slot->due_ms <= now_ms)
                s_slot_start (slot, now_ms);
            if (slot->state == SLOT_WAITING && slot->due_ms < next_ms)
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
        s_service_t *service = self->services[i - 1];
        bool busy = false;
        for (size_t k = 0; k < service->slot_count; k++) {
            s_slot_t *slot = service->slots[k];
            s_slot_stop (slot, now_ms);
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

/*  Kills what did not stop in time. Returns when to look again.  */
static uint64_t s_kill_late (bn_supervisor_t *self, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < self->service_count; i++) {
        s_service_t *service = self->services[i];
        for (size_t k = 0; k < service->slot_count; k++) {
            s_slot_t *slot = service->slots[k];
            if (slot->state != SLOT_STOPPING)
                continue;
            if (slot->due_ms <= now_ms) {
                bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " did not stop within %.1f s; killed",
                        service->name, slot->number, service->stop_timeout_ms / 1000.0);
                bn_process_signal (slot->process, SIGKILL);
                slot->due_ms = now_ms + service->stop_timeout_ms;
            }
            if (slot->due_ms < next_ms)
                next_ms = slot->due_ms;
        }
    }
    return next_ms;
}

static void s_read_signals (bn_supervisor_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof (info)) == sizeof (info)) {
        self->stops_asked += self->stops_asked < 2;
        bn_log (BN_LOG_INFO, "%s",
                self->stops_asked == 1 ? "stopping; once more to kill" : "killing what is left");
    }
}

static void s_control_answer (const char *request, bn_buffer_t *reply, void *arg);

/*  Waits for whatever happens first, and takes it in.  */
static baton_err_t s_poll (bn_supervisor_t *self, int timeout_ms)
{
    struct pollfd fds[POLL_FDS_MAX];
    s_slot_t *slots[BN_SUPERVISOR_INSTANCES_MAX];
    size_t slot_count = 0;
    struct pollfd *first = fds + 1 + BN_CONTROL_POLL_FDS;

    fds[0] = (struct pollfd){.fd = self->signals, .events = POLLIN};
    for (size_t i = 0; i < BN_CONTROL_POLL_FDS; i++)
        fds[i + 1] = (struct pollfd){.fd = -1};
    if (self->control) {
        int control_ms = bn_control_timeout_ms (self->control);
        if (control_ms >= 0 && (timeout_ms < 0 || control_ms < timeout_ms))
            timeout_ms = control_ms;
        bn_control_poll_prepare (self->control, fds + 1);
    }
    for (size_t i = 0; i < self->service_count; i++)
        for (size_t k = 0; k < self->services[i]->slot_count; k++) {
            s_slot_t *slot = self->services[i]->slots[k];
            if (!slot->process)
                continue;
            bn_assert (slot_count < BN_SUPERVISOR_INSTANCES_MAX);
            bn_process_poll_prepare (slot->process, first + slot_count * BN_PROCESS_POLL_FDS);
            slots[slot_count++] = slot;
        }

    nfds_t count = (nfds_t)(first - fds) + slot_count * BN_PROCESS_POLL_FDS;
    int ready = poll (fds, count, timeout_ms);
    if (ready < 0)
        return errno == EINTR ? BATON_OK : BATON_ERR_SYSTEM;
    s_read_signals (self);
    for (size_t i = 0; i < slot_count; i++) {
        int status;
        bn_process_poll (slots[i]->process, first + i * BN_PROCESS_POLL_FDS, s_slot_line, slots[i]);
        if (bn_process_ended (slots[i]->process, &status))
            s_slot_ended (slots[i], status, s_now_ms ());
    }
    if (self->control)
        bn_control_poll (self->control, fds + 1, s_control_answer, self);
    return BATON_OK;
}

baton_err_t bn_supervisor_run (bn_supervisor_t *self)
{
    for (;;) {
        uint64_t now_ms = s_now_ms ();
        /*  First, because it sets the deadlines that s_kill_late says when to look at.  */
        if (self->stops_asked && !s_stop_next (self, now_ms))
            return self->err;
        uint64_t next_ms = s_kill_late (self, now_ms);
        if (!self->stops_asked) {
            uint64_t start_ms = s_start_due (self, now_ms);
            next_ms = start_ms < next_ms ? start_ms : next_ms;
            if (self->stops_asked)
                continue; /* one that is essential could not be started */
        }
        for (size_t i = 0; i < self->service_count; i++)
            s_service_sweep (self->services[i]);

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

baton_err_t bn_supervisor_scale (bn_supervisor_t *self, const char *name, uint32_t instances)
{
    s_service_t *service = s_service_find (self, name);
    if (!service)
        return BATON_ERR_NOT_FOUND;
    if (self->stops_asked)
        return BATON_ERR_CLOSED;
    if (instances > BN_SUPERVISOR_INSTANCES_MAX ||
        s_slots_elsewhere (self, service) + instances > BN_SUPERVISOR_INSTANCES_MAX)
        return BATON_ERR_LIMIT;

    uint64_t now_ms = s_now_ms ();
    size_t staying = 0;
    for (size_t i = 0; i < service->slot_count; i++)
        staying += !service->slots[i]->leaving;
    for (size_t i = service->slot_count; i > 0 && staying > instances; i--)
        if (!service->slots[i - 1]->leaving) {
            s_slot_stop (service->slots[i - 1], now_ms);
            staying--;
        }
    service->wanted = instances;
    return s_service_grow (service);
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

bool bn_supervisor_instance (const bn_supervisor_t *self, size_t service, size_t index,
                             bn_instance_info_t *info)
{
    static const char *const states[] = {"waiting", "running", "stopping"};
    bn_assert (service < self->service_count);
    if (index >= self->services[service]->slot_count)
        return false;
    const s_slot_t *slot = self->services[service]->slots[index];
    *info = (bn_instance_info_t){.service = slot->service->name,
                                 .slot = slot->number,
                                 .state = states[slot->state],
                                 .restarts = slot->restarts};
    if (slot->process) {
        info->pid = bn_process_pid (slot->process);
        info->age_ms = s_now_ms () - slot->started_ms;
    }
    return true;
}

/*  ---- the control socket ---- */

static void s_put (bn_buffer_t *reply, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void s_put (bn_buffer_t *reply, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start (args, format);
    int size = vsnprintf (text, sizeof (text), format, args);
    va_end (args);
    if (size < 0 || (size_t)size >= sizeof (text))
        reply->failed = true;
    else
        bn_buffer_append (reply, text, (size_t)size);
}

/*  Names have no character that JSON would want escaped.  */
static void s_answer_status (const bn_supervisor_t *self, bn_buffer_t *reply)
{
    s_put (reply, "{\"ok\":true,\"pid\":%d,\"stopping\":%s,\"services\":[", (int)getpid (),
           self->stops_asked ? "true" : "false");
    for (size_t i = 0; i < self->service_count; i++) {
        bn_instance_info_t info;
        s_put (reply, "%s{\"name\":\"%s\",\"wanted\":%" PRIu32 ",\"instances\":[", i ? "," : "",
               self->services[i]->name, self->services[i]->wanted);
        for (size_t k = 0; bn_supervisor_instance (self, i, k, &info); k++)
            s_put (reply,
                   "%s{\"instance\":\"%s-%" PRIu32 "\",\"slot\":%" PRIu32
                   ",\"pid\":%d,\"state\":\"%s\",\"restarts\":%" PRIu32 ",\"age_ms\":%" PRIu64 "}",
                   k ? "," : "", info.service, info.slot, info.slot, (int)info.pid, info.state,
                   info.restarts, info.age_ms);
        s_put (reply, "]}");
    }
    s_put (reply, "]}");
}

static void s_answer_error (bn_buffer_t *reply, baton_err_t err, const char *text)
{
    s_put (reply, "{\"ok\":false,\"error\":\"%s\",\"text\":\"%s\"}", baton_err_name (err), text);
}

static void s_answer_scale (bn_supervisor_t *self, const char *request, bn_buffer_t *reply)
{
    char name[BATON_NAME_BYTES_MAX + 1];
    unsigned wanted;
    int end = 0;
    if (sscanf (request, "scale %64s %9u%n", name, &wanted, &end) != 2 || request[end]) {
        s_answer_error (reply, BATON_ERR_ARGUMENT, "the request is: scale NAME N");
        return;
    }
    s_service_t *service = s_service_find (self, name);
    uint32_t before = service ? service->wanted : 0;
    baton_err_t err = bn_supervisor_scale (self, name, wanted);
    switch (err) {
    case BATON_OK:
        s_put (reply, "{\"ok\":true,\"service\":\"%s\",\"before\":%" PRIu32 ",\"wanted\":%u}",
               service->name, before, wanted);
        bn_log (BN_LOG_INFO, "%s scaled from %" PRIu32 " to %u", service->name, before, wanted);
        break;
    case BATON_ERR_NOT_FOUND:
        s_answer_error (reply, err, "there is no service of that name");
        break;
    case BATON_ERR_LIMIT:
        s_answer_error (
            reply, err,
            "at most 256 instances of all services, with those that are still stopping");
        break;
    case BATON_ERR_CLOSED:
        s_answer_error (reply, err, "everything is being stopped");
        break;
    default:
        s_answer_error (reply, err, baton_err_text (err));
    }
}

static void s_control_answer (const char *request, bn_buffer_t *reply, void *arg)
{
    bn_supervisor_t *self = arg;
    if (!strcmp (request, "status"))
        s_answer_status (self, reply);
    else if (!strncmp (request, "scale ", 6))
        s_answer_scale (self, request, reply);
    else if (!strcmp (request, "stop")) {
        bn_supervisor_stop (self);
        s_put (reply, "{\"ok\":true}");
    } else
        s_answer_error (reply, BATON_ERR_UNKNOWN_TYPE, "the requests are status, scale and stop");
}

baton_err_t bn_supervisor_listen (bn_supervisor_t *self, const char *directory, char *detail,
                                  size_t detail_size)
{
    if (self->control)
        return BATON_ERR_CONFLICT;
    return bn_control_new (&self->control, directory, detail, detail_size);
}
