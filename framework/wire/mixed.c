/* SPDX-License-Identifier: MPL-2.0 */

#include "wire/mixed.h"
#include "wire/topic.h"
#include <stdlib.h>
#include <string.h>

#define EVENT_FIRST 0x95 /* of a plain section: an array of 5 */

static bool same_topic (const uint8_t *payload, const bn_mixed_event_t *a,
                        const bn_mixed_event_t *b)
{
    return a->topic_at == b->topic_at ||
           (a->topic_size == b->topic_size &&
            memcmp (payload + a->topic_at, payload + b->topic_at, a->topic_size) == 0);
}

uint32_t bn_mixed_run (const uint8_t *payload, const bn_mixed_event_t *events, uint32_t count)
{
    uint32_t run = 1;
    while (run < count && same_topic (payload, &events[run - 1], &events[run]))
        run++;
    return run;
}

size_t bn_mixed_run_bytes (uint32_t common, const bn_mixed_event_t *events, uint32_t count)
{
    size_t bytes = common;
    for (uint32_t i = 0; i < count; i++)
        bytes += events[i].bare;
    return bytes;
}

size_t bn_mixed_parts_bytes (const uint8_t *payload, const bn_mixed_event_t *events, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0, run; i < count; i += run) {
        run = bn_mixed_run (payload, events + i, count - i);
        bytes += bn_mixed_run_bytes (events[0].at, events + i, run);
    }
    return bytes;
}

void bn_mixed_run_write (uint8_t *to, const uint8_t *payload, uint32_t common,
                         const bn_mixed_event_t *events, uint32_t count)
{
    memcpy (to, payload, common);
    to += common;
    for (uint32_t i = 0; i < count; i++) {
        memcpy (to, payload + events[i].at, events[i].bare);
        *to = EVENT_FIRST;
        to += events[i].bare;
    }
}

/*  ---- all of it ---- */

typedef struct {
    bn_section_t *items; /* owned */
    uint32_t count;
    uint32_t capacity;
} list_t;

static bn_section_t *append (list_t *self)
{
    if (self->count == self->capacity) {
        uint32_t capacity = self->capacity ? self->capacity * 2 : 64;
        bn_section_t *items = realloc (self->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        self->items = items;
        self->capacity = capacity;
    }
    return &self->items[self->count++];
}

/*  All parts of a section lie one behind the other in a blob.  */
static baton_err_t add_parts (list_t *to, const bn_section_t *mixed, const bn_mixed_event_t *events)
{
    const uint8_t *payload = mixed->payload.data;
    uint32_t common = events[0].at, run;
    size_t bytes = bn_mixed_parts_bytes (payload, events, mixed->count);
    if (bytes > BN_MIXED_PARTS_MAX * mixed->payload.size)
        return BATON_ERR_TOO_LARGE;
    bn_blob_t *blob = bn_blob_new (bytes);
    uint8_t *at = blob ? blob->data : NULL;
    for (uint32_t i = 0; at && i < mixed->count; i += run) {
        bn_text_t topic = bn_mixed_topic (payload, &events[i]);
        bn_section_t *part = bn_topic_valid (topic.text, topic.size) ? append (to) : NULL;
        if (!part) {
            bn_blob_unref (&blob);
            return bn_topic_valid (topic.text, topic.size) ? BATON_ERR_MEMORY : BATON_ERR_TOPIC;
        }
        run = bn_mixed_run (payload, events + i, mixed->count - i);
        size_t size = bn_mixed_run_bytes (common, events + i, run);
        *part = (bn_section_t){.topic = topic,
                               .partition = mixed->partition,
                               .count = run,
                               .base = mixed->base + i,
                               .payload = {bn_blob_ref (blob), at, size}};
        bn_mixed_run_write (at, payload, common, events + i, run);
        at += size;
    }
    bn_blob_unref (&blob);
    return at ? BATON_OK : BATON_ERR_MEMORY;
}

static baton_err_t add_mixed (list_t *to, const bn_section_t *mixed)
{
    if (mixed->count > mixed->payload.size / BN_MIXED_EVENT_BYTES_MIN ||
        mixed->payload.size > UINT32_MAX)
        return BATON_ERR_MALFORMED;
    bn_mixed_event_t *events = malloc (mixed->count * sizeof *events);
    baton_err_t err =
        events ? bn_mixed_scan (mixed->payload.data, mixed->payload.size, mixed->count, events)
               : BATON_ERR_MEMORY;
    if (!err)
        err = add_parts (to, mixed, events);
    free (events);
    return err;
}

baton_err_t bn_mixed_take_apart (bn_section_t **sections, uint32_t *count)
{
    uint32_t first = 0;
    while (first < *count && !bn_is_mixed (&(*sections)[first]))
        first++;
    if (first == *count)
        return BATON_OK;
    list_t parts = {NULL, 0, 0};
    baton_err_t err = BATON_OK;
    for (uint32_t i = 0; i < *count && !err; i++) {
        const bn_section_t *section = &(*sections)[i];
        bn_section_t *plain;
        if (bn_is_mixed (section))
            err = add_mixed (&parts, section);
        else if ((plain = append (&parts))) {
            *plain = *section;
            if (plain->payload.blob)
                bn_blob_ref (plain->payload.blob);
        } else
            err = BATON_ERR_MEMORY;
    }
    bn_section_t *replaced = err ? parts.items : *sections;
    uint32_t replaced_count = err ? parts.count : *count;
    if (!err) {
        *sections = parts.items;
        *count = parts.count;
    }
    bn_section_array_free (replaced, replaced_count);
    return err;
}
