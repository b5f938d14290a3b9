/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/lab_config.h"
#include "cli/json.h"
#include "cli/options.h"
#include "lab/folder.h"
#include "wire/topic.h"
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVE_BYTES (128u << 20) /* the orchestrator's default */
#define DISK_MIN      (16u << 20)
#define DISK_MAX      (4ull << 30)

static zconfig_t *s_child (zconfig_t *item, const char *name)
{
    for (zconfig_t *at = item ? zconfig_child (item) : NULL; at; at = zconfig_next (at))
        if (!strcmp (zconfig_name (at), name))
            return at;
    return NULL;
}

static const char *s_value (zconfig_t *item)
{
    const char *value = zconfig_value (item);
    return value ? value : "";
}

/*  ---- the system ---- */

typedef struct {
    char *text; /* owned; cut into lines */
    char **lines;
    size_t count;
} s_lines_t;

static bool s_lines_read (s_lines_t *self, const char *path)
{
    FILE *file = fopen (path, "re");
    self->text = calloc (1, BN_ZPL_BYTES_MAX + 1);
    size_t size = file && self->text ? fread (self->text, 1, BN_ZPL_BYTES_MAX, file) : 0;
    if (file)
        fclose (file);
    self->lines = calloc (size + 2, sizeof (*self->lines));
    if (!file || !self->text || !self->lines)
        return false;
    char *rest = self->text;
    for (char *line; (line = strsep (&rest, "\n"));)
        self->lines[self->count++] = line;
    return true;
}

/*  Leaves the lines from `from` up to the one before `upto`, one level further out.  */
static void s_keep_lines (s_lines_t *lines, size_t from, size_t upto)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (i + 1 < from || i + 1 >= upto)
            *lines->lines[i] = 0;
        else if (!strncmp (lines->lines[i], "    ", 4))
            lines->lines[i] += 4;
    }
}

/*  Checks the system as `baton up` would: writes it to a file of its own, each line at its own
 *  number, and has that one read.  */
static baton_err_t s_check_as_up (bn_up_config_t *up, bn_zpl_t *zpl, zconfig_t *system,
                                  char detail[512])
{
    const char *path = bn_zpl_path (zpl);
    char name[PATH_MAX], found[512];
    s_lines_t lines = {.count = 0};
    baton_err_t err = BATON_ERR_SYSTEM;
    int fd = -1;
    memset (up, 0, sizeof (*up));
    snprintf (detail, 512, "%s: cannot be checked", path);
    int size = snprintf (name, sizeof (name), "%s/baton-lab-check-XXXXXX", bn_lab_folder_parent ());
    if (!s_lines_read (&lines, path) || size >= (int)sizeof (name) || (fd = mkstemp (name)) < 0)
        goto out;
    if (system != bn_zpl_root (zpl)) {
        zconfig_t *after = zconfig_next (system);
        s_keep_lines (&lines, bn_zpl_line (zpl, system) + 1,
                      after ? bn_zpl_line (zpl, after) : lines.count + 1);
    }
    FILE *file = fdopen (fd, "w");
    for (size_t i = 0; file && i < lines.count; i++)
        fprintf (file, "%s\n", lines.lines[i]);
    /*  The lab says where nodes join; a file that is made for it need not.  */
    if (file && !s_child (system, "nodes"))
        fprintf (file, "nodes = tcp://127.0.0.1:1\n");
    if (!file || fclose (file))
        goto out;
    fd = -1;
    err = bn_up_config_load (up, name, found);
    if (err) {
        bool ours = !strncmp (found, name, strlen (name));
        snprintf (detail, 512, "%s%.400s", ours ? path : "", found + (ours ? strlen (name) : 0));
    }
out:
    if (fd >= 0)
        close (fd);
    unlink (name);
    free (lines.lines);
    free (lines.text);
    return err;
}

/*  Number of a host that the file names: hostN is the N-th, "up" the first; others take the places
 *  that are left. false: there is none left.  */
static bool s_name_host (bn_lab_config_t *self, const char *name)
{
    uint64_t number;
    if (!strcmp (name, BN_UP_HERE))
        return true;
    for (uint32_t i = 1; i < BN_LAB_HOSTS_MAX; i++)
        if (!strcmp (self->plan.hosts[i], name))
            return true;
    bool numbered = !strncmp (name, "host", 4) && bn_parse_uint (name + 4, &number);
    for (uint32_t i = 1; i < BN_LAB_HOSTS_MAX; i++)
        if (!*self->plan.hosts[i] && (!numbered || number == i + 1)) {
            snprintf (self->plan.hosts[i], sizeof (self->plan.hosts[i]), "%s", name);
            return true;
        }
    return false;
}

/*  Gives every host its name: numbered ones first. There are as many hosts as were asked for, or as
 *  the file needs.  */
static baton_err_t s_name_hosts (bn_lab_config_t *self, const bn_up_config_t *up, const char *path,
                                 char detail[512])
{
    uint32_t needed = 1;
    snprintf (self->plan.hosts[0], sizeof (self->plan.hosts[0]), "%s", BN_UP_HERE);
    for (int numbered = 1; numbered >= 0; numbered--)
        for (size_t i = 0; i < up->actor_count; i++)
            for (size_t k = 0; k < up->actors[i].place_count; k++) {
                const char *name = up->actors[i].places[k].host;
                if ((strncmp (name, "host", 4) == 0) == numbered && !s_name_host (self, name)) {
                    snprintf (detail, 512, "%s: host '%s': a lab has host2 to host%d, or %d others",
                              path, name, BN_LAB_HOSTS_MAX, BN_LAB_HOSTS_MAX - 1);
                    return BATON_ERR_CONFIG;
                }
            }
    for (uint32_t i = 1; i < BN_LAB_HOSTS_MAX; i++) {
        needed = *self->plan.hosts[i] ? i + 1 : needed;
        if (!*self->plan.hosts[i])
            snprintf (self->plan.hosts[i], sizeof (self->plan.hosts[i]), "host%u", i + 1);
    }
    if (self->hosts && self->hosts < needed) {
        snprintf (detail, 512, "%s: it names hosts up to '%s': %u are needed, not %u", path,
                  self->plan.hosts[needed - 1], needed, self->hosts);
        return BATON_ERR_CONFIG;
    }
    self->hosts = self->hosts ? self->hosts : needed;
    return BATON_OK;
}

/*  An actor of which the file does not say where it runs is spread over the hosts.  */
static void s_place (bn_lab_service_t *service, const bn_up_actor_t *actor, uint32_t hosts,
                     uint32_t first)
{
    service->spread = hosts > 1 && !s_child (service->section, "host") &&
                      !s_child (service->section, "hosts") &&
                      actor->instances == actor->instances_max;
    for (uint32_t i = 0; service->spread && i < actor->instances; i++)
        service->counts[(first + i) % hosts]++;
}

/*  A property beside the sections, of which one may be empty.  */
static bool s_is_property (zconfig_t *item)
{
    const char *name = zconfig_name (item);
    return !zconfig_child (item) && zconfig_value (item) && strcmp (name, "file") &&
           strcmp (name, "orchestrator") && strcmp (name, "actors");
}

static baton_err_t s_take_system (bn_lab_config_t *self, const bn_up_config_t *up, bn_zpl_t *zpl,
                                  zconfig_t *system, char detail[512])
{
    uint64_t reserve = up->orchestrator.options.disk_reserve_bytes;
    if (!up->orchestrator_set) {
        snprintf (detail, 512, "%s: a lab needs a section 'orchestrator'", bn_zpl_path (zpl));
        return BATON_ERR_CONFIG;
    }
    baton_err_t err = s_name_hosts (self, up, bn_zpl_path (zpl), detail);
    if (err)
        return err;
    self->plan.reserve_bytes = reserve ? reserve : RESERVE_BYTES;
    self->plan.orchestrator = s_child (system, "orchestrator");
    self->plan.top = self->top = zconfig_new ("top", NULL);
    if (!self->top)
        return BATON_ERR_MEMORY;
    for (zconfig_t *item = zconfig_child (system); item; item = zconfig_next (item))
        if (s_is_property (item))
            zconfig_put (self->top, zconfig_name (item), zconfig_value (item));
    zconfig_t *actors = s_child (system, "actors");
    for (zconfig_t *actor = actors ? zconfig_child (actors) : NULL; actor;
         actor = zconfig_next (actor)) {
        size_t index = self->plan.service_count++;
        bn_lab_service_t *service = &self->plan.services[index];
        service->section = actor;
        snprintf (service->name, sizeof (service->name), "%s", zconfig_name (actor));
        s_place (service, &up->actors[index], self->hosts, (uint32_t)index);
        self->plan.instances += up->actors[index].instances;
    }
    return BATON_OK;
}

static baton_err_t s_plan (bn_lab_config_t *self, bn_zpl_t *zpl, zconfig_t *system,
                           char detail[512])
{
    static bn_up_config_t up; /* large */
    baton_err_t err = s_check_as_up (&up, zpl, system, detail);
    if (!err)
        err = s_take_system (self, &up, zpl, system, detail);
    bn_up_config_fini (&up);
    return err;
}

baton_err_t bn_lab_config_system (bn_lab_config_t *self, const char *path, uint32_t hosts,
                                  char detail[512])
{
    memset (self, 0, sizeof (*self));
    baton_err_t err = bn_zpl_load (&self->zpl, path, detail);
    self->hosts = hosts;
    return err ? err : s_plan (self, self->zpl, bn_zpl_root (self->zpl), detail);
}

/*  ---- the drill ---- */

static baton_err_t s_time (bn_zpl_t *zpl, zconfig_t *item, uint64_t *ms, char detail[512])
{
    if (bn_lab_duration (s_value (item), ms))
        return BATON_OK;
    return bn_zpl_refuse (zpl, item, detail, "%s = %s: expected a time up to 1h, such as 500ms",
                          zconfig_name (item), s_value (item));
}

static baton_err_t s_number (bn_zpl_t *zpl, zconfig_t *item, uint64_t min, uint64_t max,
                             uint64_t *number, char detail[512])
{
    if (bn_parse_uint (s_value (item), number) && *number >= min && *number <= max)
        return BATON_OK;
    return bn_zpl_refuse (zpl, item, detail, "%s = %s: expected %llu to %llu", zconfig_name (item),
                          s_value (item), (unsigned long long)min, (unsigned long long)max);
}

static baton_err_t s_real (bn_zpl_t *zpl, zconfig_t *item, double min, double max, double *number,
                           char detail[512])
{
    char *end;
    *number = strtod (s_value (item), &end);
    if (end != s_value (item) && !*end && *number >= min && *number <= max)
        return BATON_OK;
    return bn_zpl_refuse (zpl, item, detail, "%s = %s: expected %g to %g", zconfig_name (item),
                          s_value (item), min, max);
}

static baton_err_t s_data (bn_lab_config_t *self, bn_lab_stream_t *stream, zconfig_t *item,
                           char detail[512])
{
    char what[256];
    bn_buffer_t packed;
    json_t *value = bn_json_parse (s_value (item), strlen (s_value (item)), what);
    if (!value)
        return bn_zpl_refuse (self->zpl, item, detail, "data: not JSON: %s", what);
    bn_buffer_init (&packed, BN_LAB_DATA_BYTES);
    baton_err_t err = bn_json_pack (value, &packed);
    json_decref (value);
    void *data = err ? NULL : malloc (packed.size + 1);
    if (data) {
        memcpy (data, bn_buffer_data (&packed), packed.size);
        stream->data = data;
        stream->data_size = packed.size;
        self->datas[self->drill.stream_count - 1] = data;
    }
    bn_buffer_fini (&packed);
    return err    ? bn_zpl_refuse (self->zpl, item, detail, "data: %s", baton_err_text (err))
           : data ? BATON_OK
                  : BATON_ERR_MEMORY;
}

static baton_err_t s_stream_property (bn_lab_config_t *self, bn_lab_stream_t *stream,
                                      zconfig_t *item, char detail[512])
{
    bn_zpl_t *zpl = self->zpl;
    const char *name = zconfig_name (item), *value = s_value (item);
    uint64_t number = 0;
    baton_err_t err = BATON_OK;
    if (!strcmp (name, "topic")) {
        if (!bn_topic_valid (value, strlen (value)) || bn_topic_reserved (value, strlen (value)))
            return bn_zpl_refuse (zpl, item, detail, "'%s' is not a topic", value);
        snprintf (stream->topic, sizeof (stream->topic), "%s", value);
    } else if (!strcmp (name, "keys")) {
        err = s_number (zpl, item, 0, BN_LAB_KEYS_MAX, &number, detail);
        stream->keys = (uint32_t)number;
    } else if (!strcmp (name, "bytes")) {
        err = s_number (zpl, item, 0, BN_LAB_DATA_BYTES, &number, detail);
        stream->bytes = (uint32_t)number;
    } else if (!strcmp (name, "count"))
        err = s_number (zpl, item, 1, BN_LAB_EVENTS_MAX, &stream->count, detail);
    else if (!strcmp (name, "rate"))
        err = s_real (zpl, item, 0.01, BN_LAB_RATE_MAX, &stream->rate, detail);
    else if (!strcmp (name, "hot"))
        err = s_real (zpl, item, 0, 1, &stream->hot, detail);
    else if (!strcmp (name, "start"))
        err = s_time (zpl, item, &stream->start_ms, detail);
    else if (!strcmp (name, "for"))
        err = s_time (zpl, item, &stream->for_ms, detail);
    else if (!strcmp (name, "data"))
        err = s_data (self, stream, item, detail);
    else
        err = bn_zpl_refuse (zpl, item, detail,
                             "unknown property '%s': expected topic, keys, hot, rate, count, for, "
                             "start, bytes or data",
                             name);
    return err;
}

static baton_err_t s_load (bn_lab_config_t *self, zconfig_t *section, char detail[512])
{
    double events = 0;
    for (zconfig_t *item = zconfig_child (section); item; item = zconfig_next (item)) {
        if (self->drill.stream_count == BN_LAB_STREAMS_MAX)
            return bn_zpl_refuse (self->zpl, item, detail, "more than %d streams",
                                  BN_LAB_STREAMS_MAX);
        bn_lab_stream_t *stream = &self->drill.streams[self->drill.stream_count++];
        *stream = (bn_lab_stream_t){.keys = 100, .rate = 100};
        snprintf (stream->prefix, sizeof (stream->prefix), "k");
        for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at)) {
            baton_err_t err = s_stream_property (self, stream, at, detail);
            if (err)
                return err;
        }
        if (!*stream->topic || (!stream->count && !stream->for_ms))
            return bn_zpl_refuse (self->zpl, item, detail, "%s needs a topic, and count or for",
                                  zconfig_name (item));
        events +=
            stream->count ? (double)stream->count : stream->rate * (double)stream->for_ms / 1000;
        if (events > BN_LAB_EVENTS_MAX)
            return bn_zpl_refuse (self->zpl, item, detail, "more than %d events in all",
                                  BN_LAB_EVENTS_MAX);
    }
    return BATON_OK;
}

static bool s_is_host (const bn_lab_config_t *self, const char *name)
{
    uint64_t number;
    for (uint32_t i = 0; i < self->hosts; i++)
        if (!strcmp (self->plan.hosts[i], name))
            return true;
    return !strncmp (name, "host", 4) && bn_parse_uint (name + 4, &number) && number >= 1 &&
           number <= self->hosts;
}

/*  Whether there is somebody of that name: an actor, or, with its name in front, an instance.  */
static bool s_is_actor (const bn_lab_config_t *self, const char *name, bool or_instance)
{
    for (size_t i = 0; i < self->plan.service_count; i++) {
        const char *is = self->plan.services[i].name;
        size_t size = strlen (is);
        if (!strncmp (name, is, size) && (!name[size] || (or_instance && name[size] == '-')))
            return true;
    }
    return false;
}

/*  A step for somebody who does not exist would be found out only after it was waited for.  */
static bool s_may_be_meant (const bn_lab_config_t *self, const bn_lab_order_t *order)
{
    const char *name = order->target;
    if (order->random)
        return true;
    switch (order->kind) {
    case BN_LAB_KILL:
    case BN_LAB_PAUSE:
    case BN_LAB_RESUME:
        return !strcmp (name, "orchestrator") || !strcmp (name, "orchestrator-1") ||
               s_is_host (self, name) || s_is_actor (self, name, true);
    case BN_LAB_RESTART:
    case BN_LAB_SCALE:
        return s_is_actor (self, name, false);
    case BN_LAB_PARTITION:
    case BN_LAB_SLOW:
    case BN_LAB_LOSSY:
        return s_is_host (self, name);
    case BN_LAB_HEAL:
        return !strcmp (name, "all") || s_is_host (self, name);
    default:
        return true;
    }
}

static baton_err_t s_check_steps (bn_lab_config_t *self, char detail[512])
{
    zconfig_t *item = s_child (bn_zpl_root (self->zpl), "steps");
    item = item ? zconfig_child (item) : NULL;
    for (size_t i = 0; i < self->drill.step_count; i++, item = zconfig_next (item))
        if (!s_may_be_meant (self, &self->drill.steps[i].order))
            return bn_zpl_refuse (self->zpl, item, detail, "%s: there is no '%s' in this system",
                                  self->drill.steps[i].text, self->drill.steps[i].order.target);
    return BATON_OK;
}

static baton_err_t s_steps (bn_lab_config_t *self, zconfig_t *section, char detail[512])
{
    uint64_t before_ms = 0;
    for (zconfig_t *item = zconfig_child (section); item; item = zconfig_next (item)) {
        char what[256];
        if (self->drill.step_count == BN_LAB_STEPS_MAX)
            return bn_zpl_refuse (self->zpl, item, detail, "more than %d steps", BN_LAB_STEPS_MAX);
        bn_lab_step_t *step = &self->drill.steps[self->drill.step_count++];
        if (!bn_lab_duration (zconfig_name (item), &step->at_ms))
            return bn_zpl_refuse (self->zpl, item, detail,
                                  "'%s': expected a time after the load's beginning, such as 5s",
                                  zconfig_name (item));
        if (step->at_ms < before_ms)
            return bn_zpl_refuse (self->zpl, item, detail, "%s is earlier than the step before",
                                  zconfig_name (item));
        before_ms = step->at_ms;
        if (bn_lab_order_parse (&step->order, s_value (item), what))
            return bn_zpl_refuse (self->zpl, item, detail, "%s", what);
        snprintf (step->text, sizeof (step->text), "%s", s_value (item));
    }
    return BATON_OK;
}

static baton_err_t s_effects (bn_lab_config_t *self, zconfig_t *section, char detail[512])
{
    for (zconfig_t *item = zconfig_child (section); item; item = zconfig_next (item)) {
        char from[256], to[256], rest;
        if (self->drill.effect_count == BN_LAB_EFFECTS_MAX)
            return bn_zpl_refuse (self->zpl, item, detail, "more than %d effects",
                                  BN_LAB_EFFECTS_MAX);
        if (sscanf (s_value (item), "%200s -> %200s %c", from, to, &rest) != 2 ||
            !bn_pattern_valid (from, strlen (from)) || !bn_topic_valid (to, strlen (to)))
            return bn_zpl_refuse (self->zpl, item, detail, "expected ACTOR = \"PATTERN -> TOPIC\"");
        bn_lab_effect_t *effect = &self->drill.effects[self->drill.effect_count++];
        snprintf (effect->actor, sizeof (effect->actor), "%s", zconfig_name (item));
        snprintf (effect->from, sizeof (effect->from), "%.200s", from);
        snprintf (effect->to, sizeof (effect->to), "%.200s", to);
    }
    return BATON_OK;
}

/*  "3", or "1..3".  */
static baton_err_t s_range (bn_zpl_t *zpl, zconfig_t *item, uint64_t *min, uint64_t *max,
                            char detail[512])
{
    char text[64];
    snprintf (text, sizeof (text), "%s", s_value (item));
    char *dots = strstr (text, "..");
    if (dots)
        *dots = 0;
    if (bn_parse_uint (text, min) && bn_parse_uint (dots ? dots + 2 : text, max) && *min <= *max)
        return BATON_OK;
    return bn_zpl_refuse (zpl, item, detail, "%s = %s: expected a number or 1..3",
                          zconfig_name (item), s_value (item));
}

static baton_err_t s_expect (bn_lab_config_t *self, zconfig_t *section, char detail[512])
{
    bn_lab_expect_t *expect = &self->drill.expect;
    baton_err_t err = BATON_OK;
    for (zconfig_t *item = zconfig_child (section); item && !err; item = zconfig_next (item)) {
        const char *name = zconfig_name (item);
        if (!strcmp (name, "outage"))
            err = s_time (self->zpl, item, &expect->outage_ms, detail);
        else if (!strcmp (name, "p99_before"))
            err = s_time (self->zpl, item, &expect->p99_ms[BN_LAB_BEFORE], detail);
        else if (!strcmp (name, "p99_during"))
            err = s_time (self->zpl, item, &expect->p99_ms[BN_LAB_DURING], detail);
        else if (!strcmp (name, "p99_after"))
            err = s_time (self->zpl, item, &expect->p99_ms[BN_LAB_AFTER], detail);
        else if (!strcmp (name, "dead"))
            err = s_range (self->zpl, item, &expect->dead_min, &expect->dead_max, detail);
        else if (!strcmp (name, "events"))
            err = s_number (self->zpl, item, 0, BN_LAB_EVENTS_MAX, &expect->events_min, detail);
        else
            err = bn_zpl_refuse (self->zpl, item, detail,
                                 "unknown property '%s': expected outage, p99_before, p99_during, "
                                 "p99_after, dead or events",
                                 name);
    }
    return err;
}

static baton_err_t s_ready (bn_lab_config_t *self, zconfig_t *item, char detail[512])
{
    char text[2048], *rest = text;
    snprintf (text, sizeof (text), "%s", s_value (item));
    for (char *word; (word = strsep (&rest, " \t"));) {
        if (!*word)
            continue;
        if (self->drill.ready_count == BN_LAB_NAMES_MAX || strlen (word) > BATON_NAME_BYTES_MAX)
            return bn_zpl_refuse (self->zpl, item, detail, "expected names of actors");
        snprintf (self->drill.ready[self->drill.ready_count++], BATON_NAME_BYTES_MAX + 1, "%s",
                  word);
    }
    return BATON_OK;
}

static baton_err_t s_head (bn_lab_config_t *self, zconfig_t *section, bool *ready, char detail[512])
{
    baton_err_t err = BATON_OK;
    for (zconfig_t *item = zconfig_child (section); item && !err; item = zconfig_next (item)) {
        const char *name = zconfig_name (item);
        uint64_t number;
        if (!strcmp (name, "about"))
            snprintf (self->about, sizeof (self->about), "%s", s_value (item));
        else if (!strcmp (name, "hosts")) {
            err = s_number (self->zpl, item, 1, BN_LAB_HOSTS_MAX, &number, detail);
            self->hosts = self->hosts ? self->hosts : (uint32_t)number;
        } else if (!strcmp (name, "disk")) {
            if (!bn_config_bytes (s_value (item), &self->disk_bytes) ||
                self->disk_bytes < DISK_MIN || self->disk_bytes > DISK_MAX)
                err = bn_zpl_refuse (self->zpl, item, detail, "disk = %s: expected 16MiB to 4GiB",
                                     s_value (item));
        } else if (!strcmp (name, "start"))
            err = s_time (self->zpl, item, &self->drill.start_ms, detail);
        else if (!strcmp (name, "drain"))
            err = s_time (self->zpl, item, &self->drill.drain_ms, detail);
        else if (!strcmp (name, "ready")) {
            *ready = true;
            err = s_ready (self, item, detail);
        } else
            err = bn_zpl_refuse (self->zpl, item, detail,
                                 "unknown property '%s': expected about, hosts, disk, start, "
                                 "drain or ready",
                                 name);
    }
    return err;
}

/*  In the drill itself, or in a file of its own beside it.  */
static baton_err_t s_drill_system (bn_lab_config_t *self, zconfig_t *section, char detail[512])
{
    zconfig_t *file = s_child (section, "file");
    if (!file)
        return s_plan (self, self->zpl, section, detail);
    if (zconfig_next (file) || file != zconfig_child (section))
        return bn_zpl_refuse (self->zpl, file, detail, "'file' goes alone");
    char path[PATH_MAX], folder[PATH_MAX];
    snprintf (folder, sizeof (folder), "%s", bn_zpl_path (self->zpl));
    if (snprintf (path, sizeof (path), "%s%s%s", *s_value (file) == '/' ? "" : dirname (folder),
                  *s_value (file) == '/' ? "" : "/", s_value (file)) >= (int)sizeof (path))
        return bn_zpl_refuse (self->zpl, file, detail, "the name is too long");
    baton_err_t err = bn_zpl_load (&self->other, path, detail);
    return err ? err : s_plan (self, self->other, bn_zpl_root (self->other), detail);
}

/*  A time or count, scaled; what was something stays something.  */
static uint64_t s_scaled (uint64_t value, double scale)
{
    uint64_t scaled = (uint64_t)((double)value * scale + 0.5);
    return value && !scaled ? 1 : scaled;
}

static void s_scale (bn_lab_drill_t *drill, double scale)
{
    for (size_t i = 0; i < drill->stream_count; i++) {
        bn_lab_stream_t *stream = &drill->streams[i];
        stream->start_ms = s_scaled (stream->start_ms, scale);
        stream->for_ms = s_scaled (stream->for_ms, scale);
        stream->count = s_scaled (stream->count, scale);
    }
    for (size_t i = 0; i < drill->step_count; i++) {
        bn_lab_step_t *step = &drill->steps[i];
        step->at_ms = s_scaled (step->at_ms, scale);
        step->order.for_ms = s_scaled (step->order.for_ms, scale);
    }
}

static baton_err_t s_sections (bn_lab_config_t *self, char detail[512])
{
    zconfig_t *root = bn_zpl_root (self->zpl), *system = NULL;
    bool ready = false;
    baton_err_t err = BATON_OK;
    for (zconfig_t *item = zconfig_child (root); item && !err; item = zconfig_next (item)) {
        const char *name = zconfig_name (item);
        for (zconfig_t *other = zconfig_child (root); other != item; other = zconfig_next (other))
            if (!strcmp (zconfig_name (other), name))
                return bn_zpl_refuse (self->zpl, item, detail, "a second section '%s'", name);
        if (!strcmp (name, "drill"))
            err = s_head (self, item, &ready, detail);
        else if (!strcmp (name, "system"))
            system = item;
        else if (!strcmp (name, "load"))
            err = s_load (self, item, detail);
        else if (!strcmp (name, "steps"))
            err = s_steps (self, item, detail);
        else if (!strcmp (name, "effects"))
            err = s_effects (self, item, detail);
        else if (!strcmp (name, "expect"))
            err = s_expect (self, item, detail);
        else
            err = bn_zpl_refuse (self->zpl, item, detail,
                                 "unknown section '%s': expected drill, system, load, steps, "
                                 "effects or expect",
                                 name);
    }
    if (err)
        return err;
    if (!system || !self->drill.stream_count) {
        snprintf (detail, 512, "%s: a section '%s' is needed", bn_zpl_path (self->zpl),
                  system ? "load" : "system");
        return BATON_ERR_CONFIG;
    }
    err = s_drill_system (self, system, detail);
    if (!err)
        err = s_check_steps (self, detail);
    self->drill.ready_all = !ready;
    for (size_t i = 0; i < self->plan.service_count && !ready && !err; i++)
        snprintf (self->drill.ready[self->drill.ready_count++], BATON_NAME_BYTES_MAX + 1, "%s",
                  self->plan.services[i].name);
    return err;
}

baton_err_t bn_lab_config_drill (bn_lab_config_t *self, const char *path, uint32_t hosts,
                                 double scale, char detail[512])
{
    memset (self, 0, sizeof (*self));
    bn_lab_drill_init (&self->drill);
    self->hosts = hosts;
    baton_err_t err = bn_zpl_load (&self->zpl, path, detail);
    if (!err)
        err = s_sections (self, detail);
    if (!err)
        s_scale (&self->drill, scale);
    return err;
}

baton_err_t bn_lab_config_about (const char *path, char about[512])
{
    char detail[512];
    bn_zpl_t *zpl;
    baton_err_t err = bn_zpl_load (&zpl, path, detail);
    if (err)
        return err;
    zconfig_t *drill = s_child (bn_zpl_root (zpl), "drill");
    zconfig_t *line = s_child (drill, "about");
    snprintf (about, 512, "%s", line ? s_value (line) : "");
    bn_zpl_destroy (&zpl);
    return drill ? BATON_OK : BATON_ERR_CONFIG;
}

void bn_lab_config_fini (bn_lab_config_t *self)
{
    for (size_t i = 0; i < BN_LAB_STREAMS_MAX; i++)
        free (self->datas[i]);
    zconfig_destroy (&self->top);
    bn_zpl_destroy (&self->other);
    bn_zpl_destroy (&self->zpl);
    memset (self, 0, sizeof (*self));
}
