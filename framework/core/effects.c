/* SPDX-License-Identifier: MPL-2.0 */

/*  effects.c - the list of effects: see effects.h for what they mean.  */
#include "core/effects.h"
#include "base/assert.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES_MAX 512

bn_read_spec_t *bn_read_spec_new (void)
{
    bn_read_spec_t *self = calloc (1, sizeof *self);
    if (self)
        for (uint32_t partition = 0; partition < BN_PARTITIONS_MAX; partition++)
            self->from_by_partition[partition] = BN_NO_OFFSET;
    return self;
}

void bn_read_spec_destroy (bn_read_spec_t **self_p)
{
    bn_read_spec_t *self = *self_p;
    if (!self)
        return;
    free (self->patterns);
    free (self->offsets);
    free (self);
    *self_p = NULL;
}

void bn_effects_init (bn_effects_t *self)
{
    memset (self, 0, sizeof *self);
}

void bn_effects_clear (bn_effects_t *self)
{
    for (size_t index = 0; index < self->count; index++)
        bn_effect_fini (&self->items[index]);
    self->count = 0;
}

void bn_effects_fini (bn_effects_t *self)
{
    bn_effects_clear (self);
    bn_effect_fini (&self->scratch);
    free (self->items);
    memset (self, 0, sizeof *self);
}

bn_effect_t *bn_effects_add (bn_effects_t *self, bn_effect_kind_t kind)
{
    bn_effect_t *effect = NULL;
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 16;
        bn_effect_t *items = realloc (self->items, capacity * sizeof *items);
        if (items) {
            self->items = items;
            self->capacity = capacity;
        } else {
            self->failed = true;
            effect = &self->scratch;
            bn_effect_fini (effect);
        }
    }
    if (!effect)
        effect = &self->items[self->count++];
    memset (effect, 0, sizeof *effect);
    effect->kind = kind;
    return effect;
}

void bn_effects_log (bn_effects_t *self, bn_log_level_t level, const char *format, ...)
{
    char *text = malloc (LOG_BYTES_MAX);
    if (!text) {
        self->failed = true;
        return;
    }
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, LOG_BYTES_MAX, format, arguments);
    va_end (arguments);
    bn_effect_t *effect = bn_effects_add (self, BN_EFFECT_LOG);
    effect->level = level;
    effect->text = text;
}

void bn_effect_fini (bn_effect_t *effect)
{
    bn_blob_unref (&effect->body);
    bn_blob_unref (&effect->head);
    bn_blob_unref (&effect->header);
    bn_blob_unref (&effect->payload.blob);
    bn_read_spec_destroy (&effect->read);
    free (effect->text);
    memset (effect, 0, sizeof *effect);
}
