/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/processes.h"
#include "shell/clock.h"
#include "supervisor/control.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGAIN_MS  500 /* before a host is started again that has ended by itself */
#define LOG_BYTES (64u << 20)

typedef struct {
    bn_process_t *up; /* owned; NULL: down */
    char name[16];    /* "host1" */
    char *conf;       /* owned; of the first one */
    char *data_dir;   /* owned */
    FILE *log;        /* owned */
    uint64_t logged;  /* bytes */
    uint64_t due_ms;  /* when to start it again; 0: not */
    bool frozen;      /* paused */
    bool killed;      /* by us: its end is no surprise */
    bool asked;       /* to stop */
} s_node_t;

struct bn_lab_processes {
    const bn_lab_plan_t *plan;
    bn_lab_hosts_t *hosts;
    s_node_t nodes[BN_LAB_HOSTS_MAX];
    uint32_t count;
    char program[PATH_MAX];
    char endpoint[64];
    bool loud;
    bool stopping;
    uint32_t unexpected;
    char unexpected_text[512];
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

/*  ---- each host's file ---- */

static void s_copy (zconfig_t *from, zconfig_t *to)
{
    for (zconfig_t *item = zconfig_child (from); item; item = zconfig_next (item)) {
        zconfig_t *copy = zconfig_new (zconfig_name (item), to);
        if (copy && zconfig_value (item))
            zconfig_set_value (copy, "%s", zconfig_value (item));
        if (copy)
            s_copy (item, copy);
    }
}

static bool s_put_service (const bn_lab_processes_t *self, const bn_lab_service_t *service,
                           zconfig_t *actors)
{
    zconfig_t *section = zconfig_new (service->name, actors);
    for (zconfig_t *item = zconfig_child (service->section); item && section;
         item = zconfig_next (item)) {
        const char *property = zconfig_name (item);
        if (service->spread && !strcmp (property, "instances"))
            continue;
        zconfig_t *copy = zconfig_new (property, section);
        if (copy && zconfig_value (item))
            zconfig_set_value (copy, "%s", zconfig_value (item));
        if (copy)
            s_copy (item, copy);
    }
    zconfig_t *hosts = section && service->spread ? zconfig_new ("hosts", section) : NULL;
    for (uint32_t host = 0; hosts && host < self->count; host++) {
        char count[16];
        snprintf (count, sizeof count, "%" PRIu32, service->counts[host]);
        if (service->counts[host])
            zconfig_put (hosts, self->plan->hosts[host], count);
    }
    return section != NULL && (hosts || !service->spread);
}

/*  Retention is left out: the judge wants to see everything.  */
static void s_put_orchestrator (const bn_lab_processes_t *self, zconfig_t *root,
                                const char *data_dir)
{
    zconfig_t *section = zconfig_new ("orchestrator", root);
    for (zconfig_t *item = section ? zconfig_child (self->plan->orchestrator) : NULL; item;
         item = zconfig_next (item)) {
        const char *name = zconfig_name (item);
        if (strncmp (name, "retention_", 10) && strcmp (name, "fanout_endpoint"))
            zconfig_put (section, name, zconfig_value (item));
    }
    if (section) {
        zconfig_put (section, "data_dir", data_dir);
        zconfig_put (section, "endpoint", self->endpoint);
    }
}

static bool s_write_conf (const bn_lab_processes_t *self, const char *conf)
{
    char nodes[64];
    zconfig_t *root = zconfig_new ("root", NULL);
    if (!root)
        return false;
    for (zconfig_t *item = zconfig_child (self->plan->top); item; item = zconfig_next (item)) {
        zconfig_t *copy =
            strcmp (zconfig_name (item), "nodes") ? zconfig_new (zconfig_name (item), root) : NULL;
        if (copy && zconfig_value (item))
            zconfig_set_value (copy, "%s", zconfig_value (item));
    }
    snprintf (nodes, sizeof nodes, "tcp://%s:" BN_LAB_NODES_PORT,
              bn_lab_hosts_address (self->hosts, 0));
    if (self->count > 1)
        zconfig_put (root, "nodes", nodes);
    s_put_orchestrator (self, root, self->nodes[0].data_dir);
    zconfig_t *actors = zconfig_new ("actors", root);
    bool fine = actors != NULL;
    for (size_t i = 0; i < self->plan->service_count && fine; i++)
        fine = s_put_service (self, &self->plan->services[i], actors);
    fine = fine && zconfig_save (root, conf) == 0;
    zconfig_destroy (&root);
    return fine;
}

static baton_err_t s_make_node (bn_lab_processes_t *self, uint32_t host,
                                const bn_lab_processes_options_t *options, char detail[512])
{
    s_node_t *node = &self->nodes[host];
    char *log = NULL;
    snprintf (node->name, sizeof node->name, "host%" PRIu32, host + 1);
    if (asprintf (&node->conf, "%s/up.conf", options->directory) < 0)
        node->conf = NULL;
    if (asprintf (&log, "%s/%s.log", options->directory, node->name) < 0)
        log = NULL;
    if (host == 0)
        node->data_dir = strdup (options->data_dir);
    else if (asprintf (&node->data_dir, "%s/%s", options->directory, node->name) < 0)
        node->data_dir = NULL;
    baton_err_t err = node->conf && log && node->data_dir ? BATON_OK : BATON_ERR_MEMORY;
    snprintf (detail, 512, "%s", baton_err_text (BATON_ERR_MEMORY));
    if (!err) {
        node->log = fopen (log, "ae");
        if (!node->log || (host == 0 && !s_write_conf (self, node->conf))) {
            snprintf (detail, 512, "%s: %s", node->log ? node->conf : log, strerror (errno));
            err = BATON_ERR_SYSTEM;
        }
    }
    free (log);
    return err;
}

baton_err_t bn_lab_processes_new (bn_lab_processes_t **processes,
                                  const bn_lab_processes_options_t *options, char detail[512])
{
    bn_lab_processes_t *self = calloc (1, sizeof *self);
    baton_err_t err = self ? BATON_OK : BATON_ERR_MEMORY;
    *processes = NULL;
    if (!self)
        return err;
    self->plan = options->plan;
    self->hosts = options->hosts;
    self->count = bn_lab_hosts_count (options->hosts);
    self->loud = options->loud;
    snprintf (self->program, sizeof self->program, "%s", options->program);
    snprintf (self->endpoint, sizeof self->endpoint, "tcp://%s:" BN_LAB_PORT,
              bn_lab_hosts_address (options->hosts, 0));
    for (uint32_t host = 0; host < self->count && !err; host++)
        err = s_make_node (self, host, options, detail);
    if (err)
        bn_lab_processes_destroy (&self);
    *processes = self;
    return err;
}

void bn_lab_processes_destroy (bn_lab_processes_t **self_p)
{
    bn_lab_processes_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (uint32_t host = self->count; host-- > 0;) {
        s_node_t *node = &self->nodes[host];
        bn_process_destroy (&node->up);
        if (node->log)
            fclose (node->log);
        free (node->conf);
        free (node->data_dir);
    }
    free (self);
}

const char *bn_lab_processes_endpoint (const bn_lab_processes_t *self)
{
    return self->endpoint;
}

/*  ---- running them ---- */

static baton_err_t s_start (bn_lab_processes_t *self, uint32_t host, char detail[512])
{
    s_node_t *node = &self->nodes[host];
    char join[64];
    const char *up[] = {self->program, "up", node->conf, NULL};
    const char *joins[] = {self->program,           "node",       "--join",       join, "--name",
                           self->plan->hosts[host], "--data-dir", node->data_dir, NULL};
    bn_process_options_t options = {.argv = host ? joins : up, .capture = BN_CAPTURE_BOTH};
    snprintf (join, sizeof join, "tcp://%s:" BN_LAB_NODES_PORT,
              bn_lab_hosts_address (self->hosts, 0));
    node->due_ms = 0;
    node->frozen = node->killed = node->asked = false;
    baton_err_t err = bn_lab_hosts_enter (self->hosts, host);
    if (err)
        snprintf (detail, 512, "%s: its namespace: %s", node->name, strerror (errno));
    else
        err = bn_process_start (&node->up, &options, detail, 512);
    bn_lab_hosts_leave (self->hosts);
    return err;
}

baton_err_t bn_lab_processes_start (bn_lab_processes_t *self, char detail[512])
{
    baton_err_t err = BATON_OK;
    for (uint32_t host = 0; host < self->count && !err; host++)
        err = s_start (self, host, detail);
    return err;
}

void bn_lab_processes_poll_prepare (const bn_lab_processes_t *self, struct pollfd *fds)
{
    for (uint32_t host = 0; host < BN_LAB_HOSTS_MAX; host++) {
        struct pollfd *at = fds + (size_t)host * BN_PROCESS_POLL_FDS;
        if (host < self->count && self->nodes[host].up)
            bn_process_poll_prepare (self->nodes[host].up, at);
        else
            for (size_t i = 0; i < BN_PROCESS_POLL_FDS; i++)
                at[i] = (struct pollfd){.fd = -1};
    }
}

typedef struct {
    bn_lab_processes_t *self;
    s_node_t *node;
} s_line_t;

static void s_line (const char *line, size_t size, void *arg)
{
    s_line_t *it = arg;
    if (it->node->log && it->node->logged < LOG_BYTES) {
        it->node->logged += size + 1;
        fprintf (it->node->log, "%s\n", line);
        fflush (it->node->log);
    }
    if (it->self->loud) {
        printf ("%s %s\n", it->node->name, line);
        fflush (stdout);
    }
}

static void s_ended (bn_lab_processes_t *self, s_node_t *node, int status)
{
    bool clean = WIFEXITED (status) && WEXITSTATUS (status) == 0;
    if (!node->killed && !(node->asked && clean)) {
        char how[64];
        bn_process_describe (status, how, sizeof how);
        if (!self->unexpected++)
            snprintf (self->unexpected_text, sizeof self->unexpected_text,
                      "baton %s on %s ended by itself: %s", node == self->nodes ? "up" : "node",
                      node->name, how);
    }
    bn_process_destroy (&node->up);
    if (!node->asked && !node->due_ms)
        node->due_ms = s_now_ms () + AGAIN_MS;
}

void bn_lab_processes_poll (bn_lab_processes_t *self, const struct pollfd *fds)
{
    uint64_t now_ms = s_now_ms ();
    char detail[512];
    bool others = false;
    for (uint32_t host = 0; host < self->count; host++) {
        s_node_t *node = &self->nodes[host];
        const struct pollfd *at = fds + (size_t)host * BN_PROCESS_POLL_FDS;
        int status;
        if (node->up && (at[0].fd >= 0 || at[1].fd >= 0)) {
            s_line_t line = {self, node};
            bn_process_poll (node->up, at, s_line, &line);
            if (bn_process_ended (node->up, &status))
                s_ended (self, node, status);
        } else if (!node->up && node->due_ms && now_ms >= node->due_ms && !self->stopping &&
                   s_start (self, host, detail))
            node->due_ms = now_ms + AGAIN_MS;
        others = others || (host && node->up);
    }
    s_node_t *first = &self->nodes[0];
    if (self->stopping && !others && first->up && !first->asked) {
        first->asked = true;
        bn_process_signal (first->up, SIGTERM);
    }
}

void bn_lab_processes_stop (bn_lab_processes_t *self)
{
    self->stopping = true;
    for (uint32_t host = 1; host < self->count; host++)
        if (self->nodes[host].up && !self->nodes[host].asked) {
            self->nodes[host].asked = true;
            bn_process_signal (self->nodes[host].up, SIGTERM);
        }
}

bool bn_lab_processes_stopped (const bn_lab_processes_t *self)
{
    for (uint32_t host = 0; host < self->count; host++)
        if (self->nodes[host].up)
            return false;
    return true;
}

const char *bn_lab_processes_unexpected (const bn_lab_processes_t *self, uint32_t *count)
{
    *count = self->unexpected;
    return self->unexpected_text;
}

/*  ---- who is who ---- */

bool bn_lab_processes_host (const bn_lab_processes_t *self, const char *name, uint32_t *host)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (!strcmp (self->nodes[i].name, name) || !strcmp (self->plan->hosts[i], name)) {
            *host = i;
            return true;
        }
    return false;
}

/*  What `baton up` on a host answers; NULL: it does not.  */
static json_t *s_ask (const s_node_t *node, const char *request)
{
    char *text;
    if (!node->up || node->frozen || bn_control_ask (node->data_dir, request, &text))
        return NULL;
    json_t *answer = json_loads (text, 0, NULL);
    free (text);
    return answer;
}

/*  The parent of a process; 0: it is gone.  */
static pid_t s_parent_of (pid_t pid)
{
    char path[64], text[512];
    snprintf (path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read (fd, text, sizeof text - 1);
    close (fd);
    text[size > 0 ? size : 0] = 0;
    const char *after = strrchr (text, ')'); /* of the name, which may hold anything */
    int parent = 0;
    return after && sscanf (after + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

typedef struct {
    bn_lab_victim_t *victims;
    size_t max;
    size_t count;
} s_found_t;

/*  `baton up` knows of the instances on all hosts: those of this one are its children. A node does
 *  not say its name behind that of an instance.  */
static void s_add_instances (const bn_lab_processes_t *self, s_found_t *found, uint32_t host,
                             json_t *service, const char *only)
{
    pid_t parent = bn_process_pid (self->nodes[host].up);
    size_t i;
    json_t *instance;
    json_array_foreach (json_object_get (service, "instances"), i, instance)
    {
        bn_lab_victim_t victim = {.host = host, .parent = parent};
        const char *name = json_string_value (json_object_get (instance, "instance"));
        victim.pid = (pid_t)json_integer_value (json_object_get (instance, "pid"));
        snprintf (victim.name, sizeof victim.name, "%.64s%s%s", name ? name : "", host ? "." : "",
                  host ? self->plan->hosts[host] : "");
        if (name && victim.pid > 0 && (!only || !strcmp (only, victim.name)) &&
            found->count < found->max && s_parent_of (victim.pid) == parent)
            found->victims[found->count++] = victim;
    }
}

size_t bn_lab_processes_find (bn_lab_processes_t *self, const char *name, bn_lab_victim_t *victims,
                              size_t max)
{
    s_found_t found = {.victims = victims, .max = max};
    uint32_t only = self->count;
    bool is_host = bn_lab_processes_host (self, name, &only);
    for (uint32_t host = 0; host < self->count; host++) {
        s_node_t *node = &self->nodes[host];
        size_t i;
        json_t *service;
        if (!node->up || (is_host && host != only))
            continue;
        if (is_host && found.count < max) {
            bn_lab_victim_t *victim = &victims[found.count++];
            *victim = (bn_lab_victim_t){
                .host = host, .pid = bn_process_pid (node->up), .parent = getpid ()};
            snprintf (victim->name, sizeof victim->name, "%s", node->name);
        }
        json_t *answer = s_ask (node, "status");
        json_array_foreach (json_object_get (answer, "services"), i, service)
        {
            const char *is = json_string_value (json_object_get (service, "name"));
            bool all = is_host || (is && !strcmp (is, name));
            s_add_instances (self, &found, host, service, all ? NULL : name);
        }
        json_decref (answer);
    }
    return found.count;
}

bool bn_lab_victim_signal (const bn_lab_victim_t *victim, int number)
{
    return s_parent_of (victim->pid) == victim->parent && kill (-victim->pid, number) == 0;
}

void bn_lab_processes_freeze (bn_lab_processes_t *self, uint32_t host, bool frozen)
{
    self->nodes[host].frozen = frozen;
}

void bn_lab_processes_kill_host (bn_lab_processes_t *self, uint32_t host, uint64_t down_ms)
{
    s_node_t *node = &self->nodes[host];
    node->due_ms = s_now_ms () + down_ms;
    node->killed = true;
    if (node->up)
        bn_process_signal (node->up, SIGKILL);
}

baton_err_t bn_lab_processes_tell (bn_lab_processes_t *self, const char *verb, const char *actor,
                                   const char *rest, char says[256])
{
    char request[BN_CONTROL_REQUEST_BYTES_MAX];
    snprintf (request, sizeof request, "%s %s%s%s", verb, actor, *rest ? " " : "", rest);
    json_t *answer = s_ask (&self->nodes[0], request);
    if (!answer) {
        snprintf (says, 256, "baton up does not answer");
        return BATON_ERR_NOT_FOUND;
    }
    bool fine = json_is_true (json_object_get (answer, "ok"));
    const char *why = json_string_value (json_object_get (answer, "text"));
    if (fine)
        snprintf (says, 256, "%.250s", request);
    else
        snprintf (says, 256, "%s: %.150s", actor, why ? why : "the answer cannot be read");
    json_decref (answer);
    return fine ? BATON_OK : BATON_ERR_CONFLICT;
}

bool bn_lab_processes_rolling (bn_lab_processes_t *self, const char *actor)
{
    bool rolling = false;
    json_t *answer = s_ask (&self->nodes[0], "status"), *service;
    size_t i;
    json_array_foreach (json_object_get (answer, "services"), i, service)
    {
        const char *is = json_string_value (json_object_get (service, "name"));
        rolling = rolling || (is && !strcmp (is, actor) &&
                              json_is_true (json_object_get (service, "rolling")));
    }
    json_decref (answer);
    return rolling;
}
