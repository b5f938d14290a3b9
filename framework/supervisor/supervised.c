/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_TIMEOUT_MS 10000
#define BACKOFF_MAX_MS  10000
#define PATIENCE_MS     30000 /* for a successor, before it is said that it is waited for */

/*  ---- what its processes are started from ---- */

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

static bool s_strings_same (char *const *mine, const char *const *others)
{
    size_t i = 0;
    while (mine[i] && others && others[i] && !strcmp (mine[i], others[i]))
        i++;
    return !mine[i] && !(others && others[i]);
}

bn_definition_t *bn_definition_new (const bn_service_options_t *options)
{
    bn_definition_t *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->argv = s_strings_copy (options->argv);
    self->environment = s_strings_copy (options->environment);
    self->directory = options->directory ? strdup (options->directory) : NULL;
    if (!self->argv || !self->environment || (options->directory && !self->directory))
        bn_definition_destroy (&self);
    return self;
}

void bn_definition_destroy (bn_definition_t **self_p)
{
    bn_definition_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    s_strings_free (self->argv);
    s_strings_free (self->environment);
    free (self->directory);
    free (self);
}

bool bn_definition_same (const bn_definition_t *self, const bn_service_options_t *options)
{
    const char *mine = self->directory ? self->directory : "";
    const char *other = options->directory ? options->directory : "";
    return s_strings_same (self->argv, options->argv) &&
           s_strings_same (self->environment, options->environment) && !strcmp (mine, other);
}

/*  ---- the service ---- */

static bool s_name_valid (const char *name)
{
    size_t size = strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return size > 0 && !name[size] && size <= BATON_NAME_BYTES_MAX - 4; /* room for "-256" */
}

baton_err_t bn_supervised_check (const bn_service_options_t *options)
{
    if (!options->argv || !options->argv[0])
        return BATON_ERR_ARGUMENT;
    return options->name && s_name_valid (options->name) ? BATON_OK : BATON_ERR_NAME;
}

void bn_supervised_set (bn_supervised_t *self, const bn_service_options_t *options)
{
    self->stop_timeout_ms = options->stop_timeout_ms ? options->stop_timeout_ms : STOP_TIMEOUT_MS;
    self->backoff_max_ms = options->backoff_max_ms ? options->backoff_max_ms : BACKOFF_MAX_MS;
    self->watchdog_ms = options->watchdog_ms;
    self->restart = options->restart;
    self->intensity = options->intensity < BN_SUPERVISOR_INTENSITY_MAX
                          ? options->intensity
                          : BN_SUPERVISOR_INTENSITY_MAX;
    self->intensity_period_ms = options->intensity_period_ms;
}

baton_err_t bn_supervised_new (bn_supervised_t **service, bn_supervisor_t *supervisor,
                               const bn_service_options_t *options)
{
    *service = NULL;
    bn_supervised_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->supervisor = supervisor;
    self->revision = 1;
    self->declared = options->instances;
    snprintf (self->name, sizeof (self->name), "%s", options->name);
    bn_supervised_set (self, options);
    self->gate = options->gate;
    self->gate_arg = options->gate_arg;
    self->essential = options->essential;
    self->open = !options->gate;
    self->definition = bn_definition_new (options);
    if (!self->definition || bn_supervised_scale (self, options->instances, 0)) {
        bn_supervised_destroy (&self);
        return BATON_ERR_MEMORY;
    }
    *service = self;
    return BATON_OK;
}

void bn_supervised_destroy (bn_supervised_t **self_p)
{
    bn_supervised_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_process_destroy (&self->slots[i]->process);
        bn_health_close (&self->slots[i]->health);
        free (self->slots[i]);
    }
    free (self->slots);
    bn_definition_destroy (&self->definition);
    free (self);
}

/*  ---- how many ---- */

/*  Makes the slots that are missing: those that are leaving stay after all, then come the lowest
 *  numbers that are free.  */
static baton_err_t s_grow (bn_supervised_t *self)
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
        bn_child_t **grown = realloc (self->slots, (self->slot_count + 1) * sizeof (*self->slots));
        bn_child_t *slot = calloc (1, sizeof (*slot));
        if (grown)
            self->slots = grown;
        if (!grown || !slot) {
            free (slot);
            return BATON_ERR_MEMORY;
        }
        memmove (&self->slots[at + 1], &self->slots[at],
                 (self->slot_count - at) * sizeof (*self->slots));
        slot->service = self;
        slot->health.fd = -1;
        slot->number = number;
        self->slots[at] = slot;
        self->slot_count++;
        staying++;
    }
    return BATON_OK;
}

size_t bn_supervised_slots_at (const bn_supervised_t *self, uint32_t wanted)
{
    size_t count = wanted;
    for (size_t i = 0; i < self->slot_count; i++)
        count += self->slots[i]->number > wanted;
    return count;
}

baton_err_t bn_supervised_scale (bn_supervised_t *self, uint32_t wanted, uint64_t now_ms)
{
    size_t staying = 0;
    self->wanted = wanted;
    for (size_t i = 0; i < self->slot_count; i++)
        staying += !self->slots[i]->leaving;
    for (size_t i = self->slot_count; i > 0 && staying > wanted; i--)
        if (!self->slots[i - 1]->leaving) {
            bn_child_stop (self->slots[i - 1], now_ms);
            staying--;
        }
    return s_grow (self);
}

void bn_supervised_sweep (bn_supervised_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_child_t *slot = self->slots[i];
        if (slot->leaving && !slot->process)
            free (slot);
        else
            self->slots[kept++] = slot;
    }
    self->slot_count = kept;
}

/*  ---- replacing ---- */

void bn_supervised_revive (bn_supervised_t *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->slot_count; i++) {
        const bn_child_t *slot = self->slots[i];
        if (slot->state == BN_CHILD_PARKED || slot->state == BN_CHILD_DONE)
            bn_child_revive (self->slots[i], now_ms);
    }
}

void bn_supervised_restart (bn_supervised_t *self, uint64_t now_ms)
{
    self->revision++;
    self->rolling = true;
    self->awaited_ms = 0;
    for (size_t i = 0; i < self->slot_count; i++)
        bn_child_revive (self->slots[i], now_ms);
}

/*  A successor that keeps the others from being replaced is named once.  */
static void s_await (bn_supervised_t *self, const bn_child_t *slot, uint64_t now_ms)
{
    if (!self->awaited_ms) {
        self->awaited_ms = now_ms;
        self->awaited_told = false;
    }
    if (self->awaited_told || now_ms - self->awaited_ms < PATIENCE_MS)
        return;
    self->awaited_told = true;
    bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " is not ready yet; the other instances wait for it",
            self->name, slot->number);
}

uint64_t bn_supervised_roll (bn_supervised_t *self, uint64_t now_ms)
{
    bn_child_t *next = NULL;
    const bn_child_t *awaited = NULL;
    uint64_t look_ms = UINT64_MAX;
    if (!self->rolling)
        return look_ms;
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_child_t *slot = self->slots[i];
        uint64_t when_ms;
        if (slot->leaving || slot->state == BN_CHILD_DONE)
            continue;
        if (slot->state == BN_CHILD_RUNNING && slot->revision != self->revision)
            next = next ? next : slot;
        else if (!bn_child_ready (slot, now_ms, &when_ms)) {
            awaited = awaited ? awaited : slot;
            look_ms = when_ms < look_ms ? when_ms : look_ms;
        }
    }
    if (awaited) {
        s_await (self, awaited, now_ms);
        uint64_t told_ms = self->awaited_ms + PATIENCE_MS;
        return !self->awaited_told && told_ms < look_ms ? told_ms : look_ms;
    }
    self->awaited_ms = 0;
    if (next) {
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is being replaced", self->name, next->number);
        bn_child_replace (next, now_ms); /* V3 */
    } else {
        self->rolling = false;
        bn_log (BN_LOG_INFO, "%s: every instance is replaced", self->name);
    }
    return look_ms;
}
