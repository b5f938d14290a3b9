/* SPDX-License-Identifier: MPL-2.0 */

#include "base/assert.h"
#include "supervisor/supervisor_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_TIMEOUT_MS 10000
#define BACKOFF_MAX_MS  10000

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
    self->order = options->restart_order;
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

/*  Where a number is among the slots, or would be.  */
static size_t s_position (const bn_supervised_t *self, uint32_t number)
{
    size_t at = 0;
    while (at < self->slot_count && self->slots[at]->number < number)
        at++;
    return at;
}

static bool s_has (const bn_supervised_t *self, size_t at, uint32_t number)
{
    return at < self->slot_count && self->slots[at]->number == number;
}

/*  NULL: no memory.  */
static bn_child_t *s_insert (bn_supervised_t *self, size_t at, uint32_t number)
{
    bn_child_t **grown = realloc (self->slots, (self->slot_count + 1) * sizeof (*self->slots));
    bn_child_t *slot = calloc (1, sizeof (*slot));
    if (grown)
        self->slots = grown;
    if (!grown || !slot) {
        free (slot);
        return NULL;
    }
    memmove (&self->slots[at + 1], &self->slots[at],
             (self->slot_count - at) * sizeof (*self->slots));
    slot->service = self;
    slot->health.fd = -1;
    slot->number = number;
    self->slots[at] = slot;
    self->slot_count++;
    return slot;
}

static size_t s_staying (const bn_supervised_t *self)
{
    size_t staying = 0;
    for (size_t i = 0; i < self->slot_count; i++)
        staying += !self->slots[i]->leaving;
    return staying;
}

/*  How many slots are to stay: a successor that comes first is one more (V4).  */
static size_t s_target (const bn_supervised_t *self, uint32_t wanted)
{
    return wanted + (wanted && self->surge);
}

/*  Makes the slots that are missing: those that are leaving stay after all, then come the lowest
 *  numbers that are free.  */
static baton_err_t s_grow (bn_supervised_t *self)
{
    size_t staying = s_staying (self), target = s_target (self, self->wanted);
    for (uint32_t number = 1; staying < target; number++) {
        size_t at = s_position (self, number);
        if (s_has (self, at, number)) {
            staying += self->slots[at]->leaving;
            self->slots[at]->leaving = false;
            continue;
        }
        if (!s_insert (self, at, number))
            return BATON_ERR_MEMORY;
        staying++;
    }
    return BATON_OK;
}

size_t bn_supervised_slots_at (const bn_supervised_t *self, uint32_t wanted)
{
    size_t count = self->slot_count, staying = s_staying (self), target = s_target (self, wanted);
    for (uint32_t number = 1; staying < target; number++) {
        size_t at = s_position (self, number);
        bool has = s_has (self, at, number);
        staying += !has || self->slots[at]->leaving;
        count += !has;
    }
    return count;
}

bn_child_t *bn_supervised_spare (bn_supervised_t *self)
{
    uint32_t number = 1;
    while (s_has (self, s_position (self, number), number))
        number++;
    return s_insert (self, s_position (self, number), number);
}

/*  Which one goes when there are too many: the highest number, and where successors come first,
 *  those that are to be replaced before them. Never the successor that the others wait for.  */
static bn_child_t *s_superfluous (const bn_supervised_t *self)
{
    bool choosy = self->rolling && self->order == BN_RESTART_START_FIRST, found_old = false;
    bn_child_t *found = NULL;
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_child_t *slot = self->slots[i];
        bool old = choosy && slot->revision != self->revision;
        if (slot->leaving || slot->number == self->surge || (found_old && !old))
            continue;
        found = slot;
        found_old = old;
    }
    return found;
}

baton_err_t bn_supervised_scale (bn_supervised_t *self, uint32_t wanted, uint64_t now_ms)
{
    self->wanted = wanted;
    if (wanted == 0)
        self->surge = 0;
    for (size_t staying = s_staying (self); staying > s_target (self, wanted); staying--) {
        bn_child_t *slot = s_superfluous (self);
        bn_assert (slot);
        bn_child_stop (slot, now_ms);
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
