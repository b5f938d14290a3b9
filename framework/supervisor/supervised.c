/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/supervisor_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_TIMEOUT_MS 10000

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

void bn_supervised_destroy (bn_supervised_t **self_p)
{
    bn_supervised_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_process_destroy (&self->slots[i]->process);
        free (self->slots[i]);
    }
    free (self->slots);
    s_strings_free (self->argv);
    s_strings_free (self->environment);
    free (self->directory);
    free (self);
}

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

baton_err_t bn_supervised_new (bn_supervised_t **service, bn_supervisor_t *supervisor,
                               const bn_service_options_t *options)
{
    *service = NULL;
    bn_supervised_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->supervisor = supervisor;
    snprintf (self->name, sizeof (self->name), "%s", options->name);
    self->wanted = options->instances;
    self->stop_timeout_ms = options->stop_timeout_ms ? options->stop_timeout_ms : STOP_TIMEOUT_MS;
    self->gate = options->gate;
    self->gate_arg = options->gate_arg;
    self->essential = options->essential;
    self->open = !options->gate;
    self->argv = s_strings_copy (options->argv);
    self->environment = s_strings_copy (options->environment);
    self->directory = options->directory ? strdup (options->directory) : NULL;
    if (!self->argv || !self->environment || (options->directory && !self->directory) ||
        bn_supervised_grow (self)) {
        bn_supervised_destroy (&self);
        return BATON_ERR_MEMORY;
    }
    *service = self;
    return BATON_OK;
}

baton_err_t bn_supervised_grow (bn_supervised_t *self)
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
        slot->number = number;
        self->slots[at] = slot;
        self->slot_count++;
        staying++;
    }
    return BATON_OK;
}

void bn_supervised_shrink (bn_supervised_t *self, uint64_t now_ms)
{
    size_t staying = 0;
    for (size_t i = 0; i < self->slot_count; i++)
        staying += !self->slots[i]->leaving;
    for (size_t i = self->slot_count; i > 0 && staying > self->wanted; i--)
        if (!self->slots[i - 1]->leaving) {
            bn_child_stop (self->slots[i - 1], now_ms);
            staying--;
        }
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
