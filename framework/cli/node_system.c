/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/node_system.h"
#include "base/hash.h"
#include "cli/node_link.h"
#include "cli/options.h"
#include "cli/prepare.h"
#include "cli/up_config.h"
#include "cli/up_output.h"
#include "cli/up_watch.h"
#include "client/link.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "shell/notify.h"
#include "supervisor/supervisor.h"
#include <baton/version.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REPORT_MS         1000 /* between two reports of the same */
#define CHANGE_MS         50   /* between two looks whether something has changed */
#define SILENCE_MS        5000 /* of `up`, before it is said, and the connection made anew */
#define TURN_MESSAGES_MAX 16
#define TEXT_BYTES_MAX    128

/*  What was told of a service beyond its definition.  */
typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    uint64_t rounds, revivals;
} s_told_t;

/*  A report, and the texts in it.  */
typedef struct {
    bn_node_message_t message;
    bn_node_service_t services[BN_SUPERVISOR_SERVICES_MAX];
    bn_node_instance_t instances[BN_SUPERVISOR_INSTANCES_MAX];
    char names[BN_SUPERVISOR_SERVICES_MAX][BATON_NAME_BYTES_MAX + 1];
    char statuses[BN_SUPERVISOR_INSTANCES_MAX][TEXT_BYTES_MAX];
    char reasons[BN_SUPERVISOR_INSTANCES_MAX][TEXT_BYTES_MAX];
} s_report_t;

typedef struct {
    const bn_node_options_t *options;
    bn_supervisor_t *supervisor; /* owned */
    bn_node_link_t *link;        /* owned */
    bn_up_watch_t *watch;        /* owned; NULL: it is not known where the orchestrator is */
    bn_logbook_t *logbook;       /* owned; NULL: none */
    bn_up_output_t output;
    bn_notify_t notify; /* who started us */
    char suffix[BN_NODE_HOST_BYTES_MAX + 2];
    int wake_fd;  /* owned eventfd, of the watch */
    int epoll_fd; /* owned: that, and the link's */
    uint64_t incarnation;
    uint64_t up_incarnation;                  /* of who told us last */
    uint64_t revision;                        /* of what runs */
    char endpoint[BN_ENDPOINT_BYTES_MAX + 1]; /* of the orchestrator */
    char trouble[BN_NODE_NOTE_BYTES_MAX + 1]; /* why what was told does not run; "" */
    char refused[BN_NODE_NOTE_BYTES_MAX + 1]; /* why we may not join; "" */
    s_told_t told[BN_SUPERVISOR_SERVICES_MAX];
    size_t told_count;
    s_report_t *report;  /* owned */
    uint64_t digest;     /* of the last one sent, without the ages */
    uint64_t report_ms;  /* when the next one is due */
    uint64_t change_ms;  /* when to look for changes again */
    uint64_t heard_ms;   /* of `up`, monotonic */
    uint64_t renewed_ms; /* the connection */
    bool heard;          /* it is there */
} s_node_t;

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

/*  ---- what is to run ---- */

/*  The services of a part, with texts that end in NUL.  */
typedef struct {
    bn_service_options_t list[BN_NODE_TASKS_MAX];
    const char *argv[BN_NODE_TASKS_MAX][BN_NODE_WORDS_MAX + 1];
    const char *environment[BN_NODE_TASKS_MAX][BN_NODE_VARIABLES_MAX + 2];
    char connect[BN_ENDPOINT_BYTES_MAX + 32];
    char *texts; /* owned */
    char *next;
} s_services_t;

static size_t s_words_size (const bn_node_word_t *words, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += words[i].text.size + 1;
    return size;
}

static const char *s_copy (s_services_t *self, const bn_text_t *text)
{
    char *copy = self->next;
    if (text->size)
        memcpy (copy, text->text, text->size);
    copy[text->size] = 0;
    self->next += text->size + 1;
    return copy;
}

/*  The environment of the i-th service; what one of the variables says to us stays here.  */
static bn_restart_order_t s_variables (s_services_t *self, size_t i, const bn_node_task_t *task)
{
    bn_restart_order_t order = BN_RESTART_STOP_FIRST;
    size_t count = 0;
    self->environment[i][count++] = self->connect;
    for (uint32_t k = 0; k < task->variable_count; k++) {
        const char *text = s_copy (self, &task->variables[k].text);
        if (!strcmp (text, BN_UP_START_FIRST))
            order = BN_RESTART_START_FIRST;
        else
            self->environment[i][count++] = text;
    }
    return order;
}

/*  NULL: no memory.  */
static s_services_t *s_services_new (const bn_node_part_t *part, const char *endpoint)
{
    size_t size = 1;
    for (uint32_t i = 0; i < part->task_count; i++) {
        const bn_node_task_t *task = &part->tasks[i];
        size += task->name.size + task->directory.size + 2 +
                s_words_size (task->words, task->word_count) +
                s_words_size (task->variables, task->variable_count);
    }
    s_services_t *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->next = self->texts = malloc (size);
    if (!self->texts) {
        free (self);
        return NULL;
    }
    snprintf (self->connect, sizeof (self->connect), "BATON_CONNECT=%s", endpoint);
    for (uint32_t i = 0; i < part->task_count; i++) {
        const bn_node_task_t *task = &part->tasks[i];
        for (uint32_t k = 0; k < task->word_count; k++)
            self->argv[i][k] = s_copy (self, &task->words[k].text);
        bn_restart_order_t order = s_variables (self, i, task);
        self->list[i] = (bn_service_options_t){
            .name = s_copy (self, &task->name),
            .argv = self->argv[i],
            .environment = self->environment[i],
            .directory = task->directory.size ? s_copy (self, &task->directory) : NULL,
            .instances = task->instances,
            .stop_timeout_ms = task->stop_timeout_ms,
            .restart = (bn_restart_t)task->restart,
            .restart_order = order,
            .backoff_max_ms = task->backoff_max_ms,
            .intensity = task->intensity,
            .intensity_period_ms = task->intensity_period_ms,
            .watchdog_ms = task->watchdog_ms};
    }
    return self;
}

static void s_services_destroy (s_services_t **self_p)
{
    if (*self_p)
        free ((*self_p)->texts);
    free (*self_p);
    *self_p = NULL;
}

static const s_told_t *s_find_told (const s_node_t *self, const char *name)
{
    for (size_t i = 0; i < self->told_count; i++)
        if (!strcmp (self->told[i].name, name))
            return &self->told[i];
    return NULL;
}

/*  What was asked for since the last part: to replace all, to start again what is parked. Another
 *  `up` has begun to count anew, and has asked for nothing yet.  */
static void s_do_told (s_node_t *self, const bn_node_part_t *part, const s_services_t *services)
{
    bool same = part->incarnation == self->up_incarnation;
    s_told_t told[BN_SUPERVISOR_SERVICES_MAX];
    for (uint32_t i = 0; i < part->task_count; i++) {
        const char *name = services->list[i].name;
        const s_told_t *known = same ? s_find_told (self, name) : NULL;
        if (known && known->rounds != part->tasks[i].rounds)
            bn_supervisor_restart (self->supervisor, name);
        else if (known && known->revivals != part->tasks[i].revivals)
            bn_supervisor_scale (self->supervisor, name, part->tasks[i].instances);
        told[i] = (s_told_t){.rounds = part->tasks[i].rounds, .revivals = part->tasks[i].revivals};
        snprintf (told[i].name, sizeof (told[i].name), "%s", name);
    }
    memcpy (self->told, told, part->task_count * sizeof (told[0]));
    self->told_count = part->task_count;
    self->up_incarnation = part->incarnation;
}

_Static_assert(BN_NODE_TASKS_MAX <= BN_SUPERVISOR_SERVICES_MAX, "a part fits into a supervisor");

/*  Where the orchestrator is, as seen from here; the thread that talks to it is made anew.  */
static void s_follow_orchestrator (s_node_t *self, const bn_text_t *told)
{
    char text[BN_ENDPOINT_BYTES_MAX + 1], endpoint[BN_ENDPOINT_BYTES_MAX + 1];
    snprintf (text, sizeof (text), "%.*s", (int)told->size, told->text);
    bn_link_fanout_endpoint (text, self->options->join, endpoint);
    if (self->watch && !strcmp (endpoint, self->endpoint))
        return;
    bn_up_watch_destroy (&self->watch);
    snprintf (self->endpoint, sizeof (self->endpoint), "%s", endpoint);
    baton_err_t err = bn_up_watch_new (&self->watch, endpoint, self->wake_fd);
    bn_log (err ? BN_LOG_WARNING : BN_LOG_INFO, "the orchestrator is at %s%s%s", endpoint,
            err ? "; ends of processes are not told there: " : "", err ? baton_err_text (err) : "");
}

static void s_set_trouble (s_node_t *self, const char *text)
{
    if (*text && strcmp (self->trouble, text))
        bn_log (BN_LOG_ERROR, "%s", text);
    snprintf (self->trouble, sizeof (self->trouble), "%s", text);
}

/*  If it cannot be done, the part is not taken for done either, and comes again with the answer to
 *  the next report.  */
static void s_take_part (s_node_t *self, const bn_node_part_t *part)
{
    bn_supervisor_changes_t changes;
    char text[BN_NODE_NOTE_BYTES_MAX + 1];
    if (bn_supervisor_stopping (self->supervisor))
        return;
    s_follow_orchestrator (self, &part->endpoint);
    s_services_t *services = s_services_new (part, self->endpoint);
    baton_err_t err = services ? bn_supervisor_apply (self->supervisor, services->list,
                                                      part->task_count, &changes)
                               : BATON_ERR_MEMORY;
    if (err) {
        snprintf (text, sizeof (text), "what is to run here cannot be set up: %s%s",
                  baton_err_text (err),
                  err == BATON_ERR_LIMIT ? ", with those that are still stopping" : "");
        s_set_trouble (self, text);
    } else {
        s_do_told (self, part, services);
        s_set_trouble (self, "");
        self->revision = part->revision;
        if (changes.added + changes.removed + changes.replaced + changes.scaled)
            bn_log (BN_LOG_INFO,
                    "%" PRIu32 " added, %" PRIu32 " removed, %" PRIu32 " replaced, %" PRIu32
                    " scaled, %" PRIu32 " unchanged",
                    changes.added, changes.removed, changes.replaced, changes.scaled,
                    changes.unchanged);
        if (!part->task_count)
            bn_log (BN_LOG_WARNING,
                    "the file of `baton up` has nothing for a host of the name %s: nothing runs "
                    "here",
                    self->options->host);
    }
    self->change_ms = 0;
    s_services_destroy (&services);
}

/*  ---- how it is ---- */

static uint32_t s_state (const char *text)
{
    static const char *const states[BN_NODE_STATES] = {"waiting", "running", "stopping", "parked",
                                                       "done"};
    uint32_t state = 0;
    while (state + 1 < BN_NODE_STATES && strcmp (states[state], text))
        state++;
    return state;
}

static bn_text_t s_keep (char *place, size_t size, const char *text)
{
    snprintf (place, size, "%s", text);
    return (bn_text_t){place, strlen (place)};
}

static void s_fill_instance (s_report_t *self, size_t at, const bn_instance_info_t *info,
                             uint64_t now_age_ms)
{
    self->instances[at] =
        (bn_node_instance_t){.slot = info->slot,
                             .incarnation = info->incarnation,
                             .pid = (uint32_t)info->pid,
                             .state = s_state (info->state),
                             .ready = info->ready,
                             .current = info->current,
                             .restarts = info->restarts,
                             .age_ms = now_age_ms,
                             .status = s_keep (self->statuses[at], TEXT_BYTES_MAX, info->status),
                             .reason = s_keep (self->reasons[at], TEXT_BYTES_MAX, info->reason)};
}

/*  ages false: 0 in their place, so that only what has changed makes a difference.  */
static void s_fill (s_node_t *self, bool ages)
{
    s_report_t *report = self->report;
    const char *host = self->options->host;
    size_t count = bn_supervisor_services (self->supervisor), used = 0;
    for (size_t i = 0; i < count; i++) {
        bn_instance_info_t info;
        uint32_t wanted;
        const char *name = bn_supervisor_service (self->supervisor, i, &wanted);
        bn_node_service_t *service = &report->services[i];
        *service =
            (bn_node_service_t){.name = s_keep (report->names[i], sizeof (report->names[i]), name),
                                .wanted = wanted,
                                .rolling = bn_supervisor_rolling (self->supervisor, i),
                                .instances = &report->instances[used]};
        while (used < BN_SUPERVISOR_INSTANCES_MAX &&
               bn_supervisor_instance (self->supervisor, i, service->instance_count, &info)) {
            s_fill_instance (report, used++, &info, ages ? info.age_ms : 0);
            service->instance_count++;
        }
    }
    report->message =
        (bn_node_message_t){.type = BN_NODE_REPORT,
                            .report = {.host = {host, strlen (host)},
                                       .incarnation = self->incarnation,
                                       .version = {BATON_VERSION_TEXT, strlen (BATON_VERSION_TEXT)},
                                       .revision = self->revision,
                                       .trouble = {self->trouble, strlen (self->trouble)},
                                       .services = report->services,
                                       .service_count = (uint32_t)count}};
}

/*  Sends a report, if one is due or something has changed. Returns when to come again.  */
static uint64_t s_report (s_node_t *self, uint64_t now_ms)
{
    if (now_ms < self->change_ms)
        return self->change_ms;
    self->change_ms = now_ms + CHANGE_MS;
    s_fill (self, false);
    bn_blob_t *bytes = bn_node_message_encode (&self->report->message);
    uint64_t digest = bytes ? bn_hash (bytes->data, bytes->size) : 0;
    bn_blob_unref (&bytes);
    if (digest != self->digest || now_ms >= self->report_ms) {
        s_fill (self, true);
        bool sent = bn_node_link_send (self->link, &self->report->message);
        self->digest = sent ? digest : 0;
        self->report_ms = now_ms + (sent ? REPORT_MS : CHANGE_MS * 4);
    }
    return self->report_ms;
}

/*  ---- the other side ---- */

static void s_watch_link (s_node_t *self)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = bn_node_link_fd (self->link);
    if (fd >= 0 && epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        bn_log (BN_LOG_WARNING, "epoll: %m"); /* the next report will look */
}

static void s_hear (s_node_t *self, uint64_t now_ms)
{
    self->heard_ms = now_ms;
    self->refused[0] = 0;
    if (!self->heard)
        bn_log (BN_LOG_INFO, "joined %s as %s", self->options->join, self->options->host);
    if (!self->heard)
        bn_notify_ready (&self->notify);
    self->heard = true;
}

static void s_take (s_node_t *self, const bn_node_message_t *message, uint64_t now_ms)
{
    char why[BN_NODE_NOTE_BYTES_MAX + 1];
    switch (message->type) {
    case BN_NODE_PART:
        s_hear (self, now_ms);
        s_take_part (self, &message->part);
        break;
    case BN_NODE_HEARD:
        s_hear (self, now_ms);
        break;
    case BN_NODE_REFUSED:
        snprintf (why, sizeof (why), "%.*s", (int)message->refused.why.size,
                  message->refused.why.text);
        if (strcmp (why, self->refused))
            bn_log (BN_LOG_ERROR, "%s refuses this node: %s; still trying", self->options->join,
                    why);
        snprintf (self->refused, sizeof (self->refused), "%s", why);
        self->renewed_ms = now_ms; /* somebody is there */
        break;
    default:
        bn_log (BN_LOG_WARNING, "%s is no `baton up`: it sends what only nodes have to say",
                self->options->join);
    }
}

/*  Returns when to come again.  */
static uint64_t s_listen (s_node_t *self, uint64_t now_ms)
{
    bn_node_message_t message;
    char what[256];
    for (int i = 0; i < TURN_MESSAGES_MAX; i++) {
        if (!bn_node_link_receive (self->link, &message, what))
            break;
        if (*what)
            bn_log (BN_LOG_WARNING, "%s sends what cannot be read: %s", self->options->join, what);
        else
            s_take (self, &message, now_ms);
        bn_node_message_fini (&message);
        if (i + 1 == TURN_MESSAGES_MAX)
            return now_ms;
    }
    uint64_t since_ms = self->heard_ms > self->renewed_ms ? self->heard_ms : self->renewed_ms;
    if (now_ms - since_ms < SILENCE_MS)
        return since_ms + SILENCE_MS;
    if (self->heard || !self->heard_ms)
        bn_log (BN_LOG_WARNING, "no `baton up` answers at %s; what runs here goes on; still trying",
                self->options->join);
    self->heard_ms = self->heard_ms ? self->heard_ms : now_ms;
    self->heard = false;
    self->renewed_ms = now_ms;
    bn_node_link_renew (self->link);
    s_watch_link (self);
    return now_ms + SILENCE_MS;
}

/*  ---- callbacks of the supervisor ---- */

static void s_line (const char *service, uint32_t slot, const char *line, size_t size, void *arg)
{
    s_node_t *self = arg;
    bn_up_output_line (&self->output, service, slot, line, size);
}

static void s_ended (const bn_supervisor_end_t *end, void *arg)
{
    const s_node_t *self = arg;
    char instance[BATON_NAME_BYTES_MAX + 32];
    if (end->clean || !self->watch)
        return;
    snprintf (instance, sizeof (instance), "%s-%" PRIu32 "%s", end->service, end->slot,
              self->suffix);
    bn_up_watch_gone (self->watch, instance, end->incarnation);
}

static uint64_t s_turn (bn_supervisor_t *supervisor, uint64_t now_ms, void *arg)
{
    s_node_t *self = arg;
    uint64_t count;
    if (read (self->wake_fd, &count, sizeof (count)) < 0 && errno != EAGAIN)
        bn_log (BN_LOG_WARNING, "eventfd: %m");
    if (self->logbook)
        bn_logbook_turn (self->logbook);
    if (bn_supervisor_stopping (supervisor))
        bn_notify_stopping (&self->notify);
    uint64_t next_ms = s_listen (self, now_ms);
    uint64_t report_ms = s_report (self, now_ms);
    bn_notify_status (&self->notify, now_ms, "%s %s as %s, %zu actors here",
                      self->heard ? "joined" : "waits for", self->options->join,
                      self->options->host, bn_supervisor_services (supervisor));
    bn_notify_alive (&self->notify, now_ms);
    uint64_t due_ms = bn_notify_due_ms (&self->notify);
    next_ms = report_ms < next_ms ? report_ms : next_ms;
    return due_ms < next_ms ? due_ms : next_ms;
}

/*  A hang-up: there is no file to read anew.  */
static baton_err_t s_hang_up (bn_supervisor_t *supervisor, char *detail, size_t detail_size,
                              void *arg)
{
    (void)arg;
    snprintf (detail, detail_size, "stopping");
    bn_log (BN_LOG_INFO, "SIGHUP; stopping");
    bn_supervisor_stop (supervisor);
    return BATON_OK;
}

/*  What runs here is for `up` to say.  */
static bool s_answer (bn_supervisor_t *supervisor, const char *request, bn_buffer_t *reply,
                      void *arg)
{
    static const char refusal[] = "{\"ok\":false,\"error\":\"CONFLICT\",\"text\":\"this is a node: "
                                  "ask the `baton up` that it has joined\"}";
    (void)supervisor;
    (void)arg;
    if (!strcmp (request, "status") || !strcmp (request, "stop"))
        return false;
    bn_buffer_append (reply, refusal, strlen (refusal));
    return true;
}

/*  ---- the whole ---- */

static void s_open_logbook (s_node_t *self)
{
    char directory[PATH_MAX];
    if (!self->options->log_bytes_max)
        return;
    snprintf (directory, sizeof (directory), "%.4000s/logs", self->options->data_dir);
    baton_err_t err = bn_logbook_new (&self->logbook, directory, self->options->log_bytes_max);
    if (err)
        bn_log (BN_LOG_WARNING, "what instances print is not kept: %.400s: %s", directory,
                baton_err_text (err));
    self->output.logbook = self->logbook;
}

static void s_farewell (s_node_t *self)
{
    const char *host = self->options->host;
    bn_node_message_t leave = {
        .type = BN_NODE_LEAVE,
        .leave = {.host = {host, strlen (host)}, .incarnation = self->incarnation}};
    bn_node_link_send (self->link, &leave);
}

/*  Everything that needs the supervisor; destroyed by the caller.  */
static int s_run (s_node_t *self)
{
    const bn_node_options_t *options = self->options;
    char detail[512] = "";
    if (!bn_prepare_directory (options->data_dir))
        return bn_failure ("node", BATON_OK, "%s: %s", options->data_dir, strerror (errno));
    baton_err_t err =
        bn_supervisor_listen (self->supervisor, options->data_dir, detail, sizeof (detail));
    if (!err)
        err = bn_node_link_new (&self->link, options->join, detail);
    if (err)
        return bn_failure ("node", err, "%s", *detail ? detail : baton_err_text (err));
    s_open_logbook (self);
    s_watch_link (self);
    self->renewed_ms = s_now_ms ();
    bn_log (BN_LOG_INFO, "runs what %s says, as %s; data in %s, pid %d", options->join,
            options->host, options->data_dir, (int)getpid ());
    err = bn_supervisor_run (self->supervisor);
    s_farewell (self);
    return err ? BN_EXIT_FAILED : BN_EXIT_OK;
}

static bool s_open_descriptors (s_node_t *self)
{
    struct epoll_event event = {.events = EPOLLIN};
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    return self->wake_fd >= 0 && self->epoll_fd >= 0 &&
           epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) == 0;
}

int bn_node_run (const bn_node_options_t *options)
{
    s_node_t self = {.options = options,
                     .output = {.colour = isatty (STDOUT_FILENO) && !getenv ("NO_COLOR"),
                                .as_json = options->log && strcmp (options->log, "json") == 0,
                                .name_width = strlen ("payment-1")},
                     .incarnation = bn_random_u64 (),
                     .report = calloc (1, sizeof (*self.report))};
    const char *why;
    if (!bn_notify_init (&self.notify, &why))
        bn_log (BN_LOG_WARNING, "%s", why);
    if (options->log)
        setenv ("BATON_LOG", options->log, 1); /* for the children too */
    signal (SIGPIPE, SIG_IGN);
    bn_prepare_descriptors ();
    snprintf (self.suffix, sizeof (self.suffix), ".%s", options->host);
    if (!self.report || !s_open_descriptors (&self))
        return bn_failure ("node", BATON_ERR_SYSTEM, "%s", strerror (errno));
    bn_supervisor_options_t supervisor = {.line = s_line,
                                          .ended = s_ended,
                                          .reload = s_hang_up,
                                          .turn = s_turn,
                                          .answer = s_answer,
                                          .wake_fd = self.epoll_fd,
                                          .arg = &self,
                                          .instance_variable = "BATON_INSTANCE",
                                          .instance_suffix = self.suffix,
                                          .incarnation_variable = "BATON_INCARNATION"};
    baton_err_t err = bn_supervisor_new (&self.supervisor, &supervisor);
    int code = err ? bn_failure ("node", err, "%s", baton_err_text (err)) : s_run (&self);
    bn_supervisor_destroy (&self.supervisor);
    bn_up_watch_destroy (&self.watch);
    bn_node_link_destroy (&self.link);
    bn_logbook_destroy (&self.logbook);
    bn_notify_fini (&self.notify);
    close (self.epoll_fd);
    close (self.wake_fd);
    free (self.report);
    return code;
}
