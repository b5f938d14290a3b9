/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/json.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TREE_BYTES_MAX (64 * 1024 * 1024) /* of JSON text that becomes a tree */

/*  ---- JSON to MessagePack ---- */

json_t *bn_json_parse (const char *text, size_t size, char what[256])
{
    json_error_t error;
    json_t *value = json_loadb (text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!value)
        snprintf (what, 256, "%.200s at column %d", error.text, error.column);
    return value;
}

static baton_err_t s_pack (const json_t *value, msgpack_packer *packer, uint32_t depth)
{
    switch (json_typeof (value)) {
    case JSON_NULL:
        msgpack_pack_nil (packer);
        break;
    case JSON_TRUE:
        msgpack_pack_true (packer);
        break;
    case JSON_FALSE:
        msgpack_pack_false (packer);
        break;
    case JSON_INTEGER:
        msgpack_pack_int64 (packer, json_integer_value (value));
        break;
    case JSON_REAL:
        msgpack_pack_double (packer, json_real_value (value));
        break;
    case JSON_STRING:
        bn_mp_pack_str (packer, json_string_value (value), json_string_length (value));
        break;
    case JSON_ARRAY: {
        size_t index;
        json_t *item;
        if (depth == 0)
            return BATON_ERR_TOO_DEEP;
        msgpack_pack_array (packer, json_array_size (value));
        json_array_foreach (value, index, item)
        {
            baton_err_t err = s_pack (item, packer, depth - 1);
            if (err)
                return err;
        }
        break;
    }
    case JSON_OBJECT: {
        if (depth == 0)
            return BATON_ERR_TOO_DEEP;
        msgpack_pack_map (packer, json_object_size (value));
        /*  jansson's iterator is not const, but changes nothing.  */
        json_t *object = (json_t *)(uintptr_t)value;
        for (void *at = json_object_iter (object); at; at = json_object_iter_next (object, at)) {
            bn_mp_pack_cstr (packer, json_object_iter_key (at));
            baton_err_t err = s_pack (json_object_iter_value (at), packer, depth - 1);
            if (err)
                return err;
        }
        break;
    }
    }
    return BATON_OK;
}

baton_err_t bn_json_pack (const json_t *value, bn_buffer_t *packed)
{
    msgpack_packer packer = bn_mp_packer (packed);
    baton_err_t err = s_pack (value, &packer, BATON_DATA_DEPTH_MAX);
    return err ? err : packed->failed ? BATON_ERR_TOO_LARGE : BATON_OK;
}

const char *bn_json_key_text (const json_t *value, char digits[32])
{
    if (json_is_string (value))
        return json_string_value (value);
    if (!json_is_integer (value))
        return NULL;
    snprintf (digits, 32, "%" JSON_INTEGER_FORMAT, json_integer_value (value));
    return digits;
}

const json_t *bn_json_path (const json_t *value, const char *path)
{
    while (value) {
        char name[256];
        size_t size = strcspn (path, ".");
        if (size >= sizeof (name))
            return NULL;
        memcpy (name, path, size);
        name[size] = 0;
        value = json_object_get (value, name);
        if (!path[size])
            break;
        path += size + 1;
    }
    return value;
}

/*  ---- MessagePack to JSON ---- */

void bn_json_put_raw (bn_buffer_t *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start (args, format);
    int size = vsnprintf (line, sizeof (line), format, args);
    va_end (args);
    if (size < 0 || (size_t)size >= sizeof (line))
        text->failed = true;
    else
        bn_buffer_append (text, line, (size_t)size);
}

void bn_json_put_text (bn_buffer_t *text, const char *bytes, size_t size)
{
    size_t done = 0;
    bn_buffer_append (text, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool c1 = c == 0xc2 && i + 1 < size && (unsigned char)bytes[i + 1] < 0xa0; /* U+0080 on */
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !c1)
            continue;
        bn_buffer_append (text, bytes + done, i - done);
        if (c1)
            c = (unsigned char)bytes[++i];
        done = i + 1;
        switch (c) {
        case '"':
            bn_buffer_append (text, "\\\"", 2);
            break;
        case '\\':
            bn_buffer_append (text, "\\\\", 2);
            break;
        case '\n':
            bn_buffer_append (text, "\\n", 2);
            break;
        case '\r':
            bn_buffer_append (text, "\\r", 2);
            break;
        case '\t':
            bn_buffer_append (text, "\\t", 2);
            break;
        default:
            bn_json_put_raw (text, "\\u%04x", c);
        }
    }
    if (done < size) /* an empty text may be NULL */
        bn_buffer_append (text, bytes + done, size - done);
    bn_buffer_append (text, "\"", 1);
}

void bn_json_put_cstr (bn_buffer_t *text, const char *value)
{
    bn_json_put_text (text, value, strlen (value));
}

void bn_json_put_base64 (bn_buffer_t *text, const void *bytes, size_t size)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = bytes;
    bn_buffer_append (text, "\"", 1);
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)from[i] << 16;
        group |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        group |= left > 2 ? from[i + 2] : 0;
        char quad[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63], '=', '='};
        if (left > 1)
            quad[2] = alphabet[group >> 6 & 63];
        if (left > 2)
            quad[3] = alphabet[group & 63];
        bn_buffer_append (text, quad, 4);
    }
    bn_buffer_append (text, "\"", 1);
}

void bn_json_put_real (bn_buffer_t *text, double value)
{
    char digits[40];
    if (isnan (value)) {
        bn_json_put_cstr (text, "NaN");
        return;
    }
    if (isinf (value)) {
        bn_json_put_cstr (text, value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf (digits, sizeof (digits), "%.*g", precision, value);
        if (strtod (digits, NULL) == value)
            break;
    }
    bn_json_put_raw (text, "%s%s", digits, strpbrk (digits, ".e") ? "" : ".0");
}

static void s_put_value (bn_buffer_t *text, bn_mp_t *mp, uint32_t depth);

static void s_put_integer (bn_buffer_t *text, bn_mp_t *mp)
{
    /*  Only what the positive fixint and uint 64 formats hold can pass INT64_MAX.  */
    if (*mp->at != 0xcf) {
        bn_json_put_raw (text, "%" PRId64, bn_mp_int (mp, "integer"));
        return;
    }
    uint64_t value = bn_mp_uint (mp, UINT64_MAX, "integer");
    const char *quote = value > INT64_MAX ? "\"" : "";
    bn_json_put_raw (text, "%s%" PRIu64 "%s", quote, value, quote);
}

/*  A key that is not text becomes the text of its JSON. Not so an array or a map: maps as keys in
 *  maps as keys would double the backslashes at each level.  */
static void s_put_key (bn_buffer_t *text, bn_mp_t *mp, uint32_t depth)
{
    char kind = bn_mp_peek (mp);
    if (kind == 's') {
        s_put_value (text, mp, depth);
        return;
    }
    if (kind == 'a' || kind == 'm') {
        const uint8_t *start = mp->at;
        bn_mp_skip (mp, depth);
        if (bn_mp_ok (mp))
            bn_json_put_base64 (text, start, (size_t)(mp->at - start));
        return;
    }
    bn_buffer_t key;
    bn_buffer_init (&key, text->bound);
    s_put_value (&key, mp, depth);
    if (key.failed)
        text->failed = true;
    else
        bn_json_put_text (text, (const char *)bn_buffer_data (&key), key.size);
    bn_buffer_fini (&key);
}

static void s_put_ext (bn_buffer_t *text, bn_mp_t *mp)
{
    const uint8_t *start = mp->at;
    bn_mp_skip (mp, 1);
    if (!bn_mp_ok (mp))
        return;
    /*  fixext 1..16: format, type, data; ext 8, 16, 32: format, length, type, data.  */
    size_t lead = *start >= 0xd4 && *start <= 0xd8 ? 1 : (size_t)1 + (1u << (*start - 0xc7));
    bn_json_put_raw (text, "{\"ext_type\":%d,\"data_base64\":", (int)(int8_t)start[lead]);
    bn_json_put_base64 (text, start + lead + 1, (size_t)(mp->at - start) - lead - 1);
    bn_buffer_append (text, "}", 1);
}

static void s_put_value (bn_buffer_t *text, bn_mp_t *mp, uint32_t depth)
{
    size_t size;
    if (depth == 0 && strchr ("am", bn_mp_peek (mp))) {
        bn_mp_fail (mp, BATON_ERR_TOO_DEEP, "a shallower value");
        return;
    }
    switch (bn_mp_peek (mp)) {
    case 'n':
        bn_mp_nil (mp);
        bn_buffer_append (text, "null", 4);
        break;
    case 'b':
        bn_json_put_raw (text, "%s", bn_mp_bool (mp, "bool") ? "true" : "false");
        break;
    case 'i':
        s_put_integer (text, mp);
        break;
    case 'r':
        bn_json_put_real (text, bn_mp_real (mp, "float"));
        break;
    case 's': {
        const char *bytes = bn_mp_str (mp, SIZE_MAX, &size, "str");
        if (bn_mp_ok (mp))
            bn_json_put_text (text, bytes, size);
        break;
    }
    case 'B': {
        const uint8_t *bytes = bn_mp_bin (mp, SIZE_MAX, &size, "bin");
        if (bn_mp_ok (mp))
            bn_json_put_base64 (text, bytes, size);
        break;
    }
    case 'a': {
        uint32_t count = bn_mp_array (mp, UINT32_MAX, "array");
        bn_buffer_append (text, "[", 1);
        for (uint32_t i = 0; i < count && bn_mp_ok (mp) && !text->failed; i++) {
            if (i)
                bn_buffer_append (text, ",", 1);
            s_put_value (text, mp, depth - 1);
        }
        bn_buffer_append (text, "]", 1);
        break;
    }
    case 'm': {
        uint32_t count = bn_mp_map (mp, UINT32_MAX, "map");
        bn_buffer_append (text, "{", 1);
        for (uint32_t i = 0; i < count && bn_mp_ok (mp) && !text->failed; i++) {
            if (i)
                bn_buffer_append (text, ",", 1);
            s_put_key (text, mp, depth - 1);
            bn_buffer_append (text, ":", 1);
            s_put_value (text, mp, depth - 1);
        }
        bn_buffer_append (text, "}", 1);
        break;
    }
    case 'e':
        s_put_ext (text, mp);
        break;
    default:
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "a value");
    }
}

bool bn_json_put_value (bn_buffer_t *text, const void *bytes, size_t size)
{
    bn_mp_t mp;
    bn_mp_init (&mp, bytes, size);
    s_put_value (text, &mp, BATON_DATA_DEPTH_MAX);
    bn_mp_end (&mp);
    return bn_mp_ok (&mp);
}

json_t *bn_json_from_value (const void *bytes, size_t size)
{
    bn_buffer_t text;
    json_t *value = NULL;
    bn_buffer_init (&text, TREE_BYTES_MAX);
    if (bn_json_put_value (&text, bytes, size) && !text.failed)
        value = json_loadb ((const char *)bn_buffer_data (&text), text.size, JSON_DECODE_ANY, NULL);
    bn_buffer_fini (&text);
    return value;
}

/*  ---- events ---- */

void bn_json_time (int64_t time_us, char text[40])
{
    time_t seconds = (time_t)(time_us / 1000000);
    int micros = (int)(time_us % 1000000);
    if (micros < 0) {
        micros += 1000000;
        seconds--;
    }
    struct tm tm;
    if (!gmtime_r (&seconds, &tm) || tm.tm_year > 9999 - 1900 || tm.tm_year < -1900) {
        snprintf (text, 40, "1970-01-01T00:00:00.000000Z"); /* out of what RFC 3339 can say */
        return;
    }
    size_t size = strftime (text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf (text + size, 40 - size, ".%06dZ", micros);
}

static void s_put_member (bn_buffer_t *text, const char *name, bn_text_t value)
{
    if (value.size == 0)
        return;
    bn_json_put_raw (text, "\"%s\":", name);
    bn_json_put_text (text, value.text, value.size);
    bn_buffer_append (text, ",", 1);
}

static void s_put_id (bn_buffer_t *text, const bn_event_fields_t *event)
{
    char number[24];
    bn_buffer_t id;
    if (!event->id_number_set) {
        s_put_member (text, "id", event->id);
        return;
    }
    bn_buffer_init (&id, BATON_ID_BYTES_MAX + 32);
    bn_buffer_append (&id, event->id_prefix.text, event->id_prefix.size);
    int size = snprintf (number, sizeof (number), "-%" PRIu64, event->id_number);
    bn_buffer_append (&id, number, (size_t)size);
    if (id.failed)
        text->failed = true;
    else
        s_put_member (text, "id",
                      (bn_text_t){.text = (const char *)bn_buffer_data (&id), .size = id.size});
    bn_buffer_fini (&id);
}

/*  Those that stand for attributes were applied by the batch reader and are not extensions.  */
static void s_put_extensions (bn_buffer_t *text, const bn_event_fields_t *event)
{
    static const char *const attributes[] = {"source", "datacontenttype", "dataschema"};
    bn_mp_t mp;
    if (!event->ext)
        return;
    bn_mp_init (&mp, event->ext, event->ext_size);
    uint32_t count = bn_mp_map (&mp, UINT32_MAX, "extensions");
    for (uint32_t i = 0; i < count && bn_mp_ok (&mp); i++) {
        bn_text_t name, value;
        name.text = bn_mp_str (&mp, SIZE_MAX, &name.size, "name");
        value.text = bn_mp_str (&mp, SIZE_MAX, &value.size, "value");
        bool is_attribute = !bn_mp_ok (&mp);
        for (size_t k = 0; k < 3 && !is_attribute; k++)
            is_attribute = name.size == strlen (attributes[k]) &&
                           !memcmp (name.text, attributes[k], name.size);
        if (is_attribute)
            continue;
        bn_json_put_text (text, name.text, name.size);
        bn_buffer_append (text, ":", 1);
        bn_json_put_text (text, value.text, value.size);
        bn_buffer_append (text, ",", 1);
    }
}

static bool s_is_type (bn_text_t type, const char *wanted)
{
    size_t size = strlen (wanted);
    return type.size >= size && !memcmp (type.text, wanted, size) &&
           (type.size == size || type.text[size] == ';' || wanted[size - 1] == '/');
}

static void s_put_data (bn_buffer_t *text, const bn_event_fields_t *event)
{
    const bn_text_t json = {.text = "application/json", .size = 16};
    bn_text_t type = event->datacontenttype;
    const char *data = (const char *)event->data;
    size_t size_before = text->size;

    if (type.size == 0 || s_is_type (type, "application/msgpack")) {
        s_put_member (text, "datacontenttype", json);
        bn_buffer_append (text, "\"data\":", 7);
        if (bn_json_put_value (text, event->data, event->data_size))
            return;
        text->size = size_before; /* not MessagePack after all: as bytes */
        s_put_member (text, "datacontenttype",
                      (bn_text_t){.text = "application/msgpack", .size = 19});
    } else {
        s_put_member (text, "datacontenttype", type);
        if (s_is_type (type, "application/json") || s_is_type (type, "text/")) {
            json_t *value = s_is_type (type, "text/")
                                ? json_stringn (data, event->data_size)
                                : json_loadb (data, event->data_size, JSON_DECODE_ANY, NULL);
            char *dumped = value ? json_dumps (value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
            json_decref (value);
            if (dumped) {
                bn_buffer_append (text, "\"data\":", 7);
                bn_buffer_append (text, dumped, strlen (dumped));
                free (dumped);
                return;
            }
        }
    }
    bn_buffer_append (text, "\"data_base64\":", 14);
    bn_json_put_base64 (text, event->data, event->data_size);
}

void bn_json_put_event (bn_buffer_t *text, bn_text_t topic, uint32_t partition, uint64_t offset,
                        const bn_event_fields_t *event)
{
    char time_text[40];
    bn_json_time (event->time_us, time_text);
    bn_json_put_raw (text, "{\"offset\":%" PRIu64 ",\"partition\":%" PRIu32, offset, partition);
    bn_json_put_raw (text, ",\"specversion\":\"1.0\",");
    s_put_id (text, event);
    s_put_member (text, "source", event->source);
    s_put_member (text, "type", topic);
    s_put_member (text, "subject", event->key);
    bn_json_put_raw (text, "\"time\":\"%s\",", time_text);
    s_put_member (text, "dataschema", event->dataschema);
    s_put_extensions (text, event);
    s_put_data (text, event);
    bn_buffer_append (text, "}", 1);
}
