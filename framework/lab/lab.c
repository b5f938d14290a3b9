/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/lab.h"
#include "lab/folder.h"
#include "lab/worker.h"
#include "shell/clock.h"
#include "supervisor/control.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS  10    /* between two looks at the time table */
#define WAIT_MS  60000 /* default for what is waited for */
#define STOP_MS  60000 /* then what still runs is killed */
#define FLUSH_MS 10000 /* for the last receipts */
#define STEP_MS  10000 /* for somebody who is down just now, and is meant by a step */

extern char **environ;

typedef enum { PART_START, PART_RUN, PART_DRAIN, PART_STOP, PART_OVER } s_part_t;

typedef struct {
    const bn_lab_options_t *options;
    bn_lab_result_t *result;
    char folder[PATH_MAX];
    char disk[PATH_MAX];     /* "": none */
    char data_dir[PATH_MAX]; /* of the orchestrator */
    bn_lab_hosts_t *hosts;
    bn_lab_processes_t *processes;
    bn_lab_trouble_t *trouble;
    bn_lab_load_t *load;
    bn_lab_observer_t *observer;
    bn_control_t *control;
    int signals; /* owned signalfd */
    s_part_t part;
    uint64_t part_ms; /* when it began */
    uint64_t run_ms;  /* when RUN began */
    size_t step;      /* the next one */
    uint32_t stops;   /* asked for */
} s_lab_t;

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

static void s_tell (s_lab_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

static void s_tell (s_lab_t *self, const char *format, ...)
{
    char line[1024];
    size_t size = 0;
    va_list args;
    if (self->part == PART_RUN || self->part == PART_DRAIN)
        size = (size_t)snprintf (line, sizeof line, "%7.2f s  ",
                                 (double)(s_now_ms () - self->run_ms) / 1000);
    va_start (args, format);
    vsnprintf (line + size, sizeof line - size, format, args);
    va_end (args);
    if (self->options->tell)
        self->options->tell (line, self->options->tell_arg);
}

static void s_tell_line (const char *line, void *arg)
{
    s_tell (arg, "%s", line);
}

static void s_missed (bn_lab_result_t *result, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void s_missed (bn_lab_result_t *result, const char *format, ...)
{
    va_list args;
    if (result->missed_count == sizeof result->missed / sizeof *result->missed)
        return;
    va_start (args, format);
    vsnprintf (result->missed[result->missed_count++], sizeof *result->missed, format, args);
    va_end (args);
}

void bn_lab_drill_init (bn_lab_drill_t *self)
{
    memset (self, 0, sizeof *self);
    self->start_ms = self->drain_ms = WAIT_MS;
    self->expect.dead_max = BN_LAB_NO_LIMIT;
    bn_lab_drill_lenient (self);
}

void bn_lab_drill_lenient (bn_lab_drill_t *self)
{
    self->expect.outage_ms = BN_LAB_NO_LIMIT;
    for (bn_lab_phase_t phase = BN_LAB_BEFORE; phase < BN_LAB_PHASES; phase++)
        self->expect.p99_ms[phase] = BN_LAB_NO_LIMIT;
}

bool bn_lab_result_ok (const bn_lab_result_t *self)
{
    return self->judged && bn_lab_verdict_ok (&self->verdict) && !self->unexpected_count &&
           !self->missed_count;
}

/*  ---- the control socket ---- */

static void s_put_json (bn_buffer_t *reply, json_t *object)
{
    char *text = object ? json_dumps (object, JSON_COMPACT) : NULL;
    if (text)
        bn_buffer_append (reply, text, strlen (text));
    free (text);
    json_decref (object);
}

static json_t *s_status (s_lab_t *self)
{
    static const char *const parts[] = {"starting", "running", "draining", "stopping", "over"};
    json_t *hosts = json_array (), *troubles = json_object ();
    for (uint32_t host = 0; host < bn_lab_hosts_count (self->hosts); host++) {
        char name[16];
        snprintf (name, sizeof name, "host%" PRIu32, host + 1);
        bn_lab_victim_t *victims = calloc (BN_LAB_PIDS_MAX, sizeof *victims);
        size_t count =
            victims ? bn_lab_processes_find (self->processes, name, victims, BN_LAB_PIDS_MAX) : 0;
        json_t *processes = json_array ();
        for (size_t i = 0; i < count; i++)
            json_array_append_new (processes, json_pack ("{s:s, s:i}", "name", victims[i].name,
                                                         "pid", (int)victims[i].pid));
        free (victims);
        json_array_append_new (hosts, json_pack ("{s:s, s:s, s:s, s:o}", "name", name, "called",
                                                 self->options->plan->hosts[host], "address",
                                                 bn_lab_hosts_address (self->hosts, host),
                                                 "processes", processes));
    }
    for (bn_lab_kind_t kind = BN_LAB_KILL; kind < BN_LAB_KIND_COUNT; kind++)
        if (bn_lab_trouble_count (self->trouble, kind))
            json_object_set_new (
                troubles, bn_lab_kind_text (kind),
                json_integer ((json_int_t)bn_lab_trouble_count (self->trouble, kind)));
    return json_pack ("{s:b, s:s, s:s, s:i, s:s, s:s, s:s, s:o, s:o}", "ok", 1, "lab",
                      bn_lab_folder_name (self->folder), "folder", self->folder, "pid",
                      (int)getpid (), "part", parts[self->part], "endpoint",
                      bn_lab_processes_endpoint (self->processes), "says",
                      bn_lab_hosts_says (self->hosts), "hosts", hosts, "troubles", troubles);
}

static void s_answer (const char *request, bn_buffer_t *reply, void *arg)
{
    s_lab_t *self = arg;
    bn_lab_order_t order;
    char says[256] = "";
    if (!strcmp (request, "status")) {
        s_put_json (reply, s_status (self));
        return;
    }
    baton_err_t err = BATON_OK;
    if (!strcmp (request, "stop")) {
        self->stops += !self->stops;
        snprintf (says, sizeof says, "stopping");
    } else {
        err = bn_lab_order_parse (&order, request, says);
        if (!err && self->part != PART_RUN) {
            err = BATON_ERR_CLOSED;
            snprintf (says, sizeof says, "the lab %s",
                      self->part == PART_START ? "is still starting" : "is about to end");
        }
        if (!err)
            err = bn_lab_trouble_do (self->trouble, &order, says);
        if (!err)
            s_tell (self, "%s", says);
    }
    s_put_json (reply, err ? json_pack ("{s:b, s:s, s:s}", "ok", 0, "error", baton_err_name (err),
                                        "text", says)
                           : json_pack ("{s:b, s:s}", "ok", 1, "did", says));
}

/*  ---- making it ---- */

static baton_err_t s_fail (s_lab_t *self, baton_err_t err, const char *what)
{
    if (what != self->result->failure)
        snprintf (self->result->failure, sizeof self->result->failure, "%s",
                  what && *what ? what : baton_err_text (err));
    return err;
}

static baton_err_t s_make_disk (s_lab_t *self)
{
    if (!self->options->disk_bytes)
        return BATON_OK;
    snprintf (self->disk, sizeof self->disk, "%.*s/disk", PATH_MAX - 8, self->folder);
    return mkdir (self->disk, 0700) ? BATON_ERR_SYSTEM : BATON_OK;
}

static baton_err_t s_make (s_lab_t *self)
{
    const bn_lab_options_t *options = self->options;
    char detail[512] = "";
    sigset_t set;
    baton_err_t err = bn_lab_folder_new (self->folder, detail);
    if (!err)
        err = bn_control_new (&self->control, self->folder, detail, sizeof detail);
    if (err)
        return s_fail (self, err, detail);
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGHUP); /* the terminal has gone */
    sigprocmask (SIG_BLOCK, &set, NULL);
    self->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    setenv (BN_LAB_VARIABLE, self->folder, 1);
    err = self->signals < 0 ? BATON_ERR_SYSTEM : s_make_disk (self);
    if (err)
        return s_fail (self, err, strerror (errno));
    bn_lab_hosts_options_t hosts = {.count = options->hosts,
                                    .loopback = options->loopback,
                                    .disk = *self->disk ? self->disk : NULL,
                                    .disk_bytes = options->disk_bytes};
    err = bn_lab_hosts_new (&self->hosts, &hosts, detail);
    if (err)
        return s_fail (self, err, detail);
    bool disk = bn_lab_hosts_disk (self->hosts);
    snprintf (self->data_dir, sizeof self->data_dir, "%.*s/data", PATH_MAX - 8,
              disk ? self->disk : self->folder);
    bn_lab_processes_options_t processes = {.plan = options->plan,
                                            .hosts = self->hosts,
                                            .directory = self->folder,
                                            .data_dir = self->data_dir,
                                            .program = options->program,
                                            .loud = options->loud};
    err = bn_lab_processes_new (&self->processes, &processes, detail);
    if (err)
        return s_fail (self, err, detail);
    bn_lab_trouble_options_t trouble = {.processes = self->processes,
                                        .hosts = self->hosts,
                                        .plan = options->plan,
                                        .directory = self->folder,
                                        .disk = disk ? self->disk : NULL,
                                        .seed = options->seed};
    err = bn_lab_trouble_new (&self->trouble, &trouble);
    return err ? s_fail (self, err, NULL) : BATON_OK;
}

static baton_err_t s_start (s_lab_t *self)
{
    char detail[512] = "", name[64];
    const char *endpoint = bn_lab_processes_endpoint (self->processes);
    snprintf (name, sizeof name, "lab-%s", bn_lab_folder_name (self->folder));
    bn_lab_load_options_t load = {.endpoint = endpoint, .name = name, .seed = self->options->seed};
    baton_err_t err = bn_lab_processes_start (self->processes, detail);
    if (!err)
        err = bn_lab_load_new (&self->load, &load);
    if (!err)
        err = bn_lab_observer_new (&self->observer, endpoint);
    if (err)
        return s_fail (self, err, detail);
    bn_lab_trouble_load (self->trouble, self->load);
    return BATON_OK;
}

/*  ---- the time table ---- */

static void s_enter (s_lab_t *self, s_part_t part)
{
    self->part = part;
    self->part_ms = s_now_ms ();
}

/*  Names an actor that is not there yet; NULL: all are.  */
static const char *s_absent (const s_lab_t *self, const bn_lab_picture_t *picture)
{
    const bn_lab_drill_t *drill = self->options->drill;
    if (!picture->taken_ms)
        return "orchestrator";
    for (size_t i = 0; drill && i < drill->ready_count; i++) {
        bool there = false;
        for (size_t k = 0; k < picture->actor_count; k++)
            there = there || (picture->actors[k].instances &&
                              !strcmp (picture->actors[k].name, drill->ready[i]));
        if (!there)
            return drill->ready[i];
    }
    uint32_t instances = 0;
    for (size_t k = 0; k < picture->actor_count; k++)
        instances += picture->actors[k].instances;
    if (drill && drill->ready_all && instances < self->options->plan->instances)
        return "one instance or more";
    return NULL;
}

static void s_end_with (s_lab_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/*  There will be no verdict.  */
static void s_end_with (s_lab_t *self, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (self->result->failure, sizeof self->result->failure, format, args);
    va_end (args);
    bn_lab_trouble_heal (self->trouble, s_tell_line, self);
    bn_lab_processes_stop (self->processes);
    s_enter (self, PART_STOP);
}

static void s_starting (s_lab_t *self)
{
    const bn_lab_drill_t *drill = self->options->drill;
    bn_lab_picture_t picture;
    bn_lab_observer_look (self->observer, &picture);
    const char *absent = s_absent (self, &picture);
    uint32_t ended;
    const char *how = bn_lab_processes_unexpected (self->processes, &ended);
    if (ended) {
        s_end_with (self, "%s", how);
        return;
    }
    uint64_t start_ms = drill ? drill->start_ms : WAIT_MS;
    if (absent && s_now_ms () - self->part_ms > start_ms) {
        s_end_with (self,
                    "%s did not register within %g s (its output: host*.log; 'ready' in the drill "
                    "names the actors to wait for)",
                    absent, (double)start_ms / 1000);
        return;
    }
    if (absent)
        return;
    baton_err_t err = BATON_OK;
    for (size_t i = 0; drill && i < drill->stream_count && !err; i++)
        err = bn_lab_load_add (self->load, &drill->streams[i]);
    if (err) {
        s_end_with (self, "the load: %s", baton_err_text (err));
        return;
    }
    bn_lab_observer_begin (self->observer);
    s_enter (self, PART_RUN);
    self->run_ms = self->part_ms;
    s_tell (self, "%s", drill ? "every actor is there; the load begins" : "the orchestrator is up");
}

static void s_running (s_lab_t *self)
{
    const bn_lab_drill_t *drill = self->options->drill;
    uint64_t since_ms = s_now_ms () - self->run_ms;
    char says[256];
    while (drill && self->step < drill->step_count && drill->steps[self->step].at_ms <= since_ms) {
        const bn_lab_step_t *step = &drill->steps[self->step];
        baton_err_t err = bn_lab_trouble_do (self->trouble, &step->order, says);
        if (err == BATON_ERR_NOT_FOUND && since_ms < step->at_ms + STEP_MS)
            break; /* it is down; it will be back */
        self->step++;
        s_tell (self, "%s%s", err ? "NOT DONE: " : "", says);
        if (err)
            s_missed (self->result, "step '%.60s' was not carried out: %.80s", step->text, says);
    }
    bn_lab_trouble_poll (self->trouble, s_tell_line, self);
    bn_lab_load_stats_t stats;
    bn_lab_load_stats (self->load, &stats);
    if (drill && self->step == drill->step_count && stats.over &&
        bn_lab_trouble_quiet (self->trouble)) {
        s_enter (self, PART_DRAIN);
        s_tell (self, "the load is over (%" PRIu64 " events); waiting until all is handled",
                stats.receipted);
    } else if (drill && self->step == drill->step_count && bn_lab_trouble_quiet (self->trouble) &&
               !stats.over && stats.error[0] && stats.refused)
        s_end_with (self, "the load: %s", stats.error);
}

static void s_draining (s_lab_t *self)
{
    bn_lab_picture_t picture;
    bn_lab_observer_look (self->observer, &picture);
    const bn_lab_actor_t *late = NULL;
    for (size_t i = 0; i < picture.actor_count && !late; i++)
        if (picture.actors[i].lag)
            late = &picture.actors[i];
    /*  A picture of before the last receipt says nothing.  */
    bool fresh = picture.taken_ms > self->part_ms;
    if (fresh && !late) {
        self->result->judged = true;
        s_tell (self, "everything is settled");
    } else if (s_now_ms () - self->part_ms < self->options->drill->drain_ms)
        return;
    else if (fresh) {
        self->result->judged = true;
        s_missed (self->result,
                  "not drained within %" PRIu64 " s: %s has %" PRIu64
                  " events that are not settled",
                  self->options->drill->drain_ms / 1000, late->name, late->lag);
    } else {
        s_end_with (self, "the orchestrator did not answer any more: %.200s",
                    picture.error[0] ? picture.error : "nothing for the time to drain");
        return;
    }
    for (size_t i = 0; i < picture.actor_count; i++)
        self->result->verdict.lost += picture.actors[i].lag;
    self->result->seconds = (double)(s_now_ms () - self->run_ms) / 1000;
    s_enter (self, PART_OVER); /* still running: the journal is read first */
}

static void s_stopping (s_lab_t *self)
{
    if (bn_lab_processes_stopped (self->processes) || self->stops > 1)
        s_enter (self, PART_OVER);
    else if (s_now_ms () - self->part_ms > STOP_MS) {
        s_missed (self->result, "not stopped within %d s after SIGTERM", STOP_MS / 1000);
        s_enter (self, PART_OVER);
    }
}

static void s_signals (s_lab_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof info) == sizeof info)
        self->stops++;
    if (self->stops && self->part < PART_STOP) {
        self->result->interrupted = true;
        self->result->judged = false;
        s_tell (self, "stopping; once more to kill");
        s_end_with (self, "interrupted");
    }
}

/*  Turns until the part is OVER.  */
static void s_turn (s_lab_t *self)
{
    struct pollfd fds[1 + BN_CONTROL_POLL_FDS + BN_LAB_POLL_FDS];
    while (self->part != PART_OVER) {
        fds[0] = (struct pollfd){.fd = self->signals, .events = POLLIN};
        bn_control_poll_prepare (self->control, fds + 1);
        bn_lab_processes_poll_prepare (self->processes, fds + 1 + BN_CONTROL_POLL_FDS);
        poll (fds, sizeof fds / sizeof *fds, TICK_MS);
        bn_control_poll (self->control, fds + 1, s_answer, self);
        bn_lab_processes_poll (self->processes, fds + 1 + BN_CONTROL_POLL_FDS);
        s_signals (self);
        switch (self->part) {
        case PART_START:
            s_starting (self);
            break;
        case PART_RUN:
            s_running (self);
            break;
        case PART_DRAIN:
            s_draining (self);
            break;
        case PART_STOP:
            s_stopping (self);
            break;
        case PART_OVER:
            break;
        }
    }
}

/*  ---- the end ---- */

/*  `baton journal verify` on what the run has left.  */
static void s_verify (s_lab_t *self)
{
    char program[PATH_MAX], journal[] = "journal", verify[] = "verify";
    char *argv[] = {program, journal, verify, self->data_dir, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;
    snprintf (program, sizeof program, "%s", self->options->program);
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn (&pid, program, &actions, NULL, argv, environ) == 0)
        while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
            ;
    posix_spawn_file_actions_destroy (&actions);
    if (!WIFEXITED (status) || WEXITSTATUS (status))
        s_missed (self->result, "baton journal verify found the journal damaged");
}

static baton_err_t s_judge (s_lab_t *self, const bn_lab_history_t *journal)
{
    const bn_lab_drill_t *drill = self->options->drill;
    uint64_t unsettled = self->result->verdict.lost;
    bn_lab_case_t it = {.sent = bn_lab_load_log (self->load),
                        .journal = journal,
                        .seen = bn_lab_observer_seen (self->observer),
                        .effects = drill->effects,
                        .effect_count = drill->effect_count};
    bn_lab_trouble_span (self->trouble, &it.trouble_from_us, &it.trouble_to_us);
    baton_err_t err = bn_lab_judge (&self->result->verdict, &it);
    if (err)
        return err;
    self->result->verdict.lost += unsettled;
    return BATON_OK;
}

static void s_expect (bn_lab_result_t *result, const bn_lab_expect_t *expect)
{
    static const char *const phases[] = {"before", "during", "after"};
    const bn_lab_verdict_t *verdict = &result->verdict;
    if (result->outage_ms > expect->outage_ms)
        s_missed (result, "longest outage %" PRIu64 " ms, at most %" PRIu64 " were expected",
                  result->outage_ms, expect->outage_ms);
    for (bn_lab_phase_t phase = BN_LAB_BEFORE; phase < BN_LAB_PHASES; phase++) {
        const bn_lab_latency_t *done = &verdict->done[phase];
        const bn_lab_latency_t *it = done->count ? done : &verdict->receipt[phase];
        if (expect->p99_ms[phase] != BN_LAB_NO_LIMIT && it->p99_us > expect->p99_ms[phase] * 1000)
            s_missed (result, "p99 %s trouble %" PRIu64 " ms, at most %" PRIu64 " were expected",
                      phases[phase], it->p99_us / 1000, expect->p99_ms[phase]);
    }
    if (verdict->dead_letters < expect->dead_min || verdict->dead_letters > expect->dead_max)
        s_missed (result, "%" PRIu64 " dead letters, expected were %" PRIu64 " to %" PRIu64,
                  verdict->dead_letters, expect->dead_min,
                  expect->dead_max == BN_LAB_NO_LIMIT ? verdict->journal : expect->dead_max);
    if (verdict->events < expect->events_min)
        s_missed (result, "%" PRIu64 " events, at least %" PRIu64 " were expected", verdict->events,
                  expect->events_min);
}

static void s_figures (s_lab_t *self)
{
    bn_lab_result_t *result = self->result;
    bn_lab_picture_t picture;
    bn_lab_observer_look (self->observer, &picture);
    memcpy (result->actors, picture.actors, sizeof result->actors);
    result->actor_count = picture.actor_count;
    for (size_t i = 0; i < picture.actor_count; i++)
        if (picture.actors[i].outage_ms > result->outage_ms)
            result->outage_ms = picture.actors[i].outage_ms;
    for (bn_lab_kind_t kind = BN_LAB_KILL; kind < BN_LAB_KIND_COUNT; kind++)
        result->troubles[kind] = bn_lab_trouble_count (self->trouble, kind);
}

/*  After everything has drained, while it still runs: reads, stops, verifies, judges.  */
static baton_err_t s_conclude (s_lab_t *self)
{
    bn_lab_history_t journal;
    bn_lab_history_init (&journal);
    s_figures (self);
    bn_lab_load_stop (self->load, FLUSH_MS);
    bn_lab_observer_stop (self->observer);
    bn_lab_load_stats_t stats;
    bn_lab_load_stats (self->load, &stats);
    if (stats.error[0])
        s_missed (self->result, "%.150s", stats.error);
    baton_err_t err = bn_lab_read_journal (&journal, bn_lab_processes_endpoint (self->processes));
    bn_lab_processes_stop (self->processes);
    s_enter (self, PART_STOP);
    s_turn (self);
    self->result->judged = !err && !self->result->interrupted;
    if (err) {
        snprintf (self->result->failure, sizeof self->result->failure,
                  "the journal could not be read: %s", baton_err_text (err));
        err = BATON_OK;
    } else if (self->result->judged) {
        s_verify (self);
        err = s_judge (self, &journal);
        if (!err)
            s_expect (self->result, &self->options->drill->expect);
    }
    bn_lab_history_fini (&journal);
    return err;
}

static void s_end (s_lab_t *self)
{
    if (self->processes)
        snprintf (self->result->unexpected, sizeof self->result->unexpected, "%s",
                  bn_lab_processes_unexpected (self->processes, &self->result->unexpected_count));
    bn_lab_observer_destroy (&self->observer);
    bn_lab_load_destroy (&self->load);
    bn_lab_processes_destroy (&self->processes);
    bn_lab_trouble_destroy (&self->trouble);
    bn_lab_hosts_destroy (&self->hosts);
    bool keep = self->options->keep || (self->options->drill && !self->result->interrupted &&
                                        !bn_lab_result_ok (self->result));
    if (keep && *self->folder) {
        bn_lab_folder_keep (self->folder);
        snprintf (self->result->folder, sizeof self->result->folder, "%s", self->folder);
    } else if (*self->folder)
        bn_lab_folder_remove (self->folder);
    bn_control_destroy (&self->control); /* its lock is held until all is gone */
    if (self->signals >= 0)
        close (self->signals);
}

baton_err_t bn_lab_run (const bn_lab_options_t *options, bn_lab_result_t *result)
{
    s_lab_t self = {.options = options, .result = result, .signals = -1};
    memset (result, 0, sizeof *result);
    result->seed = options->seed;
    bn_lab_clean (false);
    baton_err_t err = s_make (&self);
    if (!err) {
        s_tell (&self, "lab %s: %s", bn_lab_folder_name (self.folder),
                bn_lab_hosts_says (self.hosts));
        err = s_start (&self);
    }
    if (!err) {
        s_enter (&self, PART_START);
        s_turn (&self);
        if (options->drill && result->judged)
            err = s_conclude (&self);
    }
    s_end (&self);
    return err;
}
