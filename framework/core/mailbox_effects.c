/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_effects.c - the list of effects of the mailbox; runs and what is in them.  */

#include "core/mailbox_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bn_mailbox_effects_init (bn_mailbox_effects_t *self)
{
    *self = (bn_mailbox_effects_t){0};
}

static void effect_fini (bn_mailbox_effect_t *effect)
{
    bn_blob_unref (&effect->head);
    for (uint32_t i = 0; i < effect->payload_count; i++)
        bn_blob_unref (&effect->payloads[i].blob);
    free (effect->payloads);
    bn_run_destroy (&effect->run);
    free (effect->text);
    *effect = (bn_mailbox_effect_t){0};
}

void bn_mailbox_effects_clear (bn_mailbox_effects_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        effect_fini (&self->items[i]);
    self->count = 0;
}

void bn_mailbox_effects_fini (bn_mailbox_effects_t *self)
{
    bn_mailbox_effects_clear (self);
    free (self->items);
    *self = (bn_mailbox_effects_t){0};
}

bn_mailbox_effect_t *bn_mailbox_effect (bn_mailbox_t *self, bn_mailbox_effect_kind_t kind)
{
    bn_mailbox_effects_t *list = self->fx;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        bn_mailbox_effect_t *items = realloc (list->items, capacity * sizeof *items);
        if (!items) {
            list->failed = true;
            return NULL;
        }
        list->items = items;
        list->capacity = capacity;
    }
    bn_mailbox_effect_t *effect = &list->items[list->count++];
    *effect = (bn_mailbox_effect_t){.kind = kind};
    return effect;
}

void bn_mailbox_log (bn_mailbox_t *self, bn_log_level_t level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    bn_mailbox_effect_t *effect = bn_mailbox_effect (self, BN_MAILBOX_LOG);
    if (!effect)
        return;
    effect->level = level;
    effect->text = strdup (text);
    if (!effect->text)
        bn_mailbox_no_memory (self);
}

void bn_mailbox_no_memory (bn_mailbox_t *self)
{
    self->fx->failed = true;
}

void bn_emissions_free (bn_emission_t *emissions, uint32_t count, bool within)
{
    bn_blob_t *first = count > 0 ? emissions[0].blob : NULL;
    for (uint32_t i = 1; i < count; i++)
        bn_blob_unref (&emissions[i].blob);
    if (!within)
        free (emissions);
    bn_blob_unref (&first);
}

void bn_run_item_fini (bn_run_item_t *item)
{
    bn_emissions_free (item->emissions, item->emission_count, item->emissions_within);
    bn_blob_unref (&item->blob);
    bn_blob_unref (&item->topic_blob);
    free (item->reason);
    item->reason = NULL;
    item->emissions = NULL;
    item->emissions_within = false;
    item->emission_count = 0;
}

void bn_run_destroy (bn_run_t **self_p)
{
    bn_run_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->count; i++)
        bn_run_item_fini (&self->items[i]);
    free (self->items);
    free (self);
    *self_p = NULL;
}
