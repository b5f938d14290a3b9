/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_system.h"
#include "cli/options.h"
#include "cli/up_output.h"
#include "cli/up_watch.h"
#include "client/admin.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATE_TIMEOUT_MS          100   /* for one question whether the orchestrator is there */
#define GATE_PATIENCE_MS         5000  /* between two lines that say that it is not */
#define ORCHESTRATOR_WATCHDOG_MS 60000 /* its death stops everybody: twice an actor's */
#define DESCRIPTORS              2048  /* enough for the most instances that there can be */

typedef struct {
    const char *path;       /* of FILE */
    bn_up_config_t *config; /* what runs */
    bn_supervisor_t *supervisor;
    bn_up_output_t output;
    bn_up_watch_t *watch; /* owned */
    bn_admin_t *admin;    /* owned; asks whether the orchestrator is there; NULL: not now */
    uint64_t warn_ms;     /* when to say that it does not answer */
    bool terminal;        /* it was started from one */
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

/*  Makes a directory and those above it.  */
static bool s_make_directory (const char *path)
{
    char part[PATH_MAX];
    if (snprintf (part, sizeof (part), "%s", path) >= (int)sizeof (part)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = part + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            if (mkdir (part, 0700) && errno != EEXIST)
                return false;
            *at = '/';
        }
    return mkdir (part, 0700) == 0 || errno == EEXIST;
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
                                   .instances = actor->instances,
                                   .stop_timeout_ms = actor->stop_timeout_ms,
                                   .restart = actor->restart,
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

/*  Three descriptors for each instance, and some more: the usual 1,024 are not enough for all.  */
static void s_raise_descriptors (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit (RLIMIT_NOFILE, &limit);
}

/*  Everything that needs the supervisor; destroyed by the caller.  */
static int s_run (s_up_t *self)
{
    const bn_up_config_t *config = self->config;
    char detail[512] = "";
    if (!s_make_directory (config->data_dir))
        return bn_failure ("up", BATON_OK, "%s: %s", config->data_dir, strerror (errno));
    baton_err_t err =
        bn_supervisor_listen (self->supervisor, config->data_dir, detail, sizeof (detail));
    if (!err)
        err = bn_up_config_settle (self->config, detail);
    if (!err)
        err = s_start (self, detail);
    if (err)
        return bn_failure ("up", err, "%s", detail);
    err = bn_up_watch_new (&self->watch, config->connect);
    if (err)
        return bn_failure ("up", err, "%s", baton_err_text (err));
    bn_log (BN_LOG_INFO, "endpoint %s, data in %s, pid %d", config->connect, config->data_dir,
            (int)getpid ());
    return bn_supervisor_run (self->supervisor) ? BN_EXIT_FAILED : BN_EXIT_OK;
}

int bn_up_run (const char *path, bn_up_config_t *config, const char *log)
{
    s_up_t self = {.path = path,
                   .config = config,
                   .output = {.colour = isatty (STDOUT_FILENO) && !getenv ("NO_COLOR"),
                              .as_json = log && strcmp (log, "json") == 0,
                              .name_width = strlen ("orchestrator.1")},
                   .terminal = s_terminal_is_there ()};
    bn_supervisor_options_t options = {.line = s_line,
                                       .ended = s_ended,
                                       .reload = s_reload,
                                       .arg = &self,
                                       .instance_variable = "BATON_INSTANCE",
                                       .incarnation_variable = "BATON_INCARNATION"};

    if (log)
        setenv ("BATON_LOG", log, 1); /* for the children too */
    signal (SIGPIPE, SIG_IGN);
    s_raise_descriptors ();
    for (size_t i = 0; i < config->actor_count; i++) {
        size_t width = strlen (config->actors[i].name) + 2;
        self.output.name_width = width > self.output.name_width ? width : self.output.name_width;
    }
    baton_err_t err = bn_supervisor_new (&self.supervisor, &options);
    if (err)
        return bn_failure ("up", err, "%s", baton_err_text (err));
    int code = s_run (&self);
    bn_supervisor_destroy (&self.supervisor);
    bn_up_watch_destroy (&self.watch);
    bn_admin_destroy (&self.admin);
    return code;
}
