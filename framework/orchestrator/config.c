/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/config.h"
#include "wire/message.h"
#include <inttypes.h>
#include <stddef.h>

#define KIB    UINT64_C (1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)
#define DAY_MS UINT64_C (86400000)

typedef enum { TYPE_TEXT, TYPE_SYNC, TYPE_COUNT, TYPE_BYTES, TYPE_MS } property_type_t;

typedef struct {
    const char *name;
    property_type_t type;
    size_t offset;     /* in baton_orchestrator_options_t */
    size_t width;      /* bytes of the field */
    uint64_t min, max; /* of a number that is set */
    uint64_t preset;   /* default of a number */
    const char *text;  /* default of a text; NULL: depends on something else */
    const char *about;
} property_t;

#define FIELD(name, type)                                                                          \
#name, type, offsetof(baton_orchestrator_options_t, name),                                     \
        sizeof(((baton_orchestrator_options_t *)0)->name)

/*  The texts come first, in the order of bn_orchestrator_config_t.texts.  */
static const property_t properties[] = {
    {FIELD (data_dir, TYPE_TEXT), 0, 0, 0, "./.baton", "where the journal is kept"},
    {FIELD (endpoint, TYPE_TEXT), 0, 0, 0, "tcp://127.0.0.1:7711",
     "requests; tcp://HOST:PORT (port *: any free one) or ipc://PATH"},
    {FIELD (fanout_endpoint, TYPE_TEXT), 0, 0, 0, NULL, "fan-out; default: same host, next port"},
    {FIELD (partitions, TYPE_COUNT), 1, BN_PARTITIONS_MAX, 32, NULL,
     "fixed when the journal is created: the parallelism of an actor at most"},
    {FIELD (sync, TYPE_SYNC), 0, 0, 0, "always",
     "always: receipts wait for fdatasync; interval: it comes now and then; never: tests"},
    {FIELD (sync_interval_ms, TYPE_MS), 1, 60000, 50, NULL, "between syncs, for sync = interval"},
    {FIELD (segment_bytes, TYPE_BYTES), MIB, 4 * GIB, 64 * MIB, NULL, "one file of the journal"},
    {FIELD (disk_reserve_bytes, TYPE_BYTES), 1, UINT64_MAX, 128 * MIB, NULL,
     "publishing is refused below this much free space"},
    {FIELD (retention_bytes, TYPE_BYTES), 0, UINT64_MAX, 0, NULL,
     "settled events beyond this size go, oldest first; 0: keep everything"},
    {FIELD (retention_ms, TYPE_MS), 0, UINT64_MAX, 0, NULL,
     "settled events older than this go; 0: keep everything"},
    {FIELD (message_bytes_max, TYPE_BYTES), 64 * KIB, 64 * MIB, 8 * MIB, NULL, "one request"},
    {FIELD (data_bytes_max, TYPE_BYTES), KIB, BATON_DATA_BYTES_MAX, BATON_DATA_BYTES_MAX, NULL,
     "data of one event"},
    {FIELD (topics_max, TYPE_COUNT), 1, 1000000, 10000, NULL, "topics"},
    {FIELD (actors_max, TYPE_COUNT), 1, 100000, 1000, NULL, "registered actors"},
    {FIELD (sessions_max, TYPE_COUNT), 1, 100000, 4000, NULL, "connections at a time"},
    {FIELD (producers_max, TYPE_COUNT), 1, 10000000, 100000, NULL,
     "producers whose last sequence is remembered"},
    {FIELD (parked_max, TYPE_COUNT), 1, BN_PARKED_MAX, 1000, NULL,
     "parked events of an actor in a partition"},
    {FIELD (dead_max, TYPE_COUNT), 1, 10000000, 100000, NULL, "dead letters of an actor"},
    {FIELD (heartbeat_ms, TYPE_MS), 10, 60000, 500, NULL, "between heartbeats of an instance"},
    {FIELD (session_timeout_ms, TYPE_MS), 100, 3600000, 6000, NULL,
     "an instance that is silent for so long is taken for dead; at least twice heartbeat_ms"},
    {FIELD (reconnect_grace_ms, TYPE_MS), 1, 3600000, 1000, NULL,
     "an instance whose connection is lost may come back within"},
    {FIELD (fanout_hwm, TYPE_COUNT), 1, 1000000, 1000, NULL,
     "messages that may wait for a slow subscriber before the fan-out drops; it then fetches"},
    {FIELD (checkpoint_bytes, TYPE_BYTES), 64 * KIB, UINT64_MAX, 64 * MIB, NULL,
     "journal bytes between checkpoints of the views: what a start has to replay at most"},
    {FIELD (keep_awake_ms, TYPE_MS), 0, 60000, 0, NULL,
     "processors do not sleep while events come and so long after: less latency; 0: they may"},
};

#define PROPERTIES (sizeof properties / sizeof *properties)

static const char *const sync_names[] = {"always", "interval", "never"};

typedef struct {
    const char *suffix;
    uint64_t factor;
} unit_t;

/*  Largest first: printing takes the first that divides.  */
static const unit_t byte_units[] = {{"TiB", TIB}, {"GiB", GIB}, {"MiB", MIB},
                                    {"KiB", KIB}, {"B", 1},     {"", 1}};
static const unit_t time_units[] = {{"d", DAY_MS}, {"h", 3600000}, {"m", 60000},
                                    {"s", 1000},   {"ms", 1},      {"", 1}};
#define UNITS 6

static bool parse_number (const char *text, const unit_t *units, uint64_t *result)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (at == text)
        return false;
    while (*at == ' ')
        at++;
    for (size_t i = 0; i < UNITS; i++) {
        if (strcmp (at, units[i].suffix) != 0)
            continue;
        if (value > UINT64_MAX / units[i].factor)
            return false;
        *result = value * units[i].factor;
        return true;
    }
    return false;
}

bool bn_config_bytes (const char *text, uint64_t *bytes)
{
    return parse_number (text, byte_units, bytes);
}

bool bn_config_ms (const char *text, uint64_t *ms)
{
    return parse_number (text, time_units, ms);
}

static bool parse_count (const char *text, uint64_t *count)
{
    static const unit_t none[UNITS] = {{"", 1}, {"", 1}, {"", 1}, {"", 1}, {"", 1}, {"", 1}};
    return parse_number (text, none, count);
}

static void print_number (char *out, size_t size, property_type_t type, uint64_t value)
{
    if (value > 0 && type != TYPE_COUNT)
        for (size_t i = 0; i < UNITS; i++) {
            const unit_t *unit = type == TYPE_BYTES ? &byte_units[i] : &time_units[i];
            if (value % unit->factor == 0) {
                snprintf (out, size, "%" PRIu64 " %s", value / unit->factor, unit->suffix);
                return;
            }
        }
    snprintf (out, size, "%" PRIu64, value);
}

static uint64_t get_number (const property_t *property, const baton_orchestrator_options_t *options)
{
    const char *at = (const char *)options + property->offset;
    uint32_t narrow;
    uint64_t wide;
    if (property->width == sizeof wide) {
        memcpy (&wide, at, sizeof wide);
        return wide;
    }
    memcpy (&narrow, at, sizeof narrow);
    return narrow;
}

static void set_number (const property_t *property, baton_orchestrator_options_t *options,
                        uint64_t value)
{
    char *at = (char *)options + property->offset;
    uint32_t narrow = (uint32_t)value;
    if (property->width == sizeof value)
        memcpy (at, &value, sizeof value);
    else
        memcpy (at, &narrow, sizeof narrow);
}

static const char **text_field (const property_t *property, baton_orchestrator_options_t *options)
{
    return (const char **)(void *)((char *)options + property->offset);
}

static void describe_range (const property_t *property, char *out, size_t size)
{
    char min[32], max[32];
    print_number (min, sizeof min, property->type, property->min);
    print_number (max, sizeof max, property->type, property->max);
    if (property->max == UINT64_MAX)
        snprintf (out, size, "at least %s", min);
    else
        snprintf (out, size, "%s to %s", min, max);
}

static bool in_range (const property_t *property, uint64_t value)
{
    return value >= property->min && value <= property->max;
}

/*  What is wrong with an endpoint, or NULL.  */
static const char *check_endpoint (const char *endpoint)
{
    if (strlen (endpoint) > BN_ENDPOINT_BYTES_MAX)
        return "longer than 255 bytes";
    if (strncmp (endpoint, "ipc://", 6) == 0)
        return endpoint[6] ? NULL : "expected ipc://PATH";
    const char *host = endpoint + 6;
    const char *colon = strrchr (endpoint, ':');
    if (strncmp (endpoint, "tcp://", 6) != 0 || colon <= host)
        return "expected tcp://HOST:PORT or ipc://PATH";
    if (strcmp (colon + 1, "*") == 0)
        return NULL;
    uint64_t port;
    return parse_count (colon + 1, &port) && port <= 65535 ? NULL
                                                           : "expected a port, 0 to 65535, or *";
}

void bn_orchestrator_config_init (bn_orchestrator_config_t *self)
{
    *self = (bn_orchestrator_config_t){.texts = {NULL}};
}

void bn_orchestrator_config_fini (bn_orchestrator_config_t *self)
{
    for (size_t i = 0; i < sizeof self->texts / sizeof *self->texts; i++)
        free (self->texts[i]);
    bn_orchestrator_config_init (self);
}

static baton_err_t set_text (bn_orchestrator_config_t *self, size_t index, bn_zpl_t *zpl,
                             zconfig_t *item, char detail[512])
{
    const property_t *property = &properties[index];
    const char *value = zconfig_value (item);
    if (!value || !*value)
        return bn_zpl_refuse (zpl, item, detail, "%s needs a value", property->name);
    const char *what = index == 0 ? NULL : check_endpoint (value);
    if (what)
        return bn_zpl_refuse (zpl, item, detail, "%s = %s: %s", property->name, value, what);
    free (self->texts[index]);
    self->texts[index] = strdup (value);
    if (!self->texts[index])
        return BATON_ERR_MEMORY;
    *text_field (property, &self->options) = self->texts[index];
    return BATON_OK;
}

static baton_err_t set_sync (bn_orchestrator_config_t *self, bn_zpl_t *zpl, zconfig_t *item,
                             char detail[512])
{
    const char *value = zconfig_value (item);
    for (size_t i = 0; value && i < 3; i++)
        if (strcmp (value, sync_names[i]) == 0) {
            self->options.sync = (baton_sync_t)i;
            return BATON_OK;
        }
    return bn_zpl_refuse (zpl, item, detail, "sync = %s: expected always, interval or never",
                          value ? value : "");
}

static baton_err_t set_property (bn_orchestrator_config_t *self, size_t index, bn_zpl_t *zpl,
                                 zconfig_t *item, char detail[512])
{
    static const char *const kinds[] = {
        [TYPE_COUNT] = "a whole number",
        [TYPE_BYTES] = "a size such as 4096, 64KiB, 8MiB or 1GiB",
        [TYPE_MS] = "a time such as 500ms, 2s, 10m, 12h or 7d",
    };
    const property_t *property = &properties[index];
    if (zconfig_child (item))
        return bn_zpl_refuse (zpl, zconfig_child (item), detail, "%s has no properties of its own",
                              property->name);
    if (property->type == TYPE_TEXT)
        return set_text (self, index, zpl, item, detail);
    if (property->type == TYPE_SYNC)
        return set_sync (self, zpl, item, detail);

    const char *value = zconfig_value (item);
    uint64_t number = 0;
    bool parsed = value && (property->type == TYPE_COUNT   ? parse_count (value, &number)
                            : property->type == TYPE_BYTES ? bn_config_bytes (value, &number)
                                                           : bn_config_ms (value, &number));
    if (!parsed)
        return bn_zpl_refuse (zpl, item, detail, "%s = %s: expected %s", property->name,
                              value ? value : "", kinds[property->type]);
    if (!in_range (property, number)) {
        char range[80];
        describe_range (property, range, sizeof range);
        return bn_zpl_refuse (zpl, item, detail, "%s = %s is out of range: expected %s",
                              property->name, value, range);
    }
    set_number (property, &self->options, number);
    return BATON_OK;
}

baton_err_t bn_orchestrator_config_section (bn_orchestrator_config_t *self, bn_zpl_t *zpl,
                                            zconfig_t *section, char detail[512])
{
    bool seen[PROPERTIES] = {false};
    for (zconfig_t *item = zconfig_child (section); item; item = zconfig_next (item)) {
        size_t index = 0;
        while (index < PROPERTIES && strcmp (zconfig_name (item), properties[index].name) != 0)
            index++;
        if (index == PROPERTIES)
            return bn_zpl_refuse (zpl, item, detail,
                                  "unknown property '%s' (baton orchestrator --help lists them)",
                                  zconfig_name (item));
        if (seen[index])
            return bn_zpl_refuse (zpl, item, detail, "'%s' is set twice", zconfig_name (item));
        seen[index] = true;
        baton_err_t err = set_property (self, index, zpl, item, detail);
        if (err == BATON_ERR_MEMORY)
            snprintf (detail, 512, "%s", baton_err_text (err));
        if (err)
            return err;
    }
    baton_orchestrator_options_t filled;
    char what[512];
    if (bn_orchestrator_options_fill (&filled, &self->options, what) != BATON_OK)
        return bn_zpl_refuse (zpl, section, detail, "%.380s", what);
    return BATON_OK;
}

baton_err_t bn_orchestrator_config_load (bn_orchestrator_config_t *self, const char *path,
                                         char detail[512])
{
    bn_zpl_t *zpl;
    baton_err_t err = bn_zpl_load (&zpl, path, detail);
    if (err)
        return err;
    zconfig_t *found = NULL;
    for (zconfig_t *item = zconfig_child (bn_zpl_root (zpl)); item && !err;
         item = zconfig_next (item)) {
        if (strcmp (zconfig_name (item), "orchestrator") != 0)
            err = bn_zpl_refuse (zpl, item, detail, "unknown section '%s': expected 'orchestrator'",
                                 zconfig_name (item));
        else if (found)
            err = bn_zpl_refuse (zpl, item, detail, "a second section 'orchestrator'");
        else
            err = bn_orchestrator_config_section (self, zpl, found = item, detail);
    }
    bn_zpl_destroy (&zpl);
    return err;
}

baton_err_t bn_orchestrator_options_fill (baton_orchestrator_options_t *filled,
                                          const baton_orchestrator_options_t *given,
                                          char detail[512])
{
    *filled = given ? *given : (baton_orchestrator_options_t){.partitions = 0};
    for (size_t i = 0; i < PROPERTIES; i++) {
        const property_t *property = &properties[i];
        if (property->type == TYPE_TEXT) {
            const char **text = text_field (property, filled);
            if (!*text || !**text)
                *text = property->text;
            const char *what = i > 0 && *text ? check_endpoint (*text) : NULL;
            if (what) {
                snprintf (detail, 512, "%s = %s: %s", property->name, *text, what);
                return BATON_ERR_CONFIG;
            }
            continue;
        }
        if (property->type == TYPE_SYNC) {
            if ((unsigned int)filled->sync <= BATON_SYNC_NEVER)
                continue;
            snprintf (detail, 512, "sync = %d: expected always, interval or never", filled->sync);
            return BATON_ERR_CONFIG;
        }
        uint64_t value = get_number (property, filled);
        if (value == 0)
            value = property->preset;
        if (!in_range (property, value)) {
            char range[80];
            describe_range (property, range, sizeof range);
            snprintf (detail, 512, "%s = %" PRIu64 " is out of range: expected %s", property->name,
                      value, range);
            return BATON_ERR_CONFIG;
        }
        set_number (property, filled, value);
    }
    if (filled->session_timeout_ms < 2 * filled->heartbeat_ms) {
        snprintf (detail, 512, "session_timeout_ms (%u) must be at least twice heartbeat_ms (%u)",
                  filled->session_timeout_ms, filled->heartbeat_ms);
        return BATON_ERR_CONFIG;
    }
    if (filled->data_bytes_max > filled->message_bytes_max) {
        snprintf (detail, 512, "data_bytes_max (%u) must not be more than message_bytes_max (%u)",
                  filled->data_bytes_max, filled->message_bytes_max);
        return BATON_ERR_CONFIG;
    }
    return BATON_OK;
}

void bn_orchestrator_config_print (FILE *out)
{
    fprintf (out, "orchestrator\n");
    for (size_t i = 0; i < PROPERTIES; i++) {
        const property_t *property = &properties[i];
        char value[64];
        if (property->type == TYPE_TEXT || property->type == TYPE_SYNC)
            snprintf (value, sizeof value, "%s", property->text ? property->text : "...");
        else
            print_number (value, sizeof value, property->type, property->preset);
        fprintf (out, "    #  %s", property->about);
        if (property->max > 0 && (property->min > 0 || property->max < UINT64_MAX)) {
            char range[80];
            describe_range (property, range, sizeof range);
            fprintf (out, "; %s", range);
        }
        fprintf (out, "\n    %s%s = %s\n", property->text || property->type != TYPE_TEXT ? "" : "#",
                 property->name, value);
    }
}
