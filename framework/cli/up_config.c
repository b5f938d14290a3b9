/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_config.h"
#include "cli/options.h"
#include "client/link.h"
#include "shell/clock.h"
#include "supervisor/logbook.h"
#include "supervisor/process.h"
#include "wire/mp.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MIN      10240 /* of those that are picked */
#define PORT_TRIES    100
#define INSTANCES_MAX BN_SUPERVISOR_INSTANCES_MAX

#define INTENSITY           10 /* in */
#define INTENSITY_PERIOD_MS 60000
#define WATCHDOG_MS         30000
#define TARGET_LAG_MAX      1000000000

int bn_up_words (char *command, char **argv, size_t argv_max, const char **what)
{
    size_t count = 0;
    char *from = command, *to = command;
    for (;;) {
        while (*from == ' ' || *from == '\t')
            from++;
        if (!*from)
            break;
        if (count == argv_max) {
            *what = "too many words";
            return -1;
        }
        argv[count++] = to;
        while (*from && *from != ' ' && *from != '\t') {
            if (*from != '\'' && *from != '"') {
                *to++ = *from++;
                continue;
            }
            char quote = *from++;
            while (*from && *from != quote)
                *to++ = *from++;
            if (!*from++) {
                *what = "a quote is not closed";
                return -1;
            }
        }
        if (*from)
            from++; /* before `to` may end the word here */
        *to++ = 0;
    }
    argv[count] = NULL;
    if (count == 0)
        *what = "it is empty";
    return count ? (int)count : -1;
}

static baton_err_t s_no_memory (char detail[512])
{
    snprintf (detail, 512, "%s", baton_err_text (BATON_ERR_MEMORY));
    return BATON_ERR_MEMORY;
}

/*  Takes the value of a property that has no properties of its own.  */
static baton_err_t s_text (bn_zpl_t *zpl, zconfig_t *item, char **text, char detail[512])
{
    const char *value = zconfig_value (item);
    if (zconfig_child (item))
        return bn_zpl_refuse (zpl, zconfig_child (item), detail, "%s has no properties of its own",
                              zconfig_name (item));
    if (!value || !*value)
        return bn_zpl_refuse (zpl, item, detail, "%s needs a value", zconfig_name (item));
    if (*text)
        return bn_zpl_refuse (zpl, item, detail, "'%s' is set twice", zconfig_name (item));
    *text = strdup (value);
    return *text ? BATON_OK : s_no_memory (detail);
}

static baton_err_t s_time (bn_zpl_t *zpl, zconfig_t *item, uint32_t *time_ms, char detail[512])
{
    const char *value = zconfig_value (item) ? zconfig_value (item) : "";
    uint64_t ms;
    if (!bn_config_ms (value, &ms) || ms < 1 || ms > 3600000)
        return bn_zpl_refuse (zpl, item, detail,
                              "%s = %s: expected a time up to 1h, such as 500ms or 10s",
                              zconfig_name (item), value);
    *time_ms = (uint32_t)ms;
    return BATON_OK;
}

static baton_err_t s_command (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item, char detail[512])
{
    const char *what = NULL;
    baton_err_t err = s_text (zpl, item, &self->command, detail);
    if (err)
        return err;
    if (bn_up_words (self->command, self->argv, BN_UP_ARGUMENTS_MAX, &what) < 0)
        return bn_zpl_refuse (zpl, item, detail, "command: %s", what);
    return BATON_OK;
}

static bool s_can_be_sent (const char *text)
{
    size_t size = strlen (text);
    return size <= BN_NODE_WORD_BYTES_MAX && bn_utf8_valid (text, size);
}

/*  What nodes are told is text, and of a bounded length; the order of a restart is a variable.  */
static baton_err_t s_check_words (const bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                  char detail[512])
{
    bool fine = !self->directory || s_can_be_sent (self->directory);
    for (size_t i = 0; self->argv[i]; i++)
        fine = fine && s_can_be_sent (self->argv[i]);
    size_t variables = self->restart_order == BN_RESTART_START_FIRST;
    for (size_t i = 0; self->environment[i]; i++, variables++)
        fine = fine && s_can_be_sent (self->environment[i]);
    if (bn_up_actor_is_here (self))
        return BATON_OK;
    if (variables > BN_NODE_VARIABLES_MAX)
        return bn_zpl_refuse (zpl, item, detail,
                              "what runs at other hosts with restart_order = start-first has at "
                              "most %d variables",
                              BN_NODE_VARIABLES_MAX - 1);
    return fine ? BATON_OK
                : bn_zpl_refuse (zpl, item, detail,
                                 "what runs at other hosts is UTF-8, and no word of it longer "
                                 "than %d bytes",
                                 BN_NODE_WORD_BYTES_MAX);
}

/*  Of what runs elsewhere only that host can tell.  */
static baton_err_t s_check_program (const bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                    char detail[512])
{
    char *path;
    if (!bn_up_actor_at (self, BN_UP_HERE))
        return BATON_OK;
    baton_err_t err = bn_process_find (self->argv[0], &path);
    free (path);
    if (err)
        return bn_zpl_refuse (zpl, zconfig_locate (item, "command"), detail, "command: %.300s: %s",
                              self->argv[0],
                              err == BATON_ERR_PERMISSION ? "not a program that may be run"
                                                          : "there is no such program");
    return BATON_OK;
}

static baton_err_t s_environment (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                  char detail[512])
{
    size_t count = 0;
    while (self->environment[count])
        count++;
    for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at)) {
        const char *value = zconfig_value (at);
        if (zconfig_child (at) || strchr (zconfig_name (at), '='))
            return bn_zpl_refuse (zpl, at, detail, "expected NAME = value");
        if (!strcmp (zconfig_name (at), BN_UP_ORDER_VARIABLE))
            return bn_zpl_refuse (zpl, at, detail, "that is a property: restart_order = ...");
        if (count == BN_UP_ENVIRONMENT_MAX)
            return bn_zpl_refuse (zpl, at, detail, "more than %d variables", BN_UP_ENVIRONMENT_MAX);
        if (asprintf (&self->environment[count], "%s=%s", zconfig_name (at), value ? value : "") <
            0) {
            self->environment[count] = NULL;
            return s_no_memory (detail);
        }
        count++;
    }
    return BATON_OK;
}

/*  "5 in 10s"; 0.  */
static baton_err_t s_intensity (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                const char *value, char detail[512])
{
    char count[8], period[32];
    uint64_t times, ms = 1;
    int end = 0, words = sscanf (value, "%7s in %31s%n", count, period, &end);
    bool read = ((words == 2 && !value[end]) || (words == 1 && !strcmp (value, "0"))) &&
                bn_parse_uint (count, &times) && times <= BN_SUPERVISOR_INTENSITY_MAX &&
                (words == 1 || bn_config_ms (period, &ms)) && ms >= 1 && ms <= 3600000;
    if (!read)
        return bn_zpl_refuse (zpl, item, detail,
                              "intensity = %s: expected how often in what time, such as 5 in 10s "
                              "(at most %d, 1h), or 0",
                              value, BN_SUPERVISOR_INTENSITY_MAX);
    self->intensity = (uint32_t)times;
    self->intensity_period_ms = (uint32_t)ms;
    return BATON_OK;
}

static baton_err_t s_restart (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                              const char *value, char detail[512])
{
    static const char *const words[] = {"permanent", "transient", "temporary"};
    static const bn_restart_t meanings[] = {BN_RESTART_PERMANENT, BN_RESTART_TRANSIENT,
                                            BN_RESTART_TEMPORARY};
    for (size_t i = 0; i < sizeof (words) / sizeof (words[0]); i++)
        if (!strcmp (value, words[i])) {
            self->restart = meanings[i];
            return BATON_OK;
        }
    return bn_zpl_refuse (zpl, item, detail,
                          "restart = %s: expected permanent, transient or temporary", value);
}

static baton_err_t s_restart_order (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                    const char *value, char detail[512])
{
    bool start_first = !strcmp (value, "start-first");
    if (!start_first && strcmp (value, "stop-first"))
        return bn_zpl_refuse (zpl, item, detail,
                              "restart_order = %s: expected stop-first or start-first", value);
    self->restart_order = start_first ? BN_RESTART_START_FIRST : BN_RESTART_STOP_FIRST;
    return BATON_OK;
}

/*  "2", or "1..8".  */
static baton_err_t s_instances (bn_zpl_t *zpl, zconfig_t *item, uint32_t *instances,
                                uint32_t *instances_max, char detail[512])
{
    const char *value = zconfig_value (item) ? zconfig_value (item) : "";
    char first[8] = "";
    uint64_t least = 0, most;
    const char *dots = strstr (value, "..");
    if (dots && (size_t)(dots - value) < sizeof (first))
        memcpy (first, value, (size_t)(dots - value));
    if (!bn_parse_uint (dots ? dots + 2 : value, &most) || most > INSTANCES_MAX ||
        (dots && (!bn_parse_uint (first, &least) || least < 1 || least > most)))
        return bn_zpl_refuse (zpl, item, detail,
                              "%s = %s: expected 0 to %d, or a range such as 1..8",
                              zconfig_name (item), value, INSTANCES_MAX);
    *instances = (uint32_t)(dots ? least : most);
    *instances_max = (uint32_t)most;
    return BATON_OK;
}

/*  ---- hosts ---- */

const bn_up_place_t *bn_up_actor_at (const bn_up_actor_t *self, const char *host)
{
    for (size_t i = 0; i < self->place_count; i++)
        if (!strcmp (self->places[i].host, host))
            return &self->places[i];
    return NULL;
}

bool bn_up_actor_is_here (const bn_up_actor_t *self)
{
    return self->place_count == 1 && !strcmp (self->places[0].host, BN_UP_HERE);
}

static baton_err_t s_place (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item, const char *host,
                            char detail[512])
{
    if (!bn_node_host_valid (host, strlen (host)))
        return bn_zpl_refuse (zpl, item, detail,
                              "host '%s': a name is letters, digits, '-' and '_', at most %d of "
                              "them",
                              host, BN_NODE_HOST_BYTES_MAX);
    if (strlen (self->name) + strlen (host) + strlen ("-256.") > BATON_NAME_BYTES_MAX)
        return bn_zpl_refuse (zpl, item, detail,
                              "host '%s': its name and that of the actor are longer than %d", host,
                              BATON_NAME_BYTES_MAX - 5);
    if (bn_up_actor_at (self, host))
        return bn_zpl_refuse (zpl, item, detail, "'%s' is set twice", host);
    if (self->place_count == BN_UP_PLACES_MAX)
        return bn_zpl_refuse (zpl, item, detail, "more than %d hosts", BN_UP_PLACES_MAX);
    bn_up_place_t *place = &self->places[self->place_count++];
    snprintf (place->host, sizeof (place->host), "%s", host);
    return BATON_OK;
}

static baton_err_t s_hosts (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item, char detail[512])
{
    for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at)) {
        baton_err_t err = s_place (self, zpl, at, zconfig_name (at), detail);
        if (err)
            return err;
        bn_up_place_t *place = &self->places[self->place_count - 1];
        err = s_instances (zpl, at, &place->instances, &place->instances_max, detail);
        if (err)
            return err;
    }
    return zconfig_child (item)
               ? BATON_OK
               : bn_zpl_refuse (zpl, item, detail, "hosts: expected HOST = how many");
}

/*  From host, hosts and instances to places.  */
static baton_err_t s_places (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item, char detail[512])
{
    zconfig_t *host = zconfig_locate (item, "host"), *hosts = zconfig_locate (item, "hosts");
    zconfig_t *instances = zconfig_locate (item, "instances");
    if (hosts && (host || instances))
        return bn_zpl_refuse (zpl, hosts, detail, "'hosts' goes without '%s'",
                              host ? "host" : "instances");
    if (hosts) {
        self->instances = self->instances_max = 0;
        for (size_t i = 0; i < self->place_count; i++) {
            self->instances += self->places[i].instances;
            self->instances_max += self->places[i].instances_max;
        }
        return BATON_OK;
    }
    baton_err_t err = host ? BATON_OK : s_place (self, zpl, item, BN_UP_HERE, detail);
    self->places[0].instances = self->instances;
    self->places[0].instances_max = self->instances_max;
    return err;
}

static baton_err_t s_actor_property (bn_up_actor_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                     char detail[512])
{
    const char *name = zconfig_name (item);
    const char *value = zconfig_value (item) ? zconfig_value (item) : "";
    if (!strcmp (name, "command"))
        return s_command (self, zpl, item, detail);
    if (!strcmp (name, "directory"))
        return s_text (zpl, item, &self->directory, detail);
    if (!strcmp (name, "environment"))
        return s_environment (self, zpl, item, detail);
    if (!strcmp (name, "instances"))
        return s_instances (zpl, item, &self->instances, &self->instances_max, detail);
    if (!strcmp (name, "host"))
        return s_place (self, zpl, item, value, detail);
    if (!strcmp (name, "hosts"))
        return s_hosts (self, zpl, item, detail);
    if (!strcmp (name, "target_lag")) {
        uint64_t lag;
        if (!bn_parse_uint (value, &lag) || lag < 1 || lag > TARGET_LAG_MAX)
            return bn_zpl_refuse (zpl, item, detail, "target_lag = %s: expected 1 to %d", value,
                                  TARGET_LAG_MAX);
        self->target_lag = (uint32_t)lag;
        return BATON_OK;
    }
    if (!strcmp (name, "cooldown"))
        return s_time (zpl, item, &self->cooldown_ms, detail);
    if (!strcmp (name, "stop_timeout"))
        return s_time (zpl, item, &self->stop_timeout_ms, detail);
    if (!strcmp (name, "restart"))
        return s_restart (self, zpl, item, value, detail);
    if (!strcmp (name, "restart_order"))
        return s_restart_order (self, zpl, item, value, detail);
    if (!strcmp (name, "intensity"))
        return s_intensity (self, zpl, item, value, detail);
    if (!strcmp (name, "watchdog")) {
        self->watchdog_ms = 0;
        return !strcmp (value, "0") ? BATON_OK : s_time (zpl, item, &self->watchdog_ms, detail);
    }
    return bn_zpl_refuse (
        zpl, item, detail,
        "unknown property '%s': expected command, instances, host, hosts, "
        "target_lag, cooldown, restart, restart_order, intensity, watchdog, directory, "
        "stop_timeout or environment",
        name);
}

static bool s_name_valid (const char *name)
{
    size_t size = strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return size > 0 && !name[size] && size <= BATON_NAME_BYTES_MAX - 4;
}

/*  With room for a successor that starts first.  */
static baton_err_t s_check_total (const bn_up_config_t *self, bn_zpl_t *zpl, zconfig_t *item,
                                  char detail[512])
{
    uint32_t total = self->orchestrator_set;
    bool one_more = false;
    for (size_t i = 0; i < self->actor_count; i++) {
        total += self->actors[i].instances_max;
        one_more = one_more || self->actors[i].restart_order == BN_RESTART_START_FIRST;
    }
    return total + one_more <= INSTANCES_MAX
               ? BATON_OK
               : bn_zpl_refuse (zpl, item, detail, "more than %d instances in all%s", INSTANCES_MAX,
                                one_more ? ", with one that starts first" : "");
}

static baton_err_t s_actor (bn_up_config_t *self, bn_zpl_t *zpl, zconfig_t *item, char detail[512])
{
    const char *name = zconfig_name (item);
    if (!s_name_valid (name))
        return bn_zpl_refuse (zpl, item, detail,
                              "'%s': a name is letters, digits, '-' and '_', at most %d of them",
                              name, BATON_NAME_BYTES_MAX - 4);
    bool taken = !strcmp (name, "orchestrator");
    for (size_t i = 0; i < self->actor_count; i++)
        taken = taken || !strcmp (self->actors[i].name, name);
    if (taken)
        return bn_zpl_refuse (zpl, item, detail, "the name '%s' is taken", name);
    if (self->actor_count == BN_SUPERVISOR_SERVICES_MAX - 1)
        return bn_zpl_refuse (zpl, item, detail, "more than %d actors",
                              BN_SUPERVISOR_SERVICES_MAX - 1);

    bn_up_actor_t *actor = &self->actors[self->actor_count++];
    snprintf (actor->name, sizeof (actor->name), "%s", name);
    actor->instances = actor->instances_max = 1;
    actor->intensity = INTENSITY;
    actor->intensity_period_ms = INTENSITY_PERIOD_MS;
    actor->watchdog_ms = WATCHDOG_MS;
    for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at)) {
        for (zconfig_t *other = zconfig_child (item); other != at; other = zconfig_next (other))
            if (!strcmp (zconfig_name (other), zconfig_name (at)))
                return bn_zpl_refuse (zpl, at, detail, "'%s' is set twice", zconfig_name (at));
        baton_err_t err = s_actor_property (actor, zpl, at, detail);
        if (err)
            return err;
    }
    baton_err_t placed = s_places (actor, zpl, item, detail);
    if (placed)
        return placed;
    if (actor->instances_max == actor->instances && (actor->target_lag || actor->cooldown_ms))
        return bn_zpl_refuse (zpl, item, detail, "%s: %s needs a range, such as instances = 1..8",
                              name, actor->target_lag ? "target_lag" : "cooldown");
    if (!actor->command)
        return bn_zpl_refuse (zpl, item, detail, "%s has no command", name);
    placed = s_check_program (actor, zpl, item, detail);
    if (!placed)
        placed = s_check_words (actor, zpl, item, detail);
    if (placed)
        return placed;
    return s_check_total (self, zpl, item, detail);
}

static baton_err_t s_section (bn_up_config_t *self, bn_zpl_t *zpl, zconfig_t *item,
                              char detail[512])
{
    const char *name = zconfig_name (item);
    if (!strcmp (name, "connect"))
        return s_text (zpl, item, &self->connect, detail);
    if (!strcmp (name, "data_dir"))
        return s_text (zpl, item, &self->data_dir, detail);
    if (!strcmp (name, "nodes")) {
        baton_err_t err = s_text (zpl, item, &self->nodes, detail);
        if (!err &&
            (!bn_link_endpoint_valid (self->nodes) || strlen (self->nodes) > BN_ENDPOINT_BYTES_MAX))
            err = bn_zpl_refuse (zpl, item, detail,
                                 "nodes = %.200s: expected tcp://ADDRESS:PORT or ipc://PATH",
                                 self->nodes);
        return err;
    }
    if (!strcmp (name, "restart_backoff_max"))
        return s_time (zpl, item, &self->backoff_max_ms, detail);
    if (!strcmp (name, "log_bytes_max")) {
        const char *value = zconfig_value (item) ? zconfig_value (item) : "";
        if (!bn_config_bytes (value, &self->log_bytes_max) ||
            (self->log_bytes_max && self->log_bytes_max < BN_LOGBOOK_BYTES_MIN))
            return bn_zpl_refuse (zpl, item, detail,
                                  "log_bytes_max = %s: expected 0, or 64KiB and more", value);
        return BATON_OK;
    }
    if (!strcmp (name, "orchestrator")) {
        if (self->orchestrator_set)
            return bn_zpl_refuse (zpl, item, detail, "a second section 'orchestrator'");
        self->orchestrator_set = true;
        self->section = zconfig_new ("orchestrator", NULL);
        if (!self->section)
            return s_no_memory (detail);
        for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at))
            zconfig_put (self->section, zconfig_name (at), zconfig_value (at));
        return bn_orchestrator_config_section (&self->orchestrator, zpl, item, detail);
    }
    if (!strcmp (name, "actors")) {
        for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at)) {
            baton_err_t err = s_actor (self, zpl, at, detail);
            if (err)
                return err;
        }
        return BATON_OK;
    }
    return bn_zpl_refuse (zpl, item, detail,
                          "unknown section '%s': expected orchestrator, actors, connect, "
                          "data_dir, nodes, log_bytes_max or restart_backoff_max",
                          name);
}

/*  Hosts other than this one, of all actors.  */
static size_t s_count_hosts (const bn_up_config_t *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->actor_count; i++)
        for (size_t k = 0; k < self->actors[i].place_count; k++) {
            const char *host = self->actors[i].places[k].host;
            bool known = !strcmp (host, BN_UP_HERE);
            for (size_t before = 0; before < i && !known; before++)
                known = bn_up_actor_at (&self->actors[before], host) != NULL;
            count += !known;
        }
    return count;
}

/*  What no single line is guilty of.  */
static baton_err_t s_complete (bn_up_config_t *self, const char *path, char detail[512])
{
    if (self->orchestrator_set && (self->connect || self->data_dir)) {
        snprintf (detail, 512, "%s: '%s' goes without a section 'orchestrator'%s", path,
                  self->connect ? "connect" : "data_dir",
                  self->connect ? "" : " (set data_dir in that section)");
        return BATON_ERR_CONFIG;
    }
    if (!self->orchestrator_set && !self->connect) {
        snprintf (detail, 512, "%s: a section 'orchestrator' or a property 'connect' is needed",
                  path);
        return BATON_ERR_CONFIG;
    }
    if (s_count_hosts (self) > BN_UP_NODES_MAX) {
        snprintf (detail, 512, "%s: more than %d hosts", path, BN_UP_NODES_MAX);
        return BATON_ERR_CONFIG;
    }
    for (size_t i = 0; i < self->actor_count && !self->nodes; i++)
        if (!bn_up_actor_is_here (&self->actors[i])) {
            snprintf (detail, 512,
                      "%s: %s runs at other hosts: a property 'nodes' is needed, where they join",
                      path, self->actors[i].name);
            return BATON_ERR_CONFIG;
        }
    if (self->orchestrator_set) {
        baton_orchestrator_options_t filled;
        baton_err_t err =
            bn_orchestrator_options_fill (&filled, &self->orchestrator.options, detail);
        if (err)
            return err;
        self->data_dir = strdup (filled.data_dir);
    } else if (!self->data_dir)
        self->data_dir = strdup (BN_DEFAULT_DATA_DIR);
    return self->data_dir ? BATON_OK : s_no_memory (detail);
}

baton_err_t bn_up_config_load (bn_up_config_t *self, const char *path, char detail[512])
{
    bn_zpl_t *zpl;
    memset (self, 0, sizeof (*self));
    self->log_bytes_max = BN_LOGBOOK_BYTES_DEFAULT;
    bn_orchestrator_config_init (&self->orchestrator);
    baton_err_t err = bn_zpl_load (&zpl, path, detail);
    if (err)
        return err;
    zconfig_t *item = zconfig_child (bn_zpl_root (zpl));
    for (; item && !err; item = zconfig_next (item))
        err = s_section (self, zpl, item, detail);
    bn_zpl_destroy (&zpl);
    return err ? err : s_complete (self, path, detail);
}

void bn_up_config_fini (bn_up_config_t *self)
{
    for (size_t i = 0; i < self->actor_count; i++) {
        bn_up_actor_t *actor = &self->actors[i];
        for (size_t k = 0; actor->environment[k]; k++)
            free (actor->environment[k]);
        free (actor->command);
        free (actor->directory);
    }
    bn_orchestrator_config_fini (&self->orchestrator);
    zconfig_destroy (&self->section);
    free (self->connect);
    free (self->data_dir);
    free (self->nodes);
    memset (self, 0, sizeof (*self));
}

/*  ---- ports ---- */

static bool s_port_free (in_addr_t host, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons (port), .sin_addr.s_addr = host};
    int on = 1;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof (on));
    bool is_free = bind (fd, (struct sockaddr *)&address, sizeof (address)) == 0;
    close (fd);
    return is_free;
}

/*  A port that is free, and whose next one is, too; 0: none found.  */
static uint16_t s_port_pick (void)
{
    unsigned low = 32768;
    FILE *file = fopen ("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (file) {
        if (fscanf (file, "%u", &low) != 1 || low > 65535)
            low = 32768;
        fclose (file);
    }
    if (low < PORT_MIN + 1000)
        low = 65535; /* the kernel gives out nearly all of them: any will have to do */
    for (int i = 0; i < PORT_TRIES; i++) {
        uint16_t port = (uint16_t)(PORT_MIN + bn_random_u64 () % (low - PORT_MIN - 1));
        if (s_port_free (htonl (INADDR_ANY), port) && s_port_free (htonl (INADDR_ANY), port + 1))
            return port;
    }
    return 0;
}

/*  Somebody who listens there already would get our actors while our orchestrator fails to bind. */
static baton_err_t s_check_port (const char *property, const char *endpoint, char detail[512])
{
    char host[64];
    struct in_addr address = {.s_addr = htonl (INADDR_ANY)};
    uint64_t port;
    const char *colon = strrchr (endpoint, ':');
    if (!bn_parse_uint (colon + 1, &port) || port == 0 || port > 65535)
        return BATON_OK; /* for the orchestrator to judge */
    snprintf (host, sizeof (host), "%.*s", (int)(colon - endpoint - 6), endpoint + 6);
    inet_pton (AF_INET, host, &address); /* a name or an interface: any address */
    if (s_port_free (address.s_addr, (uint16_t)port))
        return BATON_OK;
    snprintf (detail, 512, "%s = %s: another process listens there", property, endpoint);
    return BATON_ERR_ADDRESS;
}

/*  Replaces the port '*' of an endpoint in the section; checks that any other one is free.  */
static baton_err_t s_settle_port (bn_up_config_t *self, const char *property, const char *endpoint,
                                  char detail[512])
{
    size_t size = strlen (endpoint);
    if (strncmp (endpoint, "tcp://", 6))
        return BATON_OK;
    if (strcmp (endpoint + size - 2, ":*"))
        return s_check_port (property, endpoint, detail);
    uint16_t port = s_port_pick ();
    if (!port) {
        snprintf (detail, 512, "%s = %s: no free port was found", property, endpoint);
        return BATON_ERR_ADDRESS;
    }
    char settled[512];
    snprintf (settled, sizeof (settled), "%.*s%u", (int)size - 1, endpoint, port);
    zconfig_put (self->section, property, settled);
    return BATON_OK;
}

baton_err_t bn_up_config_settle (bn_up_config_t *self, char detail[512])
{
    baton_orchestrator_options_t filled;
    if (!self->orchestrator_set)
        return BATON_OK;
    baton_err_t err = bn_orchestrator_options_fill (&filled, &self->orchestrator.options, detail);
    if (!err)
        err = s_settle_port (self, "endpoint", filled.endpoint, detail);
    if (!err && filled.fanout_endpoint)
        err = s_settle_port (self, "fanout_endpoint", filled.fanout_endpoint, detail);
    if (err)
        return err;

    /*  "Every address" is one to listen on; connecting takes a particular one.  */
    const char *endpoint = zconfig_get (self->section, "endpoint", filled.endpoint);
    const char *colon = strrchr (endpoint, ':');
    static const char *const every[] = {"tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:"};
    for (size_t i = 0; i < 3; i++)
        if (!strncmp (endpoint, every[i], strlen (every[i]))) {
            if (asprintf (&self->connect, "tcp://127.0.0.1%s", colon) < 0)
                self->connect = NULL;
            return self->connect ? BATON_OK : s_no_memory (detail);
        }
    self->connect = strdup (endpoint);
    return self->connect ? BATON_OK : s_no_memory (detail);
}

/*  ---- a file that is read anew ---- */

static bool s_same (const char *one, const char *other)
{
    return !strcmp (one ? one : "", other ? other : "");
}

static baton_err_t s_cannot_change (const char *property, char detail[512])
{
    snprintf (detail, 512, "%s cannot change while it runs: stop, and start anew", property);
    return BATON_ERR_CONFIG;
}

baton_err_t bn_up_config_follow (bn_up_config_t *self, const bn_up_config_t *running,
                                 bool *orchestrator_changed, char detail[512])
{
    const baton_orchestrator_options_t *now = &self->orchestrator.options;
    const baton_orchestrator_options_t *before = &running->orchestrator.options;
    *orchestrator_changed = false;
    if (self->orchestrator_set != running->orchestrator_set)
        return s_cannot_change ("whether there is a section 'orchestrator'", detail);
    if (!s_same (self->data_dir, running->data_dir))
        return s_cannot_change ("data_dir", detail);
    if (!s_same (self->nodes, running->nodes))
        return s_cannot_change ("nodes", detail);
    if (!self->orchestrator_set)
        return s_same (self->connect, running->connect) ? BATON_OK
                                                        : s_cannot_change ("connect", detail);
    if (!s_same (now->endpoint, before->endpoint))
        return s_cannot_change ("endpoint", detail);
    if (!s_same (now->fanout_endpoint, before->fanout_endpoint))
        return s_cannot_change ("fanout_endpoint", detail);
    /*  The ports that were found for '*' are in the section of the one that runs.  */
    static const char *const settled[] = {"endpoint", "fanout_endpoint"};
    for (size_t i = 0; i < 2; i++) {
        const char *value = zconfig_get (running->section, settled[i], NULL);
        if (value)
            zconfig_put (self->section, settled[i], value);
    }
    char *text = zconfig_str_save (self->section);
    char *text_before = zconfig_str_save (running->section);
    self->connect = strdup (running->connect);
    bool done = text && text_before && self->connect;
    *orchestrator_changed = done && strcmp (text, text_before) != 0;
    zstr_free (&text);
    zstr_free (&text_before);
    return done ? BATON_OK : s_no_memory (detail);
}

bool bn_up_config_write (const bn_up_config_t *self, const char *path)
{
    zconfig_t *root = zconfig_new ("root", NULL);
    zconfig_t *section = root ? zconfig_new ("orchestrator", root) : NULL;
    bool written = section != NULL;
    for (zconfig_t *item = zconfig_child (self->section); item && written;
         item = zconfig_next (item))
        zconfig_put (section, zconfig_name (item), zconfig_value (item));
    written = written && zconfig_save (root, path) == 0;
    zconfig_destroy (&root);
    return written;
}
