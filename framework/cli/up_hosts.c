/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_hosts.h"
#include "base/hash.h"
#include "cli/options.h"
#include "cli/up_hosts_status.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/placement.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ABSENT_MS       10000 /* for nodes to join, before it is said that they have not */
#define STOP_SLACK_MS   5000  /* for nodes, beyond the stop_timeout of what they run */
#define STOP_TIMEOUT_MS 10000 /* an actor's, by default */

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    bn_up_place_t hosts[BN_UP_PLACES_MAX]; /* as in the file */
    bn_place_t places[BN_UP_PLACES_MAX];   /* the same ones */
    uint64_t rounds[BN_UP_PLACES_MAX];     /* of replacing all instances, that were told */
    bool asked[BN_UP_PLACES_MAX];          /* how many run there already */
    size_t count;
    bool held[BN_UP_PLACES_MAX]; /* it goes on with the definition before, until it is its turn */
    bn_blob_t *old_bytes;        /* owned; a part with that definition; NULL: none is held */
    bn_node_message_t old;       /* borrows from it */
    uint64_t round;              /* that is wanted everywhere */
    uint64_t revivals;           /* of parked ones */
} s_actor_t;

struct bn_up_hosts {
    const bn_up_config_t *config; /* borrowed */
    bn_supervisor_t *supervisor;  /* borrowed */
    bn_up_watch_t *watch;         /* borrowed */
    bn_up_nodes_t *nodes;         /* owned; NULL: none can join */
    uint64_t incarnation;         /* random */
    s_actor_t lists[2][BN_SUPERVISOR_SERVICES_MAX];
    s_actor_t *actors; /* one of these; the other one is for the next file */
    size_t count;
    bool too_long_told;
    uint64_t absent_ms; /* when to say who has not joined; UINT64_MAX: it was said */
    bool stopping;
    uint64_t stop_ms; /* when nodes are not waited for any more */
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

static bool s_is_here (const char *host)
{
    return !strcmp (host, BN_UP_HERE);
}

static s_actor_t *s_find (bn_up_hosts_t *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (!strcmp (self->actors[i].name, name))
            return &self->actors[i];
    return NULL;
}

static bool s_is_local (const s_actor_t *actor)
{
    return actor->count == 1 && s_is_here (actor->hosts[0].host);
}

static bool s_joined (const bn_up_hosts_t *self, const char *host, bn_up_node_t *node)
{
    return self->nodes && bn_up_nodes_find (self->nodes, host, node) &&
           node->state == BN_UP_NODE_JOINED;
}

/*  The index of a service of the supervisor; -1: none.  */
static int s_service (const bn_up_hosts_t *self, const char *name, uint32_t *wanted)
{
    for (size_t i = 0; i < bn_supervisor_services (self->supervisor); i++)
        if (!strcmp (bn_supervisor_service (self->supervisor, i, wanted), name))
            return (int)i;
    return -1;
}

static const bn_node_service_t *s_reported (const bn_node_report_t *report, const char *name)
{
    for (uint32_t i = 0; i < report->service_count; i++)
        if (report->services[i].name.size == strlen (name) &&
            !memcmp (report->services[i].name.text, name, strlen (name)))
            return &report->services[i];
    return NULL;
}

/*  Which hosts are there, and what the supervisor was told by others than us.  */
static void s_refresh_places (bn_up_hosts_t *self, s_actor_t *actor)
{
    for (size_t i = 0; i < actor->count; i++) {
        bn_up_node_t node;
        uint32_t wanted;
        bool here = s_is_here (actor->hosts[i].host);
        actor->places[i].present = here || s_joined (self, actor->hosts[i].host, &node);
        if (here && s_service (self, actor->name, &wanted) >= 0)
            actor->places[i].wanted = wanted;
    }
}

/*  ---- what a node is told ---- */

typedef struct {
    bn_node_task_t tasks[BN_NODE_TASKS_MAX];
    bn_node_word_t words[BN_NODE_TASKS_MAX][BN_UP_ARGUMENTS_MAX];
    bn_node_word_t variables[BN_NODE_TASKS_MAX][BN_UP_ENVIRONMENT_MAX + 1];
} s_tasks_t;

_Static_assert(BN_UP_ARGUMENTS_MAX <= BN_NODE_WORDS_MAX &&
                   BN_UP_ENVIRONMENT_MAX <= BN_NODE_VARIABLES_MAX &&
                   BN_SUPERVISOR_SERVICES_MAX <= BN_NODE_TASKS_MAX,
               "what a file may hold fits into a message");

static uint32_t s_words (bn_node_word_t *words, char *const *texts)
{
    uint32_t count = 0;
    for (; texts[count]; count++)
        words[count].text = (bn_text_t){texts[count], strlen (texts[count])};
    return count;
}

/*  An elastic actor that was at work before we were goes on with as many instances as it has.  */
static void s_adopt (bn_up_hosts_t *self, s_actor_t *actor, size_t place)
{
    bn_up_node_t node;
    bn_place_t *its = &actor->places[place];
    if (actor->asked[place] || !s_joined (self, actor->hosts[place].host, &node))
        return;
    actor->asked[place] = true;
    const bn_node_service_t *service = s_reported (node.report, actor->name);
    if (service && its->max > its->min && service->wanted > its->wanted)
        its->wanted = service->wanted < its->max ? service->wanted : its->max;
}

/*  `words` and `variables` have room for all of them, and for one that says the order.  */
static bn_node_task_t s_define (const bn_up_actor_t *its, uint32_t backoff_max_ms,
                                bn_node_word_t *words, bn_node_word_t *variables)
{
    const char *directory = its->directory ? its->directory : "";
    uint32_t variable_count = s_words (variables, its->environment);
    if (its->restart_order == BN_RESTART_START_FIRST)
        variables[variable_count++].text =
            (bn_text_t){BN_UP_START_FIRST, strlen (BN_UP_START_FIRST)};
    return (bn_node_task_t){.name = {its->name, strlen (its->name)},
                            .words = words,
                            .word_count = s_words (words, its->argv),
                            .variables = variables,
                            .variable_count = variable_count,
                            .directory = {directory, strlen (directory)},
                            .restart = its->restart,
                            .stop_timeout_ms = its->stop_timeout_ms,
                            .backoff_max_ms = backoff_max_ms,
                            .intensity = its->intensity,
                            .intensity_period_ms = its->intensity_period_ms,
                            .watchdog_ms = its->watchdog_ms};
}

static uint32_t s_tasks (bn_up_hosts_t *self, const char *host, s_tasks_t *tasks)
{
    uint32_t count = 0;
    for (size_t i = 0; i < self->count && !self->stopping; i++) {
        s_actor_t *actor = &self->actors[i];
        const bn_up_actor_t *its = &self->config->actors[i];
        for (size_t k = 0; k < actor->count; k++) {
            if (strcmp (actor->hosts[k].host, host))
                continue;
            s_adopt (self, actor, k);
            bn_node_task_t *task = &tasks->tasks[count];
            *task = actor->held[k] ? actor->old.part.tasks[0]
                                   : s_define (its, self->config->backoff_max_ms,
                                               tasks->words[count], tasks->variables[count]);
            task->instances = actor->places[k].wanted;
            task->rounds = actor->rounds[k];
            task->revivals = actor->revivals;
            count++;
        }
    }
    return count;
}

/*  Where the orchestrator listens, as one elsewhere has to see it.  */
static const char *s_endpoint (const bn_up_config_t *config)
{
    return config->orchestrator_set ? zconfig_get (config->section, "endpoint", config->connect)
                                    : config->connect;
}

static bn_blob_t *s_part (const char *host, uint64_t *revision, void *arg)
{
    bn_up_hosts_t *self = arg;
    s_tasks_t *tasks = malloc (sizeof (*tasks));
    if (!tasks)
        return NULL;
    const char *endpoint = s_endpoint (self->config);
    bn_node_message_t message = {.type = BN_NODE_PART,
                                 .part = {.incarnation = self->incarnation,
                                          .endpoint = {endpoint, strlen (endpoint)},
                                          .tasks = tasks->tasks,
                                          .task_count = s_tasks (self, host, tasks)}};
    bn_blob_t *bytes = bn_node_message_encode (&message);
    uint64_t hash = bytes ? bn_hash (bytes->data, bytes->size) : 0;
    bn_blob_unref (&bytes);
    *revision = message.part.revision = hash ? hash : 1;
    bytes = bn_node_message_encode (&message);
    free (tasks);
    if (!bytes && !self->too_long_told)
        bn_log (BN_LOG_ERROR, "what host %s is to run is longer than 1 MiB, and is not told", host);
    self->too_long_told = !bytes;
    return bytes;
}

static void s_gone (const char *instance, uint64_t incarnation, void *arg)
{
    const bn_up_hosts_t *self = arg;
    bn_up_watch_gone (self->watch, instance, incarnation);
}

/*  ---- the file ---- */

static bool s_same_texts (char *const *one, char *const *other)
{
    size_t i = 0;
    while (one[i] && other[i] && !strcmp (one[i], other[i]))
        i++;
    return !one[i] && !other[i];
}

/*  What processes are started from.  */
static bool s_same_definition (const bn_up_actor_t *one, const bn_up_actor_t *other)
{
    return s_same_texts (one->argv, other->argv) &&
           s_same_texts (one->environment, other->environment) &&
           !strcmp (one->directory ? one->directory : "", other->directory ? other->directory : "");
}

static void s_forget_old (s_actor_t *actor)
{
    bn_node_message_fini (&actor->old);
    bn_blob_unref (&actor->old_bytes);
}

/*  Keeps the definition before; without memory for it nobody is held, and all replace at once.  */
static bool s_keep_old (s_actor_t *actor, const bn_up_actor_t *its, uint32_t backoff_max_ms)
{
    bn_node_word_t words[BN_UP_ARGUMENTS_MAX], variables[BN_UP_ENVIRONMENT_MAX + 1];
    bn_node_task_t task = s_define (its, backoff_max_ms, words, variables);
    bn_node_message_t message = {.type = BN_NODE_PART,
                                 .part = {.endpoint = {"", 0}, .tasks = &task, .task_count = 1}};
    actor->old_bytes = bn_node_message_encode (&message);
    bool kept =
        actor->old_bytes && bn_node_message_decode (&actor->old, actor->old_bytes->data,
                                                    actor->old_bytes->size, NULL) == BATON_OK;
    if (!kept)
        s_forget_old (actor);
    return kept;
}

/*  What was said since the file was read stays, where the file says the same as before.  */
static void s_take_over (s_actor_t *actor, s_actor_t *known)
{
    actor->round = known->round;
    actor->revivals = known->revivals;
    actor->old_bytes = known->old_bytes;
    actor->old = known->old;
    known->old_bytes = NULL;
    memset (&known->old, 0, sizeof (known->old));
    for (size_t i = 0; i < actor->count; i++) {
        actor->rounds[i] = known->round;
        for (size_t k = 0; k < known->count; k++) {
            if (strcmp (actor->hosts[i].host, known->hosts[k].host))
                continue;
            actor->rounds[i] = known->rounds[k];
            actor->asked[i] = known->asked[k];
            actor->held[i] = known->held[k];
            if (actor->places[i].min == known->places[k].min)
                actor->places[i].wanted = known->places[k].wanted;
        }
    }
}

/*  Another definition: hosts that have the one before keep it until it is their turn. While some
 *  still have an earlier one, they keep that, and those between are told at once.  */
static void s_hold (s_actor_t *actor, const s_actor_t *known, const bn_up_config_t *config,
                    const bn_up_actor_t *its)
{
    if (actor->old_bytes || !s_keep_old (actor, its, config->backoff_max_ms))
        return;
    for (size_t i = 0; i < actor->count; i++)
        for (size_t k = 0; k < known->count; k++)
            if (!strcmp (actor->hosts[i].host, known->hosts[k].host))
                actor->held[i] = !s_is_here (actor->hosts[i].host);
}

static void s_follow_actor (s_actor_t *actor, const bn_up_actor_t *its)
{
    *actor = (s_actor_t){.count = its->place_count};
    snprintf (actor->name, sizeof (actor->name), "%s", its->name);
    for (size_t k = 0; k < its->place_count; k++) {
        actor->hosts[k] = its->places[k];
        actor->places[k] = (bn_place_t){.min = its->places[k].instances,
                                        .max = its->places[k].instances_max,
                                        .wanted = its->places[k].instances};
    }
}

void bn_up_hosts_follow (bn_up_hosts_t *self, const bn_up_config_t *config,
                         const bn_up_config_t *before)
{
    s_actor_t *known = self->actors;
    size_t known_count = self->count;
    s_actor_t *actors = known == self->lists[0] ? self->lists[1] : self->lists[0];
    for (size_t i = 0; i < config->actor_count; i++) {
        s_actor_t *actor = &actors[i];
        s_follow_actor (actor, &config->actors[i]);
        for (size_t k = 0; k < known_count; k++) {
            if (strcmp (known[k].name, actor->name))
                continue;
            s_take_over (actor, &known[k]);
            if (!s_same_definition (&config->actors[i], &before->actors[k]))
                s_hold (actor, &known[k], before, &before->actors[k]);
        }
    }
    for (size_t k = 0; k < known_count; k++)
        s_forget_old (&known[k]);
    self->config = config;
    self->actors = actors;
    self->count = config->actor_count;
    self->absent_ms = s_now_ms () + ABSENT_MS;
    if (self->nodes)
        bn_up_nodes_refresh (self->nodes);
}

/*  ---- how many ---- */

bool bn_up_hosts_look (bn_up_hosts_t *self, const char *name, uint32_t *wanted, uint32_t *parked)
{
    s_actor_t *actor = s_find (self, name);
    bn_instance_info_t info;
    *parked = 0;
    if (!actor)
        return false;
    s_refresh_places (self, actor);
    *wanted = bn_placement_total (actor->places, actor->count);
    int service = s_service (self, name, NULL);
    for (size_t k = 0;
         service >= 0 && bn_supervisor_instance (self->supervisor, (size_t)service, k, &info); k++)
        *parked += !strcmp (info.state, "parked");
    for (size_t i = 0; self->nodes && i < bn_up_nodes_count (self->nodes); i++) {
        bn_up_node_t node;
        bn_up_nodes_at (self->nodes, i, &node);
        const bn_node_service_t *its =
            node.state == BN_UP_NODE_JOINED ? s_reported (node.report, name) : NULL;
        for (uint32_t k = 0; its && k < its->instance_count; k++)
            *parked += !strcmp (bn_up_hosts_state (its->instances[k].state), "parked");
    }
    return true;
}

/*  Makes the supervisor and the nodes do what the places say; `revive`: also what is parked.
 *  Errors: as of bn_supervisor_scale.  */
static baton_err_t s_carry_out (bn_up_hosts_t *self, s_actor_t *actor, bool revive)
{
    for (size_t i = 0; i < actor->count; i++) {
        uint32_t now = actor->places[i].wanted;
        if (!s_is_here (actor->hosts[i].host) || s_service (self, actor->name, &now) < 0 ||
            (now == actor->places[i].wanted && !revive))
            continue;
        baton_err_t err =
            bn_supervisor_scale (self->supervisor, actor->name, actor->places[i].wanted);
        if (err)
            return err;
    }
    actor->revivals += revive;
    if (self->nodes)
        bn_up_nodes_refresh (self->nodes);
    return BATON_OK;
}

/*  host: only there; NULL: everywhere.  */
static baton_err_t s_scale (bn_up_hosts_t *self, s_actor_t *actor, const char *host,
                            uint32_t instances, bool bounded, uint32_t *reached)
{
    bn_place_t before[BN_UP_PLACES_MAX];
    uint32_t others = 0;
    s_refresh_places (self, actor);
    memcpy (before, actor->places, sizeof (before));
    for (size_t i = 0; i < self->count; i++)
        if (&self->actors[i] != actor) {
            s_refresh_places (self, &self->actors[i]);
            others += bn_placement_total (self->actors[i].places, self->actors[i].count);
        }
    for (size_t i = 0; host && i < actor->count; i++)
        if (!strcmp (actor->hosts[i].host, host))
            actor->places[i].wanted = instances;
    *reached = host ? bn_placement_total (actor->places, actor->count)
                    : bn_placement_scale (actor->places, actor->count, instances, bounded,
                                          BN_SUPERVISOR_INSTANCES_MAX);
    baton_err_t err = bn_supervisor_stopping (self->supervisor)         ? BATON_ERR_CLOSED
                      : others + *reached > BN_SUPERVISOR_INSTANCES_MAX ? BATON_ERR_LIMIT
                      : !host && !bounded && *reached != instances      ? BATON_ERR_UNREACHABLE
                                                                        : BATON_OK;
    if (!err)
        err = s_carry_out (self, actor, !bounded);
    if (err)
        memcpy (actor->places, before, sizeof (before));
    return err;
}

baton_err_t bn_up_hosts_scale (bn_up_hosts_t *self, const char *name, uint32_t instances,
                               uint32_t *reached)
{
    s_actor_t *actor = s_find (self, name);
    *reached = instances;
    if (!actor)
        return BATON_ERR_NOT_FOUND;
    return s_is_local (actor) ? bn_supervisor_scale (self->supervisor, name, instances)
                              : s_scale (self, actor, NULL, instances, true, reached);
}

/*  ---- requests ---- */

static void s_error (bn_buffer_t *reply, baton_err_t err, const char *text)
{
    bn_up_hosts_put (reply, json_pack ("{s:b, s:s, s:s}", "ok", 0, "error", baton_err_name (err),
                                       "text", text ? text : baton_err_text (err)));
}

/*  "scale NAME N", "scale NAME.HOST N".  */
static bool s_answer_scale (bn_up_hosts_t *self, const char *request, bn_buffer_t *reply)
{
    char name[2 * BATON_NAME_BYTES_MAX];
    unsigned wanted;
    uint32_t before, parked, reached;
    int end = 0;
    if (sscanf (request, "scale %127s %9u%n", name, &wanted, &end) != 2 || request[end])
        return false;
    char *host = strchr (name, '.');
    if (host)
        *host++ = 0;
    s_actor_t *actor = s_find (self, name);
    if (!actor || (!host && s_is_local (actor)))
        return false;
    bool there = !host;
    for (size_t i = 0; i < actor->count && !there; i++)
        there = !strcmp (actor->hosts[i].host, host);
    bn_up_hosts_look (self, name, &before, &parked);
    baton_err_t err = !there ? BATON_ERR_NOT_FOUND
                      : wanted > BN_SUPERVISOR_INSTANCES_MAX
                          ? BATON_ERR_LIMIT
                          : s_scale (self, actor, host, wanted, false, &reached);
    if (!err) {
        bn_up_hosts_put (reply, json_pack ("{s:b, s:s, s:i, s:i}", "ok", 1, "service", name,
                                           "before", (int)before, "wanted", (int)reached));
        bn_log (BN_LOG_INFO, "%s scaled from %" PRIu32 " to %" PRIu32, name, before, reached);
    } else
        s_error (reply, err,
                 err == BATON_ERR_NOT_FOUND     ? "the file says nothing of that host"
                 : err == BATON_ERR_LIMIT       ? "at most 256 instances in all"
                 : err == BATON_ERR_UNREACHABLE ? "none of its hosts has joined"
                 : err == BATON_ERR_CLOSED      ? "everything is being stopped"
                                                : NULL);
    return true;
}

static bool s_answer_restart (bn_up_hosts_t *self, const char *name, bn_buffer_t *reply)
{
    uint32_t wanted, parked;
    s_actor_t *actor = s_find (self, name);
    if (!actor || s_is_local (actor))
        return false;
    if (bn_supervisor_stopping (self->supervisor)) {
        s_error (reply, BATON_ERR_CLOSED, "everything is being stopped");
        return true;
    }
    actor->round++;
    bn_up_hosts_look (self, name, &wanted, &parked);
    bn_up_hosts_put (
        reply, json_pack ("{s:b, s:s, s:i}", "ok", 1, "service", name, "instances", (int)wanted));
    bn_log (BN_LOG_INFO, "%s is restarted, host by host", name);
    return true;
}

/*  Its turn to replace all instances is still to come.  */
static bool s_is_pending (const s_actor_t *actor, size_t place)
{
    return actor->held[place] || actor->rounds[place] != actor->round;
}

/*  What there is to say of a service beyond what its hosts report.  */
static void s_describe (bn_up_hosts_t *self, s_actor_t *actor, json_t *services)
{
    static const char *const restarts[] = {"permanent", "transient", "temporary"};
    static const char *const orders[] = {"stop-first", "start-first"};
    size_t index = (size_t)(actor - self->actors);
    json_t *service = bn_up_hosts_service (services, actor->name);
    s_refresh_places (self, actor);
    json_object_set_new (service, "wanted",
                         json_integer (bn_placement_total (actor->places, actor->count)));
    json_object_set_new (service, "restart",
                         json_string (restarts[self->config->actors[index].restart]));
    json_object_set_new (service, "restart_order",
                         json_string (orders[self->config->actors[index].restart_order]));
    for (size_t i = 0; i < actor->count; i++)
        if (s_is_pending (actor, i))
            bn_up_hosts_outdated (service, actor->hosts[i].host);
}

/*  Hosts that the file names, and nobody has joined as.  */
static void s_describe_absent (bn_up_hosts_t *self, json_t *nodes)
{
    for (size_t i = 0; i < self->count; i++)
        for (size_t k = 0; k < self->actors[i].count; k++) {
            bn_up_node_t node;
            const char *host = self->actors[i].hosts[k].host;
            if (!s_is_here (host) && !bn_up_nodes_find (self->nodes, host, &node))
                bn_up_hosts_absent (nodes, host, self->actors[i].places[k].wanted);
        }
}

static bool s_answer_status (bn_up_hosts_t *self, bn_buffer_t *reply)
{
    bn_buffer_t own;
    if (!self->nodes)
        return false;
    bn_buffer_init (&own, BN_CONTROL_REPLY_BYTES_MAX);
    bn_supervisor_answer_request (self->supervisor, "status", &own);
    json_t *answer =
        own.failed ? NULL : json_loadb ((const char *)bn_buffer_data (&own), own.size, 0, NULL);
    bn_buffer_fini (&own);
    json_t *services = json_object_get (answer, "services"), *nodes = json_array ();
    bn_up_hosts_here (services);
    for (size_t i = 0; i < bn_up_nodes_count (self->nodes); i++) {
        bn_up_node_t node;
        bn_up_nodes_at (self->nodes, i, &node);
        bn_up_hosts_node (services, nodes, &node);
    }
    s_describe_absent (self, nodes);
    for (size_t i = 0; i < self->count; i++)
        s_describe (self, &self->actors[i], services);
    json_object_set_new (answer, "nodes", nodes);
    bn_up_hosts_put (reply, answer);
    return true;
}

bool bn_up_hosts_answer (bn_up_hosts_t *self, const char *request, bn_buffer_t *reply)
{
    if (!strncmp (request, "scale ", 6))
        return s_answer_scale (self, request, reply);
    if (!strncmp (request, "restart ", 8))
        return s_answer_restart (self, request + 8, reply);
    return !strcmp (request, "status") && s_answer_status (self, reply);
}

/*  ---- restart, host by host ---- */

/*  Nothing is being replaced there, or nobody can tell.  */
static bool s_place_is_done (const bn_up_hosts_t *self, const s_actor_t *actor, size_t place)
{
    bn_up_node_t node;
    if (s_is_here (actor->hosts[place].host)) {
        int service = s_service (self, actor->name, NULL);
        return service < 0 || !bn_supervisor_rolling (self->supervisor, (size_t)service);
    }
    if (!s_joined (self, actor->hosts[place].host, &node))
        return true;
    const bn_node_service_t *its = s_reported (node.report, actor->name);
    return node.current && (!its || !its->rolling);
}

static void s_roll (bn_up_hosts_t *self, s_actor_t *actor)
{
    size_t next = actor->count;
    for (size_t i = 0; i < actor->count; i++) {
        if (s_is_pending (actor, i))
            next = next < actor->count ? next : i;
        else if (!s_place_is_done (self, actor, i))
            return;
    }
    if (next == actor->count) {
        s_forget_old (actor); /* nobody is held any more */
        return;
    }
    actor->rounds[next] = actor->round;
    actor->held[next] = false;
    if (s_is_here (actor->hosts[next].host))
        bn_supervisor_restart (self->supervisor, actor->name);
    else
        bn_up_nodes_refresh (self->nodes);
}

/*  Said once after the start, and after each reading of the file.  */
static void s_tell_absent (bn_up_hosts_t *self)
{
    if (s_now_ms () < self->absent_ms)
        return;
    self->absent_ms = UINT64_MAX;
    json_t *nodes = json_array ();
    size_t i;
    json_t *node;
    s_describe_absent (self, nodes);
    json_array_foreach (nodes, i, node)
    {
        bn_log (BN_LOG_WARNING, "nobody has joined as %s yet; %d instances wait for it",
                json_string_value (json_object_get (node, "name")),
                (int)json_integer_value (json_object_get (node, "wanted")));
    }
    json_decref (nodes);
}

uint64_t bn_up_hosts_turn (bn_up_hosts_t *self)
{
    if (!self->nodes)
        return UINT64_MAX;
    uint64_t next_ms = bn_up_nodes_turn (self->nodes);
    s_tell_absent (self);
    next_ms = self->absent_ms < next_ms ? self->absent_ms : next_ms;
    for (size_t i = 0; i < self->count && !self->stopping; i++)
        if (!s_is_local (&self->actors[i]))
            s_roll (self, &self->actors[i]);
    return next_ms;
}

/*  ---- the end ---- */

/*  True: the node runs nothing any more, or is not there to be asked.  */
static bool s_has_stopped (const bn_up_node_t *node)
{
    if (node->state != BN_UP_NODE_JOINED)
        return true;
    bool stopped = node->current;
    for (uint32_t i = 0; i < node->report->service_count; i++)
        stopped = stopped && node->report->services[i].instance_count == 0;
    return stopped;
}

static void s_begin_to_stop (bn_up_hosts_t *self)
{
    uint64_t longest_ms = STOP_TIMEOUT_MS;
    for (size_t i = 0; i < self->config->actor_count; i++)
        if (self->config->actors[i].stop_timeout_ms > longest_ms)
            longest_ms = self->config->actors[i].stop_timeout_ms;
    self->stopping = true;
    self->stop_ms = s_now_ms () + longest_ms + STOP_SLACK_MS;
    bn_up_nodes_refresh (self->nodes);
}

bool bn_up_hosts_may_stop (bn_up_hosts_t *self)
{
    bool stopped = true;
    if (!self->nodes)
        return true;
    if (!self->stopping)
        s_begin_to_stop (self);
    for (size_t i = 0; i < bn_up_nodes_count (self->nodes) && stopped; i++) {
        bn_up_node_t node;
        bn_up_nodes_at (self->nodes, i, &node);
        stopped = s_has_stopped (&node);
        if (!stopped && s_now_ms () >= self->stop_ms) {
            bn_log (BN_LOG_WARNING, "node %s has not stopped everything in time", node.host);
            return true;
        }
    }
    for (size_t i = 0; i < bn_up_nodes_count (self->nodes) && stopped; i++) {
        bn_up_node_t node;
        bn_up_nodes_at (self->nodes, i, &node);
        if (node.state == BN_UP_NODE_LOST)
            bn_log (BN_LOG_WARNING, "node %s could not be told: what still runs there goes on",
                    node.host);
    }
    return stopped;
}

/*  ---- new, destroy ---- */

baton_err_t bn_up_hosts_new (bn_up_hosts_t **hosts, const bn_up_config_t *config,
                             bn_supervisor_t *supervisor, bn_up_watch_t *watch, char detail[512])
{
    *hosts = NULL;
    bn_up_hosts_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->supervisor = supervisor;
    self->watch = watch;
    self->incarnation = bn_random_u64 ();
    bn_up_hosts_follow (self, config, NULL);
    bn_up_nodes_options_t options = {
        .endpoint = config->nodes, .now_ms = s_now_ms, .gone = s_gone, .part = s_part, .arg = self};
    baton_err_t err = config->nodes ? bn_up_nodes_new (&self->nodes, &options, detail) : BATON_OK;
    if (err)
        bn_up_hosts_destroy (&self);
    *hosts = self;
    return err;
}

void bn_up_hosts_destroy (bn_up_hosts_t **self_p)
{
    bn_up_hosts_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    bn_up_nodes_destroy (&self->nodes);
    for (size_t i = 0; i < self->count; i++)
        s_forget_old (&self->actors[i]);
    free (self);
}

void bn_up_hosts_fds (const bn_up_hosts_t *self, int fds[BN_UP_NODES_FDS])
{
    for (size_t i = 0; i < BN_UP_NODES_FDS; i++)
        fds[i] = -1;
    if (self->nodes)
        bn_up_nodes_fds (self->nodes, fds);
}
