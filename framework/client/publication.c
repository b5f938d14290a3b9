/* SPDX-License-Identifier: MPL-2.0 */

#include "client/publication.h"
#include "client/event_internal.h"
#include "wire/mp_put.h"
#include "wire/topic.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*  Heads of a map and of a text, at most.  */
#define HEAD_BYTES_MAX 5

static const baton_attributes_t no_attributes;

static const baton_attributes_t *attributes_of (const baton_publication_t *self)
{
    return self->attributes ? self->attributes : &no_attributes;
}

__attribute__ ((format (printf, 3, 4))) static baton_err_t
wrong (char what[BN_WHAT_BYTES], baton_err_t err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (what, BN_WHAT_BYTES, format, args);
    va_end (args);
    return err;
}

static baton_err_t check_text (const char *name, const char *text, size_t bytes_max,
                               char what[BN_WHAT_BYTES])
{
    size_t size = text ? strlen (text) : 0;
    if (size > bytes_max)
        return wrong (what, BATON_ERR_TOO_LARGE, "%s has %zu bytes, at most %zu are allowed", name,
                      size, bytes_max);
    if (!bn_utf8_valid (text, size))
        return wrong (what, BATON_ERR_ARGUMENT, "%s is not UTF-8", name);
    return BATON_OK;
}

static bool extension_name_valid (const char *name)
{
    static const char *const taken[] = {"id",         "source", "type",
                                        "subject",    "time",   "datacontenttype",
                                        "dataschema", "data",   "specversion"};
    size_t size = name ? strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789") : 0;
    if (size < 1 || size > 20 || name[size] != 0)
        return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp (name, taken[i]) == 0)
            return false;
    return true;
}

/*  Towards BATON_EXTENSIONS_COUNT_MAX.  */
static bool counts (const char *name)
{
    return !bn_ext_of_dead_letter (name, strlen (name));
}

static baton_err_t check_extensions (const baton_attributes_t *attributes, char what[BN_WHAT_BYTES])
{
    const baton_extension_t *extensions = attributes->extensions;
    if (attributes->extension_count > BATON_EXTENSIONS_COUNT_MAX + BATON_DEAD_EXTENSIONS_COUNT)
        return wrong (what, BATON_ERR_TOO_LARGE, "%zu extensions, at most %d are allowed",
                      attributes->extension_count, BATON_EXTENSIONS_COUNT_MAX);
    size_t counted = 0;
    for (size_t i = 0; i < attributes->extension_count; i++) {
        if (!extension_name_valid (extensions[i].name))
            return wrong (what, BATON_ERR_ARGUMENT, "extension %zu: the name is not valid", i);
        if (!extensions[i].value)
            return wrong (what, BATON_ERR_ARGUMENT, "extension %s has no value",
                          extensions[i].name);
        for (size_t k = 0; k < i; k++)
            if (strcmp (extensions[k].name, extensions[i].name) == 0)
                return wrong (what, BATON_ERR_ARGUMENT, "extension %s is given twice",
                              extensions[i].name);
        baton_err_t err =
            check_text (extensions[i].name, extensions[i].value, BATON_ATTRIBUTE_BYTES_MAX, what);
        if (err)
            return err;
        counted += counts (extensions[i].name);
    }
    if (counted > BATON_EXTENSIONS_COUNT_MAX)
        return wrong (what, BATON_ERR_TOO_LARGE, "%zu extensions, at most %d are allowed", counted,
                      BATON_EXTENSIONS_COUNT_MAX);
    return BATON_OK;
}

static baton_err_t check_attributes (const baton_attributes_t *attributes, char what[BN_WHAT_BYTES])
{
    baton_err_t err = check_text ("id", attributes->id, BATON_ID_BYTES_MAX, what);
    if (!err && attributes->id && !*attributes->id)
        err = wrong (what, BATON_ERR_ARGUMENT, "the id is empty");
    if (!err)
        err = check_text ("source", attributes->source, BATON_ATTRIBUTE_BYTES_MAX, what);
    if (!err && attributes->source && !*attributes->source)
        err = wrong (what, BATON_ERR_ARGUMENT, "the source is empty");
    if (!err && attributes->time_us < 0)
        err = wrong (what, BATON_ERR_ARGUMENT, "the time is before 1970");
    if (!err)
        err = check_text ("datacontenttype", attributes->datacontenttype, BATON_ATTRIBUTE_BYTES_MAX,
                          what);
    if (!err)
        err = check_text ("dataschema", attributes->dataschema, BATON_ATTRIBUTE_BYTES_MAX, what);
    return err ? err : check_extensions (attributes, what);
}

static baton_err_t check_data (const baton_publication_t *self, size_t data_bytes_max,
                               char what[BN_WHAT_BYTES])
{
    if (!self->data && self->data_size > 0)
        return wrong (what, BATON_ERR_ARGUMENT, "data is NULL");
    if (self->data_size > data_bytes_max)
        return wrong (what, BATON_ERR_TOO_LARGE, "data has %zu bytes, at most %zu are allowed",
                      self->data_size, data_bytes_max);
    const char *type = attributes_of (self)->datacontenttype;
    if (self->data_size == 0 || !bn_content_is_msgpack (type ? type : "", type ? strlen (type) : 0))
        return BATON_OK;
    size_t at = 0;
    baton_err_t err = bn_mp_scan (self->data, self->data_size, BATON_DATA_DEPTH_MAX, &at);
    if (err == BATON_ERR_TOO_DEEP)
        return wrong (what, err, "data is nested more than %d deep at byte %zu",
                      BATON_DATA_DEPTH_MAX, at);
    if (err)
        return wrong (what, BATON_ERR_MALFORMED, "data is not one MessagePack value (byte %zu)",
                      at);
    return BATON_OK;
}

baton_err_t bn_publication_check (const baton_publication_t *self, size_t data_bytes_max,
                                  char what[BN_WHAT_BYTES])
{
    size_t topic_size = self->topic ? strlen (self->topic) : 0;
    if (!bn_topic_valid (self->topic, topic_size))
        return wrong (what, BATON_ERR_TOPIC, "the topic is not valid: %.64s",
                      self->topic ? self->topic : "NULL");
    if (bn_topic_reserved (self->topic, topic_size))
        return wrong (what, BATON_ERR_TOPIC, "the topic is reserved: %.64s", self->topic);
    if (check_text ("the key", self->key, BATON_KEY_BYTES_MAX, what))
        return BATON_ERR_KEY;
    baton_err_t err = self->attributes ? check_attributes (self->attributes, what) : BATON_OK;
    return err ? err : check_data (self, data_bytes_max, what);
}

static size_t length (const char *text)
{
    return text ? strlen (text) : 0;
}

static size_t extensions_bytes (const baton_extension_t *extensions, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen (extensions[i].name) + strlen (extensions[i].value) + 2 * HEAD_BYTES_MAX;
    return bytes;
}

static size_t defaults_bytes (const bn_publication_defaults_t *defaults)
{
    size_t bytes = 0;
    for (size_t i = 0; i < defaults->extension_count; i++)
        bytes += defaults->extensions[i].name.size + defaults->extensions[i].value.size +
                 2 * HEAD_BYTES_MAX;
    return bytes;
}

size_t bn_publication_bytes (const baton_publication_t *self,
                             const bn_publication_defaults_t *defaults)
{
    const baton_attributes_t *attributes = attributes_of (self);
    return strlen (self->topic) + length (self->key) + self->data_size + length (attributes->id) +
           length (attributes->source) + length (attributes->datacontenttype) +
           length (attributes->dataschema) + HEAD_BYTES_MAX +
           extensions_bytes (attributes->extensions, attributes->extension_count) +
           defaults_bytes (defaults);
}

static bn_text_t put (uint8_t **at, const void *bytes, size_t size)
{
    bn_text_t text = {.text = (const char *)*at, .size = size};
    if (size > 0)
        memcpy (*at, bytes, size);
    *at += size;
    return text;
}

static void put_text (uint8_t **at, const char *text, size_t size)
{
    *at = bn_mp_put_bytes (bn_mp_put_str_header (*at, size), text, size);
}

static bool has_extension (const baton_attributes_t *attributes, bn_text_t name)
{
    for (size_t i = 0; i < attributes->extension_count; i++)
        if (strncmp (attributes->extensions[i].name, name.text, name.size) == 0 &&
            attributes->extensions[i].name[name.size] == 0)
            return true;
    return false;
}

/*  The author's extensions, then the defaults that the author did not give.  */
static bool put_extensions (const baton_attributes_t *attributes,
                            const bn_publication_defaults_t *defaults, uint8_t **at,
                            bn_event_fields_t *fields)
{
    size_t count = attributes->extension_count, counted = 0;
    for (size_t i = 0; i < attributes->extension_count; i++)
        counted += counts (attributes->extensions[i].name);
    for (size_t i = 0; i < defaults->extension_count; i++) {
        bool added = !has_extension (attributes, defaults->extensions[i].name);
        count += added;
        counted += added;
    }
    if (counted > BATON_EXTENSIONS_COUNT_MAX)
        return false;
    if (count == 0)
        return true;
    fields->ext = *at;
    *at = bn_mp_put_map_header (*at, (uint32_t)count);
    for (size_t i = 0; i < attributes->extension_count; i++) {
        const baton_extension_t *extension = &attributes->extensions[i];
        put_text (at, extension->name, strlen (extension->name));
        put_text (at, extension->value, strlen (extension->value));
    }
    for (size_t i = 0; i < defaults->extension_count; i++) {
        const bn_default_extension_t *extension = &defaults->extensions[i];
        if (has_extension (attributes, extension->name))
            continue;
        put_text (at, extension->name.text, extension->name.size);
        put_text (at, extension->value.text, extension->value.size);
    }
    fields->ext_size = (size_t)(*at - fields->ext);
    return true;
}

bool bn_publication_pack (const baton_publication_t *self,
                          const bn_publication_defaults_t *defaults, uint8_t **at, bn_text_t *topic,
                          bn_event_fields_t *fields)
{
    const baton_attributes_t *attributes = attributes_of (self);
    *fields = (bn_event_fields_t){
        .id_prefix = defaults->id_prefix,
        .id_number = defaults->id_number,
        .id_number_set = !attributes->id,
        .source = defaults->source,
        .time_us = attributes->time_us ? attributes->time_us : defaults->time_us,
        .data_size = self->data_size,
    };
    *topic = put (at, self->topic, strlen (self->topic));
    fields->key = put (at, self->key, length (self->key));
    if (attributes->id)
        fields->id = put (at, attributes->id, strlen (attributes->id));
    if (attributes->source)
        fields->source = put (at, attributes->source, strlen (attributes->source));
    size_t type_size = length (attributes->datacontenttype);
    if (!bn_content_is_msgpack (attributes->datacontenttype, type_size))
        fields->datacontenttype = put (at, attributes->datacontenttype, type_size);
    fields->dataschema = put (at, attributes->dataschema, length (attributes->dataschema));
    fields->data = (const uint8_t *)put (at, self->data, self->data_size).text;
    return put_extensions (attributes, defaults, at, fields);
}
