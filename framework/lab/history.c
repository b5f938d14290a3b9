/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/history.h"
#include <stdlib.h>
#include <string.h>

/*  Room for one more item of `size` bytes; the array may move.  */
static baton_err_t s_grow (void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return BATON_OK;
    if (count >= BN_LAB_EVENTS_MAX)
        return BATON_ERR_LIMIT;
    size_t wanted = *capacity ? *capacity * 2 : 256;
    void *grown = realloc (*items, wanted * size);
    if (!grown)
        return BATON_ERR_MEMORY;
    *items = grown;
    *capacity = wanted;
    return BATON_OK;
}

/*  Copies texts into one piece of memory and makes each point there. The first of them is the
 *  piece.  */
static bool s_keep (const char ***texts, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += strlen (*texts[i]) + 1;
    char *at = malloc (total);
    if (!at)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen (*texts[i]) + 1;
        *texts[i] = memcpy (at, *texts[i], size);
        at += size;
    }
    return true;
}

void bn_lab_history_init (bn_lab_history_t *self)
{
    *self = (bn_lab_history_t){0};
}

void bn_lab_history_fini (bn_lab_history_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free ((void *)(uintptr_t)self->events[i].id);
    free (self->events);
    bn_lab_history_init (self);
}

baton_err_t bn_lab_history_add (bn_lab_history_t *self, const bn_lab_event_t *event)
{
    void *items = self->events;
    bn_lab_event_t copy = *event;
    const char **texts[] = {&copy.id,  &copy.source, &copy.topic,
                            &copy.key, &copy.cause,  &copy.correlation};
    baton_err_t err = s_grow (&items, self->count, &self->capacity, sizeof copy);
    self->events = items;
    if (err)
        return err;
    if (!s_keep (texts, sizeof texts / sizeof *texts))
        return BATON_ERR_MEMORY;
    self->events[self->count++] = copy;
    return BATON_OK;
}

const bn_lab_event_t *bn_lab_history_at (const bn_lab_history_t *self, uint64_t offset)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->events[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < self->count && self->events[low].offset == offset ? &self->events[low] : NULL;
}

void bn_lab_log_init (bn_lab_log_t *self)
{
    *self = (bn_lab_log_t){0};
}

void bn_lab_log_fini (bn_lab_log_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free ((void *)(uintptr_t)self->events[i].id);
    free (self->events);
    bn_lab_log_init (self);
}

baton_err_t bn_lab_log_add (bn_lab_log_t *self, const bn_lab_sent_t *event)
{
    void *items = self->events;
    bn_lab_sent_t copy = *event;
    const char **texts[] = {&copy.id, &copy.topic, &copy.key};
    baton_err_t err = s_grow (&items, self->count, &self->capacity, sizeof copy);
    self->events = items;
    if (err)
        return err;
    if (!s_keep (texts, sizeof texts / sizeof *texts))
        return BATON_ERR_MEMORY;
    self->events[self->count++] = copy;
    return BATON_OK;
}
