/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_system.h"
#include "cli/options.h"
#include "cli/prepare.h"
#include "cli/up_detach.h"
#include "cli/up_elastic.h"
#include "cli/up_hosts.h"
#include "cli/up_hosts_status.h"
#include "cli/up_output.h"
#include "cli/up_watch.h"
#include "client/admin.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "shell/notify.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GATE_TIMEOUT_MS          100   /* for one question whether the orchestrator is there */
#define GATE_PATIENCE_MS         5000  /* between two lines that say that it is not */
#define ORCHESTRATOR_WATCHDOG_MS 60000 /* its death stops everybody: twice an actor's */
#define LOOK_MS                  100   /* between two looks whether everything is ready */
#define STATUS_MS                1000  /* between two looks how all is, for who started us */

typedef struct {
    const char *path;       /* of FILE */
    bn_up_config_t *config; /* what runs */
    bn_supervisor_t *supervisor;
    bn_up_output_t output;
    bn_up_watch_t *watch;  /* owned */
    bn_admin_t *admin;     /* owned; asks whether the orchestrator is there; NULL: not now */
    uint64_t warn_ms;      /* when to say that it does not answer */
    bool terminal;         /* it was started from one */
    bn_logbook_t *logbook; /* owned; NULL: none */
    bn_up_elastic_t elastic;
    bn_up_hosts_t *hosts; /* owned */
    int wake_fd;          /* owned eventfd: the watch has samples */
    int epoll_fd;         /* owned: that, and the nodes' socket */
    bn_notify_t notify;   /* who started us */
    bool ready;           /* everything was, once */
    bool failed;          /* detached, and something will not be */
    int ready_fd;         /* owned; detached: where to say so; -1: not, or not any more */
    uint64_t look_ms;     /* when to look again how all is */
} s_up_t;

/*  ---- the orchestrator ---- */

static bool s_orchestrator_answers (void *arg)
{
    s_up_t *self = arg;
    uint64_t now_ms = bn_clock_now ().mono_ms;
    bn_admin_options_t options = {
        .endpoint = self->config->connect, .name = "up", .timeout_ms = GATE_TIMEOUT_MS};
    if (!self->warn_ms)
        self->warn_ms = now_ms + GATE_PATIENCE_MS;
    if (!self->admin && bn_admin_new (&self->admin, &options))
        return false;
    if (bn_admin_welcome (self->admin)) {
        bn_admin_destroy (&self->admin);
        return true;
    }
    if (now_ms >= self->warn_ms) {
        self->warn_ms = now_ms + GATE_PATIENCE_MS;
        bn_log (BN_LOG_WARNING, "the orchestrator at %s does not answer yet",
                self->config->connect);
    }
    return false;
}

/*  ---- from the file to the supervisor ---- */

/*  The services that a file asks for, and the texts that they point to.  */
typedef struct {
    bn_service_options_t list[BN_SUPERVISOR_SERVICES_MAX];
    size_t count;
    const char *environment[BN_SUPERVISOR_SERVICES_MAX][BN_UP_ENVIRONMENT_MAX + 2];
    const char *orchestrator[4]; /* argv */
    char program[PATH_MAX];      /* this one */
    char file[PATH_MAX];         /* for the orchestrator */
    char connect[512];
} s_services_t;

static baton_err_t s_orchestrator_file (const bn_up_config_t *config, const char *suffix,
                                        char path[PATH_MAX], char detail[512])
{
    int size = snprintf (path, PATH_MAX, "%s/orchestrator.conf%s", config->data_dir, suffix);
    if (size < PATH_MAX)
        return BATON_OK;
    snprintf (detail, 512, "%.400s: the name is too long", config->data_dir);
    return BATON_ERR_CONFIG;
}

static void s_add_orchestrator (s_services_t *self, s_up_t *up)
{
    ssize_t size = readlink ("/proc/self/exe", self->program, sizeof (self->program) - 1);
    self->program[size > 0 ? size : 0] = 0;
    self->orchestrator[0] = size > 0 ? self->program : "/proc/self/exe";
    self->orchestrator[1] = "orchestrator";
    self->orchestrator[2] = self->file;
    self->orchestrator[3] = NULL;
    self->list[self->count++] = (bn_service_options_t){.name = "orchestrator",
                                                       .argv = self->orchestrator,
                                                       .instances = 1,
                                                       .watchdog_ms = ORCHESTRATOR_WATCHDOG_MS,
                                                       .gate = s_orchestrator_answers,
                                                       .gate_arg = up,
                                                       .essential = true};
}

static baton_err_t s_services (s_services_t *self, s_up_t *up, const bn_up_config_t *config,
                               char detail[512])
{
    self->count = 0;
    baton_err_t err = s_orchestrator_file (config, "", self->file, detail);
    if (err)
        return err;
    if (config->orchestrator_set)
        s_add_orchestrator (self, up);
    snprintf (self->connect, sizeof (self->connect), "BATON_CONNECT=%s", config->connect);
    for (size_t i = 0; i < config->actor_count; i++) {
        const bn_up_actor_t *actor = &config->actors[i];
        const bn_up_place_t *place = bn_up_actor_at (actor, BN_UP_HERE);
        if (!place)
            continue;
        const char **environment = self->environment[i];
        size_t variables = 0;
        environment[variables++] = self->connect;
        for (size_t k = 0; actor->environment[k]; k++)
            environment[variables++] = actor->environment[k];
        environment[variables] = NULL;
        self->list[self->count++] =
            (bn_service_options_t){.name = actor->name,
                                   .argv = (const char *const *)actor->argv,
                                   .environment = environment,
                                   .directory = actor->directory,
                                   .instances = place->instances,
                                   .stop_timeout_ms = actor->stop_timeout_ms,
                                   .restart = actor->restart,
                                   .restart_order = actor->restart_order,
                                   .intensity = actor->intensity,
                                   .intensity_period_ms = actor->intensity_period_ms,
                                   .watchdog_ms = actor->watchdog_ms};
    }
    for (size_t i = 0; i < self->count; i++)
        self->list[i].backoff_max_ms = config->backoff_max_ms;
    return BATON_OK;
}

static baton_err_t s_write (const bn_up_config_t *config, const char *path, char detail[512])
{
    if (bn_up_config_write (config, path))
        return BATON_OK;
    snprintf (detail, 512, "%.400s: %s", path, strerror (errno));
    return BATON_ERR_SYSTEM;
}

static baton_err_t s_start (s_up_t *self, char detail[512])
{
    s_services_t services;
    baton_err_t err = s_services (&services, self, self->config, detail);
    if (err == BATON_OK && self->config->orchestrator_set)
        err = s_write (self->config, services.file, detail);
    for (size_t i = 0; i < services.count && err == BATON_OK; i++) {
        err = bn_supervisor_add (self->supervisor, &services.list[i]);
        if (err)
            snprintf (detail, 512, "%s cannot be set up: %s", services.list[i].name,
                      baton_err_text (err));
    }
    return err;
}

/*  ---- the file is read anew ---- */

/*  A hang-up of the terminal is no wish to read anything: it has gone, and so shall we.  */
static bool s_terminal_is_there (void)
{
    int fd = open ("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close (fd);
    return fd >= 0;
}

/*  What the new file says, up to the point where nothing can go wrong any more but the disk.  */
static baton_err_t s_follow (s_up_t *self, const bn_up_config_t *config, bool orchestrator_changed,
                             char detail[512])
{
    s_services_t services;
    char fresh[PATH_MAX];
    bn_supervisor_changes_t changes;
    baton_err_t err = s_services (&services, self, config, detail);
    if (err == BATON_OK && orchestrator_changed)
        err = s_orchestrator_file (config, ".new", fresh, detail);
    if (err == BATON_OK && orchestrator_changed)
        err = s_write (config, fresh, detail);
    if (err)
        return err;
    err = bn_supervisor_apply (self->supervisor, services.list, services.count, &changes);
    if (err) {
        snprintf (detail, 512, "%s: %s%s", self->path, baton_err_text (err),
                  err == BATON_ERR_LIMIT ? ", with those that are still stopping" : "");
        return err;
    }
    if (orchestrator_changed && rename (fresh, services.file)) {
        snprintf (detail, 512, "%.400s: %s; the orchestrator goes on as it was", services.file,
                  strerror (errno));
        return BATON_ERR_SYSTEM;
    }
    if (orchestrator_changed)
        bn_supervisor_restart (self->supervisor, "orchestrator");
    snprintf (detail, 512,
              "%s: %" PRIu32 " added, %" PRIu32 " removed, %" PRIu32 " replaced, %" PRIu32
              " scaled, %" PRIu32 " unchanged%s",
              self->path, changes.added, changes.removed, changes.replaced, changes.scaled,
              changes.unchanged, orchestrator_changed ? "; the orchestrator restarts" : "");
    bn_log (BN_LOG_INFO, "%s", detail);
    return BATON_OK;
}

static baton_err_t s_reload (bn_supervisor_t *supervisor, char *detail, size_t detail_size,
                             void *arg)
{
    s_up_t *self = arg;
    char text[512] = "";
    bool orchestrator_changed = false;
    if (self->terminal && !s_terminal_is_there ()) {
        bn_log (BN_LOG_INFO, "the terminal has gone; stopping");
        bn_supervisor_stop (supervisor);
        return BATON_OK;
    }
    bn_up_config_t *config = malloc (sizeof (*config));
    baton_err_t err = config ? bn_up_config_load (config, self->path, text) : BATON_ERR_MEMORY;
    if (err == BATON_OK)
        err = bn_up_config_follow (config, self->config, &orchestrator_changed, text);
    if (err == BATON_OK)
        err = s_follow (self, config, orchestrator_changed, text);
    snprintf (detail, detail_size, "%s", *text ? text : baton_err_text (err));
    if (err == BATON_OK) {
        bn_up_config_t before = *self->config;
        *self->config = *config;
        *config = before;
        bn_up_hosts_follow (self->hosts, self->config, config);
        bn_up_elastic_follow (&self->elastic, self->config, self->watch);
    }
    if (config)
        bn_up_config_fini (config);
    free (config);
    return err;
}

/*  ---- while it runs ---- */

static void s_line (const char *service, uint32_t slot, const char *line, size_t size, void *arg)
{
    s_up_t *self = arg;
    bn_up_output_line (&self->output, service, slot, line, size);
}

/*  One that was told to stop, and did, has said goodbye itself.  */
static void s_ended (const bn_supervisor_end_t *end, void *arg)
{
    const s_up_t *self = arg;
    char instance[BATON_NAME_BYTES_MAX + 1];
    if (end->clean || !strcmp (end->service, "orchestrator"))
        return;
    snprintf (instance, sizeof (instance), "%s-%" PRIu32, end->service, end->slot);
    bn_up_watch_gone (self->watch, instance, end->incarnation);
}

/*  ---- how all is ---- */

typedef struct {
    uint32_t all, ready, parked;
    char one[2 * BATON_NAME_BYTES_MAX]; /* that is parked */
    char reason[128];
} s_census_t;

static void s_count (const s_up_t *self, s_census_t *census)
{
    bn_instance_info_t info;
    *census = (s_census_t){0};
    for (size_t i = 0; i < bn_supervisor_services (self->supervisor); i++)
        for (size_t k = 0; bn_supervisor_instance (self->supervisor, i, k, &info); k++) {
            bool parked = !strcmp (info.state, "parked");
            census->all++;
            census->ready += info.ready || !strcmp (info.state, "done");
            if (parked && !census->parked++) {
                snprintf (census->one, sizeof (census->one), "%s-%" PRIu32, info.service,
                          info.slot);
                snprintf (census->reason, sizeof (census->reason), "%s", info.reason);
            }
        }
}

static void s_become_ready (s_up_t *self, const s_census_t *census)
{
    self->ready = true;
    if (census->parked)
        bn_log (BN_LOG_WARNING,
                "ready, but for %" PRIu32 " of %" PRIu32 " instances that keep ending",
                census->parked, census->all);
    else
        bn_log (BN_LOG_INFO, "everything is ready: %" PRIu32 " instances", census->all);
    bn_notify_ready (&self->notify);
    if (self->ready_fd < 0)
        return;
    self->output.quiet = true; /* the instances have files of their own */
    if (write (self->ready_fd, BN_UP_DETACH_READY, 1) != 1)
        bn_log (BN_LOG_WARNING, "nobody waits for it: %m");
    close (self->ready_fd);
    self->ready_fd = -1;
}

/*  Looks how all is, and tells who wants to know. Returns when to look again.  */
static uint64_t s_look (s_up_t *self, uint64_t now_ms)
{
    bool asked = self->notify.fd >= 0;
    if (bn_supervisor_stopping (self->supervisor)) {
        bn_notify_stopping (&self->notify);
        return UINT64_MAX;
    }
    if (now_ms >= self->look_ms && (asked || !self->ready)) {
        s_census_t census;
        s_count (self, &census);
        self->look_ms = now_ms + (self->ready ? STATUS_MS : LOOK_MS);
        bn_notify_status (&self->notify, now_ms, "%" PRIu32 " of %" PRIu32 " instances ready%s%s",
                          census.ready, census.all, census.parked ? "; parked: " : "", census.one);
        /*  What is parked will not come: who waits to let go is told so, and a service manager,
         *  which would end the rest, is not kept waiting.  */
        uint32_t parked = self->ready_fd >= 0 ? 0 : census.parked;
        if (!self->ready && census.ready + parked == census.all)
            s_become_ready (self, &census);
        else if (self->ready_fd >= 0 && census.parked) {
            bn_log (BN_LOG_ERROR, "%s keeps ending (%s); giving up", census.one, census.reason);
            self->failed = true;
            bn_supervisor_stop (self->supervisor);
            return now_ms;
        }
    }
    bn_notify_alive (&self->notify, now_ms);
    uint64_t due_ms = bn_notify_due_ms (&self->notify);
    return (asked || !self->ready) && self->look_ms < due_ms ? self->look_ms : due_ms;
}

static uint64_t s_turn (bn_supervisor_t *supervisor, uint64_t now_ms, void *arg)
{
    s_up_t *self = arg;
    if (self->logbook)
        bn_logbook_turn (self->logbook);
    (void)supervisor;
    bool changed = bn_up_elastic_turn (&self->elastic, self->hosts, self->watch);
    uint64_t hosts_ms = bn_up_hosts_turn (self->hosts);
    uint64_t next_ms = s_look (self, now_ms);
    next_ms = hosts_ms < next_ms ? hosts_ms : next_ms;
    return changed ? now_ms : next_ms;
}

static bool s_answer (bn_supervisor_t *supervisor, const char *request, bn_buffer_t *reply,
                      void *arg)
{
    const s_up_t *self = arg;
    (void)supervisor;
    if (!strncmp (request, "scale orchestrator ", 19) && self->config->orchestrator_set) {
        /*  Two would be at one data directory, none would be an end that nobody is told of.  */
        bn_up_hosts_put (reply, json_pack ("{s:b, s:s, s:s}", "ok", 0, "error",
                                           baton_err_name (BATON_ERR_CONFLICT), "text",
                                           "there is one orchestrator, always: baton restart "
                                           "orchestrator, or baton down"));
        return true;
    }
    return bn_up_hosts_answer (self->hosts, request, reply);
}

static bool s_may_stop (bn_supervisor_t *supervisor, void *arg)
{
    const s_up_t *self = arg;
    (void)supervisor;
    return bn_up_hosts_may_stop (self->hosts);
}

/*  Where what instances print is kept; detached, also where our own words go. A disk that does not
 *  take them is no reason not to run, unless there is nowhere else to say anything.  */
static baton_err_t s_open_logbook (s_up_t *self, char detail[512])
{
    const bn_up_config_t *config = self->config;
    char directory[PATH_MAX];
    baton_err_t err = BATON_OK;
    if (!config->log_bytes_max && self->ready_fd < 0)
        return BATON_OK;
    snprintf (directory, sizeof (directory), "%.4000s/logs", config->data_dir);
    err = bn_logbook_new (&self->logbook, directory, config->log_bytes_max);
    if (!err && config->log_bytes_max)
        self->output.logbook = self->logbook;
    if (!err && self->ready_fd >= 0) {
        err = bn_logbook_take_over (self->logbook, "up");
        if (!err && write (self->ready_fd, BN_UP_DETACH_OWN_OUTPUT, 1) != 1)
            err = BATON_ERR_SYSTEM;
    }
    if (!err)
        return BATON_OK;
    snprintf (detail, 512, "%.400s: %s", directory, baton_err_text (err));
    if (self->ready_fd >= 0)
        return err;
    bn_log (BN_LOG_WARNING, "what instances print is not kept: %s", detail);
    return BATON_OK;
}

/*  What the supervisor waits for, too; -1: nothing.  */
static void s_wake_for (s_up_t *self, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd >= 0 && epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        bn_log (BN_LOG_WARNING, "epoll: %m"); /* it is looked at each second, too */
}

/*  Everything that needs the supervisor; destroyed by the caller.  */
static int s_run (s_up_t *self)
{
    const bn_up_config_t *config = self->config;
    char detail[512] = "";
    if (!bn_prepare_directory (config->data_dir))
        return bn_failure ("up", BATON_OK, "%s: %s", config->data_dir, strerror (errno));
    baton_err_t err =
        bn_supervisor_listen (self->supervisor, config->data_dir, detail, sizeof (detail));
    if (!err)
        err = s_open_logbook (self, detail);
    if (!err)
        err = bn_up_config_settle (self->config, detail);
    if (!err)
        err = s_start (self, detail);
    if (err)
        return bn_failure ("up", err, "%s", detail);
    err = bn_up_watch_new (&self->watch, config->connect, self->wake_fd);
    if (err)
        return bn_failure ("up", err, "%s", baton_err_text (err));
    err = bn_up_hosts_new (&self->hosts, config, self->supervisor, self->watch, detail);
    if (err)
        return bn_failure ("up", err, "%s", *detail ? detail : baton_err_text (err));
    int fds[BN_UP_NODES_FDS];
    bn_up_hosts_fds (self->hosts, fds);
    for (size_t i = 0; i < BN_UP_NODES_FDS; i++)
        s_wake_for (self, fds[i]);
    bn_up_elastic_follow (&self->elastic, config, self->watch);
    bn_log (BN_LOG_INFO, "endpoint %s, data in %s, pid %d", config->connect, config->data_dir,
            (int)getpid ());
    err = bn_supervisor_run (self->supervisor);
    return err || self->failed ? BN_EXIT_FAILED : BN_EXIT_OK;
}

static int s_run_here (s_up_t *self, const char *log)
{
    bn_supervisor_options_t options = {.line = s_line,
                                       .ended = s_ended,
                                       .reload = s_reload,
                                       .turn = s_turn,
                                       .answer = s_answer,
                                       .may_stop = s_may_stop,
                                       .arg = self,
                                       .instance_variable = "BATON_INSTANCE",
                                       .incarnation_variable = "BATON_INCARNATION"};
    const char *why;
    if (!bn_notify_init (&self->notify, &why))
        bn_log (BN_LOG_WARNING, "%s", why);
    if (log)
        setenv ("BATON_LOG", log, 1); /* for the children too */
    signal (SIGPIPE, SIG_IGN);
    bn_prepare_descriptors ();
    self->terminal = s_terminal_is_there ();
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->epoll_fd = options.wake_fd = epoll_create1 (EPOLL_CLOEXEC);
    if (self->wake_fd < 0 || self->epoll_fd < 0)
        return bn_failure ("up", BATON_ERR_SYSTEM, "eventfd, epoll: %s", strerror (errno));
    s_wake_for (self, self->wake_fd);
    for (size_t i = 0; i < self->config->actor_count; i++) {
        size_t width = strlen (self->config->actors[i].name) + 2;
        self->output.name_width = width > self->output.name_width ? width : self->output.name_width;
    }
    baton_err_t err = bn_supervisor_new (&self->supervisor, &options);
    int code = err ? bn_failure ("up", err, "%s", baton_err_text (err)) : s_run (self);
    bn_supervisor_destroy (&self->supervisor);
    bn_up_hosts_destroy (&self->hosts);
    bn_up_watch_destroy (&self->watch);
    bn_admin_destroy (&self->admin);
    bn_logbook_destroy (&self->logbook);
    bn_notify_fini (&self->notify);
    close (self->epoll_fd);
    close (self->wake_fd);
    return code;
}

int bn_up_run (const bn_up_options_t *options)
{
    const char *log = options->log;
    s_up_t self = {.path = options->path,
                   .config = options->config,
                   .output = {.colour = isatty (STDOUT_FILENO) && !getenv ("NO_COLOR"),
                              .as_json = log && strcmp (log, "json") == 0,
                              .name_width = strlen ("orchestrator.1")},
                   .ready_fd = -1};
    if (options->detach) {
        bn_up_detach_options_t detach = {.data_dir = options->config->data_dir,
                                         .ready_s = options->ready_s};
        if (!bn_prepare_directory (detach.data_dir))
            return bn_failure ("up", BATON_OK, "%s: %s", detach.data_dir, strerror (errno));
        self.output.colour = false;
        int code = bn_up_detach (&detach, &self.ready_fd);
        if (code >= 0)
            return code;
    }
    return s_run_here (&self, log);
}
