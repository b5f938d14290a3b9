/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_dead.c - the copy of an event that is given up, for $dead.ACTOR.
 *
 *  Key, data, types, time and extensions are those of the original; id and source are ours, so that
 *  the copy is an event of its own; what happened is in extensions that start with "dead". They
 *  have a limit of their own: the original loses none of its for them.  */

#include "core/mailbox_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN_BYTES_MAX  2048 /* of them: the longest are the reason, the topic, id and source */
#define EXT_NAME_BYTES 20
#define DEAD_PREFIX    "$dead."

/*  Text for an attribute: whatever is not UTF-8 becomes '?'.  */
static void put_clean (msgpack_packer *packer, const char *text, size_t size)
{
    char clean[BATON_ATTRIBUTE_BYTES_MAX];
    if (size > sizeof clean)
        size = sizeof clean;
    memcpy (clean, text, size);
    if (!bn_utf8_valid (clean, size))
        for (size_t i = 0; i < size; i++)
            if (clean[i] == 0 || (unsigned char)clean[i] >= 0x80)
                clean[i] = '?';
    bn_mp_pack_str (packer, clean, size);
}

/*  Set anew: what an older death left, and what is in fields of its own.  */
static bool is_own (bn_text_t name)
{
    static const char *const names[] = {"source", "datacontenttype", "dataschema"};
    if (bn_ext_of_dead_letter (name.text, name.size))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name.size == strlen (names[i]) && memcmp (name.text, names[i], name.size) == 0)
            return true;
    return false;
}

typedef struct {
    bn_text_t name;
    bn_text_t value;
} entry_t;

/*  The extensions of the original that the copy keeps. Returns how many.  */
static uint32_t kept (const bn_event_fields_t *fields, entry_t entries[BATON_EXTENSIONS_COUNT_MAX])
{
    uint32_t count = 0;
    bn_mp_t mp;
    bn_mp_init (&mp, fields->ext, fields->ext_size);
    uint32_t given = fields->ext_size ? bn_mp_map (&mp, UINT16_MAX, "ext") : 0;
    for (uint32_t i = 0; i < given && count < BATON_EXTENSIONS_COUNT_MAX; i++) {
        entry_t entry;
        entry.name.text = bn_mp_str (&mp, EXT_NAME_BYTES, &entry.name.size, "ext: name");
        entry.value.text =
            bn_mp_str (&mp, BATON_ATTRIBUTE_BYTES_MAX, &entry.value.size, "ext: value");
        if (!bn_mp_ok (&mp))
            break;
        if (!is_own (entry.name))
            entries[count++] = entry;
    }
    return count;
}

static void put_number (msgpack_packer *packer, const char *name, uint64_t value)
{
    char text[24];
    int size = snprintf (text, sizeof text, "%" PRIu64, value);
    bn_mp_pack_cstr (packer, name);
    bn_mp_pack_str (packer, text, (size_t)size);
}

static void put_text (msgpack_packer *packer, const char *name, const char *text, size_t size)
{
    bn_mp_pack_cstr (packer, name);
    put_clean (packer, text, size);
}

static void put_ext (const bn_mailbox_t *self, const bn_dead_source_t *source, bn_buffer_t *buffer)
{
    entry_t entries[BATON_EXTENSIONS_COUNT_MAX];
    uint32_t count = kept (source->fields, entries);
    char id[2 * BATON_ID_BYTES_MAX + 32];
    int id_size = snprintf (id, sizeof id, "%.*s", (int)source->fields->id.size,
                            source->fields->id.size ? source->fields->id.text : "");
    if (source->fields->id_number_set)
        id_size = snprintf (id, sizeof id, "%.*s-%" PRIu64, (int)source->fields->id_prefix.size,
                            source->fields->id_prefix.size ? source->fields->id_prefix.text : "",
                            source->fields->id_number);
    msgpack_packer packer = bn_mp_packer (buffer);
    msgpack_pack_map (&packer, count + BATON_DEAD_EXTENSIONS_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        bn_mp_pack_str (&packer, entries[i].name.text, entries[i].name.size);
        bn_mp_pack_str (&packer, entries[i].value.text, entries[i].value.size);
    }
    const char *reason = source->reason[0] ? source->reason : "no reason was given";
    put_text (&packer, "deadactor", self->options.actor, strlen (self->options.actor));
    put_text (&packer, "deadreason", reason, strlen (reason));
    put_number (&packer, "deadattempts", source->attempts);
    put_number (&packer, "deadoffset", source->offset);
    put_text (&packer, "deadtopic", source->topic.text, source->topic.size);
    put_text (&packer, "deadid", id, (size_t)id_size);
    put_text (&packer, "deadsource", source->fields->source.text, source->fields->source.size);
}

typedef struct {
    uint8_t *at;
} place_t;

static bn_text_t place (place_t *to, const void *bytes, size_t size)
{
    bn_text_t text = {(const char *)to->at, size};
    if (size)
        memcpy (to->at, bytes, size);
    to->at += size;
    return text;
}

bn_emission_t *bn_mailbox_dead_letter (const bn_mailbox_t *self, const bn_dead_source_t *source)
{
    const bn_event_fields_t *fields = source->fields;
    char topic[BATON_TOPIC_BYTES_MAX + 1], id[BATON_ID_BYTES_MAX + 1],
        origin[BATON_NAME_BYTES_MAX + 16];
    int topic_size = snprintf (topic, sizeof topic, DEAD_PREFIX "%s", self->options.actor);
    int id_size = snprintf (id, sizeof id, "dead.%s.%016" PRIx64 ".%" PRIu64, self->options.actor,
                            self->journal_id, source->offset);
    int origin_size = snprintf (origin, sizeof origin, "/actors/%s", self->options.actor);

    bn_buffer_t ext;
    bn_buffer_init (&ext, fields->ext_size + OWN_BYTES_MAX + BATON_ATTRIBUTE_BYTES_MAX);
    put_ext (self, source, &ext);
    size_t bytes = (size_t)topic_size + (size_t)id_size + (size_t)origin_size + ext.size +
                   fields->key.size + fields->datacontenttype.size + fields->dataschema.size +
                   fields->data_size;
    bn_emission_t *emission = ext.failed ? NULL : calloc (1, sizeof *emission);
    bn_blob_t *blob = emission ? bn_blob_new (bytes) : NULL;
    if (!blob) {
        free (emission);
        bn_buffer_fini (&ext);
        return NULL;
    }
    place_t to = {blob->data};
    emission->blob = blob;
    emission->topic = place (&to, topic, (size_t)topic_size);
    emission->fields = (bn_event_fields_t){
        .id = place (&to, id, (size_t)id_size),
        .source = place (&to, origin, (size_t)origin_size),
        .key = place (&to, fields->key.text, fields->key.size),
        .time_us = fields->time_us,
        .datacontenttype = place (&to, fields->datacontenttype.text, fields->datacontenttype.size),
        .dataschema = place (&to, fields->dataschema.text, fields->dataschema.size),
        .ext = (const uint8_t *)place (&to, bn_buffer_data (&ext), ext.size).text,
        .ext_size = ext.size,
        .data = (const uint8_t *)place (&to, fields->data, fields->data_size).text,
        .data_size = fields->data_size};
    /*  The copy of an event without a key stays in its partition: that is how SETTLE pairs them.
     *  */
    emission->spread = source->partition;
    bn_buffer_fini (&ext);
    return emission;
}
